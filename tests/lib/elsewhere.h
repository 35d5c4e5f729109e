/*
 * elsewhere.h - a group as another process steps it, of which this one has not
 * heard yet.
 */
#ifndef RILL_TEST_ELSEWHERE_H
#define RILL_TEST_ELSEWHERE_H
#include "engine/clients.h"
#include "testing.h"

/* One event happens to the group "g". */
void elsewhere_step(rill *store, struct group_event *event);
/* A member comes for topic "t" whose process is dead when anybody looks. */
void elsewhere_join(rill *store);
/* A member is put out; a static one would only be away. */
void elsewhere_expel(rill *store, uint64_t member);
/* What a subscription of the group means now. */
void elsewhere_topics(rill *store, const char *subscription, struct group_topic *topics,
                      size_t count);
/* Its files go, and whoever has its partitions open is told; a lock of this process
 * may be held. */
void elsewhere_delete_topic(rill *store, const char *name);
/* A topic as the group names it. */
struct group_topic elsewhere_topic(rill *store, const char *name);
/* The group is kept in bytes that mean nothing. */
void elsewhere_spoil(rill *store, const char *group);

#endif
