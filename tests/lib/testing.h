/*
 * testing.h - what every test includes: cmocka, and a directory of its own.
 */
#ifndef RILL_TESTING_H
#define RILL_TESTING_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The call succeeds; if not, shows rill's message. */
#define OK(call)                                                                                 \
    do {                                                                                         \
        int ok_rc = (call);                                                                      \
        if (ok_rc != 0) fail_msg("%s: %d, %s", #call, ok_rc, test_message());                    \
    } while (0)

/* The call fails with exactly this code, and says why. */
#define FAILS(code, call)                                                                        \
    do {                                                                                         \
        int fails_rc = (call);                                                                   \
        if (fails_rc != (code))                                                                  \
            fail_msg("%s: %d instead of %d, %s", #call, fails_rc, (code), test_message());       \
        if (test_message()[0] == '\0') fail_msg("%s: no message", #call);                        \
    } while (0)

const char *test_message(void);
/* The message has this in it. */
void test_says(const char *part);

/* A fresh, empty directory under TMPDIR; the same buffer every time. */
const char *test_directory(void);
/* A test with a directory of its own. */
#define WITH_DIRECTORY(test)                                                                     \
    cmocka_unit_test_setup_teardown(test, test_directory_set_up, test_directory_tear_down)
int test_directory_set_up(void **state);
int test_directory_tear_down(void **state);
/* Removes a directory with all that is in it. */
void test_remove(const char *path);
/* Removes it with all that is in it. */
void test_directory_remove(void);
/* "DIR/name" of the last test_directory, in a buffer that lives until the next
 * four calls. */
const char *test_path(const char *name);

/* Zeroed memory that processes made by fork from now on have in common with this one; for
 * munmap, or for as long as this one lives. Untouched, it costs nothing. */
void *test_shared(size_t size);

/* A number generator for tests: the same numbers from the same seed. */
struct test_random {
    uint64_t state;
};
/* From the environment's SEED if it is set; prints it. */
struct test_random test_random_seeded(uint64_t standard);
uint64_t test_random_next(struct test_random *random);
/* In [0, limit). */
uint64_t test_random_below(struct test_random *random, uint64_t limit);

#endif
