/*
 * engine/producer.c - from records to batches to the log.
 *
 *     send:  record -> lane's open flight --full, lingered, flush--> log
 *                                                                     |
 *            report <- ready <- (acks durable: in_flight, synced) <---+
 *
 * A lane is one partition that this producer writes to; it has one open flight,
 * a batch being built in its stored form. A flight that was sent waits in
 * order for its acknowledgement and then for its reports to be delivered.
 * Flights and their buffers are used again, so that after a while a send
 * allocates nothing.
 *
 * Threads: producer->lock guards all of it. Reports are called without it, by
 * one thread at a time (delivering), which keeps them in order.
 */
#include "base/murmur.h"
#include "engine/clients.h"
#include <inttypes.h>
#include <string.h>

#define IN_FLIGHT_MAX 256u /* durable batches sent and not yet synced */

struct flight {
    struct flight *next;
    struct lane *lane;
    struct batch batch;
    void **opaques; /* one per record, only with a delivery callback */
    uint32_t opaque_room;
    int64_t first_ms; /* tick of the first record */
    int64_t base_offset;
    uint32_t count;
    int status;
};

struct target;

struct lane {
    struct lane *next;
    struct target *target;
    struct topic *topic;
    struct log *log;
    int32_t partition;
    struct flight *open; /* NULL: none being built */
};

struct flight_queue {
    struct flight *first;
    struct flight **last;
};

struct target { /* a topic this producer writes to */
    struct target *next;
    struct topic *topic;
    int32_t sticky;
    struct lane *lanes[]; /* per partition, NULL until used */
};

struct rill_producer {
    struct rill_producer *next; /* store->clients_lock */
    rill *handle;
    struct store *store;
    uint32_t fork_generation;
    rill_producer_options options;
    char *topic;
    bool durable;

    struct mutex lock; /* guards all below */
    struct target *targets;
    struct lane *lanes;
    struct flight *spare;
    uint64_t buffered; /* bytes of all flights' buffers */
    struct flight_queue in_flight;
    uint32_t in_flight_count;
    struct flight_queue ready;
    int first_error; /* since the last flush */
    struct saved_message first_message;
    uint64_t random;
    bool closing; /* nothing is accepted any more */
    bool delivering;
    const void *deliverer; /* which thread */
    void *scratch;         /* rill_producer_append's batch */
    size_t scratch_size;

    struct lane *reserved; /* open reservation, else NULL */
    struct batch reserved_batch;
};

/* Its address tells threads apart. */
static _Thread_local char this_thread;

int rill__producer_check(const rill_producer *producer)
{
    if (producer->fork_generation == rill__fork_generation()) return 0;
    return rill__fail(RILL_ERR_FORKED, "this producer was opened before fork()");
}

/* ---- Queues ----------------------------------------------------------- */

static void queue_init(struct flight_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_put(struct flight_queue *queue, struct flight *flight)
{
    flight->next = NULL;
    *queue->last = flight;
    queue->last = &flight->next;
}

static struct flight *queue_take(struct flight_queue *queue)
{
    struct flight *flight = queue->first;

    if (flight == NULL) return NULL;
    queue->first = flight->next;
    if (queue->first == NULL) queue->last = &queue->first;
    return flight;
}

/* ---- Flights ---------------------------------------------------------- */

static void flight_free(struct rill_producer *p, struct flight *flight)
{
    if (flight == NULL) return;
    p->buffered -= flight->batch.capacity;
    rill__free(&p->store->heap, flight->batch.data);
    rill__free(&p->store->heap, flight->opaques);
    rill__free(&p->store->heap, flight);
}

/* Done with: its buffer serves the next one. */
static void flight_retire(struct rill_producer *p, struct flight *flight)
{
    rill__batch_reset(&flight->batch);
    flight->next = p->spare;
    p->spare = flight;
}

/* A flight with room for at least size bytes, RILL_ERR_FULL if the buffer
 * limit does not allow it. */
static int flight_get(struct rill_producer *p, size_t size, struct flight **out)
{
    size_t room = p->options.batch_bytes;
    struct flight *flight = p->spare;
    void *buffer;

    if (room < size) room = ROUND_ROOM(size);
    if (flight != NULL && flight->batch.capacity >= size) {
        p->spare = flight->next;
        *out = flight;
        return 0;
    }
    while (p->spare != NULL && p->buffered + room > p->options.buffer_bytes) {
        flight = p->spare;
        p->spare = flight->next;
        flight_free(p, flight);
    }
    if (p->buffered + room > p->options.buffer_bytes && p->buffered != 0)
        return rill__fail(RILL_ERR_FULL,
                          "%" PRIu64 " of %" PRIu64
                          " buffer bytes are taken by batches that wait",
                          p->buffered, p->options.buffer_bytes);
    flight = rill__alloc(&p->store->heap, sizeof *flight);
    buffer = flight == NULL ? NULL : rill__alloc(&p->store->heap, room);
    if (buffer == NULL) {
        rill__free(&p->store->heap, flight);
        return RILL_ERR_NO_MEMORY;
    }
    rill__batch_init(&flight->batch, buffer, room);
    p->buffered += room;
    *out = flight;
    return 0;
}

/* ---- Topics, partitions, lanes ---------------------------------------- */

static int target_get(struct rill_producer *p, const char *name, struct target **out)
{
    struct target **at;
    struct target *target;
    struct topic *topic;
    int rc;

    if (name == NULL) name = p->topic;
    if (name == NULL)
        return rill__fail(RILL_ERR_INVALID,
                          "the record names no topic and the producer has none of its own");
    for (at = &p->targets; (target = *at) != NULL; at = &target->next) {
        if (strcmp(target->topic->info.name, name) != 0 || atomic_load(&target->topic->gone))
            continue;
        *at = target->next; /* the last used one first */
        target->next = p->targets;
        p->targets = target;
        *out = target;
        return 0;
    }
    rc = rill__topic_find(p->store, name, &topic);
    if (rc != 0) return rc;
    target = rill__alloc(&p->store->heap,
                         sizeof *target + topic->info.partition_count * sizeof target->lanes[0]);
    if (target == NULL) return RILL_ERR_NO_MEMORY;
    target->topic = topic;
    target->sticky = (int32_t)(p->random % topic->info.partition_count);
    target->next = p->targets;
    p->targets = target;
    *out = target;
    return 0;
}

static int choose_partition(struct rill_producer *p, struct target *target,
                            const rill_record *record, int32_t *partition)
{
    uint32_t count = target->topic->info.partition_count;

    if (record->partition != RILL_PARTITION_ANY) *partition = record->partition;
    else if (p->options.partitioner != NULL)
        *partition = p->options.partitioner(p->options.partitioner_arg, record, count);
    else if (record->key.data != NULL)
        *partition = rill__murmur2_partition(record->key.data, record->key.size, count);
    else *partition = target->sticky;
    if (*partition >= 0 && (uint32_t)*partition < count) return 0;
    return rill__fail(record->partition != RILL_PARTITION_ANY ? RILL_ERR_NOT_FOUND
                                                              : RILL_ERR_INVALID,
                      "topic %s has partitions 0 to %u, not %d", target->topic->info.name,
                      count - 1, (int)*partition);
}

static int lane_get(struct rill_producer *p, const rill_record *record, int timeout_ms,
                    struct lane **out)
{
    struct target *target;
    struct lane *lane;
    int32_t partition;
    int rc = target_get(p, record->topic, &target);

    if (rc == 0) rc = choose_partition(p, target, record, &partition);
    if (rc != 0) return rc;
    *out = target->lanes[partition];
    if (*out != NULL) return 0;
    lane = rill__alloc(&p->store->heap, sizeof *lane);
    if (lane == NULL) return RILL_ERR_NO_MEMORY;
    rc = rill__partition_log(target->topic, partition, timeout_ms < 1000 ? 1000 : timeout_ms,
                             &lane->log);
    if (rc != 0) {
        rill__free(&p->store->heap, lane);
        return rc;
    }
    lane->target = target;
    lane->topic = target->topic;
    lane->partition = partition;
    lane->next = p->lanes;
    p->lanes = lane;
    target->lanes[partition] = lane;
    *out = lane;
    return 0;
}

/* ---- Sending ---------------------------------------------------------- */

static void note_error(struct rill_producer *p, int rc)
{
    if (p->first_error != 0) return;
    p->first_error = rc;
    rill__message_save(&p->first_message);
}

static void finish(struct rill_producer *p, struct flight *flight, int status)
{
    flight->status = status;
    if (p->options.delivery == NULL) flight_retire(p, flight);
    else queue_put(&p->ready, flight);
}

static void count_append(struct store *store, uint64_t records, uint64_t bytes)
{
    atomic_fetch_add_explicit(&store->records_appended, records, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->bytes_appended, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->batches_appended, 1, memory_order_relaxed);
}

/* Records without key go to one partition until a batch of it is sent. */
static void move_sticky(struct rill_producer *p, const struct lane *lane)
{
    struct target *target = lane->target;

    if (target->sticky != lane->partition) return;
    p->random = p->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    target->sticky = (int32_t)((p->random >> 33) % target->topic->info.partition_count);
}

/* Sends the lane's open flight. RILL_ERR_TIMEOUT leaves it open; any other
 * error is its end, and reported. */
static int lane_send(struct rill_producer *p, struct lane *lane, int64_t deadline)
{
    struct flight *flight = lane->open;
    int rc;

    if (flight == NULL) return 0;
    if (flight->batch.record_count == 0) return 0;
    rill__batch_seal(&flight->batch);
    rc = rill__log_append(lane->log, &flight->batch, p->durable, deadline, &flight->base_offset);
    if (rc == RILL_ERR_TIMEOUT) return rc;
    lane->open = NULL;
    flight->count = flight->batch.record_count;
    if (rc != 0) {
        note_error(p, rc);
        finish(p, flight, rc);
        return rc;
    }
    count_append(p->store, flight->count, flight->batch.size);
    move_sticky(p, lane);
    if (p->durable) {
        queue_put(&p->in_flight, flight);
        p->in_flight_count++;
    } else {
        finish(p, flight, 0);
    }
    return 0;
}

/* Takes what is durable out of in_flight. With wait, syncs for the first. */
static int settle(struct rill_producer *p, bool wait, int64_t deadline)
{
    struct flight *flight;
    int rc = 0;

    while ((flight = p->in_flight.first) != NULL) {
        int64_t end = flight->base_offset + flight->count;
        bool covered = rill__log_durable(flight->lane->log) >= end;

        if (!covered && wait) {
            rc = rill__log_sync(flight->lane->log, end, deadline);
            if (rc == RILL_ERR_TIMEOUT) return rc;
        } else if (!covered) {
            rc = rill__log_state(flight->lane->log);
            if (rc == 0) return 0;
        }
        queue_take(&p->in_flight);
        p->in_flight_count--;
        if (rc != 0) note_error(p, rc);
        finish(p, flight, rc);
    }
    return rc;
}

/* Calls the reports that are ready; with p->lock held, let go meanwhile. */
static void deliver(struct rill_producer *p)
{
    struct flight *flight;

    if (p->options.delivery == NULL || p->delivering) return;
    p->delivering = true;
    p->deliverer = &this_thread;
    while ((flight = queue_take(&p->ready)) != NULL) {
        rill_delivery report = {.topic = flight->lane->topic->info.name,
                                .partition = flight->lane->partition,
                                .status = flight->status};
        rill__mutex_unlock(&p->lock);
        for (uint32_t i = 0; i < flight->count; i++) {
            report.offset = flight->status == 0 ? flight->base_offset + i : RILL_OFFSET_NONE;
            report.opaque = flight->opaques[i];
            p->options.delivery(p->options.delivery_arg, &report);
        }
        rill__mutex_lock(&p->lock);
        flight_retire(p, flight);
    }
    p->delivering = false;
    p->deliverer = NULL;
}

static int send_lingering(struct rill_producer *p, int64_t *next_ms)
{
    int64_t now_ms = rill__tick_ms();
    int first = 0;

    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next) {
        int64_t left;
        int rc;
        if (lane->open == NULL || lane->open->batch.record_count == 0) continue;
        left = lane->open->first_ms + p->options.linger_ms - now_ms;
        if (left > 0) {
            if (left < *next_ms) *next_ms = left;
            continue;
        }
        rc = lane_send(p, lane, rill__deadline(0));
        if (rc == RILL_ERR_TIMEOUT) *next_ms = 1;
        else if (rc != 0 && first == 0) first = rc;
    }
    return first;
}

static int check_state(const struct rill_producer *p)
{
    if (p->closing) return rill__fail(RILL_ERR_CLOSED, "the producer is being closed");
    if (p->reserved == NULL) return 0;
    return rill__fail(RILL_ERR_STATE,
                      "a reservation is open; commit or abandon it on the thread that made it");
}

static int check_record(const struct topic *topic, const rill_record *record, size_t *size)
{
    *size = rill__batch_size_of(record);
    if (*size == 0 || *size > topic->info.max_message_bytes)
        return rill__fail(
            RILL_ERR_TOO_BIG,
            "topic %s: a record of %zu key and %zu value bytes; a batch has at most "
            "%u bytes (max_message_bytes)",
            topic->info.name, record->key.size, record->value.size,
            topic->info.max_message_bytes);
    if ((record->key.data == NULL && record->key.size != 0) ||
        (record->value.data == NULL && record->value.size != 0))
        return rill__fail(RILL_ERR_INVALID, "a key or value has a size but no data");
    if (record->timestamp_ms < 0)
        return rill__fail(RILL_ERR_INVALID, "timestamp %" PRId64 " is before the epoch",
                          record->timestamp_ms);
    return 0;
}

static int keep_opaque(struct rill_producer *p, struct flight *flight, void *opaque)
{
    uint32_t at = flight->batch.record_count;

    if (p->options.delivery == NULL) return 0;
    if (at == flight->opaque_room) {
        uint32_t room = at == 0 ? 64 : at * 2;
        void *grown = rill__resize(&p->store->heap, flight->opaques, room * sizeof(void *));
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        flight->opaques = grown;
        flight->opaque_room = room;
    }
    flight->opaques[at] = opaque;
    return 0;
}

/* A flight of the lane that has room for the record. */
static int make_room_for(struct rill_producer *p, struct lane *lane, size_t size,
                         int64_t deadline)
{
    struct flight *fresh = NULL;
    int rc;

    rc = flight_get(p, size, &fresh);
    while (rc == RILL_ERR_FULL) {
        /* Batches of other lanes take the room: send them. */
        struct lane *other = p->lanes;
        while (other != NULL && other->open == NULL) other = other->next;
        if (other != NULL) {
            rc = lane_send(p, other, deadline);
            if (rc == RILL_ERR_TIMEOUT) return rc;
        } else if (p->in_flight.first != NULL) {
            rc = settle(p, true, deadline);
            if (rc == RILL_ERR_TIMEOUT) return rc;
        } else if (p->ready.first != NULL && !p->delivering) {
            deliver(p);
        } else {
            return rc;
        }
        rc = flight_get(p, size, &fresh);
    }
    if (rc != 0) return rc;
    fresh->lane = lane;
    lane->open = fresh;
    return 0;
}

static int send_locked(struct rill_producer *p, const rill_record *record, void *opaque,
                       int timeout_ms)
{
    int64_t deadline = timeout_ms > 0   ? rill__deadline(timeout_ms)
                       : timeout_ms < 0 ? INT64_MAX
                                        : 0;
    int64_t now_ms = rill__now_ms();
    struct lane *lane;
    size_t size;
    int rc = check_state(p);

    if (rc == 0) rc = lane_get(p, record, timeout_ms, &lane);
    if (rc == 0) rc = check_record(lane->topic, record, &size);
    if (rc == 0) rc = rill__log_state(lane->log);
    if (rc != 0) return rc;
    for (int attempt = 0;; attempt++) {
        if (lane->open == NULL) {
            rc = make_room_for(p, lane, size, deadline);
            if (rc != 0) return rc;
        }
        rc = keep_opaque(p, lane->open, opaque);
        if (rc != 0) return rc;
        if ((lane->open->batch.size + size <= lane->topic->info.max_message_bytes ||
             lane->open->batch.size == 0) &&
            rill__batch_add(&lane->open->batch, record, now_ms, NULL))
            break;
        if (attempt > 1) return rill__fail(RILL_ERR_BUG, "a record fits in no batch");
        if (lane->open->batch.record_count == 0) { /* its buffer is too small for this one */
            flight_free(p, lane->open);
            lane->open = NULL;
            continue;
        }
        rc = lane_send(p, lane, deadline);
        if (rc == RILL_ERR_TIMEOUT) return rc; /* the new record is not accepted */
    }
    /* From here on the record is accepted; what fails now is reported. */
    if (lane->open->batch.record_count == 1) {
        lane->open->first_ms = rill__tick_ms();
        rill__store_due(p->store, (lane->open->first_ms + p->options.linger_ms) * 1000000);
    }
    if (lane->open->batch.size >= p->options.batch_bytes ||
        rill__tick_ms() - lane->open->first_ms >= (int64_t)p->options.linger_ms ||
        (p->options.flags & RILL_PRODUCER_NO_LINGER) != 0)
        lane_send(p, lane, deadline);
    if (p->in_flight_count > IN_FLIGHT_MAX) settle(p, true, deadline);
    return 0;
}

int rill__producer_send(rill_producer *p, const rill_record *record, void *opaque, int timeout_ms)
{
    int rc;

    rill__mutex_lock(&p->lock);
    rc = send_locked(p, record, opaque, timeout_ms);
    if (rc == RILL_ERR_TIMEOUT && timeout_ms == 0)
        rc = rill__fail_prefix(RILL_ERR_FULL, "the batch is full and cannot be sent now");
    if (p->ready.first != NULL) {
        struct saved_message why;
        rill__message_save(&why);
        deliver(p);
        if (rc != 0) rill__message_restore(&why);
    }
    rill__mutex_unlock(&p->lock);
    return rc;
}

int rill__producer_append(rill_producer *p, const rill_record *records, size_t count,
                          int timeout_ms, rill_offset *base_offset)
{
    int64_t deadline = timeout_ms > 0   ? rill__deadline(timeout_ms)
                       : timeout_ms < 0 ? INT64_MAX
                                        : 0;
    int64_t now_ms = rill__now_ms();
    struct lane *lane = NULL;
    struct batch batch;
    size_t size = BATCH_HEAD;
    size_t one;
    int64_t offset = 0;
    void *grown;
    int rc;

    if (count == 0) return rill__fail(RILL_ERR_INVALID, "a batch of no records");
    rill__mutex_lock(&p->lock);
    rc = check_state(p);
    if (rc == 0) rc = lane_get(p, &records[0], timeout_ms, &lane);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = check_record(lane->topic, &records[i], &one);
        size += one - BATCH_HEAD;
        if (rc == 0 && size > lane->topic->info.max_message_bytes)
            rc = rill__fail(RILL_ERR_TOO_BIG,
                            "topic %s: a batch of %zu records has more than %u bytes "
                            "(max_message_bytes)",
                            lane->topic->info.name, count, lane->topic->info.max_message_bytes);
    }
    if (rc == 0 && size > p->scratch_size) {
        grown = rill__resize(&p->store->heap, p->scratch, size * 2);
        if (grown == NULL) {
            rc = RILL_ERR_NO_MEMORY;
        } else {
            p->scratch = grown;
            p->scratch_size = size * 2;
        }
    }
    if (rc == 0) rc = lane_send(p, lane, deadline); /* what came before goes before */
    if (rc != 0) goto out;
    rill__batch_init(&batch, p->scratch, p->scratch_size);
    for (size_t i = 0; i < count; i++) {
        if (rill__batch_add(&batch, &records[i], now_ms, NULL)) continue;
        rc = rill__fail(RILL_ERR_INVALID,
                        "record %zu: its timestamp is more than 24 days from the batch's first",
                        i);
        goto out;
    }
    rill__batch_seal(&batch);
    rc = rill__log_append(lane->log, &batch, p->durable, deadline, &offset);
    if (rc == 0) {
        count_append(p->store, count, batch.size);
        move_sticky(p, lane);
    }
out:
    if (rc == 0 && p->ready.first != NULL) deliver(p);
    rill__mutex_unlock(&p->lock);
    /* Outside the lock: threads of one producer share a sync. */
    if (rc == 0 && p->durable)
        rc = rill__log_sync(lane->log, offset + (int64_t)count,
                            deadline == 0 ? rill__deadline(0) : deadline);
    if (rc == 0 && base_offset != NULL) *base_offset = offset;
    return rc;
}

int rill__producer_poll(rill_producer *p)
{
    int64_t next_ms = INT64_MAX;
    int rc;

    rill__mutex_lock(&p->lock);
    rc = check_state(p);
    if (rc == 0) {
        send_lingering(p, &next_ms);
        settle(p, true, INT64_MAX);
        deliver(p);
    }
    rill__mutex_unlock(&p->lock);
    return rc;
}

int rill__producer_flush(rill_producer *p, int timeout_ms)
{
    int64_t deadline = rill__deadline(timeout_ms);
    bool open = false;
    int rc;

    rill__mutex_lock(&p->lock);
    rc = check_state(p);
    if (rc != 0) goto out;
    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next)
        if (lane_send(p, lane, deadline) == RILL_ERR_TIMEOUT) open = true;
    if (settle(p, true, deadline) == RILL_ERR_TIMEOUT) open = true;
    /* Another thread may be in the middle of reports; wait for the last. */
    while (p->delivering && p->deliverer != &this_thread && rill__monotonic_ns() < deadline) {
        rill__mutex_unlock(&p->lock);
        rill__sleep_ns(100000);
        rill__mutex_lock(&p->lock);
    }
    deliver(p);
    if (p->first_error != 0) {
        rc = p->first_error;
        rill__message_restore(&p->first_message);
        p->first_error = 0;
    } else if (open) {
        rc = rill__fail_prefix(RILL_ERR_TIMEOUT, "not everything was sent in %d ms", timeout_ms);
    }
out:
    rill__mutex_unlock(&p->lock);
    return rc;
}

/* ---- In place --------------------------------------------------------- */

int rill__producer_reserve(rill_producer *p, const rill_record *record, int timeout_ms,
                           rill_reservation *reservation)
{
    int64_t deadline = timeout_ms > 0   ? rill__deadline(timeout_ms)
                       : timeout_ms < 0 ? INT64_MAX
                                        : 0;
    rill_record shape = *record;
    struct lane *lane;
    uint8_t *room;
    uint8_t *value;
    size_t size;
    int rc;

    shape.value.data = ""; /* only its size counts */
    rill__mutex_lock(&p->lock);
    rc = check_state(p);
    if (rc == 0) rc = lane_get(p, &shape, timeout_ms, &lane);
    if (rc == 0) rc = check_record(lane->topic, &shape, &size);
    if (rc == 0) rc = lane_send(p, lane, deadline);
    if (rc == 0) rc = rill__log_reserve(lane->log, size, deadline, &room);
    if (rc != 0) goto out;
    if (shape.value.size != 0) shape.value.data = NULL; /* room, filled by the caller */
    rill__batch_init(&p->reserved_batch, room, size);
    if (!rill__batch_add(&p->reserved_batch, &shape, rill__now_ms(), &value)) {
        rill__log_abandon(lane->log);
        rc = rill__fail(RILL_ERR_BUG, "a reserved record does not fit its own size");
        goto out;
    }
    p->reserved = lane;
    reservation->value = value;
    reservation->value_size = shape.value.size;
    reservation->partition = lane->partition;
out:
    rill__mutex_unlock(&p->lock);
    return rc;
}

int rill__producer_commit(rill_producer *p, rill_offset *offset)
{
    struct lane *lane;
    int64_t base = 0;
    int rc = 0;

    rill__mutex_lock(&p->lock);
    lane = p->reserved;
    if (lane == NULL) {
        rc = rill__fail(RILL_ERR_STATE,
                        "no reservation is open; call rill_producer_reserve first");
    } else {
        p->reserved = NULL;
        rill__batch_seal(&p->reserved_batch);
        rc = rill__log_commit(lane->log, &p->reserved_batch, &base);
        count_append(p->store, 1, p->reserved_batch.size);
        move_sticky(p, lane);
    }
    rill__mutex_unlock(&p->lock);
    if (rc == 0 && p->durable) rc = rill__log_sync(lane->log, base + 1, INT64_MAX);
    if (rc == 0 && offset != NULL) *offset = base;
    return rc;
}

int rill__producer_abandon(rill_producer *p)
{
    int rc = 0;

    rill__mutex_lock(&p->lock);
    if (p->reserved == NULL) {
        rc = rill__fail(RILL_ERR_STATE, "no reservation is open");
    } else {
        rill__log_abandon(p->reserved->log);
        p->reserved = NULL;
    }
    rill__mutex_unlock(&p->lock);
    return rc;
}

/* ---- Opening, maintenance, closing ------------------------------------ */

int rill__producer_open(rill *handle, const rill_producer_options *given, rill_producer **out)
{
    struct store *store = handle->store;
    struct rill_producer *p = rill__alloc(&store->heap, sizeof *p);
    struct target *target;
    int rc;

    if (p == NULL) return RILL_ERR_NO_MEMORY;
    p->handle = handle;
    p->store = store;
    p->fork_generation = rill__fork_generation();
    queue_init(&p->in_flight);
    queue_init(&p->ready);
    rc = rill__options_take(OPTIONS_PRODUCER, given, &p->options);
    if (rc == 0) rc = rill__random(&p->random, sizeof p->random);
    if (rc == 0) rc = rill__mutex_init(&p->lock);
    if (rc != 0) {
        rill__free(&store->heap, p);
        return rc;
    }
    p->durable = p->options.acks == RILL_ACKS_DURABLE;
    if (p->durable && store->file_system.volatile_memory)
        rc = rill__fail(RILL_ERR_UNSUPPORTED,
                        "%s is on %s, which keeps nothing over a reboot: acks durable would be a "
                        "lie. Use acks written or a disk",
                        store->path, store->file_system.name);
    if (rc == 0 && p->options.topic != NULL) {
        p->topic = rill__strdup(&store->heap, p->options.topic);
        rc = p->topic == NULL ? RILL_ERR_NO_MEMORY : target_get(p, p->topic, &target);
    }
    if (rc != 0) {
        while (p->targets != NULL) {
            target = p->targets;
            p->targets = target->next;
            rill__free(&store->heap, target);
        }
        rill__free(&store->heap, p->topic);
        rill__mutex_deinit(&p->lock);
        rill__free(&store->heap, p);
        return rc;
    }
    rill__mutex_lock(&store->clients_lock);
    p->next = store->producers;
    store->producers = p;
    rill__mutex_unlock(&store->clients_lock);
    atomic_fetch_add(&handle->children, 1);
    *out = p;
    return 0;
}

void rill__producers_linger(struct store *store, uint32_t *next_ms)
{
    rill__mutex_lock(&store->clients_lock);
    for (struct rill_producer *p = store->producers; p != NULL; p = p->next) {
        int64_t next = INT64_MAX;
        if (!rill__mutex_trylock(&p->lock)) continue; /* in use: it looks itself */
        if (p->reserved == NULL) send_lingering(p, &next);
        rill__mutex_unlock(&p->lock);
        if (next < *next_ms) *next_ms = (uint32_t)next;
    }
    rill__mutex_unlock(&store->clients_lock);
}

static void free_flights(struct rill_producer *p, struct flight *list)
{
    while (list != NULL) {
        struct flight *next = list->next;
        flight_free(p, list);
        list = next;
    }
}

static bool has_unsent(struct rill_producer *p)
{
    bool unsent = false;

    rill__mutex_lock(&p->lock);
    for (const struct lane *lane = p->lanes; lane != NULL; lane = lane->next)
        if (lane->open != NULL && lane->open->batch.record_count > 0) unsent = true;
    rill__mutex_unlock(&p->lock);
    return unsent;
}

/* What could not be sent in time is reported, then gone. */
static void give_up(struct rill_producer *p)
{
    rill__mutex_lock(&p->lock);
    p->closing = true; /* reports may try to send again */
    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next) {
        if (lane->open == NULL) continue;
        lane->open->count = lane->open->batch.record_count;
        finish(p, lane->open, RILL_ERR_CLOSED);
        lane->open = NULL;
    }
    while (p->in_flight.first != NULL) finish(p, queue_take(&p->in_flight), RILL_ERR_TIMEOUT);
    deliver(p);
    rill__mutex_unlock(&p->lock);
}

int rill__producer_close(rill_producer *p, int timeout_ms)
{
    int64_t deadline = rill__deadline(timeout_ms);
    struct store *store = p->store;
    struct rill_producer **at;
    struct saved_message why;
    int first = 0;
    int rc;

    if (p->reserved != NULL) return check_state(p);
    do { /* again while reports have sent more */
        rc = rill__producer_flush(p, rill__time_left_ms(deadline));
        if (rc != 0 && first == 0) {
            first = rc;
            rill__message_save(&why);
        }
    } while (rc != RILL_ERR_TIMEOUT && has_unsent(p) && rill__monotonic_ns() < deadline);

    rill__mutex_lock(&store->clients_lock);
    for (at = &store->producers; *at != p; at = &(*at)->next) {}
    *at = p->next;
    rill__mutex_unlock(&store->clients_lock);
    give_up(p);

    free_flights(p, p->spare);
    while (p->lanes != NULL) {
        struct lane *lane = p->lanes;
        p->lanes = lane->next;
        rill__free(&store->heap, lane);
    }
    while (p->targets != NULL) {
        struct target *target = p->targets;
        p->targets = target->next;
        rill__free(&store->heap, target);
    }
    rill__free(&store->heap, p->scratch);
    rill__free(&store->heap, p->topic);
    rill__mutex_deinit(&p->lock);
    atomic_fetch_sub(&p->handle->children, 1);
    rill__free(&store->heap, p);
    if (first != 0) rill__message_restore(&why);
    return first;
}

int rill__record_header_at(const rill_record *record, size_t index, rill_header *header)
{
    if (record->raw == NULL)
        return rill__fail(RILL_ERR_INVALID, "only records from a consumer have stored headers");
    return rill__record_header(record->raw, index, header);
}
