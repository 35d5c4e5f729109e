/*
 * diskfull.c - a store on a file system that fills up under it.
 *
 * For each kind of file system that can be mounted here (a small tmpfs, a small
 * ext4 in a file): the disk is filled to the last byte under a running store.
 *
 *     an append that finds no room says RILL_ERR_NO_SPACE and publishes nothing;
 *     no signal comes;
 *     reading and committing go on, also after closing and opening again;
 *     a topic that cannot be made leaves nothing behind;
 *     with the space given back appending goes on, without opening anew.
 *
 * Mounts are made in a mount namespace of the test's own. Exits 77 where none
 * can be made. BUDGET counts rounds over all kinds.
 */
#include "proof.h"
#include <fcntl.h>
#include <inttypes.h>
#include <rill.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VALUE_SIZE = 1000, BATCH = 16, PARTITIONS = 2 };
enum { BROKEN = 3 /* exit status: a promise; unshare's own failures are 1 */ };

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
static rill_producer *producer;
static rill_consumer *consumer;
static int64_t appended[PARTITIONS];
static int64_t consumed[PARTITIONS];

static void open_all(const char *dir, bool create)
{
    rill_options options = {.size = sizeof options, .flags = create ? RILL_OPEN_CREATE : 0};
    rill_topic_options topic = {
        .size = sizeof topic, .partition_count = PARTITIONS, .segment_bytes = 1 << 20};
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_consumer_options in = {
        .size = sizeof in, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position from[PARTITIONS];

    MUST(rill_open(dir, &options, &store));
    if (create) MUST(rill_topic_create(store, "t", &topic));
    MUST(rill_producer_open(store, &out, &producer));
    MUST(rill_consumer_open(store, &in, &consumer));
    for (int p = 0; p < PARTITIONS; p++)
        from[p] = (rill_position){"t", p, -1, RILL_OFFSET_NONE, NULL};
    MUST(rill_consumer_assign(consumer, from, PARTITIONS));
}

static void close_all(void)
{
    MUST(rill_consumer_close(consumer, 1000));
    MUST(rill_producer_close(producer, 1000));
    MUST(rill_close(store));
}

static int append(int32_t partition)
{
    static char value[VALUE_SIZE];
    rill_record records[BATCH];
    rill_offset offset = -1;
    int rc;

    for (int i = 0; i < BATCH; i++) {
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = partition;
        records[i].value = (rill_bytes){value, sizeof value};
    }
    rc = rill_producer_append(producer, records, BATCH, 1000, &offset);
    if (rc == 0) {
        CHECK(offset == appended[partition]);
        appended[partition] += BATCH;
    }
    return rc;
}

static int64_t log_end(int32_t partition)
{
    rill_partition_info info;
    MUST(rill_partition_describe(store, "t", partition, &info));
    return info.log_end;
}

/* Appends until there is no room. */
static void append_until_full(int32_t partition)
{
    int rc;

    while ((rc = append(partition)) == 0) {}
    CHECK(rc == RILL_ERR_NO_SPACE);
    CHECK(strstr(rill_errmsg(), "space") != NULL);
    CHECK(log_end(partition) == appended[partition]);
}

/* Everything that was appended, once, in order; and commits it. */
static void consume_all(void)
{
    rill_record records[100];
    size_t count;

    do {
        MUST(rill_consumer_poll(consumer, 0, records, 100, &count));
        for (size_t i = 0; i < count; i++) {
            int32_t p = records[i].partition;
            CHECK(records[i].offset == consumed[p]);
            CHECK(records[i].value.size == VALUE_SIZE);
            consumed[p]++;
        }
        if (count > 0) MUST(rill_consumer_commit(consumer, NULL, 0));
    } while (count > 0);
    for (int p = 0; p < PARTITIONS; p++) {
        rill_position position;
        CHECK(consumed[p] == appended[p]);
        MUST(rill_consumer_committed(consumer, "t", p, &position, NULL, 0));
        CHECK(position.offset == (consumed[p] > 0 ? consumed[p] : RILL_OFFSET_NONE));
    }
}

/* Appends junk to a file, limit bytes or what there is room for. */
static void fill_disk(const char *path, int64_t limit)
{
    static char junk[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int64_t n = 0;

    CHECK(fd >= 0);
    for (size_t size = sizeof junk; size > 0 && limit > 0; size /= 2)
        while (limit > 0 && (n = write(fd, junk, size)) > 0) limit -= n;
    close(fd);
}

static void check_topic_create(const char *dir)
{
    rill_topic_options topic = {.size = sizeof topic, .partition_count = 300};
    rill_topic_info info;
    char command[800];

    CHECK(rill_topic_create(store, "more", &topic) == RILL_ERR_NO_SPACE);
    CHECK(rill_topic_describe(store, "more", &info) == RILL_ERR_NOT_FOUND);
    /* Beside the topic that is there, nothing of one that is not. */
    snprintf(
        command, sizeof command,
        "test $(find '%s' -mindepth 1 -maxdepth 1 -type d -name '????????????????*' | wc -l) "
        "= 1",
        dir);
    CHECK(system(command) == 0);
}

/* In the file system that is mounted at root. */
static void run_here(const char *root)
{
    char dir[600];
    char filler[600];
    int rc = 0;

    snprintf(dir, sizeof dir, "%s/store", root);
    snprintf(filler, sizeof filler, "%s/filler", root);
    open_all(dir, true);
    for (int i = 0; i < 20; i++)
        for (int p = 0; p < PARTITIONS; p++) MUST(append(p));
    consume_all();
    fill_disk(filler, 8 << 20);

    append_until_full(0);
    fill_disk(filler, INT64_MAX);
    append_until_full(0);
    append_until_full(1); /* what its segment has room for goes in */
    rill_maintain(store, NULL);
    consume_all();
    check_topic_create(dir);

    close_all();
    open_all(dir, false);
    append_until_full(0);
    consume_all();

    CHECK(unlink(filler) == 0);
    for (int i = 0; i < 70; i++) MUST(append(i % PARTITIONS));
    consume_all();
    for (int i = 0; i < 5 && rc == 0; i++) rc = rill_maintain(store, NULL);
    MUST(rc);

    append_until_full(0); /* and once more */
    consume_all();
    close_all();
    printf("%" PRId64 " and %" PRId64 " records\n", appended[0], appended[1]);
}

/* Runs itself where the script has mounted something at its second argument. */
static int run_mounted(const char *self, const char *name, const char *script)
{
    const char *base = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : ".";
    char root[500];
    pid_t pid;
    int status = 0;

    snprintf(root, sizeof root, "%s/%s", base, name);
    rmdir(root);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        execlp("unshare", "unshare", geteuid() == 0 ? "-m" : "-rm", "sh", "-c", script, self,
               root, (char *)NULL);
        _exit(77);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return 1;
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 1)) {
        printf("%s: cannot be mounted here\n", name);
        return 77;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    fprintf(stderr, "%s: failed, wait status %#x\n", name, (unsigned)status);
    return 1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        const char *script;
    } kinds[] = {
        {"tmpfs", "mkdir \"$1\" && mount -t tmpfs -o size=24m none \"$1\" || exit 77\n"
                  "exec \"$0\" \"$1\""},
        {"ext4", "PATH=$PATH:/sbin:/usr/sbin\n"
                 "mkdir \"$1\" && truncate -s 32M \"$1.img\" &&\n"
                 "mkfs.ext4 -q -F \"$1.img\" && mount -o loop \"$1.img\" \"$1\" || exit 77\n"
                 "\"$0\" \"$1\"; rc=$?; umount \"$1\"; rm -f \"$1.img\"; exit $rc"},
        {"xfs", "PATH=$PATH:/sbin:/usr/sbin\n"
                "mkdir \"$1\" && truncate -s 304M \"$1.img\" &&\n"
                "mkfs.xfs -q -f -K \"$1.img\" && mount -o loop \"$1.img\" \"$1\" || exit 77\n"
                "\"$0\" \"$1\"; rc=$?; umount \"$1\"; rm -f \"$1.img\"; exit $rc"},
        {"btrfs", "PATH=$PATH:/sbin:/usr/sbin\n"
                  "mkdir \"$1\" && truncate -s 128M \"$1.img\" &&\n"
                  "mkfs.btrfs -q -f -K \"$1.img\" && mount -o loop \"$1.img\" \"$1\" || exit 77\n"
                  "\"$0\" \"$1\"; rc=$?; umount \"$1\"; rm -f \"$1.img\"; exit $rc"},
    };
    uint64_t cases = 0;
    uint64_t rounds;

    if (argc > 1) {
        run_here(argv[1]);
        return 0;
    }
    proof_seed();
    rounds = proof_budget(40, 1);
    for (uint64_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            int rc = run_mounted(argv[0], kinds[i].name, kinds[i].script);
            if (rc == 77) continue;
            if (rc == 1) proof_violation(round, "%s: see above", kinds[i].name);
            cases++;
        }
        if (cases == 0) {
            printf("no file system can be mounted here\n");
            return 77;
        }
    }
    return proof_end("diskfull", cases);
}
