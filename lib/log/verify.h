/*
 * log/verify.h - a segment's header and index, compared with what they are of.
 */
#ifndef RILL_LOG_VERIFY_H
#define RILL_LOG_VERIFY_H
#include "log/segment.h"

/* All that a segment's header says, whatever it should say. */
struct written_header {
    struct segment_header is;
    uint8_t topic_id[16];
    int32_t partition;
    int64_t created_ms;
};
enum header_state {
    HEADER_GOOD,
    HEADER_NEVER, /* zeros: it never got to the disk */
    HEADER_BAD,
    HEADER_NEWER /* whole, but of a format that this library does not know */
};
enum header_state rill__header_read(const uint8_t *bytes, struct written_header *header);

/* An index, held against the batches of its segment in their order. */
struct index_check {
    struct heap *heap;
    int64_t base;
    uint64_t salt;
    uint8_t *bytes; /* all of the file; NULL: there is none that can be used */
    size_t size;
    const char *wrong; /* with the index as a whole */
    bool sealed;
    struct index_seal seal;
    uint32_t count; /* entries that are looked at */
    uint32_t next;  /* the first that is not yet held against a batch */
    int64_t before; /* offset of the entry before it, -1: none */
    uint32_t bad_count;
    uint32_t first_bad;
};
/* Reads it. count: of the active segment's entries that are there, INDEX_UNSEALED
 * for one that must be sealed. RILL_ERR_NO_MEMORY. */
int rill__index_check_open(struct index_check *check, struct heap *heap, const struct file *dir,
                           int64_t base, uint64_t salt, uint32_t count);
void rill__index_check_close(struct index_check *check);
/* A batch, and the largest timestamp before it in the segment; INT64_MAX: not known. */
void rill__index_check_batch(struct index_check *check, int64_t offset, uint32_t position,
                             int64_t max_time);
/* No batch of [from, to) could be read: what entries say of them is left alone. */
void rill__index_check_skip(struct index_check *check, int64_t from, int64_t to);
/* The end of the segment; whole: all of it could be read. */
void rill__index_check_end(struct index_check *check, int64_t end_offset, uint32_t position,
                           int64_t max_time, bool whole);

#endif
