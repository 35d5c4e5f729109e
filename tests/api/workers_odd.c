/*
 * Workers when something goes wrong that seldom does: two that fail at once, one that
 * fails while they are closed or after it was left behind, partitions that are lost
 * while records of them are worked on, large records beside small ones, and segments
 * that are damaged under the records which are to be given back.
 */
#include "elsewhere.h"
#include "engine/consumer.h"
#include "engine/coordinator.h"
#include "members.h"
#include "records.h"
#include <stdatomic.h>

enum { SMALL = 8, LARGE = 3000, HUGE_VALUE = 20000 };

static struct {
    _Atomic int inside;  /* workers that wait to be let go */
    _Atomic bool small;  /* small ones are let go, */
    _Atomic bool large;  /* and others */
    _Atomic int answer;  /* what they return then */
    _Atomic int worked;  /* records that were finished */
    _Atomic int decided; /* calls of `failed` */
    _Atomic int answers; /* of the rebalance callback */
    _Atomic int assigned;
} the;

static int work(void *arg, uint32_t worker, const rill_record *record)
{
    _Atomic bool *go = record->value.size > SMALL ? &the.large : &the.small;

    (void)arg, (void)worker;
    atomic_fetch_add(&the.inside, 1);
    while (!atomic_load(go)) usleep(200);
    atomic_fetch_sub(&the.inside, 1);
    atomic_fetch_add(&the.worked, 1);
    return atomic_load(&the.answer);
}

static int decide(void *arg, uint32_t worker, const rill_record *record, int failure,
                  uint32_t tries)
{
    (void)arg, (void)worker, (void)record, (void)failure, (void)tries;
    atomic_fetch_add(&the.decided, 1);
    return RILL_FAILED_SKIP;
}

static int on_rebalance(void *arg, rill_consumer *consumer, int event,
                        const rill_position *positions, size_t count)
{
    rill_workers_options o = {.size = sizeof o, .work = work};
    rill_workers *none;

    (void)arg, (void)positions;
    if (event == RILL_REBALANCE_ASSIGNED) atomic_fetch_add(&the.assigned, (int)count);
    if (event == RILL_REBALANCE_ASSIGNED)
        assert_int_equal(rill_workers_open(consumer, &o, &none), RILL_ERR_STATE);
    return event == RILL_REBALANCE_REVOKED ? atomic_load(&the.answers) : 0;
}

/* ---- A store and its members ------------------------------------------- */

static rill *store;
static rill_consumer_options in;
static rill_workers_options options;
static rill_consumer *consumer;
static rill_workers *workers;

static int set_up(void **state)
{
    memset(&the, 0, sizeof the);
    store_set_up(state);
    store = *state;
    test_topic(store, "t", 2);
    in = member_options("g");
    options = (rill_workers_options){.size = sizeof options,
                                     .work = work,
                                     .worker_count = 2,
                                     .commit_interval_ms = 1,
                                     .backoff_ms = 1};
    return 0;
}

static int tear_down(void **state)
{
    *state = store;
    return store_tear_down(state);
}
#define WITH_T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void put_sizes(int32_t partition, const size_t *sizes, size_t count)
{
    rill_producer_options o = {.size = sizeof o, .topic = "t"};
    static char value[HUGE_VALUE];
    rill_producer *producer;

    OK(rill_producer_open(store, &o, &producer));
    for (size_t i = 0; i < count; i++) {
        rill_record record = RILL_RECORD_INIT;
        record.partition = partition;
        record.key = (rill_bytes){&sizes[i], sizeof sizes[i]}; /* so all at once */
        record.value = (rill_bytes){value, sizes[i]};
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
}

static void start(void)
{
    consumer = consumer_open(store, &in);
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    OK(rill_workers_open(consumer, &options, &workers));
}

static rill_workers_info info(void)
{
    rill_workers_info now;
    OK(rill_workers_describe(workers, &now));
    return now;
}

static void run_until_inside(int count)
{
    struct patience patience = {0};

    while (atomic_load(&the.inside) != count) {
        OK(rill_workers_run(workers, 2));
        wait_a_little(&patience);
    }
}

static void run_until_done(uint64_t count)
{
    struct patience patience = {0};

    while (info().done_count < count) {
        OK(rill_workers_run(workers, 2));
        wait_a_little(&patience);
    }
}

static void release_all(void)
{
    atomic_store(&the.small, true);
    atomic_store(&the.large, true);
}

static void *release_soon(void *arg)
{
    (void)arg;
    usleep(50000);
    release_all();
    return NULL;
}

static void close_all(void)
{
    OK(rill_workers_close(workers, WAIT_MS));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static rill_offset committed(int32_t partition)
{
    rill_consumer *other = consumer_open(store, &in);
    rill_position position;

    OK(rill_consumer_committed(other, "t", partition, &position, NULL, 0));
    OK(rill_consumer_close(other, 0));
    return position.offset;
}

/* ---- Room --------------------------------------------------------------- */

static void room_is_for_bytes_and_not_for_numbers(void **state)
{
    static const size_t sizes[] = {LARGE, SMALL, LARGE + 1, SMALL, HUGE_VALUE, SMALL, SMALL};
    struct patience patience = {0};

    (void)state;
    options.in_flight_bytes = LARGE + 1000;
    in.spin_us = 100; /* also without room */
    put_sizes(0, sizes, 7);
    start();
    run_until_inside(2); /* no room for the second large one */
    OK(rill_workers_run(workers, 2));
    atomic_store(&the.small, true);
    while (info().done_count != 1) wait_a_little(&patience);
    for (int i = 0; i < 5; i++) { /* one out of four is in flight, and there is no room */
        OK(rill_workers_run(workers, 1));
        assert_int_equal(info().in_flight_count, 1);
    }
    atomic_store(&the.large, true);
    run_until_done(7);
    close_all();
    assert_int_equal(committed(0), 7);
}

static void so_one_by_one_if_need_be(void **state)
{
    static const size_t sizes[] = {LARGE, LARGE + 1, LARGE + 2, SMALL};

    (void)state;
    options.in_flight_bytes = 2 * LARGE;
    options.in_flight_max = 2;
    put_sizes(0, sizes, 4);
    start();
    release_all();
    run_until_done(4);
    close_all();
    assert_int_equal(committed(0), 4);
}

/* ---- Failures ----------------------------------------------------------- */

static void of_two_failures_the_first_is_told(void **state)
{
    static const size_t sizes[] = {SMALL, SMALL - 1};
    struct patience patience = {0};

    (void)state;
    put_sizes(0, sizes, 2);
    start();
    run_until_inside(2);
    atomic_store(&the.answer, -70);
    release_all();
    while (info().failed_count != 2) wait_a_little(&patience);
    assert_int_equal(rill_workers_run(workers, 0), -70);
    assert_int_equal(info().in_flight_count, 2);
    close_all();
    assert_true(committed(0) <= 0);
}

static void the_wait_between_tries_has_a_limit(void **state)
{
    static const size_t sizes[] = {SMALL};

    (void)state;
    options.backoff_ms = 2;
    options.backoff_max_ms = 3;
    options.retries = 4;
    options.failed = decide;
    put_sizes(0, sizes, 1);
    atomic_store(&the.answer, -70);
    release_all();
    start();
    run_until_done(1);
    assert_int_equal(atomic_load(&the.worked), 5);
    assert_int_equal(atomic_load(&the.decided), 1);
    close_all();
}

static void what_fails_while_they_are_closed_is_not_tried_again(void **state)
{
    static const size_t sizes[] = {SMALL};
    rill_offset position;
    pthread_t thread;

    (void)state;
    options.retries = RILL_RETRIES_FOREVER;
    put_sizes(0, sizes, 1);
    start();
    run_until_inside(1);
    atomic_store(&the.answer, -70);
    thread = thread_start(release_soon, NULL);
    OK(rill_workers_close(workers, WAIT_MS));
    thread_join(thread);
    assert_int_equal(atomic_load(&the.worked), 1);
    OK(rill_consumer_position(consumer, "t", 0, &position));
    assert_int_equal(position, 0);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void one_that_was_left_behind_decides_nothing(void **state)
{
    static const size_t sizes[] = {SMALL};
    struct patience patience = {0};
    int threads = threads_there();

    (void)state;
    options.failed = decide;
    put_sizes(0, sizes, 1);
    start();
    run_until_inside(1);
    atomic_store(&the.answer, -70);
    FAILS(RILL_ERR_TIMEOUT, rill_workers_close(workers, 1));
    OK(rill_consumer_close(consumer, WAIT_MS));
    release_all();
    while (threads_there() > threads) wait_a_little(&patience);
    assert_int_equal(atomic_load(&the.worked), 1);
    assert_int_equal(atomic_load(&the.decided), 0);
}

/* ---- Rebalances --------------------------------------------------------- */

static bool polled_one(rill_consumer *other)
{
    rill_record record;
    size_t count = 0;
    int rc = rill_consumer_poll(other, 0, &record, 1, &count);

    if (rc != RILL_ERR_REBALANCE) OK(rc);
    OK(rill_consumer_assignment(other, NULL, 0, &count));
    return count == 1;
}

static void commit_elsewhere(int32_t partition, int64_t offset)
{
    struct meta_offset o = {.partition = partition, .offset = offset};
    struct topic *topic;

    OK(rill__topic_find(store->store, "t", &topic));
    memcpy(o.topic_id, topic->info.id, 16);
    rill__topic_release(topic);
    OK(rill__meta_offsets_commit(store->store->meta, "g", &o, 1));
}

/* Expelled, it comes back, and gets the same partitions while records of its first
 * stay are worked on; then one of them goes to another member. */
static void lost_partitions_come_back_and_go_again(bool done_elsewhere)
{
    static const size_t sizes[] = {SMALL};
    struct patience patience = {0};
    rill_consumer *other;

    in.max_poll_interval_ms = 20000;
    in.rebalance = on_rebalance;
    options.order = RILL_ORDER_NONE; /* or they would wait for those of the first stay */
    options.worker_count = 4;
    options.revoke_timeout_ms = 10;
    put_sizes(0, sizes, 1);
    put_sizes(1, sizes, 1);
    start();
    run_until_inside(2);
    elsewhere_expel(store, consumer->membership.id);
    if (done_elsewhere) {
        commit_elsewhere(0, 1);
        commit_elsewhere(1, 1);
    }
    consumer->tick_ms = 0;
    consumer->coordinator->looked_ms = 0;
    if (done_elsewhere)
        while (atomic_load(&the.assigned) < 4) OK(rill_workers_run(workers, 2));
    else run_until_inside(4); /* the same records again */
    in.rebalance = NULL;
    other = consumer_open(store, &in);
    OK(rill_consumer_subscribe(other, topic_t, 1));
    while (!polled_one(other)) {
        OK(rill_workers_run(workers, 1));
        wait_a_little(&patience);
    }
    assert_true(done_elsewhere ? committed(0) == 1 : committed(0) <= 0);
    assert_true(done_elsewhere ? committed(1) == 1 : committed(1) <= 0);
    release_all();
    run_until_done(done_elsewhere ? 2 : 4);
    OK(rill_consumer_close(other, WAIT_MS));
    close_all();
}

static void lost_partitions_may_come_back_and_go_again(void **state)
{
    (void)state;
    lost_partitions_come_back_and_go_again(false);
}

static void also_if_somebody_else_has_done_the_work(void **state)
{
    (void)state;
    lost_partitions_come_back_and_go_again(true);
}

/* Of one that goes nothing is left unfinished. */
static void what_is_in_flight_is_waited_for(void **state)
{
    static const size_t sizes[] = {SMALL};
    struct patience patience = {0};
    rill_consumer *other;
    pthread_t thread;

    (void)state;
    put_sizes(0, sizes, 1);
    put_sizes(1, sizes, 1);
    start();
    run_until_inside(2);
    other = consumer_open(store, &in);
    OK(rill_consumer_subscribe(other, topic_t, 1));
    thread = thread_start(release_soon, NULL);
    while (!polled_one(other)) {
        OK(rill_workers_run(workers, 1));
        wait_a_little(&patience);
    }
    thread_join(thread);
    run_until_done(2);
    OK(rill_consumer_close(other, WAIT_MS));
    close_all();
    assert_int_equal(committed(0), 1);
    assert_int_equal(committed(1), 1);
}

static void the_answer_of_the_own_callback_is_told(void **state)
{
    struct patience patience = {0};
    rill_consumer *other;
    int rc = 0;

    (void)state;
    in.max_poll_interval_ms = 20000;
    in.rebalance = on_rebalance;
    atomic_store(&the.answers, -71);
    start();
    OK(rill_workers_run(workers, 2));
    in.rebalance = NULL;
    other = consumer_open(store, &in);
    OK(rill_consumer_subscribe(other, topic_t, 1));
    while (rc == 0) {
        rc = rill_workers_run(workers, 1);
        wait_a_little(&patience);
    }
    assert_int_equal(rc, -71);
    atomic_store(&the.answers, 0);
    while (!polled_one(other)) {
        OK(rill_workers_run(workers, 1));
        wait_a_little(&patience);
    }
    OK(rill_consumer_close(other, WAIT_MS));
    close_all();
}

/* ---- Damage ------------------------------------------------------------- */

/* Batches 0 and 1 of the partition, as they lie behind the segment's header. */
static void damage_two(int32_t partition)
{
    struct topic *topic;
    char name[TOPIC_DIRECTORY_SIZE];
    char path[900];

    OK(rill__topic_find(store->store, "t", &topic));
    rill__topic_directory(topic->info.id, name);
    rill__topic_release(topic);
    snprintf(path, sizeof path, "%s/%s/%d/%020d.log", test_path("store"), name, (int)partition,
             0);
    test_flip_bit(path, 128 + 8);
    test_flip_bit(path, 128 + 8 + 64 + 16 + 8 + SMALL); /* key of 8, value of SMALL */
}

static int work_on_first(void *arg, uint32_t worker, const rill_record *record)
{
    (void)arg, (void)worker;
    return record->offset == 0 ? 0 : -70;
}

static void a_place_that_is_damaged_meanwhile_is_told_at_close(void **state)
{
    static const size_t sizes[] = {SMALL, SMALL, SMALL};
    struct patience patience = {0};
    int rc = 0;

    (void)state;
    options.work = work_on_first;
    options.worker_count = 1;
    put_sizes(0, sizes, 3);
    put_sizes(1, sizes, 3);
    start();
    while (rc == 0) {
        rc = rill_workers_run(workers, 1);
        wait_a_little(&patience);
    }
    assert_int_equal(rc, -70);
    damage_two(0);
    damage_two(1);
    FAILS(RILL_ERR_CORRUPT, rill_workers_close(workers, WAIT_MS));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static struct {
    _Atomic bool armed;
    size_t size; /* the allocation that fails when it is */
} memory;

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    if (atomic_load(&memory.armed) && size > memory.size) {
        atomic_store(&memory.armed, false);
        damage_two(0);
        return NULL;
    }
    return malloc(size);
}

static void *hook_resize(void *arg, void *block, size_t size)
{
    (void)arg;
    return realloc(block, size);
}

static void hook_release(void *arg, void *block)
{
    (void)arg;
    free(block);
}

/* Of three records the second finds no memory, and cannot be given back either. */
static void what_cannot_be_given_back_stops_the_workers(void **state)
{
    static const size_t sizes[] = {SMALL, SMALL, LARGE};
    rill_options with_hooks = {.size = sizeof with_hooks,
                               .allocator = {hook_alloc, hook_resize, hook_release, NULL}};
    rill_position from = {.topic = "t"};

    (void)state;
    OK(rill_close(store));
    OK(rill_open(test_path("store"), &with_hooks, &store));
    put_sizes(0, sizes, 2);
    put_sizes(0, sizes + 2, 1);
    consumer = consumer_open(store, &in);
    OK(rill_consumer_assign(consumer, &from, 1));
    OK(rill_consumer_seek(consumer, "t", 0, 1)); /* so that batch 0 is not looked at again */
    options.worker_count = 1;
    OK(rill_workers_open(consumer, &options, &workers));
    release_all();
    memory.size = 100;
    atomic_store(&memory.armed, true);
    FAILS(RILL_ERR_CORRUPT, rill_workers_run(workers, 1));
    assert_false(atomic_load(&memory.armed));
    FAILS(RILL_ERR_CORRUPT, rill_workers_run(workers, 1)); /* and stays so */
    OK(rill_workers_close(workers, WAIT_MS));              /* it was told */
    OK(rill_consumer_close(consumer, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_T(room_is_for_bytes_and_not_for_numbers),
        WITH_T(so_one_by_one_if_need_be),
        WITH_T(of_two_failures_the_first_is_told),
        WITH_T(the_wait_between_tries_has_a_limit),
        WITH_T(what_fails_while_they_are_closed_is_not_tried_again),
        WITH_T(one_that_was_left_behind_decides_nothing),
        WITH_T(lost_partitions_may_come_back_and_go_again),
        WITH_T(also_if_somebody_else_has_done_the_work),
        WITH_T(what_is_in_flight_is_waited_for),
        WITH_T(the_answer_of_the_own_callback_is_told),
        WITH_T(a_place_that_is_damaged_meanwhile_is_told_at_close),
        WITH_T(what_cannot_be_given_back_stops_the_workers),
    };

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
