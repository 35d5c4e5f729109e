/*
 * nth_libc.h - functions of libc's names, so that LMDB's calls fail (nth.h). One file of a
 * program includes it, and undefines _FORTIFY_SOURCE before any other: its inline functions
 * have these names, too.
 */
#ifndef RILL_NTH_LIBC_H
#define RILL_NTH_LIBC_H
#include "nth.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LIBC_NAME __attribute__((visibility("default")))

LIBC_NAME int open(const char *path, int flags, ...)
{
    int mode = 0;
    va_list args;

    va_start(args, flags);
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) mode = va_arg(args, int);
    va_end(args);
    return nth_fails(NTH_LMDB_OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

LIBC_NAME ssize_t pread(int fd, void *data, size_t size, off_t at)
{
    return nth_transfer(NTH_LMDB_PREAD, SYS_pread64, fd, data, size, at);
}

LIBC_NAME ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return nth_transfer(NTH_LMDB_PWRITE, SYS_pwrite64, fd, (void *)data, size, at);
}

LIBC_NAME ssize_t write(int fd, const void *data, size_t size)
{
    return nth_transfer(NTH_LMDB_WRITE, SYS_write, fd, (void *)data, size, 0);
}

LIBC_NAME ssize_t writev(int fd, const struct iovec *parts, int count)
{
    bool part = nth.error == NTH_SHORT || nth.plan.mode == NTH_HALF;

    if (!nth_fails(NTH_LMDB_WRITEV)) return syscall(SYS_writev, fd, parts, count);
    if (part) return nth_failing_transfer(SYS_write, fd, parts[0].iov_base, parts[0].iov_len, 0);
    if (nth_is_whole() && syscall(SYS_writev, fd, parts, count) < 0) return -1;
    errno = nth.error;
    return -1;
}

LIBC_NAME int fdatasync(int fd)
{
    return nth_sync_call(NTH_LMDB_FDATASYNC, SYS_fdatasync, fd);
}

LIBC_NAME int fsync(int fd)
{
    return nth_sync_call(NTH_LMDB_FSYNC, SYS_fsync, fd);
}

/* Rill's: what is read from now on is what is on the disk. */
LIBC_NAME int posix_fadvise(int fd, off_t from, off_t size, int advice)
{
    if (advice == POSIX_FADV_DONTNEED) nth_is_read_anew(fd);
    return (int)syscall(SYS_fadvise64, fd, from, size, advice);
}

LIBC_NAME int ftruncate(int fd, off_t size)
{
    return nth_fails(NTH_LMDB_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

LIBC_NAME void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (fd >= 0 && nth_fails(NTH_LMDB_MMAP)) return MAP_FAILED;
    return nth_real_mmap(at, size, prot, flags, fd, offset);
}

LIBC_NAME int fcntl(int fd, int command, ...)
{
    void *argument;
    va_list args;

    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);
    if ((command == F_SETLK || command == F_SETLKW || command == F_GETLK) &&
        nth_fails(NTH_LMDB_FCNTL))
        return -1;
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

#undef LIBC_NAME
#endif
