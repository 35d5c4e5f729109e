/*
 * What is said to be durable was synced, in the order that a crash needs; the
 * durable mark has two copies of which one is always whole; and after a sync
 * that failed nobody is acknowledged anything any more, in any process.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "faults.h"
#include "logs.h"
#include <errno.h>

/* The calls that order what gets to disk, as one line of text. */
struct trace {
    char text[4000];
};

static void note(void *arg, const struct fault_event *event)
{
    struct trace *trace = arg;
    size_t used = strlen(trace->text);
    char *at = trace->text + used;
    size_t room = sizeof trace->text - used;
    bool control = strcmp(event->name, "control") == 0;

    if (event->call == FAULT_FDATASYNC) {
        if (control) snprintf(at, room, "sync control; ");
        else
            snprintf(at, room, "sync %llu%s; ", strtoull(event->name, NULL, 10),
                     event->name + 20);
    }
    if (event->call == FAULT_FSYNC) snprintf(at, room, "sync directory; ");
    if (event->call == FAULT_PWRITE && control)
        snprintf(at, room, "mark %c; ", event->at == MARK_A_AT ? 'A' : 'B');
}

static struct mark read_mark(void)
{
    struct file dir = test_log_directory();
    struct file control = FILE_NONE;
    struct mark mark;

    OK(rill__file_open(&dir, "control", FILE_READ, &control));
    OK(rill__mark_read(&control, &mark));
    rill__file_close(&control);
    rill__file_close(&dir);
    return mark;
}

static int try_read_mark(void)
{
    struct file dir = test_log_directory();
    struct file control = FILE_NONE;
    struct mark mark;
    int rc;

    OK(rill__file_open(&dir, "control", FILE_READ, &control));
    rc = rill__mark_read(&control, &mark);
    rill__file_close(&control);
    rill__file_close(&dir);
    return rc;
}

static void sync_moves_the_durable_end(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);

    for (int64_t end = 2; end <= 20; end += 2) {
        test_append_ok(t->log, 2, 200);
        assert_int_equal(rill__log_durable(t->log), end - 2);
        OK(rill__log_sync(end % 4 == 0 ? other : t->log, end, INT64_MAX));
        assert_int_equal(rill__log_durable(t->log), end);
        assert_int_equal(rill__log_durable(other), end);
    }
    rill__log_close(other);
}

static void sync_of_an_empty_log_is_done(void **state)
{
    struct test_log *t = *state;

    OK(rill__log_sync(t->log, 0, INT64_MAX));
    OK(rill__log_checkpoint(t->log));
    assert_int_equal(atomic_load(&t->syncs), 0);
}

static void what_is_durable_is_not_synced_again(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 4, 100);
    OK(rill__log_sync(t->log, 1, INT64_MAX));
    faults_fail(FAULT_FDATASYNC | FAULT_FSYNC, NULL, 0, 0, FAULT_ONCE);
    for (int64_t end = 0; end <= 4; end++) OK(rill__log_sync(t->log, end, INT64_MAX));
    assert_int_equal(faults_count(), 0);
}

static void sync_reaches_every_segment_and_the_directory(void **state)
{
    struct test_log *t = *state;
    struct trace trace = {""};
    char want[200];
    int64_t bases[3];

    test_append_ok(t->log, 1, 100);
    OK(rill__log_sync(t->log, 1, INT64_MAX));
    test_append_segments(t->log, 3);
    OK(rill__log_base_after(t->log, 0, &bases[1]));
    OK(rill__log_base_after(t->log, bases[1], &bases[2]));
    faults_watch(note, &trace);
    OK(rill__log_sync(t->log, rill__log_end(t->log), INT64_MAX));
    snprintf(want, sizeof want, "sync 0.log; sync %lld.log; sync %lld.log; sync directory; ",
             (long long)bases[1], (long long)bases[2]);
    assert_string_equal(trace.text, want);
    trace.text[0] = '\0';
    test_append_ok(t->log, 1, 8);
    OK(rill__log_sync(t->log, rill__log_end(t->log), INT64_MAX));
    snprintf(want, sizeof want, "sync %lld.log; ", (long long)bases[2]);
    assert_string_equal(trace.text, want);
}

static void mark_follows_what_it_speaks_of(void **state)
{
    struct test_log *t = *state;
    struct trace trace = {""};

    test_append_ok(t->log, 1, 100);
    faults_watch(note, &trace);
    OK(rill__log_checkpoint(t->log));
    assert_string_equal(trace.text, "sync 0.log; sync directory; sync 0.index; mark B; "
                                    "sync control; ");
    trace.text[0] = '\0';
    test_append_ok(t->log, 1, 100);
    OK(rill__log_checkpoint(t->log));
    assert_string_equal(trace.text, "sync 0.log; sync 0.index; mark A; sync control; ");
    trace.text[0] = '\0';
    OK(rill__log_checkpoint(t->log));
    assert_string_equal(trace.text, "");
}

/* A roll after the sync: the mark names the new segment, so that has to be on
 * disk too, although no record is in it. */
static void mark_names_only_segments_that_are_durable(void **state)
{
    struct test_log *t = *state;
    struct trace trace = {""};
    uint32_t next_ms = UINT32_MAX;

    t->config.segment_ms = 0;
    OK(test_log_restart(t));
    test_append_ok(t->log, 2, 100);
    OK(rill__log_sync(t->log, 2, INT64_MAX));
    while (atomic_load(&t->rolls) < 2) {
        OK(rill__log_maintain(t->log, &next_ms));
        usleep(1000);
    }
    faults_watch(note, &trace);
    OK(rill__log_checkpoint(t->log));
    assert_int_equal(read_mark().segment, 2);
    assert_string_equal(trace.text, "sync 2.log; sync directory; sync 2.index; mark A; "
                                    "sync control; ");
}

static void mark_is_lazy(void **state)
{
    struct test_log *t = *state;
    struct mark before = read_mark();
    uint32_t next_ms = UINT32_MAX;

    test_append_ok(t->log, 1, 100);
    OK(rill__log_sync(t->log, 1, INT64_MAX));
    OK(rill__log_maintain(t->log, &next_ms));
    assert_true(next_ms <= t->config.sync_interval_ms);
    assert_int_equal(read_mark().sequence, before.sequence);
    OK(rill__log_checkpoint(t->log));
    assert_int_equal(read_mark().sequence, before.sequence + 1);
}

static void mark_is_written_when_due(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = UINT32_MAX;

    t->config.sync_interval_ms = 0;
    OK(test_log_restart(t));
    test_append_ok(t->log, 1, 100);
    OK(rill__log_sync(t->log, 1, INT64_MAX));
    assert_int_equal(read_mark().durable_end, 1);
    test_append_ok(t->log, 1, 100);
    OK(rill__log_maintain(t->log, &next_ms));
    assert_int_equal(read_mark().durable_end, 2);
    assert_int_equal(rill__log_durable(t->log), 2);
}

static void mark_bytes_are_as_specified(void **state)
{
    struct test_log *t = *state;
    struct tail_copy tail;
    uint8_t *control;
    const uint8_t *mark;
    size_t size;

    test_append_segments(t->log, 2);
    OK(rill__log_checkpoint(t->log)); /* number 4: recovery wrote 3 */
    rill__control_tail(t->log->control, &tail);
    control = test_read_file(test_path("control"), &size);
    assert_int_equal(size, 8192);
    mark = control + 4608;
    assert_memory_equal(mark, "RILLMRK1", 8);
    assert_int_equal(rill__get64(mark + 8), 4);
    assert_int_equal(rill__get64(mark + 16), rill__log_end(t->log));
    assert_int_equal(rill__get64(mark + 24), tail.base);
    assert_int_equal(rill__get32(mark + 32), tail.position);
    assert_int_equal(rill__get32(mark + 36), tail.index_count);
    assert_int_equal(rill__get32(mark + 40), rill__log_epoch(t->log));
    assert_int_equal(rill__get32(mark + 44), 0);
    assert_int_equal(rill__get64(mark + 48), 0);
    assert_int_equal(rill__get64(mark + 56), rill__checksum(mark, 56));
    free(control);
}

static void marks_alternate_and_the_newer_counts(void **state)
{
    struct test_log *t = *state;
    uint8_t *control;
    size_t size;

    for (int64_t end = 1; end <= 8; end++) {
        uint64_t a;
        uint64_t b;
        test_append_ok(t->log, 1, 100);
        OK(rill__log_checkpoint(t->log));
        assert_int_equal(read_mark().durable_end, end);
        control = test_read_file(test_path("control"), &size);
        a = rill__get64(control + MARK_A_AT + 16);
        b = rill__get64(control + MARK_B_AT + 16);
        assert_int_equal(end % 2 == 0 ? a : b, end);
        assert_int_equal(end % 2 == 0 ? b : a, end - 1);
        free(control);
    }
}

static void damaged_newer_mark_gives_the_older(void **state)
{
    struct test_log *t = *state;
    uint64_t newer;
    uint64_t older;

    for (int64_t end = 1; end <= 4; end++) {
        test_append_ok(t->log, 1, 100);
        OK(rill__log_checkpoint(t->log));
        if (end == 1) continue;
        newer = end % 2 == 0 ? MARK_A_AT : MARK_B_AT;
        older = end % 2 == 0 ? MARK_B_AT : MARK_A_AT;
        for (uint64_t at = 0; at < MARK_SIZE; at++) {
            test_flip(test_path("control"), newer + at, 0x10);
            assert_int_equal(read_mark().durable_end, end - 1);
            test_flip(test_path("control"), older + at, 0x10);
            FAILS(RILL_ERR_CORRUPT, try_read_mark());
            assert_non_null(strstr(test_message(), "both durable marks"));
            test_flip(test_path("control"), newer + at, 0x10);
            assert_int_equal(read_mark().durable_end, end);
            test_flip(test_path("control"), older + at, 0x10);
        }
    }
}

static void log_opens_with_one_mark(void **state)
{
    struct test_log *t = *state;

    for (int64_t end = 2; end <= 8; end += 2) {
        uint64_t newer;
        test_append_ok(t->log, 1, 100);
        OK(rill__log_checkpoint(t->log));
        test_append_ok(t->log, 1, 100);
        OK(rill__log_checkpoint(t->log));
        newer = read_mark().sequence % 2 == 0 ? MARK_B_AT : MARK_A_AT;
        test_flip(test_path("control"), newer + 20, 1);
        OK(end % 4 == 0 ? test_log_restart(t) : test_log_reboot(t));
        assert_int_equal(rill__log_end(t->log), end);
        test_check(t->log, 0, end);
    }
}

static void log_does_not_open_without_a_mark(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 1, 100);
    OK(rill__log_checkpoint(t->log));
    test_flip(test_path("control"), MARK_A_AT, 1);
    test_flip(test_path("control"), MARK_B_AT, 1);
    FAILS(RILL_ERR_CORRUPT, test_log_restart(t));
    FAILS(RILL_ERR_CORRUPT, test_log_reboot(t));
    assert_non_null(strstr(test_message(), "control"));
    test_flip(test_path("control"), MARK_B_AT, 1);
    OK(test_log_open(t));
    test_check(t->log, 0, 1);
}

static void lost_index_sync_costs_only_the_hint(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    faults_fail(FAULT_FDATASYNC, "index", 1, EIO, FAULT_ONCE);
    OK(rill__log_checkpoint(t->log));
    assert_int_equal(faults_count(), 1);
    assert_int_equal(read_mark().durable_end, 2);
    assert_int_equal(read_mark().index_count, 0);
}

static void interrupted_sync_is_tried_again(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    faults_fail(FAULT_FDATASYNC | FAULT_FSYNC, NULL, 1, EINTR, FAULT_ONCE);
    OK(rill__log_sync(t->log, 2, INT64_MAX));
    assert_int_equal(faults_count(), 3);
    assert_int_equal(rill__log_durable(t->log), 2);
}

/* Nothing is acknowledged; the kernel is not asked to sync again, for it would
 * answer that all is well. */
static void check_poisoned(struct log *log, int64_t durable)
{
    uint32_t next_ms = UINT32_MAX;
    uint8_t *room;
    int64_t base = -7;

    faults_fail(FAULT_FDATASYNC | FAULT_FSYNC, NULL, 0, 0, FAULT_ONCE);
    FAILS(RILL_ERR_POISONED, rill__log_state(log));
    FAILS(RILL_ERR_POISONED, test_append(log, 1, 8, false, &base));
    FAILS(RILL_ERR_POISONED, test_append(log, 1, 8, true, &base));
    FAILS(RILL_ERR_POISONED, rill__log_reserve(log, 80, INT64_MAX, &room));
    FAILS(RILL_ERR_POISONED, rill__log_sync(log, durable + 1, INT64_MAX));
    FAILS(RILL_ERR_POISONED, rill__log_checkpoint(log));
    FAILS(RILL_ERR_POISONED, rill__log_maintain(log, &next_ms));
    OK(rill__log_sync(log, durable, INT64_MAX)); /* that was, and is, true */
    assert_int_equal(base, -7);
    assert_int_equal(rill__log_durable(log), durable);
    assert_int_equal(faults_count(), 0);
    faults_clear();
}

/* A checkpoint in which the call to the file fails, with others looking on. */
static void fail_checkpoint(struct test_log *t, unsigned call, const char *name, int errno_value,
                            int64_t durable)
{
    struct log *other = test_log_second(t);
    int64_t end = rill__log_end(t->log);
    struct log *later;

    rill__log_arm(other, 3);
    faults_fail(call, name, 1, errno_value, FAULT_ONCE);
    FAILS(rill__code_of_errno(errno_value), rill__log_checkpoint(t->log));
    assert_int_equal(faults_count(), 1);
    assert_true(atomic_load(&t->wake_slots[3].sequence) > 0);
    later = test_log_second(t);
    check_poisoned(t->log, durable);
    check_poisoned(other, durable);
    check_poisoned(later, durable);
    test_check(other, 0, end); /* reading goes on */
    rill__log_close(later);
    rill__log_close(other);
}

static void prepare_durable(struct test_log *t)
{
    test_append_ok(t->log, 2, 100);
    OK(rill__log_checkpoint(t->log));
    test_append_segments(t->log, 2);
}

static void failed_sync_of_a_segment_poisons(void **state)
{
    struct test_log *t = *state;

    prepare_durable(t);
    fail_checkpoint(t, FAULT_FDATASYNC, ".log", EIO, 2);
}

static void full_disk_at_sync_poisons(void **state)
{
    struct test_log *t = *state;

    prepare_durable(t);
    fail_checkpoint(t, FAULT_FDATASYNC, ".log", ENOSPC, 2);
}

static void failed_sync_of_the_directory_poisons(void **state)
{
    struct test_log *t = *state;

    prepare_durable(t);
    fail_checkpoint(t, FAULT_FSYNC, NULL, EIO, 2);
}

static void failed_sync_of_the_mark_poisons(void **state)
{
    struct test_log *t = *state;

    prepare_durable(t);
    fail_checkpoint(t, FAULT_FDATASYNC, "control", EIO, rill__log_end(t->log));
}

static void failed_write_of_the_mark_poisons(void **state)
{
    struct test_log *t = *state;

    prepare_durable(t);
    fail_checkpoint(t, FAULT_PWRITE, "control", EIO, rill__log_end(t->log));
}

static void poison_tells_what_is_durable(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 2, 100);
    OK(rill__log_sync(t->log, 2, INT64_MAX));
    test_append_ok(t->log, 2, 100);
    faults_fail(FAULT_FDATASYNC, NULL, 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, rill__log_sync(t->log, 4, INT64_MAX));
    faults_clear();
    FAILS(RILL_ERR_POISONED, rill__log_sync(t->log, 4, INT64_MAX));
    assert_non_null(strstr(test_message(), "offset 2"));
}

static void poison_ends_with_the_next_recovery(void **state)
{
    struct test_log *t = *state;
    int before = t->recovered_count;

    test_append_ok(t->log, 2, 100);
    OK(rill__log_sync(t->log, 2, INT64_MAX));
    test_append_ok(t->log, 2, 100);
    faults_fail(FAULT_FDATASYNC, NULL, 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, rill__log_sync(t->log, 4, INT64_MAX));
    faults_clear();
    OK(test_log_restart(t));
    assert_int_equal(t->recovered_count, before + 1); /* the control block is not believed */
    assert_int_equal(rill__log_state(t->log), 0);
    assert_true(rill__log_end(t->log) >= 2);
    assert_int_equal(rill__log_durable(t->log), rill__log_end(t->log));
    test_append_ok(t->log, 1, 100);
    OK(rill__log_sync(t->log, rill__log_end(t->log), INT64_MAX));
    test_check(t->log, 0, rill__log_end(t->log));
}

static void sync_wakes_an_armed_slot(void **state)
{
    struct test_log *t = *state;
    uint32_t before;

    test_append_ok(t->log, 1, 100);
    rill__log_arm(t->log, 7);
    before = atomic_load(&t->wake_slots[7].sequence);
    OK(rill__log_sync(t->log, 1, INT64_MAX));
    assert_int_equal(atomic_load(&t->wake_slots[7].sequence), before + 1);
}

static void sync_by_another_may_take_too_long(void **state)
{
    struct test_log *t = *state;

    test_append_ok(t->log, 1, 100);
    assert_int_equal(rill__shared_mutex_trylock(&t->log->control->sync_lock), 0);
    FAILS(RILL_ERR_TIMEOUT, rill__log_sync(t->log, 1, rill__deadline(1)));
    OK(rill__log_checkpoint(t->log)); /* the other one does it */
    rill__shared_mutex_unlock(&t->log->control->sync_lock);
    assert_int_equal(rill__log_durable(t->log), 0);
    OK(rill__log_sync(t->log, 1, INT64_MAX));
}

enum { THREADS = 4, PER_THREAD = 60 };

struct syncer {
    struct log *log;
    struct thread thread;
    int rc;
    bool lied;
};

static void *append_and_sync(void *arg)
{
    struct syncer *s = arg;

    for (int i = 0; i < PER_THREAD && s->rc == 0; i++) {
        _Alignas(8) uint8_t room[256];
        rill_record record = RILL_RECORD_INIT;
        struct batch batch;
        int64_t base = 0;
        rill__batch_init(&batch, room, sizeof room);
        record.value = (rill_bytes){"some bytes", 10};
        if (!rill__batch_add(&batch, &record, 1, NULL)) s->rc = -1;
        rill__batch_seal(&batch);
        if (s->rc == 0) s->rc = rill__log_append(s->log, &batch, i % 2 == 0, INT64_MAX, &base);
        if (s->rc == 0) s->rc = rill__log_sync(s->log, base + 1, INT64_MAX);
        if (s->rc == 0 && rill__log_durable(s->log) < base + 1) s->lied = true;
    }
    return NULL;
}

static void whoever_is_acknowledged_is_durable(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct syncer syncers[THREADS] = {0};

    for (int i = 0; i < THREADS; i++) {
        syncers[i].log = i % 2 == 0 ? t->log : other;
        OK(rill__thread_start(&syncers[i].thread, append_and_sync, &syncers[i]));
    }
    for (int i = 0; i < THREADS; i++) rill__thread_join(&syncers[i].thread);
    for (int i = 0; i < THREADS; i++) {
        OK(syncers[i].rc);
        assert_false(syncers[i].lied);
    }
    assert_int_equal(rill__log_durable(t->log), THREADS * PER_THREAD);
    rill__log_close(other);
}

/* ---- Without opening ---- */

static bool needs_sync(const struct test_log *t)
{
    struct file dir = test_log_directory();
    bool needs = false;

    OK(rill__log_needs_sync(&dir, t->config.boot_id, &needs));
    rill__file_close(&dir);
    return needs;
}

static void what_is_not_durable_is_seen_from_outside(void **state)
{
    struct test_log *t = *state;

    assert_false(needs_sync(t));
    test_append_ok(t->log, 1, 100);
    assert_true(needs_sync(t));
    OK(rill__log_sync(t->log, 1, INT64_MAX));
    assert_false(needs_sync(t));
    test_append_segments(t->log, 3);
    assert_true(needs_sync(t));
    OK(rill__log_checkpoint(t->log));
    assert_false(needs_sync(t));
    test_append_ok(t->log, 1, 100);
    /* Its process is gone, and what it had not yet shown is there all the same. */
    atomic_store(&t->log->control->log_end, rill__log_durable(t->log));
    assert_true(needs_sync(t));
    OK(test_log_restart(t));
    assert_true(needs_sync(t));
    rill__log_mark_deleted(t->log);
    assert_false(needs_sync(t));
}

/* An empty segment whose name is not durable. */
static void a_new_name_is_to_be_synced_too(void **state)
{
    struct test_log *t = *state;
    struct tail_copy tail;

    test_append_ok(t->log, 1, 100);
    OK(rill__log_checkpoint(t->log));
    OK(rill__log_lock(t->log, INT64_MAX));
    rill__control_tail(t->log->control, &tail);
    OK(rill__log_roll(t->log, &tail));
    rill__log_unlock(t->log);
    assert_true(needs_sync(t));
}

static void what_was_there_at_the_boot_is_durable(void **state)
{
    struct test_log *t = *state;
    static const uint8_t unknown[16];

    test_append_ok(t->log, 1, 100);
    memset(t->config.boot_id, 0x77, 16);
    assert_false(needs_sync(t));
    memcpy(t->log->control->boot_id, unknown, 16); /* a recovery that died leaves it so */
    assert_true(needs_sync(t));
}

static void words_that_mean_nothing_are_to_be_looked_into(void **state)
{
    struct test_log *t = *state;
    struct control *c = t->log->control;
    uint64_t magic = c->magic;
    uint64_t abi = c->abi;
    struct file dir = test_log_directory();
    bool needs = true;

    c->magic++; /* another version's */
    assert_true(needs_sync(t));
    c->magic = magic;
    c->abi++;
    assert_true(needs_sync(t));
    c->abi = abi;
    assert_false(needs_sync(t));
    atomic_store(&c->poison, 5);
    assert_true(needs_sync(t));
    atomic_store(&c->poison, 0);
    c->magic = 0; /* nobody has used it yet */
    assert_false(needs_sync(t));
    c->magic = magic;
    assert_int_equal(truncate(test_path("control"), 100), 0);
    FAILS(RILL_ERR_CORRUPT, rill__log_needs_sync(&dir, t->config.boot_id, &needs));
    assert_int_equal(truncate(test_path("control"), CONTROL_SIZE), 0);
    assert_int_equal(rename(test_path("control"), test_path("gone")), 0);
    FAILS(RILL_ERR_NOT_FOUND, rill__log_needs_sync(&dir, t->config.boot_id, &needs));
    assert_int_equal(rename(test_path("gone"), test_path("control")), 0);
    rill__file_close(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_LOG(sync_moves_the_durable_end),
                                       WITH_LOG(sync_of_an_empty_log_is_done),
                                       WITH_LOG(what_is_durable_is_not_synced_again),
                                       WITH_LOG(sync_reaches_every_segment_and_the_directory),
                                       WITH_LOG(mark_follows_what_it_speaks_of),
                                       WITH_LOG(mark_names_only_segments_that_are_durable),
                                       WITH_LOG(mark_is_lazy),
                                       WITH_LOG(mark_is_written_when_due),
                                       WITH_LOG(mark_bytes_are_as_specified),
                                       WITH_LOG(marks_alternate_and_the_newer_counts),
                                       WITH_LOG(damaged_newer_mark_gives_the_older),
                                       WITH_LOG(log_opens_with_one_mark),
                                       WITH_LOG(log_does_not_open_without_a_mark),
                                       WITH_LOG(lost_index_sync_costs_only_the_hint),
                                       WITH_LOG(interrupted_sync_is_tried_again),
                                       WITH_LOG(failed_sync_of_a_segment_poisons),
                                       WITH_LOG(full_disk_at_sync_poisons),
                                       WITH_LOG(failed_sync_of_the_directory_poisons),
                                       WITH_LOG(failed_sync_of_the_mark_poisons),
                                       WITH_LOG(failed_write_of_the_mark_poisons),
                                       WITH_LOG(poison_tells_what_is_durable),
                                       WITH_LOG(poison_ends_with_the_next_recovery),
                                       WITH_LOG(sync_wakes_an_armed_slot),
                                       WITH_LOG(sync_by_another_may_take_too_long),
                                       WITH_LOG(whoever_is_acknowledged_is_durable),
                                       WITH_LOG(what_is_not_durable_is_seen_from_outside),
                                       WITH_LOG(a_new_name_is_to_be_synced_too),
                                       WITH_LOG(what_was_there_at_the_boot_is_durable),
                                       WITH_LOG(words_that_mean_nothing_are_to_be_looked_into)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
