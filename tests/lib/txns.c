/*
 * txns.c - see txns.h.
 */
#include "txns.h"
#include <stdio.h>
#include <string.h>

rill_producer *txn_job(rill *store, const char *id)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = "t", .transactional_id = id};
    rill_producer *producer = NULL;

    OK(rill_producer_open(store, &options, &producer));
    return producer;
}

rill_txn *txn_begin(rill_producer *producer)
{
    rill_txn *txn = NULL;

    OK(rill_txn_begin(producer, &txn));
    return txn;
}

void txn_send(rill_producer *producer, const char *topic, int32_t partition, int64_t number)
{
    rill_record record = record_of(&number);

    record.topic = topic;
    record.partition = partition;
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_producer_flush(producer, WAIT_MS));
}

const char *txn_seen(rill *store, const char *topic, int32_t partition, int isolation)
{
    static char text[4000];
    rill_consumer_options options = {
        .size = sizeof options, .isolation = isolation, .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position from = {.topic = topic, .partition = partition};
    rill_consumer *consumer = consumer_open(store, &options);
    rill_record got[64];
    size_t used = 0;
    size_t count;

    text[0] = '\0';
    OK(rill_consumer_assign(consumer, &from, 1));
    do {
        OK(rill_consumer_poll(consumer, 0, got, 64, &count));
        for (size_t i = 0; i < count; i++)
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%d ", (int)number_of(&got[i]));
    } while (count != 0);
    OK(rill_consumer_close(consumer, 0));
    return text;
}

void txn_sees(rill *store, const char *topic, int32_t partition, const char *committed)
{
    assert_string_equal(txn_seen(store, topic, partition, RILL_READ_COMMITTED), committed);
}

rill_bytes txn_text(const char *text)
{
    return (rill_bytes){text, strlen(text)};
}
