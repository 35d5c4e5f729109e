/*
 * engine/identity.c - who a producer is: its id, its epoch, and its sequences.
 *
 *     anonymous      an id that nobody had before; its batches say it, nothing more
 *     with a name    the name's id; a new instance has a later epoch, and goes on with
 *                    the sequences that the partitions know
 *     transactional  the same, with transactions
 *
 * What an anonymous producer has appended it knows itself: within its life nothing comes
 * twice, but for a batch whose sync failed or took too long, which the application hands
 * over again. It is known by its records (lane->doubt) and not appended again.
 */
#include "base/checksum.h"
#include "engine/txn.h"
#include <inttypes.h>
#include <string.h>

#define IDS_AT_ONCE 1000
#define SETTLE_MS 10000
#define SETTLE_ATTEMPTS 10

/* ---- Ids -------------------------------------------------------------- */

/* Without one, if the catalogue cannot be written now: it is worth nothing else. */
static void take_anonymous_id(struct rill_producer *p)
{
    struct store *store = p->store;
    struct saved_message why;
    int64_t first;

    rill__message_save(&why);
    rill__mutex_lock(&store->ids_lock);
    if (store->ids_next == store->ids_end &&
        rill__meta_producer_ids(store->meta, IDS_AT_ONCE, &first) == 0) {
        store->ids_next = first;
        store->ids_end = first + IDS_AT_ONCE;
    }
    if (store->ids_next != store->ids_end) {
        p->id = store->ids_next++;
        p->epoch = 0;
    }
    rill__mutex_unlock(&store->ids_lock);
    rill__message_restore(&why);
}

struct meta_owner rill__owner_of(const struct rill_producer *p)
{
    return (struct meta_owner){(uint32_t)p->store->process_slot, p->instance,
                               p->store->process_ticket};
}

/* What an earlier instance left: committed where that was decided, else aborted. */
static int settle_earlier(struct rill_producer *p, const struct meta_name *was)
{
    int rc = rill__settle_name(p->store, p->name, was, rill__deadline(SETTLE_MS));

    if (rc == 0 && was->producer_id >= 0 && was->owned)
        rc = rill__settle_producer(p->store, was->producer_id, rill__deadline(SETTLE_MS));
    return rc == 0 ? 0 : rill__fail_prefix(rc, "what an earlier instance of %s left", p->name);
}

/* A name whose epochs are used up gets another id, when nothing is to be done under the old one:
 * whoever comes does it. */
static int settle_last_epoch(struct rill_producer *p)
{
    struct meta_name was;
    int rc = rill__meta_name_get(p->store->meta, p->name, &was);

    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc != 0) return rc;
    if (was.epoch == INT16_MAX)
        rc = rill__settle_name(p->store, p->name, &was, rill__deadline(SETTLE_MS));
    rill__free(&p->store->heap, was.decided);
    return rc;
}

static int take_over_name(struct rill_producer *p, const char *name)
{
    struct meta_name was;
    struct meta_name now;
    int rc = rill__check_name("producer", name);

    if (rc == 0) rc = rill__random(&p->instance, sizeof p->instance);
    if (rc != 0) return rc;
    p->name = rill__strdup(&p->store->heap, name);
    if (p->name == NULL) return RILL_ERR_NO_MEMORY;
    rc = settle_last_epoch(p);
    if (rc != 0) return rc;
    rc = rill__meta_name_take(p->store->meta, name, p->transactional,
                              p->options.transaction_timeout_ms, rill__owner_of(p), &was, &now);
    if (rc != 0) return rc;
    p->id = now.producer_id;
    p->epoch = now.epoch;
    rc = settle_earlier(p, &was);
    rill__free(&p->store->heap, was.decided);
    if (rc == 0) return 0;
    rill__meta_name_release(p->store->meta, name, rill__owner_of(p));
    return rc;
}

int rill__identity_open(struct rill_producer *p)
{
    const rill_producer_options *o = &p->options;

    p->id = -1;
    p->epoch = -1;
    p->settled_epoch = -1;
    p->transactional = o->transactional_id != NULL;
    if (o->transactional_id != NULL && o->producer_name != NULL)
        return rill__fail(RILL_ERR_INVALID,
                          "producer_name and transactional_id: one of them names "
                          "the producer");
    if (o->transactional_id != NULL) return take_over_name(p, o->transactional_id);
    if (o->producer_name != NULL) return take_over_name(p, o->producer_name);
    if ((o->flags & RILL_PRODUCER_NO_IDEMPOTENCE) == 0) take_anonymous_id(p);
    return 0;
}

void rill__identity_close(struct rill_producer *p)
{
    if (p->name != NULL && !p->fenced) {
        if (p->settled_epoch >= 0)
            rill__meta_name_settle(p->store->meta, p->name, p->id, (int16_t)p->settled_epoch);
        rill__meta_name_release(p->store->meta, p->name, rill__owner_of(p));
    }
    for (size_t i = 0; i < p->claimed_count; i++) rill__free(&p->store->heap, p->claimed[i]);
    rill__free(&p->store->heap, p->claimed);
    rill__free(&p->store->heap, p->name);
    p->claimed = NULL;
    p->claimed_count = 0;
    p->name = NULL;
}

/* ---- Sequences -------------------------------------------------------- */

int rill__identity_check(const struct rill_producer *p)
{
    if (p->fenced)
        return rill__fail(RILL_ERR_FENCED,
                          "a newer instance of %s is at work; close this producer", p->name);
    if (!p->transactional) return 0;
    if (p->txn == NULL)
        return rill__fail(RILL_ERR_STATE,
                          "the producer %s sends in transactions only; call rill_txn_begin first",
                          p->name);
    if (p->txn->phase != TXN_OPEN)
        return rill__fail(RILL_ERR_STATE, "the transaction of %s is being ended", p->name);
    if (p->txn->failed)
        return rill__fail(RILL_ERR_ABORTED, "an earlier record of the transaction failed; call "
                                            "rill_txn_abort");
    return 0;
}

int rill__identity_lane(struct rill_producer *p, struct lane *lane)
{
    int32_t expected = -1;
    int rc = 0;

    lane->txn_end = -1;
    lane->marker_end = -1;
    if (p->name != NULL && !p->transactional)
        rc = rill__log_expected(lane->log, p->id, &expected);
    lane->next_sequence = expected < 0 ? 0 : expected;
    return rc;
}

void rill__identity_stamp(const struct rill_producer *p, const struct lane *lane,
                          struct batch *batch)
{
    if (p->id < 0) return;
    batch->producer_id = p->id;
    batch->producer_epoch = p->epoch;
    batch->base_sequence = p->sequenced >= 0 ? p->sequenced : lane->next_sequence;
    batch->checked = p->name != NULL;
    if (p->transactional) batch->attributes |= BATCH_IN_TRANSACTION;
}

int rill__identity_append(struct rill_producer *p, const struct lane *lane, struct batch *batch,
                          int64_t deadline, int64_t *base_offset)
{
    int rc = rill__log_append(lane->log, batch, p->durable, deadline, base_offset);

    /* Again only if another instance that was fenced, but does not know, was quicker. */
    for (int attempt = 0; rc == LOG_UNSETTLED; attempt++) {
        if (attempt == SETTLE_ATTEMPTS)
            return rill__fail(RILL_ERR_BUSY,
                              "%s-%d: earlier instances of %s go on to write; close them",
                              lane->topic->info.name, (int)lane->partition, p->name);
        rc = rill__settle_log(p->store, lane->log, p->id, deadline);
        if (rc == 0) rc = rill__log_append(lane->log, batch, p->durable, deadline, base_offset);
    }
    return rc;
}

void rill__identity_sent(struct rill_producer *p, struct lane *lane, const struct batch *batch,
                         int64_t base_offset, bool duplicate)
{
    if (p->id >= 0 && !duplicate)
        lane->next_sequence = rill__sequence_after(batch->base_sequence, batch->record_count);
    if (p->txn == NULL) return;
    if (lane->txn_end < 0) lane->busy++; /* it has to stay until the marker is written */
    lane->txn_end = base_offset + batch->record_count;
}

void rill__identity_failed(struct rill_producer *p)
{
    if (p->txn != NULL) p->txn->failed = true;
}

/* ---- A batch whose outcome is open ------------------------------------ */

static uint64_t records_sum(const struct batch *batch)
{
    return rill__checksum(batch->data + BATCH_HEAD, batch->size - BATCH_HEAD);
}

void rill__doubt_keep(struct lane *lane, const struct batch *batch, int64_t base_offset)
{
    lane->doubt_sum = records_sum(batch);
    lane->doubt_count = batch->record_count;
    lane->doubt_offset = base_offset;
}

bool rill__doubt_is(const struct lane *lane, const struct batch *batch, int64_t *base_offset)
{
    if (lane->doubt_count != batch->record_count || lane->doubt_sum != records_sum(batch))
        return false;
    *base_offset = lane->doubt_offset;
    return true;
}

void rill__doubt_end(struct rill_producer *p, struct lane *lane, int64_t base_offset)
{
    rill__mutex_lock(&p->lock);
    if (lane->doubt_offset == base_offset) lane->doubt_count = 0;
    rill__mutex_unlock(&p->lock);
}
