/*
 * engine/directories.c - the directories of topics: made before the catalogue knows
 * of them, removed after it has forgotten them.
 *
 *     <32 hex digits of the id>/<partition>/    the files of its log
 *
 * What a crash leaves between is swept by the next process that is alone in the
 * store; and directories of partitions that the catalogue does not know are empty
 * of records, so whoever adds partitions begins with removing what is there.
 */
#include "engine/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- One topic -------------------------------------------------------- */

static int remove_entry(void *arg, const char *name)
{
    return rill__file_remove(arg, name);
}

static int remove_partition(const struct file *topic_dir, const char *name)
{
    struct file dir = FILE_NONE;
    int rc = rill__dir_open_at(topic_dir, name, &dir);

    if (rc == 0) rc = rill__dir_list(&dir, remove_entry, &dir);
    rill__file_close(&dir);
    return rc == 0 ? rill__dir_remove_at(topic_dir, name) : rc;
}

static int remove_in_topic(void *arg, const char *name)
{
    return remove_partition(arg, name);
}

int rill__topic_directory_remove(const struct file *store_dir, const char *name)
{
    struct file dir = FILE_NONE;
    int rc = rill__dir_open_at(store_dir, name, &dir);

    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc == 0) rc = rill__dir_list(&dir, remove_in_topic, &dir);
    rill__file_close(&dir);
    return rc == 0 ? rill__dir_remove_at(store_dir, name) : rc;
}

int rill__directories_remove(struct store *store, const uint8_t id[16])
{
    char name[TOPIC_DIRECTORY_SIZE];

    rill__topic_directory(id, name);
    return rill__topic_directory_remove(&store->dir, name);
}

static int make_partition(struct store *store, const struct file *topic_dir, uint32_t number)
{
    struct file dir = FILE_NONE;
    char name[16];
    bool exists;
    int rc;

    snprintf(name, sizeof name, "%u", number);
    rc = rill__file_exists(topic_dir, name, &exists);
    if (rc == 0 && exists) rc = remove_partition(topic_dir, name);
    if (rc == 0) rc = rill__dir_make_at(topic_dir, name);
    if (rc == 0) rc = rill__dir_open_at(topic_dir, name, &dir);
    if (rc == 0 && store->file_system.copy_on_write) rc = rill__dir_set_nocow(&dir);
    if (rc == 0) rc = rill__log_create(&dir);
    rill__file_close(&dir);
    return rc;
}

int rill__directories_make(struct store *store, const uint8_t id[16], uint32_t first,
                           uint32_t count)
{
    struct file topic_dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    int rc;

    rill__topic_directory(id, name);
    rc = first == 0 ? rill__dir_make_at(&store->dir, name) : 0;
    if (rc == 0) rc = rill__dir_open_at(&store->dir, name, &topic_dir);
    if (rc == 0 && store->file_system.copy_on_write) rc = rill__dir_set_nocow(&topic_dir);
    for (uint32_t p = first; p < count && rc == 0; p++) rc = make_partition(store, &topic_dir, p);
    if (rc == 0) rc = rill__dir_sync(&topic_dir);
    if (rc == 0 && first == 0) rc = rill__dir_sync(&store->dir);
    rill__file_close(&topic_dir);
    return rc;
}

int rill__directories_lock(struct store *store)
{
    int rc;

    rill__mutex_lock(&store->directories_lock);
    rc = rill__file_lock(&store->shared_file, TOPICS_BYTE, FILE_LOCK_EXCLUSIVE,
                         (int)store->options.open_timeout_ms);
    if (rc != 0) rill__mutex_unlock(&store->directories_lock);
    return rc;
}

void rill__directories_unlock(struct store *store)
{
    rill__file_lock(&store->shared_file, TOPICS_BYTE, FILE_LOCK_NONE, 0);
    rill__mutex_unlock(&store->directories_lock);
}

/* ---- All of them ------------------------------------------------------ */

struct topic_names {
    struct store *store;
    char (*names)[TOPIC_DIRECTORY_SIZE]; /* directories that look like a topic's */
    size_t count;
    size_t room;
};

static int collect_name(void *arg, const char *name)
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

static int compare_names(const void *a, const void *b)
{
    return memcmp(a, b, TOPIC_DIRECTORY_SIZE - 1);
}

struct surplus {
    const struct file *topic_dir;
    uint32_t count; /* partitions that there should be */
};

static int remove_surplus(void *arg, const char *name)
{
    const struct surplus *surplus = arg;
    char *end;
    unsigned long number = strtoul(name, &end, 10);

    if (*end != '\0' || number < surplus->count) return 0;
    return remove_partition(surplus->topic_dir, name);
}

/* Partitions are made in order, so one look tells whether there are too many. */
static int sweep_partitions(struct store *store, const char *directory, uint32_t count)
{
    struct file topic_dir = FILE_NONE;
    struct surplus surplus = {&topic_dir, count};
    char first[TOPIC_DIRECTORY_SIZE + 16];
    bool exists;
    int rc;

    snprintf(first, sizeof first, "%s/%u", directory, count);
    rc = rill__file_exists(&store->dir, first, &exists);
    if (rc != 0 || !exists) return rc;
    rc = rill__dir_open_at(&store->dir, directory, &topic_dir);
    if (rc == 0) rc = rill__dir_list(&topic_dir, remove_surplus, &surplus);
    rill__file_close(&topic_dir);
    return rc;
}

int rill__directories_sweep(struct store *store)
{
    struct topic_names found = {.store = store};
    struct meta_topic info = {.name = ""};
    char name[TOPIC_DIRECTORY_SIZE];
    int rc = rill__dir_list(&store->dir, collect_name, &found);

    if (found.count > 1) qsort(found.names, found.count, sizeof found.names[0], compare_names);
    while (rc == 0) {
        char *known;
        rc = rill__meta_topic_after(store->meta, info.name, &info);
        if (rc != 0) break;
        rill__topic_directory(info.id, name);
        rc = sweep_partitions(store, name, info.partition_count);
        known = found.count == 0 ? NULL
                                 : bsearch(name, found.names, found.count, sizeof found.names[0],
                                           compare_names);
        if (known != NULL) known[TOPIC_DIRECTORY_SIZE - 1] = 'k'; /* beyond what is compared */
    }
    if (rc == RILL_ERR_NOT_FOUND) rc = 0;
    for (size_t i = 0; i < found.count && rc == 0; i++)
        if (found.names[i][TOPIC_DIRECTORY_SIZE - 1] == '\0')
            rc = rill__topic_directory_remove(&store->dir, found.names[i]);
    rill__free(&store->heap, found.names);
    return rc;
}
