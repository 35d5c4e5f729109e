/*
 * log/recover.c - from whatever a crash left to a log to go on with.
 *
 * Two cases. If the machine has not been rebooted and no sync has failed, the
 * page cache holds all that was written, and the tail in the control block is
 * exact. Else the durable mark is where to start: what lies before it was
 * synced, so if it does not verify it is damage, and reported; what lies after
 * it is believed batch by batch as long as checksums, offsets and epochs go on
 * without a gap. The first thing that does not is the torn tail.
 *
 *     find the tail -> remove later segments -> zero what was discarded ->
 *     sync -> epoch + 1 -> mark -> control block -> (caller) incarnation
 *
 * The log start is what the mark says. Segments before it may be there or not,
 * as far as whoever moved it has come; those that are, are removed.
 *
 * What was cut can not come back: it is zeroed and synced before the first
 * append, batches of an earlier epoch are refused behind those of a later one,
 * and a batch verifies only in its own segment, offset and epoch. What does not
 * verify behind the tail may stay: the file may have been another segment's before.
 *
 * Recovery may itself die at any point: until the incarnation is stored, the
 * next process starts over, from the mark.
 */
#include "base/bytes.h"
#include "log/inner.h"
#include <inttypes.h>

#define ZERO_CHUNK 65536u

/* ---- Zeros behind the tail ---- */

/* to: at most the end of the file. */
static int zero_range(struct log *log, int64_t base, uint64_t from, uint64_t to, bool *dirty)
{
    struct file file = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    uint8_t *chunk = NULL;
    uint64_t file_size = 0;
    const uint8_t *p;
    int rc;

    *dirty = false;
    if (from >= to) return 0;
    chunk = rill__alloc(log->config.heap, ZERO_CHUNK);
    if (chunk == NULL) return RILL_ERR_NO_MEMORY;
    rill__segment_name(base, "log", name);
    rc = rill__file_open(&log->dir, name, FILE_WRITE, &file);
    if (rc == 0) rc = rill__file_size(&file, &file_size);
    if (to > file_size) to = file_size;
    while (rc == 0 && from < to) {
        size_t size = to - from < ZERO_CHUNK ? (size_t)(to - from) : ZERO_CHUNK;
        rc = rill__file_read(&file, chunk, size, from);
        if (rc != 0) break;
        for (p = chunk; p < chunk + size && *p == 0; p++) {}
        if (p < chunk + size) {
            memset(chunk, 0, size);
            rc = rill__file_write(&file, chunk, size, from);
            *dirty = true;
        }
        from += size;
    }
    if (rc == 0 && *dirty) rc = rill__file_sync(&file);
    rill__file_close(&file);
    rill__free(log->config.heap, chunk);
    return rc;
}

/* Of these segments, removes those in (after, end) or, with end -1, all after `after`. */
static int remove_some(struct log *log, const int64_t *bases, size_t count, int64_t after,
                       int64_t end, bool *removed)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        int64_t base = bases[i];
        if (base <= after || (end >= 0 && base >= end)) continue;
        rill__log_say(log, RILL_LOG_WARNING,
                      "%s: segment %" PRId64 " was not part of the log; removed", log->dir.name,
                      base);
        rc = rill__segment_remove(&log->dir, base);
        *removed = true;
    }
    return rc;
}

/* While nobody else uses the log. */
static int remove_bases(struct log *log, int64_t after, int64_t end, bool *removed)
{
    return remove_some(log, log->bases, log->base_count, after, end, removed);
}

/* ---- After the holder of the append lock died ---- */

int rill__log_repair(struct log *log)
{
    struct control *c = log->control;
    uint32_t intent = atomic_load(&c->intent_end);
    struct tail_copy tail;
    bool dirty = false;
    bool removed = false;
    int64_t *bases;
    size_t base_count;
    int rc;

    rill__control_tail(c, &tail);
    atomic_store(&c->active_base, tail.base);
    atomic_store(&c->tail_position, tail.position);
    if (tail.first_open < atomic_load(&c->first_open)) /* see log/known.c */
        atomic_store(&c->first_open, tail.first_open);
    atomic_store(&c->log_end, tail.end_offset);
    atomic_store(&c->first_open, tail.first_open);
    rill__log_drop_idle(log);
    rc = rill__log_list_bases(log, &bases, &base_count);
    if (rc == 0) rc = remove_some(log, bases, base_count, tail.base, -1, &removed);
    rill__free(log->config.heap, bases);
    if (rc == 0 && removed) rc = rill__log_refresh(log);
    if (rc == 0 && tail.base >= 0) rc = zero_range(log, tail.base, tail.position, intent, &dirty);
    if (rc != 0) return rc;
    tail.epoch++;
    rill__control_set_tail(c, &tail);
    atomic_fetch_add_explicit(log->config.recoveries, 1, memory_order_relaxed);
    rill__log_say(log, RILL_LOG_INFO,
                  "%s: a process died while appending; went on at offset %" PRId64 ", epoch %d%s",
                  log->dir.name, tail.end_offset, (int)tail.epoch,
                  dirty ? ", its half-written batch zeroed" : "");
    rill__log_wake(log);
    return 0;
}

/* ---- At open ---- */

struct scan {
    struct log *log;
    const struct mark *mark;
    struct segment *segment;
    struct tail_copy tail;
    bool removed;
    bool transactions; /* some were met */
};

/* What lies before the mark was synced: if it cannot be walked it is damage. It
 * stays, for readers to meet; the mark tells where the log goes on. */
static void skip_damage(struct scan *s, const char *why)
{
    rill__log_say(s->log, RILL_LOG_ERROR,
                  "%s/%s: damaged: no valid batch at position %u, offset %" PRId64
                  " (%s), although all before offset %" PRId64
                  " was durable; reading there fails, the rest of the log goes on",
                  s->log->dir.name, s->segment->name, s->tail.position, s->tail.end_offset,
                  why != NULL ? why : "out of sequence", s->mark->durable_end);
    s->tail.position = s->mark->position;
    s->tail.end_offset = s->mark->durable_end;
    s->tail.max_time = INT64_MAX; /* not known: a search by time must meet the damage */
}

/* From the tail that is known in the segment to its last good batch. */
static int scan_segment(struct scan *s)
{
    const struct log_config *config = &s->log->config;
    struct segment *segment = s->segment;
    struct batch_view view;
    const char *why = NULL;
    bool good;

    for (;;) {
        size_t room = segment->size - s->tail.position;
        bool below = s->tail.end_offset < s->mark->durable_end;
        enum batch_state state =
            rill__batch_view(segment->map.data + s->tail.position, room, &view, &why);

        good = state == BATCH_VALID && view.base_offset == s->tail.end_offset &&
               view.epoch >= s->tail.epoch && (below || rill__batch_verify(&view, segment->salt));
        if (!good) {
            if (!below) return 0;
            if (s->mark->position > segment->size)
                return rill__fail(RILL_ERR_CORRUPT,
                                  "%s/%s: %u bytes, but records up to position %u were durable",
                                  s->log->dir.name, segment->name, segment->size,
                                  s->mark->position);
            skip_damage(s, why);
            continue;
        }
        if (s->tail.index_position == 0 ||
            s->tail.position - s->tail.index_position >= config->index_interval_bytes) {
            if (rill__index_put(segment, s->tail.index_count, view.base_offset, s->tail.position,
                                s->tail.max_time))
                s->tail.index_count++;
            s->tail.index_position = s->tail.position;
        }
        if (below && !rill__batch_verify(&view, segment->salt)) s->tail.max_time = INT64_MAX;
        else if (view.max_time > s->tail.max_time) s->tail.max_time = view.max_time;
        if ((view.attributes & BATCH_TRANSACTIONAL) != 0) s->transactions = true;
        s->tail.position += view.length;
        s->tail.end_offset = view.end_offset;
        s->tail.epoch = view.epoch;
        /* Not verified, so its length may be a lie; the mark knows better. */
        if (below && view.end_offset >= s->mark->durable_end &&
            (view.end_offset != s->mark->durable_end || s->tail.position != s->mark->position))
            skip_damage(s, "its length does not lead to the durable mark");
    }
}

static void start_segment(struct scan *s, struct segment *segment)
{
    s->segment = segment;
    s->tail.base = segment->base;
    s->tail.end_offset = segment->base;
    s->tail.position = SEGMENT_HEADER_SIZE;
    s->tail.index_count = 0;
    s->tail.index_position = 0;
    s->tail.max_time = INT64_MIN;
    s->tail.created_ms = 0;
}

static bool is_base(const struct log *log, int64_t base)
{
    for (size_t i = 0; i < log->base_count; i++)
        if (log->bases[i] == base) return true;
    return false;
}

/* With an index to fill: a lost or foreign one is made anew. */
static int open_for_scan(struct log *log, int64_t base, struct segment **segment)
{
    int rc = rill__log_pin(log, base, true, segment);

    if (rc != 0 || (*segment)->index.data != NULL) return rc;
    rc = rill__segment_make_index(&log->config, &log->dir, *segment);
    rill__log_unpin(log, *segment);
    *segment = NULL;
    return rc != 0 ? rc : rill__log_pin(log, base, true, segment);
}

/* A segment whose header never got to disk is empty or begins with zeros: the
 * header lies in one sector. Anything else that does not open is damage. */
static bool was_never_made(struct log *log, int64_t base)
{
    static const uint8_t zeros[SEGMENT_HEADER_SIZE];
    uint8_t header[SEGMENT_HEADER_SIZE];
    struct saved_message message;
    struct file file = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size;
    bool never = false;

    rill__message_save(&message);
    rill__segment_name(base, "log", name);
    if (rill__file_open(&log->dir, name, FILE_READ, &file) == 0 &&
        rill__file_size(&file, &size) == 0)
        never = size < sizeof header || (rill__file_read(&file, header, sizeof header, 0) == 0 &&
                                         memcmp(header, zeros, sizeof header) == 0);
    rill__file_close(&file);
    rill__message_restore(&message);
    return never;
}

static int scan_from_mark(struct scan *s)
{
    struct log *log = s->log;
    struct segment *next = NULL;
    int64_t first = s->mark->segment;
    int rc;

    s->tail = (struct tail_copy){
        .base = -1, .max_time = INT64_MIN, .first_open = INT64_MAX, .epoch = s->mark->epoch};
    if (first < 0) first = 0;
    if (!is_base(log, first)) {
        if (s->mark->durable_end > 0)
            return rill__fail(RILL_ERR_CORRUPT,
                              "%s: segment %" PRId64 " is missing; records up to offset %" PRId64
                              " were durable",
                              log->dir.name, first, s->mark->durable_end);
        s->tail.base = -1;
        return remove_bases(log, -1, -1, &s->removed);
    }
    rc = open_for_scan(log, first, &s->segment);
    if (rc == RILL_ERR_CORRUPT && s->mark->durable_end == 0 && was_never_made(log, first)) {
        /* Nothing of it was ever durable: its header was not either. */
        s->segment = NULL;
        return remove_bases(log, -1, -1, &s->removed);
    }
    if (rc != 0) return rc;
    start_segment(s, s->segment);
    s->tail.epoch = 0; /* batches before the mark have smaller ones */
    for (;;) {
        int64_t base = s->tail.base;
        rc = scan_segment(s);
        if (rc != 0) return rc;
        /* Halves of a roll that did not happen, inside the range of this one. */
        rc = remove_bases(log, base, s->tail.end_offset, &s->removed);
        if (rc != 0) return rc;
        if (s->tail.end_offset == base || !is_base(log, s->tail.end_offset)) break;
        rc = open_for_scan(log, s->tail.end_offset, &next);
        if (rc == RILL_ERR_CORRUPT && was_never_made(log, s->tail.end_offset)) break;
        if (rc != 0) return rc;
        rill__index_seal(s->segment, s->tail.index_count, s->tail.position, s->tail.end_offset,
                         s->tail.max_time);
        rill__log_unpin(log, s->segment);
        start_segment(s, next);
        next = NULL;
    }
    return remove_bases(log, s->tail.base, -1, &s->removed);
}

/* Whoever moved the log start last did not come to removing them. */
static int remove_before(struct log *log, int64_t start)
{
    int64_t first = -1;
    int rc = 0;

    for (size_t i = 0; i < log->base_count && log->bases[i] <= start; i++) first = log->bases[i];
    for (size_t i = 0; i < log->base_count && log->bases[i] < first && rc == 0; i++) {
        rc = rill__segment_remove(&log->dir, log->bases[i]);
        if (rc == 0) atomic_fetch_add_explicit(log->config.deletions, 1, memory_order_relaxed);
    }
    if (rc == 0) rill__log_forget_before(log, first);
    return rc;
}

/* The index of a segment that is not there: of a roll that did not happen, or the
 * power went while it was removed. */
static bool is_orphan(const struct log *log, const char *name)
{
    char segment[SEGMENT_NAME_SIZE] = "";

    if (strlen(name) != 26 || strcmp(name + 20, ".index") != 0) return false;
    memcpy(segment, name, 20);
    memcpy(segment + 20, ".log", 5);
    return rill__segment_base_of(segment) >= 0 && !is_base(log, rill__segment_base_of(segment));
}

static int remove_leftover(void *arg, const char *name)
{
    struct log *log = arg;
    size_t size = strlen(name);

    if ((size > 4 && strcmp(name + size - 4, ".tmp") == 0) || strcmp(name, "next.log") == 0 ||
        strcmp(name, "next.index") == 0 || is_orphan(log, name))
        return rill__file_remove(&log->dir, name);
    return 0;
}

static bool trust_control(const struct log *log)
{
    const struct control *c = log->control;
    static const uint8_t no_boot[16];

    return c->magic == CONTROL_MAGIC && c->abi == rill__shared_abi() &&
           atomic_load(&c->incarnation) != 0 && atomic_load(&c->poison) == 0 &&
           memcmp(c->boot_id, no_boot, 16) != 0 &&
           memcmp(c->boot_id, log->config.boot_id, 16) == 0;
}

/* Batches lead to the tail, from the mark if that is in the segment. What lies
 * behind the tail will be zeroed, so a word that rotted must not say where. */
static bool batches_lead_to(struct log *log, const struct mark *mark,
                            const struct tail_copy *tail)
{
    struct batch_view view = {.end_offset = tail->base};
    struct segment *segment;
    const char *why;
    uint32_t at = SEGMENT_HEADER_SIZE;

    if (rill__log_pin(log, tail->base, true, &segment) != 0) return false;
    if (mark->segment == tail->base && mark->position <= tail->position) {
        at = mark->position;
        view.end_offset = mark->durable_end;
    }
    while (at < tail->position && tail->position <= segment->size) {
        int64_t next = view.end_offset;
        if (rill__batch_view(segment->map.data + at, segment->size - at, &view, &why) !=
                BATCH_VALID ||
            view.base_offset != next)
            break;
        at += view.length;
    }
    if (tail->position > segment->size) at = 0;
    rill__log_unpin(log, segment);
    return at == tail->position && view.end_offset == tail->end_offset;
}

/* The tail that the control block holds, if the files agree with it. */
static bool tail_from_control(struct log *log, const struct mark *mark, struct tail_copy *tail)
{
    const struct control *c = log->control;

    if (!trust_control(log)) return false;
    rill__control_tail(c, tail);
    if (tail->base < 0) return tail->end_offset == 0 && mark->durable_end == 0;
    return tail->end_offset >= mark->durable_end && tail->end_offset >= tail->base &&
           tail->position >= SEGMENT_HEADER_SIZE && tail->epoch >= 0 &&
           is_base(log, tail->base) && atomic_load(&c->durable_end) <= tail->end_offset &&
           batches_lead_to(log, mark, tail);
}

/* Where the last batch ends that verifies behind the tail, or that is torn at it: the
 * position of the tail if there is none, the end of the file if the bytes make it too
 * much work to tell. */
static uint64_t end_of_discarded(const struct segment *segment, const struct tail_copy *tail)
{
    uint64_t budget = 4 * (uint64_t)segment->size;
    uint64_t end = tail->position;
    struct batch_view view;
    const char *why;

    for (uint64_t at = tail->position; at + BATCH_HEADER_SIZE <= segment->size; at += 8) {
        const uint8_t *header = segment->map.data + at;
        uint32_t length = rill__get32(header + BATCH_LENGTH_AT);
        int64_t offset;

        if (length == 0 || length > segment->size - at) continue;
        offset = (int64_t)rill__get64(header + BATCH_BASE_OFFSET_AT);
        if (offset < tail->end_offset || offset - tail->base > UINT32_MAX) continue;
        if (at == tail->position && offset == tail->end_offset) end = at + length;
        if (rill__batch_view(header, segment->size - (size_t)at, &view, &why) != BATCH_VALID)
            continue;
        if (budget < length) return segment->size;
        budget -= length;
        if (rill__batch_verify(&view, segment->salt) && at + length > end) end = at + length;
    }
    return end;
}

/* After a boot. */
static int zero_discarded(struct log *log, const struct tail_copy *tail, bool *dirty)
{
    struct segment *segment;
    uint64_t end;
    int rc = rill__log_pin(log, tail->base, true, &segment);

    if (rc != 0) return rc;
    end = end_of_discarded(segment, tail);
    rill__log_unpin(log, segment);
    return zero_range(log, tail->base, tail->position, end, dirty);
}

static int fill_control(struct log *log, const struct tail_copy *tail, const struct mark *mark,
                        int64_t durable_end, int64_t directory_base)
{
    struct control *c = log->control;
    struct file_facts active = {0, 0};
    char name[SEGMENT_NAME_SIZE];
    int rc = 0;

    rill__segment_name(tail->base, "log", name);
    if (tail->base >= 0) rc = rill__file_look(&log->dir, name, &active);
    if (rc != 0) return rc;

    memset(c, 0, sizeof *c);
    rc = rill__shared_mutex_init(&c->append_lock);
    if (rc == 0) rc = rill__shared_mutex_init(&c->sync_lock);
    if (rc != 0) return rc;
    c->magic = CONTROL_MAGIC;
    c->abi = rill__shared_abi();
    rill__control_set_tail(c, tail);
    atomic_store(&c->active_base, tail->base);
    atomic_store(&c->tail_position, tail->position);
    atomic_store(&c->active_size, (uint32_t)active.size);
    atomic_store(&c->log_end, tail->end_offset);
    atomic_store(&c->first_open, tail->first_open);
    atomic_store(&c->durable_end, durable_end);
    atomic_store(&c->directory_base, directory_base);
    atomic_store(&c->log_start, mark->log_start);
    atomic_store(&c->swept, mark->log_start);
    atomic_store(&c->mark_end, mark->durable_end);
    atomic_store(&c->mark_sequence, mark->sequence);
    atomic_store(&c->mark_ms, rill__monotonic_ns() / 1000000);
    memcpy(c->boot_id, log->config.boot_id, 16);
    return 0;
}

/* Where the earliest transaction begins that was open is known from its batches. */
static int find_open(struct log *log, struct tail_copy *tail)
{
    int rc = rill__log_know_first_open(log, tail->end_offset, &tail->first_open);

    if (rc != 0) return rc;
    rill__control_set_tail(log->control, tail);
    atomic_store(&log->control->first_open, tail->first_open);
    return 0;
}

/* Everything from the mark to the tail, on disk. */
static int sync_recovered(struct log *log, const struct mark *mark, const struct tail_copy *tail)
{
    char name[SEGMENT_NAME_SIZE];
    int rc = 0;

    for (size_t i = 0; i < log->base_count && rc == 0; i++) {
        struct file file = FILE_NONE;
        if (log->bases[i] < mark->segment || log->bases[i] > tail->base) continue;
        rill__segment_name(log->bases[i], "log", name);
        rc = rill__file_open(&log->dir, name, FILE_WRITE, &file);
        if (rc == 0) rc = rill__file_sync(&file);
        rill__file_close(&file);
    }
    return rc == 0 ? rill__dir_sync(&log->dir) : rc;
}

/* After a failed sync the page cache shows bytes that are not on disk. */
static void drop_caches(struct log *log, const struct file *control_file)
{
    char name[SEGMENT_NAME_SIZE];

    rill__file_drop_cache(control_file);
    for (size_t i = 0; i < log->base_count; i++) {
        struct file file = FILE_NONE;
        rill__segment_name(log->bases[i], "log", name);
        if (rill__file_open(&log->dir, name, FILE_READ, &file) == 0) rill__file_drop_cache(&file);
        rill__file_close(&file);
    }
}

/* A sync may have failed: whoever recovers next reads from the disk. */
static void distrust_cache(struct control *c, int rc)
{
    atomic_store(&c->poison, (uint32_t)-rc);
    c->magic = CONTROL_MAGIC;
}

int rill__log_recover(struct log *log, const struct file *control_file)
{
    struct control *c = log->control;
    struct mark mark;
    struct scan scan = {.log = log, .mark = &mark};
    int64_t durable_end;
    int64_t directory_base = -1;
    bool compacting;
    bool same_boot;
    bool dirty = false;
    int rc;

    log->layout_seen = atomic_load(&c->layout); /* what is found here is the latest */
    rc = rill__file_exists(&log->dir, CLEAN_INDEX, &compacting);
    if (rc == 0 && compacting) rc = rill__log_tidy(log);
    if (rc == 0) rc = rill__log_refresh(log);
    if (rc == 0) rc = rill__dir_list(&log->dir, remove_leftover, log);
    if (rc != 0) return rc;
    if (c->magic == CONTROL_MAGIC && atomic_load(&c->poison) != 0) drop_caches(log, control_file);
    rc = rill__mark_read(control_file, &mark);
    if (rc != 0) return rc;
    same_boot = tail_from_control(log, &mark, &scan.tail);
    if (same_boot) {
        durable_end = atomic_load(&c->durable_end);
        directory_base = atomic_load(&c->directory_base);
        rc = remove_bases(log, scan.tail.base, -1, &scan.removed);
    } else {
        /* From here on the words are not to be trusted, should we die. */
        memset(c->boot_id, 0, sizeof c->boot_id);
        rc = scan_from_mark(&scan);
        durable_end = scan.tail.end_offset;
        directory_base = scan.tail.base;
    }
    if (rc != 0) goto out;
    if (scan.tail.base >= 0 && same_boot)
        rc = zero_range(log, scan.tail.base, scan.tail.position, atomic_load(&c->intent_end),
                        &dirty);
    else if (scan.tail.base >= 0) rc = zero_discarded(log, &scan.tail, &dirty);
    if (rc == 0 && scan.removed) rc = rill__log_refresh(log);
    if (rc == 0) rc = remove_before(log, mark.log_start);
    if (rc == 0 && !same_boot) rc = sync_recovered(log, &mark, &scan.tail);
    if (rc != 0) {
        distrust_cache(c, rc);
        goto out;
    }

    if (scan.tail.epoch < mark.epoch) scan.tail.epoch = mark.epoch;
    scan.tail.epoch++;
    mark.epoch = scan.tail.epoch;
    mark.sequence++;
    if (same_boot) mark.open = scan.tail.first_open != INT64_MAX;
    else mark.open |= scan.transactions;
    if (!same_boot) {
        mark.durable_end = durable_end;
        mark.segment = scan.tail.base;
        mark.position = scan.tail.position;
        mark.index_count = scan.tail.index_count;
    }
    rc = rill__mark_write(control_file, &mark);
    if (rc != 0) distrust_cache(c, rc);
    if (rc == 0 && !same_boot && log->config.recovered != NULL)
        rc = log->config.recovered(log->config.recovered_arg, scan.tail.end_offset);
    if (rc == 0) rc = fill_control(log, &scan.tail, &mark, durable_end, directory_base);
    if (rc == 0 && !same_boot && (mark.open || scan.transactions))
        rc = find_open(log, &scan.tail);
    if (rc != 0) goto out;
    atomic_store_explicit(&c->incarnation, log->config.incarnation, memory_order_release);
    atomic_fetch_add_explicit(log->config.recoveries, 1, memory_order_relaxed);
    if (dirty || scan.removed)
        rill__log_say(log, RILL_LOG_WARNING,
                      "%s: recovered; a torn tail after offset %" PRId64 " was cut, epoch is %d",
                      log->dir.name, scan.tail.end_offset, (int)scan.tail.epoch);
out:
    if (scan.segment != NULL) rill__log_unpin(log, scan.segment);
    rill__log_drop_idle(log);
    return rc;
}
