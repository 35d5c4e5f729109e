/*
 * append.c - one thread appends small and large records as fast as it can.
 *
 * Beside it, what a log cannot go below: each record is copied into a mapped file
 * and checksummed there (or only copied). The file is either hot (its pages are in
 * memory and mapped), or fresh: then the kernel has to provide every page, as it
 * has for a log that grows. rill and its peers append one record per call, and
 * batches; whoever is slow does not get through all, but as far as his time goes.
 */
#include "peers/peers.h"

#include <string.h>

#define FILE_BYTES (UINT64_C(64) << 20)

static void report(const char *workload, const char *system, uint64_t count, int64_t ns,
                   const char *synced)
{
    figure(workload, system, (double)count * 1e9 / (double)ns, "records/s", synced);
}

/* ---- The limit -------------------------------------------------------- */

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
    report(name("append %zu B", value_size),
           !sum  ? "memcpy, hot file"
           : hot ? "memcpy+XXH3, hot file"
                 : "memcpy+XXH3, fresh file",
           count, now_ns() - start, NO);
    file_unmap(bench, "limit", map, map_size);
}

/* ---- Batched by rill -------------------------------------------------- */

static void send_all(rill_producer *producer, const rill_record *records, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (rill_producer_send(producer, &records[i % BATCH], NULL, 10000) != 0) die_rill("send");
    if (rill_producer_flush(producer, 60000) != 0) die_rill("flush");
}

static void reserve_all(rill_producer *producer, const rill_record *records, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const rill_record *record = &records[i % BATCH];
        rill_reservation room;

        if (rill_producer_reserve(producer, record, 10000, &room) != 0) die_rill("reserve");
        memcpy(room.value, record->value.data, record->value.size);
        if (rill_producer_commit(producer, NULL) != 0) die_rill("commit");
    }
}

static void one_by_one(const struct bench *bench, size_t value_size, const char *system,
                       void (*all)(rill_producer *, const rill_record *, uint64_t))
{
    uint64_t count = bench->bytes / (KEY_SIZE + value_size) / BATCH * BATCH;
    rill *store = store_open(bench, "store", true);
    rill_producer *producer;
    rill_record records[BATCH];
    rill_partition_info info;
    int64_t start;

    log_fill(store, 10 * BATCH, value_size); /* the first segment is there */
    producer = producer_open(store, RILL_ACKS_WRITTEN);
    records_fill(records, BATCH, value_size);
    start = now_ns();
    all(producer, records, count);
    report(name("append %zu B", value_size), system, count, now_ns() - start, BACKGROUND);
    if (rill_partition_describe(store, TOPIC, 0, &info) != 0) die_rill("describe");
    if (info.log_end != (rill_offset)(count + 10 * BATCH)) die("appended records are missing");
    producer_close(producer);
    store_close(store);
    store_remove(bench, "store");
}

/* ---- By batches, everybody -------------------------------------------- */

static void by_batches(const struct bench *bench, const struct peer *peer, size_t value_size,
                       size_t batch)
{
    const char *workload = batch == 1 ? name("append %zu B, 1 per call", value_size)
                                      : name("append %zu B, batches of %zu", value_size, batch);
    uint64_t most = bench->bytes / (KEY_SIZE + value_size), done = 0;
    void *log = peer->open(bench, false);
    void *writer = peer->writer_open(log);
    rill_record records[RECORDS_MAX];
    int64_t start, took;

    records_fill(records, RECORDS_MAX, value_size);
    peer->append(writer, records, RECORDS_MAX);
    start = now_ns();
    do { /* a look at the clock is dearer than an append can be */
        for (size_t i = 0; i < RECORDS_MAX; i += batch) peer->append(writer, records + i, batch);
        done += RECORDS_MAX;
        took = now_ns() - start;
    } while (done < most && took < bench->timed_ns);
    report(workload, peer->name, done, took, BACKGROUND);
    peer->writer_close(writer);
    peer->close(log);
}

void bench_append(const struct bench *bench)
{
    static const size_t batches[] = {1, 10, 100, 1000};

    for (size_t value_size = 100; value_size <= 1000; value_size *= 10) {
        limit(bench, value_size, false, true);
        limit(bench, value_size, true, true);
        limit(bench, value_size, true, false);
        one_by_one(bench, value_size, "rill send()", send_all);
        one_by_one(bench, value_size, "rill reserve() and commit()", reserve_all);
        for (int b = 0; b < 4; b++) {
            const struct peer *peer;

            if (bench->quick && b % 2 != 0) continue;
            for (int i = 0; (peer = peer_at(i)) != NULL; i++)
                if (peer->can & PEER_STORES) by_batches(bench, peer, value_size, batches[b]);
        }
    }
}
