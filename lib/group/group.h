/*
 * group/group.h - the coordinator of one consumer group, as a pure machine.
 *
 *     rill__group_step(group, &event, &actions)
 *
 * No clock, no I/O, no threads, no randomness: time comes in with the event,
 * who has to be told goes out as actions. The same events give the same
 * actions, so whole groups run in a test from one seed.
 *
 * A change (a member comes or goes, topics change) makes a plan: every
 * partition gets a target, the generation goes up. Then each partition moves by
 * itself, and only if it must:
 *
 *              plan: target is another            READY of its owner,
 *             +----------------------+            or the owner is gone
 *             |                      v                     |
 *         +-------+              +---------+               v
 *         | OWNED |              | LEAVING | --------> +------+
 *         +-------+              +---------+           | FREE |
 *             ^                                        +------+
 *             |            target is a member              |
 *             +--------------------------------------------+
 *
 * So a partition that stays where it is never pauses, whatever the assignor, and
 * a slow member delays only what it gives up itself. The group as a whole:
 *
 *   EMPTY     no members
 *   PLANNING  a member has been asked for a plan (the application's own
 *             assignor); until it answers the old plan goes on
 *   MOVING    some partition is not yet where the plan wants it
 *   STABLE    all are
 *
 * Always true: a partition has at most one owner, leaving or not. `since` is
 * the generation in which the owner got it: an owner that lost it and got it
 * back has another one, so that what it did before can be told from after.
 */
#ifndef RILL_GROUP_GROUP_H
#define RILL_GROUP_GROUP_H
#include "base/heap.h"
#include <stdbool.h>

/* A topic by the caller's number (any unique, stable 64-bit number) and the
 * number of its partitions. Assignors order topics by `name`. */
struct group_topic {
    uint64_t topic;
    uint32_t partition_count;
    const char *name;
};

struct group_partition {
    uint64_t topic;
    int32_t partition;
};

/* What a member subscribes to: the text says it (the caller's words, equal for
 * equal subscriptions), the topics are what it means now. */
struct group_subscription {
    const char *text;
    const struct group_topic *topics;
    size_t topic_count;
};

struct group_join {
    const char *name;              /* the member's id for people; orders members */
    const char *instance;          /* group_instance_id of a static member; NULL */
    uint32_t session_timeout_ms;   /* without a sign of life: expelled */
    uint32_t max_poll_interval_ms; /* without a poll, or an answer: expelled */
    int32_t assignor;              /* enum rill_assignor that it prefers */
    uint32_t assignors;            /* all that it can: bits 1 << enum rill_assignor */
    const char *own_assignor;      /* name of the application's own; NULL */
    struct group_subscription subscription;
};

enum group_event_kind {
    GROUP_JOIN,      /* member: join. A known instance takes its place over */
    GROUP_SUBSCRIBE, /* member changes its subscription */
    GROUP_TOPICS,    /* what a subscription means has changed, for all who have it */
    GROUP_READY,     /* member gave up what was leaving, up to round */
    GROUP_PLANNED,   /* member answers with owners, for round */
    GROUP_LEAVE,     /* member goes; a static one is away: its place is kept */
    GROUP_DIED,      /* its process is dead; else as LEAVE */
    GROUP_REMOVE,    /* member goes, a static one too */
    GROUP_TICK       /* time passed: out with the dead and the late; not with `member` */
};

struct group_event {
    enum group_event_kind kind;
    int64_t now_ms;
    uint64_t member;                               /* unique, never reused; not 0 */
    const struct group_join *join;                 /* JOIN */
    const struct group_subscription *subscription; /* SUBSCRIBE, TOPICS */
    uint32_t round;                                /* READY, PLANNED */
    const int32_t *owners;                         /* PLANNED: see rill__group_plan_input */
    size_t owner_count;
};

enum group_action_kind {
    GROUP_REVOKE, /* partitions of the member are leaving: give up, send READY */
    GROUP_ASSIGN, /* it has got some */
    GROUP_EXPEL,  /* it is out: join anew. fenced: its instance has another member */
    GROUP_PLAN    /* make a plan, send PLANNED */
};

struct group_action {
    enum group_action_kind kind;
    uint64_t member;
};

enum group_state { GROUP_EMPTY, GROUP_PLANNING, GROUP_MOVING, GROUP_STABLE };

struct group; /* opaque */

/* generation: the last one that was used, 0 for a new group. version: where to
 * begin to count changes. */
int rill__group_new(struct heap *heap, int32_t generation, uint64_t version,
                    struct group **group);
void rill__group_free(struct group *group);

/* Advances. *actions lives until the next step or free.
 * RILL_ERR_NOT_FOUND a member that it does not know (but LEAVE, DIED and REMOVE
 * of such a one are fine), RILL_ERR_EXISTS a JOIN of one it knows,
 * RILL_ERR_INVALID no assignor that all members can, or a plan that is none;
 * RILL_ERR_STATE an answer to an older round: these leave the group as it was.
 * RILL_ERR_NO_MEMORY: throw the group away, it may be anything.
 * Cost: a plan, if one is due; else a walk over all partitions. */
int rill__group_step(struct group *group, const struct group_event *event,
                     const struct group_action **actions, size_t *action_count);

/* Signs of life of a member, found by the caller. Earlier ones than those that
 * are known do nothing. No change of the group, until a TICK acts on them. */
struct group_sign {
    int64_t heard_ms;
    int64_t polled_ms;
    bool dead; /* it will not come back: its process is gone */
};
/* Asks for the signs of all members that are not away. */
void rill__group_signs(struct group *group,
                       void (*look)(void *arg, uint64_t member, struct group_sign *sign),
                       void *arg);
/* Would a TICK do something? */
bool rill__group_is_due(const struct group *group, int64_t now_ms);

/* ---- Looking ---------------------------------------------------------- */

enum group_state rill__group_state(const struct group *group);
int32_t rill__group_generation(const struct group *group);
/* Goes up with every change that must be kept. */
uint64_t rill__group_version(const struct group *group);
int32_t rill__group_assignor(const struct group *group); /* of the plan */
size_t rill__group_member_count(const struct group *group);

struct group_member {
    uint64_t id;
    const char *name;
    const char *instance; /* NULL: a dynamic one */
    const char *subscription;
    bool away;      /* static, its process or consumer is gone */
    bool asked;     /* to give up something, since asked_ms */
    bool planning;  /* and it is to make a plan */
    uint32_t round; /* of what it was asked */
    int64_t asked_ms;
    int64_t heard_ms;
    int64_t polled_ms;
    uint32_t session_timeout_ms;
    uint32_t max_poll_interval_ms;
    size_t owned; /* partitions, those that leave included */
};
/* Number index of the members, in no particular order; false at the end. */
bool rill__group_member_at(const struct group *group, size_t index, struct group_member *member);
bool rill__group_member_find(const struct group *group, uint64_t id, struct group_member *member);
bool rill__group_has_instance(const struct group *group, const char *instance);

struct group_holding {
    uint64_t topic;
    int32_t partition;
    int32_t since;
    bool leaving;
};
/* Of one member, by topic number and partition; at most max. Returns how many
 * there are. */
size_t rill__group_holdings(const struct group *group, uint64_t member,
                            struct group_holding *holdings, size_t max);

/* Every partition: its owner, 0 if none, and the one it is meant for. */
struct group_place {
    uint64_t topic;
    const char *name;
    int32_t partition;
    uint64_t owner;
    uint64_t target;
    int32_t since;
    bool leaving;
};
int rill__group_places(const struct group *group,
                       int (*visit)(void *arg, const struct group_place *place), void *arg);

/* Does member own the partition, since that generation? Fences commits. */
bool rill__group_owns(const struct group *group, uint64_t member, uint64_t topic,
                      int32_t partition, int32_t since);
/* Does anybody subscribe to the topic, as far as is known here? */
bool rill__group_subscribes(const struct group *group, uint64_t topic);
/* When a TICK is due next, as far as is known here; INT64_MAX if never. */
int64_t rill__group_next_tick_ms(const struct group *group);
/* Subscription number index: its text; NULL at the end. */
const char *rill__group_subscription_at(const struct group *group, size_t index);

/* What an assignor is given: members in their order, topics by name. An answer
 * has an owner for each partition of each topic, in this order: a member's
 * place in the list, or -1. All in one block; the caller frees it. */
struct group_plan_member {
    uint64_t id;
    const char *name;
    const struct group_topic *topics;
    size_t topic_count;
};
struct group_plan_input {
    struct group_plan_member *members;
    size_t member_count;
    struct group_topic *topics;
    size_t topic_count;
    int32_t *owners; /* as it is now; room for the answer */
    size_t owner_count;
};
int rill__group_plan_input(const struct group *group, struct group_plan_input **input);

/* Walks everything; rill_assert()s the invariants above. For tests. */
bool rill__group_check(const struct group *group);

/* ---- Keeping ---------------------------------------------------------- */

/* The group as bytes, see group/image.c, with `spare` unused ones behind; the
 * caller frees them. */
int rill__group_encode(const struct group *group, size_t spare, uint8_t **bytes, size_t *size);
/* RILL_ERR_CORRUPT, RILL_ERR_FORMAT (a newer version), RILL_ERR_NO_MEMORY. */
int rill__group_decode(struct heap *heap, const void *bytes, size_t size, struct group **group);
/* The version in encoded bytes; 0 if there is none. */
uint64_t rill__group_encoded_version(const void *bytes, size_t size);

#endif
