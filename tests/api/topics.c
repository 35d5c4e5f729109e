/*
 * The configuration of topics: every option is kept, has its default and its range,
 * and is checked together with the others.
 */
#include "stores.h"
#include <math.h>

static int set_up(void **state)
{
    test_directory();
    *state = test_store_open();
    return 0;
}

static int tear_down(void **state)
{
    if (*state != NULL) OK(rill_close(*state));
    test_directory_remove();
    return 0;
}

static void options_have_defaults(void **state)
{
    rill_topic_info info;

    OK(rill_topic_create(*state, "t", NULL));
    OK(rill_topic_describe(*state, "t", &info));
    assert_int_equal(info.options.size, sizeof info.options);
    assert_int_equal(info.options.cleanup_policy, RILL_CLEANUP_DELETE);
    assert_int_equal(info.options.timestamp_type, RILL_TIMESTAMP_CREATE);
    assert_int_equal(info.options.compression, RILL_COMPRESSION_DEFAULT);
    assert_int_equal(info.options.segment_jitter_ms, 0);
    assert_int_equal(info.options.retention_ms, 0);
    assert_int_equal(info.options.retention_bytes, 0);
    assert_int_equal(info.options.delete_retention_ms, 24 * 3600 * 1000);
    assert_int_equal(info.options.min_compaction_lag_ms, 0);
    assert_true(info.options.min_cleanable_dirty_ratio == 0.5);
}

static void options_are_kept(void **state)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = 3,
                                  .segment_ms = 1000,
                                  .segment_bytes = 128 << 10,
                                  .max_message_bytes = 5000,
                                  .index_interval_bytes = 512,
                                  .cleanup_policy = RILL_CLEANUP_COMPACT | RILL_CLEANUP_DELETE,
                                  .timestamp_type = RILL_TIMESTAMP_APPEND,
                                  .compression = RILL_COMPRESSION_NONE,
                                  .segment_jitter_ms = 1000,
                                  .retention_ms = INT64_MAX,
                                  .retention_bytes = 1,
                                  .delete_retention_ms = 2,
                                  .min_compaction_lag_ms = 3,
                                  .min_cleanable_dirty_ratio = 1};
    rill_topic_info info;

    OK(rill_topic_create(*state, "t", &options));
    OK(rill_close(*state));
    *state = test_store_open();
    OK(rill_topic_describe(*state, "t", &info));
    assert_memory_equal(&info.options, &options, sizeof options);
}

/* A caller that was compiled with the header of 0.1. */
static void a_shorter_struct_is_enough(void **state)
{
    rill_topic_options options = {.size = 32, .retention_ms = 77, .partition_count = 2};
    rill_topic_info info;

    OK(rill_topic_create(*state, "t", &options));
    OK(rill_topic_describe(*state, "t", &info));
    assert_int_equal(info.options.partition_count, 2);
    assert_int_equal(info.options.retention_ms, 0);
}

static void is_refused(rill *store, const rill_topic_options *options, const char *name)
{
    rill_topic_info info;

    FAILS(RILL_ERR_INVALID, rill_topic_create(store, "t", options));
    if (strstr(rill_errmsg(), name) == NULL) fail_msg("%s: %s", name, rill_errmsg());
    FAILS(RILL_ERR_NOT_FOUND, rill_topic_describe(store, "t", &info));
}

static void options_out_of_range_are_named(void **state)
{
#define REFUSED(field, value)                                                                    \
    do {                                                                                         \
        rill_topic_options options = {.size = sizeof options, .field = value};                   \
        is_refused(*state, &options, #field);                                                    \
    } while (0)
    REFUSED(cleanup_policy, 8);
    REFUSED(timestamp_type, 3);
    REFUSED(compression, 2);
    REFUSED(compression, 5);
    REFUSED(segment_jitter_ms, 7 * 24 * 3600 * 1000 + 1);
    REFUSED(retention_ms, UINT64_C(1) << 63);
    REFUSED(retention_bytes, UINT64_C(1) << 63);
    REFUSED(delete_retention_ms, UINT64_C(1) << 63);
    REFUSED(min_compaction_lag_ms, UINT64_C(1) << 63);
    REFUSED(min_cleanable_dirty_ratio, -0.1);
    REFUSED(min_cleanable_dirty_ratio, 1.01);
    REFUSED(min_cleanable_dirty_ratio, NAN);
#undef REFUSED
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(options_have_defaults),
        TEST(options_are_kept),
        TEST(a_shorter_struct_is_enough),
        TEST(options_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
