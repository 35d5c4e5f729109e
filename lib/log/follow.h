/*
 * log/follow.h - following a log from segment to segment, for a check.
 */
#ifndef RILL_LOG_FOLLOW_H
#define RILL_LOG_FOLLOW_H
#include "log/chain.h"
#include "log/verify.h"

/* Why following ends, besides errors. */
enum { FOLLOW_MOVED = 1, FOLLOW_STOPPED, FOLLOW_DELETED };

struct follow {
    const struct log_check *check;
    struct log_census *census;
    struct chain chain;
    int64_t offset; /* next record; -1: not begun */
    int32_t epoch;
    int moves;   /* how often something has moved meanwhile */
    int stopped; /* what the caller's function returned */
    int waits;   /* how often an index was waited for */
    bool ended;
    bool codec_told;

    /* the segment that is followed */
    struct file file;
    char name[SEGMENT_NAME_SIZE];
    int64_t base;
    uint64_t size;
    struct written_header header;
    int64_t compacted_end; /* where it says itself that it ends; -1: it does not say */
    uint64_t passed;
};

rill_damage rill__damage_of(int32_t kind, int32_t severity, const char *file);
/* Tells it, with the text; FOLLOW_STOPPED. */
int rill__follow_tell(struct follow *follow, rill_damage damage, const char *repair,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The second look: 0, what was seen of the file is so still, and matters. file:
 * FILE_NONE if there was none of that name. */
int rill__follow_look_twice(struct follow *follow, const char *name, const struct file *file);
/* Where the log can go on behind an offset whose record is not there. */
int64_t rill__follow_hole_end(const struct follow *follow, int64_t offset);
/* No segment begins at follow->offset, though records must be there. */
int rill__follow_missing(struct follow *follow);
/* The segment that begins at follow->offset; to its end. */
int rill__follow_segment(struct follow *follow);

#endif
