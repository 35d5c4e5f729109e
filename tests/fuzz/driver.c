/*
 * driver.c - runs a fuzz target without libFuzzer.
 *
 * usage: TARGET FILE|DIRECTORY...   each file once, then BUDGET mutations of them
 *                                   (SEED), each with the number that repeats it
 *        CASE=n TARGET ...          only that mutation
 */
#include "fuzz.h"
#include <dirent.h>
#include <inttypes.h>
#include <sys/stat.h>

enum { FILES_MAX = 4000, INPUT_MAX = 1 << 16 };

static struct {
    uint8_t *bytes;
    size_t size;
} files[FILES_MAX];
static size_t file_count;

static void add_file(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL || file_count == FILES_MAX) {
        fprintf(stderr, "%s: cannot read it\n", path);
        exit(1);
    }
    files[file_count].bytes = malloc(INPUT_MAX);
    files[file_count].size = fread(files[file_count].bytes, 1, INPUT_MAX, file);
    file_count++;
    fclose(file);
}

static void add(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int count;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        add_file(path);
        return;
    }
    count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char name[1200];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') add_file(name);
        free(entries[i]);
    }
    free(entries);
}

/* An exact allocation, so that a sanitizer sees what reads behind its end. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void mutate(uint64_t number, uint64_t seed)
{
    static uint8_t bytes[INPUT_MAX];
    struct test_random random = {seed * UINT64_C(1000003) + number};
    size_t from = (size_t)test_random_below(&random, file_count);
    size_t size = files[from].size;
    uint64_t changes = 1 + test_random_below(&random, 6);

    memcpy(bytes, files[from].bytes, size);
    for (uint64_t i = 0; i < changes; i++) {
        size_t at = (size_t)test_random_below(&random, size + 1);
        size_t length = (size_t)test_random_below(&random, 9);
        switch (test_random_below(&random, 4)) {
        case 0: /* bytes anew */
            for (size_t j = at; j < at + length && j < size; j++)
                bytes[j] = (uint8_t)test_random_next(&random);
            break;
        case 1: /* cut out */
            if (at + length > size) break;
            memmove(bytes + at, bytes + at + length, size - at - length);
            size -= length;
            break;
        case 2: /* some put in */
            if (size + length > INPUT_MAX) break;
            memmove(bytes + at + length, bytes + at, size - at);
            for (size_t j = at; j < at + length; j++)
                bytes[j] = (uint8_t)test_random_next(&random);
            size += length;
            break;
        default: /* a part of another */
            from = (size_t)test_random_below(&random, file_count);
            length = (size_t)test_random_below(&random, files[from].size + 1);
            if (at + length > INPUT_MAX) break;
            memcpy(bytes + at, files[from].bytes, length);
            if (at + length > size) size = at + length;
            break;
        }
    }
    run(bytes, size);
}

int main(int argc, char **argv)
{
    const char *budget = getenv("BUDGET");
    const char *seed = getenv("SEED");
    const char *one = getenv("CASE");
    uint64_t cases = budget != NULL ? strtoull(budget, NULL, 0) : 0;
    uint64_t from = seed != NULL ? strtoull(seed, NULL, 0) : 1;

    for (int i = 1; i < argc; i++) add(argv[i]);
    if (one != NULL) {
        mutate(strtoull(one, NULL, 0), from);
        return 0;
    }
    for (size_t i = 0; i < file_count; i++) run(files[i].bytes, files[i].size);
    for (uint64_t n = 0; n < cases && file_count > 0; n++) {
        /* What crashes cannot say which it was. */
        fprintf(stderr, "\r%" PRIu64, n);
        mutate(n, from);
    }
    fprintf(stderr, "\r");
    printf("%" PRIu64 " inputs\n", (uint64_t)file_count + cases);
    return 0;
}
