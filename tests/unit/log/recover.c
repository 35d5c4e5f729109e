/*
 * After a crash the log opens with every record that was durable, and with
 * those behind them that are whole; what was torn is cut and never comes back,
 * damage to what was durable is told and never cut. All this also when recovery
 * dies on its way.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "faults.h"
#include "logs.h"
#include <errno.h>
#include <sys/wait.h>

/* All bytes of the segment from position on are zero. */
static void check_zeros(int64_t base, uint32_t position)
{
    size_t size;
    uint8_t *data = test_read_file(test_segment_path(base, "log"), &size);

    for (size_t i = position; i < size; i++)
        if (data[i] != 0) fail_msg("byte %zu behind the tail at %u is not zero", i, position);
    free(data);
}

static uint32_t tail_position(struct log *log)
{
    struct tail_copy tail;

    rill__control_tail(log->control, &tail);
    return tail.position;
}

static void whole_log_survives_a_reboot(void **state)
{
    struct test_log *t = *state;
    int64_t end;

    test_append_segments(t->log, 4);
    end = rill__log_end(t->log);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), end);
    assert_int_equal(rill__log_durable(t->log), end);
    assert_int_equal(t->recovered_count, 2); /* the first time at setup */
    assert_int_equal(t->recovered_end, end);
    assert_int_equal(t->warning_count, 0);
    test_check(t->log, 0, end);
    test_append_segments(t->log, 6);
    test_check(t->log, 0, rill__log_end(t->log));
}

static void empty_log_survives_a_reboot(void **state)
{
    struct test_log *t = *state;

    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), 0);
    test_append_ok(t->log, 1, 8);
    test_check(t->log, 0, 1);
}

static void same_boot_keeps_all_that_was_written(void **state)
{
    struct test_log *t = *state;
    int64_t end;

    test_append_segments(t->log, 2);
    OK(rill__log_checkpoint(t->log));
    end = rill__log_durable(t->log);
    test_append_segments(t->log, 4);
    OK(test_log_restart(t));
    assert_int_equal(rill__log_durable(t->log), end);
    assert_true(rill__log_end(t->log) > end);
    assert_int_equal(t->recovered_count, 1); /* nobody need fear that the end is lower */
    test_check(t->log, 0, rill__log_end(t->log));
    test_append_ok(t->log, 3, 100);
    test_check(t->log, 0, rill__log_end(t->log));
}

/* The words of the control block as `spoil` leaves them are not trusted, and
 * all records are found all the same. */
static void check_not_trusted(struct test_log *t, void (*spoil)(struct control *control))
{
    int64_t end;
    int before = t->recovered_count;

    test_append_ok(t->log, 2, 100);
    end = rill__log_end(t->log);
    spoil(t->log->control);
    OK(test_log_restart(t));
    assert_int_equal(t->recovered_count, before + 1);
    assert_int_equal(rill__log_end(t->log), end);
    test_check(t->log, 0, end);
}

static void spoil_tail(struct control *c, int64_t base, int64_t end_offset, uint32_t position)
{
    struct tail_copy tail;

    rill__control_tail(c, &tail);
    if (base != 0) tail.base = base;
    if (end_offset != 0) tail.end_offset = end_offset;
    if (position != 0) tail.position = position;
    rill__control_set_tail(c, &tail);
}

static void other_magic(struct control *c)
{
    c->magic ^= 1;
}

static void other_abi(struct control *c)
{
    c->abi ^= 1;
}

static void no_boot(struct control *c)
{
    memset(c->boot_id, 0, sizeof c->boot_id);
}

static void poisoned(struct control *c)
{
    atomic_store(&c->poison, 41);
}

static void end_below_mark(struct control *c)
{
    spoil_tail(c, 0, 1, 0);
}

static void segment_that_is_not_there(struct control *c)
{
    spoil_tail(c, 1, 0, 0);
}

static void position_in_the_header(struct control *c)
{
    spoil_tail(c, 0, 0, 8);
}

static void position_behind_the_end(struct control *c)
{
    spoil_tail(c, 0, 0, 4104);
}

static void end_that_no_batch_has(struct control *c)
{
    spoil_tail(c, 0, INT64_C(1) << 40, 0);
}

static void position_inside_a_batch(struct control *c)
{
    spoil_tail(c, 0, 0, SEGMENT_HEADER_SIZE + 64);
}

static void durable_behind_the_end(struct control *c)
{
    atomic_store(&c->durable_end, INT64_MAX);
}

static void all_zero(struct control *c)
{
    memset(c, 0, sizeof *c);
}

static void insane_control_block_is_not_trusted(void **state)
{
    struct test_log *t = *state;
    void (*const spoils[])(struct control *) = {other_magic,
                                                other_abi,
                                                no_boot,
                                                poisoned,
                                                end_below_mark,
                                                segment_that_is_not_there,
                                                position_in_the_header,
                                                position_behind_the_end,
                                                end_that_no_batch_has,
                                                position_inside_a_batch,
                                                durable_behind_the_end,
                                                all_zero};
    test_append_segments(t->log, 2);
    OK(rill__log_checkpoint(t->log));
    for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) check_not_trusted(t, spoils[i]);
}

static void unknown_boot_is_no_same_boot(void **state)
{
    struct test_log *t = *state;

    memset(t->config.boot_id, 0, 16);
    OK(test_log_restart(t));
    test_append_ok(t->log, 1, 8);
    OK(test_log_restart(t));
    assert_int_equal(t->recovered_count, 3);
    test_check(t->log, 0, 1);
}

static void only_the_first_opener_recovers(void **state)
{
    struct test_log *t = *state;
    struct log *other;

    test_append_ok(t->log, 2, 100);
    other = test_log_second(t);
    assert_int_equal(atomic_load(&t->recoveries), 1);
    assert_int_equal(rill__log_epoch(other), rill__log_epoch(t->log));
    rill__log_close(other);
}

static void recovery_is_one_process_work(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();
    struct file control = FILE_NONE;

    OK(rill__file_open(&dir, "control", FILE_WRITE, &control));
    OK(rill__file_lock(&control, CONTROL_LOCK_RECOVERY, FILE_LOCK_EXCLUSIVE, 0));
    FAILS(RILL_ERR_BUSY, test_log_restart(t));
    assert_null(t->log);
    rill__file_close(&control);
    rill__file_close(&dir);
    OK(test_log_open(t));
}

static void epoch_goes_up_at_every_recovery(void **state)
{
    struct test_log *t = *state;
    int32_t epoch = rill__log_epoch(t->log);
    struct batch_view view;

    for (int i = 0; i < 6; i++) {
        OK(i % 2 == 0 ? test_log_restart(t) : test_log_reboot(t));
        assert_true(rill__log_epoch(t->log) > epoch);
        epoch = rill__log_epoch(t->log);
        test_append_ok(t->log, 1, 100);
        test_position_of(t->log, i, &view);
        assert_int_equal(view.epoch, epoch);
    }
    test_check(t->log, 0, 6);
}

/* Three batches of one size at 0, 2 and 4; the second is hurt by `tear` before
 * the reboot. What is behind it is whole, and gone all the same. */
static void check_torn(struct test_log *t,
                       void (*tear)(const char *path, uint32_t at, uint32_t n))
{
    int64_t start = rill__log_end(t->log);
    struct batch_view view;
    uint32_t position;

    for (int i = 0; i < 3; i++) test_append_ok(t->log, 2, 100);
    position = test_position_of(t->log, start + 2, &view);
    test_log_close(t);
    tear(test_segment_path(0, "log"), position, view.length);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), start + 2);
    assert_int_equal(t->recovered_end, start + 2);
    assert_int_equal(tail_position(t->log), position);
    check_zeros(0, position);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), start + 2);
    test_append_ok(t->log, 2, 100);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), start + 4);
    test_check(t->log, 0, start + 4);
}

static void zero_header(const char *path, uint32_t at, uint32_t n)
{
    const uint8_t zeros[BATCH_HEADER_SIZE] = {0};
    (void)n;
    test_write_file(path, at, zeros, sizeof zeros);
}

static void zero_second_half(const char *path, uint32_t at, uint32_t n)
{
    const uint8_t zeros[4096] = {0};
    test_write_file(path, at + n / 2, zeros, n - n / 2);
}

static void zero_all(const char *path, uint32_t at, uint32_t n)
{
    const uint8_t zeros[4096] = {0};
    test_write_file(path, at, zeros, n);
}

static void flip_last_byte(const char *path, uint32_t at, uint32_t n)
{
    test_flip(path, at + n - 1, 0x80);
}

static void flip_checksum(const char *path, uint32_t at, uint32_t n)
{
    (void)n;
    test_flip(path, at, 1);
}

static void grow_length(const char *path, uint32_t at, uint32_t n)
{
    (void)n;
    test_flip(path, at + BATCH_LENGTH_AT, 8);
}

static void torn_batch_is_cut_and_never_comes_back(void **state)
{
    struct test_log *t = *state;
    void (*const tears[])(const char *, uint32_t, uint32_t) = {
        zero_header, zero_second_half, zero_all, flip_last_byte, flip_checksum, grow_length};

    for (size_t i = 0; i < sizeof tears / sizeof tears[0]; i++) check_torn(t, tears[i]);
    assert_true(t->warning_count >= 6);
    assert_non_null(strstr(t->said, "torn tail"));
}

static void first_batch_of_all_may_be_torn(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    test_log_close(t);
    test_flip(test_segment_path(0, "log"), SEGMENT_HEADER_SIZE + 100, 1);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), 0);
    check_zeros(0, SEGMENT_HEADER_SIZE);
    test_append_ok(t->log, 2, 100);
    test_check(t->log, 0, 2);
}

static void segment_that_never_got_its_header_is_removed(void **state)
{
    struct test_log *t = *state;
    const uint8_t zeros[4096] = {0};

    test_append_ok(t->log, 2, 100);
    test_log_close(t);
    test_write_file(test_segment_path(0, "log"), 0, zeros, sizeof zeros);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), 0);
    assert_false(test_exists(test_segment_path(0, "log")));
    test_append_ok(t->log, 2, 100);
    test_check(t->log, 0, 2);
}

/* The base of segment number `index`. */
static int64_t base_number(struct log *log, int index)
{
    int64_t base;

    OK(rill__log_base_of(log, 0, &base));
    for (int i = 0; i < index; i++) OK(rill__log_base_after(log, base, &base));
    assert_true(base >= 0);
    return base;
}

static void segments_behind_a_torn_batch_are_removed(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    uint32_t position;
    int64_t bases[5];
    int64_t cut;

    test_append_segments(t->log, 5);
    for (int i = 0; i < 5; i++) bases[i] = base_number(t->log, i);
    cut = bases[2] + 3;
    position = test_position_of(t->log, cut, &view);
    cut = view.base_offset;
    test_log_close(t);
    test_flip(test_segment_path(bases[2], "log"), position + 70, 1);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), cut);
    assert_true(test_exists(test_segment_path(bases[2], "log")));
    for (int i = 3; i < 5; i++) {
        assert_false(test_exists(test_segment_path(bases[i], "log")));
        assert_false(test_exists(test_segment_path(bases[i], "index")));
    }
    test_append_segments(t->log, 5);
    test_check(t->log, 0, rill__log_end(t->log));
}

static void segment_lost_behind_the_mark_is_a_torn_tail(void **state)
{
    struct test_log *t = *state;
    int64_t bases[4];

    test_append_segments(t->log, 4);
    for (int i = 0; i < 4; i++) bases[i] = base_number(t->log, i);
    test_log_close(t);
    unlink(test_segment_path(bases[2], "log"));
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), bases[2]);
    assert_false(test_exists(test_segment_path(bases[3], "log")));
    test_append_segments(t->log, 4);
    test_check(t->log, 0, rill__log_end(t->log));
}

static void lost_segment_that_was_durable_is_corrupt(void **state)
{
    struct test_log *t = *state;
    char name[SEGMENT_NAME_SIZE];
    int64_t base;

    test_append_segments(t->log, 3);
    OK(rill__log_checkpoint(t->log));
    base = base_number(t->log, 2);
    unlink(test_segment_path(base, "log"));
    FAILS(RILL_ERR_CORRUPT, test_log_reboot(t));
    snprintf(name, sizeof name, "segment %lld ", (long long)base);
    assert_non_null(strstr(test_message(), name));
    test_log_close(t);
}

static void lost_older_segment_is_met_by_readers(void **state)
{
    struct test_log *t = *state;
    struct log_cursor cursor;
    struct batch_view view;
    int64_t bases[4];
    int64_t end;
    int rc = 0;

    test_append_segments(t->log, 4);
    OK(rill__log_checkpoint(t->log));
    for (int i = 0; i < 4; i++) bases[i] = base_number(t->log, i);
    end = rill__log_end(t->log);
    unlink(test_segment_path(bases[1], "log"));
    OK(test_log_reboot(t));
    test_check(t->log, 0, bases[1]);
    test_check(t->log, bases[2], end);
    rill__cursor_init(&cursor, t->log);
    FAILS(RILL_ERR_CORRUPT, rill__cursor_seek(&cursor, bases[1] + 1));
    OK(rill__cursor_seek(&cursor, 0));
    while (rc == 0 && cursor.offset < end) rc = rill__cursor_next(&cursor, end, true, &view);
    assert_int_equal(rc, RILL_ERR_CORRUPT);
    assert_int_equal(cursor.offset, bases[1]);
    rill__cursor_deinit(&cursor);
}

static void lost_control_file_is_corrupt(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 1, 100);
    unlink(test_path("control"));
    FAILS(RILL_ERR_CORRUPT, test_log_reboot(t));
    assert_non_null(strstr(test_message(), "control file is missing"));
}

static void short_control_file_is_corrupt(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 1, 100);
    test_log_close(t);
    assert_int_equal(truncate(test_path("control"), 4096), 0);
    FAILS(RILL_ERR_CORRUPT, test_log_reboot(t));
}

/* Batches of one record at 0..5, durable and marked, then 6..8. Hurts the one
 * at 2 and opens after a reboot. */
static uint32_t damage_durable(struct test_log *t, uint32_t at, uint8_t mask)
{
    struct batch_view view;
    uint32_t position;

    for (int i = 0; i < 6; i++) test_append_ok(t->log, 1, 200);
    OK(rill__log_checkpoint(t->log));
    for (int i = 6; i < 9; i++) test_append_ok(t->log, 1, 200);
    position = test_position_of(t->log, 2, &view);
    test_log_close(t);
    test_flip(test_segment_path(0, "log"), position + at, mask);
    OK(test_log_reboot(t));
    return position;
}

/* Reading from 0 comes to offset 2 and is told the place. */
static void check_damage_is_told(struct log *log, uint32_t position)
{
    struct log_cursor cursor;
    struct batch_view view;
    char place[80];

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, 0));
    OK(rill__cursor_next(&cursor, 9, true, &view));
    OK(rill__cursor_next(&cursor, 9, true, &view));
    FAILS(RILL_ERR_CORRUPT, rill__cursor_next(&cursor, 9, true, &view));
    snprintf(place, sizeof place, "00000000000000000000.log: batch at position %u, offset 2",
             position);
    assert_non_null(strstr(test_message(), place));
    assert_int_equal(cursor.offset, 2);
    rill__cursor_deinit(&cursor);
}

static void damage_before_the_mark_is_not_cut(void **state)
{
    struct test_log *t = *state;
    uint32_t position = damage_durable(t, BATCH_HEADER_SIZE + 30, 1);

    assert_int_equal(rill__log_end(t->log), 9);
    check_damage_is_told(t->log, position);
    test_check(t->log, 0, 2);
    test_check(t->log, 3, 9);
}

static void damaged_header_before_the_mark_is_not_cut(void **state)
{
    struct test_log *t = *state;
    uint32_t position = damage_durable(t, BATCH_COUNT_AT, 2);
    char place[80];

    assert_int_equal(t->warning_count, 1);
    snprintf(place, sizeof place, "position %u, offset 2", position);
    assert_non_null(strstr(t->said, place));
    assert_non_null(strstr(t->said, "00000000000000000000.log"));
    assert_int_equal(rill__log_end(t->log), 9);
    check_damage_is_told(t->log, position);
    test_check(t->log, 0, 2);
    test_check(t->log, 6, 9);
    test_append_ok(t->log, 1, 200);
    test_check(t->log, 6, 10);
}

/* A record there may be the first at or after the time. */
static void search_by_time_meets_damage(void **state)
{
    struct test_log *t = *state;
    int64_t offset;

    damage_durable(t, BATCH_MAX_TIME_AT, 2); /* its times are what is damaged */
    for (int64_t o = 2; o < 9; o++)
        FAILS(RILL_ERR_CORRUPT, rill__log_offset_for_time(t->log, test_time(o), &offset));
    OK(rill__log_offset_for_time(t->log, test_time(1), &offset));
    assert_int_equal(offset, 1);
}

/* The length of the last batch before the mark is damaged, and nothing verifies
 * it on the way: what was acknowledged behind the mark is there all the same. */
static void check_length_before_the_mark(struct test_log *t, uint32_t length)
{
    int64_t start = rill__log_end(t->log);
    struct batch_view view;
    uint32_t position;

    test_append_ok(t->log, 2, 100);
    test_append_ok(t->log, 1, 300);
    OK(rill__log_checkpoint(t->log));
    test_append_ok(t->log, 2, 100);
    OK(rill__log_sync(t->log, start + 5, INT64_MAX));
    position = test_position_of(t->log, start + 2, &view);
    test_log_close(t);
    test_write_file(test_segment_path(0, "log"), position + BATCH_LENGTH_AT, &length, 4);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), start + 5);
    assert_int_equal(t->warning_count, 1);
    test_check(t->log, start, start + 2);
    test_check(t->log, start + 3, start + 5);
}

static void short_length_before_the_mark_cuts_nothing(void **state)
{
    check_length_before_the_mark(*state, 128);
}

static void long_length_before_the_mark_cuts_nothing(void **state)
{
    check_length_before_the_mark(*state, 1024);
}

static void damaged_segment_header_is_corrupt(void **state)
{
    struct test_log *t = *state;
    int64_t bases[2] = {0, -1};
    int64_t end;

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    OK(rill__log_sync(t->log, end, INT64_MAX)); /* and no mark */
    bases[1] = base_number(t->log, 1);
    for (int i = 0; i < 2; i++) {
        test_log_close(t);
        test_flip(test_segment_path(bases[i], "log"), 60, 1);
        FAILS(RILL_ERR_CORRUPT, test_log_reboot(t));
        assert_non_null(strstr(test_message(), "checksum"));
        test_flip(test_segment_path(bases[i], "log"), 60, 1);
    }
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), end);
    test_check(t->log, 0, end);
}

static void leftovers_are_removed(void **state)
{
    struct test_log *t = *state;
    static const char *const names[] = {"control.tmp", "index.tmp", "next.log", "next.index"};
    struct file dir = test_log_directory();

    for (int reboot = 0; reboot < 2; reboot++) {
        test_append_ok(t->log, 1, 100);
        for (int i = 0; i < 4; i++) {
            struct file file = FILE_NONE;
            OK(rill__file_open(&dir, names[i], FILE_WRITE | FILE_CREATE, &file));
            rill__file_close(&file);
        }
        OK(reboot ? test_log_reboot(t) : test_log_restart(t));
        for (int i = 0; i < 4; i++) assert_false(test_exists(test_path(names[i])));
        test_check(t->log, 0, 1 + reboot);
    }
    rill__file_close(&dir);
}

/* The files of a segment as a roll makes them, and no more of it. */
static void make_half_roll(struct test_log *t, int64_t base)
{
    struct file dir = test_log_directory();

    OK(rill__segment_create(&t->config, &dir, base, rill__log_epoch(t->log),
                            t->config.segment_bytes));
    rill__file_close(&dir);
}

static void half_made_roll_is_removed(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 4, 100);
    make_half_roll(t, 4);
    OK(test_log_restart(t));
    assert_false(test_exists(test_segment_path(4, "log")));
    assert_false(test_exists(test_segment_path(4, "index")));
    test_append_ok(t->log, 1, 100);
    test_check(t->log, 0, 5);
}

static void half_made_roll_is_no_gap_after_a_reboot(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 4, 100);
    make_half_roll(t, 4);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), 4);
    test_append_ok(t->log, 1, 100);
    test_check(t->log, 0, 5);
}

static void segment_inside_another_is_removed(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    test_append_ok(t->log, 4, 100);
    make_half_roll(t, 2);
    OK(test_log_reboot(t));
    assert_false(test_exists(test_segment_path(2, "log")));
    assert_int_equal(rill__log_end(t->log), 6);
    test_check(t->log, 0, 6);
}

static void half_filled_room_is_zeroed(void **state)
{
    struct test_log *t = *state;
    uint8_t *room = NULL;

    test_append_ok(t->log, 1, 100);
    OK(rill__log_reserve(t->log, 1000, INT64_MAX, &room));
    memset(room, 0xee, 1000);
    rill__log_unlock(t->log); /* as if gone, with the lock */
    OK(test_log_restart(t));
    check_zeros(0, tail_position(t->log));
    assert_int_equal(rill__log_end(t->log), 1);
}

/* Writes a batch behind the tail of a closed log, as an older epoch left it. */
static void write_behind(int64_t base, uint32_t position, int64_t offset, int32_t epoch)
{
    _Alignas(8) uint8_t room[512];
    const char *path = test_segment_path(base, "log");
    rill_record record = RILL_RECORD_INIT;
    uint8_t value[100];
    struct batch batch;
    size_t size;
    uint8_t *file = test_read_file(path, &size);

    test_value(value, sizeof value, offset);
    record.value = (rill_bytes){value, sizeof value};
    record.timestamp_ms = test_time(offset);
    rill__batch_init(&batch, room, sizeof room);
    assert_true(rill__batch_add(&batch, &record, 1, NULL));
    rill__batch_seal(&batch);
    rill__batch_stamp(room, batch.content, rill__get64(file + SEGMENT_SALT_AT), offset, epoch);
    test_write_file(path, position, room, batch.size);
    free(file);
}

static void batch_of_an_earlier_epoch_is_refused_behind_a_later_one(void **state)
{
    struct test_log *t = *state;
    int32_t epoch;

    test_append_ok(t->log, 1, 100);
    OK(test_log_restart(t));
    test_append_ok(t->log, 1, 100);
    for (int older = 1; older >= 0; older--) {
        uint32_t position = tail_position(t->log);
        struct batch_view view;
        test_position_of(t->log, 1, &view);
        epoch = view.epoch;
        test_log_close(t);
        write_behind(0, position, 2, epoch - older);
        OK(test_log_reboot(t));
        assert_int_equal(rill__log_end(t->log), older ? 2 : 3);
    }
    test_check(t->log, 0, 3);
}

static void lost_index_is_made_anew(void **state)
{
    struct test_log *t = *state;
    size_t size;

    for (int i = 0; i < 6; i++) test_append_ok(t->log, 2, 100);
    test_log_close(t);
    unlink(test_segment_path(0, "index"));
    OK(test_log_reboot(t));
    free(test_read_file(test_segment_path(0, "index"), &size));
    assert_int_equal(size, rill__index_bytes(&t->config, t->config.segment_bytes));
    for (int64_t offset = 0; offset <= 12; offset++) test_check(t->log, offset, 12);
}

static int refuse(void *arg, int64_t log_end)
{
    (void)arg;
    (void)log_end;
    return rill__fail(RILL_ERR_STATE, "not now");
}

static void store_may_refuse_what_was_recovered(void **state)
{
    struct test_log *t = *state;
    int (*const accept)(void *, int64_t) = t->config.recovered;

    test_append_ok(t->log, 2, 100);
    t->config.recovered = refuse;
    FAILS(RILL_ERR_STATE, test_log_reboot(t));
    FAILS(RILL_ERR_STATE, test_log_open(t));
    t->config.recovered = accept;
    OK(test_log_open(t));
    assert_int_equal(t->recovered_count, 2);
    test_check(t->log, 0, 2);
}

/* The directory's files in memory, to go back to. */
struct saved_files {
    struct {
        char name[64];
        uint8_t *data;
        size_t size;
    } files[20];
    size_t count;
};

static int save_file(void *arg, const char *name)
{
    struct saved_files *saved = arg;

    assert_true(saved->count < 20);
    snprintf(saved->files[saved->count].name, 64, "%s", name);
    saved->files[saved->count].data =
        test_read_file(test_path(name), &saved->files[saved->count].size);
    saved->count++;
    return 0;
}

static int remove_file(void *arg, const char *name)
{
    (void)arg;
    return remove(test_path(name));
}

static void save_files(struct saved_files *saved)
{
    struct file dir = test_log_directory();

    saved->count = 0;
    OK(rill__dir_list(&dir, save_file, saved));
    rill__file_close(&dir);
}

static void restore_files(const struct saved_files *saved)
{
    struct file dir = test_log_directory();

    OK(rill__dir_list(&dir, remove_file, NULL));
    rill__file_close(&dir);
    for (size_t i = 0; i < saved->count; i++) {
        FILE *f = fopen(test_path(saved->files[i].name), "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(saved->files[i].data, 1, saved->files[i].size, f),
                         saved->files[i].size);
        fclose(f);
    }
}

static void free_files(struct saved_files *saved)
{
    for (size_t i = 0; i < saved->count; i++) free(saved->files[i].data);
}

/* What a crash may leave: segments before and behind the mark, records that are
 * durable but not yet marked, then a torn batch, another segment, a prepared
 * one and something half-made. Returns the end to be found. */
static int64_t make_crashed_log(struct test_log *t, struct saved_files *saved)
{
    struct file dir = test_log_directory();
    struct batch_view view;
    struct segment foreign = {.salt = 1, .size = 4096};
    uint32_t position;
    int64_t base;
    int64_t end;

    test_append_segments(t->log, 2);
    OK(rill__log_checkpoint(t->log));
    test_append_segments(t->log, 4);
    test_append_ok(t->log, 1, 100);
    end = rill__log_end(t->log);
    OK(rill__log_sync(t->log, end, INT64_MAX));
    test_append_ok(t->log, 2, 100);
    foreign.base = base = base_number(t->log, 3);
    position = test_position_of(t->log, end, &view);
    test_append_segments(t->log, 5);
    OK(rill__segment_prepare(&t->config, &dir, t->config.segment_bytes));
    OK(rill__segment_make_index(&t->config, &dir, &foreign));
    rill__file_close(&dir);
    test_log_close(t);
    test_flip(test_segment_path(base, "log"), position + 90, 4);
    save_files(saved);
    return end;
}

/* Recovery fails at its n-th call; the next one, by another process or after
 * another crash, finds all. False if recovery makes fewer calls. */
static bool check_interrupted(struct test_log *t, uint64_t n, enum fault_after after,
                              bool second_crash, int64_t end)
{
    bool interrupted;
    int rc;

    faults_fail(FAULT_ANY, NULL, n, EIO, after);
    rc = test_log_reboot(t);
    interrupted = faults_count() >= n;
    if (rc == 0) assert_int_equal(rill__log_end(t->log), end);
    else assert_string_not_equal(test_message(), "");
    test_log_close(t);
    faults_clear();
    OK(second_crash ? test_log_reboot(t) : test_log_restart(t));
    assert_int_equal(rill__log_end(t->log), end);
    test_check(t->log, 0, end);
    test_append_ok(t->log, 3, 100);
    test_check(t->log, 0, end + 3);
    OK(test_log_reboot(t));
    test_check(t->log, 0, end + 3);
    test_log_close(t);
    return interrupted;
}

/* What the cache shows need not be on the disk: whoever comes next must know. */
static void failed_sync_in_recovery_is_remembered(void **state)
{
    struct test_log *t = *state;
    struct control *control;
    int64_t end;
    size_t size;

    test_append_ok(t->log, 3, 100);
    end = rill__log_end(t->log);
    faults_fail(FAULT_FDATASYNC, NULL, 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, test_log_reboot(t));
    faults_clear();
    control = (struct control *)(void *)test_read_file(test_path("control"), &size);
    assert_int_not_equal(atomic_load(&control->poison), 0);
    assert_true(control->magic == CONTROL_MAGIC);
    free(control);
    OK(test_log_open(t));
    assert_int_equal(rill__log_end(t->log), end);
    assert_int_equal(atomic_load(&t->log->control->poison), 0);
    test_check(t->log, 0, end);
}

static void recovery_may_fail_at_any_call(void **state)
{
    struct test_log *t = *state;
    struct saved_files saved;
    int64_t end = make_crashed_log(t, &saved);
    uint64_t most = 0;

    for (int way = 0; way < 4; way++) {
        for (uint64_t n = 1;; n++) {
            restore_files(&saved);
            if (!check_interrupted(t, n, way % 2 ? FAULT_DEAD : FAULT_ONCE, way >= 2, end)) break;
            if (n > most) most = n;
        }
    }
    assert_true(most > 30);
    free_files(&saved);
}

/* The same where the control block is to be trusted. */
static void recovery_of_the_same_boot_may_fail_at_any_call(void **state)
{
    struct test_log *t = *state;
    struct saved_files saved;
    bool interrupted = true;
    int64_t end;

    test_append_segments(t->log, 3);
    OK(rill__log_checkpoint(t->log));
    test_append_segments(t->log, 4);
    make_half_roll(t, rill__log_end(t->log));
    end = rill__log_end(t->log);
    test_log_close(t);
    save_files(&saved);
    for (uint64_t n = 1; interrupted; n++) {
        restore_files(&saved);
        faults_fail(FAULT_ANY, NULL, n, EIO, n % 2 ? FAULT_DEAD : FAULT_ONCE);
        if (test_log_restart(t) == 0) test_log_close(t);
        interrupted = faults_count() >= n;
        faults_clear();
        OK(test_log_restart(t));
        assert_int_equal(rill__log_end(t->log), end);
        test_check(t->log, 0, end);
        test_log_close(t);
    }
    free_files(&saved);
}

/* Runs die in a child that then ends without unlocking anything. */
static void in_dying_child(struct test_log *t, void (*die)(struct test_log *t))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        die(t);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void die_in_reserved_room(struct test_log *t)
{
    uint8_t *room = NULL;

    if (rill__log_reserve(t->log, 600, INT64_MAX, &room) != 0) _exit(1);
    memset(room, 0xdd, 600);
}

static void die_in_a_roll(struct test_log *t)
{
    if (rill__log_lock(t->log, INT64_MAX) != 0) _exit(1);
    make_half_roll(t, rill__log_end(t->log));
}

/* Committed, and dead before the readers' word was moved. */
static void die_before_publishing(struct test_log *t)
{
    int64_t end = rill__log_end(t->log);
    int64_t base;

    if (test_append(t->log, 1, 100, false, &base) != 0) _exit(1);
    if (rill__log_lock(t->log, INT64_MAX) != 0) _exit(1);
    atomic_store(&t->log->control->log_end, end);
}

static void check_survivor(struct test_log *t, void (*die)(struct test_log *t), int committed)
{
    int64_t end = rill__log_end(t->log);
    int32_t epoch = rill__log_epoch(t->log);
    struct log *other = test_log_second(t);
    int64_t base = -1;

    in_dying_child(t, die);
    OK(rill__log_lock(other, INT64_MAX));
    rill__log_unlock(other);
    assert_int_equal(rill__log_end(t->log), end + committed);
    check_zeros(0, tail_position(other));
    assert_true(rill__log_epoch(t->log) > epoch);
    OK(test_append(other, 1, 100, false, &base));
    assert_int_equal(base, end + committed);
    test_check(t->log, 0, end + committed + 1);
    test_check(other, 0, end + committed + 1);
    rill__log_close(other);
}

static void survivor_of_a_dead_appender_goes_on(void **state)
{
    struct test_log *t = *state;

    if (getenv("RILL_TEST_EMULATED") != NULL) skip(); /* robust mutexes do not work there */
    test_append_ok(t->log, 1, 100);
    check_survivor(t, die_in_reserved_room, 0);
    check_survivor(t, die_in_a_roll, 0);
    assert_false(test_exists(test_segment_path(2, "log")));
    check_survivor(t, die_before_publishing, 1);
    OK(test_log_restart(t));
    test_check(t->log, 0, 5);
    OK(test_log_reboot(t));
    test_check(t->log, 0, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(whole_log_survives_a_reboot),
        WITH_LOG(empty_log_survives_a_reboot),
        WITH_LOG(same_boot_keeps_all_that_was_written),
        WITH_LOG(insane_control_block_is_not_trusted),
        WITH_LOG(unknown_boot_is_no_same_boot),
        WITH_LOG(only_the_first_opener_recovers),
        WITH_LOG(recovery_is_one_process_work),
        WITH_LOG(epoch_goes_up_at_every_recovery),
        WITH_LOG(torn_batch_is_cut_and_never_comes_back),
        WITH_LOG(first_batch_of_all_may_be_torn),
        WITH_LOG(segment_that_never_got_its_header_is_removed),
        WITH_LOG(segments_behind_a_torn_batch_are_removed),
        WITH_LOG(segment_lost_behind_the_mark_is_a_torn_tail),
        WITH_LOG(lost_segment_that_was_durable_is_corrupt),
        WITH_LOG(lost_older_segment_is_met_by_readers),
        WITH_LOG(lost_control_file_is_corrupt),
        WITH_LOG(short_control_file_is_corrupt),
        WITH_LOG(damage_before_the_mark_is_not_cut),
        WITH_LOG(damaged_header_before_the_mark_is_not_cut),
        WITH_LOG(search_by_time_meets_damage),
        WITH_LOG(short_length_before_the_mark_cuts_nothing),
        WITH_LOG(long_length_before_the_mark_cuts_nothing),
        WITH_LOG(damaged_segment_header_is_corrupt),
        WITH_LOG(leftovers_are_removed),
        WITH_LOG(half_made_roll_is_removed),
        WITH_LOG(half_made_roll_is_no_gap_after_a_reboot),
        WITH_LOG(segment_inside_another_is_removed),
        WITH_LOG(half_filled_room_is_zeroed),
        WITH_LOG(batch_of_an_earlier_epoch_is_refused_behind_a_later_one),
        WITH_LOG(lost_index_is_made_anew),
        WITH_LOG(store_may_refuse_what_was_recovered),
        WITH_LOG(failed_sync_in_recovery_is_remembered),
        WITH_LOG(recovery_may_fail_at_any_call),
        WITH_LOG(recovery_of_the_same_boot_may_fail_at_any_call),
        WITH_LOG(survivor_of_a_dead_appender_goes_on),
        WITH_PACKED_LOG(whole_log_survives_a_reboot),
        WITH_PACKED_LOG(same_boot_keeps_all_that_was_written),
        WITH_PACKED_LOG(torn_batch_is_cut_and_never_comes_back),
        WITH_PACKED_LOG(segments_behind_a_torn_batch_are_removed),
        WITH_PACKED_LOG(damage_before_the_mark_is_not_cut),
        WITH_PACKED_LOG(damaged_header_before_the_mark_is_not_cut),
        WITH_PACKED_LOG(search_by_time_meets_damage),
        WITH_PACKED_LOG(lost_index_is_made_anew)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
