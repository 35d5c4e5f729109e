/*
 * engine/check_catalogue.c - the catalogue's part of a check.
 *
 * It is looked through twice: first for its topics and its damage; then, when it is
 * known where the logs end, for what groups have committed. What is found is kept
 * until the look is over, since no function of the application runs under a lock.
 */
#include "engine/check.h"
#include "group/group.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A damage that is to be told. */
struct finding {
    struct finding *next;
    rill_damage damage;
    char topic[RILL_TOPIC_NAME_MAX + 1];
    char text[600];
};

struct catalogue_look {
    struct store_check *check;
    struct finding *first;
    struct finding **last;
    const uint8_t *wanted; /* id of a topic that is looked for */
    bool seen;
    char orphan_group[RILL_TOPIC_NAME_MAX + 1]; /* whose commit for an unknown topic was told */
    uint8_t orphan_topic[16];
};

static int keep(struct catalogue_look *look, const rill_damage *damage, const char *topic,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
static int keep(struct catalogue_look *look, const rill_damage *damage, const char *topic,
                const char *format, ...)
{
    struct finding *finding = rill__alloc(&look->check->heap, sizeof *finding);
    va_list args;

    if (finding == NULL) return RILL_ERR_NO_MEMORY;
    finding->damage = *damage;
    finding->damage.file = "meta/data.mdb";
    if (topic != NULL) {
        memcpy(finding->topic, topic, strlen(topic) + 1);
        finding->damage.topic = finding->topic;
    }
    va_start(args, format);
    vsnprintf(finding->text, sizeof finding->text, format, args);
    va_end(args);
    finding->damage.text = finding->text;
    *look->last = finding;
    look->last = &finding->next;
    return 0;
}

static int tell_findings(struct catalogue_look *look, int rc)
{
    while (look->first != NULL) {
        struct finding *finding = look->first;

        look->first = finding->next;
        if (rc == 0) rc = rill__check_found(look->check, &finding->damage);
        rill__free(&look->check->heap, finding);
    }
    return rc;
}

/* ---- Looking ---------------------------------------------------------- */

static int look_into(struct catalogue_look *look, struct meta_inspector *inspector)
{
    struct store_check *check = look->check;
    rill *own = NULL;
    bool in_use = false;
    char path[600];
    int rc;

    inspector->arg = look;
    look->last = &look->first;
    rc = rill__store_borrow(&check->dir, &own);
    if (rc != 0) return rc;
    snprintf(path, sizeof path, "%s/meta", check->path);
    if (own == NULL && !check->exclusive) rc = rill__store_in_use(&check->dir, &in_use);
    if (rc == 0)
        rc = rill__meta_inspect(&check->heap, path, own != NULL ? own->store->meta : NULL, in_use,
                                inspector);
    if (own != NULL) rill__store_close(own); /* what it says is for the application */
    else rill__stores_release();
    return rc;
}

static rill_damage damage_in(int32_t kind, int32_t severity, uint64_t position)
{
    return (rill_damage){.kind = kind,
                         .severity = severity,
                         .partition = -1,
                         .position = (int64_t)position,
                         .size = -1,
                         .first = RILL_OFFSET_NONE,
                         .end = RILL_OFFSET_NONE};
}

static int note_damage(void *arg, enum meta_damage kind, uint64_t position, const char *what)
{
    struct catalogue_look *look = arg;
    rill_damage damage = damage_in(RILL_DAMAGE_CATALOGUE_RECORD, RILL_LOG_ERROR, position);

    look->check->catalogue_hurt = true;
    damage.repair = "Makes the catalogue anew from the records that are left; a topic that it "
                    "lost gets its records back, under another name.";
    if (kind == META_DAMAGE_PAGE) {
        damage.kind = RILL_DAMAGE_CATALOGUE;
        return keep(look, &damage, NULL,
                    "A page of the catalogue %s; the store cannot be opened.", what);
    }
    if (kind == META_DAMAGE_FORMAT) {
        damage.kind = RILL_DAMAGE_FORMAT;
        damage.repair = "Nothing: use the version of the library that wrote it.";
        return keep(look, &damage, NULL, "The catalogue %s.", what);
    }
    return keep(look, &damage, NULL, "In the catalogue %s; it cannot be used.", what);
}

/* ---- Topics and groups ------------------------------------------------ */

static const char *implausible_topic(const struct meta_topic *info)
{
    if (info->partition_count < 1 || info->partition_count > 10000)
        return "has a number of partitions that no topic has";
    if (info->segment_bytes < 4096 || info->segment_bytes > UINT64_C(1) << 30)
        return "has segments of a size that none have";
    return rill__check_name("topic", info->name) != 0 ? "has a name that no topic has" : NULL;
}

static int note_topic(void *arg, const struct meta_topic *info)
{
    struct catalogue_look *look = arg;
    struct store_check *check = look->check;
    const char *wrong = implausible_topic(info);

    if (wrong != NULL) {
        char what[400];
        snprintf(what, sizeof what, "the record of topic %s %s", info->name, wrong);
        return note_damage(arg, META_DAMAGE_RECORD, 0, what);
    }
    if (check->topic_count == check->topic_room) {
        size_t room = check->topic_room == 0 ? 64 : check->topic_room * 2;
        struct checked_topic *topics =
            rill__resize(&check->heap, check->topics, room * sizeof *topics);
        if (topics == NULL) return RILL_ERR_NO_MEMORY;
        check->topics = topics;
        check->topic_room = room;
    }
    check->topics[check->topic_count++] = (struct checked_topic){.info = *info};
    return 0;
}

int rill__check_group(struct heap *heap, const uint8_t *state, size_t state_size)
{
    struct group *group = NULL;
    int rc = state_size > 0 ? rill__group_decode(heap, state, state_size, &group) : 0;

    rill__group_free(group);
    return rc;
}

static int note_group(void *arg, uint64_t position, const char *name, const uint8_t *state,
                      size_t state_size)
{
    struct catalogue_look *look = arg;
    rill_damage damage = damage_in(RILL_DAMAGE_CATALOGUE_RECORD, RILL_LOG_ERROR, position);
    int rc = rill__check_group(&look->check->heap, state, state_size);

    look->check->report->group_count++;
    if (rc == 0 || rc == RILL_ERR_NO_MEMORY) return rc;
    if (rc == RILL_ERR_FORMAT) damage.kind = RILL_DAMAGE_FORMAT;
    damage.repair = rc == RILL_ERR_FORMAT
                        ? "Nothing: use the version of the library that wrote it."
                        : "Forgets the group's members; what it has committed stays.";
    return keep(look, &damage, NULL, "Group %s cannot be used: %s.", name, rill__message());
}

static int compare_checked(const void *a, const void *b)
{
    return memcmp(((const struct checked_topic *)a)->info.id,
                  ((const struct checked_topic *)b)->info.id, 16);
}

struct checked_topic *rill__check_topic(const struct store_check *check, const uint8_t id[16])
{
    struct checked_topic key;

    if (check->topic_count == 0) return NULL;
    memcpy(key.info.id, id, 16);
    return bsearch(&key, check->topics, check->topic_count, sizeof key, compare_checked);
}

static bool cannot_be_used(int rc)
{
    return rc == RILL_ERR_NOT_FOUND || rill__is_of_medium(rc);
}

/* Nothing of it can. */
static int note_unusable(struct catalogue_look *look, int rc)
{
    int32_t kind = rc == RILL_ERR_IO ? RILL_DAMAGE_UNREADABLE : RILL_DAMAGE_CATALOGUE;
    rill_damage damage = damage_in(kind, RILL_LOG_ERROR, 0);

    look->check->catalogue_hurt = true;
    damage.repair = "Makes the catalogue anew; topics get their records back, under other "
                    "names.";
    return keep(look, &damage, NULL, "%s; the store cannot be opened.", rill__message());
}

int rill__check_catalogue(struct store_check *check)
{
    struct catalogue_look look = {.check = check};
    struct meta_inspector inspector = {
        .damage = note_damage, .topic = note_topic, .group = note_group};
    int rc = look_into(&look, &inspector);

    if (cannot_be_used(rc)) rc = note_unusable(&look, rc);
    if (check->topic_count > 0)
        qsort(check->topics, check->topic_count, sizeof *check->topics, compare_checked);
    return tell_findings(&look, rc);
}

static int see_topic(void *arg, const struct meta_topic *info)
{
    struct catalogue_look *look = arg;

    if (memcmp(info->id, look->wanted, 16) == 0) look->seen = true;
    return 0;
}

static int ignore_damage(void *arg, enum meta_damage kind, uint64_t position, const char *what)
{
    (void)arg, (void)kind, (void)position, (void)what;
    return 0;
}

bool rill__check_lists(struct store_check *check, const uint8_t id[16])
{
    struct catalogue_look look = {.check = check, .wanted = id};
    struct meta_inspector inspector = {.damage = ignore_damage, .topic = see_topic};

    return look_into(&look, &inspector) != 0 || look.seen;
}

/* ---- Commits ---------------------------------------------------------- */

static int orphan(struct catalogue_look *look, const char *group,
                  const struct meta_offset *offset)
{
    rill_damage damage = damage_in(RILL_DAMAGE_COMMIT, RILL_LOG_INFO, 0);

    if (look->check->catalogue_hurt || !look->check->alone) return 0;
    if (strcmp(look->orphan_group, group) == 0 &&
        memcmp(look->orphan_topic, offset->topic_id, 16) == 0)
        return 0; /* said for another partition of it */
    memcpy(look->orphan_group, group, strlen(group) + 1);
    memcpy(look->orphan_topic, offset->topic_id, 16);
    damage.position = -1;
    damage.repair = "Removes it.";
    return keep(look, &damage, NULL, "Group %s has committed offsets of a topic that is gone.",
                group);
}

/* Where the log ends by now. */
static bool end_now(struct store_check *check, const struct meta_topic *info, int32_t partition,
                    int64_t *end)
{
    struct file topic_dir = FILE_NONE;
    struct file dir = FILE_NONE;
    struct log_check log = {.heap = &check->heap, .dir = &dir, .partition = partition};
    char name[TOPIC_DIRECTORY_SIZE];
    char number[16];
    int64_t start;
    bool known;

    memcpy(log.boot_id, check->boot_id, 16);
    rill__topic_directory(info->id, name);
    snprintf(number, sizeof number, "%d", (int)partition);
    known = rill__dir_open_at(&check->dir, name, &topic_dir) == 0 &&
            rill__dir_open_at(&topic_dir, number, &dir) == 0 &&
            rill__log_check_ends(&log, &start, end);
    rill__file_close(&dir);
    rill__file_close(&topic_dir);
    return known;
}

static int check_commit(void *arg, const char *group, const struct meta_offset *offset)
{
    struct catalogue_look *look = arg;
    struct store_check *check = look->check;
    const struct checked_topic *topic = rill__check_topic(check, offset->topic_id);
    rill_damage damage = damage_in(RILL_DAMAGE_COMMIT, RILL_LOG_WARNING, 0);
    const struct checked_log *log;
    int64_t end;

    check->report->commit_count++;
    if (topic == NULL) return orphan(look, group, offset);
    damage.partition = offset->partition;
    damage.position = -1;
    if (offset->partition < 0 || (uint32_t)offset->partition >= topic->info.partition_count) {
        if (!check->alone) return 0; /* partitions may have come meanwhile */
        damage.repair = "Removes it.";
        return keep(look, &damage, topic->info.name,
                    "Group %s has committed offset %" PRId64
                    " of a partition that the topic does not have.",
                    group, offset->offset);
    }
    log = topic->logs == NULL ? NULL : &topic->logs[offset->partition];
    if (log == NULL || !log->known) return 0;
    end = log->end;
    if (offset->offset > end && log->exact) end_now(check, &topic->info, offset->partition, &end);
    if (offset->offset > end) {
        if (!log->exact) damage.severity = RILL_LOG_INFO;
        damage.repair = "Lowers it to the end of the log.";
        return keep(look, &damage, topic->info.name,
                    "Group %s has committed offset %" PRId64 ", but the log ends at %" PRId64
                    "; %s.",
                    group, offset->offset, end,
                    log->exact ? "its consumers would begin where their reset policy says"
                               : "opening the store lowers it");
    }
    if (offset->offset >= log->start) return 0;
    damage.severity = RILL_LOG_INFO;
    damage.repair = "Nothing: the group's reset policy is for this.";
    return keep(look, &damage, topic->info.name,
                "Group %s has committed offset %" PRId64 ", but the log begins at %" PRId64
                "; its consumers begin where their reset policy says.",
                group, offset->offset, log->start);
}

int rill__check_commits(struct store_check *check)
{
    struct catalogue_look look = {.check = check};
    struct meta_inspector inspector = {.damage = ignore_damage, .offset = check_commit};
    int rc = look_into(&look, &inspector);

    if (cannot_be_used(rc)) /* if that was not told already */
        rc = check->catalogue_hurt ? 0 : note_unusable(&look, rc);
    return tell_findings(&look, rc);
}
