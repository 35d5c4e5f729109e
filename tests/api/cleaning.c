/*
 * Maintenance deletes and compacts: by age, size, consumption and key, in all
 * partitions, those too that nobody has open, which are closed again; by a clock that
 * jumps as it likes; one process at a time, in shares that go on where the last ended.
 */
#include "busy.h"
#include "elsewhere.h"
#include "engine/store.h"
#include "os/sys.h"
#include "records.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DAY INT64_C(86400000)
#define INTERVAL_MS 20000

/* ---- A clock of the test's ---- */

static int (*real_clock)(clockid_t clock, struct timespec *t);
static _Atomic int64_t wall_ms; /* on top of what it is */
static _Atomic int64_t time_ms; /* the same of all others */
static _Atomic int64_t step_ms; /* and it goes on so much with every look */

static int test_clock(clockid_t clock, struct timespec *t)
{
    bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    int64_t ms;

    if (real_clock(clock, t) != 0) return -1;
    if (!wall && step_ms != 0) atomic_fetch_add(&time_ms, step_ms);
    ms = (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000 + (wall ? wall_ms : time_ms);
    t->tv_sec = ms / 1000;
    t->tv_nsec = ms % 1000 * 1000000;
    return 0;
}

static void pass(int64_t ms)
{
    atomic_fetch_add(&wall_ms, ms);
    atomic_fetch_add(&time_ms, ms);
}

/* ---- The store ---- */

static rill *store;
static char last_line[500];

static void keep_line(void *arg, int level, const char *line)
{
    (void)arg, (void)level;
    snprintf(last_line, sizeof last_line, "%s", line);
}

static void open_store(void)
{
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .retention_check_interval_ms = INTERVAL_MS,
                            .log = keep_line};
    OK(rill_open(test_path("store"), &options, &store));
}

static int set_up(void **state)
{
    (void)state;
    test_directory();
    wall_ms = time_ms = step_ms = 0;
    last_line[0] = '\0';
    real_clock = rill__sys.clock_gettime;
    rill__sys.clock_gettime = test_clock;
    open_store();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    OK(rill_close(store));
    rill__sys.clock_gettime = real_clock;
    test_directory_remove();
    return 0;
}

static void make(const char *topic, uint32_t partitions, rill_topic_options options)
{
    options.size = sizeof options;
    options.partition_count = partitions;
    options.segment_bytes = 64 << 10;
    OK(rill_topic_create(store, topic, &options));
}

/* About so many segments of 12 records. */
static void fill(const char *topic, int32_t partition, int segments)
{
    rill_producer_options options = {.size = sizeof options, .topic = topic};
    rill_producer *producer;
    static char value[5000];

    OK(rill_producer_open(store, &options, &producer));
    for (int i = 0; i < segments * 12; i++) {
        rill_record record = RILL_RECORD_INIT;
        record.partition = partition;
        record.key = (rill_bytes){"k", 1};
        record.value = (rill_bytes){value, sizeof value};
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
}

static rill_offset start_of(const char *topic, int32_t partition)
{
    rill_partition_info info;

    OK(rill_partition_describe(store, topic, partition, &info));
    return info.log_start;
}

static uint32_t segments_of(const char *topic, int32_t partition)
{
    rill_partition_info info;

    OK(rill_partition_describe(store, topic, partition, &info));
    return info.segment_count;
}

/* A whole pass, and from now on the next one is due. */
static void clean(void)
{
    int64_t done = store->store->shared->clean.done_ms;
    struct patience patience = {0};

    pass(INTERVAL_MS);
    do {
        wait_a_little(&patience);
        OK(rill_maintain(store, NULL));
    } while (store->store->shared->clean.done_ms == done);
}

static bool is_open(const char *topic, int32_t partition)
{
    struct topic *t;
    bool open;

    OK(rill__topic_find(store->store, topic, &t));
    open = rill__partition_if_open(t, partition) != NULL;
    if (open) rill__partition_leave(t, partition);
    rill__topic_release(t);
    return open;
}

static uint64_t deleted(void)
{
    rill_stats stats = {.size = sizeof stats};

    OK(rill_stats_get(store, &stats));
    return stats.segments_deleted;
}

static uint64_t rolled(void)
{
    rill_stats stats = {.size = sizeof stats};

    OK(rill_stats_get(store, &stats));
    return stats.segments_rolled;
}

/* ---- By age and size ---- */

static void what_is_old_goes(void **state)
{
    (void)state;
    make("t", 2, (rill_topic_options){.retention_ms = 7 * DAY});
    make("u", 1, (rill_topic_options){0}); /* for ever */
    fill("t", 0, 3);
    fill("u", 0, 3);
    clean();
    assert_int_equal(deleted(), 0);
    pass(6 * DAY);
    fill("t", 0, 1);
    clean();
    assert_int_equal(start_of("t", 0), 0);
    pass(DAY);
    clean();
    assert_true(start_of("t", 0) >= 24);
    assert_true(segments_of("t", 0) <= 2);
    assert_int_equal(start_of("u", 0), 0);
    assert_true(deleted() >= 2);
    assert_non_null(strstr(last_line, "t-0: "));
    assert_non_null(strstr(last_line, "segments of"));
    pass(30 * DAY);
    clean(); /* the active one too, when all of it is old */
    assert_int_equal(start_of("t", 0), log_end_of(store, "t", 0));
    assert_int_equal(start_of("t", 1), 0);
}

static void what_is_too_much_goes(void **state)
{
    (void)state;
    make("t", 1, (rill_topic_options){.retention_bytes = 200000});
    fill("t", 0, 8);
    clean();
    assert_in_range(segments_of("t", 0), 3, 5);
    assert_true(start_of("t", 0) > 0);
}

/* By a pass, by maintenance after a roll, and because somebody says so. */
static void whoever_removes_segments_they_are_counted(void **state)
{
    struct patience patience = {0};
    int64_t done;

    (void)state;
    make("t", 1, (rill_topic_options){.retention_bytes = 200000});
    fill("t", 0, 8);
    clean();
    assert_in_range(deleted(), 3, 6);
    assert_int_equal(deleted(), rolled() - segments_of("t", 0));
    done = store->store->shared->clean.done_ms;
    for (int i = 0; i < 5; i++) {
        rill_offset start = start_of("t", 0);
        fill("t", 0, 1);
        do {
            wait_a_little(&patience);
            OK(rill_maintain(store, NULL));
        } while (start_of("t", 0) == start);
        assert_int_equal(deleted(), rolled() - segments_of("t", 0));
    }
    assert_int_equal(store->store->shared->clean.done_ms, done); /* no pass was */
    OK(rill_partition_delete_records(store, "t", 0, log_end_of(store, "t", 0) - 1, NULL));
    assert_int_equal(segments_of("t", 0), 1);
    assert_int_equal(deleted(), rolled() - 1);
    OK(rill_topic_delete(store, "t"));
    OK(rill_maintain(store, NULL));
    assert_int_equal(deleted(), rolled() - 1); /* a whole topic is another matter */
}

/* Nobody has it open: it is opened for this, and closed. */
static void partitions_that_are_closed_are_cleaned_and_closed_again(void **state)
{
    (void)state;
    make("a", 3, (rill_topic_options){.retention_ms = DAY});
    make("b", 3, (rill_topic_options){.retention_bytes = 1});
    make("c", 1, (rill_topic_options){0});
    fill("a", 2, 3);
    fill("b", 1, 3);
    fill("c", 0, 3);
    OK(rill_close(store));
    pass(2 * DAY);
    open_store();
    clean();
    assert_int_equal(deleted(), 3 + 2); /* of b the active one stays */
    for (int p = 0; p < 3; p++) {
        assert_false(is_open("a", p));
        assert_false(is_open("b", p));
    }
    assert_false(is_open("c", 0));
    assert_int_equal(store->store->unused_logs, 0);
    assert_int_equal(start_of("a", 2), 36);
    clean();
    assert_true(is_open("a", 2)); /* one that is open stays so */
}

/* ---- By consumption ---- */

static void commit_at(rill_consumer *consumer, int32_t partition, rill_offset offset)
{
    rill_position position = {"t", partition, -1, offset, NULL};
    OK(rill_consumer_commit(consumer, &position, 1));
}

static void what_all_groups_have_consumed_goes(void **state)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g1"};
    rill_consumer *g1;
    rill_consumer *g2;
    rill_position position = {"t", 0, -1, 0, NULL};

    (void)state;
    make("t", 2, (rill_topic_options){.cleanup_policy = RILL_CLEANUP_CONSUMED});
    make("u", 1, (rill_topic_options){0});
    fill("t", 0, 4);
    fill("t", 1, 4);
    clean();
    assert_int_equal(start_of("t", 0), 0); /* there is no group */
    g1 = consumer_open(store, &options);
    position.topic = "u";
    OK(rill_consumer_commit(g1, &position, 1));
    clean();
    assert_int_equal(start_of("t", 0), 0); /* this one has nothing to do with it */
    commit_at(g1, 0, 30);
    clean();
    assert_int_equal(start_of("t", 0), 24);
    assert_int_equal(start_of("t", 1), 0);
    options.group = "g2";
    g2 = consumer_open(store, &options);
    commit_at(g2, 0, 25);
    commit_at(g1, 0, 48);
    clean();
    assert_int_equal(start_of("t", 0), 24); /* the slowest counts */
    OK(rill_consumer_close(g2, 0));
    OK(rill_group_delete(store, "g2"));
    clean();
    assert_int_equal(start_of("t", 0), 36); /* the active segment stays */
    OK(rill_consumer_close(g1, 0));
}

static void a_member_that_has_committed_nothing_holds_all_back(void **state)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = "g1", .auto_offset_reset = RILL_RESET_EARLIEST};
    static const char *const topics[] = {"t"};
    rill_consumer *g1;
    rill_consumer *member;
    size_t count = 0;

    (void)state;
    make("t", 2, (rill_topic_options){.cleanup_policy = RILL_CLEANUP_CONSUMED});
    fill("t", 0, 4);
    fill("t", 1, 4);
    g1 = consumer_open(store, &options);
    commit_at(g1, 0, 48);
    commit_at(g1, 1, 48);
    options.group = "g2";
    member = consumer_open(store, &options);
    OK(rill_consumer_subscribe(member, topics, 1));
    clean();
    assert_int_equal(start_of("t", 0), 0);
    while (count < 2) {
        rill_record record;
        int rc = rill_consumer_poll(member, 0, &record, 1, &count);
        if (rc != RILL_ERR_REBALANCE) OK(rc);
        OK(rill_consumer_assignment(member, NULL, 0, &count));
    }
    commit_at(member, 1, 24);
    clean();
    assert_int_equal(start_of("t", 0), 0);
    assert_int_equal(start_of("t", 1), 24);
    OK(rill_consumer_close(member, 0));
    clean();
    assert_int_equal(start_of("t", 0), 36); /* it has gone, and left nothing here */
    assert_int_equal(start_of("t", 1), 24);
    OK(rill_consumer_close(g1, 0));
}

/* How far an import is holds nothing back, nor does what is another topic's. */
static void an_import_consumes_nothing(void **state)
{
    rill_position position = {.topic = "t", .leader_epoch = -1, .offset = 0};
    rill_group_reset_options options = {.size = sizeof options,
                                        .to = RILL_RESET_TO_OWN,
                                        .positions = &position,
                                        .position_count = 1};

    (void)state;
    make("t", 2, (rill_topic_options){.cleanup_policy = RILL_CLEANUP_CONSUMED});
    make("u", 1, (rill_topic_options){0});
    fill("t", 0, 4);
    OK(rill_group_reset(store, "__import.1", &options));
    position.topic = "u";
    OK(rill_group_reset(store, "other", &options));
    position = (rill_position){.topic = "t", .leader_epoch = -1, .offset = 30};
    OK(rill_group_reset(store, "g", &options));
    clean();
    assert_int_equal(start_of("t", 0), 24);
}

/* What it has read nobody knows: nothing goes for it, but elsewhere. */
static void a_spoilt_group_holds_all_back(void **state)
{
    struct patience patience = {0};
    rill_position position = {.topic = "t", .leader_epoch = -1, .offset = 30};
    rill_group_reset_options options = {.size = sizeof options,
                                        .to = RILL_RESET_TO_OWN,
                                        .positions = &position,
                                        .position_count = 1};
    int rc = 0;

    (void)state;
    make("t", 2, (rill_topic_options){.cleanup_policy = RILL_CLEANUP_CONSUMED});
    make("u", 1, (rill_topic_options){.retention_bytes = 1});
    fill("t", 0, 4);
    fill("u", 0, 4);
    OK(rill_group_reset(store, "a", &options));
    elsewhere_spoil(store, "g");
    while (store->store->shared->clean.done_ms == 0) {
        int failed = rill_maintain(store, NULL);
        if (failed != 0) rc = failed;
        wait_a_little(&patience);
    }
    assert_int_equal(rc, RILL_ERR_CORRUPT);
    assert_int_equal(start_of("t", 0), 0);
    assert_int_equal(segments_of("u", 0), 1);
}

/* Without the clock nothing is deleted, and nothing of the topic is kept hold of. */
static void a_busy_catalogue_keeps_no_topic(void **state)
{
    struct patience patience = {0};
    struct topic *topic;
    int rc = 0;

    (void)state;
    make("t", 1, (rill_topic_options){.retention_bytes = 1});
    fill("t", 0, 3);
    OK(rill__topic_find(store->store, "t", &topic));
    assert_int_equal(topic->references, 1); /* ours */
    atomic_fetch_sub(&wall_ms, 365 * DAY);  /* that has to be noted */
    busy_begin(store);
    while (store->store->shared->clean.done_ms == 0) {
        int failed = rill_maintain(store, NULL);
        if (failed != 0) rc = failed;
        wait_a_little(&patience);
    }
    busy_end();
    assert_int_equal(rc, RILL_ERR_TIMEOUT);
    assert_int_equal(topic->references, 1);
    assert_int_equal(start_of("t", 0), 0);
    rill__topic_release(topic);
    clean();
    assert_int_equal(start_of("t", 0), 24);
}

/* ---- By key ---- */

static void what_is_superseded_goes(void **state)
{
    rill_stats stats = {.size = sizeof stats};
    rill_consumer *consumer;
    rill_record records[100];
    size_t count;

    (void)state;
    make("t", 1, (rill_topic_options){.cleanup_policy = RILL_CLEANUP_COMPACT});
    fill("t", 0, 4);
    OK(rill_sync(store, WAIT_MS));
    clean();
    OK(rill_stats_get(store, &stats));
    assert_int_equal(stats.compactions, 1);
    consumer = test_consumer(store, "t", 0, 0);
    OK(rill_consumer_poll(consumer, WAIT_MS, records, 100, &count));
    assert_in_range(count, 12, 13); /* what was not compacted yet, and the last before */
    assert_int_equal(records[0].offset, 48 - (int64_t)count);
    OK(rill_consumer_close(consumer, 0));
    assert_int_equal(start_of("t", 0), 0);
    clean(); /* there is nothing to do */
    OK(rill_stats_get(store, &stats));
    assert_int_equal(stats.compactions, 1);
}

/* ---- The clock ---- */

static void a_clock_that_jumps_deletes_nothing_early(void **state)
{
    (void)state;
    make("t", 1, (rill_topic_options){.retention_ms = 7 * DAY});
    fill("t", 0, 3);
    clean();
    atomic_fetch_add(&wall_ms, 365 * DAY);
    for (int i = 0; i < 6; i++) {
        clean();
        pass(DAY);
    }
    assert_int_equal(deleted(), 0);
    pass(DAY);
    clean();
    assert_int_equal(start_of("t", 0), 36);
}

/* Nobody has cleaned meanwhile; but somebody has appended. */
static void what_was_appended_by_a_wrong_clock_is_not_old(void **state)
{
    (void)state;
    make("t", 1, (rill_topic_options){.retention_ms = 7 * DAY});
    clean();
    atomic_fetch_sub(&wall_ms, 365 * DAY);
    fill("t", 0, 3);
    atomic_fetch_add(&wall_ms, 365 * DAY); /* put right */
    clean();
    assert_int_equal(deleted(), 0);
    for (int i = 0; i < 8; i++) {
        pass(DAY);
        clean();
    }
    assert_int_equal(start_of("t", 0), 36);
}

/* A roll repeats what the last pass knew, with its clock. */
static void what_is_appended_by_a_clock_set_back_stays_when_a_segment_rolls(void **state)
{
    rill_offset start;
    uint64_t before;

    (void)state;
    make("t", 1, (rill_topic_options){.retention_ms = 7 * DAY});
    fill("t", 0, 3);
    clean();
    OK(rill_partition_delete_records(store, "t", 0, log_end_of(store, "t", 0), &start));
    before = deleted();
    atomic_fetch_sub(&wall_ms, 365 * DAY);
    for (int i = 0; i < 3; i++) {
        fill("t", 0, 2);
        OK(rill_maintain(store, NULL));
    }
    clean();
    assert_int_equal(deleted(), before);
    assert_int_equal(start_of("t", 0), start);
}

/* What a look at the clock costs is not paid with every batch, if it cannot be had. */
static void a_busy_catalogue_does_not_stop_appends(void **state)
{
    struct meta_clock clock;
    bool is_set;
    int64_t tried;

    (void)state;
    make("t", 1, (rill_topic_options){.retention_ms = 7 * DAY});
    fill("t", 0, 1);
    atomic_fetch_sub(&wall_ms, 365 * DAY);
    busy_begin(store);
    fill("t", 0, 1);
    tried = atomic_load(&store->store->clock_tried_ms);
    fill("t", 0, 1);
    assert_int_equal(atomic_load(&store->store->clock_tried_ms), tried);
    pass(2000);
    fill("t", 0, 1);
    assert_int_not_equal(atomic_load(&store->store->clock_tried_ms), tried);
    busy_end();
    pass(2000);
    fill("t", 0, 1);
    atomic_fetch_add(&wall_ms, 365 * DAY);
    fill("t", 0, 1);
    OK(rill__clock_look(store->store, WAIT_MS, &clock, &is_set));
    assert_true(is_set);
    assert_in_range(clock.ahead_ms, 360 * DAY, 366 * DAY);
}

/* The first record that is there. */
static rill_offset first_in(const char *topic)
{
    rill_consumer *consumer = test_consumer(store, topic, 0, 0);
    rill_record record;
    rill_offset offset;

    assert_int_equal(take(consumer, &record, 1), 1);
    offset = record.offset;
    OK(rill_consumer_close(consumer, 0));
    return offset;
}

/* For a lag that is longer than tombstones stay, the clock must have been steady for
 * the lag. */
static void what_is_young_is_not_compacted_by_a_clock_that_jumped(void **state)
{
    rill_stats stats = {.size = sizeof stats};

    (void)state;
    make("t", 1,
         (rill_topic_options){.cleanup_policy = RILL_CLEANUP_COMPACT,
                              .delete_retention_ms = DAY,
                              .min_compaction_lag_ms = 20 * DAY});
    fill("t", 0, 3);
    OK(rill_sync(store, WAIT_MS));
    clean();
    atomic_fetch_add(&wall_ms, 365 * DAY);
    for (int i = 0; i < 10; i++) {
        clean();
        pass(DAY);
    }
    OK(rill_stats_get(store, &stats));
    assert_int_equal(stats.compactions, 0);
    assert_int_equal(first_in("t"), 0);
    pass(11 * DAY);
    clean();
    OK(rill_stats_get(store, &stats));
    assert_true(stats.compactions > 0); /* how many it takes is how slow the machine is */
    assert_true(first_in("t") > 0);
}

static void a_clock_that_is_not_set_deletes_nothing(void **state)
{
    int64_t now;
    struct timespec t;

    (void)state;
    make("t", 1, (rill_topic_options){.retention_ms = 7 * DAY});
    make("u", 1, (rill_topic_options){.retention_bytes = 1});
    make("w", 1, (rill_topic_options){.retention_ms = 7 * DAY});
    make("v", 1, (rill_topic_options){.cleanup_policy = RILL_CLEANUP_COMPACT});
    fill("t", 0, 3);
    fill("v", 0, 3);
    OK(rill_sync(store, WAIT_MS));
    real_clock(CLOCK_REALTIME, &t);
    now = (int64_t)t.tv_sec * 1000;
    atomic_store(&wall_ms, -now); /* 1970 */
    pass(30 * DAY);
    fill("u", 0, 3);
    fill("w", 0, 3);
    clean();
    assert_int_equal(start_of("t", 0), 0);
    assert_true(start_of("u", 0) > 0); /* that is not for its age */
    assert_int_equal(segments_of("v", 0), 3);
    atomic_store(&wall_ms, 40 * DAY);
    clean(); /* set: what was written in 1970 is not old at once */
    assert_int_equal(start_of("w", 0), 0);
    fill("w", 0, 3);
    pass(7 * DAY);
    clean();
    assert_int_equal(start_of("w", 0), 72); /* it is as old as what came after it */
}

/* ---- Turns and shares ---- */

static void one_process_at_a_time_cleans(void **state)
{
    struct flock turn = {.l_type = F_WRLCK, .l_start = CLEAN_BYTE, .l_len = 1};
    int64_t done;
    uint32_t next_ms;
    int fd = open(test_path("store/shared"), O_RDWR);

    (void)state;
    make("t", 1, (rill_topic_options){.retention_bytes = 1});
    fill("t", 0, 3);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &turn), 0);
    OK(rill_maintain(store, &next_ms));
    assert_int_equal(deleted(), 0);
    assert_in_range(next_ms, 1, 100);
    assert_int_equal(store->store->shared->clean.done_ms, 0);
    close(fd); /* as the kernel does for whoever dies */
    while (store->store->shared->clean.done_ms == 0) OK(rill_maintain(store, &next_ms));
    assert_int_equal(deleted(), 2);
    done = store->store->shared->clean.done_ms;
    make("u", 1, (rill_topic_options){.retention_bytes = 1});
    fill("u", 0, 3);
    OK(rill_maintain(store, &next_ms));
    assert_int_equal(deleted(), 2); /* not due yet */
    fill("t", 0, 3);
    OK(rill_maintain(store, &next_ms));
    assert_int_equal(deleted(), 5); /* after a roll, where a pass was: no pass */
    assert_int_equal(start_of("u", 0), 0);
    assert_int_equal(store->store->shared->clean.done_ms, done);
}

/* With a clock that says so, each share does one partition. */
static void a_pass_goes_on_where_the_last_share_ended(void **state)
{
    struct clean_cursor *cursor = &store->store->shared->clean.cursor;
    int shares = 0;

    (void)state;
    make("a", 2, (rill_topic_options){.retention_bytes = 1});
    make("b", 3, (rill_topic_options){.retention_bytes = 1});
    make("c", 1, (rill_topic_options){0});
    make("d", 1, (rill_topic_options){.retention_bytes = 1});
    for (int p = 0; p < 2; p++) fill("a", p, 2);
    for (int p = 0; p < 3; p++) fill("b", p, 2);
    fill("d", 0, 2);
    step_ms = 15;
    while (store->store->shared->clean.done_ms == 0) {
        uint64_t before = deleted();
        OK(rill_maintain(store, NULL));
        assert_in_range(deleted() - before, 0, 1);
        if (++shares == 3) { /* another process takes part */
            int status;
            pid_t pid = fork();
            if (pid == 0) {
                rill *other;
                int rc = rill_open(test_path("store"), NULL, &other);
                if (rc == 0) rc = rill_maintain(other, NULL);
                if (rc == 0) rc = rill_close(other);
                _exit(rc == 0 ? 0 : 1);
            }
            assert_int_equal(waitpid(pid, &status, 0), pid);
            assert_int_equal(status, 0);
        }
        assert_in_range(shares, 1, 20);
    }
    assert_true(shares >= 5);
    step_ms = 0;
    for (int p = 0; p < 2; p++) assert_int_equal(segments_of("a", p), 1);
    for (int p = 0; p < 3; p++) assert_int_equal(segments_of("b", p), 1);
    assert_int_equal(segments_of("d", 0), 1);
    assert_int_equal(cursor->after[0], '\0');
    assert_in_range(deleted(), 5, 6); /* one may be the other process' */
}

/* Whoever wrote it may have died in the middle. */
static void a_cursor_that_is_broken_leads_nowhere_else(void **state)
{
    struct clean_cursor *cursor = &store->store->shared->clean.cursor;

    (void)state;
    make("t", 1, (rill_topic_options){.retention_bytes = 1});
    fill("t", 0, 3);
    memset(cursor, 'z', sizeof *cursor);
    OK(rill_maintain(store, NULL)); /* behind all topics: done */
    assert_int_equal(deleted(), 0);
    clean();
    assert_int_equal(deleted(), 2);
    fill("t", 0, 3);
    cursor->topic = rill__topic_number((const uint8_t *)"????????????????");
    cursor->partition = UINT32_MAX;
    clean();
    assert_in_range(start_of("t", 0), 48, 72); /* some went with the rolls */
}

static void a_damaged_partition_does_not_stop_the_others(void **state)
{
    rill_topic_info info;
    struct patience patience = {0};
    char id[33];
    char path[1300];
    int rc = 0;

    (void)state;
    make("a", 1, (rill_topic_options){.retention_bytes = 1});
    make("b", 1, (rill_topic_options){.retention_bytes = 1});
    fill("a", 0, 3);
    fill("b", 0, 3);
    OK(rill_topic_describe(store, "a", &info));
    OK(rill_close(store));
    for (int i = 0; i < 16; i++) snprintf(id + (size_t)i * 2, 3, "%02x", info.id[i]);
    snprintf(path, sizeof path, "%s/%s/0/control", test_path("store"), id);
    test_flip_bit(path, 4096 + 20);
    test_flip_bit(path, 4608 + 20);
    open_store();
    while (store->store->shared->clean.done_ms == 0) {
        int failed = rill_maintain(store, NULL);
        if (failed != 0) {
            rc = failed;
            assert_non_null(strstr(rill_errmsg(), "control"));
        }
        wait_a_little(&patience);
    }
    assert_int_equal(rc, RILL_ERR_CORRUPT);
    assert_int_equal(segments_of("b", 0), 1);
}

/* A topic that nobody needs to clean costs nothing: its partitions are not even
 * looked at. */
static void only_what_may_go_is_looked_at(void **state)
{
    (void)state;
    make("t", 2, (rill_topic_options){.cleanup_policy = RILL_CLEANUP_DELETE});
    fill("t", 0, 3);
    OK(rill_close(store));
    open_store();
    clean();
    assert_null(store->store->topics);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_old_goes),
        TEST(what_is_too_much_goes),
        TEST(whoever_removes_segments_they_are_counted),
        TEST(partitions_that_are_closed_are_cleaned_and_closed_again),
        TEST(what_all_groups_have_consumed_goes),
        TEST(a_member_that_has_committed_nothing_holds_all_back),
        TEST(an_import_consumes_nothing),
        TEST(a_spoilt_group_holds_all_back),
        TEST(a_busy_catalogue_keeps_no_topic),
        TEST(what_is_superseded_goes),
        TEST(a_clock_that_jumps_deletes_nothing_early),
        TEST(what_was_appended_by_a_wrong_clock_is_not_old),
        TEST(what_is_appended_by_a_clock_set_back_stays_when_a_segment_rolls),
        TEST(a_busy_catalogue_does_not_stop_appends),
        TEST(what_is_young_is_not_compacted_by_a_clock_that_jumped),
        TEST(a_clock_that_is_not_set_deletes_nothing),
        TEST(one_process_at_a_time_cleans),
        TEST(a_pass_goes_on_where_the_last_share_ended),
        TEST(a_cursor_that_is_broken_leads_nowhere_else),
        TEST(a_damaged_partition_does_not_stop_the_others),
        TEST(only_what_may_go_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
