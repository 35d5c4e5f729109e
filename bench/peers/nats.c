/*
 * nats.c - NATS JetStream, over loopback to a server of our own.
 *
 * A log is a stream in files. An append of one record waits for the server's answer;
 * one of several publishes them all and waits for all answers. A reader is an ordered
 * consumer, to which the server pushes.
 */
#include "peers/peers.h"

#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WAIT_MS = 10000, NAME_SIZE = 24 };

struct log {
    char stream[NAME_SIZE]; /* and the one subject in it */
};

struct connection {
    struct log *log;
    natsConnection *nats;
    jsCtx *js;
    natsSubscription *subscription; /* of a reader that has read */
    int timeout_ms;
};

static char url[64]; /* of the server; empty: it does not run */

static void check(natsStatus status, const char *what)
{
    if (status != NATS_OK) die(name("NATS: %s: %s", what, natsStatus_GetText(status)));
}

static const char *missing(const struct bench *bench)
{
    (void)bench;
    return program_find("nats-server") == NULL ? "no nats-server in PATH" : NULL;
}

static const char *settings(void)
{
    return "loopback, streams in files, one message per call waits for the answer, more are "
           "published together";
}

/* The server writes where it listens into a file: {"nats":["nats://127.0.0.1:33333"],...}. */
static bool read_url(const char *program_dir)
{
    char command[5100];
    char text[512] = "";
    const char *start, *end;
    FILE *file;

    snprintf(command, sizeof command, "cat '%s'/nats-server_*.ports 2>/dev/null", program_dir);
    file = popen(command, "r");
    if (file == NULL) die_os("popen");
    if (fgets(text, sizeof text, file) == NULL) text[0] = '\0';
    pclose(file);
    start = strstr(text, "nats://");
    end = start == NULL ? NULL : strchr(start, '"');
    if (end == NULL) return false;
    snprintf(url, sizeof url, "%.*s", (int)(end - start), start);
    return true;
}

/* Once; it stays until the program ends. */
static void start(const struct bench *bench)
{
    const char *const argv[] = {program_find("nats-server"),
                                "--addr",
                                "127.0.0.1",
                                "--port",
                                "-1",
                                "--ports_file_dir",
                                bench->dir,
                                "--jetstream",
                                "--store_dir",
                                name("%s/nats", bench->dir),
                                NULL};

    if (url[0] != '\0') return;
    server_start(bench, argv);
    for (int i = 0; i < 500 && !read_url(bench->dir); i++) usleep(10000);
    if (url[0] == '\0') die("NATS: the server does not start");
}

static void *connection_open(void *log)
{
    struct connection *c = allocate(sizeof *c);

    c->log = log;
    check(natsConnection_ConnectTo(&c->nats, url), "connect");
    check(natsConnection_JetStream(&c->js, c->nats, NULL), "JetStream");
    return c;
}

static void connection_close(void *arg)
{
    struct connection *c = arg;

    natsSubscription_Destroy(c->subscription);
    jsCtx_Destroy(c->js);
    natsConnection_Destroy(c->nats);
    free(c);
}

static void *log_open(const struct bench *bench, bool durable)
{
    struct log *log = allocate(sizeof *log);
    const char *subjects[1];
    jsStreamConfig config;
    struct connection *c;

    (void)durable;
    start(bench);
    snprintf(log->stream, sizeof log->stream, "stream-%u", log_number());
    subjects[0] = log->stream;
    jsStreamConfig_Init(&config);
    config.Name = log->stream;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    c = connection_open(log);
    check(js_AddStream(NULL, c->js, &config, NULL, NULL), "add a stream");
    connection_close(c);
    return log;
}

static void log_close(void *arg)
{
    struct log *log = arg;
    struct connection *c = connection_open(log);

    check(js_DeleteStream(c->js, log->stream, NULL, NULL), "delete a stream");
    connection_close(c);
    free(log);
}

static void append(void *arg, const rill_record *records, size_t count)
{
    struct connection *c = arg;
    jsPubOptions options;

    if (count == 1) {
        check(js_Publish(NULL, c->js, c->log->stream, record_bytes(records),
                         (int)record_size(records), NULL, NULL),
              "publish");
        return;
    }
    for (size_t i = 0; i < count; i++)
        check(js_PublishAsync(c->js, c->log->stream, record_bytes(&records[i]),
                              (int)record_size(&records[i]), NULL),
              "publish");
    jsPubOptions_Init(&options);
    options.MaxWait = WAIT_MS;
    check(js_PublishAsyncComplete(c->js, &options), "publish");
}

static void *reader_open(void *log, bool wait)
{
    struct connection *c = connection_open(log);
    jsSubOptions options;

    jsSubOptions_Init(&options);
    options.Ordered = true;
    options.Config.DeliverPolicy = js_DeliverAll;
    check(js_SubscribeSync(&c->subscription, c->js, c->log->stream, NULL, &options, NULL),
          "subscribe");
    natsSubscription_SetPendingLimits(c->subscription, -1, -1);
    c->timeout_ms = wait ? WAIT_MS : 1;
    return c;
}

static void read_some(void *arg, struct sink *sink)
{
    struct connection *c = arg;
    natsMsg *message;
    natsStatus status = natsSubscription_NextMsg(&message, c->subscription, c->timeout_ms);

    if (status == NATS_TIMEOUT) return;
    check(status, "next message");
    sink_take_message(sink, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    natsMsg_Destroy(message);
}

static void *lookup_message(struct connection *c, uint64_t sequence)
{
    natsMsg *message;

    check(js_GetMsg(&message, c->js, c->log->stream, sequence, NULL, NULL), "get");
    return message;
}

static void lookup(void *arg, uint64_t number, struct sink *sink)
{
    natsMsg *message = lookup_message(arg, number + 1); /* they are counted from 1 */

    sink_take_message(sink, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    natsMsg_Destroy(message);
}

const struct peer peer_nats = {
    .name = "NATS JetStream",
    .can = PEER_STORES | PEER_WAITS | PEER_SLOW,
    .settings = settings,
    .missing = missing,
    .open = log_open,
    .close = log_close,
    .writer_open = connection_open,
    .append = append,
    .writer_close = connection_close,
    .reader_open = reader_open,
    .read = read_some,
    .reader_close = connection_close,
    .lookup = lookup,
};
