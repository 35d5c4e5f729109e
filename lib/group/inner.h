/*
 * group/inner.h - members, subscriptions and partitions, and what an assignor
 * sees of them.
 */
#ifndef RILL_GROUP_INNER_H
#define RILL_GROUP_INNER_H
#include "group/group.h"

#define NOBODY UINT32_MAX

/* Shared by the members that have it. */
struct subscription {
    uint32_t users;
    char *text;
    struct group_topic *topics; /* sorted by name; names are in the same block */
    size_t topic_count;
};

struct member {
    uint64_t id;
    char *name;
    char *instance; /* NULL: dynamic */
    struct subscription *subscription;
    int32_t assignor;
    uint32_t assignors;
    char *own_assignor; /* NULL: none */
    uint32_t session_timeout_ms;
    uint32_t max_poll_interval_ms;
    int64_t heard_ms;  /* last sign of life */
    int64_t polled_ms; /* last poll */
    int64_t asked_ms;  /* REVOKE or PLAN was sent, and not yet answered; -1 */
    uint32_t round;    /* counts the asking */
    bool away;

    /* while a plan is made */
    const struct group_topic *topics; /* the subscription's */
    size_t topic_count;
    struct group_partition *owned; /* that it holds and need not give up */
    size_t owned_count;
    size_t owned_room;
    struct group_partition *planned; /* what the assignor is filling */
    size_t planned_count;
    size_t planned_room;
};

/* A partition. owner and target are places in group->members. */
struct place {
    uint32_t owner; /* NOBODY: free */
    uint32_t target;
    int32_t since;
    bool leaving;
};

struct placed_topic {
    uint64_t topic;
    char *name;
    uint32_t partition_count;
    struct place *places;
    bool wanted; /* somebody subscribes to it */
};

struct group {
    struct heap *heap;
    int32_t generation;
    uint64_t version;
    int32_t assignor;        /* of the plan in force */
    uint32_t planner;        /* member that was asked for a plan; NOBODY */
    struct member **members; /* a member keeps its place; NULL: unused */
    size_t member_room;
    size_t member_count;
    struct subscription **subscriptions;
    size_t subscription_count;
    struct placed_topic *topics; /* sorted by number */
    size_t topic_count;
    struct group_action *actions;
    size_t action_count;
    size_t action_room;
};

/* ---- plan.c ---- */

/* The assignor with the most votes of those that all members can; as if `joining`
 * (may be NULL) were one, and `replaced` (may be NOBODY) were not.
 * RILL_ERR_INVALID: there is none. */
int rill__group_elect(const struct group *group, const struct member *joining, uint32_t replaced,
                      int32_t *assignor);
/* Gives every partition its target. */
int rill__group_plan(struct group *group);
/* The members in the order in which assignors take them; the caller frees it. */
int rill__members_ordered(const struct group *group, struct member ***members);
/* Makes group->topics what the subscriptions say. */
int rill__group_update_topics(struct group *group);
struct placed_topic *rill__placed_topic(const struct group *group, uint64_t topic);
int rill__group_take_plan(struct group *group, const int32_t *owners, size_t count);

/* ---- group.c, for image.c ---- */

int rill__group_subscription(struct group *group, const struct group_subscription *given,
                             struct subscription **subscription);
int rill__group_add_member(struct group *group, struct member *m);
void rill__member_free(struct heap *heap, struct member *m);

/* ---- assignors ---- */

/* An assignor gives every partition of every topic that a member subscribes to,
 * to exactly one such member, by rill__member_plan. */
typedef int (*assign_fn)(struct heap *heap, struct member **members, size_t count);

int rill__assign_range(struct heap *heap, struct member **members, size_t count);
int rill__assign_round_robin(struct heap *heap, struct member **members, size_t count);
int rill__assign_sticky(struct heap *heap, struct member **members, size_t count);

int rill__member_plan(struct heap *heap, struct member *member, uint64_t topic,
                      int32_t partition);
const struct group_topic *rill__member_topic(const struct member *member, uint64_t topic);

/* Every topic that any member subscribes to, once, sorted by name; the caller
 * frees the array. */
int rill__topics_of(struct heap *heap, struct member **members, size_t count,
                    struct group_topic **topics, size_t *topic_count);

#endif
