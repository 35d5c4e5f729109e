/*
 * engine/snapshot.c - a copy of a store that is being written to.
 *
 *     marker -> catalogue -> each partition (log/copy.c) -> topics that went
 *     meanwhile taken out of the catalogue again -> STORE -> marker removed
 *
 * The catalogue first: what it says is committed lies before the ends that the
 * logs are then copied to. A topic is in the copy when it is in that catalogue,
 * with the partitions that it had then.
 *
 * No lock is held over any of this, so nobody waits for it.
 */
#include "engine/site.h"
#include "engine/store.h"
#include <stdio.h>
#include <string.h>

struct snapshot {
    struct store *store;
    rill_copy_options options;
    struct site site;
    struct meta *meta; /* the catalogue of the copy, open while it is made */
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

/* ---- The catalogue ---- */

static int copy_catalogue(struct snapshot *s)
{
    char path[600];
    int rc = rill__catalogue_prepare(&s->site.dir, true, s->site.on.copy_on_write);

    snprintf(path, sizeof path, "%s/meta", s->site.path);
    return rc == 0 ? rill__meta_copy(s->store->meta, path, &s->meta) : rc;
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

static bool is_wanted(const struct snapshot *s, const char *topic)
{
    if (s->options.topics == NULL) return true;
    for (size_t i = 0; i < s->options.topic_count; i++)
        if (strcmp(s->options.topics[i], topic) == 0) return true;
    return false;
}

/* ---- Topics ---- */

static int copy_partition(struct snapshot *s, struct topic *topic, const struct file *topic_dir,
                          int32_t number)
{
    struct log_copy copy = {
        .link = s->link,
        .verify = (s->options.flags & RILL_COPY_VERIFY) != 0,
        .told = s->options.progress == NULL ? NULL : told,
        .arg = s,
    };
    int timeout_ms = (int)s->store->options.open_timeout_ms;
    struct file dir = FILE_NONE;
    struct log *log;
    char name[16];
    int rc = rill__partition_log(topic, number, timeout_ms, &log);

    snprintf(name, sizeof name, "%d", (int)number);
    snprintf(s->what, sizeof s->what, "%s-%d", topic->info.name, (int)number);
    if (rc != 0) return rc;
    rc = rill__dir_make_at(topic_dir, name);
    if (rc == 0) rc = rill__dir_open_at(topic_dir, name, &dir);
    if (rc == 0 && s->site.on.copy_on_write) rc = rill__dir_set_nocow(&dir);
    if (rc == 0) rc = rill__log_copy(log, &dir, &copy, rill__deadline(timeout_ms));
    rill__file_close(&dir);
    rill__partition_release(topic, number);
    if (!copy.link) s->link = false; /* nor for the next ones */
    return rc;
}

/* The topic of the store that the copied catalogue means, with a reference: not another
 * one that has its name by now. */
static int find_topic(struct snapshot *s, const struct meta_topic *info, struct topic **topic)
{
    int rc = rill__topic_find(s->store, info->name, topic);

    if (rc != 0 || memcmp((*topic)->info.id, info->id, sizeof info->id) == 0) return rc;
    rill__topic_release(*topic);
    return rill__fail(RILL_ERR_NOT_FOUND, "topic %s was deleted", info->name);
}

static int copy_topic(struct snapshot *s, const struct meta_topic *info)
{
    struct file dir = FILE_NONE;
    struct topic *topic;
    char name[TOPIC_DIRECTORY_SIZE];
    int rc = find_topic(s, info, &topic);

    if (rc != 0) return rc;
    rill__topic_directory(info->id, name);
    rc = rill__dir_make_at(&s->site.dir, name);
    if (rc == 0) rc = rill__dir_open_at(&s->site.dir, name, &dir);
    if (rc == 0 && s->site.on.copy_on_write) rc = rill__dir_set_nocow(&dir);
    for (uint32_t p = 0; p < info->partition_count && rc == 0; p++)
        rc = copy_partition(s, topic, &dir, (int32_t)p);
    if (rc == 0) rc = rill__dir_sync(&dir);
    rill__file_close(&dir);
    rill__topic_release(topic);
    return rc;
}

/* It was deleted while it was being copied, as far as that shows. */
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

/* Those that are named are there. */
static int check_named(struct snapshot *s)
{
    struct meta_topic info;
    int rc = 0;

    for (size_t i = 0; i < s->options.topic_count && rc == 0; i++)
        rc = rill__meta_topic_get(s->meta, s->options.topics[i], &info);
    return rc;
}

/* How much there is, for people: what cannot be told now does not count. */
static void add_up(struct snapshot *s, const struct meta_topic *info)
{
    struct topic *topic;
    struct log *log;
    uint64_t bytes;
    uint32_t count;

    if (!is_wanted(s, info->name) || find_topic(s, info, &topic) != 0) return;
    for (uint32_t p = 0; p < info->partition_count; p++) {
        if (rill__partition_log(topic, (int32_t)p, 0, &log) != 0) continue;
        if (rill__log_segments(log, &count, &bytes) == 0) s->progress.total += bytes;
        rill__partition_release(topic, (int32_t)p);
    }
    rill__topic_release(topic);
}

static int look_at_topics(struct snapshot *s)
{
    struct meta_topic info = {.name = ""};
    int rc = check_named(s);

    if (rc != 0 || s->options.progress == NULL) return rc;
    while ((rc = rill__meta_topic_after(s->meta, info.name, &info)) == 0) add_up(s, &info);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

/* ---- All of it ---- */

static int make_copy(struct snapshot *s)
{
    int rc = copy_catalogue(s);

    if (rc == 0) rc = look_at_topics(s);
    if (rc == 0) rc = copy_all_topics(s);
    if (rc == 0) rc = finish_catalogue(s);
    if (rc == 0) rc = rill__store_file_write(&s->site.dir);
    return rc == 0 ? rill__site_finish(&s->site) : rc;
}

int rill__snapshot(struct store *store, const char *dir, const rill_copy_options *options)
{
    struct snapshot s = {.store = store, .site = SITE_NONE};
    int rc = rill__options_take(OPTIONS_COPY, options, &s.options);

    for (size_t i = 0; rc == 0 && s.options.topics != NULL && i < s.options.topic_count; i++) {
        if (s.options.topics[i] == NULL)
            rc = rill__fail(RILL_ERR_INVALID, "topic %zu is NULL", i);
        else rc = rill__check_name("topic", s.options.topics[i]);
    }
    if (rc == 0 && s.options.topics == NULL && s.options.topic_count != 0)
        rc = rill__fail(RILL_ERR_INVALID, "topic_count is %zu, and topics is NULL",
                        s.options.topic_count);
    if (rc != 0) return rc;
    s.link = (s.options.flags & RILL_COPY_NO_LINKS) == 0;
    s.progress.what = s.what;
    rc = rill__site_take(dir, &store->dir, &s.site);
    if (rc != 0) return rc;
    rc = make_copy(&s);
    rill__meta_close(s.meta);
    rill__site_leave(&s.site);
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
