/*
 * engine/work_queue.h - records that wait for a worker, in the order they need.
 *
 * A task is a record that was handed to the workers and is not finished. All
 * tasks of a partition are in one list by offset, so that its first one is where
 * the group has to go on. All tasks of the same key are in another, of which only
 * the first may be worked on:
 *
 *     bucket of the key -> c        follower ->
 *                          ^   a -> b -> c
 *                              |    (wait)
 *                              ready, running, delayed or failed
 *
 * The bucket knows the last one, to which the next is added. A task leaves both
 * lists when it is finished, so nothing is kept of those that are.
 *
 * No thread, no callback, no waiting: whoever calls holds the queue's lock.
 */
#ifndef RILL_ENGINE_WORK_QUEUE_H
#define RILL_ENGINE_WORK_QUEUE_H
#include "base/heap.h"
#include <stdbool.h>

/* A partition that is worked on, from its first record until it is let go and
 * the last task is gone. It has a copy of the topic's name because a worker that
 * does not come back may still look at it when the store is closed. */
struct work_part {
    struct work_part *next;
    const char *topic; /* as in the consumer's records: two are one if it is equal */
    char name[RILL_TOPIC_NAME_MAX + 1];
    int32_t partition;
    int32_t epoch;  /* of the record before `end` */
    int64_t end;    /* offset behind the last record that was handed out */
    int64_t before; /* committed by us, -1: not yet; only goes up */
    bool leaving;   /* a rebalance takes it, or the workers close */
    bool gone;      /* its tasks count no more */
    uint32_t count; /* its tasks */
    uint32_t running;
    uint32_t stuck; /* of them, those that will not be tried again, or wait for such */
    struct task *first, *last;
};

struct task {
    rill_record record; /* its stored bytes follow the task */
    struct work_part *part;
    struct task *before, *after;    /* in the partition, by offset */
    struct task *leader, *follower; /* of the same key */
    struct task *chain;             /* in the bucket */
    struct task *next;              /* in `ready` or `delayed` */
    uint64_t hash;
    size_t size; /* bytes that it takes */
    int64_t due_ns;
    uint32_t tries;
    int32_t epoch_before; /* of the record before it; -1: not known */
    bool running;
};

struct tasks {
    struct task *first, *last;
};

struct work_queue {
    struct heap *heap;
    int32_t order; /* enum rill_order */
    bool keyless_free;
    struct task **buckets;
    size_t bucket_mask;
    struct work_part *parts;
    struct tasks ready;   /* first come, first served */
    struct tasks delayed; /* by due_ns */
    uint32_t count;       /* tasks there are, and their bytes */
    uint64_t bytes;
};

int rill__work_init(struct work_queue *q, struct heap *heap, const rill_workers_options *options);
/* With all tasks but those that run: these stay, with their partitions. */
void rill__work_deinit(struct work_queue *q);

/* The partition of that record; NULL: no memory. The only ones that allocate: */
struct work_part *rill__work_part(struct work_queue *q, const rill_record *record);
/* A copy of the record, in no list yet, to be given to rill__work_add. No lock needed. */
struct task *rill__task_new(struct work_queue *q, const rill_record *record);
/* Bytes that a task of that record takes. */
size_t rill__task_size(const rill_record *record);

void rill__work_add(struct work_queue *q, struct work_part *part, struct task *task);
/* One that may be worked on now, NULL if there is none. */
struct task *rill__work_take(struct work_queue *q, int64_t now_ns);
/* When the next one will be, if nothing happens before: INT64_MAX, nobody knows. */
int64_t rill__work_due(const struct work_queue *q);
/* It is tried again, not before due_ns. Those of its key wait. */
void rill__work_delay(struct work_queue *q, struct task *task, int64_t due_ns);
/* It stays where it is, and is not tried again. */
void rill__work_stick(struct task *task);
/* The same with all that are to be tried again later. */
void rill__work_stick_delayed(struct work_queue *q);
/* One that was taken leaves the queue, to be freed; its follower may be worked on. */
void rill__work_finish(struct work_queue *q, struct task *task);
/* Those of the partition that do not run leave and are freed. */
void rill__work_drop(struct work_queue *q, struct work_part *part);
/* Forgets the partition as soon as it has no task. */
void rill__work_part_gone(struct work_queue *q, struct work_part *part);

/* Where the group has to go on: the lowest offset that is not finished. */
rill_position rill__work_frontier(const struct work_part *part);

#endif
