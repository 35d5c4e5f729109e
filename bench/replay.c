/*
 * replay.c - one consumer reads a whole log from its start, in memory.
 *
 * It looks at the key and the first bytes of each value, as most readers at least
 * do. Beside it, over the same number of bytes in a mapped file: an XXH3 per
 * hundred records, and one load per record.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define POLL_MAX 1000

static volatile uint64_t sink;

static void report(size_t value_size, const char *system, uint64_t count, int64_t ns)
{
    const char *workload = name("replay %zu B", value_size);

    figure(workload, system, (double)ns / (double)count, "ns/record", NO);
    figure(workload, system, (double)(count * (KEY_SIZE + value_size)) * 1e3 / (double)ns, "MB/s",
           NO);
}

static uint64_t word_at(const void *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return word;
}

static void limits(const struct bench *bench, size_t value_size, uint64_t count)
{
    size_t size = KEY_SIZE + value_size, map_size = count * size;
    char *map = file_map(bench, "limit", (map_size + 65535) / 65536 * 65536, true);
    uint64_t sum = 0;
    int64_t start = now_ns();

    for (uint64_t i = 0; i + BATCH <= count; i += BATCH)
        sum += checksum(map + i * size, BATCH * size);
    report(value_size, "XXH3 per 100 records", count, now_ns() - start);

    start = now_ns();
    for (uint64_t i = 0; i < count; i++)
        sum += word_at(map + i * size) + word_at(map + i * size + 8);
    report(value_size, "loads of key and value", count, now_ns() - start);
    sink = sum;
    file_unmap(bench, "limit", map, (map_size + 65535) / 65536 * 65536);
}

static void replay(rill *store, size_t value_size, uint64_t count, uint32_t flags)
{
    rill_consumer_options options = {.size = sizeof options, .flags = flags};
    rill_consumer *consumer = consumer_at_start(store, &options);
    static rill_record records[POLL_MAX];
    uint64_t sum = 0, read = 0;
    int64_t start = now_ns();

    while (read < count) {
        size_t n;

        if (rill_consumer_poll(consumer, 1000, records, POLL_MAX, &n) != 0) die_rill("poll");
        if (n == 0) die("records are missing");
        for (size_t i = 0; i < n; i++)
            sum += word_at(records[i].key.data) + word_at(records[i].value.data);
        read += n;
    }
    report(value_size, flags == 0 ? "rill poll(), verified" : "rill poll(), not verified", count,
           now_ns() - start);
    sink = sum;
    if (rill_consumer_close(consumer, 1000) != 0) die_rill("close a consumer");
}

void bench_replay(const struct bench *bench)
{
    const size_t sizes[] = {100, 1000};

    for (int s = 0; s < 2; s++) {
        uint64_t count = bench->bytes / (KEY_SIZE + sizes[s]) / BATCH * BATCH;
        rill *store;

        limits(bench, sizes[s], count);
        store = store_open(bench, "store", true);
        log_fill(store, count, sizes[s]);
        replay(store, sizes[s], count, 0);
        replay(store, sizes[s], count, RILL_CONSUMER_NO_CHECKSUMS);
        store_close(store);
        store_remove(bench, "store");
    }
}
