/*
 * log/log.h - one partition: an append-only sequence of batches in segments.
 *
 * The door of log/. A struct log is this process' view of a partition; what
 * the processes share is in its files and its control block (log/control.h).
 *
 * Threads: any thread may call anything here on a log; a cursor belongs to one
 * thread at a time. Locks, in the order in which they may be taken:
 *     sync lock (shared)  ->  append lock (shared)  ->  log->lock (private)
 */
#ifndef RILL_LOG_LOG_H
#define RILL_LOG_LOG_H
#include "log/batch.h"
#include "log/check.h"
#include "log/repair.h"
#include "os/os.h"
#include "os/thread.h"

/* Words in shared memory on which consumers sleep. A consumer owns one of the
 * slots (slots may be shared); a partition's control block has a bit per slot. */
#define WAKE_SLOTS 64
struct wake_slot {
    _Atomic uint32_t sequence; /* any appender adds 1, then wakes */
    uint32_t pad[15];
};

/* What a log needs to know about its place. Lives as long as the log. */
struct log_config {
    struct heap *heap;
    uint8_t topic_id[16];
    int32_t partition;
    uint32_t index_interval_bytes;
    /* These may change while others read them: see rill__log_configure. */
    _Atomic uint64_t segment_bytes; /* of the next segment; those there have their own */
    _Atomic uint32_t segment_ms;
    _Atomic uint32_t segment_jitter_ms; /* segments roll up to so much younger, each by a
                                           share of its own */
    _Atomic uint32_t cleanup_policy;    /* RILL_CLEANUP_* */
    _Atomic uint32_t timestamp_type;    /* RILL_TIMESTAMP_* */
    _Atomic uint64_t retention_ms;      /* 0: for ever */
    _Atomic uint64_t retention_bytes;
    _Atomic uint64_t delete_retention_ms;
    _Atomic uint64_t min_compaction_lag_ms;
    _Atomic uint32_t min_dirty_ppm; /* min_cleanable_dirty_ratio, in millionths, from 1 */
    /* These may not. */
    uint32_t sync_interval_ms;
    uint64_t incarnation; /* of the store: this run of processes; not 0 */
    uint32_t process;     /* this one's number among the store's, below 256 */
    uint8_t boot_id[16];
    bool copy_on_write;           /* the file system rewrites elsewhere: see pitfalls */
    struct wake_slot *wake_slots; /* WAKE_SLOTS of them, shared */
    void (*say)(void *arg, int level, const char *line);
    void *say_arg;
    /* Called by the append that passes the half of a segment of 2 MiB or more, by which
     * rill__log_maintain prepares the next one; without a lock of the log. NULL: nobody
     * wants to know. */
    void (*next_due)(void *say_arg);
    /* Called by recovery before the log may be used, when the end may be lower
     * than other parts of the store believe. Nonzero fails the open. */
    int (*recovered)(void *arg, int64_t log_end);
    void *recovered_arg;
    _Atomic uint32_t *idle_segments; /* of all logs of the store, see log.c; relaxed */
    _Atomic uint32_t *kept_files;    /* the same, see kept.c */
    /* Whether the process with that number is gone; false in doubt. NULL: always. */
    bool (*process_is_gone)(void *arg, uint32_t process);
    void *process_arg;
    _Atomic uint64_t *mapped_bytes; /* statistics, relaxed */
    _Atomic uint64_t *syncs;
    _Atomic uint64_t *rolls;
    _Atomic uint64_t *deletions; /* of segments that lay before the log start */
    _Atomic uint64_t *recoveries;
    _Atomic uint64_t *wakeups;
};

struct log;

/* Makes the files of an empty partition in the empty directory dir; durable
 * when the caller has synced dir's parent. */
int rill__log_create(const struct file *dir);
/* Opens, after recovery if this incarnation has not yet used it. Takes dir, which
 * may be one that is not open (rill__dir_below): its path is copied. */
int rill__log_open(const struct log_config *config, struct file *dir, int timeout_ms,
                   struct log **log);
/* Takes over what may change in a configuration; each value by itself: who reads
 * two of them may find one old and one new. */
void rill__log_configure(struct log *log, const struct log_config *config);
/* No cursor may be open. */
void rill__log_close(struct log *log);
/* Lets go of descriptors, maps and memory that are kept for the next use. */
void rill__log_shed(struct log *log);
/* Tells every process that the topic is gone. */
void rill__log_mark_deleted(struct log *log);
/* The same for who has it not open; what recovery is doing meanwhile is lost on it. */
void rill__log_mark_deleted_at(const struct file *dir, struct wake_slot *wake_slots);
/* For who has it not open: may something of it, in the directory dir, be not durable?
 * What was there when the machine booted is durable. boot_id: of this boot. */
int rill__log_needs_sync(const struct file *dir, const uint8_t boot_id[16], bool *needs);
/* All of it is durable, and the mark says so. */
bool rill__log_is_clean(const struct log *log);

int64_t rill__log_start(const struct log *log);   /* relaxed reads of shared words */
int64_t rill__log_end(const struct log *log);     /* acquire */
int64_t rill__log_durable(const struct log *log); /* acquire */
int32_t rill__log_epoch(const struct log *log);
/* RILL_ERR_POISONED, RILL_ERR_NOT_FOUND (deleted) or 0. Cheap: two loads. */
int rill__log_state(const struct log *log);
bool rill__log_is_deleted(const struct log *log); /* relaxed */
/* How many segments there are from the log start on, and what their files hold. */
int rill__log_segments(struct log *log, uint32_t *count, uint64_t *bytes);

/* What stands in the way of whom; a glance without any lock. */
struct log_view {
    int64_t start;
    int64_t end;
    int64_t durable;
    int32_t epoch;
    int32_t append_owner; /* pid, 0: nobody holds the lock */
    int64_t append_since_ms;
    int32_t sync_owner;
    int64_t sync_since_ms;
    uint32_t poison; /* RILL_ERR_ of the sync that failed, negated; 0: none */
    bool deleted;
    uint32_t sleepers; /* wake slots that the next append wakes */
};
void rill__log_look(const struct log *log, struct log_view *view);
/* The base of the oldest segment that a process has pinned; -1: none. */
int64_t rill__log_pinned_by(const struct log *log, uint32_t process);

/* Attributes of batches that are built for it, as it is configured now. */
uint16_t rill__log_attributes(const struct log *log);
/* Appends a sealed batch and publishes it. batch->append_ms is set. through_file: by write calls
 * rather than by stores to the map, which costs less when a sync follows at once. Nothing is
 * published on error. Cost: no allocation; no system call but one populate per MiB, one write if
 * through_file, a wake if a consumer sleeps, and what a roll takes. */
int rill__log_append(struct log *log, struct batch *batch, bool through_file, int64_t deadline_ns,
                     int64_t *base_offset);

/* Of a batch that is to be checked: it is there already, *base_offset says where; of a marker:
 * there is nothing to end. Not an error: nothing was appended. */
#define LOG_DUPLICATE 2
/* Of a batch of a transaction: an earlier one of its producer is open there still. It must be
 * ended first, or its records would become part of this one. Nothing was appended. */
#define LOG_UNSETTLED 3

/* Moves the log end up to `to`, if it is below: the offsets before it get no records.
 * Others that append at the same time may move it further. */
int rill__log_skip(struct log *log, int64_t to, int64_t deadline_ns);

/* In place: room for a batch of `size` bytes in the segment. The append lock
 * is held, by this thread, until commit or abandon. */
int rill__log_reserve(struct log *log, size_t size, int64_t deadline_ns, uint8_t **room);
/* The room holds a batch that was built there and sealed. */
int rill__log_commit(struct log *log, struct batch *batch, int64_t *base_offset);
void rill__log_abandon(struct log *log);

/* Returns when all records before end are durable. Whoever comes first syncs
 * for all that is there. RILL_ERR_TIMEOUT, _POISONED, _IO: outcome unknown. */
int rill__log_sync(struct log *log, int64_t end, int64_t deadline_ns);

/* ---- Producers and transactions: known.c ------------------------------ */

/* Where what may change yet begins: the first offset of the earliest open transaction, or the
 * log end. Wait-free. */
int64_t rill__log_stable(const struct log *log);
int64_t rill__log_first_open(const struct log *log); /* INT64_MAX: no transaction is open */
/* Ends the transaction that the producer has open in that epoch or before, if it has: appends
 * the marker, of the epoch behind it. */
int rill__log_end_transaction(struct log *log, int64_t producer_id, int16_t epoch, bool commit,
                              bool through_file, int64_t deadline_ns);
struct open_transaction {
    int64_t producer_id;
    int16_t epoch;
    int64_t first;
};
/* Those that are open, at most max at once; *from, 0 at first, says where the next call goes on.
 */
int rill__log_open_transactions(struct log *log, size_t *from, struct open_transaction *open,
                                size_t max, size_t *count);
/* Of a transactional batch before rill__log_stable. */
int rill__log_is_aborted(struct log *log, const struct batch_view *view, bool *aborted);
/* The sequence that the producer's next record has; -1: nothing is known of it. */
int rill__log_expected(struct log *log, int64_t producer_id, int32_t *sequence);
/* Writes what is known of producers, if anybody has asked, if all that is durable, and if it is
 * of so many more records than the last time. Producers whose last batch is older than the
 * partition's newest one by expiration_ms are forgotten: records' times only, no clock. */
int rill__log_checkpoint_producers(struct log *log, uint64_t expiration_ms, uint64_t every);

/* Syncs all there is and writes the mark; before a close. */
int rill__log_checkpoint(struct log *log);

/* ---- Retention -------------------------------------------------------- */

/* Moves the log start up to `before`: who wants what is before it gets
 * RILL_ERR_RANGE, and segments that lie before it whole are removed. INT64_MAX
 * means all there is, else RILL_ERR_RANGE beyond the end. *start (may be NULL) gets
 * where the log begins now. Durable on return. An error but RILL_ERR_TIMEOUT and
 * RILL_ERR_RANGE leaves open whether it has moved. */
int rill__log_delete_before(struct log *log, int64_t before, int64_t deadline_ns, int64_t *start);

/* What may go: whole segments, the oldest first, each for any of three reasons. */
struct log_retention {
    uint64_t retention_ms; /* its largest timestamp is so old; 0: for ever */
    /* The segments after it, of the active one what is written, have so many bytes
     * without it; 0: no limit. */
    uint64_t retention_bytes;
    int64_t consumed; /* all of it is before this offset; 0: not for this reason */
    /* What time it is, and how far that can be believed. */
    int64_t wall_now_ms;
    int64_t ahead_ms;  /* the clock may have jumped ahead by this much */
    int64_t steady_ms; /* but has been going on steadily for so long */
    /* A timestamp before this one is of a clock that was not set when it was taken, and
     * says nothing of its age; what bears it is as old as what comes after it. 0: none is. */
    int64_t not_set_ms;
};
struct log_retained {
    uint32_t segment_count; /* removed */
    uint64_t bytes;
    int64_t log_start;
};
/* Removes what may go, and what an earlier removal left whose process died. An
 * active segment that is too old is rolled first. retained may be NULL.
 * Until it is called again, maintenance of this process does the same whenever a
 * segment was rolled, so that the oldest one becomes the next; for reasons of age and
 * size, as they are in the configuration then, and by a clock that only goes on. What
 * is appended after a call is not old before the next one: the clock may have been set
 * back. */
int rill__log_retain(struct log *log, const struct log_retention *what,
                     struct log_retained *retained);
/* Whether a segment with this largest timestamp is too old. A clock that jumped
 * ahead is believed once it has been steady for retention_ms. */
bool rill__log_is_old(const struct log_retention *what, int64_t max_time);

/* Background work: a sync and mark that are due, a roll by age, the next
 * segment. *next_ms is lowered to when there is more to do. */
int rill__log_maintain(struct log *log, uint32_t *next_ms);

/* The end that a log has at some moment. */
struct log_moment {
    int64_t end;
    int64_t base; /* of the active segment; -1: there is none yet */
    uint32_t position;
    int32_t epoch;
};
void rill__log_moment(const struct log *log, struct log_moment *moment);

/* How to copy a partition, and what came of it. */
struct log_copy {
    const struct log_moment *at; /* an end that it has had; NULL: that of now */
    bool link;   /* sealed segments are to be second names of the same files; false
                    on return: that cannot be there, they were copied */
    bool verify; /* every checksum of what the copy has: RILL_ERR_CORRUPT */
    int (*told)(void *arg, uint64_t bytes); /* so many more are there; nonzero stops it
                                               and is returned. NULL: nobody is told */
    void *arg;
    int64_t end; /* the log end of the copy */
};
/* Makes in the empty directory `to` a partition that has all that this one had at
 * that moment: nothing from before the log start, all to the log end, whatever is
 * appended, removed and compacted meanwhile. All of it is durable, the
 * names when the caller has synced `to`'s parent. What an error leaves in `to`
 * means nothing. See log/copy.c. */
int rill__log_copy(struct log *log, const struct file *to, struct log_copy *copy,
                   int64_t deadline_ns);

/* From now on an append, or a durable end that moved, wakes the slot, once. */
void rill__log_arm(struct log *log, uint32_t slot);

/* ---- Compaction (log/compact.c) ---------------------------------------- */

struct log_compaction {
    int64_t limit;                /* segments that end beyond it stay as they are */
    int64_t now_ms;               /* by the wall clock, */
    int64_t ahead_ms;             /* which may have jumped ahead by so much */
    uint64_t delete_retention_ms; /* for so long a tombstone stays once it was compacted */
    uint64_t min_lag_ms;          /* segments with younger records stay as they are */
    double min_dirty_ratio;       /* while less is dirty, nothing is done; 0: always */
    uint64_t memory_bytes;        /* for the key map; with less it takes more passes */
    int64_t deadline_ns;          /* asked between segments; INT64_MAX: there is none */
    bool (*stop)(void *arg);      /* the same; NULL: nobody asks */
    void *stop_arg;
};
struct log_compaction_report {
    /* Of what was rewritten, batches with their headers. */
    uint64_t bytes_before;
    uint64_t bytes_after;
    uint64_t records_before;
    uint64_t records_after;
    uint64_t tombstones_removed; /* of the records, those whose time was over */
    uint32_t segments_before;
    uint32_t segments_after;
    uint32_t passes;    /* over the whole log; 0: there was nothing to do */
    double dirty_ratio; /* as it was before: bytes not yet compacted to all */
    bool finished;      /* false: stopped in between, the next call goes on */
};
/* Closes the active segment, if anything is in it, and syncs: all that was appended
 * may be compacted then. */
int rill__log_seal(struct log *log, int64_t deadline_ns);
/* Leaves of each key, in all that is sealed, durable and not kept by *what, the
 * last record. Offsets and order stay; so do records without a key. One at a
 * time in all processes: RILL_ERR_BUSY. What is damaged stays, and what is
 * behind it: RILL_ERR_CORRUPT. *report is also filled in on error. */
int rill__log_compact(struct log *log, const struct log_compaction *what,
                      struct log_compaction_report *report);

/* ---- Reading ---------------------------------------------------------- */

struct segment;
struct log_cursor {
    struct log *log;
    struct segment *segment;  /* pinned; NULL: the log has no segment yet */
    struct segment *previous; /* pinned until rill__cursor_release */
    uint32_t position;        /* of the next batch in segment */
    int64_t offset;           /* of the next record */
    int64_t segment_end;      /* where segment ends and the next begins; -1: not known */
};

void rill__cursor_init(struct log_cursor *cursor, struct log *log);
void rill__cursor_deinit(struct log_cursor *cursor);
/* To the batch that holds offset; RILL_ERR_RANGE outside [start, end];
 * RILL_ERR_CORRUPT if it is in a damaged place, or its segment is missing. Damage
 * before it is walked around. */
int rill__cursor_seek(struct log_cursor *cursor, int64_t offset);
/* The next whole batch that lies before end (a log end or durable end), or
 * view->record_count = 0. verify: its checksum. RILL_ERR_CORRUPT leaves the
 * cursor before the batch; so does RILL_ERR_RANGE: it lies before the log start by
 * now, in a segment that the cursor has not yet come to. */
int rill__cursor_next(struct log_cursor *cursor, int64_t end, bool verify,
                      struct batch_view *view);
/* Back to before the batch that rill__cursor_next has just given. */
void rill__cursor_back(struct log_cursor *cursor, const struct batch_view *view);
/* The same, also of batches without records, which compaction leaves; *more: there was one.
 */
int rill__cursor_step(struct log_cursor *cursor, int64_t end, bool verify,
                      struct batch_view *view, bool *more);
/* Lets go of the segment before, which records handed out may point into. */
void rill__cursor_release(struct log_cursor *cursor);
/* First record at or after time; RILL_OFFSET_NONE. */
int rill__log_offset_for_time(struct log *log, int64_t time_ms, int64_t *offset);

#endif
