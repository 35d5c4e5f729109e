/*
 * engine/work_queue.c - see engine/work_queue.h.
 */
#include "engine/work_queue.h"
#include "base/checksum.h"
#include "base/error.h"
#include "log/log.h"
#include <string.h>

#define BUCKETS_LEAST 64u
#define BUCKETS_MOST 65536u

int rill__work_init(struct work_queue *q, struct heap *heap, const rill_workers_options *options)
{
    size_t count = BUCKETS_LEAST;

    while (count < options->in_flight_max && count < BUCKETS_MOST) count *= 2;
    q->heap = heap;
    q->order = options->order;
    q->keyless_free = (options->flags & RILL_WORKERS_KEYLESS_FREE) != 0;
    q->bucket_mask = count - 1;
    q->buckets = rill__alloc(heap, count * sizeof(struct task *));
    return q->buckets == NULL ? RILL_ERR_NO_MEMORY : 0;
}

void rill__work_deinit(struct work_queue *q)
{
    struct work_part *part;
    struct work_part *next;

    for (part = q->parts; part != NULL; part = next) {
        next = part->next;
        rill__work_drop(q, part);
        rill__work_part_gone(q, part);
    }
    rill__free(q->heap, q->buckets);
}

/* ---- Tasks of one key ------------------------------------------------- */

static bool is_chained(const struct work_queue *q, const struct task *task)
{
    if (q->order == RILL_ORDER_NONE) return false;
    return q->order == RILL_ORDER_PARTITION || !q->keyless_free || task->record.key.data != NULL;
}

static uint64_t hash_of(const struct work_queue *q, const struct task *task)
{
    const rill_bytes *key = &task->record.key;
    uint64_t hash = rill__mix64((uintptr_t)task->part->topic + (uint64_t)task->part->partition);

    if (q->order == RILL_ORDER_KEY && key->data != NULL)
        hash ^= rill__checksum(key->data, key->size);
    return hash;
}

/* A partition that has come back is another work_part, but the same partition:
 * a task of its earlier stay may still run. */
static bool same_key(const struct work_queue *q, const struct task *a, const struct task *b)
{
    const rill_bytes *x = &a->record.key;
    const rill_bytes *y = &b->record.key;

    if (a->hash != b->hash || a->part->topic != b->part->topic ||
        a->part->partition != b->part->partition)
        return false;
    if (q->order == RILL_ORDER_PARTITION) return true;
    if (x->data == NULL || y->data == NULL) return x->data == y->data;
    return x->size == y->size && memcmp(x->data, y->data, x->size) == 0;
}

static struct task **bucket_of(struct work_queue *q, uint64_t hash)
{
    return &q->buckets[hash & q->bucket_mask];
}

/* Puts `by` in the place of the last task of a key; NULL: there is none left. */
static void replace_last(struct work_queue *q, struct task *last, struct task *by)
{
    struct task **at = bucket_of(q, last->hash);

    while (*at != last) at = &(*at)->chain;
    if (by != NULL) {
        by->chain = last->chain;
        *at = by;
    } else {
        *at = last->chain;
    }
}

/* Whether it must wait for another one. */
static bool line_up(struct work_queue *q, struct task *task)
{
    struct task **bucket;
    struct task *last;

    if (!is_chained(q, task)) return false;
    task->hash = hash_of(q, task);
    bucket = bucket_of(q, task->hash);
    for (last = *bucket; last != NULL && !same_key(q, last, task); last = last->chain) {}
    if (last == NULL) {
        task->chain = *bucket;
        *bucket = task;
        return false;
    }
    replace_last(q, last, task);
    last->follower = task;
    task->leader = last;
    return true;
}

static void leave_line(struct work_queue *q, struct task *task)
{
    if (!is_chained(q, task)) return;
    if (task->follower != NULL) task->follower->leader = task->leader;
    else replace_last(q, task, task->leader);
    if (task->leader != NULL) task->leader->follower = task->follower;
}

/* ---- Tasks of one partition ------------------------------------------- */

struct work_part *rill__work_part(struct work_queue *q, const rill_record *record)
{
    struct work_part *part = q->parts;

    while (part != NULL &&
           (part->gone || part->partition != record->partition || part->topic != record->topic))
        part = part->next;
    if (part != NULL) return part;
    part = rill__alloc(q->heap, sizeof *part);
    if (part == NULL) return NULL;
    part->topic = record->topic;
    memcpy(part->name, record->topic, strlen(record->topic) + 1);
    part->partition = record->partition;
    part->epoch = -1;
    part->end = record->offset;
    part->before = -1;
    part->next = q->parts;
    q->parts = part;
    return part;
}

static void part_free_if_done(struct work_queue *q, struct work_part *part)
{
    struct work_part **at = &q->parts;

    if (!part->gone || part->first != NULL) return;
    while (*at != part) at = &(*at)->next;
    *at = part->next;
    rill__free(q->heap, part);
}

void rill__work_part_gone(struct work_queue *q, struct work_part *part)
{
    part->gone = true;
    part_free_if_done(q, part);
}

/* At the end, unless somebody has sought back. */
static void list_by_offset(struct work_part *part, struct task *task)
{
    struct task *before = part->last;

    while (before != NULL && before->record.offset > task->record.offset) before = before->before;
    task->before = before;
    task->after = before != NULL ? before->after : part->first;
    if (task->after != NULL) task->after->before = task;
    else part->last = task;
    if (before != NULL) before->after = task;
    else part->first = task;
}

static void unlist(struct task *task)
{
    struct work_part *part = task->part;

    if (task->after != NULL) task->after->before = task->before;
    else part->last = task->before;
    if (task->before != NULL) task->before->after = task->after;
    else part->first = task->after;
}

rill_position rill__work_frontier(const struct work_part *part)
{
    const struct task *first = part->first;

    return (rill_position){.topic = part->name,
                           .partition = part->partition,
                           .leader_epoch = first != NULL ? first->epoch_before : part->epoch,
                           .offset = first != NULL ? first->record.offset : part->end};
}

/* ---- Tasks that can be worked on -------------------------------------- */

static void put_last(struct tasks *list, struct task *task)
{
    task->next = NULL;
    if (list->last != NULL) list->last->next = task;
    else list->first = task;
    list->last = task;
}

static struct task *take_first(struct tasks *list)
{
    struct task *task = list->first;

    list->first = task->next;
    if (list->first == NULL) list->last = NULL;
    return task;
}

static void remove_part(struct tasks *list, const struct work_part *part)
{
    struct tasks kept = {NULL, NULL};

    while (list->first != NULL) {
        struct task *task = take_first(list);
        if (task->part != part) put_last(&kept, task);
    }
    *list = kept;
}

struct task *rill__work_take(struct work_queue *q, int64_t now_ns)
{
    struct task *task;

    while (q->delayed.first != NULL && q->delayed.first->due_ns <= now_ns)
        put_last(&q->ready, take_first(&q->delayed));
    if (q->ready.first == NULL) return NULL;
    task = take_first(&q->ready);
    task->running = true;
    task->part->running++;
    task->tries++;
    return task;
}

int64_t rill__work_due(const struct work_queue *q)
{
    return q->delayed.first != NULL ? q->delayed.first->due_ns : INT64_MAX;
}

static void runs_no_more(struct task *task)
{
    if (task->running) task->part->running--;
    task->running = false;
}

void rill__work_stick(struct task *task)
{
    runs_no_more(task);
    for (; task != NULL; task = task->follower) task->part->stuck++;
}

void rill__work_stick_delayed(struct work_queue *q)
{
    while (q->delayed.first != NULL) rill__work_stick(take_first(&q->delayed));
}

void rill__work_delay(struct work_queue *q, struct task *task, int64_t due_ns)
{
    struct task *before = q->delayed.first;

    runs_no_more(task);
    task->due_ns = due_ns;
    if (before == NULL || q->delayed.last->due_ns <= due_ns) {
        put_last(&q->delayed, task);
    } else if (before->due_ns > due_ns) {
        task->next = before;
        q->delayed.first = task;
    } else {
        while (before->next->due_ns <= due_ns) before = before->next;
        task->next = before->next;
        before->next = task;
    }
}

/* ---- Coming and going ------------------------------------------------- */

size_t rill__task_size(const rill_record *record)
{
    return sizeof(struct task) + rill__record_raw_size(record->raw);
}

struct task *rill__task_new(struct work_queue *q, const rill_record *record)
{
    size_t size = rill__task_size(record);
    struct task *task = rill__alloc(q->heap, size);

    if (task == NULL) return NULL;
    task->size = size;
    task->record = *record;
    rill__record_move(&task->record, size - sizeof *task, task + 1);
    return task;
}

void rill__work_add(struct work_queue *q, struct work_part *part, struct task *task)
{
    bool sought_back = task->record.offset < part->end;

    task->part = part;
    task->record.topic = part->name;
    task->epoch_before = sought_back ? -1 : part->epoch;
    list_by_offset(part, task);
    if (!sought_back) {
        part->end = task->record.offset + 1;
        part->epoch = task->record.leader_epoch;
    }
    part->count++;
    q->count++;
    q->bytes += task->size;
    if (!line_up(q, task)) put_last(&q->ready, task);
}

static void unlink_task(struct work_queue *q, struct task *task)
{
    leave_line(q, task);
    unlist(task);
    task->part->count--;
    q->count--;
    q->bytes -= task->size;
}

void rill__work_finish(struct work_queue *q, struct task *task)
{
    struct task *follower = task->follower;
    struct work_part *part = task->part;

    runs_no_more(task);
    unlink_task(q, task);
    part_free_if_done(q, part);
    if (follower != NULL) put_last(&q->ready, follower);
}

void rill__work_drop(struct work_queue *q, struct work_part *part)
{
    struct task *task;
    struct task *after;

    remove_part(&q->ready, part);
    remove_part(&q->delayed, part);
    for (task = part->first; task != NULL; task = after) {
        after = task->after;
        if (task->running) continue;
        unlink_task(q, task);
        rill__free(q->heap, task);
    }
}
