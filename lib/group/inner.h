/*
 * group/inner.h - members, and what an assignor sees of them.
 */
#ifndef RILL_GROUP_INNER_H
#define RILL_GROUP_INNER_H
#include "group/group.h"

struct member {
    uint64_t id;
    struct group_topic *topics; /* sorted by name; names are in the same block */
    size_t topic_count;
    int32_t assignor;
    uint32_t session_timeout_ms;
    uint32_t rebalance_timeout_ms;
    int64_t heard_ms; /* last sign of life */
    int64_t asked_ms; /* when REVOKE was sent; -1: nothing is asked */
    bool ready;       /* PREPARING: holds nothing */
    struct group_partition *owned;
    size_t owned_count;
    struct group_partition *planned; /* what the assignor is filling */
    size_t planned_count;
    size_t planned_room;
};

/* Members sorted by id. An assignor gives every partition of every topic that
 * a member subscribes to, to exactly one such member, by rill__member_plan. */
typedef int (*assign_fn)(struct heap *heap, struct member **members, size_t count);

int rill__assign_range(struct heap *heap, struct member **members, size_t count);
int rill__assign_round_robin(struct heap *heap, struct member **members, size_t count);

int rill__member_plan(struct heap *heap, struct member *member, uint64_t topic,
                      int32_t partition);
const struct group_topic *rill__member_topic(const struct member *member, uint64_t topic);

/* Every topic that any member subscribes to, once, sorted by name; the caller
 * frees the array. */
int rill__topics_of(struct heap *heap, struct member **members, size_t count,
                    struct group_topic **topics, size_t *topic_count);

#endif
