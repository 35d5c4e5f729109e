/*
 * engine/maintain.c - the background work of a store, and a sync of all of it.
 */
#include "engine/txn.h"
#include <string.h>

#define MAINTAIN_MS 1000          /* the longest that maintenance may be left alone */
#define CHECKPOINT_RECORDS 100000 /* that producers' state is behind, at most */
#define LOG_UNUSED_MS 30000       /* how long a log stays open for whoever comes back */

/* Of several things that are all done, the first that failed is told. */
struct findings {
    int rc;
    struct saved_message why;
};

static void note_first(struct findings *findings, int rc)
{
    if (rc == 0 || findings->rc != 0) return;
    findings->rc = rc;
    rill__message_save(&findings->why);
}

/* If somebody has it, the next round tries again. */
static int settle_log_that_is_free(struct topic *topic, int32_t partition, struct log *log)
{
    int rc = rill__settle_partition(topic->store, topic, partition, log,
                                    rill__deadline(SETTLE_TRY_MS));

    return rc == RILL_ERR_TIMEOUT ? 0 : rc;
}

/* One that is open. */
static int maintain_log(struct topic *topic, int32_t partition, struct log *log,
                        uint32_t *next_ms)
{
    struct store *store = topic->store;
    int rc = rill__log_maintain(log, next_ms);

    if (rc == 0) rc = settle_log_that_is_free(topic, partition, log);
    if (rc == 0)
        rc = rill__log_checkpoint_producers(log, store->options.producer_id_expiration_ms,
                                            CHECKPOINT_RECORDS);
    if (rc == RILL_ERR_NOT_FOUND) atomic_store(&topic->gone, true);
    if (atomic_load(&topic->gone)) rill__log_shed(log);
    rill__partition_leave(topic, partition);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

static void maintain_topic(struct topic *topic, uint32_t *next_ms, struct findings *findings)
{
    int rc = rill__topic_follow(topic);
    int64_t unused_ms = atomic_load(&topic->gone) ? 0 : LOG_UNUSED_MS;
    uint32_t count = rill__topic_partition_count(topic);

    note_first(findings, rc == RILL_ERR_NOT_FOUND ? 0 : rc);
    for (uint32_t p = 0; p < count; p++) {
        struct log *log;

        note_first(findings, rill__partition_close_unused(topic, (int32_t)p, unused_ms));
        log = rill__partition_if_open(topic, (int32_t)p);
        if (log != NULL) note_first(findings, maintain_log(topic, (int32_t)p, log, next_ms));
    }
}

int rill__store_tend(struct store *store, uint32_t *next_ms)
{
    struct findings findings = {0};

    *next_ms = MAINTAIN_MS;
    if (store->options.sync_interval_ms < MAINTAIN_MS) *next_ms = store->options.sync_interval_ms;
    if (!rill__mutex_trylock(&store->maintain_lock)) return 0; /* another thread is at it */
    rill__producers_linger(store, next_ms); /* also lets go of what they do not use */
    for (struct topic *t = NULL; (t = rill__topic_after(store, t)) != NULL;)
        maintain_topic(t, next_ms, &findings);
    rill__presence_beat(store);
    rill__consumers_commit(store);
    rill__coordinators_tick(store, next_ms);
    rill__mutex_unlock(&store->maintain_lock);
    if (findings.rc != 0) rill__message_restore(&findings.why);
    return findings.rc;
}

int rill__store_maintain(struct store *store, uint32_t *next_ms)
{
    struct findings findings = {0};

    note_first(&findings, rill__store_tend(store, next_ms));
    note_first(&findings, rill__groups_expire(store, next_ms));
    note_first(&findings, rill__names_tend(store));
    note_first(&findings, rill__store_clean(store, next_ms));
    if (findings.rc != 0) rill__message_restore(&findings.why);
    return findings.rc;
}

/* One that is not open here may have been appended to by others. */
static int sync_partition(struct topic *topic, int32_t partition, int64_t deadline)
{
    struct log *log = rill__partition_if_open(topic, partition);
    bool needs = true;
    int rc = 0;

    if (log != NULL) {
        rc = rill__log_sync(log, rill__log_end(log), deadline);
        rill__partition_leave(topic, partition);
        return rc;
    }
    rc = rill__partition_needs_sync(topic, partition, &needs);
    if (rc != 0 || !needs) return rc;
    rc = rill__partition_log(topic, partition, rill__time_left_ms(deadline), &log);
    if (rc != 0) return rc;
    rc = rill__log_sync(log, rill__log_end(log), deadline);
    rill__partition_release(topic, partition);
    return rc;
}

static int sync_topic(struct topic *topic, int64_t deadline)
{
    uint32_t count = rill__topic_partition_count(topic);
    int rc = 0;

    for (uint32_t p = 0; rc == 0 && p < count; p++)
        rc = sync_partition(topic, (int32_t)p, deadline);
    return rc;
}

int rill__store_sync(struct store *store, int timeout_ms)
{
    int64_t deadline = rill__deadline(timeout_ms);
    uint64_t version = rill__catalogue_version(store);
    struct meta_topic info = {.name = ""};
    int rc;

    while ((rc = rill__meta_topic_after(store->meta, info.name, &info)) == 0) {
        struct topic *topic;
        rc = rill__topic_of(store, &info, version, &topic);
        if (rc != 0) return rc;
        rc = sync_topic(topic, deadline);
        rill__topic_release(topic);
        if (rc == RILL_ERR_NOT_FOUND) continue; /* deleted meanwhile */
        if (rc != 0) return rc;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}
