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
#include <sys/stat.h>

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

static const struct meta_owner me = {3, 9, 77};
static int64_t job_id;
static uint32_t space; /* "s", which job writes; it has the key k */

static struct meta_name job_now(void)
{
    struct meta_name now;

    OK(rill__meta_name_get(meta, "job", &now));
    rill__free(&heap, now.decided);
    now.decided = NULL;
    return now;
}

static int decide(void)
{
    static const struct meta_decided place = {{'a'}, 1};
    static const char *const spaces[] = {"s"};
    struct meta_put put = {space, {"k", 1}, {"v", 1}};
    struct meta_decision d = {.name = "job",
                              .producer_id = job_id,
                              .epoch = 0,
                              .settled_epoch = -1,
                              .partitions = &place,
                              .partition_count = 1,
                              .spaces = spaces,
                              .space_count = 1,
                              .puts = &put,
                              .put_count = 1};
    return rill__meta_decide(meta, &d, 1000);
}

static int take_job(const char *name)
{
    struct meta_name was;
    struct meta_name now;
    int rc = rill__meta_name_take(meta, name, true, 1000, me, &was, &now);

    if (rc != 0) return rc;
    rill__free(&heap, was.decided);
    job_id = now.producer_id;
    return 0;
}

/* Names and spaces, where they are needed. */
static void make_job(bool decided)
{
    int64_t held;

    OK(take_job("job"));
    OK(rill__meta_space_open(meta, "s", true, &space));
    OK(rill__meta_space_claim(meta, "s", job_id, -1, &held));
    if (decided) OK(decide());
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

/* ---- The same with names and spaces ---- */

static int do_ids(void)
{
    int64_t first;
    return rill__meta_producer_ids(meta, 5, &first);
}

static int do_take_new(void)
{
    struct meta_name was;
    struct meta_name now;
    return rill__meta_name_take(meta, "new", false, 1, me, &was, &now);
}

static int do_take(void)
{
    struct meta_name was;
    struct meta_name now;
    int rc = rill__meta_name_take(meta, "job", true, 1, me, &was, &now);

    if (rc == 0) rill__free(&heap, was.decided);
    return rc;
}

/* Its epochs are used up, so it gets another id, and lets go of its spaces. */
static int set_last_epoch(struct meta *m, MDB_txn *txn, void *arg)
{
    struct meta_name n;
    int rc = rill__meta_read_name(m, txn, "job", &n);

    (void)arg;
    n.epoch = INT16_MAX;
    return rc == 0 ? rill__meta_write_name(m, txn, "job", &n) : rc;
}

static int do_renew(void)
{
    struct meta_name was;
    struct meta_name now;
    bool on = fault.on;

    fault.on = false;
    if (job_now().epoch != INT16_MAX) OK(rill__meta_write(meta, set_last_epoch, NULL));
    fault.on = on;
    return rill__meta_name_renew(meta, "job", me, &was, &now);
}

static int do_name_get(void)
{
    struct meta_name found;
    int rc = rill__meta_name_get(meta, "job", &found);

    if (rc == 0) rill__free(&heap, found.decided);
    return rc;
}

static int do_name_of(void)
{
    char name[RILL_TOPIC_NAME_MAX + 1];
    struct meta_name found;
    int rc = rill__meta_name_of(meta, job_id, name, &found);

    if (rc == 0) rill__free(&heap, found.decided);
    return rc;
}

static int do_name_find(void)
{
    char name[RILL_TOPIC_NAME_MAX + 1];
    struct meta_name found;
    int rc = rill__meta_name_find(meta, "", NULL, NULL, name, &found);

    if (rc == 0) rill__free(&heap, found.decided);
    return rc;
}

static int do_release(void)
{
    return rill__meta_name_release(meta, "job", me);
}

static int do_settle(void)
{
    return rill__meta_name_settle(meta, "job", job_id, 0);
}

static int do_judge(void)
{
    bool commit;
    return rill__meta_name_judge(meta, job_id, 7, &commit);
}

static bool may_go(void *arg, const struct meta_name *name)
{
    (void)arg, (void)name;
    return true;
}

static int do_name_delete(void)
{
    return rill__meta_name_delete(meta, "job", may_go, NULL);
}

static int do_space_open(void)
{
    uint32_t number;
    return rill__meta_space_open(meta, "new", true, &number);
}

static int do_space_delete(void)
{
    return rill__meta_space_delete(meta, "s", job_id);
}

static int do_space_after(void)
{
    char name[RILL_TOPIC_NAME_MAX + 1];
    return rill__meta_space_after(meta, "", name, NULL, NULL);
}

static int do_claim(void)
{
    int64_t held;
    return rill__meta_space_claim(meta, "s", 77, job_id, &held);
}

static int do_view(void)
{
    struct meta_view *view;
    rill_bytes key;
    rill_bytes value;
    int rc = rill__meta_view_open(meta, &view);

    if (rc != 0) return rc;
    rc = rill__meta_view_get(view, space, (rill_bytes){"k", 1}, &value);
    for (int reverse = 0; reverse < 2 && rc == 0; reverse++)
        rc = rill__meta_view_next(view, space, (rill_bytes){NULL, 0}, false, reverse, &key,
                                  &value);
    rill__meta_view_close(view);
    return rc;
}

/* ---- All of it ---- */

static int do_raise(void)
{
    return rill__meta_raise(meta);
}

static int do_copy(void)
{
    struct meta *copy;
    int rc;

    test_remove(test_path("meta-copy"));
    assert_int_equal(mkdir(test_path("meta-copy"), 0700), 0);
    rc = rill__meta_copy(meta, test_path("meta-copy"), NULL, NULL, &copy);
    if (rc == 0) rill__meta_close(copy);
    return rc;
}

static bool has_topic(void *arg, const uint8_t id[16])
{
    (void)arg, (void)id;
    return true;
}

static int came_back(void *arg, char kind, const char *name)
{
    (void)arg, (void)kind, (void)name;
    return 0;
}

static int do_salvage(void)
{
    struct meta_salvage with = {has_topic, came_back, NULL};
    struct meta *to;
    int rc;

    test_remove(test_path("meta-new"));
    assert_int_equal(mkdir(test_path("meta-new"), 0700), 0);
    rc = rill__meta_open(&heap, test_path("meta-new"), true, &to);
    if (rc != 0) return rc;
    rc = rill__meta_salvage(&heap, test_path("meta"), to, &with);
    rill__meta_close(to);
    return rc;
}

static int told_damage(void *arg, enum meta_damage kind, uint64_t position, const char *what)
{
    (void)arg, (void)kind, (void)position;
    fail_msg("%s", what);
    return 0;
}

/* As if others had it open. */
static int do_inspect(void)
{
    struct meta_inspector told = {.damage = told_damage};

    rill__meta_close(meta);
    meta = NULL;
    return rill__meta_inspect(&heap, test_path("meta"), NULL, true, &told);
}

static const struct {
    const char *name;
    int (*work)(void);
    enum { NO_JOB, JOB, DECIDED } needs;
} works[] = {{"create a topic", do_topic_create, NO_JOB},
             {"get a topic", do_topic_get, NO_JOB},
             {"delete a topic", do_topic_delete, NO_JOB},
             {"the next topic", do_topic_after, NO_JOB},
             {"put a group", do_group_put, NO_JOB},
             {"get a group", do_group_get, NO_JOB},
             {"delete a group", do_group_delete, NO_JOB},
             {"the next group", do_group_after, NO_JOB},
             {"commit", do_commit, NO_JOB},
             {"get an offset", do_offset_get, NO_JOB},
             {"clamp", do_clamp, NO_JOB},
             {"open", do_reopen, NO_JOB},
             {"take ids", do_ids, NO_JOB},
             {"take a new name", do_take_new, NO_JOB},
             {"take a name", do_take, JOB},
             {"take a name that decided", do_take, DECIDED},
             {"renew a name", do_renew, JOB},
             {"get a name", do_name_get, DECIDED},
             {"the name of an id", do_name_of, DECIDED},
             {"find a name", do_name_find, DECIDED},
             {"release a name", do_release, JOB},
             {"settle a name", do_settle, DECIDED},
             {"judge", do_judge, JOB},
             {"delete a name", do_name_delete, JOB},
             {"decide", decide, JOB},
             {"open a space", do_space_open, NO_JOB},
             {"open another space", do_space_open, JOB},
             {"delete a space", do_space_delete, DECIDED},
             {"the next space", do_space_after, JOB},
             {"claim a space", do_claim, JOB},
             {"a view", do_view, DECIDED},
             {"raise the schema", do_raise, NO_JOB},
             {"copy", do_copy, DECIDED},
             {"salvage", do_salvage, DECIDED},
             {"inspect", do_inspect, DECIDED}};

static const struct {
    int code;
    int error;
} answers[] = {{EIO, RILL_ERR_IO},
               {ENOMEM, RILL_ERR_NO_MEMORY},
               {MDB_CORRUPTED, RILL_ERR_CORRUPT},
               {MDB_PANIC, RILL_ERR_POISONED},
               {MDB_BAD_TXN, RILL_ERR_IO}};

/* Nothing has become of it. */
static void check_job(int needs)
{
    struct meta_view *view;
    struct meta_name now;
    rill_bytes value;
    int64_t owner;
    char name[RILL_TOPIC_NAME_MAX + 1];
    int rc = rill__meta_name_get(meta, "job", &now);

    if (needs == NO_JOB) {
        assert_int_equal(rc, RILL_ERR_NOT_FOUND);
        return;
    }
    OK(rc);
    rill__free(&heap, now.decided);
    assert_int_equal(now.producer_id, job_id);
    if (now.epoch != INT16_MAX) assert_int_equal(now.epoch, needs == DECIDED ? 1 : 0);
    assert_int_equal(now.decided_epoch, needs == DECIDED ? 0 : -1);
    assert_true(now.owned);
    OK(rill__meta_space_after(meta, "", name, NULL, &owner));
    assert_string_equal(name, "s");
    assert_int_equal(owner, job_id);
    OK(rill__meta_view_open(meta, &view));
    rc = rill__meta_view_get(view, space, (rill_bytes){"k", 1}, &value);
    assert_int_equal(rc, needs == DECIDED ? 0 : RILL_ERR_NOT_FOUND);
    rill__meta_view_close(view);
}

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
    /* Of a new one the schema is looked for in vain, and what is damaged is made anew. */
    if (rc == 0 && answers[answer].error == RILL_ERR_CORRUPT &&
        (works[w].work == do_copy || works[w].work == do_salvage))
        return true;
    if (rc != answers[answer].error)
        fail_msg("%s, call %u answers %d: %d, not %d", works[w].name, at, fault.code, rc,
                 answers[answer].error);
    if (strstr(test_message(), "meta") == NULL)
        fail_msg("%s, call %u: the message is \"%s\"", works[w].name, at, test_message());
    if (meta == NULL) OK(do_reopen());
    check_as_made();
    check_job(works[w].needs);
    return true;
}

static void every_call_may_fail_with_every_code(void **state)
{
    (void)state;
    for (size_t w = 0; w < sizeof works / sizeof works[0]; w++)
        for (size_t a = 0; a < sizeof answers / sizeof answers[0]; a++) {
            unsigned at = 1;
            if (works[w].needs != NO_JOB) make_job(works[w].needs == DECIDED);
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
