/*
 * log/salvage.h - what the files that repair a partition ask of each other.
 */
#ifndef RILL_LOG_SALVAGE_H
#define RILL_LOG_SALVAGE_H
#include "log/chain.h"
#include "log/repair.h"
#include "log/scan.h"
#include "log/verify.h"

#define SALVAGE_TMP "repair.tmp"
#define GAP_OFFSETS_MAX (INT64_C(1) << 31) /* in one batch */

/* Tells it; what done returned. */
int rill__salvage_told(const struct log_salvage *salvage, rill_repair_action action,
                       const char *format, ...) __attribute__((format(printf, 3, 4)));
rill_repair_action rill__salvage_action(int32_t kind, const char *file);

/* ---- left.c: what is left of a segment ---- */

/* A batch that is kept. */
struct kept {
    int64_t base;
    int64_t end;
    uint64_t position;
    uint32_t length;
    int32_t epoch;
};

struct rebuild {
    const struct log_salvage *salvage;
    const struct chain *chain;
    int64_t base;
    char name[SEGMENT_NAME_SIZE];
    struct file old; /* FILE_NONE: there is none that can be read */
    uint64_t old_size;
    struct batch_scan scan;

    uint8_t header[SEGMENT_HEADER_SIZE];
    uint64_t salt;
    uint64_t size;
    bool has_salt;
    bool has_header;        /* header is the old one's, and sound */
    bool keeps_places;      /* marks or words name places in it */
    int64_t must_end;       /* up to here there are offsets; -1: as far as batches go */
    uint64_t must_position; /* and they end here; 0: wherever */
    int64_t limit;          /* no batch beyond */

    struct kept *kept;
    size_t count;
    size_t room;
    int32_t epoch_before;
    struct file out;
    uint64_t at; /* in out */
    int64_t offset;
    int32_t epoch;
    const char *where; /* in quarantine */
};

/* The old file, if it can be read: its header, its salt, how far the segment goes, and
 * the batches that are kept, in the order of their offsets. */
int rill__rebuild_look(struct rebuild *rebuild);
/* Bytes that a gap of so many offsets needs at least. */
static inline uint64_t rill__gap_room(int64_t offsets)
{
    return ((uint64_t)((offsets - 1) / GAP_OFFSETS_MAX) + 1) * BATCH_HEADER_SIZE;
}
int rill__rebuild_epoch(struct rebuild *rebuild);

/* ---- rebuild.c ---- */

/* The segment anew from the batches that are left in it; gaps between them. */
int rill__salvage_segment(const struct log_salvage *salvage, const struct chain *chain,
                          int64_t base);
/* A segment of nothing but a gap, in place of one that is not there. */
int rill__salvage_gap(const struct log_salvage *salvage, const struct chain *chain, int64_t first,
                      int64_t end);

/* ---- reindex.c ---- */

/* The index of a segment that is sound; last: it is the active one. */
int rill__salvage_index(const struct log_salvage *salvage, int64_t base, bool last);

#endif
