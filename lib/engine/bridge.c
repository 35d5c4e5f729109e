/*
 * engine/bridge.c - from futex words to descriptors.
 *
 * epoll cannot wait for a word in memory. Where a consumer asked for a
 * descriptor, one thread per store sleeps on a wake slot in its place, armed
 * on all partitions of all such consumers, and makes the descriptors of those
 * readable for which there is something to read.
 */
#include "engine/consumer.h"

struct bridge {
    struct store *store;
    struct thread thread;
    uint32_t slot;
    _Atomic bool stop;
};

static void look_at(struct bridge *b, struct rill_consumer *c)
{
    bool ready = atomic_load(&c->membership.pending) || atomic_load(&c->woken);

    rill__mutex_lock(&c->parts_lock);
    for (size_t i = 0; i < c->part_count; i++) {
        struct assigned *part = c->parts[i];
        rill__log_arm(part->log, b->slot);
        if (rill__log_end(part->log) >
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
        /* The time-out is for news of groups, which wake the consumer's own
         * word and not this one. */
        rill__futex_wait(word, sequence, rill__deadline(100));
    }
    return NULL;
}

int rill__bridge_start(struct store *store)
{
    struct bridge *b;
    int rc = 0;

    rill__mutex_lock(&store->clients_lock);
    if (store->bridge == NULL) {
        b = rill__alloc(&store->heap, sizeof *b);
        rc = b == NULL ? RILL_ERR_NO_MEMORY : 0;
        if (rc == 0) {
            b->store = store;
            b->slot = atomic_fetch_add(&store->shared->next_slot, 1) % WAKE_SLOTS;
            rc = rill__thread_start(&b->thread, bridge_run, b);
        }
        if (rc == 0) store->bridge = b;
        else rill__free(&store->heap, b);
    }
    rill__mutex_unlock(&store->clients_lock);
    return rc;
}

void rill__bridge_kick(struct store *store)
{
    _Atomic uint32_t *word;

    if (store->bridge == NULL) return;
    word = &store->shared->wake_slots[store->bridge->slot].sequence;
    atomic_fetch_add(word, 1);
    rill__futex_wake_all(word);
}

void rill__bridge_stop(struct store *store)
{
    if (store->bridge == NULL) return;
    atomic_store(&store->bridge->stop, true);
    rill__bridge_kick(store);
    rill__thread_join(&store->bridge->thread);
    rill__free(&store->heap, store->bridge);
    store->bridge = NULL;
}
