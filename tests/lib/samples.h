/*
 * samples.h - the store that is damaged, for the tests of rill_check and rill_repair:
 * topic t has 100 records in two segments of partition 0 of 2, topic other has 3, and
 * group g has committed 7.
 */
#ifndef RILL_SAMPLES_H
#define RILL_SAMPLES_H
#include "stores.h"

enum { RECORDS = 100, VALUE = 1000, SEGMENT_HEADER = 128, BATCH = 64 + 16 + VALUE };

/* Segments of 64 KiB hold 60 such batches. */
#define FIRST "00000000000000000000.log"
#define FIRST_INDEX "00000000000000000000.index"
#define SECOND "00000000000000000060.log"
#define SECOND_INDEX "00000000000000000060.index"

extern rill *store; /* "store" of the test's directory; NULL: closed */

#define WITH_SAMPLE(test) cmocka_unit_test_setup_teardown(test, sample_set_up, sample_tear_down)
int sample_set_up(void **state);
int sample_tear_down(void **state);
void sample_close(void);

/* Path of a file of topic t or other; one that was asked for before it was closed. */
const char *path_in(const char *topic, int partition, const char *name);
/* Path of a file of t-0. Closes the store, having learnt where its files are. */
const char *closed(const char *name);

void change(const char *path, long at, const void *bytes, size_t size);
/* The shared words are of an earlier boot. */
void forget_boot(void);

#endif
