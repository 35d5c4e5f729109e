/*
 * failedsync.c - the device fails writes while a store is in use.
 *
 * An ext4 without journal lies on a loop device whose file lies, with holes, on
 * a small tmpfs. When that is full, the device fails what is written to it. Two
 * processes have the store open.
 *
 *     the append that waits for the sync gets an error;
 *     after that nobody is acknowledged, in no process, also not when the
 *     device is well again;
 *     reading what was durable goes on;
 *     closed everywhere and opened again, also after unmounting, the log has
 *     all that was acknowledged, byte by byte, and appending goes on.
 *
 * BUDGET counts rounds, each on a file system of its own. Exits 77 where none
 * can be mounted.
 */
#include "proof.h"
#include <fcntl.h>
#include <inttypes.h>
#include <rill.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { VALUE_SIZE = 3000, BROKEN = 3, WAIT_MS = 60000 };

#define CHECK(rule)                                                                              \
    do {                                                                                         \
        if (!(rule)) {                                                                           \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #rule,               \
                    rill_errmsg());                                                              \
            exit(BROKEN);                                                                        \
        }                                                                                        \
    } while (0)
#define MUST(call) CHECK((call) == 0)

static rill *store;
static rill_producer *durable;
static rill_producer *written;

static void open_store(const char *dir, uint32_t flags)
{
    rill_options options = {.size = sizeof options, .flags = flags};
    rill_topic_options topic = {.size = sizeof topic, .segment_bytes = 1 << 20};
    rill_producer_options out = {.size = sizeof out, .topic = "t"};

    MUST(rill_open(dir, &options, &store));
    if ((flags & RILL_OPEN_CREATE) != 0) MUST(rill_topic_create(store, "t", &topic));
    MUST(rill_producer_open(store, &out, &written));
    out.acks = RILL_ACKS_DURABLE;
    MUST(rill_producer_open(store, &out, &durable));
}

/* Its errors are those that were met before. */
static void close_store(void)
{
    rill_producer_close(written, 0);
    rill_producer_close(durable, 0);
    rill_close(store);
}

static void fill_value(char *value, int64_t offset)
{
    memset(value, (int)('a' + offset % 26), VALUE_SIZE);
    snprintf(value, 24, "%" PRId64 ";", offset);
}

/* The record that belongs at offset *end. */
static int append(rill_producer *producer, int64_t *end)
{
    char value[VALUE_SIZE];
    rill_record record = RILL_RECORD_INIT;
    rill_offset offset;
    int rc;

    fill_value(value, *end);
    record.partition = 0;
    record.value = (rill_bytes){value, sizeof value};
    rc = rill_producer_append(producer, &record, 1, WAIT_MS, &offset);
    if (rc != 0) return rc;
    CHECK(offset == *end);
    ++*end;
    return 0;
}

static void read_all(int64_t end)
{
    rill_consumer_options in = {.size = sizeof in};
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_EARLIEST};
    rill_consumer *consumer;
    rill_record records[64];
    char value[VALUE_SIZE];
    int64_t next = 0;
    size_t count = 1;

    MUST(rill_consumer_open(store, &in, &consumer));
    MUST(rill_consumer_assign(consumer, &from, 1));
    while (next < end) {
        MUST(rill_consumer_poll(consumer, 0, records, 64, &count));
        CHECK(count > 0);
        for (size_t i = 0; i < count && next < end; i++, next++) {
            fill_value(value, next);
            CHECK(records[i].offset == next);
            CHECK(records[i].value.size == VALUE_SIZE);
            CHECK(memcmp(records[i].value.data, value, VALUE_SIZE) == 0);
        }
    }
    MUST(rill_consumer_close(consumer, 0));
}

static void nobody_is_acknowledged(int64_t end)
{
    int64_t same = end;

    CHECK(append(durable, &same) == RILL_ERR_POISONED);
    CHECK(append(written, &same) == RILL_ERR_POISONED);
    CHECK(rill_sync(store, WAIT_MS) == RILL_ERR_POISONED);
}

/* ---- The other process ---- */

static int to_other[2];
static int from_other[2];

static void other_process(const char *dir, int64_t end)
{
    char word;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    open_store(dir, 0);
    read_all(end);
    CHECK(write(from_other[1], "r", 1) == 1);
    CHECK(read(to_other[0], &word, 1) == 1); /* it has happened */
    nobody_is_acknowledged(end);
    read_all(end);
    CHECK(write(from_other[1], "r", 1) == 1);
    CHECK(read(to_other[0], &word, 1) == 1); /* the device is well again */
    nobody_is_acknowledged(end);
    close_store();
    exit(0);
}

static void tell_other(void)
{
    CHECK(write(to_other[1], "g", 1) == 1);
}

static void hear_other(void)
{
    char word;
    CHECK(read(from_other[0], &word, 1) == 1);
}

/* ---- The rounds, in what the script has mounted ---- */

static void fill_disk(const char *path)
{
    static char junk[65536];
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    CHECK(fd >= 0);
    for (size_t size = sizeof junk; size > 0; size /= 2)
        while (write(fd, junk, size) > 0) {}
    close(fd);
}

static void fail_the_device(const char *root)
{
    char dir[700];
    char filler[700];
    char expected[700];
    int64_t end = 0;
    FILE *file;
    pid_t other;
    int status;
    int rc;

    snprintf(dir, sizeof dir, "%s/disk/store", root);
    snprintf(filler, sizeof filler, "%s/back/filler", root);
    snprintf(expected, sizeof expected, "%s/expected", root);
    CHECK(pipe(to_other) == 0 && pipe(from_other) == 0);
    open_store(dir, RILL_OPEN_CREATE);
    for (int i = 0; i < 50; i++) MUST(append(durable, &end));
    close_store();
    other = fork();
    CHECK(other >= 0);
    if (other == 0) other_process(dir, end);
    open_store(dir, 0);
    hear_other();

    fill_disk(filler);
    while ((rc = append(durable, &end)) == 0) {}
    CHECK(rc == RILL_ERR_IO || rc == RILL_ERR_NO_SPACE || rc == RILL_ERR_POISONED);
    CHECK(rill_errmsg()[0] != '\0');
    nobody_is_acknowledged(end);
    read_all(50);
    tell_other();
    hear_other();
    CHECK(unlink(filler) == 0);
    nobody_is_acknowledged(end);
    tell_other();
    CHECK(waitpid(other, &status, 0) == other && status == 0);
    close_store();

    open_store(dir, 0);
    read_all(end);
    close_store();
    file = fopen(expected, "w");
    CHECK(file != NULL);
    fprintf(file, "%" PRId64 "\n", end);
    fclose(file);
}

/* After unmounting and mounting again. */
static void check_after_mount(const char *root)
{
    char path[700];
    rill_partition_info info;
    int64_t end = -1;
    FILE *file;

    snprintf(path, sizeof path, "%s/expected", root);
    file = fopen(path, "r");
    CHECK(file != NULL && fscanf(file, "%" SCNd64, &end) == 1);
    fclose(file);
    snprintf(path, sizeof path, "%s/disk/store", root);
    open_store(path, 0);
    MUST(rill_partition_describe(store, "t", 0, &info));
    CHECK(info.log_end >= end);
    read_all(end);
    end = info.log_end;
    MUST(append(durable, &end));
    close_store();
    printf("%" PRId64 " records acknowledged before the device failed\n", end - 1);
}

/* Requests of one page: of a longer one the loop device may do a part and tell
 * that all was done. */
static const char script[] =
    "PATH=$PATH:/sbin:/usr/sbin\n"
    "image=\"$1/back/image\"\n"
    "mkdir -p \"$1/back\" \"$1/disk\" && mount -t tmpfs -o size=12m none \"$1/back\" &&\n"
    "truncate -s 64M \"$image\" &&\n"
    "mkfs.ext4 -q -F -b 4096 -O ^has_journal -E lazy_itable_init=1 \"$image\" &&\n"
    "device=$(losetup -f --show \"$image\") || exit 77\n"
    "trap 'umount \"$1/disk\" 2>/dev/null; losetup -d \"$device\"' EXIT\n"
    "echo 4 >\"/sys/block/${device#/dev/}/queue/max_sectors_kb\" || exit 77\n"
    "mount -o errors=continue \"$device\" \"$1/disk\" || exit 77\n"
    "\"$0\" fail \"$1\"; rc=$?\n"
    "umount \"$1/disk\" || exit 1\n"
    "[ $rc = 0 ] || exit $rc\n"
    "mount \"$device\" \"$1/disk\" || exit 1\n"
    "\"$0\" check \"$1\"\n";

static int run_round(const char *self, const char *root)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        execlp("unshare", "unshare", geteuid() == 0 ? "-m" : "-rm", "sh", "-c", script, self,
               root, (char *)NULL);
        _exit(77);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    uint64_t rounds = proof_budget(50, 2);
    uint64_t round;

    if (argc > 2) {
        if (strcmp(argv[1], "fail") == 0) fail_the_device(argv[2]);
        else check_after_mount(argv[2]);
        return 0;
    }
    proof_seed();
    for (round = 0; round < rounds; round++) {
        int rc = run_round(argv[0], test_directory());
        if (rc == 77 || rc == 1) {
            printf("no failing device can be made here (unshare, tmpfs, mkfs.ext4, loop)\n");
            return 77;
        }
        if (rc != 0) proof_violation(round, "see above (%d)", rc);
        test_directory_remove();
    }
    return proof_end("failedsync", rounds);
}
