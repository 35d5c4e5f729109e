/*
 * Topics as streams: all that belongs to a record comes out as it went in, a stream
 * that was cut short goes on, an import that was interrupted is done again and stores
 * every record once, and no stream is believed that is not whole.
 */
#include "faults.h"
#include "records.h"
#include "tapes.h"
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- A stream in memory ---- */

static int keep_tape(void *arg, uint64_t size)
{
    struct tape *tape = arg;

    assert_true(size <= tape->size);
    tape->size = size;
    tape->kept = size;
    tape->keeps++;
    return tape->keeps < 0 ? -1 : 0;
}

static int export_to(rill *store, const char *topic, struct tape *tape)
{
    return rill_export(store, topic, NULL, write_tape, tape);
}

static int resume_to(rill *store, const char *topic, struct tape *tape)
{
    rill_export_options options = {
        .size = sizeof options, .resume = read_tape, .keep = keep_tape, .resume_arg = tape};

    tape->at = 0;
    return rill_export(store, topic, &options, write_tape, tape);
}

/* ---- Two topics are the same ---- */

static bool equal(rill_bytes a, rill_bytes b)
{
    return (a.data == NULL) == (b.data == NULL) && a.size == b.size &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void same_record(const rill_record *a, const rill_record *b)
{
    rill_header one;
    rill_header two;

    if (!equal(a->key, b->key) || !equal(a->value, b->value))
        fail_msg("records %d and %d differ", (int)a->offset, (int)b->offset);
    assert_int_equal(a->timestamp_ms, b->timestamp_ms);
    assert_int_equal(a->header_count, b->header_count);
    for (size_t i = 0; i < a->header_count; i++) {
        OK(rill_record_header(a, i, &one));
        OK(rill_record_header(b, i, &two));
        assert_true(equal(one.name, two.name) && equal(one.value, two.value));
    }
}

/* Partition `partition` of b has from offset `from` on the records of a from `at` on,
 * and nothing behind them. Where they are the same, offsets are. */
static void same_records(rill *store_a, const char *a, rill *store_b, const char *b,
                         int32_t partition, int64_t at, int64_t from)
{
    rill_consumer *one = test_consumer(store_a, a, partition, at);
    rill_consumer *two = test_consumer(store_b, b, partition, from);
    rill_record x;
    rill_record y;
    size_t m;
    size_t n;

    for (;;) {
        OK(rill_consumer_poll(one, 0, &x, 1, &m));
        OK(rill_consumer_poll(two, 0, &y, 1, &n));
        assert_int_equal(m, n);
        if (m == 0) break;
        same_record(&x, &y);
        if (at == from) assert_int_equal(x.offset, y.offset);
        assert_int_equal(y.partition, partition);
    }
    OK(rill_consumer_close(one, 0));
    OK(rill_consumer_close(two, 0));
}

static void same_topic(rill *store_a, const char *a, rill *store_b, const char *b,
                       int partition_count)
{
    rill_topic_info one;
    rill_topic_info two;

    OK(rill_topic_describe(store_a, a, &one));
    OK(rill_topic_describe(store_b, b, &two));
    assert_memory_equal(&one.options, &two.options, sizeof one.options);
    for (int32_t p = 0; p < partition_count; p++) {
        rill_partition_info x;
        rill_partition_info y;
        OK(rill_partition_describe(store_a, a, p, &x));
        OK(rill_partition_describe(store_b, b, p, &y));
        assert_int_equal(x.log_start, y.log_start);
        assert_int_equal(x.log_end, y.log_end);
        same_records(store_a, a, store_b, b, p, x.log_start, x.log_start);
    }
}

/* Records of many shapes. */
static void fill(rill *store, const char *topic, int32_t partition, int first, int count)
{
    static char big[400000];
    rill_producer_options options = {.size = sizeof options, .topic = topic};
    rill_producer *producer;

    memset(big, 'b', sizeof big);
    OK(rill_producer_open(store, &options, &producer));
    for (int n = first; n < first + count; n++) {
        rill_header headers[3] = {
            {{"a", 1}, {"1", 1}}, {{"a", 1}, {NULL, 0}}, {{"", 0}, {"", 0}}};
        rill_record record = RILL_RECORD_INIT;
        char key[32];

        record.partition = partition;
        record.key = (rill_bytes){key, (size_t)snprintf(key, sizeof key, "key %d", n)};
        record.timestamp_ms = 1700000000000 + (int64_t)n * (n % 7 == 0 ? 3000000 : 10);
        if (n % 5 == 1) record.key = (rill_bytes){NULL, 0};
        if (n % 5 == 2) record.key = (rill_bytes){"", 0};
        if (n % 3 != 0) record.value = (rill_bytes){big, (size_t)(n * 37 % 5000)};
        if (n % 50 == 49) record.value = (rill_bytes){big, sizeof big};
        record.headers = headers;
        record.header_count = (size_t)n % 4;
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
}

static void make(rill *store, const char *topic, uint32_t partition_count)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = partition_count,
                                  .segment_bytes = 1 << 20,
                                  .segment_ms = 12345678,
                                  .max_message_bytes = 500000};

    OK(rill_topic_create(store, topic, &options));
}

static int64_t records_in(rill *store, const char *topic, int32_t partition)
{
    rill_consumer *consumer = test_consumer(store, topic, partition, RILL_OFFSET_EARLIEST);
    rill_record records[50];
    int64_t sum = 0;
    size_t count;

    do {
        OK(rill_consumer_poll(consumer, 0, records, 50, &count));
        sum += (int64_t)count;
    } while (count > 0);
    OK(rill_consumer_close(consumer, 0));
    return sum;
}

/* ---- Out and in ---- */

static void all_that_belongs_to_a_record_is_kept(void **state)
{
    rill *store = *state;
    struct tape tape = {.piece = 777};
    uint64_t imported = 77;
    rill_import_options options = {
        .size = sizeof options, .imported = &imported, .compression = RILL_COMPRESSION_NONE};

    make(store, "t", 3);
    fill(store, "t", 0, 0, 200);
    fill(store, "t", 2, 1000, 60);
    OK(export_to(store, "t", &tape));
    OK(rill_import(store, "copy", &options, read_tape, &tape));
    assert_int_equal(imported, 260);
    same_topic(store, "t", store, "copy", 3);
    rewind_tape(&tape);
    /* Into another store, under its own name; out of that the same bytes but for the ids. */
    OK(export_to(store, "t", &tape));
    OK(rill_topic_delete(store, "t"));
    OK(import_from(store, NULL, &tape));
    same_topic(store, "copy", store, "t", 3);
    rewind_tape(&tape);
    make(store, "empty", 1);
    OK(export_to(store, "empty", &tape));
    OK(import_from(store, "empty too", &tape) == RILL_ERR_INVALID ? 0 : -1);
    OK(import_from(store, "empty.too", &tape));
    same_topic(store, "empty", store, "empty.too", 1);
    rewind_tape(&tape);
}

/* Also of a partition that has lost its first records, and has none left. */
static void offsets_are_kept_in_new_partitions(void **state)
{
    rill *store = *state;
    struct tape tape = {0};

    make(store, "t", 3);
    for (int p = 0; p < 3; p++) fill(store, "t", p, 0, 100);
    OK(rill_partition_delete_records(store, "t", 0, 55, NULL));
    OK(rill_partition_delete_records(store, "t", 1, RILL_OFFSET_LATEST, NULL));
    OK(export_to(store, "t", &tape));
    OK(import_from(store, "copy", &tape));
    same_topic(store, "t", store, "copy", 3);
    fill(store, "copy", 1, 0, 1);
    assert_int_equal(log_end_of(store, "copy", 1), 101);
    /* The log goes on so after it was recovered. */
    OK(rill_close(store));
    *state = store = test_store_open();
    assert_int_equal(records_in(store, "copy", 0), 45);
    assert_int_equal(records_in(store, "copy", 1), 1);
    rewind_tape(&tape);
}

static void only_ranges_are_exported(void **state)
{
    rill *store = *state;
    rill_export_range ranges[] = {{2, 0, 10, 20}, {0, 0, RILL_OFFSET_EARLIEST, 50}};
    rill_export_options options = {.size = sizeof options, .ranges = ranges, .range_count = 2};
    rill_partition_info info;
    struct tape tape = {0};

    make(store, "t", 3);
    for (int p = 0; p < 3; p++) fill(store, "t", p, 0, 100);
    OK(rill_partition_delete_records(store, "t", 0, 7, NULL));
    OK(rill_export(store, "t", &options, write_tape, &tape));
    OK(import_from(store, "copy", &tape));
    assert_int_equal(records_in(store, "copy", 0), 43);
    assert_int_equal(records_in(store, "copy", 1), 0);
    assert_int_equal(records_in(store, "copy", 2), 10);
    OK(rill_partition_describe(store, "copy", 2, &info));
    assert_int_equal(info.log_start, 10);
    assert_int_equal(info.log_end, 20);
    rewind_tape(&tape);
    ranges[0] = (rill_export_range){1, 0, 100, RILL_OFFSET_LATEST}; /* nothing yet */
    options.range_count = 1;
    OK(rill_export(store, "t", &options, write_tape, &tape));
    options.resume = read_tape;
    options.keep = keep_tape;
    options.resume_arg = &tape;
    fill(store, "t", 1, 100, 5);
    OK(rill_export(store, "t", &options, write_tape, &tape));
    OK(import_from(store, "late", &tape));
    assert_int_equal(records_in(store, "late", 1), 5);
    rewind_tape(&tape);
}

static void ranges_must_make_sense(void **state)
{
    static const struct {
        rill_export_range ranges[2];
        size_t count;
        int code;
    } wrong[] = {
        {{{0, 0, 0, 101}}, 1, RILL_ERR_RANGE},
        {{{0, 0, 101, RILL_OFFSET_LATEST}}, 1, RILL_ERR_RANGE},
        {{{0, 0, 50, 49}}, 1, RILL_ERR_RANGE},
        {{{0, 0, -5, 49}}, 1, RILL_ERR_RANGE},
        {{{0, 0, 0, -7}}, 1, RILL_ERR_RANGE},
        {{{2, 0, 0, 0}}, 1, RILL_ERR_NOT_FOUND},
        {{{-1, 0, 0, 0}}, 1, RILL_ERR_NOT_FOUND},
        {{{0, 0, 0, 5}, {0, 0, 7, 9}}, 2, RILL_ERR_INVALID},
        {{{0, 3, 0, 5}}, 1, RILL_ERR_INVALID},
        {{{0, 0, 0, 5}}, 0, RILL_ERR_INVALID},
        {{{0, 0, 0, 5}}, 3, RILL_ERR_INVALID},
    };
    rill_export_options options = {.size = sizeof options};
    rill *store = *state;
    struct tape tape = {0};

    make(store, "t", 2);
    fill(store, "t", 0, 0, 100);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        options.ranges = wrong[i].ranges;
        options.range_count = wrong[i].count;
        FAILS(wrong[i].code, rill_export(store, "t", &options, write_tape, &tape));
    }
    options.ranges = NULL;
    FAILS(RILL_ERR_NOT_FOUND, rill_export(store, "none", &options, write_tape, &tape));
    FAILS(RILL_ERR_INVALID, rill_export(store, NULL, &options, write_tape, &tape));
    FAILS(RILL_ERR_INVALID, rill_export(store, "t", &options, NULL, &tape));
    FAILS(RILL_ERR_INVALID, rill_import(store, "t", NULL, NULL, &tape));
    options.resume = read_tape;
    FAILS(RILL_ERR_INVALID, rill_export(store, "t", &options, write_tape, &tape));
    options.resume = NULL;
    options.flags = 1;
    FAILS(RILL_ERR_INVALID, rill_export(store, "t", &options, write_tape, &tape));
    assert_int_equal(tape.size, 0);
}

static int compact_meanwhile(void *arg, const rill_progress *progress)
{
    rill_compact_report report = {.size = sizeof report};

    (void)progress;
    FAILS(RILL_ERR_BUSY, rill_partition_compact(arg, "t", 0, &report));
    return 0;
}

/* Gaps of a compacted topic are kept; while a copy is made nothing is compacted. */
static void a_compacted_topic_keeps_its_offsets(void **state)
{
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = 1 << 20, .cleanup_policy = RILL_CLEANUP_COMPACT};
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_compact_report report = {.size = sizeof report};
    rill *store = *state;
    rill_copy_options copy = {
        .size = sizeof copy, .progress = compact_meanwhile, .progress_arg = store};
    struct tape tape = {0};
    rill_producer *producer;

    OK(rill_topic_create(store, "t", &options));
    OK(rill_producer_open(store, &out, &producer));
    for (int n = 0; n < 200; n++) {
        rill_record record = RILL_RECORD_INIT;
        char key[16];
        record.key = (rill_bytes){key, (size_t)snprintf(key, sizeof key, "%d", n * n % 37)};
        record.value = (rill_bytes){key, record.key.size};
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_snapshot(store, test_path("copy"), &copy));
    OK(rill_partition_compact(store, "t", 0, &report));
    assert_true(records_in(store, "t", 0) < 100);
    OK(export_to(store, "t", &tape));
    OK(import_from(store, "again", &tape));
    same_topic(store, "t", store, "again", 1);
    OK(import_from(store, "again", &tape));
    same_topic(store, "t", store, "again", 1);
    rewind_tape(&tape);
}

/* ---- Cut short ---- */

/* At any byte. What is written then is what would have been written at once. */
static void an_export_that_was_cut_short_goes_on(void **state)
{
    rill *store = *state;
    struct tape whole = {0};
    struct tape tape = {0};

    make(store, "t", 2);
    fill(store, "t", 0, 0, 120);
    fill(store, "t", 1, 0, 70);
    OK(export_to(store, "t", &whole));
    for (size_t cut = 0; cut <= whole.size; cut += 1 + (cut > 700) * 4999) {
        write_tape(&tape, whole.data, cut);
        OK(resume_to(store, "t", &tape));
        assert_int_equal(tape.keeps, 1);
        assert_true(tape.kept <= cut && cut - tape.kept < 700000);
        assert_int_equal(tape.size, whole.size);
        if (tape.kept > 0) assert_memory_equal(tape.data, whole.data, whole.size);
        rewind_tape(&tape);
    }
    /* As a file system leaves it that had no time: zeros, or a frame without its bytes. */
    write_tape(&tape, whole.data, whole.size - 20000);
    memset(tape.data + tape.size - 100, 0, 100);
    OK(resume_to(store, "t", &tape));
    assert_memory_equal(tape.data, whole.data, whole.size);
    rewind_tape(&tape);
    OK(resume_to(store, "t", &tape)); /* there was nothing */
    tape.data = realloc(tape.data, tape.size + 50000);
    memset(tape.data + tape.size, 0, 50000);
    tape.size += 50000;
    OK(resume_to(store, "t", &tape));
    assert_int_equal(tape.size, whole.size);
    OK(import_from(store, "copy", &tape));
    same_topic(store, "t", store, "copy", 2);
    rewind_tape(&tape);
    rewind_tape(&whole);
}

static void a_finished_export_gets_what_has_come_since(void **state)
{
    rill *store = *state;
    struct tape tape = {0};
    size_t size;

    make(store, "t", 2);
    fill(store, "t", 0, 0, 20);
    OK(export_to(store, "t", &tape));
    size = tape.size;
    OK(resume_to(store, "t", &tape));
    assert_int_equal(tape.size, size);
    OK(import_from(store, "copy", &tape));
    for (int i = 1; i < 5; i++) {
        fill(store, "t", i % 2, i * 20, 20);
        if (i == 3) OK(rill_partition_delete_records(store, "t", 1, RILL_OFFSET_LATEST, NULL));
        OK(resume_to(store, "t", &tape));
        if (i % 2 == 0) OK(import_from(store, "copy", &tape));
    }
    OK(import_from(store, "copy", &tape));
    assert_int_equal(log_end_of(store, "copy", 0), 60);
    assert_int_equal(records_in(store, "copy", 0), 60);
    assert_int_equal(log_end_of(store, "copy", 1), 40);
    same_records(store, "t", store, "copy", 0, 0, 0);
    OK(import_from(store, "copy", &tape));
    assert_int_equal(records_in(store, "copy", 0), 60);
    rewind_tape(&tape);
}

static void only_its_own_stream_goes_on(void **state)
{
    rill *store = *state;
    rill_export_range range = {0, 0, 0, RILL_OFFSET_LATEST};
    rill_export_options options = {.size = sizeof options,
                                   .ranges = &range,
                                   .range_count = 1,
                                   .resume = read_tape,
                                   .keep = keep_tape};
    struct tape tape = {0};
    struct tape broken = {0};

    make(store, "t", 2);
    make(store, "u", 2);
    fill(store, "t", 0, 0, 100);
    OK(export_to(store, "t", &tape));
    FAILS(RILL_ERR_INVALID, resume_to(store, "u", &tape));
    test_says("another topic");
    tape.at = 0;
    options.resume_arg = &tape;
    FAILS(RILL_ERR_INVALID, rill_export(store, "t", &options, write_tape, &tape));
    test_says("2 partitions");
    OK(rill_topic_delete(store, "t"));
    make(store, "t", 2);
    FAILS(RILL_ERR_INVALID, resume_to(store, "t", &tape));
    test_says("deleted");
    /* Damage is not the end of it. */
    write_tape(&broken, tape.data, tape.size);
    broken.data[1000] ^= 1;
    FAILS(RILL_ERR_CORRUPT, resume_to(store, "t", &broken));
    test_says("checksum");
    write_tape(&broken, tape.data, tape.size); /* one behind the other */
    broken.data[1000] ^= 1;
    FAILS(RILL_ERR_CORRUPT, resume_to(store, "t", &broken));
    test_says("another number");
    assert_int_equal(broken.keeps, 0);
    /* What the callbacks say. */
    tape.most = 1000;
    tape.code = 42;
    assert_int_equal(resume_to(store, "t", &tape), 42);
    tape.most = 0;
    tape.keeps = -100;
    tape.size = 0;
    assert_int_equal(resume_to(store, "t", &tape), -1);
    tape.most = 10;
    assert_int_equal(export_to(store, "t", &tape), 42);
    rewind_tape(&tape);
    rewind_tape(&broken);
}

static int no_more(void *arg, const rill_progress *progress)
{
    struct tape *tape = arg;

    assert_string_equal(progress->what, "t");
    assert_true(progress->done > 0);
    assert_true(progress->total == 0 || progress->total >= progress->done);
    return tape->keeps++ == 1 ? 7 : 0;
}

static void whoever_is_told_may_stop_it(void **state)
{
    rill *store = *state;
    struct tape told = {0};
    struct tape tape = {0};
    rill_export_options out = {.size = sizeof out, .progress = no_more, .progress_arg = &told};
    rill_import_options in = {.size = sizeof in, .progress = no_more, .progress_arg = &told};

    make(store, "t", 1);
    fill(store, "t", 0, 0, 300);
    assert_int_equal(rill_export(store, "t", &out, write_tape, &tape), 7);
    OK(resume_to(store, "t", &tape));
    told.keeps = 0;
    tape.at = 0;
    assert_int_equal(rill_import(store, "copy", &in, read_tape, &tape), 7);
    assert_true(records_in(store, "copy", 0) > 0);
    OK(import_from(store, "copy", &tape));
    same_topic(store, "t", store, "copy", 1);
    rewind_tape(&tape);
}

/* ---- Once ---- */

/* Others, whose records must stay, and are not taken for those of the stream. */
static void append_foreign(rill *store, const char *topic, int n)
{
    rill_producer_options options = {.size = sizeof options, .topic = topic};
    rill_record record = RILL_RECORD_INIT;
    rill_producer *producer;
    char value[32];

    OK(rill_producer_open(store, &options, &producer));
    record.partition = 0;
    record.key = (rill_bytes){"foreign", 7};
    record.value = (rill_bytes){value, (size_t)snprintf(value, sizeof value, "%d", n)};
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
}

/* The topic has the records of t once, in order, and so many foreign ones. */
static void has_once(rill *store, const char *topic, int foreign)
{
    rill_consumer *one = test_consumer(store, "t", 0, RILL_OFFSET_EARLIEST);
    rill_consumer *two = test_consumer(store, topic, 0, RILL_OFFSET_EARLIEST);
    rill_record x;
    rill_record y;
    size_t n;

    for (;;) {
        OK(rill_consumer_poll(two, 0, &y, 1, &n));
        if (n == 0) break;
        if (y.key.size == 7 && memcmp(y.key.data, "foreign", 7) == 0) {
            foreign--;
            continue;
        }
        OK(rill_consumer_poll(one, 0, &x, 1, &n));
        assert_int_equal(n, 1);
        same_record(&x, &y);
    }
    OK(rill_consumer_poll(one, 0, &x, 1, &n));
    assert_int_equal(n, 0);
    assert_int_equal(foreign, 0);
    OK(rill_consumer_close(one, 0));
    OK(rill_consumer_close(two, 0));
}

/* The stream breaks off after so many bytes, again and again, and begins anew. */
static void an_import_that_was_broken_off_is_done_again(void **state)
{
    rill *store = *state;
    struct tape tape = {.code = 11};

    make(store, "t", 1);
    fill(store, "t", 0, 0, 150);
    OK(export_to(store, "t", &tape));
    for (int before = 0; before < 2; before++) {
        const char *topic = before == 0 ? "new" : "old";
        int foreign = 0;
        if (before == 1) {
            make(store, "old", 1);
            append_foreign(store, "old", foreign++);
        }
        for (size_t most = 1; most < tape.size + 5000; most += 1 + most / 3) {
            tape.most = most;
            assert_int_equal(import_from(store, topic, &tape), 11);
            if (most > 300000 && before == 1) append_foreign(store, topic, foreign++);
        }
        tape.most = 0;
        OK(import_from(store, topic, &tape));
        has_once(store, topic, foreign);
        OK(import_from(store, topic, &tape));
        has_once(store, topic, foreign);
        if (before == 0) same_topic(store, "t", store, "new", 1);
    }
    rewind_tape(&tape);
}

/* As if the process had died at the n-th call of the system. */
static void an_import_that_died_is_done_again(void **state)
{
    rill *store = *state;
    struct tape tape = {0};
    int rc = -1;
    int foreign = 0;

    make(store, "t", 1);
    fill(store, "t", 0, 0, 150);
    OK(export_to(store, "t", &tape));
    OK(rill_sync(store, WAIT_MS));
    for (uint64_t n = 1; rc != 0; n += 1 + n / 3) {
        faults_fail(FAULT_ANY & ~(unsigned)(FAULT_FDATASYNC | FAULT_FSYNC), NULL, n, EIO,
                    FAULT_DEAD);
        rc = import_from(store, "copy", &tape);
        faults_clear();
        OK(rill_close(store));
        *state = store = test_store_open();
        if (n > 100) append_foreign(store, "copy", foreign++);
    }
    has_once(store, "copy", foreign);
    rewind_tape(&tape);
}

static _Atomic uint64_t *how_far;

static int read_and_tell(void *arg, void *data, size_t size, size_t *got)
{
    atomic_fetch_add(how_far, 1);
    return read_tape(arg, data, size, got);
}

static void a_killed_import_is_done_again(void **state)
{
    rill *store = *state;
    struct tape tape = {.piece = 3000};
    int status;

    how_far = test_shared(4096);
    make(store, "t", 1);
    fill(store, "t", 0, 0, 200);
    OK(export_to(store, "t", &tape));
    for (uint64_t n = 5;; n += n / 3) {
        pid_t pid;
        atomic_store(how_far, 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            rill *mine;
            if (rill_open(test_path("store"), NULL, &mine) != 0) _exit(1);
            _exit(rill_import(mine, "copy", NULL, read_and_tell, &tape) == 0 ? 0 : 2);
        }
        while (atomic_load(how_far) < n && waitpid(pid, &status, WNOHANG) == 0) {}
        kill(pid, SIGKILL);
        if (waitpid(pid, &status, 0) == -1 && status == 0) break;
        if (n > 100000) break;
    }
    OK(import_from(store, "copy", &tape));
    has_once(store, "copy", 0);
    same_topic(store, "t", store, "copy", 1);
    munmap(how_far, 4096);
    rewind_tape(&tape);
}

static void a_forgotten_import_begins_anew(void **state)
{
    rill *store = *state;
    struct tape tape = {0};
    char group[RILL_TOPIC_NAME_MAX + 1] = "__import.";
    rill_group_reset_options options = {.size = sizeof options};
    rill_position position = {.topic = "copy", .metadata = "mine"};

    make(store, "t", 1);
    fill(store, "t", 0, 0, 10);
    OK(export_to(store, "t", &tape));
    for (int i = 0; i < 16; i++) snprintf(group + 9 + i * 2, 3, "%02x", tape.data[48 + i]);
    OK(import_from(store, "copy", &tape));
    OK(rill_group_delete(store, group));
    OK(import_from(store, "copy", &tape));
    assert_int_equal(records_in(store, "copy", 0), 20);
    same_records(store, "t", store, "copy", 0, 0, 10);
    /* A group of that name that is something else. */
    options.positions = &position;
    options.position_count = 1;
    options.to = RILL_RESET_TO_EARLIEST;
    OK(rill_group_reset(store, group, &options));
    FAILS(RILL_ERR_INVALID, import_from(store, "copy", &tape));
    test_says("delete it");
    rewind_tape(&tape);
}

/* ---- What is not believed ---- */

static void a_damaged_stream_is_imported_up_to_there(void **state)
{
    rill *store = *state;
    struct tape tape = {0};
    struct tape broken = {0};
    int64_t before = 0;
    rill_topic_info info;

    make(store, "t", 1);
    fill(store, "t", 0, 0, 150);
    OK(export_to(store, "t", &tape));
    for (size_t at = 0; at < tape.size; at += at < 700 ? 7 : 49999) {
        int rc;
        write_tape(&broken, tape.data, tape.size);
        broken.data[at] ^= 0x10;
        rc = import_from(store, "copy", &broken);
        assert_int_equal(rc, RILL_ERR_CORRUPT);
        test_says("frame");
        if (rill_topic_describe(store, "copy", &info) == 0) {
            assert_true(records_in(store, "copy", 0) >= before);
            before = records_in(store, "copy", 0);
        }
        rewind_tape(&broken);
    }
    assert_true(before > 0);
    for (size_t size = 0; size < tape.size; size += 1 + size / 2) {
        write_tape(&broken, tape.data, size);
        FAILS(RILL_ERR_CORRUPT, import_from(store, "copy", &broken));
        rewind_tape(&broken);
    }
    OK(import_from(store, "copy", &tape));
    same_topic(store, "t", store, "copy", 1);
    rewind_tape(&tape);
}

static void a_topic_may_refuse_records(void **state)
{
    rill_topic_options small = {.size = sizeof small, .max_message_bytes = 20000};
    rill *store = *state;
    struct tape tape = {0};

    make(store, "t", 2);
    fill(store, "t", 0, 0, 60);
    OK(export_to(store, "t", &tape));
    OK(rill_topic_create(store, "small", &small));
    FAILS(RILL_ERR_INVALID, import_from(store, "small", &tape));
    test_says("add some");
    small.partition_count = 3;
    OK(rill_topic_create(store, "large", &small));
    FAILS(RILL_ERR_TOO_BIG, import_from(store, "large", &tape));
    test_says("offset 49");
    assert_int_equal(records_in(store, "large", 0), 49);
    OK(rill_topic_delete(store, "large"));
    small.max_message_bytes = 0;
    small.timestamp_type = RILL_TIMESTAMP_APPEND;
    OK(rill_topic_create(store, "large", &small));
    OK(import_from(store, "large", &tape));
    OK(import_from(store, "large", &tape));
    assert_int_equal(records_in(store, "large", 0), 60);
    rewind_tape(&tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(all_that_belongs_to_a_record_is_kept),
        WITH_STORE(offsets_are_kept_in_new_partitions),
        WITH_STORE(only_ranges_are_exported),
        WITH_STORE(a_compacted_topic_keeps_its_offsets),
        WITH_STORE(ranges_must_make_sense),
        WITH_STORE(an_export_that_was_cut_short_goes_on),
        WITH_STORE(a_finished_export_gets_what_has_come_since),
        WITH_STORE(only_its_own_stream_goes_on),
        WITH_STORE(whoever_is_told_may_stop_it),
        WITH_STORE(an_import_that_was_broken_off_is_done_again),
        WITH_STORE(an_import_that_died_is_done_again),
        WITH_STORE(a_killed_import_is_done_again),
        WITH_STORE(a_forgotten_import_begins_anew),
        WITH_STORE(a_damaged_stream_is_imported_up_to_there),
        WITH_STORE(a_topic_may_refuse_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
