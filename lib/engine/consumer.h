/*
 * engine/consumer.h - a consumer from the inside: what it reads, and its place
 * in a group.
 */
#ifndef RILL_ENGINE_CONSUMER_H
#define RILL_ENGINE_CONSUMER_H
#include "engine/clients.h"
#include "engine/intercept.h"

/* A partition that the consumer reads; has a reference to its topic and its log. */
struct assigned {
    struct topic *topic;
    struct log *log;
    int32_t partition;
    _Atomic bool paused;      /* written by the consumer's thread, relaxed */
    _Atomic bool failed;      /* its error was reported; skipped while others have records */
    _Atomic bool unresolved;  /* position is not known yet: RILL_OFFSET_NONE */
    bool in_batch;            /* view and walk are in the middle of a batch */
    bool handed;              /* this poll has handed out records of it */
    bool goes;                /* a rebalance takes it away */
    int32_t since;            /* generation in which the group gave it */
    int32_t epoch;            /* of the last record handed out */
    _Atomic int64_t position; /* next record; written by the consumer's thread, read
                                 by the descriptor's thread, relaxed */
    int64_t committed;        /* last position committed, -1: none */
    struct log_cursor cursor;
    struct batch_view view; /* its records can be walked, compressed or not */
    struct record_walk walk;
    struct block *block; /* what view is in, if its batch was compressed */
};

/* Memory for records of compressed batches; see unpack.c. */
#define UNPACK_CLASSES 58
struct unpack {
    struct codec codec;
    struct block *handed;
    struct block *spare[UNPACK_CLASSES]; /* by size */
    size_t bytes;
    size_t spare_bytes;
    bool handing; /* this poll has records already */
};

struct pending_commit;

struct rill_consumer {
    struct rill_consumer *next;  /* store->clients_lock: these two */
    struct txn_offsets *in_txns; /* what transactions that are open will commit for it */
    rill *handle;
    struct store *store;
    uint32_t fork_generation;
    rill_consumer_options options;
    char *group;
    char *client_id;
    char *instance;                         /* group_instance_id */
    char *assignor_name;                    /* own_assignor_name */
    _Atomic bool busy;                      /* a call is running */
    _Atomic bool woken;                     /* rill_consumer_wakeup */
    struct consumer_chain *chain;           /* of interceptors; NULL: none */
    _Atomic(struct rill_workers *) workers; /* that it belongs to; NULL: none */
    uint32_t slot;                          /* wake slot */

    struct mutex parts_lock; /* guards parts against the descriptor's thread; the
                                consumer's own thread reads without it */
    struct assigned **parts;
    size_t part_count;
    size_t next_part; /* where the next poll begins */

    struct unpack unpack;

    struct coordinator *coordinator; /* NULL without a group */
    struct membership membership;
    char *subscription;     /* see subscription.h; NULL: not subscribed */
    uint64_t version_heard; /* of the group, at the last look at its clock; 0: none */
    uint64_t catalogue_seen;
    bool lost;                   /* partitions have gone, and no poll has said so yet */
    const void *callback_thread; /* it runs a callback now; NULL: none does */
    int nested;                  /* calls from within the callback that are running */
    struct mutex commits_lock;   /* guards the next four */
    struct condition commits_changed;
    struct pending_commit *queued; /* first in, first out */
    struct pending_commit *done;   /* the same: to be told */
    bool committing;               /* a thread is making the first queued one */
    _Atomic uint32_t pending;      /* how many are not yet told */

    int64_t commit_ms;    /* monotonic: last automatic commit */
    int64_t tick_ms;      /* monotonic: last look at the group's clock */
    int64_t settle_ms;    /* monotonic: next look at transactions that hold records back */
    _Atomic int event_fd; /* -1: none; set once */
};

/* ---- assignment.c ---- */

struct assigned *rill__assigned_find(struct rill_consumer *c, const char *topic,
                                     int32_t partition);
/* The topic is the caller's to release. */
int rill__assigned_add(struct rill_consumer *c, struct topic *topic, int32_t partition,
                       int64_t offset, int32_t since);
/* Those that are marked with `goes`. */
void rill__assigned_drop(struct rill_consumer *c);
void rill__assigned_clear(struct rill_consumer *c);
/* Looks again for the position of an unresolved one: RILL_ERR_NO_OFFSET or
 * RILL_ERR_RANGE while the reset policy forbids to choose one. */
int rill__assigned_resolve(struct rill_consumer *c, struct assigned *part);

/* What it would read next is gone: to where the reset policy says, or RILL_ERR_RANGE.
 * Records of it that were handed out must not be in use any more. */
int rill__assigned_reset(struct rill_consumer *c, struct assigned *part);

/* ---- unpack.c ---- */

void rill__unpack_init(struct unpack *u, struct heap *heap);
void rill__unpack_deinit(struct unpack *u);
/* A poll begins: nobody points any more into what earlier ones have handed out. */
void rill__unpack_release(struct unpack *u);
/* The consumer waits: gives memory back. */
void rill__unpack_idle(struct unpack *u);
/* Makes the records of the batch in part->view walkable. may_wait: there may be no
 * memory for it now, *later then says so. RILL_ERR_UNSUPPORTED, RILL_ERR_CORRUPT,
 * RILL_ERR_NO_MEMORY. */
int rill__unpack(struct unpack *u, struct assigned *part, bool may_wait, bool *later);
/* The batch in part->view is done with; what was handed out of it stays until the
 * next poll. */
void rill__unpack_done(struct unpack *u, struct assigned *part);

/* ---- commit.c ---- */

void rill__commits_init(struct rill_consumer *c);
void rill__commits_deinit(struct rill_consumer *c);
/* What polls have handed out, of all partitions or only of those that go. */
int rill__commit_positions(struct rill_consumer *c, bool only_going, int timeout_ms);
/* Makes the queued commits (or leaves that to the store's thread), then calls the
 * callbacks of those that are done. What is not made by the deadline has failed. */
int rill__commits_settle(struct rill_consumer *c, bool make, int64_t deadline_ns);
/* Is anything to be done or told? */
bool rill__commits_have_news(struct rill_consumer *c);

/* ---- member.c ---- */

void rill__consumer_begin_callback(struct rill_consumer *c);
void rill__consumer_end_callback(struct rill_consumer *c);

/* Follows the group and the catalogue: RILL_ERR_REBALANCE when partitions were
 * taken away and there is no callback to say it. */
int rill__consumer_follow(struct rill_consumer *c);
bool rill__consumer_has_news(const struct rill_consumer *c);
int rill__consumer_leave_group(struct rill_consumer *c, int timeout_ms);

/* Where the records that the consumer may see end. */
int64_t rill__assigned_end(const struct rill_consumer *c, const struct assigned *part);

int64_t rill__assigned_position(const struct assigned *part);

/* ---- consumer.c ---- */

/* Keeps its place in the group as a poll does, until news, a wake-up or the end
 * of the time, but hands out nothing. */
int rill__consumer_attend(struct rill_consumer *c, int timeout_ms);

/* ---- workers.c ---- */

/* Commits what its workers have finished. */
int rill__workers_commit(struct rill_workers *w);

/* ---- bridge.c ---- */

int rill__bridge_start(struct store *store);

#endif
