/*
 * Workers: one consumer, several threads. Records with equal keys of a partition
 * are worked on one after another, in their order; others at once. The group's
 * offset never passes a record that is unfinished, whoever fails, hangs, comes or
 * goes; no more is in flight than is allowed; and who closes gets away in time.
 *
 * What happens in the workers' threads is counted here and judged by the first
 * thread, or ends the program.
 */
#include "members.h"
#include "records.h"
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define KEYS 12
#define PARTITIONS 4

/* ---- Records with keys ------------------------------------------------- */

struct stamp {
    int32_t key;    /* -1: none */
    int32_t number; /* of the key in its partition, from 0 */
};

static void put_stamps(rill *store, int32_t partition, const struct stamp *stamps, int count)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_producer *producer;

    OK(rill_producer_open(store, &options, &producer));
    for (int i = 0; i < count; i++) {
        rill_record record = RILL_RECORD_INIT;
        record.partition = partition;
        if (stamps[i].key >= 0) record.key = (rill_bytes){&stamps[i].key, sizeof stamps[i].key};
        record.value = (rill_bytes){&stamps[i], sizeof stamps[i]};
        OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    }
    OK(rill_producer_flush(producer, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
}

/* Rounds [first, first + rounds): each with one record of every key. */
static void put_rounds(rill *store, int32_t partition, int first, int rounds, int keys)
{
    struct stamp *stamps = malloc((size_t)rounds * (size_t)keys * sizeof *stamps);

    assert_non_null(stamps);
    for (int i = 0; i < rounds * keys; i++)
        stamps[i] = (struct stamp){i % keys, first + i / keys};
    put_stamps(store, partition, stamps, rounds * keys);
    free(stamps);
}

/* ---- Work -------------------------------------------------------------- */

/* Of one key of one partition; lines[..][KEYS] is for those without. */
struct line {
    _Atomic int inside;
    _Atomic int next; /* number that must come now */
    _Atomic int begun;
};

/* What the work functions share with the test. */
static struct {
    struct line lines[PARTITIONS][KEYS + 1];
    _Atomic int begun;
    _Atomic int inside;
    _Atomic int most_inside;
    _Atomic int held;     /* workers that wait to be let go */
    _Atomic int failures; /* still to come */
    _Atomic int asked;    /* calls of the failed function */
    _Atomic bool release;
    _Atomic bool came_back;
    _Atomic int rc; /* of a call that a worker made, or that it is to return */
    rill_workers *workers;
    _Atomic int events[3];
} the;

static void wrong(const char *what, const rill_record *record)
{
    fprintf(stderr, "%s: %s-%d at %lld\n", what, record->topic, (int)record->partition,
            (long long)record->offset);
    _exit(1);
}

static struct stamp stamp_of(const rill_record *record)
{
    struct stamp stamp;

    if (record->value.size != sizeof stamp || (uintptr_t)record->value.data % 8 != 0)
        wrong("damaged", record);
    memcpy(&stamp, record->value.data, sizeof stamp);
    if (stamp.key >= 0 && (record->key.size != sizeof stamp.key ||
                           memcmp(record->key.data, &stamp.key, sizeof stamp.key) != 0))
        wrong("another key", record);
    return stamp;
}

static struct line *line_of(const rill_record *record)
{
    int key = stamp_of(record).key;
    return &the.lines[record->partition][key < 0 ? KEYS : key];
}

static void dawdle(const rill_record *record)
{
    unsigned dice = (unsigned)(record->offset * 2654435761u) >> 7;

    if (dice % 3 == 0) sched_yield();
    if (dice % 13 == 0) usleep(dice % 300);
}

static void go_in(void)
{
    int inside = atomic_fetch_add(&the.inside, 1) + 1;
    int most = atomic_load(&the.most_inside);

    while (inside > most && !atomic_compare_exchange_weak(&the.most_inside, &most, inside)) {}
    atomic_fetch_add(&the.begun, 1);
}

static void go_out(void)
{
    atomic_fetch_sub(&the.inside, 1);
}

/* Every record exactly once, in the order of its key. */
static int work_in_order(void *arg, uint32_t worker, const rill_record *record)
{
    struct line *line = line_of(record);
    int number = stamp_of(record).number;

    (void)arg, (void)worker;
    go_in();
    if (atomic_fetch_add(&line->inside, 1) != 0) wrong("two of a key at once", record);
    if (atomic_load(&line->next) != number) wrong("out of order", record);
    dawdle(record);
    atomic_store(&line->next, number + 1);
    atomic_fetch_sub(&line->inside, 1);
    go_out();
    return 0;
}

static void hold_on(void)
{
    atomic_fetch_add(&the.held, 1);
    while (!atomic_load(&the.release)) usleep(500);
    atomic_fetch_sub(&the.held, 1);
}

/* Number 0 of key 0 is held until it is released. */
static int work_held(void *arg, uint32_t worker, const rill_record *record)
{
    struct stamp stamp = stamp_of(record);

    if (stamp.key == 0 && stamp.number == 0) hold_on();
    return work_in_order(arg, worker, record);
}

static int work_all_held(void *arg, uint32_t worker, const rill_record *record)
{
    (void)arg, (void)worker, (void)record;
    go_in();
    hold_on();
    go_out();
    return 0;
}

/* Number 1 of key 0 fails as often as is wanted. */
static int work_failing(void *arg, uint32_t worker, const rill_record *record)
{
    struct stamp stamp = stamp_of(record);

    if (stamp.key == 0 && stamp.number == 1 && atomic_load(&the.failures) > 0) {
        atomic_fetch_sub(&the.failures, 1);
        return 7;
    }
    return work_in_order(arg, worker, record);
}

static int decide(void *arg, uint32_t worker, const rill_record *record, int failure,
                  uint32_t tries)
{
    (void)worker;
    if (failure != 7 || stamp_of(record).number != 1 || tries == 0) wrong("not that", record);
    atomic_fetch_add(&the.asked, 1);
    return *(const int *)arg;
}

/* ---- Consumers and workers --------------------------------------------- */

static int set_up(void **state)
{
    memset(&the, 0, sizeof the);
    return store_set_up(state);
}
#define WITH_WORKERS(test) cmocka_unit_test_setup_teardown(test, set_up, store_tear_down)

static rill_consumer *member(rill *store)
{
    rill_consumer_options options = member_options("g");
    return member_open(store, &options);
}

static rill_workers_options working(rill_work_fn work)
{
    return (rill_workers_options){.size = sizeof(rill_workers_options),
                                  .work = work,
                                  .commit_interval_ms = 1,
                                  .backoff_ms = 1};
}

static rill_workers *workers_of(rill_consumer *consumer, const rill_workers_options *options)
{
    rill_workers *workers = NULL;

    OK(rill_workers_open(consumer, options, &workers));
    return workers;
}

static rill_workers_info info_of(rill_workers *workers)
{
    rill_workers_info info;

    OK(rill_workers_describe(workers, &info));
    return info;
}

static void run_until_done(rill_workers *workers, uint64_t count)
{
    struct patience patience = {0};

    while (info_of(workers).done_count < count) {
        OK(rill_workers_run(workers, 5));
        wait_a_little(&patience);
    }
    assert_int_equal(info_of(workers).done_count, count);
}

static void run_until_held(rill_workers *workers, int count)
{
    struct patience patience = {0};

    while (atomic_load(&the.held) < count) {
        OK(rill_workers_run(workers, 5));
        wait_a_little(&patience);
    }
}

static void close_both(rill_workers *workers, rill_consumer *consumer)
{
    OK(rill_workers_close(workers, WAIT_MS));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* The group's, seen by a consumer that is none of its members. */
static rill_offset committed(rill *store, int32_t partition)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_consumer *consumer = consumer_open(store, &options);
    rill_position position;

    OK(rill_consumer_committed(consumer, "t", partition, &position, NULL, 0));
    OK(rill_consumer_close(consumer, 0));
    return position.offset;
}

/* ---- Order ------------------------------------------------------------- */

static void works_in_order(rill *store, rill_workers_options options)
{
    rill_consumer *consumer = member(store);
    rill_workers *workers;

    test_topic(store, "t", 3);
    for (int p = 0; p < 3; p++) put_rounds(store, p, 0, 40, KEYS);
    workers = workers_of(consumer, &options);
    run_until_done(workers, 3 * 40 * KEYS);
    assert_int_equal(info_of(workers).in_flight_count, 0);
    assert_int_equal(info_of(workers).in_flight_bytes, 0);
    assert_int_equal(info_of(workers).failed_count, 0);
    close_both(workers, consumer);
    for (int p = 0; p < 3; p++) assert_int_equal(committed(store, p), 40 * KEYS);
}

static void records_of_a_key_are_worked_on_in_order(void **state)
{
    rill_workers_options options = working(work_in_order);

    works_in_order(*state, options);
}

static void so_they_are_with_many_threads_and_little_room(void **state)
{
    rill_workers_options options = working(work_in_order);

    options.worker_count = 16;
    options.in_flight_max = 5;
    options.in_flight_bytes = 2000;
    works_in_order(*state, options);
}

static int work_by_partition(void *arg, uint32_t worker, const rill_record *record)
{
    struct line *line = &the.lines[record->partition][0];

    (void)arg, (void)worker;
    if (atomic_fetch_add(&line->inside, 1) != 0) wrong("two of a partition at once", record);
    if (atomic_load(&line->next) != record->offset) wrong("out of order", record);
    dawdle(record);
    atomic_store(&line->next, (int)record->offset + 1);
    atomic_fetch_sub(&line->inside, 1);
    return 0;
}

static void partitions_are_worked_on_in_order(void **state)
{
    rill_workers_options options = working(work_by_partition);

    options.order = RILL_ORDER_PARTITION;
    works_in_order(*state, options);
}

static void records_without_key_keep_their_order(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_by_partition);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    struct stamp stamps[200];

    test_topic(store, "t", 1);
    for (int i = 0; i < 200; i++) stamps[i] = (struct stamp){-1, i};
    put_stamps(store, 0, stamps, 200);
    workers = workers_of(consumer, &options);
    run_until_done(workers, 200);
    close_both(workers, consumer);
}

/* That many records are in their work at the same time. */
static void work_together(rill *store, const rill_workers_options *options,
                          const struct stamp *stamps, int count)
{
    rill_consumer *consumer = member(store);
    rill_workers *workers;

    test_topic(store, "t", 1);
    put_stamps(store, 0, stamps, count);
    workers = workers_of(consumer, options);
    run_until_held(workers, count);
    assert_int_equal(info_of(workers).busy_count, count);
    atomic_store(&the.release, true);
    run_until_done(workers, (uint64_t)count);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), count);
}

static void different_keys_are_worked_on_at_once(void **state)
{
    rill_workers_options options = working(work_all_held);

    work_together(*state, &options, (struct stamp[]){{0, 0}, {1, 0}, {2, 0}, {-1, 0}}, 4);
}

static void keyless_records_can_be_free(void **state)
{
    rill_workers_options options = working(work_all_held);

    options.flags = RILL_WORKERS_KEYLESS_FREE;
    work_together(*state, &options, (struct stamp[]){{-1, 0}, {-1, 1}, {0, 0}, {-1, 2}}, 4);
}

static void all_records_can_be_free(void **state)
{
    rill_workers_options options = working(work_all_held);

    options.order = RILL_ORDER_NONE;
    work_together(*state, &options, (struct stamp[]){{0, 0}, {0, 1}, {0, 2}, {0, 3}}, 4);
}

static int work_looking(void *arg, uint32_t worker, const rill_record *record)
{
    rill_header header;
    bool empty = record->offset == 1;

    (void)arg;
    if (worker != 0 || record->header_count != 2 || strcmp(record->topic, "t") != 0 ||
        record->timestamp_ms != 5 || record->leader_epoch < 0)
        wrong("something is missing", record);
    if (rill_record_header(record, 1, &header) != 0 || header.name.size != 3 ||
        memcmp(header.name.data, "two", 3) != 0 || header.value.data != NULL)
        wrong("another header", record);
    if ((record->value.data != NULL) != empty || (record->key.data != NULL) != empty ||
        record->value.size != 0 || record->key.size != 0)
        wrong("null and empty are mixed up", record);
    return 0;
}

static void a_worker_sees_all_of_a_record(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_looking);
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_consumer *consumer = member(store);
    const rill_header headers[] = {{{"one", 3}, {"1", 1}}, {{"two", 3}, {NULL, 0}}};
    rill_record record = RILL_RECORD_INIT;
    rill_producer *producer;
    rill_workers *workers;

    test_topic(store, "t", 1);
    OK(rill_producer_open(store, &out, &producer));
    record.headers = headers;
    record.header_count = 2;
    record.timestamp_ms = 5;
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    record.key = record.value = (rill_bytes){"", 0};
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    options.worker_count = 1;
    workers = workers_of(consumer, &options);
    run_until_done(workers, 2);
    close_both(workers, consumer);
}

/* ---- Commits ----------------------------------------------------------- */

static void a_commit_never_passes_what_is_unfinished(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_held);
    rill_consumer *consumer = member(store);
    rill_workers *workers;

    test_topic(store, "t", 2);
    put_stamps(store, 0, (struct stamp[]){{1, 0}, {0, 0}}, 2);
    put_rounds(store, 0, 1, 20, 3);
    put_rounds(store, 1, 1, 0, 1);
    for (int key = 1; key < 3; key++) atomic_store(&the.lines[0][key].next, key == 1 ? 0 : 1);
    workers = workers_of(consumer, &options);
    run_until_done(workers, 1 + 20 * 2); /* all but those of key 0 */
    for (int i = 0; i < 20; i++) {
        OK(rill_workers_run(workers, 2));
        assert_true(committed(store, 0) <= 1);
    }
    atomic_store(&the.release, true);
    run_until_done(workers, 2 + 20 * 3);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 2 + 20 * 3);
}

static void what_is_finished_is_committed_by_and_by(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_in_order);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    struct patience patience = {0};

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 10, 2);
    workers = workers_of(consumer, &options);
    while (committed(store, 0) != 20) {
        OK(rill_workers_run(workers, 5));
        wait_a_little(&patience);
    }
    close_both(workers, consumer);
}

/* Who takes over must not begin behind it by his reset policy. */
static void a_place_is_committed_before_anything_is_finished(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_held);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    struct patience patience = {0};

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 1, 1);
    workers = workers_of(consumer, &options);
    run_until_held(workers, 1);
    while (committed(store, 0) != 0) {
        OK(rill_workers_run(workers, 5));
        wait_a_little(&patience);
    }
    atomic_store(&the.release, true);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 1);
}

static void a_consumer_without_group_commits_nothing(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_in_order);
    rill_consumer *consumer;
    rill_workers *workers;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 10, 2);
    consumer = test_consumer(store, "t", 0, RILL_OFFSET_EARLIEST);
    workers = workers_of(consumer, &options);
    run_until_done(workers, 20);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), RILL_OFFSET_NONE);
}

/* ---- Failures ---------------------------------------------------------- */

static void a_failed_record_is_tried_again_before_its_followers(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_failing);
    rill_consumer *consumer = member(store);
    rill_workers *workers;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 10, 3);
    atomic_store(&the.failures, 5);
    options.retries = 5;
    workers = workers_of(consumer, &options);
    run_until_done(workers, 30); /* the order is checked */
    assert_int_equal(info_of(workers).failed_count, 5);
    assert_int_equal(info_of(workers).skipped_count, 0);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 30);
}

static void others_go_on_while_a_record_waits_for_its_next_try(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_failing);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    rill_offset position;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 10, 3);
    atomic_store(&the.failures, INT32_MAX);
    options.worker_count = 1;
    options.retries = RILL_RETRIES_FOREVER;
    options.backoff_ms = 1;
    options.backoff_max_ms = 2;
    workers = workers_of(consumer, &options);
    run_until_done(workers, 1 + 2 * 10);
    OK(rill_workers_close(workers, WAIT_MS)); /* which does not try for ever */
    OK(rill_consumer_position(consumer, "t", 0, &position));
    assert_int_equal(position, 3);
    assert_int_equal(committed(store, 0), 3);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static int run_until_failed(rill_workers *workers)
{
    struct patience patience = {0};
    int rc;

    while ((rc = rill_workers_run(workers, 5)) == 0) wait_a_little(&patience);
    return rc;
}

static void the_last_failure_stops_the_workers(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_failing);
    rill_consumer *consumer = member(store);
    rill_workers *workers;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 10, 3);
    atomic_store(&the.failures, 2);
    options.retries = 1;
    workers = workers_of(consumer, &options);
    assert_int_equal(run_until_failed(workers), 7);
    assert_non_null(strstr(rill_errmsg(), "t-0"));
    assert_non_null(strstr(rill_errmsg(), "offset 3"));
    assert_non_null(strstr(rill_errmsg(), "2 tries"));
    assert_int_equal(rill_workers_run(workers, 0), 7); /* and it stays so */
    assert_int_equal(atomic_load(&the.lines[0][0].next), 1);
    OK(rill_workers_close(workers, WAIT_MS));
    assert_in_range(committed(store, 0), 0, 3);
    atomic_store(&the.lines[0][1].next, 0); /* what was not committed comes again */
    atomic_store(&the.lines[0][2].next, 0);

    /* The next ones begin with it. */
    put_rounds(store, 0, 10, 1, 3);
    for (int key = 0; key < 3; key++) {
        rill_offset from = committed(store, 0);
        atomic_store(&the.lines[0][key].next, (int)((from - key + 2) / 3));
    }
    workers = workers_of(consumer, &options);
    run_until_done(workers, (uint64_t)(33 - committed(store, 0)));
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 33);
}

static void a_failure_that_no_run_has_told_close_tells(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_failing);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    struct patience patience = {0};

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 2, 1);
    atomic_store(&the.failures, 1);
    workers = workers_of(consumer, &options);
    while (info_of(workers).in_flight_count == 0 && info_of(workers).done_count == 0) {
        OK(rill_workers_run(workers, 0));
        wait_a_little(&patience);
    }
    while (info_of(workers).failed_count == 0) wait_a_little(&patience);
    FAILS(7, rill_workers_close(workers, WAIT_MS));
    assert_int_equal(committed(store, 0), 1);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void a_failure_can_be_skipped(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_failing);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    int verdict = RILL_FAILED_SKIP;

    test_topic(store, "t", 1);
    put_stamps(store, 0, (struct stamp[]){{0, 0}, {0, 1}, {0, 1}, {1, 0}}, 4);
    atomic_store(&the.failures, 3);
    options.retries = 2;
    options.failed = decide;
    options.work_arg = &verdict;
    workers = workers_of(consumer, &options);
    run_until_done(workers, 4);
    assert_int_equal(info_of(workers).skipped_count, 1);
    assert_int_equal(info_of(workers).failed_count, 3);
    assert_int_equal(atomic_load(&the.asked), 1);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 4);
}

static void or_be_the_last(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_failing);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    int verdict = RILL_FAILED_STOP;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 2, 1);
    atomic_store(&the.failures, 1);
    options.failed = decide;
    options.work_arg = &verdict;
    workers = workers_of(consumer, &options);
    assert_int_equal(run_until_failed(workers), 7);
    assert_int_equal(info_of(workers).in_flight_count, 1);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 1);
}

static void or_tried_once_more_each_time(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_failing);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    int verdict = RILL_FAILED_RETRY;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 3, 2);
    atomic_store(&the.failures, 4);
    options.retries = 1;
    options.failed = decide;
    options.work_arg = &verdict;
    workers = workers_of(consumer, &options);
    run_until_done(workers, 6);
    assert_int_equal(atomic_load(&the.asked), 3);
    close_both(workers, consumer);
}

/* ---- Room -------------------------------------------------------------- */

static void no_more_is_in_flight_than_is_allowed(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_all_held);
    rill_consumer *consumer = member(store);
    rill_workers *workers;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 20, 3);
    options.worker_count = 2;
    options.in_flight_max = 5;
    workers = workers_of(consumer, &options);
    run_until_held(workers, 2);
    for (int i = 0; i < 20; i++) {
        OK(rill_workers_run(workers, 1));
        assert_in_range(info_of(workers).in_flight_count, 2, 5);
    }
    atomic_store(&the.release, true);
    run_until_done(workers, 60);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 60);
}

static int work_on_anything_held(void *arg, uint32_t worker, const rill_record *record)
{
    int64_t last = *(int64_t *)arg;

    (void)worker;
    if (record->offset != last + 1) wrong("not the next one", record);
    *(int64_t *)arg = last + 1;
    hold_on();
    return 0;
}

static void nor_more_bytes(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_on_anything_held);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    int64_t last = -1; /* with one worker and no key, all are in order */

    test_topic(store, "t", 1);
    test_store_append(store, "t", 0, 40, 1000);
    test_store_append(store, "t", 40, 1, 20000); /* larger than all the room */
    test_store_append(store, "t", 41, 5, 1000);
    options.worker_count = 1;
    options.work_arg = &last;
    options.in_flight_bytes = 5000;
    workers = workers_of(consumer, &options);
    run_until_held(workers, 1);
    for (int i = 0; i < 20; i++) {
        OK(rill_workers_run(workers, 1));
        assert_in_range(info_of(workers).in_flight_bytes, 1000, 5000);
    }
    assert_in_range(info_of(workers).in_flight_count, 2, 5);
    atomic_store(&the.release, true);
    run_until_done(workers, 46);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 46);
}

/* ---- Rebalances -------------------------------------------------------- */

struct host {
    rill *store;
    rill_consumer *consumer;
    rill_workers *workers;
    pthread_t thread;
    _Atomic bool leave;
};

static void *host_main(void *arg)
{
    struct host *host = arg;

    while (!atomic_load(&host->leave)) thread_ok(rill_workers_run(host->workers, 20), "run");
    thread_ok(rill_workers_close(host->workers, WAIT_MS), "close the workers");
    thread_ok(rill_consumer_close(host->consumer, WAIT_MS), "close the consumer");
    return NULL;
}

static void host_start(struct host *host, rill *store, const rill_workers_options *options)
{
    host->store = store;
    host->consumer = member(store);
    host->workers = workers_of(host->consumer, options);
    atomic_store(&host->leave, false);
    host->thread = thread_start(host_main, host);
}

static void host_stop(struct host *host)
{
    atomic_store(&host->leave, true);
    thread_join(host->thread);
}

static void wait_for_begun(int count)
{
    struct patience patience = {0};

    while (atomic_load(&the.begun) < count) wait_a_little(&patience);
}

/* Whoever takes a partition over finds all that was in flight finished and
 * committed: so here even over members every record comes once, in order. */
static void members_come_and_go_while_records_are_in_flight(void **state)
{
    enum { ROUNDS = 12, EACH = 20 };
    rill *store = *state;
    rill_workers_options options = working(work_in_order);
    struct host first = {.store = NULL};
    struct host second = {.store = NULL};
    int all = 0;

    test_topic(store, "t", PARTITIONS);
    options.in_flight_max = 50;
    host_start(&first, store, &options);
    for (int round = 0; round < ROUNDS; round++) {
        struct host *other = round % 4 == 1 ? &second : NULL;
        for (int p = 0; p < PARTITIONS; p++) put_rounds(store, p, round * EACH, EACH, KEYS);
        if (other != NULL) host_start(other, store, &options);
        if (round % 4 == 3) host_stop(&second);
        all += PARTITIONS * EACH * KEYS;
        wait_for_begun(all * (round % 2 + 1) / (round % 2 + 2)); /* somewhere in between */
    }
    wait_for_begun(all);
    host_stop(&first);
    assert_int_equal(atomic_load(&the.begun), all);
    for (int p = 0; p < PARTITIONS; p++) {
        assert_int_equal(committed(store, p), ROUNDS * EACH * KEYS);
        for (int key = 0; key < KEYS; key++)
            assert_int_equal(atomic_load(&the.lines[p][key].next), ROUNDS * EACH);
    }
}

/* The application's callback of a consumer with workers. */
static int on_rebalance_of_ours(void *arg, rill_consumer *consumer, int event,
                                const rill_position *positions, size_t count)
{
    (void)arg;
    atomic_fetch_add(&the.events[event], 1);
    for (size_t i = 0; i < count && event == RILL_REBALANCE_REVOKED; i++)
        for (int key = 0; key < KEYS; key++)
            if (atomic_load(&the.lines[positions[i].partition][key].inside) != 0)
                fail_msg("the work goes on");
    if (event == RILL_REBALANCE_REVOKED) OK(rill_consumer_commit(consumer, NULL, 0));
    assert_int_not_equal(rill_workers_run(the.workers, 0), 0);
    assert_int_not_equal(rill_consumer_unsubscribe(consumer), 0);
    return 0;
}

static void a_full_member_gives_partitions_away(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_held);
    rill_consumer_options in = member_options("g");
    rill_consumer *consumer;
    rill_consumer *other;
    rill_record record;
    struct patience patience = {0};
    size_t count = 0;

    test_topic(store, "t", 2);
    put_rounds(store, 0, 0, 1, 1);
    in.group_instance_id = "a"; /* it keeps partition 0, which comes first */
    in.rebalance = on_rebalance_of_ours;
    consumer = consumer_open(store, &in);
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    options.in_flight_max = 1;
    the.workers = workers_of(consumer, &options);
    run_until_held(the.workers, 1);
    put_rounds(store, 1, 0, 1, 1);
    in.group_instance_id = "b";
    in.rebalance = NULL;
    other = consumer_open(store, &in);
    OK(rill_consumer_subscribe(other, topic_t, 1));
    while (count == 0) { /* the other one gets partition 1: nothing of it is in flight */
        OK(rill_workers_run(the.workers, 5));
        OK(rill_consumer_poll(other, 0, &record, 1, &count));
        wait_a_little(&patience);
    }
    assert_int_equal(record.partition, 1);
    assert_int_equal(atomic_load(&the.events[RILL_REBALANCE_REVOKED]), 1);
    assert_int_equal(atomic_load(&the.events[RILL_REBALANCE_LOST]), 0);
    atomic_store(&the.release, true);
    run_until_done(the.workers, 1);
    OK(rill_consumer_close(other, WAIT_MS));
    OK(rill_workers_close(the.workers, WAIT_MS));
    the.workers = NULL;
    OK(rill_consumer_close(consumer, WAIT_MS));
    assert_int_equal(committed(store, 0), 1);
}

/* The work is too slow for the one who wants the partition. */
static void a_partition_is_not_waited_for_longer_than_allowed(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_held);
    rill_consumer *consumer = member(store);
    rill_consumer *other;
    rill_workers *workers;
    rill_record record;
    struct patience patience = {0};
    size_t count = 0;

    test_topic(store, "t", 2);
    put_rounds(store, 0, 0, 3, 1);
    put_rounds(store, 1, 0, 3, 1);
    options.revoke_timeout_ms = 1;
    workers = workers_of(consumer, &options);
    run_until_held(workers, 2);
    other = member(store);
    while (count == 0) {
        OK(rill_workers_run(workers, 5));
        OK(rill_consumer_poll(other, 0, &record, 1, &count));
        wait_a_little(&patience);
    }
    assert_int_equal(record.offset, 0); /* from the first that was not finished */
    assert_int_equal(info_of(workers).in_flight_count, 3 + 1);
    atomic_store(&the.release, true);
    run_until_done(workers, 3 + 1); /* what was not begun was dropped */
    OK(rill_consumer_close(other, WAIT_MS));
    OK(rill_workers_close(workers, WAIT_MS));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* One worker, and more than it can begin with. */
static void what_was_not_begun_goes_to_the_next_member(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_held);
    rill_consumer_options in = member_options("g");
    rill_consumer *consumer;
    rill_consumer *other;
    rill_workers *workers;
    rill_record record;
    struct patience patience = {0};
    size_t count = 0;

    test_topic(store, "t", 2);
    put_rounds(store, 0, 0, 3, 3);
    in.group_instance_id = "b"; /* "a" comes first, and gets partition 0 */
    consumer = consumer_open(store, &in);
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    options.worker_count = 1;
    options.revoke_timeout_ms = 1;
    workers = workers_of(consumer, &options);
    run_until_held(workers, 1);
    put_rounds(store, 1, 0, 3, 1);
    while (info_of(workers).in_flight_count != 9 + 3) {
        OK(rill_workers_run(workers, 5));
        wait_a_little(&patience);
    }
    in.group_instance_id = "a";
    other = consumer_open(store, &in);
    OK(rill_consumer_subscribe(other, topic_t, 1));
    while (count == 0) {
        int rc = rill_consumer_poll(other, 0, &record, 1, &count);
        if (rc != RILL_ERR_REBALANCE) OK(rc);
        OK(rill_workers_run(workers, 5));
        wait_a_little(&patience);
    }
    assert_int_equal(record.partition, 0);
    assert_int_equal(record.offset, 0);
    assert_int_equal(info_of(workers).in_flight_count, 1 + 3);
    atomic_store(&the.release, true);
    run_until_done(workers, 1 + 3);
    OK(rill_workers_close(workers, WAIT_MS));
    assert_int_equal(committed(store, 1), 3);
    assert_int_equal(committed(store, 0), 0);
    OK(rill_consumer_close(consumer, WAIT_MS));
    OK(rill_consumer_close(other, WAIT_MS));
}

/* It was silent for too long, and comes back. */
static void of_lost_partitions_nothing_is_committed(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_held);
    rill_consumer_options in = member_options("g");
    rill_consumer *consumer;
    rill_consumer *other;
    rill_record record;
    struct patience patience = {0};
    size_t count = 0;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 3, 1);
    in.group_instance_id = "b"; /* as long as there is no "a", which comes first */
    in.rebalance = on_rebalance_of_ours;
    in.max_poll_interval_ms = 100;
    consumer = consumer_open(store, &in);
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    the.workers = workers_of(consumer, &options);
    while (atomic_load(&the.held) == 0) {
        OK(rill_workers_run(the.workers, 1));
        wait_a_little(&patience);
    }
    in.group_instance_id = "a";
    in.max_poll_interval_ms = 0;
    in.rebalance = NULL;
    other = consumer_open(store, &in);
    OK(rill_consumer_subscribe(other, topic_t, 1));
    while (count == 0) {
        OK(rill_consumer_poll(other, 10, &record, 1, &count));
        wait_a_little(&patience);
    }
    assert_int_equal(record.offset, 0);
    atomic_store(&the.release, true);
    while (atomic_load(&the.events[RILL_REBALANCE_LOST]) == 0) {
        OK(rill_workers_run(the.workers, 5));
        OK(rill_consumer_poll(other, 0, &record, 1, &count));
        wait_a_little(&patience);
    }
    OK(rill_workers_close(the.workers, WAIT_MS));
    the.workers = NULL;
    assert_true(committed(store, 0) <= 0); /* at most its place, before it was lost */
    OK(rill_consumer_close(consumer, WAIT_MS));
    OK(rill_consumer_close(other, WAIT_MS));
}

static int seek_when_assigned(void *arg, rill_consumer *consumer, int event,
                              const rill_position *positions, size_t count)
{
    (void)arg, (void)positions, (void)count;
    if (event == RILL_REBALANCE_ASSIGNED) OK(rill_consumer_seek(consumer, "t", 0, 6));
    return 0;
}

static void a_callback_may_say_where_to_begin(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_in_order);
    rill_consumer_options in = member_options("g");
    rill_consumer *consumer;
    rill_workers *workers;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 10, 2);
    for (int key = 0; key < 2; key++) atomic_store(&the.lines[0][key].next, 3);
    in.rebalance = seek_when_assigned;
    consumer = consumer_open(store, &in);
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    workers = workers_of(consumer, &options);
    run_until_done(workers, 14);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 20);
}

/* ---- Stopping and closing ---------------------------------------------- */

static void *stop_later(void *arg)
{
    usleep(20000);
    rill_workers_stop(arg);
    return NULL;
}

static rill_workers *stopped_by_signal;

static void on_signal(int number)
{
    (void)number;
    rill_workers_stop(stopped_by_signal);
}

static void a_run_can_be_stopped(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_in_order);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    pthread_t thread;

    test_topic(store, "t", 1);
    workers = workers_of(consumer, &options);
    thread = thread_start(stop_later, workers);
    OK(rill_workers_run(workers, RILL_FOREVER));
    thread_join(thread);
    rill_workers_stop(workers); /* before it begins */
    OK(rill_workers_run(workers, RILL_FOREVER));
    stopped_by_signal = workers;
    signal(SIGALRM, on_signal);
    ualarm(20000, 0);
    OK(rill_workers_run(workers, RILL_FOREVER));
    signal(SIGALRM, SIG_DFL);
    put_rounds(store, 0, 0, 3, 3);
    run_until_done(workers, 9);
    close_both(workers, consumer);
}

static void a_full_run_can_be_stopped(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_all_held);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    pthread_t thread;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 3, 3);
    options.in_flight_max = 2;
    workers = workers_of(consumer, &options);
    run_until_held(workers, 2);
    thread = thread_start(stop_later, workers);
    OK(rill_workers_run(workers, RILL_FOREVER));
    thread_join(thread);
    atomic_store(&the.release, true);
    close_both(workers, consumer);
    assert_int_equal(committed(store, 0), 2);
}

static void close_finishes_what_is_in_flight(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_in_order);
    rill_consumer *consumer = member(store);
    rill_workers *workers;
    struct patience patience = {0};
    rill_offset position;
    int before;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 50, KEYS);
    workers = workers_of(consumer, &options);
    while (atomic_load(&the.begun) == 0) {
        OK(rill_workers_run(workers, 0));
        wait_a_little(&patience);
    }
    OK(rill_workers_close(workers, WAIT_MS));
    before = atomic_load(&the.begun);
    OK(rill_consumer_position(consumer, "t", 0, &position));
    assert_int_equal(position, before); /* all that was handed out */
    assert_int_equal(committed(store, 0), before);

    /* The consumer is as good as before. */
    workers = workers_of(consumer, &options);
    run_until_done(workers, (uint64_t)(50 * KEYS - before));
    close_both(workers, consumer);
}

static int work_hanging(void *arg, uint32_t worker, const rill_record *record)
{
    struct stamp stamp = stamp_of(record);

    if (stamp.key != 0) return work_in_order(arg, worker, record);
    hold_on();
    if (strcmp(record->topic, "t") != 0 || stamp_of(record).key != 0) wrong("changed", record);
    atomic_store(&the.came_back, true);
    return atomic_load(&the.rc);
}

/* The worker comes back when there is neither a consumer nor a store. */
static void leaves_a_worker_behind(void **state, int result)
{
    rill *store = *state;
    rill_workers_options options = working(work_hanging);
    rill_consumer *consumer = member(store);
    int threads = threads_there();
    rill_workers *workers;
    rill_record record;
    struct patience patience = {0};
    size_t count;

    test_topic(store, "t", 1);
    put_stamps(store, 0, (struct stamp[]){{1, 0}, {0, 0}, {0, 1}, {1, 1}}, 4);
    atomic_store(&the.rc, result);
    workers = workers_of(consumer, &options);
    run_until_done(workers, 2);
    FAILS(RILL_ERR_TIMEOUT, rill_workers_close(workers, 1));
    assert_int_equal(committed(store, 0), 1);
    OK(rill_consumer_poll(consumer, WAIT_MS, &record, 1, &count));
    assert_int_equal(record.offset, 1);
    OK(rill_consumer_close(consumer, WAIT_MS));
    OK(rill_close(store));
    *state = NULL;
    assert_false(atomic_load(&the.came_back));
    atomic_store(&the.release, true);
    while (threads_there() > threads) wait_a_little(&patience);
    assert_true(atomic_load(&the.came_back));
}

static void close_leaves_a_worker_that_hangs(void **state)
{
    leaves_a_worker_behind(state, 0);
}

static void also_one_that_fails_when_it_comes_back(void **state)
{
    leaves_a_worker_behind(state, 7);
}

static void an_idle_pair_is_closed_at_once(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_in_order);
    rill_consumer *consumer = member(store);
    int threads = threads_there();
    rill_workers *workers = workers_of(consumer, &options);

    assert_int_equal(threads_there(), threads + 4);
    OK(rill_workers_close(workers, 0));
    OK(rill_workers_close(NULL, 0));
    OK(rill_consumer_close(consumer, 0));
    assert_int_equal(threads_there(), threads);
    (void)store;
}

/* ---- What is refused --------------------------------------------------- */

static void options_out_of_range_are_refused(void **state)
{
    rill_consumer *consumer = member(*state);
    rill_workers *workers = NULL;
    rill_workers_options good = working(work_in_order);
    rill_workers_options bad[10];

    for (int i = 0; i < 10; i++) bad[i] = good;
    bad[0].work = NULL;
    bad[1].worker_count = 257;
    bad[2].order = RILL_ORDER_NONE + 1;
    bad[3].in_flight_max = 1000001;
    bad[4].flags = 2;
    bad[5].commit_interval_ms = 3600001;
    bad[6].size = 3;
    bad[7].order = -1;
    bad[8].revoke_timeout_ms = UINT32_MAX;
    bad[9].reserved = 1;
    for (int i = 0; i < 10; i++)
        FAILS(RILL_ERR_INVALID, rill_workers_open(consumer, &bad[i], &workers));
    FAILS(RILL_ERR_INVALID, rill_workers_open(NULL, &good, &workers));
    FAILS(RILL_ERR_INVALID, rill_workers_open(consumer, NULL, &workers));
    FAILS(RILL_ERR_INVALID, rill_workers_open(consumer, &good, NULL));
    FAILS(RILL_ERR_INVALID, rill_workers_run(NULL, 0));
    FAILS(RILL_ERR_INVALID, rill_workers_describe(NULL, NULL));
    rill_workers_stop(NULL);
    assert_null(workers);
    OK(rill_workers_open(consumer, &good, &workers)); /* none of it has changed anything */
    FAILS(RILL_ERR_INVALID, rill_workers_describe(workers, NULL));
    close_both(workers, consumer);
}

static void a_consumer_that_commits_by_itself_is_refused(void **state)
{
    rill_consumer_options in = member_options("g");
    rill_workers_options options = working(work_in_order);
    rill_consumer *consumer;
    rill_workers *workers;

    in.auto_commit_interval_ms = 1000;
    consumer = consumer_open(*state, &in);
    FAILS(RILL_ERR_INVALID, rill_workers_open(consumer, &options, &workers));
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    OK(rill_consumer_close(consumer, 0));
}

static void the_consumer_belongs_to_its_workers(void **state)
{
    rill_consumer *consumer = member(*state);
    rill_workers_options options = working(work_in_order);
    rill_workers *workers = workers_of(consumer, &options);
    rill_workers *second;
    rill_record record;
    size_t count;

    FAILS(RILL_ERR_STATE, rill_consumer_poll(consumer, 0, &record, 1, &count));
    assert_non_null(strstr(rill_errmsg(), "rill_workers_close"));
    FAILS(RILL_ERR_STATE, rill_consumer_commit(consumer, NULL, 0));
    FAILS(RILL_ERR_STATE, rill_consumer_close(consumer, 0));
    FAILS(RILL_ERR_STATE, rill_workers_open(consumer, &options, &second));
    rill_consumer_wakeup(consumer);
    close_both(workers, consumer);
}

static int work_calling(void *arg, uint32_t worker, const rill_record *record)
{
    rill_workers_info info;
    int rc;

    (void)arg, (void)worker, (void)record;
    rc = rill_workers_describe(the.workers, &info);
    if (rc == 0 && rill_workers_run(the.workers, 0) != RILL_ERR_STATE) rc = 1;
    if (rc == 0 && rill_workers_close(the.workers, 0) != RILL_ERR_STATE) rc = 2;
    atomic_store(&the.rc, rc);
    return 0;
}

static void a_worker_can_neither_run_nor_close(void **state)
{
    rill *store = *state;
    rill_consumer *consumer = member(store);
    rill_workers_options options = working(work_calling);

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 1, 1);
    atomic_store(&the.rc, -1);
    the.workers = workers_of(consumer, &options);
    run_until_done(the.workers, 1);
    assert_int_equal(atomic_load(&the.rc), 0);
    close_both(the.workers, consumer);
}

static void workers_do_not_survive_fork(void **state)
{
    rill_consumer *consumer = member(*state);
    rill_workers_options options = working(work_in_order);
    rill_workers *workers = workers_of(consumer, &options);
    rill_workers_info info;
    int status;
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        rill_workers_stop(workers);
        _exit(rill_workers_run(workers, 0) != RILL_ERR_FORKED ||
              rill_workers_describe(workers, &info) != RILL_ERR_FORKED ||
              rill_workers_close(workers, 0) != RILL_ERR_FORKED);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close_both(workers, consumer);
}

/* What is wrong with a partition a run says, and the next one goes on. */
static void a_run_says_what_the_poll_says(void **state)
{
    rill *store = *state;
    rill_consumer_options in = member_options("g");
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_NONE};
    rill_workers_options options = working(work_in_order);
    rill_consumer *consumer;
    rill_workers *workers;

    test_topic(store, "t", 1);
    in.auto_offset_reset = RILL_RESET_ERROR;
    consumer = consumer_open(store, &in);
    OK(rill_consumer_assign(consumer, &from, 1));
    workers = workers_of(consumer, &options);
    FAILS(RILL_ERR_NO_OFFSET, rill_workers_run(workers, WAIT_MS));
    FAILS(RILL_ERR_NO_OFFSET, rill_workers_run(workers, WAIT_MS));
    close_both(workers, consumer);
}

static void a_deleted_topic_is_let_go(void **state)
{
    rill *store = *state;
    rill_workers_options options = working(work_held);
    rill_consumer *consumer = member(store);
    rill_workers *workers;

    test_topic(store, "t", 1);
    put_rounds(store, 0, 0, 2, 1);
    options.revoke_timeout_ms = 1;
    workers = workers_of(consumer, &options);
    run_until_held(workers, 1);
    OK(rill_topic_delete(store, "t"));
    for (int i = 0; i < 10; i++) {
        int rc = rill_workers_run(workers, 1);
        if (rc != RILL_ERR_NOT_FOUND) OK(rc);
    }
    atomic_store(&the.release, true);
    OK(rill_workers_close(workers, WAIT_MS));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* ---- Memory ------------------------------------------------------------ */

static struct {
    _Atomic int calls;
    int fail_at; /* 0: never */
    bool for_good;
    _Atomic int blocks;
} memory;

static bool fails_now(void)
{
    int call = atomic_fetch_add(&memory.calls, 1) + 1;

    return memory.fail_at != 0 &&
           (call == memory.fail_at || (memory.for_good && call > memory.fail_at));
}

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    if (fails_now()) return NULL;
    atomic_fetch_add(&memory.blocks, 1);
    return malloc(size);
}

static void *hook_resize(void *arg, void *block, size_t size)
{
    (void)arg;
    return fails_now() ? NULL : realloc(block, size);
}

static void hook_release(void *arg, void *block)
{
    (void)arg;
    if (block != NULL) atomic_fetch_sub(&memory.blocks, 1);
    free(block);
}

/* 0 or "no memory"; anything else is wrong. */
static bool fine(int rc)
{
    if (rc != 0 && rc != RILL_ERR_NO_MEMORY)
        fail_msg("%d, %s (failing at %d)", rc, rill_errmsg(), memory.fail_at);
    return rc == 0;
}

/* Works on 6 records of 2 partitions, if there is memory. */
static void work_with(rill *store)
{
    rill_consumer_options in = member_options("g");
    rill_position from[2] = {{.topic = "t", .offset = RILL_OFFSET_NONE},
                             {.topic = "t", .partition = 1, .offset = RILL_OFFSET_NONE}};
    rill_workers_options options = working(work_in_order);
    rill_consumer *consumer;
    rill_workers *workers;

    memset(&the, 0, sizeof the);
    if (!fine(rill_consumer_open(store, &in, &consumer))) return;
    if (fine(rill_consumer_assign(consumer, from, 2)) &&
        fine(rill_workers_open(consumer, &options, &workers))) {
        struct patience patience = {0};
        while (info_of(workers).done_count < 6) {
            bool failed = !fine(rill_workers_run(workers, 1));
            if (failed && memory.for_good) break;
            wait_a_little(&patience);
        }
        assert_true(memory.for_good || info_of(workers).done_count == 6);
        fine(rill_workers_close(workers, WAIT_MS));
    }
    fine(rill_consumer_close(consumer, 0));
}

static void memory_runs_out_everywhere(bool for_good)
{
    static const rill_allocator hooks = {hook_alloc, hook_resize, hook_release, NULL};
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .allocator = hooks};
    int n = 0;

    memory.for_good = for_good;
    do {
        rill *store;
        test_directory();
        memory.fail_at = 0;
        atomic_store(&memory.blocks, 0);
        OK(rill_open(test_path("store"), &options, &store));
        test_topic(store, "t", 2);
        put_rounds(store, 0, 0, 2, 2);
        put_rounds(store, 1, 0, 1, 2);
        atomic_store(&memory.calls, 0);
        memory.fail_at = ++n;
        work_with(store);
        memory.fail_at = 0;
        assert_true(committed(store, 0) <= 4);
        OK(rill_close(store));
        if (atomic_load(&memory.blocks) != 0)
            fail_msg("%d blocks are lost, failing at %d", atomic_load(&memory.blocks), n);
        test_directory_remove();
    } while (atomic_load(&memory.calls) >= n);
    assert_true(n > 10);
}

static void one_allocation_that_fails_loses_nothing(void **state)
{
    (void)state;
    memory_runs_out_everywhere(false);
}

static void no_memory_any_more_is_said(void **state)
{
    (void)state;
    memory_runs_out_everywhere(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORKERS(records_of_a_key_are_worked_on_in_order),
        WITH_WORKERS(so_they_are_with_many_threads_and_little_room),
        WITH_WORKERS(partitions_are_worked_on_in_order),
        WITH_WORKERS(records_without_key_keep_their_order),
        WITH_WORKERS(different_keys_are_worked_on_at_once),
        WITH_WORKERS(keyless_records_can_be_free),
        WITH_WORKERS(all_records_can_be_free),
        WITH_WORKERS(a_worker_sees_all_of_a_record),
        WITH_WORKERS(a_commit_never_passes_what_is_unfinished),
        WITH_WORKERS(what_is_finished_is_committed_by_and_by),
        WITH_WORKERS(a_place_is_committed_before_anything_is_finished),
        WITH_WORKERS(a_consumer_without_group_commits_nothing),
        WITH_WORKERS(a_failed_record_is_tried_again_before_its_followers),
        WITH_WORKERS(others_go_on_while_a_record_waits_for_its_next_try),
        WITH_WORKERS(the_last_failure_stops_the_workers),
        WITH_WORKERS(a_failure_that_no_run_has_told_close_tells),
        WITH_WORKERS(a_failure_can_be_skipped),
        WITH_WORKERS(or_be_the_last),
        WITH_WORKERS(or_tried_once_more_each_time),
        WITH_WORKERS(no_more_is_in_flight_than_is_allowed),
        WITH_WORKERS(nor_more_bytes),
        WITH_WORKERS(members_come_and_go_while_records_are_in_flight),
        WITH_WORKERS(a_full_member_gives_partitions_away),
        WITH_WORKERS(a_partition_is_not_waited_for_longer_than_allowed),
        WITH_WORKERS(what_was_not_begun_goes_to_the_next_member),
        WITH_WORKERS(of_lost_partitions_nothing_is_committed),
        WITH_WORKERS(a_callback_may_say_where_to_begin),
        WITH_WORKERS(a_run_can_be_stopped),
        WITH_WORKERS(a_full_run_can_be_stopped),
        WITH_WORKERS(close_finishes_what_is_in_flight),
        WITH_WORKERS(close_leaves_a_worker_that_hangs),
        WITH_WORKERS(also_one_that_fails_when_it_comes_back),
        WITH_WORKERS(an_idle_pair_is_closed_at_once),
        WITH_WORKERS(options_out_of_range_are_refused),
        WITH_WORKERS(a_consumer_that_commits_by_itself_is_refused),
        WITH_WORKERS(the_consumer_belongs_to_its_workers),
        WITH_WORKERS(a_worker_can_neither_run_nor_close),
        WITH_WORKERS(workers_do_not_survive_fork),
        WITH_WORKERS(a_run_says_what_the_poll_says),
        WITH_WORKERS(a_deleted_topic_is_let_go),
        cmocka_unit_test(one_allocation_that_fails_loses_nothing),
        cmocka_unit_test(no_memory_any_more_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
