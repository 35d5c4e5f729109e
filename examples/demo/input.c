/*
 * input.c - the input file as lines and keys, or a sample of an access log.
 */
#include "demo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static uint64_t hash(const char *text, size_t size)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

    for (size_t i = 0; i < size; i++) h = (h ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return h ^ h >> 32;
}

static int read_file(const char *path, struct input *input)
{
    FILE *file = fopen(path, "rb");
    struct stat status;

    if (file == NULL || fstat(fileno(file), &status) != 0) goto failed;
    if (!S_ISREG(status.st_mode)) { /* it is read twice more, by the checks */
        fprintf(stderr, "demo: %s is not a regular file\n", path);
        fclose(file);
        return -1;
    }
    input->size = (size_t)status.st_size;
    input->text = malloc(input->size + 1);
    if (input->text == NULL || fread(input->text, 1, input->size, file) != input->size)
        goto failed;
    fclose(file);
    return 0;
failed:
    fprintf(stderr, "demo: cannot read %s\n", path);
    if (file != NULL) fclose(file);
    return -1;
}

static void split_lines(struct input *input)
{
    const char *end = input->text + input->size;

    for (const char *at = input->text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct line *line = &input->lines[input->line_count++];
        size_t start = 0, stop;

        line->text = at;
        line->size = (size_t)((newline != NULL ? newline : end) - at);
        while (start < line->size && is_blank(at[start])) start++;
        for (stop = start; stop < line->size && !is_blank(at[stop]);) stop++;
        line->key_start = start;
        line->key_size = stop - start;
        at += line->size + 1;
    }
}

/* Gives equal keys equal numbers, with an open hash table of line numbers + 1. */
static int number_keys(struct input *input)
{
    size_t slots = 16, *table;

    while (slots < 2 * input->line_count) slots *= 2;
    table = calloc(slots, sizeof *table);
    if (table == NULL) return -1;
    for (size_t i = 0; i < input->line_count; i++) {
        struct line *line = &input->lines[i];
        uint64_t h = hash(line->text + line->key_start, line->key_size);
        size_t slot = (size_t)h & (slots - 1);

        line->producer = (int)(h / slots % PRODUCERS);
        for (; table[slot] != 0; slot = (slot + 1) & (slots - 1)) {
            const struct line *other = &input->lines[table[slot] - 1];
            if (other->key_size == line->key_size &&
                memcmp(other->text + other->key_start, line->text + line->key_start,
                       line->key_size) == 0)
                break;
        }
        if (table[slot] == 0) {
            table[slot] = i + 1;
            line->key = (uint32_t)input->key_count++;
        } else {
            line->key = input->lines[table[slot] - 1].key;
        }
    }
    free(table);
    return 0;
}

int input_load(const char *path, struct input *input)
{
    size_t newlines = 0;

    if (read_file(path, input) != 0) return -1;
    for (size_t i = 0; i < input->size; i++) newlines += input->text[i] == '\n';
    input->lines = calloc(newlines + 1, sizeof *input->lines);
    if (input->lines == NULL) goto no_memory;
    split_lines(input);
    if (input->line_count == 0) {
        fprintf(stderr, "demo: %s has no lines\n", path);
        return -1;
    }
    if (number_keys(input) != 0) goto no_memory;
    return 0;
no_memory:
    fprintf(stderr, "demo: out of memory\n");
    return -1;
}

void input_free(struct input *input)
{
    free(input->lines);
    free(input->text);
}

/* ---- The sample ------------------------------------------------------- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static int sample_status(uint64_t *state)
{
    static const int table[] = {200, 200, 200, 200, 200, 200, 200, 200, 200, 200,
                                200, 200, 200, 206, 301, 304, 304, 304, 404, 404};
    static const int rare[] = {403, 416, 500, 503};

    if (next_random(state) % 200 == 0) return rare[next_random(state) % 4];
    return table[next_random(state) % 20];
}

int sample_write(const char *path, size_t count, uint64_t seed)
{
    static const char *const pages[] = {"/",
                                        "/about",
                                        "/robots.txt",
                                        "/articles/queues",
                                        "/articles/logs",
                                        "/images/logo.png",
                                        "/style.css"};
    static const char *const agents[] = {"Mozilla/5.0 (X11; Linux x86_64) Firefox/115.0",
                                         "Mozilla/5.0 (compatible; crawler/2.1)", "curl/7.88.1"};
    FILE *file = fopen(path, "wb");
    bool ok = file != NULL;

    for (size_t i = 0; ok && i < count; i++) {
        uint32_t a = next_random(&seed) % 500, b = next_random(&seed) % 500;
        uint32_t visitor = a < b ? a : b; /* some come more often than others */
        int status = sample_status(&seed);
        uint32_t page = next_random(&seed) % 7, size = next_random(&seed) % 60000;

        fprintf(file, "192.0.%u.%u - - [01/Mar/2026:%02u:%02u:%02u +0000] \"GET %s HTTP/1.1\"",
                visitor / 250, visitor % 250 + 1, (unsigned)(i / 3600 % 24),
                (unsigned)(i / 60 % 60), (unsigned)(i % 60), pages[page]);
        if (next_random(&seed) % 1000 != 0) /* else a line that was cut off */
            fprintf(file, " %d %u \"-\" \"%s\"", status, size, agents[visitor % 3]);
        ok = fputc('\n', file) != EOF;
    }
    if (file != NULL && fclose(file) != 0) ok = false;
    if (!ok) fprintf(stderr, "demo: cannot write %s\n", path);
    return ok ? 0 : -1;
}
