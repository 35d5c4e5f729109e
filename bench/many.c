/*
 * many.c - a store with very many topics, partitions and segments.
 *
 * 1,000 topics of 10 partitions each: what it takes to open such a store, to sync it
 * and to close it when little or nothing is to be done, to write to all of it, and
 * what the process then has of memory, descriptors and maps. And a partition of very
 * many segments: what a roll, and the first look into it, cost then. The segments are
 * as small as they can be, and have one record.
 */
#include "bench.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PARTITIONS 10
#define MIB 1048576.0

static char topic_name[32];

static const char *topic_number(int number)
{
    snprintf(topic_name, sizeof topic_name, "topic-%d", number);
    return topic_name;
}

static rill *open_plain(const struct bench *bench)
{
    char path[1100];
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;

    snprintf(path, sizeof path, "%s/many", bench->dir);
    if (rill_open(path, &options, &store) != 0) die_rill("open");
    return store;
}

/* ---- What the process has --------------------------------------------- */

static double resident_mib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) die_os("/proc/self/statm");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / MIB;
}

static double descriptor_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double count = 0;

    if (dir == NULL) die_os("/proc/self/fd");
    while (readdir(dir) != NULL) count++;
    closedir(dir);
    return count - 3; /* ".", "..", and its own */
}

static double map_count(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    double count = 0;
    int c;

    if (file == NULL) die_os("/proc/self/maps");
    while ((c = getc(file)) != EOF) count += c == '\n';
    fclose(file);
    return count;
}

static double allocated_mib(rill *store)
{
    rill_stats stats = {.size = sizeof stats};

    if (rill_stats_get(store, &stats) != 0) die_rill("stats");
    return (double)stats.memory_bytes / MIB;
}

static void tell_use(const char *workload, rill *store, double before)
{
    figure(workload, "resident memory", resident_mib() - before, "MiB", NO);
    figure(workload, "allocated by rill", allocated_mib(store), "MiB", NO);
    figure(workload, "descriptors", descriptor_count(), "", NO);
    figure(workload, "maps", map_count(), "", NO);
}

static double ms_since(int64_t start)
{
    return (double)(now_ns() - start) / 1e6;
}

/* ---- Many partitions -------------------------------------------------- */

static void make_topics(const struct bench *bench, int topics)
{
    rill *store = open_plain(bench);
    rill_topic_options options = {
        .size = sizeof options, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    int64_t start = now_ns();

    for (int t = 0; t < topics; t++)
        if (rill_topic_create(store, topic_number(t), &options) != 0) die_rill("create");
    figure(name("make %d topics of %d partitions", topics, PARTITIONS), "rill", ms_since(start),
           "ms", EACH);
    store_close(store);
}

static void write_to_all(rill *store, int topics)
{
    rill_producer *producer = NULL;
    rill_record record = RILL_RECORD_INIT;

    if (rill_producer_open(store, NULL, &producer) != 0) die_rill("producer");
    record.value = (rill_bytes){"0123456789", 10};
    for (int t = 0; t < topics; t++)
        for (int p = 0; p < PARTITIONS; p++) {
            record.topic = topic_number(t);
            record.partition = p;
            if (rill_producer_append(producer, &record, 1, 10000, NULL) != 0) die_rill("append");
        }
    producer_close(producer);
}

static void open_sync_close(const struct bench *bench, int topics, const char *state)
{
    const char *workload = name("%d topics of %d partitions, %s", topics, PARTITIONS, state);
    double before = resident_mib();
    int64_t start = now_ns();
    rill *store = open_plain(bench);

    figure(workload, "open", ms_since(start), "ms", NO);
    start = now_ns();
    if (rill_maintain(store, NULL) != 0) die_rill("maintain");
    figure(workload, "maintain", ms_since(start), "ms", NO);
    tell_use(workload, store, before);
    start = now_ns();
    if (rill_sync(store, 60000) != 0) die_rill("sync");
    figure(workload, "sync, nothing to do", ms_since(start), "ms", EACH);
    start = now_ns();
    store_close(store);
    figure(workload, "close", ms_since(start), "ms", EACH);
}

static void many_partitions(const struct bench *bench)
{
    int topics = bench->quick ? 20 : 1000;
    const char *workload;
    double before;
    int64_t start;
    rill *store;

    make_topics(bench, topics);
    open_sync_close(bench, topics, "empty");
    before = resident_mib();
    store = open_plain(bench);
    workload = name("%d topics of %d partitions, all written to", topics, PARTITIONS);
    start = now_ns();
    write_to_all(store, topics);
    figure(workload, "one record to each, first use", ms_since(start), "ms", NO);
    tell_use(workload, store, before);
    start = now_ns();
    if (rill_sync(store, 60000) != 0) die_rill("sync");
    figure(workload, "sync", ms_since(start), "ms", EACH);
    start = now_ns();
    write_to_all(store, topics);
    figure(workload, "one record to each", ms_since(start), "ms", NO);
    start = now_ns();
    store_close(store);
    figure(workload, "close", ms_since(start), "ms", EACH);
    open_sync_close(bench, topics, "with a record in each");
    store_remove(bench, "many");
}

/* ---- Many segments ---------------------------------------------------- */

/* A segment is older than a millisecond when the next turn comes. */
static void many_segments(const struct bench *bench)
{
    int partitions = bench->quick ? 10 : 40;
    int rolls = bench->quick ? 20 : 2500;
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = (uint32_t)partitions,
                                  .segment_bytes = 64 << 10,
                                  .index_interval_bytes = 64 << 10,
                                  .segment_ms = 1};
    const char *workload = name("%d segments in each of %d partitions", rolls, partitions);
    rill_record record = RILL_RECORD_INIT;
    rill *store = open_plain(bench);
    rill_producer *producer = NULL;
    rill_topic_info info;
    rill_offset offset;
    double before;
    int64_t start;
    int64_t last = 0;

    if (rill_topic_create(store, "segments", &options) != 0) die_rill("create");
    if (rill_producer_open(store, NULL, &producer) != 0) die_rill("producer");
    record.topic = "segments";
    record.value = (rill_bytes){"0123456789", 10};
    for (int i = 0; i < rolls; i++) {
        int64_t turn = now_ns();
        for (int p = 0; p < partitions; p++) {
            record.partition = p;
            record.timestamp_ms = i + 1;
            if (rill_producer_append(producer, &record, 1, 10000, NULL) != 0) die_rill("append");
        }
        last = now_ns() - turn;
        if (i == 100)
            figure(workload, "roll, the hundredth", (double)last / partitions / 1e3, "us", NO);
        while (now_ns() - turn < 8000000) usleep(500); /* the coarse clock */
    }
    figure(workload, "roll, the last", (double)last / partitions / 1e3, "us", NO);
    producer_close(producer);
    store_close(store);
    before = resident_mib();
    start = now_ns();
    store = open_plain(bench);
    figure(workload, "open", ms_since(start), "ms", NO);
    start = now_ns();
    if (rill_partition_offset_for_time(store, "segments", 0, rolls / 2, &offset) != 0)
        die_rill("offset for time");
    figure(workload, "first look for a time", ms_since(start), "ms", NO);
    start = now_ns();
    if (rill_topic_describe(store, "segments", &info) != 0) die_rill("describe");
    figure(workload, "describe all", ms_since(start), "ms", NO);
    tell_use(workload, store, before);
    store_close(store);
    store_remove(bench, "many");
}

/* It takes so long that once must do. */
void bench_many(const struct bench *bench)
{
    static bool done;

    if (done) return;
    done = true;
    many_partitions(bench);
    many_segments(bench);
}
