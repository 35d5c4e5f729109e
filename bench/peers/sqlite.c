/*
 * sqlite.c - SQLite as a queue: a table from a record's number to key and value.
 *
 * A connection per writer and per reader. An append is a transaction of inserts; a
 * reader runs one statement until it has no more rows, then anew from there. Writers
 * take turns by a mutex: SQLite's own way to wait for another one is to sleep a while.
 */
#include "peers/peers.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUSY_MS = 10000, READ_MAX = 10000 };

struct log {
    const struct bench *bench;
    const char *path;
    bool durable;
    pthread_mutex_t turns; /* of writers */
};

struct connection {
    struct log *log;
    sqlite3 *db;
    sqlite3_stmt *begin, *end, *insert, *select, *get, *commit;
    sqlite3_int64 next; /* of a reader: the row before the next one */
};

static _Noreturn void fail(sqlite3 *db, const char *what)
{
    die(name("SQLite: %s: %s", what, sqlite3_errmsg(db)));
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail(db, sql);
}

static sqlite3_stmt *statement(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;

    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
        fail(db, sql);
    return s;
}

static void step(sqlite3 *db, sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE) fail(db, sqlite3_sql(s));
    sqlite3_reset(s);
}

static const char *settings(void)
{
    return name("%s, WAL, synchronous=OFF, mmap_size=8 GiB, a transaction per batch; durable: "
                "synchronous=FULL",
                sqlite3_libversion());
}

static void *connect(void *arg)
{
    struct log *log = arg;
    struct connection *c = allocate(sizeof *c);

    c->log = log;
    if (sqlite3_open_v2(log->path, &c->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        fail(c->db, "open");
    sqlite3_busy_timeout(c->db, BUSY_MS); /* of whoever makes the tables */
    run(c->db, "PRAGMA journal_mode=WAL");
    run(c->db, "PRAGMA mmap_size=8589934592");
    run(c->db, log->durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
    run(c->db, "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, key BLOB, value BLOB)");
    run(c->db, "CREATE TABLE IF NOT EXISTS commits (name TEXT PRIMARY KEY, id INTEGER)");
    c->begin = statement(c->db, "BEGIN IMMEDIATE");
    c->end = statement(c->db, "COMMIT");
    c->insert = statement(c->db, "INSERT INTO log (key, value) VALUES (?, ?)");
    c->select = statement(c->db, "SELECT id, value FROM log WHERE id > ? ORDER BY id LIMIT ?");
    c->get = statement(c->db, "SELECT value FROM log WHERE id = ?");
    c->commit = statement(c->db, "INSERT OR REPLACE INTO commits VALUES ('bench', ?)");
    return c;
}

static void disconnect(void *arg)
{
    struct connection *c = arg;
    sqlite3_stmt *s;

    while ((s = sqlite3_next_stmt(c->db, NULL)) != NULL) sqlite3_finalize(s);
    if (sqlite3_close(c->db) != SQLITE_OK) fail(c->db, "close");
    free(c);
}

static void *log_open(const struct bench *bench, bool durable)
{
    struct log *log = allocate(sizeof *log);

    *log = (struct log){.bench = bench, .durable = durable};
    log->path = name("%s/peer-sqlite", bench->dir);
    if (pthread_mutex_init(&log->turns, NULL) != 0) die("no mutex");
    disconnect(connect(log)); /* the tables are there */
    return log;
}

static void log_close(void *arg)
{
    struct log *log = arg;

    file_remove(log->bench, "peer-sqlite");
    pthread_mutex_destroy(&log->turns);
    free(log);
}

static void insert(struct connection *c, const rill_record *record)
{
    sqlite3_bind_blob(c->insert, 1, record->key.data, (int)record->key.size, SQLITE_STATIC);
    sqlite3_bind_blob(c->insert, 2, record->value.data, (int)record->value.size, SQLITE_STATIC);
    step(c->db, c->insert);
}

static void append(void *arg, const rill_record *records, size_t count)
{
    struct connection *c = arg;

    pthread_mutex_lock(&c->log->turns);
    if (count > 1) step(c->db, c->begin);
    for (size_t i = 0; i < count; i++) insert(c, &records[i]);
    if (count > 1) step(c->db, c->end);
    pthread_mutex_unlock(&c->log->turns);
}

static void *reader_open(void *log, bool wait)
{
    (void)wait;
    return connect(log);
}

static void read_some(void *arg, struct sink *sink)
{
    struct connection *c = arg;
    int rc;

    sqlite3_bind_int64(c->select, 1, c->next);
    sqlite3_bind_int64(c->select, 2, READ_MAX);
    while ((rc = sqlite3_step(c->select)) == SQLITE_ROW) {
        c->next = sqlite3_column_int64(c->select, 0);
        sink_take(sink, sqlite3_column_blob(c->select, 1),
                  (size_t)sqlite3_column_bytes(c->select, 1));
    }
    if (rc != SQLITE_DONE) fail(c->db, "select");
    sqlite3_reset(c->select);
}

static void lookup(void *arg, uint64_t number, struct sink *sink)
{
    struct connection *c = arg;

    sqlite3_bind_int64(c->get, 1, (sqlite3_int64)number + 1); /* rows are counted from 1 */
    if (sqlite3_step(c->get) != SQLITE_ROW) fail(c->db, "get");
    sink_take(sink, sqlite3_column_blob(c->get, 0), (size_t)sqlite3_column_bytes(c->get, 0));
    sqlite3_reset(c->get);
}

static void commit(void *arg, uint64_t number)
{
    struct connection *c = arg;

    sqlite3_bind_int64(c->commit, 1, (sqlite3_int64)number);
    step(c->db, c->commit);
}

const struct peer peer_sqlite = {
    .name = "SQLite",
    .can = PEER_STORES | PEER_DURABLE,
    .settings = settings,
    .open = log_open,
    .close = log_close,
    .writer_open = connect,
    .append = append,
    .writer_close = disconnect,
    .reader_open = reader_open,
    .read = read_some,
    .reader_close = disconnect,
    .lookup = lookup,
    .commit = commit,
};
