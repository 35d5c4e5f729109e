/*
 * engine/stats.c - the counters, as a struct and as Prometheus' text.
 *
 * Format: https://prometheus.io/docs/instrumenting/exposition_formats, version
 * 0.0.4. What is counted is of all processes together, since the first of them
 * came into the store; what is measured is as it is now.
 */
#include "engine/store.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- The struct ------------------------------------------------------- */

static void add_counters(rill_stats *sum, const struct counters *c)
{
#define X(name, meaning) sum->name += atomic_load_explicit(&c->name, memory_order_relaxed);
    COUNTERS(X)
#undef X
}

static void add_gauges(rill_stats *sum, const struct counters *c)
{
#define X(name, meaning) sum->name += atomic_load_explicit(&c->name, memory_order_relaxed);
    GAUGES(X)
#undef X
}

/* A process that is gone has counted, but it has nothing now. */
static void sum_counters(struct store *store, rill_stats *sum)
{
    bool stopped;

    add_counters(sum, &store->shared->past);
    for (uint32_t i = 0; i < PROCESSES_MAX; i++) {
        add_counters(sum, &store->shared->counters[i]);
        if (rill__process_in_slot(store, i, &stopped) != 0)
            add_gauges(sum, &store->shared->counters[i]);
    }
}

int rill__store_stats(struct store *store, bool of_all, rill_stats *stats)
{
    rill_stats now = {0};

    if (stats->size < sizeof stats->size || stats->size > 4096)
        return rill__fail(RILL_ERR_INVALID,
                          "rill_stats: size is %zu; set it to sizeof(rill_stats)", stats->size);
    atomic_store_explicit(&store->counters->memory_bytes, atomic_load(&store->heap.bytes),
                          memory_order_relaxed);
    if (of_all) {
        sum_counters(store, &now);
    } else {
        add_counters(&now, store->counters);
        add_gauges(&now, store->counters);
    }
    now.size = stats->size;
    if (stats->size > sizeof now) memset((char *)stats + sizeof now, 0, stats->size - sizeof now);
    memcpy(stats, &now, stats->size < sizeof now ? stats->size : sizeof now);
    return 0;
}

/* ---- The text --------------------------------------------------------- */

/* Counts on when the room is full. */
struct page {
    char *text;
    size_t room;
    size_t size;
};

static void metric(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void metric(struct page *page, const char *format, ...)
{
    size_t left = page->size < page->room ? page->room - page->size : 0;
    va_list arguments;

    va_start(arguments, format);
    page->size +=
        (size_t)vsnprintf(left == 0 ? NULL : page->text + page->size, left, format, arguments);
    va_end(arguments);
}

static void head(struct page *page, const char *name, const char *kind, const char *meaning)
{
    metric(page, "# HELP rill_%s %s\n# TYPE rill_%s %s\n", name, meaning, name, kind);
}

static void counters_of(struct page *page, const rill_stats *all)
{
#define X(name, meaning)                                                                         \
    head(page, #name "_total", "counter", meaning);                                              \
    metric(page, "rill_" #name "_total %" PRIu64 "\n", (uint64_t)all->name);
    COUNTERS(X)
#undef X
#define X(name, meaning)                                                                         \
    head(page, #name, "gauge", meaning);                                                         \
    metric(page, "rill_" #name " %" PRIu64 "\n", (uint64_t)all->name);
    GAUGES(X)
#undef X
}

enum measure { MEASURE_START, MEASURE_END, MEASURE_DURABLE, MEASURES };

/* Only of partitions that this process has open: to open one for being looked
 * at would cost more than the look is worth. */
static void partitions_of(struct page *page, struct topic *topic, enum measure what)
{
    static const char *const names[] = {"log_start_offset", "log_end_offset",
                                        "durable_end_offset"};

    uint32_t count = rill__topic_partition_count(topic);

    for (uint32_t p = 0; p < count && !atomic_load(&topic->gone); p++) {
        struct log *log = rill__partition_if_open(topic, (int32_t)p);
        int64_t value;

        if (log == NULL) continue;
        value = what == MEASURE_START ? rill__log_start(log)
                : what == MEASURE_END ? rill__log_end(log)
                                      : rill__log_durable(log);
        metric(page, "rill_%s{topic=\"%s\",partition=\"%" PRIu32 "\"} %" PRId64 "\n", names[what],
               topic->info.name, p, value);
        rill__partition_leave(topic, (int32_t)p);
    }
}

static void topics_of(struct store *store, struct page *page)
{
    static const char *const heads[][2] = {
        {"log_start_offset", "first offset that is there"},
        {"log_end_offset", "offset of the next record"},
        {"durable_end_offset", "all before it survives a power cut"},
    };

    for (int what = 0; what < MEASURES; what++) {
        struct topic *topic = NULL;
        head(page, heads[what][0], "gauge", heads[what][1]);
        while ((topic = rill__topic_after(store, topic)) != NULL)
            partitions_of(page, topic, what);
    }
}

static int count_group(void *arg, const rill_group_info *info)
{
    metric(arg, "rill_group_members{group=\"%s\"} %" PRIu32 "\n", info->name, info->member_count);
    return 0;
}

static int show_generation(void *arg, const rill_group_info *info)
{
    metric(arg, "rill_group_generation{group=\"%s\"} %" PRId32 "\n", info->name,
           info->generation);
    return 0;
}

struct lag_walk {
    struct page *page;
    struct store *store;
    const char *group;
};

static int show_lag(void *arg, const rill_group_offset *offset)
{
    const struct lag_walk *walk = arg;

    metric(walk->page,
           "rill_group_lag{group=\"%s\",topic=\"%s\",partition=\"%" PRId32 "\"} %" PRId64 "\n",
           walk->group, offset->topic, offset->partition, offset->lag);
    return 0;
}

static int show_lags(void *arg, const rill_group_info *info)
{
    struct lag_walk *walk = arg;
    int rc;

    walk->group = info->name;
    rc = rill__group_offsets(walk->store, info->name, show_lag, walk);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc; /* deleted meanwhile */
}

static int groups_of(struct store *store, struct page *page)
{
    struct lag_walk walk = {.page = page, .store = store};
    int rc;

    head(page, "group_members", "gauge", "members of a group, in all processes");
    rc = rill__group_list(store, count_group, page);
    if (rc != 0) return rc;
    head(page, "group_generation", "gauge", "goes up with every new assignment");
    rc = rill__group_list(store, show_generation, page);
    if (rc != 0) return rc;
    head(page, "group_lag", "gauge",
         "records that are there and that the group has not committed");
    return rill__group_list(store, show_lags, &walk);
}

int rill__metrics(struct store *store, char *text, size_t size, size_t *needed)
{
    struct page page = {text, size, 0};
    rill_stats all = {.size = sizeof all};
    int rc;

    rill__store_stats(store, true, &all);
    counters_of(&page, &all);
    topics_of(store, &page);
    rc = groups_of(store, &page);
    if (rc != 0) return rc;
    if (needed != NULL) *needed = page.size + 1;
    if (page.size < size) return 0;
    return rill__fail(RILL_ERR_TOO_BIG, "the metrics are %zu bytes long; there is room for %zu",
                      page.size + 1, size);
}
