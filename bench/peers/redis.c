/*
 * redis.c - Redis Streams, over a unix socket to a server of our own.
 *
 * A log is a stream whose records have the ids 1-0, 1-1 and so on, numbered by the
 * server. An append is a pipeline of XADD; a reader asks for so many records after
 * its last one, and blocks in the server if it is to wait.
 */
#include "peers/peers.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_MAX = 1000, NAME_SIZE = 24 };

struct log {
    char stream[NAME_SIZE];
};

struct connection {
    struct log *log;
    redisContext *redis;
    char last[NAME_SIZE]; /* id of the record that was read last */
    int wait_ms;
};

static char socket_path[108];
static bool running;

static const char *missing(const struct bench *bench)
{
    if (program_find("redis-server") == NULL) return "no redis-server in PATH";
    if (snprintf(socket_path, sizeof socket_path, "%s/redis.sock", bench->dir) >=
        (int)sizeof socket_path)
        return "the directory's name is too long for a socket";
    return NULL;
}

static const char *settings(void)
{
    return "unix socket, appendonly, appendfsync everysec, a pipeline per batch; durable: "
           "appendfsync always";
}

static redisContext *connect_to_server(void)
{
    redisContext *redis = redisConnectUnix(socket_path);

    if (redis == NULL) die("out of memory");
    return redis;
}

/* Once; it stays until the program ends. */
static void start(const struct bench *bench)
{
    const char *program = program_find("redis-server");
    const char *const argv[] = {
        program,     "--port", "0",        "--unixsocket",
        socket_path, "--dir",  bench->dir, "--appendonly",
        "yes",       "--save", "",         "--auto-aof-rewrite-percentage",
        "0",         NULL};

    if (running) return;
    running = true;
    server_start(bench, argv);
    for (int i = 0; i < 500; i++, usleep(10000)) {
        redisContext *redis = connect_to_server();
        bool connected = redis->err == 0;

        redisFree(redis);
        if (connected) return;
    }
    die("Redis: the server does not answer");
}

static redisReply *checked(redisContext *redis, void *reply)
{
    redisReply *r = reply;

    if (r == NULL) die(name("Redis: %s", redis->errstr));
    if (r->type == REDIS_REPLY_ERROR) die(name("Redis: %s", r->str));
    return r;
}

static void command(redisContext *redis, const char *format, const char *word)
{
    freeReplyObject(checked(redis, redisCommand(redis, format, word)));
}

static void *connection_open(void *log)
{
    struct connection *c = allocate(sizeof *c);

    c->log = log;
    c->redis = connect_to_server();
    if (c->redis->err != 0) die(name("Redis: %s", c->redis->errstr));
    strcpy(c->last, "0-0");
    return c;
}

static void connection_close(void *arg)
{
    struct connection *c = arg;

    redisFree(c->redis);
    free(c);
}

static void *log_open(const struct bench *bench, bool durable)
{
    struct log *log = allocate(sizeof *log);
    struct connection *c;

    start(bench);
    snprintf(log->stream, sizeof log->stream, "stream-%u", log_number());
    c = connection_open(log);
    command(c->redis, "CONFIG SET appendfsync %s", durable ? "always" : "everysec");
    connection_close(c);
    return log;
}

static void log_close(void *arg)
{
    struct log *log = arg;
    struct connection *c = connection_open(log);

    command(c->redis, "DEL %s", log->stream);
    connection_close(c);
    free(log);
}

static void append(void *arg, const rill_record *records, size_t count)
{
    struct connection *c = arg;

    for (size_t i = 0; i < count; i++) {
        const char *words[] = {"XADD", c->log->stream, "1-*", "m", record_bytes(&records[i])};
        const size_t sizes[] = {4, strlen(c->log->stream), 3, 1, record_size(&records[i])};

        redisAppendCommandArgv(c->redis, 5, (const char **)words, sizes);
    }
    for (size_t i = 0; i < count; i++) {
        void *reply = NULL;

        redisGetReply(c->redis, &reply);
        freeReplyObject(checked(c->redis, reply));
    }
}

static void *reader_open(void *log, bool wait)
{
    struct connection *c = connection_open(log);

    c->wait_ms = wait ? 10000 : 1;
    return c;
}

/* An entry is its id and its fields: one, "m", and the message. */
static void take_entries(struct connection *c, const redisReply *entries, struct sink *sink)
{
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *message = entries->element[i]->element[1]->element[1];

        sink_take_message(sink, message->str, message->len);
    }
    if (entries->elements > 0)
        snprintf(c->last, sizeof c->last, "%s",
                 entries->element[entries->elements - 1]->element[0]->str);
}

static void read_some(void *arg, struct sink *sink)
{
    struct connection *c = arg;
    redisReply *reply =
        checked(c->redis, redisCommand(c->redis, "XREAD COUNT %d BLOCK %d STREAMS %s %s",
                                       READ_MAX, c->wait_ms, c->log->stream, c->last));

    /* Per stream its name and its entries; nil if there is nothing new. */
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1)
        take_entries(c, reply->element[0]->element[1], sink);
    freeReplyObject(reply);
}

static void lookup(void *arg, uint64_t number, struct sink *sink)
{
    struct connection *c = arg;
    redisReply *reply;

    reply =
        checked(c->redis, redisCommand(c->redis, "XRANGE %s 1-%llu 1-%llu", c->log->stream,
                                       (unsigned long long)number, (unsigned long long)number));
    if (reply->elements != 1) die("Redis: a record is missing");
    take_entries(c, reply, sink);
    freeReplyObject(reply);
}

static void commit(void *arg, uint64_t number)
{
    struct connection *c = arg;
    char text[NAME_SIZE];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    command(c->redis, "SET commit %s", text);
}

const struct peer peer_redis = {
    .name = "Redis Streams",
    .can = PEER_STORES | PEER_DURABLE | PEER_WAITS | PEER_SLOW,
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
    .commit = commit,
};
