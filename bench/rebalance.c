/*
 * rebalance.c - a group of 100 members on 1,000 partitions, and one more joins.
 *
 * One thread polls all members in turn. Measured from the call that joins until
 * every partition is where it shall be: the whole, how many partitions moved,
 * how long a moving one was nobody's, and how many that stayed were taken from
 * their reader for a moment. The whole has several steps of the group, each a
 * commit of the catalogue that is synced.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MEMBERS 100
#define PARTITIONS 1000
#define JOINED "rebalance, 100 members, 1,000 partitions"

static rill_consumer *members[MEMBERS + 1];
static int owner[PARTITIONS]; /* number of the member; -1 */
static int owner_before[PARTITIONS];
static int64_t free_since[PARTITIONS];
static int64_t pauses[PARTITIONS];
static size_t pause_count;
static size_t interrupted;

static int on_rebalance(void *arg, rill_consumer *consumer, int event,
                        const rill_position *positions, size_t count)
{
    int member = (int)(intptr_t)arg;
    int64_t now = now_ns();

    (void)consumer;
    for (size_t i = 0; i < count; i++) {
        int32_t p = positions[i].partition;
        if (event != RILL_REBALANCE_ASSIGNED) {
            owner[p] = -1;
            free_since[p] = now;
            continue;
        }
        owner[p] = member;
        if (free_since[p] == 0) continue;
        if (member == owner_before[p]) interrupted++;
        pauses[pause_count++ % PARTITIONS] = now - free_since[p];
        free_since[p] = 0;
    }
    return 0;
}

static void open_member(rill *store, int number, int32_t assignor)
{
    static const char *const topics[] = {"parts"};
    rill_consumer_options options = {.size = sizeof options,
                                     .group = "bench",
                                     .assignor = assignor,
                                     .rebalance = on_rebalance,
                                     .rebalance_arg = (void *)(intptr_t)number};

    if (rill_consumer_open(store, &options, &members[number]) != 0) die_rill("consumer");
    if (rill_consumer_subscribe(members[number], topics, 1) != 0) die_rill("subscribe");
}

static void poll_all(int count)
{
    rill_record record;
    size_t got;

    for (int i = 0; i < count; i++)
        if (rill_consumer_poll(members[i], 0, &record, 1, &got) != 0) die_rill("poll");
}

static void settle(rill *store, int count)
{
    rill_group_info info;

    do {
        size_t owned = 0;
        poll_all(count);
        if (rill_group_describe(store, "bench", &info) != 0) die_rill("describe");
        if (info.state != RILL_GROUP_STABLE) continue;
        poll_all(count);
        for (int p = 0; p < PARTITIONS; p++) owned += owner[p] >= 0;
        if (owned == PARTITIONS) return;
    } while (true);
}

static void measure(rill *store, int32_t assignor, const char *system)
{
    int64_t start;
    size_t moved = 0;

    for (int p = 0; p < PARTITIONS; p++) {
        owner[p] = -1;
        free_since[p] = 0;
    }
    for (int i = 0; i < MEMBERS; i++) open_member(store, i, assignor);
    settle(store, MEMBERS);
    memcpy(owner_before, owner, sizeof owner);
    memset(free_since, 0, sizeof free_since);
    pause_count = interrupted = 0;
    start = now_ns();
    open_member(store, MEMBERS, assignor);
    settle(store, MEMBERS + 1);
    figure(JOINED, system, (double)(now_ns() - start) / 1e6, "ms", EACH);
    for (int p = 0; p < PARTITIONS; p++) moved += owner[p] != owner_before[p];
    figure("partitions that moved", system, (double)moved, "partitions", EACH);
    figure("partitions that stayed and were interrupted", system, (double)interrupted,
           "partitions", EACH);
    if (pause_count > 0)
        figure_latencies("pause of a partition that moved", system, pauses, pause_count, EACH);
    for (int i = 0; i <= MEMBERS; i++)
        if (rill_consumer_close(members[i], 1000) != 0) die_rill("close");
}

void bench_rebalance(const struct bench *bench)
{
    rill_topic_options topic = {
        .size = sizeof topic, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    struct rlimit files;
    rill *store = store_open(bench, "store", true);

    /* an open partition has some descriptors */
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) die_os("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) die_os("setrlimit");
    if (rill_topic_create(store, "parts", &topic) != 0) die_rill("topic");
    measure(store, RILL_ASSIGN_RANGE, "range");
    measure(store, RILL_ASSIGN_ROUND_ROBIN, "round robin");
    measure(store, RILL_ASSIGN_COOPERATIVE_STICKY, "cooperative-sticky");
    store_close(store);
    store_remove(bench, "store");
}
