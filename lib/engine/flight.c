/*
 * engine/flight.c - what becomes of a batch: built, sent, settled, reported.
 *
 * Flights and their buffers are used again, so that after a while a send
 * allocates nothing. Reports are called without the producer's lock, by one
 * thread at a time (delivering), which keeps them in order.
 */
#include "base/probe.h"
#include "engine/producer.h"
#include <inttypes.h>

/* ---- Queues ----------------------------------------------------------- */

void rill__flights_init(struct flight_queue *queue)
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

struct flight *rill__flights_take(struct flight_queue *queue)
{
    struct flight *flight = queue->first;

    if (flight == NULL) return NULL;
    queue->first = flight->next;
    if (queue->first == NULL) queue->last = &queue->first;
    return flight;
}

/* ---- Buffers ---------------------------------------------------------- */

void rill__flight_free(struct rill_producer *p, struct flight *flight)
{
    p->buffered -= flight->batch.capacity;
    rill__free(&p->store->heap, flight->batch.data);
    rill__free(&p->store->heap, flight->reports);
    rill__free(&p->store->heap, flight);
}

/* Done with: its buffer serves the next one. */
static void flight_retire(struct rill_producer *p, struct flight *flight)
{
    rill__batch_reset(&flight->batch);
    flight->append_ms = 0;
    flight->next = p->spare;
    p->spare = flight;
}

int rill__flight_get(struct rill_producer *p, size_t size, struct flight **out)
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
        rill__flight_free(p, flight);
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

/* ---- Sending ---------------------------------------------------------- */

static void note_error(struct rill_producer *p, int rc)
{
    if (p->first_error != 0) return;
    p->first_error = rc;
    rill__message_save(&p->first_message);
}

void rill__flight_finish(struct rill_producer *p, struct flight *flight, int status)
{
    flight->status = status;
    if (!p->reports) {
        flight_retire(p, flight);
    } else {
        flight->lane->busy++;
        queue_put(&p->ready, flight);
    }
}

void rill__count_append(const struct lane *lane, int64_t base_offset, const struct batch *batch,
                        const struct batch *sealed)
{
    const struct store *store = lane->topic->store;

    RILL_PROBE5(append, lane->topic->info.name, lane->partition, base_offset,
                sealed->record_count, sealed->size);
    rill__count(&store->counters->records_appended, sealed->record_count);
    rill__count(&store->counters->bytes_appended, sealed->size);
    rill__count(&store->counters->bytes_uncompressed, batch->size);
    rill__count(&store->counters->batches_appended, 1);
}

int rill__lane_send(struct rill_producer *p, struct lane *lane, int64_t deadline)
{
    struct flight *flight = lane->open;
    struct batch *sealed;
    bool duplicate;
    int rc;

    if (flight == NULL) return 0;
    if (flight->batch.record_count == 0) return 0;
    rc = rill__producer_seal(p, lane, &flight->batch, &sealed);
    if (rc == 0) rc = rill__identity_append(p, lane, sealed, deadline, &flight->base_offset);
    if (rc == RILL_ERR_TIMEOUT) return rc;
    duplicate = rc == LOG_DUPLICATE;
    if (duplicate) rc = 0;
    rill__producer_sent(p);
    lane->open = NULL;
    flight->count = flight->batch.record_count;
    if (rc != 0) {
        rill__identity_failed(p);
        note_error(p, rc);
        rill__flight_finish(p, flight, rc);
        return rc;
    }
    flight->append_ms = sealed->append_ms;
    rill__identity_sent(p, lane, sealed, flight->base_offset, duplicate);
    rill__count_append(lane, flight->base_offset, &flight->batch, sealed);
    rill__sticky_move(p, lane);
    if (p->durable) {
        lane->busy++;
        queue_put(&p->in_flight, flight);
        p->in_flight_count++;
    } else {
        rill__flight_finish(p, flight, 0);
    }
    return 0;
}

int rill__wait_durable(struct log *log, int64_t end, int64_t deadline)
{
    int rc = rill__log_sync(log, end, deadline);

    if (rc == 0 || rc == RILL_ERR_TIMEOUT || rc == RILL_ERR_IO || rc == RILL_ERR_POISONED)
        return rc;
    return rill__fail_prefix(RILL_ERR_IO, "appended, but not known to be durable");
}

int rill__flights_settle(struct rill_producer *p, int64_t deadline)
{
    struct flight *flight;
    int rc = 0;

    while ((flight = p->in_flight.first) != NULL) {
        int64_t end = flight->base_offset + flight->count;

        rc = rill__wait_durable(flight->lane->log, end, deadline);
        if (rc == RILL_ERR_TIMEOUT) return rc;
        rill__flights_take(&p->in_flight);
        p->in_flight_count--;
        flight->lane->busy--;
        if (rc != 0) note_error(p, rc);
        if (rc != 0) rill__identity_failed(p);
        rill__flight_finish(p, flight, rc);
    }
    return rc;
}

/* ---- Reports ---------------------------------------------------------- */

void rill__flights_deliver(struct rill_producer *p)
{
    struct flight *flight;

    if (!p->reports || p->delivering) return;
    p->delivering = true;
    p->deliverer = rill__this_thread();
    while ((flight = rill__flights_take(&p->ready)) != NULL) {
        rill_delivery report = {.topic = flight->lane->topic->info.name,
                                .partition = flight->lane->partition,
                                .status = flight->status};
        rill__mutex_unlock(&p->lock);
        for (uint32_t i = 0; i < flight->count; i++) {
            report.offset = flight->status == 0 ? flight->base_offset + i : RILL_OFFSET_NONE;
            report.opaque = flight->reports[i].opaque;
            report.timestamp_ms =
                flight->append_ms != 0 ? flight->append_ms : flight->reports[i].timestamp_ms;
            if (p->chain != NULL) rill__chain_acknowledge(p->chain, &report);
            if (p->options.delivery != NULL)
                p->options.delivery(p->options.delivery_arg, &report);
        }
        rill__mutex_lock(&p->lock);
        flight->lane->busy--;
        flight_retire(p, flight);
    }
    p->delivering = false;
    p->deliverer = NULL;
}

bool rill__flights_delivering_here(const struct rill_producer *p)
{
    return p->deliverer == rill__this_thread();
}
