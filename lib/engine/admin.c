/*
 * engine/admin.c - topics made, deleted, described.
 *
 * A topic exists when it is in the catalogue. Its directories are made and
 * synced before that, and removed after it is taken out; what a crash leaves
 * between is swept at the next first open.
 */
#include "engine/store.h"
#include <string.h>

int rill__topic_create(struct store *store, const char *name, const rill_topic_options *given)
{
    struct meta_topic info = {.created_ms = rill__now_ms()};
    bool made;
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__topic_options_take(given, &info);
    if (rc != 0) return rc;
    {
        struct meta_topic there;
        rc = rill__meta_topic_get(store->meta, name, &there);
    }
    if (rc == 0) return rill__fail(RILL_ERR_EXISTS, "topic %s exists already", name);
    if (rc != RILL_ERR_NOT_FOUND) return rc;
    rc = rill__random(info.id, sizeof info.id);
    if (rc != 0) return rc;
    memcpy(info.name, name, strlen(name) + 1);
    rc = rill__directories_make(store, info.id, 0, info.partition_count);
    made = rc == 0;
    if (rc == 0) rc = rill__meta_topic_create(store->meta, &info); /* the commit point */
    if (rc != 0) {
        struct saved_message why;
        struct meta_topic there;
        rill__message_save(&why);
        /* A commit that failed may stand all the same; then the next to open
         * the store alone sees what there is. */
        if (!made || rill__meta_topic_get(store->meta, name, &there) == RILL_ERR_NOT_FOUND)
            rill__directories_remove(store, info.id);
        rill__message_restore(&why);
        return rc;
    }
    rill__catalogue_changed(store); /* patterns may match it */
    return 0;
}

static int delete_topic(struct store *store, struct topic *topic)
{
    struct meta_topic info;
    int rc = rill__meta_topic_delete(store->meta, topic->info.name, &info);

    if (rc != 0) return rc;
    atomic_store(&topic->gone, true);
    rill__catalogue_changed(store);
    /* Others have the control blocks mapped; that is where they see it. */
    for (uint32_t p = 0; p < rill__topic_partition_count(topic); p++)
        rill__partition_mark_deleted(topic, (int32_t)p);
    rc = rill__directories_remove(store, info.id);
    return rc == 0 ? rill__dir_sync(&store->dir) : rc;
}

int rill__topic_delete(struct store *store, const char *name)
{
    struct topic *topic;
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__directories_lock(store);
    if (rc != 0) return rc;
    rc = rill__topic_find(store, name, &topic);
    if (rc == 0) {
        rc = delete_topic(store, topic);
        rill__topic_release(topic);
    }
    rill__directories_unlock(store);
    return rc;
}

static void show_topic(const struct meta_topic *topic, rill_topic_info *info)
{
    memset(info, 0, sizeof *info);
    memcpy(info->name, topic->name, sizeof info->name);
    memcpy(info->id, topic->id, 16);
    info->created_ms = topic->created_ms;
    rill__topic_options_show(topic, &info->options);
}

static int measure_topic(struct topic *topic, rill_topic_info *info)
{
    int rc = 0;

    for (uint32_t p = 0; rc == 0 && p < info->options.partition_count; p++) {
        uint32_t count = 0;
        uint64_t bytes = 0;
        struct log *log;

        rc = rill__partition_log(topic, (int32_t)p, 10000, &log);
        if (rc != 0) break;
        rc = rill__log_segments(log, &count, &bytes);
        info->stored_bytes += bytes;
        info->segment_count += count;
        info->record_span += (uint64_t)(rill__log_end(log) - rill__log_start(log));
        rill__partition_release(topic, (int32_t)p);
    }
    return rc;
}

int rill__topic_describe(struct store *store, const char *name, rill_topic_info *out)
{
    uint64_t version = rill__catalogue_version(store);
    struct meta_topic now;
    rill_topic_info info;
    struct topic *topic;
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__meta_topic_get(store->meta, name, &now);
    if (rc == 0) rc = rill__topic_of(store, &now, version, &topic);
    if (rc != 0) return rc;
    show_topic(&now, &info);
    rc = measure_topic(topic, &info);
    rill__topic_release(topic);
    if (rc == 0) *out = info;
    return rc;
}

int rill__topic_list(struct store *store, int (*visit)(void *arg, const rill_topic_info *info),
                     void *arg)
{
    struct meta_topic topic = {.name = ""};
    rill_topic_info info;
    int rc;

    while ((rc = rill__meta_topic_after(store->meta, topic.name, &topic)) == 0) {
        show_topic(&topic, &info);
        rc = visit(arg, &info);
        if (rc != 0) return rc;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

/* ---- One partition ---------------------------------------------------- */

static int use_partition(struct store *store, const char *name, int32_t partition, int timeout_ms,
                         struct topic **topic, struct log **log)
{
    int rc = rill__topic_find(store, name, topic);

    if (rc != 0) return rc;
    rc = rill__partition_log(*topic, partition, timeout_ms, log);
    if (rc != 0) rill__topic_release(*topic);
    return rc;
}

static void leave_partition(struct topic *topic, int32_t partition)
{
    rill__partition_release(topic, partition);
    rill__topic_release(topic);
}

int rill__partition_describe(struct store *store, const char *name, int32_t partition,
                             rill_partition_info *info)
{
    struct topic *topic;
    struct log *log;
    uint32_t count;
    uint64_t bytes;
    int rc = use_partition(store, name, partition, 10000, &topic, &log);

    if (rc != 0) return rc;
    rc = rill__log_segments(log, &count, &bytes);
    if (rc == 0) {
        info->log_start = rill__log_start(log);
        info->log_end = rill__log_end(log);
        info->durable_end = rill__log_durable(log);
        info->leader_epoch = rill__log_epoch(log);
        info->segment_count = count;
        info->segment_bytes = bytes;
    }
    leave_partition(topic, partition);
    return rc;
}

int rill__partition_delete_records(struct store *store, const char *name, int32_t partition,
                                   rill_offset before, rill_offset *log_start)
{
    int timeout_ms = (int)store->options.open_timeout_ms;
    struct topic *topic;
    struct log *log;
    int64_t start;
    int rc = use_partition(store, name, partition, timeout_ms, &topic, &log);

    if (rc != 0) return rc;
    if (before == RILL_OFFSET_LATEST) before = INT64_MAX;
    rc = rill__log_delete_before(log, before, rill__deadline(timeout_ms), &start);
    leave_partition(topic, partition);
    if (rc == 0 && log_start != NULL) *log_start = start;
    return rc;
}

int rill__partition_offset_for_time(struct store *store, const char *name, int32_t partition,
                                    int64_t timestamp_ms, rill_offset *offset)
{
    struct topic *topic;
    struct log *log;
    int64_t found;
    int rc = use_partition(store, name, partition, 10000, &topic, &log);

    if (rc != 0) return rc;
    rc = rill__log_offset_for_time(log, timestamp_ms, &found);
    leave_partition(topic, partition);
    if (rc == 0) *offset = found;
    return rc;
}
