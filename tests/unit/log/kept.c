/*
 * A log that is not used holds no descriptor, no map but that of its control block,
 * and little memory; what it keeps for the next append or sync is bounded in the whole
 * store; and what was let go of comes back when it is needed.
 */
#include "faults.h"
#include "logs.h"
#include <dirent.h>
#include <errno.h>

static int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = -3; /* ".", ".." and this one */

    assert_non_null(dir);
    while (readdir(dir) != NULL) count++;
    closedir(dir);
    return count;
}

/* The log by its path from a directory above, as the engine opens it. */
static struct file above = {-1, NULL, ""};

static int open_by_path(struct test_log *t)
{
    char parent[900];
    char *last;
    struct file dir = FILE_NONE;

    snprintf(parent, sizeof parent, "%s", test_path(""));
    parent[strlen(parent) - 1] = '\0';
    last = strrchr(parent, '/');
    *last = '\0';
    if (above.fd < 0) OK(rill__dir_open(parent, &above));
    last++;
    rill__dir_below(&above, last, &dir);
    return rill__log_open(&t->config, &dir, 0, &t->log);
}

static int set_up(void **state)
{
    static struct test_log t;

    test_log_init(&t);
    OK(open_by_path(&t));
    *state = &t;
    return 0;
}

static int tear_down(void **state)
{
    faults_clear();
    test_log_deinit(*state);
    rill__file_close(&above);
    return 0;
}

#define BY_PATH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void rest(struct log *log)
{
    uint32_t next_ms = UINT32_MAX;

    OK(rill__log_maintain(log, &next_ms)); /* sees that it was used */
    log->used_ms -= 5001;
    OK(rill__log_maintain(log, &next_ms));
}

static void append_through_file(struct test_log *t)
{
    int64_t end = rill__log_end(t->log);
    int64_t base;

    OK(test_append(t->log, 1, 100, true, &base));
    OK(rill__log_sync(t->log, end + 1, INT64_MAX));
}

static void unused_log_holds_nothing(void **state)
{
    struct test_log *t = *state;
    int none = open_descriptors();
    uint64_t small = atomic_load(&t->heap.bytes);

    assert_true(small < 1000);
    for (int round = 0; round < 3; round++) {
        test_append_segments(t->log, 4 + (uint32_t)round);
        append_through_file(t);
        test_check(t->log, 0, rill__log_end(t->log));
        assert_int_equal(open_descriptors(), none + 2);
        assert_int_equal(atomic_load(&t->kept_files), 2);
        assert_true(atomic_load(&t->mapped_bytes) > CONTROL_SIZE);
        rest(t->log);
        assert_int_equal(open_descriptors(), none);
        assert_int_equal(atomic_load(&t->kept_files), 0);
        assert_int_equal(atomic_load(&t->idle_segments), 0);
        assert_int_equal(atomic_load(&t->mapped_bytes), CONTROL_SIZE);
        assert_int_equal(atomic_load(&t->heap.bytes), small);
        test_check(t->log, 0, rill__log_end(t->log));
        append_through_file(t);
    }
    OK(rill__log_checkpoint(t->log));
    OK(rill__log_delete_before(t->log, 30, INT64_MAX, NULL));
    rest(t->log);
    assert_int_equal(open_descriptors(), none);
    test_log_close(t);
    t->config.incarnation++;
    OK(open_by_path(t));
    assert_int_equal(open_descriptors(), none);
    assert_true(atomic_load(&t->heap.bytes) < 1000);
    test_check(t->log, 30, rill__log_end(t->log));
}

static void used_log_keeps_what_it_uses(void **state)
{
    struct test_log *t = *state;
    uint32_t next_ms = UINT32_MAX;

    append_through_file(t);
    for (int i = 0; i < 5; i++) {
        OK(rill__log_maintain(t->log, &next_ms));
        t->log->used_ms -= 5001; /* that is long ago, but it is used again */
        append_through_file(t);
    }
    assert_int_equal(atomic_load(&t->kept_files), 2);
    OK(rill__log_maintain(t->log, &next_ms));
    OK(rill__log_maintain(t->log, &next_ms)); /* not long ago */
    assert_int_equal(atomic_load(&t->kept_files), 2);
}

static void pinned_segments_stay(void **state)
{
    struct test_log *t = *state;
    struct log_cursor cursor;
    struct batch_view view;

    test_append_segments(t->log, 4);
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 0));
    OK(rill__cursor_next(&cursor, 100, true, &view));
    rest(t->log);
    assert_true(rill__batch_verify(&view, cursor.segment->salt));
    while (cursor.offset < rill__log_end(t->log)) {
        rill__cursor_release(&cursor);
        OK(rill__cursor_next(&cursor, rill__log_end(t->log), true, &view));
    }
    rill__cursor_deinit(&cursor);
}

/* All others of the store keep too many: each use opens and closes. */
static void kept_files_are_bounded_in_the_store(void **state)
{
    struct test_log *t = *state;
    int none = open_descriptors();

    atomic_fetch_add(&t->kept_files, 63);
    for (int i = 0; i < 30; i++) append_through_file(t);
    assert_int_equal(open_descriptors(), none + 1);
    assert_int_equal(atomic_load(&t->kept_files), 64);
    rill__log_shed(t->log);
    atomic_fetch_add(&t->kept_files, 1);
    for (int i = 0; i < 30; i++) append_through_file(t);
    assert_int_equal(open_descriptors(), none);
    atomic_fetch_sub(&t->kept_files, 64);
    test_check(t->log, 0, rill__log_end(t->log));
}

/* Who holds a lock is not waited for; who died holding it is followed. */
static void locks_of_others_are_respected(void **state)
{
    struct test_log *t = *state;
    uint8_t *room;

    append_through_file(t);
    OK(rill__log_reserve(t->log, 200, INT64_MAX, &room));
    rill__log_shed(t->log);
    assert_non_null(t->log->writer); /* room is in it */
    assert_int_equal(atomic_load(&t->kept_files), 1);
    rill__log_abandon(t->log);
    OK(rill__shared_mutex_lock(&t->log->control->sync_lock, INT64_MAX));
    rill__log_shed(t->log);
    assert_null(t->log->writer);
    rill__shared_mutex_unlock(&t->log->control->sync_lock);
    append_through_file(t);
    /* Deleted and poisoned logs let go too. */
    rill__log_mark_deleted(t->log);
    rill__log_shed(t->log);
    assert_int_equal(atomic_load(&t->kept_files), 0);
    assert_int_equal(atomic_load(&t->mapped_bytes), CONTROL_SIZE);
}

static void message_of_the_caller_stays(void **state)
{
    struct test_log *t = *state;
    uint8_t *room;

    append_through_file(t);
    OK(rill__log_reserve(t->log, 200, INT64_MAX, &room));
    FAILS(RILL_ERR_RANGE, rill__log_delete_before(t->log, 99, INT64_MAX, NULL));
    rill__log_shed(t->log);
    assert_non_null(strstr(test_message(), "99"));
    rill__log_abandon(t->log);
}

static void control_file_that_is_gone_is_damage(void **state)
{
    struct test_log *t = *state;

    append_through_file(t);
    test_log_close(t);
    assert_int_equal(unlink(test_path("control")), 0);
    FAILS(RILL_ERR_CORRUPT, open_by_path(t));
    assert_non_null(strstr(test_message(), "control file is missing"));
}

/* No descriptor to be had where a mark is due: what was synced was synced. */
static void missing_descriptor_poisons_nothing(void **state)
{
    struct test_log *t = *state;
    int64_t base;

    t->config.sync_interval_ms = 0;
    test_log_close(t);
    OK(open_by_path(t));
    append_through_file(t);
    OK(test_append(t->log, 1, 100, true, &base));
    faults_fail(FAULT_OPENAT, "control", 1, EMFILE, FAULT_ONCE);
    OK(rill__log_sync(t->log, base + 1, INT64_MAX));
    assert_int_equal(faults_count(), 1);
    assert_int_equal(rill__log_durable(t->log), base + 1);
    faults_fail(FAULT_OPENAT, "control", 1, EMFILE, FAULT_ONCE);
    assert_true(rill__log_checkpoint(t->log) != 0);
    faults_fail(FAULT_OPENAT, "control", 1, EMFILE, FAULT_ONCE);
    assert_true(rill__log_delete_before(t->log, 1, INT64_MAX, NULL) != 0);
    faults_clear();
    OK(rill__log_state(t->log));
    assert_int_equal(rill__log_start(t->log), 0);
    OK(rill__log_checkpoint(t->log));
    OK(rill__log_delete_before(t->log, 1, INT64_MAX, NULL));
    test_check(t->log, 1, base + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BY_PATH(unused_log_holds_nothing),
        BY_PATH(used_log_keeps_what_it_uses),
        BY_PATH(pinned_segments_stay),
        BY_PATH(kept_files_are_bounded_in_the_store),
        BY_PATH(locks_of_others_are_respected),
        BY_PATH(message_of_the_caller_stays),
        BY_PATH(control_file_that_is_gone_is_damage),
        BY_PATH(missing_descriptor_poisons_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
