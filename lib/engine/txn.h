/*
 * engine/txn.h - a transaction from the inside.
 *
 *     OPEN --commit: send, sync, decide--> ENDING --markers--> (ended)
 *      |  \--decide's outcome not known--> UNKNOWN --abort: judge--> ENDING
 *      \----------abort: judge-----------> ENDING
 *
 * OPEN     all may still be undone; nobody else sees any of it
 * UNKNOWN  the write of the catalogue failed in a way that leaves it open
 * ENDING   it is committed, or aborted, whatever happens; markers make readers see it,
 *          or let them pass
 *
 * A partition whose marker could not be written is settled later, by whoever meets it
 * there (engine/settle.c), as the catalogue says.
 *
 * Threads: producer->lock guards it as long as it is the producer's; the calls of one
 * transaction come one at a time.
 */
#ifndef RILL_ENGINE_TXN_H
#define RILL_ENGINE_TXN_H
#include "engine/consumer.h"
#include "engine/overlay.h"
#include "engine/producer.h"

enum txn_phase { TXN_OPEN, TXN_UNKNOWN, TXN_ENDING };

struct rill_space {
    struct rill_space *next; /* of the same handle; clients_lock */
    rill *handle;
    uint32_t number;
    char name[RILL_TOPIC_NAME_MAX + 1];
};

struct rill_view {
    rill *handle;
    struct meta_view *meta;
};

struct txn_offsets {
    struct txn_offsets *next;
    struct pending_commit *commit;
    rill_consumer *consumer;          /* clients_lock: these two; NULL: it was closed since */
    struct txn_offsets *next_of_same; /* of the same consumer */
    char group[];
};

struct rill_txn {
    struct rill_producer *producer;
    enum txn_phase phase;
    bool failed; /* a record of it could not be sent: it can only be aborted */
    bool asked;  /* for a decision; what came of it only the catalogue knows */
    int64_t deadline_ns;
    struct overlay overlay;
    struct txn_offsets *offsets; /* by the order of their commits */
    struct meta_view *view;      /* of what is committed; NULL: not looked yet */
    uint32_t cursors;            /* open on it */
};

/* ---- txn.c ---- */

/* The producer is being closed: aborts what is open, and frees it whatever comes of that. */
void rill__txn_close(struct rill_producer *p, int timeout_ms);
/* So that the catalogue may forget the last decision, if p has settled it. If that fails it
 * must not, and settled_epoch says so. */
void rill__txn_sync_markers(struct rill_producer *p, int64_t deadline);

/* ---- txn_state.c ---- */

int rill__txn_view(rill_txn *txn); /* txn->view is open */
/* The producer that may write a space is closed, or dead: others may take it. */
bool rill__writer_is_gone(struct store *store, int64_t producer_id);

/* ---- Commits of groups in a decision: commit.c, groups.c ---- */

/* What the consumer would commit now; the caller's to free. */
int rill__commit_collect(rill_consumer *c, const rill_position *positions, size_t count,
                         struct pending_commit **out);
/* It was made, by a decision. */
void rill__commit_was_made(rill_consumer *c, const struct pending_commit *commit);
struct group_commits {
    struct meta_commit *list;
    size_t count;
};
/* *out NULL: there are none. */
int rill__commits_prepare(struct store *store, const struct txn_offsets *offsets,
                          struct group_commits **out);
void rill__commits_free(struct store *store, struct group_commits *commits);

/* ---- settle.c ---- */

#define SETTLE_TRY_MS 50 /* for who has other things to do, and comes again */

/* Ends every transaction in the partition that its owner can not end any more. RILL_ERR_TIMEOUT:
 * somebody has the partition, or the catalogue. */
int rill__settle_partition(struct store *store, struct topic *topic, int32_t partition,
                           struct log *log, int64_t deadline_ns);
/* For one producer id only, in a partition, */
int rill__settle_log(struct store *store, struct log *log, int64_t producer_id,
                     int64_t deadline_ns);
/* and in all partitions of the store. */
int rill__settle_producer(struct store *store, int64_t producer_id, int64_t deadline_ns);
/* What was decided for the name is done: its markers, then the decision goes. */
int rill__settle_name(struct store *store, const char *name, const struct meta_name *decided,
                      int64_t deadline_ns);

#endif
