/*
 * log/sync.c - making the log durable, and remembering how far it is.
 *
 *     covered? --yes--> done
 *        | no
 *     try sync_lock --taken--> sleep on durable_sequence, look again
 *        | got it
 *     tail := now; sync every segment from the durable end to the tail; sync
 *     the directory if a segment is new; durable_end := tail; unlock; wake all
 *
 * So whoever comes first syncs for all that was appended by then, in every
 * process, and the append lock is never held over a sync.
 *
 * A failed sync is told once by the kernel and the data is gone. The first
 * process to see it poisons the partition for all; nobody is acknowledged
 * after that, and no sync is tried again.
 *
 * The durable mark follows lazily: it says which part of the log, if it does
 * not verify, is damage and not a torn tail.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/probe.h"
#include "log/inner.h"
#include <inttypes.h>

#define RETRY_NS (INT64_C(50) * 1000 * 1000) /* a dead syncer is noticed so soon */

static const char mark_magic[8] = {'R', 'I', 'L', 'L', 'M', 'R', 'K', '1'};

static bool read_mark_copy(const uint8_t *b, struct mark *mark)
{
    if (memcmp(b, mark_magic, sizeof mark_magic) != 0 ||
        rill__get64(b + 56) != rill__checksum(b, 56) || rill__get32(b + 44) > 1)
        return false;
    mark->sequence = rill__get64(b + 8);
    mark->durable_end = (int64_t)rill__get64(b + 16);
    mark->segment = (int64_t)rill__get64(b + 24);
    mark->position = rill__get32(b + 32);
    mark->index_count = rill__get32(b + 36);
    mark->epoch = (int32_t)rill__get32(b + 40);
    mark->open = rill__get32(b + 44) != 0;
    mark->log_start = (int64_t)rill__get64(b + 48);
    return mark->log_start >= 0 && mark->log_start <= mark->durable_end;
}

int rill__marks_look(const struct file *control_file, struct mark *mark, unsigned *valid)
{
    uint8_t copies[MARK_B_AT - MARK_A_AT + MARK_SIZE];
    struct mark a = {0};
    struct mark b = {0};
    bool has_a;
    bool has_b;
    int rc = rill__file_read(control_file, copies, sizeof copies, MARK_A_AT);

    if (rc != 0) return rc;
    has_a = read_mark_copy(copies, &a);
    has_b = read_mark_copy(copies + (MARK_B_AT - MARK_A_AT), &b);
    *valid = (has_a ? 1u : 0) | (has_b ? 2u : 0);
    *mark = has_a && (!has_b || a.sequence > b.sequence) ? a : b;
    return 0;
}

int rill__mark_read(const struct file *control_file, struct mark *mark)
{
    struct mark newer;
    unsigned valid;
    int rc = rill__marks_look(control_file, &newer, &valid);

    if (rc != 0) return rc;
    if (valid == 0)
        return rill__fail(RILL_ERR_CORRUPT,
                          "%s: both durable marks are damaged; what was durable is not known",
                          control_file->name);
    *mark = newer;
    return 0;
}

int rill__mark_put(const struct file *control_file, const struct mark *mark)
{
    uint8_t b[MARK_SIZE] = {0};

    memcpy(b, mark_magic, sizeof mark_magic);
    rill__put64(b + 8, mark->sequence);
    rill__put64(b + 16, (uint64_t)mark->durable_end);
    rill__put64(b + 24, (uint64_t)mark->segment);
    rill__put32(b + 32, mark->position);
    rill__put32(b + 36, mark->index_count);
    rill__put32(b + 40, (uint32_t)mark->epoch);
    rill__put32(b + 44, mark->open ? 1 : 0);
    rill__put64(b + 48, (uint64_t)mark->log_start);
    rill__put64(b + 56, rill__checksum(b, 56));
    return rill__file_write(control_file, b, sizeof b,
                            mark->sequence % 2 == 0 ? MARK_B_AT : MARK_A_AT);
}

int rill__mark_write(const struct file *control_file, const struct mark *mark)
{
    int rc = rill__mark_put(control_file, mark);

    return rc != 0 ? rc : rill__file_sync(control_file);
}

/* ---- Under sync_lock -------------------------------------------------- */

static int sync_segment(struct log *log, int64_t base)
{
    struct file file = FILE_NONE;
    int rc = rill__log_take_file(log, &log->sync_file, base, &file);

    if (rc != 0) return rc;
    atomic_fetch_add_explicit(log->config.syncs, 1, memory_order_relaxed);
    rc = rill__file_sync(&file);
    if (rc != 0) rill__log_poison(log, rc);
    rill__log_put_file(&log->sync_file, &file);
    return rc;
}

/* The segments that hold [durable_end, tail). What fails before a sync was tried
 * is an error and nothing more. */
static int sync_segments(struct log *log, const struct tail_copy *tail)
{
    int64_t base;
    int rc = rill__log_base_of(log, rill__log_durable(log), &base);

    while (rc == 0) {
        rc = sync_segment(log, base);
        if (rc != 0 || base == tail->base) break;
        rc = rill__log_base_after(log, base, &base);
        if (rc == 0 && base < 0)
            rc = rill__fail(RILL_ERR_CORRUPT,
                            "%s: segment %" PRId64 " is missing, it cannot be synced",
                            log->dir.name, tail->base);
    }
    if (rc == 0 && tail->base > atomic_load(&log->control->directory_base)) {
        rc = rill__dir_sync(&log->dir);
        if (rc != 0) return rill__log_poison(log, rc);
        atomic_store(&log->control->directory_base, tail->base);
    }
    return rc;
}

/* What fails in the end leaves open what is on disk: then nobody goes on. */
static int write_mark(struct log *log, const struct file *control_file,
                      const struct tail_copy *tail, int64_t log_start)
{
    struct control *c = log->control;
    struct file index = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    struct mark mark = {atomic_load(&c->mark_sequence) + 1,
                        tail->end_offset,
                        tail->base,
                        tail->position,
                        tail->index_count,
                        tail->epoch,
                        tail->first_open != INT64_MAX,
                        log_start};
    int rc;

    rill__segment_name(tail->base, "index", name);
    if (rill__file_open(&log->dir, name, FILE_WRITE, &index) != 0 || rill__file_sync(&index) != 0)
        mark.index_count = 0; /* a hint; it will be rebuilt */
    rill__file_close(&index);
    rc = rill__mark_write(control_file, &mark);
    if (rc != 0) return rill__log_poison(log, rc);
    atomic_store(&c->mark_sequence, mark.sequence);
    atomic_store(&c->mark_end, mark.durable_end);
    atomic_store(&c->mark_ms, rill__monotonic_ns() / 1000000);
    return 0;
}

/* Syncs all there is now, up to *tail. */
static int sync_to_tail(struct log *log, struct tail_copy *tail)
{
    struct control *c = log->control;
    int rc = rill__log_state(log);

    if (rc != 0) return rc;
    rill__control_tail(c, tail);
    /* An empty new segment too: the mark may name it. */
    if (tail->base >= 0 && (tail->end_offset > rill__log_durable(log) ||
                            tail->base > atomic_load(&c->directory_base))) {
        rc = sync_segments(log, tail);
        if (rc != 0) return rc;
        atomic_store_explicit(&c->durable_end, tail->end_offset, memory_order_release);
    }
    return 0;
}

/* force_mark: also brings the mark up to it. */
static int sync_all(struct log *log, bool force_mark)
{
    struct control *c = log->control;
    struct tail_copy tail;
    int64_t now_ms = rill__monotonic_ns() / 1000000;
    int rc = sync_to_tail(log, &tail);

    if (rc != 0 || tail.base < 0) return rc;
    if (atomic_load(&c->mark_end) < tail.end_offset &&
        (force_mark || now_ms - atomic_load(&c->mark_ms) >= log->config.sync_interval_ms)) {
        struct file control_file = FILE_NONE;
        rc = rill__log_open_control(log, &control_file);
        if (rc != 0) return force_mark ? rc : 0; /* it may come later */
        rc = write_mark(log, &control_file, &tail, atomic_load(&c->log_start));
        rill__file_close(&control_file);
    }
    return rc;
}

static void announce_durable(struct log *log)
{
    atomic_fetch_add(&log->control->durable_sequence, 1);
    rill__futex_wake_all(&log->control->durable_sequence);
    rill__log_wake(log); /* consumers that read only what is durable */
}

/* rc: what taking the lock returned, 0 or RILL__OWNER_DIED. */
static void begin_sync(struct log *log, int rc)
{
    /* What it guards is written in an order in which any prefix is true. */
    if (rc == RILL__OWNER_DIED) rill__shared_mutex_repaired(&log->control->sync_lock);
    atomic_store_explicit(&log->control->sync_since_ms, rill__tick_ms(), memory_order_relaxed);
    atomic_store_explicit(&log->control->sync_owner, log->process_id, memory_order_relaxed);
}

static void end_sync(struct log *log)
{
    atomic_store_explicit(&log->control->sync_owner, 0, memory_order_relaxed);
    rill__shared_mutex_unlock(&log->control->sync_lock);
    announce_durable(log);
}

/* One try: 0 synced, RILL_ERR_BUSY another one is at it. */
static int sync_once(struct log *log, bool force_mark)
{
    int rc = rill__shared_mutex_trylock(&log->control->sync_lock);

    if (rc < 0) return rc;
    begin_sync(log, rc);
    rc = sync_all(log, force_mark);
    RILL_PROBE3(sync, log->dir.name, rill__log_durable(log), rc);
    end_sync(log);
    return rc;
}

/* Both marks: should one of them rot, the other must not name segments that are
 * gone. Nothing shows the new start, and nothing goes, before they are on disk. */
static int move_start(struct log *log, int64_t start)
{
    struct file control_file = FILE_NONE;
    struct tail_copy tail;
    int rc = sync_to_tail(log, &tail);

    if (rc == 0) rc = rill__log_open_control(log, &control_file);
    for (int i = 0; i < 2 && rc == 0; i++) rc = write_mark(log, &control_file, &tail, start);
    rill__file_close(&control_file);
    if (rc == 0) atomic_store(&log->control->log_start, start);
    return rc;
}

int rill__log_lock_sync(struct log *log, int64_t deadline_ns)
{
    int rc = rill__shared_mutex_lock(&log->control->sync_lock, deadline_ns);

    if (rc == RILL_ERR_TIMEOUT)
        return rill__fail(rc, "%s: process %d holds the sync lock", log->dir.name,
                          (int)atomic_load(&log->control->sync_owner));
    if (rc < 0) return rc;
    begin_sync(log, rc);
    return 0;
}

void rill__log_unlock_sync(struct log *log)
{
    end_sync(log);
}

int rill__log_move_start(struct log *log, int64_t start, int64_t deadline_ns)
{
    int rc = rill__log_lock_sync(log, deadline_ns);

    if (rc != 0) return rc;
    rc = start > atomic_load(&log->control->log_start) ? move_start(log, start) : 0;
    rill__log_unlock_sync(log);
    return rc;
}

static bool marks_are_in(const struct file *control_file, int64_t base)
{
    uint8_t copies[MARK_B_AT - MARK_A_AT + MARK_SIZE];
    struct mark a;
    struct mark b;

    return rill__file_read(control_file, copies, sizeof copies, MARK_A_AT) == 0 &&
           read_mark_copy(copies, &a) && a.segment == base &&
           read_mark_copy(copies + (MARK_B_AT - MARK_A_AT), &b) && b.segment == base;
}

int rill__log_settle(struct log *log, struct tail_copy *tail, int64_t deadline_ns)
{
    struct file control_file = FILE_NONE;
    int rc = rill__log_lock_sync(log, deadline_ns);

    if (rc != 0) return rc;
    rc = rill__log_settle_layout(log);
    if (rc == 0) rc = sync_to_tail(log, tail);
    if (rc == 0) rc = rill__log_open_control(log, &control_file);
    for (int i = 0; i < 2 && rc == 0 && tail->base >= 0; i++) {
        if (marks_are_in(&control_file, tail->base)) break;
        rc = write_mark(log, &control_file, tail, atomic_load(&log->control->log_start));
    }
    rill__file_close(&control_file);
    rill__log_unlock_sync(log);
    return rc;
}

int rill__log_sync(struct log *log, int64_t end, int64_t deadline_ns)
{
    for (;;) {
        uint32_t sequence =
            atomic_load_explicit(&log->control->durable_sequence, memory_order_acquire);
        int64_t now;
        int rc;

        if (rill__log_durable(log) >= end) return 0;
        rc = sync_once(log, false);
        if (rc != RILL_ERR_BUSY) return rc;
        rc = rill__log_state(log);
        if (rc != 0) return rc;
        now = rill__monotonic_ns();
        if (now >= deadline_ns)
            return rill__fail(RILL_ERR_TIMEOUT,
                              "%s: a sync by another thread or process takes long",
                              log->dir.name);
        rill__futex_wait(&log->control->durable_sequence, sequence,
                         deadline_ns - now < RETRY_NS ? deadline_ns : now + RETRY_NS);
    }
}

/* The words are a copy that others may have been changing: what is out of step only
 * makes it look unsynced. What was published before the call is in it. */
static bool words_need_sync(const struct control *c, const uint8_t boot_id[16])
{
    static const uint8_t unknown[16];
    const struct tail *tail = &c->tails[atomic_load(&c->tail_version) & 1];
    int64_t durable = atomic_load(&c->durable_end);

    if (c->magic == 0) return false; /* nobody has ever used it */
    if (c->magic != CONTROL_MAGIC || c->abi != rill__shared_abi()) return true;
    if (memcmp(c->boot_id, unknown, 16) == 0) return true; /* a recovery has died */
    if (memcmp(c->boot_id, boot_id, 16) != 0 || atomic_load(&c->deleted) != 0) return false;
    return atomic_load(&c->poison) != 0 || atomic_load(&c->log_end) > durable ||
           atomic_load(&tail->end_offset) > durable ||
           atomic_load(&c->active_base) > atomic_load(&c->directory_base);
}

int rill__log_needs_sync(const struct file *dir, const uint8_t boot_id[16], bool *needs)
{
    struct control words;
    struct file file = FILE_NONE;
    int rc = rill__file_open(dir, "control", FILE_READ, &file);

    if (rc == 0) rc = rill__file_read(&file, &words, sizeof words, 0);
    rill__file_close(&file);
    *needs = rc == 0 && words_need_sync(&words, boot_id);
    return rc;
}

int rill__log_checkpoint(struct log *log)
{
    int rc = rill__log_state(log);

    if (rc == 0 && atomic_load(&log->control->mark_end) < rill__log_end(log))
        rc = sync_once(log, true);
    return rc == RILL_ERR_BUSY ? 0 : rc; /* another process is at it */
}

static void due_in(uint32_t *next_ms, int64_t ms)
{
    if (ms < 1) ms = 1;
    if (ms < *next_ms) *next_ms = (uint32_t)ms;
}

/* A segment prepared when the active one is half full. */
static int prepare_next(struct log *log)
{
    struct control *c = log->control;
    uint32_t position = atomic_load_explicit(&c->tail_position, memory_order_relaxed);
    uint64_t size = atomic_load_explicit(&log->config.segment_bytes, memory_order_relaxed);
    struct file lock = FILE_NONE;
    bool prepared;
    int rc;

    if (atomic_load(&c->active_base) < 0 ||
        position < atomic_load_explicit(&c->active_size, memory_order_relaxed) / 2)
        return 0;
    rc = rill__segment_is_prepared(&log->dir, size, &prepared);
    if (rc != 0 || prepared) return rc;
    rc = rill__log_lock_file(log, CONTROL_LOCK_PREPARE, 0, &lock);
    if (rc != 0) return rc == RILL_ERR_BUSY ? 0 : rc; /* another process is at it */
    rc = rill__segment_prepare(&log->config, &log->dir, size);
    rill__log_unlock_file(&lock);
    return rc;
}

static int roll_by_age(struct log *log, uint32_t *next_ms)
{
    struct tail_copy tail;
    int64_t left;
    int rc;

    rill__control_tail(log->control, &tail);
    left = rill__log_roll_in(log, &tail);
    if (left > 0) {
        due_in(next_ms, left);
        return 0;
    }
    rc = rill__log_lock(log, rill__deadline(0));
    if (rc != 0) return rc == RILL_ERR_TIMEOUT ? 0 : rc;
    rill__control_tail(log->control, &tail);
    if (rill__log_roll_in(log, &tail) <= 0) rc = rill__log_roll(log, &tail);
    rill__log_unlock(log);
    return rc;
}

/* What was deleted, by whomever: removed, if that did not come to its end, and let
 * go of here. */
static int follow_start(struct log *log)
{
    int64_t start = atomic_load(&log->control->log_start);
    struct log_retained retained = {0, 0, 0};
    int64_t first;
    int rc = rill__log_sweep(log, &retained);

    if (rc != 0 || start == atomic_load(&log->start_seen)) return rc;
    rc = rill__log_base_of(log, start, &first);
    if (rc != 0) return rc;
    rill__log_forget_before(log, first);
    rill__log_shed_before(log, first);
    atomic_store(&log->start_seen, start);
    return 0;
}

int rill__log_maintain(struct log *log, uint32_t *next_ms)
{
    struct control *c = log->control;
    int rc = rill__log_state(log);

    if (rc == RILL_ERR_NOT_FOUND) rill__log_shed(log);
    if (rc != 0) return rc;
    if (atomic_load(&c->mark_end) < rill__log_end(log)) {
        int64_t since = rill__monotonic_ns() / 1000000 - atomic_load(&c->mark_ms);
        if (since >= log->config.sync_interval_ms) {
            rc = sync_once(log, true);
            if (rc != 0 && rc != RILL_ERR_BUSY) return rc;
            due_in(next_ms, log->config.sync_interval_ms);
        } else {
            due_in(next_ms, log->config.sync_interval_ms - since);
        }
    }
    rc = rill__log_retain_again(log);
    if (rc == 0) rc = follow_start(log);
    if (rc == 0) rc = prepare_next(log);
    if (rc == 0) rc = roll_by_age(log, next_ms);
    rill__log_rest(log);
    return rc;
}
