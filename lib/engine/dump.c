/*
 * engine/dump.c - rill_dump: which kind of a store's file it is, and STORE itself.
 *
 * The first bytes say what a file is; if they are damaged, or there are none, its
 * name does.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "engine/store.h"
#include <inttypes.h>
#include <stdio.h>

enum { FILE_OF_STORE = LOG_FILE_CONTROL + 1, FILE_OF_NOBODY };

static bool has_mark(const struct file *file, uint64_t at)
{
    char magic[8];
    return rill__file_read(file, magic, sizeof magic, at) == 0 &&
           memcmp(magic, "RILLMRK1", sizeof magic) == 0;
}

static int kind_by_bytes(const struct file *file)
{
    char magic[8] = "";

    if (rill__file_read(file, magic, sizeof magic, 0) != 0) return FILE_OF_NOBODY;
    if (memcmp(magic, "RILLSEG", 7) == 0) return LOG_FILE_SEGMENT;
    if (memcmp(magic, "RILLIDX", 7) == 0) return LOG_FILE_INDEX;
    if (memcmp(magic, "RILLSTO", 7) == 0) return FILE_OF_STORE;
    return has_mark(file, 4096) || has_mark(file, 4608) ? LOG_FILE_CONTROL : FILE_OF_NOBODY;
}

static int kind_by_name(const char *name)
{
    if (strstr(name, ".log") != NULL) return LOG_FILE_SEGMENT;
    if (strstr(name, ".index") != NULL) return LOG_FILE_INDEX;
    if (strncmp(name, "control", 7) == 0) return LOG_FILE_CONTROL;
    return strncmp(name, "STORE", 5) == 0 ? FILE_OF_STORE : FILE_OF_NOBODY;
}

static int dump_store_file(const struct file *file,
                           int (*visit)(void *arg, const rill_item *item), void *arg)
{
    uint8_t b[64] = {0};
    char text[300];
    char uuid[33];
    rill_item item = {.kind = RILL_ITEM_STORE,
                      .size = sizeof b,
                      .first = RILL_OFFSET_NONE,
                      .end = RILL_OFFSET_NONE,
                      .leader_epoch = -1,
                      .text = text};
    uint64_t size = 0;
    int rc = rill__file_size(file, &size);

    if (rc == 0) rc = rill__file_read(file, b, size < sizeof b ? (size_t)size : sizeof b, 0);
    if (rc != 0) return rc;
    item.checksum = rill__get64(b + 56);
    item.attributes = rill__get32(b + 12);
    item.timestamp_ms = (int64_t)rill__get64(b + 32);
    item.sound = size >= sizeof b && memcmp(b, "RILLSTO", 7) == 0 &&
                 item.checksum == rill__checksum(b, 56);
    if (size < sizeof b) item.size = (int64_t)size;
    for (int i = 0; i < 16; i++) snprintf(uuid + (size_t)i * 2, 3, "%02x", b[16 + i]);
    snprintf(text, sizeof text, "store %s, format %u, features %#x, made at %" PRId64 "%s", uuid,
             rill__get32(b + 8), item.attributes, item.timestamp_ms,
             item.sound ? "" : "; it is damaged");
    return visit(arg, &item);
}

int rill__dump(const char *path, int (*visit)(void *arg, const rill_item *item), void *arg)
{
    struct file dir = FILE_NONE;
    struct file file = FILE_NONE;
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    char parent[1024];
    size_t size = (size_t)(name - path);
    struct heap heap;
    int kind = FILE_OF_NOBODY;
    int rc;

    if (size + 2 > sizeof parent)
        return rill__fail(RILL_ERR_INVALID, "a path of %zu bytes; at most %zu", size,
                          sizeof parent - 2);
    memcpy(parent, path, size);
    memcpy(parent + size, ".", 2);
    rill__heap_init(&heap, NULL, 0);
    rc = rill__dir_open(parent, &dir);
    if (rc == 0) rc = rill__file_open(&dir, name, FILE_READ, &file);
    if (rc == 0) kind = kind_by_bytes(&file);
    if (rc == 0 && kind == FILE_OF_NOBODY) kind = kind_by_name(name);
    if (rc == 0 && kind == FILE_OF_NOBODY)
        rc = rill__fail(RILL_ERR_INVALID,
                        "%s is none of a store's files, by its first bytes and its name", path);
    if (rc == 0)
        rc = kind == FILE_OF_STORE
                 ? dump_store_file(&file, visit, arg)
                 : rill__log_dump(&heap, &file, (enum log_file_kind)kind, visit, arg);
    rill__file_close(&file);
    rill__file_close(&dir);
    return rc;
}
