/*
 * Compaction leaves the last record of every key at its offset and nothing else that
 * has a key; what is active, not durable, or beyond its limits it leaves alone; and who
 * reads meanwhile goes on.
 */
#include "keyed.h"
#include "faults.h"
#include "base/bytes.h"
#include "log/compact.h"
#include <errno.h>

static struct keyed k;

static uint32_t batches(struct log *log, uint32_t *empty);
static struct log_compaction_report compact_at(struct log *log, int64_t now_ms);

static int set_up(void **state)
{
    memset(&k, 0, sizeof k);
    return test_log_set_up(state);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, test_log_tear_down)

static void right(const char *wrong)
{
    if (wrong != NULL) fail_msg("%s", wrong);
}

static uint32_t segment_count(struct log *log)
{
    uint32_t count;
    uint64_t bytes;

    OK(rill__log_segments(log, &count, &bytes));
    return count;
}

static void last_of_each_key_stays(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;

    keyed_write(t->log, &k, "ab ab  aac.  bd");
    assert_int_equal(segment_count(t->log), 3);
    report = keyed_compact(t->log);
    keyed_holds(t->log, &k, "b3 a5 c6 .7 b8 d9");
    assert_int_equal(segment_count(t->log), 2);
    assert_int_equal(report.records_before, 8);
    assert_int_equal(report.records_after, 4);
    assert_int_equal(report.segments_before, 2);
    assert_int_equal(report.segments_after, 1);
    assert_int_equal(report.passes, 1);
    assert_true(report.bytes_after < report.bytes_before);
    assert_true(report.dirty_ratio == 1.0);
    OK(test_log_restart(t));
    keyed_holds(t->log, &k, "b3 a5 c6 .7 b8 d9");
    OK(test_log_reboot(t));
    keyed_holds(t->log, &k, "b3 a5 c6 .7 b8 d9");
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a5 c6 .7 b8 d9");
}

/* ---- What is left alone ---- */

static void active_segment_is_left_alone(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;

    keyed_write(t->log, &k, "aaa");
    report = keyed_compact(t->log);
    keyed_holds(t->log, &k, "a0 a1 a2");
    assert_int_equal(report.passes, 0);
    keyed_write(t->log, &k, "  a b");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a2 a3 b4"); /* the head does not count yet */
}

static void empty_log_has_nothing_to_do(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report = keyed_compact(t->log);

    assert_int_equal(report.passes, 0);
    assert_int_equal(report.segments_before, 0);
}

static void what_is_not_durable_is_left_alone(void **state)
{
    struct test_log *t = *state;

    keyed_append(t->log, &k, "aa");
    keyed_roll(t->log);
    keyed_append(t->log, &k, "a");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a0 a1 a2");
    OK(rill__log_sync(t->log, 3, INT64_MAX));
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a1 a2");
}

static void what_is_beyond_the_limit_is_left_alone(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    keyed_write(t->log, &k, "aa  aa  aa  ");
    what.limit = 0;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a0 a1 a2 a3 a4 a5");
    what.limit = 3; /* the segment that has it, too */
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a1 a2 a3 a4 a5");
    what.limit = 4;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a3 a4 a5");
}

static void young_segments_are_left_alone(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    keyed_write(t->log, &k, "aa  aa  aa  "); /* at 1,000,000, 999,970 and 1,000,040 at most */
    what.min_lag_ms = 100;
    what.now_ms = 1000099;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a0 a1 a2 a3 a4 a5");
    what.now_ms++;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a3 a4 a5");
    what.now_ms = 1000139;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a3 a4 a5");
    what.now_ms++;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a5");
    what.now_ms = INT64_MIN; /* far from all that is */
    keyed_write(t->log, &k, "a  ");
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a5 a6");
    what.min_lag_ms = UINT64_MAX;
    what.now_ms = INT64_MAX;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a5 a6");
}

/* Also if their index is lost, which says how old they are. */
static void age_is_known_without_an_index(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    keyed_write(t->log, &k, "aa  aa  ");
    OK(unlink(test_segment_path(0, "index")));
    OK(unlink(test_segment_path(2, "index")));
    what.min_lag_ms = 1000000;
    what.now_ms = k.times[0] + 999999;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a0 a1 a2 a3");
    what.now_ms++;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "a3");
}

static void records_without_a_key_stay(void **state)
{
    struct test_log *t = *state;

    keyed_write(t->log, &k, "... a. .a  .a.  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, ".0 .1 .2 .4 .5 .7 a8 .9");
}

static void control_records_stay_and_supersede_nothing(void **state)
{
    const struct keyed_batch control = {.attributes = BATCH_CONTROL};
    struct test_log *t = *state;
    struct batch_view view;

    keyed_append(t->log, &k, "ab");
    keyed_append_as(t->log, &k, "b", &control);
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a0 b1 b2");
    test_position_of(t->log, 2, &view);
    assert_int_equal(view.attributes, BATCH_CONTROL);
}

static void append_in_transaction(struct log *log, const char *records, int64_t producer_id,
                                  int16_t epoch)
{
    const struct keyed_batch as = {.attributes = BATCH_TRANSACTIONAL,
                                   .producer_id = producer_id,
                                   .producer_epoch = epoch,
                                   .base_sequence = 0};
    keyed_append_as(log, &k, records, &as);
}

static void committed_records_count_and_aborted_ones_go(void **state)
{
    struct test_log *t = *state;

    keyed_append(t->log, &k, "abcd");
    append_in_transaction(t->log, "abA", 5, 1); /* 4 to 6, committed at 7 */
    keyed_end(t->log, &k, 5, 1, true);
    append_in_transaction(t->log, "bc", 6, 1); /* 8 and 9, aborted at 11 */
    append_in_transaction(t->log, "d", 7, 1);  /* 10, aborted at 12 */
    keyed_end(t->log, &k, 6, 1, false);
    keyed_end(t->log, &k, 7, 1, false);
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "c2 d3 b5 A6 !7 !11 !12");
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_first_open(t->log), INT64_MAX);
    keyed_write(t->log, &k, "c  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "d3 b5 A6 !7 !11 !12 c13");
    compact_at(t->log, INT64_C(5000000000)); /* nothing is left that it hides */
    keyed_holds(t->log, &k, "d3 b5 !7 !11 !12 c13");
}

static void what_may_yet_be_aborted_is_left_alone(void **state)
{
    struct test_log *t = *state;

    keyed_write(t->log, &k, "aa  aab  ");
    append_in_transaction(t->log, "b", 5, 1);
    keyed_write(t->log, &k, "a  a  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a3 b4 b5 a6 a7");
    keyed_end(t->log, &k, 5, 1, false);
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "b4 a7 !8");
}

/* The last batch of a producer stays, of one that was aborted, too. */
static void last_batch_of_an_aborted_producer_stays(void **state)
{
    struct test_log *t = *state;
    uint32_t empty;

    append_in_transaction(t->log, "aab", 5, 1);
    keyed_end(t->log, &k, 5, 1, false);
    append_in_transaction(t->log, "ab", 5, 2);
    keyed_end(t->log, &k, 5, 2, false);
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "!3 !6");
    assert_int_equal(batches(t->log, &empty), 4);
    assert_int_equal(empty, 2);
    keyed_write(t->log, &k, "a  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "!3 !6 a7");
}

static void little_dirt_is_left_alone(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    keyed_write(t->log, &k, "abcdefgh  ");
    keyed_compact(t->log);
    keyed_write(t->log, &k, "ab  ");
    what.min_dirty_ratio = 0.5;
    OK(rill__log_compact(t->log, &what, &report));
    assert_int_equal(report.passes, 0);
    assert_true(report.finished);
    assert_true(report.dirty_ratio > 0.1 && report.dirty_ratio < 0.35);
    keyed_holds(t->log, &k, "a0 b1 c2 d3 e4 f5 g6 h7 a8 b9");
    what.min_dirty_ratio = report.dirty_ratio;
    OK(rill__log_compact(t->log, &what, &report));
    assert_int_equal(report.passes, 1);
    keyed_holds(t->log, &k, "c2 d3 e4 f5 g6 h7 a8 b9");
    what.min_dirty_ratio = 0.0001;
    OK(rill__log_compact(t->log, &what, &report));
    assert_int_equal(report.passes, 0);
    assert_true(report.dirty_ratio == 0);
}

/* ---- Tombstones ---- */

static uint32_t stamp_at(struct log *log, int64_t offset)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record = RILL_RECORD_INIT;
    struct log_cursor cursor;
    struct batch_view view;
    uint32_t stamp;
    bool bad;

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, offset));
    OK(rill__cursor_next(&cursor, rill__log_end(log), true, &view));
    do {
        assert_true(rill__record_next(&view, &walk, &record, &bad));
    } while (record.offset != offset);
    stamp = rill__record_stamp(record.raw);
    rill__cursor_deinit(&cursor);
    return stamp;
}

static struct log_compaction_report compact_at(struct log *log, int64_t now_ms)
{
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    what.now_ms = now_ms;
    OK(rill__log_compact(log, &what, &report));
    return report;
}

static void tombstones_go_when_their_time_is_over(void **state)
{
    const int64_t began = INT64_C(1000000999);
    struct test_log *t = *state;
    struct log_compaction_report report;

    keyed_write(t->log, &k, "abA. B  c  ");
    report = compact_at(t->log, began);
    keyed_holds(t->log, &k, "A2 .3 B4 c5");
    assert_int_equal(stamp_at(t->log, 2), 1000001);
    assert_int_equal(report.tombstones_removed, 0);
    compact_at(t->log, began + 3600000 - 1); /* an hour later, not yet */
    keyed_holds(t->log, &k, "A2 .3 B4 c5");
    assert_int_equal(stamp_at(t->log, 2), 1000001);
    compact_at(t->log, began - 10000000); /* the clock goes back */
    compact_at(t->log, 0);
    compact_at(t->log, INT64_MIN);
    keyed_holds(t->log, &k, "A2 .3 B4 c5");
    report = compact_at(t->log, began + 3600000 + 2000);
    keyed_holds(t->log, &k, ".3 c5");
    assert_int_equal(report.tombstones_removed, 2);
    assert_int_equal(report.records_before, 4);
    assert_int_equal(report.records_after, 2);
}

static void tombstones_may_stay_for_ever(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    keyed_write(t->log, &k, "aA  ");
    what.delete_retention_ms = UINT64_MAX;
    OK(rill__log_compact(t->log, &what, &report));
    what.now_ms = INT64_MAX;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "A1");
    what.delete_retention_ms = 0;
    what.now_ms = 1000000000; /* not in the second in which it was stamped */
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "A1");
    what.now_ms += 2000;
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k, "");
}

/* Its time begins when it is compacted, not when it was written. */
static void tombstones_in_the_head_have_no_time_yet(void **state)
{
    struct test_log *t = *state;

    keyed_write(t->log, &k, "a  A");
    compact_at(t->log, 1000000000);
    keyed_write(t->log, &k, "  ");
    compact_at(t->log, INT64_C(5000000000));
    keyed_holds(t->log, &k, "A1");
    assert_int_equal(stamp_at(t->log, 1), 5000001);
    compact_at(t->log, INT64_C(5003602000));
    keyed_holds(t->log, &k, "");
}

/* A value that came after it lives. */
static void tombstone_hides_only_what_is_before(void **state)
{
    struct test_log *t = *state;

    keyed_write(t->log, &k, "aAa  bB  b  ");
    compact_at(t->log, 1000000000);
    keyed_holds(t->log, &k, "a2 b5");
    compact_at(t->log, INT64_C(5000000000));
    keyed_holds(t->log, &k, "a2 b5");
}

/* ---- The bytes ---- */

static struct segment_header header_of(struct test_log *t, int64_t base)
{
    struct segment_header header;

    OK(rill__segment_peek(&t->config, &t->log->dir, base, &header));
    return header;
}

static void segment_says_what_it_is(void **state)
{
    struct test_log *t = *state;
    struct segment_header header;
    struct index_seal seal;

    keyed_write(t->log, &k, "ab  aA  c");
    keyed_compact(t->log);
    header = header_of(t, 0);
    assert_true(header.compacted);
    assert_int_equal(header.base, 0);
    assert_int_equal(header.end, 4);
    assert_int_equal(header.cleaned, 4);
    assert_int_equal(header.tombstone_s, 1000001);
    assert_int_equal(header.file_size, 4096);
    assert_int_equal(header.epoch, rill__log_epoch(t->log));
    assert_false(test_exists(test_segment_path(2, "log")));
    assert_false(test_exists(test_segment_path(2, "index")));
    assert_false(test_exists(test_path("clean.tmp")));
    assert_false(test_exists(test_path("clean-index.tmp")));
    assert_true(rill__index_peek(&t->log->dir, &header, &seal));
    assert_int_equal(seal.end_offset, 4);
    assert_int_equal(seal.max_time, k.times[1] > k.times[3] ? k.times[1] : k.times[3]);
}

static uint32_t batches(struct log *log, uint32_t *empty)
{
    struct log_cursor cursor;
    struct segment *segment;
    struct batch_view view;
    const char *why;
    uint32_t at = SEGMENT_HEADER_SIZE;
    uint32_t count = 0;
    int64_t offset = 0;

    *empty = 0;
    rill__cursor_init(&cursor, log);
    OK(rill__log_pin(log, 0, false, &segment));
    while (at < segment->size && rill__batch_view(segment->map.data + at, segment->size - at,
                                                  &view, &why) == BATCH_VALID) {
        assert_int_equal(view.base_offset, offset);
        assert_true(rill__batch_verify(&view, segment->salt));
        offset = view.end_offset;
        at += view.length;
        count++;
        if (view.record_count == 0) (*empty)++;
    }
    assert_int_equal(offset, segment->end);
    for (; at < segment->size; at++) assert_int_equal(segment->map.data[at], 0);
    rill__log_unpin(log, segment);
    return count;
}

/* Where nothing is left nothing is kept either, but one batch for all of it. */
static void what_is_gone_takes_no_room(void **state)
{
    struct test_log *t = *state;
    uint32_t empty;

    keyed_write(t->log, &k, "a a a a a a b b a a b b a b  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a12 b13");
    assert_int_equal(batches(t->log, &empty), 3);
    assert_int_equal(empty, 1);
    keyed_write(t->log, &k, "b c c c  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a12 b14 c17");
    /* Behind a batch a gap is a part of it. */
    assert_int_equal(batches(t->log, &empty), 4);
    assert_int_equal(empty, 1);
}

static void all_may_be_gone(void **state)
{
    struct test_log *t = *state;
    uint32_t empty;
    int64_t offset;

    keyed_write(t->log, &k, "aaa a  a  ab");
    keyed_compact(t->log);
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a5 b6");
    keyed_write(t->log, &k, "AB  ");
    compact_at(t->log, 1000000000);
    compact_at(t->log, INT64_C(5000000000));
    keyed_holds(t->log, &k, "");
    assert_int_equal(batches(t->log, &empty), 1);
    assert_int_equal(empty, 1);
    OK(rill__log_offset_for_time(t->log, 0, &offset));
    assert_int_equal(offset, RILL_OFFSET_NONE);
    for (int64_t i = 0; i <= 9; i++) assert_string_equal(keyed_text(t->log, &k, i), "");
    OK(test_log_reboot(t));
    keyed_holds(t->log, &k, "");
    keyed_write(t->log, &k, "a");
    keyed_holds(t->log, &k, "a9");
}

/* A large batch does not become sparse for the gap behind it. */
static void large_batch_before_a_gap_is_copied(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    uint32_t empty;

    keyed_write(t->log, &k, "abcdefgh x x x ijk x x  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a0 b1 c2 d3 e4 f5 g6 h7 i11 j12 k13 x15");
    assert_int_equal(batches(t->log, &empty), 4);
    assert_int_equal(empty, 1);
    test_position_of(t->log, 0, &view);
    assert_int_equal(view.attributes & BATCH_SPARSE, 0);
    test_position_of(t->log, 11, &view);
    assert_int_equal(view.attributes & BATCH_SPARSE, BATCH_SPARSE);
    assert_int_equal(view.end_offset, 15);
}

static void batches_keep_what_they_are(void **state)
{
    const struct keyed_batch as = {.producer_id = 77, .producer_epoch = 3, .base_sequence = 1000};
    struct test_log *t = *state;
    struct batch_view view;
    int32_t epoch = rill__log_epoch(t->log);

    keyed_append_as(t->log, &k, "abcA", &as);
    keyed_write(t->log, &k, "b b  ");
    OK(test_log_restart(t)); /* the epoch goes up */
    keyed_write(t->log, &k, "c  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "A3 b5 c6");
    test_position_of(t->log, 3, &view);
    assert_int_equal(view.base_offset, 0);
    assert_int_equal(view.end_offset, 4); /* his last sequence number is in it */
    assert_int_equal(view.record_count, 1);
    assert_int_equal(view.epoch, epoch);
    assert_int_equal(view.producer_id, 77);
    assert_int_equal(view.producer_epoch, 3);
    assert_int_equal(view.base_sequence, 1000);
    assert_int_equal(view.base_time, k.times[0]);
    assert_int_equal(view.max_time, k.times[3]);
    test_position_of(t->log, 6, &view);
    assert_int_equal(view.epoch, epoch + 1);
    assert_int_equal(header_of(t, 0).epoch, epoch + 1);
}

/* Of every producer the log tells the last batch, if without records. */
static void last_batch_of_each_producer_stays(void **state)
{
    struct test_log *t = *state;
    uint32_t empty;

    for (int i = 0; i < 8; i++) {
        const struct keyed_batch as = {
            .producer_id = 1 + i % 2, .producer_epoch = 1, .base_sequence = i};
        keyed_append_as(t->log, &k, "a", &as);
    }
    keyed_write(t->log, &k, "a  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a8");
    assert_int_equal(batches(t->log, &empty), 4);
    assert_int_equal(empty, 3); /* a gap, and the last of each */
    {
        const struct keyed_batch as = {.producer_id = 2, .producer_epoch = 1, .base_sequence = 9};
        keyed_append_as(t->log, &k, "a", &as);
    }
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a9");
    assert_int_equal(batches(t->log, &empty), 4);
    assert_int_equal(empty, 3); /* a gap, producer 1, a gap */
}

static void times_of_appends_stay(void **state)
{
    const struct keyed_batch as = {.attributes = BATCH_APPEND_TIME};
    struct test_log *t = *state;
    struct batch_view before;
    struct batch_view after;

    keyed_append_as(t->log, &k, "aab", &as);
    keyed_append_as(t->log, &k, "c", &as);
    keyed_append_as(t->log, &k, "c", &as);
    test_position_of(t->log, 2, &before);
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a1 b2 c4");
    test_position_of(t->log, 2, &after);
    assert_int_equal(after.max_time, before.max_time);
    assert_int_equal(after.attributes, BATCH_APPEND_TIME | BATCH_SPARSE);
}

static void compressed_batches_are_compressed_again(void **state)
{
    struct test_log *t = *state;

    for (int code = CODEC_LZ4; code <= CODEC_ZSTD; code++) {
        const struct keyed_batch as = {.codec = code, .value_size = 300};
        struct batch_view view;
        int64_t base = rill__log_end(t->log);
        char expected[200];

        if (!rill__codec_available(code)) continue;
        keyed_append_as(t->log, &k, "aabcbc", &as);
        keyed_append_as(t->log, &k, "defg", &as);
        keyed_append_as(t->log, &k, "xx", &as);
        keyed_append_as(t->log, &k, "x", &as);
        keyed_write(t->log, &k, "  ");
        keyed_compact(t->log);
        snprintf(expected, sizeof expected, "a%lld b%lld c%lld d%lld e%lld f%lld g%lld x%lld",
                 (long long)base + 1, (long long)base + 4, (long long)base + 5,
                 (long long)base + 6, (long long)base + 7, (long long)base + 8,
                 (long long)base + 9, (long long)base + 12);
        assert_string_equal(keyed_text(t->log, &k, base), expected);
        test_position_of(t->log, base + 1, &view);
        assert_int_equal(view.attributes, code | BATCH_SPARSE);
        assert_true(view.length < view.raw_size);
        test_position_of(t->log, base + 6, &view);
        assert_int_equal(view.attributes, code); /* as it was */
    }
}

/* What is left of one may be too little to become smaller. */
static void little_is_not_compressed(void **state)
{
    const struct keyed_batch as = {.codec = CODEC_ZSTD};
    struct test_log *t = *state;
    struct batch_view view;

    if (!rill__codec_available(CODEC_ZSTD)) skip();
    keyed_append_as(t->log, &k, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaab", &as);
    keyed_write(t->log, &k, "a  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "b29 a30");
    test_position_of(t->log, 29, &view);
    assert_int_equal(view.attributes, BATCH_SPARSE);
}

/* A batch with many small records grows, and so does its segment. */
static void segment_may_grow(void **state)
{
    const struct keyed_batch as = {.value_size = 8};
    struct test_log *t = *state;
    struct log_compaction_report report;
    char text[KEYED_MAX * 7];

    keyed_append_as(t->log, &k,
                    "abcdefghijklmnopqrstuvwxyz.........................................."
                    "...............a",
                    &as);
    keyed_write(t->log, &k, "  ");
    report = keyed_compact(t->log);
    assert_true(report.bytes_after > report.bytes_before);
    snprintf(text, sizeof text, "%s", keyed_text(t->log, &k, 0));
    assert_memory_equal(text, "b1 c2 ", 6);
    assert_int_equal(report.records_after, report.records_before - 1);
    OK(test_log_reboot(t));
    keyed_holds(t->log, &k, text);
}

/* ---- Passes ---- */

static void with_little_memory_it_takes_more_passes(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    keyed_write(t->log, &k, "abcdefghij  klmnopqrst abc  xyzabklmxyz  aA");
    what.memory_bytes = 0; /* three keys */
    OK(rill__log_compact(t->log, &what, &report));
    keyed_holds(t->log, &k,
                "d3 e4 f5 g6 h7 i8 j9 n13 o14 p15 q16 r17 s18 t19 c22 a26 b27 k28 l29 m30 x31 "
                "y32 z33 a34 A35");
    assert_true(report.finished);
    assert_true(report.passes > 5);
    assert_int_equal(report.records_before, 34);
    assert_int_equal(report.records_after, 23);
    assert_int_equal(report.segments_before, 3);
    assert_int_equal(report.segments_after, segment_count(t->log) - 1);
}

/* What a pass did not take into the map it leaves as it is: a tombstone has its time from when
 * what it hides is gone. */
static void behind_a_full_map_nothing_changes(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    keyed_write(t->log, &k, "abcadA  ");
    what.memory_bytes = 0;
    what.deadline_ns = 1;
    OK(rill__log_compact(t->log, &what, &report));
    assert_false(report.finished);
    keyed_holds(t->log, &k, "b1 c2 a3 d4 A5");
    assert_int_equal(stamp_at(t->log, 5), 0);
    compact_at(t->log, 5000000000);
    keyed_holds(t->log, &k, "b1 c2 d4 A5");
    assert_int_equal(stamp_at(t->log, 5), 5000001);
}

static void producers_count_in_the_map(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    for (int i = 0; i < 9; i++) {
        const struct keyed_batch as = {.producer_id = 1 + i, .base_sequence = 0};
        keyed_append_as(t->log, &k, i % 2 == 0 ? "ab" : "cd", &as);
    }
    keyed_write(t->log, &k, "  ");
    what.memory_bytes = 0;
    OK(rill__log_compact(t->log, &what, &report));
    assert_true(report.finished);
    keyed_holds(t->log, &k, "c14 d15 a16 b17");
}

/* What is asked for in between is asked for again. */
static bool stop_after(void *arg)
{
    int *left = arg;
    return (*left)-- <= 0;
}

static void stopped_it_goes_on_later(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report = {.finished = false};
    const struct keyed_batch large = {.value_size = 1200};
    bool there[KEYED_MAX];
    uint64_t removed = 0;
    int calls = 0;

    for (int i = 0; i < 12; i++) {
        keyed_append_as(t->log, &k, i % 3 == 0 ? "abc" : "ab", &large);
        keyed_write(t->log, &k, "  ");
    }
    what.stop = stop_after;
    for (int asked = 0; !report.finished; asked++) {
        int left = asked % 40;
        what.stop_arg = &left;
        OK(rill__log_compact(t->log, &what, &report));
        keyed_parse(keyed_text(t->log, &k, 0), there);
        right(keyed_wrong(&k, 0, k.end, k.end, there));
        removed += report.records_before - report.records_after;
        calls++;
        assert_true(asked < 200);
    }
    assert_true(calls > 3);
    assert_int_equal(removed, k.end - 3);
    right(keyed_unclean(&k, 0, k.end, there));
}

static void deadline_that_is_over_allows_one_segment(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report = {.finished = false};
    const struct keyed_batch large = {.value_size = 1500};
    int calls = 0;

    for (int i = 0; i < 6; i++) {
        keyed_append_as(t->log, &k, i % 2 == 0 ? "ab" : "cd", &large);
        keyed_write(t->log, &k, "  ");
    }
    what.deadline_ns = 1;
    while (!report.finished) {
        OK(rill__log_compact(t->log, &what, &report));
        assert_true(report.finished || report.segments_before > 0);
        calls++;
        assert_true(calls < 50);
    }
    assert_true(calls > 2);
    keyed_holds(t->log, &k, "a8 b9 c10 d11");
}

static void small_neighbours_are_merged(void **state)
{
    struct test_log *t = *state;
    const struct keyed_batch large = {.value_size = 1500};

    for (int i = 0; i < 5; i++) {
        keyed_append_as(t->log, &k, i == 2 ? "xy" : i % 2 == 0 ? "ab" : "ba", &large);
        keyed_write(t->log, &k, "  ");
    }
    assert_int_equal(segment_count(t->log), 6);
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "x4 y5 a8 b9");
    /* Two full ones; what is before the first goes with it. */
    assert_int_equal(segment_count(t->log), 3);
    assert_true(header_of(t, 0).end >= 6);
}

/* Records that never change keep the segments that they are in. */
static void what_does_not_change_is_not_written_again(void **state)
{
    struct test_log *t = *state;
    const struct keyed_batch large = {.value_size = 1500};
    struct log_compaction_report report;
    uint64_t salt;

    keyed_append_as(t->log, &k, "ab", &large);
    keyed_write(t->log, &k, "  ");
    keyed_append_as(t->log, &k, "cd", &large);
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    salt = header_of(t, 0).salt;
    keyed_append_as(t->log, &k, "ce", &large);
    keyed_write(t->log, &k, "  ");
    report = keyed_compact(t->log);
    keyed_holds(t->log, &k, "a0 b1 d3 c4 e5");
    assert_true(header_of(t, 0).salt == salt);
    assert_int_equal(report.segments_before, 2);
    report = keyed_compact(t->log); /* nothing to do at all */
    assert_int_equal(report.segments_before, 0);
    assert_int_equal(report.passes, 0);
}

/* ---- Damage ---- */

static int compact_it(struct log *log, struct log_compaction_report *report)
{
    struct log_compaction what = keyed_compaction();
    return rill__log_compact(log, &what, report);
}

static void damage_ends_it(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    struct batch_view view;
    uint32_t position;
    uint8_t *before;
    uint8_t *after;
    size_t size;

    keyed_write(t->log, &k, "ab ab  cc cb ab  abc  ");
    position = test_position_of(t->log, 6, &view);
    test_flip(test_segment_path(4, "log"), position + 70, 4);
    before = test_read_file(test_segment_path(4, "log"), &size);
    FAILS(RILL_ERR_CORRUPT, compact_it(t->log, &report));
    assert_non_null(strstr(test_message(), "00000000000000000004.log"));
    assert_non_null(strstr(test_message(), "offset 6"));
    assert_false(report.finished);
    assert_int_equal(report.segments_before, 1);
    /* What comes before is compacted, not for the sake of what is damaged. */
    assert_true(header_of(t, 0).compacted);
    assert_false(header_of(t, 10).compacted);
    after = test_read_file(test_segment_path(4, "log"), &size);
    assert_memory_equal(before, after, size);
    free(after);
    free(before);
    test_flip(test_segment_path(4, "log"), position + 70, 4);
    keyed_holds(t->log, &k, "a2 b3 c4 c5 c6 b7 a8 b9 a10 b11 c12");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a10 b11 c12");
}

static void damage_in_what_is_clean_ends_it(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    const struct keyed_batch large = {.value_size = 1500};

    keyed_append_as(t->log, &k, "ab", &large);
    keyed_write(t->log, &k, "  ");
    keyed_append_as(t->log, &k, "cd", &large);
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_append_as(t->log, &k, "ad", &large);
    keyed_write(t->log, &k, "  ");
    test_flip(test_segment_path(2, "log"), 1000, 1);
    FAILS(RILL_ERR_CORRUPT, compact_it(t->log, &report));
    assert_non_null(strstr(test_message(), "00000000000000000002.log"));
    assert_false(header_of(t, 4).compacted);
    test_flip(test_segment_path(2, "log"), 1000, 1);
    keyed_holds(t->log, &k, "b1 c2 d3 a4 d5");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "b1 c2 a4 d5");
}

/* Wherever one bit is wrong: an error, or a bit that means nothing, and never another
 * record than those that were there. */
static void any_flipped_bit_ends_it_or_means_nothing(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    uint8_t *bytes;
    size_t size;

    keyed_write(t->log, &k, "ab aA. c  ");
    bytes = test_read_file(test_segment_path(0, "log"), &size);
    for (size_t at = 0; at < 128 + 500; at++) {
        uint8_t byte = (uint8_t)(bytes[at] ^ 1 << at % 8);
        int rc;

        test_write_file(test_segment_path(0, "log"), at, &byte, 1);
        rill__log_forget_maps(t->log);
        rc = compact_it(t->log, &report);
        if (rc == 0) {
            keyed_holds(t->log, &k, "b1 A3 .4 c5");
            fail_msg("byte %zu does not matter", at); /* there are none */
        }
        assert_true(rc == RILL_ERR_CORRUPT || rc == RILL_ERR_FORMAT);
        assert_int_equal(report.segments_before, 0);
        test_write_file(test_segment_path(0, "log"), 0, bytes, size);
        if (at > 128 + 320) break;
    }
    free(bytes);
    rill__log_forget_maps(t->log);
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "b1 A3 .4 c5");
}

static void missing_segment_ends_it(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;

    keyed_write(t->log, &k, "aa  ab  bb  ab");
    OK(rename(test_segment_path(2, "log"), test_path("away")));
    FAILS(RILL_ERR_CORRUPT, compact_it(t->log, &report));
    OK(rename(test_path("away"), test_segment_path(2, "log")));
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a2 b5 a6 b7");
}

/* ---- Faults ---- */

static void one_at_a_time(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    struct file control = FILE_NONE;

    keyed_write(t->log, &k, "aa  ");
    OK(rill__file_open(&t->log->dir, "control", FILE_WRITE, &control));
    OK(rill__file_lock(&control, CONTROL_LOCK_COMPACT, FILE_LOCK_EXCLUSIVE, 0));
    FAILS(RILL_ERR_BUSY, compact_it(t->log, &report));
    rill__file_close(&control);
    OK(compact_it(t->log, &report));
    keyed_holds(t->log, &k, "a1");
    rill__log_mark_deleted(t->log);
    FAILS(RILL_ERR_NOT_FOUND, compact_it(t->log, &report));
}

static void poisoned_log_is_refused(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;

    keyed_write(t->log, &k, "aa  ");
    rill__log_poison(t->log, RILL_ERR_IO);
    FAILS(RILL_ERR_POISONED, compact_it(t->log, &report));
}

static void write_what_fails(struct test_log *t)
{
    memset(&k, 0, sizeof k);
    keyed_write(t->log, &k, "abcd ab  cA .a  .b  aabb cd  d");
    keyed_compact(t->log);
    keyed_write(t->log, &k, "ab  cD. ..  aaa  ");
}

static const char *const all_there[] = {
    "c6 A7 .8 a9 .10 b15 c16 d17 d18 a19 b20 c21 D22 .23 .24 .25 a26 a27 a28",
    "A7 .8 a9 .10 b15 c16 d17 d18 a19 b20 c21 D22 .23 .24 .25 a26 a27 a28"};

/* Each call of the system fails once; what was there is there, and the next compaction
 * does what was left. */
static void any_call_may_fail(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    bool there[KEYED_MAX];
    bool failed = true;

    (void)all_there;
    for (uint64_t n = 1; failed; n++) {
        int rc;

        write_what_fails(t);
        faults_fail(FAULT_ANY, NULL, n, EIO, FAULT_ONCE);
        rc = compact_it(t->log, &report);
        failed = faults_count() >= n;
        faults_clear();
        keyed_parse(keyed_text(t->log, &k, 0), there);
        right(keyed_wrong(&k, 0, k.end, k.end, there));
        if (rc != 0) assert_true(rc == RILL_ERR_IO || rc == RILL_ERR_POISONED);
        if (rill__log_state(t->log) != 0) OK(test_log_restart(t));
        keyed_compact(t->log);
        assert_false(test_exists(test_path("clean.tmp")));
        assert_false(test_exists(test_path("clean-index.tmp")));
        keyed_parse(keyed_text(t->log, &k, 0), there);
        right(keyed_wrong(&k, 0, k.end, k.end, there));
        right(keyed_unclean(&k, 0, k.end, there));
        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
    }
}

/* The process dies at each call; others, who have seen the segments before, go on. */
static void process_may_die_at_any_call(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    bool there[KEYED_MAX];
    bool died = true;

    for (uint64_t n = 1; died; n++) {
        struct log *other;
        struct log_cursor cursor;
        struct batch_view view;

        write_what_fails(t);
        other = test_log_second(t);
        keyed_text(other, &k, 0);
        rill__cursor_init(&cursor, other);
        OK(rill__cursor_seek(&cursor, 0));
        OK(rill__cursor_next(&cursor, k.end, true, &view));
        faults_fail(FAULT_ANY, NULL, n, EIO, FAULT_DEAD);
        compact_it(t->log, &report);
        died = faults_count() >= n;
        faults_clear();
        atomic_store(&t->log->control->poison, 0); /* nobody there to have said so */

        while (cursor.offset < k.end) {
            OK(rill__cursor_next(&cursor, k.end, true, &view));
            rill__cursor_release(&cursor);
        }
        keyed_parse(keyed_text(other, &k, 0), there);
        right(keyed_wrong(&k, 0, k.end, k.end, there));
        for (int64_t i = 0; i <= k.end; i++) keyed_text(other, &k, i);
        if (n % 3 == 0) OK(rill__log_delete_before(other, 12 + (int64_t)n % 9, INT64_MAX, NULL));
        if (n % 3 == 1) {
            keyed_compact(other);
        } else {
            rill__cursor_deinit(&cursor);
            rill__log_close(other);
            other = NULL;
            OK(n % 2 == 0 ? test_log_restart(t) : test_log_reboot(t));
            assert_false(test_exists(test_path("clean.tmp")));
            assert_false(test_exists(test_path("clean-index.tmp")));
        }
        {
            int64_t start = rill__log_start(t->log);
            keyed_parse(keyed_text(t->log, &k, start), there);
            right(keyed_wrong(&k, start, k.end, k.end, there));
            keyed_compact(t->log);
            keyed_parse(keyed_text(t->log, &k, start), there);
            right(keyed_wrong(&k, start, k.end, k.end, there));
            right(keyed_unclean(&k, start, k.end, there));
        }
        rill__cursor_deinit(&cursor);
        rill__log_close(other);
        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
    }
}

static void without_memory_nothing_is_lost(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    int rc = -1;

    keyed_write(t->log, &k, "abcd ab  cA .a  .b  aabb cd  d");
    for (uint64_t more = 0; rc != 0; more += 100) {
        t->heap.bytes_max = atomic_load(&t->heap.bytes) + more;
        rc = compact_it(t->log, &report);
        if (rc != 0) assert_int_equal(rc, RILL_ERR_NO_MEMORY);
        t->heap.bytes_max = 0;
    }
    keyed_holds(t->log, &k, ".8 .10 a13 b15 c16 d17 d18");
}

static void on_a_full_disk_nothing_is_lost(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;

    keyed_write(t->log, &k, "abab  ");
    faults_fail(FAULT_PWRITE, "clean", 1, ENOSPC, FAULT_ONCE);
    FAILS(RILL_ERR_NO_SPACE, compact_it(t->log, &report));
    faults_clear();
    assert_false(test_exists(test_path("clean.tmp")));
    keyed_holds(t->log, &k, "a0 b1 a2 b3");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a2 b3");
}

/* ---- Readers ---- */

static void readers_go_on_from_wherever_they_are(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct log_cursor cursors[20];
    struct batch_view view;
    int64_t end;

    keyed_write(t->log, &k, "ab ab  ab ab  ab ab  ab ab  ab ab");
    end = k.end;
    for (int i = 0; i < 20; i++) {
        rill__cursor_init(&cursors[i], i % 2 == 0 ? t->log : other);
        OK(rill__cursor_seek(&cursors[i], i));
        if (i % 3 != 0) OK(rill__cursor_next(&cursors[i], end, true, &view));
    }
    keyed_compact(t->log);
    keyed_write(t->log, &k, "ab  ab  ");
    keyed_compact(t->log);
    for (int i = 0; i < 20; i++) {
        int64_t offset = cursors[i].offset;
        while (cursors[i].offset < end) {
            OK(rill__cursor_next(&cursors[i], end, true, &view));
            rill__cursor_release(&cursors[i]);
            assert_true(view.record_count == 0 || view.end_offset > offset);
            offset = cursors[i].offset;
        }
        rill__cursor_deinit(&cursors[i]);
    }
    keyed_holds(other, &k, "a22 b23");
    keyed_holds(t->log, &k, "a22 b23");
    rill__log_close(other);
}

/* An offset whose record is gone is that of the next one. */
static void any_offset_can_be_read_from(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    char all[KEYED_MAX * 7];

    keyed_write(t->log, &k, "abc ab  cab ab  .ab bb  ba cc  d");
    keyed_text(other, &k, 0);
    keyed_compact(t->log);
    snprintf(all, sizeof all, "%s", keyed_text(t->log, &k, 0));
    for (int64_t i = 0; i <= k.end; i++) {
        const char *from = all;
        while (*from != '\0' && strtoll(from + 1, NULL, 10) < i) {
            from = strchr(from, ' ');
            from = from == NULL ? "" : from + 1;
        }
        assert_string_equal(keyed_text(t->log, &k, i), from);
        assert_string_equal(keyed_text(other, &k, i), from);
    }
    rill__log_close(other);
}

static void times_are_found_in_what_is_left(void **state)
{
    struct test_log *t = *state;
    bool there[KEYED_MAX];

    keyed_write(t->log, &k, "abc ab  cab ab  .ab bb  ba cc  d");
    keyed_compact(t->log);
    keyed_parse(keyed_text(t->log, &k, 0), there);
    for (int64_t i = 0; i < k.end; i++) {
        for (int64_t time = k.times[i] - 1; time <= k.times[i] + 1; time++) {
            int64_t offset;
            int64_t want = 0;
            while (want < k.end && (!there[want] || k.times[want] < time)) want++;
            OK(rill__log_offset_for_time(t->log, time, &offset));
            assert_int_equal(offset, want == k.end ? RILL_OFFSET_NONE : want);
        }
    }
}

static void log_may_begin_inside_a_compacted_segment(void **state)
{
    struct test_log *t = *state;
    int64_t start;

    keyed_write(t->log, &k, "ab ab  cd ab  ef ab  gh");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "c4 d5 e8 f9 a10 b11 g12 h13");
    OK(rill__log_delete_before(t->log, 5, INT64_MAX, &start));
    keyed_holds(t->log, &k, "d5 e8 f9 a10 b11 g12 h13");
    OK(rill__log_delete_before(t->log, 6, INT64_MAX, &start));
    assert_int_equal(start, 6);
    keyed_holds(t->log, &k, "e8 f9 a10 b11 g12 h13");
    OK(test_log_reboot(t));
    keyed_holds(t->log, &k, "e8 f9 a10 b11 g12 h13");
    keyed_write(t->log, &k, "  ea  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "f9 b11 g12 h13 e14 a15");
    OK(rill__log_delete_before(t->log, 14, INT64_MAX, &start));
    keyed_holds(t->log, &k, "e14 a15");
    assert_true(segment_count(t->log) <= 2);
}

/* What a killed compaction left does not mislead the removal of what is deleted. */
static void leftovers_are_not_taken_for_the_log(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    struct log *other;

    keyed_write(t->log, &k, "ab  cd  ef  gh  ");
    other = test_log_second(t);
    keyed_text(other, &k, 0);
    faults_fail(FAULT_UNLINKAT, "00000000000000000004", 1, EIO, FAULT_DEAD);
    FAILS(RILL_ERR_IO, compact_it(t->log, &report));
    faults_clear();
    assert_int_equal(atomic_load(&t->log->control->layout) % 2, 1);
    assert_true(header_of(t, 0).compacted);
    assert_false(test_exists(test_segment_path(2, "log")));
    assert_true(test_exists(test_segment_path(4, "log")));
    OK(rill__log_delete_before(other, 5, INT64_MAX, NULL));
    keyed_holds(other, &k, "f5 g6 h7");
    assert_false(test_exists(test_segment_path(4, "log")));
    assert_int_equal(atomic_load(&t->log->control->layout) % 2, 0);
    keyed_holds(t->log, &k, "f5 g6 h7");
    OK(test_log_reboot(t));
    keyed_holds(t->log, &k, "f5 g6 h7");
    rill__log_close(other);
}

static void copy_is_of_one_layout(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;

    keyed_write(t->log, &k, "aa  aa  ");
    atomic_store(&t->log->control->layout, 7); /* somebody died over it */
    OK(compact_it(t->log, &report));
    assert_int_equal(atomic_load(&t->log->control->layout) % 2, 0);
    keyed_holds(t->log, &k, "a3");
}

/* ---- What others do meanwhile ---- */

static struct {
    uint64_t calls;
    uint64_t at;
    struct log *other;
    int64_t before;
} deletion;

static void delete_now(void *arg, const struct fault_event *event)
{
    int64_t start;

    (void)arg;
    (void)event;
    if (++deletion.calls != deletion.at) return;
    /* While compaction has the lock it must wait, and does so another time. */
    if (rill__log_delete_before(deletion.other, deletion.before, 0, &start) != 0) deletion.at++;
}

/* The log start moves, and files go, before any call that compaction makes. */
static void deletion_may_come_at_any_time(void **state)
{
    struct test_log *t = *state;
    bool there[KEYED_MAX];

    for (int64_t before = 6; before <= 19; before += 13) {
        bool came = true;
        for (uint64_t n = 1; came; n++) {
            struct log_compaction_report report;

            write_what_fails(t);
            deletion.other = test_log_second(t);
            deletion.calls = 0;
            deletion.at = n;
            deletion.before = before;
            faults_watch(delete_now, NULL);
            OK(compact_it(t->log, &report));
            faults_clear();
            came = deletion.calls >= deletion.at;
            if (came) assert_int_equal(rill__log_start(t->log), before);
            for (int i = 0; i < 2; i++) {
                struct log *log = i == 0 ? t->log : deletion.other;
                int64_t start = rill__log_start(log);
                keyed_parse(keyed_text(log, &k, start), there);
                right(keyed_wrong(&k, start, k.end, k.end, there));
            }
            keyed_compact(deletion.other);
            keyed_parse(keyed_text(t->log, &k, before), there);
            right(keyed_unclean(&k, before, k.end, there));
            rill__log_close(deletion.other);
            test_log_deinit(t);
            test_log_init(t);
            OK(test_log_open(t));
        }
    }
}

static struct {
    uint64_t calls;
    uint64_t at;
} poisoning;

static void poison_now(void *arg, const struct fault_event *event)
{
    (void)event;
    if (++poisoning.calls == poisoning.at) rill__log_poison(arg, RILL_ERR_IO);
}

/* Nothing is replaced once a sync has failed elsewhere. */
static void poison_may_come_at_any_time(void **state)
{
    struct test_log *t = *state;
    bool there[KEYED_MAX];
    bool came = true;

    for (uint64_t n = 1; came; n += 3) {
        struct log_compaction_report report;
        int rc;

        write_what_fails(t);
        poisoning.calls = 0;
        poisoning.at = n;
        faults_watch(poison_now, t->log);
        rc = compact_it(t->log, &report);
        faults_clear();
        came = poisoning.calls >= n;
        if (rc != 0) assert_int_equal(rc, RILL_ERR_POISONED);
        OK(test_log_restart(t));
        keyed_parse(keyed_text(t->log, &k, 0), there);
        right(keyed_wrong(&k, 0, k.end, k.end, there));
        keyed_compact(t->log);
        keyed_parse(keyed_text(t->log, &k, 0), there);
        right(keyed_unclean(&k, 0, k.end, there));
        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
    }
}

/* ---- Odd bytes ---- */

/* The first batch of the segment is changed and stamped again. */
static void change_batch(int64_t base, uint32_t at, uint64_t value, size_t size)
{
    const char *path = test_segment_path(base, "log");
    uint8_t *bytes;
    size_t file_size;

    bytes = test_read_file(path, &file_size);
    for (size_t i = 0; i < size; i++)
        bytes[SEGMENT_HEADER_SIZE + at + i] = (uint8_t)(value >> (8 * i));
    rill__batch_stamp(bytes + SEGMENT_HEADER_SIZE, rill__batch_hash(bytes + SEGMENT_HEADER_SIZE),
                      rill__get64(bytes + SEGMENT_SALT_AT), base,
                      (int32_t)rill__get32(bytes + SEGMENT_HEADER_SIZE + BATCH_EPOCH_AT));
    test_write_file(path, 0, bytes, file_size);
    free(bytes);
}

static void odd_batches_end_it(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    const struct keyed_batch large = {.value_size = 40};

    keyed_append_as(t->log, &k, "aa", &large);
    keyed_write(t->log, &k, "a  a");
    change_batch(0, BATCH_EPOCH_AT, 1000, 4); /* the next one has a smaller one */
    FAILS(RILL_ERR_CORRUPT, compact_it(t->log, &report));
    assert_non_null(strstr(test_message(), "epoch"));
    change_batch(0, BATCH_EPOCH_AT, 1, 4);
    change_batch(0, BATCH_HEADER_SIZE + RECORD_KEY_SIZE_AT, 200, 4);
    FAILS(RILL_ERR_CORRUPT, compact_it(t->log, &report));
    assert_non_null(strstr(test_message(), "record number 0 runs out"));
    change_batch(0, BATCH_HEADER_SIZE + RECORD_KEY_SIZE_AT, 5 | RECORD_HAS_HEADERS, 4);
    change_batch(0, BATCH_RAW_SIZE_AT, 80, 4);
    change_batch(0, BATCH_PACKED_SIZE_AT, 80, 4);
    change_batch(0, BATCH_ATTRIBUTES_AT, 5, 2); /* a codec that is not there */
    if (compact_it(t->log, &report) == 0) fail();
    assert_int_equal(report.segments_before, 0);
}

static void segment_of_a_later_version_ends_it(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;
    uint8_t *bytes;
    size_t size;

    keyed_write(t->log, &k, "aa  aa  a");
    bytes = test_read_file(test_segment_path(2, "log"), &size);
    rill__put16(bytes + SEGMENT_VERSION_AT, 3);
    rill__put64(bytes + SEGMENT_CHECKSUM_AT, rill__checksum(bytes, SEGMENT_CHECKSUM_AT));
    test_write_file(test_segment_path(2, "log"), 0, bytes, SEGMENT_HEADER_SIZE);
    free(bytes);
    FAILS(RILL_ERR_FORMAT, compact_it(t->log, &report));
    assert_int_equal(report.segments_before, 1);
}

/* What one batch cannot tell is told by two. */
static void gaps_may_be_very_long(void **state)
{
    struct test_log *t = *state;
    const int64_t far = INT64_C(5000000000);
    struct log_cursor cursor;
    struct batch_view view;
    uint32_t count = 0;
    uint32_t empty = 0;
    bool more = true;

    keyed_write(t->log, &k, "ab a  ");
    OK(rill__log_skip(t->log, far, INT64_MAX));
    keyed_roll(t->log);
    OK(rill__log_sync(t->log, far, INT64_MAX));
    keyed_compact(t->log);
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 0));
    for (;;) {
        OK(rill__cursor_step(&cursor, far, true, &view, &more));
        rill__cursor_release(&cursor);
        if (!more) break;
        count += view.record_count;
        if (view.record_count == 0) empty++;
    }
    assert_int_equal(cursor.offset, far);
    rill__cursor_deinit(&cursor);
    assert_int_equal(count, 2);
    assert_in_range(empty, 3, 4);
    assert_true(header_of(t, 0).end < far); /* what is so long does not go into one */
}

static void far_deadline_stops_nothing(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;
    const struct keyed_batch large = {.value_size = 1500};

    for (int i = 0; i < 3; i++) {
        keyed_append_as(t->log, &k, i == 1 ? "cd" : "ab", &large);
        keyed_write(t->log, &k, "  ");
    }
    what.deadline_ns = rill__deadline(600000);
    OK(rill__log_compact(t->log, &what, &report));
    assert_true(report.finished);
    keyed_holds(t->log, &k, "c2 d3 a4 b5");
}

/* What was aborted stays where the map does not reach, as all does. */
static void aborted_batches_behind_the_map_stay(void **state)
{
    struct test_log *t = *state;
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;
    int left = 1;

    keyed_append(t->log, &k, "abcd");
    append_in_transaction(t->log, "xyz", 5, 1);
    keyed_end(t->log, &k, 5, 1, false);
    keyed_write(t->log, &k, "a  ");
    what.memory_bytes = 0;
    what.stop = stop_after;
    what.stop_arg = &left;
    OK(rill__log_compact(t->log, &what, &report));
    assert_false(report.finished);
    keyed_holds(t->log, &k, "a0 b1 c2 d3 x4 y5 z6 !7 a8");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "b1 c2 d3 !7 a8");
}

/* ---- By chance ---- */

static void any_log_against_the_model(void **state)
{
    struct test_random random = test_random_seeded(5);
    struct test_log *t = *state;
    bool there[KEYED_MAX];

    for (int round = 0; round < 60; round++) {
        int64_t now_ms = 1000000000;
        int64_t clean = 0;
        int64_t start = 0;

        for (int step = 0; step < 40; step++) {
            static const char letters[] = "aaabbcdefgABC.";
            struct keyed_batch as = {0};
            char records[12];
            size_t count = 1 + test_random_below(&random, 10);
            struct log_compaction what = keyed_compaction();
            struct log_compaction_report report;
            int left = (int)test_random_below(&random, 6);

            for (size_t i = 0; i < count; i++)
                records[i] = letters[test_random_below(&random, sizeof letters - 1)];
            records[count] = '\0';
            if (test_random_below(&random, 3) == 0) as.value_size = 100 + count * 20;
            if (test_random_below(&random, 4) == 0) as.producer_id = 1 + step % 3;
            if (test_random_below(&random, 8) == 0) as.attributes = BATCH_CONTROL;
            if (test_random_below(&random, 8) == 0) as.attributes = BATCH_APPEND_TIME;
            keyed_append_as(t->log, &k, records, &as);
            if (test_random_below(&random, 4) == 0) keyed_roll(t->log);
            if (test_random_below(&random, 5) != 0) continue;
            OK(rill__log_sync(t->log, k.end, INT64_MAX));
            if (test_random_below(&random, 4) == 0)
                OK(rill__log_delete_before(
                    t->log,
                    start +
                        (int64_t)test_random_below(&random, (uint64_t)(k.end - start) / 2 + 1),
                    INT64_MAX, &start));
            now_ms += (int64_t)test_random_below(&random, 3000000);
            what.now_ms = now_ms;
            what.memory_bytes = test_random_below(&random, 3) * 200;
            if (test_random_below(&random, 2) == 0) {
                what.stop = stop_after;
                what.stop_arg = &left;
            }
            OK(rill__log_compact(t->log, &what, &report));
            if (report.finished) clean = atomic_load(&t->log->control->active_base);
            if (test_random_below(&random, 3) == 0) OK(test_log_restart(t));
            keyed_parse(keyed_text(t->log, &k, start), there);
            right(
                keyed_wrong(&k, start, k.end, atomic_load(&t->log->control->active_base), there));
            right(keyed_unclean(&k, start, clean, there));
        }
        test_log_deinit(t);
        memset(&k, 0, sizeof k);
        test_log_init(t);
        OK(test_log_open(t));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(last_of_each_key_stays),
                                       TEST(active_segment_is_left_alone),
                                       TEST(empty_log_has_nothing_to_do),
                                       TEST(what_is_not_durable_is_left_alone),
                                       TEST(what_is_beyond_the_limit_is_left_alone),
                                       TEST(young_segments_are_left_alone),
                                       TEST(age_is_known_without_an_index),
                                       TEST(records_without_a_key_stay),
                                       TEST(control_records_stay_and_supersede_nothing),
                                       TEST(committed_records_count_and_aborted_ones_go),
                                       TEST(what_may_yet_be_aborted_is_left_alone),
                                       TEST(last_batch_of_an_aborted_producer_stays),
                                       TEST(little_dirt_is_left_alone),
                                       TEST(tombstones_go_when_their_time_is_over),
                                       TEST(tombstones_may_stay_for_ever),
                                       TEST(tombstones_in_the_head_have_no_time_yet),
                                       TEST(tombstone_hides_only_what_is_before),
                                       TEST(segment_says_what_it_is),
                                       TEST(what_is_gone_takes_no_room),
                                       TEST(all_may_be_gone),
                                       TEST(large_batch_before_a_gap_is_copied),
                                       TEST(batches_keep_what_they_are),
                                       TEST(last_batch_of_each_producer_stays),
                                       TEST(times_of_appends_stay),
                                       TEST(compressed_batches_are_compressed_again),
                                       TEST(little_is_not_compressed),
                                       TEST(segment_may_grow),
                                       TEST(with_little_memory_it_takes_more_passes),
                                       TEST(behind_a_full_map_nothing_changes),
                                       TEST(producers_count_in_the_map),
                                       TEST(stopped_it_goes_on_later),
                                       TEST(deadline_that_is_over_allows_one_segment),
                                       TEST(small_neighbours_are_merged),
                                       TEST(what_does_not_change_is_not_written_again),
                                       TEST(damage_ends_it),
                                       TEST(damage_in_what_is_clean_ends_it),
                                       TEST(any_flipped_bit_ends_it_or_means_nothing),
                                       TEST(missing_segment_ends_it),
                                       TEST(one_at_a_time),
                                       TEST(poisoned_log_is_refused),
                                       TEST(any_call_may_fail),
                                       TEST(process_may_die_at_any_call),
                                       TEST(without_memory_nothing_is_lost),
                                       TEST(on_a_full_disk_nothing_is_lost),
                                       TEST(readers_go_on_from_wherever_they_are),
                                       TEST(any_offset_can_be_read_from),
                                       TEST(times_are_found_in_what_is_left),
                                       TEST(log_may_begin_inside_a_compacted_segment),
                                       TEST(leftovers_are_not_taken_for_the_log),
                                       TEST(copy_is_of_one_layout),
                                       TEST(deletion_may_come_at_any_time),
                                       TEST(poison_may_come_at_any_time),
                                       TEST(odd_batches_end_it),
                                       TEST(segment_of_a_later_version_ends_it),
                                       TEST(gaps_may_be_very_long),
                                       TEST(far_deadline_stops_nothing),
                                       TEST(aborted_batches_behind_the_map_stay),
                                       TEST(any_log_against_the_model)};
    /* Thousands of syncs, that nobody doubts here. */
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
