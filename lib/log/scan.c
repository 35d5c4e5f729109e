/*
 * log/scan.c - see log/scan.h.
 *
 * A window of the file, at least 1 MiB, moves along. It grows to the largest
 * batch, never beyond the file.
 */
#include "log/scan.h"
#include "log/format.h"

#define WINDOW ((size_t)1 << 20)
#define PIECE ((size_t)4096) /* as much as a device loses at once, about */

void rill__scan_init(struct batch_scan *scan, struct heap *heap, const struct file *file,
                     uint64_t size, uint64_t salt)
{
    *scan = (struct batch_scan){.heap = heap, .file = file, .size = size, .salt = salt};
    rill__codec_init(&scan->codec, heap);
}

void rill__scan_deinit(struct batch_scan *scan)
{
    rill__free(scan->heap, scan->data);
    scan->data = NULL;
    rill__free(scan->heap, scan->unpacked);
    scan->unpacked = NULL;
    rill__codec_deinit(&scan->codec);
}

/* As much of [position, position + room) as can be read; *filled of it. */
static int fill_window(struct batch_scan *scan, uint64_t position, size_t want)
{
    uint64_t left = scan->size - position;
    size_t most = left < scan->room ? (size_t)left : scan->room;
    int rc = rill__file_read(scan->file, scan->data, most, position);

    scan->at = position;
    scan->filled = 0;
    if (rc == 0) scan->filled = most;
    if (rc == 0 || !rill__is_of_medium(rc)) return rc;
    for (size_t at = 0; at < want && at < most; at += PIECE) { /* what there is before the loss */
        size_t part = most - at < PIECE ? most - at : PIECE;
        rc = rill__file_read(scan->file, scan->data + at, part, position + at);
        if (rc != 0) {
            scan->unreadable = true;
            return rill__is_of_medium(rc) ? 0 : rc;
        }
        scan->filled = at + part;
    }
    return 0;
}

/* At least `want` bytes from position on, which is in the file, or up to its end or to
 * what cannot be read: *have of them. */
static int look_through(struct batch_scan *scan, uint64_t position, size_t want,
                        const uint8_t **data, size_t *have)
{
    uint64_t left = scan->size - position;
    int rc;

    if (want > left) want = (size_t)left;
    if (position < scan->at || position + want > scan->at + scan->filled) {
        if (want > scan->room) {
            size_t room = want > WINDOW ? want : WINDOW;
            if (scan->size < room) room = (size_t)scan->size;
            rill__free(scan->heap, scan->data);
            scan->room = 0;
            scan->filled = 0;
            scan->data = rill__alloc(scan->heap, room);
            if (scan->data == NULL) return RILL_ERR_NO_MEMORY;
            scan->room = room;
        }
        rc = fill_window(scan, position, want);
        if (rc != 0) return rc;
    }
    *data = scan->data + (position - scan->at);
    *have = scan->filled - (size_t)(position - scan->at);
    return 0;
}

int rill__scan_batch(struct batch_scan *scan, uint64_t position, enum batch_state *state,
                     struct batch_view *view, const char **why)
{
    uint64_t left = position < scan->size ? scan->size - position : 0;
    const uint8_t *data;
    size_t have;
    int rc;

    scan->unreadable = false;
    scan->framed = false;
    *why = NULL;
    *state = BATCH_NONE;
    if (left < BATCH_HEADER_SIZE) return 0;
    rc = look_through(scan, position, BATCH_HEADER_SIZE, &data, &have);
    if (rc != 0) return rc;
    if (have >= BATCH_HEADER_SIZE) {
        *state = rill__batch_view(data, (size_t)left, view, why);
        if (*state != BATCH_VALID) return 0;
        rc = look_through(scan, position, view->length, &data, &have);
        if (rc != 0) return rc;
    }
    if (have < BATCH_HEADER_SIZE || have < view->length) {
        *why = "cannot be read from the device";
    } else {
        view->data = data;
        scan->framed = true;
        if (!rill__batch_verify(view, scan->salt)) *why = "checksum does not match";
    }
    if (*why != NULL) *state = BATCH_BAD;
    return 0;
}

int rill__scan_find(struct batch_scan *scan, uint64_t from, int64_t first, int64_t end,
                    bool *found, uint64_t *position, struct batch_view *view)
{
    const uint8_t *data;
    const char *why;
    size_t have;

    *found = false;
    while (from + BATCH_HEADER_SIZE <= scan->size) {
        enum batch_state state = BATCH_NONE;
        int rc = look_through(scan, from, BATCH_HEADER_SIZE, &data, &have);

        if (rc != 0) return rc;
        if (have < BATCH_HEADER_SIZE) { /* on behind what cannot be read */
            from = (from + have + PIECE) / PIECE * PIECE;
            continue;
        }
        /* Most places are no batch by their header. */
        if (rill__batch_view(data, (size_t)(scan->size - from), view, &why) == BATCH_VALID &&
            view->base_offset >= first && view->end_offset <= end) {
            rc = rill__scan_batch(scan, from, &state, view, &why);
            if (rc != 0) return rc;
        }
        if (state == BATCH_VALID) {
            *found = true;
            *position = from;
            return 0;
        }
        from += 8;
    }
    return 0;
}

#define SALTS 16u /* that batches, or what looks like some, have named last */

int rill__scan_salt(struct batch_scan *scan, bool *found, uint64_t *salt)
{
    uint64_t named[SALTS];
    uint32_t count = 0;

    *found = false;
    for (uint64_t at = SEGMENT_HEADER_SIZE; at + BATCH_HEADER_SIZE <= scan->size; at += 8) {
        enum batch_state state;
        struct batch_view view;
        uint64_t said;
        const char *why;
        int rc = rill__scan_batch(scan, at, &state, &view, &why);

        if (rc != 0) return rc;
        if (!scan->framed) continue;
        said = rill__batch_salt(&view);
        for (uint32_t i = 0; i < count && i < SALTS && !*found; i++) *found = named[i] == said;
        if (*found) {
            *salt = said;
            return 0;
        }
        named[count++ % SALTS] = said;
    }
    return 0;
}

int rill__scan_zero(struct batch_scan *scan, uint64_t from, uint64_t to, bool *zero)
{
    const uint8_t *data;
    size_t have;

    *zero = true;
    while (from < to && *zero) {
        int rc = look_through(scan, from, 8, &data, &have);

        if (rc != 0) return rc;
        *zero = have > 0;
        for (size_t i = 0; i < have && from < to && *zero; i++, from++) *zero = data[i] == 0;
    }
    return 0;
}

static const char *wrong_records(const struct batch_view *view)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record;
    rill_header header;
    bool bad;

    while (rill__record_next(view, &walk, &record, &bad)) {
        /* The way to the last header leads over all of them. */
        if (record.header_count > 0 &&
            rill__record_header(record.raw, record.header_count - 1, &header) != 0)
            return "a header runs out of its record";
    }
    return bad ? "a record does not fit into it" : NULL;
}

int rill__scan_unpack(struct batch_scan *scan, const struct batch_view *view,
                      struct batch_view *records)
{
    size_t room = rill__batch_room(view);

    if (room > scan->unpacked_room) {
        rill__free(scan->heap, scan->unpacked);
        scan->unpacked_room = 0;
        scan->unpacked = rill__alloc(scan->heap, room);
        if (scan->unpacked == NULL) return RILL_ERR_NO_MEMORY;
        scan->unpacked_room = room;
    }
    return rill__batch_records(view, &scan->codec, scan->unpacked, records);
}

int rill__scan_records(struct batch_scan *scan, const struct batch_view *view, const char **why)
{
    struct batch_view records;
    int rc = rill__scan_unpack(scan, view, &records);

    *why = NULL;
    if (rc == RILL_ERR_CORRUPT) *why = "its records cannot be decompressed";
    else if (rc == 0) *why = wrong_records(&records);
    else return rc;
    return 0;
}
