/*
 * engine/txn.c - transactions: begun, committed, aborted. See engine/txn.h.
 *
 * A commit, step by step:
 *
 *     flush     every record of it is in its log
 *     sync      and on disk, in every partition that it wrote to
 *     decide    one write of the catalogue: offsets, state, decision, next epoch
 *     markers   one in each of those partitions, which is what readers see
 *
 * The markers are not synced then: what a power cut takes of them is settled again, as the
 * catalogue says, before anybody reads the partition. So they must be on disk before the
 * catalogue forgets the decision: the next commit syncs them with its own records, one
 * sync for both where it writes to the same partitions.
 */
#include "engine/txn.h"
#include <inttypes.h>
#include <string.h>

static void leave_consumer(struct store *store, struct txn_offsets *offsets)
{
    rill__mutex_lock(&store->clients_lock);
    if (offsets->consumer != NULL) {
        struct txn_offsets **at = &offsets->consumer->in_txns;
        while (*at != offsets) at = &(*at)->next_of_same;
        *at = offsets->next_of_same;
    }
    rill__mutex_unlock(&store->clients_lock);
}

static void free_offsets(rill_txn *txn)
{
    while (txn->offsets != NULL) {
        struct txn_offsets *next = txn->offsets->next;
        leave_consumer(txn->producer->store, txn->offsets);
        rill__free(&txn->producer->store->heap, txn->offsets->commit);
        rill__free(&txn->producer->store->heap, txn->offsets);
        txn->offsets = next;
    }
}

/* It is over: the producer may begin the next one, in that epoch. */
static void end(rill_txn *txn, int16_t next_epoch)
{
    struct rill_producer *p = txn->producer;

    rill__mutex_lock(&p->lock);
    p->epoch = next_epoch;
    p->txn = NULL;
    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next) {
        if (lane->txn_end < 0) continue;
        lane->txn_end = -1;
        lane->next_sequence = 0;
        lane->busy--;
    }
    rill__mutex_unlock(&p->lock);
    rill__meta_view_close(txn->view);
    rill__overlay_clear(&txn->overlay);
    free_offsets(txn);
    rill__free(&p->store->heap, txn);
}

static int fenced(const struct rill_producer *p)
{
    return rill__fail(RILL_ERR_FENCED,
                      "a newer instance has the transactional_id %s; close this producer",
                      p->name);
}

static int check_open(const rill_txn *txn)
{
    if (txn->producer->fenced) return fenced(txn->producer);
    if (txn->phase == TXN_OPEN) return 0;
    return rill__fail(RILL_ERR_STATE, "the transaction is being ended; call rill_txn_abort");
}

/* What the open transaction has written, in *count partitions, and the markers of the one
 * before it: all of it on disk. */
static int sync_lanes(struct rill_producer *p, int64_t deadline, size_t *count)
{
    int rc = 0;

    *count = 0;
    rill__mutex_lock(&p->lock);
    for (struct lane *lane = p->lanes; lane != NULL && rc == 0; lane = lane->next) {
        int64_t end = lane->txn_end > lane->marker_end ? lane->txn_end : lane->marker_end;
        if (lane->txn_end >= 0) ++*count;
        if (end >= 0 && !p->store->file_system.volatile_memory) /* nothing is durable there */
            rc = rill__log_sync(lane->log, end, deadline);
        if (rc != 0 && rill__log_is_deleted(lane->log)) rc = 0; /* nobody reads it any more */
        if (rc == 0) lane->marker_end = -1;
    }
    rill__mutex_unlock(&p->lock);
    return rc;
}

void rill__txn_sync_markers(struct rill_producer *p, int64_t deadline)
{
    struct saved_message why;
    size_t count;

    if (p->settled_epoch < 0) return;
    rill__message_save(&why);
    if (sync_lanes(p, deadline, &count) != 0) p->settled_epoch = -1;
    rill__message_restore(&why);
}

/* ---- Beginning -------------------------------------------------------- */

/* The epochs of the producer's id are used up: the name gets another id. */
static int renew_id(struct rill_producer *p, const struct meta_name *last)
{
    struct meta_name was;
    struct meta_name now;
    int rc = rill__settle_name(p->store, p->name, last,
                               rill__deadline((int)p->store->options.open_timeout_ms));

    if (rc == 0)
        rc = rill__meta_name_renew(p->store->meta, p->name, rill__owner_of(p), &was, &now);
    if (rc == RILL_ERR_FENCED) {
        p->fenced = true;
        return fenced(p);
    }
    if (rc != 0) return rc;
    rill__free(&p->store->heap, was.decided);
    for (size_t i = 0; i < p->claimed_count; i++) rill__free(&p->store->heap, p->claimed[i]);
    p->claimed_count = 0;
    p->id = now.producer_id;
    p->epoch = now.epoch;
    p->settled_epoch = -1;
    return 0;
}

/* The epoch in the catalogue may be later: of a time that was over, which others saw. */
static int renew(struct rill_producer *p)
{
    struct meta_name now;
    int rc = rill__meta_name_get(p->store->meta, p->name, &now);

    if (rc != 0) return rc;
    if (now.owner.instance != p->instance) {
        p->fenced = true;
        rc = fenced(p);
    } else {
        p->epoch = now.epoch;
        if (now.epoch == INT16_MAX) rc = renew_id(p, &now);
    }
    rill__free(&p->store->heap, now.decided);
    return rc;
}

/* Markers of the last transaction that could not be written then. */
static int settle_last(struct rill_producer *p)
{
    struct meta_name now;
    int rc = rill__meta_name_get(p->store->meta, p->name, &now);

    if (rc != 0) return rc;
    if (now.decided_epoch != p->settled_epoch)
        rc = rill__settle_name(p->store, p->name, &now,
                               rill__deadline((int)p->store->options.open_timeout_ms));
    rill__free(&p->store->heap, now.decided);
    if (rc == 0) p->unsettled = false;
    return rc;
}

rill_producer *rill__txn_producer(const rill_txn *txn)
{
    return txn->producer;
}

int rill__txn_begin(struct rill_producer *p, rill_txn **out)
{
    rill_txn *txn;
    int rc = 0;

    if (!p->transactional)
        return rill__fail(RILL_ERR_STATE, "the producer has no transactional_id; name one in its "
                                          "options, then open it again");
    if (p->unsettled && !p->fenced) rc = settle_last(p);
    if (rc == 0 && (p->stale || p->epoch == INT16_MAX) && !p->fenced) rc = renew(p);
    if (rc != 0) return rc;
    p->stale = false;
    txn = rill__alloc(&p->store->heap, sizeof *txn);
    if (txn == NULL) return RILL_ERR_NO_MEMORY;
    rill__mutex_lock(&p->lock);
    if (p->fenced) rc = fenced(p);
    else if (p->txn != NULL)
        rc = rill__fail(RILL_ERR_STATE, "a transaction of this producer is open; commit or abort "
                                        "it first");
    else rc = rill__producer_state(p);
    if (rc == 0) {
        txn->producer = p;
        txn->deadline_ns =
            rill__monotonic_ns() + (int64_t)p->options.transaction_timeout_ms * 1000000;
        rill__overlay_init(&txn->overlay, &p->store->heap);
        p->txn = txn;
    }
    rill__mutex_unlock(&p->lock);
    if (rc != 0) rill__free(&p->store->heap, txn);
    else *out = txn;
    return rc;
}

/* ---- Offsets ---------------------------------------------------------- */

int rill__txn_send_offsets(rill_txn *txn, rill_consumer *consumer, const rill_position *positions,
                           size_t count)
{
    struct store *store = txn->producer->store;
    struct txn_offsets **last = &txn->offsets;
    struct pending_commit *commit;
    struct txn_offsets *offsets;
    int rc = check_open(txn);

    if (rc != 0) return rc;
    if (consumer->store != store)
        return rill__fail(RILL_ERR_INVALID, "the consumer is of another store");
    rc = rill__commit_collect(consumer, positions, count, &commit);
    if (rc != 0) return rc;
    offsets = rill__alloc(&store->heap, sizeof *offsets + strlen(consumer->group) + 1);
    if (offsets == NULL) {
        rill__free(&store->heap, commit);
        return RILL_ERR_NO_MEMORY;
    }
    memcpy(offsets->group, consumer->group, strlen(consumer->group) + 1);
    offsets->commit = commit;
    offsets->consumer = consumer;
    rill__mutex_lock(&store->clients_lock);
    offsets->next_of_same = consumer->in_txns;
    consumer->in_txns = offsets;
    rill__mutex_unlock(&store->clients_lock);
    while (*last != NULL) last = &(*last)->next;
    *last = offsets;
    return 0;
}

/* ---- Committing ------------------------------------------------------- */

/* Who has the name now, after a decision that was refused. */
static int why_fenced(rill_txn *txn)
{
    struct rill_producer *p = txn->producer;
    struct saved_message why;
    struct meta_name now;

    rill__message_save(&why);
    if (rill__meta_name_get(p->store->meta, p->name, &now) != 0) return RILL_ERR_FENCED;
    rill__free(&p->store->heap, now.decided);
    txn->failed = true;
    if (now.owned && now.owner.instance == p->instance && now.epoch != p->epoch)
        return rill__fail(RILL_ERR_ABORTED,
                          "the transaction of %s lasted longer than transaction_timeout_ms (%u), "
                          "and was given up; abort it, and do it again",
                          p->name, p->options.transaction_timeout_ms);
    if (now.owned && now.owner.instance == p->instance) {
        rill__message_restore(&why); /* a space, or the group */
        return RILL_ERR_FENCED;
    }
    p->fenced = true;
    return fenced(p);
}

static int decide(rill_txn *txn, size_t partition_count, int timeout_ms)
{
    struct rill_producer *p = txn->producer;
    struct heap *heap = &p->store->heap;
    struct meta_decision d = {.name = p->name,
                              .producer_id = p->id,
                              .epoch = p->epoch,
                              .settled_epoch = p->settled_epoch,
                              .put_count = txn->overlay.count};
    struct meta_decided *partitions = rill__alloc(heap, partition_count * sizeof *partitions);
    struct meta_put *puts = rill__alloc(heap, txn->overlay.count * sizeof *puts);
    struct group_commits *commits = NULL;
    int rc = partitions == NULL || puts == NULL ? RILL_ERR_NO_MEMORY : 0;

    rill__mutex_lock(&p->lock);
    for (struct lane *lane = p->lanes; lane != NULL && rc == 0; lane = lane->next) {
        if (lane->txn_end < 0) continue;
        memcpy(partitions[d.partition_count].topic_id, lane->topic->info.id, 16);
        partitions[d.partition_count++].partition = lane->partition;
    }
    rill__mutex_unlock(&p->lock);
    if (rc == 0) rc = rill__commits_prepare(p->store, txn->offsets, &commits);
    if (rc == 0) {
        rill__overlay_list(&txn->overlay, puts);
        d.partitions = partitions;
        d.puts = puts;
        d.spaces = (const char *const *)p->claimed;
        d.space_count = txn->overlay.count == 0 ? 0 : p->claimed_count;
        if (commits != NULL) {
            d.commits = commits->list;
            d.commit_count = commits->count;
        }
        rc = rill__meta_decide(p->store->meta, &d, timeout_ms);
    }
    rill__commits_free(p->store, commits);
    rill__free(heap, puts);
    rill__free(heap, partitions);
    return rc;
}

/* All that can be written now; the rest is settled by others. */
static bool write_markers(struct rill_producer *p, bool commit, int64_t deadline)
{
    bool all = true;

    rill__mutex_lock(&p->lock);
    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next) {
        if (lane->txn_end < 0 || rill__log_is_deleted(lane->log)) continue;
        if (rill__log_end_transaction(lane->log, p->id, p->epoch, commit, false, deadline) != 0)
            all = false;
        else if (commit) lane->marker_end = rill__log_end(lane->log);
    }
    rill__mutex_unlock(&p->lock);
    return all;
}

static int is_nothing(const rill_txn *txn, size_t partition_count)
{
    return partition_count == 0 && txn->offsets == NULL && txn->overlay.count == 0;
}

/* The outcome is known to be commit. */
static int finish_commit(rill_txn *txn, int64_t deadline)
{
    struct rill_producer *p = txn->producer;
    int16_t epoch = p->epoch;

    txn->phase = TXN_ENDING;
    p->unsettled = !write_markers(p, true, deadline);
    if (!p->unsettled) p->settled_epoch = epoch;
    for (struct txn_offsets *o = txn->offsets; o != NULL; o = o->next)
        if (o->consumer != NULL) rill__commit_was_made(o->consumer, o->commit);
    rill__count(&p->store->counters->transactions_committed, 1);
    end(txn, (int16_t)(epoch + 1));
    return 0;
}

int rill__txn_commit(rill_txn *txn, int timeout_ms)
{
    struct rill_producer *p = txn->producer;
    int64_t deadline = rill__deadline(timeout_ms);
    size_t partition_count;
    int rc = check_open(txn);

    if (rc != 0) return rc;
    if (txn->cursors != 0)
        return rill__fail(RILL_ERR_STATE,
                          "%u cursors are open on the transaction; close them first",
                          txn->cursors);
    rc = rill__producer_flush(p, rill__time_left_ms(deadline));
    if (rc == RILL_ERR_TIMEOUT) return rc;
    if (rc == RILL_ERR_FENCED) return why_fenced(txn);
    if (rc != 0 || txn->failed) {
        txn->failed = true;
        return rc != 0
                   ? rill__fail_prefix(RILL_ERR_ABORTED,
                                       "a record could not be sent; abort the transaction")
                   : rill__fail(RILL_ERR_ABORTED, "an earlier call on the transaction failed; "
                                                  "abort it");
    }
    if (rill__monotonic_ns() >= txn->deadline_ns) {
        txn->failed = true;
        return rill__fail(RILL_ERR_ABORTED,
                          "the transaction has lasted longer than transaction_timeout_ms (%u); "
                          "abort it, and do it again",
                          p->options.transaction_timeout_ms);
    }
    rc = sync_lanes(p, deadline, &partition_count);
    if (rc == RILL_ERR_IO || rc == RILL_ERR_POISONED) txn->failed = true;
    if (rc == RILL_ERR_IO || rc == RILL_ERR_POISONED)
        return rill__fail_prefix(RILL_ERR_ABORTED, "records could not be synced");
    if (rc != 0) return rc;
    rill__meta_view_close(txn->view); /* the catalogue may have to grow */
    txn->view = NULL;
    if (is_nothing(txn, partition_count)) {
        end(txn, p->epoch);
        return 0;
    }
    txn->asked = true;
    rc = decide(txn, partition_count, rill__time_left_ms(deadline));
    if (rc == 0) return finish_commit(txn, deadline);
    if (rc == RILL_ERR_FENCED) return why_fenced(txn);
    if (rc == RILL_ERR_IO || rc == RILL_ERR_POISONED) txn->phase = TXN_UNKNOWN;
    return rc;
}

/* ---- Aborting --------------------------------------------------------- */

/* Whether it was committed, for good. A newer instance has settled it, and then nobody knows. */
static int learn_outcome(rill_txn *txn, bool *commit)
{
    struct rill_producer *p = txn->producer;
    struct meta_name now;
    int rc = rill__meta_name_judge(p->store->meta, p->id, p->epoch, commit);

    if (rc == RILL_ERR_NOT_FOUND) return 0; /* the name was deleted: nobody can decide */
    if (rc != 0 || *commit || txn->phase != TXN_UNKNOWN) return rc;
    rc = rill__meta_name_get(p->store->meta, p->name, &now);
    if (rc != 0) return rc;
    rill__free(&p->store->heap, now.decided);
    if (now.owner.instance == p->instance) return 0;
    p->fenced = true;
    return rill__fail(RILL_ERR_FENCED,
                      "a newer instance has the transactional_id %s, and whether the transaction "
                      "was committed is not known any more; close this producer",
                      p->name);
}

int rill__txn_abort(rill_txn *txn, int timeout_ms)
{
    struct rill_producer *p = txn->producer;
    int64_t deadline = rill__deadline(timeout_ms);
    bool commit = false;
    size_t touched = 0;
    int rc = 0;

    if (txn->cursors != 0)
        return rill__fail(RILL_ERR_STATE,
                          "%u cursors are open on the transaction; close them first",
                          txn->cursors);
    rill__producer_drop(p); /* what was not sent is not sent any more */
    rill__mutex_lock(&p->lock);
    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next)
        if (lane->txn_end >= 0) touched++;
    rill__mutex_unlock(&p->lock);
    if (touched == 0 && !txn->asked) {
        p->stale = txn->failed; /* it may have failed of what others have done */
        end(txn, p->epoch);
        return 0;
    }
    rill__meta_view_close(txn->view); /* the catalogue may have to grow */
    txn->view = NULL;
    rc = learn_outcome(txn, &commit);
    if (rc != 0) return rc;
    if (commit) {
        finish_commit(txn, deadline);
        return rill__fail(RILL_ERR_EXISTS, "the transaction was committed after all");
    }
    txn->phase = TXN_ENDING;
    write_markers(p, false, deadline); /* what is missing is settled by whoever meets it */
    rill__count(&p->store->counters->transactions_aborted, 1);
    p->stale = true;
    end(txn, (int16_t)(p->epoch + 1));
    return 0;
}

void rill__txn_close(struct rill_producer *p, int timeout_ms)
{
    rill_txn *txn = p->txn;
    struct saved_message why;

    rill__message_save(&why);
    txn->cursors = 0;
    if (rill__txn_abort(txn, timeout_ms) != 0 && p->txn != NULL) {
        p->fenced = true; /* as good as: others settle what is open */
        end(txn, p->epoch);
    }
    rill__message_restore(&why);
}
