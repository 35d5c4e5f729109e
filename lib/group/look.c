/*
 * group/look.c - what a group can be asked.
 */
#include "base/error.h"
#include "group/inner.h"
#include <string.h>

static bool is_stable(const struct group *group)
{
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++) {
            const struct place *place = &group->topics[t].places[p];
            if (place->owner != place->target || place->leaving) return false;
        }
    return true;
}

enum group_state rill__group_state(const struct group *group)
{
    if (group->member_count == 0) return GROUP_EMPTY;
    if (group->planner != NOBODY) return GROUP_PLANNING;
    return is_stable(group) ? GROUP_STABLE : GROUP_MOVING;
}

int32_t rill__group_generation(const struct group *group)
{
    return group->generation;
}

uint64_t rill__group_version(const struct group *group)
{
    return group->version;
}

int32_t rill__group_assignor(const struct group *group)
{
    return group->assignor;
}

size_t rill__group_member_count(const struct group *group)
{
    return group->member_count;
}

/* ---- Members ---------------------------------------------------------- */

static const struct member *member_with(const struct group *group, uint64_t id, uint32_t *at)
{
    for (uint32_t i = 0; i < group->member_room; i++) {
        if (group->members[i] == NULL || group->members[i]->id != id) continue;
        *at = i;
        return group->members[i];
    }
    return NULL;
}

static void describe_member(const struct group *group, uint32_t at, struct group_member *out)
{
    const struct member *m = group->members[at];

    *out = (struct group_member){
        .id = m->id,
        .name = m->name,
        .instance = m->instance,
        .subscription = m->subscription->text,
        .away = m->away,
        .asked = m->asked_ms >= 0,
        .planning = group->planner == at,
        .round = m->round,
        .asked_ms = m->asked_ms,
        .heard_ms = m->heard_ms,
        .polled_ms = m->polled_ms,
        .session_timeout_ms = m->session_timeout_ms,
        .max_poll_interval_ms = m->max_poll_interval_ms,
    };
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++)
            out->owned += group->topics[t].places[p].owner == at;
}

bool rill__group_member_at(const struct group *group, size_t index, struct group_member *member)
{
    for (uint32_t i = 0; i < group->member_room; i++) {
        if (group->members[i] == NULL || index-- > 0) continue;
        describe_member(group, i, member);
        return true;
    }
    return false;
}

bool rill__group_member_find(const struct group *group, uint64_t id, struct group_member *member)
{
    uint32_t at;

    if (member_with(group, id, &at) == NULL) return false;
    describe_member(group, at, member);
    return true;
}

bool rill__group_has_instance(const struct group *group, const char *instance)
{
    for (size_t i = 0; i < group->member_room; i++) {
        const struct member *m = group->members[i];
        if (m != NULL && m->instance != NULL && strcmp(m->instance, instance) == 0) return true;
    }
    return false;
}

const char *rill__group_subscription_at(const struct group *group, size_t index)
{
    return index < group->subscription_count ? group->subscriptions[index]->text : NULL;
}

static bool has_topic(const struct subscription *s, uint64_t topic)
{
    for (size_t i = 0; i < s->topic_count; i++)
        if (s->topics[i].topic == topic) return true;
    return false;
}

bool rill__group_subscribes(const struct group *group, uint64_t topic)
{
    for (size_t i = 0; i < group->subscription_count; i++)
        if (has_topic(group->subscriptions[i], topic)) return true;
    return false;
}

/* ---- Partitions ------------------------------------------------------- */

size_t rill__group_holdings(const struct group *group, uint64_t member,
                            struct group_holding *holdings, size_t max)
{
    uint32_t at;
    size_t n = 0;

    if (member_with(group, member, &at) == NULL) return 0;
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++) {
            const struct place *place = &group->topics[t].places[p];
            if (place->owner != at) continue;
            if (n < max)
                holdings[n] = (struct group_holding){group->topics[t].topic, (int32_t)p,
                                                     place->since, place->leaving};
            n++;
        }
    return n;
}

int rill__group_places(const struct group *group,
                       int (*visit)(void *arg, const struct group_place *place), void *arg)
{
    int rc = 0;

    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count && rc == 0; p++) {
            const struct placed_topic *topic = &group->topics[t];
            const struct place *place = &topic->places[p];
            struct group_place out = {
                .topic = topic->topic,
                .name = topic->name,
                .partition = (int32_t)p,
                .owner = place->owner == NOBODY ? 0 : group->members[place->owner]->id,
                .target = place->target == NOBODY ? 0 : group->members[place->target]->id,
                .since = place->since,
                .leaving = place->leaving,
            };
            rc = visit(arg, &out);
        }
    return rc;
}

bool rill__group_owns(const struct group *group, uint64_t member, uint64_t topic,
                      int32_t partition, int32_t since)
{
    const struct placed_topic *placed = rill__placed_topic(group, topic);
    const struct place *place;

    if (placed == NULL || partition < 0 || (uint32_t)partition >= placed->partition_count)
        return false;
    place = &placed->places[partition];
    return place->owner != NOBODY && place->since == since &&
           group->members[place->owner]->id == member;
}

/* ---- The invariants --------------------------------------------------- */

static bool check_members(const struct group *group)
{
    size_t members = 0;
    size_t users = 0;
    bool good = true;

    for (size_t i = 0; i < group->member_room; i++) {
        const struct member *m = group->members[i];
        if (m == NULL) continue;
        members++;
        for (size_t j = 0; j < i; j++) {
            const struct member *other = group->members[j];
            if (other == NULL) continue;
            good &= rill_assert(other->id != m->id);
            good &= rill_assert(m->instance == NULL || other->instance == NULL ||
                                strcmp(m->instance, other->instance) != 0);
        }
    }
    for (size_t i = 0; i < group->subscription_count; i++) {
        good &= rill_assert(group->subscriptions[i]->users > 0);
        users += group->subscriptions[i]->users;
    }
    good &= rill_assert(members == group->member_count);
    good &= rill_assert(users == members);
    if (group->planner != NOBODY) {
        good &= rill_assert(group->members[group->planner] != NULL);
        good &= rill_assert(!group->members[group->planner]->away);
        good &= rill_assert(group->members[group->planner]->asked_ms >= 0);
    }
    return good;
}

static bool check_place(const struct group *group, const struct placed_topic *topic,
                        const struct place *place)
{
    bool own_plan = group->assignor == RILL_ASSIGN_OWN; /* may leave some to nobody */
    bool good = true;

    if (place->owner != NOBODY) {
        good &= rill_assert(place->owner < group->member_room);
        good &= rill_assert(group->members[place->owner] != NULL);
        good &= rill_assert(place->since > 0 && place->since <= group->generation);
        if (place->leaving) good &= rill_assert(group->members[place->owner]->asked_ms >= 0);
        /* whoever must give up something knows it */
        good &= rill_assert(place->owner == place->target || place->leaving);
    } else {
        good &= rill_assert(!place->leaving);
        /* free only while it is meant for nobody, or for one who is away */
        good &= rill_assert(place->target == NOBODY || group->members[place->target]->away);
    }
    if (place->target != NOBODY && group->planner == NOBODY)
        good &= rill_assert(own_plan ||
                            has_topic(group->members[place->target]->subscription, topic->topic));
    if (topic->wanted && place->target == NOBODY)
        good &= rill_assert(own_plan || group->planner != NOBODY);
    return good;
}

bool rill__group_check(const struct group *group)
{
    bool good = check_members(group);

    for (size_t t = 0; t < group->topic_count; t++) {
        const struct placed_topic *topic = &group->topics[t];
        good &= rill_assert(t == 0 || group->topics[t - 1].topic < topic->topic);
        for (uint32_t p = 0; p < topic->partition_count; p++)
            good &= check_place(group, topic, &topic->places[p]);
    }
    return good;
}
