/*
 * processes.c - one store in several processes: forked children, strangers,
 * and what the file system permits.
 *
 *     handles do not survive fork(); the child may open the store itself, and
 *     what it does with its copies does not touch the parent's;
 *     what one process appends or creates another one sees;
 *     a group has members in several, and passes on what a dead or stopped one had;
 *     a file system that cannot keep the promises is refused.
 */
#include "os/sys.h"
#include "stores.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static rill *store;
static int ready[2]; /* a pipe: a child says that it is so far */

static int set_up(void **state)
{
    (void)state;
    test_directory();
    return pipe(ready);
}

static int tear_down(void **state)
{
    (void)state;
    close(ready[0]);
    close(ready[1]);
    test_directory_remove();
    return 0;
}

/* In a child a failed check must end the child, not go on with the tests. */
#define CHILD_CHECK(rule)                                                                        \
    do {                                                                                         \
        if (!(rule)) {                                                                           \
            fprintf(stderr, "child: line %d: not so: %s (%s)\n", __LINE__, #rule,                \
                    rill_errmsg());                                                              \
            _exit(1);                                                                            \
        }                                                                                        \
    } while (0)

static pid_t in_child(void (*work)(void))
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

static void child_is_well(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int64_t log_end(rill *handle)
{
    rill_partition_info info;

    OK(rill_partition_describe(handle, "t", 0, &info));
    return info.log_end;
}

/* ---- fork() ---- */

static rill_producer *producer;
static rill_consumer *consumer;

static void use_inherited(void)
{
    rill_record record = RILL_RECORD_INIT;
    rill_partition_info info;
    size_t count;

    CHILD_CHECK(rill_partition_describe(store, "t", 0, &info) == RILL_ERR_FORKED);
    CHILD_CHECK(strstr(rill_errmsg(), "fork") != NULL);
    CHILD_CHECK(rill_producer_append(producer, &record, 1, 0, NULL) == RILL_ERR_FORKED);
    CHILD_CHECK(rill_consumer_poll(consumer, 0, &record, 1, &count) == RILL_ERR_FORKED);
    rill_consumer_wakeup(consumer);
    CHILD_CHECK(rill_consumer_close(consumer, 0) == RILL_ERR_FORKED);
    CHILD_CHECK(rill_producer_close(producer, 0) == RILL_ERR_FORKED);
    CHILD_CHECK(rill_close(store) == RILL_ERR_FORKED);
}

static void open_anew(void)
{
    rill *mine;
    rill_options options = {.size = sizeof options};

    CHILD_CHECK(rill_open(test_path("store"), &options, &mine) == 0);
    test_store_append(mine, "t", 1, 1, 10);
    CHILD_CHECK(rill_close(mine) == 0);
}

static void handles_do_not_survive_fork(void **state)
{
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_record record;
    size_t count;

    (void)state;
    store = test_store_open();
    test_topic(store, "t", 1);
    OK(rill_producer_open(store, &out, &producer));
    consumer = test_consumer(store, "t", 0, 0);
    child_is_well(in_child(use_inherited));

    test_store_append(store, "t", 0, 1, 10);
    OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
    assert_int_equal(count, 1);
    child_is_well(in_child(open_anew));
    OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
    assert_int_equal(count, 1);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, 0));
    OK(rill_close(store));
}

static void say_ready_and_sleep(void)
{
    CHILD_CHECK(write(ready[1], "x", 1) == 1);
    pause();
}

/* A child that lives on must not keep the store occupied for its parent. */
static void a_child_holds_no_lock_of_its_parent(void **state)
{
    rill_partition_info before;
    rill_partition_info after;
    pid_t child;
    char byte;

    (void)state;
    store = test_store_open();
    test_topic(store, "t", 1);
    OK(rill_partition_describe(store, "t", 0, &before));
    child = in_child(say_ready_and_sleep);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    OK(rill_close(store));
    store = test_store_open(); /* alone again, so it recovers */
    OK(rill_partition_describe(store, "t", 0, &after));
    assert_int_equal(after.leader_epoch, before.leader_epoch + 1);
    OK(rill_close(store));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* ---- Strangers ---- */

static void create_and_append(void)
{
    rill *mine = test_store_open();

    test_topic(mine, "new", 2);
    test_store_append(mine, "new", 0, 5, 10);
    test_store_append(mine, "t", 0, 5, 10);
    CHILD_CHECK(rill_close(mine) == 0);
}

static void what_one_process_does_another_sees(void **state)
{
    rill_record records[10];
    size_t count;

    (void)state;
    store = test_store_open();
    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    child_is_well(in_child(create_and_append));
    OK(rill_consumer_poll(consumer, 10000, records, 10, &count));
    assert_int_equal(count, 5);
    OK(rill_consumer_close(consumer, 0));
    consumer = test_consumer(store, "new", 0, 0);
    OK(rill_consumer_poll(consumer, 10000, records, 10, &count));
    assert_int_equal(count, 5);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

static void delete_topic(void)
{
    rill *mine = test_store_open();

    CHILD_CHECK(rill_topic_delete(mine, "t") == 0);
    CHILD_CHECK(rill_close(mine) == 0);
}

static void a_topic_deleted_elsewhere_is_gone_here(void **state)
{
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_record record = RILL_RECORD_INIT;
    rill_record got;
    size_t count;

    (void)state;
    store = test_store_open();
    test_topic(store, "t", 1);
    test_store_append(store, "t", 0, 2, 10);
    OK(rill_producer_open(store, &out, &producer));
    consumer = test_consumer(store, "t", 0, 0);
    OK(rill_consumer_poll(consumer, 0, &got, 1, &count));
    record.value = (rill_bytes){"x", 1};
    record.partition = 0;
    OK(rill_producer_append(producer, &record, 1, 0, NULL));
    child_is_well(in_child(delete_topic));
    assert_memory_equal(got.value.data, "0", 1); /* stays until the next call */
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_append(producer, &record, 1, 0, NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_poll(consumer, 0, &got, 1, &count));
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, 0));
    OK(rill_close(store));
}

static uint32_t group_session_ms; /* 0: the default */

static void poll_group_for_ever(void)
{
    rill_consumer_options in = {
        .size = sizeof in, .group = "g", .session_timeout_ms = group_session_ms};
    const char *topics[] = {"t"};
    rill *mine = test_store_open();
    rill_consumer *member;
    rill_record got;
    size_t count;
    size_t parts = 0;

    CHILD_CHECK(rill_consumer_open(mine, &in, &member) == 0);
    CHILD_CHECK(rill_consumer_subscribe(member, topics, 1) == 0);
    while (parts == 0) {
        CHILD_CHECK(rill_consumer_poll(member, 100, &got, 1, &count) == 0);
        CHILD_CHECK(rill_consumer_assignment(member, NULL, 0, &parts) == 0);
    }
    CHILD_CHECK(write(ready[1], "x", 1) == 1);
    for (;;) {
        int rc = rill_consumer_poll(member, 100, &got, 1, &count);
        CHILD_CHECK(rc == 0 || rc == RILL_ERR_REBALANCE);
    }
}

/* Polls until it has so many partitions; how long that took in ms. */
static int64_t until_it_has(size_t wanted)
{
    struct timespec begin;
    struct timespec end;
    rill_record got;
    size_t parts = 0;
    size_t count;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        int rc = rill_consumer_poll(consumer, 50, &got, 1, &count);
        assert_true(rc == 0 || rc == RILL_ERR_REBALANCE);
        OK(rill_consumer_assignment(consumer, NULL, 0, &parts));
        clock_gettime(CLOCK_MONOTONIC, &end);
        assert_true(end.tv_sec - begin.tv_sec < 60);
    } while (parts != wanted);
    return (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000;
}

static void a_group_spans_processes_and_sees_a_death(void **state)
{
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    const char *topics[] = {"t"};
    rill_group_info info;
    int32_t generation;
    char byte;
    pid_t child;

    (void)state;
    store = test_store_open();
    test_topic(store, "t", 4);
    in.session_timeout_ms = group_session_ms = 600000; /* only the kernel tells so soon */
    child = in_child(poll_group_for_ever);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_subscribe(consumer, topics, 1));
    until_it_has(2);
    OK(rill_group_describe(store, "g", &info));
    assert_int_equal(info.member_count, 2);
    generation = info.generation;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    print_message("taken over %d ms after the death\n", (int)until_it_has(4));
    OK(rill_group_describe(store, "g", &info));
    assert_true(info.generation > generation);
    assert_int_equal(info.member_count, 1);
    assert_int_equal(info.state, RILL_GROUP_STABLE);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

struct found {
    int stopped; /* facts of a process that is stopped */
    int32_t pid;
};

static int look_for_stopped(void *arg, const rill_fact *fact)
{
    struct found *found = arg;

    if (strstr(fact->text, "which is stopped") == NULL) return 0;
    if (fact->kind == RILL_FACT_MEMBER) assert_int_equal(fact->severity, RILL_LOG_ERROR);
    assert_int_equal(fact->pid, found->pid);
    found->stopped++;
    return 0;
}

/* While it cannot say anything itself. */
static void a_stopped_member_is_explained_from_outside(void **state)
{
    rill_subject group = {.group = "g"};
    rill_subject partition = {.topic = "t", .partition = 0};
    struct found found = {.stopped = 0};
    char byte;
    pid_t child;

    (void)state;
    store = test_store_open();
    test_topic(store, "t", 1);
    test_store_append(store, "t", 0, 3, 10);
    group_session_ms = 600000;
    child = in_child(poll_group_for_ever);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    found.pid = child;
    OK(rill_explain(store, &group, look_for_stopped, &found));
    assert_int_equal(found.stopped, 0);
    kill(child, SIGSTOP);
    for (int i = 0; found.stopped == 0 && i < 1000; i++) { /* the kernel takes its time */
        usleep(1000);
        OK(rill_explain(store, &group, look_for_stopped, &found));
    }
    assert_int_equal(found.stopped, 1);
    found.stopped = 0;
    OK(rill_explain(store, &partition, look_for_stopped, &found));
    assert_int_equal(found.stopped, 1); /* it has a segment pinned */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    OK(rill_close(store));
}

static void a_stopped_member_loses_its_partitions_and_comes_back(void **state)
{
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    const char *topics[] = {"t"};
    char byte;
    pid_t child;

    (void)state;
    store = test_store_open();
    test_topic(store, "t", 4);
    in.session_timeout_ms = 300;
    group_session_ms = 300;
    child = in_child(poll_group_for_ever);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_subscribe(consumer, topics, 1));
    until_it_has(2);
    kill(child, SIGSTOP);
    print_message("taken over %d ms after the stop\n", (int)until_it_has(4));
    kill(child, SIGCONT);
    until_it_has(2);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    until_it_has(4);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

static void commit_for_ever(void)
{
    rill_consumer_options in = {.size = sizeof in, .group = "other"};
    rill_position position = {.topic = "t"};
    rill *mine = test_store_open();
    rill_consumer *committer;

    CHILD_CHECK(rill_consumer_open(mine, &in, &committer) == 0);
    CHILD_CHECK(rill_consumer_commit(committer, &position, 1) == 0); /* all is open */
    CHILD_CHECK(write(ready[1], "x", 1) == 1);
    for (;;) CHILD_CHECK(rill_consumer_commit(committer, &position, 1) == 0);
}

/* It is stopped in the middle of a commit most of the time. */
static void a_stopped_process_does_not_stop_the_others(void **state)
{
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .open_timeout_ms = 100};
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    rill_position position = {.topic = "t"};
    int timeouts = 0;
    char byte;
    pid_t child;

    (void)state;
    OK(rill_open(test_path("store"), &options, &store));
    test_topic(store, "t", 1);
    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_commit(consumer, &position, 1));
    child = in_child(commit_for_ever);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    for (int i = 0; i < 200 && timeouts < 3; i++) {
        int rc;
        usleep(1000);
        kill(child, SIGSTOP);
        rc = rill_consumer_commit(consumer, &position, 1);
        if (rc != 0) {
            assert_int_equal(rc, RILL_ERR_TIMEOUT);
            assert_non_null(strstr(rill_errmsg(), "stopped"));
            timeouts++;
        }
        kill(child, SIGCONT);
    }
    assert_true(timeouts > 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    OK(rill_consumer_commit(consumer, &position, 1)); /* also if it died in one */
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

static int poll_one(rill_consumer *of)
{
    rill_record record;
    size_t count;

    return rill_consumer_poll(of, 0, &record, 1, &count);
}

static size_t parts_of(rill_consumer *of)
{
    size_t count;

    OK(rill_consumer_assignment(of, NULL, 0, &count));
    return count;
}

/* Until another process is stopped in a commit. */
static void stop_in_a_commit(pid_t child)
{
    rill_consumer_options in = {.size = sizeof in, .group = "third"};
    rill_position position = {.topic = "t"};
    rill_consumer *asker;
    int rc = 0;

    OK(rill_consumer_open(store, &in, &asker));
    for (int i = 0; i < 1000 && rc != RILL_ERR_TIMEOUT; i++) {
        if (i > 0) kill(child, SIGCONT);
        usleep(1000);
        kill(child, SIGSTOP);
        rc = rill_consumer_commit(asker, &position, 1);
    }
    assert_int_equal(rc, RILL_ERR_TIMEOUT);
    OK(rill_consumer_close(asker, 0));
}

/* Though it cannot tell the group that it gave one up, it says so to the caller. */
static void a_lost_partition_is_told_while_another_process_is_stopped(void **state)
{
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .open_timeout_ms = 100};
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    const char *topics[] = {"t"};
    rill_consumer *other;
    char byte;
    pid_t child;

    (void)state;
    OK(rill_open(test_path("store"), &options, &store));
    test_topic(store, "t", 2);
    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_subscribe(consumer, topics, 1));
    while (parts_of(consumer) != 2) OK(poll_one(consumer));
    OK(rill_consumer_open(store, &in, &other));
    OK(rill_consumer_subscribe(other, topics, 1));
    child = in_child(commit_for_ever);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    stop_in_a_commit(child);
    FAILS(RILL_ERR_REBALANCE, poll_one(consumer));
    assert_int_equal(parts_of(consumer), 1);
    kill(child, SIGCONT);
    while (parts_of(other) != 1) {
        OK(poll_one(consumer)); /* said once */
        OK(poll_one(other));
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    OK(rill_consumer_close(other, 0));
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

/* ---- What the system permits ---- */

static void try_as_nobody(void)
{
    rill *mine;
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};

    if (geteuid() == 0 && seteuid(65534) != 0) _exit(0);
    CHILD_CHECK(rill_open(test_path("store"), &options, &mine) == RILL_ERR_PERMISSION);
    CHILD_CHECK(strstr(rill_errmsg(), "store") != NULL);
    CHILD_CHECK(rill_open(test_path("locked/store"), &options, &mine) == RILL_ERR_PERMISSION);
}

static void without_permission_the_error_says_so(void **state)
{
    (void)state;
    store = test_store_open();
    OK(rill_close(store));
    assert_int_equal(mkdir(test_path("locked"), 0500), 0);
    if (geteuid() != 0) assert_int_equal(chmod(test_path("store"), 0), 0);
    child_is_well(in_child(try_as_nobody));
    if (geteuid() != 0) assert_int_equal(chmod(test_path("store"), 0700), 0);
}

static long pretended_type;

static int pretend(int fd, struct statfs *st)
{
    int rc = fstatfs(fd, st);

    st->f_type = pretended_type;
    return rc;
}

static void a_network_file_system_is_refused_unless_allowed(void **state)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};

    (void)state;
    pretended_type = 0x6969;
    rill__sys.fstatfs = pretend;
    FAILS(RILL_ERR_UNSUPPORTED, rill_open(test_path("store"), &options, &store));
    assert_non_null(strstr(rill_errmsg(), "nfs"));
    options.flags |= RILL_OPEN_ANY_FILE_SYSTEM;
    OK(rill_open(test_path("store"), &options, &store));
    OK(rill_close(store));
    rill__sys.fstatfs = fstatfs;
}

static void memory_does_not_promise_to_be_durable(void **state)
{
    rill_producer_options out = {.size = sizeof out, .topic = "t", .acks = RILL_ACKS_DURABLE};

    (void)state;
    pretended_type = 0x01021994;
    rill__sys.fstatfs = pretend;
    store = test_store_open();
    test_topic(store, "t", 1);
    FAILS(RILL_ERR_UNSUPPORTED, rill_producer_open(store, &out, &producer));
    assert_non_null(strstr(rill_errmsg(), "tmpfs"));
    test_store_append(store, "t", 0, 3, 10); /* written is another matter */
    assert_int_equal(log_end(store), 3);
    OK(rill_close(store));
    rill__sys.fstatfs = fstatfs;
}

static void a_copy_on_write_file_system_is_written_by_calls(void **state)
{
    rill_record records[10];
    size_t count;

    (void)state;
    pretended_type = 0x9123683e;
    rill__sys.fstatfs = pretend;
    store = test_store_open();
    test_topic(store, "t", 1);
    test_store_append(store, "t", 0, 10, 10);
    consumer = test_consumer(store, "t", 0, 0);
    OK(rill_consumer_poll(consumer, 0, records, 10, &count));
    assert_int_equal(count, 10);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
    rill__sys.fstatfs = fstatfs;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(handles_do_not_survive_fork),
        TEST(a_child_holds_no_lock_of_its_parent),
        TEST(what_one_process_does_another_sees),
        TEST(a_topic_deleted_elsewhere_is_gone_here),
        TEST(a_group_spans_processes_and_sees_a_death),
        TEST(a_stopped_member_is_explained_from_outside),
        TEST(a_stopped_member_loses_its_partitions_and_comes_back),
        TEST(a_stopped_process_does_not_stop_the_others),
        TEST(a_lost_partition_is_told_while_another_process_is_stopped),
        TEST(without_permission_the_error_says_so),
        TEST(a_network_file_system_is_refused_unless_allowed),
        TEST(memory_does_not_promise_to_be_durable),
        TEST(a_copy_on_write_file_system_is_written_by_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
