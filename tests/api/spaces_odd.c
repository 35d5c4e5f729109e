/*
 * Spaces and transactions asked for what they cannot do: names, keys, bounds and room that
 * do not fit, things of another store, records that do not verify, and calls on a
 * transaction that has failed. What is refused changes nothing.
 */
#include "engine/store.h"
#include "meta/inner.h"
#include "txns.h"
#include <dlfcn.h>
#include <errno.h>

static rill_bytes none; /* no data, no size */

static rill_space *open_space(rill *store, const char *name)
{
    rill_space *space = NULL;

    OK(rill_space_open(store, name, RILL_SPACE_CREATE, &space));
    return space;
}

static void put_committed(rill_producer *producer, rill_space *space, const char *key,
                          const char *value)
{
    rill_txn *txn = txn_begin(producer);

    OK(rill_txn_put(txn, space, txn_text(key), txn_text(value)));
    OK(rill_txn_commit(txn, WAIT_MS));
}

static rill *open_other(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *other = NULL;

    OK(rill_open(test_path("other"), &options, &other));
    return other;
}

/* ---- Handles and names ---- */

static void each_handle_opens_a_space_once(void **state)
{
    rill *store = *state;
    rill *second = test_store_open();
    rill_space *one = open_space(store, "s");
    rill_space *two = open_space(second, "s");
    rill_space *again;

    FAILS(RILL_ERR_STATE, rill_space_open(second, "s", 0, &again));
    test_says("space s is open already");
    FAILS(RILL_ERR_STATE, rill_close(second));
    rill_space_close(two);
    OK(rill_space_open(second, "s", 0, &again));
    rill_space_close(again);
    rill_space_close(one);
    OK(rill_close(second));
}

struct names {
    char list[100];
    int left; /* until it is ended; 0: it is not */
};

static int note_name(void *arg, const char *name)
{
    struct names *names = arg;

    strcat(names->list, name);
    strcat(names->list, " ");
    return --names->left == 0 ? 51 : 0;
}

static void spaces_are_listed_until_that_is_ended(void **state)
{
    rill *store = *state;
    struct names names = {.left = 0};
    rill_space *spaces[3];

    OK(rill_space_list(store, note_name, &names));
    assert_string_equal(names.list, "");
    for (int i = 0; i < 3; i++) spaces[i] = open_space(store, i == 0 ? "c" : i == 1 ? "a" : "b");
    OK(rill_space_list(store, note_name, &names));
    assert_string_equal(names.list, "a b c ");
    names = (struct names){.left = 2};
    assert_int_equal(rill_space_list(store, note_name, &names), 51);
    assert_string_equal(names.list, "a b ");
    for (int i = 0; i < 3; i++) rill_space_close(spaces[i]);
}

static void only_what_is_there_and_free_is_deleted(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_space *first = open_space(store, "a");
    rill_space *space = open_space(store, "b");

    test_topic(store, "t", 1);
    producer = txn_job(store, "job");
    put_committed(producer, space, "k", "v");
    FAILS(RILL_ERR_NOT_FOUND, rill_space_delete(store, "none"));
    test_says("no space none");
    FAILS(RILL_ERR_INVALID, rill_space_delete(store, "__system"));
    test_says("reserved");
    FAILS(RILL_ERR_INVALID, rill_space_delete(store, ""));
    FAILS(RILL_ERR_STATE, rill_space_delete(store, "b"));
    test_says("which is open");
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);
    OK(rill_space_delete(store, "b"));
    space = open_space(store, "b"); /* another one, with nothing in it */
    FAILS(RILL_ERR_NOT_FOUND, rill_space_get(space, txn_text("k"), NULL, 0, &(size_t){0}));
    rill_space_close(space);
    rill_space_close(first);
}

/* ---- Values and keys ---- */

static void a_value_that_does_not_fit_says_its_size(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_space *space = open_space(store, "s");
    char room[8] = "-------";
    size_t size = 99;

    test_topic(store, "t", 1);
    producer = txn_job(store, "job");
    put_committed(producer, space, "k", "four");
    put_committed(producer, space, "", "of no key");
    put_committed(producer, space, "e", "");
    FAILS(RILL_ERR_TOO_BIG, rill_space_get(space, txn_text("k"), room, 3, &size));
    test_says("4 bytes, room for 3");
    assert_int_equal(size, 4);
    assert_string_equal(room, "fou----");
    OK(rill_space_get(space, txn_text("k"), room, 4, &size));
    assert_string_equal(room, "four---");
    OK(rill_space_get(space, txn_text("e"), NULL, 0, &size));
    assert_int_equal(size, 0);
    FAILS(RILL_ERR_TOO_BIG, rill_space_get(space, none, NULL, 0, &size));
    assert_int_equal(size, 9);
    FAILS(RILL_ERR_NOT_FOUND, rill_space_get(space, txn_text("x"), room, 4, &size));
    test_says("space s has no such key");
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);
}

static void keys_have_a_size_that_fits(void **state)
{
    static char big[RILL_SPACE_KEY_MAX + 1];
    rill_bytes longest = {big, RILL_SPACE_KEY_MAX};
    rill_bytes longer = {big, RILL_SPACE_KEY_MAX + 1};
    rill_range from = {.from = {big, sizeof big}};
    rill_range to = {.to = {big, sizeof big}};
    rill *store = *state;
    rill_producer *producer;
    rill_space *space = open_space(store, "s");
    rill_view *view;
    rill_cursor *cursor;
    rill_bytes value;
    rill_bytes key;
    rill_txn *txn;

    test_topic(store, "t", 1);
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    FAILS(RILL_ERR_INVALID, rill_txn_put(txn, space, (rill_bytes){NULL, 3}, txn_text("v")));
    test_says("a size but no data");
    FAILS(RILL_ERR_TOO_BIG, rill_txn_put(txn, space, longer, txn_text("v")));
    FAILS(RILL_ERR_TOO_BIG, rill_txn_get(txn, space, longer, &value));
    OK(rill_txn_put(txn, space, longest, txn_text("long")));
    OK(rill_txn_put(txn, space, none, txn_text("short")));
    OK(rill_txn_commit(txn, WAIT_MS));
    OK(rill_view_open(store, &view));
    OK(rill_view_get(view, space, longest, &value));
    assert_memory_equal(value.data, "long", 4);
    OK(rill_view_get(view, space, none, &value));
    assert_memory_equal(value.data, "short", 5);
    FAILS(RILL_ERR_NOT_FOUND, rill_view_get(view, space, longer, &value)); /* none is so long */
    for (int reverse = 0; reverse < 2; reverse++) {
        from.reverse = to.reverse = reverse;
        FAILS(RILL_ERR_TOO_BIG, rill_cursor_open(view, NULL, space, &from, &cursor));
        FAILS(RILL_ERR_TOO_BIG, rill_cursor_open(view, NULL, space, &to, &cursor));
        test_says("a bound of 501 bytes");
    }
    OK(rill_cursor_open(view, NULL, space, NULL, &cursor));
    OK(rill_cursor_next(cursor, &key, &value));
    assert_int_equal(key.size, 0);
    OK(rill_cursor_next(cursor, &key, &value));
    assert_int_equal(key.size, RILL_SPACE_KEY_MAX);
    FAILS(RILL_ERR_NOT_FOUND, rill_cursor_next(cursor, &key, &value));
    FAILS(RILL_ERR_NOT_FOUND, rill_cursor_next(cursor, &key, &value));
    rill_cursor_close(cursor);
    rill_view_close(view);
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);
}

/* Spaces lie beside each other: where one ends, the next one's keys are not its. */
static void a_cursor_stays_in_its_space(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_space *spaces[3];
    rill_range back = {.reverse = 1};
    rill_view *view;

    test_topic(store, "t", 1);
    producer = txn_job(store, "job");
    for (int i = 0; i < 3; i++) spaces[i] = open_space(store, i == 0 ? "a" : i == 1 ? "b" : "c");
    put_committed(producer, spaces[0], "z", "1");
    put_committed(producer, spaces[2], "a", "3");
    OK(rill_view_open(store, &view));
    for (int i = 0; i < 3; i++) {
        for (int reverse = 0; reverse < 2; reverse++) {
            rill_cursor *cursor;
            rill_bytes key;
            rill_bytes value;
            OK(rill_cursor_open(view, NULL, spaces[i], reverse ? &back : NULL, &cursor));
            if (i != 1) OK(rill_cursor_next(cursor, &key, &value));
            FAILS(RILL_ERR_NOT_FOUND, rill_cursor_next(cursor, &key, &value));
            test_says("there are no more keys");
            rill_cursor_close(cursor);
        }
    }
    rill_view_close(view);
    OK(rill_producer_close(producer, WAIT_MS));
    for (int i = 0; i < 3; i++) rill_space_close(spaces[i]);
}

/* ---- Of another store ---- */

static void stores_are_not_mixed(void **state)
{
    rill *store = *state;
    rill *other = open_other();
    rill_space *theirs = open_space(other, "s");
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position position = {.topic = "t"};
    rill_consumer *consumer;
    rill_producer *producer;
    rill_cursor *cursor;
    rill_view *view;
    rill_bytes value;
    rill_txn *txn;

    test_topic(store, "t", 1);
    test_topic(other, "t", 1);
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    OK(rill_view_open(store, &view));
    FAILS(RILL_ERR_INVALID, rill_view_get(view, theirs, txn_text("k"), &value));
    test_says("space s is of another store");
    FAILS(RILL_ERR_INVALID, rill_txn_put(txn, theirs, txn_text("k"), txn_text("v")));
    test_says("space s is of another store");
    FAILS(RILL_ERR_INVALID, rill_txn_get(txn, theirs, txn_text("k"), &value));
    FAILS(RILL_ERR_INVALID, rill_cursor_open(NULL, txn, theirs, NULL, &cursor));
    FAILS(RILL_ERR_INVALID, rill_cursor_open(view, txn, theirs, NULL, &cursor));
    consumer = consumer_open(other, &options);
    OK(rill_consumer_assign(consumer, &position, 1));
    FAILS(RILL_ERR_INVALID, rill_txn_send_offsets(txn, consumer, &position, 1));
    test_says("the consumer is of another store");
    OK(rill_consumer_close(consumer, 0));
    OK(rill_txn_commit(txn, WAIT_MS));
    rill_view_close(view);
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(theirs);
    OK(rill_close(other));
}

/* ---- A transaction that has failed ---- */

static bool next_commit_fails;

int mdb_txn_commit(MDB_txn *txn)
{
    void *at = dlsym(RTLD_NEXT, "mdb_txn_commit");
    int (*real)(MDB_txn * txn);

    assert_non_null(at);
    memcpy(&real, &at, sizeof at);
    if (!next_commit_fails) return real(txn);
    next_commit_fails = false;
    mdb_txn_abort(txn);
    return EIO;
}

static void after_a_failed_commit_only_an_abort_helps(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_space *space = open_space(store, "s");
    int64_t number = 1;
    rill_record record = record_of(&number);
    rill_cursor *cursor;
    rill_bytes value;
    rill_txn *txn;

    test_topic(store, "t", 1);
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("v")));
    next_commit_fails = true;
    FAILS(RILL_ERR_IO, rill_txn_commit(txn, WAIT_MS));
    FAILS(RILL_ERR_STATE, rill_txn_put(txn, space, txn_text("k"), txn_text("w")));
    test_says("being ended");
    FAILS(RILL_ERR_STATE, rill_txn_get(txn, space, txn_text("k"), &value));
    FAILS(RILL_ERR_STATE, rill_cursor_open(NULL, txn, space, NULL, &cursor));
    FAILS(RILL_ERR_STATE, rill_producer_send(producer, &record, NULL, WAIT_MS));
    test_says("being ended");
    OK(rill_txn_abort(txn, WAIT_MS));
    FAILS(RILL_ERR_NOT_FOUND, rill_space_get(space, txn_text("k"), NULL, 0, &(size_t){0}));
    put_committed(producer, space, "k", "x"); /* the next one is well */
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);
}

/* It has lasted too long: nothing is added to it, and it stays so. */
static void a_late_one_takes_nothing_more(void **state)
{
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options,
                                     .topic = "t",
                                     .transactional_id = "job",
                                     .transaction_timeout_ms = 1};
    int64_t number = 1;
    rill_record record = record_of(&number);
    rill_space *space = open_space(store, "s");
    rill_producer *producer;
    rill_bytes value;
    rill_txn *txn;

    test_topic(store, "t", 1);
    OK(rill_producer_open(store, &options, &producer));
    txn = txn_begin(producer);
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("v")));
    usleep(5000);
    FAILS(RILL_ERR_ABORTED, rill_txn_commit(txn, WAIT_MS));
    test_says("lasted longer than transaction_timeout_ms");
    FAILS(RILL_ERR_ABORTED, rill_producer_send(producer, &record, NULL, WAIT_MS));
    test_says("rill_txn_abort");
    FAILS(RILL_ERR_ABORTED, rill_txn_get(txn, space, txn_text("k"), &value));
    FAILS(RILL_ERR_ABORTED, rill_txn_commit(txn, WAIT_MS));
    test_says("an earlier call on the transaction failed");
    OK(rill_txn_abort(txn, WAIT_MS));
    assert_int_equal(log_end_of(store, "t", 0), 0);
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);
}

static bool may_go(void *arg, const struct meta_name *name)
{
    (void)arg, (void)name;
    return true;
}

/* The catalogue has forgotten the name, as maintenance does when its owner seemed gone. */
static void without_its_name_nothing_is_decided(void **state)
{
    rill *store = *state;
    rill_space *space = open_space(store, "s");
    rill_producer *producer;
    rill_producer *other;
    rill_txn *txn;

    test_topic(store, "t", 1);
    producer = txn_job(store, "job");
    put_committed(producer, space, "k", "v");
    txn = txn_begin(producer);
    txn_send(producer, NULL, 0, 1);
    OK(rill__meta_name_settle(store->store->meta, "job", 0, 0));
    OK(rill__meta_name_delete(store->store->meta, "job", may_go, NULL));
    FAILS(RILL_ERR_FENCED, rill_txn_commit(txn, WAIT_MS));
    OK(rill_txn_abort(txn, WAIT_MS));
    txn_sees(store, "t", 0, "");
    other = txn_job(store, "other");
    put_committed(other, space, "k", "w"); /* nobody writes the space any more */
    OK(rill_producer_close(other, WAIT_MS));
    rill_producer_close(producer, WAIT_MS);
    rill_space_close(space);
}

static int commits;

static int count_commit(void *arg, const rill_position *positions, size_t count)
{
    (void)arg;
    assert_int_equal(count, 1);
    assert_int_equal(positions[0].offset, 3);
    commits++;
    return 0;
}

/* A consumer that has read nothing more has nothing to commit, and nobody is told. */
static void no_offsets_are_none(void **state)
{
    rill *store = *state;
    rill_consumer_interceptor eye = {.name = "eye", .on_commit = count_commit};
    rill_consumer_options in = {
        .size = sizeof in, .group = "g", .interceptors = &eye, .interceptor_count = 1};
    rill_position from = {.topic = "t"};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_txn *txn;

    commits = 0;
    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 3);
    producer = txn_job(store, "job");
    consumer = consumer_open(store, &in);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes(consumer, 0, 3);
    txn = txn_begin(producer);
    OK(rill_txn_send_offsets(txn, consumer, NULL, 0));
    OK(rill_txn_commit(txn, WAIT_MS));
    assert_int_equal(commits, 1);
    txn = txn_begin(producer);
    OK(rill_txn_send_offsets(txn, consumer, NULL, 0));
    txn_send(producer, NULL, 1, 7);
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 1, "7 ");
    assert_int_equal(commits, 1);
    OK(rill_consumer_committed(consumer, "t", 0, &from, NULL, 0));
    assert_int_equal(from.offset, 3);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_producer_close(producer, WAIT_MS));
}

static void a_fenced_one_ends_nothing(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position position = {.topic = "t"};
    rill_producer *old;
    rill_producer *fresh;
    rill_consumer *consumer;
    rill_space *space = open_space(store, "s");
    rill_bytes value;
    rill_txn *txn;

    test_topic(store, "t", 1);
    old = txn_job(store, "job");
    txn = txn_begin(old);
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("v")));
    fresh = txn_job(store, "job");
    FAILS(RILL_ERR_FENCED, rill_txn_commit(txn, WAIT_MS));
    test_says("a newer instance");
    FAILS(RILL_ERR_ABORTED, rill_txn_put(txn, space, txn_text("k"), txn_text("w")));
    test_says("rill_txn_abort");
    FAILS(RILL_ERR_ABORTED, rill_txn_get(txn, space, txn_text("k"), &value));
    FAILS(RILL_ERR_FENCED, rill_txn_commit(txn, WAIT_MS));
    consumer = consumer_open(store, &options);
    OK(rill_consumer_assign(consumer, &position, 1));
    FAILS(RILL_ERR_FENCED, rill_txn_send_offsets(txn, consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
    rill_txn_abort(txn, WAIT_MS);
    FAILS(RILL_ERR_FENCED, rill_txn_begin(old, &txn));
    rill_producer_close(old, WAIT_MS);
    put_committed(fresh, space, "k", "new");
    OK(rill_producer_close(fresh, WAIT_MS));
    rill_space_close(space);
}

/* It had failed, and before the next one begins another instance has come. */
static void a_newer_instance_is_met_at_the_next_beginning(void **state)
{
    rill *store = *state;
    rill_producer *old;
    rill_producer *fresh;
    rill_txn *txn;

    test_topic(store, "t", 1);
    old = txn_job(store, "job");
    txn = txn_begin(old);
    txn_send(old, NULL, 0, 1);
    OK(rill_txn_abort(txn, WAIT_MS));
    fresh = txn_job(store, "job");
    FAILS(RILL_ERR_FENCED, rill_txn_begin(old, &txn));
    test_says("a newer instance");
    FAILS(RILL_ERR_FENCED, rill_txn_begin(old, &txn));
    txn = txn_begin(fresh);
    txn_send(fresh, NULL, 0, 2);
    OK(rill_txn_commit(txn, WAIT_MS));
    txn_sees(store, "t", 0, "2 ");
    rill_producer_close(old, WAIT_MS);
    OK(rill_producer_close(fresh, WAIT_MS));
}

/* ---- What a producer holds of topics that go ---- */

/* A topic goes between a transaction that wrote to it and the next one, while room in it
 * is reserved, and while records for it wait: nobody waits for it, and others go on. */
static void topics_go_under_a_producer(void **state)
{
    rill *store = *state;
    rill_producer_options slow = {.size = sizeof slow, .topic = "x", .linger_ms = 3600000};
    int64_t number = 1;
    rill_record record = record_of(&number);
    rill_producer *producer;
    rill_reservation room;
    rill_txn *txn;
    int32_t sequence;

    test_topic(store, "t", 1);
    test_topic(store, "x", 1);
    producer = txn_job(store, "job");
    FAILS(RILL_ERR_STATE, rill_producer_append_sequenced(producer, 0, &record, 1, WAIT_MS, NULL));
    test_says("which number records themselves");
    FAILS(RILL_ERR_STATE, rill_producer_sequence(producer, "t", 0, &sequence));
    txn = txn_begin(producer);
    txn_send(producer, "x", 0, 1);
    OK(rill_txn_commit(txn, WAIT_MS)); /* its marker is to be synced by the next one */
    OK(rill_topic_delete(store, "x"));
    for (int i = 0; i < 2; i++) {
        OK(rill_maintain(store, NULL));
        txn = txn_begin(producer);
        txn_send(producer, "t", 0, 2 + i);
        OK(rill_txn_commit(txn, WAIT_MS));
    }
    txn_sees(store, "t", 0, "2 3 ");
    OK(rill_producer_close(producer, WAIT_MS));

    test_topic(store, "x", 1);
    producer = producer_open(store, &slow);
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
    OK(rill_topic_delete(store, "x"));
    OK(rill_maintain(store, NULL));
    record.topic = "t";
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    OK(rill_producer_reserve(producer, &record, WAIT_MS, &room));
    OK(rill_maintain(store, NULL));
    memcpy(room.value, &number, sizeof number);
    OK(rill_producer_commit(producer, NULL));
    rill_producer_close(producer, WAIT_MS);
    txn_sees(store, "t", 0, "2 3 1 1 ");
}

/* ---- Records that do not verify ---- */

struct rot {
    const char *key;
    size_t size;
    size_t value_size; /* 0: not even a checksum */
};

static int rot_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct rot *rot = arg;
    uint8_t value[100] = {0};
    MDB_val key = {rot->size, (void *)(uintptr_t)rot->key};
    MDB_val bad = {12, (void *)(uintptr_t) "no checksum!"};

    if (rot->value_size != 0) return rill__meta_put(meta, txn, &key, value, rot->value_size);
    return rill__meta_failed(meta, mdb_put(txn, meta->dbi, &key, &bad, 0), "rotting");
}

static void rot(rill *store, const char *key, size_t size, size_t value_size)
{
    struct rot work = {key, size, value_size};
    OK(rill__meta_write(store->store->meta, rot_work, &work));
}

static void damage_of_a_space_is_told(void **state)
{
    rill *store = *state;
    rill_producer *producer;
    rill_space *space = open_space(store, "s");
    rill_space *other;
    struct names names = {.left = 0};
    rill_range range = {.reverse = 1};
    rill_cursor *cursor;
    rill_bytes value;
    rill_bytes key;
    rill_view *view;
    rill_txn *txn;
    char room[8];
    size_t size;

    test_topic(store, "t", 1);
    producer = txn_job(store, "job");
    put_committed(producer, space, "k", "v");
    put_committed(producer, space, "m", "w");
    rot(store, "K\0\0\0\0k", 6, 0); /* the first space has number 0 */
    FAILS(RILL_ERR_CORRUPT, rill_space_get(space, txn_text("k"), room, sizeof room, &size));
    OK(rill_view_open(store, &view));
    FAILS(RILL_ERR_CORRUPT, rill_view_get(view, space, txn_text("k"), &value));
    for (range.reverse = 0; range.reverse < 2; range.reverse++) {
        OK(rill_cursor_open(view, NULL, space, &range, &cursor));
        if (range.reverse) OK(rill_cursor_next(cursor, &key, &value));
        FAILS(RILL_ERR_CORRUPT, rill_cursor_next(cursor, &key, &value));
        rill_cursor_close(cursor);
    }
    rill_view_close(view);
    txn = txn_begin(producer);
    FAILS(RILL_ERR_CORRUPT, rill_txn_get(txn, space, txn_text("k"), &value));
    FAILS(RILL_ERR_CORRUPT, rill_cursor_open(NULL, txn, space, NULL, &cursor));
    OK(rill_txn_put(txn, space, txn_text("k"), txn_text("anew")));
    OK(rill_txn_commit(txn, WAIT_MS));
    OK(rill_space_get(space, txn_text("k"), room, sizeof room, &size));
    assert_memory_equal(room, "anew", 4);
    OK(rill_producer_close(producer, WAIT_MS));
    rill_space_close(space);

    for (size_t value_size = 0; value_size < 8; value_size += 7) {
        rot(store, "Ds", 2, value_size);
        FAILS(RILL_ERR_CORRUPT, rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
        FAILS(RILL_ERR_CORRUPT, rill_space_delete(store, "s"));
        FAILS(RILL_ERR_CORRUPT, rill_space_list(store, note_name, &names));
    }
    rot(store, "Ds", 2, META_SPACE_SIZE); /* of number 0, with nobody who may write it */
    for (size_t value_size = 0; value_size < 8; value_size += 7) {
        rot(store, "N", 1, value_size);
        FAILS(RILL_ERR_CORRUPT, rill_space_open(store, "new", RILL_SPACE_CREATE, &other));
        FAILS(RILL_ERR_NOT_FOUND, rill_space_open(store, "new", 0, &other));
    }
}

/* ---- Arguments ---- */

static void missing_arguments_are_named(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_consumer *consumer = consumer_open(store, &options);
    rill_space *space = open_space(store, "s");
    rill_producer *producer;
    rill_cursor *cursor;
    rill_view *view;
    rill_bytes bytes = {"b", 1};
    rill_txn *txn;
    size_t size;
    char room[4];

    test_topic(store, "t", 1);
    producer = txn_job(store, "job");
    FAILS(RILL_ERR_INVALID, rill_txn_begin(NULL, &txn));
    FAILS(RILL_ERR_INVALID, rill_txn_begin(producer, NULL));
    txn = txn_begin(producer);
    FAILS(RILL_ERR_INVALID, rill_txn_send_offsets(NULL, consumer, NULL, 0));
    FAILS(RILL_ERR_INVALID, rill_txn_send_offsets(txn, NULL, NULL, 0));
    test_says("consumer");
    FAILS(RILL_ERR_INVALID, rill_txn_commit(NULL, 0));
    FAILS(RILL_ERR_INVALID, rill_txn_abort(NULL, 0));
    FAILS(RILL_ERR_INVALID, rill_txn_get(NULL, space, bytes, &bytes));
    FAILS(RILL_ERR_INVALID, rill_txn_get(txn, NULL, bytes, &bytes));
    FAILS(RILL_ERR_INVALID, rill_txn_get(txn, space, bytes, NULL));
    test_says("value");
    FAILS(RILL_ERR_INVALID, rill_txn_put(NULL, space, bytes, bytes));
    FAILS(RILL_ERR_INVALID, rill_txn_put(txn, NULL, bytes, bytes));
    FAILS(RILL_ERR_INVALID, rill_txn_put(txn, space, bytes, none));
    FAILS(RILL_ERR_INVALID, rill_txn_delete(NULL, space, bytes));
    FAILS(RILL_ERR_INVALID, rill_txn_delete(txn, NULL, bytes));
    FAILS(RILL_ERR_INVALID, rill_space_open(NULL, "s", 0, &space));
    FAILS(RILL_ERR_INVALID, rill_space_open(store, NULL, 0, &space));
    FAILS(RILL_ERR_INVALID, rill_space_open(store, "s", 0, NULL));
    test_says("space");
    FAILS(RILL_ERR_INVALID, rill_space_delete(NULL, "s"));
    FAILS(RILL_ERR_INVALID, rill_space_delete(store, NULL));
    FAILS(RILL_ERR_INVALID, rill_space_list(NULL, note_name, NULL));
    FAILS(RILL_ERR_INVALID, rill_space_list(store, NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_space_get(NULL, bytes, room, sizeof room, &size));
    FAILS(RILL_ERR_INVALID, rill_space_get(space, bytes, NULL, sizeof room, &size));
    FAILS(RILL_ERR_INVALID, rill_space_get(space, bytes, room, sizeof room, NULL));
    FAILS(RILL_ERR_INVALID, rill_view_open(NULL, &view));
    FAILS(RILL_ERR_INVALID, rill_view_open(store, NULL));
    OK(rill_view_open(store, &view));
    FAILS(RILL_ERR_INVALID, rill_view_get(NULL, space, bytes, &bytes));
    FAILS(RILL_ERR_INVALID, rill_view_get(view, NULL, bytes, &bytes));
    FAILS(RILL_ERR_INVALID, rill_view_get(view, space, bytes, NULL));
    FAILS(RILL_ERR_INVALID, rill_cursor_open(view, NULL, NULL, NULL, &cursor));
    FAILS(RILL_ERR_INVALID, rill_cursor_open(view, NULL, space, NULL, NULL));
    OK(rill_cursor_open(view, NULL, space, NULL, &cursor));
    FAILS(RILL_ERR_INVALID, rill_cursor_next(NULL, &bytes, &bytes));
    FAILS(RILL_ERR_INVALID, rill_cursor_next(cursor, NULL, &bytes));
    FAILS(RILL_ERR_INVALID, rill_cursor_next(cursor, &bytes, NULL));
    rill_cursor_close(cursor);
    rill_cursor_close(NULL);
    rill_view_close(view);
    rill_view_close(NULL);
    OK(rill_txn_commit(txn, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_consumer_close(consumer, 0));
    rill_space_close(space);
    rill_space_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(each_handle_opens_a_space_once),
        WITH_STORE(spaces_are_listed_until_that_is_ended),
        WITH_STORE(only_what_is_there_and_free_is_deleted),
        WITH_STORE(a_value_that_does_not_fit_says_its_size),
        WITH_STORE(keys_have_a_size_that_fits),
        WITH_STORE(a_cursor_stays_in_its_space),
        WITH_STORE(stores_are_not_mixed),
        WITH_STORE(after_a_failed_commit_only_an_abort_helps),
        WITH_STORE(a_late_one_takes_nothing_more),
        WITH_STORE(without_its_name_nothing_is_decided),
        WITH_STORE(no_offsets_are_none),
        WITH_STORE(a_fenced_one_ends_nothing),
        WITH_STORE(a_newer_instance_is_met_at_the_next_beginning),
        WITH_STORE(topics_go_under_a_producer),
        WITH_STORE(damage_of_a_space_is_told),
        WITH_STORE(missing_arguments_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
