/*
 * log/left.c - what is left of a damaged segment.
 *
 * Whatever verifies with the segment's salt was appended there, at its offset: so
 * the batches are looked for everywhere in the file. A salt that is lost with the
 * header is known by the index, or by two batches that agree about it.
 *
 * Durable marks and shared words name places in a segment. In such a one batches
 * keep their places, and those that stand in a wrong order are lost; in any other
 * they are brought into theirs.
 */
#include "log/salvage.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include <stdlib.h>

/* ---- What belongs to it ----------------------------------------------- */

/* Up to which offset, and whether its places count. */
static void find_extent(struct rebuild *r, const struct segment_header *header)
{
    const struct chain *chain = r->chain;
    const struct tail_copy *tail = &chain->words.tail;
    int64_t next = rill__chain_after(chain, r->base);

    r->limit = INT64_MAX;
    r->must_end = -1;
    if (header != NULL && header->compacted) {
        r->limit = r->must_end = header->end;
    } else if (chain->words.count) {
        r->limit = r->base >= tail->base ? tail->end_offset
                   : next < tail->base   ? next
                                         : tail->base;
        r->must_end = r->limit;
        if (r->base == tail->base) r->must_position = tail->position;
    } else if (chain->marks_valid != 0 && r->base <= chain->mark.segment) {
        r->must_end = r->base == chain->mark.segment ? chain->mark.durable_end
                      : next < chain->mark.segment   ? next
                                                     : chain->mark.segment;
        r->limit = r->base == chain->mark.segment ? INT64_MAX : r->must_end;
        if (r->base == chain->mark.segment) r->must_position = chain->mark.position;
    } else if (next != INT64_MAX) {
        r->limit = r->must_end = next;
    }
    r->keeps_places = r->must_position != 0 || r->limit == INT64_MAX ||
                      (chain->marks_valid != 0 && r->base == chain->mark.segment);
}

/* Of the segments before it: the epoch of the last batch; 0: there is none. */
int rill__rebuild_epoch(struct rebuild *r)
{
    int64_t base = r->base;
    bool found = false;
    int rc = 0;

    while (rc == 0 && !found && (base = rill__chain_before(r->chain, base - 1)) >= 0) {
        struct file file = FILE_NONE;
        uint8_t bytes[SEGMENT_HEADER_SIZE];
        struct written_header header;
        struct batch_scan scan;
        struct batch_view view;
        enum batch_state state = BATCH_VALID;
        char name[SEGMENT_NAME_SIZE];
        const char *why;
        uint64_t size = 0;
        uint64_t at = SEGMENT_HEADER_SIZE;

        rill__segment_name(base, "log", name);
        if (rill__file_open(r->salvage->check.dir, name, FILE_READ, &file) == 0 &&
            rill__file_size(&file, &size) == 0 &&
            rill__file_read(&file, bytes, sizeof bytes, 0) == 0 &&
            rill__header_read(bytes, &header) == HEADER_GOOD) {
            rill__scan_init(&scan, r->salvage->check.heap, &file, size, header.is.salt);
            while (rc == 0 && state == BATCH_VALID) {
                rc = rill__scan_batch(&scan, at, &state, &view, &why);
                if (rc != 0 || state != BATCH_VALID) break;
                found = true;
                r->epoch_before = view.epoch;
                at += view.length;
            }
            rill__scan_deinit(&scan);
        }
        rill__file_close(&file);
    }
    return rc;
}

/* The salt that a sound index has. */
static bool salt_of_index(const struct rebuild *r, uint64_t *salt)
{
    struct file file = FILE_NONE;
    uint8_t h[INDEX_HEADER_SIZE];
    char name[SEGMENT_NAME_SIZE];
    bool good;

    rill__segment_name(r->base, "index", name);
    good = rill__file_open(r->salvage->check.dir, name, FILE_READ, &file) == 0 &&
           rill__file_read(&file, h, sizeof h, 0) == 0 && memcmp(h, "RILLIDX1", 8) == 0 &&
           rill__get64(h + INDEX_CHECKSUM_AT) == rill__checksum(h, INDEX_CHECKSUM_AT) &&
           (int64_t)rill__get64(h + INDEX_BASE_AT) == r->base;
    rill__file_close(&file);
    *salt = rill__get64(h + INDEX_SALT_AT);
    return good;
}

/* Is there a batch of this segment under that salt? */
static int salt_fits(struct rebuild *r, uint64_t salt, bool *fits)
{
    struct batch_view view;
    uint64_t position;

    r->scan.salt = salt;
    return rill__scan_find(&r->scan, SEGMENT_HEADER_SIZE, r->base, r->limit, fits, &position,
                           &view);
}

/* The header of the old file, whether it can be used, and the salt. */
static int read_old(struct rebuild *r)
{
    const struct log_salvage *s = r->salvage;
    struct written_header header;
    enum header_state state = HEADER_BAD;
    uint64_t salt = 0;
    bool ours = false;
    int rc = rill__file_open(s->check.dir, r->name, FILE_READ, &r->old);

    if (rc == 0) rc = rill__file_size(&r->old, &r->old_size);
    if (rc != 0) {
        rill__file_close(&r->old);
        r->old_size = 0;
    } else if (r->old_size >= sizeof r->header) {
        rc = rill__file_read(&r->old, r->header, sizeof r->header, 0);
        if (rc == 0) state = rill__header_read(r->header, &header);
    }
    if (rc != 0 && !rill__is_of_medium(rc)) return rc; /* it may be well */
    if (state == HEADER_GOOD)
        ours = header.is.base == r->base && header.partition == s->check.partition &&
               memcmp(header.topic_id, s->check.topic_id, 16) == 0 &&
               (!header.is.compacted || header.is.end > r->base);
    find_extent(r, ours ? &header.is : NULL);
    rill__scan_init(&r->scan, s->check.heap, &r->old, r->old_size, 0);
    if (ours) {
        r->has_salt = true;
        r->salt = header.is.salt;
        r->has_header = true;
        r->size = header.is.file_size;
        return 0;
    }
    r->size = s->segment_bytes > r->old_size ? s->segment_bytes : r->old_size;
    if (r->size > SEGMENT_BYTES_MAX) r->size = s->segment_bytes;
    if (state == HEADER_GOOD) return 0; /* it is another one's, with all that is in it */
    rc = 0;
    if (salt_of_index(r, &salt)) rc = salt_fits(r, salt, &r->has_salt);
    if (rc == 0 && !r->has_salt) {
        rc = rill__scan_salt(&r->scan, &r->has_salt, &salt);
        if (rc == 0 && r->has_salt) rc = salt_fits(r, salt, &r->has_salt);
    }
    r->salt = salt;
    return rc;
}

/* ---- What is kept ----------------------------------------------------- */

static int keep_batch(struct rebuild *r, const struct batch_view *view, uint64_t position)
{
    if (r->count == r->room) {
        size_t room = r->room == 0 ? 256 : r->room * 2;
        struct kept *kept = rill__resize(r->salvage->check.heap, r->kept, room * sizeof *kept);
        if (kept == NULL) return RILL_ERR_NO_MEMORY;
        r->kept = kept;
        r->room = room;
    }
    r->kept[r->count++] =
        (struct kept){view->base_offset, view->end_offset, position, view->length, view->epoch};
    return 0;
}

/* Everywhere in the file, in the order of their places. Behind what is known to be
 * durable only what goes on without a gap: the rest was never promised, and is cut by
 * recovery. */
static int collect(struct rebuild *r)
{
    bool open_end = r->must_end >= 0 && r->limit == INT64_MAX;
    int64_t limit = open_end ? r->must_end : r->limit;
    uint64_t at = SEGMENT_HEADER_SIZE;
    struct batch_view view;
    enum batch_state state;
    const char *why;
    bool found = true;
    int rc = 0;

    r->scan.salt = r->salt;
    while (rc == 0 && r->has_salt) {
        rc = rill__scan_find(&r->scan, at, r->base, limit, &found, &at, &view);
        if (rc != 0 || !found) break;
        rc = rill__scan_records(&r->scan, &view, &why);
        if (rc == RILL_ERR_UNSUPPORTED) rc = 0; /* they cannot be looked at */
        if (rc == 0 && why == NULL) rc = keep_batch(r, &view, at);
        at += view.length;
    }
    if (rc != 0 || !open_end || !r->has_salt) return rc;
    at = r->must_position;
    for (int64_t offset = r->must_end; rc == 0; offset = view.end_offset) {
        rc = rill__scan_batch(&r->scan, at, &state, &view, &why);
        if (rc != 0 || state != BATCH_VALID || view.base_offset != offset) break;
        rc = keep_batch(r, &view, at);
        at += view.length;
    }
    return rc;
}

static int compare_kept(const void *a, const void *b)
{
    const struct kept *x = a;
    const struct kept *y = b;

    if (x->base != y->base) return x->base < y->base ? -1 : 1;
    return x->epoch != y->epoch ? (x->epoch > y->epoch ? -1 : 1)
                                : (x->position < y->position ? -1 : 1);
}

/* In the order of offsets, each offset once, no epoch before an earlier one. */
static void order(struct rebuild *r)
{
    int64_t end = r->base;
    int32_t epoch = r->epoch_before;
    size_t n = 0;

    if (r->count > 1) qsort(r->kept, r->count, sizeof *r->kept, compare_kept);
    for (size_t i = 0; i < r->count; i++) {
        if (r->kept[i].base < end || r->kept[i].epoch < epoch) continue;
        end = r->kept[i].end;
        epoch = r->kept[i].epoch;
        r->kept[n++] = r->kept[i];
    }
    r->count = n;
}

/* As many as can be of those whose places are in the order of their offsets: the
 * longest increasing run, found by patience. length: of the longest that ends so. */
static int drop_displaced(struct rebuild *r)
{
    struct heap *heap = r->salvage->check.heap;
    size_t *piles = rill__alloc(heap, (r->count + 1) * sizeof *piles); /* last of each length */
    size_t *before = rill__alloc(heap, (r->count + 1) * sizeof *before);
    size_t longest = 0;
    size_t at = 0;

    if (piles == NULL || before == NULL) {
        rill__free(heap, piles);
        rill__free(heap, before);
        return RILL_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < r->count; i++) {
        size_t low = 0;
        size_t high = longest;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (r->kept[piles[middle]].position < r->kept[i].position) low = middle + 1;
            else high = middle;
        }
        before[i] = low == 0 ? SIZE_MAX : piles[low - 1];
        piles[low] = i;
        if (low == longest) longest++;
    }
    at = longest == 0 ? SIZE_MAX : piles[longest - 1];
    for (size_t n = longest; n > 0; n--, at = before[at]) piles[n - 1] = at;
    for (size_t i = 0; i < longest; i++) r->kept[i] = r->kept[piles[i]];
    r->count = longest;
    rill__free(heap, piles);
    rill__free(heap, before);
    return 0;
}

/* With places that are kept: a gap needs the room of a batch's header, and bytes
 * that are lost need offsets that are. What stands in the way goes too. */
static void make_room_for_gaps(struct rebuild *r)
{
    uint64_t at = SEGMENT_HEADER_SIZE;
    int64_t offset = r->base;
    size_t n = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct kept *k = &r->kept[i];
        bool fits = k->base == offset ? k->position == at
                                      : k->position >= at + rill__gap_room(k->base - offset);
        if (!fits) continue;
        at = k->position + k->length;
        offset = k->end;
        r->kept[n++] = *k;
    }
    while (n > 0 && r->must_position != 0 && offset < r->must_end &&
           at + rill__gap_room(r->must_end - offset) > r->must_position) {
        n--;
        at = r->kept[n].position;
        offset = r->kept[n].base;
    }
    r->count = n;
}

static int choose(struct rebuild *r)
{
    bool in_place = r->keeps_places;
    int rc;

    order(r);
    if (!in_place) { /* if nothing has to move, nothing does */
        in_place = true;
        for (size_t i = 1; i < r->count; i++)
            if (r->kept[i].position < r->kept[i - 1].position) in_place = false;
    }
    r->keeps_places = in_place;
    if (!in_place) return 0;
    rc = drop_displaced(r);
    if (rc == 0) make_room_for_gaps(r);
    return rc;
}

int rill__rebuild_look(struct rebuild *r)
{
    int rc = read_old(r);

    if (rc == 0) rc = rill__rebuild_epoch(r);
    if (rc == 0) rc = collect(r);
    return rc == 0 ? choose(r) : rc;
}
