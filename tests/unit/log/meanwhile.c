/*
 * A check of a log that others change meanwhile: what has moved between the first look
 * and the second is no damage, and what is told in the end is there.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "damages.h"
#include "faults.h"
#include "log/verify.h"
#include <errno.h>
#include <fcntl.h>

/* ---- The log, and who changes it -------------------------------------- */

static int64_t bases[8];
static int base_count;
static int64_t end;

/* Sealed segments and an active one; closed, as if by somebody who has it open. */
static void make(struct test_log *t)
{
    uint64_t bytes;
    uint32_t count = 0;

    base_count = 0;
    while (count < 5) {
        int64_t base = rill__log_end(t->log);
        test_append_ok(t->log, 1 + (int)(base % 3), 100);
        OK(rill__log_segments(t->log, &count, &bytes));
        if ((int)count > base_count) bases[base_count++] = base;
    }
    OK(rill__log_checkpoint(t->log));
    OK(rill__log_checkpoint(t->log));
    end = rill__log_end(t->log);
    test_log_close(t);
    damages_keep();
}

static const char *log_of(int i)
{
    return test_segment_path(bases[i], "log");
}

/* Before the nth call of that kind to a file of that name, and if again, before each
 * that follows. */
static struct {
    enum fault_call call;
    const char *name;
    int nth;
    bool again;
    void (*act)(void);
    int seen;
    bool within;
} other;

static void watch(void *arg, const struct fault_event *event)
{
    (void)arg;
    if (other.within || event->call != other.call || strstr(event->name, other.name) == NULL)
        return;
    other.seen++;
    if (other.seen != other.nth && !(other.again && other.seen > other.nth)) return;
    other.within = true;
    other.act();
    other.within = false;
}

static void meanwhile(enum fault_call call, const char *name, int nth, void (*act)(void))
{
    memset(&other, 0, sizeof other);
    other.call = call;
    other.name = name;
    other.nth = nth;
    other.act = act;
    faults_watch(watch, NULL);
}

static void it_happened(void)
{
    assert_true(other.seen >= other.nth);
    faults_clear();
}

/* Nothing worse than a note. */
static void nothing_is_damaged(void)
{
    for (int i = 0; i < damages.count; i++)
        if (damages.list[i].severity != RILL_LOG_INFO) fail_msg("%s", damages_say());
}

static int tear_down(void **state)
{
    faults_clear();
    damages_forget();
    return test_log_tear_down(state);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, test_log_set_up, tear_down)

/* ---- What they do ----------------------------------------------------- */

static _Alignas(128) uint8_t words_bytes[4096];

static struct control *words(void)
{
    FILE *f = fopen(test_path("control"), "rb");

    assert_non_null(f);
    assert_int_equal(fread(words_bytes, 1, sizeof words_bytes, f), sizeof words_bytes);
    fclose(f);
    return (struct control *)(void *)words_bytes;
}

static void put_words(void)
{
    test_write_file(test_path("control"), 0, words_bytes, sizeof words_bytes);
}

static void delete_the_topic(void)
{
    atomic_store(&words()->deleted, 1);
    put_words();
}

static void recover_it(void)
{
    atomic_store(&words()->incarnation, 99);
    put_words();
}

static void reboot(void)
{
    words()->boot_id[0] ^= 1;
    put_words();
}

/* As retention does: marks, words, files. */
static void move_the_start(void)
{
    struct file dir = test_log_directory();
    struct file file = FILE_NONE;
    struct mark mark;

    OK(rill__file_open(&dir, "control", FILE_WRITE, &file));
    OK(rill__mark_read(&file, &mark));
    mark.log_start = bases[3];
    for (int i = 0; i < 2; i++) {
        mark.sequence++;
        OK(rill__mark_write(&file, &mark));
    }
    rill__file_close(&file);
    rill__file_close(&dir);
    atomic_store(&words()->log_start, bases[3]);
    put_words();
    for (int i = 0; i < 3; i++) {
        unlink(log_of(i));
        unlink(test_segment_path(bases[i], "index"));
    }
}

static void damage(void)
{
    test_flip(log_of(1), SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE + 40, 1);
}

/* The same bytes in another file. */
static void renew(void)
{
    size_t size;
    uint8_t *bytes = test_read_file(log_of(1), &size);
    FILE *f = fopen(test_path("new"), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
    free(bytes);
    assert_int_equal(rename(test_path("new"), log_of(1)), 0);
}

static void repair_it(void)
{
    renew();
    damage(); /* back */
}

static void bring_all_back(void)
{
    damages_restore();
}

/* Segments 1 and 2 in one, in place of the first. */
static void compact_two(void)
{
    static _Alignas(8) uint8_t whole[16384];
    size_t size;
    uint8_t *one = test_read_file(log_of(1), &size);
    uint8_t *two = test_read_file(log_of(2), &size);
    uint64_t salt = rill__get64(one + SEGMENT_SALT_AT);
    uint8_t *at = whole + SEGMENT_HEADER_SIZE;
    struct batch_view view;
    const char *why;
    FILE *f;

    memset(whole, 0, sizeof whole);
    memcpy(whole, one, SEGMENT_HEADER_SIZE);
    for (int i = 0; i < 2; i++) {
        const uint8_t *from = (i == 0 ? one : two) + SEGMENT_HEADER_SIZE;
        const uint8_t *to = (i == 0 ? one : two) + 4096;
        int64_t next = bases[1 + i];
        while (from < to &&
               rill__batch_view(from, (size_t)(to - from), &view, &why) == BATCH_VALID &&
               view.base_offset == next) {
            memcpy(at, from, view.length);
            rill__batch_stamp(at, rill__batch_hash(at), salt, view.base_offset, view.epoch);
            at += view.length;
            from += view.length;
            next = view.end_offset;
        }
        assert_int_equal(next, bases[2 + i]);
    }
    rill__put16(whole + SEGMENT_VERSION_AT, 2);
    rill__put32(whole + SEGMENT_FEATURES_AT, 1);
    rill__put64(whole + SEGMENT_FILE_SIZE_AT, sizeof whole);
    rill__put64(whole + SEGMENT_END_AT, (uint64_t)bases[3]);
    rill__put64(whole + SEGMENT_CLEANED_AT, (uint64_t)bases[3]);
    rill__put64(whole + SEGMENT_CHECKSUM_AT, rill__checksum(whole, SEGMENT_CHECKSUM_AT));
    f = fopen(test_path("new"), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(whole, 1, sizeof whole, f), sizeof whole);
    fclose(f);
    assert_int_equal(rename(test_path("new"), log_of(1)), 0);
    assert_int_equal(unlink(log_of(2)), 0);
    unlink(test_segment_path(bases[2], "index"));
    free(one);
    free(two);
}

/* ---- The tests -------------------------------------------------------- */

static void a_topic_that_was_deleted_has_no_damage(void **state)
{
    struct test_log *t = *state;

    make(t);
    damage();
    for (int nth = 1; nth <= 2; nth++) { /* before all, and before the second look */
        meanwhile(FAULT_OPENAT, "control", nth, delete_the_topic);
        OK(damages_check(t));
        it_happened();
        assert_true(damages.census.deleted);
        nothing_is_damaged();
        damages_restore();
        damage();
    }
    OK(damages_check(t));
    assert_false(damages.census.deleted);
    assert_int_equal(damages_find(RILL_DAMAGE_BATCH)->severity, RILL_LOG_ERROR);
}

/* It is told once, though the second look began all anew. */
static void what_is_still_damaged_after_a_recovery_is_told_once(void **state)
{
    struct test_log *t = *state;
    void (*const acts[])(void) = {recover_it, reboot};

    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        if (i == 0) make(t);
        else damages_restore();
        damage();
        meanwhile(FAULT_OPENAT, "control", 2, acts[i]);
        OK(damages_check(t));
        it_happened();
        if (damages.count != 1) fail_msg("%s", damages_say());
        assert_int_equal(damages_find(RILL_DAMAGE_BATCH)->first, bases[1]);
        assert_int_equal(damages.census.exact, i == 0);
        assert_int_equal(damages.census.end, end);
    }
}

static void what_lies_before_the_start_by_now_is_no_damage(void **state)
{
    struct test_log *t = *state;

    make(t);
    damage();
    meanwhile(FAULT_OPENAT, "control", 2, move_the_start);
    OK(damages_check(t));
    it_happened();
    nothing_is_damaged();
    assert_int_equal(damages.census.start, bases[3]);
    assert_int_equal(damages.census.end, end);
    /* Files that retention removes while the check comes to them. */
    damages_restore();
    meanwhile(FAULT_OPENAT, strrchr(log_of(1), '/') + 1, 1, move_the_start);
    OK(damages_check(t));
    it_happened();
    nothing_is_damaged();
    assert_int_equal(damages.census.start, bases[3]);
}

static void a_segment_that_is_another_file_by_now_is_looked_at_again(void **state)
{
    struct test_log *t = *state;

    make(t);
    damage();
    meanwhile(FAULT_OPENAT, "control", 2, repair_it);
    OK(damages_check(t));
    it_happened();
    assert_int_equal(damages.count, 0);
    assert_int_equal(damages.census.end, end);
    /* One that was missing is there. */
    assert_int_equal(unlink(log_of(1)), 0);
    meanwhile(FAULT_OPENAT, "control", 2, bring_all_back);
    OK(damages_check(t));
    it_happened();
    assert_int_equal(damages.count, 0);
}

static void what_moves_for_ever_is_told_in_the_end(void **state)
{
    struct test_log *t = *state;

    make(t);
    damage();
    meanwhile(FAULT_OPENAT, "control", 2, renew);
    other.again = true;
    OK(damages_check(t));
    it_happened();
    assert_true(other.seen > 100);
    assert_int_equal(damages.count, 1);
    assert_int_equal(damages_find(RILL_DAMAGE_BATCH)->first, bases[1]);
    assert_int_equal(damages.census.end, end);
}

static void what_compaction_has_made_one_of_is_followed(void **state)
{
    struct test_log *t = *state;

    make(t);
    /* Before it comes to the one that goes; before its second look at that; while it is in
     * the one that stands for both. */
    for (int i = 1; i <= 2; i++) {
        meanwhile(FAULT_OPENAT, strrchr(log_of(i), '/') + 1, 1, compact_two);
        OK(damages_check(t));
        it_happened();
        nothing_is_damaged();
        assert_int_equal(damages.census.end, end);
        assert_int_equal(damages.census.start, 0);
        damages_restore();
    }
    /* The first does not count while it is no compacted one that goes so far. */
    assert_int_equal(unlink(log_of(2)), 0);
    OK(damages_check(t));
    assert_int_equal(damages_find(RILL_DAMAGE_SEGMENT_MISSING)->first, bases[2]);
    assert_int_equal(damages_find(RILL_DAMAGE_SEGMENT_MISSING)->end, bases[3]);
}

/* Compaction brings it last, and so does who prepares a segment. */
static void an_index_is_waited_for(void **state)
{
    struct test_log *t = *state;
    char name[80];

    make(t);
    damages_how.together = true;
    snprintf(name, sizeof name, "%s", strrchr(test_segment_path(bases[1], "index"), '/') + 1);
    assert_int_equal(unlink(test_path(name)), 0);
    meanwhile(FAULT_OPENAT, name, 3, bring_all_back);
    OK(damages_check(t));
    it_happened();
    assert_int_equal(damages.count, 0);
    assert_int_equal(unlink(test_path(name)), 0);
    OK(damages_check(t));
    assert_int_equal(damages.count, 1); /* in the end */
    assert_non_null(strstr(damages_find(RILL_DAMAGE_INDEX)->text, "is missing"));
}

static void turn_bits_of_marks(void)
{
    test_flip(test_path("control"), MARK_A_AT + 16, 1);
    test_flip(test_path("control"), MARK_B_AT + 16, 1);
}

static void a_mark_that_is_written_just_now_is_no_damage(void **state)
{
    struct test_log *t = *state;

    make(t);
    turn_bits_of_marks();
    meanwhile(FAULT_PREAD, "control", 4, turn_bits_of_marks);
    OK(damages_check(t));
    it_happened();
    assert_int_equal(damages.count, 0);
    assert_int_equal(damages.census.end, end);
}

static void ends_are_known_by_the_words_only(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();
    struct log_check check = {.heap = &t->heap, .dir = &dir};
    int64_t start = -7;
    int64_t to = -7;

    make(t);
    memcpy(check.boot_id, t->config.boot_id, 16);
    assert_true(rill__log_check_ends(&check, &start, &to));
    assert_int_equal(start, 0);
    assert_int_equal(to, end);
    check.boot_id[0]++;
    assert_false(rill__log_check_ends(&check, &start, &to));
    /* Of no boot, as before the first one that has it. */
    memset(words()->boot_id, 0, 16);
    put_words();
    memset(check.boot_id, 0, 16);
    assert_false(rill__log_check_ends(&check, &start, &to));
    assert_int_equal(unlink(test_path("control")), 0);
    assert_false(rill__log_check_ends(&check, &start, &to));
    faults_fail(FAULT_OPENAT, "control", 1, EACCES, FAULT_ONCE);
    assert_false(rill__log_check_ends(&check, &start, &to));
    faults_clear();
    rill__file_close(&dir);
}

/* As much as a check passes; a file that goes away, or cannot be looked at, counts nothing. */
static void the_size_is_that_of_the_segments(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();
    uint64_t bytes = 7;

    make(t);
    OK(rill__log_check_size(&dir, &bytes));
    assert_int_equal(bytes, 4096 * base_count);
    OK(damages_check(t));
    assert_int_equal(damages.passed, bytes);
    faults_fail(FAULT_OPENAT, ".log", 2, ENOENT, FAULT_ONCE);
    OK(rill__log_check_size(&dir, &bytes));
    assert_int_equal(bytes, 4096 * (base_count - 1));
    faults_fail(FAULT_FSTAT, ".log", 1, EIO, FAULT_ONCE);
    OK(rill__log_check_size(&dir, &bytes));
    assert_int_equal(bytes, 4096 * (base_count - 1));
    faults_fail(FAULT_OPENAT, ".", 1, EACCES, FAULT_ONCE);
    FAILS(RILL_ERR_PERMISSION, rill__log_check_size(&dir, &bytes));
    faults_clear();
    rill__file_close(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_topic_that_was_deleted_has_no_damage),
        TEST(what_is_still_damaged_after_a_recovery_is_told_once),
        TEST(what_lies_before_the_start_by_now_is_no_damage),
        TEST(a_segment_that_is_another_file_by_now_is_looked_at_again),
        TEST(what_moves_for_ever_is_told_in_the_end),
        TEST(what_compaction_has_made_one_of_is_followed),
        TEST(an_index_is_waited_for),
        TEST(a_mark_that_is_written_just_now_is_no_damage),
        TEST(ends_are_known_by_the_words_only),
        TEST(the_size_is_that_of_the_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
