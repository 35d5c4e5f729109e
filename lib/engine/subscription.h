/*
 * engine/subscription.h - what a group's member wants to read, as a text, and
 * the topics that it means now.
 */
#ifndef RILL_ENGINE_SUBSCRIPTION_H
#define RILL_ENGINE_SUBSCRIPTION_H
#include "engine/store.h"
#include "group/group.h"

/* Topic names and expressions, sorted, each once, with newlines between: equal
 * for equal subscriptions. RILL_ERR_INVALID names the one that is no topic name
 * and no expression. The caller frees the text. */
int rill__subscription_text(struct heap *heap, const char *const *topics, size_t count,
                            char **text);

/* The topics that it matches now, for rill__subscription_free. Cost: a walk over the
 * catalogue. */
int rill__subscription_topics(struct store *store, const char *text, struct group_topic **topics,
                              size_t *count);
void rill__subscription_free(struct heap *heap, const struct group_topic *topics, size_t count);

#endif
