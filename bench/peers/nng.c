/*
 * nng.c - nng, a push and a pull socket in one process. It keeps nothing.
 */
#include "peers/peers.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER = 8192 }; /* messages; the most that nng allows */

struct log {
    char address[32];
};

struct end {
    nng_socket socket;
    bool wait;
};

static void check(int rc, const char *what)
{
    if (rc != 0) die(name("nng: %s: %s", what, nng_strerror(rc)));
}

static const char *settings(void)
{
    return name("%s, inproc, push0 and pull0, buffers of %d messages; keeps nothing",
                nng_version(), BUFFER);
}

static void *log_open(const struct bench *bench, bool durable)
{
    struct log *log = allocate(sizeof *log);

    (void)bench, (void)durable;
    snprintf(log->address, sizeof log->address, "inproc://log-%u", log_number());
    return log;
}

static void log_close(void *log)
{
    free(log);
}

static void *writer_open(void *arg)
{
    struct log *log = arg;
    struct end *end = allocate(sizeof *end);

    check(nng_push0_open(&end->socket), "open");
    check(nng_socket_set_int(end->socket, NNG_OPT_SENDBUF, BUFFER), "send buffer");
    check(nng_dial(end->socket, log->address, NULL, 0), "dial");
    return end;
}

static void append(void *arg, const rill_record *records, size_t count)
{
    struct end *end = arg;

    for (size_t i = 0; i < count; i++)
        check(
            nng_send(end->socket, (void *)record_bytes(&records[i]), record_size(&records[i]), 0),
            "send");
}

static void *reader_open(void *arg, bool wait)
{
    struct log *log = arg;
    struct end *end = allocate(sizeof *end);

    check(nng_pull0_open(&end->socket), "open");
    check(nng_socket_set_int(end->socket, NNG_OPT_RECVBUF, BUFFER), "receive buffer");
    check(nng_listen(end->socket, log->address, NULL, 0), "listen");
    end->wait = wait;
    return end;
}

static void read_some(void *arg, struct sink *sink)
{
    struct end *end = arg;
    char message[KEY_SIZE + VALUE_MAX];
    size_t size = sizeof message;
    int rc = nng_recv(end->socket, message, &size, end->wait ? 0 : NNG_FLAG_NONBLOCK);

    if (rc == NNG_EAGAIN) return;
    check(rc, "receive");
    sink_take_message(sink, message, size);
}

static void end_close(void *arg)
{
    struct end *end = arg;

    check(nng_close(end->socket), "close");
    free(end);
}

const struct peer peer_nng = {
    .name = "nng",
    .can = PEER_WAITS | PEER_SLOW,
    .settings = settings,
    .open = log_open,
    .close = log_close,
    .writer_open = writer_open,
    .append = append,
    .writer_close = end_close,
    .reader_open = reader_open,
    .read = read_some,
    .reader_close = end_close,
};
