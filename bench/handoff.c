/*
 * handoff.c - how long a record takes from one thread or process to another.
 *
 * A producer sends a record of 100 bytes at a fixed pace, stamped with the time at which
 * it was due, whether or not the producer was late; the consumer takes the difference,
 * so that a send that is held up counts for all that had to wait behind it. The consumer
 * spins, or spins for a while and then sleeps, or sleeps at once. Beside it, a ring in
 * shared memory whose counter the reader watches, or sleeps on as a futex; and how long
 * a cache line takes from one core to the other. Peers have one producer thread and one
 * consumer thread, at a pace that they can keep.
 */
#include "peers/peers.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { VALUE = 100, WARM_UP = 500, SLOTS = 4096, SPIN_FOREVER_US = 100000, SPIN_SOME_US = 10 };

/* In memory that both sides share. */
struct channel {
    _Atomic bool consumer_ready;
    _Alignas(128) _Atomic uint32_t written; /* the ring: messages in it so far; a futex */
    _Atomic uint32_t asleep;                /* the reader is, or is about to be */
    _Alignas(128) _Atomic uint64_t ball;    /* of the ping-pong */
    char slots[SLOTS][128];
};

struct side {
    const struct bench *bench;
    struct channel *channel;
    rill *store;             /* NULL: the producer is a process and opens it itself */
    const struct peer *peer; /* of the producer */
    void *writer;
    int64_t gap_ns;
    size_t count;
};

static void wait_for(_Atomic bool *flag)
{
    while (!atomic_load(flag)) usleep(100);
}

/* ---- rill ------------------------------------------------------------- */

static void send_record(void *arg, char *value)
{
    rill_record record = record_at(value, VALUE);

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
    pace(side->count, side->gap_ns, send_record, producer);
    producer_close(producer);
    if (side->store == NULL) store_close(store);
}

static void receive(rill_consumer *consumer, struct sink *sink)
{
    while (sink->count < sink->wanted) {
        rill_record records[64];
        size_t n;

        if (rill_consumer_poll(consumer, 10000, records, 64, &n) != 0) die_rill("poll");
        if (n == 0) die("records are missing");
        for (size_t i = 0; i < n; i++)
            sink_take(sink, records[i].value.data, records[i].value.size);
    }
}

static void over_rill(struct side *side, bool process, uint32_t spin_us, struct sink *sink)
{
    rill_consumer_options options = {.size = sizeof options, .spin_us = spin_us};
    struct worker *worker = NULL;
    rill_consumer *consumer;
    rill *store;

    side->store = NULL;
    /* The other process is there before the store is opened here. */
    if (process) worker = worker_start(true, rill_side, side);
    store = store_open(side->bench, "store", true);
    consumer = consumer_at_start(store, &options);
    if (!process) {
        side->store = store;
        worker = worker_start(false, rill_side, side);
    }
    atomic_store(&side->channel->consumer_ready, true);
    receive(consumer, sink);
    worker_join(worker);
    if (rill_consumer_close(consumer, 1000) != 0) die_rill("close a consumer");
    store_close(store);
    store_remove(side->bench, "store");
}

/* ---- Peers ------------------------------------------------------------ */

static void send_to_peer(void *arg, char *value)
{
    struct side *side = arg;
    rill_record record = record_at(value, VALUE);

    side->peer->append(side->writer, &record, 1);
}

static void peer_side(void *arg)
{
    struct side *side = arg;

    wait_for(&side->channel->consumer_ready);
    pace(side->count, side->gap_ns, send_to_peer, side);
}

static void over_peer(struct side *side, const struct peer *peer, bool wait, struct sink *sink)
{
    void *log = peer->open(side->bench, false);
    void *reader = peer->reader_open(log, wait);
    struct worker *worker;

    side->peer = peer;
    side->writer = peer->writer_open(log);
    worker = worker_start(false, peer_side, side);
    atomic_store(&side->channel->consumer_ready, true);
    while (sink->count < sink->wanted) peer->read(reader, sink);
    worker_join(worker);
    peer->writer_close(side->writer);
    peer->reader_close(reader);
    peer->close(log);
}

/* ---- The limits --------------------------------------------------------- */

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void write_ring(void *arg, char *value)
{
    struct channel *channel = arg;
    uint32_t n = atomic_load_explicit(&channel->written, memory_order_relaxed);

    memcpy(channel->slots[n % SLOTS], value, VALUE);
    atomic_store(&channel->written, n + 1);
    if (atomic_load(&channel->asleep) != 0) futex(&channel->written, FUTEX_WAKE, 1);
}

static void ring_side(void *arg)
{
    struct side *side = arg;

    wait_for(&side->channel->consumer_ready);
    pace(side->count, side->gap_ns, write_ring, side->channel);
}

static void wait_for_more(struct channel *channel, uint32_t taken, bool sleep)
{
    while (atomic_load_explicit(&channel->written, memory_order_acquire) == taken) {
        if (!sleep) {
            cpu_pause();
            continue;
        }
        atomic_store(&channel->asleep, 1);
        futex(&channel->written, FUTEX_WAIT, taken);
        atomic_store(&channel->asleep, 0);
    }
}

static void over_ring(struct side *side, bool process, bool sleep, struct sink *sink)
{
    struct worker *worker = worker_start(process, ring_side, side);
    struct channel *channel = side->channel;
    char value[VALUE];

    atomic_store(&channel->consumer_ready, true);
    while (sink->count < sink->wanted) {
        wait_for_more(channel, (uint32_t)sink->count, sleep);
        memcpy(value, channel->slots[sink->count % SLOTS], VALUE);
        sink_take(sink, value, VALUE);
    }
    worker_join(worker);
}

/* One adds 1 when the ball is even, the other one when it is odd. */
static void play(struct channel *channel, uint64_t parity, uint64_t end)
{
    for (uint64_t ball = parity; ball < end; ball += 2) {
        while (atomic_load_explicit(&channel->ball, memory_order_acquire) != ball) cpu_pause();
        atomic_store_explicit(&channel->ball, ball + 1, memory_order_release);
    }
}

enum { PASSES = 200, BLOCKS = 2000 };

static void other_player(void *arg)
{
    play(arg, 1, (uint64_t)PASSES * BLOCKS);
}

static void ping_pong(struct channel *channel)
{
    static int64_t one_way[BLOCKS];
    struct worker *worker = worker_start(false, other_player, channel);

    for (uint64_t i = 0; i < BLOCKS; i++) {
        int64_t start = now_ns();

        play(channel, i * PASSES, (i + 1) * PASSES);
        one_way[i] = (now_ns() - start) / PASSES;
    }
    worker_join(worker);
    figure_latencies("hand-off, a cache line", "ping-pong, one way", one_way, BLOCKS, NO);
}

/* ---- All of it ---------------------------------------------------------- */

static struct sink begin(struct side *side, const struct bench *bench, int rate,
                         int64_t *latencies)
{
    struct channel *channel = side->channel;

    memset(channel, 0, sizeof *channel);
    *side = (struct side){.bench = bench, .channel = channel, .gap_ns = 1000000000 / rate};
    side->count = WARM_UP + (size_t)(bench->timed_ns / side->gap_ns);
    return (struct sink){.latencies = latencies, .wanted = side->count};
}

static void finish(const struct sink *sink, int rate, bool process, const char *system,
                   const char *synced)
{
    figure_latencies(name("hand-off to a %s, %d/s", process ? "process" : "thread", rate), system,
                     sink->latencies + WARM_UP, sink->wanted - WARM_UP, synced);
}

static void rill_and_limits(struct side *side, const struct bench *bench, int rate, bool process,
                            int64_t *latencies)
{
    static const struct {
        uint32_t us;
        const char *system;
    } spins[] = {{SPIN_FOREVER_US, "rill, spinning"},
                 {SPIN_SOME_US, "rill, 10 us of spinning, then sleeping"},
                 {0, "rill, sleeping"}};
    struct sink sink;

    for (int i = 0; i < 3; i++) {
        if (bench->quick && i == 1) continue;
        sink = begin(side, bench, rate, latencies);
        over_rill(side, process, spins[i].us, &sink);
        finish(&sink, rate, process, spins[i].system, BACKGROUND);
    }
    for (int sleep = 0; sleep < 2; sleep++) {
        sink = begin(side, bench, rate, latencies);
        over_ring(side, process, sleep, &sink);
        finish(&sink, rate, process,
               sleep ? "ring in shared memory, futex" : "ring in shared memory, spinning", NO);
    }
}

static void peers(struct side *side, const struct bench *bench, int rate, bool slow,
                  int64_t *latencies)
{
    const struct peer *peer;

    for (int i = 1; (peer = peer_at(i)) != NULL; i++) {
        for (int wait = 0; wait < 2; wait++) {
            struct sink sink = begin(side, bench, rate, latencies);

            if (((peer->can & PEER_SLOW) != 0) != slow) continue;
            if (wait ? !(peer->can & PEER_WAITS) : slow) continue;
            over_peer(side, peer, wait, &sink);
            finish(&sink, rate, false, name("%s, %s", peer->name, wait ? "sleeping" : "spinning"),
                   peer->can & PEER_STORES ? BACKGROUND : NO);
        }
    }
}

void bench_handoff(const struct bench *bench)
{
    static const int rates[] = {5000, 50000, 500000};
    struct side side = {.channel = shared_memory(sizeof *side.channel)};
    size_t most = WARM_UP + (size_t)(bench->timed_ns / (1000000000 / rates[2]));
    int64_t *latencies = allocate(most * sizeof *latencies);

    memset(latencies, 0, most * sizeof *latencies);
    ping_pong(side.channel);
    for (int r = 0; r < 3; r++)
        for (int process = 0; process < (r == 0 ? 1 : 2); process++)
            rill_and_limits(&side, bench, rates[r], process, latencies);
    peers(&side, bench, rates[0], true, latencies);
    peers(&side, bench, rates[1], false, latencies);
    shared_memory_free(side.channel, sizeof *side.channel);
    free(latencies);
}
