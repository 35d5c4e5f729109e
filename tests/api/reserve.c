/*
 * Records written in place. A reservation is room inside the log that nobody
 * sees until it is committed, and that leaves nothing when it is abandoned or
 * its process dies. While it is open it holds the partition, and only that.
 */
#include "records.h"
#include <sys/wait.h>

static rill_producer *producer_with(rill *store, int32_t acks)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t", .acks = acks};

    return producer_open(store, &options);
}

/* A record of partition 0 with room for size bytes. */
static rill_record shape_of(size_t size)
{
    rill_record record = RILL_RECORD_INIT;

    record.partition = 0;
    record.value.size = size;
    return record;
}

static int reserve_number(rill_producer *producer, int64_t number, int timeout_ms)
{
    rill_record record = shape_of(sizeof number);
    rill_reservation room;
    int rc = rill_producer_reserve(producer, &record, timeout_ms, &room);

    if (rc == 0) memcpy(room.value, &number, sizeof number);
    return rc;
}

/* ---- Reserve, commit, abandon ---- */

static void a_commit_publishes_every_part_of_the_record(void **state)
{
    rill *store = *state;
    rill_header header = {{"name", 4}, {"header", 6}};
    rill_record record = shape_of(100);
    rill_reservation room;
    rill_consumer *consumer;
    rill_producer *producer;
    rill_offset offset;

    test_topic(store, "t", 1);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    record.key = (rill_bytes){"key", 3};
    record.timestamp_ms = 12345;
    record.headers = &header;
    record.header_count = 1;
    OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
    assert_int_equal((uintptr_t)room.value % 8, 0);
    assert_int_equal(room.value_size, 100);
    assert_int_equal(room.partition, 0);
    memset(room.value, 'v', 100);
    OK(rill_producer_commit(producer, &offset));
    assert_int_equal(offset, 0);
    consumer = test_consumer(store, "t", 0, 0);
    take(consumer, &record, 1);
    assert_int_equal(record.offset, 0);
    assert_int_equal(record.timestamp_ms, 12345);
    assert_memory_equal(record.key.data, "key", 3);
    assert_int_equal(record.value.size, 100);
    for (int i = 0; i < 100; i++) assert_int_equal(((const char *)record.value.data)[i], 'v');
    OK(rill_record_header(&record, 0, &header));
    assert_memory_equal(header.value.data, "header", 6);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, 0));
}

static void nobody_sees_it_before_the_commit(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    consumer = test_consumer(store, "t", 0, 0);
    OK(reserve_number(producer, 0, WAIT_MS));
    takes_nothing(consumer);
    assert_int_equal(log_end_of(store, "t", 0), 0);
    OK(rill_producer_commit(producer, NULL));
    takes(consumer, 0, 1);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, 0));
}

static void an_abandoned_one_leaves_nothing(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_offset offset;

    test_topic(store, "t", 1);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    OK(reserve_number(producer, 99, WAIT_MS));
    OK(rill_producer_abandon(producer));
    OK(reserve_number(producer, 0, WAIT_MS));
    OK(rill_producer_commit(producer, &offset));
    assert_int_equal(offset, 0);
    OK(reserve_number(producer, 99, WAIT_MS));
    OK(rill_producer_abandon(producer));
    assert_int_equal(log_end_of(store, "t", 0), 1);
    put(store, "t", 0, 1, 1);
    OK(reserve_number(producer, 99, WAIT_MS));
    OK(rill_producer_abandon(producer));
    OK(rill_producer_close(producer, 0));
    OK(rill_close(store));
    store = *state = test_store_open();
    log_is(store, 0, 2);
}

static void an_empty_value_can_be_reserved(void **state)
{
    rill *store = *state;
    rill_record record = shape_of(0);
    rill_reservation room;
    rill_producer *producer;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
    assert_int_equal(room.value_size, 0);
    OK(rill_producer_commit(producer, NULL));
    consumer = test_consumer(store, "t", 0, 0);
    take(consumer, &record, 1);
    assert_int_equal(record.value.size, 0);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, 0));
}

static void reservations_go_on_over_segments(void **state)
{
    rill *store = *state;
    rill_record records[16];
    rill_producer *producer;
    rill_consumer *consumer;
    rill_offset offset;
    size_t count;

    test_topic(store, "t", 1);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    for (int n = 0; n < 300; n++) {
        rill_record record = shape_of(1000);
        rill_reservation room;
        OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
        assert_int_equal((uintptr_t)room.value % 8, 0);
        memset(room.value, n % 100, 1000);
        if (n % 3 == 2) OK(rill_producer_abandon(producer));
        else OK(rill_producer_commit(producer, &offset));
    }
    assert_int_equal(offset, 199);
    consumer = test_consumer(store, "t", 0, 0);
    for (int64_t next = 0; next < 200; next += (int64_t)count) {
        count = take(consumer, records, 16);
        for (size_t i = 0; i < count; i++) {
            int64_t n = (next + (int64_t)i) / 2 * 3 + (next + (int64_t)i) % 2;
            assert_int_equal(records[i].value.size, 1000);
            assert_int_equal(((const char *)records[i].value.data)[999], n % 100);
        }
    }
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, 0));
}

static void a_key_chooses_the_partition(void **state)
{
    rill *store = *state;
    rill_record record = shape_of(8);
    rill_reservation room;
    rill_producer *producer;

    test_topic(store, "t", 7);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    record.partition = RILL_PARTITION_ANY;
    record.key = (rill_bytes){"21", 2};
    OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
    assert_int_equal(room.partition, (-973932308 & 0x7fffffff) % 7);
    OK(rill_producer_commit(producer, NULL));
    assert_int_equal(log_end_of(store, "t", room.partition), 1);
    OK(rill_producer_close(producer, 0));
}

static void a_durable_commit_is_durable(void **state)
{
    rill *store = *state;
    rill_producer_options options = {
        .size = sizeof options, .topic = "t", .acks = RILL_ACKS_DURABLE};
    rill_partition_info info;
    rill_producer *producer;
    int rc;

    test_topic(store, "t", 1);
    rc = rill_producer_open(store, &options, &producer);
    if (rc == RILL_ERR_UNSUPPORTED) skip();
    OK(rc);
    OK(reserve_number(producer, 0, WAIT_MS));
    OK(rill_producer_commit(producer, NULL));
    OK(rill_partition_describe(store, "t", 0, &info));
    assert_int_equal(info.durable_end, 1);
    OK(rill_producer_close(producer, 0));
}

/* ---- Refusals ---- */

static void each_call_has_its_state(void **state)
{
    rill *store = *state;
    int64_t number = 9;
    rill_record record = record_of(&number);
    rill_reservation room;
    rill_producer *producer;

    test_topic(store, "t", 2);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    FAILS(RILL_ERR_STATE, rill_producer_commit(producer, NULL));
    FAILS(RILL_ERR_STATE, rill_producer_abandon(producer));
    OK(reserve_number(producer, 0, WAIT_MS));
    FAILS(RILL_ERR_STATE, reserve_number(producer, 9, WAIT_MS));
    record.partition = 1; /* one per producer, not per partition */
    FAILS(RILL_ERR_STATE, rill_producer_reserve(producer, &record, WAIT_MS, &room));
    FAILS(RILL_ERR_STATE, rill_producer_send(producer, &record, NULL, 0));
    FAILS(RILL_ERR_STATE, rill_producer_append(producer, &record, 1, 0, NULL));
    FAILS(RILL_ERR_STATE, rill_producer_close(producer, 0));
    OK(rill_producer_commit(producer, NULL));
    FAILS(RILL_ERR_STATE, rill_producer_commit(producer, NULL));
    OK(reserve_number(producer, 9, WAIT_MS));
    OK(rill_producer_abandon(producer));
    FAILS(RILL_ERR_STATE, rill_producer_abandon(producer));
    OK(rill_producer_close(producer, 0));
    log_is(store, 0, 1);
}

static void what_cannot_be_reserved_holds_nothing(void **state)
{
    rill *store = *state;
    rill_record large = shape_of(64 << 10);
    rill_record lost = shape_of(8);
    rill_reservation room = {.value_size = 77};
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    FAILS(RILL_ERR_TOO_BIG, rill_producer_reserve(producer, &large, 0, &room));
    lost.topic = "none";
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_reserve(producer, &lost, 0, &room));
    assert_int_equal(room.value_size, 77);
    FAILS(RILL_ERR_STATE, rill_producer_commit(producer, NULL));
    put(store, "t", 0, 0, 1);
    OK(rill_producer_close(producer, 0));
}

static void a_topic_deleted_before_is_not_found(void **state)
{
    rill *store = *state;
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    OK(reserve_number(producer, 0, WAIT_MS));
    OK(rill_producer_commit(producer, NULL));
    OK(rill_topic_delete(store, "t"));
    FAILS(RILL_ERR_NOT_FOUND, reserve_number(producer, 1, WAIT_MS));
    OK(rill_producer_close(producer, 0));
}

/* ---- Others meanwhile ---- */

static void it_holds_its_partition_and_no_other(void **state)
{
    rill *store = *state;
    struct holder holder;
    rill_producer *producer;

    test_topic(store, "t", 2);
    producer = producer_with(store, RILL_ACKS_DEFAULT);
    holder_start(&holder, store, "t", 0, 0);
    FAILS(RILL_ERR_TIMEOUT, reserve_number(producer, 9, 20));
    FAILS(RILL_ERR_STATE, rill_producer_commit(producer, NULL));
    put(store, "t", 1, 0, 1);
    holder_stop(&holder);
    OK(reserve_number(producer, 1, WAIT_MS));
    OK(rill_producer_commit(producer, NULL));
    OK(rill_producer_close(producer, 0));
    log_is(store, 0, 2);
}

static void maintenance_does_not_wait_for_it(void **state)
{
    rill *store = *state;
    struct holder holder;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 1);
    holder_start(&holder, store, "t", 0, 1);
    OK(rill_maintain(store, NULL));
    OK(rill_sync(store, WAIT_MS));
    holder_stop(&holder);
    log_is(store, 0, 2);
}

struct writer {
    rill *store;
    int64_t first;
};

/* Commits the even numbers and abandons the odd ones. */
static void *commit_and_abandon(void *arg)
{
    struct writer *writer = arg;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_producer *producer;

    thread_ok(rill_producer_open(writer->store, &options, &producer), "open");
    for (int64_t n = writer->first; n < writer->first + 1000; n++) {
        thread_ok(reserve_number(producer, n, WAIT_MS), "reserve");
        if (n % 2 == 0) thread_ok(rill_producer_commit(producer, NULL), "commit");
        else thread_ok(rill_producer_abandon(producer), "abandon");
    }
    thread_ok(rill_producer_close(producer, WAIT_MS), "close");
    return NULL;
}

static void threads_reserve_in_turns(void **state)
{
    rill *store = *state;
    struct writer writers[2] = {{store, 0}, {store, 1000}};
    pthread_t threads[2];
    int64_t next[2] = {0, 1000};
    rill_record record;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    for (int i = 0; i < 2; i++) threads[i] = thread_start(commit_and_abandon, &writers[i]);
    consumer = test_consumer(store, "t", 0, 0);
    for (int i = 0; i < 1000; i++) {
        int64_t number;
        take(consumer, &record, 1);
        number = number_of(&record);
        assert_in_range(number, 0, 1999);
        assert_int_equal(number, next[number / 1000]);
        next[number / 1000] += 2;
    }
    for (int i = 0; i < 2; i++) thread_join(threads[i]);
    takes_nothing(consumer);
    OK(rill_consumer_close(consumer, 0));
}

static void die_before_the_commit(const char *path)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_producer *producer;
    rill *store;

    thread_ok(rill_open(path, NULL, &store), "open");
    thread_ok(rill_producer_open(store, &options, &producer), "producer");
    thread_ok(reserve_number(producer, 99, WAIT_MS), "reserve");
    _exit(0);
}

static void a_process_that_dies_leaves_nothing(void **state)
{
    rill *store = *state;
    const char *path = test_path("store");
    pid_t child;
    int status;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 1);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) die_before_the_commit(path);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    put(store, "t", 0, 1, 2);
    log_is(store, 0, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_STORE(a_commit_publishes_every_part_of_the_record),
                                       WITH_STORE(nobody_sees_it_before_the_commit),
                                       WITH_STORE(an_abandoned_one_leaves_nothing),
                                       WITH_STORE(an_empty_value_can_be_reserved),
                                       WITH_STORE(reservations_go_on_over_segments),
                                       WITH_STORE(a_key_chooses_the_partition),
                                       WITH_STORE(a_durable_commit_is_durable),
                                       WITH_STORE(each_call_has_its_state),
                                       WITH_STORE(what_cannot_be_reserved_holds_nothing),
                                       WITH_STORE(a_topic_deleted_before_is_not_found),
                                       WITH_STORE(it_holds_its_partition_and_no_other),
                                       WITH_STORE(maintenance_does_not_wait_for_it),
                                       WITH_STORE(threads_reserve_in_turns),
                                       WITH_STORE(a_process_that_dies_leaves_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
