/*
 * Whole groups from a seed: members join, leave, fall silent, answer late or
 * not at all, topics grow and go. After every step the group's invariants hold,
 * and with them what no member may ever see:
 *
 *     a partition is assigned while another member still holds it;
 *     a generation that does not grow;
 *     a partition that somebody subscribes to and nobody gets.
 */
#include "group/group.h"
#include "testing.h"
#include <stdbool.h>

enum { MEMBERS = 12, TOPICS = 5, PARTITIONS_MAX = 7, STEPS = 4000, RUNS = 30, SESSION = 100 };

static struct heap heap;
static struct test_random dice;
static struct group *group;
static int64_t now_ms;
static uint64_t next_id;
static uint32_t topic_sizes[TOPICS];

/* A member as it sees itself. */
static struct member_view {
    uint64_t id;     /* 0: not in the group */
    bool silent;     /* sends nothing any more */
    bool to_give_up; /* was told to; has not answered */
    int64_t heard_ms;
    unsigned topics; /* bits */
    bool holds[TOPICS][PARTITIONS_MAX];
    int32_t generation;
} members[MEMBERS];

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

static size_t topics_of(const struct member_view *m, struct group_topic *topics)
{
    static const char *const names[TOPICS] = {"a", "b", "c", "d", "e"};
    size_t n = 0;

    for (uint64_t t = 0; t < TOPICS; t++)
        if ((m->topics >> t & 1) != 0)
            topics[n++] = (struct group_topic){t, topic_sizes[t], names[t]};
    return n;
}

static struct member_view *view_of(uint64_t id)
{
    for (int i = 0; i < MEMBERS; i++)
        if (members[i].id == id) return &members[i];
    return NULL;
}

static void nobody_else_holds(const struct member_view *m, uint64_t topic, int32_t partition)
{
    for (int i = 0; i < MEMBERS; i++)
        if (&members[i] != m && members[i].id != 0)
            assert_false(members[i].holds[topic][partition]);
}

static void obey(const struct group_action *a)
{
    struct member_view *m = view_of(a->member);

    assert_non_null(m);
    switch (a->kind) {
    case GROUP_REVOKE: m->to_give_up = true; break;
    case GROUP_EXPEL: /* what it still holds, its commits are fenced for */
        assert_true(now_ms - m->heard_ms >= SESSION || m->to_give_up);
        memset(m, 0, sizeof *m);
        break;
    case GROUP_ASSIGN:
        assert_true(a->generation > m->generation);
        m->generation = a->generation;
        memset(m->holds, 0, sizeof m->holds);
        for (size_t i = 0; i < a->partition_count; i++)
            m->holds[a->partitions[i].topic][a->partitions[i].partition] = true;
        break;
    }
}

static int step(struct group_event *event)
{
    const struct group_action *actions;
    int32_t before = rill__group_generation(group);
    size_t count;
    int rc;

    event->now_ms = now_ms;
    rc = rill__group_step(group, event, &actions, &count);
    if (rc != 0) return rc;
    for (size_t i = 0; i < count; i++) obey(&actions[i]);
    for (size_t i = 0; i < count; i++) {
        if (actions[i].kind != GROUP_ASSIGN) continue;
        for (size_t p = 0; p < actions[i].partition_count; p++)
            nobody_else_holds(view_of(actions[i].member), actions[i].partitions[p].topic,
                              actions[i].partitions[p].partition);
    }
    assert_true(rill__group_generation(group) >= before);
    assert_true(rill__group_check(group));
    return 0;
}

static void join(struct member_view *m)
{
    struct group_topic topics[TOPICS];
    struct group_event event = {.kind = GROUP_JOIN,
                                .member = ++next_id,
                                .topics = topics,
                                .session_timeout_ms = SESSION,
                                .rebalance_timeout_ms = SESSION / 2,
                                .assignor = RILL_ASSIGN_RANGE};

    memset(m, 0, sizeof *m);
    m->id = next_id;
    m->heard_ms = now_ms;
    m->topics = (unsigned)roll(1u << TOPICS);
    event.topic_count = topics_of(m, topics);
    OK(step(&event));
}

static void live(struct member_view *m)
{
    struct group_event event = {.kind = GROUP_HEARTBEAT, .member = m->id};

    m->heard_ms = now_ms;
    if (m->to_give_up && roll(3) != 0) {
        m->to_give_up = false;
        memset(m->holds, 0, sizeof m->holds);
        event.kind = GROUP_READY;
    }
    OK(step(&event));
}

static void change_topics(struct member_view *m)
{
    struct group_topic topics[TOPICS];
    struct group_event event = {.kind = GROUP_TOPICS, .member = m->id, .topics = topics};

    m->heard_ms = now_ms;
    if (roll(2) == 0) m->topics = (unsigned)roll(1u << TOPICS);
    event.topic_count = topics_of(m, topics);
    OK(step(&event));
}

static void leave(struct member_view *m)
{
    struct group_event event = {.kind = GROUP_LEAVE, .member = m->id};

    memset(m, 0, sizeof *m); /* before: others may be given what it held */
    OK(step(&event));
}

static void something_happens(void)
{
    struct member_view *m = &members[roll(MEMBERS)];

    if (m->id == 0) {
        if (roll(4) == 0) join(m);
    } else if (m->silent) {
        return;
    } else if (roll(60) == 0) {
        m->silent = true;
    } else if (roll(40) == 0) {
        leave(m);
    } else if (roll(40) == 0) {
        change_topics(m);
    } else {
        live(m);
    }
}

/* Left alone, a group comes to rest, with all partitions given out. */
static void comes_to_rest(void)
{
    for (int round = 0; round < 100; round++) {
        struct group_event tick = {.kind = GROUP_TICK};

        now_ms += 10;
        for (int i = 0; i < MEMBERS; i++)
            if (members[i].id != 0 && !members[i].silent) live(&members[i]);
        OK(step(&tick));
    }
    assert_int_not_equal(rill__group_state(group), GROUP_PREPARING);
}

static void no_group_ever_shares_a_partition(void **state)
{
    (void)state;
    dice = test_random_seeded(1);
    for (int run = 0; run < RUNS; run++) {
        memset(members, 0, sizeof members);
        now_ms = 0;
        for (int t = 0; t < TOPICS; t++) topic_sizes[t] = (uint32_t)roll(PARTITIONS_MAX + 1);
        OK(rill__group_new(&heap, 0, &group));
        for (int i = 0; i < STEPS; i++) {
            struct group_event tick = {.kind = GROUP_TICK};
            now_ms += (int64_t)roll(4);
            if (roll(200) == 0) topic_sizes[roll(TOPICS)] = (uint32_t)roll(PARTITIONS_MAX + 1);
            something_happens();
            if (roll(5) == 0) OK(step(&tick));
        }
        comes_to_rest();
        rill__group_free(group);
        assert_int_equal(heap.bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_group_ever_shares_a_partition)};

    rill__heap_init(&heap, NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
