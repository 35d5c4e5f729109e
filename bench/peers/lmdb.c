/*
 * lmdb.c - LMDB as a queue: a tree from a record's number to the record.
 *
 * An append is a write transaction of puts at the end of the tree; a reader is a
 * cursor in a read transaction, renewed whenever it has reached the end.
 */
#include "peers/peers.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

#define MAP_BYTES ((size_t)8 << 30)
enum { READ_MAX = 10000 };

struct log {
    const struct bench *bench;
    MDB_env *env;
    MDB_dbi records, commits;
    size_t next; /* number of the next record; LMDB has one writer at a time */
};

struct reader {
    struct log *log;
    MDB_txn *txn; /* reset between two reads */
    MDB_cursor *cursor;
    size_t next;
};

static void check(int rc, const char *what)
{
    if (rc != 0) die(name("LMDB: %s: %s", what, mdb_strerror(rc)));
}

static const char *settings(void)
{
    return name("%d.%d.%d, MDB_APPEND; MDB_NOSYNC and MDB_WRITEMAP; durable: neither",
                MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH);
}

static void *log_open(const struct bench *bench, bool durable)
{
    const char *path = name("%s/peer-lmdb", bench->dir);
    struct log *log = allocate(sizeof *log);
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (durable ? 0 : MDB_NOSYNC | MDB_WRITEMAP);
    MDB_txn *txn;

    log->bench = bench;
    check(mdb_env_create(&log->env), "create");
    check(mdb_env_set_mapsize(log->env, MAP_BYTES), "map size");
    check(mdb_env_set_maxdbs(log->env, 2), "databases");
    check(mdb_env_open(log->env, path, flags, 0600), "open");
    check(mdb_txn_begin(log->env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, "records", MDB_CREATE | MDB_INTEGERKEY, &log->records), "records");
    check(mdb_dbi_open(txn, "commits", MDB_CREATE, &log->commits), "commits");
    check(mdb_txn_commit(txn), "commit");
    return log;
}

static void log_close(void *arg)
{
    struct log *log = arg;

    mdb_env_close(log->env);
    file_remove(log->bench, "peer-lmdb");
    file_remove(log->bench, "peer-lmdb-lock");
    free(log);
}

/* A writer has nothing of its own. */
static void *writer_open(void *log)
{
    return log;
}

static void writer_close(void *writer)
{
    (void)writer;
}

static void append(void *arg, const rill_record *records, size_t count)
{
    struct log *log = arg;
    MDB_txn *txn;
    MDB_cursor *cursor;

    check(mdb_txn_begin(log->env, NULL, 0, &txn), "begin");
    check(mdb_cursor_open(txn, log->records, &cursor), "cursor");
    for (size_t i = 0; i < count; i++, log->next++) {
        MDB_val key = {sizeof log->next, &log->next};
        MDB_val value = {record_size(&records[i]), (void *)record_bytes(&records[i])};

        check(mdb_cursor_put(cursor, &key, &value, MDB_APPEND), "put");
    }
    mdb_cursor_close(cursor);
    check(mdb_txn_commit(txn), "commit");
}

static void *reader_open(void *arg, bool wait)
{
    struct log *log = arg;
    struct reader *reader = allocate(sizeof *reader);

    (void)wait;
    reader->log = log;
    check(mdb_txn_begin(log->env, NULL, MDB_RDONLY, &reader->txn), "begin");
    check(mdb_cursor_open(reader->txn, log->records, &reader->cursor), "cursor");
    mdb_txn_reset(reader->txn);
    return reader;
}

static void renew(struct reader *reader)
{
    check(mdb_txn_renew(reader->txn), "renew");
    check(mdb_cursor_renew(reader->txn, reader->cursor), "renew a cursor");
}

static void read_some(void *arg, struct sink *sink)
{
    struct reader *reader = arg;
    MDB_val key = {sizeof reader->next, &reader->next}, value;
    int rc;

    renew(reader);
    rc = mdb_cursor_get(reader->cursor, &key, &value, MDB_SET_KEY);
    for (int i = 0; rc == 0; i++) {
        sink_take_message(sink, value.mv_data, value.mv_size);
        reader->next++;
        if (i == READ_MAX) break;
        rc = mdb_cursor_get(reader->cursor, &key, &value, MDB_NEXT);
    }
    if (rc != MDB_NOTFOUND) check(rc, "read");
    mdb_txn_reset(reader->txn);
}

static void reader_close(void *arg)
{
    struct reader *reader = arg;

    mdb_cursor_close(reader->cursor);
    mdb_txn_abort(reader->txn);
    free(reader);
}

static void lookup(void *arg, uint64_t number, struct sink *sink)
{
    struct reader *reader = arg;
    size_t at = (size_t)number;
    MDB_val key = {sizeof at, &at}, value;

    check(mdb_txn_renew(reader->txn), "renew");
    check(mdb_get(reader->txn, reader->log->records, &key, &value), "get");
    sink_take_message(sink, value.mv_data, value.mv_size);
    mdb_txn_reset(reader->txn);
}

static void commit(void *arg, uint64_t number)
{
    struct log *log = arg;
    MDB_val key = {5, (void *)"bench"}, value = {sizeof number, &number};
    MDB_txn *txn;

    check(mdb_txn_begin(log->env, NULL, 0, &txn), "begin");
    check(mdb_put(txn, log->commits, &key, &value, 0), "put");
    check(mdb_txn_commit(txn), "commit");
}

const struct peer peer_lmdb = {
    .name = "LMDB",
    .can = PEER_STORES | PEER_DURABLE,
    .settings = settings,
    .open = log_open,
    .close = log_close,
    .writer_open = writer_open,
    .append = append,
    .writer_close = writer_close,
    .reader_open = reader_open,
    .read = read_some,
    .reader_close = reader_close,
    .lookup = lookup,
    .commit = commit,
};
