/*
 * What groups do, while anything fails or happens in it: each allocation, each call
 * of LMDB, and between each two of its transactions something that others do: a
 * topic or the group is deleted or made anew, a member is put out, the catalogue is
 * busy. The call says so, in its own words; when it is over the same works again,
 * the group is nobody's prisoner, and no memory is lost.
 */
#include "busy.h"
#include "elsewhere.h"
#include "engine/consumer.h"
#include "engine/coordinator.h"
#include "engine/members.h"
#include "records.h"
#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>

/* ---- What fails ---- */

enum kind { NOTHING, MEMORY, CATALOGUE, ROOM, HAPPENING };

static struct {
    enum kind kind;
    int at; /* the use that fails, from 1 */
    int count;
    int depth; /* in LMDB, which calls itself */
    void (*happen)(void);
    int blocks;
} fault;

static pthread_t this_thread; /* only what it does fails */

static bool fails(enum kind kind)
{
    if (fault.kind != kind || !pthread_equal(this_thread, pthread_self())) return false;
    return ++fault.count == fault.at;
}

static bool has_failed(void)
{
    return fault.count >= fault.at;
}

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    if (fails(MEMORY)) return NULL;
    __atomic_fetch_add(&fault.blocks, 1, __ATOMIC_RELAXED);
    return malloc(size);
}

static void *hook_resize(void *arg, void *block, size_t size)
{
    (void)arg;
    return fails(MEMORY) ? NULL : realloc(block, size);
}

static void hook_release(void *arg, void *block)
{
    (void)arg;
    __atomic_fetch_sub(&fault.blocks, 1, __ATOMIC_RELAXED);
    free(block);
}

#define LMDB_CALL(name, writes, parameters, arguments)                                           \
    int name parameters                                                                          \
    {                                                                                            \
        int(*real) parameters;                                                                   \
        void *at = dlsym(RTLD_NEXT, #name);                                                      \
        int code;                                                                                \
        assert_non_null(at);                                                                     \
        memcpy(&real, &at, sizeof at);                                                           \
        if (!pthread_equal(this_thread, pthread_self())) return real arguments;                  \
        if (fault.depth == 0 && fails(CATALOGUE)) return EIO;                                    \
        if (fault.depth == 0 && (writes) && fails(ROOM)) return MDB_MAP_FULL;                    \
        fault.depth++;                                                                           \
        code = real arguments;                                                                   \
        fault.depth--;                                                                           \
        return code;                                                                             \
    }

LMDB_CALL(mdb_get, false, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value),
          (txn, dbi, key, value))
LMDB_CALL(mdb_put, true,
          (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags),
          (txn, dbi, key, value, flags))
LMDB_CALL(mdb_del, true, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value),
          (txn, dbi, key, value))
LMDB_CALL(mdb_cursor_open, false, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **cursor),
          (txn, dbi, cursor))
LMDB_CALL(mdb_cursor_get, false,
          (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op),
          (cursor, key, value, op))
LMDB_CALL(mdb_cursor_put, true,
          (MDB_cursor * cursor, MDB_val *key, MDB_val *value, unsigned flags),
          (cursor, key, value, flags))
LMDB_CALL(mdb_cursor_del, true, (MDB_cursor * cursor, unsigned flags), (cursor, flags))

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    int (*real)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);
    void *at = dlsym(RTLD_NEXT, "mdb_txn_begin");

    assert_non_null(at);
    memcpy(&real, &at, sizeof at);
    if (fails(CATALOGUE)) return EIO;
    if ((flags & MDB_RDONLY) != 0 && fails(HAPPENING)) fault.happen();
    return real(env, parent, flags, txn);
}

int mdb_txn_commit(MDB_txn *txn)
{
    int (*real)(MDB_txn *);
    void *at = dlsym(RTLD_NEXT, "mdb_txn_commit");
    int code = 0;

    assert_non_null(at);
    memcpy(&real, &at, sizeof at);
    if (fails(CATALOGUE)) code = EIO;
    else if (fails(ROOM)) code = MDB_MAP_FULL;
    if (code == 0) return real(txn);
    mdb_txn_abort(txn);
    return code;
}

/* ---- The scene ---- */

static rill *store;
static rill_consumer *a; /* of group "g", as b is */
static rill_consumer *b;
static rill_consumer_options options; /* of a and b */
static rill_options opened;
static rill_workers *workers;
static int callback_answers;

static int on_rebalance(void *arg, rill_consumer *consumer, int event,
                        const rill_position *positions, size_t count)
{
    (void)arg, (void)consumer, (void)event, (void)positions, (void)count;
    return callback_answers;
}

static const char *const names[] = {"^[tu]", "u"};
static const char *const everything[] = {"^"};

/* Polls, and does not mind that partitions have gone. */
static int poll_once(rill_consumer *consumer)
{
    rill_record records[8];
    size_t count;
    int rc = rill_consumer_poll(consumer, 0, records, 8, &count);

    return rc == RILL_ERR_REBALANCE ? 0 : rc;
}

static int poll_all(int times)
{
    int rc = 0;

    for (int i = 0; i < times && rc == 0; i++) {
        if (a != NULL) rc = poll_once(a);
        if (b != NULL && rc == 0) rc = poll_once(b);
    }
    return rc;
}

static void open_both(void)
{
    a = consumer_open(store, &options);
    b = consumer_open(store, &options);
}

static void settle_both(void)
{
    open_both();
    OK(rill_consumer_subscribe(a, names, 2));
    OK(rill_consumer_subscribe(b, names, 2));
    OK(poll_all(6));
}

static void settle_one(void)
{
    a = consumer_open(store, &options);
    OK(rill_consumer_subscribe(a, names, 2));
    OK(poll_all(3));
}

static void commit_some(void)
{
    rill_position positions[] = {
        {"t", 0, -1, 1, "text"}, {"t", 1, -1, 0, NULL}, {"u", 0, -1, 2, NULL}};

    a = consumer_open(store, &options);
    OK(rill_consumer_commit(a, positions, 3));
}

/* ---- What others do meanwhile ---- */

static void delete_topic(void)
{
    elsewhere_delete_topic(store, "t");
}

static void replace_topic(void)
{
    delete_topic();
    OK(rill_topic_create(store, "t", NULL));
}

static void delete_group(void)
{
    int rc = rill__meta_group_delete(store->store->meta, "g", NULL, NULL);
    if (rc != RILL_ERR_NOT_FOUND) OK(rc);
}

/* Everybody is put out: nobody has the group in view by then. */
static void expel(void)
{
    static struct coordinator other;
    struct group_member member;

    other.store = store->store;
    strcpy(other.name, "g");
    OK(rill__coordinator_refresh(&other));
    OK(rill__members_open(store->store));
    for (size_t i = 0; rill__group_member_at(other.group, i, &member);) {
        struct group_event leave = {.kind = GROUP_LEAVE, .member = member.id};
        if (member.instance != NULL) i++; /* it would only be away */
        else OK(rill__coordinator_step(&other, &leave, 1, WAIT_MS));
    }
    rill__coordinator_forget(&other);
    for (struct rill_consumer *c = store->store->consumers; c != NULL; c = c->next) {
        c->tick_ms = 0; /* it looks at the clock, and sees it, at once */
        if (c->coordinator != NULL) c->coordinator->looked_ms = 0;
    }
}

static void keep_busy(void)
{
    busy_begin(store);
}

/* ---- What is done ---- */

static int do_subscribe(void)
{
    int rc = rill_consumer_subscribe(a, names, 2);

    if (rc == 0) rc = poll_once(a);
    if (rc == 0) rc = rill_consumer_subscribe(a, everything, 1);
    if (rc == 0) rc = poll_all(2);
    return rc == 0 ? rill_consumer_commit(a, NULL, 0) : rc;
}

static int do_join(void)
{
    int rc = rill_consumer_subscribe(b, names, 2);
    return rc == 0 ? poll_all(4) : rc;
}

static int do_take_place(void)
{
    int rc = rill_consumer_subscribe(b, names, 2);

    for (int i = 0; i < 4 && rc == 0; i++) {
        rc = poll_once(a);
        if (rc == RILL_ERR_FENCED) rc = 0;
        if (rc == 0) rc = poll_once(b);
    }
    return rc;
}

static int do_descriptor(void)
{
    int fd;
    int rc = rill_consumer_fd(a, &fd);

    if (rc == 0) rc = rill_consumer_subscribe(a, names, 2);
    return rc == 0 ? poll_all(2) : rc;
}

static int do_leave(void)
{
    int rc = rill_consumer_unsubscribe(a);
    return rc == 0 ? poll_once(b) : rc;
}

static int do_poll(void)
{
    return poll_all(3);
}

static int do_topics(void)
{
    int rc = rill_topic_create(store, "u2", NULL);

    if (rc == RILL_ERR_EXISTS) rc = 0;
    if (rc == 0) rc = poll_all(3);
    if (rc == 0) rc = rill_topic_delete(store, "u2");
    return rc == 0 ? poll_all(3) : rc;
}

static int do_commit(void)
{
    rill_position positions[] = {{"t", 0, -1, 1, NULL}, {"u", 0, -1, 1, "text"}};
    int rc = rill_consumer_commit(a, positions, 2);

    if (rc == 0) rc = rill_consumer_commit_async(a, positions, 2, NULL, NULL);
    if (rc == 0) rc = rill_consumer_commit_async(a, NULL, 0, NULL, NULL);
    return rc == 0 ? poll_all(1) : rc;
}

static int do_assign(void)
{
    rill_position positions[] = {{"t", 0, -1, RILL_OFFSET_NONE, NULL},
                                 {"u", 0, -1, RILL_OFFSET_NONE, NULL}};
    rill_position more = {"t", 1, -1, RILL_OFFSET_NONE, NULL};
    int rc = rill_consumer_assign(a, positions, 2);

    if (rc == 0) rc = poll_all(1);
    if (rc == 0) rc = rill_consumer_incremental_assign(a, &more, 1);
    if (rc == 0) rc = poll_all(1);
    if (rc == 0) rc = rill_consumer_incremental_unassign(a, positions, 2);
    return rc == 0 ? rill_consumer_unsubscribe(a) : rc;
}

static int visit_group(void *arg, const rill_group_info *info)
{
    (void)arg, (void)info;
    return 0;
}

static int visit_member(void *arg, const rill_group_member *member)
{
    (void)arg, (void)member;
    return 0;
}

static int visit_offset(void *arg, const rill_group_offset *offset)
{
    (void)arg, (void)offset;
    return 0;
}

static int visit_line(void *arg, const char *line)
{
    (void)arg, (void)line;
    return 0;
}

static int do_look(void)
{
    static char text[64 << 10];
    rill_group_info info;
    int64_t lag;
    int rc = rill_group_list(store, visit_group, NULL);

    if (rc == 0) rc = rill_group_describe(store, "g", &info);
    if (rc == 0) rc = rill_group_members(store, "g", visit_member, NULL);
    if (rc == 0) rc = rill_group_offsets(store, "g", visit_offset, NULL);
    if (rc == 0) rc = rill_group_lag(store, "g", RILL_READ_WRITTEN, &lag);
    if (rc == 0) rc = rill_group_export(store, "g", visit_line, NULL);
    return rc == 0 ? rill_metrics(store, text, sizeof text, NULL) : rc;
}

static int visit_fact(void *arg, const rill_fact *fact)
{
    (void)arg, (void)fact;
    return 0;
}

static int do_explain(void)
{
    rill_subject group = {.group = "g"};
    rill_subject partition = {.topic = "u"};
    rill_subject consumer = {.consumer = a};
    int rc = rill_explain(store, &group, visit_fact, NULL);

    if (rc == 0) rc = rill_explain(store, &partition, visit_fact, NULL);
    return rc == 0 ? rill_explain(store, &consumer, visit_fact, NULL) : rc;
}

static int reset_to(int to, int64_t value, uint32_t flags, const rill_position *positions,
                    size_t count)
{
    rill_group_reset_options reset = {.size = sizeof reset,
                                      .to = to,
                                      .value = value,
                                      .flags = flags,
                                      .positions = positions,
                                      .position_count = count};
    return rill_group_reset(store, "g", &reset);
}

static int do_reset(void)
{
    rill_position all = {"t", RILL_PARTITION_ANY, -1, 0, NULL};
    rill_position own = {"u", 0, -1, RILL_OFFSET_LATEST, NULL};
    int rc = reset_to(RILL_RESET_TO_SHIFTED, 1, RILL_RESET_DRY_RUN, NULL, 0);

    if (rc == 0) rc = reset_to(RILL_RESET_TO_TIME, INT64_MAX, 0, &all, 1);
    if (rc == 0) rc = reset_to(RILL_RESET_TO_TIME, 0, 0, &all, 1);
    if (rc == 0) rc = reset_to(RILL_RESET_TO_OWN, 0, 0, &own, 1);
    return rc == 0 ? reset_to(RILL_RESET_TO_EARLIEST, 0, 0, NULL, 0) : rc;
}

static int do_delete_offsets(void)
{
    rill_position positions[] = {{"t", RILL_PARTITION_ANY, -1, 0, NULL}, {"u", 0, -1, 0, NULL}};
    int rc = rill_group_offsets_delete(store, "g", positions, 1);
    return rc == 0 ? rill_group_offsets_delete(store, "g", &positions[1], 1) : rc;
}

static int do_delete(void)
{
    return rill_group_delete(store, "g");
}

static int do_expire(void)
{
    int rc = 0;

    for (int i = 0; i < 3 && rc == 0; i++) {
        usleep(2000);
        atomic_store(&store->store->expire_ms, 0);
        rc = rill_maintain(store, NULL);
    }
    return rc;
}

static int work(void *arg, uint32_t worker, const rill_record *record)
{
    (void)arg, (void)worker, (void)record;
    return 0;
}

static int do_work(void)
{
    rill_workers_options o = {
        .size = sizeof o, .work = work, .worker_count = 1, .commit_interval_ms = 1};
    int closed;
    int rc = workers == NULL ? rill_workers_open(a, &o, &workers) : 0;

    if (rc == 0) rc = rill_workers_run(workers, 3);
    if (rc == 0) rc = rill_consumer_subscribe(b, names, 2);
    for (int i = 0; i < 3 && rc == 0; i++) {
        rc = rill_workers_run(workers, 1);
        if (rc == 0) rc = poll_once(b);
    }
    if (workers == NULL) return rc;
    closed = rill_workers_close(workers, WAIT_MS);
    workers = NULL;
    return rc != 0 ? rc : closed;
}

static int plan_nothing(void *arg, const rill_assignor_member *members, size_t member_count,
                        const rill_assignor_topic *topics, size_t topic_count)
{
    (void)arg, (void)members;
    for (size_t t = 0; t < topic_count; t++)
        for (uint32_t p = 0; p < topics[t].partition_count; p++)
            topics[t].owners[p] = (int32_t)(p % member_count);
    return 0;
}

static void settle_nobody(void)
{
    open_both();
}

static void settle_planners(void)
{
    options.assignor = RILL_ASSIGN_OWN;
    options.own_assignor = plan_nothing;
    options.own_assignor_name = "own";
    settle_one();
    b = consumer_open(store, &options);
}

static void settle_auto(void)
{
    options.auto_commit_interval_ms = 1;
    settle_both();
    usleep(2000);
}

static void settle_auto_by_hand(void)
{
    options.auto_commit_interval_ms = 1;
    a = consumer_open(store, &options);
}

static void settle_called_back(void)
{
    options.rebalance = on_rebalance;
    settle_one();
    b = consumer_open(store, &options);
}

static void settle_uncalled(void)
{
    settle_one();
    b = consumer_open(store, &options);
}

static void settle_static(void)
{
    options.group_instance_id = "i";
    settle_one();
    b = consumer_open(store, &options); /* takes its place, if it subscribes */
}

static void settle_lost(void)
{
    settle_one();
    expel();
}

static void settle_committed(void)
{
    commit_some();
    OK(rill_consumer_close(a, WAIT_MS));
    a = NULL;
}

static void reopen(void)
{
    OK(rill_close(store));
    OK(rill_open(test_path("store"), &opened, &store));
}

static void settle_reopened(void)
{
    settle_committed();
    reopen();
}

/* The group has a topic that this process has not heard of. */
static void settle_ignorant(void)
{
    static const char *const u[] = {"u"};
    struct group_topic topics[2];

    OK(rill_topic_create(store, "w", NULL));
    reopen();
    a = consumer_open(store, &options);
    OK(rill_consumer_subscribe(a, u, 1));
    OK(poll_all(1));
    topics[0] = elsewhere_topic(store, "u");
    topics[1] = elsewhere_topic(store, "w");
    elsewhere_topics(store, "u", topics, 2);
}

static void settle_beside_dead(void)
{
    settle_one();
    elsewhere_join(store);
    b = consumer_open(store, &options);
}

static void settle_workers(void)
{
    settle_uncalled();
    put(store, "t", 0, 2, 5);
    put(store, "u", 0, 2, 5);
}

static const struct scene {
    const char *name;
    void (*begin)(void);
    int (*act)(void);
    enum {
        USUAL,
        ONCE,   /* what has been done cannot be done again */
        PATIENT /* it waits long for a busy catalogue, each time */
    } nature;
} scenes[] = {
    {"subscribe", settle_nobody, do_subscribe, USUAL},
    {"join", settle_called_back, do_join, USUAL},
    {"join, without a callback", settle_uncalled, do_join, USUAL},
    {"join, with an assignor", settle_planners, do_join, PATIENT},
    {"take a static place", settle_static, do_take_place, USUAL},
    {"leave", settle_both, do_leave, USUAL},
    {"commit by itself", settle_auto, do_leave, USUAL},
    {"be put out", settle_lost, do_poll, USUAL},
    {"topics", settle_both, do_topics, USUAL},
    {"commit", settle_one, do_commit, USUAL},
    {"commit from outside", commit_some, do_commit, USUAL},
    {"assign", settle_auto_by_hand, do_assign, USUAL},
    {"look", settle_both, do_look, USUAL},
    {"look at offsets", settle_reopened, do_look, USUAL},
    {"see unknown topics", settle_ignorant, do_poll, USUAL},
    {"join beside the dead", settle_beside_dead, do_join, USUAL},
    {"descriptor", settle_nobody, do_descriptor, USUAL},
    {"explain", settle_both, do_explain, USUAL},
    {"reset", settle_committed, do_reset, USUAL},
    {"delete offsets", settle_committed, do_delete_offsets, ONCE},
    {"delete", settle_committed, do_delete, ONCE},
    {"expire", settle_committed, do_expire, PATIENT},
    {"expire beside members", settle_both, do_expire, PATIENT},
    {"work", settle_workers, do_work, USUAL},
};
enum { SCENES = sizeof scenes / sizeof scenes[0] };

/* ---- One case ---- */

static const struct scene *scene;

static void begin(int timeout_ms)
{
    opened = (rill_options){.size = sizeof opened,
                            .flags = RILL_OPEN_CREATE,
                            .open_timeout_ms = (uint32_t)timeout_ms,
                            .offsets_retention_ms = 1,
                            .allocator = {hook_alloc, hook_resize, hook_release, NULL}};
    test_directory();
    this_thread = pthread_self();
    memset(&fault, 0, sizeof fault);
    callback_answers = 0;
    a = b = NULL;
    options = (rill_consumer_options){
        .size = sizeof options, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    OK(rill_open(test_path("store"), &opened, &store));
    test_topic(store, "t", 2);
    test_topic(store, "u", 1);
    put(store, "t", 0, 0, 2);
    put(store, "u", 0, 0, 2);
    scene->begin();
}

/* The group is still one that somebody can use. */
static void use_group(void)
{
    static const char *const u[] = {"u"};
    rill_position from = {.topic = "u"};
    rill_consumer *other;

    options.rebalance = NULL;
    if (options.group_instance_id != NULL) delete_group(); /* or its place would wait */
    options.group_instance_id = NULL;
    other = consumer_open(store, &options);
    OK(rill_consumer_commit(other, &from, 1));
    OK(rill_consumer_subscribe(other, u, 1));
    takes(other, 0, 2);
    OK(rill_consumer_commit(other, NULL, 0));
    OK(rill_consumer_close(other, WAIT_MS));
}

/* Its last commit comes too late if it has lost what it had. */
static void close_member(rill_consumer *consumer)
{
    int rc = consumer == NULL ? 0 : rill_consumer_close(consumer, WAIT_MS);
    if (rc != RILL_ERR_FENCED) OK(rc);
}

static void end(void)
{
    if (workers != NULL) OK(rill_workers_close(workers, WAIT_MS));
    workers = NULL;
    close_member(b);
    close_member(a);
    use_group();
    OK(rill_close(store));
    if (fault.blocks != 0)
        fail_msg("%s: %d blocks are lost, failing at %d", scene->name, fault.blocks, fault.at);
    test_directory_remove();
}

/* The rc that the fault may lead to; 0 always may be. */
static bool is_fine(enum kind kind, int rc)
{
    if (rc == 0) return true;
    if (rill_errmsg()[0] == '\0') return false;
    switch (kind) {
    case MEMORY: return rc == RILL_ERR_NO_MEMORY;
    case CATALOGUE: return rc == RILL_ERR_IO;
    case ROOM: return false; /* it grows */
    default:
        return rc == RILL_ERR_NOT_FOUND || rc == RILL_ERR_FENCED || rc == RILL_ERR_TIMEOUT ||
               rc == RILL_ERR_STATE || rc == RILL_ERR_NO_OFFSET || rc == RILL_ERR_RANGE;
    }
}

/* For each use there is; how many there were. */
static int everywhere(enum kind kind, void (*happen)(void))
{
    for (int at = 1;; at++) {
        bool failed;
        int rc;

        begin(happen == keep_busy ? 20 : WAIT_MS);
        fault.at = at;
        fault.count = 0;
        fault.happen = happen;
        fault.kind = kind;
        rc = scene->act();
        failed = has_failed();
        fault.kind = NOTHING;
        busy_end();
        if (!failed) OK(rc);
        else if (!is_fine(kind, rc))
            fail_msg("%s, failing at %d: %d, %s", scene->name, at, rc, rill_errmsg());
        if (failed && happen == NULL && (rc != 0 || scene->nature != ONCE)) {
            rc = scene->act();
            if (rc != 0 && (rc != RILL_ERR_NOT_FOUND || scene->nature != ONCE))
                fail_msg("%s, once more after a failure at %d: %d, %s", scene->name, at, rc,
                         rill_errmsg());
        }
        end();
        if (!failed) return at - 1;
    }
}

static void in_all_scenes(enum kind kind, void (*happen)(void))
{
    for (scene = scenes; scene < scenes + SCENES; scene++) {
        int64_t began = clock_ms();
        int count;
        if (happen == keep_busy && scene->nature == PATIENT) continue;
        count = everywhere(kind, happen);
        print_message("%s: %d, %d ms\n", scene->name, count, (int)(clock_ms() - began));
    }
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    in_all_scenes(MEMORY, NULL);
}

static void the_catalogue_may_fail_anywhere(void **state)
{
    (void)state;
    in_all_scenes(CATALOGUE, NULL);
}

static void the_catalogue_may_be_full_anywhere(void **state)
{
    (void)state;
    in_all_scenes(ROOM, NULL);
}

static void a_topic_may_go_anywhere(void **state)
{
    (void)state;
    in_all_scenes(HAPPENING, delete_topic);
}

static void a_topic_may_be_replaced_anywhere(void **state)
{
    (void)state;
    in_all_scenes(HAPPENING, replace_topic);
}

static void the_group_may_go_anywhere(void **state)
{
    (void)state;
    in_all_scenes(HAPPENING, delete_group);
}

static void members_may_be_put_out_anywhere(void **state)
{
    (void)state;
    in_all_scenes(HAPPENING, expel);
}

static void the_catalogue_may_be_busy_anywhere(void **state)
{
    (void)state;
    in_all_scenes(HAPPENING, keep_busy);
    for (scene = scenes; scene->act != do_expire; scene++) {}
    begin(20);
    keep_busy();
    OK(do_expire());
    busy_end();
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(the_catalogue_may_fail_anywhere),
        cmocka_unit_test(the_catalogue_may_be_full_anywhere),
        cmocka_unit_test(a_topic_may_go_anywhere),
        cmocka_unit_test(a_topic_may_be_replaced_anywhere),
        cmocka_unit_test(the_group_may_go_anywhere),
        cmocka_unit_test(members_may_be_put_out_anywhere),
        cmocka_unit_test(the_catalogue_may_be_busy_anywhere),
    };

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
