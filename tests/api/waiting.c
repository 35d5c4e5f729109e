/*
 * Consumers that wait: nothing that comes between the last look and the sleep is
 * missed, whatever it is and whenever it comes; what is paused wakes nobody; a
 * descriptor says when there is something to poll for; members that were away
 * find their way back.
 */
#include "faults.h"
#include "engine/store.h"
#include "os/sys.h"
#include "members.h"
#include "records.h"
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>

/* ---- Whatever comes, whenever ---- */

/* Called in the fire_at-th question for the time that the test's thread asks. */
static struct {
    _Atomic int fire_at; /* 0: never */
    pthread_t thread;
    void (*happen)(void);
} clock_hook;

static struct sys_calls real;

static int hooked_clock(clockid_t clock, struct timespec *t)
{
    if (atomic_load(&clock_hook.fire_at) > 0 &&
        pthread_equal(clock_hook.thread, pthread_self()) &&
        atomic_fetch_sub(&clock_hook.fire_at, 1) == 1)
        clock_hook.happen();
    return real.clock_gettime(clock, t);
}

static rill *store;
static rill_consumer *consumer;
static rill_consumer *other;
static int64_t next_number;

static int set_up(void **state)
{
    if (real.clock_gettime == NULL) real = rill__sys;
    rill__sys.clock_gettime = hooked_clock;
    clock_hook.thread = pthread_self();
    atomic_store(&clock_hook.fire_at, 0);
    next_number = 0;
    return store_set_up(state);
}

static void append_now(void)
{
    put(store, "t", 0, next_number++, 1);
}

static void wake_now(void)
{
    rill_consumer_wakeup(consumer);
}

static void topic_now(void)
{
    char name[40];

    snprintf(name, sizeof name, "also-%lld", (long long)next_number++);
    test_topic(store, name, 1);
    put(store, name, 0, 0, 1);
}

static void join_now(void)
{
    rill_consumer_options options = member_options("g");

    thread_ok(rill_consumer_open(store, &options, &other), "open");
    thread_ok(rill_consumer_subscribe(other, topic_t, 1), "subscribe");
}

static _Atomic bool joined;
static pthread_t joiner;

static void *join_group(void *arg)
{
    join_now();
    atomic_store(&joined, true);
    return arg;
}

/* In a thread, which waits if the poll is in the middle of something. */
static void join_meanwhile(void)
{
    atomic_store(&joined, false);
    joiner = thread_start(join_group, NULL);
    for (int i = 0; i < 20 && !atomic_load(&joined); i++) usleep(1000);
}

/* A poll with that happening at its n-th question; false: it asked fewer. */
static bool poll_with(void (*happen)(void), int n, int *rc, size_t *count)
{
    rill_record record;

    clock_hook.happen = happen;
    atomic_store(&clock_hook.fire_at, n);
    *count = 0;
    *rc = rill_consumer_poll(consumer, 50, &record, 1, count);
    n = atomic_exchange(&clock_hook.fire_at, 0);
    return n <= 0;
}

static void what_is_appended_whenever_is_seen(void **state)
{
    rill_consumer_options options = {.size = sizeof options};
    rill_position from = {"t", 0, -1, 0, NULL};
    size_t count;
    int rc;

    store = *state;
    test_topic(store, "t", 1);
    for (int spin = 0; spin < 3; spin++) {
        options.spin_us = spin == 0 ? 0 : spin == 1 ? 100 : 1000000; /* more than the wait */
        consumer = consumer_open(store, &options);
        from.offset = RILL_OFFSET_LATEST;
        OK(rill_consumer_assign(consumer, &from, 1));
        for (int n = 1; n < 6; n++) {
            if (!poll_with(append_now, n, &rc, &count)) continue;
            OK(rc);
            if (count == 0) takes(consumer, next_number - 1, 1); /* after the last look */
        }
        assert_true(next_number > 0);
        takes_nothing(consumer);
        OK(rill_consumer_close(consumer, 0));
    }
}

static void a_wakeup_whenever_ends_the_poll(void **state)
{
    rill_consumer_options options = {.size = sizeof options};
    rill_position from = {"t", 0, -1, 0, NULL};
    struct rill_record record;
    size_t count;
    int rc;

    store = *state;
    test_topic(store, "t", 1);
    for (int spin = 0; spin < 2; spin++) {
        options.spin_us = spin == 0 ? 0 : 1000000;
        consumer = consumer_open(store, &options);
        OK(rill_consumer_assign(consumer, &from, 1));
        for (int n = 1; n < 4; n++) {
            bool woken = poll_with(wake_now, n, &rc, &count);
            OK(rc);
            assert_int_equal(count, 0);
            /* One that came too late is for the next poll. */
            if (woken) OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
        }
        OK(rill_consumer_close(consumer, 0));
    }
}

static void topics_and_members_that_come_whenever_are_seen(void **state)
{
    static const char *const all[] = {"^"};
    rill_consumer_options options = member_options("g");
    struct patience patience = {0};
    size_t count = 0;
    size_t parts = 1;
    int rc;

    store = *state;
    test_topic(store, "t", 1);
    consumer = consumer_open(store, &options);
    OK(rill_consumer_subscribe(consumer, all, 1));
    takes_nothing(consumer);
    for (int n = 1; n < 8; n++) {
        if (poll_with(topic_now, n, &rc, &count)) parts++;
        if (rc != RILL_ERR_REBALANCE) OK(rc);
    }
    assert_true(parts > 3);
    for (count = 0; count != parts; wait_a_little(&patience)) {
        rill_record records[16];
        rc = rill_consumer_poll(consumer, 0, records, 16, &count);
        if (rc != RILL_ERR_REBALANCE) OK(rc);
        OK(rill_consumer_assignment(consumer, NULL, 0, &count));
    }
    for (int n = 1; n < 8; n++) {
        bool happened = poll_with(join_meanwhile, n, &rc, &count);
        if (rc != RILL_ERR_REBALANCE) OK(rc);
        if (!happened) continue;
        thread_join(joiner);
        OK(rill_consumer_close(other, 0));
    }
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Paused, deleted, failing ---- */

static void what_is_paused_wakes_nobody(void **state)
{
    rill_position from[2] = {{"t", 0, -1, 0, NULL}, {"t", 1, -1, 0, NULL}};
    rill_record record;
    size_t count;

    store = *state;
    test_topic(store, "t", 2);
    consumer = consumer_open(store, NULL);
    OK(rill_consumer_assign(consumer, from, 2));
    OK(rill_consumer_pause(consumer, "t", 0));
    put(store, "t", 0, 0, 1);
    OK(rill_consumer_poll(consumer, 20, &record, 1, &count));
    assert_int_equal(count, 0);
    put(store, "t", 1, 1, 1);
    takes(consumer, 1, 1);
    OK(rill_topic_delete(store, "t"));
    OK(rill_consumer_pause(consumer, "t", 1));
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_poll(consumer, 20, &record, 1, &count));
    OK(rill_consumer_close(consumer, 0));
}

static void what_failed_once_is_read_the_next_time(void **state)
{
    rill_record record;
    size_t count;

    store = *state;
    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    put(store, "t", 0, 0, 1);
    faults_fail(FAULT_OPENAT, ".log", 1, EMFILE, FAULT_ONCE);
    assert_int_not_equal(rill_consumer_poll(consumer, 0, &record, 1, &count), 0);
    faults_clear();
    takes(consumer, 0, 1);
    OK(rill_consumer_close(consumer, 0));
}

static void behind_the_durable_end_there_is_no_lag(void **state)
{
    rill_consumer_options options = {.size = sizeof options, .isolation = RILL_READ_DURABLE};
    rill_position from = {"t", 0, -1, 0, NULL};
    int64_t lag;

    store = *state;
    test_topic(store, "t", 1);
    if (rill_consumer_open(store, &options, &consumer) == RILL_ERR_UNSUPPORTED) skip();
    put(store, "t", 0, 0, 3);
    OK(rill_consumer_assign(consumer, &from, 1));
    OK(rill_consumer_seek(consumer, "t", 0, 3));
    OK(rill_consumer_lag(consumer, "t", 0, &lag));
    assert_int_equal(lag, 0);
    takes_nothing(consumer);
    OK(rill_sync(store, WAIT_MS));
    put(store, "t", 0, 3, 2);
    OK(rill_sync(store, WAIT_MS));
    takes(consumer, 3, 2);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Descriptors ---- */

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

static void poll_until_unreadable(int fd)
{
    struct patience patience = {0};

    while (readable(fd, 0)) {
        takes_nothing(consumer);
        wait_a_little(&patience);
    }
}

static void a_descriptor_is_for_what_is_not_paused(void **state)
{
    rill_position from[2] = {{"t", 0, -1, 0, NULL}, {"t", 1, -1, 0, NULL}};
    rill_consumer *without;
    rill_record record;
    size_t count;
    int again;
    int fd;

    store = *state;
    test_topic(store, "t", 2);
    without = test_consumer(store, "t", 0, 0);
    consumer = consumer_open(store, NULL);
    OK(rill_consumer_assign(consumer, from, 2));
    OK(rill_consumer_pause(consumer, "t", 0));
    OK(rill_consumer_fd(consumer, &fd));
    OK(rill_consumer_fd(consumer, &again));
    assert_int_equal(again, fd);
    put(store, "t", 0, 0, 1);
    OK(rill_consumer_poll(consumer, 5, &record, 1, &count)); /* may wait all the same */
    assert_int_equal(count, 0);
    poll_until_unreadable(fd);
    OK(rill_consumer_resume(consumer, "t", 0));
    assert_true(readable(fd, WAIT_MS));
    takes(consumer, 0, 1);
    poll_until_unreadable(fd);
    rill_consumer_wakeup(consumer);
    assert_true(readable(fd, WAIT_MS));
    takes_nothing(consumer);
    poll_until_unreadable(fd);
    OK(rill_consumer_close(consumer, 0));
    takes(without, 0, 1);
    OK(rill_consumer_close(without, 0));
}

static void a_descriptor_calls_members_to_their_polls(void **state)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = "g", .max_poll_interval_ms = 300};
    struct patience patience = {0};
    rill_group_info info;
    int fd;

    store = *state;
    test_topic(store, "t", 1);
    consumer = consumer_open(store, &options);
    OK(rill_consumer_fd(consumer, &fd));
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    takes_nothing(consumer);
    poll_until_unreadable(fd);
    assert_true(readable(fd, WAIT_MS)); /* to be alive */
    takes_nothing(consumer);
    poll_until_unreadable(fd);
    do { /* expelled all the same: to hear of it */
        OK(rill_maintain(store, NULL));
        OK(rill_group_describe(store, "g", &info));
        wait_a_little(&patience);
    } while (info.member_count != 0);
    assert_true(readable(fd, WAIT_MS));
    OK(rill_consumer_close(consumer, 0));
}

static void without_descriptors_there_is_none(void **state)
{
    struct rlimit before;
    struct rlimit none;
    int fd = -7;
    int rc;

    store = *state;
    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    rc = rill_consumer_fd(consumer, &fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_not_equal(rc, 0);
    assert_non_null(strstr(rill_errmsg(), "event descriptor"));
    assert_int_equal(fd, -7);
    OK(rill_consumer_fd(consumer, &fd));
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Members that were away ---- */

static void expel(const rill_consumer_options *options)
{
    struct patience patience = {0};
    rill_group_info info;

    consumer = consumer_open(store, options);
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    takes(consumer, 0, 2);
    do {
        wait_a_little(&patience);
        OK(rill_maintain(store, NULL));
        OK(rill_group_describe(store, "g", &info));
    } while (info.member_count != 0);
}

static rill_consumer_options silent_options(void)
{
    return (rill_consumer_options){.size = sizeof(rill_consumer_options),
                                   .group = "g",
                                   .max_poll_interval_ms = 100,
                                   .auto_offset_reset = RILL_RESET_EARLIEST};
}

/* Until it has the partition again. */
static void is_back(void)
{
    struct patience patience = {0};
    size_t count = 0;

    while (count == 0) {
        rill_record record;
        int rc = rill_consumer_poll(consumer, 0, &record, 1, &count);
        if (rc != RILL_ERR_REBALANCE) OK(rc);
        OK(rill_consumer_assignment(consumer, NULL, 0, &count));
        wait_a_little(&patience);
    }
}

static void one_that_commits_by_itself_is_told_of_its_loss_once(void **state)
{
    rill_consumer_options options = silent_options();
    rill_record record;
    size_t count;

    store = *state;
    options.auto_commit_interval_ms = 1;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 2);
    expel(&options);
    /* Not that it could not commit, but that the partition is not its own. */
    FAILS(RILL_ERR_REBALANCE, rill_consumer_poll(consumer, 0, &record, 1, &count));
    is_back();
    OK(rill_consumer_close(consumer, 0));
}

static void one_that_missed_a_new_topic_is_told_of_its_loss(void **state)
{
    rill_consumer_options options = silent_options();
    rill_record record;
    size_t count;

    store = *state;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 2);
    expel(&options);
    test_topic(store, "more", 1);
    FAILS(RILL_ERR_REBALANCE, rill_consumer_poll(consumer, 0, &record, 1, &count));
    is_back();
    OK(rill_consumer_close(consumer, 0));
}

static void a_group_whose_members_are_all_expelled_can_be_deleted(void **state)
{
    rill_consumer_options options = silent_options();
    rill_record record;
    rill_group_info info;
    size_t count;

    store = *state;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 2);
    expel(&options);
    OK(rill_group_delete(store, "g"));
    FAILS(RILL_ERR_NOT_FOUND, rill_group_describe(store, "g", &info));
    FAILS(RILL_ERR_REBALANCE, rill_consumer_poll(consumer, 0, &record, 1, &count));
    is_back();
    OK(rill_group_describe(store, "g", &info)); /* there again */
    assert_int_equal(info.member_count, 1);
    OK(rill_consumer_close(consumer, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, store_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_appended_whenever_is_seen),
        TEST(a_wakeup_whenever_ends_the_poll),
        TEST(topics_and_members_that_come_whenever_are_seen),
        TEST(what_is_paused_wakes_nobody),
        TEST(what_failed_once_is_read_the_next_time),
        TEST(behind_the_durable_end_there_is_no_lag),
        TEST(a_descriptor_is_for_what_is_not_paused),
        TEST(a_descriptor_calls_members_to_their_polls),
        TEST(without_descriptors_there_is_none),
        TEST(one_that_commits_by_itself_is_told_of_its_loss_once),
        TEST(one_that_missed_a_new_topic_is_told_of_its_loss),
        TEST(a_group_whose_members_are_all_expelled_can_be_deleted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
