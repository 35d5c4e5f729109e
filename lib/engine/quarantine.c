/*
 * engine/quarantine.c - see engine/quarantine.h.
 */
#include "engine/quarantine.h"
#include <stdio.h>
#include <string.h>

#define TRIES_MAX 10000
#define COPY_STEP 4096u /* as much as a device loses at once, about */

static int sync_at(const struct file *store, const char *path)
{
    struct file dir = FILE_NONE;
    int rc = rill__dir_open_at(store, path, &dir);

    if (rc == 0) rc = rill__dir_sync(&dir);
    rill__file_close(&dir);
    return rc;
}

/* Makes the directories above where, and syncs what is above each. */
static int make_way(const struct file *store, char *where)
{
    char *slash = strchr(where, '/');
    const char *above = ".";
    char parent[QUARANTINE_PATH_SIZE];
    int rc = 0;

    while (rc == 0 && slash != NULL) {
        *slash = '\0';
        rc = rill__dir_make_at(store, where);
        if (rc == 0) rc = sync_at(store, above);
        memcpy(parent, where, strlen(where) + 1);
        above = parent;
        *slash = '/';
        slash = strchr(slash + 1, '/');
    }
    return rc;
}

static int place_for(const char *path, int attempt, char where[QUARANTINE_PATH_SIZE])
{
    int size = attempt == 0
                   ? snprintf(where, QUARANTINE_PATH_SIZE, "quarantine/%s", path)
                   : snprintf(where, QUARANTINE_PATH_SIZE, "quarantine/%s.%d", path, attempt);

    if (size > 0 && size < QUARANTINE_PATH_SIZE && attempt < TRIES_MAX) return 0;
    return rill__fail(RILL_ERR_INVALID, "%s: there is no place for it in quarantine", path);
}

static int sync_above(const struct file *store, const char *where)
{
    char parent[QUARANTINE_PATH_SIZE];

    memcpy(parent, where, strlen(where) + 1);
    *strrchr(parent, '/') = '\0';
    return sync_at(store, parent);
}

/* The first name that nobody has; *done: the file itself has it already. */
static int find_free_name(const struct file *store, const char *path, const struct file *file,
                          char where[QUARANTINE_PATH_SIZE], bool *done)
{
    uint64_t device = 0;
    uint64_t inode = 0;
    bool exists = true;
    int rc = file == NULL ? 0 : rill__file_identity(file, &device, &inode);

    *done = false;
    for (int i = 0; rc == 0 && exists && !*done; i++) {
        struct file other = FILE_NONE;
        uint64_t other_device = 0;
        uint64_t other_inode = 0;

        rc = place_for(path, i, where);
        if (rc == 0) rc = rill__file_exists(store, where, &exists);
        if (rc == 0 && exists && file != NULL &&
            rill__file_open(store, where, FILE_READ, &other) == 0 &&
            rill__file_identity(&other, &other_device, &other_inode) == 0)
            *done = device == other_device && inode == other_inode;
        rill__file_close(&other);
    }
    return rc;
}

/* What cannot be read of it is zero in the copy. */
static int copy_to_quarantine(const struct file *store, const struct file *from,
                              const char *where)
{
    struct file to = FILE_NONE;
    uint8_t bytes[COPY_STEP];
    uint64_t size = 0;
    int rc = rill__file_size(from, &size);

    if (rc == 0) rc = rill__file_open(store, where, FILE_WRITE | FILE_CREATE, &to);
    for (uint64_t at = 0; rc == 0 && at < size; at += COPY_STEP) {
        size_t part = size - at < COPY_STEP ? (size_t)(size - at) : COPY_STEP;
        memset(bytes, 0, part);
        (void)rill__file_read(from, bytes, part, at);
        rc = rill__file_write(&to, bytes, part, at);
    }
    if (rc == 0) rc = rill__file_sync(&to);
    rill__file_close(&to);
    if (rc != 0) rill__file_remove(store, where);
    return rc;
}

int rill__quarantine_link(const struct file *store, const char *path,
                          char where[QUARANTINE_PATH_SIZE])
{
    struct file file = FILE_NONE;
    bool done;
    int rc = rill__file_open(store, path, FILE_READ, &file);

    if (rc != 0) return rill__quarantine_move(store, path, where);
    rc = find_free_name(store, path, &file, where, &done);
    if (rc == 0 && !done) {
        rc = make_way(store, where);
        if (rc == 0) rc = rill__file_link(store, path, store, where);
        if (rc == RILL_ERR_UNSUPPORTED) rc = copy_to_quarantine(store, &file, where);
        if (rc == 0) rc = sync_above(store, where);
    }
    rill__file_close(&file);
    return rc;
}

int rill__quarantine_move(const struct file *store, const char *path,
                          char where[QUARANTINE_PATH_SIZE])
{
    bool done;
    int rc = find_free_name(store, path, NULL, where, &done);

    if (rc == 0) rc = make_way(store, where);
    if (rc == 0) rc = rill__file_rename(store, path, where);
    return rc == 0 ? sync_above(store, where) : rc;
}
