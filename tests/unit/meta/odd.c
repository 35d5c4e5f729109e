/*
 * The catalogue in odd states: records of a form that this library does not
 * write, a map that grows under readers, no room for one more reader, and LMDB's
 * codes, each with its error.
 */
#include "catalogues.h"
#include "base/bytes.h"
#include <errno.h>
#include <pthread.h>

/* ---- Records of another form, whose checksum is right ---- */

struct put {
    MDB_val key;
    uint8_t value[200];
    size_t size;
};

static int put_work(struct meta *m, MDB_txn *txn, void *arg)
{
    struct put *put = arg;
    return rill__meta_put(m, txn, &put->key, put->value, put->size);
}

static void put(const void *key, size_t key_size, size_t value_size)
{
    struct put put = {.key = {key_size, (void *)(uintptr_t)key}, .size = value_size};
    OK(rill__meta_write(meta, put_work, &put));
}

static void a_topic_of_another_size_is_damage(void **state)
{
    struct meta_topic topic = {.name = ""};
    char long_key[300];

    (void)state;
    put("Tshort", 6, META_TOPIC_SIZE - 1);
    FAILS(RILL_ERR_CORRUPT, rill__meta_topic_get(meta, "short", &topic));
    put("Tshort", 6, META_TOPIC_SIZE + 1);
    FAILS(RILL_ERR_CORRUPT, rill__meta_topic_after(meta, "", &topic));
    FAILS(RILL_ERR_CORRUPT, rill__meta_topic_delete(meta, "short", &topic));
    memset(long_key, 'a', sizeof long_key);
    long_key[0] = 'T';
    put(long_key, RILL_TOPIC_NAME_MAX + 2, META_TOPIC_SIZE);
    FAILS(RILL_ERR_CORRUPT, rill__meta_topic_after(meta, "", &topic));
}

static void a_group_of_another_form_is_damage(void **state)
{
    char name[8];
    int32_t generation;

    (void)state;
    put("Glong-name", 10, 4);
    FAILS(RILL_ERR_CORRUPT, rill__meta_group_after(meta, "", name, sizeof name, &generation));
    put("Gg", 2, 3);
    FAILS(RILL_ERR_CORRUPT, rill__meta_group_after(meta, "", name, sizeof name, &generation));
    FAILS(RILL_ERR_CORRUPT, rill__meta_group_get(meta, "g", &generation));
    FAILS(RILL_ERR_CORRUPT, rill__meta_group_delete(meta, "g", NULL, NULL));
}

static void an_offset_of_another_form_is_damage(void **state)
{
    static const uint8_t topic[16];
    uint8_t key[META_KEY_MAX];
    size_t size = rill__meta_offset_key(key, "g", topic, 0);
    struct meta_offset offset;
    size_t clamped;

    (void)state;
    put(key, size, META_OFFSET_SIZE - 1);
    FAILS(RILL_ERR_CORRUPT, rill__meta_offset_get(meta, "g", topic, 0, &offset, NULL, 0));
    put("Oshort", 6, 30);
    OK(rill__meta_offsets_clamp(meta, topic, 0, 5, &clamped)); /* what is odd is left alone */
    assert_int_equal(clamped, 0);
}

static void a_schema_of_another_form_is_refused(void **state)
{
    static const size_t sizes[] = {2, 7, 8, 9};

    (void)state;
    for (int i = 0; i < 4; i++) {
        put("S", 1, sizes[i]);
        rill__meta_close(meta);
        FAILS(RILL_ERR_FORMAT, rill__meta_open(&heap, test_path("meta"), false, &meta));
        meta = NULL;
        /* As made, for the next round. */
        assert_int_equal(unlink(test_path("meta/data.mdb")), 0);
        OK(rill__meta_open(&heap, test_path("meta"), true, &meta));
    }
}

/* ---- The map and the readers ---- */

enum { THREADS = 4, ROUNDS = 30, AT_ONCE = 100 };

static void *write_much(void *arg)
{
    static char text[RILL_METADATA_MAX + 1];
    struct meta_offset offsets[AT_ONCE];
    char group[32];

    memset(text, 'x', RILL_METADATA_MAX);
    for (int round = 0; round < ROUNDS; round++) {
        snprintf(group, sizeof group, "%p-%d", arg, round);
        for (int i = 0; i < AT_ONCE; i++)
            offsets[i] = (struct meta_offset){.partition = i, .offset = i, .metadata = text};
        if (rill__meta_offsets_commit(meta, group, offsets, AT_ONCE) != 0) return arg;
    }
    return NULL;
}

static void *read_much(void *arg)
{
    static const uint8_t topic[16];
    struct meta_offset offset;
    int32_t generation;

    for (int i = 0; i < 20000; i++) {
        int rc = rill__meta_offset_get(meta, "none", topic, 0, &offset, NULL, 0);
        if (rc != RILL_ERR_NOT_FOUND) return arg;
        rc = rill__meta_group_get(meta, "none", &generation);
        if (rc != RILL_ERR_NOT_FOUND) return arg;
    }
    return NULL;
}

static void the_map_grows_under_readers(void **state)
{
    static char names[THREADS];
    pthread_t threads[THREADS];
    int writers = getenv("RILL_TEST_SLOW") != NULL ? 1 : 2;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < writers ? write_much : read_much, &names[i]),
            0);
    for (int i = 0; i < THREADS; i++) {
        void *what;
        pthread_join(threads[i], &what);
        assert_null(what);
    }
}

static void *let_go(void *arg)
{
    MDB_txn **txns = arg;

    rill__sleep_ns(3000000);
    mdb_txn_abort(txns[0]);
    return NULL;
}

static void one_reader_too_many_waits_then_fails(void **state)
{
    static MDB_txn *txns[2000];
    struct meta_view *view;
    pthread_t thread;
    int32_t generation;
    int count = 0;

    (void)state;
    while (mdb_txn_begin(meta->env, NULL, MDB_RDONLY, &txns[count]) == 0) count++;
    assert_in_range(count, 100, 1999);
    FAILS(RILL_ERR_BUSY, rill__meta_group_get(meta, "g", &generation));
    FAILS(RILL_ERR_BUSY, rill__meta_view_open(meta, &view));
    test_says("places of readers");
    assert_int_equal(pthread_create(&thread, NULL, let_go, txns), 0);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_group_get(meta, "g", &generation));
    pthread_join(thread, NULL);
    OK(rill__meta_view_open(meta, &view));
    rill__meta_view_close(view);
    while (--count > 0) mdb_txn_abort(txns[count]);
}

/* ---- Codes ---- */

static void each_code_of_lmdb_has_its_error(void **state)
{
    static const struct {
        int code;
        int error;
    } rows[] = {{0, 0},
                {MDB_NOTFOUND, RILL_ERR_NOT_FOUND},
                {MDB_MAP_FULL, MDB_MAP_FULL},
                {MDB_MAP_RESIZED, MDB_MAP_RESIZED},
                {MDB_READERS_FULL, MDB_READERS_FULL},
                {MDB_CORRUPTED, RILL_ERR_CORRUPT},
                {MDB_PAGE_NOTFOUND, RILL_ERR_CORRUPT},
                {MDB_INVALID, RILL_ERR_CORRUPT},
                {MDB_PANIC, RILL_ERR_POISONED},
                {MDB_VERSION_MISMATCH, RILL_ERR_FORMAT},
                {MDB_BAD_VALSIZE, RILL_ERR_IO},
                {ENOSPC, RILL_ERR_NO_SPACE}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(rill__meta_failed(meta, rows[i].code, "trying"), rows[i].error);
}

static void a_long_path_is_a_short_name(void **state)
{
    char path[900];
    struct meta *second = NULL;
    size_t size;

    (void)state;
    size = (size_t)snprintf(path, sizeof path, "%s", test_path("meta"));
    while (size < 400) size += (size_t)snprintf(path + size, sizeof path - size, "/../meta");
    rill__meta_close(meta); /* one at a time in a process */
    meta = NULL;
    OK(rill__meta_open(&heap, path, false, &second));
    rill__meta_close(second);
    rill__meta_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CATALOGUE(a_topic_of_another_size_is_damage),
        WITH_CATALOGUE(a_group_of_another_form_is_damage),
        WITH_CATALOGUE(an_offset_of_another_form_is_damage),
        WITH_CATALOGUE(a_schema_of_another_form_is_refused),
        WITH_CATALOGUE(the_map_grows_under_readers),
        WITH_CATALOGUE(one_reader_too_many_waits_then_fails),
        WITH_CATALOGUE(each_code_of_lmdb_has_its_error),
        WITH_CATALOGUE(a_long_path_is_a_short_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
