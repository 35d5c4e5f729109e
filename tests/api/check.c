/*
 * rill_check: a sound store is clean, closed, killed or in use; nothing is changed by
 * looking; and whoever asked sees how far it is and may stop it. What it says of damage
 * is in check_damage.c.
 */
#include "checks.h"
#include "records.h"
#include "samples.h"
#include "base/checksum.h"
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
    sample_close();
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
    sample_close();
    test_remove(test_path("store"));
    store = test_store_open();
    check_is_clean();
    test_topic(store, "empty", 3);
    check_is_clean();
    sample_close();
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
    sample_close();
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
    sample_close();
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
    sample_close();
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
    sample_close();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SAMPLE(a_sound_store_is_clean),
        WITH_SAMPLE(an_empty_store_is_clean),
        WITH_SAMPLE(looking_changes_nothing),
        WITH_SAMPLE(a_killed_store_is_clean),
        WITH_SAMPLE(a_directory_that_is_no_store_is_not_found),
        WITH_SAMPLE(arguments_are_checked),
        WITH_SAMPLE(progress_goes_from_nothing_to_all_and_can_stop_it),
        WITH_SAMPLE(visit_can_stop_it),
        WITH_SAMPLE(what_a_thread_writes_meanwhile_is_no_damage),
        WITH_SAMPLE(what_processes_write_meanwhile_is_no_damage),
        WITH_SAMPLE(who_comes_and_goes_meanwhile_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
