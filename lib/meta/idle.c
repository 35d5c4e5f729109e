/*
 * meta/idle.c - for how long a group has been left alone.
 *
 * Nothing is timed by when it was committed: a wall clock that jumps forward
 * would make everything old at once. Somebody looks at a group now and then and
 * keeps what he saw: a fingerprint of the group's record and of all that it has
 * committed, and when that was. If the next look finds the same fingerprint, the
 * group was idle meanwhile, since joining, leaving and committing all change it.
 *
 *     look:  fingerprint  a   a   a   b   b   b        b = somebody committed
 *            idle         0   1   2   0   1   2
 *
 * How long the meanwhile was is said by the wall clock and by the monotonic one,
 * and the shorter time counts. Between two boots there is only the wall clock, so
 * that no time counts. All errors so make a group younger than it is, never older.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "meta/inner.h"

static int find_fingerprint(const struct meta_group *group, uint64_t *fingerprint)
{
    *fingerprint = rill__mix64((uint32_t)group->generation) ^
                   rill__checksum(group->state, group->state_size);
    return rill__meta_mix_offsets(group->meta, group->txn, group->name, fingerprint);
}

int rill__meta_put_idle(struct meta *meta, MDB_txn *txn, const char *group,
                        const struct meta_idle *idle)
{
    uint8_t name[META_KEY_MAX];
    uint8_t v[META_IDLE_SIZE + 8];
    MDB_val key = {rill__meta_name_key(name, 'I', group), name};

    rill__put64(v, idle->fingerprint);
    memcpy(v + 8, idle->seen.boot_id, 16);
    rill__put64(v + 24, (uint64_t)idle->seen.monotonic_ms);
    rill__put64(v + 32, (uint64_t)idle->seen.wall_ms);
    rill__put64(v + 40, (uint64_t)idle->idle_ms);
    return rill__meta_put(meta, txn, &key, v, META_IDLE_SIZE);
}

/* One that is damaged is none: the group is as if nobody had looked before. */
static int read_idle(const struct meta_group *group, struct meta_idle *idle)
{
    uint8_t name[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(name, 'I', group->name), name};
    MDB_val value;
    const uint8_t *v;
    int rc = rill__meta_get(group->meta, group->txn, &key, &value);

    if (rc == RILL_ERR_CORRUPT || (rc == 0 && value.mv_size != META_IDLE_SIZE))
        rc = RILL_ERR_NOT_FOUND;
    if (rc != 0) return rc;
    v = value.mv_data;
    idle->fingerprint = rill__get64(v);
    memcpy(idle->seen.boot_id, v + 8, 16);
    idle->seen.monotonic_ms = (int64_t)rill__get64(v + 24);
    idle->seen.wall_ms = (int64_t)rill__get64(v + 32);
    idle->idle_ms = (int64_t)rill__get64(v + 40);
    return 0;
}

/* What both clocks agree to have passed; -1: one of them was set back, or was
 * another one. */
static int64_t passed_ms(const struct meta_moment *then, const struct meta_moment *now)
{
    static const uint8_t unknown[16];
    int64_t wall;
    int64_t monotonic;

    if (memcmp(then->boot_id, now->boot_id, 16) != 0 || memcmp(now->boot_id, unknown, 16) == 0)
        return -1;
    if (now->wall_ms < then->wall_ms || now->monotonic_ms < then->monotonic_ms) return -1;
    wall = now->wall_ms - then->wall_ms;
    monotonic = now->monotonic_ms - then->monotonic_ms;
    return wall < monotonic ? wall : monotonic;
}

int rill__meta_group_idle(const struct meta_group *group, const struct meta_moment *now,
                          int64_t renew_ms, struct meta_idle *idle, bool *noted)
{
    struct meta_idle before = {0};
    int64_t passed = -1;
    int rc = read_idle(group, &before);

    if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc;
    *idle = (struct meta_idle){.seen = *now};
    *noted = rc == 0;
    rc = find_fingerprint(group, &idle->fingerprint);
    if (rc != 0) return rc;
    if (*noted && before.fingerprint == idle->fingerprint) {
        passed = passed_ms(&before.seen, now);
        idle->idle_ms = before.idle_ms + (passed > 0 ? passed : 0);
    }
    *noted = passed >= 0 && passed < renew_ms;
    return 0;
}
