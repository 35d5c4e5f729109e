/*
 * nomemory.c - memory runs out at every place, once and for good.
 *
 * The same work is done again and again, with the n-th allocation failing, for
 * n = 1, 2, ... until none fails. A call that fails says RILL_ERR_NO_MEMORY and
 * changes nothing that was acknowledged; everything that was opened can be
 * closed; no block is lost.
 */
#include "stores.h"
#include <stdatomic.h>
#include <stdbool.h>

static struct {
    int calls;
    int fail_at;   /* 0: never */
    bool for_good; /* all after it fail too */
    int blocks;
} memory;

static bool fails_now(void)
{
    memory.calls++;
    return memory.fail_at != 0 &&
           (memory.calls == memory.fail_at || (memory.for_good && memory.calls > memory.fail_at));
}

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    if (fails_now()) return NULL;
    memory.blocks++;
    return malloc(size);
}

static void *hook_resize(void *arg, void *block, size_t size)
{
    (void)arg;
    return fails_now() ? NULL : realloc(block, size);
}

static void hook_release(void *arg, void *block)
{
    (void)arg;
    memory.blocks--;
    free(block);
}

static const rill_allocator hooks = {hook_alloc, hook_resize, hook_release, NULL};

/* 0 or "no memory"; anything else is wrong. *failed collects. */
static bool fine(int rc, bool *failed)
{
    if (rc == RILL_ERR_NO_MEMORY) *failed = true;
    else if (rc != 0) fail_msg("%d, %s (failing at %d)", rc, rill_errmsg(), memory.fail_at);
    return rc == 0;
}

static void on_delivery(void *arg, const rill_delivery *delivery)
{
    int *delivered = arg;

    if (delivery->status == 0) ++*delivered;
}

static void produce(rill *store, int *acknowledged, bool *failed)
{
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .delivery = on_delivery, .delivery_arg = acknowledged};
    rill_record record = RILL_RECORD_INIT;
    rill_producer *producer;
    rill_reservation room;

    record.partition = 0;
    record.value = (rill_bytes){"value", 5};
    if (!fine(rill_producer_open(store, &out, &producer), failed)) return;
    for (int i = 0; i < 3; i++) fine(rill_producer_send(producer, &record, NULL, 1000), failed);
    fine(rill_producer_flush(producer, 1000), failed);
    if (fine(rill_producer_append(producer, &record, 1, 1000, NULL), failed)) ++*acknowledged;
    if (fine(rill_producer_reserve(producer, &record, 1000, &room), failed)) {
        memcpy(room.value, "value", 5);
        if (fine(rill_producer_commit(producer, NULL), failed)) ++*acknowledged;
    }
    fine(rill_producer_close(producer, 1000), failed);
}

static void consume(rill *store, bool *failed)
{
    rill_consumer_options in = {
        .size = sizeof in, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    const char *topics[] = {"^t"};
    rill_record records[10];
    rill_consumer *consumer;
    size_t count;
    int fd;

    if (!fine(rill_consumer_open(store, &in, &consumer), failed)) return;
    fine(rill_consumer_subscribe(consumer, topics, 1), failed);
    for (int i = 0; i < 3; i++)
        fine(rill_consumer_poll(consumer, 0, records, 10, &count), failed);
    fine(rill_consumer_commit(consumer, NULL, 0), failed);
    fine(rill_consumer_fd(consumer, &fd), failed);
    fine(rill_consumer_close(consumer, 0), failed);
}

/* What looks on fails for itself: the records go on without it. */
static void audit_and_trace(rill *store, rill_audit *audit, rill_trace *trace, bool *failed)
{
    rill_producer_interceptor senders[2];
    rill_consumer_interceptor readers[1];
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .interceptors = senders, .interceptor_count = 2};
    rill_consumer_options in = {
        .size = sizeof in, .interceptors = readers, .interceptor_count = 1};
    rill_audit_window window = {.topic = "elsewhere", .record_count = 1};
    rill_record record = RILL_RECORD_INIT;
    rill_header headers[20];
    rill_position from = {.topic = "t"};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_record got[10];
    size_t count;

    for (int i = 0; i < 20; i++) headers[i] = (rill_header){{"name", 4}, {"of a header", 11}};
    record.headers = headers;
    record.header_count = 20;
    rill_trace_interceptor(trace, &senders[0]);
    rill_audit_producer(audit, &senders[1]);
    rill_audit_consumer(audit, &readers[0]);
    record.partition = 0;
    record.value = (rill_bytes){"value", 5};
    if (fine(rill_producer_open(store, &out, &producer), failed)) {
        fine(rill_producer_append(producer, &record, 1, 1000, NULL), failed);
        fine(rill_producer_close(producer, 1000), failed);
    }
    if (fine(rill_consumer_open(store, &in, &consumer), failed)) {
        if (fine(rill_consumer_assign(consumer, &from, 1), failed))
            fine(rill_consumer_poll(consumer, 0, got, 10, &count), failed);
        fine(rill_consumer_close(consumer, 0), failed);
    }
    for (int i = 0; i < 20; i++, window.begin_ms += 60000)
        fine(rill_audit_add(audit, &window), failed);
}

static void look_on(rill *store, bool *failed)
{
    rill_audit *audit = NULL;
    rill_trace *trace = NULL;

    fine(rill_audit_open(store, NULL, &audit), failed);
    fine(rill_trace_open(store, NULL, &trace), failed);
    if (audit != NULL && trace != NULL) audit_and_trace(store, audit, trace, failed);
    rill_audit_close(audit);
    rill_trace_close(trace);
}

static int64_t records_there(void)
{
    rill *store = test_store_open();
    rill_partition_info info = {.log_end = 0};

    if (rill_partition_describe(store, "t", 0, &info) == RILL_ERR_NOT_FOUND) info.log_end = 0;
    OK(rill_close(store));
    return info.log_end;
}

/* Returns whether an allocation failed on the way. */
static bool work(void)
{
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .allocator = hooks};
    rill_topic_options topic = {.size = sizeof topic, .segment_bytes = 64 << 10};
    rill_group_info group;
    int acknowledged = 0;
    bool failed = false;
    rill *store;
    int rc;

    if (fine(rill_open(test_path("store"), &options, &store), &failed)) {
        fine(rill_topic_create(store, "t", &topic), &failed);
        rc = rill_topic_create(store, "t", &topic); /* again, if that failed */
        if (rc != RILL_ERR_EXISTS) fine(rc, &failed);
        if (rc == 0 || rc == RILL_ERR_EXISTS) {
            produce(store, &acknowledged, &failed);
            consume(store, &failed);
            look_on(store, &failed);
            fine(rill_maintain(store, NULL), &failed);
            fine(rill_sync(store, 1000), &failed);
            rc = rill_group_describe(store, "g", &group);
            if (rc != RILL_ERR_NOT_FOUND) fine(rc, &failed);
        }
        fine(rill_close(store), &failed);
    }
    if (memory.blocks != 0)
        fail_msg("%d blocks are lost, failing at %d", memory.blocks, memory.fail_at);
    assert_true(records_there() >= acknowledged);
    return failed || memory.calls >= memory.fail_at;
}

static void fail_everywhere(bool for_good)
{
    int n = 0;
    bool failed;

    do {
        test_directory();
        memset(&memory, 0, sizeof memory);
        memory.fail_at = ++n;
        memory.for_good = for_good;
        failed = work();
        test_directory_remove();
    } while (failed);
    assert_true(n > 30);
    print_message("%d allocations\n", n - 1);
}

static void one_failure_anywhere_is_survived(void **state)
{
    (void)state;
    fail_everywhere(false);
}

static void no_memory_any_more_is_survived(void **state)
{
    (void)state;
    fail_everywhere(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failure_anywhere_is_survived),
        cmocka_unit_test(no_memory_any_more_is_survived),
    };

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
