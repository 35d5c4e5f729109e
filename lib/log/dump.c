/*
 * log/dump.c - what a file of a partition holds, item by item, for people.
 *
 * It may hold anything. What does not verify is shown as bytes that are nothing, or
 * as a batch that is not sound if at least its header can be one; then it goes on
 * at the next batch that verifies. If the segment's header is damaged, its salt is
 * what two of its batches agree about.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/inner.h"
#include "log/scan.h"
#include "log/verify.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct dump {
    struct heap *heap;
    const struct file *file;
    uint64_t size;
    int (*visit)(void *arg, const rill_item *item);
    void *arg;
};

static rill_item item_of(int32_t kind, bool sound, uint64_t position, uint64_t size)
{
    return (rill_item){.kind = kind,
                       .sound = sound,
                       .position = (int64_t)position,
                       .size = (int64_t)size,
                       .first = RILL_OFFSET_NONE,
                       .end = RILL_OFFSET_NONE,
                       .leader_epoch = -1,
                       .timestamp_ms = -1};
}

static int show(const struct dump *d, rill_item *item, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int show(const struct dump *d, rill_item *item, const char *format, ...)
{
    char text[700];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    item->text = text;
    return d->visit(d->arg, item);
}

/* What can be read of [position, position + size); the rest is zero. */
static bool read_some(const struct dump *d, void *bytes, size_t size, uint64_t position)
{
    memset(bytes, 0, size);
    if (position >= d->size) return false;
    if (size > d->size - position) {
        (void)rill__file_read(d->file, bytes, (size_t)(d->size - position), position);
        return false;
    }
    return rill__file_read(d->file, bytes, size, position) == 0;
}

static const char *in_hex(const uint8_t *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}

/* ---- Segments --------------------------------------------------------- */

static int show_header(const struct dump *d, uint64_t *salt, bool *has_salt)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct written_header h;
    bool all = read_some(d, bytes, sizeof bytes, 0);
    enum header_state state = all ? rill__header_read(bytes, &h) : HEADER_BAD;
    rill_item item = item_of(RILL_ITEM_SEGMENT, state == HEADER_GOOD, 0,
                             d->size < sizeof bytes ? d->size : sizeof bytes);
    char topic[40];
    char compacted[100] = "";

    *has_salt = state == HEADER_GOOD;
    item.checksum = rill__get64(bytes + SEGMENT_CHECKSUM_AT);
    if (state == HEADER_NEVER)
        return show(d, &item, "segment header: zeros, the segment was never begun");
    if (state == HEADER_BAD)
        return show(d, &item, "segment header: damaged%s", all ? " (checksum)" : ", cut short");
    if (state == HEADER_NEWER)
        return show(d, &item, "segment header: format %u, features %#x, not known here",
                    rill__get16(bytes + SEGMENT_VERSION_AT),
                    rill__get32(bytes + SEGMENT_FEATURES_AT));
    *salt = h.is.salt;
    item.first = h.is.base;
    item.end = h.is.end >= 0 ? h.is.end : RILL_OFFSET_NONE;
    item.attributes = rill__get32(bytes + SEGMENT_FEATURES_AT);
    item.leader_epoch = h.is.epoch;
    item.timestamp_ms = h.created_ms;
    if (h.is.compacted)
        snprintf(compacted, sizeof compacted,
                 ", compacted up to %" PRId64 ", cleaned through %" PRId64
                 ", oldest tombstone %us",
                 h.is.end, h.is.cleaned, h.is.tombstone_s);
    return show(d, &item,
                "segment of topic %s, partition %d: base offset %" PRId64
                ", format %u, epoch %d, "
                "salt %016" PRIx64 ", made at %" PRId64 ", %" PRIu64 " bytes%s",
                in_hex(h.topic_id, 16, topic), (int)h.partition, h.is.base,
                rill__get16(bytes + SEGMENT_VERSION_AT), (int)h.is.epoch, h.is.salt, h.created_ms,
                h.is.file_size, compacted);
}

static int show_record(const struct dump *d, const rill_record *record, uint64_t position,
                       uint64_t size)
{
    rill_item item = item_of(RILL_ITEM_RECORD, true, position, size);
    char key[40];
    char value[40];

    item.first = record->offset;
    item.end = record->offset + 1;
    item.leader_epoch = record->leader_epoch;
    item.timestamp_ms = record->timestamp_ms;
    item.record = record;
    snprintf(key, sizeof key, record->key.data == NULL ? "no key" : "a key of %zu bytes",
             record->key.size);
    snprintf(value, sizeof value,
             record->value.data == NULL ? "no value" : "a value of %zu bytes",
             record->value.size);
    return show(d, &item, "record %" PRId64 " at time %" PRId64 ": %s, %s, %zu headers",
                record->offset, record->timestamp_ms, key, value, record->header_count);
}

/* Of compressed ones the place is that of their batch. */
static int show_records(const struct dump *d, struct batch_scan *scan,
                        const struct batch_view *batch, uint64_t position)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    struct batch_view view;
    rill_record record = RILL_RECORD_INIT;
    rill_item bad_item;
    bool bad = false;
    int rc = rill__scan_unpack(scan, batch, &view);

    if (rc != 0) {
        bad_item = item_of(RILL_ITEM_RECORD, false, position, batch->length);
        return rc == RILL_ERR_NO_MEMORY ? rc : show(d, &bad_item, "records: %s", rill__message());
    }
    while (rc == 0) {
        uint32_t at = walk.at;
        if (!rill__record_next(&view, &walk, &record, &bad)) break;
        if (rill__batch_room(batch) == 0)
            rc = show_record(d, &record, position + at, walk.at - at);
        else rc = show_record(d, &record, position, batch->length);
    }
    if (rc != 0 || !bad) return rc;
    bad_item = item_of(RILL_ITEM_RECORD, false, position, batch->length);
    return show(d, &bad_item, "record number %u does not fit into its batch", walk.index);
}

static int show_batch(const struct dump *d, const struct batch_view *view, uint64_t position,
                      const char *wrong)
{
    rill_item item = item_of(RILL_ITEM_BATCH, wrong == NULL, position, view->length);
    char producer[80] = "";

    item.first = view->base_offset;
    item.end = view->end_offset;
    item.count = view->record_count;
    item.attributes = view->attributes;
    item.leader_epoch = view->epoch;
    item.timestamp_ms = view->max_time;
    item.checksum = rill__get64(view->data + BATCH_CHECKSUM_AT);
    if (view->producer_id >= 0)
        snprintf(producer, sizeof producer, ", producer %" PRId64 " epoch %d sequence %d",
                 view->producer_id, view->producer_epoch, (int)view->base_sequence);
    return show(
        d, &item,
        "batch [%" PRId64 ", %" PRId64 ") of %u records in %u bytes: epoch %d, attributes "
        "%#x%s%s%s%s, times %" PRId64 " to %" PRId64 "%s%s%s",
        view->base_offset, view->end_offset, view->record_count, view->length, (int)view->epoch,
        view->attributes, (view->attributes & BATCH_COMPRESSION_MASK) != 0 ? " " : "",
        (view->attributes & BATCH_COMPRESSION_MASK) != 0
            ? rill__codec_name(view->attributes & BATCH_COMPRESSION_MASK)
            : "",
        (view->attributes & BATCH_SPARSE) != 0 ? " sparse" : "",
        (view->attributes & BATCH_CONTROL) != 0         ? " control"
        : (view->attributes & BATCH_TRANSACTIONAL) != 0 ? " transactional"
                                                        : "",
        view->base_time, view->max_time, producer, wrong != NULL ? "; " : "",
        wrong != NULL ? wrong : "");
}

static int show_bytes(const struct dump *d, struct batch_scan *scan, uint64_t from, uint64_t to,
                      const char *why)
{
    rill_item item = item_of(RILL_ITEM_BYTES, false, from, to - from);
    bool zero;
    int rc = rill__scan_zero(scan, from, to, &zero);

    if (rc != 0) return rc;
    item.sound = zero;
    if (zero) return show(d, &item, "%" PRIu64 " bytes of zeros", to - from);
    return show(d, &item, "%" PRIu64 " bytes that are no batch%s%s", to - from,
                why != NULL ? ": " : "", why != NULL ? why : "");
}

/* What stands at `at` is no batch that verifies; *next: where one is again. */
static int show_damage(const struct dump *d, struct batch_scan *scan, uint64_t at,
                       struct batch_view *view, const char *why, uint64_t *next)
{
    uint8_t header[BATCH_HEADER_SIZE];
    bool framed = scan->framed;
    bool found;
    struct batch_view other;
    int rc;

    if (framed) { /* its bytes will be gone */
        memcpy(header, view->data, sizeof header);
        view->data = header;
    }
    rc = rill__scan_find(scan, at + 8, 0, INT64_MAX, &found, next, &other);
    if (rc != 0) return rc;
    if (!found) *next = d->size;
    if (framed) {
        if (view->length > *next - at) view->length = (uint32_t)(*next - at);
        rc = show_batch(d, view, at, why);
        at += view->length;
    }
    return rc != 0 || at == *next ? rc : show_bytes(d, scan, at, *next, framed ? NULL : why);
}

static int dump_segment(const struct dump *d)
{
    struct batch_scan scan;
    uint64_t salt = 0;
    uint64_t at = SEGMENT_HEADER_SIZE;
    bool has_salt;
    int rc = show_header(d, &salt, &has_salt);

    if (rc != 0) return rc;
    rill__scan_init(&scan, d->heap, d->file, d->size, salt);
    if (!has_salt) rc = rill__scan_salt(&scan, &has_salt, &scan.salt);
    while (rc == 0 && at < d->size) {
        struct batch_view view;
        enum batch_state state;
        const char *why;

        rc = rill__scan_batch(&scan, at, &state, &view, &why);
        if (rc != 0) break;
        if (state == BATCH_VALID) {
            uint32_t length = view.length;
            rc = show_batch(d, &view, at, NULL);
            if (rc == 0) rc = show_records(d, &scan, &view, at);
            at += length;
        } else {
            rc = show_damage(d, &scan, at, &view, why, &at);
        }
    }
    rill__scan_deinit(&scan);
    return rc;
}

/* ---- Indexes ---------------------------------------------------------- */

static int show_entry(const struct dump *d, const uint8_t *e, uint64_t at, int64_t base,
                      uint64_t salt, int64_t *before)
{
    uint32_t delta = rill__get32(e);
    int64_t time = (int64_t)rill__get64(e + 8);
    uint32_t mixed = (uint32_t)rill__mix64(salt ^ rill__mix64((uint64_t)time + delta));
    uint64_t position = (uint64_t)(rill__get32(e + 4) ^ mixed) * 8;
    rill_item item = item_of(RILL_ITEM_ENTRY, false, at, INDEX_ENTRY_SIZE);

    item.sound = (int64_t)delta > *before && position >= SEGMENT_HEADER_SIZE &&
                 position < SEGMENT_BYTES_MAX;
    if (item.sound) *before = delta;
    if (!__builtin_add_overflow(base, delta, &item.first)) item.end = item.first;
    item.timestamp_ms = time;
    return show(d, &item,
                "offset %" PRId64 " is at byte %" PRIu64 ", before it the latest time is %" PRId64
                "%s",
                item.first, position, time, item.sound ? "" : "; it is damaged, or not in order");
}

static int dump_entries(const struct dump *d, int64_t base, uint64_t salt, uint64_t count)
{
    uint8_t entries[256 * INDEX_ENTRY_SIZE];
    static const uint8_t none[INDEX_ENTRY_SIZE];
    int64_t before = -1;
    int rc = 0;

    for (uint64_t i = 0; i < count && rc == 0; i++) {
        size_t in = (size_t)(i % 256) * INDEX_ENTRY_SIZE;
        uint64_t at = INDEX_HEADER_SIZE + i * INDEX_ENTRY_SIZE;

        if (in == 0) (void)read_some(d, entries, sizeof entries, at);
        if (memcmp(entries + in, none, sizeof none) != 0)
            rc = show_entry(d, entries + in, at, base, salt, &before);
    }
    return rc;
}

static int dump_index(const struct dump *d)
{
    uint8_t h[INDEX_HEADER_SIZE];
    bool all = read_some(d, h, sizeof h, 0);
    uint64_t room = d->size < sizeof h ? 0 : (d->size - INDEX_HEADER_SIZE) / INDEX_ENTRY_SIZE;
    rill_item item = item_of(RILL_ITEM_INDEX, all, 0, d->size < sizeof h ? d->size : sizeof h);
    uint32_t count = rill__get32(h + INDEX_COUNT_AT);
    const char *wrong = "";
    int rc;

    item.first = (int64_t)rill__get64(h + INDEX_BASE_AT);
    item.checksum = rill__get64(h + INDEX_CHECKSUM_AT);
    if (!all) wrong = "; it is cut short";
    else if (memcmp(h, "RILLIDX1", 8) != 0) wrong = "; it is no index (magic)";
    else if (item.checksum != rill__checksum(h, INDEX_CHECKSUM_AT)) wrong = "; it is damaged";
    else if (count != INDEX_UNSEALED && count > room) wrong = "; it has no room for its entries";
    if (wrong[0] != '\0') item.sound = 0;
    if (count != INDEX_UNSEALED) {
        item.end = (int64_t)rill__get64(h + INDEX_END_OFFSET_AT);
        item.count = count;
        item.timestamp_ms = (int64_t)rill__get64(h + INDEX_MAX_TIME_AT);
        if (count < room) room = count;
        rc = show(d, &item,
                  "index of segment %" PRId64 ": salt %016" PRIx64
                  ", %u entries, the segment ends "
                  "at byte %u, offset %" PRId64 ", latest time %" PRId64 "%s",
                  item.first, rill__get64(h + INDEX_SALT_AT), count,
                  rill__get32(h + INDEX_END_POSITION_AT), item.end, item.timestamp_ms, wrong);
    } else {
        rc = show(d, &item, "index of segment %" PRId64 ": salt %016" PRIx64 ", not sealed%s",
                  item.first, rill__get64(h + INDEX_SALT_AT), wrong);
    }
    return rc == 0 ? dump_entries(d, item.first, rill__get64(h + INDEX_SALT_AT), room) : rc;
}

/* ---- Control files ---------------------------------------------------- */

static int show_mark(const struct dump *d, uint64_t at)
{
    uint8_t b[MARK_SIZE];
    rill_item item = item_of(RILL_ITEM_MARK, read_some(d, b, sizeof b, at), at, sizeof b);

    item.checksum = rill__get64(b + 56);
    if (memcmp(b, "RILLMRK1", 8) != 0 || item.checksum != rill__checksum(b, 56) ||
        rill__get32(b + 44) > 1)
        item.sound = 0;
    item.end = (int64_t)rill__get64(b + 16);
    item.first = (int64_t)rill__get64(b + 48);
    item.leader_epoch = (int32_t)rill__get32(b + 40);
    return show(d, &item,
                "durable mark %" PRIu64 ": [%" PRId64 ", %" PRId64
                ") is durable, up to byte %u of "
                "segment %" PRId64 "; epoch %d, %u index entries%s",
                rill__get64(b + 8), item.first, item.end, rill__get32(b + 32),
                (int64_t)rill__get64(b + 24), (int)item.leader_epoch, rill__get32(b + 36),
                item.sound ? "" : "; it is damaged");
}

static int show_words(const struct dump *d)
{
    uint8_t *bytes = rill__alloc(d->heap, 4096 + _Alignof(struct control));
    struct control *c;
    rill_item item = item_of(RILL_ITEM_WORDS, false, 0, 4096);
    struct tail_copy tail;
    char boot[40];
    int rc;

    if (bytes == NULL) return RILL_ERR_NO_MEMORY;
    c = (void *)(((uintptr_t)bytes + _Alignof(struct control) - 1) &
                 ~(uintptr_t)(_Alignof(struct control) - 1));
    item.sound =
        read_some(d, c, 4096, 0) && c->magic == CONTROL_MAGIC && c->abi == rill__shared_abi();
    rill__control_tail(c, &tail);
    item.first = atomic_load(&c->log_start);
    item.end = tail.end_offset;
    item.leader_epoch = tail.epoch;
    item.count = tail.index_count;
    rc = show(d, &item,
              "shared words of boot %s, incarnation %016" PRIx64 ": log [%" PRId64 ", %" PRId64
              "), durable to %" PRId64 "; active segment %" PRId64 " up to byte %u, epoch %d, %u "
              "index entries; failed with %d, deleted %u%s",
              in_hex(c->boot_id, 16, boot), atomic_load(&c->incarnation), item.first,
              tail.end_offset, atomic_load(&c->durable_end), tail.base, tail.position,
              (int)tail.epoch, tail.index_count, -(int)atomic_load(&c->poison),
              atomic_load(&c->deleted),
              item.sound ? "" : "; they are of another layout, cleared, or damaged");
    rill__free(d->heap, bytes);
    return rc;
}

int rill__log_dump(struct heap *heap, const struct file *file, enum log_file_kind kind,
                   int (*visit)(void *arg, const rill_item *item), void *arg)
{
    struct dump d = {.heap = heap, .file = file, .visit = visit, .arg = arg};
    int rc = rill__file_size(file, &d.size);

    if (rc != 0) return rc;
    if (kind == LOG_FILE_SEGMENT) return dump_segment(&d);
    if (kind == LOG_FILE_INDEX) return dump_index(&d);
    rc = show_words(&d);
    if (rc == 0) rc = show_mark(&d, MARK_A_AT);
    return rc == 0 ? show_mark(&d, MARK_B_AT) : rc;
}
