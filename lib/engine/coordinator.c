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
 * Every member's polls look at the clock; the first of a process in a quarter of a
 * second asks the kernel which processes of members have died.
 */
#include "base/probe.h"
#include "engine/coordinator.h"
#include "engine/members.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GROUP_LOOK_MS 250

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

void rill__coordinator_forget(struct coordinator *c)
{
    rill__group_free(c->group);
    c->group = NULL;
}

int rill__coordinator_load(struct coordinator *c, const struct meta_group *record)
{
    int rc;

    if (record == NULL || record->state_size == 0) {
        int32_t generation = record == NULL ? 0 : record->generation;
        if (c->group != NULL && rill__group_member_count(c->group) == 0 &&
            rill__group_generation(c->group) == generation)
            return 0;
        rill__coordinator_forget(c);
        /* Another version than any that somebody may remember. */
        return rill__group_new(&c->store->heap, generation, (uint64_t)rill__monotonic_ns(),
                               &c->group);
    }
    if (c->group != NULL && rill__group_version(c->group) ==
                                rill__group_encoded_version(record->state, record->state_size))
        return 0;
    rill__coordinator_forget(c);
    rc = rill__group_decode(&c->store->heap, record->state, record->state_size, &c->group);
    return rc == 0 ? 0 : rill__fail_prefix(rc, "group %s", c->name);
}

static int load_record(void *arg, const struct meta_group *record)
{
    return rill__coordinator_load(arg, record);
}

int rill__coordinator_refresh(struct coordinator *c)
{
    int rc = rill__meta_group_look(c->store->meta, c->name, load_record, c);
    return rc == RILL_ERR_NOT_FOUND ? rill__coordinator_load(c, NULL) : rc;
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

    if (s->begun) rill__coordinator_forget(c);
    s->begun = true;
    s->told_count = 0;
    s->expelled = 0;
    rc = rill__coordinator_load(c, record);
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
int rill__coordinator_step(struct coordinator *c, struct group_event *events, size_t count,
                           int timeout_ms)
{
    struct stepping s = {.c = c, .events = events, .event_count = count};
    int rc = rill__meta_group_step(c->store->meta, c->name, timeout_ms, run_step, &s);

    if (rc != 0) rill__coordinator_forget(c);
    RILL_PROBE3(rebalance, c->name, count, rc);
    if (rc == 0 && s.state != NULL) rill__count(&c->store->counters->group_steps, 1);
    if (rc == 0) rill__count(&c->store->counters->members_expelled, s.expelled);
    for (size_t i = 0; rc == 0 && i < s.told_count; i++) rill__member_tell(c->store, s.told[i]);
    rill__free(&c->store->heap, s.told);
    rill__free(&c->store->heap, s.state);
    return rc;
}

/* Another thread may be waiting for the catalogue with it. */
int rill__coordinator_lock(struct coordinator *c, int timeout_ms)
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

int rill__coordinator_step_one(struct coordinator *c, struct group_event *event, int timeout_ms)
{
    int rc = rill__coordinator_lock(c, timeout_ms);

    if (rc != 0) return rc;
    rc = rill__coordinator_step(c, event, 1, timeout_ms);
    rill__mutex_unlock(&c->lock);
    return rc;
}

int rill__coordinator_timeout(const struct coordinator *c)
{
    return (int)c->store->options.open_timeout_ms;
}

/* ---- The clock -------------------------------------------------------- */

/* Under c->lock. */
int rill__coordinator_look(struct coordinator *c)
{
    int64_t now_ms = monotonic_ms();
    int rc;

    c->looked_ms = now_ms;
    rc = rill__coordinator_refresh(c);
    if (rc != 0 || rill__group_member_count(c->group) == 0) return rc;
    rc = rill__members_open(c->store);
    if (rc != 0) return rc;
    look_at_members(c, now_ms);
    return rill__group_is_due(c->group, now_ms)
               ? rill__coordinator_step(c, NULL, 0, GROUP_LOOK_MS)
               : 0;
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
        rill__coordinator_look(c); /* what fails is tried again at the next look */
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
