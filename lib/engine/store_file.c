/*
 * engine/store_file.c - the file STORE, which says what the directory is; written
 * once.
 *
 *         0    8  magic "RILLSTO1"
 *         8    4  version        1
 *        12    4  features       bits that must be understood; 0
 *        16   16  store uuid
 *        32    8  created        ms since the epoch
 *        40   16  reserved
 *        56    8  XXH3-64 of bytes 0..55
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "engine/store.h"

#define STORE_SIZE 64
#define STORE_VERSION 1

static const char store_magic[8] = {'R', 'I', 'L', 'L', 'S', 'T', 'O', '1'};

int rill__store_file_read(const struct file *dir, const char *path, int64_t *created_ms)
{
    struct file file = FILE_NONE;
    uint8_t b[STORE_SIZE];
    int rc = rill__file_open(dir, "STORE", FILE_READ, &file);

    if (rc != 0) return rc;
    rc = rill__file_read(&file, b, sizeof b, 0);
    rill__file_close(&file);
    if (rc != 0) return rc;
    if (memcmp(b, store_magic, 7) != 0 || rill__get64(b + 56) != rill__checksum(b, 56))
        return rill__fail(RILL_ERR_CORRUPT, "%s/STORE is damaged or no rill store's", path);
    if (b[7] != store_magic[7] || rill__get32(b + 8) != STORE_VERSION || rill__get32(b + 12) != 0)
        return rill__fail(RILL_ERR_FORMAT,
                          "%s: store format %u with features %#x; this library (%d.%d.%d) knows "
                          "format %d with features 0",
                          path, rill__get32(b + 8), rill__get32(b + 12), RILL_VERSION_MAJOR,
                          RILL_VERSION_MINOR, RILL_VERSION_PATCH, STORE_VERSION);
    *created_ms = (int64_t)rill__get64(b + 32);
    return 0;
}

int rill__store_file_write(const struct file *dir)
{
    struct file file = FILE_NONE;
    uint8_t b[STORE_SIZE] = {0};
    int rc;

    memcpy(b, store_magic, sizeof store_magic);
    rill__put32(b + 8, STORE_VERSION);
    rc = rill__random(b + 16, 16);
    if (rc != 0) return rc;
    rill__put64(b + 32, (uint64_t)rill__now_ms());
    rill__put64(b + 56, rill__checksum(b, 56));
    rc = rill__file_open(dir, "STORE.tmp", FILE_WRITE | FILE_CREATE, &file);
    if (rc == 0) rc = rill__file_write(&file, b, sizeof b, 0);
    if (rc == 0) rc = rill__file_sync(&file);
    rill__file_close(&file);
    if (rc == 0) rc = rill__file_rename(dir, "STORE.tmp", "STORE");
    return rc == 0 ? rill__dir_sync(dir) : rc;
}
