/*
 * space.c - rill delete-records, compact and maintain: room on the disk.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static bool json, yes;
static struct texts partition_texts;
static const char *before_text;
static int64_t before_time;

static const struct option delete_options[] = {
    {"before", 0, OPTION_TEXT, &before_text, "OFFSET",
     "all before this offset, or latest: all there are", 0, 0, 0},
    {"before-time", 0, OPTION_TIME, &before_time, "TIME",
     "all before the first record that is not older", 0, 0, 0},
    {"partition", 'p', OPTION_TEXTS, &partition_texts, "N",
     "of this partition, or N-M; may be given several times; without it, of all", 0, 0, 0},
    {"yes", 'y', OPTION_FLAG, &yes, 0, "do not ask", 0, 0, 0},
    {"json", 0, OPTION_FLAG, &json, 0, "an array of objects", 0, 0, 0},
    {0},
};

/* The offset before which a partition's records go. */
static int goal_of(rill *store, const char *topic, int32_t partition, rill_offset *before)
{
    rill_partition_info info;
    int64_t number;
    int rc;

    if (before_text != NULL && strcmp(before_text, "latest") == 0) {
        *before = RILL_OFFSET_LATEST;
    } else if (before_text != NULL) {
        read_number(before_text, &number);
        *before = number;
    } else {
        rc = rill_partition_offset_for_time(store, topic, partition, before_time, before);
        if (rc != 0) return fail_rill(rc);
        if (*before != RILL_OFFSET_NONE) return DONE;
        /* All are older; those that come meanwhile need not be. */
        rc = rill_partition_describe(store, topic, partition, &info);
        if (rc != 0) return fail_rill(rc);
        *before = info.log_end;
    }
    return DONE;
}

static int delete_records(rill *store, const char *topic, int32_t partition)
{
    rill_partition_info info;
    rill_offset before, log_start;
    int rc = rill_partition_describe(store, topic, partition, &info);
    int status = rc != 0 ? fail_rill(rc) : goal_of(store, topic, partition, &before);

    if (status != DONE) return status;
    rc = rill_partition_delete_records(store, topic, partition, before, &log_start);
    if (rc != 0) return fail_rill(rc);
    if (json) {
        json_open(NULL, '{');
        json_number("partition", partition);
        json_offset("log_start_before", info.log_start);
        json_offset("log_start", log_start);
        json_number("deleted", log_start - info.log_start);
        json_close();
        return DONE;
    }
    table_cell("%s", topic);
    table_cell("%d", partition);
    table_cell("%s", count_text(log_start - info.log_start));
    table_cell("%s", offset_text(log_start));
    return DONE;
}

static int run_delete(char **arguments, size_t count)
{
    rill_topic_info topic;
    int64_t number;
    rill *store;
    int status, rc;

    (void)count;
    if ((before_text != NULL) == given(&before_time))
        return usage("before what? one of --before and --before-time is expected");
    if (before_text != NULL && strcmp(before_text, "latest") != 0 &&
        (!read_number(before_text, &number) || number < 0))
        return usage("--before=%s: an offset, or latest, is expected", before_text);
    status = store_open(0, &store);
    if (status != DONE) return status;
    rc = rill_topic_describe(store, arguments[0], &topic);
    if (rc != 0) return store_close(store, fail_rill(rc));
    status = partitions_check(&partition_texts, &topic);
    if (status == DONE && !yes &&
        !confirmed("delete records of topic %s before %s", topic.name,
                   before_text != NULL ? before_text : time_text(before_time)))
        status = fail(FAILED, "the records stay");
    if (status != DONE) return store_close(store, status);
    put_hold(true);
    if (json) json_open(NULL, '[');
    else table_begin("TOPIC PARTITION> DELETED> START>");
    for (uint32_t p = 0; p < topic.options.partition_count && status == DONE; p++)
        if (partitions_have(&partition_texts, p))
            status = delete_records(store, arguments[0], (int32_t)p);
    if (json) json_close();
    else table_end();
    put_hold(false);
    free(partition_texts.items);
    return store_close(store, status);
}

/* ---- compact --------------------------------------------------------------------- */

static const struct option compact_options[] = {
    {"partition", 'p', OPTION_TEXTS, &partition_texts, "N",
     "this partition, or N-M; may be given several times; without it, all", 0, 0, 0},
    {"json", 0, OPTION_FLAG, &json, 0, "an array of objects", 0, 0, 0},
    {0},
};

static int compact_partition(rill *store, const char *topic, int32_t partition)
{
    rill_compact_report report = {.size = sizeof report};
    int rc = rill_partition_compact(store, topic, partition, &report);

    if (rc != 0) return fail_rill(rc);
    if (json) {
        json_open(NULL, '{');
        json_number("partition", partition);
        json_unsigned("records_before", report.records_before);
        json_unsigned("records_after", report.records_after);
        json_unsigned("bytes_before", report.bytes_before);
        json_unsigned("bytes_after", report.bytes_after);
        json_unsigned("segments_before", report.segments_before);
        json_unsigned("segments_after", report.segments_after);
        json_unsigned("tombstones_removed", report.tombstones_removed);
        json_unsigned("passes", report.passes);
        json_unsigned("duration_ms", report.duration_ms);
        json_close();
        return DONE;
    }
    table_cell("%s", topic);
    table_cell("%d", partition);
    table_cell("%s", count_text((int64_t)report.records_before));
    table_cell("%s", count_text((int64_t)report.records_after));
    table_cell("%s", size_text(report.bytes_before));
    table_cell("%s", size_text(report.bytes_after));
    table_cell("%s", duration_text((int64_t)report.duration_ms));
    return DONE;
}

static int run_compact(char **arguments, size_t count)
{
    rill_topic_info topic;
    rill *store;
    int status = store_open(0, &store), rc;

    (void)count;
    if (status != DONE) return status;
    rc = rill_topic_describe(store, arguments[0], &topic);
    if (rc != 0) return store_close(store, fail_rill(rc));
    status = partitions_check(&partition_texts, &topic);
    if (status != DONE) return store_close(store, status);
    signals_catch();
    put_hold(true);
    if (json) json_open(NULL, '[');
    else table_begin("TOPIC PARTITION> RECORDS> NOW> BYTES> NOW> TOOK>");
    for (uint32_t p = 0; p < topic.options.partition_count && status == DONE && stopped == 0;
         p++) {
        progress("compacting", p, topic.options.partition_count, false);
        if (partitions_have(&partition_texts, p))
            status = compact_partition(store, arguments[0], (int32_t)p);
    }
    progress_clear();
    if (json) json_close();
    else table_end();
    /* What was done before a failure is told; when nothing was, there is nothing to tell. */
    if (status == NOT_NOW) put_drop();
    put_hold(false);
    free(partition_texts.items);
    return stopped_status(store_close(store, status));
}

/* ---- maintain -------------------------------------------------------------------- */

static int64_t for_ms, check_ms;

static const struct option maintain_options[] = {
    {"for", 0, OPTION_DURATION, &for_ms, "TIME", "end after so long; without it, at Ctrl-C", 1,
     INT64_MAX / 1000000, 0},
    {"check", 0, OPTION_DURATION, &check_ms, "TIME",
     "look so often for records to delete or to compact; 5m", 1, INT32_MAX, 0},
    {0},
};

static int run_maintain(char **arguments, size_t count)
{
    rill_options options = {.retention_check_interval_ms = (uint64_t)check_ms};
    int64_t end_ns = for_ms != 0 ? steady_ns() + for_ms * 1000000 : INT64_MAX;
    rill *store;
    int status = store_open_with(&options, 0, &store);

    (void)arguments, (void)count;
    if (status != DONE) return status;
    signals_catch();
    while (stopped == 0 && status == DONE && steady_ns() < end_ns) {
        uint32_t next_ms = 0;
        int rc = rill_maintain(store, &next_ms);
        int64_t left_ms = (end_ns - steady_ns()) / 1000000;

        /* One partition that cannot be synced is no reason to leave the others alone. */
        if (rc != 0) note("%s", rill_errmsg());
        if (rc == RILL_ERR_BUG) status = FAILED;
        if (next_ms > 1000) next_ms = 1000;
        sleep_ms(left_ms < (int64_t)next_ms ? left_ms : (int64_t)next_ms);
    }
    return stopped_status(store_close(store, status));
}

const struct command space_commands[] = {
    {"delete-records", "TOPIC", "delete a topic's oldest records",
     "The log start moves; it never moves back. Disk space comes free by whole segments. Groups "
     "that "
     "have not read so far go on at the log start, or where their reset policy says.",
     delete_options,
     "rill delete-records orders --before-time=-30d\n"
     "rill delete-records orders --partition=0 --before=100000\n"
     "rill delete-records orders --before=latest --yes",
     run_delete},
    {"compact", "TOPIC", "of each key only the last record stays, now",
     "For topics with the cleanup policy compact, whatever part of them is dirty. Offsets and "
     "order do "
     "not change, and who reads or appends meanwhile goes on. Ctrl-C ends it behind the "
     "partition "
     "that it is at.",
     compact_options, "rill compact accounts\nrill compact accounts --partition=0 --json",
     run_compact},
    {"maintain", "", "do the work in the background that the store's users do not do",
     "Syncs by interval, prepares segments, deletes by retention, compacts, and lets idle groups "
     "go. "
     "Programs that use the store do so themselves if they call rill_maintain or open it with a "
     "thread; for a store that they do not always use, this can run beside them.",
     maintain_options, "rill maintain\nrill maintain --for=1m --check=1s", run_maintain},
    {0},
};
