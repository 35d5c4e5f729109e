/*
 * meta/verify.c - is the catalogue's file one that LMDB can be let loose on?
 *
 * Its layout is in meta/page.h. The meta with the larger transaction number counts.
 *
 * What is checked of a page: that it lies in the file and belongs to one place
 * only, its number and kind, that its nodes lie in it, that its keys go up and
 * are between those of the branch above. Of a tree: depth and counts. Of the
 * free pages: that nobody uses them.
 */
#include "meta/inner.h"
#include "meta/page.h"
#include <inttypes.h>

struct tree {
    const char *name;
    bool of_free_pages;
    uint32_t flags;
    uint32_t depth;
    uint64_t branches; /* what the meta says, less what was seen */
    uint64_t leaves;
    uint64_t overflows;
    uint64_t entries;
    uint64_t root;
};

struct verify {
    struct heap *heap;
    const char *path;
    struct map map;
    size_t page_size;
    uint64_t page_count; /* in the file */
    uint64_t last_page;
    uint64_t txn;
    uint8_t *used; /* a bit for each page */
    uint8_t pinned[META_SIZE];
    bool listing_free; /* the trees are done: now which pages are free */
    const struct meta_walk *tell;
    bool hurt;   /* a page is damaged */
    int stopped; /* what a function of tell returned */
};

/* The page, and all that is only reached through it, is left out from here on. */
static int page_damaged(struct verify *v, uint64_t page, const char *what)
{
    v->hurt = true;
    if (v->tell->damage != NULL)
        v->stopped = v->tell->damage(v->tell->arg, page * v->page_size, what);
    if (v->stopped != 0) return v->stopped;
    return rill__fail(RILL_ERR_CORRUPT,
                      "%s/data.mdb: page %" PRIu64 " at byte %" PRIu64 ": %s; the catalogue is "
                      "damaged, put back a copy of meta/",
                      v->path, page, page * v->page_size, what);
}

static const uint8_t *page_at(const struct verify *v, uint64_t page)
{
    return v->map.data + page * v->page_size;
}

/* ---- Pages ------------------------------------------------------------ */

/* Count pages from here on belong to whoever asks, and to nobody before. */
static int take_pages(struct verify *v, uint64_t page, uint64_t count)
{
    if (page < 2 || page > v->last_page || count > v->last_page - page + 1)
        return page_damaged(v, page, "beyond the pages that there are");
    for (uint64_t i = page; i < page + count; i++) {
        uint8_t bit = (uint8_t)(1u << (i % 8));
        if ((v->used[i / 8] & bit) != 0) return page_damaged(v, i, "is used twice");
        v->used[i / 8] |= bit;
    }
    return 0;
}

static int check_head(struct verify *v, uint64_t page, unsigned flags)
{
    if (page >= v->page_count) return page_damaged(v, page, "beyond the end of the file");
    if (get64(page_at(v, page)) != page)
        return page_damaged(v, page, "has another page's number");
    if (get16(page_at(v, page) + PAGE_FLAGS_AT) != flags)
        return page_damaged(v, page, "is not of the kind that its place wants");
    return 0;
}

/* A key's bytes; size 0 also stands for "none". */
struct key {
    const uint8_t *data;
    size_t size;
};

static int compare_keys(const struct tree *tree, struct key a, struct key b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order;

    if (tree->of_free_pages) {
        uint64_t x = get64(a.data);
        uint64_t y = get64(b.data);
        return x < y ? -1 : x > y;
    }
    order = memcmp(a.data, b.data, size);
    return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

struct node {
    struct key key;
    uint64_t child;      /* of a branch */
    const uint8_t *data; /* of a leaf */
    uint32_t size;
};

/* Node i of a page whose head is well; adds the bytes it takes to *bytes. */
static int node_at(struct verify *v, const struct tree *tree, uint64_t page, unsigned i,
                   bool leaf, struct node *node, size_t *bytes)
{
    const uint8_t *base = page_at(v, page);
    size_t at = get16(base + PAGE_HEAD + 2 * (size_t)i);
    const uint8_t *head = base + at;
    unsigned flags;
    size_t size;

    if (at < get16(base + PAGE_UPPER_AT) || at % 2 != 0 || at > v->page_size - NODE_HEAD)
        return page_damaged(v, page, "a node is not where nodes are");
    flags = get16(head + 4);
    node->key = (struct key){head + NODE_HEAD, get16(head + 6)};
    size = NODE_HEAD + node->key.size;
    if (node->key.size > KEY_MAX || size > v->page_size - at)
        return page_damaged(v, page, "a key leaves the page");
    /* The first key of a branch stands for all that is smaller. */
    if (node->key.size == 0 ? leaf || i > 0 : tree->of_free_pages && node->key.size != 8)
        return page_damaged(v, page, "a key has a size that none has");
    node->size = get16(head) | (uint32_t)get16(head + 2) << 16;
    node->child = node->size | (uint64_t)flags << 32;
    if (leaf) {
        if ((flags & ~(unsigned)NODE_BIG) != 0)
            return page_damaged(v, page, "a node is of a kind that there is not");
        node->data = head + size;
        size_t inside = (flags & NODE_BIG) != 0 ? 8 : node->size;
        if (inside > v->page_size - at - size)
            return page_damaged(v, page, "a value leaves the page");
        size += inside;
        node->child = (flags & NODE_BIG) != 0 ? get64(node->data) : NO_PAGE;
    }
    *bytes += (size + 1) & ~(size_t)1;
    return 0;
}

/* ---- Values ----------------------------------------------------------- */

static uint64_t overflow_count(const struct verify *v, const struct node *node)
{
    return (PAGE_HEAD - 1 + (uint64_t)node->size) / v->page_size + 1;
}

static int take_overflow(struct verify *v, struct tree *tree, struct node *node)
{
    uint64_t count = overflow_count(v, node);
    int rc = take_pages(v, node->child, count);

    if (rc == 0) rc = check_head(v, node->child, PAGE_OVERFLOW);
    if (rc != 0) return rc;
    if (get32(page_at(v, node->child) + PAGE_LOWER_AT) != count ||
        count > v->page_count - node->child)
        return page_damaged(v, node->child, "has not the pages that its value needs");
    node->data = page_at(v, node->child) + PAGE_HEAD;
    tree->overflows -= count;
    return 0;
}

/* Page numbers, their count before them, the largest first. A list of many has pages of its own,
 * which were taken, or found to be damaged, when the tree was walked. */
static int take_free_pages(struct verify *v, uint64_t page, struct node *node)
{
    uint64_t before = NO_PAGE;
    uint64_t count;
    int rc = 0;

    if (node->child != NO_PAGE) {
        if (node->child >= v->page_count || overflow_count(v, node) > v->page_count - node->child)
            return 0;
        node->data = page_at(v, node->child) + PAGE_HEAD;
    }
    count = node->size < 8 ? 0 : get64(node->data);
    if (node->size < 8 || count > node->size / 8 - 1)
        return page_damaged(v, page, "a list of free pages is longer than its value");
    if (get64(node->key.data) > v->txn)
        return page_damaged(v, page, "pages were freed by a transaction that is to come");
    for (uint64_t i = 1; i <= count && rc == 0; i++) {
        uint64_t freed = get64(node->data + 8 * i);
        if (freed >= before) return page_damaged(v, page, "a list of free pages is not in order");
        rc = take_pages(v, freed, 1);
        before = freed;
    }
    return rc;
}

/* ---- Trees ------------------------------------------------------------ */

/* The page's keys are in [low, high); an empty one is no bound. */
static int walk_from(struct verify *v, struct tree *tree, uint64_t page, uint32_t level,
                     struct key low, struct key high);

static int walk_node(struct verify *v, struct tree *tree, uint64_t page, uint32_t level,
                     struct node *node, struct key high)
{
    MDB_val key;
    MDB_val value;
    int rc = 0;

    if (level < tree->depth) return walk_from(v, tree, node->child, level + 1, node->key, high);
    if (v->listing_free) return take_free_pages(v, page, node);
    tree->entries--;
    if (node->child != NO_PAGE) rc = take_overflow(v, tree, node);
    if (rc != 0 || tree->of_free_pages || v->tell->record == NULL) return rc;
    key = (MDB_val){node->key.size, (void *)(uintptr_t)node->key.data};
    value = (MDB_val){node->size, (void *)(uintptr_t)node->data};
    v->stopped = v->tell->record(v->tell->arg, (uint64_t)(node->key.data - v->map.data), &key,
                                 &value, rill__meta_verifies(&key, value.mv_data, value.mv_size));
    return v->stopped;
}

/* On behind damage, if somebody wants to hear of all of it. */
static int go_on(const struct verify *v, int rc)
{
    return rc == RILL_ERR_CORRUPT && v->stopped == 0 && v->tell->damage != NULL ? 0 : rc;
}

static int check_page(struct verify *v, struct tree *tree, uint64_t page, bool leaf)
{
    size_t least = leaf || tree->of_free_pages ? 1 : 2; /* nodes */
    int rc = v->listing_free ? 0 : take_pages(v, page, 1);
    size_t lower;
    size_t upper;

    if (rc == 0) rc = check_head(v, page, leaf ? PAGE_LEAF : PAGE_BRANCH);
    if (rc != 0) return rc;
    lower = get16(page_at(v, page) + PAGE_LOWER_AT);
    upper = get16(page_at(v, page) + PAGE_UPPER_AT);
    if (lower < PAGE_HEAD + 2 * least || lower % 2 != 0 || lower > upper || upper > v->page_size)
        return page_damaged(v, page, "its offsets and nodes overlap, or there are too few");
    if (!v->listing_free && leaf) tree->leaves--;
    else if (!v->listing_free) tree->branches--;
    return 0;
}

static int walk_from(struct verify *v, struct tree *tree, uint64_t page, uint32_t level,
                     struct key low, struct key high)
{
    bool leaf = level == tree->depth;
    struct node node = {.key = low};
    struct node next = {.size = 0};
    size_t bytes = 0;
    unsigned count;
    int rc = check_page(v, tree, page, leaf);

    if (rc != 0) return rc;
    count = (get16(page_at(v, page) + PAGE_LOWER_AT) - PAGE_HEAD) / 2u;
    for (unsigned i = 0; i <= count && rc == 0; i++, node = next) {
        if (i < count) rc = node_at(v, tree, page, i, leaf, &next, &bytes);
        else next.key = high;
        if (rc != 0) break;
        if (i == 0 && !leaf) next.key = low; /* whatever the first one says */
        else if (node.key.size > 0 && next.key.size > 0 &&
                 compare_keys(tree, node.key, next.key) >= (i == 0 ? 1 : 0))
            rc = page_damaged(v, page, "its keys are not in order, or not those of its place");
        if (rc == 0 && i > 0) rc = go_on(v, walk_node(v, tree, page, level, &node, next.key));
    }
    if (rc == 0 && bytes != v->page_size - get16(page_at(v, page) + PAGE_UPPER_AT))
        rc = page_damaged(v, page, "its nodes overlap");
    return rc;
}

static int walk_tree(struct verify *v, struct tree *tree)
{
    struct key none = {NULL, 0};

    if (tree->flags != (tree->of_free_pages ? FREE_TREE_FLAGS : 0u) || tree->depth > DEPTH_MAX ||
        (tree->depth == 0) != (tree->root == NO_PAGE))
        return page_damaged(v, 0, "describes a tree that cannot be");
    return tree->depth == 0 ? 0 : walk_from(v, tree, tree->root, 1, none, none);
}

static int check_tree(struct verify *v, struct tree *tree)
{
    int rc = walk_tree(v, tree);

    if (rc != 0) return rc;
    if (v->hurt) return 0; /* not all of it was seen */
    if ((tree->branches | tree->leaves | tree->overflows | tree->entries) == 0) return 0;
    if (v->tell->miscounted != NULL) *v->tell->miscounted = true;
    return page_damaged(v, tree->root, "its tree has not as many pages or entries as it says");
}

/* ---- The metas -------------------------------------------------------- */

static struct tree read_tree(const uint8_t *at, bool of_free_pages)
{
    return (struct tree){.of_free_pages = of_free_pages,
                         .flags = get16(at + 4),
                         .depth = get16(at + 6),
                         .branches = get64(at + 8),
                         .leaves = get64(at + 16),
                         .overflows = get64(at + 24),
                         .entries = get64(at + 32),
                         .root = get64(at + 40)};
}

/* What is common to both ways of choosing; page 0 has the size of pages. *ours
 * false: not a format that we know, LMDB judges. */
static int check_first(struct verify *v, bool *ours)
{
    const uint8_t *first = v->map.data;

    v->page_size = META_SIZE;
    if (v->map.size < META_SIZE || get32(first + META_AT) != META_MAGIC)
        return page_damaged(v, 0, "is not the beginning of a catalogue");
    *ours = get32(first + META_AT + 4) == META_VERSION;
    if (!*ours) return 0;
    v->page_size = get32(first + META_TREES_AT);
    if (v->page_size < 512 || v->page_size > 32768 || (v->page_size & (v->page_size - 1)) != 0 ||
        v->map.size < 2 * v->page_size) {
        v->page_size = META_SIZE;
        return page_damaged(v, 0, "has a page size that cannot be, or the file is cut short");
    }
    v->page_count = v->map.size / v->page_size;
    return 0;
}

/* The meta that counts. */
static int choose_meta(struct verify *v, const uint8_t **meta)
{
    const uint8_t *first = v->map.data;
    const uint8_t *second = first + v->page_size;
    uint64_t odd;

    if (get32(second + META_AT) != META_MAGIC || get32(second + META_AT + 4) != META_VERSION ||
        get16(first + PAGE_FLAGS_AT) != PAGE_META || get16(second + PAGE_FLAGS_AT) != PAGE_META ||
        get32(second + META_TREES_AT) != v->page_size)
        return page_damaged(v, 1, "is not the second beginning of a catalogue");
    /* They are written in turn: even numbers in page 0, odd ones in page 1. */
    v->txn = get64(first + META_TXN_AT);
    odd = get64(second + META_TXN_AT);
    if ((v->txn | odd) != 0 &&
        (v->txn % 2 != 0 || odd % 2 != 1 || (odd > v->txn ? odd - v->txn : v->txn - odd) != 1))
        return page_damaged(v, 0, "its transaction and that of page 1 do not follow each other");
    *meta = odd > v->txn ? second : first;
    if (odd > v->txn) v->txn = odd;
    return 0;
}

/* The meta of the transaction that is held, before it is the next but one's. */
static int take_pinned(struct verify *v, const uint8_t **meta)
{
    uint64_t txn = *v->tell->pinned;

    memcpy(v->pinned, v->map.data + (txn % 2) * v->page_size, sizeof v->pinned);
    if (get64(v->pinned + META_TXN_AT) != txn || get32(v->pinned + META_AT) != META_MAGIC)
        return RILL_ERR_BUSY;
    v->txn = txn;
    *meta = v->pinned;
    return 0;
}

static int check_extent(struct verify *v, const uint8_t *meta)
{
    uint64_t map_size = get64(meta + META_MAP_SIZE_AT);

    v->last_page = get64(meta + META_LAST_PAGE_AT);
    if (v->last_page >= 1 && map_size <= META_MAP_MAX_BYTES &&
        v->last_page < map_size / v->page_size)
        return 0;
    return page_damaged(v, v->txn % 2, "has more pages than its map");
}

static int verify_map(struct verify *v)
{
    const uint8_t *meta = NULL;
    struct tree tree;
    bool ours;
    int rc = check_first(v, &ours);

    if (rc != 0 || !ours) return rc;
    rc = v->tell->pinned != NULL ? take_pinned(v, &meta) : choose_meta(v, &meta);
    if (rc == 0) rc = check_extent(v, meta);
    if (rc != 0) return rc;
    v->used = rill__alloc(v->heap, v->last_page / 8 + 1);
    if (v->used == NULL) return RILL_ERR_NO_MEMORY;
    tree = read_tree(meta + META_TREES_AT + TREE_SIZE, false);
    rc = go_on(v, check_tree(v, &tree));
    tree = read_tree(meta + META_TREES_AT, true);
    if (rc == 0) rc = go_on(v, check_tree(v, &tree));
    v->listing_free = true;
    if (rc == 0) rc = go_on(v, walk_tree(v, &tree));
    rill__free(v->heap, v->used);
    return rc;
}

int rill__meta_walk(struct heap *heap, const char *path, const struct meta_walk *tell)
{
    struct verify v = {.heap = heap, .path = path, .tell = tell};
    struct file dir = FILE_NONE;
    struct file data = FILE_NONE;
    uint64_t size = 0;
    int rc;

    if (sizeof(size_t) != 8) return 0; /* another layout */
    rc = rill__dir_open(path, &dir);
    if (rc == 0) rc = rill__file_open(&dir, "data.mdb", FILE_READ, &data);
    if (rc == RILL_ERR_NOT_FOUND)
        rc = rill__fail(RILL_ERR_CORRUPT, "%s/data.mdb: the catalogue is missing", path);
    if (rc == 0) rc = rill__file_size(&data, &size);
    if (rc == 0 && size == 0)
        rc = rill__fail(RILL_ERR_CORRUPT, "%s/data.mdb: the catalogue is empty", path);
    if (rc == 0) rc = rill__map(&data, size, false, &v.map);
    if (rc == 0) rc = go_on(&v, verify_map(&v));
    rill__unmap(&v.map);
    rill__file_close(&data);
    rill__file_close(&dir);
    return rc;
}

static int count_rotten(void *arg, uint64_t position, const MDB_val *key, const MDB_val *value,
                        bool verifies)
{
    (void)position, (void)key, (void)value;
    if (!verifies) ++*(size_t *)arg;
    return 0;
}

int rill__meta_verify(struct heap *heap, const char *path, size_t *rotten)
{
    struct meta_walk walk = {.record = count_rotten, .arg = rotten};

    *rotten = 0;
    return rill__meta_walk(heap, path, &walk);
}
