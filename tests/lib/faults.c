/*
 * faults.c - see faults.h.
 */
#include "faults.h"
#include "os/sys.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

static struct sys_calls real; /* openat NULL: nothing is replaced */
static unsigned chosen_calls;
static const char *chosen_name;
static uint64_t fails_at; /* 0: never */
static uint64_t count;
static int fails_with;
static enum fault_after fails_after;
static void (*watcher)(void *arg, const struct fault_event *event);
static void *watcher_arg;

/* True if this call has to fail; errno says why. */
static bool fails(enum fault_call call, const char *name, uint64_t at, uint64_t size)
{
    const struct fault_event event = {call, name, at, size};

    if (watcher != NULL) watcher(watcher_arg, &event);
    if ((chosen_calls & call) == 0) return false;
    if (chosen_name != NULL && strstr(name, chosen_name) == NULL) return false;
    count++;
    if (fails_at == 0 || count < fails_at) return false;
    if (count > fails_at && fails_after != FAULT_DEAD) return false;
    errno = fails_with;
    return true;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool fails_on_fd(enum fault_call call, int fd, uint64_t at, uint64_t size)
{
    char link[40];
    char path[1024];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = '\0';
    return fails(call, last_part(path), at, size);
}

static int fault_openat(int dir, const char *name, int flags, ...)
{
    mode_t mode;
    va_list args;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, int) : 0;
    va_end(args);
    return fails(FAULT_OPENAT, last_part(name), 0, 0) ? -1 : real.openat(dir, name, flags, mode);
}

static int fault_fstat(int fd, struct stat *st)
{
    return fails_on_fd(FAULT_FSTAT, fd, 0, 0) ? -1 : real.fstat(fd, st);
}

static int fault_fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (fails_on_fd(FAULT_FALLOCATE, fd, (uint64_t)offset, (uint64_t)size)) return -1;
    return real.fallocate(fd, mode, offset, size);
}

static int fault_ftruncate(int fd, off_t size)
{
    return fails_on_fd(FAULT_FTRUNCATE, fd, 0, (uint64_t)size) ? -1 : real.ftruncate(fd, size);
}

static ssize_t fault_pread(int fd, void *data, size_t size, off_t at)
{
    return fails_on_fd(FAULT_PREAD, fd, (uint64_t)at, size) ? -1 : real.pread(fd, data, size, at);
}

static ssize_t fault_pwrite(int fd, const void *data, size_t size, off_t at)
{
    ssize_t n;

    if (!fails_on_fd(FAULT_PWRITE, fd, (uint64_t)at, size))
        return real.pwrite(fd, data, size, at);
    if (fails_after == FAULT_TORN || fails_after == FAULT_WHOLE) {
        n = real.pwrite(fd, data, fails_after == FAULT_TORN ? size / 2 : size, at);
        (void)n;
        errno = fails_with;
    }
    return -1;
}

static int fault_fdatasync(int fd)
{
    return fails_on_fd(FAULT_FDATASYNC, fd, 0, 0) ? -1 : real.fdatasync(fd);
}

static int fault_fsync(int fd)
{
    return fails_on_fd(FAULT_FSYNC, fd, 0, 0) ? -1 : real.fsync(fd);
}

static int fault_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    if (fails(FAULT_RENAMEAT, last_part(to), 0, 0)) return -1;
    return real.renameat(from_dir, from, to_dir, to);
}

static int fault_unlinkat(int dir, const char *name, int flags)
{
    return fails(FAULT_UNLINKAT, last_part(name), 0, 0) ? -1 : real.unlinkat(dir, name, flags);
}

static int fault_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (fails(FAULT_LINKAT, last_part(to), 0, 0)) return -1;
    return real.linkat(from_dir, from, to_dir, to, flags);
}

static void *fault_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (fails_on_fd(FAULT_MMAP, fd, (uint64_t)offset, size)) return MAP_FAILED;
    return real.mmap(at, size, prot, flags, fd, offset);
}

static int fault_madvise(void *at, size_t size, int advice)
{
    return fails(FAULT_MADVISE, "", 0, size) ? -1 : real.madvise(at, size, advice);
}

static void install(void)
{
    if (real.openat != NULL) return;
    real = rill__sys;
    rill__sys.openat = fault_openat;
    rill__sys.fstat = fault_fstat;
    rill__sys.fallocate = fault_fallocate;
    rill__sys.ftruncate = fault_ftruncate;
    rill__sys.pread = fault_pread;
    rill__sys.pwrite = fault_pwrite;
    rill__sys.fdatasync = fault_fdatasync;
    rill__sys.fsync = fault_fsync;
    rill__sys.renameat = fault_renameat;
    rill__sys.unlinkat = fault_unlinkat;
    rill__sys.linkat = fault_linkat;
    rill__sys.mmap = fault_mmap;
    rill__sys.madvise = fault_madvise;
}

void faults_fail(unsigned calls, const char *name, uint64_t n, int errno_value,
                 enum fault_after after)
{
    install();
    chosen_calls = calls;
    chosen_name = name;
    fails_at = n;
    fails_with = errno_value;
    fails_after = after;
    count = 0;
}

uint64_t faults_count(void)
{
    return count;
}

void faults_watch(void (*watch)(void *arg, const struct fault_event *event), void *arg)
{
    install();
    watcher = watch;
    watcher_arg = arg;
}

void faults_clear(void)
{
    if (real.openat == NULL) return;
    rill__sys = real;
    memset(&real, 0, sizeof real);
    chosen_calls = 0;
    watcher = NULL;
}
