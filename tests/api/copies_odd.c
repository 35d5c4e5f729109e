/*
 * Copies of stores, and exports, where something is in the way or odd: many topics,
 * records of the catalogue that do not verify, what is left in the directory, a compaction
 * that does not end, ranges of what is gone.
 */
#include "engine/store.h"
#include "meta/inner.h"
#include "records.h"
#include "tapes.h"
#include <fcntl.h>
#include <sys/stat.h>

static rill *open_at(const char *path)
{
    rill *store = NULL;

    OK(rill_open(path, NULL, &store));
    return store;
}

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static void all_of_many_topics_are_copied(void **state)
{
    enum { MANY = 40 };
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 64 << 10};
    const char *wanted[] = {"topic-7", "topic-31"};
    rill_copy_options some = {.size = sizeof some, .topics = wanted, .topic_count = 2};
    rill *store = *state;
    rill *copy;
    char name[16];

    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        options.partition_count = 1 + (uint32_t)i % 3;
        OK(rill_topic_create(store, name, &options));
        put(store, name, i % 3, i, 1);
    }
    OK(rill_snapshot(store, test_path("copy"), NULL));
    OK(rill_snapshot(store, test_path("some"), &some));
    copy = open_at(test_path("copy"));
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        assert_int_equal(log_end_of(copy, name, i % 3), 1);
    }
    OK(rill_close(copy));
    copy = open_at(test_path("some"));
    for (int i = 0; i < MANY; i++) {
        rill_topic_info info;
        snprintf(name, sizeof name, "topic-%d", i);
        if (i == 7 || i == 31) OK(rill_topic_describe(copy, name, &info));
        else FAILS(RILL_ERR_NOT_FOUND, rill_topic_describe(copy, name, &info));
    }
    OK(rill_close(copy));
}

static int rot_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    MDB_val key = {2, arg};
    MDB_val value = {12, (void *)(uintptr_t) "no checksum!"};

    return rill__meta_failed(meta, mdb_put(txn, meta->dbi, &key, &value, 0), "rotting");
}

static void rotten_records_are_found_if_that_is_asked_for(void **state)
{
    rill_copy_options options = {.size = sizeof options, .flags = RILL_COPY_VERIFY};
    char key[] = "Aa"; /* of no kind, and beside nothing that is looked for */
    rill *store = *state;
    rill *copy;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 3);
    OK(rill__meta_write(store->store->meta, rot_work, key));
    FAILS(RILL_ERR_CORRUPT, rill_snapshot(store, test_path("copy"), &options));
    test_says("1 records of the catalogue do not verify");
    FAILS(RILL_ERR_INVALID, rill_open(test_path("copy"), NULL, &copy)); /* not finished */
    options.flags = 0;
    OK(rill_snapshot(store, test_path("copy"), &options));
    copy = open_at(test_path("copy"));
    assert_int_equal(log_end_of(copy, "t", 0), 3);
    OK(rill_close(copy));
}

/* Only what a copy makes is taken for what one has left. */
static void what_is_left_of_a_copy_is_told_from_other_things(void **state)
{
    static const char *const others[] = {"0123456789abcdef0123456789abcdeg",
                                         "0123456789abcdef0123456789abcde"};
    rill *store = *state;
    rill *copy;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 3);
    assert_int_equal(mkdir(test_path("copy"), 0700), 0);
    make_file(test_path("copy/INCOMPLETE"));
    for (int i = 0; i < 2; i++) {
        char path[900];
        snprintf(path, sizeof path, "%s/%s", test_path("copy"), others[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("copy"), NULL));
        test_says(others[i]);
        assert_int_equal(rmdir(path), 0); /* it was left alone */
    }
    assert_int_equal(mkdir(test_path("copy/meta"), 0700), 0);
    assert_int_equal(mkdir(test_path("copy/meta/sub"), 0700), 0);
    assert_int_not_equal(rill_snapshot(store, test_path("copy"), NULL), 0);
    test_says("sub");
    FAILS(RILL_ERR_INVALID, rill_open(test_path("copy"), NULL, &copy));
    assert_int_equal(rmdir(test_path("copy/meta/sub")), 0);
    make_file(test_path("copy/STORE"));
    make_file(test_path("copy/meta/data.mdb"));
    OK(rill_snapshot(store, test_path("copy"), NULL));
    copy = open_at(test_path("copy"));
    assert_int_equal(log_end_of(copy, "t", 0), 3);
    OK(rill_close(copy));
}

/* Another process compacts, and is stopped in the middle of it. */
static void a_compaction_that_does_not_end_is_waited_for_in_vain(void **state)
{
    struct flock held = {.l_type = F_RDLCK, .l_start = COMPACT_BYTE, .l_len = 1};
    rill_options options = {.size = sizeof options, .open_timeout_ms = 50};
    rill *store;
    int fd = open(test_path("store/shared"), O_RDWR | O_CLOEXEC);

    test_topic(*state, "t", 1);
    OK(rill_close(*state));
    OK(rill_open(test_path("store"), &options, &store));
    *state = store;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &held), 0);
    FAILS(RILL_ERR_TIMEOUT, rill_snapshot(store, test_path("copy"), NULL));
    test_says("a compaction does not end");
    close(fd);
    OK(rill_snapshot(store, test_path("copy"), NULL));
}

/* ---- Exports ---- */

static void ranges_may_be_of_what_is_gone(void **state)
{
    rill_export_range ranges[] = {{.partition = 1, .from = 0, .to = RILL_OFFSET_LATEST},
                                  {.partition = 0, .from = 0, .to = 5}};
    rill_export_options options = {.size = sizeof options, .ranges = ranges, .range_count = 2};
    rill *store = *state;
    rill_partition_info info;
    rill_offset start;
    struct tape tape = {0};

    test_topic(store, "t", 3);
    put(store, "t", 0, 0, 20);
    put(store, "t", 1, 0, 20);
    put(store, "t", 2, 0, 20);
    for (int p = 0; p < 2; p++) OK(rill_partition_delete_records(store, "t", p, 10, &start));
    OK(rill_export(store, "t", &options, write_tape, &tape));
    OK(import_from(store, "copy", &tape));
    OK(rill_partition_describe(store, "copy", 0, &info));
    assert_int_equal(info.log_end, 5); /* before where the log begins: nothing */
    assert_int_equal(info.log_start, 5);
    OK(rill_partition_describe(store, "copy", 1, &info));
    assert_int_equal(info.log_end, 20);
    assert_int_equal(info.log_start, 10);
    assert_int_equal(log_end_of(store, "copy", 2), 0); /* not in the stream */
    rewind_tape(&tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(all_of_many_topics_are_copied),
        WITH_STORE(rotten_records_are_found_if_that_is_asked_for),
        WITH_STORE(what_is_left_of_a_copy_is_told_from_other_things),
        WITH_STORE(a_compaction_that_does_not_end_is_waited_for_in_vain),
        WITH_STORE(ranges_may_be_of_what_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
