/*
 * Arbitrary bytes as a batch: a reader never leaves them, takes no more memory than
 * the format allows for what they claim, and what it reads makes a batch that reads
 * the same, compressed or not.
 */
#include "fuzz.h"
#include "log/batch.h"
#include "log/format.h"

enum { HEADERS_MAX = 8 };

static volatile uint8_t sink;

static void touch(rill_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) sink = ((const uint8_t *)bytes.data)[i];
}

static bool same(rill_bytes a, rill_bytes b)
{
    return (a.data == NULL) == (b.data == NULL) && a.size == b.size &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* False if there are more than there is room for, or they leave the record. */
static bool take_headers(const rill_record *record, rill_header *headers)
{
    rill_header header;

    MUST(rill__record_header(record->raw, record->header_count, &header) != 0);
    for (size_t i = 0; i < record->header_count && i < 100; i++) {
        if (rill__record_header(record->raw, i, &header) != 0) return false;
        MUST(header.name.data != NULL);
        touch(header.name);
        touch(header.value);
        if (i < HEADERS_MAX) headers[i] = header;
    }
    return record->header_count <= HEADERS_MAX;
}

static struct codec *codec(void)
{
    static struct heap heap;
    static struct codec codec;

    if (codec.heap == NULL) {
        rill__heap_init(&heap, NULL, 4 << 20);
        rill__codec_init(&codec, &heap);
    }
    return &codec;
}

static void reads_the_same(const struct batch *batch, const rill_record *record)
{
    _Alignas(8) static uint8_t room[1 << 17];
    struct batch_view view;
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record got = RILL_RECORD_INIT;
    const char *why;
    bool bad = false;

    rill__batch_stamp(batch->data, batch->content, 1, record->offset, 2);
    MUST(rill__batch_view(batch->data, batch->size, &view, &why) == BATCH_VALID);
    MUST(rill__batch_verify(&view, 1) && !rill__batch_verify(&view, 2));
    MUST(rill__batch_room(&view) <= sizeof room);
    MUST(rill__batch_records(&view, codec(), room, &view) == 0);
    MUST(rill__record_next(&view, &walk, &got, &bad) && !bad);
    MUST(got.offset == record->offset && got.timestamp_ms == record->timestamp_ms);
    MUST(same(got.key, record->key) && same(got.value, record->value));
    MUST(got.header_count == record->header_count);
    MUST(!rill__record_next(&view, &walk, &got, &bad) && !bad);
}

static void build_again(const rill_record *record, const rill_header *headers)
{
    _Alignas(8) static uint8_t room[1 << 17];
    _Alignas(8) static uint8_t packed_room[1 << 17];
    rill_record again = *record;
    struct batch batch;
    struct batch packed;

    again.headers = record->header_count == 0 ? NULL : headers;
    rill__batch_init(&batch, room, sizeof room);
    if (!rill__batch_add(&batch, &again, 0, NULL)) return;
    for (int code = CODEC_LZ4; code <= CODEC_ZSTD; code++) {
        if (!rill__codec_available(code)) continue;
        rill__batch_init(&packed, packed_room, sizeof packed_room);
        MUST(rill__batch_seal_packed(&batch, codec(), code, 0, &packed) == 0);
        MUST(packed.size < batch.size);
        if (packed.size != 0) reads_the_same(&packed, record);
    }
    rill__batch_seal(&batch);
    reads_the_same(&batch, record);
}

/* The records of the view, in memory that is no larger than it must be; false if
 * there are none, or its size is a claim that costs too much time here. */
static bool unpack(struct batch_view *view, void **room)
{
    size_t size = rill__batch_room(view);
    int rc;

    *room = NULL;
    MUST(size <= BATCH_HEADER_SIZE + BATCH_RAW_MAX);
    if (size > 1 << 20) return false;
    if (size != 0) *room = malloc(size);
    rc = rill__batch_records(view, codec(), *room, view);
    MUST(rc == 0 || rc == RILL_ERR_CORRUPT || rc == RILL_ERR_UNSUPPORTED);
    MUST(size != 0 || rc == 0);
    return rc == 0;
}

static void read_all(const uint8_t *data, size_t size)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record = RILL_RECORD_INIT;
    rill_header headers[HEADERS_MAX];
    struct batch_view view;
    const char *why = NULL;
    enum batch_state state = rill__batch_view(data, size, &view, &why);
    void *room;
    int64_t before = INT64_MIN;
    uint32_t count = 0;
    bool bad = false;

    if (state != BATCH_VALID) {
        MUST(state == BATCH_NONE || why != NULL);
        return;
    }
    MUST(view.length <= size && view.end_offset > view.base_offset);
    if (!unpack(&view, &room)) {
        free(room);
        return;
    }
    while (rill__record_next(&view, &walk, &record, &bad)) {
        MUST(record.offset >= view.base_offset && record.offset < view.end_offset);
        MUST(record.offset > before);
        before = record.offset;
        touch(record.key);
        touch(record.value);
        MUST(++count <= view.record_count);
        if (take_headers(&record, headers) && record.timestamp_ms > 0)
            build_again(&record, headers);
    }
    MUST(bad || count == view.record_count);
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* aligned, and no longer than it is */

    memcpy(copy, data, size);
    read_all(copy, size);
    free(copy);
    return 0;
}
