/*
 * Range and round robin give what Kafka's RangeAssignor (without racks) and
 * RoundRobinAssignor give, members being in order of their ids.
 */
#include "group/group.h"
#include "testing.h"

static struct heap heap;

struct subscription {
    uint64_t member;
    const char *topics; /* one letter each; its count is in topic_sizes */
};

/* Partitions of the topics "a".."d". */
static uint32_t topic_sizes[4];

static size_t topics_of(const char *letters, struct group_topic *topics)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    size_t n = 0;

    for (; *letters != '\0'; letters++, n++)
        topics[n] = (struct group_topic){(uint64_t)*letters, topic_sizes[*letters - 'a'],
                                         names[*letters - 'a']};
    return n;
}

/* "1:a0,a1 2:b0": who owns what once everybody has joined. */
static const char *assignment(int32_t assignor, const struct subscription *subscriptions,
                              size_t count)
{
    static char text[1000];
    const struct group_action *actions = NULL;
    size_t action_count = 0;
    struct group *group;
    size_t at = 0;

    assert_int_equal(rill__group_new(&heap, 0, &group), 0);
    for (size_t i = 0; i < count; i++) {
        struct group_topic topics[4];
        struct group_event join = {.kind = GROUP_JOIN,
                                   .member = subscriptions[i].member,
                                   .topics = topics,
                                   .session_timeout_ms = 1000,
                                   .rebalance_timeout_ms = 1000,
                                   .assignor = assignor};
        join.topic_count = topics_of(subscriptions[i].topics, topics);
        OK(rill__group_step(group, &join, &actions, &action_count));
        /* the others let go */
        for (size_t j = 0; j < i && rill__group_state(group) == GROUP_PREPARING; j++) {
            struct group_event ready = {.kind = GROUP_READY, .member = subscriptions[j].member};
            OK(rill__group_step(group, &ready, &actions, &action_count));
        }
    }
    assert_int_equal(rill__group_state(group), GROUP_STABLE);
    assert_true(rill__group_check(group));
    text[0] = '\0';
    for (size_t i = 0; i < action_count; i++) {
        assert_int_equal(actions[i].kind, GROUP_ASSIGN);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d:", i == 0 ? "" : " ",
                               (int)actions[i].member);
        for (size_t p = 0; p < actions[i].partition_count; p++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%c%d", p == 0 ? "" : ",",
                                   (char)actions[i].partitions[p].topic,
                                   actions[i].partitions[p].partition);
    }
    rill__group_free(group);
    assert_int_equal(heap.bytes, 0);
    return text;
}

struct expectation {
    uint32_t sizes[4];
    struct subscription subscriptions[4];
    const char *range;
    const char *round_robin;
};

static const struct expectation expectations[] = {
    /* one member gets all */
    {{3}, {{1, "a"}}, "1:a0,a1,a2", "1:a0,a1,a2"},
    {{3, 1}, {{1, "a"}}, "1:a0,a1,a2", "1:a0,a1,a2"},
    {{1, 2}, {{1, "ab"}}, "1:a0,b0,b1", "1:a0,b0,b1"},
    /* a topic without partitions */
    {{0}, {{1, "a"}}, "1:", "1:"},
    {{0, 1}, {{1, "ab"}, {2, "a"}}, "1:b0 2:", "1:b0 2:"},
    /* more members than partitions */
    {{1}, {{1, "a"}, {2, "a"}}, "1:a0 2:", "1:a0 2:"},
    {{2}, {{1, "a"}, {2, "a"}, {3, "a"}}, "1:a0 2:a1 3:", "1:a0 2:a1 3:"},
    /* two members, evenly and not */
    {{2}, {{1, "a"}, {2, "a"}}, "1:a0 2:a1", "1:a0 2:a1"},
    {{3, 3}, {{1, "ab"}, {2, "ab"}}, "1:a0,a1,b0,b1 2:a2,b2", "1:a0,a2,b1 2:a1,b0,b2"},
    /* members join in any order */
    {{3}, {{2, "a"}, {1, "a"}}, "1:a0,a1 2:a2", "1:a0,a2 2:a1"},
    /* different subscriptions */
    {{3, 2}, {{1, "a"}, {2, "ab"}, {3, "a"}}, "1:a0 2:a1,b0,b1 3:a2", "1:a0 2:a1,b0,b1 3:a2"},
    {{1, 2, 3},
     {{1, "a"}, {2, "ab"}, {3, "abc"}},
     "1:a0 2:b0 3:b1,c0,c1,c2",
     "1:a0 2:b0 3:b1,c0,c1,c2"},
    {{4, 4},
     {{1, "ab"}, {2, "ab"}, {3, "ab"}},
     "1:a0,a1,b0,b1 2:a2,b2 3:a3,b3",
     "1:a0,a3,b2 2:a1,b0,b3 3:a2,b1"},
    /* a member that wants nothing */
    {{2}, {{1, ""}, {2, "a"}}, "1: 2:a0,a1", "1: 2:a0,a1"},
};

static void check(int32_t assignor)
{
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        const struct expectation *e = &expectations[i];
        size_t count = 0;

        while (count < 4 && e->subscriptions[count].topics != NULL) count++;
        memcpy(topic_sizes, e->sizes, sizeof topic_sizes);
        assert_string_equal(assignment(assignor, e->subscriptions, count),
                            assignor == RILL_ASSIGN_RANGE ? e->range : e->round_robin);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_is_kafkas),
        cmocka_unit_test(round_robin_is_kafkas),
    };

    rill__heap_init(&heap, NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
