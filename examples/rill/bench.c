/*
 * bench.c - rill bench: how fast this machine is, with a topic made for it.
 *
 * Three questions, one after the other: how many records per second can be
 * produced; how many can be read back, checksums verified; how long one record
 * takes that is appended and acknowledged alone. The topic is deleted at the end,
 * also after Ctrl-C; if we are killed, rill topic list --internal shows it.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool json, keep;
static int64_t records = 1000000, value_bytes = 100, partitions = 1, acks, batch_bytes,
               appends = 10000, segment_bytes, compression;

static const struct choice acks_choices[] = {{"none", RILL_ACKS_NONE},
                                             {"written", RILL_ACKS_WRITTEN},
                                             {"durable", RILL_ACKS_DURABLE},
                                             {0}};

static const struct option bench_options[] = {
    {"records", 'n', OPTION_NUMBER, &records, "N", "records to produce and read; 1,000,000", 1,
     INT64_MAX, 0},
    {"size", 0, OPTION_SIZE, &value_bytes, "SIZE", "of each value; 100", 0, 1 << 28, 0},
    {"partitions", 'p', OPTION_NUMBER, &partitions, "N", "of the topic; 1", 1, 10000, 0},
    {"acks", 'a', OPTION_CHOICE, &acks, "WHAT", "none, written or durable; written", 0, 0,
     acks_choices},
    {"batch-bytes", 0, OPTION_SIZE, &batch_bytes, "SIZE",
     "a batch goes out when it has so many; 64KiB", 256, 64 << 20, 0},
    {"segment-bytes", 0, OPTION_SIZE, &segment_bytes, "SIZE", "size of a segment file; 64MiB",
     65536, 1 << 30, 0},
    {"appends", 0, OPTION_NUMBER, &appends, "N",
     "records to append one by one, for five seconds at most; 10,000", 0, 10000000, 0},
    {"compression", 'z', OPTION_CHOICE, &compression, "CODEC", "none, lz4 or zstd; none", 0, 0,
     compressions},
    {"keep", 0, OPTION_FLAG, &keep, 0, "do not delete the topic", 0, 0, 0},
    {"json", 0, OPTION_FLAG, &json, 0, "an object", 0, 0, 0},
    {0},
};

struct figures {
    int64_t produced, consumed;
    double produce_s, consume_s;
    int64_t appended;
    int64_t *latency_ns; /* sorted */
};

static const char *acks_text(void)
{
    return acks == RILL_ACKS_NONE ? "none" : acks == RILL_ACKS_DURABLE ? "durable" : "written";
}

/* Bytes that do not compress to nothing, but as text does: to about half. */
static void fill(char *value, size_t size, uint64_t seed)
{
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < size; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        value[i] = "etaoinshrdlu 0123456789\\n"[state % 24];
    }
}

static int produce(rill_producer *producer, struct figures *figures)
{
    char *values = must_alloc((size_t)(value_bytes + 64) * 16);
    rill_record record = RILL_RECORD_INIT;
    char key[24];
    int64_t began_ns;
    int rc = 0;

    for (size_t i = 0; i < 16; i++)
        fill(values + i * (size_t)(value_bytes + 64), (size_t)value_bytes, i + 1);
    began_ns = steady_ns();
    while (figures->produced < records && rc == 0 && stopped == 0) {
        int64_t i = figures->produced;

        record.value = (rill_bytes){values + (size_t)(i & 15) * (size_t)(value_bytes + 64),
                                    (size_t)value_bytes};
        record.key =
            (rill_bytes){key, (size_t)snprintf(key, sizeof key, "%08" PRId64, i % 100000)};
        rc = rill_producer_send(producer, &record, NULL, 10000);
        if (rc == 0) figures->produced++;
        if ((i & 4095) == 0) progress("producing", (uint64_t)i, (uint64_t)records, false);
    }
    if (rc == 0) rc = rill_producer_flush(producer, 60000);
    figures->produce_s = (double)(steady_ns() - began_ns) / 1e9;
    free(values);
    return rc != 0 ? fail_rill(rc) : DONE;
}

static int consume(rill *store, const char *topic, struct figures *figures)
{
    static rill_record got[512];
    rill_consumer_options options = {.size = sizeof options};
    rill_consumer *consumer;
    rill_position *positions = must_alloc((size_t)partitions * sizeof *positions);
    int64_t began_ns;
    size_t count = 1;
    int rc = rill_consumer_open(store, &options, &consumer);

    if (rc != 0) {
        free(positions);
        return fail_rill(rc);
    }
    for (int32_t p = 0; p < partitions; p++)
        positions[p] = (rill_position){.topic = topic, .partition = p, .leader_epoch = -1};
    rc = rill_consumer_assign(consumer, positions, (size_t)partitions);
    began_ns = steady_ns();
    while (rc == 0 && figures->consumed < figures->produced && stopped == 0) {
        rc = rill_consumer_poll(consumer, 10000, got, 512, &count);
        if (rc == 0 && count == 0 && stopped == 0) break;
        figures->consumed += (int64_t)count;
        if ((figures->consumed & 4095) < 512)
            progress("consuming", (uint64_t)figures->consumed, (uint64_t)figures->produced,
                     false);
    }
    figures->consume_s = (double)(steady_ns() - began_ns) / 1e9;
    if (rc != 0) fail_rill(rc);
    rill_consumer_close(consumer, 1000);
    free(positions);
    if (rc != 0) return status_of(rc);
    if (figures->consumed < figures->produced && stopped == 0)
        return fail(FAILED, "%s of %s records came back", count_text(figures->consumed),
                    count_text(figures->produced));
    return DONE;
}

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static int append(rill_producer *producer, struct figures *figures)
{
    char *value = must_alloc((size_t)value_bytes + 1);
    rill_record record = RILL_RECORD_INIT;
    int64_t end_ns = steady_ns() + INT64_C(5000000000);
    int rc = 0;

    fill(value, (size_t)value_bytes, 17);
    record.value = (rill_bytes){value, (size_t)value_bytes};
    record.partition = 0;
    figures->latency_ns = must_alloc((size_t)(appends + 1) * sizeof *figures->latency_ns);
    while (figures->appended < appends && rc == 0 && stopped == 0) {
        int64_t began_ns = steady_ns();

        rc = rill_producer_append(producer, &record, 1, 10000, NULL);
        figures->latency_ns[figures->appended] = steady_ns() - began_ns;
        if (rc == 0) figures->appended++;
        if (began_ns > end_ns) break;
        progress("appending", (uint64_t)figures->appended, (uint64_t)appends, false);
    }
    qsort(figures->latency_ns, (size_t)figures->appended, sizeof *figures->latency_ns,
          compare_ns);
    free(value);
    return rc != 0 ? fail_rill(rc) : DONE;
}

static double percentile_us(const struct figures *figures, double part)
{
    return (double)figures->latency_ns[(size_t)((double)(figures->appended - 1) * part)] / 1000;
}

static void put_way(const char *what, int64_t count, double seconds)
{
    double bytes = (double)count * (double)(value_bytes + 8);

    if (json) {
        json_open(what, '{');
        json_number("records", count);
        json_real("seconds", seconds);
        json_real("records_per_second", (double)count / seconds);
        json_real("bytes_per_second", bytes / seconds);
        json_close();
        return;
    }
    putf("%-9s %12s records/s  %10s/s  %8.1f ns per record\n", what,
         count_text((int64_t)((double)count / seconds)), size_text((uint64_t)(bytes / seconds)),
         seconds * 1e9 / (double)count);
}

static void put_figures(const struct figures *figures)
{
    if (json) {
        json_open(NULL, '{');
        json_text("acks", acks_text());
        json_number("value_bytes", value_bytes);
        json_number("partitions", partitions);
    } else {
        putf("%s of %s, keys of 8 B, %s, acks %s\n", counted(records, "record"),
             size_text((uint64_t)value_bytes), counted(partitions, "partition"), acks_text());
    }
    if (figures->produced > 0) put_way("produce", figures->produced, figures->produce_s);
    if (figures->consumed > 0) put_way("consume", figures->consumed, figures->consume_s);
    if (json && figures->appended > 0) {
        json_open("append", '{');
        json_number("records", figures->appended);
        json_real("p50_us", percentile_us(figures, 0.5));
        json_real("p99_us", percentile_us(figures, 0.99));
        json_real("p999_us", percentile_us(figures, 0.999));
        json_real("max_us", percentile_us(figures, 1));
        json_close();
    } else if (figures->appended > 0) {
        putf("%-9s p50 %.1f us, p99 %.1f us, p99.9 %.1f us, longest %.1f us\n", "append",
             percentile_us(figures, 0.5), percentile_us(figures, 0.99),
             percentile_us(figures, 0.999), percentile_us(figures, 1));
    }
    if (json) json_close();
}

static int bench(rill *store, const char *topic)
{
    rill_topic_options topic_options = {.size = sizeof topic_options,
                                        .partition_count = (uint32_t)partitions,
                                        .segment_bytes = (uint64_t)segment_bytes};
    rill_producer_options options = {.size = sizeof options,
                                     .topic = topic,
                                     .acks = (int32_t)acks,
                                     .batch_bytes = (uint32_t)batch_bytes,
                                     .compression = (uint32_t)compression};
    struct figures figures = {0};
    rill_producer *producer;
    int rc = rill_topic_create(store, topic, &topic_options), status;

    if (rc != 0) return fail_rill(rc);
    rc = rill_producer_open(store, &options, &producer);
    if (rc != 0) {
        status = fail_rill(rc);
    } else {
        status = produce(producer, &figures);
        if (status == DONE && stopped == 0) status = consume(store, topic, &figures);
        if (status == DONE && stopped == 0 && appends > 0) status = append(producer, &figures);
        rill_producer_close(producer, 1000);
    }
    progress_clear();
    if (keep) {
        note("topic %s stays", topic);
    } else {
        rc = rill_topic_delete(store, topic);
        if (rc != 0 && status == DONE) status = fail_rill(rc);
    }
    if (status == DONE && stopped == 0) put_figures(&figures);
    free(figures.latency_ns);
    return status;
}

static int run_bench(char **arguments, size_t count)
{
    char topic[64];
    rill *store;
    int status = store_open(RILL_OPEN_THREAD, &store);

    (void)arguments, (void)count;
    if (status != DONE) return status;
    signals_catch();
    snprintf(topic, sizeof topic, "__rill-bench-%ld", (long)getpid());
    status = bench(store, topic);
    return stopped_status(store_close(store, status));
}

const struct command bench_commands[] = {
    {"bench", "", "how fast this machine is, with a topic made for it",
     "Produces, reads back with checksums verified, and appends one by one. It uses the disk of "
     "the "
     "store; what it writes is deleted at the end. Others in the store are slowed down "
     "meanwhile.",
     bench_options, "rill bench\nrill bench --size=1KiB --acks=durable --records=100000",
     run_bench},
    {0},
};
