/*
 * replay.c - one consumer reads a whole log from its start, in memory.
 *
 * First rill alone, with a look at the key and the first bytes of each value, as most
 * readers at least do. Beside it, over the same number of bytes in a mapped file: one
 * load per record; and records with a size each, walked by pointers, after an XXH3
 * over a hundred of them. Then rill and its peers, where each value is hashed.
 */
#include "peers/peers.h"

#include <stdlib.h>

#define POLL_MAX 1000

static volatile uint64_t seen;

static void report(const char *workload, const char *system, uint64_t count, int64_t ns)
{
    figure(workload, system, (double)count * 1e9 / (double)ns, "records/s", NO);
}

static uint64_t word_at(const void *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return word;
}

/* ---- The limits ------------------------------------------------------- */

static uint64_t load(const char *map, size_t slot, uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++)
        sum += word_at(map + i * slot + 8) + word_at(map + i * slot + 16);
    return sum;
}

/* Each record begins with its size; the next one is found by it. */
static uint64_t walk(const char *map, size_t slot, uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i += BATCH) {
        const char *end = map + slot * BATCH;

        sum += checksum(map, slot * BATCH);
        for (; map < end; map += word_at(map)) sum += word_at(map + 8) + word_at(map + 16);
    }
    return sum;
}

static void limits(const struct bench *bench, size_t value_size, uint64_t count)
{
    const char *workload = name("replay %zu B", value_size);
    size_t slot = (8 + KEY_SIZE + value_size + 7) / 8 * 8;
    size_t map_size = (count * slot + 65535) / 65536 * 65536;
    char *map = file_map(bench, "limit", map_size, true);
    int64_t start;

    for (uint64_t i = 0; i < count; i++) memcpy(map + i * slot, &slot, sizeof slot);
    start = now_ns();
    seen = load(map, slot, count);
    report(workload, "loads of key and value", count, now_ns() - start);
    start = now_ns();
    seen = walk(map, slot, count);
    report(workload, "pointer walk, XXH3 per 100 records", count, now_ns() - start);
    file_unmap(bench, "limit", map, map_size);
}

/* ---- rill alone ------------------------------------------------------- */

static void poll_all(rill *store, size_t value_size, uint64_t count, uint32_t flags)
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
    report(name("replay %zu B", value_size),
           flags == 0 ? "rill poll(), verified" : "rill poll(), not verified", count,
           now_ns() - start);
    seen = sum;
    if (rill_consumer_close(consumer, 1000) != 0) die_rill("close a consumer");
}

static void polls(const struct bench *bench, size_t value_size)
{
    uint64_t count = bench->bytes / (KEY_SIZE + value_size) / BATCH * BATCH;
    rill *store;

    limits(bench, value_size, count);
    store = store_open(bench, "store", true);
    log_fill(store, count, value_size);
    poll_all(store, value_size, count, 0);
    poll_all(store, value_size, count, RILL_CONSUMER_NO_CHECKSUMS);
    store_close(store);
    store_remove(bench, "store");
}

/* ---- Everybody -------------------------------------------------------- */

/* All there shall be, in its best batches; but the slowest peers get not so far. Less
 * would not be fair: a short log is read from the processor's cache. */
static uint64_t fill(const struct bench *bench, const struct peer *peer, void *log,
                     size_t value_size)
{
    uint64_t most = bench->bytes / (KEY_SIZE + value_size), done = 0;
    void *writer = peer->writer_open(log);
    rill_record records[RECORDS_MAX];
    int64_t start = now_ns();

    records_fill(records, RECORDS_MAX, value_size);
    while (done < most && now_ns() - start < 5 * bench->timed_ns) {
        peer->append(writer, records, RECORDS_MAX);
        done += RECORDS_MAX;
    }
    peer->writer_close(writer);
    return done;
}

static void replay(const struct bench *bench, const struct peer *peer, size_t value_size)
{
    void *log = peer->open(bench, false), *reader;
    uint64_t count = fill(bench, peer, log, value_size);
    struct sink sink = {0};
    int64_t start;

    start = now_ns();
    reader = peer->reader_open(log, false);
    while (sink.count < count) peer->read(reader, &sink);
    report(name("replay %zu B, each value hashed", value_size), peer->name, sink.count,
           now_ns() - start);
    seen = sink.sum;
    peer->reader_close(reader);
    peer->close(log);
}

void bench_replay(const struct bench *bench)
{
    for (size_t value_size = 100; value_size <= 1000; value_size *= 10) {
        const struct peer *peer;

        polls(bench, value_size);
        for (int i = 0; (peer = peer_at(i)) != NULL; i++)
            if (peer->can & PEER_STORES) replay(bench, peer, value_size);
    }
}
