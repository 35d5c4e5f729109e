/*
 * meta/env.c - the LMDB environment: opened, grown, read and written.
 *
 * A transaction that meets a full map is undone, the map is doubled and the
 * work runs again; growth by another process (MDB_MAP_RESIZED) is taken over.
 * Both need that no transaction of this process is open, which `users` counts.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "meta/inner.h"
#include <errno.h>
#include <inttypes.h>

#define MAP_FIRST_BYTES ((size_t)16 << 20)
#define READERS_MAX 512
#define ROOM_BYTES ((uint64_t)1 << 20)
#define VIEWS_WAIT_MS 10000 /* for views to be closed, if nothing else is set */

int rill__meta_failed(struct meta *meta, int code, const char *what)
{
    switch (code) {
    case 0: return 0;
    case MDB_MAP_FULL:
    case MDB_MAP_RESIZED:
    case MDB_READERS_FULL: return code;
    case MDB_NOTFOUND: return RILL_ERR_NOT_FOUND;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return rill__fail(RILL_ERR_CORRUPT, "%s: %s: %s", meta->path, what, mdb_strerror(code));
    case MDB_PANIC:
        return rill__fail(
            RILL_ERR_POISONED,
            "%s: %s: an earlier commit could not be synced; close the store in every "
            "process and open it again",
            meta->path, what);
    case MDB_VERSION_MISMATCH:
        return rill__fail(RILL_ERR_FORMAT, "%s: %s: %s", meta->path, what, mdb_strerror(code));
    default:
        if (code > 0) return rill__fail_os(code, "%s: %s", meta->path, what);
        return rill__fail(RILL_ERR_IO, "%s: %s: %s", meta->path, what, mdb_strerror(code));
    }
}

static void enter(struct meta *meta)
{
    rill__mutex_lock(&meta->lock);
    while (meta->resizing) rill__condition_wait(&meta->changed, &meta->lock);
    meta->users++;
    rill__mutex_unlock(&meta->lock);
}

static void leave(struct meta *meta)
{
    rill__mutex_lock(&meta->lock);
    if (--meta->users == 0) rill__condition_signal_all(&meta->changed);
    rill__mutex_unlock(&meta->lock);
}

/* size 0: take over what another process has set. */
static int resize_map(struct meta *meta, bool grow)
{
    MDB_envinfo info;
    int64_t deadline;
    unsigned busy;
    size_t size = 0;
    int code = 0;

    rill__mutex_lock(&meta->lock);
    while (meta->resizing) rill__condition_wait(&meta->changed, &meta->lock);
    meta->resizing = true;
    deadline =
        rill__deadline(meta->turns_timeout_ms != 0 ? meta->turns_timeout_ms : VIEWS_WAIT_MS);
    while (meta->users > 0 && rill__monotonic_ns() < deadline)
        rill__condition_wait_until(&meta->changed, &meta->lock, deadline);
    busy = meta->users;
    mdb_env_info(meta->env, &info);
    if (grow) size = info.me_mapsize * 2;
    if (busy == 0)
        code =
            (uint64_t)size > META_MAP_MAX_BYTES ? ENOSPC : mdb_env_set_mapsize(meta->env, size);
    meta->resizing = false;
    rill__condition_signal_all(&meta->changed);
    rill__mutex_unlock(&meta->lock);
    if (busy != 0)
        return rill__fail(
            RILL_ERR_BUSY,
            "%s: its map of %zu bytes is full and cannot grow while this process has "
            "%u views of it open; close them",
            meta->path, (size_t)info.me_mapsize, busy);
    return rill__meta_failed(meta, code, "growing the map");
}

static int run(struct meta *meta, meta_work work, void *arg, unsigned flags)
{
    int rc = 0;

    for (int attempt = 0; attempt < 40; attempt++) {
        MDB_txn *txn = NULL;

        enter(meta);
        rc = mdb_txn_begin(meta->env, NULL, flags, &txn);
        if (rc == 0) {
            rc = work(meta, txn, arg);
            if (rc == 0 && flags == 0)
                rc = rill__meta_failed(meta, mdb_txn_commit(txn), "commit");
            else mdb_txn_abort(txn);
        } else {
            rc = rill__meta_failed(meta, rc, "beginning a transaction");
        }
        leave(meta);
        if (rc == MDB_READERS_FULL) {
            rc = rill__meta_check_readers(meta);
            rill__sleep_ns(1000000);
        } else if (rc == MDB_MAP_FULL || rc == MDB_MAP_RESIZED) {
            rc = resize_map(meta, rc == MDB_MAP_FULL);
        } else {
            return rc;
        }
        if (rc != 0) return rc;
    }
    return rill__fail(RILL_ERR_BUSY, "%s: others keep its map or its readers changing",
                      meta->path);
}

int rill__meta_read(struct meta *meta, meta_work work, void *arg)
{
    return run(meta, work, arg, MDB_RDONLY);
}

int rill__meta_begin_view(struct meta *meta, MDB_txn **txn)
{
    for (int attempt = 0;; attempt++) {
        int rc;

        enter(meta);
        rc = rill__meta_failed(meta, mdb_txn_begin(meta->env, NULL, MDB_RDONLY, txn), "a view");
        if (rc == 0) return 0;
        leave(meta);
        if (attempt < 3 && rc == MDB_MAP_RESIZED) rc = resize_map(meta, false);
        else if (attempt < 3 && rc == MDB_READERS_FULL) rc = rill__meta_check_readers(meta);
        else if (rc == MDB_MAP_RESIZED || rc == MDB_READERS_FULL)
            return rill__fail(RILL_ERR_BUSY, "%s: others have all %d places of readers",
                              meta->path, READERS_MAX);
        if (rc != 0) return rc;
    }
}

void rill__meta_end_view(struct meta *meta, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    leave(meta);
}

void rill__meta_take_turns(struct meta *meta, struct meta_turns *turns, int timeout_ms)
{
    meta->turns = turns;
    meta->turns_timeout_ms = timeout_ms;
}

int rill__meta_lock_turns(struct meta *meta, int timeout_ms)
{
    int rc;

    if (meta->turns == NULL) return 0;
    rc = rill__shared_mutex_lock(&meta->turns->lock, rill__deadline(timeout_ms));
    if (rc == RILL_ERR_TIMEOUT)
        return rill__fail(rc, "%s: process %d has been in a commit for %d ms; it may be stopped",
                          meta->path, (int)atomic_load(&meta->turns->owner), timeout_ms);
    if (rc < 0) return rc;
    /* What a dead writer left half done LMDB undoes. */
    if (rc == RILL__OWNER_DIED) rill__shared_mutex_repaired(&meta->turns->lock);
    atomic_store_explicit(&meta->turns->since_ms, rill__tick_ms(), memory_order_relaxed);
    atomic_store_explicit(&meta->turns->owner, rill__process_id(), memory_order_relaxed);
    return 0;
}

void rill__meta_unlock_turns(struct meta *meta)
{
    if (meta->turns == NULL) return;
    atomic_store_explicit(&meta->turns->owner, 0, memory_order_relaxed);
    rill__shared_mutex_unlock(&meta->turns->lock);
}

int rill__meta_write_within(struct meta *meta, int timeout_ms, meta_work work, void *arg)
{
    int rc = rill__meta_lock_turns(meta, timeout_ms);

    if (rc != 0) return rc;
    rc = run(meta, work, arg, 0);
    rill__meta_unlock_turns(meta);
    return rc;
}

int rill__meta_write(struct meta *meta, meta_work work, void *arg)
{
    return rill__meta_write_within(meta, meta->turns_timeout_ms, work, arg);
}

/* Taking LMDB's lock is enough for it to look at what a dead writer left. */
static int settle_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    (void)meta, (void)txn, (void)arg;
    return 0;
}

int rill__meta_settle(struct meta *meta)
{
    return rill__meta_write(meta, settle_work, NULL);
}

/* ---- Values ----------------------------------------------------------- */

static uint64_t sum_of(const MDB_val *key, const void *value, size_t size)
{
    return rill__checksum(value, size) ^ rill__mix64(rill__checksum(key->mv_data, key->mv_size));
}

bool rill__meta_verifies(const MDB_val *key, const void *value, size_t size)
{
    return size >= 8 &&
           rill__get64((const uint8_t *)value + size - 8) == sum_of(key, value, size - 8);
}

int rill__meta_check_value(struct meta *meta, const MDB_val *key, MDB_val *value)
{
    if (rill__meta_verifies(key, value->mv_data, value->mv_size)) {
        value->mv_size -= 8;
        return 0;
    }
    return rill__fail(RILL_ERR_CORRUPT, "%s: the value of a key of kind %c does not verify",
                      meta->path, *(const char *)key->mv_data);
}

/* That the key there, if there is one, verifies. */
static int check_before(struct meta *meta, MDB_cursor *cursor, MDB_cursor_op where)
{
    MDB_val key;
    MDB_val value;
    int rc = rill__meta_failed(meta, mdb_cursor_get(cursor, &key, &value, where), "reading");

    if (rc == RILL_ERR_NOT_FOUND) return 0;
    return rc != 0 ? rc : rill__meta_check_value(meta, &key, &value);
}

/* The first key from *key on, RILL_ERR_NOT_FOUND if there is none; it and the
 * one before it verify. */
static int find(struct meta *meta, MDB_txn *txn, MDB_val *key, MDB_val *value)
{
    MDB_cursor *cursor;
    int rc = rill__meta_failed(meta, mdb_cursor_open(txn, meta->dbi, &cursor), "cursor");

    if (rc != 0) return rc;
    rc = rill__meta_failed(meta, mdb_cursor_get(cursor, key, value, MDB_SET_RANGE), "reading");
    if (rc == 0) rc = rill__meta_check_value(meta, key, value);
    if (rc == 0 || rc == RILL_ERR_NOT_FOUND) {
        int before_rc = check_before(meta, cursor, rc == 0 ? MDB_PREV : MDB_LAST);
        if (before_rc != 0) rc = before_rc;
    }
    mdb_cursor_close(cursor);
    return rc;
}

int rill__meta_get(struct meta *meta, MDB_txn *txn, const MDB_val *key, MDB_val *value)
{
    MDB_val from = *key;
    int rc = rill__meta_failed(meta, mdb_get(txn, meta->dbi, &from, value), "reading");

    if (rc == 0) return rill__meta_check_value(meta, key, value);
    if (rc != RILL_ERR_NOT_FOUND) return rc;
    rc = find(meta, txn, &from, value);
    return rc == 0 ? RILL_ERR_NOT_FOUND : rc;
}

int rill__meta_next(struct meta *meta, MDB_txn *txn, char kind, const char *after, MDB_val *key,
                    MDB_val *value)
{
    uint8_t name[META_KEY_MAX + 1];
    int rc;

    key->mv_size = rill__meta_name_key(name, kind, after);
    key->mv_data = name;
    name[key->mv_size++] = 0; /* the smallest key behind it */
    rc = find(meta, txn, key, value);
    return rc == 0 && *(const char *)key->mv_data != kind ? RILL_ERR_NOT_FOUND : rc;
}

int rill__meta_copy_name(const struct meta *meta, const char *what, const char *bytes,
                         size_t size, char name[RILL_TOPIC_NAME_MAX + 1])
{
    if (size > RILL_TOPIC_NAME_MAX)
        return rill__fail(RILL_ERR_CORRUPT, "%s: a %s's name of %zu bytes", meta->path, what,
                          size);
    memcpy(name, bytes, size);
    name[size] = '\0';
    return 0;
}

int rill__meta_put(struct meta *meta, MDB_txn *txn, const MDB_val *key, uint8_t *value,
                   size_t size)
{
    MDB_val v = {size + 8, value};

    rill__put64(value + size, sum_of(key, value, size));
    return rill__meta_failed(meta, mdb_put(txn, meta->dbi, (MDB_val *)(uintptr_t)key, &v, 0),
                             "writing");
}

int rill__meta_delete_prefix(struct meta *meta, MDB_txn *txn, const MDB_val *prefix)
{
    MDB_cursor *cursor;
    MDB_val key = *prefix;
    MDB_val value;
    int rc = rill__meta_failed(meta, mdb_cursor_open(txn, meta->dbi, &cursor), "cursor");

    if (rc != 0) return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (rc == 0 && key.mv_size >= prefix->mv_size &&
           memcmp(key.mv_data, prefix->mv_data, prefix->mv_size) == 0) {
        rc = mdb_cursor_del(cursor, 0);
        if (rc == 0) rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : rill__meta_failed(meta, rc, "deleting");
}

size_t rill__meta_name_key(uint8_t key[META_KEY_MAX], char kind, const char *name)
{
    size_t size = strlen(name);

    key[0] = (uint8_t)kind;
    memcpy(key + 1, name, size);
    return 1 + size;
}

/* ---- Opening ---------------------------------------------------------- */

static int check_schema(struct meta *meta, MDB_txn *txn, void *arg)
{
    bool create = *(bool *)arg;
    uint8_t bytes[16] = {0};
    MDB_val key = {1, (void *)(uintptr_t) "S"};
    MDB_val value;
    uint32_t version;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == RILL_ERR_NOT_FOUND && create) {
        rill__put32(bytes, META_SCHEMA_VERSION);
        return rill__meta_put(meta, txn, &key, bytes, 8);
    }
    if (rc == RILL_ERR_NOT_FOUND)
        return rill__fail(RILL_ERR_CORRUPT, "%s: the catalogue has no schema record", meta->path);
    if (rc != 0) return rc;
    version = value.mv_size >= 4 ? rill__get32(value.mv_data) : 0;
    if (value.mv_size != 8 || version < META_SCHEMA_OLDEST || version > META_SCHEMA_VERSION ||
        rill__get32((const uint8_t *)value.mv_data + 4) != 0)
        return rill__fail(
            RILL_ERR_FORMAT,
            "%s: the catalogue has schema %u, features %#x; this library (%d.%d.%d) knows "
            "schema %d to %d, features 0; a newer one is needed",
            meta->path, version,
            value.mv_size == 8 ? rill__get32((const uint8_t *)value.mv_data + 4) : 0,
            RILL_VERSION_MAJOR, RILL_VERSION_MINOR, RILL_VERSION_PATCH, META_SCHEMA_OLDEST,
            META_SCHEMA_VERSION);
    return 0;
}

int rill__meta_raise_schema(struct meta *meta, MDB_txn *txn)
{
    uint8_t bytes[16] = {0};
    MDB_val key = {1, (void *)(uintptr_t) "S"};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc != 0) return rc;
    if (rill__get32(value.mv_data) == META_SCHEMA_VERSION) return 0;
    rill__put32(bytes, META_SCHEMA_VERSION);
    return rill__meta_put(meta, txn, &key, bytes, 8);
}

static int ask_schema(struct meta *meta, MDB_txn *txn, void *arg)
{
    MDB_val key = {1, (void *)(uintptr_t) "S"};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == 0) *(uint32_t *)arg = rill__get32(value.mv_data);
    return rc;
}

static int raise_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    (void)arg;
    return rill__meta_raise_schema(meta, txn);
}

int rill__meta_raise(struct meta *meta)
{
    uint32_t version;
    int rc = rill__meta_read(meta, ask_schema, &version);

    if (rc != 0 || version == META_SCHEMA_VERSION) return rc;
    return rill__meta_write(meta, raise_work, NULL);
}

static int open_dbi(struct meta *meta, MDB_txn *txn, void *arg)
{
    (void)arg;
    return rill__meta_failed(meta, mdb_dbi_open(txn, NULL, 0, &meta->dbi), "opening");
}

/* A commit rewrites pages into free ones; with some held ready, committing goes
 * on when the disk is full. */
static void hold_room(struct meta *meta)
{
    struct file data = FILE_NONE;
    uint64_t size;

    mdb_env_get_fd(meta->env, &data.fd); /* an open one has it */
    if (rill__file_size(&data, &size) == 0) rill__file_reserve(&data, size + ROOM_BYTES);
}

int rill__meta_open(struct heap *heap, const char *path, bool create, struct meta **out)
{
    struct meta *meta = rill__alloc(heap, sizeof *meta);
    size_t size = strlen(path);
    int rc;

    if (meta == NULL) return RILL_ERR_NO_MEMORY;
    meta->heap = heap;
    if (size >= sizeof meta->path) size = sizeof meta->path - 1;
    memcpy(meta->path, path, size);
    rill__mutex_init(&meta->lock);
    rill__condition_init(&meta->changed);
    rc = rill__meta_failed(meta, mdb_env_create(&meta->env), "environment");
    if (rc != 0) goto out;
    mdb_env_set_mapsize(meta->env, MAP_FIRST_BYTES);
    mdb_env_set_maxreaders(meta->env, READERS_MAX);
    rc = rill__meta_failed(meta, mdb_env_open(meta->env, path, MDB_NOTLS, 0600), "opening");
    if (rc != 0) goto out;
    hold_room(meta);
    rc = rill__meta_check_readers(meta);
    if (rc == 0) rc = rill__meta_read(meta, open_dbi, NULL);
    if (rc == 0) {
        bool fresh = false;
        rc = rill__meta_read(meta, check_schema, &fresh);
        if (rc == RILL_ERR_CORRUPT && create) rc = rill__meta_write(meta, check_schema, &create);
    }
    if (rc != 0) goto out;
    *out = meta;
    return 0;
out:
    rill__meta_close(meta);
    return rc;
}

void rill__meta_close(struct meta *meta)
{
    if (meta == NULL) return;
    if (meta->env != NULL) mdb_env_close(meta->env);
    rill__condition_deinit(&meta->changed);
    rill__mutex_deinit(&meta->lock);
    rill__free(meta->heap, meta);
}

int rill__meta_check_readers(struct meta *meta)
{
    int dead;
    return rill__meta_failed(meta, mdb_reader_check(meta->env, &dead), "checking readers");
}
