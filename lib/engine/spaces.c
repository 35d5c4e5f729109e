/*
 * engine/spaces.c - spaces opened, read at one moment, and walked.
 *
 * A cursor goes from key to key by looking for the next one each time, in the view and, inside
 * of a transaction, in what that has put: the nearer of the two counts, the put one if both
 * are the same. So puts while it walks are seen, and nothing it stands on can go.
 */
#include "engine/txn.h"
#include <inttypes.h>
#include <string.h>

/* ---- Handles ---------------------------------------------------------- */

static int check_name(const char *name)
{
    int rc = rill__check_name("space", name);

    if (rc == 0 && strncmp(name, "__", 2) == 0)
        return rill__fail(RILL_ERR_INVALID, "space %s: names that begin with \"__\" are reserved",
                          name);
    return rc;
}

int rill__space_open(rill *handle, const char *name, uint32_t flags, rill_space **out)
{
    struct store *store = handle->store;
    rill_space *space;
    bool twice = false;
    int rc = check_name(name);

    if (rc != 0) return rc;
    if ((flags & ~RILL_SPACE_CREATE) != 0)
        return rill__fail(RILL_ERR_INVALID,
                          "space %s: flags %#x; only RILL_SPACE_CREATE is known", name, flags);
    space = rill__alloc(&store->heap, sizeof *space);
    if (space == NULL) return RILL_ERR_NO_MEMORY;
    space->handle = handle;
    memcpy(space->name, name, strlen(name) + 1);
    rc = rill__meta_space_open(store->meta, name, (flags & RILL_SPACE_CREATE) != 0,
                               &space->number);
    rill__mutex_lock(&store->clients_lock);
    for (rill_space *s = store->spaces; rc == 0 && s != NULL; s = s->next)
        if (s->handle == handle && strcmp(s->name, name) == 0) twice = true;
    if (rc == 0 && !twice) {
        space->next = store->spaces;
        store->spaces = space;
    }
    rill__mutex_unlock(&store->clients_lock);
    if (twice) rc = rill__fail(RILL_ERR_STATE, "space %s is open already", name);
    if (rc != 0) {
        rill__free(&store->heap, space);
        return rc;
    }
    atomic_fetch_add(&handle->children, 1);
    *out = space;
    return 0;
}

void rill__space_close(rill_space *space)
{
    struct store *store = space->handle->store;
    rill_space **at;

    rill__mutex_lock(&store->clients_lock);
    for (at = &store->spaces; *at != space; at = &(*at)->next) {}
    *at = space->next;
    rill__mutex_unlock(&store->clients_lock);
    atomic_fetch_sub(&space->handle->children, 1);
    rill__free(&store->heap, space);
}

static int writer_of(struct store *store, const char *name, int64_t *producer_id)
{
    char at[RILL_TOPIC_NAME_MAX + 1] = "";
    int rc;

    do rc = rill__meta_space_after(store->meta, at, at, NULL, producer_id);
    while (rc == 0 && strcmp(at, name) != 0);
    return rc;
}

/* One that may be written by a producer that is gone is deleted, too. */
int rill__space_delete(struct store *store, const char *name)
{
    int64_t writer;
    int rc = check_name(name);

    if (rc == 0) rc = rill__meta_space_delete(store->meta, name, -1);
    if (rc != RILL_ERR_STATE || writer_of(store, name, &writer) != 0) return rc;
    if (!rill__writer_is_gone(store, writer))
        return rill__fail(rc, "space %s is written by producer id %" PRId64 ", which is open",
                          name, writer);
    return rill__meta_space_delete(store->meta, name, writer);
}

int rill__space_list(struct store *store, int (*visit)(void *arg, const char *name), void *arg)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    int rc;

    while ((rc = rill__meta_space_after(store->meta, name, name, NULL, NULL)) == 0) {
        int answer = visit(arg, name);
        if (answer != 0) return answer;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

/* ---- Views ------------------------------------------------------------ */

int rill__view_open(rill *handle, rill_view **out)
{
    rill_view *view = rill__alloc(&handle->store->heap, sizeof *view);
    int rc;

    if (view == NULL) return RILL_ERR_NO_MEMORY;
    view->handle = handle;
    rc = rill__meta_view_open(handle->store->meta, &view->meta);
    if (rc != 0) {
        rill__free(&handle->store->heap, view);
        return rc;
    }
    atomic_fetch_add(&handle->children, 1);
    *out = view;
    return 0;
}

void rill__view_close(rill_view *view)
{
    rill__meta_view_close(view->meta);
    atomic_fetch_sub(&view->handle->children, 1);
    rill__free(&view->handle->store->heap, view);
}

int rill__view_get(rill_view *view, rill_space *space, rill_bytes key, rill_bytes *value)
{
    rill_bytes found;
    int rc;

    if (space->handle->store != view->handle->store)
        return rill__fail(RILL_ERR_INVALID, "space %s is of another store", space->name);
    rc = rill__meta_view_get(view->meta, space->number, key, &found);
    if (rc == RILL_ERR_NOT_FOUND) return rill__fail(rc, "space %s has no such key", space->name);
    if (rc == 0) *value = found;
    return rc;
}

int rill__space_get(rill_space *space, rill_bytes key, void *value, size_t room, size_t *size)
{
    struct meta_view *view;
    rill_bytes found;
    int rc = rill__meta_view_open(space->handle->store->meta, &view);

    if (rc != 0) return rc;
    rc = rill__meta_view_get(view, space->number, key, &found);
    if (rc == RILL_ERR_NOT_FOUND) rill__fail(rc, "space %s has no such key", space->name);
    if (rc == 0) {
        if (found.size != 0 && room != 0)
            memcpy(value, found.data, found.size < room ? found.size : room);
        *size = found.size;
        if (found.size > room)
            rc = rill__fail(RILL_ERR_TOO_BIG, "space %s: a value of %zu bytes, room for %zu",
                            space->name, found.size, room);
    }
    rill__meta_view_close(view);
    return rc;
}

/* ---- Cursors ---------------------------------------------------------- */

/* A bound, copied. */
struct bound {
    bool is_set;
    size_t size;
    uint8_t bytes[RILL_SPACE_KEY_MAX];
};

struct rill_cursor {
    rill_view *view;
    rill_txn *txn;
    rill_space *space;
    bool reverse;
    struct bound
        at;     /* the next key is behind it; not set: begin at the end that is walked from */
    bool after; /* and not it itself */
    struct bound stop;
};

static int set_bound(struct bound *bound, rill_bytes bytes)
{
    if (bytes.data == NULL) return 0;
    if (bytes.size > sizeof bound->bytes)
        return rill__fail(RILL_ERR_TOO_BIG, "a bound of %zu bytes; keys have at most %d",
                          bytes.size, RILL_SPACE_KEY_MAX);
    memcpy(bound->bytes, bytes.data, bytes.size);
    bound->size = bytes.size;
    bound->is_set = true;
    return 0;
}

int rill__cursor_open(rill_view *view, rill_txn *txn, rill_space *space, const rill_range *range,
                      rill_cursor **out)
{
    struct store *store = space->handle->store;
    struct rill_cursor *cursor;
    rill_bytes ignored;
    int rc = 0;

    if ((view == NULL) == (txn == NULL))
        return rill__fail(RILL_ERR_INVALID, "a cursor is of a view, or of a transaction");
    if (txn != NULL) {
        rc = rill__txn_get(txn, space, (rill_bytes){"", 0}, &ignored); /* claims it */
        if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc;
    }
    cursor = rill__alloc(&store->heap, sizeof *cursor);
    if (cursor == NULL) return RILL_ERR_NO_MEMORY;
    cursor->view = view;
    cursor->txn = txn;
    cursor->space = space;
    rc = 0;
    if (range != NULL) {
        cursor->reverse = range->reverse != 0;
        rc = set_bound(cursor->reverse ? &cursor->stop : &cursor->at, range->from);
        if (rc == 0) rc = set_bound(cursor->reverse ? &cursor->at : &cursor->stop, range->to);
        cursor->after = cursor->reverse; /* to is not in the range, from is */
    }
    if (rc != 0) {
        rill__free(&store->heap, cursor);
        return rc;
    }
    if (txn != NULL) txn->cursors++;
    *out = cursor;
    return 0;
}

void rill__cursor_close(rill_cursor *cursor)
{
    if (cursor->txn != NULL) cursor->txn->cursors--;
    rill__free(&cursor->space->handle->store->heap, cursor);
}

static int compare_bytes(rill_bytes a, rill_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* The next one of both; *found false: there is none. */
static int next_of_both(struct rill_cursor *c, rill_bytes from, rill_bytes *key,
                        rill_bytes *value)
{
    struct meta_view *view;
    rill_bytes own_key;
    rill_bytes own_value;
    bool own;
    int rc = c->txn != NULL ? rill__txn_view(c->txn) : 0;

    if (rc != 0) return rc;
    view = c->txn != NULL ? c->txn->view : c->view->meta;
    rc = rill__meta_view_next(view, c->space->number, from, c->after, c->reverse, key, value);
    if ((rc != 0 && rc != RILL_ERR_NOT_FOUND) || c->txn == NULL) return rc;
    own = rill__overlay_next(&c->txn->overlay, c->space->number, from, c->after, c->reverse,
                             &own_key, &own_value);
    if (own && (rc != 0 || (c->reverse ? compare_bytes(own_key, *key) >= 0
                                       : compare_bytes(own_key, *key) <= 0))) {
        *key = own_key;
        *value = own_value;
        rc = 0;
    }
    return rc;
}

static bool is_beyond(const struct rill_cursor *c, rill_bytes key)
{
    rill_bytes stop = {c->stop.bytes, c->stop.size};

    if (!c->stop.is_set) return false;
    return c->reverse ? compare_bytes(key, stop) < 0 : compare_bytes(key, stop) >= 0;
}

int rill__cursor_read(rill_cursor *c, rill_bytes *key, rill_bytes *value)
{
    for (;;) {
        rill_bytes from = {c->at.is_set ? c->at.bytes : NULL, c->at.size};
        rill_bytes next_key;
        rill_bytes next_value;
        int rc = next_of_both(c, from, &next_key, &next_value);

        if (rc == 0 && is_beyond(c, next_key)) rc = RILL_ERR_NOT_FOUND;
        if (rc == RILL_ERR_NOT_FOUND)
            return rill__fail(rc, "space %s: there are no more keys", c->space->name);
        if (rc != 0) return rc;
        memcpy(c->at.bytes, next_key.data, next_key.size);
        c->at.size = next_key.size;
        c->at.is_set = true;
        c->after = true;
        if (next_value.data == NULL) continue; /* deleted by the transaction */
        *key = next_key;
        *value = next_value;
        return 0;
    }
}
