/*
 * log/rewrite.c - one new segment out of one or several that are sealed.
 *
 *     batch of the source -> what becomes of its records?
 *         all stay          its bytes are copied, with a checksum for the new place
 *         some stay         a sparse batch of them
 *         none, but it is the last of its producer     an empty sparse batch
 *         none              a gap: added to the batch before, if that is sparse or
 *                           small, else an empty batch for as many as follow
 *
 * Always true:
 *   - a record that stays has its offset, and batches follow each other without
 *     a gap of offsets, so that all who read them need to know no more;
 *   - a record goes only for a later one of the same key, or as a tombstone
 *     that was compacted so long ago that every reader had the time to see it;
 *   - leader epoch, attributes, producer, sequence and the offset of the last
 *     record that there was stay in every batch, as in Kafka, and of every
 *     producer its last batch does, if without records;
 *   - nothing of a batch that does not verify gets into the new segment.
 *
 * A batch that becomes sparse may grow, by 8 bytes a record, so a new segment
 * may be larger than the old one. It may be larger than a topic's segments are.
 */
#include "base/bytes.h"
#include "log/compact.h"
#include <inttypes.h>

/* A batch before a gap becomes sparse for it if that costs less than an empty one. */
#define STRETCH_RECORDS_MAX 7

enum fate {
    FATE_STAYS,
    FATE_STAMPED, /* stays, and bears the time from now on */
    FATE_SUPERSEDED,
    FATE_EXPIRED
};

/* ---- What becomes of what --------------------------------------------- */

struct hash128 rill__hash_key(rill_bytes key)
{
    return rill__hash128(key.data, key.size, 0);
}

struct hash128 rill__hash_producer(int64_t producer)
{
    uint8_t bytes[8];

    rill__put64(bytes, (uint64_t)producer);
    return rill__hash128(bytes, sizeof bytes, 1); /* no key's */
}

int rill__batch_part(struct log *log, const struct batch_view *view, enum batch_part *part)
{
    bool aborted = false;
    int rc = 0;

    *part = BATCH_MARKER;
    if ((view->attributes & BATCH_CONTROL) != 0) return 0;
    if ((view->attributes & BATCH_TRANSACTIONAL) != 0)
        rc = rill__log_is_aborted(log, view, &aborted);
    *part = aborted ? BATCH_ABORTED : BATCH_COUNTS;
    return rc;
}

static enum fate fate_of(const struct cleaning *cleaning, const rill_record *record)
{
    uint32_t stamp;

    if (record->key.data == NULL || record->offset >= cleaning->end) return FATE_STAYS;
    if (rill__keymap_get(cleaning->map, rill__hash_key(record->key)) > record->offset)
        return FATE_SUPERSEDED;
    if (record->value.data != NULL) return FATE_STAYS;
    stamp = rill__record_stamp(record->raw);
    if (stamp == 0) return FATE_STAMPED;
    return stamp <= cleaning->expired_s ? FATE_EXPIRED : FATE_STAYS;
}

/* An empty batch is kept for the sake of its producer only. */
static bool is_needed_empty(const struct cleaning *cleaning, const struct batch_view *view)
{
    return view->producer_id >= 0 &&
           rill__keymap_get(cleaning->map, rill__hash_producer(view->producer_id)) <=
               view->base_offset;
}

int rill__cleaning_changes(const struct cleaning *cleaning, struct source *source,
                           const struct piece *piece, bool *changes)
{
    rill_record record = RILL_RECORD_INIT;
    struct batch_view view;
    struct batch_view records;
    enum batch_part part;
    bool more;
    int rc = rill__source_open(source, piece);

    *changes = false;
    while (rc == 0 && !*changes) {
        struct record_walk walk = {BATCH_HEADER_SIZE, 0};
        rc = rill__source_next(source, &view, &more);
        if (rc != 0 || !more) break;
        rc = rill__batch_part(source->log, &view, &part);
        if (rc != 0 || part != BATCH_COUNTS) continue;
        rc = rill__source_records(source, &view, &records);
        while (rc == 0 && !*changes) {
            rc = rill__source_record(source, &records, &walk, &record, &more);
            if (rc != 0 || !more) break;
            *changes = fate_of(cleaning, &record) != FATE_STAYS;
        }
    }
    return rc;
}

/* ---- The file ---------------------------------------------------------- */

static int grow_room(struct rewrite *rw, struct room *room, size_t size)
{
    uint8_t *data;

    if (size <= room->size) return 0;
    data = rill__resize(rw->log->config.heap, room->data, size);
    if (data == NULL) return RILL_ERR_NO_MEMORY;
    *room = (struct room){data, size};
    return 0;
}

/* Nobody maps the file before it is synced, and then it has all its blocks. */
static int flush(struct rewrite *rw)
{
    int rc = rill__file_write(&rw->file, rw->buffer.data, rw->used, rw->written);

    rw->written += rw->used;
    rw->used = 0;
    return rc;
}

static int put_bytes(struct rewrite *rw, const uint8_t *data, size_t size)
{
    int rc = 0;

    while (size > 0 && rc == 0) {
        size_t part = rw->buffer.size - rw->used;
        if (part > size) part = size;
        memcpy(rw->buffer.data + rw->used, data, part);
        rw->used += part;
        data += part;
        size -= part;
        if (rw->used == rw->buffer.size) rc = flush(rw);
    }
    return rc;
}

/* To whole pages, which are zero. */
static int put_padding(struct rewrite *rw)
{
    static const uint8_t zeros[4096];
    size_t over = (size_t)(rw->written + rw->used) % sizeof zeros;

    return over == 0 ? 0 : put_bytes(rw, zeros, sizeof zeros - over);
}

static uint64_t position_of(const struct rewrite *rw)
{
    return rw->written + rw->used;
}

static int put_index_entry(struct rewrite *rw, int64_t offset)
{
    struct segment *made = &rw->made;
    size_t size = INDEX_HEADER_SIZE + ((size_t)rw->index_count + 1) * INDEX_ENTRY_SIZE;

    if (size > made->index.size) {
        uint8_t *data =
            rill__resize(rw->log->config.heap, made->index.data, 2 * size + COMPACT_CHUNK);
        if (data == NULL) return RILL_ERR_NO_MEMORY;
        made->index = (struct map){data, 2 * size + COMPACT_CHUNK};
    }
    if (rill__index_put(made, rw->index_count, offset, (uint32_t)position_of(rw), rw->max_time))
        rw->index_count++;
    rw->index_position = (uint32_t)position_of(rw);
    return 0;
}

/* ---- Batches that go out ----------------------------------------------- */

static struct batch_view held_view(const struct rewrite *rw)
{
    struct batch_view view;
    const char *why;

    rill__batch_view(rw->held.data, rw->held_size, &view, &why);
    return view;
}

static int put_held(struct rewrite *rw)
{
    struct batch_view view;
    int rc = 0;

    if (rw->held_size == 0) return 0;
    view = held_view(rw);
    if (position_of(rw) + rw->held_size > SEGMENT_BYTES_MAX - 4096)
        return rill__fail(RILL_ERR_TOO_BIG,
                          "%s: segment %" PRId64
                          " cannot be compacted: it would have more than %" PRIu64 " bytes",
                          rw->log->dir.name, rw->made.base, SEGMENT_BYTES_MAX);
    if (rw->index_position == 0 ||
        position_of(rw) - rw->index_position >= rw->log->config.index_interval_bytes)
        rc = put_index_entry(rw, view.base_offset);
    if (rc != 0) return rc;
    if (!rw->held_hashed) rw->held_content = rill__batch_hash(rw->held.data);
    rill__batch_stamp(rw->held.data, rw->held_content, rw->made.salt, view.base_offset,
                      view.epoch);
    if (view.max_time > rw->max_time) rw->max_time = view.max_time;
    rw->epoch = view.epoch;
    rw->counts.bytes_after += rw->held_size;
    rw->counts.records_after += view.record_count;
    rc = put_bytes(rw, rw->held.data, rw->held_size);
    rw->held_size = 0;
    return rc;
}

/* A sparse batch, not compressed, in the spare room: the records that have a fate
 * to stay. Its header is that of the batch it is made of. */
static int make_sparse(struct rewrite *rw, const uint8_t *header,
                       const struct batch_view *records, const uint8_t *fates, size_t *size)
{
    rill_record record = RILL_RECORD_INIT;
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    size_t most = records->length + (size_t)records->record_count * 8;
    uint32_t count = 0;
    int64_t max_time = INT64_MIN;
    uint8_t *data;
    bool bad;
    int rc = grow_room(rw, &rw->spare, most);

    if (rc != 0) return rc;
    data = rw->spare.data;
    *size = BATCH_HEADER_SIZE;
    while (rill__record_next(records, &walk, &record, &bad)) {
        enum fate fate = fates == NULL ? FATE_STAYS : fates[walk.index - 1];
        uint32_t stamp = rill__record_stamp(record.raw);

        if (fate == FATE_SUPERSEDED || fate == FATE_EXPIRED) continue;
        if (fate == FATE_STAMPED) stamp = rw->cleaning->stamp_s;
        rill__record_put_sparse(data + *size, record.raw,
                                (uint32_t)(record.offset - records->base_offset), stamp);
        *size += rill__record_sparse_size(record.raw);
        if (record.timestamp_ms > max_time) max_time = record.timestamp_ms;
        count++;
    }
    memcpy(data, header, BATCH_HEADER_SIZE);
    rill__put32(data + BATCH_LENGTH_AT, (uint32_t)*size);
    rill__put32(data + BATCH_COUNT_AT, count);
    rill__put16(data + BATCH_ATTRIBUTES_AT, records->attributes | BATCH_SPARSE);
    rill__put64(data + BATCH_MAX_TIME_AT, (uint64_t)max_time);
    return 0;
}

/* What is in the spare room is held from now on. */
static void hold_spare(struct rewrite *rw, size_t size)
{
    struct room spare = rw->spare;

    rw->spare = rw->held;
    rw->held = spare;
    rw->held_size = (uint32_t)size;
    rw->held_hashed = false;
}

static int64_t gap_reach(const struct batch_view *held, int64_t gap_end)
{
    return gap_end - held->base_offset - 1;
}

/* Whether the gap behind it can be told by the last offset delta of the held batch.
 * Not a producer's: to him that is a sequence number. */
static bool can_stretch(const struct rewrite *rw, const struct batch_view *held)
{
    return (held->attributes & BATCH_CONTROL) == 0 && held->producer_id < 0 &&
           (held->attributes & BATCH_COMPRESSION_MASK) == 0 &&
           ((held->attributes & BATCH_SPARSE) != 0 ||
            held->record_count <= STRETCH_RECORDS_MAX) &&
           gap_reach(held, rw->gap_end) <= INT32_MAX;
}

static int stretch_held(struct rewrite *rw, const struct batch_view *held)
{
    size_t size;

    if ((held->attributes & BATCH_SPARSE) == 0) {
        int rc = make_sparse(rw, held->data, held, NULL, &size);
        if (rc != 0) return rc;
        hold_spare(rw, size);
    }
    rill__put32(rw->held.data + BATCH_LAST_DELTA_AT, (uint32_t)gap_reach(held, rw->gap_end));
    rw->held_hashed = false;
    return 0;
}

/* An empty batch of no producer, with the leader epoch and times of the last batch
 * that was there. */
static int hold_gap(struct rewrite *rw)
{
    int rc = grow_room(rw, &rw->held, BATCH_HEADER_SIZE);
    uint8_t *data = rw->held.data;

    if (rc != 0) return rc;
    memcpy(data, rw->gap_header, BATCH_HEADER_SIZE);
    rill__put64(data + BATCH_BASE_OFFSET_AT, (uint64_t)rw->gap_from);
    rill__put32(data + BATCH_LENGTH_AT, BATCH_HEADER_SIZE);
    rill__put32(data + BATCH_COUNT_AT, 0);
    rill__put32(data + BATCH_LAST_DELTA_AT, (uint32_t)(rw->gap_end - rw->gap_from - 1));
    rill__put64(data + BATCH_PRODUCER_AT, UINT64_MAX);
    rill__put32(data + BATCH_SEQUENCE_AT, UINT32_MAX);
    rill__put16(data + BATCH_PRODUCER_EPOCH_AT, UINT16_MAX);
    rill__put16(data + BATCH_ATTRIBUTES_AT,
                (rill__get16(data + BATCH_ATTRIBUTES_AT) & BATCH_APPEND_TIME) | BATCH_SPARSE);
    rw->held_size = BATCH_HEADER_SIZE;
    rw->held_hashed = false;
    return 0;
}

/* The held batch and the gap behind it go out. */
static int settle_held(struct rewrite *rw)
{
    struct batch_view held;
    int rc = 0;

    if (rw->gap && rw->held_size != 0) {
        held = held_view(rw);
        if (can_stretch(rw, &held)) {
            rc = stretch_held(rw, &held);
            rw->gap = false;
        }
    }
    if (rc == 0) rc = put_held(rw);
    if (rc == 0 && rw->gap) {
        rw->gap = false;
        rc = hold_gap(rw);
        if (rc == 0) rc = put_held(rw);
    }
    return rc;
}

static int add_gap(struct rewrite *rw, const struct batch_view *view)
{
    int rc = 0;

    if (rw->gap && view->end_offset - rw->gap_from - 1 > INT32_MAX) rc = settle_held(rw);
    if (!rw->gap) rw->gap_from = view->base_offset;
    rw->gap = true;
    rw->gap_end = view->end_offset;
    memcpy(rw->gap_header, view->data, BATCH_HEADER_SIZE);
    return rc;
}

static int add_copy(struct rewrite *rw, const struct batch_view *view)
{
    int rc = settle_held(rw);

    if (rc == 0) rc = grow_room(rw, &rw->held, view->length);
    if (rc != 0) return rc;
    memcpy(rw->held.data, view->data, view->length);
    rw->held_size = view->length;
    rw->held_content = rill__batch_content(view, rw->source->salt);
    rw->held_hashed = true;
    return 0;
}

/* Compressed again, as the batch it is made of, if that makes it smaller. */
static int pack_held(struct rewrite *rw, int code)
{
    size_t size;
    int rc = grow_room(rw, &rw->spare, rw->held_size);

    if (rc == 0)
        rc = rill__batch_pack(rw->held.data, &rw->source->codec, code, rw->spare.data, &size);
    if (rc == 0 && size != 0) hold_spare(rw, size);
    return rc;
}

/* Nothing of it stays; but perhaps itself. */
static int add_none(struct rewrite *rw, const struct batch_view *view)
{
    uint8_t *data;
    int rc;

    if (!is_needed_empty(rw->cleaning, view)) return add_gap(rw, view);
    if (view->record_count == 0) return add_copy(rw, view);
    rc = settle_held(rw);
    if (rc == 0) rc = grow_room(rw, &rw->held, BATCH_HEADER_SIZE);
    if (rc != 0) return rc;
    data = rw->held.data;
    memcpy(data, view->data, BATCH_HEADER_SIZE);
    rill__put32(data + BATCH_LENGTH_AT, BATCH_HEADER_SIZE);
    rill__put32(data + BATCH_COUNT_AT, 0);
    rill__put16(data + BATCH_ATTRIBUTES_AT,
                (view->attributes & (uint16_t)~BATCH_COMPRESSION_MASK) | BATCH_SPARSE);
    rw->held_size = BATCH_HEADER_SIZE;
    rw->held_hashed = false;
    return 0;
}

static int add_rest(struct rewrite *rw, const struct batch_view *view,
                    const struct batch_view *records)
{
    int code = view->attributes & BATCH_COMPRESSION_MASK;
    size_t size;
    int rc = settle_held(rw);

    if (rc == 0) rc = make_sparse(rw, view->data, records, rw->fates.data, &size);
    if (rc != 0) return rc;
    hold_spare(rw, size);
    return code == 0 ? 0 : pack_held(rw, code);
}

/* ---- Batches that come in ---------------------------------------------- */

static void note_tombstone(struct rewrite *rw, uint32_t stamp)
{
    if (stamp != 0 && (rw->tombstone_s == 0 || stamp < rw->tombstone_s)) rw->tombstone_s = stamp;
}

/* The fate of every record: how many stay, and whether any is changed. */
static int judge_records(struct rewrite *rw, const struct batch_view *records, uint32_t *stay,
                         bool *stamped)
{
    rill_record record = RILL_RECORD_INIT;
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    bool more;
    int rc = grow_room(rw, &rw->fates, records->record_count);

    *stay = 0;
    *stamped = false;
    while (rc == 0) {
        enum fate fate;
        rc = rill__source_record(rw->source, records, &walk, &record, &more);
        if (rc != 0 || !more) break;
        fate = fate_of(rw->cleaning, &record);
        rw->fates.data[walk.index - 1] = (uint8_t)fate;
        if (fate == FATE_STAMPED) *stamped = true;
        if (fate == FATE_EXPIRED) rw->counts.tombstones_removed++;
        if (fate == FATE_STAYS || fate == FATE_STAMPED) {
            (*stay)++;
            note_tombstone(rw, fate == FATE_STAMPED ? rw->cleaning->stamp_s
                                                    : rill__record_stamp(record.raw));
        }
    }
    return rc;
}

static int add_batch(struct rewrite *rw, const struct batch_view *view)
{
    struct batch_view records;
    uint32_t stay;
    enum batch_part part;
    bool stamped;
    int rc = rill__batch_part(rw->log, view, &part);

    if (rc != 0) return rc;
    rw->counts.bytes_before += view->length;
    rw->counts.records_before += view->record_count;
    if (part == BATCH_MARKER || (part == BATCH_ABORTED && view->end_offset > rw->cleaning->end))
        return add_copy(rw, view);
    if (part == BATCH_ABORTED) return add_none(rw, view);
    rc = rill__source_records(rw->source, view, &records);
    if (rc == 0) rc = judge_records(rw, &records, &stay, &stamped);
    if (rc != 0) return rc;
    if (stay == 0) return add_none(rw, view);
    if (stay == view->record_count && !stamped) return add_copy(rw, view);
    return add_rest(rw, view, &records);
}

/* ---- The segment -------------------------------------------------------- */

int rill__rewrite_begin(struct rewrite *rw, struct log *log, int64_t base,
                        const struct cleaning *cleaning, struct source *source)
{
    uint8_t nothing[SEGMENT_HEADER_SIZE] = {0};
    int rc;

    memset(rw, 0, sizeof *rw);
    rw->log = log;
    rw->cleaning = cleaning;
    rw->source = source;
    rw->file = FILE_NONE;
    rw->made.base = base;
    rw->made.end = base;
    rw->max_time = INT64_MIN;
    rc = grow_room(rw, &rw->buffer, COMPACT_CHUNK);
    if (rc == 0) rc = rill__random(&rw->made.salt, sizeof rw->made.salt);
    if (rc == 0) rc = rill__file_remove(&log->dir, CLEAN_LOG);
    if (rc == 0)
        rc = rill__file_open(&log->dir, CLEAN_LOG, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE,
                             &rw->file);
    return rc != 0 ? rc : put_bytes(rw, nothing, sizeof nothing);
}

int rill__rewrite_add(struct rewrite *rw, const struct piece *piece)
{
    struct batch_view view;
    bool more;
    int rc = rill__source_open(rw->source, piece);

    while (rc == 0) {
        rc = rill__source_next(rw->source, &view, &more);
        if (rc != 0 || !more) break;
        rc = add_batch(rw, &view);
    }
    rw->made.end = piece->end;
    return rc;
}

uint64_t rill__rewrite_size(const struct rewrite *rw)
{
    return position_of(rw) + rw->held_size + (rw->gap ? BATCH_HEADER_SIZE : 0) -
           SEGMENT_HEADER_SIZE;
}

static int write_index(struct rewrite *rw, uint32_t end_position)
{
    struct segment *made = &rw->made;
    size_t size = INDEX_HEADER_SIZE + (size_t)rw->index_count * INDEX_ENTRY_SIZE;
    int rc;

    made->size = (uint32_t)position_of(rw);
    rill__index_seal(made, rw->index_count, end_position, made->end, rw->max_time);
    rill__file_close(&rw->file);
    rw->written = 0;
    rw->used = 0;
    rc = rill__file_remove(&rw->log->dir, CLEAN_INDEX);
    if (rc == 0)
        rc = rill__file_open(&rw->log->dir, CLEAN_INDEX,
                             FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &rw->file);
    if (rc == 0) rc = put_bytes(rw, made->index.data, size);
    if (rc == 0) rc = put_padding(rw);
    if (rc == 0) rc = flush(rw);
    return rc != 0 ? rc : rill__file_sync(&rw->file);
}

int rill__rewrite_end(struct rewrite *rw, int64_t cleaned)
{
    uint8_t header[SEGMENT_HEADER_SIZE];
    uint32_t end_position;
    int rc = settle_held(rw);

    if (rc != 0) return rc;
    end_position = (uint32_t)position_of(rw);
    rc = put_padding(rw);
    if (rc == 0) rc = flush(rw);
    if (rc != 0) return rc;
    rill__segment_fill_compacted(&rw->log->config,
                                 &(struct segment_header){.base = rw->made.base,
                                                          .salt = rw->made.salt,
                                                          .file_size = position_of(rw),
                                                          .epoch = rw->epoch,
                                                          .end = rw->made.end,
                                                          .cleaned = cleaned,
                                                          .tombstone_s = rw->tombstone_s},
                                 header);
    rc = rill__file_write(&rw->file, header, sizeof header, 0);
    if (rc == 0) rc = rill__file_sync(&rw->file);
    return rc != 0 ? rc : write_index(rw, end_position);
}

void rill__rewrite_deinit(struct rewrite *rw)
{
    struct heap *heap = rw->log->config.heap;

    rill__file_close(&rw->file);
    rill__free(heap, rw->made.index.data);
    rill__free(heap, rw->buffer.data);
    rill__free(heap, rw->held.data);
    rill__free(heap, rw->fates.data);
    rill__free(heap, rw->spare.data);
}
