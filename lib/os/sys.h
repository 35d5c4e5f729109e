/*
 * os/sys.h - the raw calls beneath the seam.
 *
 * In the library they are the libc functions themselves. In a test build they
 * go through a table that a test may change, to fail the n-th call with an
 * errno of its choice, to write short, or to keep a record of what was synced.
 */
#ifndef RILL_OS_SYS_H
#define RILL_OS_SYS_H
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifdef RILL_TEST
struct sys_calls {
    int (*openat)(int dir, const char *name, int flags, ...);
    int (*close)(int fd);
    int (*fstat)(int fd, struct stat *st);
    int (*fstatat)(int dir, const char *name, struct stat *st, int flags);
    int (*fstatfs)(int fd, struct statfs *st);
    int (*fcntl)(int fd, int command, ...);
    int (*fallocate)(int fd, int mode, off_t offset, off_t size);
    int (*ftruncate)(int fd, off_t size);
    ssize_t (*pread)(int fd, void *data, size_t size, off_t at);
    ssize_t (*pwrite)(int fd, const void *data, size_t size, off_t at);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
    int (*unlinkat)(int dir, const char *name, int flags);
    int (*mkdirat)(int dir, const char *name, mode_t mode);
    int (*linkat)(int from_dir, const char *from, int to_dir, const char *to, int flags);
    void *(*mmap)(void *at, size_t size, int prot, int flags, int fd, off_t offset);
    int (*munmap)(void *at, size_t size);
    int (*madvise)(void *at, size_t size, int advice);
    int (*clock_gettime)(clockid_t clock, struct timespec *t);
    ssize_t (*getrandom)(void *data, size_t size, unsigned flags);
};
extern struct sys_calls rill__sys;
#define SYS(call) rill__sys.call
#else
#define SYS(call) call
#endif

#endif
