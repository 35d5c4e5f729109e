/*
 * members.c - what members of a group are told, and how they agree: callbacks,
 * static members, assignors, the application's own.
 */
#include "members.h"
#include "records.h"

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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
