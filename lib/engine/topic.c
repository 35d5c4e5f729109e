/*
 * engine/topic.c - topics and partitions that this process has open.
 *
 * They stay open until the store closes; a topic that is deleted meanwhile is
 * only marked as gone.
 */
#include "engine/store.h"
#include "base/bytes.h"
#include <inttypes.h>
#include <stdio.h>

int rill__check_name(const char *what, const char *name)
{
    size_t size = strlen(name);
    size_t good =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    if (size == 0 || size > RILL_TOPIC_NAME_MAX)
        return rill__fail(RILL_ERR_INVALID, "a %s name of %zu bytes; 1 to %d are allowed", what,
                          size, RILL_TOPIC_NAME_MAX);
    if (good != size)
        return rill__fail(RILL_ERR_INVALID,
                          "%s name \"%s\": byte %zu (%#x) is not one of a-z A-Z 0-9 . _ -", what,
                          name, good, (unsigned)(unsigned char)name[good]);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return rill__fail(RILL_ERR_INVALID, "a %s cannot be named \"%s\"", what, name);
    return 0;
}

void rill__topic_directory(const uint8_t id[16], char name[TOPIC_DIRECTORY_SIZE])
{
    for (int i = 0; i < 16; i++) snprintf(name + (size_t)i * 2, 3, "%02x", id[i]);
}

uint64_t rill__topic_number(const uint8_t id[16])
{
    return rill__get64(id);
}

uint64_t rill__catalogue_version(const struct store *store)
{
    return atomic_load_explicit(&store->shared->catalogue_version, memory_order_acquire);
}

static int topic_new(struct store *store, const struct meta_topic *info, struct topic **out)
{
    struct topic *topic = rill__alloc(&store->heap, sizeof *topic);

    if (topic == NULL) return RILL_ERR_NO_MEMORY;
    topic->store = store;
    topic->info = *info;
    topic->number = rill__topic_number(info->id);
    topic->partitions =
        rill__alloc(&store->heap, info->partition_count * sizeof *topic->partitions);
    if (topic->partitions == NULL) {
        rill__free(&store->heap, topic);
        return RILL_ERR_NO_MEMORY;
    }
    rill__mutex_init(&topic->lock);
    for (uint32_t p = 0; p < info->partition_count; p++) {
        topic->partitions[p].topic = topic;
        topic->partitions[p].number = (int32_t)p;
    }
    *out = topic;
    return 0;
}

int rill__topic_find(struct store *store, const char *name, struct topic **out)
{
    struct meta_topic info;
    struct topic *topic;
    int rc = rill__check_name("topic", name);

    if (rc != 0) return rc;
    rc = rill__meta_topic_get(store->meta, name, &info);
    if (rc != 0) return rc;
    rill__mutex_lock(&store->lock);
    for (topic = store->topics; topic != NULL; topic = topic->next)
        if (memcmp(topic->info.id, info.id, 16) == 0) break;
    if (topic == NULL) {
        rc = topic_new(store, &info, &topic);
        if (rc == 0) {
            topic->next = store->topics;
            store->topics = topic;
        }
    }
    rill__mutex_unlock(&store->lock);
    if (rc == 0) *out = topic;
    return rc;
}

/* After a reboot the log may end before what groups have committed. */
static int clamp_committed(void *arg, int64_t log_end)
{
    struct partition *partition = arg;
    struct store *store = partition->topic->store;
    char line[400];
    size_t clamped = 0;
    int rc = rill__meta_offsets_clamp(store->meta, partition->topic->info.id, partition->number,
                                      log_end, &clamped);

    if (rc == 0 && clamped != 0) {
        snprintf(line, sizeof line,
                 "%s-%d: %zu committed offsets were beyond the recovered log end %" PRId64
                 " and were lowered to it",
                 partition->topic->info.name, (int)partition->number, clamped, log_end);
        rill__store_say(store, RILL_LOG_WARNING, line);
    }
    return rc;
}

/* Files that are not there are no damage if the topic was deleted: it leaves the
 * catalogue before they go. */
static int check_not_deleted(struct topic *topic, int rc)
{
    struct meta_topic now;
    struct saved_message why;
    int rc_now;

    rill__message_save(&why);
    rc_now = rill__meta_topic_get(topic->store->meta, topic->info.name, &now);
    if (rc_now == RILL_ERR_NOT_FOUND ||
        (rc_now == 0 && memcmp(now.id, topic->info.id, sizeof now.id) != 0))
        return rill__fail(RILL_ERR_NOT_FOUND, "topic %s was deleted", topic->info.name);
    rill__message_restore(&why);
    return rc;
}

static uint32_t millionths(double ratio)
{
    uint32_t ppm = (uint32_t)(ratio * 1000000);
    return ppm == 0 ? 1 : ppm;
}

static int open_log(struct partition *partition, int timeout_ms, struct log **log)
{
    struct topic *topic = partition->topic;
    struct store *store = topic->store;
    struct file topic_dir = FILE_NONE;
    struct file dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    char number[16];
    struct log_config config = {
        .heap = &store->heap,
        .partition = partition->number,
        .segment_bytes = topic->info.segment_bytes,
        .segment_ms = topic->info.segment_ms,
        .segment_jitter_ms = topic->info.segment_jitter_ms,
        .cleanup_policy = topic->info.cleanup_policy,
        .timestamp_type = topic->info.timestamp_type,
        .retention_ms = topic->info.retention_ms,
        .retention_bytes = topic->info.retention_bytes,
        .delete_retention_ms = topic->info.delete_retention_ms,
        .min_compaction_lag_ms = topic->info.min_compaction_lag_ms,
        .min_dirty_ppm = millionths(topic->info.min_cleanable_dirty_ratio),
        .index_interval_bytes = topic->info.index_interval_bytes,
        .sync_interval_ms = store->options.sync_interval_ms,
        .incarnation = store->incarnation,
        .process = (uint32_t)store->process_slot,
        .wake_slots = store->shared->wake_slots,
        .copy_on_write = store->file_system.copy_on_write,
        .say = rill__store_say,
        .say_arg = store,
        .recovered = clamp_committed,
        .recovered_arg = partition,
        .idle_segments = &store->idle_segments,
        .mapped_bytes = &store->counters->mapped_bytes,
        .syncs = &store->counters->syncs,
        .rolls = &store->counters->segments_rolled,
        .recoveries = &store->counters->recoveries,
        .wakeups = &store->counters->wakeups,
    };
    int rc;

    memcpy(config.topic_id, topic->info.id, 16);
    memcpy(config.boot_id, store->boot_id, 16);
    rill__topic_directory(topic->info.id, name);
    snprintf(number, sizeof number, "%d", (int)partition->number);
    rc = rill__dir_open_at(&store->dir, name, &topic_dir);
    if (rc == 0) rc = rill__dir_open_at(&topic_dir, number, &dir);
    if (rc == RILL_ERR_NOT_FOUND)
        rc = rill__fail_prefix(RILL_ERR_CORRUPT, "topic %s is in the catalogue, but",
                               topic->info.name);
    if (rc == 0) rc = rill__log_open(&config, &dir, timeout_ms, log);
    if (rc == RILL_ERR_CORRUPT) rc = check_not_deleted(topic, rc);
    rill__file_close(&dir);
    rill__file_close(&topic_dir);
    return rc;
}

int rill__partition_log(struct topic *topic, int32_t number, int timeout_ms, struct log **out)
{
    struct partition *partition;
    struct log *log;
    int rc = 0;

    if (number < 0 || (uint32_t)number >= topic->info.partition_count)
        return rill__fail(RILL_ERR_NOT_FOUND, "topic %s has partitions 0 to %u, not %d",
                          topic->info.name, topic->info.partition_count - 1, (int)number);
    partition = &topic->partitions[number];
    log = atomic_load_explicit(&partition->log, memory_order_acquire);
    if (log == NULL) {
        rill__mutex_lock(&topic->lock);
        log = atomic_load_explicit(&partition->log, memory_order_relaxed);
        if (log == NULL) {
            rc = open_log(partition, timeout_ms, &log);
            if (rc == 0) atomic_store_explicit(&partition->log, log, memory_order_release);
        }
        rill__mutex_unlock(&topic->lock);
    }
    if (rc == 0) *out = log;
    return rc;
}

/* A log that was not in use does not stay open for this. */
void rill__partition_mark_deleted(struct topic *topic, int32_t number)
{
    struct partition *partition = &topic->partitions[number];
    struct log *log;

    rill__mutex_lock(&topic->lock);
    log = atomic_load_explicit(&partition->log, memory_order_relaxed);
    if (log != NULL) {
        rill__log_mark_deleted(log);
    } else if (open_log(partition, 1000, &log) == 0) {
        rill__log_mark_deleted(log);
        rill__log_close(log);
    }
    rill__mutex_unlock(&topic->lock);
}

void rill__topics_close(struct store *store)
{
    while (store->topics != NULL) {
        struct topic *topic = store->topics;

        store->topics = topic->next;
        for (uint32_t p = 0; p < topic->info.partition_count; p++)
            rill__log_close(atomic_load(&topic->partitions[p].log));
        rill__mutex_deinit(&topic->lock);
        rill__free(&store->heap, topic->partitions);
        rill__free(&store->heap, topic);
    }
}
