/*
 * lookup.c - single records at random places of a log in memory.
 *
 * The log holds many records of 100 bytes in batches of 100, one millisecond apart. A
 * read by offset verifies the checksum of the batch that the record is in. Beside it, a
 * copy and an XXH3 of a batch's 11 KB at a random place of a mapped file. Then the same
 * for rill and its peers with fewer records, since some take long to fill.
 */
#include "peers/peers.h"

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

static void limit(const struct bench *bench, uint64_t count)
{
    enum { LOOKUPS = 100000 };
    static volatile uint64_t seen;
    char batch[BATCH * (KEY_SIZE + VALUE)];
    size_t size = (count * (KEY_SIZE + VALUE) + 65535) / 65536 * 65536;
    char *map = file_map(bench, "limit", size, true);
    uint64_t random = 88172645463325252u, sum = 0;
    int64_t start = now_ns();

    for (int i = 0; i < LOOKUPS; i++) {
        memcpy(batch, map + next_random(&random) % (size - sizeof batch), sizeof batch);
        sum += checksum(batch, sizeof batch);
    }
    figure(name("lookup by offset, %d records", (int)count), "memcpy+XXH3 of a batch",
           (double)(now_ns() - start) / LOOKUPS, "ns/lookup", NO);
    seen = sum;
    (void)seen;
    file_unmap(bench, "limit", map, size);
}

/* One look at the clock in so many lookups. */
enum { AT_ONCE = 100 };

static void by_offset(const struct bench *bench, rill_consumer *consumer, uint64_t count,
                      const char *system)
{
    uint64_t random = 88172645463325252u, done = 0;
    int64_t start = now_ns(), took;

    do {
        for (int i = 0; i < AT_ONCE; i++) {
            rill_offset offset = (rill_offset)(next_random(&random) % count);
            rill_record record;
            size_t n;

            if (rill_consumer_seek(consumer, TOPIC, 0, offset) != 0) die_rill("seek");
            if (rill_consumer_poll(consumer, 1000, &record, 1, &n) != 0) die_rill("poll");
            if (n != 1 || record.offset != offset) die("a lookup found another record");
        }
        done += AT_ONCE;
        took = now_ns() - start;
    } while (took < bench->timed_ns);
    figure(name("lookup by offset, %d records", (int)count), system, (double)took / (double)done,
           "ns/lookup", NO);
}

static void by_time(const struct bench *bench, rill *store, uint64_t count)
{
    uint64_t random = 88172645463325252u, done = 0;
    int64_t start = now_ns(), took;

    do {
        for (int i = 0; i < AT_ONCE; i++) {
            rill_offset wanted = (rill_offset)(next_random(&random) % count), found;

            if (rill_partition_offset_for_time(store, TOPIC, 0, BASE_MS + wanted, &found) != 0)
                die_rill("offset for time");
            if (found != wanted) die("a lookup by time found another offset");
        }
        done += AT_ONCE;
        took = now_ns() - start;
    } while (took < bench->timed_ns);
    figure(name("lookup by time, %d records", (int)count), "rill partition_offset_for_time()",
           (double)took / (double)done, "ns/lookup", NO);
}

static void alone(const struct bench *bench, uint64_t count)
{
    rill_consumer_options unverified = {.size = sizeof unverified,
                                        .flags = RILL_CONSUMER_NO_CHECKSUMS};
    rill *store = store_open(bench, "store", true);
    rill_consumer *consumer;

    limit(bench, count);
    fill(store, count);
    consumer = consumer_at_start(store, NULL);
    by_offset(bench, consumer, count, "rill seek() and poll(), verified");
    rill_consumer_close(consumer, 1000);
    consumer = consumer_at_start(store, &unverified);
    by_offset(bench, consumer, count, "rill seek() and poll(), not verified");
    rill_consumer_close(consumer, 1000);
    by_time(bench, store, count);
    store_close(store);
    store_remove(bench, "store");
}

/* As many lookups as there is time for: some peers take a round trip for each. */
static void everybody(const struct bench *bench, const struct peer *peer, uint64_t count)
{
    void *log = peer->open(bench, false);
    void *writer = peer->writer_open(log), *reader;
    uint64_t random = 88172645463325252u;
    struct sink sink = {0};
    rill_record records[BATCH];
    int64_t start;

    records_fill(records, BATCH, VALUE);
    for (uint64_t i = 0; i < count; i += BATCH) peer->append(writer, records, BATCH);
    reader = peer->reader_open(log, false);
    start = now_ns();
    do
        for (int i = 0; i < AT_ONCE; i++)
            peer->lookup(reader, next_random(&random) % count, &sink);
    while (now_ns() - start < bench->timed_ns);
    figure(name("lookup by offset, %d records", (int)count), peer->name,
           (double)(now_ns() - start) / (double)sink.count, "ns/lookup", NO);
    peer->reader_close(reader);
    peer->writer_close(writer);
    peer->close(log);
}

void bench_lookup(const struct bench *bench)
{
    const struct peer *peer;

    alone(bench, bench->quick ? 100000 : 10000000);
    for (int i = 0; (peer = peer_at(i)) != NULL; i++)
        if (peer->lookup != NULL) everybody(bench, peer, bench->quick ? 50000 : 500000);
}
