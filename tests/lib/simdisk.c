/*
 * simdisk.c - see simdisk.h.
 *
 * durable names: what the directories on the device hold. pending: what has
 * happened to names since. A node is a file or a directory; it keeps a
 * descriptor of its own, so that its bytes stay there when its name goes. A file
 * that has several names is one node, and one file again after a cut.
 */
#include "simdisk.h"
#include "os/sys.h"
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { NODES_MAX = 2048, NAMES_MAX = 2048, PENDING_MAX = 2048, NAME_SIZE = 64 };
enum { PAGE = 4096, SECTOR = 512 };
enum { TICK_NS = 50000 }; /* of the clock, with each look at it */

struct node {
    ino_t inode;
    int fd;
    bool is_directory;
    uint8_t *durable; /* on the device since the last sync */
    size_t durable_size;
    uint8_t *between; /* some state after that */
    size_t between_size;
    int written; /* 1 + the descriptor of what a cut has made of it, 0: nothing yet */
};

struct name {
    int directory; /* node numbers */
    int node;
    char text[NAME_SIZE];
};

struct pending {
    enum { MADE, REMOVED, RENAMED } kind;
    struct name name;
    char to[NAME_SIZE];
};

static struct {
    bool mounted;
    bool inside; /* the disk's own calls are no events */
    bool lies;
    struct test_random *random;
    dev_t device;
    struct sys_calls before;
    char boot_id[40];
    uint64_t events;
    uint64_t ticks;     /* of the clock since it was mounted */
    uint64_t passed_ns; /* besides */
    uint64_t wall_ns;   /* how far the wall clock is ahead of the others */
    uint64_t cut_at;    /* 0: no cut */
    uint64_t ways_max;  /* 0: one state by chance */
    uint64_t ways;
    bool ways_all;
    char cut_to[800];
    void (*cut)(void *arg);
    void *cut_arg;
    struct node nodes[NODES_MAX];
    int node_count;
    struct name names[NAMES_MAX]; /* durable */
    int name_count;
    struct pending pending[PENDING_MAX];
    int pending_count;
} disk;

static uint64_t below(uint64_t limit)
{
    return test_random_below(disk.random, limit);
}

/* ---- Choices that are gone through one by one ---- */

enum { CHOICES_MAX = 256 };

/* The choices of the present way, as the digits of a number that counts up. */
static struct {
    bool on;
    unsigned digits[CHOICES_MAX];
    unsigned bases[CHOICES_MAX];
    int used;
} ways;

static unsigned choose(unsigned base)
{
    if (ways.used == CHOICES_MAX) return 0;
    ways.bases[ways.used] = base;
    return ways.digits[ways.used++];
}

/* False when all have been gone through. */
static bool next_way(void)
{
    int at = ways.used - 1;

    while (at >= 0 && ways.digits[at] + 1 == ways.bases[at]) at--;
    if (at < 0) return false;
    ways.digits[at]++;
    for (int i = at + 1; i < CHOICES_MAX; i++) ways.digits[i] = 0;
    return true;
}

/* ---- Real calls ---- */

static int real_open(int dir, const char *name, int flags, mode_t mode)
{
    return (int)syscall(SYS_openat, dir, name, flags, mode);
}

static void read_all(int fd, uint8_t **bytes, size_t *size)
{
    struct stat st;
    size_t done = 0;

    assert_int_equal(fstat(fd, &st), 0);
    *size = (size_t)st.st_size;
    *bytes = realloc(*bytes, *size + 1);
    assert_non_null(*bytes);
    while (done < *size) {
        ssize_t n = pread(fd, *bytes + done, *size - done, (off_t)done);
        assert_true(n > 0);
        done += (size_t)n;
    }
}

/* ---- Nodes and names ---- */

static int find_node(int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || st.st_dev != disk.device) return -1;
    for (int i = disk.node_count - 1; i >= 0; i--)
        if (disk.nodes[i].inode == st.st_ino && disk.nodes[i].fd >= 0) return i;
    return -1;
}

/* The descriptor is the node's from now on. */
static int keep_node(int fd)
{
    struct node *node = &disk.nodes[disk.node_count];
    struct stat st;

    assert_true(fd >= 0 && disk.node_count < NODES_MAX);
    assert_int_equal(fstat(fd, &st), 0);
    memset(node, 0, sizeof *node);
    node->inode = st.st_ino;
    node->is_directory = S_ISDIR(st.st_mode);
    node->fd = fd;
    return disk.node_count++;
}

static int add_node(int fd)
{
    return keep_node(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

static void add_name(struct name *names, int *count, int directory, const char *text, int node)
{
    assert_true(*count < NAMES_MAX && strlen(text) < NAME_SIZE);
    names[*count].directory = directory;
    names[*count].node = node;
    memcpy(names[*count].text, text, strlen(text) + 1);
    (*count)++;
}

static int find_name(const struct name *names, int count, int directory, const char *text)
{
    for (int i = 0; i < count; i++)
        if (names[i].directory == directory && strcmp(names[i].text, text) == 0) return i;
    return -1;
}

/* Does to a list of names what happened; false if it makes no sense there. */
static bool apply(const struct pending *p, struct name *names, int *count)
{
    int at = find_name(names, *count, p->name.directory, p->name.text);
    int to;

    switch (p->kind) {
    case MADE:
        if (at >= 0) names[at].node = p->name.node;
        else add_name(names, count, p->name.directory, p->name.text, p->name.node);
        return true;
    case REMOVED:
        if (at < 0) return false;
        names[at] = names[--*count];
        return true;
    default:
        if (at < 0 || names[at].node != p->name.node) return false;
        to = find_name(names, *count, p->name.directory, p->to);
        if (to >= 0) {
            names[to].node = p->name.node;
            names[at] = names[--*count];
        } else {
            memcpy(names[at].text, p->to, NAME_SIZE);
        }
        return true;
    }
}

static void note(int kind, int directory, const char *text, const char *to, int node)
{
    struct pending *p = &disk.pending[disk.pending_count++];

    assert_true(disk.pending_count < PENDING_MAX && strlen(text) < NAME_SIZE);
    p->kind = kind;
    p->name.directory = directory;
    p->name.node = node;
    memcpy(p->name.text, text, strlen(text) + 1);
    if (to != NULL) memcpy(p->to, to, strlen(to) + 1);
}

/* ---- What is durable ---- */

static void sync_node(struct node *node)
{
    read_all(node->fd, &node->durable, &node->durable_size);
    node->between_size = 0;
}

static void sync_directory(int directory)
{
    int kept = 0;

    for (int i = 0; i < disk.pending_count; i++) {
        if (disk.pending[i].name.directory == directory)
            apply(&disk.pending[i], disk.names, &disk.name_count);
        else disk.pending[kept++] = disk.pending[i];
    }
    disk.pending_count = kept;
}

static void sync_fd(int fd)
{
    int node = find_node(fd);

    if (node < 0 || disk.lies) return;
    if (disk.nodes[node].is_directory) sync_directory(node);
    else sync_node(&disk.nodes[node]);
}

/* By chance, keeps the state that a file has now. */
static void look_between(void)
{
    if (below(8) != 0 || disk.node_count == 0) return;
    for (int i = 0; i < disk.node_count; i++) {
        struct node *node = &disk.nodes[i];
        if (!node->is_directory && below(3) == 0)
            read_all(node->fd, &node->between, &node->between_size);
    }
}

/* ---- A cut ---- */

static const uint8_t *bytes_at(const uint8_t *bytes, size_t size, size_t at, size_t length,
                               uint8_t *room)
{
    if (at + length <= size) return bytes + at;
    memset(room, 0, length);
    if (at < size) memcpy(room, bytes + at, size - at);
    return room;
}

/* Of each 512 bytes that differ: the old or the new. */
static void choose_sectors(const struct node *node, const uint8_t *now, size_t now_size,
                           size_t at, size_t length, uint8_t *out)
{
    uint8_t rooms[2][PAGE];
    const uint8_t *old = bytes_at(node->durable, node->durable_size, at, length, rooms[0]);
    const uint8_t *fresh = bytes_at(now, now_size, at, length, rooms[1]);

    for (size_t i = 0; i < length; i += SECTOR) {
        size_t n = length - i < SECTOR ? length - i : SECTOR;
        bool differs = memcmp(old + i, fresh + i, n) != 0;
        memcpy(out + i, (differs && choose(2) == 1 ? fresh : old) + i, n);
    }
}

/* With halves, a page may have got there in the middle of a copy to it. */
static void choose_page(const struct node *node, const uint8_t *now, size_t now_size, size_t at,
                        size_t length, bool halves, uint8_t *out)
{
    uint8_t rooms[3][PAGE];
    const uint8_t *states[3];
    uint64_t choice = below(4);

    states[0] = bytes_at(node->durable, node->durable_size, at, length, rooms[0]);
    states[1] = bytes_at(now, now_size, at, length, rooms[1]);
    states[2] = node->between_size == 0
                    ? states[1]
                    : bytes_at(node->between, node->between_size, at, length, rooms[2]);
    for (size_t i = 0; i < length; i += SECTOR) {
        size_t n = length - i < SECTOR ? length - i : SECTOR;
        memcpy(out + i, states[choice < 3 ? choice : below(3)] + i, n);
    }
    if (halves && choice == 3 && below(2) == 0) memcpy(out, states[1], below(length + 1));
}

/* All but the zeros, which are there. */
static void write_pages(int fd, const uint8_t *bytes, size_t size)
{
    static const uint8_t zeros[PAGE];

    for (size_t at = 0; at < size; at += PAGE) {
        size_t length = size - at < PAGE ? size - at : PAGE;
        if (memcmp(bytes + at, zeros, length) == 0) continue;
        assert_int_equal(pwrite(fd, bytes + at, length, (off_t)at), (ssize_t)length);
    }
}

/* Locks, and words of one boot: for these the chance of a random cut will do. */
static bool means_nothing(const char *name, size_t at)
{
    return strcmp(name, "lock.mdb") == 0 || strcmp(name, "shared") == 0 ||
           (strcmp(name, "control") == 0 && at < PAGE);
}

/* Another name for what this cut has written of the node. */
static void link_file(const struct node *node, int directory, const char *name)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", node->written - 1);
    assert_int_equal(syscall(SYS_linkat, AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW), 0);
}

static void write_file(struct node *node, uint64_t mood, int directory, const char *name)
{
    uint8_t *now = NULL;
    uint8_t *out;
    size_t now_size;
    size_t size;
    /* LMDB writes by calls, and rill writes headers so. */
    bool mapped = strcmp(name, "data.mdb") != 0;
    int fd;

    if (node->written != 0) {
        link_file(node, directory, name);
        return;
    }
    fd = real_open(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    read_all(node->fd, &now, &now_size);
    if (ways.on)
        size = node->durable_size == now_size || choose(2) == 0 ? node->durable_size : now_size;
    else size = mood == 0 || (mood != 1 && below(2) == 0) ? node->durable_size : now_size;
    out = malloc(size + 1);
    assert_non_null(out);
    for (size_t at = 0; at < size; at += PAGE) {
        size_t length = size - at < PAGE ? size - at : PAGE;
        uint8_t room[PAGE];
        const uint8_t *old = bytes_at(node->durable, node->durable_size, at, length, room);
        if (ways.on && !means_nothing(name, at))
            choose_sectors(node, now, now_size, at, length, out + at);
        else if (mood == 0) memcpy(out + at, old, length);
        else if (mood == 1) memcpy(out + at, now + at, length);
        else choose_page(node, now, now_size, at, length, mapped && at > 0, out + at);
    }
    assert_int_equal(syscall(SYS_ftruncate, fd, size), 0);
    write_pages(fd, out, size);
    node->written = fd + 1;
    free(now);
    free(out);
}

static void write_directory(const struct name *names, int count, int directory, uint64_t mood,
                            int to)
{
    for (int i = 0; i < count; i++) {
        struct node *node = &disk.nodes[names[i].node];
        int fd;

        if (names[i].directory != directory) continue;
        if (!node->is_directory) {
            write_file(node, mood, to, names[i].text);
            continue;
        }
        assert_int_equal(syscall(SYS_mkdirat, to, names[i].text, 0700), 0);
        fd = real_open(to, names[i].text, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        assert_true(fd >= 0);
        write_directory(names, count, names[i].node, mood, fd);
        close(fd);
    }
}

static int names_after_cut(uint64_t mood, struct name *names)
{
    int count = disk.name_count;
    int prefix = ways.on ? 0 : (int)below((uint64_t)disk.pending_count + 1);
    bool in_order = !ways.on && below(2) == 0;

    memcpy(names, disk.names, (size_t)count * sizeof *names);
    for (int i = 0; i < disk.pending_count && ways.on; i++)
        if (choose(2) == 1) apply(&disk.pending[i], names, &count);
    if (ways.on) return count;
    for (int i = 0; i < disk.pending_count && mood != 0; i++) {
        if (mood != 1 && (in_order ? i >= prefix : below(2) == 0)) continue;
        apply(&disk.pending[i], names, &count);
    }
    return count;
}

void simdisk_cut(const char *to)
{
    static struct name names[NAMES_MAX];
    /* 0: nothing unsynced got there, 1: all of it */
    uint64_t mood = ways.on ? 2 : below(10);
    bool was_inside = disk.inside;
    int count;
    int fd;

    disk.inside = true;
    count = names_after_cut(mood, names);
    assert_int_equal(syscall(SYS_mkdirat, AT_FDCWD, to, 0700), 0);
    fd = real_open(AT_FDCWD, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    assert_true(fd >= 0);
    write_directory(names, count, 0, mood, fd);
    close(fd);
    for (int i = 0; i < disk.node_count; i++) {
        if (disk.nodes[i].written != 0) close(disk.nodes[i].written - 1);
        disk.nodes[i].written = 0;
    }
    disk.inside = was_inside;
}

void simdisk_cut_at(uint64_t n, const char *to, void (*cut)(void *arg), void *arg)
{
    disk.cut_at = disk.events + n;
    snprintf(disk.cut_to, sizeof disk.cut_to, "%s", to);
    disk.cut = cut;
    disk.cut_arg = arg;
}

static void cut_every_way(void)
{
    char to[900];

    memset(&ways, 0, sizeof ways);
    ways.on = true;
    do {
        ways.used = 0;
        snprintf(to, sizeof to, "%s%llu", disk.cut_to, (unsigned long long)disk.ways++);
        simdisk_cut(to);
        disk.ways_all = !next_way();
    } while (!disk.ways_all && disk.ways < disk.ways_max);
    ways.on = false;
}

void simdisk_cut_every_way_at(uint64_t n, const char *to, uint64_t limit, void (*cut)(void *arg),
                              void *arg)
{
    simdisk_cut_at(n, to, cut, arg);
    disk.ways_max = limit;
    disk.ways = 0;
}

uint64_t simdisk_ways(bool *all)
{
    *all = disk.ways_all;
    return disk.ways;
}

void simdisk_cancel(void)
{
    disk.cut_at = 0;
}

uint64_t simdisk_events(void)
{
    return disk.events;
}

void simdisk_lie(bool lie)
{
    disk.lies = lie;
}

/* Before a call that changes something. False: not the disk's business. */
static bool event(void)
{
    if (!disk.mounted || disk.inside) return false;
    disk.events++;
    disk.inside = true;
    look_between();
    if (disk.events == disk.cut_at) {
        if (disk.ways_max > 0) cut_every_way();
        else simdisk_cut(disk.cut_to);
        if (disk.cut != NULL) disk.cut(disk.cut_arg);
    }
    disk.inside = false;
    return true;
}

/* ---- rill's calls ---- */

static int boot_id_fd(void)
{
    int fd = (int)syscall(SYS_memfd_create, "boot_id", 1u);

    assert_true(fd >= 0);
    assert_true(pwrite(fd, disk.boot_id, strlen(disk.boot_id), 0) > 0);
    return fd;
}

/* The node of the directory that a path from dir leads to, and the name there. */
static int directory_of(int dir, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    char parent[800];
    int node;
    int fd;

    *name = slash == NULL ? path : slash + 1;
    if (slash == NULL) return find_node(dir);
    assert_true((size_t)(slash - path) < sizeof parent);
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    fd = real_open(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    node = fd < 0 ? -1 : find_node(fd);
    if (fd >= 0) close(fd);
    return node;
}

static void note_made(int dir, const char *path, int fd)
{
    const char *name;
    int directory = directory_of(dir, path, &name);

    if (directory >= 0) note(MADE, directory, name, NULL, add_node(fd));
}

static int sim_openat(int dir, const char *name, int flags, ...)
{
    bool make = (flags & O_CREAT) != 0;
    bool counts = false;
    struct stat st;
    int fd;

    if (strcmp(name, "/proc/sys/kernel/random/boot_id") == 0) return boot_id_fd();
    if (make && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) counts = event();
    fd = real_open(dir, name, flags, 0600);
    if (counts && fd >= 0) note_made(dir, name, fd);
    return fd;
}

static int sim_mkdirat(int dir, const char *name, mode_t mode)
{
    bool counts = event();
    int rc = (int)syscall(SYS_mkdirat, dir, name, mode);
    int fd;

    if (!counts || rc != 0) return rc;
    fd = real_open(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    assert_true(fd >= 0);
    note_made(dir, name, fd);
    close(fd);
    return 0;
}

static int node_of_name(int dir, const char *name)
{
    int fd = real_open(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    int node = fd < 0 ? -1 : find_node(fd);

    if (fd >= 0) close(fd);
    return node;
}

static int sim_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    bool counts = event();
    int node = counts ? node_of_name(from_dir, from) : -1;
    int rc = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);

    if (rc == 0 && node >= 0) {
        int directory = directory_of(from_dir, from, &from);
        note(RENAMED, directory, from, strrchr(to, '/') == NULL ? to : strrchr(to, '/') + 1,
             node);
    }
    return rc;
}

static int sim_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    bool counts = event();
    int node = counts ? node_of_name(from_dir, from) : -1;
    int rc = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);

    if (rc == 0 && node >= 0) {
        int directory = directory_of(to_dir, to, &to);
        note(MADE, directory, to, NULL, node);
    }
    return rc;
}

static int sim_unlinkat(int dir, const char *name, int flags)
{
    bool counts = event();
    int node = counts ? node_of_name(dir, name) : -1;
    int rc = (int)syscall(SYS_unlinkat, dir, name, flags);

    if (rc == 0 && node >= 0) {
        int directory = directory_of(dir, name, &name);
        note(REMOVED, directory, name, NULL, node);
    }
    return rc;
}

/* Blocks are not simulated, only sizes; pages come when they are touched. */
static int sim_fallocate(int fd, int mode, off_t offset, off_t size)
{
    struct stat st;

    event();
    if ((mode & FALLOC_FL_KEEP_SIZE) != 0) return 0;
    if (fstat(fd, &st) != 0) return -1;
    return st.st_size >= offset + size ? 0 : (int)syscall(SYS_ftruncate, fd, offset + size);
}

static int sim_madvise(void *at, size_t size, int advice)
{
    (void)at, (void)size, (void)advice;
    return 0;
}

static int sim_ftruncate(int fd, off_t size)
{
    event();
    return (int)syscall(SYS_ftruncate, fd, size);
}

static int sim_fstatfs(int fd, struct statfs *st)
{
    int rc = fstatfs(fd, st);

    st->f_type = 0xef53; /* an ordinary disk, wherever the test's files are */
    return rc;
}

/* A clock of its own, so that the same seed does the same. */
static int sim_clock_gettime(clockid_t clock, struct timespec *t)
{
    bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    uint64_t ns = disk.ticks++ * TICK_NS + disk.passed_ns + (wall ? disk.wall_ns : 0);

    t->tv_sec = (time_t)(ns / 1000000000) + 1000;
    t->tv_nsec = (long)(ns % 1000000000);
    return 0;
}

void simdisk_pass(int64_t ms)
{
    disk.passed_ns += (uint64_t)ms * 1000000;
}

int64_t simdisk_wall(void)
{
    return (int64_t)((disk.ticks * TICK_NS + disk.passed_ns + disk.wall_ns) / 1000000) + 1000000;
}

void simdisk_set_wall(int64_t wall_ms)
{
    disk.wall_ns += (uint64_t)(wall_ms - simdisk_wall()) * 1000000;
}

static ssize_t sim_getrandom(void *data, size_t size, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < size; i++) ((uint8_t *)data)[i] = (uint8_t)below(256);
    return (ssize_t)size;
}

/* ---- Calls by libc's names: LMDB's, and rill's after the table ---- */

/* Seen by libraries that call libc. */
#define LIBC_NAME __attribute__((visibility("default")))

static int sync_call(int fd, long number)
{
    int rc;

    event();
    rc = (int)syscall(number, fd);
    if (disk.mounted && !disk.inside && rc == 0) sync_fd(fd);
    return rc;
}

LIBC_NAME int fdatasync(int fd)
{
    return sync_call(fd, SYS_fdatasync);
}

LIBC_NAME int fsync(int fd)
{
    return sync_call(fd, SYS_fsync);
}

/* What goes through a descriptor of this kind is durable on return. */
static void sync_written(int fd)
{
    if (disk.mounted && !disk.inside && (fcntl(fd, F_GETFL) & O_DSYNC) != 0) sync_fd(fd);
}

LIBC_NAME ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    ssize_t n;

    event();
    n = syscall(SYS_pwrite64, fd, data, size, at);
    sync_written(fd);
    return n;
}

LIBC_NAME ssize_t write(int fd, const void *data, size_t size)
{
    if (disk.mounted && !disk.inside && find_node(fd) >= 0) event();
    return syscall(SYS_write, fd, data, size);
}

LIBC_NAME ssize_t writev(int fd, const struct iovec *parts, int count)
{
    event();
    return syscall(SYS_writev, fd, parts, count);
}

LIBC_NAME int open(const char *path, int flags, ...)
{
    int mode = 0600;
    const char *name;
    char parent[800];
    int dir;
    int fd;

    if (!disk.mounted || disk.inside || (flags & O_CREAT) == 0) {
        va_list args;
        va_start(args, flags);
        if ((flags & (O_CREAT | __O_TMPFILE)) != 0) mode = va_arg(args, int);
        va_end(args);
        return real_open(AT_FDCWD, path, flags, (mode_t)mode);
    }
    name = strrchr(path, '/');
    assert_true(name != NULL && (size_t)(name - path) < sizeof parent);
    memcpy(parent, path, (size_t)(name - path));
    parent[name - path] = '\0';
    dir = real_open(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (dir < 0) return -1;
    fd = sim_openat(dir, name + 1, flags, mode);
    close(dir);
    return fd;
}

/* ---- Mounting ---- */

static void take_directory(int node)
{
    DIR *stream = fdopendir(dup(disk.nodes[node].fd));
    struct dirent *entry;

    assert_non_null(stream);
    rewinddir(stream);
    while ((entry = readdir(stream)) != NULL) {
        int fd;
        int child;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        fd = real_open(disk.nodes[node].fd, entry->d_name, O_RDONLY | O_CLOEXEC, 0);
        child = find_node(fd);
        if (child >= 0) { /* one more name of a file */
            close(fd);
            add_name(disk.names, &disk.name_count, node, entry->d_name, child);
            continue;
        }
        child = keep_node(fd);
        add_name(disk.names, &disk.name_count, node, entry->d_name, child);
        if (disk.nodes[child].is_directory) take_directory(child);
        else sync_node(&disk.nodes[child]);
    }
    closedir(stream);
}

void simdisk_mount(const char *dir, struct test_random *random)
{
    struct stat st;
    int fd = real_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    assert_false(disk.mounted);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    memset(&disk, 0, sizeof disk);
    disk.inside = true;
    disk.random = random;
    disk.device = st.st_dev;
    snprintf(disk.boot_id, sizeof disk.boot_id, "%016llx%016llx",
             (unsigned long long)test_random_next(random),
             (unsigned long long)test_random_next(random));
    take_directory(keep_node(fd));
    disk.wall_ns = UINT64_C(1700000000) * 1000000000 + below(UINT64_C(86400000000000));
    disk.before = rill__sys;
    rill__sys.openat = sim_openat;
    rill__sys.mkdirat = sim_mkdirat;
    rill__sys.renameat = sim_renameat;
    rill__sys.linkat = sim_linkat;
    rill__sys.unlinkat = sim_unlinkat;
    rill__sys.fallocate = sim_fallocate;
    rill__sys.ftruncate = sim_ftruncate;
    rill__sys.fstatfs = sim_fstatfs;
    rill__sys.madvise = sim_madvise;
    rill__sys.clock_gettime = sim_clock_gettime;
    rill__sys.getrandom = sim_getrandom;
    rill__sys.fdatasync = fdatasync;
    rill__sys.fsync = fsync;
    rill__sys.pwrite = pwrite;
    disk.inside = false;
    disk.mounted = true;
}

void simdisk_unmount(void)
{
    if (!disk.mounted) return;
    rill__sys = disk.before;
    disk.mounted = false;
    for (int i = 0; i < disk.node_count; i++) {
        close(disk.nodes[i].fd);
        free(disk.nodes[i].durable);
        free(disk.nodes[i].between);
    }
}
