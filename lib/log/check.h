/*
 * log/check.h - the files of a partition looked through, whoever writes them
 * meanwhile. Part of the door, log/log.h.
 *
 * Nothing is opened as a log is, no lock is taken, nothing is changed. What is
 * told as damage was looked at twice: the second time to see that the file is
 * still the same one, and still part of the log.
 */
#ifndef RILL_LOG_CHECK_H
#define RILL_LOG_CHECK_H
#include "base/heap.h"
#include "os/os.h"

struct log_check {
    struct heap *heap;
    const struct file *dir; /* of the partition */
    uint8_t topic_id[16];
    int32_t partition;
    uint8_t boot_id[16]; /* of this boot */
    bool alone;          /* nobody is in the store: what is left over is told too */
    bool from_disk;      /* the cache is dropped first, where nobody has it mapped */
    /* Nonzero stops, and is returned. damage->file is a name in dir; topic and
     * partition are the caller's to fill in. All of it until the function returns. */
    int (*found)(void *arg, rill_damage *damage);
    /* So many more bytes of the files are done. */
    int (*passed)(void *arg, uint64_t bytes);
    void *arg;
};

/* What there is. */
struct log_census {
    int64_t start;
    int64_t end;
    bool exact;        /* the end is the shared words', and not what recovery will find */
    bool deleted;      /* the topic was, meanwhile */
    int64_t last_base; /* the segment where it ends, -1: there is none; and the place there */
    uint32_t last_position;
    int32_t epoch; /* of the last batch */
    uint64_t segment_count;
    uint64_t batch_count;
    uint64_t record_count;
};

int rill__log_check(const struct log_check *check, struct log_census *census);
/* Bytes that a check of the partition passes, about. */
int rill__log_check_size(const struct file *dir, uint64_t *bytes);
/* Where the log starts and ends by now, if the shared words say so. */
bool rill__log_check_ends(const struct log_check *check, int64_t *start, int64_t *end);

/* ---- What one file holds: dump.c -------------------------------------- */

enum log_file_kind { LOG_FILE_SEGMENT, LOG_FILE_INDEX, LOG_FILE_CONTROL };
int rill__log_dump(struct heap *heap, const struct file *file, enum log_file_kind kind,
                   int (*visit)(void *arg, const rill_item *item), void *arg);

#endif
