/*
 * Stores in states that no library leaves: what the catalogue says that cannot be, files
 * and directories where others should be, and what a repair finds in its way. What a check
 * tells, a repair mends, or says why not; and then all records are there.
 */
#include "checks.h"
#include "faults.h"
#include "records.h"
#include "samples.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "meta/meta.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static uint8_t topic_id[16]; /* of t, and other */
static uint8_t other_id[16];
static char directory[33]; /* of t */

static int set_up(void **state)
{
    rill_topic_info info;

    sample_set_up(state);
    OK(rill_topic_describe(store, "other", &info));
    memcpy(other_id, info.id, 16);
    OK(rill_topic_describe(store, "t", &info));
    memcpy(topic_id, info.id, 16);
    for (int i = 0; i < 16; i++) snprintf(directory + (size_t)i * 2, 3, "%02x", info.id[i]);
    closed("");
    return 0;
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, sample_tear_down)

/* In the store, in a buffer of its own. */
static const char *in_store(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *in_store(const char *format, ...)
{
    static char path[1500];
    size_t size = (size_t)snprintf(path, sizeof path, "%s/", test_path("store"));
    va_list args;

    va_start(args, format);
    vsnprintf(path + size, sizeof path - size, format, args);
    va_end(args);
    return path;
}

static void make_file(const char *path, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---- Repairs ---- */

static struct {
    int count;
    int of[32]; /* by kind */
    char topics[1000];
    char texts[4000];
    char quarantine[300]; /* of the last one that has moved something */
    int answer;
} did;
static rill_repair_report report;

static int note(void *arg, const rill_repair_action *action)
{
    size_t size = strlen(did.texts);

    (void)arg;
    did.count++;
    assert_in_range(action->kind, 0, 31);
    did.of[action->kind]++;
    snprintf(did.texts + size, sizeof did.texts - size, "%s\n", action->text);
    size = strlen(did.topics);
    if (action->topic != NULL)
        snprintf(did.topics + size, sizeof did.topics - size, "%s ", action->topic);
    if (action->quarantine != NULL)
        snprintf(did.quarantine, sizeof did.quarantine, "%s", action->quarantine);
    return did.answer;
}

static int repair(uint32_t flags)
{
    rill_repair_options options = {.size = sizeof options, .flags = flags, .visit = note};
    int answer = did.answer;

    memset(&did, 0, sizeof did);
    did.answer = answer;
    report = (rill_repair_report){.size = sizeof report};
    return rill_repair(test_path("store"), &options, &report);
}

/* All records of both topics are there. */
static void is_whole(void)
{
    check_store();
    for (int i = 0; i < found_count; i++)
        if (found[i].severity != RILL_LOG_INFO) fail_msg("still:%s", check_says());
    assert_int_equal(found_report.record_count, RECORDS + 3);
    store = test_store_open();
    assert_int_equal(log_end_of(store, "t", 0), RECORDS);
    assert_int_equal(log_end_of(store, "other", 0), 3);
    sample_close();
}

/* ---- The catalogue ---- */

static struct heap heap;
static struct meta *meta;

static void open_catalogue(void)
{
    rill__heap_init(&heap, NULL, 0);
    OK(rill__meta_open(&heap, test_path("store/meta"), false, &meta));
}

static void close_catalogue(void)
{
    rill__meta_close(meta);
    meta = NULL;
}

static void commit(const char *group, const uint8_t id[16], int32_t partition, int64_t offset)
{
    struct meta_offset o = {.partition = partition, .offset = offset};

    memcpy(o.topic_id, id, 16);
    OK(rill__meta_offsets_commit(meta, group, &o, 1));
}

static void a_topic_that_cannot_be_is_told(void **state)
{
    static const struct {
        const char *name;
        uint32_t partitions;
        uint64_t segment_bytes;
        const char *says;
    } rows[] = {{"x", 0, 1 << 20, "topic x has a number of partitions"},
                {"x", 10001, 1 << 20, "topic x has a number of partitions"},
                {"x", 1, 4095, "topic x has segments of a size"},
                {"x", 1, (UINT64_C(1) << 30) + 1, "topic x has segments of a size"},
                {"x/y", 1, 1 << 20, "topic x/y has a name that no topic has"},
                {"", 1, 1 << 20, "has a name that no topic has"}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct meta_topic info = {.partition_count = rows[i].partitions,
                                  .segment_bytes = rows[i].segment_bytes};
        const struct found *f;
        snprintf(info.name, sizeof info.name, "%s", rows[i].name);
        memset(info.id, 0xab, 16);
        open_catalogue();
        OK(rill__meta_topic_create(meta, &info));
        close_catalogue();
        check_store();
        f = check_found(RILL_DAMAGE_CATALOGUE_RECORD);
        if (strstr(f->text, rows[i].says) == NULL) fail_msg("row %zu: %s", i, f->text);
        assert_int_equal(found_count, 1);
        assert_int_equal(found_report.record_count, RECORDS + 3);
        open_catalogue();
        OK(rill__meta_topic_delete(meta, rows[i].name, &info));
        close_catalogue();
    }
    is_whole();
}

static void commits_for_nothing_are_told_and_removed(void **state)
{
    static const uint8_t gone[16] = {1};
    static const uint8_t gone_too[16] = {2};

    (void)state;
    open_catalogue();
    commit("g2", topic_id, -1, 3);
    commit("g2", topic_id, 2, 3);
    commit("g3", gone, 0, 3);
    commit("g3", gone, 1, 3); /* said with the one before */
    commit("g3", gone_too, 0, 3);
    commit("g4", gone_too, 0, 3);
    close_catalogue();
    check_store();
    assert_int_equal(found_count, 5);
    for (int i = 0; i < found_count; i++) assert_int_equal(found[i].kind, RILL_DAMAGE_COMMIT);
    assert_int_equal(found_report.note_count, 3);
    assert_int_equal(found_report.warning_count, 2);
    store = test_store_open(); /* topics, and partitions, may come meanwhile */
    check_store();
    assert_int_equal(found_count, 0);
    sample_close();
    OK(repair(RILL_REPAIR_DRY_RUN));
    assert_int_equal(did.of[RILL_REPAIR_COMMIT], 6);
    did.answer = 21;
    assert_int_equal(repair(0), 21);
    assert_int_equal(did.count, 1);
    did.answer = 0;
    OK(repair(0));
    assert_int_equal(did.of[RILL_REPAIR_COMMIT], 5); /* one is removed already */
    check_is_clean();
    is_whole();
}

struct group_bytes {
    uint8_t bytes[64];
    size_t size;
};

static int keep_bytes(void *arg, const struct meta_group *group, struct meta_group_change *change)
{
    const struct group_bytes *state = arg;

    (void)group;
    change->store = true;
    change->generation = 5;
    change->state = state->bytes;
    change->state_size = state->size;
    return 0;
}

static void a_group_of_a_newer_library_is_left_alone(void **state)
{
    struct group_bytes newer = {.size = 64};

    (void)state;
    rill__put32(newer.bytes, 2);
    open_catalogue();
    OK(rill__meta_group_step(meta, "g2", 1000, keep_bytes, &newer));
    close_catalogue();
    check_store();
    assert_int_equal(found_count, 1);
    assert_non_null(strstr(check_found(RILL_DAMAGE_FORMAT)->text, "Group g2 cannot be used"));
    FAILS(RILL_ERR_FORMAT, repair(0));
    test_says("Group g2");
    assert_int_equal(did.count, 0);
    check_store();
    check_found(RILL_DAMAGE_FORMAT);
}

static int answer_of;
static int told;

static int end_at(void *arg, const rill_damage *damage)
{
    (void)arg, (void)damage;
    return ++told == answer_of ? 31 : 0;
}

static void whoever_is_told_may_end_it_anywhere(void **state)
{
    static const uint8_t gone[16] = {1};
    struct group_bytes spoilt = {.size = 3};
    rill_check_options options = {.size = sizeof options, .visit = end_at};
    rill_check_report ignored = {.size = sizeof ignored};

    (void)state;
    open_catalogue();
    OK(rill__meta_group_step(meta, "g2", 1000, keep_bytes, &spoilt));
    OK(rill__meta_group_step(meta, "g3", 1000, keep_bytes, &spoilt));
    commit("g3", gone, 0, 3);
    commit("g4", gone, 0, 3);
    close_catalogue();
    make_file(in_store("note.txt"), 0);
    test_remove(in_store("%s/1", directory));
    make_file(in_store("%s/stray", directory), 0);
    check_store();
    assert_int_equal(found_count, 7);
    for (answer_of = 1; answer_of <= 7; answer_of++) {
        told = 0;
        assert_int_equal(rill_check(test_path("store"), &options, &ignored), 31);
        assert_int_equal(told, answer_of);
    }
    told = 0;
    OK(rill_check(test_path("store"), &options, &ignored));
    assert_int_equal(told, 7);
}

static void a_check_has_room_for_many_topics(void **state)
{
    (void)state;
    open_catalogue();
    for (int i = 0; i < 150; i++) {
        struct meta_topic info = {.partition_count = 1, .segment_bytes = 1 << 20};
        snprintf(info.name, sizeof info.name, "topic-%d", i);
        info.id[0] = (uint8_t)i;
        OK(rill__meta_topic_create(meta, &info));
    }
    close_catalogue();
    check_store();
    assert_int_equal(found_count, 150);
    assert_int_equal(found_report.topic_count, 152);
    for (int i = 0; i < FOUND_MAX - 1; i++) {
        assert_int_equal(found[i].kind, RILL_DAMAGE_TOPIC_MISSING);
        assert_int_equal(found[i].partition, -1);
    }
    OK(repair(0));
    assert_int_equal(did.of[RILL_REPAIR_PARTITION], 150);
    is_whole();
}

/* ---- Files and directories ---- */

static void only_names_of_partitions_are_taken_for_some(void **state)
{
    static const char *const strays[] = {"01", "123456", "1x", "10000", "x"};

    (void)state;
    for (size_t i = 0; i < COUNT(strays); i++)
        assert_int_equal(mkdir(in_store("%s/%s", directory, strays[i]), 0700), 0);
    assert_int_equal(mkdir(in_store("%s/7", directory), 0700), 0);
    assert_int_equal(mkdir(in_store("0123456789abcdef0123456789abcdeg"), 0700), 0);
    check_store();
    assert_int_equal(found_count, 7);
    for (int i = 0; i < 7; i++) {
        const struct found *f = &found[i];
        const char *says = strstr(f->file, "/7") != NULL ? "a partition that the topic does not"
                           : f->topic[0] == '\0'         ? "nothing that a store has"
                                                         : "nothing that a topic has";
        assert_int_equal(f->kind, RILL_DAMAGE_LEFTOVER);
        if (strstr(f->text, says) == NULL) fail_msg("%s: %s", f->file, f->text);
    }
    OK(repair(0));
    is_whole();
}

static void a_file_in_the_place_of_a_directory_is_told(void **state)
{
    (void)state;
    test_remove(in_store("%s/1", directory));
    make_file(in_store("%s/1", directory), 5);
    check_store();
    assert_int_equal(check_found(RILL_DAMAGE_TOPIC_MISSING)->partition, 1);
    assert_int_equal(found_report.record_count, RECORDS + 3);
    FAILS(RILL_ERR_NOT_FOUND, repair(0)); /* it may be somebody's */
    test_says("Not a directory");
    assert_true(exists(in_store("%s/1", directory)));
    assert_int_equal(unlink(in_store("%s/1", directory)), 0);
    OK(repair(0));
    assert_int_equal(did.of[RILL_REPAIR_PARTITION], 1);
    is_whole();
}

static void a_directory_that_cannot_be_opened_is_not_called_lost(void **state)
{
    (void)state;
    faults_fail(FAULT_OPENAT, directory, 1, EACCES, FAULT_ONCE);
    check_store();
    faults_clear();
    check_found(RILL_DAMAGE_UNREADABLE);
    assert_int_equal(found_report.records_lost, 0);
    is_whole();
}

static void a_dry_run_makes_no_directory(void **state)
{
    (void)state;
    test_remove(in_store("%s/1", directory));
    assert_int_equal(unlink(in_store("STORE")), 0);
    OK(repair(RILL_REPAIR_DRY_RUN));
    assert_int_equal(did.of[RILL_REPAIR_PARTITION], 1);
    assert_int_equal(did.of[RILL_REPAIR_STORE_FILE], 1);
    assert_false(exists(in_store("STORE")) || exists(in_store("%s/1", directory)));
    test_remove(in_store("%s", directory));
    OK(repair(RILL_REPAIR_DRY_RUN));
    assert_int_equal(did.of[RILL_REPAIR_PARTITION], 2);
    assert_false(exists(in_store("%s", directory)));
    OK(repair(0));
    assert_int_equal(did.of[RILL_REPAIR_PARTITION], 2);
    assert_int_equal(did.of[RILL_REPAIR_STORE_FILE], 1);
    assert_string_equal(did.quarantine, "");
    check_store();
    assert_int_equal(found_report.error_count + found_report.warning_count, 0);
}

static void a_store_of_a_newer_format_is_left_alone(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } rows[] = {{7, '2'}, {8, 9}, {12, 1}};
    uint8_t good[64];
    uint8_t bytes[64];
    int fd = open(in_store("STORE"), O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(read(fd, good, sizeof good), sizeof good);
    close(fd);
    for (size_t i = 0; i < COUNT(rows); i++) {
        memcpy(bytes, good, sizeof bytes);
        bytes[rows[i].at] = rows[i].value;
        rill__put64(bytes + 56, rill__checksum(bytes, 56));
        change(in_store("STORE"), 0, bytes, sizeof bytes);
        check_store();
        assert_int_equal(found_count, 1);
        assert_non_null(strstr(check_found(RILL_DAMAGE_FORMAT)->text, "cannot be opened"));
        FAILS(RILL_ERR_FORMAT, repair(0));
        assert_int_equal(did.count, 0);
        FAILS(RILL_ERR_FORMAT, rill_open(test_path("store"), NULL, &store));
        store = NULL;
    }
    change(in_store("STORE"), 0, good, sizeof good);
    is_whole();
}

static void a_report_has_its_size(void **state)
{
    static const size_t sizes[] = {0, sizeof(size_t) - 1, 4097, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        rill_check_report checked = {.size = sizes[i]};
        rill_repair_report repaired = {.size = sizes[i]};
        FAILS(RILL_ERR_INVALID, rill_check(test_path("store"), NULL, &checked));
        test_says("sizeof(rill_check_report)");
        FAILS(RILL_ERR_INVALID, rill_repair(test_path("store"), NULL, &repaired));
        test_says("sizeof(rill_repair_report)");
        assert_int_equal(checked.size, sizes[i]);
    }
}

/* ---- What a repair makes of directories ---- */

static void lose_the_catalogue(void)
{
    assert_int_equal(unlink(in_store("meta/data.mdb")), 0);
}

static void a_lost_topic_is_what_its_directory_has(void **state)
{
    rill_topic_info info;
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "recovered-%s", directory);
    make_file(in_store("%s/README", directory), 0);
    make_file(in_store("%s/9", directory), 0); /* a partition's name, but no directory */
    make_file(in_store("%s/0/%s", directory, "0000000000000000.large.big"), 1 << 20);
    make_file(in_store("%s/0/%s", directory, "00000000000000000000.txt"), 1 << 20);
    assert_int_equal(truncate(in_store("%s/0/" SECOND, directory), 50000), 0);
    lose_the_catalogue();
    OK(repair(RILL_REPAIR_DRY_RUN));
    assert_int_equal(did.of[RILL_REPAIR_TOPIC], 2);
    assert_false(exists(in_store("meta/data.mdb")));
    assert_int_equal(unlink(in_store("%s/9", directory)), 0);
    OK(repair(0));
    assert_int_equal(did.of[RILL_REPAIR_TOPIC], 2);
    assert_non_null(strstr(did.topics, name));
    check_store();
    assert_int_equal(found_report.error_count, 0);
    store = test_store_open();
    OK(rill_topic_describe(store, name, &info));
    assert_int_equal(info.options.partition_count, 2);
    assert_int_equal(info.options.segment_bytes, 64 << 10); /* the largest of them */
    assert_int_equal(log_end_of(store, name, 0), RECORDS);
}

/* Segments that no topic has say nothing of the topic's. */
static void a_size_that_no_segment_has_is_not_taken_over(void **state)
{
    rill_topic_info info;
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "recovered-%s", directory);
    assert_int_equal(unlink(in_store("%s/0/" FIRST, directory)), 0);
    assert_int_equal(unlink(in_store("%s/0/" SECOND, directory)), 0);
    test_remove(in_store("%s/1", directory));
    make_file(in_store("%s/0/" FIRST, directory), 4096);
    lose_the_catalogue();
    OK(repair(0));
    store = test_store_open();
    OK(rill_topic_describe(store, name, &info));
    assert_int_equal(info.options.partition_count, 1);
    assert_true(info.options.segment_bytes > 1 << 20);
}

static void names_in_quarantine_are_not_taken_twice(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char quarantine[300];
        test_flip_bit(in_store("STORE"), 20);
        OK(repair(0));
        assert_int_equal(did.of[RILL_REPAIR_STORE_FILE], 1);
        snprintf(quarantine, sizeof quarantine,
                 i == 0 ? "quarantine/STORE" : "quarantine/STORE.%d", i);
        assert_string_equal(did.quarantine, quarantine);
        assert_true(exists(in_store("%s", quarantine)));
        is_whole();
    }
    test_flip_bit(in_store("STORE"), 20);
    assert_int_equal(mkdir(in_store("quarantine/STORE.3"), 0700), 0);
    assert_int_equal(link(in_store("STORE"), test_path("second")), 0);
    assert_int_equal(rename(test_path("second"), in_store("quarantine/STORE.4")), 0);
    OK(repair(0)); /* a repair that died after it had given it the name */
    assert_string_equal(did.quarantine, "quarantine/STORE.4");
    assert_false(exists(in_store("quarantine/STORE.5")));
    is_whole();
}

static void what_cannot_have_a_second_name_is_copied(void **state)
{
    uint8_t before[64];
    uint8_t after[64];
    int fd;

    (void)state;
    test_flip_bit(in_store("STORE"), 20);
    fd = open(in_store("STORE"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, before, sizeof before), sizeof before);
    close(fd);
    faults_fail(FAULT_LINKAT, NULL, 1, EPERM, FAULT_ONCE);
    OK(repair(0));
    faults_clear();
    assert_string_equal(did.quarantine, "quarantine/STORE");
    fd = open(in_store("quarantine/STORE"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, after, sizeof after), sizeof after);
    close(fd);
    assert_memory_equal(before, after, sizeof before);
    is_whole();
    test_flip_bit(in_store("%s/0/" FIRST, directory), SEGMENT_HEADER + 5 * BATCH + 500);
    faults_fail(FAULT_LINKAT, NULL, 1, EPERM, FAULT_ONCE);
    OK(repair(0)); /* a large one */
    faults_clear();
    check_store();
    assert_int_equal(found_report.error_count, 0);
    assert_true(exists(in_store("quarantine/%s/0/" FIRST, directory)));
}

static void quarantine_may_be_in_the_way(void **state)
{
    (void)state;
    test_flip_bit(in_store("STORE"), 20);
    make_file(in_store("quarantine"), 0);
    assert_int_not_equal(repair(0), 0);
    test_says("quarantine");
    assert_int_equal(did.count, 0);
    assert_int_equal(unlink(in_store("quarantine")), 0);
    OK(repair(0));
    is_whole();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_topic_that_cannot_be_is_told),
        TEST(commits_for_nothing_are_told_and_removed),
        TEST(a_group_of_a_newer_library_is_left_alone),
        TEST(whoever_is_told_may_end_it_anywhere),
        TEST(a_check_has_room_for_many_topics),
        TEST(only_names_of_partitions_are_taken_for_some),
        TEST(a_file_in_the_place_of_a_directory_is_told),
        TEST(a_directory_that_cannot_be_opened_is_not_called_lost),
        TEST(a_dry_run_makes_no_directory),
        TEST(a_store_of_a_newer_format_is_left_alone),
        TEST(a_report_has_its_size),
        TEST(a_lost_topic_is_what_its_directory_has),
        TEST(a_size_that_no_segment_has_is_not_taken_over),
        TEST(names_in_quarantine_are_not_taken_twice),
        TEST(what_cannot_have_a_second_name_is_copied),
        TEST(quarantine_may_be_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
