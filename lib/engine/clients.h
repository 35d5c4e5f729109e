/*
 * engine/clients.h - what producers, consumers and groups share.
 */
#ifndef RILL_ENGINE_CLIENTS_H
#define RILL_ENGINE_CLIENTS_H
#include "engine/store.h"
#include "engine/subscription.h"
#include "group/group.h"

#define BATCH_HEAD ((size_t)64) /* stored bytes of a batch beside its records */
#define ROUND_ROOM(size) (((size) + 4095) & ~(size_t)4095)

/* ---- A consumer as its group sees it ---------------------------------- */

struct member_slot;

struct membership {
    uint64_t id;
    _Atomic(struct member_slot *) slot; /* NULL: not in the group; set by its own thread */
    _Atomic uint32_t seen;              /* of slot->news; by its own thread */
    uint64_t version_seen;              /* of the group */
};

/* Finds or makes it. Lives as long as the store. */
int rill__coordinator_get(struct store *store, const char *name, struct coordinator **out);
/* Takes a slot and joins; wake_mask: the wake slots to wake for news. */
int rill__coordinator_join(struct coordinator *c, struct membership *m, const char *text,
                           const rill_consumer_options *options, uint64_t wake_mask);
/* Whatever it returns, the slot is gone, and the group will see that. */
int rill__coordinator_leave(struct coordinator *c, struct membership *m, int timeout_ms);
int rill__coordinator_subscribe(struct coordinator *c, struct membership *m, const char *text);
/* The catalogue has changed: what do the group's subscriptions mean now? */
int rill__coordinator_topics(struct coordinator *c);
/* The member has given up what was leaving at `round`. */
int rill__coordinator_ready(struct coordinator *c, struct membership *m, uint32_t round);
/* Calls the application's assignor and hands its plan in. */
int rill__coordinator_plan(struct coordinator *c, struct membership *m, uint32_t round,
                           const rill_consumer_options *options);
/* Looks at the group's clock if that is due; returns the version of the group
 * as it was last seen here, 0 if that is not known. */
uint64_t rill__coordinator_tick(struct coordinator *c, uint32_t *next_ms);

/* The group from a member's point of view. */
struct news {
    uint64_t version;
    int32_t generation;
    bool gone;     /* it was expelled */
    bool fenced;   /* another one has its group_instance_id */
    bool asked;    /* to give up what is leaving: READY with round */
    bool planning; /* to make a plan, for round */
    uint32_t round;
    struct group_holding *holdings; /* the caller's to free */
    size_t holding_count;
};
/* The group as it is kept, for the caller to free; takes no lock. */
int rill__group_copy(struct store *store, const char *name, struct group **copy);
int rill__coordinator_news(struct coordinator *c, const struct membership *m,
                           const char *instance, struct news *news);
/* Commits, after checking that the member owns what it commits since that
 * generation. 0: no member; then the group must have none. */
int rill__coordinator_commit(struct coordinator *c, uint64_t member,
                             const struct meta_offset *offsets, const int32_t *since,
                             size_t count, int timeout_ms);

/* Something done to a group from outside, in one transaction: is shown the group,
 * which has no members if it is not there (record NULL), and says what to change.
 * May be called again; then what it did before has not happened. */
typedef int (*coordinator_act)(void *arg, const struct group *group,
                               const struct meta_group *record, struct meta_group_change *change);
/* Puts the dead out first. name: one that was checked. dry: what it would change is
 * not changed. */
int rill__coordinator_act(struct store *store, const char *name, bool dry, int timeout_ms,
                          coordinator_act act, void *arg);

/* Lets the thread behind the consumers' descriptors look again. Any thread,
 * signal handlers too. */
void rill__bridge_kick(struct store *store);
/* Bit of the wake slot that it sleeps on, of one that was started. */
uint64_t rill__bridge_bit(struct store *store);

#endif
