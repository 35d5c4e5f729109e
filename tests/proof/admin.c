/*
 * admin.c - whatever is done to a store as a whole, or to a topic, is interrupted: by a
 * kill, or by a full disk, at any call of the operating system.
 *
 * The operations: topics made, altered, given partitions, deleted; records deleted;
 * compaction; retention; a snapshot, a restore; an export, an import; a check, a repair.
 * Each is done again and again on a store of the same kind, and at its n-th call, for
 * every n that it has,
 *
 *     killed   the process gets a SIGKILL; of a write some pages are done, or none. Then
 *              somebody else is alone in the store;
 *     beside   the same, while another process has the store open and goes on;
 *     full     the n-th call that needs space (a new name, blocks that the file has not)
 *              finds none, once;
 *     filled   or from there on, until the operation is over.
 *
 * Then it must be true that
 *
 *     all records that were acknowledged are there, in order, with keys and values, but
 *     those that the operation deletes; and so are commits and other topics;
 *     the operation is done or not at all, and done if it said so; what may be done in
 *     part (compaction, retention, a copy, a stream) has done only what it may;
 *     with a full disk it fails with RILL_ERR_NO_SPACE, or does not fail; what is there
 *     can be read meanwhile, and the same process goes on when there is space again;
 *     a check finds nothing but leftovers, also before anybody has opened the store;
 *     whoever opens it alone, uses it and maintains it leaves no half-made file there; nor
 *     does an operation that has failed;
 *     the operation can be repeated, and then it is done; appending goes on.
 *
 * Rill's calls come through its table (os/sys.h), LMDB's because this file has functions
 * of libc's names. Calls that only look at a clock do not count.
 *
 * A case is a number, WWMNNNN: operation, mode, n. BUDGET counts cases, chosen by the
 * seed if there are more; CASE=number does one.
 */
#undef _FORTIFY_SOURCE /* whose inline functions have the names of those below */
#include "os/sys.h"
#include "proof.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <rill.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifdef __SANITIZE_THREAD__
int main(void)
{
    printf("this sanitizer needs the functions that are interrupted here for itself\n");
    return 77;
}
#else

enum mode { KILLED, BESIDE, FULL, FILLED, MODES };
static const char *const mode_names[] = {"killed at", "killed, beside another, at",
                                         "without space once at", "without space from"};

enum {
    RECORDS = 80, /* of each partition of t, in three segments */
    VALUE = 1800,
    DELETED = 50, /* of them */
    FEW = 20,     /* in a topic that is deleted */
    OTHERS = 5,   /* that were in a topic before an import */
    KEYS = 11,    /* of the compacted topic */
    OFFSETS_MAX = 120,
    PARTITIONS_MAX = 4,
    WAIT_MS = 20000,
    CALLS_MAX = 2000
};

struct plan {
    int operation;
    enum mode mode;
    uint64_t n; /* 0: nothing happens */
};

/* ---- What there should be ---- */

enum which { T, C, D, NEW, AGAIN, BEHIND, TOPICS };

struct expected {
    const char *name;
    bool there;
    int32_t partition_count;
    int64_t start[PARTITIONS_MAX];
    int64_t end[PARTITIONS_MAX];
};

/* What the processes of a case share. */
struct board {
    uint64_t calls;       /* that the operation made, */
    uint64_t space_calls; /* and those of them that need space */
    char where[300];      /* the one at which it happened */
    bool worked;          /* the operation has returned, */
    int rc;               /* this */
    bool commits_lost;    /* by damage that was done on purpose */
    bool commit_of_d;     /* topic d is still the first one */
    int64_t all_of_t;     /* where partition 0 of t ended when the operation began */
    int64_t retained[2];  /* where the partitions of t begin after retention */
    struct expected topics[TOPICS];
};

struct operation {
    const char *name;
    void (*prepare)(void);
    int (*work)(void);
    bool (*is_done)(void); /* with the store open; ends the case if it is neither nor */
    int again;             /* what the operation says when it is done already */
    void (*finish)(void);  /* a look at what came of it */
    bool closed;           /* the process that does it does not have the store open, */
    bool alone;            /* and nobody else may */
};

static const struct operation *op;
static struct plan plan;
static struct board *board;
static rill *store; /* of this process */
static char dir[600];
static char copy[600];
static char stream[600];
static uint64_t seed;
static int64_t retained[2]; /* as it was when nothing happened */

__attribute__((format(printf, 1, 2), noreturn)) static void broken(const char *format, ...)
{
    char why[500];
    va_list args;

    snprintf(why, sizeof why, "%s", rill_errmsg());
    printf("CASE=%d%d%04" PRIu64 ": %s, %s call %" PRIu64 " (%s): ", plan.operation, plan.mode,
           plan.n, op->name, mode_names[plan.mode], plan.n, board->where);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf(" (%s)\n", why);
    fflush(stdout);
    _exit(2);
}

#define MUST(call)                                                                               \
    do {                                                                                         \
        int must_rc = (call);                                                                    \
        if (must_rc != 0) broken("%s: %d", #call, must_rc);                                      \
    } while (0)

/* ---- Calls, and what befalls them ---- */

static struct {
    bool armed;
    uint64_t calls;
    uint64_t space_calls;
} run;

enum turn { GOES_ON, DIES, HAS_NO_SPACE };

static void note_where(const char *call, int fd, const char *name)
{
    char link[40];
    char path[250] = "";
    ssize_t size;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = name != NULL || fd < 0 ? -1 : readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = '\0';
    if (name == NULL) name = strncmp(path, dir, strlen(dir)) == 0 ? path + strlen(dir) : path;
    snprintf(board->where, sizeof board->where, "%s %s", call, name);
}

static enum turn turn_of(const char *call, int fd, const char *name, bool needs_space)
{
    bool now;

    if (!run.armed) return GOES_ON;
    run.calls++;
    if (needs_space) run.space_calls++;
    if (plan.n == 0) return GOES_ON;
    if (plan.mode == KILLED || plan.mode == BESIDE) {
        if (run.calls != plan.n) return GOES_ON;
        note_where(call, fd, name);
        return DIES;
    }
    now = plan.mode == FULL ? run.space_calls == plan.n : run.space_calls >= plan.n;
    if (!needs_space || !now) return GOES_ON;
    if (run.space_calls == plan.n) note_where(call, fd, name);
    errno = ENOSPC;
    return HAS_NO_SPACE;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    pause();
}

/* True: it has to fail. */
static bool fails(const char *call, int fd, const char *name, bool needs_space)
{
    enum turn turn = turn_of(call, fd, name, needs_space);

    if (turn == DIES) die();
    return turn == HAS_NO_SPACE;
}

static bool comes(const char *call, int fd)
{
    return fails(call, fd, NULL, false);
}

/* Beyond the blocks that the file has; they have no holes where that matters. */
static bool needs_blocks(int fd, uint64_t end)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && end > (uint64_t)st.st_blocks * 512;
}

static bool is_new(int at, const char *name)
{
    struct stat st;

    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0;
}

/* A kill cuts a write where a page ends, or it is not begun. */
static size_t cut_short(size_t size, off_t position)
{
    size_t part = ((size_t)position + size / 2) / 4096 * 4096;

    if ((plan.n + seed + plan.mode) % 2 == 0 || part <= (size_t)position) return 0;
    return part - (size_t)position;
}

static ssize_t transfer(const char *call, long number, int fd, const void *data, size_t size,
                        off_t position, bool needs_space)
{
    enum turn turn = turn_of(call, fd, NULL, needs_space);

    if (turn == DIES) syscall(number, fd, data, cut_short(size, position), position);
    if (turn == DIES) die();
    return turn == HAS_NO_SPACE ? -1 : syscall(number, fd, data, size, position);
}

static int hook_openat(int at, const char *name, int flags, ...)
{
    mode_t mode;
    va_list args;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, int) : 0;
    va_end(args);
    if (fails("openat", -1, name, (flags & O_CREAT) != 0 && is_new(at, name))) return -1;
    return (int)syscall(SYS_openat, at, name, flags, mode);
}

static int hook_close(int fd)
{
    comes("close", fd);
    return (int)syscall(SYS_close, fd);
}

static int hook_fstat(int fd, struct stat *st)
{
    comes("fstat", fd);
    return fstat(fd, st);
}

static int hook_fstatat(int at, const char *name, struct stat *st, int flags)
{
    fails("fstatat", -1, name, false);
    return fstatat(at, name, st, flags);
}

static int hook_fstatfs(int fd, struct statfs *st)
{
    int rc;

    comes("fstatfs", fd);
    rc = fstatfs(fd, st);
    if (rc == 0) st->f_type = 0xef53; /* ext4, wherever the files are */
    return rc;
}

static int hook_fcntl(int fd, int command, ...)
{
    void *argument;
    va_list args;

    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);
    comes("fcntl", fd);
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

static int hook_fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (fails("fallocate", fd, NULL, needs_blocks(fd, (uint64_t)(offset + size)))) return -1;
    return (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

static int truncate_to(const char *call, int fd, off_t size)
{
    struct stat st;
    bool grows = run.armed && fstat(fd, &st) == 0 && size > st.st_size;

    return fails(call, fd, NULL, grows) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

static int hook_ftruncate(int fd, off_t size)
{
    return truncate_to("ftruncate", fd, size);
}

static ssize_t hook_pread(int fd, void *data, size_t size, off_t at)
{
    comes("pread", fd);
    return syscall(SYS_pread64, fd, data, size, at);
}

static ssize_t hook_pwrite(int fd, const void *data, size_t size, off_t at)
{
    return transfer("pwrite", SYS_pwrite64, fd, data, size, at,
                    run.armed && needs_blocks(fd, (uint64_t)at + size));
}

static int hook_fdatasync(int fd)
{
    comes("fdatasync", fd);
    return (int)syscall(SYS_fdatasync, fd);
}

static int hook_fsync(int fd)
{
    comes("fsync", fd);
    return (int)syscall(SYS_fsync, fd);
}

static int hook_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    if (fails("renameat", -1, to, is_new(to_dir, to))) return -1;
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

static int hook_unlinkat(int at, const char *name, int flags)
{
    fails("unlinkat", -1, name, false);
    return (int)syscall(SYS_unlinkat, at, name, flags);
}

static int hook_mkdirat(int at, const char *name, mode_t mode)
{
    if (fails("mkdirat", -1, name, is_new(at, name))) return -1;
    return (int)syscall(SYS_mkdirat, at, name, mode);
}

static int hook_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (fails("linkat", -1, to, is_new(to_dir, to))) return -1;
    return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

static void *real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, at, size, prot, flags, fd, offset);
}

static void *hook_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    comes("mmap", fd);
    return real_mmap(at, size, prot, flags, fd, offset);
}

static int hook_munmap(void *at, size_t size)
{
    comes("munmap", -1);
    return (int)syscall(SYS_munmap, at, size);
}

static int hook_madvise(void *at, size_t size, int advice)
{
    comes("madvise", -1);
    return (int)syscall(SYS_madvise, at, size, advice);
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
    .getrandom = getrandom,
};

/* LMDB's, and those of the callbacks below. A page of the catalogue has its blocks held
 * (meta/env.c), but not where the file system writes elsewhere what it overwrites: so any
 * may fail but the two that say which the newest is. */
#define LIBC_NAME __attribute__((visibility("default")))
enum { LMDB_PAGES_AT = 2 * 4096 };

LIBC_NAME int open(const char *path, int flags, ...)
{
    int mode = 0;
    va_list args;

    va_start(args, flags);
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) mode = va_arg(args, int);
    va_end(args);
    if (run.armed && fails("open", -1, path, (flags & O_CREAT) != 0 && is_new(AT_FDCWD, path)))
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

LIBC_NAME ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return transfer("lmdb pwrite", SYS_pwrite64, fd, data, size, at, at >= LMDB_PAGES_AT);
}

LIBC_NAME ssize_t write(int fd, const void *data, size_t size)
{
    off_t at = run.armed ? lseek(fd, 0, SEEK_CUR) : 0;

    return transfer("write", SYS_write, fd, data, size, at,
                    run.armed && needs_blocks(fd, (uint64_t)at + size));
}

LIBC_NAME ssize_t writev(int fd, const struct iovec *parts, int count)
{
    off_t at = run.armed ? lseek(fd, 0, SEEK_CUR) : 0;
    enum turn turn = turn_of("lmdb writev", fd, NULL, at >= LMDB_PAGES_AT);

    if (turn == DIES)
        syscall(SYS_write, fd, parts[0].iov_base, cut_short(2 * parts[0].iov_len, at));
    if (turn == DIES) die();
    return turn == HAS_NO_SPACE ? -1 : syscall(SYS_writev, fd, parts, count);
}

LIBC_NAME int fdatasync(int fd)
{
    comes("lmdb fdatasync", fd);
    return (int)syscall(SYS_fdatasync, fd);
}

LIBC_NAME int fsync(int fd)
{
    comes("lmdb fsync", fd);
    return (int)syscall(SYS_fsync, fd);
}

LIBC_NAME int ftruncate(int fd, off_t size)
{
    return truncate_to("lmdb ftruncate", fd, size);
}

LIBC_NAME void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (fd >= 0) comes("lmdb mmap", fd);
    return real_mmap(at, size, prot, flags, fd, offset);
}

/* ---- Records ---- */

/* What the record at an offset is: its key, and its value, of size 0 if it is null. */
static void record_at(enum which which, int32_t partition, int64_t offset, char key[32],
                      char value[VALUE], size_t *size)
{
    char letter = "tcdntt"[which];

    if (which == BEHIND && offset < OTHERS) letter = 'o';
    else if (which == BEHIND) offset -= OTHERS;
    if (which == C) snprintf(key, 32, "c-%d", (int)(offset * 7 % KEYS));
    else snprintf(key, 32, "%c-%d-%d", letter, (int)partition, (int)offset);
    memset(value, (int)('a' + offset % 26), VALUE);
    value[snprintf(value, 40, "%c %d %d", letter, (int)partition, (int)offset)] = ' ';
    *size = which == C && offset % 13 == 5 ? 0 : VALUE;
}

static void append(enum which which, int32_t partition, int count, int32_t acks)
{
    struct expected *topic = &board->topics[which];
    rill_producer_options options = {.size = sizeof options, .topic = topic->name, .acks = acks};
    rill_producer *producer;
    rill_offset offset;
    char key[32];
    char value[VALUE];
    size_t size;

    MUST(rill_producer_open(store, &options, &producer));
    for (int i = 0; i < count; i++) {
        rill_record record = RILL_RECORD_INIT;

        record_at(which, partition, topic->end[partition], key, value, &size);
        record.partition = partition;
        record.key = (rill_bytes){key, strlen(key)};
        if (size != 0) record.value = (rill_bytes){value, size};
        MUST(rill_producer_append(producer, &record, 1, WAIT_MS, &offset));
        if (offset != topic->end[partition])
            broken("%s-%d: appended at offset %" PRId64 " instead of %" PRId64, topic->name,
                   (int)partition, offset, topic->end[partition]);
        topic->end[partition]++;
    }
    MUST(rill_producer_close(producer, WAIT_MS));
}

static void append_everywhere(void)
{
    for (enum which i = 0; i < TOPICS; i++)
        for (int32_t p = 0; board->topics[i].there && p < board->topics[i].partition_count; p++) {
            append(i, p, 2, RILL_ACKS_WRITTEN);
            append(i, p, 1, RILL_ACKS_DURABLE);
        }
}

struct seen {
    int64_t start;
    int64_t end;
    bool there[OFFSETS_MAX];
};

static void check_record(enum which which, int32_t partition, const rill_record *record)
{
    char key[32];
    char value[VALUE];
    size_t size;

    record_at(which, partition, record->offset, key, value, &size);
    if (record->key.size != strlen(key) || memcmp(record->key.data, key, strlen(key)) != 0)
        broken("%s-%d: the key at offset %" PRId64 " is another one", board->topics[which].name,
               (int)partition, record->offset);
    if ((record->value.data == NULL) != (size == 0) || record->value.size != size ||
        (size != 0 && memcmp(record->value.data, value, size) != 0))
        broken("%s-%d: the value at offset %" PRId64 " is another one", board->topics[which].name,
               (int)partition, record->offset);
}

/* All that a partition has: what was appended there, in order, and without a gap unless
 * it is compacted. */
static void look(rill *in, enum which which, int32_t partition, struct seen *seen)
{
    const char *name = board->topics[which].name;
    rill_position from = {name, partition, -1, RILL_OFFSET_EARLIEST, NULL};
    rill_partition_info info;
    rill_consumer *consumer;
    rill_record records[40];
    size_t count;
    int64_t next;

    memset(seen, 0, sizeof *seen);
    MUST(rill_partition_describe(in, name, partition, &info));
    seen->start = next = info.log_start;
    seen->end = info.log_end;
    MUST(rill_consumer_open(in, NULL, &consumer));
    MUST(rill_consumer_assign(consumer, &from, 1));
    do {
        MUST(rill_consumer_poll(consumer, 0, records, 40, &count));
        for (size_t i = 0; i < count; i++) {
            int64_t offset = records[i].offset;
            if (offset < next || offset >= OFFSETS_MAX || (which != C && offset != next))
                broken("%s-%d: offset %" PRId64 " comes where %" PRId64 " should", name,
                       (int)partition, offset, next);
            check_record(which, partition, &records[i]);
            seen->there[offset] = true;
            next = offset + 1;
        }
    } while (count > 0);
    MUST(rill_consumer_close(consumer, 0));
    if (next > seen->end || (which != C && next != seen->end))
        broken("%s-%d: records end at offset %" PRId64 ", the log at %" PRId64, name,
               (int)partition, next, seen->end);
}

/* Of each key the last record; *all: and no others. */
static void check_keys(const struct seen *seen, bool *all)
{
    *all = true;
    for (int64_t offset = 0; offset < seen->end; offset++) {
        bool is_last = offset + KEYS >= seen->end;
        if (is_last && !seen->there[offset])
            broken("c: the last record of a key, at offset %" PRId64 ", is lost", offset);
        if (!is_last && seen->there[offset]) *all = false;
    }
}

static void check_committed(rill *in, enum which which, int64_t want)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position position;
    rill_consumer *consumer;
    bool lost;

    MUST(rill_consumer_open(in, &options, &consumer));
    MUST(rill_consumer_committed(consumer, board->topics[which].name, 0, &position, NULL, 0));
    MUST(rill_consumer_close(consumer, 0));
    lost = board->commits_lost && position.offset == RILL_OFFSET_NONE;
    if (position.offset != want && !lost)
        broken("%s: %" PRId64 " is committed instead of %" PRId64, board->topics[which].name,
               position.offset, want);
}

/* All that is promised to be there is, in this store or in a copy of it. */
static void check_all(rill *in)
{
    struct seen seen;
    bool all;

    for (enum which i = 0; i < TOPICS; i++) {
        const struct expected *topic = &board->topics[i];
        for (int32_t p = 0; topic->there && p < topic->partition_count; p++) {
            look(in, i, p, &seen);
            if (seen.start != topic->start[p] || seen.end != topic->end[p])
                broken("%s-%d is [%" PRId64 ", %" PRId64 ") and should be [%" PRId64 ", %" PRId64
                       ")",
                       topic->name, (int)p, seen.start, seen.end, topic->start[p], topic->end[p]);
            if (i == C) check_keys(&seen, &all);
        }
    }
    check_committed(in, T, 30);
    if (board->topics[D].there) check_committed(in, D, board->commit_of_d ? 5 : RILL_OFFSET_NONE);
}

/* ---- The store ---- */

static void open_store(bool create)
{
    rill_options options = {.size = sizeof options,
                            .flags = create ? RILL_OPEN_CREATE : 0,
                            .sync_interval_ms = 3600 * 1000};

    MUST(rill_open(dir, &options, &store));
}

static void close_store(void)
{
    rill *closing = store;

    store = NULL;
    MUST(rill_close(closing));
}

static bool is_there(enum which which, rill_topic_info *info)
{
    int rc = rill_topic_describe(store, board->topics[which].name, info);

    if (rc != 0 && rc != RILL_ERR_NOT_FOUND)
        broken("%s cannot be described: %d", board->topics[which].name, rc);
    return rc == 0;
}

static void make_topic(enum which which, int32_t count, const rill_topic_options *options)
{
    rill_topic_options with = *options;

    with.partition_count = (uint32_t)count;
    MUST(rill_topic_create(store, board->topics[which].name, &with));
    board->topics[which].there = true;
    board->topics[which].partition_count = count;
}

static void commit(enum which which, int64_t offset)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position position = {board->topics[which].name, 0, -1, offset, "as far as this"};
    rill_consumer *consumer;

    MUST(rill_consumer_open(store, &options, &consumer));
    MUST(rill_consumer_commit(consumer, &position, 1));
    MUST(rill_consumer_close(consumer, 0));
}

static void prepare_store(void)
{
    rill_topic_options small = {.size = sizeof small, .segment_bytes = 64 << 10};
    rill_topic_options compacted = small;

    compacted.cleanup_policy = RILL_CLEANUP_COMPACT;
    open_store(true);
    make_topic(T, 2, &small);
    make_topic(C, 1, &compacted);
    make_topic(D, 1, &small);
    append(T, 0, RECORDS, RILL_ACKS_WRITTEN);
    append(T, 1, RECORDS, RILL_ACKS_WRITTEN);
    append(C, 0, RECORDS, RILL_ACKS_WRITTEN);
    append(D, 0, FEW, RILL_ACKS_WRITTEN);
    commit(T, 30);
    commit(D, 5);
    board->commit_of_d = true;
    if (op->prepare != NULL) op->prepare();
    if (op->closed && store != NULL) close_store();
}

/* ---- A check, and what is left over ---- */

struct found {
    bool leftovers; /* count too */
    char text[300];
};

static int note_damage(void *arg, const rill_damage *damage)
{
    struct found *found = arg;

    if (damage->severity == RILL_LOG_INFO &&
        !(found->leftovers && damage->kind == RILL_DAMAGE_LEFTOVER))
        return 0;
    if (found->text[0] == '\0')
        snprintf(found->text, sizeof found->text, "%s: %s", damage->file, damage->text);
    return 0;
}

static void check_sound(const char *path, bool leftovers)
{
    struct found found = {.leftovers = leftovers};
    rill_check_options options = {
        .size = sizeof options, .visit = note_damage, .visit_arg = &found};
    rill_check_report report = {.size = sizeof report};

    MUST(rill_check(path, &options, &report));
    if (found.text[0] != '\0') broken("a check finds %s", found.text);
}

struct listed {
    char name[33]; /* of the directory; "": not there */
    uint32_t partition_count;
};

static int list_topic(void *arg, const rill_topic_info *info)
{
    struct listed *listed = arg;

    while (listed->name[0] != '\0') listed++;
    for (int i = 0; i < 16; i++) snprintf(listed->name + (size_t)i * 2, 3, "%02x", info->id[i]);
    listed->partition_count = info->options.partition_count;
    return 0;
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names != NULL && strcmp(name, *names) != 0) names++;
    return *names != NULL;
}

/* Every index has its segment. */
static bool is_of_a_segment(const char *path, const char *name)
{
    size_t digits = strspn(name, "0123456789");
    char log[900];

    if (digits != 20) return false;
    if (strcmp(name + digits, ".log") == 0) return true;
    snprintf(log, sizeof log, "%s/%.20s.log", path, name);
    return strcmp(name + digits, ".index") == 0 && access(log, F_OK) == 0;
}

/* What stands in this directory, of that depth, belongs there. */
static void check_names(const char *path, int depth, uint32_t count, const struct listed *listed)
{
    static const char *const of_store[] = {"STORE", "shared", "members", "meta", NULL};
    static const char *const of_meta[] = {"data.mdb", "lock.mdb", NULL};
    static const char *const of_log[] = {"control", "producers", "next.log", "next.index", NULL};
    DIR *entries = opendir(path);
    struct dirent *entry;
    char below[800];

    if (entries == NULL) broken("%s cannot be listed", path);
    while ((entry = readdir(entries)) != NULL) {
        const char *name = entry->d_name;
        const struct listed *topic = listed;
        bool good = false;

        if (name[0] == '.' || (depth == 0 && op->alone && strcmp(name, "quarantine") == 0))
            continue;
        snprintf(below, sizeof below, "%.500s/%.200s", path, name);
        while (depth == 0 && topic->name[0] != '\0' && strcmp(topic->name, name) != 0) topic++;
        if (depth == 0) good = topic->name[0] != '\0' || is_one_of(name, of_store);
        else if (depth == 1 && count == 0) good = is_one_of(name, of_meta);
        else if (depth == 1)
            good = strspn(name, "0123456789") == strlen(name) && strtoul(name, NULL, 10) < count;
        else good = is_one_of(name, of_log) || is_of_a_segment(path, name);
        if (!good) broken("%s is left over", below + strlen(dir));
        if (entry->d_type == DT_DIR)
            check_names(below, depth + 1, depth == 0 ? topic->partition_count : count, listed);
    }
    closedir(entries);
}

static void check_nothing_left(void)
{
    struct listed listed[TOPICS + 2];

    memset(listed, 0, sizeof listed);
    MUST(rill_topic_list(store, list_topic, listed));
    check_names(dir, 0, 0, listed);
}

/* ---- The operations: topics ---- */

static const rill_topic_options new_options = {.size = sizeof new_options,
                                               .partition_count = 3,
                                               .segment_bytes = 128 << 10,
                                               .retention_ms = 86400000,
                                               .max_message_bytes = 5000};

static int create(void)
{
    return rill_topic_create(store, "new", &new_options);
}

static bool is_created(void)
{
    struct expected *topic = &board->topics[NEW];
    rill_topic_info info;

    topic->there = is_there(NEW, &info);
    if (!topic->there) return false;
    if (info.options.partition_count != 3 ||
        info.options.segment_bytes != new_options.segment_bytes ||
        info.options.retention_ms != new_options.retention_ms ||
        info.options.max_message_bytes != new_options.max_message_bytes)
        broken("the topic has other options");
    topic->partition_count = 3;
    return true;
}

static int alter(void)
{
    rill_topic_options options = {
        .size = sizeof options, .retention_ms = 86400000, .max_message_bytes = 7000};

    return rill_topic_alter(store, "t", RILL_TOPIC_RETENTION_MS | RILL_TOPIC_MAX_MESSAGE_BYTES,
                            &options);
}

static bool is_altered(void)
{
    rill_topic_info info;

    if (!is_there(T, &info)) broken("the topic is lost");
    if ((info.options.retention_ms == 86400000) != (info.options.max_message_bytes == 7000))
        broken("one option is altered, the other is not");
    return info.options.retention_ms == 86400000;
}

static int add_partitions(void)
{
    return rill_topic_add_partitions(store, "t", 4);
}

static bool are_added(void)
{
    rill_topic_info info;
    uint32_t count;

    if (!is_there(T, &info)) broken("the topic is lost");
    count = info.options.partition_count;
    if (count != 2 && count != 4) broken("the topic has %u partitions", count);
    board->topics[T].partition_count = (int32_t)count;
    return count == 4;
}

static int delete_topic(void)
{
    return rill_topic_delete(store, "d");
}

static bool is_deleted(void)
{
    rill_topic_info info;

    board->topics[D].there = is_there(D, &info);
    return !board->topics[D].there;
}

/* One of the same name has nothing of it. */
static void make_deleted_anew(void)
{
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 64 << 10};

    board->commit_of_d = false;
    board->topics[D].end[0] = 0;
    make_topic(D, 1, &options);
}

/* ---- Records that go ---- */

static bool has_start(int32_t partition, int64_t start)
{
    rill_partition_info info;

    MUST(rill_partition_describe(store, "t", partition, &info));
    if (info.log_start != 0 && info.log_start != start)
        broken("t-%d begins at offset %" PRId64 ", not at 0 or %" PRId64, (int)partition,
               info.log_start, start);
    board->topics[T].start[partition] = info.log_start;
    return info.log_start == start;
}

static int delete_records(void)
{
    return rill_partition_delete_records(store, "t", 0, DELETED, NULL);
}

static bool are_deleted(void)
{
    return has_start(0, DELETED);
}

static int delete_all_records(void)
{
    return rill_partition_delete_records(store, "t", 0, RILL_OFFSET_LATEST, NULL);
}

static bool are_all_deleted(void)
{
    return has_start(0, board->all_of_t);
}

static int compact(void)
{
    return rill_partition_compact(store, "c", 0, NULL);
}

/* As far as it has come, no last record is lost. */
static bool is_compacted(void)
{
    struct seen seen;
    bool all;

    look(store, C, 0, &seen);
    if (seen.end != board->topics[C].end[0]) broken("the compacted log ends elsewhere");
    check_keys(&seen, &all);
    return all;
}

static void prepare_retention(void)
{
    rill_topic_options options = {.size = sizeof options, .retention_bytes = 64 << 10};

    MUST(rill_topic_alter(store, "t", RILL_TOPIC_RETENTION_BYTES, &options));
}

static int64_t start_of(int32_t partition)
{
    rill_partition_info info;

    MUST(rill_partition_describe(store, "t", partition, &info));
    return info.log_start;
}

/* It works in shares of some tens of milliseconds. */
static int maintain(void)
{
    int rc = 0;

    for (int i = 0; i < 200 && rc == 0; i++) {
        bool over = retained[0] == 0 ? i == 20 : i > 1;
        rc = rill_maintain(store, NULL);
        if (over && start_of(0) != 0 && start_of(1) != 0) break;
    }
    return rc;
}

static bool is_retained(void)
{
    bool done = true;

    for (int32_t p = 0; p < 2; p++) {
        if (retained[p] == 0) board->retained[p] = start_of(p);
        if (!has_start(p, retained[p] == 0 ? board->retained[p] : retained[p])) done = false;
    }
    return done;
}

/* ---- Copies and streams ---- */

static int make_snapshot(void)
{
    return rill_snapshot(store, copy, NULL);
}

static int make_snapshot_without_links(void)
{
    rill_copy_options options = {.size = sizeof options,
                                 .flags = RILL_COPY_NO_LINKS | RILL_COPY_VERIFY};

    return rill_snapshot(store, copy, &options);
}

static int restore(void)
{
    return rill_restore(dir, copy, NULL);
}

/* What is there is refused by name, or whole. */
static bool is_copied(void)
{
    rill *copied;
    int rc = rill_open(copy, NULL, &copied);

    if (rc == RILL_ERR_NOT_FOUND) return false;
    if (rc == RILL_ERR_INVALID && strstr(rill_errmsg(), "INCOMPLETE") != NULL) return false;
    if (rc != 0) broken("half a copy cannot be opened: %d", rc);
    check_all(copied);
    MUST(rill_close(copied));
    check_sound(copy, true);
    return true;
}

static int stream_fd;

static int write_stream(void *arg, const void *data, size_t size)
{
    (void)arg;
    return write(stream_fd, data, size) == (ssize_t)size ? 0 : RILL_ERR_NO_SPACE;
}

static int read_stream(void *arg, void *data, size_t size, size_t *got)
{
    ssize_t n = read(stream_fd, data, size);

    (void)arg;
    *got = n < 0 ? 0 : (size_t)n;
    return n < 0 ? RILL_ERR_IO : 0;
}

static int keep_stream(void *arg, uint64_t size)
{
    (void)arg;
    if (ftruncate(stream_fd, (off_t)size) != 0) return RILL_ERR_NO_SPACE;
    return lseek(stream_fd, (off_t)size, SEEK_SET) < 0 ? RILL_ERR_IO : 0;
}

static int export(void)
{
    rill_export_options options = {
        .size = sizeof options, .resume = read_stream, .keep = keep_stream};
    int rc;

    stream_fd = open(stream, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (stream_fd < 0) return RILL_ERR_NO_SPACE;
    rc = rill_export(store, "t", &options, write_stream, NULL);
    close(stream_fd);
    return rc;
}

static bool is_exported(void)
{
    return board->worked && board->rc == 0;
}

static int import_to(enum which which)
{
    int rc;

    stream_fd = open(stream, O_RDONLY | O_CLOEXEC);
    if (stream_fd < 0) broken("there is no stream");
    rc = rill_import(store, board->topics[which].name, NULL, read_stream, NULL);
    close(stream_fd);
    return rc;
}

static int import(void)
{
    return import_to(AGAIN);
}

static int import_behind(void)
{
    return import_to(BEHIND);
}

static bool is_imported_to(enum which which, int64_t before)
{
    struct expected *topic = &board->topics[which];
    bool done = true;
    rill_topic_info info;
    struct seen seen;

    topic->there = is_there(which, &info);
    if (!topic->there) return false;
    topic->partition_count = 2;
    for (int32_t p = 0; p < 2; p++) {
        look(store, which, p, &seen);
        if (seen.start != 0 || seen.end < before || seen.end > before + RECORDS)
            broken("%s-%d is [%" PRId64 ", %" PRId64 ")", topic->name, (int)p, seen.start,
                   seen.end);
        topic->end[p] = seen.end;
        if (seen.end < before + RECORDS) done = false;
    }
    return done;
}

static bool is_imported(void)
{
    return is_imported_to(AGAIN, 0);
}

static bool is_imported_behind(void)
{
    return is_imported_to(BEHIND, OTHERS);
}

/* The stream has everything. */
static void import_what_was_exported(void)
{
    MUST(import());
    if (!is_imported()) broken("the stream is not whole");
}

static void prepare_stream(void)
{
    MUST(export());
}

static void prepare_others(void)
{
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 64 << 10};

    make_topic(BEHIND, 2, &options);
    append(BEHIND, 0, OTHERS, RILL_ACKS_WRITTEN);
    append(BEHIND, 1, OTHERS, RILL_ACKS_WRITTEN);
    prepare_stream();
}

/* ---- Check and repair ---- */

static int check(void)
{
    rill_check_report report = {.size = sizeof report};
    int rc = rill_check(dir, NULL, &report);

    if (rc == 0 && (report.error_count != 0 || report.warning_count != 0))
        broken("a check finds something");
    return rc;
}

static int repair(void)
{
    rill_repair_report report = {.size = sizeof report};
    int rc = rill_repair(dir, NULL, &report);

    if (rc == 0 && report.records_lost != 0) broken("a repair has lost records");
    return rc;
}

static bool is_nothing_to_see(void)
{
    return true;
}

static void path_in_topic(enum which which, const char *name, char path[900])
{
    rill_topic_info info;
    struct listed listed = {.name = ""};

    if (!is_there(which, &info)) broken("there is no topic to damage");
    list_topic(&listed, &info);
    snprintf(path, 900, "%s/%s/%s", dir, listed.name, name);
}

static void overwrite(const char *path, size_t size)
{
    char zeros[64] = "";
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || pwrite(fd, zeros, size, 0) != (ssize_t)size) broken("%s is not there", path);
    close(fd);
}

/* Much is damaged, and no record is lost by it. */
static void damage_files(void)
{
    char paths[4][900];

    snprintf(paths[0], sizeof paths[0], "%s/STORE", dir);
    path_in_topic(T, "0/00000000000000000000.log", paths[1]);
    path_in_topic(T, "1/control", paths[2]);
    path_in_topic(C, "0/00000000000000000000.index", paths[3]);
    close_store();
    overwrite(paths[0], 64);
    overwrite(paths[1], 64);
    if (unlink(paths[2]) != 0) broken("there is no control file");
    overwrite(paths[3], 64);
}

/* In every version that the catalogue has of what the group committed. */
static void damage_commits(void)
{
    static const char text[] = "as far as this";
    char path[900];
    char *bytes;
    struct stat st;
    int count = 0;
    int fd;

    close_store();
    snprintf(path, sizeof path, "%s/meta/data.mdb", dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) broken("there is no catalogue");
    bytes = real_mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) broken("the catalogue cannot be mapped");
    for (off_t at = 0; at + (off_t)sizeof text < st.st_size; at++)
        if (memcmp(bytes + at, text, sizeof text - 1) == 0) bytes[at] = 'A', count++;
    munmap(bytes, (size_t)st.st_size);
    close(fd);
    if (count < 2) broken("there are %d commits to damage", count);
    board->commits_lost = true;
}

static const struct operation operations[] = {
    {.name = "create", .work = create, .is_done = is_created, .again = RILL_ERR_EXISTS},
    {.name = "alter", .work = alter, .is_done = is_altered},
    {.name = "add partitions", .work = add_partitions, .is_done = are_added},
    {.name = "delete",
     .work = delete_topic,
     .is_done = is_deleted,
     .again = RILL_ERR_NOT_FOUND,
     .finish = make_deleted_anew},
    {.name = "delete records", .work = delete_records, .is_done = are_deleted},
    {.name = "delete all records", .work = delete_all_records, .is_done = are_all_deleted},
    {.name = "compact", .work = compact, .is_done = is_compacted},
    {.name = "maintain", prepare_retention, maintain, is_retained},
    {.name = "snapshot", .work = make_snapshot, .is_done = is_copied, .again = RILL_ERR_INVALID},
    {.name = "snapshot without links",
     .work = make_snapshot_without_links,
     .is_done = is_copied,
     .again = RILL_ERR_INVALID},
    {.name = "restore",
     .work = restore,
     .is_done = is_copied,
     .again = RILL_ERR_INVALID,
     .closed = true},
    {.name = "export",
     .work = export,
     .is_done = is_exported,
     .finish = import_what_was_exported},
    {.name = "import", prepare_stream, import, is_imported},
    {.name = "import behind others", prepare_others, import_behind, is_imported_behind},
    {.name = "check", .work = check, .is_done = is_nothing_to_see, .closed = true},
    {.name = "repair", damage_files, repair, is_nothing_to_see, .closed = true, .alone = true},
    {.name = "repair of the catalogue",
     damage_commits,
     repair,
     is_nothing_to_see,
     .closed = true,
     .alone = true},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

/* ---- A case ---- */

static void work(void)
{
    board->all_of_t = board->topics[T].end[0];
    run.armed = true;
    board->rc = op->work();
    run.armed = false;
    board->worked = true;
    board->calls = run.calls;
    board->space_calls = run.space_calls;
}

/* Whatever has failed or died, appending goes on. */
static void append_before_it_is_repeated(void)
{
    if (op->is_done != is_exported) append(T, 0, 2, RILL_ACKS_WRITTEN);
    append(C, 0, 1, RILL_ACKS_DURABLE);
    if (board->topics[D].there) append(D, 0, 1, RILL_ACKS_DURABLE);
}

/* Done once more, with what is there of it; then it is done. */
static void repeat(bool done)
{
    int rc;

    if (!done) append_before_it_is_repeated();
    if (!done) board->all_of_t = board->topics[T].end[0];
    if (op->closed && plan.mode != BESIDE) close_store();
    rc = op->work();
    if (rc != (done ? op->again : 0)) broken("when it is repeated: %d", rc);
    board->worked = true;
    board->rc = 0;
    if (store == NULL) open_store(false);
    if (!op->is_done()) broken("it was repeated, and is not done");
    if (op->finish != NULL) op->finish();
    append_everywhere();
    check_all(store);
}

static bool see_whether_done(void)
{
    bool done = op->is_done();

    if (board->worked && board->rc == 0 && !done) broken("it said that it was done");
    check_all(store);
    return done;
}

/* What the next one finds, who is alone in the store or was there all the time. */
static void go_on_after(void)
{
    bool done;

    if (plan.mode == KILLED && !op->alone) check_sound(dir, false);
    if (op->alone) MUST(op->work());
    if (store == NULL) open_store(false);
    see_whether_done();
    MUST(rill_maintain(store, NULL));
    done = see_whether_done();
    if (plan.mode == KILLED) check_nothing_left();
    repeat(done);
    check_sound(dir, false);
    close_store();
}

/* And once more from the beginning. */
static void open_again(void)
{
    open_store(false);
    check_all(store);
    MUST(rill_maintain(store, NULL));
    if (op->is_done == is_retained) is_retained();
    check_all(store);
    check_nothing_left();
    append_everywhere();
    check_all(store);
    close_store();
    check_sound(dir, true);
}

/* The process that runs out of space, and goes on. */
static void meet_full_disk(void)
{
    struct seen seen;

    prepare_store();
    work();
    if (board->rc != 0 && board->rc != RILL_ERR_NO_SPACE) broken("it fails with %d", board->rc);
    if (board->rc != 0 && rill_errmsg()[0] == '\0') broken("it fails without a message");
    run.armed = true; /* what is there can be read meanwhile */
    for (int32_t p = 0; store != NULL && p < 2; p++) look(store, T, p, &seen);
    run.armed = false;
    if (op->alone && board->rc != 0) MUST(op->work());
    if (store == NULL) open_store(false);
    if (op->work != add_partitions) check_nothing_left(); /* those make way for the next */
    repeat(see_whether_done());
    MUST(rill_maintain(store, NULL));
    check_sound(dir, false);
    close_store();
    _exit(0);
}

/* The process that dies, or with n 0 only counts. Beside another one it waits until that
 * has the store open, too. */
static void meet_death(const int to_other[2], const int from_other[2])
{
    char byte = 0;

    prepare_store();
    if (plan.mode == BESIDE &&
        (syscall(SYS_write, to_other[1], &byte, 1) != 1 || read(from_other[0], &byte, 1) != 1))
        broken("nobody is there");
    work();
    if (board->rc != 0) broken("it fails with %d", board->rc);
    if (plan.n == 0 && !op->is_done()) broken("it is not done");
    if (plan.n == 0) _exit(0);
    die();
}

static void wait_for(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid) broken("no child");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && plan.mode < FULL) return;
    if (status == 0 && (plan.mode >= FULL || plan.n == 0)) return;
    if (WIFSIGNALED(status)) broken("signal %d", WTERMSIG(status));
    _exit(2); /* it has said why */
}

static void run_processes(void)
{
    int to_me[2];
    int from_me[2];
    char byte = 0;
    pid_t pid;

    if (pipe2(to_me, O_CLOEXEC) != 0 || pipe2(from_me, O_CLOEXEC) != 0) broken("no pipes");
    fflush(NULL);
    pid = fork();
    if (pid < 0) broken("no process");
    if (pid == 0) {
        alarm(120);
        close(to_me[0]);
        close(from_me[1]);
        if (plan.mode >= FULL && plan.n != 0) meet_full_disk();
        meet_death(to_me, from_me);
        _exit(0);
    }
    close(to_me[1]);
    close(from_me[0]);
    if (plan.mode == BESIDE && plan.n != 0 && read(to_me[0], &byte, 1) == 1) {
        open_store(false);
        if (syscall(SYS_write, from_me[1], &byte, 1) != 1) broken("it has gone too early");
    }
    wait_for(pid);
    close(to_me[0]);
    close(from_me[1]);
}

static void begin_case(uint64_t number)
{
    static const char *const names[TOPICS] = {"t", "c", "d", "new", "again", "behind"};

    plan.n = number % 10000;
    plan.mode = (enum mode)(number / 10000 % 10);
    plan.operation = (int)(number / 100000);
    op = &operations[plan.operation];
    board =
        real_mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(board != MAP_FAILED);
    for (int i = 0; i < TOPICS; i++) board->topics[i].name = names[i];
    memset(&run, 0, sizeof run);
    test_directory();
    snprintf(dir, sizeof dir, "%s", test_path("store"));
    snprintf(copy, sizeof copy, "%s", test_path("copy"));
    snprintf(stream, sizeof stream, "%s", test_path("stream"));
    alarm(240);
}

static void end_case(void)
{
    alarm(0);
    munmap(board, sizeof *board);
    test_directory_remove();
}

/* ---- Cases ---- */

static struct {
    uint64_t calls;
    uint64_t space_calls;
    int64_t retained[2];
} undisturbed[OPERATIONS];

static uint64_t *cases;
static uint64_t case_count;

static uint64_t run_case(uint64_t number)
{
    memcpy(retained, undisturbed[number / 100000].retained, sizeof retained);
    begin_case(number);
    run_processes();
    if (plan.mode < FULL) go_on_after();
    open_again();
    end_case();
    return 1;
}

static uint64_t run_numbered(uint64_t index)
{
    return run_case(cases[index - 1]);
}

/* What an operation does when nothing happens. */
static void count_calls(int operation)
{
    memset(retained, 0, sizeof retained);
    begin_case((uint64_t)operation * 100000);
    run_processes();
    undisturbed[operation].calls = board->calls;
    undisturbed[operation].space_calls = board->space_calls;
    memcpy(undisturbed[operation].retained, board->retained, sizeof retained);
    if (getenv("VERBOSE") != NULL)
        printf("%-26s %5" PRIu64 " calls, %4" PRIu64 " need space\n", op->name, board->calls,
               board->space_calls);
    end_case();
}

static void shuffle(uint64_t *numbers, uint64_t count)
{
    struct test_random random = {seed * 2 + 1};

    for (uint64_t i = count; i > 1; i--) {
        uint64_t j = test_random_below(&random, i);
        uint64_t other = numbers[j];
        numbers[j] = numbers[i - 1];
        numbers[i - 1] = other;
    }
}

static uint64_t count_cases(int operation, int mode)
{
    if (mode == BESIDE && operations[operation].alone) return 0;
    return mode < FULL ? undisturbed[operation].calls + 1 /* when it is over */
                       : undisturbed[operation].space_calls;
}

/* Of each operation and mode one after the other, so that a share has some of each. */
static void add_cases(void)
{
    static uint64_t numbers[OPERATIONS * MODES][CALLS_MAX];
    uint64_t added = 1;

    for (int i = 0; i < OPERATIONS * MODES; i++) {
        for (uint64_t n = 1; n <= count_cases(i / MODES, i % MODES); n++)
            numbers[i][n - 1] =
                (uint64_t)(i / MODES) * 100000 + (uint64_t)(i % MODES) * 10000 + n;
        shuffle(numbers[i], count_cases(i / MODES, i % MODES));
    }
    for (uint64_t at = 0; added > 0; at++) {
        added = 0;
        for (int i = 0; i < OPERATIONS * MODES; i++)
            if (at < count_cases(i / MODES, i % MODES)) {
                cases[case_count++] = numbers[i][at];
                added++;
            }
    }
}

int main(void)
{
    const char *one = getenv("CASE");
    uint64_t number = one == NULL ? 0 : strtoull(one, NULL, 0);
    uint64_t budget;

    seed = proof_seed();
    budget = proof_budget(UINT64_MAX, getenv("RILL_TEST_SLOW") != NULL ? 66 : 330);
    cases = malloc((size_t)OPERATIONS * MODES * CALLS_MAX * sizeof *cases);
    assert_true(cases != NULL && number / 100000 < OPERATIONS && number / 10000 % 10 < MODES);
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    rill__sys = hooks;
    for (int i = 0; i < OPERATIONS; i++) {
        if (one != NULL && i != (int)(number / 100000)) continue;
        count_calls(i);
        assert_true(undisturbed[i].calls < CALLS_MAX);
    }
    if (one != NULL) {
        run_case(number);
        return proof_end("admin", 1);
    }
    add_cases();
    printf("%" PRIu64 " cases there are\n", case_count);
    if (budget < case_count) case_count = budget;
    proof_run(case_count, run_numbered);
    return proof_end("admin", case_count);
}
#endif
