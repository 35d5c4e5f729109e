/*
 * engine/repair.c - rill_repair: a check, and then what it found, thing by thing.
 *
 *     alone        byte 0 of `shared`, exclusively, to the end
 *     check        all of the store; if a part is of a newer format, nothing is done
 *     STORE        made anew
 *     catalogue    made anew, beside the old one, which it then replaces
 *     partitions   see log/repair.h
 *     records      of groups: what is committed beyond a log's end
 *
 * Each step leaves a store that is no more damaged than before, wherever it dies.
 */
#include "engine/repair.h"
#include "engine/site.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PRESENCE_BYTE 0

/* ---- Telling ---------------------------------------------------------- */

bool rill__repair_is_dry(const struct store_repair *repair)
{
    return (repair->options.flags & RILL_REPAIR_DRY_RUN) != 0;
}

rill_repair_action rill__repair_action(int32_t kind, const char *file)
{
    return (rill_repair_action){.kind = kind,
                                .partition = -1,
                                .file = file,
                                .first = RILL_OFFSET_NONE,
                                .end = RILL_OFFSET_NONE};
}

static int show_action(struct store_repair *repair, const rill_repair_action *action)
{
    rill_repair_report *report = repair->report;

    report->action_count++;
    report->bytes_lost += action->bytes_lost;
    if (action->kind == RILL_REPAIR_GAP)
        report->records_lost += (uint64_t)(action->end - action->first);
    if (action->quarantine != NULL) report->quarantined++;
    return repair->options.visit == NULL
               ? 0
               : repair->options.visit(repair->options.visit_arg, action);
}

int rill__repair_told(struct store_repair *repair, rill_repair_action action, const char *format,
                      ...)
{
    char text[500];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    action.text = text;
    return show_action(repair, &action);
}

/* ---- What the check finds --------------------------------------------- */

static int add_damaged(struct store_repair *repair, const uint8_t id[16], int32_t partition,
                       bool missing)
{
    struct damaged_partition *d;

    for (size_t i = repair->damaged_count; i > 0; i--) { /* mostly the last one */
        d = &repair->damaged[i - 1];
        if (d->partition != partition || memcmp(d->id, id, 16) != 0) continue;
        if (missing) d->missing = true;
        return 0;
    }
    if (repair->damaged_count == repair->damaged_room) {
        size_t room = repair->damaged_room == 0 ? 16 : repair->damaged_room * 2;
        d = rill__resize(&repair->check.heap, repair->damaged, room * sizeof *d);
        if (d == NULL) return RILL_ERR_NO_MEMORY;
        repair->damaged = d;
        repair->damaged_room = room;
    }
    d = &repair->damaged[repair->damaged_count++];
    *d = (struct damaged_partition){.partition = partition, .missing = missing};
    memcpy(d->id, id, 16);
    return 0;
}

/* From the path of a file of it. */
static int add_by_path(struct store_repair *repair, const char *path, bool missing)
{
    char name[TOPIC_DIRECTORY_SIZE];
    char number[8];
    uint8_t id[16];
    int32_t partition = -1;
    size_t size;

    snprintf(name, sizeof name, "%s", path);
    if (!rill__is_topic_directory(name, id)) return 0;
    if (path[32] == '/') {
        size = strcspn(path + 33, "/");
        snprintf(number, sizeof number, "%.*s", size < 7 ? (int)size : 7, path + 33);
        if (!rill__is_partition_number(number, &partition)) return 0;
    }
    return add_damaged(repair, id, partition, missing);
}

static int note_damage_of(void *arg, const rill_damage *damage)
{
    struct store_repair *repair = arg;

    switch (damage->kind) {
    case RILL_DAMAGE_FORMAT:
        if (damage->severity != RILL_LOG_ERROR || repair->newer != 0) return 0;
        repair->newer = RILL_ERR_FORMAT;
        snprintf(repair->said, sizeof repair->said, "%s: %s",
                 damage->file != NULL ? damage->file : repair->check.path, damage->text);
        return 0;
    case RILL_DAMAGE_STORE_FILE: repair->store_file = true; return 0;
    case RILL_DAMAGE_UNREADABLE:
        repair->store_file |= strcmp(damage->file, "STORE") == 0;
        if (strcmp(damage->file, "meta/data.mdb") != 0)
            return add_by_path(repair, damage->file, false);
        repair->catalogue = repair->check.catalogue_hurt;
        return 0;
    case RILL_DAMAGE_CATALOGUE:
    case RILL_DAMAGE_CATALOGUE_RECORD:
        repair->catalogue = repair->check.catalogue_hurt;
        repair->groups = true;
        return 0;
    case RILL_DAMAGE_COMMIT: repair->commits = true; return 0;
    case RILL_DAMAGE_TOPIC_MISSING: return add_by_path(repair, damage->file, true);
    case RILL_DAMAGE_TOPIC_UNKNOWN:
    case RILL_DAMAGE_TAIL:
    case RILL_DAMAGE_GAP: return 0;
    default: return damage->file == NULL ? 0 : add_by_path(repair, damage->file, false);
    }
}

static int check_progress(void *arg, const rill_progress *progress)
{
    const struct store_repair *repair = arg;

    return repair->options.progress == NULL
               ? 0
               : repair->options.progress(repair->options.progress_arg, progress);
}

/* ---- Partitions ------------------------------------------------------- */

struct partition_repair {
    struct store_repair *repair;
    const char *topic;
    int32_t partition;
    char directory[TOPIC_DIRECTORY_SIZE + 16];
    char where[QUARANTINE_PATH_SIZE];
};

static int set_aside(void *arg, const char *name, const char **where)
{
    struct partition_repair *p = arg;
    char path[sizeof p->directory + 300];

    snprintf(path, sizeof path, "%s/%s", p->directory, name);
    *where = p->where;
    return rill__quarantine_link(&p->repair->check.dir, path, p->where);
}

static int done_in_partition(void *arg, rill_repair_action *action)
{
    struct partition_repair *p = arg;
    char file[sizeof p->directory + 300];

    snprintf(file, sizeof file, "%s/%s", p->directory, action->file);
    action->file = file;
    action->topic = p->topic;
    action->partition = p->partition;
    return show_action(p->repair, action);
}

static int left_in_partition(void *arg, rill_damage *damage)
{
    struct partition_repair *p = arg;

    if (damage->severity != RILL_LOG_INFO) p->repair->report->left_count++;
    return 0;
}

static int passed_in_repair(void *arg, uint64_t bytes)
{
    struct partition_repair *p = arg;
    return rill__check_progress(&p->repair->check, p->directory, bytes);
}

static int repair_log(struct partition_repair *p, const uint8_t id[16],
                      const struct meta_topic *info, const struct file *dir)
{
    struct store_repair *repair = p->repair;
    struct log_salvage salvage = {.check = {.heap = &repair->check.heap,
                                            .dir = dir,
                                            .partition = p->partition,
                                            .alone = true,
                                            .found = left_in_partition,
                                            .passed = passed_in_repair,
                                            .arg = p},
                                  .segment_bytes = info->segment_bytes,
                                  .index_interval_bytes = info->index_interval_bytes,
                                  .dry_run = rill__repair_is_dry(repair),
                                  .set_aside = set_aside,
                                  .done = done_in_partition,
                                  .arg = p};
    struct log_census census;

    memcpy(salvage.check.topic_id, id, 16);
    memcpy(salvage.check.boot_id, repair->check.boot_id, 16);
    return rill__log_salvage(&salvage, &census);
}

/* In place of one that is lost. */
static int replace_partition(struct partition_repair *p, const struct file *topic_dir)
{
    struct store_repair *repair = p->repair;
    rill_repair_action action = rill__repair_action(RILL_REPAIR_PARTITION, p->directory);
    struct file dir = FILE_NONE;
    char number[16];
    int rc = 0;

    action.topic = p->topic;
    action.partition = p->partition;
    snprintf(number, sizeof number, "%d", (int)p->partition);
    if (!rill__repair_is_dry(repair)) {
        rc = rill__dir_make_at(topic_dir, number);
        if (rc == 0) rc = rill__dir_open_at(topic_dir, number, &dir);
        if (rc == 0) rc = rill__log_create(&dir);
        if (rc == 0) rc = rill__dir_sync(topic_dir);
        rill__file_close(&dir);
    }
    return rc != 0 ? rc
                   : rill__repair_told(repair, action,
                                       "The partition's directory was lost, with all its "
                                       "records; an empty one was made.");
}

static int replace_topic(struct store_repair *repair, const struct meta_topic *info)
{
    struct partition_repair p = {.repair = repair, .topic = info->name};
    struct file topic_dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    int rc = 0;

    rill__topic_directory(info->id, name);
    if (!rill__repair_is_dry(repair)) {
        rc = rill__dir_make_at(&repair->check.dir, name);
        if (rc == 0) rc = rill__dir_open_at(&repair->check.dir, name, &topic_dir);
    }
    for (uint32_t i = 0; i < info->partition_count && rc == 0; i++) {
        p.partition = (int32_t)i;
        snprintf(p.directory, sizeof p.directory, "%s/%u", name, i);
        rc = replace_partition(&p, &topic_dir);
    }
    rill__file_close(&topic_dir);
    return rc == 0 && !rill__repair_is_dry(repair) ? rill__dir_sync(&repair->check.dir) : rc;
}

/* Of a topic of which nothing is known. */
static struct meta_topic unknown_topic(const uint8_t id[16])
{
    struct meta_topic info = {.segment_bytes = 64 << 20, .index_interval_bytes = 4096};

    memcpy(info.id, id, 16);
    return info;
}

static int repair_partition(struct store_repair *repair, const struct damaged_partition *d)
{
    const struct checked_topic *topic = rill__check_topic(&repair->check, d->id);
    struct meta_topic info = topic != NULL ? topic->info : unknown_topic(d->id);
    struct partition_repair p = {
        .repair = repair, .topic = topic != NULL ? info.name : NULL, .partition = d->partition};
    struct file topic_dir = FILE_NONE;
    struct file dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    char number[16];
    int rc;

    if (d->partition < 0) return d->missing && topic != NULL ? replace_topic(repair, &info) : 0;
    rill__topic_directory(d->id, name);
    snprintf(number, sizeof number, "%d", (int)d->partition);
    snprintf(p.directory, sizeof p.directory, "%s/%s", name, number);
    rc = rill__dir_open_at(&repair->check.dir, name, &topic_dir);
    if (rc == 0 && d->missing) {
        rc = replace_partition(&p, &topic_dir);
    } else if (rc == 0) {
        rc = rill__dir_open_at(&topic_dir, number, &dir);
        if (rc == 0) rc = repair_log(&p, d->id, &info, &dir);
    }
    rill__file_close(&dir);
    rill__file_close(&topic_dir);
    return rc;
}

/* ---- The whole -------------------------------------------------------- */

static int repair_store_file(struct store_repair *repair)
{
    rill_repair_action action = rill__repair_action(RILL_REPAIR_STORE_FILE, "STORE");
    char where[QUARANTINE_PATH_SIZE];
    bool exists;
    int rc = rill__file_exists(&repair->check.dir, "STORE", &exists);

    if (rc == 0 && !rill__repair_is_dry(repair)) {
        if (exists) {
            rc = rill__quarantine_link(&repair->check.dir, "STORE", where);
            action.quarantine = where;
        }
        if (rc == 0) rc = rill__store_file_write(&repair->check.dir);
    }
    return rc != 0 ? rc
                   : rill__repair_told(repair, action,
                                       "The file was made anew; the store has another uuid.");
}

static int repair_all(struct store_repair *repair)
{
    int rc = rill__check_all(&repair->check);

    if (rc == 0 && repair->newer != 0) rc = rill__fail(repair->newer, "%s", repair->said);
    if (rc == 0 && repair->store_file) rc = repair_store_file(repair);
    if (rc == 0 && repair->catalogue) rc = rill__repair_catalogue(repair);
    for (size_t i = 0; i < repair->damaged_count && rc == 0; i++)
        rc = repair_partition(repair, &repair->damaged[i]);
    if (rc == 0 && (repair->commits || repair->groups)) rc = rill__repair_records(repair);
    return rc;
}

/* Nobody else comes in from here on. */
static int take_store(struct store_repair *repair)
{
    const struct file *dir = &repair->check.dir;
    bool is_store;
    int rc = rill__check_is_store(dir, &is_store);

    if (rc == 0 && !is_store)
        rc = rill__fail(RILL_ERR_NOT_FOUND, "%s is no rill store", repair->check.path);
    if (rc == 0) rc = rill__file_open(dir, "shared", FILE_WRITE | FILE_CREATE, &repair->shared);
    if (rc == 0) rc = rill__fork_close_on(repair->shared.fd);
    if (rc == 0) rc = rill__file_lock(&repair->shared, PRESENCE_BYTE, FILE_LOCK_EXCLUSIVE, 0);
    if (rc == RILL_ERR_BUSY)
        rc = rill__fail(rc, "%s is open in a process; a repair needs it alone",
                        repair->check.path);
    return rc;
}

int rill__repair(const char *path, const rill_repair_options *given, rill_repair_report *report)
{
    struct store_repair repair = {.check = {.dir = FILE_NONE, .alone = true, .exclusive = true},
                                  .shared = FILE_NONE};
    rill_repair_report done = {.size = sizeof done};
    size_t size = report->size;
    int rc = rill__options_take(OPTIONS_REPAIR, given, &repair.options);

    if (rc == 0) rc = rill__allocator_check(&repair.options.allocator);
    if (rc == 0) rc = rill__stores_watch_fork();
    if (rc != 0) return rc;
    if (size < sizeof size || size > 4096)
        return rill__fail(RILL_ERR_INVALID,
                          "rill_repair_report: size is %zu; set it to sizeof(rill_repair_report)",
                          size);
    if (strlen(path) >= sizeof repair.check.path)
        return rill__fail(RILL_ERR_INVALID, "a path of %zu bytes; at most %zu", strlen(path),
                          sizeof repair.check.path - 1);
    memcpy(repair.check.path, path, strlen(path) + 1);
    rill__heap_init(&repair.check.heap, &repair.options.allocator, 0);
    repair.report = &done;
    repair.check.report = &repair.checked;
    repair.check.options = (rill_check_options){.size = sizeof repair.check.options,
                                                .progress = check_progress,
                                                .progress_arg = &repair,
                                                .visit = note_damage_of,
                                                .visit_arg = &repair};
    rc = rill__dir_open(path, &repair.check.dir);
    if (rc == 0) rc = rill__site_check(&repair.check.dir);
    if (rc == 0) rc = rill__boot_id(repair.check.boot_id);
    if (rc == 0) rc = take_store(&repair);
    if (rc == 0) rc = rill__repair_catalogue_finish(&repair);
    if (rc == 0) rc = repair_all(&repair);
    rill__check_free_topics(&repair.check);
    rill__free(&repair.check.heap, repair.damaged);
    if (repair.shared.fd >= 0) {
        struct saved_message why;
        rill__message_save(&why);
        rill__file_lock(&repair.shared, PRESENCE_BYTE, FILE_LOCK_NONE, 0);
        rill__message_restore(&why);
        rill__fork_forget(repair.shared.fd);
    }
    rill__file_close(&repair.shared);
    rill__file_close(&repair.check.dir);
    if (rc != 0) return rc;
    done.size = size;
    memset(report, 0, size);
    memcpy(report, &done, size < sizeof done ? size : sizeof done);
    return 0;
}
