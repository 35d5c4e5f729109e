/*
 * Transactions that do not go straight on: late ones, ones that could not be finished at
 * once, in partitions that come and go. What is told is what is there.
 */
#include "txns.h"
#include <stdio.h>
#include <string.h>

static void set_up_topic(rill *store)
{
    test_topic(store, "t", 2);
}

/* ---- What an earlier transaction has left in a partition --------------- */

/* The abort marker cannot be written, since another one holds the partition. The next
 * transaction of the same producer there must not take over what is aborted. */
static void an_abort_without_marker_stays_one(void **state)
{
    rill *store = *state;
    struct holder holder;
    rill_producer *producer;
    rill_txn *txn;

    set_up_topic(store);
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 1);
    holder_start(&holder, store, "t", 0, 2);
    OK(rill_txn_abort(txn, 0));
    holder_stop(&holder);
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 3);
    txn_sees(store, "t", 0, "2 "); /* nothing of the open one */
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 0, "2 3 ");
    OK(rill_producer_close(producer, WAIT_MS));
}

/* An instance that was fenced sends, where the new one has not been yet. */
static void what_a_zombie_sends_is_not_taken_over(void **state)
{
    rill *store = *state;
    rill_producer *zombie;
    rill_producer *fresh;
    rill_txn *late;
    rill_txn *txn;
    rill_record record;
    int64_t number = 1;

    set_up_topic(store);
    zombie = txn_job(store, "job");
    late = txn_begin(zombie);
    fresh = txn_job(store, "job");
    txn = txn_begin(fresh);
    record = record_of(&number);
    if (rill_producer_send(zombie, &record, NULL, 0) == 0) rill_producer_flush(zombie, WAIT_MS);
    txn_send(fresh, NULL, 0, 2);
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 0, "2 ");
    FAILS(RILL_ERR_FENCED, rill_txn_commit(late, WAIT_MS));
    rill_txn_abort(late, WAIT_MS);
    txn_sees(store, "t", 0, "2 ");
    rill_producer_close(zombie, WAIT_MS);
    OK(rill_producer_close(fresh, WAIT_MS));
    txn_sees(store, "t", 0, "2 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(an_abort_without_marker_stays_one),
        WITH_STORE(what_a_zombie_sends_is_not_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
