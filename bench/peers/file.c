/*
 * file.c - records one after the other in a file, by write(2) and read(2).
 *
 * The limit of what a program can have without a log: no checksums, no index, no
 * groups; a record is its size, its key and its value. An append is copied into a
 * buffer of 64 KiB, which is written when it is full and when the append ends; a
 * reader takes 64 KiB at a time. Lookups are by a fixed stride.
 */
#include "peers/peers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUFFER = 64 << 10, HEADER = sizeof(uint32_t) };

struct log {
    char path[5000];
    size_t stride; /* of the record that was appended last */
};

struct writer {
    struct log *log;
    int fd;
    size_t used;
    char buffer[BUFFER];
};

struct reader {
    struct log *log;
    int fd;
    size_t start, end; /* [start, end) of the buffer is read and not taken */
    char buffer[BUFFER];
};

static const char *settings(void)
{
    return "write(2) and read(2) of 64 KiB; not a system, nothing is checked or indexed";
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0) die_os(path);
    return fd;
}

static void *log_open(const struct bench *bench, bool durable)
{
    struct log *log = allocate(sizeof *log);

    (void)durable;
    snprintf(log->path, sizeof log->path, "%s/peer-file", bench->dir);
    close(open_file(log->path, O_WRONLY | O_CREAT | O_TRUNC));
    return log;
}

static void log_close(void *arg)
{
    struct log *log = arg;

    if (unlink(log->path) != 0) die_os(log->path);
    free(log);
}

static void *writer_open(void *arg)
{
    struct log *log = arg;
    struct writer *writer = allocate(sizeof *writer);

    writer->log = log;
    writer->fd = open_file(log->path, O_WRONLY | O_APPEND);
    return writer;
}

static void flush(struct writer *writer)
{
    if (write(writer->fd, writer->buffer, writer->used) != (ssize_t)writer->used)
        die_os(writer->log->path);
    writer->used = 0;
}

static void append(void *arg, const rill_record *records, size_t count)
{
    struct writer *writer = arg;

    for (size_t i = 0; i < count; i++) {
        uint32_t size = (uint32_t)record_size(&records[i]);
        char *at;

        if (writer->used + HEADER + size > BUFFER) flush(writer);
        at = writer->buffer + writer->used;
        memcpy(at, &size, HEADER);
        memcpy(at + HEADER, record_bytes(&records[i]), size);
        writer->used += HEADER + size;
    }
    writer->log->stride = HEADER + record_size(&records[0]);
    flush(writer);
}

static void writer_close(void *arg)
{
    struct writer *writer = arg;

    close(writer->fd);
    free(writer);
}

static void *reader_open(void *arg, bool wait)
{
    struct log *log = arg;
    struct reader *reader = allocate(sizeof *reader);

    (void)wait;
    reader->log = log;
    reader->fd = open_file(log->path, O_RDONLY);
    return reader;
}

static void read_some(void *arg, struct sink *sink)
{
    struct reader *reader = arg;
    size_t left = reader->end - reader->start;
    ssize_t got;

    memmove(reader->buffer, reader->buffer + reader->start, left);
    got = read(reader->fd, reader->buffer + left, BUFFER - left);
    if (got < 0) die_os(reader->log->path);
    reader->start = 0;
    reader->end = left + (size_t)got;
    for (;;) {
        const char *at = reader->buffer + reader->start;
        uint32_t size;

        if (reader->end - reader->start < HEADER) return;
        memcpy(&size, at, HEADER);
        if (reader->end - reader->start < HEADER + size) return;
        sink_take_message(sink, at + HEADER, size);
        reader->start += HEADER + size;
    }
}

static void reader_close(void *arg)
{
    struct reader *reader = arg;

    close(reader->fd);
    free(reader);
}

static void lookup(void *arg, uint64_t number, struct sink *sink)
{
    struct reader *reader = arg;
    size_t stride = reader->log->stride;

    if (pread(reader->fd, reader->buffer, stride, (off_t)(number * stride)) != (ssize_t)stride)
        die_os(reader->log->path);
    sink_take_message(sink, reader->buffer + HEADER, stride - HEADER);
}

const struct peer peer_file = {
    .name = "plain file",
    .can = PEER_STORES | PEER_LIMIT,
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
};
