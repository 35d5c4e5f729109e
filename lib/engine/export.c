/*
 * engine/export.c - a topic written as a stream, and an old stream gone on with.
 *
 *     sync -> ends := now -> (old stream read, its frames checked) -> partition by
 *     partition what a consumer of it finds -> end
 *
 * What is in the stream was durable when it was read: no power cut can give one of
 * its offsets to another record, so that it can be gone on with later.
 */
#include "engine/stream.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT_FRAME_BYTES (256u << 10)
#define POLL_RECORDS 256

struct exporter {
    rill *handle;
    struct store *store;
    struct topic *topic;
    rill_export_options options;
    struct stream_head head;
    int64_t *ends; /* of the parts of the head: to where they are to be exported */
    struct stream_writer writer;
    rill_progress progress;
    rill_record records[POLL_RECORDS]; /* of the last poll */
    size_t record_count;
    size_t record_at; /* before it, they are in the stream */
};

/* ---- What is to be exported ------------------------------------------- */

/* Makes all of the partition durable. *start, *end: where it begins and ends. */
static int settle_part(struct exporter *e, int32_t partition, int64_t *start, int64_t *end)
{
    int timeout_ms = (int)e->store->options.open_timeout_ms;
    struct log *log;
    uint64_t bytes;
    uint32_t count;
    int rc = rill__partition_log(e->topic, partition, timeout_ms, &log);

    if (rc != 0) return rc;
    *end = rill__log_end(log);
    rc = rill__log_sync(log, *end, rill__deadline(timeout_ms));
    *start = rill__log_start(log);
    if (rc == 0 && rill__log_segments(log, &count, &bytes) == 0) e->progress.total += bytes;
    rill__partition_release(e->topic, partition);
    return rc;
}

static int add_part(struct exporter *e, int32_t partition, int64_t from, int64_t to)
{
    struct stream_part *part = &e->head.parts[e->head.part_count];
    int64_t *end = &e->ends[e->head.part_count];
    int64_t start;
    int rc;

    if (rill__stream_part(&e->head, partition) != NULL)
        return rill__fail(RILL_ERR_INVALID, "%s-%d is named twice", e->head.topic,
                          (int)partition);
    rc = settle_part(e, partition, &start, end);
    if (rc != 0) return rc;
    if (to != RILL_OFFSET_LATEST && (to < 0 || to > *end))
        return rill__fail(RILL_ERR_RANGE,
                          "%s-%d: to is %" PRId64 ", the log ends at offset %" PRId64,
                          e->head.topic, (int)partition, to, *end);
    if (to != RILL_OFFSET_LATEST) *end = to;
    if (from != RILL_OFFSET_EARLIEST && (from < 0 || from > *end))
        return rill__fail(RILL_ERR_RANGE, "%s-%d: from is %" PRId64 ", it is to end at %" PRId64,
                          e->head.topic, (int)partition, from, *end);
    part->partition = partition;
    part->from = from == RILL_OFFSET_EARLIEST || from < start ? start : from;
    if (part->from > *end) part->from = *end;
    part->end = part->from;
    e->head.part_count++;
    return 0;
}

static int by_partition(const void *a, const void *b)
{
    const rill_export_range *x = a;
    const rill_export_range *y = b;
    return x->partition < y->partition ? -1 : x->partition > y->partition;
}

static int add_ranges(struct exporter *e)
{
    size_t count = e->options.range_count;
    size_t size = count * sizeof(rill_export_range);
    rill_export_range *sorted;
    int rc = 0;

    if (count == 0 || count > e->head.options.partition_count)
        return rill__fail(RILL_ERR_INVALID, "%zu ranges; topic %s has %u partitions", count,
                          e->head.topic, e->head.options.partition_count);
    sorted = rill__alloc(&e->store->heap, size);
    if (sorted == NULL) return RILL_ERR_NO_MEMORY;
    memcpy(sorted, e->options.ranges, size);
    qsort(sorted, count, sizeof *sorted, by_partition);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (sorted[i].reserved != 0)
            rc = rill__fail(RILL_ERR_INVALID, "reserved bytes of a range are set");
        else rc = add_part(e, sorted[i].partition, sorted[i].from, sorted[i].to);
    }
    rill__free(&e->store->heap, sorted);
    return rc;
}

static int plan_export(struct exporter *e, const char *name)
{
    struct heap *heap = &e->store->heap;
    rill_topic_info info;
    uint32_t room;
    int rc = rill__topic_describe(e->store, name, &info);

    if (rc == 0) rc = rill__topic_find(e->store, name, &e->topic);
    if (rc != 0) return rc;
    memcpy(e->head.topic, info.name, sizeof info.name);
    memcpy(e->head.topic_id, info.id, sizeof info.id);
    e->head.options = info.options;
    e->head.begun_ms = rill__now_ms();
    rc = rill__random(e->head.stream_id, sizeof e->head.stream_id);
    if (rc != 0) return rc;
    room = info.options.partition_count;
    e->head.parts = rill__alloc(heap, room * sizeof *e->head.parts);
    e->ends = rill__alloc(heap, room * sizeof *e->ends);
    if (e->head.parts == NULL || e->ends == NULL) return RILL_ERR_NO_MEMORY;
    if (e->options.ranges != NULL) return add_ranges(e);
    for (uint32_t p = 0; p < room && rc == 0; p++)
        rc = add_part(e, (int32_t)p, RILL_OFFSET_EARLIEST, RILL_OFFSET_LATEST);
    return rc;
}

/* ---- What there is of it already -------------------------------------- */

/* The parts of the old stream are where it goes on. */
static int go_on_from(struct exporter *e, const struct stream_head *old)
{
    bool same = old->part_count == e->head.part_count;

    for (size_t i = 0; i < old->part_count && same; i++) {
        same = old->parts[i].partition == e->head.parts[i].partition;
        if (same) e->head.parts[i] = old->parts[i];
    }
    if (memcmp(old->topic_id, e->head.topic_id, sizeof old->topic_id) != 0)
        return rill__fail(RILL_ERR_INVALID,
                          "the old stream is from another topic %s, which was deleted since",
                          old->topic);
    if (!same)
        return rill__fail(RILL_ERR_INVALID,
                          "the old stream has %zu partitions of topic %s, %zu others are to go "
                          "on: export it anew",
                          old->part_count, e->head.topic, e->head.part_count);
    return 0;
}

static int read_behind_end(struct stream_reader *reader)
{
    int rc = rill__stream_read_frame(reader);

    if (rc == RILL_ERR_CORRUPT && reader->torn) return 0;
    if (rc != 0 || reader->kind == 0) return rc;
    return rill__fail(RILL_ERR_CORRUPT, "the stream: frame %" PRIu64 " comes behind its end",
                      reader->frame_count - 1);
}

/* Frame by frame up to where it was cut short, or to its end, which goes. */
static int read_frames(struct exporter *e, struct stream_reader *reader, struct stream_head *old)
{
    struct stream_records records;
    int rc = 0;

    while (rc == 0) {
        rc = rill__stream_read_frame(reader);
        if (rc == RILL_ERR_CORRUPT && reader->torn) rc = reader->kind = 0;
        if (rc != 0 || reader->kind == 0) return rc;
        if (reader->kind == FRAME_HEAD) {
            rc = rill__stream_read_head(reader, old);
        } else if (reader->kind == FRAME_RECORDS) {
            rc = rill__stream_read_records(reader, old, &records);
        } else {
            rc = rill__stream_read_end(reader, old);
            return rc == 0 ? read_behind_end(reader) : rc;
        }
        e->writer.size = reader->size;
        e->writer.frame_count = reader->frame_count;
        e->writer.record_count = reader->record_count;
    }
    return rc;
}

/* Whether the head is there already in *begun. */
static int resume_stream(struct exporter *e, bool *begun)
{
    struct stream_reader reader = {.read = e->options.resume, .arg = e->options.resume_arg};
    struct stream_head old = {.parts = NULL};
    int rc;

    reader.payload.heap = &e->store->heap;
    rc = read_frames(e, &reader, &old);
    *begun = rc == 0 && e->writer.frame_count > 0;
    if (*begun) rc = go_on_from(e, &old);
    rill__free(&e->store->heap, old.parts);
    rill__stream_buffer_free(&reader.payload);
    return rc == 0 ? e->options.keep(e->options.resume_arg, e->writer.size) : rc;
}

/* ---- Its records ------------------------------------------------------- */

#define NO_BYTES UINT32_C(0xffffffff)

static uint32_t stored_size(rill_bytes bytes)
{
    return bytes.data == NULL ? NO_BYTES : (uint32_t)bytes.size;
}

static int put_headers(struct stream_buffer *p, const rill_record *record)
{
    rill_header header;
    int rc = 0;

    for (size_t i = 0; i < record->header_count && rc == 0; i++) {
        rc = rill__record_header_at(record, i, &header);
        if (rc == 0) rc = rill__stream_put32(p, (uint32_t)header.name.size);
        if (rc == 0) rc = rill__stream_put32(p, stored_size(header.value));
        if (rc == 0) rc = rill__stream_put(p, header.name.data, header.name.size);
        if (rc == 0) rc = rill__stream_put(p, header.value.data, header.value.size);
    }
    return rc;
}

static int put_record(struct stream_buffer *p, const rill_record *record)
{
    int rc = rill__stream_put64(p, (uint64_t)record->offset);

    if (rc == 0) rc = rill__stream_put64(p, (uint64_t)record->timestamp_ms);
    if (rc == 0) rc = rill__stream_put32(p, stored_size(record->key));
    if (rc == 0) rc = rill__stream_put32(p, stored_size(record->value));
    if (rc == 0) rc = rill__stream_put32(p, (uint32_t)record->header_count);
    if (rc == 0) rc = rill__stream_put(p, record->key.data, record->key.size);
    if (rc == 0) rc = rill__stream_put(p, record->value.data, record->value.size);
    return rc == 0 ? put_headers(p, record) : rc;
}

static int begin_frame(struct exporter *e, const struct stream_part *part)
{
    uint8_t head[24] = {0};

    e->writer.payload.size = 0;
    rill__put32(head, (uint32_t)part->partition);
    rill__put64(head + 8, (uint64_t)part->end);
    return rill__stream_put(&e->writer.payload, head, sizeof head);
}

static int end_frame(struct exporter *e, struct stream_part *part, uint32_t count, int64_t end)
{
    int rc;

    rill__put32(e->writer.payload.data + 4, count);
    rill__put64(e->writer.payload.data + 16, (uint64_t)end);
    rc = rill__stream_write_frame(&e->writer, FRAME_RECORDS);
    if (rc != 0) return rc;
    part->end = end;
    e->writer.record_count += count;
    e->progress.done = e->writer.size;
    if (e->progress.total < e->progress.done) e->progress.total = e->progress.done;
    if (e->options.progress == NULL) return 0;
    return e->options.progress(e->options.progress_arg, &e->progress);
}

/* The next record that is before end, NULL if there is none; *reached: where that is,
 * or how far there is nothing. */
static int next_record(struct exporter *e, rill_consumer *consumer,
                       const struct stream_part *part, int64_t end, int64_t *reached,
                       const rill_record **record)
{
    int64_t lag;
    int rc = 0;

    *record = NULL;
    if (e->record_at == e->record_count) {
        rc = rill__consumer_poll(consumer, 0, e->records, POLL_RECORDS, &e->record_count);
        e->record_at = 0;
    }
    if (rc != 0) return rc;
    if (e->record_count == 0) /* a gap before the end, if it goes on there */
        return rill__consumer_position(consumer, e->head.topic, part->partition, reached, &lag);
    *reached = e->records[e->record_at].offset;
    if (*reached < end) *record = &e->records[e->record_at++];
    return 0;
}

/* One frame's worth of records; *more: there are others. */
static int export_frame(struct exporter *e, rill_consumer *consumer, struct stream_part *part,
                        int64_t end, bool *more)
{
    const rill_record *record = NULL;
    int64_t reached = part->end;
    uint32_t count = 0;
    int rc = begin_frame(e, part);

    while (rc == 0 && e->writer.payload.size < EXPORT_FRAME_BYTES) {
        rc = next_record(e, consumer, part, end, &reached, &record);
        if (rc != 0 || record == NULL) break;
        rc = put_record(&e->writer.payload, record);
        reached = record->offset + 1;
        count++;
    }
    *more = record != NULL && reached < end;
    if (reached > end) reached = end;
    if (rc == 0 && reached > part->end) rc = end_frame(e, part, count, reached);
    return rc;
}

int rill__read_from(rill_consumer *consumer, struct topic *topic, int32_t partition,
                    int64_t offset)
{
    rill_position from = {topic->info.name, partition, -1, offset, NULL};
    struct log *log;
    int64_t start;
    int rc;

    for (;;) {
        rc = rill__consumer_assign(consumer, &from, 1);
        if (rc != RILL_ERR_RANGE) return rc;
        rc = rill__partition_log(topic, partition, 0, &log);
        if (rc != 0) return rc;
        start = rill__log_start(log);
        rill__partition_release(topic, partition);
        if (start <= from.offset) return rill__consumer_assign(consumer, &from, 1);
        from.offset = start; /* what was before that has gone */
    }
}

static int export_part(struct exporter *e, struct stream_part *part, int64_t end)
{
    rill_consumer_options options = {.size = sizeof options,
                                     .isolation = RILL_READ_COMMITTED,
                                     .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_consumer *consumer = NULL;
    struct saved_message why;
    bool more = part->end < end;
    int rc;

    if (!more) return 0;
    rc = rill__consumer_open(e->handle, &options, &consumer);
    if (rc != 0) return rc;
    e->record_at = e->record_count = 0;
    rc = rill__read_from(consumer, e->topic, part->partition, part->end);
    while (rc == 0 && more) rc = export_frame(e, consumer, part, end, &more);
    rill__message_save(&why);
    rill__consumer_close(consumer, 0);
    rill__message_restore(&why);
    return rc;
}

static int export_topic(struct exporter *e, const char *name)
{
    bool begun = false;
    int rc = plan_export(e, name);

    if (rc == 0 && e->options.resume != NULL) rc = resume_stream(e, &begun);
    if (rc == 0 && !begun) rc = rill__stream_write_head(&e->writer, &e->head);
    for (size_t i = 0; i < e->head.part_count && rc == 0; i++)
        rc = export_part(e, &e->head.parts[i], e->ends[i]);
    return rc == 0 ? rill__stream_write_end(&e->writer, &e->head) : rc;
}

int rill__export(rill *handle, const char *topic, const rill_export_options *options,
                 rill_write_fn write, void *arg)
{
    struct heap *heap = &handle->store->heap;
    struct exporter *e;
    rill_export_options taken;
    int rc = rill__options_take(OPTIONS_EXPORT, options, &taken);

    if (rc == 0 && (taken.resume == NULL) != (taken.keep == NULL))
        rc = rill__fail(RILL_ERR_INVALID, "one of resume and keep is set, the other is not");
    if (rc != 0) return rc;
    e = rill__alloc(heap, sizeof *e);
    if (e == NULL) return RILL_ERR_NO_MEMORY;
    e->handle = handle;
    e->store = handle->store;
    e->options = taken;
    e->writer.write = write;
    e->writer.arg = arg;
    e->writer.payload.heap = heap;
    e->progress.what = e->head.topic;
    rc = export_topic(e, topic);
    rill__topic_release(e->topic);
    rill__stream_buffer_free(&e->writer.payload);
    rill__free(heap, e->head.parts);
    rill__free(heap, e->ends);
    rill__free(heap, e);
    return rc;
}
