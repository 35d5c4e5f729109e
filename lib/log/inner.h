/*
 * log/inner.h - struct log and what the files of log/ ask of each other.
 */
#ifndef RILL_LOG_INNER_H
#define RILL_LOG_INNER_H
#include "log/control.h"
#include "log/format.h"
#include "log/log.h"
#include "log/producers.h"
#include "log/segment.h"

/* File locks on the control file. */
enum { CONTROL_LOCK_RECOVERY = 0, CONTROL_LOCK_PREPARE = 1, CONTROL_LOCK_COMPACT = 2 };

/* What this process knows of the log's producers; see known.c. */
struct known {
    struct mutex lock; /* guards the rest; taken under append_lock, never before it */
    bool loaded;
    int64_t checkpoint_end;
    struct producers table;
};

/* A descriptor of a segment's file, for the next time. */
struct kept_file {
    int fd; /* -1: none */
    int64_t base;
};
#define KEPT_NONE ((struct kept_file){-1, -1})

struct log {
    struct log_config config;
    int32_t process_id; /* asking for it is a system call */
    struct file dir;    /* in the library never an open one */
    char *path;         /* = dir.below */
    struct map control_map;
    struct control *control; /* = control_map.data */

    struct mutex lock; /* guards the next six */
    int64_t *bases;    /* sorted base offsets of the segments known here */
    size_t base_count;
    size_t base_room;
    struct segment *segments; /* open ones, read or write */
    uint32_t idle_count;      /* of them, pinned by nobody */
    uint32_t holders;         /* those who hold all segments */
    uint32_t layout_seen;     /* control->layout, when the above were looked at last */
    _Atomic bool used;        /* since maintenance looked last; relaxed */

    struct segment *writer;       /* active segment, writable; under append_lock */
    struct kept_file writer_file; /* the same, for write calls; under append_lock */
    struct kept_file sync_file;   /* the segment last synced; under sync_lock */
    int64_t used_ms;              /* tick: when it saw that last; 0: nothing is kept; its own */

    _Atomic int64_t start_seen; /* log_start, when segments were forgotten last; relaxed */

    struct log_retention retention; /* what rill__log_retain was told last; the lock's too */
    int64_t retention_ms;           /* monotonic: when; 0: never; the same */
    int64_t retention_base;         /* the active segment then; the same */
    int64_t retention_end;          /* the log end then; the same */

    /* How far the writer's map of segment populated_base is write-faulted.
     * Hints; relaxed. */
    _Atomic int64_t populated_base;
    _Atomic uint32_t populated_end;

    struct known known;
};

/* ---- log.c: the segments this process knows and has open ---- */

/* The segment whose range holds offset: the largest base at or below it. */
int rill__log_base_of(struct log *log, int64_t offset, int64_t *base);
/* The base after `base`, -1 if base is the active one. */
int rill__log_base_after(struct log *log, int64_t base, int64_t *next);
/* Segment `base` comes after `before`, as the one who makes it knows. A directory of
 * very many takes long to read. */
void rill__log_note_base(struct log *log, int64_t before, int64_t base);
/* Reads the directory again. */
int rill__log_refresh(struct log *log);
/* Reads it, too: every base there is, sorted, also those above the active segment.
 * The caller frees *bases, also on error. */
int rill__log_list_bases(struct log *log, int64_t **bases, size_t *count);
/* Maps of read-only segments are for those only who have them: who pins one from now
 * on opens the file that now has the name. */
void rill__log_forget_maps(struct log *log);
void rill__log_forget_bases(struct log *log); /* they are read again when needed */
/* Forgets the segments before base, which are gone, and closes those that nobody
 * here has pinned: what has no name any more takes room until then. */
void rill__log_forget_before(struct log *log, int64_t base);
/* An open segment with one more reference. The process first says that it needs
 * it: who then finds in log_start (seq_cst) that some of the segment still belongs
 * to the log may rely on its bytes until it is unpinned. */
int rill__log_pin(struct log *log, int64_t base, bool writable, struct segment **segment);
void rill__log_unpin(struct log *log, struct segment *segment);
/* Closes what nobody pins: before a segment's name may come to mean another
 * file, and when the topic is gone. */
void rill__log_drop_idle(struct log *log);
/* From here until it is let go of, no file of the log is used for other bytes. */
void rill__log_hold(struct log *log);
void rill__log_let_go(struct log *log);
void rill__log_say(struct log *log, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Records a failed sync for all processes; returns the code to pass on. */
int rill__log_poison(struct log *log, int code);
/* Wakes the consumers that armed themselves. */
void rill__log_wake(struct log *log);

/* ---- kept.c ---- */

static inline void rill__log_use(struct log *log)
{
    if (!atomic_load_explicit(&log->used, memory_order_relaxed))
        atomic_store_explicit(&log->used, true, memory_order_relaxed);
}
int rill__log_open_control(struct log *log, struct file *file);
/* Locks the byte of the control file, as rill__file_lock does. */
int rill__log_lock_file(struct log *log, uint64_t byte, int timeout_ms, struct file *lock);
void rill__log_unlock_file(struct file *lock); /* FILE_NONE does nothing */
/* The file of segment base, the kept one if it is that; and giving it back. */
int rill__log_take_file(struct log *log, struct kept_file *kept, int64_t base, struct file *file);
void rill__log_put_file(const struct kept_file *kept, struct file *file);
/* Lets go of what is kept of segments before base. */
void rill__log_shed_before(struct log *log, int64_t base);
/* Lets go if nothing was used for a while; for maintenance. */
void rill__log_rest(struct log *log);
void rill__log_close_kept(struct log *log); /* the last */

/* ---- append.c ---- */

/* The append lock, with the tail repaired if its holder died, and the state
 * checked: on 0 the lock is held. */
int rill__log_lock(struct log *log, int64_t deadline_ns);
void rill__log_unlock(struct log *log);
/* Seals the active segment and makes the next; under the lock. */
int rill__log_roll(struct log *log, struct tail_copy *tail);
/* In how many ms the active segment will be old enough to be rolled; 0 and less: it
 * is; INT64_MAX: not before there is something in it. */
int64_t rill__log_roll_in(const struct log *log, const struct tail_copy *tail);

/* ---- sync.c ---- */

struct mark {
    uint64_t sequence;
    int64_t durable_end;
    int64_t segment; /* -1: no segment yet */
    uint32_t position;
    uint32_t index_count;
    int32_t epoch;
    bool open; /* a transaction was */
    int64_t log_start;
};
/* The newer valid one; RILL_ERR_CORRUPT if both are damaged. */
int rill__mark_read(const struct file *control_file, struct mark *mark);
/* The newer valid one, and which of them are: bit 0 the first, bit 1 the second. */
int rill__marks_look(const struct file *control_file, struct mark *mark, unsigned *valid);
/* Writes the copy that the sequence says. Not durable. */
int rill__mark_put(const struct file *control_file, const struct mark *mark);
/* Writes the older copy and syncs it. */
int rill__mark_write(const struct file *control_file, const struct mark *mark);
#define SYNC_WAIT_MS 10000 /* for whoever has it, in the background */
/* The lock that guards the marks and the files of sealed segments. */
int rill__log_lock_sync(struct log *log, int64_t deadline_ns);
void rill__log_unlock_sync(struct log *log);
/* Makes start, which is at most the log end, the log start, durably and in both
 * marks; not if that is there or beyond already. */
int rill__log_move_start(struct log *log, int64_t start, int64_t deadline_ns);

/* ---- recycle.c ---- */

/* Makes a segment that lies before the log start the prepared one, if there is none and
 * it will do. True: its files are gone. What fails is as if it would not do. */
bool rill__log_recycle(struct log *log, int64_t base);

/* ---- retain.c ---- */

/* After a roll: what rill__log_retain was told last, as far as it still holds. */
int rill__log_retain_again(struct log *log);
/* Removes the segments that lie before the log start; of this process' view too. */
int rill__log_sweep(struct log *log, struct log_retained *retained);
/* RILL_ERR_RANGE if the log begins behind offset, else 0. Of a segment that is
 * pinned: whether it still belongs to the log. */
int rill__log_check_start(const struct log *log, int64_t offset);
/* Makes the control file of a partition that no process has: nothing is shared,
 * both marks say the same. Durable. */
int rill__log_make_control(const struct file *dir, const struct mark *mark);
/* Makes all that is appended by now, *tail, durable, and both marks name its
 * segment: nothing before that is written to any more, whatever happens, but by
 * compaction, which renames others over it. */
int rill__log_settle(struct log *log, struct tail_copy *tail, int64_t deadline_ns);

/* ---- compact.c ---- */

/* Of an unfinished compaction: segments that a compacted one stands for are removed,
 * its index gets its place, and the files of one in the making are removed. Under
 * sync_lock, while nobody compacts; or while nobody uses the log. */
int rill__log_tidy(struct log *log);
/* The same if somebody died in the middle of a commit. Under sync_lock. */
int rill__log_settle_layout(struct log *log);
#define CLEAN_LOG "clean.tmp"
#define CLEAN_INDEX "clean-index.tmp"

/* ---- known.c ---- */

/* Under the append lock. 0: it may be appended, and tail->first_open is as it will be;
 * LOG_DUPLICATE, LOG_UNSETTLED, RILL_ERR_FENCED, RILL_ERR_SEQUENCE. */
int rill__log_check_batch(struct log *log, const struct batch *batch, struct tail_copy *tail,
                          int64_t *base_offset);
/* The batch, as it is stored, was appended there. */
void rill__log_note_batch(struct log *log, int64_t base_offset, const uint8_t *data, size_t size);
/* Where the earliest transaction begins that is open at end; INT64_MAX: none is. */
int rill__log_know_first_open(struct log *log, int64_t end, int64_t *first_open);

/* ---- recover.c ---- */

/* Brings files and control block of a log that no process uses into a state
 * to go on from. Under the exclusive file lock on the control file, which is given. */
int rill__log_recover(struct log *log, const struct file *control_file);
/* After the holder of append_lock died; the lock is held. */
int rill__log_repair(struct log *log);

#endif
