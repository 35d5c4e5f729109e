/*
 * log/chain.c - see log/chain.h.
 *
 * The order of looking makes what is seen agree with itself: the log start of the
 * words, the marks, the durable end, the tail, since each only goes up and none is
 * ever beyond the next; and the directory last, since segments are made before the
 * tail names them.
 */
#include "log/chain.h"
#include "base/bytes.h"
#include <stdlib.h>

#define MARK_TRIES 5 /* one is not written more often than now and then */

void rill__chain_init(struct chain *chain, struct heap *heap, const struct file *dir,
                      const uint8_t *boot_id)
{
    *chain = (struct chain){.heap = heap, .dir = dir, .boot_id = boot_id};
}

void rill__chain_deinit(struct chain *chain)
{
    rill__free(chain->heap, chain->bases);
    rill__free(chain->heap, chain->visited);
}

/* ---- The control file ------------------------------------------------- */

/* What is wrong with words of this boot; NULL: nothing. */
static const char *implausible(const struct chain *chain, const struct words *w)
{
    const struct tail_copy *t = &w->tail;

    if (t->base < -1 || t->end_offset < 0 || t->epoch < 0) return "no tail is like theirs";
    if (t->base < 0) {
        if (t->end_offset != 0 || w->durable != 0) return "they have an end and no segment";
    } else if (t->end_offset < t->base || t->position < SEGMENT_HEADER_SIZE ||
               t->position > (UINT32_C(1) << 30)) {
        return "their tail is not in its segment";
    }
    if (w->start < 0 || w->start > w->durable) return "their log start is beyond what is durable";
    if (w->durable > t->end_offset) return "their durable end is beyond the end";
    if (chain->marks_valid == 0) return NULL;
    if (t->end_offset < chain->mark.durable_end) return "they end before the durable mark";
    if (w->start > chain->mark.log_start) return "their log start is beyond that of the marks";
    return NULL;
}

static void read_words(struct chain *chain, const struct control *c, int64_t start)
{
    static const uint8_t no_boot[16];
    struct words *w = &chain->words;

    *w = (struct words){.incarnation =
                            atomic_load_explicit(&c->incarnation, memory_order_acquire)};
    if (memcmp(c->boot_id, chain->boot_id, 16) != 0 || memcmp(c->boot_id, no_boot, 16) == 0)
        return;
    w->poison = atomic_load(&c->poison);
    w->deleted = atomic_load(&c->deleted) != 0;
    w->start = start;
    w->durable = atomic_load(&c->durable_end);
    if (w->incarnation == 0) return;
    if (c->magic != CONTROL_MAGIC || c->abi != rill__shared_abi()) {
        w->odd = "they are of another layout";
        return;
    }
    rill__control_tail(c, &w->tail);
    w->odd = implausible(chain, w);
    w->count = w->odd == NULL && w->poison == 0 && !chain->distrusted;
}

/* Marks are written by one call each; one that is seen half is whole soon. */
static int read_marks(struct chain *chain, const struct file *file)
{
    for (int attempt = 0; attempt < MARK_TRIES && chain->marks_valid != 3; attempt++) {
        int rc;

        if (attempt > 0) rill__sleep_ns(1000000);
        rc = rill__marks_look(file, &chain->mark, &chain->marks_valid);
        if (rc != 0) return rc;
    }
    return 0;
}

/* Not what is wrong with the file, but why it cannot be seen. */
static bool is_in_the_way(int rc)
{
    return rc != 0 && rc != RILL_ERR_NOT_FOUND && !rill__is_of_medium(rc);
}

int rill__chain_look_at_control(struct chain *chain)
{
    struct file file = FILE_NONE;
    struct map map = MAP_NONE;
    const struct control *c;
    uint8_t page[512];
    uint64_t size = 0;
    int64_t start;
    int rc = rill__file_open(chain->dir, "control", FILE_READ, &file);

    chain->words = (struct words){.count = false};
    chain->marks_valid = 0;
    chain->control_wrong = NULL;
    chain->control_unreadable = false;
    if (rc == RILL_ERR_NOT_FOUND) chain->control_wrong = "is missing";
    if (rc == 0) rc = rill__file_size(&file, &size);
    if (rc == 0 && size < CONTROL_SIZE) chain->control_wrong = "is cut short";
    if (rc == 0 && size >= CONTROL_SIZE) rc = rill__file_read(&file, page, sizeof page, 0);
    if (rc == 0 && size >= CONTROL_SIZE) rc = rill__map(&file, CONTROL_SIZE, false, &map);
    if (map.data != NULL) {
        c = (const struct control *)(const void *)map.data;
        start = atomic_load(&c->log_start);
        rc = read_marks(chain, &file);
        if (rc == 0) read_words(chain, c, start);
    }
    rill__unmap(&map);
    rill__file_close(&file);
    if (rc != 0 && chain->control_wrong == NULL) {
        chain->control_wrong = "cannot be read";
        chain->control_unreadable = rc == RILL_ERR_IO;
    }
    return is_in_the_way(rc) ? rc : 0;
}

/* ---- The segments there are ------------------------------------------- */

static int compare_offsets(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int note_base(void *arg, const char *name)
{
    struct chain *chain = arg;
    int64_t base = rill__segment_base_of(name);

    if (base < 0) return 0;
    if (chain->count == chain->room) {
        size_t room = chain->room == 0 ? 64 : chain->room * 2;
        int64_t *bases = rill__resize(chain->heap, chain->bases, room * sizeof *bases);
        if (bases == NULL) return RILL_ERR_NO_MEMORY;
        chain->bases = bases;
        chain->room = room;
    }
    chain->bases[chain->count++] = base;
    return 0;
}

/* Those that were visited before stay so. */
static int list_bases(struct chain *chain)
{
    int64_t *old = chain->bases;
    bool *old_visited = chain->visited;
    size_t old_count = chain->count;
    size_t at = 0;
    int rc;

    chain->bases = NULL;
    chain->visited = NULL;
    chain->count = 0;
    chain->room = 0;
    rc = rill__dir_list(chain->dir, note_base, chain);
    if (rc == 0 && chain->count > 0) {
        qsort(chain->bases, chain->count, sizeof *chain->bases, compare_offsets);
        chain->visited = rill__alloc(chain->heap, chain->count * sizeof *chain->visited);
        if (chain->visited == NULL) rc = RILL_ERR_NO_MEMORY;
    }
    for (size_t i = 0; rc == 0 && i < chain->count; i++) {
        while (at < old_count && old[at] < chain->bases[i]) at++;
        chain->visited[i] = at < old_count && old[at] == chain->bases[i] && old_visited[at];
    }
    rill__free(chain->heap, old);
    rill__free(chain->heap, old_visited);
    return rc;
}

int rill__chain_look(struct chain *chain)
{
    int rc;

    rc = rill__chain_look_at_control(chain);
    if (rc == 0) rc = list_bases(chain);
    if (rc != 0) return rc;
    if (chain->words.count) {
        chain->start = chain->words.start;
        chain->must = chain->words.tail.end_offset;
    } else if (chain->marks_valid != 0) {
        chain->start = chain->mark.log_start;
        chain->must = chain->mark.durable_end;
    } else {
        chain->start = -1;
        chain->must = INT64_MAX;
    }
    return 0;
}

bool rill__chain_has(const struct chain *chain, int64_t base)
{
    return rill__chain_before(chain, base) == base;
}

/* The number of bases at or below offset. */
static size_t count_at(const struct chain *chain, int64_t offset)
{
    size_t low = 0;
    size_t high = chain->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (chain->bases[middle] <= offset) low = middle + 1;
        else high = middle;
    }
    return low;
}

int64_t rill__chain_after(const struct chain *chain, int64_t offset)
{
    size_t at = count_at(chain, offset);
    return at == chain->count ? INT64_MAX : chain->bases[at];
}

int64_t rill__chain_before(const struct chain *chain, int64_t offset)
{
    size_t at = count_at(chain, offset);
    return at == 0 ? -1 : chain->bases[at - 1];
}
