/*
 * log/repair.h - making a damaged partition one that opens and reads. Part of the
 * door, log/log.h.
 *
 * A check says what is wrong, and each kind of damage has its way of repair; then
 * it is checked again, until nothing is left. Every step ends with one rename, or
 * may be done again from its beginning: whenever it dies, the partition is as
 * readable as before, and the next repair goes on from there.
 */
#ifndef RILL_LOG_REPAIR_H
#define RILL_LOG_REPAIR_H
#include "log/check.h"

struct log_salvage {
    struct log_check check; /* alone; found: is told what is still wrong in the end */
    uint64_t segment_bytes; /* of the topic, for segments of which nothing is known */
    uint32_t index_interval_bytes;
    bool dry_run;
    /* Gives the file a second name in quarantine, which where gets; the caller takes
     * the first one. NULL: it is not set aside. */
    int (*set_aside)(void *arg, const char *name, const char **where);
    /* topic and partition are the caller's to fill in; nonzero stops. */
    int (*done)(void *arg, rill_repair_action *action);
    void *arg; /* of these two */
};

/* Nobody has the partition open. */
int rill__log_salvage(const struct log_salvage *salvage, struct log_census *census);

#endif
