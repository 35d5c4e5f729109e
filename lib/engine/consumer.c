/*
 * engine/consumer.c - polling: records out of the map, sleep when there are none.
 *
 *     poll: follow the group -> gather -> any? return
 *              ^                            | none
 *              |                            v
 *              +---- woken <--- sleep <--- arm every partition, gather once more
 *
 * Arming says to the appenders of a partition which word to wake; only the
 * first append after it makes the system call. Looking once more after arming
 * closes the gap in which an append could be missed.
 */
#include "base/probe.h"
#include "engine/txn.h"
#include "engine/members.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 250 /* the longest that a member sleeps */

int rill__consumer_check(const rill_consumer *consumer)
{
    if (consumer->fork_generation == rill__fork_generation()) return 0;
    return rill__fail(RILL_ERR_FORKED, "this consumer was opened before fork()");
}

static _Atomic uint32_t *wake_word(const struct rill_consumer *c)
{
    return &c->store->shared->wake_slots[c->slot].sequence;
}

/* ---- Records ---------------------------------------------------------- */

int64_t rill__assigned_end(const struct rill_consumer *c, const struct assigned *part)
{
    bool durable = (c->options.isolation & RILL_READ_DURABLE) != 0;
    int64_t end = durable ? rill__log_durable(part->log) : rill__log_end(part->log);
    int64_t stable;

    if ((c->options.isolation & RILL_READ_COMMITTED) == 0) return end;
    stable = rill__log_stable(part->log);
    return stable < end ? stable : end;
}

int64_t rill__assigned_position(const struct assigned *part)
{
    return atomic_load_explicit(&part->position, memory_order_relaxed);
}

static int bad_record(const struct assigned *part)
{
    return rill__fail(
        RILL_ERR_CORRUPT,
        "%s-%d: batch at offset %" PRId64 ": record number %u runs out of its batch",
        part->topic->info.name, (int)part->partition, part->view.base_offset, part->walk.index);
}

/* Batches that nobody is handed: markers, and what was aborted if that matters. */
static int passes_by(const struct rill_consumer *c, const struct assigned *part, bool *passed)
{
    *passed = rill__batch_is_control(&part->view);
    if (*passed || (c->options.isolation & RILL_READ_COMMITTED) == 0 ||
        !rill__batch_is_transactional(&part->view))
        return 0;
    return rill__log_is_aborted(part->log, &part->view, passed);
}

/* Records of one partition, as many as there are, at most max. */
static int read_part(struct rill_consumer *c, struct assigned *part, rill_record *records,
                     size_t max, size_t *count)
{
    bool verify = (c->options.flags & RILL_CONSUMER_NO_CHECKSUMS) == 0;
    int64_t end = rill__assigned_end(c, part);
    int64_t position = rill__assigned_position(part);
    struct batch_view stored;
    size_t n = 0;
    bool bad = false;
    bool later = false;
    bool passed;
    int rc = 0;

    while (n < max) {
        if (!part->in_batch) {
            rc = rill__cursor_next(&part->cursor, end, verify, &part->view);
            /* What compaction took away is passed, too. */
            if (rc == 0 && part->view.record_count == 0 && part->cursor.offset > position)
                position = part->cursor.offset;
            if (rc == 0 && part->view.record_count == 0 && n == 0 && !part->handed &&
                part->cursor.previous != NULL && part->cursor.offset < end) {
                /* A whole segment without records: nobody needs the one before it. */
                rill__cursor_release(&part->cursor);
                continue;
            }
            if (rc != 0 || part->view.record_count == 0) break;
            rc = passes_by(c, part, &passed);
            if (rc != 0) {
                rill__cursor_back(&part->cursor, &part->view);
                break;
            }
            if (passed) {
                if (part->cursor.offset > position) position = part->cursor.offset;
                continue;
            }
            stored = part->view;
            rc = rill__unpack(&c->unpack, part, c->unpack.handing || n > 0, &later);
            if (rc != 0 || later) {
                rill__cursor_back(&part->cursor, &stored);
                break;
            }
            part->in_batch = true;
            part->walk = (struct record_walk){BATCH_HEAD, 0};
        }
        if (!rill__record_next(&part->view, &part->walk, &records[n], &bad)) {
            if (bad) {
                rc = bad_record(part);
                break;
            }
            part->in_batch = false;
            rill__unpack_done(&c->unpack, part);
            continue;
        }
        if (records[n].offset < position) continue; /* a seek into a batch */
        records[n].topic = part->topic->info.name;
        records[n].partition = part->partition;
        position = records[n].offset + 1;
        part->epoch = records[n].leader_epoch;
        n++;
    }
    atomic_store_explicit(&part->position, position, memory_order_relaxed);
    if (n > 0) c->unpack.handing = true;
    *count = n;
    if (n > 0) part->handed = true;
    return rc;
}

/* The same, once it is known that and from where it can be read. */
static int read_checked(struct rill_consumer *c, struct assigned *part, rill_record *records,
                        size_t max, size_t *count)
{
    int rc = 0;

    *count = 0;
    if (rill__log_is_deleted(part->log)) {
        rill__cursor_deinit(&part->cursor); /* which keeps what is deleted on the disk */
        rill__cursor_init(&part->cursor, part->log);
        part->in_batch = false;
        return rill__log_state(part->log);
    }
    if (part->unresolved) rc = rill__assigned_resolve(c, part);
    if (rc == 0) rc = read_part(c, part, records, max, count);
    if (rc != RILL_ERR_RANGE || part->unresolved) return rc;
    if (part->handed) return 0; /* they must stay; the next poll finds it again */
    rc = rill__assigned_reset(c, part);
    return rc != 0 ? rc : read_part(c, part, records, max, count);
}

/* One round over the partitions, at most share records from each. */
static int gather_round(struct rill_consumer *c, rill_record *records, size_t max, size_t share,
                        size_t *count)
{
    int first = 0;

    for (size_t i = 0; i < c->part_count && *count < max; i++) {
        struct assigned *part = c->parts[(c->next_part + i) % c->part_count];
        size_t room = max - *count < share ? max - *count : share;
        size_t n;
        int rc;

        if (part->paused || part->failed) continue;
        rc = read_checked(c, part, records + *count, room, &n);
        *count += n;
        if (rc == 0) continue;
        part->failed = true;
        if (first == 0) first = rc;
    }
    return first;
}

static int gather(struct rill_consumer *c, rill_record *records, size_t max, size_t *count)
{
    size_t share;
    int rc;

    *count = 0;
    if (c->part_count == 0 || max == 0) return 0;
    share = max / c->part_count;
    rc = gather_round(c, records, max, share == 0 ? 1 : share, count);
    if (rc == 0 && *count > 0 && *count < max) rc = gather_round(c, records, max, max, count);
    c->next_part = (c->next_part + 1) % c->part_count;
    if (*count > 0) {
        /* Records first; what is wrong is found again when they are consumed. */
        for (size_t i = 0; rc != 0 && i < c->part_count; i++) c->parts[i]->failed = false;
        return 0;
    }
    if (rc != 0) return rc;
    /* Nothing from the healthy ones: say again what is wrong with the others. */
    for (size_t i = 0; i < c->part_count; i++) {
        struct assigned *part = c->parts[i];
        size_t n;
        if (!part->failed) continue;
        rc = read_checked(c, part, records, max, &n);
        if (rc != 0) return rc;
        part->failed = false;
        *count = n;
        if (n > 0) return 0;
    }
    return 0;
}

static int deleted_topic(struct rill_consumer *c)
{
    for (size_t i = 0; i < c->part_count; i++)
        if (c->subscription == NULL && rill__log_is_deleted(c->parts[i]->log))
            return rill__log_state(c->parts[i]->log);
    return 0;
}

static int64_t milliseconds(void)
{
    return rill__monotonic_ns() / 1000000;
}

/* The group's clock and the automatic commit; returns ms until the next. */
static int duties(struct rill_consumer *c, int64_t *next_ms)
{
    struct member_slot *slot = atomic_load(&c->membership.slot);
    int64_t now;
    uint32_t tick_ms = LOOK_MS;
    int rc = 0;

    *next_ms = INT32_MAX;
    if (c->coordinator == NULL) return 0;
    now = milliseconds();
    if (slot != NULL) {
        atomic_store_explicit(&slot->polled_ms, now, memory_order_relaxed);
        rill__presence_beat(c->store);
    }
    if (c->subscription != NULL) {
        if (now >= c->tick_ms) {
            c->version_heard = rill__coordinator_tick(c->coordinator, &tick_ms);
            c->tick_ms = now + tick_ms;
        }
        *next_ms = c->tick_ms - now;
    }
    if (c->options.auto_commit_interval_ms != 0) {
        int64_t left = c->commit_ms + c->options.auto_commit_interval_ms - now;
        if (left <= 0) {
            rc = rill__commit_positions(c, false, (int)c->store->options.open_timeout_ms);
            c->commit_ms = now;
            left = c->options.auto_commit_interval_ms;
        }
        if (left < *next_ms) *next_ms = left;
    }
    /* Of what it has lost the news tell; a busy catalogue is busy now. */
    return rc == RILL_ERR_FENCED || rc == RILL_ERR_TIMEOUT ? 0 : rc;
}

static bool has_news(struct rill_consumer *c)
{
    return rill__commits_have_news(c) || atomic_load(&c->woken) || rill__consumer_has_news(c);
}

static bool has_records(const struct rill_consumer *c)
{
    for (size_t i = 0; i < c->part_count; i++) {
        const struct assigned *part = c->parts[i];
        if (!part->paused && rill__assigned_end(c, part) > rill__assigned_position(part))
            return true;
    }
    return false;
}

/* Until there is news, or records if they are wanted. */
static void sleep_until(struct rill_consumer *c, int64_t deadline, bool records)
{
    struct member_slot *slot;
    _Atomic uint32_t *word = wake_word(c);
    uint32_t sequence = atomic_load(word);
    int64_t spin_end =
        c->options.spin_us == 0 ? 0 : rill__monotonic_ns() + (int64_t)c->options.spin_us * 1000;

    if (spin_end > deadline) spin_end = deadline;
    while (spin_end != 0) {
        for (int i = 0; i < 64; i++) {
            if ((records && has_records(c)) || has_news(c)) return;
            rill__cpu_relax();
        }
        if (rill__monotonic_ns() >= spin_end) break;
    }
    for (size_t i = 0; records && i < c->part_count; i++)
        if (!c->parts[i]->paused) rill__log_arm(c->parts[i]->log, c->slot);
    if ((records && has_records(c)) || has_news(c)) return;
    slot = atomic_load(&c->membership.slot);
    if (slot != NULL) rill__member_does(slot, DOING_WAIT);
    rill__unpack_idle(&c->unpack);
    rill__futex_wait(word, sequence, deadline);
    if (slot == NULL) return;
    atomic_store_explicit(&slot->polled_ms, milliseconds(), memory_order_relaxed);
    rill__member_does(slot, DOING_POLL);
}

static void release_segments(struct rill_consumer *c)
{
    for (size_t i = 0; i < c->part_count; i++) {
        rill__cursor_release(&c->parts[i]->cursor);
        c->parts[i]->handed = false;
    }
}

/* Ends transactions that hold records back and have nobody who ends them. *waits: any holds
 * records back still; true if one does no more. */
static bool settle_what_waits(struct rill_consumer *c, bool *waits)
{
    bool ended = false;
    int64_t now = milliseconds();

    *waits = false;
    if ((c->options.isolation & RILL_READ_COMMITTED) == 0) return false;
    for (size_t i = 0; i < c->part_count; i++) {
        const struct assigned *part = c->parts[i];
        int64_t first = rill__log_first_open(part->log);
        if (first == INT64_MAX) continue;
        *waits = true;
        if (now < c->settle_ms) continue;
        rill__settle_partition(c->store, part->topic, part->partition, part->log,
                               rill__deadline(SETTLE_TRY_MS)); /* else the next look does */
        if (rill__log_first_open(part->log) != first) ended = true;
    }
    if (*waits && now >= c->settle_ms) c->settle_ms = now + LOOK_MS;
    return ended;
}

static int poll_records(struct rill_consumer *c, int timeout_ms, rill_record *records, size_t max,
                        size_t *count)
{
    int64_t deadline = 0;
    int64_t next_ms;
    bool waits;
    int rc;

    for (;;) {
        rc = duties(c, &next_ms);
        if (rc == 0) rc = rill__commits_settle(c, !c->store->thread.running, INT64_MAX);
        if (rc == 0) rc = rill__consumer_follow(c);
        if (rc == RILL_ERR_TIMEOUT) rc = 0; /* the next look tries again */
        if (rc == 0) rc = gather(c, records, max, count);
        if (rc != 0) return rc;
        if (*count > 0) {
            if (atomic_load(&c->woken)) atomic_store(&c->woken, false); /* at once, as asked */
            return 0;
        }
        release_segments(c); /* nothing was handed out that would need them */
        rc = deleted_topic(c);
        if (rc != 0) return rc;
        if (atomic_exchange(&c->woken, false)) return 0;
        if (settle_what_waits(c, &waits)) continue;
        if (waits && next_ms > LOOK_MS) next_ms = LOOK_MS;
        if (c->event_fd >= 0 && timeout_ms == 0) {
            rill__event_clear(c->event_fd);
            rc = gather(c, records, max, count); /* came between the two looks */
            if (*count > 0) rill__event_set(c->event_fd);
            return rc;
        }
        if (deadline == 0) deadline = rill__deadline(timeout_ms);
        if (rill__monotonic_ns() >= deadline) return 0;
        {
            int64_t until = rill__monotonic_ns() + next_ms * 1000000;
            sleep_until(c, until < deadline ? until : deadline, max != 0);
        }
    }
}

static int poll_as_member(struct rill_consumer *c, int timeout_ms, rill_record *records,
                          size_t max, size_t *count)
{
    struct member_slot *slot;
    int rc;

    if (c->options.max_poll_records != 0 && max > c->options.max_poll_records)
        max = c->options.max_poll_records;
    release_segments(c);
    rill__unpack_release(&c->unpack);
    c->unpack.handing = false;
    rc = poll_records(c, timeout_ms, records, max, count);
    rill__count(&c->store->counters->polls, 1);
    RILL_PROBE2(poll, c->client_id, rc == 0 ? *count : 0);
    if (rc == 0 && *count > 0) rill__count(&c->store->counters->records_polled, *count);
    slot = atomic_load(&c->membership.slot);
    if (slot != NULL) rill__member_handed(slot, c->part_count, rc == 0 ? *count : 0);
    if (rc == 0 && c->chain != NULL) rill__chain_consume(c->chain, records, count);
    return rc;
}

int rill__consumer_poll(struct rill_consumer *c, int timeout_ms, rill_record *records, size_t max,
                        size_t *count)
{
    int rc = rill__consumer_alone(c, "rill_consumer_poll");

    if (rc != 0) return rc;
    if (max == 0) return rill__fail(RILL_ERR_INVALID, "room for no record");
    return poll_as_member(c, timeout_ms, records, max, count);
}

int rill__consumer_attend(struct rill_consumer *c, int timeout_ms)
{
    size_t none;
    return poll_as_member(c, timeout_ms, NULL, 0, &none);
}

void rill__consumer_wakeup(struct rill_consumer *c)
{
    atomic_store(&c->woken, true);
    atomic_fetch_add(wake_word(c), 1);
    rill__futex_wake_all(wake_word(c));
    if (c->event_fd >= 0) rill__bridge_kick(c->store);
}

/* ---- Places ----------------------------------------------------------- */

static int find_part(struct rill_consumer *c, const char *topic, int32_t partition,
                     struct assigned **part)
{
    *part = rill__assigned_find(c, topic, partition);
    if (*part != NULL) return 0;
    return rill__fail(RILL_ERR_STATE, "%s-%d is not assigned to this consumer", topic,
                      (int)partition);
}

static int move_to(struct rill_consumer *c, struct assigned *part, int64_t wanted)
{
    int64_t offset = wanted;
    int rc;

    do { /* again, if the log start moved meanwhile */
        if (wanted == RILL_OFFSET_EARLIEST) offset = rill__log_start(part->log);
        if (wanted == RILL_OFFSET_LATEST) offset = rill__log_end(part->log);
        rc = rill__cursor_seek(&part->cursor, offset);
    } while (rc == RILL_ERR_RANGE && offset != wanted);
    if (rc != 0) return rc;
    part->unresolved = false;
    part->in_batch = false;
    rill__unpack_done(&c->unpack, part);
    part->failed = false;
    atomic_store_explicit(&part->position, offset, memory_order_relaxed);
    return 0;
}

int rill__consumer_seek(struct rill_consumer *c, const char *topic, int32_t partition,
                        rill_offset offset)
{
    struct assigned *part;
    int rc = find_part(c, topic, partition, &part);
    return rc != 0 ? rc : move_to(c, part, offset);
}

int rill__consumer_seek_time(struct rill_consumer *c, const char *topic, int32_t partition,
                             int64_t timestamp_ms)
{
    struct assigned *part;
    int64_t offset;
    int rc = find_part(c, topic, partition, &part);

    if (rc == 0) rc = rill__log_offset_for_time(part->log, timestamp_ms, &offset);
    if (rc != 0) return rc;
    return move_to(c, part, offset == RILL_OFFSET_NONE ? RILL_OFFSET_LATEST : offset);
}

int rill__consumer_seek_committed(struct rill_consumer *c)
{
    if (c->group == NULL)
        return rill__fail(RILL_ERR_STATE, "a consumer without a group has committed nothing");
    for (size_t i = 0; i < c->part_count; i++) {
        struct assigned *part = c->parts[i];
        part->unresolved = true; /* the next poll looks where it is */
        part->in_batch = false;
        part->failed = false;
        atomic_store_explicit(&part->position, RILL_OFFSET_NONE, memory_order_relaxed);
    }
    return 0;
}

int rill__consumer_pause(struct rill_consumer *c, const char *topic, int32_t partition,
                         bool pause)
{
    struct assigned *part;
    int rc = find_part(c, topic, partition, &part);
    if (rc != 0) return rc;
    atomic_store_explicit(&part->paused, pause, memory_order_relaxed);
    if (!pause) rill__bridge_kick(c->store);
    return rc;
}

int rill__consumer_position(struct rill_consumer *c, const char *topic, int32_t partition,
                            rill_offset *offset, int64_t *lag)
{
    struct assigned *part;
    int rc = find_part(c, topic, partition, &part);

    if (rc != 0) return rc;
    if (offset != NULL) *offset = rill__assigned_position(part);
    if (lag != NULL) {
        int64_t from = rill__log_start(part->log);
        if (!part->unresolved && rill__assigned_position(part) > from)
            from = rill__assigned_position(part);
        *lag = rill__assigned_end(c, part) - from;
        if (*lag < 0) *lag = 0; /* read up to the end, and durable is behind */
    }
    return 0;
}

int rill__consumer_assignment(struct rill_consumer *c, rill_position *positions, size_t max,
                              size_t *count)
{
    for (size_t i = 0; i < c->part_count && i < max; i++) {
        positions[i].topic = c->parts[i]->topic->info.name;
        positions[i].partition = c->parts[i]->partition;
        positions[i].leader_epoch = c->parts[i]->epoch;
        positions[i].offset = rill__assigned_position(c->parts[i]);
        positions[i].metadata = NULL;
    }
    *count = c->part_count;
    return 0;
}

/* ---- Opening and closing ---------------------------------------------- */

static void consumer_free(struct rill_consumer *c)
{
    struct heap *heap = &c->store->heap;

    rill__commits_deinit(c);
    rill__mutex_deinit(&c->parts_lock);
    rill__consumer_chain_free(c->chain);
    rill__unpack_deinit(&c->unpack);
    rill__free(heap, c->group);
    rill__free(heap, c->client_id);
    rill__free(heap, c->instance);
    rill__free(heap, c->assignor_name);
    rill__free(heap, c);
}

static int check_group_options(const rill_consumer_options *o)
{
    bool own = o->assignor == RILL_ASSIGN_OWN || (o->assignors >> RILL_ASSIGN_OWN & 1) != 0;

    if (own && (o->own_assignor == NULL || o->own_assignor_name == NULL))
        return rill__fail(RILL_ERR_INVALID,
                          "RILL_ASSIGN_OWN needs own_assignor and own_assignor_name");
    if (o->group_instance_id == NULL) return 0;
    if (o->group == NULL)
        return rill__fail(RILL_ERR_INVALID, "group_instance_id %s, but no group",
                          o->group_instance_id);
    return rill__check_name("group instance", o->group_instance_id);
}

static int keep_text(struct heap *heap, const char *text, char **copy)
{
    if (text == NULL) return 0;
    *copy = rill__strdup(heap, text);
    return *copy == NULL ? RILL_ERR_NO_MEMORY : 0;
}

/* The options' texts are the caller's only during the call. */
static int keep_texts(struct rill_consumer *c)
{
    struct heap *heap = &c->store->heap;
    const rill_consumer_options *o = &c->options;
    int rc = keep_text(heap, o->client_id != NULL ? o->client_id : "rill", &c->client_id);

    if (rc == 0) rc = keep_text(heap, o->group, &c->group);
    if (rc == 0) rc = keep_text(heap, o->group_instance_id, &c->instance);
    if (rc == 0) rc = keep_text(heap, o->own_assignor_name, &c->assignor_name);
    return rc;
}

int rill__consumer_open(rill *handle, const rill_consumer_options *given, rill_consumer **out)
{
    struct store *store = handle->store;
    struct rill_consumer *c = rill__alloc(&store->heap, sizeof *c);
    int rc;

    if (c == NULL) return RILL_ERR_NO_MEMORY;
    c->handle = handle;
    c->store = store;
    c->fork_generation = rill__fork_generation();
    c->event_fd = -1;
    rill__mutex_init(&c->parts_lock);
    rill__unpack_init(&c->unpack, &store->heap);
    rill__commits_init(c);
    rc = rill__options_take(OPTIONS_CONSUMER, given, &c->options);
    if (rc != 0) goto out;
    rc = check_group_options(&c->options);
    if (rc != 0) goto out;
    if ((c->options.isolation & RILL_READ_DURABLE) != 0 && store->file_system.volatile_memory) {
        rc = rill__fail(RILL_ERR_UNSUPPORTED, "%s is on %s, where nothing is durable",
                        store->path, store->file_system.name);
        goto out;
    }
    c->slot = atomic_fetch_add(&store->shared->next_slot, 1) % WAKE_SLOTS;
    rc = keep_texts(c);
    if (rc == 0) rc = rill__consumer_chain_new(store, &c->options, &c->chain);
    if (rc == 0 && c->group != NULL) rc = rill__coordinator_get(store, c->group, &c->coordinator);
    if (rc != 0) goto out;
    c->commit_ms = milliseconds();
    rill__mutex_lock(&store->clients_lock);
    c->next = store->consumers;
    store->consumers = c;
    rill__mutex_unlock(&store->clients_lock);
    atomic_fetch_add(&handle->children, 1);
    *out = c;
    return 0;
out:
    consumer_free(c);
    return rc;
}

int rill__consumer_fd(struct rill_consumer *c, int *fd)
{
    struct member_slot *slot;
    int rc = rill__bridge_start(c->store); /* first: who has a descriptor has a bridge */

    if (rc != 0) return rc;
    if (c->event_fd < 0) {
        int made;
        rc = rill__event_open(&made);
        if (rc != 0) return rc;
        rill__mutex_lock(&c->store->clients_lock);
        c->event_fd = made;
        rill__mutex_unlock(&c->store->clients_lock);
    }
    slot = atomic_load(&c->membership.slot);
    if (slot != NULL) atomic_fetch_or(&slot->wake_mask, rill__bridge_bit(c->store));
    rill__bridge_kick(c->store);
    *fd = c->event_fd;
    return 0;
}

int rill__consumer_close(struct rill_consumer *c, int timeout_ms)
{
    struct store *store = c->store;
    struct rill_consumer **at;
    rill *handle = c->handle;
    struct saved_message why;
    int rc;

    if (timeout_ms < 0 || timeout_ms > (int)store->options.open_timeout_ms)
        timeout_ms = (int)store->options.open_timeout_ms;
    rc = rill__consumer_leave_group(c, timeout_ms);
    if (rc != 0) rill__message_save(&why);
    rill__mutex_lock(&store->clients_lock);
    for (at = &store->consumers; *at != c; at = &(*at)->next) {}
    *at = c->next;
    for (struct txn_offsets *o = c->in_txns; o != NULL; o = o->next_of_same) o->consumer = NULL;
    rill__mutex_unlock(&store->clients_lock);
    rill__commits_settle(c, true, 0); /* those that the store's thread had begun */
    rill__fd_close(c->event_fd);
    consumer_free(c);
    atomic_fetch_sub(&handle->children, 1);
    if (rc != 0) rill__message_restore(&why);
    return rc;
}

int rill__record_header_at(const rill_record *record, size_t index, rill_header *header)
{
    if (record->raw == NULL)
        return rill__fail(RILL_ERR_INVALID, "only records from a consumer have stored headers");
    return rill__record_header(record->raw, index, header);
}
