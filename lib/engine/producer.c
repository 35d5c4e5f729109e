/*
 * engine/producer.c - the calls of a producer: records in, batches out.
 *
 * What a record goes through is drawn in engine/producer.h.
 */
#include "engine/txn.h"
#include <inttypes.h>
#include <string.h>

#define IN_FLIGHT_MAX 256u /* durable batches sent and not yet synced */

int rill__producer_check(const rill_producer *producer)
{
    if (producer->fork_generation == rill__fork_generation()) return 0;
    return rill__fail(RILL_ERR_FORKED, "this producer was opened before fork()");
}

int rill__producer_state(const struct rill_producer *p)
{
    if (p->closing) return rill__fail(RILL_ERR_CLOSED, "the producer is being closed");
    if (p->reserved == NULL) return 0;
    return rill__fail(RILL_ERR_STATE,
                      "a reservation is open; commit or abandon it on the thread that made it");
}

int rill__record_check(const struct topic *topic, const rill_record *record, size_t limit,
                       size_t *size)
{
    *size = rill__batch_size_of(record);
    if (*size == 0 || *size > limit)
        return rill__fail(
            RILL_ERR_TOO_BIG,
            "topic %s: a record of %zu key and %zu value bytes; a batch has at most "
            "%zu bytes (%s)",
            topic->info.name, record->key.size, record->value.size, limit,
            limit == rill__topic_max_bytes(topic) ? "max_message_bytes" : "before compression");
    if (record->key.data == NULL && rill__topic_compacts(topic))
        return rill__fail(RILL_ERR_INVALID, "topic %s is compacted: each record must have a key",
                          topic->info.name);
    if ((record->key.data == NULL && record->key.size != 0) ||
        (record->value.data == NULL && record->value.size != 0))
        return rill__fail(RILL_ERR_INVALID, "a key or value has a size but no data");
    if (record->timestamp_ms < 0)
        return rill__fail(RILL_ERR_INVALID, "timestamp %" PRId64 " is before the epoch",
                          record->timestamp_ms);
    return 0;
}

void rill__lane_leave(struct rill_producer *p, struct lane *lane)
{
    rill__mutex_lock(&p->lock);
    lane->busy--;
    rill__mutex_unlock(&p->lock);
}

/* ---- Record by record ------------------------------------------------- */

/* What fails is noted for the next flush. */
static void send_lingering(struct rill_producer *p, int64_t *next_ms)
{
    int64_t now_ms = rill__tick_ms();

    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next) {
        int64_t left;
        if (lane->open == NULL || lane->open->batch.record_count == 0) continue;
        left = lane->open->first_ms + p->options.linger_ms - now_ms;
        if (left > 0) {
            if (left < *next_ms) *next_ms = left;
            continue;
        }
        if (rill__lane_send(p, lane, rill__deadline(0)) == RILL_ERR_TIMEOUT) *next_ms = 1;
    }
}

static int keep_report(struct rill_producer *p, struct flight *flight, void *opaque,
                       int64_t timestamp_ms)
{
    uint32_t at = flight->batch.record_count;

    if (!p->reports) return 0;
    if (at == flight->report_room) {
        uint32_t room = at == 0 ? 64 : at * 2;
        void *grown =
            rill__resize(&p->store->heap, flight->reports, room * sizeof *flight->reports);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        flight->reports = grown;
        flight->report_room = room;
    }
    flight->reports[at] = (struct report){opaque, timestamp_ms};
    return 0;
}

/* A flight of the lane that has room for the record. */
static int make_room_for(struct rill_producer *p, struct lane *lane, size_t size,
                         int64_t deadline)
{
    struct flight *fresh = NULL;
    int rc;

    rc = rill__flight_get(p, size, &fresh);
    while (rc == RILL_ERR_FULL) {
        /* Batches of other lanes take the room: send them. */
        struct lane *other = p->lanes;
        while (other != NULL && other->open == NULL) other = other->next;
        if (other != NULL) {
            rc = rill__lane_send(p, other, deadline);
            if (rc == RILL_ERR_TIMEOUT) return rc;
        } else if (p->in_flight.first != NULL) {
            rc = rill__flights_settle(p, deadline);
            if (rc == RILL_ERR_TIMEOUT) return rc;
        } else if (p->ready.first != NULL && !p->delivering) {
            rill__flights_deliver(p);
        } else {
            return rc;
        }
        rc = rill__flight_get(p, size, &fresh);
    }
    if (rc != 0) return rc;
    fresh->lane = lane;
    lane->open = fresh;
    return 0;
}

/* The lane is busy: reports that are told meanwhile let go of the lock. */
static int send_to(struct rill_producer *p, struct lane *lane, const rill_record *record,
                   void *opaque, int64_t deadline)
{
    int64_t now_ms = rill__now_ms();
    size_t limit;
    size_t size;
    int rc = rill__batch_limit(p, lane->topic, &limit);

    if (rc == 0) rc = rill__record_check(lane->topic, record, limit, &size);
    if (rc == 0) rc = rill__log_state(lane->log);
    if (rc != 0) return rc;
    for (int attempt = 0;; attempt++) {
        if (lane->open == NULL) {
            rc = make_room_for(p, lane, size, deadline);
            if (rc != 0) return rc;
        }
        rc = keep_report(p, lane->open, opaque,
                         record->timestamp_ms != 0 ? record->timestamp_ms : now_ms);
        if (rc != 0) return rc;
        /* Several together fit as they are; one alone may need compression. */
        if ((lane->open->batch.record_count == 0 ||
             lane->open->batch.size + size <= rill__topic_max_bytes(lane->topic)) &&
            rill__batch_add(&lane->open->batch, record, now_ms, NULL))
            break;
        if (attempt > 1) return rill__fail(RILL_ERR_BUG, "a record fits in no batch");
        if (lane->open->batch.record_count == 0) { /* its buffer is too small for this one */
            rill__flight_free(p, lane->open);
            lane->open = NULL;
            continue;
        }
        rc = rill__lane_send(p, lane, deadline);
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
        rill__lane_send(p, lane, deadline);
    if (p->in_flight_count > IN_FLIGHT_MAX) rill__flights_settle(p, deadline);
    return 0;
}

static int send_locked(struct rill_producer *p, const rill_record *record, void *opaque,
                       int timeout_ms)
{
    int64_t deadline = rill__deadline_unless_0(timeout_ms);
    struct lane *lane;
    int rc = rill__producer_state(p);

    if (rc == 0) rc = rill__lane_get(p, record, timeout_ms, &lane);
    if (rc != 0) return rc;
    lane->busy++;
    rc = send_to(p, lane, record, opaque, deadline);
    lane->busy--;
    return rc;
}

static int send_as_it_is(rill_producer *p, const rill_record *record, void *opaque,
                         int timeout_ms)
{
    int rc;

    rill__mutex_lock(&p->lock);
    rc = send_locked(p, record, opaque, timeout_ms);
    if (rc == RILL_ERR_TIMEOUT && timeout_ms == 0)
        rc = rill__fail_prefix(RILL_ERR_FULL, "the batch is full and cannot be sent now");
    if (p->ready.first != NULL) {
        struct saved_message why;
        rill__message_save(&why);
        rill__flights_deliver(p);
        if (rc != 0) rill__message_restore(&why);
    }
    rill__mutex_unlock(&p->lock);
    return rc;
}

/* Of a record that no report will come for. */
static void tell_refused(const struct rill_producer *p, const rill_record *record, void *opaque,
                         int status)
{
    rill_delivery refused = {.topic = record->topic == NULL ? p->topic : record->topic,
                             .partition = record->partition,
                             .status = status,
                             .offset = RILL_OFFSET_NONE,
                             .opaque = opaque,
                             .timestamp_ms = record->timestamp_ms};
    struct saved_message why;

    if (!p->chain->acknowledges) return;
    rill__message_save(&why);
    rill__chain_acknowledge(p->chain, &refused);
    rill__message_restore(&why);
}

int rill__producer_send(rill_producer *p, const rill_record *record, void *opaque, int timeout_ms)
{
    struct rill_scratch scratch;
    rill_record changed = *record;
    int rc;

    if (p->chain == NULL) return send_as_it_is(p, record, opaque, timeout_ms);
    rill__scratch_init(&scratch, &p->store->heap);
    rc = rill__chain_send(p->chain, &changed, &scratch);
    if (rc == 0) rc = send_as_it_is(p, &changed, opaque, timeout_ms);
    if (rc != 0) tell_refused(p, &changed, opaque, rc);
    rill__scratch_deinit(&scratch);
    return rc;
}

/* ---- Batch by batch --------------------------------------------------- */

/* acknowledged, unless NULL, names the topic until the lane in *held is left. It gets its
 * timestamp only if that is everybody's. */
static int append_as_they_are(rill_producer *p, int32_t sequence, const rill_record *records,
                              size_t count, int timeout_ms, int64_t now_ms,
                              rill_offset *base_offset, rill_delivery *acknowledged,
                              struct lane **held)
{
    int64_t deadline = rill__deadline_unless_0(timeout_ms);
    struct lane *lane = NULL;
    struct batch batch;
    struct batch *sealed = &batch;
    size_t size = BATCH_HEAD;
    size_t limit = 0;
    size_t one;
    int64_t offset = 0;
    int64_t append_ms = 0;
    bool used = false;
    void *grown;
    int rc;

    if (count == 0) return rill__fail(RILL_ERR_INVALID, "a batch of no records");
    rill__mutex_lock(&p->lock);
    rc = rill__producer_state(p);
    if (rc == 0) rc = rill__lane_get(p, &records[0], timeout_ms, &lane);
    if (rc == 0) rc = rill__batch_limit(p, lane->topic, &limit);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = rill__record_check(lane->topic, &records[i], limit, &one);
        size += one - BATCH_HEAD;
        if (rc == 0 && size > limit)
            rc = rill__fail(RILL_ERR_TOO_BIG,
                            "topic %s: a batch of %zu records has more than %zu bytes (%s)",
                            lane->topic->info.name, count, limit,
                            limit == rill__topic_max_bytes(lane->topic) ? "max_message_bytes"
                                                                        : "before compression");
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
    if (rc == 0) rc = rill__lane_send(p, lane, deadline); /* what came before goes before */
    if (rc != 0) goto out;
    rill__batch_init(&batch, p->scratch, p->scratch_size);
    for (size_t i = 0; i < count; i++) {
        if (rill__batch_add(&batch, &records[i], now_ms, NULL)) continue;
        rc = rill__fail(RILL_ERR_INVALID,
                        "record %zu: its timestamp is more than 24 days from the batch's first",
                        i);
        goto out;
    }
    if (p->durable && rill__doubt_is(lane, &batch, &offset)) {
        rc = LOG_DUPLICATE;
    } else {
        p->sequenced = sequence;
        rc = rill__producer_seal(p, lane, &batch, &sealed);
        if (rc == 0) rc = rill__identity_append(p, lane, sealed, deadline, &offset);
        p->sequenced = -1;
        rill__producer_sent(p);
        if (rc == 0 || rc == LOG_DUPLICATE)
            rill__identity_sent(p, lane, sealed, offset, rc == LOG_DUPLICATE);
        else if (rc != RILL_ERR_TIMEOUT) rill__identity_failed(p);
        if (rc == 0) rill__count_append(lane, offset, &batch, sealed);
    }
    if (rc == LOG_DUPLICATE) rc = 0;
    if (rc == 0) {
        if (p->durable) rill__doubt_keep(lane, &batch, offset);
        append_ms = sealed->append_ms;
        rill__sticky_move(p, lane);
        lane->busy++; /* from here on the lock is not held all the time */
        used = true;
    }
out:
    if (rc == 0 && p->ready.first != NULL) rill__flights_deliver(p);
    if (used && !p->durable && acknowledged == NULL) {
        lane->busy--;
        used = false;
    }
    rill__mutex_unlock(&p->lock);
    /* Outside the lock: threads of one producer share a sync. */
    if (rc == 0 && p->durable)
        rc = rill__wait_durable(lane->log, offset + (int64_t)count,
                                deadline == 0 ? rill__deadline(0) : deadline);
    if (rc == 0 && p->durable) rill__doubt_end(p, lane, offset);
    if (rc == 0 && base_offset != NULL) *base_offset = offset;
    if (rc == 0 && acknowledged != NULL) {
        *acknowledged = (rill_delivery){.topic = lane->topic->info.name,
                                        .partition = lane->partition,
                                        .offset = offset,
                                        .timestamp_ms = append_ms};
        *held = lane;
    } else if (used) {
        rill__lane_leave(p, lane);
    }
    return rc;
}

static int append_from(rill_producer *p, int32_t sequence, const rill_record *records,
                       size_t count, int timeout_ms, rill_offset *base_offset)
{
    struct rill_scratch scratch;
    rill_delivery acknowledged = {.topic = NULL};
    int64_t now_ms = rill__now_ms();
    struct lane *held = NULL;
    rill_record *changed;
    int rc = 0;

    if (p->chain == NULL || count == 0)
        return append_as_they_are(p, sequence, records, count, timeout_ms, now_ms, base_offset,
                                  NULL, NULL);
    if (count > SIZE_MAX / sizeof *changed) return RILL_ERR_NO_MEMORY;
    rill__scratch_init(&scratch, &p->store->heap);
    changed = rill__scratch_alloc(&scratch, count * sizeof *changed);
    if (changed == NULL) return RILL_ERR_NO_MEMORY; /* nothing was taken from it either */
    memcpy(changed, records, count * sizeof *changed);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = rill__chain_send(p->chain, &changed[i], &scratch);
    if (rc == 0)
        rc = append_as_they_are(p, sequence, changed, count, timeout_ms, now_ms, base_offset,
                                &acknowledged, &held);
    for (size_t i = 0; i < count; i++) {
        rill_delivery one = acknowledged;
        if (rc != 0) {
            tell_refused(p, &changed[i], NULL, rc);
            continue;
        }
        one.offset += (int64_t)i;
        if (one.timestamp_ms == 0) one.timestamp_ms = changed[i].timestamp_ms;
        if (one.timestamp_ms == 0) one.timestamp_ms = now_ms;
        rill__chain_acknowledge(p->chain, &one);
    }
    if (held != NULL) rill__lane_leave(p, held);
    rill__scratch_deinit(&scratch);
    return rc;
}

int rill__producer_append(rill_producer *p, const rill_record *records, size_t count,
                          int timeout_ms, rill_offset *base_offset)
{
    return append_from(p, -1, records, count, timeout_ms, base_offset);
}

static int check_sequenced(const struct rill_producer *p)
{
    if (p->name != NULL && !p->transactional) return 0;
    return rill__fail(RILL_ERR_STATE, "the producer %s; name one in producer_name",
                      p->transactional ? "has transactions, which number records themselves"
                                       : "is anonymous: nobody remembers its sequences");
}

int rill__producer_append_sequenced(rill_producer *p, int32_t sequence,
                                    const rill_record *records, size_t count, int timeout_ms,
                                    rill_offset *base_offset)
{
    int rc = check_sequenced(p);

    if (rc == 0 && sequence < 0)
        rc = rill__fail(RILL_ERR_INVALID, "sequence %d; it is 0 or more", (int)sequence);
    return rc != 0 ? rc : append_from(p, sequence, records, count, timeout_ms, base_offset);
}

int rill__producer_sequence(rill_producer *p, const char *topic, int32_t partition,
                            int32_t *sequence)
{
    rill_record record = {.topic = topic, .partition = partition};
    struct lane *lane;
    int rc = check_sequenced(p);

    if (rc != 0) return rc;
    rill__mutex_lock(&p->lock);
    rc = rill__producer_state(p);
    if (rc == 0) rc = rill__lane_get(p, &record, 1000, &lane);
    if (rc == 0) rc = rill__log_expected(lane->log, p->id, sequence);
    rill__mutex_unlock(&p->lock);
    return rc;
}

/* ---- Polling and flushing --------------------------------------------- */

int rill__producer_poll(rill_producer *p)
{
    int64_t next_ms = INT64_MAX;
    int rc;

    rill__mutex_lock(&p->lock);
    rc = rill__producer_state(p);
    if (rc == 0) {
        send_lingering(p, &next_ms);
        rill__flights_settle(p, INT64_MAX);
        rill__flights_deliver(p);
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
    rc = rill__producer_state(p);
    if (rc != 0) goto out;
    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next)
        if (rill__lane_send(p, lane, deadline) == RILL_ERR_TIMEOUT) open = true;
    if (rill__flights_settle(p, deadline) == RILL_ERR_TIMEOUT) open = true;
    /* Another thread may be in the middle of reports; wait for the last. */
    while (p->delivering && !rill__flights_delivering_here(p) &&
           rill__monotonic_ns() < deadline) {
        rill__mutex_unlock(&p->lock);
        rill__sleep_ns(100000);
        rill__mutex_lock(&p->lock);
    }
    rill__flights_deliver(p);
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
    rill__flights_init(&p->in_flight);
    rill__flights_init(&p->ready);
    rc = rill__options_take(OPTIONS_PRODUCER, given, &p->options);
    if (rc == 0) rc = rill__producer_codec_init(p);
    if (rc == 0) rc = rill__random(&p->random, sizeof p->random);
    if (rc == 0) rc = rill__producer_chain_new(store, &p->options, &p->chain);
    if (rc != 0) {
        rill__free(&store->heap, p);
        return rc;
    }
    p->sequenced = -1;
    rill__mutex_init(&p->lock);
    p->durable = p->options.acks == RILL_ACKS_DURABLE;
    p->reports = p->options.delivery != NULL || (p->chain != NULL && p->chain->acknowledges);
    p->trimmed_ms = rill__tick_ms();
    if (p->durable && store->file_system.volatile_memory)
        rc = rill__fail(RILL_ERR_UNSUPPORTED,
                        "%s is on %s, which keeps nothing over a reboot: acks durable would be a "
                        "lie. Use acks written or a disk",
                        store->path, store->file_system.name);
    if (rc == 0 && p->options.topic != NULL) {
        p->topic = rill__strdup(&store->heap, p->options.topic);
        rc = p->topic == NULL ? RILL_ERR_NO_MEMORY : rill__target_get(p, p->topic, &target);
    }
    if (rc == 0) rc = rill__identity_open(p);
    if (rc != 0) {
        rill__free(&store->heap, p->name);
        rill__lanes_close(p);
        rill__producer_chain_free(p->chain);
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
        if (rill__mutex_trylock(&p->lock)) {
            if (p->reserved == NULL) send_lingering(p, &next);
            rill__lanes_trim(p);
            rill__mutex_unlock(&p->lock);
        } else { /* in use: it looks itself, but that may be its last call for long */
            next = p->options.linger_ms;
        }
        if (next < *next_ms) *next_ms = (uint32_t)next;
    }
    rill__mutex_unlock(&store->clients_lock);
}

static void free_flights(struct rill_producer *p, struct flight *list)
{
    while (list != NULL) {
        struct flight *next = list->next;
        rill__flight_free(p, list);
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

/* What is being built is reported with status. */
static void drop_open(struct rill_producer *p, int status)
{
    for (struct lane *lane = p->lanes; lane != NULL; lane = lane->next) {
        if (lane->open == NULL) continue;
        lane->open->count = lane->open->batch.record_count;
        rill__flight_finish(p, lane->open, status);
        lane->open = NULL;
    }
}

void rill__producer_drop(struct rill_producer *p)
{
    rill__mutex_lock(&p->lock);
    drop_open(p, RILL_ERR_ABORTED);
    while (p->in_flight.first != NULL) { /* in the log, and about to be aborted there */
        struct flight *flight = rill__flights_take(&p->in_flight);
        p->in_flight_count--;
        flight->lane->busy--;
        rill__flight_finish(p, flight, RILL_ERR_ABORTED);
    }
    p->first_error = 0;
    rill__flights_deliver(p);
    rill__mutex_unlock(&p->lock);
}

/* What could not be sent in time is reported, then gone. */
static void give_up(struct rill_producer *p)
{
    rill__mutex_lock(&p->lock);
    p->closing = true; /* reports may try to send again */
    drop_open(p, RILL_ERR_CLOSED);
    while (p->in_flight.first != NULL)
        rill__flight_finish(p, rill__flights_take(&p->in_flight), RILL_ERR_TIMEOUT);
    rill__flights_deliver(p);
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

    if (p->reserved != NULL) return rill__producer_state(p);
    if (p->txn != NULL) rill__txn_close(p, timeout_ms);
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
    rill__txn_sync_markers(p, deadline);
    rill__lanes_close(p);
    rill__identity_close(p);
    rill__producer_chain_free(p->chain);
    rill__producer_codec_deinit(p);
    rill__free(&store->heap, p->scratch);
    rill__free(&store->heap, p->topic);
    rill__mutex_deinit(&p->lock);
    atomic_fetch_sub(&p->handle->children, 1);
    rill__free(&store->heap, p);
    if (first != 0) rill__message_restore(&why);
    return first;
}
