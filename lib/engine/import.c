/*
 * engine/import.c - a stream's records appended to a topic, each of them once.
 *
 * How far a stream has come is committed, per partition, under a group that is
 * named after it: as offset the target's, and as metadata
 *
 *     "<source offset> <kept or moved> <open or closed>"
 *
 *     kept    the partition was empty when the import began: records get the
 *             offsets that they are from; what is missing between them is made up
 *             for by empty batches
 *     open    records from the source offset on may follow behind the target offset
 *
 * All before the committed target offset is durable when it is committed, and the
 * first such commit comes before the first append. So whoever goes on compares what
 * is behind that place with what comes next in the stream; the records of an import
 * that died are there in order, from the first on, whoever else has appended
 * between them.
 */
#include "engine/stream.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_BATCH_BYTES (128u << 10)
#define IMPORT_BATCH_RECORDS 1024
#define COMMIT_BYTES (8u << 20) /* so much at most is compared by whoever goes on */
#define THERE_RECORDS 64
#define IMPORT_WAIT_MS 60000

/* A partition of the target. */
struct import_part {
    struct log *log;
    bool begun;
    bool kept;
    bool opened;        /* committed as open */
    bool dirty;         /* it has come further since */
    bool compared;      /* nothing is there any more that may be the next record */
    int64_t source;     /* before this offset all is in the target */
    int64_t target;     /* its log end, as far as this import knows */
    int64_t there_next; /* before it, what is of the stream has been found */
    int64_t there_end;  /* its log end when the import began */
};

struct importer {
    rill *handle;
    struct store *store;
    rill_import_options options;
    struct stream_reader reader;
    struct stream_head head;
    char group[64];
    struct topic *topic;
    struct import_part *parts; /* by index in head.parts */
    bool stamps;               /* the topic has its own timestamps */
    rill_producer *producer;
    uint64_t appended;
    uint64_t uncommitted; /* bytes since the last commit */
    rill_progress progress;

    rill_record batch[IMPORT_BATCH_RECORDS]; /* to be appended, of one frame */
    size_t batch_count;
    size_t batch_bytes;
    struct stream_buffer headers; /* of the batch */

    rill_consumer *there; /* of what is in the partition that is being compared, */
    const struct import_part *there_part; /* this one */
    rill_record there_records[THERE_RECORDS];
    size_t there_count;
    size_t there_at;
};

bool rill__is_import_group(const char *group)
{
    return strncmp(group, IMPORT_GROUP_PREFIX, strlen(IMPORT_GROUP_PREFIX)) == 0;
}

static struct import_part *part_of(struct importer *im, const struct stream_part *part)
{
    return &im->parts[part - im->head.parts];
}

/* ---- How far it is ----------------------------------------------------- */

/* Makes it durable first. */
static int commit_part(struct importer *im, int32_t partition, struct import_part *part,
                       bool open)
{
    char text[64];
    struct meta_offset offset = {.partition = partition,
                                 .leader_epoch = -1,
                                 .offset = part->compared ? part->target : part->there_next,
                                 .committed_ms = rill__now_ms(),
                                 .metadata = text};
    int rc = rill__log_sync(part->log, offset.offset, rill__deadline(IMPORT_WAIT_MS));

    memcpy(offset.topic_id, im->topic->info.id, sizeof offset.topic_id);
    snprintf(text, sizeof text, "%" PRId64 " %s %s", part->source, part->kept ? "kept" : "moved",
             open ? "open" : "closed");
    if (rc == 0) rc = rill__meta_offsets_commit(im->store->meta, im->group, &offset, 1);
    if (rc != 0) return rc;
    part->opened = open;
    part->dirty = false;
    return 0;
}

/* From what was committed. */
static int read_state(struct importer *im, int32_t partition, const struct meta_offset *offset,
                      struct import_part *part)
{
    const char *text = offset->metadata == NULL ? "" : offset->metadata;
    char *rest;

    part->source = strtoll(text, &rest, 10);
    part->target = offset->offset;
    part->kept = strncmp(rest, " kept ", 6) == 0;
    part->opened = strlen(rest) > 5 && strcmp(rest + strlen(rest) - 5, " open") == 0;
    if (rest != text && (part->kept || strncmp(rest, " moved ", 7) == 0)) return 0;
    return rill__fail(RILL_ERR_INVALID,
                      "group %s has committed \"%s\" for partition %d, which no import has; "
                      "delete it to import from the beginning",
                      im->group, text, (int)partition);
}

/* All that was appended, also if something has failed since. */
static int commit_all(struct importer *im)
{
    int first = 0;

    for (size_t i = 0; i < im->head.part_count; i++) {
        int rc = im->parts == NULL || !im->parts[i].dirty
                     ? 0
                     : commit_part(im, im->head.parts[i].partition, &im->parts[i], true);
        if (rc != 0 && first == 0) first = rc;
    }
    im->uncommitted = 0;
    return first;
}

/* ---- What is there already -------------------------------------------- */

static void close_there(struct importer *im)
{
    if (im->there != NULL) rill__consumer_close(im->there, 0);
    im->there = NULL;
    im->there_part = NULL;
    im->there_count = im->there_at = 0;
}

/* What is in the partition from there_next on. */
static int open_there(struct importer *im, int32_t partition, const struct import_part *part)
{
    rill_consumer_options options = {.size = sizeof options,
                                     .auto_offset_reset = RILL_RESET_EARLIEST};
    int rc;

    close_there(im);
    rc = rill__consumer_open(im->handle, &options, &im->there);
    if (rc == 0) rc = rill__read_from(im->there, im->topic, partition, part->there_next);
    if (rc == 0) im->there_part = part;
    return rc;
}

/* The next record that is there, NULL if that is all. */
static int look_there(struct importer *im, const struct stream_part *source,
                      const rill_record **record)
{
    const struct import_part *part = part_of(im, source);
    int rc = 0;

    *record = NULL;
    if (im->there_part != part) rc = open_there(im, source->partition, part);
    if (rc == 0 && im->there_at == im->there_count) {
        rc =
            rill__consumer_poll(im->there, 0, im->there_records, THERE_RECORDS, &im->there_count);
        im->there_at = 0;
    }
    if (rc == 0 && im->there_count > 0 &&
        im->there_records[im->there_at].offset < part->there_end)
        *record = &im->there_records[im->there_at];
    return rc;
}

static bool same_bytes(rill_bytes a, rill_bytes b)
{
    return (a.data == NULL) == (b.data == NULL) && a.size == b.size &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_record(const struct importer *im, const rill_record *there,
                        const rill_record *record)
{
    const rill_header *headers = record->headers;
    rill_header header;

    if (!same_bytes(there->key, record->key) || !same_bytes(there->value, record->value) ||
        there->header_count != record->header_count ||
        (!im->stamps && there->timestamp_ms != record->timestamp_ms))
        return false;
    for (size_t i = 0; i < record->header_count; i++)
        if (rill__record_header_at(there, i, &header) != 0 ||
            !same_bytes(header.name, headers[i].name) ||
            !same_bytes(header.value, headers[i].value))
            return false;
    return true;
}

/* Whether the record was appended by an import that was interrupted. */
static int is_there(struct importer *im, const struct stream_part *source,
                    const rill_record *record, bool *there)
{
    struct import_part *part = part_of(im, source);
    const rill_record *next;
    int rc = 0;

    *there = false;
    while (!part->compared && !*there) {
        rc = look_there(im, source, &next);
        if (rc != 0) break;
        if (next == NULL) {
            part->compared = true;
            close_there(im);
            break;
        }
        *there = same_record(im, next, record);
        part->there_next = next->offset + 1;
        im->there_at++;
    }
    return rc;
}

/* ---- The partitions ---------------------------------------------------- */

/* A partition that is empty is made to begin where the exported one did. What a first
 * try has left of that is not gone through again if others have appended since. */
static int make_beginning(struct importer *im, const struct stream_part *source)
{
    struct import_part *part = part_of(im, source);
    int64_t deadline = rill__deadline(IMPORT_WAIT_MS);
    const rill_record *first;
    int rc = look_there(im, source, &first);

    if (rc != 0 || (first != NULL && first->offset < source->from)) return rc;
    if (rill__log_start(part->log) >= source->from) return 0;
    rc = rill__log_skip(part->log, source->from, deadline);
    if (rc == 0) rc = rill__log_delete_before(part->log, source->from, deadline, NULL);
    if (rc == 0 && part->there_next < source->from) {
        close_there(im); /* it stood before the log start, which a consumer warns of */
        part->there_next = source->from;
    }
    return rc;
}

static int begin_part(struct importer *im, const struct stream_part *source)
{
    struct import_part *part = part_of(im, source);
    struct meta_offset offset;
    char metadata[RILL_METADATA_MAX + 1];
    int rc = rill__partition_log(im->topic, source->partition, IMPORT_WAIT_MS, &part->log);

    if (rc != 0) return rc;
    part->begun = true;
    part->there_end = rill__log_end(part->log);
    rc = rill__meta_offset_get(im->store->meta, im->group, im->topic->info.id, source->partition,
                               &offset, metadata, sizeof metadata);
    if (rc == RILL_ERR_NOT_FOUND) {
        part->source = source->from;
        part->target = part->there_end;
        part->kept = part->there_end == 0;
        rc = commit_part(im, source->partition, part, true);
    } else if (rc == 0) {
        rc = read_state(im, source->partition, &offset, part);
    }
    if (rc != 0) return rc;
    part->compared = !part->opened; /* if it was finished, what is there is not ours */
    part->there_next = part->target;
    if (!part->compared && part->kept && part->source == source->from)
        rc = make_beginning(im, source);
    part->target = rill__log_end(part->log);
    return rc;
}

/* ---- Appending --------------------------------------------------------- */

/* The batch's headers go; the last `keep` bytes are of the record that comes next. */
static void drop_headers(struct importer *im, size_t keep)
{
    if (keep != 0) memmove(im->headers.data, im->headers.data + im->headers.size - keep, keep);
    im->headers.size = keep;
}

static int append_batch(struct importer *im, const struct stream_part *source, size_t keep)
{
    struct import_part *part = part_of(im, source);
    const rill_header *headers = (const rill_header *)(const void *)im->headers.data;
    int64_t first = im->batch[0].offset;
    rill_offset base = 0;
    int rc = 0;

    if (im->batch_count == 0) return 0;
    for (size_t i = 0; i < im->batch_count; i++) { /* they may have moved */
        im->batch[i].headers = headers;
        headers += im->batch[i].header_count;
    }
    if (!part->opened) rc = commit_part(im, source->partition, part, true);
    if (rc == 0)
        rc = rill__producer_append(im->producer, im->batch, im->batch_count, IMPORT_WAIT_MS,
                                   &base);
    if (rc != 0)
        return rill__fail_prefix(rc, "importing offset %" PRId64 " of partition %d", first,
                                 (int)source->partition);
    if (base != first) part->kept = false; /* somebody else has appended */
    part->source = im->batch[im->batch_count - 1].offset + 1;
    part->target = base + (int64_t)im->batch_count;
    part->dirty = true;
    im->appended += im->batch_count;
    im->uncommitted += im->batch_bytes;
    im->batch_count = im->batch_bytes = 0;
    drop_headers(im, keep);
    return 0;
}

/* Moves the log end up to where the next record is to be, if offsets are kept. */
static int skip_to(struct import_part *part, int64_t offset)
{
    int rc = 0;

    if (!part->kept || part->target >= offset) return 0;
    rc = rill__log_skip(part->log, offset, rill__deadline(IMPORT_WAIT_MS));
    if (rc != 0) return rc;
    part->target = rill__log_end(part->log);
    part->kept = part->target == offset;
    return 0;
}

static bool fits_batch(const struct importer *im, const struct import_part *part,
                       const rill_record *record, size_t size)
{
    const rill_record *first = &im->batch[0];
    size_t most = rill__topic_max_bytes(im->topic);
    int64_t apart;

    if (im->batch_count == 0) return true;
    apart = record->timestamp_ms - first->timestamp_ms; /* neither is negative */
    if (most > IMPORT_BATCH_BYTES) most = IMPORT_BATCH_BYTES;
    return im->batch_count < IMPORT_BATCH_RECORDS && im->batch_bytes + size <= most &&
           (!part->kept || record->offset == im->batch[im->batch_count - 1].offset + 1) &&
           apart >= INT32_MIN && apart <= INT32_MAX;
}

static int add_record(struct importer *im, const struct stream_part *source,
                      const rill_record *record)
{
    struct import_part *part = part_of(im, source);
    size_t size = rill__batch_size_of(record);
    int rc = 0;

    if (!fits_batch(im, part, record, size))
        rc = append_batch(im, source, record->header_count * sizeof(rill_header));
    if (rc == 0 && im->batch_count == 0) rc = skip_to(part, record->offset);
    if (rc != 0) return rc;
    im->batch[im->batch_count++] = *record;
    im->batch_bytes += size;
    return 0;
}

static int import_records(struct importer *im)
{
    struct stream_records records;
    struct import_part *part;
    rill_record record;
    bool there;
    int rc = rill__stream_read_records(&im->reader, &im->head, &records);

    if (rc != 0) return rc;
    part = part_of(im, records.part);
    if (!part->begun) rc = begin_part(im, records.part);
    im->headers.size = 0;
    while (rc == 0 && rill__stream_next(&im->reader, &records, &record, &im->headers, &rc)) {
        size_t headers = record.header_count * sizeof(rill_header);
        there = record.offset < part->source;
        record.headers =
            (const rill_header *)(const void *)(im->headers.data + im->headers.size - headers);
        if (!there) rc = is_there(im, records.part, &record, &there);
        if (rc != 0) break;
        if (!there) {
            rc = add_record(im, records.part, &record);
            continue;
        }
        im->headers.size -= headers;
        if (record.offset < part->source) continue;
        part->source = record.offset + 1;
        part->dirty = true;
    }
    if (rc == 0) rc = append_batch(im, records.part, 0);
    im->batch_count = im->batch_bytes = 0; /* what they point into goes */
    if (rc == 0 && im->uncommitted >= COMMIT_BYTES) rc = commit_all(im);
    return rc;
}

static int finish_import(struct importer *im)
{
    int rc = rill__stream_read_end(&im->reader, &im->head);

    for (size_t i = 0; i < im->head.part_count && rc == 0; i++) {
        const struct stream_part *source = &im->head.parts[i];
        struct import_part *part = &im->parts[i];
        if (!part->begun) rc = begin_part(im, source);
        if (rc != 0 || (!part->opened && part->source >= source->end)) continue;
        rc = skip_to(part, source->end);
        if (rc != 0) break;
        part->source = source->end;
        part->target = rill__log_end(part->log);
        part->compared = true;
        rc = commit_part(im, source->partition, part, false);
    }
    return rc;
}

/* ---- The whole of it --------------------------------------------------- */

static int find_target(struct importer *im, const char *name)
{
    rill_producer_options options = {.size = sizeof options};
    int rc;

    if (name == NULL) name = im->head.topic;
    rc = rill__topic_create(im->store, name, &im->head.options);
    if (rc == RILL_ERR_EXISTS) rc = 0;
    if (rc == 0) rc = rill__topic_find(im->store, name, &im->topic);
    if (rc != 0) return rc;
    if (rill__topic_partition_count(im->topic) <=
        (uint32_t)im->head.parts[im->head.part_count - 1].partition)
        return rill__fail(
            RILL_ERR_INVALID, "topic %s has %u partitions, the stream is of %u: add some", name,
            rill__topic_partition_count(im->topic), im->head.options.partition_count);
    im->stamps = atomic_load(&im->topic->timestamp_type) == RILL_TIMESTAMP_APPEND;
    im->parts = rill__alloc(&im->store->heap, im->head.part_count * sizeof *im->parts);
    if (im->parts == NULL) return RILL_ERR_NO_MEMORY;
    options.topic = im->topic->info.name;
    options.compression = im->options.compression;
    return rill__producer_open(im->handle, &options, &im->producer);
}

static void release_parts(struct importer *im)
{
    for (size_t i = 0; im->parts != NULL && i < im->head.part_count; i++)
        if (im->parts[i].begun) rill__partition_release(im->topic, im->head.parts[i].partition);
    rill__topic_release(im->topic);
}

static int begin_import(struct importer *im, const char *name)
{
    int rc = rill__stream_read_head(&im->reader, &im->head);
    int at;

    if (rc != 0) return rc;
    at = snprintf(im->group, sizeof im->group, "%s", IMPORT_GROUP_PREFIX);
    for (int i = 0; i < 16; i++, at += 2)
        snprintf(im->group + at, 3, "%02x", im->head.stream_id[i]);
    im->progress.what = im->head.topic;
    return find_target(im, name);
}

static int tell_imported(struct importer *im)
{
    im->progress.done = im->reader.size;
    if (im->options.progress == NULL) return 0;
    return im->options.progress(im->options.progress_arg, &im->progress);
}

static int import_frames(struct importer *im, const char *name)
{
    int rc = 0;

    while (rc == 0) {
        rc = rill__stream_read_frame(&im->reader);
        if (rc != 0) break;
        switch (im->reader.kind) {
        case FRAME_HEAD: rc = begin_import(im, name); break;
        case FRAME_RECORDS: rc = import_records(im); break;
        case FRAME_END: return finish_import(im);
        default:
            return rill__fail(RILL_ERR_CORRUPT,
                              "the stream was cut short behind frame %" PRIu64 ", byte %" PRIu64,
                              im->reader.frame_count, im->reader.size);
        }
        if (rc == 0) rc = tell_imported(im);
    }
    return rc;
}

int rill__import(rill *handle, const char *topic, const rill_import_options *options,
                 rill_read_fn read, void *arg)
{
    struct heap *heap = &handle->store->heap;
    struct saved_message why;
    struct importer *im;
    rill_import_options taken;
    int rc = rill__options_take(OPTIONS_IMPORT, options, &taken);

    if (rc == 0 && topic != NULL) rc = rill__check_name("topic", topic);
    if (rc != 0) return rc;
    if (taken.imported != NULL) *taken.imported = 0;
    im = rill__alloc(heap, sizeof *im);
    if (im == NULL) return RILL_ERR_NO_MEMORY;
    im->handle = handle;
    im->store = handle->store;
    im->options = taken;
    im->reader.read = read;
    im->reader.arg = arg;
    im->reader.payload.heap = im->headers.heap = heap;
    rc = import_frames(im, topic);
    rill__message_save(&why);
    if (rc != 0) commit_all(im); /* as far as it goes; it is only for speed */
    close_there(im);
    if (im->producer != NULL) rill__producer_close(im->producer, 0);
    release_parts(im);
    rill__message_restore(&why);
    if (taken.imported != NULL) *taken.imported = im->appended;
    rill__stream_buffer_free(&im->reader.payload);
    rill__stream_buffer_free(&im->headers);
    rill__free(heap, im->head.parts);
    rill__free(heap, im->parts);
    rill__free(heap, im);
    return rc;
}
