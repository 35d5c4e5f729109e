/*
 * reports.c - see reports.h.
 */
#include "reports.h"

struct reports reports;

int reports_set_up(void **state)
{
    memset(&reports, 0, sizeof reports);
    return store_set_up(state);
}

int send_to(rill_producer *producer, int32_t partition, int64_t number, int timeout_ms)
{
    rill_record record = record_of(&number);

    record.partition = partition;
    return rill_producer_send(producer, &record, (void *)(intptr_t)number, timeout_ms);
}

void report(void *arg, const rill_delivery *delivery)
{
    struct reports *all = arg;
    int at = all->count++;

    if (at >= REPORTS) thread_ok(-1, "too many reports");
    all->list[at].number = (intptr_t)delivery->opaque;
    snprintf(all->list[at].topic, sizeof all->list[at].topic, "%s", delivery->topic);
    all->list[at].partition = delivery->partition;
    all->list[at].status = delivery->status;
    all->list[at].offset = delivery->offset;
    for (int i = 0; i < all->again_burst && all->again_next < all->again_end; i++)
        thread_ok(send_to(all->again, 0, all->again_next++, WAIT_MS), "send again");
}

rill_producer_options slow_options(void)
{
    return (rill_producer_options){.size = sizeof(rill_producer_options),
                                   .topic = "t",
                                   .linger_ms = HOUR_MS,
                                   .delivery = report,
                                   .delivery_arg = &reports};
}
