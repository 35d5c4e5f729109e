/*
 * stores.h - what tests of the public API do again and again.
 */
#ifndef RILL_STORES_H
#define RILL_STORES_H
#include "testing.h"
#include <rill.h>

/* Opens the store "store" of the test's directory, which is made if need be. */
rill *test_store_open(void);
/* A topic of small segments. */
void test_topic(rill *store, const char *topic, uint32_t partition_count);
/* Appends count records to partition 0, each alone in its batch, with the
 * values "0", "1", ... padded with dots to value_size. */
void test_store_append(rill *store, const char *topic, int first, int count, size_t value_size);
/* A consumer of one partition, from offset. */
rill_consumer *test_consumer(rill *store, const char *topic, int32_t partition,
                             rill_offset offset);
/* Path of the first file under the test's directory whose name ends so; the
 * test fails if there is none. In a buffer of its own. */
const char *test_find_file(const char *ending);
/* Changes one byte of a file. */
void test_flip_bit(const char *path, long at);

#endif
