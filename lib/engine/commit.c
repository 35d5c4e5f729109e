/*
 * engine/commit.c - a consumer's commits: at once, or queued and told later.
 *
 *     commit_async -> queued -> made -> done -> callback in a poll
 *
 * Queued ones are made in their order, by the store's thread if there is one,
 * else by the next poll, commit or close of the consumer. A commit at once comes
 * after all that were queued before it. Each remembers whose it was: if the member
 * has lost a partition meanwhile, it is refused.
 */
#include "base/probe.h"
#include "engine/coordinator.h"
#include "engine/txn.h"
#include "engine/members.h"
#include <inttypes.h>
#include <string.h>

#define PENDING_MAX 1000

/* Arrays behind it in the same block. */
struct pending_commit {
    struct pending_commit *next;
    uint64_t member; /* 0: none */
    int status;
    rill_commit_fn told; /* NULL: nobody asks */
    void *arg;
    size_t count;
    struct meta_offset *offsets;
    int32_t *since;
    rill_position *positions;
};

void rill__commits_init(struct rill_consumer *c)
{
    rill__mutex_init(&c->commits_lock);
    rill__condition_init(&c->commits_changed);
}

void rill__commits_deinit(struct rill_consumer *c)
{
    rill__condition_deinit(&c->commits_changed);
    rill__mutex_deinit(&c->commits_lock);
}

/* ---- What is committed ------------------------------------------------ */

static struct pending_commit *commit_new(struct rill_consumer *c, size_t room, size_t text_size)
{
    struct pending_commit *commit = rill__alloc(
        &c->store->heap,
        sizeof *commit +
            room * (sizeof *commit->offsets + sizeof *commit->positions + sizeof *commit->since) +
            text_size);

    if (commit == NULL) return NULL;
    commit->offsets = (struct meta_offset *)(commit + 1);
    commit->positions = (rill_position *)(commit->offsets + room);
    commit->since = (int32_t *)(commit->positions + room);
    if (c->subscription != NULL) commit->member = c->membership.id;
    return commit;
}

/* name: of the topic, in the commit's block. */
static void commit_add(struct pending_commit *commit, const uint8_t topic_id[16],
                       const char *name, int32_t since, const rill_position *position)
{
    struct meta_offset *offset = &commit->offsets[commit->count];

    memcpy(offset->topic_id, topic_id, 16);
    offset->partition = position->partition;
    offset->leader_epoch = position->leader_epoch;
    offset->offset = position->offset;
    offset->committed_ms = rill__now_ms();
    offset->metadata = position->metadata;
    commit->positions[commit->count] = *position;
    commit->positions[commit->count].topic = name;
    commit->since[commit->count++] = since;
}

/* Copies the text to *room, which moves on. */
static const char *copy_text(char **room, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*room, text, size);

    *room += size;
    return copy;
}

static bool has_moved(const struct assigned *part, bool only_going)
{
    return !part->unresolved && rill__assigned_position(part) != part->committed &&
           !rill__log_is_deleted(part->log) && (!only_going || part->goes);
}

/* What polls have handed out. */
static struct pending_commit *of_positions(struct rill_consumer *c, bool only_going)
{
    struct pending_commit *commit;
    size_t text_size = 0;
    char *text;

    for (size_t i = 0; i < c->part_count; i++)
        text_size += strlen(c->parts[i]->topic->info.name) + 1;
    commit = commit_new(c, c->part_count, text_size);
    if (commit == NULL) return NULL;
    text = (char *)(commit->since + c->part_count);
    for (size_t i = 0; i < c->part_count; i++) {
        const struct assigned *part = c->parts[i];
        rill_position position = {.partition = part->partition,
                                  .leader_epoch = part->epoch,
                                  .offset = rill__assigned_position(part)};

        if (has_moved(part, only_going))
            commit_add(commit, part->topic->info.id, copy_text(&text, part->topic->info.name),
                       part->since, &position);
    }
    return commit;
}

static int check_position(const rill_position *position, struct topic *topic)
{
    struct log *log;
    int64_t end;
    int rc = rill__partition_log(topic, position->partition, 10000, &log);

    if (rc != 0) return rc;
    end = rill__log_end(log);
    rill__partition_release(topic, position->partition);
    if (position->offset < 0 || position->offset > end)
        return rill__fail(RILL_ERR_RANGE,
                          "%s-%d: commit of offset %" PRId64 " outside [0, %" PRId64 "]",
                          position->topic, (int)position->partition, position->offset, end);
    if (position->metadata != NULL && strlen(position->metadata) > RILL_METADATA_MAX)
        return rill__fail(RILL_ERR_TOO_BIG, "metadata of %zu bytes; at most %d",
                          strlen(position->metadata), RILL_METADATA_MAX);
    return 0;
}

/* Checked; its topic's id. */
static int find_committed(struct rill_consumer *c, const rill_position *position, uint8_t id[16])
{
    struct topic *topic;
    int rc;

    if (position->topic == NULL) return rill__fail(RILL_ERR_INVALID, "a position names no topic");
    rc = rill__topic_find(c->store, position->topic, &topic);
    if (rc != 0) return rc;
    rc = check_position(position, topic);
    memcpy(id, topic->info.id, 16);
    rill__topic_release(topic);
    return rc;
}

static int of_these(struct rill_consumer *c, const rill_position *positions, size_t count,
                    struct pending_commit **out)
{
    struct pending_commit *commit;
    size_t text_size = 0;
    char *text;
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        if (positions[i].topic != NULL) text_size += strlen(positions[i].topic) + 1;
        if (positions[i].metadata != NULL) text_size += strlen(positions[i].metadata) + 1;
    }
    commit = commit_new(c, count, text_size);
    if (commit == NULL) return RILL_ERR_NO_MEMORY;
    text = (char *)(commit->since + count);
    for (size_t i = 0; i < count; i++) {
        rill_position position = positions[i];
        const struct assigned *part;
        uint8_t id[16];

        rc = find_committed(c, &position, id);
        if (rc != 0) break;
        if (position.metadata != NULL) position.metadata = copy_text(&text, position.metadata);
        part = rill__assigned_find(c, position.topic, position.partition);
        /* of one that it has not, nobody is owner since then */
        commit_add(commit, id, copy_text(&text, position.topic), part == NULL ? -1 : part->since,
                   &position);
    }
    if (rc == 0) *out = commit;
    else rill__free(&c->store->heap, commit);
    return rc;
}

/* ---- Making them ------------------------------------------------------ */

static int make(struct rill_consumer *c, const struct pending_commit *commit, int timeout_ms)
{
    int rc;

    if (commit->count == 0) return 0;
    rc = rill__coordinator_commit(c->coordinator, commit->member, commit->offsets, commit->since,
                                  commit->count, timeout_ms);
    RILL_PROBE3(commit, c->group, commit->count, rc);
    return rc;
}

static void mark_committed(struct rill_consumer *c, const struct pending_commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        struct assigned *part =
            rill__assigned_find(c, commit->positions[i].topic, commit->positions[i].partition);
        if (part != NULL && (part->since == commit->since[i]))
            part->committed = commit->positions[i].offset;
    }
}

static int commit_now(struct rill_consumer *c, struct pending_commit *commit, int timeout_ms)
{
    int rc;

    if (commit == NULL) return RILL_ERR_NO_MEMORY;
    rc = make(c, commit, timeout_ms);
    if (rc == 0) mark_committed(c, commit);
    if (rc == 0 && c->chain != NULL && commit->count > 0)
        rill__chain_commit(c->chain, commit->positions, commit->count);
    rill__free(&c->store->heap, commit);
    return rc;
}

int rill__commit_positions(struct rill_consumer *c, bool only_going, int timeout_ms)
{
    if (c->coordinator == NULL || c->part_count == 0) return 0;
    return commit_now(c, of_positions(c, only_going), timeout_ms);
}

/* ---- In a transaction of a producer ------------------------------------ */

static int refuse_without_group(const struct rill_consumer *c);

int rill__commit_collect(rill_consumer *c, const rill_position *positions, size_t count,
                         struct pending_commit **out)
{
    int rc = refuse_without_group(c);

    if (rc != 0) return rc;
    if (positions != NULL) return of_these(c, positions, count, out);
    *out = of_positions(c, false);
    return *out == NULL ? RILL_ERR_NO_MEMORY : 0;
}

void rill__commit_was_made(rill_consumer *c, const struct pending_commit *commit)
{
    mark_committed(c, commit);
    rill__count(&c->store->counters->commits, 1);
    if (c->chain != NULL && commit->count > 0)
        rill__chain_commit(c->chain, commit->positions, commit->count);
}

/* One per consumer: its coordinator, what it wants, and the place in the list. */
struct prepared {
    struct coordinator own;
    struct commit_in commit;
};

int rill__commits_prepare(struct store *store, const struct txn_offsets *offsets,
                          struct group_commits **out)
{
    struct group_commits *commits;
    struct prepared *prepared;
    size_t count = 0;
    int rc = 0;

    *out = NULL;
    for (const struct txn_offsets *o = offsets; o != NULL; o = o->next)
        if (o->commit->count != 0) count++;
    if (count == 0) return 0;
    commits = rill__alloc(&store->heap,
                          sizeof *commits + count * (sizeof *commits->list + sizeof *prepared));
    if (commits == NULL) return RILL_ERR_NO_MEMORY;
    prepared = (struct prepared *)(commits + 1);
    commits->list = (struct meta_commit *)(prepared + count);
    *out = commits;
    for (const struct txn_offsets *o = offsets; o != NULL && rc == 0; o = o->next) {
        struct prepared *p = &prepared[commits->count];
        const struct pending_commit *c = o->commit;

        if (c->count == 0) continue;
        p->own.store = store;
        memcpy(p->own.name, o->group, strlen(o->group) + 1);
        p->commit = (struct commit_in){&p->own, c->member, c->offsets, c->since, c->count};
        commits->list[commits->count++] =
            (struct meta_commit){p->own.name, rill__coordinator_commit_in, &p->commit};
        if (c->member == 0) rc = rill__coordinator_look(&p->own); /* the dead are no members */
    }
    return rc;
}

void rill__commits_free(struct store *store, struct group_commits *commits)
{
    struct prepared *prepared;

    if (commits == NULL) return;
    prepared = (struct prepared *)(commits + 1);
    for (size_t i = 0; i < commits->count; i++) rill__coordinator_forget(&prepared[i].own);
    rill__free(&store->heap, commits);
}

/* ---- The queue -------------------------------------------------------- */

static void append(struct pending_commit **list, struct pending_commit *commit)
{
    while (*list != NULL) list = &(*list)->next;
    *list = commit;
}

/* The first one, which this thread shall make; under the lock. */
static struct pending_commit *begin_first(struct rill_consumer *c)
{
    struct pending_commit *commit = c->committing ? NULL : c->queued;

    if (commit == NULL) return NULL;
    c->queued = commit->next;
    commit->next = NULL;
    c->committing = true;
    return commit;
}

static void finish_first(struct rill_consumer *c, struct pending_commit *commit, int64_t deadline)
{
    int timeout_ms = rill__time_left_ms(deadline); /* no more than the store's */

    if (timeout_ms < 0) timeout_ms = (int)c->store->options.open_timeout_ms;
    commit->status = make(c, commit, timeout_ms);
    rill__mutex_lock(&c->commits_lock);
    append(&c->done, commit);
    c->committing = false;
    rill__condition_signal_all(&c->commits_changed);
    rill__mutex_unlock(&c->commits_lock);
}

static void make_queued(struct rill_consumer *c, int64_t deadline)
{
    struct pending_commit *commit;

    for (;;) {
        rill__mutex_lock(&c->commits_lock);
        while (c->committing) rill__condition_wait(&c->commits_changed, &c->commits_lock);
        commit = begin_first(c);
        rill__mutex_unlock(&c->commits_lock);
        if (commit == NULL) return;
        finish_first(c, commit, deadline);
    }
}

static void tell_done(struct rill_consumer *c)
{
    for (;;) {
        struct pending_commit *commit;

        rill__mutex_lock(&c->commits_lock);
        commit = c->done;
        if (commit != NULL) c->done = commit->next;
        rill__mutex_unlock(&c->commits_lock);
        if (commit == NULL) return;
        atomic_fetch_sub(&c->pending, 1);
        if (commit->status == 0) mark_committed(c, commit);
        if (commit->status == 0 && c->chain != NULL)
            rill__chain_commit(c->chain, commit->positions, commit->count);
        if (commit->told != NULL) {
            rill__consumer_begin_callback(c);
            commit->told(commit->arg, c, commit->status, commit->positions, commit->count);
            rill__consumer_end_callback(c);
        }
        rill__free(&c->store->heap, commit);
    }
}

int rill__commits_settle(struct rill_consumer *c, bool make_them, int64_t deadline)
{
    if (atomic_load(&c->pending) == 0 || c->callback_thread != NULL) return 0;
    if (make_them) make_queued(c, deadline);
    tell_done(c);
    return 0;
}

bool rill__commits_have_news(struct rill_consumer *c)
{
    bool done;

    if (atomic_load(&c->pending) == 0) return false;
    rill__mutex_lock(&c->commits_lock);
    done = c->done != NULL;
    rill__mutex_unlock(&c->commits_lock);
    return done;
}

/* For maintenance: one commit of one consumer; false if there is none. */
static bool make_one(struct store *store)
{
    struct pending_commit *commit = NULL;
    struct rill_consumer *c;
    _Atomic uint32_t *word;

    rill__mutex_lock(&store->clients_lock);
    for (c = store->consumers; c != NULL; c = c->next) {
        if (atomic_load(&c->pending) == 0) continue;
        rill__mutex_lock(&c->commits_lock);
        commit = begin_first(c); /* from here on closing it waits for us */
        rill__mutex_unlock(&c->commits_lock);
        if (commit != NULL) break;
    }
    rill__mutex_unlock(&store->clients_lock);
    if (commit == NULL) return false;
    word = &store->shared->wake_slots[c->slot].sequence; /* c may be closed after it */
    finish_first(c, commit, INT64_MAX);
    atomic_fetch_add(word, 1); /* a poll that waits may tell it now */
    rill__futex_wake_all(word);
    rill__bridge_kick(store);
    return true;
}

void rill__consumers_commit(struct store *store)
{
    while (make_one(store)) {}
}

/* ---- What the application calls --------------------------------------- */

static int refuse_without_group(const struct rill_consumer *c)
{
    if (c->coordinator != NULL) return 0;
    return rill__fail(RILL_ERR_STATE, "a consumer without a group has nothing to commit to; "
                                      "name a group in its options");
}

int rill__consumer_commit(struct rill_consumer *c, const rill_position *positions, size_t count)
{
    int timeout_ms = (int)c->store->options.open_timeout_ms;
    struct pending_commit *commit = NULL;
    int rc = refuse_without_group(c);

    if (rc == 0) rc = rill__commits_settle(c, true, INT64_MAX);
    if (rc != 0) return rc;
    if (positions == NULL && atomic_load(&c->workers) != NULL)
        return rill__workers_commit(atomic_load(&c->workers));
    if (positions == NULL) return rill__commit_positions(c, false, timeout_ms);
    rc = of_these(c, positions, count, &commit);
    return rc != 0 ? rc : commit_now(c, commit, timeout_ms);
}

int rill__consumer_commit_async(struct rill_consumer *c, const rill_position *positions,
                                size_t count, rill_commit_fn told, void *arg)
{
    struct pending_commit *commit = NULL;
    int rc = refuse_without_group(c);

    if (rc != 0) return rc;
    if (atomic_load(&c->pending) >= PENDING_MAX)
        return rill__fail(RILL_ERR_FULL, "%d commits wait already; poll", PENDING_MAX);
    if (positions != NULL) rc = of_these(c, positions, count, &commit);
    else commit = of_positions(c, false);
    if (rc != 0) return rc;
    if (commit == NULL) return RILL_ERR_NO_MEMORY;
    commit->told = told;
    commit->arg = arg;
    rill__mutex_lock(&c->commits_lock);
    append(&c->queued, commit);
    atomic_fetch_add(&c->pending, 1);
    rill__mutex_unlock(&c->commits_lock);
    rill__store_due(c->store, rill__monotonic_ns());
    return 0;
}

static int look_up(const struct rill_consumer *c, const uint8_t topic_id[16], int32_t partition,
                   struct meta_offset *stored, char *metadata, size_t metadata_size, bool *there)
{
    int rc = rill__meta_offset_get(c->store->meta, c->group, topic_id, partition, stored,
                                   metadata, metadata_size);

    *there = rc == 0;
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

int rill__consumer_committed(struct rill_consumer *c, const char *topic_name, int32_t partition,
                             rill_position *position, char *metadata, size_t metadata_size)
{
    struct meta_offset stored;
    struct topic *topic;
    bool there = false;
    int rc;

    if (c->group == NULL) return rill__fail(RILL_ERR_STATE, "a consumer without a group");
    rc = rill__topic_find(c->store, topic_name, &topic);
    if (rc != 0) return rc;
    if (rill__topic_partition(topic, partition) == NULL)
        rc = rill__fail(RILL_ERR_NOT_FOUND, "topic %s has partitions 0 to %u, not %d", topic_name,
                        rill__topic_partition_count(topic) - 1, (int)partition);
    else rc = look_up(c, topic->info.id, partition, &stored, metadata, metadata_size, &there);
    rill__topic_release(topic);
    if (rc != 0) return rc;
    position->topic = topic_name;
    position->partition = partition;
    position->offset = there ? stored.offset : RILL_OFFSET_NONE;
    position->leader_epoch = there ? stored.leader_epoch : -1;
    position->metadata = there ? stored.metadata : NULL;
    return 0;
}
