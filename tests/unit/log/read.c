/*
 * A reader gets every record once, in order, across segments, from any offset
 * on; is told where damage is and can go on behind it; finds the first record
 * of a time whatever the order of times; and keeps what it points into.
 */
#include "base/bytes.h"
#include "faults.h"
#include "logs.h"
#include <errno.h>

/* The first record that the cursor gives after a seek to offset is in the batch
 * that holds offset. */
static void check_seek(struct log *log, int64_t offset)
{
    struct log_cursor cursor;
    struct batch_view view;

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, offset));
    assert_true(cursor.offset <= offset);
    do {
        rill__cursor_release(&cursor);
        OK(rill__cursor_next(&cursor, rill__log_end(log), true, &view));
    } while (view.record_count == 0);
    assert_true(view.base_offset <= offset);
    assert_true(view.end_offset > offset);
    rill__cursor_deinit(&cursor);
}

static void check_all_seeks(struct log *log)
{
    int64_t end = rill__log_end(log);

    for (int64_t offset = 0; offset < end; offset++) check_seek(log, offset);
    for (int64_t offset = 0; offset <= end; offset += 1 + offset % 5)
        test_check(log, offset, end);
}

static void every_offset_can_be_sought(void **state)
{
    struct test_log *t = *state;
    static const uint32_t intervals[] = {64, 256, 1000, 4096};

    for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++) {
        struct log *other;
        t->config.index_interval_bytes = intervals[i];
        OK(i % 2 == 0 ? test_log_restart(t) : test_log_reboot(t));
        test_append_segments(t->log, 3 * (uint32_t)(i + 1));
        other = test_log_second(t);
        check_all_seeks(t->log);
        check_all_seeks(other);
        rill__log_close(other);
    }
}

static void one_cursor_may_jump_about(void **state)
{
    struct test_log *t = *state;
    struct test_random random = test_random_seeded(5);
    struct log_cursor cursor;
    struct batch_view view;
    int64_t end;

    test_append_segments(t->log, 6);
    end = rill__log_end(t->log);
    rill__cursor_init(&cursor, t->log);
    for (int i = 0; i < 2000; i++) {
        int64_t offset = (int64_t)test_random_below(&random, (uint64_t)end);
        OK(rill__cursor_seek(&cursor, offset));
        for (uint64_t steps = test_random_below(&random, 6); steps > 0; steps--) {
            if (test_random_below(&random, 2) == 0) rill__cursor_release(&cursor);
            OK(rill__cursor_next(&cursor, end, true, &view));
            if (view.record_count == 0) continue;
            assert_true(view.end_offset > offset);
            offset = view.end_offset;
        }
    }
    rill__cursor_deinit(&cursor);
}

static void outside_of_the_log_is_a_range_error(void **state)
{
    struct test_log *t = *state;
    struct log_cursor cursor;
    int64_t end;

    rill__cursor_init(&cursor, t->log);
    FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, -1));
    FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, 1));
    OK(rill__cursor_seek(&cursor, 0));
    test_append_segments(t->log, 2);
    end = rill__log_end(t->log);
    OK(rill__cursor_seek(&cursor, end));
    FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, end + 1));
    FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, INT64_MAX));
    FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, INT64_MIN));
    assert_int_equal(cursor.offset, end); /* where it was */
    atomic_store(&t->log->control->log_start, 5);
    FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, 4));
    assert_non_null(strstr(test_message(), "offset 4 is gone; the log begins at 5"));
    OK(rill__cursor_seek(&cursor, 5));
    rill__cursor_deinit(&cursor);
}

static void empty_log_is_read_when_it_fills(void **state)
{
    struct test_log *t = *state;
    struct log_cursor cursor;
    struct batch_view view;

    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 0));
    OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    assert_int_equal(view.record_count, 0);
    test_append_ok(t->log, 2, 100);
    OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    assert_int_equal(view.record_count, 2);
    assert_int_equal(view.base_offset, 0);
    rill__cursor_deinit(&cursor);
}

static void reader_follows_the_tail(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct log_cursor cursor;
    struct batch_view view;

    rill__cursor_init(&cursor, other);
    OK(rill__cursor_seek(&cursor, 0));
    for (int64_t offset = 0; offset < 60; offset++) {
        OK(rill__cursor_next(&cursor, rill__log_end(other), true, &view));
        assert_int_equal(view.record_count, 0);
        test_append_ok(t->log, 1, 300);
        do {
            rill__cursor_release(&cursor);
            OK(rill__cursor_next(&cursor, rill__log_end(other), true, &view));
        } while (view.record_count == 0);
        assert_int_equal(view.base_offset, offset);
    }
    rill__cursor_deinit(&cursor);
    rill__log_close(other);
}

static void nothing_is_given_beyond_the_end_that_was_asked_for(void **state)
{
    struct test_log *t = *state;
    struct log_cursor cursor;
    struct batch_view view;

    for (int i = 0; i < 6; i++) test_append_ok(t->log, 1, 100);
    OK(rill__log_sync(t->log, 6, INT64_MAX));
    test_append_ok(t->log, 1, 100);
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 4));
    for (int64_t offset = 4; offset < 6; offset++) {
        OK(rill__cursor_next(&cursor, rill__log_durable(t->log), true, &view));
        assert_int_equal(view.base_offset, offset);
        assert_int_equal(view.record_count, 1);
    }
    OK(rill__cursor_next(&cursor, rill__log_durable(t->log), true, &view));
    assert_int_equal(view.record_count, 0);
    rill__cursor_deinit(&cursor);
}

static int64_t second_base(struct log *log)
{
    int64_t base = -1;

    OK(rill__log_base_after(log, 0, &base));
    assert_true(base > 0);
    return base;
}

/* Records of two segments at once at most: the third waits for a release, so
 * what was handed out of the first stays until the caller says so. */
static void segment_before_is_kept_until_released(void **state)
{
    struct test_log *t = *state;
    struct log_cursor cursor;
    struct batch_view first;
    struct batch_view view;
    int64_t third;

    test_append_segments(t->log, 4);
    OK(rill__log_base_after(t->log, second_base(t->log), &third));
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 0));
    OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &first));
    do OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    while (view.record_count != 0);
    assert_int_equal(cursor.offset, third);
    OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    assert_int_equal(view.record_count, 0);
    assert_true(rill__batch_verify(&first, cursor.previous->salt));
    rill__cursor_release(&cursor);
    OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    assert_int_equal(view.base_offset, third);
    rill__cursor_deinit(&cursor);
}

static void removed_segment_is_readable_to_who_is_in_it(void **state)
{
    struct test_log *t = *state;
    struct file dir = test_log_directory();
    struct log_cursor late;
    struct log_cursor cursor;
    struct batch_view view;
    int64_t next = 0;
    int64_t end;

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 0));
    OK(rill__segment_remove(&dir, 0));
    assert_false(test_exists(test_segment_path(0, "log")));
    while (next < end) {
        OK(rill__cursor_next(&cursor, end, true, &view));
        rill__cursor_release(&cursor);
        if (view.record_count == 0) continue;
        assert_int_equal(view.base_offset, next);
        next = view.end_offset;
    }
    rill__log_drop_idle(t->log);
    rill__cursor_init(&late, t->log);
    FAILS(RILL_ERR_CORRUPT, rill__cursor_seek(&late, 0)); /* nobody deleted it */
    rill__cursor_deinit(&late);
    rill__cursor_deinit(&cursor);
    rill__file_close(&dir);
}

static void few_maps_are_kept_and_given_back(void **state)
{
    struct test_log *t = *state;
    struct log_cursor cursor;
    struct batch_view view;
    uint64_t before;

    test_append_segments(t->log, 100);
    before = atomic_load(&t->mapped_bytes);
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 0));
    while (cursor.offset < rill__log_end(t->log)) {
        OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
        rill__cursor_release(&cursor);
        assert_in_range(atomic_load(&t->mapped_bytes), before + 8192, before + 65 * 8192);
    }
    rill__cursor_deinit(&cursor);
    assert_int_equal(atomic_load(&t->mapped_bytes), before + 64 * 8192);
    assert_int_equal(atomic_load(&t->idle_segments), 64);
    rill__log_drop_idle(t->log);
    assert_int_equal(atomic_load(&t->mapped_bytes), before);
    assert_int_equal(atomic_load(&t->idle_segments), 0);
}

/* What is looked up in a log that fits is opened once. */
static void random_lookups_open_no_file(void **state)
{
    enum { SEGMENTS = 60 };
    struct test_log *t = *state;
    struct log_cursor cursor;
    int64_t end;
    int64_t found;

    test_append_segments(t->log, SEGMENTS);
    end = rill__log_end(t->log);
    test_check(t->log, 0, end);
    faults_fail(FAULT_OPENAT, NULL, UINT64_MAX, EMFILE, FAULT_ONCE); /* to count them */
    rill__cursor_init(&cursor, t->log);
    for (int64_t i = 0, offset = 0; i < 5 * SEGMENTS; i++, offset = (offset * 31 + 7) % end) {
        OK(rill__cursor_seek(&cursor, offset));
        OK(rill__log_offset_for_time(t->log, test_time(offset), &found));
        assert_int_equal(found, offset);
    }
    rill__cursor_deinit(&cursor);
    assert_int_equal(faults_count(), 0);
    rill__log_drop_idle(t->log);
    test_check(t->log, 0, end);
    assert_in_range(faults_count(), SEGMENTS, 3 * SEGMENTS); /* they would be seen */
    faults_clear();
}

/* Walks to the batch with offset, which must be refused with its place, also
 * when asked again. */
static void check_damaged(struct log *log, int64_t offset, int64_t base, uint32_t position,
                          bool verify)
{
    struct log_cursor cursor;
    struct batch_view view;
    char place[100];

    snprintf(place, sizeof place, "%020lld.log: batch at position %u, offset %lld",
             (long long)base, position, (long long)offset);
    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, 0));
    while (cursor.offset < offset) {
        OK(rill__cursor_next(&cursor, rill__log_end(log), verify, &view));
        rill__cursor_release(&cursor);
    }
    for (int i = 0; i < 2; i++) { /* also when it is the first one of its segment */
        FAILS(RILL_ERR_CORRUPT, rill__cursor_next(&cursor, rill__log_end(log), verify, &view));
        assert_int_equal(view.record_count, 0);
        if (strstr(test_message(), place) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", test_message(), place);
        assert_int_equal(cursor.offset, offset);
    }
    rill__cursor_deinit(&cursor);
}

/* Damages each batch of the log in turn, in the byte `at` of it, with an index
 * entry per so many bytes. */
static void check_damage(struct test_log *t, uint32_t interval, uint32_t at, bool verify)
{
    bool slow = getenv("RILL_TEST_SLOW") != NULL;
    int64_t offset = 0;
    int64_t end;

    t->config.index_interval_bytes = interval;
    OK(test_log_restart(t));
    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    for (int batch = 0; offset < end; batch++) {
        struct batch_view view;
        uint32_t position = test_position_of(t->log, offset, &view);
        int64_t base;

        offset = view.base_offset;
        if (slow && batch % 7 != 0) {
            offset = view.end_offset;
            continue;
        }
        OK(rill__log_base_of(t->log, offset, &base));
        test_flip(test_segment_path(base, "log"), position + at, 0x40);
        check_damaged(t->log, offset, base, position, verify);
        test_check(t->log, 0, offset);
        for (int64_t later = view.end_offset; later < end; later += slow ? 97 : 7)
            test_check(t->log, later, end);
        test_flip(test_segment_path(base, "log"), position + at, 0x40);
        offset = view.end_offset;
    }
    test_check(t->log, 0, end);
}

/* Also where a scan must cross the damage, because no index entry is behind. */
static void check_damage_anywhere(struct test_log *t, uint32_t at, bool verify)
{
    check_damage(t, 64, at, verify);
    test_log_deinit(t);
    test_log_init(t);
    OK(test_log_open(t));
    check_damage(t, 1 << 20, at, verify);
}

static void damaged_value_is_told_and_can_be_passed(void **state)
{
    check_damage_anywhere(*state, BATCH_HEADER_SIZE + RECORD_HEADER_SIZE + 20, true);
}

static void damaged_checksum_is_told_and_can_be_passed(void **state)
{
    check_damage_anywhere(*state, BATCH_CHECKSUM_AT, true);
}

static void damaged_header_is_told_without_verifying(void **state)
{
    check_damage_anywhere(*state, BATCH_LENGTH_AT + 3, false);
}

static void damaged_base_offset_is_told_without_verifying(void **state)
{
    check_damage_anywhere(*state, BATCH_BASE_OFFSET_AT, false);
}

static void seek_into_damage_is_told(void **state)
{
    struct test_log *t = *state;
    struct log_cursor cursor;
    struct batch_view view;
    uint32_t position;

    for (int i = 0; i < 4; i++) test_append_ok(t->log, 5, 40);
    position = test_position_of(t->log, 6, &view);
    test_flip(test_segment_path(0, "log"), position + BATCH_COUNT_AT, 0x40);
    rill__cursor_init(&cursor, t->log);
    FAILS(RILL_ERR_CORRUPT, rill__cursor_seek(&cursor, 7));
    assert_non_null(strstr(test_message(), "offset 5"));
    rill__cursor_deinit(&cursor);
}

enum { MODEL_MAX = 2000 };

/* The times of all records, for a search that cannot be wrong. */
struct model {
    int64_t times[MODEL_MAX];
    int64_t count;
};

static int64_t model_find(const struct model *model, int64_t time)
{
    for (int64_t i = 0; i < model->count; i++)
        if (model->times[i] >= time) return i;
    return RILL_OFFSET_NONE;
}

static void append_at_times(struct log *log, struct model *model, const int64_t *times, int count)
{
    _Alignas(8) uint8_t room[2048];
    struct batch batch;
    int64_t base;

    rill__batch_init(&batch, room, sizeof room);
    for (int i = 0; i < count; i++) {
        rill_record record = RILL_RECORD_INIT;
        record.value = (rill_bytes){"a value of some size.", 21};
        record.timestamp_ms = times[i];
        assert_true(rill__batch_add(&batch, &record, 1, NULL));
        model->times[model->count++] = times[i];
    }
    rill__batch_seal(&batch);
    OK(rill__log_append(log, &batch, false, INT64_MAX, &base));
}

static void check_time(struct log *log, const struct model *model, int64_t time)
{
    int64_t offset = -77;

    OK(rill__log_offset_for_time(log, time, &offset));
    if (offset != model_find(model, time))
        fail_msg("time %lld: offset %lld, expected %lld", (long long)time, (long long)offset,
                 (long long)model_find(model, time));
}

static void check_times(struct log *log, const struct model *model)
{
    int64_t least = 1;
    int64_t most = 1;

    for (int64_t i = 0; i < model->count; i++) {
        if (model->times[i] < least) least = model->times[i];
        if (model->times[i] > most) most = model->times[i];
        check_time(log, model, model->times[i]);
    }
    for (int64_t time = least - 3; time <= most + 3; time += 1 + (most - least) / 300)
        check_time(log, model, time);
    check_time(log, model, INT64_MIN);
    check_time(log, model, INT64_MAX);
}

static void remove_indexes(struct test_log *t)
{
    int64_t base = 0;

    while (base >= 0) {
        unlink(test_segment_path(base, "index"));
        OK(rill__log_base_after(t->log, base, &base));
    }
}

static void check_times_in_every_state(struct test_log *t, const struct model *model)
{
    struct log *other = test_log_second(t);

    check_times(t->log, model);
    check_times(other, model);
    rill__log_close(other);
    OK(test_log_restart(t));
    check_times(t->log, model);
    OK(rill__log_checkpoint(t->log));
    OK(test_log_reboot(t));
    check_times(t->log, model);
    remove_indexes(t);
    OK(test_log_restart(t));
    check_times(t->log, model);
}

static void time_in_order_is_found(void **state)
{
    struct test_log *t = *state;
    static struct model model;

    model.count = 0;
    check_time(t->log, &model, 5);
    while (model.count < 300) {
        const int64_t times[3] = {model.count * 10 + 1, model.count * 10 + 1,
                                  model.count * 10 + 25};
        append_at_times(t->log, &model, times, 1 + (int)(model.count % 3));
    }
    check_times_in_every_state(t, &model);
}

static void time_out_of_order_is_found_like_by_hand(void **state)
{
    struct test_log *t = *state;
    struct test_random random = test_random_seeded(6);
    static struct model model;

    model.count = 0;
    while (model.count < 400) {
        /* now and then far ahead, so that all that follows is late */
        int64_t ahead = test_random_below(&random, 40) == 0 ? 5000 : 0;
        int64_t times[6];
        for (int i = 0; i < 6; i++)
            times[i] = 1 + model.count * 5 + ahead + (int64_t)test_random_below(&random, 600);
        append_at_times(t->log, &model, times, 1 + (int)test_random_below(&random, 6));
    }
    check_times_in_every_state(t, &model);
}

static void time_that_goes_back_is_found(void **state)
{
    struct test_log *t = *state;
    static struct model model;

    model.count = 0;
    while (model.count < 200) {
        const int64_t times[2] = {5000 - model.count * 3, -model.count * 7 - 1};
        append_at_times(t->log, &model, times, 2);
    }
    check_times_in_every_state(t, &model);
}

/* The roll that sealed the segment was lost in a crash, and it goes on. */
static void time_behind_an_old_seal_is_found(void **state)
{
    struct test_log *t = *state;
    static struct model model;
    uint8_t *room;

    model.count = 0;
    for (int64_t time = 10; time < 60; time += 10) append_at_times(t->log, &model, &time, 1);
    OK(rill__log_reserve(t->log, 3900, INT64_MAX, &room)); /* rolls */
    rill__log_abandon(t->log);
    test_log_close(t);
    assert_int_equal(unlink(test_segment_path(5, "log")), 0);
    OK(test_log_reboot(t));
    append_at_times(t->log, &model, &(int64_t){100}, 1);
    assert_false(test_exists(test_segment_path(5, "log")));
    check_times(t->log, &model);
}

static void time_in_a_damaged_batch_is_corrupt(void **state)
{
    struct test_log *t = *state;
    static struct model model;
    struct batch_view view;
    uint32_t position;
    int64_t offset;

    model.count = 0;
    for (int64_t time = 10; time <= 60; time += 10) append_at_times(t->log, &model, &time, 1);
    position = test_position_of(t->log, 3, &view);
    test_flip(test_segment_path(0, "log"), position + BATCH_HEADER_SIZE + 8, 1);
    FAILS(RILL_ERR_CORRUPT, rill__log_offset_for_time(t->log, 35, &offset));
    for (int64_t time = 1; time <= 30; time++) check_time(t->log, &model, time);
    /* Its times may be what is damaged; it is passed by only where the index
     * leads past it. */
    for (int64_t time = 41; time <= 70; time++)
        if (rill__log_offset_for_time(t->log, time, &offset) != RILL_ERR_CORRUPT)
            check_time(t->log, &model, time);
}

static void time_behind_a_damaged_header_is_corrupt(void **state)
{
    struct test_log *t = *state;
    static struct model model;
    struct batch_view view;
    uint32_t position;
    int64_t offset;

    model.count = 0;
    t->config.index_interval_bytes = 1 << 20;
    OK(test_log_restart(t));
    for (int64_t time = 10; time <= 60; time += 10) append_at_times(t->log, &model, &time, 1);
    position = test_position_of(t->log, 3, &view);
    test_flip(test_segment_path(0, "log"), position + BATCH_LENGTH_AT + 3, 0x40);
    for (int64_t time = 1; time <= 30; time++) check_time(t->log, &model, time);
    for (int64_t time = 31; time <= 70; time++)
        FAILS(RILL_ERR_CORRUPT, rill__log_offset_for_time(t->log, time, &offset));
}

static void damaged_index_entries_do_not_mislead(void **state)
{
    uint64_t step = getenv("RILL_TEST_SLOW") != NULL ? 11 : 1;
    struct test_log *t = *state;
    static struct model model;

    model.count = 0;
    t->config.index_interval_bytes = 64;
    OK(test_log_restart(t));
    for (int64_t time = 10; time <= 200; time += 10) append_at_times(t->log, &model, &time, 1);
    for (uint64_t at = INDEX_HEADER_SIZE; at < INDEX_HEADER_SIZE + 20 * INDEX_ENTRY_SIZE;
         at += step) {
        test_flip(test_segment_path(0, "index"), at, 0x81);
        for (int64_t time = 1; time <= 210; time += 7) check_time(t->log, &model, time);
        check_seek(t->log, (int64_t)(at % 20));
        test_flip(test_segment_path(0, "index"), at, 0x81);
    }
}

enum { STREAM = 3000, READERS = 3 };

struct reader {
    struct log *log;
    struct thread thread;
    const char *wrong;
};

static void *read_stream(void *arg)
{
    struct reader *r = arg;
    struct log_cursor cursor;
    struct batch_view view;
    int64_t next = 0;

    rill__cursor_init(&cursor, r->log);
    while (next < STREAM && r->wrong == NULL) {
        struct record_walk walk = {BATCH_HEADER_SIZE, 0};
        rill_record record = RILL_RECORD_INIT;
        bool bad;
        if (rill__cursor_next(&cursor, rill__log_end(r->log), true, &view) != 0)
            r->wrong = "refused";
        if (r->wrong != NULL || view.record_count == 0) {
            rill__cursor_release(&cursor);
            continue;
        }
        while (rill__record_next(&view, &walk, &record, &bad))
            if (record.offset != next++ || rill__get64(record.value.data) != (uint64_t)next - 1)
                r->wrong = "out of order";
        if (bad) r->wrong = "bad record";
    }
    rill__cursor_deinit(&cursor);
    return NULL;
}

static void readers_see_whole_batches_while_others_append(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct reader readers[READERS] = {0};
    int64_t base;

    for (int i = 0; i < READERS; i++) {
        readers[i].log = i == 0 ? t->log : other;
        OK(rill__thread_start(&readers[i].thread, read_stream, &readers[i]));
    }
    while (rill__log_end(t->log) < STREAM)
        OK(test_append(t->log, 3, 40, rill__log_end(t->log) % 2 == 0, &base));
    for (int i = 0; i < READERS; i++) {
        rill__thread_join(&readers[i].thread);
        if (readers[i].wrong != NULL) fail_msg("reader %d: %s", i, readers[i].wrong);
    }
    rill__log_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(every_offset_can_be_sought),
        WITH_LOG(one_cursor_may_jump_about),
        WITH_LOG(outside_of_the_log_is_a_range_error),
        WITH_LOG(empty_log_is_read_when_it_fills),
        WITH_LOG(reader_follows_the_tail),
        WITH_LOG(nothing_is_given_beyond_the_end_that_was_asked_for),
        WITH_LOG(segment_before_is_kept_until_released),
        WITH_LOG(removed_segment_is_readable_to_who_is_in_it),
        WITH_LOG(few_maps_are_kept_and_given_back),
        WITH_LOG(random_lookups_open_no_file),
        WITH_LOG(damaged_value_is_told_and_can_be_passed),
        WITH_LOG(damaged_checksum_is_told_and_can_be_passed),
        WITH_LOG(damaged_header_is_told_without_verifying),
        WITH_LOG(damaged_base_offset_is_told_without_verifying),
        WITH_LOG(seek_into_damage_is_told),
        WITH_LOG(time_in_order_is_found),
        WITH_LOG(time_out_of_order_is_found_like_by_hand),
        WITH_LOG(time_that_goes_back_is_found),
        WITH_LOG(time_behind_an_old_seal_is_found),
        WITH_LOG(time_in_a_damaged_batch_is_corrupt),
        WITH_LOG(time_behind_a_damaged_header_is_corrupt),
        WITH_LOG(damaged_index_entries_do_not_mislead),
        WITH_LOG(readers_see_whole_batches_while_others_append),
        WITH_PACKED_LOG(every_offset_can_be_sought),
        WITH_PACKED_LOG(one_cursor_may_jump_about),
        WITH_PACKED_LOG(reader_follows_the_tail),
        WITH_PACKED_LOG(damaged_value_is_told_and_can_be_passed),
        WITH_PACKED_LOG(damaged_header_is_told_without_verifying)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
