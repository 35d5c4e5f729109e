/*
 * engine/coordinator.c - a group's pure machine, with its time, storage and
 * members around it.
 *
 * The group lives in one process at a time: the one that holds the file lock on
 * the group's byte, which the kernel frees when that process dies. What
 * survives is in the catalogue: the generation and the committed offsets.
 *
 * A step's actions are left with the members they are for, who find them at
 * their next poll; who sleeps is woken.
 */
#include "engine/clients.h"
#include "base/checksum.h"
#include <inttypes.h>
#include <string.h>

#define GROUP_BYTES UINT64_C(4096) /* file locks of groups start here */

struct coordinator {
    struct coordinator *next; /* store->lock; never freed before the store closes */
    struct store *store;
    char name[RILL_TOPIC_NAME_MAX + 1];
    struct mutex lock;   /* guards all below */
    struct group *group; /* NULL until the first member */
    struct membership *members;
    bool owned; /* this process holds the group's lock */
};

static int64_t monotonic_ms(void)
{
    return rill__monotonic_ns() / 1000000;
}

static uint64_t lock_byte(const struct coordinator *c)
{
    return GROUP_BYTES + (rill__checksum(c->name, strlen(c->name)) >> 16);
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

/* ---- Owning the group ------------------------------------------------- */

static int own_group(struct coordinator *c)
{
    int32_t generation = 0;
    int rc;

    if (c->owned) return 0;
    rc = rill__file_lock(&c->store->shared_file, lock_byte(c), FILE_LOCK_EXCLUSIVE, 0);
    if (rc == RILL_ERR_BUSY)
        return rill__fail(rc,
                          "group %s has members in another process; a group lives in one process "
                          "at a time",
                          c->name);
    if (rc != 0) return rc;
    rc = rill__meta_group_get(c->store->meta, c->name, &generation);
    if (rc == RILL_ERR_NOT_FOUND) rc = rill__meta_group_put(c->store->meta, c->name, 0);
    if (rc == 0) rc = rill__group_new(&c->store->heap, generation, &c->group);
    if (rc != 0) {
        rill__file_lock(&c->store->shared_file, lock_byte(c), FILE_LOCK_NONE, 0);
        return rc;
    }
    c->owned = true;
    return 0;
}

static void disown_group(struct coordinator *c)
{
    if (!c->owned || c->members != NULL) return;
    rill__group_free(c->group);
    c->group = NULL;
    c->owned = false;
    rill__file_lock(&c->store->shared_file, lock_byte(c), FILE_LOCK_NONE, 0);
}

/* ---- Steps ------------------------------------------------------------ */

static void tell(struct coordinator *c, const struct group_action *action)
{
    struct membership *m = c->members;

    while (m != NULL && m->id != action->member) m = m->next;
    if (m == NULL) return;
    if (action->kind == GROUP_REVOKE) {
        m->revoke = true;
        m->assigned = false;
    } else if (action->kind == GROUP_EXPEL) {
        m->expelled = true;
        m->assigned = false;
    } else {
        size_t size = action->partition_count * sizeof *m->partitions;
        struct group_partition *copy = rill__alloc(&c->store->heap, size);
        if (copy == NULL) { /* it joins anew and asks again */
            m->expelled = true;
        } else {
            if (size != 0) memcpy(copy, action->partitions, size);
            rill__free(&c->store->heap, m->partitions);
            m->partitions = copy;
            m->partition_count = action->partition_count;
            m->generation = action->generation;
            m->assigned = true;
        }
    }
    atomic_store(&m->pending, true);
    atomic_fetch_add(m->wake, 1);
    rill__futex_wake_all(m->wake);
    rill__bridge_kick(c->store);
}

static int step(struct coordinator *c, struct group_event *event)
{
    const struct group_action *actions;
    size_t count;
    int32_t before = rill__group_generation(c->group);
    int rc;

    event->now_ms = monotonic_ms();
    rc = rill__group_step(c->group, event, &actions, &count);
    if (rc != 0) return rc;
    /* Stored before anybody acts on it, so that no generation comes twice. */
    if (rill__group_generation(c->group) != before)
        rc = rill__meta_group_put(c->store->meta, c->name, rill__group_generation(c->group));
    for (size_t i = 0; i < count; i++) tell(c, &actions[i]);
    return rc;
}

/* The group may have it as a member, and have told it its partitions. */
static void take_back_join(struct coordinator *c, struct membership *m)
{
    struct group_event event = {.kind = GROUP_LEAVE, .member = m->id};
    struct saved_message why;

    rill__message_save(&why);
    c->members = m->next; /* it came first */
    step(c, &event);
    rill__free(&c->store->heap, m->partitions);
    m->partitions = NULL;
    m->partition_count = 0;
    atomic_store(&m->pending, false);
    rill__message_restore(&why);
}

int rill__coordinator_join(struct coordinator *c, struct membership *m,
                           const struct group_topic *topics, size_t topic_count,
                           const rill_consumer_options *options)
{
    struct group_event event = {.kind = GROUP_JOIN,
                                .topics = topics,
                                .topic_count = topic_count,
                                /* in one process a poll is the heartbeat */
                                .session_timeout_ms = options->max_poll_interval_ms,
                                .rebalance_timeout_ms = options->max_poll_interval_ms,
                                .assignor = options->assignor};
    int rc;

    rill__mutex_lock(&c->lock);
    rc = own_group(c);
    if (rc == 0) rc = rill__random(&m->id, sizeof m->id);
    if (rc == 0) {
        event.member = m->id;
        m->revoke = m->expelled = m->assigned = false;
        atomic_store(&m->polled_ms, monotonic_ms());
        m->next = c->members;
        c->members = m;
        rc = step(c, &event);
        if (rc != 0) take_back_join(c, m);
    }
    if (rc != 0) disown_group(c);
    rill__mutex_unlock(&c->lock);
    return rc;
}

int rill__coordinator_topics(struct coordinator *c, struct membership *m,
                             const struct group_topic *topics, size_t topic_count)
{
    struct group_event event = {
        .kind = GROUP_TOPICS, .member = m->id, .topics = topics, .topic_count = topic_count};
    int rc;

    rill__mutex_lock(&c->lock);
    rc = step(c, &event);
    rill__mutex_unlock(&c->lock);
    return rc;
}

int rill__coordinator_ready(struct coordinator *c, struct membership *m)
{
    struct group_event event = {.kind = GROUP_READY, .member = m->id};
    int rc;

    rill__mutex_lock(&c->lock);
    rc = step(c, &event);
    rill__mutex_unlock(&c->lock);
    return rc;
}

void rill__coordinator_leave(struct coordinator *c, struct membership *m)
{
    struct group_event event = {.kind = GROUP_LEAVE, .member = m->id};
    struct membership **at;

    rill__mutex_lock(&c->lock);
    for (at = &c->members; *at != m; at = &(*at)->next) {}
    *at = m->next;
    step(c, &event);
    rill__free(&c->store->heap, m->partitions);
    m->partitions = NULL;
    m->partition_count = 0;
    atomic_store(&m->pending, false);
    disown_group(c);
    rill__mutex_unlock(&c->lock);
}

void rill__coordinator_tick(struct coordinator *c, uint32_t *next_ms)
{
    struct group_event event = {.kind = GROUP_TICK};
    int64_t left;

    rill__mutex_lock(&c->lock);
    if (c->group != NULL) {
        for (struct membership *m = c->members; m != NULL; m = m->next) {
            struct group_event beat = {.kind = GROUP_HEARTBEAT, .member = m->id};
            const struct group_action *actions;
            size_t count;
            if (m->expelled) continue;
            beat.now_ms = atomic_load(&m->in_poll) ? monotonic_ms() : atomic_load(&m->polled_ms);
            rill__group_step(c->group, &beat, &actions, &count);
        }
        step(c, &event);
        left = rill__group_next_tick_ms(c->group);
        if (left != INT64_MAX) {
            left -= monotonic_ms();
            if (left < 1) left = 1;
            if (left < *next_ms) *next_ms = (uint32_t)left;
        }
    }
    rill__mutex_unlock(&c->lock);
}

void rill__coordinators_tick(struct store *store, uint32_t *next_ms)
{
    struct coordinator *c;

    rill__mutex_lock(&store->lock);
    c = store->coordinators;
    rill__mutex_unlock(&store->lock);
    for (; c != NULL; c = c->next) rill__coordinator_tick(c, next_ms);
}

void rill__coordinator_news(struct coordinator *c, struct membership *m, struct news *news)
{
    rill__mutex_lock(&c->lock);
    atomic_store(&m->pending, false);
    news->revoke = m->revoke;
    news->expelled = m->expelled;
    news->assigned = m->assigned;
    news->partitions = m->partitions;
    news->partition_count = m->partition_count;
    m->revoke = m->expelled = m->assigned = false;
    m->partitions = NULL;
    m->partition_count = 0;
    rill__mutex_unlock(&c->lock);
}

int rill__coordinator_commit(struct coordinator *c, struct membership *m,
                             const struct meta_offset *offsets, size_t count)
{
    int rc = 0;

    rill__mutex_lock(&c->lock);
    for (size_t i = 0; m != NULL && i < count && rc == 0; i++) {
        uint64_t topic;
        memcpy(&topic, offsets[i].topic_id, sizeof topic);
        if (!rill__group_owns(c->group, m->id, topic, offsets[i].partition))
            rc = rill__fail(RILL_ERR_FENCED,
                            "group %s: partition %d is not this member's in generation %d; "
                            "nothing was committed",
                            c->name, (int)offsets[i].partition,
                            (int)rill__group_generation(c->group));
    }
    if (rc == 0) rc = rill__meta_offsets_commit(c->store->meta, c->name, offsets, count);
    if (rc == 0) atomic_fetch_add_explicit(&c->store->commits, 1, memory_order_relaxed);
    rill__mutex_unlock(&c->lock);
    return rc;
}

/* ---- Administration --------------------------------------------------- */

int rill__group_describe(struct store *store, const char *name, rill_group_info *info)
{
    struct coordinator *c = NULL;
    int32_t generation = 0;
    size_t members = 0;
    int rc = rill__check_name("group", name);

    if (rc == 0) rc = rill__meta_group_get(store->meta, name, &generation);
    if (rc == 0) rc = rill__coordinator_get(store, name, &c);
    if (rc != 0) return rc;
    rill__mutex_lock(&c->lock);
    if (c->group != NULL) {
        members = rill__group_member_count(c->group);
        generation = rill__group_generation(c->group);
    }
    rill__mutex_unlock(&c->lock);
    memset(info, 0, sizeof *info);
    memcpy(info->name, name, strlen(name) + 1);
    info->generation = generation;
    info->member_count = (uint32_t)members;
    return 0;
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

int rill__group_delete(struct store *store, const char *name)
{
    struct coordinator *c = NULL;
    int32_t generation;
    int rc = rill__check_name("group", name);

    if (rc == 0) rc = rill__meta_group_get(store->meta, name, &generation);
    if (rc == 0) rc = rill__coordinator_get(store, name, &c);

    if (rc != 0) return rc;
    rill__mutex_lock(&c->lock);
    if (c->group != NULL && rill__group_member_count(c->group) > 0) {
        rc = rill__fail(RILL_ERR_STATE, "group %s has %zu members", name,
                        rill__group_member_count(c->group));
    } else {
        /* Owning it shuts out members in other processes. */
        rc = own_group(c);
        if (rc == 0) rc = rill__meta_group_delete(store->meta, name);
        disown_group(c);
    }
    rill__mutex_unlock(&c->lock);
    return rc;
}
