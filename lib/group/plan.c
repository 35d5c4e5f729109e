/*
 * group/plan.c - whom each partition is meant for.
 *
 * The members elect an assignor: of those that all of them can, the one that
 * most prefer. It is given the members in Kafka's order (static ones by their
 * instance first, then the others by their id), with what each holds and need
 * not give up, and fills their plans, which become the partitions' targets.
 */
#include "base/error.h"
#include "group/inner.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const assign_fn assignors[] = {
    [RILL_ASSIGN_RANGE] = rill__assign_range,
    [RILL_ASSIGN_ROUND_ROBIN] = rill__assign_round_robin,
    [RILL_ASSIGN_STICKY] = rill__assign_sticky,
    [RILL_ASSIGN_COOPERATIVE_STICKY] = rill__assign_sticky,
};
static const char *const assignor_names[] = {"range", "roundrobin", "sticky",
                                             "cooperative-sticky", "the application's own"};
enum { ASSIGNORS = sizeof assignor_names / sizeof assignor_names[0] };

/* ---- The election ----------------------------------------------------- */

/* "range, sticky"; own: the name of the application's own, if there is one. */
static void name_them(uint32_t mask, const char *own, char *text, size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < ASSIGNORS; i++) {
        if ((mask >> i & 1) == 0) continue;
        at += (size_t)snprintf(text + at, size - at, "%s%s%s%s", at == 0 ? "" : ", ",
                               assignor_names[i], i == RILL_ASSIGN_OWN && own != NULL ? " " : "",
                               i == RILL_ASSIGN_OWN && own != NULL ? own : "");
        if (at >= size) return;
    }
    if (at == 0) snprintf(text, size, "none");
}

static bool same_own(const struct member *a, const struct member *b)
{
    if (a->own_assignor == NULL || b->own_assignor == NULL) return false;
    return strcmp(a->own_assignor, b->own_assignor) == 0;
}

/* Member number i of those who vote; the joining one comes last. */
static const struct member *voter(const struct group *group, const struct member *joining,
                                  uint32_t replaced, size_t i)
{
    if (i == group->member_room) return joining;
    return i == replaced ? NULL : group->members[i];
}

int rill__group_elect(const struct group *group, const struct member *joining, uint32_t replaced,
                      int32_t *assignor)
{
    const struct member *first = NULL;
    uint32_t common = UINT32_MAX;
    uint32_t others = UINT32_MAX;
    size_t votes[ASSIGNORS] = {0};
    int32_t best = -1;

    for (size_t i = 0; i <= group->member_room; i++) {
        const struct member *m = voter(group, joining, replaced, i);
        if (m == NULL) continue;
        common &= m->assignors;
        if (first != NULL && !same_own(first, m)) common &= ~(1u << RILL_ASSIGN_OWN);
        if (m != joining) others = common;
        if (first == NULL) first = m;
    }
    for (size_t i = 0; i <= group->member_room; i++) {
        const struct member *m = voter(group, joining, replaced, i);
        if (m == NULL) continue;
        if ((common >> m->assignor & 1) != 0) votes[m->assignor]++;
    }
    for (int32_t i = 0; i < ASSIGNORS; i++)
        if ((common >> i & 1) != 0 && (best < 0 || votes[i] > votes[best])) best = i;
    if (best < 0) {
        char have[200];
        char offered[200];
        name_them(others, first->own_assignor, have, sizeof have);
        name_them(joining == NULL ? 0 : joining->assignors,
                  joining == NULL ? NULL : joining->own_assignor, offered, sizeof offered);
        return rill__fail(RILL_ERR_INVALID,
                          "no common assignor: the group's members share %s; this one can %s",
                          have, offered);
    }
    *assignor = best;
    return 0;
}

/* ---- Topics ----------------------------------------------------------- */

struct placed_topic *rill__placed_topic(const struct group *group, uint64_t topic)
{
    size_t low = 0;
    size_t high = group->topic_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (group->topics[middle].topic < topic) low = middle + 1;
        else high = middle;
    }
    return low < group->topic_count && group->topics[low].topic == topic ? &group->topics[low]
                                                                         : NULL;
}

static int add_topic(struct group *group, const struct group_topic *topic,
                     struct placed_topic **out)
{
    struct placed_topic *grown =
        rill__resize(group->heap, group->topics, (group->topic_count + 1) * sizeof *grown);
    char *name = rill__strdup(group->heap, topic->name);
    size_t at = 0;

    if (grown != NULL) group->topics = grown;
    if (grown == NULL || name == NULL) {
        rill__free(group->heap, name);
        return RILL_ERR_NO_MEMORY;
    }
    while (at < group->topic_count && grown[at].topic < topic->topic) at++;
    memmove(&grown[at + 1], &grown[at], (group->topic_count - at) * sizeof *grown);
    grown[at] = (struct placed_topic){.topic = topic->topic, .name = name};
    group->topic_count++;
    *out = &grown[at];
    return 0;
}

static int grow_topic(struct group *group, struct placed_topic *topic, uint32_t partition_count)
{
    struct place *grown;

    if (partition_count <= topic->partition_count) return 0;
    grown = rill__resize(group->heap, topic->places, partition_count * sizeof *grown);
    if (grown == NULL) return RILL_ERR_NO_MEMORY;
    for (uint32_t p = topic->partition_count; p < partition_count; p++)
        grown[p] = (struct place){NOBODY, NOBODY, 0, false};
    topic->places = grown;
    topic->partition_count = partition_count;
    return 0;
}

/* A topic never shrinks: who has not heard yet that it has grown hears it here. */
static void agree_on_counts(struct group *group, struct subscription *s)
{
    for (size_t t = 0; t < s->topic_count; t++)
        s->topics[t].partition_count =
            rill__placed_topic(group, s->topics[t].topic)->partition_count;
}

int rill__group_update_topics(struct group *group)
{
    int rc = 0;

    for (size_t t = 0; t < group->topic_count; t++) group->topics[t].wanted = false;
    for (size_t i = 0; i < group->subscription_count && rc == 0; i++) {
        const struct subscription *s = group->subscriptions[i];
        for (size_t t = 0; t < s->topic_count && rc == 0; t++) {
            struct placed_topic *topic = rill__placed_topic(group, s->topics[t].topic);
            if (topic == NULL) rc = add_topic(group, &s->topics[t], &topic);
            if (rc == 0) rc = grow_topic(group, topic, s->topics[t].partition_count);
            if (rc == 0) topic->wanted = true;
        }
    }
    for (size_t i = 0; i < group->subscription_count && rc == 0; i++)
        agree_on_counts(group, group->subscriptions[i]);
    return rc;
}

/* ---- The order of members --------------------------------------------- */

static int compare_members(const void *a, const void *b)
{
    const struct member *x = *(struct member *const *)a;
    const struct member *y = *(struct member *const *)b;
    int order;

    if (x->instance != NULL && y->instance != NULL) return strcmp(x->instance, y->instance);
    if (x->instance != NULL) return -1;
    if (y->instance != NULL) return 1;
    order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

int rill__members_ordered(const struct group *group, struct member ***out)
{
    struct member **members = rill__alloc(group->heap, group->member_count * sizeof *members);
    size_t n = 0;

    if (members == NULL) return RILL_ERR_NO_MEMORY;
    for (size_t i = 0; i < group->member_room; i++)
        if (group->members[i] != NULL) members[n++] = group->members[i];
    if (n > 1) qsort(members, n, sizeof *members, compare_members);
    *out = members;
    return 0;
}

/* ---- The plan --------------------------------------------------------- */

static int holds(struct heap *heap, struct member *m, uint64_t topic, int32_t partition)
{
    if (m->owned_count == m->owned_room) {
        size_t room = m->owned_room == 0 ? 8 : m->owned_room * 2;
        void *grown = rill__resize(heap, m->owned, room * sizeof *m->owned);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        m->owned = grown;
        m->owned_room = room;
    }
    m->owned[m->owned_count++] = (struct group_partition){topic, partition};
    return 0;
}

/* What assignors see of a member. */
static int show_holdings(struct group *group)
{
    int rc = 0;

    for (size_t i = 0; i < group->member_room; i++) {
        struct member *m = group->members[i];
        if (m == NULL) continue;
        m->topics = m->subscription->topics;
        m->topic_count = m->subscription->topic_count;
        m->owned_count = 0;
        m->planned_count = 0;
    }
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count && rc == 0; p++) {
            const struct place *place = &group->topics[t].places[p];
            if (place->owner == NOBODY || place->leaving) continue;
            rc = holds(group->heap, group->members[place->owner], group->topics[t].topic,
                       (int32_t)p);
        }
    return rc;
}

static void forget_targets(struct group *group)
{
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++)
            group->topics[t].places[p].target = NOBODY;
}

static void take_targets(struct group *group)
{
    forget_targets(group);
    for (uint32_t i = 0; i < group->member_room; i++) {
        struct member *m = group->members[i];
        for (size_t j = 0; m != NULL && j < m->planned_count; j++) {
            struct placed_topic *topic = rill__placed_topic(group, m->planned[j].topic);
            topic->places[m->planned[j].partition].target = i;
        }
    }
    group->generation = group->generation == INT32_MAX ? 1 : group->generation + 1;
}

int rill__group_plan(struct group *group)
{
    struct member **ordered;
    int rc = show_holdings(group);

    if (rc == 0) rc = rill__members_ordered(group, &ordered);
    if (rc != 0) return rc;
    if (group->member_count > 0)
        rc = assignors[group->assignor](group->heap, ordered, group->member_count);
    rill__free(group->heap, ordered);
    if (rc == 0) take_targets(group);
    return rc;
}

/* ---- The application's own -------------------------------------------- */

static uint32_t place_in(struct member *const *ordered, size_t count, uint64_t id)
{
    uint32_t at = 0;
    while (at < count && ordered[at]->id != id) at++;
    return at == count ? NOBODY : at;
}

static size_t plan_owners(const struct group_topic *topics, size_t topic_count)
{
    size_t count = 0;
    for (size_t t = 0; t < topic_count; t++) count += topics[t].partition_count;
    return count;
}

static void fill_input(const struct group *group, struct member **ordered,
                       struct group_plan_input *in)
{
    size_t at = 0;

    for (size_t i = 0; i < in->member_count; i++)
        in->members[i] = (struct group_plan_member){ordered[i]->id, ordered[i]->name,
                                                    ordered[i]->subscription->topics,
                                                    ordered[i]->subscription->topic_count};
    for (size_t t = 0; t < in->topic_count; t++) {
        const struct placed_topic *topic = rill__placed_topic(group, in->topics[t].topic);
        in->topics[t].name = topic->name;
        for (uint32_t p = 0; p < in->topics[t].partition_count; p++) {
            uint32_t owner = topic->places[p].owner;
            uint32_t place = owner == NOBODY || topic->places[p].leaving
                                 ? NOBODY
                                 : place_in(ordered, in->member_count, group->members[owner]->id);
            in->owners[at++] = place == NOBODY ? -1 : (int32_t)place;
        }
    }
}

static int topics_and_members(const struct group *group, struct group_topic **topics,
                              size_t *topic_count, struct member ***ordered)
{
    int rc = rill__members_ordered(group, ordered);

    if (rc != 0) return rc;
    for (size_t i = 0; i < group->member_count; i++) {
        (*ordered)[i]->topics = (*ordered)[i]->subscription->topics;
        (*ordered)[i]->topic_count = (*ordered)[i]->subscription->topic_count;
    }
    rc = rill__topics_of(group->heap, *ordered, group->member_count, topics, topic_count);
    if (rc != 0) rill__free(group->heap, *ordered);
    return rc;
}

int rill__group_plan_input(const struct group *group, struct group_plan_input **out)
{
    struct member **ordered;
    struct group_topic *topics;
    struct group_plan_input *in;
    size_t topic_count;
    size_t owners;
    int rc = topics_and_members(group, &topics, &topic_count, &ordered);

    if (rc != 0) return rc;
    owners = plan_owners(topics, topic_count);
    in = rill__alloc(group->heap, sizeof *in + group->member_count * sizeof *in->members +
                                      topic_count * sizeof *in->topics +
                                      owners * sizeof *in->owners);
    if (in != NULL) {
        in->members = (struct group_plan_member *)(in + 1);
        in->member_count = group->member_count;
        in->topics = (struct group_topic *)(in->members + in->member_count);
        in->topic_count = topic_count;
        in->owners = (int32_t *)(in->topics + topic_count);
        in->owner_count = owners;
        if (topic_count != 0) memcpy(in->topics, topics, topic_count * sizeof *topics);
        fill_input(group, ordered, in);
    }
    rill__free(group->heap, topics);
    rill__free(group->heap, ordered);
    if (in == NULL) return RILL_ERR_NO_MEMORY;
    *out = in;
    return 0;
}

static int check_plan(struct member *const *ordered, size_t member_count,
                      const struct group_topic *topics, size_t topic_count, const int32_t *owners,
                      size_t owner_count)
{
    size_t at = 0;

    if (owner_count != plan_owners(topics, topic_count))
        return rill__fail(RILL_ERR_INVALID, "a plan of %zu partitions; there are %zu",
                          owner_count, plan_owners(topics, topic_count));
    for (size_t t = 0; t < topic_count; t++)
        for (uint32_t p = 0; p < topics[t].partition_count; p++, at++) {
            if (owners[at] == -1) continue;
            if (owners[at] < 0 || (size_t)owners[at] >= member_count)
                return rill__fail(RILL_ERR_INVALID,
                                  "the assignor gives %s-%" PRIu32 " to member number %" PRId32
                                  "; there are %zu",
                                  topics[t].name, p, owners[at], member_count);
            if (rill__member_topic(ordered[owners[at]], topics[t].topic) == NULL)
                return rill__fail(RILL_ERR_INVALID,
                                  "the assignor gives %s-%" PRIu32
                                  " to %s, who does not subscribe to it",
                                  topics[t].name, p, ordered[owners[at]]->name);
        }
    return 0;
}

int rill__group_take_plan(struct group *group, const int32_t *owners, size_t count)
{
    struct member **ordered;
    struct group_topic *topics;
    size_t topic_count;
    size_t at = 0;
    int rc = topics_and_members(group, &topics, &topic_count, &ordered);

    if (rc != 0) return rc;
    rc = check_plan(ordered, group->member_count, topics, topic_count, owners, count);
    for (size_t i = 0; i < group->member_count; i++) ordered[i]->planned_count = 0;
    for (size_t t = 0; t < topic_count && rc == 0; t++)
        for (uint32_t p = 0; p < topics[t].partition_count && rc == 0; p++, at++)
            if (owners[at] >= 0)
                rc = rill__member_plan(group->heap, ordered[owners[at]], topics[t].topic,
                                       (int32_t)p);
    if (rc == 0) take_targets(group);
    rill__free(group->heap, topics);
    rill__free(group->heap, ordered);
    return rc;
}
