/*
 * log/source.c - the batches of a sealed segment, one after the other.
 *
 * They come by read calls and not out of a map: what the device cannot read is
 * then an error and not a signal, which work in the background must not send to
 * the program; and pages that nobody else reads are not mapped for it.
 *
 * Every batch is verified: what compaction believes it writes anew, with a
 * checksum that fits.
 */
#include "base/bytes.h"
#include "log/compact.h"
#include <inttypes.h>

void rill__source_init(struct source *source, struct log *log)
{
    memset(source, 0, sizeof *source);
    source->log = log;
    source->file = FILE_NONE;
    rill__codec_init(&source->codec, log->config.heap);
}

void rill__source_deinit(struct source *source)
{
    rill__file_close(&source->file);
    rill__free(source->log->config.heap, source->buffer);
    rill__free(source->log->config.heap, source->room);
    rill__codec_deinit(&source->codec);
}

int rill__source_open(struct source *source, const struct piece *piece)
{
    const struct segment_header *header = &piece->header;
    struct segment_header now;
    char name[SEGMENT_NAME_SIZE];
    int rc;

    rill__file_close(&source->file);
    rill__segment_name(header->base, "log", name);
    rc = rill__file_open(&source->log->dir, name, FILE_READ, &source->file);
    if (rc == 0)
        rc = rill__segment_read_header(&source->log->config, &source->file, header->base, &now);
    if (rc != 0) return rc;
    source->salt = now.salt;
    source->file_size = now.file_size;
    source->position = SEGMENT_HEADER_SIZE;
    source->offset = header->base;
    source->end = piece->end;
    source->epoch = 0;
    source->used = 0;
    source->from = 0;
    return 0;
}

/* size bytes of the file from the position on, or as many as it has, are in the
 * buffer: *data and *size. */
static int take(struct source *source, size_t size, const uint8_t **data, size_t *have)
{
    struct heap *heap = source->log->config.heap;
    uint64_t left = source->file_size - source->position;
    size_t skip = (size_t)(source->position - source->from);
    size_t more;
    int rc;

    if (size > left) size = (size_t)left;
    if (source->position < source->from || skip > source->used) skip = source->used;
    if (skip + size > source->used) {
        source->used -= skip;
        if (source->used > 0) memmove(source->buffer, source->buffer + skip, source->used);
        source->from = source->position;
        skip = 0;
        if (size > source->capacity) {
            size_t room = size < COMPACT_CHUNK ? COMPACT_CHUNK : size;
            uint8_t *buffer = rill__resize(heap, source->buffer, room);
            if (buffer == NULL) return RILL_ERR_NO_MEMORY;
            source->buffer = buffer;
            source->capacity = room;
        }
        more = source->capacity - source->used;
        if (more > left - source->used) more = (size_t)(left - source->used);
        rc = rill__file_read(&source->file, source->buffer + source->used, more,
                             source->from + source->used);
        if (rc != 0) return rc;
        source->used += more;
    }
    *data = source->buffer + skip;
    *have = source->used - skip;
    return 0;
}

static int damaged_source(const struct source *source, const char *why)
{
    return rill__fail(RILL_ERR_CORRUPT,
                      "%s: cannot be compacted: batch at position %" PRIu64 ", offset %" PRId64
                      ": %s",
                      source->file.name, source->position, source->offset, why);
}

int rill__source_next(struct source *source, struct batch_view *view, bool *more)
{
    const char *why = NULL;
    const uint8_t *data;
    enum batch_state state;
    size_t have;
    int rc;

    *more = source->offset < source->end;
    if (!*more) return 0;
    rc = take(source, BATCH_HEADER_SIZE, &data, &have);
    if (rc != 0) return rc;
    /* Its length is looked at first; whether it is a lie the view tells. */
    if (have >= BATCH_HEADER_SIZE) {
        rc = take(source, rill__get32(data + BATCH_LENGTH_AT), &data, &have);
        if (rc != 0) return rc;
    }
    state = rill__batch_view(data, have, view, &why);
    if (state != BATCH_VALID) {
        return damaged_source(source, state == BATCH_NONE ? "no batch where one must be" : why);
    } else if (view->base_offset != source->offset || view->end_offset > source->end) {
        return damaged_source(source, "its offsets do not go on from those before");
    } else if (view->epoch < source->epoch) {
        return damaged_source(source, "its leader epoch is smaller than that before");
    } else if (!rill__batch_verify(view, source->salt)) {
        return damaged_source(source, "checksum does not match");
    }
    source->position += view->length;
    source->offset = view->end_offset;
    source->epoch = view->epoch;
    return 0;
}

int rill__source_records(struct source *source, const struct batch_view *view,
                         struct batch_view *records)
{
    size_t size = rill__batch_room(view);
    int rc;

    if (size > source->room_size) {
        uint8_t *room = rill__resize(source->log->config.heap, source->room, size);
        if (room == NULL) return RILL_ERR_NO_MEMORY;
        source->room = room;
        source->room_size = size;
    }
    rc = rill__batch_records(view, &source->codec, source->room, records);
    if (rc == 0) return 0;
    return rill__fail_prefix(rc, "%s: cannot be compacted: batch at offset %" PRId64,
                             source->file.name, view->base_offset);
}

int rill__source_record(const struct source *source, const struct batch_view *view,
                        struct record_walk *walk, rill_record *record, bool *more)
{
    bool bad;

    *more = rill__record_next(view, walk, record, &bad);
    if (!bad) return 0;
    return rill__fail(RILL_ERR_CORRUPT,
                      "%s: cannot be compacted: batch at offset %" PRId64
                      ": record number %u runs out of its batch",
                      source->file.name, view->base_offset, walk->index);
}
