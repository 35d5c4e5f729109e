/*
 * log/batch.c - see log/batch.h.
 *
 * Everything that reads here may be handed any bytes: sizes are checked
 * against what is left before they are used, and the parts of a record must
 * fit into the size that it states.
 */
#include "log/batch.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/format.h"

#define PART_SIZE_MAX ((size_t)1 << 30)

/* A record's raw pointer is 8-byte aligned; this bit in it tells the sparse
 * layout, which the record's own bytes do not. */
#define RAW_SPARSE 4

void rill__batch_init(struct batch *batch, void *buffer, size_t capacity)
{
    memset(batch, 0, sizeof *batch);
    batch->data = buffer;
    batch->capacity = capacity;
    batch->producer_epoch = -1;
    batch->base_sequence = -1;
    batch->producer_id = -1;
}

void rill__batch_reset(struct batch *batch)
{
    batch->size = 0;
    batch->record_count = 0;
}

static size_t stored_headers_size(const rill_record *record)
{
    size_t size = 4;

    for (size_t i = 0; i < record->header_count; i++) {
        const rill_header *h = &record->headers[i];
        if (h->name.size > PART_SIZE_MAX || h->value.size > PART_SIZE_MAX) return 0;
        size += 8 + h->name.size + h->value.size;
        if (size > PART_SIZE_MAX) return 0;
    }
    return size;
}

size_t rill__record_stored_size(const rill_record *record)
{
    size_t size = RECORD_HEADER_SIZE;

    if (record->value.size > PART_SIZE_MAX || record->key.size > PART_SIZE_MAX) return 0;
    size += record->value.size + record->key.size;
    if (record->header_count != 0) {
        size_t headers = stored_headers_size(record);
        if (headers == 0) return 0;
        size += headers;
    }
    if (size > PART_SIZE_MAX) return 0;
    return ROUND_UP_8(size);
}

size_t rill__batch_size_of(const rill_record *record)
{
    size_t size = rill__record_stored_size(record);
    return size == 0 ? 0 : BATCH_HEADER_SIZE + size;
}

static uint8_t *put_record_headers(uint8_t *at, const rill_record *record)
{
    rill__put32(at, (uint32_t)record->header_count);
    at += 4;
    for (size_t i = 0; i < record->header_count; i++) {
        const rill_header *h = &record->headers[i];
        rill__put32(at, (uint32_t)h->name.size);
        rill__put32(at + 4, h->value.data == NULL ? RECORD_NULL_VALUE : (uint32_t)h->value.size);
        at += 8;
        if (h->name.size != 0) memcpy(at, h->name.data, h->name.size);
        at += h->name.size;
        if (h->value.size != 0) memcpy(at, h->value.data, h->value.size);
        at += h->value.size;
    }
    return at;
}

bool rill__batch_add(struct batch *batch, const rill_record *record, int64_t now_ms,
                     uint8_t **value_at)
{
    size_t size = rill__record_stored_size(record);
    int64_t time = record->timestamp_ms != 0 ? record->timestamp_ms : now_ms;
    size_t used = batch->size != 0 ? batch->size : BATCH_HEADER_SIZE;
    uint32_t key_size = record->key.data == NULL ? RECORD_NULL_KEY : (uint32_t)record->key.size;
    bool reserved = record->value.data == NULL && record->value.size != 0;
    int64_t delta = 0;
    uint8_t *start;
    uint8_t *at;

    if (size == 0 || used > batch->capacity || batch->capacity - used < size) return false;
    if (batch->size == 0) {
        batch->base_time = time;
        batch->max_time = time;
    } else if (__builtin_sub_overflow(time, batch->base_time, &delta) || delta < INT32_MIN ||
               delta > INT32_MAX) {
        return false;
    }

    start = batch->data + used;
    rill__put32(start + RECORD_SIZE_AT, (uint32_t)size);
    rill__put32(start + RECORD_VALUE_SIZE_AT, record->value.data == NULL && !reserved
                                                  ? RECORD_NULL_VALUE
                                                  : (uint32_t)record->value.size);
    rill__put32(start + RECORD_TIME_AT, (uint32_t)(int32_t)delta);
    if (record->header_count != 0) key_size |= RECORD_HAS_HEADERS;
    rill__put32(start + RECORD_KEY_SIZE_AT, key_size);
    at = start + RECORD_HEADER_SIZE;
    if (value_at != NULL) *value_at = at;
    if (reserved) {
        memset(at, 0, record->value.size);
    } else if (record->value.size != 0) {
        memcpy(at, record->value.data, record->value.size);
    }
    at += record->value.size;
    if (record->key.size != 0) memcpy(at, record->key.data, record->key.size);
    at += record->key.size;
    if (record->header_count != 0) at = put_record_headers(at, record);
    memset(at, 0, (size_t)(start + size - at));

    batch->size = used + size;
    batch->record_count++;
    if (time > batch->max_time) batch->max_time = time;
    return true;
}

static uint64_t content_of(const uint8_t *data, size_t size, uint16_t attributes)
{
    if ((attributes & BATCH_APPEND_TIME) == 0)
        return rill__checksum(data + BATCH_HASHED_AT, size - BATCH_HASHED_AT);
    return rill__checksum(data + BATCH_PRODUCER_AT, size - BATCH_PRODUCER_AT) ^
           rill__mix64(
               rill__checksum(data + BATCH_HASHED_AT, BATCH_MAX_TIME_AT - BATCH_HASHED_AT));
}

/* All but the length, which is known last. */
static void put_header(uint8_t *data, const struct batch *batch, uint16_t attributes)
{
    memset(data, 0, BATCH_COUNT_AT);
    rill__put32(data + BATCH_COUNT_AT, batch->record_count);
    rill__put32(data + BATCH_LAST_DELTA_AT, batch->span - 1);
    rill__put64(data + BATCH_BASE_TIME_AT, (uint64_t)batch->base_time);
    rill__put64(data + BATCH_MAX_TIME_AT, (uint64_t)batch->max_time);
    rill__put64(data + BATCH_PRODUCER_AT, (uint64_t)batch->producer_id);
    rill__put32(data + BATCH_SEQUENCE_AT, (uint32_t)batch->base_sequence);
    rill__put16(data + BATCH_PRODUCER_EPOCH_AT, (uint16_t)batch->producer_epoch);
    rill__put16(data + BATCH_ATTRIBUTES_AT, attributes);
}

static void finish(struct batch *batch)
{
    rill__put32(batch->data + BATCH_LENGTH_AT, (uint32_t)batch->size);
    batch->content = content_of(batch->data, batch->size, batch->attributes);
}

void rill__batch_seal(struct batch *batch)
{
    batch->span = batch->record_count;
    put_header(batch->data, batch, batch->attributes);
    finish(batch);
}

void rill__batch_gap(struct batch *batch, uint32_t span)
{
    batch->size = BATCH_HEADER_SIZE;
    batch->span = span;
    batch->base_time = 0;
    batch->max_time = INT64_MIN; /* older than anything */
    batch->attributes = BATCH_SPARSE;
    put_header(batch->data, batch, BATCH_SPARSE);
    finish(batch);
}

/* The records of a batch, compressed, behind the place of a header: *size of both
 * together, 0 if that would not be smaller. */
static int pack_records(const uint8_t *data, size_t old, struct codec *codec, int code, int level,
                        uint8_t *to, size_t room, size_t *size)
{
    size_t raw = old - BATCH_HEADER_SIZE;
    size_t packed;
    int rc;

    *size = 0;
    /* A batch's length is a multiple of 8, and shall be smaller. */
    if (raw > BATCH_RAW_MAX || room < BATCH_PACKED_AT + 8) return 0;
    rc = rill__codec_compress(codec, code, level, data + BATCH_HEADER_SIZE, raw,
                              to + BATCH_PACKED_AT, room - BATCH_PACKED_AT - 8, &packed);
    if (rc != 0 || packed == 0) return rc;
    *size = ROUND_UP_8(BATCH_PACKED_AT + packed);
    rill__put32(to + BATCH_RAW_SIZE_AT, (uint32_t)raw);
    rill__put32(to + BATCH_PACKED_SIZE_AT, (uint32_t)packed);
    memset(to + BATCH_PACKED_AT + packed, 0, *size - BATCH_PACKED_AT - packed);
    return 0;
}

int rill__batch_seal_packed(const struct batch *batch, struct codec *codec, int code, int level,
                            struct batch *packed)
{
    size_t room = packed->capacity < batch->size ? packed->capacity : batch->size;
    size_t capacity = packed->capacity;
    size_t size;
    uint8_t *data = packed->data;
    int rc;

    packed->size = 0;
    rc = pack_records(batch->data, batch->size, codec, code, level, data, room, &size);
    if (rc != 0 || size == 0) return rc;
    *packed = *batch;
    packed->span = batch->record_count;
    packed->data = data;
    packed->capacity = capacity;
    packed->size = size;
    packed->attributes = (uint16_t)(batch->attributes | code);
    put_header(data, packed, packed->attributes);
    finish(packed);
    return 0;
}

int rill__batch_pack(const uint8_t *data, struct codec *codec, int code, uint8_t *to,
                     size_t *size)
{
    size_t old = rill__get32(data + BATCH_LENGTH_AT);
    int rc = pack_records(data, old, codec, code, 0, to, old, size);

    if (rc != 0 || *size == 0) return rc;
    memcpy(to, data, BATCH_HEADER_SIZE);
    rill__put32(to + BATCH_LENGTH_AT, (uint32_t)*size);
    rill__put16(to + BATCH_ATTRIBUTES_AT,
                (uint16_t)(rill__get16(data + BATCH_ATTRIBUTES_AT) | code));
    return 0;
}

/* The record is Kafka's: key version (2) and type (2), value version (2) and epoch of the
 * coordinator (4), big-endian as there. */
void rill__batch_marker(struct batch *batch, uint8_t room[BATCH_MARKER_SIZE], int64_t producer_id,
                        int16_t epoch, bool commit, int64_t now_ms)
{
    const uint8_t key[4] = {0, 0, 0, commit ? 1 : 0};
    const uint8_t value[6] = {0};
    rill_record record = {.key = {key, sizeof key}, .value = {value, sizeof value}};

    rill__batch_init(batch, room, BATCH_MARKER_SIZE);
    rill__batch_add(batch, &record, now_ms, NULL);
    batch->producer_id = producer_id;
    batch->producer_epoch = epoch;
    batch->attributes = BATCH_TRANSACTIONAL | BATCH_CONTROL;
    batch->checked = true;
    rill__batch_seal(batch);
}

static_assert(BATCH_IN_TRANSACTION == BATCH_TRANSACTIONAL, "log/format.h says so");

bool rill__batch_is_control(const struct batch_view *view)
{
    return (view->attributes & BATCH_CONTROL) != 0;
}

bool rill__batch_is_transactional(const struct batch_view *view)
{
    return (view->attributes & BATCH_TRANSACTIONAL) != 0;
}

int32_t rill__sequence_after(int32_t sequence, uint32_t records)
{
    return (int32_t)(((uint32_t)sequence + records) & 0x7fffffff);
}

bool rill__batch_is_commit(const struct batch_view *view)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record;
    const uint8_t *key;
    bool bad;

    if (!rill__record_next(view, &walk, &record, &bad) || record.key.size != 4) return false;
    key = record.key.data;
    return key[0] == 0 && key[1] == 0 && key[2] == 0 && key[3] == 1;
}

void rill__batch_set_time(uint8_t *data, int64_t time_ms)
{
    rill__put64(data + BATCH_MAX_TIME_AT, (uint64_t)time_ms);
}

static uint64_t mix_place(uint64_t salt, int64_t base_offset, int32_t epoch)
{
    uint64_t v = rill__mix64(salt ^ ((uint64_t)base_offset * UINT64_C(0x9E3779B97F4A7C15)));
    return rill__mix64(v + (uint32_t)epoch * UINT64_C(0xC2B2AE3D27D4EB4F) + 1);
}

static uint64_t mix_time(uint16_t attributes, int64_t max_time)
{
    return (attributes & BATCH_APPEND_TIME) == 0 ? 0 : rill__mix64((uint64_t)max_time);
}

void rill__batch_stamp(uint8_t *data, uint64_t content, uint64_t salt, int64_t base_offset,
                       int32_t epoch)
{
    rill__put64(data + BATCH_CHECKSUM_AT,
                content ^ mix_place(salt, base_offset, epoch) ^
                    mix_time(rill__get16(data + BATCH_ATTRIBUTES_AT),
                             (int64_t)rill__get64(data + BATCH_MAX_TIME_AT)));
    rill__put64(data + BATCH_BASE_OFFSET_AT, (uint64_t)base_offset);
    rill__put32(data + BATCH_EPOCH_AT, (uint32_t)epoch);
}

void rill__batch_put_lost(uint8_t *data, size_t length, int64_t base_offset, int64_t end,
                          int32_t epoch, uint64_t salt)
{
    struct batch batch;
    uint16_t attributes = BATCH_SPARSE | BATCH_LOST;

    rill__batch_init(&batch, data, length);
    memset(data, 0, length);
    put_header(data, &batch, attributes);
    rill__put32(data + BATCH_LAST_DELTA_AT, (uint32_t)(end - base_offset - 1));
    rill__put32(data + BATCH_LENGTH_AT, (uint32_t)length);
    rill__batch_stamp(data, content_of(data, length, attributes), salt, base_offset, epoch);
}

/* The sizes in front of compressed records, against the batch's length. */
static const char *wrong_with_packed(struct batch_view *view)
{
    uint32_t packed;

    if (view->length < BATCH_PACKED_AT + 8) return "impossible length";
    view->raw_size = rill__get32(view->data + BATCH_RAW_SIZE_AT);
    packed = rill__get32(view->data + BATCH_PACKED_SIZE_AT);
    if (packed > view->length - BATCH_PACKED_AT ||
        ROUND_UP_8(BATCH_PACKED_AT + (size_t)packed) != view->length)
        return "packed size does not fit the length";
    if (view->raw_size > BATCH_RAW_MAX || view->raw_size % 8 != 0)
        return "impossible size before compression";
    return NULL;
}

enum batch_state rill__batch_view(const uint8_t *data, size_t room, struct batch_view *view,
                                  const char **why)
{
    uint32_t last_delta;
    bool sparse;

    *why = NULL;
    if (room < BATCH_HEADER_SIZE) return BATCH_NONE;
    view->data = data;
    view->length = rill__get32(data + BATCH_LENGTH_AT);
    view->record_count = rill__get32(data + BATCH_COUNT_AT);
    view->base_offset = (int64_t)rill__get64(data + BATCH_BASE_OFFSET_AT);
    view->base_time = (int64_t)rill__get64(data + BATCH_BASE_TIME_AT);
    view->max_time = (int64_t)rill__get64(data + BATCH_MAX_TIME_AT);
    view->epoch = (int32_t)rill__get32(data + BATCH_EPOCH_AT);
    view->attributes = rill__get16(data + BATCH_ATTRIBUTES_AT);
    view->producer_id = (int64_t)rill__get64(data + BATCH_PRODUCER_AT);
    view->base_sequence = (int32_t)rill__get32(data + BATCH_SEQUENCE_AT);
    view->producer_epoch = (int16_t)rill__get16(data + BATCH_PRODUCER_EPOCH_AT);
    view->raw_size = view->length - BATCH_HEADER_SIZE;
    last_delta = rill__get32(data + BATCH_LAST_DELTA_AT);
    sparse = (view->attributes & BATCH_SPARSE) != 0;

    if (view->length == 0) {
        if (view->record_count == 0 && view->base_offset == 0 && view->epoch == 0)
            return BATCH_NONE;
        *why = "length 0 in a header that is not empty";
    } else if (view->length % 8 != 0 || view->length < BATCH_HEADER_SIZE) {
        *why = "impossible length";
    } else if (view->length > room) {
        *why = "length runs over the end of the segment";
    } else if ((view->attributes & BATCH_COMPRESSION_MASK) != 0 &&
               (*why = wrong_with_packed(view)) != NULL) {
    } else if ((view->attributes & BATCH_LOST) != 0
                   ? view->record_count != 0 || view->attributes != (BATCH_LOST | BATCH_SPARSE)
               : view->record_count == 0
                   ? !sparse || view->length != BATCH_HEADER_SIZE
                   : view->record_count > view->raw_size / (sparse ? RECORD_SPARSE_HEADER_SIZE
                                                                   : RECORD_HEADER_SIZE)) {
        *why = "impossible record count";
    } else if ((view->attributes & BATCH_ATTRIBUTES_RESERVED) != 0) {
        *why = "reserved attribute bits are set";
    } else if (!sparse ? last_delta != view->record_count - 1
                       : last_delta > INT32_MAX || last_delta + 1 < view->record_count) {
        *why = "last offset delta does not fit the record count";
    } else if (view->base_offset < 0 || view->epoch < 0 ||
               __builtin_add_overflow(view->base_offset, (int64_t)last_delta + 1,
                                      &view->end_offset)) {
        *why = "impossible base offset or leader epoch";
    }
    return *why == NULL ? BATCH_VALID : BATCH_BAD;
}

bool rill__batch_verify(const struct batch_view *view, uint64_t salt)
{
    uint64_t content = content_of(view->data, view->length, view->attributes);
    uint64_t stored = rill__get64(view->data + BATCH_CHECKSUM_AT);

    return stored == (content ^ mix_place(salt, view->base_offset, view->epoch) ^
                      mix_time(view->attributes, view->max_time));
}

int rill__batch_codec(const struct batch_view *view)
{
    return view->attributes & BATCH_COMPRESSION_MASK;
}

uint64_t rill__batch_salt(const struct batch_view *view)
{
    uint64_t mixed = rill__get64(view->data + BATCH_CHECKSUM_AT) ^
                     content_of(view->data, view->length, view->attributes) ^
                     mix_time(view->attributes, view->max_time);

    mixed = rill__unmix64(mixed) - ((uint32_t)view->epoch * UINT64_C(0xC2B2AE3D27D4EB4F) + 1);
    return rill__unmix64(mixed) ^ ((uint64_t)view->base_offset * UINT64_C(0x9E3779B97F4A7C15));
}

uint64_t rill__batch_content(const struct batch_view *view, uint64_t salt)
{
    return rill__get64(view->data + BATCH_CHECKSUM_AT) ^
           mix_place(salt, view->base_offset, view->epoch) ^
           mix_time(view->attributes, view->max_time);
}

uint64_t rill__batch_hash(const uint8_t *data)
{
    return content_of(data, rill__get32(data + BATCH_LENGTH_AT),
                      rill__get16(data + BATCH_ATTRIBUTES_AT));
}

size_t rill__batch_room(const struct batch_view *view)
{
    return rill__batch_codec(view) == CODEC_NONE ? 0 : BATCH_HEADER_SIZE + view->raw_size;
}

int rill__batch_records(const struct batch_view *view, struct codec *codec, void *room,
                        struct batch_view *records)
{
    int code = rill__batch_codec(view);
    uint8_t *data = room;
    int rc;

    if (code == CODEC_NONE) {
        *records = *view;
        return 0;
    }
    rc = rill__codec_decompress(codec, code, view->data + BATCH_PACKED_AT,
                                rill__get32(view->data + BATCH_PACKED_SIZE_AT),
                                data + BATCH_HEADER_SIZE, view->raw_size);
    if (rc != 0) return rc;
    *records = *view;
    records->data = data;
    records->length = BATCH_HEADER_SIZE + view->raw_size;
    records->attributes &= (uint16_t)~BATCH_COMPRESSION_MASK;
    return 0;
}

/* In a sparse batch offsets grow: looked at is the record at `next`, of which left
 * bytes may be read. */
static bool is_before_next(uint32_t delta, const uint8_t *next, size_t left)
{
    return left >= RECORD_SPARSE_HEADER_SIZE && rill__get32(next + RECORD_SPARSE_AT) > delta;
}

bool rill__record_next(const struct batch_view *view, struct record_walk *walk,
                       rill_record *record, bool *bad)
{
    const uint8_t *at = view->data + walk->at;
    bool sparse = (view->attributes & BATCH_SPARSE) != 0;
    size_t head = sparse ? RECORD_SPARSE_HEADER_SIZE : RECORD_HEADER_SIZE;
    size_t left = view->length - walk->at;
    uint32_t size;
    uint32_t value_size;
    uint32_t key_field;
    uint32_t key_size;
    uint32_t delta = walk->index; /* to the batch's base offset */
    uint32_t stamp = 0;
    uint64_t need; /* cannot wrap, whatever the sizes say */

    *bad = false;
    if (walk->index == view->record_count) {
        *bad = left != 0 && (view->attributes & BATCH_LOST) == 0;
        return false;
    }
    if (left < head) {
        *bad = true;
        return false;
    }
    size = rill__get32(at + RECORD_SIZE_AT);
    value_size = rill__get32(at + RECORD_VALUE_SIZE_AT);
    key_field = rill__get32(at + RECORD_KEY_SIZE_AT);
    key_size = key_field & RECORD_NULL_KEY;
    record->value.data = at + head;
    record->key.data = NULL;
    need = head;
    if (value_size == RECORD_NULL_VALUE) {
        record->value.data = NULL;
        value_size = 0;
    }
    need += value_size;
    if (key_size == RECORD_NULL_KEY) {
        key_size = 0;
    } else {
        record->key.data = at + need;
    }
    need += key_size;
    record->header_count = 0;
    if ((key_field & RECORD_HAS_HEADERS) != 0) {
        if (need + 4 <= size && size <= left) record->header_count = rill__get32(at + need);
        need += 4;
    }
    if (sparse) {
        delta = rill__get32(at + RECORD_SPARSE_AT);
        stamp = rill__get32(at + RECORD_STAMP_AT);
    }
    if (size % 8 != 0 || size > left || need > size ||
        delta >= view->end_offset - view->base_offset ||
        (stamp != 0 && record->value.data != NULL) ||
        (sparse && walk->index + 1 < view->record_count &&
         !is_before_next(delta, at + size, left - size))) {
        *bad = true;
        return false;
    }
    record->value.size = value_size;
    record->key.size = key_size;
    record->timestamp_ms =
        (view->attributes & BATCH_APPEND_TIME) != 0
            ? view->max_time
            : (int64_t)((uint64_t)view->base_time +
                        (uint64_t)(int64_t)(int32_t)rill__get32(at + RECORD_TIME_AT));
    record->offset = view->base_offset + delta;
    record->leader_epoch = view->epoch;
    record->headers = NULL;
    record->raw = at + (sparse ? RAW_SPARSE : 0);
    walk->at += size;
    walk->index++;
    return true;
}

/* Where the stored record begins; raw says besides whether it is sparse. */
static const uint8_t *stored_at(const void *raw, bool *sparse)
{
    *sparse = ((uintptr_t)raw & RAW_SPARSE) != 0;
    return (const uint8_t *)raw - (*sparse ? RAW_SPARSE : 0);
}

size_t rill__record_raw_size(const void *raw)
{
    bool sparse;
    return rill__get32(stored_at(raw, &sparse) + RECORD_SIZE_AT);
}

size_t rill__record_sparse_size(const void *raw)
{
    bool sparse;
    const uint8_t *from = stored_at(raw, &sparse);
    size_t more = sparse ? 0 : RECORD_SPARSE_HEADER_SIZE - RECORD_HEADER_SIZE;

    return rill__get32(from + RECORD_SIZE_AT) + more;
}

void rill__record_put_sparse(uint8_t *to, const void *raw, uint32_t delta, uint32_t stamp)
{
    bool sparse;
    const uint8_t *from = stored_at(raw, &sparse);
    size_t head = sparse ? RECORD_SPARSE_HEADER_SIZE : RECORD_HEADER_SIZE;
    size_t size = rill__get32(from + RECORD_SIZE_AT);

    memcpy(to, from, RECORD_HEADER_SIZE);
    rill__put32(to + RECORD_SIZE_AT, (uint32_t)rill__record_sparse_size(raw));
    rill__put32(to + RECORD_SPARSE_AT, delta);
    rill__put32(to + RECORD_STAMP_AT, stamp);
    memcpy(to + RECORD_SPARSE_HEADER_SIZE, from + head, size - head);
}

uint32_t rill__record_stamp(const void *raw)
{
    bool sparse;
    const uint8_t *from = stored_at(raw, &sparse);

    return sparse ? rill__get32(from + RECORD_STAMP_AT) : 0;
}

static const void *moved(const void *part, const uint8_t *from, const uint8_t *to)
{
    return part == NULL ? NULL : to + ((const uint8_t *)part - from);
}

void rill__record_move(rill_record *record, size_t size, void *to)
{
    bool sparse;
    const uint8_t *from = stored_at(record->raw, &sparse);

    memcpy(to, from, size);
    record->key.data = moved(record->key.data, from, to);
    record->value.data = moved(record->value.data, from, to);
    record->raw = (const uint8_t *)to + (sparse ? RAW_SPARSE : 0);
}

int rill__record_header(const void *raw, size_t index, rill_header *header)
{
    bool sparse;
    const uint8_t *at = stored_at(raw, &sparse);
    uint32_t size = rill__get32(at + RECORD_SIZE_AT);
    uint32_t value_size = rill__get32(at + RECORD_VALUE_SIZE_AT);
    uint32_t key_field = rill__get32(at + RECORD_KEY_SIZE_AT);
    uint32_t key_size = key_field & RECORD_NULL_KEY;
    uint64_t skip = sparse ? RECORD_SPARSE_HEADER_SIZE : RECORD_HEADER_SIZE;
    struct cursor c;
    uint32_t count;

    if (value_size != RECORD_NULL_VALUE) skip += value_size;
    if (key_size != RECORD_NULL_KEY) skip += key_size;
    if ((key_field & RECORD_HAS_HEADERS) == 0 || skip > size)
        return rill__fail(RILL_ERR_RANGE, "header %zu of a record that has none", index);
    c = rill__cursor(at + skip, size - skip);
    count = rill__cursor_get32(&c);
    if (index >= count)
        return rill__fail(RILL_ERR_RANGE, "header %zu of a record that has %u", index, count);
    for (size_t i = 0;; i++) {
        uint32_t name_size = rill__cursor_get32(&c);
        uint32_t field = rill__cursor_get32(&c);
        uint32_t data_size = field == RECORD_NULL_VALUE ? 0 : field;
        const void *name = rill__cursor_take(&c, name_size);
        const void *value = rill__cursor_take(&c, data_size);
        if (c.short_read)
            return rill__fail(RILL_ERR_CORRUPT, "header %zu runs out of its record of %u bytes",
                              i, size);
        if (i != index) continue;
        header->name = (rill_bytes){name, name_size};
        header->value = (rill_bytes){field == RECORD_NULL_VALUE ? NULL : value, data_size};
        return 0;
    }
}
