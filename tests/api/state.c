/*
 * The state of applications against a plain array: random puts, deletes, reads and walks of
 * any range, both ways, in transactions that are committed, aborted, or left open by a
 * producer that is closed; keys and values of all sizes. What a transaction sees is what is
 * committed and its own; what a view shows is one moment.
 */
#include "txns.h"

enum { KEYS = 60, SPACES = 2, STEPS = 4000 };

struct key {
    size_t size;
    uint8_t bytes[RILL_SPACE_KEY_MAX];
};

/* In the order of memcmp. */
static struct key keys[KEYS];

/* size SIZE_MAX: there is none. */
struct value {
    size_t size;
    uint8_t fill;
};

struct model {
    struct value values[SPACES][KEYS];
};

static struct {
    rill *store;
    rill_producer *producer;
    rill_space *spaces[SPACES];
    rill_txn *txn;   /* NULL: none is open */
    rill_view *view; /* the same */
    struct model committed;
    struct model now;  /* as the transaction sees it */
    struct model seen; /* by the view */
    struct test_random random;
} run;

static uint8_t *content; /* of the value that is put or compared */

static uint64_t below(uint64_t limit)
{
    return test_random_below(&run.random, limit);
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a;
    const struct key *y = b;
    size_t common = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->bytes, y->bytes, common);

    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* Long common beginnings, bytes 0 and 255, the empty one, the longest. */
static void make_keys(void)
{
    static const uint8_t bytes[] = {0, 1, 'a', 255};
    static const size_t sizes[] = {1, 2, 3, 8, 100, RILL_SPACE_KEY_MAX - 1, RILL_SPACE_KEY_MAX};
    int count = 1; /* the first one is empty */

    memset(keys, 0, sizeof keys);
    while (count < KEYS) {
        struct key *key = &keys[count];
        key->size = sizes[below(7)];
        memset(key->bytes, bytes[below(4)], key->size);
        for (size_t i = key->size > 3 ? key->size - 3 : 0; i < key->size; i++)
            key->bytes[i] = bytes[below(4)];
        for (int i = 0; i <= count; i++) {
            if (i == count) count++;
            if (compare_keys(&keys[i], key) == 0) break;
        }
    }
    qsort(keys, KEYS, sizeof keys[0], compare_keys);
}

static rill_bytes key_bytes(int key)
{
    return (rill_bytes){keys[key].bytes, keys[key].size};
}

static void is_value(rill_bytes found, const struct value *expected)
{
    assert_int_equal(found.size, expected->size);
    memset(content, expected->fill, expected->size);
    if (found.size != 0) assert_memory_equal(found.data, content, found.size);
}

/* ---- Steps -------------------------------------------------------------- */

static void begin_if_none(void)
{
    if (run.txn != NULL) return;
    run.txn = txn_begin(run.producer);
    run.now = run.committed;
}

static void put_one(int space, int key)
{
    static const size_t sizes[] = {0, 1, 7, 100, 2000, 4096, 30000, RILL_SPACE_VALUE_MAX};
    struct value value = {sizes[below(below(20) == 0 ? 8 : 6)], (uint8_t)below(256)};

    memset(content, value.fill, value.size);
    OK(rill_txn_put(run.txn, run.spaces[space], key_bytes(key),
                    (rill_bytes){content, value.size}));
    run.now.values[space][key] = value;
}

static void delete_one(int space, int key)
{
    OK(rill_txn_delete(run.txn, run.spaces[space], key_bytes(key)));
    run.now.values[space][key].size = SIZE_MAX;
}

static void get_one(int space, int key)
{
    rill_bytes found;
    int rc = rill_txn_get(run.txn, run.spaces[space], key_bytes(key), &found);

    if (run.now.values[space][key].size == SIZE_MAX) assert_int_equal(rc, RILL_ERR_NOT_FOUND);
    else OK(rc);
    if (rc == 0) is_value(found, &run.now.values[space][key]);
}

/* Whoever is outside sees what is committed. */
static void get_outside(int space, int key)
{
    const struct value *expected = &run.committed.values[space][key];
    static uint8_t value[RILL_SPACE_VALUE_MAX];
    size_t size;
    int rc = rill_space_get(run.spaces[space], key_bytes(key), value, sizeof value, &size);

    if (expected->size == SIZE_MAX) assert_int_equal(rc, RILL_ERR_NOT_FOUND);
    else OK(rc);
    if (rc == 0) is_value((rill_bytes){value, size}, expected);
}

/* A walk over [from, to), of which either may be open, and one that puts meanwhile. */
static void walk(const struct model *model, rill_view *view, int space)
{
    int from = below(3) == 0 ? 0 : (int)below(KEYS);
    int to = below(3) == 0 ? KEYS : (int)below(KEYS);
    bool reverse = below(2) == 0;
    rill_range range = {.reverse = reverse};
    rill_cursor *cursor;
    rill_bytes key;
    rill_bytes value;

    if (from != 0) range.from = key_bytes(from);
    if (to != KEYS) range.to = key_bytes(to);
    OK(rill_cursor_open(view, view == NULL ? run.txn : NULL, run.spaces[space], &range, &cursor));
    for (int i = reverse ? to - 1 : from; reverse ? i >= from : i < to; i += reverse ? -1 : 1) {
        if (model->values[space][i].size == SIZE_MAX) continue;
        OK(rill_cursor_next(cursor, &key, &value));
        assert_int_equal(key.size, keys[i].size);
        if (key.size != 0) assert_memory_equal(key.data, keys[i].bytes, key.size);
        is_value(value, &model->values[space][i]);
        if (view == NULL && below(10) == 0) { /* what it stands on, or what is far away */
            int other = below(2) == 0 ? i : (int)below(KEYS);
            if (below(2) == 0) delete_one(space, other);
            else put_one(space, other);
        }
    }
    FAILS(RILL_ERR_NOT_FOUND, rill_cursor_next(cursor, &key, &value));
    rill_cursor_close(cursor);
}

static void end_one(bool commit)
{
    if (run.view != NULL) rill_view_close(run.view); /* the catalogue may have to grow */
    run.view = NULL;
    if (commit) {
        OK(rill_txn_commit(run.txn, WAIT_MS));
        run.committed = run.now;
    } else {
        OK(rill_txn_abort(run.txn, WAIT_MS));
    }
    run.txn = NULL;
}

static void open_all(void)
{
    const char *names[SPACES] = {"one", "two"};

    for (int i = 0; i < SPACES; i++)
        OK(rill_space_open(run.store, names[i], RILL_SPACE_CREATE, &run.spaces[i]));
    run.producer = txn_job(run.store, "job");
}

static void close_all(void)
{
    if (run.view != NULL) rill_view_close(run.view);
    run.view = NULL;
    run.txn = NULL; /* closing aborts */
    OK(rill_producer_close(run.producer, WAIT_MS));
    for (int i = 0; i < SPACES; i++) rill_space_close(run.spaces[i]);
}

static void look_with_a_view(int space)
{
    if (run.view == NULL) {
        OK(rill_view_open(run.store, &run.view));
        run.seen = run.committed;
    }
    walk(&run.seen, run.view, space);
}

static void one_step(void)
{
    int space = (int)below(SPACES);
    int key = (int)below(KEYS);
    uint64_t what = below(100);

    begin_if_none();
    if (what < 35) put_one(space, key);
    else if (what < 50) delete_one(space, key);
    else if (what < 65) get_one(space, key);
    else if (what < 75) get_outside(space, key);
    else if (what < 83) walk(&run.now, NULL, space);
    else if (what < 90) look_with_a_view(space);
    else if (what < 99) end_one(below(3) != 0);
    else {
        close_all();
        open_all();
    }
}

static void state_is_as_it_was_put(void **state)
{
    run.random = test_random_seeded(11);
    run.store = *state;
    content = malloc(RILL_SPACE_VALUE_MAX);
    assert_non_null(content);
    test_topic(run.store, "t", 1);
    make_keys();
    for (int space = 0; space < SPACES; space++)
        for (int key = 0; key < KEYS; key++) run.committed.values[space][key].size = SIZE_MAX;
    open_all();
    for (int i = 0; i < STEPS; i++) one_step();
    close_all();
    OK(rill_close(run.store));
    *state = run.store = test_store_open();
    open_all();
    begin_if_none();
    for (int space = 0; space < SPACES; space++)
        for (int key = 0; key < KEYS; key++) get_outside(space, key);
    walk(&run.now, NULL, 0);
    walk(&run.now, NULL, 1);
    close_all();
    free(content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(state_is_as_it_was_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
