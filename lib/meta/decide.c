/*
 * meta/decide.c - the one commit point of a transaction.
 *
 * One write of the catalogue holds all that a transaction changes in it: the offsets
 * of groups, the application's state, and the decision that its records, wherever they
 * are, are committed. It happens as a whole or not at all, and is synced when it returns.
 */
#include "base/bytes.h"
#include "meta/inner.h"
#include <inttypes.h>

static int check_writers(struct meta *meta, MDB_txn *txn, const struct meta_decision *d)
{
    for (size_t i = 0; i < d->space_count; i++) {
        int rc;
        if (rill__meta_space_is_owned(meta, txn, d->spaces[i], d->producer_id, &rc)) continue;
        if (rc != 0) return rc;
        return rill__fail(RILL_ERR_FENCED,
                          "space %s has got another writer than the producer named %s",
                          d->spaces[i], d->name);
    }
    return 0;
}

static int put_state(struct meta *meta, MDB_txn *txn, const struct meta_put *put)
{
    uint8_t bytes[META_KEY_LARGEST];
    MDB_val key = {rill__meta_space_key(bytes, put->space, put->key), bytes};
    uint8_t *value;
    int rc;

    if (put->value.data == NULL) {
        int code = mdb_del(txn, meta->dbi, &key, NULL);
        return code == MDB_NOTFOUND ? 0 : rill__meta_failed(meta, code, "deleting");
    }
    value = rill__alloc(meta->heap, put->value.size + 8);
    if (value == NULL) return RILL_ERR_NO_MEMORY;
    memcpy(value, put->value.data, put->value.size);
    rc = rill__meta_put(meta, txn, &key, value, put->value.size);
    rill__free(meta->heap, value);
    return rc;
}

static int decide_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct meta_decision *d = arg;
    struct meta_name n = {.decided = NULL};
    int rc = rill__meta_read_name(meta, txn, d->name, &n);

    rill__free(meta->heap, n.decided);
    if (rc == RILL_ERR_NOT_FOUND)
        return rill__fail(RILL_ERR_FENCED, "the producer named %s was deleted", d->name);
    if (rc != 0) return rc;
    if (n.producer_id != d->producer_id || n.epoch != d->epoch)
        return rill__fail(RILL_ERR_FENCED,
                          "the producer named %s was in epoch %d; a newer instance, or the end "
                          "of its time, has made it %d",
                          d->name, (int)d->epoch, (int)n.epoch);
    if (n.decided_epoch >= 0 && n.decided_epoch != d->settled_epoch)
        return rill__fail(RILL_ERR_BUG, "a decision of %s is not settled", d->name);
    rc = check_writers(meta, txn, d);
    for (size_t i = 0; i < d->commit_count && rc == 0; i++)
        rc = rill__meta_group_step_in(meta, txn, d->commits[i].group, d->commits[i].step,
                                      d->commits[i].arg);
    for (size_t i = 0; i < d->put_count && rc == 0; i++) rc = put_state(meta, txn, &d->puts[i]);
    if (rc != 0) return rc;
    if (n.epoch == INT16_MAX)
        return rill__fail(RILL_ERR_BUG, "a transaction of %s in its last epoch", d->name);
    n.epoch++;
    n.decided_epoch = d->epoch; /* also without records: so who is not sure can ask */
    n.decided = (struct meta_decided *)(uintptr_t)d->partitions;
    n.decided_count = d->partition_count;
    n.changed_ms = rill__now_ms();
    return rill__meta_write_name(meta, txn, d->name, &n);
}

int rill__meta_decide(struct meta *meta, const struct meta_decision *decision, int timeout_ms)
{
    return rill__meta_write_within(meta, timeout_ms, decide_work, (void *)(uintptr_t)decision);
}
