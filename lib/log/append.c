/*
 * log/append.c - the one way in: batches at the tail, one writer at a time.
 *
 * The batch comes built and checksummed. Under the append lock it is given its
 * offsets, copied once into the segment, and published; see log/control.h for
 * what is true at each step if the process dies there.
 *
 * First touches of fresh pages cost more than all the rest, so they are made
 * before the lock is taken, a MiB at a time.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/inner.h"
#include <inttypes.h>

#define POPULATE_STEP (1u << 20)

void rill__log_unlock(struct log *log)
{
    atomic_store_explicit(&log->control->append_owner, 0, memory_order_relaxed);
    rill__shared_mutex_unlock(&log->control->append_lock);
}

int rill__log_lock(struct log *log, int64_t deadline_ns)
{
    int rc = rill__shared_mutex_lock(&log->control->append_lock, deadline_ns);

    if (rc < 0) {
        if (rc == RILL_ERR_TIMEOUT)
            return rill__fail(rc, "%s: process %d holds the append lock", log->dir.name,
                              (int)atomic_load(&log->control->append_owner));
        return rc;
    }
    if (rc == RILL__OWNER_DIED) {
        rc = rill__log_repair(log);
        if (rc != 0) rill__log_poison(log, rc);
        rill__shared_mutex_repaired(&log->control->append_lock);
        if (rc != 0) goto unlock;
    }
    rc = rill__log_state(log);
    if (rc != 0) goto unlock;
    atomic_store_explicit(&log->control->append_since_ms, rill__tick_ms(), memory_order_relaxed);
    atomic_store_explicit(&log->control->append_owner, log->process_id, memory_order_relaxed);
    return 0;
unlock:
    rill__shared_mutex_unlock(&log->control->append_lock);
    return rc;
}

/* ---- Pre-faulting ---- */

static bool is_populated(const struct log *log, int64_t base, uint64_t end)
{
    return atomic_load_explicit(&log->populated_base, memory_order_relaxed) == base &&
           end <= atomic_load_explicit(&log->populated_end, memory_order_relaxed);
}

/* Write-faults the map from position for size bytes and up to a MiB more. */
static int populate(struct log *log, int64_t base, uint32_t position, size_t size)
{
    struct segment *segment = NULL;
    size_t from = position & ~(size_t)(POPULATE_STEP - 1);
    size_t to = (position + size + POPULATE_STEP) & ~(size_t)(POPULATE_STEP - 1);
    int rc = rill__log_pin(log, base, true, &segment);

    if (rc == RILL_ERR_NOT_FOUND) /* rolled and deleted by now: the tail tells */
        return rill__log_state(log);
    if (rc != 0) return rc;
    if (is_populated(log, base, from)) from = atomic_load(&log->populated_end);
    if (to > segment->size) to = segment->size;
    if (from < to) rc = rill__map_populate(&segment->map, from, to);
    rill__log_unpin(log, segment);
    if (rc != 0) return rc;
    atomic_store_explicit(&log->populated_end, (uint32_t)to, memory_order_relaxed);
    atomic_store_explicit(&log->populated_base, base, memory_order_relaxed);
    return 0;
}

/* ---- Under the lock ---- */

int64_t rill__log_roll_in(const struct log *log, const struct tail_copy *tail)
{
    const struct log_config *config = &log->config;
    uint32_t age = atomic_load_explicit(&config->segment_ms, memory_order_relaxed);
    uint32_t jitter = atomic_load_explicit(&config->segment_jitter_ms, memory_order_relaxed);

    if (tail->created_ms == 0) return INT64_MAX;
    if (jitter > age) jitter = age;
    if (jitter != 0) {
        /* The same in every process, another one for every segment. */
        uint64_t place = (uint64_t)tail->base ^ (uint64_t)config->partition << 48;
        uint64_t share = rill__mix64(rill__get64(config->topic_id) ^ rill__mix64(place));
        age -= (uint32_t)(share % ((uint64_t)jitter + 1));
    }
    return tail->created_ms + age + 1 - rill__now_ms();
}

int rill__log_roll(struct log *log, struct tail_copy *tail)
{
    int64_t base = tail->end_offset;
    struct segment *old = log->writer;
    struct segment *fresh = NULL;
    int rc;

    if (base == tail->base) return 0; /* nothing in it: no need */
    rc = rill__segment_create(&log->config, &log->dir, base, tail->epoch,
                              atomic_load(&log->config.segment_bytes));
    if (rc != 0)
        return rill__fail_prefix(rc, "%s: no new segment at offset %" PRId64, log->dir.name,
                                 base);
    rc = rill__log_pin(log, base, true, &fresh);
    if (rc != 0) {
        rill__segment_remove(&log->dir, base);
        return rc;
    }
    if (old != NULL && old->base == tail->base) {
        rill__index_seal(old, tail->index_count, tail->position, base, tail->max_time);
    } else if (tail->base >= 0 && rill__log_pin(log, tail->base, true, &old) == 0) {
        rill__index_seal(old, tail->index_count, tail->position, base, tail->max_time);
        rill__log_unpin(log, old);
        old = log->writer;
    }
    log->writer = fresh;
    rill__log_note_base(log, tail->base, base);
    tail->base = base;
    tail->position = SEGMENT_HEADER_SIZE;
    tail->index_count = 0;
    tail->index_position = 0;
    tail->max_time = INT64_MIN;
    tail->created_ms = 0;
    rill__control_set_tail(log->control, tail);
    atomic_store(&log->control->active_base, base);
    atomic_store_explicit(&log->control->tail_position, tail->position, memory_order_relaxed);
    atomic_store_explicit(&log->control->active_size, fresh->size, memory_order_relaxed);
    if (old != NULL) rill__log_unpin(log, old);
    atomic_fetch_add_explicit(log->config.rolls, 1, memory_order_relaxed);
    return 0;
}

static int take_writer(struct log *log, int64_t base)
{
    struct segment *fresh = NULL;
    int rc;

    rill__log_use(log);
    if (log->writer != NULL && log->writer->base == base) return 0;
    rc = rill__log_pin(log, base, true, &fresh);
    if (rc != 0) return rc;
    if (log->writer != NULL) rill__log_unpin(log, log->writer);
    log->writer = fresh;
    return 0;
}

uint16_t rill__log_attributes(const struct log *log)
{
    return atomic_load_explicit(&log->config.timestamp_type, memory_order_relaxed) ==
                   RILL_TIMESTAMP_APPEND
               ? BATCH_APPEND_TIME
               : 0;
}

/* If the batch shall bear the time of its append: now, but the segment's times
 * never go back. INT64_MAX: they are not known, see recover.c. */
static void tell_time(const struct tail_copy *tail, struct batch *batch)
{
    int64_t now_ms;

    batch->append_ms = 0;
    if ((batch->attributes & BATCH_APPEND_TIME) == 0) return;
    now_ms = rill__now_ms();
    if (tail->max_time > now_ms && tail->max_time != INT64_MAX) now_ms = tail->max_time;
    batch->append_ms = now_ms;
    batch->max_time = now_ms;
}

/* What is known of a batch under the lock only, into its bytes at data. */
static void stamp(struct log *log, const struct tail_copy *tail, const struct batch *batch,
                  uint8_t *data)
{
    if ((batch->attributes & BATCH_APPEND_TIME) != 0) rill__batch_set_time(data, batch->max_time);
    rill__batch_stamp(data, batch->content, log->writer->salt, tail->end_offset, tail->epoch);
}

/* Whether the next segment is to be prepared from now on: asked where an index entry is
 * due, so that it is true once in a segment, for one appender of all processes. */
static bool passes_half(const struct log *log, const struct tail_copy *tail)
{
    uint32_t half = log->writer->size / 2;

    return half >= POPULATE_STEP && tail->index_position < half && tail->position >= half;
}

/* The batch stands in the segment, stamped: makes it part of the log. True: somebody
 * should be told that the next segment is wanted, without the lock. */
static bool commit_batch(struct log *log, struct tail_copy *tail, const struct batch *batch)
{
    struct control *c = log->control;
    uint32_t since = tail->position - tail->index_position;
    bool next_due = false;
    bool opens;

    if (tail->index_position == 0 || since >= log->config.index_interval_bytes) {
        next_due = passes_half(log, tail);
        if (rill__index_put(log->writer, tail->index_count, tail->end_offset, tail->position,
                            tail->max_time))
            tail->index_count++;
        tail->index_position = tail->position;
    }
    if (tail->created_ms == 0) tail->created_ms = rill__now_ms();
    if (batch->max_time > tail->max_time) tail->max_time = batch->max_time;
    tail->position += (uint32_t)batch->size;
    tail->end_offset += batch->span;
    opens = tail->first_open < atomic_load_explicit(&c->first_open, memory_order_relaxed);
    rill__control_set_tail(c, tail); /* the commit point */
    if (opens) atomic_store(&c->first_open, tail->first_open);
    atomic_store_explicit(&c->tail_position, tail->position, memory_order_relaxed);
    atomic_store(&c->log_end, tail->end_offset); /* seq_cst: before the look at waiters */
    if (!opens && tail->first_open != atomic_load_explicit(&c->first_open, memory_order_relaxed))
        atomic_store(&c->first_open, tail->first_open);
    return next_due;
}

static void tell_next_due(const struct log *log)
{
    if (log->config.next_due != NULL) log->config.next_due(log->config.say_arg);
}

static int zero_file(const struct file *file, uint64_t position, size_t size)
{
    static const uint8_t zeros[4096];
    int rc = 0;

    while (size > 0 && rc == 0) {
        size_t part = size < sizeof zeros ? size : sizeof zeros;
        rc = rill__file_write(file, zeros, part, position);
        position += part;
        size -= part;
    }
    return rc;
}

/* Stamped, to its place, by write calls. */
static int write_batch(struct log *log, const struct tail_copy *tail, const struct batch *batch)
{
    struct file file = FILE_NONE;
    int rc = rill__log_take_file(log, &log->writer_file, tail->base, &file);

    if (rc != 0) return rc;
    stamp(log, tail, batch, batch->data);
    rc = rill__file_write(&file, batch->data, batch->size, tail->position);
    if (rc != 0) {
        /* A whole batch may stand there: it must not be found later. */
        struct saved_message message;
        rill__message_save(&message);
        if (zero_file(&file, tail->position, batch->size) != 0) {
            rill__log_poison(log, rc);
            rc = RILL_ERR_POISONED; /* it may be found later: the outcome is open */
        }
        rill__message_restore(&message);
    }
    rill__log_put_file(&log->writer_file, &file);
    return rc;
}

static void intend(struct log *log, const struct tail_copy *tail, size_t size)
{
    atomic_store_explicit(&log->control->intent_end, tail->position + (uint32_t)size,
                          memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* An empty segment cannot be rolled: the next one would have its name, which others
 * have mapped, and the marks may say. So its first offset is to have no record. */
static int pass_first(struct log *log, struct tail_copy *tail)
{
    _Alignas(8) uint8_t data[BATCH_HEADER_SIZE];
    struct batch batch;
    int rc;

    rill__batch_init(&batch, data, sizeof data);
    rill__batch_gap(&batch, 1);
    intend(log, tail, batch.size);
    rc = write_batch(log, tail, &batch);
    atomic_signal_fence(memory_order_seq_cst);
    if (rc == 0) commit_batch(log, tail, &batch);
    return rc;
}

/* The active segment, writable, with room for size bytes; rolls if need be. */
static int active_segment(struct log *log, struct tail_copy *tail, size_t size)
{
    uint64_t room = atomic_load_explicit(&log->config.segment_bytes, memory_order_relaxed);
    int rc = tail->base < 0 ? 0 : take_writer(log, tail->base);

    if (rc != 0) return rc;
    if (tail->base >= 0 && size <= log->writer->size - tail->position &&
        rill__log_roll_in(log, tail) > 0)
        return 0;
    if (size > room - SEGMENT_HEADER_SIZE)
        return rill__fail(RILL_ERR_TOO_BIG,
                          "%s: a batch of %zu bytes in a segment of %" PRIu64 " bytes",
                          log->dir.name, size, room);
    if (tail->end_offset == tail->base) rc = pass_first(log, tail);
    return rc != 0 ? rc : rill__log_roll(log, tail);
}

int rill__log_append(struct log *log, struct batch *batch, bool through_file, int64_t deadline_ns,
                     int64_t *base_offset)
{
    struct control *c = log->control;
    struct tail_copy tail;
    uint8_t *at = batch->data;
    bool next_due;
    int rc;

    if (log->config.copy_on_write) through_file = true;
    for (int attempt = 0;; attempt++) {
        rc = rill__log_lock(log, deadline_ns);
        if (rc != 0) return rc;
        rill__control_tail(c, &tail);
        rc = active_segment(log, &tail, batch->size);
        if (rc != 0) goto out;
        if (through_file || attempt == 2 ||
            is_populated(log, tail.base, tail.position + batch->size))
            break;
        rill__log_unlock(log);
        rc = populate(log, tail.base, tail.position, batch->size);
        if (rc != 0) return rc;
    }
    if (batch->checked) {
        rc = rill__log_check_batch(log, batch, &tail, base_offset);
        if (rc != 0) goto out;
    }
    intend(log, &tail, batch->size);
    tell_time(&tail, batch);
    if (through_file) {
        rc = write_batch(log, &tail, batch);
        if (rc != 0) goto out;
    } else {
        at = log->writer->map.data + tail.position;
        memcpy(at, batch->data, batch->size);
        stamp(log, &tail, batch, at);
    }
    atomic_signal_fence(memory_order_seq_cst);
    *base_offset = tail.end_offset;
    next_due = commit_batch(log, &tail, batch);
    if (batch->checked) rill__log_note_batch(log, *base_offset, at, batch->size);
    rill__log_unlock(log);
    rill__log_wake(log);
    if (next_due) tell_next_due(log);
    return 0;
out:
    rill__log_unlock(log);
    return rc;
}

int rill__log_skip(struct log *log, int64_t to, int64_t deadline_ns)
{
    _Alignas(8) uint8_t data[BATCH_HEADER_SIZE];
    int64_t end = rill__log_end(log);
    int rc = 0;

    while (rc == 0 && end < to) {
        uint32_t span = to - end < INT32_MAX ? (uint32_t)(to - end) : INT32_MAX;
        struct batch batch;
        int64_t offset;
        rill__batch_init(&batch, data, sizeof data);
        rill__batch_gap(&batch, span);
        rc = rill__log_append(log, &batch, true, deadline_ns, &offset);
        end = rill__log_end(log);
    }
    return rc;
}

/* ---- In place ---- */

int rill__log_reserve(struct log *log, size_t size, int64_t deadline_ns, uint8_t **room)
{
    struct tail_copy tail;
    int rc;

    for (int attempt = 0;; attempt++) {
        rc = rill__log_lock(log, deadline_ns);
        if (rc != 0) return rc;
        rill__control_tail(log->control, &tail);
        rc = active_segment(log, &tail, size);
        if (rc != 0) goto out;
        if (attempt == 2 || is_populated(log, tail.base, tail.position + size)) break;
        rill__log_unlock(log);
        rc = populate(log, tail.base, tail.position, size);
        if (rc != 0) return rc;
    }
    intend(log, &tail, size);
    *room = log->writer->map.data + tail.position;
    return 0;
out:
    rill__log_unlock(log);
    return rc;
}

int rill__log_commit(struct log *log, struct batch *batch, int64_t *base_offset)
{
    struct tail_copy tail;
    bool next_due;

    rill__control_tail(log->control, &tail);
    tell_time(&tail, batch);
    stamp(log, &tail, batch, batch->data);
    atomic_signal_fence(memory_order_seq_cst);
    *base_offset = tail.end_offset;
    next_due = commit_batch(log, &tail, batch);
    rill__log_unlock(log);
    rill__log_wake(log);
    if (next_due) tell_next_due(log);
    return 0;
}

void rill__log_abandon(struct log *log)
{
    struct tail_copy tail;
    uint32_t end = atomic_load_explicit(&log->control->intent_end, memory_order_relaxed);

    rill__control_tail(log->control, &tail);
    memset(log->writer->map.data + tail.position, 0, end - tail.position);
    rill__log_unlock(log);
}
