/*
 * engine/overlay.h - what a transaction has put into spaces and not yet committed.
 *
 * A sorted map in memory, by space and key; a put of no value is a deletion. Keys and
 * values are copies. Not for threads at once.
 */
#ifndef RILL_ENGINE_OVERLAY_H
#define RILL_ENGINE_OVERLAY_H
#include "base/heap.h"
#include "meta/meta.h"

struct overlay_entry;
struct overlay {
    struct heap *heap;
    struct overlay_entry *root;
    size_t count;
    uint64_t bytes; /* of keys and values, and what it takes to keep them */
    uint64_t random;
};

void rill__overlay_init(struct overlay *overlay, struct heap *heap);
void rill__overlay_clear(struct overlay *overlay);
/* value.data NULL: deleted. RILL_ERR_NO_MEMORY leaves all as it was. */
int rill__overlay_put(struct overlay *overlay, uint32_t space, rill_bytes key, rill_bytes value);
/* False: nothing was put there. *value with data NULL: deleted. Until the next put of the key. */
bool rill__overlay_get(const struct overlay *overlay, uint32_t space, rill_bytes key,
                       rill_bytes *value);
/* As rill__meta_view_next. False: there is none. */
bool rill__overlay_next(const struct overlay *overlay, uint32_t space, rill_bytes from,
                        bool after, bool reverse, rill_bytes *key, rill_bytes *value);
/* Fills in all puts, overlay->count of them, in order; they point into the overlay. */
void rill__overlay_list(const struct overlay *overlay, struct meta_put *puts);

#endif
