/*
 * sample.c - a store as rill top sees it.
 *
 * Rows are kept in the order of their names, in which the library lists them, so a
 * new sample is merged into them in one pass. A row that was not seen is dropped; a
 * topic that was deleted and made again is known by its id, and begins anew.
 */
#include "sample.h"

#include <stdlib.h>
#include <string.h>

void series_add(struct series *series, double value)
{
    series->values[series->next] = (float)value;
    series->next = (series->next + 1) % HISTORY;
    if (series->count < HISTORY) series->count++;
}

double series_back(const struct series *series, unsigned back)
{
    return (double)series->values[(series->next + HISTORY - 1 - back) % HISTORY];
}

static void complain(struct view *view, const char *what)
{
    if (view->problem[0] == 0)
        snprintf(view->problem, sizeof view->problem, "%s: %s", what, rill_errmsg());
}

/* A row for name in rows, at or behind *place; new ones are zeroed. Rows begin with their
 * name. */
static void *row_for(void **rows, size_t *count, size_t *room, size_t size, const char *name,
                     size_t *place)
{
    char *base = *rows;

    while (*place < *count && strcmp(base + *place * size, name) < 0) ++*place;
    if (*place == *count || strcmp(base + *place * size, name) != 0) {
        if (*count == *room) {
            *room = *room * 2 + 16;
            *rows = base = must_grow(base, *room * size);
        }
        memmove(base + (*place + 1) * size, base + *place * size, (*count - *place) * size);
        memset(base + *place * size, 0, size);
        snprintf(base + *place * size, RILL_TOPIC_NAME_MAX + 1, "%s", name);
        ++*count;
    }
    return base + *place * size;
}

struct sampling {
    struct view *view;
    size_t place;
    double seconds; /* since the last sample; 0: this is the first */
    struct group_row *group;
    int64_t lag, position;
};

/* ---- Topics ---------------------------------------------------------------------- */

static int sample_topic(void *arg, const rill_topic_info *info)
{
    struct sampling *sampling = arg;
    struct view *view = sampling->view;
    void *rows = view->topics;
    struct topic_row *row = row_for(&rows, &view->topic_count, &view->topic_room, sizeof *row,
                                    info->name, &sampling->place);
    int64_t records = 0, end = 0;
    uint64_t bytes = 0;
    bool known;

    view->topics = rows;
    known = row->number != 0 && memcmp(row->id, info->id, sizeof row->id) == 0;
    if (!known) {
        memset(&row->rates, 0, sizeof row->rates);
        memcpy(row->id, info->id, sizeof row->id);
    }
    row->number = view->number;
    row->broken = false;
    row->partitions = info->options.partition_count;
    for (uint32_t p = 0; p < row->partitions; p++) {
        rill_partition_info partition;
        int rc = rill_partition_describe(view->store, info->name, (int32_t)p, &partition);

        if (rc == RILL_ERR_NOT_FOUND) { /* deleted this moment */
            row->number = 0;
            return 0;
        }
        if (rc != 0) {
            row->broken = true;
            complain(view, info->name);
            continue;
        }
        records += partition.log_end - partition.log_start;
        end += partition.log_end;
        bytes += partition.segment_bytes;
    }
    row->rated = known && sampling->seconds > 0 && end >= row->end;
    row->rate = row->rated ? (double)(end - row->end) / sampling->seconds : 0;
    if (row->rated) series_add(&row->rates, row->rate);
    row->records = records;
    row->end = end;
    row->bytes = bytes;
    view->partitions += row->partitions;
    view->records += (uint64_t)records;
    view->bytes += bytes;
    return 0;
}

/* ---- Groups ----------------------------------------------------------------------- */

static int sample_offset(void *arg, const rill_group_offset *offset)
{
    struct sampling *sampling = arg;

    sampling->lag += offset->lag;
    sampling->position += offset->offset;
    return 0;
}

static int sample_group(void *arg, const rill_group_info *info)
{
    struct sampling *sampling = arg;
    struct view *view = sampling->view;
    void *rows = view->groups;
    struct group_row *row = row_for(&rows, &view->group_count, &view->group_room, sizeof *row,
                                    info->name, &sampling->place);
    int rc;

    view->groups = rows;
    sampling->lag = sampling->position = 0;
    rc = rill_group_offsets(view->store, info->name, sample_offset, sampling);
    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc != 0) complain(view, info->name);
    row->rated = row->number + 1 == view->number && sampling->seconds > 0 && rc == 0;
    row->number = view->number;
    row->state = info->state;
    row->members = info->member_count;
    if (row->rated) {
        row->rate = (double)(sampling->position - row->position) / sampling->seconds;
        row->growth = (double)(sampling->lag - row->lag) / sampling->seconds;
        if (row->rate < 0) row->rate = 0; /* it was reset */
    }
    row->lag = sampling->lag;
    row->position = sampling->position;
    series_add(&row->lags, (double)row->lag);
    return 0;
}

/* ---- All of it ---------------------------------------------------------------------- */

static double per_second(uint64_t now, uint64_t before, double seconds)
{
    return now >= before && seconds > 0 ? (double)(now - before) / seconds : 0;
}

static void sample_stats(struct view *view, double seconds)
{
    rill_stats now = {.size = sizeof now};
    const rill_stats *before = &view->stats;

    if (rill_stats_total(view->store, &now) != 0) {
        complain(view, "counters");
        return;
    }
    view->rated = seconds > 0;
    view->appended = per_second(now.records_appended, before->records_appended, seconds);
    view->appended_bytes = per_second(now.bytes_appended, before->bytes_appended, seconds);
    view->polled = per_second(now.records_polled, before->records_polled, seconds);
    view->commits = per_second(now.commits, before->commits, seconds);
    view->syncs = per_second(now.syncs, before->syncs, seconds);
    view->wakeups = per_second(now.wakeups, before->wakeups, seconds);
    view->stats = now;
}

int view_sample(struct view *view)
{
    int64_t began_ns = steady_ns();
    struct sampling sampling = {
        .view = view, .seconds = view->at_ns != 0 ? (double)(began_ns - view->at_ns) / 1e9 : 0};
    size_t kept = 0;
    int rc;

    view->problem[0] = 0;
    view->partitions = view->records = view->bytes = 0;
    view->number++;
    rc = rill_topic_list(view->store, sample_topic, &sampling);
    if (rc != 0) return rc;
    for (size_t i = 0; i < view->topic_count; i++)
        if (view->topics[i].number == view->number) view->topics[kept++] = view->topics[i];
    view->topic_count = kept;

    sampling.place = 0;
    rc = rill_group_list(view->store, sample_group, &sampling);
    if (rc != 0) return rc;
    kept = 0;
    for (size_t i = 0; i < view->group_count; i++)
        if (view->groups[i].number == view->number) view->groups[kept++] = view->groups[i];
    view->group_count = kept;
    sample_stats(view, sampling.seconds);
    view->at_ns = began_ns;
    view->took_ns = steady_ns() - began_ns;
    return 0;
}

void view_free(struct view *view)
{
    free(view->topics);
    free(view->groups);
}
