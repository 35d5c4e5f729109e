/*
 * log/keymap.h - the last offset of every key, in a fixed amount of memory.
 *
 * What compaction knows about the log: a table with open addressing from the
 * 128-bit hash of a key to the largest offset that was put for it. It never
 * grows; when it is full it says so, and the caller goes on in a further pass.
 *
 * Keys are not kept, only their hashes. Two keys with the same hash would be
 * one key, and the earlier one's record would be lost. With 2^32 different keys
 * in one partition the odds of that are 1 in 2^65, far below those of the
 * memory having flipped a bit, and this is accepted. XXH3 is no cryptographic
 * hash: who can choose keys could make two that are equal, in a log of his own.
 *
 * Pure: no I/O, no locks. Belongs to one thread.
 */
#ifndef RILL_LOG_KEYMAP_H
#define RILL_LOG_KEYMAP_H
#include "base/checksum.h"
#include "base/heap.h"
#include <stdbool.h>

struct keymap {
    struct keymap_slot *slots;
    uint32_t slot_count;
    uint32_t key_count;
    uint32_t key_max; /* 3 in 4 slots: a miss then takes some 8 looks */
};
#define KEYMAP_EMPTY ((struct keymap){NULL, 0, 0, 0})

/* Takes at most bytes of memory, but for three keys in any case. */
int rill__keymap_init(struct keymap *map, struct heap *heap, uint64_t bytes);
void rill__keymap_deinit(struct keymap *map, struct heap *heap); /* an empty one: nothing */
void rill__keymap_clear(struct keymap *map);

/* False if key is not there yet and the map is full. offset is not negative. */
bool rill__keymap_put(struct keymap *map, struct hash128 key, int64_t offset);
/* The largest offset put for key, -1: none. */
int64_t rill__keymap_get(const struct keymap *map, struct hash128 key);

#endif
