/*
 * api/txn.c - the public functions of transactions and spaces.
 */
#include "api/api.h"

static int check_txn(const char *function, const rill_txn *txn)
{
    if (txn == NULL) return rill__missing(function, "txn");
    return rill__producer_check(rill__txn_producer(txn));
}

int rill_txn_begin(rill_producer *producer, rill_txn **txn)
{
    int rc;

    if (producer == NULL) return rill__missing("rill_txn_begin", "producer");
    if (txn == NULL) return rill__missing("rill_txn_begin", "txn");
    rc = rill__producer_check(producer);
    return rc != 0 ? rc : rill__txn_begin(producer, txn);
}

int rill_txn_send_offsets(rill_txn *txn, rill_consumer *consumer, const rill_position *positions,
                          size_t position_count)
{
    int rc = check_txn("rill_txn_send_offsets", txn);

    if (rc == 0 && consumer == NULL) rc = rill__missing("rill_txn_send_offsets", "consumer");
    if (rc == 0) rc = rill__consumer_check(consumer);
    if (rc == 0) rc = rill__consumer_enter(consumer);
    if (rc != 0) return rc;
    rc = rill__txn_send_offsets(txn, consumer, positions, position_count);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_txn_commit(rill_txn *txn, int timeout_ms)
{
    int rc = check_txn("rill_txn_commit", txn);
    return rc != 0 ? rc : rill__txn_commit(txn, timeout_ms);
}

int rill_txn_abort(rill_txn *txn, int timeout_ms)
{
    int rc = check_txn("rill_txn_abort", txn);
    return rc != 0 ? rc : rill__txn_abort(txn, timeout_ms);
}

int rill_txn_get(rill_txn *txn, rill_space *space, rill_bytes key, rill_bytes *value)
{
    int rc = check_txn("rill_txn_get", txn);

    if (rc == 0 && space == NULL) rc = rill__missing("rill_txn_get", "space");
    if (rc == 0 && value == NULL) rc = rill__missing("rill_txn_get", "value");
    return rc != 0 ? rc : rill__txn_get(txn, space, key, value);
}

int rill_txn_put(rill_txn *txn, rill_space *space, rill_bytes key, rill_bytes value)
{
    int rc = check_txn("rill_txn_put", txn);

    if (rc == 0 && space == NULL) rc = rill__missing("rill_txn_put", "space");
    if (rc == 0 && value.data == NULL) rc = rill__missing("rill_txn_put", "value.data");
    return rc != 0 ? rc : rill__txn_put(txn, space, key, value);
}

int rill_txn_delete(rill_txn *txn, rill_space *space, rill_bytes key)
{
    int rc = check_txn("rill_txn_delete", txn);

    if (rc == 0 && space == NULL) rc = rill__missing("rill_txn_delete", "space");
    return rc != 0 ? rc : rill__txn_put(txn, space, key, (rill_bytes){NULL, 0});
}

/* ---- Spaces ----------------------------------------------------------- */

int rill_space_open(rill *store, const char *name, uint32_t flags, rill_space **space)
{
    int rc = rill__store_check("rill_space_open", store, "name", name);

    if (rc == 0 && space == NULL) rc = rill__missing("rill_space_open", "space");
    return rc != 0 ? rc : rill__space_open(store, name, flags, space);
}

void rill_space_close(rill_space *space)
{
    if (space != NULL) rill__space_close(space);
}

int rill_space_delete(rill *store, const char *name)
{
    int rc = rill__store_check("rill_space_delete", store, "name", name);
    return rc != 0 ? rc : rill__space_delete(store->store, name);
}

int rill_space_list(rill *store, int (*visit)(void *arg, const char *name), void *arg)
{
    int rc = rill__store_check("rill_space_list", store, "visit", visit == NULL ? NULL : "");
    return rc != 0 ? rc : rill__space_list(store->store, visit, arg);
}

int rill_space_get(rill_space *space, rill_bytes key, void *value, size_t room, size_t *size)
{
    if (space == NULL) return rill__missing("rill_space_get", "space");
    if (size == NULL) return rill__missing("rill_space_get", "size");
    if (value == NULL && room != 0) return rill__missing("rill_space_get", "value");
    return rill__space_get(space, key, value, room, size);
}

int rill_view_open(rill *store, rill_view **view)
{
    int rc = rill__store_check("rill_view_open", store, "view", view);
    return rc != 0 ? rc : rill__view_open(store, view);
}

void rill_view_close(rill_view *view)
{
    if (view != NULL) rill__view_close(view);
}

int rill_view_get(rill_view *view, rill_space *space, rill_bytes key, rill_bytes *value)
{
    if (view == NULL) return rill__missing("rill_view_get", "view");
    if (space == NULL) return rill__missing("rill_view_get", "space");
    if (value == NULL) return rill__missing("rill_view_get", "value");
    return rill__view_get(view, space, key, value);
}

int rill_cursor_open(rill_view *view, rill_txn *txn, rill_space *space, const rill_range *range,
                     rill_cursor **cursor)
{
    if (space == NULL) return rill__missing("rill_cursor_open", "space");
    if (cursor == NULL) return rill__missing("rill_cursor_open", "cursor");
    return rill__cursor_open(view, txn, space, range, cursor);
}

int rill_cursor_next(rill_cursor *cursor, rill_bytes *key, rill_bytes *value)
{
    if (cursor == NULL) return rill__missing("rill_cursor_next", "cursor");
    if (key == NULL) return rill__missing("rill_cursor_next", "key");
    if (value == NULL) return rill__missing("rill_cursor_next", "value");
    return rill__cursor_read(cursor, key, value);
}

void rill_cursor_close(rill_cursor *cursor)
{
    if (cursor != NULL) rill__cursor_close(cursor);
}
