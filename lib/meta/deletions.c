/*
 * meta/deletions.c - the clock that deletions go by.
 *
 * Records are deleted when they are old, and how old they are is said by a wall
 * clock, which jumps: by hand, by a time server, from 1970 to now at a boot, when a
 * machine was suspended. A jump forward would make everything old at once. So what
 * was seen of the clock is kept in the catalogue, and how it goes on is compared
 * with CLOCK_BOOTTIME, which goes on while the machine sleeps and does not jump:
 *
 *     ahead    by how much the wall clock may have jumped ahead, all jumps together;
 *              one backward takes from it
 *     steady   for how long it has not jumped at all
 *
 * What is old by the wall clock is deleted if it is old by the clock less `ahead`
 * too, or if the clock has been steady for a whole retention: so a jump deletes
 * nothing early, and a clock that was wrong and was set right is believed again.
 *
 * Between two boots nothing says how much time has passed. The wall clock is believed
 * up to three days; the rest counts as a jump. What is left of the three days may be
 * used up by jumps in the hour after the boot: a machine without a battery for its
 * clock begins with the time of its last shutdown, and soon learns better. A clock
 * that was not set at all, which shows a time before this was written, says nothing:
 * it is not looked at.
 *
 * All errors make records younger than they are, never older.
 */
#include "base/bytes.h"
#include "meta/inner.h"

#define JUMP_MS 2000                                /* less is a rounding, or a leap second */
#define BELIEVED_MS (INT64_C(3) * 24 * 3600 * 1000) /* across a boot */
#define SETTLING_MS (INT64_C(3600) * 1000)          /* after it */
#define RENEW_MS 60000                              /* what is kept is replaced after so long */
#define TIME_MAX_MS (INT64_MAX / 8)                 /* sums of a few do not overflow */

static int64_t within(int64_t ms)
{
    return ms > TIME_MAX_MS ? TIME_MAX_MS : ms < -TIME_MAX_MS ? -TIME_MAX_MS : ms;
}

static bool is_same_boot(const struct meta_clock *clock, const struct meta_instant *now)
{
    static const uint8_t unknown[16];

    return memcmp(clock->seen.boot_id, unknown, 16) != 0 &&
           memcmp(clock->seen.boot_id, now->boot_id, 16) == 0 &&
           now->boot_ms >= clock->seen.boot_ms;
}

/* The wall clock went by so much more than time did. */
static void jump(struct meta_clock *clock, int64_t by, int64_t spare)
{
    int64_t used = by < spare ? by : spare;

    if (used > 0) {
        clock->spare_ms -= used;
        by -= used;
    }
    clock->ahead_ms = within(clock->ahead_ms + by);
    if (clock->ahead_ms < 0) clock->ahead_ms = 0;
    clock->steady_ms = 0;
}

bool rill__clock_step(struct meta_clock *clock, const struct meta_instant *instant)
{
    struct meta_instant now = *instant;
    int64_t passed;
    int64_t by;

    now.wall_ms = within(now.wall_ms);
    if (now.wall_ms < CLOCK_NOT_SET_MS) return false;
    if (!is_same_boot(clock, &now)) {
        clock->spare_ms = BELIEVED_MS;
        jump(clock, now.wall_ms - clock->seen.wall_ms, BELIEVED_MS);
        clock->seen = now;
        return true;
    }
    passed = now.boot_ms - clock->seen.boot_ms;
    by = now.wall_ms - clock->seen.wall_ms - passed;
    if (by > JUMP_MS || by < -JUMP_MS) {
        jump(clock, by, now.boot_ms < SETTLING_MS ? clock->spare_ms : 0);
        clock->seen = now;
        return true;
    }
    /* Where the wall clock should be, not where it is: many small jumps are a large one. */
    clock->seen.boot_ms = now.boot_ms;
    clock->seen.wall_ms += passed;
    clock->steady_ms = within(clock->steady_ms + passed);
    return false;
}

/* ---- What is kept ----------------------------------------------------- */

static int get_clock(struct meta *meta, MDB_txn *txn, struct meta_clock *clock)
{
    MDB_val key = {1, (void *)(uintptr_t) "C"};
    MDB_val value;
    const uint8_t *v;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == 0 && value.mv_size != META_CLOCK_SIZE)
        return rill__fail(RILL_ERR_CORRUPT, "%s: the record of the clock has %zu bytes",
                          meta->path, value.mv_size);
    if (rc != 0) return rc;
    v = value.mv_data;
    memcpy(clock->seen.boot_id, v, 16);
    clock->seen.boot_ms = within((int64_t)rill__get64(v + 16));
    clock->seen.wall_ms = within((int64_t)rill__get64(v + 24));
    clock->ahead_ms = within((int64_t)rill__get64(v + 32));
    clock->steady_ms = within((int64_t)rill__get64(v + 40));
    clock->spare_ms = within((int64_t)rill__get64(v + 48));
    return 0;
}

static int put_clock(struct meta *meta, MDB_txn *txn, const struct meta_clock *clock)
{
    uint8_t v[META_CLOCK_SIZE + 8];
    MDB_val key = {1, (void *)(uintptr_t) "C"};

    memcpy(v, clock->seen.boot_id, 16);
    rill__put64(v + 16, (uint64_t)clock->seen.boot_ms);
    rill__put64(v + 24, (uint64_t)clock->seen.wall_ms);
    rill__put64(v + 32, (uint64_t)clock->ahead_ms);
    rill__put64(v + 40, (uint64_t)clock->steady_ms);
    rill__put64(v + 48, (uint64_t)clock->spare_ms);
    return rill__meta_put(meta, txn, &key, v, META_CLOCK_SIZE);
}

struct clock_work {
    struct meta_instant now;
    int64_t created_ms;
    struct meta_clock clock;
    bool due; /* to be written */
};

/* A clock of which nothing is kept, or what is kept does not verify, has been seen
 * when the store was made, in some boot; unless it was not set then. */
static int look_at_deletions(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct clock_work *work = arg;
    struct meta_clock kept = {.seen = {.wall_ms = within(work->created_ms)}};
    struct saved_message before;
    int rc;

    rill__message_save(&before);
    rc = get_clock(meta, txn, &kept);
    work->due = rc != 0;
    if (rc == RILL_ERR_NOT_FOUND || rc == RILL_ERR_CORRUPT) {
        rill__message_restore(&before);
        rc = 0;
    }
    if (kept.seen.wall_ms < CLOCK_NOT_SET_MS) kept.seen.wall_ms = work->now.wall_ms;
    work->clock = kept;
    if (rill__clock_step(&work->clock, &work->now)) work->due = true;
    if (work->clock.seen.boot_ms - kept.seen.boot_ms >= RENEW_MS) work->due = true;
    if (work->now.wall_ms < CLOCK_NOT_SET_MS) work->due = false;
    return rc;
}

static int keep_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct clock_work *work = arg;
    int rc = look_at_deletions(meta, txn, arg); /* others may have been here meanwhile */

    return rc == 0 && work->due ? put_clock(meta, txn, &work->clock) : rc;
}

int rill__meta_clock_look(struct meta *meta, const struct meta_instant *now, int64_t created_ms,
                          int timeout_ms, struct meta_clock *clock)
{
    struct clock_work work = {.now = *now, .created_ms = created_ms};
    int rc = rill__meta_read(meta, look_at_deletions, &work);

    if (rc == 0 && work.due) rc = rill__meta_write_within(meta, timeout_ms, keep_work, &work);
    if (rc == 0) *clock = work.clock;
    return rc;
}
