/*
 * The configuration of topics: every option is kept, has its default and its range,
 * and is checked together with the others; it changes while the topic is used, in
 * every process; partitions are added; what is deleted or not used is let go.
 */
#include "checks.h"
#include "engine/store.h"
#include "reader.h"
#include "records.h"
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void options_have_defaults(void **state)
{
    rill_topic_info info;

    OK(rill_topic_create(*state, "t", NULL));
    OK(rill_topic_describe(*state, "t", &info));
    assert_int_equal(info.options.size, sizeof info.options);
    assert_int_equal(info.options.cleanup_policy, RILL_CLEANUP_DELETE);
    assert_int_equal(info.options.timestamp_type, RILL_TIMESTAMP_CREATE);
    assert_int_equal(info.options.compression, RILL_COMPRESSION_DEFAULT);
    assert_int_equal(info.options.segment_jitter_ms, 0);
    assert_int_equal(info.options.retention_ms, 0);
    assert_int_equal(info.options.retention_bytes, 0);
    assert_int_equal(info.options.delete_retention_ms, 24 * 3600 * 1000);
    assert_int_equal(info.options.min_compaction_lag_ms, 0);
    assert_true(info.options.min_cleanable_dirty_ratio == 0.5);
}

static void options_are_kept(void **state)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = 3,
                                  .segment_ms = 1000,
                                  .segment_bytes = 128 << 10,
                                  .max_message_bytes = 5000,
                                  .index_interval_bytes = 512,
                                  .cleanup_policy = RILL_CLEANUP_COMPACT | RILL_CLEANUP_DELETE,
                                  .timestamp_type = RILL_TIMESTAMP_APPEND,
                                  .compression = RILL_COMPRESSION_NONE,
                                  .segment_jitter_ms = 1000,
                                  .retention_ms = INT64_MAX,
                                  .retention_bytes = 1,
                                  .delete_retention_ms = 2,
                                  .min_compaction_lag_ms = 3,
                                  .min_cleanable_dirty_ratio = 1};
    rill_topic_info info;

    OK(rill_topic_create(*state, "t", &options));
    OK(rill_close(*state));
    *state = test_store_open();
    OK(rill_topic_describe(*state, "t", &info));
    assert_memory_equal(&info.options, &options, sizeof options);
}

/* A caller that was compiled with the header of 0.1. */
static void a_shorter_struct_is_enough(void **state)
{
    rill_topic_options options = {.size = 32, .retention_ms = 77, .partition_count = 2};
    rill_topic_info info;

    OK(rill_topic_create(*state, "t", &options));
    OK(rill_topic_describe(*state, "t", &info));
    assert_int_equal(info.options.partition_count, 2);
    assert_int_equal(info.options.retention_ms, 0);
}

static void is_refused(rill *store, const rill_topic_options *options, const char *name)
{
    rill_topic_info info;

    FAILS(RILL_ERR_INVALID, rill_topic_create(store, "t", options));
    if (strstr(rill_errmsg(), name) == NULL) fail_msg("%s: %s", name, rill_errmsg());
    FAILS(RILL_ERR_NOT_FOUND, rill_topic_describe(store, "t", &info));
}

static void options_out_of_range_are_named(void **state)
{
#define REFUSED(field, value)                                                                    \
    do {                                                                                         \
        rill_topic_options options = {.size = sizeof options, .field = value};                   \
        is_refused(*state, &options, #field);                                                    \
    } while (0)
    REFUSED(cleanup_policy, 8);
    REFUSED(timestamp_type, 3);
    REFUSED(compression, 2);
    REFUSED(compression, 5);
    REFUSED(segment_jitter_ms, 7 * 24 * 3600 * 1000 + 1);
    REFUSED(retention_ms, UINT64_C(1) << 63);
    REFUSED(retention_bytes, UINT64_C(1) << 63);
    REFUSED(delete_retention_ms, UINT64_C(1) << 63);
    REFUSED(min_compaction_lag_ms, UINT64_C(1) << 63);
    REFUSED(min_cleanable_dirty_ratio, -0.1);
    REFUSED(min_cleanable_dirty_ratio, 1.01);
    REFUSED(min_cleanable_dirty_ratio, NAN);
#undef REFUSED
}

/* ---- Altering ---- */

/* By a process of its own, which has seen nothing of this one's. */
static void elsewhere(int (*work)(rill *store))
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        rill *store = NULL;
        int rc = rill_open(test_path("store"), NULL, &store);
        if (rc == 0) rc = work(store);
        if (rc != 0) fprintf(stderr, "elsewhere: %d, %s\n", rc, rill_errmsg());
        if (store != NULL) rill_close(store);
        _exit(rc == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static rill_topic_options options_of(rill *store, const char *topic)
{
    rill_topic_info info;

    OK(rill_topic_describe(store, topic, &info));
    return info.options;
}

static void only_what_is_named_is_altered(void **state)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = 2,
                                  .segment_ms = 1000,
                                  .segment_jitter_ms = 10,
                                  .retention_bytes = 5};
    rill_topic_options wanted;

    OK(rill_topic_create(*state, "t", &options));
    wanted = options_of(*state, "t");
    options = (rill_topic_options){.size = sizeof options,
                                   .segment_ms = 77,
                                   .retention_ms = 88,
                                   .min_cleanable_dirty_ratio = 0.25,
                                   .partition_count = 9};
    OK(rill_topic_alter(*state, "t", RILL_TOPIC_RETENTION_MS, &options));
    wanted.retention_ms = 88;
    options = options_of(*state, "t");
    assert_memory_equal(&options, &wanted, sizeof wanted);
    OK(rill_topic_alter(*state, "t", RILL_TOPIC_SEGMENT_MS | RILL_TOPIC_RETENTION_BYTES, NULL));
    wanted.segment_ms = 7 * 24 * 3600 * 1000; /* the default */
    wanted.retention_bytes = 0;
    options = options_of(*state, "t");
    assert_memory_equal(&options, &wanted, sizeof wanted);
    OK(rill_close(*state));
    *state = test_store_open();
    options = options_of(*state, "t");
    assert_memory_equal(&options, &wanted, sizeof wanted);
}

static void every_option_is_altered_by_its_bit(void **state)
{
#define ALTERED(bit, field, value)                                                               \
    do {                                                                                         \
        rill_topic_options options = {.size = sizeof options, .field = value};                   \
        rill_topic_options before = options_of(*state, "t");                                     \
        OK(rill_topic_alter(*state, "t", bit, &options));                                        \
        options = options_of(*state, "t");                                                       \
        assert_true(options.field == (value));                                                   \
        options.field = before.field;                                                            \
        assert_memory_equal(&options, &before, sizeof before);                                   \
    } while (0)
    test_topic(*state, "t", 1);
    ALTERED(RILL_TOPIC_SEGMENT_MS, segment_ms, 5000);
    ALTERED(RILL_TOPIC_SEGMENT_BYTES, segment_bytes, 128 << 10);
    ALTERED(RILL_TOPIC_MAX_MESSAGE_BYTES, max_message_bytes, 3000);
    ALTERED(RILL_TOPIC_CLEANUP_POLICY, cleanup_policy, RILL_CLEANUP_CONSUMED);
    ALTERED(RILL_TOPIC_TIMESTAMP_TYPE, timestamp_type, RILL_TIMESTAMP_APPEND);
    ALTERED(RILL_TOPIC_COMPRESSION, compression, RILL_COMPRESSION_NONE);
    ALTERED(RILL_TOPIC_SEGMENT_JITTER_MS, segment_jitter_ms, 4000);
    ALTERED(RILL_TOPIC_RETENTION_MS, retention_ms, 1);
    ALTERED(RILL_TOPIC_RETENTION_BYTES, retention_bytes, 2);
    ALTERED(RILL_TOPIC_DELETE_RETENTION_MS, delete_retention_ms, 3);
    ALTERED(RILL_TOPIC_MIN_COMPACTION_LAG_MS, min_compaction_lag_ms, 4);
    ALTERED(RILL_TOPIC_MIN_CLEANABLE_DIRTY_RATIO, min_cleanable_dirty_ratio, 0.125);
#undef ALTERED
}

static void an_alteration_is_checked_with_what_stays(void **state)
{
    rill_topic_options options = {.size = sizeof options, .segment_ms = 1000};
    rill_topic_options before;
    rill *store = *state;

    test_topic(store, "t", 1); /* segments of 64 KiB */
    OK(rill_topic_alter(store, "t", RILL_TOPIC_SEGMENT_MS, &options));
    before = options_of(store, "t");
#define NOT_ALTERED(bits, says_what, ...)                                                        \
    do {                                                                                         \
        options = (rill_topic_options){.size = sizeof options, __VA_ARGS__};                     \
        FAILS(RILL_ERR_INVALID, rill_topic_alter(store, "t", bits, &options));                   \
        test_says(says_what);                                                                    \
        options = options_of(store, "t");                                                        \
        assert_memory_equal(&options, &before, sizeof before);                                   \
    } while (0)
    NOT_ALTERED(RILL_TOPIC_PARTITION_COUNT, "rill_topic_add_partitions", .partition_count = 2);
    NOT_ALTERED(RILL_TOPIC_INDEX_INTERVAL_BYTES, "index_interval_bytes",
                .index_interval_bytes = 512);
    NOT_ALTERED(0, "fields is 0", .segment_ms = 5);
    NOT_ALTERED(1u << 14, "0x4000", .segment_ms = 5);
    NOT_ALTERED(RILL_TOPIC_RETENTION_MS, "retention_ms", .retention_ms = UINT64_MAX);
    NOT_ALTERED(RILL_TOPIC_MAX_MESSAGE_BYTES, "61440", .max_message_bytes = 61441);
    NOT_ALTERED(RILL_TOPIC_MAX_MESSAGE_BYTES | RILL_TOPIC_SEGMENT_MS, "topic t",
                .max_message_bytes = 61441, .segment_ms = 5);
    NOT_ALTERED(RILL_TOPIC_SEGMENT_JITTER_MS, "which is 1000", .segment_jitter_ms = 1001);
    NOT_ALTERED(RILL_TOPIC_COMPRESSION, "snappy", .compression = 2);
#undef NOT_ALTERED
    /* Both at once may be what neither may be alone. */
    options = (rill_topic_options){
        .size = sizeof options, .max_message_bytes = 100000, .segment_bytes = 200000};
    OK(rill_topic_alter(store, "t", RILL_TOPIC_MAX_MESSAGE_BYTES | RILL_TOPIC_SEGMENT_BYTES,
                        &options));
    options.segment_bytes = 65536;
    FAILS(RILL_ERR_INVALID, rill_topic_alter(store, "t", RILL_TOPIC_SEGMENT_BYTES, &options));
    test_says("max_message_bytes is 100000");
    /* The default of the one is what the other allows. */
    OK(rill_topic_alter(store, "t", RILL_TOPIC_SEGMENT_BYTES | RILL_TOPIC_MAX_MESSAGE_BYTES,
                        &(rill_topic_options){.size = sizeof options, .segment_bytes = 65536}));
    assert_int_equal(options_of(store, "t").max_message_bytes, 61440);
    FAILS(RILL_ERR_INVALID, rill_topic_alter(store, NULL, RILL_TOPIC_SEGMENT_MS, NULL));
    FAILS(RILL_ERR_INVALID, rill_topic_alter(NULL, "t", RILL_TOPIC_SEGMENT_MS, NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill_topic_alter(store, "u", RILL_TOPIC_SEGMENT_MS, NULL));
    FAILS(RILL_ERR_INVALID, rill_topic_alter(store, "t/u", RILL_TOPIC_SEGMENT_MS, NULL));
}

static int allow_little(rill *store)
{
    rill_topic_options options = {.size = sizeof options, .max_message_bytes = 1024};
    return rill_topic_alter(store, "t", RILL_TOPIC_MAX_MESSAGE_BYTES, &options);
}

static int compact(rill *store)
{
    rill_topic_options options = {.size = sizeof options, .cleanup_policy = RILL_CLEANUP_COMPACT};
    return rill_topic_alter(store, "t", RILL_TOPIC_CLEANUP_POLICY, &options);
}

/* The next send of a producer that is open knows it. */
static void an_alteration_counts_in_every_process(void **state)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_record record = RILL_RECORD_INIT;
    rill_reservation room;
    rill_producer *producer;
    char value[2000] = "";

    test_topic(*state, "t", 1);
    OK(rill_producer_open(*state, &options, &producer));
    record.value = (rill_bytes){value, sizeof value};
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    elsewhere(allow_little);
    FAILS(RILL_ERR_TOO_BIG, rill_producer_send(producer, &record, NULL, WAIT_MS));
    FAILS(RILL_ERR_TOO_BIG, rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    test_says("1024");
    record.value.size = 100;
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    elsewhere(compact);
    FAILS(RILL_ERR_INVALID, rill_producer_send(producer, &record, NULL, WAIT_MS));
    test_says("must have a key");
    FAILS(RILL_ERR_INVALID, rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    FAILS(RILL_ERR_INVALID, rill_producer_reserve(producer, &record, WAIT_MS, &room));
    record.key = (rill_bytes){"", 0}; /* is one */
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(log_end_of(*state, "t", 0), 4);
}

static int roll_soon(rill *store)
{
    rill_topic_options options = {.size = sizeof options, .segment_ms = 1};
    return rill_topic_alter(store, "t", RILL_TOPIC_SEGMENT_MS, &options);
}

/* A log that is open takes it over with maintenance, whoever opens it later as well. */
static void logs_take_an_alteration_over(void **state)
{
    rill_partition_info info;
    struct patience patience = {0};

    test_topic(*state, "t", 2);
    put(*state, "t", 0, 0, 1);
    elsewhere(roll_soon);
    do {
        wait_a_little(&patience);
        OK(rill_maintain(*state, NULL));
        OK(rill_partition_describe(*state, "t", 0, &info));
    } while (info.segment_count < 2);
    put(*state, "t", 1, 0, 1);
    do {
        wait_a_little(&patience);
        OK(rill_maintain(*state, NULL));
        OK(rill_partition_describe(*state, "t", 1, &info));
    } while (info.segment_count < 2);
}

static int larger_segments(rill *store)
{
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 256 << 10};
    return rill_topic_alter(store, "t", RILL_TOPIC_SEGMENT_BYTES, &options);
}

static int small_segments(rill *store)
{
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 64 << 10};
    return rill_topic_alter(store, "t", RILL_TOPIC_SEGMENT_BYTES, &options);
}

/* What is there stays as it is, also when it is opened again. */
static void segment_bytes_are_for_the_next_segment(void **state)
{
    int (*const sizes[])(rill *) = {larger_segments, small_segments};
    rill_topic_info info;
    int written = 0;

    test_topic(*state, "t", 1);
    test_store_append(*state, "t", 0, 10, 5000);
    for (int i = 0; i < 4; i++) {
        elsewhere(sizes[i % 2]);
        if (i == 2) {
            OK(rill_close(*state));
            *state = test_store_open();
        }
        test_store_append(*state, "t", 10 + written, 70, 5000);
        written += 70;
        assert_int_equal(log_end_of(*state, "t", 0), 10 + written);
    }
    OK(rill_topic_describe(*state, "t", &info));
    assert_in_range(info.segment_count, 10, 40);
    assert_true(info.stored_bytes > info.segment_count * (64 << 10) + (192 << 10));
}

static int segments_for_large(rill *store)
{
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = 256 << 10, .max_message_bytes = 200000};
    return rill_topic_alter(store, "t", RILL_TOPIC_SEGMENT_BYTES | RILL_TOPIC_MAX_MESSAGE_BYTES,
                            &options);
}

/* All is deleted, and the segment that waits for more is too small: readers pass its
 * one offset, and everybody who looks at the files finds them whole. */
static void empty_segment_is_passed_by_what_it_is_too_small_for(void **state)
{
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = 64 << 10, .max_message_bytes = 60000};
    rill_consumer *consumer;
    rill_record records[16];
    const char *differs;
    rill_offset start;
    size_t count;

    OK(rill_topic_create(*state, "t", &options));
    test_store_append(*state, "t", 0, 10, 100);
    consumer = test_consumer(*state, "t", 0, 0);
    assert_int_equal(take(consumer, records, 16), 10);
    OK(rill_partition_delete_records(*state, "t", 0, 10, &start));
    assert_int_equal(start, 10);
    elsewhere(segments_for_large);
    test_store_append(*state, "t", 0, 2, 100000);
    test_store_append(*state, "t", 2, 1, 100);
    for (rill_offset next = 11; next < 14; next += (rill_offset)count) {
        count = take(consumer, records, 16);
        assert_int_equal(records[0].offset, next);
        assert_memory_equal(records[0].value.data, next == 11 ? "0" : next == 12 ? "1" : "2", 1);
    }
    OK(rill_consumer_close(consumer, 0));
    check_is_clean();
    OK(rill_close(*state));
    check_is_clean();
    reader_ask(test_path("store"));
    *state = test_store_open();
    differs = reader_compare(*state);
    if (differs != NULL) fail_msg("%s", differs);
    assert_int_equal(log_end_of(*state, "t", 0), 14);
    check_is_clean();
}

/* ---- Partitions ---- */

static int add_to_three(rill *store)
{
    return rill_topic_add_partitions(store, "t", 3);
}

static void partitions_are_added(void **state)
{
    rill_record record = RILL_RECORD_INIT;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_topic_info info;
    int64_t number = 5;

    test_topic(*state, "t", 1);
    put(*state, "t", 0, 0, 3);
    OK(rill_producer_open(*state, &options, &producer));
    record = record_of(&number);
    record.partition = 2;
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    elsewhere(add_to_three);
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(log_end_of(*state, "t", 0), 3);
    assert_int_equal(log_end_of(*state, "t", 2), 1);
    consumer = test_consumer(*state, "t", 2, 0);
    takes(consumer, 5, 1);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_topic_describe(*state, "t", &info));
    assert_int_equal(info.options.partition_count, 3);
    assert_int_equal(info.record_span, 4);
    assert_int_equal(info.segment_count, 2);
    OK(rill_close(*state));
    *state = test_store_open();
    assert_int_equal(log_end_of(*state, "t", 2), 1);
    put(*state, "t", 1, 0, 1);
}

static void partitions_are_never_fewer(void **state)
{
    test_topic(*state, "t", 3);
    OK(rill_topic_add_partitions(*state, "t", 3)); /* there is nothing to do */
    FAILS(RILL_ERR_INVALID, rill_topic_add_partitions(*state, "t", 2));
    test_says("would be lost");
    FAILS(RILL_ERR_INVALID, rill_topic_add_partitions(*state, "t", 0));
    FAILS(RILL_ERR_INVALID, rill_topic_add_partitions(*state, "t", 10001));
    test_says("1 to 10000");
    FAILS(RILL_ERR_NOT_FOUND, rill_topic_add_partitions(*state, "u", 2));
    FAILS(RILL_ERR_INVALID, rill_topic_add_partitions(*state, NULL, 2));
    FAILS(RILL_ERR_INVALID, rill_topic_add_partitions(*state, "", 2));
    assert_int_equal(options_of(*state, "t").partition_count, 3);
}

/* Of somebody who died before the commit point. */
static const char *leftover(rill *store, int partition)
{
    static char path[1300];
    rill_topic_info info;
    char id[33];

    OK(rill_topic_describe(store, "t", &info));
    for (int i = 0; i < 16; i++) snprintf(id + (size_t)i * 2, 3, "%02x", info.id[i]);
    snprintf(path, sizeof path, "%s/%s/%d", test_path("store"), id, partition);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path + strlen(path), 20, "/control");
    fclose(fopen(path, "w"));
    return path;
}

static void directories_that_a_crash_left_are_no_partitions(void **state)
{
    const char *path;

    test_topic(*state, "t", 2);
    leftover(*state, 2);
    OK(rill_topic_add_partitions(*state, "t", 4));
    put(*state, "t", 2, 0, 1);
    leftover(*state, 5); /* not the next one: the disk may lose the order */
    path = leftover(*state, 4);
    OK(rill_close(*state));
    *state = test_store_open(); /* alone: sweeps */
    assert_int_equal(access(path, F_OK), -1);
    put(*state, "t", 2, 1, 1);
    OK(rill_topic_add_partitions(*state, "t", 6));
    put(*state, "t", 5, 0, 1);
    leftover(*state, 6);
    OK(rill_topic_delete(*state, "t"));
}

/* All of a topic's partitions, those too that came while it was subscribed. */
static void a_group_shares_partitions_that_are_added(void **state)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    static const char *const topics[] = {"t"};
    rill_consumer *members[2];
    struct patience patience = {0};
    rill_record record;
    size_t count;
    size_t has[2] = {0, 0};

    test_topic(*state, "t", 1);
    for (int i = 0; i < 2; i++) {
        members[i] = consumer_open(*state, &options);
        OK(rill_consumer_subscribe(members[i], topics, 1));
    }
    elsewhere(add_to_three);
    OK(rill_topic_add_partitions(*state, "t", 6));
    while (has[0] != 3 || has[1] != 3) {
        wait_a_little(&patience);
        for (int i = 0; i < 2; i++) {
            int rc = rill_consumer_poll(members[i], 0, &record, 1, &count);
            if (rc != RILL_ERR_REBALANCE) OK(rc);
            OK(rill_consumer_assignment(members[i], NULL, 0, &has[i]));
        }
    }
    OK(rill_consumer_close(members[0], WAIT_MS));
    for (int p = 0; p < 6; p++) put(*state, "t", p, p, 1);
    for (int read = 0; read < 6; read += (int)count) {
        int rc = rill_consumer_poll(members[1], WAIT_MS, &record, 1, &count);
        if (rc == RILL_ERR_REBALANCE) count = 0;
        else OK(rc);
    }
    OK(rill_consumer_close(members[1], WAIT_MS));
}

/* ---- What is let go ---- */

static struct store *inside(void **state)
{
    return ((rill *)*state)->store;
}

/* Lines of a file of the kernel's about this process that have the text. */
static int count_lines(const char *path, const char *text)
{
    FILE *file = fopen(path, "r");
    char line[1000];
    int count = 0;

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, text) != NULL && strstr(line, "rill-test") != NULL;
    fclose(file);
    return count;
}

static int count_descriptors(const char *text)
{
    char name[40];
    char target[1000];
    int count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        ssize_t n;
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        n = readlink(name, target, sizeof target - 1);
        if (n < 0) continue;
        target[n] = '\0';
        count += strstr(target, text) != NULL && strstr(target, "rill-test") != NULL;
    }
    return count;
}

static int delete_t(rill *store)
{
    return rill_topic_delete(store, "t");
}

/* Everybody may use it: when the last one lets go its space is free. */
static void a_deleted_topic_is_let_go_by_all(void **state)
{
    rill_producer_options options = {.size = sizeof options, .acks = RILL_ACKS_DURABLE};
    rill_record record = RILL_RECORD_INIT;
    rill_record records[10];
    rill_producer *producer;
    rill_consumer *consumer;
    size_t count;
    int64_t number = 7;

    test_topic(*state, "t", 2);
    OK(rill_producer_open(*state, &options, &producer));
    record = record_of(&number);
    record.topic = "t";
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    consumer = test_consumer(*state, "t", 0, 0);
    count = take(consumer, records, 10);
    assert_int_equal(count, 1);
    assert_int_equal(count_lines("/proc/self/maps", "(deleted)"), 0);
    elsewhere(delete_t);
    assert_int_equal(number_of(&records[0]), 7); /* until the next call */
    assert_true(count_lines("/proc/self/maps", "(deleted)") > 0);
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_poll(consumer, 0, records, 10, &count));
    OK(rill_maintain(*state, NULL));
    /* The consumer still has the partition: its words, and nothing else. */
    assert_int_equal(count_lines("/proc/self/maps", ".log (deleted)"), 0);
    assert_int_equal(count_lines("/proc/self/maps", ".index (deleted)"), 0);
    assert_int_equal(count_descriptors(".log (deleted)"), 0);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_maintain(*state, NULL));
    assert_int_equal(count_lines("/proc/self/maps", "(deleted)"), 0);
    assert_int_equal(count_descriptors("(deleted)"), 0);
    assert_null(inside(state)->topics);
    test_topic(*state, "t", 1); /* another one of that name */
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    assert_int_equal(log_end_of(*state, "t", 0), 1);
    OK(rill_producer_close(producer, WAIT_MS));
}

/* What it sent and nobody has asked for is told all the same. */
static void a_producer_of_a_deleted_topic_hears_of_its_records(void **state)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_record record = RILL_RECORD_INIT;
    rill_producer *producer;

    test_topic(*state, "t", 1);
    OK(rill_producer_open(*state, &options, &producer));
    record.value = (rill_bytes){"v", 1};
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    elsewhere(delete_t);
    OK(rill_maintain(*state, NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_flush(producer, WAIT_MS));
    OK(rill_maintain(*state, NULL));
    assert_null(inside(state)->topics);
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
}

static void logs_that_nobody_uses_are_closed(void **state)
{
    struct store *store = inside(state);
    struct topic *topic;
    int32_t p;

    test_topic(*state, "t", UNUSED_LOGS_MAX + 20);
    OK(rill__topic_find(store, "t", &topic));
    for (p = 0; p < UNUSED_LOGS_MAX + 20; p++) {
        rill_partition_info info;
        OK(rill_partition_describe(*state, "t", p, &info));
    }
    assert_int_equal(store->unused_logs, UNUSED_LOGS_MAX); /* more were closed at once */
    put(*state, "t", 1, 0, 1); /* its producer is closed, and it is not synced yet */
    assert_true(store->unused_logs <= UNUSED_LOGS_MAX + 1);
    OK(rill__partition_close_unused(topic, 1, 3600000)); /* not yet so long */
    assert_non_null(rill__partition_if_open(topic, 1));
    OK(rill__partition_close_unused(topic, 1, 0)); /* used */
    rill__partition_leave(topic, 1);
    for (p = 0; p < UNUSED_LOGS_MAX + 20; p++) {
        OK(rill__partition_close_unused(topic, p, 0));
        assert_null(rill__partition_if_open(topic, p));
    }
    assert_int_equal(store->unused_logs, 0);
    rill__topic_release(topic);
    {
        rill_partition_info info;
        OK(rill_partition_describe(*state, "t", 1, &info));
        assert_int_equal(info.durable_end, 1); /* was synced first */
    }
}

static int append_one(rill *store)
{
    put(store, "t", 3, 0, 1);
    _exit(0); /* without closing: nothing is synced */
}

/* Neither a sync nor a close opens what is durable already. */
static void syncing_opens_only_what_is_not_durable(void **state)
{
    struct topic *topic;
    rill_partition_info info;

    test_topic(*state, "t", 8);
    put(*state, "t", 1, 0, 1);
    OK(rill_close(*state));
    *state = test_store_open();
    OK(rill_sync(*state, WAIT_MS));
    OK(rill__topic_find(inside(state), "t", &topic));
    for (int32_t p = 0; p < 8; p++) assert_null(rill__partition_if_open(topic, p));
    elsewhere(append_one);
    OK(rill_sync(*state, WAIT_MS));
    for (int32_t p = 0; p < 8; p++) {
        if (p == 3) continue;
        assert_null(rill__partition_if_open(topic, p));
    }
    assert_non_null(rill__partition_if_open(topic, 3));
    rill__partition_leave(topic, 3);
    rill__topic_release(topic);
    OK(rill_partition_describe(*state, "t", 3, &info));
    assert_int_equal(info.durable_end, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(options_have_defaults),
        WITH_STORE(options_are_kept),
        WITH_STORE(a_shorter_struct_is_enough),
        WITH_STORE(options_out_of_range_are_named),
        WITH_STORE(only_what_is_named_is_altered),
        WITH_STORE(every_option_is_altered_by_its_bit),
        WITH_STORE(an_alteration_is_checked_with_what_stays),
        WITH_STORE(an_alteration_counts_in_every_process),
        WITH_STORE(logs_take_an_alteration_over),
        WITH_STORE(segment_bytes_are_for_the_next_segment),
        WITH_STORE(empty_segment_is_passed_by_what_it_is_too_small_for),
        WITH_STORE(partitions_are_added),
        WITH_STORE(partitions_are_never_fewer),
        WITH_STORE(directories_that_a_crash_left_are_no_partitions),
        WITH_STORE(a_group_shares_partitions_that_are_added),
        WITH_STORE(a_deleted_topic_is_let_go_by_all),
        WITH_STORE(a_producer_of_a_deleted_topic_hears_of_its_records),
        WITH_STORE(logs_that_nobody_uses_are_closed),
        WITH_STORE(syncing_opens_only_what_is_not_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
