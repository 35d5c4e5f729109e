/*
 * The sticky assignor: every partition has one owner that subscribes to it;
 * the squares of the loads sum up to the least that is possible; of all such
 * assignments it is one that moves the fewest partitions.
 */
#include "group/inner.h"
#include "testing.h"
#include <stdbool.h>

enum { NO_MEMBER = -1, NONE = 1000000 };

static struct heap heap;
static struct test_random dice;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

/* ---- A group ------------------------------------------------------------ */

/* Topics are numbered downwards, so that their order is not that of their names. */
static uint64_t topic_number(size_t t)
{
    return 100000 - t;
}

static struct party {
    size_t member_count;
    size_t topic_count;
    size_t partition_count;
    struct member *list;
    struct member **members;
    struct group_topic **topics; /* of each member: its subscription */
    char (*names)[8];
    uint32_t *sizes;
    size_t *starts; /* partitions of all topics in a row */
    bool *wants;    /* [member * topic_count + topic] */
    int *holders;   /* of each partition: who may keep it */
    int *owners;    /* of each partition: who got it */
    size_t *loads;
} party;

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    assert_non_null(memory);
    return memory;
}

/* Members without topics, topics without partitions. */
static void party_new(size_t member_count, size_t topic_count)
{
    party.member_count = member_count;
    party.topic_count = topic_count;
    party.list = zeroed(member_count, sizeof *party.list);
    party.members = zeroed(member_count, sizeof *party.members);
    party.names = zeroed(topic_count, sizeof *party.names);
    party.sizes = zeroed(topic_count, sizeof *party.sizes);
    party.starts = zeroed(topic_count + 1, sizeof *party.starts);
    party.wants = zeroed(member_count * topic_count, sizeof *party.wants);
    party.topics = zeroed(member_count, sizeof *party.topics);
    party.loads = zeroed(member_count, sizeof *party.loads);
    for (size_t t = 0; t < topic_count; t++)
        snprintf(party.names[t], sizeof party.names[t], "t%05u", (unsigned)(t % 100000));
    for (size_t i = 0; i < member_count; i++) {
        party.members[i] = &party.list[i];
        party.list[i].id = i + 1;
        party.topics[i] = zeroed(topic_count, sizeof **party.topics);
        party.list[i].topics = party.topics[i];
    }
}

static void party_free(void)
{
    for (size_t i = 0; i < party.member_count; i++) {
        free(party.topics[i]);
        free(party.list[i].owned);
        rill__free(&heap, party.list[i].planned);
    }
    free(party.list);
    free(party.topics);
    free(party.members);
    free(party.names);
    free(party.sizes);
    free(party.starts);
    free(party.wants);
    free(party.holders);
    free(party.owners);
    free(party.loads);
    memset(&party, 0, sizeof party);
    assert_int_equal(heap.bytes, 0);
}

static bool wants(size_t member, size_t t)
{
    return party.wants[member * party.topic_count + t];
}

/* In order of topics. */
static void subscribe(size_t member, size_t t, uint32_t size)
{
    struct member *m = &party.list[member];

    party.wants[member * party.topic_count + t] = true;
    party.topics[member][m->topic_count++] =
        (struct group_topic){topic_number(t), size, party.names[t]};
    if (size > party.sizes[t]) party.sizes[t] = size;
}

static void own(size_t member, uint64_t topic, int32_t partition)
{
    struct member *m = &party.list[member];

    m->owned = realloc(m->owned, (m->owned_count + 1) * sizeof *m->owned);
    assert_non_null(m->owned);
    m->owned[m->owned_count++] = (struct group_partition){topic, partition};
}

/* All have subscribed: partitions get their places in the row. Lists end where
 * their memory does. */
static void party_complete(void)
{
    for (size_t i = 0; i < party.member_count; i++) {
        struct member *m = &party.list[i];
        party.topics[i] = realloc(party.topics[i], m->topic_count * sizeof *m->topics + 1);
        assert_non_null(party.topics[i]);
        m->topics = party.topics[i];
    }
    for (size_t t = 0; t < party.topic_count; t++)
        party.starts[t + 1] = party.starts[t] + party.sizes[t];
    party.partition_count = party.starts[party.topic_count];
    party.holders = zeroed(party.partition_count, sizeof *party.holders);
    party.owners = zeroed(party.partition_count, sizeof *party.owners);
}

static void find_holders(void)
{
    for (size_t p = 0; p < party.partition_count; p++) party.holders[p] = NO_MEMBER;
    for (size_t i = 0; i < party.member_count; i++) {
        for (size_t o = 0; o < party.list[i].owned_count; o++) {
            const struct group_partition *owned = &party.list[i].owned[o];
            uint64_t t = topic_number(0) - owned->topic;
            size_t p;
            if (owned->topic > topic_number(0) || t >= party.topic_count || !wants(i, t))
                continue;
            if (owned->partition < 0 || (uint32_t)owned->partition >= party.sizes[t]) continue;
            p = party.starts[t] + (size_t)owned->partition;
            if (party.holders[p] == NO_MEMBER) party.holders[p] = (int)i;
        }
    }
}

/* One owner each, that subscribes; planned in order of topics and partitions. */
static void take_plan(void)
{
    size_t planned = 0;

    for (size_t p = 0; p < party.partition_count; p++) party.owners[p] = NO_MEMBER;
    for (size_t i = 0; i < party.member_count; i++) {
        size_t last = 0;
        party.loads[i] = party.list[i].planned_count;
        planned += party.loads[i];
        for (size_t o = 0; o < party.loads[i]; o++) {
            const struct group_partition *got = &party.list[i].planned[o];
            size_t t = topic_number(0) - got->topic;
            size_t p;
            assert_true(t < party.topic_count && wants(i, t));
            assert_true(got->partition >= 0 && (uint32_t)got->partition < party.sizes[t]);
            p = party.starts[t] + (size_t)got->partition;
            assert_int_equal(party.owners[p], NO_MEMBER);
            assert_true(o == 0 || p > last);
            party.owners[p] = (int)i;
            last = p;
        }
    }
    assert_int_equal(planned, party.partition_count);
}

/* Assigns, twice: it is the same both times. */
static void assign(void)
{
    int *before = zeroed(party.partition_count, sizeof *before);

    find_holders();
    for (int time = 0; time < 2; time++) {
        for (size_t i = 0; i < party.member_count; i++) party.list[i].planned_count = 0;
        OK(rill__assign_sticky(&heap, party.members, party.member_count));
        take_plan();
        if (time == 0) memcpy(before, party.owners, party.partition_count * sizeof *before);
        else assert_memory_equal(before, party.owners, party.partition_count * sizeof *before);
    }
    free(before);
}

static size_t count_moves(void)
{
    size_t moves = 0;

    for (size_t p = 0; p < party.partition_count; p++)
        moves += party.holders[p] != NO_MEMBER && party.owners[p] != party.holders[p];
    return moves;
}

/* What it got is what it holds. */
static void adopt(void)
{
    for (size_t i = 0; i < party.member_count; i++) {
        party.list[i].owned_count = 0;
        for (size_t o = 0; o < party.list[i].planned_count; o++)
            own(i, party.list[i].planned[o].topic, party.list[i].planned[o].partition);
    }
}

/* ---- Fixed cases ---------------------------------------------------------- */

struct expectation {
    uint32_t sizes[3]; /* of the topics a, b, c */
    struct {
        const char *topics;
        const char *owned; /* "a0a1" */
    } members[5];
    const char *expected;
};

static const struct expectation expectations[] = {
    /* the first assignment: in a circle */
    {{3}, {{"a", ""}}, "a0a1a2"},
    {{3, 3}, {{"ab", ""}, {"ab", ""}}, "a0a2b1 a1b0b2"},
    {{2, 1, 2}, {{"abc", ""}, {"abc", ""}, {"abc", ""}}, "a0c0 a1c1 b0"},
    /* a topic without partitions; a member without topics; nobody wants any */
    {{0}, {{"a", ""}, {"a", ""}}, " "},
    {{2}, {{"", ""}, {"a", ""}}, " a0a1"},
    {{0}, {{"", ""}, {"", ""}}, " "},
    /* nothing changes */
    {{4}, {{"a", "a3a1"}, {"a", "a0a2"}}, "a1a3 a0a2"},
    {{3}, {{"a", "a1"}, {"a", "a0a2"}}, "a1 a0a2"},
    /* one joins, one leaves */
    {{6}, {{"a", "a0a2a4"}, {"a", "a1a3a5"}, {"a", ""}}, "a0a2 a1a3 a4a5"},
    {{6}, {{"a", "a0a2"}, {"a", "a4a5"}}, "a0a1a2 a3a4a5"},
    /* many join: who has more than the others keeps the one more */
    {{5}, {{"a", ""}, {"a", ""}, {"a", "a0a1a2a3a4"}}, "a2a4 a3 a0a1"},
    /* a topic more, partitions more, partitions less */
    {{2, 2}, {{"ab", "a0"}, {"ab", "a1"}}, "a0b0 a1b1"},
    {{5}, {{"a", "a0"}, {"a", "a1"}}, "a0a2a4 a1a3"},
    {{2}, {{"a", "a0a2"}, {"a", "a1a3"}}, "a0 a1"},
    /* more members than partitions */
    {{2}, {{"a", ""}, {"a", ""}, {"a", "a1"}}, "a0  a1"},
    {{2}, {{"a", ""}, {"a", ""}, {"a", "a1a0"}}, "a1  a0"},
    /* different subscriptions: the one with a choice steps back */
    {{2, 2}, {{"ab", ""}, {"a", ""}}, "b0b1 a0a1"},
    {{2, 2}, {{"ab", "a0a1"}, {"a", ""}}, "b0b1 a0a1"},
    {{4, 2}, {{"ab", "a0a1b0b1"}, {"a", "a2a3"}}, "a0b0b1 a1a2a3"},
    /* over one in between: a0 moves so that b0 can */
    {{1, 3}, {{"b", "b0b1b2"}, {"ab", "a0"}, {"a", ""}}, "b0b1 b2 a0"},
    /* unbalanced where it must be: nothing of the first may go to the second */
    {{4, 1}, {{"a", "a0a1a2a3"}, {"b", "b0"}}, "a0a1a2a3 b0"},
    {{4, 1, 1}, {{"a", ""}, {"b", ""}, {"bc", ""}}, "a0a1a2a3 b0 c0"},
    /* either may have the one more: it stays where it is */
    {{1, 2}, {{"ab", "b0"}, {"ab", "b1"}, {"b", ""}, {"", ""}}, "a0 b1 b0 "},
    {{3, 1}, {{"a", "a0"}, {"ab", "a1a2b0"}}, "a0a2 a1b0"},
    /* stale: no such topic, no such partition, not subscribed to any more */
    {{2}, {{"a", "x0a0a7"}, {"a", "a1b0"}}, "a0 a1"},
    {{2, 2}, {{"a", "b0b1a0"}, {"ab", "a1"}}, "a0a1 b0b1"},
    {{2, 2}, {{"b", "a0a1b1"}, {"ab", "z0"}}, "b0b1 a0a1"},
    /* claimed twice: the first one keeps it, unless it may not have it */
    {{2}, {{"a", "a0"}, {"a", "a0a1"}}, "a0 a1"},
    {{2}, {{"a", "a0a0"}, {"a", "a1a0a1"}}, "a0 a1"},
    {{3, 1}, {{"b", "a0b0"}, {"a", "a0a2"}, {"a", "a1a0"}}, "b0 a0a2 a1"},
};

static void invite(const struct expectation *e)
{
    size_t count = 0;

    while (count < 5 && e->members[count].topics != NULL) count++;
    party_new(count, 3);
    for (size_t i = 0; i < count; i++) {
        for (const char *c = e->members[i].topics; *c != '\0'; c++)
            subscribe(i, (size_t)(*c - 'a'), e->sizes[*c - 'a']);
        for (const char *c = e->members[i].owned; *c != '\0'; c += 2)
            own(i, topic_number((size_t)(c[0] - 'a')), c[1] - '0');
    }
    party_complete();
}

static void fixed_cases(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof expectations / sizeof expectations[0]; n++) {
        char text[200] = "";
        size_t at = 0;
        invite(&expectations[n]);
        assign();
        for (size_t i = 0; i < party.member_count; i++) {
            if (i > 0) text[at++] = ' ';
            for (size_t o = 0; o < party.list[i].planned_count; o++)
                at += (size_t)snprintf(
                    text + at, sizeof text - at, "%c%d",
                    (char)('a' + (topic_number(0) - party.list[i].planned[o].topic)),
                    (int)party.list[i].planned[o].partition);
        }
        if (strcmp(text, expectations[n].expected) != 0)
            fail_msg("case %zu: \"%s\" instead of \"%s\"", n, text, expectations[n].expected);
        party_free();
    }
}

static void nobody_is_assigned_nothing(void **state)
{
    (void)state;
    OK(rill__assign_sticky(&heap, NULL, 0));
    assert_int_equal(heap.bytes, 0);
}

/* Members know of different counts: the largest is right. */
static void the_largest_count_counts(void **state)
{
    (void)state;
    for (int alike = 0; alike < 2; alike++) {
        party_new(3, 2);
        subscribe(0, 0, 2);
        subscribe(1, 0, 5);
        subscribe(2, 0, 3);
        if (!alike) subscribe(2, 1, 1);
        party_complete();
        own(0, topic_number(0), 4); /* beyond what it knows, and still there */
        assign();
        assert_int_equal(party.partition_count, alike ? 5 : 6);
        assert_int_equal(party.owners[4], 0);
        party_free();
    }
}

/* The same topic twice in a member's list is one. */
static void a_topic_named_twice(void **state)
{
    (void)state;
    party_new(2, 2);
    subscribe(0, 0, 2);
    subscribe(0, 0, 2);
    subscribe(1, 0, 2);
    subscribe(1, 1, 2);
    party_complete();
    assign();
    assert_int_equal(party.loads[0], 2);
    party_free();
}

/* Members may have seen a topic before and after it was made anew. */
static void two_topics_of_one_name(void **state)
{
    static const assign_fn assignors[] = {rill__assign_sticky, rill__assign_range,
                                          rill__assign_round_robin};

    (void)state;
    for (size_t n = 0; n < sizeof assignors / sizeof assignors[0]; n++) {
        party_new(3, 2);
        strcpy(party.names[1], party.names[0]);
        subscribe(0, 0, 5);
        subscribe(1, 1, 5);
        subscribe(2, 0, 5);
        party_complete();
        OK(assignors[n](&heap, party.members, party.member_count));
        take_plan();
        party_free();
    }
}

/* ---- Random cases ---------------------------------------------------------- */

/* Each member subscribes to each topic in so many of 100 cases, and has an
 * opinion of its own about the counts in some. */
static void invite_random(size_t member_count, size_t topic_count, size_t partitions_max,
                          unsigned percent)
{
    party_new(member_count, topic_count);
    for (size_t t = 0; t < topic_count; t++) {
        uint32_t size = (uint32_t)roll(partitions_max + 1);
        for (size_t i = 0; i < member_count; i++)
            if (roll(100) < percent)
                subscribe(i, t, roll(10) == 0 ? (uint32_t)roll(size + 1) : size);
    }
    party_complete();
}

/* Any partition may be held by any, by two, or by nobody. */
static void own_random(unsigned percent)
{
    for (size_t t = 0; t < party.topic_count; t++)
        for (uint32_t p = 0; p < party.sizes[t] + 1; p++)
            while (roll(100) < percent)
                own(roll(party.member_count), topic_number(t), (int32_t)p);
}

static size_t topic_of(size_t p)
{
    size_t t = 0;
    while (p >= party.starts[t + 1]) t++;
    return t;
}

static size_t sum_of_squares(void)
{
    size_t sum = 0;
    for (size_t i = 0; i < party.member_count; i++) sum += party.loads[i] * party.loads[i];
    return sum;
}

/* Tries all assignments: sums of squares, then moves, no less than these. */
static void nothing_is_better(void)
{
    size_t sum = sum_of_squares();
    size_t moves = count_moves();
    size_t *topics = zeroed(party.partition_count, sizeof *topics);
    size_t done = 0;

    for (size_t p = 0; p < party.partition_count; p++) {
        topics[p] = topic_of(p);
        party.owners[p] = NO_MEMBER;
    }
    memset(party.loads, 0, party.member_count * sizeof *party.loads);
    for (;;) { /* done partitions have an owner; the next owner of the next one */
        if (done < party.partition_count) {
            int *owner = &party.owners[done];
            if (*owner != NO_MEMBER) party.loads[*owner]--;
            do {
                ++*owner;
            } while ((size_t)*owner < party.member_count && !wants((size_t)*owner, topics[done]));
            if ((size_t)*owner < party.member_count) {
                party.loads[*owner]++;
                done++;
                continue;
            }
            *owner = NO_MEMBER;
        } else if (sum_of_squares() < sum || (sum_of_squares() == sum && count_moves() < moves)) {
            fail_msg("%zu, %zu moves; but %zu, %zu moves is possible", sum, moves,
                     sum_of_squares(), count_moves());
        }
        if (done == 0) break;
        done--;
    }
    free(topics);
}

static void small_ones_are_the_best_of_all(void **state)
{
    (void)state;
    dice = test_random_seeded(20250101);
    for (int run = 0; run < 3000; run++) {
        invite_random(1 + roll(4), 1 + roll(4), 3, roll(4) == 0 ? 100 : 30 + (unsigned)roll(60));
        own_random((unsigned)roll(80));
        if (party.partition_count <= 7) {
            assign();
            nothing_is_better();
        }
        party_free();
    }
}

/* The cost of moving one partition from member to member, the cheapest: +1 if
 * it leaves its holder, -1 if it comes back. NONE: no partition may move so. */
static int *cost_of_transfers(void)
{
    size_t n = party.member_count;
    int *costs = zeroed(n * n, sizeof *costs);

    for (size_t k = 0; k < n * n; k++) costs[k] = NONE;
    for (size_t t = 0; t < party.topic_count; t++) {
        for (size_t p = party.starts[t]; p < party.starts[t + 1]; p++) {
            int *from = &costs[(size_t)party.owners[p] * n];
            for (size_t j = 0; j < n; j++) {
                int cost = (party.holders[p] == party.owners[p]) - (party.holders[p] == (int)j);
                if (wants(j, t) && cost < from[j]) from[j] = cost;
            }
        }
    }
    return costs;
}

/* No path leads from a member to one that has two partitions less. */
static void no_path_balances_better(const int *costs)
{
    size_t n = party.member_count;
    size_t *queue = zeroed(n, sizeof *queue);
    bool *seen = zeroed(n, sizeof *seen);

    for (size_t start = 0; start < n; start++) {
        size_t count = 1;
        memset(seen, 0, n * sizeof *seen);
        queue[0] = start;
        seen[start] = true;
        for (size_t next = 0; next < count; next++) {
            for (size_t j = 0; j < n; j++) {
                if (seen[j] || costs[queue[next] * n + j] == NONE) continue;
                assert_true(party.loads[j] + 2 > party.loads[start]);
                seen[j] = true;
                queue[count++] = j;
            }
        }
    }
    free(queue);
    free(seen);
}

/* No cycle of transfers saves a move, where a member with one partition more
 * than the last one of a path may be its first one: they change their loads. */
static void no_cycle_saves_a_move(const int *costs)
{
    size_t n = party.member_count;
    int *labels = zeroed(n, sizeof *labels);
    bool changed = true;

    for (size_t round = 0; changed && round <= n; round++) {
        changed = false;
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                int cost = costs[i * n + j];
                if (party.loads[j] == party.loads[i] + 1 && cost > 0) cost = 0;
                if (cost == NONE || labels[i] + cost >= labels[j]) continue;
                labels[j] = labels[i] + cost;
                changed = true;
            }
        }
    }
    assert_false(changed);
    free(labels);
}

static void check_optimal(void)
{
    int *costs;

    assign();
    costs = cost_of_transfers();
    no_path_balances_better(costs);
    no_cycle_saves_a_move(costs);
    free(costs);
}

static void larger_ones_cannot_be_improved(void **state)
{
    (void)state;
    dice = test_random_seeded(20250102);
    for (int run = 0; run < 150; run++) {
        invite_random(1 + roll(60), 1 + roll(30), 1 + roll(30),
                      roll(5) == 0 ? 100 : 2 + (unsigned)roll(70));
        own_random((unsigned)roll(90));
        check_optimal();
        party_free();
    }
}

/* Everything belongs to few, and nearly nobody may take it from them directly. */
static void chains_of_subscriptions(void **state)
{
    enum { LENGTH = 150 };

    (void)state;
    party_new(LENGTH, LENGTH);
    for (size_t i = 0; i < LENGTH; i++) {
        if (i > 0) subscribe(i, i - 1, 2);
        subscribe(i, i, i == LENGTH - 1 ? LENGTH : 2);
    }
    party_complete();
    for (size_t i = 0; i < LENGTH; i++)
        for (int32_t p = 0; (uint32_t)p < party.sizes[i]; p++) own(i, topic_number(i), p);
    check_optimal();
    party_free();
}

/* Members come and go, each time with what they held before. */
static void over_many_generations(void **state)
{
    enum { MEMBERS = 30, TOPICS = 12, GENERATIONS = 60 };
    static struct group_partition held[MEMBERS][MEMBERS * TOPICS * 4];
    static size_t held_counts[MEMBERS];
    static bool present[MEMBERS];

    (void)state;
    dice = test_random_seeded(20250103);
    memset(held_counts, 0, sizeof held_counts);
    for (int generation = 0; generation < GENERATIONS; generation++) {
        size_t who = roll(MEMBERS);
        present[who] = !present[who];
        held_counts[who] = 0;
        party_new(MEMBERS, TOPICS);
        for (size_t i = 0; i < MEMBERS; i++) {
            for (size_t t = 0; present[i] && t < TOPICS; t++)
                if ((i + t) % 3 != 0) subscribe(i, t, 10);
            for (size_t o = 0; o < held_counts[i]; o++)
                own(i, held[i][o].topic, held[i][o].partition);
        }
        party_complete();
        check_optimal();
        for (size_t i = 0; i < MEMBERS; i++) {
            held_counts[i] = party.list[i].planned_count;
            assert_true(held_counts[i] <= sizeof held[i] / sizeof held[i][0]);
            if (held_counts[i] > 0)
                memcpy(held[i], party.list[i].planned, held_counts[i] * sizeof held[i][0]);
        }
        adopt();
        assign();
        assert_int_equal(count_moves(), 0); /* nothing has changed, nothing moves */
        party_free();
    }
}

/* 1,000 members, 10,000 partitions: all that one member had is shared out. */
static void a_large_group(void **state)
{
    enum { MEMBERS = 1000, PARTITIONS = 10000 };

    (void)state;
    party_new(MEMBERS, 1);
    for (size_t i = 0; i < MEMBERS; i++) subscribe(i, 0, PARTITIONS);
    party_complete();
    for (int32_t p = 0; p < PARTITIONS; p++) own(7, topic_number(0), p);
    assign();
    for (size_t i = 0; i < MEMBERS; i++) assert_int_equal(party.loads[i], 10);
    assert_int_equal(count_moves(), PARTITIONS - 10);
    adopt();
    party.list[0].owned_count = 0;
    party.list[1].owned_count = 0;
    assign();
    assert_int_equal(count_moves(), 0);
    party_free();
}

/* ---- Memory --------------------------------------------------------------- */

static size_t allocations_left;

static void *failing_alloc(void *arg, size_t size)
{
    (void)arg;
    if (allocations_left-- == 0) return NULL; /* once */
    return malloc(size);
}

static void *failing_realloc(void *arg, void *memory, size_t size)
{
    (void)arg;
    if (allocations_left-- == 0) return NULL; /* once */
    return realloc(memory, size);
}

static void release(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

/* Running out of memory at any allocation: the error, nothing is lost. */
static void without_memory(void **state)
{
    static const rill_allocator hooks = {failing_alloc, failing_realloc, release, NULL};

    (void)state;
    for (unsigned alike = 0; alike < 2; alike++) {
        size_t most = 0;
        int rc;
        do {
            rill__heap_init(&heap, &hooks, 0);
            dice.state = 1;
            invite_random(4, 3, 9, alike ? 100 : 70);
            own_random(50);
            find_holders();
            allocations_left = most++;
            rc = rill__assign_sticky(&heap, party.members, party.member_count);
            if (rc == 0) take_plan();
            party_free(); /* and nothing else is allocated */
        } while (rc == RILL_ERR_NO_MEMORY);
        assert_int_equal(rc, 0);
        assert_true(most > 10);
    }
    rill__heap_init(&heap, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_cases),
        cmocka_unit_test(nobody_is_assigned_nothing),
        cmocka_unit_test(the_largest_count_counts),
        cmocka_unit_test(a_topic_named_twice),
        cmocka_unit_test(two_topics_of_one_name),
        cmocka_unit_test(small_ones_are_the_best_of_all),
        cmocka_unit_test(larger_ones_cannot_be_improved),
        cmocka_unit_test(chains_of_subscriptions),
        cmocka_unit_test(over_many_generations),
        cmocka_unit_test(a_large_group),
        cmocka_unit_test(without_memory),
    };

    rill__heap_init(&heap, NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
