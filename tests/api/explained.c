/*
 * explained.c - explanations, listings and metrics in every state of what they
 * are of: who is away, gone, asked or stopped, what is poisoned, who holds a lock;
 * stopped by the application after each fact, and without memory at each place.
 */
#include "engine/consumer.h"
#include "engine/members.h"
#include "faults.h"
#include "members.h"
#include "records.h"
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static rill_consumer *join_as(rill *store, const rill_consumer_options *options, size_t wanted)
{
    rill_consumer *consumer = consumer_open(store, options);
    struct patience patience = {0};
    rill_record record;
    size_t parts = 0;
    size_t count;

    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    while (parts < wanted) {
        int rc = rill_consumer_poll(consumer, 0, &record, 1, &count);
        if (rc != RILL_ERR_REBALANCE) OK(rc);
        OK(rill_consumer_assignment(consumer, NULL, 0, &parts));
        if (parts < wanted) wait_a_little(&patience);
    }
    return consumer;
}

static rill_consumer_options options_of(const char *client_id)
{
    return (rill_consumer_options){.size = sizeof(rill_consumer_options),
                                   .group = "g",
                                   .client_id = client_id,
                                   .auto_offset_reset = RILL_RESET_EARLIEST};
}

/* ---- What is said ---- */

static struct {
    char text[20000];
    size_t size;
    int facts;
    int stop_at; /* 0: never */
    int errors;  /* facts that stop everything */
    int warnings;
} said;

static int note(void *arg, const rill_fact *fact)
{
    (void)arg;
    assert_non_null(fact->text);
    said.facts++;
    said.errors += fact->severity == RILL_LOG_ERROR;
    said.warnings += fact->severity == RILL_LOG_WARNING;
    said.size +=
        (size_t)snprintf(said.text + said.size, sizeof said.text - said.size, "%s\n", fact->text);
    return said.facts == said.stop_at ? 55 : 0;
}

static void explain(rill *store, rill_subject subject)
{
    memset(&said, 0, sizeof said);
    OK(rill_explain(store, &subject, note, NULL));
}

static void says(const char *part)
{
    if (strstr(said.text, part) == NULL) fail_msg("no \"%s\" in\n%s", part, said.text);
}

static const rill_subject group_g = {.group = "g"};
static const rill_subject partition_0 = {.topic = "t", .partition = 0};

static void the_application_may_stop_after_each_fact(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    rill_consumer *a;
    rill_consumer *b;
    rill_subject subjects[3] = {group_g, partition_0};
    struct holder holder;

    test_topic(store, "t", 3);
    a = join_as(store, &options, 3);
    options.client_id = "b";
    b = join_as(store, &options, 0);
    subjects[2].consumer = a;
    holder_start(&holder, store, "t", 0, 1); /* of a lock, which is a fact too */
    for (int s = 0; s < 3; s++) {
        int all;
        explain(store, subjects[s]);
        all = said.facts;
        assert_true(all > 1);
        for (int n = 1; n <= all; n++) {
            memset(&said, 0, sizeof said);
            said.stop_at = n;
            assert_int_equal(rill_explain(store, &subjects[s], note, NULL), 55);
            assert_int_equal(said.facts, n);
        }
    }
    holder_stop(&holder);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
}

/* ---- Members ---- */

static void one_who_is_away_is_waited_for(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    rill_consumer *a;

    test_topic(store, "t", 2);
    options.group_instance_id = "one";
    a = join_as(store, &options, 2);
    OK(rill_consumer_close(a, WAIT_MS));
    explain(store, group_g);
    assert_int_equal(said.warnings, 1);
    says("(instance one) is away since");
    says("its 2 partitions wait for it");
}

static int own(void *arg, const rill_assignor_member *members, size_t member_count,
               const rill_assignor_topic *topics, size_t topic_count)
{
    (void)arg, (void)members, (void)member_count;
    for (size_t t = 0; t < topic_count; t++)
        for (uint32_t p = 0; p < topics[t].partition_count; p++) topics[t].owners[p] = -1;
    return 0;
}

static void one_who_shall_plan_is_named(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    rill_consumer *a;

    test_topic(store, "t", 2);
    options.assignor = RILL_ASSIGN_OWN;
    options.own_assignor = own;
    options.own_assignor_name = "nobody";
    a = consumer_open(store, &options);
    OK(rill_consumer_subscribe(a, topic_t, 1));
    explain(store, group_g);
    says("a member plans the assignment");
    says("is asked to plan the assignment since");
    assert_true(said.warnings >= 2);
    OK(rill_consumer_close(a, WAIT_MS));
    explain(store, group_g);
    says("it has no members");
}

static void one_that_is_gone_is_told_as_gone(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    struct member_slot *slot;
    rill_consumer *a;
    uint64_t id;

    test_topic(store, "t", 2);
    a = join_as(store, &options, 2);
    slot = &atomic_load(&store->store->members)->slots[0];
    id = atomic_load(&slot->member);
    assert_int_not_equal(id, 0);
    atomic_store(&slot->doing, 99);
    explain(store, group_g);
    says("it does something unknown");
    atomic_store(&slot->ticket, 1); /* as if another process had had the place */
    explain(store, group_g);
    says("is gone, its process has ended");
    assert_int_equal(said.errors, 1);
    atomic_store(&slot->ticket, store->store->process_ticket);
    atomic_store(&slot->member, id + 1); /* the place is another's */
    explain(store, group_g);
    says("is gone, its process has ended");
    atomic_store(&slot->member, id);
    atomic_store(&slot->polled_ms, 0); /* since the machine began */
    explain(store, group_g);
    assert_int_equal(said.errors, 0);
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Locks and logs ---- */

static void who_holds_the_catalogue_is_named(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    rill_consumer *a;

    test_topic(store, "t", 1);
    a = join_as(store, &options, 1);
    atomic_store(&store->store->shared->catalogue_turns.owner, 4711);
    atomic_store(&store->store->shared->catalogue_turns.since_ms, INT64_MAX / 2); /* just now */
    explain(store, group_g);
    says("process 4711 holds the lock of the catalogue");
    assert_int_equal(said.errors, 0);
    atomic_store(&store->store->shared->catalogue_turns.since_ms, 0);
    explain(store, partition_0);
    says("process 4711 holds the lock of the catalogue");
    assert_int_equal(said.errors, 1);
    atomic_store(&store->store->shared->catalogue_turns.owner, 0);
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_poisoned_partition_says_so(void **state)
{
    rill *store = *state;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 3);
    faults_fail(FAULT_FDATASYNC, NULL, 1, EIO, FAULT_ONCE);
    assert_int_not_equal(rill_sync(store, WAIT_MS), 0);
    faults_clear();
    explain(store, partition_0);
    says("t-0 is poisoned: a sync failed (the operating system reported an error)");
    assert_int_equal(said.errors, 1);
    FAILS(RILL_ERR_POISONED, rill_close(store));
    *state = NULL;
}

static void groups_that_do_not_read_it_are_not_named(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {.size = sizeof options, .group = "h"};
    rill_position position = {.topic = "t"};
    rill_consumer *a = consumer_open(store, &options);

    test_topic(store, "t", 1);
    OK(rill_consumer_commit(a, &position, 1));
    OK(rill_consumer_close(a, WAIT_MS));
    explain(store, partition_0);
    says("t-0 has offsets 0 to 0");
    assert_null(strstr(said.text, "is read by"));
}

static void what_is_not_committed_and_what_is_deleted_is_told(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    rill_position position = {.topic = "t", .offset = 1};
    struct topic *topic;
    rill_consumer *a;
    struct log *log;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 3);
    a = join_as(store, &options, 1);
    explain(store, group_g);
    says("t-0 is read by");
    says("; 3 records are not committed");
    OK(rill_consumer_commit(a, &position, 1));
    explain(store, group_g);
    says("; 2 records are not committed");
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill__topic_find(store->store, "t", &topic));
    OK(rill__partition_log(topic, 0, WAIT_MS, &log));
    rill__log_mark_deleted(log);
    explain(store, partition_0);
    says("t-0 is deleted");
    assert_int_equal(said.errors, 1);
    rill__partition_release(topic, 0);
    rill__topic_release(topic);
}

/* ---- Consumers ---- */

static void a_partition_whose_read_failed_says_so(void **state)
{
    rill *store = *state;
    rill_subject subject = {.group = NULL};
    rill_consumer *a;
    rill_record record;
    size_t count;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 1);
    OK(rill_sync(store, WAIT_MS));
    test_flip_bit(test_find_file("00.log"), 128 + 70);
    a = test_consumer(store, "t", 0, 0);
    FAILS(RILL_ERR_CORRUPT, rill_consumer_poll(a, 0, &record, 1, &count));
    subject.consumer = a;
    explain(store, subject);
    says("t-0: position 0 of 1; its last read failed");
    assert_int_equal(said.errors, 1);
    OK(rill_consumer_close(a, 0));
}

static void a_consumer_of_another_store_is_refused(void **state)
{
    rill *store = *state;
    rill *other;
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_consumer *a = consumer_open(store, NULL);
    rill_subject subject = {.consumer = a};

    OK(rill_open(test_path("other"), &options, &other));
    memset(&said, 0, sizeof said);
    FAILS(RILL_ERR_INVALID, rill_explain(other, &subject, note, NULL));
    assert_int_equal(said.facts, 0);
    OK(rill_close(other));
    explain(store, subject);
    says("no member of a group: the application has its thread; it reads 0 partitions");
    OK(rill_consumer_close(a, WAIT_MS));
}

static void *poll_long(void *consumer)
{
    rill_record record;
    size_t count;

    thread_ok(rill_consumer_poll(consumer, WAIT_MS, &record, 1, &count), "poll");
    return NULL;
}

/* From another thread, while the consumer's own is in a poll. */
static void a_consumer_that_waits_is_explained_from_outside(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    struct patience patience = {0};
    rill_subject subject = {.group = NULL};
    rill_consumer *a;
    pthread_t thread;

    test_topic(store, "t", 2);
    a = join_as(store, &options, 2);
    subject.consumer = a;
    thread = thread_start(poll_long, a);
    do {
        wait_a_little(&patience);
        explain(store, subject);
    } while (strstr(said.text, "it waits in a poll") == NULL);
    says("t-1: position 0 of 0; it is at the end, and waits for an append");
    rill_consumer_wakeup(a);
    thread_join(thread);
    OK(rill_consumer_close(a, WAIT_MS));
    a = test_consumer(store, "t", 0, 0);
    subject.consumer = a;
    thread = thread_start(poll_long, a);
    do {
        wait_a_little(&patience);
        explain(store, subject);
    } while (strstr(said.text, "no member of a group: a call on it is running") == NULL);
    rill_consumer_wakeup(a);
    thread_join(thread);
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Memory ---- */

static struct {
    int calls;
    int fail_at; /* 0: never */
} memory;

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    return ++memory.calls == memory.fail_at ? NULL : malloc(size);
}

static void *hook_resize(void *arg, void *block, size_t size)
{
    (void)arg;
    return ++memory.calls == memory.fail_at ? NULL : realloc(block, size);
}

static void hook_release(void *arg, void *block)
{
    (void)arg;
    free(block);
}

static int count_member(void *arg, const rill_group_member *member)
{
    (void)member;
    ++*(int *)arg;
    return 0;
}

static int look_group(rill *store, rill_consumer *a)
{
    (void)a;
    return rill_explain(store, &group_g, note, NULL);
}

static int look_partition(rill *store, rill_consumer *a)
{
    (void)a;
    return rill_explain(store, &partition_0, note, NULL);
}

static int look_consumer(rill *store, rill_consumer *a)
{
    rill_subject subject = {.consumer = a};
    return rill_explain(store, &subject, note, NULL);
}

static int look_members(rill *store, rill_consumer *a)
{
    int count = 0;
    (void)a;
    return rill_group_members(store, "g", count_member, &count);
}

static int look_metrics(rill *store, rill_consumer *a)
{
    static char text[20000];
    (void)a;
    return rill_metrics(store, text, sizeof text, NULL);
}

static int look_describe(rill *store, rill_consumer *a)
{
    rill_group_info info;
    (void)a;
    return rill_group_describe(store, "g", &info);
}

static int commit_later(rill *store, rill_consumer *a)
{
    rill_position position = {.topic = "t", .metadata = "m"};
    int rc = rill_consumer_commit_async(a, &position, 1, NULL, NULL);

    (void)store;
    return rc != 0 ? rc : rill_consumer_commit_async(a, NULL, 0, NULL, NULL);
}

static void without_memory_it_is_said_and_nothing_else_happens(void **state)
{
    static int (*const looks[])(rill *, rill_consumer *) = {
        look_group,   look_partition, look_consumer, look_members,
        look_metrics, look_describe,  commit_later};
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .allocator = {hook_alloc, hook_resize, hook_release, NULL}};
    rill_consumer_options member = options_of("a");
    rill *store;
    rill_consumer *a;

    OK(rill_close(*state));
    OK(rill_open(test_path("store"), &options, &store));
    *state = store;
    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 3);
    a = join_as(store, &member, 2);
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        int failures = 0;
        for (memory.fail_at = 1;; memory.fail_at++) {
            int rc;
            memory.calls = 0;
            memset(&said, 0, sizeof said);
            rc = looks[i](store, a);
            if (memory.calls < memory.fail_at) {
                OK(rc);
                break;
            }
            failures += rc != 0;
            if (rc != 0) assert_int_equal(rc, RILL_ERR_NO_MEMORY);
        }
        memory.fail_at = 0;
        assert_true(failures > 0 || looks[i] == look_describe);
        OK(looks[i](store, a));
    }
    OK(rill_consumer_close(a, WAIT_MS));
}

/* ---- Slots ---- */

static void slots_of_the_gone_are_taken_again(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    struct members *members;
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 1);
    a = join_as(store, &options, 1);
    members = atomic_load(&store->store->members);
    for (int i = 1; i < MEMBERS_MAX; i++) { /* all of living processes */
        atomic_store(&members->slots[i].member, 1);
        atomic_store(&members->slots[i].process, (uint32_t)store->store->process_slot);
        atomic_store(&members->slots[i].ticket, store->store->process_ticket);
    }
    b = consumer_open(store, &options);
    FAILS(RILL_ERR_BUSY, rill_consumer_subscribe(b, topic_t, 1));
    assert_non_null(strstr(rill_errmsg(), "2048 members"));
    atomic_store(&members->slots[7].ticket, 5);    /* its process is gone */
    atomic_store(&members->slots[8].process, 999); /* no process at all */
    OK(rill_consumer_subscribe(b, topic_t, 1));
    assert_int_not_equal(atomic_load(&members->slots[7].member), 1);
    for (int i = 1; i < MEMBERS_MAX; i++)
        if (atomic_load(&members->slots[i].member) == 1)
            atomic_store(&members->slots[i].member, 0);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
}

static void members_words_that_cannot_be_had_are_told(void **state)
{
    rill *store = *state;
    rill_consumer_options options = options_of("a");
    rill_consumer *a = consumer_open(store, &options);
    static const struct {
        unsigned call;
        int errno_value;
        int code;
    } faults[] = {{FAULT_OPENAT, EACCES, RILL_ERR_PERMISSION},
                  {FAULT_FSTAT, EIO, RILL_ERR_IO},
                  {FAULT_FALLOCATE, ENOSPC, RILL_ERR_NO_SPACE},
                  {FAULT_MMAP, ENOMEM, RILL_ERR_NO_MEMORY}};

    test_topic(store, "t", 1);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        faults_fail(faults[i].call, "members", 1, faults[i].errno_value, FAULT_ONCE);
        FAILS(faults[i].code, rill_consumer_subscribe(a, topic_t, 1));
        faults_clear();
    }
    OK(rill_consumer_subscribe(a, topic_t, 1));
    OK(rill_consumer_close(a, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(the_application_may_stop_after_each_fact),
        WITH_STORE(one_who_is_away_is_waited_for),
        WITH_STORE(one_who_shall_plan_is_named),
        WITH_STORE(one_that_is_gone_is_told_as_gone),
        WITH_STORE(who_holds_the_catalogue_is_named),
        WITH_STORE(a_poisoned_partition_says_so),
        WITH_STORE(groups_that_do_not_read_it_are_not_named),
        WITH_STORE(what_is_not_committed_and_what_is_deleted_is_told),
        WITH_STORE(a_partition_whose_read_failed_says_so),
        WITH_STORE(a_consumer_of_another_store_is_refused),
        WITH_STORE(a_consumer_that_waits_is_explained_from_outside),
        WITH_STORE(without_memory_it_is_said_and_nothing_else_happens),
        WITH_STORE(slots_of_the_gone_are_taken_again),
        WITH_STORE(members_words_that_cannot_be_had_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
