/*
 * Locks and sleeping words work between processes, and a holder that was killed
 * is noticed by the next one; clocks, boot and process have an identity; a
 * child knows that it was forked.
 */
#include "os/thread.h"
#include "os/os.h"
#include "testing.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Between this process and its children. */
static struct {
    struct shared_mutex mutex;
    _Atomic uint32_t word;
    _Atomic uint32_t step;
} * shared;

static int set_up(void **state)
{
    (void)state;
    shared = test_shared(sizeof *shared);
    OK(rill__shared_mutex_init(&shared->mutex));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    munmap(shared, sizeof *shared);
    return 0;
}

static pid_t start_child(void (*work)(void))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        work();
        _exit(0);
    }
    return pid;
}

static void wait_for_step(uint32_t step)
{
    while (atomic_load(&shared->step) < step) rill__sleep_ns(100000);
}

static int64_t soon(int ms)
{
    return rill__deadline(ms);
}

/* ---- The shared mutex ---- */

static void hold_for_ever(void)
{
    if (rill__shared_mutex_lock(&shared->mutex, INT64_MAX) < 0) _exit(1);
    atomic_store(&shared->step, 1);
    pause();
}

static void a_killed_holder_is_noticed(void **state)
{
    pid_t child;

    (void)state;
    if (getenv("RILL_TEST_EMULATED") != NULL) skip(); /* no robust list there */
    child = start_child(hold_for_ever);
    wait_for_step(1);
    assert_int_equal(rill__shared_mutex_trylock(&shared->mutex), RILL_ERR_BUSY);
    FAILS(RILL_ERR_TIMEOUT, rill__shared_mutex_lock(&shared->mutex, soon(5)));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(rill__shared_mutex_lock(&shared->mutex, soon(60000)), RILL__OWNER_DIED);
    rill__shared_mutex_repaired(&shared->mutex);
    rill__shared_mutex_unlock(&shared->mutex);
    OK(rill__shared_mutex_lock(&shared->mutex, INT64_MAX));
    rill__shared_mutex_unlock(&shared->mutex);
}

static void a_lock_that_nobody_repairs_says_so(void **state)
{
    pid_t child;

    (void)state;
    if (getenv("RILL_TEST_EMULATED") != NULL) skip();
    child = start_child(hold_for_ever);
    wait_for_step(1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(rill__shared_mutex_trylock(&shared->mutex), RILL__OWNER_DIED);
    rill__shared_mutex_unlock(&shared->mutex);
    FAILS(RILL_ERR_IO, rill__shared_mutex_lock(&shared->mutex, soon(1000)));
    assert_non_null(strstr(rill_errmsg(), "unrecoverable"));
}

static void a_waiter_gets_it_when_it_is_free(void **state)
{
    pid_t child;
    int status = -1;

    (void)state;
    OK(rill__shared_mutex_lock(&shared->mutex, INT64_MAX));
    child = start_child(hold_for_ever);
    rill__sleep_ns(2000000);
    assert_int_equal(atomic_load(&shared->step), 0);
    rill__shared_mutex_unlock(&shared->mutex);
    wait_for_step(1);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
}

/* ---- Sleeping words ---- */

static void sleep_on_word(void)
{
    while (atomic_load(&shared->word) == 0) {
        atomic_store(&shared->step, 1);
        rill__futex_wait(&shared->word, 0, INT64_MAX);
    }
    atomic_store(&shared->step, 2);
}

static void a_sleeper_is_woken_across_processes(void **state)
{
    pid_t child = start_child(sleep_on_word);

    (void)state;
    wait_for_step(1);
    atomic_store(&shared->word, 1);
    rill__futex_wake_all(&shared->word);
    wait_for_step(2);
    waitpid(child, NULL, 0);
}

static void sleeping_ends_in_time(void **state)
{
    int64_t before = rill__monotonic_ns();

    (void)state;
    errno = 4242;
    rill__futex_wait(&shared->word, 1, INT64_MAX); /* not the value: at once */
    while (rill__monotonic_ns() < before + 3000000) rill__futex_wait(&shared->word, 0, soon(1));
    rill__futex_wait(&shared->word, 0, 0);
    rill__futex_wake_all(&shared->word);
    assert_int_equal(errno, 4242);
}

/* ---- Threads of this process ---- */

static struct mutex mutex;
static struct condition condition;
static int turns;

static void *take_turns(void *arg)
{
    sigset_t blocked;

    (void)arg;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    for (int i = 0; i < 1000; i++) {
        rill__mutex_lock(&mutex);
        while (turns % 2 == 0) rill__condition_wait(&condition, &mutex);
        turns++;
        rill__condition_signal_all(&condition);
        rill__mutex_unlock(&mutex);
    }
    return sigismember(&blocked, SIGINT) ? arg : NULL;
}

static void threads_take_turns(void **state)
{
    struct thread thread;

    (void)state;
    rill__mutex_init(&mutex);
    rill__condition_init(&condition);
    OK(rill__thread_start(&thread, take_turns, &thread));
    for (int i = 0; i < 1000; i++) {
        rill__mutex_lock(&mutex);
        while (turns % 2 == 1) rill__condition_wait(&condition, &mutex);
        turns++;
        rill__condition_signal_all(&condition);
        rill__mutex_unlock(&mutex);
    }
    rill__thread_join(&thread);
    rill__thread_join(&thread); /* once more is fine */
    assert_int_equal(turns, 2000);
    rill__mutex_lock(&mutex);
    assert_false(rill__mutex_trylock(&mutex));
    rill__mutex_unlock(&mutex);
    rill__condition_deinit(&condition);
    rill__mutex_deinit(&mutex);
}

static void *signal_one(void *arg)
{
    rill__mutex_lock(&mutex);
    turns = 1;
    rill__condition_signal_one(&condition);
    rill__mutex_unlock(&mutex);
    return arg;
}

static void waiting_has_an_end(void **state)
{
    struct thread thread;
    int64_t deadline;

    (void)state;
    rill__mutex_init(&mutex);
    rill__condition_init(&condition);
    rill__mutex_lock(&mutex);
    turns = 0;
    deadline = rill__deadline(10);
    while (rill__monotonic_ns() < deadline)
        rill__condition_wait_until(&condition, &mutex, deadline);
    OK(rill__thread_start(&thread, signal_one, NULL));
    while (turns == 0) rill__condition_wait_until(&condition, &mutex, INT64_MAX);
    rill__mutex_unlock(&mutex);
    rill__thread_detach(&thread);
    rill__thread_join(&thread); /* does nothing */
    rill__mutex_lock(&mutex);   /* it has left */
    rill__mutex_unlock(&mutex);
}

/* ---- Clocks and identity ---- */

static void deadlines_are_what_they_say(void **state)
{
    int64_t now = rill__monotonic_ns();

    (void)state;
    assert_int_equal(rill__deadline(RILL_FOREVER), INT64_MAX);
    assert_true(rill__deadline(1000) >= now + 1000000000);
    assert_int_equal(rill__time_left_ms(INT64_MAX), RILL_FOREVER);
    assert_int_equal(rill__time_left_ms(0), 0);
    assert_in_range(rill__time_left_ms(rill__deadline(60000)), 1, 60000);
    assert_true(rill__now_ms() > INT64_C(1700000000000));
}

static void the_boot_and_the_process_are_known(void **state)
{
    uint8_t one[16];
    uint8_t two[16];
    uint64_t a = 0;
    uint64_t b = 0;
    int32_t me = rill__process_id();

    (void)state;
    OK(rill__boot_id(one));
    OK(rill__boot_id(two));
    assert_memory_equal(one, two, 16);
    assert_int_equal(me, getpid());
    if (getenv("RILL_TEST_EMULATED") == NULL) {
        assert_true(rill__process_start(me) != 0);
        assert_int_equal(rill__process_start(me), rill__process_start(me));
    }
    assert_int_equal(rill__process_start(0x7ffffff0), 0);
    OK(rill__random(&a, sizeof a));
    OK(rill__random(&b, sizeof b));
    assert_true(a != b);
}

/* ---- fork() ---- */

static struct mutex guarded;
static uint32_t generation;
static int watched_fd;

static void look_as_child(void)
{
    if (rill__fork_generation() == generation) _exit(1);
    if (fcntl(watched_fd, F_GETFD) >= 0) _exit(2);
    if (!rill__mutex_trylock(&guarded)) _exit(3);
}

static void *hold_now_and_then(void *arg)
{
    _Atomic bool *stop = arg;

    while (!atomic_load(stop)) {
        rill__mutex_lock(&guarded);
        rill__mutex_unlock(&guarded);
    }
    return NULL;
}

static void a_child_knows_and_holds_nothing(void **state)
{
    static _Atomic bool stop;
    struct thread thread;

    (void)state;
    rill__mutex_init(&guarded);
    OK(rill__fork_watch(&guarded));
    OK(rill__fork_watch(&guarded));
    generation = rill__fork_generation();
    watched_fd = dup(0);
    OK(rill__fork_close_on(watched_fd));
    OK(rill__thread_start(&thread, hold_now_and_then, &stop));
    for (int i = 0; i < 50; i++) {
        int status = -1;
        pid_t child = start_child(look_as_child);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    atomic_store(&stop, true);
    rill__thread_join(&thread);
    assert_int_equal(rill__fork_generation(), generation);
    assert_true(fcntl(watched_fd, F_GETFD) >= 0);
    rill__fork_forget(watched_fd);
    close(watched_fd);
}

static void watched_descriptors_are_limited(void **state)
{
    int rc = 0;
    int n = 0;

    (void)state;
    while (n < 1000 && (rc = rill__fork_close_on(100000 + n)) == 0) n++;
    assert_int_equal(rc, RILL_ERR_NO_MEMORY);
    while (n > 0) rill__fork_forget(100000 + --n);
    OK(rill__fork_close_on(100000));
    rill__fork_forget(100000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_killed_holder_is_noticed),
        TEST(a_lock_that_nobody_repairs_says_so),
        TEST(a_waiter_gets_it_when_it_is_free),
        TEST(a_sleeper_is_woken_across_processes),
        TEST(sleeping_ends_in_time),
        TEST(threads_take_turns),
        TEST(waiting_has_an_end),
        TEST(deadlines_are_what_they_say),
        TEST(the_boot_and_the_process_are_known),
        TEST(a_child_knows_and_holds_nothing),
        TEST(watched_descriptors_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
