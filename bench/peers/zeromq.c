/*
 * zeromq.c - ZeroMQ, a PUSH and a PULL socket in one process. It keeps nothing.
 */
#include "peers/peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

enum { READ_MAX = 1000, HIGH_WATER = 100000 };

struct log {
    void *context;
    char address[32];
};

struct reader {
    void *socket;
    int flags;
};

static _Noreturn void fail(const char *what)
{
    die(name("ZeroMQ: %s: %s", what, zmq_strerror(errno)));
}

static const char *settings(void)
{
    int major, minor, patch;

    zmq_version(&major, &minor, &patch);
    return name("%d.%d.%d, inproc, PUSH and PULL, high-water marks of %d messages; keeps nothing",
                major, minor, patch, HIGH_WATER);
}

static void *log_open(const struct bench *bench, bool durable)
{
    struct log *log = allocate(sizeof *log);

    (void)bench, (void)durable;
    log->context = zmq_ctx_new();
    if (log->context == NULL) fail("context");
    snprintf(log->address, sizeof log->address, "inproc://log-%u", log_number());
    return log;
}

static void log_close(void *arg)
{
    struct log *log = arg;

    zmq_ctx_term(log->context);
    free(log);
}

static void *socket_open(struct log *log, int type, int limit_option)
{
    void *socket = zmq_socket(log->context, type);
    const int limit = HIGH_WATER, linger = 0;

    if (socket == NULL) fail("socket");
    if (zmq_setsockopt(socket, limit_option, &limit, sizeof limit) != 0 ||
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) != 0)
        fail("set an option");
    return socket;
}

static void *writer_open(void *arg)
{
    struct log *log = arg;
    void *socket = socket_open(log, ZMQ_PUSH, ZMQ_SNDHWM);

    if (zmq_connect(socket, log->address) != 0) fail("connect");
    return socket;
}

static void append(void *socket, const rill_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (zmq_send(socket, record_bytes(&records[i]), record_size(&records[i]), 0) < 0)
            fail("send");
}

static void writer_close(void *socket)
{
    zmq_close(socket);
}

static void *reader_open(void *arg, bool wait)
{
    struct log *log = arg;
    struct reader *reader = allocate(sizeof *reader);

    reader->socket = socket_open(log, ZMQ_PULL, ZMQ_RCVHWM);
    reader->flags = wait ? 0 : ZMQ_DONTWAIT;
    if (zmq_bind(reader->socket, log->address) != 0) fail("bind");
    return reader;
}

/* The first message may be waited for; then those that are there. */
static void read_some(void *arg, struct sink *sink)
{
    struct reader *reader = arg;
    char message[KEY_SIZE + VALUE_MAX];
    int flags = reader->flags;

    for (int i = 0; i < READ_MAX; i++, flags = ZMQ_DONTWAIT) {
        int size = zmq_recv(reader->socket, message, sizeof message, flags);

        if (size < 0 && errno == EAGAIN) return;
        if (size < 0) fail("receive");
        sink_take_message(sink, message, (size_t)size);
    }
}

static void reader_close(void *arg)
{
    struct reader *reader = arg;

    zmq_close(reader->socket);
    free(reader);
}

const struct peer peer_zeromq = {
    .name = "ZeroMQ",
    .can = PEER_WAITS,
    .settings = settings,
    .open = log_open,
    .close = log_close,
    .writer_open = writer_open,
    .append = append,
    .writer_close = writer_close,
    .reader_open = reader_open,
    .read = read_some,
    .reader_close = reader_close,
};
