/*
 * prepared.c - appends of batches where the next segment has always been made ready, and
 * what one such call takes.
 *
 * Maintenance is called by hand, once per eighth of a segment and outside of the time
 * that is measured: from the half of a segment on it allocates the next one and fills it
 * with zeros. So every roll finds it there.
 */
#include "bench.h"

#include <stdlib.h>

#define SEGMENT (UINT64_C(64) << 20)
static rill *open_store(const struct bench *bench)
{
    const rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    const rill_topic_options topic = {.size = sizeof topic, .segment_bytes = SEGMENT};
    rill *store;

    if (rill_open(name("%s/prepared", bench->dir), &options, &store) != 0) die_rill("open");
    if (rill_topic_create(store, TOPIC, &topic) != 0) die_rill("create");
    return store;
}

static void append_all(rill_producer *producer, const rill_record *records, uint64_t batches)
{
    for (uint64_t i = 0; i < batches; i++)
        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
}

static void maintain(rill *store)
{
    if (rill_maintain(store, NULL) != 0) die_rill("maintain");
}

static void measure(const struct bench *bench, size_t value_size)
{
    const char *workload =
        name("append %zu B, batches of %d, prepared segments", value_size, BATCH);
    uint64_t batches = SEGMENT / 8 / (BATCH * (KEY_SIZE + value_size)); /* between maintenances */
    uint64_t parts = 8 * (bench->bytes / SEGMENT + 1);
    int64_t *latencies = allocate(sizeof *latencies * batches * parts), took = 0;
    rill *store = open_store(bench);
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];

    records_fill(records, BATCH, value_size);
    append_all(producer, records, 1); /* the first segment is there */
    for (uint64_t i = 0; i < parts; i++) {
        int64_t start = now_ns();

        append_all(producer, records, batches);
        took += now_ns() - start;
        maintain(store);
    }
    for (uint64_t i = 0; i < parts; i++) {
        append_timed(producer, records, batches, latencies + i * batches);
        maintain(store);
    }
    figure(workload, "rill", (double)(parts * batches * BATCH) * 1e9 / (double)took, "records/s",
           NO);
    figure_latencies(workload, "rill", latencies, parts * batches, NO);
    producer_close(producer);
    store_close(store);
    store_remove(bench, "prepared");
    free(latencies);
}

void bench_prepared(const struct bench *bench)
{
    measure(bench, 100);
    measure(bench, 1000);
}
