/*
 * log/index.c - from an offset or a time to a place in a segment.
 *
 * A sparse array of (offset, position, largest timestamp before) with an entry
 * per index_interval_bytes of batches, all three growing. A look-up gives the
 * last entry that is not beyond what is sought; the caller scans forward.
 *
 * Always true: losing the file, or any byte of it, costs a longer scan, never
 * data. So an entry is believed only when the batch it names is there.
 *
 * Threads: one writer, under append_lock; readers take no lock and see the
 * entries below the count that the tail or the sealed header gives them.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/format.h"
#include "log/segment.h"

static uint32_t index_room(const struct segment *segment)
{
    if (segment->index.data == NULL) return 0;
    return (uint32_t)((segment->index.size - INDEX_HEADER_SIZE) / INDEX_ENTRY_SIZE);
}

static uint8_t *index_entry(const struct segment *segment, uint32_t at)
{
    return segment->index.data + INDEX_HEADER_SIZE + (size_t)at * INDEX_ENTRY_SIZE;
}

/* Ties the parts of an entry together. */
static uint32_t mix_entry(const struct segment *segment, uint32_t offset, int64_t time)
{
    return (uint32_t)rill__mix64(segment->salt ^ rill__mix64((uint64_t)time + offset));
}

bool rill__index_put(struct segment *segment, uint32_t at, int64_t offset, uint32_t position,
                     int64_t max_time_before)
{
    uint8_t *e;

    if (at >= index_room(segment) || offset - segment->base > UINT32_MAX) return false;
    e = index_entry(segment, at);
    rill__put32(e, (uint32_t)(offset - segment->base));
    rill__put32(e + 4, position / 8 ^ mix_entry(segment, rill__get32(e), max_time_before));
    rill__put64(e + 8, (uint64_t)max_time_before);
    return true;
}

bool rill__index_sealed(const struct segment *segment, struct index_seal *seal)
{
    uint8_t h[INDEX_HEADER_SIZE];

    if (segment->index.data == NULL) return false;
    memcpy(h, segment->index.data, sizeof h);
    if (rill__get64(h + INDEX_CHECKSUM_AT) != rill__checksum(h, INDEX_CHECKSUM_AT)) return false;
    seal->count = rill__get32(h + INDEX_COUNT_AT);
    seal->end_position = rill__get32(h + INDEX_END_POSITION_AT);
    seal->end_offset = (int64_t)rill__get64(h + INDEX_END_OFFSET_AT);
    seal->max_time = (int64_t)rill__get64(h + INDEX_MAX_TIME_AT);
    return seal->count != INDEX_UNSEALED && seal->count <= index_room(segment) &&
           seal->end_position >= SEGMENT_HEADER_SIZE && seal->end_position <= segment->size &&
           seal->end_offset >= segment->base;
}

/* The position that entry `at` names, if a batch with its offset stands there;
 * else the first batch. */
static uint32_t trusted_position(const struct segment *segment, uint32_t at)
{
    const uint8_t *e = index_entry(segment, at);
    int64_t offset = segment->base + rill__get32(e);
    int64_t time = (int64_t)rill__get64(e + 8);
    uint64_t position =
        (uint64_t)(rill__get32(e + 4) ^ mix_entry(segment, rill__get32(e), time)) * 8;
    struct batch_view view;
    const char *why;

    if (position < SEGMENT_HEADER_SIZE || position >= segment->size) return SEGMENT_HEADER_SIZE;
    if (rill__batch_view(segment->map.data + position, segment->size - (size_t)position, &view,
                         &why) != BATCH_VALID ||
        view.base_offset != offset || !rill__batch_verify(&view, segment->salt))
        return SEGMENT_HEADER_SIZE;
    return (uint32_t)position;
}

uint32_t rill__index_find(const struct segment *segment, uint32_t count, int64_t offset)
{
    uint32_t low = 0;
    uint32_t high = count < index_room(segment) ? count : index_room(segment);
    uint32_t wanted;

    if (offset <= segment->base) return SEGMENT_HEADER_SIZE;
    if (offset - segment->base > UINT32_MAX) wanted = UINT32_MAX;
    else wanted = (uint32_t)(offset - segment->base);
    while (low < high) { /* the first entry beyond wanted */
        uint32_t middle = low + (high - low) / 2;
        if (rill__get32(index_entry(segment, middle)) <= wanted) low = middle + 1;
        else high = middle;
    }
    return low == 0 ? SEGMENT_HEADER_SIZE : trusted_position(segment, low - 1);
}

uint32_t rill__index_find_time(const struct segment *segment, uint32_t count, int64_t time_ms)
{
    uint32_t low = 0;
    uint32_t high = count < index_room(segment) ? count : index_room(segment);

    while (low < high) { /* the first entry with an earlier batch at or after time */
        uint32_t middle = low + (high - low) / 2;
        if ((int64_t)rill__get64(index_entry(segment, middle) + 8) < time_ms) low = middle + 1;
        else high = middle;
    }
    return low == 0 ? SEGMENT_HEADER_SIZE : trusted_position(segment, low - 1);
}
