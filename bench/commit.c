/*
 * commit.c - a consumer commits its offset, again and again. Each is durable.
 *
 * Beside it, a pwritev2(RWF_DSYNC) of one page; and what peers do for it: one put into
 * a table of their own, as durable as their appends then are.
 */
#include "peers/peers.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SAMPLES = 100000, RECORDS = 10000, PAGE = 4096 };

static int64_t latencies[SAMPLES];

static void report(const char *system, size_t count, int64_t ns)
{
    figure("offset commit", system, (double)count * 1e9 / (double)ns, "commits/s", EACH);
    figure_latencies("offset commit", system, latencies, count, EACH);
}

static void limit(const struct bench *bench)
{
    static char page[PAGE];
    struct iovec all = {page, sizeof page};
    int fd = file_open(bench, "limit", (size_t)1 << 20);
    int64_t start, now;
    size_t count = 0;

    if (fsync(fd) != 0) die_os("fsync");
    start = now = now_ns();
    while (count < SAMPLES && now - start < bench->timed_ns) {
        int64_t before = now;

        if (pwritev2(fd, &all, 1, (off_t)(count % 256 * PAGE), RWF_DSYNC) != PAGE)
            die_os("pwritev2");
        now = now_ns();
        latencies[count++] = now - before;
    }
    report("pwritev2(RWF_DSYNC)", count, now - start);
    close(fd);
    file_remove(bench, "limit");
}

static void commits(const struct bench *bench, const struct peer *peer)
{
    void *log = peer->open(bench, true);
    void *writer = peer->writer_open(log);
    rill_record records[BATCH];
    int64_t start, now;
    size_t count = 0;

    records_fill(records, BATCH, 100);
    for (int i = 0; i < RECORDS; i += BATCH) peer->append(writer, records, BATCH);
    peer->commit(writer, 0); /* opens what it needs */
    start = now = now_ns();
    while (count < SAMPLES && now - start < bench->timed_ns) {
        int64_t before = now;

        peer->commit(writer, count % RECORDS);
        now = now_ns();
        latencies[count++] = now - before;
    }
    report(peer->name, count, now - start);
    peer->writer_close(writer);
    peer->close(log);
}

void bench_commit(const struct bench *bench)
{
    const struct peer *peer;

    limit(bench);
    for (int i = 0; (peer = peer_at(i)) != NULL; i++)
        if (peer->commit != NULL) commits(bench, peer);
}
