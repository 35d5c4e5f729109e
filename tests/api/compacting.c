/*
 * rill_partition_compact leaves of each key the last record, says what it has done,
 * refuses what it must, and nobody who reads is put out by it: offsets that are
 * committed, searched for or waited at go on with what is there.
 */
#include "records.h"
#include <sys/wait.h>

static void make_topic(rill *store, uint32_t policy)
{
    rill_topic_options options = {
        .size = sizeof options, .cleanup_policy = policy, .segment_bytes = 64 << 10};
    OK(rill_topic_create(store, "t", &options));
}

/* Appends records "key=value", or "key" for a tombstone, a batch each. */
static void append_text(rill *store, const char *text)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_producer *producer;

    OK(rill_producer_open(store, &options, &producer));
    while (*text != '\0') {
        rill_record record = RILL_RECORD_INIT;
        size_t size = strcspn(text, " ");
        size_t key = strcspn(text, "= ");

        record.partition = 0;
        record.key = (rill_bytes){text, key};
        if (key < size) record.value = (rill_bytes){text + key + 1, size - key - 1};
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
        text += size;
        text += strspn(text, " ");
    }
    OK(rill_producer_close(producer, WAIT_MS));
}

/* What the consumer is handed until there is no more: "offset:key=value ...". */
static const char *read_all(rill_consumer *consumer)
{
    static char text[4000];
    rill_record records[16];
    size_t used = 0;
    size_t count;

    text[0] = '\0';
    do {
        OK(rill_consumer_poll(consumer, 0, records, 16, &count));
        for (size_t i = 0; i < count; i++)
            used += (size_t)snprintf(
                text + used, sizeof text - used, "%s%lld:%.*s=%.*s", used == 0 ? "" : " ",
                (long long)records[i].offset, (int)records[i].key.size,
                (const char *)records[i].key.data, (int)records[i].value.size,
                records[i].value.data == NULL ? "" : (const char *)records[i].value.data);
    } while (count > 0);
    return text;
}

static const char *read_from(rill *store, rill_offset offset)
{
    rill_consumer *consumer = test_consumer(store, "t", 0, offset);
    const char *text = read_all(consumer);

    OK(rill_consumer_close(consumer, WAIT_MS));
    return text;
}

static void last_of_each_key_stays(void **state)
{
    rill *store = *state;
    rill_compact_report report = {.size = sizeof report};
    rill_partition_info info;
    rill_stats stats = {.size = sizeof stats};

    make_topic(store, RILL_CLEANUP_COMPACT);
    append_text(store, "a=1 b=1 a=2 c=1 b c=2 a=3");
    OK(rill_partition_compact(store, "t", 0, &report));
    assert_string_equal(read_from(store, 0), "4:b= 5:c=2 6:a=3");
    assert_int_equal(report.size, sizeof report);
    assert_int_equal(report.records_before, 7);
    assert_int_equal(report.records_after, 3);
    assert_true(report.bytes_before > report.bytes_after);
    assert_int_equal(report.segments_before, 1);
    assert_int_equal(report.segments_after, 1);
    assert_int_equal(report.tombstones_removed, 0);
    assert_int_equal(report.passes, 1);
    assert_int_equal(report.reserved, 0);
    OK(rill_partition_describe(store, "t", 0, &info));
    assert_int_equal(info.log_start, 0);
    assert_int_equal(info.log_end, 7);
    assert_int_equal(info.durable_end, 7);
    assert_int_equal(info.segment_count, 2);
    OK(rill_stats_get(store, &stats));
    assert_int_equal(stats.compactions, 1);
    /* There is nothing to do now, and no segment is made for it. */
    OK(rill_partition_compact(store, "t", 0, &report));
    assert_int_equal(report.segments_before, 0);
    assert_int_equal(report.passes, 0);
    OK(rill_partition_describe(store, "t", 0, &info));
    assert_int_equal(info.segment_count, 2);
    append_text(store, "d=1 a=4");
    OK(rill_partition_compact(store, "t", 0, NULL));
    assert_string_equal(read_from(store, 0), "4:b= 5:c=2 7:d=1 8:a=4");
    append_text(store, "e=1");
    assert_string_equal(read_from(store, 0), "4:b= 5:c=2 7:d=1 8:a=4 9:e=1");
}

static void an_empty_partition_is_compacted(void **state)
{
    rill *store = *state;
    rill_compact_report report = {.size = sizeof report, .bytes_before = 1, .passes = 1};

    make_topic(store, RILL_CLEANUP_COMPACT | RILL_CLEANUP_DELETE);
    OK(rill_partition_compact(store, "t", 0, &report));
    assert_int_equal(report.bytes_before, 0);
    assert_int_equal(report.passes, 0);
}

static void what_is_no_compacted_topic_is_refused(void **state)
{
    rill *store = *state;
    rill_compact_report report = {.size = sizeof report, .bytes_before = 1};
    rill_topic_options options = {.size = sizeof options, .cleanup_policy = RILL_CLEANUP_COMPACT};

    make_topic(store, RILL_CLEANUP_DELETE);
    append_text(store, "a=1 a=2");
    FAILS(RILL_ERR_STATE, rill_partition_compact(store, "t", 0, &report));
    assert_int_equal(report.bytes_before, 0);
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_compact(store, "none", 0, NULL));
    FAILS(RILL_ERR_INVALID, rill_partition_compact(store, "n o", 0, NULL));
    FAILS(RILL_ERR_INVALID, rill_partition_compact(store, NULL, 0, NULL));
    FAILS(RILL_ERR_INVALID, rill_partition_compact(NULL, "t", 0, NULL));
    OK(rill_topic_alter(store, "t", RILL_TOPIC_CLEANUP_POLICY, &options));
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_compact(store, "t", 1, NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_compact(store, "t", -1, NULL));
    OK(rill_partition_compact(store, "t", 0, &report));
    assert_string_equal(read_from(store, 0), "1:a=2");
}

static void reports_may_be_of_other_sizes(void **state)
{
    struct {
        rill_compact_report report;
        uint64_t later;
    } larger = {.report = {.size = sizeof larger}, .later = 7};
    rill *store = *state;
    rill_compact_report report = {.size = 16, .bytes_after = 77};

    make_topic(store, RILL_CLEANUP_COMPACT);
    append_text(store, "a=1 a=2");
    OK(rill_partition_compact(store, "t", 0, &report));
    assert_int_equal(report.size, 16);
    assert_true(report.bytes_before > 0);
    assert_int_equal(report.bytes_after, 77); /* is not ours */
    append_text(store, "a=3");
    OK(rill_partition_compact(store, "t", 0, &larger.report));
    assert_int_equal(larger.report.size, sizeof larger);
    assert_true(larger.report.records_before > 0);
    assert_int_equal(larger.later, 0);
    report.size = 7;
    FAILS(RILL_ERR_INVALID, rill_partition_compact(store, "t", 0, &report));
    report.size = 5000;
    FAILS(RILL_ERR_INVALID, rill_partition_compact(store, "t", 0, &report));
}

/* A committed offset whose record is gone is that of the next one. */
static void groups_go_on_with_what_is_there(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {
        .size = sizeof options, .group = "g", .auto_offset_reset = RILL_RESET_ERROR};
    const rill_position all = {"t", 0, -1, 0, NULL};
    const rill_group_reset_options reset = {.size = sizeof reset,
                                            .to = RILL_RESET_TO_OFFSET,
                                            .value = 2,
                                            .positions = &all,
                                            .position_count = 1};
    const char *topics[] = {"t"};
    rill_consumer *consumer;
    rill_record records[4];
    rill_offset offset;
    int64_t lag;
    size_t count = 0;

    make_topic(store, RILL_CLEANUP_COMPACT);
    append_text(store, "a=1 b=1 a=2 b=2 c=1 a=3 b=3 d=1 d");
    OK(rill_group_reset(store, "g", &reset));
    OK(rill_partition_compact(store, "t", 0, NULL));
    consumer = consumer_open(store, &options);
    OK(rill_consumer_subscribe(consumer, topics, 1));
    while (count == 0) OK(rill_consumer_poll(consumer, WAIT_MS, records, 4, &count));
    assert_int_equal(records[0].offset, 4);
    while (count != 0) OK(rill_consumer_poll(consumer, 0, records, 4, &count));
    OK(rill_consumer_position(consumer, "t", 0, &offset));
    assert_int_equal(offset, 9);
    OK(rill_consumer_lag(consumer, "t", 0, &lag));
    assert_int_equal(lag, 0);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* One who has read all but what is gone is at the end: he sleeps, and is woken. */
static void what_is_gone_is_not_waited_at(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_record records[4];
    rill_offset offset;
    int64_t lag;
    size_t count;

    make_topic(store, RILL_CLEANUP_COMPACT);
    append_text(store, "a=1 b=1 b=2");
    consumer = test_consumer(store, "t", 0, 1);
    append_text(store, "a b");
    OK(rill_partition_compact(store, "t", 0, NULL));
    assert_non_null(strstr(read_all(consumer), "3:a= 4:b=")); /* what it had open it may read */
    OK(rill_consumer_seek(consumer, "t", 0, 0));
    assert_string_equal(read_all(consumer), "3:a= 4:b=");
    append_text(store, "a=2 a=3");
    OK(rill_partition_compact(store, "t", 0, NULL));
    OK(rill_consumer_seek(consumer, "t", 0, 5));
    OK(rill_consumer_poll(consumer, 0, records, 4, &count));
    assert_int_equal(count, 1);
    assert_int_equal(records[0].offset, 6);
    OK(rill_consumer_poll(consumer, 100, records, 4, &count));
    assert_int_equal(count, 0);
    OK(rill_consumer_position(consumer, "t", 0, &offset));
    assert_int_equal(offset, 7);
    OK(rill_consumer_lag(consumer, "t", 0, &lag));
    assert_int_equal(lag, 0);
    append_text(store, "c=1");
    OK(rill_consumer_poll(consumer, WAIT_MS, records, 4, &count));
    assert_int_equal(count, 1);
    assert_int_equal(records[0].offset, 7);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* Records that were handed out stay until the next poll. */
static void records_handed_out_stay(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_record records[8];
    size_t count;

    make_topic(store, RILL_CLEANUP_COMPACT);
    append_text(store, "a=one a=two b=one a=three");
    consumer = test_consumer(store, "t", 0, 0);
    OK(rill_consumer_poll(consumer, WAIT_MS, records, 8, &count));
    assert_int_equal(count, 4);
    OK(rill_partition_compact(store, "t", 0, NULL));
    assert_memory_equal(records[0].value.data, "one", 3);
    assert_memory_equal(records[1].value.data, "two", 3);
    append_text(store, "a=four b=two");
    assert_string_equal(read_all(consumer), "4:a=four 5:b=two");
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* Several segments become few, and their disk space comes free. */
static void disk_space_comes_free(void **state)
{
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_compact_report report = {.size = sizeof report};
    rill_producer *producer;
    rill_topic_info before;
    rill_topic_info after;
    static char value[3000];
    char key[16];

    make_topic(store, RILL_CLEANUP_COMPACT);
    OK(rill_producer_open(store, &options, &producer));
    for (int i = 0; i < 300; i++) {
        rill_record record = RILL_RECORD_INIT;
        snprintf(key, sizeof key, "key %d", i % 7);
        record.key = (rill_bytes){key, strlen(key)};
        record.value = (rill_bytes){value, sizeof value};
        record.partition = 0;
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_topic_describe(store, "t", &before));
    OK(rill_partition_compact(store, "t", 0, &report));
    OK(rill_topic_describe(store, "t", &after));
    assert_true(before.segment_count > 10);
    assert_int_equal(after.segment_count, 2);
    assert_true(after.stored_bytes < before.stored_bytes / 4);
    assert_int_equal(report.records_after, 7);
    assert_int_equal(report.segments_after, 1);
}

/* One process reads, another one compacts. */
static void other_processes_go_on(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    int status;
    pid_t pid;

    make_topic(store, RILL_CLEANUP_COMPACT);
    append_text(store, "a=1 b=1 a=2 b=2 c=1");
    consumer = test_consumer(store, "t", 0, 0);
    assert_string_equal(read_all(consumer), "0:a=1 1:b=1 2:a=2 3:b=2 4:c=1");
    OK(rill_consumer_seek(consumer, "t", 0, 1));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        rill *own;
        rill_close(store); /* the parent's */
        own = test_store_open();
        OK(rill_partition_compact(own, "t", 0, NULL));
        OK(rill_close(own));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    /* What this one has mapped it may read on. */
    assert_non_null(strstr(read_all(consumer), "4:c=1"));
    OK(rill_consumer_seek(consumer, "t", 0, 0));
    assert_string_equal(read_all(consumer), "2:a=2 3:b=2 4:c=1");
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void compressed_topics_are_compacted(void **state)
{
    rill *store = *state;
    rill_topic_options options = {.size = sizeof options,
                                  .cleanup_policy = RILL_CLEANUP_COMPACT,
                                  .compression = RILL_COMPRESSION_LZ4,
                                  .segment_bytes = 64 << 10};
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    static char value[1000];
    rill_producer *producer;
    rill_record records[8];
    rill_consumer *consumer;
    size_t count;

    if (!rill_compression_available(RILL_COMPRESSION_LZ4)) skip();
    OK(rill_topic_create(store, "t", &options));
    OK(rill_producer_open(store, &out, &producer));
    for (int i = 0; i < 8; i++) {
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].key = (rill_bytes){&"abcabcad"[i], 1};
        records[i].value = (rill_bytes){value, sizeof value};
        records[i].partition = 0;
    }
    OK(rill_producer_append(producer, records, 8, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_partition_compact(store, "t", 0, NULL));
    consumer = test_consumer(store, "t", 0, 0);
    OK(rill_consumer_poll(consumer, WAIT_MS, records, 8, &count));
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(records[i].offset, 4 + (int64_t)i);
        assert_int_equal(records[i].value.size, sizeof value);
    }
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void times_are_searched_for(void **state)
{
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_producer *producer;
    rill_offset offset;

    make_topic(store, RILL_CLEANUP_COMPACT);
    OK(rill_producer_open(store, &options, &producer));
    for (int i = 0; i < 6; i++) {
        rill_record record = RILL_RECORD_INIT;
        record.key = (rill_bytes){&"aabbca"[i], 1};
        record.value = (rill_bytes){"v", 1};
        record.partition = 0;
        record.timestamp_ms = 1000 + i * 10;
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_partition_compact(store, "t", 0, NULL));
    OK(rill_partition_offset_for_time(store, "t", 0, 1000, &offset));
    assert_int_equal(offset, 3);
    OK(rill_partition_offset_for_time(store, "t", 0, 1031, &offset));
    assert_int_equal(offset, 4);
    OK(rill_partition_offset_for_time(store, "t", 0, 1050, &offset));
    assert_int_equal(offset, 5);
    OK(rill_partition_offset_for_time(store, "t", 0, 1051, &offset));
    assert_int_equal(offset, RILL_OFFSET_NONE);
}

static void damage_is_told(void **state)
{
    rill *store = *state;
    rill_compact_report report = {.size = sizeof report};

    make_topic(store, RILL_CLEANUP_COMPACT);
    append_text(store, "a=1 a=2");
    OK(rill_sync(store, WAIT_MS));
    test_flip_bit(test_find_file("00000000000000000000.log"), 128 + 70);
    FAILS(RILL_ERR_CORRUPT, rill_partition_compact(store, "t", 0, &report));
    assert_non_null(strstr(test_message(), "cannot be compacted"));
    assert_int_equal(report.segments_before, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_STORE(last_of_each_key_stays),
                                       WITH_STORE(an_empty_partition_is_compacted),
                                       WITH_STORE(what_is_no_compacted_topic_is_refused),
                                       WITH_STORE(reports_may_be_of_other_sizes),
                                       WITH_STORE(groups_go_on_with_what_is_there),
                                       WITH_STORE(what_is_gone_is_not_waited_at),
                                       WITH_STORE(records_handed_out_stay),
                                       WITH_STORE(disk_space_comes_free),
                                       WITH_STORE(other_processes_go_on),
                                       WITH_STORE(compressed_topics_are_compacted),
                                       WITH_STORE(times_are_searched_for),
                                       WITH_STORE(damage_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
