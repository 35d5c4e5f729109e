/*
 * Copies of a store that is being written to: what is in them, where they may be
 * made, what is left of one that was not finished, and that the one and the other
 * store never write to a file which both have.
 */
#include "base/checksum.h"
#include "faults.h"
#include "os/sys.h"
#include "records.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SEGMENT = 64 << 10, VALUE = 1000 };

/* ---- Stores and what is in them ---- */

static rill *open_at(const char *path)
{
    rill *store;

    OK(rill_open(path, NULL, &store));
    return store;
}

static void make_topic(rill *store, const char *name, uint32_t partition_count)
{
    test_topic(store, name, partition_count);
}

/* Some 60 records in a segment. */
static void append(rill *store, const char *topic, int32_t partition, int64_t first, int count)
{
    rill_producer_options options = {.size = sizeof options, .topic = topic};
    uint64_t value[VALUE / 8];
    rill_producer *producer;

    memset(value, 'v', sizeof value);
    OK(rill_producer_open(store, &options, &producer));
    for (int64_t n = first; n < first + count; n++) {
        rill_record record = RILL_RECORD_INIT;
        record.partition = partition;
        value[0] = (uint64_t)n;
        record.value = (rill_bytes){value, sizeof value};
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
}

/* The records [start, end) are there, whose number is their offset, and no others. */
static void holds_from(rill *store, const char *topic, int32_t partition, int64_t start,
                       int64_t end)
{
    rill_consumer *consumer = test_consumer(store, topic, partition, RILL_OFFSET_EARLIEST);
    rill_record records[100];
    int64_t next = start;
    size_t count;

    assert_int_equal(log_end_of(store, topic, partition), end);
    do {
        OK(rill_consumer_poll(consumer, 0, records, 100, &count));
        for (size_t i = 0; i < count; i++, next++) {
            assert_int_equal(records[i].offset, next);
            assert_int_equal(*(const int64_t *)records[i].value.data, next);
        }
    } while (count > 0);
    assert_int_equal(next, end);
    OK(rill_consumer_close(consumer, 0));
}

static void holds(rill *store, const char *topic, int32_t partition, int64_t end)
{
    holds_from(store, topic, partition, 0, end);
}

static void commit(rill *store, const char *group, const char *topic, int64_t offset)
{
    rill_consumer_options options = {.size = sizeof options, .group = group};
    rill_position position = {topic, 0, -1, offset, "as far as this"};
    rill_consumer *consumer;

    OK(rill_consumer_open(store, &options, &consumer));
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
}

static int64_t committed(rill *store, const char *group, const char *topic)
{
    rill_consumer_options options = {.size = sizeof options, .group = group};
    rill_position position;
    rill_consumer *consumer;

    OK(rill_consumer_open(store, &options, &consumer));
    OK(rill_consumer_committed(consumer, topic, 0, &position, NULL, 0));
    OK(rill_consumer_close(consumer, 0));
    return position.offset;
}

static int count_topic(void *arg, const rill_topic_info *info)
{
    (void)info;
    ++*(int *)arg;
    return 0;
}

static int topics_of(rill *store)
{
    int count = 0;

    OK(rill_topic_list(store, count_topic, &count));
    return count;
}

/* ---- Files ---- */

enum { FILES_MAX = 400 };

struct files {
    size_t count;
    struct {
        char path[160]; /* below the directory */
        ino_t inode;
        nlink_t names;
        uint64_t sum;
    } files[FILES_MAX];
};

static struct files *walked;
static size_t walked_root;

/* Of what means something when nobody has the store open. */
static uint64_t sum_of(const char *path, const uint8_t *bytes, size_t size)
{
    const char *name = strrchr(path, '/') + 1;
    size_t words = strcmp(name, "control") == 0 ? 4096 : 0;

    if (strcmp(name, "shared") == 0 || strcmp(name, "lock.mdb") == 0) words = size;
    return rill__checksum(bytes + words, size - words);
}

static int note_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    uint8_t *bytes;
    FILE *file;

    (void)where;
    if (kind != FTW_F) return 0;
    assert_true(walked->count < FILES_MAX);
    bytes = malloc((size_t)st->st_size + 1);
    file = fopen(path, "rb");
    assert_true(file != NULL && bytes != NULL);
    assert_int_equal(fread(bytes, 1, (size_t)st->st_size, file), st->st_size);
    fclose(file);
    snprintf(walked->files[walked->count].path, sizeof walked->files->path, "%s",
             path + walked_root);
    walked->files[walked->count].inode = st->st_ino;
    walked->files[walked->count].names = st->st_nlink;
    walked->files[walked->count].sum = sum_of(path, bytes, (size_t)st->st_size);
    walked->count++;
    free(bytes);
    return 0;
}

/* All files below, with checksums of their bytes; the caller frees it. */
static struct files *files_of(const char *path)
{
    walked = calloc(1, sizeof *walked);
    assert_non_null(walked);
    walked_root = strlen(path) + 1;
    assert_int_equal(nftw(path, note_file, 16, FTW_PHYS), 0);
    return walked;
}

static size_t find(const struct files *files, const char *path)
{
    size_t i = 0;

    while (i < files->count && strcmp(files->files[i].path, path) != 0) i++;
    return i;
}

/* Every file that was there has the same bytes, if it is there; how many are not. */
static size_t same_bytes(const struct files *before, const struct files *after)
{
    size_t gone = 0;

    for (size_t i = 0; i < before->count; i++) {
        size_t j = find(after, before->files[i].path);
        if (j == after->count) gone++;
        else if (before->files[i].sum != after->files[j].sum)
            fail_msg("%s has changed", before->files[i].path);
    }
    return gone;
}

static size_t shared_files(const struct files *files)
{
    size_t count = 0;

    for (size_t i = 0; i < files->count; i++) count += files->files[i].names > 1;
    return count;
}

/* ---- What is in a copy ---- */

static void a_copy_is_a_store_with_all_that_was_there(void **state)
{
    rill *store = *state;
    rill_topic_info info;
    rill_topic_info copied;
    struct files *one;
    struct files *two;
    rill *copy;

    make_topic(store, "t", 2);
    make_topic(store, "empty", 1);
    append(store, "t", 0, 0, 300);
    append(store, "t", 1, 0, 20);
    commit(store, "g", "t", 123);
    OK(rill_snapshot(store, test_path("copy"), NULL));
    one = files_of(test_path("store"));
    two = files_of(test_path("copy"));
    copy = open_at(test_path("copy"));
    holds(copy, "t", 0, 300);
    holds(copy, "t", 1, 20);
    holds(copy, "empty", 0, 0);
    assert_int_equal(committed(copy, "g", "t"), 123);
    assert_int_equal(topics_of(copy), 2);
    OK(rill_topic_describe(store, "t", &info));
    OK(rill_topic_describe(copy, "t", &copied));
    assert_memory_equal(&info, &copied, sizeof info);
    /* It goes on by itself, and so does the other. */
    append(copy, "t", 0, 300, 100);
    append(copy, "empty", 0, 0, 1);
    append(store, "t", 0, 300, 7);
    holds(copy, "t", 0, 400);
    holds(store, "t", 0, 307);
    OK(rill_close(copy));
    copy = open_at(test_path("copy"));
    holds(copy, "t", 0, 400);
    OK(rill_close(copy));
    /* Files of sealed segments are shared, and no others. */
    assert_true(shared_files(two) >= 8);
    for (size_t i = 0; i < two->count; i++) {
        bool sealed = strstr(two->files[i].path, ".log") != NULL && two->files[i].names > 1;
        size_t j = find(one, two->files[i].path);
        if (sealed) assert_int_equal(two->files[i].inode, one->files[j].inode);
        if (strstr(two->files[i].path, "control") != NULL ||
            strcmp(two->files[i].path, "STORE") == 0 ||
            strstr(two->files[i].path, "meta") != NULL)
            assert_int_equal(two->files[i].names, 1);
    }
    assert_int_not_equal(one->files[find(one, "STORE")].sum, two->files[find(two, "STORE")].sum);
    free(one);
    free(two);
}

static void only_some_topics_are_copied(void **state)
{
    const char *topics[] = {"b", "d"};
    rill_copy_options options = {.size = sizeof options, .topics = topics, .topic_count = 2};
    rill_position position;
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    rill_consumer *consumer;
    rill *store = *state;
    rill *copy;

    for (const char *name = "a\0b\0c\0d\0"; *name != '\0'; name += 2) {
        make_topic(store, name, 1);
        append(store, name, 0, 0, 100);
        commit(store, "g", name, 50);
    }
    OK(rill_snapshot(store, test_path("copy"), &options));
    copy = open_at(test_path("copy"));
    assert_int_equal(topics_of(copy), 2);
    holds(copy, "b", 0, 100);
    holds(copy, "d", 0, 100);
    assert_int_equal(committed(copy, "g", "d"), 50);
    make_topic(copy, "a", 1); /* of which nobody has committed anything */
    OK(rill_consumer_open(copy, &in, &consumer));
    OK(rill_consumer_committed(consumer, "a", 0, &position, NULL, 0));
    assert_int_equal(position.offset, RILL_OFFSET_NONE);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(copy));
    topics[1] = "none";
    FAILS(RILL_ERR_NOT_FOUND, rill_snapshot(store, test_path("other"), &options));
    test_says("none");
    options.topic_count = 0; /* a store with nothing in it */
    OK(rill_snapshot(store, test_path("other"), &options));
    copy = open_at(test_path("other"));
    assert_int_equal(topics_of(copy), 0);
    OK(rill_close(copy));
}

/* A partition whose last segment has nothing in it yet. */
static void a_segment_that_was_just_begun_is_copied(void **state)
{
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = SEGMENT, .segment_ms = 1};
    rill *store = *state;
    rill *copy;

    OK(rill_topic_create(store, "t", &options));
    append(store, "t", 0, 0, 10);
    usleep(20000);
    OK(rill_maintain(store, NULL)); /* rolls */
    OK(rill_snapshot(store, test_path("copy"), NULL));
    copy = open_at(test_path("copy"));
    holds(copy, "t", 0, 10);
    append(copy, "t", 0, 10, 10);
    holds(copy, "t", 0, 20);
    OK(rill_close(copy));
    holds(store, "t", 0, 10);
}

static void what_cannot_be_linked_is_copied(void **state)
{
    rill_copy_options options = {.size = sizeof options, .flags = RILL_COPY_NO_LINKS};
    rill *store = *state;
    struct files *files;
    rill *copy;

    make_topic(store, "t", 2);
    append(store, "t", 0, 0, 200);
    append(store, "t", 1, 0, 200);
    OK(rill_snapshot(store, test_path("copy"), &options));
    faults_fail(FAULT_LINKAT, NULL, 1, EXDEV, FAULT_DEAD);
    OK(rill_snapshot(store, test_path("far"), NULL));
    assert_int_equal(faults_count(), 1); /* it is not tried again and again */
    faults_clear();
    faults_fail(FAULT_LINKAT, ".log", 3, EMLINK, FAULT_ONCE);
    OK(rill_snapshot(store, test_path("some"), NULL));
    faults_clear();
    for (const char *const *name = (const char *const[]){"copy", "far", "some", NULL};
         *name != NULL; name++) {
        files = files_of(test_path(*name));
        if (strcmp(*name, "some") != 0) assert_int_equal(shared_files(files), 0);
        free(files);
        copy = open_at(test_path(*name));
        holds(copy, "t", 0, 200);
        holds(copy, "t", 1, 200);
        append(copy, "t", 0, 200, 100);
        holds(copy, "t", 0, 300);
        OK(rill_close(copy));
    }
}

/* ---- Where it may be made ---- */

static void touch(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fclose(file);
}

static void a_copy_needs_a_directory_of_its_own(void **state)
{
    rill *store = *state;
    char inside[900];
    struct files *before;
    struct files *after;
    rill *copy;

    make_topic(store, "t", 1);
    append(store, "t", 0, 0, 100);
    before = files_of(test_path("store"));
    snprintf(inside, sizeof inside, "%s/copy", test_path("store"));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, inside, NULL));
    test_says("inside");
    assert_int_not_equal(access(inside, F_OK), 0);
    snprintf(inside, sizeof inside, "%s/meta/../copy/", test_path("store"));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, inside, NULL));
    snprintf(inside, sizeof inside, "%s/meta", test_path("store"));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, inside, NULL));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("store"), NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill_snapshot(store, test_path("none/copy"), NULL));
    touch(test_path("file"));
    FAILS(RILL_ERR_NOT_FOUND, rill_snapshot(store, test_path("file"), NULL));
    assert_int_equal(mkdir(test_path("full"), 0700), 0);
    touch(test_path("full/photo"));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("full"), NULL));
    test_says("photo");
    /* Also not with what an unfinished one leaves. */
    touch(test_path("full/INCOMPLETE"));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("full"), NULL));
    test_says("photo");
    assert_int_equal(access(test_path("full/photo"), F_OK), 0);
    snprintf(inside, sizeof inside, "/%0600d", 0);
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, inside, NULL));
    after = files_of(test_path("store"));
    assert_int_equal(same_bytes(before, after), 0);
    assert_int_equal(before->count, after->count);
    free(before);
    free(after);

    assert_int_equal(mkdir(test_path("ready"), 0755), 0);
    OK(rill_snapshot(store, test_path("ready"), NULL));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("ready"), NULL));
    copy = open_at(test_path("ready"));
    holds(copy, "t", 0, 100);
    OK(rill_close(copy));
}

static void what_is_asked_for_must_make_sense(void **state)
{
    const char *topics[] = {"t", NULL};
    rill_copy_options options = {.size = sizeof options, .topics = topics, .topic_count = 2};
    rill *store = *state;

    make_topic(store, "t", 1);
    FAILS(RILL_ERR_INVALID, rill_snapshot(NULL, test_path("copy"), NULL));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, "", NULL));
    FAILS(RILL_ERR_INVALID, rill_restore(NULL, test_path("copy"), NULL));
    FAILS(RILL_ERR_INVALID, rill_restore(test_path("copy"), "", NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill_restore(test_path("none"), test_path("copy"), NULL));
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("copy"), &options));
    topics[1] = "a/b";
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("copy"), &options));
    options.topics = NULL;
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("copy"), &options));
    options.topic_count = 0;
    options.flags = 1u << 20;
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("copy"), &options));
    FAILS(RILL_ERR_INVALID, rill_restore(test_path("store"), test_path("copy"), &options));
    options.flags = 0;
    options.reserved = 1;
    FAILS(RILL_ERR_INVALID, rill_snapshot(store, test_path("copy"), &options));
    assert_int_not_equal(access(test_path("copy"), F_OK), 0);
}

/* ---- Not finished ---- */

struct stop {
    int calls;
    int at; /* 0: never */
    int code;
    uint64_t done;
    uint64_t total;
};

static int stop_at(void *arg, const rill_progress *progress)
{
    struct stop *stop = arg;

    stop->calls++;
    assert_true(progress->done > stop->done);
    assert_true(progress->done <= progress->total);
    assert_true(strncmp(progress->what, "t-", 2) == 0);
    stop->done = progress->done;
    stop->total = progress->total;
    return stop->calls == stop->at ? stop->code : 0;
}

static void is_refused(const char *path)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;

    FAILS(RILL_ERR_INVALID, rill_open(path, &options, &store));
    test_says("INCOMPLETE");
    test_says("not finished");
}

static void whoever_is_told_may_stop_it(void **state)
{
    struct stop stop = {0};
    rill_copy_options options = {
        .size = sizeof options, .progress = stop_at, .progress_arg = &stop};
    rill *store = *state;
    struct files *before;
    struct files *after;
    rill *copy;
    int calls;

    make_topic(store, "t", 3);
    for (int p = 0; p < 3; p++) append(store, "t", p, 0, 150);
    OK(rill_sync(store, WAIT_MS));
    OK(rill_snapshot(store, test_path("whole"), &options));
    assert_true(stop.calls >= 9);
    assert_true(stop.total >= 3 * 150 * VALUE);
    calls = stop.calls;
    before = files_of(test_path("store"));
    for (int n = 1; n <= calls; n++) {
        stop = (struct stop){.at = n, .code = n == 2 ? RILL_ERR_NOT_FOUND : n};
        assert_int_equal(rill_snapshot(store, test_path("copy"), &options), stop.code);
        assert_int_equal(stop.calls, n);
        is_refused(test_path("copy"));
    }
    after = files_of(test_path("store"));
    assert_int_equal(same_bytes(before, after), 0);
    assert_int_equal(before->count, after->count);
    stop = (struct stop){0};
    OK(rill_snapshot(store, test_path("copy"), &options));
    copy = open_at(test_path("copy"));
    for (int p = 0; p < 3; p++) holds(copy, "t", p, 150);
    OK(rill_close(copy));
    free(before);
    free(after);
}

/* As if the process had died before the n-th call of the system; for every n, see
 * tests/proof/copies.c. */
static void a_copy_that_died_is_known_and_made_again(void **state)
{
    rill *store = *state;
    struct files *before;
    struct files *after;
    uint64_t n;
    rill *copy;
    int rc = -1;

    make_topic(store, "t", 1);
    append(store, "t", 0, 0, 130);
    commit(store, "g", "t", 5);
    OK(rill_sync(store, WAIT_MS));
    OK(rill_snapshot(store, test_path("whole"), NULL)); /* what it does to the store is done */
    before = files_of(test_path("store"));
    for (n = 1; rc != 0; n += 1 + n / 4) {
        faults_fail(FAULT_ANY & ~(unsigned)FAULT_FSTAT, NULL, n, EIO, FAULT_DEAD);
        rc = rill_snapshot(store, test_path("copy"), NULL);
        faults_clear();
        if (rc != 0 && access(test_path("copy/INCOMPLETE"), F_OK) == 0)
            is_refused(test_path("copy"));
        else if (access(test_path("copy/STORE"), F_OK) == 0)
            break; /* nothing was missing but the word that it is done */
    }
    assert_true(n > 40);
    after = files_of(test_path("store"));
    assert_int_equal(same_bytes(before, after), 0);
    assert_int_equal(before->count, after->count);
    copy = open_at(test_path("copy"));
    holds(copy, "t", 0, 130);
    assert_int_equal(committed(copy, "g", "t"), 5);
    OK(rill_close(copy));
    free(before);
    free(after);
}

static int snapshot_there_too(void *arg, const rill_progress *progress)
{
    (void)progress;
    FAILS(RILL_ERR_BUSY, rill_snapshot(arg, test_path("copy"), NULL));
    test_says("copy");
    return 0;
}

static void one_copy_at_a_time_is_made_in_a_place(void **state)
{
    rill *store = *state;
    rill_copy_options options = {
        .size = sizeof options, .progress = snapshot_there_too, .progress_arg = store};
    rill *copy;

    make_topic(store, "t", 1);
    append(store, "t", 0, 0, 100);
    OK(rill_snapshot(store, test_path("copy"), &options));
    copy = open_at(test_path("copy"));
    holds(copy, "t", 0, 100);
    OK(rill_close(copy));
}

/* ---- Meanwhile ---- */

struct meanwhile {
    rill *store;
    int calls;
    int64_t end;
    const char *deletes;
};

static int append_more(void *arg, const rill_progress *progress)
{
    struct meanwhile *m = arg;

    (void)progress;
    append(m->store, "t", 0, m->end, 70); /* more than a segment */
    append(m->store, "t", 1, m->end, 70);
    m->end += 70;
    return 0;
}

static void all_is_copied_as_it_was_at_one_moment(void **state)
{
    rill *store = *state;
    struct meanwhile m = {.store = store, .end = 200};
    rill_copy_options options = {
        .size = sizeof options, .progress = append_more, .progress_arg = &m};
    int64_t ends[2];
    rill *copy;

    make_topic(store, "t", 2);
    append(store, "t", 0, 0, 200);
    append(store, "t", 1, 0, 200);
    OK(rill_snapshot(store, test_path("copy"), &options));
    copy = open_at(test_path("copy"));
    ends[0] = log_end_of(copy, "t", 0);
    ends[1] = log_end_of(copy, "t", 1);
    assert_int_equal(ends[0], 200); /* as they were before anything was told */
    assert_int_equal(ends[1], 200);
    holds(copy, "t", 0, 200);
    holds(copy, "t", 1, 200);
    append(copy, "t", 0, 200, 100);
    holds(copy, "t", 0, 300);
    OK(rill_close(copy));
    holds(store, "t", 0, m.end);
}

static int commit_more(void *arg, const rill_progress *progress)
{
    struct meanwhile *m = arg;

    (void)progress;
    append(m->store, "t", 0, m->end, 10);
    m->end += 10;
    commit(m->store, "g", "t", m->end);
    return 0;
}

static void no_group_has_committed_beyond_the_end(void **state)
{
    rill *store = *state;
    struct meanwhile m = {.store = store, .end = 200};
    rill_copy_options options = {
        .size = sizeof options, .progress = commit_more, .progress_arg = &m};
    rill *copy;

    make_topic(store, "s", 1);
    make_topic(store, "t", 1);
    append(store, "s", 0, 0, 100);
    append(store, "t", 0, 0, 200);
    commit(store, "g", "t", 200);
    OK(rill_snapshot(store, test_path("copy"), &options));
    copy = open_at(test_path("copy"));
    assert_int_equal(committed(copy, "g", "t"), 200);
    assert_int_equal(log_end_of(copy, "t", 0), 200); /* of the same moment */
    OK(rill_close(copy));
}

static int delete_topic(void *arg, const rill_progress *progress)
{
    struct meanwhile *m = arg;

    (void)progress;
    if (m->calls++ != 0) return 0;
    OK(rill_topic_delete(m->store, m->deletes));
    make_topic(m->store, m->deletes, 1); /* another one */
    return 0;
}

static void a_topic_that_goes_meanwhile_is_left_out(void **state)
{
    rill *store = *state;
    struct meanwhile m = {.store = store};
    const char *named[] = {"a", "b"};
    rill_copy_options options = {
        .size = sizeof options, .progress = delete_topic, .progress_arg = &m};
    rill *copy;

    for (int i = 0; i < 2; i++) {
        m.calls = 0;
        m.deletes = i == 0 ? "a" : "b"; /* the one that is being copied; one to come */
        if (i == 0) make_topic(store, "a", 1);
        if (i == 0) make_topic(store, "b", 1);
        append(store, "a", 0, 0, 150);
        append(store, "b", 0, 0, i == 0 ? 150 : 0);
        OK(rill_snapshot(store, test_path(named[i]), &options));
        copy = open_at(test_path(named[i]));
        assert_int_equal(topics_of(copy), 1);
        holds(copy, i == 0 ? "b" : "a", 0, 150);
        OK(rill_close(copy));
    }
    m.calls = 0;
    options.topics = named;
    options.topic_count = 2;
    FAILS(RILL_ERR_NOT_FOUND, rill_snapshot(store, test_path("asked"), &options));
    test_says("deleted");
    is_refused(test_path("asked"));
}

/* ---- Shared files ---- */

static struct sys_calls real;
static int boot;

/* The kernel's id of this boot is ours. */
static int open_of_boot(int dir, const char *name, int flags, ...)
{
    char text[40];
    va_list args;
    mode_t mode;
    int fd;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, int) : 0;
    va_end(args);
    if (strstr(name, "boot_id") == NULL) return real.openat(dir, name, flags, mode);
    fd = memfd_create("boot_id", 0);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, (size_t)snprintf(text, sizeof text, "%032d", boot), 0), 32);
    return fd;
}

/* A process that dies in the middle of it, and then a boot. */
static void append_and_die(const char *path, int64_t end)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        append(open_at(path), "t", 0, end, 150);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    boot++;
}

static void use_heavily(const char *path, int64_t end)
{
    rill *store;

    for (int round = 0; round < 3; round++) {
        append_and_die(path, end);
        end += 150;
        store = open_at(path);
        holds(store, "t", 0, end);
        append(store, "t", 0, end, 150);
        end += 150;
        OK(rill_maintain(store, NULL));
        OK(rill_sync(store, WAIT_MS));
        OK(rill_close(store));
    }
    store = open_at(path);
    holds(store, "t", 0, end);
    commit(store, "g", "t", end);
    append(store, "u", 0, 70, 70);
    OK(rill_topic_delete(store, "u"));
    make_topic(store, "u", 1);
    OK(rill_close(store));
}

/* The files of `of` that it had and that are shared have the same bytes as ever,
 * whatever is done with the store at `used`. */
static void keeps_its_bytes(const char *of, const char *used, int64_t end)
{
    struct files *before = files_of(of);
    struct files *after;

    assert_true(shared_files(before) >= 6);
    use_heavily(used, end);
    after = files_of(of);
    assert_int_equal(same_bytes(before, after), 0);
    assert_int_equal(before->count, after->count);
    free(before);
    free(after);
}

static void neither_writes_to_what_both_have(void **state)
{
    rill *store = *state;

    real = rill__sys;
    make_topic(store, "t", 1);
    make_topic(store, "u", 1);
    append(store, "t", 0, 0, 200);
    append(store, "u", 0, 0, 70);
    OK(rill_snapshot(store, test_path("copy"), NULL));
    OK(rill_close(store));
    rill__sys.openat = open_of_boot;
    keeps_its_bytes(test_path("store"), test_path("copy"), 200);
    keeps_its_bytes(test_path("copy"), test_path("store"), 200);
    rill__sys = real;
    *state = test_store_open();
}

/* ---- Restoring, verifying ---- */

static void a_snapshot_is_restored_open_or_closed(void **state)
{
    const char *topics[] = {"u"};
    rill_copy_options options = {.size = sizeof options, .flags = RILL_COPY_VERIFY};
    rill *store = *state;
    rill *snapshot;
    rill *copy;

    make_topic(store, "t", 1);
    make_topic(store, "u", 1);
    append(store, "t", 0, 0, 150);
    append(store, "u", 0, 0, 10);
    commit(store, "g", "t", 77);
    OK(rill_snapshot(store, test_path("snapshot"), &options));
    OK(rill_restore(test_path("snapshot"), test_path("one"), &options));
    copy = open_at(test_path("one"));
    holds(copy, "t", 0, 150);
    assert_int_equal(committed(copy, "g", "t"), 77);
    append(copy, "t", 0, 150, 100);
    OK(rill_close(copy));
    snapshot = open_at(test_path("snapshot"));
    holds(snapshot, "t", 0, 150);
    options.flags = RILL_COPY_ANY_FILE_SYSTEM | RILL_COPY_NO_LINKS;
    options.topics = topics;
    options.topic_count = 1;
    OK(rill_restore(test_path("snapshot"), test_path("two"), &options));
    OK(rill_close(snapshot));
    copy = open_at(test_path("two"));
    assert_int_equal(topics_of(copy), 1);
    holds(copy, "u", 0, 10);
    OK(rill_close(copy));
    FAILS(RILL_ERR_INVALID, rill_restore(test_path("snapshot"), test_path("two"), NULL));
    snapshot = open_at(test_path("snapshot"));
    holds(snapshot, "t", 0, 150);
    OK(rill_close(snapshot));
}

/* Of a segment that is shared, of the last one, of the catalogue. */
static void damage_is_found_if_it_is_asked_for(void **state)
{
    static const struct {
        const char *file;
        long at;
        const char *says;
    } damages[] = {{"/00000000000000000000.log", 30000, "checksum"},
                   {"/00000000000000000000.log", 128 + 20, "position 128"},
                   {"/00000000000000000000.log", 20, "header"},
                   {"/00000000000000000120.log", 300, "checksum"}};
    rill_copy_options options = {.size = sizeof options, .flags = RILL_COPY_VERIFY};
    rill *store = *state;
    char path[1200];

    make_topic(store, "t", 1);
    append(store, "t", 0, 0, 150);
    OK(rill_sync(store, WAIT_MS));
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        snprintf(path, sizeof path, "%s", test_find_file(damages[i].file));
        test_flip_bit(path, damages[i].at);
        FAILS(RILL_ERR_CORRUPT, rill_snapshot(store, test_path("copy"), &options));
        test_says(damages[i].says);
        test_remove(test_path("copy")); /* else it is found in the place of the store's */
        test_flip_bit(path, damages[i].at);
    }
    OK(rill_snapshot(store, test_path("copy"), &options));
}

/* ---- Beside a process that writes ---- */

enum { WRITER_TOPICS = 2, SNAPSHOTS = 8 };

/* How far it is: acknowledged, and on its way. */
static struct progress {
    _Atomic int64_t acknowledged[WRITER_TOPICS];
    _Atomic int64_t attempted[WRITER_TOPICS];
    _Atomic int stop;
} * progress;

static void write_until_told(const char *path)
{
    rill_producer_options options = {.size = sizeof options, .acks = RILL_ACKS_WRITTEN};
    static const char *const topics[WRITER_TOPICS] = {"t", "u"};
    rill_producer *producer;
    uint64_t value[VALUE / 8] = {0};
    rill *store;

    if (rill_open(path, NULL, &store) != 0 || rill_producer_open(store, &options, &producer) != 0)
        _exit(1);
    for (int64_t n = 0; n < 20000 && !atomic_load(&progress->stop); n++) {
        if (n % 10 == 0) usleep(500); /* the others have something to do, too */
        for (int i = 0; i < WRITER_TOPICS; i++) {
            rill_record record = RILL_RECORD_INIT;
            record.topic = topics[i];
            record.partition = 0;
            value[0] = (uint64_t)n;
            record.value = (rill_bytes){value, sizeof value};
            atomic_store(&progress->attempted[i], n + 1);
            if (rill_producer_append(producer, &record, 1, WAIT_MS, NULL) != 0) _exit(2);
            atomic_store(&progress->acknowledged[i], n + 1);
        }
    }
    if (rill_producer_close(producer, WAIT_MS) != 0 || rill_close(store) != 0) _exit(3);
    _exit(0);
}

static void what_was_acknowledged_is_there_and_nothing_else(void **state)
{
    static const char *const topics[WRITER_TOPICS] = {"t", "u"};
    rill_copy_options options = {.size = sizeof options};
    rill *store = *state;
    int status;
    pid_t pid;

    progress = test_shared(sizeof *progress);
    for (int i = 0; i < WRITER_TOPICS; i++) make_topic(store, topics[i], 1);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) write_until_told(test_path("store"));
    while (atomic_load(&progress->acknowledged[1]) == 0 && waitpid(pid, &status, WNOHANG) == 0)
        usleep(1000);
    for (int n = 0; n < SNAPSHOTS; n++) {
        int64_t before[WRITER_TOPICS];
        rill *copy;

        for (int i = 0; i < WRITER_TOPICS; i++)
            before[i] = atomic_load(&progress->acknowledged[i]);
        options.flags = n % 2 == 0 ? RILL_COPY_VERIFY : RILL_COPY_NO_LINKS;
        OK(rill_snapshot(store, test_path("copy"), &options));
        copy = open_at(test_path("copy"));
        for (int i = 0; i < WRITER_TOPICS; i++) {
            int64_t end = log_end_of(copy, topics[i], 0);
            assert_in_range(end, before[i], atomic_load(&progress->attempted[i]));
            holds(copy, topics[i], 0, end);
        }
        OK(rill_close(copy));
        test_remove(test_path("copy"));
    }
    atomic_store(&progress->stop, 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < WRITER_TOPICS; i++)
        holds(store, topics[i], 0, atomic_load(&progress->acknowledged[i]));
    munmap(progress, sizeof *progress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_copy_is_a_store_with_all_that_was_there),
        WITH_STORE(only_some_topics_are_copied),
        WITH_STORE(a_segment_that_was_just_begun_is_copied),
        WITH_STORE(what_cannot_be_linked_is_copied),
        WITH_STORE(a_copy_needs_a_directory_of_its_own),
        WITH_STORE(what_is_asked_for_must_make_sense),
        WITH_STORE(whoever_is_told_may_stop_it),
        WITH_STORE(a_copy_that_died_is_known_and_made_again),
        WITH_STORE(one_copy_at_a_time_is_made_in_a_place),
        WITH_STORE(all_is_copied_as_it_was_at_one_moment),
        WITH_STORE(no_group_has_committed_beyond_the_end),
        WITH_STORE(a_topic_that_goes_meanwhile_is_left_out),
        WITH_STORE(neither_writes_to_what_both_have),
        WITH_STORE(a_snapshot_is_restored_open_or_closed),
        WITH_STORE(damage_is_found_if_it_is_asked_for),
        WITH_STORE(what_was_acknowledged_is_there_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
