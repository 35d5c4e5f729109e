/*
 * os/file.c - files: opened without following links, given real blocks, read
 * and written whole, synced.
 */
#include "os/os.h"
#include "os/sys.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* "dir/name", keeping the end where it does not fit. */
void rill__file_name(struct file *file, const struct file *dir, const char *name)
{
    const char *parts[] = {name, dir == NULL ? "" : "/", dir == NULL ? "" : dir->name};
    char text[sizeof file->name] = "";
    size_t at = sizeof text - 1;
    bool cut = false;

    for (int i = 0; i < 3; i++) { /* from the end */
        size_t size = strlen(parts[i]);
        size_t fits = size < at ? size : at;
        at -= fits;
        memcpy(text + at, parts[i] + size - fits, fits);
        if (fits < size) cut = true;
    }
    if (cut) memcpy(text + at, "...", 3);
    memcpy(file->name, text + at, sizeof text - at);
    file->fd = -1;
    file->below = NULL;
}

#define PLACE_SIZE 384 /* of a path below a directory, and a name */

/* What to call a file of dir from the descriptor dir->fd on. */
static const char *path_to(const struct file *dir, const char *name, char room[PLACE_SIZE])
{
    if (dir->below == NULL) return name;
    snprintf(room, PLACE_SIZE, "%s/%s", dir->below, name);
    return room;
}

static int open_dir(const struct file *parent, const char *name, struct file *dir)
{
    char room[PLACE_SIZE];

    rill__file_name(dir, parent, name);
    do {
        dir->fd = SYS(openat)(parent == NULL ? AT_FDCWD : parent->fd,
                              parent == NULL ? name : path_to(parent, name, room),
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC | (parent ? O_NOFOLLOW : 0));
    } while (dir->fd < 0 && errno == EINTR);
    return dir->fd < 0 ? rill__fail_os(errno, "%s: cannot open the directory", dir->name) : 0;
}

int rill__dir_open(const char *path, struct file *dir)
{
    return open_dir(NULL, path, dir);
}

int rill__dir_open_at(const struct file *parent, const char *name, struct file *dir)
{
    return open_dir(parent, name, dir);
}

int rill__dir_open_parent(const char *path, struct file *dir)
{
    char name[1024];
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/') size--;
    while (size > 0 && path[size - 1] != '/') size--;
    if (size + 2 > sizeof name)
        return rill__fail(RILL_ERR_INVALID, "a path of %zu bytes is too long", strlen(path));
    memcpy(name, path, size);
    memcpy(name + size, ".", 2);
    return open_dir(NULL, name, dir);
}

void rill__dir_below(const struct file *parent, const char *path, struct file *dir)
{
    rill__file_name(dir, parent, path);
    dir->fd = parent->fd;
    dir->below = path;
}

int rill__dir_make(const char *path)
{
    if (SYS(mkdirat)(AT_FDCWD, path, 0700) == 0 || errno == EEXIST) return 0;
    return rill__fail_os(errno, "%s: cannot make the directory", path);
}

int rill__dir_make_at(const struct file *parent, const char *name)
{
    char room[PLACE_SIZE];

    if (SYS(mkdirat)(parent->fd, path_to(parent, name, room), 0700) == 0 || errno == EEXIST)
        return 0;
    return rill__fail_os(errno, "%s/%s: cannot make the directory", parent->name, name);
}

int rill__dir_sync(const struct file *dir)
{
    struct file opened = FILE_NONE;
    int rc;

    if (dir->below != NULL) {
        rc = rill__dir_open_at(dir, ".", &opened);
        memcpy(opened.name, dir->name, sizeof opened.name);
        if (rc == 0) rc = rill__dir_sync(&opened);
        rill__file_close(&opened);
        return rc;
    }
    do {
        rc = SYS(fsync)(dir->fd);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : rill__fail_os(errno, "%s: cannot sync the directory", dir->name);
}

int rill__dir_remove_at(const struct file *parent, const char *name)
{
    char room[PLACE_SIZE];

    if (SYS(unlinkat)(parent->fd, path_to(parent, name, room), AT_REMOVEDIR) == 0 ||
        errno == ENOENT)
        return 0;
    return rill__fail_os(errno, "%s/%s: cannot remove the directory", parent->name, name);
}

int rill__file_open(const struct file *dir, const char *name, int flags, struct file *file)
{
    int how = O_CLOEXEC | O_NOFOLLOW | ((flags & FILE_WRITE) != 0 ? O_RDWR : O_RDONLY);
    char room[PLACE_SIZE];
    struct stat st;

    if ((flags & FILE_CREATE) != 0) how |= O_CREAT;
    if ((flags & FILE_EXCLUSIVE) != 0) how |= O_EXCL;
    rill__file_name(file, dir, name);
    do {
        file->fd = SYS(openat)(dir->fd, path_to(dir, name, room), how | O_NONBLOCK, 0600);
    } while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) {
        int e = errno;
        if (e == ELOOP || e == ENXIO || e == EISDIR)
            return rill__fail(RILL_ERR_CORRUPT, "%s: is no regular file", file->name);
        return rill__fail_os(e, "%s: cannot open", file->name);
    }
    if (SYS(fstat)(file->fd, &st) != 0) {
        int rc = rill__fail_os(errno, "%s: fstat", file->name);
        rill__file_close(file);
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        rill__file_close(file);
        return rill__fail(RILL_ERR_CORRUPT, "%s: is no regular file", file->name);
    }
    return 0;
}

void rill__file_close(struct file *file)
{
    int e = errno;

    if (file->fd >= 0 && file->below == NULL) SYS(close)(file->fd);
    file->fd = -1;
    file->below = NULL;
    errno = e;
}

int rill__file_size(const struct file *file, uint64_t *size)
{
    struct stat st;

    if (SYS(fstat)(file->fd, &st) != 0) return rill__fail_os(errno, "%s: fstat", file->name);
    *size = (uint64_t)st.st_size;
    return 0;
}

int rill__file_identity(const struct file *file, uint64_t *device, uint64_t *inode)
{
    struct stat st;

    if (SYS(fstat)(file->fd, &st) != 0) return rill__fail_os(errno, "%s: fstat", file->name);
    *device = (uint64_t)st.st_dev;
    *inode = (uint64_t)st.st_ino;
    return 0;
}

static int allocate_by_zeros(const struct file *file, uint64_t size)
{
    static const char zeros[65536];
    int rc = 0;

    for (uint64_t at = 0; at < size && rc == 0; at += sizeof zeros) {
        uint64_t left = size - at;
        rc = rill__file_write(file, zeros, left < sizeof zeros ? (size_t)left : sizeof zeros, at);
    }
    return rc;
}

int rill__file_allocate(const struct file *file, uint64_t size)
{
    int rc;
    int e = 0;

    do {
        rc = SYS(fallocate)(file->fd, 0, 0, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) e = errno;
    if (rc != 0 && (e == EOPNOTSUPP || e == ENOSYS)) {
        rc = allocate_by_zeros(file, size);
    } else if (rc != 0) {
        rc = rill__fail_os(e, "%s: no room for %" PRIu64 " bytes", file->name, size);
    }
    /* ext4 leaves a file that has grown in part, and the disk full. */
    if (rc != 0 && SYS(ftruncate)(file->fd, 0) != 0) return rc;
    return rc;
}

void rill__file_reserve(const struct file *file, uint64_t size)
{
    (void)SYS(fallocate)(file->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
}

int rill__file_read(const struct file *file, void *data, size_t size, uint64_t position)
{
    char *at = data;

    while (size > 0) {
        ssize_t n = SYS(pread)(file->fd, at, size, (off_t)position);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return rill__fail_os(errno, "%s: reading %zu bytes at %" PRIu64, file->name, size,
                                 position);
        if (n == 0)
            return rill__fail(RILL_ERR_CORRUPT, "%s: ends before %" PRIu64, file->name,
                              position + size);
        at += n;
        size -= (size_t)n;
        position += (uint64_t)n;
    }
    return 0;
}

int rill__file_write(const struct file *file, const void *data, size_t size, uint64_t position)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = SYS(pwrite)(file->fd, at, size, (off_t)position);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return rill__fail_os(errno, "%s: writing %zu bytes at %" PRIu64, file->name, size,
                                 position);
        if (n == 0)
            return rill__fail(RILL_ERR_IO, "%s: wrote nothing at %" PRIu64, file->name, position);
        at += n;
        size -= (size_t)n;
        position += (uint64_t)n;
    }
    return 0;
}

int rill__file_sync(const struct file *file)
{
    int rc;

    do {
        rc = SYS(fdatasync)(file->fd);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : rill__fail_os(errno, "%s: sync failed", file->name);
}

void rill__file_drop_cache(const struct file *file)
{
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
}

int rill__file_rename(const struct file *dir, const char *from, const char *to)
{
    char rooms[2][PLACE_SIZE];

    if (SYS(renameat)(dir->fd, path_to(dir, from, rooms[0]), dir->fd,
                      path_to(dir, to, rooms[1])) == 0)
        return 0;
    return rill__fail_os(errno, "%s: cannot rename %s to %s", dir->name, from, to);
}

int rill__file_remove(const struct file *dir, const char *name)
{
    char room[PLACE_SIZE];

    if (SYS(unlinkat)(dir->fd, path_to(dir, name, room), 0) == 0 || errno == ENOENT) return 0;
    return rill__fail_os(errno, "%s/%s: cannot remove", dir->name, name);
}

int rill__file_link(const struct file *from_dir, const char *from, const struct file *to_dir,
                    const char *to)
{
    char rooms[2][PLACE_SIZE];
    int e;

    if (SYS(linkat)(from_dir->fd, path_to(from_dir, from, rooms[0]), to_dir->fd,
                    path_to(to_dir, to, rooms[1]), 0) == 0)
        return 0;
    e = errno;
    if (e == EXDEV || e == EPERM || e == EMLINK || e == EOPNOTSUPP || e == ENOSYS)
        return rill__fail(RILL_ERR_UNSUPPORTED, "%s/%s cannot have a second name in %s: %s",
                          from_dir->name, from, to_dir->name, strerrordesc_np(e));
    return rill__fail_os(e, "%s/%s: cannot link to %s/%s", from_dir->name, from, to_dir->name,
                         to);
}

int rill__file_resize(const struct file *file, uint64_t size)
{
    int rc;

    do {
        rc = SYS(ftruncate)(file->fd, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0) return 0;
    return rill__fail_os(errno, "%s: cannot be given %" PRIu64 " bytes", file->name, size);
}

int rill__file_exists(const struct file *dir, const char *name, bool *exists)
{
    char room[PLACE_SIZE];
    struct stat st;

    if (SYS(fstatat)(dir->fd, path_to(dir, name, room), &st, AT_SYMLINK_NOFOLLOW) == 0) {
        *exists = true;
        return 0;
    }
    *exists = false;
    return errno == ENOENT ? 0 : rill__fail_os(errno, "%s/%s", dir->name, name);
}

int rill__file_look(const struct file *dir, const char *name, struct file_facts *facts)
{
    char room[PLACE_SIZE];
    struct stat st;

    *facts = (struct file_facts){0, 0};
    if (SYS(fstatat)(dir->fd, path_to(dir, name, room), &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : rill__fail_os(errno, "%s/%s", dir->name, name);
    facts->size = (uint64_t)st.st_size;
    facts->links = (uint64_t)st.st_nlink;
    return 0;
}

int rill__file_lock(const struct file *file, uint64_t byte, enum file_lock kind, int timeout_ms)
{
    int64_t deadline = rill__deadline(timeout_ms);
    int64_t pause_ns = 200 * 1000;
    struct flock lock = {.l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

    lock.l_type = kind == FILE_LOCK_NONE ? F_UNLCK : kind == FILE_LOCK_SHARED ? F_RDLCK : F_WRLCK;
    for (;;) {
        if (SYS(fcntl)(file->fd, F_OFD_SETLK, &lock) == 0) return 0;
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EACCES)
            return rill__fail_os(errno, "%s: cannot lock byte %" PRIu64, file->name, byte);
        if (rill__monotonic_ns() >= deadline)
            return rill__fail(timeout_ms == 0 ? RILL_ERR_BUSY : RILL_ERR_TIMEOUT,
                              "%s: another process holds the lock on byte %" PRIu64, file->name,
                              byte);
        rill__sleep_ns(pause_ns);
        if (pause_ns < 5 * 1000 * 1000) pause_ns *= 2;
    }
}

static int ask_for_lock(const struct file *file, uint64_t byte, short kind, bool *held)
{
    struct flock lock = {
        .l_type = kind, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

    while (SYS(fcntl)(file->fd, F_OFD_GETLK, &lock) != 0)
        if (errno != EINTR)
            return rill__fail_os(errno, "%s: cannot ask for byte %" PRIu64, file->name, byte);
    *held = lock.l_type != F_UNLCK;
    return 0;
}

int rill__file_lock_held(const struct file *file, uint64_t byte, bool *held)
{
    return ask_for_lock(file, byte, F_RDLCK, held);
}

int rill__file_lock_shared(const struct file *file, uint64_t byte, bool *held)
{
    return ask_for_lock(file, byte, F_WRLCK, held);
}
