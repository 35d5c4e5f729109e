/*
 * exactly.c - what exactly once costs: transactions, sequences, and reading what is
 * committed.
 *
 * A transaction of 1 record, and one of 100 records over 4 partitions, with and without
 * a put of state per record; beside them the durable append of one record, which is
 * what a commit cannot be faster than. Then appends in batches with the producer's id
 * and sequence in them, looked at or not, and without; and a replay by a reader
 * of what is committed against one of all that is written.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLES 20000
#define PARTS 4
#define WIDE "wide"

static int64_t latencies[SAMPLES];

/* ---- Transactions ----------------------------------------------------- */

static void one_transaction(rill_producer *producer, rill_space *space,
                            const rill_record *records, size_t count, uint64_t number)
{
    rill_txn *txn;

    if (rill_txn_begin(producer, &txn) != 0) die_rill("begin");
    for (size_t i = 0; i < count; i++) {
        rill_record record = records[i];
        record.topic = WIDE;
        record.partition = (int32_t)(count == 1 ? 0 : i % PARTS);
        if (rill_producer_send(producer, &record, NULL, 10000) != 0) die_rill("send");
        if (space != NULL) {
            uint64_t key = (number * 100 + i) % 10000;
            if (rill_txn_put(txn, space, (rill_bytes){&key, sizeof key},
                             (rill_bytes){&number, sizeof number}) != 0)
                die_rill("put");
        }
    }
    if (rill_txn_commit(txn, 10000) != 0) die_rill("commit");
}

static void transactions(const struct bench *bench, rill *store, size_t records, bool state,
                         int32_t acks)
{
    rill_producer_options options = {
        .size = sizeof options, .acks = acks, .transactional_id = "bench"};
    rill_record batch[BATCH];
    rill_producer *producer;
    rill_space *space = NULL;
    const char *system =
        name("rill, %zu record%s%s, acks %s", records, records == 1 ? "" : "s over 4 partitions",
             state ? " and as many puts" : "", acks == RILL_ACKS_DURABLE ? "durable" : "written");
    int64_t start, now;
    size_t count = 0;

    records_fill(batch, records, 100);
    if (rill_producer_open(store, &options, &producer) != 0) die_rill("producer");
    if (state && rill_space_open(store, "state", RILL_SPACE_CREATE, &space) != 0)
        die_rill("space");
    one_transaction(producer, space, batch, records, 0); /* opens what it needs */
    start = now = now_ns();
    while (count < SAMPLES && now - start < bench->timed_ns / 4) {
        int64_t before = now;
        one_transaction(producer, space, batch, records, count);
        now = now_ns();
        latencies[count++] = now - before;
    }
    figure("transaction", system, (double)count * 1e9 / (double)(now - start), "transactions/s",
           EACH);
    figure_latencies("transaction", system, latencies, count, EACH);
    if (rill_producer_close(producer, 10000) != 0) die_rill("close a producer");
    rill_space_close(space);
}

static void durable_append(const struct bench *bench, rill *store)
{
    rill_producer *producer = producer_open(store, RILL_ACKS_DURABLE);
    rill_record record;
    int64_t start, now;
    size_t count = 0;

    records_fill(&record, 1, 100);
    start = now = now_ns();
    while (now - start < bench->timed_ns / 4) {
        if (rill_producer_append(producer, &record, 1, 10000, NULL) != 0) die_rill("append");
        now = now_ns();
        count++;
    }
    figure("transaction", "rill, durable append of 1 record",
           (double)count * 1e9 / (double)(now - start), "appends/s", EACH);
    producer_close(producer);
}

/* ---- Sequences -------------------------------------------------------- */

/* ns per record. */
static double appends(const struct bench *bench, rill *store,
                      const rill_producer_options *options)
{
    int64_t took;
    rill_producer *producer;
    rill_record records[BATCH];
    uint64_t count = bench->bytes / 100 / 8 / BATCH;
    int64_t start;

    records_fill(records, BATCH, 100);
    if (rill_producer_open(store, options, &producer) != 0) die_rill("producer");
    start = now_ns();
    for (uint64_t i = 0; i < count; i++)
        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
    took = now_ns() - start;
    producer_close(producer);
    return (double)took / (double)(count * BATCH);
}

/* The best of some rounds in turn: what one does to the machine befalls the others, too. */
static void sequences(const struct bench *bench, rill *store)
{
    static const char *const systems[] = {"rill, idempotence off", "rill, idempotence on",
                                          "rill, with a producer_name"};
    double best[3] = {1e9, 1e9, 1e9};

    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            rill_producer_options options = {.size = sizeof options, .topic = TOPIC};
            double took;
            if (i == 0) options.flags = RILL_PRODUCER_NO_IDEMPOTENCE;
            if (i == 2) options.producer_name = "bench-sequences";
            took = appends(bench, store, &options);
            if (took < best[i]) best[i] = took;
        }
    }
    for (int i = 0; i < 3; i++)
        figure("append, 100 B, 100 per call", systems[i], best[i], "ns/record", BACKGROUND);
}

/* ---- Reading ---------------------------------------------------------- */

/* ns per record. */
static double replay(rill *store, int isolation)
{
    rill_consumer_options options = {.size = sizeof options, .isolation = isolation};
    rill_consumer *consumer = consumer_at_start(store, &options);
    rill_record got[256];
    uint64_t all = 0;
    int64_t start = now_ns();
    int64_t took;
    size_t count;

    do {
        if (rill_consumer_poll(consumer, 0, got, 256, &count) != 0) die_rill("poll");
        all += count;
    } while (count > 0);
    took = now_ns() - start;
    if (rill_consumer_close(consumer, 0) != 0) die_rill("close a consumer");
    return (double)took / (double)all;
}

static void replays(rill *store)
{
    double best[2] = {1e9, 1e9};

    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 2; i++) {
            double took = replay(store, i == 0 ? RILL_READ_WRITTEN : RILL_READ_COMMITTED);
            if (took < best[i]) best[i] = took;
        }
    }
    figure("replay, 100 B, verified", "rill, all that is written", best[0], "ns/record", NO);
    figure("replay, 100 B, verified", "rill, what is committed", best[1], "ns/record", NO);
}

void bench_exactly(const struct bench *bench)
{
    rill_topic_options wide = {.size = sizeof wide, .partition_count = PARTS};
    rill *store = store_open(bench, "store", true);

    if (rill_topic_create(store, WIDE, &wide) != 0) die_rill("topic");
    durable_append(bench, store);
    for (int state = 0; state < 2; state++) {
        transactions(bench, store, 1, state, RILL_ACKS_WRITTEN);
        transactions(bench, store, 1, state, RILL_ACKS_DURABLE);
        transactions(bench, store, BATCH, state, RILL_ACKS_WRITTEN);
        transactions(bench, store, BATCH, state, RILL_ACKS_DURABLE);
    }
    sequences(bench, store);
    replays(store);
    store_close(store);
    store_remove(bench, "store");
}
