/*
 * engine/counters.h - the one list of what is counted.
 *
 * Each process counts in words of its own in the shared file, so that others
 * can read them, also while it hangs; what processes that are gone have counted
 * is added to the store's past. Relaxed: they order nothing.
 */
#ifndef RILL_ENGINE_COUNTERS_H
#define RILL_ENGINE_COUNTERS_H
#include <stdatomic.h>
#include <stdint.h>

/* Name, and what it means. Goes up only. */
#define COUNTERS(X)                                                                              \
    X(records_appended, "records appended")                                                      \
    X(bytes_appended, "bytes of batches appended, as stored")                                    \
    X(batches_appended, "batches appended")                                                      \
    X(records_polled, "records that polls handed out")                                           \
    X(polls, "polls of consumers")                                                               \
    X(syncs, "syncs of partitions")                                                              \
    X(commits, "commits of offsets")                                                             \
    X(segments_rolled, "segments rolled")                                                        \
    X(recoveries, "partitions recovered, at open or after a process died")                       \
    X(wakeups, "system calls made to wake somebody")                                             \
    X(group_steps, "changes of groups")                                                          \
    X(members_expelled, "members of groups that were late or died")                              \
    X(interceptor_failures, "calls of interceptors that failed")                                 \
    X(transactions_committed, "transactions committed")                                          \
    X(transactions_aborted, "transactions aborted")                                              \
    X(bytes_uncompressed, "bytes of batches appended, before compression")                       \
    X(segments_deleted, "segments deleted: old, too many, consumed, or by request")              \
    X(compactions, "compactions of partitions that had something to do")

/* What there is now. */
#define GAUGES(X)                                                                                \
    X(memory_bytes, "bytes that the library has allocated")                                      \
    X(mapped_bytes, "bytes of segments, indexes and control blocks that are mapped")

struct counters {
#define X(name, meaning) _Atomic uint64_t name;
    COUNTERS(X)
    GAUGES(X)
#undef X
};

static inline void rill__count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

#endif
