/*
 * group/group.h - the coordinator of one consumer group, as a pure machine.
 *
 *     rill__group_step(group, &event, &actions)
 *
 * No clock, no I/O, no threads, no randomness: time comes in with the event,
 * what to do goes out as actions, in order. The same events give the same
 * actions, so whole groups run in a test from one seed.
 *
 *               join, topics changed, leave, expire
 *        +--------------------------------------------+
 *        v                                            |
 *     +-------+  first join  +-----------+  all ready or deadline  +--------+
 *     | EMPTY | -----------> | PREPARING | ----------------------> | STABLE |
 *     +-------+              +-----------+                         +--------+
 *        ^   last member gone     |  ^        a change                 |
 *        +------------------------+  +---------------------------------+
 *
 *   EMPTY      no members. generation stays.
 *   PREPARING  members are told to give up what they hold (REVOKE) and answer
 *              with READY; who holds nothing is ready at once. A member that
 *              has not answered by its rebalance deadline is expelled.
 *   STABLE     every member knows its partitions of this generation; no
 *              partition has two owners, none is without one if any member
 *              subscribes to its topic.
 *
 * Always true: a partition is never assigned in a generation while a member of
 * an earlier one that is not expelled may still hold it.
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

enum group_event_kind {
    GROUP_JOIN,      /* member, topics, session and rebalance timeouts, assignor */
    GROUP_READY,     /* member gave up what it held */
    GROUP_HEARTBEAT, /* member lives */
    GROUP_LEAVE,     /* member */
    GROUP_TOPICS,    /* member's topics changed (created, deleted, resubscribed) */
    GROUP_TICK       /* time passed: expire who is late */
};

struct group_event {
    enum group_event_kind kind;
    int64_t now_ms;
    uint64_t member;                  /* unique, never reused */
    const struct group_topic *topics; /* JOIN, TOPICS: what it subscribes to */
    size_t topic_count;
    uint32_t session_timeout_ms;   /* JOIN: silence after which it is expelled */
    uint32_t rebalance_timeout_ms; /* JOIN: time to answer REVOKE */
    int32_t assignor;              /* JOIN: enum rill_assignor */
};

enum group_action_kind {
    GROUP_REVOKE, /* tell member: give up all, then send READY */
    GROUP_ASSIGN, /* tell member: yours are these, in this generation */
    GROUP_EXPEL   /* tell member: you are out; join anew */
};

struct group_action {
    enum group_action_kind kind;
    uint64_t member;
    int32_t generation;
    const struct group_partition *partitions; /* ASSIGN; until the next step */
    size_t partition_count;
};

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_STABLE };

struct group; /* opaque */

/* generation: the last one that was used, 0 for a new group. */
int rill__group_new(struct heap *heap, int32_t generation, struct group **group);
void rill__group_free(struct group *group);

/* Advances. *actions lives until the next step or free. Errors leave the group
 * as it was: RILL_ERR_NOT_FOUND a member it does not know (but LEAVE of such a
 * one is fine), RILL_ERR_EXISTS a JOIN of one it knows, RILL_ERR_INVALID
 * members disagree on the assignor, RILL_ERR_NO_MEMORY (but then a rebalance
 * that only had to be finished is finished by a later step). */
int rill__group_step(struct group *group, const struct group_event *event,
                     const struct group_action **actions, size_t *action_count);

enum group_state rill__group_state(const struct group *group);
int32_t rill__group_generation(const struct group *group);
size_t rill__group_member_count(const struct group *group);
/* Does member own the partition in the present generation? Fences commits. */
bool rill__group_owns(const struct group *group, uint64_t member, uint64_t topic,
                      int32_t partition);
/* When a TICK is due next; INT64_MAX if never. */
int64_t rill__group_next_tick_ms(const struct group *group);
/* Walks everything; rill_assert()s the invariants above. For tests. */
bool rill__group_check(const struct group *group);

#endif
