/*
 * api/consumer.c - the public functions of a consumer.
 *
 * Each marks the consumer as busy while it runs, so that a second thread gets
 * an error and not a race.
 */
#include "api/api.h"

static int begin(const char *function, rill_consumer *consumer)
{
    int rc;

    if (consumer == NULL) return rill__missing(function, "consumer");
    rc = rill__consumer_check(consumer);
    return rc != 0 ? rc : rill__consumer_enter(consumer);
}

int rill_consumer_open(rill *store, const rill_consumer_options *options,
                       rill_consumer **consumer)
{
    int rc;

    if (store == NULL) return rill__missing("rill_consumer_open", "store");
    if (consumer == NULL) return rill__missing("rill_consumer_open", "consumer");
    rc = rill__handle_check(store);
    return rc != 0 ? rc : rill__consumer_open(store, options, consumer);
}

int rill_consumer_subscribe(rill_consumer *consumer, const char *const *topics,
                            size_t topic_count)
{
    int rc;

    if (topics == NULL) return rill__missing("rill_consumer_subscribe", "topics");
    rc = begin("rill_consumer_subscribe", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_subscribe(consumer, topics, topic_count);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_unsubscribe(rill_consumer *consumer)
{
    int rc;

    rc = begin("rill_consumer_unsubscribe", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_unsubscribe(consumer);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_assign(rill_consumer *consumer, const rill_position *positions,
                         size_t position_count)
{
    int rc;

    if (positions == NULL) return rill__missing("rill_consumer_assign", "positions");
    rc = begin("rill_consumer_assign", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_assign(consumer, positions, position_count);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_incremental_assign(rill_consumer *consumer, const rill_position *positions,
                                     size_t position_count)
{
    int rc;

    if (positions == NULL) return rill__missing("rill_consumer_incremental_assign", "positions");
    rc = begin("rill_consumer_incremental_assign", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_incremental_assign(consumer, positions, position_count);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_incremental_unassign(rill_consumer *consumer, const rill_position *positions,
                                       size_t position_count)
{
    int rc;

    if (positions == NULL)
        return rill__missing("rill_consumer_incremental_unassign", "positions");
    rc = begin("rill_consumer_incremental_unassign", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_incremental_unassign(consumer, positions, position_count);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_assignment(rill_consumer *consumer, rill_position *positions,
                             size_t position_max, size_t *position_count)
{
    int rc;

    if (position_count == NULL)
        return rill__missing("rill_consumer_assignment", "position_count");
    rc = begin("rill_consumer_assignment", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_assignment(consumer, positions, position_max, position_count);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_poll(rill_consumer *consumer, int timeout_ms, rill_record *records,
                       size_t record_max, size_t *record_count)
{
    int rc;

    if (records == NULL) return rill__missing("rill_consumer_poll", "records");
    if (record_count == NULL) return rill__missing("rill_consumer_poll", "record_count");
    rc = begin("rill_consumer_poll", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_poll(consumer, timeout_ms, records, record_max, record_count);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_seek(rill_consumer *consumer, const char *topic, int32_t partition,
                       rill_offset offset)
{
    int rc;

    if (topic == NULL) return rill__missing("rill_consumer_seek", "topic");
    rc = begin("rill_consumer_seek", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_seek(consumer, topic, partition, offset);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_seek_time(rill_consumer *consumer, const char *topic, int32_t partition,
                            int64_t timestamp_ms)
{
    int rc;

    if (topic == NULL) return rill__missing("rill_consumer_seek_time", "topic");
    rc = begin("rill_consumer_seek_time", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_seek_time(consumer, topic, partition, timestamp_ms);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_seek_committed(rill_consumer *consumer)
{
    int rc = begin("rill_consumer_seek_committed", consumer);

    if (rc != 0) return rc;
    rc = rill__consumer_seek_committed(consumer);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_pause(rill_consumer *consumer, const char *topic, int32_t partition)
{
    int rc;

    if (topic == NULL) return rill__missing("rill_consumer_pause", "topic");
    rc = begin("rill_consumer_pause", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_pause(consumer, topic, partition, true);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_resume(rill_consumer *consumer, const char *topic, int32_t partition)
{
    int rc;

    if (topic == NULL) return rill__missing("rill_consumer_resume", "topic");
    rc = begin("rill_consumer_resume", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_pause(consumer, topic, partition, false);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_position(rill_consumer *consumer, const char *topic, int32_t partition,
                           rill_offset *offset)
{
    int rc;

    if (topic == NULL) return rill__missing("rill_consumer_position", "topic");
    if (offset == NULL) return rill__missing("rill_consumer_position", "offset");
    rc = begin("rill_consumer_position", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_position(consumer, topic, partition, offset, NULL);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_lag(rill_consumer *consumer, const char *topic, int32_t partition, int64_t *lag)
{
    int rc;

    if (topic == NULL) return rill__missing("rill_consumer_lag", "topic");
    if (lag == NULL) return rill__missing("rill_consumer_lag", "lag");
    rc = begin("rill_consumer_lag", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_position(consumer, topic, partition, NULL, lag);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_commit(rill_consumer *consumer, const rill_position *positions,
                         size_t position_count)
{
    int rc;

    rc = begin("rill_consumer_commit", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_commit(consumer, positions, position_count);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_commit_async(rill_consumer *consumer, const rill_position *positions,
                               size_t position_count, rill_commit_fn callback, void *arg)
{
    int rc;

    rc = begin("rill_consumer_commit_async", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_commit_async(consumer, positions, position_count, callback, arg);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_committed(rill_consumer *consumer, const char *topic, int32_t partition,
                            rill_position *position, char *metadata, size_t metadata_size)
{
    int rc;

    if (topic == NULL) return rill__missing("rill_consumer_committed", "topic");
    if (position == NULL) return rill__missing("rill_consumer_committed", "position");
    rc = begin("rill_consumer_committed", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_committed(consumer, topic, partition, position, metadata, metadata_size);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_consumer_fd(rill_consumer *consumer, int *fd)
{
    int rc;

    if (fd == NULL) return rill__missing("rill_consumer_fd", "fd");
    rc = begin("rill_consumer_fd", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_fd(consumer, fd);
    rill__consumer_leave(consumer);
    return rc;
}

void rill_consumer_wakeup(rill_consumer *consumer)
{
    if (consumer == NULL || rill__consumer_check(consumer) != 0) return;
    rill__consumer_wakeup(consumer);
}

int rill_consumer_close(rill_consumer *consumer, int timeout_ms)
{
    int rc;

    if (consumer == NULL) return 0;
    rc = begin("rill_consumer_close", consumer);
    if (rc != 0) return rc;
    rc = rill__consumer_alone(consumer, "rill_consumer_close");
    if (rc == 0) return rill__consumer_close(consumer, timeout_ms);
    rill__consumer_leave(consumer);
    return rc;
}

int rill_record_header(const rill_record *record, size_t index, rill_header *header)
{
    if (record == NULL) return rill__missing("rill_record_header", "record");
    if (header == NULL) return rill__missing("rill_record_header", "header");
    return rill__record_header_at(record, index, header);
}
