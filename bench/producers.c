/*
 * producers.c - several threads append at once: to one partition, or to one each.
 *
 * Batches of 100. One thread is measured, too, in the same way, to compare with.
 */
#include "bench.h"

enum { THREADS_MAX = 8 };

struct producing {
    rill *store;
    int32_t partition;
    size_t value_size;
    uint64_t count;
    _Atomic bool *go;
};

static void produce(void *arg)
{
    struct producing *p = arg;
    rill_producer *producer = producer_open(p->store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];

    records_fill(records, BATCH, p->value_size);
    for (size_t i = 0; i < BATCH; i++) records[i].partition = p->partition;
    while (!atomic_load(p->go)) cpu_pause();
    for (uint64_t done = 0; done < p->count; done += BATCH)
        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
    producer_close(producer);
}

static void touch(rill *store, int32_t partition, size_t value_size)
{
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record record;

    records_fill(&record, 1, value_size);
    record.partition = partition;
    if (rill_producer_append(producer, &record, 1, 10000, NULL) != 0) die_rill("append");
    producer_close(producer);
}

static void measure(const struct bench *bench, int threads, bool shared, size_t value_size)
{
    uint64_t each = bench->bytes / (KEY_SIZE + value_size) / (uint64_t)threads / BATCH * BATCH;
    struct producing all[THREADS_MAX];
    struct worker *workers[THREADS_MAX];
    _Atomic bool go = false;
    rill *store = store_open(bench, "store", true);
    int64_t start;

    if (!shared && threads > 1 && rill_topic_add_partitions(store, TOPIC, (uint32_t)threads) != 0)
        die_rill("add partitions");
    for (int i = 0; i < threads; i++) {
        all[i] = (struct producing){store, shared ? 0 : i, value_size, each, &go};
        touch(store, all[i].partition, value_size); /* the first segment is there */
        workers[i] = worker_start(false, produce, &all[i]);
    }
    start = now_ns();
    atomic_store(&go, true);
    for (int i = 0; i < threads; i++) worker_join(workers[i]);
    figure(name("append %zu B, batches of %d, %d producer%s", value_size, BATCH, threads,
                threads == 1 ? "" : "s"),
           shared ? "rill, one partition" : "rill, a partition each",
           (double)(each * (uint64_t)threads) * 1e9 / (double)(now_ns() - start), "records/s",
           BACKGROUND);
    store_close(store);
    store_remove(bench, "store");
}

void bench_producers(const struct bench *bench)
{
    for (size_t value_size = 100; value_size <= 1000; value_size *= 10)
        for (int threads = 1; threads <= THREADS_MAX; threads *= 2)
            for (int shared = 1; shared >= 0; shared--) {
                if (threads == 1 && !shared) continue;
                if (bench->quick && threads > 2) continue;
                measure(bench, threads, shared, value_size);
            }
}
