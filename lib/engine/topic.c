/*
 * engine/topic.c - topics: the catalogue's rows and the directories beside it.
 *
 * A topic exists when it is in the catalogue. Its directories are made and
 * synced before that, and removed after it is taken out; what a crash leaves
 * between is swept at the next first open.
 */
#include "engine/store.h"
#include "base/bytes.h"
#include <inttypes.h>
#include <stdio.h>

#define HEX_ID 33

static void topic_directory(const uint8_t id[16], char name[HEX_ID])
{
    for (int i = 0; i < 16; i++) snprintf(name + (size_t)i * 2, 3, "%02x", id[i]);
}

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

uint64_t rill__catalogue_version(const struct store *store)
{
    return atomic_load_explicit(&store->shared->catalogue_version, memory_order_acquire);
}

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

static int remove_topic_directory(struct store *store, const char *name)
{
    struct file dir = FILE_NONE;
    int rc = rill__dir_open_at(&store->dir, name, &dir);

    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc == 0) rc = rill__dir_list(&dir, remove_partition, &dir);
    rill__file_close(&dir);
    return rc == 0 ? rill__dir_remove_at(&store->dir, name) : rc;
}

static int make_partitions(struct store *store, const struct meta_topic *info)
{
    struct file topic_dir = FILE_NONE;
    struct file dir = FILE_NONE;
    char name[HEX_ID];
    char number[16];
    int rc;

    topic_directory(info->id, name);
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
    char (*names)[HEX_ID]; /* directories that look like a topic's */
    size_t count;
    size_t room;
};

static int collect_topic_directory(void *arg, const char *name)
{
    struct topic_names *found = arg;

    if (strlen(name) != HEX_ID - 1 || strspn(name, "0123456789abcdef") != HEX_ID - 1) return 0;
    if (found->count == found->room) {
        size_t room = found->room == 0 ? 64 : found->room * 2;
        void *grown = rill__resize(&found->store->heap, found->names, room * HEX_ID);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        found->names = grown;
        found->room = room;
    }
    memcpy(found->names[found->count++], name, HEX_ID);
    return 0;
}

int rill__topics_sweep(struct store *store)
{
    struct topic_names found = {.store = store};
    struct meta_topic info = {.name = ""};
    char name[HEX_ID];
    int rc = rill__dir_list(&store->dir, collect_topic_directory, &found);

    while (rc == 0) {
        rc = rill__meta_topic_after(store->meta, info.name, &info);
        if (rc != 0) break;
        topic_directory(info.id, name);
        for (size_t i = 0; i < found.count; i++) {
            if (strcmp(found.names[i], name) != 0) continue;
            memcpy(found.names[i], found.names[--found.count], HEX_ID);
            break;
        }
    }
    if (rc == RILL_ERR_NOT_FOUND) rc = 0;
    for (size_t i = 0; i < found.count && rc == 0; i++)
        rc = remove_topic_directory(store, found.names[i]);
    rill__free(&store->heap, found.names);
    return rc;
}

/* ---- Topics that are open here ---------------------------------------- */

static int topic_new(struct store *store, const struct meta_topic *info, struct topic **out)
{
    struct topic *topic = rill__alloc(&store->heap, sizeof *topic);
    int rc;

    if (topic == NULL) return RILL_ERR_NO_MEMORY;
    topic->store = store;
    topic->info = *info;
    topic->number = rill__get64(info->id);
    topic->partitions =
        rill__alloc(&store->heap, info->partition_count * sizeof *topic->partitions);
    rc = topic->partitions == NULL ? RILL_ERR_NO_MEMORY : rill__mutex_init(&topic->lock);
    if (rc != 0) {
        rill__free(&store->heap, topic->partitions);
        rill__free(&store->heap, topic);
        return rc;
    }
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

static int open_log(struct partition *partition, int timeout_ms, struct log **log)
{
    struct topic *topic = partition->topic;
    struct store *store = topic->store;
    struct file topic_dir = FILE_NONE;
    struct file dir = FILE_NONE;
    char name[HEX_ID];
    char number[16];
    struct log_config config = {
        .heap = &store->heap,
        .partition = partition->number,
        .segment_bytes = topic->info.segment_bytes,
        .segment_ms = topic->info.segment_ms,
        .index_interval_bytes = topic->info.index_interval_bytes,
        .sync_interval_ms = store->options.sync_interval_ms,
        .incarnation = store->incarnation,
        .wake_slots = store->shared->wake_slots,
        .copy_on_write = store->file_system.copy_on_write,
        .say = rill__store_say,
        .say_arg = store,
        .recovered = clamp_committed,
        .recovered_arg = partition,
        .idle_segments = &store->idle_segments,
        .mapped_bytes = &store->mapped_bytes,
        .syncs = &store->syncs,
        .rolls = &store->rolls,
        .recoveries = &store->recoveries,
        .wakeups = &store->wakeups,
    };
    int rc;

    memcpy(config.topic_id, topic->info.id, 16);
    memcpy(config.boot_id, store->boot_id, 16);
    topic_directory(topic->info.id, name);
    snprintf(number, sizeof number, "%d", (int)partition->number);
    rc = rill__dir_open_at(&store->dir, name, &topic_dir);
    if (rc == 0) rc = rill__dir_open_at(&topic_dir, number, &dir);
    if (rc == RILL_ERR_NOT_FOUND)
        rc = rill__fail_prefix(RILL_ERR_CORRUPT, "topic %s is in the catalogue, but",
                               topic->info.name);
    if (rc == 0) rc = rill__log_open(&config, &dir, timeout_ms, log);
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

/* ---- Administration --------------------------------------------------- */

int rill__topic_create(struct store *store, const char *name, const rill_topic_options *given)
{
    rill_topic_options options;
    struct meta_topic info = {.created_ms = rill__now_ms()};
    char directory[HEX_ID];
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__options_take(OPTIONS_TOPIC, given, &options);
    if (rc != 0) return rc;
    options.segment_bytes = (options.segment_bytes + 4095) & ~UINT64_C(4095);
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
    rc = make_partitions(store, &info);
    if (rc == 0) rc = rill__meta_topic_create(store->meta, &info); /* the commit point */
    if (rc != 0) {
        struct saved_message why;
        rill__message_save(&why);
        topic_directory(info.id, directory);
        remove_topic_directory(store, directory);
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
    struct log *log;
    char directory[HEX_ID];
    int rc = rill__topic_find(store, name, &topic);

    if (rc != 0) return rc;
    rc = rill__meta_topic_delete(store->meta, name, &info);
    if (rc != 0) return rc;
    atomic_fetch_add(&store->shared->catalogue_version, 1);
    atomic_store(&topic->gone, true);
    /* Others have the control blocks mapped; that is where they see it. */
    for (uint32_t p = 0; p < info.partition_count; p++)
        if (rill__partition_log(topic, (int32_t)p, 1000, &log) == 0) rill__log_mark_deleted(log);
    topic_directory(info.id, directory);
    rc = remove_topic_directory(store, directory);
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
