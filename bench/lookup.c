/*
 * lookup.c - single records at random places of a log in memory.
 *
 * The log holds a million records of 100 bytes in batches of 100, one millisecond
 * apart. A read by offset verifies the checksum of the batch that the record is in.
 * Beside it, a copy and an XXH3 of a batch's 11 KB at a random place of a mapped file.
 */
#include "bench.h"

#include <string.h>

#define VALUE 100
#define BASE_MS INT64_C(1700000000000)

static void fill(rill *store, uint64_t count)
{
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];

    records_fill(records, BATCH, VALUE);
    for (uint64_t i = 0; i < count; i += BATCH) {
        for (uint64_t k = 0; k < BATCH; k++) records[k].timestamp_ms = BASE_MS + (int64_t)(i + k);
        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
    }
    producer_close(producer);
}

static void limit(const struct bench *bench, uint64_t count, uint64_t lookups)
{
    static volatile uint64_t sink;
    char batch[BATCH * (KEY_SIZE + VALUE)];
    size_t size = (count * (KEY_SIZE + VALUE) + 65535) / 65536 * 65536;
    char *map = file_map(bench, "limit", size, true);
    uint64_t random = 88172645463325252u, sum = 0;
    int64_t start = now_ns();

    for (uint64_t i = 0; i < lookups; i++) {
        memcpy(batch, map + next_random(&random) % (size - sizeof batch), sizeof batch);
        sum += checksum(batch, sizeof batch);
    }
    figure("lookup by offset", "memcpy+XXH3 of a batch",
           (double)(now_ns() - start) / (double)lookups, "ns/lookup", NO);
    sink = sum;
    (void)sink;
    file_unmap(bench, "limit", map, size);
}

static void by_offset(rill_consumer *consumer, uint64_t count, uint64_t lookups,
                      const char *system)
{
    uint64_t random = 88172645463325252u;
    int64_t start = now_ns();

    for (uint64_t i = 0; i < lookups; i++) {
        rill_offset offset = (rill_offset)(next_random(&random) % count);
        rill_record record;
        size_t n;

        if (rill_consumer_seek(consumer, TOPIC, 0, offset) != 0) die_rill("seek");
        if (rill_consumer_poll(consumer, 1000, &record, 1, &n) != 0) die_rill("poll");
        if (n != 1 || record.offset != offset) die("a lookup found another record");
    }
    figure("lookup by offset", system, (double)(now_ns() - start) / (double)lookups, "ns/lookup",
           NO);
}

static void by_time(rill *store, uint64_t count, uint64_t lookups)
{
    uint64_t random = 88172645463325252u;
    int64_t start = now_ns();

    for (uint64_t i = 0; i < lookups; i++) {
        rill_offset wanted = (rill_offset)(next_random(&random) % count), found;

        if (rill_partition_offset_for_time(store, TOPIC, 0, BASE_MS + wanted, &found) != 0)
            die_rill("offset for time");
        if (found != wanted) die("a lookup by time found another offset");
    }
    figure("lookup by time", "rill partition_offset_for_time()",
           (double)(now_ns() - start) / (double)lookups, "ns/lookup", NO);
}

void bench_lookup(const struct bench *bench)
{
    uint64_t count = bench->quick ? 100000 : 1000000, lookups = bench->quick ? 10000 : 200000;
    rill_consumer_options unverified = {.size = sizeof unverified,
                                        .flags = RILL_CONSUMER_NO_CHECKSUMS};
    rill *store = store_open(bench, "store", true);
    rill_consumer *consumer;

    limit(bench, count, lookups);
    fill(store, count);
    consumer = consumer_at_start(store, NULL);
    by_offset(consumer, count, lookups, "rill seek() and poll(), verified");
    rill_consumer_close(consumer, 1000);
    consumer = consumer_at_start(store, &unverified);
    by_offset(consumer, count, lookups, "rill seek() and poll(), not verified");
    rill_consumer_close(consumer, 1000);
    by_time(store, count, lookups);
    store_close(store);
    store_remove(bench, "store");
}
