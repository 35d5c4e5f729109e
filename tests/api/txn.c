/*
 * Transactions: all of one happens or nothing, for readers, groups and state; whoever is
 * fenced, late or gone changes nothing any more; each misuse has its error.
 */
#include "engine/clients.h"
#include "records.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static rill_producer *job(rill *store, const char *id)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = "t", .transactional_id = id};
    rill_producer *producer = NULL;

    OK(rill_producer_open(store, &options, &producer));
    return producer;
}

static rill_txn *begin(rill_producer *producer)
{
    rill_txn *txn = NULL;

    OK(rill_txn_begin(producer, &txn));
    return txn;
}

static void send_number(rill_producer *producer, int32_t partition, int64_t number)
{
    rill_record record = record_of(&number);

    record.partition = partition;
    OK(rill_producer_send(producer, &record, NULL, 1000));
}

static rill_consumer *reader(rill *store, const char *topic, int32_t partition, int isolation)
{
    rill_consumer_options options = {
        .size = sizeof options, .isolation = isolation, .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position from = {.topic = topic, .partition = partition};
    rill_consumer *consumer = consumer_open(store, &options);

    OK(rill_consumer_assign(consumer, &from, 1));
    return consumer;
}

/* What a reader sees now, as text. */
static void sees(rill *store, int32_t partition, int isolation, const char *expected)
{
    rill_consumer *consumer = reader(store, "t", partition, isolation);
    rill_record got[64];
    char text[512] = "";
    size_t count;

    for (;;) {
        OK(rill_consumer_poll(consumer, 0, got, 64, &count));
        if (count == 0) break;
        for (size_t i = 0; i < count; i++)
            sprintf(text + strlen(text), "%d ", (int)number_of(&got[i]));
    }
    assert_string_equal(text, expected);
    OK(rill_consumer_close(consumer, 0));
}

static void set_up_topic(rill *store)
{
    test_topic(store, "t", 2);
}

static void commits_are_seen_aborts_are_not(void **state)
{
    rill_producer *producer;
    rill_txn *txn;
    rill_stats stats = {.size = sizeof stats};

    set_up_topic(*state);
    producer = job(*state, "job");
    txn = begin(producer);
    send_number(producer, 0, 1);
    send_number(producer, 1, 2);
    OK(rill_producer_flush(producer, 1000));
    sees(*state, 0, RILL_READ_WRITTEN, "1 ");
    sees(*state, 0, RILL_READ_COMMITTED, "");
    OK(rill_txn_commit(txn, 1000));
    sees(*state, 0, RILL_READ_COMMITTED, "1 ");
    sees(*state, 1, RILL_READ_COMMITTED, "2 ");

    txn = begin(producer);
    send_number(producer, 0, 3);
    OK(rill_producer_flush(producer, 1000));
    send_number(producer, 0, 4); /* never goes out */
    OK(rill_txn_abort(txn, 1000));
    sees(*state, 0, RILL_READ_COMMITTED, "1 ");
    sees(*state, 0, RILL_READ_WRITTEN, "1 3 ");

    txn = begin(producer);
    send_number(producer, 0, 5);
    OK(rill_txn_commit(txn, 1000));
    put(*state, "t", 0, 6, 1);
    sees(*state, 0, RILL_READ_COMMITTED, "1 5 6 ");
    sees(*state, 0, RILL_READ_COMMITTED_DURABLE, "1 5 ");
    OK(rill_stats_get(*state, &stats));
    assert_int_equal(stats.transactions_committed, 2);
    assert_int_equal(stats.transactions_aborted, 1);
    OK(rill_producer_close(producer, 1000));
}

/* Nothing behind an open transaction is seen, whoever wrote it. */
static void an_open_one_holds_back(void **state)
{
    rill_producer *a;
    rill_producer *b;
    rill_txn *txn_a;
    rill_txn *txn_b;

    set_up_topic(*state);
    a = job(*state, "a");
    b = job(*state, "b");
    put(*state, "t", 0, 1, 1);
    txn_a = begin(a);
    send_number(a, 0, 2);
    OK(rill_producer_flush(a, 1000));
    txn_b = begin(b);
    send_number(b, 0, 3);
    OK(rill_txn_commit(txn_b, 1000));
    put(*state, "t", 0, 4, 1);
    sees(*state, 0, RILL_READ_COMMITTED, "1 ");
    OK(rill_txn_abort(txn_a, 1000));
    sees(*state, 0, RILL_READ_COMMITTED, "1 3 4 ");
    OK(rill_producer_close(a, 1000));
    OK(rill_producer_close(b, 1000));
}

static void a_new_instance_fences(void **state)
{
    rill_producer *old;
    rill_producer *fresh;
    rill_txn *txn;
    rill_txn *late;
    rill_record record;
    int64_t number = 9;

    set_up_topic(*state);
    old = job(*state, "job");
    late = begin(old);
    send_number(old, 0, 1);
    OK(rill_producer_flush(old, 1000));
    fresh = job(*state, "job"); /* aborts what the old one left */
    sees(*state, 0, RILL_READ_COMMITTED, "");
    record = record_of(&number);
    OK(rill_producer_send(old, &record, NULL, 1000));
    assert_int_not_equal(rill_txn_commit(late, 1000), 0);
    FAILS(RILL_ERR_FENCED, rill_producer_append(old, &record, 1, 1000, NULL));
    txn = begin(fresh);
    send_number(fresh, 0, 2);
    OK(rill_txn_commit(txn, 1000));
    sees(*state, 0, RILL_READ_COMMITTED, "2 ");
    rill_txn_abort(late, 1000);
    FAILS(RILL_ERR_FENCED, rill_txn_begin(old, &late));
    rill_producer_close(old, 1000);
    OK(rill_producer_close(fresh, 1000));
    sees(*state, 0, RILL_READ_COMMITTED, "2 ");
}

static void send_and_commit(rill_producer *producer, int64_t number)
{
    rill_txn *txn = begin(producer);

    send_number(producer, 0, number);
    OK(rill_txn_commit(txn, 1000));
}

/* As if so many transactions had been aborted. The producer finds out by a failure. */
static void grow_old(rill *store, rill_producer *producer, int16_t epoch)
{
    struct meta_name name;
    rill_txn *txn;
    bool commit;

    OK(rill__meta_name_get(store->store->meta, "job", &name));
    rill__free(&store->store->heap, name.decided);
    OK(rill__meta_name_judge(store->store->meta, name.producer_id, (int16_t)(epoch - 1),
                             &commit));
    txn = begin(producer);
    send_number(producer, 0, 99);
    FAILS(RILL_ERR_ABORTED, rill_txn_commit(txn, 1000));
    OK(rill_txn_abort(txn, 1000));
}

/* A producer id has 32,767 epochs; then the name gets another one, in the middle of the work,
 * or as a new instance comes. */
static void ids_are_used_up(void **state)
{
    char expected[512] = "";

    set_up_topic(*state);
    for (int left = 0; left < 6; left++) {
        rill_producer *old = job(*state, "job");
        rill_producer *fresh;
        grow_old(*state, old, (int16_t)(INT16_MAX - left));
        for (int64_t i = 0; i < 3; i++) send_and_commit(old, left * 10 + i);
        fresh = job(*state, "job");
        for (int64_t i = 3; i < 6; i++) send_and_commit(fresh, left * 10 + i);
        for (int i = 0; i < 6; i++) sprintf(expected + strlen(expected), "%d ", left * 10 + i);
        sees(*state, 0, RILL_READ_COMMITTED, expected);
        OK(rill_producer_close(old, 1000));
        OK(rill_producer_close(fresh, 1000));
    }
}

static void closing_aborts(void **state)
{
    rill_producer *producer;

    set_up_topic(*state);
    producer = job(*state, "job");
    begin(producer);
    send_number(producer, 0, 1);
    OK(rill_producer_flush(producer, 1000));
    OK(rill_producer_close(producer, 1000));
    put(*state, "t", 0, 2, 1);
    sees(*state, 0, RILL_READ_COMMITTED, "2 ");
}

static void time_that_is_over_aborts(void **state)
{
    rill_producer_options options = {.size = sizeof options,
                                     .topic = "t",
                                     .transactional_id = "job",
                                     .transaction_timeout_ms = 1};
    rill_producer *producer;
    rill_txn *txn;

    set_up_topic(*state);
    OK(rill_producer_open(*state, &options, &producer));
    txn = begin(producer);
    send_number(producer, 0, 1);
    OK(rill_producer_flush(producer, 1000));
    usleep(5000);
    FAILS(RILL_ERR_ABORTED, rill_txn_commit(txn, 1000));
    OK(rill_txn_abort(txn, 1000));
    OK(rill_producer_close(producer, 1000));

    options.transaction_timeout_ms = 50;
    OK(rill_producer_open(*state, &options, &producer));
    txn = begin(producer);
    send_number(producer, 0, 2);
    OK(rill_producer_flush(producer, 1000));
    put(*state, "t", 0, 3, 1);
    { /* a reader waits, and gives it up */
        rill_consumer *consumer = reader(*state, "t", 0, RILL_READ_COMMITTED);
        rill_record got[4];
        assert_int_equal(take(consumer, got, 4), 1);
        assert_int_equal(number_of(&got[0]), 3);
        OK(rill_consumer_close(consumer, 0));
    }
    assert_int_not_equal(rill_txn_commit(txn, 1000), 0);
    OK(rill_txn_abort(txn, 1000));
    txn = begin(producer); /* it goes on: nobody else has its name */
    send_number(producer, 0, 4);
    OK(rill_txn_commit(txn, 1000));
    sees(*state, 0, RILL_READ_COMMITTED, "3 4 ");
    OK(rill_producer_close(producer, 1000));
}

/* ---- Offsets and state ------------------------------------------------ */

static rill_consumer *member(rill *store)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    const char *topics[] = {"in"};
    rill_consumer *consumer = consumer_open(store, &options);

    OK(rill_consumer_subscribe(consumer, topics, 1));
    return consumer;
}

static int64_t balance(rill *store, rill_space *space, const char *key)
{
    int64_t value = -1;
    size_t size;
    int rc = rill_space_get(space, (rill_bytes){key, strlen(key)}, &value, sizeof value, &size);

    (void)store;
    if (rc == RILL_ERR_NOT_FOUND) return 0;
    OK(rc);
    assert_int_equal(size, sizeof value);
    return value;
}

static void add_to(rill_txn *txn, rill_space *space, const char *key, int64_t more)
{
    rill_bytes k = {key, strlen(key)};
    rill_bytes old;
    int64_t value = 0;
    int rc = rill_txn_get(txn, space, k, &old);

    if (rc != RILL_ERR_NOT_FOUND) {
        OK(rc);
        memcpy(&value, old.data, sizeof value);
    }
    value += more;
    OK(rill_txn_put(txn, space, k, (rill_bytes){&value, sizeof value}));
}

static void offsets_state_and_records_move_together(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_consumer *consumer;
    rill_space *space;
    rill_txn *txn;
    rill_record got[16];
    int64_t seen = 0;

    set_up_topic(store);
    test_topic(store, "in", 1);
    put(store, "in", 0, 1, 10);
    OK(rill_space_open(store, "sums", RILL_SPACE_CREATE, &space));
    producer = job(store, "job");
    consumer = member(store);
    for (int round = 0; seen < 10; round++) {
        size_t count = take(consumer, got, 3);
        int64_t before = balance(store, space, "sum");
        txn = begin(producer);
        for (size_t i = 0; i < count; i++) {
            add_to(txn, space, "sum", number_of(&got[i]));
            send_number(producer, 0, number_of(&got[i]));
        }
        OK(rill_txn_send_offsets(txn, consumer, NULL, 0));
        assert_int_equal(balance(store, space, "sum"), before); /* nobody sees it yet */
        if (round == 1) {
            OK(rill_txn_abort(txn, 1000));
            OK(rill_consumer_seek_committed(consumer));
            assert_int_equal(balance(store, space, "sum"), before);
            continue;
        }
        OK(rill_txn_commit(txn, 1000));
        seen += (int64_t)count;
    }
    assert_int_equal(balance(store, space, "sum"), 55);
    sees(store, 0, RILL_READ_COMMITTED, "1 2 3 4 5 6 7 8 9 10 ");
    {
        rill_position position;
        OK(rill_consumer_committed(consumer, "in", 0, &position, NULL, 0));
        assert_int_equal(position.offset, 10);
    }
    OK(rill_consumer_close(consumer, 1000));
    OK(rill_producer_close(producer, 1000));
    rill_space_close(space);
}

static void one_writer_at_a_time(void **state)
{
    rill *store = *state;
    rill_producer *a;
    rill_producer *b;
    rill_space *space;
    rill_txn *txn_a;
    rill_txn *txn_b;
    rill_bytes value;

    set_up_topic(store);
    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    a = job(store, "a");
    b = job(store, "b");
    txn_a = begin(a);
    txn_b = begin(b);
    add_to(txn_a, space, "k", 5);
    FAILS(RILL_ERR_BUSY, rill_txn_get(txn_b, space, (rill_bytes){"k", 1}, &value));
    FAILS(RILL_ERR_STATE, rill_space_delete(store, "s"));
    OK(rill_txn_commit(txn_a, 1000));
    OK(rill_producer_close(a, 1000));
    add_to(txn_b, space, "k", 6); /* it is free now */
    OK(rill_txn_commit(txn_b, 1000));
    assert_int_equal(balance(store, space, "k"), 11);
    OK(rill_producer_close(b, 1000));
    OK(rill_space_delete(store, "s"));
    rill_space_close(space);
}

static void walk(rill_view *view, rill_txn *txn, rill_space *space, const rill_range *range,
                 const char *expected)
{
    rill_cursor *cursor;
    rill_bytes key;
    rill_bytes value;
    char text[256] = "";
    int rc;

    OK(rill_cursor_open(view, txn, space, range, &cursor));
    while ((rc = rill_cursor_next(cursor, &key, &value)) == 0)
        sprintf(text + strlen(text), "%.*s=%.*s ", (int)key.size, (const char *)key.data,
                (int)value.size, (const char *)value.data);
    assert_int_equal(rc, RILL_ERR_NOT_FOUND);
    rill_cursor_close(cursor);
    assert_string_equal(text, expected);
}

static void put_text(rill_txn *txn, rill_space *space, const char *key, const char *value)
{
    rill_bytes k = {key, strlen(key)};

    if (value == NULL) OK(rill_txn_delete(txn, space, k));
    else OK(rill_txn_put(txn, space, k, (rill_bytes){value, strlen(value)}));
}

static void cursors_walk_what_is_there(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_space *space;
    rill_view *view;
    rill_txn *txn;
    rill_range range = {.from = {"b", 1}, .to = {"d", 1}};
    rill_cursor *cursor;
    rill_bytes value;

    set_up_topic(store);
    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    producer = job(store, "job");
    txn = begin(producer);
    put_text(txn, space, "a", "1");
    put_text(txn, space, "b", "2");
    put_text(txn, space, "d", "4");
    OK(rill_txn_commit(txn, 1000));
    OK(rill_view_open(store, &view));
    txn = begin(producer);
    put_text(txn, space, "b", "two");
    put_text(txn, space, "c", "three");
    put_text(txn, space, "a", NULL);
    walk(NULL, txn, space, NULL, "b=two c=three d=4 ");
    walk(NULL, txn, space, &range, "b=two c=three ");
    range.reverse = 1;
    walk(NULL, txn, space, &range, "c=three b=two ");
    range = (rill_range){.reverse = 1};
    walk(NULL, txn, space, &range, "d=4 c=three b=two ");
    walk(view, NULL, space, NULL, "a=1 b=2 d=4 ");
    OK(rill_cursor_open(NULL, txn, space, NULL, &cursor));
    FAILS(RILL_ERR_STATE, rill_txn_commit(txn, 1000));
    FAILS(RILL_ERR_STATE, rill_txn_abort(txn, 1000));
    rill_cursor_close(cursor);
    OK(rill_txn_commit(txn, 1000));
    OK(rill_view_get(view, space, (rill_bytes){"a", 1}, &value));
    FAILS(RILL_ERR_NOT_FOUND, rill_view_get(view, space, (rill_bytes){"c", 1}, &value));
    walk(view, NULL, space, NULL, "a=1 b=2 d=4 "); /* still that moment */
    rill_view_close(view);
    OK(rill_view_open(store, &view));
    walk(view, NULL, space, NULL, "b=two c=three d=4 ");
    rill_view_close(view);
    FAILS(RILL_ERR_INVALID, rill_cursor_open(NULL, NULL, space, NULL, &cursor));
    OK(rill_producer_close(producer, 1000));
    rill_space_close(space);
}

/* ---- Misuse ----------------------------------------------------------- */

static void misuse_says_what_to_call(void **state)
{
    rill *store = *state;
    rill_producer_options plain = {.size = sizeof plain, .topic = "t"};
    rill_producer_options limited = {.size = sizeof limited,
                                     .topic = "t",
                                     .transactional_id = "small",
                                     .transaction_bytes_max = 1000};
    static char big[RILL_SPACE_VALUE_MAX + 1];
    rill_producer *producer;
    rill_producer *other;
    rill_space *space;
    rill_space *again;
    rill_txn *txn;
    rill_txn *second;
    rill_record record;
    rill_reservation room;
    int64_t number = 1;
    int32_t sequence;

    set_up_topic(store);
    record = record_of(&number);
    OK(rill_producer_open(store, &plain, &producer));
    FAILS(RILL_ERR_STATE, rill_txn_begin(producer, &txn));
    FAILS(RILL_ERR_STATE, rill_producer_append_sequenced(producer, 0, &record, 1, 1000, NULL));
    FAILS(RILL_ERR_STATE, rill_producer_sequence(producer, "t", 0, &sequence));
    OK(rill_producer_close(producer, 1000));

    producer = job(store, "job");
    FAILS(RILL_ERR_STATE, rill_producer_send(producer, &record, NULL, 1000));
    assert_non_null(strstr(rill_errmsg(), "rill_txn_begin"));
    FAILS(RILL_ERR_STATE, rill_producer_append(producer, &record, 1, 1000, NULL));
    FAILS(RILL_ERR_STATE, rill_producer_reserve(producer, &record, 1000, &room));
    txn = begin(producer);
    FAILS(RILL_ERR_STATE, rill_txn_begin(producer, &second));
    FAILS(RILL_ERR_INVALID, rill_space_open(store, "__x", RILL_SPACE_CREATE, &space));
    FAILS(RILL_ERR_INVALID, rill_space_open(store, "a/b", RILL_SPACE_CREATE, &space));
    FAILS(RILL_ERR_INVALID, rill_space_open(store, "s", 8, &space));
    FAILS(RILL_ERR_NOT_FOUND, rill_space_open(store, "s", 0, &space));
    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    FAILS(RILL_ERR_STATE, rill_space_open(store, "s", 0, &again));
    FAILS(RILL_ERR_TOO_BIG, rill_txn_put(txn, space, (rill_bytes){big, RILL_SPACE_KEY_MAX + 1},
                                         (rill_bytes){"", 0}));
    FAILS(RILL_ERR_TOO_BIG,
          rill_txn_put(txn, space, (rill_bytes){"k", 1}, (rill_bytes){big, sizeof big}));
    FAILS(RILL_ERR_INVALID,
          rill_txn_put(txn, space, (rill_bytes){"k", 1}, (rill_bytes){NULL, 0}));
    OK(rill_txn_commit(txn, 1000)); /* nothing: fine */
    plain.transactional_id = "x";
    plain.producer_name = "y";
    FAILS(RILL_ERR_INVALID, rill_producer_open(store, &plain, &other));
    plain.transactional_id = NULL;
    plain.producer_name = "job"; /* is another kind */
    FAILS(RILL_ERR_STATE, rill_producer_open(store, &plain, &other));
    plain.producer_name = "a/b";
    FAILS(RILL_ERR_INVALID, rill_producer_open(store, &plain, &other));
    OK(rill_producer_close(producer, 1000));

    OK(rill_producer_open(store, &limited, &producer));
    txn = begin(producer);
    FAILS(RILL_ERR_TOO_BIG,
          rill_txn_put(txn, space, (rill_bytes){"k", 1}, (rill_bytes){big, 1000}));
    assert_non_null(strstr(rill_errmsg(), "transaction_bytes_max"));
    OK(rill_txn_abort(txn, 1000));
    OK(rill_producer_close(producer, 1000));
    rill_space_close(space);
}

/* ---- Sequences -------------------------------------------------------- */

static void a_name_keeps_its_sequences(void **state)
{
    rill_producer_options named = {
        .size = sizeof named, .topic = "t", .producer_name = "importer"};
    rill_producer *producer;
    rill_record records[3];
    rill_offset offset;
    int64_t numbers[3] = {1, 2, 3};
    int32_t sequence;

    set_up_topic(*state);
    for (int i = 0; i < 3; i++) records[i] = record_of(&numbers[i]);
    OK(rill_producer_open(*state, &named, &producer));
    OK(rill_producer_sequence(producer, "t", 0, &sequence));
    assert_int_equal(sequence, -1);
    OK(rill_producer_append_sequenced(producer, 100, records, 3, 1000, &offset));
    OK(rill_producer_close(producer, 1000));
    OK(rill_close(*state));
    *state = test_store_open();
    OK(rill_producer_open(*state, &named, &producer));
    OK(rill_producer_sequence(producer, "t", 0, &sequence));
    assert_int_equal(sequence, 103);
    OK(rill_producer_append_sequenced(producer, 100, records, 3, 1000, &offset));
    assert_int_equal(offset, 0);
    FAILS(RILL_ERR_SEQUENCE,
          rill_producer_append_sequenced(producer, 104, records, 1, 1000, &offset));
    assert_non_null(strstr(rill_errmsg(), "103"));
    FAILS(RILL_ERR_INVALID,
          rill_producer_append_sequenced(producer, -1, records, 1, 1000, &offset));
    OK(rill_producer_append(producer, records, 1, 1000, &offset)); /* the next one */
    assert_int_equal(offset, 3);
    OK(rill_producer_sequence(producer, "t", 0, &sequence));
    assert_int_equal(sequence, 104);
    OK(rill_producer_close(producer, 1000));
    sees(*state, 0, RILL_READ_WRITTEN, "1 2 3 1 ");
}

/* ---- Death ------------------------------------------------------------ */

/* A child is killed in a transaction: the others go on, and see nothing of it. */
static void the_dead_hold_nothing_back(void **state)
{
    rill_record got[4];
    rill_consumer *consumer;
    int status;
    pid_t pid;

    set_up_topic(*state);
    OK(rill_close(*state));
    pid = fork();
    if (pid == 0) {
        rill *store = test_store_open();
        rill_producer *producer = job(store, "job");
        begin(producer);
        send_number(producer, 0, 1);
        rill_producer_flush(producer, 1000);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *state = test_store_open();
    put(*state, "t", 0, 2, 1);
    consumer = reader(*state, "t", 0, RILL_READ_COMMITTED);
    assert_int_equal(take(consumer, got, 4), 1);
    assert_int_equal(number_of(&got[0]), 2);
    OK(rill_consumer_close(consumer, 0));
}

/* Another process makes the catalogue grow, many times what it was. */
static void fill_elsewhere(int first)
{
    static uint8_t much[1 << 20];
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        rill *store = test_store_open();
        rill_producer *producer = job(store, "filler");
        rill_space *space = NULL;

        OK(rill_space_open(store, "much", RILL_SPACE_CREATE, &space));
        for (int i = first; i < first + 24; i++) {
            rill_txn *txn = begin(producer);
            OK(rill_txn_put(txn, space, (rill_bytes){&i, sizeof i},
                            (rill_bytes){much, sizeof much}));
            OK(rill_txn_commit(txn, 5000));
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* What a transaction has read of the state keeps the map as it is; its end lets go of it. */
static void the_catalogue_grows_beside_what_was_read(void **state)
{
    rill_space *space = NULL;
    rill_producer *producer;

    set_up_topic(*state);
    OK(rill_space_open(*state, "s", RILL_SPACE_CREATE, &space));
    producer = job(*state, "job");
    for (int64_t commits = 0; commits < 2; commits++) {
        rill_txn *txn = begin(producer);
        add_to(txn, space, "k", 1);
        send_number(producer, 0, commits);
        OK(rill_producer_flush(producer, 1000));
        fill_elsewhere((int)commits * 24);
        if (commits == 0) OK(rill_txn_abort(txn, 1000));
        else OK(rill_txn_commit(txn, 1000));
    }
    sees(*state, 0, RILL_READ_COMMITTED, "1 ");
    assert_int_equal(balance(*state, space, "k"), 1);
    rill_space_close(space);
    OK(rill_producer_close(producer, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(commits_are_seen_aborts_are_not),
        WITH_STORE(an_open_one_holds_back),
        WITH_STORE(a_new_instance_fences),
        WITH_STORE(ids_are_used_up),
        WITH_STORE(closing_aborts),
        WITH_STORE(time_that_is_over_aborts),
        WITH_STORE(offsets_state_and_records_move_together),
        WITH_STORE(one_writer_at_a_time),
        WITH_STORE(cursors_walk_what_is_there),
        WITH_STORE(misuse_says_what_to_call),
        WITH_STORE(a_name_keeps_its_sequences),
        WITH_STORE(the_dead_hold_nothing_back),
        WITH_STORE(the_catalogue_grows_beside_what_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
