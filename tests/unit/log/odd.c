/*
 * A log in odd states: words and marks that are valid and wrong, files behind the
 * tail, locks that are held or that nobody repaired, a directory that cannot be
 * listed just now. Nothing that was durable is lost, and whatever fails says so
 * and works the next time.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "faults.h"
#include "logs.h"
#include "os/sys.h"
#include <errno.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct tail_copy tail_of(struct log *log)
{
    struct tail_copy tail;

    rill__control_tail(log->control, &tail);
    return tail;
}

/* ---- Words that are wrong ---- */

static void nothing_at_all(struct tail_copy *tail)
{
    tail->base = -1;
    tail->end_offset = 0;
}

static void nothing_with_an_end(struct tail_copy *tail)
{
    tail->base = -1;
    tail->end_offset = 5;
}

static void end_before_its_segment(struct tail_copy *tail)
{
    tail->end_offset = tail->base - 1;
}

static void epoch_below_zero(struct tail_copy *tail)
{
    tail->epoch = -1;
}

/* The mark is at the beginning; the words say less than the segment begins with. */
static void a_tail_that_ends_before_its_segment_is_not_trusted(void **state)
{
    struct test_log *t = *state;
    struct tail_copy tail;
    int64_t end;

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    tail = tail_of(t->log);
    tail.end_offset = tail.base - 1;
    rill__control_set_tail(t->log->control, &tail);
    OK(test_log_restart(t));
    assert_int_equal(t->recovered_count, 2);
    assert_int_equal(rill__log_end(t->log), end);
    test_check(t->log, 0, end);
}

static void a_wrong_tail_is_not_trusted(void **state)
{
    struct test_log *t = *state;
    void (*const spoils[])(struct tail_copy *) = {nothing_at_all, nothing_with_an_end,
                                                  end_before_its_segment, epoch_below_zero};
    test_append_segments(t->log, 3);
    for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
        int before = t->recovered_count;
        struct tail_copy tail;
        int64_t end;

        OK(rill__log_checkpoint(t->log));
        test_append_ok(t->log, 1, 100);
        end = rill__log_end(t->log);
        tail = tail_of(t->log);
        spoils[i](&tail);
        rill__control_set_tail(t->log->control, &tail);
        OK(test_log_restart(t));
        assert_int_equal(t->recovered_count, before + 1);
        assert_int_equal(rill__log_end(t->log), end);
        test_check(t->log, 0, end);
        OK(test_log_restart(t));
    }
}

/* Nothing was durable yet, so such a tail is as good as none. */
static void a_tail_without_a_segment_and_with_an_end_is_not_trusted(void **state)
{
    struct test_log *t = *state;
    struct tail_copy tail = tail_of(t->log);

    assert_int_equal(tail.base, -1);
    OK(test_log_restart(t));
    assert_int_equal(t->recovered_count, 1); /* trusted: nothing is what there is */
    tail = tail_of(t->log);
    tail.end_offset = 5;
    rill__control_set_tail(t->log->control, &tail);
    OK(test_log_restart(t));
    assert_int_equal(t->recovered_count, 2);
    assert_int_equal(rill__log_end(t->log), 0);
    test_append_ok(t->log, 1, 8);
}

static struct file control_file(void)
{
    struct file dir = test_log_directory();
    struct file file = FILE_NONE;

    OK(rill__file_open(&dir, "control", FILE_WRITE, &file));
    rill__file_close(&dir);
    return file;
}

/* The mark changes as `spoil` wants, and verifies. */
static void change_mark(void (*spoil)(struct mark *))
{
    struct file file = control_file();
    struct mark mark;

    OK(rill__mark_read(&file, &mark));
    spoil(&mark);
    mark.sequence++;
    OK(rill__mark_write(&file, &mark));
    rill__file_close(&file);
}

static void durable_above_the_file(struct mark *mark)
{
    mark->durable_end = 1000;
    mark->position = 5000;
}

static void position_a_little_off(struct mark *mark)
{
    mark->position += 8;
}

static void durable_inside_a_batch(struct mark *mark)
{
    mark->durable_end = 3;
}

static void a_mark_above_the_file_is_damage(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    OK(rill__log_checkpoint(t->log));
    test_log_close(t);
    change_mark(durable_above_the_file);
    FAILS(RILL_ERR_CORRUPT, test_log_reboot(t));
    test_says("records up to position 5000 were durable");
}

static void a_mark_between_batches_is_told(void **state)
{
    struct test_log *t = *state;
    struct tail_copy tail;

    test_append_ok(t->log, 2, 100);
    OK(rill__log_checkpoint(t->log));
    tail = tail_of(t->log);
    test_log_close(t);
    change_mark(position_a_little_off);
    OK(test_log_reboot(t));
    assert_non_null(strstr(t->said, "damaged"));
    assert_int_equal(rill__log_end(t->log), 2);
    assert_int_equal(tail_of(t->log).position, tail.position + 8);
    test_append_ok(t->log, 2, 100);
    assert_int_equal(rill__log_end(t->log), 4);
}

static void a_mark_inside_a_batch_is_told(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    test_append_ok(t->log, 2, 100);
    OK(rill__log_checkpoint(t->log));
    test_log_close(t);
    change_mark(durable_inside_a_batch);
    OK(test_log_reboot(t));
    assert_non_null(strstr(t->said, "does not lead to the durable mark"));
    assert_int_equal(rill__log_end(t->log), 3);
    test_append_ok(t->log, 1, 100);
    test_check(t->log, 0, 2);
}

/* The last batch before the mark says that it has more records than it has. */
static void a_batch_that_ends_behind_the_mark_is_told(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    uint32_t position;

    test_append_ok(t->log, 2, 100);
    test_append_ok(t->log, 2, 100);
    OK(rill__log_checkpoint(t->log));
    position = test_position_of(t->log, 2, &view);
    test_log_close(t);
    test_flip(test_segment_path(0, "log"), position + BATCH_LAST_DELTA_AT, 8);
    OK(test_log_reboot(t));
    assert_non_null(strstr(t->said, "damaged"));
    assert_int_equal(rill__log_end(t->log), 4);
    test_append_ok(t->log, 1, 100);
    assert_int_equal(rill__log_end(t->log), 5);
    test_check(t->log, 0, 2);
}

/* A later version may give the bytes between a meaning. */
static void a_mark_with_more_in_it_is_not_read(void **state)
{
    struct test_log *t = *state;
    struct file file = control_file();
    struct mark mark;
    uint64_t sequence;
    uint8_t copy[MARK_SIZE];

    test_append_ok(t->log, 1, 100);
    OK(rill__log_checkpoint(t->log));
    OK(rill__mark_read(&file, &mark));
    sequence = mark.sequence;
    uint64_t at = sequence % 2 == 0 ? MARK_B_AT : MARK_A_AT;
    OK(rill__file_read(&file, copy, sizeof copy, at));
    rill__put32(copy + 44, 2);
    rill__put64(copy + 56, rill__checksum(copy, 56));
    OK(rill__file_write(&file, copy, sizeof copy, at));
    OK(rill__mark_read(&file, &mark));
    assert_int_equal(mark.sequence, sequence - 1);
    rill__file_close(&file);
}

/* ---- Files ---- */

static void what_is_not_ours_is_left_alone(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 1, 100);
    test_log_close(t);
    fclose(fopen(test_path("x"), "w"));
    fclose(fopen(test_path("letter"), "w"));
    OK(test_log_reboot(t));
    assert_true(test_exists(test_path("x")));
    assert_true(test_exists(test_path("letter")));
    test_check(t->log, 0, 1);
}

/* Two segments of which the log knows nothing; one cannot be removed. */
static void what_cannot_be_removed_is_told(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 3, 100);
    OK(rill__log_checkpoint(t->log));
    test_log_close(t);
    for (int inside = 0; inside < 2; inside++) {
        int64_t first = inside != 0 ? 1 : 7;
        fclose(fopen(test_segment_path(first, "log"), "w"));
        fclose(fopen(test_segment_path(first + 1, "log"), "w"));
        faults_fail(FAULT_UNLINKAT, ".log", 1, EIO, FAULT_ONCE);
        FAILS(RILL_ERR_IO, inside != 0 ? test_log_reboot(t) : test_log_restart(t));
        faults_clear();
        OK(test_log_open(t));
        assert_false(test_exists(test_segment_path(first, "log")));
        assert_false(test_exists(test_segment_path(first + 1, "log")));
        test_check(t->log, 0, 3);
        test_log_close(t);
    }
    OK(test_log_restart(t));
}

/* The first segment has no header; any call may fail on the way to see that. */
static void a_segment_that_was_never_made_and_any_failing_call(void **state)
{
    static const uint8_t zeros[SEGMENT_HEADER_SIZE];
    struct test_log *t = *state;
    uint64_t n = 1;
    uint64_t made;

    do {
        test_log_close(t);
        test_directory_remove();
        atomic_store(&t->mapped_bytes, 0);
        test_log_init(t);
        OK(test_log_open(t));
        test_append_ok(t->log, 1, 100);
        test_log_close(t);
        test_write_file(test_segment_path(0, "log"), 0, zeros, sizeof zeros);
        faults_fail(FAULT_ANY, NULL, n, EIO, FAULT_ONCE);
        if (test_log_reboot(t) != 0) {
            assert_true(test_message()[0] != '\0');
            assert_null(t->log);
        }
        made = faults_count();
        faults_clear();
        if (t->log == NULL) OK(test_log_reboot(t));
        assert_int_equal(rill__log_end(t->log), 0);
        test_append_ok(t->log, 1, 100);
        test_check(t->log, 0, 1);
    } while (n++ <= made);
    assert_true(n > 10);
}

static void after_a_poison_caches_are_dropped_as_far_as_can_be(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    OK(rill__log_checkpoint(t->log));
    atomic_store(&t->log->control->poison, EIO);
    FAILS(RILL_ERR_POISONED, test_append(t->log, 1, 100, false, &(int64_t){0}));
    test_log_close(t);
    faults_fail(FAULT_OPENAT, ".log", 1, EMFILE, FAULT_ONCE);
    OK(test_log_restart(t));
    assert_int_equal(faults_count() > 1, true);
    faults_clear();
    test_check(t->log, 0, 2);
    test_append_ok(t->log, 1, 100);
}

static void nobody_needs_to_be_told(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    test_log_close(t);
    test_flip(test_segment_path(0, "log"), SEGMENT_HEADER_SIZE + 100, 1);
    t->config.say = NULL;
    t->config.recovered = NULL;
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), 0);
    assert_int_equal(t->warning_count, 0);
}

/* ---- Indexes ---- */

static void index_is_not_believed(struct test_log *t)
{
    struct segment *segment;

    rill__log_drop_idle(t->log);
    OK(rill__log_pin(t->log, 0, false, &segment));
    assert_null(segment->index.data);
    rill__log_unpin(t->log, segment);
    test_check(t->log, 0, rill__log_end(t->log));
}

static void an_index_of_another_segment_is_not_believed(void **state)
{
    struct test_log *t = *state;
    const char *path;
    uint8_t *bytes;
    uint8_t header[INDEX_HEADER_SIZE];
    size_t size;

    test_append_segments(t->log, 3);
    bytes = test_read_file(test_segment_path(0, "index"), &size);
    path = test_segment_path(0, "index");
    memcpy(header, bytes, sizeof header);
    header[INDEX_SALT_AT] ^= 1;
    rill__put64(header + INDEX_CHECKSUM_AT, rill__checksum(header, INDEX_CHECKSUM_AT));
    test_write_file(path, 0, header, sizeof header);
    index_is_not_believed(t);
    memcpy(header, bytes, sizeof header);
    header[INDEX_RESERVED_AT] = 1; /* a version to come */
    rill__put64(header + INDEX_CHECKSUM_AT, rill__checksum(header, INDEX_CHECKSUM_AT));
    test_write_file(path, 0, header, sizeof header);
    index_is_not_believed(t);
    test_write_file(path, 0, bytes, INDEX_HEADER_SIZE);
    if (truncate(path, (off_t)5 << 30) == 0) index_is_not_believed(t);
    assert_int_equal(truncate(path, 10), 0);
    index_is_not_believed(t);
    free(bytes);
}

/* ---- Locks ---- */

static void locks_that_nobody_repaired_are_told(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = 1000;
    struct tail_copy tail;

    test_append_ok(t->log, 1, 100);
    t->log->config.segment_ms = 10;
    tail = tail_of(t->log);
    tail.created_ms = 1; /* long ago */
    rill__control_set_tail(t->log->control, &tail);
    atomic_store(&t->log->control->append_lock.unrecoverable, 1);
    FAILS(RILL_ERR_IO, test_append(t->log, 1, 100, false, &(int64_t){0}));
    FAILS(RILL_ERR_IO, rill__log_maintain(t->log, &next_ms));
    atomic_store(&t->log->control->sync_lock.unrecoverable, 1);
    FAILS(RILL_ERR_IO, rill__log_sync(t->log, 1, INT64_MAX));
    FAILS(RILL_ERR_IO, rill__log_checkpoint(t->log));
    t->log->config.sync_interval_ms = 0;
    FAILS(RILL_ERR_IO, rill__log_maintain(t->log, &next_ms));
    OK(test_log_restart(t));
    test_append_ok(t->log, 1, 100);
}

static void maintenance_does_not_wait_for_locks(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = 1000;
    struct tail_copy tail;
    struct log *other;

    test_append_ok(t->log, 1, 100);
    other = test_log_second(t);
    tail = tail_of(t->log);
    tail.created_ms = 1;
    rill__control_set_tail(t->log->control, &tail);
    t->log->config.segment_ms = 10;
    t->log->config.sync_interval_ms = 0;
    OK(rill__shared_mutex_lock(&other->control->sync_lock, INT64_MAX));
    OK(rill__log_lock(other, INT64_MAX));
    OK(rill__log_maintain(t->log, &next_ms));
    assert_int_equal(rill__log_durable(t->log), 0);
    assert_int_equal(tail_of(t->log).base, 0);
    atomic_store(&t->log->control->poison, EIO);
    FAILS(RILL_ERR_POISONED, rill__log_sync(t->log, 1, INT64_MAX));
    atomic_store(&t->log->control->poison, 0);
    rill__log_unlock(other);
    rill__shared_mutex_unlock(&other->control->sync_lock);
    OK(rill__log_maintain(t->log, &next_ms));
    assert_int_equal(rill__log_durable(t->log), 1);
    assert_int_equal(tail_of(t->log).base, 1);
    rill__log_close(other);
}

static struct log *meanwhile;
static bool meanwhile_append;
static struct sys_calls real;

/* Another process rolls, and may append, between the look and the lock. */
static int roll_meanwhile(clockid_t clock, struct timespec *t)
{
    if (clock == CLOCK_MONOTONIC && meanwhile != NULL) {
        struct log *log = meanwhile;
        struct tail_copy tail;
        meanwhile = NULL;
        OK(rill__log_lock(log, INT64_MAX));
        tail = tail_of(log);
        OK(rill__log_roll(log, &tail));
        OK(rill__log_roll(log, &tail)); /* of an empty one: no need */
        rill__log_unlock(log);
        if (meanwhile_append) test_append_ok(log, 1, 100);
    }
    return real.clock_gettime(clock, t);
}

static void what_was_rolled_meanwhile_is_not_rolled_again(void **state)
{
    struct test_log *t = *state;
    struct log *other = NULL;

    real = rill__sys;
    for (int append = 0; append < 2; append++) {
        uint32_t next_ms = 1000;
        struct tail_copy tail;
        int64_t end;

        test_append_ok(t->log, 1, 100);
        OK(rill__log_checkpoint(t->log));
        if (other == NULL) other = test_log_second(t);
        t->log->config.segment_ms = 100000;
        tail = tail_of(t->log);
        tail.created_ms = 1;
        rill__control_set_tail(t->log->control, &tail);
        end = rill__log_end(t->log);
        meanwhile_append = append != 0;
        meanwhile = other;
        rill__sys.clock_gettime = roll_meanwhile;
        OK(rill__log_maintain(t->log, &next_ms));
        rill__sys = real;
        assert_null(meanwhile);
        assert_int_equal(tail_of(t->log).base, end); /* rolled once */
        test_check(t->log, 0, end + append);
    }
    rill__log_close(other);
}

static void an_empty_segment_is_synced_without_a_new_mark(void **state)
{
    struct test_log *t = *state;
    uint64_t sequence;
    struct tail_copy tail;

    OK(rill__log_sync(t->log, 1, INT64_MAX)); /* nothing there: nothing to sync */
    test_append_ok(t->log, 1, 100);
    OK(rill__log_checkpoint(t->log));
    sequence = atomic_load(&t->log->control->mark_sequence);
    OK(rill__log_lock(t->log, INT64_MAX));
    tail = tail_of(t->log);
    OK(rill__log_roll(t->log, &tail));
    rill__log_unlock(t->log);
    OK(rill__log_sync(t->log, 2, INT64_MAX));
    assert_int_equal(atomic_load(&t->log->control->directory_base), 1);
    assert_int_equal(atomic_load(&t->log->control->mark_sequence), sequence);
}

static void a_deleted_log_lets_go_of_its_segments(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = 1000;

    test_append_segments(t->log, 3);
    test_check(t->log, 0, rill__log_end(t->log));
    assert_true(t->log->idle_count > 0);
    rill__log_mark_deleted(t->log);
    FAILS(RILL_ERR_NOT_FOUND, rill__log_maintain(t->log, &next_ms));
    assert_int_equal(t->log->idle_count, 0);
}

/* ---- Segments that cannot be found just now ---- */

static void a_directory_that_cannot_be_listed_is_told(void **state)
{
    struct test_log *t = *state;
    struct log *other;
    struct log_cursor cursor;
    uint32_t count;
    uint64_t bytes;
    int64_t found;

    test_append_segments(t->log, 2);
    other = test_log_second(t);
    rill__cursor_init(&cursor, other);
    OK(rill__cursor_seek(&cursor, 0));
    test_append_segments(t->log, 4);
    faults_fail(FAULT_OPENAT, ".", 1, EMFILE, FAULT_DEAD);
    assert_int_not_equal(rill__log_segments(other, &count, &bytes), 0);
    assert_int_not_equal(rill__log_base_after(other, 0, &found), 0);
    assert_int_not_equal(rill__log_base_of(other, 0, &found), 0);
    assert_int_not_equal(rill__log_offset_for_time(other, 1, &found), 0);
    faults_clear();
    OK(rill__log_segments(other, &count, &bytes));
    assert_int_equal(count, 4);
    OK(rill__log_offset_for_time(other, 1, &found));
    assert_int_equal(found, 0);
    faults_fail(FAULT_OPENAT, ".log", 2, EMFILE, FAULT_DEAD);
    rill__log_drop_idle(other);
    assert_int_not_equal(rill__log_offset_for_time(other, INT64_MAX - 1, &found), 0);
    faults_clear();
    rill__cursor_deinit(&cursor);
    test_check(other, 0, rill__log_end(other));
    rill__log_close(other);
}

static void a_lost_segment_is_not_durable(void **state)
{
    struct test_log *t = *state;
    struct log *other;
    int64_t found;
    int64_t end;

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    other = test_log_second(t);
    assert_int_equal(unlink(test_segment_path(tail_of(t->log).base, "log")), 0);
    faults_fail(FAULT_OPENAT, NULL, 3, EMFILE, FAULT_ONCE); /* two lists, a file between */
    assert_int_not_equal(rill__log_sync(other, end, INT64_MAX), 0);
    test_says("cannot list");
    faults_clear();
    FAILS(RILL_ERR_CORRUPT, rill__log_sync(other, end, INT64_MAX));
    test_says("is missing");
    faults_fail(FAULT_OPENAT, NULL, 2, EMFILE, FAULT_ONCE);
    assert_int_not_equal(rill__log_offset_for_time(other, 1, &found), 0);
    faults_clear();
    assert_true(rill__log_durable(t->log) < end);
    rill__log_close(other);
}

static void segments_are_closed_when_the_store_has_too_many(void **state)
{
    struct test_log *t = *state;

    test_append_segments(t->log, 20);
    atomic_fetch_add(&t->idle_segments, 1024); /* of other partitions */
    test_check(t->log, 0, rill__log_end(t->log));
    assert_int_equal(t->log->idle_count, 0);
    atomic_fetch_sub(&t->idle_segments, 1024 - 512);
    test_check(t->log, 0, rill__log_end(t->log));
    assert_int_equal(t->log->idle_count, 8); /* there is room for a few still */
    atomic_fetch_sub(&t->idle_segments, 512);
    test_check(t->log, 0, rill__log_end(t->log));
    assert_in_range(t->log->idle_count, 19, 20);
}

static void a_segment_that_cannot_be_opened_takes_nothing(void **state)
{
    struct test_log *t = *state;
    int64_t base;

    test_append_ok(t->log, 1, 100);
    OK(test_log_restart(t));
    for (int n = 1; n < 4; n++) {
        int64_t end = rill__log_end(t->log);
        int rc;
        faults_fail(FAULT_OPENAT, ".log", (uint64_t)n, EMFILE, FAULT_ONCE);
        rc = test_append(t->log, 1, 100, false, &base);
        assert_true(n > 1 || rc != 0);
        faults_clear();
        assert_int_equal(rill__log_end(t->log), rc == 0 ? end + 1 : end);
        OK(test_log_restart(t));
    }
    test_append_ok(t->log, 1, 100);
    test_check(t->log, 0, rill__log_end(t->log));
}

static void halves_of_a_roll_are_no_segments(void **state)
{
    struct test_log *t = *state;
    int64_t end;
    int64_t next;

    test_append_segments(t->log, 2);
    end = rill__log_end(t->log);
    fclose(fopen(test_segment_path(end, "log"), "w"));
    OK(rill__log_refresh(t->log));
    OK(rill__log_base_after(t->log, tail_of(t->log).base, &next));
    assert_int_equal(next, -1);
    test_check(t->log, 0, end);
}

static void a_closed_log_gives_all_back_whoever_holds_it(void **state)
{
    struct test_log *t = *state;
    struct segment *segment;

    test_append_segments(t->log, 2);
    OK(rill__log_pin(t->log, 0, false, &segment));
    test_log_close(t); /* the end of the test sees whether all was given back */
}

static void a_prepared_segment_that_fails_halfway_is_removed(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();
    bool exists;

    t->config.segment_bytes = 4 << 20;
    faults_fail(FAULT_PWRITE, "prepare-log.tmp", 2, ENOSPC, FAULT_ONCE);
    FAILS(RILL_ERR_NO_SPACE, rill__segment_prepare(&t->config, &dir, t->config.segment_bytes));
    faults_clear();
    OK(rill__file_exists(&dir, "prepare-log.tmp", &exists));
    assert_false(exists);
    OK(rill__file_exists(&dir, "next.log", &exists));
    assert_false(exists);
    t->config.segment_bytes = 4096;
    OK(rill__segment_prepare(&t->config, &dir, t->config.segment_bytes));
    rill__file_close(&dir);
}

/* ---- Batches ---- */

/* Its header is checked, what is in it is the writer's word. */
static void a_batch_that_claims_a_later_time_is_passed_by(void **state)
{
    struct test_log *t = *state;
    uint8_t room[512];
    struct batch batch;
    rill_record record = RILL_RECORD_INIT;
    uint8_t value[8] = {0};
    int64_t base;
    int64_t found;

    record.value = (rill_bytes){value, 8};
    record.timestamp_ms = 1000;
    rill__batch_init(&batch, room, sizeof room);
    assert_true(rill__batch_add(&batch, &record, 1, NULL));
    batch.max_time = 9000;
    rill__batch_seal(&batch);
    OK(rill__log_append(t->log, &batch, false, INT64_MAX, &base));
    rill__batch_init(&batch, room, sizeof room);
    record.timestamp_ms = 6000;
    assert_true(rill__batch_add(&batch, &record, 1, NULL));
    rill__batch_seal(&batch);
    OK(rill__log_append(t->log, &batch, false, INT64_MAX, &base));
    OK(rill__log_offset_for_time(t->log, 5000, &found));
    assert_int_equal(found, 1);
    OK(rill__log_offset_for_time(t->log, 7000, &found));
    assert_int_equal(found, RILL_OFFSET_NONE);
}

static void what_does_not_fit_is_not_added(void **state)
{
    _Alignas(8) uint8_t room[128] = {0};
    struct batch batch;
    rill_record record = RILL_RECORD_INIT;
    rill_header header;

    (void)state;
    record.value = (rill_bytes){"v", 1};
    rill__batch_init(&batch, room, 10);
    assert_false(rill__batch_add(&batch, &record, 1, NULL));
    rill__batch_init(&batch, room, BATCH_HEADER_SIZE + 4);
    assert_false(rill__batch_add(&batch, &record, 1, NULL));
    assert_int_equal(batch.record_count, 0);
    rill__batch_init(&batch, room, sizeof room);
    record.value.size = ((size_t)1 << 30) + 1;
    assert_false(rill__batch_add(&batch, &record, 1, NULL));
    /* A record whose value is larger than itself, with headers behind it. */
    rill__put32(room + RECORD_SIZE_AT, 64);
    rill__put32(room + RECORD_VALUE_SIZE_AT, 1000);
    rill__put32(room + RECORD_KEY_SIZE_AT, RECORD_HAS_HEADERS | RECORD_NULL_KEY);
    FAILS(RILL_ERR_RANGE, rill__record_header(room, 0, &header));
}

/* ---- After the holder of the append lock died ---- */

static void in_a_child_that_dies(struct test_log *t, void (*work)(struct log *))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct log *log;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        log = test_log_second(t);
        if (rill__log_lock(log, INT64_MAX) != 0) _exit(1);
        work(log);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void do_nothing(struct log *log)
{
    (void)log;
}

static void spoil_intent(struct log *log)
{
    atomic_store(&log->control->intent_end, UINT32_MAX);
}

static void an_intent_that_cannot_be_is_not_followed(void **state)
{
    struct test_log *t = *state;
    int32_t epoch = rill__log_epoch(t->log);

    if (getenv("RILL_TEST_EMULATED") != NULL) skip(); /* robust mutexes do not work there */
    in_a_child_that_dies(t, do_nothing);
    test_append_ok(t->log, 1, 100); /* the first of all */
    in_a_child_that_dies(t, spoil_intent);
    test_append_ok(t->log, 1, 100);
    assert_int_equal(rill__log_epoch(t->log), epoch + 2);
    test_check(t->log, 0, 2);
    OK(test_log_reboot(t));
    test_check(t->log, 0, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(a_tail_that_ends_before_its_segment_is_not_trusted),
        WITH_LOG(a_wrong_tail_is_not_trusted),
        WITH_LOG(a_tail_without_a_segment_and_with_an_end_is_not_trusted),
        WITH_LOG(a_mark_above_the_file_is_damage),
        WITH_LOG(a_mark_between_batches_is_told),
        WITH_LOG(a_mark_inside_a_batch_is_told),
        WITH_LOG(a_batch_that_ends_behind_the_mark_is_told),
        WITH_LOG(a_mark_with_more_in_it_is_not_read),
        WITH_LOG(what_is_not_ours_is_left_alone),
        WITH_LOG(what_cannot_be_removed_is_told),
        WITH_LOG(a_segment_that_was_never_made_and_any_failing_call),
        WITH_LOG(after_a_poison_caches_are_dropped_as_far_as_can_be),
        WITH_LOG(nobody_needs_to_be_told),
        WITH_LOG(an_index_of_another_segment_is_not_believed),
        WITH_LOG(locks_that_nobody_repaired_are_told),
        WITH_LOG(maintenance_does_not_wait_for_locks),
        WITH_LOG(what_was_rolled_meanwhile_is_not_rolled_again),
        WITH_LOG(an_empty_segment_is_synced_without_a_new_mark),
        WITH_LOG(a_deleted_log_lets_go_of_its_segments),
        WITH_LOG(a_directory_that_cannot_be_listed_is_told),
        WITH_LOG(a_lost_segment_is_not_durable),
        WITH_LOG(segments_are_closed_when_the_store_has_too_many),
        WITH_LOG(a_segment_that_cannot_be_opened_takes_nothing),
        WITH_LOG(halves_of_a_roll_are_no_segments),
        WITH_LOG(a_closed_log_gives_all_back_whoever_holds_it),
        WITH_LOG(a_prepared_segment_that_fails_halfway_is_removed),
        WITH_LOG(a_batch_that_claims_a_later_time_is_passed_by),
        WITH_LOG(what_does_not_fit_is_not_added),
        WITH_LOG(an_intent_that_cannot_be_is_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
