/*
 * log/control.h - the words of a partition that all processes share.
 *
 * Page 0 of the partition's control file, mapped by every process that has
 * the partition open and never unmapped while one of its locks is held. Its
 * layout is the machine's own (atomics, mutexes), so it is stamped with an ABI
 * number and thrown away when that or the incarnation differs: after a reboot,
 * or when the last process of a store has gone, recovery writes it anew.
 *
 * The tail exists twice. The holder of append_lock fills the copy that is not
 * in use and then adds 1 to tail_version: that store is the commit point of an
 * append. Whatever instruction a process dies at, the tail in use is whole.
 * log_end, which readers look at, follows, and recovery makes it follow.
 *
 *     reserve: intent_end = end of what will be overwritten
 *     fill:    batch bytes between the tail and intent_end
 *     commit:  other tail copy, tail_version + 1
 *     publish: active_base, log_end; then wake who sleeps
 */
#ifndef RILL_LOG_CONTROL_H
#define RILL_LOG_CONTROL_H
#include "os/thread.h"
#include <assert.h>

#define CONTROL_MAGIC UINT64_C(0x344c544343494c52) /* ends with the layout's number */
#define CONTROL_PROCESSES 256
#define CONTROL_LINE _Alignas(128)

/* One copy of the tail; written under append_lock, read by anyone, see
 * rill__control_tail. */
struct tail {
    _Atomic int64_t base;            /* active segment; -1: none yet */
    _Atomic int64_t end_offset;      /* of the next record */
    _Atomic int64_t max_time;        /* largest timestamp in the segment */
    _Atomic int64_t created_ms;      /* of the segment's first append; 0: empty */
    _Atomic int64_t first_open;      /* of the earliest open transaction; INT64_MAX: none */
    _Atomic uint32_t position;       /* where the next batch goes */
    _Atomic uint32_t index_count;    /* entries of the active index */
    _Atomic uint32_t index_position; /* of the batch that the last entry names */
    _Atomic int32_t epoch;
};

/* A copy of it, in private memory. */
struct tail_copy {
    int64_t base;
    int64_t end_offset;
    int64_t max_time;
    int64_t created_ms;
    int64_t first_open;
    uint32_t position;
    uint32_t index_count;
    uint32_t index_position;
    int32_t epoch;
};

struct control {
    /* written by recovery under the file's lock; incarnation last, release */
    uint64_t magic;
    uint64_t abi;
    uint8_t boot_id[16];
    _Atomic uint64_t incarnation;

    CONTROL_LINE struct shared_mutex append_lock; /* guards the tail and the active segment */
    _Atomic int32_t append_owner;                 /* pid of the holder, for people; relaxed */
    _Atomic int64_t append_since_ms;              /* coarse monotonic; same */

    CONTROL_LINE struct shared_mutex sync_lock; /* one syncer at a time; guards the marks */
    _Atomic int64_t mark_end;                   /* durable end of the last mark */
    _Atomic int64_t mark_ms;                    /* monotonic ms of the last mark */
    _Atomic uint64_t mark_sequence;
    _Atomic int64_t directory_base; /* largest segment whose name is durable */
    _Atomic int32_t sync_owner;     /* pid of the holder, for people; relaxed */
    _Atomic int64_t sync_since_ms;  /* coarse monotonic; same */

    CONTROL_LINE _Atomic uint32_t tail_version; /* release by append_lock's holder */
    _Atomic uint32_t intent_end;                /* position; same writer */
    struct tail tails[2];

    CONTROL_LINE _Atomic int64_t log_end; /* seq_cst by append_lock's holder; readers acquire */
    _Atomic int64_t active_base;          /* stored before log_end */
    _Atomic int64_t first_open;           /* as the tail's; stored before log_end when it falls,
                                             after it when it rises; seq_cst */
    _Atomic uint32_t tail_position;       /* hints for pre-faulting and preparing; relaxed */
    _Atomic uint32_t active_size;         /* of the active segment's file */

    CONTROL_LINE _Atomic uint64_t waiters; /* bit per wake slot: set by sleepers, cleared
                                              by whoever wakes them; seq_cst */

    CONTROL_LINE _Atomic int64_t durable_end; /* release by sync_lock's holder */
    _Atomic uint32_t durable_sequence;        /* futex: changes after every sync */

    CONTROL_LINE _Atomic int64_t log_start; /* by sync_lock's holder, once both marks say it;
                                               seq_cst, see pins */
    _Atomic int64_t swept;   /* no segment lies before this. Below log_start: who moved that
                                has not removed them, or has died over it */
    _Atomic uint32_t layout; /* by sync_lock's holder: changes when sealed segments are
                                replaced by others; odd meanwhile, or if he died */
    _Atomic uint32_t poison; /* negated code of what failed; set once, by anyone */
    _Atomic uint32_t deleted;

    /* By process slot: 1 + the base of the oldest segment that the process has
     * pinned, 0: none. Each writes its own; what one that is gone left does not
     * count. seq_cst: a reader sets its pin, then looks at log_start; a file is
     * used again by somebody who set log_start first, and then looks at the pins. */
    CONTROL_LINE _Atomic int64_t pins[CONTROL_PROCESSES];
};

static_assert(sizeof(struct control) <= 4096, "the shared words fit in page 0");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must not need a lock");

/* A consistent copy of the tail, without the lock. */
void rill__control_tail(const struct control *control, struct tail_copy *copy);
/* Makes copy the tail; under append_lock. */
void rill__control_set_tail(struct control *control, const struct tail_copy *copy);

#endif
