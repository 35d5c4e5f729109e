/*
 * meta/scrape.c - records on any page of the catalogue's file.
 *
 * LMDB writes a changed page to another place and leaves the old one as it is, until
 * it is used again. So a record may be in several versions on several pages, of
 * which the tree reaches one; what verifies was there once. Nothing of a page is
 * believed but what its record's checksum says.
 */
#include "meta/inner.h"
#include "meta/page.h"

struct scrape {
    struct map map;
    size_t page_size;
    int (*visit)(void *arg, const MDB_val *key, const MDB_val *value);
    void *arg;
};

/* The value of a node on pages of its own. */
static bool big_value(const struct scrape *s, const uint8_t *at, MDB_val *value)
{
    uint64_t page = get64(at);
    uint64_t pages = s->map.size / s->page_size;

    if (page < 2 || page >= pages ||
        (pages - page) * s->page_size - PAGE_HEAD < (uint64_t)value->mv_size)
        return false;
    value->mv_data = s->map.data + page * s->page_size + PAGE_HEAD;
    return true;
}

static int scrape_node(const struct scrape *s, uint8_t *head, size_t room)
{
    unsigned flags = get16(head + 4);
    size_t before = NODE_HEAD + (size_t)get16(head + 6);
    MDB_val key = {get16(head + 6), head + NODE_HEAD};
    MDB_val value = {get16(head) | (size_t)get16(head + 2) << 16, head + before};

    if (key.mv_size == 0 || key.mv_size > KEY_MAX || before > room ||
        (flags & ~(unsigned)NODE_BIG) != 0)
        return 0;
    if ((flags & NODE_BIG) != 0) {
        if (room - before < 8 || !big_value(s, head + before, &value)) return 0;
    } else if (value.mv_size > room - before) {
        return 0;
    }
    return s->visit(s->arg, &key, &value);
}

static int scrape_page(const struct scrape *s, uint8_t *page)
{
    size_t lower = get16(page + PAGE_LOWER_AT);
    int rc = 0;

    if (get16(page + PAGE_FLAGS_AT) != PAGE_LEAF || lower < PAGE_HEAD || lower > s->page_size)
        return 0;
    for (size_t i = PAGE_HEAD; i + 2 <= lower && rc == 0; i += 2) {
        size_t at = get16(page + i);
        if (at >= PAGE_HEAD && at + NODE_HEAD <= s->page_size)
            rc = scrape_node(s, page + at, s->page_size - at);
    }
    return rc;
}

/* As the file says, if what it says can be; else as LMDB makes them here. */
static size_t size_of_pages(const struct map *map)
{
    size_t size = map->size < META_SIZE ? 0 : get32(map->data + META_TREES_AT);

    return size >= 512 && size <= 32768 && (size & (size - 1)) == 0 ? size : rill__page_size();
}

int rill__meta_scrape(const char *path,
                      int (*visit)(void *arg, const MDB_val *key, const MDB_val *value),
                      void *arg)
{
    struct scrape s = {.visit = visit, .arg = arg};
    struct file dir = FILE_NONE;
    struct file data = FILE_NONE;
    uint64_t size = 0;
    int rc;

    if (sizeof(size_t) != 8) return 0; /* another layout */
    rc = rill__dir_open(path, &dir);
    if (rc == 0) rc = rill__file_open(&dir, "data.mdb", FILE_READ, &data);
    if (rc == 0) rc = rill__file_size(&data, &size);
    if (rc == 0 && size > 0) rc = rill__map(&data, size, false, &s.map);
    if (rc == RILL_ERR_NOT_FOUND || rc == RILL_ERR_CORRUPT) rc = 0; /* nothing to look through */
    if (s.map.data != NULL) s.page_size = size_of_pages(&s.map);
    for (uint64_t at = 0; rc == 0 && s.map.data != NULL && at + s.page_size <= s.map.size;
         at += s.page_size)
        rc = scrape_page(&s, s.map.data + at);
    rill__unmap(&s.map);
    rill__file_close(&data);
    rill__file_close(&dir);
    return rc;
}
