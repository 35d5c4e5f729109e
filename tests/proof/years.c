/*
 * years.c - a store lives for years: what must stay stays, what must go goes.
 *
 * A case is one store, with one topic, on a simulated disk whose clocks the case
 * sets. It is written to, read, cleaned, altered, closed, opened and cut, while
 * days, weeks and years go by, and wall clocks jump. In memory there is a model of
 * all that was ever appended. After every pass of maintenance, every opening and
 * every power cut all is read and held against it:
 *
 *     what is there is what was appended, at its offset, in its order;
 *     what is not there had a reason to go: it was deleted by hand, was older than
 *     the retention by time that really passed (not by what a clock showed), was
 *     more than so many bytes, was consumed by all groups, or has a later record
 *     with its key, or is a tombstone whose time is over; in any configuration that
 *     was in force since the last look;
 *     what has gone stays gone; the log start never goes back; a key that a
 *     tombstone has deleted does not come back when the tombstone goes;
 *     after a whole pass nothing is left that had to go, but for the segment in
 *     which something has to stay;
 *     configuration, number of partitions and committed offsets are as they were
 *     acknowledged, or asked for when the power went;
 *     who reads below the log start is told where it is, or goes on there; readers
 *     that stand in a segment that goes read on without missing what is there; and
 *     looking for a time finds the first record.
 *
 * BUDGET counts lives; the closing line counts looks at the whole store. A
 * violation names its life, which CASE=n lives alone.
 */
#include "engine/store.h"
#include "proof.h"
#include "simdisk.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <sys/stat.h>

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)

enum { PARTITIONS = 3, RECORDS_MAX = 1400, KEYS = 14, GROUPS = 2, VALUE_MAX = 3600 };
enum { MOUNTS = 5, STEPS = 70, CONFIGS = 8, WAIT_MS = 10000 };

#define BEGINNING_MS (INT64_C(1767225600000)) /* 2026 */
#define BELIEVED_MS (3 * DAY)                 /* of a jump across a boot */
#define TOLERANCE_MS (30 * 1000)              /* small steps of clocks, not meant as jumps */

/* ---- The model ---- */

struct entry {
    uint32_t number;
    int8_t key; /* -1: none */
    bool tombstone;
    bool gone;        /* a look has seen that it is not there */
    int64_t born_ms;  /* when it really was appended */
    int64_t stamp_ms; /* as it was read; INT64_MIN: not yet */
    int64_t wall_ms;  /* what the wall clock showed then */
    int64_t believed; /* so much of jumps the store had believed by then */
};

struct part {
    struct entry entries[RECORDS_MAX];
    int64_t end; /* appended and acknowledged */
    int64_t attempted;
    int64_t durable;
    int64_t start;    /* seen, or acknowledged: it does not go back */
    int64_t deleting; /* all before it was asked to be deleted */
    int64_t compactable;
    int64_t committed[GROUPS]; /* -1: never */
    int64_t committing[GROUPS];
};

static struct model {
    rill_topic_options recent[CONFIGS]; /* that were in force since the last look, */
    int recent_count;                   /* the last one still is */
    rill_topic_options altering;
    bool is_altering;
    bool topic_made;
    uint32_t partition_count;
    uint32_t partitions_wanted;
    struct part parts[PARTITIONS];
} model, promised;

static struct test_random dice;
static bool cut;
static uint32_t next_number;
static rill *store;
static rill_producer *producers[2]; /* written, durable */
static rill_consumer *groups[GROUPS];
static rill_consumer *reader; /* goes through all of it, slowly */
static int64_t read_to[PARTITIONS];

static int64_t real_ms;     /* time that has really passed since the beginning */
static int64_t believed_ms; /* of jumps that the store may have believed */
static int64_t spare_ms;    /* that it may believe until the next boot */
static int64_t booted_ms;   /* real */
static int64_t steady_ms;   /* real: since then no clock has jumped, as maintenance saw it */
static bool jumped;         /* since the last maintenance */
static bool ever_jumped;    /* in this life */
static uint64_t looks;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

static int64_t between(int64_t least, int64_t most)
{
    return least + (int64_t)roll((uint64_t)(most - least + 1));
}

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
    va_list args;

    for (int i = 0; i < model.recent_count; i++) {
        const rill_topic_options *o = &model.recent[i];
        fprintf(stderr,
                "policy %u, retention %.2f days and %" PRIu64
                " bytes, tombstones %.2f days, lag %.2f days, segments %.2f days\n",
                o->cleanup_policy, (double)o->retention_ms / (double)DAY, o->retention_bytes,
                (double)o->delete_retention_ms / (double)DAY,
                (double)o->min_compaction_lag_ms / (double)DAY,
                (double)o->segment_ms / (double)DAY);
    }
    fprintf(stderr, "after %.1f days: ", (double)real_ms / (double)DAY);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}

/* What is done, with TRACE set. */
__attribute__((format(printf, 1, 2))) static void trace(const char *format, ...)
{
    va_list args;

    if (getenv("TRACE") == NULL) return;
    printf("%8.3f days%s: ", (double)real_ms / (double)DAY, cut ? ", cut" : "");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static const rill_topic_options *config(void)
{
    return &model.recent[model.recent_count - 1];
}

/* ---- Time ---- */

static void pass(int64_t ms)
{
    simdisk_pass(ms);
    real_ms += ms;
}

/* The wall clock is set. What a store may believe of it is only what comes with a
 * boot, or soon after it. */
static void jump(int64_t by)
{
    trace("the clock jumps by %.2f days", (double)by / (double)DAY);
    simdisk_set_wall(simdisk_wall() + by);
    if (by > 0) {
        int64_t used = by < spare_ms ? by : spare_ms;
        spare_ms -= used;
        believed_ms += used;
    }
    jumped = ever_jumped = true;
}

/* A machine goes on, with the clock that it has. */
static void boot(int64_t off_ms, int64_t wall_ms)
{
    int64_t should = wall_ms + off_ms;
    int64_t by = roll(4) == 0 && ever_jumped ? between(-30 * DAY, 30 * DAY) : 0;

    real_ms += off_ms;
    trace("boot");
    booted_ms = real_ms;
    spare_ms = BELIEVED_MS;
    simdisk_set_wall(should);
    if (by != 0) jump(by);
    /* A jump that maintenance has not seen before comes with the boot. */
    if (jumped) {
        believed_ms += spare_ms;
        spare_ms = 0;
    }
    jumped = true; /* it does not know for how long it was off */
}

/* ---- Records that follow from their number ---- */

static size_t value_of(uint32_t number, uint8_t *value)
{
    struct test_random bytes = {number * UINT64_C(99991) + 3};
    size_t size = 16 + test_random_below(&bytes, number % 5 == 0 ? VALUE_MAX - 16 : 900);

    memset(value, (int)(test_random_next(&bytes) & 0xff), size);
    for (size_t i = 0; i + 8 <= size / 2; i += 8) {
        uint64_t word = test_random_next(&bytes);
        memcpy(value + i, &word, 8);
    }
    memcpy(value, &number, sizeof number);
    return size;
}

static void check_record(const rill_record *record, const struct entry *e, int p)
{
    static uint8_t value[VALUE_MAX];
    size_t size = value_of(e->number, value);

    if (e->key >= 0 ? record->key.size != 1 || *(const int8_t *)record->key.data != e->key
                    : record->key.data != NULL)
        wrong("partition %d, offset %" PRId64 " has another key", p, record->offset);
    if (e->tombstone ? record->value.data != NULL
                     : record->value.size != size || memcmp(record->value.data, value, size) != 0)
        wrong("partition %d, offset %" PRId64 " has another value", p, record->offset);
}

/* ---- What may go, and what must ---- */

static bool has(const rill_topic_options *o, uint32_t policy)
{
    return (o->cleanup_policy & policy) != 0;
}

/* So long ago it was, as far as a store can know that may have believed a jump. */
static int64_t age_of(const struct entry *e)
{
    return real_ms - e->born_ms + (believed_ms - e->believed) + TOLERANCE_MS;
}

/* Is there a group that has not come so far; -1: there is no group. */
static int64_t lowest_committed(const struct part *part)
{
    int64_t lowest = -1;

    for (int g = 0; g < GROUPS; g++)
        if (part->committed[g] >= 0 && (lowest < 0 || part->committed[g] < lowest))
            lowest = part->committed[g];
    return lowest;
}

static bool may_be_deleted(const struct part *part, int64_t offset, uint64_t bytes_left)
{
    const struct entry *e = &part->entries[offset];

    if (offset < part->deleting) return true;
    for (int i = 0; i < model.recent_count; i++) {
        const rill_topic_options *o = &model.recent[i];
        if (has(o, RILL_CLEANUP_CONSUMED) && lowest_committed(part) > offset) return true;
        if (!has(o, RILL_CLEANUP_DELETE)) continue;
        if (o->retention_ms != 0 && age_of(e) > (int64_t)o->retention_ms) return true;
        /* Compaction may have made it less since. */
        if (o->retention_bytes != 0 &&
            (bytes_left >= o->retention_bytes || part->compactable > 0))
            return true;
    }
    return false;
}

static bool is_superseded(const struct part *part, int64_t offset)
{
    for (int64_t o = offset + 1; o < part->end; o++)
        if (part->entries[o].key == part->entries[offset].key) return true;
    return false;
}

static bool may_be_compacted(const struct part *part, int64_t offset)
{
    const struct entry *e = &part->entries[offset];
    bool superseded;

    if (offset >= part->compactable || e->key < 0) return false;
    superseded = is_superseded(part, offset);
    if (!superseded && !e->tombstone) return false;
    for (int i = 0; i < model.recent_count; i++) {
        const rill_topic_options *o = &model.recent[i];
        if (!has(o, RILL_CLEANUP_COMPACT) || age_of(e) < (int64_t)o->min_compaction_lag_ms)
            continue;
        if (superseded || age_of(e) > (int64_t)o->delete_retention_ms) return true;
    }
    return false;
}

/* ---- Looking at all of it ---- */

static bool there[RECORDS_MAX];

static rill_consumer *open_at(int p, int64_t offset, int32_t reset)
{
    rill_consumer_options in = {.size = sizeof in, .auto_offset_reset = reset};
    rill_position from = {"t", p, -1, offset, NULL};
    rill_consumer *consumer;

    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_assign(consumer, &from, 1));
    return consumer;
}

static void read_all(int p, int64_t start)
{
    struct part *part = &model.parts[p];
    rill_consumer *consumer = open_at(p, RILL_OFFSET_EARLIEST, RILL_RESET_ERROR);
    rill_record records[64];
    int64_t next = start;
    size_t count;

    memset(there, 0, sizeof there);
    do {
        OK(rill_consumer_poll(consumer, 0, records, 64, &count));
        for (size_t i = 0; i < count; i++) {
            int64_t offset = records[i].offset;
            if (offset < next || offset >= part->end)
                wrong("partition %d, offset %" PRId64 " comes where %" PRId64 " to %" PRId64
                      " may",
                      p, offset, next, part->end);
            check_record(&records[i], &part->entries[offset], p);
            if (part->entries[offset].stamp_ms != INT64_MIN &&
                part->entries[offset].stamp_ms != records[i].timestamp_ms)
                wrong("partition %d, offset %" PRId64 " has another time", p, offset);
            part->entries[offset].stamp_ms = records[i].timestamp_ms;
            there[offset] = true;
            next = offset + 1;
        }
    } while (count > 0);
    OK(rill_consumer_close(consumer, 0));
}

/* What has gone had a reason to, and stays gone. */
static void judge_what_is_gone(int p, const rill_partition_info *info)
{
    struct part *part = &model.parts[p];

    if (info->log_start < part->start)
        wrong("partition %d begins at %" PRId64 ", which was at %" PRId64 " before", p,
              info->log_start, part->start);
    for (int64_t o = part->start; o < info->log_start; o++)
        if (!part->entries[o].gone && !may_be_deleted(part, o, info->segment_bytes))
            wrong("partition %d begins at %" PRId64 ", and %" PRId64
                  ", %.2f days old, had no reason to go",
                  p, info->log_start, o,
                  (double)(real_ms - part->entries[o].born_ms) / (double)DAY);
    part->start = info->log_start;
    for (int64_t o = part->start; o < part->end; o++) {
        if (there[o] && part->entries[o].gone)
            wrong("partition %d, offset %" PRId64 " was gone, and is there again", p, o);
        if (!there[o] && !part->entries[o].gone && !may_be_compacted(part, o))
            wrong("partition %d, offset %" PRId64
                  " with key %d, %.2f days old, is missing (log %" PRId64 " to %" PRId64
                  ", compacted to %" PRId64 ")",
                  p, o, part->entries[o].key,
                  (double)(real_ms - part->entries[o].born_ms) / (double)DAY, part->start,
                  part->end, part->compactable);
        if (!there[o]) part->entries[o].gone = true;
    }
}

/* Of each key the last record is there, unless it is a tombstone; and if that is
 * gone, so is all that it has deleted. */
static void judge_keys(int p)
{
    struct part *part = &model.parts[p];

    for (int8_t key = 0; key < KEYS; key++) {
        int64_t last = -1;
        int64_t seen = -1;
        for (int64_t o = part->start; o < part->end; o++) {
            if (part->entries[o].key != key) continue;
            last = o;
            if (there[o]) seen = o;
        }
        if (last < 0 || seen == last) continue;
        if (!part->entries[last].tombstone)
            wrong("partition %d, key %d: its last record, at %" PRId64 ", is missing", p, key,
                  last);
        if (seen >= 0)
            wrong("partition %d, key %d: the tombstone at %" PRId64
                  " is gone, and the record at %" PRId64 " is back",
                  p, key, last, seen);
    }
}

static size_t stored_size(const struct entry *e)
{
    static uint8_t value[VALUE_MAX];
    return e->tombstone ? 0 : value_of(e->number, value);
}

/* Of what has to go before `limit` no more is left than is in one segment with what
 * has to stay. */
static void judge_left(int p, int64_t limit, const char *why)
{
    const struct part *part = &model.parts[p];
    uint64_t bytes = 0;

    for (int64_t o = part->start; o < limit; o++)
        if (there[o]) bytes += stored_size(&part->entries[o]);
    if (bytes > 256 << 10)
        wrong("partition %d: %" PRIu64 " bytes before %" PRId64 " are left, which should %s", p,
              bytes, limit, why);
}

/* Has the clock been steady for so long, since the boot too, that it is believed? */
static bool is_believed(int64_t for_ms)
{
    return real_ms - steady_ms > for_ms + HOUR;
}

/* By all that is known of its time: what was given, or when it was appended; which may be
 * that of an earlier one, since it does not go back. */
static bool is_before(const struct entry *e, int64_t time_ms)
{
    return e->wall_ms < time_ms && e->stamp_ms < time_ms;
}

static void judge_what_must_go(int p, const rill_partition_info *info)
{
    const struct part *part = &model.parts[p];
    const rill_topic_options *o = config();
    int64_t old = part->start;

    if (has(o, RILL_CLEANUP_CONSUMED) && lowest_committed(part) >= 0)
        judge_left(p, lowest_committed(part), "be consumed");
    if (!has(o, RILL_CLEANUP_DELETE)) return;
    /* All but the first of them and the active one. */
    if (o->retention_bytes != 0 && info->segment_bytes > o->retention_bytes + 2 * (256 << 10))
        wrong("partition %d has %" PRIu64 " bytes, %" PRIu64 " are allowed", p,
              info->segment_bytes, o->retention_bytes);
    if (o->retention_ms == 0 || o->retention_ms > (uint64_t)YEAR || simdisk_wall() < YEAR ||
        !is_believed((int64_t)o->retention_ms))
        return;
    while (old < part->end && is_before(&part->entries[old],
                                        simdisk_wall() - (int64_t)o->retention_ms - TOLERANCE_MS))
        old++;
    judge_left(p, old, "be too old");
    /* One that was deleted by hand may be in the first segment. */
    for (int64_t o2 = part->start; o2 > 0 && o2 > part->start - 200; o2--)
        if (!is_before(&part->entries[o2 - 1],
                       simdisk_wall() - (int64_t)o->retention_ms - TOLERANCE_MS))
            return;
    if (old == part->end && part->start != part->end)
        wrong("partition %d has offsets %" PRId64 " to %" PRId64 ", all of them too old", p,
              part->start, part->end);
}

/* Who reads what is gone is told so, or goes on where the log begins. */
static void read_below_start(int p)
{
    int64_t start = model.parts[p].start;
    rill_consumer *consumer;
    rill_record record;
    char text[40];
    size_t count;
    int rc;

    if (start == 0) return;
    OK(rill_consumer_open(store, NULL, &consumer));
    {
        rill_position from = {"t", p, -1, (int64_t)roll((uint64_t)start), NULL};
        rc = rill_consumer_assign(consumer, &from, 1);
    }
    if (rc != RILL_ERR_RANGE) wrong("reading below the log start: %d, %s", rc, rill_errmsg());
    snprintf(text, sizeof text, "%" PRId64, start);
    if (strstr(rill_errmsg(), text) == NULL)
        wrong("the log begins at %" PRId64 ", and this is said: %s", start, rill_errmsg());
    OK(rill_consumer_close(consumer, 0));
    consumer = open_at(p, RILL_OFFSET_EARLIEST, RILL_RESET_EARLIEST);
    OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
    for (int64_t o = start; o < model.parts[p].end; o++) {
        if (!there[o]) continue;
        if (count != 1 || record.offset != o)
            wrong("partition %d: the first record is not at %" PRId64, p, o);
        break;
    }
    OK(rill_consumer_close(consumer, 0));
}

static void look_for_time(int p)
{
    const struct part *part = &model.parts[p];
    int64_t found;
    int64_t first = RILL_OFFSET_NONE;
    int64_t time;

    if (part->start == part->end) return;
    time = part->entries[between(part->start, part->end - 1)].stamp_ms;
    if (time <= 0) return;
    time += between(-1, 1);
    for (int64_t o = part->start; o < part->end && first == RILL_OFFSET_NONE; o++)
        if (there[o] && part->entries[o].stamp_ms >= time) first = o;
    OK(rill_partition_offset_for_time(store, "t", p, time, &found));
    if (found != first)
        wrong("partition %d: time %" PRId64 " is found at %" PRId64 ", not at %" PRId64, p, time,
              found, first);
}

/* cleaned: a whole pass has just been done. */
static void look(bool cleaned)
{
    for (uint32_t p = 0; p < model.partition_count; p++) {
        rill_partition_info info;
        OK(rill_partition_describe(store, "t", (int32_t)p, &info));
        trace("%u has %" PRId64 " to %" PRId64 ", %u segments", p, info.log_start, info.log_end,
              info.segment_count);
        if (info.log_end != model.parts[p].end)
            wrong("partition %u ends at %" PRId64 ", not at %" PRId64, p, info.log_end,
                  model.parts[p].end);
        read_all((int)p, info.log_start);
        judge_what_is_gone((int)p, &info);
        judge_keys((int)p);
        if (cleaned) judge_what_must_go((int)p, &info);
        read_below_start((int)p);
        look_for_time((int)p);
        looks++;
    }
    if (cleaned) { /* what was in force before is in force no more */
        model.recent[0] = *config();
        model.recent_count = 1;
    }
}

/* ---- Opening and closing ---- */

static void on_cut(void *arg)
{
    (void)arg;
    promised = model;
    cut = true;
}

static uint32_t any_compression(void)
{
    static const uint32_t codes[] = {RILL_COMPRESSION_NONE, RILL_COMPRESSION_LZ4,
                                     RILL_COMPRESSION_ZSTD};
    uint32_t code = codes[roll(3)];

    return rill_compression_available(code) ? code : RILL_COMPRESSION_NONE;
}

static void open_reader(void)
{
    rill_consumer_options in = {.size = sizeof in, .auto_offset_reset = RILL_RESET_EARLIEST};

    OK(rill_consumer_open(store, &in, &reader));
    for (uint32_t p = 0; p < model.partition_count; p++) {
        rill_position from = {"t", (int32_t)p, -1, read_to[p], NULL};
        if (from.offset < model.parts[p].start || from.offset > model.parts[p].end)
            from.offset = RILL_OFFSET_EARLIEST;
        OK(rill_consumer_incremental_assign(reader, &from, 1));
        if (read_to[p] > model.parts[p].end) read_to[p] = model.parts[p].start;
    }
}

static void open_clients(void)
{
    rill_producer_options out = {.size = sizeof out, .topic = "t"};

    for (int i = 0; i < 2; i++) {
        out.acks = i == 0 ? RILL_ACKS_WRITTEN : RILL_ACKS_DURABLE;
        out.compression = any_compression();
        OK(rill_producer_open(store, &out, &producers[i]));
    }
    for (int g = 0; g < GROUPS; g++) {
        rill_consumer_options in = {.size = sizeof in, .group = g == 0 ? "g0" : "g1"};
        OK(rill_consumer_open(store, &in, &groups[g]));
    }
    open_reader();
}

static void open_store(const char *dir)
{
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .offsets_retention_ms = RILL_OFFSETS_FOREVER,
                            .compaction_memory_bytes = roll(2) == 0 ? 4096 : 0};
    OK(rill_open(dir, &options, &store));
}

static void close_clients(void)
{
    OK(rill_consumer_close(reader, 0));
    for (int g = 0; g < GROUPS; g++) OK(rill_consumer_close(groups[g], WAIT_MS));
    for (int i = 0; i < 2; i++) OK(rill_producer_close(producers[i], WAIT_MS));
}

static void close_store(void)
{
    close_clients();
    OK(rill_close(store));
    store = NULL;
}

/* ---- Configurations ---- */

static rill_topic_options any_config(void)
{
    static const uint32_t policies[] = {RILL_CLEANUP_DELETE,
                                        RILL_CLEANUP_DELETE,
                                        RILL_CLEANUP_COMPACT,
                                        RILL_CLEANUP_COMPACT,
                                        RILL_CLEANUP_COMPACT | RILL_CLEANUP_DELETE,
                                        RILL_CLEANUP_CONSUMED,
                                        RILL_CLEANUP_CONSUMED | RILL_CLEANUP_DELETE,
                                        RILL_CLEANUP_COMPACT | RILL_CLEANUP_CONSUMED};
    rill_topic_options o = {.size = sizeof o};

    o.cleanup_policy = policies[roll(8)];
    o.segment_bytes = (uint64_t)(64 << 10) << roll(2);
    o.segment_ms = (uint32_t)(roll(2) == 0 ? between(HOUR, DAY) : between(DAY, 10 * DAY));
    if (roll(3) == 0) o.segment_jitter_ms = o.segment_ms / 2;
    if (roll(4) != 0) o.retention_ms = (uint64_t)between(DAY, 40 * DAY);
    if (roll(3) == 0) o.retention_bytes = (uint64_t)between(128 << 10, 1 << 20);
    o.delete_retention_ms = (uint64_t)between(HOUR, 20 * DAY);
    if (roll(3) == 0) o.min_compaction_lag_ms = (uint64_t)between(HOUR, 8 * DAY);
    o.min_cleanable_dirty_ratio = (double)(1 + roll(100)) / 100;
    o.timestamp_type = RILL_TIMESTAMP_CREATE + (uint32_t)roll(2);
    o.compression = roll(2) == 0 ? 0 : any_compression();
    return o;
}

static bool is_same(const rill_topic_options *a, const rill_topic_options *b)
{
    return a->cleanup_policy == b->cleanup_policy && a->retention_ms == b->retention_ms &&
           a->retention_bytes == b->retention_bytes && a->segment_ms == b->segment_ms &&
           a->delete_retention_ms == b->delete_retention_ms &&
           a->min_compaction_lag_ms == b->min_compaction_lag_ms &&
           a->segment_bytes == b->segment_bytes && a->timestamp_type == b->timestamp_type;
}

static void take_config(const rill_topic_options *o)
{
    if (model.recent_count == CONFIGS) wrong("too many configurations between two looks");
    model.recent[model.recent_count++] = *o;
    model.is_altering = false;
}

static void alter(void)
{
    uint32_t fields = (RILL_TOPIC_MIN_CLEANABLE_DIRTY_RATIO << 1) - 1;

    if (model.recent_count >= CONFIGS - 1) return;
    model.altering = any_config();
    model.is_altering = true;
    fields &= ~(RILL_TOPIC_PARTITION_COUNT | RILL_TOPIC_INDEX_INTERVAL_BYTES);
    OK(rill_topic_alter(store, "t", fields, &model.altering));
    take_config(&model.altering);
    trace("altered: policy %u", config()->cleanup_policy);
}

static void make_topic(void)
{
    rill_topic_options o = any_config();

    o.partition_count = 1 + (uint32_t)roll(2);
    o.index_interval_bytes = 1024;
    model.partition_count = model.partitions_wanted = o.partition_count;
    model.recent_count = 0;
    take_config(&o);
    OK(rill_topic_create(store, "t", &o));
    model.topic_made = true;
}

/* ---- What is done ---- */

static void append(void)
{
    int p = (int)roll(model.partition_count);
    int which = roll(5) == 0;
    static uint8_t values[8][VALUE_MAX];
    static int8_t keys[8];
    rill_record records[8];
    size_t count = 1 + roll(8);
    struct part *part = &model.parts[p];
    rill_offset offset;

    if (part->end + (int64_t)count > RECORDS_MAX) return;
    for (size_t i = 0; i < count; i++) {
        struct entry *e = &part->entries[part->end + (int64_t)i];
        *e = (struct entry){.number = next_number++,
                            .key = (int8_t)(roll(3) == 0 ? roll(KEYS) : roll(3)),
                            .tombstone = roll(6) == 0,
                            .born_ms = real_ms,
                            .stamp_ms = INT64_MIN,
                            .wall_ms = simdisk_wall(),
                            .believed = believed_ms};
        if (!has(config(), RILL_CLEANUP_COMPACT) && roll(4) == 0) e->key = -1;
        keys[i] = e->key;
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = p;
        if (e->key >= 0) records[i].key = (rill_bytes){&keys[i], 1};
        if (!e->tombstone)
            records[i].value = (rill_bytes){values[i], value_of(e->number, values[i])};
    }
    part->attempted = part->end + (int64_t)count;
    OK(rill_producer_append(producers[which], records, count, WAIT_MS, &offset));
    if (offset != part->end) wrong("appended at %" PRId64 ", not at %" PRId64, offset, part->end);
    part->end = part->attempted;
    trace("appended %zu to %d, which ends at %" PRId64 "%s", count, p, part->end,
          which == 1 ? ", durably" : "");
    if (which == 1) part->durable = part->end;
}

static void sync_all(void)
{
    trace("sync");
    OK(rill_sync(store, WAIT_MS));
    for (uint32_t p = 0; p < model.partition_count; p++)
        model.parts[p].durable = model.parts[p].end;
}

static void commit(void)
{
    int p = (int)roll(model.partition_count);
    int g = (int)roll(GROUPS);
    struct part *part = &model.parts[p];
    int64_t from = part->committed[g] > part->start ? part->committed[g] : part->start;
    rill_position position = {"t", p, -1, between(from, part->end), NULL};

    part->committing[g] = position.offset;
    OK(rill_consumer_commit(groups[g], &position, 1));
    part->committed[g] = position.offset;
    trace("g%d committed %" PRId64 " of %d", g, position.offset, p);
}

static void add_partition(void)
{
    if (model.partition_count == PARTITIONS) return;
    model.partitions_wanted = model.partition_count + 1;
    OK(rill_topic_add_partitions(store, "t", model.partitions_wanted));
    model.partition_count = model.partitions_wanted;
    if (cut) return; /* the rest of this life was not */
    OK(rill_consumer_close(reader, 0));
    open_reader();
}

static void delete_records(void)
{
    int p = (int)roll(model.partition_count);
    struct part *part = &model.parts[p];
    int64_t before =
        roll(8) == 0 ? part->end : between(part->start, (part->start + part->end) / 2);
    int64_t now;

    if (before > part->deleting) part->deleting = before;
    OK(rill_partition_delete_records(store, "t", p, before, &now));
    if (now != (before > part->start ? before : part->start))
        wrong("deleted before %" PRId64 ", and the log begins at %" PRId64, before, now);
    trace("deleted before %" PRId64 " of %d", now, p);
    for (int64_t o = part->start; o < now; o++) part->entries[o].gone = true;
    part->start = now;
}

/* A few records; what is passed over may have gone. */
static void read_on(void)
{
    rill_record records[16];
    size_t count;

    OK(rill_consumer_poll(reader, 0, records, 1 + roll(16), &count));
    for (size_t i = 0; i < count; i++) {
        int p = records[i].partition;
        struct part *part = &model.parts[p];
        int64_t offset = records[i].offset;

        if (offset < read_to[p] || offset >= part->end)
            wrong("a reader at %" PRId64 " gets %" PRId64, read_to[p], offset);
        check_record(&records[i], &part->entries[offset], p);
        for (int64_t o = read_to[p]; o < offset; o++)
            if (o >= part->start && !part->entries[o].gone && !may_be_compacted(part, o))
                wrong("a reader at %" PRId64 " gets %" PRId64 ", and %" PRId64 " was there",
                      read_to[p], offset, o);
        read_to[p] = offset + 1;
    }
}

/* Until a pass is done, however many shares it takes. */
static void clean(void)
{
    int64_t before = atomic_load(&store->store->shared->clean.done_ms);
    uint32_t next_ms;
    int turns = 0;

    pass(6 * MINUTE); /* so one is due */
    for (uint32_t p = 0; p < model.partition_count; p++)
        if (has(config(), RILL_CLEANUP_COMPACT)) model.parts[p].compactable = model.parts[p].end;
    do {
        OK(rill_maintain(store, &next_ms));
        pass(50);
        if (++turns > 10000) wrong("cleaning comes to no end");
    } while (atomic_load(&store->store->shared->clean.done_ms) == before);
    trace("cleaned, in %d turns", turns);
    if (jumped) {
        jumped = false;
        steady_ms = real_ms;
    }
    if (real_ms - booted_ms > HOUR) spare_ms = 0;
}

static void let_time_pass(void)
{
    switch (roll(5)) {
    case 0: pass(between(1, HOUR)); break;
    case 1:
    case 2: pass(between(HOUR, DAY)); break;
    case 3: pass(between(DAY, 6 * DAY)); break;
    default: pass(between(0, 30 * DAY)); break;
    }
}

static void let_clock_jump(void)
{
    switch (roll(4)) {
    case 0: jump(between(-DAY, DAY)); break;
    case 1: jump(YEAR); break;
    case 2: jump(simdisk_wall() > BEGINNING_MS ? -YEAR : YEAR); break;
    default: jump(BEGINNING_MS + real_ms - simdisk_wall()); break; /* put right */
    }
}

/* In a stormy life clocks jump. */
static void live(const char *dir, uint64_t steps, bool stormy)
{
    for (uint64_t i = 0; i < steps && !cut; i++) {
        switch (roll(24)) {
        case 0: sync_all(); break;
        case 1: commit(); break;
        case 2: delete_records(); break;
        case 3: alter(); break;
        case 4:
            if (roll(4) == 0) add_partition();
            break;
        case 5:
            trace("close and open");
            close_store();
            if (!cut) pass(between(0, DAY));
            open_store(dir);
            open_clients();
            if (!cut) look(false);
            break;
        case 6:
            if (stormy) let_clock_jump();
            break;
        case 7:
        case 8:
        case 9: read_on(); break;
        case 10:
        case 11:
        case 12: let_time_pass(); break;
        case 13:
        case 14:
            clean();
            if (!cut) look(true);
            break;
        default: append(); break;
        }
    }
}

/* ---- After a boot, or a cut ---- */

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

static void check_topic(void)
{
    rill_topic_info info;
    int rc = rill_topic_describe(store, "t", &info);
    rill_topic_options *now = &info.options;

    if (!model.topic_made && rc == RILL_ERR_NOT_FOUND) {
        make_topic();
        return;
    }
    OK(rc);
    if (now->partition_count != model.partition_count &&
        now->partition_count != model.partitions_wanted)
        wrong("%u partitions, not %u or %u", now->partition_count, model.partition_count,
              model.partitions_wanted);
    model.partition_count = model.partitions_wanted = now->partition_count;
    model.topic_made = true;
    if (!is_same(now, config())) {
        if (!model.is_altering || !is_same(now, &model.altering))
            wrong("the configuration is none that was acknowledged or asked for");
        take_config(&model.altering);
    }
    model.is_altering = false;
}

static void check_committed(int p, int64_t end)
{
    struct part *part = &model.parts[p];

    for (int g = 0; g < GROUPS; g++) {
        rill_position position;
        int64_t now;

        OK(rill_consumer_committed(groups[g], "t", p, &position, NULL, 0));
        now = position.offset == RILL_OFFSET_NONE ? -1 : position.offset;
        if (now != at_most(part->committed[g], end) && now != at_most(part->committing[g], end))
            wrong("partition %d: g%d has committed %" PRId64 ", not %" PRId64 " or %" PRId64, p,
                  g, now, part->committed[g], part->committing[g]);
        part->committed[g] = part->committing[g] = now;
    }
}

static void check_part(int p)
{
    struct part *part = &model.parts[p];
    rill_partition_info info;

    OK(rill_partition_describe(store, "t", p, &info));
    if (info.log_end < part->durable || info.log_end > part->attempted)
        wrong("partition %d ends at %" PRId64 ", of %" PRId64 " durable and %" PRId64
              " appended ones",
              p, info.log_end, part->durable, part->attempted);
    check_committed(p, info.log_end);
    part->end = part->attempted = part->durable = info.log_end;
    part->compactable = at_most(part->compactable, info.log_end);
    part->deleting = at_most(part->deleting, info.log_end);
}

static void open_what_is_left(const char *dir)
{
    open_store(dir);
    check_topic();
    for (uint32_t p = 0; p < model.partition_count; p++) { /* before there are readers */
        rill_partition_info info;
        OK(rill_partition_describe(store, "t", (int32_t)p, &info));
        read_to[p] = info.log_start;
    }
    for (int g = 0; g < GROUPS; g++) {
        rill_consumer_options in = {.size = sizeof in, .group = g == 0 ? "g0" : "g1"};
        OK(rill_consumer_open(store, &in, &groups[g]));
    }
    for (uint32_t p = 0; p < model.partition_count; p++) check_part((int)p);
    for (int g = 0; g < GROUPS; g++) OK(rill_consumer_close(groups[g], WAIT_MS));
    open_clients();
}

static void begin_life(uint64_t number)
{
    test_directory();
    memset(&model, 0, sizeof model);
    for (int p = 0; p < PARTITIONS; p++)
        for (int g = 0; g < GROUPS; g++)
            model.parts[p].committed[g] = model.parts[p].committing[g] = -1;
    memset(read_to, 0, sizeof read_to);
    cut = false;
    next_number = (uint32_t)number * 100000;
    real_ms = believed_ms = booted_ms = steady_ms = 0;
    spare_ms = BELIEVED_MS;
    ever_jumped = false;
    jumped = true; /* the store knows nothing of the clock before it looks */
    assert_int_equal(mkdir(test_path("disk0"), 0700), 0);
}

static uint64_t seed;

static uint64_t run_life(uint64_t number)
{
    bool stormy;
    int64_t wall_ms = BEGINNING_MS;
    char names[MOUNTS + 1][16];

    dice.state = seed * 2 + 1 + number * UINT64_C(1000003);
    looks = 0;
    begin_life(number);
    stormy = roll(2) == 0;
    ever_jumped = stormy; /* from the beginning nothing is taken for granted */
    for (int i = 0; i <= MOUNTS; i++) snprintf(names[i], sizeof names[i], "disk%d", i);
    for (int i = 0; i < MOUNTS; i++) {
        char *dir = test_path(names[i]) == NULL ? NULL : strdup(test_path(names[i]));
        char *to = strdup(test_path(names[i + 1]));

        assert_true(dir != NULL && to != NULL);
        simdisk_mount(dir, &dice);
        if (i == 0) simdisk_set_wall(wall_ms);
        else boot(stormy ? between(0, 10 * DAY) : between(0, 2 * DAY), wall_ms);
        if (roll(3) != 0) simdisk_cut_at(1 + roll(roll(2) == 0 ? 200 : 3000), to, on_cut, NULL);
        open_what_is_left(dir);
        if (!cut) look(false);
        live(dir, STEPS, stormy);
        if (!cut) {
            clean();
            if (!cut) look(true);
        }
        if (!cut) {
            simdisk_cut(to);
            promised = model;
        }
        simdisk_cancel();
        close_store();
        wall_ms = simdisk_wall();
        simdisk_unmount();
        model = promised;
        cut = false;
        test_remove(dir);
        free(dir);
        free(to);
    }
    test_directory_remove();
    return looks;
}

int main(void)
{
    uint64_t lives = proof_budget(1500, getenv("RILL_TEST_SLOW") != NULL ? 3 : 40);

    seed = proof_seed();
    return proof_end("years", proof_run(lives, run_life));
}
