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
    bool alone;     /* nobody has */
    bool exclusive; /* and nobody can: it is being repaired */

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
/* Is anything there that a store has? */
int rill__check_is_store(const struct file *dir, bool *is_store);
/* Everything, into the report; check->topics stay. */
int rill__check_all(struct store_check *check);
void rill__check_free_topics(struct store_check *check);
/* The id that a topic's directory is named by; the number of a partition's. */
bool rill__is_topic_directory(const char *name, uint8_t id[16]);
bool rill__is_partition_number(const char *name, int32_t *number);
struct checked_topic *rill__check_topic(const struct store_check *check, const uint8_t id[16]);
int rill__check_progress(struct store_check *check, const char *what, uint64_t bytes);

/* The catalogue: what is wrong with it, and which topics it has. */
int rill__check_catalogue(struct store_check *check);
/* Does it have the topic by now? True also if that cannot be told. */
bool rill__check_lists(struct store_check *check, const uint8_t id[16]);
/* What is wrong with a group's bytes: 0, RILL_ERR_CORRUPT, _FORMAT, _NO_MEMORY. */
int rill__check_group(struct heap *heap, const uint8_t *state, size_t state_size);
/* Committed offsets, once the logs' ends are known. */
int rill__check_commits(struct store_check *check);

#endif
