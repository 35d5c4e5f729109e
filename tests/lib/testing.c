/*
 * testing.c - see testing.h.
 */
#include "testing.h"
#include <dirent.h>
#include <fcntl.h>
#include <rill.h>
#include <sys/mman.h>

static char directory[512];

const char *test_message(void)
{
    return rill_errmsg();
}

void test_says(const char *part)
{
    if (strstr(test_message(), part) == NULL)
        fail_msg("the message is \"%s\", without \"%s\"", test_message(), part);
}

const char *test_directory(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(directory, sizeof directory, "%s/rill-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(directory));
    return directory;
}

static void remove_all_in(int fd)
{
    DIR *stream = fdopendir(fd);
    struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name;
        int inner;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (entry->d_type != DT_DIR && unlinkat(fd, name, 0) == 0) continue;
        inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner >= 0) remove_all_in(inner);
        unlinkat(fd, name, AT_REMOVEDIR);
    }
    if (stream != NULL) closedir(stream);
    else close(fd);
}

void test_remove(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) remove_all_in(fd);
    remove(path);
}

void test_directory_remove(void)
{
    if (directory[0] != '\0') test_remove(directory);
    directory[0] = '\0';
}

int test_directory_set_up(void **state)
{
    (void)state;
    test_directory();
    return 0;
}

int test_directory_tear_down(void **state)
{
    (void)state;
    test_directory_remove();
    return 0;
}

const char *test_path(const char *name)
{
    static char paths[4][800];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

void *test_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_true(memory != MAP_FAILED);
    return memory;
}

struct test_random test_random_seeded(uint64_t standard)
{
    const char *given = getenv("SEED");
    struct test_random random = {given != NULL ? strtoull(given, NULL, 0) : standard};

    printf("seed %llu\n", (unsigned long long)random.state);
    random.state = random.state * 2 + 1;
    return random;
}

uint64_t test_random_next(struct test_random *random)
{
    uint64_t v = random->state += UINT64_C(0x9E3779B97F4A7C15);

    v = (v ^ (v >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    v = (v ^ (v >> 27)) * UINT64_C(0x94D049BB133111EB);
    return v ^ (v >> 31);
}

uint64_t test_random_below(struct test_random *random, uint64_t limit)
{
    return test_random_next(random) % limit;
}
