/*
 * meta/copy.c - a copy of the catalogue as it was at one moment.
 *
 * Record by record into a new environment, in one transaction there, out of one
 * transaction for reading here. That is begun while nobody writes, so that the caller
 * can note what else is so at that moment; writers wait no longer than for that.
 * Records go over as they are, with their checksums, so that damage stays damage.
 */
#include "meta/inner.h"

struct copy_work {
    struct meta *from;
    MDB_txn *txn; /* of it */
    struct meta *to;
    bool has_turn;
    void (*moment)(void *arg);
    void *arg;
};

static int put_all(struct meta *to, MDB_txn *txn, void *arg)
{
    const struct copy_work *work = arg;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int code;
    int rc = rill__meta_failed(work->from, mdb_cursor_open(work->txn, work->from->dbi, &cursor),
                               "cursor");

    if (rc != 0) return rc;
    for (code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); code == 0 && rc == 0;
         code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))
        rc = rill__meta_failed(to, mdb_put(txn, to->dbi, &key, &value, 0), "copying");
    mdb_cursor_close(cursor);
    if (rc != 0 || code == 0 || code == MDB_NOTFOUND) return rc;
    return rill__meta_failed(work->from, code, "reading");
}

static int copy_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct copy_work *work = arg;

    if (work->moment != NULL) work->moment(work->arg);
    rill__meta_unlock_turns(meta);
    work->has_turn = false;
    work->txn = txn;
    return rill__meta_write(work->to, put_all, work);
}

int rill__meta_copy(struct meta *meta, const char *path, void (*moment)(void *arg), void *arg,
                    struct meta **out)
{
    struct copy_work work = {.from = meta, .moment = moment, .arg = arg};
    int rc = rill__meta_open(meta->heap, path, true, &work.to);

    if (rc == 0) rc = rill__meta_lock_turns(meta, meta->turns_timeout_ms);
    work.has_turn = rc == 0;
    if (rc == 0) rc = rill__meta_read(meta, copy_work, &work);
    if (work.has_turn) rill__meta_unlock_turns(meta);
    if (rc == 0) *out = work.to;
    else rill__meta_close(work.to);
    return rc;
}
