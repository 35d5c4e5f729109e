/*
 * log/compact.c - of each key, only the last record stays.
 *
 *     base      cleaned        first dirty          map's end      limit
 *     |-------------------------|--------------------|-------------|--- active
 *       compacted segments        not yet, or in part
 *
 * A pass reads the keys from the first dirty record on into a map, as many as
 * fit, and then goes over all segments up to the map's end, oldest first: what
 * is superseded goes. Small neighbours become one segment. If the map did not
 * reach the limit, another pass begins where it ended.
 *
 * The commit point is the rename of a new segment over the first that it stands
 * for; see "Compaction" in log/format.h. It is made under sync_lock, as is the
 * removal of segments by retention, and control->layout is odd meanwhile: whoever
 * takes the lock and finds it odd comes after one who died there, and tidies up.
 *
 * Always true:
 *   - segments that are active, not durable, or hold records of a transaction that
 *     may yet be aborted are not touched;
 *   - what a new segment's header says of the segments before it is so on disk
 *     when it is committed: they are committed and synced first. So, when the
 *     last segment that says "cleaned through" has it, all before do, and when a
 *     tombstone goes, nothing is left that it hides;
 *   - both durable marks name later segments, so recovery does not read what is
 *     replaced, and the log ends where it did whatever is crashed into;
 *   - a replaced file is unlinked and nothing else: who reads it, or has linked
 *     it elsewhere, keeps it;
 *   - a batch that does not verify ends it all: its segment and those behind it
 *     stay as they are.
 *
 * What aborted transactions have written goes, and supersedes nothing. The markers of
 * their ends stay, of committed ones too: without it what is left of a transaction would
 * look as if it was still open.
 *
 * Threads: any, one at a time in all processes: a file lock of its own, which the
 * kernel frees.
 */
#include "log/compact.h"
#include "base/bytes.h"
#include <inttypes.h>

struct compaction {
    struct log *log;
    const struct log_compaction *what;
    struct log_compaction_report *report;
    struct source source;
    struct keymap map;
    struct cleaning cleaning;

    struct piece *pieces; /* from the log start on, each where the one before ends */
    size_t piece_count;
    size_t piece_room;
    int64_t dirty_from; /* all before it is clean, in all pieces before it */
    double dirty_bytes;
    double all_bytes;

    int64_t marked;    /* both marks name segments from here on */
    bool has_progress; /* something was committed */
    bool stopped;

    /* Where it goes no further, and why. */
    int blocked;
    struct saved_message blocked_message;

    uint64_t *made; /* salts of the segments that were made by now */
    size_t made_count;
    size_t made_room;
};

/* ---- Leftovers --------------------------------------------------------- */

/* Segments that a compacted one stands for. It is on disk before they go. */
static int remove_covered(struct log *log, bool *removed)
{
    int64_t *bases = NULL;
    size_t count = 0;
    int64_t end = -1;
    int rc = rill__log_list_bases(log, &bases, &count);

    *removed = false;
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct segment_header header;
        if (bases[i] < end) {
            if (!*removed) rc = rill__dir_sync(&log->dir);
            *removed = true;
            if (rc == 0) rc = rill__segment_remove(&log->dir, bases[i]);
            continue;
        }
        /* One that cannot be read covers nothing. */
        if (rill__segment_peek(&log->config, &log->dir, bases[i], &header) == 0 &&
            header.compacted)
            end = header.end;
    }
    if (rc == 0 && *removed) rc = rill__dir_sync(&log->dir);
    rill__free(log->config.heap, bases);
    return rc;
}

/* The index of a segment that was committed, if it waits for that. */
static void finish_index(struct log *log)
{
    struct segment_header header;
    int64_t base;
    uint64_t salt;
    char name[SEGMENT_NAME_SIZE];

    if (!rill__index_owner(&log->dir, CLEAN_INDEX, &base, &salt) ||
        rill__segment_peek(&log->config, &log->dir, base, &header) != 0 || header.salt != salt)
        return;
    rill__segment_name(base, "index", name);
    rill__file_rename(&log->dir, CLEAN_INDEX, name);
}

static int tidy(struct log *log, bool *removed)
{
    struct saved_message message;
    int rc;

    rill__message_save(&message);
    rc = remove_covered(log, removed);
    if (rc != 0) return rc;
    finish_index(log);
    rill__message_restore(&message);
    rc = rill__file_remove(&log->dir, CLEAN_LOG);
    return rc != 0 ? rc : rill__file_remove(&log->dir, CLEAN_INDEX);
}

int rill__log_tidy(struct log *log)
{
    bool removed;
    return tidy(log, &removed);
}

int rill__log_settle_layout(struct log *log)
{
    uint32_t layout = atomic_load(&log->control->layout);
    int rc;

    if (layout % 2 == 0) return 0;
    rc = rill__log_tidy(log);
    if (rc == 0) atomic_store(&log->control->layout, layout + 1);
    return rc;
}

/* ---- What there is ----------------------------------------------------- */

static bool is_asked_to_stop(struct compaction *c)
{
    const struct log_compaction *what = c->what;

    if (what->stop != NULL && what->stop(what->stop_arg)) c->stopped = true;
    if (c->has_progress && what->deadline_ns != INT64_MAX &&
        rill__monotonic_ns() >= what->deadline_ns)
        c->stopped = true;
    return c->stopped;
}

/* It ends here, with that error, once what lies before is done. */
static void block_at_damage(struct compaction *c, int rc)
{
    c->blocked = rc;
    rill__message_save(&c->blocked_message);
}

/* Errors that belong to one segment. */
static bool is_of_the_segment(int rc)
{
    return rc == RILL_ERR_CORRUPT || rc == RILL_ERR_FORMAT || rc == RILL_ERR_UNSUPPORTED;
}

static bool is_before_start(const struct compaction *c, int64_t end)
{
    return end <= atomic_load(&c->log->control->log_start);
}

/* By its batches' headers, where the index does not tell. Damage shows when it is read;
 * but what cannot be read now may be younger than what was seen of it. */
static int measure_piece(struct compaction *c, struct piece *piece)
{
    struct batch_view view;
    struct saved_message message;
    bool more = true;
    int rc;

    rill__message_save(&message);
    piece->max_time = INT64_MIN;
    rc = rill__source_open(&c->source, piece);
    while (rc == 0 && (rc = rill__source_next(&c->source, &view, &more)) == 0 && more)
        if (view.max_time > piece->max_time) piece->max_time = view.max_time;
    piece->used = more ? piece->header.file_size : c->source.position;
    piece->used -= SEGMENT_HEADER_SIZE;
    if (rc != 0 && !is_of_the_segment(rc)) return rc;
    rill__message_restore(&message);
    return 0;
}

static int find_piece(struct compaction *c, int64_t base, struct piece *piece)
{
    struct log *log = c->log;
    struct index_seal seal;
    int rc = rill__segment_peek(&log->config, &log->dir, base, &piece->header);

    if (rc != 0) return rc;
    piece->end = piece->header.end;
    if (piece->end < 0) rc = rill__log_base_after(log, base, &piece->end);
    if (rc != 0) return rc;
    if (piece->end <= base)
        return rill__fail(RILL_ERR_CORRUPT, "%s: no segment comes after segment %" PRId64,
                          log->dir.name, base);
    if (rill__index_peek(&log->dir, &piece->header, &seal) && seal.end_offset == piece->end) {
        piece->used = seal.end_position - SEGMENT_HEADER_SIZE;
        piece->max_time = seal.max_time;
        return 0;
    }
    return measure_piece(c, piece);
}

static bool is_too_young(const struct log_compaction *what, int64_t max_time)
{
    int64_t age;

    if (what->min_lag_ms == 0) return false;
    if (__builtin_sub_overflow(what->now_ms - what->ahead_ms, max_time, &age))
        return max_time > 0;
    return age < 0 || (uint64_t)age < what->min_lag_ms;
}

static int add_piece(struct compaction *c, const struct piece *piece)
{
    if (c->piece_count == c->piece_room) {
        size_t room = c->piece_room == 0 ? 16 : c->piece_room * 2;
        struct piece *pieces =
            rill__resize(c->log->config.heap, c->pieces, room * sizeof *pieces);
        if (pieces == NULL) return RILL_ERR_NO_MEMORY;
        c->pieces = pieces;
        c->piece_room = room;
    }
    c->pieces[c->piece_count++] = *piece;
    return 0;
}

/* The segments from the log start on that may be compacted. */
static int find_pieces(struct compaction *c)
{
    struct log *log = c->log;
    int64_t limit = rill__log_durable(log);
    int64_t active = atomic_load_explicit(&log->control->active_base, memory_order_acquire);
    int64_t start = atomic_load(&log->control->log_start);
    int64_t base;
    int rc = rill__log_refresh(log);

    if (limit > active) limit = active;
    if (limit > c->what->limit) limit = c->what->limit;
    if (limit > rill__log_first_open(log)) limit = rill__log_first_open(log);
    c->piece_count = 0;
    if (active < 0) return rc;
    if (rc == 0) rc = rill__log_base_of(log, start, &base);
    if (rc != 0 && atomic_load(&log->control->log_start) > start) return find_pieces(c);
    while (rc == 0 && base < limit) {
        struct piece piece;
        rc = find_piece(c, base, &piece);
        if (rc == RILL_ERR_NOT_FOUND && atomic_load(&log->control->log_start) > start)
            return find_pieces(c); /* it was removed */
        if (rc == RILL_ERR_NOT_FOUND)
            rc = rill__fail(RILL_ERR_CORRUPT, "%s: segment %" PRId64 " is missing", log->dir.name,
                            base);
        if (is_of_the_segment(rc)) {
            block_at_damage(c, rc);
            return 0;
        }
        if (rc != 0 || piece.end > limit || is_too_young(c->what, piece.max_time)) break;
        rc = add_piece(c, &piece);
        base = piece.end;
    }
    return rc;
}

/* See the picture. All up to the last compacted piece is cleaned through what that
 * one says; what comes behind it is not even if it says so. */
static void find_dirty(struct compaction *c)
{
    const struct piece *last = NULL;
    int64_t from = INT64_MAX;

    c->dirty_bytes = 0;
    c->all_bytes = 0;
    c->dirty_from = 0;
    if (c->piece_count == 0) return;
    for (size_t i = 0; i < c->piece_count; i++) {
        if (c->pieces[i].header.compacted) last = &c->pieces[i];
        else if (from == INT64_MAX) from = c->pieces[i].header.base;
    }
    if (last != NULL) {
        if (last->header.cleaned < from) from = last->header.cleaned;
        if (last->end < from) from = last->end;
    }
    c->dirty_from = from;
    for (size_t i = 0; i < c->piece_count; i++) {
        const struct piece *p = &c->pieces[i];
        double share = 1;
        c->all_bytes += (double)p->used;
        if (p->end <= from) continue;
        if (p->header.base < from)
            share = (double)(p->end - from) / (double)(p->end - p->header.base);
        c->dirty_bytes += share * (double)p->used;
    }
}

/* ---- The map ----------------------------------------------------------- */

/* *end: of what is in the map, if it is full. */
static int map_batch(struct compaction *c, const struct batch_view *view, int64_t *end)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record = RILL_RECORD_INIT;
    struct batch_view records;
    enum batch_part part;
    bool more;
    int rc;

    rc = rill__batch_part(c->log, view, &part);
    if (rc != 0 || part == BATCH_MARKER) return rc;
    if (view->producer_id >= 0 &&
        !rill__keymap_put(&c->map, rill__hash_producer(view->producer_id), view->base_offset)) {
        *end = view->base_offset > c->dirty_from ? view->base_offset : c->dirty_from;
        return 0;
    }
    if (part == BATCH_ABORTED) return 0;
    rc = rill__source_records(&c->source, view, &records);
    while (rc == 0) {
        rc = rill__source_record(&c->source, &records, &walk, &record, &more);
        if (rc != 0 || !more) break;
        if (record.offset < c->dirty_from || record.key.data == NULL) continue;
        if (rill__keymap_put(&c->map, rill__hash_key(record.key), record.offset)) continue;
        *end = record.offset;
        break;
    }
    return rc;
}

static int map_piece(struct compaction *c, const struct piece *piece, int64_t *end)
{
    struct batch_view view;
    bool more;
    int rc = rill__source_open(&c->source, piece);

    while (rc == 0 && *end < 0) {
        rc = rill__source_next(&c->source, &view, &more);
        if (rc != 0 || !more) break;
        if (view.end_offset > c->dirty_from) rc = map_batch(c, &view, end);
    }
    return rc;
}

/* From the first dirty record on, as far as it goes. */
static int fill_map(struct compaction *c)
{
    int64_t end = -1;
    int rc = 0;

again:
    rill__keymap_clear(&c->map);
    c->cleaning.end = c->dirty_from;
    for (size_t i = 0; i < c->piece_count && end < 0; i++) {
        const struct piece *piece = &c->pieces[i];
        if (piece->end <= c->dirty_from || is_before_start(c, piece->end)) continue;
        if (piece->header.base > c->dirty_from && is_asked_to_stop(c)) break;
        rc = map_piece(c, piece, &end);
        if (rc == RILL_ERR_NOT_FOUND && is_before_start(c, piece->end)) rc = 0;
        if (is_of_the_segment(rc)) {
            /* What is before goes on to be compacted, but not for the sake of what is
             * in there: it may be taken away to repair the log. */
            block_at_damage(c, rc);
            rc = 0;
            c->piece_count = i;
            goto again;
        }
        if (rc != 0) break;
        c->cleaning.end = end < 0 ? piece->end : end;
    }
    return rc;
}

static int take_map(struct compaction *c)
{
    /* 32 bytes a key, and a record has 24 and more. Compressed, it may have less. */
    double most = 65536 + 4 * c->dirty_bytes;
    uint64_t bytes = c->what->memory_bytes;

    if (c->map.slots != NULL) return 0;
    if ((double)bytes > most) bytes = (uint64_t)most;
    return rill__keymap_init(&c->map, c->log->config.heap, bytes);
}

/* ---- The commit -------------------------------------------------------- */

/* Is it another file by now, or gone? */
static int look_whether_replaced(struct log *log, const struct piece *piece, bool *replaced)
{
    struct segment_header now;
    int rc = rill__segment_peek(&log->config, &log->dir, piece->header.base, &now);

    *replaced = rc == RILL_ERR_NOT_FOUND || (rc == 0 && now.salt != piece->header.salt);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

static int replace(struct log *log, const struct piece *pieces, size_t count)
{
    char name[SEGMENT_NAME_SIZE];
    int rc;

    /* CLEAN_INDEX is the sign that some may be left over. */
    if (count > 1) {
        rc = rill__dir_sync(&log->dir);
        if (rc != 0) return rill__log_poison(log, rc);
    }
    rill__segment_name(pieces[0].header.base, "log", name);
    rc = rill__file_rename(&log->dir, CLEAN_LOG, name);
    if (rc != 0) return rc;
    rc = rill__dir_sync(&log->dir);
    if (rc != 0) return rill__log_poison(log, rc); /* which of the two is there? */
    for (size_t i = 1; i < count && rc == 0; i++)
        rc = rill__segment_remove(&log->dir, pieces[i].header.base);
    if (rc == 0 && count > 1) {
        /* Before the sign goes. */
        rc = rill__dir_sync(&log->dir);
        if (rc != 0) return rill__log_poison(log, rc);
    }
    if (rc != 0) return rc;
    rill__segment_name(pieces[0].header.base, "index", name);
    return rill__file_rename(&log->dir, CLEAN_INDEX, name);
}

/* *done is false if the log begins behind it by now. */
static int commit_group(struct compaction *c, const struct piece *pieces, size_t count,
                        bool *done)
{
    struct log *log = c->log;
    struct tail_copy tail;
    bool replaced = false;
    int rc = 0;

    *done = false;
    if (pieces[count - 1].end > c->marked) {
        rc = rill__log_settle(log, &tail, rill__deadline(SYNC_WAIT_MS));
        if (rc != 0) return rc;
        c->marked = tail.base;
    }
    rc = rill__log_lock_sync(log, rill__deadline(SYNC_WAIT_MS));
    if (rc != 0) return rc;
    rc = rill__log_state(log);
    if (rc == 0) rc = look_whether_replaced(log, &pieces[0], &replaced);
    if (rc == 0 && !replaced && !is_before_start(c, pieces[count - 1].end)) {
        uint32_t layout = atomic_load(&log->control->layout);
        atomic_store(&log->control->layout, layout + 1);
        rc = replace(log, pieces, count);
        if (rc == 0) {
            *done = true;
            atomic_store(&log->control->layout, layout + 2);
        } else {
            struct saved_message message;
            rill__message_save(&message);
            rill__log_settle_layout(log);
            rill__message_restore(&message);
        }
    }
    rill__log_unlock_sync(log);
    return rc;
}

/* ---- Segments ---------------------------------------------------------- */

/* What a group has of others, for the report. */
struct tally {
    uint64_t old_bytes; /* of segments that were there before */
    uint64_t old_records;
    uint32_t old_segments;
    uint64_t own_bytes; /* of those that were made in this call */
    uint64_t own_records;
    uint32_t own_segments;
};

static bool is_own(const struct compaction *c, uint64_t salt)
{
    for (size_t i = 0; i < c->made_count; i++)
        if (c->made[i] == salt) return true;
    return false;
}

static int note_made(struct compaction *c, uint64_t salt)
{
    if (c->made_count == c->made_room) {
        size_t room = c->made_room == 0 ? 16 : c->made_room * 2;
        uint64_t *made = rill__resize(c->log->config.heap, c->made, room * sizeof *made);
        if (made == NULL) return RILL_ERR_NO_MEMORY;
        c->made = made;
        c->made_room = room;
    }
    c->made[c->made_count++] = salt;
    return 0;
}

static int add_to_group(struct compaction *c, struct rewrite *rw, const struct piece *piece,
                        struct tally *tally)
{
    struct rewrite_counts before = rw->counts;
    int rc = rill__rewrite_add(rw, piece);

    if (is_own(c, piece->header.salt)) {
        tally->own_bytes += rw->counts.bytes_before - before.bytes_before;
        tally->own_records += rw->counts.records_before - before.records_before;
        tally->own_segments++;
    } else {
        tally->old_bytes += rw->counts.bytes_before - before.bytes_before;
        tally->old_records += rw->counts.records_before - before.records_before;
        tally->old_segments++;
    }
    return rc;
}

static void report_group(struct compaction *c, const struct rewrite *rw,
                         const struct tally *tally)
{
    struct log_compaction_report *report = c->report;

    report->bytes_before += tally->old_bytes;
    report->bytes_after += rw->counts.bytes_after - tally->own_bytes;
    report->records_before += tally->old_records;
    report->records_after += rw->counts.records_after - tally->own_records;
    report->tombstones_removed += rw->counts.tombstones_removed;
    report->segments_before += tally->old_segments;
    report->segments_after += 1 - tally->own_segments;
}

/* Does the next one go into a segment that has so many bytes from base on? */
static bool fits(const struct compaction *c, int64_t base, uint64_t bytes, size_t next)
{
    const struct piece *piece = &c->pieces[next];
    uint64_t most = atomic_load_explicit(&c->log->config.segment_bytes, memory_order_relaxed);

    return next < c->piece_count && piece->header.base < c->cleaning.end &&
           bytes + piece->used + SEGMENT_HEADER_SIZE <= most && piece->end - base <= INT32_MAX;
}

/* The pieces from `first` on, as many as go into one segment: into it. *next: the
 * first behind them. */
static int clean_group(struct compaction *c, size_t first, size_t *next)
{
    const struct piece *pieces = &c->pieces[first];
    struct tally tally = {0, 0, 0, 0, 0, 0};
    struct rewrite rw;
    size_t count = 0;
    bool done = false;
    int rc = rill__rewrite_begin(&rw, c->log, pieces[0].header.base, &c->cleaning, &c->source);

    while (rc == 0) {
        rc = add_to_group(c, &rw, &pieces[count], &tally);
        count++;
        if (!fits(c, pieces[0].header.base, rill__rewrite_size(&rw), first + count)) break;
    }
    if (rc == 0) rc = note_made(c, rw.made.salt);
    if (rc == 0) rc = rill__rewrite_end(&rw, c->cleaning.end);
    if (rc == 0) rc = commit_group(c, pieces, count, &done);
    if (done) {
        report_group(c, &rw, &tally);
        c->has_progress = true;
    }
    rill__rewrite_deinit(&rw);
    *next = first + count;
    /* What it is made of may have gone from the front of the log meanwhile. */
    if (rc == RILL_ERR_NOT_FOUND && !rill__log_is_deleted(c->log) &&
        is_before_start(c, pieces[0].end))
        rc = 0;
    return rc;
}

/* Is there anything to do for it? */
static int is_worth_it(struct compaction *c, size_t at, bool merge_only, bool *worth)
{
    const struct piece *p = &c->pieces[at];
    int rc;

    *worth = p->header.compacted && fits(c, p->header.base, p->used, at + 1);
    if (*worth || merge_only) return 0;
    *worth = !p->header.compacted ||
             (p->end > c->dirty_from && p->header.cleaned < c->cleaning.end) ||
             (p->header.tombstone_s != 0 && p->header.tombstone_s <= c->cleaning.expired_s);
    if (*worth || p->header.cleaned >= c->cleaning.end) return 0;
    rc = rill__cleaning_changes(&c->cleaning, &c->source, p, worth);
    return rc == RILL_ERR_NOT_FOUND && is_before_start(c, p->end) ? 0 : rc;
}

/* Over all that the map covers, oldest first. */
static int clean_pieces(struct compaction *c, bool merge_only)
{
    size_t at = 0;
    int rc = 0;

    while (rc == 0 && at < c->piece_count && c->pieces[at].header.base < c->cleaning.end) {
        bool worth = false;
        if (is_asked_to_stop(c)) return 0;
        if (!is_before_start(c, c->pieces[at].end)) {
            rc = rill__log_state(c->log);
            if (rc == 0) rc = is_worth_it(c, at, merge_only, &worth);
        }
        if (rc != 0) break;
        if (worth) rc = clean_group(c, at, &at);
        else at++;
    }
    if (is_of_the_segment(rc)) {
        block_at_damage(c, rc);
        c->stopped = true; /* what comes after it could not say that this is clean */
        rc = 0;
    }
    return rc;
}

/* ---- Passes ------------------------------------------------------------ */

static void set_clock(struct compaction *c)
{
    int64_t sure_ms = c->what->now_ms - c->what->ahead_ms;
    uint64_t now_s = c->what->now_ms <= 0 ? 0 : (uint64_t)c->what->now_ms / 1000;
    uint64_t sure_s = sure_ms <= 0 ? 0 : (uint64_t)sure_ms / 1000;
    uint64_t stay_s = c->what->delete_retention_ms / 1000 + 1;

    if (now_s >= UINT32_MAX) now_s = UINT32_MAX - 1;
    if (sure_s > now_s) sure_s = now_s;
    /* Rounded so that none goes early. */
    c->cleaning.stamp_s = (uint32_t)now_s + 1;
    c->cleaning.expired_s = stay_s > sure_s ? 0 : (uint32_t)(sure_s - stay_s);
}

static int compaction_pass(struct compaction *c, bool *last)
{
    bool dirty;
    int rc = find_pieces(c);

    *last = true;
    if (rc != 0 || c->piece_count == 0) return rc;
    find_dirty(c);
    dirty = c->dirty_from < c->pieces[c->piece_count - 1].end;
    if (c->report->passes == 0 && c->all_bytes > 0)
        c->report->dirty_ratio = c->dirty_bytes / c->all_bytes;
    if (c->report->dirty_ratio < c->what->min_dirty_ratio ||
        (!dirty && c->what->min_dirty_ratio > 0))
        return 0;
    rc = take_map(c);
    if (rc == 0) rc = fill_map(c);
    if (rc != 0 || c->piece_count == 0) return rc;
    if (dirty) c->report->passes++;
    *last = c->stopped || c->blocked != 0 || c->cleaning.end >= c->pieces[c->piece_count - 1].end;
    return clean_pieces(c, false);
}

static int all_passes(struct compaction *c)
{
    bool last = false;
    int rc = 0;

    while (rc == 0 && !last && !c->stopped) rc = compaction_pass(c, &last);
    if (rc == 0 && !c->stopped && c->has_progress) {
        rc = find_pieces(c);
        if (rc == 0) rc = clean_pieces(c, true);
    }
    return rc;
}

/* Leftovers go, whoever they are of. */
static int clear_leftovers(struct log *log)
{
    bool removed;
    int rc = rill__log_lock_sync(log, rill__deadline(SYNC_WAIT_MS));

    if (rc != 0) return rc;
    rc = rill__log_settle_layout(log);
    if (rc == 0) rc = tidy(log, &removed);
    if (rc == 0 && removed) atomic_fetch_add(&log->control->layout, 2);
    rill__log_unlock_sync(log);
    return rc;
}

static void clean_up(struct compaction *c)
{
    struct log *log = c->log;
    struct saved_message message;

    rill__message_save(&message);
    rill__file_remove(&log->dir, CLEAN_LOG);
    rill__file_remove(&log->dir, CLEAN_INDEX);
    rill__message_restore(&message);
}

static void say_what_was_done(const struct compaction *c)
{
    const struct log_compaction_report *r = c->report;

    if (r->segments_before == 0) return;
    rill__log_say(c->log, RILL_LOG_INFO,
                  "%s: compacted %" PRIu32 " segments to %" PRIu32 ", %" PRIu64
                  " records to %" PRIu64 ", %" PRIu64 " bytes to %" PRIu64,
                  c->log->dir.name, r->segments_before, r->segments_after, r->records_before,
                  r->records_after, r->bytes_before, r->bytes_after);
}

int rill__log_seal(struct log *log, int64_t deadline_ns)
{
    struct tail_copy tail;
    int rc = rill__log_lock(log, deadline_ns);

    if (rc != 0) return rc;
    rill__control_tail(log->control, &tail);
    if (tail.base >= 0) rc = rill__log_roll(log, &tail);
    rill__log_unlock(log);
    return rc != 0 ? rc : rill__log_sync(log, tail.end_offset, deadline_ns);
}

int rill__log_compact(struct log *log, const struct log_compaction *what,
                      struct log_compaction_report *report)
{
    struct compaction c = {.log = log, .what = what, .report = report, .map = KEYMAP_EMPTY};
    struct file lock = FILE_NONE;
    int rc = rill__log_state(log);

    memset(report, 0, sizeof *report);
    if (rc != 0) return rc;
    c.cleaning.map = &c.map;
    set_clock(&c);
    rill__source_init(&c.source, log);
    rc = rill__log_lock_file(log, CONTROL_LOCK_COMPACT, 0, &lock);
    rill__log_hold(log); /* it reads by name what may go, but must not become another */
    if (rc == 0) rc = clear_leftovers(log);
    if (rc == 0) {
        rc = all_passes(&c);
        clean_up(&c);
        say_what_was_done(&c);
    }
    if (rc == 0 && c.blocked != 0) {
        rill__message_restore(&c.blocked_message);
        rc = c.blocked;
    }
    report->finished = rc == 0 && !c.stopped;
    rill__log_let_go(log);
    rill__log_unlock_file(&lock);
    rill__source_deinit(&c.source);
    rill__keymap_deinit(&c.map, log->config.heap);
    rill__free(log->config.heap, c.pieces);
    rill__free(log->config.heap, c.made);
    return rc;
}
