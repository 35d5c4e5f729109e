/*
 * count.c - runs one hot path many times, for callgrind to count its instructions.
 *
 *     count DIRECTORY WORKLOAD
 *
 * Only what runs inside of run_measured() is counted. Nothing here may depend on the time,
 * on another thread or on chance, so that each run executes the same instructions:
 * records have timestamps of their own, no batch is sent because it has waited, and the
 * store has no thread. One segment holds all, so that nothing rolls. Prints how often.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

enum { COUNT = 50000, LOOKUPS = 500, VALUE = 100, POLL_MAX = 1000 };

struct subject {
    rill_producer *producer;
    rill_consumer *consumer;
    rill_record records[BATCH];
};

static void append(struct subject *s, size_t batch)
{
    for (size_t i = 0; i < COUNT; i += batch)
        if (rill_producer_append(s->producer, s->records + i % BATCH, batch, 1000, NULL) != 0)
            die_rill("append");
}

static void append_1(struct subject *s)
{
    append(s, 1);
}

static void append_100(struct subject *s)
{
    append(s, BATCH);
}

static void send_all(struct subject *s)
{
    for (size_t i = 0; i < COUNT; i++)
        if (rill_producer_send(s->producer, &s->records[i % BATCH], NULL, 1000) != 0)
            die_rill("send");
    if (rill_producer_flush(s->producer, 60000) != 0) die_rill("flush");
}

static void poll_all(struct subject *s)
{
    static rill_record records[POLL_MAX];
    size_t n;

    for (size_t read = 0; read < COUNT; read += n)
        if (rill_consumer_poll(s->consumer, 1000, records, POLL_MAX, &n) != 0 || n == 0)
            die_rill("poll");
}

static void look_up(struct subject *s)
{
    uint64_t random = 88172645463325252u;

    for (size_t i = 0; i < LOOKUPS; i++) {
        rill_offset offset = (rill_offset)(next_random(&random) % COUNT);
        rill_record record;
        size_t n;

        if (rill_consumer_seek(s->consumer, TOPIC, 0, offset) != 0) die_rill("seek");
        if (rill_consumer_poll(s->consumer, 1000, &record, 1, &n) != 0 || n == 0)
            die_rill("poll");
    }
}

static const struct workload {
    const char *name;
    void (*run)(struct subject *s);
    int count;
} workloads[] = {{"append-1", append_1, COUNT},
                 {"append-100", append_100, COUNT},
                 {"send", send_all, COUNT},
                 {"poll", poll_all, COUNT},
                 {"lookup", look_up, LOOKUPS}};

static void run_measured(const struct workload *workload, struct subject *subject)
{
    workload->run(subject);
    __asm__ volatile("");
}

/* Callgrind knows it by its name, so it must be called as it is. */
static void (*volatile measured)(const struct workload *, struct subject *) = run_measured;

static rill *open_store(const char *dir)
{
    const rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;

    if (rill_open(dir, &options, &store) != 0) die_rill("open");
    if (rill_topic_create(store, TOPIC, NULL) != 0) die_rill("create");
    return store;
}

static void prepare(struct subject *s, rill *store)
{
    const rill_producer_options options = {
        .size = sizeof options, .topic = TOPIC, .linger_ms = 3600000};

    if (rill_producer_open(store, &options, &s->producer) != 0) die_rill("open a producer");
    records_fill(s->records, BATCH, VALUE);
    for (size_t i = 0; i < BATCH; i++) s->records[i].timestamp_ms = 1700000000000;
    append_100(s);
    s->consumer = consumer_at_start(store, NULL);
}

int main(int argc, char **argv)
{
    const struct workload *workload = NULL;
    struct subject subject;
    rill *store;

    for (size_t i = 0; argc == 3 && i < sizeof workloads / sizeof workloads[0]; i++)
        if (strcmp(argv[2], workloads[i].name) == 0) workload = &workloads[i];
    if (workload == NULL) die("usage: count DIRECTORY WORKLOAD");
    store = open_store(argv[1]);
    prepare(&subject, store);
    measured(workload, &subject);
    printf("%d\n", workload->count);
    if (rill_consumer_close(subject.consumer, 1000) != 0) die_rill("close a consumer");
    producer_close(subject.producer);
    store_close(store);
    return 0;
}
