/*
 * fanout.c - one producer, and several groups that each read all of it.
 *
 * One thread appends in batches of 100, another polls a consumer of each group in turn,
 * until each has read everything. Records of 100 bytes; told are those that were read.
 */
#include "bench.h"

enum { VALUE = 100, GROUPS_MAX = 100, POLL_MAX = 1000 };

struct producing {
    rill *store;
    uint64_t count;
};

static void produce(void *arg)
{
    struct producing *p = arg;

    log_fill(p->store, p->count, VALUE);
}

static rill_consumer *member(rill *store, int number)
{
    static const char *const topics[] = {TOPIC};
    const rill_consumer_options options = {.size = sizeof options,
                                           .group = name("group-%d", number),
                                           .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_consumer *consumer;

    if (rill_consumer_open(store, &options, &consumer) != 0) die_rill("consumer");
    if (rill_consumer_subscribe(consumer, topics, 1) != 0) die_rill("subscribe");
    return consumer;
}

static void measure(const struct bench *bench, int groups)
{
    static rill_record records[POLL_MAX];
    uint64_t count = bench->bytes / 4 / (KEY_SIZE + VALUE) / BATCH * BATCH, read = 0;
    rill *store = store_open(bench, "store", true);
    struct producing producing = {store, count};
    rill_consumer *members[GROUPS_MAX];
    struct worker *worker;
    int64_t start;

    for (int i = 0; i < groups; i++) {
        size_t none;

        members[i] = member(store, i);
        if (rill_consumer_poll(members[i], 0, records, 1, &none) != 0) die_rill("poll");
    }
    start = now_ns();
    worker = worker_start(false, produce, &producing);
    for (int i = 0; read < count * (uint64_t)groups; i = (i + 1) % groups) {
        size_t n;

        if (rill_consumer_poll(members[i], 0, records, POLL_MAX, &n) != 0) die_rill("poll");
        read += n;
    }
    figure(name("fan-out %d B to %d group%s", VALUE, groups, groups == 1 ? "" : "s"), "rill",
           (double)read * 1e9 / (double)(now_ns() - start), "records read/s", BACKGROUND);
    worker_join(worker);
    for (int i = 0; i < groups; i++)
        if (rill_consumer_close(members[i], 1000) != 0) die_rill("close a consumer");
    store_close(store);
    store_remove(bench, "store");
}

void bench_fanout(const struct bench *bench)
{
    for (int groups = 1; groups <= GROUPS_MAX; groups *= 10) measure(bench, groups);
}
