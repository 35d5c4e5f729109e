/*
 * log/read.c - cursors: walking the batches where they lie.
 *
 * A cursor pins the mapped segment that it stands in. Reading is: load an end
 * with acquire, walk batch headers below it in the map, hand out pointers. No
 * lock, no copy and no system call, except where a segment ends.
 *
 * A segment is finished when the next one begins at exactly the offset that
 * the cursor expects. Only then is it left; bytes behind its last batch mean
 * nothing. A compacted one says itself where it ends.
 *
 * Sealed segments are replaced while they are read, several by one even. Who has
 * pinned one reads it to its end and goes on in the segment that holds the offset
 * by then, where the batch with that offset may begin before it.
 *
 * Segments go from the front of the log while it is read. One that is pinned
 * stays as it is: the cursor reads it to its end, also before the log start. What
 * it wants next may be gone then: RILL_ERR_RANGE. A segment is pinned first, and
 * then it is looked at whether it still belongs to the log; see log/control.h.
 */
#include "base/bytes.h"
#include "log/inner.h"
#include <inttypes.h>

void rill__cursor_init(struct log_cursor *cursor, struct log *log)
{
    memset(cursor, 0, sizeof *cursor);
    cursor->log = log;
}

void rill__cursor_deinit(struct log_cursor *cursor)
{
    if (cursor->log == NULL) return;
    rill__log_unpin(cursor->log, cursor->segment);
    rill__log_unpin(cursor->log, cursor->previous);
    cursor->segment = NULL;
    cursor->previous = NULL;
}

void rill__cursor_release(struct log_cursor *cursor)
{
    if (cursor->previous == NULL) return;
    rill__log_unpin(cursor->log, cursor->previous);
    cursor->previous = NULL;
}

#define NO_BATCH "no batch where one must be, or a segment is missing"

static int damaged(const struct log_cursor *cursor, const char *why)
{
    return rill__fail(RILL_ERR_CORRUPT, "%s/%s: batch at position %u, offset %" PRId64 ": %s",
                      cursor->log->dir.name, cursor->segment->name, cursor->position,
                      cursor->offset, why);
}

/* Index entries that may be used: the tail's for the active segment. */
static uint32_t entries_of(struct log *log, const struct segment *segment)
{
    struct index_seal seal;
    struct tail_copy tail;

    rill__control_tail(log->control, &tail);
    if (tail.base == segment->base) return tail.index_count;
    return rill__index_sealed(segment, &seal) ? seal.count : 0;
}

/* Whether the segment's file has been replaced, or has become a part of another one.
 * Then the maps of what is no more are forgotten. */
static bool is_replaced(struct log *log, const struct segment *segment)
{
    struct segment_header header;
    struct saved_message message;
    bool replaced;
    int rc;

    rill__message_save(&message);
    rc = rill__segment_peek(&log->config, &log->dir, segment->base, &header);
    replaced = rc == RILL_ERR_NOT_FOUND || (rc == 0 && header.salt != segment->salt);
    rill__message_restore(&message);
    if (replaced) rill__log_forget_maps(log);
    return replaced;
}

/* Pins the segment that holds offset. RILL_ERR_RANGE if that is gone, RILL_ERR_CORRUPT
 * if only the segment is. */
static int pin_at(struct log *log, int64_t offset, struct segment **segment)
{
    int64_t missing = -1;

    for (;;) {
        int64_t base;
        int rc = rill__log_base_of(log, offset, &base);
        int gone;
        bool lost = false;

        if (rc == 0) rc = rill__log_pin(log, base, false, segment);
        gone = rill__log_check_start(log, offset);
        if (rc == 0 && gone == 0) {
            /* A segment that is gone is a part of a compacted one, or lost. */
            lost =
                (*segment)->end >= 0 ? (*segment)->end <= offset : missing >= 0 && base < missing;
            if (!lost) return 0;
            lost = !is_replaced(log, *segment); /* just now */
        }
        if (rc == 0) rill__log_unpin(log, *segment);
        *segment = NULL;
        if (gone != 0) return gone;
        if (rc == 0 && !lost) continue;
        if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc;
        rc = rill__log_state(log);
        if (rc == RILL_ERR_NOT_FOUND) return rc; /* the topic was deleted */
        if (lost || missing == base)
            return rill__fail(RILL_ERR_CORRUPT,
                              "%s: the segment that holds offset %" PRId64 " is missing",
                              log->dir.name, offset);
        missing = base;
        rc = rill__log_refresh(log); /* it may have become a part of another one */
        if (rc != 0) return rc;
    }
}

/* To the last place in the cursor's segment that the index knows before offset. */
static void place_in_segment(struct log_cursor *cursor, int64_t offset)
{
    const struct segment *segment = cursor->segment;

    cursor->segment_end = -1;
    cursor->offset = segment->base;
    cursor->position = rill__index_find(segment, entries_of(cursor->log, segment), offset);
    if (cursor->position != SEGMENT_HEADER_SIZE)
        cursor->offset =
            (int64_t)rill__get64(segment->map.data + cursor->position + BATCH_BASE_OFFSET_AT);
}

/* Where headers cannot be trusted: looks at every place from `from` for batches
 * that verify, until one holds offset. */
static bool find_batch(const struct segment *segment, uint32_t from, int64_t offset,
                       uint32_t *position, struct batch_view *view)
{
    const char *why;
    uint32_t at = from;

    while (at <= segment->size - BATCH_HEADER_SIZE) {
        if (rill__batch_view(segment->map.data + at, segment->size - at, view, &why) !=
                BATCH_VALID ||
            !rill__batch_verify(view, segment->salt)) {
            at += 8;
            continue;
        }
        if (view->base_offset > offset) return false;
        *position = at;
        if (view->end_offset > offset) return true;
        at += view->length;
    }
    return false;
}

/* From where the cursor stands to the batch that holds offset. */
static int walk_to(struct log_cursor *cursor, int64_t offset)
{
    const struct segment *segment = cursor->segment;
    uint32_t from = cursor->position;
    struct batch_view view;
    const char *why;

    while (cursor->offset < offset) {
        if (rill__batch_view(segment->map.data + cursor->position,
                             segment->size - cursor->position, &view, &why) != BATCH_VALID ||
            view.base_offset != cursor->offset) {
            int rc = damaged(cursor, why != NULL ? why : NO_BATCH);
            if (!find_batch(segment, from, offset, &cursor->position, &view)) return rc;
            cursor->offset = view.base_offset;
            return 0;
        }
        if (view.end_offset > offset) break;
        cursor->position += view.length;
        cursor->offset = view.end_offset;
    }
    return 0;
}

int rill__cursor_seek(struct log_cursor *cursor, int64_t offset)
{
    struct log *log = cursor->log;
    int64_t end = rill__log_end(log);
    struct segment *segment = NULL;
    int rc;

    if (offset < 0 || offset > end)
        return rill__fail(RILL_ERR_RANGE,
                          "%s: offset %" PRId64 " is outside [%" PRId64 ", %" PRId64 "]",
                          log->dir.name, offset, rill__log_start(log), end);
    rc = rill__log_check_start(log, offset);
    if (rc != 0) return rc;
    if (atomic_load_explicit(&log->control->active_base, memory_order_acquire) < 0) {
        rill__cursor_deinit(cursor);
        cursor->offset = offset;
        return 0;
    }
    do {
        rc = pin_at(log, offset, &segment);
        if (rc != 0) return rc;
        rill__cursor_deinit(cursor);
        cursor->segment = segment;
        place_in_segment(cursor, offset);
        rc = walk_to(cursor, offset);
    } while (rc == RILL_ERR_CORRUPT && is_replaced(log, segment));
    return rc;
}

/* Into the segment that holds the cursor's offset. The one before stays pinned, so
 * there must be none before that. */
static int enter_next(struct log_cursor *cursor)
{
    struct segment *next = NULL;
    int64_t offset = cursor->offset;
    int rc = pin_at(cursor->log, offset, &next);

    if (rc != 0) return rc;
    cursor->previous = cursor->segment;
    cursor->segment = next;
    cursor->segment_end = -1;
    cursor->position = SEGMENT_HEADER_SIZE;
    if (next->base == offset) return 0;
    place_in_segment(cursor, offset);
    return walk_to(cursor, offset);
}

static int find_segment_end(struct log_cursor *cursor)
{
    if (cursor->segment_end >= 0) return 0;
    if (cursor->segment->end >= 0) {
        cursor->segment_end = cursor->segment->end;
        return 0;
    }
    return rill__log_base_after(cursor->log, cursor->segment->base, &cursor->segment_end);
}

/* The batch at the cursor, also an empty one; *more is false if there is none. */
int rill__cursor_step(struct log_cursor *cursor, int64_t end, bool verify,
                      struct batch_view *view, bool *more)
{
    struct log *log = cursor->log;
    const char *why = NULL;
    enum batch_state state;
    int rc;

    *more = false;
    if (cursor->offset >= end) return 0;
    if (cursor->segment == NULL) {
        rc = rill__cursor_seek(cursor, cursor->offset);
        if (rc != 0) return rc;
    }
    for (;;) {
        /* Left only when the next begins here; the active one has no next. */
        if (atomic_load_explicit(&log->control->active_base, memory_order_acquire) !=
            cursor->segment->base) {
            rc = find_segment_end(cursor);
            if (rc == 0 && cursor->offset == cursor->segment_end) {
                /* A second segment's end: when the first has been let go of. */
                if (cursor->previous != NULL) return 0;
                rc = enter_next(cursor);
            }
            if (rc != 0) return rc;
        }
        state = rill__batch_view(cursor->segment->map.data + cursor->position,
                                 cursor->segment->size - cursor->position, view, &why);
        if (state == BATCH_VALID && view->base_offset == cursor->offset) break;
        rc = rill__log_check_start(log, cursor->offset);
        if (rc != 0) return rc; /* the next segment is gone, not lost */
        rc = damaged(cursor, why != NULL           ? why
                             : state == BATCH_NONE ? NO_BATCH
                                                   : "base offset does not follow");
        /* Or this is where a segment ended that is now a part of another one. */
        if (!is_replaced(log, cursor->segment)) return rc;
        if (cursor->previous != NULL) return 0;
        rc = enter_next(cursor);
        if (rc != 0) return rc;
    }
    if (verify && !rill__batch_verify(view, cursor->segment->salt))
        return damaged(cursor, "checksum does not match");
    cursor->position += view->length;
    cursor->offset = view->end_offset;
    *more = true;
    return 0;
}

int rill__cursor_next(struct log_cursor *cursor, int64_t end, bool verify,
                      struct batch_view *view)
{
    bool more;
    int rc;

    do {
        rc = rill__cursor_step(cursor, end, verify, view, &more);
    } while (rc == 0 && more && view->record_count == 0);
    if (rc != 0 || !more) view->record_count = 0;
    return rc;
}

void rill__cursor_back(struct log_cursor *cursor, const struct batch_view *view)
{
    cursor->position -= view->length;
    cursor->offset = view->base_offset;
}

/* A search, and where it decompresses: one batch at a time. */
struct search {
    int64_t start; /* nothing before it counts */
    int64_t time_ms;
    struct codec codec;
    void *room;
    size_t size;
};

/* The first record of the batch, which the cursor has just passed, at or after time,
 * if one is there. */
static int find_in_batch(const struct log_cursor *cursor, struct batch_view *view,
                         struct search *search, int64_t *offset)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    size_t size = rill__batch_room(view);
    uint32_t position = cursor->position - view->length;
    rill_record record;
    bool bad;
    int rc;

    if (size > search->size) {
        rill__free(search->codec.heap, search->room);
        search->size = 0;
        search->room = rill__alloc(search->codec.heap, size);
        if (search->room == NULL) return RILL_ERR_NO_MEMORY;
        search->size = size;
    }
    rc = rill__batch_records(view, &search->codec, search->room, view);
    if (rc != 0)
        return rill__fail_prefix(rc, "%s/%s: batch at position %u, offset %" PRId64,
                                 cursor->log->dir.name, cursor->segment->name, position,
                                 view->base_offset);
    while (rill__record_next(view, &walk, &record, &bad)) {
        if (record.timestamp_ms < search->time_ms || record.offset < search->start) continue;
        *offset = record.offset;
        return 0;
    }
    if (!bad) return 0;
    return rill__fail(RILL_ERR_CORRUPT,
                      "%s/%s: batch at position %u, offset %" PRId64
                      ": a record runs out of its batch",
                      cursor->log->dir.name, cursor->segment->name, position, view->base_offset);
}

/* The first record at or after time that lies in the cursor's segment and those that
 * it reads into. */
static int find_time(struct log_cursor *cursor, int64_t end, struct search *search,
                     int64_t *offset)
{
    const struct segment *segment = cursor->segment;
    struct batch_view view;
    int rc = 0;

    cursor->segment_end = -1;
    cursor->position =
        rill__index_find_time(segment, entries_of(cursor->log, segment), search->time_ms);
    cursor->offset = segment->base;
    if (cursor->position != SEGMENT_HEADER_SIZE)
        cursor->offset =
            (int64_t)rill__get64(segment->map.data + cursor->position + BATCH_BASE_OFFSET_AT);
    while (rc == 0 && *offset == RILL_OFFSET_NONE && cursor->offset < end) {
        /* Also those that are passed by are verified: their times may be what is
         * damaged. */
        rc = rill__cursor_next(cursor, end, true, &view);
        rill__cursor_release(cursor);
        if (rc == 0 && view.record_count != 0 && view.max_time >= search->time_ms &&
            view.end_offset > search->start)
            rc = find_in_batch(cursor, &view, search, offset);
    }
    return rc;
}

/* In the log as it is while it begins at search->start. */
static int search_time(struct log *log, struct search *search, int64_t *offset)
{
    int64_t log_end = rill__log_end(log);
    int64_t from = search->start;
    struct log_cursor cursor;
    struct index_seal seal;
    int64_t next;
    int rc = 0;

    rill__cursor_init(&cursor, log);
    while (rc == 0 && from < log_end && *offset == RILL_OFFSET_NONE) {
        rc = pin_at(log, from, &cursor.segment);
        if (rc != 0) break;
        next = cursor.segment->end;
        if (next < 0) rc = rill__log_base_after(log, cursor.segment->base, &next);
        /* It may bear the seal of a roll that did not happen, not only if it is active:
         * power may have gone before the right one was on disk. */
        if (next < 0 || next > log_end) next = log_end;
        else if (rill__index_sealed(cursor.segment, &seal) && seal.end_offset == next &&
                 seal.max_time < search->time_ms)
            from = next;
        if (rc == 0 && from != next) rc = find_time(&cursor, next, search, offset);
        rill__cursor_deinit(&cursor);
        from = next;
    }
    return rc;
}

int rill__log_offset_for_time(struct log *log, int64_t time_ms, int64_t *offset)
{
    struct search search = {.time_ms = time_ms};
    int rc;

    *offset = RILL_OFFSET_NONE;
    if (atomic_load_explicit(&log->control->active_base, memory_order_acquire) < 0) return 0;
    rill__codec_init(&search.codec, log->config.heap);
    do { /* once more, if part of it went meanwhile */
        search.start = atomic_load(&log->control->log_start);
        *offset = RILL_OFFSET_NONE;
        rc = search_time(log, &search, offset);
    } while (atomic_load(&log->control->log_start) != search.start);
    rill__free(log->config.heap, search.room);
    rill__codec_deinit(&search.codec);
    return rc;
}
