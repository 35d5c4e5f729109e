/*
 * A segment that is gone becomes the next one, blocks and all, but never under
 * somebody who may still read it; and nothing that it held before is ever taken for a
 * part of the log, whatever dies or is torn.
 */
#include "base/bytes.h"
#include "faults.h"
#include "logs.h"
#include <errno.h>
#include <sys/stat.h>

static ino_t inode_of(const char *name)
{
    struct stat st;

    if (stat(test_path(name), &st) != 0) return 0;
    return st.st_ino;
}

static ino_t inode_of_segment(int64_t base)
{
    char name[SEGMENT_NAME_SIZE];

    rill__segment_name(base, "log", name);
    return inode_of(name);
}

static int64_t active(struct log *log)
{
    return atomic_load(&log->control->active_base);
}

/* Sealed segments of which the first few are deleted; the oldest one's inode. */
static ino_t delete_one(struct test_log *t)
{
    ino_t inode;

    test_append_segments(t->log, 4);
    inode = inode_of_segment(0);
    OK(rill__log_delete_before(t->log, active(t->log), INT64_MAX, NULL));
    return inode;
}

static void roll(struct log *log)
{
    int64_t base = active(log);

    while (active(log) == base) test_append_ok(log, 2, 150);
}

static void oldest_segment_becomes_the_next(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = UINT32_MAX;
    int64_t start;
    ino_t inode;

    inode = delete_one(t);
    start = rill__log_start(t->log);
    assert_int_equal(inode_of("next.log"), inode);
    assert_true(inode_of("next.index") != 0);
    while (atomic_load(&t->log->control->tail_position) < 3000) test_append_ok(t->log, 2, 150);
    OK(rill__log_maintain(t->log, &next_ms)); /* one is prepared */
    assert_int_equal(inode_of("next.log"), inode);
    roll(t->log);
    assert_int_equal(inode_of_segment(active(t->log)), inode);
    assert_int_equal(inode_of("next.log"), 0);
    test_append_ok(t->log, 3, 100);
    test_check(t->log, start, rill__log_end(t->log));
    OK(test_log_restart(t));
    test_check(t->log, start, rill__log_end(t->log));
    OK(test_log_reboot(t));
    assert_int_equal(t->warning_count, 0);
    test_check(t->log, start, rill__log_end(t->log));
    roll(t->log);
    test_check(t->log, start, rill__log_end(t->log));
}

/* Round after round a file that was there, with ever other batches in it. */
static void it_goes_round(void **state)
{
    struct test_log *t = *state;
    int seen = 0;

    for (int round = 0; round < 40; round++) {
        test_append_ok(t->log, 1 + round % 3, 100 + (size_t)round * 17 % 900);
        if (round % 5 == 1) OK(rill__log_sync(t->log, rill__log_end(t->log), INT64_MAX));
        ino_t inode = inode_of("next.log");
        roll(t->log);
        if (inode != 0 && inode_of_segment(active(t->log)) == inode) seen++;
        OK(rill__log_delete_before(t->log, active(t->log), INT64_MAX, NULL));
        if (round % 7 == 3) OK(test_log_reboot(t));
        if (round % 7 == 5) OK(test_log_restart(t));
        test_check(t->log, rill__log_start(t->log), rill__log_end(t->log));
    }
    assert_true(seen > 20);
}

/* ---- Not under a reader ---- */

enum reason {
    PINNED_HERE,
    PINNED_ELSEWHERE,
    OLDER_PINNED,
    HELD,
    LINKED,
    SIZE,
    PREPARED,
    COW,
    LOCKED
};

static void not_if_it_will_not_do(void **state)
{
    struct test_log *t = *state;

    for (enum reason reason = PINNED_HERE; reason <= LOCKED; reason++) {
        struct log *other;
        struct log_cursor cursor;
        struct batch_view view;
        struct file lock = FILE_NONE;
        uint32_t next_ms = UINT32_MAX;
        ino_t inode;

        test_log_deinit(t);
        test_log_init(t);
        t->config.copy_on_write = reason == COW;
        OK(test_log_open(t));
        other = test_log_second(t);
        rill__cursor_init(&cursor, reason == PINNED_HERE ? t->log : other);
        test_append_segments(t->log, 4);
        if (reason == PINNED_HERE || reason == PINNED_ELSEWHERE) {
            OK(rill__cursor_seek(&cursor, 0));
            OK(rill__cursor_next(&cursor, 100, true, &view));
        }
        if (reason == OLDER_PINNED) { /* the oldest is what a process says */
            OK(rill__cursor_seek(&cursor, 0));
            OK(rill__log_delete_before(t->log, 1, INT64_MAX, NULL));
        }
        if (reason == HELD) rill__log_hold(other);
        if (reason == LINKED) {
            OK(link(test_segment_path(0, "log"), test_path("second")));
            t->config.segment_bytes = 4096;
        }
        if (reason == SIZE) {
            t->config.segment_bytes = 8192;
            rill__log_configure(t->log, &t->config);
        }
        if (reason == PREPARED) {
            while (atomic_load(&t->log->control->tail_position) < 2100)
                test_append_ok(t->log, 2, 150);
            OK(rill__log_maintain(t->log, &next_ms));
        }
        if (reason == LOCKED) OK(rill__log_lock_file(other, CONTROL_LOCK_PREPARE, 0, &lock));
        inode = inode_of_segment(0);
        if (reason == LINKED) /* all of them, or the next one would do */
            OK(rill__log_delete_before(t->log, rill__log_end(t->log) / 3, INT64_MAX, NULL));
        else OK(rill__log_delete_before(t->log, active(t->log), INT64_MAX, NULL));
        assert_false(test_exists(test_segment_path(0, "log")));
        assert_true(inode_of("next.log") != inode);
        if (reason != PREPARED) assert_int_equal(inode_of("next.log"), 0);
        if (reason == PINNED_HERE || reason == PINNED_ELSEWHERE)
            assert_true(rill__batch_verify(&view, cursor.segment->salt));
        if (reason == HELD) rill__log_let_go(other);
        rill__log_unlock_file(&lock);
        roll(t->log);
        test_check(t->log, rill__log_start(t->log), rill__log_end(t->log));
        rill__cursor_deinit(&cursor);
        rill__log_close(other);
    }
}

static bool all_others_are_gone(void *arg, uint32_t process)
{
    (void)arg, (void)process;
    return true;
}

static void pin_of_a_process_that_is_gone_does_not_count(void **state)
{
    struct test_log *t = *state;
    ino_t inode;

    t->config.process_is_gone = all_others_are_gone;
    OK(test_log_restart(t));
    test_append_segments(t->log, 4);
    atomic_store(&t->log->control->pins[77], 1);
    inode = inode_of_segment(0);
    OK(rill__log_delete_before(t->log, active(t->log), INT64_MAX, NULL));
    assert_int_equal(inode_of("next.log"), inode);
    /* Who opens the log has pinned nothing, whatever stands in his place. */
    atomic_store(&t->log->control->pins[t->config.process], 1);
    test_log_close(t);
    OK(test_log_open(t));
    assert_int_equal(atomic_load(&t->log->control->pins[t->config.process]), 0);
}

/* The other process has it mapped, in reserve, and gets other bytes there. */
static void idle_map_of_a_recycled_segment_is_not_read(void **state)
{
    struct test_log *t = *state;
    struct log *other = test_log_second(t);
    struct log_cursor cursor;
    int64_t old_end;
    int64_t start;
    ino_t inode;

    test_append_segments(t->log, 4);
    old_end = rill__log_end(t->log);
    test_check(other, 0, old_end);
    inode = inode_of_segment(0);
    OK(rill__log_delete_before(t->log, active(t->log), INT64_MAX, NULL));
    start = rill__log_start(t->log);
    assert_int_equal(inode_of("next.log"), inode);
    roll(t->log);
    assert_int_equal(inode_of_segment(active(t->log)), inode);
    rill__cursor_init(&cursor, other);
    for (int64_t offset = 0; offset < start; offset++)
        FAILS(RILL_ERR_RANGE, rill__cursor_seek(&cursor, offset));
    rill__cursor_deinit(&cursor);
    test_check(other, start, rill__log_end(other));
    rill__log_close(other);
}

/* Just when the name has been taken away somebody says that he wants it. */
static struct test_log *watched;
static struct log *late_reader;
static struct segment *late_segment;

static void pin_late(void *arg, const struct fault_event *event)
{
    (void)arg;
    if (event->call != FAULT_RENAMEAT || strcmp(event->name, "recycle-log.tmp") != 0) return;
    if (late_segment != NULL) return;
    /* Before the rename takes effect: by its name. */
    OK(rill__log_pin(late_reader, 0, false, &late_segment));
}

static void pin_that_comes_late_is_seen(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    const char *why;

    watched = t;
    late_reader = test_log_second(t);
    late_segment = NULL;
    test_append_segments(t->log, 2);
    faults_watch(pin_late, NULL);
    OK(rill__log_delete_before(t->log, active(t->log), INT64_MAX, NULL));
    faults_clear();
    assert_non_null(late_segment);
    assert_int_equal(inode_of("next.log"), 0);
    assert_false(test_exists(test_segment_path(0, "log")));
    roll(t->log);
    assert_int_equal(rill__batch_view(late_segment->map.data + SEGMENT_HEADER_SIZE,
                                      late_segment->size - SEGMENT_HEADER_SIZE, &view, &why),
                     BATCH_VALID);
    assert_true(rill__batch_verify(&view, late_segment->salt));
    rill__log_unpin(late_reader, late_segment);
    rill__log_close(late_reader);
}

/* ---- What it held before ---- */

/* Behind the tail stand old batches, whole and in a row. Torn there, the log ends. */
static void old_batches_are_never_read(void **state)
{
    struct test_log *t = *state;
    int64_t start;
    int64_t end;

    for (int torn = 0; torn < 3; torn++) {
        ino_t inode;
        test_log_deinit(t);
        test_log_init(t);
        OK(test_log_open(t));
        inode = delete_one(t);
        roll(t->log);
        assert_int_equal(inode_of_segment(active(t->log)), inode);
        start = rill__log_start(t->log);
        test_append_ok(t->log, 2, 100);
        OK(rill__log_checkpoint(t->log));
        end = rill__log_end(t->log);
        /* Lost, or torn, while the old bytes stand there. */
        if (torn > 0) test_append_ok(t->log, 2, 100);
        if (torn > 0) {
            struct batch_view view;
            uint32_t at = test_position_of(t->log, end, &view);
            test_flip(test_segment_path(active(t->log), "log"), at + (torn == 1 ? 70 : 8), 1);
        }
        OK(test_log_reboot(t));
        assert_int_equal(rill__log_end(t->log), end);
        assert_int_equal(t->warning_count, torn == 1 ? 1 : 0);
        test_check(t->log, start, end);
        test_append_ok(t->log, 1, 100);
        roll(t->log);
        OK(test_log_reboot(t));
        test_check(t->log, start, rill__log_end(t->log));
    }
}

/* The second of three batches is torn: the third, which is whole, must not come back
 * when something as long has taken the place of the second. */
static void discarded_batch_does_not_come_back(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    int64_t torn;
    uint32_t at;

    delete_one(t);
    roll(t->log);
    test_append_ok(t->log, 1, 100);
    OK(rill__log_checkpoint(t->log));
    torn = rill__log_end(t->log);
    test_append_ok(t->log, 2, 100);
    test_append_ok(t->log, 3, 100);
    test_append_ok(t->log, 1, 100);
    at = test_position_of(t->log, torn, &view);
    test_flip(test_segment_path(active(t->log), "log"), at + 80, 1);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), torn);
    assert_int_equal(t->warning_count, 1);
    /* As a crash would leave it: the new one in place, of its epoch nothing else. */
    atomic_fetch_sub(&t->log->control->tails[0].epoch, 1);
    atomic_fetch_sub(&t->log->control->tails[1].epoch, 1);
    test_append_ok(t->log, 2, 100);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), torn + 2);
    test_check(t->log, rill__log_start(t->log), torn + 2);
}

/* The header of the new segment never got to disk. */
static void roll_that_was_lost_shows_as_one(void **state)
{
    static const uint8_t zeros[SEGMENT_HEADER_SIZE];
    struct test_log *t = *state;
    int64_t base;
    size_t size;
    uint8_t *bytes;

    delete_one(t);
    bytes = test_read_file(test_path("next.log"), &size);
    assert_memory_equal(bytes, zeros, sizeof zeros);
    free(bytes);
    OK(rill__log_checkpoint(t->log));
    roll(t->log);
    base = active(t->log);
    test_write_file(test_segment_path(base, "log"), 0, zeros, sizeof zeros);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), base);
    assert_false(test_exists(test_segment_path(base, "log")));
    test_check(t->log, rill__log_start(t->log), base);
    roll(t->log);
    test_check(t->log, rill__log_start(t->log), rill__log_end(t->log));
}

/* ---- Crashes and failures ---- */

static int64_t prepare_deletion(struct test_log *t)
{
    test_log_deinit(t);
    test_log_init(t);
    OK(test_log_open(t));
    test_append_segments(t->log, 5);
    OK(rill__log_move_start(t->log, active(t->log), INT64_MAX));
    return rill__log_start(t->log);
}

static void check_and_go_on(struct test_log *t, int64_t start)
{
    struct log_retained retained = {0, 0, 0};

    assert_int_equal(rill__log_start(t->log), start);
    test_check(t->log, start, rill__log_end(t->log));
    OK(rill__log_sweep(t->log, &retained));
    assert_false(test_exists(test_segment_path(0, "log")));
    roll(t->log);
    roll(t->log);
    test_check(t->log, start, rill__log_end(t->log));
    OK(test_log_reboot(t));
    test_check(t->log, start, rill__log_end(t->log));
    assert_false(test_exists(test_path("recycle-log.tmp")));
    assert_false(test_exists(test_path("recycle-index.tmp")));
}

static void process_may_die_at_any_call(void **state)
{
    struct test_log *t = *state;
    bool done = false;

    for (uint64_t n = 1; !done; n++) {
        for (int how = 0; how < 3; how++) {
            struct log_retained retained = {0, 0, 0};
            int64_t start = prepare_deletion(t);

            faults_fail(FAULT_ANY, NULL, n, EIO, FAULT_DEAD);
            (void)rill__log_sweep(t->log, &retained);
            done = faults_count() < n;
            faults_clear();
            if (how == 0) OK(test_log_restart(t));
            if (how == 1) OK(test_log_reboot(t));
            /* or the others just go on */
            if (how == 2) atomic_store(&t->log->control->swept, 0);
            check_and_go_on(t, start);
        }
    }
}

static void any_call_may_fail(void **state)
{
    struct test_log *t = *state;
    bool done = false;

    for (uint64_t n = 1; !done; n++) {
        struct log_retained retained = {0, 0, 0};
        int64_t start = prepare_deletion(t);

        faults_fail(FAULT_ANY, NULL, n, EIO, FAULT_ONCE);
        (void)rill__log_sweep(t->log, &retained);
        done = faults_count() < n;
        faults_clear();
        OK(rill__log_state(t->log)); /* nothing of it is worth a poisoning */
        check_and_go_on(t, start);
    }
}

/* ---- After each roll ---- */

static void maintain(struct test_log *t)
{
    uint32_t next_ms = UINT32_MAX;
    OK(rill__log_maintain(t->log, &next_ms));
}

static void segments_go_when_others_come(void **state)
{
    struct test_log *t = *state;
    struct log_retention what = {.retention_bytes = 3 * 4096};
    uint32_t count;
    uint64_t bytes;
    ino_t inodes[16];

    t->config.retention_bytes = 3 * 4096;
    t->config.cleanup_policy = RILL_CLEANUP_DELETE;
    rill__log_configure(t->log, &t->config);
    test_append_segments(t->log, 6);
    maintain(t); /* nobody has said anything yet */
    assert_int_equal(rill__log_start(t->log), 0);
    OK(rill__log_retain(t->log, &what, NULL));
    for (int round = 0; round < 16; round++) {
        roll(t->log);
        test_append_ok(t->log, 2, 150);
        maintain(t);
        OK(rill__log_segments(t->log, &count, &bytes));
        assert_int_equal(count, 4);
        assert_int_equal(t->deletions, t->rolls - count);
        test_check(t->log, rill__log_start(t->log), rill__log_end(t->log));
        /* By and by the same five files go round. */
        inodes[round] = inode_of_segment(active(t->log));
        if (round > 10) assert_int_equal(inodes[round], inodes[round - 5]);
    }
}

static void what_was_told_holds_as_far_as_it_is_still_so(void **state)
{
    struct test_log *t = *state;
    struct log_retention what = {.retention_bytes = 4096, .consumed = 5};
    int64_t start;

    t->config.retention_bytes = 4096;
    t->config.cleanup_policy = RILL_CLEANUP_DELETE;
    rill__log_configure(t->log, &t->config);
    test_append_segments(t->log, 3);
    OK(rill__log_retain(t->log, &what, NULL));
    start = rill__log_start(t->log);
    t->config.retention_bytes = 0; /* without limit from now on */
    rill__log_configure(t->log, &t->config);
    roll(t->log);
    roll(t->log);
    maintain(t);
    assert_int_equal(rill__log_start(t->log), start);
    t->config.retention_bytes = 4096;
    t->config.cleanup_policy = RILL_CLEANUP_COMPACT;
    rill__log_configure(t->log, &t->config);
    roll(t->log);
    maintain(t);
    assert_int_equal(rill__log_start(t->log), start);
    /* What groups had consumed may be wanted again. */
    t->config.retention_bytes = 0;
    t->config.cleanup_policy = RILL_CLEANUP_DELETE;
    rill__log_configure(t->log, &t->config);
    what = (struct log_retention){.consumed = 0};
    OK(rill__log_retain(t->log, &what, NULL));
    t->log->retention.consumed = rill__log_end(t->log);
    roll(t->log);
    maintain(t);
    assert_int_equal(rill__log_start(t->log), start);
}

/* By age too, and the clock goes on since it was told. */
static void age_goes_on(void **state)
{
    struct test_log *t = *state;
    struct log_retention what = {.retention_ms = 5000};
    int64_t middle;

    t->config.retention_ms = 5000;
    t->config.cleanup_policy = RILL_CLEANUP_DELETE;
    rill__log_configure(t->log, &t->config);
    test_append_segments(t->log, 4);
    middle = active(t->log);
    roll(t->log);
    what.wall_now_ms = test_time(middle - 1) + 4000;
    OK(rill__log_retain(t->log, &what, NULL));
    assert_int_equal(rill__log_start(t->log), 0);
    maintain(t); /* nothing was rolled */
    t->log->retention_ms -= 1005;
    maintain(t);
    assert_int_equal(rill__log_start(t->log), 0);
    roll(t->log);
    maintain(t);
    assert_int_equal(rill__log_start(t->log), middle);
}

/* But not for what was appended since: the clock may have been set back, and then its
 * times are old ones. */
static void what_came_after_is_young(void **state)
{
    struct test_log *t = *state;
    struct log_retention what = {.retention_ms = 5000};
    int64_t told;

    t->config.retention_ms = 5000;
    t->config.cleanup_policy = RILL_CLEANUP_DELETE;
    rill__log_configure(t->log, &t->config);
    test_append_segments(t->log, 4);
    what.wall_now_ms = test_time(rill__log_end(t->log)) + 5000;
    OK(rill__log_retain(t->log, &what, NULL));
    told = active(t->log);
    assert_int_equal(rill__log_start(t->log), told);
    test_append_ok(t->log, 1, 100); /* into the segment that was there */
    t->log->retention_ms -= 100000;
    for (int i = 0; i < 3; i++) {
        roll(t->log);
        maintain(t);
    }
    assert_int_equal(rill__log_start(t->log), told);
    what.wall_now_ms += 100000;
    OK(rill__log_retain(t->log, &what, NULL)); /* the clock was looked at again */
    assert_int_equal(rill__log_start(t->log), rill__log_end(t->log));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(oldest_segment_becomes_the_next),
        WITH_LOG(it_goes_round),
        WITH_LOG(not_if_it_will_not_do),
        WITH_LOG(pin_of_a_process_that_is_gone_does_not_count),
        WITH_LOG(idle_map_of_a_recycled_segment_is_not_read),
        WITH_LOG(pin_that_comes_late_is_seen),
        WITH_LOG(old_batches_are_never_read),
        WITH_LOG(discarded_batch_does_not_come_back),
        WITH_LOG(roll_that_was_lost_shows_as_one),
        WITH_LOG(process_may_die_at_any_call),
        WITH_LOG(any_call_may_fail),
        WITH_LOG(segments_go_when_others_come),
        WITH_LOG(what_was_told_holds_as_far_as_it_is_still_so),
        WITH_LOG(age_goes_on),
        WITH_LOG(what_came_after_is_young),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
