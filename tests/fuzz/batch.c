/*
 * Arbitrary bytes as a batch: a reader never leaves them, and what it reads makes
 * a batch that reads the same.
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

static void build_again(const rill_record *record, const rill_header *headers)
{
    _Alignas(8) static uint8_t room[1 << 17];
    rill_record again = *record;
    struct batch batch;
    struct batch_view view;
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record got = RILL_RECORD_INIT;
    const char *why;
    bool bad = false;

    again.headers = record->header_count == 0 ? NULL : headers;
    rill__batch_init(&batch, room, sizeof room);
    if (!rill__batch_add(&batch, &again, 0, NULL)) return;
    rill__batch_seal(&batch);
    rill__batch_stamp(room, batch.content, 1, record->offset, 2);
    MUST(rill__batch_view(room, batch.size, &view, &why) == BATCH_VALID);
    MUST(rill__batch_verify(&view, 1) && !rill__batch_verify(&view, 2));
    MUST(rill__record_next(&view, &walk, &got, &bad) && !bad);
    MUST(got.offset == record->offset && got.timestamp_ms == record->timestamp_ms);
    MUST(same(got.key, record->key) && same(got.value, record->value));
    MUST(got.header_count == record->header_count);
    MUST(!rill__record_next(&view, &walk, &got, &bad) && !bad);
}

static void read_all(const uint8_t *data, size_t size)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record = RILL_RECORD_INIT;
    rill_header headers[HEADERS_MAX];
    struct batch_view view;
    const char *why = NULL;
    enum batch_state state = rill__batch_view(data, size, &view, &why);
    int64_t before = INT64_MIN;
    uint32_t count = 0;
    bool bad = false;

    if (state != BATCH_VALID) {
        MUST(state == BATCH_NONE || why != NULL);
        return;
    }
    MUST(view.length <= size && view.end_offset > view.base_offset);
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* aligned, and no longer than it is */

    memcpy(copy, data, size);
    read_all(copy, size);
    free(copy);
    return 0;
}
