/*
 * tuning.c - what the settings that an application may choose cost, and what they buy.
 *
 * One setting at a time, all others at their defaults; records of 100 bytes. The
 * workload is the setting, the system its value:
 *
 *     batch_bytes       send() as fast as it goes
 *     linger_ms         send() at 20,000/s: how long a record takes to a reader
 *     spin_us           append() at 20,000/s: that, and the processor time of the reader
 *     segment_bytes     append() of 100 as fast as it goes, through rolls
 *     acks              send() as fast as it goes, until all is as sure as was asked for
 *     sync_interval_ms  append() of 100 as fast as it goes, and what one call takes
 */
#include "peers/peers.h"

#include <stdlib.h>
#include <sys/resource.h>

enum { VALUE = 100, RATE = 20000, POLL_MAX = 1000 };

/* ---- Stores ------------------------------------------------------------- */

static rill *open_store(const struct bench *bench, uint64_t segment_bytes,
                        uint32_t sync_interval_ms)
{
    const rill_options options = {.size = sizeof options,
                                  .flags = RILL_OPEN_CREATE | RILL_OPEN_THREAD,
                                  .sync_interval_ms = sync_interval_ms};
    const rill_topic_options topic = {.size = sizeof topic, .segment_bytes = segment_bytes};
    rill *store;

    if (rill_open(name("%s/store", bench->dir), &options, &store) != 0) die_rill("open");
    if (rill_topic_create(store, TOPIC, &topic) != 0) die_rill("create");
    log_fill(store, BATCH, VALUE); /* the first segment is there */
    return store;
}

static void remove_store(const struct bench *bench, rill *store)
{
    store_close(store);
    store_remove(bench, "store");
}

static rill_producer *open_producer(rill *store, rill_producer_options options)
{
    rill_producer *producer;

    options.size = sizeof options;
    options.topic = TOPIC;
    if (rill_producer_open(store, &options, &producer) != 0) die_rill("open a producer");
    return producer;
}

static void report_rate(const char *setting, const char *value, uint64_t count, int64_t start,
                        const char *synced)
{
    figure(setting, value, (double)count * 1e9 / (double)(now_ns() - start), "records/s", synced);
}

/* ---- As fast as it goes ------------------------------------------------- */

static void send_all(const struct bench *bench, const char *setting, const char *value,
                     rill_producer_options options)
{
    uint64_t most = bench->bytes / (KEY_SIZE + VALUE), done = 0;
    rill *store = open_store(bench, 0, 0);
    rill_producer *producer = open_producer(store, options);
    rill_record records[BATCH];
    int64_t start = now_ns();

    records_fill(records, BATCH, VALUE);
    do {
        for (int i = 0; i < BATCH; i++)
            if (rill_producer_send(producer, &records[i], NULL, 10000) != 0) die_rill("send");
        done += BATCH;
    } while (done < most && now_ns() - start < bench->timed_ns);
    if (rill_producer_flush(producer, 60000) != 0) die_rill("flush");
    report_rate(setting, value, done, start,
                options.acks == RILL_ACKS_DURABLE ? EACH : BACKGROUND);
    producer_close(producer);
    remove_store(bench, store);
}

static void append_all(const struct bench *bench, const char *setting, const char *value,
                       uint64_t segment_bytes, uint32_t sync_interval_ms)
{
    uint64_t batches = bench->bytes / (KEY_SIZE + VALUE) / BATCH;
    int64_t *latencies = allocate(batches * sizeof *latencies), start;
    rill *store = open_store(bench, segment_bytes, sync_interval_ms);
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];

    records_fill(records, BATCH, VALUE);
    start = now_ns();
    append_timed(producer, records, batches, latencies);
    report_rate(setting, value, batches * BATCH, start, BACKGROUND);
    figure_latencies(setting, value, latencies, batches, BACKGROUND);
    producer_close(producer);
    remove_store(bench, store);
    free(latencies);
}

/* ---- At a pace ---------------------------------------------------------- */

struct pacing {
    rill_producer *producer;
    size_t count;
    bool batched; /* by send() */
};

static void put(void *arg, char *value)
{
    struct pacing *p = arg;
    rill_record record = record_at(value, VALUE);
    int rc = p->batched ? rill_producer_send(p->producer, &record, NULL, 10000)
                        : rill_producer_append(p->producer, &record, 1, 10000, NULL);

    if (rc != 0) die_rill("append");
}

static void produce(void *arg)
{
    struct pacing *p = arg;

    pace(p->count, 1000000000 / RATE, put, p);
}

static int64_t cpu_ns(void)
{
    struct rusage use;

    if (getrusage(RUSAGE_THREAD, &use) != 0) die_os("getrusage");
    return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * INT64_C(1000000000) +
           (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * INT64_C(1000);
}

static void read_paced(rill_consumer *consumer, struct sink *sink)
{
    static rill_record records[POLL_MAX];

    while (sink->count < sink->wanted) {
        size_t n;

        if (rill_consumer_poll(consumer, 10000, records, POLL_MAX, &n) != 0) die_rill("poll");
        for (size_t i = 0; i < n; i++) {
            if (records[i].offset < BATCH) continue; /* of open_store() */
            sink_take(sink, records[i].value.data, records[i].value.size);
        }
    }
}

static void paced(const struct bench *bench, const char *setting, const char *value,
                  uint32_t linger_ms, uint32_t spin_us, bool batched)
{
    const rill_producer_options producing = {.linger_ms = linger_ms};
    const rill_consumer_options consuming = {.size = sizeof consuming, .spin_us = spin_us};
    size_t count = (size_t)(bench->timed_ns / (1000000000 / RATE));
    struct sink sink = {.latencies = allocate(count * sizeof(int64_t)), .wanted = count};
    rill *store = open_store(bench, 0, 0);
    struct pacing p = {open_producer(store, producing), count, batched};
    rill_consumer *consumer = consumer_at_start(store, &consuming);
    struct worker *worker = worker_start(false, produce, &p);
    int64_t start = now_ns(), used = cpu_ns();

    read_paced(consumer, &sink);
    figure(setting, value, (double)(cpu_ns() - used) * 100 / (double)(now_ns() - start),
           "% of a CPU to read", BACKGROUND);
    figure_latencies(setting, value, sink.latencies, count, BACKGROUND);
    worker_join(worker);
    if (rill_consumer_close(consumer, 1000) != 0) die_rill("close a consumer");
    producer_close(p.producer);
    remove_store(bench, store);
    free(sink.latencies);
}

/* ---- The settings ------------------------------------------------------- */

static void batches_and_acks(const struct bench *bench)
{
    static const uint32_t kib[] = {1, 4, 16, 64, 256};
    static const struct {
        int32_t acks;
        const char *name;
    } acks[] = {
        {RILL_ACKS_NONE, "none"}, {RILL_ACKS_WRITTEN, "written"}, {RILL_ACKS_DURABLE, "durable"}};

    for (int i = 0; i < 5; i++)
        send_all(bench, "tuning, batch_bytes", name("%u KiB", kib[i]),
                 (rill_producer_options){.batch_bytes = kib[i] << 10});
    for (int i = 0; i < 3; i++)
        send_all(bench, "tuning, acks", acks[i].name,
                 (rill_producer_options){.acks = acks[i].acks});
}

static void waiting(const struct bench *bench)
{
    static const uint32_t linger[] = {1, 5, 20}, spin[] = {0, 10, 50, 200};

    for (int i = 0; i < 3; i++)
        paced(bench, "tuning, linger_ms", name("%u ms", linger[i]), linger[i], 0, true);
    for (int i = 0; i < 4; i++)
        paced(bench, "tuning, spin_us", name("%u us", spin[i]), 0, spin[i], false);
}

static void segments_and_syncs(const struct bench *bench)
{
    static const uint32_t mib[] = {4, 16, 64, 256}, sync_ms[] = {10, 100, 1000};

    for (int i = 0; i < 4; i++)
        append_all(bench, "tuning, segment_bytes", name("%u MiB", mib[i]), (uint64_t)mib[i] << 20,
                   0);
    for (int i = 0; i < 3; i++)
        append_all(bench, "tuning, sync_interval_ms", name("%u ms", sync_ms[i]), 0, sync_ms[i]);
}

void bench_tuning(const struct bench *bench)
{
    batches_and_acks(bench);
    waiting(bench);
    segments_and_syncs(bench);
}
