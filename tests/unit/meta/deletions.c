/*
 * The clock that deletions go by: what jumps, boots, sleeps and clocks that are not
 * set do to it; nothing is old early, and a clock that was set right is believed
 * again; what is kept of it is kept no more often than it must be.
 */
#include "catalogues.h"
#include "base/bytes.h"
#include "log/log.h"

#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define NOW INT64_C(1800000000000) /* some day */
#define WEEK (7 * DAY)

/* A machine: time goes on, the clock is set, it boots. */
static struct {
    struct meta_clock clock;
    uint8_t boot;
    int64_t boot_ms;
    int64_t wall_ms;
} it;

static struct meta_instant instant(void)
{
    struct meta_instant now = {.boot_ms = it.boot_ms, .wall_ms = it.wall_ms};

    memset(now.boot_id, it.boot, 16);
    return now;
}

static bool look(void)
{
    struct meta_instant now = instant();
    return rill__clock_step(&it.clock, &now);
}

static void pass(int64_t ms)
{
    it.boot_ms += ms;
    it.wall_ms += ms;
}

static void reboot(int64_t off_ms)
{
    it.boot++;
    it.boot_ms = 20 * SECOND;
    it.wall_ms += off_ms;
}

/* Is a record of that time old, with a retention of a week? */
static bool is_old(int64_t written_ms)
{
    bool is_set = it.wall_ms >= CLOCK_NOT_SET_MS;
    struct log_retention what = {.retention_ms = WEEK,
                                 .wall_now_ms = is_set ? it.clock.seen.wall_ms : it.wall_ms,
                                 .ahead_ms = it.clock.ahead_ms,
                                 .steady_ms = it.clock.steady_ms,
                                 .not_set_ms = CLOCK_NOT_SET_MS};
    return rill__log_is_old(&what, written_ms);
}

/* Up for two hours, seen right from the beginning on. */
static int begin(void **state)
{
    (void)state;
    memset(&it, 0, sizeof it);
    it.boot = 1;
    it.boot_ms = 2 * HOUR;
    it.wall_ms = NOW;
    it.clock.seen.wall_ms = NOW;
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 0);
    return 0;
}

static void time_that_passes_makes_old(void **state)
{
    (void)state;
    for (int i = 0; i < 7 * 24; i++) {
        pass(HOUR);
        assert_false(look());
        assert_false(is_old(NOW));
    }
    pass(1);
    assert_false(look());
    assert_true(is_old(NOW));
    assert_false(is_old(NOW + 1));
    assert_int_equal(it.clock.steady_ms, WEEK + 1);
    assert_int_equal(it.clock.seen.wall_ms, it.wall_ms);
}

static void a_jump_ahead_makes_nothing_old(void **state)
{
    (void)state;
    pass(DAY);
    look();
    it.wall_ms += 365 * DAY;
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 365 * DAY);
    assert_int_equal(it.clock.steady_ms, 0);
    assert_false(is_old(NOW));
    pass(5 * DAY);
    assert_false(look());
    assert_false(is_old(NOW)); /* six days old */
    pass(1 * DAY + 1);
    look();
    assert_true(is_old(NOW));         /* seven */
    assert_false(is_old(it.wall_ms)); /* but not what is written now */
}

/* It was wrong until now, and is right from now on: what was written by the wrong one
 * looks old at once, and is believed to be when the clock was steady for so long. */
static void a_clock_that_is_set_right_is_believed_again(void **state)
{
    int64_t written;

    (void)state;
    it.wall_ms -= 400 * DAY; /* wrong */
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 0);
    written = it.wall_ms;
    pass(DAY);
    it.wall_ms += 400 * DAY;
    assert_true(look());
    for (int i = 0; i < 7; i++) {
        assert_false(is_old(written));
        pass(DAY);
        assert_false(look());
    }
    assert_true(is_old(written)); /* after eight days */
}

static void a_jump_back_takes_from_what_was_ahead(void **state)
{
    (void)state;
    it.wall_ms += 30 * DAY;
    look();
    it.wall_ms -= 10 * DAY;
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 20 * DAY);
    it.wall_ms -= 25 * DAY;
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 0); /* not below */
    it.wall_ms += 5 * DAY;                  /* perhaps it is wrong now, and was right before */
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 5 * DAY);
}

static void less_than_two_seconds_are_no_jump_but_many_are(void **state)
{
    (void)state;
    it.wall_ms += 2000;
    assert_false(look());
    it.wall_ms -= 4000;
    assert_false(look());
    it.wall_ms += 2000;
    for (int i = 0; i < 20; i++) {
        pass(60 * SECOND);
        it.wall_ms += 900;
        look();
    }
    assert_in_range(it.clock.ahead_ms, 15000, 18000);
}

/* CLOCK_BOOTTIME goes on meanwhile. */
static void a_machine_that_sleeps_sees_time_pass(void **state)
{
    (void)state;
    pass(30 * DAY);
    assert_false(look());
    assert_int_equal(it.clock.ahead_ms, 0);
    assert_int_equal(it.clock.steady_ms, 30 * DAY);
    assert_true(is_old(NOW));
}

/* A virtual one, which was stopped from outside and then told the time. */
static void a_machine_that_stood_still_sees_a_jump(void **state)
{
    (void)state;
    it.wall_ms += 30 * DAY;
    assert_true(look());
    assert_false(is_old(NOW));
}

static void across_a_boot_three_days_are_believed(void **state)
{
    (void)state;
    pass(5 * DAY);
    look();
    reboot(2 * DAY + HOUR);
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 0);
    assert_int_equal(it.clock.steady_ms, 0);
    assert_true(is_old(NOW)); /* seven days and an hour */
    reboot(13 * DAY);
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 10 * DAY);
    assert_false(is_old(NOW + 7 * DAY));
    pass(WEEK);
    look();
    assert_true(is_old(NOW + 7 * DAY));
}

/* And none twice: what a boot has used of them is gone. */
static void jumps_soon_after_a_boot_share_the_three_days(void **state)
{
    (void)state;
    reboot(0); /* with the time of the shutdown: no battery */
    assert_true(look());
    pass(10 * SECOND);
    it.wall_ms += 2 * DAY; /* a time server is heard */
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 0);
    assert_int_equal(it.clock.spare_ms, 1 * DAY);
    it.wall_ms += 5 * DAY;
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 4 * DAY);
    assert_int_equal(it.clock.spare_ms, 0);
    reboot(DAY);
    look();
    assert_int_equal(it.clock.spare_ms, 2 * DAY);
    pass(HOUR);
    it.wall_ms += DAY; /* too late for that */
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 5 * DAY);
    it.wall_ms -= 30 * DAY; /* takes all */
    look();
    assert_int_equal(it.clock.ahead_ms, 0);
    reboot(-DAY);
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 0);
    assert_int_equal(it.clock.spare_ms, 3 * DAY);
}

/* Each boot begins in 1970, until a time server is heard. */
static void a_clock_that_is_not_set_says_nothing(void **state)
{
    int64_t shutdown;

    (void)state;
    for (int i = 0; i < 10; i++) {
        shutdown = it.wall_ms;
        reboot(0);
        it.wall_ms = 60 * SECOND;
        assert_false(look());
        assert_false(is_old(NOW));
        pass(300 * SECOND);
        assert_false(look());
        it.wall_ms = shutdown + 8 * HOUR;
        assert_true(look());
        assert_int_equal(it.clock.ahead_ms, 0);
        assert_false(is_old(60 * SECOND)); /* written in 1970, some minutes ago */
        pass(16 * HOUR);
        look();
    }
    assert_true(is_old(NOW));
    pass(WEEK);
    look();
    assert_true(is_old(60 * SECOND));
}

/* A kernel that does not tell its boot: each look is one. */
static void a_boot_that_is_not_known_is_a_new_one(void **state)
{
    (void)state;
    it.boot = 0;
    assert_true(look());
    pass(DAY);
    assert_true(look());
    assert_int_equal(it.clock.steady_ms, 0);
    assert_int_equal(it.clock.ahead_ms, 0);
}

/* The time since the boot went back: another boot, whatever its id says. */
static void a_boot_id_that_comes_again_is_not_believed(void **state)
{
    (void)state;
    pass(DAY);
    look();
    it.boot_ms = 10;
    it.wall_ms += 4 * DAY;
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, DAY);
}

static void numbers_out_of_all_range_do_not_overflow(void **state)
{
    (void)state;
    it.wall_ms = INT64_MAX;
    assert_true(look());
    assert_true(it.clock.ahead_ms > 1000000 * DAY);
    assert_false(is_old(NOW));
    it.wall_ms = INT64_MIN;
    assert_false(look()); /* not set */
    it.wall_ms = NOW;
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, 0);
    it.clock.ahead_ms = INT64_MAX / 8;
    it.wall_ms = INT64_MAX;
    assert_true(look());
    assert_int_equal(it.clock.ahead_ms, INT64_MAX / 8);
}

/* ---- What is kept ---- */

static int set_up(void **state)
{
    catalogue_set_up(state);
    memset(&it, 0, sizeof it);
    it.boot = 1;
    it.boot_ms = 2 * HOUR;
    it.wall_ms = NOW;
    return begin(state);
}

/* Writing makes a transaction; how many there were is in the file. */
static size_t transactions(void)
{
    MDB_envinfo info;
    mdb_env_info(meta->env, &info);
    return info.me_last_txnid;
}

static struct meta_clock look_kept(int64_t created_ms, bool written)
{
    struct meta_instant now = instant();
    struct meta_clock clock;
    size_t before = transactions();

    OK(rill__meta_clock_look(meta, &now, created_ms, 1000, &clock));
    assert_int_equal(transactions() - before, written ? 1 : 0);
    return clock;
}

static void the_clock_is_kept_when_something_has_happened(void **state)
{
    struct meta_clock clock = look_kept(NOW, true);

    (void)state;
    assert_int_equal(clock.ahead_ms, 0);
    look_kept(NOW, false);
    pass(59 * SECOND);
    clock = look_kept(NOW, false);
    assert_int_equal(clock.steady_ms, 59 * SECOND);
    pass(SECOND);
    look_kept(NOW, true); /* a minute */
    pass(SECOND);
    it.wall_ms += DAY;
    clock = look_kept(NOW, true);
    assert_int_equal(clock.ahead_ms, DAY);
    catalogue_reopen();
    pass(30 * SECOND);
    clock = look_kept(NOW, false);
    assert_int_equal(clock.ahead_ms, DAY);
    assert_int_equal(clock.steady_ms, 30 * SECOND);
    assert_memory_equal(clock.seen.boot_id, instant().boot_id, 16);
    it.wall_ms = 1000;
    clock = look_kept(NOW, false); /* not set */
    assert_int_equal(clock.ahead_ms, DAY);
}

/* A store that was there before anybody looked. */
static void the_first_look_goes_from_when_the_store_was_made(void **state)
{
    struct meta_clock clock;

    (void)state;
    it.wall_ms = 1000;
    clock = look_kept(NOW, false);
    it.wall_ms = NOW;
    clock = look_kept(NOW - 100 * DAY, true);
    assert_int_equal(clock.ahead_ms, 97 * DAY);
}

static void a_store_that_was_made_without_a_clock_begins_now(void **state)
{
    struct meta_clock clock = look_kept(5000, true);

    (void)state;
    assert_int_equal(clock.ahead_ms, 0);
}

struct raw_clock {
    uint8_t value[META_CLOCK_SIZE + 16];
    size_t size;
};

static int put_raw(struct meta *m, MDB_txn *txn, void *arg)
{
    struct raw_clock *raw = arg;
    char name[] = "C";
    MDB_val key = {1, name};

    return rill__meta_put(m, txn, &key, raw->value, raw->size);
}

static int spoil(struct meta *m, MDB_txn *txn, void *arg)
{
    char name[] = "C";
    MDB_val key = {1, name};
    MDB_val value = {META_CLOCK_SIZE, ((struct raw_clock *)arg)->value};

    return rill__meta_failed(m, mdb_put(txn, m->dbi, &key, &value, 0), "spoiling");
}

/* It is made anew, as if nobody had looked before: nothing is old early. */
static void what_is_damaged_is_not_believed(void **state)
{
    struct raw_clock raw = {.size = META_CLOCK_SIZE - 1};
    struct meta_clock clock;

    (void)state;
    OK(rill__meta_write(meta, put_raw, &raw));
    clock = look_kept(NOW - 10 * DAY, true);
    assert_int_equal(clock.ahead_ms, 7 * DAY);
    OK(rill__meta_write(meta, spoil, &raw));
    clock = look_kept(NOW - 20 * DAY, true);
    assert_int_equal(clock.ahead_ms, 17 * DAY);
    clock = look_kept(NOW - 20 * DAY, false);
    assert_int_equal(clock.ahead_ms, 17 * DAY);
}

int main(void)
{
#define STEP(name) cmocka_unit_test_setup(name, begin)
#define KEPT(name) cmocka_unit_test_setup_teardown(name, set_up, catalogue_tear_down)
    const struct CMUnitTest tests[] = {
        STEP(time_that_passes_makes_old),
        STEP(a_jump_ahead_makes_nothing_old),
        STEP(a_clock_that_is_set_right_is_believed_again),
        STEP(a_jump_back_takes_from_what_was_ahead),
        STEP(less_than_two_seconds_are_no_jump_but_many_are),
        STEP(a_machine_that_sleeps_sees_time_pass),
        STEP(a_machine_that_stood_still_sees_a_jump),
        STEP(across_a_boot_three_days_are_believed),
        STEP(jumps_soon_after_a_boot_share_the_three_days),
        STEP(a_clock_that_is_not_set_says_nothing),
        STEP(a_boot_that_is_not_known_is_a_new_one),
        STEP(a_boot_id_that_comes_again_is_not_believed),
        STEP(numbers_out_of_all_range_do_not_overflow),
        KEPT(the_clock_is_kept_when_something_has_happened),
        KEPT(the_first_look_goes_from_when_the_store_was_made),
        KEPT(a_store_that_was_made_without_a_clock_begins_now),
        KEPT(what_is_damaged_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
