/*
 * group.c - whole consumer groups from one seed, beside a model of what their
 * members believe.
 *
 * Members join, leave, stop for a while, crash, come back under the same
 * instance, change what they subscribe to; topics are made, grow, are deleted
 * and made anew under the same name, and members hear of it late. A member
 * learns what it holds by looking at it, some time after it was told, and
 * answers later still. The clock goes on, sometimes back. The group is written
 * to bytes and read again between steps; a process may be killed in one: then
 * it has not been, and the bytes from before count.
 *
 * A case is one step. After each:
 *   - the invariants of the group (rill__group_check) hold;
 *   - what a member believes to hold is its own, so that no two members hold the
 *     same; only one who was expelled and does not know may believe otherwise,
 *     and its commits are refused;
 *   - a partition goes to another only if its owner gave it up or is gone;
 *     `since` tells the two times apart that somebody had it;
 *   - only what is meant for somebody else is asked for, and only once;
 *   - there is at most one plan; the version goes up with every change, and
 *     what is refused changes nothing;
 *   - those are expelled who are too late, and nobody else;
 *   - committed offsets do not go back.
 * Now and then everybody answers: then every partition that somebody subscribes
 * to is held by somebody who knows it.
 *
 * BUDGET counts steps. At the end: how long a partition that was wanted stood
 * still, in steps.
 */
#include "proof.h"
#include "groups.h"
#include "base/error.h"
#include <inttypes.h>
#include <stdbool.h>

enum {
    CLIENTS = 64,
    SLOTS = 6, /* names of topics */
    PARTITIONS = 12,
    TOPICS = 64, /* numbers in one run, one for each time that one was made */
    INSTANCES = 8,
    RUN_STEPS = 3000,
    SESSION_MS = 400,
    POLL_MS = 900,
    SETTLE_ROUNDS = 400
};

static struct heap heap;
static struct test_random dice;
static struct group *group;
static int64_t now_ms;
static uint64_t next_id;
static uint64_t run;
static uint64_t step_number;
static bool bad; /* this run has shown a violation */
static const char *broken_rule;
static uint64_t totals[4]; /* joins, expelled, moves, killed */
static uint64_t stood_longest;
static uint64_t stood_sum;
static uint64_t stood_count;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

#define WRONG(...)                                                                               \
    do {                                                                                         \
        if (!bad) proof_violation(step_number, __VA_ARGS__);                                     \
        bad = true;                                                                              \
    } while (0)
#define DEMAND(rule)                                                                             \
    do {                                                                                         \
        if (!(rule)) WRONG("run %" PRIu64 ", line %d: %s", run, __LINE__, #rule);                \
    } while (0)

static void note_broken(const char *file, int line, const char *rule)
{
    (void)file, (void)line;
    broken_rule = rule;
}

/* ---- The catalogue ---- */

static const char *const names[SLOTS] = {"orders", "payments", "clicks", "logs", "b", "a"};
static uint64_t current[SLOTS]; /* the topic's number; 0: there is none */
static uint32_t sizes[TOPICS];  /* by number, 1 to TOPICS - 1 */
static uint64_t next_topic;
static int64_t committed[TOPICS][PARTITIONS];

/* A subscription's text is its slots in letters; this is what they mean now. */
static struct group_subscription meaning(const char *text, struct group_topic *topics)
{
    struct group_subscription s = {text, topics, 0};

    for (const char *at = text; *at != '\0'; at++) {
        uint64_t topic = current[*at - 'A'];
        if (topic != 0)
            topics[s.topic_count++] = (struct group_topic){topic, sizes[topic], names[*at - 'A']};
    }
    return s;
}

static void change_catalogue(void)
{
    uint64_t slot = roll(SLOTS);
    uint64_t topic = current[slot];

    if (topic == 0 && next_topic < TOPICS) {
        current[slot] = next_topic++;
        sizes[current[slot]] = (uint32_t)roll(PARTITIONS / 2 + 1);
    } else if (topic != 0 && roll(4) == 0) {
        current[slot] = 0;
    } else if (topic != 0 && sizes[topic] < PARTITIONS) {
        sizes[topic] += 1 + (uint32_t)roll(PARTITIONS - sizes[topic]);
    }
}

/* ---- Members, as they see themselves ---- */

static struct client {
    uint64_t id; /* 0: it is not in a group, or does not know better */
    bool stopped;
    int64_t heard_ms;
    int64_t polled_ms;
    char text[SLOTS + 1];
    int instance; /* -1: none */
    int32_t assignor;
    uint32_t assignors;
    const char *own;
    /* as of its last look: */
    uint32_t round;
    bool must_answer;
    bool plans;
    struct belief {
        int32_t since; /* 0: it does not hold it */
        bool leaving;
        int64_t position;
    } beliefs[TOPICS][PARTITIONS];
} clients[CLIENTS];
static size_t client_count;
static uint32_t common_assignors; /* what members of this run can, mostly */
static bool alike;                /* in this run all subscribe to the same */

static struct client *client_of(uint64_t id)
{
    for (size_t i = 0; i < client_count; i++)
        if (clients[i].id == id && id != 0) return &clients[i];
    return NULL;
}

static void forget_all(struct client *c)
{
    memset(c->beliefs, 0, sizeof c->beliefs);
    c->id = 0;
    c->must_answer = false;
    c->plans = false;
    c->stopped = false;
}

/* ---- The group before and after a step ---- */

struct snapshot {
    struct group_place places[TOPICS][PARTITIONS];
    bool there[TOPICS][PARTITIONS];
    struct group_member members[2 * CLIENTS];
    size_t member_count;
    int32_t generation;
    uint64_t version;
    uint8_t *bytes;
    size_t size;
};

static int note_place(void *arg, const struct group_place *place)
{
    struct snapshot *s = arg;

    if (place->topic >= TOPICS || place->partition < 0 || place->partition >= PARTITIONS)
        return 1;
    if (s->there[place->topic][place->partition]) return 1;
    s->there[place->topic][place->partition] = true;
    s->places[place->topic][place->partition] = *place;
    return 0;
}

static void take_snapshot(struct snapshot *s)
{
    memset(s->there, 0, sizeof s->there);
    memset(s->places, 0, sizeof s->places);
    DEMAND(rill__group_places(group, note_place, s) == 0);
    s->member_count = 0;
    while (s->member_count < 2 * CLIENTS &&
           rill__group_member_at(group, s->member_count, &s->members[s->member_count]))
        s->member_count++;
    s->generation = rill__group_generation(group);
    s->version = rill__group_version(group);
    rill__free(&heap, s->bytes);
    s->bytes = NULL;
    DEMAND(rill__group_encode(group, 0, &s->bytes, &s->size) == 0);
}

static const struct group_member *member_in(const struct snapshot *s, uint64_t id)
{
    for (size_t i = 0; i < s->member_count; i++)
        if (s->members[i].id == id) return &s->members[i];
    return NULL;
}

static bool was_told(const struct group_action *actions, size_t count,
                     enum group_action_kind kind, uint64_t member)
{
    for (size_t i = 0; i < count; i++)
        if (actions[i].kind == kind && actions[i].member == member) return true;
    return false;
}

static struct snapshot before;
static bool was_shared; /* all had one subscription */
static struct snapshot after;

/* Texts of members that may be freed by the step. */
static char instances_before[2 * CLIENTS][16];

static const char *instance_before(uint64_t id)
{
    for (size_t i = 0; i < before.member_count; i++)
        if (before.members[i].id == id)
            return instances_before[i][0] == '\0' ? NULL : instances_before[i];
    return NULL;
}

static bool took_over(uint64_t member, uint64_t old)
{
    const struct group_member *m = member_in(&after, member);
    const char *instance = instance_before(old);

    return member_in(&before, member) == NULL && m != NULL && m->instance != NULL &&
           instance != NULL && strcmp(m->instance, instance) == 0;
}

/* Why one partition may look as it does after a step. */
static void check_move(const struct group_event *e, const struct group_place *old,
                       const struct group_place *now, const struct group_action *actions,
                       size_t count)
{
    const struct group_member *owner = member_in(&after, old->owner);

    if (old->owner != 0 && now->owner != old->owner && !took_over(now->owner, old->owner)) {
        bool gave_up = e->kind == GROUP_READY && e->member == old->owner && old->leaving;
        DEMAND(owner == NULL || owner->away || gave_up);
    }
    if (now->owner != 0 && now->owner != old->owner) {
        bool inherited =
            took_over(now->owner, old->owner) && now->since == old->since && !old->leaving;
        DEMAND(inherited || now->since == after.generation);
        DEMAND(inherited || now->since > old->since || old->owner == 0);
        DEMAND(was_told(actions, count, GROUP_ASSIGN, now->owner));
        if (!inherited) totals[2]++;
    } else if (now->owner != 0 && now->since != old->since) {
        /* given up and got back in one step */
        DEMAND(e->kind == GROUP_READY && e->member == now->owner && old->leaving);
        DEMAND(now->since > old->since);
        DEMAND(was_told(actions, count, GROUP_ASSIGN, now->owner));
    }
    if (now->leaving && (!old->leaving || now->owner != old->owner)) {
        DEMAND(now->target != now->owner);
        DEMAND(was_told(actions, count, GROUP_REVOKE, now->owner));
    }
}

static void check_actions(const struct group_event *e, const struct group_action *actions,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t member = actions[i].member;
        bool any = false;

        for (uint64_t t = 0; t < TOPICS; t++)
            for (int p = 0; p < PARTITIONS; p++)
                any |= after.places[t][p].owner == member && after.places[t][p].leaving &&
                       !(before.places[t][p].owner == member && before.places[t][p].leaving);
        switch (actions[i].kind) {
        case GROUP_REVOKE:
            DEMAND(any);
            DEMAND(member_in(&after, member) != NULL && member_in(&after, member)->asked);
            break;
        case GROUP_ASSIGN:
            DEMAND(member_in(&after, member) != NULL && !member_in(&after, member)->away);
            break;
        case GROUP_EXPEL:
            DEMAND(member_in(&after, member) == NULL && member_in(&before, member) != NULL);
            DEMAND(e->kind == GROUP_TICK || e->kind == GROUP_JOIN);
            break;
        case GROUP_PLAN:
            DEMAND(member_in(&after, member) != NULL && member_in(&after, member)->planning);
            DEMAND(!member_in(&after, member)->away);
            break;
        }
    }
}

/* A static member that goes keeps its place; who comes for it gets what it had. */
static void check_static(const struct group_event *e)
{
    const struct group_member *m;

    if (e->kind == GROUP_LEAVE || e->kind == GROUP_DIED) {
        m = member_in(&after, e->member);
        if (member_in(&before, e->member) == NULL) return;
        DEMAND((m != NULL) == (instance_before(e->member) != NULL));
        DEMAND(m == NULL || (m->away && !m->asked));
    }
    for (uint64_t t = 0; t < TOPICS && e->kind == GROUP_JOIN; t++)
        for (int p = 0; p < PARTITIONS; p++) {
            const struct group_place *old = &before.places[t][p];
            const struct group_place *now = &after.places[t][p];
            if (old->owner == 0 || old->leaving || !took_over(e->member, old->owner)) continue;
            DEMAND(now->owner == e->member && now->since == old->since);
        }
}

/* Exactly those who are late. */
static void check_expelled(const struct group_event *e)
{
    for (size_t i = 0; i < before.member_count; i++) {
        const struct group_member *m = &before.members[i];
        bool late = m->heard_ms + m->session_timeout_ms <= e->now_ms;

        if (!m->away) {
            late |= m->polled_ms + m->max_poll_interval_ms <= e->now_ms;
            late |= m->asked && m->asked_ms + m->max_poll_interval_ms <= e->now_ms;
        }
        DEMAND(late == (member_in(&after, m->id) == NULL));
    }
}

/* Do all members want the same, and have they shared it evenly? */
static bool is_even(const struct snapshot *s, enum group_state state)
{
    size_t least = SIZE_MAX;
    size_t most = 0;

    if (state != GROUP_STABLE) return false;
    for (size_t i = 0; i < s->member_count; i++) {
        if (s->members[i].owned < least) least = s->members[i].owned;
        if (s->members[i].owned > most) most = s->members[i].owned;
    }
    return most - least <= 1;
}

/* Balanced by sticky, and members only come or only go: those who go leave the
 * others theirs, those who come are given a fair share and not more. */
static void check_sticky(enum group_state state)
{
    size_t leaving = 0;
    size_t partitions = 0;
    size_t come = 0;
    size_t gone = 0;

    if (rill__group_assignor(group) != RILL_ASSIGN_STICKY &&
        rill__group_assignor(group) != RILL_ASSIGN_COOPERATIVE_STICKY)
        return;
    if (!was_shared || !is_even(&before, state) || after.member_count == 0 ||
        rill__group_subscription_at(group, 1) != NULL)
        return;
    for (size_t i = 0; i < before.member_count; i++)
        gone += member_in(&after, before.members[i].id) == NULL;
    for (size_t i = 0; i < after.member_count; i++)
        come += member_in(&before, after.members[i].id) == NULL;
    for (uint64_t t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++) {
            if (after.there[t][p] != before.there[t][p]) return; /* others than before */
            partitions += after.there[t][p];
            leaving += after.places[t][p].leaving;
        }
    if (come == 0) DEMAND(leaving == 0);
    if (gone == 0)
        DEMAND(leaving <= come * ((partitions + after.member_count - 1) / after.member_count));
}

/* What members in the group believe is so, and is therefore nobody else's. */
static void check_beliefs(void)
{
    for (size_t i = 0; i < client_count; i++) {
        const struct client *c = &clients[i];

        if (member_in(&after, c->id) == NULL) continue;
        for (uint64_t t = 0; t < TOPICS; t++)
            for (int p = 0; p < PARTITIONS; p++) {
                const struct group_place *place = &after.places[t][p];
                if (c->beliefs[t][p].since == 0) continue;
                DEMAND(place->owner == c->id && place->since == c->beliefs[t][p].since);
            }
    }
}

static uint64_t stands_since[TOPICS][PARTITIONS]; /* the step; 0: somebody works on it */

/* How long wanted partitions stand still: nobody knows that it has them. */
static void count_standing(void)
{
    for (uint64_t t = 1; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++) {
            const struct group_place *place = &after.places[t][p];
            const struct client *c = client_of(place->owner);
            bool works = c != NULL && c->beliefs[t][p].since == place->since && !c->stopped;
            uint64_t stood;

            if (!after.there[t][p] || place->target == 0) {
                stands_since[t][p] = 0;
                continue;
            }
            if (!works && stands_since[t][p] == 0) stands_since[t][p] = step_number;
            if (!works || stands_since[t][p] == 0) continue;
            stood = step_number - stands_since[t][p];
            stands_since[t][p] = 0;
            stood_sum += stood;
            stood_count++;
            if (stood > stood_longest) stood_longest = stood;
        }
}

static void read_back(const uint8_t *bytes, size_t size)
{
    struct group *read;

    if (rill__group_decode(&heap, bytes, size, &read) != 0) {
        WRONG("run %" PRIu64 ": it cannot be read again: %s", run, rill__message());
        return;
    }
    rill__group_free(group);
    group = read;
}

enum { KILLED = 1 };

/* One step; KILLED: it has not been. */
static int step(struct group_event *e)
{
    const struct group_action *actions;
    enum group_state state = rill__group_state(group);
    size_t count;
    int rc;

    if (bad) return KILLED;
    was_shared = rill__group_subscription_at(group, 1) == NULL;
    step_number++;
    e->now_ms = now_ms;
    take_snapshot(&before);
    for (size_t i = 0; i < before.member_count; i++)
        snprintf(instances_before[i], sizeof instances_before[i], "%s",
                 before.members[i].instance == NULL ? "" : before.members[i].instance);
    rc = rill__group_step(group, e, &actions, &count);
    if (roll(40) == 0) {
        read_back(before.bytes, before.size);
        take_snapshot(&after);
        DEMAND(after.size == before.size && memcmp(after.bytes, before.bytes, after.size) == 0);
        totals[3]++;
        return KILLED;
    }
    if (!rill__group_check(group) || broken_rule != NULL)
        WRONG("run %" PRIu64 ": broken: %s", run, broken_rule);
    take_snapshot(&after);
    DEMAND((after.version != before.version) ==
           (after.size != before.size || memcmp(after.bytes, before.bytes, after.size) != 0));
    DEMAND(after.version >= before.version);
    DEMAND(after.generation == before.generation || after.generation == before.generation + 1);
    if (rc != 0) {
        DEMAND(after.version == before.version && count == 0);
        return rc;
    }
    for (uint64_t t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++)
            check_move(e, &before.places[t][p], &after.places[t][p], actions, count);
    check_actions(e, actions, count);
    check_static(e);
    if (e->kind != GROUP_SUBSCRIBE && e->kind != GROUP_TOPICS) check_sticky(state);
    if (e->kind == GROUP_TICK) check_expelled(e);
    if (e->kind != GROUP_TICK && e->kind != GROUP_JOIN && e->kind != GROUP_LEAVE &&
        e->kind != GROUP_DIED && e->kind != GROUP_REMOVE)
        DEMAND(after.member_count == before.member_count);
    check_beliefs();
    count_standing();
    for (size_t i = 0; i < count; i++) totals[1] += actions[i].kind == GROUP_EXPEL;
    if (roll(10) == 0) read_back(after.bytes, after.size);
    return 0;
}

/* ---- What members do ---- */

static bool same_own(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* What each member in the group can; those of the away ones are kept here. */
static struct known {
    uint64_t id;
    int instance;
    uint32_t assignors;
    int32_t assignor;
    const char *own;
} known[4 * CLIENTS];

static struct known *known_of(uint64_t id)
{
    for (size_t i = 0; i < 4 * CLIENTS; i++)
        if (known[i].id == id) return &known[i];
    return NULL;
}

static void forget_the_gone(void)
{
    struct group_member m;

    for (size_t i = 0; i < 4 * CLIENTS; i++)
        if (known[i].id != 0 && !rill__group_member_find(group, known[i].id, &m)) known[i].id = 0;
}

/* The election, again; -1: there is none. */
static int32_t elected(const struct client *joining)
{
    struct known voters[4 * CLIENTS + 1];
    uint32_t common = 31;
    size_t votes[5] = {0};
    size_t n = 0;
    int32_t best = -1;

    forget_the_gone();
    for (size_t i = 0; i < 4 * CLIENTS; i++) {
        if (known[i].id == 0) continue;
        if (joining != NULL && joining->instance >= 0 && known[i].instance == joining->instance)
            continue;
        voters[n++] = known[i];
    }
    if (joining != NULL)
        voters[n++] = (struct known){0, joining->instance, joining->assignors, joining->assignor,
                                     joining->own};
    for (size_t i = 0; i < n; i++) {
        common &= voters[i].assignors;
        for (size_t j = 0; j < i; j++)
            if (!same_own(voters[i].own, voters[j].own)) common &= 15;
    }
    for (size_t i = 0; i < n; i++) votes[voters[i].assignor]++;
    for (int32_t a = 0; a < 5; a++)
        if ((common >> a & 1) != 0 && (best < 0 || votes[a] > votes[best])) best = a;
    return best;
}

static void choose_topics(struct client *c)
{
    static const char *const usual[] = {"A", "AB", "ABCDEF", "EF", "C"};
    size_t n = 0;

    if (alike || roll(2) == 0) {
        snprintf(c->text, sizeof c->text, "%s", usual[alike ? 2 : roll(5)]);
        return;
    }
    for (char slot = 'A'; slot < 'A' + SLOTS; slot++)
        if (roll(2) == 0) c->text[n++] = slot;
    c->text[n] = '\0';
}

static void choose_assignors(struct client *c)
{
    do c->assignor = (int32_t)roll(5);
    while ((common_assignors >> c->assignor & 1) == 0);
    c->assignors = common_assignors | 1u << c->assignor;
    if (roll(30) == 0) c->assignors = 1u << c->assignor;
    c->own = roll(40) == 0 ? "yours" : "mine";
    if ((c->assignors >> RILL_ASSIGN_OWN & 1) == 0) c->own = NULL;
}

static void join(struct client *c)
{
    struct group_topic topics[SLOTS];
    char name[40];
    char instance[16];
    struct group_join j = {.name = name, .session_timeout_ms = SESSION_MS};
    struct group_event e = {.kind = GROUP_JOIN, .member = ++next_id, .join = &j};
    struct known *room;
    int32_t expected;
    int rc;

    memset(c, 0, sizeof *c);
    c->instance = roll(3) == 0 ? (int)roll(INSTANCES) : -1;
    choose_topics(c);
    choose_assignors(c);
    snprintf(name, sizeof name, "consumer-%04x", (unsigned)roll(65536));
    snprintf(instance, sizeof instance, "instance%d", c->instance);
    if (c->instance >= 0) j.instance = instance;
    j.max_poll_interval_ms = POLL_MS;
    j.assignor = c->assignor;
    j.assignors = c->assignors;
    j.own_assignor = c->own;
    j.subscription = meaning(c->text, topics);
    expected = elected(c);
    rc = step(&e);
    if (rc == KILLED) return;
    DEMAND(rc == (expected < 0 ? RILL_ERR_INVALID : 0));
    if (rc != 0) return;
    totals[0]++;
    c->id = e.member;
    c->heard_ms = c->polled_ms = now_ms;
    forget_the_gone();
    room = known_of(0);
    *room = (struct known){c->id, c->instance, c->assignors, c->assignor, c->own};
    if (c->instance < 0) DEMAND(rill__group_assignor(group) == expected);
}

/* Its signs are where the coordinator sees them, in time or not. */
static void sign(const struct client *c)
{
    groups_sign(group, c->id, c->heard_ms, c->polled_ms);
}

static void look(struct client *c)
{
    static struct group_holding holdings[TOPICS * PARTITIONS];
    struct group_member m;
    bool seen[TOPICS][PARTITIONS] = {{false}};
    size_t count;

    c->heard_ms = c->polled_ms = now_ms;
    if (!rill__group_member_find(group, c->id, &m)) {
        forget_all(c);
        return;
    }
    sign(c);
    c->round = m.round;
    c->must_answer = m.asked;
    c->plans = m.planning;
    count = rill__group_holdings(group, c->id, holdings, TOPICS * PARTITIONS);
    DEMAND(count == m.owned);
    for (size_t i = 0; i < count; i++) {
        const struct group_holding *h = &holdings[i];
        struct belief *b = &c->beliefs[h->topic][h->partition];
        seen[h->topic][h->partition] = true;
        /* what it shall give up and never had it does not begin */
        if (b->since == h->since) b->leaving = h->leaving;
        else if (h->leaving) b->since = 0;
        else *b = (struct belief){h->since, false, committed[h->topic][h->partition]};
    }
    for (uint64_t t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++)
            if (!seen[t][p]) c->beliefs[t][p].since = 0;
}

static void give_up(struct client *c)
{
    for (uint64_t t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++)
            if (c->beliefs[t][p].leaving) memset(&c->beliefs[t][p], 0, sizeof(struct belief));
}

static void say_ready(struct client *c)
{
    struct group_event e = {.kind = GROUP_READY, .member = c->id, .round = c->round};
    struct group_member m;
    bool in = rill__group_member_find(group, c->id, &m);
    int rc;

    give_up(c);
    if (roll(20) == 0 && c->round > 0) { /* one that was under way for long */
        e.round--;
        rc = step(&e);
        DEMAND(rc == KILLED || rc == (in ? RILL_ERR_STATE : RILL_ERR_NOT_FOUND));
        return;
    }
    rc = step(&e);
    if (rc == KILLED) return;
    if (!in) DEMAND(rc == RILL_ERR_NOT_FOUND);
    else DEMAND(rc == (m.asked && m.round == c->round ? 0 : RILL_ERR_STATE));
    c->must_answer = false;
    if (!in) forget_all(c);
}

/* Some plan: each partition to somebody who wants it, often who has it already. */
static void make_plan(const struct group_plan_input *in, bool honest)
{
    size_t at = 0;

    for (size_t t = 0; t < in->topic_count; t++)
        for (uint32_t p = 0; p < in->topics[t].partition_count; p++, at++) {
            int32_t able[2 * CLIENTS];
            uint64_t n = 0;
            bool keeps = false;

            for (size_t i = 0; i < in->member_count; i++)
                for (size_t j = 0; j < in->members[i].topic_count; j++)
                    if (in->members[i].topics[j].topic == in->topics[t].topic) {
                        keeps |= in->owners[at] == (int32_t)i;
                        able[n++] = (int32_t)i;
                    }
            if (keeps && roll(4) != 0) continue;
            in->owners[at] = n == 0 || (!honest && roll(10) == 0) ? -1 : able[roll(n)];
        }
}

static void say_planned(struct client *c, bool honest)
{
    struct group_event e = {.kind = GROUP_PLANNED, .member = c->id, .round = c->round};
    struct group_plan_input *input;
    struct group_member m;
    bool current_round;
    bool spoilt = false;
    int rc;

    if (!rill__group_member_find(group, c->id, &m)) {
        rc = step(&e);
        DEMAND(rc == KILLED || rc == RILL_ERR_NOT_FOUND);
        return;
    }
    current_round = m.planning && m.round == c->round;
    DEMAND(rill__group_plan_input(group, &input) == 0);
    make_plan(input, honest);
    e.owners = input->owners;
    e.owner_count = input->owner_count;
    if (!honest && roll(5) == 0 && input->owner_count > 0) {
        input->owners[roll(input->owner_count)] =
            roll(2) == 0 ? (int32_t)input->member_count : -2;
        spoilt = true;
    } else if (!honest && roll(10) == 0) {
        e.owner_count++;
        spoilt = true;
    }
    rc = step(&e);
    rill__free(&heap, input);
    if (rc == KILLED) return;
    DEMAND(rc == (!current_round ? RILL_ERR_STATE : spoilt ? RILL_ERR_INVALID : 0));
    if (rc == 0) c->plans = false;
}

/* A member that is in the group may commit what it believes to hold; others not. */
static void commit(struct client *c)
{
    uint64_t topic = 1 + roll(next_topic - 1);
    int32_t partition = (int32_t)roll(PARTITIONS);
    struct belief *b = &c->beliefs[topic][partition];
    struct group_member m;
    bool in = rill__group_member_find(group, c->id, &m);
    bool taken;

    if (b->since == 0) {
        DEMAND(!rill__group_owns(group, c->id, topic, partition, 0));
        return;
    }
    taken = rill__group_owns(group, c->id, topic, partition, b->since);
    DEMAND(taken == in);
    DEMAND(!rill__group_owns(group, c->id, topic, partition, b->since - 1));
    if (!taken) {
        forget_all(c);
        return;
    }
    if (roll(50) == 0) { /* it seeks back, and says so */
        b->position = committed[topic][partition] - (int64_t)roll(10);
        committed[topic][partition] = b->position;
    }
    b->position += (int64_t)roll(5);
    DEMAND(b->position >= committed[topic][partition]);
    committed[topic][partition] = b->position;
}

static void go(struct client *c, enum group_event_kind how)
{
    struct group_event e = {.kind = how, .member = c->id};
    uint64_t id = c->id;

    forget_all(c); /* its process, or its consumer, is gone before anybody hears of it */
    while (step(&e) == KILLED && !bad) {}
    if (how == GROUP_REMOVE) DEMAND(member_in(&after, id) == NULL);
}

static void subscribe(struct client *c)
{
    struct group_topic topics[SLOTS];
    struct group_subscription s;
    struct group_event e = {.kind = GROUP_SUBSCRIBE, .member = c->id, .subscription = &s};
    char old[SLOTS + 1];
    struct group_member m;
    bool in = rill__group_member_find(group, c->id, &m);
    int rc;

    memcpy(old, c->text, sizeof old);
    choose_topics(c);
    s = meaning(c->text, topics);
    rc = step(&e);
    if (rc == KILLED) memcpy(c->text, old, sizeof old);
    else DEMAND(rc == (in ? 0 : RILL_ERR_NOT_FOUND));
    if (rc == RILL_ERR_NOT_FOUND) forget_all(c);
}

/* Tells those who have a subscription what it means by now. */
static void tell_topics(const char *text)
{
    struct group_topic topics[SLOTS];
    char copy[SLOTS + 1];
    struct group_subscription s;
    struct group_event e = {.kind = GROUP_TOPICS, .subscription = &s};
    int rc;

    snprintf(copy, sizeof copy, "%s", text);
    s = meaning(copy, topics);
    rc = step(&e);
    DEMAND(rc == 0 || rc == KILLED);
}

static void tell_some_topics(void)
{
    size_t count = 0;

    while (rill__group_subscription_at(group, count) != NULL) count++;
    if (count > 0) tell_topics(rill__group_subscription_at(group, roll(count)));
}

static void tick(void)
{
    struct group_event e = {.kind = GROUP_TICK};
    int rc;

    for (size_t i = 0; i < client_count; i++)
        if (clients[i].id != 0) sign(&clients[i]);
    rc = step(&e);
    DEMAND(rc == 0 || rc == KILLED);
    if (rc == 0) DEMAND(rill__group_next_tick_ms(group) > now_ms);
}

/* One of those who are away is removed, or one of the dead is reported late. */
static void act_on_any_member(void)
{
    struct group_member m;
    struct group_event e = {.kind = roll(2) == 0 ? GROUP_REMOVE : GROUP_DIED};
    size_t count = rill__group_member_count(group);

    if (count == 0 || !rill__group_member_at(group, roll(count), &m)) return;
    if (client_of(m.id) != NULL) return; /* it lives */
    e.member = m.id;
    step(&e);
}

static void a_client_acts(struct client *c)
{
    if (c->id == 0) {
        if (roll(3) == 0) join(c);
        return;
    }
    if (c->stopped) {
        if (roll(60) == 0) c->stopped = false;
        return;
    }
    c->heard_ms = now_ms;
    switch (roll(40)) {
    case 0: go(c, GROUP_LEAVE); break;
    case 1: go(c, GROUP_DIED); break;
    case 2: subscribe(c); break;
    case 3: c->stopped = true; break;
    case 4: forget_all(c); break; /* dies; nobody says so */
    case 5:
        if (roll(4) == 0) go(c, GROUP_REMOVE);
        break;
    case 6: say_ready(c); break; /* to nothing, perhaps */
    case 7: say_planned(c, false); break;
    default:
        if (roll(3) == 0) look(c);
        else if (roll(2) == 0) commit(c);
        else if (c->plans) say_planned(c, false);
        else if (c->must_answer) say_ready(c);
        else c->polled_ms = now_ms;
    }
}

/* Everybody answers; then there is nothing left to do. */
static void settle(void)
{
    uint32_t seen = 0;

    for (int round = 0; round < SETTLE_ROUNDS && !bad; round++) {
        size_t text = 0;

        now_ms += SESSION_MS / 20;
        for (; rill__group_subscription_at(group, text) != NULL && !bad; text++)
            tell_topics(rill__group_subscription_at(group, text));
        for (size_t i = 0; i < client_count && !bad; i++) {
            clients[i].stopped = false;
            if (clients[i].id != 0) look(&clients[i]);
            if (clients[i].id != 0 && clients[i].must_answer) say_ready(&clients[i]);
            if (clients[i].id != 0 && clients[i].plans) say_planned(&clients[i], true);
        }
        tick();
        seen = round >= 40 && (rill__group_state(group) == GROUP_STABLE ||
                               rill__group_state(group) == GROUP_EMPTY)
                   ? seen + 1
                   : 0;
        if (seen > 10) break; /* a step may have been killed; not all of ten */
    }
    if (bad) return;
    DEMAND(seen > 10);
    for (size_t i = 0; i < client_count; i++)
        if (clients[i].id != 0) look(&clients[i]);
    take_snapshot(&after);
    check_beliefs();
    for (size_t i = 0; i < client_count; i++) {
        struct group_topic topics[SLOTS];
        struct group_subscription s = meaning(clients[i].text, topics);

        if (clients[i].id == 0) continue;
        for (size_t t = 0; t < s.topic_count; t++)
            for (uint32_t p = 0; p < s.topics[t].partition_count; p++) {
                const struct group_place *place = &after.places[s.topics[t].topic][p];
                const struct client *owner = client_of(place->owner);
                DEMAND(after.there[s.topics[t].topic][p]);
                if (place->owner == 0 && rill__group_assignor(group) == RILL_ASSIGN_OWN) continue;
                DEMAND(owner != NULL);
                if (owner == NULL) continue;
                DEMAND(owner->beliefs[s.topics[t].topic][p].since == place->since);
            }
    }
    for (uint64_t t = 1; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++) DEMAND(!after.places[t][p].leaving);
    if (rill__group_member_count(group) > 0) DEMAND(rill__group_assignor(group) == elected(NULL));
}

/* ---- A run ---- */

static void something_happens(void)
{
    switch (roll(50)) {
    case 0: change_catalogue(); break;
    case 1:
    case 2:
    case 3: tell_some_topics(); break;
    case 4: act_on_any_member(); break;
    case 5: tick(); break;
    default: a_client_acts(&clients[roll(client_count)]);
    }
    now_ms += (int64_t)roll(8);
    if (roll(300) == 0) now_ms += (int64_t)roll(SESSION_MS * 2);
    if (roll(300) == 0) now_ms -= (int64_t)roll(100);
    if (rill__group_next_tick_ms(group) <= now_ms && roll(4) == 0) tick();
}

static void run_one(uint64_t seed)
{
    static const uint32_t can[] = {31, 15, 31, 1, 2, 4, 12, 16, 20};
    uint64_t end = step_number + RUN_STEPS;

    dice.state = seed * UINT64_C(1000003) + run * 2 + 1;
    memset(clients, 0, sizeof clients);
    memset(known, 0, sizeof known);
    memset(current, 0, sizeof current);
    memset(sizes, 0, sizeof sizes);
    memset(committed, 0, sizeof committed);
    memset(stands_since, 0, sizeof stands_since);
    bad = false;
    broken_rule = NULL;
    next_topic = 1;
    now_ms = 1000;
    client_count = 2 + roll(roll(4) == 0 ? CLIENTS - 1 : 12);
    common_assignors = can[roll(sizeof can / sizeof can[0])];
    alike = roll(4) == 0;
    for (int i = 0; i < SLOTS; i++) change_catalogue();
    DEMAND(rill__group_new(&heap, 0, 0, &group) == 0);
    for (uint64_t i = 0; step_number < end && i < 20 * RUN_STEPS && !bad; i++) {
        something_happens();
        if (roll(1000) == 0) settle();
    }
    settle();
    rill__group_free(group);
    rill__free(&heap, before.bytes);
    rill__free(&heap, after.bytes);
    before.bytes = after.bytes = NULL;
    DEMAND(heap.bytes == 0);
}

int main(void)
{
    uint64_t seed = proof_seed();
    uint64_t budget = proof_budget(5000000, getenv("RILL_TEST_SLOW") != NULL ? 6000 : 60000);

    rill__set_bug_handler(note_broken);
    rill__heap_init(&heap, NULL, 0);
    for (; step_number < budget && proof_violations() < 10; run++) run_one(seed);
    printf("%" PRIu64 " runs, %" PRIu64 " joins, %" PRIu64 " expelled, %" PRIu64
           " partitions moved, %" PRIu64 " steps killed\n",
           run, totals[0], totals[1], totals[2], totals[3]);
    printf("a wanted partition stood still %" PRIu64 " steps at most, %.1f on average\n",
           stood_longest, stood_count == 0 ? 0.0 : (double)stood_sum / (double)stood_count);
    return proof_end("group", step_number);
}
