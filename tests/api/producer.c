/*
 * Producers. Records go out in batches: when one is full, has lingered or is
 * flushed. Each accepted record is reported once, in order, also when it
 * fails. Who cannot send waits as long as it said and is then told so. A batch
 * that is appended is there as one or not at all, as sure as the acks say.
 */
#include "records.h"
#include "reports.h"
#include <time.h>

static void send_again(rill_producer *producer, int burst, int64_t next, int64_t end)
{
    reports.again = producer;
    reports.again_burst = burst;
    reports.again_next = next;
    reports.again_end = end;
}

/* Reports [from, to) are of the numbers and offsets from first on. */
static void reported(int from, int to, int64_t first, rill_offset offset)
{
    for (int i = from; i < to; i++) {
        assert_int_equal(reports.list[i].number, first + i - from);
        assert_int_equal(reports.list[i].status, 0);
        assert_int_equal(reports.list[i].offset, offset + i - from);
    }
}

static void failed(int from, int to, int status)
{
    for (int i = from; i < to; i++) {
        assert_int_equal(reports.list[i].number, i);
        assert_int_equal(reports.list[i].status, status);
        assert_int_equal(reports.list[i].offset, RILL_OFFSET_NONE);
    }
}

/* ---- When a batch goes out ---- */

static void a_full_batch_is_sent(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_stats stats = {.size = sizeof stats};
    rill_producer *producer;

    options.batch_bytes = 1024;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    OK(send_to(producer, 0, 0, 0));
    assert_int_equal(log_end_of(store, "t", 0), 0);
    for (int64_t n = 1; n < 1000; n++) OK(send_to(producer, 0, n, 0));
    assert_in_range(log_end_of(store, "t", 0), 1000 - 1024 / 8, 1000);
    OK(rill_stats_get(store, &stats));
    assert_in_range(stats.batches_appended, 2, 500); /* several records to a batch */
    OK(rill_producer_flush(producer, WAIT_MS));
    assert_int_equal(reports.count, 1000);
    reported(0, 1000, 0, 0);
    OK(rill_producer_close(producer, WAIT_MS));
    log_is(store, 0, 1000);
}

static void a_batch_that_has_lingered_is_sent_by_poll(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    struct patience patience = {0};
    rill_producer *slow;
    rill_producer *quick;

    test_topic(store, "t", 2);
    slow = producer_open(store, &options);
    options.linger_ms = 1;
    quick = producer_open(store, &options);
    OK(send_to(slow, 0, 0, 0));
    OK(send_to(quick, 1, 1, 0));
    while (reports.count == 0) {
        OK(rill_producer_poll(slow));
        OK(rill_producer_poll(quick));
        wait_a_little(&patience);
    }
    reported(0, 1, 1, 0);
    assert_int_equal(log_end_of(store, "t", 0), 0);
    assert_int_equal(log_end_of(store, "t", 1), 1);
    OK(rill_producer_close(slow, WAIT_MS));
    OK(rill_producer_close(quick, WAIT_MS));
    assert_int_equal(reports.count, 2);
}

static void a_batch_that_has_lingered_is_sent_by_maintenance(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    struct patience patience = {0};
    rill_producer *producer;

    options.linger_ms = 1;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    OK(send_to(producer, 0, 0, 0));
    while (log_end_of(store, "t", 0) == 0) {
        OK(rill_maintain(store, NULL));
        wait_a_little(&patience);
    }
    assert_int_equal(reports.count, 0); /* reports come from the producer's calls */
    OK(rill_producer_poll(producer));
    assert_int_equal(reports.count, 1);
    OK(rill_producer_close(producer, WAIT_MS));
}

struct meanwhile {
    rill *store;
    uint32_t next_ms;
};

static void *maintain_once(void *arg)
{
    struct meanwhile *m = arg;

    thread_ok(rill_maintain(m->store, &m->next_ms), "maintain");
    return NULL;
}

/* Called by a send, which has the producer to itself meanwhile. */
static int32_t choose_while_maintained(void *arg, const rill_record *record, uint32_t count)
{
    (void)record, (void)count;
    thread_join(thread_start(maintain_once, arg));
    return 0;
}

/* It cannot look into the producer, whose last send for now this may be. */
static void maintenance_that_meets_a_send_comes_back_in_time(void **state)
{
    rill *store = *state;
    struct meanwhile meanwhile = {store, UINT32_MAX};
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.linger_ms = 2;
    options.partitioner = choose_while_maintained;
    options.partitioner_arg = &meanwhile;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    OK(send_to(producer, RILL_PARTITION_ANY, 0, 0));
    assert_in_range(meanwhile.next_ms, 0, 2);
    OK(rill_producer_close(producer, WAIT_MS));
}

static void a_flush_sends_and_reports_all(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    test_topic(store, "t", 3);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 9; n++) OK(send_to(producer, (int32_t)(n % 3), n, 0));
    assert_int_equal(reports.count, 0);
    OK(rill_producer_flush(producer, WAIT_MS));
    assert_int_equal(reports.count, 9);
    for (int32_t p = 0; p < 3; p++) assert_int_equal(log_end_of(store, "t", p), 3);
    OK(rill_producer_flush(producer, 0)); /* nothing to do */
    assert_int_equal(reports.count, 9);
    OK(rill_producer_close(producer, WAIT_MS));
}

static void without_linger_each_record_goes_at_once(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.flags = RILL_PRODUCER_NO_LINGER;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 5; n++) {
        OK(send_to(producer, 0, n, 0));
        assert_int_equal(log_end_of(store, "t", 0), n + 1);
    }
    OK(rill_producer_close(producer, WAIT_MS));
    reported(0, 5, 0, 0);
}

static void what_is_sent_was_copied(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    char key[] = "key";
    char name[] = "name";
    char value[] = "header";
    int64_t number = 7;
    rill_header header = {{name, 4}, {value, 6}};
    rill_record record = record_of(&number);
    rill_producer *producer;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    record.key = (rill_bytes){key, 3};
    record.headers = &header;
    record.header_count = 1;
    producer = producer_open(store, &options);
    OK(rill_producer_send(producer, &record, NULL, 0));
    key[0] = name[0] = value[0] = 'x';
    number = 8;
    OK(rill_producer_close(producer, WAIT_MS));
    consumer = test_consumer(store, "t", 0, 0);
    take(consumer, &record, 1);
    assert_int_equal(number_of(&record), 7);
    assert_memory_equal(record.key.data, "key", 3);
    OK(rill_record_header(&record, 0, &header));
    assert_memory_equal(header.name.data, "name", 4);
    assert_memory_equal(header.value.data, "header", 6);
    OK(rill_consumer_close(consumer, 0));
}

static int64_t epoch_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void a_record_without_time_gets_the_time_of_its_sending(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    int64_t number = 0;
    int64_t before = epoch_ms();
    rill_record record = record_of(&number);
    rill_producer *producer;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    OK(rill_producer_send(producer, &record, NULL, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    consumer = test_consumer(store, "t", 0, 0);
    take(consumer, &record, 1);
    /* by some clock of the system, which may tick coarsely */
    assert_in_range(record.timestamp_ms, before - 1000, epoch_ms() + 1000);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Reports ---- */

static void each_record_is_reported_once_and_in_order(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    int64_t next[3] = {0, 1, 2};
    rill_offset offsets[3] = {0, 0, 0};
    rill_producer *producer;

    options.batch_bytes = 256;
    test_topic(store, "t", 3);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 999; n++) OK(send_to(producer, (int32_t)(n % 3), n, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 999);
    for (int i = 0; i < 999; i++) {
        int32_t p = reports.list[i].partition;
        assert_string_equal(reports.list[i].topic, "t");
        assert_in_range(p, 0, 2);
        assert_int_equal(reports.list[i].status, 0);
        assert_int_equal(reports.list[i].number, next[p]);
        assert_int_equal(reports.list[i].offset, offsets[p]++);
        next[p] += 3;
    }
}

static void records_that_fail_are_reported_too(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 10; n++) OK(send_to(producer, 0, n, 0));
    OK(rill_topic_delete(store, "t"));
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_flush(producer, WAIT_MS));
    assert_int_equal(reports.count, 10);
    failed(0, 10, RILL_ERR_NOT_FOUND);
    OK(rill_producer_flush(producer, WAIT_MS)); /* the error was of before the last one */
    FAILS(RILL_ERR_NOT_FOUND, send_to(producer, 0, 10, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 10);
}

static void a_report_may_send_again(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    send_again(producer, 1, 1, 100);
    OK(send_to(producer, 0, 0, 0));
    for (int i = 0; i < 100; i++) OK(rill_producer_flush(producer, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 100);
    reported(0, 100, 0, 0);
    log_is(store, 0, 100);
}

static void a_report_of_a_send_may_send_again(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.flags = RILL_PRODUCER_NO_LINGER;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    send_again(producer, 1, 1, 100);
    OK(send_to(producer, 0, 0, 0));
    OK(rill_producer_flush(producer, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 100);
    log_is(store, 0, 100);
}

static void what_a_report_sends_is_reported_after_it(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    struct patience patience = {0};
    rill_producer *producer;

    options.batch_bytes = 512;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    send_again(producer, 200, 10, 410); /* several batches, in the midst of one */
    for (int64_t n = 0; n < 10; n++) OK(send_to(producer, 0, n, 0));
    while (reports.count < 410) {
        OK(rill_producer_flush(producer, WAIT_MS));
        wait_a_little(&patience);
    }
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 410);
    reported(0, 410, 0, 0);
}

/* ---- Back-pressure ---- */

/* Sends from number 0 on until the buffer is full; how many were accepted. */
static int fill(rill_producer *producer)
{
    int64_t n = 0;
    int rc;

    while ((rc = send_to(producer, 0, n, 0)) == 0 && n < REPORTS) n++;
    if (rc != RILL_ERR_FULL) fail_msg("send: %d, %s", rc, test_message());
    assert_int_not_equal(test_message()[0], '\0');
    assert_true(n > 0);
    return (int)n;
}

static rill_producer *small_producer(rill *store)
{
    rill_producer_options options = slow_options();

    options.batch_bytes = 1024;
    options.buffer_bytes = 4096;
    return producer_open(store, &options);
}

static void who_cannot_send_is_told(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    struct holder holder;
    int accepted;

    test_topic(store, "t", 1);
    producer = small_producer(store);
    holder_start(&holder, store, "t", 0, -1);
    accepted = fill(producer);
    FAILS(RILL_ERR_TIMEOUT, send_to(producer, 0, 9999, 20));
    FAILS(RILL_ERR_TIMEOUT, rill_producer_flush(producer, 20));
    assert_int_equal(reports.count, 0);
    holder_stop(&holder);
    OK(send_to(producer, 0, accepted, WAIT_MS));
    OK(rill_producer_flush(producer, WAIT_MS));
    assert_int_equal(reports.count, accepted + 1);
    reported(0, accepted + 1, 0, 1);
    OK(rill_producer_close(producer, WAIT_MS));
    log_is(store, -1, accepted + 2);
}

static void *send_forever(void *producer)
{
    thread_ok(send_to(producer, 0, 5000, RILL_FOREVER), "send");
    return NULL;
}

static void a_send_waits_for_room(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    struct holder holder;
    pthread_t thread;
    int accepted;

    test_topic(store, "t", 1);
    producer = small_producer(store);
    holder_start(&holder, store, "t", 0, -1);
    accepted = fill(producer);
    thread = thread_start(send_forever, producer);
    usleep(20000); /* most likely it waits by now */
    holder_stop(&holder);
    thread_join(thread);
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, accepted + 1);
    reported(0, accepted, 0, 1);
    reported(accepted, accepted + 1, 5000, accepted + 1);
}

static void an_append_that_times_out_appended_nothing(void **state)
{
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    int64_t number = 1;
    rill_record record = record_of(&number);
    rill_offset offset = 77;
    rill_producer *producer;
    struct holder holder;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    holder_start(&holder, store, "t", 0, 0);
    FAILS(RILL_ERR_TIMEOUT, rill_producer_append(producer, &record, 1, 20, &offset));
    assert_int_equal(offset, 77);
    holder_stop(&holder);
    assert_int_equal(log_end_of(store, "t", 0), 1);
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, &offset));
    assert_int_equal(offset, 1);
    OK(rill_producer_close(producer, WAIT_MS));
    log_is(store, 0, 2);
}

static void records_left_at_close_are_reported(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    struct holder holder;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    holder_start(&holder, store, "t", 0, -1);
    for (int64_t n = 0; n < 10; n++) OK(send_to(producer, 0, n, 0));
    assert_int_not_equal(rill_producer_close(producer, 20), 0);
    assert_int_equal(reports.count, 10);
    failed(0, 10, RILL_ERR_CLOSED);
    holder_stop(&holder);
    log_is(store, -1, 1);
}

static int refused; /* what a report got when it tried to send */

static void report_and_try(void *arg, const rill_delivery *delivery)
{
    rill_record record = RILL_RECORD_INIT;

    (void)delivery;
    record.value = (rill_bytes){"x", 1};
    record.partition = 0;
    refused = rill_producer_send(*(rill_producer **)arg, &record, NULL, 0);
}

static void the_last_reports_cannot_send(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    struct holder holder;

    options.delivery = report_and_try;
    options.delivery_arg = &producer;
    test_topic(store, "t", 1);
    holder_start(&holder, store, "t", 0, 7);
    producer = producer_open(store, &options);
    OK(send_to(producer, 0, 0, 0));
    refused = 0;
    FAILS(RILL_ERR_TIMEOUT, rill_producer_close(producer, 0));
    assert_int_equal(refused, RILL_ERR_CLOSED);
    holder_stop(&holder);
    log_is(store, 7, 1);
}

static void closing_sends_what_reports_send(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    send_again(producer, 1, 1, 100);
    OK(send_to(producer, 0, 0, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    reported(0, 100, 0, 0);
    log_is(store, 0, 100);
}

static void each_batch_without_keys_goes_elsewhere(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    int used = 0;

    test_topic(store, "t", 8);
    producer = producer_open(store, &options);
    for (int64_t i = 0; i < 200; i++) {
        OK(send_to(producer, RILL_PARTITION_ANY, i, 0));
        OK(rill_producer_flush(producer, WAIT_MS));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    for (int p = 0; p < 8; p++) used += log_end_of(store, "t", p) > 0;
    assert_int_equal(used, 8); /* all but certainly */
}

static int32_t choose_wrongly(void *arg, const rill_record *record, uint32_t partition_count)
{
    (void)arg;
    (void)record;
    return (int32_t)partition_count;
}

static void who_is_to_blame_for_a_wrong_partition_is_told(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.partitioner = choose_wrongly;
    test_topic(store, "t", 2);
    producer = producer_open(store, &options);
    FAILS(RILL_ERR_NOT_FOUND, send_to(producer, 2, 0, 0));
    FAILS(RILL_ERR_NOT_FOUND, send_to(producer, -7, 0, 0));
    FAILS(RILL_ERR_INVALID, send_to(producer, RILL_PARTITION_ANY, 0, 0));
    OK(rill_producer_close(producer, WAIT_MS));
}

static void polling_gets_durable_reports(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.acks = RILL_ACKS_DURABLE;
    options.linger_ms = 1;
    test_topic(store, "t", 1);
    if (rill_producer_open(store, &options, &producer) == RILL_ERR_UNSUPPORTED) skip();
    OK(send_to(producer, 0, 0, 0));
    for (struct patience patience = {0}; reports.count == 0; wait_a_little(&patience))
        OK(rill_producer_poll(producer));
    reported(0, 1, 0, 0);
    OK(rill_producer_close(producer, WAIT_MS));
}

static void a_close_with_time_sends_all(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 10; n++) OK(send_to(producer, 0, n, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 10);
    reported(0, 10, 0, 0);
    log_is(store, 0, 10);
}

/* ---- Batches of the caller ---- */

static void a_batch_gets_offsets_one_by_one(void **state)
{
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    int64_t numbers[100];
    rill_record records[100];
    rill_stats stats = {.size = sizeof stats};
    rill_producer *producer;
    rill_offset base;

    test_topic(store, "t", 1);
    for (int i = 0; i < 100; i++) {
        numbers[i] = i;
        records[i] = record_of(&numbers[i]);
    }
    producer = producer_open(store, &options);
    OK(rill_producer_append(producer, records, 60, WAIT_MS, &base));
    assert_int_equal(base, 0);
    OK(rill_producer_append(producer, records + 60, 40, WAIT_MS, &base));
    assert_int_equal(base, 60);
    OK(rill_stats_get(store, &stats));
    assert_int_equal(stats.batches_appended, 2);
    FAILS(RILL_ERR_INVALID, rill_producer_append(producer, records, 0, WAIT_MS, &base));
    OK(rill_producer_close(producer, WAIT_MS));
    log_is(store, 0, 100);
}

static void of_a_batch_all_records_are_appended_or_none(void **state)
{
    static char large[40 << 10];
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    int64_t number = 0;
    rill_record records[3];
    rill_offset base = 77;
    rill_producer *producer;

    test_topic(store, "t", 1);
    for (int i = 0; i < 3; i++) records[i] = record_of(&number);
    producer = producer_open(store, &options);
    records[1].value = records[2].value = (rill_bytes){large, sizeof large};
    FAILS(RILL_ERR_TOO_BIG, rill_producer_append(producer, records, 3, WAIT_MS, &base));
    records[2].value = (rill_bytes){NULL, 5};
    FAILS(RILL_ERR_INVALID, rill_producer_append(producer, records, 3, WAIT_MS, &base));
    assert_int_equal(base, 77);
    assert_int_equal(log_end_of(store, "t", 0), 0);
    OK(rill_producer_append(producer, records, 2, WAIT_MS, &base));
    assert_int_equal(base, 0);
    OK(rill_producer_close(producer, WAIT_MS));
}

static void a_record_above_the_limit_is_refused(void **state)
{
    static char large[20 << 10];
    rill *store = *state;
    rill_topic_options topic = {.size = sizeof topic, .max_message_bytes = 16 << 10};
    rill_producer_options options = slow_options();
    rill_record record = RILL_RECORD_INIT;
    rill_producer *producer;
    rill_consumer *consumer;

    OK(rill_topic_create(store, "t", &topic));
    options.batch_bytes = 1024;
    producer = producer_open(store, &options);
    record.value = (rill_bytes){large, sizeof large};
    FAILS(RILL_ERR_TOO_BIG, rill_producer_send(producer, &record, NULL, 0));
    FAILS(RILL_ERR_TOO_BIG, rill_producer_append(producer, &record, 1, 0, NULL));
    record.value = (rill_bytes){NULL, 0};
    record.key = (rill_bytes){large, sizeof large};
    FAILS(RILL_ERR_TOO_BIG, rill_producer_send(producer, &record, NULL, 0));
    record.key.size = 15 << 10; /* more than a batch waits for, and it goes */
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 1);
    consumer = test_consumer(store, "t", 0, 0);
    take(consumer, &record, 1);
    assert_int_equal(record.key.size, 15 << 10);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Acks ---- */

static void weak_acks_are_reported_like_strong_ones(void **state)
{
    static const int32_t acks[] = {RILL_ACKS_DEFAULT, RILL_ACKS_NONE, RILL_ACKS_WRITTEN};
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_offset base;

    test_topic(store, "t", 1);
    for (int i = 0; i < 3; i++) {
        int64_t number = i * 2 + 1;
        rill_record record = record_of(&number);
        rill_producer *producer;
        options.acks = acks[i];
        producer = producer_open(store, &options);
        OK(send_to(producer, 0, i * 2, 0));
        OK(rill_producer_flush(producer, WAIT_MS));
        assert_int_equal(reports.count, i + 1);
        reported(i, i + 1, i * 2, i * 2);
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, &base));
        assert_int_equal(base, number);
        OK(rill_producer_close(producer, WAIT_MS));
    }
    log_is(store, 0, 6);
}

/* NULL where the file system promises nothing. */
static rill_producer *durable_producer(rill *store)
{
    rill_producer_options options = slow_options();
    rill_producer *producer;
    int rc;

    options.acks = RILL_ACKS_DURABLE;
    rc = rill_producer_open(store, &options, &producer);
    if (rc == RILL_ERR_UNSUPPORTED) return NULL;
    OK(rc);
    return producer;
}

static rill_offset durable_end(rill *store)
{
    rill_partition_info info;

    OK(rill_partition_describe(store, "t", 0, &info));
    return info.durable_end;
}

static void what_is_acknowledged_durable_is_durable(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {.size = sizeof options, .isolation = RILL_READ_DURABLE};
    rill_position from = {.topic = "t"};
    int64_t number = 10;
    rill_record record = record_of(&number);
    rill_producer *producer;
    rill_consumer *consumer;
    rill_offset base;

    test_topic(store, "t", 1);
    producer = durable_producer(store);
    if (producer == NULL) skip();
    consumer = consumer_open(store, &options);
    OK(rill_consumer_assign(consumer, &from, 1));
    for (int64_t n = 0; n < 10; n++) OK(send_to(producer, 0, n, 0));
    takes_nothing(consumer);
    OK(rill_producer_flush(producer, WAIT_MS));
    assert_int_equal(reports.count, 10);
    reported(0, 10, 0, 0);
    takes(consumer, 0, 10);
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, &base));
    assert_int_equal(base, 10);
    assert_int_equal(durable_end(store), 11);
    takes(consumer, 10, 1);
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_consumer_close(consumer, 0));
}

static void many_durable_batches_are_reported_in_order(void **state)
{
    rill *store = *state;
    rill_producer *producer;

    test_topic(store, "t", 1);
    producer = durable_producer(store);
    if (producer == NULL) skip();
    for (int64_t n = 0; n < 1000; n++) {
        OK(send_to(producer, 0, n, WAIT_MS));
        if (n % 100 == 0) OK(rill_producer_flush(producer, WAIT_MS));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 1000);
    reported(0, 1000, 0, 0);
    assert_int_equal(durable_end(store), 1000);
}

/* ---- Threads ---- */

struct sender {
    rill_producer *producer;
    int64_t first;
};

static void *send_thousand(void *arg)
{
    struct sender *sender = arg;

    for (int64_t n = 0; n < 1000; n++) {
        thread_ok(send_to(sender->producer, 0, sender->first + n, WAIT_MS), "send");
        if (n % 97 == 0) thread_ok(rill_producer_poll(sender->producer), "poll");
    }
    thread_ok(rill_producer_flush(sender->producer, WAIT_MS), "flush");
    return NULL;
}

static void threads_may_share_a_producer(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    struct sender senders[3];
    pthread_t threads[3];
    int64_t next[3];
    rill_producer *producer;

    options.batch_bytes = 512;
    test_topic(store, "t", 1);
    producer = producer_open(store, &options);
    for (int i = 0; i < 3; i++) {
        next[i] = i * 1000;
        senders[i] = (struct sender){producer, i * 1000};
        threads[i] = thread_start(send_thousand, &senders[i]);
    }
    for (int i = 0; i < 3; i++) thread_join(threads[i]);
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 3000);
    for (int i = 0; i < 3000; i++) { /* each thread's records in its order */
        int64_t number = reports.list[i].number;
        assert_int_equal(reports.list[i].offset, i);
        assert_in_range(number, 0, 2999);
        assert_int_equal(number, next[number / 1000]++);
    }
    assert_int_equal(log_end_of(store, "t", 0), 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REPORTS(a_full_batch_is_sent),
        WITH_REPORTS(a_batch_that_has_lingered_is_sent_by_poll),
        WITH_REPORTS(a_batch_that_has_lingered_is_sent_by_maintenance),
        WITH_REPORTS(maintenance_that_meets_a_send_comes_back_in_time),
        WITH_REPORTS(a_flush_sends_and_reports_all),
        WITH_REPORTS(without_linger_each_record_goes_at_once),
        WITH_REPORTS(what_is_sent_was_copied),
        WITH_REPORTS(a_record_without_time_gets_the_time_of_its_sending),
        WITH_REPORTS(each_record_is_reported_once_and_in_order),
        WITH_REPORTS(records_that_fail_are_reported_too),
        WITH_REPORTS(a_report_may_send_again),
        WITH_REPORTS(a_report_of_a_send_may_send_again),
        WITH_REPORTS(what_a_report_sends_is_reported_after_it),
        WITH_REPORTS(who_cannot_send_is_told),
        WITH_REPORTS(a_send_waits_for_room),
        WITH_REPORTS(an_append_that_times_out_appended_nothing),
        WITH_REPORTS(records_left_at_close_are_reported),
        WITH_REPORTS(a_close_with_time_sends_all),
        WITH_REPORTS(the_last_reports_cannot_send),
        WITH_REPORTS(closing_sends_what_reports_send),
        WITH_REPORTS(each_batch_without_keys_goes_elsewhere),
        WITH_REPORTS(who_is_to_blame_for_a_wrong_partition_is_told),
        WITH_REPORTS(polling_gets_durable_reports),
        WITH_REPORTS(a_batch_gets_offsets_one_by_one),
        WITH_REPORTS(of_a_batch_all_records_are_appended_or_none),
        WITH_REPORTS(a_record_above_the_limit_is_refused),
        WITH_REPORTS(weak_acks_are_reported_like_strong_ones),
        WITH_REPORTS(what_is_acknowledged_durable_is_durable),
        WITH_REPORTS(many_durable_batches_are_reported_in_order),
        WITH_REPORTS(threads_may_share_a_producer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
