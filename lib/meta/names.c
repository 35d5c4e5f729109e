/*
 * meta/names.c - producers that have a name, and the last word on their transactions.
 *
 * A name has a producer id and an epoch. Whoever takes the name raises the epoch; so does
 * every commit, and every judgement that a transaction is to be aborted. A decision is only
 * taken in the epoch that the name has, so for each epoch there is one answer for ever:
 *
 *     the name's epoch is e          the transaction of e is open, its owner may decide
 *     it is higher, e was decided    commit, wherever a record of it is found
 *     it is higher                   abort
 *
 * A decision is kept until its markers are written; so there is at most one per name,
 * and the next one finds it settled. No transaction is open in the last epoch of an id:
 * a name that is there gets another id when it is taken. What the log has of the old one is
 * answered with abort, and its decision was settled before.
 */
#include "base/bytes.h"
#include "meta/inner.h"
#include <inttypes.h>

enum { BIT_TRANSACTIONAL = META_NAME_TRANSACTIONAL, BIT_OWNED = 2, EPOCH_LAST = INT16_MAX - 1 };

/* ---- Keys and values -------------------------------------------------- */

size_t rill__meta_id_key(uint8_t key[META_KEY_MAX], int64_t producer_id)
{
    key[0] = 'Q';
    for (int i = 0; i < 8; i++) key[1 + i] = (uint8_t)((uint64_t)producer_id >> (56 - 8 * i));
    return 9;
}

static int decode_name(struct meta *meta, const MDB_val *value, struct meta_name *name)
{
    const uint8_t *v = value->mv_data;
    size_t count;

    memset(name, 0, sizeof *name);
    name->decided_epoch = -1;
    if (value->mv_size < META_NAME_SIZE) goto damaged;
    name->producer_id = (int64_t)rill__get64(v);
    name->epoch = (int16_t)rill__get16(v + 8);
    name->transactional = (rill__get16(v + 10) & BIT_TRANSACTIONAL) != 0;
    name->owned = (rill__get16(v + 10) & BIT_OWNED) != 0;
    name->timeout_ms = rill__get32(v + 12);
    name->owner =
        (struct meta_owner){rill__get32(v + 16), rill__get32(v + 20), rill__get64(v + 24)};
    name->changed_ms = (int64_t)rill__get64(v + 32);
    if (name->producer_id < 0 || name->epoch < 0) goto damaged;
    if (value->mv_size == META_NAME_SIZE) return 0;
    if (value->mv_size < META_NAME_SIZE + META_DECISION_SIZE) goto damaged;
    v += META_NAME_SIZE;
    name->decided_epoch = (int16_t)rill__get16(v);
    count = rill__get32(v + 4);
    if (value->mv_size != META_NAME_SIZE + META_DECISION_SIZE + count * META_DECIDED_SIZE)
        goto damaged;
    name->decided = rill__alloc(meta->heap, count * sizeof *name->decided);
    if (name->decided == NULL) return RILL_ERR_NO_MEMORY;
    name->decided_count = count;
    for (size_t i = 0; i < count; i++) {
        memcpy(name->decided[i].topic_id, v + META_DECISION_SIZE + i * META_DECIDED_SIZE, 16);
        name->decided[i].partition =
            (int32_t)rill__get32(v + META_DECISION_SIZE + i * META_DECIDED_SIZE + 16);
    }
    return 0;
damaged:
    return rill__fail(RILL_ERR_CORRUPT, "%s: the record of a producer's name has %zu bytes",
                      meta->path, value->mv_size);
}

int rill__meta_read_name(struct meta *meta, MDB_txn *txn, const char *name,
                         struct meta_name *found)
{
    uint8_t bytes[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(bytes, 'X', name), bytes};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    return rc == 0 ? decode_name(meta, &value, found) : rc;
}

int rill__meta_write_name(struct meta *meta, MDB_txn *txn, const char *name,
                          const struct meta_name *n)
{
    uint8_t bytes[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(bytes, 'X', name), bytes};
    size_t size = META_NAME_SIZE;
    uint8_t *value;
    uint8_t *at;
    int rc;

    if (n->decided_epoch >= 0) size += META_DECISION_SIZE + n->decided_count * META_DECIDED_SIZE;
    value = rill__alloc(meta->heap, size + 8);
    if (value == NULL) return RILL_ERR_NO_MEMORY;
    rill__put64(value, (uint64_t)n->producer_id);
    rill__put16(value + 8, (uint16_t)n->epoch);
    rill__put16(value + 10, (uint16_t)((n->transactional ? BIT_TRANSACTIONAL : 0) |
                                       (n->owned ? BIT_OWNED : 0)));
    rill__put32(value + 12, n->timeout_ms);
    rill__put32(value + 16, n->owner.slot);
    rill__put32(value + 20, n->owner.instance);
    rill__put64(value + 24, n->owner.ticket);
    rill__put64(value + 32, (uint64_t)n->changed_ms);
    if (n->decided_epoch >= 0) {
        rill__put16(value + META_NAME_SIZE, (uint16_t)n->decided_epoch);
        rill__put32(value + META_NAME_SIZE + 4, (uint32_t)n->decided_count);
        at = value + META_NAME_SIZE + META_DECISION_SIZE;
        for (size_t i = 0; i < n->decided_count; i++, at += META_DECIDED_SIZE) {
            memcpy(at, n->decided[i].topic_id, 16);
            rill__put32(at + 16, (uint32_t)n->decided[i].partition);
        }
    }
    rc = rill__meta_put(meta, txn, &key, value, size);
    rill__free(meta->heap, value);
    return rc;
}

/* ---- Producer ids ----------------------------------------------------- */

static int next_ids(struct meta *meta, MDB_txn *txn, uint32_t count, int64_t *first)
{
    uint8_t v[16];
    MDB_val key = {1, (void *)(uintptr_t) "P"};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    *first = 0;
    if (rc == 0 && value.mv_size != 8)
        return rill__fail(RILL_ERR_CORRUPT, "%s: the next producer id has %zu bytes", meta->path,
                          value.mv_size);
    if (rc == 0) *first = (int64_t)rill__get64(value.mv_data);
    else if (rc != RILL_ERR_NOT_FOUND) return rc;
    rill__put64(v, (uint64_t)(*first + count));
    return rill__meta_put(meta, txn, &key, v, 8);
}

struct ids_work {
    uint32_t count;
    int64_t first;
};

static int ids_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct ids_work *work = arg;
    return next_ids(meta, txn, work->count, &work->first);
}

int rill__meta_producer_ids(struct meta *meta, uint32_t count, int64_t *first)
{
    struct ids_work work = {count, 0};
    int rc = rill__meta_write(meta, ids_work, &work);

    if (rc == 0) *first = work.first;
    return rc;
}

/* A name gets an id that it has not had. */
static int give_id(struct meta *meta, MDB_txn *txn, const char *name, struct meta_name *n)
{
    uint8_t bytes[META_KEY_MAX];
    uint8_t value[RILL_TOPIC_NAME_MAX + 8];
    MDB_val key = {0, bytes};
    int rc = next_ids(meta, txn, 1, &n->producer_id);

    if (rc != 0) return rc;
    n->epoch = 0;
    key.mv_size = rill__meta_id_key(bytes, n->producer_id);
    memcpy(value, name, strlen(name));
    return rill__meta_put(meta, txn, &key, value, strlen(name));
}

/* ---- Taking and giving up --------------------------------------------- */

struct name_work {
    const char *name;
    char *name_out;
    int64_t producer_id;
    int16_t epoch;
    bool transactional;
    uint32_t timeout_ms;
    struct meta_owner owner;
    bool renew;
    bool commit;
    struct meta_name was;
    struct meta_name now;
    bool (*asked)(void *arg, const struct meta_name *name);
    void *arg;
};

static void drop_found(struct meta *meta, struct meta_name *name)
{
    rill__free(meta->heap, name->decided);
    name->decided = NULL;
}

/* A new epoch for a new instance. A decision that is not settled is of this id: it must
 * be found under it. */
static int raise_epoch(struct meta *meta, MDB_txn *txn, const char *name, struct meta_name *n)
{
    if (n->epoch >= EPOCH_LAST && n->decided_epoch < 0) return give_id(meta, txn, name, n);
    if (n->epoch == INT16_MAX)
        return rill__fail(RILL_ERR_STATE,
                          "producer %s: all epochs are used up, and its last transaction is not "
                          "settled; close it, call rill_maintain, then again",
                          name);
    n->epoch++;
    return 0;
}

static bool is_owned_by(const struct meta_name *n, const struct meta_owner *owner)
{
    return n->owned && n->owner.slot == owner->slot && n->owner.instance == owner->instance &&
           n->owner.ticket == owner->ticket;
}

static int take_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct name_work *work = arg;
    int rc;

    drop_found(meta, &work->was); /* of an earlier run */
    rc = rill__meta_read_name(meta, txn, work->name, &work->was);
    if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc;
    if (work->renew && (rc != 0 || !is_owned_by(&work->was, &work->owner)))
        return rill__fail(RILL_ERR_FENCED, "the producer named %s has a newer instance",
                          work->name);
    if (work->renew) {
        work->transactional = work->was.transactional;
        work->timeout_ms = work->was.timeout_ms;
    }
    if (rc == RILL_ERR_NOT_FOUND) {
        work->was = (struct meta_name){.producer_id = -1, .decided_epoch = -1};
        work->now = work->was;
        rc = give_id(meta, txn, work->name, &work->now);
    } else {
        work->now = work->was;
        if (work->was.transactional != work->transactional)
            return rill__fail(RILL_ERR_STATE, "\"%s\" is the name of a producer %s transactions",
                              work->name, work->was.transactional ? "with" : "without");
        rc = raise_epoch(meta, txn, work->name, &work->now);
        if (rc == 0 && work->now.producer_id != work->was.producer_id)
            rc = rill__meta_spaces_release(meta, txn, work->was.producer_id);
    }
    if (rc != 0) return rc;
    work->now.transactional = work->transactional;
    work->now.owned = true;
    work->now.timeout_ms = work->timeout_ms;
    work->now.owner = work->owner;
    work->now.changed_ms = rill__now_ms();
    return rill__meta_write_name(meta, txn, work->name, &work->now);
}

static int take_name(struct meta *meta, struct name_work *work, struct meta_name *was,
                     struct meta_name *now)
{
    int rc = rill__meta_write(meta, take_work, work);

    if (rc != 0) {
        drop_found(meta, &work->was);
        return rc;
    }
    *was = work->was;
    *now = work->now;
    now->decided = NULL; /* was has it */
    return 0;
}

int rill__meta_name_take(struct meta *meta, const char *name, bool transactional,
                         uint32_t timeout_ms, struct meta_owner owner, struct meta_name *was,
                         struct meta_name *now)
{
    struct name_work work = {
        .name = name, .transactional = transactional, .timeout_ms = timeout_ms, .owner = owner};

    return take_name(meta, &work, was, now);
}

int rill__meta_name_renew(struct meta *meta, const char *name, struct meta_owner owner,
                          struct meta_name *was, struct meta_name *now)
{
    struct name_work work = {.name = name, .owner = owner, .renew = true};

    return take_name(meta, &work, was, now);
}

static int release_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct name_work *work = arg;
    struct meta_name n = {.decided = NULL};
    int rc = rill__meta_read_name(meta, txn, work->name, &n);

    if (rc == 0 && is_owned_by(&n, &work->owner)) {
        n.owned = false;
        n.changed_ms = rill__now_ms();
        rc = rill__meta_write_name(meta, txn, work->name, &n);
        if (rc == 0) rc = rill__meta_spaces_release(meta, txn, n.producer_id);
    }
    drop_found(meta, &n);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

int rill__meta_name_release(struct meta *meta, const char *name, struct meta_owner owner)
{
    struct name_work work = {.name = name, .owner = owner};
    return rill__meta_write(meta, release_work, &work);
}

static int settle_name_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct name_work *work = arg;
    struct meta_name n = {.decided = NULL};
    int rc = rill__meta_read_name(meta, txn, work->name, &n);

    if (rc == 0 && n.producer_id == work->producer_id && n.decided_epoch == work->epoch) {
        n.decided_epoch = -1;
        rc = rill__meta_write_name(meta, txn, work->name, &n);
    }
    drop_found(meta, &n);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

int rill__meta_name_settle(struct meta *meta, const char *name, int64_t producer_id,
                           int16_t epoch)
{
    struct name_work work = {.name = name, .producer_id = producer_id, .epoch = epoch};
    return rill__meta_write(meta, settle_name_work, &work);
}

/* ---- Looking ---------------------------------------------------------- */

static int last_change_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    (void)meta;
    *(uint64_t *)arg = mdb_txn_id(txn);
    return 0;
}

int rill__meta_last_change(struct meta *meta, uint64_t *change)
{
    return rill__meta_read(meta, last_change_work, change);
}

static int get_name_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct name_work *work = arg;
    int rc;

    drop_found(meta, &work->was);
    rc = rill__meta_read_name(meta, txn, work->name, &work->was);
    if (rc == RILL_ERR_NOT_FOUND)
        return rill__fail(rc, "there is no producer named %s", work->name);
    return rc;
}

static int found(struct meta *meta, int rc, struct meta_name *name, struct meta_name *out)
{
    if (rc == 0) *out = *name;
    else drop_found(meta, name);
    return rc;
}

int rill__meta_name_get(struct meta *meta, const char *name, struct meta_name *out)
{
    struct name_work work = {.name = name};
    return found(meta, rill__meta_read(meta, get_name_work, &work), &work.was, out);
}

static int find_name(struct meta *meta, MDB_txn *txn, int64_t producer_id,
                     char name[RILL_TOPIC_NAME_MAX + 1])
{
    uint8_t bytes[META_KEY_MAX];
    MDB_val key = {rill__meta_id_key(bytes, producer_id), bytes};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == RILL_ERR_NOT_FOUND)
        return rill__fail(rc, "producer id %" PRId64 " has no name", producer_id);
    if (rc != 0) return rc;
    return rill__meta_copy_name(meta, "producer", value.mv_data, value.mv_size, name);
}

static int name_of_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct name_work *work = arg;
    int rc = find_name(meta, txn, work->producer_id, work->name_out);

    work->name = work->name_out;
    return rc == 0 ? get_name_work(meta, txn, arg) : rc;
}

int rill__meta_name_of(struct meta *meta, int64_t producer_id, char *name, struct meta_name *out)
{
    char own[RILL_TOPIC_NAME_MAX + 1];
    struct name_work work = {.name_out = name == NULL ? own : name, .producer_id = producer_id};

    return found(meta, rill__meta_read(meta, name_of_work, &work), &work.was, out);
}

static int find_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct name_work *work = arg;
    const char *after = work->name;

    for (;;) {
        MDB_val key;
        MDB_val value;
        int rc = rill__meta_next(meta, txn, 'X', after, &key, &value);

        if (rc == 0)
            rc = rill__meta_copy_name(meta, "producer", (const char *)key.mv_data + 1,
                                      key.mv_size - 1, work->name_out);
        if (rc != 0) return rc;
        after = work->name_out;
        drop_found(meta, &work->was);
        rc = decode_name(meta, &value, &work->was);
        if (rc != 0 || work->asked == NULL || work->asked(work->arg, &work->was)) return rc;
    }
}

int rill__meta_name_find(struct meta *meta, const char *after,
                         bool (*wanted)(void *arg, const struct meta_name *name), void *arg,
                         char *name, struct meta_name *out)
{
    char next[RILL_TOPIC_NAME_MAX + 1]; /* after may be name */
    struct name_work work = {.name = after, .name_out = next, .asked = wanted, .arg = arg};
    int rc = found(meta, rill__meta_read(meta, find_work, &work), &work.was, out);

    if (rc == 0) memcpy(name, next, strlen(next) + 1);
    return rc;
}

/* ---- Judging ---------------------------------------------------------- */

static int judge_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct name_work *work = arg;
    char name[RILL_TOPIC_NAME_MAX + 1];
    struct meta_name n = {.decided = NULL};
    int rc = find_name(meta, txn, work->producer_id, name);

    work->commit = false;
    if (work->epoch == INT16_MAX)
        return rill__fail(RILL_ERR_CORRUPT,
                          "a transaction of producer id %" PRId64
                          " in epoch %d, in which there can be none",
                          work->producer_id, INT16_MAX);
    if (rc == 0) rc = rill__meta_read_name(meta, txn, name, &n);
    if (rc == 0 && n.producer_id == work->producer_id) {
        work->commit = n.decided_epoch == work->epoch;
        if (!work->commit && n.epoch <= work->epoch) {
            n.epoch = (int16_t)(work->epoch + 1);
            rc = rill__meta_write_name(meta, txn, name, &n);
        }
    }
    drop_found(meta, &n);
    return rc;
}

int rill__meta_name_judge(struct meta *meta, int64_t producer_id, int16_t epoch, bool *commit)
{
    return rill__meta_name_judge_within(meta, producer_id, epoch, meta->turns_timeout_ms, commit);
}

int rill__meta_name_judge_within(struct meta *meta, int64_t producer_id, int16_t epoch,
                                 int timeout_ms, bool *commit)
{
    struct name_work work = {.producer_id = producer_id, .epoch = epoch};
    int rc = rill__meta_write_within(meta, timeout_ms, judge_work, &work);

    if (rc == 0) *commit = work.commit;
    return rc;
}

static int delete_name_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct name_work *work = arg;
    struct meta_name n = {.decided = NULL};
    uint8_t bytes[META_KEY_MAX];
    MDB_val key = {0, bytes};
    int code;
    int rc = rill__meta_read_name(meta, txn, work->name, &n);

    if (rc == RILL_ERR_NOT_FOUND)
        rc = rill__fail(rc, "there is no producer named %s", work->name);
    else if (rc == 0 && n.decided_epoch >= 0)
        rc = rill__fail(RILL_ERR_STATE, "the last transaction of %s is not settled", work->name);
    else if (rc == 0 && !work->asked(work->arg, &n))
        rc = rill__fail(RILL_ERR_STATE, "the producer named %s is in use", work->name);
    drop_found(meta, &n);
    if (rc != 0) return rc;
    key.mv_size = rill__meta_id_key(bytes, n.producer_id);
    code = mdb_del(txn, meta->dbi, &key, NULL);
    if (code != 0 && code != MDB_NOTFOUND) return rill__meta_failed(meta, code, "deleting");
    key.mv_size = rill__meta_name_key(bytes, 'X', work->name);
    return rill__meta_failed(meta, mdb_del(txn, meta->dbi, &key, NULL), "deleting");
}

int rill__meta_name_delete(struct meta *meta, const char *name,
                           bool (*may_go)(void *arg, const struct meta_name *name), void *arg)
{
    struct name_work work = {.name = name, .asked = may_go, .arg = arg};
    return rill__meta_write(meta, delete_name_work, &work);
}
