/*
 * log/rebuild.c - a damaged segment written anew.
 *
 *     old   header | b0 | b1 | ???????? | b3 | b4 | ????? | zeros
 *     new   header | b0 | b1 | gap: b2  | b3 | b4 | gap   | zeros
 *
 * A gap takes the room of what was lost, and all that is kept keeps its place, so
 * that durable marks and shared words stay true.
 *
 * The new file is written and synced; the old one gets its second name, in
 * quarantine; then the new one takes the first name by a rename.
 */
#include "log/salvage.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include <inttypes.h>

#define GAP_PIECE (UINT64_C(1) << 20) /* a gap of more bytes is several batches, if it may */
#define COPY_STEP ((size_t)1 << 20)

/* The old one, if it is sound. */
static void fill_header(struct rebuild *r, int32_t epoch)
{
    uint8_t *h = r->header;

    rill__put64(h + SEGMENT_FILE_SIZE_AT, r->size);
    rill__put64(h + SEGMENT_CHECKSUM_AT, rill__checksum(h, SEGMENT_CHECKSUM_AT));
    if (r->has_header) return;
    memset(h, 0, sizeof r->header);
    memcpy(h, "RILLSEG1", 8);
    rill__put16(h + SEGMENT_VERSION_AT, SEGMENT_VERSION);
    rill__put16(h + SEGMENT_HEADER_SIZE_AT, SEGMENT_HEADER_SIZE);
    rill__put64(h + SEGMENT_BASE_AT, (uint64_t)r->base);
    rill__put64(h + SEGMENT_SALT_AT, r->salt);
    memcpy(h + SEGMENT_TOPIC_AT, r->salvage->check.topic_id, 16);
    rill__put32(h + SEGMENT_PARTITION_AT, (uint32_t)r->salvage->check.partition);
    rill__put32(h + SEGMENT_EPOCH_AT, (uint32_t)epoch);
    rill__put64(h + SEGMENT_CREATED_AT, (uint64_t)rill__now_ms());
    rill__put64(h + SEGMENT_FILE_SIZE_AT, r->size);
    rill__put64(h + SEGMENT_CHECKSUM_AT, rill__checksum(h, SEGMENT_CHECKSUM_AT));
}

static int write_at(struct rebuild *r, const void *bytes, size_t size)
{
    int rc = r->salvage->dry_run ? 0 : rill__file_write(&r->out, bytes, size, r->at);

    r->at += size;
    return rc;
}

static int tell_gap(struct rebuild *r, int64_t end, uint64_t bytes)
{
    rill_repair_action action = rill__salvage_action(RILL_REPAIR_GAP, r->name);

    action.first = r->offset;
    action.end = end;
    action.bytes_lost = bytes;
    return rill__salvage_told(r->salvage, action,
                              "The records [%" PRId64 ", %" PRId64
                              ") are lost; a gap in the log says so.",
                              r->offset, end);
}

/* The offsets up to end are lost, in so many bytes of the new file. */
static int write_gap(struct rebuild *r, int64_t end, uint64_t bytes, uint64_t lost)
{
    uint64_t pieces = (bytes + GAP_PIECE - 1) / GAP_PIECE;
    uint64_t least = rill__gap_room(end - r->offset) / BATCH_HEADER_SIZE;
    uint8_t *piece;
    int rc = tell_gap(r, end, lost);

    if (pieces > (uint64_t)(end - r->offset)) pieces = (uint64_t)(end - r->offset);
    if (pieces < least) pieces = least;
    if (bytes < pieces * BATCH_HEADER_SIZE) bytes = pieces * BATCH_HEADER_SIZE;
    piece = rill__alloc(r->salvage->check.heap, (size_t)(bytes / pieces + 8 * pieces));
    if (piece == NULL) rc = rc != 0 ? rc : RILL_ERR_NO_MEMORY;
    for (uint64_t i = 0; i < pieces && rc == 0; i++) {
        uint64_t left = pieces - i;
        size_t length = (size_t)(bytes / left) & ~(size_t)7;
        int64_t to = r->offset + (end - r->offset) / (int64_t)left;

        if (left == 1) length = (size_t)bytes;
        rill__batch_put_lost(piece, length, r->offset, to, r->epoch, r->salt);
        rc = write_at(r, piece, length);
        bytes -= length;
        r->offset = to;
    }
    rill__free(r->salvage->check.heap, piece);
    return rc;
}

static int copy_old(struct rebuild *r, uint64_t from, uint64_t to)
{
    size_t room = to - from < COPY_STEP ? (size_t)(to - from) : COPY_STEP;
    uint8_t *bytes = rill__alloc(r->salvage->check.heap, room);
    int rc = bytes == NULL ? RILL_ERR_NO_MEMORY : 0;

    while (rc == 0 && from < to) {
        size_t size = to - from < room ? (size_t)(to - from) : room;
        rc = rill__file_read(&r->old, bytes, size, from);
        if (rc == 0) rc = write_at(r, bytes, size);
        from += size;
    }
    rill__free(r->salvage->check.heap, bytes);
    return rc;
}

/* Batches that stand behind each other are copied together. */
static int write_run(struct rebuild *r, size_t *i)
{
    uint64_t from = r->kept[*i].position;
    uint64_t to = from;

    do {
        to += r->kept[*i].length;
        r->offset = r->kept[*i].end;
        r->epoch = r->kept[*i].epoch;
        ++*i;
    } while (*i < r->count && r->kept[*i].position == to && r->kept[*i].base == r->offset);
    return copy_old(r, from, to);
}

static int write_batches(struct rebuild *r)
{
    uint64_t end;
    uint64_t old_end = SEGMENT_HEADER_SIZE; /* of what was kept last, in the old file */
    int rc = 0;

    for (size_t i = 0; i < r->count && rc == 0;) {
        const struct kept *k = &r->kept[i];
        uint64_t lost = k->position > old_end ? k->position - old_end : 0;
        if (k->base > r->offset)
            rc = write_gap(r, k->base, r->keeps_places ? k->position - r->at : 0, lost);
        if (rc == 0) rc = write_run(r, &i);
        if (i > 0) old_end = r->kept[i - 1].position + r->kept[i - 1].length;
    }
    if (rc != 0 || r->offset >= r->must_end) return rc;
    end = r->must_position > r->at ? r->must_position
                                   : r->at + rill__gap_room(r->must_end - r->offset);
    if (end > r->size) return 0; /* another segment takes it, at the next look */
    return write_gap(r, r->must_end, end - r->at, r->must_position > r->at ? end - r->at : 0);
}

/* How large the file must be at least. */
static uint64_t size_needed(const struct rebuild *r)
{
    uint64_t end =
        SEGMENT_HEADER_SIZE + rill__gap_room(r->must_end > r->base ? r->must_end - r->base : 1);

    if (r->must_position > end) end = r->must_position;
    return (end + 4095) & ~UINT64_C(4095);
}

static int write_file(struct rebuild *r)
{
    const struct log_salvage *s = r->salvage;
    int rc = r->has_salt ? 0 : rill__random(&r->salt, sizeof r->salt);

    if (r->size < size_needed(r)) r->size = size_needed(r);
    r->epoch = r->epoch_before;
    r->offset = r->base;
    r->at = 0;
    fill_header(r, r->count > 0 ? r->kept[0].epoch : r->epoch);
    if (rc == 0 && !s->dry_run) {
        rc = rill__file_remove(s->check.dir, SALVAGE_TMP);
        if (rc == 0)
            rc = rill__file_open(s->check.dir, SALVAGE_TMP,
                                 FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &r->out);
        if (rc == 0) rc = rill__file_allocate(&r->out, r->size);
    }
    if (rc == 0) rc = write_at(r, r->header, sizeof r->header);
    if (rc == 0) rc = write_batches(r);
    if (rc == 0 && !s->dry_run) rc = rill__file_sync(&r->out);
    rill__file_close(&r->out);
    return rc;
}

/* In place of the old one. */
static int publish(struct rebuild *r)
{
    const struct log_salvage *s = r->salvage;
    bool exists;
    int rc;

    if (s->dry_run) return 0;
    rc = rill__file_exists(s->check.dir, r->name, &exists);
    if (rc == 0 && exists) rc = s->set_aside(s->arg, r->name, &r->where);
    if (rc == 0) rc = rill__file_rename(s->check.dir, SALVAGE_TMP, r->name);
    return rc == 0 ? rill__dir_sync(s->check.dir) : rc;
}

static void rebuild_end(struct rebuild *r)
{
    rill__scan_deinit(&r->scan);
    rill__free(r->salvage->check.heap, r->kept);
    rill__file_close(&r->old);
    rill__file_close(&r->out);
}

int rill__salvage_segment(const struct log_salvage *salvage, const struct chain *chain,
                          int64_t base)
{
    struct rebuild r = {
        .salvage = salvage, .chain = chain, .base = base, .old = FILE_NONE, .out = FILE_NONE};
    rill_repair_action action;
    int rc;

    rill__segment_name(base, "log", r.name);
    rc = rill__rebuild_look(&r);
    if (rc == 0) rc = write_file(&r);
    if (rc == 0) rc = publish(&r);
    action = rill__salvage_action(RILL_REPAIR_SEGMENT, r.name);
    action.quarantine = r.where;
    if (rc == 0)
        rc = rill__salvage_told(salvage, action,
                                "The segment was written anew, with the %zu batches that are "
                                "left of it.",
                                r.count);
    rebuild_end(&r);
    return rc;
}

int rill__salvage_gap(const struct log_salvage *salvage, const struct chain *chain, int64_t first,
                      int64_t end)
{
    struct rebuild r = {.salvage = salvage,
                        .chain = chain,
                        .base = first,
                        .old = FILE_NONE,
                        .out = FILE_NONE,
                        .must_end = end,
                        .size = salvage->segment_bytes};
    const struct tail_copy *tail = &chain->words.tail;
    int rc;

    rill__segment_name(first, "log", r.name);
    rill__scan_init(&r.scan, salvage->check.heap, &r.old, 0, 0);
    /* Segments that the words or the mark name are made apart. */
    if (chain->words.count && tail->base > first && tail->base < r.must_end)
        r.must_end = tail->base;
    if (chain->marks_valid != 0 && chain->mark.segment > first &&
        chain->mark.segment < r.must_end)
        r.must_end = chain->mark.segment;
    if (chain->words.count && tail->base == first) r.must_position = tail->position;
    else if (!chain->words.count && chain->marks_valid != 0 && chain->mark.segment == first)
        r.must_position = chain->mark.position;
    else if (rill__chain_after(chain, first) != INT64_MAX) r.size = 0; /* as small as can be */
    rc = rill__rebuild_epoch(&r);
    if (rc == 0) rc = write_file(&r);
    if (rc == 0) rc = publish(&r);
    rebuild_end(&r);
    return rc;
}
