/*
 * engine/clock.c - looks at the clock that deletions go by, see meta/deletions.c.
 *
 * A jump is found when two looks are compared. Between two looks the clock may go wrong
 * and be put right again, and nobody would know; but records that were appended
 * meanwhile bear the wrong time for ever, and would be years old at once. So whoever
 * appends sees whether the wall clock went by as much as the one that does not jump,
 * and if not, looks: before the batch is appended that may bear a wrong time. It costs
 * two reads of coarse clocks for each batch.
 */
#include "engine/store.h"
#include <string.h>

#define WATCH_MS 1000 /* so far the two may be apart: steps of both, and a little drift */
#define AGAIN_MS 1000 /* after a look that failed */
#define LOCK_MS 20    /* another process is in a commit: the next batch tries again */

int rill__clock_look(struct store *store, int timeout_ms, struct meta_clock *clock, bool *is_set)
{
    struct meta_instant now = {.boot_ms = rill__boot_ms(), .wall_ms = rill__now_ms()};

    memcpy(now.boot_id, store->boot_id, 16);
    *is_set = now.wall_ms >= CLOCK_NOT_SET_MS;
    if (!*is_set) return 0;
    return rill__meta_clock_look(store->meta, &now, store->created_ms, timeout_ms, clock);
}

static void look_at_clocks(struct store *store, int64_t apart_ms, int64_t tick_ms)
{
    struct saved_message why;
    struct meta_clock clock;
    bool is_set;

    rill__message_save(&why);
    if (rill__clock_look(store, LOCK_MS, &clock, &is_set) == 0)
        atomic_store_explicit(&store->clocks_apart_ms, apart_ms, memory_order_relaxed);
    atomic_store_explicit(&store->clock_tried_ms, tick_ms, memory_order_relaxed);
    rill__message_restore(&why);
}

void rill__clock_watch(struct store *store)
{
    int64_t tick_ms = rill__tick_ms();
    int64_t apart_ms = rill__now_ms() - tick_ms;
    int64_t moved_ms =
        apart_ms - atomic_load_explicit(&store->clocks_apart_ms, memory_order_relaxed);

    if (__builtin_expect(moved_ms < WATCH_MS && moved_ms > -WATCH_MS, 1)) return;
    if (tick_ms - atomic_load_explicit(&store->clock_tried_ms, memory_order_relaxed) < AGAIN_MS)
        return;
    look_at_clocks(store, apart_ms, tick_ms);
}
