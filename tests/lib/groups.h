/*
 * groups.h - one consumer group in a test; topics are letters, members numbers.
 *
 * After every event the group's invariants are checked; one that is refused must
 * leave the group's image as it was.
 */
#ifndef RILL_GROUPS_H
#define RILL_GROUPS_H
#include "group/group.h"
#include "testing.h"
#include <stdbool.h>

extern struct heap groups_heap;
extern struct group *groups_it;
/* Of the last event. */
extern const struct group_action *groups_actions;
extern size_t groups_action_count;
/* Partitions of the topics 'a', 'b', ...; a letter with none is not subscribed to
 * but by GROUPS_EMPTY_TOPIC. Set to { 2 } by groups_set_up. */
enum { GROUPS_TOPICS = 8, GROUPS_EMPTY_TOPIC = 1000 };
extern uint32_t groups_sizes[GROUPS_TOPICS];

/* A new group of generation 7, and away with it; no memory may be left. */
int groups_set_up(void **state);
int groups_tear_down(void **state);
#define WITH_GROUP(test) cmocka_unit_test_setup_teardown(test, groups_set_up, groups_tear_down)

/* What is zero is the usual: the name "m" and the id in five digits, topics "a",
 * range, a session of 1000 ms, polls each 300 ms. */
struct joiner {
    uint64_t id;
    const char *topics;
    const char *instance;
    const char *name;
    int32_t assignor;
    uint32_t assignors;
    const char *own;
    uint32_t session_ms;
    uint32_t poll_ms;
};
int groups_join(int64_t now_ms, const struct joiner *joiner);
#define JOIN(now, ...) groups_join(now, &(struct joiner){.id = __VA_ARGS__})
int groups_subscribe(int64_t now_ms, uint64_t id, const char *topics);
/* Says to all who subscribe to `topics` what they are now. */
int groups_topics(int64_t now_ms, const char *topics);
/* Answers what it was asked last. */
int groups_ready(int64_t now_ms, uint64_t id);
int groups_ready_round(int64_t now_ms, uint64_t id, uint32_t round);
/* owners: "0011-", places in the list of members. */
int groups_planned(int64_t now_ms, uint64_t id, const char *owners);
/* Any other event, or one of these by hand. */
int groups_happens(int64_t now_ms, enum group_event_kind kind, uint64_t id);
int groups_step(const struct group_event *event);
/* What it was asked last. */
uint32_t groups_round(uint64_t id);
/* All who are asked to give up do so, until nobody is. */
void groups_all_ready(int64_t now_ms);

/* "R1 A2 E3 P4": what the last event told to whom. */
void groups_said(const char *expected);
/* "a:1,1>2,- b:2": the owner of each partition, and if it leaves, for whom;
 * "-(3)" is free and meant for 3. */
void groups_stands(const char *expected);
const char *groups_text(void);

/* The n-th allocation from here on fails, counting from 0; UINT64_MAX: none. */
void groups_fail_allocation(uint64_t n);

/* A sign of life of one member. */
void groups_sign(struct group *group, uint64_t member, int64_t heard_ms, int64_t polled_ms);

#endif
