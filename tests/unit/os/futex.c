/*
 * Who sleeps on a word in a file is woken by any process that maps it, all at
 * once; nobody sleeps on a word that has changed, or past the deadline.
 */
#include "os/os.h"
#include "os/thread.h"
#include "testing.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SLEEPERS 4
#define MAP_SIZE 4096

static struct file dir;
static struct map map;

/* Also what a child maps, at an address of its own. */
static void map_word(struct map *to)
{
    struct file file;

    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    OK(rill__file_allocate(&file, MAP_SIZE));
    OK(rill__map(&file, MAP_SIZE, true, to));
    rill__file_close(&file);
}

static _Atomic uint32_t *word_of(const struct map *of)
{
    return (_Atomic uint32_t *)(void *)(of->data + 100);
}

/* How many sleepers have only sleeping left to do. */
static _Atomic uint32_t *ready_of(const struct map *of)
{
    return (_Atomic uint32_t *)(void *)(of->data + 200);
}

static int set_up(void **state)
{
    (void)state;
    OK(rill__dir_open(test_directory(), &dir));
    map_word(&map);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rill__unmap(&map);
    rill__file_close(&dir);
    test_directory_remove();
    return 0;
}

static pid_t start_sleeper(void)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct map own = MAP_NONE;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        map_word(&own);
        atomic_fetch_add(ready_of(&own), 1);
        while (atomic_load(word_of(&own)) == 0) rill__futex_wait(word_of(&own), 0, INT64_MAX);
        _exit(0);
    }
    return child;
}

/* By what the kernel says of it, once it makes no call but that one. */
static bool is_asleep(pid_t child)
{
    char path[40];
    char text[300] = "";
    const char *p;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    f = fopen(path, "r");
    assert_non_null(f);
    p = fgets(text, sizeof text, f);
    fclose(f);
    p = p == NULL ? NULL : strrchr(text, ')');
    return p != NULL && p[1] == ' ' && p[2] == 'S';
}

static void all_are_woken_at_once(void **state)
{
    pid_t sleepers[SLEEPERS];

    (void)state;
    for (int i = 0; i < SLEEPERS; i++) sleepers[i] = start_sleeper();
    while (atomic_load(ready_of(&map)) < SLEEPERS) rill__sleep_ns(100000);
    for (int i = 0; i < SLEEPERS; i++)
        while (!is_asleep(sleepers[i])) rill__sleep_ns(100000);
    atomic_store(word_of(&map), 1);
    rill__futex_wake_all(word_of(&map));
    for (int i = 0; i < SLEEPERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(sleepers[i], &status, 0), sleepers[i]);
        assert_int_equal(status, 0);
    }
}

static void nobody_sleeps_on_a_word_that_has_changed(void **state)
{
    (void)state;
    atomic_store(word_of(&map), 7);
    rill__futex_wait(word_of(&map), 6, INT64_MAX);
    assert_int_equal(atomic_load(word_of(&map)), 7);
}

static void nobody_sleeps_past_the_deadline(void **state)
{
    int64_t deadline = rill__deadline(2);

    (void)state;
    rill__futex_wait(word_of(&map), 0, 0); /* long ago */
    rill__futex_wait(word_of(&map), 0, rill__monotonic_ns());
    while (rill__monotonic_ns() < deadline) rill__futex_wait(word_of(&map), 0, deadline);
    assert_int_equal(atomic_load(word_of(&map)), 0);
}

static void waking_nobody_is_fine(void **state)
{
    (void)state;
    rill__futex_wake_all(word_of(&map));
    assert_int_equal(atomic_load(word_of(&map)), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_are_woken_at_once),
        TEST(nobody_sleeps_on_a_word_that_has_changed),
        TEST(nobody_sleeps_past_the_deadline),
        TEST(waking_nobody_is_fine),
    };
    alarm(120); /* one that sleeps for ever is red, not stuck */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
