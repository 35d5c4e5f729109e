/*
 * engine/snapshot.c - a copy of a store that is being written to.
 *
 *     marker -> partitions opened -> catalogue copied, the ends of all partitions noted
 *     while nobody writes it -> each partition up to that end (log/copy.c) -> topics
 *     that went meanwhile taken out of the catalogue again -> STORE -> marker removed
 *
 * What the catalogue and the logs say of each other is so because what is in the logs
 * comes before the catalogue tells of it (offsets that are committed; transactions,
 * which are decided when all their records are there), or after it (the markers of
 * transactions, topics). With the ends noted while the catalogue stands still, all of it
 * is in the copy or none: a transaction that was decided is settled when the copy is
 * opened, one that was not is aborted there, in every partition.
 *
 * No lock is held over the copying, so nobody waits for it but compactions
 * (engine/gate.h).
 */
#include "engine/gate.h"
#include "engine/site.h"
#include <stdio.h>
#include <string.h>

#define SNAPSHOT_TRIES 20 /* while topics come as fast as they are opened */

/* A topic that is copied, with a reference to it and to each of its partitions. */
struct copied_topic {
    struct topic *topic;
    uint32_t part_count;
    struct copied_part {
        struct log *log;
        struct log_moment at;
    } * parts;
};

struct snapshot {
    struct store *store;
    rill_copy_options options;
    struct site site;
    struct file gate;
    struct meta *meta; /* the catalogue of the copy, open while it is made */
    struct copied_topic *topics;
    size_t topic_count;
    size_t topic_room;
    bool link;
    rill_progress progress;
    char what[RILL_TOPIC_NAME_MAX + 16];
};

static int told(void *arg, uint64_t bytes)
{
    struct snapshot *s = arg;

    s->progress.done += bytes;
    if (s->progress.total < s->progress.done) s->progress.total = s->progress.done;
    return s->options.progress(s->options.progress_arg, &s->progress);
}

static bool is_wanted(const struct snapshot *s, const char *topic)
{
    if (s->options.topics == NULL) return true;
    for (size_t i = 0; i < s->options.topic_count; i++)
        if (strcmp(s->options.topics[i], topic) == 0) return true;
    return false;
}

/* It was deleted, as far as that shows; the message stays. */
static bool has_gone(struct snapshot *s, const struct meta_topic *info)
{
    struct saved_message why;
    struct meta_topic now;
    int rc;

    rill__message_save(&why);
    rc = rill__meta_topic_get(s->store->meta, info->name, &now);
    rill__message_restore(&why);
    return rc == RILL_ERR_NOT_FOUND || (rc == 0 && memcmp(now.id, info->id, sizeof now.id) != 0);
}

/* ---- Everything is open ------------------------------------------------ */

static struct copied_topic *find_copied(const struct snapshot *s, const uint8_t id[16])
{
    for (size_t i = 0; i < s->topic_count; i++)
        if (memcmp(s->topics[i].topic->info.id, id, 16) == 0) return &s->topics[i];
    return NULL;
}

static int hold_topic(struct snapshot *s, const struct meta_topic *info,
                      struct copied_topic **out)
{
    struct topic *topic;
    int rc;

    if (s->topic_count == s->topic_room) {
        size_t room = s->topic_room == 0 ? 16 : s->topic_room * 2;
        void *grown = rill__resize(&s->store->heap, s->topics, room * sizeof *s->topics);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        s->topics = grown;
        s->topic_room = room;
    }
    rc = rill__topic_find(s->store, info->name, &topic);
    if (rc != 0) return rc;
    if (memcmp(topic->info.id, info->id, sizeof info->id) != 0) { /* of the same name */
        rill__topic_release(topic);
        return rill__fail(RILL_ERR_NOT_FOUND, "topic %s was deleted", info->name);
    }
    *out = &s->topics[s->topic_count++];
    **out = (struct copied_topic){.topic = topic};
    return 0;
}

static int open_partitions(struct snapshot *s, struct copied_topic *t, uint32_t count)
{
    int timeout_ms = (int)s->store->options.open_timeout_ms;
    struct copied_part *grown;
    int rc = 0;

    if (count <= t->part_count) return 0;
    grown = rill__resize(&s->store->heap, t->parts, count * sizeof *grown);
    if (grown == NULL) return RILL_ERR_NO_MEMORY;
    t->parts = grown;
    while (t->part_count < count && rc == 0) {
        rc = rill__partition_log(t->topic, (int32_t)t->part_count, timeout_ms,
                                 &grown[t->part_count].log);
        if (rc == 0) t->part_count++;
    }
    return rc;
}

static int open_wanted(struct snapshot *s)
{
    struct meta_topic info = {.name = ""};
    int rc;

    while ((rc = rill__meta_topic_after(s->store->meta, info.name, &info)) == 0) {
        struct copied_topic *t = find_copied(s, info.id);

        if (!is_wanted(s, info.name)) continue;
        if (t == NULL) rc = hold_topic(s, &info, &t);
        if (rc == 0) rc = open_partitions(s, t, info.partition_count);
        if (rc != 0 && !has_gone(s, &info)) return rc;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

static void close_all_topics(struct snapshot *s)
{
    for (size_t i = 0; i < s->topic_count; i++) {
        struct copied_topic *t = &s->topics[i];
        for (uint32_t p = 0; p < t->part_count; p++)
            rill__partition_release(t->topic, (int32_t)p);
        rill__topic_release(t->topic);
        rill__free(&s->store->heap, t->parts);
    }
    rill__free(&s->store->heap, s->topics);
}

/* ---- The catalogue, and the moment ------------------------------------- */

static void note_ends(void *arg)
{
    struct snapshot *s = arg;

    for (size_t i = 0; i < s->topic_count; i++)
        for (uint32_t p = 0; p < s->topics[i].part_count; p++)
            rill__log_moment(s->topics[i].parts[p].log, &s->topics[i].parts[p].at);
}

/* Whether the ends of all that it lists were noted. */
static int check_complete(struct snapshot *s, bool *complete)
{
    struct meta_topic info = {.name = ""};
    int rc;

    *complete = true;
    while ((rc = rill__meta_topic_after(s->meta, info.name, &info)) == 0) {
        const struct copied_topic *t = find_copied(s, info.id);
        if (!is_wanted(s, info.name)) continue;
        if (t == NULL ? !has_gone(s, &info) : t->part_count < info.partition_count)
            *complete = false;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

static int copy_catalogue(struct snapshot *s)
{
    char path[600];
    bool complete = false;
    int rc = 0;

    snprintf(path, sizeof path, "%s/meta", s->site.path);
    for (int attempt = 0; rc == 0 && !complete; attempt++) {
        rill__meta_close(s->meta);
        s->meta = NULL;
        if (attempt == SNAPSHOT_TRIES)
            return rill__fail(RILL_ERR_BUSY, "%s: topics come too fast to be copied",
                              s->store->path);
        rc = rill__site_clear(&s->site);
        if (rc == 0) rc = open_wanted(s);
        if (rc == 0) rc = rill__catalogue_prepare(&s->site.dir, true, s->site.on.copy_on_write);
        if (rc == 0) rc = rill__meta_copy(s->store->meta, path, note_ends, s, &s->meta);
        if (rc == 0) rc = check_complete(s, &complete);
    }
    return rc;
}

/* Nobody has it open any more. */
static int finish_catalogue(struct snapshot *s)
{
    struct file dir = FILE_NONE;
    size_t rotten = 0;
    char path[600];
    int rc = 0;

    rill__meta_close(s->meta);
    s->meta = NULL;
    snprintf(path, sizeof path, "%s/meta", s->site.path);
    if ((s->options.flags & RILL_COPY_VERIFY) != 0)
        rc = rill__meta_verify(&s->store->heap, path, &rotten);
    if (rc == 0 && rotten != 0)
        rc = rill__fail(RILL_ERR_CORRUPT, "%s: %zu records of the catalogue do not verify", path,
                        rotten);
    if (rc == 0) rc = rill__dir_open_at(&s->site.dir, "meta", &dir);
    if (rc == 0) rc = rill__file_remove(&dir, "lock.mdb");
    if (rc == 0) rc = rill__dir_sync(&dir); /* LMDB does not */
    rill__file_close(&dir);
    return rc;
}

/* ---- Topics ------------------------------------------------------------ */

static int make_directory_in(const struct snapshot *s, const struct file *parent,
                             const char *name, struct file *dir)
{
    int rc = rill__dir_make_at(parent, name);

    if (rc == 0) rc = rill__dir_open_at(parent, name, dir);
    return rc == 0 && s->site.on.copy_on_write ? rill__dir_set_nocow(dir) : rc;
}

static int copy_partition(struct snapshot *s, struct copied_topic *t, uint32_t number,
                          const struct file *topic_dir)
{
    struct log_copy copy = {
        .at = &t->parts[number].at,
        .link = s->link,
        .verify = (s->options.flags & RILL_COPY_VERIFY) != 0,
        .told = s->options.progress == NULL ? NULL : told,
        .arg = s,
    };
    int64_t deadline = rill__deadline((int)s->store->options.open_timeout_ms);
    struct file dir = FILE_NONE;
    char name[16];
    int rc;

    snprintf(name, sizeof name, "%u", number);
    snprintf(s->what, sizeof s->what, "%s-%u", t->topic->info.name, number);
    rc = make_directory_in(s, topic_dir, name, &dir);
    if (rc == 0) rc = rill__log_copy(t->parts[number].log, &dir, &copy, deadline);
    rill__file_close(&dir);
    if (!copy.link) s->link = false; /* nor for the next ones */
    return rc;
}

static int copy_topic(struct snapshot *s, const struct meta_topic *info)
{
    struct copied_topic *t = find_copied(s, info->id);
    struct file dir = FILE_NONE;
    char name[TOPIC_DIRECTORY_SIZE];
    int rc;

    if (t == NULL) return rill__fail(RILL_ERR_NOT_FOUND, "topic %s was deleted", info->name);
    rill__topic_directory(info->id, name);
    rc = make_directory_in(s, &s->site.dir, name, &dir);
    for (uint32_t p = 0; p < info->partition_count && rc == 0; p++)
        rc = copy_partition(s, t, p, &dir);
    if (rc == 0) rc = rill__dir_sync(&dir);
    rill__file_close(&dir);
    return rc;
}

static int leave_out(struct snapshot *s, const struct meta_topic *info)
{
    char name[TOPIC_DIRECTORY_SIZE];
    struct meta_topic deleted;
    int rc;

    rill__topic_directory(info->id, name);
    rc = rill__topic_directory_remove(&s->site.dir, name);
    return rc == 0 ? rill__meta_topic_delete(s->meta, info->name, &deleted) : rc;
}

static int copy_all_topics(struct snapshot *s)
{
    struct meta_topic info = {.name = ""};
    int rc;

    while ((rc = rill__meta_topic_after(s->meta, info.name, &info)) == 0) {
        bool wanted = is_wanted(s, info.name);

        if (wanted) rc = copy_topic(s, &info);
        if (!wanted || (rc < 0 && s->options.topics == NULL && has_gone(s, &info)))
            rc = leave_out(s, &info);
        if (rc != 0) return rc;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

/* Those that are named are there; and how much there is, for people: what cannot be
 * told now does not count. */
static int look_at_topics(struct snapshot *s)
{
    struct meta_topic info;
    uint64_t bytes;
    uint32_t count;
    int rc = 0;

    for (size_t i = 0; i < s->options.topic_count && rc == 0; i++)
        rc = rill__meta_topic_get(s->meta, s->options.topics[i], &info);
    for (size_t i = 0; i < s->topic_count && s->options.progress != NULL; i++)
        for (uint32_t p = 0; p < s->topics[i].part_count; p++)
            if (rill__log_segments(s->topics[i].parts[p].log, &count, &bytes) == 0)
                s->progress.total += bytes;
    return rc;
}

/* ---- All of it --------------------------------------------------------- */

static int make_copy(struct snapshot *s)
{
    int timeout_ms = (int)s->store->options.open_timeout_ms;
    int rc = rill__gate_enter_copying(s->store, timeout_ms, &s->gate);

    if (rc == 0) rc = copy_catalogue(s);
    if (rc == 0) rc = look_at_topics(s);
    if (rc == 0) rc = copy_all_topics(s);
    if (rc == 0) rc = finish_catalogue(s);
    if (rc == 0) rc = rill__store_file_write(&s->site.dir);
    return rc == 0 ? rill__site_finish(&s->site) : rc;
}

static int check_topic_options(const rill_copy_options *options)
{
    int rc = 0;

    if (options->topics == NULL && options->topic_count != 0)
        return rill__fail(RILL_ERR_INVALID, "topic_count is %zu, and topics is NULL",
                          options->topic_count);
    for (size_t i = 0; rc == 0 && i < options->topic_count; i++) {
        if (options->topics[i] == NULL)
            return rill__fail(RILL_ERR_INVALID, "topic %zu is NULL", i);
        rc = rill__check_name("topic", options->topics[i]);
    }
    return rc;
}

int rill__snapshot(struct store *store, const char *dir, const rill_copy_options *options)
{
    struct snapshot s = {.store = store, .site = SITE_NONE, .gate = FILE_NONE};
    struct saved_message why;
    int rc = rill__options_take(OPTIONS_COPY, options, &s.options);

    if (rc == 0) rc = check_topic_options(&s.options);
    if (rc != 0) return rc;
    s.link = (s.options.flags & RILL_COPY_NO_LINKS) == 0;
    s.progress.what = s.what;
    rc = rill__site_take(dir, &store->dir, &s.site);
    if (rc != 0) return rc;
    rc = make_copy(&s);
    rill__message_save(&why);
    rill__meta_close(s.meta);
    close_all_topics(&s);
    rill__gate_leave(&s.gate);
    rill__site_leave(&s.site);
    rill__message_restore(&why);
    return rc;
}

int rill__restore(const char *snapshot, const char *dir, const rill_copy_options *options)
{
    rill_copy_options known;
    rill_options how = {.size = sizeof how};
    struct saved_message why;
    rill *handle = NULL;
    int rc = rill__options_take(OPTIONS_COPY, options, &known);
    int close_rc;

    if (rc != 0) return rc;
    if ((known.flags & RILL_COPY_ANY_FILE_SYSTEM) != 0) how.flags = RILL_OPEN_ANY_FILE_SYSTEM;
    rc = rill__store_open(snapshot, &how, &handle);
    if (rc != 0) return rc;
    rc = rill__snapshot(handle->store, dir, options);
    if (rc != 0) rill__message_save(&why);
    close_rc = rill__store_close(handle);
    if (rc == 0) return close_rc;
    rill__message_restore(&why);
    return rc;
}
