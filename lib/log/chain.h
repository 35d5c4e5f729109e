/*
 * log/chain.h - what a partition's control file and directory say about its
 * segments: where the log begins, up to where records must be there, and which
 * files there are.
 *
 * Read-only, and beside processes that write. A chain is looked at again when
 * something that was to be called damage has moved meanwhile.
 */
#ifndef RILL_LOG_CHAIN_H
#define RILL_LOG_CHAIN_H
#include "log/check.h"
#include "log/inner.h"

/* The shared words, as far as they count. */
struct words {
    bool count;      /* they are of this boot, and plausible: the tail is exact */
    const char *odd; /* they are of this boot, and not plausible: why */
    uint32_t poison;
    bool deleted;
    uint64_t incarnation;
    int64_t start;
    int64_t durable;
    struct tail_copy tail;
};

struct chain {
    struct heap *heap;
    const struct file *dir;
    const uint8_t *boot_id;

    const char *control_wrong; /* NULL: the control file can be read */
    bool control_unreadable;   /* the device does not give it */
    struct words words;
    bool distrusted;      /* the words were found to be wrong: they do not count */
    struct mark mark;     /* the newer valid one */
    unsigned marks_valid; /* bit 0: the one at MARK_A_AT, bit 1: at MARK_B_AT */
    int64_t start;        /* first offset that is part of the log, -1: not known */
    int64_t must;         /* records before are in the log; INT64_MAX: not known */
    int64_t *bases;       /* of the segments' files, sorted */
    bool *visited;        /* those that were followed */
    size_t count;
    size_t room;
};

void rill__chain_init(struct chain *chain, struct heap *heap, const struct file *dir,
                      const uint8_t *boot_id);
void rill__chain_deinit(struct chain *chain);
/* Looks, for the first time or again; what was visited stays so. */
int rill__chain_look(struct chain *chain);
/* The control file only. An error: it may be well, but cannot be looked at. */
int rill__chain_look_at_control(struct chain *chain);

bool rill__chain_has(const struct chain *chain, int64_t base);
/* The first base greater than offset; INT64_MAX: none. */
int64_t rill__chain_after(const struct chain *chain, int64_t offset);
/* The base of the segment that the offset would be in; -1: none begins before it. */
int64_t rill__chain_before(const struct chain *chain, int64_t offset);

#endif
