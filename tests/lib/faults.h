/*
 * faults.h - makes calls of the operating system fail, and tells which were
 * made, through rill's table of raw calls (os/sys.h). One thread.
 */
#ifndef RILL_FAULTS_H
#define RILL_FAULTS_H
#include <stdbool.h>
#include <stdint.h>

enum fault_call {
    FAULT_OPENAT = 1 << 0,
    FAULT_FSTAT = 1 << 1,
    FAULT_FALLOCATE = 1 << 2,
    FAULT_FTRUNCATE = 1 << 3,
    FAULT_PREAD = 1 << 4,
    FAULT_PWRITE = 1 << 5,
    FAULT_FDATASYNC = 1 << 6,
    FAULT_FSYNC = 1 << 7,
    FAULT_RENAMEAT = 1 << 8,
    FAULT_UNLINKAT = 1 << 9,
    FAULT_MMAP = 1 << 10,
    FAULT_MADVISE = 1 << 11,
    FAULT_LINKAT = 1 << 12,
    FAULT_ANY = (1 << 13) - 1
};

/* How the calls go on after the one that failed. */
enum fault_after {
    FAULT_ONCE, /* well */
    FAULT_DEAD, /* none does anything any more, as if the process had died there */
    FAULT_TORN, /* well; but a pwrite that failed has written half of its bytes, */
    FAULT_WHOLE /* or all of them */
};

/* The n-th call from now on (1: the next) among `calls`, to files whose name
 * has `name` in it (NULL: any), fails with errno_value and does nothing. */
void faults_fail(unsigned calls, const char *name, uint64_t n, int errno_value,
                 enum fault_after after);
/* Calls among those that faults_fail chose, since then. */
uint64_t faults_count(void);

/* Before every call that is made: the file's name, and where it writes. */
struct fault_event {
    enum fault_call call;
    const char *name;
    uint64_t at;
    uint64_t size;
};
void faults_watch(void (*watch)(void *arg, const struct fault_event *event), void *arg);

/* As if there had been none of this. */
void faults_clear(void);

#endif
