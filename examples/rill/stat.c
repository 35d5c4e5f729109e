/*
 * stat.c - rill stat: counters of all processes in the store, and what it holds.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static bool json, prometheus;

static const struct option stat_options[] = {
    {"json", 0, OPTION_FLAG, &json, 0, "an object", 0, 0, 0},
    {"prometheus", 0, OPTION_FLAG, &prometheus, 0,
     "as text for Prometheus: counters, all partitions, all groups", 0, 0, 0},
    {0},
};

struct sums {
    rill *store;
    rill_consumer *consumer;
    uint64_t used; /* partitions that it is assigned */
    uint64_t topics, partitions, records, bytes;
    int worst;
};

static int sum_topic(void *arg, const rill_topic_info *topic)
{
    struct sums *sums = arg;
    rill_topic_info info; /* also says how much it holds */
    int rc = rill_topic_describe(sums->store, topic->name, &info);

    if (rc == RILL_ERR_NOT_FOUND) return 0; /* deleted meanwhile */
    sums->topics++;
    sums->partitions += topic->options.partition_count;
    if (rc != 0) {
        sums->worst = fail_rill(rc);
        return 0;
    }
    sums->records += info.record_span;
    sums->bytes += info.stored_bytes;
    return 0;
}

/* The metrics are of partitions that this process uses: so it reads them all, that is,
 * it would if it polled. One that cannot be read leaves the others in. */
static int use_topic(void *arg, const rill_topic_info *topic)
{
    struct sums *sums = arg;
    rill_position position = {
        .topic = topic->name, .offset = RILL_OFFSET_LATEST, .leader_epoch = -1};

    for (uint32_t p = 0; p < topic->options.partition_count; p++) {
        int rc;

        position.partition = (int32_t)p;
        rc = sums->used++ == 0 ? rill_consumer_assign(sums->consumer, &position, 1)
                               : rill_consumer_incremental_assign(sums->consumer, &position, 1);
        if (rc != 0) sums->used--;
        if (rc != 0 && rc != RILL_ERR_NOT_FOUND) sums->worst = fail_rill(rc);
    }
    return 0;
}

static int put_metrics(struct sums *sums)
{
    rill_consumer_options options = {.size = sizeof options};
    size_t size = 0;
    char *text = NULL;
    int rc = rill_consumer_open(sums->store, &options, &sums->consumer);

    if (rc != 0) return fail_rill(rc);
    rc = rill_topic_list(sums->store, use_topic, sums);
    if (rc == 0) rc = rill_metrics(sums->store, NULL, 0, &size);
    /* Others may add to it between two calls. */
    while (rc == RILL_ERR_TOO_BIG) {
        size_t room = size + size / 4;

        text = must_grow(text, room);
        rc = rill_metrics(sums->store, text, room, &size);
    }
    if (rc == 0) put(text);
    else fail_rill(rc);
    free(text);
    rill_consumer_close(sums->consumer, 0);
    return status_of(rc);
}

static const struct {
    const char *name;
    size_t at;
    const char *text;
} counters[] = {
    {"records_appended", offsetof(rill_stats, records_appended), "records appended"},
    {"bytes_appended", offsetof(rill_stats, bytes_appended), "bytes appended"},
    {"batches_appended", offsetof(rill_stats, batches_appended), "batches appended"},
    {"records_polled", offsetof(rill_stats, records_polled), "records polled"},
    {"polls", offsetof(rill_stats, polls), "polls"},
    {"commits", offsetof(rill_stats, commits), "offset commits"},
    {"syncs", offsetof(rill_stats, syncs), "syncs"},
    {"segments_rolled", offsetof(rill_stats, segments_rolled), "segments rolled"},
    {"recoveries", offsetof(rill_stats, recoveries), "recoveries"},
    {"wakeups", offsetof(rill_stats, wakeups), "wake-ups"},
    {"bytes_uncompressed", offsetof(rill_stats, bytes_uncompressed), "bytes before compression"},
    {"segments_deleted", offsetof(rill_stats, segments_deleted), "segments deleted"},
    {"compactions", offsetof(rill_stats, compactions), "compactions"},
    {"transactions_committed", offsetof(rill_stats, transactions_committed),
     "transactions committed"},
    {"transactions_aborted", offsetof(rill_stats, transactions_aborted), "transactions aborted"},
    {"interceptor_failures", offsetof(rill_stats, interceptor_failures),
     "failures of interceptors"},
    {"group_steps", offsetof(rill_stats, group_steps), "changes of groups"},
    {"members_expelled", offsetof(rill_stats, members_expelled), "members expelled"},
};

static void put_stats(const rill_stats *stats, const struct sums *sums)
{
    if (json) {
        json_open(NULL, '{');
        json_text("version", rill_version());
        json_unsigned("topics", sums->topics);
        json_unsigned("partitions", sums->partitions);
        json_unsigned("records", sums->records);
        json_unsigned("bytes", sums->bytes);
    } else {
        putf("%s, %s, %s, %s on disk\n\n", counted((int64_t)sums->topics, "topic"),
             counted((int64_t)sums->partitions, "partition"),
             counted((int64_t)sums->records, "record"), size_text(sums->bytes));
        table_begin("SINCE_THE_FIRST_PROCESS_CAME COUNT>");
    }
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        uint64_t value;

        memcpy(&value, (const char *)stats + counters[i].at, sizeof value);
        if (json) {
            json_unsigned(counters[i].name, value);
        } else {
            table_cell("%s", counters[i].text);
            table_cell("%s", count_text((int64_t)value));
        }
    }
    if (json) json_close();
    else table_end();
}

static int run_stat(char **arguments, size_t count)
{
    rill_stats stats = {.size = sizeof stats};
    struct sums sums = {.worst = DONE};
    int status, rc;

    (void)arguments, (void)count;
    if (json && prometheus) return usage("--json and --prometheus: only one of them is expected");
    status = store_open(0, &sums.store);
    if (status != DONE) return status;
    if (prometheus) {
        status = put_metrics(&sums);
    } else {
        rc = rill_topic_list(sums.store, sum_topic, &sums);
        if (rc == 0) rc = rill_stats_total(sums.store, &stats);
        if (rc != 0) status = fail_rill(rc);
        else put_stats(&stats, &sums);
    }
    return store_close(sums.store, status != DONE ? status : sums.worst);
}

const struct command stat_commands[] = {
    {"stat", "", "what the store holds, and counters of all its processes",
     "Counters go from when the first process came into the store that others have not left "
     "since; "
     "if nobody else has it open they begin at 0.",
     stat_options, "rill stat\nrill stat --prometheus >/var/lib/node_exporter/rill.prom",
     run_stat},
    {0},
};
