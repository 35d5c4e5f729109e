/*
 * Range and round robin give what Kafka's RangeAssignor (without racks) and
 * RoundRobinAssignor give: members in order of their instances, then of their
 * ids; topics in order of their names.
 */
#include "groups.h"

struct expectation {
    uint32_t sizes[4];
    struct joiner members[4];
    const char *range;
    const char *round_robin;
};

static const struct expectation expectations[] = {
    /* one member: no topic, one that is not there, one that is empty */
    {{0}, {{.id = 1, ""}}, "", ""},
    {{0}, {{.id = 1, "a"}}, "", ""},
    {{GROUPS_EMPTY_TOPIC}, {{.id = 1, "a"}}, "", ""},
    /* one member gets all, but only of what it subscribes to */
    {{3}, {{.id = 1, "a"}}, "a:1,1,1", "a:1,1,1"},
    {{3, 3}, {{.id = 1, "a"}}, "a:1,1,1", "a:1,1,1"},
    {{1, 2}, {{.id = 1, "ab"}}, "a:1 b:1,1", "a:1 b:1,1"},
    /* more members than partitions */
    {{1}, {{.id = 1, "a"}, {.id = 2, "a"}}, "a:1", "a:1"},
    {{2}, {{.id = 1, "a"}, {.id = 2, "a"}, {.id = 3, "a"}}, "a:1,2", "a:1,2"},
    {{1, 1}, {{.id = 1, "ab"}, {.id = 2, "ab"}, {.id = 3, "ab"}}, "a:1 b:1", "a:1 b:2"},
    /* two members, evenly and not */
    {{2}, {{.id = 1, "a"}, {.id = 2, "a"}}, "a:1,2", "a:1,2"},
    {{3, 3}, {{.id = 1, "ab"}, {.id = 2, "ab"}}, "a:1,1,2 b:1,1,2", "a:1,2,1 b:2,1,2"},
    {{4, 4},
     {{.id = 1, "ab"}, {.id = 2, "ab"}, {.id = 3, "ab"}},
     "a:1,1,2,3 b:1,1,2,3",
     "a:1,2,3,1 b:2,3,1,2"},
    /* different subscriptions */
    {{3, 2}, {{.id = 1, "a"}, {.id = 2, "ab"}, {.id = 3, "a"}}, "a:1,2,3 b:2,2", "a:1,2,3 b:2,2"},
    {{1, 2, 3},
     {{.id = 1, "a"}, {.id = 2, "ab"}, {.id = 3, "abc"}},
     "a:1 b:2,3 c:3,3,3",
     "a:1 b:2,3 c:3,3,3"},
    {{2, 2}, {{.id = 1, "a"}, {.id = 2, "b"}}, "a:1,1 b:2,2", "a:1,1 b:2,2"},
    /* a member that wants nothing */
    {{2}, {{.id = 1, ""}, {.id = 2, "a"}}, "a:2,2", "a:2,2"},
    /* static members: the instance decides, not the id */
    {{3, 3},
     {{.id = 1, "ab", "instance1", "consumer-b"}, {.id = 2, "ab", "instance2", "consumer-a"}},
     "a:1,1,2 b:1,1,2",
     "a:1,2,1 b:2,1,2"},
    /* and they come before the others */
    {{3, 3},
     {{.id = 1, "ab", "instance1", "consumer-b"}, {.id = 2, "ab", NULL, "consumer-a"}},
     "a:1,1,2 b:1,1,2",
     "a:1,2,1 b:2,1,2"},
    {{5, 4},
     {{.id = 1, "ab", "instance1", "consumer1"},
      {.id = 2, "ab", "instance2", "consumer2"},
      {.id = 3, "ab", "instance3", "consumer3"},
      {.id = 4, "ab", NULL, "consumer4"}},
     "a:1,1,2,3,4 b:1,2,3,4",
     "a:1,2,3,4,1 b:2,3,4,1"},
    {{3, 3},
     {{.id = 1, "ab", "instance1", "consumer4"},
      {.id = 2, "ab", "instance2", "consumer5"},
      {.id = 3, "ab", "instance3", "consumer1"}},
     "a:1,2,3 b:1,2,3",
     "a:1,2,3 b:1,2,3"},
    /* ids are compared as text: "m10" comes before "m9" */
    {{3}, {{.id = 1, "a", NULL, "m9"}, {.id = 2, "a", NULL, "m10"}}, "a:2,2,1", "a:2,1,2"},
};

enum { EXPECTATIONS = sizeof expectations / sizeof expectations[0] };

/* Members join one after the other, forwards or backwards: the end is the same. */
static void all_join(const struct expectation *e, int32_t assignor, bool backwards)
{
    size_t count = 0;

    while (count < 4 && e->members[count].id != 0) count++;
    for (size_t i = 0; i < count; i++) {
        struct joiner j = e->members[backwards ? count - 1 - i : i];
        j.assignor = assignor;
        OK(groups_join(0, &j));
        groups_all_ready(0);
    }
    assert_int_equal(rill__group_state(groups_it), GROUP_STABLE);
    assert_int_equal(rill__group_assignor(groups_it), assignor);
}

static void check(int32_t assignor)
{
    for (size_t i = 0; i < 2 * EXPECTATIONS; i++) {
        const struct expectation *e = &expectations[i / 2];
        const char *expected = assignor == RILL_ASSIGN_RANGE ? e->range : e->round_robin;

        assert_int_equal(groups_tear_down(NULL), 0);
        assert_int_equal(groups_set_up(NULL), 0);
        memcpy(groups_sizes, e->sizes, sizeof e->sizes);
        all_join(e, assignor, i % 2 == 1);
        if (strcmp(groups_text(), expected) != 0)
            fail_msg("case %zu: %s instead of %s", i / 2, groups_text(), expected);
    }
}

static void range_is_kafkas(void **state)
{
    (void)state;
    check(RILL_ASSIGN_RANGE);
}

static void round_robin_is_kafkas(void **state)
{
    (void)state;
    check(RILL_ASSIGN_ROUND_ROBIN);
}

/* A member that takes a dynamic one's place in the order gets what it had. */
static void static_members_keep_theirs_when_another_comes_and_goes(void **state)
{
    static const int32_t assignors[] = {RILL_ASSIGN_RANGE, RILL_ASSIGN_ROUND_ROBIN};

    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *before = i == 0 ? "a:1,2,3 b:1,2,3" : "a:1,2,3 b:1,2,3";
        const char *with_4 = i == 0 ? "a:1,2,3 b:1,2,3" : "a:1,2,3 b:4,1,2";
        const char *with_5 = i == 0 ? "a:1,2,3 b:1,2,3" : "a:1,2,3 b:5,1,2";

        assert_int_equal(groups_tear_down(NULL), 0);
        assert_int_equal(groups_set_up(NULL), 0);
        groups_sizes[0] = groups_sizes[1] = 3;
        OK(JOIN(0, 1, "ab", "instance1", .assignor = assignors[i]));
        OK(JOIN(0, 2, "ab", "instance2", .assignor = assignors[i]));
        OK(JOIN(0, 3, "ab", "instance3", .assignor = assignors[i]));
        groups_all_ready(0);
        groups_stands(before);
        OK(JOIN(0, 4, "ab", .assignor = assignors[i]));
        groups_all_ready(0);
        groups_stands(with_4);
        OK(groups_happens(0, GROUP_LEAVE, 4));
        OK(JOIN(0, 5, "ab", .assignor = assignors[i]));
        groups_all_ready(0);
        groups_stands(with_5);
    }
}

static void partitions_that_are_added_are_shared_out(void **state)
{
    (void)state;
    OK(JOIN(0, 1));
    OK(JOIN(0, 2));
    groups_all_ready(0);
    groups_stands("a:1,2");
    groups_sizes[0] = 5;
    OK(groups_topics(0, "a"));
    groups_stands("a:1,2>1,1,2,2"); /* 1, 3 and 4 have no owner to wait for */
    groups_said("A1 R2 A2");
    groups_all_ready(0);
    groups_stands("a:1,1,1,2,2");
}

static void topics_that_are_removed_are_given_up(void **state)
{
    (void)state;
    groups_sizes[1] = 2;
    OK(JOIN(0, 1, "ab", .assignor = RILL_ASSIGN_ROUND_ROBIN));
    OK(JOIN(0, 2, "ab", .assignor = RILL_ASSIGN_ROUND_ROBIN));
    groups_all_ready(0);
    groups_stands("a:1,2 b:1,2");
    groups_sizes[0] = 0;
    OK(groups_topics(0, "ab"));
    groups_said("R1 R2");
    groups_stands("a:1>-,2>- b:1,2");
    OK(groups_ready(0, 1));
    OK(groups_ready(0, 2));
    groups_stands("b:1,2");
    assert_int_equal(rill__group_state(groups_it), GROUP_STABLE);
}

/* Told one subscription after the other, and in any order. */
static void a_topic_made_anew_is_another_one(void **state)
{
    static const struct group_topic old = {'a', 2, "a"};
    static const struct group_topic new = {'z', 3, "a"};
    const struct group_subscription says_old = {"x", &old, 1};
    const struct group_subscription says_new = {"y", &new, 1};
    struct group_join join = {.name = "m1",
                              .session_timeout_ms = 1000,
                              .max_poll_interval_ms = 1000,
                              .subscription = says_old};
    struct group_event e = {.kind = GROUP_JOIN, .join = &join};

    (void)state;
    for (e.member = 1; e.member <= 4; e.member++) {
        join.subscription = e.member % 2 == 1 ? says_old : says_new;
        OK(groups_step(&e));
        groups_all_ready(0);
    }
    groups_stands("a:1,3 z:2,2,4");
    for (int i = 0; i < 2; i++) {
        struct group_plan_input *input;
        OK(rill__group_plan_input(groups_it, &input));
        assert_int_equal(input->topic_count, 2);
        assert_int_equal(input->owner_count, 5);
        rill__free(&groups_heap, input);
    }
}

static void a_thousand_members_share_evenly(void **state)
{
    enum { MEMBERS = 1000, PARTITIONS = 2500 };
    static const int32_t assignors[] = {RILL_ASSIGN_RANGE, RILL_ASSIGN_ROUND_ROBIN};
    struct heap plain;

    (void)state;
    rill__heap_init(&plain, NULL, 0);
    for (int i = 0; i < 2; i++) {
        const struct group_topic topic = {1, PARTITIONS, "a"};
        struct group_holding holdings[10];
        struct group_join join = {.session_timeout_ms = 1000,
                                  .max_poll_interval_ms = 1000,
                                  .assignor = assignors[i],
                                  .subscription = {"a", &topic, 0}};
        struct group_event e = {.kind = GROUP_JOIN, .join = &join};
        const struct group_action *actions;
        struct group *group;
        char name[20];
        size_t count;

        OK(rill__group_new(&plain, 0, 0, &group));
        join.name = name;
        for (e.member = 1; e.member <= MEMBERS; e.member++) {
            snprintf(name, sizeof name, "m%05d", (int)e.member);
            OK(rill__group_step(group, &e, &actions, &count));
        }
        join.subscription.topic_count = 1;
        e = (struct group_event){.kind = GROUP_TOPICS, .subscription = &join.subscription};
        OK(rill__group_step(group, &e, &actions, &count));
        assert_int_equal(count, MEMBERS);
        assert_int_equal(rill__group_state(group), GROUP_STABLE);
        for (uint64_t m = 1; m <= MEMBERS; m++) {
            size_t owned = rill__group_holdings(group, m, holdings, 10);
            size_t first = i == 1 ? m - 1 : m <= 500 ? (m - 1) * 3 : 1500 + (m - 501) * 2;
            assert_int_equal(owned, m <= 500 ? 3 : 2);
            assert_int_equal(holdings[0].partition, first);
            assert_int_equal(holdings[1].partition, first + (i == 1 ? MEMBERS : 1));
        }
        assert_true(rill__group_check(group));
        rill__group_free(group);
    }
    assert_int_equal(plain.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GROUP(range_is_kafkas),
        WITH_GROUP(round_robin_is_kafkas),
        WITH_GROUP(static_members_keep_theirs_when_another_comes_and_goes),
        WITH_GROUP(partitions_that_are_added_are_shared_out),
        WITH_GROUP(topics_that_are_removed_are_given_up),
        WITH_GROUP(a_topic_made_anew_is_another_one),
        WITH_GROUP(a_thousand_members_share_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
