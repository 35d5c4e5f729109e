/*
 * members.h - members of a consumer group, in tests of the public API.
 */
#ifndef RILL_TEST_MEMBERS_H
#define RILL_TEST_MEMBERS_H
#include "testing.h"
#include <rill.h>

extern const char *const topic_t[1]; /* "t" */

/* Of one that reads from the beginning. */
rill_consumer_options member_options(const char *group);
/* Subscribes to topic "t"; it has joined when it polls. */
rill_consumer *member_open(rill *store, const rill_consumer_options *options);
/* How many partitions it has. */
size_t parts_of(rill_consumer *consumer);
/* Polls without waiting, for one record. */
int poll_once(rill_consumer *consumer);
/* The same; to be told to rebalance is no failure. */
void poll_ok(rill_consumer *consumer);
/* Both poll until each has as many partitions as it should; b: may be NULL. */
void settle(rill_consumer *a, size_t a_wanted, rill_consumer *b, size_t b_wanted);
/* Of a partition of topic "t". */
rill_offset committed_of(rill_consumer *consumer, int32_t partition);

#endif
