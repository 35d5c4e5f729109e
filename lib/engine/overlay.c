/*
 * engine/overlay.c - see engine/overlay.h.
 *
 * A treap: a binary search tree by (space, key) and a heap by a random priority of each
 * entry, so that it is as deep as a random tree whatever the order of the puts.
 */
#include "engine/overlay.h"
#include "base/checksum.h"
#include <string.h>

struct overlay_entry {
    struct overlay_entry *left;
    struct overlay_entry *right;
    uint64_t priority; /* not below its children's */
    uint32_t space;
    uint32_t key_size;
    void *value; /* NULL: deleted */
    size_t value_size;
    uint8_t key[];
};

#define ENTRY_BYTES 128 /* what an entry takes beside its bytes, about */

void rill__overlay_init(struct overlay *overlay, struct heap *heap)
{
    *overlay = (struct overlay){.heap = heap, .random = 1};
}

/* Without recursion, however deep: right turns make it a list to the left. */
void rill__overlay_clear(struct overlay *overlay)
{
    struct overlay_entry *entry = overlay->root;

    while (entry != NULL) {
        struct overlay_entry *left = entry->left;
        if (left != NULL) {
            entry->left = left->right;
            left->right = entry;
            entry = left;
            continue;
        }
        left = entry->right;
        rill__free(overlay->heap, entry->value);
        rill__free(overlay->heap, entry);
        entry = left;
    }
    overlay->root = NULL;
    overlay->count = 0;
    overlay->bytes = 0;
}

static int compare_to(const struct overlay_entry *entry, uint32_t space, rill_bytes key)
{
    size_t common = entry->key_size < key.size ? entry->key_size : key.size;
    int order;

    if (entry->space != space) return entry->space < space ? -1 : 1;
    order = common == 0 ? 0 : memcmp(entry->key, key.data, common);
    if (order != 0) return order;
    return (entry->key_size > key.size) - (entry->key_size < key.size);
}

static struct overlay_entry *find_entry(const struct overlay *overlay, uint32_t space,
                                        rill_bytes key)
{
    struct overlay_entry *entry = overlay->root;

    while (entry != NULL) {
        int order = compare_to(entry, space, key);
        if (order == 0) return entry;
        entry = order < 0 ? entry->right : entry->left;
    }
    return NULL;
}

/* Splits the tree at the key, which is not in it. */
static void split(struct overlay_entry *tree, uint32_t space, rill_bytes key,
                  struct overlay_entry **less, struct overlay_entry **more)
{
    while (tree != NULL) {
        if (compare_to(tree, space, key) < 0) {
            *less = tree;
            less = &tree->right;
            tree = tree->right;
        } else {
            *more = tree;
            more = &tree->left;
            tree = tree->left;
        }
    }
    *less = NULL;
    *more = NULL;
}

static int add_entry(struct overlay *overlay, uint32_t space, rill_bytes key,
                     struct overlay_entry **out)
{
    struct overlay_entry *entry = rill__alloc(overlay->heap, sizeof *entry + key.size);
    struct overlay_entry **at = &overlay->root;

    if (entry == NULL) return RILL_ERR_NO_MEMORY;
    entry->space = space;
    entry->key_size = (uint32_t)key.size;
    if (key.size != 0) memcpy(entry->key, key.data, key.size);
    overlay->random += UINT64_C(0x9E3779B97F4A7C15);
    entry->priority = rill__mix64(overlay->random);
    while (*at != NULL && (*at)->priority >= entry->priority)
        at = compare_to(*at, space, key) < 0 ? &(*at)->right : &(*at)->left;
    split(*at, space, key, &entry->left, &entry->right);
    *at = entry;
    overlay->count++;
    overlay->bytes += key.size + ENTRY_BYTES;
    *out = entry;
    return 0;
}

int rill__overlay_put(struct overlay *overlay, uint32_t space, rill_bytes key, rill_bytes value)
{
    struct overlay_entry *entry = find_entry(overlay, space, key);
    void *copy = NULL;
    int rc = 0;

    if (value.data != NULL) {
        copy = rill__alloc(overlay->heap, value.size);
        if (copy == NULL) return RILL_ERR_NO_MEMORY;
        memcpy(copy, value.data, value.size);
    }
    if (entry == NULL) rc = add_entry(overlay, space, key, &entry);
    if (rc != 0) {
        rill__free(overlay->heap, copy);
        return rc;
    }
    overlay->bytes += value.size - entry->value_size;
    rill__free(overlay->heap, entry->value);
    entry->value = copy;
    entry->value_size = value.size;
    return 0;
}

bool rill__overlay_get(const struct overlay *overlay, uint32_t space, rill_bytes key,
                       rill_bytes *value)
{
    const struct overlay_entry *entry = find_entry(overlay, space, key);

    if (entry == NULL) return false;
    *value = (rill_bytes){entry->value, entry->value_size};
    return true;
}

bool rill__overlay_next(const struct overlay *overlay, uint32_t space, rill_bytes from,
                        bool after, bool reverse, rill_bytes *key, rill_bytes *value)
{
    const struct overlay_entry *entry = overlay->root;
    const struct overlay_entry *best = NULL;

    while (entry != NULL) {
        int order = compare_to(entry, space, from);
        if (from.data == NULL && entry->space == space) order = reverse ? -1 : 1;
        if (reverse ? order < 0 || (order == 0 && !after) : order > 0 || (order == 0 && !after)) {
            best = entry; /* is in; is there a nearer one? */
            entry = reverse ? entry->right : entry->left;
        } else {
            entry = reverse ? entry->left : entry->right;
        }
    }
    if (best == NULL || best->space != space) return false;
    *key = (rill_bytes){best->key, best->key_size};
    *value = (rill_bytes){best->value, best->value_size};
    return true;
}

void rill__overlay_list(const struct overlay *overlay, struct meta_put *puts)
{
    rill_bytes from = {NULL, 0};
    uint32_t space = 0;

    for (size_t i = 0; i < overlay->count; i++) {
        const struct overlay_entry *best = NULL;
        const struct overlay_entry *entry = overlay->root;
        while (entry != NULL) {
            int order = i == 0 ? 1 : compare_to(entry, space, from);
            if (order > 0) best = entry;
            entry = order > 0 ? entry->left : entry->right;
        }
        puts[i] = (struct meta_put){.space = best->space,
                                    .key = {best->key, best->key_size},
                                    .value = {best->value, best->value_size}};
        space = best->space;
        from = puts[i].key;
    }
}
