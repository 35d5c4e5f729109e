/*
 * A copy of a partition is the partition as it was at one moment, whatever happens
 * to its segments meanwhile, and what of it cannot be had is an error and not a
 * shorter copy.
 */
#include "base/bytes.h"
#include "faults.h"
#include "logs.h"
#include <errno.h>
#include <sys/stat.h>

/* ---- Copies ---- */

static struct file make_directory(const char *name)
{
    struct file parent = test_log_directory();
    struct file dir = FILE_NONE;

    OK(rill__dir_make_at(&parent, name));
    OK(rill__dir_open_at(&parent, name, &dir));
    rill__file_close(&parent);
    return dir;
}

static int copy_to(struct test_log *t, const char *name, struct log_copy *copy)
{
    struct file dir = make_directory(name);
    int rc = rill__log_copy(t->log, &dir, copy, rill__deadline(1000));

    rill__file_close(&dir);
    return rc;
}

/* The copy is a log that has [start, end), and goes on; start is at most `latest`. */
static void check_copy_from(struct test_log *t, const char *name, int64_t start, int64_t latest,
                            int64_t end)
{
    struct file parent = test_log_directory();
    struct file dir = FILE_NONE;
    struct log_config config = {0};
    struct log *copy = NULL;

    memcpy(&config, &t->config, sizeof config);
    config.incarnation = 77;
    OK(rill__dir_open_at(&parent, name, &dir));
    rill__file_close(&parent);
    OK(rill__log_open(&config, &dir, 0, &copy));
    assert_in_range(rill__log_start(copy), start, latest);
    start = rill__log_start(copy);
    assert_int_equal(rill__log_end(copy), end);
    assert_int_equal(rill__log_durable(copy), end);
    test_check(copy, start, end);
    test_append_ok(copy, 3, 900);
    test_append_ok(copy, 3, 900);
    test_check(copy, start, end + 6);
    rill__log_close(copy);
}

static void check_copy(struct test_log *t, const char *name, int64_t start, int64_t end)
{
    check_copy_from(t, name, start, start, end);
}

static int64_t first_base(struct test_log *t, int number)
{
    int64_t base;

    OK(rill__log_base_of(t->log, rill__log_start(t->log), &base));
    while (number-- > 0) OK(rill__log_base_after(t->log, base, &base));
    return base;
}

/* ---- What happens meanwhile ---- */

static struct {
    struct test_log *t;
    const char *name; /* before a file of this name is linked or opened */
    int when;         /* the n-th time */
    bool busy;
    void (*act)(struct test_log *t);
} meanwhile;

static void watch(void *arg, const struct fault_event *event)
{
    (void)arg;
    if (meanwhile.busy || meanwhile.act == NULL || event->name == NULL) return;
    if (strstr(event->name, meanwhile.name) == NULL || --meanwhile.when != 0) return;
    meanwhile.busy = true;
    meanwhile.act(meanwhile.t);
    meanwhile.busy = false;
}

static void act_before(struct test_log *t, const char *name, int when,
                       void (*act)(struct test_log *t))
{
    meanwhile.t = t;
    meanwhile.name = name;
    meanwhile.when = when;
    meanwhile.busy = false;
    meanwhile.act = act;
    faults_watch(watch, NULL);
}

static void delete_some(struct test_log *t)
{
    OK(rill__log_delete_before(t->log, first_base(t, 3) + 1, INT64_MAX, NULL));
}

static void delete_all(struct test_log *t)
{
    OK(rill__log_delete_before(t->log, INT64_MAX, INT64_MAX, NULL));
}

static void append_more(struct test_log *t)
{
    test_append_ok(t->log, 3, 900);
    test_append_ok(t->log, 3, 900);
}

static void mark_deleted(struct test_log *t)
{
    rill__log_mark_deleted(t->log);
    remove(test_segment_path(0, "log"));
}

/* ---- Tests ---- */

static void segments_are_linked_and_the_last_is_copied(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true, .verify = true};
    int64_t end;
    struct stat one;
    struct stat two;
    char name[60];

    test_append_segments(t->log, 4);
    test_append_ok(t->log, 2, 100);
    end = rill__log_end(t->log);
    OK(copy_to(t, "copy", &copy));
    assert_true(copy.link);
    assert_int_equal(copy.end, end);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "copy/%020lld.log", (long long)first_base(t, i));
        assert_int_equal(stat(test_path(name), &one), 0);
        assert_int_equal(stat(test_segment_path(first_base(t, i), "log"), &two), 0);
        assert_int_equal(one.st_ino == two.st_ino, i < 3);
        assert_int_equal(one.st_size, two.st_size);
    }
    check_copy(t, "copy", 0, end);
    assert_int_equal(rill__log_pinned_by(t->log, 0), first_base(t, 3)); /* that is all */
}

static void an_empty_partition_is_copied(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true, .verify = true};

    OK(copy_to(t, "copy", &copy));
    assert_int_equal(copy.end, 0);
    check_copy(t, "copy", 0, 0);
}

/* Neither mark names a segment that both have, in the log and in the copy. */
static void both_marks_are_behind_what_is_shared(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true};
    const char *const controls[] = {"control", "copy/control"};
    int64_t active;

    test_append_segments(t->log, 3);
    OK(rill__log_checkpoint(t->log));
    test_append_segments(t->log, 5);
    active = first_base(t, 4);
    OK(copy_to(t, "copy", &copy));
    for (int i = 0; i < 2; i++) {
        size_t size;
        uint8_t *bytes = test_read_file(test_path(controls[i]), &size);
        assert_int_equal(rill__get64(bytes + MARK_A_AT + 24), active);
        assert_int_equal(rill__get64(bytes + MARK_B_AT + 24), active);
        free(bytes);
    }
}

static void appends_meanwhile_are_not_in_it(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true, .verify = true};
    int64_t end;
    char last[SEGMENT_NAME_SIZE];

    test_append_segments(t->log, 3);
    end = rill__log_end(t->log);
    OK(rill__log_checkpoint(t->log));
    rill__segment_name(first_base(t, 2), "log", last);
    act_before(t, last, 1, append_more);
    OK(copy_to(t, "copy", &copy));
    assert_int_equal(copy.end, end);
    faults_clear();
    check_copy(t, "copy", 0, end);
    assert_int_equal(rill__log_end(t->log), end + 6);
}

/* Segments go while they are being linked, or copied: the first ones, which are
 * there already, or all there were. */
static void what_is_deleted_meanwhile_is_not_in_it(void **state)
{
    struct test_log *t = *state;

    for (int round = 0; round < 8; round++) {
        struct log_copy copy = {.link = round % 2 == 0, .verify = true};
        char copied[SEGMENT_NAME_SIZE];
        char name[16];
        int64_t start;
        int64_t end;

        while (rill__log_end(t->log) - rill__log_start(t->log) < 40)
            test_append_ok(t->log, 3, 900);
        OK(rill__log_checkpoint(t->log)); /* else it is opened to be synced, under a lock */
        start = rill__log_start(t->log);
        end = rill__log_end(t->log);
        /* Before the second one is, or the last one, which is opened to be copied. */
        rill__segment_name(first_base(t, round / 4 == 0 ? 1 : 3), "log", copied);
        snprintf(name, sizeof name, "copy%d", round);
        act_before(t, copied, 1, round % 4 < 2 ? delete_some : delete_all);
        OK(copy_to(t, name, &copy));
        faults_clear();
        assert_int_equal(copy.end, end);
        if (meanwhile.when > 0) fail_msg("round %d: nothing was deleted", round);
        /* What was there before it was deleted may be in it. */
        check_copy_from(t, name, round < 4 ? rill__log_start(t->log) : start,
                        rill__log_start(t->log), end);
    }
}

static void a_deleted_topic_is_not_copied(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true};

    test_append_segments(t->log, 3);
    act_before(t, "00000000000000000000.log", 1, mark_deleted);
    FAILS(RILL_ERR_NOT_FOUND, copy_to(t, "copy", &copy));
    faults_clear();
    FAILS(RILL_ERR_NOT_FOUND, copy_to(t, "more", &copy));
}

static void what_is_missing_is_damage(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true};
    int64_t end;

    test_append_segments(t->log, 6);
    end = rill__log_end(t->log);
    /* Without an index there is just none. */
    assert_int_equal(remove(test_segment_path(0, "index")), 0);
    OK(copy_to(t, "one", &copy));
    check_copy(t, "one", 0, end);
    /* One that is of another segment is left out. */
    assert_int_equal(rename(test_segment_path(first_base(t, 2), "index"),
                            test_segment_path(first_base(t, 1), "index")),
                     0);
    OK(copy_to(t, "two", &copy));
    check_copy(t, "two", 0, end);
    assert_false(test_exists(test_path("two/00000000000000000009.index")));
    assert_int_equal(remove(test_segment_path(first_base(t, 4), "log")), 0);
    FAILS(RILL_ERR_CORRUPT, copy_to(t, "three", &copy));
    test_says("is missing");
}

static void a_poisoned_log_is_not_copied(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true};

    test_append_segments(t->log, 2);
    faults_fail(FAULT_FDATASYNC, ".log", 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, copy_to(t, "one", &copy));
    faults_clear();
    FAILS(RILL_ERR_POISONED, copy_to(t, "two", &copy));
}

static void damage_is_found_where_it_is(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true, .verify = true};
    static const struct {
        int segment;
        uint64_t at;
        const char *says;
    } damages[] = {
        {0, 300, "checksum"},
        {1, SEGMENT_HEADER_SIZE + BATCH_BASE_OFFSET_AT, "base offset does not follow"},
        {0, SEGMENT_HEADER_SIZE + BATCH_LENGTH_AT, "position 128"},
        {1, SEGMENT_HEADER_SIZE + BATCH_LENGTH_AT + 3, "position 128"},
        {2, 20, "header"},
        {3, 200, "checksum"},
    };

    test_append_segments(t->log, 4);
    OK(rill__log_checkpoint(t->log));
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const char *path = test_segment_path(first_base(t, damages[i].segment), "log");
        char name[16];
        snprintf(name, sizeof name, "copy%zu", i);
        test_flip(path, damages[i].at, 0x20);
        FAILS(RILL_ERR_CORRUPT, copy_to(t, name, &copy));
        test_says(damages[i].says);
        test_flip(path, damages[i].at, 0x20);
    }
    OK(copy_to(t, "whole", &copy));
}

static void zeros_and_an_end_elsewhere_are_found_too(void **state)
{
    static const uint8_t zeros[BATCH_HEADER_SIZE];
    struct test_log *t = *state;
    struct log_copy copy = {.link = true, .verify = true};
    struct log_moment at;

    test_append_segments(t->log, 3);
    OK(rill__log_checkpoint(t->log));
    OK(copy_to(t, "one", &copy));
    rill__log_moment(t->log, &at);
    copy.at = &at;
    OK(copy_to(t, "two", &copy));
    at.position -= 8;
    FAILS(RILL_ERR_CORRUPT, copy_to(t, "three", &copy));
    at.position += 16;
    FAILS(RILL_ERR_CORRUPT, copy_to(t, "four", &copy));
    test_says("does not end where the log does");
    copy.at = NULL;
    test_write_file(test_segment_path(0, "log"), SEGMENT_HEADER_SIZE, zeros, sizeof zeros);
    FAILS(RILL_ERR_CORRUPT, copy_to(t, "five", &copy));
    test_says("no batch is there");
}

static void holes_stay_holes(void **state)
{
    const size_t size = 4 << 20;
    struct test_log *t = *state;
    struct log_copy copy = {.link = false};
    struct tail_copy tail;
    struct stat st;
    uint8_t *from;
    uint8_t *to;
    size_t to_size;
    size_t from_size;

    t->log->config.segment_bytes = size;
    t->config.segment_bytes = size;
    test_append_ok(t->log, 1, 100);
    OK(rill__log_lock(t->log, INT64_MAX));
    rill__control_tail(t->log->control, &tail);
    OK(rill__log_roll(t->log, &tail));
    rill__log_unlock(t->log);
    test_append_ok(t->log, 1, 100);
    OK(rill__log_checkpoint(t->log));
    /* What the file was used for before: not at the beginning of what is read at once. */
    test_write_file(test_segment_path(0, "log"), (2 << 20) + 7, "before", 6);
    from = test_read_file(test_segment_path(0, "log"), &from_size);
    OK(copy_to(t, "one", &copy));
    to = test_read_file(test_path("one/00000000000000000000.log"), &to_size);
    assert_int_equal(from_size, size);
    assert_int_equal(to_size, size);
    assert_memory_equal(from, to, size);
    assert_int_equal(stat(test_path("one/00000000000000000000.log"), &st), 0);
    assert_true((size_t)st.st_blocks * 512 <= size / 2);
    free(from);
    free(to);
}

static void without_memory_nothing_is_copied(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true};

    test_append_segments(t->log, 2);
    t->heap.bytes_max = atomic_load(&t->heap.bytes) + 1;
    assert_int_equal(copy_to(t, "one", &copy), RILL_ERR_NO_MEMORY);
    t->heap.bytes_max = 0;
    OK(copy_to(t, "two", &copy));
    check_copy(t, "two", 0, rill__log_end(t->log));
}

/* As compaction does, whenever a copy is about to be done. */
static void change_layout(struct test_log *t)
{
    atomic_fetch_add(&t->log->control->layout, 2);
    meanwhile.when = 1;
}

static void change_layout_once(struct test_log *t)
{
    atomic_fetch_add(&t->log->control->layout, 2);
}

static void a_copy_from_before_and_behind_a_compaction_is_made_again(void **state)
{
    struct test_log *t = *state;
    struct log_copy copy = {.link = true};

    test_append_segments(t->log, 3);
    act_before(t, ".index", 1, change_layout_once);
    OK(copy_to(t, "one", &copy));
    assert_true(meanwhile.when <= 0);
    faults_clear();
    check_copy(t, "one", 0, rill__log_end(t->log));
    act_before(t, ".index", 1, change_layout);
    FAILS(RILL_ERR_BUSY, copy_to(t, "two", &copy));
    test_says("too fast");
    faults_clear();
    act_before(t, ".index", 1, change_layout);
    faults_fail(FAULT_UNLINKAT, NULL, 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, copy_to(t, "three", &copy));
    faults_clear();
}

/* Every call fails once: an error, or a copy as good as any. */
static void any_call_may_fail(void **state)
{
    struct test_log *t = *state;
    int rc = -1;
    int64_t end;
    char name[24];

    test_append_segments(t->log, 3);
    OK(rill__log_checkpoint(t->log));
    end = rill__log_end(t->log);
    for (int link = 0; link < 2; link++) {
        for (uint64_t n = 1; n < 400; n++) {
            struct log_copy copy = {.link = link == 1, .verify = true};
            struct file dir;
            snprintf(name, sizeof name, "copy%d-%d", link, (int)n);
            dir = make_directory(name);
            faults_fail(FAULT_ANY, NULL, n, ENOSPC, FAULT_ONCE);
            rc = rill__log_copy(t->log, &dir, &copy, rill__deadline(1000));
            bool reached = faults_count() >= n;
            faults_clear();
            rill__file_close(&dir);
            if (rc == 0) check_copy(t, name, 0, end);
            else assert_true(test_message()[0] != '\0');
            test_remove(test_path(name));
            if (!reached) break;
            if (rc != 0 && rill__log_state(t->log) != 0) OK(test_log_reboot(t));
        }
        assert_int_equal(rc, 0);
    }
}

static int stop_now(void *arg, uint64_t bytes)
{
    assert_true(bytes > 0);
    return *(int *)arg;
}

static void whoever_is_told_may_stop_it(void **state)
{
    struct test_log *t = *state;
    int code = 1;
    struct log_copy copy = {.told = stop_now, .arg = &code};

    test_append_segments(t->log, 3);
    assert_int_equal(copy_to(t, "one", &copy), 1);
    code = RILL_ERR_NOT_FOUND;
    copy.link = true;
    assert_int_equal(copy_to(t, "two", &copy), RILL_ERR_NOT_FOUND);
    code = 0;
    OK(copy_to(t, "three", &copy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(segments_are_linked_and_the_last_is_copied),
        WITH_LOG(an_empty_partition_is_copied),
        WITH_LOG(both_marks_are_behind_what_is_shared),
        WITH_LOG(appends_meanwhile_are_not_in_it),
        WITH_LOG(what_is_deleted_meanwhile_is_not_in_it),
        WITH_LOG(a_deleted_topic_is_not_copied),
        WITH_LOG(what_is_missing_is_damage),
        WITH_LOG(a_poisoned_log_is_not_copied),
        WITH_LOG(damage_is_found_where_it_is),
        WITH_LOG(zeros_and_an_end_elsewhere_are_found_too),
        WITH_LOG(holes_stay_holes),
        WITH_LOG(without_memory_nothing_is_copied),
        WITH_LOG(a_copy_from_before_and_behind_a_compaction_is_made_again),
        WITH_LOG(any_call_may_fail),
        WITH_LOG(whoever_is_told_may_stop_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
