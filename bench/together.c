/*
 * together.c - one thread appends while another one reads what comes, from the start.
 *
 * Measured until the last record has been read, whose value is hashed as each is. The
 * reader asks again and again. ZeroMQ and nng, which keep nothing, hold their writer
 * back when the reader is late; the others do not.
 */
#include "peers/peers.h"

struct writing {
    const struct bench *bench;
    const struct peer *peer;
    void *writer;
    size_t value_size, batch;
    _Atomic bool ready;     /* set by the reader's thread */
    _Atomic uint64_t total; /* all there will be; 0 = not known yet */
};

static void write_all(void *arg)
{
    struct writing *w = arg;
    uint64_t most = w->bench->bytes / (KEY_SIZE + w->value_size), done = 0;
    rill_record records[RECORDS_MAX];
    int64_t start;

    records_fill(records, RECORDS_MAX, w->value_size);
    while (!atomic_load(&w->ready)) cpu_pause();
    start = now_ns();
    do {
        for (size_t i = 0; i < RECORDS_MAX; i += w->batch)
            w->peer->append(w->writer, records + i, w->batch);
        done += RECORDS_MAX;
    } while (done < most && now_ns() - start < w->bench->timed_ns);
    atomic_store(&w->total, done);
}

static void read_all(struct writing *w, void *reader, struct sink *sink)
{
    uint64_t total;

    while ((total = atomic_load(&w->total)) == 0 || sink->count < total)
        w->peer->read(reader, sink);
}

static void measure(const struct bench *bench, const struct peer *peer, size_t value_size,
                    size_t batch)
{
    void *log = peer->open(bench, false);
    void *reader = peer->reader_open(log, false);
    struct writing w = {.bench = bench, .peer = peer, .value_size = value_size, .batch = batch};
    struct sink sink = {0};
    struct worker *worker;
    int64_t start;

    w.writer = peer->writer_open(log);
    worker = worker_start(false, write_all, &w);
    start = now_ns();
    atomic_store(&w.ready, true);
    read_all(&w, reader, &sink);
    figure(name("produce and consume %zu B, batches of %zu", value_size, batch), peer->name,
           (double)sink.count * 1e9 / (double)(now_ns() - start), "records/s",
           peer->can & PEER_STORES ? BACKGROUND : NO);
    worker_join(worker);
    peer->writer_close(w.writer);
    peer->reader_close(reader);
    peer->close(log);
}

void bench_together(const struct bench *bench)
{
    for (size_t value_size = 100; value_size <= 1000; value_size *= 10) {
        const struct peer *peer;

        for (int i = 0; (peer = peer_at(i)) != NULL; i++)
            for (size_t batch = 100; batch <= 1000; batch *= 10)
                if (batch == 100 || !bench->quick) measure(bench, peer, value_size, batch);
    }
}
