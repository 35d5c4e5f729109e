/*
 * engine/stream.c - frames written and read; see engine/stream.h for the bytes.
 *
 * What is read may be anything: sizes are checked before memory is taken for them,
 * and memory is taken as bytes arrive.
 */
#include "engine/stream.h"
#include "base/checksum.h"
#include <inttypes.h>
#include <string.h>

#define GROW_STEP (1u << 20)
#define STREAM_VERSION 1
#define NO_BYTES UINT32_C(0xffffffff)
#define RECORD_HEAD_SIZE 28

static const char frame_magic[4] = {'R', 'X', 'F', '1'};
static const char head_magic[8] = {'R', 'I', 'L', 'L', 'E', 'X', 'P', '1'};

/* ---- Bytes that grow --------------------------------------------------- */

void rill__stream_buffer_free(struct stream_buffer *buffer)
{
    rill__free(buffer->heap, buffer->data);
    buffer->data = NULL;
    buffer->size = buffer->room = 0;
}

static int grow_stream(struct stream_buffer *buffer, size_t size)
{
    size_t room = buffer->room == 0 ? 4096 : buffer->room;
    uint8_t *data;

    if (size <= buffer->room) return 0;
    while (room < size) room *= 2;
    data = rill__resize(buffer->heap, buffer->data, room);
    if (data == NULL) return RILL_ERR_NO_MEMORY;
    buffer->data = data;
    buffer->room = room;
    return 0;
}

int rill__stream_put(struct stream_buffer *buffer, const void *data, size_t size)
{
    int rc = grow_stream(buffer, buffer->size + size);

    if (rc != 0) return rc;
    if (size != 0) memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return 0;
}

int rill__stream_put32(struct stream_buffer *buffer, uint32_t value)
{
    uint8_t b[4];

    rill__put32(b, value);
    return rill__stream_put(buffer, b, sizeof b);
}

int rill__stream_put64(struct stream_buffer *buffer, uint64_t value)
{
    uint8_t b[8];

    rill__put64(b, value);
    return rill__stream_put(buffer, b, sizeof b);
}

struct stream_part *rill__stream_part(const struct stream_head *head, int32_t partition)
{
    for (size_t i = 0; i < head->part_count; i++)
        if (head->parts[i].partition == partition) return &head->parts[i];
    return NULL;
}

/* ---- Writing ---------------------------------------------------------- */

static uint64_t sum_of_frame(const uint8_t header[FRAME_HEADER_SIZE], const void *payload,
                             size_t size)
{
    return rill__checksum(payload, size) ^ rill__mix64(rill__checksum(header, 24));
}

int rill__stream_write_frame(struct stream_writer *writer, uint32_t kind)
{
    struct stream_buffer *payload = &writer->payload;
    uint8_t header[FRAME_HEADER_SIZE] = {0};
    int rc;

    if (payload->size > FRAME_PAYLOAD_MAX)
        return rill__fail(RILL_ERR_TOO_BIG, "a frame of %zu bytes", payload->size);
    memcpy(header, frame_magic, sizeof frame_magic);
    rill__put32(header + 4, kind);
    rill__put32(header + 8, (uint32_t)payload->size);
    rill__put64(header + 16, writer->frame_count);
    rill__put64(header + 24, sum_of_frame(header, payload->data, payload->size));
    rc = writer->write(writer->arg, header, sizeof header);
    if (rc == 0) rc = writer->write(writer->arg, payload->data, payload->size);
    if (rc != 0) return rc;
    writer->frame_count++;
    writer->size += sizeof header + payload->size;
    payload->size = 0;
    return 0;
}

struct option_list {
    struct stream_buffer *to;
    uint32_t count;
};

static int put_option(void *arg, const char *name, uint64_t value)
{
    struct option_list *list = arg;
    int rc = rill__stream_put32(list->to, (uint32_t)strlen(name));

    if (rc == 0) rc = rill__stream_put(list->to, name, strlen(name));
    if (rc == 0) rc = rill__stream_put64(list->to, value);
    list->count++;
    return rc;
}

int rill__stream_write_head(struct stream_writer *writer, const struct stream_head *head)
{
    struct stream_buffer *p = &writer->payload;
    struct option_list list = {p, 0};
    size_t name_size = strlen(head->topic);
    uint8_t fixed[68] = {0};
    int rc;

    memcpy(fixed, head_magic, sizeof head_magic);
    rill__put32(fixed + 8, STREAM_VERSION);
    memcpy(fixed + 16, head->stream_id, 16);
    memcpy(fixed + 32, head->topic_id, 16);
    rill__put64(fixed + 48, (uint64_t)head->begun_ms);
    rill__put32(fixed + 60, (uint32_t)head->part_count);
    rill__put32(fixed + 64, (uint32_t)name_size);
    rc = rill__stream_put(p, fixed, sizeof fixed);
    if (rc == 0) rc = rill__stream_put(p, head->topic, name_size);
    if (rc == 0) rc = rill__options_each(OPTIONS_TOPIC, &head->options, put_option, &list);
    if (rc == 0) rill__put32(p->data + 56, list.count);
    for (size_t i = 0; i < head->part_count && rc == 0; i++) {
        rc = rill__stream_put32(p, (uint32_t)head->parts[i].partition);
        if (rc == 0) rc = rill__stream_put32(p, 0);
        if (rc == 0) rc = rill__stream_put64(p, (uint64_t)head->parts[i].from);
    }
    return rc == 0 ? rill__stream_write_frame(writer, FRAME_HEAD) : rc;
}

int rill__stream_write_end(struct stream_writer *writer, const struct stream_head *head)
{
    struct stream_buffer *p = &writer->payload;
    int rc = rill__stream_put64(p, writer->record_count);

    if (rc == 0) rc = rill__stream_put32(p, (uint32_t)head->part_count);
    if (rc == 0) rc = rill__stream_put32(p, 0);
    for (size_t i = 0; i < head->part_count && rc == 0; i++) {
        rc = rill__stream_put32(p, (uint32_t)head->parts[i].partition);
        if (rc == 0) rc = rill__stream_put32(p, 0);
        if (rc == 0) rc = rill__stream_put64(p, (uint64_t)head->parts[i].end);
    }
    return rc == 0 ? rill__stream_write_frame(writer, FRAME_END) : rc;
}

/* ---- Reading frames ---------------------------------------------------- */

/* What comes behind the last whole frame. */
static int bad_stream(const struct stream_reader *reader, const char *why)
{
    return rill__fail(RILL_ERR_CORRUPT,
                      "the stream: frame %" PRIu64 ", at byte %" PRIu64 ": %s%s",
                      reader->frame_count, reader->size, why,
                      reader->torn ? "; nothing comes behind it: it was cut short here" : "");
}

/* Until there is all of it; *got is less only at the end of the stream. */
static int read_all(struct stream_reader *reader, void *data, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        size_t n = 0;
        int rc = reader->read(reader->arg, (uint8_t *)data + *got, size - *got, &n);
        if (rc != 0) return rc;
        if (n > size - *got)
            return rill__fail(RILL_ERR_INVALID,
                              "the read function says %zu bytes, %zu were asked for", n,
                              size - *got);
        if (n == 0) break;
        *got += n;
    }
    return 0;
}

/* Is there nothing but zeros from here on, as a file system leaves it? */
static int only_zeros(struct stream_reader *reader, bool *only)
{
    uint8_t *b = reader->payload.data;
    size_t got;
    int rc = grow_stream(&reader->payload, 4096);

    *only = true;
    for (b = reader->payload.data; rc == 0;) {
        rc = read_all(reader, b, 4096, &got);
        for (size_t i = 0; i < got && *only; i++) *only = b[i] == 0;
        if (!*only || got < 4096) break;
    }
    return rc;
}

static bool all_zero(const uint8_t *data, size_t size)
{
    while (size > 0 && data[size - 1] == 0) size--;
    return size == 0;
}

static const char *wrong_with_header(const struct stream_reader *reader, const uint8_t *header)
{
    if (memcmp(header, frame_magic, sizeof frame_magic) != 0) return "no frame begins there";
    if (rill__get32(header + 8) > FRAME_PAYLOAD_MAX) return "impossible size";
    if (rill__get32(header + 12) != 0) return "reserved bytes are set";
    if (rill__get64(header + 16) != reader->frame_count) return "it has another number";
    return NULL;
}

/* As it arrives, so that a size that is a lie takes no memory. */
static int read_payload(struct stream_reader *reader, size_t size, bool *whole)
{
    struct stream_buffer *p = &reader->payload;
    int rc = 0;

    p->size = 0;
    *whole = true;
    while (rc == 0 && *whole && p->size < size) {
        size_t step = size - p->size < GROW_STEP ? size - p->size : GROW_STEP;
        size_t got = 0;
        rc = grow_stream(p, p->size + step);
        if (rc == 0) rc = read_all(reader, p->data + p->size, step, &got);
        p->size += got;
        *whole = got == step;
    }
    return rc;
}

int rill__stream_read_frame(struct stream_reader *reader)
{
    uint8_t header[FRAME_HEADER_SIZE];
    uint8_t more;
    const char *why;
    size_t size;
    size_t got;
    bool whole = true;
    int rc = read_all(reader, header, sizeof header, &got);

    reader->kind = 0;
    reader->torn = false;
    if (rc != 0 || got == 0) return rc;
    if (got < sizeof header) {
        reader->torn = true;
        return bad_stream(reader, "it ends in the middle of the frame");
    }
    why = wrong_with_header(reader, header);
    if (why != NULL) {
        if (all_zero(header, sizeof header)) rc = only_zeros(reader, &reader->torn);
        return rc != 0 ? rc : bad_stream(reader, why);
    }
    size = rill__get32(header + 8);
    rc = read_payload(reader, size, &whole);
    if (rc != 0) return rc;
    if (!whole) {
        reader->torn = true;
        return bad_stream(reader, "it ends in the middle of the frame");
    }
    if (rill__get64(header + 24) != sum_of_frame(header, reader->payload.data, size)) {
        /* The last one may have its size and not yet its bytes. */
        rc = read_all(reader, &more, 1, &got);
        reader->torn = rc == 0 && got == 0;
        return rc != 0 ? rc : bad_stream(reader, "its checksum does not match");
    }
    reader->kind = rill__get32(header + 4);
    if (reader->kind < FRAME_HEAD || reader->kind > FRAME_END)
        return rill__fail(RILL_ERR_FORMAT,
                          "the stream: frame %" PRIu64 " is of kind %u, which this library "
                          "(%d.%d.%d) does not know",
                          reader->frame_count, reader->kind, RILL_VERSION_MAJOR,
                          RILL_VERSION_MINOR, RILL_VERSION_PATCH);
    if ((reader->kind == FRAME_HEAD) != (reader->frame_count == 0))
        return bad_stream(reader, "a head where none must be, or none where one must");
    reader->frame_count++;
    reader->size += sizeof header + size;
    return 0;
}

/* ---- Reading payloads -------------------------------------------------- */

/* Of the frame that was read last, although it verifies. */
static int senseless(const struct stream_reader *reader, const char *what)
{
    return rill__fail(RILL_ERR_CORRUPT, "the stream: frame %" PRIu64 ": %s",
                      reader->frame_count - 1, what);
}

static bool take_string(struct cursor *c, char *name, size_t size_max)
{
    uint32_t size = rill__cursor_get32(c);
    const void *text = size > size_max ? NULL : rill__cursor_take(c, size);

    if (text == NULL || memchr(text, 0, size) != NULL) return false;
    memcpy(name, text, size);
    name[size] = '\0';
    return true;
}

static int read_options(struct stream_reader *reader, struct cursor *c, uint32_t count,
                        rill_topic_options *options)
{
    rill_topic_options given;
    char name[64];
    int rc;

    memset(options, 0, sizeof *options);
    options->size = sizeof *options;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value;
        if (!take_string(c, name, sizeof name - 1)) return senseless(reader, "an option's name");
        value = rill__cursor_get64(c);
        if (!rill__option_set(OPTIONS_TOPIC, options, name, value))
            return rill__fail(RILL_ERR_FORMAT,
                              "the stream: its topic has the option %s, which this library "
                              "(%d.%d.%d) does not know",
                              name, RILL_VERSION_MAJOR, RILL_VERSION_MINOR, RILL_VERSION_PATCH);
    }
    given = *options;
    rc = rill__options_take(OPTIONS_TOPIC, &given, options);
    return rc == 0 ? 0 : rill__fail_prefix(RILL_ERR_CORRUPT, "the stream");
}

/* Numbers of partitions go up. There are as many bytes as they take, or none is read. */
static int read_parts(struct stream_reader *reader, struct cursor *c, uint32_t count,
                      struct stream_head *head)
{
    int64_t before = -1;

    if (count > (size_t)(c->end - c->at) / 16 || count == 0)
        return senseless(reader, "its partitions");
    head->parts = rill__alloc(reader->payload.heap, count * sizeof *head->parts);
    if (head->parts == NULL) return RILL_ERR_NO_MEMORY;
    for (; head->part_count < count; head->part_count++) {
        struct stream_part *part = &head->parts[head->part_count];
        uint32_t number = rill__cursor_get32(c);
        uint32_t reserved = rill__cursor_get32(c);
        part->from = part->end = (int64_t)rill__cursor_get64(c);
        part->partition = (int32_t)number;
        if (number >= head->options.partition_count || (int64_t)number <= before ||
            reserved != 0 || part->from < 0)
            return senseless(reader, "its partitions");
        before = number;
    }
    return 0;
}

int rill__stream_read_head(struct stream_reader *reader, struct stream_head *head)
{
    struct cursor c = rill__cursor(reader->payload.data, reader->payload.size);
    const uint8_t *fixed = rill__cursor_take(&c, 64);
    uint32_t version;
    int rc;

    head->parts = NULL;
    head->part_count = 0;
    if (fixed == NULL || memcmp(fixed, head_magic, 7) != 0)
        return senseless(reader, "no head of an export");
    version = rill__get32(fixed + 8);
    if (fixed[7] != head_magic[7] || version != STREAM_VERSION || rill__get32(fixed + 12) != 0)
        return rill__fail(RILL_ERR_FORMAT,
                          "the stream has format %u with features %#x; this library (%d.%d.%d) "
                          "knows format %d with features 0",
                          version, rill__get32(fixed + 12), RILL_VERSION_MAJOR,
                          RILL_VERSION_MINOR, RILL_VERSION_PATCH, STREAM_VERSION);
    memcpy(head->stream_id, fixed + 16, 16);
    memcpy(head->topic_id, fixed + 32, 16);
    head->begun_ms = (int64_t)rill__get64(fixed + 48);
    if (!take_string(&c, head->topic, RILL_TOPIC_NAME_MAX) ||
        rill__check_name("topic", head->topic) != 0)
        return senseless(reader, "the topic's name");
    rc = read_options(reader, &c, rill__get32(fixed + 56), &head->options);
    if (rc == 0) rc = read_parts(reader, &c, rill__get32(fixed + 60), head);
    if (rc == 0 && c.at != c.end) rc = senseless(reader, "its size");
    return rc;
}

int rill__stream_read_records(struct stream_reader *reader, struct stream_head *head,
                              struct stream_records *records)
{
    struct cursor c = rill__cursor(reader->payload.data, reader->payload.size);
    uint32_t partition = rill__cursor_get32(&c);

    records->count = rill__cursor_get32(&c);
    records->begin = (int64_t)rill__cursor_get64(&c);
    records->end = (int64_t)rill__cursor_get64(&c);
    records->offset = records->begin - 1;
    records->part = partition > INT32_MAX ? NULL : rill__stream_part(head, (int32_t)partition);
    records->cursor = c;
    if (c.short_read || records->part == NULL)
        return senseless(reader, "records of a partition that is not in the head");
    if (records->begin != records->part->end || records->end < records->begin ||
        records->count > (size_t)(c.end - c.at) / RECORD_HEAD_SIZE)
        return senseless(reader, "records that do not follow those before");
    records->part->end = records->end;
    reader->record_count += records->count;
    return 0;
}

/* size: as stored, NO_BYTES for null. */
static rill_bytes take_bytes(struct cursor *c, uint32_t size)
{
    if (size == NO_BYTES) return (rill_bytes){NULL, 0};
    return (rill_bytes){rill__cursor_take(c, size), size};
}

static int take_headers(struct cursor *c, uint32_t count, rill_record *record,
                        struct stream_buffer *headers)
{
    size_t before = headers->size;
    int rc = 0;

    if (count > (size_t)(c->end - c->at) / 8) c->short_read = true;
    for (uint32_t i = 0; i < count && rc == 0 && !c->short_read; i++) {
        uint32_t name_size = rill__cursor_get32(c);
        uint32_t value_size = rill__cursor_get32(c);
        rill_header header;
        if (name_size == NO_BYTES) c->short_read = true;
        header.name = take_bytes(c, name_size);
        header.value = take_bytes(c, value_size);
        rc = rill__stream_put(headers, &header, sizeof header);
    }
    record->headers = (const rill_header *)(const void *)(headers->data + before);
    record->header_count = count;
    return rc;
}

bool rill__stream_next(struct stream_reader *reader, struct stream_records *records,
                       rill_record *record, struct stream_buffer *headers, int *rc)
{
    struct cursor *c = &records->cursor;
    uint32_t key_size;
    uint32_t value_size;

    *rc = 0;
    if (records->count == 0) {
        if (c->at != c->end) *rc = senseless(reader, "bytes behind its records");
        return false;
    }
    records->count--;
    *record = (rill_record)RILL_RECORD_INIT;
    record->partition = records->part->partition;
    record->offset = (int64_t)rill__cursor_get64(c);
    record->timestamp_ms = (int64_t)rill__cursor_get64(c);
    key_size = rill__cursor_get32(c);
    value_size = rill__cursor_get32(c);
    record->header_count = rill__cursor_get32(c);
    record->key = take_bytes(c, key_size);
    record->value = take_bytes(c, value_size);
    *rc = take_headers(c, (uint32_t)record->header_count, record, headers);
    if (*rc == 0 && (c->short_read || record->offset <= records->offset ||
                     record->offset >= records->end || record->timestamp_ms < 0))
        *rc = senseless(reader, "a record that runs out of it, or out of order");
    records->offset = record->offset;
    return *rc == 0;
}

int rill__stream_read_end(struct stream_reader *reader, struct stream_head *head)
{
    struct cursor c = rill__cursor(reader->payload.data, reader->payload.size);
    uint64_t record_count = rill__cursor_get64(&c);
    uint32_t part_count = rill__cursor_get32(&c);
    bool good = rill__cursor_get32(&c) == 0 && part_count == head->part_count;

    for (uint32_t i = 0; i < part_count && good && !c.short_read; i++) {
        good = (int32_t)rill__cursor_get32(&c) == head->parts[i].partition &&
               rill__cursor_get32(&c) == 0 &&
               (int64_t)rill__cursor_get64(&c) == head->parts[i].end;
    }
    if (!good || c.short_read || c.at != c.end || record_count != reader->record_count)
        return senseless(reader, "an end that does not fit what comes before it");
    return 0;
}
