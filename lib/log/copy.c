/*
 * log/copy.c - a consistent copy of a partition, while it is appended to.
 *
 *     tail := now -> all before it synced, the mark in its segment -> sealed
 *     segments linked (or copied) -> of the active one what is before the tail
 *     copied -> a control file of its own, whose marks say that tail -> sync
 *
 * Always true:
 *   - the copy ends at a tail that the log had, all of it durable;
 *   - a file that both have is one that neither writes to any more: it lies
 *     before the segment of the newest mark in both places, so that not even a
 *     recovery opens it for writing. Each may remove it, which takes a name away;
 *   - nothing in the source changes but what a sync changes.
 *
 * Meanwhile segments go, because the log start moves, or get other bytes, because
 * they are compacted. None is used again for others as long as a copy is being
 * made (rill__log_hold). One that is gone when its turn comes: if the log start
 * has moved beyond it, so does that of the copy; else the copy begins anew, as it does
 * if some were compacted by its end. With the end of an earlier moment it can only be
 * made while nothing is compacted: the caller sees to that.
 */
#include "base/bytes.h"
#include "log/inner.h"
#include <inttypes.h>

#define CHUNK (256u << 10)
#define TRIES_MAX 100

enum { GONE = 1 }; /* no error: a segment has gone, look again */

struct partition_copy {
    struct log *log;
    const struct file *to;
    struct log_copy *copy;
    struct log_moment tail; /* where the copy ends */
    int64_t start;
    uint8_t *chunk;
    int stopped; /* by whoever is told, with this code */
};

static int came(struct partition_copy *c, uint64_t bytes)
{
    if (c->copy->told != NULL) c->stopped = c->copy->told(c->copy->arg, bytes);
    return c->stopped == 0 ? 0 : RILL_ERR_CLOSED;
}

static void set_moment(const struct tail_copy *tail, struct log_moment *moment)
{
    *moment = (struct log_moment){tail->end_offset, tail->base, tail->position, tail->epoch};
}

void rill__log_moment(const struct log *log, struct log_moment *moment)
{
    struct tail_copy tail;

    rill__control_tail(log->control, &tail);
    set_moment(&tail, moment);
}

/* ---- Bytes ---- */

/* At least one byte. */
static bool is_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

/* [0, size) of a file that nobody else sees yet; holes stay holes. */
static int copy_bytes(struct partition_copy *c, const struct file *from, const struct file *to,
                      uint64_t size)
{
    int rc = 0;

    if (c->chunk == NULL) c->chunk = rill__alloc(c->log->config.heap, CHUNK);
    if (c->chunk == NULL) return RILL_ERR_NO_MEMORY;
    for (uint64_t at = 0; at < size && rc == 0; at += CHUNK) {
        size_t part = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        rc = rill__file_read(from, c->chunk, part, at);
        if (rc == 0 && !is_zero(c->chunk, part)) rc = rill__file_write(to, c->chunk, part, at);
        if (rc == 0) rc = came(c, part);
    }
    return rc;
}

/* The file of that name, whole if it is sealed, or its first `size` bytes in a
 * file that is as long and has all its blocks, to be appended to. */
static int copy_file(struct partition_copy *c, const char *name, uint64_t size, bool sealed)
{
    struct file from = FILE_NONE;
    struct file to = FILE_NONE;
    uint64_t whole = 0;
    int rc = rill__file_open(&c->log->dir, name, FILE_READ, &from);

    if (rc == RILL_ERR_NOT_FOUND) return GONE;
    if (rc == 0) rc = rill__file_size(&from, &whole);
    if (rc == 0)
        rc = rill__file_open(c->to, name, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &to);
    if (rc == 0) rc = sealed ? rill__file_resize(&to, whole) : rill__file_allocate(&to, whole);
    if (rc == 0) rc = copy_bytes(c, &from, &to, sealed ? whole : size);
    if (rc == 0) rc = rill__file_sync(&to);
    rill__file_close(&to);
    rill__file_close(&from);
    return rc;
}

/* ---- Sealed segments ---- */

/* By a link if that can be (*linked), else by copying. */
static int take_file(struct partition_copy *c, const char *name, bool *linked)
{
    int rc;

    *linked = false;
    if (!c->copy->link) return copy_file(c, name, 0, true);
    rc = rill__file_link(&c->log->dir, name, c->to, name);
    *linked = rc == 0;
    if (rc == RILL_ERR_NOT_FOUND) return GONE;
    if (rc != RILL_ERR_UNSUPPORTED) return rc;
    c->copy->link = false; /* nor will it be for the next ones */
    return copy_file(c, name, 0, true);
}

static int take_log(struct partition_copy *c, const char *name)
{
    struct file file = FILE_NONE;
    uint64_t size = 0;
    bool linked;
    int rc = take_file(c, name, &linked);

    if (rc != 0 || !linked) return rc;
    rc = rill__file_open(c->to, name, FILE_READ, &file);
    if (rc == 0) rc = rill__file_size(&file, &size);
    rill__file_close(&file);
    return rc == 0 ? came(c, size) : rc;
}

/* It is a hint: it may be missing. */
static int take_index(struct partition_copy *c, const char *name)
{
    bool linked;
    int rc = take_file(c, name, &linked);

    return rc == GONE ? 0 : rc;
}

/* Has the copy an index for the segment that does not belong to it? */
static bool is_index_of_another(const struct partition_copy *c, const char *name,
                                const struct segment_header *header)
{
    uint64_t salt;
    int64_t base;

    return rill__index_owner(c->to, name, &base, &salt) && salt != header->salt;
}

/* A compaction may put other files in their place between the one and the other:
 * then the index does not fit. One of them is as good as the other; a segment does as
 * well without. A damaged header is for whoever reads it. */
static int take_sealed(struct partition_copy *c, int64_t base, struct segment_header *header)
{
    char log_name[SEGMENT_NAME_SIZE];
    char index_name[SEGMENT_NAME_SIZE];
    struct saved_message message;
    int rc;

    rill__segment_name(base, "log", log_name);
    rill__segment_name(base, "index", index_name);
    header->base = -1;
    rc = take_index(c, index_name);
    if (rc == 0) rc = take_log(c, log_name);
    if (rc == GONE && rill__file_remove(c->to, index_name) != 0) rc = RILL_ERR_IO;
    if (rc != 0) return rc;
    rill__message_save(&message);
    if (rill__segment_peek(&c->log->config, c->to, base, header) != 0) header->base = -1;
    rill__message_restore(&message);
    for (int i = 0; i < 2 && rc == 0 && header->base >= 0; i++) {
        if (!is_index_of_another(c, index_name, header)) break;
        rc = rill__file_remove(c->to, index_name);
        if (rc == 0 && i == 0) rc = take_index(c, index_name);
    }
    return rc;
}

/* A segment that says where it ends says what follows it. */
static int check_next(struct partition_copy *c, const struct segment_header *header, int64_t next)
{
    struct index_seal seal;
    int64_t end = header->base < 0 ? -1 : header->end;

    if (header->base >= 0 && end < 0 && rill__index_peek(c->to, header, &seal))
        end = seal.end_offset;
    if (end < 0 || end >= next) return 0;
    return rill__fail(RILL_ERR_CORRUPT,
                      "%s: the segment that begins at offset %" PRId64 " is missing",
                      c->log->dir.name, end);
}

/* ---- What is there, is right ---- */

static int wrong(const struct segment *segment, const struct file *dir, uint32_t position,
                 int64_t offset, const char *why)
{
    return rill__fail(RILL_ERR_CORRUPT, "%s/%s: batch at position %u, offset %" PRId64 ": %s",
                      dir->name, segment->name, position, offset, why);
}

/* Every batch of the segment up to the offset where the next one begins, or to the
 * tail's position. */
static int verify_segment(struct partition_copy *c, int64_t base, int64_t end)
{
    struct segment *segment = NULL;
    struct batch_view view;
    uint32_t at = SEGMENT_HEADER_SIZE;
    int64_t offset = base;
    int rc = rill__segment_open(&c->log->config, c->to, base, false, &segment);

    while (rc == 0 && offset < end) {
        const char *why = NULL;
        if (rill__batch_view(segment->map.data + at, segment->size - at, &view, &why) !=
            BATCH_VALID)
            rc = wrong(segment, c->to, at, offset, why != NULL ? why : "no batch is there");
        else if (view.base_offset != offset)
            rc = wrong(segment, c->to, at, offset, "base offset does not follow");
        else if (!rill__batch_verify(&view, segment->salt))
            rc = wrong(segment, c->to, at, offset, "checksum does not match");
        at += view.length;
        offset = view.end_offset;
    }
    if (rc == 0 && base == c->tail.base && (offset != end || at != c->tail.position))
        rc = wrong(segment, c->to, at, offset, "the segment does not end where the log does");
    rill__segment_close(&c->log->config, segment);
    return rc;
}

/* ---- All of them ---- */

struct unwanted {
    const struct file *dir;
    int64_t before; /* segments with a smaller base; INT64_MAX: all files */
};

static int drop_before(void *arg, const char *name)
{
    const struct unwanted *r = arg;
    int64_t base = rill__segment_base_of(name);

    if (r->before == INT64_MAX) return rill__file_remove(r->dir, name);
    return base < 0 || base >= r->before ? 0 : rill__segment_remove(r->dir, base);
}

static int remove_copied(struct partition_copy *c, int64_t before)
{
    struct unwanted unwanted = {c->to, before};
    return rill__dir_list(c->to, drop_before, &unwanted);
}

/* The segment `base` is not there any more. *base: where to go on, if the log
 * start has moved beyond it; else GONE. */
static int go_on_behind(struct partition_copy *c, int64_t *base)
{
    int64_t start = atomic_load(&c->log->control->log_start);
    int64_t gone = *base;
    int rc = rill__log_state(c->log);

    if (rc == 0) rc = rill__log_refresh(c->log);
    if (rc != 0) return rc;
    if (start <= gone || start > c->tail.end) return GONE;
    rc = rill__log_base_of(c->log, start, base);
    if (rc != 0) return rc;
    c->start = start;
    return *base > gone ? remove_copied(c, *base) : GONE;
}

static int take_segments(struct partition_copy *c)
{
    struct segment_header header;
    char name[SEGMENT_NAME_SIZE];
    int64_t base;
    int64_t next;
    int rc = rill__log_base_of(c->log, c->start, &base);

    while (rc == 0 && base < c->tail.base) {
        rc = rill__log_base_after(c->log, base, &next);
        if (rc == 0 && next < 0)
            rc = rill__fail(RILL_ERR_CORRUPT, "%s: segment %" PRId64 " is missing",
                            c->log->dir.name, c->tail.base);
        if (rc == 0) rc = take_sealed(c, base, &header);
        if (rc == GONE) {
            rc = go_on_behind(c, &base);
            continue;
        }
        if (rc == 0) rc = check_next(c, &header, next);
        if (rc == 0 && c->copy->verify) rc = verify_segment(c, base, next);
        base = next;
    }
    if (rc != 0) return rc;
    rill__segment_name(c->tail.base, "log", name);
    rc = copy_file(c, name, c->tail.position, false);
    if (rc == 0 && c->copy->verify) rc = verify_segment(c, c->tail.base, c->tail.end);
    return rc;
}

/* All that it had is gone, so that it is an empty segment which has that end. */
static int make_empty(struct partition_copy *c)
{
    uint64_t size = atomic_load(&c->log->config.segment_bytes);
    struct file file = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    int rc = rill__segment_create(&c->log->config, c->to, c->tail.end, c->tail.epoch, size);

    rill__segment_name(c->tail.end, "log", name);
    if (rc == 0) rc = rill__file_open(c->to, name, FILE_WRITE, &file);
    if (rc == 0) rc = rill__file_sync(&file);
    rill__file_close(&file);
    c->start = c->tail.base = c->tail.end;
    c->tail.position = SEGMENT_HEADER_SIZE;
    return rc;
}

/* Of producers: a hint. It may know more than the copy has; then it is not used. */
static int take_producers(struct partition_copy *c)
{
    bool linked;
    int rc = take_file(c, "producers", &linked);

    return rc == GONE ? 0 : rc;
}

static int copy_once(struct partition_copy *c, int64_t deadline_ns)
{
    struct log *log = c->log;
    struct mark mark = {.sequence = 1, .segment = -1};
    struct tail_copy tail;
    uint32_t layout;
    int rc = rill__log_settle(log, &tail, deadline_ns);

    if (rc != 0) return rc;
    set_moment(&tail, &c->tail);
    if (c->copy->at != NULL) c->tail = *c->copy->at;
    layout = atomic_load(&log->control->layout);
    c->start = atomic_load(&log->control->log_start);
    if (c->tail.base >= 0) rc = c->start >= c->tail.end ? make_empty(c) : take_segments(c);
    if (rc == 0) rc = take_producers(c);
    if (rc != 0) return rc;
    /* One segment from before a compaction and one from behind it do not go together. */
    if (atomic_load(&log->control->layout) != layout) return GONE;
    if (c->tail.base >= 0) {
        mark.durable_end = c->tail.end;
        mark.segment = c->tail.base;
        mark.position = c->tail.position;
    }
    mark.epoch = c->tail.epoch;
    mark.log_start = c->start;
    return rill__log_make_control(c->to, &mark);
}

int rill__log_copy(struct log *log, const struct file *to, struct log_copy *copy,
                   int64_t deadline_ns)
{
    struct partition_copy c = {.log = log, .to = to, .copy = copy};
    int rc;

    rill__log_hold(log);
    for (int attempt = 0;; attempt++) {
        rc = copy_once(&c, deadline_ns);
        if (rc != GONE) break;
        if (attempt == TRIES_MAX) {
            rc = rill__fail(RILL_ERR_BUSY, "%s: its segments come and go too fast to copy them",
                            log->dir.name);
            break;
        }
        rc = remove_copied(&c, INT64_MAX);
        if (rc != 0) break;
    }
    rill__log_let_go(log);
    rill__free(log->config.heap, c.chunk);
    if (rc == 0) copy->end = c.tail.end;
    return c.stopped != 0 ? c.stopped : rc;
}
