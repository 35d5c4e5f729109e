/*
 * Where a record goes: to the topic and the partition that are named; with a key where
 * Kafka's clients send it; without one to a partition that changes with the batch; or
 * where the application's partitioner says.
 */
#include "records.h"
#include "reports.h"

/* ---- Which partition ---- */

/* Where the only record of the topic is. */
static int32_t partition_of_record(rill *store, const char *topic, int32_t partition_count)
{
    int32_t found = -1;

    for (int32_t p = 0; p < partition_count; p++) {
        if (log_end_of(store, topic, p) == 0) continue;
        assert_int_equal(found, -1);
        found = p;
    }
    return found;
}

static void keys_go_where_kafka_sends_them(void **state)
{
    static const struct {
        const char *key;
        int32_t murmur2;
    } known[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};
    rill *store = *state;
    rill_producer *producer = producer_open(store, NULL);

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        rill_record record = RILL_RECORD_INIT;
        char topic[16];
        snprintf(topic, sizeof topic, "keys-%zu", i);
        test_topic(store, topic, 7);
        record.topic = topic;
        record.key = (rill_bytes){known[i].key, strlen(known[i].key)};
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
        assert_int_equal(partition_of_record(store, topic, 7),
                         (known[i].murmur2 & 0x7fffffff) % 7);
    }
    OK(rill_producer_close(producer, WAIT_MS));
}

static void records_without_key_stick_to_a_partition_for_a_batch(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    int32_t place[2000];
    rill_stats stats = {.size = sizeof stats};
    uint64_t moves = 0;
    rill_producer *producer;

    options.batch_bytes = 256;
    test_topic(store, "t", 8);
    producer = producer_open(store, &options);
    for (int64_t n = 0; n < 2000; n++) OK(send_to(producer, RILL_PARTITION_ANY, n, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 2000);
    for (int i = 0; i < 2000; i++) place[reports.list[i].number] = reports.list[i].partition;
    for (int i = 1; i < 2000; i++) moves += place[i] != place[i - 1];
    OK(rill_stats_get(store, &stats));
    assert_in_range(moves, 1, stats.batches_appended);
    assert_in_range(stats.batches_appended, 2, 1000);
}

static void a_partition_that_is_named_is_taken(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    int64_t number = 0;
    rill_record record = record_of(&number);
    rill_producer *producer;

    test_topic(store, "t", 4);
    producer = producer_open(store, &options);
    record.key = (rill_bytes){"foobar", 6};
    for (record.partition = 0; record.partition < 4; record.partition++) {
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
        for (int32_t p = 0; p < 4; p++)
            assert_int_equal(log_end_of(store, "t", p), p <= record.partition);
    }
    assert_int_not_equal(send_to(producer, 4, 0, 0), 0);
    assert_int_not_equal(send_to(producer, -2, 0, 0), 0);
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 0);
}

struct choice {
    int32_t partition;
    uint32_t partition_count;
    int64_t number;
    int calls;
};

static int32_t choose(void *arg, const rill_record *record, uint32_t partition_count)
{
    struct choice *choice = arg;

    choice->partition_count = partition_count;
    choice->number = *(const int64_t *)record->value.data;
    choice->calls++;
    return choice->partition;
}

static void a_partitioner_chooses(void **state)
{
    rill *store = *state;
    struct choice choice = {.partition = 2};
    rill_producer_options options = slow_options();
    rill_producer *producer;

    options.partitioner = choose;
    options.partitioner_arg = &choice;
    test_topic(store, "t", 4);
    producer = producer_open(store, &options);
    OK(send_to(producer, RILL_PARTITION_ANY, 11, 0));
    assert_int_equal(choice.calls, 1);
    assert_int_equal(choice.number, 11);
    assert_int_equal(choice.partition_count, 4);
    OK(send_to(producer, 3, 12, 0)); /* names one: it is not asked */
    assert_int_equal(choice.calls, 1);
    choice.partition = 4;
    FAILS(RILL_ERR_INVALID, send_to(producer, RILL_PARTITION_ANY, 13, 0));
    choice.partition = -1;
    FAILS(RILL_ERR_INVALID, send_to(producer, RILL_PARTITION_ANY, 14, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 2);
    assert_int_equal(log_end_of(store, "t", 2), 1);
    assert_int_equal(log_end_of(store, "t", 3), 1);
}

/* ---- Topics ---- */

static int send_to_topic(rill_producer *producer, const char *topic, int64_t number)
{
    rill_record record = record_of(&number);

    record.topic = topic;
    return rill_producer_send(producer, &record, (void *)(intptr_t)number, 0);
}

static void a_producer_writes_to_several_topics(void **state)
{
    rill *store = *state;
    rill_producer_options options = slow_options();
    rill_producer *producer;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    test_topic(store, "u", 1);
    test_topic(store, "v", 1);
    producer = producer_open(store, &options);
    OK(send_to_topic(producer, "u", 0));
    OK(send_to_topic(producer, NULL, 1)); /* its own */
    OK(send_to_topic(producer, "v", 2));
    OK(send_to_topic(producer, "u", 1));
    FAILS(RILL_ERR_NOT_FOUND, send_to_topic(producer, "none", 9));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(reports.count, 4);
    log_is(store, 1, 1);
    consumer = test_consumer(store, "u", 0, 0);
    takes(consumer, 0, 2);
    OK(rill_consumer_close(consumer, 0));
    consumer = test_consumer(store, "v", 0, 0);
    takes(consumer, 2, 1);
    OK(rill_consumer_close(consumer, 0));
}

static void a_record_needs_a_topic_that_exists(void **state)
{
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options, .topic = "none"};
    rill_producer *producer;

    FAILS(RILL_ERR_NOT_FOUND, rill_producer_open(store, &options, &producer));
    producer = producer_open(store, NULL);
    FAILS(RILL_ERR_INVALID, send_to_topic(producer, NULL, 0));
    FAILS(RILL_ERR_INVALID, send_to_topic(producer, "a/b", 0));
    OK(rill_producer_close(producer, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REPORTS(keys_go_where_kafka_sends_them),
        WITH_REPORTS(records_without_key_stick_to_a_partition_for_a_batch),
        WITH_REPORTS(a_partition_that_is_named_is_taken),
        WITH_REPORTS(a_partitioner_chooses),
        WITH_REPORTS(a_producer_writes_to_several_topics),
        WITH_REPORTS(a_record_needs_a_topic_that_exists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
