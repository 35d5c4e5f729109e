/*
 * engine/assignment.c - which partitions a consumer reads, and from where.
 *
 * Either the application assigns them, or the group does: then every poll
 * looks whether the coordinator left news, and whether the catalogue has
 * changed so that other topics match.
 */
#include "engine/consumer.h"
#include <inttypes.h>
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

static int move_part(struct assigned *part, int64_t offset)
{
    int rc = rill__cursor_seek(&part->cursor, offset);

    if (rc == 0) atomic_store_explicit(&part->position, offset, memory_order_relaxed);
    return rc;
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
    if (rc == 0) rc = move_part(part, offset);
    if (rc == 0) part->unresolved = false;
    return rc;
}

static int place(struct rill_consumer *c, struct assigned *part, int64_t wanted)
{
    int rc;

    part->committed = -1;
    if (wanted == RILL_OFFSET_EARLIEST) return move_part(part, rill__log_start(part->log));
    if (wanted == RILL_OFFSET_LATEST) return move_part(part, rill__log_end(part->log));
    if (wanted != RILL_OFFSET_NONE) return move_part(part, wanted);
    part->unresolved = true;
    atomic_store_explicit(&part->position, RILL_OFFSET_NONE, memory_order_relaxed);
    rc = rill__assigned_resolve(c, part);
    /* The polls say it, until somebody seeks or commits. */
    return rc == RILL_ERR_NO_OFFSET || rc == RILL_ERR_RANGE ? 0 : rc;
}

int rill__assigned_add(struct rill_consumer *c, struct topic *topic, int32_t partition,
                       int64_t wanted)
{
    struct assigned *part = rill__alloc(&c->store->heap, sizeof *part);
    struct assigned **grown;
    int rc;

    if (part == NULL) return RILL_ERR_NO_MEMORY;
    part->topic = topic;
    part->partition = partition;
    part->epoch = -1;
    rc = rill__partition_log(topic, partition, 10000, &part->log);
    if (rc != 0) goto out;
    rill__cursor_init(&part->cursor, part->log);
    rc = place(c, part, wanted);
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
    if (part != NULL) {
        rill__cursor_deinit(&part->cursor);
        rill__free(&c->store->heap, part);
    }
    return rc;
}

void rill__assigned_clear(struct rill_consumer *c)
{
    rill__mutex_lock(&c->parts_lock);
    for (size_t i = 0; i < c->part_count; i++) {
        rill__cursor_deinit(&c->parts[i]->cursor);
        rill__free(&c->store->heap, c->parts[i]);
    }
    rill__free(&c->store->heap, c->parts);
    c->parts = NULL;
    c->part_count = 0;
    c->next_part = 0;
    rill__mutex_unlock(&c->parts_lock);
}

/* ---- Committing what was handed out ----------------------------------- */

int rill__commit_positions(struct rill_consumer *c)
{
    struct meta_offset *offsets;
    size_t count = 0;
    int rc = 0;

    if (c->coordinator == NULL || c->part_count == 0) return 0;
    offsets = rill__alloc(&c->store->heap, c->part_count * sizeof *offsets);
    if (offsets == NULL) return RILL_ERR_NO_MEMORY;
    for (size_t i = 0; i < c->part_count; i++) {
        struct assigned *part = c->parts[i];
        int64_t position = atomic_load_explicit(&part->position, memory_order_relaxed);
        if (part->unresolved || position == part->committed || rill__log_is_deleted(part->log))
            continue;
        memcpy(offsets[count].topic_id, part->topic->info.id, 16);
        offsets[count].partition = part->partition;
        offsets[count].leader_epoch = part->epoch;
        offsets[count].offset = position;
        offsets[count].committed_ms = rill__now_ms();
        count++;
    }
    if (count > 0)
        rc = rill__coordinator_commit(c->coordinator, c->subscribed ? &c->membership : NULL,
                                      offsets, count);
    for (size_t i = 0; i < c->part_count && rc == 0; i++)
        c->parts[i]->committed =
            atomic_load_explicit(&c->parts[i]->position, memory_order_relaxed);
    rill__free(&c->store->heap, offsets);
    return rc;
}

/* ---- Subscriptions ---------------------------------------------------- */

static void patterns_free(struct rill_consumer *c)
{
    for (size_t i = 0; i < c->pattern_count; i++) {
        if (c->patterns[i].is_regular) rill__regular_deinit(&c->patterns[i].regular);
        rill__free(&c->store->heap, c->patterns[i].name);
    }
    rill__free(&c->store->heap, c->patterns);
    c->patterns = NULL;
    c->pattern_count = 0;
}

static int patterns_set(struct rill_consumer *c, const char *const *topics, size_t count)
{
    int rc = 0;

    patterns_free(c);
    c->patterns = rill__alloc(&c->store->heap, count * sizeof *c->patterns);
    if (c->patterns == NULL) return RILL_ERR_NO_MEMORY;
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct pattern *pattern = &c->patterns[i];

        if (topics[i] == NULL) {
            rc = rill__fail(RILL_ERR_INVALID, "topic number %zu is NULL", i);
            break;
        }
        if (topics[i][0] != '^') {
            rc = rill__check_name("topic", topics[i]);
        } else {
            rc = rill__regular_init(&pattern->regular, topics[i]);
            pattern->is_regular = rc == 0;
        }
        c->pattern_count = i + 1;
        if (rc != 0) break;
        pattern->name = rill__strdup(&c->store->heap, topics[i]);
        if (pattern->name == NULL) rc = RILL_ERR_NO_MEMORY;
    }
    if (rc != 0) patterns_free(c);
    return rc;
}

static bool matches(const struct rill_consumer *c, const char *topic)
{
    for (size_t i = 0; i < c->pattern_count; i++) {
        const struct pattern *p = &c->patterns[i];
        if (p->is_regular ? rill__regular_matches(&p->regular, topic)
                          : strcmp(p->name, topic) == 0)
            return true;
    }
    return false;
}

/* The topics that match now. The names live as long as the store. */
static int matching_topics(struct rill_consumer *c, struct group_topic **out, size_t *count)
{
    struct meta_topic info = {.name = ""};
    struct group_topic *topics = NULL;
    struct topic *topic;
    size_t n = 0;
    int rc;

    c->catalogue_seen = rill__catalogue_version(c->store);
    while ((rc = rill__meta_topic_after(c->store->meta, info.name, &info)) == 0) {
        struct group_topic *grown;
        if (!matches(c, info.name)) continue;
        rc = rill__topic_find(c->store, info.name, &topic);
        if (rc == RILL_ERR_NOT_FOUND) continue;
        if (rc != 0) break;
        grown = rill__resize(&c->store->heap, topics, (n + 1) * sizeof *topics);
        if (grown == NULL) {
            rc = RILL_ERR_NO_MEMORY;
            break;
        }
        topics = grown;
        memcpy(&topics[n].topic, info.id, sizeof topics[n].topic);
        topics[n].partition_count = info.partition_count;
        topics[n].name = topic->info.name;
        n++;
    }
    if (rc != RILL_ERR_NOT_FOUND) {
        rill__free(&c->store->heap, topics);
        return rc;
    }
    *out = topics;
    *count = n;
    return 0;
}

static int join(struct rill_consumer *c)
{
    struct group_topic *topics;
    size_t count;
    int rc = matching_topics(c, &topics, &count);

    if (rc != 0) return rc;
    rc = rill__coordinator_join(c->coordinator, &c->membership, topics, count, &c->options);
    rill__free(&c->store->heap, topics);
    if (rc == 0) c->subscribed = true;
    return rc;
}

int rill__consumer_subscribe(struct rill_consumer *c, const char *const *topics, size_t count)
{
    int rc;

    if (c->coordinator == NULL)
        return rill__fail(RILL_ERR_STATE, "a consumer without a group cannot subscribe; name a "
                                          "group in its options, or use rill_consumer_assign");
    if (!c->subscribed && c->part_count != 0)
        return rill__fail(RILL_ERR_STATE, "partitions are assigned by hand; call "
                                          "rill_consumer_unsubscribe first");
    if (count == 0) return rill__consumer_unsubscribe(c);
    rc = patterns_set(c, topics, count);
    if (rc != 0) return rc;
    if (c->subscribed) {
        c->catalogue_seen = 0; /* the next poll tells the group */
        return 0;
    }
    return join(c);
}

int rill__consumer_unsubscribe(struct rill_consumer *c)
{
    int rc = 0;

    if (c->options.auto_commit_interval_ms != 0) rc = rill__commit_positions(c);
    if (c->subscribed) {
        rill__coordinator_leave(c->coordinator, &c->membership);
        c->subscribed = false;
    }
    rill__assigned_clear(c);
    patterns_free(c);
    return rc;
}

int rill__consumer_assign(struct rill_consumer *c, const rill_position *positions, size_t count)
{
    struct topic *topic;
    int rc = 0;

    if (c->subscribed)
        return rill__fail(RILL_ERR_STATE, "the consumer is subscribed; call "
                                          "rill_consumer_unsubscribe first");
    if (c->options.auto_commit_interval_ms != 0) rc = rill__commit_positions(c);
    rill__assigned_clear(c);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (positions[i].topic == NULL)
            rc = rill__fail(RILL_ERR_INVALID, "position %zu names no topic", i);
        else if (rill__assigned_find(c, positions[i].topic, positions[i].partition) != NULL)
            rc = rill__fail(RILL_ERR_INVALID, "%s-%d is named twice", positions[i].topic,
                            (int)positions[i].partition);
        if (rc == 0) rc = rill__topic_find(c->store, positions[i].topic, &topic);
        if (rc == 0)
            rc = rill__assigned_add(c, topic, positions[i].partition, positions[i].offset);
    }
    if (rc != 0) rill__assigned_clear(c);
    rill__bridge_kick(c->store);
    return rc;
}

/* ---- Following the group ---------------------------------------------- */

static struct topic *topic_by_number(struct store *store, uint64_t number)
{
    struct topic *topic;

    rill__mutex_lock(&store->lock);
    for (topic = store->topics; topic != NULL; topic = topic->next) {
        uint64_t mine;
        memcpy(&mine, topic->info.id, sizeof mine);
        if (mine == number) break;
    }
    rill__mutex_unlock(&store->lock);
    return topic;
}

static int take_assignment(struct rill_consumer *c, const struct news *news)
{
    int rc = 0;

    rill__assigned_clear(c);
    for (size_t i = 0; i < news->partition_count && rc == 0; i++) {
        struct topic *topic = topic_by_number(c->store, news->partitions[i].topic);
        if (topic == NULL || atomic_load(&topic->gone)) continue;
        rc = rill__assigned_add(c, topic, news->partitions[i].partition, RILL_OFFSET_NONE);
        if (rc == RILL_ERR_NOT_FOUND) rc = 0; /* deleted meanwhile */
    }
    rill__bridge_kick(c->store);
    return rc;
}

int rill__consumer_follow(struct rill_consumer *c)
{
    struct news news;
    bool lost = false;
    int rc = 0;

    if (!c->subscribed) return 0;
    if (c->catalogue_seen != rill__catalogue_version(c->store)) {
        struct group_topic *topics;
        size_t count;
        rc = matching_topics(c, &topics, &count);
        if (rc != 0) return rc;
        rc = rill__coordinator_topics(c->coordinator, &c->membership, topics, count);
        rill__free(&c->store->heap, topics);
        if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc; /* not found: expelled, below */
        rc = 0;
    }
    while (atomic_load(&c->membership.pending)) {
        rill__coordinator_news(c->coordinator, &c->membership, &news);
        if (news.revoke && !news.expelled) {
            lost = lost || c->part_count != 0;
            /* A failure to commit must not stop the others: what was not
             * committed is delivered again, which is what is promised. */
            if (c->options.auto_commit_interval_ms != 0) rill__commit_positions(c);
            rill__assigned_clear(c);
            rill__coordinator_ready(c->coordinator, &c->membership);
        }
        if (news.expelled) {
            lost = lost || c->part_count != 0;
            rill__assigned_clear(c);
            rill__coordinator_leave(c->coordinator, &c->membership);
            c->subscribed = false;
            rc = join(c);
        } else if (news.assigned) {
            rc = take_assignment(c, &news);
        }
        rill__free(&c->store->heap, news.partitions);
        if (rc != 0) return rc;
    }
    if (!lost) return 0;
    return rill__fail(RILL_ERR_REBALANCE,
                      "group %s: the partitions of this consumer have changed", c->group);
}
