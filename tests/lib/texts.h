/*
 * texts.h - records that can be compressed, and what they are written to.
 */
#ifndef RILL_TEST_TEXTS_H
#define RILL_TEST_TEXTS_H
#include "records.h"

/* Runs the rest of the test for each codec that is there. */
#define FOR_EACH_CODEC(code)                                                                     \
    for (uint32_t code = RILL_COMPRESSION_LZ4; code <= RILL_COMPRESSION_ZSTD; code++)            \
        if (rill_compression_available(code))
/* The first one that is there, 0: none is. */
uint32_t any_codec(void);

/* Text that says which one it is, of so many bytes, at most 4 MiB; until the next one. */
rill_bytes text_of(int64_t number, size_t size);
void check_text(const rill_record *record, int64_t number);

/* Segments of 1 MiB, batches of at most half of it. */
void topic_create(rill *store, const char *topic, uint32_t partitions, uint32_t code);
/* Batches go out only when they are full or flushed. */
rill_producer *producer_to(rill *store, const char *topic, uint32_t code);
/* One batch of texts with the numbers of their offsets. */
void append_texts(rill_producer *producer, int32_t partition, int64_t first, int count,
                  size_t size);
/* Texts [first, end), as many a poll as max. */
void read_texts(rill_consumer *consumer, int64_t first, int64_t end, size_t max);

/* Closes the test's store and opens it with so much memory. */
rill *small_store(void **state, uint64_t bytes);
rill_stats stats_of(rill *store);

#endif
