/*
 * A store that others are in, in every state that they can leave it in: one who
 * does not finish opening it, one built for another machine, one that is this
 * very process, as many as there is room for. Each is an error that says so, and
 * when they are gone the store opens and has all that it had.
 */
#include "engine/store.h"
#include "os/os.h"
#include "os/sys.h"
#include "stores.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct shared *shared; /* the file, mapped */
static pid_t child;
static int ready[2];
static int record_count; /* of the topic */
static struct sys_calls real;

static int set_up(void **state)
{
    rill *store;

    (void)state;
    real = rill__sys;
    test_directory();
    store = test_store_open();
    test_topic(store, "t", 1);
    test_store_append(store, "t", 0, 3, 10);
    record_count = 3;
    OK(rill_close(store));
    child = 0;
    return pipe(ready);
}

static void end_child(void)
{
    if (child == 0) return;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    child = 0;
}

static int tear_down(void **state)
{
    (void)state;
    rill__sys = real;
    end_child();
    if (shared != NULL) munmap(shared, SHARED_SIZE);
    shared = NULL;
    close(ready[0]);
    close(ready[1]);
    test_directory_remove();
    return 0;
}

static void map_words(void)
{
    int fd = open(test_path("store/shared"), O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    shared = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(shared != MAP_FAILED);
    close(fd);
}

/* A child does it, says so, and stays. */
static void child_does(void (*work)(void))
{
    char byte;

    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        work();
        if (write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
}

static void open_it(void)
{
    test_store_open();
}

static void lock_presence(short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int fd = open(test_path("store/shared"), O_RDWR | O_CLOEXEC);

    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) != 0) _exit(1);
}

static void lock_it_alone(void)
{
    lock_presence(F_WRLCK);
}

static void lock_it_shared(void)
{
    lock_presence(F_RDLCK);
}

static int open_quickly(rill **store)
{
    rill_options options = {.size = sizeof options, .open_timeout_ms = 50};

    *store = NULL;
    return rill_open(test_path("store"), &options, store);
}

static void does_not_open(int code, const char *why)
{
    rill *store;

    FAILS(code, open_quickly(&store));
    assert_null(store);
    if (strstr(rill_errmsg(), why) == NULL)
        fail_msg("the message is \"%s\", without \"%s\"", rill_errmsg(), why);
}

static void opens_with_all(void)
{
    rill_partition_info info;
    rill *store;

    OK(open_quickly(&store));
    OK(rill_partition_describe(store, "t", 0, &info));
    assert_int_equal(info.log_end, record_count);
    test_store_append(store, "t", record_count++, 1, 10);
    OK(rill_close(store));
}

static void one_who_stays_alone_in_it_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    child_does(lock_it_alone);
    does_not_open(RILL_ERR_TIMEOUT, "lock");
    end_child();
    opens_with_all();
}

/* As if whoever was first had died before it was done, while another waits. */
static void one_who_does_not_finish_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    map_words();
    child_does(lock_it_shared);
    atomic_store(&shared->incarnation, 0);
    does_not_open(RILL_ERR_TIMEOUT, "no process finishes opening it");
    atomic_store(&shared->incarnation, 5);
    end_child();
    opens_with_all();
}

static void one_of_another_version_is_refused(void **state)
{
    (void)state;
    child_does(open_it);
    map_words();
    shared->magic ^= UINT64_C(1) << 56;
    does_not_open(RILL_ERR_UNSUPPORTED, "another version of the library");
    end_child();
    opens_with_all();
}

/* As a process in the store holds its slots' bytes; who, nobody can tell. */
static int hold_slots(int first, int count)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 256 + first, .l_len = count};
    int fd = open(test_path("store/shared"), O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    return fd;
}

static void *finish(void *arg)
{
    (void)arg;
    rill__sleep_ns(20000000);
    atomic_store(&shared->incarnation, 77);
    return NULL;
}

static void one_who_finishes_is_waited_for(void **state)
{
    rill_options options = {.size = sizeof options};
    pthread_t thread;
    rill *store;

    (void)state;
    child_does(open_it);
    map_words();
    atomic_store(&shared->incarnation, 0);
    assert_int_equal(pthread_create(&thread, NULL, finish, NULL), 0);
    OK(rill_open(test_path("store"), &options, &store));
    pthread_join(thread, NULL);
    OK(rill_close(store));
}

static void one_of_another_machine_is_refused(void **state)
{
    uint64_t ours;

    (void)state;
    child_does(open_it);
    map_words();
    ours = shared->abi;
    shared->abi++;
    does_not_open(RILL_ERR_UNSUPPORTED, "another machine");
    shared->abi = ours;
    opens_with_all();
}

static void another_copy_of_the_library_is_noticed(void **state)
{
    struct process_slot *slot;
    int fd;

    (void)state;
    child_does(open_it);
    map_words();
    slot = &shared->processes[100];
    atomic_store(&slot->start, rill__process_start(rill__process_id()));
    atomic_store(&slot->pid_space, rill__pid_namespace());
    atomic_store(&slot->pid, rill__process_id());
    opens_with_all(); /* it has been closed: nobody holds its byte */
    fd = hold_slots(100, 1);
    does_not_open(RILL_ERR_BUSY, "another copy of the library");
    atomic_store(&slot->pid_space, 1); /* another process in another container */
    opens_with_all();
    atomic_store(&slot->pid_space, rill__pid_namespace());
    atomic_store(&slot->start, 1); /* an earlier process had the same number */
    opens_with_all();
    close(fd);
}

static int no_stat(int dir, const char *name, int flags, ...)
{
    mode_t mode;
    va_list args;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, int) : 0;
    va_end(args);
    if (strncmp(name, "/proc/", 6) == 0 && strstr(name, "/stat") != NULL) {
        errno = ENOENT;
        return -1;
    }
    return real.openat(dir, name, flags, mode);
}

/* Without /proc nobody can tell; then it is not refused. */
static void without_a_start_time_nobody_is_refused(void **state)
{
    (void)state;
    child_does(open_it);
    map_words();
    atomic_store(&shared->processes[100].pid, rill__process_id());
    rill__sys.openat = no_stat;
    opens_with_all();
    rill__sys = real;
}

static void more_processes_than_there_is_room_for_are_refused(void **state)
{
    int fd;

    (void)state;
    child_does(open_it);
    map_words();
    fd = hold_slots(1, PROCESSES_MAX - 1);
    does_not_open(RILL_ERR_BUSY, "is open in 256 processes already");
    close(fd); /* they have died */
    opens_with_all();
    assert_int_equal(atomic_load(&shared->processes[1].pid), 0);
}

static void a_catalogue_lock_that_nobody_repaired_is_told(void **state)
{
    (void)state;
    child_does(open_it);
    map_words();
    atomic_store(&shared->catalogue_turns.lock.unrecoverable, 1);
    does_not_open(RILL_ERR_IO, "unrecoverable");
    end_child();
    opens_with_all();
}

static void *no_map(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    (void)at, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
    errno = ENOMEM;
    return MAP_FAILED;
}

static void words_that_cannot_be_mapped_are_told(void **state)
{
    (void)state;
    child_does(open_it);
    rill__sys.mmap = no_map;
    does_not_open(RILL_ERR_NO_MEMORY, "shared");
    rill__sys = real;
    opens_with_all();
}

static void open_without_threads(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_THREAD};
    const struct rlimit none = {0, 0};
    rill *store = NULL;
    int rc;

    if (setrlimit(RLIMIT_NPROC, &none) != 0) _exit(77);
    if (geteuid() == 0) { /* who may do all is not limited; but it owns the files */
        if (setresuid(65534, 65534, 0) != 0) _exit(77);
        setfsuid(0);
    }
    rc = rill_open(test_path("store"), &options, &store);
    if (rc == 0 || store != NULL || strstr(rill_errmsg(), "cannot start a thread") == NULL) {
        fprintf(stderr, "%d, %s\n", rc, rill_errmsg());
        _exit(1);
    }
    _exit(0);
}

static void without_a_thread_the_store_does_not_open(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    if (getenv("RILL_TEST_EMULATED") != NULL) skip(); /* the limit is the emulator's, too */
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        open_without_threads();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
    opens_with_all();
}

/* ---- Stores in one process ---- */

static void stores_are_closed_in_any_order(void **state)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    char memory[] = "/dev/shm/rill-test-XXXXXX"; /* another device, mostly */
    rill *stores[3];
    rill *elsewhere = NULL;

    (void)state;
    if (mkdtemp(memory) != NULL) OK(rill_open(memory, &options, &elsewhere));
    OK(rill_open(test_path("a"), &options, &stores[0]));
    OK(rill_open(test_path("b"), &options, &stores[1]));
    OK(rill_open(test_path("c"), &options, &stores[2]));
    test_topic(stores[0], "only-a", 1);
    OK(rill_close(stores[1]));
    OK(rill_close(stores[0]));
    OK(rill_close(stores[2]));
    OK(rill_close(elsewhere));
    test_remove(memory);
    opens_with_all();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_who_stays_alone_in_it_is_not_waited_for_for_ever),
        TEST(one_who_does_not_finish_is_not_waited_for_for_ever),
        TEST(one_who_finishes_is_waited_for),
        TEST(one_of_another_machine_is_refused),
        TEST(one_of_another_version_is_refused),
        TEST(another_copy_of_the_library_is_noticed),
        TEST(without_a_start_time_nobody_is_refused),
        TEST(more_processes_than_there_is_room_for_are_refused),
        TEST(a_catalogue_lock_that_nobody_repaired_is_told),
        TEST(words_that_cannot_be_mapped_are_told),
        TEST(without_a_thread_the_store_does_not_open),
        TEST(stores_are_closed_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
