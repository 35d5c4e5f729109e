/*
 * Producers that cannot go on at once: buffers are full, partitions are held,
 * a sync takes long, memory is short, another thread is in the reports. What was
 * accepted is reported once and in order all the same, and what was not accepted
 * was said.
 */
#include "faults.h"
#include "os/sys.h"
#include "records.h"
#include "reports.h"
#include <errno.h>
#include <stdatomic.h>

static struct sys_calls real;

static int set_up(void **state)
{
    real = rill__sys;
    return reports_set_up(state);
}

static int tear_down(void **state)
{
    rill__sys = real;
    return store_tear_down(state);
}

/* A record of so many bytes, which begin with the number. */
static int send_sized(rill_producer *producer, int32_t partition, int64_t number, size_t size,
                      int timeout_ms)
{
    static char value[64 << 10];
    rill_record record = RILL_RECORD_INIT;

    assert_in_range(size, sizeof number, sizeof value);
    memcpy(value, &number, sizeof number);
    record.partition = partition;
    record.value = (rill_bytes){value, size};
    return rill_producer_send(producer, &record, (void *)(intptr_t)number, timeout_ms);
}

static void reported(int count)
{
    assert_int_equal(reports.count, count);
    for (int i = 0; i < count; i++) OK(reports.list[i].status);
}

/* ---- Buffers ---- */

static void a_buffer_that_is_too_small_makes_room_for_a_larger_one(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.batch_bytes = 1024;
    options.buffer_bytes = 4096;
    test_topic(store, "t", 3);
    producer = producer_open(store, &options);
    for (int32_t p = 0; p < 3; p++) OK(send_sized(producer, p, p, 8, 0));
    OK(rill_producer_flush(producer, WAIT_MS)); /* three spare ones */
    OK(send_sized(producer, 0, 3, 3500, 0));
    OK(rill_producer_flush(producer, WAIT_MS));
    OK(send_sized(producer, 0, 4, 30000, 0)); /* alone it may be larger than all room */
    OK(rill_producer_close(producer, WAIT_MS));
    reported(5);
    assert_int_equal(log_end_of(store, "t", 0), 3);
}

static void a_buffer_that_is_too_small_stays_if_there_is_room(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.batch_bytes = 1024;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 6; n++) {
        OK(send_sized(producer, 0, n, n % 2 == 0 ? 8 : 3500, 0));
        OK(rill_producer_flush(producer, WAIT_MS));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    reported(6);
}

static void batches_of_other_partitions_are_sent_to_make_room(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.batch_bytes = 2048;
    options.buffer_bytes = 4096;
    test_topic(store, "t", 3);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 30; n++) OK(send_sized(producer, (int32_t)(n % 3), n, 8, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    reported(30);
    for (int32_t p = 0; p < 3; p++) assert_int_equal(log_end_of(store, "t", p), 10);
}

static void without_room_the_wait_ends_in_time(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    struct holder holder;

    options.batch_bytes = 2048;
    options.buffer_bytes = 4096;
    test_topic(store, "t", 3);
    producer = producer_open(store, &options);
    OK(send_sized(producer, 1, 0, 8, 0)); /* the lanes, the last one first */
    OK(send_sized(producer, 0, 1, 8, 0));
    OK(rill_producer_flush(producer, WAIT_MS));
    reported(2);
    OK(send_sized(producer, 0, 2, 8, 0));
    OK(send_sized(producer, 1, 3, 8, 0));
    holder_start(&holder, store, "t", 1, 99);
    /* Partition 0 can be sent and is reported; partition 1 is in the way. */
    FAILS(RILL_ERR_TIMEOUT, send_sized(producer, 2, 4, 8, 20));
    assert_non_null(strstr(rill_errmsg(), "holds the append lock"));
    reported(3);
    OK(send_sized(producer, 0, 5, 8, 20));
    FAILS(RILL_ERR_FULL, send_sized(producer, 2, 6, 8, 0));
    reported(4);
    holder_stop(&holder);
    OK(send_sized(producer, 2, 7, 8, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    reported(6);
    assert_int_equal(log_end_of(store, "t", 0), 3);
    assert_int_equal(log_end_of(store, "t", 1), 3); /* with the holder's */
    assert_int_equal(log_end_of(store, "t", 2), 1);
}

static void a_batch_is_never_larger_than_the_topic_allows(void **state)
{
    rill *store = *state;
    rill_topic_options topic = {
        .size = sizeof topic, .max_message_bytes = 1024, .segment_bytes = 64 << 10};
    rill_producer_options options = slow_options();
    rill_stats stats = {.size = sizeof stats};
    rill_producer *producer;

    OK(rill_topic_create(store, "t", &topic));
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 6; n++) OK(send_sized(producer, 0, n, 600, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    reported(6);
    OK(rill_stats_get(store, &stats));
    assert_int_equal(stats.batches_appended, 6);
}

/* ---- Lingering ---- */

static void what_has_lingered_is_sent_with_the_next_record(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    struct patience patience = {0};
    rill_producer *producer;
    int64_t n = 0;

    options.linger_ms = 1;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    while (log_end_of(store, "t", 0) == 0) { /* nobody polls or maintains */
        OK(send_sized(producer, 0, n++, 8, 0));
        wait_a_little(&patience);
    }
    OK(rill_producer_close(producer, WAIT_MS));
    reported((int)n);
}

static void the_batch_that_is_due_first_says_when(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    uint32_t next_ms;

    test_topic(store, "t", 2);
    producer = producer_open(store, &options);
    OK(send_sized(producer, 0, 0, 8, 0));
    usleep(3000);
    OK(send_sized(producer, 1, 1, 8, 0));
    OK(rill_maintain(store, &next_ms));
    OK(rill_producer_poll(producer));
    OK(rill_producer_flush(producer, WAIT_MS));
    OK(send_sized(producer, 1, 2, 8, 0)); /* in the other order */
    usleep(3000);
    OK(send_sized(producer, 0, 3, 8, 0));
    OK(rill_producer_poll(producer));
    assert_int_equal(reports.count, 2); /* an hour has not gone by */
    OK(rill_producer_close(producer, WAIT_MS));
    reported(4);
}

static void a_held_partition_lingers_on(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    struct holder holder;
    uint32_t next_ms = 1000;

    options.linger_ms = 1;
    test_topic(store, "t", 1);
    holder_start(&holder, store, "t", 0, 99);
    producer = producer_open(store, &options);
    OK(send_sized(producer, 0, 0, 8, 0));
    usleep(3000);
    OK(rill_maintain(store, &next_ms));
    assert_int_equal(next_ms, 1);
    OK(rill_producer_poll(producer));
    assert_int_equal(reports.count, 0);
    holder_stop(&holder);
    for (struct patience patience = {0}; reports.count == 0; wait_a_little(&patience))
        OK(rill_producer_poll(producer));
    reported(1);
    OK(rill_producer_close(producer, WAIT_MS));
}

static void batches_for_a_deleted_topic_are_reported_lost(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.linger_ms = 1;
    test_topic(store, "t", 2);
    producer = producer_open(store, &options);
    OK(send_sized(producer, 0, 0, 8, 0));
    OK(send_sized(producer, 1, 1, 8, 0));
    OK(rill_topic_delete(store, "t"));
    for (struct patience patience = {0}; reports.count < 2; wait_a_little(&patience))
        OK(rill_producer_poll(producer));
    for (int i = 0; i < 2; i++) assert_int_equal(reports.list[i].status, RILL_ERR_NOT_FOUND);
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_flush(producer, WAIT_MS)); /* the first of them */
    OK(rill_producer_flush(producer, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
}

/* ---- Order, and what an append finds before it ---- */

static void an_append_comes_after_what_was_sent(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    int64_t number = 7;
    rill_record record = record_of(&number);
    rill_producer *producer;
    rill_offset offset;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 3; n++) OK(send_sized(producer, 0, n, 8, 0));
    OK(rill_producer_append(producer, &record, 1, 0, &offset));
    assert_int_equal(offset, 3);
    reported(3); /* by the append */
    OK(rill_producer_close(producer, WAIT_MS));
}

static void times_that_are_too_far_apart_are_no_batch(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    int64_t number = 7;
    rill_record records[2] = {record_of(&number), record_of(&number)};
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    records[0].timestamp_ms = 1;
    records[1].timestamp_ms = 1 + (int64_t)60 * 24 * HOUR_MS;
    FAILS(RILL_ERR_INVALID, rill_producer_append(producer, records, 2, WAIT_MS, NULL));
    assert_non_null(strstr(rill_errmsg(), "record 1"));
    for (int i = 0; i < 2; i++) OK(rill_producer_send(producer, &records[i], NULL, 0));
    OK(rill_producer_close(producer, WAIT_MS)); /* as two batches */
    reported(2);
    assert_int_equal(log_end_of(store, "t", 0), 2);
}

static void while_a_reservation_is_open_nothing_else_goes(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    int64_t number = 7;
    rill_record record = record_of(&number);
    rill_reservation room;
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
    FAILS(RILL_ERR_STATE, rill_producer_poll(producer));
    FAILS(RILL_ERR_STATE, rill_producer_flush(producer, 0));
    FAILS(RILL_ERR_STATE, rill_producer_close(producer, 0));
    FAILS(RILL_ERR_STATE, rill_producer_append(producer, &record, 1, 0, NULL));
    FAILS(RILL_ERR_STATE, send_sized(producer, 0, 0, 8, 0));
    OK(rill_producer_abandon(producer));
    OK(rill_producer_close(producer, 0));
    assert_int_equal(log_end_of(store, "t", 0), 0);
}

/* ---- A sync that takes long ---- */

static pthread_barrier_t in_sync;
static pthread_t syncer;
static _Atomic bool slow_once;
static int slow_error; /* what it fails with at last; 0: well */

static int slow_fdatasync(int fd)
{
    if (pthread_equal(pthread_self(), syncer) && atomic_exchange(&slow_once, false)) {
        pthread_barrier_wait(&in_sync);
        pthread_barrier_wait(&in_sync);
        if (slow_error != 0) {
            errno = slow_error;
            return -1;
        }
    }
    return real.fdatasync(fd);
}

static void *sync_slowly(void *store)
{
    syncer = pthread_self();
    atomic_store(&slow_once, true);
    rill__sys.fdatasync = slow_fdatasync;
    thread_ok(rill_sync(store, WAIT_MS) == (slow_error != 0 ? RILL_ERR_IO : 0) ? 0 : -1, "sync");
    return NULL;
}

static pthread_t begin_slow_sync(rill *store)
{
    pthread_t thread;

    put(store, "t", 0, 1000, 1);
    assert_int_equal(pthread_barrier_init(&in_sync, NULL, 2), 0);
    thread = thread_start(sync_slowly, store);
    pthread_barrier_wait(&in_sync);
    return thread;
}

static void end_slow_sync(pthread_t thread)
{
    pthread_barrier_wait(&in_sync);
    thread_join(thread);
    pthread_barrier_destroy(&in_sync);
}

static rill_producer *durable_producer(rill *store)
{
    rill_producer_options options = slow_options();
    rill_producer *producer = NULL;

    options.acks = RILL_ACKS_DURABLE;
    options.flags = RILL_PRODUCER_NO_LINGER;
    options.batch_bytes = 2048;
    options.buffer_bytes = 4096;
    if (rill_producer_open(store, &options, &producer) == RILL_ERR_UNSUPPORTED) return NULL;
    return producer;
}

static void a_sync_that_takes_long_is_waited_for_so_long(void **state)
{
    rill *store = *state;
    int64_t number = 7;
    rill_record record = record_of(&number);
    rill_producer *producer;
    pthread_t thread;

    test_topic(store, "t", 1);
    producer = durable_producer(store);
    if (producer == NULL) skip();
    thread = begin_slow_sync(store);
    FAILS(RILL_ERR_TIMEOUT, rill_producer_append(producer, &record, 1, 20, NULL));
    FAILS(RILL_ERR_TIMEOUT, rill_producer_append(producer, &record, 1, 0, NULL)); /* it again */
    OK(send_sized(producer, 0, 0, 8, 20));
    OK(send_sized(producer, 0, 1, 8, 20));
    FAILS(RILL_ERR_TIMEOUT, send_sized(producer, 0, 2, 8, 20)); /* no buffer left */
    FAILS(RILL_ERR_TIMEOUT, rill_producer_flush(producer, 20));
    assert_int_equal(reports.count, 0);
    end_slow_sync(thread);
    OK(rill_producer_flush(producer, WAIT_MS));
    reported(2);
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(log_end_of(store, "t", 0),
                     4); /* each that was told as open is there, once */
}

static void what_is_in_flight_at_close_is_reported_as_open(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    pthread_t thread;

    test_topic(store, "t", 1);
    producer = durable_producer(store);
    if (producer == NULL) skip();
    thread = begin_slow_sync(store);
    OK(send_sized(producer, 0, 0, 8, 20));
    FAILS(RILL_ERR_TIMEOUT, rill_producer_close(producer, 20));
    assert_int_equal(reports.count, 1);
    assert_int_equal(reports.list[0].status, RILL_ERR_TIMEOUT);
    end_slow_sync(thread);
    assert_int_equal(log_end_of(store, "t", 0), 2);
}

/* Another one's sync fails, and nobody is acknowledged after that. */
static void what_is_in_flight_when_a_sync_fails_is_reported_so(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    pthread_t thread;

    test_topic(store, "t", 1);
    producer = durable_producer(store);
    if (producer == NULL) skip();
    slow_error = EIO;
    thread = begin_slow_sync(store);
    OK(send_sized(producer, 0, 0, 8, 20));
    assert_int_equal(reports.count, 0);
    end_slow_sync(thread);
    slow_error = 0;
    FAILS(RILL_ERR_POISONED, rill_producer_flush(producer, WAIT_MS));
    assert_int_equal(reports.count, 1);
    assert_int_equal(reports.list[0].status, RILL_ERR_POISONED);
    OK(rill_producer_close(producer, WAIT_MS));
    FAILS(RILL_ERR_POISONED, rill_close(store));
    *state = test_store_open();
    assert_in_range(log_end_of(*state, "t", 0), 0, 2);
    put(*state, "t", 0, 5, 1);
}

static void many_in_flight_are_settled_on_the_way(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.acks = RILL_ACKS_DURABLE;
    options.flags = RILL_PRODUCER_NO_LINGER;
    options.batch_bytes = 256;
    test_topic(store, "t", 1);
    if (rill_producer_open(store, &options, &producer) == RILL_ERR_UNSUPPORTED) skip();
    for (int64_t n = 0; n < 300; n++) OK(send_sized(producer, 0, n, 8, WAIT_MS));
    assert_in_range(reports.count, 256, 300); /* before any flush */
    OK(rill_producer_close(producer, WAIT_MS));
    reported(300);
    for (int i = 0; i < 300; i++) assert_int_equal(reports.list[i].number, i);
}

/* ---- Reports ---- */

static struct {
    rill_producer *producer;
    pthread_barrier_t barrier;
    int flushed; /* what a flush inside of a report said */
} inside;

static void report_slowly(void *arg, const rill_delivery *delivery)
{
    report(arg, delivery);
    pthread_barrier_wait(&inside.barrier);
    pthread_barrier_wait(&inside.barrier);
}

static void *flush_all(void *producer)
{
    thread_ok(rill_producer_flush(producer, WAIT_MS), "flush");
    return NULL;
}

static void a_flush_waits_for_reports_of_another_thread(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    pthread_t thread;

    options.delivery = report_slowly;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    assert_int_equal(pthread_barrier_init(&inside.barrier, NULL, 2), 0);
    OK(send_sized(producer, 0, 0, 8, 0));
    thread = thread_start(flush_all, producer);
    pthread_barrier_wait(&inside.barrier); /* it is in the report */
    OK(rill_producer_flush(producer, 20)); /* all is sent; as long as it may wait */
    pthread_barrier_wait(&inside.barrier);
    thread_join(thread);
    reported(1);
    OK(rill_producer_close(producer, WAIT_MS));
    pthread_barrier_destroy(&inside.barrier);
}

/* Whether another one waits for its report or not: its room is not free yet. */
static void a_batch_that_is_reported_still_has_its_room(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    pthread_t thread;

    options.delivery = report_slowly;
    options.buffer_bytes = 4096;
    test_topic(store, "t", 3);
    assert_int_equal(pthread_barrier_init(&inside.barrier, NULL, 2), 0);
    for (int batches = 1; batches <= 2; batches++) {
        reports.count = 0;
        options.batch_bytes = 4096 / (uint32_t)batches;
        producer = producer_open(store, &options);
        for (int p = 0; p < batches; p++) OK(send_sized(producer, p, p, 8, 0));
        thread = thread_start(flush_all, producer);
        pthread_barrier_wait(&inside.barrier); /* in the first report */
        FAILS(RILL_ERR_FULL, send_sized(producer, 2, 9, 8, 0));
        for (int more = 1; more < batches; more++) {
            pthread_barrier_wait(&inside.barrier);
            pthread_barrier_wait(&inside.barrier);
        }
        pthread_barrier_wait(&inside.barrier);
        thread_join(thread);
        reported(batches);
        OK(rill_producer_close(producer, WAIT_MS));
    }
    pthread_barrier_destroy(&inside.barrier);
}

enum { LARGE = 50000 }; /* so that each needs a segment of its own */

static void report_and_send_again(void *arg, const rill_delivery *delivery)
{
    report(arg, delivery);
    if (reports.count < 4)
        inside.flushed = send_sized(inside.producer, 0, reports.count, LARGE, 0);
}

/* Each report sends one more, and nothing can be appended. */
static void closing_goes_on_while_there_is_time_and_tells_the_first_failure(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();

    options.delivery = report_and_send_again;
    test_topic(store, "t", 1);
    for (int in_time = 0; in_time < 2; in_time++) {
        reports.count = 10; /* sends no more */
        inside.producer = producer_open(store, &options);
        OK(send_sized(inside.producer, 0, 0, LARGE, 0));
        OK(rill_producer_flush(inside.producer, WAIT_MS));
        reports.count = 0;
        OK(send_sized(inside.producer, 0, 0, LARGE, 0));
        faults_fail(FAULT_RENAMEAT, NULL, 1, EIO, FAULT_DEAD);
        FAILS(RILL_ERR_IO, rill_producer_close(inside.producer, in_time != 0 ? WAIT_MS : 0));
        faults_clear();
        assert_non_null(strstr(rill_errmsg(), "no new segment"));
        assert_int_equal(reports.count, in_time != 0 ? 4 : 2);
        assert_int_equal(reports.list[0].status, RILL_ERR_IO);
        assert_int_equal(reports.list[1].status, in_time != 0 ? RILL_ERR_IO : RILL_ERR_CLOSED);
        assert_int_equal(inside.flushed, in_time != 0 ? 0 : RILL_ERR_CLOSED);
        assert_int_equal(log_end_of(store, "t", 0), in_time + 1);
    }
}

static void report_and_flush(void *arg, const rill_delivery *delivery)
{
    report(arg, delivery);
    inside.flushed = rill_producer_flush(inside.producer, WAIT_MS);
}

static void a_report_may_flush(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();

    options.delivery = report_and_flush;
    test_topic(store, "t", 1);
    inside.producer = producer_open(store, &options);
    OK(send_sized(inside.producer, 0, 0, 8, 0));
    OK(send_sized(inside.producer, 0, 1, 8, 0));
    inside.flushed = -1;
    OK(rill_producer_flush(inside.producer, WAIT_MS));
    OK(inside.flushed);
    reported(2);
    OK(rill_producer_close(inside.producer, WAIT_MS));
}

/* ---- Memory ---- */

static int refuse_at; /* the allocation that fails, counted down; 0: none */

static void *give(void *arg, size_t size)
{
    (void)arg;
    return refuse_at > 0 && --refuse_at == 0 ? NULL : malloc(size);
}

static void *resize(void *arg, void *memory, size_t size)
{
    (void)arg;
    return realloc(memory, size);
}

static void take_back(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

/* Also if the batch was there already, and is too small for the next one. */
static void without_memory_a_record_is_refused_and_a_larger_one_goes(void **state)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_producer_options slow = slow_options();
    rill_producer *producer;
    int refused = 0;
    int rc;

    OK(rill_close(*state));
    options.allocator = (rill_allocator){give, resize, take_back, NULL};
    OK(rill_open(test_path("store"), &options, (rill **)state));
    slow.batch_bytes = 256;
    test_topic(*state, "t", 1);
    for (int n = 1;; n++) {
        producer = producer_open(*state, &slow);
        refuse_at = n;
        rc = send_sized(producer, 0, 0, 8, 0);
        if (refuse_at > 0) break;
        assert_int_equal(rc, RILL_ERR_NO_MEMORY);
        OK(send_sized(producer, 0, n, 2000, 0));
        OK(rill_producer_close(producer, WAIT_MS));
        assert_int_equal(reports.count, ++refused);
        assert_int_equal(reports.list[refused - 1].number, n);
    }
    refuse_at = 0;
    assert_in_range(refused, 3, 20); /* a lane, a batch, its buffer, its reports */
    OK(rc);
    OK(rill_producer_close(producer, WAIT_MS));
    reported(refused + 1);
}

#define WITH_OWN_CALLS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_OWN_CALLS(a_buffer_that_is_too_small_makes_room_for_a_larger_one),
        WITH_OWN_CALLS(a_buffer_that_is_too_small_stays_if_there_is_room),
        WITH_OWN_CALLS(batches_of_other_partitions_are_sent_to_make_room),
        WITH_OWN_CALLS(without_room_the_wait_ends_in_time),
        WITH_OWN_CALLS(a_batch_is_never_larger_than_the_topic_allows),
        WITH_OWN_CALLS(what_has_lingered_is_sent_with_the_next_record),
        WITH_OWN_CALLS(the_batch_that_is_due_first_says_when),
        WITH_OWN_CALLS(a_held_partition_lingers_on),
        WITH_OWN_CALLS(batches_for_a_deleted_topic_are_reported_lost),
        WITH_OWN_CALLS(an_append_comes_after_what_was_sent),
        WITH_OWN_CALLS(times_that_are_too_far_apart_are_no_batch),
        WITH_OWN_CALLS(while_a_reservation_is_open_nothing_else_goes),
        WITH_OWN_CALLS(a_sync_that_takes_long_is_waited_for_so_long),
        WITH_OWN_CALLS(what_is_in_flight_at_close_is_reported_as_open),
        WITH_OWN_CALLS(what_is_in_flight_when_a_sync_fails_is_reported_so),
        WITH_OWN_CALLS(many_in_flight_are_settled_on_the_way),
        WITH_OWN_CALLS(a_flush_waits_for_reports_of_another_thread),
        WITH_OWN_CALLS(a_batch_that_is_reported_still_has_its_room),
        WITH_OWN_CALLS(closing_goes_on_while_there_is_time_and_tells_the_first_failure),
        WITH_OWN_CALLS(a_report_may_flush),
        WITH_OWN_CALLS(without_memory_a_record_is_refused_and_a_larger_one_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
