/*
 * reopen.c - how long it takes to open a store after its only user was killed.
 *
 * A process appends, syncs, goes on appending and is killed in the middle of it. Then the
 * store is opened and the partition described, which recovers it. Beside it, the same
 * after a clean close. What was acknowledged must be there. Then all of it again with
 * four times as much before the sync, and as much as before behind it.
 */
#include "bench.h"

#include <unistd.h>

struct writer {
    const struct bench *bench;
    uint64_t synced;                /* it syncs once, after so many records */
    _Atomic uint64_t *acknowledged; /* shared with it */
};

static void writer_main(void *arg)
{
    struct writer *writer = arg;
    rill *store = store_open(writer->bench, "store", true);
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];

    records_fill(records, BATCH, 100);
    log_fill(store, writer->synced, 100);
    if (rill_sync(store, 60000) != 0) die_rill("sync");
    atomic_store(writer->acknowledged, writer->synced);
    for (;;) {
        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
        atomic_fetch_add(writer->acknowledged, BATCH);
    }
}

static double open_ms(const struct bench *bench, uint64_t count)
{
    int64_t start = now_ns(), end;
    rill *store = store_open(bench, "store", false);
    rill_partition_info info;

    if (rill_partition_describe(store, TOPIC, 0, &info) != 0) die_rill("describe");
    end = now_ns();
    if (info.log_end < (rill_offset)count) die("acknowledged records are missing");
    store_close(store);
    return (double)(end - start) / 1e6;
}

static void reopen(const struct bench *bench, uint64_t bytes)
{
    uint64_t synced = bytes / (KEY_SIZE + 100), behind = bench->bytes / 8 / (KEY_SIZE + 100);
    struct writer writer = {bench, synced, shared_memory(sizeof *writer.acknowledged)};
    struct worker *worker = worker_start(true, writer_main, &writer);
    const char *workload =
        name("open a log of %d MiB, %d behind a sync", (int)((bytes + bench->bytes / 8) >> 20),
             (int)(bench->bytes / 8 >> 20));
    uint64_t count;

    while (atomic_load(writer.acknowledged) < synced + behind) usleep(100);
    worker_kill(worker);
    count = atomic_load(writer.acknowledged);
    figure(workload, "rill, after kill -9", open_ms(bench, count), "ms", NO);
    figure(workload, "rill, after a clean close", open_ms(bench, count), "ms", NO);
    store_remove(bench, "store");
    shared_memory_free(writer.acknowledged, sizeof *writer.acknowledged);
}

void bench_reopen(const struct bench *bench)
{
    reopen(bench, bench->bytes);
    reopen(bench, 4 * bench->bytes);
}
