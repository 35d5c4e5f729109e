/*
 * What a partition's log knows of its producers: a batch that comes again is stored
 * once, whoever appends it, over restarts, reboots, rolls and without the checkpoint; a
 * gap is refused; and where what may change yet begins is right at every moment.
 */
#include "base/bytes.h"
#include "faults.h"
#include "logs.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FOREVER_NS INT64_MAX

static uint8_t buffer[4096] __attribute__((aligned(8)));

/* One batch of count records; returns what append says. */
static int put(struct log *log, int64_t id, int epoch, int32_t sequence, int count,
               bool transactional, int64_t *offset)
{
    rill_record record = RILL_RECORD_INIT;
    struct batch batch;

    record.value = (rill_bytes){"value", 5};
    rill__batch_init(&batch, buffer, sizeof buffer);
    for (int i = 0; i < count; i++) assert_true(rill__batch_add(&batch, &record, 1000, NULL));
    batch.producer_id = id;
    batch.producer_epoch = (int16_t)epoch;
    batch.base_sequence = sequence;
    batch.checked = id >= 0;
    if (transactional) batch.attributes |= BATCH_TRANSACTIONAL;
    rill__batch_seal(&batch);
    return rill__log_append(log, &batch, false, FOREVER_NS, offset);
}

static int64_t put_ok(struct log *log, int64_t id, int epoch, int32_t sequence, int count)
{
    int64_t offset = -1;

    OK(put(log, id, epoch, sequence, count, false, &offset));
    return offset;
}

static int64_t put_txn(struct log *log, int64_t id, int epoch, int32_t sequence)
{
    int64_t offset = -1;

    OK(put(log, id, epoch, sequence, 1, true, &offset));
    return offset;
}

static void is_there(struct log *log, int64_t id, int epoch, int32_t sequence, int count,
                     int64_t at)
{
    int64_t end = rill__log_end(log);
    int64_t offset = -1;

    assert_int_equal(put(log, id, epoch, sequence, count, false, &offset), LOG_DUPLICATE);
    assert_int_equal(offset, at);
    assert_int_equal(rill__log_end(log), end);
}

static void end_it(struct log *log, int64_t id, int epoch, bool commit)
{
    OK(rill__log_end_transaction(log, id, (int16_t)epoch, commit, false, FOREVER_NS));
}

static int32_t expected(struct log *log, int64_t id)
{
    int32_t sequence = -7;

    OK(rill__log_expected(log, id, &sequence));
    return sequence;
}

/* ---- Sequences -------------------------------------------------------- */

static void what_comes_again_is_stored_once(void **state)
{
    struct test_log *t = *state;
    int64_t offset;

    assert_int_equal(put_ok(t->log, 7, 0, 0, 3), 0);
    assert_int_equal(put_ok(t->log, -1, -1, -1, 2), 3);
    assert_int_equal(put_ok(t->log, 7, 0, 3, 2), 5);
    is_there(t->log, 7, 0, 0, 3, 0);
    is_there(t->log, 7, 0, 3, 2, 5);
    FAILS(RILL_ERR_SEQUENCE, put(t->log, 7, 0, 6, 1, false, &offset));
    assert_non_null(strstr(test_message(), "the next of producer id 7 is 5"));
    FAILS(RILL_ERR_SEQUENCE, put(t->log, 7, 0, 0, 2, false, &offset));
    assert_int_equal(put_ok(t->log, 7, 1, 5, 1), 7);
    FAILS(RILL_ERR_FENCED, put(t->log, 7, 0, 6, 1, false, &offset));
    assert_int_equal(rill__log_end(t->log), 8);
    assert_int_equal(expected(t->log, 7), 6);
    assert_int_equal(expected(t->log, 8), -1);
}

/* The other process has appended since. */
static void processes_know_what_others_did(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);

    put_ok(t->log, 7, 0, 0, 1);
    is_there(other, 7, 0, 0, 1, 0);
    put_ok(other, 7, 0, 1, 1);
    put_ok(other, 9, 0, 0, 1);
    is_there(t->log, 7, 0, 1, 1, 1);
    assert_int_equal(put_ok(t->log, 7, 0, 2, 1), 3);
    is_there(other, 7, 0, 2, 1, 3);
    rill__log_close(other);
}

static void over_rolls_and_restarts(void **state)
{
    struct test_log *t = *state;
    int64_t first = 0;
    uint32_t segments;
    uint64_t bytes;

    for (int32_t i = 0; i < 200; i++) {
        int64_t offset = put_ok(t->log, 7, 0, i, 1);
        if (i == 195) first = offset;
    }
    OK(rill__log_segments(t->log, &segments, &bytes));
    assert_true(segments > 2);
    OK(test_log_restart(t));
    is_there(t->log, 7, 0, 195, 1, first);
    assert_int_equal(expected(t->log, 7), 200);
    OK(rill__log_sync(t->log, 200, FOREVER_NS));
    OK(test_log_reboot(t));
    is_there(t->log, 7, 0, 195, 1, first);
    put_ok(t->log, 7, 0, 200, 1);
}

/* ---- The checkpoint --------------------------------------------------- */

static int checkpoint(struct log *log)
{
    return rill__log_checkpoint_producers(log, UINT64_MAX, 0);
}

static const char *checkpoint_path(void)
{
    return test_path("producers");
}

static void a_checkpoint_knows_what_is_gone(void **state)
{
    struct test_log *t = *state;
    int64_t start;

    OK(checkpoint(t->log)); /* nobody has asked */
    assert_false(test_exists(checkpoint_path()));
    for (int32_t i = 0; i < 200; i++) put_ok(t->log, 7, 0, i, 1);
    OK(checkpoint(t->log)); /* not durable yet: a power cut would make it a liar */
    assert_false(test_exists(checkpoint_path()));
    OK(rill__log_sync(t->log, 200, FOREVER_NS));
    OK(rill__log_checkpoint_producers(t->log, UINT64_MAX, 201));
    assert_false(test_exists(checkpoint_path())); /* too few since the last one */
    OK(checkpoint(t->log));
    assert_true(test_exists(checkpoint_path()));
    for (int i = 0; i < 200; i++) put_ok(t->log, -1, -1, -1, 1);
    OK(rill__log_delete_before(t->log, 300, FOREVER_NS, &start));
    OK(test_log_restart(t));
    assert_int_equal(expected(t->log, 7), 200); /* none of its batches is there any more */
    is_there(t->log, 7, 0, 199, 1, 199);
}

static void without_a_checkpoint_the_log_is_read(void **state)
{
    struct test_log *t = *state;

    for (int32_t i = 0; i < 100; i++) put_ok(t->log, 7, 0, i, 1);
    OK(rill__log_sync(t->log, 100, FOREVER_NS));
    OK(checkpoint(t->log));
    test_flip(checkpoint_path(), 40, 1);
    OK(test_log_restart(t));
    is_there(t->log, 7, 0, 99, 1, 99);
    test_log_close(t);
    assert_int_equal(truncate(checkpoint_path(), 0), 0);
    OK(test_log_open(t));
    is_there(t->log, 7, 0, 99, 1, 99);
    test_log_close(t);
    assert_int_equal(unlink(checkpoint_path()), 0);
    OK(test_log_open(t));
    is_there(t->log, 7, 0, 99, 1, 99);
}

/* One of another partition, or of a longer log. */
static void a_foreign_checkpoint_is_none(void **state)
{
    struct test_log *t = *state;
    uint8_t *bytes;
    size_t size;

    for (int32_t i = 0; i < 10; i++) put_ok(t->log, 7, 0, i, 1);
    OK(rill__log_sync(t->log, 10, FOREVER_NS));
    OK(checkpoint(t->log));
    bytes = test_read_file(checkpoint_path(), &size);
    test_log_deinit(t);

    test_log_init(t);
    OK(test_log_open(t));
    put_ok(t->log, 8, 0, 0, 1);
    assert_int_equal(close(creat(checkpoint_path(), 0600)), 0);
    test_write_file(checkpoint_path(), 0, bytes, size); /* beyond what is durable here */
    free(bytes);
    OK(test_log_restart(t));
    assert_int_equal(expected(t->log, 7), -1);
    assert_int_equal(expected(t->log, 8), 1);
}

static void a_checkpoint_that_fails_is_told(void **state)
{
    struct test_log *t = *state;

    put_ok(t->log, 7, 0, 0, 1);
    OK(rill__log_sync(t->log, 1, FOREVER_NS));
    for (int call = 0; call < 2; call++) {
        faults_fail(call == 0 ? FAULT_PWRITE : FAULT_FDATASYNC, "producers", 1, EIO, FAULT_ONCE);
        assert_int_not_equal(checkpoint(t->log), 0);
        faults_clear();
    }
    t->heap.bytes_max = 1;
    assert_int_equal(checkpoint(t->log), RILL_ERR_NO_MEMORY);
    t->heap.bytes_max = 0;
    OK(checkpoint(t->log));
    OK(checkpoint(t->log)); /* nothing new */
}

static void put_later(struct log *log, int64_t id, int64_t time_ms)
{
    rill_record record = RILL_RECORD_INIT;
    struct batch batch;
    int64_t offset;

    record.timestamp_ms = time_ms;
    rill__batch_init(&batch, buffer, sizeof buffer);
    assert_true(rill__batch_add(&batch, &record, time_ms, NULL));
    batch.producer_id = id;
    batch.producer_epoch = 0;
    batch.base_sequence = 0;
    batch.checked = true;
    rill__batch_seal(&batch);
    OK(rill__log_append(log, &batch, false, FOREVER_NS, &offset));
}

static void old_producers_are_forgotten(void **state)
{
    struct test_log *t = *state;

    put_ok(t->log, 7, 0, 0, 1); /* time 1000 */
    put_later(t->log, 8, 3000);
    OK(rill__log_sync(t->log, 2, FOREVER_NS));
    OK(rill__log_checkpoint_producers(t->log, 2000, 0));
    assert_int_equal(expected(t->log, 7), 1);
    put_later(t->log, 9, 3001);
    OK(rill__log_sync(t->log, 3, FOREVER_NS));
    OK(rill__log_checkpoint_producers(t->log, 2000, 0));
    assert_int_equal(expected(t->log, 7), -1);
    assert_int_equal(expected(t->log, 8), 1);
    put_ok(t->log, 7, 0, 55, 1); /* any would do */
}

/* ---- Transactions ----------------------------------------------------- */

static bool aborted(struct log *log, int64_t offset)
{
    struct log_cursor cursor;
    struct batch_view view;
    bool is = false;

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, offset));
    OK(rill__cursor_next(&cursor, rill__log_end(log), true, &view));
    OK(rill__log_is_aborted(log, &view, &is));
    rill__cursor_deinit(&cursor);
    return is;
}

static void stable_is(struct test_log *t, int64_t offset)
{
    assert_int_equal(rill__log_stable(t->log), offset);
}

static void the_earliest_open_one_counts(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct open_transaction open[4];
    size_t from = 0;
    size_t count;

    stable_is(t, 0);
    put_ok(t->log, -1, -1, -1, 1); /* 0 */
    stable_is(t, 1);
    put_txn(t->log, 1, 0, 0); /* 1 */
    put_txn(other, 2, 0, 0);  /* 2 */
    put_txn(t->log, 1, 0, 1); /* 3 */
    stable_is(t, 1);
    OK(rill__log_open_transactions(other, &from, open, 4, &count));
    assert_int_equal(count, 2);
    from = 0;
    OK(rill__log_open_transactions(other, &from, open, 1, &count));
    assert_int_equal(count, 1);
    OK(rill__log_open_transactions(other, &from, open + 1, 1, &count));
    assert_int_equal(count, 1); /* the other one */
    assert_int_equal(open[0].producer_id + open[1].producer_id, 3);
    OK(rill__log_open_transactions(other, &from, open, 4, &count));
    assert_int_equal(count, 0);
    end_it(other, 1, 0, false); /* 4: its marker, by another process */
    stable_is(t, 2);
    assert_int_equal(rill__log_first_open(t->log), 2);
    end_it(t->log, 2, 0, true); /* 5 */
    stable_is(t, 6);
    assert_int_equal(rill__log_first_open(t->log), INT64_MAX);
    from = 0;
    OK(rill__log_open_transactions(t->log, &from, open, 4, &count));
    assert_int_equal(count, 0);
    assert_true(aborted(t->log, 1));
    assert_false(aborted(t->log, 2));
    assert_true(aborted(t->log, 3));
    assert_true(aborted(other, 3));
    rill__log_close(other);
}

/* One of a later epoch is another one: it begins when the earlier one has ended. */
static void a_later_epoch_takes_nothing_over(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    int64_t offset;

    put_txn(t->log, 7, 3, 0);
    put_txn(t->log, 7, 3, 1); /* goes on */
    assert_int_equal(put(other, 7, 4, 0, 1, true, &offset), LOG_UNSETTLED);
    assert_int_equal(put(t->log, 7, 5, 2, 1, true, &offset), LOG_UNSETTLED);
    put_txn(t->log, 9, 4, 0); /* of another one */
    assert_int_equal(rill__log_end(t->log), 3);
    end_it(other, 7, 3, false);
    assert_int_equal(put_txn(other, 7, 4, 0), 4);
    assert_int_equal(rill__log_first_open(t->log), 2);
    rill__log_close(other);
}

static void a_transaction_ends_once(void **state)
{
    struct test_log *t = *state;
    int64_t offset;

    end_it(t->log, 1, 0, true); /* none is open */
    assert_int_equal(rill__log_end(t->log), 0);
    put_txn(t->log, 1, 0, 0);
    end_it(t->log, 1, 0, true);
    end_it(t->log, 1, 0, false); /* too late */
    assert_int_equal(rill__log_end(t->log), 2);
    assert_false(aborted(t->log, 0));
    FAILS(RILL_ERR_FENCED, put(t->log, 1, 0, 1, 1, true, &offset)); /* late */
    put_txn(t->log, 1, 1, 0);
    end_it(t->log, 1, 0, false); /* of the one before */
    stable_is(t, 2);
    end_it(t->log, 1, 1, false);
    stable_is(t, 4);
    assert_true(aborted(t->log, 2));
}

static void a_marker_ends_its_own_epoch(void **state)
{
    struct test_log *t = *state;

    put_txn(t->log, 7, 3, 0);
    end_it(t->log, 7, 4, true);
    end_it(t->log, 7, 2, true);
    assert_int_equal(rill__log_end(t->log), 1);
    assert_int_equal(rill__log_stable(t->log), 0);
    end_it(t->log, 7, 3, false);
    assert_int_equal(rill__log_stable(t->log), 2);
}

static void open_ones_are_found_again(void **state)
{
    struct test_log *t = *state;

    put_ok(t->log, -1, -1, -1, 1);
    put_txn(t->log, 1, 0, 0); /* 1 */
    for (int i = 0; i < 100; i++) put_ok(t->log, -1, -1, -1, 1);
    stable_is(t, 1);
    OK(test_log_restart(t)); /* the control block says it */
    stable_is(t, 1);
    OK(rill__log_sync(t->log, rill__log_end(t->log), FOREVER_NS));
    OK(rill__log_checkpoint(t->log)); /* the mark is segments behind it */
    OK(test_log_reboot(t));           /* the mark says that there was one */
    stable_is(t, 1);
    end_it(t->log, 1, 0, true);
    stable_is(t, 103);
    OK(rill__log_sync(t->log, 103, FOREVER_NS));
    OK(rill__log_checkpoint(t->log));
    put_txn(t->log, 2, 0, 0);
    OK(rill__log_sync(t->log, 104, FOREVER_NS)); /* behind the mark: the scan meets it */
    OK(test_log_reboot(t));
    stable_is(t, 103);
    OK(test_log_restart(t));
    stable_is(t, 103);
}

/* The lock's holder died between the commit point and what readers look at. */
static void a_death_leaves_it_right(void **state)
{
    struct test_log *t = *state;
    struct tail_copy tail;

    put_txn(t->log, 1, 0, 0);
    rill__control_tail(t->log->control, &tail);
    assert_int_equal(tail.first_open, 0);
    atomic_store(&t->log->control->first_open, INT64_MAX); /* not yet published */
    OK(rill__log_repair(t->log));
    stable_is(t, 0);
    end_it(t->log, 1, 0, true);
    atomic_store(&t->log->control->first_open, 0); /* published, and not yet lifted */
    OK(rill__log_repair(t->log));
    stable_is(t, 2);
}

static void damage_is_passed_by(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    uint32_t at;

    for (int32_t i = 0; i < 200; i++) put_ok(t->log, 7, 0, i, 1);
    OK(rill__log_sync(t->log, 200, FOREVER_NS));
    at = test_position_of(t->log, 10, &view);
    test_log_close(t);
    test_flip(test_segment_path(0, "log"), at + BATCH_LENGTH_AT, 0xff);
    OK(test_log_open(t));
    assert_int_equal(expected(t->log, 7), 200); /* from the segments behind it */
    assert_true(t->warning_count > 0);
    assert_non_null(strstr(t->said, "is not known"));
    put_ok(t->log, 7, 0, 200, 1);
}

/* Nothing comes behind it that could be read. */
static void damage_in_the_last_segment_is_passed_to_the_end(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    int64_t offset;
    uint32_t at;

    put_ok(t->log, 7, 0, 0, 1);
    put_ok(t->log, 9, 0, 0, 1);
    put_ok(t->log, 7, 0, 1, 1);
    at = test_position_of(t->log, 1, &view);
    test_log_close(t);
    test_flip(test_segment_path(0, "log"), at + BATCH_LENGTH_AT, 0xff);
    OK(test_log_open(t));
    assert_int_equal(expected(t->log, 7), 1);
    assert_int_equal(expected(t->log, 9), -1);
    assert_non_null(strstr(t->said, "in offsets [1, 3) is not known"));
    FAILS(RILL_ERR_SEQUENCE, put(t->log, 7, 0, 2, 1, false, &offset));
    put_ok(t->log, 7, 0, 1, 1);
}

/* It is a hint: the log tells the same. */
static void a_checkpoint_that_cannot_be_read_is_none(void **state)
{
    struct test_log *t = *state;
    struct stat st;

    for (int32_t i = 0; i < 20; i++) put_ok(t->log, 7, 0, i, 1);
    OK(rill__log_sync(t->log, 20, FOREVER_NS));
    OK(rill__log_checkpoint_producers(t->log, 1000000, 1));
    assert_int_equal(stat(test_path("producers"), &st), 0);
    for (int way = 0; way < 4; way++) {
        OK(test_log_restart(t));
        if (way == 0) faults_fail(FAULT_OPENAT, "producers", 1, EACCES, FAULT_ONCE);
        if (way == 1) faults_fail(FAULT_FSTAT, "producers", 2, EIO, FAULT_ONCE);
        if (way == 2) faults_fail(FAULT_PREAD, "producers", 1, EIO, FAULT_ONCE);
        if (way == 3) {
            assert_int_equal(truncate(test_path("producers"), (off_t)65 << 20), 0);
            faults_fail(FAULT_PREAD, "producers", 1, EIO, FAULT_ONCE);
        }
        assert_int_equal(expected(t->log, 7), 20);
        assert_int_equal(faults_count() > 0, way != 3); /* it is not even read */
        faults_clear();
    }
    is_there(t->log, 7, 0, 19, 1, 19);
}

/* What is asked of it then is not known, rather than wrong; and known later. */
static void segments_that_cannot_be_opened_are_told(void **state)
{
    struct test_log *t = *state;
    struct batch_view view = {.base_offset = 0, .producer_id = 7};
    struct open_transaction open[1];
    int64_t first = -7;
    int32_t sequence = -7;
    bool aborted_one = true;
    size_t from = 0;
    size_t count = 7;

    for (int32_t i = 0; i < 100; i++) put_ok(t->log, 7, 0, i, 1);
    put_txn(t->log, 8, 0, 0);
    OK(test_log_restart(t));
    rill__log_drop_idle(t->log);
    for (int call = 0; call < 4; call++) {
        int rc = 0;
        faults_fail(FAULT_OPENAT, "0.log", 1, EACCES, FAULT_DEAD);
        if (call == 0) rc = rill__log_expected(t->log, 7, &sequence);
        if (call == 1) rc = rill__log_is_aborted(t->log, &view, &aborted_one);
        if (call == 2) rc = rill__log_know_first_open(t->log, 101, &first);
        if (call == 3) rc = rill__log_open_transactions(t->log, &from, open, 1, &count);
        assert_int_equal(rc, RILL_ERR_PERMISSION);
        faults_clear();
    }
    assert_int_equal(sequence, -7);
    assert_true(aborted_one);
    assert_int_equal(first, -7);
    assert_int_equal(count, 0);
    assert_int_equal(expected(t->log, 7), 100);
    OK(rill__log_know_first_open(t->log, 101, &first));
    assert_int_equal(first, 100);
    OK(rill__log_open_transactions(t->log, &from, open, 1, &count));
    assert_int_equal(count, 1);
    assert_int_equal(open[0].producer_id, 8);
}

/* Nor where damage is, and where the log goes on behind it. */
static void damage_in_a_log_that_cannot_be_listed_is_told(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    int32_t sequence;
    uint32_t at;

    for (int32_t i = 0; i < 200; i++) put_ok(t->log, 7, 0, i, 1);
    at = test_position_of(t->log, 10, &view);
    test_log_close(t);
    test_flip(test_segment_path(0, "log"), at + BATCH_LENGTH_AT, 0xff);
    for (int n = 1; n < 40; n++) {
        int rc;
        OK(test_log_restart(t));
        faults_fail(FAULT_OPENAT, NULL, (uint64_t)n, EMFILE, FAULT_DEAD);
        rc = rill__log_expected(t->log, 7, &sequence);
        assert_true(rc == 0 || rc == RILL_ERR_IO);
        if (rc == 0) assert_int_equal(sequence, 200);
        faults_clear();
        assert_int_equal(expected(t->log, 7), 200);
    }
}

static void without_memory_nothing_is_appended(void **state)
{
    struct test_log *t = *state;
    int64_t offset;

    put_ok(t->log, 7, 0, 0, 1);
    OK(test_log_restart(t));
    OK(put(t->log, -1, -1, -1, 1, false, &offset));
    t->heap.bytes_max = 1;
    assert_int_equal(put(t->log, 7, 0, 1, 1, false, &offset), RILL_ERR_NO_MEMORY);
    t->heap.bytes_max = 0;
    assert_int_equal(rill__log_end(t->log), 2);
    put_ok(t->log, 7, 0, 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(what_comes_again_is_stored_once),
        WITH_LOG(processes_know_what_others_did),
        WITH_LOG(over_rolls_and_restarts),
        WITH_LOG(a_checkpoint_knows_what_is_gone),
        WITH_LOG(without_a_checkpoint_the_log_is_read),
        WITH_LOG(a_foreign_checkpoint_is_none),
        WITH_LOG(a_checkpoint_that_fails_is_told),
        WITH_LOG(old_producers_are_forgotten),
        WITH_LOG(the_earliest_open_one_counts),
        WITH_LOG(a_later_epoch_takes_nothing_over),
        WITH_LOG(a_transaction_ends_once),
        WITH_LOG(a_marker_ends_its_own_epoch),
        WITH_LOG(open_ones_are_found_again),
        WITH_LOG(a_death_leaves_it_right),
        WITH_LOG(damage_is_passed_by),
        WITH_LOG(damage_in_the_last_segment_is_passed_to_the_end),
        WITH_LOG(a_checkpoint_that_cannot_be_read_is_none),
        WITH_LOG(segments_that_cannot_be_opened_are_told),
        WITH_LOG(damage_in_a_log_that_cannot_be_listed_is_told),
        WITH_LOG(without_memory_nothing_is_appended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
