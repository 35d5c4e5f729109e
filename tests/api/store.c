/*
 * A store as a whole. It is made only on request, shared by all who open it in
 * a process, and closed when the last of them lets go. Options are checked,
 * and an error names the option, its value and its range. Topics have Kafka's
 * names. Maintenance does what is due, called or by a thread of its own. All
 * memory comes from the allocator that was given, below the limit, and goes
 * back to it. Errors have texts, and messages belong to their thread.
 */
#include "records.h"
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- Opening and closing ---- */

static int directory_set_up(void **state)
{
    *state = NULL; /* no store: closing NULL is fine */
    test_directory();
    return 0;
}

static void a_store_is_made_only_on_request(void **state)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    const char *path = test_path("store");
    rill *store = NULL;
    struct stat st;

    FAILS(RILL_ERR_NOT_FOUND, rill_open(path, NULL, &store));
    FAILS(RILL_ERR_NOT_FOUND, rill_open(test_path("no/store"), &options, &store));
    assert_null(store);
    OK(rill_open(path, &options, &store));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    OK(rill_close(store));
    OK(rill_open(path, NULL, &store));
    *state = store;
}

static void a_directory_of_somebody_else_is_left_alone(void **state)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    const char *path = test_path("store");
    rill *store = NULL;
    FILE *file;

    assert_int_equal(mkdir(path, 0700), 0);
    file = fopen(test_path("store/letter"), "w");
    assert_non_null(file);
    fclose(file);
    FAILS(RILL_ERR_INVALID, rill_open(path, &options, &store));
    assert_non_null(strstr(rill_errmsg(), "letter"));
    assert_int_equal(unlink(test_path("store/letter")), 0);
    OK(rill_open(path, &options, &store)); /* an empty one will do */
    *state = store;
}

static void a_store_opened_twice_is_shared(void **state)
{
    rill *first = *state;
    rill *second = test_store_open();
    rill_consumer *consumer;
    rill_topic_info info;

    assert_ptr_not_equal(first, second);
    test_topic(first, "t", 1);
    OK(rill_topic_describe(second, "t", &info));
    consumer = test_consumer(second, "t", 0, 0);
    put(first, "t", 0, 0, 3);
    takes(consumer, 0, 3);
    OK(rill_close(first)); /* the consumer is the second one's */
    put(second, "t", 0, 3, 1);
    takes(consumer, 3, 1);
    OK(rill_consumer_close(consumer, 0));
    *state = second;
}

static void a_store_with_open_clients_stays_open(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    OK(rill_producer_open(store, NULL, &producer));
    FAILS(RILL_ERR_STATE, rill_close(store));
    consumer = test_consumer(store, "t", 0, 0);
    OK(rill_producer_close(producer, 0));
    FAILS(RILL_ERR_STATE, rill_close(store));
    put(store, "t", 0, 0, 1);
    takes(consumer, 0, 1);
    OK(rill_consumer_close(consumer, 0));
}

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    OK(rill_close(NULL));
    OK(rill_producer_close(NULL, 0));
    OK(rill_consumer_close(NULL, 0));
}

static rill_partition_info partition_of(rill *store, const char *topic, int32_t partition)
{
    rill_partition_info info;

    OK(rill_partition_describe(store, topic, partition, &info));
    return info;
}

static void closing_syncs_and_reopening_finds_all(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 10);
    put(store, "t", 1, 10, 10);
    OK(rill_close(store));
    store = *state = test_store_open();
    for (int32_t p = 0; p < 2; p++) {
        assert_int_equal(partition_of(store, "t", p).log_end, 10);
        assert_int_equal(partition_of(store, "t", p).durable_end, 10);
        consumer = test_consumer(store, "t", p, 0);
        takes(consumer, p * 10, 10);
        OK(rill_consumer_close(consumer, 0));
    }
}

/* ---- Options ---- */

/* The call was refused, and the message has all three words. */
static void refused(int rc, const char *option, const char *value, const char *bound)
{
    const char *message = rill_errmsg();

    if (rc != RILL_ERR_INVALID || strstr(message, option) == NULL ||
        strstr(message, value) == NULL || strstr(message, bound) == NULL)
        fail_msg("%s of %s, range to %s: %d, %s", option, value, bound, rc, message);
}

static void an_option_out_of_range_is_named(void **state)
{
    rill *store = *state;
    rill_topic_options topic = {.size = sizeof topic, .partition_count = 10001};
    rill_producer_options producer = {.size = sizeof producer, .acks = 4};
    rill_consumer_options consumer = {.size = sizeof consumer, .auto_offset_reset = 3};
    rill_producer *p;
    rill_consumer *c;

    refused(rill_topic_create(store, "t", &topic), "partition_count", "10001", "10000");
    topic = (rill_topic_options){.size = sizeof topic, .segment_bytes = 65535};
    refused(rill_topic_create(store, "t", &topic), "segment_bytes", "65535", "65536");
    topic.segment_bytes = (UINT64_C(1) << 30) + 1;
    refused(rill_topic_create(store, "t", &topic), "segment_bytes", "1073741825", "1073741824");
    topic.segment_bytes = 64 << 10;
    topic.max_message_bytes = 65000;
    refused(rill_topic_create(store, "t", &topic), "max_message_bytes", "65000", "61440");
    refused(rill_producer_open(store, &producer, &p), "acks", "4", "3");
    refused(rill_consumer_open(store, &consumer, &c), "auto_offset_reset", "3", "2");
    consumer.auto_offset_reset = 0;
    consumer.isolation = 4;
    refused(rill_consumer_open(store, &consumer, &c), "isolation", "4", "3");
    consumer.isolation = 0;
    consumer.assignor = 9;
    refused(rill_consumer_open(store, &consumer, &c), "assignor", "9", "4");
}

static void flags_that_are_not_known_are_refused(void **state)
{
    rill *store = *state;
    rill *second;
    rill_options options = {.size = sizeof options, .flags = 1u << 31};
    rill_producer_options producer = {.size = sizeof producer, .flags = 1u << 31};
    rill_consumer_options consumer = {.size = sizeof consumer, .flags = 1u << 31};
    rill_producer *p;
    rill_consumer *c;

    refused(rill_open(test_path("store"), &options, &second), "flags", "", "");
    refused(rill_producer_open(store, &producer, &p), "flags", "", "");
    refused(rill_consumer_open(store, &consumer, &c), "flags", "", "");
    options.flags = 0;
    options.reserved = 1;
    refused(rill_open(test_path("store"), &options, &second), "reserved", "1", "");
}

/* What a program would pass that was built with a newer header. */
struct newer_options {
    rill_topic_options known;
    uint64_t more[4];
};

static void options_of_another_version_are_read_as_far_as_known(void **state)
{
    rill *store = *state;
    struct newer_options newer = {.known = {.size = sizeof newer, .partition_count = 2}};
    rill_topic_options older = {.size = offsetof(rill_topic_options, segment_bytes),
                                .partition_count = 3,
                                .segment_bytes = 1}; /* is not looked at */
    rill_topic_options none = {.partition_count = 1};
    rill_topic_info info;

    OK(rill_topic_create(store, "newer", &newer.known));
    OK(rill_topic_describe(store, "newer", &info));
    assert_int_equal(info.options.partition_count, 2);
    newer.more[3] = 1;
    FAILS(RILL_ERR_INVALID, rill_topic_create(store, "t", &newer.known));
    OK(rill_topic_create(store, "older", &older));
    OK(rill_topic_describe(store, "older", &info));
    assert_int_equal(info.options.partition_count, 3);
    assert_int_equal(info.options.segment_bytes, 64 << 20);
    FAILS(RILL_ERR_INVALID, rill_topic_create(store, "t", &none)); /* size 0 */
}

static void null_arguments_are_refused(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_consumer *consumer;
    rill_topic_info info;
    size_t count;

    FAILS(RILL_ERR_INVALID, rill_open(NULL, NULL, &store));
    FAILS(RILL_ERR_INVALID, rill_open(test_path("store"), NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_topic_create(store, NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_topic_describe(NULL, "t", &info));
    FAILS(RILL_ERR_INVALID, rill_producer_open(NULL, NULL, &producer));
    FAILS(RILL_ERR_INVALID, rill_producer_send(NULL, NULL, NULL, 0));
    FAILS(RILL_ERR_INVALID, rill_consumer_open(store, NULL, NULL));
    consumer = consumer_open(store, NULL);
    FAILS(RILL_ERR_INVALID, rill_consumer_poll(consumer, 0, NULL, 1, &count));
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Topics ---- */

static void topic_names_are_kafkas(void **state)
{
    static const char *const bad[] = {"", ".", "..", "a/b", "a b", "a:b", "\xc3\xa4", "a\n"};
    static const char *const good[] = {"a", "A.b_c-9", "...", "-", "_", "0"};
    rill *store = *state;
    char name[RILL_TOPIC_NAME_MAX + 2];
    rill_topic_info info;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FAILS(RILL_ERR_INVALID, rill_topic_create(store, bad[i], NULL));
        FAILS(RILL_ERR_INVALID, rill_topic_describe(store, bad[i], &info));
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        test_topic(store, good[i], 1);
        OK(rill_topic_describe(store, good[i], &info));
        assert_string_equal(info.name, good[i]);
    }
    memset(name, 'x', sizeof name);
    name[RILL_TOPIC_NAME_MAX + 1] = '\0';
    FAILS(RILL_ERR_INVALID, rill_topic_create(store, name, NULL));
    name[RILL_TOPIC_NAME_MAX] = '\0';
    test_topic(store, name, 1);
    put(store, name, 0, 0, 1);
}

static void a_topic_is_described_with_its_defaults(void **state)
{
    rill *store = *state;
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 100000};
    rill_topic_info info;

    OK(rill_topic_create(store, "t", NULL));
    OK(rill_topic_describe(store, "t", &info));
    assert_string_equal(info.name, "t");
    assert_true(info.created_ms > 0);
    assert_int_equal(info.options.partition_count, 1);
    assert_int_equal(info.options.segment_ms, 7 * 24 * 3600 * 1000);
    assert_int_equal(info.options.segment_bytes, 64 << 20);
    assert_int_equal(info.options.max_message_bytes, 1 << 20);
    assert_int_equal(info.options.index_interval_bytes, 4096);
    OK(rill_topic_create(store, "small", &options));
    OK(rill_topic_describe(store, "small", &info));
    assert_int_equal(info.options.segment_bytes, 25 * 4096); /* rounded up */
    assert_true(info.options.max_message_bytes <= 24 * 4096);
}

static void a_topic_exists_until_it_is_deleted(void **state)
{
    rill *store = *state;
    rill_topic_info first;
    rill_topic_info second;
    rill_partition_info partition;

    test_topic(store, "t", 1);
    FAILS(RILL_ERR_EXISTS, rill_topic_create(store, "t", NULL));
    OK(rill_topic_describe(store, "t", &first));
    put(store, "t", 0, 0, 5);
    OK(rill_topic_delete(store, "t"));
    FAILS(RILL_ERR_NOT_FOUND, rill_topic_delete(store, "t"));
    FAILS(RILL_ERR_NOT_FOUND, rill_topic_describe(store, "t", &first));
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_describe(store, "t", 0, &partition));
    test_topic(store, "t", 1);
    OK(rill_topic_describe(store, "t", &second));
    assert_memory_not_equal(first.id, second.id, sizeof first.id);
    assert_int_equal(log_end_of(store, "t", 0), 0);
    OK(rill_close(store));
    store = *state = test_store_open();
    OK(rill_topic_describe(store, "t", &first));
    assert_memory_equal(first.id, second.id, sizeof first.id);
}

struct visits {
    rill *store;
    int count;
    int stop_at;
    char names[8][RILL_TOPIC_NAME_MAX + 1];
};

static int visit(void *arg, const rill_topic_info *info)
{
    struct visits *visits = arg;
    rill_partition_info partition;

    if (rill_partition_describe(visits->store, info->name, 0, &partition) != 0) return -100;
    memcpy(visits->names[visits->count++], info->name, sizeof info->name);
    return visits->count == visits->stop_at ? 42 : 0;
}

static void topics_are_listed_by_name(void **state)
{
    rill *store = *state;
    struct visits visits = {.store = store};

    OK(rill_topic_list(store, visit, &visits));
    assert_int_equal(visits.count, 0);
    test_topic(store, "b", 1);
    test_topic(store, "c", 1);
    test_topic(store, "a", 1);
    OK(rill_topic_list(store, visit, &visits));
    assert_int_equal(visits.count, 3);
    assert_string_equal(visits.names[0], "a");
    assert_string_equal(visits.names[1], "b");
    assert_string_equal(visits.names[2], "c");
    visits = (struct visits){.store = store, .stop_at = 2};
    assert_int_equal(rill_topic_list(store, visit, &visits), 42);
    assert_int_equal(visits.count, 2);
}

static void a_partition_is_described(void **state)
{
    rill *store = *state;
    rill_partition_info info;
    rill_offset offset = 77;

    test_topic(store, "t", 2);
    put(store, "t", 1, 0, 3000);
    info = partition_of(store, "t", 1);
    assert_int_equal(info.log_start, 0);
    assert_int_equal(info.log_end, 3000);
    assert_true(info.durable_end <= 3000);
    assert_true(info.segment_count > 1);
    assert_true(info.segment_bytes > 3000 * 8);
    info = partition_of(store, "t", 0);
    assert_int_equal(info.log_end, 0);
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_describe(store, "t", 2, &info));
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_describe(store, "t", -1, &info));
    OK(rill_partition_offset_for_time(store, "t", 1, 1, &offset));
    assert_int_equal(offset, 0);
    OK(rill_partition_offset_for_time(store, "t", 1, INT64_MAX, &offset));
    assert_int_equal(offset, RILL_OFFSET_NONE);
}

/* ---- Background work ---- */

static void a_sync_makes_all_partitions_durable(void **state)
{
    rill *store = *state;

    test_topic(store, "t", 3);
    test_topic(store, "u", 1);
    for (int32_t p = 0; p < 3; p++) put(store, "t", p, 0, 5);
    put(store, "u", 0, 0, 5);
    assert_int_equal(partition_of(store, "t", 2).durable_end, 0);
    OK(rill_sync(store, WAIT_MS));
    for (int32_t p = 0; p < 3; p++) assert_int_equal(partition_of(store, "t", p).durable_end, 5);
    assert_int_equal(partition_of(store, "u", 0).durable_end, 5);
}

static void maintenance_syncs_by_interval(void **state)
{
    rill *store;
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .sync_interval_ms = 1};
    struct patience patience = {0};
    uint32_t next_ms;

    OK(rill_open(test_path("store"), &options, &store));
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 5);
    while (partition_of(store, "t", 0).durable_end != 5) {
        next_ms = UINT32_MAX;
        OK(rill_maintain(store, &next_ms));
        assert_int_not_equal(next_ms, UINT32_MAX);
        wait_a_little(&patience);
    }
    *state = store;
}

static void maintenance_rolls_segments_by_age(void **state)
{
    rill *store = *state;
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = 64 << 10, .segment_ms = 1};
    rill_stats stats = {.size = sizeof stats};
    struct patience patience = {0};
    rill_consumer *consumer;
    uint64_t before;

    OK(rill_topic_create(store, "t", &options));
    put(store, "t", 0, 0, 1);
    OK(rill_stats_get(store, &stats));
    before = stats.segments_rolled;
    while (stats.segments_rolled == before) {
        wait_a_little(&patience);
        OK(rill_maintain(store, NULL));
        OK(rill_stats_get(store, &stats));
    }
    put(store, "t", 0, 1, 1);
    consumer = test_consumer(store, "t", 0, 0);
    takes(consumer, 0, 2);
    OK(rill_consumer_close(consumer, 0));
}

static void a_thread_of_the_store_does_it_alone(void **state)
{
    rill *store;
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE | RILL_OPEN_THREAD,
                            .sync_interval_ms = 1};
    rill_producer_options producer_options = {
        .size = sizeof producer_options, .topic = "t", .linger_ms = 1};
    struct patience patience = {0};
    int64_t number = 0;
    rill_record record = record_of(&number);
    rill_producer *producer;

    OK(rill_open(test_path("store"), &options, &store));
    test_topic(store, "t", 1);
    OK(rill_producer_open(store, &producer_options, &producer));
    OK(rill_producer_send(producer, &record, NULL, 0));
    while (partition_of(store, "t", 0).durable_end != 1) wait_a_little(&patience);
    OK(rill_producer_close(producer, 0));
    *state = store;
}

/* ---- Observing ---- */

static void counters_count(void **state)
{
    rill *store = *state;
    rill_stats before = {.size = sizeof before};
    rill_stats after = {.size = sizeof after};
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position from = {.topic = "t"};
    rill_consumer *consumer = consumer_open(store, &options);

    test_topic(store, "t", 1);
    OK(rill_stats_get(store, &before));
    put(store, "t", 0, 0, 10);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes(consumer, 0, 7);
    OK(rill_consumer_commit(consumer, NULL, 0));
    OK(rill_sync(store, WAIT_MS));
    OK(rill_stats_get(store, &after));
    assert_int_equal(after.records_appended - before.records_appended, 10);
    assert_int_equal(after.batches_appended - before.batches_appended, 10);
    assert_true(after.bytes_appended - before.bytes_appended > 10 * 8);
    assert_int_equal(after.records_polled - before.records_polled, 7);
    assert_int_equal(after.commits - before.commits, 1);
    assert_true(after.syncs > before.syncs);
    assert_true(after.memory_bytes > 0);
    assert_true(after.mapped_bytes > 0);
    put(store, "t", 0, 10, 3000);
    OK(rill_stats_get(store, &after));
    assert_true(after.segments_rolled > before.segments_rolled);
    OK(rill_consumer_close(consumer, 0));
}

static void counters_of_another_version_are_given_as_far_as_known(void **state)
{
    struct {
        rill_stats known;
        uint64_t more;
    } newer = {.known = {.size = sizeof newer}, .more = 7};
    rill_stats older = {.size = offsetof(rill_stats, batches_appended), .batches_appended = 7};
    rill_stats none = {.size = 0};
    rill *store = *state;

    OK(rill_stats_get(store, &newer.known));
    assert_int_equal(newer.more, 0);
    assert_int_equal(newer.known.size, sizeof newer);
    OK(rill_stats_get(store, &older));
    assert_int_equal(older.batches_appended, 7);
    FAILS(RILL_ERR_INVALID, rill_stats_get(store, &none));
}

struct lines {
    int count;
    int level;
    char last[400];
};

static void keep_line(void *arg, int level, const char *line)
{
    struct lines *lines = arg;

    lines->count++;
    lines->level = level;
    snprintf(lines->last, sizeof lines->last, "%s", line);
}

/* Dies with a reservation open. */
static void die_while_appending(const char *path)
{
    int64_t number = 0;
    rill_record record = record_of(&number);
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_reservation room;
    rill_producer *producer;
    rill *store;

    thread_ok(rill_open(path, NULL, &store), "open");
    thread_ok(rill_producer_open(store, &options, &producer), "producer");
    thread_ok(rill_producer_reserve(producer, &record, WAIT_MS, &room), "reserve");
    memset(room.value, 'x', room.value_size);
    _exit(0);
}

static void what_is_noteworthy_is_logged(void **state)
{
    struct lines lines = {.count = 0};
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .log = keep_line, .log_arg = &lines};
    const char *path = test_path("store");
    rill *store;
    pid_t child;
    int status;

    OK(rill_open(path, &options, &store));
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 1);
    assert_int_equal(lines.count, 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) die_while_appending(path);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    put(store, "t", 0, 1, 1); /* notices */
    assert_int_equal(lines.count, 1);
    assert_int_equal(lines.level, RILL_LOG_INFO);
    assert_int_not_equal(lines.last[0], '\0');
    assert_null(strchr(lines.last, '\n'));
    assert_int_equal(log_end_of(store, "t", 0), 2);
    *state = store;
}

/* ---- Memory ---- */

struct memory {
    _Atomic int64_t blocks;
    _Atomic int64_t allocs;
};

static void *counted_alloc(void *arg, size_t size)
{
    struct memory *memory = arg;

    memory->blocks++;
    memory->allocs++;
    return malloc(size);
}

static void *counted_resize(void *arg, void *block, size_t size)
{
    struct memory *memory = arg;

    memory->allocs++;
    return realloc(block, size);
}

static void counted_release(void *arg, void *block)
{
    struct memory *memory = arg;

    memory->blocks--;
    free(block);
}

static void use_everything(rill *store)
{
    static const char *const topics[] = {"^t"};
    rill_consumer_options options = {.size = sizeof options,
                                     .group = "g",
                                     .auto_offset_reset = RILL_RESET_EARLIEST,
                                     .auto_commit_interval_ms = 1};
    rill_producer_options producer_options = {.size = sizeof producer_options, .topic = "t"};
    int64_t number = 3000;
    rill_record record = record_of(&number);
    rill_producer *producer;
    rill_consumer *consumer = consumer_open(store, &options);
    int fd;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 3000);
    OK(rill_consumer_subscribe(consumer, topics, 1));
    OK(rill_consumer_fd(consumer, &fd));
    takes(consumer, 0, 100);
    OK(rill_producer_open(store, &producer_options, &producer));
    OK(rill_producer_send(producer, &record, NULL, 0));
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_consumer_close(consumer, WAIT_MS));
    test_topic(store, "u", 1);
    OK(rill_topic_delete(store, "u"));
}

static void all_memory_is_given_back(void **state)
{
    struct memory memory = {.blocks = 0};
    rill_options options = {
        .size = sizeof options,
        .flags = RILL_OPEN_CREATE | RILL_OPEN_THREAD,
        .allocator = {counted_alloc, counted_resize, counted_release, &memory}};
    rill *store = NULL;
    int64_t used;

    (void)state;
    for (int i = 0; i < 2; i++) {
        test_directory_remove();
        test_directory();
        OK(rill_open(test_path("store"), &options, &store));
        used = memory.allocs;
        assert_true(memory.blocks > 0);
        use_everything(store);
        assert_true(memory.allocs > used);
        OK(rill_close(store));
        assert_int_equal(memory.blocks, 0);
    }
    options.flags = 0;
    FAILS(RILL_ERR_NOT_FOUND, rill_open(test_path("none"), &options, &store));
    assert_int_equal(memory.blocks, 0);
}

static void an_allocator_is_whole_or_not_there(void **state)
{
    struct memory memory = {.blocks = 0};
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .allocator = {counted_alloc, NULL, counted_release, &memory}};
    rill *store;

    (void)state;
    FAILS(RILL_ERR_INVALID, rill_open(test_path("store"), &options, &store));
    options.allocator = (rill_allocator){NULL, counted_resize, NULL, &memory};
    FAILS(RILL_ERR_INVALID, rill_open(test_path("store"), &options, &store));
}

static void memory_stays_below_its_limit(void **state)
{
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .memory_max_bytes = 1 << 20};
    rill_producer_options producer_options = {
        .size = sizeof producer_options, .topic = "t", .batch_bytes = 256 << 10};
    rill_stats stats = {.size = sizeof stats};
    int64_t number = 0;
    rill_record record = record_of(&number);
    rill_producer *producer;
    rill *store;
    int rc = 0;

    OK(rill_open(test_path("store"), &options, &store));
    test_topic(store, "t", 16);
    producer_options.linger_ms = 3600000;
    OK(rill_producer_open(store, &producer_options, &producer));
    for (record.partition = 0; rc == 0 && record.partition < 16; record.partition++)
        rc = rill_producer_send(producer, &record, NULL, 0);
    FAILS(RILL_ERR_NO_MEMORY, rc);
    OK(rill_stats_get(store, &stats));
    assert_in_range(stats.memory_bytes, 256 << 10, 1 << 20);
    OK(rill_producer_close(producer, WAIT_MS)); /* and what was accepted is sent */
    assert_int_equal(log_end_of(store, "t", 0), 1);
    put(store, "t", 0, 1, 10);
    *state = store;
}

/* ---- Words ---- */

static void the_version_is_the_headers(void **state)
{
    char version[32];

    (void)state;
    snprintf(version, sizeof version, "%d.%d.%d", RILL_VERSION_MAJOR, RILL_VERSION_MINOR,
             RILL_VERSION_PATCH);
    assert_string_equal(rill_version(), version);
}

static void every_error_has_its_text(void **state)
{
    static const struct {
        int code;
        const char *text;
    } rows[] = {
#define X(name, value, text) {name, text},
        RILL_ERRORS(X)
#undef X
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(rows[i].code < 0);
        assert_string_equal(rill_strerror(rows[i].code), rows[i].text);
        for (size_t j = 0; j < i; j++) assert_int_not_equal(rows[i].code, rows[j].code);
    }
    assert_non_null(rill_strerror(RILL_OK));
    assert_non_null(rill_strerror(1));
    assert_non_null(rill_strerror(-999999));
}

static void *fail_differently(void *store)
{
    thread_ok(rill_errmsg()[0], "a message before the first error");
    thread_ok(rill_topic_delete(store, "other") != RILL_ERR_NOT_FOUND, "delete");
    thread_ok(strstr(rill_errmsg(), "other") == NULL, "a message of its own");
    return NULL;
}

static void a_message_belongs_to_its_thread(void **state)
{
    rill *store = *state;
    rill_topic_info info;

    FAILS(RILL_ERR_NOT_FOUND, rill_topic_describe(store, "mine", &info));
    thread_join(thread_start(fail_differently, store));
    assert_non_null(strstr(rill_errmsg(), "mine"));
}

#define WITHOUT_STORE(test)                                                                      \
    cmocka_unit_test_setup_teardown(test, directory_set_up, store_tear_down)

/* What is mapped has its blocks: a full disk is no signal. */
static void shared_files_have_their_blocks(void **state)
{
    static const char *const names[] = {"store/shared", "store/meta/lock.mdb"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct stat st;
        assert_int_equal(stat(test_path(names[i]), &st), 0);
        assert_true(st.st_size > 0 && (st.st_blocks + 8) * 512 >= st.st_size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(shared_files_have_their_blocks),
        WITHOUT_STORE(a_store_is_made_only_on_request),
        WITHOUT_STORE(a_directory_of_somebody_else_is_left_alone),
        WITH_STORE(a_store_opened_twice_is_shared),
        WITH_STORE(a_store_with_open_clients_stays_open),
        cmocka_unit_test(closing_nothing_is_fine),
        WITH_STORE(closing_syncs_and_reopening_finds_all),
        WITH_STORE(an_option_out_of_range_is_named),
        WITH_STORE(flags_that_are_not_known_are_refused),
        WITH_STORE(options_of_another_version_are_read_as_far_as_known),
        WITH_STORE(null_arguments_are_refused),
        WITH_STORE(topic_names_are_kafkas),
        WITH_STORE(a_topic_is_described_with_its_defaults),
        WITH_STORE(a_topic_exists_until_it_is_deleted),
        WITH_STORE(topics_are_listed_by_name),
        WITH_STORE(a_partition_is_described),
        WITH_STORE(a_sync_makes_all_partitions_durable),
        WITHOUT_STORE(maintenance_syncs_by_interval),
        WITH_STORE(maintenance_rolls_segments_by_age),
        WITHOUT_STORE(a_thread_of_the_store_does_it_alone),
        WITH_STORE(counters_count),
        WITH_STORE(counters_of_another_version_are_given_as_far_as_known),
        WITHOUT_STORE(what_is_noteworthy_is_logged),
        WITHOUT_STORE(all_memory_is_given_back),
        WITHOUT_STORE(an_allocator_is_whole_or_not_there),
        WITHOUT_STORE(memory_stays_below_its_limit),
        cmocka_unit_test(the_version_is_the_headers),
        cmocka_unit_test(every_error_has_its_text),
        WITH_STORE(a_message_belongs_to_its_thread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
