/*
 * A lock on a byte of a file keeps other processes out until its holder lets
 * go, closes the file or is killed.
 */
#include "os/os.h"
#include "os/sys.h"
#include "testing.h"
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct sys_calls standard;
static struct file dir;
static struct file file;
static _Atomic uint32_t *step; /* between this process and its children */

static int set_up(void **state)
{
    (void)state;
    standard = rill__sys;
    step = test_shared(sizeof *step);
    OK(rill__dir_open(test_directory(), &dir));
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rill__sys = standard;
    rill__file_close(&file);
    rill__file_close(&dir);
    test_directory_remove();
    munmap(step, sizeof *step);
    return 0;
}

/* Holds byte 7 through an open file of its own until it is killed. */
static void hold_as_child(enum file_lock kind)
{
    struct file own;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (rill__file_open(&dir, "f", FILE_WRITE, &own) != 0) _exit(1);
    if (rill__file_lock(&own, 7, kind, RILL_FOREVER) != 0) _exit(2);
    atomic_store(step, 1);
    for (;;) pause();
}

static pid_t start_holder(enum file_lock kind)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) hold_as_child(kind);
    return child;
}

static void wait_for_holder(void)
{
    while (atomic_load(step) == 0) rill__sleep_ns(100000);
}

static void end(pid_t child)
{
    int status = -1;

    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void another_process_is_kept_out_until_the_holder_is_killed(void **state)
{
    pid_t child = start_holder(FILE_LOCK_EXCLUSIVE);

    (void)state;
    wait_for_holder();
    FAILS(RILL_ERR_BUSY, rill__file_lock(&file, 7, FILE_LOCK_SHARED, 0));
    FAILS(RILL_ERR_TIMEOUT, rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, 3));
    OK(rill__file_lock(&file, 6, FILE_LOCK_EXCLUSIVE, 0));
    OK(rill__file_lock(&file, 8, FILE_LOCK_EXCLUSIVE, 0));
    end(child);
    OK(rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, 60000));
}

static void shared_ones_keep_out_only_exclusive_ones(void **state)
{
    pid_t child = start_holder(FILE_LOCK_SHARED);

    (void)state;
    wait_for_holder();
    OK(rill__file_lock(&file, 7, FILE_LOCK_SHARED, 0));
    FAILS(RILL_ERR_BUSY, rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, 0));
    end(child);
    OK(rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, 60000));
}

static void who_waits_for_ever_gets_it_in_the_end(void **state)
{
    pid_t child;

    (void)state;
    OK(rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, 0));
    child = start_holder(FILE_LOCK_EXCLUSIVE);
    rill__sleep_ns(2000000);
    assert_int_equal(atomic_load(step), 0);
    OK(rill__file_lock(&file, 7, FILE_LOCK_NONE, 0));
    wait_for_holder();
    FAILS(RILL_ERR_BUSY, rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, 0));
    end(child);
}

static void closing_another_descriptor_lets_nothing_go(void **state)
{
    struct file second;
    struct file third;

    (void)state;
    OK(rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, 0));
    OK(rill__file_open(&dir, "f", FILE_WRITE, &second));
    rill__file_close(&second);
    OK(rill__file_open(&dir, "f", FILE_WRITE, &third));
    FAILS(RILL_ERR_BUSY, rill__file_lock(&third, 7, FILE_LOCK_EXCLUSIVE, 0));
    rill__file_close(&third);
}

static void bytes_lie_anywhere(void **state)
{
    struct file other;

    (void)state;
    OK(rill__file_open(&dir, "f", FILE_WRITE, &other));
    OK(rill__file_lock(&file, UINT64_C(1) << 40, FILE_LOCK_EXCLUSIVE, 0));
    FAILS(RILL_ERR_BUSY, rill__file_lock(&other, UINT64_C(1) << 40, FILE_LOCK_EXCLUSIVE, 0));
    OK(rill__file_lock(&other, (UINT64_C(1) << 40) + 1, FILE_LOCK_EXCLUSIVE, 0));
    OK(rill__file_lock(&other, 0, FILE_LOCK_EXCLUSIVE, 0));
    rill__file_close(&other);
}

/* ---- With a system that does not oblige ---- */

static int answers[4];
static int answer_count;

static int fcntl_answers(int fd, int command, ...)
{
    (void)fd, (void)command;
    errno = answers[answer_count++];
    return errno == 0 ? 0 : -1;
}

static void a_lock_is_tried_until_there_is_an_answer(void **state)
{
    static const int in_turn[4] = {EINTR, EAGAIN, EACCES, 0};

    (void)state;
    memcpy(answers, in_turn, sizeof answers);
    answer_count = 0;
    rill__sys.fcntl = fcntl_answers;
    OK(rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, RILL_FOREVER));
    assert_int_equal(answer_count, 4);
}

static void a_lock_that_cannot_be_is_an_error_at_once(void **state)
{
    (void)state;
    answers[0] = ENOLCK;
    answer_count = 0;
    rill__sys.fcntl = fcntl_answers;
    FAILS(RILL_ERR_IO, rill__file_lock(&file, 7, FILE_LOCK_EXCLUSIVE, RILL_FOREVER));
    assert_non_null(strstr(rill_errmsg(), "/f: cannot lock byte 7: No locks available"));
    assert_int_equal(answer_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(another_process_is_kept_out_until_the_holder_is_killed),
        TEST(shared_ones_keep_out_only_exclusive_ones),
        TEST(who_waits_for_ever_gets_it_in_the_end),
        TEST(closing_another_descriptor_lets_nothing_go),
        TEST(bytes_lie_anywhere),
        TEST(a_lock_is_tried_until_there_is_an_answer),
        TEST(a_lock_that_cannot_be_is_an_error_at_once),
    };
    alarm(120); /* one that waits in vain is red, not stuck */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
