/*
 * log/scan.h - the batches of a segment's file that may hold anything.
 *
 * The file is read by calls and not mapped: bytes that the device does not give
 * are an answer then, not a signal, and a file that shrinks is one too.
 *
 * Threads: a scan belongs to one.
 */
#ifndef RILL_LOG_SCAN_H
#define RILL_LOG_SCAN_H
#include "log/batch.h"
#include "os/os.h"

struct batch_scan {
    struct heap *heap;
    const struct file *file;
    uint64_t size; /* bytes of the file that may be looked at */
    uint64_t salt;
    uint8_t *data; /* the bytes [at, at + filled) of the file */
    size_t room;
    size_t filled;
    uint64_t at;
    bool unreadable; /* the last call met bytes that cannot be read */
    bool framed;     /* rill__scan_batch: the header can be one, whatever the checksum says */
    struct codec codec;
    void *unpacked; /* records of a compressed batch */
    size_t unpacked_room;
};

void rill__scan_init(struct batch_scan *scan, struct heap *heap, const struct file *file,
                     uint64_t size, uint64_t salt);
void rill__scan_deinit(struct batch_scan *scan);

/* The batch at position, whose bytes stay until the next call. BATCH_VALID if it
 * verifies; *why: what is wrong with it otherwise, NULL for BATCH_NONE.
 * RILL_ERR_NO_MEMORY. */
int rill__scan_batch(struct batch_scan *scan, uint64_t position, enum batch_state *state,
                     struct batch_view *view, const char **why);
/* The first place from `from` on with a batch that verifies and lies in the
 * offsets [first, end); *found false: there is none. */
int rill__scan_find(struct batch_scan *scan, uint64_t from, int64_t first, int64_t end,
                    bool *found, uint64_t *position, struct batch_view *view);
/* The salt of the segment, from two batches that agree about it; *found false: there
 * are none. */
int rill__scan_salt(struct batch_scan *scan, bool *found, uint64_t *salt);
/* Are all bytes of [from, to) zero? */
int rill__scan_zero(struct batch_scan *scan, uint64_t from, uint64_t to, bool *zero);

/* The records of a batch that verifies, decompressed if need be, until the next call.
 * RILL_ERR_UNSUPPORTED, RILL_ERR_CORRUPT, RILL_ERR_NO_MEMORY. */
int rill__scan_unpack(struct batch_scan *scan, const struct batch_view *view,
                      struct batch_view *records);
/* What is wrong with the records of a batch that verifies; NULL: nothing.
 * RILL_ERR_UNSUPPORTED: they cannot be looked at. RILL_ERR_NO_MEMORY. */
int rill__scan_records(struct batch_scan *scan, const struct batch_view *view, const char **why);

#endif
