/*
 * engine/quarantine.h - where a repair puts what it takes out of a store.
 *
 * quarantine/ has the shape of the store: what was at PATH is at quarantine/PATH, or
 * quarantine/PATH.1 if there was something before, and so on.
 */
#ifndef RILL_ENGINE_QUARANTINE_H
#define RILL_ENGINE_QUARANTINE_H
#include "os/os.h"

#define QUARANTINE_PATH_SIZE 400

/* Gives the file a second name there (or makes a copy of it, where a file can have
 * one name only), durably, and says which; paths are from the store on. If it has
 * been done before, that is it. What is no file is moved. */
int rill__quarantine_link(const struct file *store, const char *path,
                          char where[QUARANTINE_PATH_SIZE]);
/* Moves a file or a directory there. */
int rill__quarantine_move(const struct file *store, const char *path,
                          char where[QUARANTINE_PATH_SIZE]);

#endif
