/*
 * log/follow.c - see log/follow.h: the batches of a segment one after the other,
 * as long as each begins where the one before ends.
 *
 * Where they end, the segment ends, if another one begins there. If not, and
 * records must follow, it is damage, after a second look: the file has the same
 * name, the log has not begun behind it meanwhile, nobody has recovered it. Then
 * it goes on at the next batch that verifies.
 */
#include "log/follow.h"
#include "log/scan.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WAITS_MAX 5
#define WAIT_NS (INT64_C(20) * 1000 * 1000)
#define PASS_STEP (UINT64_C(4) << 20)

static int pass(struct follow *f, uint64_t bytes)
{
    f->stopped = bytes == 0 ? 0 : f->check->passed(f->check->arg, bytes);
    return f->stopped != 0 ? FOLLOW_STOPPED : 0;
}

/* The whole segment cannot be used. */
static int whole_segment(struct follow *f, int32_t kind, const char *repair, const char *why)
{
    rill_damage damage = rill__damage_of(kind, RILL_LOG_ERROR, f->name);
    int rc = rill__follow_look_twice(f, f->name, &f->file);

    if (rc != 0) return rc;
    damage.position = 0;
    damage.size = (int64_t)f->size;
    damage.first = f->base;
    damage.end = rill__follow_hole_end(f, f->base);
    if (damage.end < damage.first) damage.end = damage.first;
    f->offset = damage.end;
    if (damage.end == damage.first) f->ended = true; /* nobody says that more must follow */
    return rill__follow_tell(f, damage, repair,
                             "The segment %s; the records [%" PRId64 ", %" PRId64
                             ") in it cannot be read.",
                             why, damage.first, damage.end);
}

/* ---- A segment -------------------------------------------------------- */

static bool is_active(const struct follow *f)
{
    return f->chain.words.count && f->base == f->chain.words.tail.base;
}

static void visit_base(struct chain *chain, int64_t base, bool visited)
{
    for (size_t i = 0; i < chain->count; i++)
        if (chain->bases[i] == base) chain->visited[i] = visited;
}

/* *usable: its batches can be followed. */
static int open_segment(struct follow *f, bool *usable)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE] = {0};
    enum header_state state = HEADER_NEVER;
    int rc;

    *usable = false;
    rill__segment_name(f->base, "log", f->name);
    rc = rill__file_open(f->check->dir, f->name, FILE_READ, &f->file);
    if (rc == RILL_ERR_NOT_FOUND) return FOLLOW_MOVED;
    visit_base(&f->chain, f->base, true);
    if (rc == 0) rc = rill__file_size(&f->file, &f->size);
    if (rc != 0 && !rill__is_of_medium(rc)) return rc; /* it may be well */
    if (rc != 0)
        return whole_segment(f, RILL_DAMAGE_UNREADABLE,
                             "Moves it to quarantine and notes its range as a gap.",
                             "cannot be opened");
    if (f->check->from_disk) rill__file_drop_cache(&f->file);
    if (f->size >= sizeof bytes) {
        rc = rill__file_read(&f->file, bytes, sizeof bytes, 0);
        if (rc != 0 && !rill__is_of_medium(rc)) return rc;
        state = rc != 0 ? HEADER_BAD : rill__header_read(bytes, &f->header);
    }
    if (rc == RILL_ERR_IO)
        return whole_segment(f, RILL_DAMAGE_UNREADABLE,
                             "Makes the header anew from the index and the batches.",
                             "has a header that cannot be read from the device");
    if (state == HEADER_NEVER && f->base >= f->chain.must) { /* a roll that did not happen */
        visit_base(&f->chain, f->base, false);
        f->ended = true;
        return 0;
    }
    if (state == HEADER_NEWER)
        return whole_segment(f, RILL_DAMAGE_FORMAT,
                             "Nothing: use the version of the library that wrote it.",
                             "is of a format that this library does not know");
    if (f->size < sizeof bytes || (state == HEADER_GOOD && f->header.is.file_size != f->size))
        return whole_segment(f, RILL_DAMAGE_SEGMENT_SIZE,
                             "Makes it whole again from the batches that are there.",
                             "has another size than it was made with");
    if (state != HEADER_GOOD)
        return whole_segment(f, RILL_DAMAGE_SEGMENT_HEADER,
                             "Makes the header anew from the index and the batches.",
                             "has a damaged header");
    if (f->header.is.base != f->base ||
        memcmp(f->header.topic_id, f->check->topic_id, sizeof f->header.topic_id) != 0 ||
        f->header.partition != f->check->partition ||
        (f->header.is.compacted && f->header.is.end <= f->base))
        return whole_segment(f, RILL_DAMAGE_SEGMENT_HEADER,
                             "Moves it to quarantine and notes its range as a gap.",
                             "is another one's, by its header");
    if (f->header.is.compacted) f->compacted_end = f->header.is.end;
    *usable = true;
    return 0;
}

struct reached {
    uint64_t position;
    int64_t max_time; /* largest before, INT64_MIN at first */
    bool whole;       /* all before could be read */
};

/* The words' tail is not where the batches lead. */
static int wrong_tail(struct follow *f, struct batch_scan *scan, const struct reached *at)
{
    const struct tail_copy *tail = &f->chain.words.tail;
    rill_damage damage = rill__damage_of(RILL_DAMAGE_WORDS, RILL_LOG_ERROR, "control");
    enum batch_state state = BATCH_NONE;
    struct batch_view view;
    const char *why;
    bool zero = true;
    bool on = false; /* the log goes on, or it is only the position that is wrong */
    int rc = rill__follow_look_twice(f, f->name, &f->file);

    if (rc == 0) rc = rill__scan_batch(scan, at->position, &state, &view, &why);
    if (rc == 0)
        on = (state == BATCH_VALID && view.base_offset == f->offset) ||
             f->offset == tail->end_offset || tail->position > f->size;
    if (rc == 0 && at->position < tail->position && !on)
        rc = rill__scan_zero(scan, at->position, tail->position, &zero);
    if (rc != 0) return rc;
    f->ended = true;
    damage.position = 0;
    if (on || at->position > tail->position) {
        damage.severity = RILL_LOG_WARNING;
    } else {
        if (!zero) {
            damage.kind = RILL_DAMAGE_BATCH;
            damage.file = f->name;
            damage.position = (int64_t)at->position;
            damage.size = (int64_t)(tail->position - at->position);
        }
        damage.first = f->offset;
        damage.end = tail->end_offset > f->offset ? tail->end_offset : f->offset;
    }
    rc = rill__follow_tell(f, damage, "Writes them anew from the batches that are there.",
                           "The shared words say that the log ends at offset %" PRId64
                           ", byte %u; its batches lead to offset %" PRId64 ", byte %" PRIu64 ".",
                           tail->end_offset, tail->position, f->offset, at->position);
    if (rc != 0 || damage.severity != RILL_LOG_WARNING) return rc;
    f->chain.distrusted = true; /* as recovery does */
    f->ended = false;
    return FOLLOW_MOVED;
}

static int torn_tail(struct follow *f, const struct reached *at, const char *why)
{
    rill_damage damage = rill__damage_of(RILL_DAMAGE_TAIL, RILL_LOG_INFO, f->name);
    int rc = rill__follow_look_twice(f, f->name, &f->file);

    if (rc != 0) return rc;
    f->ended = true;
    damage.position = (int64_t)at->position;
    return rill__follow_tell(f, damage, "Nothing: opening the store cuts it.",
                             "The log ends at offset %" PRId64
                             "; what follows there was not finished, or is of what the file held "
                             "before (%s). None of it was promised.",
                             f->offset, why);
}

/* The mark is where recovery goes on behind damage. */
static bool leads_on(const struct follow *f, const struct reached *at, int64_t offset)
{
    const struct mark *mark = &f->chain.mark;

    return !f->chain.words.count && f->chain.marks_valid != 0 && mark->segment == f->base &&
           mark->durable_end == offset && mark->position >= at->position &&
           mark->position <= f->size;
}

/* The next batch that the log can go on with: none of an earlier epoch. */
static int find_next(const struct follow *f, struct batch_scan *scan, uint64_t from, int64_t end,
                     bool *found, uint64_t *position, struct batch_view *view)
{
    int rc = rill__scan_find(scan, from, f->offset, end, found, position, view);

    while (rc == 0 && *found && view->epoch < f->epoch)
        rc = rill__scan_find(scan, *position + view->length, f->offset, end, found, position,
                             view);
    return rc;
}

/* At f->offset no batch stands that the log could go on with, though it must. */
static int lost_batches(struct follow *f, struct batch_scan *scan, struct reached *at,
                        struct index_check *index, const char *why)
{
    rill_damage damage = rill__damage_of(RILL_DAMAGE_BATCH, RILL_LOG_ERROR, f->name);
    int64_t limit = rill__follow_hole_end(f, f->offset);
    struct batch_view view;
    uint64_t next = at->position;
    bool unreadable = scan->unreadable; /* of the place itself, not of where it goes on */
    bool found = false;
    int rc = rill__follow_look_twice(f, f->name, &f->file);

    if (rc != 0) return rc;
    rc = find_next(f, scan, at->position, limit > f->offset ? limit : INT64_MAX, &found, &next,
                   &view);
    if (rc != 0) return rc;
    if (!found && limit == f->offset) { /* nothing says that more must follow */
        f->ended = true;
        return why == NULL ? 0 : torn_tail(f, at, why);
    }
    /* One that was compacted says itself that they are in it. */
    if (!found && why == NULL && f->compacted_end < 0)
        return is_active(f) ? wrong_tail(f, scan, at) : rill__follow_missing(f);
    damage.position = (int64_t)at->position;
    damage.first = f->offset;
    damage.end = found ? view.base_offset : limit;
    if (!found && leads_on(f, at, limit)) {
        found = true;
        next = f->chain.mark.position;
    }
    damage.size = found ? (int64_t)(next - at->position) : -1;
    if (damage.size == 0) why = "the offset of the batch there does not follow";
    if (unreadable) damage.kind = RILL_DAMAGE_UNREADABLE;
    rill__index_check_skip(index, damage.first, damage.end);
    at->position = next;
    at->whole = false;
    f->offset = damage.end;
    if (!found && limit == f->chain.must) f->ended = true;
    if (damage.first == damage.end)
        return rill__follow_tell(f, damage, "Brings the batches into their order, if it can.",
                                 "At byte %" PRId64 " are batches that belong elsewhere.",
                                 damage.position);
    return rill__follow_tell(f, damage, "Notes the range as a gap, which readers pass.",
                             "Records [%" PRId64 ", %" PRId64
                             ") cannot be read: no valid batch at byte %" PRId64 " (%s).",
                             damage.first, damage.end, damage.position,
                             why != NULL ? why : "nothing was written there");
}

/* The mark names a place between batches of its segment. past: the log goes on in another
 * segment, so the place was to be before. */
static int check_mark(struct follow *f, const struct reached *at, bool past, bool *met)
{
    const struct mark *mark = &f->chain.mark;
    rill_damage damage = rill__damage_of(RILL_DAMAGE_MARK, RILL_LOG_WARNING, "control");

    if (f->chain.marks_valid == 0 || mark->segment != f->base || !at->whole || *met ||
        (f->offset < mark->durable_end && !past))
        return 0;
    *met = true;
    if (f->offset == mark->durable_end && at->position == mark->position) return 0;
    damage.position = mark->sequence % 2 == 0 ? MARK_B_AT : MARK_A_AT;
    damage.size = MARK_SIZE;
    return rill__follow_tell(f, damage, "Writes both marks anew.",
                             "The durable mark says that offset %" PRId64
                             " is at byte %u of segment %" PRId64 ", where no batch begins.",
                             mark->durable_end, mark->position, mark->segment);
}

/* Of a batch that verifies. */
static int check_records(struct follow *f, struct batch_scan *scan, const struct batch_view *view,
                         const struct reached *at)
{
    rill_damage damage = rill__damage_of(RILL_DAMAGE_RECORD, RILL_LOG_ERROR, f->name);
    const char *wrong = NULL;
    int rc = rill__scan_records(scan, view, &wrong);

    damage.position = (int64_t)at->position;
    damage.size = view->length;
    damage.first = view->base_offset;
    damage.end = view->end_offset;
    if (rc == RILL_ERR_UNSUPPORTED) {
        if (f->codec_told) return 0;
        f->codec_told = true;
        damage.kind = RILL_DAMAGE_FORMAT;
        damage.severity = RILL_LOG_WARNING;
        return rill__follow_tell(f, damage, "Nothing: use a library that was built with it.",
                                 "Compressed records cannot be looked at, here and maybe "
                                 "further on: %s.",
                                 rill__message());
    }
    if (rc == 0 && (view->attributes & BATCH_LOST) != 0) {
        damage.kind = RILL_DAMAGE_GAP;
        damage.severity = RILL_LOG_INFO;
        return rill__follow_tell(f, damage, "Nothing: it is how the loss was noted.",
                                 "The records [%" PRId64 ", %" PRId64
                                 ") were lost before the log was repaired.",
                                 damage.first, damage.end);
    }
    if (rc != 0 || wrong == NULL) return rc;
    return rill__follow_tell(f, damage, "Notes the range as a gap, which readers pass.",
                             "The batch of [%" PRId64 ", %" PRId64 ") verifies, but %s.",
                             damage.first, damage.end, wrong);
}

static int good_batch(struct follow *f, struct batch_scan *scan, const struct batch_view *view,
                      struct reached *at, struct index_check *index)
{
    int rc = check_records(f, scan, view, at);

    rill__index_check_batch(index, f->offset, (uint32_t)at->position,
                            at->whole ? at->max_time : INT64_MIN);
    if (view->max_time > at->max_time) at->max_time = view->max_time;
    f->census->batch_count++;
    f->census->record_count += view->record_count;
    f->epoch = view->epoch;
    f->offset = view->end_offset;
    at->position += view->length;
    if (rc == 0 && at->position - f->passed >= PASS_STEP) {
        rc = pass(f, at->position - f->passed);
        f->passed = at->position;
    }
    return rc;
}

static int follow_batches(struct follow *f, struct batch_scan *scan, struct index_check *index)
{
    const struct tail_copy *tail = &f->chain.words.tail;
    struct reached at = {SEGMENT_HEADER_SIZE, INT64_MIN, true};
    bool mark_met = false;
    int rc = 0;

    f->offset = f->base;
    while (rc == 0 && !f->ended) {
        struct batch_view view;
        enum batch_state state = BATCH_NONE;
        const char *why = NULL;

        rc = check_mark(f, &at, false, &mark_met);
        if (rc != 0) break;
        if (is_active(f) && (at.position >= tail->position || f->offset >= tail->end_offset)) {
            if (at.position != tail->position || f->offset != tail->end_offset)
                rc = wrong_tail(f, scan, &at);
            f->ended = true;
            break;
        }
        if (f->offset == f->compacted_end) break;
        rc = rill__scan_batch(scan, at.position, &state, &view, &why);
        if (rc != 0) break;
        if (state == BATCH_VALID && view.base_offset == f->offset && view.epoch >= f->epoch) {
            rc = good_batch(f, scan, &view, &at, index);
            continue;
        }
        if (state == BATCH_VALID) why = "the offset or the epoch of the batch does not follow";
        if (!is_active(f) && f->compacted_end < 0 && f->offset != f->base &&
            rill__chain_has(&f->chain, f->offset))
            break;
        if (f->offset < f->chain.must || f->offset < f->compacted_end) {
            int64_t before = f->offset;
            uint64_t place = at.position;
            rc = lost_batches(f, scan, &at, index, why);
            if (f->offset != before && f->compacted_end < 0 &&
                rill__chain_has(&f->chain, f->offset))
                break;
            /* Nothing was found: the chain goes on. */
            if (rc == 0 && f->offset == before && at.position == place && !f->ended) break;
            continue;
        }
        if (why != NULL) rc = torn_tail(f, &at, why);
        f->ended = true;
    }
    f->census->last_base = f->base;
    f->census->last_position = (uint32_t)at.position;
    if (rc == 0 && !f->ended && rill__chain_has(&f->chain, f->offset))
        rc = check_mark(f, &at, true, &mark_met);
    if (rc == 0)
        rill__index_check_end(index, f->offset, (uint32_t)at.position, at.max_time, at.whole);
    return rc;
}

static int tell_index(struct follow *f, const struct index_check *index)
{
    rill_damage damage = rill__damage_of(RILL_DAMAGE_INDEX, RILL_LOG_INFO, NULL);
    char name[SEGMENT_NAME_SIZE];
    char bad[80];
    const char *wrong = index->wrong;
    int rc;

    if (wrong == NULL && index->bad_count == 0) return 0;
    rc = rill__follow_look_twice(f, f->name, &f->file);
    if (rc != 0) return rc;
    if (!f->check->alone && f->waits++ < WAITS_MAX) { /* compaction brings it last */
        rill__sleep_ns(WAIT_NS);
        return FOLLOW_MOVED;
    }
    rill__segment_name(f->base, "index", name);
    damage.file = name;
    if (wrong == NULL) {
        snprintf(bad, sizeof bad, "has %u entries that lead to no batch", index->bad_count);
        wrong = bad;
        damage.position = INDEX_HEADER_SIZE + (int64_t)index->first_bad * INDEX_ENTRY_SIZE;
        damage.size = INDEX_ENTRY_SIZE;
    }
    return rill__follow_tell(f, damage, "Makes it anew from its segment.",
                             "The index %s; looking for records here takes longer, none is lost.",
                             wrong);
}

int rill__follow_segment(struct follow *f)
{
    struct batch_scan scan;
    struct index_check index;
    uint32_t entries = INDEX_UNSEALED;
    struct log_census census = *f->census;
    int32_t epoch = f->epoch;
    bool usable;
    int rc;

    f->base = f->offset;
    f->compacted_end = -1;
    f->passed = 0;
    f->size = 0;
    f->file = FILE_NONE;
    rc = open_segment(f, &usable);
    if (rc == 0 && usable) {
        f->census->segment_count++;
        if (is_active(f)) entries = f->chain.words.tail.index_count;
        else if (!f->chain.words.count && rill__chain_after(&f->chain, f->base) == INT64_MAX)
            entries = 0; /* recovery makes them */
        rill__scan_init(&scan, f->check->heap, &f->file, f->size, f->header.is.salt);
        rc = rill__index_check_open(&index, f->check->heap, f->check->dir, f->base,
                                    f->header.is.salt, entries);
        if (rc == 0) rc = follow_batches(f, &scan, &index);
        if (rc == 0) rc = tell_index(f, &index);
        rill__index_check_close(&index);
        rill__scan_deinit(&scan);
    }
    if (rc == FOLLOW_MOVED) { /* all of it again */
        f->offset = f->base;
        f->epoch = epoch;
        *f->census = census;
    }
    if (rc == 0 && f->size > f->passed) rc = pass(f, f->size - f->passed);
    rill__file_close(&f->file);
    return rc;
}
