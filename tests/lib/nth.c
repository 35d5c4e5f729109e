/*
 * nth.c - see nth.h.
 */
#include "nth.h"
#include "os/sys.h"
#include "proof.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- What fails ---- */

enum { NTH_ERRNOS = 7 };

static const struct {
    const char *name;
    int errnos[NTH_ERRNOS];
} calls[NTH_CALLS] = {
    [NTH_ALLOC] = {"alloc", {ENOMEM}},
    [NTH_OPENAT] = {"openat", {EIO, EMFILE, ENFILE, EACCES, ENOSPC, EINTR, ENOMEM}},
    [NTH_CLOSE] = {"close", {EIO, EINTR, ENOSPC}},
    [NTH_FSTAT] = {"fstat", {EIO, ENOMEM}},
    [NTH_FSTATAT] = {"fstatat", {EIO, EACCES, ENOMEM}},
    [NTH_FSTATFS] = {"fstatfs", {EIO, ENOSYS}},
    [NTH_FCNTL] = {"fcntl", {EIO, ENOLCK, EINTR}},
    [NTH_FALLOCATE] = {"fallocate", {EIO, ENOSPC, EDQUOT, EINTR, EOPNOTSUPP, EFBIG}},
    [NTH_FTRUNCATE] = {"ftruncate", {EIO, ENOSPC}},
    [NTH_PREAD] = {"pread", {EIO, NTH_SHORT, EINTR, ENOMEM}},
    [NTH_PWRITE] = {"pwrite", {EIO, ENOSPC, NTH_SHORT, EDQUOT, EINTR, EFBIG}},
    [NTH_FDATASYNC] = {"fdatasync", {EIO, ENOSPC, EDQUOT, EINTR, EROFS}},
    [NTH_FSYNC] = {"fsync", {EIO, ENOSPC, EDQUOT, EINTR, EROFS}},
    [NTH_RENAMEAT] = {"renameat", {EIO, ENOSPC, EDQUOT, EROFS, EACCES}},
    [NTH_UNLINKAT] = {"unlinkat", {EIO, EROFS, EACCES, EBUSY}},
    [NTH_MKDIRAT] = {"mkdirat", {EIO, ENOSPC, EDQUOT, EROFS, EACCES}},
    [NTH_LINKAT] = {"linkat", {EIO, EXDEV, EPERM, EMLINK, ENOSPC, EACCES}},
    [NTH_MMAP] = {"mmap", {ENOMEM, ENODEV, EAGAIN, EACCES}},
    [NTH_MUNMAP] = {"munmap", {ENOMEM}},
    [NTH_MADVISE] = {"madvise", {ENOMEM, EFAULT, EINTR, EIO, EINVAL}},
    [NTH_GETRANDOM] = {"getrandom", {EIO, ENOSYS, EINTR}},
    [NTH_LMDB_OPEN] = {"lmdb open", {EIO, EMFILE, ENOSPC, EACCES, ENOMEM}},
    [NTH_LMDB_PREAD] = {"lmdb pread", {EIO, NTH_SHORT}},
    [NTH_LMDB_PWRITE] = {"lmdb pwrite", {EIO, ENOSPC, NTH_SHORT, EDQUOT, EINTR}},
    [NTH_LMDB_WRITE] = {"lmdb write", {EIO, ENOSPC, NTH_SHORT}},
    [NTH_LMDB_WRITEV] = {"lmdb writev", {EIO, ENOSPC, NTH_SHORT, EDQUOT, EINTR}},
    [NTH_LMDB_FDATASYNC] = {"lmdb fdatasync", {EIO, ENOSPC, EDQUOT, EINTR}},
    [NTH_LMDB_FSYNC] = {"lmdb fsync", {EIO, ENOSPC}},
    [NTH_LMDB_FTRUNCATE] = {"lmdb ftruncate", {EIO, ENOSPC, EDQUOT}},
    [NTH_LMDB_MMAP] = {"lmdb mmap", {ENOMEM, ENODEV}},
    [NTH_LMDB_FCNTL] = {"lmdb fcntl", {EIO, ENOLCK}},
};

static const char *const mode_names[] = {"once", "for ever", "after half",
                                         "after all, then for ever"};

/* Between the processes: counts, and the verdict. */
struct slot {
    pid_t pid;
    uint64_t number;
    uint64_t counts[NTH_CALLS];
    bool reached;
    char text[1000];
};

static const struct nth_harness *harness;
static struct slot *slot;
struct nth_run nth;

static const char *errno_text(int error)
{
    return error == NTH_SHORT ? "short" : strerrorname_np(error);
}

void nth_broken(const char *format, ...)
{
    int size = snprintf(slot->text, sizeof slot->text, "%s, %s number %" PRIu64 ", %s %s: ",
                        harness->workload_name(nth.plan.workload), calls[nth.plan.call].name,
                        nth.plan.n, errno_text(nth.error), mode_names[nth.plan.mode]);
    va_list args;

    va_start(args, format);
    vsnprintf(slot->text + size, sizeof slot->text - (size_t)size, format, args);
    va_end(args);
    _exit(1);
}

/* ---- The calls ---- */

/* True if this use has to fail; errno says why. */
bool nth_fails(enum nth_call call)
{
    if (!nth.armed) return false;
    nth.counts[call]++;
    if (nth.plan.n == 0 || call != nth.plan.call || nth.counts[call] < nth.plan.n) return false;
    if (nth.counts[call] > nth.plan.n && nth.plan.mode != NTH_EVER && nth.plan.mode != NTH_WHOLE)
        return false;
    nth.fired++;
    errno = nth.error;
    return true;
}

void *nth_alloc(void *arg, size_t size)
{
    (void)arg;
    if (nth_fails(NTH_ALLOC)) return NULL;
    nth.blocks++;
    return malloc(size);
}

void *nth_resize(void *arg, void *memory, size_t size)
{
    (void)arg;
    if (nth_fails(NTH_ALLOC)) return NULL;
    if (memory == NULL) nth.blocks++;
    return realloc(memory, size);
}

void nth_release(void *arg, void *memory)
{
    (void)arg;
    if (memory != NULL) nth.blocks--;
    free(memory);
}

static int boot_id_fd(void)
{
    char text[40];
    int fd = (int)syscall(SYS_memfd_create, "boot_id", 1u);
    int size = snprintf(text, sizeof text, "%032d", nth.boot + 1);

    return fd < 0 || syscall(SYS_pwrite64, fd, text, size, 0) != size ? -1 : fd;
}

static int hook_openat(int dir, const char *name, int flags, ...)
{
    mode_t mode;
    va_list args;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, int) : 0;
    va_end(args);
    if (nth_fails(NTH_OPENAT)) return -1;
    if (strcmp(name, "/proc/sys/kernel/random/boot_id") == 0) return boot_id_fd();
    return (int)syscall(SYS_openat, dir, name, flags, mode);
}

/* The descriptor is gone, whatever close says. */
static int hook_close(int fd)
{
    if (syscall(SYS_close, fd) != 0 && errno == EBADF) nth.bad_close++;
    return nth_fails(NTH_CLOSE) ? -1 : 0;
}

static int hook_fstat(int fd, struct stat *st)
{
    return nth_fails(NTH_FSTAT) ? -1 : fstat(fd, st);
}

static int hook_fstatat(int dir, const char *name, struct stat *st, int flags)
{
    return nth_fails(NTH_FSTATAT) ? -1 : fstatat(dir, name, st, flags);
}

static int hook_fstatfs(int fd, struct statfs *st)
{
    int rc = nth_fails(NTH_FSTATFS) ? -1 : fstatfs(fd, st);

    if (rc == 0) st->f_type = nth.file_system; /* wherever the files are */
    return rc;
}

static int hook_fcntl(int fd, int command, ...)
{
    void *argument;
    va_list args;

    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);
    return nth_fails(NTH_FCNTL) ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

static int hook_fallocate(int fd, int mode, off_t offset, off_t size)
{
    return nth_fails(NTH_FALLOCATE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

static int hook_ftruncate(int fd, off_t size)
{
    return nth_fails(NTH_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

bool nth_is_whole(void)
{
    return nth.plan.mode == NTH_WHOLE && nth.fired == 1;
}

/* A transfer of one stretch that fails, or does a part. */
ssize_t nth_failing_transfer(long number, int fd, void *data, size_t size, off_t at)
{
    bool part = nth.error == NTH_SHORT || nth.plan.mode == NTH_HALF;
    ssize_t n = 0;

    if (part && size > 1) n = syscall(number, fd, data, size / 2, at);
    else if (part || nth_is_whole()) n = syscall(number, fd, data, size, at);
    if (nth.error == NTH_SHORT) return n;
    errno = nth.error;
    return -1;
}

ssize_t nth_transfer(enum nth_call call, long number, int fd, void *data, size_t size, off_t at)
{
    if (nth_fails(call)) return nth_failing_transfer(number, fd, data, size, at);
    return syscall(number, fd, data, size, at);
}

static ssize_t hook_pread(int fd, void *data, size_t size, off_t at)
{
    return nth_transfer(NTH_PREAD, SYS_pread64, fd, data, size, at);
}

static ssize_t hook_pwrite(int fd, const void *data, size_t size, off_t at)
{
    return nth_transfer(NTH_PWRITE, SYS_pwrite64, fd, (void *)data, size, at);
}

/* In a buffer that lives until the next call. */
const char *nth_path_of(int fd)
{
    static char path[1024];
    char link[40];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = '\0';
    return path;
}

bool nth_name_ends(int fd, const char *ending)
{
    const char *path = nth_path_of(fd);
    size_t size = strlen(path);

    return size >= strlen(ending) && strcmp(path + size - strlen(ending), ending) == 0;
}

int nth_sync_call(enum nth_call call, long number, int fd)
{
    if (!nth_fails(call)) return (int)syscall(number, fd);
    /* An index is a hint; what is no segment any more becomes the next one, or not. */
    if (nth.error != EINTR && !nth_name_ends(fd, ".index") &&
        !nth_name_ends(fd, "/recycle-log.tmp")) {
        nth.sync_failed = true;
        if (harness->sync_failed != NULL) harness->sync_failed(fd);
    }
    errno = nth.error;
    return -1;
}

static int hook_fdatasync(int fd)
{
    return nth_sync_call(NTH_FDATASYNC, SYS_fdatasync, fd);
}

static int hook_fsync(int fd)
{
    return nth_sync_call(NTH_FSYNC, SYS_fsync, fd);
}

static int hook_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return nth_fails(NTH_RENAMEAT) ? -1
                                   : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

static int hook_unlinkat(int dir, const char *name, int flags)
{
    return nth_fails(NTH_UNLINKAT) ? -1 : (int)syscall(SYS_unlinkat, dir, name, flags);
}

static int hook_mkdirat(int dir, const char *name, mode_t mode)
{
    return nth_fails(NTH_MKDIRAT) ? -1 : (int)syscall(SYS_mkdirat, dir, name, mode);
}

static int hook_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return nth_fails(NTH_LINKAT) ? -1
                                 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

void *nth_real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, at, size, prot, flags, fd, offset);
}

static void *hook_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    return nth_fails(NTH_MMAP) ? MAP_FAILED : nth_real_mmap(at, size, prot, flags, fd, offset);
}

static int hook_munmap(void *at, size_t size)
{
    if (!nth_fails(NTH_MUNMAP)) return (int)syscall(SYS_munmap, at, size);
    if (nth.left_count == NTH_LEFT_MAX) nth_broken("too many maps");
    nth.left[nth.left_count].at = at;
    nth.left[nth.left_count++].size = size;
    return -1;
}

static ssize_t hook_getrandom(void *data, size_t size, unsigned flags)
{
    return nth_fails(NTH_GETRANDOM) ? -1 : syscall(SYS_getrandom, data, size, flags);
}

static int hook_madvise(void *at, size_t size, int advice)
{
    return nth_fails(NTH_MADVISE) ? -1 : (int)syscall(SYS_madvise, at, size, advice);
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

void nth_is_read_anew(int fd)
{
    if (harness->read_anew != NULL) harness->read_anew(fd);
}

/* ---- Steps and what they say ---- */

void nth_begin(const char *step)
{
    nth.step = step;
    nth.fired_before = nth.fired;
    nth.sync_failed = nth.durable = false;
    rill__fail(0, "%s", ""); /* a message that comes is of this step */
}

/* Must not fail anything: it is no error, is done by other means, or only a hint. */
bool nth_is_harmless(void)
{
    enum nth_call call = nth.plan.call;

    switch (nth.error) {
    case NTH_SHORT: return call == NTH_PREAD || call == NTH_PWRITE;
    case EINTR: return call < NTH_LMDB_OPEN;
    case EOPNOTSUPP: return call == NTH_FALLOCATE;
    case EINVAL: return call == NTH_MADVISE;
    case EXDEV:
    case EPERM:
    case EMLINK: return call == NTH_LINKAT; /* then it is copied */
    default: return call == NTH_CLOSE || call == NTH_MUNMAP;
    }
}

/* The code that the errno of the call becomes. */
static int code_of_fault(void)
{
    if (nth.plan.call == NTH_MADVISE && nth.error == EFAULT) return RILL_ERR_NO_SPACE;
    switch (nth.error) {
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
static bool may_poison(void)
{
    return nth.repairs || (nth.plan.call >= NTH_PWRITE && nth.plan.call <= NTH_FSYNC) ||
           nth.plan.call >= NTH_LMDB_OPEN || nth.plan.call == NTH_OPENAT;
}

/* LMDB looks at what it has read or locked, and says what is wrong with that. */
static bool is_lmdb_code(int rc)
{
    if (nth.plan.call == NTH_LMDB_FCNTL) /* it thinks that others have made its table */
        return rc == RILL_ERR_INVALID || rc == RILL_ERR_CORRUPT;
    if (nth.error != NTH_SHORT) return false;
    return (nth.plan.call == NTH_LMDB_PREAD && rc == RILL_ERR_CORRUPT) ||
           (nth.plan.call == NTH_LMDB_PWRITE && rc == RILL_ERR_NO_SPACE);
}

/* What a step may say that the fault was in, or came before. */
static bool is_fitting(int rc)
{
    bool fired = nth.fired > nth.fired_before;

    if (fired && (rc == code_of_fault() || is_lmdb_code(rc))) return true;
    if (fired && nth.durable && rc == RILL_ERR_IO) return true; /* there, but who knows */
    if (harness->fits != NULL && harness->fits(rc)) return true;
    return rc == RILL_ERR_POISONED && may_poison();
}

bool nth_verdict(int rc, bool promises)
{
    if (rc == 0) {
        if (promises && nth.sync_failed)
            nth_broken("%s succeeds although a sync failed", nth.step);
        return true;
    }
    if (rc > 0 || rc == RILL_ERR_BUG) nth_broken("%s: %d, %s", nth.step, rc, rill_errmsg());
    if (rill_errmsg()[0] == '\0') nth_broken("%s: %d without a message", nth.step, rc);
    if (nth.fired == 0)
        nth_broken("%s fails without a fault: %d, %s", nth.step, rc, rill_errmsg());
    if (nth_is_harmless()) nth_broken("%s fails: %d, %s", nth.step, rc, rill_errmsg());
    if (!is_fitting(rc))
        nth_broken("%s: %d does not fit %s: %s", nth.step, rc,
                   nth.fired > nth.fired_before ? "the fault" : "a fault before", rill_errmsg());
    if (rc == RILL_ERR_POISONED) nth.lossy = true;
    return false;
}

/* ---- A run ---- */

int nth_open_descriptors(void)
{
    DIR *stream = opendir("/proc/self/fd");
    int count = 0;

    if (stream == NULL) nth_broken("no /proc");
    while (readdir(stream) != NULL) count++;
    closedir(stream);
    return count;
}

static int maps_of_store(char *first, size_t size)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[1500];
    int count = 0;

    if (file == NULL) nth_broken("no /proc");
    while (fgets(line, sizeof line, file) != NULL) {
        if (strstr(line, nth.dir) == NULL) continue;
        if (count++ == 0) snprintf(first, size, "%s", strstr(line, nth.dir) + strlen(nth.dir));
    }
    fclose(file);
    first[strcspn(first, "\n")] = '\0';
    return count;
}

void nth_check_nothing_left(int descriptors, const char *when)
{
    char name[200] = "";

    while (nth.left_count > 0) {
        nth.left_count--;
        syscall(SYS_munmap, nth.left[nth.left_count].at, nth.left[nth.left_count].size);
    }
    if (nth_open_descriptors() != descriptors)
        nth_broken("%s, %d descriptors are left", when, nth_open_descriptors() - descriptors);
    if (maps_of_store(name, sizeof name) != 0)
        nth_broken("%s, %d maps are left, the first of %s", when,
                   maps_of_store(name, sizeof name), name);
    if (nth.blocks != 0) nth_broken("%s, %d blocks of memory are left", when, nth.blocks);
    if (nth.bad_close != 0) nth_broken("%s, %d bad closes", when, nth.bad_close);
}

void nth_work(void (*work)(void))
{
    nth.armed = true;
    work();
    nth.armed = false;
    memcpy(slot->counts, nth.counts, sizeof nth.counts);
    slot->reached = nth.fired > 0;
}

void nth_forget_faults(void)
{
    nth.plan.n = 0;
    nth.fired = 0;
    nth.lossy = false;
}

static void run_in_child(const struct nth_plan *plan, const char *base)
{
    alarm(getenv("RILL_TEST_SLOW") != NULL ? 120 : 30);
    memset(&nth, 0, sizeof nth);
    nth.plan = *plan;
    nth.error = calls[plan->call].errnos[plan->errno_index];
    nth.file_system = 0xef53; /* ext4 */
    rill__sys = hooks;
    snprintf(nth.dir, sizeof nth.dir, "%.500s/%d", base, (int)getpid());
    harness->run();
    test_remove(nth.dir);
}

/* ---- Cases ---- */

static uint64_t encode(const struct nth_plan *plan)
{
    uint64_t number = (uint64_t)plan->workload * 100 + plan->call;

    return ((number * 10000 + plan->n) * 10 + (uint64_t)plan->errno_index) * 10 + plan->mode;
}

static struct nth_plan decode(uint64_t number)
{
    return (struct nth_plan){.mode = (enum nth_mode)(number % 10),
                             .errno_index = (int)(number / 10 % 10),
                             .n = number / 100 % 10000,
                             .call = (enum nth_call)(number / 1000000 % 100),
                             .workload = (int)(number / 100000000)};
}

static bool is_case(const struct nth_plan *plan)
{
    return plan->workload < harness->workload_count && plan->call < NTH_CALLS &&
           plan->errno_index < NTH_ERRNOS && plan->mode < NTH_MODES;
}

static bool is_transfer(enum nth_call call)
{
    return call == NTH_PWRITE || (call >= NTH_LMDB_PWRITE && call <= NTH_LMDB_WRITEV);
}

static bool makes_sense(const struct nth_plan *plan)
{
    int error = calls[plan->call].errnos[plan->errno_index];

    if (error == 0) return false;
    if (plan->mode == NTH_ONCE) return true;
    if (error == NTH_SHORT || error == EINTR) return false; /* for ever is no system's */
    return plan->mode == NTH_EVER || is_transfer(plan->call);
}

enum { RUNNING_MAX = 16, CASES_MAX = 400000 };

static struct slot *slots; /* shared */
static uint64_t *cases;
static uint64_t case_count;
static uint64_t not_reached;

static void start(struct slot *in, const struct nth_plan *plan, const char *base)
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
    struct nth_plan plan = decode(in->number);

    in->pid = 0;
    if (status == 0 && plan.n > 0 && !in->reached) not_reached++;
    if (status == 0) return;
    if (in->text[0] == '\0')
        proof_violation(in->number, "%s, %s number %" PRIu64 ", %s %s: status %#x",
                        harness->workload_name(plan.workload), calls[plan.call].name, plan.n,
                        errno_text(calls[plan.call].errnos[plan.errno_index]),
                        mode_names[plan.mode], (unsigned)status);
    else proof_violation(in->number, "%s", in->text);
}

/* Waits for one of those that nth. */
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
static void add_cases(const struct nth_plan *without, const uint64_t *counts)
{
    struct nth_plan plan = *without;
    int call = 0;
    int mode;

    for (; call < NTH_CALLS; call++) {
        plan.call = (enum nth_call)call;
        for (plan.n = 1; plan.n <= counts[call]; plan.n++)
            for (plan.errno_index = 0; plan.errno_index < NTH_ERRNOS; plan.errno_index++)
                for (mode = 0; mode < NTH_MODES; mode++) {
                    plan.mode = (enum nth_mode)mode;
                    if (makes_sense(&plan) && case_count < CASES_MAX)
                        cases[case_count++] = encode(&plan);
                }
    }
}

static void find_cases(const char *base)
{
    const char *only = getenv("WORKLOAD");
    struct nth_plan plan = {0};

    for (int i = 0; i < harness->workload_count; i++) {
        if (only != NULL && strcmp(only, harness->workload_name(i)) != 0) continue;
        plan.workload = i;
        start(&slots[0], &plan, base);
        wait_for_one(1);
        add_cases(&plan, slots[0].counts);
        if (getenv("VERBOSE") == NULL) continue;
        printf("%-30s", harness->workload_name(i));
        for (int c = 0; c < NTH_CALLS; c++)
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
    struct nth_plan plan;

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

int nth_main(const struct nth_harness *of)
{
    uint64_t budget;
    const char *one = getenv("CASE");
    uint64_t seed = proof_seed();
    const char *base;

    harness = of;
    budget =
        proof_budget(UINT64_MAX, getenv("RILL_TEST_SLOW") != NULL ? of->share_slow : of->share);
    if (one != NULL) {
        const struct nth_plan plan = decode(strtoull(one, NULL, 0));
        assert_true(is_case(&plan));
    }
    slots = nth_real_mmap(NULL, RUNNING_MAX * sizeof *slots, PROT_READ | PROT_WRITE,
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
    return proof_end(of->name, case_count);
}
