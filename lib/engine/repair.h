/*
 * engine/repair.h - one repair of a store, for rill_repair.
 */
#ifndef RILL_ENGINE_REPAIR_H
#define RILL_ENGINE_REPAIR_H
#include "engine/check.h"
#include "engine/quarantine.h"

/* A partition in which something is to be done. */
struct damaged_partition {
    uint8_t id[16];
    int32_t partition; /* -1: the topic's directory is missing */
    bool missing;      /* its directory is */
};

struct store_repair {
    rill_repair_options options;
    rill_repair_report *report;
    struct store_check check; /* exclusive */
    rill_check_report checked;
    struct file shared; /* its lock is held */

    struct damaged_partition *damaged;
    size_t damaged_count;
    size_t damaged_room;
    bool store_file; /* STORE is to be made anew */
    bool catalogue;  /* the catalogue is */
    bool commits;    /* there are some to lower or to remove */
    bool groups;     /* there are some whose members are to be forgotten */
    int newer;       /* RILL_ERR_FORMAT: something is of a newer format */
    char said[600];  /* what */
};

bool rill__repair_is_dry(const struct store_repair *repair);
/* Counts it and shows it; what visit returned. */
int rill__repair_told(struct store_repair *repair, rill_repair_action action, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));
rill_repair_action rill__repair_action(int32_t kind, const char *file);

/* ---- repair_catalogue.c ---- */

/* A repair that died when the new catalogue was whole: it takes its place. */
int rill__repair_catalogue_finish(struct store_repair *repair);
/* A new one of what is left; topics that it lost come back from their directories. */
int rill__repair_catalogue(struct store_repair *repair);
/* Commits that are outside of their logs, and groups that do not decode. */
int rill__repair_records(struct store_repair *repair);

#endif
