/*
 * engine/site.h - a directory in which a store is being made.
 *
 * A file INCOMPLETE is in it from before the first other file is made until after
 * the last one is durable. A store with it is not opened. Who makes one holds a
 * lock on that file, so that whoever finds it unlocked knows that it is abandoned.
 */
#ifndef RILL_ENGINE_SITE_H
#define RILL_ENGINE_SITE_H
#include "os/os.h"

#define INCOMPLETE_NAME "INCOMPLETE"

struct site {
    struct file dir;
    struct file marker;    /* locked */
    struct file_system on; /* what dir is on */
    char path[512];
};
#define SITE_NONE ((struct site){FILE_NONE, FILE_NONE, {false, false, false, ""}, ""})

/* Takes the directory at path, made if it is missing; its parent must exist. It
 * may hold nothing, or what an earlier one has abandoned, which is removed. The
 * directory `outside` (may be NULL) must not be above it.
 * RILL_ERR_INVALID: it holds other files, or lies inside; RILL_ERR_BUSY: somebody
 * is at it. */
int rill__site_take(const char *path, const struct file *outside, struct site *site);
/* Removes all that was made in it, so that making it begins anew. */
int rill__site_clear(struct site *site);
/* What is in it is durable, but for the names in it: now it is a store. */
int rill__site_finish(struct site *site);
/* Lets go; unless it is finished it stays marked as incomplete. Keeps the message. */
void rill__site_leave(struct site *site);
/* RILL_ERR_INVALID if the directory is marked as incomplete. */
int rill__site_check(const struct file *dir);

#endif
