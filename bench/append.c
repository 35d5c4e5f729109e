/*
 * append.c - one thread appends small and large records as fast as it can.
 *
 * Beside it, what a log cannot go below: each record is copied into a mapped file
 * and checksummed there (or only copied). The file is either hot (its pages are in
 * memory and mapped), or fresh: then the kernel has to provide every page, as it
 * has for a log that grows.
 */
#include "bench.h"

#include <string.h>

#define FILE_BYTES (UINT64_C(64) << 20)

static void report(size_t value_size, const char *system, uint64_t count, int64_t ns,
                   const char *synced)
{
    const char *workload = name("append %zu B", value_size);

    figure(workload, system, (double)ns / (double)count, "ns/record", synced);
    figure(workload, system, (double)(count * (KEY_SIZE + value_size)) * 1e3 / (double)ns, "MB/s",
           synced);
}

static void limit(const struct bench *bench, size_t value_size, bool sum, bool hot)
{
    static volatile uint64_t sink;
    size_t size = KEY_SIZE + value_size, slot = (size + sizeof(uint64_t) + 7) / 8 * 8;
    uint64_t count = bench->bytes / size;
    size_t map_size = hot ? FILE_BYTES : (count * slot + 4095) / 4096 * 4096;
    char *map = file_map(bench, "limit", map_size, hot);
    rill_record records[BATCH];
    int64_t start;
    size_t at = 0;

    records_fill(records, BATCH, value_size);
    start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        if (at + slot > map_size) at = 0;
        memcpy(map + at, records[i % BATCH].key.data, size); /* the value follows its key */
        if (sum) {
            uint64_t h = checksum(map + at, size);
            memcpy(map + at + size, &h, sizeof h);
        }
        at += slot;
    }
    sink = (uint64_t)map[at - slot];
    (void)sink;
    report(value_size,
           !sum  ? "memcpy, hot file"
           : hot ? "memcpy+XXH3, hot file"
                 : "memcpy+XXH3, fresh file",
           count, now_ns() - start, NO);
    file_unmap(bench, "limit", map, map_size);
}

static void append(rill_producer *producer, const rill_record *records, uint64_t count,
                   size_t batch)
{
    for (uint64_t i = 0; i < count; i += batch)
        if (rill_producer_append(producer, records + i % BATCH, batch, 10000, NULL) != 0)
            die_rill("append");
}

static void send_all(rill_producer *producer, const rill_record *records, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (rill_producer_send(producer, &records[i % BATCH], NULL, 10000) != 0) die_rill("send");
    if (rill_producer_flush(producer, 60000) != 0) die_rill("flush");
}

static void reserve(rill_producer *producer, const rill_record *records, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const rill_record *record = &records[i % BATCH];
        rill_reservation room;

        if (rill_producer_reserve(producer, record, 10000, &room) != 0) die_rill("reserve");
        memcpy(room.value, record->value.data, record->value.size);
        if (rill_producer_commit(producer, NULL) != 0) die_rill("commit");
    }
}

enum way { ONE, MANY, SEND, RESERVE };

static void appends(const struct bench *bench, size_t value_size, enum way way)
{
    static const char *const names[] = {"rill append(), 1 per call",
                                        "rill append(), 100 per call", "rill send()",
                                        "rill reserve() and commit()"};
    uint64_t count = bench->bytes / (KEY_SIZE + value_size) / BATCH * BATCH;
    rill *store = store_open(bench, "store", true);
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];
    rill_partition_info info;
    int64_t start;

    records_fill(records, BATCH, value_size);
    append(producer, records, 10 * BATCH, BATCH); /* the first segment is there */
    start = now_ns();
    switch (way) {
    case ONE: append(producer, records, count, 1); break;
    case MANY: append(producer, records, count, BATCH); break;
    case SEND: send_all(producer, records, count); break;
    case RESERVE: reserve(producer, records, count); break;
    }
    report(value_size, names[way], count, now_ns() - start, BACKGROUND);
    if (rill_partition_describe(store, TOPIC, 0, &info) != 0) die_rill("describe");
    if (info.log_end != (rill_offset)(count + 10 * BATCH)) die("appended records are missing");
    producer_close(producer);
    store_close(store);
    store_remove(bench, "store");
}

void bench_append(const struct bench *bench)
{
    const size_t sizes[] = {100, 1000};

    for (int s = 0; s < 2; s++) {
        limit(bench, sizes[s], false, true);
        limit(bench, sizes[s], true, true);
        limit(bench, sizes[s], true, false);
        for (int way = ONE; way <= RESERVE; way++) appends(bench, sizes[s], (enum way)way);
    }
}
