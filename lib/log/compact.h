/*
 * log/compact.h - what the files of compaction ask of each other.
 *
 *     compact.c   which segments, in which order; the commit point
 *     rewrite.c   one new segment out of one or several
 *     source.c    the batches of a segment, read and verified
 *     keymap.c    the last offset of every key
 */
#ifndef RILL_LOG_COMPACT_H
#define RILL_LOG_COMPACT_H
#include "log/inner.h"
#include "log/keymap.h"

/* Bytes that are read, and written, at once. Small in tests, so that batches lie
 * across two of them. */
#ifdef RILL_TEST
#define COMPACT_CHUNK 1024u
#else
#define COMPACT_CHUNK (1u << 20)
#endif

/* A sealed segment that may be compacted. */
struct piece {
    struct segment_header header;
    int64_t end;
    uint64_t used;    /* bytes of its batches */
    int64_t max_time; /* INT64_MIN: it has none, or it is not known */
};

/* ---- source.c ---- */

struct source {
    struct log *log;
    struct file file;
    uint64_t salt;
    uint64_t file_size;
    uint64_t position; /* of the next batch */
    int64_t offset;    /* of its first record */
    int64_t end;       /* of the last one's, plus 1 */
    int32_t epoch;     /* of the batch before */
    uint8_t *buffer;   /* of the file, from `from` on */
    size_t capacity;
    size_t used;
    uint64_t from;
    struct codec codec;
    uint8_t *room; /* of records that were compressed */
    size_t room_size;
};
void rill__source_init(struct source *source, struct log *log);
void rill__source_deinit(struct source *source);
/* RILL_ERR_NOT_FOUND: it was removed, because the log begins later now. */
int rill__source_open(struct source *source, const struct piece *piece);
/* The next batch, verified, or *more = false where the segment ends. It stays until
 * the next call. RILL_ERR_CORRUPT names the place. */
int rill__source_next(struct source *source, struct batch_view *view, bool *more);
/* Its records, decompressed if need be; they stay until the next call of this. */
int rill__source_records(struct source *source, const struct batch_view *view,
                         struct batch_view *records);
/* The next of them; one that is not whole is RILL_ERR_CORRUPT. */
int rill__source_record(const struct source *source, const struct batch_view *view,
                        struct record_walk *walk, rill_record *record, bool *more);

/* ---- rewrite.c ---- */

/* What is to stay. */
struct cleaning {
    const struct keymap *map; /* knows the keys and producers of all before `end` */
    int64_t end;              /* records from here on stay as they are */
    uint32_t stamp_s;         /* for tombstones that are compacted first */
    uint32_t expired_s;       /* tombstones with stamps up to this go */
};

/* What the map knows keys and producers by. */
struct hash128 rill__hash_key(rill_bytes key);
struct hash128 rill__hash_producer(int64_t producer);
/* What compaction does with the records of a batch. */
enum batch_part {
    BATCH_COUNTS,  /* each as its key tells */
    BATCH_ABORTED, /* they go, and supersede nothing: their transaction was aborted */
    BATCH_MARKER   /* nothing: it stays, so that a transaction keeps its end */
};
int rill__batch_part(struct log *log, const struct batch_view *view, enum batch_part *part);
/* Would anything of the piece go? Uses the source. */
int rill__cleaning_changes(const struct cleaning *cleaning, struct source *source,
                           const struct piece *piece, bool *changes);

struct rewrite_counts {
    uint64_t bytes_before; /* of batches */
    uint64_t bytes_after;
    uint64_t records_before;
    uint64_t records_after;
    uint64_t tombstones_removed;
};

/* A piece of memory that grows. */
struct room {
    uint8_t *data;
    size_t size;
};

/* A segment in the making: CLEAN_LOG and CLEAN_INDEX. */
struct rewrite {
    struct log *log;
    const struct cleaning *cleaning;
    struct source *source;
    struct segment made; /* its base, salt and end, and the index, in memory */
    struct file file;
    struct room buffer; /* of the file, what is not written yet */
    size_t used;
    uint64_t written;
    uint32_t index_count;
    uint32_t index_position;
    int64_t max_time;
    int32_t epoch;
    uint32_t tombstone_s; /* the smallest stamp; 0: none */

    /* The batch that was made last; a gap behind it may yet be added to it. */
    struct room held;
    uint32_t held_size; /* 0: none */
    bool held_hashed;   /* then this is the checksum of its content */
    uint64_t held_content;

    /* Offsets without a record, behind the held batch, and the header of the last
     * batch that was there. */
    bool gap;
    int64_t gap_from;
    int64_t gap_end;
    uint8_t gap_header[BATCH_HEADER_SIZE];

    struct room fates; /* what becomes of each record of a batch */
    struct room spare; /* for making a batch of another */
    struct rewrite_counts counts;
};
/* Begins a segment with that base. */
int rill__rewrite_begin(struct rewrite *rewrite, struct log *log, int64_t base,
                        const struct cleaning *cleaning, struct source *source);
/* What stays of the piece, which begins where the one before ended. */
int rill__rewrite_add(struct rewrite *rewrite, const struct piece *piece);
/* Bytes of batches so far; an estimate. */
uint64_t rill__rewrite_size(const struct rewrite *rewrite);
/* Both files are whole and synced. cleaned: what the header says. */
int rill__rewrite_end(struct rewrite *rewrite, int64_t cleaned);
/* Gives back memory and descriptors; the files stay. */
void rill__rewrite_deinit(struct rewrite *rewrite);

#endif
