/*
 * meta/page.h - the layout of LMDB's file.
 *
 * LMDB's file, data version 1 on a 64-bit machine, in its byte order: page 0
 * and 1 are metas, of which the one with the larger transaction number counts;
 * it has the roots of two trees, the free pages and the records.
 *
 *     page      number (8), unused (2), flags (2), then
 *               branch, leaf: end of the offsets (2), start of the nodes (2),
 *               the nodes' offsets (2 each), in the order of their keys
 *               overflow: count of pages (4), then the value
 *     node      low and high half (2 + 2), flags (2), key size (2), key; in a
 *               branch the halves and the flags are the child's page number,
 *               in a leaf the halves are the value's size, the value follows, or
 *               (flag 1) the number (8) of its first overflow page
 *     meta      magic (4), version (4), address (8), map size (8), the two
 *               trees, last page (8), transaction (8)
 *     tree      page size (4, of the free tree), flags (2), depth (2), counts of
 *               branch, leaf and overflow pages and of entries, root (8 each)
 */
#ifndef RILL_META_PAGE_H
#define RILL_META_PAGE_H
#include <stdint.h>
#include <string.h>

enum {
    PAGE_HEAD = 16,
    PAGE_FLAGS_AT = 10,
    PAGE_LOWER_AT = 12,
    PAGE_UPPER_AT = 14,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8,

    NODE_HEAD = 8,
    NODE_BIG = 1,

    META_AT = PAGE_HEAD,
    META_VERSION = 1,
    META_MAP_SIZE_AT = META_AT + 16,
    META_TREES_AT = META_AT + 24,
    META_LAST_PAGE_AT = META_AT + 120,
    META_TXN_AT = META_AT + 128,
    META_SIZE = META_AT + 136,

    TREE_SIZE = 48,
    FREE_TREE_FLAGS = 8, /* integer keys */
    DEPTH_MAX = 32,
    KEY_MAX = 511
};
#define META_MAGIC UINT32_C(0xBEEFC0DE)
#define NO_PAGE UINT64_MAX

/* LMDB's integers are in the machine's byte order. */
static inline uint16_t get16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static inline uint32_t get32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static inline uint64_t get64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

#endif
