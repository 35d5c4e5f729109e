/*
 * engine/membership.c - what a member does in its group: it comes and goes, says
 * what it wants to read, gives up, makes a plan, and looks.
 */
#include "engine/coordinator.h"
#include "engine/members.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Coming and going ------------------------------------------------- */

int rill__coordinator_join(struct coordinator *c, struct membership *m, const char *text,
                           const rill_consumer_options *options, uint64_t wake_mask)
{
    char name[CLIENT_ID_SHOWN + 20];
    struct group_join join = {.name = name,
                              .instance = options->group_instance_id,
                              .session_timeout_ms = options->session_timeout_ms,
                              .max_poll_interval_ms = options->max_poll_interval_ms,
                              .assignor = options->assignor,
                              .assignors = options->assignors,
                              .own_assignor = options->own_assignor_name,
                              .subscription = {.text = text}};
    struct group_event event = {.kind = GROUP_JOIN, .join = &join};
    struct group_topic *topics = NULL;
    struct member_slot *slot = NULL;
    int rc = rill__members_open(c->store);

    if (rc == 0)
        rc = rill__subscription_topics(c->store, text, &topics, &join.subscription.topic_count);
    if (rc == 0) rc = rill__member_claim(c->store, options->client_id, &slot, &m->id);
    if (rc == 0) {
        join.subscription.topics = topics;
        event.member = m->id;
        snprintf(name, sizeof name, "%.*s-%016" PRIx64, CLIENT_ID_SHOWN, options->client_id,
                 m->id);
        atomic_store(&slot->wake_mask, wake_mask);
        m->seen = UINT32_MAX; /* its first look is due */
        m->version_seen = 0;
        rc = rill__coordinator_step_one(c, &event, rill__coordinator_timeout(c));
        if (rc == 0) atomic_store(&m->slot, slot);
        else rill__member_release(slot, m->id);
    }
    rill__subscription_free(&c->store->heap, topics, join.subscription.topic_count);
    return rc;
}

int rill__coordinator_leave(struct coordinator *c, struct membership *m, int timeout_ms)
{
    struct group_event event = {.kind = GROUP_LEAVE, .member = m->id};
    struct member_slot *slot = atomic_load(&m->slot);
    int rc;

    if (slot == NULL) return 0;
    rc = rill__coordinator_step_one(c, &event, timeout_ms);
    rill__member_release(slot, m->id);
    atomic_store(&m->slot, NULL);
    return rc;
}

int rill__coordinator_subscribe(struct coordinator *c, struct membership *m, const char *text)
{
    struct group_subscription subscription = {.text = text};
    struct group_event event = {
        .kind = GROUP_SUBSCRIBE, .member = m->id, .subscription = &subscription};
    struct group_topic *topics;
    int rc = rill__subscription_topics(c->store, text, &topics, &subscription.topic_count);

    if (rc != 0) return rc;
    subscription.topics = topics;
    rc = rill__coordinator_step_one(c, &event, rill__coordinator_timeout(c));
    rill__subscription_free(&c->store->heap, topics, subscription.topic_count);
    return rc;
}

int rill__coordinator_ready(struct coordinator *c, struct membership *m, uint32_t round)
{
    struct group_event event = {.kind = GROUP_READY, .member = m->id, .round = round};
    int rc = rill__coordinator_step_one(c, &event, rill__coordinator_timeout(c));

    /* Asked anew meanwhile, or out: the next news say so. */
    return rc == RILL_ERR_STATE || rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

/* ---- Topics that come and go ------------------------------------------ */

struct meanings {
    struct group_event *events;
    struct group_subscription *subscriptions;
    size_t count;
};

static void free_meanings(struct heap *heap, struct meanings *all)
{
    for (size_t i = 0; i < all->count; i++)
        rill__subscription_free(heap, all->subscriptions[i].topics,
                                all->subscriptions[i].topic_count);
    rill__free(heap, all->events);
    rill__free(heap, all->subscriptions);
}

/* What each subscription of the group means now. */
static int find_meanings(struct coordinator *c, struct meanings *all)
{
    struct heap *heap = &c->store->heap;
    size_t count = 0;
    int rc = 0;

    while (rill__group_subscription_at(c->group, count) != NULL) count++;
    all->events = rill__alloc(heap, count * sizeof *all->events);
    all->subscriptions = rill__alloc(heap, count * sizeof *all->subscriptions);
    if (all->events == NULL || all->subscriptions == NULL) rc = RILL_ERR_NO_MEMORY;
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct group_subscription *s = &all->subscriptions[i];
        struct group_topic *topics = NULL;

        s->text = rill__group_subscription_at(c->group, i);
        rc = rill__subscription_topics(c->store, s->text, &topics, &s->topic_count);
        s->topics = topics;
        all->events[i] = (struct group_event){.kind = GROUP_TOPICS, .subscription = s};
        all->count = i + 1;
    }
    return rc;
}

/* One member does it for all of the group. */
int rill__coordinator_topics(struct coordinator *c)
{
    uint64_t version = rill__catalogue_version(c->store);
    struct meanings all = {0};
    struct group *seen;
    int rc = 0;

    rill__mutex_lock(&c->lock);
    if (c->catalogue_seen != version) {
        rc = rill__coordinator_refresh(c);
        if (rc == 0) rc = find_meanings(c, &all);
        /* The texts are the group's, which the step may replace. */
        seen = c->group;
        c->group = NULL;
        if (rc == 0 && all.count > 0)
            rc = rill__coordinator_step(c, all.events, all.count, rill__coordinator_timeout(c));
        if (rc == 0) c->catalogue_seen = version;
        free_meanings(&c->store->heap, &all);
        rill__group_free(seen);
    }
    rill__mutex_unlock(&c->lock);
    return rc;
}

/* ---- News ------------------------------------------------------------- */

static int take_news(struct coordinator *c, const struct membership *m, const char *instance,
                     struct news *news)
{
    struct group_member member;

    news->version = rill__group_version(c->group);
    news->generation = rill__group_generation(c->group);
    if (!rill__group_member_find(c->group, m->id, &member)) {
        news->gone = true;
        news->fenced = instance != NULL && rill__group_has_instance(c->group, instance);
        return 0;
    }
    news->asked = member.asked;
    news->planning = member.planning;
    news->round = member.round;
    news->holdings = rill__alloc(&c->store->heap, member.owned * sizeof *news->holdings);
    if (news->holdings == NULL) return RILL_ERR_NO_MEMORY;
    news->holding_count = rill__group_holdings(c->group, m->id, news->holdings, member.owned);
    return 0;
}

int rill__coordinator_news(struct coordinator *c, const struct membership *m,
                           const char *instance, struct news *news)
{
    int rc;

    memset(news, 0, sizeof *news);
    rill__mutex_lock(&c->lock);
    rc = rill__coordinator_refresh(c);
    if (rc == 0) rc = take_news(c, m, instance, news);
    rill__mutex_unlock(&c->lock);
    return rc;
}

/* ---- The application's own assignor ----------------------------------- */

static int call_assignor(const struct group_plan_input *in, const rill_consumer_options *options,
                         struct heap *heap)
{
    rill_assignor_member *members = rill__alloc(heap, in->member_count * sizeof *members);
    rill_assignor_topic *topics = rill__alloc(heap, in->topic_count * sizeof *topics);
    uint8_t *wanted = rill__alloc(heap, in->member_count * in->topic_count);
    size_t at = 0;
    int rc = members == NULL || topics == NULL || wanted == NULL ? RILL_ERR_NO_MEMORY : 0;

    for (size_t t = 0; t < in->topic_count && rc == 0; t++) {
        topics[t].topic = in->topics[t].name;
        topics[t].partition_count = in->topics[t].partition_count;
        topics[t].owners = in->owners + at;
        at += in->topics[t].partition_count;
    }
    for (size_t i = 0; i < in->member_count && rc == 0; i++) {
        members[i].member_id = in->members[i].name;
        members[i].subscribed = wanted + i * in->topic_count;
        for (size_t t = 0; t < in->topic_count; t++)
            for (size_t j = 0; j < in->members[i].topic_count; j++)
                if (in->members[i].topics[j].topic == in->topics[t].topic)
                    wanted[i * in->topic_count + t] = 1;
    }
    if (rc == 0)
        rc = options->own_assignor(options->own_assignor_arg, members, in->member_count, topics,
                                   in->topic_count);
    rill__free(heap, members);
    rill__free(heap, topics);
    rill__free(heap, wanted);
    return rc;
}

int rill__coordinator_plan(struct coordinator *c, struct membership *m, uint32_t round,
                           const rill_consumer_options *options)
{
    struct group_event event = {.kind = GROUP_PLANNED, .member = m->id, .round = round};
    struct group_plan_input *in = NULL;
    struct group *copy; /* of our own: others may step while the application thinks */
    int rc = rill__group_copy(c->store, c->name, &copy);

    if (rc != 0) return rc;
    rc = rill__group_plan_input(copy, &in);
    if (rc == 0) rc = call_assignor(in, options, &c->store->heap);
    if (rc == 0) {
        event.owners = in->owners;
        event.owner_count = in->owner_count;
        rc = rill__coordinator_step_one(c, &event, rill__coordinator_timeout(c));
        /* The group has changed meanwhile: the next news ask again. */
        if (rc == RILL_ERR_STATE || rc == RILL_ERR_NOT_FOUND) rc = 0;
    }
    rill__free(&c->store->heap, in);
    rill__group_free(copy);
    return rc;
}
