/*
 * log/log.c - opening and closing a partition, and the segments it has.
 *
 * The first process of an incarnation recovers the partition under a lock on
 * the control file, which the kernel frees if that process dies; the next one
 * then starts over. After that, everything shared is in the control block.
 */
#include "base/bytes.h"
#include "log/inner.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void rill__log_say(struct log *log, int level, const char *format, ...)
{
    char line[384];
    va_list args;

    if (log->config.say == NULL) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log->config.say(log->config.say_arg, level, line);
}

int rill__log_make_control(const struct file *dir, const struct mark *marks)
{
    struct file file = FILE_NONE;
    struct mark mark = *marks;
    int rc;

    rc = rill__file_open(dir, "control.tmp", FILE_WRITE | FILE_CREATE, &file);
    if (rc != 0) return rc;
    rc = rill__file_allocate(&file, CONTROL_SIZE);
    if (rc != 0) goto out;
    rc = rill__mark_put(&file, &mark); /* both, then one sync: nobody knows the file yet */
    if (rc != 0) goto out;
    mark.sequence++;
    rc = rill__mark_write(&file, &mark);
    if (rc != 0) goto out;
    rc = rill__file_rename(dir, "control.tmp", "control");
    if (rc != 0) goto out;
    rc = rill__dir_sync(dir);
out:
    rill__file_close(&file);
    if (rc != 0) rill__file_remove(dir, "control.tmp");
    return rc;
}

int rill__log_create(const struct file *dir)
{
    const struct mark mark = {.sequence = 1, .segment = -1};
    return rill__log_make_control(dir, &mark);
}

/* A directory that is not open: its path becomes ours. */
static int take_dir(struct log *log, struct file *dir)
{
    size_t size = dir->below == NULL ? 0 : strlen(dir->below) + 1;

    log->dir = *dir;
    *dir = FILE_NONE;
    if (size == 0) return 0;
    log->path = rill__alloc(log->config.heap, size);
    if (log->path == NULL) return RILL_ERR_NO_MEMORY;
    memcpy(log->path, log->dir.below, size);
    log->dir.below = log->path;
    return 0;
}

/* Through a descriptor of its own: a map keeps what is locked through its file. */
static int map_control(struct log *log)
{
    struct file file = FILE_NONE;
    int rc = rill__log_open_control(log, &file);

    if (rc == 0) rc = rill__map(&file, CONTROL_SIZE, true, &log->control_map);
    rill__file_close(&file);
    if (rc != 0) return rc;
    log->control = (struct control *)(void *)log->control_map.data;
    atomic_fetch_add(log->config.mapped_bytes, CONTROL_SIZE);
    return 0;
}

static bool is_recovered(const struct log *log)
{
    return atomic_load_explicit(&log->control->incarnation, memory_order_acquire) ==
           log->config.incarnation;
}

int rill__log_open(const struct log_config *config, struct file *dir, int timeout_ms,
                   struct log **out)
{
    struct log *log = rill__alloc(config->heap, sizeof *log);
    struct file lock = FILE_NONE;
    int rc;

    if (log == NULL) return RILL_ERR_NO_MEMORY;
    log->config = *config;
    log->process_id = rill__process_id();
    log->writer_file = KEPT_NONE;
    log->sync_file = KEPT_NONE;
    atomic_init(&log->populated_base, -1);
    rill__mutex_init(&log->lock);
    rill__mutex_init(&log->known.lock);
    rc = take_dir(log, dir);
    if (rc == 0) rc = map_control(log);
    if (rc == 0) /* whoever had our number before */
        atomic_store(&log->control->pins[config->process], 0);
    if (rc == 0 && !is_recovered(log)) {
        rc = rill__log_lock_file(log, CONTROL_LOCK_RECOVERY, timeout_ms, &lock);
        if (rc == 0 && !is_recovered(log)) rc = rill__log_recover(log, &lock);
        rill__log_unlock_file(&lock);
    }
    if (rc == 0) *out = log;
    else rill__log_close(log);
    return rc;
}

void rill__log_configure(struct log *log, const struct log_config *config)
{
#define TAKE(field) atomic_store_explicit(&log->config.field, config->field, memory_order_relaxed)
    TAKE(segment_bytes);
    TAKE(segment_ms);
    TAKE(segment_jitter_ms);
    TAKE(cleanup_policy);
    TAKE(timestamp_type);
    TAKE(retention_ms);
    TAKE(retention_bytes);
    TAKE(delete_retention_ms);
    TAKE(min_compaction_lag_ms);
    TAKE(min_dirty_ppm);
#undef TAKE
}

void rill__log_close(struct log *log)
{
    struct heap *heap;

    if (log == NULL) return;
    heap = log->config.heap;
    if (log->writer != NULL) rill__log_unpin(log, log->writer);
    rill__log_drop_idle(log);
    while (log->segments != NULL) {
        struct segment *next = log->segments->next;
        rill__segment_close(&log->config, log->segments);
        log->segments = next;
    }
    if (log->control != NULL) atomic_fetch_sub(log->config.mapped_bytes, CONTROL_SIZE);
    rill__unmap(&log->control_map);
    rill__log_close_kept(log);
    rill__file_close(&log->dir);
    rill__producers_deinit(&log->known.table);
    rill__mutex_deinit(&log->known.lock);
    rill__mutex_deinit(&log->lock);
    rill__free(heap, log->bases);
    rill__free(heap, log->path);
    rill__free(heap, log);
}

void rill__log_mark_deleted(struct log *log)
{
    atomic_store(&log->control->deleted, 1);
    rill__log_wake(log);
}

static void wake(struct control *control, struct wake_slot *slots, _Atomic uint64_t *wakeups);

void rill__log_mark_deleted_at(const struct file *dir, struct wake_slot *wake_slots)
{
    struct file file = FILE_NONE;
    struct map map = MAP_NONE;
    struct control *control;
    _Atomic uint64_t wakeups = 0;

    if (rill__file_open(dir, "control", FILE_WRITE, &file) == 0 &&
        rill__map(&file, CONTROL_SIZE, true, &map) == 0) {
        control = (struct control *)(void *)map.data;
        atomic_store(&control->deleted, 1);
        wake(control, wake_slots, &wakeups);
    }
    rill__unmap(&map);
    rill__file_close(&file);
}

bool rill__log_is_clean(const struct log *log)
{
    return atomic_load(&log->control->mark_end) >= rill__log_end(log);
}

int64_t rill__log_start(const struct log *log)
{
    return atomic_load_explicit(&log->control->log_start, memory_order_relaxed);
}

int64_t rill__log_end(const struct log *log)
{
    return atomic_load_explicit(&log->control->log_end, memory_order_acquire);
}

int64_t rill__log_durable(const struct log *log)
{
    return atomic_load_explicit(&log->control->durable_end, memory_order_acquire);
}

int32_t rill__log_epoch(const struct log *log)
{
    struct tail_copy tail;
    rill__control_tail(log->control, &tail);
    return tail.epoch;
}

bool rill__log_is_deleted(const struct log *log)
{
    return atomic_load_explicit(&log->control->deleted, memory_order_relaxed) != 0;
}

int rill__log_state(const struct log *log)
{
    uint32_t poison = atomic_load_explicit(&log->control->poison, memory_order_acquire);

    if (rill__log_is_deleted(log))
        return rill__fail(RILL_ERR_NOT_FOUND, "%s: the topic was deleted", log->dir.name);
    if (poison != 0)
        return rill__fail(
            RILL_ERR_POISONED,
            "%s: an earlier sync or repair failed (%s); what is durable ends at offset %" PRId64
            ". Close the store in every process and open it again",
            log->dir.name, rill__error_text(-(int)poison), rill__log_durable(log));
    return 0;
}

int rill__log_poison(struct log *log, int code)
{
    uint32_t none = 0;

    atomic_compare_exchange_strong(&log->control->poison, &none, (uint32_t)-code);
    atomic_fetch_add(&log->control->durable_sequence, 1);
    rill__futex_wake_all(&log->control->durable_sequence);
    rill__log_wake(log);
    return code;
}

void rill__log_arm(struct log *log, uint32_t slot)
{
    atomic_fetch_or(&log->control->waiters, UINT64_C(1) << (slot % WAKE_SLOTS));
}

static void wake(struct control *control, struct wake_slot *slots, _Atomic uint64_t *wakeups)
{
    uint64_t waiters;

    if (atomic_load(&control->waiters) == 0) return;
    waiters = atomic_exchange(&control->waiters, 0);
    for (uint32_t slot = 0; waiters != 0; slot++, waiters >>= 1) {
        if ((waiters & 1) == 0) continue;
        atomic_fetch_add(&slots[slot].sequence, 1);
        rill__futex_wake_all(&slots[slot].sequence);
        atomic_fetch_add_explicit(wakeups, 1, memory_order_relaxed);
    }
}

void rill__log_wake(struct log *log)
{
    wake(log->control, log->config.wake_slots, log->config.wakeups);
}

/* ---- The segments there are ---- */

static int compare_bases(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int push_base(struct log *log, int64_t base)
{
    if (log->base_count == log->base_room) {
        size_t room = log->base_room == 0 ? 16 : log->base_room * 2;
        int64_t *bases = rill__resize(log->config.heap, log->bases, room * sizeof *bases);
        if (bases == NULL) return RILL_ERR_NO_MEMORY;
        log->bases = bases;
        log->base_room = room;
    }
    log->bases[log->base_count++] = base;
    return 0;
}

static int add_base(void *arg, const char *name)
{
    int64_t base = rill__segment_base_of(name);

    return base < 0 ? 0 : push_base(arg, base);
}

void rill__log_note_base(struct log *log, int64_t before, int64_t base)
{
    rill__mutex_lock(&log->lock);
    if (log->base_count != 0 && log->bases[log->base_count - 1] == before)
        push_base(log, base); /* or else the next look reads the directory */
    rill__mutex_unlock(&log->lock);
}

static void close_idle(struct log *log, int64_t before);

/* Sealed segments may have been replaced: what is known of them is old. */
static void follow_layout(struct log *log)
{
    uint32_t layout = atomic_load(&log->control->layout);

    if (layout == log->layout_seen) return;
    log->layout_seen = layout;
    log->base_count = 0;
    for (struct segment *s = log->segments; s != NULL; s = s->next)
        if (!s->writable) s->stale = true;
    close_idle(log, INT64_MAX);
}

static int refresh_locked(struct log *log)
{
    int rc;

    log->base_count = 0;
    rc = rill__dir_list(&log->dir, add_base, log);
    if (log->base_count > 1)
        qsort(log->bases, log->base_count, sizeof *log->bases, compare_bases);
    return rc;
}

int rill__log_list_bases(struct log *log, int64_t **bases, size_t *count)
{
    int rc;

    *count = 0;
    *bases = NULL;
    rill__mutex_lock(&log->lock);
    rc = refresh_locked(log);
    if (rc == 0) {
        *bases = rill__alloc(log->config.heap, log->base_count * sizeof **bases);
        if (*bases == NULL) rc = RILL_ERR_NO_MEMORY;
    }
    if (rc == 0) {
        *count = log->base_count;
        if (*count != 0) memcpy(*bases, log->bases, *count * sizeof **bases);
    }
    rill__mutex_unlock(&log->lock);
    return rc;
}

int rill__log_refresh(struct log *log)
{
    int rc;

    rill__mutex_lock(&log->lock);
    rc = refresh_locked(log);
    rill__mutex_unlock(&log->lock);
    return rc;
}

/* The number of bases at or below offset. Files above the active segment are
 * halves of a roll that has not happened; they are not counted. */
static int count_bases(struct log *log, int64_t offset, size_t *count)
{
    int64_t active = atomic_load_explicit(&log->control->active_base, memory_order_acquire);
    size_t low = 0;
    size_t high;
    int rc;

    follow_layout(log);
    if (log->base_count == 0 || log->bases[log->base_count - 1] < active) {
        rc = refresh_locked(log);
        if (rc != 0) return rc;
    }
    if (offset > active) offset = active;
    high = log->base_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->bases[middle] <= offset) low = middle + 1;
        else high = middle;
    }
    *count = low;
    return 0;
}

/* Of a partition that was deleted meanwhile nothing has to be there: it bears the
 * mark before its files go. */
static int unless_deleted(const struct log *log, int rc)
{
    return rc != 0 && rill__log_is_deleted(log) ? rill__log_state(log) : rc;
}

int rill__log_base_of(struct log *log, int64_t offset, int64_t *base)
{
    size_t count;
    int rc;

    rill__mutex_lock(&log->lock);
    rc = count_bases(log, offset, &count);
    if (rc == 0 && count == 0)
        rc = rill__fail(RILL_ERR_CORRUPT,
                        "%s: the segment that holds offset %" PRId64 " is missing", log->dir.name,
                        offset);
    if (rc == 0) *base = log->bases[count - 1];
    rill__mutex_unlock(&log->lock);
    return unless_deleted(log, rc);
}

int rill__log_base_after(struct log *log, int64_t base, int64_t *next)
{
    int64_t active = atomic_load_explicit(&log->control->active_base, memory_order_acquire);
    size_t count;
    int rc;

    *next = -1;
    rill__mutex_lock(&log->lock);
    rc = count_bases(log, base, &count);
    if (rc == 0 && count < log->base_count && log->bases[count] <= active)
        *next = log->bases[count];
    rill__mutex_unlock(&log->lock);
    return unless_deleted(log, rc);
}

static void drop_idle_before(struct log *log, int64_t base);

void rill__log_forget_bases(struct log *log)
{
    rill__mutex_lock(&log->lock);
    rill__free(log->config.heap, log->bases);
    log->bases = NULL;
    log->base_count = 0;
    log->base_room = 0;
    rill__mutex_unlock(&log->lock);
}

void rill__log_forget_before(struct log *log, int64_t base)
{
    size_t gone = 0;

    rill__mutex_lock(&log->lock);
    while (gone < log->base_count && log->bases[gone] < base) gone++;
    log->base_count -= gone;
    if (gone > 0) memmove(log->bases, log->bases + gone, log->base_count * sizeof *log->bases);
    rill__mutex_unlock(&log->lock);
    drop_idle_before(log, base);
}

/* The files of one segment; they may be gone by now. */
static int add_sizes(struct log *log, int64_t base, uint64_t *bytes)
{
    static const char *const suffixes[] = {"log", "index"};
    char name[SEGMENT_NAME_SIZE];
    struct file_facts facts;
    int rc = 0;

    for (int i = 0; i < 2 && rc == 0; i++) {
        rill__segment_name(base, suffixes[i], name);
        rc = rill__file_look(&log->dir, name, &facts);
        if (rc == 0) *bytes += facts.size;
    }
    return rc;
}

int rill__log_segments(struct log *log, uint32_t *count, uint64_t *bytes)
{
    int64_t base = -1;
    int rc = 0;

    *count = 0;
    *bytes = 0;
    if (atomic_load_explicit(&log->control->active_base, memory_order_acquire) >= 0)
        rc = rill__log_base_of(log, rill__log_start(log), &base);
    while (rc == 0 && base >= 0) {
        (*count)++;
        rc = add_sizes(log, base, bytes);
        if (rc == 0) rc = rill__log_base_after(log, base, &base);
    }
    return rc;
}

void rill__log_look(const struct log *log, struct log_view *view)
{
    const struct control *c = log->control;

    *view = (struct log_view){
        .start = rill__log_start(log),
        .end = rill__log_end(log),
        .durable = rill__log_durable(log),
        .epoch = rill__log_epoch(log),
        .append_owner = atomic_load_explicit(&c->append_owner, memory_order_relaxed),
        .append_since_ms = atomic_load_explicit(&c->append_since_ms, memory_order_relaxed),
        .sync_owner = atomic_load_explicit(&c->sync_owner, memory_order_relaxed),
        .sync_since_ms = atomic_load_explicit(&c->sync_since_ms, memory_order_relaxed),
        .poison = atomic_load(&c->poison),
        .deleted = rill__log_is_deleted(log),
        .sleepers = (uint32_t)__builtin_popcountll(atomic_load(&c->waiters)),
    };
}

int64_t rill__log_pinned_by(const struct log *log, uint32_t process)
{
    return atomic_load_explicit(&log->control->pins[process], memory_order_relaxed) - 1;
}

/* ---- Open segments ---- */

/* Idle segments of a log, and of all logs of the store from which on it may not have one
 * more: an idle segment has two maps, and a process 65,530 of them. The last half of the
 * room is for logs that have few, so that those that are looked up in all over leave the
 * others enough to read on with. They hold no descriptors. */
#define IDLE_MAX 64u
#define IDLE_STORE_MAX 512u
#define IDLE_FEW 8u
#define IDLE_STORE_MAX_OF_FEW 1024u

/* Takes it out of the list; the caller closes it, outside the lock. */
static void unlink_segment(struct log *log, struct segment *segment)
{
    struct segment **at = &log->segments;

    while (*at != segment) at = &(*at)->next;
    *at = segment->next;
}

static bool has_too_many_idle(const struct log *log)
{
    uint32_t all = atomic_load_explicit(log->config.idle_segments, memory_order_relaxed);

    if (log->idle_count <= IDLE_FEW) return all > IDLE_STORE_MAX_OF_FEW;
    return log->idle_count > IDLE_MAX || all > IDLE_STORE_MAX;
}

static void take_idle(struct log *log)
{
    log->idle_count--;
    atomic_fetch_sub_explicit(log->config.idle_segments, 1, memory_order_relaxed);
}

/* The one that has been idle longest, if there are too many; out of the list.
 * One is idle: whoever calls has just put it there. */
static struct segment *too_many_idle(struct log *log)
{
    struct segment *oldest = NULL;

    if (!has_too_many_idle(log)) return NULL;
    for (struct segment *s = log->segments; s != NULL; s = s->next)
        if (s->references == 0) oldest = s;
    unlink_segment(log, oldest);
    take_idle(log);
    return oldest;
}

/* Tells the other processes what this one needs: the segments it has pinned, and
 * `wanted`, which it is about to; under log->lock. */
static void publish_pins(struct log *log, int64_t wanted)
{
    int64_t oldest = log->holders != 0 ? 0 : wanted;

    for (const struct segment *s = log->segments; s != NULL; s = s->next)
        if (s->references != 0 && s->base < oldest) oldest = s->base;
    atomic_store(&log->control->pins[log->config.process], oldest == INT64_MAX ? 0 : oldest + 1);
}

void rill__log_hold(struct log *log)
{
    rill__mutex_lock(&log->lock);
    log->holders++;
    publish_pins(log, INT64_MAX);
    rill__mutex_unlock(&log->lock);
}

void rill__log_let_go(struct log *log)
{
    rill__mutex_lock(&log->lock);
    log->holders--;
    publish_pins(log, INT64_MAX);
    rill__mutex_unlock(&log->lock);
}

int rill__log_pin(struct log *log, int64_t base, bool writable, struct segment **out)
{
    struct segment *s;
    int rc = 0;

    rill__log_use(log);
    rill__mutex_lock(&log->lock);
    publish_pins(log, base);
    follow_layout(log);
    for (s = log->segments; s != NULL; s = s->next)
        if (s->base == base && s->writable == writable && !s->stale) break;
    if (s != NULL) {
        if (s->references++ == 0) take_idle(log);
    } else {
        rc = rill__segment_open(&log->config, &log->dir, base, writable, &s);
        if (rc == 0) {
            s->next = log->segments;
            log->segments = s;
        }
    }
    if (rc != 0) publish_pins(log, INT64_MAX);
    rill__mutex_unlock(&log->lock);
    if (rc == 0) *out = s;
    return unless_deleted(log, rc);
}

void rill__log_unpin(struct log *log, struct segment *segment)
{
    if (segment == NULL) return;
    rill__mutex_lock(&log->lock);
    if (--segment->references != 0) {
        segment = NULL;
    } else {
        unlink_segment(log, segment);
        if (!segment->writable && !segment->stale && !rill__log_is_deleted(log)) {
            segment->next = log->segments; /* idle last is first in the list */
            log->segments = segment;
            log->idle_count++;
            atomic_fetch_add_explicit(log->config.idle_segments, 1, memory_order_relaxed);
            segment = too_many_idle(log);
        }
        publish_pins(log, INT64_MAX);
    }
    rill__mutex_unlock(&log->lock);
    rill__segment_close(&log->config, segment); /* unmapping takes its time */
}

static void close_idle(struct log *log, int64_t before)
{
    struct segment **at;

    for (at = &log->segments; *at != NULL;) {
        struct segment *s = *at;
        if (s->references != 0 || s->base >= before) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        take_idle(log);
        rill__segment_close(&log->config, s);
    }
}

static void drop_idle_before(struct log *log, int64_t base)
{
    rill__mutex_lock(&log->lock);
    close_idle(log, base);
    rill__mutex_unlock(&log->lock);
}

void rill__log_drop_idle(struct log *log)
{
    drop_idle_before(log, INT64_MAX);
}

void rill__log_forget_maps(struct log *log)
{
    rill__mutex_lock(&log->lock);
    log->layout_seen = atomic_load(&log->control->layout) - 1;
    follow_layout(log);
    rill__mutex_unlock(&log->lock);
}
