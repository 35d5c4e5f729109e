/*
 * commit.c - a consumer commits its offset, again and again. Each is durable.
 *
 * Beside it, a pwrite of 4 KiB and fdatasync.
 */
#include "bench.h"

#include <stdlib.h>
#include <unistd.h>

#define SAMPLES 100000
#define RECORDS 10000

static int64_t latencies[SAMPLES];

static void report(const char *system, size_t count, int64_t ns)
{
    figure("offset commit", system, (double)count * 1e9 / (double)ns, "commits/s", EACH);
    figure_latencies("offset commit", system, latencies, count, EACH);
}

static void limit(const struct bench *bench)
{
    static const char page[4096];
    int fd = file_open(bench, "limit", (size_t)1 << 20);
    int64_t start, now;
    size_t count = 0;

    if (fsync(fd) != 0) die_os("fsync");
    start = now = now_ns();
    while (count < SAMPLES && now - start < bench->timed_ns) {
        int64_t before = now;

        if (pwrite(fd, page, sizeof page, (off_t)(count % 256 * sizeof page)) != sizeof page)
            die_os("pwrite");
        if (fdatasync(fd) != 0) die_os("fdatasync");
        now = now_ns();
        latencies[count++] = now - before;
    }
    report("pwrite+fdatasync", count, now - start);
    close(fd);
    file_remove(bench, "limit");
}

void bench_commit(const struct bench *bench)
{
    rill_consumer_options options = {.size = sizeof options, .group = "bench"};
    rill *store = store_open(bench, "store", true);
    rill_consumer *consumer;
    int64_t start, now;
    size_t count = 0;

    limit(bench);
    log_fill(store, RECORDS, 100);
    consumer = consumer_at_start(store, &options);
    start = now = now_ns();
    while (count < SAMPLES && now - start < bench->timed_ns) {
        const rill_position position = {.topic = TOPIC, .offset = (rill_offset)(count % RECORDS)};
        int64_t before = now;

        if (rill_consumer_commit(consumer, &position, 1) != 0) die_rill("commit");
        now = now_ns();
        latencies[count++] = now - before;
    }
    report("rill consumer_commit()", count, now - start);
    if (rill_consumer_close(consumer, 1000) != 0) die_rill("close a consumer");
    store_close(store);
    store_remove(bench, "store");
}
