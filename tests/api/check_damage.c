/*
 * rill_check: every kind of damage is told once, with its place, its records and what it
 * means; what is not told is there.
 */
#include "checks.h"
#include "samples.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "meta/meta.h"
#include <fcntl.h>
#include <sys/stat.h>

static const struct found *only(int32_t kind, int32_t severity)
{
    const struct found *f = check_found(kind);

    if (found_count != 1) fail_msg("more than one:%s", check_says());
    assert_int_equal(f->severity, severity);
    return f;
}

static void is_at(const struct found *f, const char *file_end, int64_t position, int64_t size)
{
    size_t length = strlen(f->file);

    if (length < strlen(file_end) || strcmp(f->file + length - strlen(file_end), file_end) != 0)
        fail_msg("file %s", f->file);
    assert_int_equal(f->position, position);
    assert_int_equal(f->size, size);
}

static void has_range(const struct found *f, int64_t first, int64_t end)
{
    assert_int_equal(f->first, first);
    assert_int_equal(f->end, end);
}

static void is_of(const struct found *f, const char *topic, int32_t partition)
{
    assert_string_equal(f->topic, topic);
    assert_int_equal(f->partition, partition);
}

/* ---- Segments ---- */

static void damaged_batches_are_told_one_by_one(void **state)
{
    const struct found *f;
    const char *path = closed(FIRST);

    (void)state;
    for (int boot = 0; boot < 2; boot++) {
        test_flip_bit(path, SEGMENT_HEADER + 5 * BATCH + 500);
        check_store();
        f = only(RILL_DAMAGE_BATCH, RILL_LOG_ERROR);
        is_of(f, "t", 0);
        is_at(f, "/0/" FIRST, SEGMENT_HEADER + 5 * BATCH, BATCH);
        has_range(f, 5, 6);
        assert_non_null(strstr(f->text, "checksum"));
        assert_int_equal(found_report.records_lost, 1);
        assert_int_equal(found_report.record_count, RECORDS + 3 - 1);

        test_flip_bit(path, SEGMENT_HEADER + 59 * BATCH + 20); /* the last one's length */
        test_flip_bit(path, SEGMENT_HEADER + 20);              /* the first one's */
        check_store();
        assert_int_equal(found_count, 3);
        has_range(&found[0], 0, 1);
        has_range(&found[1], 5, 6);
        has_range(&found[2], 59, 60);
        assert_int_equal(found[2].size, -1);
        assert_int_equal(found_report.records_lost, 3);
        test_flip_bit(path, SEGMENT_HEADER + 5 * BATCH + 500);
        test_flip_bit(path, SEGMENT_HEADER + 59 * BATCH + 20);
        test_flip_bit(path, SEGMENT_HEADER + 20);
        check_is_clean();
        forget_boot();
    }
}

static void damage_in_the_active_segment_is_told_up_to_its_end(void **state)
{
    const char *path = closed(SECOND);

    (void)state;
    for (int boot = 0; boot < 2; boot++) {
        test_flip_bit(path, SEGMENT_HEADER + 39 * BATCH + 500);
        check_store();
        has_range(only(RILL_DAMAGE_BATCH, RILL_LOG_ERROR), 99, 100);
        test_flip_bit(path, SEGMENT_HEADER + 39 * BATCH + 500);
        forget_boot();
    }
}

static void zeros_where_batches_were_are_damage(void **state)
{
    static const char zeros[3 * BATCH];
    const char *path = closed(FIRST);
    const struct found *f;

    (void)state;
    change(path, SEGMENT_HEADER + 10 * BATCH, zeros, sizeof zeros);
    check_store();
    f = only(RILL_DAMAGE_BATCH, RILL_LOG_ERROR);
    has_range(f, 10, 13);
    is_at(f, FIRST, SEGMENT_HEADER + 10 * BATCH, 3 * BATCH);
    /* Up to the end of the segment: it could be one that is missing. */
    change(path, SEGMENT_HEADER + 57 * BATCH, zeros, sizeof zeros);
    check_store();
    assert_int_equal(found_count, 2);
    has_range(&found[1], 57, 60);
}

static void batches_in_each_others_place_are_damage(void **state)
{
    static char one[BATCH];
    static char two[BATCH];
    const char *path = closed(FIRST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pread(fd, one, BATCH, SEGMENT_HEADER + 3 * BATCH), BATCH);
    assert_int_equal(pread(fd, two, BATCH, SEGMENT_HEADER + 8 * BATCH), BATCH);
    close(fd);
    change(path, SEGMENT_HEADER + 3 * BATCH, two, BATCH);
    change(path, SEGMENT_HEADER + 8 * BATCH, one, BATCH);
    check_store();
    assert_true(found_report.error_count >= 1);
    assert_int_equal(check_found(RILL_DAMAGE_BATCH)->first, 3);
}

static void a_lost_segment_is_told(void **state)
{
    const struct found *f;
    char path[1500];

    (void)state;
    snprintf(path, sizeof path, "%s", closed(FIRST));
    for (int boot = 0; boot < 2; boot++) {
        assert_int_equal(rename(path, test_path("away")), 0);
        check_store();
        f = check_found(RILL_DAMAGE_SEGMENT_MISSING);
        has_range(f, 0, 60);
        is_of(f, "t", 0);
        is_at(f, FIRST, -1, -1);
        assert_int_equal(check_found(RILL_DAMAGE_LEFTOVER)->severity,
                         RILL_LOG_INFO); /* its index */
        assert_int_equal(found_count, 2);
        assert_int_equal(rename(test_path("away"), path), 0);

        snprintf(path, sizeof path, "%s", closed(SECOND));
        assert_int_equal(rename(path, test_path("away")), 0);
        check_store();
        has_range(check_found(RILL_DAMAGE_SEGMENT_MISSING), 60, 100);
        assert_int_equal(rename(test_path("away"), path), 0);
        snprintf(path, sizeof path, "%s", closed(FIRST));
        forget_boot();
    }
    check_is_clean();
}

static void a_damaged_header_is_told_with_all_that_it_hides(void **state)
{
    const char *path = closed(FIRST);
    const struct found *f;

    (void)state;
    test_flip_bit(path, 30);
    check_store();
    f = only(RILL_DAMAGE_SEGMENT_HEADER, RILL_LOG_ERROR);
    is_at(f, FIRST, 0, 64 << 10);
    has_range(f, 0, 60);
    test_flip_bit(path, 30);
    test_flip_bit(closed(SECOND), 30);
    check_store();
    has_range(only(RILL_DAMAGE_SEGMENT_HEADER, RILL_LOG_ERROR), 60, 100);
}

static void another_partitions_segment_is_told(void **state)
{
    char command[4000];
    const struct found *f;

    (void)state;
    closed(FIRST);
    snprintf(command, sizeof command, "cp '%s' '%s'", path_in("other", 0, FIRST), closed(FIRST));
    snprintf(command, sizeof command, "cp '%s' ", path_in("other", 0, FIRST));
    snprintf(command + strlen(command), sizeof command - strlen(command), "'%s'", closed(FIRST));
    assert_int_equal(system(command), 0);
    check_store();
    f = only(RILL_DAMAGE_SEGMENT_HEADER, RILL_LOG_ERROR);
    has_range(f, 0, 60);
    assert_non_null(strstr(f->text, "another"));
}

static void a_segment_that_was_cut_is_told(void **state)
{
    (void)state;
    assert_int_equal(truncate(closed(FIRST), 20000), 0);
    check_store();
    has_range(only(RILL_DAMAGE_SEGMENT_SIZE, RILL_LOG_ERROR), 0, 60);
    assert_int_equal(truncate(closed(FIRST), 100), 0);
    check_store();
    has_range(only(RILL_DAMAGE_SEGMENT_SIZE, RILL_LOG_ERROR), 0, 60);
}

static void a_newer_format_is_not_damage_but_told(void **state)
{
    uint8_t header[SEGMENT_HEADER];
    const char *path = closed(FIRST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    rill__put16(header + 8, 7);
    rill__put64(header + 120, rill__checksum(header, 120));
    change(path, 0, header, sizeof header);
    check_store();
    only(RILL_DAMAGE_FORMAT, RILL_LOG_ERROR);
}

static void a_file_that_is_none_is_told(void **state)
{
    char path[1500];

    (void)state;
    snprintf(path, sizeof path, "%s", closed(FIRST));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    check_store();
    has_range(only(RILL_DAMAGE_UNREADABLE, RILL_LOG_ERROR), 0, 60);
}

/* The checksum of a batch made right, as the library would. */
static void reseal(uint8_t *batch, uint32_t length, uint64_t old_sum)
{
    rill__put64(batch, rill__get64(batch) ^ old_sum ^ rill__checksum(batch + 20, length - 20));
}

static void a_record_that_cannot_be_in_a_batch_that_verifies(void **state)
{
    static uint8_t batch[BATCH];
    const char *path = closed(FIRST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t old_sum;
    const struct found *f;

    (void)state;
    assert_int_equal(pread(fd, batch, BATCH, SEGMENT_HEADER + 4 * BATCH), BATCH);
    close(fd);
    old_sum = rill__checksum(batch + 20, BATCH - 20);
    rill__put32(batch + 64 + 4, VALUE + 5000); /* the value's size */
    reseal(batch, BATCH, old_sum);
    change(path, SEGMENT_HEADER + 4 * BATCH, batch, BATCH);
    check_store();
    f = only(RILL_DAMAGE_RECORD, RILL_LOG_ERROR);
    is_at(f, FIRST, SEGMENT_HEADER + 4 * BATCH, BATCH);
    has_range(f, 4, 5);
}

/* ---- Indexes ---- */

static void damaged_indexes_are_notes(void **state)
{
    const char *path = closed(FIRST_INDEX);

    (void)state;
    for (int boot = 0; boot < 2; boot++) {
        test_flip_bit(path, 64 + 3 * 16 + 5);
        test_flip_bit(path, 64 + 5 * 16 + 1);
        check_store();
        is_at(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO), FIRST_INDEX, 64 + 3 * 16, 16);
        test_flip_bit(path, 64 + 3 * 16 + 5);
        test_flip_bit(path, 64 + 5 * 16 + 1);
        test_flip_bit(path, 33); /* its header */
        check_store();
        is_at(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO), FIRST_INDEX, -1, -1);
        test_flip_bit(path, 33);
        check_is_clean();
        forget_boot();
    }
    assert_int_equal(truncate(path, 70), 0);
    check_store();
    only(RILL_DAMAGE_INDEX, RILL_LOG_INFO);
    assert_int_equal(truncate(path, 10), 0);
    check_store();
    only(RILL_DAMAGE_INDEX, RILL_LOG_INFO);
    assert_int_equal(unlink(path), 0);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "missing"));
}

static void a_seal_that_lies_is_told(void **state)
{
    uint8_t header[64];
    const char *path = closed(FIRST_INDEX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    rill__put64(header + 40, 5); /* the largest timestamp */
    rill__put64(header + 56, rill__checksum(header, 56));
    change(path, 0, header, sizeof header);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "late"));
    rill__put64(header + 32, 59); /* the end offset */
    rill__put64(header + 56, rill__checksum(header, 56));
    change(path, 0, header, sizeof header);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "ends elsewhere"));
    rill__put32(header + 24, UINT32_MAX);
    rill__put64(header + 56, rill__checksum(header, 56));
    change(path, 0, header, sizeof header);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "sealed"));
    rill__put32(header + 24, 100000);
    rill__put64(header + 56, rill__checksum(header, 56));
    change(path, 0, header, sizeof header);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "fewer entries"));
}

/* ---- Control files ---- */

static void damaged_marks_are_told(void **state)
{
    const char *path = closed("control");
    const struct found *f;

    (void)state;
    test_flip_bit(path, 4096 + 17);
    check_store();
    is_at(only(RILL_DAMAGE_MARK, RILL_LOG_WARNING), "/0/control", 4096, 64);
    test_flip_bit(path, 4608 + 17);
    check_store();
    f = only(RILL_DAMAGE_MARK, RILL_LOG_ERROR);
    is_of(f, "t", 0);
    test_flip_bit(path, 4096 + 17);
    check_store();
    is_at(only(RILL_DAMAGE_MARK, RILL_LOG_WARNING), "/0/control", 4608, 64);
    test_flip_bit(path, 4608 + 17);
    check_is_clean();
}

static void without_marks_all_that_is_there_is_still_checked(void **state)
{
    char path[1500];

    (void)state;
    snprintf(path, sizeof path, "%s", closed("control"));
    forget_boot();
    test_flip_bit(path, 4096 + 17);
    test_flip_bit(path, 4608 + 17);
    test_flip_bit(closed(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    test_flip_bit(closed(SECOND), SEGMENT_HEADER + 5 * BATCH + 500);
    check_store();
    assert_int_equal(found_count, 3);
    has_range(&found[1], 5, 6);
    has_range(&found[2], 65, 66);
    assert_int_equal(found_report.record_count, RECORDS + 3 - 2);
}

static void a_mark_at_no_batch_is_told(void **state)
{
    uint8_t mark[64];
    const char *path = closed("control");
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)state;
    for (int at = 4096; at <= 4608; at += 512) {
        assert_int_equal(pread(fd, mark, sizeof mark, at), sizeof mark);
        rill__put32(mark + 32, rill__get32(mark + 32) - 8);
        rill__put64(mark + 56, rill__checksum(mark, 56));
        change(path, at, mark, sizeof mark);
    }
    close(fd);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_MARK, RILL_LOG_WARNING)->text, "no batch begins"));
}

static void a_lost_or_cut_control_file_is_told(void **state)
{
    const char *path = closed("control");

    (void)state;
    assert_int_equal(truncate(path, 5000), 0);
    check_store();
    is_at(only(RILL_DAMAGE_CONTROL, RILL_LOG_ERROR), "/0/control", -1, -1);
    assert_int_equal(unlink(path), 0);
    check_store();
    is_at(only(RILL_DAMAGE_CONTROL, RILL_LOG_ERROR), "/0/control", -1, -1);
    assert_int_equal(found_report.record_count, RECORDS + 3); /* all of it is read */
}

static void words_that_cannot_be_are_told(void **state)
{
    /* Any bit of the words of this boot: told, or without meaning. */
    const char *path = closed("control");
    int told = 0;

    (void)state;
    for (long at = 0; at < 1200; at++) {
        test_flip_bit(path, at);
        check_store();
        for (int i = 0; i < found_count; i++) {
            if (found[i].kind != RILL_DAMAGE_WORDS && found[i].kind != RILL_DAMAGE_POISONED &&
                found[i].kind != RILL_DAMAGE_INDEX)
                fail_msg("byte %ld:%s", at, check_says());
            told++;
        }
        test_flip_bit(path, at);
    }
    check_is_clean();
    assert_true(told > 30);
}

/* ---- The catalogue and directories ---- */

static void a_damaged_record_of_the_catalogue_is_told(void **state)
{
    static char bytes[1 << 20];
    const char *path = test_path("store/meta/data.mdb");
    ssize_t size;
    const char *name = NULL;
    const struct found *f;
    int fd;

    (void)state;
    sample_close();
    fd = open(path, O_RDONLY | O_CLOEXEC);
    size = read(fd, bytes, sizeof bytes);
    close(fd);
    for (const char *at = bytes; at != NULL; at++) { /* the last one is of the newest page */
        at = memmem(at, (size_t)(bytes + size - at), "Tother", 6);
        if (at == NULL) break;
        test_flip_bit(path, at - bytes + 10); /* in its value */
        check_store();
        if (found_count > 0) {
            name = at;
            break;
        }
    }
    assert_non_null(name);
    f = check_found(RILL_DAMAGE_CATALOGUE_RECORD);
    assert_int_equal(f->severity, RILL_LOG_ERROR);
    assert_non_null(strstr(f->text, "topic other"));
    is_at(f, "meta/data.mdb", name - bytes, -1);
    f = check_found(RILL_DAMAGE_TOPIC_UNKNOWN);
    assert_int_equal(strlen(f->file), 32);
    assert_int_equal(found_count, 2);
    assert_int_equal(found_report.topic_count, 1);
    assert_int_equal(found_report.record_count, RECORDS + 3); /* also those without a name */
}

static void a_damaged_page_of_the_catalogue_is_told(void **state)
{
    const char *path = test_path("store/meta/data.mdb");

    (void)state;
    sample_close();
    test_flip_bit(path, 16);
    check_store();
    is_at(check_found(RILL_DAMAGE_CATALOGUE), "meta/data.mdb", 0, -1);
    assert_int_equal(found_report.record_count, RECORDS + 3);
    assert_int_equal(unlink(path), 0);
    check_store();
    assert_non_null(strstr(check_found(RILL_DAMAGE_CATALOGUE)->text, "missing"));
    check_found(RILL_DAMAGE_TOPIC_UNKNOWN);
}

static void a_lost_directory_is_told(void **state)
{
    char path[1500];
    const struct found *f;

    (void)state;
    snprintf(path, sizeof path, "%s", closed(""));
    test_remove(path);
    check_store();
    f = only(RILL_DAMAGE_TOPIC_MISSING, RILL_LOG_ERROR);
    is_of(f, "t", 0);
    *strrchr(path, '/') = '\0';
    *strrchr(path, '/') = '\0';
    test_remove(path);
    check_store();
    f = only(RILL_DAMAGE_TOPIC_MISSING, RILL_LOG_ERROR);
    is_of(f, "t", -1);
}

static void make_file(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fclose(file);
}

static void what_is_left_over_is_told_when_nobody_is_there(void **state)
{
    static const char *const names[] = {"roll-log.tmp", "00000000000000000100.index", "stray",
                                        "00000000000000000030.log"};

    (void)state;
    closed(FIRST);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) make_file(closed(names[i]));
    make_file(test_path("store/note.txt"));
    assert_int_equal(mkdir(test_path("store/0123456789abcdef0123456789abcdef"), 0700), 0);
    assert_int_equal(mkdir(closed("../7"), 0700), 0);
    make_file(closed("../README"));
    check_store();
    assert_int_equal(found_count, 8);
    for (int i = 0; i < found_count; i++) {
        assert_int_equal(found[i].kind, RILL_DAMAGE_LEFTOVER);
        assert_int_equal(found[i].severity, RILL_LOG_INFO);
    }
    store = test_store_open();
    check_store();
    assert_int_equal(found_count, 0);
}

static void the_file_STORE_is_checked(void **state)
{
    const char *path = test_path("store/STORE");

    (void)state;
    sample_close();
    test_flip_bit(path, 20);
    check_store();
    is_at(only(RILL_DAMAGE_STORE_FILE, RILL_LOG_ERROR), "STORE", -1, -1);
    assert_int_equal(unlink(path), 0);
    check_store();
    is_at(only(RILL_DAMAGE_STORE_FILE, RILL_LOG_ERROR), "STORE", -1, -1);
}

/* A commit that the library would not make. */
static void commit_anyhow(const uint8_t id[16], int32_t partition, int64_t offset)
{
    struct meta_offset o = {.partition = partition, .offset = offset};
    struct heap heap;
    struct meta *meta;

    memcpy(o.topic_id, id, 16);
    rill__heap_init(&heap, NULL, 0);
    OK(rill__meta_open(&heap, test_path("store/meta"), false, &meta));
    OK(rill__meta_offsets_commit(meta, "g2", &o, 1));
    rill__meta_close(meta);
}

static void commits_outside_of_their_partition_are_told(void **state)
{
    rill_topic_info info;
    const struct found *f;

    (void)state;
    OK(rill_topic_describe(store, "t", &info));
    sample_close();
    commit_anyhow(info.id, 0, 101);
    check_store();
    f = only(RILL_DAMAGE_COMMIT, RILL_LOG_WARNING);
    is_of(f, "t", 0);
    assert_non_null(strstr(f->text, "Group g2 has committed offset 101"));
    forget_boot(); /* now recovery would lower it */
    check_store();
    only(RILL_DAMAGE_COMMIT, RILL_LOG_INFO);
    commit_anyhow(info.id, 0, 100);
    check_is_clean();
    commit_anyhow(info.id, 2, 0);
    check_store();
    is_of(only(RILL_DAMAGE_COMMIT, RILL_LOG_WARNING), "t", 2);
    info.id[5] ^= 1;
    commit_anyhow(info.id, 0, 0);
    commit_anyhow(info.id, 1, 0);
    check_store();
    assert_int_equal(found_count, 2);
    assert_true(strstr(found[0].text, "a topic that is gone") != NULL ||
                strstr(found[1].text, "a topic that is gone") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SAMPLE(damaged_batches_are_told_one_by_one),
        WITH_SAMPLE(damage_in_the_active_segment_is_told_up_to_its_end),
        WITH_SAMPLE(zeros_where_batches_were_are_damage),
        WITH_SAMPLE(batches_in_each_others_place_are_damage),
        WITH_SAMPLE(a_lost_segment_is_told),
        WITH_SAMPLE(a_damaged_header_is_told_with_all_that_it_hides),
        WITH_SAMPLE(another_partitions_segment_is_told),
        WITH_SAMPLE(a_segment_that_was_cut_is_told),
        WITH_SAMPLE(a_newer_format_is_not_damage_but_told),
        WITH_SAMPLE(a_file_that_is_none_is_told),
        WITH_SAMPLE(a_record_that_cannot_be_in_a_batch_that_verifies),
        WITH_SAMPLE(damaged_indexes_are_notes),
        WITH_SAMPLE(a_seal_that_lies_is_told),
        WITH_SAMPLE(damaged_marks_are_told),
        WITH_SAMPLE(without_marks_all_that_is_there_is_still_checked),
        WITH_SAMPLE(a_mark_at_no_batch_is_told),
        WITH_SAMPLE(a_lost_or_cut_control_file_is_told),
        WITH_SAMPLE(words_that_cannot_be_are_told),
        WITH_SAMPLE(a_damaged_record_of_the_catalogue_is_told),
        WITH_SAMPLE(a_damaged_page_of_the_catalogue_is_told),
        WITH_SAMPLE(a_lost_directory_is_told),
        WITH_SAMPLE(what_is_left_over_is_told_when_nobody_is_there),
        WITH_SAMPLE(the_file_STORE_is_checked),
        WITH_SAMPLE(commits_outside_of_their_partition_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
