/*
 * Compression, as a program that writes sees it: less is stored, and what is read is
 * what was written; the topic's word counts before the producer's; limits hold, in bytes
 * of the log and of memory; and times are those of the records. Reading is in
 * decompression.c.
 */
#include "base/bytes.h"
#include "texts.h"

static char value_room[4 << 20];

/* Bytes that no codec makes smaller. */
static rill_bytes noise_of(uint64_t seed, size_t size)
{
    struct test_random random = {seed * 77 + 5};

    for (size_t i = 0; i < size; i += 8) rill__put64(value_room + i, test_random_next(&random));
    return (rill_bytes){value_room, size};
}

/* ---- What is stored ---- */

static void less_is_stored_and_the_same_is_read(void **state)
{
    rill *store = *state;
    rill_record record = RILL_RECORD_INIT;

    FOR_EACH_CODEC(code)
    {
        const char *topic = code == RILL_COMPRESSION_LZ4 ? "l" : "z";
        rill_stats before;
        rill_stats after;
        rill_producer *producer;
        rill_consumer *consumer;
        topic_create(store, topic, 1, 0);
        before = stats_of(store);
        producer = producer_to(store, topic, code);
        append_texts(producer, 0, 0, 100, 200);
        append_texts(producer, 0, 100, 1, 2000);
        record.key = (rill_bytes){"key", 3};
        for (int64_t n = 101; n < 1101; n++) {
            record.value = text_of(n, 150);
            OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
        }
        OK(rill_producer_close(producer, WAIT_MS));
        after = stats_of(store);
        assert_true(after.bytes_uncompressed - before.bytes_uncompressed > 1101 * 170);
        assert_true((after.bytes_appended - before.bytes_appended) * 3 <
                    after.bytes_uncompressed - before.bytes_uncompressed);
        for (size_t max = 1; max <= 500; max = max * 3 + 4) {
            consumer = test_consumer(store, topic, 0, 0);
            read_texts(consumer, 0, 1101, max);
            OK(rill_consumer_close(consumer, 0));
        }
    }
}

static uint64_t stored_by(rill *store, const char *topic, uint32_t asked)
{
    rill_producer *producer = producer_to(store, topic, asked);
    uint64_t before = stats_of(store).bytes_appended;

    append_texts(producer, 0, log_end_of(store, topic, 0), 50, 200);
    OK(rill_producer_close(producer, WAIT_MS));
    return stats_of(store).bytes_appended - before;
}

static void the_topic_counts_before_the_producer(void **state)
{
    rill *store = *state;
    uint64_t plain;

    topic_create(store, "open", 1, 0);
    topic_create(store, "none", 1, RILL_COMPRESSION_NONE);
    plain = stored_by(store, "open", 0);
    assert_true(plain > 50 * 200);
    assert_int_equal(stored_by(store, "open", RILL_COMPRESSION_NONE), plain);
    FOR_EACH_CODEC(code)
    {
        const char *topic = code == RILL_COMPRESSION_LZ4 ? "l" : "z";
        uint64_t packed = stored_by(store, "open", code);
        topic_create(store, topic, 1, code);
        assert_true(packed < plain / 2);
        assert_int_equal(stored_by(store, "none", code), plain);
        assert_in_range(stored_by(store, topic, 0), packed * 9 / 10, packed * 11 / 10);
        assert_in_range(stored_by(store, topic, RILL_COMPRESSION_NONE), packed * 9 / 10,
                        packed * 11 / 10);
        FOR_EACH_CODEC(other)
        assert_in_range(stored_by(store, topic, other), packed * 9 / 10, packed * 11 / 10);
    }
}

static void what_becomes_no_smaller_is_stored_as_it_is(void **state)
{
    rill *store = *state;

    topic_create(store, "t", 1, 0);
    FOR_EACH_CODEC(code)
    {
        rill_producer *producer = producer_to(store, "t", code);
        rill_stats before = stats_of(store);
        rill_stats after;
        rill_record record = RILL_RECORD_INIT;
        record.value = noise_of(code, 5000);
        for (int i = 0; i < 5; i++) OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
        after = stats_of(store);
        assert_int_equal(after.bytes_appended - before.bytes_appended,
                         after.bytes_uncompressed - before.bytes_uncompressed);
        OK(rill_producer_close(producer, WAIT_MS));
    }
}

static void what_is_written_in_place_is_not_compressed(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    rill_producer *producer;
    rill_consumer *consumer;
    rill_reservation room;
    rill_record record = RILL_RECORD_INIT;
    rill_stats before;

    if (code == 0) skip();
    topic_create(store, "t", 1, code);
    producer = producer_to(store, "t", code);
    before = stats_of(store);
    record.key = (rill_bytes){"key", 3};
    record.value = (rill_bytes){NULL, 1000};
    OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
    memcpy(room.value, text_of(0, 1000).data, 1000);
    OK(rill_producer_commit(producer, NULL));
    assert_true(stats_of(store).bytes_appended - before.bytes_appended > 1000);
    append_texts(producer, 0, 1, 20, 1000);
    consumer = test_consumer(store, "t", 0, 0);
    read_texts(consumer, 0, 21, 5);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, WAIT_MS));
}

static void levels_make_a_difference(void **state)
{
    static const int32_t levels[2][3] = {{-1000, 0, 12}, {-1000, 0, 19}};
    rill *store = *state;

    topic_create(store, "t", 1, 0);
    FOR_EACH_CODEC(code)
    {
        uint64_t stored[3];
        for (int i = 0; i < 3; i++) {
            rill_producer_options options = {.size = sizeof options,
                                             .topic = "t",
                                             .compression = code,
                                             .compression_level =
                                                 levels[code == RILL_COMPRESSION_ZSTD][i]};
            uint64_t before = stats_of(store).bytes_appended;
            rill_record record = RILL_RECORD_INIT;
            struct test_random random = {7};
            rill_producer *producer;
            OK(rill_producer_open(store, &options, &producer));
            for (size_t at = 0; at < 20000; at += 10)
                snprintf(value_room + at, 11, "%09d,", (int)test_random_below(&random, 50000));
            record.value = (rill_bytes){value_room, 20000};
            OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
            OK(rill_producer_close(producer, WAIT_MS));
            stored[i] = stats_of(store).bytes_appended - before;
        }
        assert_true(stored[0] > stored[1] && stored[1] > stored[2]);
    }
}

/* ---- What is refused ---- */

static void opens_not(rill *store, uint32_t code, int32_t level, int rc, const char *text)
{
    rill_producer_options options = {
        .size = sizeof options, .compression = code, .compression_level = level};
    rill_producer *producer;

    FAILS(rc, rill_producer_open(store, &options, &producer));
    if (strstr(rill_errmsg(), text) == NULL) fail_msg("\"%s\" lacks %s", rill_errmsg(), text);
}

static void options_that_mean_nothing_are_refused(void **state)
{
    opens_not(*state, 2, 0, RILL_ERR_INVALID, "snappy");
    opens_not(*state, 5, 0, RILL_ERR_INVALID, "compression is 5");
    opens_not(*state, 0, 1, RILL_ERR_INVALID, "compression_level 1");
    opens_not(*state, RILL_COMPRESSION_NONE, -1, RILL_ERR_INVALID, "no compression");
    for (uint32_t code = RILL_COMPRESSION_LZ4; code <= RILL_COMPRESSION_ZSTD; code++) {
        if (rill_compression_available(code)) {
            opens_not(*state, code, 23, RILL_ERR_INVALID, "compression_level 23");
            opens_not(*state, code, -200000, RILL_ERR_INVALID, "compression_level -200000");
        } else {
            opens_not(*state, code, 0, RILL_ERR_UNSUPPORTED,
                      code == RILL_COMPRESSION_LZ4 ? "liblz4" : "libzstd");
        }
    }
    assert_int_equal(rill_compression_available(RILL_COMPRESSION_DEFAULT), 1);
    assert_int_equal(rill_compression_available(RILL_COMPRESSION_NONE), 1);
    assert_int_equal(rill_compression_available(2), 0);
    assert_int_equal(rill_compression_available(5), 0);
    assert_int_equal(rill_compression_available(UINT32_MAX), 0);
}

/* A topic may want what another build of the library has. */
static void a_topic_wants_what_is_not_there(void **state)
{
    rill *store = *state;
    rill_record record = RILL_RECORD_INIT;

    for (uint32_t code = RILL_COMPRESSION_LZ4; code <= RILL_COMPRESSION_ZSTD; code++) {
        rill_producer *producer;
        rill_reservation room;
        if (rill_compression_available(code)) continue;
        topic_create(store, code == RILL_COMPRESSION_LZ4 ? "l" : "z", 1, code);
        producer = producer_to(store, code == RILL_COMPRESSION_LZ4 ? "l" : "z", 0);
        record.value = text_of(0, 100);
        FAILS(RILL_ERR_UNSUPPORTED, rill_producer_send(producer, &record, NULL, WAIT_MS));
        FAILS(RILL_ERR_UNSUPPORTED, rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
        assert_non_null(strstr(rill_errmsg(), "topic"));
        OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
        memcpy(room.value, record.value.data, 100);
        OK(rill_producer_commit(producer, NULL));
        OK(rill_producer_close(producer, WAIT_MS));
    }
}

struct reports {
    int count;
    int status;
};

static void report(void *arg, const rill_delivery *delivery)
{
    struct reports *reports = arg;

    reports->count++;
    reports->status = delivery->status;
}

static void a_batch_may_be_larger_before_compression(void **state)
{
    rill *store = *state;

    FOR_EACH_CODEC(code)
    {
        const char *topic = code == RILL_COMPRESSION_LZ4 ? "l" : "z";
        struct reports reports = {0, 1};
        rill_producer_options options = {.size = sizeof options,
                                         .topic = topic,
                                         .compression = code,
                                         .delivery = report,
                                         .delivery_arg = &reports};
        rill_producer *producer;
        rill_consumer *consumer;
        rill_record record = RILL_RECORD_INIT;
        rill_record records[4];
        rill_reservation room;
        topic_create(store, topic, 1, 0); /* 512 KiB */
        OK(rill_producer_open(store, &options, &producer));
        record.key = (rill_bytes){"key", 3};
        record.value = text_of(0, 3 << 20);
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
        record.value = text_of(1, 3 << 20);
        OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
        record.value = text_of(2, 100);
        OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
        OK(rill_producer_flush(producer, WAIT_MS));
        assert_int_equal(reports.count, 2);
        assert_int_equal(reports.status, 0);
        for (int i = 0; i < 4; i++) {
            records[i] = record;
            records[i].value = text_of(0, 1 << 20);
        }
        OK(rill_producer_append(producer, records, 4, WAIT_MS, NULL));

        record.value = noise_of(1, 3 << 20);
        FAILS(RILL_ERR_TOO_BIG, rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
        assert_non_null(strstr(rill_errmsg(), "max_message_bytes"));
        OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
        FAILS(RILL_ERR_TOO_BIG, rill_producer_flush(producer, WAIT_MS));
        assert_int_equal(reports.count, 3);
        assert_int_equal(reports.status, RILL_ERR_TOO_BIG);
        record.value = text_of(3, 3 << 20);
        FAILS(RILL_ERR_TOO_BIG, rill_producer_reserve(producer, &record, WAIT_MS, &room));
        record.value = (rill_bytes){value_room, 64 << 20}; /* only its size is looked at */
        FAILS(RILL_ERR_TOO_BIG, rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
        FAILS(RILL_ERR_TOO_BIG, rill_producer_send(producer, &record, NULL, WAIT_MS));
        assert_non_null(strstr(rill_errmsg(), "before compression"));
        for (int i = 0; i < 4; i++) records[i].value.size = 17 << 20;
        FAILS(RILL_ERR_TOO_BIG, rill_producer_append(producer, records, 4, WAIT_MS, NULL));
        OK(rill_producer_close(producer, WAIT_MS));

        consumer = test_consumer(store, topic, 0, 0);
        read_texts(consumer, 0, 3, 1);
        assert_int_equal(log_end_of(store, topic, 0), 7);
        OK(rill_consumer_close(consumer, 0));
    }
}

/* Records that were sent one by one fail one by one only. */
static void together_they_fit_as_they_are(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    rill_producer_options options = {
        .size = sizeof options, .topic = "t", .compression = code, .batch_bytes = 4 << 20};
    rill_producer *producer;
    rill_record record = RILL_RECORD_INIT;

    if (code == 0) skip();
    topic_create(store, "t", 1, 0);
    OK(rill_producer_open(store, &options, &producer));
    for (int i = 0; i < 20; i++) {
        record.value = noise_of((uint64_t)i, 100000);
        OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(log_end_of(store, "t", 0), 20);
}

/* Nobody had the lock meanwhile, so nothing was compressed for nothing. */
static void a_batch_that_has_to_wait_is_sent_whole(void **state)
{
    rill *store = *state;
    struct holder holder;

    FOR_EACH_CODEC(code)
    {
        const char *topic = code == RILL_COMPRESSION_LZ4 ? "l" : "z";
        rill_producer *producer;
        rill_consumer *consumer;
        rill_record record = RILL_RECORD_INIT;
        rill_record got;
        topic_create(store, topic, 2, 0);
        producer = producer_to(store, topic, code);
        holder_start(&holder, store, topic, 0, 7);
        record.key = (rill_bytes){"key", 3};
        for (int64_t n = 0; n < 60; n++) {
            record.partition = (int32_t)(n / 30);
            record.value = text_of(n % 30 + 1, 300);
            OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
            if (n % 30 > 10) FAILS(RILL_ERR_TIMEOUT, rill_producer_flush(producer, 0));
        }
        holder_stop(&holder);
        OK(rill_producer_flush(producer, WAIT_MS));
        OK(rill_producer_close(producer, WAIT_MS));
        consumer = test_consumer(store, topic, 0, 0);
        assert_int_equal(take(consumer, &got, 1), 1);
        read_texts(consumer, 1, 31, 7);
        OK(rill_consumer_close(consumer, 0));
    }
}

/* ---- Memory ---- */

/* Compression needs memory, records need none of it. */
static void without_memory_for_it_nothing_is_compressed(void **state)
{
    rill *store = *state;

    if (!rill_compression_available(RILL_COMPRESSION_ZSTD)) skip();
    topic_create(store, "t", 1, RILL_COMPRESSION_ZSTD);
    store = small_store(state, 1 << 20);
    {
        rill_producer_options options = {.size = sizeof options,
                                         .topic = "t",
                                         .compression = RILL_COMPRESSION_ZSTD,
                                         .compression_level = 22,
                                         .batch_bytes = 100000};
        rill_stats before = stats_of(store);
        rill_producer *producer;
        OK(rill_producer_open(store, &options, &producer));
        append_texts(producer, 0, 0, 100, 1000);
        assert_true(stats_of(store).bytes_appended - before.bytes_appended > 100000);
        OK(rill_producer_close(producer, WAIT_MS));
    }
}

/* ---- Times ---- */

static void times_are_found_in_compressed_batches(void **state)
{
    rill *store = *state;

    FOR_EACH_CODEC(code)
    {
        const char *topic = code == RILL_COMPRESSION_LZ4 ? "l" : "z";
        rill_producer *producer;
        rill_consumer *consumer;
        rill_record records[50];
        rill_offset offset;
        topic_create(store, topic, 1, code);
        producer = producer_to(store, topic, 0);
        for (int64_t n = 0; n < 500; n += 50) {
            for (int i = 0; i < 50; i++) {
                records[i] = (rill_record)RILL_RECORD_INIT;
                records[i].value = (rill_bytes){"a value that does not change", 28};
                records[i].timestamp_ms = 1000 + (n + i) * 10;
            }
            OK(rill_producer_append(producer, records, 50, WAIT_MS, NULL));
        }
        OK(rill_producer_close(producer, WAIT_MS));
        consumer = test_consumer(store, topic, 0, 0);
        for (int64_t n = 0; n < 500; n += 7) {
            OK(rill_partition_offset_for_time(store, topic, 0, 1000 + n * 10, &offset));
            assert_int_equal(offset, n);
            OK(rill_partition_offset_for_time(store, topic, 0, 1000 + n * 10 - 3, &offset));
            assert_int_equal(offset, n);
            OK(rill_consumer_seek_time(consumer, topic, 0, 1000 + n * 10));
            assert_int_equal(take(consumer, records, 1), 1);
            assert_int_equal(records[0].offset, n);
            assert_int_equal(records[0].timestamp_ms, 1000 + n * 10);
        }
        OK(rill_partition_offset_for_time(store, topic, 0, 1000 + 5000, &offset));
        assert_int_equal(offset, RILL_OFFSET_NONE);
        OK(rill_consumer_close(consumer, 0));
    }
}

static int64_t told_ms;

static void note_time(void *arg, const rill_delivery *delivery)
{
    (void)arg;
    told_ms = delivery->timestamp_ms;
}

/* Whatever the record says, in every way in. */
static void a_topic_may_have_the_time_of_the_append(void **state)
{
    rill *store = *state;
    rill_topic_options topic = {.size = sizeof topic, .timestamp_type = RILL_TIMESTAMP_APPEND};
    rill_producer_options options = {
        .size = sizeof options, .topic = "t", .delivery = note_time, .compression = any_codec()};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_reservation room;
    rill_record record = RILL_RECORD_INIT;
    rill_record got[16];
    rill_offset offset;
    size_t count;
    int64_t last = 0;

    OK(rill_topic_create(store, "t", &topic));
    OK(rill_producer_open(store, &options, &producer));
    record.value = text_of(0, 300);
    record.timestamp_ms = 5; /* long ago */
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    record.timestamp_ms = INT64_C(1) << 50; /* in a far future */
    OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
    memcpy(room.value, record.value.data, 300);
    OK(rill_producer_commit(producer, NULL));
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    record.timestamp_ms = 9;
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_producer_flush(producer, WAIT_MS));
    consumer = test_consumer(store, "t", 0, 0);
    count = take(consumer, got, 16);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++) {
        assert_in_range(got[i].timestamp_ms, INT64_C(1600000000000), INT64_C(1) << 49);
        assert_true(got[i].timestamp_ms >= last);
        last = got[i].timestamp_ms;
    }
    assert_int_equal(told_ms, last);
    OK(rill_partition_offset_for_time(store, "t", 0, got[0].timestamp_ms, &offset));
    assert_int_equal(offset, 0);
    OK(rill_partition_offset_for_time(store, "t", 0, last + 1, &offset));
    assert_int_equal(offset, RILL_OFFSET_NONE);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(less_is_stored_and_the_same_is_read),
        WITH_STORE(the_topic_counts_before_the_producer),
        WITH_STORE(what_becomes_no_smaller_is_stored_as_it_is),
        WITH_STORE(what_is_written_in_place_is_not_compressed),
        WITH_STORE(levels_make_a_difference),
        WITH_STORE(options_that_mean_nothing_are_refused),
        WITH_STORE(a_topic_wants_what_is_not_there),
        WITH_STORE(a_batch_may_be_larger_before_compression),
        WITH_STORE(together_they_fit_as_they_are),
        WITH_STORE(a_batch_that_has_to_wait_is_sent_whole),
        WITH_STORE(without_memory_for_it_nothing_is_compressed),
        WITH_STORE(times_are_found_in_compressed_batches),
        WITH_STORE(a_topic_may_have_the_time_of_the_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
