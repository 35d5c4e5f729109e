/*
 * engine/lane.c - where a record goes: its topic, its partition, and the log
 * behind it.
 *
 * A partition is chosen as Kafka's clients do: by the record, by the host's
 * partitioner, by the key's murmur2, or, without a key, the sticky one.
 */
#include "base/murmur.h"
#include "engine/producer.h"
#include <string.h>

int rill__target_get(struct rill_producer *p, const char *name, struct target **out)
{
    struct target **at;
    struct target *target;
    struct topic *topic;
    int rc;

    if (name == NULL) name = p->topic;
    if (name == NULL)
        return rill__fail(RILL_ERR_INVALID,
                          "the record names no topic and the producer has none of its own");
    for (at = &p->targets; (target = *at) != NULL; at = &target->next) {
        if (strcmp(target->topic->info.name, name) != 0 || atomic_load(&target->topic->gone))
            continue;
        if (rill__topic_follow(target->topic) == RILL_ERR_NOT_FOUND) break; /* a new one? */
        *at = target->next; /* the last used one first */
        target->next = p->targets;
        p->targets = target;
        *out = target;
        return 0;
    }
    rc = rill__topic_find(p->store, name, &topic);
    if (rc != 0) return rc;
    target = rill__alloc(&p->store->heap, sizeof *target);
    if (target == NULL) {
        rill__topic_release(topic);
        return RILL_ERR_NO_MEMORY;
    }
    target->topic = topic;
    target->sticky = (int32_t)(p->random % rill__topic_partition_count(topic));
    target->next = p->targets;
    p->targets = target;
    *out = target;
    return 0;
}

static int choose_partition(struct rill_producer *p, struct target *target,
                            const rill_record *record, int32_t *partition)
{
    uint32_t count = rill__topic_partition_count(target->topic);

    if (record->partition != RILL_PARTITION_ANY) *partition = record->partition;
    else if (p->options.partitioner != NULL)
        *partition = p->options.partitioner(p->options.partitioner_arg, record, count);
    else if (record->key.data != NULL)
        *partition = rill__murmur2_partition(record->key.data, record->key.size, count);
    else *partition = target->sticky;
    if (*partition >= 0 && (uint32_t)*partition < count) return 0;
    return rill__fail(record->partition != RILL_PARTITION_ANY ? RILL_ERR_NOT_FOUND
                                                              : RILL_ERR_INVALID,
                      "topic %s has partitions 0 to %u, not %d", target->topic->info.name,
                      count - 1, (int)*partition);
}

static int make_place(struct rill_producer *p, struct target *target, int32_t partition)
{
    uint32_t count = rill__topic_partition_count(target->topic);
    struct lane **grown;

    if ((uint32_t)partition < target->lane_room) return 0;
    grown = rill__resize(&p->store->heap, target->lanes, count * sizeof *grown);
    if (grown == NULL) return RILL_ERR_NO_MEMORY;
    target->lanes = grown;
    target->lane_room = count;
    return 0;
}

int rill__lane_get(struct rill_producer *p, const rill_record *record, int timeout_ms,
                   struct lane **out)
{
    struct target *target;
    struct lane *lane;
    int32_t partition;
    int rc = rill__identity_check(p);

    if (rc == 0) rc = rill__target_get(p, record->topic, &target);
    if (rc == 0) rc = choose_partition(p, target, record, &partition);
    if (rc == 0) rc = make_place(p, target, partition);
    if (rc != 0) return rc;
    lane = target->lanes[partition];
    if (lane != NULL) {
        lane->used = true;
        *out = lane;
        return 0;
    }
    lane = rill__alloc(&p->store->heap, sizeof *lane);
    if (lane == NULL) return RILL_ERR_NO_MEMORY;
    rc = rill__partition_log(target->topic, partition, timeout_ms < 1000 ? 1000 : timeout_ms,
                             &lane->log);
    if (rc == 0) {
        rc = rill__identity_lane(p, lane);
        if (rc != 0) rill__partition_release(target->topic, partition);
    }
    if (rc != 0) {
        rill__free(&p->store->heap, lane);
        return rc;
    }
    lane->target = target;
    lane->topic = target->topic;
    lane->partition = partition;
    lane->used = true;
    lane->next = p->lanes;
    p->lanes = lane;
    target->lanes[partition] = lane;
    target->lane_count++;
    *out = lane;
    return 0;
}

/* ---- Letting go ------------------------------------------------------- */

#define TRIM_MS 30000 /* how long a lane may be unused, at least */

static bool is_in_use(const struct rill_producer *p, const struct lane *lane)
{
    return lane->busy != 0 || lane == p->reserved ||
           (lane->marker_end >= 0 && !atomic_load(&lane->topic->gone)) ||
           (lane->open != NULL && lane->open->batch.record_count > 0);
}

static void lane_free(struct rill_producer *p, struct lane *lane)
{
    if (lane->open != NULL) rill__flight_free(p, lane->open);
    lane->target->lanes[lane->partition] = NULL;
    lane->target->lane_count--;
    rill__partition_release(lane->topic, lane->partition);
    rill__free(&p->store->heap, lane);
}

static void target_free(struct rill_producer *p, struct target *target)
{
    rill__topic_release(target->topic);
    rill__free(&p->store->heap, target->lanes);
    rill__free(&p->store->heap, target);
}

void rill__lanes_trim(struct rill_producer *p)
{
    int64_t now_ms = rill__tick_ms();
    bool due = now_ms - p->trimmed_ms >= TRIM_MS;

    for (struct target *target = p->targets; target != NULL; target = target->next)
        rill__topic_follow(target->topic);
    for (struct lane **at = &p->lanes; *at != NULL;) {
        struct lane *lane = *at;
        bool goes = atomic_load(&lane->topic->gone) || (due && !lane->used);
        if (due) lane->used = false;
        if (!goes || is_in_use(p, lane)) {
            at = &lane->next;
            continue;
        }
        *at = lane->next;
        lane_free(p, lane);
    }
    for (struct target **at = &p->targets; *at != NULL;) {
        struct target *target = *at;
        if (!atomic_load(&target->topic->gone) || target->lane_count != 0) {
            at = &target->next;
            continue;
        }
        *at = target->next;
        target_free(p, target);
    }
    if (due) p->trimmed_ms = now_ms;
}

void rill__lanes_close(struct rill_producer *p)
{
    while (p->lanes != NULL) {
        struct lane *lane = p->lanes;
        p->lanes = lane->next;
        lane_free(p, lane);
    }
    while (p->targets != NULL) {
        struct target *target = p->targets;
        p->targets = target->next;
        target_free(p, target);
    }
}

void rill__sticky_move(struct rill_producer *p, const struct lane *lane)
{
    struct target *target = lane->target;

    if (target->sticky != lane->partition) return;
    p->random = p->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    target->sticky = (int32_t)((p->random >> 33) % rill__topic_partition_count(target->topic));
}
