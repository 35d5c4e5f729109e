/*
 * members.c - what members of a group are told, and how they agree: callbacks,
 * static members, assignors, the application's own; and what can be seen of it
 * all from outside: explanations, counters, metrics.
 */
#include "members.h"
#include "records.h"

static int poll_once(rill_consumer *consumer)
{
    rill_record record;
    size_t count;

    return rill_consumer_poll(consumer, 0, &record, 1, &count);
}

static void poll_ok(rill_consumer *consumer)
{
    int rc = poll_once(consumer);

    if (rc != RILL_ERR_REBALANCE) OK(rc);
}

/* Both poll until each has as many partitions as it should. */
static void settle(rill_consumer *a, size_t a_wanted, rill_consumer *b, size_t b_wanted)
{
    struct patience patience = {0};

    for (;;) {
        poll_ok(a);
        if (b != NULL) poll_ok(b);
        if (parts_of(a) == a_wanted && (b == NULL || parts_of(b) == b_wanted)) return;
        wait_a_little(&patience);
    }
}

static rill_group_info group_now(rill *store)
{
    rill_group_info info;

    OK(rill_group_describe(store, "g", &info));
    return info;
}

/* ---- Callbacks ---- */

struct calls {
    char text[400]; /* "+0+1-1": assigned 0 and 1, revoked 1; "!": lost */
    size_t size;
    bool commits;
    bool tries_what_is_forbidden;
    int answer;
};

static int note_call(void *arg, rill_consumer *consumer, int event,
                     const rill_position *positions, size_t count)
{
    struct calls *calls = arg;
    rill_record record;
    size_t got;

    for (size_t i = 0; i < count; i++)
        calls->size +=
            (size_t)snprintf(calls->text + calls->size, sizeof calls->text - calls->size, "%c%d",
                             "+-!"[event], (int)positions[i].partition);
    if (calls->commits && event == RILL_REBALANCE_REVOKED) {
        rill_position at = positions[0];
        at.offset = 3;
        OK(rill_consumer_commit(consumer, &at, 1));
    }
    if (calls->tries_what_is_forbidden) {
        FAILS(RILL_ERR_STATE, rill_consumer_poll(consumer, 0, &record, 1, &got));
        FAILS(RILL_ERR_STATE, rill_consumer_subscribe(consumer, topic_t, 1));
        FAILS(RILL_ERR_STATE, rill_consumer_unsubscribe(consumer));
        FAILS(RILL_ERR_STATE, rill_consumer_assign(consumer, positions, 1));
        FAILS(RILL_ERR_STATE, rill_consumer_close(consumer, 0));
        OK(rill_consumer_pause(consumer, "t", positions[0].partition));
        OK(rill_consumer_resume(consumer, "t", positions[0].partition));
    }
    return calls->answer;
}

static void callbacks_tell_what_comes_and_goes(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct calls first = {.commits = true, .tries_what_is_forbidden = true};
    struct calls second = {.size = 0};
    rill_position committed;
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 5);
    put(store, "t", 1, 0, 5);
    options.rebalance = note_call;
    options.rebalance_arg = &first;
    a = member_open(store, &options);
    while (parts_of(a) != 2) OK(poll_once(a)); /* never RILL_ERR_REBALANCE */
    assert_string_equal(first.text, "+0+1");
    options.rebalance_arg = &second;
    b = member_open(store, &options);
    for (struct patience patience = {0}; parts_of(b) != 1; wait_a_little(&patience)) {
        OK(poll_once(a));
        OK(poll_once(b));
    }
    /* range: the order of members decides who keeps which */
    assert_int_equal(strlen(first.text), 6);
    assert_int_equal(first.text[4], '-');
    assert_int_equal(second.text[0], '+');
    assert_int_equal(second.text[1], first.text[5]);
    OK(rill_consumer_committed(b, "t", first.text[5] - '0', &committed, NULL, 0));
    assert_int_equal(committed.offset, 3);
    OK(rill_consumer_close(b, WAIT_MS));
    assert_int_equal(second.text[2], '-');
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_failing_callback_fails_the_poll_and_nothing_else(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct calls calls = {.answer = RILL_ERR_FULL};
    rill_consumer *a;

    test_topic(store, "t", 2);
    options.rebalance = note_call;
    options.rebalance_arg = &calls;
    a = member_open(store, &options);
    FAILS(RILL_ERR_FULL, poll_once(a));
    assert_int_equal(parts_of(a), 2);
    assert_string_equal(calls.text, "+0+1");
    OK(poll_once(a));
    FAILS(RILL_ERR_FULL, rill_consumer_close(a, WAIT_MS));
}

static void who_is_expelled_is_told_what_it_lost(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct calls calls = {.size = 0};
    struct patience patience = {0};
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 1);
    options.rebalance = note_call;
    options.rebalance_arg = &calls;
    options.max_poll_interval_ms = 100;
    a = member_open(store, &options);
    while (parts_of(a) != 1) OK(poll_once(a));
    options = member_options("g");
    b = member_open(store, &options);
    while (parts_of(b) != 1) {
        poll_ok(b);
        wait_a_little(&patience);
    }
    OK(poll_once(a));
    assert_string_equal(calls.text, "+0!0");
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Partitions that stay ---- */

static void who_only_loses_some_reads_the_others_on(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position now[4];
    rill_consumer *a;
    rill_consumer *b;
    size_t count;

    test_topic(store, "t", 4);
    for (int32_t p = 0; p < 4; p++) put(store, "t", p, 0, 10);
    options.assignor = RILL_ASSIGN_COOPERATIVE_STICKY;
    a = member_open(store, &options);
    settle(a, 4, NULL, 0);
    for (int32_t p = 0; p < 4; p++) OK(rill_consumer_seek(a, "t", p, 7));
    b = member_open(store, &options);
    settle(a, 2, b, 2);
    OK(rill_consumer_assignment(a, now, 4, &count));
    for (size_t i = 0; i < count; i++) assert_true(now[i].offset >= 7); /* not from 0 again */
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Static members ---- */

static void a_static_member_comes_back_without_a_rebalance(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct calls calls = {.size = 0};
    rill_group_info before;
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 4);
    options.rebalance = note_call;
    options.rebalance_arg = &calls;
    options.group_instance_id = "one";
    a = member_open(store, &options);
    options.group_instance_id = "two";
    options.rebalance = NULL;
    b = member_open(store, &options);
    settle(a, 2, b, 2);
    before = group_now(store);
    calls.size = 0;
    calls.text[0] = '\0';
    OK(rill_consumer_close(b, WAIT_MS));
    for (int i = 0; i < 20; i++) OK(poll_once(a));
    b = member_open(store, &options);
    settle(b, 2, NULL, 0);
    OK(poll_once(a));
    assert_string_equal(calls.text, ""); /* the other one was not disturbed */
    assert_int_equal(group_now(store).generation, before.generation);
    assert_int_equal(group_now(store).member_count, 2);
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_static_member_that_stays_away_loses_its_partitions(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 2);
    options.session_timeout_ms = 100;
    options.group_instance_id = "one";
    a = member_open(store, &options);
    options.group_instance_id = "two";
    b = member_open(store, &options);
    settle(a, 1, b, 1);
    OK(rill_consumer_close(b, WAIT_MS));
    settle(a, 2, NULL, 0);
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_second_one_takes_the_place_of_a_static_member(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position position = {.topic = "t", .partition = 0, .offset = 0};
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 2);
    options.group_instance_id = "one";
    a = member_open(store, &options);
    settle(a, 2, NULL, 0);
    b = member_open(store, &options);
    settle(b, 2, NULL, 0);
    FAILS(RILL_ERR_FENCED, rill_consumer_commit(a, &position, 1));
    FAILS(RILL_ERR_FENCED, poll_once(a));
    assert_non_null(strstr(rill_errmsg(), "one"));
    assert_int_equal(parts_of(a), 0);
    OK(rill_consumer_subscribe(a, topic_t, 1)); /* takes it back */
    settle(a, 2, NULL, 0);
    FAILS(RILL_ERR_FENCED, poll_once(b));
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Assignors ---- */

static void members_agree_on_an_assignor_or_are_told(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_consumer *a;
    rill_consumer *b;
    rill_consumer *c;

    test_topic(store, "t", 2);
    options.assignor = RILL_ASSIGN_STICKY;
    options.assignors = 1u << RILL_ASSIGN_STICKY | 1u << RILL_ASSIGN_RANGE;
    a = member_open(store, &options);
    assert_int_equal(group_now(store).assignor, RILL_ASSIGN_STICKY);
    options.assignor = RILL_ASSIGN_RANGE;
    options.assignors = 0;
    b = member_open(store, &options);
    settle(a, 1, b, 1);
    assert_int_equal(group_now(store).assignor, RILL_ASSIGN_RANGE);
    options.assignor = RILL_ASSIGN_ROUND_ROBIN;
    c = consumer_open(store, &options);
    FAILS(RILL_ERR_INVALID, rill_consumer_subscribe(c, topic_t, 1));
    assert_non_null(strstr(rill_errmsg(), "range"));
    assert_non_null(strstr(rill_errmsg(), "roundrobin"));
    assert_int_equal(group_now(store).member_count, 2);
    OK(rill_consumer_close(c, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_consumer_close(a, WAIT_MS));
}

struct own {
    int calls;
    int answer;
    int32_t gives; /* all partitions to the member of this number */
};

static int give_all_to_one(void *arg, const rill_assignor_member *members, size_t member_count,
                           const rill_assignor_topic *topics, size_t topic_count)
{
    struct own *own = arg;

    own->calls++;
    assert_int_equal(topic_count, 1);
    assert_string_equal(topics[0].topic, "t");
    for (size_t i = 0; i < member_count; i++) {
        assert_int_equal(members[i].subscribed[0], 1);
        assert_true(i == 0 || strcmp(members[i - 1].member_id, members[i].member_id) < 0);
    }
    for (uint32_t p = 0; p < topics[0].partition_count; p++)
        topics[0].owners[p] = own->gives < (int32_t)member_count ? own->gives : 0;
    return own->answer;
}

static void the_applications_own_assignor_decides(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct own own = {.gives = 1};
    struct patience patience = {0};
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 4);
    options.assignor = RILL_ASSIGN_OWN;
    FAILS(RILL_ERR_INVALID, rill_consumer_open(store, &options, &a));
    options.own_assignor = give_all_to_one;
    options.own_assignor_arg = &own;
    options.own_assignor_name = "all to one";
    options.client_id = "a";
    a = member_open(store, &options);
    settle(a, 4, NULL, 0);
    options.client_id = "b"; /* comes behind a */
    b = member_open(store, &options);
    settle(a, 0, b, 4);
    assert_true(own.calls >= 2);
    assert_int_equal(group_now(store).assignor, RILL_ASSIGN_OWN);
    assert_int_equal(group_now(store).state, RILL_GROUP_STABLE);
    OK(rill_consumer_close(b, WAIT_MS));
    own.answer = RILL_ERR_FULL; /* it fails: the member is told, and leaves */
    while (poll_once(a) != RILL_ERR_FULL) wait_a_little(&patience);
    own.answer = 0;
    settle(a, 4, NULL, 0); /* it joins anew */
    own.gives = -2;
    b = member_open(store, &options);
    while (poll_once(a) != RILL_ERR_INVALID) wait_a_little(&patience);
    assert_non_null(strstr(rill_errmsg(), "member number -2"));
    own.gives = 0;
    settle(a, 4, b, 0);
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Many ---- */

static void a_thousand_members_share_what_there_is(void **state)
{
    enum { MANY = 1000, PARTITIONS = 40 };
    static rill_consumer *members[MANY];
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct patience patience = {0};
    size_t owned = 0;

    test_topic(store, "t", PARTITIONS);
    options.assignor = RILL_ASSIGN_STICKY;
    for (int i = 0; i < MANY; i++) members[i] = member_open(store, &options);
    assert_int_equal(group_now(store).member_count, MANY);
    while (owned != PARTITIONS || group_now(store).state != RILL_GROUP_STABLE) {
        owned = 0;
        for (int i = 0; i < MANY; i++) {
            poll_ok(members[i]);
            assert_in_range(parts_of(members[i]), 0, PARTITIONS);
            owned += parts_of(members[i]);
        }
        wait_a_little(&patience);
    }
    for (int i = 0; i < MANY; i++) {
        assert_in_range(parts_of(members[i]), 0, 1);
        OK(rill_consumer_close(members[i], WAIT_MS));
    }
    assert_int_equal(group_now(store).state, RILL_GROUP_EMPTY);
}

struct reading {
    int64_t next[4]; /* by partition: each number comes once, in order */
    int all;
};

static void read_some(rill_consumer *consumer, struct reading *reading)
{
    rill_record records[4];
    size_t count;
    int rc = rill_consumer_poll(consumer, 0, records, 4, &count);

    if (rc == RILL_ERR_REBALANCE) return;
    OK(rc);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(number_of(&records[i]), reading->next[records[i].partition]++);
    reading->all += (int)count;
}

/* Who leaves commits what it has read. */
static void members_that_flap_lose_and_repeat_nothing(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct reading reading = {.all = 0};
    rill_consumer *a;

    test_topic(store, "t", 4);
    options.assignor = RILL_ASSIGN_COOPERATIVE_STICKY;
    options.auto_commit_interval_ms = 3600000;
    a = member_open(store, &options);
    for (int i = 0; i < 100; i++) {
        rill_consumer *flapping;
        for (int32_t p = 0; p < 4; p++) put(store, "t", p, i, 1);
        flapping = member_open(store, &options);
        read_some(a, &reading);
        if (i % 3 == 0) read_some(flapping, &reading);
        OK(rill_consumer_close(flapping, WAIT_MS));
        read_some(a, &reading);
    }
    for (struct patience patience = {0}; reading.all < 400; wait_a_little(&patience))
        read_some(a, &reading);
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Topics ---- */

static void internal_topics_are_only_matched_by_name(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    const char *const all[] = {"^.*"};
    const char *const one[] = {"__inside"};
    rill_consumer *a = consumer_open(store, &options);

    test_topic(store, "t", 1);
    test_topic(store, "__inside", 2);
    OK(rill_consumer_subscribe(a, all, 1));
    settle(a, 1, NULL, 0);
    OK(rill_consumer_subscribe(a, one, 1));
    settle(a, 2, NULL, 0);
    OK(rill_consumer_close(a, WAIT_MS));
}

static void by_hand_partitions_come_and_go_one_by_one(void **state)
{
    rill *store = *state;
    rill_position positions[] = {{.topic = "t", .partition = 0, .offset = 0},
                                 {.topic = "t", .partition = 1, .offset = 0},
                                 {.topic = "t", .partition = 2, .offset = 0}};
    rill_consumer *a = consumer_open(store, NULL);
    rill_offset position;

    test_topic(store, "t", 3);
    put(store, "t", 0, 0, 5);
    OK(rill_consumer_assign(a, positions, 1));
    takes(a, 0, 3);
    OK(rill_consumer_incremental_assign(a, positions + 1, 1));
    OK(rill_consumer_position(a, "t", 0, &position));
    assert_int_equal(position, 3);
    FAILS(RILL_ERR_INVALID, rill_consumer_incremental_assign(a, positions + 1, 2));
    assert_int_equal(parts_of(a), 2); /* all or none */
    FAILS(RILL_ERR_STATE, rill_consumer_incremental_unassign(a, positions + 1, 2));
    assert_int_equal(parts_of(a), 2);
    OK(rill_consumer_incremental_unassign(a, positions + 1, 1));
    takes(a, 3, 2);
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_poll_gives_no_more_than_max_poll_records(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_record records[10];
    rill_consumer *a;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    options.max_poll_records = 3;
    a = member_open(store, &options);
    assert_int_equal(take(a, records, 10), 3);
    assert_int_equal(take(a, records, 2), 2);
    OK(rill_consumer_close(a, WAIT_MS));
}

static void only_members_commit_for_a_group_that_has_some(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position position = {.topic = "t", .partition = 0, .offset = 0};
    rill_consumer *a;
    rill_consumer *b = consumer_open(store, &options);

    test_topic(store, "t", 1);
    OK(rill_consumer_assign(b, &position, 1));
    OK(rill_consumer_commit(b, &position, 1));
    a = member_open(store, &options);
    FAILS(RILL_ERR_FENCED, rill_consumer_commit(b, &position, 1));
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_commit(b, &position, 1));
    OK(rill_consumer_close(b, WAIT_MS));
}

/* ---- Commits that are told later ---- */

struct told {
    int count;
    int statuses[10];
    rill_offset offsets[10];
    char metadata[20];
};

static void note_told(void *arg, rill_consumer *consumer, int status,
                      const rill_position *positions, size_t count)
{
    struct told *told = arg;
    rill_record record;
    size_t got;

    assert_int_equal(count, 1);
    assert_string_equal(positions[0].topic, "t");
    assert_in_range(told->count, 0, 9);
    told->statuses[told->count] = status;
    told->offsets[told->count++] = positions[0].offset;
    if (positions[0].metadata != NULL)
        snprintf(told->metadata, sizeof told->metadata, "%s", positions[0].metadata);
    FAILS(RILL_ERR_STATE, rill_consumer_poll(consumer, 0, &record, 1, &got));
}

static rill_offset committed_of(rill_consumer *consumer)
{
    rill_position position;

    OK(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
    return position.offset;
}

static void a_commit_may_be_told_later(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    char metadata[] = "words";
    rill_position position = {.topic = "t", .offset = 2, .metadata = metadata};
    struct told told = {.count = 0};
    rill_consumer *a;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    a = member_open(store, &options);
    settle(a, 1, NULL, 0);
    OK(rill_consumer_seek(a, "t", 0, 0));
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    memset(metadata, 'x', 5); /* it was copied */
    position.offset = 5;
    position.metadata = NULL;
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    assert_int_equal(told.count, 0);
    assert_int_equal(committed_of(a), RILL_OFFSET_NONE);
    position.offset = 11;
    FAILS(RILL_ERR_RANGE, rill_consumer_commit_async(a, &position, 1, note_told, &told));
    position.offset = 4;
    OK(rill_consumer_commit(a, &position, 1)); /* behind the others */
    assert_int_equal(told.count, 2);
    assert_int_equal(told.offsets[0], 2);
    assert_string_equal(told.metadata, "words");
    assert_int_equal(told.offsets[1], 5);
    assert_int_equal(committed_of(a), 4);
    takes(a, 0, 3);
    OK(rill_consumer_commit_async(a, NULL, 0, note_told, &told));
    OK(poll_once(a));
    assert_int_equal(told.count, 3);
    assert_int_equal(told.statuses[2], 0);
    assert_int_equal(committed_of(a), 3);
    for (int i = 0; i < 1000; i++) OK(rill_consumer_commit_async(a, &position, 1, NULL, NULL));
    FAILS(RILL_ERR_FULL, rill_consumer_commit_async(a, &position, 1, NULL, NULL));
    OK(poll_once(a));
    assert_int_equal(committed_of(a), 4);
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    OK(rill_consumer_close(a, WAIT_MS));
    assert_int_equal(told.count, 4);
}

static void a_commit_of_what_was_lost_meanwhile_is_refused(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position position = {.topic = "t", .offset = 2};
    struct told told = {.count = 0};
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    options.group_instance_id = "one";
    a = member_open(store, &options);
    settle(a, 1, NULL, 0);
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    b = member_open(store, &options); /* takes its place */
    FAILS(RILL_ERR_FENCED, poll_once(a));
    assert_int_equal(told.count, 1);
    assert_int_equal(told.statuses[0], RILL_ERR_FENCED);
    assert_int_equal(committed_of(b), RILL_OFFSET_NONE);
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_consumer_close(a, WAIT_MS));
}

static void the_stores_thread_commits_what_was_queued(void **state)
{
    rill *store;
    rill_options open_options = {.size = sizeof open_options,
                                 .flags = RILL_OPEN_CREATE | RILL_OPEN_THREAD};
    rill_consumer_options options = member_options("g");
    rill_position position = {.topic = "t", .offset = 2};
    struct told told = {.count = 0};
    struct patience patience = {0};
    rill_consumer *a;

    OK(rill_close(*state));
    OK(rill_open(test_path("store"), &open_options, &store));
    *state = store;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    a = member_open(store, &options);
    settle(a, 1, NULL, 0);
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    while (committed_of(a) != 2) wait_a_little(&patience); /* without a poll */
    assert_int_equal(told.count, 0);
    while (told.count == 0) OK(poll_once(a));
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    OK(rill_consumer_close(a, WAIT_MS));
    assert_int_equal(told.count, 2);
}

/* ---- Seen from outside ---- */

struct facts {
    int kinds[8];
    int severest;
    char text[8000];
    size_t size;
    int stop_at;
};

static int note_fact(void *arg, const rill_fact *fact)
{
    struct facts *facts = arg;

    assert_in_range(fact->kind, RILL_FACT_GROUP, RILL_FACT_WAIT);
    facts->kinds[fact->kind]++;
    if (facts->severest == 0 || fact->severity < facts->severest)
        facts->severest = fact->severity;
    facts->size += (size_t)snprintf(facts->text + facts->size, sizeof facts->text - facts->size,
                                    "%s\n", fact->text);
    return facts->stop_at == fact->kind ? 77 : 0;
}

static void says(const struct facts *facts, const char *part)
{
    if (strstr(facts->text, part) == NULL) fail_msg("no \"%s\" in\n%s", part, facts->text);
}

static void a_group_that_waits_for_a_member_says_for_whom(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_subject subject = {.group = "g"};
    struct facts facts = {.size = 0};
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 5);
    put(store, "t", 1, 0, 5);
    options.client_id = "slow";
    a = member_open(store, &options);
    settle(a, 2, NULL, 0);
    OK(rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.severest, RILL_LOG_INFO);
    says(&facts, "every partition is where it should be");
    says(&facts, "the application has its thread");
    options.client_id = "new";
    b = member_open(store, &options); /* a does not poll */
    poll_ok(b);
    facts = (struct facts){.size = 0};
    OK(rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.severest, RILL_LOG_WARNING);
    assert_int_equal(facts.kinds[RILL_FACT_MEMBER], 2);
    assert_int_equal(facts.kinds[RILL_FACT_OWNER], 2);
    says(&facts, "is asked to give up partitions");
    says(&facts, "waits for slow-");
    says(&facts, "goes to new-");
    says(&facts, "records are not committed");
    facts = (struct facts){.size = 0};
    subject = (rill_subject){.consumer = b};
    OK(rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.kinds[RILL_FACT_WAIT], 1);
    says(&facts, "it reads 0 partitions");
    says(&facts, "waits for slow-");
    facts = (struct facts){.stop_at = RILL_FACT_MEMBER};
    subject = (rill_subject){.group = "g"};
    assert_int_equal(rill_explain(store, &subject, note_fact, &facts), 77);
    assert_int_equal(facts.kinds[RILL_FACT_MEMBER], 1);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
}

struct listing {
    char last[80];
    int32_t next; /* range gives the first partitions to the first member */
    int count;
    int answer;
};

static int note_member(void *arg, const rill_group_member *member)
{
    struct listing *listing = arg;

    assert_true(strcmp(listing->last, member->member_id) < 0);
    snprintf(listing->last, sizeof listing->last, "%s", member->member_id);
    assert_null(member->group_instance_id);
    assert_string_equal(member->subscription, "t");
    assert_int_equal(member->pid, getpid());
    assert_int_equal(member->away, 0);
    assert_true(member->polled_ms >= 0);
    for (size_t i = 0; i < member->assigned_count; i++) {
        assert_string_equal(member->assigned[i].topic, "t");
        assert_int_equal(member->assigned[i].partition, listing->next++);
    }
    listing->count++;
    return listing->answer;
}

static int note_away(void *arg, const rill_group_member *member)
{
    int *away = arg;

    assert_string_equal(member->group_instance_id, "one");
    assert_int_equal(member->pid, member->away ? 0 : getpid());
    assert_int_equal(member->assigned_count, 5);
    *away += member->away;
    return 0;
}

static void members_are_listed_with_what_they_have(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct listing listing = {.next = 0};
    rill_consumer *a;
    rill_consumer *b;
    int away = 0;

    test_topic(store, "t", 5);
    FAILS(RILL_ERR_NOT_FOUND, rill_group_members(store, "g", note_member, &listing));
    options.client_id = "a";
    a = member_open(store, &options);
    options.client_id = "b";
    b = member_open(store, &options);
    settle(a, 3, b, 2);
    OK(rill_group_members(store, "g", note_member, &listing));
    assert_int_equal(listing.count, 2);
    assert_int_equal(listing.next, 5);
    listing = (struct listing){.answer = 77};
    assert_int_equal(rill_group_members(store, "g", note_member, &listing), 77);
    assert_int_equal(listing.count, 1);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
    options.group_instance_id = "one";
    a = member_open(store, &options);
    settle(a, 5, NULL, 0);
    OK(rill_group_members(store, "g", note_away, &away));
    assert_int_equal(away, 0);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_group_members(store, "g", note_away, &away));
    assert_int_equal(away, 1);
}

static void a_partition_says_who_holds_it(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_subject subject = {.topic = "t", .partition = 0};
    struct facts facts = {.size = 0};
    struct holder holder;
    rill_consumer *a;
    char text[60];

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 5);
    a = member_open(store, &options);
    settle(a, 2, NULL, 0);
    holder_start(&holder, store, "t", 0, 5);
    OK(rill_explain(store, &subject, note_fact, &facts));
    holder_stop(&holder);
    snprintf(text, sizeof text, "process %d holds the append lock", (int)getpid());
    says(&facts, text);
    says(&facts, "t-0 has offsets 0 to 5");
    says(&facts, "reads or writes segment 0 of t-0");
    says(&facts, "t-0 is read by rill-");
    assert_int_equal(facts.kinds[RILL_FACT_OWNER], 1);
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_consumer_says_what_it_waits_for(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {
        .size = sizeof options, .auto_offset_reset = RILL_RESET_ERROR, .group = "h"};
    rill_position positions[] = {{.topic = "t", .partition = 0, .offset = 0},
                                 {.topic = "t", .partition = 1, .offset = RILL_OFFSET_NONE},
                                 {.topic = "t", .partition = 2, .offset = 0},
                                 {.topic = "t", .partition = 3, .offset = 0}};
    rill_consumer *a = consumer_open(store, &options);
    rill_subject subject = {.consumer = a};
    struct facts facts = {.size = 0};

    test_topic(store, "t", 4);
    put(store, "t", 2, 0, 4);
    OK(rill_consumer_assign(a, positions, 4));
    OK(rill_consumer_pause(a, "t", 3));
    OK(rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.kinds[RILL_FACT_WAIT], 5);
    says(&facts, "no member of a group");
    says(&facts, "t-0: position 0 of 0; it is at the end");
    says(&facts, "t-1: position -3 of 0; the reset policy leaves open where to begin");
    says(&facts, "t-2: position 0 of 4; there is something to read");
    says(&facts, "t-3: position 0 of 0; it is paused");
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_subject_is_one_thing(void **state)
{
    rill *store = *state;
    rill_subject subject = {.group = NULL};
    struct facts facts = {.size = 0};

    FAILS(RILL_ERR_INVALID, rill_explain(store, &subject, note_fact, &facts));
    subject = (rill_subject){.group = "g", .topic = "t"};
    FAILS(RILL_ERR_INVALID, rill_explain(store, &subject, note_fact, &facts));
    subject = (rill_subject){.group = "g"};
    FAILS(RILL_ERR_NOT_FOUND, rill_explain(store, &subject, note_fact, &facts));
    subject = (rill_subject){.topic = "t"};
    FAILS(RILL_ERR_NOT_FOUND, rill_explain(store, &subject, note_fact, &facts));
    test_topic(store, "t", 1);
    subject.partition = 1;
    FAILS(RILL_ERR_NOT_FOUND, rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.size, 0);
}

static void counters_and_metrics_are_of_all(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_stats mine = {.size = sizeof mine};
    rill_stats all = {.size = sizeof all};
    rill_consumer *a;
    char text[8000];
    size_t needed;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 5);
    a = member_open(store, &options);
    settle(a, 2, NULL, 0);
    OK(rill_stats_get(store, &mine));
    OK(rill_stats_total(store, &all));
    assert_int_equal(mine.records_appended, 5);
    assert_int_equal(all.records_appended, mine.records_appended);
    assert_true(mine.polls > 0 && mine.group_steps > 0 && mine.memory_bytes > 0);
    OK(rill_consumer_seek(a, "t", 0, 2));
    OK(rill_consumer_commit(a, NULL, 0));
    FAILS(RILL_ERR_TOO_BIG, rill_metrics(store, NULL, 0, &needed));
    assert_in_range(needed, 100, sizeof text);
    OK(rill_metrics(store, text, needed, &needed));
    assert_int_equal(strlen(text) + 1, needed);
    FAILS(RILL_ERR_TOO_BIG, rill_metrics(store, text, needed - 1, NULL));
    OK(rill_metrics(store, text, sizeof text, NULL));
    assert_non_null(strstr(text, "# TYPE rill_records_appended_total counter\n"
                                 "rill_records_appended_total 5\n"));
    assert_non_null(strstr(text, "rill_log_end_offset{topic=\"t\",partition=\"0\"} 5\n"));
    assert_non_null(strstr(text, "rill_group_members{group=\"g\"} 1\n"));
    assert_non_null(strstr(text, "rill_group_lag{group=\"g\",topic=\"t\",partition=\"0\"} 3\n"));
    OK(rill_consumer_close(a, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(callbacks_tell_what_comes_and_goes),
        WITH_STORE(a_failing_callback_fails_the_poll_and_nothing_else),
        WITH_STORE(who_is_expelled_is_told_what_it_lost),
        WITH_STORE(who_only_loses_some_reads_the_others_on),
        WITH_STORE(a_static_member_comes_back_without_a_rebalance),
        WITH_STORE(a_static_member_that_stays_away_loses_its_partitions),
        WITH_STORE(a_second_one_takes_the_place_of_a_static_member),
        WITH_STORE(members_agree_on_an_assignor_or_are_told),
        WITH_STORE(the_applications_own_assignor_decides),
        WITH_STORE(a_thousand_members_share_what_there_is),
        WITH_STORE(members_that_flap_lose_and_repeat_nothing),
        WITH_STORE(internal_topics_are_only_matched_by_name),
        WITH_STORE(by_hand_partitions_come_and_go_one_by_one),
        WITH_STORE(a_poll_gives_no_more_than_max_poll_records),
        WITH_STORE(only_members_commit_for_a_group_that_has_some),
        WITH_STORE(a_commit_may_be_told_later),
        WITH_STORE(a_commit_of_what_was_lost_meanwhile_is_refused),
        WITH_STORE(the_stores_thread_commits_what_was_queued),
        WITH_STORE(a_group_that_waits_for_a_member_says_for_whom),
        WITH_STORE(members_are_listed_with_what_they_have),
        WITH_STORE(a_partition_says_who_holds_it),
        WITH_STORE(a_consumer_says_what_it_waits_for),
        WITH_STORE(a_subject_is_one_thing),
        WITH_STORE(counters_and_metrics_are_of_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
