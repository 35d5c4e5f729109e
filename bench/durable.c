/*
 * durable.c - appends of one record that wait until it is on the disk.
 *
 * Beside it, what the disk allows: threads that write 128 bytes into a file of
 * their own, whose blocks are there already, and call fdatasync. rill's threads
 * share one partition, and syncs.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX 8
#define VALUE 100
#define SAMPLES 100000
#define FILE_BYTES ((size_t)16 << 20)

struct appender {
    const struct bench *bench;
    rill_producer *producer; /* NULL: a file instead */
    int number;
    int64_t *latencies;
    size_t count;
};

static void append(rill_producer *producer)
{
    rill_record record;

    records_fill(&record, 1, VALUE);
    if (rill_producer_append(producer, &record, 1, 10000, NULL) != 0) die_rill("append");
}

static void write_and_sync(int fd, size_t number)
{
    static const char bytes[128] = {1};

    if (pwrite(fd, bytes, sizeof bytes, (off_t)(number * sizeof bytes % FILE_BYTES)) !=
        (ssize_t)sizeof bytes)
        die_os("pwrite");
    if (fdatasync(fd) != 0) die_os("fdatasync");
}

static void appender_main(void *arg)
{
    struct appender *me = arg;
    const char *file = name("durable-%d", me->number);
    int fd = -1;
    int64_t end;

    if (me->producer == NULL) {
        fd = file_open(me->bench, file, FILE_BYTES);
        if (fsync(fd) != 0) die_os("fsync");
    }
    end = now_ns() + me->bench->timed_ns;
    while (me->count < SAMPLES) {
        int64_t start = now_ns();

        if (start >= end) break;
        if (me->producer != NULL) append(me->producer);
        else write_and_sync(fd, me->count);
        me->latencies[me->count++] = now_ns() - start;
    }
    if (fd >= 0) {
        close(fd);
        file_remove(me->bench, file);
    }
}

static void run(const struct bench *bench, rill *store, int threads, const char *system)
{
    const char *workload =
        name("durable append %d B, %d thread%s", VALUE, threads, threads == 1 ? "" : "s");
    struct appender appenders[THREADS_MAX];
    struct peer *peers[THREADS_MAX];
    int64_t *latencies = malloc(sizeof *latencies * SAMPLES * (size_t)threads);
    size_t total = 0;

    if (latencies == NULL) die("out of memory");
    for (int i = 0; i < threads; i++) name("durable-%d", i); /* before there are threads */
    for (int i = 0; i < threads; i++) {
        appenders[i] = (struct appender){bench, NULL, i, latencies + (size_t)i * SAMPLES, 0};
        if (store != NULL) appenders[i].producer = producer_open(store, RILL_ACKS_DURABLE);
    }
    for (int i = 0; i < threads; i++) peers[i] = peer_start(false, appender_main, &appenders[i]);
    for (int i = 0; i < threads; i++) {
        peer_join(peers[i]);
        if (store != NULL) producer_close(appenders[i].producer);
        for (size_t k = 0; k < appenders[i].count; k++)
            latencies[total++] = appenders[i].latencies[k];
    }
    figure(workload, system, (double)total * 1e9 / (double)bench->timed_ns, "records/s", EACH);
    figure_latencies(workload, system, latencies, total, EACH);
    free(latencies);
}

/* Some file systems have nothing to sync to. */
static bool can_be_durable(rill *store)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = TOPIC, .acks = RILL_ACKS_DURABLE};
    rill_producer *producer;
    int rc = rill_producer_open(store, &options, &producer);

    if (rc == RILL_ERR_UNSUPPORTED) return false;
    if (rc != 0) die_rill("open a producer");
    producer_close(producer);
    return true;
}

void bench_durable(const struct bench *bench)
{
    rill *store = store_open(bench, "store", true);

    if (can_be_durable(store)) {
        for (int threads = 1; threads <= THREADS_MAX; threads += THREADS_MAX - 1) {
            run(bench, NULL, threads, "pwrite+fdatasync, a file per thread");
            run(bench, store, threads, "rill append(), acks durable");
        }
    }
    store_close(store);
    store_remove(bench, "store");
}
