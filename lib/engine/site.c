/*
 * engine/site.c - see engine/site.h.
 */
#include "engine/site.h"
#include "engine/store.h"
#include <stdio.h>
#include <string.h>

static const char explanation[] =
    "A copy of a rill store was being made here and is not finished. Make it again into\n"
    "this directory, or remove the directory.\n";

int rill__site_check(const struct file *dir)
{
    bool incomplete;
    int rc = rill__file_exists(dir, INCOMPLETE_NAME, &incomplete);

    if (rc != 0 || !incomplete) return rc;
    return rill__fail(
        RILL_ERR_INVALID,
        "%s holds a copy of a store that is not finished (there is a file %s): make "
        "it again into this directory, or remove the directory",
        dir->name, INCOMPLETE_NAME);
}

/* ---- What may be there ---- */

static bool has_topic_name(const char *name)
{
    return strlen(name) == TOPIC_DIRECTORY_SIZE - 1 &&
           strspn(name, "0123456789abcdef") == TOPIC_DIRECTORY_SIZE - 1;
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {"STORE", "STORE.tmp", "meta", "shared", "members"};

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i]) == 0) return true;
    return has_topic_name(name);
}

/* Anything at all, but the marker; abandoned things may be there beside that. */
struct look {
    struct site *site;
    bool marked;
};

static int refuse_others(void *arg, const char *name)
{
    const struct look *look = arg;

    if (strcmp(name, INCOMPLETE_NAME) == 0 || (look->marked && is_ours(name))) return 0;
    return rill__fail(RILL_ERR_INVALID,
                      "%s is not empty (it has %s); a copy needs a directory of its own",
                      look->site->path, name);
}

static void drop_marker(struct site *site)
{
    struct saved_message why;

    rill__message_save(&why);
    rill__file_remove(&site->dir, INCOMPLETE_NAME);
    rill__message_restore(&why);
}

static int remove_file(void *arg, const char *name)
{
    return rill__file_remove(arg, name);
}

static int remove_abandoned(void *arg, const char *name)
{
    struct site *site = arg;
    struct file dir = FILE_NONE;
    int rc;

    if (!is_ours(name)) return 0; /* the marker */
    if (has_topic_name(name)) return rill__topic_directory_remove(&site->dir, name);
    if (strcmp(name, "meta") != 0) return rill__file_remove(&site->dir, name);
    rc = rill__dir_open_at(&site->dir, name, &dir);
    if (rc == 0) rc = rill__dir_list(&dir, remove_file, &dir);
    rill__file_close(&dir);
    return rc == 0 ? rill__dir_remove_at(&site->dir, name) : rc;
}

int rill__site_clear(struct site *site)
{
    return rill__dir_list(&site->dir, remove_abandoned, site);
}

/* ---- Taking it ---- */

/* That dir is not in the directory `outside`. */
static int check_outside(const char *path, const struct file *dir, const struct file *outside)
{
    uint64_t id[2];
    bool within;
    int rc;

    if (outside == NULL) return 0;
    rc = rill__file_identity(outside, &id[0], &id[1]);
    if (rc == 0) rc = rill__dir_is_within(dir, id[0], id[1], &within);
    if (rc != 0 || !within) return rc;
    return rill__fail(RILL_ERR_INVALID, "%s is inside of the store itself; copy it elsewhere",
                      path);
}

static int make_directory(const char *path, const struct file *outside)
{
    struct file parent = FILE_NONE;
    int rc = rill__dir_open_parent(path, &parent);

    if (rc == 0) rc = check_outside(path, &parent, outside);
    if (rc == 0) rc = rill__dir_make(path);
    rill__file_close(&parent);
    return rc;
}

static int taken(const struct site *site)
{
    return rill__fail(RILL_ERR_BUSY, "%s: another process or thread is making a copy there",
                      site->path);
}

/* Whoever is done with it takes the name of the marker away, and then the lock. */
static int refuse_marker(struct site *site)
{
    struct file now = FILE_NONE;
    uint64_t ids[4];
    int rc = rill__file_open(&site->dir, INCOMPLETE_NAME, FILE_READ, &now);

    if (rc == 0) rc = rill__file_identity(&now, &ids[0], &ids[1]);
    if (rc == 0) rc = rill__file_identity(&site->marker, &ids[2], &ids[3]);
    rill__file_close(&now);
    if (rc == RILL_ERR_NOT_FOUND || (rc == 0 && (ids[0] != ids[2] || ids[1] != ids[3])))
        return taken(site);
    return rc;
}

/* An empty directory gets a marker that must be new; one that is there is that of
 * whoever holds its lock, or abandoned. */
static int take_marker(struct site *site)
{
    struct look look = {.site = site};
    int rc = rill__file_exists(&site->dir, INCOMPLETE_NAME, &look.marked);

    if (rc == 0) rc = rill__dir_list(&site->dir, refuse_others, &look);
    if (rc != 0) return rc;
    rc = rill__file_open(&site->dir, INCOMPLETE_NAME,
                         look.marked ? FILE_WRITE : FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE,
                         &site->marker);
    if (rc == RILL_ERR_NOT_FOUND || rc == RILL_ERR_EXISTS) return taken(site);
    if (rc == 0) rc = rill__fork_close_on(site->marker.fd);
    if (rc == 0) rc = rill__file_lock(&site->marker, 0, FILE_LOCK_EXCLUSIVE, 0);
    if (rc == RILL_ERR_BUSY) return taken(site);
    if (rc == 0) rc = refuse_marker(site);
    if (rc != 0 || look.marked) return rc;
    /* What has come since the first look is not abandoned. */
    rc = rill__dir_list(&site->dir, refuse_others, &look);
    if (rc == RILL_ERR_INVALID) drop_marker(site);
    return rc;
}

int rill__site_take(const char *path, const struct file *outside, struct site *out)
{
    struct site site = SITE_NONE;
    struct file parent = FILE_NONE;
    int rc;

    if (strlen(path) >= sizeof site.path)
        return rill__fail(RILL_ERR_INVALID, "a path of %zu bytes; at most %zu", strlen(path),
                          sizeof site.path - 1);
    memcpy(site.path, path, strlen(path) + 1);
    rc = rill__dir_open(path, &site.dir);
    if (rc == RILL_ERR_NOT_FOUND) {
        rc = make_directory(path, outside);
        if (rc == 0) rc = rill__dir_open(path, &site.dir);
    }
    if (rc == 0) rc = check_outside(path, &site.dir, outside);
    if (rc == 0) rc = take_marker(&site);
    /* The mark first, durably: then, and not before, what may be half of a store. */
    if (rc == 0) rc = rill__file_write(&site.marker, explanation, sizeof explanation - 1, 0);
    if (rc == 0) rc = rill__file_sync(&site.marker);
    if (rc == 0) rc = rill__dir_sync(&site.dir);
    if (rc == 0) rc = rill__dir_open_parent(path, &parent);
    if (rc == 0) rc = rill__dir_sync(&parent);
    if (rc == 0) rc = rill__site_clear(&site);
    if (rc == 0) rc = rill__file_system_of(&site.dir, &site.on);
    if (rc == 0 && site.on.copy_on_write) rc = rill__dir_set_nocow(&site.dir);
    rill__file_close(&parent);
    if (rc == 0) *out = site;
    else rill__site_leave(&site);
    return rc;
}

int rill__site_finish(struct site *site)
{
    struct file marker = FILE_NONE;
    struct saved_message why;
    int rc = rill__dir_sync(&site->dir);

    if (rc == 0) rc = rill__file_remove(&site->dir, INCOMPLETE_NAME);
    if (rc != 0) return rc;
    rc = rill__dir_sync(&site->dir);
    if (rc == 0) return 0;
    /* Whoever is told that it failed finds it incomplete. */
    rill__message_save(&why);
    rill__file_open(&site->dir, INCOMPLETE_NAME, FILE_WRITE | FILE_CREATE, &marker);
    rill__file_close(&marker);
    rill__message_restore(&why);
    return rc;
}

void rill__site_leave(struct site *site)
{
    if (site->marker.fd >= 0) rill__fork_forget(site->marker.fd);
    rill__file_close(&site->marker);
    rill__file_close(&site->dir);
}
