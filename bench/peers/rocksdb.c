/*
 * rocksdb.c - RocksDB as a queue: from a record's number, in the order of its bytes, to
 * the record.
 *
 * One database for all threads. An append is a write batch, which goes to the WAL
 * first; a reader is an iterator, made anew whenever it has reached the end.
 */
#include "peers/peers.h"

#include <endian.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { READ_MAX = 10000, MEMTABLE = 64 << 20 };

struct log {
    const struct bench *bench;
    const char *path;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    rocksdb_t *db;
    _Atomic uint64_t next; /* number of the next record */
};

struct writer {
    struct log *log;
    rocksdb_writebatch_t *batch;
};

struct reader {
    struct log *log;
    rocksdb_iterator_t *iterator; /* NULL: at the end, as far as it was looked at */
    uint64_t next;
};

static void check(const char *error, const char *what)
{
    if (error != NULL) die(name("RocksDB: %s: %s", what, error));
}

static const char *settings(void)
{
    return "WAL unsynced, memtables of 64 MiB, no compression, a write batch per batch; durable: "
           "sync of the WAL";
}

static void *log_open(const struct bench *bench, bool durable)
{
    struct log *log = allocate(sizeof *log);
    char *error = NULL;

    log->bench = bench;
    log->path = name("%s/peer-rocksdb", bench->dir);
    log->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(log->options, 1);
    rocksdb_options_set_compression(log->options, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(log->options, MEMTABLE);
    rocksdb_options_set_max_write_buffer_number(log->options, 4);
    rocksdb_options_increase_parallelism(log->options, 2);
    log->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(log->write, durable);
    log->read = rocksdb_readoptions_create();
    log->db = rocksdb_open(log->options, log->path, &error);
    check(error, "open");
    return log;
}

static void log_close(void *arg)
{
    struct log *log = arg;

    rocksdb_close(log->db);
    rocksdb_options_destroy(log->options);
    rocksdb_writeoptions_destroy(log->write);
    rocksdb_readoptions_destroy(log->read);
    store_remove(log->bench, "peer-rocksdb");
    free(log);
}

static void *writer_open(void *arg)
{
    struct writer *writer = allocate(sizeof *writer);

    *writer = (struct writer){arg, rocksdb_writebatch_create()};
    return writer;
}

static void write_batch(struct writer *writer)
{
    char *error = NULL;

    rocksdb_write(writer->log->db, writer->log->write, writer->batch, &error);
    check(error, "write");
    rocksdb_writebatch_clear(writer->batch);
}

static void append(void *arg, const rill_record *records, size_t count)
{
    struct writer *writer = arg;
    uint64_t number = atomic_fetch_add(&writer->log->next, count);

    for (size_t i = 0; i < count; i++) {
        uint64_t key = htobe64(number + i);

        rocksdb_writebatch_put(writer->batch, (const char *)&key, sizeof key,
                               record_bytes(&records[i]), record_size(&records[i]));
    }
    write_batch(writer);
}

static void writer_close(void *arg)
{
    struct writer *writer = arg;

    rocksdb_writebatch_destroy(writer->batch);
    free(writer);
}

static void *reader_open(void *arg, bool wait)
{
    struct reader *reader = allocate(sizeof *reader);

    (void)wait;
    reader->log = arg;
    return reader;
}

static void seek(struct reader *reader)
{
    uint64_t key = htobe64(reader->next);

    reader->iterator = rocksdb_create_iterator(reader->log->db, reader->log->read);
    rocksdb_iter_seek(reader->iterator, (const char *)&key, sizeof key);
}

static void read_some(void *arg, struct sink *sink)
{
    struct reader *reader = arg;
    int i = 0;

    if (reader->iterator == NULL) seek(reader);
    for (; i < READ_MAX && rocksdb_iter_valid(reader->iterator); i++) {
        size_t size;
        const char *value = rocksdb_iter_value(reader->iterator, &size);

        sink_take_message(sink, value, size);
        reader->next++;
        rocksdb_iter_next(reader->iterator);
    }
    if (i == READ_MAX) return;
    rocksdb_iter_destroy(reader->iterator);
    reader->iterator = NULL;
}

static void reader_close(void *arg)
{
    struct reader *reader = arg;

    if (reader->iterator != NULL) rocksdb_iter_destroy(reader->iterator);
    free(reader);
}

static void lookup(void *arg, uint64_t number, struct sink *sink)
{
    struct reader *reader = arg;
    uint64_t key = htobe64(number);
    char *error = NULL;
    const char *value;
    size_t size;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned(reader->log->db, reader->log->read,
                                                        (const char *)&key, sizeof key, &error);

    check(error, "get");
    if (slice == NULL) die("RocksDB: a record is missing");
    value = rocksdb_pinnableslice_value(slice, &size);
    sink_take_message(sink, value, size);
    rocksdb_pinnableslice_destroy(slice);
}

static void commit(void *arg, uint64_t number)
{
    struct writer *writer = arg;

    rocksdb_writebatch_put(writer->batch, "z", 1, (const char *)&number, sizeof number);
    write_batch(writer);
}

const struct peer peer_rocksdb = {
    .name = "RocksDB",
    .can = PEER_STORES | PEER_DURABLE,
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
