/*
 * prepared.c - appends of batches into a segment that maintenance has made ready, and
 * what one such call takes.
 *
 * Maintenance is called by hand, outside of the time that is measured: it allocates the
 * next segment and fills it with zeros, as the thread of a store does whenever a segment
 * was begun. Each round of appends then rolls into it and fills it.
 */
#include "bench.h"

#include <stdlib.h>

#define SEGMENT (UINT64_C(64) << 20)
enum { FRAME = 64, OVERHEAD = 4 }; /* of a batch, and about of a record in it */

static rill *open_store(const struct bench *bench)
{
    const rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    const rill_topic_options topic = {.size = sizeof topic, .segment_bytes = SEGMENT};
    rill *store;

    if (rill_open(name("%s/prepared", bench->dir), &options, &store) != 0) die_rill("open");
    if (rill_topic_create(store, TOPIC, &topic) != 0) die_rill("create");
    return store;
}

static uint64_t batches_per_segment(size_t value_size)
{
    return SEGMENT / (BATCH * (KEY_SIZE + value_size + OVERHEAD) + FRAME);
}

static void fill_segment(rill_producer *producer, const rill_record *records, uint64_t batches)
{
    for (uint64_t i = 0; i < batches; i++)
        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
}

static void measure(const struct bench *bench, size_t value_size)
{
    const char *workload =
        name("append %zu B, batches of %d, prepared segments", value_size, BATCH);
    uint64_t batches = batches_per_segment(value_size);
    uint64_t segments = bench->bytes / SEGMENT + 1;
    int64_t *latencies = allocate(sizeof *latencies * batches * segments), took = 0;
    rill *store = open_store(bench);
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];

    records_fill(records, BATCH, value_size);
    fill_segment(producer, records, batches);
    for (uint64_t i = 0; i < segments; i++) {
        int64_t start;

        if (rill_maintain(store, NULL) != 0) die_rill("maintain");
        start = now_ns();
        fill_segment(producer, records, batches);
        took += now_ns() - start;
    }
    for (uint64_t i = 0; i < segments; i++) {
        if (rill_maintain(store, NULL) != 0) die_rill("maintain");
        append_timed(producer, records, batches, latencies + i * batches);
    }
    figure(workload, "rill", (double)(segments * batches * BATCH) * 1e9 / (double)took,
           "records/s", NO);
    figure_latencies(workload, "rill", latencies, segments * batches, NO);
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
