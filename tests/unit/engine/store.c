/*
 * The thread of a store is woken when a segment is half full: the next one is prepared
 * then, not only when the thread looks by itself. Once in a segment.
 */
#include "engine/store.h"
#include "stores.h"
#include <sched.h>

enum { SEGMENT = 2 << 20, VALUE = 60000 };

static uint64_t segments_rolled(rill *handle)
{
    rill_stats stats = {.size = sizeof stats};

    OK(rill_stats_get(handle, &stats));
    return stats.segments_rolled;
}

static rill *open_store(uint32_t flags)
{
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE | flags, .sync_interval_ms = 3600000};
    rill_topic_options topic = {.size = sizeof topic, .segment_bytes = SEGMENT};
    rill *handle;

    OK(rill_open(test_path("store"), &options, &handle));
    OK(rill_topic_create(handle, "t", &topic));
    return handle;
}

/* How often the thread has been told to look while so many segments were filled. */
static uint32_t wakes_in(rill *handle, uint64_t segment_count)
{
    struct store *store = handle->store;
    uint64_t end = segments_rolled(handle) + segment_count;
    uint32_t before = atomic_load(&store->thread_word);

    while (segments_rolled(handle) < end) test_store_append(handle, "t", 0, 1, VALUE);
    return atomic_load(&store->thread_word) - before;
}

static void the_half_of_a_segment_wakes_the_thread(void **state)
{
    rill *handle = open_store(RILL_OPEN_THREAD);

    (void)state;
    while (atomic_load(&handle->store->thread_wakes_ns) == 0) sched_yield(); /* it runs */
    wakes_in(handle, 1); /* the first one is made */
    assert_int_equal(wakes_in(handle, 5), 5);
    OK(rill_close(handle));
}

static void without_a_thread_nobody_is_woken(void **state)
{
    rill *handle = open_store(0);

    (void)state;
    assert_int_equal(wakes_in(handle, 3), 0);
    OK(rill_close(handle));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(the_half_of_a_segment_wakes_the_thread),
        WITH_DIRECTORY(without_a_thread_nobody_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
