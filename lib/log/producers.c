/*
 * log/producers.c - see log/producers.h.
 *
 *     a batch                   its sequences are the latest; if transactional and none is
 *                               open, a transaction begins at its base offset
 *     a batch, later epoch      the same: who takes a name over goes on with its sequences;
 *                               there is none while a transaction is open
 *     a marker                  the transaction has ended; sequences begin anew, and the
 *                               marker's epoch, one more, fences what is late
 *
 * A checkpoint, little-endian:
 *
 *     offset size
 *          0    8  magic "RILLPRD1"
 *          8    8  salt            of the partition's topic: mix of its id and number
 *         16    8  end             it holds for all batches before this offset
 *         24    4  producer count
 *         28    4  aborted count
 *         32       producers, each of
 *                       0  8  id
 *                       8  2  epoch
 *                      10  2  batch count, at most 5
 *                      12  4  reserved, 0
 *                      16  8  max time
 *                      24  8  first offset of the open transaction, or -1
 *                      32 16  per batch, the latest first: base offset (8), first (4) and
 *                             last sequence (4); zeros where there are fewer
 *                  aborted transactions, each of
 *                       0  8  producer id
 *                       8  8  first offset
 *                      16  8  offset of its marker
 *                      24  8  first offset of the earliest one open behind it, or 2^63 - 1
 *        end    8  XXH3-64 of all before
 */
#include "log/producers.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/format.h"

enum {
    CHECKPOINT_HEAD = 32,
    CHECKPOINT_PRODUCER = 32 + 16 * PRODUCER_BATCHES,
    CHECKPOINT_ABORTED = 32,
    CHECKPOINT_TAIL = 8,
    PLACES_FIRST = 16
};

static const char checkpoint_magic[8] = {'R', 'I', 'L', 'L', 'P', 'R', 'D', '1'};

void rill__producers_init(struct producers *p, struct heap *heap)
{
    memset(p, 0, sizeof *p);
    p->heap = heap;
}

void rill__producers_deinit(struct producers *p)
{
    if (p->heap == NULL) return;
    rill__free(p->heap, p->places);
    rill__free(p->heap, p->aborted);
    p->places = NULL;
    p->aborted = NULL;
    p->room = p->count = p->aborted_count = p->aborted_room = 0;
}

void rill__producers_clear(struct producers *p, int64_t end)
{
    for (size_t i = 0; i < p->room; i++) p->places[i].id = -1;
    p->count = 0;
    p->aborted_count = 0;
    p->end = end;
}

/* ---- The table -------------------------------------------------------- */

/* Its place, or the empty one where it would be; room is not 0. */
static struct producer_state *place_of_producer(const struct producers *p, int64_t id)
{
    size_t at = (size_t)rill__mix64((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15));

    for (;; at++) {
        struct producer_state *place = &p->places[at & (p->room - 1)];
        if (place->id == id || place->id < 0) return place;
    }
}

const struct producer_state *rill__producers_find(const struct producers *p, int64_t id)
{
    const struct producer_state *place;

    if (p->room == 0 || id < 0) return NULL;
    place = place_of_producer(p, id);
    return place->id == id ? place : NULL;
}

/* At most three quarters are taken, so that a search ends. */
static int grow(struct producers *p)
{
    struct producers larger = *p;

    if (p->room != 0 && (p->count + 1) * 4 <= p->room * 3) return 0;
    larger.room = p->room == 0 ? PLACES_FIRST : p->room * 2;
    larger.places = rill__alloc(p->heap, larger.room * sizeof *larger.places);
    if (larger.places == NULL) return RILL_ERR_NO_MEMORY;
    for (size_t i = 0; i < larger.room; i++) larger.places[i].id = -1;
    for (size_t i = 0; i < p->room; i++)
        if (p->places[i].id >= 0) *place_of_producer(&larger, p->places[i].id) = p->places[i];
    rill__free(p->heap, p->places);
    *p = larger;
    return 0;
}

static int find_or_add(struct producers *p, int64_t id, struct producer_state **out)
{
    struct producer_state *place;
    int rc = grow(p);

    if (rc != 0) return rc;
    place = place_of_producer(p, id);
    if (place->id < 0) {
        *place = (struct producer_state){.id = id, .max_time = INT64_MIN, .open_first = -1};
        p->count++;
    }
    *out = place;
    return 0;
}

/* ---- What batches say ------------------------------------------------- */

static void note_data(struct producer_state *state, const struct batch_view *view)
{
    if (view->base_sequence >= 0) {
        memmove(&state->batches[1], &state->batches[0],
                sizeof state->batches - sizeof state->batches[0]);
        state->batches[0] = (struct producer_batch){
            view->base_offset, view->base_sequence,
            rill__sequence_after(view->base_sequence,
                                 (uint32_t)(view->end_offset - view->base_offset - 1))};
        if (state->batch_count < PRODUCER_BATCHES) state->batch_count++;
    }
    if ((view->attributes & BATCH_TRANSACTIONAL) != 0 && state->open_first < 0)
        state->open_first = view->base_offset;
}

static int room_for_aborted(struct producers *p)
{
    size_t room = p->aborted_room == 0 ? 16 : p->aborted_room * 2;
    struct aborted *grown;

    if (p->aborted_count < p->aborted_room) return 0;
    grown = rill__resize(p->heap, p->aborted, room * sizeof *grown);
    if (grown == NULL) return RILL_ERR_NO_MEMORY;
    p->aborted = grown;
    p->aborted_room = room;
    return 0;
}

/* The producer's open transaction ends at the marker. */
static void note_marker(struct producers *p, struct producer_state *state,
                        const struct batch_view *view)
{
    struct aborted aborted = {view->producer_id, state->open_first, view->base_offset, 0};

    state->open_first = -1;
    state->batch_count = 0;
    if (aborted.first < 0 || rill__batch_is_commit(view)) return;
    aborted.first_open = rill__producers_first_open(p);
    p->aborted[p->aborted_count++] = aborted;
}

int rill__producers_note(struct producers *p, const struct batch_view *view)
{
    struct producer_state *state;
    int rc;

    if (view->base_offset < p->end) return 0;
    if (view->producer_id >= 0) {
        rc = find_or_add(p, view->producer_id, &state);
        if (rc == 0) rc = room_for_aborted(p);
        if (rc != 0) return rc;
        if (view->producer_epoch >= state->epoch) state->epoch = view->producer_epoch;
        if (view->max_time > state->max_time) state->max_time = view->max_time;
        if ((view->attributes & BATCH_CONTROL) != 0) note_marker(p, state, view);
        else note_data(state, view);
    }
    p->end = view->end_offset;
    return 0;
}

int32_t rill__producers_expected(const struct producers *p, int64_t id)
{
    const struct producer_state *state = rill__producers_find(p, id);

    if (state == NULL || state->batch_count == 0) return -1;
    return rill__sequence_after(state->batches[0].last, 1);
}

enum producer_verdict rill__producers_check(const struct producers *p, int64_t id, int16_t epoch,
                                            int32_t sequence, uint32_t count,
                                            int64_t *base_offset)
{
    const struct producer_state *state = rill__producers_find(p, id);
    int32_t expected = rill__producers_expected(p, id);

    if (state == NULL) return PRODUCER_APPEND;
    if (epoch < state->epoch) return PRODUCER_FENCED;
    if (expected < 0 || sequence < 0 || sequence == expected) return PRODUCER_APPEND;
    for (int i = 0; i < state->batch_count; i++) {
        const struct producer_batch *batch = &state->batches[i];
        if (batch->first != sequence || batch->last != rill__sequence_after(sequence, count - 1))
            continue;
        *base_offset = batch->base_offset;
        return PRODUCER_DUPLICATE;
    }
    return PRODUCER_OUT_OF_ORDER;
}

int64_t rill__producers_first_open_but(const struct producers *p, int64_t id)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < p->room; i++)
        if (p->places[i].id >= 0 && p->places[i].id != id && p->places[i].open_first >= 0 &&
            p->places[i].open_first < first)
            first = p->places[i].open_first;
    return first;
}

int64_t rill__producers_first_open(const struct producers *p)
{
    return rill__producers_first_open_but(p, -1);
}

/* ---- Aborted ones ----------------------------------------------------- */

static size_t first_aborted_from(const struct producers *p, int64_t offset)
{
    size_t low = 0;
    size_t high = p->aborted_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->aborted[middle].last < offset) low = middle + 1;
        else high = middle;
    }
    return low;
}

bool rill__producers_is_aborted(const struct producers *p, const struct batch_view *view)
{
    for (size_t i = first_aborted_from(p, view->base_offset); i < p->aborted_count; i++) {
        const struct aborted *a = &p->aborted[i];
        if (a->producer_id == view->producer_id && a->first <= view->base_offset) return true;
        if (a->first_open > view->base_offset) return false; /* later ones began later */
    }
    return false;
}

void rill__producers_trim(struct producers *p, int64_t log_start)
{
    size_t gone = first_aborted_from(p, log_start);

    if (gone == 0) return;
    p->aborted_count -= gone;
    memmove(p->aborted, p->aborted + gone, p->aborted_count * sizeof *p->aborted);
}

/* ---- Expiry ----------------------------------------------------------- */

static bool is_expired(const struct producer_state *state, int64_t time_ms)
{
    return state->id >= 0 && state->open_first < 0 && state->max_time < time_ms;
}

/* Those that stay are put into a new table: taking one out of a chain would break it.
 * Without memory for it nothing is forgotten, this time. */
void rill__producers_expire(struct producers *p, int64_t time_ms)
{
    struct producers kept = *p;
    size_t expired = 0;

    for (size_t i = 0; i < p->room; i++)
        if (is_expired(&p->places[i], time_ms)) expired++;
    if (expired == 0) return;
    kept.places = rill__alloc(p->heap, p->room * sizeof *kept.places);
    if (kept.places == NULL) return;
    for (size_t i = 0; i < p->room; i++) kept.places[i].id = -1;
    for (size_t i = 0; i < p->room; i++)
        if (p->places[i].id >= 0 && !is_expired(&p->places[i], time_ms))
            *place_of_producer(&kept, p->places[i].id) = p->places[i];
    kept.count = p->count - expired;
    rill__free(p->heap, p->places);
    *p = kept;
}

/* ---- As a file -------------------------------------------------------- */

uint64_t rill__producers_salt(const uint8_t topic_id[16], int32_t partition)
{
    return rill__checksum(topic_id, 16) ^ rill__mix64((uint32_t)partition);
}

size_t rill__producers_stored_size(const struct producers *p)
{
    return CHECKPOINT_HEAD + p->count * CHECKPOINT_PRODUCER +
           p->aborted_count * CHECKPOINT_ABORTED + CHECKPOINT_TAIL;
}

void rill__producers_store(const struct producers *p, uint64_t salt, uint8_t *bytes)
{
    uint8_t *at = bytes + CHECKPOINT_HEAD;

    memset(bytes, 0, rill__producers_stored_size(p));
    memcpy(bytes, checkpoint_magic, sizeof checkpoint_magic);
    rill__put64(bytes + 8, salt);
    rill__put64(bytes + 16, (uint64_t)p->end);
    rill__put32(bytes + 24, (uint32_t)p->count);
    rill__put32(bytes + 28, (uint32_t)p->aborted_count);
    for (size_t i = 0; i < p->room; i++) {
        const struct producer_state *state = &p->places[i];
        if (state->id < 0) continue;
        rill__put64(at, (uint64_t)state->id);
        rill__put16(at + 8, (uint16_t)state->epoch);
        rill__put16(at + 10, state->batch_count);
        rill__put64(at + 16, (uint64_t)state->max_time);
        rill__put64(at + 24, (uint64_t)state->open_first);
        for (int b = 0; b < state->batch_count; b++) {
            rill__put64(at + 32 + b * 16, (uint64_t)state->batches[b].base_offset);
            rill__put32(at + 40 + b * 16, (uint32_t)state->batches[b].first);
            rill__put32(at + 44 + b * 16, (uint32_t)state->batches[b].last);
        }
        at += CHECKPOINT_PRODUCER;
    }
    for (size_t i = 0; i < p->aborted_count; i++, at += CHECKPOINT_ABORTED) {
        rill__put64(at, (uint64_t)p->aborted[i].producer_id);
        rill__put64(at + 8, (uint64_t)p->aborted[i].first);
        rill__put64(at + 16, (uint64_t)p->aborted[i].last);
        rill__put64(at + 24, (uint64_t)p->aborted[i].first_open);
    }
    rill__put64(at, rill__checksum(bytes, (size_t)(at - bytes)));
}

static bool load_producer(struct producers *p, const uint8_t *at)
{
    struct producer_state state = {.id = (int64_t)rill__get64(at),
                                   .epoch = (int16_t)rill__get16(at + 8),
                                   .max_time = (int64_t)rill__get64(at + 16),
                                   .open_first = (int64_t)rill__get64(at + 24)};
    uint16_t count = rill__get16(at + 10);
    struct producer_state *place;

    if (state.id < 0 || count > PRODUCER_BATCHES || rill__get32(at + 12) != 0 ||
        state.open_first < -1 || state.open_first >= p->end ||
        find_or_add(p, state.id, &place) != 0)
        return false;
    state.batch_count = (uint8_t)count;
    for (int b = 0; b < count; b++) {
        state.batches[b] = (struct producer_batch){(int64_t)rill__get64(at + 32 + b * 16),
                                                   (int32_t)rill__get32(at + 40 + b * 16),
                                                   (int32_t)rill__get32(at + 44 + b * 16)};
        if (state.batches[b].base_offset < 0 || state.batches[b].base_offset >= p->end ||
            state.batches[b].first < 0 || state.batches[b].last < 0)
            return false;
    }
    *place = state;
    return true;
}

static bool load_aborted(struct producers *p, const uint8_t *at)
{
    struct aborted a = {(int64_t)rill__get64(at), (int64_t)rill__get64(at + 8),
                        (int64_t)rill__get64(at + 16), (int64_t)rill__get64(at + 24)};

    if (a.producer_id < 0 || a.first < 0 || a.first > a.last || a.last >= p->end ||
        a.first_open < 0 ||
        (p->aborted_count > 0 && p->aborted[p->aborted_count - 1].last >= a.last) ||
        room_for_aborted(p) != 0)
        return false;
    p->aborted[p->aborted_count++] = a;
    return true;
}

bool rill__producers_load(struct producers *p, uint64_t salt, const uint8_t *bytes, size_t size)
{
    const uint8_t *at = bytes + CHECKPOINT_HEAD;
    uint64_t count;
    uint64_t aborted;
    bool good = true;

    rill__producers_clear(p, 0);
    if (size < CHECKPOINT_HEAD + CHECKPOINT_TAIL ||
        memcmp(bytes, checkpoint_magic, sizeof checkpoint_magic) != 0 ||
        rill__get64(bytes + 8) != salt || (int64_t)rill__get64(bytes + 16) < 0)
        return false;
    count = rill__get32(bytes + 24);
    aborted = rill__get32(bytes + 28);
    if (size != CHECKPOINT_HEAD + count * CHECKPOINT_PRODUCER + aborted * CHECKPOINT_ABORTED +
                    CHECKPOINT_TAIL ||
        rill__get64(bytes + size - CHECKPOINT_TAIL) !=
            rill__checksum(bytes, size - CHECKPOINT_TAIL))
        return false;
    p->end = (int64_t)rill__get64(bytes + 16);
    for (uint64_t i = 0; i < count && good; i++, at += CHECKPOINT_PRODUCER)
        good = load_producer(p, at);
    for (uint64_t i = 0; i < aborted && good; i++, at += CHECKPOINT_ABORTED)
        good = load_aborted(p, at);
    if (!good) rill__producers_clear(p, 0);
    return good;
}
