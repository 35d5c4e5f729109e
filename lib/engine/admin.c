/*
 * engine/admin.c - topics made, deleted, described: the catalogue's rows and the
 * directories beside it.
 *
 * A topic exists when it is in the catalogue. Its directories are made and
 * synced before that, and removed after it is taken out; what a crash leaves
 * between is swept at the next first open.
 */
#include "engine/store.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Directories ------------------------------------------------------ */

static int remove_entry(void *arg, const char *name)
{
    return rill__file_remove(arg, name);
}

static int remove_partition(void *arg, const char *name)
{
    const struct file *topic_dir = arg;
    struct file dir = FILE_NONE;
    int rc = rill__dir_open_at(topic_dir, name, &dir);

    if (rc == 0) rc = rill__dir_list(&dir, remove_entry, &dir);
    rill__file_close(&dir);
    return rc == 0 ? rill__dir_remove_at(topic_dir, name) : rc;
}

int rill__topic_directory_remove(const struct file *store_dir, const char *name)
{
    struct file dir = FILE_NONE;
    int rc = rill__dir_open_at(store_dir, name, &dir);

    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc == 0) rc = rill__dir_list(&dir, remove_partition, &dir);
    rill__file_close(&dir);
    return rc == 0 ? rill__dir_remove_at(store_dir, name) : rc;
}

static int make_partitions(struct store *store, const struct meta_topic *info)
{
    struct file topic_dir = FILE_NONE;
    struct file dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    char number[16];
    int rc;

    rill__topic_directory(info->id, name);
    rc = rill__dir_make_at(&store->dir, name);
    if (rc == 0) rc = rill__dir_open_at(&store->dir, name, &topic_dir);
    if (rc == 0 && store->file_system.copy_on_write) rc = rill__dir_set_nocow(&topic_dir);
    for (uint32_t p = 0; p < info->partition_count && rc == 0; p++) {
        snprintf(number, sizeof number, "%u", p);
        rc = rill__dir_make_at(&topic_dir, number);
        if (rc == 0) rc = rill__dir_open_at(&topic_dir, number, &dir);
        if (rc == 0 && store->file_system.copy_on_write) rc = rill__dir_set_nocow(&dir);
        if (rc == 0) rc = rill__log_create(&dir);
        rill__file_close(&dir);
    }
    if (rc == 0) rc = rill__dir_sync(&topic_dir);
    if (rc == 0) rc = rill__dir_sync(&store->dir);
    rill__file_close(&topic_dir);
    return rc;
}

struct topic_names {
    struct store *store;
    char (*names)[TOPIC_DIRECTORY_SIZE]; /* directories that look like a topic's */
    size_t count;
    size_t room;
};

static int collect_topic_directory(void *arg, const char *name)
{
    struct topic_names *found = arg;

    if (strlen(name) != TOPIC_DIRECTORY_SIZE - 1 ||
        strspn(name, "0123456789abcdef") != TOPIC_DIRECTORY_SIZE - 1)
        return 0;
    if (found->count == found->room) {
        size_t room = found->room == 0 ? 64 : found->room * 2;
        void *grown =
            rill__resize(&found->store->heap, found->names, room * TOPIC_DIRECTORY_SIZE);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        found->names = grown;
        found->room = room;
    }
    memcpy(found->names[found->count++], name, TOPIC_DIRECTORY_SIZE);
    return 0;
}

int rill__topics_sweep(struct store *store)
{
    struct topic_names found = {.store = store};
    struct meta_topic info = {.name = ""};
    char name[TOPIC_DIRECTORY_SIZE];
    int rc = rill__dir_list(&store->dir, collect_topic_directory, &found);

    while (rc == 0) {
        rc = rill__meta_topic_after(store->meta, info.name, &info);
        if (rc != 0) break;
        rill__topic_directory(info.id, name);
        for (size_t i = 0; i < found.count; i++) {
            if (strcmp(found.names[i], name) != 0) continue;
            memcpy(found.names[i], found.names[--found.count], TOPIC_DIRECTORY_SIZE);
            break;
        }
    }
    if (rc == RILL_ERR_NOT_FOUND) rc = 0;
    for (size_t i = 0; i < found.count && rc == 0; i++)
        rc = rill__topic_directory_remove(&store->dir, found.names[i]);
    rill__free(&store->heap, found.names);
    return rc;
}

/* ---- Topics ----------------------------------------------------------- */

int rill__topic_create(struct store *store, const char *name, const rill_topic_options *given)
{
    rill_topic_options options;
    struct meta_topic info = {.created_ms = rill__now_ms()};
    char directory[TOPIC_DIRECTORY_SIZE];
    bool made;
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__options_take(OPTIONS_TOPIC, given, &options);
    if (rc != 0) return rc;
    options.segment_bytes = (options.segment_bytes + 4095) & ~UINT64_C(4095);
    if (options.segment_jitter_ms > options.segment_ms)
        return rill__fail(RILL_ERR_INVALID,
                          "topic %s: segment_jitter_ms is %u; at most segment_ms, which is %u",
                          name, options.segment_jitter_ms, options.segment_ms);
    if (options.compression == 2)
        return rill__fail(RILL_ERR_INVALID,
                          "topic %s: compression 2 is Kafka's snappy; there is none (%d), lz4 "
                          "(%d) and zstd (%d)",
                          name, RILL_COMPRESSION_NONE, RILL_COMPRESSION_LZ4,
                          RILL_COMPRESSION_ZSTD);
    if (options.max_message_bytes > options.segment_bytes - 4096) {
        if (given != NULL && given->size > offsetof(rill_topic_options, max_message_bytes) &&
            given->max_message_bytes != 0)
            return rill__fail(RILL_ERR_INVALID,
                              "topic %s: max_message_bytes is %u; segments of %" PRIu64
                              " bytes hold batches of at most %" PRIu64,
                              name, options.max_message_bytes, options.segment_bytes,
                              options.segment_bytes - 4096);
        options.max_message_bytes = (uint32_t)(options.segment_bytes - 4096);
    }
    rc = rill__meta_topic_get(store->meta, name, &info);
    if (rc == 0) return rill__fail(RILL_ERR_EXISTS, "topic %s exists already", name);
    if (rc != RILL_ERR_NOT_FOUND) return rc;
    rc = rill__random(info.id, sizeof info.id);
    if (rc != 0) return rc;
    memcpy(info.name, name, strlen(name) + 1);
    info.created_ms = rill__now_ms();
    info.partition_count = options.partition_count;
    info.segment_ms = options.segment_ms;
    info.segment_bytes = options.segment_bytes;
    info.max_message_bytes = options.max_message_bytes;
    info.index_interval_bytes = options.index_interval_bytes;
    info.cleanup_policy = options.cleanup_policy;
    info.timestamp_type = options.timestamp_type;
    info.compression = options.compression;
    info.segment_jitter_ms = options.segment_jitter_ms;
    info.retention_ms = options.retention_ms;
    info.retention_bytes = options.retention_bytes;
    info.delete_retention_ms = options.delete_retention_ms;
    info.min_compaction_lag_ms = options.min_compaction_lag_ms;
    info.min_cleanable_dirty_ratio = options.min_cleanable_dirty_ratio;
    rc = make_partitions(store, &info);
    made = rc == 0;
    if (rc == 0) rc = rill__meta_topic_create(store->meta, &info); /* the commit point */
    if (rc != 0) {
        struct saved_message why;
        struct meta_topic there;
        rill__message_save(&why);
        rill__topic_directory(info.id, directory);
        /* A commit that failed may stand all the same; then the next to open
         * the store alone sees what there is. */
        if (!made || rill__meta_topic_get(store->meta, name, &there) == RILL_ERR_NOT_FOUND)
            rill__topic_directory_remove(&store->dir, directory);
        rill__message_restore(&why);
        return rc;
    }
    atomic_fetch_add(&store->shared->catalogue_version, 1);
    for (uint32_t slot = 0; slot < WAKE_SLOTS; slot++) { /* patterns may match it */
        atomic_fetch_add(&store->shared->wake_slots[slot].sequence, 1);
        rill__futex_wake_all(&store->shared->wake_slots[slot].sequence);
    }
    return 0;
}

int rill__topic_delete(struct store *store, const char *name)
{
    struct meta_topic info;
    struct topic *topic;
    char directory[TOPIC_DIRECTORY_SIZE];
    int rc = rill__topic_find(store, name, &topic);

    if (rc != 0) return rc;
    rc = rill__meta_topic_delete(store->meta, name, &info);
    if (rc != 0) return rc;
    atomic_fetch_add(&store->shared->catalogue_version, 1);
    atomic_store(&topic->gone, true);
    /* Others have the control blocks mapped; that is where they see it. */
    for (uint32_t p = 0; p < info.partition_count; p++)
        rill__partition_mark_deleted(topic, (int32_t)p);
    rill__topic_directory(info.id, directory);
    rc = rill__topic_directory_remove(&store->dir, directory);
    return rc == 0 ? rill__dir_sync(&store->dir) : rc;
}

static void fill_topic_info(const struct meta_topic *topic, rill_topic_info *info)
{
    memset(info, 0, sizeof *info);
    memcpy(info->name, topic->name, sizeof info->name);
    memcpy(info->id, topic->id, 16);
    info->created_ms = topic->created_ms;
    info->options.size = sizeof info->options;
    info->options.partition_count = topic->partition_count;
    info->options.segment_ms = topic->segment_ms;
    info->options.segment_bytes = topic->segment_bytes;
    info->options.max_message_bytes = topic->max_message_bytes;
    info->options.index_interval_bytes = topic->index_interval_bytes;
    info->options.cleanup_policy = topic->cleanup_policy;
    info->options.timestamp_type = topic->timestamp_type;
    info->options.compression = topic->compression;
    info->options.segment_jitter_ms = topic->segment_jitter_ms;
    info->options.retention_ms = topic->retention_ms;
    info->options.retention_bytes = topic->retention_bytes;
    info->options.delete_retention_ms = topic->delete_retention_ms;
    info->options.min_compaction_lag_ms = topic->min_compaction_lag_ms;
    info->options.min_cleanable_dirty_ratio = topic->min_cleanable_dirty_ratio;
}

int rill__topic_describe(struct store *store, const char *name, rill_topic_info *info)
{
    struct meta_topic topic;
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__meta_topic_get(store->meta, name, &topic);
    if (rc == 0) fill_topic_info(&topic, info);
    return rc;
}

int rill__topic_list(struct store *store, int (*visit)(void *arg, const rill_topic_info *info),
                     void *arg)
{
    struct meta_topic topic = {.name = ""};
    rill_topic_info info;
    int rc;

    while ((rc = rill__meta_topic_after(store->meta, topic.name, &topic)) == 0) {
        fill_topic_info(&topic, &info);
        rc = visit(arg, &info);
        if (rc != 0) return rc;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

int rill__partition_describe(struct store *store, const char *name, int32_t partition,
                             rill_partition_info *info)
{
    struct topic *topic;
    struct log *log;
    uint32_t count;
    uint64_t bytes;
    int rc = rill__topic_find(store, name, &topic);

    if (rc == 0) rc = rill__partition_log(topic, partition, 10000, &log);
    if (rc == 0) rc = rill__log_segments(log, &count, &bytes);
    if (rc != 0) return rc;
    info->log_start = rill__log_start(log);
    info->log_end = rill__log_end(log);
    info->durable_end = rill__log_durable(log);
    info->leader_epoch = rill__log_epoch(log);
    info->segment_count = count;
    info->segment_bytes = bytes;
    return 0;
}

int rill__partition_delete_records(struct store *store, const char *name, int32_t partition,
                                   rill_offset before, rill_offset *log_start)
{
    int timeout_ms = (int)store->options.open_timeout_ms;
    struct topic *topic;
    struct log *log;
    int64_t start;
    int rc = rill__topic_find(store, name, &topic);

    if (rc == 0) rc = rill__partition_log(topic, partition, timeout_ms, &log);
    if (rc != 0) return rc;
    if (before == RILL_OFFSET_LATEST) before = INT64_MAX;
    rc = rill__log_delete_before(log, before, rill__deadline(timeout_ms), &start);
    if (rc == 0 && log_start != NULL) *log_start = start;
    return rc;
}

int rill__partition_offset_for_time(struct store *store, const char *name, int32_t partition,
                                    int64_t timestamp_ms, rill_offset *offset)
{
    struct topic *topic;
    struct log *log;
    int64_t found;
    int rc = rill__topic_find(store, name, &topic);

    if (rc == 0) rc = rill__partition_log(topic, partition, 10000, &log);
    if (rc == 0) rc = rill__log_offset_for_time(log, timestamp_ms, &found);
    if (rc == 0) *offset = found;
    return rc;
}
