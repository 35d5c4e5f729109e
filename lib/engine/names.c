/*
 * engine/names.c - names of producers that nobody has any more.
 *
 * A producer that dies, or is closed while a partition cannot be written, may leave a decision
 * whose markers are missing. Whoever reads such a partition writes the marker there, and the
 * next instance writes all of them; here maintenance does, so that a job that never comes back is
 * finished too. After that nothing depends on a transactional_id: a new instance begins its
 * transactions anew, and what the logs have of the old producer id is aborted as that of an id
 * without a name. So it is forgotten when producer_id_expiration_ms have passed; too early, if
 * the wall clock jumps, does no harm. A producer_name is kept: its sequences tell what comes
 * again.
 *
 * All names are looked at in one short read of the catalogue. When that has not changed since,
 * and no decision waits whose owner may die, the next look has time until one might expire.
 */
#include "engine/txn.h"
#include <string.h>

#define LOOK_EVERY_MS 600000
#define STEP_MS 500 /* then it is for the next round */

struct names_look {
    struct store *store;
    int64_t now_ms;
    bool waiting; /* there is a decision of somebody who is alive */
};

static bool has_no_owner(struct store *store, const struct meta_name *name)
{
    return !name->owned || rill__process_is_gone(store, name->owner.slot, name->owner.ticket);
}

static bool is_name_expired(const struct names_look *look, const struct meta_name *name)
{
    uint64_t expiration_ms = look->store->options.producer_id_expiration_ms;

    return name->transactional && name->decided_epoch < 0 && look->now_ms > name->changed_ms &&
           (uint64_t)(look->now_ms - name->changed_ms) >= expiration_ms;
}

/* Something is to be done about it. */
static bool is_left(void *arg, const struct meta_name *name)
{
    struct names_look *look = arg;

    if (name->decided_epoch < 0 && !is_name_expired(look, name)) return false;
    if (has_no_owner(look->store, name)) return true;
    look->waiting |= name->decided_epoch >= 0;
    return false;
}

/* In the write that deletes it. */
static bool may_forget(void *arg, const struct meta_name *name)
{
    struct names_look *look = arg;
    return is_name_expired(look, name) && has_no_owner(look->store, name);
}

static int tend_name(struct names_look *look, const char *name, const struct meta_name *found)
{
    struct store *store = look->store;
    int rc;

    if (found->decided_epoch >= 0) {
        rc = rill__settle_name(store, name, found, rill__deadline(STEP_MS));
        look->waiting |= rc != 0;
        return rc == RILL_ERR_TIMEOUT ? 0 : rc;
    }
    rc = rill__meta_name_delete(store->meta, name, may_forget, look);
    /* Somebody has taken it, or deleted it, meanwhile. */
    return rc == RILL_ERR_STATE || rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

static int look_at_names(struct names_look *look)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    struct meta_name found;
    struct saved_message why;
    int first = 0;
    int rc;

    while ((rc = rill__meta_name_find(look->store->meta, name, is_left, look, name, &found)) ==
           0) {
        rc = tend_name(look, name, &found);
        rill__free(&look->store->heap, found.decided);
        if (rc == 0 || first != 0) continue;
        first = rc; /* the others are looked at all the same */
        rill__message_save(&why);
    }
    if (first != 0) rill__message_restore(&why);
    if (first == 0 && rc != RILL_ERR_NOT_FOUND) first = rc;
    return first;
}

int rill__names_tend(struct store *store)
{
    uint64_t expiration_ms = store->options.producer_id_expiration_ms;
    int64_t every =
        expiration_ms / 4 < LOOK_EVERY_MS ? (int64_t)expiration_ms / 4 : LOOK_EVERY_MS;
    struct names_look look = {.store = store, .now_ms = rill__now_ms()};
    int64_t now_ms = rill__monotonic_ns() / 1000000;
    uint64_t change;
    int rc;

    if (!rill__mutex_trylock(&store->names_lock)) return 0; /* another thread is at it */
    rc = rill__meta_last_change(store->meta, &change);
    if (rc == 0 && (change != store->names_change || store->names_waiting ||
                    now_ms >= store->names_due_ms)) {
        rc = look_at_names(&look);
        store->names_change = change;
        store->names_waiting = look.waiting;
        store->names_due_ms = now_ms + every;
    }
    rill__mutex_unlock(&store->names_lock);
    return rc;
}
