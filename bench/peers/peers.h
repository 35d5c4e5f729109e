/*
 * peers.h - the systems that rill is compared with, rill itself, and a plain file.
 *
 * Each is one file with one table of functions, so that the families run the same
 * loop over all of them. A peer is linked only if its library was there at build
 * time, and used only if it can run here; what is not there is said in the output.
 *
 * A log is one sequence of records that begins empty. Its writers and readers are
 * for one thread each; there may be several at once, but some peers have one reader,
 * who has to be there before the writers. Whatever fails ends the program.
 *
 * In the records that a writer gets, the value follows its key in memory, so a peer
 * whose message is one piece of bytes can take both as one, see record_bytes().
 */
#ifndef BENCH_PEERS_PEERS_H
#define BENCH_PEERS_PEERS_H

#include "bench.h"

#include <string.h>

/* What each reader does with every record, rill's too: it reads the whole value. */
struct sink {
    uint64_t count;
    uint64_t sum;
    int64_t *latencies; /* of a hand-off: values begin with the time they were due; or NULL */
    uint64_t wanted;    /* latencies has room for so many */
};

static inline void sink_take(struct sink *sink, const void *value, size_t size)
{
    if (sink->latencies != NULL && sink->count < sink->wanted) {
        int64_t due;

        memcpy(&due, value, sizeof due);
        sink->latencies[sink->count] = now_ns() - due;
    }
    sink->sum += checksum(value, size);
    sink->count++;
}

/* The same for a message that is a key and its value in one. */
static inline void sink_take_message(struct sink *sink, const void *message, size_t size)
{
    sink_take(sink, (const char *)message + KEY_SIZE, size - KEY_SIZE);
}

static inline const void *record_bytes(const rill_record *record)
{
    return record->key.data;
}

static inline size_t record_size(const rill_record *record)
{
    return record->key.size + record->value.size;
}

enum {
    PEER_STORES = 1 << 0,  /* keeps what was read: append, replay, lookup */
    PEER_DURABLE = 1 << 1, /* an append can wait for the disk */
    PEER_WAITS = 1 << 2,   /* a reader can sleep until something comes */
    PEER_SLOW = 1 << 3,    /* does not keep up with 50,000 appends of one record a second */
    PEER_LIMIT = 1 << 4    /* no system: keeps less than a log has to */
};

struct peer {
    const char *name;
    unsigned can;
    /* What it is set to, with its version. Formats with name(). */
    const char *(*settings)(void);
    /* Why it cannot run here; NULL: it can. The whole may be NULL. */
    const char *(*missing)(const struct bench *bench);

    /* A new log. If durable, append returns when its records would survive a power cut;
     * else it waits for nothing. */
    void *(*open)(const struct bench *bench, bool durable);
    void (*close)(void *log); /* removes it, too */

    void *(*writer_open)(void *log);
    /* All in one transaction, pipeline or write, whichever this peer is fastest with. */
    void (*append)(void *writer, const rill_record *records, size_t count);
    void (*writer_close)(void *writer);

    /* From the log's start. With wait, read sleeps until there is something; without it,
     * it looks and returns, but a client of a server may sleep for a millisecond, which
     * is fairer than to keep the server busy with saying no. */
    void *(*reader_open)(void *log, bool wait);
    /* Hands what is there to the sink, as much as is convenient; maybe nothing. */
    void (*read)(void *reader, struct sink *sink);
    void (*reader_close)(void *reader);

    /* The record with that number, counted from 0; or NULL. */
    void (*lookup)(void *reader, uint64_t number, struct sink *sink);
    /* Keeps how far a reader has come, as durably as the log; or NULL. */
    void (*commit)(void *writer, uint64_t number);
};

/* One comment line per peer: what it is set to, or why it is not there. First of all. */
void peers_start(const struct bench *bench);
/* The usable ones: rill first, then the plain file, then systems. NULL after the last. */
const struct peer *peer_at(int index);

/* ---- For peers that have a server ---------------------------------------- */

/* Looks where the shell does, and where Debian puts servers. NULL: not there. */
const char *program_find(const char *program);
/* Is killed when this program ends. It runs with its output in a file of bench->dir. */
void server_start(const struct bench *bench, const char *const argv[]);

/* A number for a new log, different for each. */
unsigned log_number(void);

#endif
