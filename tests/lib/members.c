/*
 * members.c - see members.h.
 */
#include "members.h"
#include "records.h"

const char *const topic_t[1] = {"t"};

rill_consumer_options member_options(const char *group)
{
    return (rill_consumer_options){.size = sizeof(rill_consumer_options),
                                   .group = group,
                                   .auto_offset_reset = RILL_RESET_EARLIEST};
}

rill_consumer *member_open(rill *store, const rill_consumer_options *options)
{
    rill_consumer *consumer = consumer_open(store, options);

    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    return consumer;
}

size_t parts_of(rill_consumer *consumer)
{
    size_t count;

    OK(rill_consumer_assignment(consumer, NULL, 0, &count));
    return count;
}

int poll_once(rill_consumer *consumer)
{
    rill_record record;
    size_t count;

    return rill_consumer_poll(consumer, 0, &record, 1, &count);
}

void poll_ok(rill_consumer *consumer)
{
    int rc = poll_once(consumer);

    if (rc != RILL_ERR_REBALANCE) OK(rc);
}

void settle(rill_consumer *a, size_t a_wanted, rill_consumer *b, size_t b_wanted)
{
    struct patience patience = {0};

    for (;;) {
        poll_ok(a);
        if (b != NULL) poll_ok(b);
        if (parts_of(a) == a_wanted && (b == NULL || parts_of(b) == b_wanted)) return;
        wait_a_little(&patience);
    }
}

rill_offset committed_of(rill_consumer *consumer, int32_t partition)
{
    rill_position position;

    OK(rill_consumer_committed(consumer, "t", partition, &position, NULL, 0));
    assert_string_equal(position.topic, "t");
    assert_int_equal(position.partition, partition);
    return position.offset;
}
