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

#endif
