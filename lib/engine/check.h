/*
 * engine/check.h - one look through a store, for rill_check.
 */
#ifndef RILL_ENGINE_CHECK_H
#define RILL_ENGINE_CHECK_H
#include "engine/store.h"

/* A topic that is in the catalogue, or only a directory. */
struct checked_topic {
    struct meta_topic info; /* name "": the catalogue does not know it */
    struct checked_log {
        bool known; /* it was followed to its end */
        bool exact;
        int64_t start;
        int64_t end;
    } * logs; /* by partition */
};

struct store_check {
    rill_check_options options;
    rill_check_report *report;
    struct heap heap;
    char path[512];
    struct file dir;
    uint8_t boot_id[16];
    rill *own;  /* a handle, if this process has the store open */
    bool alone; /* nobody has */
    bool gone_through;

    struct checked_topic *topics; /* in the order of their ids */
    size_t topic_count;
    size_t topic_room;
    bool catalogue_hurt; /* it may have had more */

    uint64_t done;
    uint64_t total;
};

/* Counts it and shows it; what visit returned. Leftovers only while nobody is in the
 * store. */
int rill__check_found(struct store_check *check, const rill_damage *damage);
struct checked_topic *rill__check_topic(const struct store_check *check, const uint8_t id[16]);
int rill__check_progress(struct store_check *check, const char *what, uint64_t bytes);

/* The catalogue: what is wrong with it, and which topics it has. */
int rill__check_catalogue(struct store_check *check);
/* Does it have the topic by now? False also if that cannot be told. */
bool rill__check_lists(struct store_check *check, const uint8_t id[16]);
/* Committed offsets, once the logs' ends are known. */
int rill__check_commits(struct store_check *check);

#endif
