/*
 * moments.c - what other threads and processes do between two steps of a member:
 * it is done here at that moment, from a callback, by another thread that is held,
 * or by writing into shared words what another process would have written.
 */
#include "busy.h"
#include "elsewhere.h"
#include "engine/consumer.h"
#include "engine/coordinator.h"
#include "engine/members.h"
#include "os/sys.h"
#include "members.h"
#include "records.h"
#include <errno.h>
#include <poll.h>

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

/* A poll; that partitions have gone is no failure. */
static int poll_through(rill_consumer *consumer)
{
    int rc = poll_once(consumer);

    return rc == RILL_ERR_REBALANCE ? 0 : rc;
}

/* What it has after a poll. */
static size_t polled(rill_consumer *consumer)
{
    OK(poll_through(consumer));
    return parts_of(consumer);
}

static void join(rill_consumer *consumer, size_t wanted)
{
    struct patience patience = {0};

    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    while (polled(consumer) < wanted) wait_a_little(&patience);
}

/* ---- Commits that the store's thread makes ---- */

static struct {
    int count;
    int status;
} told;

static void on_commit(void *arg, rill_consumer *consumer, int status,
                      const rill_position *positions, size_t count)
{
    (void)positions, (void)count;
    told.count++;
    told.status = status;
    if (arg != NULL) rill_consumer_wakeup(consumer);
}

static void reopen_with_thread(void)
{
    rill_options with_thread = {.size = sizeof with_thread, .flags = RILL_OPEN_THREAD};

    OK(rill_close(store));
    OK(rill_open(test_path("store"), &with_thread, &store));
    memset(&told, 0, sizeof told);
}

/* One that the store's thread has begun, and cannot finish yet. */
static void begin_commit(rill_consumer *consumer)
{
    struct patience patience = {0};
    bool begun = false;
    rill_position position = {"t", 0, -1, 0, NULL};

    busy_begin(store);
    OK(rill_consumer_commit_async(consumer, &position, 1, on_commit, consumer));
    while (!begun) {
        wait_a_little(&patience);
        rill__mutex_lock(&consumer->commits_lock);
        begun = consumer->committing;
        rill__mutex_unlock(&consumer->commits_lock);
    }
}

static void a_commit_comes_behind_one_that_is_being_made(void **state)
{
    rill_position position = {"t", 0, -1, 0, NULL};
    rill_consumer *a;

    (void)state;
    reopen_with_thread();
    a = consumer_open(store, &options);
    join(a, 2);
    begin_commit(a);
    busy_end_soon();
    OK(rill_consumer_commit(a, &position, 1));
    busy_end();
    assert_int_equal(told.count, 1);
    assert_int_equal(told.status, 0);
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_poll_tells_a_commit_that_is_made_meanwhile(void **state)
{
    static const uint32_t spins[] = {0, 10000000};

    (void)state;
    reopen_with_thread();
    for (size_t i = 0; i < 2; i++) {
        rill_consumer *a;
        rill_record record;
        size_t count;

        options.spin_us = spins[i];
        a = consumer_open(store, &options);
        join(a, 2);
        begin_commit(a);
        assert_false(rill__commits_have_news(a));
        busy_end_soon();
        OK(rill_consumer_poll(a, WAIT_MS, &record, 1, &count)); /* woken by on_commit */
        busy_end();
        assert_int_equal(told.count, i + 1);
        OK(rill_consumer_close(a, WAIT_MS));
    }
}

static void a_commit_that_is_made_makes_the_descriptor_readable(void **state)
{
    rill_consumer *a;
    struct pollfd ready = {.events = POLLIN};

    (void)state;
    reopen_with_thread();
    a = consumer_open(store, &options);
    join(a, 2);
    OK(rill_consumer_fd(a, &ready.fd));
    OK(poll_through(a));
    begin_commit(a);
    busy_end_soon();
    busy_end();
    while (told.count == 0) {
        assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
        OK(poll_through(a));
    }
    OK(rill_consumer_close(a, WAIT_MS));
}

static void commit_again(void *arg, rill_consumer *consumer, int status,
                         const rill_position *positions, size_t count)
{
    (void)arg, (void)positions, (void)count;
    assert_int_equal(status, 0);
    OK(rill_consumer_commit(consumer, NULL, 0));
    told.count++;
}

static void a_callback_may_commit_while_others_wait(void **state)
{
    rill_position position = {"t", 0, -1, 0, NULL};
    rill_consumer *a = consumer_open(store, &options);

    (void)state;
    memset(&told, 0, sizeof told);
    join(a, 2);
    for (int i = 0; i < 2; i++)
        OK(rill_consumer_commit_async(a, &position, 1, commit_again, NULL));
    OK(poll_through(a));
    assert_int_equal(told.count, 2);
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Partitions that were away meanwhile ---- */

static struct {
    int assigned;
    int revoked;
    int lost;
    void (*then)(void);
} seen;

static int on_rebalance(void *arg, rill_consumer *consumer, int event,
                        const rill_position *positions, size_t count)
{
    void (*then)(void) = seen.then;

    (void)arg, (void)consumer, (void)positions;
    if (event == RILL_REBALANCE_ASSIGNED) seen.assigned += (int)count;
    if (event == RILL_REBALANCE_REVOKED) seen.revoked += (int)count;
    if (event == RILL_REBALANCE_LOST) seen.lost += (int)count;
    if (event == RILL_REBALANCE_REVOKED && then != NULL) {
        seen.then = NULL;
        then();
    }
    return 0;
}

static void another_tenure_is_another_assignment(void **state)
{
    rill_consumer *a;

    (void)state;
    memset(&seen, 0, sizeof seen);
    options.rebalance = on_rebalance;
    options.auto_commit_interval_ms = 1000000;
    a = consumer_open(store, &options);
    put(store, "t", 0, 0, 3);
    join(a, 2);
    OK(rill_consumer_seek(a, "t", 0, 0));
    assert_int_equal(seen.assigned, 2);
    /* It was somebody else's in between: nothing may be committed for that. */
    a->parts[0]->since--;
    atomic_fetch_add(&a->membership.slot->news, 1);
    OK(poll_through(a));
    assert_int_equal(seen.lost, 1);
    assert_int_equal(seen.revoked, 0);
    assert_int_equal(seen.assigned, 3);
    assert_int_equal(parts_of(a), 2);
    OK(rill_consumer_close(a, WAIT_MS));
}

/* Another member has seen topics of which this process has not heard yet. */
static void topics_may_be_assigned_before_they_are_known(void **state)
{
    struct group_topic known[3];
    rill_consumer *a = consumer_open(store, &options);
    rill_position parts[4];
    size_t count;

    (void)state;
    OK(rill_topic_create(store, "v", NULL));
    OK(rill_topic_create(store, "w", NULL));
    known[0] = elsewhere_topic(store, "t");
    known[1] = elsewhere_topic(store, "w");
    known[2] = (struct group_topic){12345, 1, "x"}; /* and was deleted again */
    /* As if the process had just opened the store: */
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_close(store));
    store = test_store_open();
    a = consumer_open(store, &options);
    OK(rill_consumer_subscribe(a, topic_t, 1));
    OK(poll_through(a));
    assert_int_equal(parts_of(a), 2);
    elsewhere_topics(store, "t", known, 3);
    OK(poll_through(a));
    OK(rill_consumer_assignment(a, parts, 4, &count));
    assert_int_equal(count, 3);
    assert_string_equal(parts[2].topic, "w");
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Answers that come too late ---- */

static rill_consumer *a;
static rill_consumer *b;

/* Each polls once, and then has one partition. */
static bool they_share(void)
{
    size_t parts = polled(a);
    return polled(b) == 1 && parts == 1;
}

static void expel_a(void)
{
    elsewhere_expel(store, a->membership.id);
}

/* So a is asked anew. */
static void another_comes(void)
{
    elsewhere_join(store);
}

static void what_is_given_up_too_late_is_no_failure(void **state)
{
    static void (*const meanwhile[])(void) = {expel_a, another_comes};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct patience patience = {0};

        memset(&seen, 0, sizeof seen);
        options.rebalance = on_rebalance;
        a = consumer_open(store, &options);
        b = consumer_open(store, &options);
        join(a, 2);
        OK(rill_consumer_subscribe(b, topic_t, 1));
        seen.then = meanwhile[i];
        while (!they_share()) wait_a_little(&patience);
        assert_null(seen.then);
        OK(rill_consumer_close(a, WAIT_MS));
        OK(rill_consumer_close(b, WAIT_MS));
    }
}

/* While a plans, b comes too. */
static int plan_while_b_joins(void *arg, const rill_assignor_member *members, size_t member_count,
                              const rill_assignor_topic *topics, size_t topic_count)
{
    void (*then)(void) = seen.then;

    (void)arg, (void)members;
    for (size_t t = 0; t < topic_count; t++)
        for (uint32_t p = 0; p < topics[t].partition_count; p++)
            topics[t].owners[p] = (int32_t)(p % member_count);
    seen.then = NULL;
    if (then != NULL) then();
    return 0;
}

static void *join_b(void *arg)
{
    (void)arg;
    thread_ok(rill_consumer_subscribe(b, topic_t, 1), "subscribe");
    return NULL;
}

static void b_joins(void)
{
    thread_join(thread_start(join_b, NULL));
}

static void a_plan_that_comes_too_late_is_no_failure(void **state)
{
    struct patience patience = {0};

    (void)state;
    memset(&seen, 0, sizeof seen);
    options.assignor = RILL_ASSIGN_OWN;
    options.own_assignor = plan_while_b_joins;
    options.own_assignor_name = "own";
    a = consumer_open(store, &options);
    b = consumer_open(store, &options);
    seen.then = b_joins;
    OK(rill_consumer_subscribe(a, topic_t, 1));
    while (!they_share()) wait_a_little(&patience);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
}

/* ---- Topics that go while they are opened ---- */

static struct sys_calls real;
static bool replaced;
static bool happened;

static int open_late(int dir, const char *name, int flags, ...)
{
    if (strstr(name, "control") != NULL) {
        happened = true;
        rill__sys = real;
        elsewhere_delete_topic(store, "t");
        if (replaced) OK(rill_topic_create(store, "t", NULL));
    }
    return real.openat(dir, name, flags, 0600);
}

static int count_offset(void *arg, const rill_group_offset *offset)
{
    (void)offset;
    ++*(int *)arg;
    return 0;
}

static void offsets_of_a_topic_that_goes_meanwhile_are_left_out(void **state)
{
    rill_position positions[] = {{"t", 0, -1, 0, NULL}, {"u", 0, -1, 0, NULL}};

    (void)state;
    OK(rill_topic_create(store, "u", NULL));
    for (int i = 0; i < 2; i++) {
        int count = 0;

        a = consumer_open(store, &options);
        OK(rill_consumer_commit(a, positions, 2));
        OK(rill_consumer_close(a, WAIT_MS));
        OK(rill_close(store));
        store = test_store_open();
        real = rill__sys;
        rill__sys.openat = open_late;
        replaced = i == 0;
        happened = false;
        OK(rill_group_offsets(store, "g", count_offset, &count));
        rill__sys = real;
        assert_true(happened);
        assert_int_equal(count, 1);
    }
}

/* ---- Processes that come and go ---- */

/* A process has died, and another one has taken its place: its members are not
 * the members of that one. */
static void a_member_dies_with_its_process_not_with_its_place(void **state)
{
    struct patience patience = {0};
    struct member_slot *slot;
    uint64_t ticket;

    (void)state;
    a = consumer_open(store, &options);
    b = consumer_open(store, &options);
    join(a, 2);
    OK(rill_consumer_subscribe(b, topic_t, 1));
    while (!they_share()) wait_a_little(&patience);
    slot = atomic_load(&a->membership.slot);
    ticket = atomic_load(&slot->ticket);
    atomic_store(&slot->ticket, ticket + 1);
    while (polled(b) != 2) wait_a_little(&patience);
    atomic_store(&slot->ticket, ticket);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
}

static void *hold_group(void *arg)
{
    pthread_barrier_t *barrier = arg;

    rill__mutex_lock(&a->coordinator->lock);
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    rill__mutex_unlock(&a->coordinator->lock);
    return NULL;
}

static void a_group_that_another_thread_changes_is_waited_for_in_vain(void **state)
{
    rill_position position = {"t", 0, -1, 0, NULL};
    pthread_barrier_t barrier;
    pthread_t thread;

    (void)state;
    store->store->options.open_timeout_ms = 20;
    a = consumer_open(store, &options);
    join(a, 2);
    b = consumer_open(store, &options);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    thread = thread_start(hold_group, &barrier);
    pthread_barrier_wait(&barrier);
    FAILS(RILL_ERR_TIMEOUT, rill_consumer_commit(a, &position, 1));
    assert_non_null(strstr(rill_errmsg(), "another thread has been changing it for 20 ms"));
    FAILS(RILL_ERR_TIMEOUT, rill_consumer_subscribe(b, topic_t, 1));
    pthread_barrier_wait(&barrier);
    thread_join(thread);
    pthread_barrier_destroy(&barrier);
    OK(rill_consumer_commit(a, &position, 1));
    store->store->options.open_timeout_ms = WAIT_MS;
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
}

/* ---- What a callback says ---- */

static int refuse(void *arg, rill_consumer *consumer, int event, const rill_position *positions,
                  size_t count)
{
    rill_position position = {.topic = "nowhere"};

    (void)positions, (void)count;
    if (event != RILL_REBALANCE_ASSIGNED) return 0;
    if (arg == NULL) return -77;
    return rill_consumer_commit(consumer, &position, 1);
}

static void the_failure_of_a_callback_is_told_as_its_own(void **state)
{
    rill_topic_info info;

    (void)state;
    options.rebalance = refuse;
    for (int ours = 0; ours < 2; ours++) {
        options.rebalance_arg = ours ? &ours : NULL;
        a = consumer_open(store, &options);
        OK(rill_consumer_subscribe(a, topic_t, 1));
        FAILS(RILL_ERR_NOT_FOUND, rill_topic_describe(store, "earlier", &info));
        if (ours) {
            FAILS(RILL_ERR_NOT_FOUND, poll_through(a));
            assert_string_equal(rill_errmsg(), "there is no topic nowhere");
        } else {
            FAILS(-77, poll_through(a));
            assert_string_equal(rill_errmsg(), "the rebalance callback returned -77");
        }
        assert_int_equal(parts_of(a), 2);
        OK(rill_consumer_close(a, WAIT_MS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_T(a_commit_comes_behind_one_that_is_being_made),
        WITH_T(a_poll_tells_a_commit_that_is_made_meanwhile),
        WITH_T(a_commit_that_is_made_makes_the_descriptor_readable),
        WITH_T(a_callback_may_commit_while_others_wait),
        WITH_T(another_tenure_is_another_assignment),
        WITH_T(topics_may_be_assigned_before_they_are_known),
        WITH_T(what_is_given_up_too_late_is_no_failure),
        WITH_T(a_plan_that_comes_too_late_is_no_failure),
        WITH_T(offsets_of_a_topic_that_goes_meanwhile_are_left_out),
        WITH_T(a_member_dies_with_its_process_not_with_its_place),
        WITH_T(a_group_that_another_thread_changes_is_waited_for_in_vain),
        WITH_T(the_failure_of_a_callback_is_told_as_its_own),
    };

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
