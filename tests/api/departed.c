/*
 * departed.c - processes that died in a store, were stopped, or left words behind
 * that mean nothing, as those see them that are still there.
 *
 *     what a dead one held is free, and nobody names it as alive;
 *     in doubt, one lives;
 *     shared words that another version or a madman wrote are written anew.
 */
#include "engine/members.h"
#include "faults.h"
#include "os/sys.h"
#include "members.h"
#include "records.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static rill *store;
static rill_consumer_options options;

static int set_up(void **state)
{
    store_set_up(state);
    store = *state;
    test_topic(store, "t", 2);
    options = member_options("g");
    return 0;
}

static int tear_down(void **state)
{
    *state = store;
    return store_tear_down(state);
}
#define WITH_T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void join(rill_consumer *consumer, size_t wanted)
{
    struct patience patience = {0};
    rill_record record;
    size_t parts = 0;
    size_t count;

    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    while (parts < wanted) {
        OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
        OK(rill_consumer_assignment(consumer, NULL, 0, &parts));
        if (parts < wanted) wait_a_little(&patience);
    }
}

/* ---- A process that comes in, and stays until it is killed ---- */

static pid_t start(void (*work)(rill *store))
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        rill *mine = NULL;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (rill_open(test_path("store"), NULL, &mine) != 0) _exit(1);
        work(mine);
        if (write(ready[1], "", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid, int signal)
{
    int status;

    assert_int_equal(kill(pid, signal), 0);
    assert_int_equal(waitpid(pid, &status, signal == SIGSTOP ? WUNTRACED : 0), pid);
}

static void be_member(rill *mine)
{
    join(consumer_open(mine, &options), 2);
}

static void read_some(rill *mine)
{
    rill_consumer *consumer = test_consumer(mine, "t", 0, 0);
    takes(consumer, 0, 2);
}

/* ---- What the others see ---- */

static char said[8000];
static size_t said_size;

static int note(void *arg, const rill_fact *fact)
{
    (void)arg;
    said_size += (size_t)snprintf(said + said_size, sizeof said - said_size, "%s\n", fact->text);
    return 0;
}

static bool says(rill_subject subject, const char *part)
{
    said_size = 0;
    OK(rill_explain(store, &subject, note, NULL));
    return strstr(said, part) != NULL;
}

static const rill_subject group_g = {.group = "g"};
static const rill_subject partition_0 = {.topic = "t", .partition = 0};

static rill_group_member last;

static int keep(void *arg, const rill_group_member *member)
{
    (void)arg;
    last = *member;
    return 0;
}

/* Whatever makes the group look at its clock. */
static void look_at_group(void)
{
    rill_group_info info;
    OK(rill_group_describe(store, "g", &info));
}

static void what_a_killed_process_had_pinned_is_not_named(void **state)
{
    pid_t pid;

    (void)state;
    put(store, "t", 0, 0, 2);
    pid = start(read_some);
    assert_true(says(partition_0, "reads or writes segment 0 of t-0"));
    end(pid, SIGSTOP);
    assert_true(says(partition_0, ", which is stopped, reads or writes"));
    end(pid, SIGKILL);
    assert_false(says(partition_0, "which is stopped"));
}

/* Logs that only others have open. */
static void what_cannot_be_opened_is_not_measured(void **state)
{
    pid_t pid = start(be_member);

    (void)state;
    faults_fail(FAULT_OPENAT, "control", 1, EACCES, FAULT_ONCE);
    assert_true(says(group_g, "t-1 is read by"));
    assert_null(strstr(strstr(said, "t-0 is read by"), "not committed\nt-1"));
    assert_non_null(strstr(strstr(said, "t-1 is read by"), "; 0 records are not committed"));
    faults_clear();
    assert_true(says(group_g, "t-0 is read by"));
    assert_non_null(strstr(strstr(said, "t-0 is read by"), "not committed\nt-1"));
    end(pid, SIGKILL);
}

static void a_static_member_that_was_killed_is_away(void **state)
{
    pid_t pid;

    (void)state;
    options.group_instance_id = "i";
    pid = start(be_member);
    OK(rill_group_members(store, "g", keep, NULL));
    assert_int_equal(last.pid, pid);
    assert_int_equal(last.away, 0);
    end(pid, SIGKILL);
    look_at_group();
    OK(rill_group_members(store, "g", keep, NULL));
    assert_int_equal(last.away, 1);
    assert_int_equal(last.pid, 0);
    assert_int_equal(last.polled_ms, -1);
    assert_int_equal(last.assigned_count, 2);
    assert_true(says(group_g, "is away since"));
}

static void one_that_is_stopped_gives_no_sign_of_life(void **state)
{
    struct member_slot *slot;
    struct process_slot *process;
    int64_t heard;
    pid_t pid = start(be_member);

    (void)state;
    look_at_group();
    slot = &atomic_load(&store->store->members)->slots[0];
    process = &store->store->shared->processes[atomic_load(&slot->process)];
    assert_int_equal(atomic_load(&process->pid), pid);
    end(pid, SIGSTOP);
    heard = atomic_load(&process->heard_ms);
    usleep(3000);
    look_at_group();
    assert_int_equal(atomic_load(&process->heard_ms), heard);
    assert_true(says(group_g, "which is stopped"));
    /* In another container its pid is not known here. */
    atomic_fetch_add(&process->pid_space, 1);
    look_at_group();
    assert_int_equal(atomic_load(&process->heard_ms), heard);
    assert_false(says(group_g, "which is stopped"));
    atomic_fetch_sub(&process->pid_space, 1);
    assert_int_equal(kill(pid, SIGCONT), 0);
    while (usleep(1000), look_at_group(), atomic_load(&process->heard_ms) == heard) {}
    end(pid, SIGKILL);
}

static int no_locks(int fd, int command, ...)
{
    (void)fd, (void)command;
    errno = EIO;
    return -1;
}

static void in_doubt_one_lives(void **state)
{
    struct sys_calls real = rill__sys;
    pid_t pid = start(be_member);
    rill_group_info info;

    (void)state;
    look_at_group();
    end(pid, SIGKILL);
    rill__sys.fcntl = no_locks; /* the kernel does not say that it is dead */
    look_at_group();
    OK(rill_group_members(store, "g", keep, NULL));
    assert_int_equal(last.assigned_count, 2);
    rill__sys = real;
    OK(rill_group_describe(store, "g", &info));
    assert_int_equal(info.member_count, 0);
}

static void a_place_without_a_process_is_nobodys(void **state)
{
    rill_consumer *a = consumer_open(store, &options);
    struct member_slot *slot;
    uint32_t process;

    (void)state;
    join(a, 2);
    slot = &atomic_load(&store->store->members)->slots[0];
    process = atomic_load(&slot->process);
    atomic_store(&slot->process, 123456);
    assert_true(says(group_g, "is gone, its process has ended"));
    look_at_group();
    assert_true(says(group_g, "it has no members"));
    atomic_store(&slot->process, process);
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- The members' words ---- */

/* The group is left by a process that died in a store that nobody else had open. */
static void leave_a_group_behind(void)
{
    OK(rill_close(store));
    end(start(be_member), SIGKILL);
    store = test_store_open();
}

static void a_group_is_not_judged_without_its_members_words(void **state)
{
    rill_group_info info;
    static const rill_subject subject = {.group = "g"};

    (void)state;
    leave_a_group_behind();
    faults_fail(FAULT_OPENAT, "members", 0, 0, FAULT_ONCE);
    for (int i = 0; i < 4; i++) {
        int rc;
        faults_fail(FAULT_OPENAT, "members", 1, EACCES, FAULT_ONCE);
        if (i == 0) rc = rill_group_describe(store, "g", &info);
        else if (i == 1) rc = rill_group_members(store, "g", keep, NULL);
        else if (i == 2) rc = rill_explain(store, &subject, note, NULL);
        else rc = rill_group_delete(store, "g");
        FAILS(RILL_ERR_PERMISSION, rc);
        faults_clear();
    }
    OK(rill_group_describe(store, "g", &info));
    assert_int_equal(info.member_count, 0);
}

static void write_members_header(uint64_t magic, uint64_t abi)
{
    uint64_t words[3] = {magic, abi, store->store->incarnation};
    FILE *file = fopen(test_path("store/members"), "r+");

    if (file == NULL) file = fopen(test_path("store/members"), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(words, sizeof words, 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

static void words_of_another_kind_are_written_anew(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        rill_consumer *a;
        write_members_header(i == 0 ? 7 : MEMBERS_MAGIC, i == 0 ? rill__shared_abi() : 7);
        a = consumer_open(store, &options);
        join(a, 2);
        assert_int_equal(atomic_load(&store->store->members)->magic, MEMBERS_MAGIC);
        assert_int_equal(atomic_load(&store->store->members)->abi, rill__shared_abi());
        OK(rill_consumer_close(a, WAIT_MS));
        OK(rill_close(store));
        store = test_store_open();
    }
}

static void hold_members_byte(rill *mine)
{
    OK(rill__file_lock(&mine->store->shared_file, 2, FILE_LOCK_EXCLUSIVE, 0));
}

static ssize_t no_random(void *data, size_t size, unsigned flags)
{
    (void)data, (void)size, (void)flags;
    errno = EIO;
    return -1;
}

static void a_place_that_cannot_be_had_is_told(void **state)
{
    struct sys_calls real = rill__sys;
    rill_consumer *a = consumer_open(store, &options);
    pid_t pid = start(hold_members_byte);

    (void)state;
    store->store->options.open_timeout_ms = 20;
    for (int mapped = 0; mapped < 2; mapped++) {
        FAILS(RILL_ERR_TIMEOUT, rill_consumer_subscribe(a, topic_t, 1));
        end(pid, SIGKILL);
        OK(rill_consumer_subscribe(a, topic_t, 1));
        OK(rill_consumer_unsubscribe(a));
        if (mapped == 0) pid = start(hold_members_byte);
    }
    rill__sys.getrandom = no_random;
    FAILS(RILL_ERR_IO, rill_consumer_subscribe(a, topic_t, 1));
    rill__sys = real;
    store->store->options.open_timeout_ms = WAIT_MS;
    join(a, 2);
    OK(rill_consumer_close(a, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_T(what_a_killed_process_had_pinned_is_not_named),
        WITH_T(what_cannot_be_opened_is_not_measured),
        WITH_T(a_static_member_that_was_killed_is_away),
        WITH_T(one_that_is_stopped_gives_no_sign_of_life),
        WITH_T(in_doubt_one_lives),
        WITH_T(a_place_without_a_process_is_nobodys),
        WITH_T(a_group_is_not_judged_without_its_members_words),
        WITH_T(words_of_another_kind_are_written_anew),
        WITH_T(a_place_that_cannot_be_had_is_told),
    };

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
