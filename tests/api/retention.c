/*
 * Groups that nobody uses: one that had no member and no commit for
 * offsets_retention_ms is deleted by maintenance, with all that it has committed;
 * not one that is used, and not early, whatever a clock says.
 *
 * The clocks are the test's: days pass in no time.
 */
#include "os/sys.h"
#include "members.h"
#include "records.h"
#include <stdatomic.h>

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

static _Atomic int64_t wall_ahead_ms;
static _Atomic int64_t monotonic_ahead_ms;

static int shifted_clock(clockid_t clock, struct timespec *t)
{
    bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    int64_t ahead = wall ? wall_ahead_ms : monotonic_ahead_ms;
    int rc = clock_gettime(clock, t);
    int64_t ms = (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000 + ahead;

    t->tv_sec = ms / 1000;
    t->tv_nsec = ms % 1000 * 1000000 + t->tv_nsec % 1000000;
    return rc;
}

/* ---- A store and what it says ---- */

static char said[400];

static void hear(void *arg, int level, const char *line)
{
    (void)arg;
    if (level == RILL_LOG_INFO) snprintf(said, sizeof said, "%s", line);
}

static rill *open_with(uint64_t retention_ms)
{
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .log = hear,
                            .offsets_retention_ms = retention_ms};
    rill *store;

    OK(rill_open(test_path("store"), &options, &store));
    return store;
}

static int set_up_clocks(void **state)
{
    wall_ahead_ms = monotonic_ahead_ms = 0;
    rill__sys.clock_gettime = shifted_clock;
    said[0] = '\0';
    test_directory();
    *state = open_with(0);
    test_topic(*state, "t", 2);
    put(*state, "t", 0, 0, 10);
    return 0;
}

static int tear_down_clocks(void **state)
{
    int rc = rill_close(*state);

    rill__sys.clock_gettime = clock_gettime;
    test_directory_remove();
    OK(rc);
    return 0;
}

#define WITH_CLOCKS(test) cmocka_unit_test_setup_teardown(test, set_up_clocks, tear_down_clocks)

static void look(rill *store)
{
    uint32_t next_ms;

    OK(rill_maintain(store, &next_ms));
    assert_in_range(next_ms, 1, 1000);
}

/* Time passes, and then somebody looks. */
static void pass(rill *store, int64_t ms)
{
    wall_ahead_ms += ms;
    monotonic_ahead_ms += ms;
    look(store);
}

static rill_consumer *reader_open(rill *store, const char *group)
{
    rill_consumer_options options = {.size = sizeof options,
                                     .group = group,
                                     .auto_offset_reset = RILL_RESET_EARLIEST,
                                     .session_timeout_ms = INT32_MAX,
                                     .max_poll_interval_ms = INT32_MAX};

    return consumer_open(store, &options);
}

static void commit_for(rill *store, const char *group, rill_offset offset)
{
    rill_consumer *consumer = reader_open(store, group);
    rill_position position = {"t", 0, -1, offset, NULL};

    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
}

static bool is_there(rill *store, const char *group)
{
    rill_group_info info;
    int rc = rill_group_describe(store, group, &info);

    if (rc != RILL_ERR_NOT_FOUND) OK(rc);
    return rc == 0;
}

/* ---- What goes ---- */

static void a_group_goes_when_nobody_used_it_for_so_long(void **state)
{
    rill *store = *state;
    rill_consumer *consumer = reader_open(store, "g");
    rill_position position;

    commit_for(store, "g", 4);
    look(store);
    for (int day = 0; day < 6; day++) pass(store, DAY);
    pass(store, 23 * HOUR);
    assert_true(is_there(store, "g"));
    assert_string_equal(said, "");
    commit_for(store, "h", 4);
    pass(store, HOUR + 1);
    assert_false(is_there(store, "g"));
    assert_true(is_there(store, "h"));
    assert_string_equal(said, "group g: no member and no commit for 604800 s: it is deleted with "
                              "its offsets");
    OK(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
    assert_int_equal(position.offset, RILL_OFFSET_NONE);
    OK(rill_consumer_close(consumer, 0));
}

static void one_long_time_is_as_good_as_many_short_ones(void **state)
{
    rill *store = *state;

    commit_for(store, "g", 4);
    look(store);
    pass(store, 8 * DAY);
    assert_false(is_there(store, "g"));
}

static void what_passed_before_the_first_look_does_not_count(void **state)
{
    rill *store = *state;

    commit_for(store, "g", 4);
    pass(store, 8 * DAY);
    assert_true(is_there(store, "g"));
    pass(store, 7 * DAY);
    assert_false(is_there(store, "g"));
}

static void a_commit_begins_anew(void **state)
{
    rill *store = *state;

    commit_for(store, "g", 4);
    look(store);
    pass(store, 6 * DAY);
    commit_for(store, "g", 4); /* the same offset */
    pass(store, 6 * DAY);
    pass(store, 6 * DAY);
    assert_true(is_there(store, "g"));
    pass(store, DAY + 1);
    assert_false(is_there(store, "g"));
}

static void a_reset_begins_anew(void **state)
{
    rill *store = *state;
    rill_group_reset_options options = {.size = sizeof options, .to = RILL_RESET_TO_COMMITTED};

    commit_for(store, "g", 4);
    look(store);
    pass(store, 6 * DAY);
    OK(rill_group_reset(store, "g", &options));
    pass(store, 6 * DAY);
    pass(store, 6 * DAY);
    assert_true(is_there(store, "g"));
}

static void a_group_with_members_stays(void **state)
{
    rill *store = *state;
    rill_consumer *member = reader_open(store, "g");

    OK(rill_consumer_subscribe(member, topic_t, 1));
    takes(member, 0, 10);
    OK(rill_consumer_commit(member, NULL, 0));
    look(store);
    for (int day = 0; day < 10; day++) {
        pass(store, DAY);
        takes_nothing(member);
    }
    assert_true(is_there(store, "g"));
    OK(rill_consumer_commit(member, NULL, 0));
    OK(rill_consumer_close(member, 0));
    pass(store, 6 * DAY); /* the first look at it without the member */
    pass(store, 6 * DAY);
    assert_true(is_there(store, "g"));
    pass(store, DAY);
    assert_false(is_there(store, "g"));
}

static void a_group_that_never_committed_goes_too(void **state)
{
    rill *store = *state;
    rill_consumer *member = reader_open(store, "g");

    OK(rill_consumer_subscribe(member, topic_t, 1));
    OK(rill_consumer_close(member, 0));
    assert_true(is_there(store, "g"));
    look(store);
    pass(store, 7 * DAY);
    assert_false(is_there(store, "g"));
}

/* Joining and leaving between two looks is use, too. */
static void a_visitor_begins_anew(void **state)
{
    rill *store = *state;
    rill_consumer *member;

    commit_for(store, "g", 4);
    look(store);
    pass(store, 6 * DAY);
    member = reader_open(store, "g");
    OK(rill_consumer_subscribe(member, topic_t, 1));
    OK(rill_consumer_close(member, 0));
    pass(store, 6 * DAY);
    pass(store, 6 * DAY);
    assert_true(is_there(store, "g"));
    pass(store, DAY);
    assert_false(is_there(store, "g"));
}

/* ---- Clocks that lie ---- */

static void a_wall_clock_that_jumps_deletes_nothing(void **state)
{
    static const int64_t jumps[] = {365 * DAY, -365 * DAY, -1000 * DAY, 2000 * DAY};
    rill *store = *state;

    commit_for(store, "g", 4);
    look(store);
    for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
        wall_ahead_ms += jumps[i];
        pass(store, DAY);
        pass(store, 11 * 60000); /* and it goes on from there */
        assert_true(is_there(store, "g"));
    }
    /* Two of the days are lost: the wall clock went back in them. */
    pass(store, 4 * DAY);
    assert_true(is_there(store, "g"));
    pass(store, DAY);
    assert_false(is_there(store, "g"));
}

static void a_monotonic_clock_that_jumps_deletes_nothing(void **state)
{
    rill *store = *state;

    commit_for(store, "g", 4);
    look(store);
    for (int i = 0; i < 10; i++) {
        monotonic_ahead_ms += 30 * DAY;
        look(store);
    }
    assert_true(is_there(store, "g"));
}

/* ---- Looks ---- */

static void looks_come_every_ten_minutes(void **state)
{
    rill *store = *state;

    commit_for(store, "g", 4);
    look(store);
    pass(store, 7 * DAY - 60000);
    assert_true(is_there(store, "g"));
    pass(store, 2 * 60000);
    assert_true(is_there(store, "g")); /* due, but nobody looks */
    pass(store, 8 * 60000);
    assert_false(is_there(store, "g"));
}

static void all_processes_share_what_they_saw(void **state)
{
    rill *store = *state;

    commit_for(store, "g", 4);
    look(store);
    for (int i = 0; i < 6; i++) { /* each run of the program looks once */
        OK(rill_close(store));
        *state = store = open_with(0);
        pass(store, DAY);
    }
    assert_true(is_there(store, "g"));
    OK(rill_close(store));
    *state = store = open_with(0);
    pass(store, DAY);
    assert_false(is_there(store, "g"));
}

static void a_short_retention_is_looked_after(void **state)
{
    rill *store = *state;
    uint32_t next_ms;

    OK(rill_close(store));
    *state = store = open_with(100);
    commit_for(store, "g", 4);
    for (int i = 0; i < 3; i++) {
        pass(store, 30);
        OK(rill_maintain(store, &next_ms));
        assert_in_range(next_ms, 1, 25);
    }
    assert_true(is_there(store, "g"));
    pass(store, 1000);
    assert_false(is_there(store, "g"));
    OK(rill_close(store));
    *state = store = open_with(1);
    commit_for(store, "g", 4);
    pass(store, 2);
    pass(store, 2);
    assert_false(is_there(store, "g"));
}

static void for_ever_is_for_ever(void **state)
{
    static const uint64_t for_ever[] = {RILL_OFFSETS_FOREVER, RILL_OFFSETS_FOREVER - 1,
                                        (uint64_t)INT64_MAX + 1, INT64_MAX};
    rill *store = *state;

    commit_for(store, "g", 4);
    for (int i = 0; i < 4; i++) {
        OK(rill_close(store));
        *state = store = open_with(for_ever[i]);
        look(store);
        for (int j = 0; j < 4; j++) pass(store, 1000 * DAY);
        assert_true(is_there(store, "g"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLOCKS(a_group_goes_when_nobody_used_it_for_so_long),
        WITH_CLOCKS(one_long_time_is_as_good_as_many_short_ones),
        WITH_CLOCKS(what_passed_before_the_first_look_does_not_count),
        WITH_CLOCKS(a_commit_begins_anew),
        WITH_CLOCKS(a_reset_begins_anew),
        WITH_CLOCKS(a_group_with_members_stays),
        WITH_CLOCKS(a_group_that_never_committed_goes_too),
        WITH_CLOCKS(a_visitor_begins_anew),
        WITH_CLOCKS(a_wall_clock_that_jumps_deletes_nothing),
        WITH_CLOCKS(a_monotonic_clock_that_jumps_deletes_nothing),
        WITH_CLOCKS(looks_come_every_ten_minutes),
        WITH_CLOCKS(all_processes_share_what_they_saw),
        WITH_CLOCKS(a_short_retention_is_looked_after),
        WITH_CLOCKS(for_ever_is_for_ever)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
