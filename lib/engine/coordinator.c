/*
 * engine/coordinator.c - a group's pure machine, with its time, its storage and
 * its members around it.
 *
 *     step: write transaction { load -> out with the dead -> events -> keep }
 *           -> tell the members whom it concerns
 *
 * The group is in the catalogue. Whoever acts takes the catalogue's lock, runs
 * the machine and commits, in whichever process; one that dies in it leaves
 * everything as it was. Members look at the group when their slot says that
 * there is news, or when a look at the clock shows that it has another version
 * (who was to tell them died before he did).
 *
 * Every member's polls look at the clock; the first of a process in half a
 * second asks the kernel which processes of members have died.
 */
#include "engine/clients.h"
#include "engine/members.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GROUP_LOOK_MS 500

struct coordinator {
    struct coordinator *next; /* store->lock; never freed before the store closes */
    struct store *store;
    char name[RILL_TOPIC_NAME_MAX + 1];
    struct mutex lock;       /* guards all below */
    struct group *group;     /* as it was last seen; NULL: never */
    int64_t looked_ms;       /* monotonic: when its clock was last looked at */
    uint64_t catalogue_seen; /* its subscriptions mean what they should at this version */
};

static int64_t monotonic_ms(void)
{
    return rill__monotonic_ns() / 1000000;
}

int rill__coordinator_get(struct store *store, const char *name, struct coordinator **out)
{
    struct coordinator *c;
    int rc = rill__check_name("group", name);

    if (rc != 0) return rc;
    rill__mutex_lock(&store->lock);
    for (c = store->coordinators; c != NULL; c = c->next)
        if (strcmp(c->name, name) == 0) break;
    if (c == NULL) {
        c = rill__alloc(&store->heap, sizeof *c);
        if (c == NULL) {
            rc = RILL_ERR_NO_MEMORY;
        } else {
            rill__mutex_init(&c->lock);
            c->store = store;
            memcpy(c->name, name, strlen(name) + 1);
            c->next = store->coordinators;
            store->coordinators = c;
        }
    }
    rill__mutex_unlock(&store->lock);
    if (rc == 0) *out = c;
    return rc;
}

void rill__coordinators_close(struct store *store)
{
    while (store->coordinators != NULL) {
        struct coordinator *c = store->coordinators;
        store->coordinators = c->next;
        rill__group_free(c->group);
        rill__mutex_deinit(&c->lock);
        rill__free(&store->heap, c);
    }
}

/* ---- The group as it is kept ------------------------------------------ */

static void forget(struct coordinator *c)
{
    rill__group_free(c->group);
    c->group = NULL;
}

/* Makes c->group what the record says; record NULL: there is none. */
static int load(struct coordinator *c, const struct meta_group *record)
{
    int rc;

    if (record == NULL || record->state_size == 0) {
        int32_t generation = record == NULL ? 0 : record->generation;
        if (c->group != NULL && rill__group_member_count(c->group) == 0 &&
            rill__group_generation(c->group) == generation)
            return 0;
        forget(c);
        /* Another version than any that somebody may remember. */
        return rill__group_new(&c->store->heap, generation, (uint64_t)rill__monotonic_ns(),
                               &c->group);
    }
    if (c->group != NULL && rill__group_version(c->group) ==
                                rill__group_encoded_version(record->state, record->state_size))
        return 0;
    forget(c);
    rc = rill__group_decode(&c->store->heap, record->state, record->state_size, &c->group);
    return rc == 0 ? 0 : rill__fail_prefix(rc, "group %s", c->name);
}

static int load_record(void *arg, const struct meta_group *record)
{
    return load(arg, record);
}

/* Under c->lock. A group that is not there has no members. */
static int refresh(struct coordinator *c)
{
    int rc = rill__meta_group_look(c->store->meta, c->name, load_record, c);
    return rc == RILL_ERR_NOT_FOUND ? load(c, NULL) : rc;
}

struct copying {
    struct heap *heap;
    struct group *group;
};

static int copy_record(void *arg, const struct meta_group *record)
{
    struct copying *copying = arg;

    if (record->state_size == 0)
        return rill__group_new(copying->heap, record->generation, 1, &copying->group);
    return rill__group_decode(copying->heap, record->state, record->state_size, &copying->group);
}

int rill__group_copy(struct store *store, const char *name, struct group **copy)
{
    struct copying copying = {&store->heap, NULL};
    int rc = rill__meta_group_look(store->meta, name, copy_record, &copying);

    if (rc == 0) *copy = copying.group;
    return rc;
}

/* ---- Signs of life ---------------------------------------------------- */

/* What the kernel said about each process, asked once per look. */
struct signs {
    struct store *store;
    int64_t now_ms;
    struct {
        bool asked;
        bool gone;
        uint64_t ticket;
        int64_t heard_ms;
    } processes[PROCESSES_MAX];
};

static void look_at_member(void *arg, uint64_t member, struct group_sign *sign)
{
    struct signs *signs = arg;
    struct member_slot *slot = rill__member_slot(signs->store, member);
    uint32_t process = slot == NULL ? PROCESSES_MAX : atomic_load(&slot->process);
    uint64_t ticket;

    sign->dead = true;
    if (process >= PROCESSES_MAX) return;
    ticket = atomic_load(&slot->ticket);
    if (!signs->processes[process].asked || signs->processes[process].ticket != ticket) {
        signs->processes[process].asked = true;
        signs->processes[process].ticket = ticket;
        signs->processes[process].gone = rill__process_is_gone(signs->store, process, ticket);
        signs->processes[process].heard_ms =
            rill__process_heard_ms(signs->store, process, signs->now_ms);
    }
    sign->dead = signs->processes[process].gone;
    sign->heard_ms = signs->processes[process].heard_ms;
    sign->polled_ms = atomic_load(&slot->doing) == DOING_WAIT
                          ? sign->heard_ms
                          : atomic_load_explicit(&slot->polled_ms, memory_order_relaxed);
}

static void look_at_members(struct coordinator *c, int64_t now_ms)
{
    struct signs signs = {.store = c->store, .now_ms = now_ms};

    rill__group_signs(c->group, look_at_member, &signs);
}

/* ---- Steps ------------------------------------------------------------ */

struct stepping {
    struct coordinator *c;
    struct group_event *events;
    size_t event_count;
    uint64_t *told; /* members whom it concerns */
    size_t told_count;
    size_t expelled;
    uint8_t *state; /* what is to be kept */
    bool begun;
};

static int note_told(struct stepping *s, const struct group_action *actions, size_t count)
{
    void *grown =
        rill__resize(&s->c->store->heap, s->told, (s->told_count + count) * sizeof *s->told);

    if (grown == NULL) return RILL_ERR_NO_MEMORY;
    s->told = grown;
    for (size_t i = 0; i < count; i++) s->told[s->told_count++] = actions[i].member;
    return 0;
}

static int run_event(struct stepping *s, const struct group_event *event)
{
    const struct group_action *actions;
    size_t count;
    int rc = rill__group_step(s->c->group, event, &actions, &count);

    return rc == 0 && count > 0 ? note_told(s, actions, count) : rc;
}

/* Inside of the transaction; perhaps not for the first time. */
static int run_step(void *arg, const struct meta_group *record, struct meta_group_change *change)
{
    struct stepping *s = arg;
    struct coordinator *c = s->c;
    struct group_event tick = {.kind = GROUP_TICK, .now_ms = monotonic_ms()};
    uint64_t version;
    size_t members;
    int rc;

    if (s->begun) forget(c);
    s->begun = true;
    s->told_count = 0;
    s->expelled = 0;
    rc = load(c, record);
    if (rc != 0) return rc;
    version = rill__group_version(c->group);
    look_at_members(c, tick.now_ms);
    if (s->event_count > 0) tick.member = s->events[0].member;
    members = rill__group_member_count(c->group);
    rc = run_event(s, &tick);
    s->expelled = members - rill__group_member_count(c->group);
    for (size_t i = 0; i < s->event_count && rc == 0; i++) {
        s->events[i].now_ms = tick.now_ms;
        rc = run_event(s, &s->events[i]);
    }
    if (rc != 0 || rill__group_version(c->group) == version) return rc;
    rill__free(&c->store->heap, s->state);
    s->state = NULL;
    rc = rill__group_encode(c->group, 0, &s->state, &change->state_size);
    change->store = true;
    change->generation = rill__group_generation(c->group);
    change->state = s->state;
    return rc;
}

/* Under c->lock. Nothing has happened if it fails, but for RILL_ERR_IO and
 * RILL_ERR_POISONED, which leave it open. */
static int step(struct coordinator *c, struct group_event *events, size_t count, int timeout_ms)
{
    struct stepping s = {.c = c, .events = events, .event_count = count};
    int rc = rill__meta_group_step(c->store->meta, c->name, timeout_ms, run_step, &s);

    if (rc != 0) forget(c);
    if (rc == 0 && s.state != NULL) rill__count(&c->store->counters->group_steps, 1);
    if (rc == 0) rill__count(&c->store->counters->members_expelled, s.expelled);
    for (size_t i = 0; rc == 0 && i < s.told_count; i++) rill__member_tell(c->store, s.told[i]);
    rill__free(&c->store->heap, s.told);
    rill__free(&c->store->heap, s.state);
    return rc;
}

/* Another thread may be waiting for the catalogue with it. */
static int lock_within(struct coordinator *c, int timeout_ms)
{
    int64_t deadline = rill__deadline(timeout_ms);

    while (!rill__mutex_trylock(&c->lock)) {
        if (rill__monotonic_ns() >= deadline)
            return rill__fail(RILL_ERR_TIMEOUT,
                              "group %s: another thread has been changing it for %d ms", c->name,
                              timeout_ms);
        rill__sleep_ns(100000);
    }
    return 0;
}

static int step_one(struct coordinator *c, struct group_event *event, int timeout_ms)
{
    int rc = lock_within(c, timeout_ms);

    if (rc != 0) return rc;
    rc = step(c, event, 1, timeout_ms);
    rill__mutex_unlock(&c->lock);
    return rc;
}

static int default_timeout(const struct coordinator *c)
{
    return (int)c->store->options.open_timeout_ms;
}

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
        rc = step_one(c, &event, default_timeout(c));
        if (rc == 0) atomic_store(&m->slot, slot);
        else rill__member_release(slot, m->id);
    }
    rill__free(&c->store->heap, topics);
    return rc;
}

int rill__coordinator_leave(struct coordinator *c, struct membership *m, int timeout_ms)
{
    struct group_event event = {.kind = GROUP_LEAVE, .member = m->id};
    struct member_slot *slot = atomic_load(&m->slot);
    int rc;

    if (slot == NULL) return 0;
    rc = step_one(c, &event, timeout_ms);
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
    rc = step_one(c, &event, default_timeout(c));
    rill__free(&c->store->heap, topics);
    return rc;
}

int rill__coordinator_ready(struct coordinator *c, struct membership *m, uint32_t round)
{
    struct group_event event = {.kind = GROUP_READY, .member = m->id, .round = round};
    int rc = step_one(c, &event, default_timeout(c));

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
        rill__free(heap, (void *)(uintptr_t)all->subscriptions[i].topics);
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
        rc = refresh(c);
        if (rc == 0) rc = find_meanings(c, &all);
        /* The texts are the group's, which the step may replace. */
        seen = c->group;
        c->group = NULL;
        if (rc == 0 && all.count > 0) rc = step(c, all.events, all.count, default_timeout(c));
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
    rc = refresh(c);
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
        rc = step_one(c, &event, default_timeout(c));
        /* The group has changed meanwhile: the next news ask again. */
        if (rc == RILL_ERR_STATE || rc == RILL_ERR_NOT_FOUND) rc = 0;
    }
    rill__free(&c->store->heap, in);
    rill__group_free(copy);
    return rc;
}

/* ---- The clock -------------------------------------------------------- */

/* Under c->lock. */
static int look_at_clock(struct coordinator *c)
{
    int64_t now_ms = monotonic_ms();
    int rc;

    c->looked_ms = now_ms;
    rc = refresh(c);
    if (rc != 0 || rill__group_member_count(c->group) == 0) return rc;
    rc = rill__members_open(c->store);
    if (rc != 0) return rc;
    look_at_members(c, now_ms);
    return rill__group_is_due(c->group, now_ms) ? step(c, NULL, 0, GROUP_LOOK_MS) : 0;
}

uint64_t rill__coordinator_tick(struct coordinator *c, uint32_t *next_ms)
{
    uint64_t version = 0;
    int64_t left;

    if (!rill__mutex_trylock(&c->lock)) return 0; /* another thread is at it */
    left = c->looked_ms + GROUP_LOOK_MS - monotonic_ms();
    if (left <= 0) {
        struct saved_message why;
        rill__message_save(&why);
        look_at_clock(c); /* what fails is tried again at the next look */
        rill__message_restore(&why);
        left = GROUP_LOOK_MS;
    }
    if (c->group != NULL) {
        int64_t due = rill__group_next_tick_ms(c->group);
        version = rill__group_version(c->group);
        if (due != INT64_MAX && due - monotonic_ms() < left) left = due - monotonic_ms();
    }
    if (left < 1) left = 1;
    if (left < *next_ms) *next_ms = (uint32_t)left;
    rill__mutex_unlock(&c->lock);
    return version;
}

void rill__coordinators_tick(struct store *store, uint32_t *next_ms)
{
    struct coordinator *c;

    rill__mutex_lock(&store->lock);
    c = store->coordinators;
    rill__mutex_unlock(&store->lock);
    for (; c != NULL; c = c->next) rill__coordinator_tick(c, next_ms);
}

/* ---- Commits ---------------------------------------------------------- */

struct commit {
    struct coordinator *c;
    uint64_t member;
    const struct meta_offset *offsets;
    const int32_t *since;
    size_t count;
};

static int fence(const struct coordinator *c, const struct meta_offset *offset)
{
    return rill__fail(RILL_ERR_FENCED,
                      "group %s: partition %d is not this member's in generation %d; nothing was "
                      "committed",
                      c->name, (int)offset->partition, (int)rill__group_generation(c->group));
}

static int commit_step(void *arg, const struct meta_group *record,
                       struct meta_group_change *change)
{
    const struct commit *commit = arg;
    struct coordinator *c = commit->c;
    int rc = load(c, record);

    if (rc != 0) return rc;
    if (commit->member == 0 && rill__group_member_count(c->group) > 0)
        return rill__fail(RILL_ERR_FENCED,
                          "group %s has %zu members; only they may commit for it", c->name,
                          rill__group_member_count(c->group));
    for (size_t i = 0; commit->member != 0 && i < commit->count; i++) {
        uint64_t topic = rill__topic_number(commit->offsets[i].topic_id);
        if (!rill__group_owns(c->group, commit->member, topic, commit->offsets[i].partition,
                              commit->since[i]))
            return fence(c, &commit->offsets[i]);
    }
    change->offsets = commit->offsets;
    change->offset_count = commit->count;
    return 0;
}

int rill__coordinator_commit(struct coordinator *c, uint64_t member,
                             const struct meta_offset *offsets, const int32_t *since,
                             size_t count, int timeout_ms)
{
    struct commit commit = {c, member, offsets, since, count};
    int rc = lock_within(c, timeout_ms);

    if (rc != 0) return rc;
    if (member == 0) rc = look_at_clock(c); /* the dead are no members */
    if (rc == 0)
        rc = rill__meta_group_step(c->store->meta, c->name, timeout_ms, commit_step, &commit);
    rill__mutex_unlock(&c->lock);
    if (rc == 0) rill__count(&c->store->counters->commits, 1);
    return rc;
}

/* ---- From outside ----------------------------------------------------- */

struct acting {
    struct coordinator *c;
    coordinator_act act;
    void *arg;
};

static int run_act(void *arg, const struct meta_group *record, struct meta_group_change *change)
{
    const struct acting *a = arg;
    int rc = load(a->c, record);

    return rc == 0 ? a->act(a->arg, a->c->group, record, change) : rc;
}

static int run_dry_act(void *arg, const struct meta_group *record)
{
    struct meta_group_change change = {0};
    return run_act(arg, record, &change);
}

/* The coordinator is this call's own: who has no members here needs none that
 * looks at its clock from now on. */
int rill__coordinator_act(struct store *store, const char *name, bool dry, int timeout_ms,
                          coordinator_act act, void *arg)
{
    struct coordinator c = {.store = store};
    struct acting a = {&c, act, arg};
    int rc = rill__check_name("group", name);

    if (rc != 0) return rc;
    memcpy(c.name, name, strlen(name) + 1);
    rc = look_at_clock(&c);
    if (rc == 0 && dry) {
        rc = rill__meta_group_look(store->meta, name, run_dry_act, &a);
        if (rc == RILL_ERR_NOT_FOUND) rc = run_dry_act(&a, NULL);
    } else if (rc == 0) {
        rc = rill__meta_group_step(store->meta, name, timeout_ms, run_act, &a);
    }
    forget(&c);
    return rc;
}

/* ---- Administration --------------------------------------------------- */

/* As above, with coordinators of their own. */

int rill__group_describe(struct store *store, const char *name, rill_group_info *info)
{
    static const enum rill_group_state states[] = {
        [GROUP_EMPTY] = RILL_GROUP_EMPTY,
        [GROUP_PLANNING] = RILL_GROUP_PLANNING,
        [GROUP_MOVING] = RILL_GROUP_MOVING,
        [GROUP_STABLE] = RILL_GROUP_STABLE,
    };
    struct coordinator c = {.store = store};
    int32_t generation;
    int rc = rill__check_name("group", name);

    if (rc == 0) rc = rill__meta_group_get(store->meta, name, &generation);
    if (rc != 0) return rc;
    memcpy(c.name, name, strlen(name) + 1);
    rc = look_at_clock(&c);
    if (rc == 0) {
        memset(info, 0, sizeof *info);
        memcpy(info->name, name, strlen(name) + 1);
        info->generation = rill__group_generation(c.group);
        info->member_count = (uint32_t)rill__group_member_count(c.group);
        info->state = states[rill__group_state(c.group)];
        info->assignor = rill__group_assignor(c.group);
    }
    forget(&c);
    return rc;
}

int rill__group_list(struct store *store, int (*visit)(void *arg, const rill_group_info *info),
                     void *arg)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    rill_group_info info;
    int32_t generation;
    int rc;

    while ((rc = rill__meta_group_after(store->meta, name, name, sizeof name, &generation)) ==
           0) {
        rc = rill__group_describe(store, name, &info);
        if (rc == RILL_ERR_NOT_FOUND) continue; /* deleted meanwhile */
        if (rc == 0) rc = visit(arg, &info);
        if (rc != 0) return rc;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

/* Inside of the transaction that deletes it. */
static int refuse_members(void *arg, const struct meta_group *record)
{
    struct coordinator *c = arg;
    int rc = load(c, record);

    if (rc != 0 || rill__group_member_count(c->group) == 0) return rc;
    return rill__fail(RILL_ERR_STATE, "group %s has %zu members", c->name,
                      rill__group_member_count(c->group));
}

int rill__group_delete(struct store *store, const char *name)
{
    struct coordinator c = {.store = store};
    int32_t generation;
    int rc = rill__check_name("group", name);

    if (rc == 0) rc = rill__meta_group_get(store->meta, name, &generation);
    if (rc != 0) return rc;
    memcpy(c.name, name, strlen(name) + 1);
    rc = look_at_clock(&c); /* the dead are no members */
    if (rc == 0) rc = rill__meta_group_delete(store->meta, name, refuse_members, &c);
    forget(&c);
    return rc;
}
