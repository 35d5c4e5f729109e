/*
 * Compressed batches, as a program that reads sees them: what is read is what was
 * written, from anywhere, for as long as records live, also by workers; memory is
 * bounded; and what cannot be decompressed is told with its place, and leaves all else
 * alone.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/batch.h"
#include "log/format.h"
#include "texts.h"

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
        WITH_STORE(records_live_until_the_next_poll),
        WITH_STORE(any_record_can_be_sought),
        WITH_STORE(partitions_come_and_go_in_the_middle_of_batches),
        WITH_STORE(memory_is_counted_bounded_and_given_back),
        WITH_STORE(without_memory_the_other_partitions_go_on),
        WITH_STORE(codecs_that_are_not_there_are_named),
        WITH_STORE(lies_are_told),
        WITH_STORE(impossible_headers_are_told),
        WITH_STORE(workers_get_whole_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
