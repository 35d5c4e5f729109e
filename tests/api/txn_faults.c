/*
 * Transactions while anything fails: each call of LMDB, each call of the system and each
 * request for memory, one at a time, in a round that is opened, fenced, read, put, sent
 * and committed. Whatever is told: records, state and offsets have moved together or not
 * at all, what was told to be committed is, and the next round goes on from there.
 */
#include "faults.h"
#include "txns.h"
#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>

/* ---- What fails ---- */

static struct {
    unsigned lmdb; /* the call that fails, from now on; 0: none */
    unsigned memory;
    bool happened;
} fault;

static bool fails_now(unsigned *left)
{
    if (*left == 0 || --*left != 0) return false;
    fault.happened = true;
    return true;
}

#define REAL(name, pointer)                                                                      \
    do {                                                                                         \
        void *real_at = dlsym(RTLD_NEXT, name);                                                  \
        assert_non_null(real_at);                                                                \
        memcpy(&(pointer), &real_at, sizeof real_at);                                            \
    } while (0)

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    int (*real)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);

    REAL("mdb_txn_begin", real);
    return fails_now(&fault.lmdb) ? EIO : real(env, parent, flags, txn);
}

int mdb_txn_commit(MDB_txn *txn)
{
    int (*real)(MDB_txn *);

    REAL("mdb_txn_commit", real);
    if (!fails_now(&fault.lmdb)) return real(txn);
    mdb_txn_abort(txn);
    return EIO;
}

int mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value)
{
    int (*real)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);

    REAL("mdb_get", real);
    return fails_now(&fault.lmdb) ? EIO : real(txn, dbi, key, value);
}

int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags)
{
    int (*real)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned);

    REAL("mdb_put", real);
    return fails_now(&fault.lmdb) ? EIO : real(txn, dbi, key, value, flags);
}

int mdb_cursor_open(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor)
{
    int (*real)(MDB_txn *, MDB_dbi, MDB_cursor **);

    REAL("mdb_cursor_open", real);
    return fails_now(&fault.lmdb) ? EIO : real(txn, dbi, cursor);
}

int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
    int (*real)(MDB_cursor *, MDB_val *, MDB_val *, MDB_cursor_op);

    REAL("mdb_cursor_get", real);
    return fails_now(&fault.lmdb) ? EIO : real(cursor, key, value, op);
}

static int blocks; /* that the library has */

static void *get_memory(void *arg, size_t size)
{
    (void)arg;
    if (fails_now(&fault.memory)) return NULL;
    blocks++;
    return malloc(size);
}

static void *resize_memory(void *arg, void *old, size_t size)
{
    (void)arg;
    return fails_now(&fault.memory) ? NULL : realloc(old, size);
}

static void release_memory(void *arg, void *old)
{
    (void)arg;
    blocks--;
    free(old);
}

/* ---- The store ---- */

static rill *store;

static void open_store(void)
{
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .allocator = {get_memory, resize_memory, release_memory, NULL}};
    OK(rill_open(test_path("store"), &options, &store));
}

static int set_up(void **state)
{
    (void)state;
    memset(&fault, 0, sizeof fault);
    test_directory();
    open_store();
    test_topic(store, "t", 2);
    test_topic(store, "in", 1);
    put(store, "in", 0, 0, 1000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (store != NULL) OK(rill_close(store));
    store = NULL;
    test_directory_remove();
    return 0;
}

/* ---- A round ---- */

static int64_t committed(void)
{
    int64_t number = 0;
    rill_space *space;
    size_t size;
    int rc;

    OK(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    rc = rill_space_get(space, txn_text("count"), &number, sizeof number, &size);
    if (rc != RILL_ERR_NOT_FOUND) OK(rc);
    rill_space_close(space);
    return number;
}

/* Walks the space, as the transaction has it, and as it is for others. */
static int walk(rill_txn *txn, rill_space *space)
{
    rill_view *view;
    rill_cursor *cursor;
    rill_bytes key;
    rill_bytes value;
    int rc = rill_view_open(store, &view);

    if (rc != 0) return rc;
    for (int own = 0; own < 2 && rc == 0; own++) {
        rc = rill_cursor_open(own ? NULL : view, own ? txn : NULL, space, NULL, &cursor);
        if (rc != 0) break;
        while ((rc = rill_cursor_next(cursor, &key, &value)) == 0) {}
        if (rc == RILL_ERR_NOT_FOUND) rc = 0;
        rill_cursor_close(cursor);
    }
    rill_view_close(view);
    return rc;
}

/* A key that is there only within the transaction. */
static int put_and_delete(rill_txn *txn, rill_space *space)
{
    rill_bytes value;
    int rc = rill_txn_put(txn, space, txn_text("gone"), txn_text("soon"));

    if (rc == 0) rc = rill_txn_delete(txn, space, txn_text("gone"));
    if (rc != 0) return rc;
    rc = rill_txn_get(txn, space, txn_text("gone"), &value);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

/* Records, state and offset of the next number, in one transaction; *told: how often it
 * was said that one is committed. */
static int commit_next(rill_producer *producer, rill_space *space, rill_consumer *consumer,
                       int *told)
{
    rill_position position = {.topic = "in", .leader_epoch = -1};
    rill_bytes value;
    int64_t number = 0;
    rill_record record;
    rill_txn *txn;
    int rc = rill_txn_begin(producer, &txn);
    int aborted;

    if (rc != 0) return rc;
    rc = rill_txn_get(txn, space, txn_text("count"), &value);
    if (rc == RILL_ERR_NOT_FOUND) rc = 0;
    else if (rc == 0) memcpy(&number, value.data, sizeof number);
    number++;
    for (int p = 0; p < 2 && rc == 0; p++) {
        record = record_of(&number);
        record.partition = p;
        rc = rill_producer_send(producer, &record, NULL, WAIT_MS);
    }
    if (rc == 0)
        rc = rill_txn_put(txn, space, txn_text("count"), (rill_bytes){&number, sizeof number});
    position.offset = number;
    if (rc == 0) rc = put_and_delete(txn, space);
    if (rc == 0) rc = walk(txn, space);
    if (rc == 0) rc = rill_txn_send_offsets(txn, consumer, &position, 1);
    if (rc == 0) rc = rill_txn_commit(txn, WAIT_MS);
    if (rc == 0) {
        ++*told;
        return 0;
    }
    aborted = rill_txn_abort(txn, WAIT_MS);
    if (aborted == RILL_ERR_EXISTS) ++*told;
    return rc;
}

/* One of the same name has left a transaction open. Everything may fail. */
static int round_of(int *told)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = "t", .transactional_id = "job"};
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    rill_position from = {.topic = "in"};
    int64_t number = -1;
    rill_record record = record_of(&number);
    rill_producer *zombie = NULL;
    rill_producer *producer = NULL;
    rill_consumer *consumer = NULL;
    rill_space *space = NULL;
    rill_txn *txn;
    int rc = rill_producer_open(store, &options, &zombie);

    *told = 0;
    if (rc == 0) rc = rill_txn_begin(zombie, &txn);
    if (rc == 0) rc = rill_producer_send(zombie, &record, NULL, WAIT_MS);
    if (rc == 0) rc = rill_producer_flush(zombie, WAIT_MS);
    if (rc == 0) rc = rill_producer_open(store, &options, &producer);
    if (rc == 0) rc = rill_space_open(store, "s", RILL_SPACE_CREATE, &space);
    if (rc == 0) rc = rill_consumer_open(store, &in, &consumer);
    if (rc == 0) rc = rill_consumer_assign(consumer, &from, 1);
    for (int i = 0; i < 4 && consumer != NULL && *told < 2; i++) /* also after one that failed */
        rc = commit_next(producer, space, consumer, told);
    if (rc == 0) rc = rill_maintain(store, NULL);
    if (rc != 0 && rill_errmsg()[0] == '\0') fail_msg("no message for %d", rc);
    if (producer != NULL) rill_producer_close(producer, WAIT_MS);
    if (zombie != NULL) rill_producer_close(zombie, WAIT_MS);
    if (consumer != NULL) rill_consumer_close(consumer, WAIT_MS);
    if (space != NULL) rill_space_close(space);
    return rc;
}

/* With nothing failing: the three agree, and nothing but whole numbers is there. */
static int64_t agreed(void)
{
    rill_producer *producer = txn_job(store, "job"); /* settles what is open */
    char expected[4000] = "";
    int64_t number;
    int64_t offset = 0;

    OK(rill_producer_close(producer, WAIT_MS));
    number = committed();
    for (int64_t i = 1; i <= number; i++)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%d ", (int)i);
    for (int p = 0; p < 2; p++)
        assert_string_equal(txn_seen(store, "t", p, RILL_READ_COMMITTED), expected);
    if (number > 0) {
        rill_consumer_options in = {.size = sizeof in, .group = "g"};
        rill_consumer *consumer = consumer_open(store, &in);
        rill_position position;
        OK(rill_consumer_committed(consumer, "in", 0, &position, NULL, 0));
        offset = position.offset;
        OK(rill_consumer_close(consumer, WAIT_MS));
    }
    assert_int_equal(offset, number);
    return number;
}

enum what { LMDB, MEMORY, SYSTEM };

static void fail_each(enum what what)
{
    int64_t before = agreed();
    int told;

    for (unsigned n = 1;; n += 1 + n / 24) {
        int64_t now;
        int rc_of_close;
        int rc;
        fault.happened = false;
        if (what == LMDB) fault.lmdb = n;
        if (what == MEMORY) fault.memory = n;
        if (what == SYSTEM)
            faults_fail(FAULT_ANY & ~(unsigned)(FAULT_MADVISE | FAULT_FSTAT), NULL, n, EIO,
                        FAULT_ONCE);
        rc = round_of(&told);
        if (what == SYSTEM) fault.happened = faults_count() >= n;
        faults_clear();
        fault.lmdb = fault.memory = 0;
        rc_of_close = rill_close(store); /* what failed to be synced is poisoned until then */
        store = NULL;
        if (rc_of_close != RILL_ERR_POISONED || what != SYSTEM) OK(rc_of_close);
        assert_int_equal(blocks, 0);
        open_store();
        now = agreed();
        if (now < before + told || now > before + 4 || (rc == 0 && now < before + 2))
            fail_msg("call %u: %d, %d were told; %d, then %d", n, rc, told, (int)before,
                     (int)now);
        before = now;
        if (!fault.happened) {
            OK(rc);
            assert_true(n > 20);
            return;
        }
    }
}

static void each_call_of_lmdb_may_fail(void **state)
{
    (void)state;
    fail_each(LMDB);
}

static void each_request_for_memory_may_fail(void **state)
{
    (void)state;
    fail_each(MEMORY);
}

static void each_call_of_the_system_may_fail(void **state)
{
    (void)state;
    fail_each(SYSTEM);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_call_of_lmdb_may_fail),
        TEST(each_request_for_memory_may_fail),
        TEST(each_call_of_the_system_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
