/*
 * handoff.c - how long a record takes from one thread or process to another.
 *
 * A producer sends a record of 100 bytes every 20 us (50,000 a second), stamped
 * with the time at which it is sent; the consumer takes the difference. It either
 * sleeps until something comes, or spins. Beside the sleeping one, a pipe; beside
 * the spinning one, a ring in shared memory with a counter that the reader watches.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GAP_NS 20000
#define VALUE 100
#define WARM_UP 1000 /* messages that are not counted */
#define SLOTS 4096

/* In memory that both sides share. */
struct channel {
    _Atomic bool consumer_ready, producer_ready;
    _Atomic uint64_t written; /* the ring: messages in it so far */
    char slots[SLOTS][128];
};

struct side {
    const struct bench *bench;
    struct channel *channel;
    rill *store; /* NULL: the producer is a process and opens it itself */
    int pipe[2];
    size_t count;
};

static void wait_for(_Atomic bool *flag)
{
    while (!atomic_load(flag)) usleep(100);
}

/* Calls send(arg, value) at its pace, with the time in the first 8 bytes. */
static void pace(size_t count, void (*send)(void *arg, char *value), void *arg)
{
    char value[VALUE] = {1};
    int64_t next = now_ns() + 1000000;

    for (size_t i = 0; i < count; i++, next += GAP_NS) {
        int64_t now;

        while ((now = now_ns()) < next) cpu_pause();
        memcpy(value, &now, sizeof now);
        send(arg, value);
    }
}

static void take(int64_t *latencies, size_t *taken, const void *value)
{
    int64_t sent;

    memcpy(&sent, value, sizeof sent);
    latencies[(*taken)++] = now_ns() - sent;
}

/* ---- rill ------------------------------------------------------------- */

static void send_record(void *arg, char *value)
{
    rill_record record = RILL_RECORD_INIT;

    record.partition = 0;
    record.key = (rill_bytes){"handoff!", KEY_SIZE};
    record.value = (rill_bytes){value, VALUE};
    if (rill_producer_append(arg, &record, 1, 10000, NULL) != 0) die_rill("append");
}

static void rill_side(void *arg)
{
    struct side *side = arg;
    rill *store = side->store;
    rill_producer *producer;

    wait_for(&side->channel->consumer_ready);
    if (store == NULL) store = store_open(side->bench, "store", false);
    producer = producer_open(store, RILL_ACKS_WRITTEN);
    pace(side->count, send_record, producer);
    producer_close(producer);
    if (side->store == NULL) store_close(store);
}

static void rill_receive(rill_consumer *consumer, size_t count, int64_t *latencies)
{
    size_t taken = 0;

    while (taken < count) {
        rill_record records[64];
        size_t n;

        if (rill_consumer_poll(consumer, 10000, records, 64, &n) != 0) die_rill("poll");
        if (n == 0) die("records are missing");
        for (size_t i = 0; i < n; i++) take(latencies, &taken, records[i].value.data);
    }
}

static void over_rill(struct side *side, bool process, uint32_t spin_us, int64_t *latencies)
{
    rill_consumer_options options = {.size = sizeof options, .spin_us = spin_us};
    struct peer *peer = NULL;
    rill_consumer *consumer;
    rill *store;

    side->store = NULL;
    /* The other process is there before the store is opened here. */
    if (process) peer = peer_start(true, rill_side, side);
    store = store_open(side->bench, "store", true);
    consumer = consumer_at_start(store, &options);
    if (!process) {
        side->store = store;
        peer = peer_start(false, rill_side, side);
    }
    atomic_store(&side->channel->consumer_ready, true);
    rill_receive(consumer, side->count, latencies);
    peer_join(peer);
    if (rill_consumer_close(consumer, 1000) != 0) die_rill("close a consumer");
    store_close(store);
    store_remove(side->bench, "store");
}

/* ---- The limits --------------------------------------------------------- */

static void write_pipe(void *arg, char *value)
{
    const struct side *side = arg;

    if (write(side->pipe[1], value, VALUE) != VALUE) die_os("write to a pipe");
}

static void pipe_side(void *arg)
{
    struct side *side = arg;

    wait_for(&side->channel->consumer_ready);
    pace(side->count, write_pipe, side);
}

static void over_pipe(struct side *side, bool process, int64_t *latencies)
{
    struct peer *peer;
    size_t taken = 0;
    char value[VALUE];

    if (pipe(side->pipe) != 0) die_os("pipe");
    peer = peer_start(process, pipe_side, side);
    atomic_store(&side->channel->consumer_ready, true);
    while (taken < side->count) {
        if (read(side->pipe[0], value, VALUE) != VALUE) die_os("read from a pipe");
        take(latencies, &taken, value);
    }
    peer_join(peer);
    close(side->pipe[0]);
    close(side->pipe[1]);
}

static void write_ring(void *arg, char *value)
{
    struct channel *channel = arg;
    uint64_t n = atomic_load_explicit(&channel->written, memory_order_relaxed);

    memcpy(channel->slots[n % SLOTS], value, VALUE);
    atomic_store_explicit(&channel->written, n + 1, memory_order_release);
}

static void ring_side(void *arg)
{
    struct side *side = arg;

    wait_for(&side->channel->consumer_ready);
    pace(side->count, write_ring, side->channel);
}

static void over_ring(struct side *side, bool process, int64_t *latencies)
{
    struct peer *peer = peer_start(process, ring_side, side);
    struct channel *channel = side->channel;
    size_t taken = 0;
    char value[VALUE];

    atomic_store(&channel->consumer_ready, true);
    while (taken < side->count) {
        while (atomic_load_explicit(&channel->written, memory_order_acquire) == taken)
            cpu_pause();
        memcpy(value, channel->slots[taken % SLOTS], VALUE);
        take(latencies, &taken, value);
    }
    peer_join(peer);
}

void bench_handoff(const struct bench *bench)
{
    struct side side = {.bench = bench};
    int64_t *latencies;

    side.count = WARM_UP + (size_t)(bench->timed_ns / GAP_NS);
    side.channel = shared_memory(sizeof *side.channel);
    latencies = malloc(side.count * sizeof *latencies);
    if (latencies == NULL) die("out of memory");
    memset(latencies, 0, side.count * sizeof *latencies);
    for (int process = 0; process < 2; process++) {
        for (int way = 0; way < 4; way++) {
            static const char *const systems[] = {"pipe", "rill poll(), sleeping",
                                                  "ring in shared memory, spinning",
                                                  "rill poll(), spinning"};

            memset(side.channel, 0, sizeof *side.channel);
            switch (way) {
            case 0: over_pipe(&side, process, latencies); break;
            case 1: over_rill(&side, process, 0, latencies); break;
            case 2: over_ring(&side, process, latencies); break;
            case 3: over_rill(&side, process, 100000, latencies); break;
            }
            figure_latencies(process ? "hand-off to a process" : "hand-off to a thread",
                             systems[way], latencies + WARM_UP, side.count - WARM_UP,
                             way % 2 == 0 ? NO : BACKGROUND);
        }
    }
    free(latencies);
}
