/*
 * nth.c - every allocation and every call of the operating system fails, on its
 * n-th use.
 *
 * A workload is done again and again, each time in a process of its own, with
 * the n-th use of one call failing with one errno, for every n that it has: only
 * that one, or all from there on; transfers also come short, or fail after half
 * or all of their bytes. Rill's calls fail through its table (os/sys.h), LMDB's
 * because this file has functions of libc's names, memory through the store's
 * allocator. In each run
 *
 *     nothing crashes or hangs, and nothing is closed twice;
 *     a call that fails says why, with the code that belongs to the errno, and a
 *     short transfer, an interruption or a hint that cannot be had fails nothing;
 *     a call that promises durability does not succeed when a sync failed in it,
 *     and nothing is acknowledged as durable after a sync of records failed.
 *
 * Then the faults end. Without being reopened, the store goes on, or says that
 * it is poisoned; after closing, no descriptor, map or block of memory is left;
 * and when it is opened again, by the same process and then after a boot,
 *
 *     every record that was acknowledged is there, where its offset says (if a
 *     sync failed: that was acknowledged as durable), once;
 *     no record is there that was refused with an error that says so;
 *     topics and committed offsets are what was last acknowledged, or asked for
 *     with an open outcome, and no topic's directory is left over;
 *     of each transaction that was told as committed everything is there: its
 *     records in two partitions, its offset, its state; of each that was told as
 *     aborted, nothing; of the others all or nothing; and none holds readers back;
 *     everything works again.
 *
 * A case is a number, WWCCNNNNEM: workload, call, n, errno, mode. BUDGET counts
 * runs, chosen by the seed if there are more; CASE=number does one, WORKLOAD=name
 * those of that one.
 */
#undef _FORTIFY_SOURCE /* whose inline functions have the names of those below */
#include "base/error.h"
#include "os/sys.h"
#include "proof.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <rill.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifdef __SANITIZE_THREAD__
int main(void)
{
    printf("this sanitizer needs the functions that fail here for itself\n");
    return 77;
}
#else

/* ---- What fails ---- */

enum call {
    ALLOC,
    OPENAT,
    CLOSE,
    FSTAT,
    FSTATAT,
    FSTATFS,
    FCNTL,
    FALLOCATE,
    FTRUNCATE,
    PREAD,
    PWRITE,
    FDATASYNC,
    FSYNC,
    RENAMEAT,
    UNLINKAT,
    MKDIRAT,
    LINKAT,
    MMAP,
    MUNMAP,
    MADVISE,
    GETRANDOM,
    LMDB_OPEN,
    LMDB_PREAD,
    LMDB_PWRITE,
    LMDB_WRITE,
    LMDB_WRITEV,
    LMDB_FDATASYNC,
    LMDB_FSYNC,
    LMDB_FTRUNCATE,
    LMDB_MMAP,
    LMDB_FCNTL,
    CALLS
};

/* In the place of an errno: the call does half and says so. */
enum { SHORT = -1, ERRNOS = 7 };

static const struct {
    const char *name;
    int errnos[ERRNOS];
} calls[CALLS] = {
    [ALLOC] = {"alloc", {ENOMEM}},
    [OPENAT] = {"openat", {EIO, EMFILE, ENFILE, EACCES, ENOSPC, EINTR, ENOMEM}},
    [CLOSE] = {"close", {EIO, EINTR, ENOSPC}},
    [FSTAT] = {"fstat", {EIO, ENOMEM}},
    [FSTATAT] = {"fstatat", {EIO, EACCES, ENOMEM}},
    [FSTATFS] = {"fstatfs", {EIO, ENOSYS}},
    [FCNTL] = {"fcntl", {EIO, ENOLCK, EINTR}},
    [FALLOCATE] = {"fallocate", {EIO, ENOSPC, EDQUOT, EINTR, EOPNOTSUPP, EFBIG}},
    [FTRUNCATE] = {"ftruncate", {EIO, ENOSPC}},
    [PREAD] = {"pread", {EIO, SHORT, EINTR, ENOMEM}},
    [PWRITE] = {"pwrite", {EIO, ENOSPC, SHORT, EDQUOT, EINTR, EFBIG}},
    [FDATASYNC] = {"fdatasync", {EIO, ENOSPC, EDQUOT, EINTR, EROFS}},
    [FSYNC] = {"fsync", {EIO, ENOSPC, EDQUOT, EINTR, EROFS}},
    [RENAMEAT] = {"renameat", {EIO, ENOSPC, EDQUOT, EROFS, EACCES}},
    [UNLINKAT] = {"unlinkat", {EIO, EROFS, EACCES, EBUSY}},
    [MKDIRAT] = {"mkdirat", {EIO, ENOSPC, EDQUOT, EROFS, EACCES}},
    [LINKAT] = {"linkat", {EIO, EXDEV, EPERM, EMLINK, ENOSPC, EACCES}},
    [MMAP] = {"mmap", {ENOMEM, ENODEV, EAGAIN, EACCES}},
    [MUNMAP] = {"munmap", {ENOMEM}},
    [MADVISE] = {"madvise", {ENOMEM, EFAULT, EINTR, EIO, EINVAL}},
    [GETRANDOM] = {"getrandom", {EIO, ENOSYS, EINTR}},
    [LMDB_OPEN] = {"lmdb open", {EIO, EMFILE, ENOSPC, EACCES, ENOMEM}},
    [LMDB_PREAD] = {"lmdb pread", {EIO, SHORT}},
    [LMDB_PWRITE] = {"lmdb pwrite", {EIO, ENOSPC, SHORT, EDQUOT, EINTR}},
    [LMDB_WRITE] = {"lmdb write", {EIO, ENOSPC, SHORT}},
    [LMDB_WRITEV] = {"lmdb writev", {EIO, ENOSPC, SHORT, EDQUOT, EINTR}},
    [LMDB_FDATASYNC] = {"lmdb fdatasync", {EIO, ENOSPC, EDQUOT, EINTR}},
    [LMDB_FSYNC] = {"lmdb fsync", {EIO, ENOSPC}},
    [LMDB_FTRUNCATE] = {"lmdb ftruncate", {EIO, ENOSPC, EDQUOT}},
    [LMDB_MMAP] = {"lmdb mmap", {ENOMEM, ENODEV}},
    [LMDB_FCNTL] = {"lmdb fcntl", {EIO, ENOLCK}},
};

/* HALF, WHOLE: a transfer fails after doing so much; after WHOLE all fail that come. */
enum mode { ONCE, EVER, HALF, WHOLE, MODES };
static const char *const mode_names[] = {"once", "for ever", "after half",
                                         "after all, then for ever"};

struct plan {
    int workload;
    enum call call;
    uint64_t n; /* 0: nothing fails */
    int errno_index;
    enum mode mode;
};

enum { VALUE_SIZE = 3000, ATTEMPTS_MAX = 400, WAIT_MS = 3000, LEFT_MAX = 256 };

/* ---- Between the processes: counts, the verdict, what was promised ---- */

struct slot {
    pid_t pid;
    uint64_t number;
    uint64_t counts[CALLS];
    bool reached;
    char text[1000];
};

enum fate { UNKNOWN, ACKNOWLEDGED, OPEN, REFUSED };

enum { COMMITS_MAX = 8, NO_COMMIT = -1, TXNS_MAX = 16 };

struct model {
    struct {
        enum fate fate;
        bool durable;
        int64_t offset; /* -1: not known */
    } attempts[ATTEMPTS_MAX];
    int attempt_count;
    int64_t committed[COMMITS_MAX]; /* the last that succeeded, and those that failed since */
    int commit_count;
    bool topic_made;
    bool topic_known;         /* whether topic "t" is there is certain */
    char directory[33];       /* of that topic; of those that have transactions */
    bool has_txns;            /* there is a topic "x" for them, and a space */
    enum fate txns[TXNS_MAX]; /* ACKNOWLEDGED: committed; REFUSED: aborted */
    int txn_count;
};

static struct slot *slot;
static struct model *model;

/* ---- The state of a run ---- */

static struct {
    struct plan plan;
    int error;
    bool armed;
    uint64_t counts[CALLS];
    uint64_t fired;
    const char *step; /* the call into the library that runs */
    uint64_t fired_before;
    bool durable;          /* this step appends durably */
    bool sync_failed;      /* in it */
    bool records_unsynced; /* a sync of records failed, and the page cache still has them */
    bool txns_unsynced;    /* the same of a transaction */
    bool lossy;            /* one failed, or the store said that it is poisoned */
    int bad_close;
    int blocks;
    int boot;
    uint32_t file_system;
    struct {
        void *at;
        size_t size;
    } left[LEFT_MAX]; /* maps that munmap left because it was told to fail */
    int left_count;
} run;

static const char *errno_text(int error)
{
    return error == SHORT ? "short" : strerrorname_np(error);
}

static const char *workload_name(int workload);

__attribute__((format(printf, 1, 2), noreturn)) static void broken(const char *format, ...)
{
    int size = snprintf(slot->text, sizeof slot->text,
                        "%s, %s number %" PRIu64 ", %s %s: ", workload_name(run.plan.workload),
                        calls[run.plan.call].name, run.plan.n, errno_text(run.error),
                        mode_names[run.plan.mode]);
    va_list args;

    va_start(args, format);
    vsnprintf(slot->text + size, sizeof slot->text - (size_t)size, format, args);
    va_end(args);
    _exit(1);
}

/* ---- The calls ---- */

/* True if this use has to fail; errno says why. */
static bool fails(enum call call)
{
    if (!run.armed) return false;
    run.counts[call]++;
    if (run.plan.n == 0 || call != run.plan.call || run.counts[call] < run.plan.n) return false;
    if (run.counts[call] > run.plan.n && run.plan.mode != EVER && run.plan.mode != WHOLE)
        return false;
    run.fired++;
    errno = run.error;
    return true;
}

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    if (fails(ALLOC)) return NULL;
    run.blocks++;
    return malloc(size);
}

static void *hook_resize(void *arg, void *memory, size_t size)
{
    (void)arg;
    if (fails(ALLOC)) return NULL;
    if (memory == NULL) run.blocks++;
    return realloc(memory, size);
}

static void hook_release(void *arg, void *memory)
{
    (void)arg;
    if (memory != NULL) run.blocks--;
    free(memory);
}

static int boot_id_fd(void)
{
    char text[40];
    int fd = (int)syscall(SYS_memfd_create, "boot_id", 1u);
    int size = snprintf(text, sizeof text, "%032d", run.boot + 1);

    return fd < 0 || syscall(SYS_pwrite64, fd, text, size, 0) != size ? -1 : fd;
}

static int hook_openat(int dir, const char *name, int flags, ...)
{
    mode_t mode;
    va_list args;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, int) : 0;
    va_end(args);
    if (fails(OPENAT)) return -1;
    if (strcmp(name, "/proc/sys/kernel/random/boot_id") == 0) return boot_id_fd();
    return (int)syscall(SYS_openat, dir, name, flags, mode);
}

/* The descriptor is gone, whatever close says. */
static int hook_close(int fd)
{
    if (syscall(SYS_close, fd) != 0 && errno == EBADF) run.bad_close++;
    return fails(CLOSE) ? -1 : 0;
}

static int hook_fstat(int fd, struct stat *st)
{
    return fails(FSTAT) ? -1 : fstat(fd, st);
}

static int hook_fstatat(int dir, const char *name, struct stat *st, int flags)
{
    return fails(FSTATAT) ? -1 : fstatat(dir, name, st, flags);
}

static int hook_fstatfs(int fd, struct statfs *st)
{
    int rc = fails(FSTATFS) ? -1 : fstatfs(fd, st);

    if (rc == 0) st->f_type = run.file_system; /* wherever the files are */
    return rc;
}

static int hook_fcntl(int fd, int command, ...)
{
    void *argument;
    va_list args;

    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);
    return fails(FCNTL) ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

static int hook_fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fails(FALLOCATE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

static int hook_ftruncate(int fd, off_t size)
{
    return fails(FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

static bool is_whole(void)
{
    return run.plan.mode == WHOLE && run.fired == 1;
}

/* A transfer of one stretch that fails, or does a part. */
static ssize_t failing_transfer(long number, int fd, const void *data, size_t size, off_t at)
{
    bool part = run.error == SHORT || run.plan.mode == HALF;
    ssize_t n = 0;

    if (part && size > 1) n = syscall(number, fd, data, size / 2, at);
    else if (part || is_whole()) n = syscall(number, fd, data, size, at);
    if (run.error == SHORT) return n;
    errno = run.error;
    return -1;
}

static ssize_t transfer(enum call call, long number, int fd, const void *data, size_t size,
                        off_t at)
{
    if (fails(call)) return failing_transfer(number, fd, data, size, at);
    return syscall(number, fd, data, size, at);
}

static ssize_t hook_pread(int fd, void *data, size_t size, off_t at)
{
    return transfer(PREAD, SYS_pread64, fd, data, size, at);
}

static ssize_t hook_pwrite(int fd, const void *data, size_t size, off_t at)
{
    return transfer(PWRITE, SYS_pwrite64, fd, data, size, at);
}

/* In a buffer that lives until the next call. */
static const char *path_of(int fd)
{
    static char path[1024];
    char link[40];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = '\0';
    return path;
}

static bool name_ends(int fd, const char *ending)
{
    const char *path = path_of(fd);
    size_t size = strlen(path);

    return size >= strlen(ending) && strcmp(path + size - strlen(ending), ending) == 0;
}

/* Of topic "t"; else they are those of transactions. */
static bool is_of_records(int fd)
{
    return !model->has_txns || strstr(path_of(fd), model->directory) != NULL;
}

static int sync_call(enum call call, long number, int fd)
{
    if (!fails(call)) return (int)syscall(number, fd);
    if (run.error != EINTR && !name_ends(fd, ".index")) { /* an index is a hint */
        run.sync_failed = true;
        if (name_ends(fd, ".log") && is_of_records(fd)) run.records_unsynced = run.lossy = true;
        else if (name_ends(fd, ".log")) run.txns_unsynced = true;
    }
    errno = run.error;
    return -1;
}

static int hook_fdatasync(int fd)
{
    return sync_call(FDATASYNC, SYS_fdatasync, fd);
}

static int hook_fsync(int fd)
{
    return sync_call(FSYNC, SYS_fsync, fd);
}

static int hook_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(RENAMEAT) ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

static int hook_unlinkat(int dir, const char *name, int flags)
{
    return fails(UNLINKAT) ? -1 : (int)syscall(SYS_unlinkat, dir, name, flags);
}

static int hook_mkdirat(int dir, const char *name, mode_t mode)
{
    return fails(MKDIRAT) ? -1 : (int)syscall(SYS_mkdirat, dir, name, mode);
}

static int hook_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails(LINKAT) ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

static void *real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, at, size, prot, flags, fd, offset);
}

static void *hook_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    return fails(MMAP) ? MAP_FAILED : real_mmap(at, size, prot, flags, fd, offset);
}

static int hook_munmap(void *at, size_t size)
{
    if (!fails(MUNMAP)) return (int)syscall(SYS_munmap, at, size);
    if (run.left_count == LEFT_MAX) broken("too many maps");
    run.left[run.left_count].at = at;
    run.left[run.left_count++].size = size;
    return -1;
}

static ssize_t hook_getrandom(void *data, size_t size, unsigned flags)
{
    return fails(GETRANDOM) ? -1 : syscall(SYS_getrandom, data, size, flags);
}

static int hook_madvise(void *at, size_t size, int advice)
{
    return fails(MADVISE) ? -1 : (int)syscall(SYS_madvise, at, size, advice);
}

static const struct sys_calls hooks = {
    .openat = hook_openat,
    .close = hook_close,
    .fstat = hook_fstat,
    .fstatat = hook_fstatat,
    .fstatfs = hook_fstatfs,
    .fcntl = hook_fcntl,
    .fallocate = hook_fallocate,
    .ftruncate = hook_ftruncate,
    .pread = hook_pread,
    .pwrite = hook_pwrite,
    .fdatasync = hook_fdatasync,
    .fsync = hook_fsync,
    .renameat = hook_renameat,
    .unlinkat = hook_unlinkat,
    .mkdirat = hook_mkdirat,
    .linkat = hook_linkat,
    .mmap = hook_mmap,
    .munmap = hook_munmap,
    .madvise = hook_madvise,
    .clock_gettime = clock_gettime,
    .getrandom = hook_getrandom,
};

/* ---- LMDB's calls, by libc's names ---- */

#define LIBC_NAME __attribute__((visibility("default")))

LIBC_NAME int open(const char *path, int flags, ...)
{
    int mode = 0;
    va_list args;

    va_start(args, flags);
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) mode = va_arg(args, int);
    va_end(args);
    return fails(LMDB_OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

LIBC_NAME ssize_t pread(int fd, void *data, size_t size, off_t at)
{
    return transfer(LMDB_PREAD, SYS_pread64, fd, data, size, at);
}

LIBC_NAME ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return transfer(LMDB_PWRITE, SYS_pwrite64, fd, data, size, at);
}

LIBC_NAME ssize_t write(int fd, const void *data, size_t size)
{
    return transfer(LMDB_WRITE, SYS_write, fd, data, size, 0);
}

LIBC_NAME ssize_t writev(int fd, const struct iovec *parts, int count)
{
    bool part = run.error == SHORT || run.plan.mode == HALF;

    if (!fails(LMDB_WRITEV)) return syscall(SYS_writev, fd, parts, count);
    if (part) return failing_transfer(SYS_write, fd, parts[0].iov_base, parts[0].iov_len, 0);
    if (is_whole() && syscall(SYS_writev, fd, parts, count) < 0) return -1;
    errno = run.error;
    return -1;
}

LIBC_NAME int fdatasync(int fd)
{
    return sync_call(LMDB_FDATASYNC, SYS_fdatasync, fd);
}

LIBC_NAME int fsync(int fd)
{
    return sync_call(LMDB_FSYNC, SYS_fsync, fd);
}

/* Rill's: what is read from now on is what is on the disk. */
LIBC_NAME int posix_fadvise(int fd, off_t from, off_t size, int advice)
{
    if (advice == POSIX_FADV_DONTNEED && name_ends(fd, ".log")) {
        if (is_of_records(fd)) run.records_unsynced = false;
        else run.txns_unsynced = false;
    }
    return (int)syscall(SYS_fadvise64, fd, from, size, advice);
}

LIBC_NAME int ftruncate(int fd, off_t size)
{
    return fails(LMDB_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

LIBC_NAME void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (fd >= 0 && fails(LMDB_MMAP)) return MAP_FAILED;
    return real_mmap(at, size, prot, flags, fd, offset);
}

LIBC_NAME int fcntl(int fd, int command, ...)
{
    void *argument;
    va_list args;

    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);
    if ((command == F_SETLK || command == F_SETLKW || command == F_GETLK) && fails(LMDB_FCNTL))
        return -1;
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* ---- Steps and what they say ---- */

static void begin(const char *step)
{
    run.step = step;
    run.fired_before = run.fired;
    run.sync_failed = run.durable = false;
    rill__fail(0, "%s", ""); /* a message that comes is of this step */
}

/* Must not fail anything: it is no error, is done by other means, or only a hint. */
static bool is_harmless(void)
{
    enum call call = run.plan.call;

    switch (run.error) {
    case SHORT: return call == PREAD || call == PWRITE;
    case EINTR: return call < LMDB_OPEN;
    case EOPNOTSUPP: return call == FALLOCATE;
    case EINVAL: return call == MADVISE;
    case EXDEV:
    case EPERM:
    case EMLINK: return call == LINKAT; /* then it is copied */
    default: return call == CLOSE || call == MUNMAP;
    }
}

/* The code that the errno of the call becomes. */
static int code_of_fault(void)
{
    if (run.plan.call == MADVISE && run.error == EFAULT) return RILL_ERR_NO_SPACE;
    switch (run.error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return RILL_ERR_NO_SPACE;
    case EACCES:
    case EROFS: return RILL_ERR_PERMISSION;
    case ENOMEM: return RILL_ERR_NO_MEMORY;
    case ENOSYS:
    case EOPNOTSUPP: return RILL_ERR_UNSUPPORTED;
    default: return RILL_ERR_IO;
    }
}

/* A failed sync does, and a failed repair after a death. */
static bool repairs; /* what a dead process left */

static bool may_poison(void)
{
    return repairs || (run.plan.call >= PWRITE && run.plan.call <= FSYNC) ||
           run.plan.call >= LMDB_OPEN || run.plan.call == OPENAT;
}

/* LMDB looks at what it has read or locked, and says what is wrong with that. */
static bool is_lmdb_code(int rc)
{
    if (run.plan.call == LMDB_FCNTL) /* it thinks that others have made its table */
        return rc == RILL_ERR_INVALID || rc == RILL_ERR_CORRUPT;
    if (run.error != SHORT) return false;
    return (run.plan.call == LMDB_PREAD && rc == RILL_ERR_CORRUPT) ||
           (run.plan.call == LMDB_PWRITE && rc == RILL_ERR_NO_SPACE);
}

/* What a step may say that the fault was in, or came before. */
static bool is_fitting(int rc)
{
    bool fired = run.fired > run.fired_before;

    if (fired && (rc == code_of_fault() || is_lmdb_code(rc))) return true;
    if (fired && run.durable && rc == RILL_ERR_IO) return true; /* there, but who knows */
    return rc == RILL_ERR_POISONED && may_poison();
}

static bool verdict(int rc, bool promises)
{
    if (rc == 0) {
        if (promises && run.sync_failed) broken("%s succeeds although a sync failed", run.step);
        return true;
    }
    if (rc > 0 || rc == RILL_ERR_BUG) broken("%s: %d, %s", run.step, rc, rill_errmsg());
    if (rill_errmsg()[0] == '\0') broken("%s: %d without a message", run.step, rc);
    if (run.fired == 0) broken("%s fails without a fault: %d, %s", run.step, rc, rill_errmsg());
    if (is_harmless()) broken("%s fails: %d, %s", run.step, rc, rill_errmsg());
    if (!is_fitting(rc))
        broken("%s: %d does not fit %s: %s", run.step, rc,
               run.fired > run.fired_before ? "the fault" : "a fault before", rill_errmsg());
    if (rc == RILL_ERR_POISONED) run.lossy = true;
    return false;
}

/* A call into the library: true if it succeeds, and the run ends if it fails in
 * a way that does not fit the fault. */
#define TRY(call) (begin(#call), verdict((call), false))
/* The same of one that promises durability. */
#define DURABLY(call) (begin(#call), verdict((call), true))
/* Must succeed. */
#define MUST(call)                                                                               \
    do {                                                                                         \
        int must_rc = (call);                                                                    \
        if (must_rc != 0) broken("afterwards %s: %d, %s", #call, must_rc, rill_errmsg());        \
    } while (0)

/* ---- Opening, topics ---- */

static char dir[600];
static rill *store;

static bool open_store(void)
{
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .sync_interval_ms = 3600 * 1000,
                            .allocator = {hook_alloc, hook_resize, hook_release, NULL}};

    store = NULL;
    return DURABLY(rill_open(dir, &options, &store));
}

static void note_durable(void)
{
    for (int i = 0; i < model->attempt_count; i++)
        if (model->attempts[i].fate == ACKNOWLEDGED) model->attempts[i].durable = true;
}

static void close_store(void)
{
    rill *closing = store;

    store = NULL;
    if (DURABLY(rill_close(closing)) && !run.lossy) note_durable();
}

static bool make_topic(void)
{
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 64 << 10};

    model->topic_known = false;
    if (!DURABLY(rill_topic_create(store, "t", &options))) return false;
    model->topic_known = model->topic_made = true;
    return true;
}

/* Whether a commit that fails is there or not is open. */
static void note_committing(int64_t offset)
{
    if (model->commit_count == COMMITS_MAX) broken("too many commits");
    model->committed[model->commit_count++] = offset;
}

static void note_committed(int64_t offset)
{
    model->commit_count = 0;
    note_committing(offset);
}

static void delete_topic(void)
{
    model->topic_known = false;
    begin("rill_topic_delete");
    /* The records' own syncs do not matter any more. */
    if (!verdict(rill_topic_delete(store, "t"), run.plan.call != FDATASYNC)) return;
    model->topic_known = true;
    model->topic_made = false;
    model->attempt_count = 0;
    note_committed(NO_COMMIT);
}

/* ---- Appending ---- */

static int new_attempt(rill_record *record, uint8_t *value)
{
    int number = model->attempt_count++;

    if (number == ATTEMPTS_MAX) broken("too many records");
    model->attempts[number].fate = UNKNOWN;
    model->attempts[number].durable = false;
    model->attempts[number].offset = -1;
    *record = (rill_record)RILL_RECORD_INIT;
    record->partition = 0;
    memset(value, number & 0xff, VALUE_SIZE);
    memcpy(value, &number, sizeof number);
    record->key = (rill_bytes){value, sizeof number}; /* no other's: compaction leaves all */
    record->value = (rill_bytes){value, VALUE_SIZE};
    return number;
}

/* What was written may stand where it cannot be taken back; then the log is
 * poisoned, whatever was to be acknowledged. */
static bool leaves_open(int rc, bool durable)
{
    return rc == RILL_ERR_POISONED || (durable && (rc == RILL_ERR_TIMEOUT || rc == RILL_ERR_IO));
}

static void settle(int number, int rc, int64_t offset, bool durable)
{
    enum fate fate = leaves_open(rc, durable) ? OPEN : REFUSED;

    model->attempts[number].offset = offset;
    model->attempts[number].durable = rc == 0 && durable;
    model->attempts[number].fate = rc == 0 ? ACKNOWLEDGED : fate;
    if (rc == 0 && durable && run.records_unsynced)
        broken("%s: record %d is acknowledged after a sync failed", run.step, number);
}

/* Before its outcome is known, and if nothing comes of it. */
static void refuse(int number)
{
    settle(number, RILL_ERR_FULL, -1, false);
}

struct writer {
    rill_producer *producer;
    bool durable;
};

static void append(struct writer *w)
{
    uint8_t value[VALUE_SIZE];
    rill_record record;
    rill_offset offset = -1;
    int number = new_attempt(&record, value);
    int rc;

    begin("append");
    run.durable = w->durable;
    rc = rill_producer_append(w->producer, &record, 1, WAIT_MS, &offset);
    verdict(rc, w->durable);
    settle(number, rc, offset, w->durable);
}

static void on_delivery(void *arg, const rill_delivery *delivery)
{
    const struct writer *w = arg;

    settle((int)(intptr_t)delivery->opaque, delivery->status, delivery->offset, w->durable);
}

static void send_unflushed(struct writer *w, int count)
{
    uint8_t value[VALUE_SIZE];
    rill_record record;

    for (int i = 0; i < count; i++) {
        int number = new_attempt(&record, value);
        if (!TRY(rill_producer_send(w->producer, &record, (void *)(intptr_t)number, WAIT_MS)))
            refuse(number);
    }
}

static void send(struct writer *w, int count)
{
    uint64_t fired_before = run.fired;

    send_unflushed(w, count);
    TRY(rill_producer_poll(w->producer));
    begin("flush");
    run.fired_before = fired_before; /* it tells what befell any of them */
    run.durable = w->durable;
    verdict(rill_producer_flush(w->producer, WAIT_MS), w->durable);
}

static void append_in_place(struct writer *w, bool commit)
{
    uint8_t value[VALUE_SIZE];
    rill_reservation room;
    rill_record record;
    rill_offset offset = -1;
    int number = new_attempt(&record, value);
    int rc;

    refuse(number);
    if (!TRY(rill_producer_reserve(w->producer, &record, WAIT_MS, &room))) return;
    memcpy(room.value, value, VALUE_SIZE);
    if (!commit) {
        TRY(rill_producer_abandon(w->producer));
        return;
    }
    begin("commit in place");
    run.durable = w->durable;
    rc = rill_producer_commit(w->producer, &offset);
    verdict(rc, w->durable);
    settle(number, rc, offset, w->durable);
}

static uint32_t compression; /* that writers ask for */

static bool open_writer(struct writer *w, bool durable)
{
    rill_producer_options options = {.size = sizeof options,
                                     .topic = "t",
                                     .acks = durable ? RILL_ACKS_DURABLE : RILL_ACKS_WRITTEN,
                                     .delivery = on_delivery,
                                     .delivery_arg = w,
                                     .compression = compression};

    w->durable = durable;
    return TRY(rill_producer_open(store, &options, &w->producer));
}

static void close_writer(struct writer *w)
{
    TRY(rill_producer_close(w->producer, WAIT_MS));
}

static void append_many(int count, bool durable)
{
    struct writer w;

    if (!open_writer(&w, durable)) return;
    while (count-- > 0) append(&w);
    close_writer(&w);
}

static void append_in_every_way(bool durable)
{
    struct writer w;

    if (!open_writer(&w, durable)) return;
    send(&w, 3);
    for (int i = 0; i < 3; i++) append(&w);
    append_in_place(&w, true);
    append_in_place(&w, false);
    append_in_place(&w, true);
    send(&w, 2);
    close_writer(&w);
}

static void sync_store(void)
{
    if (DURABLY(rill_sync(store, WAIT_MS)) && !run.lossy) note_durable();
}

/* ---- Reading ---- */

static void poll_some(rill_consumer *consumer, size_t *count)
{
    rill_record records[10];

    *count = 0;
    TRY(rill_consumer_poll(consumer, 0, records, 10, count));
}

static void read_alone(void)
{
    rill_position from = {"t", 0, -1, 0, NULL};
    rill_consumer *consumer;
    rill_offset offset;
    int64_t lag;
    size_t count;

    if (!TRY(rill_consumer_open(store, NULL, &consumer))) return;
    if (TRY(rill_consumer_assign(consumer, &from, 1))) {
        for (int i = 0; i < 8; i++) poll_some(consumer, &count);
        TRY(rill_consumer_lag(consumer, "t", 0, &lag));
        TRY(rill_consumer_seek(consumer, "t", 0, 3));
        poll_some(consumer, &count);
        TRY(rill_consumer_seek_time(consumer, "t", 0, 1));
        poll_some(consumer, &count);
    }
    TRY(rill_partition_offset_for_time(store, "t", 0, 1, &offset));
    TRY(rill_consumer_close(consumer, 0));
}

static void commit(rill_consumer *consumer, int64_t offset)
{
    rill_position position = {"t", 0, -1, offset, NULL};

    note_committing(offset);
    if (DURABLY(rill_consumer_commit(consumer, &position, 1))) note_committed(offset);
}

static void read_in_group(void)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    const char *topics[] = {"t"};
    rill_position position;
    rill_consumer *consumer;
    size_t count = 0;

    if (!TRY(rill_consumer_open(store, &options, &consumer))) return;
    if (TRY(rill_consumer_subscribe(consumer, topics, 1))) {
        for (int i = 0; i < 4; i++) poll_some(consumer, &count);
        if (count > 0) commit(consumer, 7);
        if (count > 0) commit(consumer, 9);
        TRY(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
        TRY(rill_consumer_unsubscribe(consumer));
    }
    TRY(rill_consumer_close(consumer, 0));
}

/* ---- Transactions ---- */

struct job {
    rill_producer *producer;
    rill_consumer *consumer;
    rill_space *space;
};

static void close_job(struct job *job)
{
    if (job->producer != NULL) TRY(rill_producer_close(job->producer, WAIT_MS));
    if (job->consumer != NULL) TRY(rill_consumer_close(job->consumer, 0));
    if (job->space != NULL) rill_space_close(job->space);
    memset(job, 0, sizeof *job);
}

static bool open_job(struct job *job)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = "x", .transactional_id = "job"};
    rill_consumer_options in = {.size = sizeof in, .group = "tg"};

    memset(job, 0, sizeof *job);
    if (TRY(rill_space_open(store, "s", RILL_SPACE_CREATE, &job->space)) &&
        TRY(rill_consumer_open(store, &in, &job->consumer)) &&
        TRY(rill_producer_open(store, &options, &job->producer)))
        return true;
    close_job(job);
    return false;
}

/* Of a call in a transaction, or of its commit: a record of it may have failed before. */
static bool txn_verdict(int rc, bool promises)
{
    if (rc == RILL_ERR_ABORTED && run.fired > 0 && !is_harmless() && rill_errmsg()[0] != '\0')
        return false;
    if (rc == RILL_ERR_POISONED) run.lossy = true;
    return verdict(rc, promises);
}

#define TRY_IN_TXN(call) (begin(#call), txn_verdict((call), false))

static bool send_in_txn(struct job *job, int32_t partition, const int64_t *number)
{
    rill_record record = RILL_RECORD_INIT;

    record.partition = partition;
    record.value = (rill_bytes){number, sizeof *number};
    return TRY_IN_TXN(rill_producer_send(job->producer, &record, NULL, WAIT_MS));
}

/* Its records, its state, its offset. */
static bool fill_txn(struct job *job, rill_txn *txn, int64_t number)
{
    rill_position position = {"t", 0, -1, number + 1, NULL};
    rill_bytes value = {&number, sizeof number};
    rill_bytes found;
    int rc;

    if (!send_in_txn(job, 0, &number) || !send_in_txn(job, 1, &number)) return false;
    begin("rill_txn_get");
    rc = rill_txn_get(txn, job->space, (rill_bytes){"last", 4}, &found);
    if (rc != RILL_ERR_NOT_FOUND && !txn_verdict(rc, false)) return false;
    return TRY_IN_TXN(rill_txn_put(txn, job->space, (rill_bytes){"last", 4}, value)) &&
           TRY_IN_TXN(rill_txn_put(txn, job->space, value, value)) &&
           TRY_IN_TXN(rill_txn_send_offsets(txn, job->consumer, &position, 1));
}

static bool abort_txn(rill_txn *txn, int number, bool in_doubt)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        int rc;
        begin("rill_txn_abort");
        rc = rill_txn_abort(txn, WAIT_MS);
        if (rc == RILL_ERR_EXISTS && !in_doubt)
            broken("transaction %d has committed itself", number);
        if (rc == 0 || rc == RILL_ERR_EXISTS) {
            model->txns[number] = rc == 0 ? REFUSED : ACKNOWLEDGED;
            return true;
        }
        verdict(rc, false);
    }
    return false;
}

/* One transaction; false: the producer is in the middle of it still. */
static bool transact(struct job *job, bool commit)
{
    int number = model->txn_count++;
    bool good;
    rill_txn *txn;
    int rc;

    if (number == TXNS_MAX) broken("too many transactions");
    model->txns[number] = REFUSED;
    if (!TRY(rill_txn_begin(job->producer, &txn))) return true;
    good = fill_txn(job, txn, number);
    if (!good || !commit) return abort_txn(txn, number, false);
    model->txns[number] = OPEN;
    begin("rill_txn_commit");
    run.durable = true;
    rc = rill_txn_commit(txn, WAIT_MS);
    if (txn_verdict(rc, run.plan.call >= LMDB_OPEN)) {
        model->txns[number] = ACKNOWLEDGED;
        if (run.txns_unsynced) broken("transaction %d is committed after a sync failed", number);
        return true;
    }
    return abort_txn(txn, number, true);
}

static bool sees_number(rill_space *space, rill_bytes key, int64_t expected)
{
    int64_t value;
    size_t size;
    int rc = rill_space_get(space, key, &value, sizeof value, &size);

    if (rc == RILL_ERR_NOT_FOUND) return expected < 0;
    MUST(rc);
    return size == sizeof value && value == expected;
}

/* Which transactions a reader sees in the partition. */
static void look_at_txns(int32_t partition, bool *seen)
{
    rill_consumer_options options = {.size = sizeof options, .isolation = RILL_READ_COMMITTED};
    rill_position from = {"x", partition, -1, 0, NULL};
    rill_consumer *reader;
    rill_record records[20];
    int64_t before = -1;
    size_t count;

    MUST(rill_consumer_open(store, &options, &reader));
    MUST(rill_consumer_assign(reader, &from, 1));
    do {
        MUST(rill_consumer_poll(reader, 0, records, 20, &count));
        for (size_t i = 0; i < count; i++) {
            int64_t number;
            memcpy(&number, records[i].value.data, sizeof number);
            if (number <= before || number >= model->txn_count)
                broken("transaction %" PRId64 " is behind %" PRId64 " in x-%d", number, before,
                       (int)partition);
            seen[number] = true;
            before = number;
        }
    } while (count > 0);
    MUST(rill_consumer_close(reader, 0));
}

static void check_txn(int number, bool there, bool second, rill_space *space)
{
    int64_t key = number;

    if (second != there) broken("transaction %d is in one partition of two", number);
    if (!sees_number(space, (rill_bytes){&key, sizeof key}, there ? number : -1))
        broken("transaction %d: its records are %sthere, its state is not so", number,
               there ? "" : "not ");
    if (model->txns[number] == ACKNOWLEDGED && !there)
        broken("transaction %d was committed and is lost", number);
    if (model->txns[number] == REFUSED && there)
        broken("transaction %d was aborted and is there", number);
    model->txns[number] = there ? ACKNOWLEDGED : REFUSED;
}

static void check_txns(void)
{
    bool seen[2][TXNS_MAX] = {{false}};
    rill_position position;
    int64_t last = -1;
    struct job job;

    look_at_txns(0, seen[0]);
    look_at_txns(1, seen[1]);
    if (!open_job(&job)) broken("the job does not open");
    for (int i = 0; i < model->txn_count; i++) {
        check_txn(i, seen[0][i], seen[1][i], job.space);
        if (seen[0][i]) last = i;
    }
    if (!sees_number(job.space, (rill_bytes){"last", 4}, last))
        broken("the state is not that of transaction %" PRId64, last);
    MUST(rill_consumer_committed(job.consumer, "t", 0, &position, NULL, 0));
    if (position.offset != (last < 0 ? RILL_OFFSET_NONE : last + 1))
        broken("the offset is not that of transaction %" PRId64 ": %" PRId64, last,
               position.offset);
    if (!transact(&job, true) || model->txns[model->txn_count - 1] != ACKNOWLEDGED)
        broken("no transaction is possible: %s", rill_errmsg());
    close_job(&job);
    look_at_txns(0, seen[0]);
    if (!seen[0][model->txn_count - 1]) broken("a transaction holds readers back");
}

/* ---- Workloads ---- */

static void prepare_nothing(void)
{
    run.file_system = 0xef53; /* ext4 */
}

/* So many records, in segments of some 20, and a group's commit. */
static void fill(int count)
{
    prepare_nothing();
    open_store();
    make_topic();
    append_many(count, false);
    if (count > 10) read_in_group();
}

static void prepare_topic(void)
{
    fill(16);
}

static void prepare_cow(void)
{
    prepare_nothing();
    run.file_system = 0x9123683e; /* btrfs */
    open_store();
    make_topic();
    append_many(16, false);
}

static void prepare_closed(void)
{
    fill(45);
    close_store();
}

static void prepare_reopened(void)
{
    prepare_closed();
    open_store();
}

/* As a process leaves it that dies. */
static void prepare_dead(void)
{
    int status;
    pid_t pid;

    prepare_nothing();
    pid = fork();
    if (pid == 0) {
        fill(20);
        sync_store();
        append_many(25, false);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) broken("setting up fails");
}

static void remove_indexes(const char *path)
{
    struct dirent *entry;
    DIR *stream = opendir(path);
    char name[900];

    if (stream == NULL) return;
    while ((entry = readdir(stream)) != NULL) {
        size_t size = strlen(entry->d_name);
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%.600s/%s", path, entry->d_name);
        if (size > 6 && strcmp(entry->d_name + size - 6, ".index") == 0) unlink(name);
        else if (entry->d_type == DT_DIR) remove_indexes(name);
    }
    closedir(stream);
}

static void prepare_boot(void)
{
    prepare_dead();
    run.boot++;
}

static void prepare_boot_without_indexes(void)
{
    prepare_boot();
    remove_indexes(dir);
}

static void work_create(void)
{
    if (open_store()) close_store();
}

static void work_topic(void)
{
    rill_topic_info info;
    rill_partition_info partition;

    if (!make_topic()) return;
    TRY(rill_topic_describe(store, "t", &info));
    TRY(rill_partition_describe(store, "t", 0, &partition));
}

static void work_append(void)
{
    append_in_every_way(false);
}

static void work_durable(void)
{
    append_in_every_way(true);
    append_many(2, false);
    sync_store();
}

/* Every record stays; the segments are written anew all the same. */
static void work_compact(void)
{
    rill_topic_options options = {.size = sizeof options, .cleanup_policy = RILL_CLEANUP_COMPACT};
    rill_compact_report report = {.size = sizeof report};

    if (!TRY(rill_topic_alter(store, "t", RILL_TOPIC_CLEANUP_POLICY, &options))) return;
    TRY(rill_partition_compact(store, "t", 0, &report));
    read_alone();
    append_many(2, false);
    TRY(rill_partition_compact(store, "t", 0, NULL));
    read_alone();
}

/* By every codec that is there, and read. */
static void work_compressed(void)
{
    for (compression = RILL_COMPRESSION_LZ4; compression <= RILL_COMPRESSION_ZSTD; compression++)
        if (rill_compression_available(compression))
            append_in_every_way(compression == RILL_COMPRESSION_ZSTD);
    compression = RILL_COMPRESSION_NONE;
    append_many(2, false);
    read_alone();
}

static void work_read(void)
{
    read_alone();
}

static void work_group(void)
{
    rill_group_info info;

    read_in_group();
    TRY(rill_group_describe(store, "g", &info));
}

static bool join_group(rill_consumer **consumer)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    const char *topics[] = {"t"};
    size_t count;

    *consumer = NULL;
    if (!TRY(rill_consumer_open(store, &options, consumer))) return false;
    if (!TRY(rill_consumer_subscribe(*consumer, topics, 1))) return false;
    for (int i = 0; i < 3; i++) poll_some(*consumer, &count);
    return true;
}

/* Whoever does not get in, or leaves, is no member. */
static void work_second_member(void)
{
    rill_consumer *first;
    rill_consumer *second;
    rill_group_info info;

    run.armed = false;
    if (!join_group(&first)) broken("the first member cannot join");
    run.armed = true;
    join_group(&second);
    if (second != NULL) TRY(rill_consumer_close(second, 0));
    run.armed = false;
    begin("rill_group_describe");
    if (rill_group_describe(store, "g", &info) == 0 && info.member_count != 1)
        broken("the group has %u members, 1 is there", info.member_count);
    TRY(rill_consumer_close(first, 0));
}

static void work_maintain(void)
{
    TRY(rill_maintain(store, NULL));
    append_many(6, false);
    TRY(rill_maintain(store, NULL));
    append_many(18, false);
    sync_store();
}

static void work_close(void)
{
    close_store();
}

/* Opening recovers what the first use of the partition needs. */
static void work_open(void)
{
    rill_partition_info info;

    if (!open_store()) return;
    TRY(rill_partition_describe(store, "t", 0, &info));
    append_many(1, false);
    append_many(1, true);
    close_store();
}

static void work_delete(void)
{
    note_committing(NO_COMMIT);
    if (DURABLY(rill_group_delete(store, "g"))) note_committed(NO_COMMIT);
    delete_topic();
    if (model->topic_known) make_topic();
}

static int visit_offset(void *arg, const rill_group_offset *offset)
{
    (void)arg, (void)offset;
    return 0;
}

/* What the group has committed, seen and changed from outside. */
static void work_offsets(void)
{
    rill_position position = {.topic = "t", .partition = RILL_PARTITION_ANY};
    rill_group_reset_options options = {.size = sizeof options,
                                        .to = RILL_RESET_TO_OFFSET,
                                        .value = 5,
                                        .positions = &position,
                                        .position_count = 1};
    int64_t lag;

    TRY(rill_group_offsets(store, "g", visit_offset, NULL));
    TRY(rill_group_lag(store, "g", RILL_READ_DURABLE, &lag));
    note_committing(5);
    if (DURABLY(rill_group_reset(store, "g", &options))) note_committed(5);
    options.to = RILL_RESET_TO_OWN;
    options.positions = NULL;
    options.csv = "t,0,3\n";
    options.csv_size = 6;
    note_committing(3);
    if (DURABLY(rill_group_reset(store, "g", &options))) note_committed(3);
    TRY(rill_maintain(store, NULL));
    note_committing(NO_COMMIT);
    if (DURABLY(rill_group_offsets_delete(store, "g", &position, 1))) note_committed(NO_COMMIT);
}

/* Batches wait in a buffer that is too small for them, and are sent when room is
 * needed, when they are full, when they have waited, and at the close. */
static void work_narrow(void)
{
    rill_producer_options options = {.size = sizeof options,
                                     .topic = "t",
                                     .linger_ms = 3600 * 1000,
                                     .batch_bytes = 3 * VALUE_SIZE,
                                     .buffer_bytes = 4 * VALUE_SIZE,
                                     .delivery = on_delivery};

    for (int durable = 0; durable < 2; durable++) {
        struct writer w = {.durable = durable == 1};
        options.acks = durable == 1 ? RILL_ACKS_DURABLE : RILL_ACKS_WRITTEN;
        options.delivery_arg = &w;
        if (!TRY(rill_producer_open(store, &options, &w.producer))) continue;
        send(&w, 6);
        send_unflushed(&w, 4);
        TRY(rill_maintain(store, NULL));
        begin("close with records unsent");
        run.fired_before = 0;
        run.durable = w.durable;
        verdict(rill_producer_close(w.producer, WAIT_MS), w.durable);
    }
}

static int visit_topic(void *arg, const rill_topic_info *info)
{
    (void)arg, (void)info;
    return 0;
}

static int visit_group(void *arg, const rill_group_info *info)
{
    (void)arg, (void)info;
    return 0;
}

static void work_look(void)
{
    rill_stats stats = {.size = sizeof stats};

    TRY(rill_topic_list(store, visit_topic, NULL));
    TRY(rill_group_list(store, visit_group, NULL));
    TRY(rill_stats_get(store, &stats));
    TRY(rill_maintain(store, NULL));
    TRY(rill_topic_list(store, visit_topic, NULL));
}

/* A little; that partitions come and go is no error. */
static void wait_for_some(rill_consumer *consumer)
{
    rill_record records[10];
    size_t count;
    int rc;

    begin("poll that waits");
    rc = rill_consumer_poll(consumer, 2, records, 10, &count);
    if (rc != RILL_ERR_REBALANCE) verdict(rc, false);
}

/* A member with a pattern, that commits by itself, while topics come and go. */
static void work_wait(void)
{
    rill_consumer_options options = {.size = sizeof options,
                                     .group = "waits",
                                     .auto_commit_interval_ms = 1,
                                     .spin_us = 1,
                                     .auto_offset_reset = RILL_RESET_EARLIEST};
    const char *topics[] = {"^t", "more"};
    bool made = false;
    rill_consumer *consumer;

    if (!TRY(rill_consumer_open(store, &options, &consumer))) return;
    if (TRY(rill_consumer_subscribe(consumer, topics, 2))) {
        for (int i = 0; i < 10; i++) {
            wait_for_some(consumer);
            if (i == 5) made = TRY(rill_topic_create(store, "more", NULL));
        }
        if (made) TRY(rill_topic_delete(store, "more"));
        wait_for_some(consumer);
    }
    TRY(rill_consumer_close(consumer, WAIT_MS));
}

/* Whoever takes the lock next repairs what a process left that died with it. */
static void work_widowed(void)
{
    int status;
    pid_t pid;

    repairs = true;
    for (int i = 0; i < 2; i++) {
        bool armed = run.armed;
        run.armed = false;
        pid = fork();
        if (pid == 0) {
            rill_reservation room;
            rill_record shape = RILL_RECORD_INIT;
            rill_producer_options options = {.size = sizeof options, .topic = "t"};
            rill_producer *producer;
            rill *mine;

            shape.partition = 0;
            shape.value.size = 3000;
            if (rill_open(dir, NULL, &mine) == 0 &&
                rill_producer_open(mine, &options, &producer) == 0 &&
                rill_producer_reserve(producer, &shape, WAIT_MS, &room) == 0)
                _exit(0);
            _exit(1);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid) broken("no child");
        if (status != 0 && run.fired == 0) broken("a child fails");
        if (status != 0) return; /* the partition is poisoned by what failed before */
        run.armed = armed;
        append_many(2, i == 1);
    }
}

static void make_txn_topic(void)
{
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = 64 << 10, .partition_count = 2};

    struct dirent *entry;
    DIR *stream = opendir(dir);

    if (stream == NULL) broken("the store's directory is gone");
    while ((entry = readdir(stream)) != NULL)
        if (strlen(entry->d_name) == 32) strcpy(model->directory, entry->d_name);
    closedir(stream);
    if (!TRY(rill_topic_create(store, "x", &options))) broken("no topic for transactions");
    model->has_txns = true;
}

static void prepare_txns(void)
{
    fill(16);
    make_txn_topic();
}

static void work_txns(void)
{
    struct job job;

    if (open_job(&job)) {
        if (transact(&job, true) && transact(&job, false)) transact(&job, true);
        TRY(rill_maintain(store, NULL));
        close_job(&job);
    }
    if (open_job(&job)) {
        transact(&job, true);
        close_job(&job);
    }
}

/* As a process leaves it that has committed, and dies in the next one. */
static void prepare_txn_dead(void)
{
    int status;
    pid_t pid;

    prepare_nothing();
    pid = fork();
    if (pid == 0) {
        struct job job;
        rill_txn *txn;

        fill(16);
        make_txn_topic();
        if (!open_job(&job) || !transact(&job, true) || rill_txn_begin(job.producer, &txn) != 0 ||
            !fill_txn(&job, txn, model->txn_count) ||
            rill_producer_flush(job.producer, WAIT_MS) != 0)
            broken("setting up fails: %s", rill_errmsg());
        model->txns[model->txn_count++] = REFUSED;
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) broken("setting up fails");
}

static void work_after_txn(void)
{
    struct job job;

    if (!open_store()) return;
    TRY(rill_maintain(store, NULL));
    if (open_job(&job)) {
        transact(&job, true);
        close_job(&job);
    }
    close_store();
}

static const struct {
    const char *name;
    void (*prepare)(void);
    void (*work)(void);
} workloads[] = {
    {"create", prepare_nothing, work_create},
    {"topic", NULL, work_topic},
    {"append", prepare_topic, work_append},
    {"append durably", prepare_topic, work_durable},
    {"append on copy-on-write", prepare_cow, work_append},
    {"read", prepare_reopened, work_read},
    {"group", prepare_reopened, work_group},
    {"second member", prepare_reopened, work_second_member},
    {"maintain", prepare_topic, work_maintain},
    {"close", prepare_topic, work_close},
    {"reopen", prepare_closed, work_open},
    {"after a death", prepare_dead, work_open},
    {"after a boot", prepare_boot, work_open},
    {"after a boot, without indexes", prepare_boot_without_indexes, work_open},
    {"delete", prepare_reopened, work_delete},
    {"narrow", prepare_topic, work_narrow},
    {"look", prepare_reopened, work_look},
    {"wait", prepare_reopened, work_wait},
    {"widowed", prepare_topic, work_widowed},
    {"offsets", prepare_reopened, work_offsets},
    {"compressed", prepare_topic, work_compressed},
    {"compact", prepare_topic, work_compact},
    {"transactions", prepare_txns, work_txns},
    {"after a death in a transaction", prepare_txn_dead, work_after_txn},
};
enum { WORKLOADS = sizeof workloads / sizeof workloads[0] };

static const char *workload_name(int workload)
{
    return workloads[workload].name;
}

static void prepare_store(void)
{
    prepare_nothing();
    open_store();
}

/* ---- Afterwards ---- */

static int open_descriptors(void)
{
    DIR *stream = opendir("/proc/self/fd");
    int count = 0;

    if (stream == NULL) broken("no /proc");
    while (readdir(stream) != NULL) count++;
    closedir(stream);
    return count;
}

static int maps_of_store(char *first, size_t size)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[1500];
    int count = 0;

    if (file == NULL) broken("no /proc");
    while (fgets(line, sizeof line, file) != NULL) {
        if (strstr(line, dir) == NULL) continue;
        if (count++ == 0) snprintf(first, size, "%s", strstr(line, dir) + strlen(dir));
    }
    fclose(file);
    first[strcspn(first, "\n")] = '\0';
    return count;
}

static void check_nothing_left(int descriptors, const char *when)
{
    char name[200] = "";

    while (run.left_count > 0) {
        run.left_count--;
        syscall(SYS_munmap, run.left[run.left_count].at, run.left[run.left_count].size);
    }
    if (open_descriptors() != descriptors)
        broken("%s, %d descriptors are left", when, open_descriptors() - descriptors);
    if (maps_of_store(name, sizeof name) != 0)
        broken("%s, %d maps are left, the first of %s", when, maps_of_store(name, sizeof name),
               name);
    if (run.blocks != 0) broken("%s, %d blocks of memory are left", when, run.blocks);
    if (run.bad_close != 0) broken("%s, %d bad closes", when, run.bad_close);
}

/* Without faults, but in the store that met them. */
static void go_on(void)
{
    struct writer w;
    rill_topic_info info;
    struct job job;

    begin("rill_topic_describe");
    if (rill_topic_describe(store, "t", &info) != 0) return;
    if (model->has_txns && open_job(&job)) {
        transact(&job, true);
        close_job(&job);
    }
    for (int durable = 0; durable < 2; durable++) {
        if (!open_writer(&w, durable != 0)) continue;
        append(&w);
        send(&w, 1);
        close_writer(&w);
    }
    sync_store();
    if (!run.lossy) TRY(rill_maintain(store, NULL));
}

static bool must_be_there(int number)
{
    if (model->attempts[number].fate != ACKNOWLEDGED) return false;
    return model->attempts[number].durable || !run.lossy;
}

static void check_record(const rill_record *record, int64_t offset, bool *seen)
{
    uint8_t value[VALUE_SIZE];
    int number = -1;

    if (record->offset != offset) broken("offset %" PRId64 " is missing", offset);
    if (record->value.size == VALUE_SIZE) memcpy(&number, record->value.data, sizeof number);
    if (number < 0 || number >= model->attempt_count)
        broken("no such record was appended at offset %" PRId64, offset);
    memset(value, number & 0xff, VALUE_SIZE);
    memcpy(value, &number, sizeof number);
    if (memcmp(record->value.data, value, VALUE_SIZE) != 0)
        broken("record %d at offset %" PRId64 " has changed", number, offset);
    if (seen[number]) broken("record %d is there twice", number);
    seen[number] = true;
    if (model->attempts[number].fate == REFUSED)
        broken("record %d was refused and is there, at offset %" PRId64, number, offset);
    if (model->attempts[number].fate == UNKNOWN)
        broken("what became of record %d was not told", number);
    if (must_be_there(number) && model->attempts[number].offset != offset)
        broken("record %d was acknowledged at offset %" PRId64 " and is at %" PRId64, number,
               model->attempts[number].offset, offset);
}

static int64_t check_records(void)
{
    bool seen[ATTEMPTS_MAX] = {false};
    rill_position from = {"t", 0, -1, 0, NULL};
    rill_partition_info info;
    rill_consumer *reader;
    rill_record records[20];
    int64_t offset = 0;
    size_t count;

    MUST(rill_partition_describe(store, "t", 0, &info));
    MUST(rill_consumer_open(store, NULL, &reader));
    MUST(rill_consumer_assign(reader, &from, 1));
    do {
        MUST(rill_consumer_poll(reader, 0, records, 20, &count));
        for (size_t i = 0; i < count; i++) check_record(&records[i], offset++, seen);
    } while (count > 0);
    MUST(rill_consumer_close(reader, 0));
    if (offset != info.log_end)
        broken("%" PRId64 " records are there, the log ends at %" PRId64, offset, info.log_end);
    for (int i = 0; i < model->attempt_count; i++)
        if (must_be_there(i) && !seen[i]) broken("record %d was acknowledged and is lost", i);
    return offset;
}

static void check_committed(int64_t end)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position position;
    rill_consumer *consumer;
    int64_t now;
    int i = 0;

    MUST(rill_consumer_open(store, &options, &consumer));
    MUST(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
    now = position.offset == RILL_OFFSET_NONE ? NO_COMMIT : position.offset;
    if (now > end) broken("offset %" PRId64 " is committed, behind the end", now);
    while (i < model->commit_count && now != model->committed[i]) i++;
    if (i == model->commit_count && !(run.lossy && now == end))
        broken("offset %" PRId64 " is committed, it should be %" PRId64, now,
               model->committed[0]);
    position = (rill_position){"t", 0, -1, end, NULL};
    MUST(rill_consumer_commit(consumer, &position, 1));
    note_committed(end);
    MUST(rill_consumer_close(consumer, 0));
}

static void check_topic(void)
{
    rill_topic_info info;
    int rc = rill_topic_describe(store, "t", &info);

    if (rc != 0 && rc != RILL_ERR_NOT_FOUND) broken("topic: %d, %s", rc, rill_errmsg());
    if (model->topic_known && (rc == 0) != model->topic_made)
        broken("the topic is %s", rc == 0 ? "there again" : "lost");
    if (!model->topic_known && rc != 0) {
        model->attempt_count = 0;
        note_committed(NO_COMMIT);
    }
    model->topic_known = true;
    if (rc != 0) make_topic();
    model->topic_made = true;
    MUST(rill_topic_create(store, "other", NULL));
    MUST(rill_topic_delete(store, "other"));
}

/* One topic, one directory. */
static void check_directories(int expected)
{
    DIR *stream = opendir(dir);
    struct dirent *entry;
    int count = 0;

    if (stream == NULL) broken("the store's directory is gone");
    while ((entry = readdir(stream)) != NULL)
        if (strlen(entry->d_name) == 32) count++;
    closedir(stream);
    if (count != expected) broken("%d directories of topics are there", count);
}

/* Everything works, and all that should be there is. */
static void check_store(void)
{
    rill_topic_info info;
    int directories = 1;
    struct writer w;
    int64_t end;

    if (!open_store()) broken("the store does not open");
    check_topic();
    end = check_records();
    check_committed(end);
    if (model->has_txns) check_txns();
    for (int durable = 0; durable < 2; durable++) {
        MUST(!open_writer(&w, durable != 0));
        append(&w);
        send(&w, 1);
        append_in_place(&w, true);
        close_writer(&w);
    }
    if (check_records() != end + 6) broken("appending does not go on");
    MUST(rill_sync(store, WAIT_MS));
    MUST(rill_maintain(store, NULL));
    if (rill_topic_describe(store, "more", &info) == 0) directories++;
    if (model->has_txns) directories++;
    close_store();
    check_directories(directories);
    note_durable();
}

/* ---- A run ---- */

/* What was found is what is there now, whatever failed before. */
static void forget_faults(void)
{
    run.plan.n = 0;
    run.fired = 0;
    run.records_unsynced = run.txns_unsynced = run.lossy = false;
}

/* After a failed sync some records may be gone; they are not missed again. */
static void forget_lost(void)
{
    for (int i = 0; i < model->attempt_count; i++)
        if (!must_be_there(i) && model->attempts[i].fate == ACKNOWLEDGED)
            model->attempts[i].fate = OPEN;
}

static void run_workload(void)
{
    int descriptors = open_descriptors();

    if (workloads[run.plan.workload].prepare == NULL) prepare_store();
    else workloads[run.plan.workload].prepare();
    run.armed = true;
    workloads[run.plan.workload].work();
    run.armed = false;
    memcpy(slot->counts, run.counts, sizeof run.counts);
    slot->reached = run.fired > 0;
    if (store != NULL) go_on();
    if (store != NULL) close_store();
    check_nothing_left(descriptors, "after the faults");
    run.plan.n = 0;
    forget_lost();
    check_store();
    forget_faults();
    check_nothing_left(descriptors, "after the second life");
    run.boot++;
    check_store();
    check_nothing_left(descriptors, "after the third life");
}

static void run_in_child(const struct plan *plan, const char *base)
{
    alarm(getenv("RILL_TEST_SLOW") != NULL ? 120 : 30);
    memset(&run, 0, sizeof run);
    run.plan = *plan;
    run.error = calls[plan->call].errnos[plan->errno_index];
    model =
        real_mmap(NULL, sizeof *model, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(model, 0, sizeof *model);
    note_committed(NO_COMMIT);
    model->topic_known = true;
    rill__sys = hooks;
    snprintf(dir, sizeof dir, "%.500s/%d", base, (int)getpid());
    run_workload();
    test_remove(dir);
}

/* ---- Cases ---- */

static uint64_t encode(const struct plan *plan)
{
    uint64_t number = (uint64_t)plan->workload * 100 + plan->call;

    return ((number * 10000 + plan->n) * 10 + (uint64_t)plan->errno_index) * 10 + plan->mode;
}

static struct plan decode(uint64_t number)
{
    return (struct plan){.mode = (enum mode)(number % 10),
                         .errno_index = (int)(number / 10 % 10),
                         .n = number / 100 % 10000,
                         .call = (enum call)(number / 1000000 % 100),
                         .workload = (int)(number / 100000000)};
}

static bool is_case(const struct plan *plan)
{
    return plan->workload < WORKLOADS && plan->call < CALLS && plan->errno_index < ERRNOS &&
           plan->mode < MODES;
}

static bool is_transfer(enum call call)
{
    return call == PWRITE || (call >= LMDB_PWRITE && call <= LMDB_WRITEV);
}

static bool makes_sense(const struct plan *plan)
{
    int error = calls[plan->call].errnos[plan->errno_index];

    if (error == 0) return false;
    if (plan->mode == ONCE) return true;
    if (error == SHORT || error == EINTR) return false; /* for ever is no system's */
    return plan->mode == EVER || is_transfer(plan->call);
}

enum { RUNNING_MAX = 16, CASES_MAX = 400000 };

static struct slot *slots; /* shared */
static uint64_t *cases;
static uint64_t case_count;
static uint64_t not_reached;

static void start(struct slot *in, const struct plan *plan, const char *base)
{
    pid_t pid;

    memset(in, 0, sizeof *in);
    in->number = encode(plan);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        slot = in;
        run_in_child(plan, base);
        _exit(0);
    }
    in->pid = pid;
}

static void note_end(struct slot *in, int status)
{
    struct plan plan = decode(in->number);

    in->pid = 0;
    if (status == 0 && plan.n > 0 && !in->reached) not_reached++;
    if (status == 0) return;
    if (in->text[0] == '\0')
        proof_violation(in->number, "%s, %s number %" PRIu64 ", %s %s: status %#x",
                        workload_name(plan.workload), calls[plan.call].name, plan.n,
                        errno_text(calls[plan.call].errnos[plan.errno_index]),
                        mode_names[plan.mode], (unsigned)status);
    else proof_violation(in->number, "%s", in->text);
}

/* Waits for one of those that run. */
static struct slot *wait_for_one(int running)
{
    for (;;) {
        int status;
        pid_t pid = wait(&status);

        assert_true(pid > 0);
        for (int i = 0; i < running; i++) {
            if (slots[i].pid != pid) continue;
            note_end(&slots[i], status);
            return &slots[i];
        }
    }
}

/* The cases of a workload, from a run in which nothing fails. */
static void add_cases(const struct plan *without, const uint64_t *counts)
{
    struct plan plan = *without;
    int call = 0;
    int mode;

    for (; call < CALLS; call++) {
        plan.call = (enum call)call;
        for (plan.n = 1; plan.n <= counts[call]; plan.n++)
            for (plan.errno_index = 0; plan.errno_index < ERRNOS; plan.errno_index++)
                for (mode = 0; mode < MODES; mode++) {
                    plan.mode = (enum mode)mode;
                    if (makes_sense(&plan) && case_count < CASES_MAX)
                        cases[case_count++] = encode(&plan);
                }
    }
}

static void find_cases(const char *base)
{
    const char *only = getenv("WORKLOAD");
    struct plan plan = {0};

    for (int i = 0; i < WORKLOADS; i++) {
        if (only != NULL && strcmp(only, workload_name(i)) != 0) continue;
        plan.workload = i;
        start(&slots[0], &plan, base);
        wait_for_one(1);
        add_cases(&plan, slots[0].counts);
        if (getenv("VERBOSE") == NULL) continue;
        printf("%-30s", workload_name(i));
        for (int c = 0; c < CALLS; c++)
            if (slots[0].counts[c] > 0) printf(" %s %" PRIu64, calls[c].name, slots[0].counts[c]);
        printf("\n");
    }
}

static void shuffle(uint64_t seed)
{
    struct test_random random = {seed * 2 + 1};

    for (uint64_t i = case_count; i > 1; i--) {
        uint64_t j = test_random_below(&random, i);
        uint64_t other = cases[j];
        cases[j] = cases[i - 1];
        cases[i - 1] = other;
    }
}

static void run_cases(uint64_t count, const char *base)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t most = processors > RUNNING_MAX ? RUNNING_MAX : (uint64_t)processors;
    uint64_t running = count < most ? count : most;
    struct plan plan;

    for (uint64_t i = 0; i < running; i++) {
        plan = decode(cases[i]);
        start(&slots[i], &plan, base);
    }
    for (uint64_t next = running; next < count + running; next++) {
        struct slot *in = wait_for_one((int)running);
        if (next >= count) continue;
        plan = decode(cases[next]);
        start(in, &plan, base);
    }
}

int main(void)
{
    uint64_t budget = proof_budget(UINT64_MAX, getenv("RILL_TEST_SLOW") != NULL ? 150 : 2000);
    const char *one = getenv("CASE");
    uint64_t seed = proof_seed();
    const char *base;

    if (one != NULL) {
        const struct plan plan = decode(strtoull(one, NULL, 0));
        assert_true(is_case(&plan));
    }
    slots = real_mmap(NULL, RUNNING_MAX * sizeof *slots, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cases = malloc(CASES_MAX * sizeof *cases);
    assert_true(slots != MAP_FAILED && cases != NULL);
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    base = test_directory();
    if (one != NULL) {
        cases[case_count++] = strtoull(one, NULL, 0);
    } else {
        find_cases(base);
        shuffle(seed);
    }
    printf("%" PRIu64 " cases there are\n", case_count);
    fflush(stdout);
    if (budget < case_count) case_count = budget;
    run_cases(case_count, base);
    if (not_reached > 0) printf("in %" PRIu64 " cases nothing failed\n", not_reached);
    test_directory_remove();
    free(cases);
    return proof_end("nth", case_count);
}
#endif
