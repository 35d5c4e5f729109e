/*
 * produce.c - a producer thread.
 *
 * It sends its share of the lines, in their order. The lines of one key are all
 * in one share, and one key goes to one partition: so the order of every key is
 * kept. Lines that an earlier life brought into the log are left out; a line that
 * only waited in the producer's buffer when the process was killed is not in the
 * log, so it is sent now. Hence nothing is lost and nothing is there twice.
 *
 * In the first life it never gets far ahead of the consumers, so that the kill,
 * when they have seen half of the lines, finds it in the middle of its work too.
 */
#include "demo.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct sender {
    struct run *run;
    rill_producer *producer;
    rill_offset last[PARTITIONS]; /* of the latest delivery report */
};

static void delivered(void *arg, const rill_delivery *delivery)
{
    struct sender *me = arg;
    size_t line = (size_t)(uintptr_t)delivery->opaque;

    if (delivery->status != 0) {
        fprintf(stderr, "demo: line %zu was not appended: %s\n", line + 1,
                rill_strerror(delivery->status));
        atomic_store(&me->run->failed, true);
        return;
    }
    if (delivery->offset <= me->last[delivery->partition]) {
        fprintf(stderr, "demo: line %zu was reported at offset %" PRId64 ", after %" PRId64 "\n",
                line + 1, delivery->offset, me->last[delivery->partition]);
        atomic_store(&me->run->failed, true);
    }
    me->last[delivery->partition] = delivery->offset;
    atomic_fetch_add(&me->run->shared->acknowledged, 1);
}

static bool send_line(struct sender *me, size_t number)
{
    const struct line *line = &me->run->input->lines[number];
    rill_record record = RILL_RECORD_INIT;
    rill_header header = {{"line", 4}, {NULL, 0}};
    char digits[24];

    header.value.data = digits;
    header.value.size = (size_t)snprintf(digits, sizeof digits, "%zu", number);
    record.key = (rill_bytes){line->text + line->key_start, line->key_size};
    record.value = (rill_bytes){line->text, line->size};
    record.headers = &header;
    record.header_count = 1;
    if (rill_producer_send(me->producer, &record, (void *)(uintptr_t)number, PATIENCE_S * 1000) !=
        0) {
        run_failed(me->run, "producer", "send");
        return false;
    }
    atomic_fetch_add(&me->run->shared->sent, 1);
    return true;
}

static uint64_t seen_by_all(struct shared *shared)
{
    uint64_t least = atomic_load(&shared->seen[0]);

    for (int g = 1; g < GROUPS; g++) {
        uint64_t seen = atomic_load(&shared->seen[g]);
        if (seen < least) least = seen;
    }
    return least;
}

/* First life only: lets the consumers follow. What lingers goes out meanwhile. */
static void wait_for_consumers(struct sender *me)
{
    struct shared *shared = me->run->shared;
    uint64_t lead_max = me->run->input->line_count / 20 + 50;

    while (atomic_load(&shared->sent) > seen_by_all(shared) + lead_max &&
           !atomic_load(&me->run->failed)) {
        if (rill_producer_poll(me->producer) != 0) run_failed(me->run, "producer", "poll");
        sleep_us(50);
    }
}

static void send_share(struct sender *me, int number)
{
    struct run *run = me->run;
    size_t end = run->input->line_count;

    if (run->life == 0) end = end * 65 / 100; /* if the kill should come late */
    for (size_t i = 0; i < end && !atomic_load(&run->failed); i++) {
        if (run->input->lines[i].producer != number || run->in_log[i]) continue;
        if (run->life == 0) wait_for_consumers(me);
        if (!send_line(me, i)) break;
    }
    if (rill_producer_flush(me->producer, PATIENCE_S * 1000) != 0)
        run_failed(run, "producer", "flush");
    /* The first life does not end by itself. */
    while (run->life == 0 && !atomic_load(&run->failed)) sleep_us(1000);
}

void *producer_main(void *arg)
{
    struct worker *worker = arg;
    struct sender me = {.run = worker->run};
    rill_producer_options options = {.size = sizeof options,
                                     .topic = TOPIC,
                                     .acks = RILL_ACKS_WRITTEN,
                                     .delivery = delivered,
                                     .delivery_arg = &me};

    for (int p = 0; p < PARTITIONS; p++) me.last[p] = -1;
    if (rill_producer_open(me.run->store, &options, &me.producer) != 0) {
        run_failed(me.run, "producer", "open");
        return NULL;
    }
    send_share(&me, worker->number);
    if (rill_producer_close(me.producer, 1000) != 0) run_failed(me.run, "producer", "close");
    return NULL;
}
