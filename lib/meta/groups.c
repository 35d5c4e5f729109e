/*
 * meta/groups.c - groups: their generation, and what their coordinator keeps.
 *
 * A step of the coordinator is a write transaction around a function of the
 * caller: it is shown what is kept, and says what to keep instead and which
 * offsets to commit. Either all of that happens or nothing, wherever the
 * process dies, and no two processes step at once.
 */
#include "base/bytes.h"
#include "meta/inner.h"

enum { GROUP_HEAD = 4 };

struct group_work {
    const char *group;
    int32_t generation;
    char *name;
    size_t name_size;
};

static int group_record(struct meta *meta, MDB_txn *txn, const char *name,
                        struct meta_group *group)
{
    uint8_t bytes[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(bytes, 'G', name), bytes};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == RILL_ERR_NOT_FOUND) return rill__fail(rc, "there is no group %s", name);
    if (rc != 0) return rc;
    if (value.mv_size < GROUP_HEAD)
        return rill__fail(RILL_ERR_CORRUPT, "%s: group %s has a record of %zu bytes", meta->path,
                          name, value.mv_size);
    group->generation = (int32_t)rill__get32(value.mv_data);
    group->state = (const uint8_t *)value.mv_data + GROUP_HEAD;
    group->state_size = value.mv_size - GROUP_HEAD;
    group->name = name;
    group->meta = meta;
    group->txn = txn;
    return 0;
}

static int put_group_record(struct meta *meta, MDB_txn *txn, const char *name, int32_t generation,
                            const uint8_t *state, size_t state_size)
{
    uint8_t bytes[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(bytes, 'G', name), bytes};
    uint8_t *value = rill__alloc(meta->heap, GROUP_HEAD + state_size + 8);
    int rc;

    if (value == NULL) return RILL_ERR_NO_MEMORY;
    rill__put32(value, (uint32_t)generation);
    if (state_size != 0) memcpy(value + GROUP_HEAD, state, state_size);
    rc = rill__meta_put(meta, txn, &key, value, GROUP_HEAD + state_size);
    rill__free(meta->heap, value);
    return rc;
}

/* ---- Reading ---------------------------------------------------------- */

static int get_group_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct group_work *work = arg;
    struct meta_group group;
    int rc = group_record(meta, txn, work->group, &group);

    if (rc == 0) work->generation = group.generation;
    return rc;
}

int rill__meta_group_get(struct meta *meta, const char *group, int32_t *generation)
{
    struct group_work work = {.group = group};
    int rc = rill__meta_read(meta, get_group_work, &work);

    if (rc == 0) *generation = work.generation;
    return rc;
}

static int group_after_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct group_work *work = arg;
    MDB_val key;
    MDB_val value;
    int rc = rill__meta_next(meta, txn, 'G', work->group, &key, &value);

    if (rc != 0) return rc;
    if (value.mv_size < GROUP_HEAD || key.mv_size > work->name_size)
        return rill__fail(RILL_ERR_CORRUPT, "%s: a group's record is damaged", meta->path);
    work->generation = (int32_t)rill__get32(value.mv_data);
    memcpy(work->name, (const char *)key.mv_data + 1, key.mv_size - 1);
    work->name[key.mv_size - 1] = '\0';
    return 0;
}

int rill__meta_group_after(struct meta *meta, const char *after, char *group, size_t group_size,
                           int32_t *generation)
{
    struct group_work work = {.group = after, .name = group, .name_size = group_size};
    int rc = rill__meta_read(meta, group_after_work, &work);

    if (rc == 0) *generation = work.generation;
    return rc;
}

struct look_work {
    const char *group;
    int (*look)(void *arg, const struct meta_group *group);
    void *arg;
};

static int group_look_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct look_work *work = arg;
    struct meta_group group;
    int rc = group_record(meta, txn, work->group, &group);

    return rc == 0 ? work->look(work->arg, &group) : rc;
}

int rill__meta_group_look(struct meta *meta, const char *group,
                          int (*look)(void *arg, const struct meta_group *group), void *arg)
{
    struct look_work work = {group, look, arg};
    return rill__meta_read(meta, group_look_work, &work);
}

/* ---- Writing ---------------------------------------------------------- */

struct step_work {
    const char *group;
    meta_group_step step;
    void *arg;
};

/* The group, what it has committed, and what is noted about it. */
static int forget_group(struct meta *meta, MDB_txn *txn, const char *name)
{
    uint8_t bytes[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(bytes, 'I', name), bytes};
    int code = mdb_del(txn, meta->dbi, &key, NULL);

    if (code == MDB_NOTFOUND) code = 0;
    key.mv_size = rill__meta_name_key(bytes, 'G', name);
    if (code == 0) code = mdb_del(txn, meta->dbi, &key, NULL);
    if (code != 0) return rill__meta_failed(meta, code, "deleting");
    key.mv_size = rill__meta_offset_key(bytes, name, NULL, 0);
    return rill__meta_delete_prefix(meta, txn, &key);
}

static int apply_change(struct meta *meta, MDB_txn *txn, const char *name, bool exists,
                        const struct meta_group_change *change)
{
    bool keeps = true;
    int rc = 0;

    if (change->forget) return exists ? forget_group(meta, txn, name) : 0;
    if (change->store)
        rc = put_group_record(meta, txn, name, change->generation, change->state,
                              change->state_size);
    else if (!exists && change->offset_count > 0)
        rc = put_group_record(meta, txn, name, 0, NULL, 0);
    if (rc == 0)
        rc = rill__meta_remove_offsets(meta, txn, name, change->removed, change->removed_count);
    if (rc == 0)
        rc = rill__meta_put_offsets(meta, txn, name, change->offsets, change->offset_count);
    if (rc == 0 && change->idle != NULL) rc = rill__meta_put_idle(meta, txn, name, change->idle);
    if (rc == 0 && change->forget_if_bare) rc = rill__meta_has_offsets(meta, txn, name, &keeps);
    return rc == 0 && !keeps ? forget_group(meta, txn, name) : rc;
}

static int group_step_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct step_work *work = arg;
    struct meta_group group = {0};
    struct meta_group_change change = {0};
    int rc = group_record(meta, txn, work->group, &group);
    bool exists = rc == 0;

    if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc;
    rc = work->step(work->arg, exists ? &group : NULL, &change);
    /* What was shown is in LMDB's page, which the next write may change. */
    return rc == 0 ? apply_change(meta, txn, work->group, exists, &change) : rc;
}

int rill__meta_group_step_in(struct meta *meta, MDB_txn *txn, const char *group,
                             meta_group_step step, void *arg)
{
    struct step_work work = {group, step, arg};
    return group_step_work(meta, txn, &work);
}

int rill__meta_group_step(struct meta *meta, const char *group, int timeout_ms,
                          meta_group_step step, void *arg)
{
    struct step_work work = {group, step, arg};
    return rill__meta_write_within(meta, timeout_ms, group_step_work, &work);
}

static int commit_only(void *arg, const struct meta_group *group,
                       struct meta_group_change *change)
{
    (void)group;
    *change = *(struct meta_group_change *)arg;
    return 0;
}

int rill__meta_offsets_commit(struct meta *meta, const char *group,
                              const struct meta_offset *offsets, size_t count)
{
    struct meta_group_change change = {.offsets = offsets, .offset_count = count};
    struct step_work work = {group, commit_only, &change};

    return rill__meta_write(meta, group_step_work, &work);
}

static int group_put_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct group_work *work = arg;
    return put_group_record(meta, txn, work->group, work->generation, NULL, 0);
}

int rill__meta_group_put(struct meta *meta, const char *group, int32_t generation)
{
    struct group_work work = {.group = group, .generation = generation};
    return rill__meta_write(meta, group_put_work, &work);
}

struct delete_group_work {
    const char *group;
    int (*may)(void *arg, const struct meta_group *group);
    void *arg;
};

static int group_delete_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct delete_group_work *work = arg;
    struct meta_group group;
    int rc = group_record(meta, txn, work->group, &group);

    if (rc == 0 && work->may != NULL) rc = work->may(work->arg, &group);
    return rc == 0 ? forget_group(meta, txn, work->group) : rc;
}

int rill__meta_group_delete(struct meta *meta, const char *group,
                            int (*may)(void *arg, const struct meta_group *group), void *arg)
{
    struct delete_group_work work = {group, may, arg};
    return rill__meta_write(meta, group_delete_work, &work);
}
