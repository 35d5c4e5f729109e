/*
 * hotpath.c - appending and polling allocate nothing and call nobody.
 *
 * Allocations are counted by the store's own hooks. System calls are forbidden
 * by the kernel: a child that is warm takes away its own right to make any,
 * works on, and dies of it if it makes one. (Once a MiB the pages of a segment
 * are touched first; the child stays within one.)
 */
#include "testing.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <rill.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#undef _exit /* of tests/lib/coverage.h: it calls the system */

enum { BATCH = 10 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static _Atomic uint64_t allocations;
static rill *store;
static rill_producer *producer;
static rill_consumer *consumer;

static void *count_alloc(void *arg, size_t size)
{
    (void)arg;
    atomic_fetch_add(&allocations, 1);
    return malloc(size);
}

static void *count_resize(void *arg, void *memory, size_t size)
{
    (void)arg;
    atomic_fetch_add(&allocations, 1);
    return realloc(memory, size);
}

static void count_release(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

static void open_all(uint32_t compression)
{
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .allocator = {count_alloc, count_resize, count_release, NULL}};
    rill_topic_options topic = {.size = sizeof topic, .segment_bytes = 16 << 20};
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .linger_ms = 3600000, .compression = compression};
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_EARLIEST};

    OK(rill_open(test_path("store"), &options, &store));
    OK(rill_topic_create(store, "t", &topic));
    OK(rill_producer_open(store, &out, &producer));
    OK(rill_consumer_open(store, NULL, &consumer));
    OK(rill_consumer_assign(consumer, &from, 1));
}

static void close_all(void)
{
    OK(rill_consumer_close(consumer, 1000));
    OK(rill_producer_close(producer, 1000));
    OK(rill_close(store));
}

/* Every way in and the way out, rounds times; true if each call succeeds. */
static bool work(int rounds)
{
    static const char value[100] = "value";
    rill_record records[BATCH];
    rill_record got[64];
    rill_reservation room;
    size_t count;

    for (int i = 0; i < BATCH; i++) {
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].key = (rill_bytes){"key", 3};
        records[i].value = (rill_bytes){value, sizeof value};
    }
    for (int round = 0; round < rounds; round++) {
        if (rill_producer_append(producer, records, BATCH, 0, NULL) != 0) return false;
        if (rill_producer_send(producer, &records[0], NULL, 0) != 0) return false;
        if (rill_producer_flush(producer, 0) != 0) return false;
        if (rill_producer_reserve(producer, &records[1], 0, &room) != 0) return false;
        memcpy(room.value, value, room.value_size);
        if (rill_producer_commit(producer, NULL) != 0) return false;
        do {
            if (rill_consumer_poll(consumer, 0, got, 64, &count) != 0) return false;
        } while (count > 0);
    }
    return true;
}

static void check_allocations(uint32_t compression)
{
    uint64_t before;

    open_all(compression);
    assert_true(work(10));
    before = atomic_load(&allocations);
    assert_true(work(2000));
    assert_int_equal(atomic_load(&allocations), before);
    close_all();
}

static void nothing_is_allocated(void **state)
{
    (void)state;
    check_allocations(RILL_COMPRESSION_NONE);
}

/* Once there is memory to compress and decompress in. */
static void nothing_is_allocated_to_compress(void **state)
{
    (void)state;
    for (uint32_t code = RILL_COMPRESSION_LZ4; code <= RILL_COMPRESSION_ZSTD; code++) {
        if (!rill_compression_available(code)) continue;
        check_allocations(code);
        test_remove(test_path("store"));
    }
}

/* From here on this process may only end. */
static bool forbid_system_calls(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* What became of a child that works warm and without system calls. */
static int status_of_silent_child(uint32_t compression, bool call_one)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        open_all(compression);
        if (!work(10)) _exit(2);
        if (!forbid_system_calls()) _exit(77);
        if (!work(200)) _exit(3);
        if (call_one) close(-1);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void no_system_call_is_made(void **state)
{
    int status;

    (void)state;
    if (SANITIZED) skip();
    status = status_of_silent_child(RILL_COMPRESSION_NONE, false);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip();
    assert_int_equal(status, 0);
    for (uint32_t code = RILL_COMPRESSION_LZ4; code <= RILL_COMPRESSION_ZSTD; code++) {
        test_remove(test_path("store"));
        if (rill_compression_available(code))
            assert_int_equal(status_of_silent_child(code, false), 0);
    }
}

static void a_system_call_would_be_noticed(void **state)
{
    int status;

    (void)state;
    if (SANITIZED) skip();
    status = status_of_silent_child(RILL_COMPRESSION_NONE, true);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip();
    assert_true(WIFSIGNALED(status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(nothing_is_allocated),
        WITH_DIRECTORY(nothing_is_allocated_to_compress),
        WITH_DIRECTORY(no_system_call_is_made),
        WITH_DIRECTORY(a_system_call_would_be_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
