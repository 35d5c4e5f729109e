/*
 * rill.c - rill, through the same functions as its peers.
 */
#include "peers/peers.h"

#include <stdlib.h>

enum { POLL_MAX = 1000, FOREVER_MS = 10000 };

struct log {
    const struct bench *bench;
    rill *store;
    bool durable;
};

struct writer {
    rill_producer *producer;
    rill_consumer *consumer; /* opened by the first commit */
    rill *store;
};

struct reader {
    rill_consumer *consumer;
    int timeout_ms;
    rill_record records[POLL_MAX];
};

static const char *settings(void)
{
    return name("%s, defaults: 64 MiB segments, checksums verified, a sync every second in the "
                "background; durable: RILL_ACKS_DURABLE",
                rill_version());
}

static void *log_open(const struct bench *bench, bool durable)
{
    struct log *log = allocate(sizeof *log);

    *log = (struct log){bench, store_open(bench, "peer-rill", true), durable};
    return log;
}

static void log_close(void *arg)
{
    struct log *log = arg;

    store_close(log->store);
    store_remove(log->bench, "peer-rill");
    free(log);
}

static void *writer_open(void *arg)
{
    struct log *log = arg;
    struct writer *writer = allocate(sizeof *writer);

    writer->store = log->store;
    writer->producer =
        producer_open(log->store, log->durable ? RILL_ACKS_DURABLE : RILL_ACKS_WRITTEN);
    return writer;
}

static void append(void *arg, const rill_record *records, size_t count)
{
    struct writer *writer = arg;

    if (rill_producer_append(writer->producer, records, count, 10000, NULL) != 0)
        die_rill("append");
}

static void writer_close(void *arg)
{
    struct writer *writer = arg;

    producer_close(writer->producer);
    if (rill_consumer_close(writer->consumer, 1000) != 0) die_rill("close a consumer");
    free(writer);
}

static void *reader_open(void *arg, bool wait)
{
    struct log *log = arg;
    struct reader *reader = allocate(sizeof *reader);

    reader->consumer = consumer_at_start(log->store, NULL);
    reader->timeout_ms = wait ? FOREVER_MS : 0;
    return reader;
}

static void read_some(void *arg, struct sink *sink)
{
    struct reader *reader = arg;
    size_t count;

    if (rill_consumer_poll(reader->consumer, reader->timeout_ms, reader->records, POLL_MAX,
                           &count) != 0)
        die_rill("poll");
    for (size_t i = 0; i < count; i++)
        sink_take(sink, reader->records[i].value.data, reader->records[i].value.size);
}

static void reader_close(void *arg)
{
    struct reader *reader = arg;

    if (rill_consumer_close(reader->consumer, 1000) != 0) die_rill("close a consumer");
    free(reader);
}

static void lookup(void *arg, uint64_t number, struct sink *sink)
{
    struct reader *reader = arg;
    rill_record record;
    size_t count;

    if (rill_consumer_seek(reader->consumer, TOPIC, 0, (rill_offset)number) != 0)
        die_rill("seek");
    if (rill_consumer_poll(reader->consumer, FOREVER_MS, &record, 1, &count) != 0)
        die_rill("poll");
    if (count != 1 || record.offset != (rill_offset)number) die("a lookup found another record");
    sink_take(sink, record.value.data, record.value.size);
}

static void commit(void *arg, uint64_t number)
{
    struct writer *writer = arg;
    const rill_position position = {.topic = TOPIC, .offset = (rill_offset)number};
    const rill_consumer_options options = {.size = sizeof options, .group = "bench"};

    if (writer->consumer == NULL) writer->consumer = consumer_at_start(writer->store, &options);
    if (rill_consumer_commit(writer->consumer, &position, 1) != 0) die_rill("commit");
}

const struct peer peer_rill = {
    .name = "rill",
    .can = PEER_STORES | PEER_DURABLE | PEER_WAITS,
    .settings = settings,
    .open = log_open,
    .close = log_close,
    .writer_open = writer_open,
    .append = append,
    .writer_close = writer_close,
    .reader_open = reader_open,
    .read = read_some,
    .reader_close = reader_close,
    .lookup = lookup,
    .commit = commit,
};
