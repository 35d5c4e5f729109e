/*
 * durable.c - appends that wait until their records are on the disk.
 *
 * Beside it, what the disk allows: threads that write as many bytes with
 * pwritev2(RWF_DSYNC), one after the other, into a file each, whose blocks are there
 * already. The threads of rill and its peers share one log, and syncs if they can.
 */
#include "peers/peers.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { THREADS_MAX = 64, VALUE = 100, SAMPLES = 20000 };
#define FILE_BYTES ((size_t)4 << 20)

struct appender {
    const struct bench *bench;
    const struct peer *peer; /* NULL: a file instead */
    void *writer;
    int fd;
    size_t batch; /* records per append */
    int64_t *latencies;
    size_t count;
};

static void write_through(int fd, size_t size, size_t number)
{
    static char bytes[BATCH * (KEY_SIZE + VALUE)] = {1};
    struct iovec all = {bytes, size};

    if (pwritev2(fd, &all, 1, (off_t)(number % (FILE_BYTES / size) * size), RWF_DSYNC) !=
        (ssize_t)size)
        die_os("pwritev2");
}

static void appender_main(void *arg)
{
    struct appender *me = arg;
    int64_t end = now_ns() + me->bench->timed_ns;
    rill_record records[BATCH];

    records_fill(records, me->batch, VALUE);
    while (me->count < SAMPLES) {
        int64_t start = now_ns();

        if (start >= end) break;
        if (me->peer != NULL) me->peer->append(me->writer, records, me->batch);
        else write_through(me->fd, me->batch * (KEY_SIZE + VALUE), me->count);
        me->latencies[me->count++] = now_ns() - start;
    }
}

/* A file of its own for each thread; they go when all are done. */
static const char *file_name(int number)
{
    return name("durable-%d", number);
}

static void appender_open(struct appender *appender, void *log, int number)
{
    if (appender->peer != NULL) {
        appender->writer = appender->peer->writer_open(log);
        return;
    }
    appender->fd = file_open(appender->bench, file_name(number), FILE_BYTES);
    if (fsync(appender->fd) != 0) die_os("fsync");
}

static void appender_close(struct appender *appender, int number)
{
    if (appender->peer != NULL) {
        appender->peer->writer_close(appender->writer);
        return;
    }
    close(appender->fd);
    file_remove(appender->bench, file_name(number));
}

static const char *workload_name(int threads, size_t batch)
{
    if (batch > 1) return name("durable append %d B, batches of %zu", VALUE, batch);
    return name("durable append %d B, %d thread%s", VALUE, threads, threads == 1 ? "" : "s");
}

static void measure(const struct bench *bench, const struct peer *peer, int threads, size_t batch)
{
    const char *workload = workload_name(threads, batch);
    const char *system = peer == NULL ? "pwritev2(RWF_DSYNC)" : peer->name;
    struct appender appenders[THREADS_MAX];
    struct worker *workers[THREADS_MAX];
    int64_t *latencies = allocate(sizeof *latencies * SAMPLES * (size_t)threads);
    void *log = peer == NULL ? NULL : peer->open(bench, true);
    int64_t start, took;
    size_t total = 0;

    for (int i = 0; i < threads; i++) {
        appenders[i] = (struct appender){.bench = bench, .peer = peer, .batch = batch};
        appenders[i].latencies = latencies + (size_t)i * SAMPLES;
        appender_open(&appenders[i], log, i);
    }
    start = now_ns();
    for (int i = 0; i < threads; i++)
        workers[i] = worker_start(false, appender_main, &appenders[i]);
    for (int i = 0; i < threads; i++) worker_join(workers[i]);
    took = now_ns() - start;
    for (int i = 0; i < threads; i++) {
        appender_close(&appenders[i], i);
        for (size_t k = 0; k < appenders[i].count; k++)
            latencies[total++] = appenders[i].latencies[k];
    }
    if (peer != NULL) peer->close(log);
    figure(workload, system, (double)(total * batch) * 1e9 / (double)took, "records/s", EACH);
    figure_latencies(workload, system, latencies, total, EACH);
    free(latencies);
}

static void measure_all(const struct bench *bench, int threads, size_t batch)
{
    const struct peer *peer;

    measure(bench, NULL, threads, batch);
    for (int i = 0; (peer = peer_at(i)) != NULL; i++)
        if (peer->can & PEER_DURABLE) measure(bench, peer, threads, batch);
}

/* Some file systems have nothing to sync to. */
static bool can_be_durable(const struct bench *bench)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = TOPIC, .acks = RILL_ACKS_DURABLE};
    rill *store = store_open(bench, "store", true);
    rill_producer *producer = NULL;
    int rc = rill_producer_open(store, &options, &producer);

    if (rc != 0 && rc != RILL_ERR_UNSUPPORTED) die_rill("open a producer");
    producer_close(producer);
    store_close(store);
    store_remove(bench, "store");
    return rc == 0;
}

void bench_durable(const struct bench *bench)
{
    static const int threads[] = {1, 8, 16, THREADS_MAX};

    if (!can_be_durable(bench)) return;
    for (int i = 0; i < 4; i++)
        if (!bench->quick || i % 2 == 0) measure_all(bench, threads[i], 1);
    measure_all(bench, 1, BATCH);
}
