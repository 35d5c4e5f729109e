/*
 * One step at a time: who is told what, in which generation, and what is
 * refused without changing anything.
 */
#include "group/group.h"
#include "base/error.h"
#include "testing.h"

static struct heap heap;
static struct group *group;
static const struct group_action *actions;
static size_t action_count;
static const struct group_topic topic_a = {1, 2, "a"};

static int set_up(void **state)
{
    (void)state;
    return rill__group_new(&heap, 7, &group);
}

static int tear_down(void **state)
{
    (void)state;
    rill__group_free(group);
    return heap.bytes == 0 ? 0 : -1;
}

static int join(uint64_t member, int64_t now_ms, int32_t assignor)
{
    struct group_event e = {.kind = GROUP_JOIN,
                            .now_ms = now_ms,
                            .member = member,
                            .topics = &topic_a,
                            .topic_count = 1,
                            .session_timeout_ms = 1000,
                            .rebalance_timeout_ms = 300,
                            .assignor = assignor};
    return rill__group_step(group, &e, &actions, &action_count);
}

static int happen(enum group_event_kind kind, uint64_t member, int64_t now_ms)
{
    struct group_event e = {.kind = kind, .now_ms = now_ms, .member = member};
    return rill__group_step(group, &e, &actions, &action_count);
}

/* "R1 A2/8:2": what was said, to whom, in which generation, of how many. */
static void said(const char *expected)
{
    char text[200] = "";
    size_t at = 0;

    for (size_t i = 0; i < action_count; i++) {
        const struct group_action *a = &actions[i];
        const char *blank = i == 0 ? "" : " ";
        if (a->kind == GROUP_ASSIGN)
            at += (size_t)snprintf(text + at, sizeof text - at, "%sA%d/%d:%d", blank,
                                   (int)a->member, (int)a->generation, (int)a->partition_count);
        else
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%c%d", blank,
                                   a->kind == GROUP_REVOKE ? 'R' : 'E', (int)a->member);
    }
    assert_string_equal(text, expected);
    assert_true(rill__group_check(group));
}

static void the_first_member_gets_all_at_once(void **state)
{
    (void)state;
    assert_int_equal(rill__group_state(group), GROUP_EMPTY);
    OK(join(1, 0, 0));
    said("A1/8:2");
    assert_int_equal(rill__group_state(group), GROUP_STABLE);
    assert_int_equal(rill__group_generation(group), 8);
    assert_int_equal(rill__group_member_count(group), 1);
    assert_true(rill__group_owns(group, 1, 1, 0));
    assert_false(rill__group_owns(group, 1, 1, 2));
    assert_false(rill__group_owns(group, 2, 1, 0));
}

static void who_holds_something_gives_it_up_first(void **state)
{
    (void)state;
    OK(join(1, 0, 0));
    OK(join(2, 10, 0));
    said("R1");
    assert_int_equal(rill__group_state(group), GROUP_PREPARING);
    assert_true(rill__group_owns(group, 1, 1, 0)); /* it may still commit */
    OK(happen(GROUP_READY, 1, 20));
    said("A1/9:1 A2/9:1");
    OK(happen(GROUP_READY, 1, 30)); /* once more: too late to mean anything */
    said("");
    OK(happen(GROUP_LEAVE, 1, 40));
    said("R2");
    OK(happen(GROUP_READY, 2, 50));
    said("A2/10:2");
}

static void changes_while_preparing_ask_once(void **state)
{
    (void)state;
    OK(join(1, 0, 0));
    OK(join(2, 10, 0));
    said("R1");
    OK(join(3, 11, 0));
    said("");
    OK(happen(GROUP_LEAVE, 2, 12));
    said("");
    OK(happen(GROUP_READY, 1, 13));
    said("A1/9:1 A3/9:1");
}

static void who_does_not_answer_is_expelled(void **state)
{
    (void)state;
    OK(join(1, 0, 0));
    OK(join(2, 100, 0));
    OK(happen(GROUP_HEARTBEAT, 1, 350)); /* alive, but does not give up */
    assert_int_equal(rill__group_next_tick_ms(group), 400);
    OK(happen(GROUP_TICK, 0, 399));
    said("");
    OK(happen(GROUP_TICK, 0, 400));
    said("E1 A2/9:2");
    FAILS(RILL_ERR_NOT_FOUND, happen(GROUP_HEARTBEAT, 1, 401));
    FAILS(RILL_ERR_NOT_FOUND, happen(GROUP_READY, 1, 401));
    OK(happen(GROUP_LEAVE, 1, 402)); /* of a stranger: fine */
    said("");
}

static void who_is_silent_is_expelled(void **state)
{
    (void)state;
    OK(join(1, 0, 0));
    OK(happen(GROUP_HEARTBEAT, 1, 500));
    assert_int_equal(rill__group_next_tick_ms(group), 1500);
    OK(happen(GROUP_TICK, 0, 1499));
    said("");
    OK(happen(GROUP_TICK, 0, 1500));
    said("E1");
    assert_int_equal(rill__group_state(group), GROUP_EMPTY);
    assert_int_equal(rill__group_next_tick_ms(group), INT64_MAX);
    OK(join(2, 1600, 0));
    said("A2/9:2"); /* generations go on */
}

static void time_does_not_run_backwards(void **state)
{
    (void)state;
    OK(join(1, 1000, 0));
    OK(happen(GROUP_HEARTBEAT, 1, 10));
    assert_int_equal(rill__group_next_tick_ms(group), 2000);
}

static void a_topic_that_grows_is_shared_out_anew(void **state)
{
    const struct group_topic grown = {1, 5, "a"};
    struct group_event e = {
        .kind = GROUP_TOPICS, .member = 1, .topics = &topic_a, .topic_count = 1, .now_ms = 5};

    (void)state;
    OK(join(1, 0, 0));
    OK(rill__group_step(group, &e, &actions, &action_count));
    said(""); /* the same as before */
    e.topics = &grown;
    OK(rill__group_step(group, &e, &actions, &action_count));
    said("R1");
    OK(happen(GROUP_READY, 1, 10));
    said("A1/9:5");
    e.topic_count = 0;
    OK(rill__group_step(group, &e, &actions, &action_count));
    OK(happen(GROUP_READY, 1, 20));
    said("A1/10:0");
}

static void what_is_refused_changes_nothing(void **state)
{
    (void)state;
    OK(join(1, 0, RILL_ASSIGN_RANGE));
    FAILS(RILL_ERR_EXISTS, join(1, 1, RILL_ASSIGN_RANGE));
    FAILS(RILL_ERR_INVALID, join(2, 1, RILL_ASSIGN_ROUND_ROBIN));
    FAILS(RILL_ERR_INVALID, join(2, 1, 99));
    FAILS(RILL_ERR_INVALID, join(2, 1, -1));
    assert_int_equal(rill__group_member_count(group), 1);
    assert_int_equal(rill__group_generation(group), 8);
    assert_int_equal(rill__group_state(group), GROUP_STABLE);
}

/* Running out of memory anywhere in a step: the error, and no harm. */
static void without_memory_a_step_can_be_repeated(void **state)
{
    (void)state;
    for (uint64_t room = 0;; room += 16) {
        int rc;
        heap.bytes_max = heap.bytes + room;
        rc = join(1, 0, 0);
        heap.bytes_max = 0;
        assert_true(rill__group_check(group));
        if (rc == 0) break;
        assert_int_equal(rc, RILL_ERR_NO_MEMORY);
        assert_int_equal(rill__group_member_count(group), 0);
    }
    said("A1/8:2");
    for (uint64_t room = 0;; room += 16) {
        int rc;
        heap.bytes_max = heap.bytes + room;
        rc = join(2, 10, 0);
        heap.bytes_max = 0;
        assert_true(rill__group_check(group));
        if (rc == 0) break;
        assert_int_equal(rc, RILL_ERR_NO_MEMORY);
        assert_int_equal(rill__group_member_count(group), 1);
    }
    for (uint64_t room = 0;; room += 16) {
        int rc;
        heap.bytes_max = heap.bytes + room;
        rc = happen(GROUP_READY, 1, 20);
        heap.bytes_max = 0;
        assert_true(rill__group_check(group));
        if (rc == 0 && rill__group_state(group) == GROUP_STABLE) break;
        assert_int_equal(rc, RILL_ERR_NO_MEMORY);
    }
    said("A1/9:1 A2/9:1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_first_member_gets_all_at_once),
        TEST(who_holds_something_gives_it_up_first),
        TEST(changes_while_preparing_ask_once),
        TEST(who_does_not_answer_is_expelled),
        TEST(who_is_silent_is_expelled),
        TEST(time_does_not_run_backwards),
        TEST(a_topic_that_grows_is_shared_out_anew),
        TEST(what_is_refused_changes_nothing),
        TEST(without_memory_a_step_can_be_repeated),
    };

    rill__heap_init(&heap, NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
