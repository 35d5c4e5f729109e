/*
 * nth.h - every allocation and every call of the operating system fails, on its n-th use:
 * what the harnesses have in common that show what comes of it.
 *
 * A workload is done again and again, each time in a process of its own, with the n-th use
 * of one call failing with one errno, for every n that it has: only that one, or all from
 * there on; transfers also come short, or fail after half or all of their bytes. Rill's
 * calls fail through its table (os/sys.h), memory through the store's allocator, LMDB's
 * because the program has functions of libc's names: one file of it includes nth_libc.h.
 *
 * A case is a number, WWCCNNNNEM: workload, call, n, errno, mode. BUDGET counts runs,
 * chosen by the seed if there are more; CASE=number does one, WORKLOAD=name those of that
 * one.
 */
#ifndef RILL_NTH_H
#define RILL_NTH_H
#include "base/error.h"
#include <rill.h>
#include <stdbool.h>
#include <sys/types.h>

enum nth_call {
    NTH_ALLOC,
    NTH_OPENAT,
    NTH_CLOSE,
    NTH_FSTAT,
    NTH_FSTATAT,
    NTH_FSTATFS,
    NTH_FCNTL,
    NTH_FALLOCATE,
    NTH_FTRUNCATE,
    NTH_PREAD,
    NTH_PWRITE,
    NTH_FDATASYNC,
    NTH_FSYNC,
    NTH_RENAMEAT,
    NTH_UNLINKAT,
    NTH_MKDIRAT,
    NTH_LINKAT,
    NTH_MMAP,
    NTH_MUNMAP,
    NTH_MADVISE,
    NTH_GETRANDOM,
    NTH_LMDB_OPEN,
    NTH_LMDB_PREAD,
    NTH_LMDB_PWRITE,
    NTH_LMDB_WRITE,
    NTH_LMDB_WRITEV,
    NTH_LMDB_FDATASYNC,
    NTH_LMDB_FSYNC,
    NTH_LMDB_FTRUNCATE,
    NTH_LMDB_MMAP,
    NTH_LMDB_FCNTL,
    NTH_CALLS
};

/* In the place of an errno: the call does half and says so. */
enum { NTH_SHORT = -1, NTH_LEFT_MAX = 256 };

/* HALF, WHOLE: a transfer fails after doing so much; after WHOLE all fail that come. */
enum nth_mode { NTH_ONCE, NTH_EVER, NTH_HALF, NTH_WHOLE, NTH_MODES };

struct nth_plan {
    int workload;
    enum nth_call call;
    uint64_t n; /* 0: nothing fails */
    int errno_index;
    enum nth_mode mode;
};

/* What a harness is to the machinery. */
struct nth_harness {
    const char *name;
    uint64_t share;      /* runs, where it is a test among others, */
    uint64_t share_slow; /* and where that is slow */
    int workload_count;
    const char *(*workload_name)(int workload);
    void (*run)(void);           /* one run, in a process of its own; its workload by nth_work */
    void (*sync_failed)(int fd); /* but of an index; NULL: nobody asks */
    void (*read_anew)(int fd);   /* what is read from now on is what is on the disk; NULL */
    bool (*fits)(int rc);        /* more codes that belong to the fault; NULL: none */
};

/* The state of a run. */
struct nth_run {
    struct nth_plan plan;
    int error;
    bool armed;
    uint64_t counts[NTH_CALLS];
    uint64_t fired;
    const char *step; /* the call into the library that runs */
    uint64_t fired_before;
    bool durable;     /* this step appends durably */
    bool sync_failed; /* in it */
    bool lossy;       /* a sync of records failed, or the store said that it is poisoned */
    bool repairs;     /* what a dead process left */
    int bad_close;
    int blocks;
    int boot;
    uint32_t file_system; /* wherever the files are */
    char dir[600];        /* for the run's files; it is not there yet */
    struct {
        void *at;
        size_t size;
    } left[NTH_LEFT_MAX]; /* maps that munmap left because it was told to fail */
    int left_count;
};
extern struct nth_run nth;

/* All of it: what main shall return. */
int nth_main(const struct nth_harness *harness);
/* Ends the run, which was a violation. */
__attribute__((format(printf, 1, 2), noreturn)) void nth_broken(const char *format, ...);

/* Does the workload, with the fault; no call fails before and after it. */
void nth_work(void (*work)(void));
/* What was found is what is there now, whatever failed before. */
void nth_forget_faults(void);
int nth_open_descriptors(void);
/* Neither descriptors, of which there should be so many, nor maps nor memory. */
void nth_check_nothing_left(int descriptors, const char *when);

/* Must not fail anything: it is no error, is done by other means, or only a hint. */
bool nth_is_harmless(void);
void nth_begin(const char *step);
/* True if the step succeeded; the run ends if it failed in a way that does not fit the fault,
 * or kept no promise of durability. */
bool nth_verdict(int rc, bool promises);
/* A call into the library that is a step. */
#define TRY(call) (nth_begin(#call), nth_verdict((call), false))
/* The same of one that promises durability. */
#define DURABLY(call) (nth_begin(#call), nth_verdict((call), true))
/* Must succeed. */
#define MUST(call)                                                                               \
    do {                                                                                         \
        int must_rc = (call);                                                                    \
        if (must_rc != 0) nth_broken("afterwards %s: %d, %s", #call, must_rc, rill_errmsg());    \
    } while (0)

/* The store's memory. */
#define NTH_ALLOCATOR                                                                            \
    {                                                                                            \
        nth_alloc, nth_resize, nth_release, NULL                                                 \
    }
void *nth_alloc(void *arg, size_t size);
void *nth_resize(void *arg, void *memory, size_t size);
void nth_release(void *arg, void *memory);

/* ---- For nth_libc.h, and for what looks at descriptors ---- */

/* True if this use has to fail; errno says why. */
bool nth_fails(enum nth_call call);
/* True of the first one that fails after all was done. */
bool nth_is_whole(void);
ssize_t nth_transfer(enum nth_call call, long number, int fd, void *data, size_t size, off_t at);
ssize_t nth_failing_transfer(long number, int fd, void *data, size_t size, off_t at);
int nth_sync_call(enum nth_call call, long number, int fd);
void nth_is_read_anew(int fd);
void *nth_real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
/* In a buffer that lives until the next call. */
const char *nth_path_of(int fd);
bool nth_name_ends(int fd, const char *ending);

#endif
