/*
 * log/keymap.c - see log/keymap.h.
 *
 * Linear probing from the place that the upper half of the hash's first word
 * gives. Nothing is ever taken out, so a key is between its place and the next
 * empty slot, and there always is one.
 */
#include "log/keymap.h"
#include <string.h>

struct keymap_slot {
    uint64_t low;
    uint64_t high;
    int64_t next; /* 1 + offset; 0: empty */
};

int rill__keymap_init(struct keymap *map, struct heap *heap, uint64_t bytes)
{
    uint64_t count = bytes / sizeof *map->slots;

    if (count < 4) count = 4; /* so that three fit */
    if (count > UINT32_MAX) count = UINT32_MAX;
    *map = KEYMAP_EMPTY;
    map->slots = rill__alloc(heap, (size_t)count * sizeof *map->slots);
    if (map->slots == NULL) return RILL_ERR_NO_MEMORY;
    map->slot_count = (uint32_t)count;
    map->key_max = (uint32_t)(count - (count + 3) / 4);
    return 0;
}

void rill__keymap_deinit(struct keymap *map, struct heap *heap)
{
    rill__free(heap, map->slots);
    *map = KEYMAP_EMPTY;
}

void rill__keymap_clear(struct keymap *map)
{
    memset(map->slots, 0, map->slot_count * sizeof *map->slots);
    map->key_count = 0;
}

/* Where key is, or the empty slot where it would be. */
static struct keymap_slot *find_key(const struct keymap *map, struct hash128 key)
{
    uint32_t at = (uint32_t)(((key.low >> 32) * map->slot_count) >> 32);

    for (;;) {
        struct keymap_slot *slot = &map->slots[at];
        if (slot->next == 0 || (slot->low == key.low && slot->high == key.high)) return slot;
        if (++at == map->slot_count) at = 0;
    }
}

bool rill__keymap_put(struct keymap *map, struct hash128 key, int64_t offset)
{
    struct keymap_slot *slot = find_key(map, key);

    if (slot->next == 0) {
        if (map->key_count == map->key_max) return false;
        slot->low = key.low;
        slot->high = key.high;
        map->key_count++;
    }
    if (slot->next < offset + 1) slot->next = offset + 1;
    return true;
}

int64_t rill__keymap_get(const struct keymap *map, struct hash128 key)
{
    return find_key(map, key)->next - 1;
}
