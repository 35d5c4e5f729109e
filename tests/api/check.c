/*
 * rill_check: a sound store is clean, closed, killed or in use; every kind of damage
 * is told once, with its place, its records and what it means; what is not told is
 * there; nothing is changed by looking.
 */
#include "checks.h"
#include "records.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "meta/meta.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { RECORDS = 100, VALUE = 1000, SEGMENT_HEADER = 128, BATCH = 64 + 16 + VALUE };

static rill *store;

/* Topic t has 100 records in two segments of partition 0; group g has committed 7. */
static int set_up(void **state)
{
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    rill_position position = {.topic = "t", .offset = 7, .leader_epoch = -1};
    rill_consumer *consumer;

    (void)state;
    test_directory();
    store = test_store_open();
    test_topic(store, "t", 2);
    test_topic(store, "other", 1);
    test_store_append(store, "t", 0, RECORDS, VALUE);
    test_store_append(store, "other", 0, 3, 10);
    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (store != NULL) rill_close(store);
    store = NULL;
    test_directory_remove();
    return 0;
}

static void close_it(void)
{
    OK(rill_close(store));
    store = NULL;
}

/* The shared words are of an earlier boot. */
static int forget(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    char zeros[4096] = {0};
    int fd;

    (void)st, (void)where;
    if (kind != FTW_F || strcmp(strrchr(path, '/'), "/control") != 0) return 0;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, 0), sizeof zeros);
    close(fd);
    return 0;
}

static void forget_boot(void)
{
    assert_int_equal(nftw(test_path("store"), forget, 16, FTW_PHYS), 0);
}

static const char *path_in(const char *topic, int partition, const char *name)
{
    static char path[1500];
    static char ids[2][33];
    char *id = ids[topic[0] == 't'];

    if (store != NULL) {
        rill_topic_info info;
        OK(rill_topic_describe(store, topic, &info));
        for (int i = 0; i < 16; i++) snprintf(id + (size_t)i * 2, 3, "%02x", info.id[i]);
    }
    snprintf(path, sizeof path, "%s/%s/%d/%s", test_path("store"), id, partition, name);
    return path;
}

#define FIRST "00000000000000000000.log"
#define FIRST_INDEX "00000000000000000000.index"
/* Segments of 64 KiB hold 60 such batches. */
#define SECOND "00000000000000000060.log"

/* Closes the store, having learnt where its files are. */
static const char *closed(const char *name)
{
    static char path[1500];

    snprintf(path, sizeof path, "%s", path_in("t", 0, name));
    path_in("other", 0, name);
    if (store != NULL) close_it();
    return path;
}

static void change(const char *path, long at, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, at), (ssize_t)size);
    close(fd);
}

static const struct found *only(int32_t kind, int32_t severity)
{
    const struct found *f = check_found(kind);

    if (found_count != 1) fail_msg("more than one:%s", check_says());
    assert_int_equal(f->severity, severity);
    return f;
}

static void is_at(const struct found *f, const char *file_end, int64_t position, int64_t size)
{
    size_t length = strlen(f->file);

    if (length < strlen(file_end) || strcmp(f->file + length - strlen(file_end), file_end) != 0)
        fail_msg("file %s", f->file);
    assert_int_equal(f->position, position);
    assert_int_equal(f->size, size);
}

static void has_range(const struct found *f, int64_t first, int64_t end)
{
    assert_int_equal(f->first, first);
    assert_int_equal(f->end, end);
}

static void is_of(const struct found *f, const char *topic, int32_t partition)
{
    assert_string_equal(f->topic, topic);
    assert_int_equal(f->partition, partition);
}

/* ---- Sound stores ---- */

static void a_sound_store_is_clean(void **state)
{
    (void)state;
    check_is_clean(); /* open in this process */
    assert_int_equal(found_report.topic_count, 2);
    assert_int_equal(found_report.partition_count, 3);
    assert_int_equal(found_report.segment_count, 3);
    assert_int_equal(found_report.batch_count, RECORDS + 3);
    assert_int_equal(found_report.record_count, RECORDS + 3);
    assert_int_equal(found_report.group_count, 1);
    assert_int_equal(found_report.commit_count, 1);
    assert_true(found_report.bytes_checked >= 3 * (64 << 10));
    close_it();
    check_is_clean();
    forget_boot();
    check_is_clean();
    assert_int_equal(found_report.record_count, RECORDS + 3);
    OK(check_directory(test_path("store"), RILL_CHECK_FROM_DISK));
    assert_int_equal(found_count, 0);
}

static void an_empty_store_is_clean(void **state)
{
    (void)state;
    close_it();
    test_remove(test_path("store"));
    store = test_store_open();
    check_is_clean();
    test_topic(store, "empty", 3);
    check_is_clean();
    close_it();
    check_is_clean();
    forget_boot();
    check_is_clean();
    assert_int_equal(found_report.partition_count, 3);
}

static uint64_t sum;

static int add_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    char bytes[4096];
    ssize_t got;
    int fd;

    (void)where;
    sum = sum * 31 + rill__checksum(path, strlen(path)) + (uint64_t)st->st_mtim.tv_nsec +
          (uint64_t)st->st_size;
    if (kind != FTW_F) return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while ((got = read(fd, bytes, sizeof bytes)) > 0) sum += rill__checksum(bytes, (size_t)got);
    close(fd);
    return 0;
}

static void looking_changes_nothing(void **state)
{
    uint64_t before;

    (void)state;
    test_flip_bit(closed(FIRST), SEGMENT_HEADER + 500);
    nftw(test_path("store"), add_file, 16, FTW_PHYS);
    before = sum;
    sum = 0;
    check_store();
    check_store();
    assert_true(found_count > 0);
    nftw(test_path("store"), add_file, 16, FTW_PHYS);
    assert_true(sum == before);
}

static void a_killed_store_is_clean(void **state)
{
    pid_t pid;
    int status;

    (void)state;
    close_it();
    pid = fork();
    if (pid == 0) {
        store = test_store_open();
        test_store_append(store, "t", RECORDS, 20, VALUE);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    check_is_clean();
    assert_int_equal(found_report.record_count, RECORDS + 23);
}

static void a_directory_that_is_no_store_is_not_found(void **state)
{
    rill_check_report report = {.size = sizeof report};

    (void)state;
    FAILS(RILL_ERR_NOT_FOUND, rill_check(test_path("nowhere"), NULL, &report));
    assert_int_equal(mkdir(test_path("empty"), 0700), 0);
    FAILS(RILL_ERR_NOT_FOUND, rill_check(test_path("empty"), NULL, &report));
}

static void arguments_are_checked(void **state)
{
    rill_check_options options = {.size = sizeof options, .flags = 8};
    rill_check_report report = {.size = sizeof report};
    char path[600];

    (void)state;
    FAILS(RILL_ERR_INVALID, rill_check(NULL, NULL, &report));
    FAILS(RILL_ERR_INVALID, rill_check("", NULL, &report));
    FAILS(RILL_ERR_INVALID, rill_check("x", NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_check(test_path("store"), &options, &report));
    options.flags = 0;
    options.allocator.arg = &report;
    options.allocator.release = (void (*)(void *, void *))(uintptr_t)1;
    FAILS(RILL_ERR_INVALID, rill_check(test_path("store"), &options, &report));
    report.size = 3;
    FAILS(RILL_ERR_INVALID, rill_check(test_path("store"), NULL, &report));
    report.size = sizeof report;
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    FAILS(RILL_ERR_INVALID, rill_check(path, NULL, &report));
    report.size = offsetof(rill_check_report, records_lost);
    report.records_lost = 77; /* behind what the caller knows */
    OK(rill_check(test_path("store"), NULL, &report));
    assert_int_equal(report.error_count, 0);
    assert_int_equal(report.records_lost, 77);
}

static uint64_t seen_done;
static int calls;

static int see_progress(void *arg, const rill_progress *progress)
{
    assert_non_null(progress->what);
    assert_true(progress->done >= seen_done);
    assert_true(progress->done <= progress->total);
    seen_done = progress->done;
    return ++calls == *(int *)arg ? 4711 : 0;
}

static void progress_goes_from_nothing_to_all_and_can_stop_it(void **state)
{
    int stop_at = -1;
    rill_check_options options = {
        .size = sizeof options, .progress = see_progress, .progress_arg = &stop_at};
    rill_check_report report = {.size = sizeof report};
    int all;

    (void)state;
    seen_done = 0;
    calls = 0;
    OK(rill_check(test_path("store"), &options, &report));
    assert_true(seen_done >= 3 * (64 << 10));
    all = calls;
    assert_true(all >= 4);
    for (stop_at = 1; stop_at <= all; stop_at++) {
        seen_done = 0;
        calls = 0;
        assert_int_equal(rill_check(test_path("store"), &options, &report), 4711);
        assert_int_equal(calls, stop_at);
    }
}

static int stop_it(void *arg, const rill_damage *damage)
{
    (void)damage;
    ++*(int *)arg;
    return 99;
}

static void visit_can_stop_it(void **state)
{
    int told = 0;
    rill_check_options options = {.size = sizeof options, .visit = stop_it, .visit_arg = &told};
    rill_check_report report = {.size = sizeof report};

    (void)state;
    test_flip_bit(closed(FIRST), SEGMENT_HEADER + 500);
    test_flip_bit(closed(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    assert_int_equal(rill_check(test_path("store"), &options, &report), 99);
    assert_int_equal(told, 1);
}

/* ---- While others write ---- */

struct busy {
    rill *store;
    _Atomic int stop;
    _Atomic int rounds;
};

/* Appends, durably or not, rolls, commits, makes and deletes topics, until told to
 * stop. */
static void be_busy(rill *of, _Atomic int *stop, _Atomic int *rounds)
{
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_consumer_options in = {.size = sizeof in, .group = "busy"};
    rill_position position = {.topic = "t", .leader_epoch = -1};
    rill_topic_options small = {
        .size = sizeof small, .partition_count = 3, .segment_bytes = 64 << 10};
    static char value[3000];
    rill_producer *producer;
    rill_consumer *consumer;

    thread_ok(rill_consumer_open(of, &in, &consumer), "consumer");
    for (int i = 0; !atomic_load(stop); i++) {
        rill_record records[7];
        char name[20];
        uint32_t next;

        out.acks = i % 3 == 0 ? RILL_ACKS_DURABLE : RILL_ACKS_WRITTEN;
        thread_ok(rill_producer_open(of, &out, &producer), "producer");
        for (int j = 0; j < 7; j++) {
            records[j] = (rill_record)RILL_RECORD_INIT;
            records[j].partition = i % 2;
            records[j].value = (rill_bytes){value, (size_t)(i * 131 % 3000)};
        }
        for (int j = 0; j < 5; j++)
            thread_ok(rill_producer_append(producer, records, 7, WAIT_MS, &position.offset),
                      "append");
        thread_ok(rill_producer_close(producer, WAIT_MS), "close");
        position.partition = i % 2;
        thread_ok(rill_consumer_commit(consumer, &position, 1), "commit");
        if (i % 4 == 0) {
            snprintf(name, sizeof name, "new-%d", i);
            thread_ok(rill_topic_create(of, name, &small), "create");
            if (i % 8 == 0) thread_ok(rill_topic_delete(of, name), "delete");
        }
        thread_ok(rill_maintain(of, &next), "maintain");
        atomic_fetch_add(rounds, 1);
    }
    thread_ok(rill_consumer_close(consumer, WAIT_MS), "close");
}

static void *write_on(void *arg)
{
    struct busy *busy = arg;

    be_busy(busy->store, &busy->stop, &busy->rounds);
    return NULL;
}

static void stays_clean_until(_Atomic int *rounds, int enough)
{
    int checks = 0;

    do {
        check_store();
        for (int i = 0; i < found_count; i++)
            if (found[i].severity != RILL_LOG_INFO || found[i].kind != RILL_DAMAGE_COMMIT)
                fail_msg("a false alarm:%s", check_says());
        checks++;
    } while (atomic_load(rounds) < enough || checks < 20);
}

static void what_a_thread_writes_meanwhile_is_no_damage(void **state)
{
    struct busy busy = {.store = store};
    pthread_t thread;

    (void)state;
    thread = thread_start(write_on, &busy);
    stays_clean_until(&busy.rounds, 60);
    atomic_store(&busy.stop, 1);
    thread_join(thread);
    close_it();
    check_is_clean();
}

static void what_processes_write_meanwhile_is_no_damage(void **state)
{
    struct shared_words {
        _Atomic int stop;
        _Atomic int rounds;
    } *words = test_shared(sizeof *words);
    pid_t pids[2];
    int status;

    (void)state;
    close_it();
    pids[0] = fork();
    if (pids[0] == 0) { /* stays in the store */
        rill *of = test_store_open();
        be_busy(of, &words->stop, &words->rounds);
        rill_close(of);
        _exit(0);
    }
    pids[1] = fork();
    if (pids[1] == 0) { /* comes and goes; for a moment nobody may be there */
        while (!atomic_load(&words->stop)) {
            rill *of = test_store_open();
            test_store_append(of, "other", 0, 10, 500);
            rill_close(of);
        }
        _exit(0);
    }
    stays_clean_until(&words->rounds, 60);
    atomic_store(&words->stop, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    check_is_clean();
    munmap(words, sizeof *words);
}

static void who_comes_and_goes_meanwhile_is_no_damage(void **state)
{
    struct shared_words {
        _Atomic int stop;
        _Atomic int rounds;
    } *words = test_shared(sizeof *words);
    pid_t pid;
    int status;

    (void)state;
    close_it();
    pid = fork();
    if (pid == 0) {
        while (!atomic_load(&words->stop)) {
            rill *of = test_store_open();
            test_store_append(of, "t", 0, 10, 5000);
            rill_close(of);
            atomic_fetch_add(&words->rounds, 1);
        }
        _exit(0);
    }
    stays_clean_until(&words->rounds, 60);
    atomic_store(&words->stop, 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    munmap(words, sizeof *words);
}

/* ---- Segments ---- */

static void damaged_batches_are_told_one_by_one(void **state)
{
    const struct found *f;
    const char *path = closed(FIRST);

    (void)state;
    for (int boot = 0; boot < 2; boot++) {
        test_flip_bit(path, SEGMENT_HEADER + 5 * BATCH + 500);
        check_store();
        f = only(RILL_DAMAGE_BATCH, RILL_LOG_ERROR);
        is_of(f, "t", 0);
        is_at(f, "/0/" FIRST, SEGMENT_HEADER + 5 * BATCH, BATCH);
        has_range(f, 5, 6);
        assert_non_null(strstr(f->text, "checksum"));
        assert_int_equal(found_report.records_lost, 1);
        assert_int_equal(found_report.record_count, RECORDS + 3 - 1);

        test_flip_bit(path, SEGMENT_HEADER + 59 * BATCH + 20); /* the last one's length */
        test_flip_bit(path, SEGMENT_HEADER + 20);              /* the first one's */
        check_store();
        assert_int_equal(found_count, 3);
        has_range(&found[0], 0, 1);
        has_range(&found[1], 5, 6);
        has_range(&found[2], 59, 60);
        assert_int_equal(found[2].size, -1);
        assert_int_equal(found_report.records_lost, 3);
        test_flip_bit(path, SEGMENT_HEADER + 5 * BATCH + 500);
        test_flip_bit(path, SEGMENT_HEADER + 59 * BATCH + 20);
        test_flip_bit(path, SEGMENT_HEADER + 20);
        check_is_clean();
        forget_boot();
    }
}

static void damage_in_the_active_segment_is_told_up_to_its_end(void **state)
{
    const char *path = closed(SECOND);

    (void)state;
    for (int boot = 0; boot < 2; boot++) {
        test_flip_bit(path, SEGMENT_HEADER + 39 * BATCH + 500);
        check_store();
        has_range(only(RILL_DAMAGE_BATCH, RILL_LOG_ERROR), 99, 100);
        test_flip_bit(path, SEGMENT_HEADER + 39 * BATCH + 500);
        forget_boot();
    }
}

static void zeros_where_batches_were_are_damage(void **state)
{
    static const char zeros[3 * BATCH];
    const char *path = closed(FIRST);
    const struct found *f;

    (void)state;
    change(path, SEGMENT_HEADER + 10 * BATCH, zeros, sizeof zeros);
    check_store();
    f = only(RILL_DAMAGE_BATCH, RILL_LOG_ERROR);
    has_range(f, 10, 13);
    is_at(f, FIRST, SEGMENT_HEADER + 10 * BATCH, 3 * BATCH);
    /* Up to the end of the segment: it could be one that is missing. */
    change(path, SEGMENT_HEADER + 57 * BATCH, zeros, sizeof zeros);
    check_store();
    assert_int_equal(found_count, 2);
    has_range(&found[1], 57, 60);
}

static void batches_in_each_others_place_are_damage(void **state)
{
    static char one[BATCH];
    static char two[BATCH];
    const char *path = closed(FIRST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pread(fd, one, BATCH, SEGMENT_HEADER + 3 * BATCH), BATCH);
    assert_int_equal(pread(fd, two, BATCH, SEGMENT_HEADER + 8 * BATCH), BATCH);
    close(fd);
    change(path, SEGMENT_HEADER + 3 * BATCH, two, BATCH);
    change(path, SEGMENT_HEADER + 8 * BATCH, one, BATCH);
    check_store();
    assert_true(found_report.error_count >= 1);
    assert_int_equal(check_found(RILL_DAMAGE_BATCH)->first, 3);
}

static void a_lost_segment_is_told(void **state)
{
    const struct found *f;
    char path[1500];

    (void)state;
    snprintf(path, sizeof path, "%s", closed(FIRST));
    for (int boot = 0; boot < 2; boot++) {
        assert_int_equal(rename(path, test_path("away")), 0);
        check_store();
        f = check_found(RILL_DAMAGE_SEGMENT_MISSING);
        has_range(f, 0, 60);
        is_of(f, "t", 0);
        is_at(f, FIRST, -1, -1);
        assert_int_equal(check_found(RILL_DAMAGE_LEFTOVER)->severity,
                         RILL_LOG_INFO); /* its index */
        assert_int_equal(found_count, 2);
        assert_int_equal(rename(test_path("away"), path), 0);

        snprintf(path, sizeof path, "%s", closed(SECOND));
        assert_int_equal(rename(path, test_path("away")), 0);
        check_store();
        has_range(check_found(RILL_DAMAGE_SEGMENT_MISSING), 60, 100);
        assert_int_equal(rename(test_path("away"), path), 0);
        snprintf(path, sizeof path, "%s", closed(FIRST));
        forget_boot();
    }
    check_is_clean();
}

static void a_damaged_header_is_told_with_all_that_it_hides(void **state)
{
    const char *path = closed(FIRST);
    const struct found *f;

    (void)state;
    test_flip_bit(path, 30);
    check_store();
    f = only(RILL_DAMAGE_SEGMENT_HEADER, RILL_LOG_ERROR);
    is_at(f, FIRST, 0, 64 << 10);
    has_range(f, 0, 60);
    test_flip_bit(path, 30);
    test_flip_bit(closed(SECOND), 30);
    check_store();
    has_range(only(RILL_DAMAGE_SEGMENT_HEADER, RILL_LOG_ERROR), 60, 100);
}

static void another_partitions_segment_is_told(void **state)
{
    char command[4000];
    const struct found *f;

    (void)state;
    closed(FIRST);
    snprintf(command, sizeof command, "cp '%s' '%s'", path_in("other", 0, FIRST), closed(FIRST));
    snprintf(command, sizeof command, "cp '%s' ", path_in("other", 0, FIRST));
    snprintf(command + strlen(command), sizeof command - strlen(command), "'%s'", closed(FIRST));
    assert_int_equal(system(command), 0);
    check_store();
    f = only(RILL_DAMAGE_SEGMENT_HEADER, RILL_LOG_ERROR);
    has_range(f, 0, 60);
    assert_non_null(strstr(f->text, "another"));
}

static void a_segment_that_was_cut_is_told(void **state)
{
    (void)state;
    assert_int_equal(truncate(closed(FIRST), 20000), 0);
    check_store();
    has_range(only(RILL_DAMAGE_SEGMENT_SIZE, RILL_LOG_ERROR), 0, 60);
    assert_int_equal(truncate(closed(FIRST), 100), 0);
    check_store();
    has_range(only(RILL_DAMAGE_SEGMENT_SIZE, RILL_LOG_ERROR), 0, 60);
}

static void a_newer_format_is_not_damage_but_told(void **state)
{
    uint8_t header[SEGMENT_HEADER];
    const char *path = closed(FIRST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    rill__put16(header + 8, 7);
    rill__put64(header + 120, rill__checksum(header, 120));
    change(path, 0, header, sizeof header);
    check_store();
    only(RILL_DAMAGE_FORMAT, RILL_LOG_ERROR);
}

static void a_file_that_is_none_is_told(void **state)
{
    char path[1500];

    (void)state;
    snprintf(path, sizeof path, "%s", closed(FIRST));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    check_store();
    has_range(only(RILL_DAMAGE_UNREADABLE, RILL_LOG_ERROR), 0, 60);
}

/* The checksum of a batch made right, as the library would. */
static void reseal(uint8_t *batch, uint32_t length, uint64_t old_sum)
{
    rill__put64(batch, rill__get64(batch) ^ old_sum ^ rill__checksum(batch + 20, length - 20));
}

static void a_record_that_cannot_be_in_a_batch_that_verifies(void **state)
{
    static uint8_t batch[BATCH];
    const char *path = closed(FIRST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t old_sum;
    const struct found *f;

    (void)state;
    assert_int_equal(pread(fd, batch, BATCH, SEGMENT_HEADER + 4 * BATCH), BATCH);
    close(fd);
    old_sum = rill__checksum(batch + 20, BATCH - 20);
    rill__put32(batch + 64 + 4, VALUE + 5000); /* the value's size */
    reseal(batch, BATCH, old_sum);
    change(path, SEGMENT_HEADER + 4 * BATCH, batch, BATCH);
    check_store();
    f = only(RILL_DAMAGE_RECORD, RILL_LOG_ERROR);
    is_at(f, FIRST, SEGMENT_HEADER + 4 * BATCH, BATCH);
    has_range(f, 4, 5);
}

/* ---- Indexes ---- */

static void damaged_indexes_are_notes(void **state)
{
    const char *path = closed(FIRST_INDEX);

    (void)state;
    for (int boot = 0; boot < 2; boot++) {
        test_flip_bit(path, 64 + 3 * 16 + 5);
        test_flip_bit(path, 64 + 5 * 16 + 1);
        check_store();
        is_at(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO), FIRST_INDEX, 64 + 3 * 16, 16);
        test_flip_bit(path, 64 + 3 * 16 + 5);
        test_flip_bit(path, 64 + 5 * 16 + 1);
        test_flip_bit(path, 33); /* its header */
        check_store();
        is_at(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO), FIRST_INDEX, -1, -1);
        test_flip_bit(path, 33);
        check_is_clean();
        forget_boot();
    }
    assert_int_equal(truncate(path, 70), 0);
    check_store();
    only(RILL_DAMAGE_INDEX, RILL_LOG_INFO);
    assert_int_equal(truncate(path, 10), 0);
    check_store();
    only(RILL_DAMAGE_INDEX, RILL_LOG_INFO);
    assert_int_equal(unlink(path), 0);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "missing"));
}

static void a_seal_that_lies_is_told(void **state)
{
    uint8_t header[64];
    const char *path = closed(FIRST_INDEX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    rill__put64(header + 40, 5); /* the largest timestamp */
    rill__put64(header + 56, rill__checksum(header, 56));
    change(path, 0, header, sizeof header);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "late"));
    rill__put64(header + 32, 59); /* the end offset */
    rill__put64(header + 56, rill__checksum(header, 56));
    change(path, 0, header, sizeof header);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "ends elsewhere"));
    rill__put32(header + 24, UINT32_MAX);
    rill__put64(header + 56, rill__checksum(header, 56));
    change(path, 0, header, sizeof header);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "sealed"));
    rill__put32(header + 24, 100000);
    rill__put64(header + 56, rill__checksum(header, 56));
    change(path, 0, header, sizeof header);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_INDEX, RILL_LOG_INFO)->text, "fewer entries"));
}

/* ---- Control files ---- */

static void damaged_marks_are_told(void **state)
{
    const char *path = closed("control");
    const struct found *f;

    (void)state;
    test_flip_bit(path, 4096 + 17);
    check_store();
    is_at(only(RILL_DAMAGE_MARK, RILL_LOG_WARNING), "/0/control", 4096, 64);
    test_flip_bit(path, 4608 + 17);
    check_store();
    f = only(RILL_DAMAGE_MARK, RILL_LOG_ERROR);
    is_of(f, "t", 0);
    test_flip_bit(path, 4096 + 17);
    check_store();
    is_at(only(RILL_DAMAGE_MARK, RILL_LOG_WARNING), "/0/control", 4608, 64);
    test_flip_bit(path, 4608 + 17);
    check_is_clean();
}

static void without_marks_all_that_is_there_is_still_checked(void **state)
{
    char path[1500];

    (void)state;
    snprintf(path, sizeof path, "%s", closed("control"));
    forget_boot();
    test_flip_bit(path, 4096 + 17);
    test_flip_bit(path, 4608 + 17);
    test_flip_bit(closed(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    test_flip_bit(closed(SECOND), SEGMENT_HEADER + 5 * BATCH + 500);
    check_store();
    assert_int_equal(found_count, 3);
    has_range(&found[1], 5, 6);
    has_range(&found[2], 65, 66);
    assert_int_equal(found_report.record_count, RECORDS + 3 - 2);
}

static void a_mark_at_no_batch_is_told(void **state)
{
    uint8_t mark[64];
    const char *path = closed("control");
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)state;
    for (int at = 4096; at <= 4608; at += 512) {
        assert_int_equal(pread(fd, mark, sizeof mark, at), sizeof mark);
        rill__put32(mark + 32, rill__get32(mark + 32) - 8);
        rill__put64(mark + 56, rill__checksum(mark, 56));
        change(path, at, mark, sizeof mark);
    }
    close(fd);
    check_store();
    assert_non_null(strstr(only(RILL_DAMAGE_MARK, RILL_LOG_WARNING)->text, "no batch begins"));
}

static void a_lost_or_cut_control_file_is_told(void **state)
{
    const char *path = closed("control");

    (void)state;
    assert_int_equal(truncate(path, 5000), 0);
    check_store();
    is_at(only(RILL_DAMAGE_CONTROL, RILL_LOG_ERROR), "/0/control", -1, -1);
    assert_int_equal(unlink(path), 0);
    check_store();
    is_at(only(RILL_DAMAGE_CONTROL, RILL_LOG_ERROR), "/0/control", -1, -1);
    assert_int_equal(found_report.record_count, RECORDS + 3); /* all of it is read */
}

static void words_that_cannot_be_are_told(void **state)
{
    /* Any bit of the words of this boot: told, or without meaning. */
    const char *path = closed("control");
    int told = 0;

    (void)state;
    for (long at = 0; at < 1200; at++) {
        test_flip_bit(path, at);
        check_store();
        for (int i = 0; i < found_count; i++) {
            if (found[i].kind != RILL_DAMAGE_WORDS && found[i].kind != RILL_DAMAGE_POISONED &&
                found[i].kind != RILL_DAMAGE_INDEX)
                fail_msg("byte %ld:%s", at, check_says());
            told++;
        }
        test_flip_bit(path, at);
    }
    check_is_clean();
    assert_true(told > 30);
}

/* ---- The catalogue and directories ---- */

static void a_damaged_record_of_the_catalogue_is_told(void **state)
{
    static char bytes[1 << 20];
    const char *path = test_path("store/meta/data.mdb");
    ssize_t size;
    const char *name = NULL;
    const struct found *f;
    int fd;

    (void)state;
    close_it();
    fd = open(path, O_RDONLY | O_CLOEXEC);
    size = read(fd, bytes, sizeof bytes);
    close(fd);
    for (const char *at = bytes; at != NULL; at++) { /* the last one is of the newest page */
        at = memmem(at, (size_t)(bytes + size - at), "Tother", 6);
        if (at == NULL) break;
        test_flip_bit(path, at - bytes + 10); /* in its value */
        check_store();
        if (found_count > 0) {
            name = at;
            break;
        }
    }
    assert_non_null(name);
    f = check_found(RILL_DAMAGE_CATALOGUE_RECORD);
    assert_int_equal(f->severity, RILL_LOG_ERROR);
    assert_non_null(strstr(f->text, "topic other"));
    is_at(f, "meta/data.mdb", name - bytes, -1);
    f = check_found(RILL_DAMAGE_TOPIC_UNKNOWN);
    assert_int_equal(strlen(f->file), 32);
    assert_int_equal(found_count, 2);
    assert_int_equal(found_report.topic_count, 1);
    assert_int_equal(found_report.record_count, RECORDS + 3); /* also those without a name */
}

static void a_damaged_page_of_the_catalogue_is_told(void **state)
{
    const char *path = test_path("store/meta/data.mdb");

    (void)state;
    close_it();
    test_flip_bit(path, 16);
    check_store();
    is_at(check_found(RILL_DAMAGE_CATALOGUE), "meta/data.mdb", 0, -1);
    assert_int_equal(found_report.record_count, RECORDS + 3);
    assert_int_equal(unlink(path), 0);
    check_store();
    assert_non_null(strstr(check_found(RILL_DAMAGE_CATALOGUE)->text, "missing"));
    check_found(RILL_DAMAGE_TOPIC_UNKNOWN);
}

static void a_lost_directory_is_told(void **state)
{
    char path[1500];
    const struct found *f;

    (void)state;
    snprintf(path, sizeof path, "%s", closed(""));
    test_remove(path);
    check_store();
    f = only(RILL_DAMAGE_TOPIC_MISSING, RILL_LOG_ERROR);
    is_of(f, "t", 0);
    *strrchr(path, '/') = '\0';
    *strrchr(path, '/') = '\0';
    test_remove(path);
    check_store();
    f = only(RILL_DAMAGE_TOPIC_MISSING, RILL_LOG_ERROR);
    is_of(f, "t", -1);
}

static void make_file(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fclose(file);
}

static void what_is_left_over_is_told_when_nobody_is_there(void **state)
{
    static const char *const names[] = {"roll-log.tmp", "00000000000000000100.index", "stray",
                                        "00000000000000000030.log"};

    (void)state;
    closed(FIRST);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) make_file(closed(names[i]));
    make_file(test_path("store/note.txt"));
    assert_int_equal(mkdir(test_path("store/0123456789abcdef0123456789abcdef"), 0700), 0);
    assert_int_equal(mkdir(closed("../7"), 0700), 0);
    make_file(closed("../README"));
    check_store();
    assert_int_equal(found_count, 8);
    for (int i = 0; i < found_count; i++) {
        assert_int_equal(found[i].kind, RILL_DAMAGE_LEFTOVER);
        assert_int_equal(found[i].severity, RILL_LOG_INFO);
    }
    store = test_store_open();
    check_store();
    assert_int_equal(found_count, 0);
}

static void the_file_STORE_is_checked(void **state)
{
    const char *path = test_path("store/STORE");

    (void)state;
    close_it();
    test_flip_bit(path, 20);
    check_store();
    is_at(only(RILL_DAMAGE_STORE_FILE, RILL_LOG_ERROR), "STORE", -1, -1);
    assert_int_equal(unlink(path), 0);
    check_store();
    is_at(only(RILL_DAMAGE_STORE_FILE, RILL_LOG_ERROR), "STORE", -1, -1);
}

/* A commit that the library would not make. */
static void commit_anyhow(const uint8_t id[16], int32_t partition, int64_t offset)
{
    struct meta_offset o = {.partition = partition, .offset = offset};
    struct heap heap;
    struct meta *meta;

    memcpy(o.topic_id, id, 16);
    rill__heap_init(&heap, NULL, 0);
    OK(rill__meta_open(&heap, test_path("store/meta"), false, &meta));
    OK(rill__meta_offsets_commit(meta, "g2", &o, 1));
    rill__meta_close(meta);
}

static void commits_outside_of_their_partition_are_told(void **state)
{
    rill_topic_info info;
    const struct found *f;

    (void)state;
    OK(rill_topic_describe(store, "t", &info));
    close_it();
    commit_anyhow(info.id, 0, 101);
    check_store();
    f = only(RILL_DAMAGE_COMMIT, RILL_LOG_WARNING);
    is_of(f, "t", 0);
    assert_non_null(strstr(f->text, "Group g2 has committed offset 101"));
    forget_boot(); /* now recovery would lower it */
    check_store();
    only(RILL_DAMAGE_COMMIT, RILL_LOG_INFO);
    commit_anyhow(info.id, 0, 100);
    check_is_clean();
    commit_anyhow(info.id, 2, 0);
    check_store();
    is_of(only(RILL_DAMAGE_COMMIT, RILL_LOG_WARNING), "t", 2);
    info.id[5] ^= 1;
    commit_anyhow(info.id, 0, 0);
    commit_anyhow(info.id, 1, 0);
    check_store();
    assert_int_equal(found_count, 2);
    assert_true(strstr(found[0].text, "a topic that is gone") != NULL ||
                strstr(found[1].text, "a topic that is gone") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
        TEST(a_sound_store_is_clean),
        TEST(an_empty_store_is_clean),
        TEST(looking_changes_nothing),
        TEST(a_killed_store_is_clean),
        TEST(a_directory_that_is_no_store_is_not_found),
        TEST(arguments_are_checked),
        TEST(progress_goes_from_nothing_to_all_and_can_stop_it),
        TEST(visit_can_stop_it),
        TEST(what_a_thread_writes_meanwhile_is_no_damage),
        TEST(what_processes_write_meanwhile_is_no_damage),
        TEST(who_comes_and_goes_meanwhile_is_no_damage),
        TEST(damaged_batches_are_told_one_by_one),
        TEST(damage_in_the_active_segment_is_told_up_to_its_end),
        TEST(zeros_where_batches_were_are_damage),
        TEST(batches_in_each_others_place_are_damage),
        TEST(a_lost_segment_is_told),
        TEST(a_damaged_header_is_told_with_all_that_it_hides),
        TEST(another_partitions_segment_is_told),
        TEST(a_segment_that_was_cut_is_told),
        TEST(a_newer_format_is_not_damage_but_told),
        TEST(a_file_that_is_none_is_told),
        TEST(a_record_that_cannot_be_in_a_batch_that_verifies),
        TEST(damaged_indexes_are_notes),
        TEST(a_seal_that_lies_is_told),
        TEST(damaged_marks_are_told),
        TEST(without_marks_all_that_is_there_is_still_checked),
        TEST(a_mark_at_no_batch_is_told),
        TEST(a_lost_or_cut_control_file_is_told),
        TEST(words_that_cannot_be_are_told),
        TEST(a_damaged_record_of_the_catalogue_is_told),
        TEST(a_damaged_page_of_the_catalogue_is_told),
        TEST(a_lost_directory_is_told),
        TEST(what_is_left_over_is_told_when_nobody_is_there),
        TEST(the_file_STORE_is_checked),
        TEST(commits_outside_of_their_partition_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
