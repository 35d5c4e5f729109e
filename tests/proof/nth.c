/*
 * nth.c - every call of the operating system fails, at every place.
 *
 * A work that does everything (a store made, a topic, appends in every way and
 * over rolls, reading, committing, maintenance, syncing, closing, opening again
 * after a boot) is done again and again, with the n-th call of one kind failing
 * with one errno, for n = 1, 2, ..., once and from then on, until no call fails.
 * The same with the n-th allocation.
 *
 *     nothing crashes, and no error is RILL_ERR_BUG or without a message;
 *     no descriptor, map or block of memory is lost;
 *     with the faults gone the store opens, holds all that was acknowledged (if
 *     a partition was poisoned: all that was durable), and goes on.
 *
 * LMDB's own calls do not fail here. BUDGET counts runs, taken evenly from all
 * there are; CASE=n runs one.
 */
#include "faults.h"
#include "os/sys.h"
#include "proof.h"
#include <errno.h>
#include <inttypes.h>
#include <rill.h>
#include <sys/wait.h>

enum { PLACES_MAX = 400, VALUE_SIZE = 5000, WAIT_MS = 1000 };

static const struct {
    enum fault_call call;
    const char *name;
    int errnos[5];
} kinds[] = {
    {FAULT_OPENAT, "openat", {EMFILE, ENFILE, EACCES, EIO, ENOMEM}},
    {FAULT_FSTAT, "fstat", {EIO}},
    {FAULT_FALLOCATE, "fallocate", {ENOSPC, EDQUOT, EIO, EOPNOTSUPP, EINTR}},
    {FAULT_FTRUNCATE, "ftruncate", {EIO}},
    {FAULT_PREAD, "pread", {EIO, EINTR}},
    {FAULT_PWRITE, "pwrite", {ENOSPC, EDQUOT, EIO, EINTR}},
    {FAULT_FDATASYNC, "fdatasync", {EIO, ENOSPC, EDQUOT}},
    {FAULT_FSYNC, "fsync", {EIO, ENOSPC}},
    {FAULT_RENAMEAT, "renameat", {ENOSPC, EIO}},
    {FAULT_UNLINKAT, "unlinkat", {EIO}},
    {FAULT_MMAP, "mmap", {ENOMEM, ENFILE}},
    {FAULT_MADVISE, "madvise", {ENOMEM, EFAULT}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0], MODES = 2 };

static const char *dir;
static rill *store;

/* What was promised by the time the work ended. */
static struct {
    int64_t written;
    int64_t durable;
    bool topic;
    bool poisoned;
} promised;

static void broken(const char *what)
{
    printf("    %s (%s)\n", what, rill_errmsg());
    fflush(stdout);
    _exit(2);
}

/* Any error is fine that says what it is. */
static bool fine(int rc)
{
    if (rc == 0) return true;
    if (rc == RILL_ERR_BUG || rc > 0) broken("a defect of its own is told");
    if (rill_errmsg()[0] == '\0') broken("an error without a message");
    if (rc == RILL_ERR_POISONED) promised.poisoned = true;
    return false;
}

/* ---- The work ---- */

static bool open_store(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    store = NULL;
    return fine(rill_open(dir, &options, &store));
}

static void fill_value(char *value, int64_t offset)
{
    memset(value, (int)('a' + offset % 26), VALUE_SIZE);
    memcpy(value, &offset, sizeof offset);
}

static bool append(rill_producer *producer, bool durable, int64_t *end)
{
    char value[VALUE_SIZE];
    rill_record record = RILL_RECORD_INIT;
    rill_offset offset;
    int rc;

    fill_value(value, *end);
    record.partition = 0;
    record.value = (rill_bytes){value, sizeof value};
    rc = rill_producer_append(producer, &record, 1, WAIT_MS, &offset);
    if (fine(rc)) {
        if (offset != *end) broken("an offset is not the next one");
        *end = offset + 1;
        promised.written = *end;
        if (durable) promised.durable = *end;
        return true;
    }
    return false;
}

/* An append whose outcome is open may be there: the next value must fit. */
static int64_t log_end(void)
{
    rill_partition_info info;
    return fine(rill_partition_describe(store, "t", 0, &info)) ? info.log_end : -1;
}

static void produce(int count)
{
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_producer *written = NULL;
    rill_producer *durable = NULL;
    int64_t end;

    fine(rill_producer_open(store, &out, &written));
    out.acks = RILL_ACKS_DURABLE;
    fine(rill_producer_open(store, &out, &durable));
    for (int i = 0; i < count; i++) {
        end = log_end();
        if (end < 0) break;
        if (i % 3 == 0 && durable != NULL) append(durable, true, &end);
        else if (written != NULL) append(written, false, &end);
    }
    if (written != NULL) fine(rill_producer_close(written, WAIT_MS));
    if (durable != NULL) fine(rill_producer_close(durable, WAIT_MS));
}

static void consume(void)
{
    rill_consumer_options in = {
        .size = sizeof in, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    const char *topics[] = {"t"};
    rill_record records[10];
    rill_consumer *consumer;
    size_t count;

    if (!fine(rill_consumer_open(store, &in, &consumer))) return;
    fine(rill_consumer_subscribe(consumer, topics, 1));
    for (int i = 0; i < 4; i++) fine(rill_consumer_poll(consumer, 0, records, 10, &count));
    fine(rill_consumer_commit(consumer, NULL, 0));
    fine(rill_consumer_close(consumer, 0));
}

static void close_store(void)
{
    if (store != NULL) fine(rill_close(store));
    store = NULL;
}

/* Afterwards the control blocks are those of an earlier boot. */
static void boot(void)
{
    char command[900];

    snprintf(command, sizeof command,
             "for f in '%s'/*/0/control; do [ ! -e \"$f\" ] || "
             "dd if=/dev/zero of=\"$f\" bs=4096 count=1 conv=notrunc 2>/dev/null; done",
             dir);
    if (system(command) != 0) broken("cannot clear a control block");
}

static void work(void)
{
    rill_topic_options topic = {.size = sizeof topic, .segment_bytes = 64 << 10};
    int rc;

    if (!open_store()) return;
    rc = rill_topic_create(store, "t", &topic);
    if (rc != RILL_ERR_EXISTS) fine(rc);
    promised.topic = promised.topic || rc == 0;
    if (promised.topic) {
        produce(20);
        consume();
        fine(rill_maintain(store, NULL));
        if (fine(rill_sync(store, WAIT_MS)) && !promised.poisoned)
            promised.durable = promised.written;
        produce(4);
    }
    close_store();
}

/* ---- Afterwards, without faults ---- */

static void check_records(int64_t end)
{
    rill_position from = {.topic = "t"};
    rill_consumer *consumer;
    rill_record records[10];
    char value[VALUE_SIZE];
    int64_t next = 0;
    size_t count = 1;

    if (rill_consumer_open(store, NULL, &consumer) != 0 ||
        rill_consumer_assign(consumer, &from, 1) != 0)
        broken("cannot read");
    while (next < end) {
        if (rill_consumer_poll(consumer, 0, records, 10, &count) != 0 || count == 0)
            broken("records are missing");
        for (size_t i = 0; i < count; i++, next++) {
            fill_value(value, next);
            if (records[i].offset != next || records[i].value.size != VALUE_SIZE ||
                memcmp(records[i].value.data, value, VALUE_SIZE) != 0)
                broken("a record is not what was appended");
        }
    }
    rill_consumer_close(consumer, 0);
}

static void check(void)
{
    int64_t least = promised.poisoned ? promised.durable : promised.written;
    int64_t end;

    if (!open_store()) broken("the store does not open any more");
    if (promised.topic) {
        end = log_end();
        if (end < least) broken("what was acknowledged is lost");
        check_records(end);
        produce(3);
        if (log_end() != end + 3) broken("appending does not go on");
        check_records(end + 3);
    }
    close_store();
}

static int entries_of(const char *path, const char *part)
{
    char command[900];
    FILE *pipe_of;
    int count = -1;

    snprintf(command, sizeof command, "ls -l %s 2>/dev/null | grep -c '%s'", path, part);
    if (strcmp(path, "maps") == 0)
        snprintf(command, sizeof command, "grep -c '%s' /proc/%d/maps", part, (int)getpid());
    pipe_of = popen(command, "r");
    if (pipe_of == NULL || fscanf(pipe_of, "%d", &count) != 1) count = -1;
    if (pipe_of != NULL) pclose(pipe_of);
    return count;
}

static void check_leaks(void)
{
    char fds[40];

    snprintf(fds, sizeof fds, "/proc/%d/fd", (int)getpid());
    if (entries_of(fds, dir) != 0) broken("a descriptor is lost");
    if (entries_of("maps", dir) != 0) broken("a map is lost");
}

/* ---- Runs ---- */

/* A run: which call, with what, at which place, once or from then on, in the
 * first life of the store or in the one after a boot. */
struct run {
    int kind;
    int errno_index;
    int mode;
    bool after_boot;
    uint64_t n;
};

static bool decode(uint64_t number, struct run *run)
{
    run->mode = (int)(number % MODES);
    number /= MODES;
    run->after_boot = number % 2 == 1;
    number /= 2;
    run->errno_index = (int)(number % 5);
    number /= 5;
    run->kind = (int)(number % KINDS);
    run->n = number / KINDS + 1;
    /* Interrupted for ever is no fault that a system has. */
    return kinds[run->kind].errnos[run->errno_index] != 0 &&
           (run->mode == 0 || kinds[run->kind].errnos[run->errno_index] != EINTR);
}

static int pretend_disk(int fd, struct statfs *st)
{
    int rc = fstatfs(fd, st);

    st->f_type = 0xef53;
    return rc;
}

/* In a child: 0 fine, 1 the fault was never reached, 2 broken. */
static int run_one(const struct run *run)
{
    uint64_t reached;

    rill__sys.fstatfs = pretend_disk;
    if (run->after_boot) {
        work();
        boot();
    }
    faults_fail(kinds[run->kind].call, NULL, run->n, kinds[run->kind].errnos[run->errno_index],
                run->mode == 0 ? FAULT_ONCE : FAULT_DEAD);
    work();
    reached = faults_count();
    faults_clear();
    rill__sys.fstatfs = pretend_disk;
    check_leaks();
    promised.poisoned = promised.poisoned || kinds[run->kind].call == FAULT_FDATASYNC ||
                        kinds[run->kind].call == FAULT_FSYNC;
    check();
    check_leaks();
    return reached < run->n ? 1 : 0;
}

static int status_of(const struct run *run)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(60);
        _exit(run_one(run));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* True if the place exists. */
static bool run_number(uint64_t number)
{
    struct run run;
    int status;

    if (!decode(number, &run)) return false;
    dir = test_directory();
    status = status_of(&run);
    test_directory_remove();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1) return false;
    if (status != 0)
        proof_violation(number, "%s number %" PRIu64 " fails with %d %s, %s: status %#x",
                        kinds[run.kind].name, run.n, kinds[run.kind].errnos[run.errno_index],
                        run.mode == 0 ? "once" : "from then on",
                        run.after_boot ? "after a boot" : "in a new store", (unsigned)status);
    return true;
}

int main(void)
{
    static bool exhausted[KINDS][2];
    uint64_t budget = proof_budget(20000, 150);
    uint64_t step = getenv("PROOF_SHARE") != NULL && getenv("BUDGET") == NULL ? 37 : 1;
    uint64_t per_place = (uint64_t)KINDS * 5 * 2 * MODES;
    uint64_t number = proof_seed() % step;
    uint64_t runs = 0;
    int left = KINDS * 2;

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    if (getenv("CASE") != NULL) {
        run_number(strtoull(getenv("CASE"), NULL, 0));
        return proof_end("nth", 1);
    }
    for (; runs < budget && left > 0 && number < per_place * PLACES_MAX; number += step) {
        struct run run;

        if (!decode(number, &run) || exhausted[run.kind][run.after_boot]) continue;
        if (run_number(number)) {
            runs++;
        } else {
            exhausted[run.kind][run.after_boot] = true;
            left--;
        }
    }
    return proof_end("nth", runs);
}
