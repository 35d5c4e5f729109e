/*
 * keyed.h - logs whose records have keys, and what compaction may make of them.
 *
 * Records are written as text: a letter is a record with that key, a capital one a
 * tombstone of the small letter's key, '.' a record without a key, '!' the marker at the
 * end of a transaction. What is in the
 * value, the headers and the time follows from the offset, so a record that is not as
 * it was given is noticed.
 */
#ifndef RILL_TEST_KEYED_H
#define RILL_TEST_KEYED_H
#include "logs.h"

enum { KEYED_MAX = 4096 };

/* What a batch is like; zero is the usual. */
struct keyed_batch {
    size_t value_size; /* 0: 8 and a few */
    int codec;         /* CODEC_* */
    uint16_t attributes;
    int64_t producer_id; /* 0: none */
    int16_t producer_epoch;
    int32_t base_sequence;
};

/* All that was ever appended. */
struct keyed {
    char kinds[KEYED_MAX]; /* the letter of each offset */
    uint16_t sizes[KEYED_MAX];
    bool closed[KEYED_MAX]; /* a control record */
    bool open[KEYED_MAX];   /* of a transaction that has not ended */
    bool aborted[KEYED_MAX];
    int64_t producers[KEYED_MAX];
    int64_t times[KEYED_MAX];
    int64_t end;
};

/* Appends a batch of these records. */
void keyed_append(struct log *log, struct keyed *k, const char *records);
void keyed_append_as(struct log *log, struct keyed *k, const char *records,
                     const struct keyed_batch *as);
/* Of that producer, who has written batches with BATCH_TRANSACTIONAL in that epoch. */
void keyed_end(struct log *log, struct keyed *k, int64_t producer_id, int16_t epoch, bool commit);
/* Batches of these records: "ab c  d" are three, of which the last is in a segment of its
 * own: a space ends a batch, two a segment, too. Then all is synced. */
void keyed_write(struct log *log, struct keyed *k, const char *batches);
/* The active segment is sealed. */
void keyed_roll(struct log *log);
/* Reads from an offset to the end of the log, checks every record against what was
 * appended, and tells what is there: "a0 c5 A7"; offsets go up. Until the next call. */
const char *keyed_text(struct log *log, const struct keyed *k, int64_t from);
/* As much as keyed_text, and it is that. */
void keyed_holds(struct log *log, const struct keyed *k, const char *expected);

/* Marks in `there` the offsets in [start, KEYED_MAX) that a text has; how many. */
int64_t keyed_parse(const char *text, bool there[KEYED_MAX]);
/* What must be, whatever compaction has done or not by now: NULL, or what is wrong. Of
 * each key the last record from start on, unless it is a tombstone; all that is not
 * before `dirty`; all without a key; and nothing that a later tombstone has hidden
 * without that tombstone. */
const char *keyed_wrong(const struct keyed *k, int64_t start, int64_t end, int64_t dirty,
                        const bool there[KEYED_MAX]);
/* Besides, that all is gone that can be: of each key only the last record before
 * `clean` is there. */
const char *keyed_unclean(const struct keyed *k, int64_t start, int64_t clean,
                          const bool there[KEYED_MAX]);

/* What compaction is asked for: all, at a time of 1,000,000 s, tombstones stay an
 * hour. */
struct log_compaction keyed_compaction(void);
/* Compacts so; must succeed and finish. */
struct log_compaction_report keyed_compact(struct log *log);

#endif
