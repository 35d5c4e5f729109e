/*
 * compress.c - what compression costs, and what it saves.
 *
 * Records look like JSON events of a service: the same names again and again, and
 * values of which some repeat and some do not. One thread sends all, then one reads
 * all, by each codec that this build has. Beside it, the codec alone, over blocks as
 * large as the producer's batches. MB are those of keys and values.
 */
#include "base/codec.h"
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOL = 2048, BLOCK = 64 << 10, READ_MAX = 1000 };

static char (*pool)[VALUE_MAX];
static size_t pool_size; /* of each value */

/* ---- Events ----------------------------------------------------------- */

static const char *const words[] = {
    "checkout", "login",  "search",  "view",    "purchase", "refund", "eu-west-1", "us-east-2",
    "mobile",   "tablet", "desktop", "pending", "done",     "failed", "visa",      "transfer"};

static const char *word(uint64_t *random, int from, int count)
{
    return words[from + (int)(next_random(random) % (uint64_t)count)];
}

/* Whole fields until the size is reached; the last one is cut. */
static void write_event(char *value, size_t size, uint64_t *random)
{
    char text[VALUE_MAX * 2];
    size_t at = (size_t)snprintf(
        text, sizeof text, "{\"id\":\"%016llx\",\"type\":\"%s\",\"ts\":17%011llu,\"user\":%llu",
        (unsigned long long)next_random(random), word(random, 0, 6),
        (unsigned long long)(next_random(random) % 100000000000),
        (unsigned long long)(next_random(random) % 100000));

    while (at < size)
        at += (size_t)snprintf(
            text + at, sizeof text - at,
            ",\"region\":\"%s\",\"device\":\"%s\",\"status\":\"%s\",\"method\":\"%s\","
            "\"amount\":%llu.%02llu,\"item\":{\"sku\":\"SKU-%06llu\",\"quantity\":%llu}",
            word(random, 6, 2), word(random, 8, 3), word(random, 11, 3), word(random, 14, 2),
            (unsigned long long)(next_random(random) % 1000),
            (unsigned long long)(next_random(random) % 100),
            (unsigned long long)(next_random(random) % 5000),
            (unsigned long long)(1 + next_random(random) % 9));
    memcpy(value, text, size);
    value[size - 1] = '}';
}

static void fill_pool(size_t size)
{
    uint64_t random = 42;

    if (pool == NULL) pool = malloc(POOL * sizeof *pool);
    if (pool == NULL) die("out of memory");
    pool_size = size;
    for (int i = 0; i < POOL; i++) write_event(pool[i], size, &random);
}

static void report(const char *system, uint64_t bytes, int64_t ns, const char *what)
{
    figure(name("compress %zu B", pool_size), system, (double)bytes * 1e3 / (double)ns, what,
           BACKGROUND);
}

/* ---- The codec alone -------------------------------------------------- */

static void alone(const struct bench *bench, uint32_t code, const char *codec_name)
{
    static char plain[BLOCK];
    static char packed[2 * BLOCK];
    struct heap heap;
    struct codec codec;
    uint64_t blocks = bench->bytes / 4 / BLOCK;
    size_t size = 0;
    int64_t start;

    rill__heap_init(&heap, NULL, 0);
    rill__codec_init(&codec, &heap);
    for (size_t at = 0, i = 0; at + pool_size <= BLOCK; at += pool_size, i++)
        memcpy(plain + at, pool[i], pool_size);
    start = now_ns();
    for (uint64_t i = 0; i < blocks; i++)
        if (rill__codec_compress(&codec, (int)code, 0, plain, BLOCK, packed, sizeof packed,
                                 &size) != 0)
            die_rill("compress");
    report(name("%s alone", codec_name), blocks * BLOCK, now_ns() - start, "MB/s in");
    start = now_ns();
    for (uint64_t i = 0; i < blocks; i++)
        if (rill__codec_decompress(&codec, (int)code, packed, size, plain, BLOCK) != 0)
            die_rill("decompress");
    report(name("%s alone", codec_name), blocks * BLOCK, now_ns() - start, "MB/s out");
    rill__codec_deinit(&codec);
}

/* ---- rill ------------------------------------------------------------- */

static void write_all(rill *store, uint32_t code, uint64_t count, const char *system)
{
    rill_producer_options options = {.size = sizeof options, .topic = TOPIC, .compression = code};
    rill_stats stats = {.size = sizeof stats};
    rill_record record = RILL_RECORD_INIT;
    rill_producer *producer;
    uint64_t number = 0;
    int64_t start;

    if (rill_producer_open(store, &options, &producer) != 0) die_rill("open a producer");
    record.partition = 0;
    start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        number = i;
        record.key = (rill_bytes){&number, KEY_SIZE};
        record.value = (rill_bytes){pool[i % POOL], pool_size};
        if (rill_producer_send(producer, &record, NULL, 10000) != 0) die_rill("send");
    }
    if (rill_producer_flush(producer, 60000) != 0) die_rill("flush");
    report(system, count * (KEY_SIZE + pool_size), now_ns() - start, "MB/s in");
    producer_close(producer);
    if (rill_stats_get(store, &stats) != 0) die_rill("stats");
    figure(name("compress %zu B", pool_size), system,
           (double)stats.bytes_uncompressed / (double)stats.bytes_appended, "times smaller",
           BACKGROUND);
}

static void read_all(rill *store, uint64_t count, const char *system)
{
    static rill_record records[READ_MAX];
    static volatile uint64_t sink;
    rill_consumer *consumer = consumer_at_start(store, NULL);
    uint64_t read = 0;
    int64_t start = now_ns();

    while (read < count) {
        size_t n;
        if (rill_consumer_poll(consumer, 1000, records, READ_MAX, &n) != 0) die_rill("poll");
        if (n == 0) die("records are missing");
        for (size_t i = 0; i < n; i++) sink += *(const uint8_t *)records[i].value.data;
        read += n;
    }
    (void)sink;
    report(system, count * (KEY_SIZE + pool_size), now_ns() - start, "MB/s out");
    if (rill_consumer_close(consumer, 1000) != 0) die_rill("close a consumer");
}

void bench_compress(const struct bench *bench)
{
    static const size_t sizes[] = {100, 1000};
    static const struct {
        uint32_t code;
        const char *name;
    } codecs[] = {{RILL_COMPRESSION_NONE, "none"},
                  {RILL_COMPRESSION_LZ4, "lz4"},
                  {RILL_COMPRESSION_ZSTD, "zstd"}};

    for (int s = 0; s < 2; s++) {
        uint64_t count = bench->bytes / 2 / (KEY_SIZE + sizes[s]);
        fill_pool(sizes[s]);
        for (int c = 0; c < 3; c++) {
            const char *system = name("rill, %s", codecs[c].name);
            rill *store;
            if (!rill_compression_available(codecs[c].code)) continue;
            if (codecs[c].code != RILL_COMPRESSION_NONE)
                alone(bench, codecs[c].code, codecs[c].name);
            store = store_open(bench, "store", true);
            write_all(store, codecs[c].code, count, system);
            read_all(store, count, system);
            store_close(store);
            store_remove(bench, "store");
        }
    }
}
