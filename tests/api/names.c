/*
 * Names of producers that nobody has any more: what their owners have committed is
 * finished by maintenance, and then a transactional_id is forgotten in time.
 */
#include "engine/store.h"
#include "txns.h"
#include <signal.h>
#include <sys/wait.h>

static struct meta_name record_of_name(rill *store, const char *name)
{
    struct meta_name found;

    OK(rill__meta_name_get(store->store->meta, name, &found));
    rill__free(&store->store->heap, found.decided);
    found.decided = NULL;
    return found;
}

static bool is_known(rill *store, const char *name)
{
    struct meta_name found;
    int rc = rill__meta_name_get(store->store->meta, name, &found);

    if (rc == RILL_ERR_NOT_FOUND) return false;
    OK(rc);
    rill__free(&store->store->heap, found.decided);
    return true;
}

/* In the log at the decision, but for the marker of partition 1, which another thread holds. */
static void commit_without_a_marker(rill *store, rill_producer *producer, struct holder *holder)
{
    rill_txn *txn = txn_begin(producer);
    int timeout_ms = 100;
    int rc;

    txn_send(producer, NULL, 0, 1);
    txn_send(producer, NULL, 1, 2);
    holder_start(holder, store, "t", 1, 3);
    while ((rc = rill_txn_commit(txn, timeout_ms)) == RILL_ERR_TIMEOUT) timeout_ms *= 2;
    OK(rc);
    assert_int_equal(record_of_name(store, "job").decided_epoch, 0);
}

static void die_after_a_commit(void)
{
    rill *store = test_store_open();
    struct holder holder;

    commit_without_a_marker(store, txn_job(store, "job"), &holder);
    kill(getpid(), SIGKILL);
}

/* Nobody opens the name again. */
static void what_the_dead_decided_is_finished(void **state)
{
    int status;
    pid_t pid;

    test_topic(*state, "t", 2);
    OK(rill_close(*state));
    pid = fork();
    if (pid == 0) die_after_a_commit();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    *state = test_store_open();
    assert_int_equal(record_of_name(*state, "job").decided_epoch, 0);
    OK(rill_maintain(*state, NULL));
    assert_int_equal(record_of_name(*state, "job").decided_epoch, -1);
    txn_sees(*state, "t", 0, "1 ");
    txn_sees(*state, "t", 1, "2 ");
    OK(rill_maintain(*state, NULL)); /* nothing is left */
}

static void what_a_closed_one_decided_is_finished(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    struct holder holder;

    test_topic(store, "t", 2);
    producer = txn_job(store, "job");
    commit_without_a_marker(store, producer, &holder);
    holder_stop(&holder);
    OK(rill_maintain(store, NULL)); /* its owner is there, and would do it */
    assert_int_equal(record_of_name(store, "job").decided_epoch, 0);
    OK(rill_producer_close(producer, 0));
    assert_int_equal(record_of_name(store, "job").decided_epoch, 0);
    OK(rill_maintain(store, NULL));
    assert_int_equal(record_of_name(store, "job").decided_epoch, -1);
    txn_sees(store, "t", 1, "2 3 ");
}

/* A topic that is gone needs no marker. */
static void what_was_deleted_is_settled(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    struct holder holder;

    test_topic(store, "t", 2);
    producer = txn_job(store, "job");
    commit_without_a_marker(store, producer, &holder);
    OK(rill_producer_close(producer, 0));
    holder_stop(&holder);
    OK(rill_topic_delete(store, "t"));
    OK(rill_maintain(store, NULL));
    assert_int_equal(record_of_name(store, "job").decided_epoch, -1);
}

static void die_with_a_space(void)
{
    rill *store = test_store_open();
    rill_producer *producer = txn_job(store, "job");
    rill_space *space;
    rill_txn *txn = txn_begin(producer);

    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("v")));
    OK(rill_txn_commit(txn, WAIT_MS));
    kill(getpid(), SIGKILL);
}

/* What the dead have written others may write, and delete. */
static void a_space_of_the_dead_can_be_deleted(void **state)
{
    rill_producer *producer;
    rill_space *space;
    rill_txn *txn;
    int status;
    pid_t pid;

    test_topic(*state, "t", 1);
    OK(rill_close(*state));
    pid = fork();
    if (pid == 0) die_with_a_space();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *state = test_store_open();
    OK(rill_space_delete(*state, "s"));
    FAILS(RILL_ERR_NOT_FOUND, rill_space_delete(*state, "s"));
    producer = txn_job(*state, "job");
    OK(rill_space_open(*state, "s", RILL_SPACE_CREATE, &space));
    txn = txn_begin(producer);
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("v")));
    FAILS(RILL_ERR_STATE, rill_space_delete(*state, "s"));
    OK(rill_txn_commit(txn, WAIT_MS));
    FAILS(RILL_ERR_STATE, rill_space_delete(*state, "s"));
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_space_delete(*state, "s"));
    rill_space_close(space);
}

/* ---- Expiry ----------------------------------------------------------- */

static void reopen_with_expiration(void **state, uint64_t expiration_ms)
{
    rill_options options = {.size = sizeof options, .producer_id_expiration_ms = expiration_ms};

    OK(rill_close(*state));
    OK(rill_open(test_path("store"), &options, (rill **)state));
}

static void what_nobody_uses_is_forgotten(void **state)
{
    struct patience patience = {0};
    rill_producer_options named = {.size = sizeof named, .topic = "t", .producer_name = "import"};
    rill_producer *used;
    rill_producer *producer;
    rill_record record;
    int64_t number = 1;
    int32_t sequence;
    rill_txn *txn;
    int64_t id;

    reopen_with_expiration(state, 1);
    test_topic(*state, "t", 2);
    record = record_of(&number);
    used = txn_job(*state, "used");
    OK(rill_producer_open(*state, &named, &producer));
    OK(rill_producer_append_sequenced(producer, 7, &record, 1, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
    producer = txn_job(*state, "job");
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 2);
    OK(rill_txn_commit(txn, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    id = record_of_name(*state, "job").producer_id;
    while (is_known(*state, "job")) {
        OK(rill_maintain(*state, NULL));
        wait_a_little(&patience);
    }
    txn = txn_begin(used); /* as old, but somebody has it */
    txn_send(used, NULL, 0, 3);
    OK(rill_txn_commit(txn, WAIT_MS));
    OK(rill_producer_close(used, WAIT_MS));
    OK(rill_producer_open(*state, &named, &producer));
    OK(rill_producer_sequence(producer, "t", 0, &sequence)); /* remembered for ever */
    assert_int_equal(sequence, 8);
    OK(rill_producer_close(producer, WAIT_MS));
    producer = txn_job(*state, "job"); /* as a new one */
    assert_int_not_equal(record_of_name(*state, "job").producer_id, id);
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 4);
    OK(rill_txn_commit(txn, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    txn_sees(*state, "t", 0, "1 2 3 4 ");
}

static void what_was_used_lately_stays(void **state)
{
    rill_producer *producer;

    reopen_with_expiration(state, INT64_MAX);
    test_topic(*state, "t", 1);
    producer = txn_job(*state, "job");
    OK(rill_producer_close(producer, WAIT_MS));
    usleep(5000);
    OK(rill_maintain(*state, NULL));
    assert_true(is_known(*state, "job"));
}

static void die_in_a_transaction(void)
{
    rill *store = test_store_open();
    rill_producer *producer = txn_job(store, "job");

    txn_begin(producer);
    txn_send(producer, NULL, 0, 1);
    kill(getpid(), SIGKILL);
}

/* What it has left open in a log is of nobody then, and aborted. */
static void what_a_forgotten_one_left_open_is_aborted(void **state)
{
    struct patience patience = {0};
    rill_consumer_options options = {.size = sizeof options,
                                     .isolation = RILL_READ_COMMITTED,
                                     .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position from = {.topic = "t", .partition = 0};
    rill_consumer *consumer;
    int status;
    pid_t pid;

    test_topic(*state, "t", 1);
    OK(rill_close(*state));
    pid = fork();
    if (pid == 0) die_in_a_transaction();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *state = test_store_open();
    reopen_with_expiration(state, 1);
    while (is_known(*state, "job")) { /* the log is not open here */
        OK(rill_maintain(*state, NULL));
        wait_a_little(&patience);
    }
    put(*state, "t", 0, 2, 1);
    consumer = consumer_open(*state, &options);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes(consumer, 2, 1);
    OK(rill_consumer_close(consumer, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(what_the_dead_decided_is_finished),
        WITH_STORE(what_a_closed_one_decided_is_finished),
        WITH_STORE(what_was_deleted_is_settled),
        WITH_STORE(a_space_of_the_dead_can_be_deleted),
        WITH_STORE(what_nobody_uses_is_forgotten),
        WITH_STORE(what_was_used_lately_stays),
        WITH_STORE(what_a_forgotten_one_left_open_is_aborted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
