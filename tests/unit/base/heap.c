/*
 * All memory goes through the hooks, is counted, zeroed and limited; running
 * out of it is an error that changes nothing.
 */
#include "base/heap.h"
#include "base/error.h"
#include "testing.h"
#include <stdbool.h>

static struct {
    int calls;
    int fail_at; /* 0: never */
    int open;    /* blocks not yet released */
} hook;

static bool fails_now(void)
{
    return ++hook.calls == hook.fail_at;
}

static void *hook_alloc(void *arg, size_t size)
{
    void *p;

    assert_ptr_equal(arg, &hook);
    if (fails_now()) return NULL;
    p = malloc(size);
    if (p != NULL) memset(p, 0xee, size);
    hook.open++;
    return p;
}

static void *hook_resize(void *arg, void *memory, size_t size)
{
    assert_ptr_equal(arg, &hook);
    return fails_now() ? NULL : realloc(memory, size);
}

static void hook_release(void *arg, void *memory)
{
    assert_ptr_equal(arg, &hook);
    hook.open--;
    free(memory);
}

static const rill_allocator hooks = {hook_alloc, hook_resize, hook_release, &hook};

static void memory_is_zeroed_aligned_and_counted(void **state)
{
    struct heap heap;
    uint8_t *p;

    (void)state;
    memset(&hook, 0, sizeof hook);
    rill__heap_init(&heap, &hooks, 0);
    p = rill__alloc(&heap, 100);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 16, 0);
    for (int i = 0; i < 100; i++) assert_int_equal(p[i], 0);
    assert_int_equal(heap.bytes, 116);
    memset(p, 1, 100);
    p = rill__resize(&heap, p, 200);
    assert_int_equal(p[99], 1);
    for (int i = 100; i < 200; i++) assert_int_equal(p[i], 0);
    assert_int_equal(heap.bytes, 216);
    p = rill__resize(&heap, p, 10);
    assert_int_equal(heap.bytes, 26);
    rill__free(&heap, p);
    rill__free(&heap, NULL);
    assert_int_equal(heap.bytes, 0);
    assert_int_equal(hook.open, 0);
}

static void a_block_of_no_size_is_a_block(void **state)
{
    struct heap heap;
    void *p;

    (void)state;
    rill__heap_init(&heap, NULL, 0);
    p = rill__alloc(&heap, 0);
    assert_non_null(p);
    p = rill__resize(&heap, p, 5);
    assert_non_null(p);
    rill__free(&heap, p);
    p = rill__resize(&heap, NULL, 5);
    assert_non_null(p);
    rill__free(&heap, p);
    assert_int_equal(heap.bytes, 0);
}

static void the_limit_holds(void **state)
{
    struct heap heap;
    void *p;

    (void)state;
    rill__heap_init(&heap, NULL, 1000);
    p = rill__alloc(&heap, 900);
    assert_non_null(p);
    assert_null(rill__alloc(&heap, 100));
    assert_non_null(strstr(rill_errmsg(), "limit of 1000"));
    assert_null(rill__resize(&heap, p, 990));
    assert_int_equal(heap.bytes, 916);
    p = rill__resize(&heap, p, 984);
    assert_non_null(p);
    assert_null(rill__alloc(&heap, SIZE_MAX));
    assert_null(rill__alloc(&heap, SIZE_MAX - 4));
    rill__free(&heap, p);
    assert_int_equal(heap.bytes, 0);
}

static void running_out_changes_nothing(void **state)
{
    struct heap heap;
    char *p;

    (void)state;
    memset(&hook, 0, sizeof hook);
    rill__heap_init(&heap, &hooks, 0);
    hook.fail_at = 1;
    assert_null(rill__alloc(&heap, 10));
    assert_non_null(strstr(rill_errmsg(), "no memory for 10 bytes"));
    assert_int_equal(heap.bytes, 0);
    p = rill__strdup(&heap, "text");
    assert_string_equal(p, "text");
    hook.fail_at = hook.calls + 1;
    assert_null(rill__resize(&heap, p, 1000));
    assert_string_equal(p, "text");
    hook.fail_at = hook.calls + 1;
    assert_null(rill__strdup(&heap, "more"));
    rill__free(&heap, p);
    assert_int_equal(heap.bytes, 0);
    assert_int_equal(hook.open, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_counted),
        cmocka_unit_test(a_block_of_no_size_is_a_block),
        cmocka_unit_test(the_limit_holds),
        cmocka_unit_test(running_out_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
