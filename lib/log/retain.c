/*
 * log/retain.c - the log start: what lies before it is gone.
 *
 *     decide -> roll, if all is to go -> sync -> both marks -> log_start -> remove
 *
 * The log begins at log_start, which may lie in the middle of a segment; what
 * stands there before it is not shown any more. Segments that lie before it
 * whole are removed, oldest first; the active one never is.
 *
 * Always true:
 *   - log_start never goes back, not even by a crash: it is shown when both marks
 *     have it, and no file is removed before;
 *   - the segment that holds log_start is there, and all later ones. One of them
 *     missing is damage, not a shorter log;
 *   - files before it may be there still: a crash, or a process that died, leaves
 *     them to the next recovery or maintenance, and nobody looks at them.
 *
 * Threads: any; two that remove at once do the same work.
 */
#include "log/inner.h"
#include <inttypes.h>

#define SWEEP_MAX 64        /* removed while others wait to sync */
#define RETAIN_WAIT_MS 1000 /* for a sync by somebody else; then the next turn does it */

int rill__log_check_start(const struct log *log, int64_t offset)
{
    int64_t start = atomic_load(&log->control->log_start);

    if (offset >= start) return 0;
    return rill__fail(RILL_ERR_RANGE,
                      "%s: offset %" PRId64 " is gone; the log begins at %" PRId64, log->dir.name,
                      offset, start);
}

/* ---- Removing --------------------------------------------------------- */

/* Both files; what they had is added. They may be gone by now. */
static int remove_segment(struct log *log, int64_t base, struct log_retained *retained)
{
    struct file_facts facts;
    char name[SEGMENT_NAME_SIZE];
    int rc;

    rill__segment_name(base, "log", name);
    rc = rill__file_look(&log->dir, name, &facts);
    if (rc == 0 && !rill__log_recycle(log, base)) rc = rill__segment_remove(&log->dir, base);
    if (rc != 0 || facts.links == 0) return rc;
    atomic_fetch_add_explicit(log->config.deletions, 1, memory_order_relaxed);
    retained->segment_count++;
    retained->bytes += facts.size;
    return 0;
}

static void has_swept(struct control *c, int64_t start)
{
    int64_t swept = atomic_load(&c->swept);

    while (swept < start && !atomic_compare_exchange_weak(&c->swept, &swept, start)) {}
}

/* Some of them; *more: there are others. Under sync_lock: compaction replaces segments
 * under it, and one that reaches from before the start to behind it must not be taken
 * for the one that it replaced. */
static int sweep(struct log *log, struct log_retained *retained, bool *more)
{
    int64_t start = atomic_load(&log->control->log_start);
    int64_t first = -1;
    int64_t base = -1;
    int rc = rill__log_settle_layout(log);

    if (rc == 0) rc = rill__log_refresh(log);
    if (rc == 0) rc = rill__log_base_of(log, start, &first);
    if (rc == 0) rc = rill__log_base_after(log, -1, &base);
    for (int i = 0; rc == 0 && base < first && i < SWEEP_MAX; i++) {
        rc = remove_segment(log, base, retained);
        if (rc == 0) rc = rill__log_base_after(log, base, &base);
    }
    *more = base < first;
    if (rc != 0 || *more) return rc;
    rill__log_forget_before(log, first);
    has_swept(log->control, start);
    return 0;
}

int rill__log_sweep(struct log *log, struct log_retained *retained)
{
    bool more = true;
    int rc = 0;

    while (rc == 0 && more) {
        if (atomic_load(&log->control->swept) >= atomic_load(&log->control->log_start)) break;
        rc = rill__log_lock_sync(log, rill__deadline(RETAIN_WAIT_MS));
        if (rc != 0) return rc == RILL_ERR_TIMEOUT ? 0 : rc; /* the next turn does it */
        rc = sweep(log, retained, &more);
        rill__log_unlock_sync(log);
    }
    return rc;
}

/* So that nothing of what is to go is in the active segment, which must stay. On
 * a full disk it stays with what is in it. */
static int roll_at(struct log *log, int64_t end, int64_t deadline_ns)
{
    struct tail_copy tail;
    int rc = rill__log_lock(log, deadline_ns);

    if (rc != 0) return rc;
    rill__control_tail(log->control, &tail);
    if (tail.end_offset == end) rc = rill__log_roll(log, &tail);
    rill__log_unlock(log);
    return rc == RILL_ERR_NO_SPACE ? 0 : rc;
}

int rill__log_delete_before(struct log *log, int64_t before, int64_t deadline_ns, int64_t *start)
{
    struct log_retained retained = {0, 0, 0};
    int64_t end = rill__log_end(log);
    int rc = rill__log_state(log);

    if (rc != 0) return rc;
    if (before == INT64_MAX) before = end;
    if (before < 0 || before > end)
        return rill__fail(RILL_ERR_RANGE,
                          "%s: all before offset %" PRId64
                          " cannot be deleted; the log ends at %" PRId64,
                          log->dir.name, before, end);
    if (before > rill__log_start(log)) {
        if (before == end) rc = roll_at(log, end, deadline_ns);
        if (rc == 0) rc = rill__log_move_start(log, before, deadline_ns);
    }
    if (rc == 0) rc = rill__log_sweep(log, &retained);
    if (rc == 0 && start != NULL) *start = rill__log_start(log);
    return rc;
}

/* ---- What may go ------------------------------------------------------ */

/* But what was there before the clock has been steady for so long is so old. */
static bool says_nothing(const struct log_retention *what, int64_t max_time)
{
    return what->not_set_ms != 0 && max_time < what->not_set_ms &&
           (what->steady_ms < 0 || (uint64_t)what->steady_ms < what->retention_ms);
}

bool rill__log_is_old(const struct log_retention *what, int64_t max_time)
{
    int64_t age;

    if (what->retention_ms == 0 || what->retention_ms > INT64_MAX || max_time == INT64_MAX)
        return false;
    if (says_nothing(what, max_time)) return false;
    if (__builtin_sub_overflow(what->wall_now_ms, max_time, &age)) return max_time < 0;
    if (age <= (int64_t)what->retention_ms) return false;
    return age - what->ahead_ms > (int64_t)what->retention_ms ||
           what->steady_ms >= (int64_t)what->retention_ms;
}

/* By the headers of its batches; INT64_MAX if they do not lead to its end. */
static int64_t scan_for_newest(const struct segment *segment, int64_t end)
{
    int64_t max_time = INT64_MIN;
    int64_t offset = segment->base;
    uint32_t position = SEGMENT_HEADER_SIZE;
    struct batch_view view;
    const char *why;

    while (offset < end) {
        if (rill__batch_view(segment->map.data + position, segment->size - position, &view,
                             &why) != BATCH_VALID ||
            view.base_offset != offset || !rill__batch_verify(&view, segment->salt))
            return INT64_MAX;
        if (view.max_time > max_time) max_time = view.max_time;
        position += view.length;
        offset = view.end_offset;
    }
    return max_time;
}

/* The largest timestamp of a sealed segment that ends at end; INT64_MAX: damage
 * hides it. */
static int newest_in(struct log *log, int64_t base, int64_t end, int64_t *max_time)
{
    struct segment *segment;
    struct index_seal seal;
    int rc = rill__log_pin(log, base, false, &segment);

    *max_time = INT64_MAX;
    /* A damaged segment goes when the one behind it does. */
    if (rc == RILL_ERR_CORRUPT || rc == RILL_ERR_FORMAT || rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc != 0) return rc;
    if (rill__index_sealed(segment, &seal) && seal.end_offset == end) *max_time = seal.max_time;
    else *max_time = scan_for_newest(segment, end);
    rill__log_unpin(log, segment);
    return 0;
}

/* A segment before the active one, and what is known of the whole. */
struct candidate {
    int64_t base;
    int64_t end;     /* where the next one begins; -1: it is active */
    uint64_t bytes;  /* of this one */
    uint64_t behind; /* of all after it */
};

static int size_of(struct log *log, int64_t base, uint64_t *bytes)
{
    struct file_facts facts;
    char name[SEGMENT_NAME_SIZE];
    int rc;

    rill__segment_name(base, "log", name);
    rc = rill__file_look(&log->dir, name, &facts);
    if (rc == 0) *bytes = facts.size;
    return rc;
}

/* What is in all segments from base on; of the active one what is written. */
static int size_from(struct log *log, int64_t base, const struct tail_copy *tail, uint64_t *bytes)
{
    int rc = 0;

    *bytes = tail->position;
    while (rc == 0 && base >= 0 && base < tail->base) {
        uint64_t size = 0;
        rc = size_of(log, base, &size);
        *bytes += size;
        if (rc == 0) rc = rill__log_base_after(log, base, &base);
    }
    return rc;
}

/* May it go? 1: yes. 0: no, and none after it. -1: its age is not known; if one
 * behind it is old, it is too. What is not before timed_end was appended after the clock
 * was looked at, by what it may have shown then: it is young. */
static int may_go(struct log *log, const struct log_retention *what, int64_t timed_end,
                  const struct candidate *s, int *go)
{
    int64_t max_time;
    int rc;

    *go = 1;
    if (what->consumed >= s->end) return 0;
    if (what->retention_bytes != 0 && s->behind >= what->retention_bytes) return 0;
    *go = 0;
    if (what->retention_ms == 0 || s->end > timed_end) return 0;
    rc = newest_in(log, s->base, s->end, &max_time);
    if (rc == 0 && (max_time == INT64_MAX || says_nothing(what, max_time))) *go = -1;
    else if (rc == 0 && rill__log_is_old(what, max_time)) *go = 1;
    return rc;
}

/* Where the log will begin when all has gone that may; at the active segment's
 * base, *all is set: nothing before that stays. */
static int find_start(struct log *log, const struct log_retention *what, int64_t timed_end,
                      const struct tail_copy *tail, int64_t *start, bool *all)
{
    struct candidate s = {.base = -1};
    uint64_t left = 0;
    int go = 1;
    int rc = rill__log_base_of(log, *start, &s.base);

    if (rc == 0 && what->retention_bytes != 0) rc = size_from(log, s.base, tail, &left);
    while (rc == 0 && go != 0 && s.base < tail->base) {
        rc = rill__log_base_after(log, s.base, &s.end);
        if (rc == 0 && what->retention_bytes != 0) rc = size_of(log, s.base, &s.bytes);
        if (rc != 0) break;
        if (s.end < 0) s.end = tail->base;
        s.behind = left -= s.bytes < left ? s.bytes : left;
        rc = may_go(log, what, timed_end, &s, &go);
        if (rc == 0 && go > 0 && s.end > *start) *start = s.end;
        s.base = s.end;
    }
    *all = go != 0;
    return rc;
}

static bool is_old_tail(const struct log_retention *what, int64_t timed_end,
                        const struct tail_copy *tail)
{
    return tail->end_offset > tail->base && tail->end_offset <= timed_end &&
           rill__log_is_old(what, tail->max_time);
}

/* Rolls the active segment if it is old itself; *start: what comes after it. */
static int roll_old(struct log *log, const struct log_retention *what, int64_t timed_end,
                    int64_t *start)
{
    struct tail_copy tail;
    int rc = rill__log_lock(log, rill__deadline(0));

    if (rc != 0) return rc == RILL_ERR_TIMEOUT ? 0 : rc;
    rill__control_tail(log->control, &tail);
    if (is_old_tail(what, timed_end, &tail)) {
        rc = rill__log_roll(log, &tail);
        if (rc == 0) *start = tail.end_offset;
    }
    rill__log_unlock(log);
    return rc;
}

static int retain(struct log *log, const struct log_retention *what, int64_t timed_end,
                  struct log_retained *retained)
{
    struct tail_copy tail;
    int64_t start = rill__log_start(log);
    bool all = false;
    int rc = rill__log_state(log);

    *retained = (struct log_retained){0, 0, 0};
    if (rc != 0) return rc;
    rill__control_tail(log->control, &tail);
    if (tail.base >= 0 &&
        (what->retention_ms != 0 || what->retention_bytes != 0 || what->consumed > start))
        rc = find_start(log, what, timed_end, &tail, &start, &all);
    if (rc == 0 && all && is_old_tail(what, timed_end, &tail))
        rc = roll_old(log, what, timed_end, &start);
    if (rc == 0 && start > rill__log_start(log))
        rc = rill__log_move_start(log, start, rill__deadline(RETAIN_WAIT_MS));
    if (rc == RILL_ERR_TIMEOUT) rc = 0;
    if (rc == 0) rc = rill__log_sweep(log, retained);
    retained->log_start = rill__log_start(log);
    return rc;
}

static int64_t active_base(const struct log *log)
{
    return atomic_load_explicit(&log->control->active_base, memory_order_acquire);
}

int rill__log_retain(struct log *log, const struct log_retention *what,
                     struct log_retained *retained)
{
    struct log_retained mine;
    int64_t base = active_base(log);
    int64_t end = rill__log_end(log);
    int rc = retain(log, what, end, retained == NULL ? &mine : retained);

    rill__mutex_lock(&log->lock);
    log->retention = *what;
    log->retention_ms = rill__monotonic_ns() / 1000000;
    log->retention_base = base;
    log->retention_end = end;
    rill__mutex_unlock(&log->lock);
    return rc;
}

int rill__log_retain_again(struct log *log)
{
    const struct log_config *config = &log->config;
    struct log_retained retained;
    struct log_retention what;
    int64_t told_ms;
    int64_t told_end;
    bool rolled;

    rill__mutex_lock(&log->lock);
    rolled = log->retention_base != active_base(log);
    log->retention_base = active_base(log);
    what = log->retention;
    told_ms = log->retention_ms;
    told_end = log->retention_end;
    rill__mutex_unlock(&log->lock);
    if (told_ms == 0 || !rolled || (config->cleanup_policy & RILL_CLEANUP_DELETE) == 0) return 0;
    what.consumed = 0; /* a group may have gone back since */
    if (what.retention_ms != 0) what.retention_ms = config->retention_ms;
    what.retention_bytes = config->retention_bytes;
    what.wall_now_ms += rill__monotonic_ns() / 1000000 - told_ms;
    return retain(log, &what, told_end, &retained);
}
