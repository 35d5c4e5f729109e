/*
 * group/group.c - the steps of the coordinator; see group/group.h.
 *
 *     event -> members and subscriptions change -> if so: plan -> reconcile
 *
 * Reconciling walks all partitions once: who holds what is meant for another is
 * asked to give it up, what is free goes to whom it is meant for.
 */
#include "base/error.h"
#include "group/inner.h"
#include <inttypes.h>
#include <string.h>

/* ---- Members and subscriptions ---------------------------------------- */

void rill__member_free(struct heap *heap, struct member *m)
{
    if (m == NULL) return;
    rill__free(heap, m->name);
    rill__free(heap, m->instance);
    rill__free(heap, m->own_assignor);
    rill__free(heap, m->owned);
    rill__free(heap, m->planned);
    rill__free(heap, m);
}

static void subscription_free(struct heap *heap, struct subscription *s)
{
    if (s == NULL) return;
    rill__free(heap, s->text);
    rill__free(heap, s->topics);
    rill__free(heap, s);
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

static struct subscription *find_subscription(const struct group *group, const char *text)
{
    for (size_t i = 0; i < group->subscription_count; i++)
        if (strcmp(group->subscriptions[i]->text, text) == 0) return group->subscriptions[i];
    return NULL;
}

static int set_topics(struct group *group, struct subscription *s,
                      const struct group_subscription *given)
{
    struct group_topic *topics;
    int rc = copy_topics(group->heap, given->topics, given->topic_count, &topics);

    if (rc != 0) return rc;
    rill__free(group->heap, s->topics);
    s->topics = topics;
    s->topic_count = given->topic_count;
    return 0;
}

/* The one with the same text, or a new one that nobody uses yet. */
int rill__group_subscription(struct group *group, const struct group_subscription *given,
                             struct subscription **out)
{
    struct subscription *s = find_subscription(group, given->text);
    void *grown;
    int rc = 0;

    if (s != NULL) {
        *out = s;
        return 0;
    }
    grown = rill__resize(group->heap, group->subscriptions,
                         (group->subscription_count + 1) * sizeof(void *));
    if (grown == NULL) return RILL_ERR_NO_MEMORY;
    group->subscriptions = grown;
    s = rill__alloc(group->heap, sizeof *s);
    if (s == NULL) return RILL_ERR_NO_MEMORY;
    s->text = rill__strdup(group->heap, given->text);
    if (s->text == NULL) rc = RILL_ERR_NO_MEMORY;
    if (rc == 0) rc = set_topics(group, s, given);
    if (rc != 0) {
        subscription_free(group->heap, s);
        return rc;
    }
    group->subscriptions[group->subscription_count++] = s;
    *out = s;
    return 0;
}

static void drop_subscription(struct group *group, struct subscription *s)
{
    size_t at = 0;

    if (--s->users > 0) return;
    while (group->subscriptions[at] != s) at++;
    group->subscriptions[at] = group->subscriptions[--group->subscription_count];
    subscription_free(group->heap, s);
}

static uint32_t place_of(const struct group *group, uint64_t id)
{
    for (uint32_t i = 0; i < group->member_room; i++)
        if (group->members[i] != NULL && group->members[i]->id == id) return i;
    return NOBODY;
}

static uint32_t place_of_instance(const struct group *group, const char *instance)
{
    for (uint32_t i = 0; instance != NULL && i < group->member_room; i++) {
        const struct member *m = group->members[i];
        if (m != NULL && m->instance != NULL && strcmp(m->instance, instance) == 0) return i;
    }
    return NOBODY;
}

/* Takes m, whatever comes. */
int rill__group_add_member(struct group *group, struct member *m)
{
    size_t at = 0;

    while (at < group->member_room && group->members[at] != NULL) at++;
    if (at == group->member_room) {
        size_t room = at == 0 ? 8 : at * 2;
        void *grown = rill__resize(group->heap, group->members, room * sizeof(void *));
        if (grown == NULL) {
            rill__member_free(group->heap, m);
            return RILL_ERR_NO_MEMORY;
        }
        group->members = grown;
        group->member_room = room;
    }
    group->members[at] = m;
    group->member_count++;
    m->subscription->users++;
    return 0;
}

/* What it held is free. */
static void remove_member(struct group *group, uint32_t at)
{
    struct member *m = group->members[at];

    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++) {
            struct place *place = &group->topics[t].places[p];
            if (place->target == at) place->target = NOBODY;
            if (place->owner != at) continue;
            place->owner = NOBODY;
            place->leaving = false;
        }
    if (group->planner == at) group->planner = NOBODY;
    group->members[at] = NULL;
    group->member_count--;
    drop_subscription(group, m->subscription);
    rill__member_free(group->heap, m);
}

/* ---- Actions ---------------------------------------------------------- */

static int act(struct group *group, enum group_action_kind kind, uint64_t member)
{
    if (group->action_count == group->action_room) {
        size_t room = group->action_room == 0 ? 16 : group->action_room * 2;
        void *grown = rill__resize(group->heap, group->actions, room * sizeof *group->actions);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        group->actions = grown;
        group->action_room = room;
    }
    group->actions[group->action_count++] = (struct group_action){kind, member};
    return 0;
}

/* Asks m for something; what it was asked before counts as asked again. */
static void ask(struct member *m, int64_t now_ms)
{
    m->round++;
    if (m->asked_ms < 0) m->asked_ms = now_ms;
}

/* Is anything that it was told to give up not yet given up? */
static bool must_give_up(const struct group *group, uint32_t at)
{
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++)
            if (group->topics[t].places[p].owner == at && group->topics[t].places[p].leaving)
                return true;
    return false;
}

/* ---- Planning and moving ---------------------------------------------- */

/* Members or subscriptions have changed. */
static int plan_anew(struct group *group, int64_t now_ms)
{
    struct member **ordered;
    int32_t assignor = group->assignor;
    int rc = rill__group_update_topics(group);

    if (rc == 0 && group->member_count > 0)
        rc = rill__group_elect(group, NULL, NOBODY, &assignor);
    if (rc != 0) return rc;
    group->assignor = assignor;
    if (group->planner != NOBODY && !must_give_up(group, group->planner))
        group->members[group->planner]->asked_ms = -1;
    group->planner = NOBODY;
    if (assignor != RILL_ASSIGN_OWN || group->member_count == 0) return rill__group_plan(group);
    rc = rill__members_ordered(group, &ordered);
    if (rc != 0) return rc;
    for (size_t i = 0; i < group->member_count && group->planner == NOBODY; i++)
        if (!ordered[i]->away) group->planner = place_of(group, ordered[i]->id);
    rill__free(group->heap, ordered);
    if (group->planner == NOBODY) return 0; /* until one comes back */
    ask(group->members[group->planner], now_ms);
    return act(group, GROUP_PLAN, group->members[group->planner]->id);
}

/* Whom a walk over the partitions has met; bits of `met`. */
enum { MET_LEAVING = 1, MET_NEW = 2 };

static void move_places(struct group *group, struct placed_topic *topic, uint8_t *met)
{
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        struct place *place = &topic->places[p];

        if (place->owner != NOBODY && place->owner != place->target && !place->leaving) {
            place->leaving = true;
            met[place->owner] |= MET_LEAVING;
        }
        if (place->owner != NOBODY || place->target == NOBODY) continue;
        if (group->members[place->target]->away) continue; /* it gets it when it is back */
        place->owner = place->target;
        place->since = group->generation;
        met[place->owner] |= MET_NEW;
    }
}

static bool is_abandoned(const struct placed_topic *topic)
{
    if (topic->wanted) return false;
    for (uint32_t p = 0; p < topic->partition_count; p++)
        if (topic->places[p].owner != NOBODY) return false;
    return true;
}

static void drop_abandoned(struct group *group)
{
    size_t kept = 0;

    for (size_t t = 0; t < group->topic_count; t++) {
        if (is_abandoned(&group->topics[t])) {
            rill__free(group->heap, group->topics[t].name);
            rill__free(group->heap, group->topics[t].places);
            continue;
        }
        group->topics[kept++] = group->topics[t];
    }
    group->topic_count = kept;
}

/* One who is away holds nothing that it could be asked for. */
static void free_what_is_away(struct group *group)
{
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++) {
            struct place *place = &group->topics[t].places[p];
            if (place->owner == NOBODY || !group->members[place->owner]->away) continue;
            place->leaving = false;
            if (place->owner != place->target) place->owner = NOBODY;
        }
}

static int reconcile(struct group *group, int64_t now_ms)
{
    uint8_t *met = rill__alloc(group->heap, group->member_room);
    int rc = met == NULL ? RILL_ERR_NO_MEMORY : 0;

    if (rc == 0) free_what_is_away(group);
    for (size_t t = 0; t < group->topic_count && rc == 0; t++)
        move_places(group, &group->topics[t], met);
    for (size_t i = 0; i < group->member_room && rc == 0; i++) {
        struct member *m = group->members[i];
        if (met[i] & MET_LEAVING) {
            ask(m, now_ms);
            rc = act(group, GROUP_REVOKE, m->id);
        }
        if (rc == 0 && (met[i] & MET_NEW)) rc = act(group, GROUP_ASSIGN, m->id);
    }
    rill__free(group->heap, met);
    drop_abandoned(group);
    return rc;
}

/* ---- Events ----------------------------------------------------------- */

static int member_new(struct group *group, const struct group_event *e, struct member **out)
{
    const struct group_join *join = e->join;
    struct member *m = rill__alloc(group->heap, sizeof *m);
    bool whole;

    if (m == NULL) return RILL_ERR_NO_MEMORY;
    m->id = e->member;
    m->name = rill__strdup(group->heap, join->name);
    whole = m->name != NULL;
    if (whole && join->instance != NULL) {
        m->instance = rill__strdup(group->heap, join->instance);
        whole = m->instance != NULL;
    }
    if (whole && join->own_assignor != NULL) {
        m->own_assignor = rill__strdup(group->heap, join->own_assignor);
        whole = m->own_assignor != NULL;
    }
    if (!whole) {
        rill__member_free(group->heap, m);
        return RILL_ERR_NO_MEMORY;
    }
    m->assignor = join->assignor;
    m->assignors = join->assignors | 1u << join->assignor;
    m->session_timeout_ms = join->session_timeout_ms;
    m->max_poll_interval_ms = join->max_poll_interval_ms;
    m->heard_ms = e->now_ms;
    m->polled_ms = e->now_ms;
    m->asked_ms = -1;
    *out = m;
    return 0;
}

static bool all_are_away(const struct group *group)
{
    for (size_t i = 0; i < group->member_room; i++)
        if (group->members[i] != NULL && !group->members[i]->away) return false;
    return true;
}

static bool same_assignors(const struct member *a, const struct member *b)
{
    if (a->assignor != b->assignor || a->assignors != b->assignors) return false;
    if (a->own_assignor == NULL || b->own_assignor == NULL)
        return a->own_assignor == b->own_assignor;
    return strcmp(a->own_assignor, b->own_assignor) == 0;
}

/* Takes all over but what it is called and how long it may be silent. What the
 * old one was asked to give up it no longer holds. */
static int take_over(struct group *group, uint32_t at, struct member *m, bool *changed)
{
    struct member *old = group->members[at];
    uint64_t old_id = old->id;

    *changed = old->subscription != m->subscription || !same_assignors(old, m) ||
               group->planner == at || old->asked_ms >= 0;
    /* while all were away there was nobody to ask for a plan */
    if (group->assignor == RILL_ASSIGN_OWN && all_are_away(group)) *changed = true;
    if (group->planner == at) group->planner = NOBODY;
    m->round = old->round;
    m->subscription->users++;
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++) {
            struct place *place = &group->topics[t].places[p];
            if (place->owner != at || !place->leaving) continue;
            place->owner = NOBODY;
            place->leaving = false;
        }
    group->members[at] = m;
    drop_subscription(group, old->subscription);
    rill__member_free(group->heap, old);
    return act(group, GROUP_EXPEL, old_id);
}

static int on_join(struct group *group, const struct group_event *e, bool *changed)
{
    struct member *m;
    uint32_t at = place_of_instance(group, e->join->instance);
    int32_t elected;
    int rc;

    if (place_of(group, e->member) != NOBODY)
        return rill__fail(RILL_ERR_EXISTS, "member %" PRIu64 " has joined already", e->member);
    if (e->join->assignor < 0 || e->join->assignor > RILL_ASSIGN_OWN)
        return rill__fail(RILL_ERR_INVALID, "there is no assignor %" PRId32, e->join->assignor);
    rc = member_new(group, e, &m);
    if (rc != 0) return rc;
    rc = rill__group_elect(group, m, at, &elected);
    if (rc == 0) rc = rill__group_subscription(group, &e->join->subscription, &m->subscription);
    if (rc != 0) {
        rill__member_free(group->heap, m);
        return rc;
    }
    if (at == NOBODY) return rill__group_add_member(group, m);
    rc = take_over(group, at, m, changed);
    if (rc == 0) rc = act(group, GROUP_ASSIGN, m->id);
    return rc;
}

static int on_subscribe(struct group *group, struct member *m, const struct group_event *e,
                        bool *changed)
{
    struct subscription *old = m->subscription;
    struct subscription *s;
    int rc = rill__group_subscription(group, e->subscription, &s);

    if (rc != 0) return rc;
    *changed = s != old;
    if (s == old) return 0;
    s->users++;
    m->subscription = s;
    drop_subscription(group, old);
    return 0;
}

static bool same_topics(const struct subscription *s, const struct group_subscription *given)
{
    if (s->topic_count != given->topic_count) return false;
    for (size_t i = 0; i < given->topic_count; i++) {
        size_t j = 0;
        while (j < s->topic_count && s->topics[j].topic != given->topics[i].topic) j++;
        if (j == s->topic_count) return false;
        if (s->topics[j].partition_count != given->topics[i].partition_count) return false;
    }
    return true;
}

static int on_topics(struct group *group, const struct group_event *e, bool *changed)
{
    struct subscription *s = find_subscription(group, e->subscription->text);

    if (s == NULL || same_topics(s, e->subscription)) {
        *changed = false;
        return 0;
    }
    return set_topics(group, s, e->subscription);
}

static int on_ready(struct group *group, uint32_t at, const struct group_event *e)
{
    struct member *m = group->members[at];

    if (m->asked_ms < 0 || e->round != m->round)
        return rill__fail(RILL_ERR_STATE,
                          "member %s answers to round %" PRIu32 ", it is asked for %" PRIu32,
                          m->name, e->round, m->round);
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++) {
            struct place *place = &group->topics[t].places[p];
            if (place->owner != at || !place->leaving) continue;
            place->owner = NOBODY;
            place->leaving = false;
        }
    if (group->planner != at) m->asked_ms = -1;
    return 0;
}

static int on_planned(struct group *group, uint32_t at, const struct group_event *e)
{
    struct member *m = group->members[at];
    int rc;

    if (group->planner != at || e->round != m->round)
        return rill__fail(RILL_ERR_STATE,
                          "member %s has a plan for round %" PRIu32 ", it is asked for %" PRIu32,
                          m->name, e->round, m->round);
    rc = rill__group_take_plan(group, e->owners, e->owner_count);
    if (rc != 0) return rc;
    group->planner = NOBODY;
    if (!must_give_up(group, at)) m->asked_ms = -1;
    return 0;
}

static void on_leave(struct group *group, uint32_t at, const struct group_event *e, bool *changed)
{
    struct member *m = group->members[at];

    if (m->instance == NULL || e->kind == GROUP_REMOVE) {
        remove_member(group, at);
        return;
    }
    *changed = group->planner == at || m->asked_ms >= 0;
    m->away = true;
    m->asked_ms = -1;
    if (e->kind == GROUP_LEAVE) m->heard_ms = e->now_ms;
}

/* Times may come from a damaged image. */
static int64_t later_ms(int64_t time_ms, uint32_t by_ms)
{
    return time_ms > INT64_MAX - by_ms ? INT64_MAX : time_ms + by_ms;
}

static int64_t expires_ms(const struct member *m)
{
    int64_t at = later_ms(m->heard_ms, m->session_timeout_ms);
    int64_t polled = later_ms(m->polled_ms, m->max_poll_interval_ms);
    int64_t answers = later_ms(m->asked_ms, m->max_poll_interval_ms);

    if (m->away) return at;
    if (polled < at) at = polled;
    if (m->asked_ms >= 0 && answers < at) at = answers;
    return at;
}

/* Another boot's clock may have been ahead; then it is later than it seems. */
static bool turn_back(struct member *m, int64_t now_ms)
{
    bool ahead = m->heard_ms > now_ms || m->polled_ms > now_ms || m->asked_ms > now_ms;

    if (m->heard_ms > now_ms) m->heard_ms = now_ms;
    if (m->polled_ms > now_ms) m->polled_ms = now_ms;
    if (m->asked_ms > now_ms) m->asked_ms = now_ms;
    return ahead;
}

static int on_tick(struct group *group, const struct group_event *e, bool *changed, bool *moved)
{
    static const struct group_event died = {.kind = GROUP_DIED};
    int rc = 0;

    *changed = false;
    *moved = false;
    for (uint32_t i = 0; i < group->member_room && rc == 0; i++) {
        struct member *m = group->members[i];
        bool matters = true;

        if (m == NULL || m->id == e->member) continue;
        if (turn_back(m, e->now_ms)) *moved = true;
        if (e->now_ms >= expires_ms(m)) {
            rc = act(group, GROUP_EXPEL, m->id);
            remove_member(group, i);
        } else if (m->dead && !m->away) {
            on_leave(group, i, &died, &matters);
        } else {
            continue;
        }
        *changed = *changed || matters;
        *moved = true;
    }
    return rc;
}

int rill__group_step(struct group *group, const struct group_event *e,
                     const struct group_action **actions, size_t *action_count)
{
    uint32_t at = e->member == 0 ? NOBODY : place_of(group, e->member);
    bool leaves = e->kind == GROUP_LEAVE || e->kind == GROUP_DIED || e->kind == GROUP_REMOVE;
    bool changed = true; /* there must be another plan */
    bool moved = true;   /* there may be something to move, and to keep */
    int rc = 0;

    group->action_count = 0;
    *actions = group->actions;
    *action_count = 0;
    if (at == NOBODY && leaves) return 0;
    if (at == NOBODY && e->kind != GROUP_JOIN && e->kind != GROUP_TOPICS && e->kind != GROUP_TICK)
        return rill__fail(RILL_ERR_NOT_FOUND, "member %" PRIu64 " is not in the group",
                          e->member);
    switch (e->kind) {
    case GROUP_JOIN: rc = on_join(group, e, &changed); break;
    case GROUP_SUBSCRIBE:
        rc = on_subscribe(group, group->members[at], e, &changed);
        moved = changed;
        break;
    case GROUP_TOPICS:
        rc = on_topics(group, e, &changed);
        moved = changed;
        break;
    case GROUP_READY:
        rc = on_ready(group, at, e);
        changed = false;
        break;
    case GROUP_PLANNED:
        rc = on_planned(group, at, e);
        changed = false;
        break;
    case GROUP_LEAVE:
    case GROUP_DIED:
    case GROUP_REMOVE: on_leave(group, at, e, &changed); break;
    case GROUP_TICK: rc = on_tick(group, e, &changed, &moved); break;
    }
    if (rc == 0 && changed) rc = plan_anew(group, e->now_ms);
    if (rc == 0 && moved) rc = reconcile(group, e->now_ms);
    if (rc != 0) return rc;
    group->version += moved;
    *actions = group->actions;
    *action_count = group->action_count;
    return 0;
}

void rill__group_signs(struct group *group,
                       void (*look)(void *arg, uint64_t member, struct group_sign *sign),
                       void *arg)
{
    for (size_t i = 0; i < group->member_room; i++) {
        struct member *m = group->members[i];
        struct group_sign sign;

        if (m == NULL || m->away) continue;
        sign = (struct group_sign){m->heard_ms, m->polled_ms, false};
        look(arg, m->id, &sign);
        if (sign.heard_ms > m->heard_ms) m->heard_ms = sign.heard_ms;
        if (sign.polled_ms > m->polled_ms) m->polled_ms = sign.polled_ms;
        m->dead = sign.dead;
    }
}

bool rill__group_is_due(const struct group *group, int64_t now_ms)
{
    for (size_t i = 0; i < group->member_room; i++) {
        const struct member *m = group->members[i];
        if (m != NULL && ((m->dead && !m->away) || now_ms >= expires_ms(m))) return true;
    }
    return false;
}

int64_t rill__group_next_tick_ms(const struct group *group)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < group->member_room; i++)
        if (group->members[i] != NULL && expires_ms(group->members[i]) < next)
            next = expires_ms(group->members[i]);
    return next;
}

/* ---- Making and freeing ----------------------------------------------- */

int rill__group_new(struct heap *heap, int32_t generation, uint64_t version, struct group **out)
{
    struct group *group = rill__alloc(heap, sizeof *group);

    if (group == NULL) return RILL_ERR_NO_MEMORY;
    group->heap = heap;
    group->generation = generation;
    group->version = version;
    group->planner = NOBODY;
    *out = group;
    return 0;
}

void rill__group_free(struct group *group)
{
    struct heap *heap;

    if (group == NULL) return;
    heap = group->heap;
    for (size_t i = 0; i < group->member_room; i++) rill__member_free(heap, group->members[i]);
    for (size_t i = 0; i < group->subscription_count; i++)
        subscription_free(heap, group->subscriptions[i]);
    for (size_t t = 0; t < group->topic_count; t++) {
        rill__free(heap, group->topics[t].name);
        rill__free(heap, group->topics[t].places);
    }
    rill__free(heap, group->members);
    rill__free(heap, group->subscriptions);
    rill__free(heap, group->topics);
    rill__free(heap, group->actions);
    rill__free(heap, group);
}
