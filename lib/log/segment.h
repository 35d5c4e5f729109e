/*
 * log/segment.h - one segment file and its index, mapped.
 *
 * A struct segment is a mapping in this process, shared by reference count:
 * cursors pin what they point into, so unlinking a file never pulls memory
 * from under a record that was handed out. Mapping is dear: some that nobody
 * pins any more are kept. Segments never change size.
 *
 * Threads: rill__segment_* are called with the log's private lock held unless
 * they say otherwise; base, salt, size and the maps never change after open.
 */
#ifndef RILL_LOG_SEGMENT_H
#define RILL_LOG_SEGMENT_H
#include "log/log.h"

struct segment {
    struct segment *next; /* list of the log; guarded by log->lock */
    uint32_t references;  /* guarded by log->lock; 0: idle, kept for the next one */
    bool writable;
    bool stale; /* another file may have its name now: for those only who have it */
    int64_t base;
    int64_t end; /* of a compacted one; -1: where the next one begins */
    uint64_t salt;
    uint32_t size;
    struct map map;
    struct map index; /* data NULL: missing or foreign, do without */
    char name[32];    /* for messages */
};

#define SEGMENT_NAME_SIZE 32
void rill__segment_name(int64_t base, const char *suffix, char name[SEGMENT_NAME_SIZE]);
/* The base offset in a file name, or -1 if it is no segment's. */
int64_t rill__segment_base_of(const char *name);

/* What the header of a segment file says. */
struct segment_header {
    int64_t base;
    uint64_t salt;
    uint64_t file_size;
    int32_t epoch;
    bool compacted; /* else end is -1 and the rest 0 */
    int64_t end;
    int64_t cleaned;      /* see log/format.h */
    uint32_t tombstone_s; /* stamp of the oldest tombstone; 0: none */
};
/* The header of a compacted segment, of all these. */
void rill__segment_fill_compacted(const struct log_config *config,
                                  const struct segment_header *segment, uint8_t *header);
#define SEGMENT_BYTES_MAX (UINT64_C(1) << 31)
/* Whether the format of a whole header is one that this library reads; and what it
 * says then, in its fields. */
bool rill__segment_is_known(const uint8_t *header);
void rill__segment_parse(const uint8_t *bytes, struct segment_header *header);
/* Reads and checks it. No lock needed. */
int rill__segment_read_header(const struct log_config *config, const struct file *file,
                              int64_t base, struct segment_header *header);
int rill__segment_peek(const struct log_config *config, const struct file *dir, int64_t base,
                       struct segment_header *header);

/* Makes the files of segment base, of `size` bytes, from the prepared ones if
 * there are any of that size. Nothing is synced. On error nothing is left. No
 * lock of the process needed: the caller holds append_lock. */
int rill__segment_create(const struct log_config *config, const struct file *dir, int64_t base,
                         int32_t epoch, uint64_t size);
/* Opens and maps; checks the header. RILL_ERR_CORRUPT names what is wrong. */
int rill__segment_open(const struct log_config *config, const struct file *dir, int64_t base,
                       bool writable, struct segment **segment);
/* Makes an empty index for the segment, in place of what is there. */
int rill__segment_make_index(const struct log_config *config, const struct file *dir,
                             const struct segment *segment);
void rill__segment_close(const struct log_config *config, struct segment *segment);
/* The index first: a crash between leaves a segment, which is found again. */
int rill__segment_remove(const struct file *dir, int64_t base);
/* Prepares next.log and next.index: allocated, zeroed, synced; if they are not
 * there already with that size. One at a time: the caller holds the control
 * file's prepare lock. */
int rill__segment_prepare(const struct log_config *config, const struct file *dir, uint64_t size);
int rill__segment_is_prepared(const struct file *dir, uint64_t size, bool *prepared);

/* ---- Its index -------------------------------------------------------- */

uint64_t rill__index_bytes(const struct log_config *config, uint64_t segment_bytes);
/* Writes entry number `at`; false if the index is full or missing. */
bool rill__index_put(struct segment *segment, uint32_t at, int64_t offset, uint32_t position,
                     int64_t max_time_before);
/* Fills in the header of a sealed segment's index. */
void rill__index_seal(struct segment *segment, uint32_t count, uint32_t end_position,
                      int64_t end_offset, int64_t max_time);
/* What a sealed segment's index header says; false if it says nothing valid. */
struct index_seal {
    uint32_t count;
    uint32_t end_position;
    int64_t end_offset;
    int64_t max_time;
};
bool rill__index_sealed(const struct segment *segment, struct index_seal *seal);
/* What the index file of a segment says, of which that is the header. */
bool rill__index_peek(const struct file *dir, const struct segment_header *header,
                      struct index_seal *seal);
/* Whose index the file is; false if it is none. */
bool rill__index_owner(const struct file *dir, const char *name, int64_t *base, uint64_t *salt);
/* Position of a batch at or before offset: a valid entry's, else the first. */
uint32_t rill__index_find(const struct segment *segment, uint32_t count, int64_t offset);
/* Position from which to look for time_ms: no batch before it can have it. */
uint32_t rill__index_find_time(const struct segment *segment, uint32_t count, int64_t time_ms);

#endif
