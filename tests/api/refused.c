/*
 * What is refused, and why: places that are not, options of another size, paths,
 * records that no batch may hold, files in a store's directory that do not belong
 * there. Nothing of it changes what is there, and the next right call works.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "elsewhere.h"
#include "engine/consumer.h"
#include "os/sys.h"
#include "records.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>

static struct sys_calls real;

static int set_up(void **state)
{
    real = rill__sys;
    return store_set_up(state);
}

static int tear_down(void **state)
{
    rill__sys = real;
    return store_tear_down(state);
}

static rill_consumer *group_consumer(rill *store, const char *group, int reset)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = group, .auto_offset_reset = reset};

    return consumer_open(store, &options);
}

/* ---- Stores ---- */

static void write_store_file(const uint8_t *bytes)
{
    FILE *file = fopen(test_path("store/STORE"), "r+b");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 64, 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

static void a_store_of_a_format_to_come_is_refused(void **state)
{
    static const struct {
        int at;
        uint8_t value;
        int error;
    } rows[] = {{7, '2', RILL_ERR_FORMAT},
                {8, 2, RILL_ERR_FORMAT},
                {12, 1, RILL_ERR_FORMAT},
                {0, 'X', RILL_ERR_CORRUPT}};
    uint8_t bytes[64];
    uint8_t other[64];
    FILE *file;
    rill *none = NULL;

    OK(rill_close(*state));
    *state = NULL;
    file = fopen(test_path("store/STORE"), "rb");
    assert_non_null(file);
    assert_int_equal(fread(bytes, sizeof bytes, 1, file), 1);
    fclose(file);
    for (int i = 0; i < 4; i++) {
        memcpy(other, bytes, sizeof other);
        other[rows[i].at] = rows[i].value;
        rill__put64(other + 56, rill__checksum(other, 56));
        write_store_file(other);
        FAILS(rows[i].error, rill_open(test_path("store"), NULL, &none));
        assert_null(none);
    }
    write_store_file(bytes);
    OK(rill_open(test_path("store"), NULL, (rill **)state));
}

static void a_path_may_be_relative_and_end_with_slashes(void **state)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    char before[1000];
    char path[1500];
    struct stat st;
    rill *store;

    (void)state;
    snprintf(path, sizeof path, "%s///", test_path("slashes"));
    OK(rill_open(path, &options, &store));
    OK(rill_close(store));
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(test_path("")), 0);
    OK(rill_open("relative", &options, &store));
    OK(rill_close(store));
    assert_int_equal(stat("relative/STORE", &st), 0);
    assert_int_equal(chdir(before), 0);
    snprintf(path, sizeof path, "%s", test_path("slashes"));
    while (strlen(path) < 600) strcat(path, "/.");
    FAILS(RILL_ERR_INVALID, rill_open(path, NULL, &store));
    test_says("at most 511");
}

static void sizes_of_no_version_are_refused(void **state)
{
    rill_options options = {.size = 5000};
    rill_stats stats = {.size = 5000};
    rill *store;

    FAILS(RILL_ERR_INVALID, rill_open(test_path("store"), &options, &store));
    options.size = 4;
    FAILS(RILL_ERR_INVALID, rill_open(test_path("store"), &options, &store));
    FAILS(RILL_ERR_INVALID, rill_stats_get(*state, &stats));
    stats.size = 4;
    FAILS(RILL_ERR_INVALID, rill_stats_get(*state, &stats));
}

static void *give(void *arg, size_t size)
{
    return *(bool *)arg ? NULL : malloc(size);
}

static void *resize(void *arg, void *memory, size_t size)
{
    return *(bool *)arg ? NULL : realloc(memory, size);
}

static void take_back(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

static void a_handle_that_finds_no_memory_leaves_the_store_open(void **state)
{
    static bool none_left; /* the store outlives the test */
    rill_options options = {.size = sizeof options,
                            .allocator = {give, resize, take_back, &none_left}};
    rill *second = NULL;

    OK(rill_close(*state));
    OK(rill_open(test_path("store"), &options, (rill **)state));
    none_left = true;
    FAILS(RILL_ERR_NO_MEMORY, rill_open(test_path("store"), &options, &second));
    none_left = false;
    test_topic(*state, "t", 1);
    put(*state, "t", 0, 0, 1);
    options.allocator.release = NULL;
    FAILS(RILL_ERR_INVALID, rill_open(test_path("store"), &options, &second));
    test_says("release");
}

static long pretended_type;

static int pretend(int fd, struct statfs *st)
{
    int rc = fstatfs(fd, st);

    st->f_type = pretended_type;
    return rc;
}

static void memory_has_nothing_durable_to_read(void **state)
{
    rill_consumer_options options = {.size = sizeof options, .isolation = RILL_READ_DURABLE};
    rill_consumer *consumer;

    OK(rill_close(*state));
    pretended_type = 0x01021994;
    rill__sys.fstatfs = pretend;
    *state = test_store_open();
    FAILS(RILL_ERR_UNSUPPORTED, rill_consumer_open(*state, &options, &consumer));
    test_says("tmpfs");
}

/* ---- Topics ---- */

static void batches_that_no_segment_holds_are_refused(void **state)
{
    rill_topic_options topic = {
        .size = sizeof topic, .segment_bytes = 64 << 10, .max_message_bytes = 64 << 10};
    rill_topic_info info;

    FAILS(RILL_ERR_INVALID, rill_topic_create(*state, "t", &topic));
    test_says("max_message_bytes");
    topic.size = offsetof(rill_topic_options, max_message_bytes); /* does not know it */
    OK(rill_topic_create(*state, "t", &topic));
    OK(rill_topic_describe(*state, "t", &info));
    assert_int_equal(info.options.max_message_bytes, 60 << 10);
}

static const char *in_store(const char *name)
{
    static char path[900];

    snprintf(path, sizeof path, "%s/%s", test_path("store"), name);
    return path;
}

static void reopen(void **state)
{
    OK(rill_close(*state));
    *state = test_store_open();
}

static void directories_of_no_topic_are_swept_and_others_left(void **state)
{
    char name[40];
    struct stat st;

    test_topic(*state, "t", 1);
    for (int i = 0; i < 70; i++) {
        snprintf(name, sizeof name, "%032x", i);
        assert_int_equal(mkdir(in_store(name), 0700), 0);
    }
    snprintf(name, sizeof name, "%032x", 3);
    snprintf(name + 32, 3, "/0");
    assert_int_equal(mkdir(in_store(name), 0700), 0);
    snprintf(name, sizeof name, "%.32s", "not-a-topic-but-as-long-as-one-is");
    assert_int_equal(strlen(name), 32);
    assert_int_equal(mkdir(in_store(name), 0700), 0);
    reopen(state);
    assert_int_equal(stat(in_store(name), &st), 0);
    for (int i = 0; i < 70; i++) {
        snprintf(name, sizeof name, "%032x", i);
        assert_int_not_equal(stat(in_store(name), &st), 0);
    }
    put(*state, "t", 0, 0, 1);
}

static void what_cannot_be_swept_is_told(void **state)
{
    char name[60];
    rill *none = NULL;

    OK(rill_close(*state));
    *state = NULL;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%032x", i);
        assert_int_equal(mkdir(in_store(name), 0700), 0);
        snprintf(name, sizeof name, "%032x/letter", i);
        fclose(fopen(in_store(name), "w"));
    }
    assert_int_not_equal(rill_open(test_path("store"), NULL, &none), 0);
    assert_null(none);
    test_says("letter");
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%032x/letter", i);
        assert_int_equal(unlink(in_store(name)), 0);
    }
    OK(rill_open(test_path("store"), NULL, (rill **)state));
}

static void a_topic_whose_directory_is_lost_is_damaged(void **state)
{
    rill_topic_info info;
    char name[40] = "";

    test_topic(*state, "lost", 1);
    test_topic(*state, "t", 1);
    OK(rill_topic_describe(*state, "lost", &info));
    for (int i = 0; i < 16; i++) snprintf(name + (size_t)i * 2, 3, "%02x", info.id[i]);
    OK(rill_close(*state));
    test_remove(in_store(name));
    *state = test_store_open();
    FAILS(RILL_ERR_CORRUPT,
          rill_partition_describe(*state, "lost", 0, &(rill_partition_info){0}));
    test_says("in the catalogue");
    put(*state, "t", 0, 0, 1);
}

/* A directory of that name, in the place of the one that was deleted. */
static void a_topic_that_was_deleted_is_no_damage(void **state)
{
    struct store *store = ((rill *)*state)->store;
    struct meta_topic deleted;
    struct topic *topic;
    struct log *log;

    test_topic(*state, "t", 1);
    OK(rill__topic_find(store, "t", &topic));
    OK(rill__meta_topic_delete(store->meta, "t", &deleted)); /* by another process */
    test_remove(test_path("store/none"));
    {
        char name[TOPIC_DIRECTORY_SIZE];
        rill__topic_directory(topic->info.id, name);
        test_remove(in_store(name));
    }
    FAILS(RILL_ERR_NOT_FOUND, rill__partition_log(topic, 0, 1000, &log));
    test_says("was deleted");
    test_topic(*state, "t", 1); /* and made again */
    FAILS(RILL_ERR_NOT_FOUND, rill__partition_log(topic, 0, 1000, &log));
    put(*state, "t", 0, 0, 1);
}

/* All copies of a key's value in the catalogue's file change. */
static void spoil_record(const char *key)
{
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(test_path("store/meta/data.mdb"), "r+b");
    size_t key_size = strlen(key);
    size_t size;
    int found = 0;

    assert_non_null(file);
    size = fread(bytes, 1, sizeof bytes, file);
    for (size_t at = 0; at + key_size + 4 < size; at++)
        if (memcmp(bytes + at, key, key_size) == 0) {
            bytes[at + key_size + 2] ^= 1;
            found++;
        }
    assert_true(found > 0);
    rewind(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int visit_topic(void *arg, const rill_topic_info *info)
{
    (void)info;
    ++*(int *)arg;
    return 0;
}

static int visit_group(void *arg, const rill_group_info *info)
{
    (void)info;
    ++*(int *)arg;
    return 0;
}

static void a_list_with_damage_in_it_is_not_whole(void **state)
{
    rill_position position = {.topic = "healthy"};
    rill_consumer *consumer;
    char name[40];
    struct stat st;
    int count = 0;

    test_topic(*state, "healthy", 1);
    test_topic(*state, "spoiled-topic", 1);
    consumer = group_consumer(*state, "spoiled-group", 0);
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
    snprintf(name, sizeof name, "%032x", 1);
    assert_int_equal(mkdir(in_store(name), 0700), 0);
    OK(rill_close(*state));
    spoil_record("Tspoiled-topic");
    spoil_record("Gspoiled-group");
    *state = test_store_open();
    assert_int_equal(stat(in_store(name), &st), 0); /* may be that topic's */
    FAILS(RILL_ERR_CORRUPT, rill_topic_list(*state, visit_topic, &count));
    assert_int_equal(count, 1); /* up to it */
    FAILS(RILL_ERR_CORRUPT, rill_group_list(*state, visit_group, &count));
    assert_int_equal(count, 1);
    FAILS(RILL_ERR_CORRUPT, rill_sync(*state, WAIT_MS));
    put(*state, "healthy", 0, 0, 1);
}

/* ---- Records ---- */

static int append_one(rill_producer *producer, const rill_record *record)
{
    return rill_producer_append(producer, record, 1, WAIT_MS, NULL);
}

static void records_that_no_batch_may_hold_are_refused(void **state)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    const size_t too_much = ((size_t)1 << 30) + 1;
    rill_header header = {{"n", 1}, {"v", 1}};
    rill_header headers[3];
    int64_t number = 5;
    rill_record record = record_of(&number);
    rill_producer *producer;

    test_topic(*state, "t", 1);
    OK(rill_producer_open(*state, &options, &producer));
    record.timestamp_ms = -5;
    FAILS(RILL_ERR_INVALID, append_one(producer, &record));
    record.timestamp_ms = 0;
    record.key = (rill_bytes){NULL, 3};
    FAILS(RILL_ERR_INVALID, append_one(producer, &record));
    record.key = (rill_bytes){"k", too_much};
    FAILS(RILL_ERR_TOO_BIG, append_one(producer, &record));
    record.key = (rill_bytes){"k", 1};
    record.value = (rill_bytes){NULL, 3};
    FAILS(RILL_ERR_INVALID, append_one(producer, &record));
    record.value = (rill_bytes){"v", too_much};
    FAILS(RILL_ERR_TOO_BIG, append_one(producer, &record));
    record.value = (rill_bytes){"v", 1};
    for (int i = 0; i < 3; i++) headers[i] = header;
    record.headers = headers;
    record.header_count = 3;
    headers[1].name.size = too_much;
    FAILS(RILL_ERR_TOO_BIG, append_one(producer, &record));
    headers[1].name.size = 1;
    headers[1].value.size = too_much;
    FAILS(RILL_ERR_TOO_BIG, append_one(producer, &record));
    for (int i = 0; i < 3; i++) headers[i].value.size = (size_t)400 << 20; /* together */
    FAILS(RILL_ERR_TOO_BIG, append_one(producer, &record));
    FAILS(RILL_ERR_INVALID, rill_record_header(&record, 0, &header));
    for (int i = 0; i < 3; i++) headers[i].value.size = 1;
    OK(append_one(producer, &record));
    OK(rill_producer_close(producer, WAIT_MS));
    assert_int_equal(log_end_of(*state, "t", 0), 1);
}

/* Changes bytes of the first segment; consumers that verify nothing go on. */
static void set_byte(long at, uint8_t value)
{
    FILE *file = fopen(test_find_file("00000.log"), "r+b");

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_true(putc(value, file) != EOF);
    assert_int_equal(fclose(file), 0);
}

static rill_consumer *trusting_consumer(rill *store)
{
    rill_consumer_options options = {.size = sizeof options, .flags = RILL_CONSUMER_NO_CHECKSUMS};
    rill_position from = {"t", 0, -1, 0, NULL};
    rill_consumer *consumer = consumer_open(store, &options);

    OK(rill_consumer_assign(consumer, &from, 1));
    return consumer;
}

static void what_is_read_unverified_is_checked_all_the_same(void **state)
{
    enum { BATCH = 128, ATTRIBUTES = BATCH + 62, RECORD = BATCH + 64 };
    rill_consumer *consumer;
    rill_record record;
    size_t count;

    test_topic(*state, "t", 1);
    put(*state, "t", 0, 0, 2);
    set_byte(ATTRIBUTES, 3);
    consumer = trusting_consumer(*state);
    FAILS(RILL_ERR_CORRUPT, rill_consumer_poll(consumer, 0, &record, 1, &count));
    test_says("packed size");
    OK(rill_consumer_close(consumer, 0));
    set_byte(ATTRIBUTES, 0);
    set_byte(RECORD + 3, 0x70); /* its size */
    consumer = trusting_consumer(*state);
    FAILS(RILL_ERR_CORRUPT, rill_consumer_poll(consumer, 0, &record, 1, &count));
    test_says("runs out of its batch");
    OK(rill_consumer_seek(consumer, "t", 0, 1));
    takes(consumer, 1, 1);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Places ---- */

static void places_that_are_not_cannot_be_assigned(void **state)
{
    rill_position positions[2] = {{"t", 0, -1, 0, NULL}, {"t", 1, -1, 0, NULL}};
    const char *topics[2] = {"t", NULL};
    rill_consumer *consumer;
    size_t count;

    test_topic(*state, "t", 2);
    put(*state, "t", 0, 0, 1);
    consumer = group_consumer(*state, "g", 0);
    FAILS(RILL_ERR_INVALID, rill_consumer_subscribe(consumer, topics, 2));
    test_says("number 1");
    positions[0].topic = NULL;
    FAILS(RILL_ERR_INVALID, rill_consumer_assign(consumer, positions, 2));
    test_says("position 0");
    positions[0].topic = "t";
    positions[1].partition = 0;
    FAILS(RILL_ERR_INVALID, rill_consumer_assign(consumer, positions, 2));
    test_says("t-0 is named twice");
    OK(rill_consumer_assignment(consumer, NULL, 0, &count));
    assert_int_equal(count, 0);
    OK(rill_consumer_commit(consumer, NULL, 0)); /* of nothing */
    positions[1].partition = 1;
    OK(rill_consumer_assign(consumer, positions, 2));
    takes(consumer, 0, 1);
    OK(rill_consumer_unsubscribe(consumer));
    OK(rill_consumer_subscribe(consumer, topics, 1));
    FAILS(RILL_ERR_STATE, rill_consumer_assign(consumer, positions, 2));
    test_says("subscribed");
    OK(rill_consumer_subscribe(consumer, topics, 0)); /* to nothing: as unsubscribing */
    OK(rill_consumer_assign(consumer, positions, 2));
    OK(rill_consumer_close(consumer, 0));
}

static void several_places_come_and_go_all_or_none(void **state)
{
    rill_position both[2] = {{"t", 0, -1, 0, NULL}, {"t", 9, -1, 0, NULL}};
    rill_position nameless[2] = {{"t", 1, -1, 0, NULL}, {NULL, 0, -1, 0, NULL}};
    rill_position back[2] = {{"t", 9, -1, 0, NULL}, {"t", 1, -1, 0, NULL}};
    rill_consumer *consumer;
    size_t count;

    test_topic(*state, "t", 2);
    put(*state, "t", 1, 0, 2);
    consumer = test_consumer(*state, "t", 1, 0);
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_incremental_assign(consumer, both, 2));
    FAILS(RILL_ERR_STATE, rill_consumer_incremental_unassign(consumer, back, 2));
    test_says("position 0: t-9 is not assigned");
    FAILS(RILL_ERR_STATE, rill_consumer_incremental_unassign(consumer, nameless, 2));
    test_says("position 1: no topic-0 is not assigned");
    OK(rill_consumer_assignment(consumer, NULL, 0, &count));
    assert_int_equal(count, 1);
    takes(consumer, 0, 2);
    FAILS(RILL_ERR_STATE, rill_consumer_commit_async(consumer, NULL, 0, NULL, NULL));
    test_says("without a group has nothing to commit to");
    OK(rill_consumer_close(consumer, RILL_FOREVER));
}

static void places_that_are_not_cannot_be_committed(void **state)
{
    rill_position positions[2] = {{NULL, 0, -1, 0, NULL}, {"t", 0, -1, 0, NULL}};
    rill_position committed;
    rill_consumer *consumer;

    test_topic(*state, "t", 1);
    put(*state, "t", 0, 0, 3);
    consumer = group_consumer(*state, "g", 0);
    FAILS(RILL_ERR_INVALID, rill_consumer_commit(consumer, positions, 2));
    positions[0] = (rill_position){"t", 0, -1, -2, NULL};
    FAILS(RILL_ERR_RANGE, rill_consumer_commit(consumer, positions, 2));
    positions[0].offset = 4;
    FAILS(RILL_ERR_RANGE, rill_consumer_commit(consumer, positions, 1));
    test_says("[0, 3]");
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_committed(consumer, "t", 1, &committed, NULL, 0));
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_committed(consumer, "t", -1, &committed, NULL, 0));
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_committed(consumer, "u", 0, &committed, NULL, 0));
    OK(rill_consumer_committed(consumer, "t", 0, &committed, NULL, 0));
    assert_int_equal(committed.offset, RILL_OFFSET_NONE);
    OK(rill_consumer_close(consumer, 0));
    consumer = test_consumer(*state, "t", 0, 0);
    FAILS(RILL_ERR_STATE, rill_consumer_committed(consumer, "t", 0, &committed, NULL, 0));
    OK(rill_consumer_close(consumer, 0));
}

static void a_committed_offset_outside_of_the_log_is_told(void **state)
{
    struct store *store = ((rill *)*state)->store;
    struct meta_offset offset = {.offset = 50};
    rill_position from = {"t", 0, -1, RILL_OFFSET_NONE, NULL};
    rill_consumer *consumer;
    rill_topic_info info;
    rill_record record;
    size_t count;
    int64_t lag;

    test_topic(*state, "t", 1);
    put(*state, "t", 0, 0, 3);
    OK(rill_topic_describe(*state, "t", &info));
    memcpy(offset.topic_id, info.id, sizeof offset.topic_id);
    OK(rill__meta_offsets_commit(store->meta, "g", &offset, 1));
    consumer = group_consumer(*state, "g", RILL_RESET_ERROR);
    OK(rill_consumer_assign(consumer, &from, 1));
    FAILS(RILL_ERR_RANGE, rill_consumer_poll(consumer, 0, &record, 1, &count));
    test_says("50 is outside [0, 3]");
    OK(rill_consumer_lag(consumer, "t", 0, &lag));
    assert_int_equal(lag, 3);                    /* all that there is */
    OK(rill_consumer_commit(consumer, NULL, 0)); /* its place is not known: nothing */
    OK(rill_consumer_seek(consumer, "t", 0, 1));
    takes(consumer, 1, 2);
    OK(rill_consumer_commit(consumer, NULL, 0));
    OK(rill_consumer_close(consumer, 0));
    consumer = group_consumer(*state, "g", RILL_RESET_ERROR);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes_nothing(consumer); /* from 3 on */
    OK(rill_consumer_close(consumer, 0));
}

static void without_a_group_nothing_is_committed_by_itself(void **state)
{
    rill_consumer_options options = {.size = sizeof options, .auto_commit_interval_ms = 1};
    rill_position from = {"t", 0, -1, 0, NULL};
    rill_consumer *consumer;

    test_topic(*state, "t", 1);
    put(*state, "t", 0, 0, 2);
    consumer = consumer_open(*state, &options);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes(consumer, 0, 2);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes(consumer, 0, 2);
    OK(rill_consumer_close(consumer, 0));
}

/* Until somebody commits for the group. */
static void an_answer_to_the_reset_policy_may_come_from_elsewhere(void **state)
{
    rill_position from = {"t", 0, -1, RILL_OFFSET_NONE, NULL};
    rill_position end = {"t", 0, -1, 2, NULL};
    rill_consumer *consumer;
    rill_consumer *other;
    rill_record record;
    size_t count;

    test_topic(*state, "t", 1);
    put(*state, "t", 0, 0, 2);
    consumer = group_consumer(*state, "g", RILL_RESET_ERROR);
    other = group_consumer(*state, "g", RILL_RESET_ERROR);
    OK(rill_consumer_assign(consumer, &from, 1));
    FAILS(RILL_ERR_NO_OFFSET, rill_consumer_poll(consumer, 0, &record, 1, &count));
    OK(rill_consumer_commit(other, &end, 1));
    takes_nothing(consumer);
    put(*state, "t", 0, 2, 1);
    takes(consumer, 2, 1);
    OK(rill_consumer_close(other, 0));
    OK(rill_consumer_close(consumer, 0));
}

static void what_is_deleted_is_not_committed(void **state)
{
    rill_position positions[2] = {{"t", 0, -1, 0, NULL}, {"u", 0, -1, 0, NULL}};
    rill_position committed;
    rill_consumer *consumer;

    test_topic(*state, "t", 1);
    test_topic(*state, "u", 1);
    put(*state, "t", 0, 0, 1);
    put(*state, "u", 0, 1, 1);
    consumer = group_consumer(*state, "g", 0);
    OK(rill_consumer_assign(consumer, positions, 2));
    takes(consumer, 0, 2);
    OK(rill_topic_delete(*state, "t"));
    OK(rill_consumer_commit(consumer, NULL, 0));
    OK(rill_consumer_committed(consumer, "u", 0, &committed, NULL, 0));
    assert_int_equal(committed.offset, 1);
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_committed(consumer, "t", 0, &committed, NULL, 0));
    OK(rill_consumer_close(consumer, 0));
}

static int no_member(void *arg, const rill_group_member *member)
{
    (void)arg, (void)member;
    return 0;
}

static int no_fact(void *arg, const rill_fact *fact)
{
    (void)arg, (void)fact;
    return 0;
}

static void a_group_that_cannot_be_named_is_refused(void **state)
{
    rill_group_info info;
    rill_consumer_options options = {.size = sizeof options, .group = "a/b"};
    rill_subject subject = {.group = "a b"};
    rill_consumer *consumer;

    FAILS(RILL_ERR_INVALID, rill_group_describe(*state, "", &info));
    FAILS(RILL_ERR_INVALID, rill_group_delete(*state, "a b"));
    FAILS(RILL_ERR_INVALID, rill_group_members(*state, "a b", no_member, NULL));
    FAILS(RILL_ERR_INVALID, rill_explain(*state, &subject, no_fact, NULL));
    FAILS(RILL_ERR_INVALID, rill_consumer_open(*state, &options, &consumer));
    options.group = "g";
    options.client_id = "a client of mine";
    OK(rill_consumer_open(*state, &options, &consumer));
    FAILS(RILL_ERR_NOT_FOUND,
          rill_partition_offset_for_time(*state, "none", 0, 0, &(rill_offset){0}));
    OK(rill_consumer_close(consumer, 0));
}

static int nobodys_plan(void *arg, const rill_assignor_member *members, size_t member_count,
                        const rill_assignor_topic *topics, size_t topic_count)
{
    (void)arg, (void)members, (void)member_count, (void)topics, (void)topic_count;
    return 0;
}

static void options_of_members_must_fit_together(void **state)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_consumer *consumer;

    options.assignors = 1u << RILL_ASSIGN_RANGE | 1u << RILL_ASSIGN_OWN;
    FAILS(RILL_ERR_INVALID, rill_consumer_open(*state, &options, &consumer));
    options.own_assignor = nobodys_plan;
    FAILS(RILL_ERR_INVALID, rill_consumer_open(*state, &options, &consumer));
    test_says("RILL_ASSIGN_OWN needs own_assignor and own_assignor_name");
    options.own_assignor_name = "nobody";
    OK(rill_consumer_open(*state, &options, &consumer));
    OK(rill_consumer_close(consumer, 0));
    options.group = NULL;
    options.group_instance_id = "i";
    FAILS(RILL_ERR_INVALID, rill_consumer_open(*state, &options, &consumer));
    test_says("group_instance_id i, but no group");
}

static void a_subscription_is_taken_whole_or_not(void **state)
{
    const char *const bad[] = {"a b", "t"};
    const char *const lines[] = {"^t\n"};
    const char *const twice[] = {"t", "^_", "t"};
    struct store *store = ((rill *)*state)->store;
    struct group_topic *topics;
    rill_position parts[4];
    rill_consumer *consumer = group_consumer(*state, "g", RILL_RESET_EARLIEST);
    size_t count;

    test_topic(*state, "t", 1);
    test_topic(*state, "_t", 1);
    test_topic(*state, "__t", 1); /* internal */
    FAILS(RILL_ERR_INVALID, rill_consumer_subscribe(consumer, bad, 2));
    FAILS(RILL_ERR_INVALID, rill_consumer_subscribe(consumer, lines, 1));
    test_says("expression number 0 has a newline");
    OK(rill__subscription_topics(store, "\n\nt\n\n", &topics, &count)); /* empty lines */
    assert_int_equal(count, 1);
    rill__subscription_free(&store->heap, topics, count);
    OK(rill_consumer_subscribe(consumer, twice, 3));
    takes_nothing(consumer);
    OK(rill_consumer_assignment(consumer, parts, 4, &count));
    assert_int_equal(count, 2);
    OK(rill_consumer_close(consumer, 0));
}

static void a_group_that_is_damaged_is_told_by_whatever_looks_at_it(void **state)
{
    rill *store = *state;
    rill_position position = {.topic = "t"};
    rill_group_reset_options reset = {.size = sizeof reset, .to = RILL_RESET_TO_LATEST};
    rill_consumer *consumer = group_consumer(store, "g", 0);
    rill_group_info info;
    char text[] = "t";

    test_topic(store, "t", 1);
    OK(rill_consumer_commit(consumer, &position, 1));
    elsewhere_spoil(store, "g");
    elsewhere_spoil(store, "h");
    consumer->membership.id = 5; /* as a member's it is damaged, too */
    consumer->subscription = text;
    FAILS(RILL_ERR_CORRUPT, rill_consumer_commit(consumer, &position, 1));
    consumer->subscription = NULL;
    FAILS(RILL_ERR_CORRUPT, rill_group_describe(store, "g", &info));
    test_says("group g: ");
    FAILS(RILL_ERR_CORRUPT, rill_group_members(store, "g", no_member, NULL));
    FAILS(RILL_ERR_CORRUPT, rill_consumer_commit(consumer, &position, 1));
    FAILS(RILL_ERR_CORRUPT, rill_group_reset(store, "g", &reset));
    FAILS(RILL_ERR_CORRUPT, rill_group_delete(store, "g"));
    atomic_store(&store->store->expire_ms, 0);
    FAILS(RILL_ERR_CORRUPT, rill_maintain(store, NULL));
    test_says("group g: "); /* the first of both */
    OK(rill__meta_group_delete(store->store->meta, "g", NULL, NULL));
    OK(rill__meta_group_delete(store->store->meta, "h", NULL, NULL));
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
}

static void a_topic_that_is_gone_is_not_measured(void **state)
{
    static char text[64 << 10];

    test_topic(*state, "t", 2);
    put(*state, "t", 1, 0, 2);
    OK(rill_metrics(*state, text, sizeof text, NULL));
    assert_non_null(strstr(text, "topic=\"t\",partition=\"1\"} 2"));
    OK(rill_topic_delete(*state, "t"));
    OK(rill_metrics(*state, text, sizeof text, NULL));
    assert_null(strstr(text, "topic=\"t\""));
}

/* ---- Syncs that fail ---- */

static _Atomic bool syncs_fail;

static int failing_sync(int fd)
{
    if (!atomic_load(&syncs_fail)) return real.fdatasync(fd);
    errno = EIO;
    return -1;
}

static void closing_tells_the_first_of_several_failures(void **state)
{
    test_topic(*state, "t", 3);
    for (int p = 0; p < 3; p++) put(*state, "t", p, 0, 1);
    rill__sys.fdatasync = failing_sync;
    atomic_store(&syncs_fail, true);
    FAILS(RILL_ERR_IO, rill_close(*state));
    test_says("sync failed");
    atomic_store(&syncs_fail, false);
    *state = test_store_open();
    put(*state, "t", 0, 1, 1);
}

static struct {
    _Atomic int errors;
    pthread_mutex_t lock;
    char last[500];
    int repeated;
} lines = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void keep_error(void *arg, int level, const char *line)
{
    (void)arg;
    if (level != RILL_LOG_ERROR) return;
    pthread_mutex_lock(&lines.lock);
    if (strcmp(lines.last, line) == 0) lines.repeated++;
    snprintf(lines.last, sizeof lines.last, "%s", line);
    pthread_mutex_unlock(&lines.lock);
    atomic_fetch_add(&lines.errors, 1);
}

static void the_thread_of_the_store_says_once_what_fails(void **state)
{
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_THREAD,
                            .log = keep_error,
                            .sync_interval_ms = 1};
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .linger_ms = 3600000, .delivery = NULL};
    struct patience patience = {0};
    rill_producer *producer;
    rill_record record;
    int64_t number = 0;

    OK(rill_close(*state));
    *state = test_store_open();
    test_topic(*state, "t", 2);
    OK(rill_close(*state));
    rill__sys.fdatasync = failing_sync;
    OK(rill_open(test_path("store"), &options, (rill **)state));
    put(*state, "t", 1, 0, 1);
    OK(rill_producer_open(*state, &out, &producer));
    record = record_of(&number);
    for (int i = 0; i < 20; i++) { /* due in an hour: it need not wake up for these */
        OK(rill_producer_send(producer, &record, NULL, 0));
        OK(rill_producer_flush(producer, WAIT_MS));
        usleep(500);
    }
    atomic_store(&syncs_fail, true);
    put(*state, "t", 1, 0, 1);
    while (atomic_load(&lines.errors) < 1) wait_a_little(&patience);
    usleep(30000); /* it goes on meeting it */
    pthread_mutex_lock(&lines.lock);
    assert_true(lines.last[0] != '\0');
    assert_int_equal(lines.repeated, 0);
    pthread_mutex_unlock(&lines.lock);
    rill_producer_close(producer, WAIT_MS);
    assert_int_not_equal(rill_close(*state), 0);
    atomic_store(&syncs_fail, false);
    *state = test_store_open();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_of_a_format_to_come_is_refused),
        TEST(a_path_may_be_relative_and_end_with_slashes),
        TEST(sizes_of_no_version_are_refused),
        TEST(a_handle_that_finds_no_memory_leaves_the_store_open),
        TEST(memory_has_nothing_durable_to_read),
        TEST(batches_that_no_segment_holds_are_refused),
        TEST(directories_of_no_topic_are_swept_and_others_left),
        TEST(what_cannot_be_swept_is_told),
        TEST(a_topic_whose_directory_is_lost_is_damaged),
        TEST(a_topic_that_was_deleted_is_no_damage),
        TEST(a_list_with_damage_in_it_is_not_whole),
        TEST(records_that_no_batch_may_hold_are_refused),
        TEST(what_is_read_unverified_is_checked_all_the_same),
        TEST(places_that_are_not_cannot_be_assigned),
        TEST(places_that_are_not_cannot_be_committed),
        TEST(a_committed_offset_outside_of_the_log_is_told),
        TEST(without_a_group_nothing_is_committed_by_itself),
        TEST(an_answer_to_the_reset_policy_may_come_from_elsewhere),
        TEST(what_is_deleted_is_not_committed),
        TEST(a_group_that_cannot_be_named_is_refused),
        TEST(several_places_come_and_go_all_or_none),
        TEST(options_of_members_must_fit_together),
        TEST(a_subscription_is_taken_whole_or_not),
        TEST(a_group_that_is_damaged_is_told_by_whatever_looks_at_it),
        TEST(a_topic_that_is_gone_is_not_measured),
        TEST(closing_tells_the_first_of_several_failures),
        TEST(the_thread_of_the_store_says_once_what_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
