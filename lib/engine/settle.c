/*
 * engine/settle.c - transactions that were left open, ended by whoever meets them.
 *
 * The log says that a transaction of (producer id, epoch) is open; the catalogue has the
 * last word on it. If it was decided, its marker was only not written. If its owner is
 * alive, may still decide, and has time left, it is left alone. Else it is judged, which
 * fences the owner, and aborted.
 *
 * How long it has been open is counted from when this process saw it first, by the
 * monotonic clock: whoever comes later waits longer, and no clock can shorten it.
 */
#include "engine/txn.h"
#include <string.h>

#define OPEN_AT_ONCE 64

/* When this process saw a transaction for the first time; now if it is now. */
static int64_t first_seen_ms(struct store *store, const struct open_transaction *open)
{
    int64_t now_ms = rill__monotonic_ns() / 1000000;
    struct seen_transaction *oldest = &store->seen[0];
    int64_t seen_ms = now_ms;

    rill__mutex_lock(&store->seen_lock);
    for (size_t i = 0; i < SEEN_TRANSACTIONS; i++) {
        struct seen_transaction *seen = &store->seen[i];
        if (seen->used_ms != 0 && seen->producer_id == open->producer_id &&
            seen->epoch == open->epoch) {
            seen_ms = seen->first_ms;
            seen->used_ms = now_ms;
            goto out;
        }
        if (seen->used_ms < oldest->used_ms) oldest = seen;
    }
    *oldest = (struct seen_transaction){open->producer_id, open->epoch, now_ms, now_ms};
out:
    rill__mutex_unlock(&store->seen_lock);
    return seen_ms;
}

/* Whether its owner may still end it. */
static bool is_in_hand(struct store *store, const struct meta_name *name,
                       const struct open_transaction *open)
{
    int64_t seen_ms;

    if (name->producer_id != open->producer_id || name->epoch != open->epoch || !name->owned)
        return false;
    if (rill__process_is_gone(store, name->owner.slot, name->owner.ticket)) return false;
    seen_ms = first_seen_ms(store, open);
    return rill__monotonic_ns() / 1000000 - seen_ms <= (int64_t)name->timeout_ms;
}

static int settle_one(struct store *store, struct log *log, const struct open_transaction *open,
                      int64_t deadline)
{
    struct meta_name name = {.decided = NULL};
    bool commit = false;
    int rc = rill__meta_name_of(store->meta, open->producer_id, NULL, &name);
    bool nameless = rc == RILL_ERR_NOT_FOUND; /* it was deleted: nothing of it was decided */

    rill__free(&store->heap, name.decided);
    if (rc != 0 && !nameless) return rc;
    if (!nameless && is_in_hand(store, &name, open)) return 0;
    if (!nameless && name.producer_id == open->producer_id && name.decided_epoch == open->epoch)
        commit = true;
    else if (!nameless)
        rc = rill__meta_name_judge_within(store->meta, open->producer_id, open->epoch,
                                          rill__time_left_ms(deadline), &commit);
    if (rc != 0 && !nameless) return rc;
    return rill__log_end_transaction(log, open->producer_id, open->epoch, commit, false,
                                     deadline);
}

/* only -1: of every producer. */
static int settle_partition_log(struct store *store, struct log *log, int64_t only,
                                int64_t deadline)
{
    struct open_transaction open[OPEN_AT_ONCE];
    size_t from = 0;
    size_t count;
    int first = 0;

    do {
        int rc = rill__log_open_transactions(log, &from, open, OPEN_AT_ONCE, &count);
        if (rc != 0) return rc;
        for (size_t i = 0; i < count; i++) {
            if (only >= 0 && open[i].producer_id != only) continue;
            rc = settle_one(store, log, &open[i], deadline);
            if (first == 0) first = rc;
        }
    } while (count == OPEN_AT_ONCE);
    return first;
}

int rill__settle_partition(struct store *store, struct topic *topic, int32_t partition,
                           struct log *log, int64_t deadline)
{
    int rc;

    if (rill__log_first_open(log) == INT64_MAX) return 0;
    rc = settle_partition_log(store, log, -1, deadline);
    return rc == 0 ? 0
                   : rill__fail_prefix(rc, "%s-%d: a transaction that was left open",
                                       topic->info.name, (int)partition);
}

int rill__settle_log(struct store *store, struct log *log, int64_t producer_id, int64_t deadline)
{
    if (rill__log_first_open(log) == INT64_MAX) return 0;
    return settle_partition_log(store, log, producer_id, deadline);
}

int rill__settle_producer(struct store *store, int64_t producer_id, int64_t deadline)
{
    struct meta_topic info = {.name = ""};
    int rc;

    while ((rc = rill__meta_topic_after(store->meta, info.name, &info)) == 0) {
        uint64_t version = rill__catalogue_version(store);
        struct topic *topic;
        struct log *log;

        rc = rill__topic_of(store, &info, version, &topic);
        if (rc != 0) return rc;
        for (uint32_t p = 0; p < info.partition_count && rc == 0; p++) {
            rc = rill__partition_log(topic, (int32_t)p, rill__time_left_ms(deadline), &log);
            if (rc != 0) break;
            rc = rill__settle_log(store, log, producer_id, deadline);
            rill__partition_release(topic, (int32_t)p);
        }
        rill__topic_release(topic);
        if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc; /* a topic may go meanwhile */
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

/* The topic with that id, by a walk over the catalogue: after a crash only. */
static int find_topic_by_id(struct store *store, const uint8_t id[16], struct topic **topic)
{
    struct meta_topic info = {.name = ""};
    int rc;

    while ((rc = rill__meta_topic_after(store->meta, info.name, &info)) == 0)
        if (memcmp(info.id, id, 16) == 0)
            return rill__topic_of(store, &info, rill__catalogue_version(store), topic);
    return rc;
}

int rill__settle_name(struct store *store, const char *name, const struct meta_name *decided,
                      int64_t deadline)
{
    int rc = 0;

    if (decided->decided_epoch < 0) return 0;
    for (size_t i = 0; i < decided->decided_count && rc == 0; i++) {
        const struct meta_decided *place = &decided->decided[i];
        struct topic *topic = NULL;
        struct log *log;

        rc = find_topic_by_id(store, place->topic_id, &topic);
        if (rc == 0)
            rc = rill__partition_log(topic, place->partition, rill__time_left_ms(deadline), &log);
        if (rc == 0) {
            rc =
                rill__log_end_transaction(log, decided->producer_id,
                                          (int16_t)decided->decided_epoch, true, false, deadline);
            if (rc == 0 && !store->file_system.volatile_memory)
                rc = rill__log_sync(log, rill__log_end(log), deadline);
            rill__partition_release(topic, place->partition);
        }
        rill__topic_release(topic);
        if (rc == RILL_ERR_NOT_FOUND) rc = 0; /* the topic was deleted since */
    }
    if (rc != 0) return rc;
    return rill__meta_name_settle(store->meta, name, decided->producer_id,
                                  (int16_t)decided->decided_epoch);
}
