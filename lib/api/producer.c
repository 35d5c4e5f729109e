/*
 * api/producer.c - the public functions of a producer.
 */
#include "api/api.h"

static int check_producer(const char *function, const rill_producer *producer)
{
    if (producer == NULL) return rill__missing(function, "producer");
    return rill__producer_check(producer);
}

int rill_producer_open(rill *store, const rill_producer_options *options,
                       rill_producer **producer)
{
    int rc;

    if (store == NULL) return rill__missing("rill_producer_open", "store");
    if (producer == NULL) return rill__missing("rill_producer_open", "producer");
    rc = rill__handle_check(store);
    return rc != 0 ? rc : rill__producer_open(store, options, producer);
}

int rill_producer_send(rill_producer *producer, const rill_record *record, void *opaque,
                       int timeout_ms)
{
    int rc = check_producer("rill_producer_send", producer);
    if (rc == 0 && record == NULL) rc = rill__missing("rill_producer_send", "record");
    return rc != 0 ? rc : rill__producer_send(producer, record, opaque, timeout_ms);
}

int rill_producer_append(rill_producer *producer, const rill_record *records, size_t count,
                         int timeout_ms, rill_offset *base_offset)
{
    int rc = check_producer("rill_producer_append", producer);
    if (rc == 0 && records == NULL) rc = rill__missing("rill_producer_append", "records");
    return rc != 0 ? rc
                   : rill__producer_append(producer, records, count, timeout_ms, base_offset);
}

int rill_producer_append_sequenced(rill_producer *producer, int32_t sequence,
                                   const rill_record *records, size_t count, int timeout_ms,
                                   rill_offset *base_offset)
{
    int rc = check_producer("rill_producer_append_sequenced", producer);
    if (rc == 0 && records == NULL)
        rc = rill__missing("rill_producer_append_sequenced", "records");
    return rc != 0 ? rc
                   : rill__producer_append_sequenced(producer, sequence, records, count,
                                                     timeout_ms, base_offset);
}

int rill_producer_sequence(rill_producer *producer, const char *topic, int32_t partition,
                           int32_t *sequence)
{
    int rc = check_producer("rill_producer_sequence", producer);
    if (rc == 0 && sequence == NULL) rc = rill__missing("rill_producer_sequence", "sequence");
    return rc != 0 ? rc : rill__producer_sequence(producer, topic, partition, sequence);
}

int rill_producer_poll(rill_producer *producer)
{
    int rc = check_producer("rill_producer_poll", producer);
    return rc != 0 ? rc : rill__producer_poll(producer);
}

int rill_producer_flush(rill_producer *producer, int timeout_ms)
{
    int rc = check_producer("rill_producer_flush", producer);
    return rc != 0 ? rc : rill__producer_flush(producer, timeout_ms);
}

int rill_producer_close(rill_producer *producer, int timeout_ms)
{
    int rc;

    if (producer == NULL) return 0;
    rc = rill__producer_check(producer);
    return rc != 0 ? rc : rill__producer_close(producer, timeout_ms);
}

int rill_producer_reserve(rill_producer *producer, const rill_record *record, int timeout_ms,
                          rill_reservation *reservation)
{
    int rc = check_producer("rill_producer_reserve", producer);
    if (rc == 0 && record == NULL) rc = rill__missing("rill_producer_reserve", "record");
    if (rc == 0 && reservation == NULL)
        rc = rill__missing("rill_producer_reserve", "reservation");
    return rc != 0 ? rc : rill__producer_reserve(producer, record, timeout_ms, reservation);
}

int rill_producer_commit(rill_producer *producer, rill_offset *offset)
{
    int rc = check_producer("rill_producer_commit", producer);
    return rc != 0 ? rc : rill__producer_commit(producer, offset);
}

int rill_producer_abandon(rill_producer *producer)
{
    int rc = check_producer("rill_producer_abandon", producer);
    return rc != 0 ? rc : rill__producer_abandon(producer);
}
