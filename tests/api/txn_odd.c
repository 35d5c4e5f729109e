/*
 * Transactions that do not go straight on: late ones, ones that could not be finished at
 * once, in partitions that come and go. What is told is what is there.
 */
#include "elsewhere.h"
#include "engine/consumer.h"
#include "engine/store.h"
#include "meta/inner.h"
#include "txns.h"
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* ---- Commits of the catalogue that fail -------------------------------- */

static enum { COMMITS, FAILS_BEFORE, FAILS_AFTER } next_commit;

int mdb_txn_commit(MDB_txn *txn)
{
    void *at = dlsym(RTLD_NEXT, "mdb_txn_commit");
    int (*real)(MDB_txn * txn);
    int next = next_commit;
    int code = 0;

    assert_non_null(at);
    memcpy(&real, &at, sizeof at);
    next_commit = COMMITS;
    if (next == FAILS_BEFORE) mdb_txn_abort(txn);
    else code = real(txn);
    return next == COMMITS ? code : EIO;
}

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

enum { MANY = 100 };

/* However many are open in a partition, each is found. */
static void each_of_many_is_ended(void **state)
{
    rill *store = *state;
    rill_producer *producers[MANY];
    rill_txn *txns[MANY];
    struct holder holder;
    char expected[8];
    char id[12];

    set_up_topic(store);
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "job-%d", i);
        producers[i] = txn_job(store, id);
        txns[i] = txn_begin(producers[i]);
        txn_send(producers[i], NULL, 0, 1);
    }
    holder_start(&holder, store, "t", 0, 2);
    for (int i = 0; i < MANY; i++) OK(rill_txn_abort(txns[i], 0));
    holder_stop(&holder);
    for (int i = 0; i < MANY; i++) {
        txns[i] = txn_begin(producers[i]);
        txn_send(producers[i], NULL, 0, 3);
    }
    for (int i = 0; i < MANY; i++) {
        OK(rill_txn_commit(txns[i], WAIT_MS));
        OK(rill_producer_close(producers[i], WAIT_MS));
    }
    snprintf(expected, sizeof expected, "2 3 3 ");
    assert_memory_equal(txn_seen(store, "t", 0, RILL_READ_COMMITTED), expected, 6);
    assert_int_equal(strlen(txn_seen(store, "t", 0, RILL_READ_COMMITTED)), 2 + 2 * MANY);
}

/* Whoever would end what is left open waits a little only, and comes again. */
static void who_has_a_partition_keeps_nobody_waiting(void **state)
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
    OK(rill_txn_abort(txn, 0)); /* without its marker */
    OK(rill_maintain(store, NULL));
    txn_sees(store, "t", 0, "");
    holder_stop(&holder);
    OK(rill_maintain(store, NULL));
    txn_sees(store, "t", 0, "2 ");
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

/* ---- What was decided and not told -------------------------------------- */

/* As a commit does, of which nobody hears. */
static void decide_unheard(rill *store, const struct meta_put *put, const char *space,
                           const struct meta_decided *place)
{
    struct meta *meta = store->store->meta;
    struct meta_name name;
    struct meta_decision d = {.name = "job",
                              .puts = put,
                              .put_count = put != NULL ? 1 : 0,
                              .spaces = &space,
                              .space_count = put != NULL ? 1 : 0,
                              .partitions = place,
                              .partition_count = place != NULL ? 1 : 0};

    OK(rill__meta_name_get(meta, "job", &name));
    rill__free(&store->store->heap, name.decided);
    d.producer_id = name.producer_id;
    d.epoch = name.epoch;
    d.settled_epoch = name.decided_epoch;
    OK(rill__meta_decide(meta, &d, WAIT_MS));
}

static struct meta_decided place_in(rill *store, const char *name)
{
    struct meta_decided place = {.partition = 0};
    struct meta_topic topic;

    OK(rill__meta_topic_get(store->store->meta, name, &topic));
    memcpy(place.topic_id, topic.id, 16);
    return place;
}

/* Nobody knows what came of it. */
static void commit_unsure(rill_txn *txn, bool happens)
{
    next_commit = happens ? FAILS_AFTER : FAILS_BEFORE;
    FAILS(RILL_ERR_IO, rill_txn_commit(txn, WAIT_MS));
    assert_int_equal(next_commit, COMMITS);
    FAILS(RILL_ERR_STATE, rill_txn_commit(txn, WAIT_MS));
    assert_non_null(strstr(rill_errmsg(), "rill_txn_abort"));
}

static rill_txn *with_record(rill_producer *producer, int64_t number)
{
    rill_txn *txn = txn_begin(producer);

    txn_send(producer, NULL, 0, number);
    return txn;
}

static void abort_finds_out(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_producer *fresh;
    rill_txn *txn;

    set_up_topic(store);
    producer = txn_job(store, "job");
    txn = with_record(producer, 1);
    commit_unsure(txn, false);
    OK(rill_txn_abort(txn, WAIT_MS));
    txn_sees(store, "t", 0, "");
    txn = with_record(producer, 2);
    commit_unsure(txn, true);
    FAILS(RILL_ERR_EXISTS, rill_txn_abort(txn, WAIT_MS));
    txn_sees(store, "t", 0, "2 ");
    txn = with_record(producer, 3);
    commit_unsure(txn, true);
    txn_sees(store, "t", 0, "2 3 "); /* others know already */
    OK(rill_producer_close(producer, WAIT_MS));
    producer = txn_job(store, "job");
    txn = with_record(producer, 4);
    commit_unsure(txn, true);
    fresh = txn_job(store, "job"); /* settles it, and nobody knows any more */
    FAILS(RILL_ERR_FENCED, rill_txn_abort(txn, WAIT_MS));
    FAILS(RILL_ERR_FENCED, rill_txn_abort(txn, WAIT_MS));
    rill_producer_close(producer, WAIT_MS);
    txn_sees(store, "t", 0, "2 3 4 ");
    txn = with_record(fresh, 5);
    commit_unsure(txn, false);
    OK(rill_producer_close(fresh, WAIT_MS)); /* aborts */
    txn_sees(store, "t", 0, "2 3 4 ");
}

static void abort_finds_out_that_it_was_committed(void **state)
{
    rill *store = *state;
    struct meta_decided place;
    rill_producer *producer;
    rill_txn *txn;

    set_up_topic(store);
    place = place_in(store, "t");
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 1);
    decide_unheard(store, NULL, NULL, &place);
    FAILS(RILL_ERR_ABORTED, rill_txn_commit(txn, WAIT_MS));
    FAILS(RILL_ERR_EXISTS, rill_txn_abort(txn, WAIT_MS));
    txn_sees(store, "t", 0, "1 ");
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 2);
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 0, "1 2 ");
    OK(rill_producer_close(producer, WAIT_MS));
}

static const char *text_at(rill_space *space, const char *key)
{
    static char text[100];
    size_t size;
    int rc = rill_space_get(space, txn_text(key), text, sizeof text - 1, &size);

    if (rc == RILL_ERR_NOT_FOUND) return "nothing";
    OK(rc);
    text[size] = '\0';
    return text;
}

/* The same of one that has no records, so that no log knows of it. */
static void abort_finds_out_about_state(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_space *space;
    rill_txn *txn;

    set_up_topic(store);
    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    producer = txn_job(store, "job");
    for (int happens = 0; happens < 2; happens++) {
        txn = txn_begin(producer);
        OK(rill_txn_put(txn, space, txn_text("k"), txn_text("new")));
        commit_unsure(txn, happens == 1);
        if (happens == 0) OK(rill_txn_abort(txn, WAIT_MS));
        else FAILS(RILL_ERR_EXISTS, rill_txn_abort(txn, WAIT_MS));
        assert_string_equal(text_at(space, "k"), happens == 0 ? "nothing" : "new");
    }
    txn = txn_begin(producer);
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("newer")));
    OK(rill_txn_commit(txn, WAIT_MS));
    assert_string_equal(text_at(space, "k"), "newer");
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);
}

/* ---- Partitions that come and go ---------------------------------------- */

static void partitions_come_and_go(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_record record;
    int64_t number = 9;
    rill_txn *txn;

    set_up_topic(store);
    test_topic(store, "u", 3);
    test_topic(store, "v", 1);
    producer = txn_job(store, "job");
    for (int commit = 1; commit >= 0; commit--) {
        txn = txn_begin(producer);
        for (int32_t p = 0; p < 2; p++) txn_send(producer, "t", p, 10 * commit + p);
        for (int32_t p = 0; p < 3; p++) txn_send(producer, "u", p, p);
        txn_send(producer, "v", 0, 10 * commit + 5);
        OK(rill_topic_delete(store, "u"));
        OK(rill_topic_add_partitions(store, "t", commit ? 4 : 6));
        txn_send(producer, "t", commit ? 3 : 5, 10 * commit + 7);
        record = record_of(&number);
        record.topic = "u";
        FAILS(RILL_ERR_NOT_FOUND, rill_producer_send(producer, &record, NULL, WAIT_MS));
        OK(commit ? rill_txn_commit(txn, WAIT_MS) : rill_txn_abort(txn, WAIT_MS));
        txn_sees(store, "t", 0, "10 ");
        txn_sees(store, "t", 1, "11 ");
        txn_sees(store, "t", 3, "17 ");
        txn_sees(store, "v", 0, "15 ");
        if (!commit) txn_sees(store, "t", 5, "");
        test_topic(store, "u", 3); /* another one of that name */
        for (int32_t p = 0; p < 3; p++) txn_sees(store, "u", p, "");
    }
    txn = txn_begin(producer);
    txn_send(producer, "u", 2, 1);
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "u", 2, "1 ");
    OK(rill_producer_close(producer, WAIT_MS));
}

/* ---- Again and again ---------------------------------------------------- */

/* A record cannot be sent for now: the commit takes no longer than it may, and can be called
 * again. */
static void a_commit_goes_on_where_it_was(void **state)
{
    rill *store = *state;
    struct holder holder;
    rill_producer *producer;
    rill_space *space;
    rill_record record;
    int64_t number = 1;
    rill_txn *txn;

    set_up_topic(store);
    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    record = record_of(&number);
    txn_send(producer, NULL, 1, 1);
    holder_start(&holder, store, "t", 0, 2);
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("v")));
    for (int i = 0; i < 3; i++) {
        FAILS(RILL_ERR_TIMEOUT, rill_txn_commit(txn, i));
        txn_sees(store, "t", 1, "");
        assert_string_equal(text_at(space, "k"), "nothing");
    }
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("w"))); /* it is as it was */
    holder_stop(&holder);
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 0, "2 1 ");
    txn_sees(store, "t", 1, "1 ");
    assert_string_equal(text_at(space, "k"), "w");
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);
}

/* The same, and then it is aborted. */
static void a_commit_in_vain_can_be_aborted(void **state)
{
    rill *store = *state;
    struct holder holder;
    rill_producer *producer;
    rill_record record;
    int64_t number = 1;
    rill_txn *txn;

    set_up_topic(store);
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    record = record_of(&number);
    txn_send(producer, NULL, 1, 1);
    holder_start(&holder, store, "t", 0, 2);
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    FAILS(RILL_ERR_TIMEOUT, rill_txn_commit(txn, 0));
    OK(rill_txn_abort(txn, WAIT_MS));
    holder_stop(&holder);
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 3);
    txn_send(producer, NULL, 1, 4);
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 0, "2 3 ");
    txn_sees(store, "t", 1, "4 ");
    OK(rill_producer_close(producer, WAIT_MS));
}

/* ---- Late ---------------------------------------------------------------- */

/* The end of an instance that is over hits nothing of the new one, whichever it is, and
 * however far that has come. */
static void a_late_end_hits_nobody(void **state)
{
    rill *store = *state;
    char expected[40] = "";
    int64_t number = 0;

    set_up_topic(store);
    for (int way = 0; way < 8; way++) {
        bool commits = (way & 1) != 0;
        bool after = (way & 2) != 0; /* the new one has ended its own */
        bool sent = (way & 4) != 0;  /* the old one had sent something */
        rill_producer *old = txn_job(store, "job");
        rill_txn *late = txn_begin(old);
        rill_producer *fresh;
        rill_txn *txn;
        int rc;

        if (sent) txn_send(old, NULL, 0, 100 + way);
        fresh = txn_job(store, "job");
        txn = txn_begin(fresh);
        txn_send(fresh, NULL, 0, ++number);
        if (after) OK(rill_txn_commit(txn, WAIT_MS));
        rc = commits ? rill_txn_commit(late, WAIT_MS) : rill_txn_abort(late, WAIT_MS);
        if (commits && sent) assert_int_equal(rc, RILL_ERR_FENCED);
        if (!after) txn_sees(store, "t", 0, expected);
        if (!after) OK(rill_txn_commit(txn, WAIT_MS));
        snprintf(expected + strlen(expected), 8, "%d ", (int)number);
        txn_sees(store, "t", 0, expected);
        rill_producer_close(old, WAIT_MS);
        txn_sees(store, "t", 0, expected);
        OK(rill_producer_close(fresh, WAIT_MS));
    }
}

/* ---- Epochs that are used up --------------------------------------------- */

static int set_epoch(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct meta_name name;
    int rc = rill__meta_read_name(meta, txn, "job", &name);

    if (rc != 0) return rc;
    name.epoch = *(int16_t *)arg;
    rc = rill__meta_write_name(meta, txn, "job", &name);
    rill__free(meta->heap, name.decided);
    return rc;
}

/* A producer that has so many epochs left. */
static rill_producer *old_job(rill *store, int left)
{
    int16_t epoch = (int16_t)(INT16_MAX - left - 1);
    rill_producer *producer = txn_job(store, "job");

    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill__meta_write(store->store->meta, set_epoch, &epoch));
    return txn_job(store, "job");
}

static int64_t id_of_job(rill *store)
{
    struct meta_name name;

    OK(rill__meta_name_get(store->store->meta, "job", &name));
    rill__free(&store->store->heap, name.decided);
    return name.producer_id;
}

static void epochs_begin_anew(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_space *space;
    char expected[60] = "";
    int64_t id = -1;
    int ids = 0;

    set_up_topic(store);
    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    for (int left = 1; left < 4; left++) { /* a commit or an abort is the last */
        producer = old_job(store, left);
        for (int i = 0; i < 5; i++) {
            rill_txn *txn = txn_begin(producer);
            int number = left * 10 + i;
            char text[12];
            snprintf(text, sizeof text, "%d ", number);
            if (id_of_job(store) != id) ids++;
            id = id_of_job(store);
            txn_send(producer, NULL, 0, number);
            OK(rill_txn_put(txn, space, txn_text("k"), txn_text(text)));
            if (i == 1 || i == 2) {
                OK(rill_txn_abort(txn, WAIT_MS));
            } else {
                OK(rill_txn_commit(txn, WAIT_MS));
                strcat(expected, text);
                assert_string_equal(text_at(space, "k"), text);
            }
            txn_sees(store, "t", 0, expected);
        }
        OK(rill_producer_close(producer, WAIT_MS));
    }
    assert_in_range(ids, 4, 6);
    rill_space_close(space);
}

static void die_in_the_last_epoch(void)
{
    rill *store = test_store_open();
    rill_producer *producer = old_job(store, 1);
    struct holder holder;
    int timeout_ms = 100;
    rill_txn *txn = txn_begin(producer);
    int rc;

    txn_send(producer, NULL, 0, 1);
    txn_send(producer, NULL, 1, 2);
    holder_start(&holder, store, "t", 1, 3);
    while ((rc = rill_txn_commit(txn, timeout_ms)) == RILL_ERR_TIMEOUT) timeout_ms *= 2;
    OK(rc);
    kill(getpid(), SIGKILL);
}

/* Its decision is of the old id, and done under it. */
static void who_dies_in_the_last_epoch_is_settled(void **state)
{
    rill_producer *producer;
    rill_txn *txn;
    int64_t id;
    int status;
    pid_t pid;

    set_up_topic(*state);
    OK(rill_close(*state));
    pid = fork();
    if (pid == 0) die_in_the_last_epoch();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    *state = test_store_open();
    id = id_of_job(*state);
    producer = txn_job(*state, "job");
    assert_int_not_equal(id_of_job(*state), id);
    txn_sees(*state, "t", 0, "1 ");
    txn_sees(*state, "t", 1, "2 ");
    txn = txn_begin(producer);
    txn_send(producer, NULL, 1, 4);
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(*state, "t", 1, "2 4 ");
    OK(rill_producer_close(producer, WAIT_MS));
}

/* ---- Offsets -------------------------------------------------------------- */

static rill_consumer *member_of(rill *store, const char *group, const char *topic)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = group, .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_consumer *consumer = consumer_open(store, &options);

    OK(rill_consumer_subscribe(consumer, &topic, 1));
    return consumer;
}

static int64_t committed_of(rill_consumer *consumer, int32_t partition)
{
    rill_position position;

    OK(rill_consumer_committed(consumer, "in", partition, &position, NULL, 0));
    return position.offset;
}

/* A member reads a record, and loses its partition before the transaction is committed. */
static void who_lost_a_partition_commits_nothing(void **state)
{
    rill *store = *state;
    rill_record record = RILL_RECORD_INIT;
    struct patience patience = {0};
    rill_consumer *first;
    rill_consumer *second;
    rill_producer *producer;
    rill_space *space;
    rill_txn *txn;
    size_t count = 0;

    set_up_topic(store);
    test_topic(store, "in", 1);
    put(store, "in", 0, 7, 2);
    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    first = member_of(store, "g", "in");
    assert_int_equal(take(first, &record, 1), 1);
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 1);
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("v")));
    OK(rill_txn_send_offsets(txn, first, NULL, 0));
    elsewhere_expel(store, first->membership.id);
    second = member_of(store, "g", "in");
    while (count == 0) {
        OK(rill_consumer_poll(second, 0, &record, 1, &count));
        if (count == 0) wait_a_little(&patience);
    }
    assert_int_equal(number_of(&record), 7);
    FAILS(RILL_ERR_FENCED, rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 0, "");
    OK(rill_txn_abort(txn, WAIT_MS));
    assert_string_equal(text_at(space, "k"), "nothing");
    assert_int_equal(committed_of(second, 0), RILL_OFFSET_NONE);
    txn = txn_begin(producer); /* the producer is as good as ever */
    txn_send(producer, NULL, 0, 2);
    OK(rill_txn_send_offsets(txn, second, NULL, 0));
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 0, "2 ");
    assert_int_equal(committed_of(second, 0), 1);
    rill_consumer_close(first, 0);
    OK(rill_consumer_close(second, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);
}

static void offsets_of_two_groups_move_together(void **state)
{
    rill *store = *state;
    rill_position position = {.topic = "in", .partition = 1, .leader_epoch = -1, .offset = 3};
    rill_consumer *a;
    rill_consumer *b;
    rill_producer *producer;
    rill_record got[4];

    set_up_topic(store);
    test_topic(store, "in", 2);
    put(store, "in", 0, 1, 4);
    put(store, "in", 1, 1, 4);
    a = member_of(store, "ga", "in");
    b = member_of(store, "gb", "in");
    producer = txn_job(store, "job");
    for (int commit = 0; commit < 2; commit++) {
        rill_txn *txn = txn_begin(producer);
        take(a, got, 4);
        take(b, got, 1);
        OK(rill_txn_send_offsets(txn, a, &position, 1));
        OK(rill_txn_send_offsets(txn, b, &position, 1));
        position.offset = 4; /* the later one of a group counts */
        OK(rill_txn_send_offsets(txn, b, &position, 1));
        position.offset = 3;
        if (commit) OK(rill_txn_commit(txn, WAIT_MS));
        else OK(rill_txn_abort(txn, WAIT_MS));
        assert_int_equal(committed_of(a, 1), commit ? 3 : RILL_OFFSET_NONE);
        assert_int_equal(committed_of(b, 1), commit ? 4 : RILL_OFFSET_NONE);
        OK(rill_consumer_seek_committed(a));
        OK(rill_consumer_seek_committed(b));
    }
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
}

/* What the group shall have committed is known from then on, whatever becomes of the consumer. */
static void consumers_may_go_before_the_commit(void **state)
{
    rill *store = *state;
    rill_position position = {.topic = "in", .partition = 0, .leader_epoch = -1, .offset = 2};
    rill_consumer_options options = {.size = sizeof options, .group = "alone"};
    rill_record record = RILL_RECORD_INIT;
    rill_consumer *consumer;
    rill_producer *producer;
    rill_txn *txn;

    set_up_topic(store);
    test_topic(store, "in", 1);
    put(store, "in", 0, 1, 4);
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    consumer = consumer_open(store, &options);
    OK(rill_txn_send_offsets(txn, consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
    OK(rill_txn_commit(txn, WAIT_MS));
    consumer = consumer_open(store, &options);
    assert_int_equal(committed_of(consumer, 0), 2);
    OK(rill_consumer_close(consumer, 0));

    txn = txn_begin(producer);
    consumer = member_of(store, "g", "in");
    take(consumer, &record, 1);
    txn_send(producer, NULL, 0, 1);
    OK(rill_txn_send_offsets(txn, consumer, NULL, 0));
    OK(rill_consumer_close(consumer, WAIT_MS)); /* is no member any more */
    FAILS(RILL_ERR_FENCED, rill_txn_commit(txn, WAIT_MS));
    OK(rill_txn_abort(txn, WAIT_MS));
    txn_sees(store, "t", 0, "");
    OK(rill_producer_close(producer, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(an_abort_without_marker_stays_one),
        WITH_STORE(each_of_many_is_ended),
        WITH_STORE(who_has_a_partition_keeps_nobody_waiting),
        WITH_STORE(what_a_zombie_sends_is_not_taken_over),
        WITH_STORE(abort_finds_out),
        WITH_STORE(abort_finds_out_that_it_was_committed),
        WITH_STORE(abort_finds_out_about_state),
        WITH_STORE(partitions_come_and_go),
        WITH_STORE(a_commit_goes_on_where_it_was),
        WITH_STORE(a_commit_in_vain_can_be_aborted),
        WITH_STORE(a_late_end_hits_nobody),
        WITH_STORE(epochs_begin_anew),
        WITH_STORE(who_dies_in_the_last_epoch_is_settled),
        WITH_STORE(who_lost_a_partition_commits_nothing),
        WITH_STORE(offsets_of_two_groups_move_together),
        WITH_STORE(consumers_may_go_before_the_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
