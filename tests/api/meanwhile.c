/*
 * While a call reads the catalogue, one transaction after the other, something is
 * deleted between two of them, for each two that there are: when the first has just
 * ended, so that what it read is looked for in vain, and when the second is about to
 * begin. The call knows nothing of it or says that it is not found; nothing else is
 * harmed.
 */
#include "engine/clients.h"
#include "elsewhere.h"
#include "records.h"
#include <dlfcn.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static rill *store;
static rill_consumer *consumer;
static bool appended_elsewhere; /* to t, before the work */

/* ---- Between two transactions ---- */

static struct {
    int at;      /* before the reading transaction of this number; 0: never */
    bool behind; /* when it has ended, rather */
    int count;
    MDB_txn *txn; /* that one, while it lasts */
    void (*happen)(void);
    int code; /* what every beginning answers, if not 0 */
} between;

static void it_happens(void)
{
    between.at = 0;
    between.txn = NULL;
    between.happen();
}

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    int (*real)(MDB_env *, MDB_txn *, unsigned, MDB_txn **);
    void *at = dlsym(RTLD_NEXT, "mdb_txn_begin");
    bool this = between.at != 0 && (flags & MDB_RDONLY) != 0 && ++between.count == between.at;
    int code;

    assert_non_null(at);
    memcpy(&real, &at, sizeof at);
    if (this && !between.behind) it_happens();
    code = between.code != 0 ? between.code : real(env, parent, flags, txn);
    if (this && between.behind && code == 0) between.txn = *txn;
    return code;
}

/* So all end that only read. */
void mdb_txn_abort(MDB_txn *txn)
{
    void (*real)(MDB_txn *);
    void *at = dlsym(RTLD_NEXT, "mdb_txn_abort");
    bool this = txn != NULL && txn == between.txn;

    assert_non_null(at);
    memcpy(&real, &at, sizeof at);
    real(txn);
    if (this) it_happens();
}

/* ---- What is deleted ---- */

static void delete_topic(void)
{
    OK(rill_topic_delete(store, "t"));
}

static void delete_group(void)
{
    OK(rill__meta_group_delete(store->store->meta, "g2", NULL, NULL)); /* another process does */
}

static void remove_topic_directory(const uint8_t id[16])
{
    char name[TOPIC_DIRECTORY_SIZE];
    char path[900];

    rill__topic_directory(id, name);
    snprintf(path, sizeof path, "%s/%s", test_path("store"), name);
    test_remove(path);
}

/* As another process does it, which this one has not seen yet. */
static void delete_topic_elsewhere(void)
{
    struct meta_topic gone;

    OK(rill__meta_topic_delete(store->store->meta, "t", &gone));
    remove_topic_directory(gone.id);
}

/* A sync has it open when it goes; the deleter tells whoever has. */
static void delete_open_topic_elsewhere(void)
{
    elsewhere_delete_topic(store, "t");
}

/* ---- What is done ---- */

static int do_commit(void)
{
    return rill_consumer_commit(consumer, NULL, 0);
}

static int do_sync(void)
{
    return rill_sync(store, WAIT_MS);
}

static int visit_group(void *arg, const rill_group_info *info)
{
    (void)arg;
    return info->name[0] == 'g' ? 0 : -1;
}

static int do_groups(void)
{
    return rill_group_list(store, visit_group, NULL);
}

static int do_subscribe(void)
{
    static const char *const all[] = {"^"};
    int rc = rill_consumer_subscribe(consumer, all, 1);
    rill_record record;
    size_t count;

    for (int i = 0; rc == 0 && i < 3; i++) {
        rc = rill_consumer_poll(consumer, 0, &record, 1, &count);
        if (rc == RILL_ERR_REBALANCE) rc = 0;
    }
    return rc;
}

static int do_assign(void)
{
    rill_position from[2] = {{"t", 0, -1, RILL_OFFSET_NONE, NULL},
                             {"u", 0, -1, RILL_OFFSET_NONE, NULL}};
    return rill_consumer_assign(consumer, from, 2);
}

static int do_append(void)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    int64_t number = 1;
    rill_record record = record_of(&number);
    rill_producer *producer;
    int rc = rill_producer_open(store, &options, &producer);

    if (rc != 0) return rc;
    rc = rill_producer_append(producer, &record, 1, WAIT_MS, NULL);
    OK(rill_producer_close(producer, WAIT_MS));
    return rc;
}

/* What another process appended is not durable: a sync here has to open it. */
static void append_elsewhere(const char *topic)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        store = test_store_open();
        put(store, topic, 0, 0, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void begin(void)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = "g1", .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position position = {.topic = "u"};

    test_directory();
    store = test_store_open();
    test_topic(store, "t", 1);
    test_topic(store, "u", 1);
    put(store, "u", 0, 0, 1);
    if (appended_elsewhere) append_elsewhere("t");
    options.group = "g2";
    consumer = consumer_open(store, &options);
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
    options.group = "g1";
    consumer = consumer_open(store, &options);
    OK(rill_consumer_commit(consumer, &position, 1));
}

static void end(void)
{
    OK(rill_consumer_close(consumer, 0));
    put(store, "u", 0, 1, 1);
    assert_int_equal(log_end_of(store, "u", 0), 2);
    OK(rill_sync(store, WAIT_MS));
    OK(rill_close(store));
    test_directory_remove();
}

/* For each transaction of the work; returns how many there were. */
static int at_each(int (*work)(void), void (*happen)(void), bool behind)
{
    for (int at = 1;; at++) {
        bool happened;
        int rc;
        begin();
        between.at = at;
        between.behind = behind;
        between.count = 0;
        between.happen = happen;
        rc = work();
        happened = between.at == 0;
        between.at = 0;
        if (!happened) OK(rc);
        else if (rc != RILL_ERR_NOT_FOUND) OK(rc);
        end();
        if (!happened) return at - 1;
    }
}

/* Before and behind each. */
static int everywhere(int (*work)(void), void (*happen)(void))
{
    int count = at_each(work, happen, true);
    int before = at_each(work, happen, false);
    return before < count ? before : count;
}

static void a_topic_may_go_at_any_time(void **state)
{
    (void)state;
    appended_elsewhere = true;
    assert_in_range(everywhere(do_sync, delete_topic), 4, 50);
    appended_elsewhere = false;
    assert_in_range(everywhere(do_subscribe, delete_topic), 4, 50);
    assert_in_range(everywhere(do_assign, delete_topic), 2, 50);
    assert_in_range(everywhere(do_append, delete_topic), 1, 50);
}

static void a_topic_may_go_in_another_process_at_any_time(void **state)
{
    (void)state;
    appended_elsewhere = true;
    assert_in_range(everywhere(do_sync, delete_open_topic_elsewhere), 4, 50);
    appended_elsewhere = false;
    assert_in_range(everywhere(do_subscribe, delete_topic_elsewhere), 4, 50);
    assert_in_range(everywhere(do_assign, delete_topic_elsewhere), 2, 50);
    assert_in_range(everywhere(do_append, delete_topic_elsewhere), 1, 50);
}

static void a_group_may_go_at_any_time(void **state)
{
    (void)state;
    assert_in_range(everywhere(do_groups, delete_group), 4, 50);
    assert_in_range(everywhere(do_commit, delete_group), 0, 50);
}

/* ---- What was assigned, and is gone before it is looked at ---- */

static void what_was_assigned_may_be_gone(void **state)
{
    static const char *const both[] = {"t", "u"};
    rill_position parts[2];
    struct topic *topic;
    size_t count;

    (void)state;
    begin();
    OK(rill_consumer_subscribe(consumer, both, 2));
    delete_topic_elsewhere();
    takes(consumer, 0, 1); /* from u */
    OK(rill_consumer_assignment(consumer, parts, 2, &count));
    assert_int_equal(count, 1);
    assert_string_equal(parts[0].topic, "u");
    end();
    begin();
    OK(rill_consumer_subscribe(consumer, both, 2));
    OK(rill__topic_find(store->store, "t", &topic));
    atomic_store(&topic->gone, true); /* another thread is deleting it */
    takes(consumer, 0, 1);
    OK(rill_consumer_assignment(consumer, parts, 2, &count));
    assert_int_equal(count, 1);
    end();
}

static void maintenance_sees_that_a_topic_is_gone(void **state)
{
    struct topic *topic;
    struct log *log;

    (void)state;
    begin();
    put(store, "t", 0, 0, 1);
    OK(rill__topic_find(store->store, "t", &topic));
    OK(rill__partition_log(topic, 0, WAIT_MS, &log));
    delete_topic_elsewhere();
    rill__log_mark_deleted(log);
    assert_false(atomic_load(&topic->gone));
    OK(rill_maintain(store, NULL));
    assert_true(atomic_load(&topic->gone));
    OK(rill_maintain(store, NULL));
    end();
}

/* Whether it was deleted cannot be seen: then it is what it looks like. */
static void what_is_missing_is_damage_if_nobody_knows_better(void **state)
{
    struct topic *topic;
    struct log *log;

    (void)state;
    begin();
    OK(rill__topic_find(store->store, "t", &topic));
    remove_topic_directory(topic->info.id);
    between.code = MDB_BAD_TXN;
    FAILS(RILL_ERR_CORRUPT, rill__partition_log(topic, 0, WAIT_MS, &log));
    between.code = 0;
    assert_non_null(strstr(rill_errmsg(), "topic t is in the catalogue, but"));
    OK(rill_topic_delete(store, "t"));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_may_go_at_any_time),
        cmocka_unit_test(a_topic_may_go_in_another_process_at_any_time),
        cmocka_unit_test(a_group_may_go_at_any_time),
        cmocka_unit_test(what_was_assigned_may_be_gone),
        cmocka_unit_test(what_is_missing_is_damage_if_nobody_knows_better),
        cmocka_unit_test(maintenance_sees_that_a_topic_is_gone),
    };

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
