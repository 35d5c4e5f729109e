/*
 * engine/topic.c - topics that this process uses, and the logs of their partitions.
 *
 *     find -> topic with a reference -> log with a reference -> release -> release
 *
 * A topic stays in the list while somebody has a reference to it, and after that
 * until it is deleted. A log is open while somebody has a reference, and after that
 * until maintenance closes it, because it was not used for a while, or because too
 * many are open.
 *
 * What the catalogue says of a topic may change at any time, in any process. The
 * number of the catalogue's version is compared where a topic is used, and if it is
 * another one, the topic is read again: rill__topic_follow.
 *
 * Always true:
 *   - a topic that is gone stays so; one of the same name is another topic;
 *   - partitions are only added, and do not move in memory;
 *   - a log is closed by whoever has made its references CLOSED out of 0.
 */
#include "engine/store.h"
#include "base/bytes.h"
#include <inttypes.h>
#include <string.h>
#include <stdio.h>

#define CLOSED (UINT32_C(1) << 31) /* in place of a number of references */

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

void rill__catalogue_changed(struct store *store)
{
    atomic_fetch_add(&store->shared->catalogue_version, 1);
    for (uint32_t slot = 0; slot < WAKE_SLOTS; slot++) { /* whoever sleeps may be concerned */
        atomic_fetch_add(&store->shared->wake_slots[slot].sequence, 1);
        rill__futex_wake_all(&store->shared->wake_slots[slot].sequence);
    }
}

/* ---- Partitions ------------------------------------------------------- */

struct partition *rill__topic_partition(struct topic *topic, int32_t number)
{
    struct partition_block *block = topic->blocks;

    if (number < 0 || (uint32_t)number >= rill__topic_partition_count(topic)) return NULL;
    while ((uint32_t)number - block->first >= block->count) block = block->next;
    return &block->partitions[(uint32_t)number - block->first];
}

/* Under topic->lock, or while nobody else knows the topic. */
static int grow_partitions(struct topic *topic, uint32_t count)
{
    uint32_t first = atomic_load_explicit(&topic->partition_count, memory_order_relaxed);
    struct partition_block **at = &topic->blocks;
    struct partition_block *block;

    if (count <= first) return 0; /* what was seen of it later came sooner */
    block = rill__alloc(&topic->store->heap,
                        sizeof *block + (count - first) * sizeof block->partitions[0]);
    if (block == NULL) return RILL_ERR_NO_MEMORY;
    block->first = first;
    block->count = count - first;
    for (uint32_t i = 0; i < block->count; i++) {
        block->partitions[i].topic = topic;
        block->partitions[i].number = (int32_t)(first + i);
        atomic_init(&block->partitions[i].references, CLOSED);
    }
    while (*at != NULL) at = &(*at)->next;
    *at = block;
    atomic_store_explicit(&topic->partition_count, count, memory_order_release);
    return 0;
}

/* ---- Configuration ---------------------------------------------------- */

static uint32_t millionths(double ratio)
{
    uint32_t ppm = (uint32_t)(ratio * 1000000);
    return ppm == 0 ? 1 : ppm;
}

/* What may change in a log's configuration. */
static void fill_config(struct log_config *config, const struct meta_topic *info)
{
    config->segment_bytes = info->segment_bytes;
    config->segment_ms = info->segment_ms;
    config->segment_jitter_ms = info->segment_jitter_ms;
    config->cleanup_policy = info->cleanup_policy;
    config->timestamp_type = info->timestamp_type;
    config->retention_ms = info->retention_ms;
    config->retention_bytes = info->retention_bytes;
    config->delete_retention_ms = info->delete_retention_ms;
    config->min_compaction_lag_ms = info->min_compaction_lag_ms;
    config->min_dirty_ppm = millionths(info->min_cleanable_dirty_ratio);
}

/* Under topic->lock. */
static void set_config(struct topic *topic, const struct meta_topic *info, uint64_t version)
{
    topic->config = *info;
    atomic_store_explicit(&topic->max_message_bytes, info->max_message_bytes,
                          memory_order_relaxed);
    atomic_store_explicit(&topic->cleanup_policy, info->cleanup_policy, memory_order_relaxed);
    atomic_store_explicit(&topic->timestamp_type, info->timestamp_type, memory_order_relaxed);
    atomic_store_explicit(&topic->compression, info->compression, memory_order_relaxed);
    atomic_store_explicit(&topic->version_seen, version, memory_order_relaxed);
}

/* info was read at that version, or later. */
static int take_config(struct topic *topic, const struct meta_topic *info, uint64_t version)
{
    struct log_config config = {0};
    int rc;

    rill__mutex_lock(&topic->lock);
    if (version <= atomic_load_explicit(&topic->version_seen, memory_order_relaxed)) {
        rill__mutex_unlock(&topic->lock);
        return 0;
    }
    rc = grow_partitions(topic, info->partition_count);
    if (rc == 0) {
        set_config(topic, info, version);
        fill_config(&config, info);
        for (uint32_t p = 0; p < info->partition_count; p++) {
            struct log *log = rill__partition_if_open(topic, (int32_t)p);
            if (log == NULL) continue;
            rill__log_configure(log, &config);
            rill__partition_leave(topic, (int32_t)p);
        }
    }
    rill__mutex_unlock(&topic->lock);
    return rc;
}

int rill__topic_look(struct topic *topic)
{
    uint64_t version = rill__catalogue_version(topic->store);
    struct meta_topic now;
    int rc = rill__meta_topic_get(topic->store->meta, topic->info.name, &now);

    if (rc == RILL_ERR_NOT_FOUND || (rc == 0 && memcmp(now.id, topic->info.id, 16) != 0)) {
        atomic_store(&topic->gone, true);
        return rill__fail(RILL_ERR_NOT_FOUND, "topic %s was deleted", topic->info.name);
    }
    return rc == 0 ? take_config(topic, &now, version) : rc;
}

/* ---- Topics ----------------------------------------------------------- */

static struct topic **topic_bucket(struct store *store, const uint8_t id[16])
{
    return &store->topic_buckets[id[0] % TOPIC_BUCKETS];
}

static void topic_free(struct topic *topic)
{
    struct heap *heap = &topic->store->heap;

    while (topic->blocks != NULL) {
        struct partition_block *block = topic->blocks;
        topic->blocks = block->next;
        for (uint32_t i = 0; i < block->count; i++) {
            struct log *log = block->partitions[i].log;
            if (log == NULL) continue;
            if (atomic_load(&block->partitions[i].references) == 0)
                atomic_fetch_sub(&topic->store->unused_logs, 1);
            rill__log_close(log);
        }
        rill__free(heap, block);
    }
    rill__mutex_deinit(&topic->lock);
    rill__mutex_deinit(&topic->open_lock);
    rill__free(heap, topic);
}

static int topic_new(struct store *store, const struct meta_topic *info, uint64_t version,
                     struct topic **out)
{
    size_t name_size = strlen(info->name) + 1;
    struct topic *topic = rill__alloc(&store->heap, sizeof *topic + name_size);
    int rc;

    if (topic == NULL) return RILL_ERR_NO_MEMORY;
    topic->store = store;
    topic->info.name = memcpy(topic + 1, info->name, name_size);
    memcpy(topic->info.id, info->id, 16);
    topic->number = rill__topic_number(info->id);
    rill__mutex_init(&topic->lock);
    rill__mutex_init(&topic->open_lock);
    set_config(topic, info, version);
    rc = grow_partitions(topic, info->partition_count);
    if (rc == 0) *out = topic;
    else topic_free(topic);
    return rc;
}

/* Into the list and its bucket; under store->lock. */
static void insert(struct store *store, struct topic *topic)
{
    struct topic **bucket = topic_bucket(store, topic->info.id);

    topic->next_in_bucket = *bucket;
    *bucket = topic;
    topic->next = store->topics;
    if (topic->next != NULL) topic->next->before = &topic->next;
    topic->before = &store->topics;
    store->topics = topic;
}

static void take_out(struct store *store, struct topic *topic)
{
    struct topic **at = topic_bucket(store, topic->info.id);

    while (*at != topic) at = &(*at)->next_in_bucket;
    *at = topic->next_in_bucket;
    *topic->before = topic->next;
    if (topic->next != NULL) topic->next->before = topic->before;
}

int rill__topic_find(struct store *store, const char *name, struct topic **out)
{
    uint64_t version = rill__catalogue_version(store);
    struct meta_topic info;
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__meta_topic_get(store->meta, name, &info);
    return rc == 0 ? rill__topic_of(store, &info, version, out) : rc;
}

int rill__topic_of(struct store *store, const struct meta_topic *info, uint64_t version,
                   struct topic **out)
{
    struct topic *topic;
    int rc = 0;

    rill__mutex_lock(&store->lock);
    for (topic = *topic_bucket(store, info->id); topic != NULL; topic = topic->next_in_bucket)
        if (memcmp(topic->info.id, info->id, 16) == 0) break;
    if (topic == NULL) {
        rc = topic_new(store, info, version, &topic);
        if (rc == 0) insert(store, topic);
    }
    if (rc == 0) topic->references++;
    rill__mutex_unlock(&store->lock);
    if (rc == 0) rc = take_config(topic, info, version);
    if (rc == 0) *out = topic;
    else rill__topic_release(topic);
    return rc;
}

struct topic *rill__topic_numbered(struct store *store, uint64_t number)
{
    struct topic *topic;

    rill__mutex_lock(&store->lock);
    for (topic = store->topics; topic != NULL && topic->number != number;) topic = topic->next;
    if (topic != NULL) topic->references++;
    rill__mutex_unlock(&store->lock);
    return topic;
}

void rill__topic_keep(struct topic *topic)
{
    rill__mutex_lock(&topic->store->lock);
    topic->references++;
    rill__mutex_unlock(&topic->store->lock);
}

void rill__topic_release(struct topic *topic)
{
    struct store *store;
    bool last;

    if (topic == NULL) return;
    store = topic->store;
    rill__mutex_lock(&store->lock);
    last = --topic->references == 0 && atomic_load(&topic->gone);
    if (last) take_out(store, topic);
    rill__mutex_unlock(&store->lock);
    if (last) topic_free(topic);
}

struct topic *rill__topic_after(struct store *store, struct topic *topic)
{
    struct topic *next;

    rill__mutex_lock(&store->lock);
    next = topic == NULL ? store->topics : topic->next;
    if (next != NULL) next->references++;
    rill__mutex_unlock(&store->lock);
    rill__topic_release(topic);
    return next;
}

void rill__topics_close(struct store *store)
{
    while (store->topics != NULL) {
        struct topic *topic = store->topics;
        take_out(store, topic);
        topic_free(topic);
    }
}

/* ---- Logs ------------------------------------------------------------- */

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

static int open_directory(const struct partition *partition, struct file *dir)
{
    struct topic *topic = partition->topic;
    struct file topic_dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    char number[16];
    int rc;

    rill__topic_directory(topic->info.id, name);
    snprintf(number, sizeof number, "%d", (int)partition->number);
    rc = rill__dir_open_at(&topic->store->dir, name, &topic_dir);
    if (rc == 0) rc = rill__dir_open_at(&topic_dir, number, dir);
    rill__file_close(&topic_dir);
    return rc;
}

/* The same by its path. Good for a look: a link in it leads to another answer, and no
 * further. */
struct partition_path {
    struct file dir;
    char path[DIR_PATH_MAX];
};

static void name_directory(const struct partition *partition, struct partition_path *at)
{
    char name[TOPIC_DIRECTORY_SIZE];

    rill__topic_directory(partition->topic->info.id, name);
    snprintf(at->path, sizeof at->path, "%s/%d", name, (int)partition->number);
    rill__dir_below(&partition->topic->store->dir, at->path, &at->dir);
}

static int find_segment(void *arg, const char *name)
{
    size_t size = strlen(name);

    *(bool *)arg = size > 4 && strcmp(name + size - 4, ".log") == 0;
    return *(bool *)arg ? 1 : 0;
}

int rill__partition_is_empty(struct topic *topic, int32_t number, bool *empty)
{
    struct partition_path at;
    bool found = false;
    int rc;

    name_directory(rill__topic_partition(topic, number), &at);
    rc = rill__dir_list(&at.dir, find_segment, &found);
    *empty = !found;
    return found ? 0 : rc;
}

static bool process_is_gone(void *arg, uint32_t process)
{
    struct store *store = arg;
    uint64_t ticket = atomic_load(&store->shared->processes[process].ticket);

    return rill__process_is_gone(store, process, ticket);
}

int rill__partition_needs_sync(struct topic *topic, int32_t number, bool *needs)
{
    struct partition_path at;
    int rc;

    name_directory(rill__topic_partition(topic, number), &at);
    rc = rill__log_needs_sync(&at.dir, topic->store->boot_id, needs);
    if (rc == RILL_ERR_NOT_FOUND || rc == RILL_ERR_CORRUPT) { /* opening it tells which */
        *needs = true;
        rc = 0;
    }
    return rc;
}

/* A segment is made while the one before it is filled. */
static void segment_due(void *arg)
{
    rill__store_due(arg, 0);
}

static int open_log(struct partition *partition, int timeout_ms, struct log **log)
{
    struct topic *topic = partition->topic;
    struct store *store = topic->store;
    struct file dir = FILE_NONE;
    struct partition_path at;
    struct log_config config = {
        .heap = &store->heap,
        .partition = partition->number,
        .sync_interval_ms = store->options.sync_interval_ms,
        .incarnation = store->incarnation,
        .process = (uint32_t)store->process_slot,
        .wake_slots = store->shared->wake_slots,
        .copy_on_write = store->file_system.copy_on_write,
        .say = rill__store_say,
        .say_arg = store,
        .next_due = segment_due,
        .recovered = clamp_committed,
        .recovered_arg = partition,
        .idle_segments = &store->idle_segments,
        .kept_files = &store->kept_files,
        .process_is_gone = process_is_gone,
        .process_arg = store,
        .mapped_bytes = &store->counters->mapped_bytes,
        .syncs = &store->counters->syncs,
        .rolls = &store->counters->segments_rolled,
        .deletions = &store->counters->segments_deleted,
        .recoveries = &store->counters->recoveries,
        .wakeups = &store->counters->wakeups,
    };
    int rc;

    memcpy(config.topic_id, topic->info.id, 16);
    memcpy(config.boot_id, store->boot_id, 16);
    rill__mutex_lock(&topic->lock);
    config.index_interval_bytes = topic->config.index_interval_bytes;
    fill_config(&config, &topic->config);
    rill__mutex_unlock(&topic->lock);
    rc = open_directory(partition, &dir);
    if (rc == RILL_ERR_NOT_FOUND)
        rc = rill__fail_prefix(RILL_ERR_CORRUPT, "topic %s is in the catalogue, but",
                               topic->info.name);
    if (rc == 0) { /* neither is a link */
        rill__file_close(&dir);
        name_directory(partition, &at);
        rc = rill__log_open(&config, &at.dir, timeout_ms, log);
    }
    return rc;
}

/* With one more reference; false: it is closed. */
static bool take_open(struct partition *partition)
{
    uint32_t n = atomic_load(&partition->references);

    while (n != CLOSED)
        if (atomic_compare_exchange_weak(&partition->references, &n, n + 1)) {
            if (n == 0) atomic_fetch_sub(&partition->topic->store->unused_logs, 1);
            return true;
        }
    return false;
}

/* Closed until now, for whoever holds open_lock. */
static int open_closed(struct partition *partition, int timeout_ms)
{
    struct topic *topic = partition->topic;
    struct log_config config = {0};
    struct log *log = NULL;
    int rc = open_log(partition, timeout_ms, &log);

    if (rc != 0) return rc;
    rill__mutex_lock(&topic->lock); /* what was altered meanwhile has not found it */
    fill_config(&config, &topic->config);
    rill__log_configure(log, &config);
    partition->log = log;
    atomic_store(&partition->references, 1);
    rill__mutex_unlock(&topic->lock);
    return 0;
}

/* A topic leaves the catalogue before its files go: what is not there then is no
 * damage, and what was recovered meanwhile does not know it. */
static int check_there(struct topic *topic, int rc)
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

int rill__partition_log(struct topic *topic, int32_t number, int timeout_ms, struct log **out)
{
    struct partition *partition = rill__topic_partition(topic, number);
    bool fresh = false;
    int rc = 0;

    if (partition == NULL)
        return rill__fail(RILL_ERR_NOT_FOUND, "topic %s has partitions 0 to %u, not %d",
                          topic->info.name, rill__topic_partition_count(topic) - 1, (int)number);
    if (!take_open(partition)) {
        rill__mutex_lock(&topic->open_lock);
        fresh = !take_open(partition);
        if (fresh) rc = open_closed(partition, timeout_ms);
        rill__mutex_unlock(&topic->open_lock);
    }
    if (rc == RILL_ERR_CORRUPT) return check_there(topic, rc);
    if (rc != 0) return rc;
    if (fresh) rc = check_there(topic, 0);
    if (rc == 0) {
        *out = partition->log;
    } else { /* for whoever has found it open meanwhile */
        rill__log_mark_deleted(partition->log);
        rill__partition_release(topic, number);
    }
    return rc;
}

struct log *rill__partition_if_open(struct topic *topic, int32_t number)
{
    struct partition *partition = rill__topic_partition(topic, number);
    return partition != NULL && take_open(partition) ? partition->log : NULL;
}

/* Under topic->open_lock; not if it is used again by now. */
static void close_unused(struct partition *partition)
{
    struct log *log = partition->log;
    uint32_t none = 0;

    if (!atomic_compare_exchange_strong(&partition->references, &none, CLOSED)) return;
    atomic_fetch_sub(&partition->topic->store->unused_logs, 1);
    partition->log = NULL;
    rill__log_close(log);
}

/* Returns whether nobody uses the log now. */
static bool drop_reference(struct partition *partition)
{
    _Atomic uint32_t *unused = &partition->topic->store->unused_logs;

    atomic_fetch_add(unused, 1); /* first, so that it is never below 0 */
    if (atomic_fetch_sub(&partition->references, 1) == 1) return true;
    atomic_fetch_sub(unused, 1);
    return false;
}

void rill__partition_leave(struct topic *topic, int32_t number)
{
    drop_reference(rill__topic_partition(topic, number));
}

void rill__partition_release(struct topic *topic, int32_t number)
{
    struct partition *partition = rill__topic_partition(topic, number);

    atomic_store_explicit(&partition->left_ms, rill__tick_ms(), memory_order_relaxed);
    if (!drop_reference(partition) ||
        atomic_load(&topic->store->unused_logs) <= UNUSED_LOGS_MAX ||
        !rill__mutex_trylock(&topic->open_lock))
        return;
    if (take_open(partition)) { /* what is to be synced waits for maintenance */
        bool clean = rill__log_is_clean(partition->log);
        if (drop_reference(partition) && clean) close_unused(partition);
    }
    rill__mutex_unlock(&topic->open_lock);
}

int rill__partition_close_unused(struct topic *topic, int32_t number, int64_t unused_ms)
{
    struct partition *partition = rill__topic_partition(topic, number);
    int64_t since =
        rill__tick_ms() - atomic_load_explicit(&partition->left_ms, memory_order_relaxed);
    int rc = 0;

    if (atomic_load(&partition->references) != 0 || since < unused_ms) return 0;
    rill__mutex_lock(&topic->open_lock);
    if (take_open(partition)) {
        rc = atomic_load(&topic->gone) ? 0 : rill__log_checkpoint(partition->log);
        if (rc == RILL_ERR_NOT_FOUND || rc == RILL_ERR_POISONED) rc = 0; /* no more to be had */
        if (drop_reference(partition) && rc == 0) close_unused(partition);
    }
    rill__mutex_unlock(&topic->open_lock);
    return rc;
}

/* A log that is not in use does not stay open for this. */
void rill__partition_mark_deleted(struct topic *topic, int32_t number)
{
    struct partition *partition = rill__topic_partition(topic, number);
    struct file dir = FILE_NONE;

    rill__mutex_lock(&topic->open_lock);
    if (take_open(partition)) {
        rill__log_mark_deleted(partition->log);
        drop_reference(partition);
    } else if (open_directory(partition, &dir) == 0) {
        rill__log_mark_deleted_at(&dir, topic->store->shared->wake_slots);
        rill__file_close(&dir);
    }
    rill__mutex_unlock(&topic->open_lock);
}
