/*
 * Appending gives offsets without a gap, whatever rolls, by whatever way the
 * bytes get in and whoever appends; and an append that fails publishes nothing,
 * leaves nothing behind, and does not keep the next one from working.
 */
#include "base/bytes.h"
#include "faults.h"
#include "logs.h"
#include <errno.h>

#define ROOM_OF_SEGMENT (4096 - SEGMENT_HEADER_SIZE)

static uint32_t segment_count(struct log *log)
{
    uint32_t count = 0;
    uint64_t bytes;

    OK(rill__log_segments(log, &count, &bytes));
    return count;
}

/* The value size of one record whose batch has `size` bytes. */
static size_t value_for(size_t size)
{
    return size - BATCH_HEADER_SIZE - RECORD_HEADER_SIZE;
}

/* A sealed batch of one record in room, which is large enough. */
static struct batch one_record(void *room, size_t capacity, const void *value, size_t size)
{
    rill_record record = RILL_RECORD_INIT;
    struct batch batch;

    record.value = (rill_bytes){value, size};
    record.timestamp_ms = 1000;
    rill__batch_init(&batch, room, capacity);
    assert_true(rill__batch_add(&batch, &record, 1, NULL));
    rill__batch_seal(&batch);
    return batch;
}

static void empty_log_has_no_segment(void **state)
{
    struct test_log *t = *state;

    assert_int_equal(rill__log_start(t->log), 0);
    assert_int_equal(rill__log_end(t->log), 0);
    assert_int_equal(rill__log_durable(t->log), 0);
    assert_int_equal(segment_count(t->log), 0);
}

static void offsets_have_no_gap_across_rolls(void **state)
{
    struct test_log *t = *state;

    test_append_segments(t->log, 12);
    assert_int_equal(atomic_load(&t->rolls), 12);
    test_check(t->log, 0, rill__log_end(t->log));
}

/* Without a look at the directory. */
static void roll_times(struct test_log *t, struct log *log, uint64_t times)
{
    uint64_t rolls = t->rolls + times;

    while (t->rolls < rolls) test_append_ok(log, 1, 1000);
}

/* What a look at the directory would say, whoever rolls knows; another process looks. */
static void whoever_rolls_knows_the_segments(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    int64_t base;

    roll_times(t, t->log, 2);
    assert_int_equal(t->log->base_count, 0); /* nobody has asked yet */
    OK(rill__log_base_of(t->log, 0, &base));
    OK(rill__log_base_of(other, 0, &base));
    roll_times(t, t->log, 3);
    assert_int_equal(t->log->base_count, 5);
    assert_int_equal(t->log->bases[4], atomic_load(&t->log->control->active_base));
    assert_int_equal(other->base_count, 2);
    roll_times(t, other, 2);
    assert_int_equal(other->base_count, 2); /* not the next one, so it must look */
    OK(rill__log_base_of(other, INT64_MAX, &base));
    assert_int_equal(other->base_count, 7);
    assert_int_equal(base, atomic_load(&t->log->control->active_base));
    roll_times(t, t->log, 1);
    assert_int_equal(t->log->base_count, 5);
    OK(rill__log_base_after(t->log, t->log->bases[4], &base));
    assert_int_equal(t->log->base_count, 8);
    rill__log_close(other);
}

static void batch_that_just_fits_does_not_roll(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 1, value_for(1000));
    test_append_ok(t->log, 1, value_for(ROOM_OF_SEGMENT - 1000));
    assert_int_equal(segment_count(t->log), 1);
    test_append_ok(t->log, 1, 8);
    assert_int_equal(segment_count(t->log), 2);
    assert_true(test_exists(test_segment_path(2, "log")));
    assert_true(test_exists(test_segment_path(2, "index")));
    test_check(t->log, 0, 3);
}

static void batch_that_does_not_fit_begins_a_segment(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 1, value_for(1000));
    test_append_ok(t->log, 1, value_for(ROOM_OF_SEGMENT - 1000 + 8));
    assert_int_equal(segment_count(t->log), 2);
    assert_true(test_exists(test_segment_path(1, "log")));
    test_check(t->log, 0, 2);
}

static void batch_larger_than_a_segment_is_too_big(void **state)
{
    struct test_log *t = *state;
    uint8_t *room;
    int64_t base;

    FAILS(RILL_ERR_TOO_BIG, test_append(t->log, 1, value_for(ROOM_OF_SEGMENT + 8), false, &base));
    FAILS(RILL_ERR_TOO_BIG, test_append(t->log, 1, value_for(ROOM_OF_SEGMENT + 8), true, &base));
    FAILS(RILL_ERR_TOO_BIG, rill__log_reserve(t->log, ROOM_OF_SEGMENT + 8, INT64_MAX, &room));
    assert_int_equal(rill__log_end(t->log), 0);
    assert_int_equal(segment_count(t->log), 0);
    test_append_ok(t->log, 1, value_for(ROOM_OF_SEGMENT));
    test_append_ok(t->log, 1, value_for(ROOM_OF_SEGMENT));
    test_check(t->log, 0, 2);
}

/* Maintenance until the log has rolled so often, however long that takes. */
static void maintain_until_rolls(struct test_log *t, uint64_t rolls)
{
    while (atomic_load(&t->rolls) < rolls) {
        uint32_t next_ms = UINT32_MAX;
        OK(rill__log_maintain(t->log, &next_ms));
        usleep(1000);
    }
}

static void old_segment_rolls_in_maintenance(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = UINT32_MAX;

    t->config.segment_ms = 0;
    OK(test_log_restart(t));
    test_append_ok(t->log, 2, 100);
    maintain_until_rolls(t, 2);
    assert_int_equal(segment_count(t->log), 2);
    usleep(20000);
    OK(rill__log_maintain(t->log, &next_ms)); /* an empty one is not old */
    assert_int_equal(atomic_load(&t->rolls), 2);
    test_append_ok(t->log, 2, 100);
    assert_int_equal(segment_count(t->log), 2);
    test_check(t->log, 0, 4);
}

static void young_segment_does_not_roll(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = UINT32_MAX;

    test_append_ok(t->log, 1, 100);
    OK(rill__log_maintain(t->log, &next_ms));
    assert_int_equal(segment_count(t->log), 1);
    assert_true(next_ms <= t->config.segment_ms);
    assert_true(next_ms > 0);
}

static void old_segment_rolls_at_append(void **state)
{
    struct test_log *t = *state;

    t->config.segment_ms = 0;
    OK(test_log_restart(t));
    for (int i = 0; segment_count(t->log) < 3; i++) {
        test_append_ok(t->log, 1, 8);
        usleep(1000);
    }
    test_check(t->log, 0, rill__log_end(t->log));
}

/* The batch that stands at offset is `batch`, but for what append assigns. */
static void check_stored(struct log *log, int64_t offset, const struct batch *batch)
{
    struct batch_view view;
    uint32_t position = test_position_of(log, offset, &view);
    size_t size;
    uint8_t *file = test_read_file(test_segment_path(0, "log"), &size);

    assert_int_equal(view.length, batch->size);
    assert_int_equal(view.epoch, rill__log_epoch(log));
    assert_memory_equal(file + position + BATCH_HASHED_AT, batch->data + BATCH_HASHED_AT,
                        batch->size - BATCH_HASHED_AT);
    view.data = file + position;
    assert_true(rill__batch_verify(&view, rill__get64(file + SEGMENT_SALT_AT)));
    free(file);
}

static void every_way_in_stores_the_same_bytes(void **state)
{
    struct test_log *t = *state;
    _Alignas(8) uint8_t room[256];
    struct batch batch = one_record(room, sizeof room, "the same", 8);
    struct batch in_place;
    uint8_t *place = NULL;
    int64_t base;

    OK(rill__log_append(t->log, &batch, false, INT64_MAX, &base));
    OK(rill__log_append(t->log, &batch, true, INT64_MAX, &base));
    OK(rill__log_reserve(t->log, batch.size, INT64_MAX, &place));
    in_place = one_record(place, batch.size, "the same", 8);
    OK(rill__log_commit(t->log, &in_place, &base));
    assert_int_equal(base, 2);
    for (int64_t offset = 0; offset < 3; offset++) check_stored(t->log, offset, &batch);
}

static void copy_on_write_goes_through_the_file(void **state)
{
    struct test_log *t = *state;

    t->config.copy_on_write = true;
    OK(test_log_restart(t));
    faults_fail(FAULT_PWRITE, "00000000000000000000.log", 0, 0, FAULT_ONCE);
    test_append_ok(t->log, 3, 100);
    test_append_ok(t->log, 3, 100);
    assert_int_equal(faults_count(), 2);
    test_check(t->log, 0, 6);
}

static void reserved_room_is_seen_only_after_commit(void **state)
{
    struct test_log *t = *state;
    uint8_t value[40];
    uint8_t *room = NULL;
    struct batch batch;
    int64_t base = -1;

    test_append_ok(t->log, 1, 100);
    OK(rill__log_reserve(t->log, BATCH_HEADER_SIZE + RECORD_HEADER_SIZE + 40, INT64_MAX, &room));
    test_value(value, sizeof value, 1);
    batch = one_record(room, BATCH_HEADER_SIZE + RECORD_HEADER_SIZE + 40, value, sizeof value);
    assert_int_equal(rill__log_end(t->log), 1);
    OK(rill__log_commit(t->log, &batch, &base));
    assert_int_equal(base, 1);
    assert_int_equal(rill__log_end(t->log), 2);
}

static void reserve_rolls_too(void **state)
{
    struct test_log *t = *state;
    size_t size = BATCH_HEADER_SIZE + RECORD_HEADER_SIZE + 8;
    uint8_t *room = NULL;
    struct batch batch;
    int64_t base = -1;

    test_append_ok(t->log, 1, value_for(ROOM_OF_SEGMENT));
    OK(rill__log_reserve(t->log, size, INT64_MAX, &room));
    batch = one_record(room, size, "in place", 8);
    OK(rill__log_commit(t->log, &batch, &base));
    assert_int_equal(base, 1);
    assert_int_equal(segment_count(t->log), 2);
}

static void abandoned_room_leaves_zeros(void **state)
{
    struct test_log *t = *state;
    uint8_t *room = NULL;

    test_append_ok(t->log, 1, 100);
    OK(rill__log_reserve(t->log, 500, INT64_MAX, &room));
    memset(room, 0xff, 500);
    rill__log_abandon(t->log);
    for (int i = 0; i < 500; i++) assert_int_equal(room[i], 0);
    assert_int_equal(rill__log_end(t->log), 1);
    test_append_ok(t->log, 2, 16);
    test_check(t->log, 0, 3);
}

static void reserved_room_keeps_others_out(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    uint8_t *room = NULL;
    int64_t base;

    OK(rill__log_reserve(t->log, 500, INT64_MAX, &room));
    FAILS(RILL_ERR_TIMEOUT, rill__log_reserve(other, 80, rill__deadline(1), &room));
    rill__log_abandon(t->log);
    OK(test_append(other, 1, 8, false, &base));
    rill__log_close(other);
}

static void two_processes_take_turns(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);

    for (int i = 0; i < 60; i++) {
        int64_t base = -1;
        OK(test_append(i % 3 == 0 ? other : t->log, 2, 300, i % 4 == 0, &base));
        assert_int_equal(base, i * 2);
        assert_int_equal(rill__log_end(t->log), i * 2 + 2);
        assert_int_equal(rill__log_end(other), i * 2 + 2);
    }
    assert_int_equal(segment_count(t->log), segment_count(other));
    assert_true(segment_count(other) > 5);
    test_check(t->log, 0, 120);
    test_check(other, 0, 120);
    rill__log_close(other);
}

static void appending_wakes_an_armed_slot_once(void **state)
{
    struct test_log *t = *state;

    rill__log_arm(t->log, 5);
    rill__log_arm(t->log, WAKE_SLOTS + 9);
    test_append_ok(t->log, 1, 8);
    test_append_ok(t->log, 1, 8);
    for (int i = 0; i < WAKE_SLOTS; i++)
        assert_int_equal(atomic_load(&t->wake_slots[i].sequence), i == 5 || i == 9 ? 1 : 0);
    assert_int_equal(atomic_load(&t->wakeups), 2);
}

static void deleted_topic_takes_no_more(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    int64_t base;

    test_append_ok(t->log, 1, 8);
    rill__log_mark_deleted(other);
    FAILS(RILL_ERR_NOT_FOUND, test_append(t->log, 1, 8, false, &base));
    FAILS(RILL_ERR_NOT_FOUND, rill__log_state(t->log));
    rill__log_close(other);
}

/* A failed append has published nothing, in any process. */
static void check_unpublished(struct test_log *t, int64_t end, uint32_t segments)
{
    struct log *other = test_log_second(t);

    assert_int_equal(rill__log_end(t->log), end);
    assert_int_equal(rill__log_end(other), end);
    assert_int_equal(segment_count(t->log), segments);
    assert_int_equal(segment_count(other), segments);
    test_check(other, 0, end);
    rill__log_close(other);
}

static void no_space_for(struct test_log *t, const char *name)
{
    int64_t end = rill__log_end(t->log);
    uint32_t segments = segment_count(t->log);
    int64_t base = -7;

    faults_fail(FAULT_FALLOCATE, name, 1, ENOSPC, FAULT_ONCE);
    FAILS(RILL_ERR_NO_SPACE,
          test_append(t->log, 1, value_for(ROOM_OF_SEGMENT), segments % 2 == 0, &base));
    assert_int_equal(faults_count(), 1);
    assert_non_null(strstr(test_message(), "no new segment"));
    assert_int_equal(base, -7);
    faults_clear();
    check_unpublished(t, end, segments);
    test_append_ok(t->log, 1, value_for(ROOM_OF_SEGMENT));
    assert_int_equal(segment_count(t->log), segments + 1);
    test_check(t->log, 0, end + 1);
}

static void full_disk_at_a_roll_fails_cleanly(void **state)
{
    struct test_log *t = *state;

    for (int i = 0; i < 4; i++) {
        no_space_for(t, "index");
        no_space_for(t, "log");
    }
    OK(test_log_reboot(t));
    test_check(t->log, 0, 8);
}

static int count_file(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return 0;
}

static void failed_roll_leaves_no_file(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();
    int64_t base;

    test_append_ok(t->log, 1, value_for(ROOM_OF_SEGMENT));
    for (uint64_t n = 1; n <= 2; n++) {
        int count = 0;
        faults_fail(FAULT_RENAMEAT, NULL, n, EIO, FAULT_ONCE);
        FAILS(RILL_ERR_IO, test_append(t->log, 1, value_for(ROOM_OF_SEGMENT), false, &base));
        OK(rill__dir_list(&dir, count_file, &count));
        assert_int_equal(count, 3); /* the control file, a segment, its index */
    }
    rill__file_close(&dir);
}

static void full_disk_leaves_room_in_the_segment(void **state)
{
    struct test_log *t = *state;
    int64_t base;

    test_append_ok(t->log, 1, 100);
    faults_fail(FAULT_FALLOCATE, NULL, 1, ENOSPC, FAULT_DEAD);
    FAILS(RILL_ERR_NO_SPACE, test_append(t->log, 1, value_for(ROOM_OF_SEGMENT), false, &base));
    test_append_ok(t->log, 1, 100);
    test_check(t->log, 0, 2);
}

static void page_that_cannot_be_had_is_no_space(void **state)
{
    struct test_log *t = *state;
    int64_t base;

    faults_fail(FAULT_MADVISE, NULL, 1, EFAULT, FAULT_ONCE);
    FAILS(RILL_ERR_NO_SPACE, test_append(t->log, 1, 100, false, &base));
    assert_int_equal(rill__log_end(t->log), 0);
    test_append_ok(t->log, 1, 100);
    test_check(t->log, 0, 1);
}

static void kernel_without_populate_is_fine(void **state)
{
    struct test_log *t = *state;

    faults_fail(FAULT_MADVISE, NULL, 1, EINVAL, FAULT_DEAD);
    test_append_segments(t->log, 3);
    assert_true(faults_count() > 0);
    test_check(t->log, 0, rill__log_end(t->log));
}

/* Fails call number n of an append that rolls; false if it makes fewer. */
static bool roll_with_failure(struct test_log *t, uint64_t n, bool through_file, int errno_value)
{
    int64_t end = rill__log_end(t->log);
    uint32_t segments = segment_count(t->log);
    int64_t base = -7;
    bool failed;
    int rc;

    faults_fail(FAULT_ANY, NULL, n, errno_value, FAULT_ONCE);
    rc = test_append(t->log, 1, value_for(ROOM_OF_SEGMENT), through_file, &base);
    failed = faults_count() >= n;
    faults_clear();
    if (rc == 0) {
        assert_int_equal(base, end); /* a call whose failure does not matter, or no failure */
        return failed;
    }
    assert_int_equal(base, -7);
    assert_string_not_equal(test_message(), "");
    assert_true(segment_count(t->log) - segments <= 1); /* rolled, and then the write failed */
    check_unpublished(t, end, segment_count(t->log));
    test_append_ok(t->log, 1, value_for(ROOM_OF_SEGMENT));
    test_check(t->log, 0, end + 1);
    return failed;
}

static void any_failing_call_in_a_roll_is_survived(void **state)
{
    static const int errnos[] = {EIO, ENOSPC, ENOMEM, EMFILE};
    struct test_log *t = *state;

    for (int i = 0; i < 8; i++)
        for (uint64_t n = 1; roll_with_failure(t, n, i % 2 == 0, errnos[i / 2]); n++)
            assert_true(n < 200);
    OK(test_log_restart(t));
    test_check(t->log, 0, rill__log_end(t->log));
    OK(test_log_reboot(t));
    test_check(t->log, 0, rill__log_end(t->log));
}

static void failed_write_publishes_nothing(void **state)
{
    struct test_log *t = *state;
    int64_t base;

    test_append_ok(t->log, 1, 100);
    for (int torn = 0; torn < 2; torn++) {
        faults_fail(FAULT_PWRITE, NULL, 1, EIO, torn ? FAULT_TORN : FAULT_ONCE);
        FAILS(RILL_ERR_IO, test_append(t->log, 3, 200, true, &base));
        faults_clear();
        check_unpublished(t, 1 + torn, 1);
        assert_int_equal(rill__log_state(t->log), 0);
        test_append_ok(t->log, 1, 100);
    }
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), 3);
    test_check(t->log, 0, 3);
}

/* The batch was written whole, although the call failed: it is not found, even
 * if the machine goes down before anything else is appended. */
static void failed_write_never_comes_back(void **state)
{
    struct test_log *t = *state;
    int64_t base;

    test_append_ok(t->log, 1, 100);
    faults_fail(FAULT_PWRITE, NULL, 1, EIO, FAULT_WHOLE);
    FAILS(RILL_ERR_IO, test_append(t->log, 3, 200, true, &base));
    faults_clear();
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), 1);
}

static void failed_write_leaves_zeros(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    uint32_t end;
    int64_t base;
    uint8_t *file;
    size_t size;

    test_append_ok(t->log, 1, 8);
    faults_fail(FAULT_PWRITE, NULL, 1, EIO, FAULT_TORN);
    FAILS(RILL_ERR_IO, test_append(t->log, 3, 500, true, &base));
    faults_clear();
    test_append_ok(t->log, 1, 8);
    end = test_position_of(t->log, 1, &view) + view.length;
    file = test_read_file(test_segment_path(0, "log"), &size);
    for (size_t i = end; i < size; i++) assert_int_equal(file[i], 0);
    free(file);
}

static void write_that_cannot_be_undone_poisons(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    int64_t base;

    test_append_ok(t->log, 1, 100);
    faults_fail(FAULT_PWRITE, NULL, 1, EIO, FAULT_DEAD);
    FAILS(RILL_ERR_POISONED, test_append(t->log, 3, 200, true, &base));
    faults_clear();
    FAILS(RILL_ERR_POISONED, test_append(t->log, 1, 8, true, &base));
    FAILS(RILL_ERR_POISONED, test_append(other, 1, 8, false, &base));
    rill__log_close(other);
}

enum { THREADS = 4, PER_THREAD = 150 };

struct appender {
    struct log *log;
    struct thread thread;
    uint64_t number;
    int64_t offsets[PER_THREAD];
    int rc;
};

static void *append_many(void *arg)
{
    struct appender *a = arg;

    for (uint64_t i = 0; i < PER_THREAD && a->rc == 0; i++) {
        _Alignas(8) uint8_t room[256];
        uint64_t value[2] = {a->number, i};
        struct batch batch = one_record(room, sizeof room, value, sizeof value);
        a->rc = rill__log_append(a->log, &batch, i % 7 == 0, INT64_MAX, &a->offsets[i]);
    }
    return NULL;
}

/* The record at offset is number i of the appender. */
static void check_appended(struct log *log, const struct appender *a, uint64_t i)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    const uint64_t want[2] = {a->number, i};
    struct log_cursor cursor;
    struct batch_view view;
    rill_record record = RILL_RECORD_INIT;
    bool bad;

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, a->offsets[i]));
    OK(rill__cursor_next(&cursor, rill__log_end(log), true, &view));
    assert_true(rill__record_next(&view, &walk, &record, &bad));
    assert_int_equal(record.offset, a->offsets[i]);
    assert_memory_equal(record.value.data, want, sizeof want);
    rill__cursor_deinit(&cursor);
}

static void threads_and_processes_append_side_by_side(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    static struct appender appenders[THREADS];

    memset(appenders, 0, sizeof appenders);
    for (int i = 0; i < THREADS; i++) {
        appenders[i].log = i % 2 == 0 ? t->log : other;
        appenders[i].number = (uint64_t)i;
        OK(rill__thread_start(&appenders[i].thread, append_many, &appenders[i]));
    }
    for (int i = 0; i < THREADS; i++) rill__thread_join(&appenders[i].thread);
    assert_int_equal(rill__log_end(t->log), THREADS * PER_THREAD);
    for (int i = 0; i < THREADS; i++) {
        OK(appenders[i].rc);
        for (uint64_t j = 0; j < PER_THREAD; j++) {
            check_appended(t->log, &appenders[i], j);
            if (j > 0) assert_true(appenders[i].offsets[j] > appenders[i].offsets[j - 1]);
        }
    }
    rill__log_close(other);
}

/* ---- The next segment is wanted ---- */

static struct tail_copy tail_of(struct log *log)
{
    struct tail_copy tail;

    rill__control_tail(log->control, &tail);
    return tail;
}

static int wish_count;
static uint32_t wish_position; /* when it came last */

static void wish(void *arg)
{
    struct log *log = ((struct test_log *)arg)->log;

    wish_count++;
    wish_position = tail_of(log).position;
    assert_int_equal(atomic_load(&log->control->append_owner), 0); /* nobody has the lock */
}

static void wishing(struct test_log *t, uint64_t segment_bytes)
{
    t->config.next_due = wish;
    t->config.segment_bytes = segment_bytes;
    OK(test_log_restart(t));
    OK(rill__log_seal(t->log, INT64_MAX)); /* the next one has that size */
    wish_count = 0;
}

static void append_by(struct log *log, int way, size_t value_size)
{
    uint8_t *value = calloc(1, value_size);
    uint8_t *room;
    int64_t base;

    assert_non_null(value);
    if (way < 2) {
        OK(test_append(log, 1, value_size, way == 1, &base));
    } else {
        size_t size = BATCH_HEADER_SIZE + RECORD_HEADER_SIZE + (value_size + 7) / 8 * 8;
        struct batch batch;
        OK(rill__log_reserve(log, size, INT64_MAX, &room));
        batch = one_record(room, size, value, value_size);
        OK(rill__log_commit(log, &batch, &base));
    }
    free(value);
}

static void passing_the_half_is_told_once_in_a_segment(void **state)
{
    enum { SIZE = 2 << 20, VALUE = 20000, SEGMENTS = 4 };
    struct test_log *t = *state;

    for (int way = 0; way < 3; way++) {
        test_append_ok(t->log, 1, 100);
        wishing(t, SIZE);
        for (int n = 0; n < SEGMENTS; n++) {
            int64_t base = tail_of(t->log).base;
            while (tail_of(t->log).position < SIZE / 2) append_by(t->log, way, VALUE);
            assert_int_equal(wish_count, n); /* the batch that begins there is the one */
            append_by(t->log, way, VALUE);
            assert_int_equal(wish_count, n + 1);
            assert_in_range(wish_position, SIZE / 2, SIZE / 2 + 3 * VALUE);
            while (tail_of(t->log).base == base) append_by(t->log, way, VALUE);
            assert_int_equal(wish_count, n + 1);
        }
    }
}

/* So is what two processes append: by the one who passes it. */
static void the_half_is_told_to_one_process(void **state)
{
    enum { SIZE = 2 << 20 };
    struct test_log *t = *state;
    struct log *other;
    int64_t base;

    test_append_ok(t->log, 1, 100);
    wishing(t, SIZE);
    other = test_log_second(t);
    base = tail_of(t->log).base;
    for (int i = 0; tail_of(t->log).base == base; i++)
        append_by(i % 2 == 0 ? t->log : other, 0, 20000);
    assert_int_equal(wish_count, 1);
    rill__log_close(other);
}

/* Those are made before a thread has woken up. */
static void small_segments_are_not_told_of(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 1, 100);
    wishing(t, (2 << 20) - 8);
    for (int64_t base = tail_of(t->log).base; tail_of(t->log).base == base;)
        append_by(t->log, 0, 20000);
    assert_int_equal(wish_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_LOG(empty_log_has_no_segment),
                                       WITH_LOG(offsets_have_no_gap_across_rolls),
                                       WITH_LOG(whoever_rolls_knows_the_segments),
                                       WITH_LOG(batch_that_just_fits_does_not_roll),
                                       WITH_LOG(batch_that_does_not_fit_begins_a_segment),
                                       WITH_LOG(batch_larger_than_a_segment_is_too_big),
                                       WITH_LOG(old_segment_rolls_in_maintenance),
                                       WITH_LOG(young_segment_does_not_roll),
                                       WITH_LOG(old_segment_rolls_at_append),
                                       WITH_LOG(every_way_in_stores_the_same_bytes),
                                       WITH_LOG(copy_on_write_goes_through_the_file),
                                       WITH_LOG(reserved_room_is_seen_only_after_commit),
                                       WITH_LOG(reserve_rolls_too),
                                       WITH_LOG(abandoned_room_leaves_zeros),
                                       WITH_LOG(reserved_room_keeps_others_out),
                                       WITH_LOG(two_processes_take_turns),
                                       WITH_LOG(appending_wakes_an_armed_slot_once),
                                       WITH_LOG(deleted_topic_takes_no_more),
                                       WITH_LOG(full_disk_at_a_roll_fails_cleanly),
                                       WITH_LOG(failed_roll_leaves_no_file),
                                       WITH_LOG(full_disk_leaves_room_in_the_segment),
                                       WITH_LOG(page_that_cannot_be_had_is_no_space),
                                       WITH_LOG(kernel_without_populate_is_fine),
                                       WITH_LOG(any_failing_call_in_a_roll_is_survived),
                                       WITH_LOG(failed_write_publishes_nothing),
                                       WITH_LOG(failed_write_never_comes_back),
                                       WITH_LOG(failed_write_leaves_zeros),
                                       WITH_LOG(write_that_cannot_be_undone_poisons),
                                       WITH_LOG(passing_the_half_is_told_once_in_a_segment),
                                       WITH_LOG(the_half_is_told_to_one_process),
                                       WITH_LOG(small_segments_are_not_told_of),
                                       WITH_LOG(threads_and_processes_append_side_by_side)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
