/*
 * os/map.c - files as memory.
 */
#include "os/os.h"
#include "os/sys.h"
#include <errno.h>
#include <inttypes.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

int rill__map(const struct file *file, size_t size, bool writable, struct map *map)
{
    uint64_t have;
    void *data;
    int rc = rill__file_size(file, &have);

    if (rc != 0) return rc;
    if (have < size)
        return rill__fail(RILL_ERR_CORRUPT, "%s: has %" PRIu64 " bytes, %zu are needed",
                          file->name, have, size);
    data = SYS(mmap)(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                     file->fd, 0);
    if (data == MAP_FAILED)
        return rill__fail_os(errno, "%s: cannot map %zu bytes", file->name, size);
    map->data = data;
    map->size = size;
    return 0;
}

void rill__unmap(struct map *map)
{
    if (map->data != NULL) SYS(munmap)(map->data, map->size);
    *map = MAP_NONE;
}

int rill__map_populate(const struct map *map, size_t from, size_t to)
{
    int rc;

    from &= ~(rill__page_size() - 1);
    do {
        rc = SYS(madvise)(map->data + from, to - from, MADV_POPULATE_WRITE);
    } while (rc != 0 && (errno == EINTR || errno == EAGAIN));
    if (rc == 0 || errno == EINVAL || errno == ENOSYS) return 0; /* before Linux 5.14 */
    if (errno == EFAULT)
        return rill__fail(RILL_ERR_NO_SPACE, "the file system has no page for a mapped segment");
    return rill__fail_os(errno, "populating a mapped segment");
}
