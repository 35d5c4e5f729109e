/*
 * Compaction leaves the last record of every key at its offset and nothing else that
 * has a key; what is active, not durable, or beyond its limits it leaves alone; and who
 * reads meanwhile goes on.
 */
#include "keyed.h"
#include "faults.h"
#include "base/bytes.h"
#include "log/compact.h"

static struct keyed k;

static int set_up(void **state)
{
    memset(&k, 0, sizeof k);
    return test_log_set_up(state);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, test_log_tear_down)

static uint32_t segment_count(struct log *log)
{
    uint32_t count;
    uint64_t bytes;

    OK(rill__log_segments(log, &count, &bytes));
    return count;
}

static void last_of_each_key_stays(void **state)
{
    struct test_log *t = *state;
    struct log_compaction_report report;

    keyed_write(t->log, &k, "ab ab  aac.  bd");
    assert_int_equal(segment_count(t->log), 3);
    report = keyed_compact(t->log);
    keyed_holds(t->log, &k, "b3 a5 c6 .7 b8 d9");
    assert_int_equal(segment_count(t->log), 2);
    assert_int_equal(report.records_before, 8);
    assert_int_equal(report.records_after, 4);
    assert_int_equal(report.segments_before, 2);
    assert_int_equal(report.segments_after, 1);
    assert_int_equal(report.passes, 1);
    assert_true(report.bytes_after < report.bytes_before);
    assert_true(report.dirty_ratio == 1.0);
    OK(test_log_restart(t));
    keyed_holds(t->log, &k, "b3 a5 c6 .7 b8 d9");
    OK(test_log_reboot(t));
    keyed_holds(t->log, &k, "b3 a5 c6 .7 b8 d9");
    keyed_write(t->log, &k, "  ");
    keyed_compact(t->log);
    keyed_holds(t->log, &k, "a5 c6 .7 b8 d9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(last_of_each_key_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
