/*
 * Whatever LMDB answers: each of its calls, in each thing that is done with the
 * catalogue, fails with each of its codes. The error says so, nothing changed,
 * and without the fault the same works. This file has functions of LMDB's names.
 */
#include "catalogues.h"
#include "base/bytes.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>

/* ---- LMDB's calls ---- */

static struct {
    bool on;
    unsigned at; /* the call that fails, from 1 */
    unsigned count;
    int code;
    bool pretend;   /* the map has the size that was asked for */
    size_t asked;   /* that size */
    int put_code;   /* what every put answers, if not 0 */
    int begin_code; /* what every beginning answers */
} fault;

static bool fails_now(void)
{
    return fault.on && ++fault.count == fault.at;
}

/* A function by its name in the library behind us. */
#define REAL(name, pointer)                                                                      \
    do {                                                                                         \
        void *real_at = dlsym(RTLD_NEXT, name);                                                  \
        assert_non_null(real_at);                                                                \
        memcpy(&(pointer), &real_at, sizeof real_at);                                            \
    } while (0)

int mdb_env_create(MDB_env **env)
{
    int (*real)(MDB_env **);

    REAL("mdb_env_create", real);
    return fails_now() ? fault.code : real(env);
}

int mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode)
{
    int (*real)(MDB_env *, const char *, unsigned, mdb_mode_t);

    REAL("mdb_env_open", real);
    return fails_now() ? fault.code : real(env, path, flags, mode);
}

int mdb_env_set_mapsize(MDB_env *env, size_t size)
{
    int (*real)(MDB_env *, size_t);

    REAL("mdb_env_set_mapsize", real);
    fault.asked = size;
    if (fault.pretend) return 0;
    /* Of one that is not open yet it cannot fail. */
    return fault.put_code != 0 && fails_now() ? fault.code : real(env, size);
}

int mdb_env_info(MDB_env *env, MDB_envinfo *info)
{
    int (*real)(MDB_env *, MDB_envinfo *);
    int code;

    REAL("mdb_env_info", real);
    code = real(env, info);
    if (fault.pretend && fault.asked != 0) info->me_mapsize = fault.asked;
    return code;
}

int mdb_reader_check(MDB_env *env, int *dead)
{
    int (*real)(MDB_env *, int *);

    REAL("mdb_reader_check", real);
    return fails_now() ? fault.code : real(env, dead);
}

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    int (*real)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);

    REAL("mdb_txn_begin", real);
    if (fault.begin_code != 0) return fault.begin_code;
    return fails_now() ? fault.code : real(env, parent, flags, txn);
}

int mdb_txn_commit(MDB_txn *txn)
{
    int (*real)(MDB_txn *);

    REAL("mdb_txn_commit", real);
    if (!fails_now()) return real(txn);
    mdb_txn_abort(txn);
    return fault.code;
}

int mdb_dbi_open(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *dbi)
{
    int (*real)(MDB_txn *, const char *, unsigned, MDB_dbi *);

    REAL("mdb_dbi_open", real);
    return fails_now() ? fault.code : real(txn, name, flags, dbi);
}

int mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value)
{
    int (*real)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);

    REAL("mdb_get", real);
    return fails_now() ? fault.code : real(txn, dbi, key, value);
}

int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags)
{
    int (*real)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned);

    REAL("mdb_put", real);
    if (fault.put_code != 0) return fault.put_code;
    return fails_now() ? fault.code : real(txn, dbi, key, value, flags);
}

int mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value)
{
    int (*real)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);

    REAL("mdb_del", real);
    return fails_now() ? fault.code : real(txn, dbi, key, value);
}

int mdb_cursor_open(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor)
{
    int (*real)(MDB_txn *, MDB_dbi, MDB_cursor **);

    REAL("mdb_cursor_open", real);
    return fails_now() ? fault.code : real(txn, dbi, cursor);
}

int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
    int (*real)(MDB_cursor *, MDB_val *, MDB_val *, MDB_cursor_op);

    REAL("mdb_cursor_get", real);
    return fails_now() ? fault.code : real(cursor, key, value, op);
}

int mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *value, unsigned flags)
{
    int (*real)(MDB_cursor *, MDB_val *, MDB_val *, unsigned);

    REAL("mdb_cursor_put", real);
    return fails_now() ? fault.code : real(cursor, key, value, flags);
}

int mdb_cursor_del(MDB_cursor *cursor, unsigned flags)
{
    int (*real)(MDB_cursor *, unsigned);

    REAL("mdb_cursor_del", real);
    return fails_now() ? fault.code : real(cursor, flags);
}

/* ---- A catalogue with something in it ---- */

static const uint8_t id_a[16] = {'a'};
static const uint8_t id_b[16] = {'b'};

static void make_topic(const char *name, const uint8_t id[16])
{
    struct meta_topic topic = {.partition_count = 2};

    memcpy(topic.name, name, strlen(name) + 1);
    memcpy(topic.id, id, 16);
    OK(rill__meta_topic_create(meta, &topic));
}

static void commit(const char *group, const uint8_t id[16], int64_t offset)
{
    struct meta_offset o = {.offset = offset, .partition = 1};

    memcpy(o.topic_id, id, 16);
    OK(rill__meta_offsets_commit(meta, group, &o, 1));
}

static int set_up(void **state)
{
    memset(&fault, 0, sizeof fault);
    catalogue_set_up(state);
    make_topic("a", id_a);
    make_topic("b", id_b);
    commit("g", id_a, 10);
    commit("g", id_b, 20);
    commit("h", id_a, 30);
    return 0;
}

static int64_t committed(const char *group, const uint8_t id[16])
{
    struct meta_offset o;
    int rc = rill__meta_offset_get(meta, group, id, 1, &o, NULL, 0);

    if (rc == RILL_ERR_NOT_FOUND) return -1;
    OK(rc);
    return o.offset;
}

static void check_as_made(void)
{
    struct meta_topic topic;
    int32_t generation;

    OK(rill__meta_topic_get(meta, "a", &topic));
    OK(rill__meta_topic_get(meta, "b", &topic));
    assert_int_equal(rill__meta_topic_get(meta, "c", &topic), RILL_ERR_NOT_FOUND);
    OK(rill__meta_group_get(meta, "g", &generation));
    assert_int_equal(generation, 0);
    OK(rill__meta_group_get(meta, "h", &generation));
    assert_int_equal(committed("g", id_a), 10);
    assert_int_equal(committed("g", id_b), 20);
    assert_int_equal(committed("h", id_a), 30);
}

/* ---- What is done with it ---- */

static int do_topic_create(void)
{
    struct meta_topic topic = {.name = "c"};
    return rill__meta_topic_create(meta, &topic);
}

static int do_topic_get(void)
{
    struct meta_topic topic;
    return rill__meta_topic_get(meta, "b", &topic);
}

static int do_topic_delete(void)
{
    struct meta_topic topic;
    return rill__meta_topic_delete(meta, "a", &topic);
}

static int do_topic_after(void)
{
    struct meta_topic topic;
    return rill__meta_topic_after(meta, "a", &topic);
}

static int do_group_put(void)
{
    return rill__meta_group_put(meta, "g", 5);
}

static int do_group_get(void)
{
    int32_t generation;
    return rill__meta_group_get(meta, "g", &generation);
}

static int do_group_delete(void)
{
    return rill__meta_group_delete(meta, "g", NULL, NULL);
}

static int do_group_after(void)
{
    char name[RILL_TOPIC_NAME_MAX + 1];
    int32_t generation;
    return rill__meta_group_after(meta, "g", name, sizeof name, &generation);
}

static int do_commit(void)
{
    struct meta_offset o = {.offset = 7};
    return rill__meta_offsets_commit(meta, "i", &o, 1);
}

static int do_offset_get(void)
{
    struct meta_offset o;
    return rill__meta_offset_get(meta, "g", id_b, 1, &o, NULL, 0);
}

static int do_clamp(void)
{
    size_t clamped;
    return rill__meta_offsets_clamp(meta, id_a, 1, 5, &clamped);
}

static int do_reopen(void)
{
    rill__meta_close(meta);
    meta = NULL;
    return rill__meta_open(&heap, test_path("meta"), false, &meta);
}

static const struct {
    const char *name;
    int (*work)(void);
} works[] = {{"create a topic", do_topic_create},
             {"get a topic", do_topic_get},
             {"delete a topic", do_topic_delete},
             {"the next topic", do_topic_after},
             {"put a group", do_group_put},
             {"get a group", do_group_get},
             {"delete a group", do_group_delete},
             {"the next group", do_group_after},
             {"commit", do_commit},
             {"get an offset", do_offset_get},
             {"clamp", do_clamp},
             {"open", do_reopen}};

static const struct {
    int code;
    int error;
} answers[] = {{EIO, RILL_ERR_IO},
               {ENOMEM, RILL_ERR_NO_MEMORY},
               {MDB_CORRUPTED, RILL_ERR_CORRUPT},
               {MDB_PANIC, RILL_ERR_POISONED},
               {MDB_BAD_TXN, RILL_ERR_IO}};

/* Work number w with its call number `at` failing; false: it has not so many. */
static bool fail_one(size_t w, size_t answer, unsigned at)
{
    int rc;

    fault.on = true;
    fault.at = at;
    fault.count = 0;
    fault.code = answers[answer].code;
    rc = works[w].work();
    fault.on = false;
    if (fault.count < at) {
        OK(rc);
        return false;
    }
    if (rc != answers[answer].error)
        fail_msg("%s, call %u answers %d: %d, not %d", works[w].name, at, fault.code, rc,
                 answers[answer].error);
    if (strstr(test_message(), "meta") == NULL)
        fail_msg("%s, call %u: the message is \"%s\"", works[w].name, at, test_message());
    if (meta == NULL) OK(do_reopen());
    check_as_made();
    return true;
}

static void every_call_may_fail_with_every_code(void **state)
{
    (void)state;
    for (size_t w = 0; w < sizeof works / sizeof works[0]; w++)
        for (size_t a = 0; a < sizeof answers / sizeof answers[0]; a++) {
            unsigned at = 1;
            while (fail_one(w, a, at)) at++;
            assert_true(at > 2);       /* a beginning and a reading at least */
            catalogue_tear_down(NULL); /* the last one was done */
            set_up(NULL);
        }
}

/* ---- A map that is full, or grows ---- */

static void a_map_grows_up_to_its_limit(void **state)
{
    (void)state;
    fault.pretend = true;
    fault.asked = 0;
    fault.put_code = MDB_MAP_FULL;
    FAILS(RILL_ERR_NO_SPACE, do_commit());
    assert_non_null(strstr(test_message(), "growing the map"));
    assert_int_equal(fault.asked, META_MAP_MAX_BYTES);
    memset(&fault, 0, sizeof fault);
    check_as_made();
    OK(do_commit());
}

static void a_map_that_cannot_grow_is_told(void **state)
{
    (void)state;
    fault.put_code = MDB_MAP_FULL;
    fault.on = true;
    fault.at = 3; /* the beginning, a look for the group, then this */
    fault.code = ENOMEM;
    while (do_commit() != RILL_ERR_NO_MEMORY || strstr(test_message(), "growing") == NULL) {
        fault.count = 0;
        assert_true(++fault.at < 20);
    }
    memset(&fault, 0, sizeof fault);
    check_as_made();
    OK(do_commit());
}

static void a_map_that_others_change_for_ever_is_given_up_on(void **state)
{
    (void)state;
    fault.begin_code = MDB_MAP_RESIZED;
    FAILS(RILL_ERR_BUSY, do_topic_get());
    fault.begin_code = 0;
    OK(do_topic_get());
}

static void a_catalogue_lock_that_nobody_repaired_is_told(void **state)
{
    static struct meta_turns turns;

    (void)state;
    OK(rill__shared_mutex_init(&turns.lock));
    rill__meta_take_turns(meta, &turns, 1000);
    OK(do_commit());
    atomic_store(&turns.lock.unrecoverable, 1);
    FAILS(RILL_ERR_IO, do_topic_create());
    assert_non_null(strstr(test_message(), "unrecoverable"));
    rill__meta_take_turns(meta, NULL, 0);
    check_as_made();
}

/* ---- Records that do not verify, or are odd ---- */

struct raw {
    const void *key;
    size_t key_size;
    const void *value;
    size_t value_size;
};

static int put_raw(struct meta *m, MDB_txn *txn, void *arg)
{
    const struct raw *raw = arg;
    MDB_val key = {raw->key_size, (void *)(uintptr_t)raw->key};
    MDB_val value = {raw->value_size, (void *)(uintptr_t)raw->value};

    return rill__meta_failed(m, mdb_put(txn, m->dbi, &key, &value, 0), "writing");
}

static int put_checked(struct meta *m, MDB_txn *txn, void *arg)
{
    const struct raw *raw = arg;
    MDB_val key = {raw->key_size, (void *)(uintptr_t)raw->key};
    static uint8_t value[META_VALUE_MAX + 100];

    memset(value, 0, sizeof value);
    memcpy(value, raw->value, raw->value_size);
    return rill__meta_put(m, txn, &key, value, raw->value_size);
}

/* What is missing may be what the record before its place was. */
static void beside_a_rotten_record_nothing_is_known_to_be_missing(void **state)
{
    const struct raw rotten = {"Taa", 3, "0123456789", 10};
    const struct raw tiny = {"Tab", 3, "01234", 5};
    struct meta_topic topic = {.name = "ab"};

    (void)state;
    OK(rill__meta_write(meta, put_raw, (void *)(uintptr_t)&rotten));
    FAILS(RILL_ERR_CORRUPT, rill__meta_topic_get(meta, "aaa", &topic));
    FAILS(RILL_ERR_CORRUPT, rill__meta_topic_after(meta, "a", &topic));
    OK(rill__meta_write(meta, put_raw, (void *)(uintptr_t)&tiny));
    FAILS(RILL_ERR_CORRUPT, rill__meta_topic_create(meta, &topic));
    FAILS(RILL_ERR_CORRUPT, rill__meta_topic_get(meta, "ab", &topic));
    OK(rill__meta_topic_get(meta, "a", &topic));
    assert_int_equal(rill__meta_topic_get(meta, "z", &topic), RILL_ERR_NOT_FOUND);
}

static void a_schema_of_ours_with_more_in_it_is_refused(void **state)
{
    const uint8_t newer[8] = {META_SCHEMA_VERSION, 0, 0, 0, 1, 0, 0, 0};
    const struct raw schema = {"S", 1, newer, 8};
    const struct raw rotten = {"S", 1, "0123456789abcdef", 16};

    (void)state;
    OK(rill__meta_write(meta, put_checked, (void *)(uintptr_t)&schema));
    FAILS(RILL_ERR_FORMAT, do_reopen());
    FAILS(RILL_ERR_FORMAT, rill__meta_open(&heap, test_path("meta"), true, &meta));
    /* One that does not verify is damage, and not made anew. */
    OK(rename(test_path("meta/data.mdb"), test_path("aside")));
    OK(rill__meta_open(&heap, test_path("meta"), true, &meta));
    OK(rill__meta_write(meta, put_raw, (void *)(uintptr_t)&rotten));
    FAILS(RILL_ERR_CORRUPT, do_reopen());
    FAILS(RILL_ERR_CORRUPT, rill__meta_open(&heap, test_path("meta"), true, &meta));
    assert_null(meta);
}

static void an_offset_that_is_too_long_is_left_alone(void **state)
{
    static uint8_t value[META_VALUE_MAX + 100];
    uint8_t key[META_KEY_MAX];
    struct raw odd = {key, rill__meta_offset_key(key, "i", id_a, 1), value, META_VALUE_MAX};
    size_t clamped;

    (void)state;
    rill__put64(value, 1000);
    OK(rill__meta_write(meta, put_checked, &odd));
    OK(rill__meta_offsets_clamp(meta, id_a, 1, 5, &clamped));
    assert_int_equal(clamped, 2); /* those of the groups g and h */
    assert_int_equal(committed("g", id_a), 5);
    assert_int_equal(committed("g", id_b), 20);
}

#define WITH_META(test) cmocka_unit_test_setup_teardown(test, set_up, catalogue_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_META(every_call_may_fail_with_every_code),
        WITH_META(a_map_grows_up_to_its_limit),
        WITH_META(a_map_that_cannot_grow_is_told),
        WITH_META(a_map_that_others_change_for_ever_is_given_up_on),
        WITH_META(a_catalogue_lock_that_nobody_repaired_is_told),
        WITH_META(beside_a_rotten_record_nothing_is_known_to_be_missing),
        WITH_META(a_schema_of_ours_with_more_in_it_is_refused),
        WITH_META(an_offset_that_is_too_long_is_left_alone),
    };

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
