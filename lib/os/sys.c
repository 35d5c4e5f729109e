/*
 * os/sys.c - the table of raw calls of a test build; see os/sys.h.
 */
#include "os/sys.h"

#ifdef RILL_TEST
struct sys_calls rill__sys = {openat,    close,         fstat,    fstatat, fstatfs,   fcntl,
                              fallocate, ftruncate,     pread,    pwrite,  fdatasync, fsync,
                              renameat,  unlinkat,      mkdirat,  linkat,  mmap,      munmap,
                              madvise,   clock_gettime, getrandom};
#else
extern int rill__sys_unused;
#endif
