/*
 * engine/assignment.c - which partitions a consumer reads, and from where.
 *
 * Either the application assigns them, or the group does (see member.c).
 */
#include "engine/consumer.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- The list --------------------------------------------------------- */

struct assigned *rill__assigned_find(struct rill_consumer *c, const char *topic,
                                     int32_t partition)
{
    for (size_t i = 0; i < c->part_count; i++)
        if (c->parts[i]->partition == partition &&
            strcmp(c->parts[i]->topic->info.name, topic) == 0)
            return c->parts[i];
    return NULL;
}

/* The offset to begin with when the group has committed none that is usable. */
static int reset_offset(struct rill_consumer *c, struct topic *topic, int32_t partition,
                        struct log *log, int64_t committed, int64_t *offset)
{
    switch (c->options.auto_offset_reset) {
    case RILL_RESET_EARLIEST: *offset = rill__log_start(log); return 0;
    case RILL_RESET_LATEST: *offset = rill__log_end(log); return 0;
    default:
        if (committed < 0)
            return rill__fail(RILL_ERR_NO_OFFSET,
                              "%s-%d: no committed offset, and auto_offset_reset is error",
                              topic->info.name, (int)partition);
        return rill__fail(RILL_ERR_RANGE,
                          "%s-%d: the committed offset %" PRId64 " is outside [%" PRId64
                          ", %" PRId64 "], and auto_offset_reset is error",
                          topic->info.name, (int)partition, committed, rill__log_start(log),
                          rill__log_end(log));
    }
}

static int move_part(struct rill_consumer *c, struct assigned *part, int64_t offset)
{
    int rc = rill__cursor_seek(&part->cursor, offset);

    if (rc != 0) return rc;
    part->in_batch = false;
    rill__unpack_done(&c->unpack, part);
    atomic_store_explicit(&part->position, offset, memory_order_relaxed);
    return 0;
}

int rill__assigned_reset(struct rill_consumer *c, struct assigned *part)
{
    const char *topic = part->topic->info.name;
    int64_t position = rill__assigned_position(part);
    int64_t offset;
    char line[400];
    int rc;

    if (c->options.auto_offset_reset == RILL_RESET_ERROR)
        return rill__fail(RILL_ERR_RANGE,
                          "%s-%d: offset %" PRId64
                          ", which was to be read next, was deleted; the "
                          "log begins at %" PRId64 ", and auto_offset_reset is error",
                          topic, (int)part->partition, position, rill__log_start(part->log));
    rc = reset_offset(c, part->topic, part->partition, part->log, position, &offset);
    if (rc == 0) rc = move_part(c, part, offset);
    if (rc != 0) return rc;
    snprintf(line, sizeof line,
             "%s-%d: the records from offset %" PRId64 " on were deleted before a consumer came "
             "to them; it goes on at %" PRId64,
             topic, (int)part->partition, position, offset);
    rill__store_say(c->store, RILL_LOG_WARNING, line);
    return 0;
}

/* To the group's committed offset, or where the reset policy says. */
int rill__assigned_resolve(struct rill_consumer *c, struct assigned *part)
{
    struct topic *topic = part->topic;
    struct meta_offset stored;
    int64_t offset = -1;
    int rc;

    if (c->group != NULL) {
        rc = rill__meta_offset_get(c->store->meta, c->group, topic->info.id, part->partition,
                                   &stored, NULL, 0);
        if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc;
        if (rc == 0) offset = stored.offset;
    }
    part->committed = offset;
    rc = 0;
    if (offset < rill__log_start(part->log) || offset > rill__log_end(part->log))
        rc = reset_offset(c, topic, part->partition, part->log, offset, &offset);
    if (rc == 0) rc = move_part(c, part, offset);
    if (rc == 0) part->unresolved = false;
    return rc;
}

static int place_part(struct rill_consumer *c, struct assigned *part, int64_t wanted)
{
    int rc;

    part->committed = -1;
    if (wanted == RILL_OFFSET_EARLIEST) return move_part(c, part, rill__log_start(part->log));
    if (wanted == RILL_OFFSET_LATEST) return move_part(c, part, rill__log_end(part->log));
    if (wanted != RILL_OFFSET_NONE) return move_part(c, part, wanted);
    part->unresolved = true;
    atomic_store_explicit(&part->position, RILL_OFFSET_NONE, memory_order_relaxed);
    rc = rill__assigned_resolve(c, part);
    /* The polls say it, until somebody seeks or commits. */
    return rc == RILL_ERR_NO_OFFSET || rc == RILL_ERR_RANGE ? 0 : rc;
}

static void part_free(struct rill_consumer *c, struct assigned *part)
{
    rill__cursor_deinit(&part->cursor);
    rill__partition_release(part->topic, part->partition);
    rill__topic_release(part->topic);
    rill__free(&c->store->heap, part);
}

int rill__assigned_add(struct rill_consumer *c, struct topic *topic, int32_t partition,
                       int64_t wanted, int32_t since)
{
    struct assigned *part = rill__alloc(&c->store->heap, sizeof *part);
    struct assigned **grown;
    int rc;

    if (part == NULL) return RILL_ERR_NO_MEMORY;
    part->topic = topic;
    part->partition = partition;
    part->since = since;
    part->epoch = -1;
    rc = rill__partition_log(topic, partition, 10000, &part->log);
    if (rc != 0) {
        rill__free(&c->store->heap, part);
        return rc;
    }
    rill__topic_keep(topic);
    rill__cursor_init(&part->cursor, part->log);
    rc = place_part(c, part, wanted);
    if (rc != 0) goto out;
    rill__mutex_lock(&c->parts_lock);
    grown = rill__resize(&c->store->heap, c->parts, (c->part_count + 1) * sizeof(void *));
    if (grown != NULL) {
        c->parts = grown;
        c->parts[c->part_count++] = part;
        part = NULL;
    } else {
        rc = RILL_ERR_NO_MEMORY;
    }
    rill__mutex_unlock(&c->parts_lock);
out:
    if (part != NULL) part_free(c, part);
    return rc;
}

void rill__assigned_drop(struct rill_consumer *c)
{
    size_t kept = 0;

    rill__mutex_lock(&c->parts_lock);
    for (size_t i = 0; i < c->part_count; i++) {
        if (!c->parts[i]->goes) {
            c->parts[kept++] = c->parts[i];
            continue;
        }
        rill__unpack_done(&c->unpack, c->parts[i]);
        part_free(c, c->parts[i]);
    }
    c->part_count = kept;
    c->next_part = 0;
    if (kept == 0) {
        rill__free(&c->store->heap, c->parts);
        c->parts = NULL;
    }
    rill__mutex_unlock(&c->parts_lock);
}

void rill__assigned_clear(struct rill_consumer *c)
{
    for (size_t i = 0; i < c->part_count; i++) c->parts[i]->goes = true;
    rill__assigned_drop(c);
}

/* ---- By hand ---------------------------------------------------------- */

static int add_position(struct rill_consumer *c, const rill_position *position, size_t number)
{
    struct topic *topic;
    int rc;

    if (position->topic == NULL)
        return rill__fail(RILL_ERR_INVALID, "position %zu names no topic", number);
    if (rill__assigned_find(c, position->topic, position->partition) != NULL)
        return rill__fail(RILL_ERR_INVALID, "%s-%d is named twice, or assigned already",
                          position->topic, (int)position->partition);
    rc = rill__topic_find(c->store, position->topic, &topic);
    if (rc != 0) return rc;
    rc = rill__assigned_add(c, topic, position->partition, position->offset, 0);
    rill__topic_release(topic);
    return rc;
}

static int refuse_subscribed(const struct rill_consumer *c)
{
    int rc = rill__consumer_alone(c, "assigning");

    if (rc != 0 || c->subscription == NULL) return rc;
    return rill__fail(RILL_ERR_STATE, "the consumer is subscribed; call "
                                      "rill_consumer_unsubscribe first");
}

int rill__consumer_assign(struct rill_consumer *c, const rill_position *positions, size_t count)
{
    int rc = refuse_subscribed(c);

    if (rc != 0) return rc;
    if (c->options.auto_commit_interval_ms != 0)
        rc = rill__commit_positions(c, false, (int)c->store->options.open_timeout_ms);
    rill__assigned_clear(c);
    for (size_t i = 0; i < count && rc == 0; i++) rc = add_position(c, &positions[i], i);
    if (rc != 0) rill__assigned_clear(c);
    rill__bridge_kick(c->store);
    return rc;
}

int rill__consumer_incremental_assign(struct rill_consumer *c, const rill_position *positions,
                                      size_t count)
{
    size_t before = c->part_count;
    int rc = refuse_subscribed(c);

    for (size_t i = 0; i < count && rc == 0; i++) rc = add_position(c, &positions[i], i);
    if (rc != 0) { /* all or none */
        for (size_t i = before; i < c->part_count; i++) c->parts[i]->goes = true;
        rill__assigned_drop(c);
    }
    rill__bridge_kick(c->store);
    return rc;
}

int rill__consumer_incremental_unassign(struct rill_consumer *c, const rill_position *positions,
                                        size_t count)
{
    int rc = refuse_subscribed(c);

    for (size_t i = 0; i < count && rc == 0; i++) {
        struct assigned *part =
            positions[i].topic == NULL
                ? NULL
                : rill__assigned_find(c, positions[i].topic, positions[i].partition);
        if (part == NULL)
            rc = rill__fail(RILL_ERR_STATE, "position %zu: %s-%d is not assigned", i,
                            positions[i].topic == NULL ? "no topic" : positions[i].topic,
                            (int)positions[i].partition);
        else part->goes = true;
    }
    if (rc == 0 && c->options.auto_commit_interval_ms != 0)
        rc = rill__commit_positions(c, true, (int)c->store->options.open_timeout_ms);
    if (rc == 0) rill__assigned_drop(c);
    else
        for (size_t i = 0; i < c->part_count; i++) c->parts[i]->goes = false;
    return rc;
}
