/*
 * realfs.c - power cuts under real file systems: ext4, XFS and btrfs.
 *
 * A file system lies on a loop device over one file of a FUSE daemon of ours,
 * which keeps a log of every write and every flush that the device gets:
 *
 *     store -> file system -> loop device -> FUSE file -> the log
 *
 * A workload runs on it and notes, at each acknowledgement, how long the log was
 * then. A case is a cut at some place of the log: all writes before the last
 * flush are on the device, of those after it some are, by chance, whole or torn
 * at 512 bytes. The image is mounted, which lets the file system's own recovery
 * run, and a process that believes in another boot opens the store:
 *
 *     a partition holds all that was acknowledged as durable when the power went,
 *     and no more than had been appended, every byte as it was given;
 *     a committed offset is the last one acknowledged, or the one on its way;
 *     topics that were made are there;
 *     the store goes on.
 *
 * Images that the file system itself refuses (a superblock torn at 512 bytes) are
 * counted apart: nothing of them is ours to keep.
 *
 * The control: images from which the last flushes and what they had written are
 * missing, as if the device had lied. If none of them is seen to have lost
 * something, this harness could see nothing, and fails.
 *
 * BUDGET counts images. What a kernel writes when is not the seed's to say: the
 * seed repeats the workload and the choices, not the log. Exits 77 where FUSE or
 * loop devices are not to be had; a file system that is not known here is left out
 * with a line.
 */
#include "proof.h"
#include "os/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <rill.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef HAVE_FUSE3
int main(void)
{
    printf("built without libfuse3\n");
    return 77;
}
#else
#define FUSE_USE_VERSION 31
#include <fuse.h>
#include <linux/loop.h>

enum { PAGE = 4096, SECTOR = 512, PARTITIONS = 2, RECORDS_MAX = 4000, WAIT_MS = 60000 };
enum { VALUE_MAX = 6000, MARKS_MAX = 20000, BROKEN = 3, LIES = 5 };
enum { LOG_BYTES = 1 << 30, LOG_ENTRIES = 1 << 20 };

static const struct kind {
    const char *name;
    const char *make; /* a device's name follows */
    size_t size;
    unsigned share; /* of the images, in tenths */
} kinds[] = {
    {"ext4", "mkfs.ext4 -q -F -b 4096 -J size=4 -E nodiscard,lazy_itable_init=0", 32 << 20, 6},
    {"xfs", "mkfs.xfs -q -f -K", 304 << 20, 2},
    {"btrfs", "mkfs.btrfs -q -f -K", 128 << 20, 2},
};

/* ---- What all processes share ----------------------------------------- */

struct entry {
    uint64_t at;   /* on the device */
    uint32_t size; /* 0: a flush */
    uint32_t data; /* where in log_bytes */
};

/* What is promised from here on. */
struct mark {
    uint64_t log; /* entries that the device had got */
    int64_t end[PARTITIONS];
    int64_t durable[PARTITIONS];
    int64_t committed[PARTITIONS]; /* -1: never */
    int64_t topics;
};

static struct {
    _Atomic uint64_t entry_count;
    _Atomic uint64_t byte_count;
    _Atomic uint64_t mark_count;
    struct entry entries[LOG_ENTRIES];
    struct mark marks[MARKS_MAX];
    uint8_t bytes[LOG_BYTES];
} * shared;

static const struct kind *kind;
static uint8_t *device; /* what it would hold if nothing were cut */
static char work_dir[600];
static uint64_t seed;

/* ---- The device ------------------------------------------------------- */

static void log_add(uint64_t at, const void *data, size_t size)
{
    uint64_t n = atomic_load(&shared->entry_count);
    uint64_t byte = atomic_load(&shared->byte_count);

    if (n == LOG_ENTRIES || byte + size > LOG_BYTES) abort();
    if (size > 0) memcpy(shared->bytes + byte, data, size);
    shared->entries[n] = (struct entry){at, (uint32_t)size, (uint32_t)byte};
    atomic_store(&shared->byte_count, byte + size);
    atomic_store(&shared->entry_count, n + 1);
}

static int disk_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    (void)info;
    memset(st, 0, sizeof *st);
    st->st_nlink = 1;
    if (strcmp(path, "/") == 0) {
        st->st_mode = S_IFDIR | 0700;
        return 0;
    }
    if (strcmp(path, "/disk") != 0) return -ENOENT;
    st->st_mode = S_IFREG | 0600;
    st->st_size = (off_t)kind->size;
    return 0;
}

static int disk_open(const char *path, struct fuse_file_info *info)
{
    (void)path;
    info->direct_io = 1;
    return 0;
}

static int disk_read(const char *path, char *data, size_t size, off_t at,
                     struct fuse_file_info *info)
{
    (void)path, (void)info;
    if ((size_t)at >= kind->size) return 0;
    if (size > kind->size - (size_t)at) size = kind->size - (size_t)at;
    memcpy(data, device + at, size);
    return (int)size;
}

static int disk_write(const char *path, const char *data, size_t size, off_t at,
                      struct fuse_file_info *info)
{
    (void)path, (void)info;
    if ((size_t)at + size > kind->size) return -ENOSPC;
    memcpy(device + at, data, size);
    log_add((uint64_t)at, data, size);
    return (int)size;
}

static int disk_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
    (void)path, (void)data_only, (void)info;
    log_add(0, NULL, 0);
    return 0;
}

static const struct fuse_operations disk_operations = {.getattr = disk_getattr,
                                                       .open = disk_open,
                                                       .read = disk_read,
                                                       .write = disk_write,
                                                       .fsync = disk_fsync};

static void serve_disk(const char *at)
{
    static char program[] = "disk";
    char *arguments[] = {program, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, arguments);
    struct fuse *fuse = fuse_new(&args, &disk_operations, sizeof disk_operations, NULL);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fuse == NULL || fuse_mount(fuse, at) != 0) _exit(1);
    fuse_loop(fuse);
    _exit(0);
}

/* ---- Loop devices and mounts ------------------------------------------ */

/* A free one, on a file; gone when its last user is. */
static int attach(const char *path, char *name, size_t name_size)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    struct loop_config config = {.fd = (uint32_t)file, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
    int fd = -1;

    for (int attempt = 0; attempt < 50 && file >= 0 && control >= 0; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) break;
        snprintf(name, name_size, "/dev/loop%d", number);
        fd = open(name, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0) break;
        if (fd >= 0) close(fd);
        fd = -1;
        usleep(10000);
    }
    if (control >= 0) close(control);
    if (file >= 0) close(file);
    return fd;
}

static bool run(const char *command, const char *argument)
{
    char line[400];
    snprintf(line, sizeof line, "%s %s >/dev/null 2>&1", command, argument);
    return system(line) == 0;
}

/* ---- Records that follow from their place ------------------------------ */

static size_t value_of(int32_t partition, int64_t offset, uint8_t *value)
{
    struct test_random bytes = {seed + (uint64_t)partition * 1000000 + (uint64_t)offset};
    size_t size = 8 + test_random_below(&bytes, offset % 4 == 0 ? VALUE_MAX - 8 : 200);

    memset(value, (int)('a' + offset % 26), size);
    memcpy(value, &bytes.state, 8);
    return size;
}

#define CHECK(rule)                                                                              \
    do {                                                                                         \
        if (!(rule)) {                                                                           \
            fprintf(stderr, "    %s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #rule,           \
                    rill_errmsg());                                                              \
            _exit(BROKEN);                                                                       \
        }                                                                                        \
    } while (0)
#define MUST(call) CHECK((call) == 0)

static rill *store;
static rill_producer *producers[2]; /* acks written, acks durable */
static rill_consumer *consumer;

static void open_all(const char *dir)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_topic_options topic = {
        .size = sizeof topic, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    int rc;

    MUST(rill_open(dir, &options, &store));
    rc = rill_topic_create(store, "t", &topic);
    CHECK(rc == 0 || rc == RILL_ERR_EXISTS);
    MUST(rill_producer_open(store, &out, &producers[0]));
    out.acks = RILL_ACKS_DURABLE;
    MUST(rill_producer_open(store, &out, &producers[1]));
    MUST(rill_consumer_open(store, &in, &consumer));
}

static void close_all(void)
{
    MUST(rill_consumer_close(consumer, WAIT_MS));
    MUST(rill_producer_close(producers[0], WAIT_MS));
    MUST(rill_producer_close(producers[1], WAIT_MS));
    MUST(rill_close(store));
}

static int append(int32_t p, int64_t *end, bool durably)
{
    static uint8_t values[4][VALUE_MAX];
    rill_record records[4];
    rill_offset offset;

    for (int i = 0; i < 4; i++) {
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = p;
        records[i].value = (rill_bytes){values[i], value_of(p, *end + i, values[i])};
    }
    MUST(rill_producer_append(producers[durably], records, 4, WAIT_MS, &offset));
    CHECK(offset == *end);
    *end += 4;
    return 0;
}

/* ---- The workload ----------------------------------------------------- */

static void note(struct mark mark)
{
    uint64_t n = atomic_load(&shared->mark_count);

    CHECK(n < MARKS_MAX);
    mark.log = atomic_load(&shared->entry_count);
    shared->marks[n] = mark;
    atomic_store(&shared->mark_count, n + 1);
}

static void step(struct mark *mark, struct test_random *random, const char *dir)
{
    int p = (int)test_random_below(random, PARTITIONS);
    char name[32];

    switch (test_random_below(random, 12)) {
    case 0:
        MUST(rill_sync(store, WAIT_MS));
        memcpy(mark->durable, mark->end, sizeof mark->end);
        break;
    case 1:
    case 2: {
        rill_position position = {"t", p, -1, 0, NULL};
        position.offset = (int64_t)test_random_below(random, (uint64_t)mark->end[p] + 1);
        MUST(rill_consumer_commit(consumer, &position, 1));
        mark->committed[p] = position.offset;
        break;
    }
    case 3: MUST(rill_maintain(store, NULL)); break;
    case 4:
        snprintf(name, sizeof name, "topic-%d", (int)mark->topics);
        if (mark->topics < 10) {
            MUST(rill_topic_create(store, name, NULL));
            mark->topics++;
        }
        break;
    case 5:
        close_all();
        open_all(dir);
        break;
    default: {
        bool durably = test_random_below(random, 3) == 0;
        append(p, &mark->end[p], durably);
        if (durably) mark->durable[p] = mark->end[p];
        break;
    }
    }
    note(*mark);
}

static void work(const char *mounted, int steps)
{
    struct test_random random = {seed * 7 + 3};
    struct mark mark = {.committed = {-1, -1}};
    char dir[800];

    snprintf(dir, sizeof dir, "%s/store", mounted);
    note(mark);
    open_all(dir);
    for (int i = 0; i < steps; i++) step(&mark, &random, dir);
    close_all();
    _exit(0);
}

/* ---- After a cut ------------------------------------------------------ */

static int (*real_openat)(int dir, const char *name, int flags, ...);

static int openat_of_another_boot(int dir, const char *name, int flags, ...)
{
    int fd;

    if (strcmp(name, "/proc/sys/kernel/random/boot_id") != 0)
        return real_openat(dir, name, flags, 0600);
    fd = memfd_create("boot_id", MFD_CLOEXEC);
    dprintf(fd, "%016llx%016llx", (unsigned long long)getpid(), (unsigned long long)time(NULL));
    return fd;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void check_partition(int32_t p, const struct mark *now, const struct mark *next)
{
    rill_position from = {"t", p, -1, 0, NULL};
    rill_partition_info info;
    rill_position committed;
    rill_consumer *reader;
    rill_record records[64];
    uint8_t value[VALUE_MAX];
    int64_t offset = 0;
    size_t count;

    MUST(rill_partition_describe(store, "t", p, &info));
    CHECK(info.log_end >= now->durable[p]);
    CHECK(info.log_end <= next->end[p]);
    MUST(rill_consumer_open(store, NULL, &reader));
    MUST(rill_consumer_assign(reader, &from, 1));
    do {
        MUST(rill_consumer_poll(reader, 0, records, 64, &count));
        for (size_t i = 0; i < count; i++, offset++) {
            CHECK(records[i].offset == offset);
            CHECK(records[i].value.size == value_of(p, offset, value));
            CHECK(memcmp(records[i].value.data, value, records[i].value.size) == 0);
        }
    } while (count > 0);
    CHECK(offset == info.log_end);
    MUST(rill_consumer_close(reader, WAIT_MS));
    MUST(rill_consumer_committed(consumer, "t", p, &committed, NULL, 0));
    if (committed.offset == RILL_OFFSET_NONE) committed.offset = -1;
    CHECK(committed.offset == least(now->committed[p], info.log_end) ||
          committed.offset == least(next->committed[p], info.log_end));
    offset = info.log_end;
    append(p, &offset, true);
}

static void check_store(const char *mounted, const struct mark *now, const struct mark *next)
{
    rill_topic_info info;
    char dir[800];

    real_openat = rill__sys.openat;
    rill__sys.openat = openat_of_another_boot;
    snprintf(dir, sizeof dir, "%s/store", mounted);
    if (now->end[0] + now->end[1] + now->topics > 0) CHECK(access(dir, F_OK) == 0);
    open_all(dir);
    for (int32_t p = 0; p < PARTITIONS; p++) check_partition(p, now, next);
    for (int i = 0; i < now->topics; i++) {
        char name[32];
        snprintf(name, sizeof name, "topic-%d", i);
        MUST(rill_topic_describe(store, name, &info));
    }
    close_all();
    _exit(0);
}

/* ---- Images ----------------------------------------------------------- */

/* The device up to some place of the log, and a file to make an image in. */
static struct {
    uint8_t *bytes;
    uint64_t log; /* entries that are in it */
    int fd;
} image;

static void write_entry(const struct entry *entry)
{
    memcpy(image.bytes + entry->at, shared->bytes + entry->data, entry->size);
}

/* Pages of zeros are left out: they are there. */
static void write_image(void)
{
    static const uint8_t zeros[PAGE];

    if (fallocate(image.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)kind->size) !=
        0)
        abort();
    for (size_t at = 0; at < kind->size; at += PAGE)
        if (memcmp(image.bytes + at, zeros, PAGE) != 0 &&
            pwrite(image.fd, image.bytes + at, PAGE, (off_t)at) != PAGE)
            abort();
}

static void write_some(const struct entry *entry, struct test_random *random)
{
    const uint8_t *data = shared->bytes + entry->data;
    uint64_t choice = test_random_below(random, 3);

    if (entry->size == 0 || choice == 0) return;
    for (size_t at = 0; at < entry->size; at += SECTOR) {
        size_t n = entry->size - at < SECTOR ? entry->size - at : SECTOR;
        if (choice == 2 && test_random_below(random, 2) == 0) continue;
        if (pwrite(image.fd, data + at, n, (off_t)(entry->at + at)) != (ssize_t)n) abort();
    }
}

static uint64_t last_flush(uint64_t cut, int back)
{
    while (cut > 0 && (shared->entries[cut - 1].size != 0 || back-- > 0)) cut--;
    return cut;
}

/* Which promise holds when the device has got so many entries. */
static uint64_t mark_at(uint64_t cut)
{
    uint64_t n = 0;

    while (n + 1 < atomic_load(&shared->mark_count) && shared->marks[n + 1].log <= cut) n++;
    return n;
}

enum verdict { AS_PROMISED, BROKEN_PROMISE, NOT_MOUNTED };

/* quiet: what is wrong is not said. */
static enum verdict check_image(const char *mounted, uint64_t cut, bool quiet)
{
    uint64_t n = mark_at(cut);
    uint64_t next = n + 1 < atomic_load(&shared->mark_count) ? n + 1 : n;
    char path[64];
    char name[32];
    int status = -1;
    bool mounts;
    pid_t pid;
    int loop;

    snprintf(path, sizeof path, "/proc/self/fd/%d", image.fd);
    loop = attach(path, name, sizeof name);
    if (loop < 0) {
        fprintf(stderr, "    no loop device\n");
        return BROKEN_PROMISE;
    }
    mounts = mount(name, mounted, kind->name, 0, NULL) == 0;
    close(loop);
    if (!mounts) return NOT_MOUNTED;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(120);
        if (quiet && freopen("/dev/null", "w", stderr) == NULL) _exit(1);
        check_store(mounted, &shared->marks[n], &shared->marks[next]);
    }
    waitpid(pid, &status, 0);
    if (umount(mounted) != 0) umount2(mounted, MNT_DETACH);
    return status == 0 ? AS_PROMISED : BROKEN_PROMISE;
}

static int compare_cuts(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void forward_to(uint64_t log)
{
    for (; image.log < log; image.log++) write_entry(&shared->entries[image.log]);
}

/* Places for count cuts, in order. */
static uint64_t *choose_cuts(struct test_random *random, uint64_t from, uint64_t count)
{
    uint64_t *cuts = calloc(count, sizeof *cuts);

    for (uint64_t i = 0; i < count; i++)
        cuts[i] = from + test_random_below(random, atomic_load(&shared->entry_count) - from + 1);
    qsort(cuts, count, sizeof *cuts, compare_cuts);
    memset(image.bytes, 0, kind->size);
    image.log = 0;
    return cuts;
}

/* How many images with LIES flushes and all behind them missing look wrong. */
static uint64_t count_caught(const char *mounted, uint64_t from, uint64_t count)
{
    struct test_random random = {seed * 2 + 1};
    uint64_t *cuts = choose_cuts(&random, from, count);
    uint64_t caught = 0;

    for (uint64_t i = 0; i < count; i++) {
        forward_to(last_flush(cuts[i], LIES));
        write_image();
        caught += check_image(mounted, cuts[i], true) == BROKEN_PROMISE;
    }
    free(cuts);
    return caught;
}

static void check_cuts(const char *mounted, uint64_t from, uint64_t count, uint64_t *cases)
{
    struct test_random random = {seed * 2 + 2};
    uint64_t lies = count / 20 + 4;
    uint64_t caught = count_caught(mounted, from, lies);
    uint64_t *cuts = choose_cuts(&random, from, count);
    uint64_t unmountable = 0;

    for (uint64_t i = 0; i < count; i++, ++*cases) {
        uint64_t flush = last_flush(cuts[i], 0);
        enum verdict verdict;

        forward_to(flush);
        write_image();
        for (uint64_t e = flush; e < cuts[i]; e++) write_some(&shared->entries[e], &random);
        verdict = check_image(mounted, cuts[i], false);
        unmountable += verdict == NOT_MOUNTED;
        if (verdict == BROKEN_PROMISE)
            proof_violation(*cases, "%s: cut at %" PRIu64 " of %" PRIu64 " writes and flushes",
                            kind->name, cuts[i], atomic_load(&shared->entry_count));
    }
    free(cuts);
    printf("%s: %" PRIu64 " images of %" PRIu64 " writes and flushes, %" PRIu64
           " of which %s itself refuses; %" PRIu64 " of %" PRIu64 " lies caught\n",
           kind->name, count, atomic_load(&shared->entry_count) - from, unmountable, kind->name,
           caught, lies);
    if (caught == 0) proof_violation(*cases, "%s: no lie was caught", kind->name);
    if (unmountable > count / 10 + 1)
        proof_violation(*cases, "%s: most images cannot be judged", kind->name);
}

/* ---- One kind of file system ------------------------------------------ */

static bool wait_for(const char *path)
{
    for (int i = 0; i < 500; i++) {
        if (access(path, F_OK) == 0) return true;
        usleep(10000);
    }
    return false;
}

static bool work_on_device(const char *disk, const char *mounted, int steps, uint64_t *from)
{
    char name[32];
    int loop = attach(disk, name, sizeof name);
    int status = -1;
    pid_t pid;

    if (loop < 0 || !run(kind->make, name) || mount(name, mounted, kind->name, 0, NULL) != 0) {
        if (loop >= 0) close(loop);
        return false;
    }
    close(loop);
    sync();
    *from = atomic_load(&shared->entry_count);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        work(mounted, steps);
    }
    waitpid(pid, &status, 0);
    umount(mounted);
    if (status != 0) proof_violation(0, "%s: the workload failed", kind->name);
    return true;
}

/* False: it cannot be had here. */
static bool try_kind(uint64_t count, uint64_t *cases)
{
    char fuse_dir[700];
    char disk[800];
    char mounted[700];
    uint64_t from = 0;
    bool works;
    pid_t pid;

    snprintf(fuse_dir, sizeof fuse_dir, "%s/%s.fuse", work_dir, kind->name);
    snprintf(mounted, sizeof mounted, "%s/%s", work_dir, kind->name);
    snprintf(disk, sizeof disk, "%s/disk", fuse_dir);
    mkdir(fuse_dir, 0700);
    mkdir(mounted, 0700);
    atomic_store(&shared->entry_count, 0);
    atomic_store(&shared->byte_count, 0);
    atomic_store(&shared->mark_count, 0);
    device = mmap(NULL, kind->size, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) serve_disk(fuse_dir);
    works = wait_for(disk) && work_on_device(disk, mounted, count < 50 ? 60 : 400, &from);
    umount2(fuse_dir, MNT_DETACH);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    munmap(device, kind->size);
    if (!works) return false;
    image.log = 0;
    image.bytes = mmap(NULL, kind->size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    image.fd = memfd_create("image", MFD_CLOEXEC);
    if (ftruncate(image.fd, (off_t)kind->size) != 0) abort();
    check_cuts(mounted, from, count, cases);
    munmap(image.bytes, kind->size);
    close(image.fd);
    return true;
}

int main(void)
{
    uint64_t budget = proof_budget(5000, getenv("RILL_TEST_SLOW") != NULL ? 10 : 20);
    uint64_t cases = 0;
    int done = 0;

    seed = proof_seed();
    if (access("/dev/fuse", R_OK | W_OK) != 0 || access("/dev/loop-control", R_OK | W_OK) != 0 ||
        unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        printf("no FUSE, no loop devices, or no right to mount\n");
        return 77;
    }
    snprintf(work_dir, sizeof work_dir, "%s", test_directory());
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED) abort();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        kind = &kinds[i];
        if (try_kind(budget * kind->share / 10, &cases)) done++;
        else printf("%s cannot be made or mounted here\n", kind->name);
    }
    test_remove(work_dir);
    if (done == 0) return 77;
    return proof_end("realfs", cases);
}
#endif
