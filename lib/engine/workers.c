/*
 * engine/workers.c - a consumer's records, worked on by several threads.
 *
 *     host: run -> commit what is due -> room? poll, hand out : attend the group
 *                     ^                                 |            |
 *                     +---------------------------------+------------+
 *     worker:  take a task -> work (no lock) -> finish, delay or stop
 *
 * The host is whatever thread of the application is in a run or close; only it
 * touches the consumer. Workers touch the queue, under the lock, and wake the host
 * when it waits for room. What may be worked on when is the queue's to know
 * (work_queue.h).
 *
 * Always true: a partition is committed up to the first task in its list at most,
 * and a task leaves that list only when it is finished, or when the partition is
 * let go, after its last commit.
 */
#include "engine/consumer.h"
#include "engine/work_queue.h"
#include <inttypes.h>
#include <string.h>

#define POLL_MAX 64

struct worker {
    struct rill_workers *workers;
    uint32_t number;
    struct thread thread;
    const void *self;  /* rill__this_thread of it; NULL: not yet there */
    struct task *task; /* that it works on, set under the lock by itself */
    bool left;         /* the workers were closed without it */
};

struct rill_workers {
    struct rill_workers *next_left;
    struct rill_consumer *consumer;
    struct heap *heap;
    uint32_t fork_generation;
    rill_workers_options options;
    rill_rebalance_fn rebalance; /* the application's */
    void *rebalance_arg;
    _Atomic bool busy; /* a run or close is going on */
    _Atomic bool stop; /* rill_workers_stop */

    int64_t commit_ms; /* the host's: monotonic, of the last look at what to commit */

    struct mutex lock;        /* guards all below; none of the application's functions
                                 runs under it, but for the allocator */
    struct condition work;    /* there is some, or quit */
    struct condition settled; /* a partition that leaves has nothing more to wait for */
    struct work_queue queue;
    size_t next_size; /* of the task for which there was no room; 0: none */
    uint32_t idle;    /* workers that wait for work */
    bool host_waits;  /* to be woken when there is room */
    bool closing;     /* what fails is not tried again */
    bool quit;
    int failure; /* 0, or what work returned when it was too much */
    bool told;   /* to the application */
    struct saved_message why;
    uint64_t done_count;
    uint64_t skipped_count;
    uint64_t failed_count;
    struct worker workers[];
};

/* Those that were left behind by close: a checker of leaks finds them here. */
static _Atomic(struct rill_workers *) left_behind;

int rill__workers_check(const rill_workers *w)
{
    if (w->fork_generation == rill__fork_generation()) return 0;
    return rill__fail(RILL_ERR_FORKED, "these workers were opened before fork()");
}

/* ---- What the lock guards: all with the lock held ---------------------- */

static bool is_full(const struct rill_workers *w)
{
    const struct work_queue *q = &w->queue;

    if (q->count == 0) return false;
    return q->count >= w->options.in_flight_max ||
           q->bytes + w->next_size > w->options.in_flight_bytes;
}

/* Woken for every single task, the host would hand out one by one. */
static bool has_room_again(const struct rill_workers *w)
{
    uint32_t most = w->options.in_flight_max;
    return w->queue.count <= most - most / 4 - 1 && !is_full(w);
}

/* Is there anything to wait for? */
static bool is_pending(const struct rill_workers *w, const struct work_part *part)
{
    return w->failure != 0 || part->gone ? part->running > 0 : part->count > part->stuck;
}

static bool some_leaving_is_pending(const struct rill_workers *w)
{
    for (const struct work_part *part = w->queue.parts; part != NULL; part = part->next)
        if (part->leaving && (w->closing || !part->gone) && is_pending(w, part)) return true;
    return false;
}

static void wake_workers(struct rill_workers *w, size_t count)
{
    if (w->idle == 0) return;
    if (count >= w->idle) rill__condition_signal_all(&w->work);
    else
        while (count-- > 0) rill__condition_signal_one(&w->work);
}

static void wake_host(struct rill_workers *w)
{
    w->host_waits = false;
    rill__consumer_wakeup(w->consumer);
}

/* ---- A worker --------------------------------------------------------- */

enum outcome { OUTCOME_DONE, OUTCOME_SKIP, OUTCOME_AGAIN, OUTCOME_STOP };

static struct task *next_task(struct rill_workers *w, struct worker *me)
{
    struct task *task = NULL;

    rill__mutex_lock(&w->lock);
    me->self = rill__this_thread();
    while (!w->quit) {
        if (w->failure == 0) task = rill__work_take(&w->queue, rill__monotonic_ns());
        if (task != NULL) break;
        if (w->host_waits && !is_full(w))
            wake_host(w); /* what is in flight does not keep us busy */
        w->idle++;
        rill__condition_wait_until(&w->work, &w->lock,
                                   w->failure != 0 ? INT64_MAX : rill__work_due(&w->queue));
        w->idle--;
    }
    me->task = task;
    /* Somebody else is to take the next one, or to wait until it is due. */
    if (w->queue.ready.first != NULL || w->queue.delayed.first != NULL) wake_workers(w, 1);
    rill__mutex_unlock(&w->lock);
    return task;
}

static bool was_left(struct rill_workers *w, const struct worker *me)
{
    bool left;

    rill__mutex_lock(&w->lock);
    left = me->left;
    rill__mutex_unlock(&w->lock);
    return left;
}

/* Without the lock. *failure gets what the work returned. */
static enum outcome work_on(struct rill_workers *w, struct worker *me, struct task *task,
                            int *failure)
{
    const rill_workers_options *o = &w->options;

    *failure = o->work(o->work_arg, me->number, &task->record);
    if (*failure == 0) return OUTCOME_DONE;
    if (o->retries == RILL_RETRIES_FOREVER || task->tries <= o->retries) return OUTCOME_AGAIN;
    if (o->failed == NULL || was_left(w, me)) return OUTCOME_STOP;
    switch (o->failed(o->work_arg, me->number, &task->record, *failure, task->tries)) {
    case RILL_FAILED_SKIP: return OUTCOME_SKIP;
    case RILL_FAILED_RETRY: return OUTCOME_AGAIN;
    default: return OUTCOME_STOP;
    }
}

static int64_t next_try_ns(const struct rill_workers *w, const struct task *task)
{
    uint64_t wait_ms = w->options.backoff_ms;

    for (uint32_t i = 1; i < task->tries && wait_ms < w->options.backoff_max_ms; i++)
        wait_ms *= 2;
    if (wait_ms > w->options.backoff_max_ms) wait_ms = w->options.backoff_max_ms;
    return rill__monotonic_ns() + (int64_t)wait_ms * 1000000;
}

static void fail_for_good(struct rill_workers *w, struct task *task, int failure)
{
    const rill_record *record = &task->record;

    rill__work_stick(task);
    if (w->failure != 0) return; /* the first one counts */
    rill__fail(failure,
               "%s-%d: the work on the record at offset %" PRId64
               " failed with %d after %u %s; the workers have stopped",
               record->topic, (int)record->partition, record->offset, failure, task->tries,
               task->tries == 1 ? "try" : "tries");
    rill__message_save(&w->why);
    w->failure = failure;
    rill__condition_signal_all(&w->settled);
    wake_host(w);
}

/* With the lock held. Returns whether the task is finished, to be freed. */
static bool settle(struct rill_workers *w, struct task *task, enum outcome outcome, int failure)
{
    struct work_part *part = task->part;
    bool waited_for = part->leaving && !part->gone;
    bool finished = false;

    if (failure != 0) w->failed_count++;
    if (outcome == OUTCOME_DONE || outcome == OUTCOME_SKIP) w->done_count++;
    if (outcome == OUTCOME_SKIP) w->skipped_count++;
    if (part->gone) outcome = OUTCOME_DONE; /* whoever has it now tries again */
    switch (outcome) {
    case OUTCOME_STOP: fail_for_good(w, task, failure); break;
    case OUTCOME_AGAIN:
        if (w->closing) rill__work_stick(task);
        else rill__work_delay(&w->queue, task, next_try_ns(w, task));
        break;
    default: rill__work_finish(&w->queue, task); finished = true;
    }
    if (w->closing || (waited_for && !is_pending(w, part)))
        rill__condition_signal_all(&w->settled);
    if (w->host_waits && has_room_again(w)) wake_host(w);
    return finished;
}

static void *worker_run(void *arg)
{
    struct worker *me = arg;
    struct rill_workers *w = me->workers;
    struct task *task;

    while ((task = next_task(w, me)) != NULL) {
        int failure;
        enum outcome outcome = work_on(w, me, task, &failure);
        bool finished;

        rill__mutex_lock(&w->lock);
        if (me->left) {
            rill__mutex_unlock(&w->lock);
            break;
        }
        me->task = NULL;
        finished = settle(w, task, outcome, failure);
        rill__mutex_unlock(&w->lock);
        if (finished) rill__free(w->heap, task);
    }
    return NULL;
}

/* ---- The host: committing --------------------------------------------- */

static bool is_assigned(const struct rill_workers *w, const struct work_part *part)
{
    const struct assigned *assigned =
        rill__assigned_find(w->consumer, part->name, part->partition);

    /* And not another topic that has this name by now. */
    return assigned != NULL && assigned->topic->info.name == part->topic;
}

/* With the lock held. */
static bool has_progress(const struct work_part *part)
{
    return !part->gone && rill__work_frontier(part).offset > part->before;
}

/* What is to be committed, by partition; *count 0 and NULL: nothing. */
static int frontiers(struct rill_workers *w, rill_position **positions, size_t *count)
{
    size_t room = 0;
    int rc = 0;

    *positions = NULL;
    *count = 0;
    rill__mutex_lock(&w->lock);
    for (const struct work_part *p = w->queue.parts; p != NULL; p = p->next)
        if (has_progress(p)) room++;
    if (room > 0) *positions = rill__alloc(w->heap, room * sizeof **positions);
    if (room > 0 && *positions == NULL) rc = RILL_ERR_NO_MEMORY;
    for (const struct work_part *p = w->queue.parts; *positions != NULL && p != NULL; p = p->next)
        if (has_progress(p) && is_assigned(w, p))
            (*positions)[(*count)++] = rill__work_frontier(p);
    rill__mutex_unlock(&w->lock);
    return rc;
}

/* Partitions come and go at the host's will only, so they are in the same order. */
static void note_committed(struct rill_workers *w, const rill_position *positions, size_t count)
{
    size_t i = 0;

    rill__mutex_lock(&w->lock);
    for (struct work_part *p = w->queue.parts; p != NULL && i < count; p = p->next)
        if (p->name == positions[i].topic) p->before = positions[i++].offset;
    rill__mutex_unlock(&w->lock);
}

/* A partition is committed once even if nothing of it is finished, so that another
 * member does not begin behind that by its reset policy. */
int rill__workers_commit(struct rill_workers *w)
{
    rill_position *positions;
    size_t count;
    int rc;

    if (w->consumer->coordinator == NULL) return 0;
    rc = frontiers(w, &positions, &count);
    if (rc == 0 && count > 0) rc = rill__consumer_commit(w->consumer, positions, count);
    if (rc == 0) note_committed(w, positions, count);
    rill__free(w->heap, positions);
    return rc;
}

/* Of what it has lost the group's news tell; a busy catalogue is busy now. */
static int commit_if_it_can(struct rill_workers *w)
{
    int rc = rill__workers_commit(w);
    return rc == RILL_ERR_FENCED || rc == RILL_ERR_TIMEOUT ? 0 : rc;
}

static int commit_if_due(struct rill_workers *w)
{
    int64_t now_ms = rill__monotonic_ns() / 1000000;

    if (now_ms < w->commit_ms + w->options.commit_interval_ms) return 0;
    w->commit_ms = now_ms;
    return commit_if_it_can(w);
}

/* ---- The host: handing out -------------------------------------------- */

/* The records go back to where they came from, to be polled again. */
static int give_back(struct rill_workers *w, const rill_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool first = true;
        int rc;

        for (size_t j = 0; j < i && first; j++)
            first = records[j].topic != records[i].topic ||
                    records[j].partition != records[i].partition;
        if (!first) continue;
        rc = rill__consumer_seek(w->consumer, records[i].topic, records[i].partition,
                                 records[i].offset);
        if (rc == 0) continue;
        rill__mutex_lock(&w->lock); /* they would be missing: nothing can go on */
        rill__message_save(&w->why);
        w->failure = rc;
        w->told = true;
        rill__mutex_unlock(&w->lock);
        return rc;
    }
    return 0;
}

/* Copies as many as there is room for. */
static int copy_tasks(struct rill_workers *w, const rill_record *records, size_t count,
                      struct task **tasks, size_t *task_count)
{
    uint64_t bytes;
    bool empty;
    size_t n;
    int rc = 0;

    rill__mutex_lock(&w->lock);
    bytes = w->queue.bytes; /* workers only make it less */
    empty = w->queue.count == 0;
    w->next_size = 0;
    for (n = 0; n < count; n++) {
        size_t size = rill__task_size(&records[n]);
        if (!(empty && n == 0) && bytes + size > w->options.in_flight_bytes) {
            w->next_size = size;
            break;
        }
        bytes += size;
    }
    rill__mutex_unlock(&w->lock);
    for (*task_count = 0; *task_count < n && rc == 0;) {
        tasks[*task_count] = rill__task_new(&w->queue, &records[*task_count]);
        if (tasks[*task_count] == NULL) rc = RILL_ERR_NO_MEMORY;
        else ++*task_count;
    }
    return rc;
}

static int hand_out(struct rill_workers *w, const rill_record *records, size_t count)
{
    struct task *tasks[POLL_MAX];
    struct saved_message why;
    size_t copied;
    size_t added;
    int rc = copy_tasks(w, records, count, tasks, &copied);
    int back;

    rill__mutex_lock(&w->lock);
    for (added = 0; added < copied; added++) {
        struct work_part *part = rill__work_part(&w->queue, &records[added]);
        if (part == NULL) break;
        rill__work_add(&w->queue, part, tasks[added]);
    }
    wake_workers(w, added);
    rill__mutex_unlock(&w->lock);
    if (added < copied) rc = RILL_ERR_NO_MEMORY;
    for (size_t i = added; i < copied; i++) rill__free(w->heap, tasks[i]);
    if (rc != 0) rill__message_save(&why);
    back = give_back(w, records + added, count - added);
    if (back != 0) return back;
    if (rc != 0) rill__message_restore(&why);
    return rc;
}

/* How many records to poll for; 0: there is no room. The host is woken when there
 * is some. */
static size_t room_for(struct rill_workers *w)
{
    size_t room = 0;

    rill__mutex_lock(&w->lock);
    w->host_waits = is_full(w);
    if (!w->host_waits) {
        room = w->options.in_flight_max - w->queue.count;
        if (w->next_size != 0) {
            uint64_t bytes = w->options.in_flight_bytes;
            uint64_t fit =
                (bytes - (w->queue.bytes < bytes ? w->queue.bytes : bytes)) / w->next_size;
            if (fit < room) room = fit == 0 ? 1 : (size_t)fit;
        }
    }
    rill__mutex_unlock(&w->lock);
    return room < POLL_MAX ? room : POLL_MAX;
}

/* Until when to wait for records: a commit may become due. */
static int wait_ms(struct rill_workers *w, int64_t deadline_ns)
{
    int64_t commit_ns = (w->commit_ms + w->options.commit_interval_ms) * 1000000;
    bool progress = false;

    rill__mutex_lock(&w->lock);
    for (const struct work_part *p = w->queue.parts; p != NULL && !progress; p = p->next)
        progress = p->count > 0 || has_progress(p);
    rill__mutex_unlock(&w->lock);
    return rill__time_left_ms(progress && commit_ns < deadline_ns ? commit_ns : deadline_ns);
}

static int poll_and_hand_out(struct rill_workers *w, int64_t deadline_ns)
{
    rill_record records[POLL_MAX];
    size_t room = room_for(w);
    int timeout_ms = wait_ms(w, deadline_ns);
    size_t count;
    int rc;

    if (room == 0) return rill__consumer_attend(w->consumer, timeout_ms);
    rc = rill__consumer_poll(w->consumer, timeout_ms, records, room, &count);
    return rc != 0 || count == 0 ? rc : hand_out(w, records, count);
}

/* ---- The host: rebalances --------------------------------------------- */

/* Waits for what is in flight of the partitions that leave. */
static void wait_for_leaving(struct rill_workers *w, int64_t deadline_ns)
{
    rill__mutex_lock(&w->lock);
    while (some_leaving_is_pending(w) && rill__monotonic_ns() < deadline_ns)
        rill__condition_wait_until(&w->settled, &w->lock, deadline_ns);
    rill__mutex_unlock(&w->lock);
}

static void mark_leaving(struct rill_workers *w, const rill_position *positions, size_t count)
{
    rill__mutex_lock(&w->lock);
    for (struct work_part *part = w->queue.parts; part != NULL; part = part->next)
        for (size_t i = 0; i < count && !part->gone; i++)
            if (part->topic == positions[i].topic && part->partition == positions[i].partition)
                part->leaving = true;
    rill__mutex_unlock(&w->lock);
}

static void let_go(struct rill_workers *w)
{
    struct work_part *part;
    struct work_part *next;

    rill__mutex_lock(&w->lock);
    for (part = w->queue.parts; part != NULL; part = next) {
        next = part->next;
        if (!part->leaving || part->gone) continue;
        rill__work_drop(&w->queue, part);
        rill__work_part_gone(&w->queue, part);
    }
    rill__mutex_unlock(&w->lock);
}

/* In the place of the application's callback, which is called at the end. */
static int on_rebalance(void *arg, rill_consumer *consumer, int event,
                        const rill_position *positions, size_t count)
{
    struct rill_workers *w = arg;
    int64_t half_ms = w->consumer->options.max_poll_interval_ms / 2;
    int64_t most_ms = w->options.revoke_timeout_ms;
    int rc = 0;
    int own = 0;

    if (event != RILL_REBALANCE_ASSIGNED) mark_leaving(w, positions, count);
    if (event == RILL_REBALANCE_REVOKED) {
        wait_for_leaving(w, rill__deadline((int)(most_ms < half_ms ? most_ms : half_ms)));
        rc = commit_if_it_can(w);
    }
    if (event != RILL_REBALANCE_ASSIGNED) let_go(w);
    if (w->rebalance != NULL)
        own = w->rebalance(w->rebalance_arg, consumer, event, positions, count);
    return own != 0 ? own : rc;
}

/* ---- Runs ------------------------------------------------------------- */

/* For a run or a close: one at a time, and not from a worker. */
static int take_turn(struct rill_workers *w, const char *function)
{
    const void *here = rill__this_thread();
    bool is_worker = false;

    rill__mutex_lock(&w->lock);
    for (uint32_t i = 0; i < w->options.worker_count; i++)
        if (w->workers[i].self == here) is_worker = true;
    rill__mutex_unlock(&w->lock);
    if (is_worker) return rill__fail(RILL_ERR_STATE, "%s cannot be called by a worker", function);
    if (!atomic_exchange(&w->busy, true)) return 0;
    return rill__fail(RILL_ERR_STATE, "another run or close of these workers is going on");
}

/* The failure that stopped the workers, told to the application. */
static int tell_failure(struct rill_workers *w)
{
    int failure;

    rill__mutex_lock(&w->lock);
    failure = w->failure;
    if (failure != 0) {
        w->told = true;
        rill__message_restore(&w->why);
    }
    rill__mutex_unlock(&w->lock);
    return failure;
}

static int run_until(struct rill_workers *w, int64_t deadline_ns)
{
    for (;;) {
        int rc = commit_if_due(w);

        if (tell_failure(w) != 0) {
            rill__workers_commit(w);
            return tell_failure(w);
        }
        if (rc != 0) return rc;
        if (atomic_exchange(&w->stop, false)) return 0;
        rc = poll_and_hand_out(w, deadline_ns);
        if (rc != 0) return rc;
        if (rill__monotonic_ns() >= deadline_ns) return 0;
    }
}

int rill__workers_run(struct rill_workers *w, int timeout_ms)
{
    int rc = take_turn(w, "rill_workers_run");

    if (rc != 0) return rc;
    rc = run_until(w, rill__deadline(timeout_ms));
    atomic_store(&w->busy, false);
    return rc;
}

void rill__workers_stop(struct rill_workers *w)
{
    atomic_store(&w->stop, true);
    rill__consumer_wakeup(w->consumer);
}

int rill__workers_describe(struct rill_workers *w, rill_workers_info *info)
{
    memset(info, 0, sizeof *info);
    rill__mutex_lock(&w->lock);
    info->worker_count = w->options.worker_count;
    for (uint32_t i = 0; i < w->options.worker_count; i++)
        if (w->workers[i].task != NULL) info->busy_count++;
    info->in_flight_count = w->queue.count;
    info->in_flight_bytes = w->queue.bytes;
    info->done_count = w->done_count;
    info->skipped_count = w->skipped_count;
    info->failed_count = w->failed_count;
    rill__mutex_unlock(&w->lock);
    return 0;
}

/* ---- Opening and closing ---------------------------------------------- */

/* Ends the threads; those that are in the application's function are left. How
 * many these are. */
static uint32_t end_threads(struct rill_workers *w)
{
    uint32_t left = 0;

    rill__mutex_lock(&w->lock);
    w->quit = true;
    rill__condition_signal_all(&w->work);
    for (uint32_t i = 0; i < w->options.worker_count; i++) {
        w->workers[i].left = w->workers[i].task != NULL;
        if (w->workers[i].left) left++;
    }
    rill__mutex_unlock(&w->lock);
    for (uint32_t i = 0; i < w->options.worker_count; i++) {
        if (w->workers[i].left) rill__thread_detach(&w->workers[i].thread);
        else rill__thread_join(&w->workers[i].thread);
    }
    return left;
}

/* Those that were left still look at the lock, and at what they work on. */
static void workers_free(struct rill_workers *w, uint32_t left)
{
    rill__work_deinit(&w->queue);
    if (left != 0) {
        w->next_left = atomic_load(&left_behind);
        while (!atomic_compare_exchange_weak(&left_behind, &w->next_left, w)) {}
        return;
    }
    rill__condition_deinit(&w->settled);
    rill__condition_deinit(&w->work);
    rill__mutex_deinit(&w->lock);
    rill__free(w->heap, w);
}

static int check_consumer(const struct rill_consumer *c)
{
    int rc = rill__consumer_alone(c, "rill_workers_open");

    if (rc != 0 || c->options.auto_commit_interval_ms == 0) return rc;
    return rill__fail(RILL_ERR_INVALID,
                      "auto_commit_interval_ms is %u; workers commit themselves, and only what "
                      "is finished",
                      c->options.auto_commit_interval_ms);
}

int rill__workers_open(struct rill_consumer *c, const rill_workers_options *given,
                       struct rill_workers **out)
{
    struct heap *heap = &c->store->heap;
    rill_workers_options options;
    struct rill_workers *w;
    int rc = check_consumer(c);

    if (rc == 0) rc = rill__options_take(OPTIONS_WORKERS, given, &options);
    if (rc == 0 && options.work == NULL)
        rc = rill__fail(RILL_ERR_INVALID, "rill_workers_options: work is NULL");
    if (rc != 0) return rc;
    w = rill__alloc(heap, sizeof *w + options.worker_count * sizeof w->workers[0]);
    if (w == NULL) return RILL_ERR_NO_MEMORY;
    w->consumer = c;
    w->heap = heap;
    w->fork_generation = rill__fork_generation();
    w->options = options;
    w->commit_ms = rill__monotonic_ns() / 1000000;
    rill__mutex_init(&w->lock);
    rill__condition_init(&w->work);
    rill__condition_init(&w->settled);
    rc = rill__work_init(&w->queue, heap, &options);
    for (uint32_t i = 0; i < options.worker_count && rc == 0; i++) {
        w->workers[i].workers = w;
        w->workers[i].number = i;
        rc = rill__thread_start(&w->workers[i].thread, worker_run, &w->workers[i]);
    }
    if (rc != 0) {
        workers_free(w, end_threads(w));
        return rc;
    }
    w->rebalance = c->options.rebalance;
    w->rebalance_arg = c->options.rebalance_arg;
    c->options.rebalance = on_rebalance;
    c->options.rebalance_arg = w;
    atomic_store(&c->workers, w);
    *out = w;
    return 0;
}

/* From here on what fails is not tried again. */
static void begin_to_close(struct rill_workers *w)
{
    rill__mutex_lock(&w->lock);
    w->closing = true;
    rill__work_stick_delayed(&w->queue);
    for (struct work_part *part = w->queue.parts; part != NULL; part = part->next)
        part->leaving = true;
    rill__mutex_unlock(&w->lock);
}

/* The consumer stands where the first unfinished record is. */
static int rewind_consumer(struct rill_workers *w)
{
    int first = 0;

    for (const struct work_part *part = w->queue.parts; part != NULL; part = part->next) {
        rill_position from = rill__work_frontier(part);
        int rc;

        if (part->gone || part->first == NULL || !is_assigned(w, part)) continue;
        rc = rill__consumer_seek(w->consumer, part->name, part->partition, from.offset);
        if (first == 0) first = rc;
    }
    return first;
}

int rill__workers_close(struct rill_workers *w, int timeout_ms)
{
    struct rill_consumer *c = w->consumer;
    struct saved_message why;
    uint32_t left;
    bool told;
    int failure;
    int rc = take_turn(w, "rill_workers_close");
    int moved;

    if (rc != 0) return rc;
    begin_to_close(w);
    wait_for_leaving(w, rill__deadline(timeout_ms));
    left = end_threads(w);
    rc = rill__workers_commit(w);
    if (rc != 0) rill__message_save(&why);
    moved = rewind_consumer(w);
    if (rc == 0 && moved != 0) {
        rc = moved;
        rill__message_save(&why);
    }
    c->options.rebalance = w->rebalance;
    c->options.rebalance_arg = w->rebalance_arg;
    atomic_store(&c->workers, NULL);
    told = w->told;
    failure = tell_failure(w);
    workers_free(w, left);
    rill__consumer_leave(c);
    if (rc != 0) {
        rill__message_restore(&why);
        return rc;
    }
    if (left != 0)
        return rill__fail(RILL_ERR_TIMEOUT,
                          "%u workers have not finished their record in %d ms; their threads are "
                          "left behind",
                          left, timeout_ms);
    return told ? 0 : failure;
}
