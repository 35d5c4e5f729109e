/*
 * engine/stream.h - a topic as a stream of frames, to be kept or sent anywhere.
 *
 * This comment is the specification; engine/stream.c follows it. All integers are
 * little-endian; nothing is aligned. Reserved bytes are written as zero and
 * rejected otherwise.
 *
 *     offset size  frame
 *     ------ ----  -------------------------------------------------------
 *          0    4  magic "RXF1"
 *          4    4  kind            1 head, 2 records, 3 end
 *          8    4  payload size    at most 1 GiB + 1 MiB
 *         12    4  reserved
 *         16    8  number          of frames before it
 *         24    8  checksum        XXH3-64 of the payload, xor m(XXH3-64 of bytes 0..23),
 *                                  where m is rill__mix64 of base/checksum.h
 *         32       payload
 *
 * A stream is a head, any number of frames of records, and one end. One that was
 * cut short has no end; what is whole of it is good.
 *
 *     offset size  payload of the head
 *     ------ ----  -------------------------------------------------------
 *          0    8  magic "RILLEXP1"
 *          8    4  version         1; a reader refuses versions it lacks
 *         12    4  features        bits a reader must understand; 0
 *         16   16  stream id       random
 *         32   16  topic id
 *         48    8  begun           ms since the epoch
 *         56    4  option count
 *         60    4  partition count of those that are in the stream
 *         64    4  name size
 *         68       name of the topic
 *                  options:        name size (4), name, value (8), as they are in
 *                                  rill_topic_options; a fraction is its bits
 *                  partitions:     number (4), reserved (4), from (8), going up
 *
 *     offset size  payload of records
 *     ------ ----  -------------------------------------------------------
 *          0    4  partition
 *          4    4  record count    0 and more
 *          8    8  begin           where the frame before of this partition ended;
 *                                  of its first one, the head's from
 *         16    8  end             what of [begin, end) is not here is not there any
 *                                  more: compacted, or deleted
 *         24       records:        offset (8), timestamp in ms (8), key size (4,
 *                                  0xffffffff: null), value size (4, 0xffffffff:
 *                                  null), header count (4), key, value, then per
 *                                  header name size (4), value size (4, 0xffffffff:
 *                                  null), name, value
 *
 *     offset size  payload of the end
 *     ------ ----  -------------------------------------------------------
 *          0    8  record count    in all frames
 *          8    4  partition count
 *         12    4  reserved
 *         16       partitions:     number (4), reserved (4), end (8)
 *
 * History: 1 (0.2) first version.
 */
#ifndef RILL_ENGINE_STREAM_H
#define RILL_ENGINE_STREAM_H
#include "base/bytes.h"
#include "engine/store.h"

enum {
    FRAME_HEAD = 1,
    FRAME_RECORDS = 2,
    FRAME_END = 3,
    FRAME_HEADER_SIZE = 32,
    FRAME_PAYLOAD_MAX = (1 << 30) + (1 << 20)
};

/* The consumer reads the partition from offset on, or from its log start if that is
 * behind it. */
int rill__read_from(rill_consumer *consumer, struct topic *topic, int32_t partition,
                    int64_t offset);

/* Bytes that grow. */
struct stream_buffer {
    struct heap *heap;
    uint8_t *data;
    size_t size;
    size_t room;
};
void rill__stream_buffer_free(struct stream_buffer *buffer);
int rill__stream_put(struct stream_buffer *buffer, const void *data, size_t size);
int rill__stream_put32(struct stream_buffer *buffer, uint32_t value);
int rill__stream_put64(struct stream_buffer *buffer, uint64_t value);

/* A partition of a stream. */
struct stream_part {
    int32_t partition;
    int64_t from;
    int64_t end; /* how far the stream has come, from the end frame or the records */
};

/* What the head says, and of a stream that is read, how far it has come. */
struct stream_head {
    uint8_t stream_id[16];
    uint8_t topic_id[16];
    int64_t begun_ms;
    char topic[RILL_TOPIC_NAME_MAX + 1];
    rill_topic_options options;
    struct stream_part *parts; /* from the heap */
    size_t part_count;
};
struct stream_part *rill__stream_part(const struct stream_head *head, int32_t partition);

/* ---- Writing ---------------------------------------------------------- */

struct stream_writer {
    rill_write_fn write;
    void *arg;
    uint64_t frame_count;
    uint64_t size; /* bytes so far */
    uint64_t record_count;
    struct stream_buffer payload; /* of the next frame */
};
/* Writes the payload as a frame, and empties it. */
int rill__stream_write_frame(struct stream_writer *writer, uint32_t kind);
int rill__stream_write_head(struct stream_writer *writer, const struct stream_head *head);
int rill__stream_write_end(struct stream_writer *writer, const struct stream_head *head);

/* ---- Reading ---------------------------------------------------------- */

struct stream_reader {
    rill_read_fn read;
    void *arg;
    uint64_t frame_count; /* whole ones so far */
    uint64_t size;        /* of them, in bytes */
    uint64_t record_count;
    uint32_t kind; /* of the frame that was read last */
    bool torn;     /* RILL_ERR_CORRUPT: nothing comes behind what is wrong: it was cut short */
    struct stream_buffer payload;
};
/* The next whole frame; kind 0: the stream ends behind the last one. */
int rill__stream_read_frame(struct stream_reader *reader);
/* The payload of a head. parts are the caller's to free, whatever is returned. */
int rill__stream_read_head(struct stream_reader *reader, struct stream_head *head);
/* The payload of records: what is before the records, checked against the head, whose
 * part it moves on. *cursor: at the first of them. */
struct stream_records {
    struct stream_part *part;
    uint32_t count;
    int64_t begin;
    int64_t end;
    int64_t offset; /* of the last record that was read, begin - 1 at first */
    struct cursor cursor;
};
int rill__stream_read_records(struct stream_reader *reader, struct stream_head *head,
                              struct stream_records *records);
/* The next record, which points into the payload; its headers are added to `headers`,
 * where they are until that grows. False behind the last one; *rc says if what is
 * there is no record. */
bool rill__stream_next(struct stream_reader *reader, struct stream_records *records,
                       rill_record *record, struct stream_buffer *headers, int *rc);
int rill__stream_read_end(struct stream_reader *reader, struct stream_head *head);

#endif
