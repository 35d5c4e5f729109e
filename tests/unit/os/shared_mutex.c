/*
 * A mutex in a mapped file keeps processes apart; one that sleeps for it learns
 * that the holder has died, be it a process or a thread, and that it cannot be
 * had any more when nobody repaired what it guards.
 */
#include "os/os.h"
#include "os/thread.h"
#include "testing.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define CHILDREN 4
#define ROUNDS 1000

/* What is in the file. */
struct shared {
    struct shared_mutex mutex;
    uint64_t counter; /* guarded by mutex */
    _Atomic uint32_t step;
};

static struct file dir;
static struct map map;
static struct shared *shared;

static struct shared *map_shared(struct map *to)
{
    struct file file;

    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    OK(rill__file_allocate(&file, sizeof(struct shared)));
    OK(rill__map(&file, sizeof(struct shared), true, to));
    rill__file_close(&file);
    return (struct shared *)(void *)to->data;
}

static int set_up(void **state)
{
    (void)state;
    OK(rill__dir_open(test_directory(), &dir));
    shared = map_shared(&map);
    OK(rill__shared_mutex_init(&shared->mutex));
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

/* The child maps the file anew, and ends with work's result. */
static pid_t start_child(int (*work)(struct shared *own))
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct map own = MAP_NONE;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(work(map_shared(&own)));
    }
    return child;
}

static int outcome(pid_t child)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void wait_for_step(uint32_t step)
{
    while (atomic_load(&shared->step) < step) rill__sleep_ns(100000);
}

/* By what the kernel says of it; it wakes for a moment under some sanitizers. */
static void wait_until_asleep(pid_t child)
{
    char path[40];
    char text[300];
    const char *p = NULL;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    while (p == NULL || strncmp(p, ") S", 3) != 0) {
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        p = fgets(text, sizeof text, f);
        fclose(f);
        p = p == NULL ? NULL : strrchr(text, ')');
    }
}

/* ---- Between the living ---- */

static int count_up(struct shared *own)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t before;
        if (rill__shared_mutex_lock(&own->mutex, INT64_MAX) != 0) return 1;
        before = *(volatile uint64_t *)&own->counter;
        if (i % 16 == 0) rill__sleep_ns(1); /* others have their chance */
        own->counter = before + 1;
        rill__shared_mutex_unlock(&own->mutex);
    }
    return 0;
}

static void processes_are_kept_apart(void **state)
{
    pid_t children[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++) children[i] = start_child(count_up);
    for (int i = 0; i < CHILDREN; i++) assert_int_equal(outcome(children[i]), 0);
    assert_int_equal(shared->counter, CHILDREN * ROUNDS);
}

static int hold_until_killed(struct shared *own)
{
    if (rill__shared_mutex_lock(&own->mutex, INT64_MAX) < 0) return 1;
    atomic_fetch_add(&own->step, 1);
    for (;;) pause();
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void a_held_one_is_waited_for_no_longer_than_said(void **state)
{
    int64_t deadline = rill__deadline(3);
    pid_t child = start_child(hold_until_killed);

    (void)state;
    wait_for_step(1);
    FAILS(RILL_ERR_TIMEOUT, rill__shared_mutex_lock(&shared->mutex, deadline));
    assert_true(rill__monotonic_ns() >= deadline);
    FAILS(RILL_ERR_TIMEOUT, rill__shared_mutex_lock(&shared->mutex, 0)); /* long ago */
    end(child);
}

static void a_try_that_fails_leaves_the_message(void **state)
{
    (void)state;
    OK(rill__shared_mutex_trylock(&shared->mutex));
    rill__fail(RILL_ERR_IO, "the old one");
    assert_int_equal(rill__shared_mutex_trylock(&shared->mutex), RILL_ERR_BUSY);
    assert_string_equal(rill_errmsg(), "the old one");
    rill__shared_mutex_unlock(&shared->mutex);
    OK(rill__shared_mutex_trylock(&shared->mutex));
    rill__shared_mutex_unlock(&shared->mutex);
}

/* ---- After a death ---- */

/* With exit statuses that no other failure has. */
#define GOT_IT 10
#define OWNER_DIED 11
#define UNRECOVERABLE 12

static int take(struct shared *own, int64_t deadline_ns)
{
    int rc;

    atomic_fetch_add(&own->step, 1);
    rc = rill__shared_mutex_lock(&own->mutex, deadline_ns);
    if (rc == RILL_ERR_IO) return UNRECOVERABLE;
    if (rc < 0) return 1;
    if (rc == RILL__OWNER_DIED) rill__shared_mutex_repaired(&own->mutex);
    rill__shared_mutex_unlock(&own->mutex);
    return rc == RILL__OWNER_DIED ? OWNER_DIED : GOT_IT;
}

static int take_for_ever(struct shared *own)
{
    return take(own, INT64_MAX);
}

static int take_for_long(struct shared *own)
{
    return take(own, rill__deadline(100000));
}

static void skip_where_deaths_are_not_told(void)
{
    if (getenv("RILL_TEST_EMULATED") != NULL) skip();
}

static void a_death_wakes_one_who(int (*sleeps)(struct shared *own))
{
    pid_t holder = start_child(hold_until_killed);
    pid_t sleeper;

    wait_for_step(1);
    sleeper = start_child(sleeps);
    wait_for_step(2);
    wait_until_asleep(sleeper);
    end(holder);
    assert_int_equal(outcome(sleeper), OWNER_DIED);
    OK(rill__shared_mutex_lock(&shared->mutex, 0)); /* repaired: as ever */
    rill__shared_mutex_unlock(&shared->mutex);
}

static void a_death_is_told_to_who_sleeps_for_ever(void **state)
{
    (void)state;
    skip_where_deaths_are_not_told();
    a_death_wakes_one_who(take_for_ever);
}

static void a_death_is_told_to_who_sleeps_for_a_time(void **state)
{
    (void)state;
    skip_where_deaths_are_not_told();
    a_death_wakes_one_who(take_for_long);
}

static void only_the_first_is_told_of_a_death(void **state)
{
    pid_t holder;
    pid_t takers[CHILDREN];
    int told = 0;

    (void)state;
    skip_where_deaths_are_not_told();
    holder = start_child(hold_until_killed);
    wait_for_step(1);
    for (int i = 0; i < CHILDREN; i++)
        takers[i] = start_child(i % 2 == 0 ? take_for_ever : take_for_long);
    wait_for_step(1 + CHILDREN);
    end(holder);
    for (int i = 0; i < CHILDREN; i++) {
        int how = outcome(takers[i]);
        assert_in_range(how, GOT_IT, OWNER_DIED);
        told += how == OWNER_DIED;
    }
    assert_int_equal(told, 1);
}

/* Dying again before the repair is done is a death like the first. */
static void a_repairer_may_die_too(void **state)
{
    (void)state;
    skip_where_deaths_are_not_told();
    for (uint32_t i = 1; i <= 3; i++) {
        pid_t holder = start_child(hold_until_killed);
        wait_for_step(i);
        end(holder);
    }
    assert_int_equal(rill__shared_mutex_trylock(&shared->mutex), RILL__OWNER_DIED);
    rill__shared_mutex_repaired(&shared->mutex);
    rill__shared_mutex_unlock(&shared->mutex);
    OK(rill__shared_mutex_trylock(&shared->mutex));
    rill__shared_mutex_unlock(&shared->mutex);
}

static void nobody_repairs_it_for_one_who(int (*sleeps)(struct shared *own))
{
    pid_t holder = start_child(hold_until_killed);
    pid_t sleeper;

    wait_for_step(1);
    end(holder);
    assert_int_equal(rill__shared_mutex_trylock(&shared->mutex), RILL__OWNER_DIED);
    sleeper = start_child(sleeps);
    wait_for_step(2);
    wait_until_asleep(sleeper);
    rill__shared_mutex_unlock(&shared->mutex); /* without a repair */
    assert_int_equal(outcome(sleeper), UNRECOVERABLE);
}

static void who_sleeps_for_ever_learns_that_nobody_repaired_it(void **state)
{
    (void)state;
    skip_where_deaths_are_not_told();
    nobody_repairs_it_for_one_who(take_for_ever);
}

static void who_sleeps_for_a_time_learns_that_nobody_repaired_it(void **state)
{
    (void)state;
    skip_where_deaths_are_not_told();
    nobody_repairs_it_for_one_who(take_for_long);
}

static void *lock_and_leave(void *arg)
{
    struct shared_mutex *mutex = arg;

    return rill__shared_mutex_lock(mutex, INT64_MAX) == 0 ? arg : NULL;
}

static void a_thread_that_ended_is_dead_too(void **state)
{
    struct thread thread;

    (void)state;
    skip_where_deaths_are_not_told();
    OK(rill__thread_start(&thread, lock_and_leave, &shared->mutex));
    rill__thread_join(&thread);
    assert_int_equal(rill__shared_mutex_lock(&shared->mutex, rill__deadline(60000)),
                     RILL__OWNER_DIED);
    rill__shared_mutex_repaired(&shared->mutex);
    rill__shared_mutex_unlock(&shared->mutex);
}

/* ---- Builds ---- */

static int compare_abi(struct shared *own)
{
    return own->counter == rill__shared_abi() ? 0 : 1;
}

static void one_build_has_one_stamp(void **state)
{
    uint64_t stamp = rill__shared_abi();

    (void)state;
    assert_true(stamp != 0);
    assert_int_equal(stamp & 0xff, sizeof(pthread_mutex_t));
    assert_int_equal(stamp >> 8 & 0xff, sizeof(void *));
    shared->counter = stamp;
    assert_int_equal(outcome(start_child(compare_abi)), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(processes_are_kept_apart),
        TEST(a_held_one_is_waited_for_no_longer_than_said),
        TEST(a_try_that_fails_leaves_the_message),
        TEST(a_death_is_told_to_who_sleeps_for_ever),
        TEST(a_death_is_told_to_who_sleeps_for_a_time),
        TEST(only_the_first_is_told_of_a_death),
        TEST(a_repairer_may_die_too),
        TEST(who_sleeps_for_ever_learns_that_nobody_repaired_it),
        TEST(who_sleeps_for_a_time_learns_that_nobody_repaired_it),
        TEST(a_thread_that_ended_is_dead_too),
        TEST(one_build_has_one_stamp),
    };
    alarm(120); /* one that waits in vain is red, not stuck */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
