/*
 * sample.h - a store as rill top sees it: what there is, and how fast it changes.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "tool.h"

#define HISTORY 240 /* samples that are remembered of everything */

/* The last values, oldest first from next on once it is full. */
struct series {
    float values[HISTORY];
    unsigned next, count;
};

struct topic_row {
    char name[RILL_TOPIC_NAME_MAX + 1];
    uint8_t id[16];
    uint64_t number; /* of the sample in which it was seen last */
    bool broken;     /* a partition could not be looked at */
    bool rated;      /* rate is known: there were two samples */
    uint32_t partitions;
    int64_t records; /* that are there */
    int64_t end;     /* sum of the log ends */
    uint64_t bytes;
    double rate; /* records appended per second */
    struct series rates;
};

struct group_row {
    char name[RILL_TOPIC_NAME_MAX + 1];
    uint64_t number;
    bool rated;
    int32_t state;
    uint32_t members;
    int64_t lag;
    int64_t position; /* sum of the committed offsets */
    double rate;      /* records committed per second */
    double growth;    /* of the lag, per second */
    struct series lags;
};

struct view {
    rill *store;
    uint64_t number; /* of the sample, from 1 */
    struct topic_row *topics;
    struct group_row *groups;
    size_t topic_count, topic_room, group_count, group_room;
    uint64_t partitions, records, bytes;
    bool rated; /* the rates below are known */
    double appended, appended_bytes, polled, commits, syncs, wakeups; /* per second */
    rill_stats stats;
    int64_t at_ns, took_ns;
    char problem[256]; /* what could not be looked at, or "" */
};

/* Looks at everything once more. Returns a RILL_ERR_* only if the store cannot be read at
 * all; single topics and groups that cannot are in problem. */
int view_sample(struct view *view);
void view_free(struct view *view);

void series_add(struct series *series, double value);
/* Value number back from the newest one, 0. */
double series_back(const struct series *series, unsigned back);

#endif
