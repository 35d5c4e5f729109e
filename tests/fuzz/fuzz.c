/*
 * fuzz.c - see fuzz.h.
 */
#include "fuzz.h"
#include "os/sys.h"

_Noreturn void fuzz_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not so: %s (%s)\n", file, line, what, rill_errmsg());
    abort();
}

bool input_left(const struct input *in)
{
    return in->at < in->end;
}

uint64_t input_take(struct input *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes && in->at < in->end; i++) value |= (uint64_t)*in->at++ << 8 * i;
    return value;
}

void input_patch(struct input *in, uint8_t *bytes, size_t size)
{
    while (input_left(in)) {
        size_t at = (size_t)input_take(in, 3) % size;
        unsigned how = (unsigned)input_take(in, 1);
        size_t count = how % 8 + 1;

        for (size_t i = 0; i < count && at + i < size; i++) {
            uint8_t value = (uint8_t)input_take(in, 1);
            bytes[at + i] = (how & 8) != 0 ? bytes[at + i] ^ value : value;
        }
    }
}

static char directory[600];

static void remove_directory(void)
{
    test_remove(directory);
}

/* Memory that passes for a disk, so that everything is promised. */
static int ordinary_disk(int fd, struct statfs *st)
{
    int rc = fstatfs(fd, st);

    st->f_type = 0xef53;
    return rc;
}

const char *fuzz_directory(void)
{
    if (directory[0] == '\0') {
        if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
        snprintf(directory, sizeof directory, "%s", test_directory());
        atexit(remove_directory);
        rill__sys.fstatfs = ordinary_disk;
    }
    return directory;
}
