/*
 * recycle.c - what a log costs that throws away at one end what it gets at the other.
 *
 * Records of 1000 bytes go through segments of 16 MiB, of which retention keeps two
 * and the active one; maintenance is called once per MiB, as a thread would. Beside
 * it the same while a consumer stands in the first segment: then no file is used again,
 * each next one is allocated and filled with zeros. The syncs of retention, one per
 * segment, are in both; the part of it that is maintenance is told too.
 */
#include "bench.h"

#include <string.h>

#define SEGMENT (16 << 20)
#define VALUE 1000
#define APPEND "append 1000 B through rolls, with retention"
#define MAINTAIN "maintenance of it, per segment"

static rill *open_store(const char *dir)
{
    const rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .retention_check_interval_ms = 1};
    const rill_topic_options topic = {
        .size = sizeof topic, .segment_bytes = SEGMENT, .retention_bytes = 2 * SEGMENT};
    rill *store;

    if (rill_open(dir, &options, &store) != 0) die_rill("open");
    if (rill_topic_create(store, TOPIC, &topic) != 0) die_rill("create");
    return store;
}

/* Stands in the first segment, and so pins it. */
static rill_consumer *stand_at_start(rill *store)
{
    rill_position first = {.topic = TOPIC};
    rill_consumer *consumer;
    rill_record record;
    size_t count;

    if (rill_consumer_open(store, NULL, &consumer) != 0 ||
        rill_consumer_assign(consumer, &first, 1) != 0 ||
        rill_consumer_poll(consumer, 10000, &record, 1, &count) != 0 || count != 1)
        die_rill("consume");
    return consumer;
}

static void measure(const struct bench *bench, const char *system, bool recycle)
{
    const char *dir = name("%s/recycle", bench->dir);
    rill *store = open_store(dir);
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_consumer *consumer = NULL;
    rill_record records[BATCH];
    uint64_t count = bench->bytes / VALUE / BATCH * BATCH;
    uint64_t rounds = (uint64_t)(1 << 20) / (VALUE * BATCH);
    int64_t maintained = 0;
    int64_t start = 0;

    records_fill(records, BATCH, VALUE);
    /* From the fourth segment on it goes round. */
    for (uint64_t done = 0, i = 0; done < count + 4 * SEGMENT / VALUE; done += BATCH, i++) {
        if (start == 0 && done >= 4 * SEGMENT / VALUE) start = now_ns();
        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
        if (consumer == NULL && !recycle) consumer = stand_at_start(store);
        if (i % rounds == 0) {
            int64_t before = now_ns();
            if (rill_maintain(store, NULL) != 0) die_rill("maintain");
            if (start != 0) maintained += now_ns() - before;
        }
    }
    figure(APPEND, system, (double)(now_ns() - start) / (double)count, "ns/record", BACKGROUND);
    figure(MAINTAIN, system, (double)maintained / 1e6 / ((double)count * VALUE / (double)SEGMENT),
           "ms", EACH);
    if (consumer != NULL) rill_consumer_close(consumer, 0);
    producer_close(producer);
    store_close(store);
    store_remove(bench, "recycle");
}

void bench_recycle(const struct bench *bench)
{
    measure(bench, "rill", true);
    measure(bench, "fresh segments", false);
}
