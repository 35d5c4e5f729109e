/*
 * A forked child has a number of its own, closes what was watched for it and
 * nothing else, and keeps no lock of its parent's alive.
 */
#include "os/os.h"
#include "os/thread.h"
#include "testing.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WATCHED_MAX 64

static struct mutex guarded;

static int set_up_all(void **state)
{
    (void)state;
    rill__mutex_init(&guarded);
    OK(rill__fork_watch(&guarded));
    return 0;
}

static int open_one(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* 0, or the number that the child gave. */
static int outcome(pid_t child)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void every_generation_has_its_number(void **state)
{
    uint32_t mine = rill__fork_generation();
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        uint32_t childs = rill__fork_generation();
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(rill__fork_generation() != mine && rill__fork_generation() != childs ? 0 : 1);
        if (childs == mine || rill__fork_generation() != childs) _exit(2);
        _exit(outcome(grandchild));
    }
    assert_int_equal(outcome(child), 0);
    assert_int_equal(rill__fork_generation(), mine);
}

static void a_child_closes_what_is_watched_and_nothing_else(void **state)
{
    int watched = open_one();
    int free_one = open_one();
    int forgotten = open_one();
    pid_t child;

    (void)state;
    OK(rill__fork_close_on(watched));
    OK(rill__fork_close_on(forgotten));
    rill__fork_forget(forgotten);
    rill__fork_forget(free_one); /* never watched: nothing */
    child = fork();
    if (child == 0)
        _exit(is_open(watched) ? 1 : !is_open(free_one) ? 2 : !is_open(forgotten) ? 3 : 0);
    assert_int_equal(outcome(child), 0);
    assert_true(is_open(watched));
    rill__fork_forget(watched);
    close(watched);
    close(free_one);
    close(forgotten);
}

/* The child's own descriptor may have the number of the one closed. */
static void a_grandchild_closes_nothing_of_the_childs(void **state)
{
    int watched = open_one();
    pid_t child;

    (void)state;
    OK(rill__fork_close_on(watched));
    child = fork();
    if (child == 0) {
        int mine = open("/dev/null", O_RDONLY);
        pid_t grandchild;
        if (mine != watched && dup2(mine, watched) < 0) _exit(1);
        grandchild = fork();
        if (grandchild == 0) _exit(is_open(watched) ? 0 : 2);
        _exit(outcome(grandchild));
    }
    assert_int_equal(outcome(child), 0);
    rill__fork_forget(watched);
    close(watched);
}

static void a_child_keeps_no_lock_of_its_parent_alive(void **state)
{
    struct file dir;
    struct file file;
    struct file other;
    pid_t child;

    (void)state;
    OK(rill__dir_open(test_directory(), &dir));
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    OK(rill__file_open(&dir, "f", FILE_WRITE, &other));
    OK(rill__file_lock(&file, 0, FILE_LOCK_EXCLUSIVE, 0));
    OK(rill__fork_close_on(file.fd));
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    rill__fork_forget(file.fd);
    FAILS(RILL_ERR_BUSY, rill__file_lock(&other, 0, FILE_LOCK_EXCLUSIVE, 0));
    rill__file_close(&file);
    OK(rill__file_lock(&other, 0, FILE_LOCK_EXCLUSIVE, 60000)); /* the child lives */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    rill__file_close(&other);
    rill__file_close(&dir);
    test_directory_remove();
}

static int watch_all(void)
{
    int n = 0;

    while (n < 1000 && rill__fork_close_on(100000 + n) == 0) n++;
    return n;
}

static void as_many_are_watched_as_is_said(void **state)
{
    pid_t child;

    (void)state;
    assert_int_equal(watch_all(), WATCHED_MAX);
    FAILS(RILL_ERR_NO_MEMORY, rill__fork_close_on(1));
    assert_non_null(strstr(rill_errmsg(), "64"));
    child = fork();
    if (child == 0) _exit(watch_all() == WATCHED_MAX ? 0 : 1); /* it starts with none */
    assert_int_equal(outcome(child), 0);
    rill__fork_forget(100000 + 30);
    OK(rill__fork_close_on(100000 + 30));
    for (int i = 0; i < WATCHED_MAX; i++) rill__fork_forget(100000 + i);
    assert_int_equal(watch_all(), WATCHED_MAX);
    for (int i = 0; i < WATCHED_MAX; i++) rill__fork_forget(100000 + i);
}

static void the_mutex_is_free_on_both_sides(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) _exit(rill__mutex_trylock(&guarded) ? 0 : 1);
        assert_int_equal(outcome(child), 0);
        assert_true(rill__mutex_trylock(&guarded));
        rill__mutex_unlock(&guarded);
    }
}

/* ---- A fork waits for the mutex ---- */

static _Atomic bool is_held;
static _Atomic bool may_end;
static bool is_whole = true; /* guarded */

static void *hold_for_a_while(void *arg)
{
    rill__mutex_lock(&guarded);
    is_whole = false;
    atomic_store(&is_held, true);
    rill__sleep_ns(5000000);
    is_whole = true;
    rill__mutex_unlock(&guarded);
    while (!atomic_load(&may_end)) rill__sleep_ns(100000);
    return arg;
}

static void a_child_finds_what_is_guarded_whole(void **state)
{
    struct thread thread;
    pid_t child;

    (void)state;
    OK(rill__thread_start(&thread, hold_for_a_while, NULL));
    while (!atomic_load(&is_held)) rill__sleep_ns(10000);
    child = fork();
    if (child == 0) _exit(is_whole ? 0 : 1);
    atomic_store(&may_end, true);
    rill__thread_join(&thread);
    assert_int_equal(outcome(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_generation_has_its_number),
        cmocka_unit_test(a_child_closes_what_is_watched_and_nothing_else),
        cmocka_unit_test(a_grandchild_closes_nothing_of_the_childs),
        cmocka_unit_test(a_child_keeps_no_lock_of_its_parent_alive),
        cmocka_unit_test(as_many_are_watched_as_is_said),
        cmocka_unit_test(the_mutex_is_free_on_both_sides),
        cmocka_unit_test(a_child_finds_what_is_guarded_whole),
    };
    alarm(120); /* one that waits in vain is red, not stuck */
    return cmocka_run_group_tests(tests, set_up_all, NULL);
}
