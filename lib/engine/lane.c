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
        *at = target->next; /* the last used one first */
        target->next = p->targets;
        p->targets = target;
        *out = target;
        return 0;
    }
    rc = rill__topic_find(p->store, name, &topic);
    if (rc != 0) return rc;
    target = rill__alloc(&p->store->heap,
                         sizeof *target + topic->info.partition_count * sizeof target->lanes[0]);
    if (target == NULL) return RILL_ERR_NO_MEMORY;
    target->topic = topic;
    target->sticky = (int32_t)(p->random % topic->info.partition_count);
    target->next = p->targets;
    p->targets = target;
    *out = target;
    return 0;
}

static int choose_partition(struct rill_producer *p, struct target *target,
                            const rill_record *record, int32_t *partition)
{
    uint32_t count = target->topic->info.partition_count;

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

int rill__lane_get(struct rill_producer *p, const rill_record *record, int timeout_ms,
                   struct lane **out)
{
    struct target *target;
    struct lane *lane;
    int32_t partition;
    int rc = rill__target_get(p, record->topic, &target);

    if (rc == 0) rc = choose_partition(p, target, record, &partition);
    if (rc != 0) return rc;
    *out = target->lanes[partition];
    if (*out != NULL) return 0;
    lane = rill__alloc(&p->store->heap, sizeof *lane);
    if (lane == NULL) return RILL_ERR_NO_MEMORY;
    rc = rill__partition_log(target->topic, partition, timeout_ms < 1000 ? 1000 : timeout_ms,
                             &lane->log);
    if (rc != 0) {
        rill__free(&p->store->heap, lane);
        return rc;
    }
    lane->target = target;
    lane->topic = target->topic;
    lane->partition = partition;
    lane->next = p->lanes;
    p->lanes = lane;
    target->lanes[partition] = lane;
    *out = lane;
    return 0;
}

void rill__sticky_move(struct rill_producer *p, const struct lane *lane)
{
    struct target *target = lane->target;

    if (target->sticky != lane->partition) return;
    p->random = p->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    target->sticky = (int32_t)((p->random >> 33) % target->topic->info.partition_count);
}
