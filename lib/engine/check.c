/*
 * engine/check.c - rill_check: what the store's files say about each other.
 *
 *     STORE         what the directory is
 *     catalogue     its pages and records, the topics that it has
 *     directories   those that the catalogue does not have, those that it misses
 *     partitions    each from its log start to its log end
 *     commits       whether they lie in between
 *
 * Nothing is locked and nothing is written. What others change meanwhile shows at a
 * second look, before it is called damage.
 */
#include "engine/check.h"
#include "engine/site.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Telling ---------------------------------------------------------- */

static bool is_alone(struct store_check *check)
{
    bool in_use = true;

    if (check->alone && !check->exclusive)
        check->alone = rill__store_in_use(&check->dir, &in_use) == 0 && !in_use;
    return check->alone;
}

int rill__check_found(struct store_check *check, const rill_damage *damage)
{
    rill_check_report *report = check->report;

    if (damage->kind == RILL_DAMAGE_LEFTOVER && !is_alone(check)) return 0;
    switch (damage->severity) {
    case RILL_LOG_ERROR: report->error_count++; break;
    case RILL_LOG_WARNING: report->warning_count++; break;
    default: report->note_count++; break;
    }
    if (damage->severity == RILL_LOG_ERROR && damage->end > damage->first && damage->first >= 0)
        report->records_lost += (uint64_t)(damage->end - damage->first);
    return check->options.visit == NULL ? 0
                                        : check->options.visit(check->options.visit_arg, damage);
}

int rill__check_progress(struct store_check *check, const char *what, uint64_t bytes)
{
    rill_progress progress = {.what = what};

    check->report->bytes_checked += bytes;
    check->done += bytes;
    if (check->done > check->total) check->total = check->done;
    if (check->options.progress == NULL) return 0;
    progress.done = check->done;
    progress.total = check->total;
    return check->options.progress(check->options.progress_arg, &progress);
}

static rill_damage damage_at(int32_t kind, int32_t severity, const char *file)
{
    return (rill_damage){.kind = kind,
                         .severity = severity,
                         .partition = -1,
                         .file = file,
                         .position = -1,
                         .size = -1,
                         .first = RILL_OFFSET_NONE,
                         .end = RILL_OFFSET_NONE};
}

/* ---- Names -------------------------------------------------------------- */

bool rill__is_topic_directory(const char *name, uint8_t id[16])
{
    if (strlen(name) != TOPIC_DIRECTORY_SIZE - 1 ||
        strspn(name, "0123456789abcdef") != TOPIC_DIRECTORY_SIZE - 1)
        return false;
    for (int i = 0; i < 16; i++) {
        int high = name[2 * i];
        int low = name[2 * i + 1];
        id[i] = (uint8_t)((high <= '9' ? high - '0' : high - 'a' + 10) << 4 |
                          (low <= '9' ? low - '0' : low - 'a' + 10));
    }
    return true;
}

bool rill__is_partition_number(const char *name, int32_t *number)
{
    size_t size = strlen(name);

    if (size == 0 || size > 5 || strspn(name, "0123456789") != size ||
        (name[0] == '0' && size > 1))
        return false;
    *number = 0;
    for (size_t i = 0; i < size; i++) *number = *number * 10 + (name[i] - '0');
    return *number < 10000;
}

/* ---- Partitions ------------------------------------------------------- */

struct partition_check {
    struct store_check *check;
    const char *topic; /* NULL: its name is lost */
    const uint8_t *id;
    int32_t partition;
    char directory[TOPIC_DIRECTORY_SIZE + 16]; /* from the store's on */
};

/* What is missing is so also where a topic is being deleted, which leaves the
 * catalogue first. */
static bool is_being_deleted(struct partition_check *p, const rill_damage *damage)
{
    switch (damage->kind) {
    case RILL_DAMAGE_CONTROL:
    case RILL_DAMAGE_SEGMENT_MISSING:
    case RILL_DAMAGE_INDEX:
    case RILL_DAMAGE_UNREADABLE:
        return p->topic != NULL && !is_alone(p->check) && !rill__check_lists(p->check, p->id);
    default: return false;
    }
}

static int found_in_partition(void *arg, rill_damage *damage)
{
    struct partition_check *p = arg;
    char file[sizeof p->directory + 300];

    if (is_being_deleted(p, damage)) return 0;
    snprintf(file, sizeof file, "%s/%s", p->directory, damage->file);
    damage->file = file;
    damage->topic = p->topic;
    damage->partition = p->partition;
    return rill__check_found(p->check, damage);
}

static int passed_in_partition(void *arg, uint64_t bytes)
{
    struct partition_check *p = arg;
    return rill__check_progress(p->check, p->directory, bytes);
}

static int check_log(struct partition_check *p, const struct file *dir, struct checked_log *log)
{
    struct store_check *check = p->check;
    struct log_check look = {.heap = &check->heap,
                             .dir = dir,
                             .partition = p->partition,
                             .alone = is_alone(check),
                             .from_disk = (check->options.flags & RILL_CHECK_FROM_DISK) != 0,
                             .found = found_in_partition,
                             .passed = passed_in_partition,
                             .arg = p};
    struct log_census census;
    int rc;

    memcpy(look.topic_id, p->id, 16);
    memcpy(look.boot_id, check->boot_id, 16);
    rc = rill__log_check(&look, &census);
    if (rc != 0 || census.deleted) return rc;
    check->report->partition_count++;
    check->report->segment_count += census.segment_count;
    check->report->batch_count += census.batch_count;
    check->report->record_count += census.record_count;
    if (log != NULL) *log = (struct checked_log){true, census.exact, census.start, census.end};
    return 0;
}

/* Its directory, or one of a partition, could not be opened. */
static int missing_directory(struct partition_check *p, int rc)
{
    rill_damage damage = damage_at(RILL_DAMAGE_TOPIC_MISSING, RILL_LOG_ERROR, p->directory);
    char text[400];

    damage.topic = p->topic;
    damage.partition = p->partition;
    damage.repair = "Makes an empty one; the records are lost.";
    if (rc != RILL_ERR_NOT_FOUND) {
        damage.kind = RILL_DAMAGE_UNREADABLE;
        damage.repair = "Nothing, as long as it cannot be opened.";
        snprintf(text, sizeof text, "%.380s.", rill__message());
        damage.text = text;
        return rill__check_found(p->check, &damage);
    }
    if (!is_alone(p->check) && !rill__check_lists(p->check, p->id))
        return 0; /* deleted meanwhile */
    snprintf(text, sizeof text,
             "Topic %s is in the catalogue, but a directory of it is missing, with all records "
             "that were in it.",
             p->topic);
    damage.text = text;
    return rill__check_found(p->check, &damage);
}

/* Partitions that were being added when a process died, and what is nobody's. */
static int stray_in_topic(void *arg, const char *name)
{
    struct partition_check *p = arg;
    rill_damage damage = damage_at(RILL_DAMAGE_LEFTOVER, RILL_LOG_INFO, NULL);
    char file[TOPIC_DIRECTORY_SIZE + 300];
    int32_t number;
    bool partition = rill__is_partition_number(name, &number);

    if (partition && number < p->partition) return 0;
    snprintf(file, sizeof file, "%.32s/%s", p->directory, name);
    damage.file = file;
    damage.topic = p->topic;
    damage.text = partition ? "The directory is of a partition that the topic does not have."
                            : "It is nothing that a topic has.";
    damage.repair = "Moves it to quarantine.";
    return rill__check_found(p->check, &damage);
}

static int check_topic(struct store_check *check, struct checked_topic *topic)
{
    struct partition_check p = {
        .check = check, .topic = topic->info.name, .id = topic->info.id, .partition = -1};
    struct file topic_dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    char number[16];
    int rc;

    check->report->topic_count++;
    topic->logs = rill__alloc(&check->heap, topic->info.partition_count * sizeof *topic->logs);
    if (topic->logs == NULL) return RILL_ERR_NO_MEMORY;
    rill__topic_directory(topic->info.id, name);
    memcpy(p.directory, name, sizeof name);
    rc = rill__dir_open_at(&check->dir, name, &topic_dir);
    if (rc != 0) return missing_directory(&p, rc);
    for (uint32_t i = 0; i < topic->info.partition_count && rc == 0; i++) {
        struct file dir = FILE_NONE;

        p.partition = (int32_t)i;
        snprintf(number, sizeof number, "%u", i);
        snprintf(p.directory, sizeof p.directory, "%s/%s", name, number);
        rc = rill__dir_open_at(&topic_dir, number, &dir);
        if (rc == 0) rc = check_log(&p, &dir, &topic->logs[i]);
        else rc = missing_directory(&p, rc);
        rill__file_close(&dir);
    }
    p.partition = (int32_t)topic->info.partition_count;
    if (rc == 0) rc = rill__dir_list(&topic_dir, stray_in_topic, &p);
    rill__file_close(&topic_dir);
    return rc;
}

/* ---- Directories that the catalogue does not have --------------------- */

struct lost_topic {
    struct store_check *check;
    const uint8_t *id;
    const char *name; /* of the directory */
    struct file *dir;
};

static int check_lost_partition(void *arg, const char *name)
{
    struct lost_topic *lost = arg;
    struct partition_check p = {.check = lost->check, .id = lost->id};
    struct file dir = FILE_NONE;
    int rc = 0;

    if (!rill__is_partition_number(name, &p.partition)) return 0;
    snprintf(p.directory, sizeof p.directory, "%s/%s", lost->name, name);
    if (rill__dir_open_at(lost->dir, name, &dir) == 0) rc = check_log(&p, &dir, NULL);
    rill__file_close(&dir);
    return rc;
}

/* All that is known of it is its directory. */
static int lost_topic(struct store_check *check, const char *name, const uint8_t id[16])
{
    struct file dir = FILE_NONE;
    struct lost_topic lost = {check, id, name, &dir};
    rill_damage damage = damage_at(RILL_DAMAGE_TOPIC_UNKNOWN, RILL_LOG_ERROR, name);
    int rc;

    if (!check->catalogue_hurt) {
        damage.kind = RILL_DAMAGE_LEFTOVER;
        damage.severity = RILL_LOG_INFO;
        damage.text = "The directory is of a topic that was deleted, or that was not quite made.";
        damage.repair = "Nothing: opening the store removes it.";
        return rill__check_found(check, &damage);
    }
    damage.text = "The catalogue is damaged and does not list the topic of this directory; its "
                  "records cannot be read.";
    damage.repair = "Puts it back into the catalogue, under another name if its own is lost.";
    rc = rill__check_found(check, &damage);
    if (rc == 0 && rill__dir_open_at(&check->dir, name, &dir) == 0)
        rc = rill__dir_list(&dir, check_lost_partition, &lost);
    rill__file_close(&dir);
    return rc;
}

static int check_name_in_store(void *arg, const char *name)
{
    static const char *const ours[] = {"STORE",   "STORE.tmp",  "shared",
                                       "members", "quarantine", "meta"};
    struct store_check *check = arg;
    rill_damage damage = damage_at(RILL_DAMAGE_LEFTOVER, RILL_LOG_INFO, name);
    uint8_t id[16];

    if (rill__is_topic_directory(name, id)) {
        if (rill__check_topic(check, id) != NULL) return 0;
        if (!is_alone(check) && rill__check_lists(check, id)) return 0; /* it is new */
        return lost_topic(check, name, id);
    }
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i]) == 0) return 0;
    damage.text = "It is nothing that a store has.";
    damage.repair = "Nothing: it is not the store's.";
    return rill__check_found(check, &damage);
}

/* ---- The whole -------------------------------------------------------- */

static int see_ours(void *arg, const char *name)
{
    uint8_t id[16];

    if (strcmp(name, "meta") == 0 || strcmp(name, "STORE") == 0 ||
        rill__is_topic_directory(name, id))
        *(bool *)arg = true;
    return 0;
}

int rill__check_is_store(const struct file *dir, bool *is_store)
{
    *is_store = false;
    return rill__dir_list(dir, see_ours, is_store);
}

static int check_store_file(struct store_check *check)
{
    int64_t created_ms;
    rill_damage damage = damage_at(RILL_DAMAGE_STORE_FILE, RILL_LOG_ERROR, "STORE");
    bool ours;
    char text[600];
    int rc = rill__check_is_store(&check->dir, &ours);

    if (rc != 0) return rc;
    if (!ours) return rill__fail(RILL_ERR_NOT_FOUND, "%s is no rill store", check->path);
    rc = rill__store_file_read(&check->dir, check->path, &created_ms);
    if (rc == 0) return 0;
    if (rc != RILL_ERR_NOT_FOUND && rc != RILL_ERR_FORMAT && !rill__is_of_medium(rc))
        return rc; /* it may be well */
    damage.repair = "Makes it anew.";
    if (rc == RILL_ERR_IO) damage.kind = RILL_DAMAGE_UNREADABLE;
    if (rc == RILL_ERR_FORMAT) {
        damage.kind = RILL_DAMAGE_FORMAT;
        damage.repair = "Nothing: use the version of the library that wrote it.";
    }
    snprintf(text, sizeof text, "%s; the store cannot be opened.", rill__message());
    damage.text = text;
    return rill__check_found(check, &damage);
}

static int add_partition_size(struct store_check *check, const struct checked_topic *topic,
                              uint32_t partition)
{
    struct file dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    char path[TOPIC_DIRECTORY_SIZE + 16];
    uint64_t bytes;
    int rc = 0;

    rill__topic_directory(topic->info.id, name);
    snprintf(path, sizeof path, "%s/%u", name, partition);
    if (rill__dir_open_at(&check->dir, path, &dir) == 0) {
        rc = rill__log_check_size(&dir, &bytes);
        if (rc == 0) check->total += bytes;
    }
    rill__file_close(&dir);
    return rc == RILL_ERR_NO_MEMORY ? rc : 0;
}

int rill__check_all(struct store_check *check)
{
    int rc = check_store_file(check);

    if (rc == 0) rc = rill__check_catalogue(check);
    for (size_t i = 0; i < check->topic_count && rc == 0; i++)
        for (uint32_t p = 0; p < check->topics[i].info.partition_count && rc == 0; p++)
            rc = add_partition_size(check, &check->topics[i], p);
    if (rc == 0) rc = rill__check_progress(check, "meta", 0);
    if (rc == 0) rc = rill__dir_list(&check->dir, check_name_in_store, check);
    for (size_t i = 0; i < check->topic_count && rc == 0; i++)
        rc = check_topic(check, &check->topics[i]);
    if (rc == 0) rc = rill__check_commits(check);
    check->done = check->total;
    return rc == 0 ? rill__check_progress(check, "meta", 0) : rc;
}

void rill__check_free_topics(struct store_check *check)
{
    for (size_t i = 0; i < check->topic_count; i++)
        rill__free(&check->heap, check->topics[i].logs);
    rill__free(&check->heap, check->topics);
    check->topics = NULL;
    check->topic_count = check->topic_room = 0;
}

int rill__check(const char *path, const rill_check_options *given, rill_check_report *report)
{
    struct store_check check = {.dir = FILE_NONE, .alone = true};
    rill_check_report found = {.size = sizeof found};
    size_t size = report->size;
    int rc = rill__options_take(OPTIONS_CHECK, given, &check.options);

    if (rc == 0) rc = rill__allocator_check(&check.options.allocator);
    if (rc != 0) return rc;
    if (size < sizeof size || size > 4096)
        return rill__fail(RILL_ERR_INVALID,
                          "rill_check_report: size is %zu; set it to sizeof(rill_check_report)",
                          size);
    if (strlen(path) >= sizeof check.path)
        return rill__fail(RILL_ERR_INVALID, "a path of %zu bytes; at most %zu", strlen(path),
                          sizeof check.path - 1);
    memcpy(check.path, path, strlen(path) + 1);
    rill__heap_init(&check.heap, &check.options.allocator, 0);
    check.report = &found;
    rc = rill__dir_open(path, &check.dir);
    if (rc == 0) rc = rill__site_check(&check.dir);
    if (rc == 0) rc = rill__boot_id(check.boot_id);
    if (rc == 0) rc = rill__check_all(&check);
    for (size_t i = 0; i < check.topic_count; i++) rill__free(&check.heap, check.topics[i].logs);
    rill__free(&check.heap, check.topics);
    rill__file_close(&check.dir);
    if (rc != 0) return rc;
    found.size = size;
    memset(report, 0, size);
    memcpy(report, &found, size < sizeof found ? size : sizeof found);
    return 0;
}
