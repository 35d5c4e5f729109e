/*
 * engine/explain.c - why something moves, or does not: facts from the catalogue
 * and from the words that all processes share.
 *
 * Nothing here waits for a lock that a hanging process could hold, but for the
 * reading of the catalogue, which waits for nobody: so it works while others
 * hang. What is told is copied first; the application's visit runs without locks.
 */
#include "engine/consumer.h"
#include "engine/members.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOCK_LONG_MS 100 /* a lock that is held longer is worth a warning */

struct teller {
    struct store *store;
    int (*visit)(void *arg, const rill_fact *fact);
    void *arg;
    int64_t now_ms;
    const char *group; /* that the facts are about, or NULL */
    int stop;          /* what visit returned */
};

static rill_fact fact_of(enum rill_fact_kind kind, int severity)
{
    return (rill_fact){.kind = (int32_t)kind,
                       .severity = severity,
                       .partition = -1,
                       .pid = -1,
                       .for_ms = -1,
                       .offset = RILL_OFFSET_NONE,
                       .lag = -1};
}

static void tell(struct teller *t, rill_fact *fact, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(struct teller *t, rill_fact *fact, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    if (t->stop != 0) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fact->text = text;
    if (fact->group == NULL) fact->group = t->group;
    t->stop = t->visit(t->arg, fact);
}

/* ---- Locks ------------------------------------------------------------ */

static void tell_lock(struct teller *t, const char *what, const char *topic, int32_t partition,
                      int32_t pid, int64_t since_ms)
{
    int64_t held = t->now_ms - since_ms;
    rill_fact fact = fact_of(RILL_FACT_LOCK, RILL_LOG_INFO);

    if (pid == 0) return;
    if (held >= LOCK_LONG_MS) fact.severity = RILL_LOG_ERROR;
    fact.topic = topic;
    fact.partition = partition;
    fact.pid = pid;
    fact.for_ms = held < 0 ? 0 : held;
    tell(t, &fact, "process %d holds %s since %" PRId64 " ms", (int)pid, what, fact.for_ms);
}

static void tell_catalogue(struct teller *t)
{
    const struct meta_turns *turns = &t->store->shared->catalogue_turns;

    tell_lock(t, "the lock of the catalogue, which commits and rebalances wait for", NULL, -1,
              atomic_load(&turns->owner), atomic_load(&turns->since_ms));
}

/* ---- Members ---------------------------------------------------------- */

static const char *const doings[] = {
    [DOING_NOTHING] = "the application has its thread",
    [DOING_POLL] = "it is in a poll",
    [DOING_WAIT] = "it waits in a poll",
    [DOING_REVOKED] = "it is in the application's callback for revoked partitions",
    [DOING_ASSIGNED] = "it is in the application's callback for assigned partitions",
    [DOING_LOST] = "it is in the application's callback for lost partitions",
    [DOING_PLAN] = "it is in the application's assignor",
};

static const char *doing_of(const struct member_slot *slot)
{
    uint32_t doing = atomic_load_explicit(&slot->doing, memory_order_relaxed);
    return doing < sizeof doings / sizeof doings[0] ? doings[doing] : "it does something unknown";
}

/* ", ... and is asked to give up partitions since 12 ms" */
static void describe_task(const struct group_member *m, int64_t now_ms, char *text, size_t size)
{
    text[0] = '\0';
    if (!m->asked) return;
    snprintf(text, size,
             "; it is asked to %s since %" PRId64 " ms, and is expelled in %" PRId64 " ms if it "
             "does not",
             m->planning ? "plan the assignment" : "give up partitions", now_ms - m->asked_ms,
             m->asked_ms + m->max_poll_interval_ms - now_ms);
}

static void tell_absent(struct teller *t, const struct group_member *m, rill_fact *fact)
{
    if (m->away) {
        fact->severity = RILL_LOG_WARNING;
        fact->for_ms = t->now_ms - m->heard_ms;
        tell(t, fact,
             "member %s (instance %s) is away since %" PRId64
             " ms; its %zu partitions wait for it "
             "%" PRId64 " ms more",
             m->name, m->instance, fact->for_ms, m->owned,
             m->heard_ms + m->session_timeout_ms - t->now_ms);
        return;
    }
    fact->severity = RILL_LOG_ERROR;
    tell(t, fact,
         "member %s is gone, its process has ended; the next look at the group gives its %zu "
         "partitions to others",
         m->name, m->owned);
}

static void tell_member(struct teller *t, const struct group_member *m)
{
    rill_fact fact = fact_of(RILL_FACT_MEMBER, RILL_LOG_INFO);
    struct member_slot *slot = rill__member_slot(t->store, m->id);
    char task[200];
    int64_t polled;
    int64_t doing;
    bool stopped = false;

    fact.member_id = m->name;
    if (m->away || slot == NULL || rill__member_is_gone(t->store, slot)) {
        tell_absent(t, m, &fact);
        return;
    }
    fact.pid = rill__process_in_slot(t->store, atomic_load(&slot->process), &stopped);
    polled = t->now_ms - atomic_load_explicit(&slot->polled_ms, memory_order_relaxed);
    doing = t->now_ms - atomic_load_explicit(&slot->doing_ms, memory_order_relaxed);
    describe_task(m, t->now_ms, task, sizeof task);
    if (m->asked || polled > m->max_poll_interval_ms / 2) fact.severity = RILL_LOG_WARNING;
    if (stopped) fact.severity = RILL_LOG_ERROR;
    fact.for_ms = doing;
    tell(t, &fact,
         "member %s (process %d%s) has %zu partitions; it polled last %" PRId64
         " ms ago; %s since %" PRId64 " ms%s",
         m->name, (int)fact.pid, stopped ? ", which is stopped" : "", m->owned, polled,
         doing_of(slot), doing, task);
}

/* ---- Groups ----------------------------------------------------------- */

struct owner_walk {
    struct teller *t;
    struct group *group;
    const char *name;
    const char *topic; /* only this one's; NULL: all */
    int32_t partition;
};

static const char *name_of(const struct group *group, uint64_t id, const char *nobody)
{
    struct group_member m;
    return rill__group_member_find(group, id, &m) ? m.name : nobody;
}

static void measure_in(struct teller *t, const char *group, struct topic *topic,
                       const struct group_place *place, rill_fact *fact)
{
    struct meta_offset committed;
    struct log *log;
    int64_t from;

    if (rill__partition_log(topic, place->partition, 1000, &log) != 0) return;
    if (rill__meta_offset_get(t->store->meta, group, topic->info.id, place->partition, &committed,
                              NULL, 0) == 0)
        fact->offset = committed.offset;
    from = rill__log_start(log);
    if (fact->offset > from) from = fact->offset;
    fact->lag = rill__log_end(log) - from;
    rill__partition_release(topic, place->partition);
}

/* What the group has not yet committed of the partition. */
static void measure_lag(struct teller *t, const char *group, const struct group_place *place,
                        rill_fact *fact)
{
    struct topic *topic;

    if (rill__topic_find(t->store, place->name, &topic) != 0) return;
    if (topic->number == place->topic) measure_in(t, group, topic, place, fact);
    rill__topic_release(topic);
}

static int tell_owner(void *arg, const struct group_place *place)
{
    const struct owner_walk *walk = arg;
    rill_fact fact = fact_of(RILL_FACT_OWNER, RILL_LOG_INFO);
    const char *owner = name_of(walk->group, place->owner, "nobody");
    const char *target = name_of(walk->group, place->target, "nobody");
    char lag[80] = "";

    if (walk->topic != NULL &&
        (strcmp(walk->topic, place->name) != 0 || walk->partition != place->partition))
        return 0;
    fact.group = walk->name;
    fact.topic = place->name;
    fact.partition = place->partition;
    fact.member_id = place->owner == 0 ? NULL : owner;
    measure_lag(walk->t, walk->name, place, &fact);
    if (fact.lag >= 0)
        snprintf(lag, sizeof lag, "; %" PRId64 " records are not committed", fact.lag);
    if (place->owner == 0 || place->leaving) fact.severity = RILL_LOG_WARNING;
    if (place->leaving)
        tell(walk->t, &fact, "%s-%d waits for %s to give it up; then it goes to %s%s",
             place->name, (int)place->partition, owner, target, lag);
    else
        tell(walk->t, &fact, "%s-%d is read by %s%s", place->name, (int)place->partition, owner,
             lag);
    return walk->t->stop;
}

static const char *const group_states[] = {
    [GROUP_EMPTY] = "it has no members",
    [GROUP_PLANNING] = "a member plans the assignment",
    [GROUP_MOVING] = "partitions are on their way to other members",
    [GROUP_STABLE] = "every partition is where it should be",
};

static int explain_group(struct teller *t, const char *name)
{
    struct owner_walk walk = {.t = t, .name = name};
    struct group_member member;
    rill_fact fact = fact_of(RILL_FACT_GROUP, RILL_LOG_INFO);
    enum group_state state;
    int rc = rill__check_name("group", name);

    if (rc == 0) rc = rill__members_open(t->store);
    if (rc == 0) rc = rill__group_copy(t->store, name, &walk.group);
    if (rc != 0) return rc;
    t->group = name;
    state = rill__group_state(walk.group);
    if (state != GROUP_STABLE) fact.severity = RILL_LOG_WARNING;
    tell(t, &fact, "group %s: generation %d, %zu members; %s", name,
         (int)rill__group_generation(walk.group), rill__group_member_count(walk.group),
         group_states[state]);
    tell_catalogue(t);
    for (size_t i = 0; t->stop == 0 && rill__group_member_at(walk.group, i, &member); i++)
        tell_member(t, &member);
    if (t->stop == 0) rill__group_places(walk.group, tell_owner, &walk);
    t->group = NULL;
    rill__group_free(walk.group);
    return 0;
}

/* ---- Partitions ------------------------------------------------------- */

static void tell_pins(struct teller *t, struct topic *topic, int32_t partition, struct log *log)
{
    for (uint32_t i = 0; i < PROCESSES_MAX && t->stop == 0; i++) {
        rill_fact fact = fact_of(RILL_FACT_PIN, RILL_LOG_INFO);
        int64_t base = rill__log_pinned_by(log, i);
        bool stopped;

        if (base < 0) continue;
        fact.pid = rill__process_in_slot(t->store, i, &stopped);
        if (fact.pid == 0) continue;
        fact.topic = topic->info.name;
        fact.partition = partition;
        fact.offset = base;
        tell(t, &fact, "process %d%s reads or writes segment %" PRId64 " of %s-%d, or later ones",
             (int)fact.pid, stopped ? ", which is stopped," : "", base, topic->info.name,
             (int)partition);
    }
}

static void tell_log(struct teller *t, struct topic *topic, int32_t partition, struct log *log)
{
    rill_fact fact = fact_of(RILL_FACT_LOG, RILL_LOG_INFO);
    const char *name = topic->info.name;
    struct log_view v;

    rill__log_look(log, &v);
    fact.topic = name;
    fact.partition = partition;
    fact.offset = v.end;
    if (v.poison != 0) {
        fact.severity = RILL_LOG_ERROR;
        tell(
            t, &fact,
            "%s-%d is poisoned: a sync failed (%s); nothing is appended before every process has "
            "closed the store",
            name, (int)partition, rill__error_text(-(int)v.poison));
    } else if (v.deleted) {
        fact.severity = RILL_LOG_ERROR;
        tell(t, &fact, "%s-%d is deleted", name, (int)partition);
    } else {
        tell(t, &fact,
             "%s-%d has offsets %" PRId64 " to %" PRId64 ", durable up to %" PRId64 "; %" PRIu32
             " wake slots wait for more",
             name, (int)partition, v.start, v.end, v.durable, v.sleepers);
    }
    tell_lock(t, "the append lock, which producers wait for", name, partition, v.append_owner,
              v.append_since_ms);
    tell_lock(t, "the sync lock, which durable appends wait for", name, partition, v.sync_owner,
              v.sync_since_ms);
}

/* Every group of which a member has it. */
static int tell_readers(struct teller *t, const char *topic, int32_t partition)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    struct owner_walk walk = {.t = t, .name = name, .topic = topic, .partition = partition};
    int32_t generation;
    int rc;

    while (t->stop == 0 && (rc = rill__meta_group_after(t->store->meta, name, name, sizeof name,
                                                        &generation)) == 0) {
        rc = rill__group_copy(t->store, name, &walk.group);
        if (rc == RILL_ERR_NOT_FOUND) continue; /* deleted meanwhile */
        if (rc != 0) return rc;
        rill__group_places(walk.group, tell_owner, &walk);
        rill__group_free(walk.group);
    }
    return t->stop != 0 || rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

static int explain_partition(struct teller *t, const char *name, int32_t partition)
{
    struct topic *topic;
    struct log *log;
    int rc = rill__topic_find(t->store, name, &topic);

    if (rc != 0) return rc;
    rc = rill__partition_log(topic, partition, 1000, &log);
    if (rc == 0) {
        tell_log(t, topic, partition, log);
        tell_catalogue(t);
        tell_pins(t, topic, partition, log);
        rill__partition_release(topic, partition);
        if (t->stop == 0) rc = tell_readers(t, name, partition);
    }
    rill__topic_release(topic);
    return rc;
}

/* ---- Consumers -------------------------------------------------------- */

struct part_view {
    const char *topic;
    int32_t partition;
    int64_t position;
    int64_t end;
    bool paused;
    bool failed;
    bool unresolved;
};

static int copy_parts(struct rill_consumer *c, struct part_view **out, size_t *count)
{
    struct part_view *parts;

    rill__mutex_lock(&c->parts_lock);
    *count = c->part_count;
    parts = rill__alloc(&c->store->heap, c->part_count * sizeof *parts);
    for (size_t i = 0; parts != NULL && i < c->part_count; i++) {
        const struct assigned *part = c->parts[i];
        parts[i] = (struct part_view){.topic = part->topic->info.name,
                                      .partition = part->partition,
                                      .position = rill__assigned_position(part),
                                      .end = rill__assigned_end(c, part),
                                      .paused = part->paused,
                                      .failed = part->failed,
                                      .unresolved = part->unresolved};
    }
    rill__mutex_unlock(&c->parts_lock);
    *out = parts;
    return parts == NULL ? RILL_ERR_NO_MEMORY : 0;
}

static void tell_part(struct teller *t, const struct part_view *p)
{
    rill_fact fact = fact_of(RILL_FACT_WAIT, RILL_LOG_INFO);
    const char *why = p->end > p->position ? "there is something to read"
                                           : "it is at the end, and waits for an append";

    fact.topic = p->topic;
    fact.partition = p->partition;
    fact.offset = p->position;
    fact.lag = p->end - p->position;
    if (p->unresolved) {
        fact.offset = RILL_OFFSET_NONE;
        fact.lag = -1;
        why = "the reset policy leaves open where to begin";
        fact.severity = RILL_LOG_ERROR;
    } else if (p->failed) {
        why = "its last read failed";
        fact.severity = RILL_LOG_ERROR;
    } else if (p->paused) {
        why = "it is paused";
        fact.severity = RILL_LOG_WARNING;
    }
    tell(t, &fact, "%s-%d: position %" PRId64 " of %" PRId64 "; %s", p->topic, (int)p->partition,
         p->position, p->end, why);
}

static int explain_consumer(struct teller *t, struct rill_consumer *c)
{
    rill_fact fact = fact_of(RILL_FACT_WAIT, RILL_LOG_INFO);
    struct member_slot *slot = atomic_load(&c->membership.slot);
    struct part_view *parts;
    size_t count;
    int rc;

    if (c->store != t->store)
        return rill__fail(RILL_ERR_INVALID, "the consumer is of another store");
    rc = copy_parts(c, &parts, &count);
    if (rc != 0) return rc;
    fact.pid = rill__process_id();
    if (count == 0) fact.severity = RILL_LOG_WARNING;
    if (slot != NULL) {
        fact.for_ms = t->now_ms - atomic_load_explicit(&slot->doing_ms, memory_order_relaxed);
        tell(t, &fact,
             "consumer %s, a member of group %s: %s since %" PRId64
             " ms; it reads %zu partitions",
             c->client_id, c->group, doing_of(slot), fact.for_ms, count);
    } else {
        tell(t, &fact, "consumer %s, no member of a group: %s; it reads %zu partitions",
             c->client_id,
             atomic_load(&c->busy) ? "a call on it is running" : "the application has its thread",
             count);
    }
    for (size_t i = 0; i < count && t->stop == 0; i++) tell_part(t, &parts[i]);
    rill__free(&c->store->heap, parts);
    if (slot == NULL || t->stop != 0) return 0;
    return explain_group(t, c->group);
}

/* ---- All of it -------------------------------------------------------- */

int rill__explain(struct store *store, const rill_subject *subject,
                  int (*visit)(void *arg, const rill_fact *fact), void *arg)
{
    struct teller t = {
        .store = store, .visit = visit, .arg = arg, .now_ms = rill__monotonic_ns() / 1000000};
    int named = (subject->group != NULL) + (subject->topic != NULL) + (subject->consumer != NULL);
    int rc;

    if (named != 1)
        return rill__fail(RILL_ERR_INVALID,
                          "a subject names a group, a topic or a consumer; this one names %d of "
                          "them",
                          named);
    if (subject->group != NULL) rc = explain_group(&t, subject->group);
    else if (subject->topic != NULL)
        rc = explain_partition(&t, subject->topic, subject->partition);
    else rc = explain_consumer(&t, subject->consumer);
    return rc != 0 ? rc : t.stop;
}
