/*
 * meta/spaces.c - key/value spaces that applications keep in the catalogue.
 *
 * A space is a number, and a key in it is the number and the application's bytes, so that
 * LMDB's order of keys is the order of theirs, by memcmp. They are written by decisions
 * only (decide.c); here is what makes and frees spaces, and reads them.
 *
 * A view is a read transaction that stays open. While there are any in this process the
 * map cannot grow, which a write then waits for and gives up on.
 */
#include "base/bytes.h"
#include "meta/inner.h"
#include <inttypes.h>

struct space {
    uint32_t number;
    int64_t owner; /* producer id that may write it; -1: anyone may claim it */
    int64_t created_ms;
};

/* ---- Keys and values -------------------------------------------------- */

size_t rill__meta_space_key(uint8_t key[META_KEY_LARGEST], uint32_t space, rill_bytes of)
{
    key[0] = 'K';
    for (int i = 0; i < 4; i++) key[1 + i] = (uint8_t)(space >> (24 - 8 * i));
    if (of.size != 0) memcpy(key + 5, of.data, of.size);
    return 5 + of.size;
}

static int read_space(struct meta *meta, MDB_txn *txn, const char *name, struct space *space)
{
    uint8_t bytes[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(bytes, 'D', name), bytes};
    MDB_val value;
    const uint8_t *v;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == RILL_ERR_NOT_FOUND) return rill__fail(rc, "there is no space %s", name);
    if (rc != 0) return rc;
    v = value.mv_data;
    if (value.mv_size != META_SPACE_SIZE)
        return rill__fail(RILL_ERR_CORRUPT, "%s: the record of space %s has %zu bytes",
                          meta->path, name, value.mv_size);
    *space =
        (struct space){rill__get32(v), (int64_t)rill__get64(v + 8), (int64_t)rill__get64(v + 16)};
    return 0;
}

static int write_space(struct meta *meta, MDB_txn *txn, const char *name,
                       const struct space *space)
{
    uint8_t bytes[META_KEY_MAX];
    uint8_t v[META_SPACE_SIZE + 8] = {0};
    MDB_val key = {rill__meta_name_key(bytes, 'D', name), bytes};

    rill__put32(v, space->number);
    rill__put64(v + 8, (uint64_t)space->owner);
    rill__put64(v + 16, (uint64_t)space->created_ms);
    return rill__meta_put(meta, txn, &key, v, META_SPACE_SIZE);
}

/* ---- Making and freeing ----------------------------------------------- */

struct space_work {
    const char *name;
    char *name_out;
    int64_t owner;
    int64_t in_place_of;
    int64_t held;
    struct space space;
};

static int next_number(struct meta *meta, MDB_txn *txn, uint32_t *number)
{
    uint8_t v[16] = {0};
    MDB_val key = {1, (void *)(uintptr_t) "N"};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    *number = 0;
    if (rc == 0 && value.mv_size != 8)
        return rill__fail(RILL_ERR_CORRUPT, "%s: the next space number has %zu bytes", meta->path,
                          value.mv_size);
    if (rc == 0) *number = rill__get32(value.mv_data);
    else if (rc != RILL_ERR_NOT_FOUND) return rc;
    rill__put32(v, *number + 1);
    return rill__meta_put(meta, txn, &key, v, 8);
}

static int get_space_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct space_work *work = arg;
    return read_space(meta, txn, work->name, &work->space);
}

static int make_space_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct space_work *work = arg;
    int rc = read_space(meta, txn, work->name, &work->space);

    if (rc != RILL_ERR_NOT_FOUND) return rc;
    work->space = (struct space){.owner = -1, .created_ms = rill__now_ms()};
    rc = next_number(meta, txn, &work->space.number);
    return rc == 0 ? write_space(meta, txn, work->name, &work->space) : rc;
}

int rill__meta_space_open(struct meta *meta, const char *name, bool create, uint32_t *number)
{
    struct space_work work = {.name = name};
    int rc = rill__meta_read(meta, get_space_work, &work);

    if (rc == RILL_ERR_NOT_FOUND && create) rc = rill__meta_write(meta, make_space_work, &work);
    if (rc == 0) *number = work.space.number;
    return rc;
}

static int delete_space_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct space_work *work = arg;
    uint8_t bytes[META_KEY_LARGEST];
    MDB_val key = {0, bytes};
    int rc = read_space(meta, txn, work->name, &work->space);

    if (rc != 0) return rc;
    if (work->space.owner >= 0 && work->space.owner != work->owner)
        return rill__fail(RILL_ERR_STATE, "space %s is written by producer id %" PRId64,
                          work->name, work->space.owner);
    key.mv_size = rill__meta_space_key(bytes, work->space.number, (rill_bytes){NULL, 0});
    rc = rill__meta_delete_prefix(meta, txn, &key);
    if (rc != 0) return rc;
    key.mv_size = rill__meta_name_key(bytes, 'D', work->name);
    return rill__meta_failed(meta, mdb_del(txn, meta->dbi, &key, NULL), "deleting");
}

int rill__meta_space_delete(struct meta *meta, const char *name, int64_t owner)
{
    struct space_work work = {.name = name, .owner = owner};
    return rill__meta_write(meta, delete_space_work, &work);
}

static int space_after_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct space_work *work = arg;
    MDB_val key;
    MDB_val value;
    int rc = rill__meta_next(meta, txn, 'D', work->name, &key, &value);

    if (rc == 0)
        rc = rill__meta_copy_name(meta, "space", (const char *)key.mv_data + 1, key.mv_size - 1,
                                  work->name_out);
    return rc == 0 ? read_space(meta, txn, work->name_out, &work->space) : rc;
}

int rill__meta_space_after(struct meta *meta, const char *after, char *name, uint32_t *number,
                           int64_t *owner)
{
    char next[RILL_TOPIC_NAME_MAX + 1]; /* after may be name */
    struct space_work work = {.name = after, .name_out = next};
    int rc = rill__meta_read(meta, space_after_work, &work);

    if (rc != 0) return rc;
    memcpy(name, next, strlen(next) + 1);
    if (number != NULL) *number = work.space.number;
    if (owner != NULL) *owner = work.space.owner;
    return 0;
}

/* ---- Who may write ---------------------------------------------------- */

static int claim_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct space_work *work = arg;
    int rc = read_space(meta, txn, work->name, &work->space);

    if (rc != 0) return rc;
    work->held = work->space.owner;
    if (work->held == work->owner) return 0;
    if (work->held >= 0 && work->held != work->in_place_of) return 0;
    work->held = work->owner;
    work->space.owner = work->owner;
    return write_space(meta, txn, work->name, &work->space);
}

int rill__meta_space_claim(struct meta *meta, const char *name, int64_t producer_id,
                           int64_t in_place_of, int64_t *held)
{
    struct space_work work = {.name = name, .owner = producer_id, .in_place_of = in_place_of};
    int rc = rill__meta_write(meta, claim_work, &work);

    if (rc == 0) *held = work.held;
    return rc;
}

bool rill__meta_space_is_owned(struct meta *meta, MDB_txn *txn, const char *name,
                               int64_t producer_id, int *rc)
{
    struct space space;

    *rc = read_space(meta, txn, name, &space);
    return *rc == 0 && space.owner == producer_id;
}

int rill__meta_spaces_release(struct meta *meta, MDB_txn *txn, int64_t producer_id)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    int rc;

    for (;;) {
        struct space_work next = {.name = name, .name_out = name};
        rc = space_after_work(meta, txn, &next);
        if (rc != 0) return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
        if (next.space.owner != producer_id) continue;
        next.space.owner = -1;
        rc = write_space(meta, txn, name, &next.space);
        if (rc != 0) return rc;
    }
}

/* ---- Views ------------------------------------------------------------ */

struct meta_view {
    struct meta *meta;
    MDB_txn *txn;
    MDB_cursor *cursor;
};

int rill__meta_view_open(struct meta *meta, struct meta_view **out)
{
    struct meta_view *view = rill__alloc(meta->heap, sizeof *view);
    int rc;

    if (view == NULL) return RILL_ERR_NO_MEMORY;
    view->meta = meta;
    rc = rill__meta_begin_view(meta, &view->txn);
    if (rc != 0) {
        rill__free(meta->heap, view);
        return rc;
    }
    rc = rill__meta_failed(meta, mdb_cursor_open(view->txn, meta->dbi, &view->cursor), "cursor");
    if (rc != 0) {
        rill__meta_view_close(view);
        return rc;
    }
    *out = view;
    return 0;
}

void rill__meta_view_close(struct meta_view *view)
{
    if (view == NULL) return;
    if (view->cursor != NULL) mdb_cursor_close(view->cursor);
    rill__meta_end_view(view->meta, view->txn);
    rill__free(view->meta->heap, view);
}

int rill__meta_view_get(struct meta_view *view, uint32_t space, rill_bytes of, rill_bytes *value)
{
    uint8_t bytes[META_KEY_LARGEST];
    MDB_val key = {0, bytes};
    MDB_val found;
    int rc;

    if (of.size > META_SPACE_KEY_MAX) return RILL_ERR_NOT_FOUND;
    key.mv_size = rill__meta_space_key(bytes, space, of);
    rc = rill__meta_get(view->meta, view->txn, &key, &found);
    if (rc == 0) *value = (rill_bytes){found.mv_data, found.mv_size};
    return rc;
}

/* Puts the cursor at the first key at or behind `from`; MDB_NOTFOUND: behind all. */
static int place_forward(struct meta_view *view, MDB_val *key, MDB_val *value, bool after)
{
    MDB_val from = *key;
    int code = mdb_cursor_get(view->cursor, key, value, MDB_SET_RANGE);

    if (code == 0 && after && key->mv_size == from.mv_size &&
        memcmp(key->mv_data, from.mv_data, from.mv_size) == 0)
        code = mdb_cursor_get(view->cursor, key, value, MDB_NEXT);
    return code;
}

/* At the last key at or before it. */
static int place_backward(struct meta_view *view, MDB_val *key, MDB_val *value, bool before)
{
    MDB_val from = *key;
    int code = mdb_cursor_get(view->cursor, key, value, MDB_SET_RANGE);

    if (code == MDB_NOTFOUND) return mdb_cursor_get(view->cursor, key, value, MDB_LAST);
    if (code == 0 && (before || key->mv_size != from.mv_size ||
                      memcmp(key->mv_data, from.mv_data, from.mv_size) != 0))
        code = mdb_cursor_get(view->cursor, key, value, MDB_PREV);
    return code;
}

int rill__meta_view_next(struct meta_view *view, uint32_t space, rill_bytes from, bool after,
                         bool reverse, rill_bytes *out_key, rill_bytes *out_value)
{
    uint8_t bytes[META_KEY_LARGEST];
    uint8_t head[META_KEY_LARGEST];
    MDB_val key = {0, bytes};
    MDB_val value;
    int code;
    int rc;

    rill__meta_space_key(head, space, (rill_bytes){NULL, 0});
    if (from.size > META_SPACE_KEY_MAX)
        return rill__fail(RILL_ERR_TOO_BIG, "a key of %zu bytes; at most %d", from.size,
                          META_SPACE_KEY_MAX);
    key.mv_size = rill__meta_space_key(bytes, space, from);
    if (from.data == NULL) {
        after = false;
        if (reverse) { /* the end of the space is the beginning of the next one */
            key.mv_size = rill__meta_space_key(bytes, space + 1, (rill_bytes){NULL, 0});
            if (space == UINT32_MAX) bytes[0]++;
            after = true;
        }
    }
    code = reverse ? place_backward(view, &key, &value, after)
                   : place_forward(view, &key, &value, after);
    if (code == MDB_NOTFOUND) return RILL_ERR_NOT_FOUND;
    rc = rill__meta_failed(view->meta, code, "reading");
    if (rc != 0) return rc;
    if (key.mv_size < 5 || memcmp(key.mv_data, head, 5) != 0) return RILL_ERR_NOT_FOUND;
    rc = rill__meta_check_value(view->meta, &key, &value);
    if (rc != 0) return rc;
    *out_key = (rill_bytes){(const uint8_t *)key.mv_data + 5, key.mv_size - 5};
    *out_value = (rill_bytes){value.mv_data, value.mv_size};
    return 0;
}
