/*
 * group/group.c - the steps of the coordinator; see group/group.h.
 *
 * A step first does what can fail (copies, a plan of the assignment, room for
 * its actions) and then changes the group, so that an error changes nothing.
 */
#include "base/error.h"
#include "group/inner.h"
#include <inttypes.h>
#include <string.h>

struct group {
    struct heap *heap;
    enum group_state state;
    int32_t generation;
    struct member **members; /* sorted by id */
    size_t member_count;
    size_t member_room;
    struct group_action *actions;
    size_t action_count;
    size_t action_room;
};

static const assign_fn assignors[] = {
    [RILL_ASSIGN_RANGE] = rill__assign_range,
    [RILL_ASSIGN_ROUND_ROBIN] = rill__assign_round_robin,
};

/* ---- Members ---------------------------------------------------------- */

static void member_free(struct heap *heap, struct member *m)
{
    if (m == NULL) return;
    rill__free(heap, m->topics);
    rill__free(heap, m->owned);
    rill__free(heap, m->planned);
    rill__free(heap, m);
}

/* Copies topics sorted by name, names behind them in the same block. */
static int copy_topics(struct heap *heap, const struct group_topic *topics, size_t count,
                       struct group_topic **out)
{
    size_t size = count * sizeof *topics;
    struct group_topic *copy;
    char *text;

    for (size_t i = 0; i < count; i++) size += strlen(topics[i].name) + 1;
    copy = rill__alloc(heap, size);
    if (copy == NULL) return RILL_ERR_NO_MEMORY;
    text = (char *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        size_t name_size = strlen(topics[i].name) + 1;
        memcpy(text, topics[i].name, name_size);
        while (at > 0 && strcmp(copy[at - 1].name, text) > 0) {
            copy[at] = copy[at - 1];
            at--;
        }
        copy[at] = topics[i];
        copy[at].name = text;
        text += name_size;
    }
    *out = copy;
    return 0;
}

static size_t member_place(const struct group *group, uint64_t id)
{
    size_t at = 0;
    while (at < group->member_count && group->members[at]->id < id) at++;
    return at;
}

static struct member *member_find(const struct group *group, uint64_t id)
{
    size_t at = member_place(group, id);
    if (at == group->member_count || group->members[at]->id != id) return NULL;
    return group->members[at];
}

static void member_remove(struct group *group, uint64_t id)
{
    size_t at = member_place(group, id);

    member_free(group->heap, group->members[at]);
    group->member_count--;
    memmove(&group->members[at], &group->members[at + 1],
            (group->member_count - at) * sizeof *group->members);
}

/* ---- Actions ---------------------------------------------------------- */

/* Room for the most that one step can say: three per member. */
static int make_room(struct group *group, bool joins)
{
    size_t members = group->member_count + joins; /* only a join needs more: a leave goes */
    void *grown;

    if (group->member_room < members) {
        grown = rill__resize(group->heap, group->members, members * 2 * sizeof *group->members);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        group->members = grown;
        group->member_room = members * 2;
    }
    if (group->action_room < members * 3) {
        grown = rill__resize(group->heap, group->actions, members * 6 * sizeof *group->actions);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        group->actions = grown;
        group->action_room = members * 6;
    }
    return 0;
}

static struct group_action *act(struct group *group, enum group_action_kind kind, uint64_t member)
{
    struct group_action *a = &group->actions[group->action_count++];
    *a = (struct group_action){kind, member, group->generation, NULL, 0};
    return a;
}

/* ---- The rebalance ---------------------------------------------------- */

/* Everybody is asked to give up what they hold. */
static void begin_rebalance(struct group *group, int64_t now_ms)
{
    if (group->state == GROUP_PREPARING) return;
    group->state = GROUP_PREPARING;
    for (size_t i = 0; i < group->member_count; i++) {
        struct member *m = group->members[i];
        m->ready = m->owned_count == 0;
        m->asked_ms = -1;
        if (m->ready) continue;
        m->asked_ms = now_ms;
        act(group, GROUP_REVOKE, m->id);
    }
}

static int plan_assignment(struct group *group)
{
    int32_t assignor = group->member_count > 0 ? group->members[0]->assignor : 0;

    for (size_t i = 0; i < group->member_count; i++) group->members[i]->planned_count = 0;
    return assignors[assignor](group->heap, group->members, group->member_count);
}

/* If everybody is ready, assigns. Running out of memory here leaves the group
 * PREPARING; the next step tries again. */
static int finish_rebalance(struct group *group)
{
    int rc;

    if (group->state != GROUP_PREPARING) return 0;
    if (group->member_count == 0) {
        group->state = GROUP_EMPTY;
        return 0;
    }
    for (size_t i = 0; i < group->member_count; i++)
        if (!group->members[i]->ready) return 0;
    rc = plan_assignment(group);
    if (rc != 0) return rc;
    group->generation++;
    group->state = GROUP_STABLE;
    for (size_t i = 0; i < group->member_count; i++) {
        struct member *m = group->members[i];
        struct group_action *a = act(group, GROUP_ASSIGN, m->id);
        struct group_partition *old = m->owned;

        m->owned = m->planned;
        m->owned_count = m->planned_count;
        m->planned = NULL;
        m->planned_count = 0;
        m->planned_room = 0;
        rill__free(group->heap, old);
        a->partitions = m->owned;
        a->partition_count = m->owned_count;
    }
    return 0;
}

/* ---- Events ----------------------------------------------------------- */

static int on_join(struct group *group, const struct group_event *e)
{
    struct member *m;
    size_t at;
    int rc;

    if (member_find(group, e->member) != NULL)
        return rill__fail(RILL_ERR_EXISTS, "member %" PRIu64 " has joined already", e->member);
    if (e->assignor < 0 || (size_t)e->assignor >= sizeof assignors / sizeof assignors[0])
        return rill__fail(RILL_ERR_INVALID, "there is no assignor number %d", (int)e->assignor);
    if (group->member_count > 0 && group->members[0]->assignor != e->assignor)
        return rill__fail(RILL_ERR_INVALID,
                          "the group's members use assignor %d, this one asks for %d",
                          (int)group->members[0]->assignor, (int)e->assignor);
    m = rill__alloc(group->heap, sizeof *m);
    if (m == NULL) return RILL_ERR_NO_MEMORY;
    rc = copy_topics(group->heap, e->topics, e->topic_count, &m->topics);
    if (rc != 0) {
        member_free(group->heap, m);
        return rc;
    }
    m->id = e->member;
    m->topic_count = e->topic_count;
    m->assignor = e->assignor;
    m->session_timeout_ms = e->session_timeout_ms;
    m->rebalance_timeout_ms = e->rebalance_timeout_ms;
    m->heard_ms = e->now_ms;
    m->asked_ms = -1;
    m->ready = true;
    at = member_place(group, m->id);
    memmove(&group->members[at + 1], &group->members[at],
            (group->member_count - at) * sizeof *group->members);
    group->members[at] = m;
    group->member_count++;
    begin_rebalance(group, e->now_ms);
    return 0;
}

/* Nobody was told anything yet: only a group whose members are all ready comes
 * to the end of a rebalance in a join. */
static void undo_join(struct group *group, uint64_t member)
{
    member_remove(group, member);
    if (group->member_count == 0) group->state = GROUP_EMPTY;
}

static bool same_topics(const struct member *m, const struct group_topic *topics, size_t count)
{
    if (m->topic_count != count) return false;
    for (size_t i = 0; i < count; i++) {
        const struct group_topic *have = rill__member_topic(m, topics[i].topic);
        if (have == NULL || have->partition_count != topics[i].partition_count) return false;
    }
    return true;
}

static int on_topics(struct group *group, struct member *m, const struct group_event *e)
{
    struct group_topic *topics;
    int rc;

    if (same_topics(m, e->topics, e->topic_count)) return 0;
    rc = copy_topics(group->heap, e->topics, e->topic_count, &topics);
    if (rc != 0) return rc;
    rill__free(group->heap, m->topics);
    m->topics = topics;
    m->topic_count = e->topic_count;
    begin_rebalance(group, e->now_ms);
    return 0;
}

static int64_t expires_ms(const struct member *m)
{
    int64_t at = m->heard_ms + m->session_timeout_ms;
    int64_t asked = m->asked_ms + m->rebalance_timeout_ms;

    return m->asked_ms >= 0 && !m->ready && asked < at ? asked : at;
}

static void on_tick(struct group *group, int64_t now_ms)
{
    for (size_t i = 0; i < group->member_count;) {
        struct member *m = group->members[i];
        if (now_ms < expires_ms(m)) {
            i++;
            continue;
        }
        act(group, GROUP_EXPEL, m->id);
        member_remove(group, m->id);
        begin_rebalance(group, now_ms);
    }
}

int rill__group_step(struct group *group, const struct group_event *e,
                     const struct group_action **actions, size_t *action_count)
{
    struct member *m = member_find(group, e->member);
    int rc = make_room(group, e->kind == GROUP_JOIN);

    if (rc != 0) return rc;
    group->action_count = 0;
    if (m == NULL && e->kind != GROUP_JOIN && e->kind != GROUP_LEAVE && e->kind != GROUP_TICK)
        return rill__fail(RILL_ERR_NOT_FOUND, "member %" PRIu64 " is not in the group",
                          e->member);
    if (m != NULL && e->now_ms > m->heard_ms) m->heard_ms = e->now_ms;
    switch (e->kind) {
    case GROUP_JOIN: rc = on_join(group, e); break;
    case GROUP_TOPICS: rc = on_topics(group, m, e); break;
    case GROUP_READY:
        if (group->state != GROUP_PREPARING) break;
        m->owned_count = 0;
        m->ready = true;
        break;
    case GROUP_LEAVE:
        if (m == NULL) break;
        member_remove(group, e->member);
        begin_rebalance(group, e->now_ms);
        break;
    case GROUP_TICK: on_tick(group, e->now_ms); break;
    case GROUP_HEARTBEAT: break;
    }
    if (rc == 0) {
        rc = finish_rebalance(group);
        if (rc != 0 && e->kind == GROUP_JOIN) undo_join(group, e->member);
    }
    if (rc != 0) return rc;
    *actions = group->actions;
    *action_count = group->action_count;
    return 0;
}

/* ---- Looking ---------------------------------------------------------- */

int rill__group_new(struct heap *heap, int32_t generation, struct group **out)
{
    struct group *group = rill__alloc(heap, sizeof *group);

    if (group == NULL) return RILL_ERR_NO_MEMORY;
    group->heap = heap;
    group->generation = generation;
    *out = group;
    return 0;
}

void rill__group_free(struct group *group)
{
    if (group == NULL) return;
    for (size_t i = 0; i < group->member_count; i++) member_free(group->heap, group->members[i]);
    rill__free(group->heap, group->members);
    rill__free(group->heap, group->actions);
    rill__free(group->heap, group);
}

enum group_state rill__group_state(const struct group *group)
{
    return group->state;
}

int32_t rill__group_generation(const struct group *group)
{
    return group->generation;
}

size_t rill__group_member_count(const struct group *group)
{
    return group->member_count;
}

bool rill__group_owns(const struct group *group, uint64_t member, uint64_t topic,
                      int32_t partition)
{
    const struct member *m = member_find(group, member);

    for (size_t i = 0; m != NULL && i < m->owned_count; i++)
        if (m->owned[i].topic == topic && m->owned[i].partition == partition) return true;
    return false;
}

int64_t rill__group_next_tick_ms(const struct group *group)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < group->member_count; i++) {
        int64_t at = expires_ms(group->members[i]);
        if (at < next) next = at;
    }
    return next;
}

static size_t owners_of(const struct group *group, uint64_t topic, int32_t partition)
{
    size_t owners = 0;

    for (size_t i = 0; i < group->member_count; i++)
        owners += rill__group_owns(group, group->members[i]->id, topic, partition);
    return owners;
}

bool rill__group_check(const struct group *group)
{
    bool good = rill_assert((group->state == GROUP_EMPTY) == (group->member_count == 0));

    for (size_t i = 0; i < group->member_count; i++) {
        const struct member *m = group->members[i];
        good &= rill_assert(i == 0 || group->members[i - 1]->id < m->id);
        for (size_t j = 0; j < m->owned_count; j++)
            good &= rill_assert(owners_of(group, m->owned[j].topic, m->owned[j].partition) == 1);
        if (group->state != GROUP_STABLE) continue;
        for (size_t j = 0; j < m->topic_count; j++)
            for (uint32_t p = 0; p < m->topics[j].partition_count; p++)
                good &= rill_assert(owners_of(group, m->topics[j].topic, (int32_t)p) == 1);
    }
    return good;
}
