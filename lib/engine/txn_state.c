/*
 * engine/txn_state.c - what a transaction reads and puts: its own puts over what is
 * committed.
 *
 * A space is claimed for the producer before anything of it is read, so that nobody else
 * changes it until the transaction has ended. What is committed is seen by a view that is
 * opened after the last claim, and closed before the commit.
 */
#include "engine/txn.h"
#include <inttypes.h>
#include <string.h>

/* ---- Claims ----------------------------------------------------------- */

static bool has_claim(const struct rill_producer *p, const rill_space *space)
{
    for (size_t i = 0; i < p->claimed_count; i++)
        if (strcmp(p->claimed[i], space->name) == 0) return true;
    return false;
}

/* The writer of a space is gone: its producer's process is, or the producer is closed. */
bool rill__writer_is_gone(struct store *store, int64_t producer_id)
{
    struct meta_name name;
    struct saved_message why;
    int rc;
    bool free_now = false;

    rill__message_save(&why);
    rc = rill__meta_name_of(store->meta, producer_id, NULL, &name);
    if (rc == RILL_ERR_NOT_FOUND) free_now = true;
    if (rc == 0) {
        rill__free(&store->heap, name.decided);
        free_now = name.producer_id != producer_id || !name.owned ||
                   rill__process_is_gone(store, name.owner.slot, name.owner.ticket);
    }
    rill__message_restore(&why);
    return free_now;
}

static int keep_claim(struct rill_producer *p, const char *name)
{
    struct heap *heap = &p->store->heap;
    char **grown = rill__resize(heap, p->claimed, (p->claimed_count + 1) * sizeof *grown);

    if (grown == NULL) return RILL_ERR_NO_MEMORY;
    p->claimed = grown;
    grown[p->claimed_count] = rill__strdup(heap, name);
    if (grown[p->claimed_count] == NULL) return RILL_ERR_NO_MEMORY;
    p->claimed_count++;
    return 0;
}

static int claim_space(rill_txn *txn, const rill_space *space)
{
    struct rill_producer *p = txn->producer;
    int64_t in_place_of = -1;
    int64_t held;
    int rc;

    if (has_claim(p, space)) return 0;
    for (int attempt = 0;; attempt++) {
        rc = rill__meta_space_claim(p->store->meta, space->name, p->id, in_place_of, &held);
        if (rc != 0) return rc;
        if (held == p->id) break;
        if (attempt == 2 || !rill__writer_is_gone(p->store, held))
            return rill__fail(RILL_ERR_BUSY,
                              "space %s is written by another producer that is open (id %" PRId64
                              "); one at a time may",
                              space->name, held);
        in_place_of = held;
    }
    rc = keep_claim(p, space->name);
    rill__meta_view_close(txn->view); /* it may be older than the last commit of another one */
    txn->view = NULL;
    return rc;
}

static int check(rill_txn *txn, const rill_space *space, rill_bytes key)
{
    if (txn->phase != TXN_OPEN)
        return rill__fail(RILL_ERR_STATE, "the transaction is being ended");
    if (txn->failed)
        return rill__fail(RILL_ERR_ABORTED,
                          "an earlier call of the transaction failed; call rill_txn_abort");
    if (space->handle->store != txn->producer->store)
        return rill__fail(RILL_ERR_INVALID, "space %s is of another store", space->name);
    if (key.data == NULL && key.size != 0)
        return rill__fail(RILL_ERR_INVALID, "a key has a size but no data");
    if (key.size > RILL_SPACE_KEY_MAX)
        return rill__fail(RILL_ERR_TOO_BIG, "a key of %zu bytes in space %s; at most %d",
                          key.size, space->name, RILL_SPACE_KEY_MAX);
    return claim_space(txn, space);
}

int rill__txn_view(rill_txn *txn)
{
    return txn->view != NULL ? 0 : rill__meta_view_open(txn->producer->store->meta, &txn->view);
}

/* ---- Keys ------------------------------------------------------------- */

static int no_such_key(const rill_space *space)
{
    return rill__fail(RILL_ERR_NOT_FOUND, "space %s has no such key", space->name);
}

int rill__txn_get(rill_txn *txn, rill_space *space, rill_bytes key, rill_bytes *value)
{
    rill_bytes found;
    int rc = check(txn, space, key);

    if (rc != 0) return rc;
    if (rill__overlay_get(&txn->overlay, space->number, key, &found)) {
        if (found.data == NULL) return no_such_key(space);
        *value = found;
        return 0;
    }
    rc = rill__txn_view(txn);
    if (rc == 0) rc = rill__meta_view_get(txn->view, space->number, key, &found);
    if (rc == RILL_ERR_NOT_FOUND) return no_such_key(space);
    if (rc == 0) *value = found;
    return rc;
}

int rill__txn_put(rill_txn *txn, rill_space *space, rill_bytes key, rill_bytes value)
{
    uint64_t most = txn->producer->options.transaction_bytes_max;
    int rc = check(txn, space, key);

    if (rc != 0) return rc;
    if (value.size > RILL_SPACE_VALUE_MAX)
        return rill__fail(RILL_ERR_TOO_BIG, "a value of %zu bytes in space %s; at most %u",
                          value.size, space->name, RILL_SPACE_VALUE_MAX);
    if (txn->overlay.bytes + key.size + value.size > most)
        return rill__fail(RILL_ERR_TOO_BIG,
                          "the transaction has put %" PRIu64 " bytes into spaces; with this it "
                          "would be more than %" PRIu64
                          " (transaction_bytes_max); commit earlier",
                          txn->overlay.bytes, most);
    return rill__overlay_put(&txn->overlay, space->number, key, value);
}
