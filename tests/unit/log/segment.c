/*
 * A segment's files have the bytes that log/format.h specifies and their full
 * size from the start; one that is damaged, foreign or of another version is
 * refused with the reason; and one that was prepared is what a roll takes.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "faults.h"
#include "logs.h"
#include <errno.h>
#include <sys/stat.h>

#define BASE 1234567

/* No log: only its directory and its config. */
static int setup(void **state)
{
    static struct test_log t;

    test_log_init(&t);
    *state = &t;
    return 0;
}

static int teardown(void **state)
{
    faults_clear();
    test_log_deinit(*state);
    return 0;
}

static int create(struct test_log *t, int64_t base)
{
    struct file dir = test_log_directory();
    int rc = rill__segment_create(&t->config, &dir, base, 7, t->config.segment_bytes);

    rill__file_close(&dir);
    return rc;
}

static int prepare(struct test_log *t)
{
    struct file dir = test_log_directory();
    int rc = rill__segment_prepare(&t->config, &dir, t->config.segment_bytes);

    rill__file_close(&dir);
    return rc;
}

static int open_it(struct test_log *t, int64_t base, struct segment **segment)
{
    struct file dir = test_log_directory();
    int rc = rill__segment_open(&t->config, &dir, base, false, segment);

    rill__file_close(&dir);
    return rc;
}

static void check_opens(struct test_log *t, int64_t base)
{
    struct segment *segment = NULL;

    OK(open_it(t, base, &segment));
    rill__segment_close(&t->config, segment);
}

static void check_refused(struct test_log *t, int code, const char *reason)
{
    struct segment *segment = NULL;

    FAILS(code, open_it(t, BASE, &segment));
    assert_null(segment);
    if (strstr(test_message(), reason) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", test_message(), reason);
}

/* Writes a field of the segment's header, and the checksum that fits. */
static void set_header(uint64_t at, uint64_t value, size_t size)
{
    const char *path = test_segment_path(BASE, "log");
    size_t file_size;
    uint8_t *header = test_read_file(path, &file_size);

    for (size_t i = 0; i < size; i++) header[at + i] = (uint8_t)(value >> (8 * i));
    rill__put64(header + 120, rill__checksum(header, 120));
    test_write_file(path, 0, header, 128);
    free(header);
}

static void header_is_as_specified(void **state)
{
    struct test_log *t = *state;
    int64_t before = rill__now_ms();
    uint8_t *h;
    size_t size;

    OK(create(t, BASE));
    h = test_read_file(test_segment_path(BASE, "log"), &size);
    assert_int_equal(size, 4096);
    assert_memory_equal(h, "RILLSEG1", 8);
    assert_int_equal(rill__get16(h + 8), 1);
    assert_int_equal(rill__get16(h + 10), 128);
    assert_int_equal(rill__get32(h + 12), 0);
    assert_int_equal(rill__get64(h + 16), BASE);
    assert_memory_equal(h + 32, t->config.topic_id, 16);
    assert_int_equal(rill__get32(h + 48), 3);
    assert_int_equal(rill__get32(h + 52), 7);
    assert_true((int64_t)rill__get64(h + 56) >= before);
    assert_true((int64_t)rill__get64(h + 56) <= rill__now_ms());
    assert_int_equal(rill__get64(h + 64), 4096);
    for (int i = 72; i < 120; i++) assert_int_equal(h[i], 0);
    assert_int_equal(rill__get64(h + 120), rill__checksum(h, 120));
    for (size_t i = 128; i < size; i++) assert_int_equal(h[i], 0);
    free(h);
}

static void index_header_is_as_specified(void **state)
{
    struct test_log *t = *state;
    uint8_t *log;
    uint8_t *h;
    size_t size;

    OK(create(t, BASE));
    log = test_read_file(test_segment_path(BASE, "log"), &size);
    h = test_read_file(test_segment_path(BASE, "index"), &size);
    assert_int_equal(size, rill__index_bytes(&t->config, t->config.segment_bytes));
    assert_memory_equal(h, "RILLIDX1", 8);
    assert_int_equal(rill__get64(h + 8), BASE);
    assert_memory_equal(h + 16, log + 24, 8);
    assert_int_equal(rill__get32(h + 24), 0xffffffff);
    for (int i = 28; i < 56; i++) assert_int_equal(h[i], 0);
    assert_int_equal(rill__get64(h + 56), rill__checksum(h, 56));
    for (size_t i = 64; i < size; i++) assert_int_equal(h[i], 0);
    free(h);
    free(log);
}

static void index_has_room_for_an_entry_per_interval(void **state)
{
    struct test_log *t = *state;

    for (uint64_t segment = 4096; segment <= (UINT64_C(1) << 30); segment *= 4) {
        t->config.segment_bytes = segment;
        for (uint32_t interval = 64; interval <= 65536; interval *= 4) {
            t->config.index_interval_bytes = interval;
            assert_true(rill__index_bytes(&t->config, t->config.segment_bytes) >=
                        64 + segment / interval * 16);
            assert_int_equal(rill__index_bytes(&t->config, t->config.segment_bytes) % 4096, 0);
        }
    }
}

static void every_segment_has_a_salt_of_its_own(void **state)
{
    struct test_log *t = *state;
    struct segment *a = NULL;
    struct segment *b = NULL;

    OK(create(t, 1));
    OK(create(t, 2));
    OK(open_it(t, 1, &a));
    OK(open_it(t, 2, &b));
    assert_true(a->salt != b->salt);
    rill__segment_close(&t->config, a);
    rill__segment_close(&t->config, b);
}

static void names_are_twenty_digits(void **state)
{
    char name[SEGMENT_NAME_SIZE];
    (void)state;

    rill__segment_name(0, "log", name);
    assert_string_equal(name, "00000000000000000000.log");
    rill__segment_name(1234567, "index", name);
    assert_string_equal(name, "00000000000001234567.index");
    rill__segment_name(INT64_MAX, "index", name);
    assert_string_equal(name, "09223372036854775807.index");
}

/* In a block of just its size, so that a read beyond it is seen. */
static int64_t base_of(const char *name)
{
    char *exact = strdup(name);
    int64_t base;

    assert_non_null(exact);
    base = rill__segment_base_of(exact);
    free(exact);
    return base;
}

static void base_is_read_from_the_name(void **state)
{
    char name[SEGMENT_NAME_SIZE];
    (void)state;

    for (uint64_t base = 1; base <= (uint64_t)INT64_MAX; base = base * 3 + 1) {
        rill__segment_name((int64_t)base, "log", name);
        assert_int_equal(base_of(name), base);
        if (base > UINT64_MAX / 6) break;
    }
    assert_int_equal(base_of("00000000000000000000.log"), 0);
    assert_int_equal(base_of("09223372036854775807.log"), INT64_MAX);
}

static void other_names_are_no_segments(void **state)
{
    static const char *const names[] = {"",
                                        "0",
                                        ".log",
                                        "control",
                                        "next.log",
                                        "roll-log.tmp",
                                        "0000000000000000000.log",
                                        "000000000000000000000.log",
                                        "00000000000000000000",
                                        "00000000000000000000.",
                                        "00000000000000000000.lo",
                                        "00000000000000000000.log2",
                                        "00000000000000000000.LOG",
                                        "00000000000000000000.index",
                                        "00000000000000000000.log.tmp",
                                        "-0000000000000000001.log",
                                        "+0000000000000000001.log",
                                        " 0000000000000000001.log",
                                        "0000000000000000000x.log",
                                        "0x000000000000000001.log",
                                        "09223372036854775808.log",
                                        "18446744073709551616.log",
                                        "99999999999999999999.log"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (base_of(names[i]) != -1) fail_msg("\"%s\" is taken for a segment", names[i]);
}

static void good_segment_opens(void **state)
{
    struct test_log *t = *state;
    struct segment *segment = NULL;

    OK(create(t, BASE));
    OK(open_it(t, BASE, &segment));
    assert_int_equal(segment->base, BASE);
    assert_int_equal(segment->size, 4096);
    assert_non_null(segment->index.data);
    assert_int_equal(atomic_load(&t->mapped_bytes), 4096 + 4096);
    rill__segment_close(&t->config, segment);
    assert_int_equal(atomic_load(&t->mapped_bytes), 0);
}

static void other_magic_is_refused(void **state)
{
    struct test_log *t = *state;

    OK(create(t, BASE));
    set_header(0, 'r', 1);
    check_refused(t, RILL_ERR_CORRUPT, "magic");
}

static void any_flipped_header_byte_is_refused(void **state)
{
    struct test_log *t = *state;

    OK(create(t, BASE));
    for (uint64_t at = 0; at < SEGMENT_HEADER_SIZE; at++) {
        test_flip(test_segment_path(BASE, "log"), at, 0x20);
        check_refused(t, RILL_ERR_CORRUPT, at < 8 ? "magic" : "checksum");
        test_flip(test_segment_path(BASE, "log"), at, 0x20);
    }
    check_opens(t, BASE);
}

static void other_version_is_refused_as_format(void **state)
{
    struct test_log *t = *state;

    OK(create(t, BASE));
    set_header(8, 2, 2); /* is for segments with features */
    check_refused(t, RILL_ERR_FORMAT, "format 2");
    set_header(8, 3, 2);
    check_refused(t, RILL_ERR_FORMAT, "format 3");
    set_header(8, 0, 2);
    check_refused(t, RILL_ERR_FORMAT, "format 0");
    set_header(8, 1, 2);
    check_opens(t, BASE);
}

static void unknown_features_are_refused_as_format(void **state)
{
    struct test_log *t = *state;

    OK(create(t, BASE));
    for (int bit = 0; bit < 32; bit++) {
        set_header(12, UINT64_C(1) << bit, 4);
        check_refused(t, RILL_ERR_FORMAT, "features");
    }
    set_header(8, 2, 2);
    for (int bit = 1; bit < 32; bit++) {
        set_header(12, UINT64_C(1) << bit, 4);
        check_refused(t, RILL_ERR_FORMAT, "features");
        set_header(12, UINT64_C(1) << bit | 1, 4);
        check_refused(t, RILL_ERR_FORMAT, "features");
    }
}

/* The segment of BASE becomes one that compaction has left. */
static void make_compacted(int64_t end, int64_t cleaned, uint32_t tombstone_s)
{
    set_header(8, 2, 2);
    set_header(12, 1, 4);
    set_header(72, (uint64_t)end, 8);
    set_header(80, (uint64_t)cleaned, 8);
    set_header(88, tombstone_s, 4);
}

static int peek(struct test_log *t, struct segment_header *header)
{
    struct file dir = test_log_directory();
    int rc = rill__segment_peek(&t->config, &dir, BASE, header);

    rill__file_close(&dir);
    return rc;
}

static void compacted_segment_says_what_it_is(void **state)
{
    struct test_log *t = *state;
    struct segment *segment = NULL;
    struct segment_header header;

    FAILS(RILL_ERR_NOT_FOUND, peek(t, &header));
    OK(create(t, BASE));
    OK(peek(t, &header));
    assert_false(header.compacted);
    assert_int_equal(header.base, BASE);
    assert_int_equal(header.end, -1);
    assert_int_equal(header.epoch, 7);
    assert_int_equal(header.file_size, 4096);
    make_compacted(BASE + 10, BASE + 20, 77);
    OK(peek(t, &header));
    assert_true(header.compacted);
    assert_int_equal(header.end, BASE + 10);
    assert_int_equal(header.cleaned, BASE + 20);
    assert_int_equal(header.tombstone_s, 77);
    OK(open_it(t, BASE, &segment));
    assert_int_equal(segment->end, BASE + 10);
    assert_int_equal(segment->salt, header.salt);
    rill__segment_close(&t->config, segment);
}

static void compacted_segment_of_impossible_range_is_refused(void **state)
{
    struct test_log *t = *state;

    OK(create(t, BASE));
    make_compacted(BASE, BASE + 20, 0);
    check_refused(t, RILL_ERR_CORRUPT, "ends before it begins");
    make_compacted(BASE + 1, BASE - 1, 0);
    check_refused(t, RILL_ERR_CORRUPT, "ends before it begins");
    make_compacted(BASE + 1, BASE, 0);
    check_opens(t, BASE);
    for (uint32_t at = 92; at < 120; at++) {
        set_header(at, 1, 1);
        check_refused(t, RILL_ERR_FORMAT, "format");
        set_header(at, 0, 1);
    }
}

static void reserved_bytes_are_refused_as_format(void **state)
{
    struct test_log *t = *state;

    OK(create(t, BASE));
    for (uint32_t at = 72; at < 120; at++) {
        set_header(at, 1, 1);
        check_refused(t, RILL_ERR_FORMAT, "format");
        set_header(at, 0, 1);
    }
    set_header(10, 136, 2);
    check_refused(t, RILL_ERR_FORMAT, "format");
    set_header(10, 128, 2);
    check_opens(t, BASE);
}

static void other_base_than_the_name_says_is_refused(void **state)
{
    struct test_log *t = *state;

    OK(create(t, 99));
    assert_int_equal(rename(test_segment_path(99, "log"), test_segment_path(BASE, "log")), 0);
    check_refused(t, RILL_ERR_CORRUPT, "another base offset");
}

static void other_partition_is_refused(void **state)
{
    struct test_log *t = *state;

    OK(create(t, BASE));
    t->config.partition++;
    check_refused(t, RILL_ERR_CORRUPT, "another partition");
    t->config.partition--;
    for (int i = 0; i < 16; i++) {
        t->config.topic_id[i] ^= 1;
        check_refused(t, RILL_ERR_CORRUPT, "another partition");
        t->config.topic_id[i] ^= 1;
    }
    check_opens(t, BASE);
}

static void other_size_than_the_header_says_is_refused(void **state)
{
    static const int sizes[] = {4095, 4097, 8192, 129, 128};
    struct test_log *t = *state;

    OK(create(t, BASE));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(test_segment_path(BASE, "log"), sizes[i]), 0);
        check_refused(t, RILL_ERR_CORRUPT, "another size");
    }
    assert_int_equal(truncate(test_segment_path(BASE, "log"), 4096), 0);
    check_opens(t, BASE);
}

static void impossible_size_is_refused(void **state)
{
    static const off_t sizes[] = {127, 1, 0, (INT64_C(1) << 31) + 1, INT64_C(1) << 33};
    struct test_log *t = *state;

    OK(create(t, BASE));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(test_segment_path(BASE, "log"), sizes[i]), 0);
        check_refused(t, RILL_ERR_CORRUPT, "no segment's size");
    }
}

static void what_is_no_file_is_refused(void **state)
{
    struct test_log *t = *state;
    struct segment *segment = NULL;
    char path[800];

    snprintf(path, sizeof path, "%s", test_segment_path(BASE, "log"));
    FAILS(RILL_ERR_NOT_FOUND, open_it(t, BASE, &segment));
    OK(create(t, 99));
    assert_int_equal(symlink(test_segment_path(99, "log"), path), 0);
    check_refused(t, RILL_ERR_CORRUPT, "no regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    check_refused(t, RILL_ERR_CORRUPT, "no regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    check_refused(t, RILL_ERR_CORRUPT, "no regular file");
}

static void refused_segment_keeps_nothing(void **state)
{
    struct test_log *t = *state;

    OK(create(t, BASE));
    test_flip(test_segment_path(BASE, "log"), 30, 1);
    check_refused(t, RILL_ERR_CORRUPT, "checksum");
    assert_int_equal(atomic_load(&t->mapped_bytes), 0);
    assert_int_equal(atomic_load(&t->heap.bytes), 0);
}

static ino_t inode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static void prepared_segment_is_taken(void **state)
{
    struct test_log *t = *state;
    ino_t log;
    ino_t index;

    OK(prepare(t));
    log = inode_of(test_path("next.log"));
    index = inode_of(test_path("next.index"));
    /* kept, so that no new file gets their numbers */
    assert_int_equal(link(test_path("next.log"), test_path("kept.log")), 0);
    assert_int_equal(link(test_path("next.index"), test_path("kept.index")), 0);
    OK(create(t, BASE));
    assert_int_equal(inode_of(test_segment_path(BASE, "log")), log);
    assert_int_equal(inode_of(test_segment_path(BASE, "index")), index);
    assert_false(test_exists(test_path("next.log")));
    assert_false(test_exists(test_path("next.index")));
    check_opens(t, BASE);
    OK(create(t, BASE + 1));
    check_opens(t, BASE + 1);
}

static void prepared_segment_of_another_size_is_not_taken(void **state)
{
    struct test_log *t = *state;
    size_t size;

    OK(prepare(t));
    t->config.segment_bytes = 8192;
    OK(create(t, BASE));
    free(test_read_file(test_segment_path(BASE, "log"), &size));
    assert_int_equal(size, 8192);
    assert_false(test_exists(test_path("next.log")));
    check_opens(t, BASE);
}

struct seen {
    bool zeroed;
    bool synced;
    bool too_early;
};

static void watch(void *arg, const struct fault_event *event)
{
    struct seen *seen = arg;

    if (event->call == FAULT_PWRITE && strcmp(event->name, "prepare-log.tmp") == 0 &&
        event->size == 4096)
        seen->zeroed = true;
    if (event->call == FAULT_FDATASYNC && strcmp(event->name, "prepare-log.tmp") == 0)
        seen->synced = seen->zeroed;
    if (event->call == FAULT_RENAMEAT && !seen->synced) seen->too_early = true;
}

static void prepared_segment_was_zeroed_and_synced(void **state)
{
    struct test_log *t = *state;
    struct seen seen = {false, false, false};
    uint8_t *data;
    size_t size;

    faults_watch(watch, &seen);
    OK(prepare(t));
    faults_clear();
    assert_true(seen.synced);
    assert_false(seen.too_early);
    data = test_read_file(test_path("next.log"), &size);
    assert_int_equal(size, 4096);
    for (size_t i = 0; i < size; i++) assert_int_equal(data[i], 0);
    free(data);
}

static void what_is_prepared_is_not_prepared_again(void **state)
{
    struct test_log *t = *state;
    ino_t inode;

    OK(prepare(t));
    inode = inode_of(test_path("next.log"));
    faults_fail(FAULT_FALLOCATE | FAULT_RENAMEAT, NULL, 0, 0, FAULT_ONCE);
    OK(prepare(t));
    assert_int_equal(faults_count(), 0);
    assert_int_equal(inode_of(test_path("next.log")), inode);
}

static void preparing_may_fail_at_any_call(void **state)
{
    struct test_log *t = *state;
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        assert_true(n < 100);
        faults_fail(FAULT_ANY, NULL, n, ENOSPC, n % 2 == 0 ? FAULT_ONCE : FAULT_DEAD);
        prepare(t);
        failed = faults_count() >= n;
        faults_clear();
        OK(create(t, BASE + (int64_t)n));
        check_opens(t, BASE + (int64_t)n);
        OK(prepare(t));
        assert_false(test_exists(test_path("prepare-log.tmp")));
        assert_false(test_exists(test_path("prepare-index.tmp")));
        OK(create(t, BASE + 1000 + (int64_t)n));
        check_opens(t, BASE + 1000 + (int64_t)n);
    }
}

static void next_is_prepared_when_the_active_one_is_half_full(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = 1000;
    ino_t inode;

    OK(test_log_open(t));
    test_append_ok(t->log, 1, 1000);
    OK(rill__log_maintain(t->log, &next_ms));
    assert_false(test_exists(test_path("next.log")));
    test_append_ok(t->log, 1, 1000);
    OK(rill__log_maintain(t->log, &next_ms));
    assert_true(test_exists(test_path("next.log")));
    inode = inode_of(test_path("next.log"));
    test_append_ok(t->log, 1, 3000);
    assert_int_equal(inode_of(test_segment_path(2, "log")), inode);
    assert_false(test_exists(test_path("next.log")));
    test_check(t->log, 0, 3);
}

static void removing_removes_both_files(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();

    OK(create(t, BASE));
    OK(rill__segment_remove(&dir, BASE));
    assert_false(test_exists(test_segment_path(BASE, "log")));
    assert_false(test_exists(test_segment_path(BASE, "index")));
    OK(rill__segment_remove(&dir, BASE));
    rill__file_close(&dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(header_is_as_specified),
                                       TEST(index_header_is_as_specified),
                                       TEST(index_has_room_for_an_entry_per_interval),
                                       TEST(every_segment_has_a_salt_of_its_own),
                                       cmocka_unit_test(names_are_twenty_digits),
                                       cmocka_unit_test(base_is_read_from_the_name),
                                       cmocka_unit_test(other_names_are_no_segments),
                                       TEST(good_segment_opens),
                                       TEST(other_magic_is_refused),
                                       TEST(any_flipped_header_byte_is_refused),
                                       TEST(other_version_is_refused_as_format),
                                       TEST(unknown_features_are_refused_as_format),
                                       TEST(reserved_bytes_are_refused_as_format),
                                       TEST(other_base_than_the_name_says_is_refused),
                                       TEST(other_partition_is_refused),
                                       TEST(compacted_segment_says_what_it_is),
                                       TEST(compacted_segment_of_impossible_range_is_refused),
                                       TEST(other_size_than_the_header_says_is_refused),
                                       TEST(impossible_size_is_refused),
                                       TEST(what_is_no_file_is_refused),
                                       TEST(refused_segment_keeps_nothing),
                                       TEST(prepared_segment_is_taken),
                                       TEST(prepared_segment_of_another_size_is_not_taken),
                                       TEST(prepared_segment_was_zeroed_and_synced),
                                       TEST(what_is_prepared_is_not_prepared_again),
                                       TEST(preparing_may_fail_at_any_call),
                                       TEST(next_is_prepared_when_the_active_one_is_half_full),
                                       TEST(removing_removes_both_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
