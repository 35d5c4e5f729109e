/*
 * engine/maintain.c - the background work of a store, and a sync of all of it.
 */
#include "engine/store.h"
#include <string.h>

#define MAINTAIN_MS 1000 /* the longest that maintenance may be left alone */

/* The first topic, or the one after; topics stay until the store closes. */
static struct topic *topic_after(struct store *store, const struct topic *topic)
{
    struct topic *next;

    rill__mutex_lock(&store->lock);
    next = topic == NULL ? store->topics : topic->next;
    rill__mutex_unlock(&store->lock);
    return next;
}

int rill__store_maintain(struct store *store, uint32_t *next_ms)
{
    int first = 0;

    *next_ms = MAINTAIN_MS;
    if (store->options.sync_interval_ms < MAINTAIN_MS) *next_ms = store->options.sync_interval_ms;
    if (!rill__mutex_trylock(&store->maintain_lock)) return 0; /* another thread is at it */
    for (struct topic *t = topic_after(store, NULL); t != NULL; t = topic_after(store, t)) {
        for (uint32_t p = 0; p < t->info.partition_count && !atomic_load(&t->gone); p++) {
            struct log *log = atomic_load_explicit(&t->partitions[p].log, memory_order_acquire);
            int rc = log == NULL ? 0 : rill__log_maintain(log, next_ms);
            if (rc == RILL_ERR_NOT_FOUND) atomic_store(&t->gone, true);
            else if (rc != 0 && first == 0) first = rc;
        }
    }
    rill__presence_beat(store);
    rill__consumers_commit(store);
    rill__producers_linger(store, next_ms);
    rill__coordinators_tick(store, next_ms);
    rill__mutex_unlock(&store->maintain_lock);
    if (first != 0) return first;
    return rill__groups_expire(store, next_ms);
}

int rill__store_sync(struct store *store, int timeout_ms)
{
    int64_t deadline = rill__deadline(timeout_ms);
    struct meta_topic info = {.name = ""};
    int rc;

    while ((rc = rill__meta_topic_after(store->meta, info.name, &info)) == 0) {
        struct topic *topic;
        rc = rill__topic_find(store, info.name, &topic);
        for (uint32_t p = 0; rc == 0 && p < info.partition_count; p++) {
            struct log *log;
            rc = rill__partition_log(topic, (int32_t)p, rill__time_left_ms(deadline), &log);
            if (rc == 0) rc = rill__log_sync(log, rill__log_end(log), deadline);
        }
        if (rc == RILL_ERR_NOT_FOUND) continue; /* deleted meanwhile */
        if (rc != 0) return rc;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}
