/*
 * sustained.c - gigabytes through rolls: what the append costs when memory, page cache
 * and disk have to keep up.
 *
 * Batches of 100 records of 100 bytes, with the thread of the store. Once everything is
 * kept; once retention, looked at every 10 ms because a run is short, lets a gigabyte
 * stand, as a log in use does, so that segments come back. Beside it, copies with an
 * XXH3 each through fresh files of a segment's size, which are removed again a gigabyte
 * later.
 */
#include "bench.h"

#include <string.h>

#define SEGMENT (UINT64_C(64) << 20)
#define KEPT (UINT64_C(1) << 30)
enum { VALUE = 100, SLOT = (KEY_SIZE + VALUE + 8 + 7) / 8 * 8 };

static const char *workload(uint64_t bytes)
{
    return name("append %d B, batches of %d, %d MiB through rolls", VALUE, BATCH,
                (int)(bytes >> 20));
}

static void report(uint64_t bytes, const char *system, uint64_t count, int64_t ns,
                   const char *synced)
{
    figure(workload(bytes), system, (double)count * 1e9 / (double)ns, "records/s", synced);
}

/* ---- The limit -------------------------------------------------------- */

static const char *segment_name(uint64_t number)
{
    return name("limit-%d", (int)(number % (KEPT / SEGMENT)));
}

static void fill_file(char *map, const rill_record *records, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++, map += SLOT) {
        uint64_t h;

        memcpy(map, records[i % BATCH].key.data, KEY_SIZE + VALUE);
        h = checksum(map, KEY_SIZE + VALUE);
        memcpy(map + KEY_SIZE + VALUE, &h, sizeof h);
    }
}

static void limit(const struct bench *bench, uint64_t bytes)
{
    uint64_t files = bytes / SEGMENT, per_file = SEGMENT / SLOT;
    void *maps[KEPT / SEGMENT];
    rill_record records[BATCH];
    int64_t start = now_ns();

    records_fill(records, BATCH, VALUE);
    for (uint64_t i = 0; i < files; i++) {
        void **map = &maps[i % (KEPT / SEGMENT)];

        if (i >= KEPT / SEGMENT) file_unmap(bench, segment_name(i), *map, SEGMENT);
        *map = file_map(bench, segment_name(i), SEGMENT, false);
        fill_file(*map, records, per_file);
    }
    report(bytes, "memcpy+XXH3, fresh files", files * per_file, now_ns() - start, NO);
    for (uint64_t i = 0; i < files && i < KEPT / SEGMENT; i++)
        file_unmap(bench, segment_name(i), maps[i], SEGMENT);
}

/* ---- rill ------------------------------------------------------------- */

static rill *open_store(const struct bench *bench, uint64_t retention_bytes)
{
    const rill_options options = {.size = sizeof options,
                                  .flags = RILL_OPEN_CREATE | RILL_OPEN_THREAD,
                                  .retention_check_interval_ms = retention_bytes == 0 ? 0 : 10};
    const rill_topic_options topic = {.size = sizeof topic, .retention_bytes = retention_bytes};
    rill *store;

    if (rill_open(name("%s/store", bench->dir), &options, &store) != 0) die_rill("open");
    if (rill_topic_create(store, TOPIC, &topic) != 0) die_rill("create");
    return store;
}

static void through_rolls(const struct bench *bench, uint64_t bytes, uint64_t retention_bytes,
                          const char *system)
{
    rill *store = open_store(bench, retention_bytes);
    uint64_t count = bytes / (KEY_SIZE + VALUE);
    int64_t start = now_ns();

    log_fill(store, count, VALUE);
    report(bytes, system, count, now_ns() - start, BACKGROUND);
    store_close(store);
    store_remove(bench, "store");
}

void bench_sustained(const struct bench *bench)
{
    uint64_t bytes = bench->quick ? UINT64_C(256) << 20 : UINT64_C(8) << 30;

    limit(bench, bytes);
    through_rolls(bench, bytes, KEPT, "rill, 1 GiB is kept");
    through_rolls(bench, bytes, 0, "rill, all is kept");
}
