/*
 * Groups: the members of one share the partitions, so that each record is seen
 * once by the group and by every group; whoever comes, goes or falls silent makes
 * the group share anew, and who lost a partition cannot commit it any more.
 *
 * One thread plays most of these groups, polling its members in turn.
 */
#include "members.h"
#include "records.h"

#define MEMBERS 4
#define PARTITIONS 8
#define NUMBERS 2000

/* Some members of a group and what they have seen, by partition and number. */
struct crowd {
    rill_consumer *members[MEMBERS];
    int rebalances[MEMBERS];
    int count;
    int seen[PARTITIONS][NUMBERS];
    int all;
};

static void member_add(struct crowd *crowd, rill *store, const rill_consumer_options *options)
{
    assert_in_range(crowd->count, 0, MEMBERS - 1);
    crowd->members[crowd->count++] = member_open(store, options);
}

static void crowd_close(struct crowd *crowd)
{
    for (int i = 0; i < crowd->count; i++) OK(rill_consumer_close(crowd->members[i], WAIT_MS));
}

/* Everybody polls once. */
static void go_round(struct crowd *crowd)
{
    rill_record records[16];
    size_t count;

    for (int i = 0; i < crowd->count; i++) {
        int rc = rill_consumer_poll(crowd->members[i], 0, records, 16, &count);
        if (rc == RILL_ERR_REBALANCE) {
            crowd->rebalances[i]++;
            continue;
        }
        OK(rc);
        for (size_t r = 0; r < count; r++) {
            int64_t number = number_of(&records[r]);
            assert_in_range(records[r].partition, 0, PARTITIONS - 1);
            assert_in_range(number, 0, NUMBERS - 1);
            crowd->seen[records[r].partition][number]++;
            crowd->all++;
        }
    }
}

/* Until each has as many partitions as it should. */
static void crowd_settle(struct crowd *crowd, const size_t *shares)
{
    struct patience patience = {0};
    bool settled = false;

    while (!settled) {
        go_round(crowd);
        settled = true;
        for (int i = 0; i < crowd->count; i++)
            settled = settled && parts_of(crowd->members[i]) == shares[i];
        if (!settled) wait_a_little(&patience);
    }
}

static void read_until(struct crowd *crowd, int all)
{
    struct patience patience = {0};

    while (crowd->all < all) {
        int before = crowd->all;
        go_round(crowd);
        if (crowd->all == before) wait_a_little(&patience);
    }
    go_round(crowd); /* and no more */
    assert_int_equal(crowd->all, all);
}

static void put_all(rill *store, int32_t partition_count, int64_t first, int count)
{
    for (int32_t p = 0; p < partition_count; p++) put(store, "t", p, first, count);
}

static void seen_once(const struct crowd *crowd, int32_t partition_count, int count)
{
    for (int32_t p = 0; p < partition_count; p++)
        for (int n = 0; n < count; n++) assert_int_equal(crowd->seen[p][n], 1);
}

/* Nobody reads what another one reads. */
static void share_without_overlap(const struct crowd *crowd, size_t partition_count)
{
    int owners[PARTITIONS] = {0};
    rill_position now[PARTITIONS];
    size_t all = 0;
    size_t count;

    for (int i = 0; i < crowd->count; i++) {
        OK(rill_consumer_assignment(crowd->members[i], now, PARTITIONS, &count));
        for (size_t p = 0; p < count; p++) owners[now[p].partition]++;
        all += count;
    }
    assert_int_equal(all, partition_count);
    for (size_t p = 0; p < partition_count; p++) assert_int_equal(owners[p], 1);
}

/* ---- Sharing ---- */

static void two_members_see_each_record_once(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};

    test_topic(store, "t", 4);
    member_add(&crowd, store, &options);
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){2, 2});
    share_without_overlap(&crowd, 4);
    put_all(store, 4, 0, 100);
    read_until(&crowd, 400);
    seen_once(&crowd, 4, 100);
    crowd_close(&crowd);
}

static void three_members_see_each_record_once(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};

    options.assignor = RILL_ASSIGN_ROUND_ROBIN;
    test_topic(store, "t", 6);
    for (int i = 0; i < 3; i++) member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){2, 2, 2});
    share_without_overlap(&crowd, 6);
    put_all(store, 6, 0, 50);
    read_until(&crowd, 300);
    seen_once(&crowd, 6, 50);
    crowd_close(&crowd);
}

static void more_members_than_partitions_leave_some_idle(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};
    struct patience patience = {0};

    test_topic(store, "t", 1);
    put_all(store, 1, 0, 10);
    for (int i = 0; i < 2; i++) member_add(&crowd, store, &options);
    while (parts_of(crowd.members[0]) + parts_of(crowd.members[1]) != 1 || crowd.all < 10) {
        go_round(&crowd);
        wait_a_little(&patience);
    }
    share_without_overlap(&crowd, 1);
    crowd_close(&crowd);
}

static void two_groups_each_see_all(void **state)
{
    rill *store = *state;
    rill_consumer_options g = member_options("g");
    rill_consumer_options h = member_options("h");
    struct crowd first = {.count = 0};
    struct crowd second = {.count = 0};

    test_topic(store, "t", 2);
    put_all(store, 2, 0, 50);
    member_add(&first, store, &g);
    member_add(&second, store, &h);
    read_until(&first, 100);
    read_until(&second, 100);
    seen_once(&first, 2, 50);
    seen_once(&second, 2, 50);
    crowd_close(&first);
    crowd_close(&second);
}

static void members_come_and_go_and_each_record_is_seen_once(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};

    options.auto_commit_interval_ms = 3600000; /* commits at the rebalances */
    test_topic(store, "t", 4);
    put_all(store, 4, 0, 100);
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){4});
    go_round(&crowd);
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){2, 2});
    assert_int_equal(crowd.rebalances[0], 1);
    assert_int_equal(crowd.rebalances[1], 0);
    put_all(store, 4, 100, 100);
    go_round(&crowd);
    OK(rill_consumer_close(crowd.members[--crowd.count], WAIT_MS));
    crowd_settle(&crowd, (size_t[]){4});
    assert_int_equal(crowd.rebalances[0], 1); /* one that only gains is not interrupted */
    read_until(&crowd, 800);
    seen_once(&crowd, 4, 200);
    crowd_close(&crowd);
}

/* ---- The same, with a thread per member ---- */

struct worker {
    rill *store;
    int reads_max; /* leaves when it has read so many */
    pthread_mutex_t *lock;
    int (*seen)[NUMBERS];
    int *all;
    int wanted;
};

static bool count_records(struct worker *worker, const rill_record *records, size_t count)
{
    bool more;

    pthread_mutex_lock(worker->lock);
    for (size_t i = 0; i < count; i++)
        worker->seen[records[i].partition][*(const int64_t *)records[i].value.data]++;
    *worker->all += (int)count;
    more = *worker->all < worker->wanted;
    pthread_mutex_unlock(worker->lock);
    return more;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    rill_consumer_options options = member_options("g");
    rill_record records[16];
    rill_consumer *consumer;
    int64_t end = clock_ms() + WAIT_MS;
    int mine = 0;
    bool more = true;

    options.auto_commit_interval_ms = 3600000;
    thread_ok(rill_consumer_open(worker->store, &options, &consumer), "open");
    thread_ok(rill_consumer_subscribe(consumer, topic_t, 1), "subscribe");
    while (more && mine < worker->reads_max && clock_ms() < end) {
        size_t count = 0;
        int rc = rill_consumer_poll(consumer, 10, records, 16, &count);
        if (rc == RILL_ERR_REBALANCE) continue;
        thread_ok(rc, "poll");
        mine += (int)count;
        more = count_records(worker, records, count);
    }
    thread_ok(rill_consumer_close(consumer, WAIT_MS), "close");
    return NULL;
}

static void members_in_threads_see_each_record_once(void **state)
{
    static int seen[PARTITIONS][NUMBERS];
    rill *store = *state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int all = 0;
    struct worker workers[3];
    pthread_t threads[3];

    memset(seen, 0, sizeof seen);
    test_topic(store, "t", 6);
    for (int i = 0; i < 3; i++) {
        workers[i] = (struct worker){store, i == 1 ? 64 : INT32_MAX, &lock, seen, &all, 1200};
        threads[i] = thread_start(work, &workers[i]);
    }
    put_all(store, 6, 0, 200);
    for (int i = 0; i < 3; i++) thread_join(threads[i]);
    assert_int_equal(all, 1200);
    for (int p = 0; p < 6; p++)
        for (int n = 0; n < 200; n++) assert_int_equal(seen[p][n], 1);
}

/* ---- Losing partitions ---- */

static void a_member_that_lost_a_partition_cannot_commit_it(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};
    rill_position positions[] = {{.topic = "t", .partition = 0, .offset = 1},
                                 {.topic = "t", .partition = 1, .offset = 1}};

    test_topic(store, "t", 2);
    put_all(store, 2, 0, 10);
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){2});
    OK(rill_consumer_commit(crowd.members[0], positions, 2));
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){1, 1});
    positions[0].offset = positions[1].offset = 2;
    for (int i = 0; i < 2; i++) /* each has one of them */
        FAILS(RILL_ERR_FENCED, rill_consumer_commit(crowd.members[i], positions, 2));
    for (int32_t p = 0; p < 2; p++) assert_int_equal(committed_of(crowd.members[0], p), 1);
    crowd_close(&crowd);
}

static void a_member_told_to_rebalance_may_still_commit_before_it_polls(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};
    rill_record record;
    size_t count;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 10);
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){2});
    OK(rill_consumer_seek(crowd.members[0], "t", 0, 3));
    member_add(&crowd, store, &options); /* asks for its share */
    OK(rill_consumer_commit(crowd.members[0], NULL, 0));
    assert_int_equal(committed_of(crowd.members[0], 0), 3);
    FAILS(RILL_ERR_REBALANCE, rill_consumer_poll(crowd.members[0], 0, &record, 1, &count));
    crowd_settle(&crowd, (size_t[]){1, 1});
    crowd_close(&crowd);
}

static void a_silent_member_loses_its_partitions(void **state)
{
    rill *store = *state;
    rill_consumer_options silent = member_options("g");
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};
    struct crowd other = {.count = 0};
    rill_position position = {.topic = "t", .offset = 5};
    rill_record record;
    size_t count;

    silent.max_poll_interval_ms = 100;
    test_topic(store, "t", 2);
    put_all(store, 2, 0, 10);
    member_add(&crowd, store, &silent);
    crowd_settle(&crowd, (size_t[]){2});
    member_add(&other, store, &options);
    crowd_settle(&other, (size_t[]){2}); /* the first one does not poll */
    FAILS(RILL_ERR_FENCED, rill_consumer_commit(crowd.members[0], &position, 1));
    FAILS(RILL_ERR_REBALANCE, rill_consumer_poll(crowd.members[0], 0, &record, 1, &count));
    OK(rill_consumer_close(other.members[0], WAIT_MS));
    crowd_settle(&crowd, (size_t[]){2}); /* it is back */
    crowd_close(&crowd);
}

static void maintenance_expires_a_silent_member(void **state)
{
    rill *store = *state;
    rill_consumer_options silent = member_options("g");
    struct patience patience = {0};
    rill_group_info info;
    rill_consumer *consumer;

    silent.max_poll_interval_ms = 100;
    test_topic(store, "t", 1);
    consumer = member_open(store, &silent);
    do {
        wait_a_little(&patience);
        OK(rill_maintain(store, NULL));
        OK(rill_group_describe(store, "g", &info));
    } while (info.member_count != 0);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void sleeping_in_a_poll_is_not_silence(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};
    rill_record record;
    rill_group_info before;
    rill_group_info after;
    size_t count;

    options.max_poll_interval_ms = 100;
    test_topic(store, "t", 1);
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){1});
    OK(rill_group_describe(store, "g", &before));
    OK(rill_consumer_poll(crowd.members[0], 700, &record, 1, &count));
    assert_int_equal(count, 0);
    OK(rill_group_describe(store, "g", &after));
    assert_int_equal(after.generation, before.generation);
    assert_int_equal(after.member_count, 1);
    crowd_close(&crowd);
}

/* ---- Which topics ---- */

/* Polls until the consumer has read this number. */
static void comes_to(rill_consumer *consumer, int64_t number)
{
    struct patience patience = {0};
    rill_record record;

    for (;;) {
        size_t count = 0;
        int rc = rill_consumer_poll(consumer, 0, &record, 1, &count);
        if (rc != RILL_ERR_REBALANCE) OK(rc);
        if (rc == 0 && count == 1 && number_of(&record) == number) return;
        wait_a_little(&patience);
    }
}

static void a_pattern_matches_topics_created_later(void **state)
{
    static const char *const patterns[] = {"^log-[0-9]+$"};
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position now[3];
    rill_consumer *consumer;
    size_t count;

    test_topic(store, "log-1", 1);
    test_topic(store, "log-x", 1);
    put(store, "log-1", 0, 1, 1);
    put(store, "log-x", 0, 2, 1);
    consumer = consumer_open(store, &options);
    OK(rill_consumer_subscribe(consumer, patterns, 1));
    comes_to(consumer, 1);
    test_topic(store, "log-22", 1);
    put(store, "log-22", 0, 3, 1);
    comes_to(consumer, 3);
    OK(rill_consumer_assignment(consumer, now, 3, &count));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) assert_string_not_equal(now[i].topic, "log-x");
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void *make_topic_with_a_record(void *store)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    int64_t number = 7;
    rill_record record = record_of(&number);
    rill_producer *producer;

    thread_ok(rill_topic_create(store, "t", NULL), "create");
    thread_ok(rill_producer_open(store, &options, &producer), "open");
    thread_ok(rill_producer_append(producer, &record, 1, WAIT_MS, NULL), "append");
    thread_ok(rill_producer_close(producer, WAIT_MS), "close");
    return NULL;
}

static void a_named_topic_may_be_created_later(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_consumer *consumer = member_open(store, &options);
    pthread_t thread;

    takes_nothing(consumer);
    assert_int_equal(parts_of(consumer), 0);
    thread = thread_start(make_topic_with_a_record, store);
    takes(consumer, 7, 1); /* sleeps meanwhile */
    thread_join(thread);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void a_subscription_replaces_the_earlier_one(void **state)
{
    static const char *const other[] = {"other"};
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position now[2];
    rill_consumer *consumer;
    size_t count;

    test_topic(store, "t", 1);
    test_topic(store, "other", 1);
    put(store, "t", 0, 1, 1);
    put(store, "other", 0, 2, 1);
    consumer = member_open(store, &options);
    comes_to(consumer, 1);
    OK(rill_consumer_subscribe(consumer, other, 1));
    comes_to(consumer, 2);
    OK(rill_consumer_assignment(consumer, now, 2, &count));
    assert_int_equal(count, 1);
    assert_string_equal(now[0].topic, "other");
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void subscribing_and_assigning_exclude_each_other(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position position = {.topic = "t"};
    rill_consumer *consumer = consumer_open(store, &options);

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 1);
    OK(rill_consumer_assign(consumer, &position, 1));
    FAILS(RILL_ERR_STATE, rill_consumer_subscribe(consumer, topic_t, 1));
    OK(rill_consumer_unsubscribe(consumer));
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    takes(consumer, 0, 1);
    OK(rill_consumer_unsubscribe(consumer));
    assert_int_equal(parts_of(consumer), 0);
    OK(rill_consumer_assign(consumer, &position, 1));
    takes(consumer, 0, 1);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void names_and_patterns_are_checked(void **state)
{
    static const char *const bad[] = {"^log-[", "a/b", ""};
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_consumer *consumer = consumer_open(store, &options);

    for (size_t i = 0; i < 3; i++)
        FAILS(RILL_ERR_INVALID, rill_consumer_subscribe(consumer, &bad[i], 1));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void a_deleted_topic_leaves_the_group_the_others(void **state)
{
    static const char *const both[] = {"t", "gone"};
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position now[2];
    rill_consumer *consumer;
    size_t count;

    test_topic(store, "t", 1);
    test_topic(store, "gone", 1);
    put(store, "gone", 0, 1, 1);
    consumer = consumer_open(store, &options);
    OK(rill_consumer_subscribe(consumer, both, 2));
    comes_to(consumer, 1);
    OK(rill_consumer_commit(consumer, NULL, 0));
    OK(rill_topic_delete(store, "gone"));
    put(store, "t", 0, 2, 1);
    comes_to(consumer, 2);
    OK(rill_consumer_assignment(consumer, now, 2, &count));
    assert_int_equal(count, 1);
    test_topic(store, "gone", 1); /* its committed offset went with it */
    put(store, "gone", 0, 3, 1);
    comes_to(consumer, 3);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* ---- Looking at groups ---- */

static void a_group_that_is_not_there_cannot_be_deleted(void **state)
{
    rill_group_info info;

    FAILS(RILL_ERR_NOT_FOUND, rill_group_delete(*state, "none"));
    FAILS(RILL_ERR_NOT_FOUND, rill_group_describe(*state, "none", &info));
}

static int name_group(void *arg, const rill_group_info *info)
{
    char *names = arg;

    strcat(names, info->name);
    if (info->member_count > 0) strcat(names, "*");
    return strcmp(info->name, "stop") == 0 ? 42 : 0;
}

static void groups_are_listed_in_order(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("b");
    rill_position position = {.topic = "t"};
    rill_consumer *member;
    rill_consumer *other;
    char names[100] = "";

    test_topic(store, "t", 1);
    OK(rill_group_list(store, name_group, names));
    assert_string_equal(names, "");
    member = member_open(store, &options);
    options.group = "a";
    other = consumer_open(store, &options);
    OK(rill_consumer_commit(other, &position, 1));
    OK(rill_consumer_close(other, 0));
    OK(rill_group_list(store, name_group, names));
    assert_string_equal(names, "ab*");
    options.group = "stop";
    other = member_open(store, &options);
    names[0] = '\0';
    assert_int_equal(rill_group_list(store, name_group, names), 42);
    OK(rill_consumer_close(other, 0));
    OK(rill_consumer_close(member, 0));
    FAILS(RILL_ERR_INVALID, rill_group_list(store, NULL, names));
}

static void a_group_can_be_described(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct crowd crowd = {.count = 0};
    rill_group_info info;
    int32_t generation;

    test_topic(store, "t", 2);
    FAILS(RILL_ERR_NOT_FOUND, rill_group_describe(store, "g", &info));
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){2});
    OK(rill_group_describe(store, "g", &info));
    assert_string_equal(info.name, "g");
    assert_int_equal(info.member_count, 1);
    generation = info.generation;
    member_add(&crowd, store, &options);
    crowd_settle(&crowd, (size_t[]){1, 1});
    OK(rill_group_describe(store, "g", &info));
    assert_int_equal(info.member_count, 2);
    assert_true(info.generation > generation);
    crowd_close(&crowd);
    OK(rill_group_describe(store, "g", &info));
    assert_int_equal(info.member_count, 0);
}

static void a_deleted_group_has_committed_nothing(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_consumer_options other = member_options("h");
    rill_group_info info;
    rill_consumer *consumer;
    rill_position one = {.topic = "t", .offset = 1};

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 5);
    consumer = consumer_open(store, &other);
    OK(rill_consumer_commit(consumer, &one, 1));
    OK(rill_consumer_close(consumer, WAIT_MS));
    consumer = member_open(store, &options);
    takes(consumer, 0, 3);
    OK(rill_consumer_commit(consumer, NULL, 0));
    FAILS(RILL_ERR_STATE, rill_group_delete(store, "g"));
    assert_int_equal(committed_of(consumer, 0), 3);
    OK(rill_consumer_close(consumer, WAIT_MS));
    OK(rill_group_delete(store, "g"));
    FAILS(RILL_ERR_NOT_FOUND, rill_group_describe(store, "g", &info));
    OK(rill_group_describe(store, "h", &info)); /* the other one is untouched */

    consumer = member_open(store, &options);
    assert_int_equal(committed_of(consumer, 0), RILL_OFFSET_NONE);
    takes(consumer, 0, 5);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(two_members_see_each_record_once),
        WITH_STORE(three_members_see_each_record_once),
        WITH_STORE(more_members_than_partitions_leave_some_idle),
        WITH_STORE(two_groups_each_see_all),
        WITH_STORE(members_come_and_go_and_each_record_is_seen_once),
        WITH_STORE(members_in_threads_see_each_record_once),
        WITH_STORE(groups_are_listed_in_order),
        WITH_STORE(a_group_that_is_not_there_cannot_be_deleted),
        WITH_STORE(subscribing_and_assigning_exclude_each_other),
        WITH_STORE(a_member_that_lost_a_partition_cannot_commit_it),
        WITH_STORE(a_member_told_to_rebalance_may_still_commit_before_it_polls),
        WITH_STORE(a_silent_member_loses_its_partitions),
        WITH_STORE(maintenance_expires_a_silent_member),
        WITH_STORE(sleeping_in_a_poll_is_not_silence),
        WITH_STORE(a_pattern_matches_topics_created_later),
        WITH_STORE(a_named_topic_may_be_created_later),
        WITH_STORE(a_subscription_replaces_the_earlier_one),
        WITH_STORE(names_and_patterns_are_checked),
        WITH_STORE(a_deleted_topic_leaves_the_group_the_others),
        WITH_STORE(a_group_can_be_described),
        WITH_STORE(a_deleted_group_has_committed_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
