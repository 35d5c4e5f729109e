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
