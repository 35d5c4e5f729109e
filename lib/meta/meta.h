/*
 * meta/meta.h - the catalogue: what a store knows besides its records.
 *
 * One LMDB environment in <store>/meta. Topics and their configuration,
 * groups and their generation, committed offsets. LMDB keeps pages consistent
 * but does not checksum them, so every value ends with an XXH3-64 over key and
 * value; one that fails is RILL_ERR_CORRUPT, never used.
 *
 * Modes: plain pwrite, full sync, no write map: a commit is durable on return,
 * a full disk is RILL_ERR_NO_SPACE and never a signal. Transactions are short.
 * The map grows by itself; growth by another process is followed.
 *
 * Threads: any, concurrently. Writers of all processes take turns in LMDB.
 */
#ifndef RILL_META_META_H
#define RILL_META_META_H
#include "base/heap.h"
#include "os/os.h"
#include "os/thread.h"

struct meta;

/* LMDB believes its pages: a flipped bit in one can make it read or write
 * outside of the file, or hand out a page that is in use. Walks all that it
 * would believe, and every record's checksum.
 * RILL_ERR_CORRUPT, with page and reason: do not open it. 0 with *rotten > 0:
 * so many records do not verify; they are damage when they are asked for, and
 * what the catalogue does not list may have been listed there.
 * Only while nobody has it open. Cost: one pass over its pages. */
int rill__meta_verify(struct heap *heap, const char *path, size_t *rotten);

/* Opens (create: makes) the environment in the directory path, which exists.
 * RILL_ERR_FORMAT: a schema newer than this library's, with both numbers. */
int rill__meta_open(struct heap *heap, const char *path, bool create, struct meta **meta);
/* From now on writers of all processes take turns by this lock, which is given
 * up on after timeout_ms (RILL_ERR_TIMEOUT), and not only by LMDB's, which is
 * never: a process that is stopped in the middle of a commit must not stop the
 * others. Before the first write of a second thread. */
struct meta_turns {
    struct shared_mutex lock;
    _Atomic int32_t owner;    /* pid of the holder, for people; relaxed */
    _Atomic int64_t since_ms; /* coarse monotonic; same */
};
void rill__meta_take_turns(struct meta *meta, struct meta_turns *turns, int timeout_ms);
/* A commit on its way when its process died may show only after the next one:
 * settles whether it counts. */
int rill__meta_settle(struct meta *meta);
/* What is written into the store from now on, an older library would not
 * understand: it must not open it. Durable. Cheap if that was so already. */
int rill__meta_raise(struct meta *meta);
void rill__meta_close(struct meta *meta);
/* Makes in the empty directory path a catalogue with all that this one has now, and
 * opens it. moment (may be NULL) is called while nobody writes: what the copy has is
 * what there is then. Durable but for the names in path. On an error, what is in path
 * means nothing; RILL_ERR_TIMEOUT as for a write. */
int rill__meta_copy(struct meta *meta, const char *path, void (*moment)(void *arg), void *arg,
                    struct meta **copy);
/* Frees reader slots of dead processes. */
int rill__meta_check_readers(struct meta *meta);

struct meta_topic {
    uint8_t id[16];
    char name[RILL_TOPIC_NAME_MAX + 1];
    int64_t created_ms;
    uint32_t partition_count;
    uint32_t segment_ms;
    uint64_t segment_bytes;
    uint32_t max_message_bytes;
    uint32_t index_interval_bytes;
    uint32_t cleanup_policy; /* RILL_CLEANUP_* */
    uint32_t timestamp_type; /* RILL_TIMESTAMP_* */
    uint32_t compression;    /* RILL_COMPRESSION_* */
    uint32_t segment_jitter_ms;
    uint64_t retention_ms;    /* 0: for ever */
    uint64_t retention_bytes; /* 0: no limit */
    uint64_t delete_retention_ms;
    uint64_t min_compaction_lag_ms;
    double min_cleanable_dirty_ratio;
};

/* EXISTS if the name is taken. */
int rill__meta_topic_create(struct meta *meta, const struct meta_topic *topic);
int rill__meta_topic_get(struct meta *meta, const char *name, struct meta_topic *topic);
/* Shows change what is kept of the topic, and keeps what it makes of it; nothing if
 * it fails. May be called again; then what it did before has not happened. The name
 * and the id stay. *topic: as it is now. */
int rill__meta_topic_alter(struct meta *meta, const char *name,
                           int (*change)(void *arg, struct meta_topic *topic), void *arg,
                           struct meta_topic *topic);
/* The topic and all committed offsets for it, in one transaction. */
int rill__meta_topic_delete(struct meta *meta, const char *name, struct meta_topic *deleted);
/* The first topic whose name is greater than `after` ("" = the first);
 * RILL_ERR_NOT_FOUND at the end. */
int rill__meta_topic_after(struct meta *meta, const char *after, struct meta_topic *topic);

struct meta_offset {
    uint8_t topic_id[16];
    int32_t partition;
    int32_t leader_epoch;
    int64_t offset;
    int64_t committed_ms;
    const char *metadata; /* may be NULL; borrowed */
};

/* All or none. Creates the group if need be. */
int rill__meta_offsets_commit(struct meta *meta, const char *group,
                              const struct meta_offset *offsets, size_t count);
/* *offset with metadata copied into the caller's buffer (NULL: not wanted);
 * RILL_ERR_NOT_FOUND none committed; RILL_ERR_TOO_BIG the buffer is too small. */
int rill__meta_offset_get(struct meta *meta, const char *group, const uint8_t topic_id[16],
                          int32_t partition, struct meta_offset *offset, char *metadata,
                          size_t metadata_size);
/* All that the group has committed, in order of topic id and partition, as one
 * block with the metadata in it, which the caller frees.
 * RILL_ERR_NOT_FOUND there is no such group. */
int rill__meta_offsets_list(struct meta *meta, const char *group, struct meta_offset **offsets,
                            size_t *count);
/* Lowers every group's offset for the partition that is above log_end; the
 * number of offsets lowered into *clamped. One transaction. */
int rill__meta_offsets_clamp(struct meta *meta, const uint8_t topic_id[16], int32_t partition,
                             int64_t log_end, size_t *clamped);

/* A group as it is kept: its generation, and the coordinator's own bytes; until
 * the function that is shown it returns. */
struct meta_group {
    int32_t generation;
    const uint8_t *state;
    size_t state_size;
    const char *name; /* the rest is for what a function may ask that is shown it */
    struct meta *meta;
    void *txn;
};
/* What the group has committed, without metadata; RILL_ERR_NOT_FOUND, without
 * message: nothing. */
int rill__meta_committed(const struct meta_group *group, const uint8_t topic_id[16],
                         int32_t partition, struct meta_offset *offset);

/* Now, by two clocks and a boot. */
struct meta_moment {
    uint8_t boot_id[16]; /* zeros: not known */
    int64_t monotonic_ms;
    int64_t wall_ms;
};
/* For how long nothing has changed about a group, as far as somebody has seen. */
struct meta_idle {
    uint64_t fingerprint; /* of the group and all that it has committed */
    struct meta_moment seen;
    int64_t idle_ms; /* at that moment */
};
/* See meta/idle.c. *noted: what is kept is as good, it need not be replaced by
 * *idle now. */
int rill__meta_group_idle(const struct meta_group *group, const struct meta_moment *now,
                          int64_t renew_ms, struct meta_idle *idle, bool *noted);

/* ---- The clock that deletions go by: deletions.c ---------------------- */

/* Now, by a boot, the time since it (CLOCK_BOOTTIME), and the wall clock. */
struct meta_instant {
    uint8_t boot_id[16]; /* zeros: not known */
    int64_t boot_ms;
    int64_t wall_ms;
};
/* A clock that shows an earlier time, 2024-01-01, is not set. */
#define CLOCK_NOT_SET_MS INT64_C(1704067200000)
struct meta_clock {
    struct meta_instant seen; /* its wall clock: where it should be now */
    int64_t ahead_ms;         /* the wall clock may have jumped ahead by so much, */
    int64_t steady_ms;        /* but has not jumped for so long */
    int64_t spare_ms;         /* of this boot: jumps ahead that are still believed */
};
/* Pure. Returns whether there was a jump, or a boot. A clock that is not set is no news. */
bool rill__clock_step(struct meta_clock *clock, const struct meta_instant *now);
/* From what is kept to now, which is kept if anything has happened, or after a while.
 * created_ms: of the store. RILL_ERR_TIMEOUT as for a commit. */
int rill__meta_clock_look(struct meta *meta, const struct meta_instant *now, int64_t created_ms,
                          int timeout_ms, struct meta_clock *clock);

/* What a step wants done; zeroed: nothing. All is borrowed until the step's
 * transaction has ended. */
struct meta_group_change {
    bool store; /* the next three in place of what is kept */
    int32_t generation;
    const uint8_t *state;
    size_t state_size;
    const struct meta_offset *offsets; /* to commit */
    size_t offset_count;
    const struct meta_offset *removed; /* committed ones to delete; partition -1: all of the
                                          topic; before those above are committed */
    size_t removed_count;
    const struct meta_idle *idle; /* to be kept */
    bool forget;                  /* the group and all that it has committed, instead */
    bool forget_if_bare;          /* if nothing is committed any more, in the end */
};
/* group: NULL if there is none. May be called again, when the map had to grow:
 * then what it did before has not happened. */
typedef int (*meta_group_step)(void *arg, const struct meta_group *group,
                               struct meta_group_change *change);
/* One write transaction; RILL_ERR_TIMEOUT if others are in one for so long. A
 * step that changes nothing costs no sync. */
int rill__meta_group_step(struct meta *meta, const char *group, int timeout_ms,
                          meta_group_step step, void *arg);
/* RILL_ERR_NOT_FOUND there is no such group. */
int rill__meta_group_look(struct meta *meta, const char *group,
                          int (*look)(void *arg, const struct meta_group *group), void *arg);
/* A group's generation; NOT_FOUND if it was never stored. */
int rill__meta_group_get(struct meta *meta, const char *group, int32_t *generation);
/* With no state. */
int rill__meta_group_put(struct meta *meta, const char *group, int32_t generation);
/* The group and its committed offsets, unless may (NULL: it may) objects. */
int rill__meta_group_delete(struct meta *meta, const char *group,
                            int (*may)(void *arg, const struct meta_group *group), void *arg);
int rill__meta_group_after(struct meta *meta, const char *after, char *group, size_t group_size,
                           int32_t *generation);

/* ---- Looking through its file ----------------------------------------- */

enum meta_damage { META_DAMAGE_PAGE, META_DAMAGE_RECORD, META_DAMAGE_FORMAT };

/* Who is told what is in it. Nonzero ends the look and is returned. What is handed
 * over lives until the function returns; all but damage may be NULL. */
struct meta_inspector {
    /* position: a byte of data.mdb. */
    int (*damage)(void *arg, enum meta_damage kind, uint64_t position, const char *what);
    int (*topic)(void *arg, const struct meta_topic *topic);
    int (*group)(void *arg, uint64_t position, const char *name, const uint8_t *state,
                 size_t state_size);
    int (*offset)(void *arg, const char *group, const struct meta_offset *offset);
    void *arg;
};
/* own: this process' own, if it has it open. in_use: others have; if it is not own
 * then, no thread of this process may open it meanwhile. RILL_ERR_CORRUPT: it is not
 * there, or empty. */
int rill__meta_inspect(struct heap *heap, const char *path, struct meta *own, bool in_use,
                       const struct meta_inspector *told);

/* A number that is another one after every change of the catalogue, by any process. */
int rill__meta_last_change(struct meta *meta, uint64_t *change);

/* ---- Producers that have a name: names.c ------------------------------ */

/* Producer ids nobody has had: *first and the following ones. */
int rill__meta_producer_ids(struct meta *meta, uint32_t count, int64_t *first);

/* A process, as it is known by its slot and ticket. */
struct meta_owner {
    uint32_t slot;
    uint32_t instance; /* a random number that tells it from others of its process */
    uint64_t ticket;
};

struct meta_decided {
    uint8_t topic_id[16];
    int32_t partition;
};

struct meta_name {
    int64_t producer_id;
    int16_t epoch;
    bool transactional;
    bool owned; /* by a producer that is open, or died */
    uint32_t timeout_ms;
    struct meta_owner owner;
    int64_t changed_ms;
    /* The transaction of decided_epoch is to be committed wherever it is open, for which
     * these are the places; -1: there is none. */
    int32_t decided_epoch;
    struct meta_decided *decided; /* the caller's to free; NULL if not wanted */
    size_t decided_count;
};

/* Takes the name for a new instance of its producer: made if need be, else its epoch is one
 * more, which fences all earlier instances. *was gets what was there before, was->producer_id
 * -1: nothing; *now what is there now. One durable write. RILL_ERR_STATE: it is the other kind.
 */
int rill__meta_name_take(struct meta *meta, const char *name, bool transactional,
                         uint32_t timeout_ms, struct meta_owner owner, struct meta_name *was,
                         struct meta_name *now);
/* The same for the instance that has it, because its epochs are used up. RILL_ERR_FENCED: another
 * one has it, or nobody. */
int rill__meta_name_renew(struct meta *meta, const char *name, struct meta_owner owner,
                          struct meta_name *was, struct meta_name *now);
/* RILL_ERR_NOT_FOUND. */
int rill__meta_name_get(struct meta *meta, const char *name, struct meta_name *found);
/* By producer id; name, if not NULL, has RILL_TOPIC_NAME_MAX + 1 bytes. */
int rill__meta_name_of(struct meta *meta, int64_t producer_id, char *name,
                       struct meta_name *found);
/* The first name after `after` that is wanted (NULL: any), all in one read; wanted may be asked
 * again about a name. RILL_ERR_NOT_FOUND at the end. */
int rill__meta_name_find(struct meta *meta, const char *after,
                         bool (*wanted)(void *arg, const struct meta_name *name), void *arg,
                         char *name, struct meta_name *found);
/* Its owner has closed it: nobody has it, nor may write its spaces, if it still is that owner's.
 */
int rill__meta_name_release(struct meta *meta, const char *name, struct meta_owner owner);
/* All that follows from the decision of that id and epoch is done: forget it, if it is still
 * there. */
int rill__meta_name_settle(struct meta *meta, const char *name, int64_t producer_id,
                           int16_t epoch);
/* What shall become of the transaction that producer has open in that epoch, for good: *commit
 * as was decided; else it shall be aborted, and the name's epoch is raised above it, so that
 * its owner can not decide otherwise any more. RILL_ERR_NOT_FOUND: the id has no name. */
int rill__meta_name_judge(struct meta *meta, int64_t producer_id, int16_t epoch, bool *commit);
int rill__meta_name_judge_within(struct meta *meta, int64_t producer_id, int16_t epoch,
                                 int timeout_ms, bool *commit);
/* If it may go, as it is then. RILL_ERR_NOT_FOUND; RILL_ERR_STATE: it may not, or something
 * follows from its decision. */
int rill__meta_name_delete(struct meta *meta, const char *name,
                           bool (*may_go)(void *arg, const struct meta_name *name), void *arg);

/* ---- What applications keep: spaces.c --------------------------------- */

enum { META_SPACE_KEY_MAX = 500, META_SPACE_VALUE_MAX = 1 << 20 };

/* The number of the space; made if need be. RILL_ERR_NOT_FOUND. */
int rill__meta_space_open(struct meta *meta, const char *name, bool create, uint32_t *number);
/* With all that is in it. RILL_ERR_STATE: somebody may write it, unless it is `owner`. */
int rill__meta_space_delete(struct meta *meta, const char *name, int64_t owner);
int rill__meta_space_after(struct meta *meta, const char *after, char *name, uint32_t *number,
                           int64_t *owner);
/* From now on only this producer may write it. *held: another one does, nothing is changed. */
int rill__meta_space_claim(struct meta *meta, const char *name, int64_t producer_id,
                           int64_t in_place_of, int64_t *held);

/* All spaces as they are at one moment, until it is closed: a read transaction of LMDB, which
 * keeps the pages it sees from being used again. Threads: one at a time. */
struct meta_view;
int rill__meta_view_open(struct meta *meta, struct meta_view **view);
void rill__meta_view_close(struct meta_view *view);
/* *value until the view is closed. RILL_ERR_NOT_FOUND, without message. */
int rill__meta_view_get(struct meta_view *view, uint32_t space, rill_bytes key,
                        rill_bytes *value);
/* The first key at or behind from (after: behind it), or with reverse the last one at or before
 * it (after: before it; from.data NULL: of all). RILL_ERR_NOT_FOUND, without message. */
int rill__meta_view_next(struct meta_view *view, uint32_t space, rill_bytes from, bool after,
                         bool reverse, rill_bytes *key, rill_bytes *value);

/* ---- A transaction's one commit point: decide.c ----------------------- */

struct meta_put {
    uint32_t space;
    rill_bytes key;
    rill_bytes value; /* data NULL: the key goes */
};

struct meta_commit {
    const char *group;
    meta_group_step step; /* says which offsets; may refuse */
    void *arg;
};

struct meta_decision {
    const char *name;
    int64_t producer_id;
    int16_t epoch;
    int32_t settled_epoch; /* of an earlier decision that has been settled; -1: none */
    const struct meta_decided *partitions; /* where its records are */
    size_t partition_count;
    const struct meta_commit *commits;
    size_t commit_count;
    const char *const *spaces; /* that it writes */
    size_t space_count;
    const struct meta_put *puts;
    size_t put_count;
};
/* All of it or nothing, durable on return; the name's epoch is one more then.
 * RILL_ERR_FENCED: the name has another epoch, or a space another writer. RILL_ERR_IO and
 * RILL_ERR_POISONED leave it open. */
int rill__meta_decide(struct meta *meta, const struct meta_decision *decision, int timeout_ms);

/* ---- Making another one of what is left: salvage.c -------------------- */

struct meta_salvage {
    /* Does the topic's directory exist? */
    bool (*has_topic)(void *arg, const uint8_t id[16]);
    /* A record whose place is damaged was found in another one; it may be an older
     * version. kind as in meta/format.h. Nonzero ends it. */
    int (*scraped)(void *arg, char kind, const char *name);
    void *arg;
};
/* Puts all that verifies in the catalogue at path into `to`, an empty one; NULL: only
 * tells. Nobody has it open. */
int rill__meta_salvage(struct heap *heap, const char *path, struct meta *to,
                       const struct meta_salvage *with);

#endif
