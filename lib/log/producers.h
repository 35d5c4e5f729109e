/*
 * log/producers.h - what a partition's log says about its producers.
 *
 * By producer id: its epoch, its last batches, its open transaction. All of it is in the
 * batches' headers; the table is a digest of those before `end`, and shown the next
 * batch it is one of those before the end of that. So it can be made anew at any time,
 * nobody's death harms it, and every process has its own.
 *
 * Pure: no clock, no I/O. Threads: the caller's lock.
 */
#ifndef RILL_LOG_PRODUCERS_H
#define RILL_LOG_PRODUCERS_H
#include "base/heap.h"
#include "log/batch.h"

enum { PRODUCER_BATCHES = 5 };

struct producer_batch {
    int64_t base_offset;
    int32_t first; /* sequences, of its first and its last record */
    int32_t last;
};

struct producer_state {
    int64_t id; /* -1: an empty place of the table */
    int16_t epoch;
    uint8_t batch_count;
    int64_t max_time;   /* of all its batches and markers, ms */
    int64_t open_first; /* first offset of its open transaction; -1: none */
    struct producer_batch batches[PRODUCER_BATCHES]; /* the latest is first */
};

/* A transaction that was aborted: what its producer has in [first, last) does not count. */
struct aborted {
    int64_t producer_id;
    int64_t first;
    int64_t last;       /* its marker */
    int64_t first_open; /* the earliest that was open behind it; INT64_MAX: none */
};

struct producers {
    struct heap *heap;
    struct producer_state *places; /* hashed by id, linear probing */
    size_t room;                   /* 0 or a power of two */
    size_t count;
    int64_t end;             /* all batches before it are in */
    struct aborted *aborted; /* in order of last */
    size_t aborted_count;
    size_t aborted_room;
};

void rill__producers_init(struct producers *p, struct heap *heap);
void rill__producers_deinit(struct producers *p);
/* Forgets everything: as if the log ended at `end`. */
void rill__producers_clear(struct producers *p, int64_t end);

/* The batch at p->end is in. One that begins behind it (its predecessors are gone) is
 * taken, too; one before it changes nothing. RILL_ERR_NO_MEMORY: it is not in. */
int rill__producers_note(struct producers *p, const struct batch_view *view);

/* NULL: nothing is known about it. Until the next note. */
const struct producer_state *rill__producers_find(const struct producers *p, int64_t id);

/* Whether a batch of count records may be appended. *base_offset gets that of the batch
 * that is there already. */
enum producer_verdict {
    PRODUCER_APPEND,
    PRODUCER_DUPLICATE,    /* it is in, at *base_offset */
    PRODUCER_FENCED,       /* a later epoch has been seen */
    PRODUCER_OUT_OF_ORDER, /* another sequence was expected, see rill__producers_expected */
};
enum producer_verdict rill__producers_check(const struct producers *p, int64_t id, int16_t epoch,
                                            int32_t sequence, uint32_t count,
                                            int64_t *base_offset);
/* The sequence of its next record; -1: any would do. */
int32_t rill__producers_expected(const struct producers *p, int64_t id);

/* The first offset of the earliest open transaction; INT64_MAX: none is open. */
int64_t rill__producers_first_open(const struct producers *p);
/* The same, once this producer's has ended. */
int64_t rill__producers_first_open_but(const struct producers *p, int64_t id);

/* Whether the batch, which is transactional and before the end of the table, was aborted. */
bool rill__producers_is_aborted(const struct producers *p, const struct batch_view *view);
/* Forgets aborted transactions that ended before the log start. */
void rill__producers_trim(struct producers *p, int64_t log_start);

/* Forgets producers without an open transaction whose last batch is before the time. */
void rill__producers_expire(struct producers *p, int64_t time_ms);

/* ---- As a file -------------------------------------------------------- */

/* Of the partition. */
uint64_t rill__producers_salt(const uint8_t topic_id[16], int32_t partition);
/* Bytes of a checkpoint, and writing it there. */
size_t rill__producers_stored_size(const struct producers *p);
void rill__producers_store(const struct producers *p, uint64_t salt, uint8_t *bytes);
/* False: these bytes are no checkpoint, or of another partition (salt); p is empty then. */
bool rill__producers_load(struct producers *p, uint64_t salt, const uint8_t *bytes, size_t size);

#endif
