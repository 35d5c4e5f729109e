/*
 * engine/coordinator.h - a group from the inside: for the files that step it.
 */
#ifndef RILL_ENGINE_COORDINATOR_H
#define RILL_ENGINE_COORDINATOR_H
#include "engine/clients.h"

struct coordinator {
    struct coordinator *next; /* store->lock; never freed before the store closes */
    struct store *store;
    char name[RILL_TOPIC_NAME_MAX + 1];
    struct mutex lock;       /* guards all below */
    struct group *group;     /* as it was last seen; NULL: never */
    int64_t looked_ms;       /* monotonic: when its clock was last looked at */
    uint64_t catalogue_seen; /* its subscriptions mean what they should at this version */
};
/* ---- Under c->lock; a coordinator that is a call's own needs none ---- */

void rill__coordinator_forget(struct coordinator *c);
/* Makes c->group what the record says; record NULL: there is none. */
int rill__coordinator_load(struct coordinator *c, const struct meta_group *record);
/* The same, of what is kept now. A group that is not there has no members. */
int rill__coordinator_refresh(struct coordinator *c);
/* Lets out who is dead or late, then does the events, in one transaction, and tells
 * whom it concerns. Nothing has happened if it fails, but for RILL_ERR_IO and
 * RILL_ERR_POISONED, which leave it open. */
int rill__coordinator_step(struct coordinator *c, struct group_event *events, size_t count,
                           int timeout_ms);
/* Looks who is dead or late, and steps if somebody is. */
int rill__coordinator_look(struct coordinator *c);

/* ---- Without it ---- */

/* Takes it, or RILL_ERR_TIMEOUT: another thread may be waiting for the catalogue
 * with it. */
int rill__coordinator_lock(struct coordinator *c, int timeout_ms);
int rill__coordinator_step_one(struct coordinator *c, struct group_event *event, int timeout_ms);
/* The step of a commit, in a write transaction that others make: `own` is the coordinator of this
 * call alone. */
struct commit_in {
    struct coordinator *own;
    uint64_t member;
    const struct meta_offset *offsets;
    const int32_t *since;
    size_t count;
};
int rill__coordinator_commit_in(void *arg, const struct meta_group *record,
                                struct meta_group_change *change);
int rill__coordinator_timeout(const struct coordinator *c); /* open_timeout_ms */

#endif
