/*
 * engine/repair_catalogue.c - the catalogue's part of a repair.
 *
 *     meta.tmp/         a new one is made of what is left of the old one, and of the
 *                       directories of topics that it lost
 *     meta.repaired/    that, when it is whole and synced
 *     quarantine/meta   the old one is moved here, then the new one to meta/
 *
 * A repair that dies before the second step begins again; one that dies after it is
 * finished by the next.
 */
#include "engine/repair.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define READERS_SIZE (48u << 10) /* as in store.c */

/* ---- Directories ------------------------------------------------------ */

static int remove_file_in(void *arg, const char *name)
{
    return rill__file_remove(arg, name);
}

static int remove_catalogue(const struct file *store, const char *name)
{
    struct file dir = FILE_NONE;
    int rc = rill__dir_open_at(store, name, &dir);

    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc == 0) rc = rill__dir_list(&dir, remove_file_in, &dir);
    rill__file_close(&dir);
    return rc == 0 ? rill__dir_remove_at(store, name) : rc;
}

int rill__repair_catalogue_finish(struct store_repair *repair)
{
    const struct file *store = &repair->check.dir;
    bool whole;
    bool there;
    int rc;

    if (rill__repair_is_dry(repair)) return 0;
    rc = remove_catalogue(store, "meta.tmp"); /* maybe none is needed any more */
    if (rc == 0) rc = rill__file_exists(store, "meta.repaired", &whole);
    if (rc == 0) rc = rill__file_exists(store, "meta", &there);
    if (rc != 0 || !whole) return rc;
    if (there) return remove_catalogue(store, "meta.repaired"); /* it is made again */
    rc = rill__file_rename(store, "meta.repaired", "meta");
    return rc == 0 ? rill__dir_sync(store) : rc;
}

static int sync_catalogue(const struct file *store, const char *name)
{
    struct file dir = FILE_NONE;
    struct file data = FILE_NONE;
    int rc = rill__dir_open_at(store, name, &dir);

    if (rc == 0) rc = rill__file_open(&dir, "data.mdb", FILE_WRITE, &data);
    if (rc == 0) rc = rill__file_sync(&data);
    if (rc == 0) rc = rill__dir_sync(&dir);
    rill__file_close(&data);
    rill__file_close(&dir);
    return rc;
}

/* The new one takes its place. */
static int replace_catalogue(struct store_repair *repair, char where[QUARANTINE_PATH_SIZE],
                             bool *moved)
{
    const struct file *store = &repair->check.dir;
    int rc = sync_catalogue(store, "meta.tmp");

    if (rc == 0) rc = rill__file_rename(store, "meta.tmp", "meta.repaired");
    if (rc == 0) rc = rill__dir_sync(store);
    if (rc == 0) rc = rill__file_exists(store, "meta", moved);
    if (rc == 0 && *moved) rc = rill__quarantine_move(store, "meta", where);
    if (rc == 0) rc = rill__file_rename(store, "meta.repaired", "meta");
    return rc == 0 ? rill__dir_sync(store) : rc;
}

/* Its table of readers is mapped: it has its blocks first, see store.c. */
static int open_new_catalogue(struct store_repair *repair, struct meta **meta)
{
    const struct file *store = &repair->check.dir;
    struct file dir = FILE_NONE;
    struct file table = FILE_NONE;
    char path[600];
    int rc = remove_catalogue(store, "meta.tmp");

    if (rc == 0) rc = rill__dir_make_at(store, "meta.tmp");
    if (rc == 0) rc = rill__dir_open_at(store, "meta.tmp", &dir);
    if (rc == 0) rc = rill__file_open(&dir, "lock.mdb", FILE_WRITE | FILE_CREATE, &table);
    if (rc == 0) rc = rill__file_allocate(&table, READERS_SIZE);
    rill__file_close(&table);
    rill__file_close(&dir);
    snprintf(path, sizeof path, "%s/meta.tmp", repair->check.path);
    return rc == 0 ? rill__meta_open(&repair->check.heap, path, true, meta) : rc;
}

/* ---- Topics that it lost ---------------------------------------------- */

struct lost_topics {
    struct store_repair *repair;
    struct meta *meta; /* NULL: it is a dry run */
};

struct topic_look {
    struct file *topic_dir;
    uint32_t partition_count;
    uint64_t largest; /* segment */
};

static int look_at_segment(void *arg, const char *name)
{
    struct topic_look *look = arg;
    size_t size = strlen(name);
    struct file_facts facts;

    if (size != 24 || strcmp(name + 20, ".log") != 0) return 0;
    if (rill__file_look(look->topic_dir, name, &facts) == 0 && facts.size > look->largest)
        look->largest = facts.size;
    return 0;
}

/* How many partitions there are, and how large their segments. */
static int look_at_partition(void *arg, const char *name)
{
    struct topic_look *look = arg;
    struct topic_look inside = *look;
    struct file dir = FILE_NONE;
    int32_t number;

    if (!rill__is_partition_number(name, &number)) return 0;
    if ((uint32_t)number + 1 > look->partition_count)
        look->partition_count = (uint32_t)number + 1;
    if (rill__dir_open_at(look->topic_dir, name, &dir) == 0) {
        inside.topic_dir = &dir;
        (void)rill__dir_list(&dir, look_at_segment, &inside);
        look->largest = inside.largest;
    }
    rill__file_close(&dir);
    return 0;
}

static int describe_lost(struct store_repair *repair, const char *name, const uint8_t id[16],
                         struct meta_topic *info)
{
    rill_topic_options options = {.size = sizeof options};
    struct topic_look look = {.partition_count = 1};
    struct file dir = FILE_NONE;
    int rc = rill__dir_open_at(&repair->check.dir, name, &dir);

    look.topic_dir = &dir;
    if (rc == 0) rc = rill__dir_list(&dir, look_at_partition, &look);
    rill__file_close(&dir);
    if (rc != 0) return rc;
    if (look.largest >= 64 << 10 && look.largest <= 1 << 30) options.segment_bytes = look.largest;
    *info = (struct meta_topic){.created_ms = rill__now_ms()};
    rc = rill__topic_options_take(&options, info);
    info->partition_count = look.partition_count;
    memcpy(info->id, id, 16);
    snprintf(info->name, sizeof info->name, "recovered-%s", name);
    return rc;
}

static bool has_id(struct lost_topics *lost, const uint8_t id[16])
{
    struct meta_topic info = {.name = ""};

    if (lost->meta == NULL) return rill__check_topic(&lost->repair->check, id) != NULL;
    while (rill__meta_topic_after(lost->meta, info.name, &info) == 0)
        if (memcmp(info.id, id, 16) == 0) return true;
    return false;
}

static int recover_topic(void *arg, const char *name)
{
    struct lost_topics *lost = arg;
    struct store_repair *repair = lost->repair;
    rill_repair_action action = rill__repair_action(RILL_REPAIR_TOPIC, name);
    struct meta_topic info;
    uint8_t id[16];
    int rc;

    if (!rill__is_topic_directory(name, id) || has_id(lost, id)) return 0;
    rc = describe_lost(repair, name, id, &info);
    if (rc == 0 && lost->meta != NULL) rc = rill__meta_topic_create(lost->meta, &info);
    if (rc != 0) return rc;
    action.topic = info.name;
    return rill__repair_told(repair, action,
                             "The catalogue had lost the topic of this directory; it is back "
                             "with %u partitions, as %s unless its name is found.",
                             info.partition_count, info.name);
}

/* ---- The catalogue ---------------------------------------------------- */

static bool has_directory(void *arg, const uint8_t id[16])
{
    struct store_repair *repair = arg;
    char name[TOPIC_DIRECTORY_SIZE];
    bool exists = false;

    rill__topic_directory(id, name);
    /* What cannot be looked at may be there. */
    return rill__file_exists(&repair->check.dir, name, &exists) != 0 || exists;
}

static int tell_old_record(void *arg, char kind, const char *name)
{
    struct store_repair *repair = arg;

    return rill__repair_told(
        repair, rill__repair_action(RILL_REPAIR_RECORD, "meta/data.mdb"),
        "Where the catalogue is damaged, %s %s was found again; it may be an older version.",
        kind == 'T'   ? "topic"
        : kind == 'G' ? "group"
        : kind == 'O' ? "a commit of group"
        : kind == 'X' ? "producer"
                      : "a record",
        name);
}

/* What is in the catalogue now. */
static int look_again(struct store_repair *repair)
{
    rill_check_report ignored = {.size = sizeof ignored};
    rill_check_report *report = repair->check.report;
    rill_check_options options = repair->check.options;
    int rc;

    rill__check_free_topics(&repair->check);
    repair->check.catalogue_hurt = false;
    repair->check.report = &ignored;
    repair->check.options.visit = NULL;
    rc = rill__check_catalogue(&repair->check);
    repair->check.report = report;
    repair->check.options = options;
    repair->report->left_count += ignored.error_count + ignored.warning_count;
    return rc;
}

int rill__repair_catalogue(struct store_repair *repair)
{
    struct meta_salvage with = {
        .has_topic = has_directory, .scraped = tell_old_record, .arg = repair};
    rill_repair_action action = rill__repair_action(RILL_REPAIR_CATALOGUE, "meta/data.mdb");
    struct lost_topics lost = {repair, NULL};
    struct meta *meta = NULL;
    char path[600];
    char where[QUARANTINE_PATH_SIZE];
    bool moved = false;
    bool dry = rill__repair_is_dry(repair);
    int rc = dry ? 0 : open_new_catalogue(repair, &meta);

    snprintf(path, sizeof path, "%s/meta", repair->check.path);
    if (rc == 0) rc = rill__meta_salvage(&repair->check.heap, path, meta, &with);
    lost.meta = meta;
    if (rc == 0) rc = rill__dir_list(&repair->check.dir, recover_topic, &lost);
    rill__meta_close(meta);
    if (rc == 0 && !dry) rc = replace_catalogue(repair, where, &moved);
    if (moved) action.quarantine = where;
    if (rc == 0)
        rc = rill__repair_told(repair, action,
                               "The catalogue was made anew from the records that are left.");
    return rc == 0 && !dry ? look_again(repair) : rc;
}

/* ---- Records of groups ------------------------------------------------ */

struct record_to_mend {
    struct record_to_mend *next;
    char group[RILL_TOPIC_NAME_MAX + 1];
    struct meta_offset offset; /* to be removed */
    bool is_group;             /* or its members are to be forgotten */
};

struct record_look {
    struct store_repair *repair;
    struct record_to_mend *first;
};

static int add_to_mend(struct record_look *look, const char *group,
                       const struct meta_offset *offset)
{
    struct record_to_mend *record = rill__alloc(&look->repair->check.heap, sizeof *record);

    if (record == NULL) return RILL_ERR_NO_MEMORY;
    memcpy(record->group, group, strlen(group) + 1);
    if (offset != NULL) record->offset = *offset;
    record->offset.metadata = NULL;
    record->is_group = offset == NULL;
    record->next = look->first;
    look->first = record;
    return 0;
}

static int look_at_commit(void *arg, const char *group, const struct meta_offset *offset)
{
    struct record_look *look = arg;
    const struct checked_topic *topic = rill__check_topic(&look->repair->check, offset->topic_id);

    if (topic == NULL
            ? has_directory(look->repair, offset->topic_id)
            : offset->partition >= 0 && (uint32_t)offset->partition < topic->info.partition_count)
        return 0;
    return add_to_mend(look, group, offset);
}

static int look_at_group_bytes(void *arg, uint64_t position, const char *name,
                               const uint8_t *state, size_t state_size)
{
    struct record_look *look = arg;

    (void)position;
    return rill__check_group(&look->repair->check.heap, state, state_size) == RILL_ERR_CORRUPT
               ? add_to_mend(look, name, NULL)
               : 0;
}

static int no_damage(void *arg, enum meta_damage kind, uint64_t position, const char *what)
{
    (void)arg, (void)kind, (void)position, (void)what;
    return 0;
}

static int remove_commit(void *arg, const struct meta_group *group,
                         struct meta_group_change *change)
{
    (void)group;
    change->removed = arg;
    change->removed_count = 1;
    return 0;
}

static int mend_record(struct store_repair *repair, struct meta *meta,
                       const struct record_to_mend *record)
{
    int32_t kind = record->is_group ? RILL_REPAIR_RECORD : RILL_REPAIR_COMMIT;
    int32_t generation = 0;
    int rc = 0;

    if (meta != NULL && record->is_group) {
        rc = rill__meta_group_get(meta, record->group, &generation);
        if (rc == 0) rc = rill__meta_group_put(meta, record->group, generation + 1);
    } else if (meta != NULL) {
        struct meta_offset removed = record->offset;
        rc = rill__meta_group_step(meta, record->group, 0, remove_commit, &removed);
    }
    if (rc != 0) return rc;
    return rill__repair_told(repair, rill__repair_action(kind, "meta/data.mdb"),
                             record->is_group
                                 ? "What group %s knew of its members was damaged and was "
                                   "forgotten; what it has committed stays."
                                 : "What group %s had committed for a partition that there is "
                                   "not was removed.",
                             record->group);
}

/* Where the shared words do not tell a log's end, opening the store does this. */
static int lower_commits(struct store_repair *repair, struct meta *meta,
                         const struct checked_topic *topic)
{
    int rc = 0;

    for (uint32_t p = 0; topic->logs != NULL && p < topic->info.partition_count && rc == 0; p++) {
        rill_repair_action action = rill__repair_action(RILL_REPAIR_COMMIT, "meta/data.mdb");
        size_t lowered = 0;

        if (!topic->logs[p].known || !topic->logs[p].exact) continue;
        rc = rill__meta_offsets_clamp(meta, topic->info.id, (int32_t)p, topic->logs[p].end,
                                      &lowered);
        action.topic = topic->info.name;
        action.partition = (int32_t)p;
        if (rc == 0 && lowered > 0)
            rc = rill__repair_told(repair, action,
                                   "%zu commits beyond the end of the log were lowered to it, "
                                   "offset %" PRId64 ".",
                                   lowered, topic->logs[p].end);
    }
    return rc;
}

int rill__repair_records(struct store_repair *repair)
{
    struct record_look look = {.repair = repair};
    struct meta_inspector inspector = {.damage = no_damage,
                                       .group = look_at_group_bytes,
                                       .offset = look_at_commit,
                                       .arg = &look};
    struct meta *meta = NULL;
    char path[600];
    int rc;

    snprintf(path, sizeof path, "%s/meta", repair->check.path);
    rc = rill__meta_inspect(&repair->check.heap, path, NULL, false, &inspector);
    if (rill__repair_is_dry(repair) && (rc == RILL_ERR_CORRUPT || rc == RILL_ERR_NOT_FOUND))
        rc = 0; /* it was told that it is made anew */
    if (rc == 0 && !rill__repair_is_dry(repair))
        rc = rill__meta_open(&repair->check.heap, path, false, &meta);
    while (look.first != NULL) {
        struct record_to_mend *record = look.first;
        look.first = record->next;
        if (rc == 0) rc = mend_record(repair, meta, record);
        rill__free(&repair->check.heap, record);
    }
    for (size_t i = 0; i < repair->check.topic_count && meta != NULL && rc == 0; i++)
        rc = lower_commits(repair, meta, &repair->check.topics[i]);
    rill__meta_close(meta);
    return rc;
}
