/*
 * What is before the log start is gone, for every reader, for ever, and whatever
 * dies on the way; what is at or behind it stays, and a segment of it that is
 * missing is damage. Retention takes whole segments, the oldest first, for the
 * reasons that it is given and no others.
 */
#include "base/bytes.h"
#include "faults.h"
#include "logs.h"
#include "os/sys.h"
#include <errno.h>

/* The bases that have files, in order; how many. */
static size_t files(int64_t *bases, size_t max)
{
    struct file dir = test_log_directory();
    size_t count = 0;
    bool exists;

    for (int64_t base = 0; base < 2000; base++) {
        char name[SEGMENT_NAME_SIZE];
        rill__segment_name(base, "log", name);
        OK(rill__file_exists(&dir, name, &exists));
        if (!exists) continue;
        assert_true(count < max);
        bases[count++] = base;
    }
    rill__file_close(&dir);
    return count;
}

/* No index is there without its segment. */
static void check_no_orphans(void)
{
    for (int64_t base = 0; base < 2000; base++)
        if (!test_exists(test_segment_path(base, "log")))
            assert_false(test_exists(test_segment_path(base, "index")));
}

static void check_range(struct log *log, int64_t offset)
{
    struct log_cursor cursor;
    char begins[60];

    snprintf(begins, sizeof begins, "the log begins at %lld", (long long)rill__log_start(log));
    rill__cursor_init(&cursor, log);
    FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, offset));
    assert_non_null(strstr(test_message(), begins));
    rill__cursor_deinit(&cursor);
}

/* The log is [start, end), and the oldest file is that of segment `first`. */
static void check_log(struct test_log *t, int64_t start, int64_t end, int64_t first)
{
    int64_t bases[64];

    assert_int_equal(rill__log_start(t->log), start);
    assert_int_equal(rill__log_end(t->log), end);
    if (start > 0) check_range(t->log, start - 1);
    if (start > 0) check_range(t->log, 0);
    test_check(t->log, start, end);
    assert_true(files(bases, 64) > 0);
    assert_int_equal(bases[0], first);
    check_no_orphans();
}

/* Deletes, and gives the start that is told. */
static int64_t delete_before(struct log *log, int64_t before)
{
    int64_t start = -1;

    OK(rill__log_delete_before(log, before, INT64_MAX, &start));
    assert_int_equal(start, rill__log_start(log));
    return start;
}

/* ---- Deleting --------------------------------------------------------- */

static void start_may_lie_in_the_middle_of_a_segment(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t end;
    size_t count;

    test_append_segments(t->log, 5);
    end = rill__log_end(t->log);
    count = files(bases, 64);
    assert_int_equal(count, 5);
    assert_int_equal(delete_before(t->log, bases[2] + 1), bases[2] + 1);
    check_log(t, bases[2] + 1, end, bases[2]);
    OK(test_log_restart(t));
    check_log(t, bases[2] + 1, end, bases[2]);
    OK(test_log_reboot(t));
    check_log(t, bases[2] + 1, end, bases[2]);
    /* Up to the last record of the segment, then to its end. */
    assert_int_equal(delete_before(t->log, bases[3] - 1), bases[3] - 1);
    check_log(t, bases[3] - 1, end, bases[2]);
    assert_int_equal(delete_before(t->log, bases[3]), bases[3]);
    check_log(t, bases[3], end, bases[3]);
    test_append_segments(t->log, 4);
    check_log(t, bases[3], rill__log_end(t->log), bases[3]);
}

static void start_never_goes_back(void **state)
{
    struct test_log *t = *state;

    test_append_segments(t->log, 4);
    delete_before(t->log, 40);
    assert_int_equal(delete_before(t->log, 39), 40);
    assert_int_equal(delete_before(t->log, 0), 40);
    assert_int_equal(rill__log_start(t->log), 40);
}

static void all_may_go(void **state)
{
    struct test_log *t = *state;
    int64_t end;

    for (int round = 0; round < 3; round++) {
        test_append_segments(t->log, 3);
        test_append_ok(t->log, 2, 100);
        end = rill__log_end(t->log);
        assert_int_equal(delete_before(t->log, round == 1 ? end : INT64_MAX), end);
        check_log(t, end, end, end);
        assert_int_equal(delete_before(t->log, INT64_MAX), end); /* again: nothing to do */
        if (round == 1) OK(test_log_restart(t));
        else OK(test_log_reboot(t));
        check_log(t, end, end, end);
        test_append_ok(t->log, 3, 100);
        check_log(t, end, end + 3, end);
    }
}

static void empty_log_has_nothing_to_delete(void **state)
{
    struct test_log *t = *state;

    assert_int_equal(delete_before(t->log, INT64_MAX), 0);
    assert_int_equal(delete_before(t->log, 0), 0);
    FAILS(RILL_ERR_RANGE, rill__log_delete_before(t->log, 1, INT64_MAX, NULL));
    test_append_ok(t->log, 1, 100);
    check_log(t, 0, 1, 0);
}

static void beyond_the_end_is_a_range_error(void **state)
{
    struct test_log *t = *state;
    int64_t start = 77;

    test_append_ok(t->log, 3, 100);
    FAILS(RILL_ERR_RANGE, rill__log_delete_before(t->log, 4, INT64_MAX, &start));
    assert_non_null(strstr(test_message(), "the log ends at 3"));
    FAILS(RILL_ERR_RANGE, rill__log_delete_before(t->log, -1, INT64_MAX, &start));
    assert_int_equal(start, 77);
    check_log(t, 0, 3, 0);
}

static void deleted_or_poisoned_log_refuses(void **state)
{
    struct test_log *t = *state;
    struct log_retention what = {.retention_ms = 1};
    struct log_retained retained;

    test_append_ok(t->log, 3, 100);
    atomic_store(&t->log->control->poison, (uint32_t)-RILL_ERR_IO);
    FAILS(RILL_ERR_POISONED, rill__log_delete_before(t->log, 1, INT64_MAX, NULL));
    FAILS(RILL_ERR_POISONED, rill__log_retain(t->log, &what, &retained));
    assert_int_equal(retained.segment_count, 0);
    rill__log_mark_deleted(t->log);
    FAILS(RILL_ERR_NOT_FOUND, rill__log_delete_before(t->log, 1, INT64_MAX, NULL));
}

static void locks_of_others_are_waited_for_in_time(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct log_retention what = {.consumed = 1000};
    int64_t end;

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    OK(rill__shared_mutex_lock(&other->control->sync_lock, INT64_MAX));
    FAILS(RILL_ERR_TIMEOUT, rill__log_delete_before(t->log, 1, rill__deadline(1), NULL));
    assert_int_equal(rill__log_start(t->log), 0);
    OK(rill__log_retain(t->log, &what, NULL)); /* the next turn does it */
    assert_int_equal(rill__log_start(t->log), 0);
    rill__shared_mutex_unlock(&other->control->sync_lock);
    OK(rill__log_lock(other, INT64_MAX));
    FAILS(RILL_ERR_TIMEOUT, rill__log_delete_before(t->log, end, rill__deadline(1), NULL));
    OK(rill__log_delete_before(t->log, end - 1, rill__deadline(1), NULL)); /* needs no roll */
    rill__log_unlock(other);
    assert_int_equal(rill__log_start(t->log), end - 1);
    rill__log_close(other);
}

static void full_disk_does_not_hinder_deleting(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t end;
    size_t count;

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    count = files(bases, 64);
    faults_fail(FAULT_FALLOCATE, NULL, 1, ENOSPC, FAULT_DEAD);
    assert_int_equal(delete_before(t->log, end), end);
    faults_clear();
    check_log(t, end, end, bases[count - 1]); /* no other segment could be made */
    test_append_ok(t->log, 2, 100);
    OK(test_log_reboot(t));
    check_log(t, end, end + 2, bases[count - 1]);
}

/* ---- Crashes ---------------------------------------------------------- */

/* The calls that matter, as one line. */
struct trace {
    char text[2000];
};

static void note(void *arg, const struct fault_event *event)
{
    struct trace *trace = arg;
    size_t used = strlen(trace->text);
    char *at = trace->text + used;
    size_t room = sizeof trace->text - used;
    bool control = strcmp(event->name, "control") == 0;

    if (event->call == FAULT_PWRITE && control) snprintf(at, room, "mark; ");
    if (event->call == FAULT_FDATASYNC && control) snprintf(at, room, "sync; ");
    if (event->call == FAULT_UNLINKAT && strlen(event->name) == 24)
        snprintf(at, room, "remove %llu; ", strtoull(event->name, NULL, 10));
    if (event->call == FAULT_RENAMEAT) snprintf(at, room, "rename to %s; ", event->name);
}

static void nothing_goes_before_both_marks_are_on_disk(void **state)
{
    struct test_log *t = *state;
    struct trace trace = {""};
    char expected[200];
    int64_t bases[64];

    test_append_segments(t->log, 4);
    files(bases, 64);
    faults_watch(note, &trace);
    delete_before(t->log, bases[2]);
    faults_clear();
    snprintf(expected, sizeof expected,
             "mark; sync; mark; sync; rename to recycle-index.tmp; rename to recycle-log.tmp; "
             "rename to next.index; rename to next.log; remove %lld; ",
             (long long)bases[1]);
    assert_string_equal(trace.text, expected);
}

static void one_mark_is_enough(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t end;

    for (int copy = 0; copy < 2; copy++) {
        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
        test_append_segments(t->log, 4);
        end = rill__log_end(t->log);
        files(bases, 64);
        delete_before(t->log, bases[2] + 1);
        test_log_close(t);
        test_flip(test_path("control"), (copy == 0 ? MARK_A_AT : MARK_B_AT) + 20, 0x40);
        OK(test_log_reboot(t));
        check_log(t, bases[2] + 1, end, bases[2]);
    }
}

/* A mark that says what cannot be counts as damaged. */
static void start_behind_the_durable_end_is_no_mark(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();
    struct file control = FILE_NONE;
    struct mark mark;
    struct mark read;

    test_append_ok(t->log, 4, 100);
    delete_before(t->log, 2);
    test_log_close(t);
    OK(rill__file_open(&dir, "control", FILE_WRITE, &control));
    OK(rill__mark_read(&control, &mark));
    mark.sequence++;
    mark.log_start = mark.durable_end + 1;
    OK(rill__mark_write(&control, &mark));
    OK(rill__mark_read(&control, &read));
    assert_int_equal(read.sequence, mark.sequence - 1);
    mark.log_start = -1;
    OK(rill__mark_write(&control, &mark));
    OK(rill__mark_read(&control, &read));
    assert_int_equal(read.sequence, mark.sequence - 1);
    rill__file_close(&control);
    rill__file_close(&dir);
    OK(test_log_reboot(t));
    check_log(t, 2, 4, 0);
}

/* Every call in turn is the last that the process makes. */
static void deletion_has_happened_or_not(void **state)
{
    static const int64_t wanted[] = {30, 45, INT64_MAX};
    struct test_log *t = *state;
    int seen_before = 0;
    int seen_after = 0;

    for (size_t w = 0; w < sizeof wanted / sizeof wanted[0]; w++) {
        for (int boot = 0; boot < 2; boot++) {
            for (uint64_t n = 1;; n++) {
                int64_t bases[64];
                int64_t from;
                int64_t end;
                int64_t to;
                size_t count;
                bool done;

                test_log_deinit(t);
                test_log_init(t);
                OK(test_log_open(t));
                while (rill__log_end(t->log) < 60) test_append_ok(t->log, 2, 200);
                OK(rill__log_checkpoint(t->log));
                from = delete_before(t->log, 10);
                end = rill__log_end(t->log);
                to = wanted[w] == INT64_MAX ? end : wanted[w];
                faults_fail(FAULT_ANY, NULL, n, EIO, FAULT_DEAD);
                (void)rill__log_delete_before(t->log, wanted[w], INT64_MAX, NULL);
                done = faults_count() < n;
                faults_clear();
                if (boot == 0) OK(test_log_restart(t));
                else OK(test_log_reboot(t));
                count = files(bases, 64);
                assert_true(rill__log_start(t->log) == from || rill__log_start(t->log) == to);
                if (rill__log_start(t->log) == from) seen_before++;
                else seen_after++;
                assert_true(bases[0] <= rill__log_start(t->log));
                if (count > 1) assert_true(bases[1] > rill__log_start(t->log));
                test_check(t->log, rill__log_start(t->log), end);
                test_append_ok(t->log, 2, 200);
                assert_int_equal(delete_before(t->log, to), to);
                test_check(t->log, to, end + 2);
                check_no_orphans();
                if (done) break;
            }
        }
    }
    assert_true(seen_before > 10 && seen_after > 10);
}

/* The process dies when the start has moved and nothing is removed yet. */
static void maintenance_removes_what_was_left(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    uint32_t next_ms = UINT32_MAX;
    int64_t bases[64];

    test_append_segments(t->log, 5);
    files(bases, 64);
    OK(rill__log_move_start(t->log, bases[3] + 1, INT64_MAX));
    assert_int_equal(files(bases, 64), 5);
    check_range(other, bases[3]);
    test_check(other, bases[3] + 1, rill__log_end(other));
    OK(rill__log_maintain(other, &next_ms));
    check_log(t, bases[3] + 1, rill__log_end(t->log), bases[3]);
    assert_int_equal(t->deletions, 3);
    rill__log_close(other);
}

/* The same, and the next one to come opens the log. */
static void recovery_removes_what_was_left(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];

    test_append_segments(t->log, 5);
    files(bases, 64);
    OK(rill__log_move_start(t->log, bases[1], INT64_MAX));
    OK(test_log_restart(t));
    check_log(t, bases[1], rill__log_end(t->log), bases[1]);
    assert_int_equal(t->deletions, 1);
    OK(rill__log_move_start(t->log, bases[3] + 1, INT64_MAX));
    OK(test_log_reboot(t));
    check_log(t, bases[3] + 1, rill__log_end(t->log), bases[3]);
    assert_int_equal(t->deletions, 3);
}

static void removal_that_fails_is_told_and_done_later(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = UINT32_MAX;
    int64_t bases[64];

    test_append_segments(t->log, 4);
    files(bases, 64);
    rill__log_hold(t->log); /* nothing is recycled */
    faults_fail(FAULT_UNLINKAT, ".log", 2, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, rill__log_delete_before(t->log, bases[2], INT64_MAX, NULL));
    faults_clear();
    assert_int_equal(rill__log_start(t->log), bases[2]);
    assert_int_equal(files(bases + 10, 50), 3);
    assert_int_equal(t->deletions, 1);
    OK(rill__log_maintain(t->log, &next_ms));
    check_log(t, bases[2], rill__log_end(t->log), bases[2]);
    assert_int_equal(t->deletions, 2);
    rill__log_let_go(t->log);
}

static void mark_that_fails_poisons_and_nothing_is_removed(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];

    test_append_segments(t->log, 4);
    files(bases, 64);
    OK(rill__log_checkpoint(t->log));
    faults_fail(FAULT_FDATASYNC, "control", 2, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, rill__log_delete_before(t->log, bases[2], INT64_MAX, NULL));
    faults_clear();
    assert_int_equal(rill__log_start(t->log), 0);
    assert_int_equal(files(bases, 64), 4);
    FAILS(RILL_ERR_POISONED, rill__log_delete_before(t->log, bases[2], INT64_MAX, NULL));
    OK(test_log_restart(t));
    test_check(t->log, rill__log_start(t->log), rill__log_end(t->log));
}

/* ---- Missing segments are damage -------------------------------------- */

static void check_damage(struct log *log, int64_t offset)
{
    struct log_cursor cursor;
    struct batch_view view;

    rill__cursor_init(&cursor, log);
    if (rill__cursor_seek(&cursor, offset) == 0) /* to the end of what is before it */
        FAILS(RILL_ERR_CORRUPT, rill__cursor_next(&cursor, rill__log_end(log), true, &view));
    else FAILS(RILL_ERR_CORRUPT, rill__cursor_seek(&cursor, offset));
    assert_non_null(strstr(test_message(), "offset"));
    rill__cursor_deinit(&cursor);
}

static void missing_segment_is_damage(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 5);
    end = rill__log_end(t->log);
    files(bases, 64);
    delete_before(t->log, bases[1] + 1);
    for (int missing = 3; missing >= 1; missing--) {
        struct file dir = test_log_directory();
        int64_t hole = bases[missing] > bases[1] + 1 ? bases[missing] : bases[1] + 1;
        test_log_close(t);
        OK(rill__segment_remove(&dir, bases[missing]));
        rill__file_close(&dir);
        if (missing == 2) OK(test_log_reboot(t));
        else OK(test_log_restart(t));
        assert_int_equal(rill__log_start(t->log), bases[1] + 1);
        assert_int_equal(rill__log_end(t->log), end);
        for (int64_t offset = hole; offset < bases[missing + 1]; offset++)
            check_damage(t->log, offset);
        test_check(t->log, bases[4], end);
        if (missing > 1) test_check(t->log, bases[1] + 1, bases[missing]);
    }
    assert_false(test_exists(test_segment_path(bases[1], "log")));
}

/* The list of segments that this process has is older than the loss. */
static void loss_behind_our_back_is_damage(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();
    struct log_cursor cursor;
    struct batch_view view;
    int64_t bases[64];

    test_append_segments(t->log, 4);
    files(bases, 64);
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, bases[1] - 1));
    OK(rill__segment_remove(&dir, bases[1]));
    OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    FAILS(RILL_ERR_CORRUPT, rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    assert_non_null(strstr(test_message(), "missing"));
    OK(rill__cursor_seek(&cursor, bases[1])); /* where the one before it ends */
    FAILS(RILL_ERR_CORRUPT, rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    assert_non_null(strstr(test_message(), "missing"));
    FAILS(RILL_ERR_CORRUPT, rill__cursor_seek(&cursor, bases[1] + 1));
    assert_non_null(strstr(test_message(), "missing"));
    OK(rill__segment_remove(&dir, bases[2]));
    rill__log_mark_deleted(t->log);
    FAILS(RILL_ERR_NOT_FOUND, rill__cursor_seek(&cursor, bases[2]));
    rill__cursor_deinit(&cursor);
    rill__file_close(&dir);
}

/* ---- Readers ---------------------------------------------------------- */

static void reader_of_a_removed_segment_comes_to_its_end(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct log *logs[2];
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 7);
    end = rill__log_end(t->log);
    files(bases, 64);
    logs[0] = t->log;
    logs[1] = other;
    for (int i = 0; i < 2; i++) {
        struct log_cursor cursor;
        struct batch_view view;
        int64_t next = bases[3 * i];
        char begins[60];

        rill__cursor_init(&cursor, logs[i]);
        OK(rill__cursor_seek(&cursor, next));
        delete_before(t->log, bases[3 * i + 2] + 1);
        assert_false(test_exists(test_segment_path(next, "log")));
        while (next < bases[3 * i + 1]) {
            OK(rill__cursor_next(&cursor, end, true, &view));
            assert_int_equal(view.base_offset, next);
            next = view.end_offset;
        }
        snprintf(begins, sizeof begins, "the log begins at %lld",
                 (long long)bases[3 * i + 2] + 1);
        for (int again = 0; again < 2; again++) {
            FAILS(RILL_ERR_RANGE, rill__cursor_next(&cursor, end, true, &view));
            assert_non_null(strstr(test_message(), begins));
            assert_int_equal(view.record_count, 0);
            assert_int_equal(cursor.offset, next);
        }
        OK(rill__cursor_seek(&cursor, bases[3 * i + 2] + 1));
        OK(rill__cursor_next(&cursor, end, true, &view));
        assert_true(view.end_offset > bases[3 * i + 2] + 1);
        rill__cursor_deinit(&cursor);
    }
    rill__log_close(other);
}

/* What another process sees that has the segments in its list, or mapped. */
static void deleted_elsewhere_is_a_range_error(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    uint32_t next_ms = UINT32_MAX;
    uint64_t mapped;
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 6);
    end = rill__log_end(t->log);
    files(bases, 64);
    test_check(other, 0, end); /* all are in the list, and some are idle */
    delete_before(t->log, bases[4] + 1);
    for (int i = 0; i < 5; i++) check_range(other, bases[i]);
    test_check(other, bases[4] + 1, end);
    mapped = atomic_load(&t->mapped_bytes);
    OK(rill__log_maintain(other, &next_ms));
    assert_true(atomic_load(&t->mapped_bytes) < mapped);
    test_check(other, bases[4] + 1, end);
    check_range(other, bases[4]);
    check_range(other, bases[3]);
    rill__log_close(other);
}

/* Between the look at the log start and the opening of the segment. */
static struct test_log *shrinking;
static int64_t shrink_to;

static void shrink(void *arg, const struct fault_event *event)
{
    (void)arg;
    if (event->call != FAULT_OPENAT || shrink_to < 0 || strstr(event->name, ".log") == NULL)
        return;
    {
        int64_t to = shrink_to;
        shrink_to = -1;
        OK(rill__log_delete_before(shrinking->log, to, INT64_MAX, NULL));
    }
}

static void segment_may_go_just_when_it_is_opened(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 11);
    end = rill__log_end(t->log);
    files(bases, 64);
    shrinking = t;
    for (int i = 0; i < 4; i++) {
        static const int begins[] = {2, 5, 7, 8};
        struct log *other = test_log_second(t);
        struct log_cursor cursor;
        struct batch_view view;
        int64_t found;

        rill__cursor_init(&cursor, other);
        if (i == 1) OK(rill__cursor_seek(&cursor, bases[4] - 1));
        if (i == 1) OK(rill__cursor_next(&cursor, end, true, &view));
        shrink_to = bases[begins[i]];
        faults_watch(shrink, NULL);
        switch (i) {
        case 0: FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, bases[1])); break;
        case 1: FAILS(RILL_ERR_RANGE, rill__cursor_next(&cursor, end, true, &view)); break;
        case 2:
            OK(rill__log_offset_for_time(other, 0, &found));
            assert_int_equal(found, bases[7]);
            break;
        default: /* what is wanted is still there */
            OK(rill__cursor_seek(&cursor, bases[9]));
            OK(rill__cursor_next(&cursor, end, true, &view));
            assert_int_equal(view.base_offset, bases[9]);
            break;
        }
        faults_clear();
        assert_int_equal(shrink_to, -1);
        assert_int_equal(rill__log_start(other), bases[begins[i]]);
        rill__cursor_deinit(&cursor);
        rill__log_close(other);
    }
}

static void time_is_looked_for_from_the_start(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t found;

    test_append_segments(t->log, 5);
    files(bases, 64);
    delete_before(t->log, bases[2] + 1);
    OK(rill__log_offset_for_time(t->log, 0, &found));
    assert_int_equal(found, bases[2] + 1);
    OK(rill__log_offset_for_time(t->log, test_time(bases[2]), &found));
    assert_int_equal(found, bases[2] + 1);
    OK(rill__log_offset_for_time(t->log, test_time(bases[3] + 1), &found));
    assert_int_equal(found, bases[3] + 1);
    delete_before(t->log, INT64_MAX);
    OK(rill__log_offset_for_time(t->log, 0, &found));
    assert_int_equal(found, RILL_OFFSET_NONE);
}

static void segments_count_from_the_start(void **state)
{
    struct test_log *t = *state;
    uint32_t count;
    uint64_t bytes;
    int64_t bases[64];

    test_append_segments(t->log, 5);
    files(bases, 64);
    OK(rill__log_segments(t->log, &count, &bytes));
    assert_int_equal(count, 5);
    assert_int_equal(bytes, 5 * (4096 + 4096));
    delete_before(t->log, bases[3] + 1);
    OK(rill__log_segments(t->log, &count, &bytes));
    assert_int_equal(count, 2);
    assert_int_equal(bytes, 2 * (4096 + 4096));
}

/* ---- Retention -------------------------------------------------------- */

#define DAY INT64_C(86400000)

static void clock_is_believed_as_far_as_it_can_be(void **state)
{
    struct log_retention w = {.retention_ms = 7 * DAY, .wall_now_ms = 100 * DAY};

    (void)state;
    assert_true(rill__log_is_old(&w, 92 * DAY));
    assert_true(rill__log_is_old(&w, 93 * DAY - 1));
    assert_false(rill__log_is_old(&w, 93 * DAY)); /* as old as may be, no older */
    assert_false(rill__log_is_old(&w, 101 * DAY));
    assert_true(rill__log_is_old(&w, 0));
    assert_true(rill__log_is_old(&w, INT64_MIN + 1));
    assert_false(rill__log_is_old(&w, INT64_MAX)); /* not known */
    /* It jumped ahead by two days. */
    w.ahead_ms = 2 * DAY;
    assert_false(rill__log_is_old(&w, 92 * DAY));
    assert_false(rill__log_is_old(&w, 91 * DAY));
    assert_true(rill__log_is_old(&w, 91 * DAY - 1));
    w.steady_ms = 7 * DAY - 1;
    assert_false(rill__log_is_old(&w, 92 * DAY));
    w.steady_ms = 7 * DAY; /* but that is long ago */
    assert_true(rill__log_is_old(&w, 92 * DAY));
    assert_false(rill__log_is_old(&w, 93 * DAY));
    w.retention_ms = 0;
    assert_false(rill__log_is_old(&w, 0));
    w.retention_ms = UINT64_MAX;
    assert_false(rill__log_is_old(&w, 0));
    /* Of a clock that was not set. */
    w = (struct log_retention){
        .retention_ms = 7 * DAY, .wall_now_ms = 100 * DAY, .not_set_ms = 50 * DAY};
    assert_false(rill__log_is_old(&w, 50 * DAY - 1));
    assert_true(rill__log_is_old(&w, 50 * DAY));
    w.steady_ms = 7 * DAY;
    assert_true(rill__log_is_old(&w, 50 * DAY - 1));
    w.steady_ms = -1;
    assert_false(rill__log_is_old(&w, 50 * DAY - 1));
}

/* Segments in which records are as old as their offsets say; the age at which
 * exactly those before `before` are too old. */
static struct log_retention older_than(int64_t before)
{
    return (struct log_retention){.retention_ms = 5000,
                                  .wall_now_ms = test_time(before - 1) + 5001};
}

static struct log_retained retain(struct log *log, struct log_retention what)
{
    struct log_retained retained;

    OK(rill__log_retain(log, &what, &retained));
    return retained;
}

static void age_takes_whole_segments(void **state)
{
    struct test_log *t = *state;
    struct log_retained retained;
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 6);
    end = rill__log_end(t->log);
    files(bases, 64);
    assert_int_equal(retain(t->log, older_than(bases[1] - 1)).segment_count, 0);
    check_log(t, 0, end, 0);
    retained = retain(t->log, older_than(bases[1]));
    assert_int_equal(retained.segment_count, 1);
    assert_int_equal(retained.bytes, 4096);
    assert_int_equal(retained.log_start, bases[1]);
    check_log(t, bases[1], end, bases[1]);
    assert_int_equal(retain(t->log, older_than(bases[4] + 1)).segment_count, 3);
    check_log(t, bases[4], end, bases[4]);
    OK(test_log_reboot(t));
    check_log(t, bases[4], end, bases[4]);
}

/* Segments from such a time go when one behind them is old. */
static void unset_clock_makes_segments_as_old_as_the_next(void **state)
{
    struct test_log *t = *state;
    struct log_retention what;
    struct log_retained retained;
    int64_t bases[64];

    test_append_segments(t->log, 6);
    files(bases, 64);
    what = older_than(bases[2]);
    what.not_set_ms = test_time(bases[4] - 1) + 1;
    assert_int_equal(retain(t->log, what).segment_count, 0);
    what = older_than(bases[4]);
    what.not_set_ms = test_time(bases[4] - 1) + 1;
    assert_int_equal(retain(t->log, what).segment_count, 0);
    what = older_than(bases[5]);
    what.not_set_ms = test_time(bases[4] - 1) + 1;
    retained = retain(t->log, what);
    assert_int_equal(retained.segment_count, 5);
    assert_int_equal(retained.log_start, bases[5]);
}

static void old_active_segment_is_rolled_first(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    files(bases, 64);
    retain(t->log, older_than(end - 1)); /* all but its last record */
    check_log(t, bases[2], end, bases[2]);
    assert_int_equal(retain(t->log, older_than(end)).segment_count, 1);
    check_log(t, end, end, end);
    assert_int_equal(retain(t->log, older_than(end)).segment_count, 0); /* empty now: it stays */
    check_log(t, end, end, end);
    test_append_ok(t->log, 2, 100);
    OK(test_log_reboot(t));
    check_log(t, end, end + 2, end);
}

/* Without its seal, its index, or with the seal of another end. */
static void largest_timestamp_is_found_without_an_index(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];

    for (int how = 0; how < 3; how++) {
        struct segment *segment;

        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
        test_append_segments(t->log, 4);
        files(bases, 64);
        if (how == 0) test_flip(test_segment_path(0, "index"), INDEX_MAX_TIME_AT, 0xff);
        if (how == 1) assert_int_equal(unlink(test_segment_path(0, "index")), 0);
        if (how == 2) {
            OK(rill__log_pin(t->log, 0, true, &segment));
            rill__index_seal(segment, 1, 1000, bases[1] - 1, 0); /* of a roll that was not */
            rill__log_unpin(t->log, segment);
        }
        rill__log_drop_idle(t->log);
        assert_int_equal(retain(t->log, older_than(bases[1] - 1)).segment_count, 0);
        assert_int_equal(retain(t->log, older_than(bases[1])).segment_count, 1);
        assert_int_equal(rill__log_start(t->log), bases[1]);
    }
}

/* It hides how old it is; it goes with the next one. */
static void damaged_segment_goes_with_the_one_behind_it(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t end;

    for (int how = 0; how < 3; how++) {
        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
        test_append_segments(t->log, 4);
        end = rill__log_end(t->log);
        files(bases, 64);
        OK(rill__log_checkpoint(t->log)); /* a sync of what is missing would fail */
        rill__log_drop_idle(t->log);
        assert_int_equal(unlink(test_segment_path(bases[1], "index")), 0);
        if (how == 0) test_flip(test_segment_path(bases[1], "log"), 20, 1); /* header */
        if (how == 1) test_flip(test_segment_path(bases[1], "log"), 128 + 70, 1);
        if (how == 2) assert_int_equal(unlink(test_segment_path(bases[1], "log")), 0);
        retain(t->log, older_than(bases[2]));
        assert_int_equal(rill__log_start(t->log), bases[1]);
        retain(t->log, older_than(bases[3]));
        check_log(t, bases[3], end, bases[3]);
    }
}

static void size_leaves_so_many_bytes(void **state)
{
    struct test_log *t = *state;
    struct log_retention what = {.retention_bytes = 3 * 4096};
    struct tail_copy tail;
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 6);
    end = rill__log_end(t->log);
    files(bases, 64);
    /* Five sealed ones, and one that has just begun. */
    rill__control_tail(t->log->control, &tail);
    assert_true(tail.position < 4096);
    assert_int_equal(retain(t->log, what).segment_count, 2);
    check_log(t, bases[2], end, bases[2]);
    assert_int_equal(retain(t->log, what).segment_count, 0);
    what.retention_bytes = 2 * 4096 + tail.position + 1;
    assert_int_equal(retain(t->log, what).segment_count, 0);
    what.retention_bytes = 2 * 4096 + tail.position; /* exactly what stays */
    assert_int_equal(retain(t->log, what).segment_count, 1);
    check_log(t, bases[3], end, bases[3]);
    what.retention_bytes = 1; /* what is active stays, whatever its size */
    retain(t->log, what);
    check_log(t, bases[5], end, bases[5]);
}

/* Of age, size and consumption the one counts that takes the most. */
static void any_reason_is_enough(void **state)
{
    struct test_log *t = *state;
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 8);
    end = rill__log_end(t->log);
    files(bases, 64);
    for (int i = 0; i < 3; i++) {
        int age = i == 0 ? 2 : 1;
        int size = i == 1 ? 4 : 1;
        int consumed = i == 2 ? 6 : 1;
        struct log_retention what = older_than(bases[age]);

        what.retention_bytes = (uint64_t)(7 - size) * 4096;
        what.consumed = bases[consumed];
        OK(rill__log_retain(t->log, &what, NULL));
        check_log(t, bases[2 * i + 2], end, bases[2 * i + 2]);
    }
}

static void consumed_segments_go(void **state)
{
    struct test_log *t = *state;
    struct log_retention what = {.consumed = 0};
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 5);
    end = rill__log_end(t->log);
    files(bases, 64);
    retain(t->log, what);
    what.consumed = bases[2] - 1;
    retain(t->log, what);
    check_log(t, bases[1], end, bases[1]);
    what.consumed = bases[2];
    retain(t->log, what);
    check_log(t, bases[2], end, bases[2]);
    what.consumed = end; /* the active one is not rolled for it */
    retain(t->log, what);
    check_log(t, bases[4], end, bases[4]);
}

static void without_a_reason_nothing_goes(void **state)
{
    struct test_log *t = *state;
    struct log_retention none = {.wall_now_ms = INT64_MAX, .steady_ms = INT64_MAX};
    struct log_retained retained;

    OK(rill__log_retain(t->log, &none, &retained)); /* no segment yet */
    none.retention_ms = 1;
    OK(rill__log_retain(t->log, &none, &retained));
    none.retention_ms = 0;
    test_append_segments(t->log, 4);
    OK(rill__log_retain(t->log, &none, NULL));
    check_log(t, 0, rill__log_end(t->log), 0);
}

/* The oldest is not old, the next ones are: nothing goes from the middle. */
static void oldest_first(void **state)
{
    struct test_log *t = *state;
    struct log_retention what;
    struct segment *segment;
    struct index_seal seal;
    int64_t bases[64];

    test_append_segments(t->log, 4);
    files(bases, 64);
    OK(rill__log_pin(t->log, 0, true, &segment));
    assert_true(rill__index_sealed(segment, &seal));
    rill__index_seal(segment, seal.count, seal.end_position, seal.end_offset, test_time(5000));
    rill__log_unpin(t->log, segment);
    what = older_than(bases[3]);
    OK(rill__log_retain(t->log, &what, NULL));
    check_log(t, 0, rill__log_end(t->log), 0);
}

static void busy_append_lock_puts_off_the_roll(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct log_retention what;
    int64_t bases[64];
    int64_t end;

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    files(bases, 64);
    what = older_than(end);
    OK(rill__log_lock(other, INT64_MAX));
    OK(rill__log_retain(t->log, &what, NULL));
    rill__log_unlock(other);
    check_log(t, bases[2], end, bases[2]);
    OK(rill__log_retain(t->log, &what, NULL));
    check_log(t, end, end, end);
    rill__log_close(other);
}

/* Any call that fails is told, or does not matter, and the next turn goes on. */
static void every_failing_call_is_survived(void **state)
{
    struct test_log *t = *state;
    bool done = false;

    for (uint64_t n = 1; !done; n++) {
        struct log_retention what;
        int64_t bases[64];
        int64_t end;
        int rc;

        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
        test_append_segments(t->log, 5);
        end = rill__log_end(t->log);
        files(bases, 64);
        rill__log_drop_idle(t->log);
        what = older_than(end);
        what.retention_bytes = 1 << 30;
        faults_fail(FAULT_ANY, NULL, n, EIO, FAULT_ONCE);
        rc = rill__log_retain(t->log, &what, NULL);
        done = faults_count() < n;
        faults_clear();
        if (done) OK(rc);
        if (rill__log_state(t->log) != 0) OK(test_log_restart(t));
        test_check(t->log, rill__log_start(t->log), rill__log_end(t->log));
        OK(rill__log_retain(t->log, &what, NULL));
        check_log(t, end, end, end);
    }
}

static struct sys_calls real;
static uint64_t looks;
static uint64_t fails_at;

static int look(int dir, const char *name, struct stat *st, int flags)
{
    if (++looks == fails_at) {
        errno = EIO;
        return -1;
    }
    return real.fstatat(dir, name, st, flags);
}

/* A file that cannot be looked at, for its size or before it goes. */
static void every_failing_look_is_told_and_done_later(void **state)
{
    struct test_log *t = *state;

    for (fails_at = 1;; fails_at++) {
        struct log_retention what = {.retention_bytes = 2 * 4096};
        int64_t start;
        int64_t end;
        int rc;

        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
        test_append_segments(t->log, 5);
        OK(rill__log_checkpoint(t->log));
        end = rill__log_end(t->log);
        start = rill__log_start(t->log);
        real = rill__sys;
        rill__sys.fstatat = look;
        looks = 0;
        rc = rill__log_retain(t->log, &what, NULL);
        rill__sys = real;
        if (looks < fails_at) {
            OK(rc);
            assert_true(rill__log_start(t->log) > start);
            break;
        }
        if (rc != 0) assert_int_equal(rc, RILL_ERR_IO);
        test_check(t->log, rill__log_start(t->log), end);
        OK(rill__log_retain(t->log, &what, NULL));
        assert_true(rill__log_start(t->log) > start);
        check_log(t, rill__log_start(t->log), end, rill__log_start(t->log));
    }
    assert_true(fails_at > 3);
}

/* Who removes segments takes turns with who syncs and compacts: nobody waits for ever,
 * and a lock that nobody repaired is told. */
static void a_sync_lock_of_others_puts_off_the_removal(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct log_retained retained = {0, 0, 0};
    int64_t bases[64];

    test_append_segments(t->log, 4);
    OK(rill__log_checkpoint(t->log));
    files(bases, 64);
    faults_fail(FAULT_UNLINKAT, ".log", 1, EIO, FAULT_ONCE);
    assert_int_not_equal(rill__log_delete_before(t->log, bases[3], INT64_MAX, NULL), 0);
    faults_clear();
    assert_int_equal(rill__log_start(t->log), bases[3]);
    OK(rill__shared_mutex_lock(&other->control->sync_lock, INT64_MAX));
    OK(rill__log_sweep(t->log, &retained));
    assert_int_equal(retained.segment_count, 0);
    rill__shared_mutex_unlock(&other->control->sync_lock);
    OK(rill__log_sweep(t->log, &retained));
    assert_true(retained.segment_count > 0);
    assert_int_equal(files(bases, 64), 1);
    OK(rill__log_sweep(t->log, &retained)); /* nothing more */
    test_append_segments(t->log, 2);
    atomic_store(&t->log->control->sync_lock.unrecoverable, 1);
    atomic_store(&t->log->control->swept, 0);
    FAILS(RILL_ERR_IO, rill__log_sweep(t->log, &retained));
    rill__log_close(other);
    OK(test_log_restart(t));
}

/* ---- Sizes ------------------------------------------------------------ */

static void configure(struct test_log *t, uint64_t segment_bytes)
{
    t->config.segment_bytes = segment_bytes;
    rill__log_configure(t->log, &t->config);
}

static uint64_t file_size(int64_t base)
{
    struct file dir = test_log_directory();
    struct file_facts facts;
    char name[SEGMENT_NAME_SIZE];

    rill__segment_name(base, "log", name);
    OK(rill__file_look(&dir, name, &facts));
    rill__file_close(&dir);
    return facts.size;
}

static void segments_of_many_sizes_make_one_log(void **state)
{
    static const uint64_t sizes[] = {16384, 4096, 65536, 8192};
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    uint32_t count;
    uint64_t bytes;
    uint64_t expected;
    int64_t bases[64];
    int64_t active;

    test_append_segments(t->log, 2);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t there = files(bases, 64);
        active = bases[there - 1];
        configure(t, sizes[i]);
        test_append_segments(t->log, (uint32_t)there + 2);
        files(bases, 64);
        assert_int_equal(file_size(active), i == 0 ? 4096 : sizes[i - 1]); /* has its own */
        assert_int_equal(file_size(bases[there]), sizes[i]);
        test_append_ok(other, 2, 100); /* goes on in it, whatever its own size is */
        test_check(other, 0, rill__log_end(other));
        if (i == 1) OK(test_log_restart(t));
        if (i == 2) {
            rill__log_close(other);
            OK(test_log_reboot(t));
            other = test_log_second(t);
        }
        test_check(t->log, 0, rill__log_end(t->log));
    }
    expected = 0;
    for (size_t i = 0, there = files(bases, 64); i < there; i++) {
        struct segment *segment;
        expected += file_size(bases[i]);
        OK(rill__log_pin(t->log, bases[i], false, &segment));
        assert_int_equal(segment->size, file_size(bases[i]));
        expected += segment->index.size;
        rill__log_unpin(t->log, segment);
    }
    OK(rill__log_segments(t->log, &count, &bytes));
    assert_int_equal(bytes, expected);
    rill__log_close(other);
}

static void large_batch_waits_for_no_room_that_is_not_there(void **state)
{
    struct test_log *t = *state;
    int64_t base;

    test_append_ok(t->log, 1, 100);
    FAILS(RILL_ERR_TOO_BIG, test_append(t->log, 1, 5000, false, &base));
    assert_non_null(strstr(test_message(), "4096"));
    configure(t, 16384);
    OK(test_append(t->log, 1, 5000, false, &base)); /* in a segment of the new size */
    assert_int_equal(base, 1);
    assert_int_equal(file_size(1), 16384);
    configure(t, 4096);
    OK(test_append(t->log, 1, 5000, false, &base)); /* has room where it goes on */
    assert_int_equal(base, 2);
    test_check(t->log, 0, 3);
}

/* An active segment of 4096 bytes with nothing in it, of a log that ends at *end; the
 * next ones are larger. */
static void empty_small_segment(struct test_log *t, int64_t *end)
{
    test_append_segments(t->log, 2);
    *end = rill__log_end(t->log);
    assert_int_equal(delete_before(t->log, *end - 3), *end - 3);
    OK(rill__log_seal(t->log, INT64_MAX));
    configure(t, 16384);
}

/* The log has all of [start, end) but `passed`. The record behind that may name it: the
 * one who made it thought that it would be there. */
static void check_around(struct log *log, int64_t start, int64_t passed, int64_t end)
{
    rill_record record = RILL_RECORD_INIT;
    struct log_cursor cursor;
    struct batch_view view;
    int64_t next = start;
    bool bad;

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, start));
    while (cursor.offset < end) {
        struct record_walk walk = {BATCH_HEADER_SIZE, 0};
        OK(rill__cursor_next(&cursor, end, true, &view));
        while (view.record_count != 0 && rill__record_next(&view, &walk, &record, &bad)) {
            if (record.offset < start) continue;
            if (next == passed) next++;
            assert_int_equal(record.offset, next);
            if (next == passed + 1 && rill__get64(record.value.data) == (uint64_t)passed)
                record.offset = passed;
            test_value_check(&record);
            next++;
        }
        rill__cursor_release(&cursor);
    }
    rill__cursor_deinit(&cursor);
    if (next == passed && next < end) next++;
    assert_int_equal(next, end);
}

static int append_large(struct log *log, bool through_file, int64_t *base)
{
    return test_append(log, 1, 5000, through_file, base);
}

/* The next one cannot have its name, so its first offset gets no record. */
static void empty_segment_that_is_too_small_is_passed(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct log_cursor cursor;
    struct batch_view view;
    int64_t start;
    int64_t base;
    int64_t end;

    empty_small_segment(t, &end);
    start = rill__log_start(t->log);
    rill__cursor_init(&cursor, other);
    OK(rill__cursor_seek(&cursor, end));
    OK(rill__cursor_next(&cursor, end, true, &view));
    assert_int_equal(view.record_count, 0);
    FAILS(RILL_ERR_TOO_BIG, test_append(t->log, 1, 16384, false, &base));
    assert_non_null(strstr(test_message(), "16384"));
    assert_int_equal(rill__log_end(t->log), end); /* not for nothing */
    OK(append_large(t->log, false, &base));
    assert_int_equal(base, end + 1);
    assert_int_equal(file_size(end), 4096);
    assert_int_equal(file_size(end + 1), 16384);
    OK(rill__cursor_next(&cursor, end + 2, true, &view)); /* who had it mapped goes on */
    assert_int_equal(view.record_count, 1);
    assert_int_equal(view.base_offset, end + 1);
    rill__cursor_deinit(&cursor);
    test_append_ok(other, 3, 100);
    check_around(other, start, end, end + 5);
    check_around(t->log, end, end, end + 5);
    OK(append_large(t->log, true, &base));
    assert_int_equal(base, end + 5);
    rill__log_close(other);
    OK(test_log_restart(t));
    check_around(t->log, start, end, end + 6);
    OK(test_log_reboot(t));
    check_around(t->log, start, end, end + 6);
    assert_int_equal(delete_before(t->log, end + 2), end + 2);
    assert_false(test_exists(test_segment_path(end, "log")));
    test_check(t->log, end + 2, end + 6);
}

static void room_in_an_empty_segment_that_is_too_small(void **state)
{
    struct test_log *t = *state;
    uint8_t *room;
    int64_t end;

    empty_small_segment(t, &end);
    for (int i = 0; i < 2; i++) { /* passed once only */
        OK(rill__log_reserve(t->log, 9000, INT64_MAX, &room));
        rill__log_abandon(t->log);
        assert_int_equal(rill__log_end(t->log), end + 1);
    }
    test_append_ok(t->log, 1, 5000);
    check_around(t->log, rill__log_start(t->log), end, end + 2);
}

/* The nth call of an append that has to pass one fails, and perhaps all that come
 * after it. True: there are not so many. */
static bool pass_with_fault(struct test_log *t, uint64_t n, enum fault_after after,
                            bool through_file, int then, int *failed)
{
    int64_t start;
    int64_t base;
    int64_t end;
    bool done;
    int rc;

    empty_small_segment(t, &end);
    OK(rill__log_checkpoint(t->log));
    start = rill__log_start(t->log);
    faults_fail(FAULT_ANY, NULL, n, EIO, after);
    rc = append_large(t->log, through_file, &base);
    done = faults_count() < n;
    faults_clear();
    if (done) OK(rc);
    if (rc != 0) (*failed)++;
    if (then == 0 && rc == RILL_ERR_POISONED) then = 1;
    if (then == 1) OK(test_log_restart(t));
    if (then == 2) OK(test_log_reboot(t));
    if (rc == 0) assert_int_equal(rill__log_end(t->log), end + 2);
    else assert_in_range(rill__log_end(t->log), end, end + 1);
    check_around(t->log, start, end, rill__log_end(t->log));
    OK(append_large(t->log, false, &base));
    assert_int_equal(base, rc == 0 ? end + 2 : end + 1);
    test_append_ok(t->log, 2, 100);
    check_around(t->log, start, end, base + 3);
    OK(test_log_reboot(t));
    check_around(t->log, start, end, base + 3);
    return done;
}

static void passing_an_empty_segment_may_fail_anywhere(void **state)
{
    static const enum fault_after afters[] = {FAULT_ONCE, FAULT_TORN, FAULT_WHOLE, FAULT_DEAD};
    struct test_log *t = *state;
    int failed = 0;

    for (int how = 0; how < 4 * 2 * 3; how++) {
        bool done = false;
        for (uint64_t n = 1; !done; n++) {
            test_log_deinit(t);
            test_log_init(t);
            OK(test_log_open(t));
            done = pass_with_fault(t, n, afters[how % 4], how / 4 % 2 == 1, how / 8, &failed);
        }
    }
    assert_true(failed > 4 * 2 * 3 * 10);
}

static void prepared_segment_of_another_size_is_not_taken(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = UINT32_MAX;
    int64_t bases[64];

    test_append_segments(t->log, 1);
    test_append_ok(t->log, 2, 900);
    OK(rill__log_maintain(t->log, &next_ms));
    assert_true(test_exists(test_path("next.log")));
    configure(t, 8192);
    test_append_segments(t->log, 2);
    files(bases, 64);
    assert_int_equal(file_size(bases[1]), 8192);
    assert_false(test_exists(test_path("next.log")));
    while (!test_exists(test_path("next.log"))) {
        test_append_ok(t->log, 2, 100);
        OK(rill__log_maintain(t->log, &next_ms));
    }
    configure(t, 4096);
    OK(rill__log_maintain(t->log, &next_ms)); /* prepares one of the size that is wanted */
    test_append_segments(t->log, 3);
    files(bases, 64);
    assert_int_equal(file_size(bases[2]), 4096);
    test_check(t->log, 0, rill__log_end(t->log));
}

/* The roll by age comes before segment_ms has passed, by a share of the jitter that
 * is the segment's own. */
static void jitter_spreads_the_rolls(void **state)
{
    struct test_log *t = *state;
    struct tail_copy tail;
    int64_t least = INT64_MAX;
    int64_t most = 0;

    t->config.segment_ms = 100000;
    t->config.segment_jitter_ms = 40000;
    rill__log_configure(t->log, &t->config);
    test_append_ok(t->log, 1, 100);
    rill__control_tail(t->log->control, &tail);
    for (int64_t base = 0; base < 200; base++) {
        int64_t left;
        tail.base = base;
        tail.created_ms = rill__now_ms();
        left = rill__log_roll_in(t->log, &tail);
        if (left < least) least = left;
        if (left > most) most = left;
    }
    assert_in_range(least, 59900, 65000);
    assert_in_range(most, 95000, 100001);
    t->config.segment_jitter_ms = 500000; /* no more than the age itself */
    rill__log_configure(t->log, &t->config);
    for (int64_t base = 0; base < 200; base++) {
        tail.base = base;
        assert_in_range(rill__log_roll_in(t->log, &tail) + 1000, 0, 101001);
    }
    t->config.segment_jitter_ms = 0;
    rill__log_configure(t->log, &t->config);
    assert_in_range(rill__log_roll_in(t->log, &tail), 99000, 100001);
    tail.created_ms = 0;
    assert_int_equal(rill__log_roll_in(t->log, &tail), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(start_may_lie_in_the_middle_of_a_segment),
        WITH_LOG(start_never_goes_back),
        WITH_LOG(all_may_go),
        WITH_LOG(empty_log_has_nothing_to_delete),
        WITH_LOG(beyond_the_end_is_a_range_error),
        WITH_LOG(deleted_or_poisoned_log_refuses),
        WITH_LOG(locks_of_others_are_waited_for_in_time),
        WITH_LOG(full_disk_does_not_hinder_deleting),
        WITH_LOG(nothing_goes_before_both_marks_are_on_disk),
        WITH_LOG(one_mark_is_enough),
        WITH_LOG(start_behind_the_durable_end_is_no_mark),
        WITH_LOG(deletion_has_happened_or_not),
        WITH_LOG(maintenance_removes_what_was_left),
        WITH_LOG(recovery_removes_what_was_left),
        WITH_LOG(removal_that_fails_is_told_and_done_later),
        WITH_LOG(mark_that_fails_poisons_and_nothing_is_removed),
        WITH_LOG(missing_segment_is_damage),
        WITH_LOG(loss_behind_our_back_is_damage),
        WITH_LOG(reader_of_a_removed_segment_comes_to_its_end),
        WITH_LOG(deleted_elsewhere_is_a_range_error),
        WITH_LOG(segment_may_go_just_when_it_is_opened),
        WITH_LOG(time_is_looked_for_from_the_start),
        WITH_LOG(segments_count_from_the_start),
        cmocka_unit_test(clock_is_believed_as_far_as_it_can_be),
        WITH_LOG(age_takes_whole_segments),
        WITH_LOG(unset_clock_makes_segments_as_old_as_the_next),
        WITH_LOG(old_active_segment_is_rolled_first),
        WITH_LOG(largest_timestamp_is_found_without_an_index),
        WITH_LOG(damaged_segment_goes_with_the_one_behind_it),
        WITH_LOG(size_leaves_so_many_bytes),
        WITH_LOG(any_reason_is_enough),
        WITH_LOG(consumed_segments_go),
        WITH_LOG(without_a_reason_nothing_goes),
        WITH_LOG(oldest_first),
        WITH_LOG(busy_append_lock_puts_off_the_roll),
        WITH_LOG(every_failing_call_is_survived),
        WITH_LOG(every_failing_look_is_told_and_done_later),
        WITH_LOG(a_sync_lock_of_others_puts_off_the_removal),
        WITH_LOG(segments_of_many_sizes_make_one_log),
        WITH_LOG(large_batch_waits_for_no_room_that_is_not_there),
        WITH_LOG(empty_segment_that_is_too_small_is_passed),
        WITH_LOG(room_in_an_empty_segment_that_is_too_small),
        WITH_LOG(passing_an_empty_segment_may_fail_anywhere),
        WITH_LOG(prepared_segment_of_another_size_is_not_taken),
        WITH_LOG(jitter_spreads_the_rolls),
    };
    /* Thousands of syncs, that nobody doubts here. */
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
