/*
 * compact.c - how fast a partition is compacted.
 *
 * Records of 100 bytes whose keys come ten times each, spread over the log, so that
 * nine in ten go. MB are those of the batches that are read. What is written is synced,
 * as are the marks and the directory; that is in the time.
 */
#include "bench.h"

#include <string.h>

#define VALUE 100
#define TIMES 10
#define COMPACTED "compaction 100 B, keys ten times each"

static void fill(rill *store, uint64_t count)
{
    static char value[VALUE];
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];
    uint64_t keys[BATCH];

    for (uint64_t done = 0; done < count; done += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++) {
            records[i] = (rill_record)RILL_RECORD_INIT;
            keys[i] = (done + i) % (count / TIMES);
            records[i].key = (rill_bytes){&keys[i], sizeof keys[i]};
            records[i].value = (rill_bytes){value, VALUE};
            records[i].partition = 0;
        }
        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
    }
    producer_close(producer);
}

void bench_compact(const struct bench *bench)
{
    const rill_topic_options options = {.size = sizeof options,
                                        .cleanup_policy = RILL_CLEANUP_COMPACT};
    rill_compact_report report = {.size = sizeof report};
    rill *store = store_open(bench, "store", true);
    uint64_t count = bench->bytes / (VALUE + 32) / (BATCH * TIMES) * (BATCH * TIMES);
    int64_t start;
    double seconds;

    if (rill_topic_alter(store, TOPIC, RILL_TOPIC_CLEANUP_POLICY, &options) != 0)
        die_rill("alter the topic");
    fill(store, count);
    if (rill_sync(store, 60000) != 0) die_rill("sync");
    start = now_ns();
    if (rill_partition_compact(store, TOPIC, 0, &report) != 0) die_rill("compact");
    seconds = (double)(now_ns() - start) / 1e9;
    figure(COMPACTED, "rill", (double)report.bytes_before / 1e6 / seconds, "MB/s", EACH);
    figure("what is left of the bytes", "rill",
           (double)report.bytes_after * 100 / (double)report.bytes_before, "%", EACH);
    store_close(store);
    store_remove(bench, "store");
}
