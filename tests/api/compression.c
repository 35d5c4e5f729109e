/*
 * Compression, as a program sees it: less is stored, and what is read is what was
 * written, from anywhere, for as long as records live; the topic's word counts
 * before the producer's; limits hold, in bytes of the log and of memory; and what
 * cannot be decompressed is told with its place, and leaves all else alone.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/batch.h"
#include "log/format.h"
#include "records.h"

/* Runs the rest of the test for each codec that is there. */
#define FOR_EACH_CODEC(code)                                                                     \
    for (uint32_t code = RILL_COMPRESSION_LZ4; code <= RILL_COMPRESSION_ZSTD; code++)            \
        if (rill_compression_available(code))

/* The first one that is there, 0: none is. */
static uint32_t any_codec(void)
{
    FOR_EACH_CODEC(code) return code;
    return 0;
}

static char value_room[4 << 20];

/* Text that says which one it is, of so many bytes. */
static rill_bytes text_of(int64_t number, size_t size)
{
    size_t at =
        (size_t)snprintf(value_room, 64, "{\"number\": %lld, \"text\": \"", (long long)number);

    assert_true(size <= sizeof value_room && at <= size);
    for (size_t i = at; i < size; i++) value_room[i] = "abcdefgh"[i % 8];
    return (rill_bytes){value_room, size};
}

static void check_text(const rill_record *record, int64_t number)
{
    rill_bytes want = text_of(number, record->value.size);

    assert_int_equal((uintptr_t)record->value.data % 8, 0);
    assert_memory_equal(record->value.data, want.data, want.size);
}

/* Bytes that no codec makes smaller. */
static rill_bytes noise_of(uint64_t seed, size_t size)
{
    struct test_random random = {seed * 77 + 5};

    for (size_t i = 0; i < size; i += 8) rill__put64(value_room + i, test_random_next(&random));
    return (rill_bytes){value_room, size};
}

static void topic_create(rill *store, const char *topic, uint32_t partitions, uint32_t code)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = partitions,
                                  .segment_bytes = 1 << 20,
                                  .max_message_bytes = 512 << 10,
                                  .compression = code};

    OK(rill_topic_create(store, topic, &options));
}

static rill_producer *producer_to(rill *store, const char *topic, uint32_t code)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = topic, .linger_ms = 3600000, .compression = code};

    return producer_open(store, &options);
}

/* One batch of texts with the numbers of their offsets. */
static void append_texts(rill_producer *producer, int32_t partition, int64_t first, int count,
                         size_t size)
{
    rill_record *records = calloc((size_t)count, sizeof *records);
    rill_offset base;

    for (int i = 0; i < count; i++) {
        rill_bytes text = text_of(first + i, size);
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = partition;
        records[i].key = (rill_bytes){"key", 3};
        records[i].value.data = memcpy(malloc(size), text.data, size);
        records[i].value.size = size;
    }
    OK(rill_producer_append(producer, records, (size_t)count, WAIT_MS, &base));
    assert_int_equal(base, first);
    for (int i = 0; i < count; i++) free((void *)(uintptr_t)records[i].value.data);
    free(records);
}

static rill_stats stats_of(rill *store)
{
    rill_stats stats = {.size = sizeof stats};

    OK(rill_stats_get(store, &stats));
    return stats;
}

/* Texts [first, end), as many a poll as max. */
static void read_texts(rill_consumer *consumer, int64_t first, int64_t end, size_t max)
{
    rill_record records[500];

    while (first < end) {
        size_t count = take(consumer, records, max);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(records[i].offset, first + (int64_t)i);
            check_text(&records[i], first + (int64_t)i);
            assert_int_equal(records[i].key.size, 3);
        }
        first += (int64_t)count;
    }
    assert_int_equal(first, end);
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
        memcpy(room.value, value_room, 100);
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

/* ---- Reading ---- */

static void records_live_until_the_next_poll(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    rill_consumer_options options = {.size = sizeof options, .max_poll_records = 7};
    rill_position from = {.topic = "t"};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_record records[100];

    if (code == 0) skip();
    topic_create(store, "t", 1, code);
    producer = producer_to(store, "t", 0);
    for (int64_t n = 0; n < 600; n += 10) append_texts(producer, 0, n, 10, 400);
    OK(rill_producer_close(producer, WAIT_MS));
    /* From several batches at once, and several times from one. */
    for (int pass = 0; pass < 2; pass++) {
        int64_t next = 0;
        consumer = consumer_open(store, pass == 0 ? &options : NULL);
        OK(rill_consumer_assign(consumer, &from, 1));
        while (next < 600) {
            size_t count = take(consumer, records, 97);
            if (pass == 0) assert_true(count <= 7);
            for (size_t i = 0; i < count; i++) check_text(&records[i], next + (int64_t)i);
            for (size_t i = count; i-- > 0;) check_text(&records[i], next + (int64_t)i);
            next += (int64_t)count;
        }
        assert_int_equal(next, 600);
        OK(rill_consumer_close(consumer, 0));
    }
}

static void any_record_can_be_sought(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    struct test_random random = test_random_seeded(1);
    rill_producer *producer;
    rill_consumer *consumer;

    if (code == 0) skip();
    topic_create(store, "t", 1, code);
    producer = producer_to(store, "t", 0);
    for (int64_t n = 0; n < 400; n += 40) append_texts(producer, 0, n, 40, 100);
    OK(rill_producer_close(producer, WAIT_MS));
    consumer = test_consumer(store, "t", 0, 0);
    for (int i = 0; i < 500; i++) {
        int64_t to = (int64_t)test_random_below(&random, 400);
        int64_t end = to + 1 + (int64_t)test_random_below(&random, 60);
        rill_offset position;
        OK(rill_consumer_seek(consumer, "t", 0, to));
        read_texts(consumer, to, end < 400 ? end : 400, 1);
        OK(rill_consumer_position(consumer, "t", 0, &position));
        assert_int_equal(position, end < 400 ? end : 400);
    }
    OK(rill_consumer_close(consumer, 0));
}

static void partitions_come_and_go_in_the_middle_of_batches(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    rill_position places[4];
    rill_producer *producer;
    rill_consumer *consumer;
    rill_record records[20];

    if (code == 0) skip();
    topic_create(store, "t", 4, code);
    producer = producer_to(store, "t", 0);
    for (int32_t p = 0; p < 4; p++) {
        append_texts(producer, p, 0, 50, 200);
        places[p] = (rill_position){"t", p, -1, 0, NULL};
    }
    OK(rill_producer_close(producer, WAIT_MS));
    consumer = consumer_open(store, NULL);
    OK(rill_consumer_assign(consumer, places, 4));
    for (int i = 0; i < 20; i++) {
        size_t count = take(consumer, records, 12);
        for (size_t r = 0; r < count; r++) check_text(&records[r], records[r].offset);
        if (i % 3 == 1) OK(rill_consumer_incremental_unassign(consumer, &places[i % 4], 1));
        if (i % 3 == 2) OK(rill_consumer_incremental_assign(consumer, &places[(i - 1) % 4], 1));
    }
    OK(rill_consumer_assign(consumer, places, 1));
    read_texts(consumer, 0, 20, 20);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Memory ---- */

static rill *small_store(void **state, uint64_t bytes)
{
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .memory_max_bytes = bytes};

    OK(rill_close(*state));
    *state = NULL;
    OK(rill_open(test_path("store"), &options, (rill **)state));
    return *state;
}

static void memory_is_counted_bounded_and_given_back(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    rill_producer *producer;
    rill_consumer *consumer;
    rill_record records[100];
    uint64_t before;
    int64_t next = 0;
    int polls = 0;

    if (code == 0) skip();
    topic_create(store, "t", 1, code);
    producer = producer_to(store, "t", 0);
    for (int64_t n = 0; n < 40; n++) append_texts(producer, 0, n, 1, 2 << 20);
    OK(rill_producer_close(producer, WAIT_MS));
    before = stats_of(store).memory_bytes;
    consumer = test_consumer(store, "t", 0, 0);
    while (next < 40) {
        size_t count = take(consumer, records, 100);
        for (size_t i = 0; i < count; i++) check_text(&records[i], next + (int64_t)i);
        next += (int64_t)count;
        polls++;
        assert_in_range(stats_of(store).memory_bytes, before + count * (2 << 20),
                        before + (17 << 20));
    }
    assert_true(polls >= 5 && polls < 20);
    OK(rill_producer_open(store, NULL, &producer));
    for (int i = 0; i < 2; i++) { /* waits for a moment, the second time with nothing in hand */
        size_t count;
        OK(rill_consumer_poll(consumer, 1, records, 100, &count));
        assert_int_equal(count, 0);
    }
    assert_true(stats_of(store).memory_bytes < before + (2 << 20));
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_consumer_close(consumer, 0));
    assert_true(stats_of(store).memory_bytes <= before + 4096);
}

static void without_memory_the_other_partitions_go_on(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    rill_position from[2] = {{.topic = "t", .partition = 0}, {.topic = "t", .partition = 1}};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_record records[4];
    size_t count;
    int small = 0;

    if (code == 0) skip();
    topic_create(store, "t", 2, code);
    producer = producer_to(store, "t", 0);
    append_texts(producer, 0, 0, 1, 3 << 20);
    append_texts(producer, 0, 1, 4, 100);
    append_texts(producer, 1, 0, 10, 100);
    OK(rill_producer_close(producer, WAIT_MS));
    store = small_store(state, 2 << 20);
    consumer = consumer_open(store, NULL);
    OK(rill_consumer_assign(consumer, from, 2));
    for (int i = 0; i < 8 && small < 10; i++) {
        int rc = rill_consumer_poll(consumer, 0, records, 4, &count);
        if (rc == RILL_ERR_NO_MEMORY) continue;
        OK(rc);
        for (size_t r = 0; r < count; r++) {
            assert_int_equal(records[r].partition, 1);
            check_text(&records[r], small++);
        }
    }
    assert_int_equal(small, 10);
    for (int i = 0; i < 3; i++) {
        FAILS(RILL_ERR_NO_MEMORY, rill_consumer_poll(consumer, 0, records, 4, &count));
        assert_non_null(strstr(rill_errmsg(), "t-0: batch at offset 0"));
    }
    OK(rill_consumer_seek(consumer, "t", 0, 1));
    read_texts(consumer, 1, 5, 4);
    OK(rill_consumer_close(consumer, 0));
}

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

/* ---- What cannot be decompressed ---- */

struct stored {
    uint8_t *bytes;
    size_t size;
    char path[1200];
    uint64_t salt;
};

static struct stored stored_read(void)
{
    struct stored s;
    FILE *file;

    snprintf(s.path, sizeof s.path, "%s", test_find_file("00000.log"));
    file = fopen(s.path, "rb");
    assert_non_null(file);
    s.bytes = malloc(1 << 20);
    s.size = fread(s.bytes, 1, 1 << 20, file);
    fclose(file);
    s.salt = rill__get64(s.bytes + SEGMENT_SALT_AT);
    return s;
}

/* The batch with that offset. */
static struct batch_view stored_batch(struct stored *s, int64_t offset)
{
    struct batch_view view;
    const char *why;
    size_t at = SEGMENT_HEADER_SIZE;

    for (;; at += view.length) {
        assert_int_equal(rill__batch_view(s->bytes + at, s->size - at, &view, &why), BATCH_VALID);
        assert_true(rill__batch_verify(&view, s->salt));
        if (view.end_offset > offset) return view;
    }
}

/* As if it had been written so: its checksum is right again. */
static void stored_seal(struct stored *s, const struct batch_view *view)
{
    uint8_t *at = s->bytes + (view->data - s->bytes);
    FILE *file = fopen(s->path, "r+b");

    rill__batch_stamp(at, rill__checksum(at + BATCH_HASHED_AT, view->length - BATCH_HASHED_AT),
                      s->salt, view->base_offset, view->epoch);
    assert_non_null(file);
    assert_int_equal(fseek(file, at - s->bytes, SEEK_SET), 0);
    assert_int_equal(fwrite(at, 1, view->length, file), view->length);
    assert_int_equal(fclose(file), 0);
    free(s->bytes);
}

/* Batches of 10 at 0, 10, 20; the middle one is changed by `change`, and then fails
 * with rc and that text, while another partition goes on. */
static void check_bad_batch(rill *store, const char *topic, uint32_t code,
                            void (*change)(uint8_t *batch), int rc, const char *text)
{
    rill_position from[2] = {{.topic = topic, .partition = 0}, {.topic = topic, .partition = 1}};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_record records[50];
    rill_offset offset;
    struct stored s;
    struct batch_view view;
    size_t count;
    int others = 0;

    topic_create(store, topic, 2, code);
    producer = producer_to(store, topic, 0);
    for (int64_t n = 0; n < 30; n += 10) append_texts(producer, 0, n, 10, 100);
    s = stored_read();
    view = stored_batch(&s, 10);
    change(s.bytes + (view.data - s.bytes));
    stored_seal(&s, &view);
    for (int64_t n = 0; n < 30; n += 10) append_texts(producer, 1, n, 10, 100);
    OK(rill_producer_close(producer, WAIT_MS));

    consumer = consumer_open(store, NULL);
    OK(rill_consumer_assign(consumer, from, 1));
    read_texts(consumer, 0, 10, 50);
    for (int i = 0; i < 3; i++) {
        FAILS(rc, rill_consumer_poll(consumer, 0, records, 50, &count));
        if (strstr(rill_errmsg(), text) == NULL ||
            strstr(rill_errmsg(), "-0: batch at offset 10") == NULL)
            fail_msg("\"%s\" lacks \"%s\" or the place", rill_errmsg(), text);
        OK(rill_consumer_position(consumer, topic, 0, &offset));
        assert_int_equal(offset, 10);
    }
    OK(rill_consumer_seek(consumer, topic, 0, 15)); /* it is there, and cannot be read */
    FAILS(rc, rill_consumer_poll(consumer, 0, records, 50, &count));
    OK(rill_consumer_seek(consumer, topic, 0, 20));
    read_texts(consumer, 20, 30, 3);
    OK(rill_consumer_close(consumer, 0));

    consumer = consumer_open(store, NULL);
    from[0].offset = 10;
    OK(rill_consumer_assign(consumer, from, 2));
    while (others < 30) {
        count = 0;
        if (rill_consumer_poll(consumer, 0, records, 4, &count) != 0) continue;
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(records[i].partition, 1);
            check_text(&records[i], others++);
        }
    }
    OK(rill_consumer_close(consumer, 0));
    OK(rill_partition_offset_for_time(store, topic, 0, 1, &offset));
    assert_int_equal(offset, 0);
    OK(rill_topic_delete(store, topic));
}

static uint32_t pretended;

/* What is there could be of any codec, as long as nobody decompresses it. */
static void pretend(uint8_t *batch)
{
    uint32_t length = rill__get32(batch + BATCH_LENGTH_AT);

    rill__put16(batch + BATCH_ATTRIBUTES_AT, (uint16_t)pretended);
    rill__put32(batch + BATCH_RAW_SIZE_AT, 1000);
    rill__put32(batch + BATCH_PACKED_SIZE_AT, length - BATCH_PACKED_AT);
}

static void codecs_that_are_not_there_are_named(void **state)
{
    static const char *const names[] = {
        "",     "codec gzip (1)",    "codec snappy (2)", "lz4",
        "zstd", "codec unknown (5)", "unknown (6)",      "unknown (7)"};
    char topic[8];

    for (pretended = 1; pretended < 8; pretended++) {
        snprintf(topic, sizeof topic, "t%u", pretended);
        check_bad_batch(*state, topic, RILL_COMPRESSION_NONE, pretend,
                        pretended >= RILL_COMPRESSION_LZ4 && rill_compression_available(pretended)
                            ? RILL_ERR_CORRUPT
                            : RILL_ERR_UNSUPPORTED,
                        names[pretended]);
    }
}

static void lie_about_size(uint8_t *batch)
{
    rill__put32(batch + BATCH_RAW_SIZE_AT, rill__get32(batch + BATCH_RAW_SIZE_AT) + 8);
}

static void claim_64_mib(uint8_t *batch)
{
    rill__put32(batch + BATCH_RAW_SIZE_AT, BATCH_RAW_MAX);
}

static void claim_more(uint8_t *batch)
{
    rill__put32(batch + BATCH_RAW_SIZE_AT, BATCH_RAW_MAX + 8);
}

static void cut_data(uint8_t *batch)
{
    uint32_t size = rill__get32(batch + BATCH_PACKED_SIZE_AT);
    memset(batch + BATCH_PACKED_AT + size / 2, 0, size - size / 2);
}

static void overwrite_data(uint8_t *batch)
{
    uint32_t size = rill__get32(batch + BATCH_PACKED_SIZE_AT);
    memset(batch + BATCH_PACKED_AT, 0xff, size);
}

static void one_record_less(uint8_t *batch)
{
    rill__put32(batch + BATCH_COUNT_AT, 9);
    rill__put32(batch + BATCH_LAST_DELTA_AT, 8);
}

static void lies_are_told(void **state)
{
    FOR_EACH_CODEC(code)
    {
        const char *name = code == RILL_COMPRESSION_LZ4 ? "lz4" : "zstd";
        check_bad_batch(*state, "a", code, lie_about_size, RILL_ERR_CORRUPT, name);
        check_bad_batch(*state, "b", code, claim_64_mib, RILL_ERR_CORRUPT, name);
        check_bad_batch(*state, "c", code, cut_data, RILL_ERR_CORRUPT, name);
        check_bad_batch(*state, "d", code, overwrite_data, RILL_ERR_CORRUPT, name);
    }
}

/* What is seen from the header alone is told by whoever walks there. */
static void impossible_headers_are_told(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    void (*const changes[])(uint8_t *) = {claim_more, one_record_less};
    rill_record records[50];
    size_t count;

    if (code == 0) skip();
    for (int i = 0; i < 2; i++) {
        rill_producer *producer;
        rill_consumer *consumer;
        struct stored s;
        struct batch_view view;
        topic_create(store, "t", 1, code);
        producer = producer_to(store, "t", 0);
        for (int64_t n = 0; n < 30; n += 10) append_texts(producer, 0, n, 10, 100);
        OK(rill_producer_close(producer, WAIT_MS));
        s = stored_read();
        view = stored_batch(&s, 10);
        changes[i](s.bytes + (view.data - s.bytes));
        stored_seal(&s, &view);
        consumer = test_consumer(store, "t", 0, 0);
        read_texts(consumer, 0, i == 0 ? 10 : 19, 50); /* then what is too much is seen */
        FAILS(RILL_ERR_CORRUPT, rill_consumer_poll(consumer, 0, records, 50, &count));
        OK(rill_consumer_close(consumer, 0));
        OK(rill_topic_delete(store, "t"));
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

/* ---- Workers ---- */

static _Atomic int worked;

static int work(void *arg, uint32_t worker, const rill_record *record)
{
    char *seen = arg;

    (void)worker;
    if (record->value.size < 20 || record->key.size != 3 ||
        memcmp(record->key.data, "key", 3) != 0 || record->offset != worked)
        return RILL_ERR_INVALID;
    seen[record->offset]++;
    worked++;
    return 0;
}

static void workers_get_whole_records(void **state)
{
    rill *store = *state;
    uint32_t code = any_codec();
    static char seen[300];
    const char *topics[] = {"t"};
    rill_workers_options options = {.size = sizeof options,
                                    .worker_count = 2,
                                    .work = work,
                                    .work_arg = seen,
                                    .order = RILL_ORDER_PARTITION};
    rill_consumer_options in = {
        .size = sizeof in, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    struct patience patience = {0};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_workers *workers;

    if (code == 0) skip();
    memset(seen, 0, sizeof seen);
    worked = 0;
    topic_create(store, "t", 1, code);
    producer = producer_to(store, "t", 0);
    for (int64_t n = 0; n < 300; n += 30) append_texts(producer, 0, n, 30, 100);
    OK(rill_producer_close(producer, WAIT_MS));
    consumer = consumer_open(store, &in);
    OK(rill_consumer_subscribe(consumer, topics, 1));
    OK(rill_workers_open(consumer, &options, &workers));
    while (worked < 300) {
        OK(rill_workers_run(workers, 10));
        wait_a_little(&patience);
    }
    OK(rill_workers_close(workers, WAIT_MS));
    OK(rill_consumer_close(consumer, WAIT_MS));
    for (int i = 0; i < 300; i++) assert_int_equal(seen[i], 1);
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
        WITH_STORE(records_live_until_the_next_poll),
        WITH_STORE(any_record_can_be_sought),
        WITH_STORE(partitions_come_and_go_in_the_middle_of_batches),
        WITH_STORE(memory_is_counted_bounded_and_given_back),
        WITH_STORE(without_memory_the_other_partitions_go_on),
        WITH_STORE(without_memory_for_it_nothing_is_compressed),
        WITH_STORE(codecs_that_are_not_there_are_named),
        WITH_STORE(lies_are_told),
        WITH_STORE(impossible_headers_are_told),
        WITH_STORE(times_are_found_in_compressed_batches),
        WITH_STORE(a_topic_may_have_the_time_of_the_append),
        WITH_STORE(workers_get_whole_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
