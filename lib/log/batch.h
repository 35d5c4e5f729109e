/*
 * log/batch.h - building a batch in private memory, and reading one in place.
 *
 * The builder writes the stored bytes directly; nothing is converted later.
 * Who builds owns the buffer; no lock is needed before the batch is appended.
 * The bytes are specified in log/format.h.
 */
#ifndef RILL_LOG_BATCH_H
#define RILL_LOG_BATCH_H
#include "base/codec.h"
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* Most bytes of records in a compressed batch, before compression. */
#define BATCH_RAW_MAX ((size_t)64 << 20)

struct batch {
    uint8_t *data; /* the caller's buffer, 8-byte aligned */
    size_t capacity;
    size_t size; /* bytes used, header included; 0: no record yet */
    uint32_t record_count;
    uint32_t span; /* offsets it takes, set when it is sealed: as many as records, or a gap */
    int64_t base_time;
    int64_t max_time;
    uint64_t content;       /* checksum of the content, set by rill__batch_seal */
    uint16_t attributes;    /* the caller's, before it is sealed: see rill__log_attributes */
    int16_t producer_epoch; /* these three: -1, unless the caller sets them before it is sealed */
    int32_t base_sequence;
    int64_t producer_id;
    int64_t append_ms; /* time of its append, if its records have that; else 0 */
    bool checked;      /* append looks at what its producer has appended before; the caller's */
};

/* For attributes of a batch: it belongs to a transaction. */
#define BATCH_IN_TRANSACTION ((uint16_t)1 << 4)

void rill__batch_init(struct batch *batch, void *buffer, size_t capacity);
void rill__batch_reset(struct batch *batch);

/* Stored size of a record, 0 if its parts are beyond the format (over 1 GiB). */
size_t rill__record_stored_size(const rill_record *record);
/* Stored size of a batch of one such record. */
size_t rill__batch_size_of(const rill_record *record);

/* Adds a record. False if it does not fit: no room, or its timestamp is more
 * than 24 days from the first one's. value.data NULL with a size is reserved
 * room, zeroed; *value_at, if wanted, gets where the value is. */
bool rill__batch_add(struct batch *batch, const rill_record *record, int64_t now_ms,
                     uint8_t **value_at);
/* Writes the header but for what append assigns, and the content checksum. */
void rill__batch_seal(struct batch *batch);
/* One without records in their place, for the next `span` offsets, 1 to 2^31, into
 * the batch's BATCH_HEADER_SIZE bytes of data; sealed. */
void rill__batch_gap(struct batch *batch, uint32_t span);
/* The same, compressed into packed, whose data and capacity (batch->size is
 * enough) the caller has set: that is then the batch to append. packed->size is 0
 * if it would not become smaller, or has more than BATCH_RAW_MAX of records; then
 * `batch` is to be sealed itself. RILL_ERR_NO_MEMORY, RILL_ERR_UNSUPPORTED. */
int rill__batch_seal_packed(const struct batch *batch, struct codec *codec, int code, int level,
                            struct batch *packed);
/* A marker, sealed: the producer's transaction is committed, or aborted. */
enum { BATCH_MARKER_SIZE = 96 };
void rill__batch_marker(struct batch *batch, uint8_t room[BATCH_MARKER_SIZE], int64_t producer_id,
                        int16_t epoch, bool commit, int64_t now_ms);
/* The time of the append, into data, before it is stamped; only if the batch has
 * BATCH_APPEND_TIME. */
void rill__batch_set_time(uint8_t *data, int64_t time_ms);
/* What append assigns, written into data (not into batch->data). */
void rill__batch_stamp(uint8_t *data, uint64_t content, uint64_t salt, int64_t base_offset,
                       int32_t epoch);

/* All of a batch that stands for the lost records [base offset, end), at most 2^31 of
 * them: length bytes, a multiple of 8, 64 at least. */
void rill__batch_put_lost(uint8_t *data, size_t length, int64_t base_offset, int64_t end,
                          int32_t epoch, uint64_t salt);

/* What a batch header says. */
struct batch_view {
    const uint8_t *data;
    uint32_t length;
    uint32_t record_count;
    int64_t base_offset;
    int64_t end_offset; /* base offset + last offset delta + 1 */
    int64_t base_time;
    int64_t max_time;
    int32_t epoch;
    uint16_t attributes;
    int16_t producer_epoch;
    int32_t base_sequence; /* -1: none */
    int64_t producer_id;   /* -1: none */
    uint32_t raw_size;     /* of the records, before compression */
};

enum batch_state {
    BATCH_VALID,
    BATCH_NONE, /* a zero length: nothing was written here */
    BATCH_BAD   /* not a batch; *why says it */
};

/* Reads the header at data, of which room bytes may be read, once, into *view
 * and checks lengths and counts against each other. */
enum batch_state rill__batch_view(const uint8_t *data, size_t room, struct batch_view *view,
                                  const char **why);
bool rill__batch_is_control(const struct batch_view *view);
bool rill__batch_is_transactional(const struct batch_view *view);
/* The sequence that many records later. */
int32_t rill__sequence_after(int32_t sequence, uint32_t records);
/* Of a marker: committed, not aborted. */
bool rill__batch_is_commit(const struct batch_view *view);
/* Verifies the checksum. */
bool rill__batch_verify(const struct batch_view *view, uint64_t salt);
/* The one salt with which it would verify: every whole batch of a segment says the
 * same, a damaged one anything. */
uint64_t rill__batch_salt(const struct batch_view *view);

/* The records of any batch, to be walked: of a batch that is not compressed
 * *records is *view itself, and nothing else is needed; of a compressed one it is
 * what comes out, in `room`, which must have rill__batch_room(view) bytes, 8-byte
 * aligned, and lives as long as what is taken from it. view may be *records.
 * RILL_ERR_UNSUPPORTED an unknown codec or one that is not built in,
 * RILL_ERR_CORRUPT, RILL_ERR_NO_MEMORY. */
int rill__batch_records(const struct batch_view *view, struct codec *codec, void *room,
                        struct batch_view *records);
/* 0: none is needed, it is not compressed. Bounded by BATCH_RAW_MAX. */
size_t rill__batch_room(const struct batch_view *view);
/* Its codec's code; CODEC_NONE. */
int rill__batch_codec(const struct batch_view *view);

/* ---- What compaction makes of a batch (log/rewrite.c) ---- */

/* The content checksum of a batch that verifies, for stamping it elsewhere. */
uint64_t rill__batch_content(const struct batch_view *view, uint64_t salt);
/* The same of any header and records, by hashing them. */
uint64_t rill__batch_hash(const uint8_t *data);
/* A whole batch, compressed, into `to`, which has its size: its new size, or 0 if it
 * would not be smaller. */
int rill__batch_pack(const uint8_t *data, struct codec *codec, int code, uint8_t *to,
                     size_t *size);
/* The stored record at raw as one of a sparse batch: its size then, and its bytes
 * with its offset delta and a tombstone's stamp. */
size_t rill__record_sparse_size(const void *raw);
void rill__record_put_sparse(uint8_t *to, const void *raw, uint32_t delta, uint32_t stamp);
/* Of a tombstone that was compacted before; 0: it was not. */
uint32_t rill__record_stamp(const void *raw);

/* Walks the records of a viewed batch that is not compressed. Start with at = BATCH_HEADER_SIZE,
 * index = 0. False at the end, or with *bad set if the record at `at` runs out
 * of the batch. topic and partition of *record are left alone. */
struct record_walk {
    uint32_t at;
    uint32_t index;
};
bool rill__record_next(const struct batch_view *view, struct record_walk *walk,
                       rill_record *record, bool *bad);
/* Header number index of the stored record at raw. */
int rill__record_header(const void *raw, size_t index, rill_header *header);
/* Bytes of the stored record at raw. */
size_t rill__record_raw_size(const void *raw);
/* Copies the stored record that *record points into, of that size, to `to`
 * (8-byte aligned), and lets *record point there. topic stays. */
void rill__record_move(rill_record *record, size_t size, void *to);

#endif
