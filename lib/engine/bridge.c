/*
 * engine/bridge.c - from futex words to descriptors.
 *
 * epoll cannot wait for a word in memory. Where a consumer asked for a
 * descriptor, one thread per store sleeps on a wake slot in its place, armed
 * on all partitions of all such consumers, and makes the descriptors of those
 * readable for which there is something to read.
 */
#include "engine/consumer.h"
#include "engine/members.h"

#define LOOK_MS 500 /* how often it looks for members that must poll */

struct bridge {
    struct store *store;
    struct thread thread;
    uint32_t slot;
    _Atomic bool stop;
};

/* A member must poll, also when there is nothing to read, and hear news. */
static bool member_must_poll(struct rill_consumer *c)
{
    struct member_slot *slot = atomic_load(&c->membership.slot);
    int64_t polled_ms;

    if (slot == NULL) return false;
    polled_ms = atomic_load_explicit(&slot->polled_ms, memory_order_relaxed);
    return atomic_load(&slot->news) != atomic_load(&c->membership.seen) ||
           rill__monotonic_ns() / 1000000 - polled_ms > c->options.max_poll_interval_ms / 3;
}

static void look_at(struct bridge *b, struct rill_consumer *c)
{
    bool ready = atomic_load(&c->woken) || member_must_poll(c) || rill__commits_have_news(c);

    rill__mutex_lock(&c->parts_lock);
    for (size_t i = 0; i < c->part_count; i++) {
        struct assigned *part = c->parts[i];
        if (atomic_load_explicit(&part->paused, memory_order_relaxed)) continue;
        rill__log_arm(part->log, b->slot);
        if (rill__assigned_end(c, part) >
            atomic_load_explicit(&part->position, memory_order_relaxed))
            ready = true;
    }
    rill__mutex_unlock(&c->parts_lock);
    if (ready) rill__event_set(c->event_fd);
}

static void *bridge_run(void *arg)
{
    struct bridge *b = arg;
    struct store *store = b->store;
    _Atomic uint32_t *word = &store->shared->wake_slots[b->slot].sequence;

    while (!atomic_load(&b->stop)) {
        uint32_t sequence = atomic_load(word);
        rill__mutex_lock(&store->clients_lock);
        for (struct rill_consumer *c = store->consumers; c != NULL; c = c->next)
            if (c->event_fd >= 0) look_at(b, c);
        rill__mutex_unlock(&store->clients_lock);
        rill__futex_wait(word, sequence, rill__deadline(LOOK_MS));
    }
    return NULL;
}

int rill__bridge_start(struct store *store)
{
    struct bridge *b;
    int rc = 0;

    rill__mutex_lock(&store->clients_lock);
    if (atomic_load(&store->bridge) == NULL) {
        b = rill__alloc(&store->heap, sizeof *b);
        rc = b == NULL ? RILL_ERR_NO_MEMORY : 0;
        if (rc == 0) {
            b->store = store;
            b->slot = atomic_fetch_add(&store->shared->next_slot, 1) % WAKE_SLOTS;
            rc = rill__thread_start(&b->thread, bridge_run, b);
        }
        if (rc == 0) atomic_store(&store->bridge, b);
        else rill__free(&store->heap, b);
    }
    rill__mutex_unlock(&store->clients_lock);
    return rc;
}

uint64_t rill__bridge_bit(struct store *store)
{
    return UINT64_C(1) << atomic_load(&store->bridge)->slot;
}

void rill__bridge_kick(struct store *store)
{
    struct bridge *b = atomic_load(&store->bridge);
    _Atomic uint32_t *word;

    if (b == NULL) return;
    word = &store->shared->wake_slots[b->slot].sequence;
    atomic_fetch_add(word, 1);
    rill__futex_wake_all(word);
}

void rill__bridge_stop(struct store *store)
{
    struct bridge *b = atomic_load(&store->bridge);

    if (b == NULL) return;
    atomic_store(&b->stop, true);
    rill__bridge_kick(store);
    rill__thread_join(&b->thread);
    rill__free(&store->heap, b);
    atomic_store(&store->bridge, NULL);
}
