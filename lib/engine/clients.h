/*
 * engine/clients.h - what producers, consumers and groups share.
 */
#ifndef RILL_ENGINE_CLIENTS_H
#define RILL_ENGINE_CLIENTS_H
#include "engine/store.h"
#include "group/group.h"

#define BATCH_HEAD ((size_t)64) /* stored bytes of a batch beside its records */
#define ROUND_ROOM(size) (((size) + 4095) & ~(size_t)4095)

/* ---- A consumer as its group sees it ---------------------------------- */

/* What the coordinator tells a member; guarded by coordinator->lock, but for
 * pending, which the member polls without it. */
struct membership {
    struct membership *next;
    uint64_t id;
    _Atomic bool pending;      /* something below waits for the member */
    _Atomic int64_t polled_ms; /* monotonic; relaxed: stored by its polls */
    _Atomic bool in_poll;      /* sleeping in a poll is being alive */
    _Atomic uint32_t *wake;    /* futex word to wake it by */
    bool revoke;
    bool expelled;
    bool assigned;
    int32_t generation;
    struct group_partition *partitions;
    size_t partition_count;
};

/* Finds or makes the group and takes it for this process. */
int rill__coordinator_get(struct store *store, const char *name, struct coordinator **out);
int rill__coordinator_join(struct coordinator *c, struct membership *m,
                           const struct group_topic *topics, size_t topic_count,
                           const rill_consumer_options *options);
int rill__coordinator_topics(struct coordinator *c, struct membership *m,
                             const struct group_topic *topics, size_t topic_count);
int rill__coordinator_ready(struct coordinator *c, struct membership *m);
void rill__coordinator_leave(struct coordinator *c, struct membership *m);
void rill__coordinator_tick(struct coordinator *c, uint32_t *next_ms);
/* Takes what is pending; *partitions is the caller's to free. */
struct news {
    bool revoke;
    bool expelled;
    bool assigned;
    struct group_partition *partitions;
    size_t partition_count;
};
void rill__coordinator_news(struct coordinator *c, struct membership *m, struct news *news);
/* Commits, after checking that m (NULL: no member) owns what it commits. */
int rill__coordinator_commit(struct coordinator *c, struct membership *m,
                             const struct meta_offset *offsets, size_t count);

/* Lets the thread behind the consumers' descriptors look again. Any thread,
 * signal handlers too. */
void rill__bridge_kick(struct store *store);

#endif
