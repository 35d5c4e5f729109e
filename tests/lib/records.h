/*
 * records.h - what the tests of the public API share: a store in the test's
 * own directory, and records that are told apart by a number.
 */
#ifndef RILL_TEST_RECORDS_H
#define RILL_TEST_RECORDS_H
#include "stores.h"
#include <pthread.h>
#include <stdbool.h>

/* The longest that anything is waited for. Only a test that fails waits so
 * long: no test passes or fails by how fast something is. */
#define WAIT_MS 60000

/* Set-up and tear-down: *state is an open store, which the test may close if
 * it sets *state to NULL or to the one it opened instead. */
int store_set_up(void **state);
int store_tear_down(void **state);
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, store_set_up, store_tear_down)

/* A record of partition 0 whose value is *number. */
rill_record record_of(const int64_t *number);
/* The number in its value, read in place. */
int64_t number_of(const rill_record *record);

/* Appends the numbers [first, first + count), a batch each. */
void put(rill *store, const char *topic, int32_t partition, int64_t first, int count);

/* Offset of the next record. */
rill_offset log_end_of(rill *store, const char *topic, int32_t partition);

/* Another thread with a producer of its own that has reserved room in the
 * partition, for the number, and so holds it until it is let go. */
struct holder {
    pthread_t thread;
    pthread_barrier_t barrier;
    rill *store;
    const char *topic;
    int32_t partition;
    int64_t number;
};
void holder_start(struct holder *holder, rill *store, const char *topic, int32_t partition,
                  int64_t number);
/* Commits. */
void holder_stop(struct holder *holder);

rill_producer *producer_open(rill *store, const rill_producer_options *options);
rill_consumer *consumer_open(rill *store, const rill_consumer_options *options);
/* Polls until there are records; how many. */
size_t take(rill_consumer *consumer, rill_record *records, size_t record_max);
/* The next records are these numbers, in this order. */
void takes(rill_consumer *consumer, int64_t first, int count);
/* There is nothing to read now. */
void takes_nothing(rill_consumer *consumer);

/* Partition 0 of topic "t" has these numbers, from its start, and no more. */
void log_is(rill *store, int64_t first, int count);

/* A loop that must end: while (!done) wait_a_little(&patience). */
struct patience {
    int64_t began_ms;
};
void wait_a_little(struct patience *patience);
int64_t clock_ms(void);

pthread_t thread_start(void *(*run)(void *arg), void *arg);
void *thread_join(pthread_t thread);
/* How many this process has, and always as many more. */
int threads_there(void);
/* cmocka's asserts are for the first thread only; this one ends the program. */
void thread_ok(int rc, const char *what);

#endif
