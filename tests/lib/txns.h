/*
 * txns.h - what the tests of transactions share: producers with a name, records that are
 * numbers, and what readers see of them.
 */
#ifndef RILL_TEST_TXNS_H
#define RILL_TEST_TXNS_H
#include "records.h"

/* A producer for topic "t" with that transactional_id. */
rill_producer *txn_job(rill *store, const char *id);
rill_txn *txn_begin(rill_producer *producer);
/* Handed over, and in the log. topic NULL: the producer's own. */
void txn_send(rill_producer *producer, const char *topic, int32_t partition, int64_t number);
/* The numbers that a reader sees in the partition, each with a space behind it; in a buffer
 * that lives until the next call. */
const char *txn_seen(rill *store, const char *topic, int32_t partition, int isolation);
void txn_sees(rill *store, const char *topic, int32_t partition, const char *committed);
rill_bytes txn_text(const char *text);

#endif
