/*
 * engine/reserve.c - one record written in place, in the log itself.
 *
 * Between reserve and commit the partition's append lock is held, by the
 * calling thread; the producer's own lock is not.
 */
#include "engine/producer.h"

int rill__producer_reserve(rill_producer *p, const rill_record *record, int timeout_ms,
                           rill_reservation *reservation)
{
    int64_t deadline = rill__deadline_unless_0(timeout_ms);
    rill_record shape = *record;
    struct lane *lane;
    uint8_t *room;
    uint8_t *value;
    size_t size;
    int rc;

    if (p->name != NULL)
        return rill__fail(RILL_ERR_STATE,
                          "the producer %s numbers its batches, which one in place cannot have; "
                          "use rill_producer_append",
                          p->name);
    shape.value.data = ""; /* only its size counts */
    rill__mutex_lock(&p->lock);
    rc = rill__producer_state(p);
    if (rc == 0) rc = rill__lane_get(p, &shape, timeout_ms, &lane);
    if (rc == 0)
        rc = rill__record_check(lane->topic, &shape, rill__topic_max_bytes(lane->topic), &size);
    if (rc == 0) rc = rill__lane_send(p, lane, deadline);
    rill__clock_watch(p->store);
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
    p->reserved_ms = p->reserved_batch.base_time;
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
    int rc;

    rill__mutex_lock(&p->lock);
    lane = p->reserved;
    if (lane == NULL) {
        rc = rill__fail(RILL_ERR_STATE,
                        "no reservation is open; call rill_producer_reserve first");
    } else {
        p->reserved = NULL;
        p->reserved_batch.attributes = rill__log_attributes(lane->log);
        rill__batch_seal(&p->reserved_batch);
        rc = rill__log_commit(lane->log, &p->reserved_batch, &base);
        if (p->reserved_batch.append_ms != 0) p->reserved_ms = p->reserved_batch.append_ms;
        rill__count_append(lane, base, &p->reserved_batch, &p->reserved_batch);
        rill__sticky_move(p, lane);
        lane->busy++; /* from here on without the lock */
    }
    rill__mutex_unlock(&p->lock);
    if (lane == NULL) return rc;
    if (rc == 0 && p->durable) rc = rill__wait_durable(lane->log, base + 1, INT64_MAX);
    if (rc == 0 && offset != NULL) *offset = base;
    if (p->chain != NULL) {
        rill_delivery delivery = {.topic = lane->topic->info.name,
                                  .partition = lane->partition,
                                  .status = rc,
                                  .offset = rc == 0 ? base : RILL_OFFSET_NONE,
                                  .timestamp_ms = p->reserved_ms};
        struct saved_message why;
        rill__message_save(&why);
        rill__chain_acknowledge(p->chain, &delivery);
        if (rc != 0) rill__message_restore(&why);
    }
    rill__lane_leave(p, lane);
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
