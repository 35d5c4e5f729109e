/*
 * log/format.h - the bytes of a partition's files.
 *
 * This comment is the specification; the code follows it. All integers are
 * little-endian. Reserved bytes are written as zero and rejected otherwise.
 *
 * A partition is a directory <topic id in hex>/<partition> of the store:
 *
 *     00000000000000000000.log      segments, named by their base offset
 *     00000000000000000000.index    one beside each segment
 *     control                       shared words and durable marks
 *     next.log                      a segment prepared ahead, or none; next.index
 *     *.tmp                         half-made; deleted when found
 *
 * Segment: a header, then batches back to back, each 8-byte aligned, up to a
 * zero length field or the end of the file. The file has its full size from
 * the start, which may be another one for each segment; what follows the last batch
 * is zero, or does not verify: the file may have been another segment's before.
 *
 *     offset size  segment header
 *     ------ ----  -------------------------------------------------------
 *          0    8  magic "RILLSEG1"
 *          8    2  version         1; 2 if there are features; a reader refuses
 *                                  versions it lacks
 *         10    2  header size     128; where the first batch begins
 *         12    4  features        bits a reader must understand: 0 compacted
 *         16    8  base offset     of the first record
 *         24    8  salt            random; mixed into the batches' checksums
 *         32   16  topic id
 *         48    4  partition
 *         52    4  leader epoch    when it was made
 *         56    8  created         ms since the epoch
 *         64    8  file size
 *         72    8  end offset      if compacted: where the segment ends
 *         80    8  cleaned through  if compacted: this segment and those before
 *                                  it hold no record whose key comes again
 *                                  before this offset
 *         88    4  oldest tombstone  if compacted: the smallest stamp that a
 *                                  record in it has, 0: none has one
 *         92   28  reserved
 *        120    8  XXH3-64 of bytes 0..119
 *     A compacted segment stands for one or several that were there before:
 *     from the base of the first to the end of the last. A segment whose base
 *     lies inside a compacted one is left over and not part of the log.
 *
 *     offset size  batch header (of 1..n records; sparse: of 0..n)
 *     ------ ----  -------------------------------------------------------
 *          0    8  checksum        below
 *          8    8  base offset     assigned at append
 *         16    4  leader epoch    assigned at append
 *         20    4  length          whole batch, a multiple of 8; 0: no batch
 *         24    4  record count    1 and more; sparse: 0 and more
 *         28    4  last offset delta  of the last record to base offset;
 *                                  sparse: of the last that there was
 *         32    8  base timestamp  ms; records carry deltas
 *         40    8  max timestamp   of the records; with attribute 3 the time of
 *                                  the append, which all of them have
 *         48    8  producer id     -1: none
 *         56    4  base sequence   -1: none
 *         60    2  producer epoch  -1: none
 *         62    2  attributes      bits 0-2 compression (0 none, 3 lz4, 4 zstd;
 *                                  Kafka's codes), 3 timestamp type (0 create,
 *                                  1 append), 4 transactional, 5 control,
 *                                  6 sparse, 7 lost, 8-15 reserved
 *         64       records, or if they are compressed:
 *         64    4  records size    before compression; a multiple of 8, at most
 *                                  64 MiB; known before memory is taken for it
 *         68    4  packed size     of what follows
 *         72       packed records  lz4: one block; zstd: one frame
 *                  zeros           0-7, to the multiple of 8
 *
 *     A batch with attribute 7, and 6, has no records: it stands for offsets whose
 *     records are lost, where the log was repaired. What follows its header is
 *     zero; with as much of it as was damaged, what comes behind keeps its place.
 *
 *     checksum = XXH3-64(bytes 20..length) xor
 *                mix(salt of the segment, base offset, leader epoch)
 *     where mix(s, o, e) = m(m(s xor o * 0x9E3779B97F4A7C15) + e *
 *     0xC2B2AE3D27D4EB4F + 1), and m is rill__mix64 of base/checksum.h;
 *     so a producer hashes its batch before it takes the append lock, yet a
 *     batch that stands in another segment, at another offset, or under
 *     another epoch does not verify.
 *     With attribute 3 the max timestamp is not known when the batch is hashed:
 *     XXH3-64(bytes 20..length) is then XXH3-64(bytes 48..length) xor
 *     m(XXH3-64(bytes 20..40)) xor m(max timestamp).
 *
 *     offset size  record (8-byte aligned)
 *     ------ ----  -------------------------------------------------------
 *          0    4  size            whole record, a multiple of 8
 *          4    4  value size      0xffffffff: null (a tombstone)
 *          8    4  timestamp delta signed, to the batch's base timestamp
 *         12    4  key size        bits 0-30, 0x7fffffff: null;
 *                                  bit 31: headers follow the key
 *       (16)  (8)  only if the batch is sparse: offset delta (4), larger than
 *                  the one before; stamp (4) of a tombstone: when it was first
 *                  compacted, in seconds since the epoch, 0: not yet; of
 *                  others zero
 *         16       value           (24 if sparse): 8-byte aligned for programs
 *                                  that read a struct in place
 *                  key
 *                  headers         count (4), then per header name size (4),
 *                                  value size (4, 0xffffffff null), name,
 *                                  value; nothing aligned
 *                  zeros           0-7, to the multiple of 8
 *     A record's offset is the batch's base offset plus its place in the batch,
 *     or plus its offset delta in a sparse batch (what compaction leaves).
 *
 *     offset size  index header, then entries
 *     ------ ----  -------------------------------------------------------
 *          0    8  magic "RILLIDX1"
 *          8    8  base offset     as the segment's
 *         16    8  salt            as the segment's
 *         24    4  entry count     0xffffffff until the segment is sealed
 *         28    4  end position    of the sealed segment
 *         32    8  end offset      of the sealed segment
 *         40    8  max timestamp   of the sealed segment
 *         48    8  reserved
 *         56    8  XXH3-64 of bytes 0..55
 *         64       entries of 16: offset - base (4), position / 8 xor
 *                  mix'(salt, offset, time) (4), largest timestamp before this
 *                  batch in the segment (8). With the mix, an entry of which
 *                  any byte has changed points to no batch.
 *                  mix'(s, o, t) = low half of m(s xor m(t + o))
 *
 *     Control file: page 0 is shared words, see log/control.h, meaningless
 *     after a reboot. At 4096 and 4608 two copies of the durable mark:
 *          0    8  magic "RILLMRK1"
 *          8    8  sequence        the valid copy with the larger one counts
 *         16    8  durable end     all records before it were synced
 *         24    8  segment         base offset of the segment that holds it
 *         32    4  position        of durable end in that segment
 *         36    4  index count     entries of that segment synced before
 *         40    4  leader epoch    largest in use when it was written
 *         44    4  bits            1: a transaction was open; others 0
 *         48    8  log start       first offset that is there
 *         56    8  XXH3-64 of bytes 0..55
 *
 * Truth:   segments are the truth. An index is a hint: entries are checked when
 *          used, and rebuilt at recovery. The mark separates a torn tail (cut)
 *          from damage (RILL_ERR_CORRUPT, never cut).
 * Extent:  the log begins at the log start, which the marks have, in the segment
 *          with the largest base offset that is not behind it; if nothing is
 *          durable yet, in that of the mark (0 if it has none). What lies before
 *          the log start is gone, whether its bytes are still there or not. A
 *          segment ends at the first batch that does not verify, or has another
 *          base offset than the next, or a smaller epoch than the one before;
 *          the log goes on in the segment that has the end as its base offset.
 *          Segments that this does not reach are not part of it, nor is one
 *          behind the mark whose header is all zeros.
 * Order:   prepared segment: allocate, zero, sync; or one that is gone: renamed,
 *          header to zeros, sync. Roll: header, rename, then published in the
 *          control block. Durable: sync of every segment from the durable end to
 *          the tail, then of the directory if a segment is new, then the durable
 *          end goes up, then (lazily) the mark. Log start: all is made durable,
 *          both marks have it, then it is published, then segments that lie
 *          before it are removed or used again, oldest first.
 * Compaction: a new segment is written as clean.tmp, and clean-index.tmp, and
 *          synced; both marks name a later segment; then it is renamed over the
 *          first that it stands for, the directory is synced, the others that
 *          it stands for are removed, and the index is renamed.
 * After a crash: see log/recover.c.
 * History: 1 (0.1) first version.
 *          2 (0.2) segments with features: compacted, with sparse batches.
 *          1 (0.2) batches of records that are lost.
 *          1 (0.2) compression, timestamps of the append; what keeps 0.1 away from
 *          them is the catalogue, see meta/format.h.
 */
#ifndef RILL_LOG_FORMAT_H
#define RILL_LOG_FORMAT_H
#include <assert.h>
#include <stdint.h>

enum {
    SEGMENT_VERSION = 1,
    SEGMENT_VERSION_FEATURES = 2, /* of segments that have any */
    SEGMENT_VERSION_AT = 8,
    SEGMENT_HEADER_SIZE_AT = 10,
    SEGMENT_FEATURES_AT = 12,
    SEGMENT_BASE_AT = 16,
    SEGMENT_SALT_AT = 24,
    SEGMENT_TOPIC_AT = 32,
    SEGMENT_PARTITION_AT = 48,
    SEGMENT_EPOCH_AT = 52,
    SEGMENT_CREATED_AT = 56,
    SEGMENT_FILE_SIZE_AT = 64,
    SEGMENT_END_AT = 72,
    SEGMENT_CLEANED_AT = 80,
    SEGMENT_TOMBSTONE_AT = 88,
    SEGMENT_RESERVED_AT = 92,
    SEGMENT_CHECKSUM_AT = 120,
    SEGMENT_HEADER_SIZE = 128,

    SEGMENT_COMPACTED = 1 << 0,
    SEGMENT_FEATURES = SEGMENT_COMPACTED, /* that this library knows */

    BATCH_CHECKSUM_AT = 0,
    BATCH_BASE_OFFSET_AT = 8,
    BATCH_EPOCH_AT = 16,
    BATCH_LENGTH_AT = 20,
    BATCH_HASHED_AT = 20, /* the checksum covers all from here */
    BATCH_COUNT_AT = 24,
    BATCH_LAST_DELTA_AT = 28,
    BATCH_BASE_TIME_AT = 32,
    BATCH_MAX_TIME_AT = 40,
    BATCH_PRODUCER_AT = 48,
    BATCH_SEQUENCE_AT = 56,
    BATCH_PRODUCER_EPOCH_AT = 60,
    BATCH_ATTRIBUTES_AT = 62,
    BATCH_HEADER_SIZE = 64,
    BATCH_RAW_SIZE_AT = 64, /* these only if it is compressed */
    BATCH_PACKED_SIZE_AT = 68,
    BATCH_PACKED_AT = 72,

    BATCH_COMPRESSION_MASK = 7,
    BATCH_APPEND_TIME = 1 << 3,
    BATCH_TRANSACTIONAL = 1 << 4,
    BATCH_CONTROL = 1 << 5,
    BATCH_SPARSE = 1 << 6,
    BATCH_LOST = 1 << 7,
    BATCH_ATTRIBUTES_RESERVED = 0xff00,

    RECORD_SIZE_AT = 0,
    RECORD_VALUE_SIZE_AT = 4,
    RECORD_TIME_AT = 8,
    RECORD_KEY_SIZE_AT = 12,
    RECORD_HEADER_SIZE = 16,
    RECORD_SPARSE_AT = 16,
    RECORD_STAMP_AT = 20,
    RECORD_SPARSE_HEADER_SIZE = 24,

    INDEX_BASE_AT = 8,
    INDEX_SALT_AT = 16,
    INDEX_COUNT_AT = 24,
    INDEX_END_POSITION_AT = 28,
    INDEX_END_OFFSET_AT = 32,
    INDEX_MAX_TIME_AT = 40,
    INDEX_RESERVED_AT = 48,
    INDEX_CHECKSUM_AT = 56,
    INDEX_HEADER_SIZE = 64,
    INDEX_ENTRY_SIZE = 16,

    MARK_A_AT = 4096,
    MARK_B_AT = 4608,
    MARK_SIZE = 64,
    CONTROL_SIZE = 8192
};

#define RECORD_NULL_VALUE UINT32_C(0xffffffff)
#define RECORD_NULL_KEY UINT32_C(0x7fffffff)
#define RECORD_HAS_HEADERS UINT32_C(0x80000000)
#define INDEX_UNSEALED UINT32_C(0xffffffff)

/* The smallest whole number of 8 bytes that holds size. */
#define ROUND_UP_8(size) (((size) + 7) & ~(size_t)7)

static_assert(SEGMENT_HEADER_SIZE % 8 == 0, "batches start 8-byte aligned");
static_assert(BATCH_HEADER_SIZE % 8 == 0, "records start 8-byte aligned");
static_assert(RECORD_HEADER_SIZE % 8 == 0, "values start 8-byte aligned");
static_assert(MARK_B_AT - MARK_A_AT == 512, "the two marks are in sectors of their own");

#endif
