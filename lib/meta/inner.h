/*
 * meta/inner.h - transactions, and checked keys and values in them.
 */
#ifndef RILL_META_INNER_H
#define RILL_META_INNER_H
#include "meta/meta.h"
#include "meta/format.h"
#include "os/thread.h"
#include <lmdb.h>

#define META_MAP_MAX_BYTES ((uint64_t)1 << 36)

struct meta {
    struct heap *heap;
    MDB_env *env;
    MDB_dbi dbi;
    char path[256];
    struct meta_turns *turns; /* NULL: nobody else is there */
    int turns_timeout_ms;

    /* The map may only be resized while no transaction of this process is
     * open: each holds a count, and a resizer waits for it to be 0. */
    struct mutex lock; /* guards users, resizing */
    struct condition changed;
    unsigned users;
    bool resizing;
};

/* A function run inside a transaction. It may run more than once: on
 * MDB_MAP_FULL the transaction is undone, the map doubled, and all begins
 * again. Returns 0, RILL_ERR_*, or LMDB's code through rill__meta_failed. */
typedef int (*meta_work)(struct meta *meta, MDB_txn *txn, void *arg);
int rill__meta_read(struct meta *meta, meta_work work, void *arg);
int rill__meta_write(struct meta *meta, meta_work work, void *arg);
int rill__meta_write_within(struct meta *meta, int timeout_ms, meta_work work, void *arg);

/* Whoever has the turn is the only one who writes; RILL_ERR_TIMEOUT names who has it. */
int rill__meta_lock_turns(struct meta *meta, int timeout_ms);
void rill__meta_unlock_turns(struct meta *meta);

/* Maps LMDB's code to ours with a message; MDB_MAP_FULL is kept for the
 * transaction to see. */
int rill__meta_failed(struct meta *meta, int mdb_code, const char *what);

/* The value of key without its checksum; RILL_ERR_NOT_FOUND without message.
 * RILL_ERR_CORRUPT also if it is missing and a key beside its place does not
 * verify: that one may have been it. */
int rill__meta_get(struct meta *meta, MDB_txn *txn, const MDB_val *key, MDB_val *value);
int rill__meta_check_value(struct meta *meta, const MDB_val *key, MDB_val *value);
bool rill__meta_verifies(const MDB_val *key, const void *value, size_t size);
/* The first key of its kind behind `after`, and its value, both until the
 * transaction changes something; RILL_ERR_NOT_FOUND without message,
 * RILL_ERR_CORRUPT as for rill__meta_get. */
int rill__meta_next(struct meta *meta, MDB_txn *txn, char kind, const char *after, MDB_val *key,
                    MDB_val *value);
/* A name out of a key or a value; what: whose it is, for RILL_ERR_CORRUPT if none is so
 * long. */
int rill__meta_copy_name(const struct meta *meta, const char *what, const char *bytes,
                         size_t size, char name[RILL_TOPIC_NAME_MAX + 1]);
/* Appends the checksum; value has room for 8 more bytes. */
int rill__meta_put(struct meta *meta, MDB_txn *txn, const MDB_val *key, uint8_t *value,
                   size_t size);
/* What is written next, an older library would not understand. */
int rill__meta_raise_schema(struct meta *meta, MDB_txn *txn);
/* Deletes every key that begins with prefix. */
int rill__meta_delete_prefix(struct meta *meta, MDB_txn *txn, const MDB_val *prefix);

/* Keys. Return the size. */
size_t rill__meta_name_key(uint8_t key[META_KEY_MAX], char kind, const char *name);
size_t rill__meta_offset_key(uint8_t key[META_KEY_MAX], const char *group,
                             const uint8_t topic_id[16], int32_t partition);
int rill__meta_put_offsets(struct meta *meta, MDB_txn *txn, const char *group,
                           const struct meta_offset *offsets, size_t count);
int rill__meta_remove_offsets(struct meta *meta, MDB_txn *txn, const char *group,
                              const struct meta_offset *offsets, size_t count);
/* Has the group committed anything? */
int rill__meta_has_offsets(struct meta *meta, MDB_txn *txn, const char *group, bool *has);
/* Mixes all that the group has committed into *sum. */
int rill__meta_mix_offsets(struct meta *meta, MDB_txn *txn, const char *group, uint64_t *sum);
int rill__meta_put_idle(struct meta *meta, MDB_txn *txn, const char *group,
                        const struct meta_idle *idle);
int rill__meta_remove_topic_offsets(struct meta *meta, MDB_txn *txn, const uint8_t topic_id[16]);

/* ---- verify.c: the file without LMDB ---- */

/* Who wants to hear of what is in the catalogue's file. Nonzero ends the walk and
 * is returned. */
struct meta_walk {
    /* A page at that byte; NULL: the first one ends the walk with RILL_ERR_CORRUPT. */
    int (*damage)(void *arg, uint64_t position, const char *what);
    int (*record)(void *arg, uint64_t position, const MDB_val *key, const MDB_val *value,
                  bool verifies);
    void *arg;
    const uint64_t *pinned; /* the transaction that a reader holds; NULL: the newest, and
                               nobody writes. RILL_ERR_BUSY: its beginning is gone */
    bool *miscounted;       /* set if a tree has lost something, and nobody knows where */
};
int rill__meta_walk(struct heap *heap, const char *path, const struct meta_walk *walk);
/* scrape.c: calls visit for whatever looks like a record on any page of the file, also
 * those that are not in use. */
int rill__meta_scrape(const char *path,
                      int (*visit)(void *arg, const MDB_val *key, const MDB_val *value),
                      void *arg);
/* topics.c; of meta only the path is used. */
int rill__meta_decode_topic(const struct meta *meta, const MDB_val *key, const MDB_val *value,
                            struct meta_topic *topic);
/* offsets.c; the same. group: room for a name. */
int rill__meta_decode_offset(const struct meta *meta, const MDB_val *key, const MDB_val *value,
                             char group[RILL_TOPIC_NAME_MAX + 1], struct meta_offset *offset);

/* A step of a group as a part of a write transaction. */
int rill__meta_group_step_in(struct meta *meta, MDB_txn *txn, const char *group,
                             meta_group_step step, void *arg);

/* ---- Names and spaces ---- */

size_t rill__meta_id_key(uint8_t key[META_KEY_MAX], int64_t producer_id);
size_t rill__meta_space_key(uint8_t key[META_KEY_LARGEST], uint32_t space, rill_bytes of);
/* found->decided is the caller's; NOT_FOUND without message. */
int rill__meta_read_name(struct meta *meta, MDB_txn *txn, const char *name,
                         struct meta_name *found);
int rill__meta_write_name(struct meta *meta, MDB_txn *txn, const char *name,
                          const struct meta_name *n);
/* May the producer write it? False also if it cannot be read; then *rc says why. */
bool rill__meta_space_is_owned(struct meta *meta, MDB_txn *txn, const char *name,
                               int64_t producer_id, int *rc);
/* Gives up all that the producer may write. */
int rill__meta_spaces_release(struct meta *meta, MDB_txn *txn, int64_t producer_id);

/* A read transaction that stays open. */
int rill__meta_begin_view(struct meta *meta, MDB_txn **txn);
void rill__meta_end_view(struct meta *meta, MDB_txn *txn);

#endif
