/*
 * reports.h - what producers report, in tests of the public API.
 */
#ifndef RILL_TEST_REPORTS_H
#define RILL_TEST_REPORTS_H
#include "records.h"

#define HOUR_MS 3600000u
#define REPORTS 4000

/* What a delivery callback was told. */
struct reports {
    int count;
    struct {
        int64_t number; /* the opaque */
        char topic[8];
        int32_t partition;
        int status;
        rill_offset offset;
    } list[REPORTS];
    rill_producer *again; /* each report sends so many more, [next, end) in all */
    int again_burst;
    int64_t again_next;
    int64_t again_end;
};

extern struct reports reports; /* of the test that runs */

/* As store_set_up, with no reports. */
int reports_set_up(void **state);
#define WITH_REPORTS(test) cmocka_unit_test_setup_teardown(test, reports_set_up, store_tear_down)

/* The delivery callback; arg: struct reports. */
void report(void *arg, const rill_delivery *delivery);
/* Batches go out only when they are full or flushed; everything is reported. */
rill_producer_options slow_options(void);
/* The number is its opaque, too. */
int send_to(rill_producer *producer, int32_t partition, int64_t number, int timeout_ms);

#endif
