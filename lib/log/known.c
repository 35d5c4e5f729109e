/*
 * log/known.c - producers and transactions of a partition, as its log tells them.
 *
 * Each process has a table (log/producers.h) of its own, and brings it up to date when it
 * needs it, by walking the headers of the batches that have come since. Under the append
 * lock nothing can come meanwhile, so there it is exact. Who appends what it asks about
 * has only its own batches to add.
 *
 *     nobody asks        no table, no cost
 *     first question     checkpoint, if there is one that fits, then a walk to the end
 *     later ones         a walk over what has come since
 *
 * The checkpoint is the file `producers`: a hint. It is written when all that it tells of is
 * durable, so that it never knows more than what a power cut leaves.
 *
 * Where the earliest open transaction begins is in the tail (first_open), so that it changes
 * at the commit point of the batch that changes it. Readers have it from a word of its
 * own, which is stored before log_end when it falls, and after it when it rises:
 * who loads log_end first and then that word never sees the end without the transaction.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/inner.h"
#include <inttypes.h>

#define CHECKPOINT_MAX ((uint64_t)64 << 20)

static uint64_t checkpoint_salt(const struct log *log)
{
    return rill__producers_salt(log->config.topic_id, log->config.partition);
}

/* ---- The table, brought up to date; under known.lock ------------------ */

static void load_checkpoint(struct log *log)
{
    struct known *known = &log->known;
    struct file file = FILE_NONE;
    uint8_t *bytes = NULL;
    uint64_t size = 0;

    known->loaded = true;
    rill__producers_init(&known->table, log->config.heap);
    if (rill__file_open(&log->dir, "producers", FILE_READ, &file) != 0) return;
    if (rill__file_size(&file, &size) == 0 && size <= CHECKPOINT_MAX)
        bytes = rill__alloc(log->config.heap, (size_t)size);
    if (bytes != NULL && rill__file_read(&file, bytes, (size_t)size, 0) == 0)
        rill__producers_load(&known->table, checkpoint_salt(log), bytes, (size_t)size);
    rill__free(log->config.heap, bytes);
    rill__file_close(&file);
    /* Of a log that was longer: it was made of what is gone. */
    if (known->table.end > rill__log_durable(log)) rill__producers_clear(&known->table, 0);
    known->checkpoint_end = known->table.end;
}

/* Past a damaged place: to the next segment, or the end. What was between is not known. */
static int pass_damage(struct log *log, struct log_cursor *cursor, int64_t end)
{
    struct saved_message why;
    int64_t base;
    int64_t next = -1;
    int rc;

    rill__message_save(&why);
    rc = rill__log_base_of(log, cursor->offset, &base);
    if (rc == 0) rc = rill__log_base_after(log, base, &next);
    if (rc != 0) return rc;
    rill__log_say(log, RILL_LOG_WARNING,
                  "%s: what its producers did in offsets [%" PRId64 ", %" PRId64
                  ") is not known, since it cannot be read: %s",
                  log->dir.name, cursor->offset, next >= 0 && next < end ? next : end, why.text);
    log->known.table.end = next >= 0 && next < end ? next : end;
    rill__cursor_deinit(cursor);
    return 0;
}

static int walk(struct log *log, int64_t end)
{
    struct producers *table = &log->known.table;
    struct log_cursor cursor;
    struct batch_view view;
    bool more = true;
    int rc = 0;

    rill__cursor_init(&cursor, log);
    while (rc == 0 && table->end < end) {
        int64_t start = rill__log_start(log);
        if (cursor.segment == NULL) {
            if (table->end < start) table->end = start;
            if (table->end >= end) break;
            rc = rill__cursor_seek(&cursor, table->end);
        }
        if (rc == 0) rc = rill__cursor_step(&cursor, end, false, &view, &more);
        if (rc == 0 && more) rc = rill__producers_note(table, &view);
        else if (rc == RILL_ERR_CORRUPT) rc = pass_damage(log, &cursor, end);
        else if (rc == RILL_ERR_RANGE) rc = 0, rill__cursor_deinit(&cursor); /* it is gone */
        rill__cursor_release(&cursor);
    }
    rill__cursor_deinit(&cursor);
    return rc;
}

static int know(struct log *log, int64_t end)
{
    if (!log->known.loaded) load_checkpoint(log);
    if (log->known.table.end >= end) return 0;
    return walk(log, end);
}

/* ---- Under the append lock -------------------------------------------- */

static int check_marker(const struct log *log, const struct batch *marker)
{
    const struct producer_state *state =
        rill__producers_find(&log->known.table, marker->producer_id);

    /* One that another instance has begun is not this one's to end. */
    return state != NULL && state->open_first >= 0 && state->epoch + 1 == marker->producer_epoch
               ? 0
               : LOG_DUPLICATE;
}

static int check_data(const struct log *log, const struct batch *batch, int64_t *base_offset)
{
    const struct producers *table = &log->known.table;
    const struct producer_state *state = rill__producers_find(table, batch->producer_id);

    /* Of an epoch that is over: its marker could not be written, or its owner did not know. */
    if (state != NULL && state->open_first >= 0 && state->epoch < batch->producer_epoch &&
        (batch->attributes & BATCH_TRANSACTIONAL) != 0)
        return LOG_UNSETTLED;
    switch (rill__producers_check(table, batch->producer_id, batch->producer_epoch,
                                  batch->base_sequence, batch->record_count, base_offset)) {
    case PRODUCER_APPEND: return 0;
    case PRODUCER_DUPLICATE: return LOG_DUPLICATE;
    case PRODUCER_FENCED:
        return rill__fail(RILL_ERR_FENCED,
                          "%s: a newer instance of producer id %" PRId64
                          " has written since, or its transaction was ended; this one, of "
                          "epoch %d, is fenced",
                          log->dir.name, batch->producer_id, (int)batch->producer_epoch);
    case PRODUCER_OUT_OF_ORDER: break;
    }
    return rill__fail(RILL_ERR_SEQUENCE,
                      "%s: %u records from sequence %d on; the next of producer id %" PRId64
                      " is %d, and these are none of its last %d batches",
                      log->dir.name, batch->record_count, (int)batch->base_sequence,
                      batch->producer_id,
                      (int)rill__producers_expected(table, batch->producer_id), PRODUCER_BATCHES);
}

int rill__log_check_batch(struct log *log, const struct batch *batch, struct tail_copy *tail,
                          int64_t *base_offset)
{
    bool marker = (batch->attributes & BATCH_CONTROL) != 0;
    int rc;

    rill__mutex_lock(&log->known.lock);
    rc = know(log, tail->end_offset);
    if (rc == 0) rc = marker ? check_marker(log, batch) : check_data(log, batch, base_offset);
    if (rc == 0 && marker)
        tail->first_open = rill__producers_first_open_but(&log->known.table, batch->producer_id);
    else if (rc == 0 && (batch->attributes & BATCH_TRANSACTIONAL) != 0 &&
             tail->end_offset < tail->first_open)
        tail->first_open = tail->end_offset;
    rill__mutex_unlock(&log->known.lock);
    return rc;
}

void rill__log_note_batch(struct log *log, int64_t base_offset, const uint8_t *data, size_t size)
{
    struct batch_view view;
    const char *why;

    rill__mutex_lock(&log->known.lock);
    /* Else, or if there is no memory now, a later walk finds it. */
    if (log->known.loaded && log->known.table.end == base_offset &&
        rill__batch_view(data, size, &view, &why) == BATCH_VALID)
        rill__producers_note(&log->known.table, &view);
    rill__mutex_unlock(&log->known.lock);
}

/* ---- What others ask -------------------------------------------------- */

int rill__log_end_transaction(struct log *log, int64_t producer_id, int16_t epoch, bool commit,
                              bool through_file, int64_t deadline_ns)
{
    _Alignas(8) uint8_t room[BATCH_MARKER_SIZE];
    struct batch marker;
    int64_t offset;
    int rc;

    rill__batch_marker(&marker, room, producer_id, (int16_t)(epoch + 1), commit, rill__now_ms());
    rc = rill__log_append(log, &marker, through_file, deadline_ns, &offset);
    return rc == LOG_DUPLICATE ? 0 : rc;
}

int64_t rill__log_first_open(const struct log *log)
{
    return atomic_load(&log->control->first_open);
}

int64_t rill__log_stable(const struct log *log)
{
    int64_t end = rill__log_end(log);
    int64_t open = rill__log_first_open(log);

    return open < end ? open : end;
}

int rill__log_expected(struct log *log, int64_t producer_id, int32_t *sequence)
{
    int rc;

    rill__mutex_lock(&log->known.lock);
    rc = know(log, rill__log_end(log));
    if (rc == 0) *sequence = rill__producers_expected(&log->known.table, producer_id);
    rill__mutex_unlock(&log->known.lock);
    return rc;
}

int rill__log_is_aborted(struct log *log, const struct batch_view *view, bool *aborted)
{
    int rc;

    rill__mutex_lock(&log->known.lock);
    rc = know(log, rill__log_end(log));
    if (rc == 0) *aborted = rill__producers_is_aborted(&log->known.table, view);
    rill__mutex_unlock(&log->known.lock);
    return rc;
}

int rill__log_open_transactions(struct log *log, size_t *from, struct open_transaction *open,
                                size_t max, size_t *count)
{
    int rc;

    *count = 0;
    if (rill__log_first_open(log) == INT64_MAX) return 0;
    rill__mutex_lock(&log->known.lock);
    rc = know(log, rill__log_end(log));
    while (rc == 0 && *from < log->known.table.room && *count < max) {
        const struct producer_state *state = &log->known.table.places[(*from)++];
        if (state->id < 0 || state->open_first < 0) continue;
        open[(*count)++] = (struct open_transaction){state->id, state->epoch, state->open_first};
    }
    rill__mutex_unlock(&log->known.lock);
    return rc;
}

int rill__log_know_first_open(struct log *log, int64_t end, int64_t *first_open)
{
    int rc;

    rill__mutex_lock(&log->known.lock);
    rc = know(log, end);
    if (rc == 0) *first_open = rill__producers_first_open(&log->known.table);
    rill__mutex_unlock(&log->known.lock);
    return rc;
}

/* ---- The checkpoint --------------------------------------------------- */

static int write_checkpoint(struct log *log)
{
    struct known *known = &log->known;
    size_t size = rill__producers_stored_size(&known->table);
    uint8_t *bytes = rill__alloc(log->config.heap, size);
    struct file file = FILE_NONE;
    int rc;

    if (bytes == NULL) return RILL_ERR_NO_MEMORY;
    rill__producers_store(&known->table, checkpoint_salt(log), bytes);
    rc = rill__file_remove(&log->dir, "producers.tmp");
    if (rc == 0)
        rc = rill__file_open(&log->dir, "producers.tmp", FILE_WRITE | FILE_CREATE, &file);
    if (rc == 0) rc = rill__file_write(&file, bytes, size, 0);
    if (rc == 0) rc = rill__file_sync(&file);
    rill__file_close(&file);
    if (rc == 0) rc = rill__file_rename(&log->dir, "producers.tmp", "producers");
    if (rc == 0) known->checkpoint_end = known->table.end;
    rill__free(log->config.heap, bytes);
    return rc;
}

static int64_t newest_time(const struct producers *table)
{
    int64_t newest = 0;

    for (size_t i = 0; i < table->room; i++)
        if (table->places[i].id >= 0 && table->places[i].max_time > newest)
            newest = table->places[i].max_time;
    return newest;
}

int rill__log_checkpoint_producers(struct log *log, uint64_t expiration_ms, uint64_t every)
{
    struct known *known = &log->known;
    int64_t durable = rill__log_durable(log);
    int rc = 0;

    rill__mutex_lock(&known->lock);
    if (known->loaded && durable == rill__log_end(log)) rc = know(log, durable);
    if (rc == 0 && known->loaded && known->table.end <= durable &&
        known->table.end > known->checkpoint_end &&
        (uint64_t)(known->table.end - known->checkpoint_end) >= every) {
        int64_t newest = newest_time(&known->table);
        if ((uint64_t)newest > expiration_ms)
            rill__producers_expire(&known->table, newest - (int64_t)expiration_ms);
        rill__producers_trim(&known->table, rill__log_start(log));
        rc = write_checkpoint(log);
    }
    rill__mutex_unlock(&known->lock);
    return rc;
}
