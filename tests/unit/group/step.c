/*
 * One step at a time: who is told what, who holds what since when, and what is
 * refused without changing anything.
 */
#include "groups.h"

static enum group_state state_now(void)
{
    return rill__group_state(groups_it);
}

static int32_t generation(void)
{
    return rill__group_generation(groups_it);
}

static struct group_member member(uint64_t id)
{
    struct group_member m;
    assert_true(rill__group_member_find(groups_it, id, &m));
    return m;
}

static bool owns(uint64_t id, int32_t partition, int32_t since)
{
    return rill__group_owns(groups_it, id, 'a', partition, since);
}

/* ---- Joining and moving ---- */

static void the_first_member_gets_all_at_once(void **state)
{
    (void)state;
    assert_int_equal(state_now(), GROUP_EMPTY);
    assert_int_equal(rill__group_next_tick_ms(groups_it), INT64_MAX);
    OK(JOIN(0, 1));
    groups_said("A1");
    groups_stands("a:1,1");
    assert_int_equal(state_now(), GROUP_STABLE);
    assert_int_equal(generation(), 8);
    assert_int_equal(rill__group_member_count(groups_it), 1);
    assert_string_equal(rill__group_subscription_at(groups_it, 0), "a");
    assert_null(rill__group_subscription_at(groups_it, 1));
    assert_true(owns(1, 0, 8));
    assert_false(owns(1, 0, 7)); /* what was before is not now */
    assert_false(owns(1, 0, 9));
    assert_false(owns(1, 2, 8));
    assert_false(owns(1, -1, 8));
    assert_false(owns(2, 0, 8));
    assert_false(rill__group_owns(groups_it, 1, 'b', 0, 8));
}

static void only_what_moves_is_given_up(void **state)
{
    struct group_holding holdings[2];

    (void)state;
    OK(JOIN(0, 1));
    OK(JOIN(10, 2));
    groups_said("R1");
    groups_stands("a:1,1>2");
    assert_int_equal(state_now(), GROUP_MOVING);
    assert_true(owns(1, 1, 8)); /* it may still commit */
    assert_int_equal(rill__group_holdings(groups_it, 1, holdings, 2), 2);
    assert_false(holdings[0].leaving);
    assert_true(holdings[1].leaving);
    assert_int_equal(member(1).owned, 2);
    assert_true(member(1).asked);
    assert_int_equal(member(1).asked_ms, 10);
    OK(groups_ready(20, 1));
    groups_said("A2");
    groups_stands("a:1,2");
    assert_int_equal(state_now(), GROUP_STABLE);
    assert_true(owns(1, 0, 8)); /* never paused */
    assert_true(owns(2, 1, 9));
    assert_false(owns(1, 1, 8));
    assert_int_equal(rill__group_holdings(groups_it, 3, holdings, 2), 0);
    assert_int_equal(rill__group_holdings(groups_it, 1, holdings, 0), 1);
}

static void an_answer_to_another_round_is_refused(void **state)
{
    (void)state;
    groups_sizes[0] = 3;
    OK(JOIN(0, 1));
    FAILS(RILL_ERR_STATE, groups_ready_round(1, 1, 0)); /* was not asked */
    OK(JOIN(0, 2));
    groups_stands("a:1,1,1>2");
    assert_int_equal(groups_round(1), 1);
    FAILS(RILL_ERR_STATE, groups_ready_round(1, 1, 2));
    OK(JOIN(2, 3));
    groups_said("R1");
    groups_stands("a:1,1>2,1>3");
    assert_int_equal(groups_round(1), 2);
    FAILS(RILL_ERR_STATE, groups_ready_round(3, 1, 1)); /* it does not know of 1 yet */
    assert_int_equal(member(1).asked_ms, 0);            /* the time runs since the first */
    OK(groups_ready_round(3, 1, 2));
    groups_said("A2 A3");
    FAILS(RILL_ERR_STATE, groups_ready_round(4, 1, 2)); /* once more */
    FAILS(RILL_ERR_NOT_FOUND, groups_ready_round(4, 9, 0));
    groups_stands("a:1,2,3");
}

static void changes_that_leave_nothing_new_ask_once(void **state)
{
    (void)state;
    OK(JOIN(0, 1));
    OK(JOIN(10, 2));
    groups_said("R1");
    OK(JOIN(11, 3));
    groups_said("");
    OK(groups_happens(12, GROUP_LEAVE, 2));
    groups_said("");
    groups_stands("a:1,1>3");
    OK(groups_ready(13, 1));
    groups_said("A3");
}

static void what_is_meant_for_its_owner_again_is_still_given_up(void **state)
{
    (void)state;
    OK(JOIN(0, 1));
    OK(JOIN(10, 2));
    OK(groups_happens(12, GROUP_LEAVE, 2));
    groups_stands("a:1,1>1");
    assert_int_equal(state_now(), GROUP_MOVING);
    assert_true(owns(1, 1, 8));
    OK(groups_ready(13, 1));
    groups_said("A1");
    groups_stands("a:1,1");
    assert_false(owns(1, 1, 8)); /* lost and got back: not the same */
    assert_true(owns(1, 1, 10));
    assert_true(owns(1, 0, 8));
}

static void what_a_member_leaves_goes_to_others_at_once(void **state)
{
    (void)state;
    OK(JOIN(0, 1));
    OK(JOIN(0, 2));
    groups_all_ready(0);
    OK(groups_happens(5, GROUP_LEAVE, 1));
    groups_said("A2");
    groups_stands("a:2,2");
    OK(JOIN(6, 3));
    groups_all_ready(6);
    OK(groups_happens(7, GROUP_DIED, 3));
    groups_said("A2");
    OK(groups_happens(8, GROUP_REMOVE, 2));
    groups_said("");
    assert_int_equal(state_now(), GROUP_EMPTY);
    assert_null(rill__group_subscription_at(groups_it, 0));
    groups_stands("");
    OK(groups_happens(9, GROUP_LEAVE, 2)); /* of a stranger: fine */
    OK(groups_happens(9, GROUP_DIED, 2));
    OK(groups_happens(9, GROUP_REMOVE, 2));
    OK(JOIN(10, 4));
    groups_said("A4");
    assert_true(owns(4, 0, generation())); /* generations go on */
    assert_int_equal(generation(), 14);
}

static void a_slow_member_delays_only_what_it_holds(void **state)
{
    (void)state;
    groups_sizes[0] = 6;
    OK(JOIN(0, 1));
    OK(JOIN(0, 2));
    groups_all_ready(0);
    OK(JOIN(0, 3));
    groups_stands("a:1,1,1>2,2,2>3,2>3");
    OK(groups_ready(1, 2));
    groups_said("A3");
    groups_stands("a:1,1,1>2,2,3,3");
    assert_int_equal(state_now(), GROUP_MOVING);
    OK(groups_ready(2, 1));
    groups_said("A2");
}

static void generations_begin_anew_after_the_last(void **state)
{
    (void)state;
    rill__group_free(groups_it);
    OK(rill__group_new(&groups_heap, INT32_MAX, 0, &groups_it));
    OK(JOIN(0, 1));
    assert_int_equal(generation(), 1);
    assert_true(owns(1, 0, 1));
}

/* ---- Subscriptions ---- */

static void a_member_subscribes_to_something_else(void **state)
{
    (void)state;
    groups_sizes[1] = 2;
    OK(JOIN(0, 1));
    OK(groups_subscribe(1, 1, "a")); /* the same */
    groups_said("");
    assert_int_equal(generation(), 8);
    OK(groups_subscribe(1, 1, "b"));
    groups_said("R1 A1");
    groups_stands("a:1>-,1>- b:1,1");
    OK(groups_ready(2, 1));
    groups_stands("b:1,1"); /* nobody wants a any more */
    OK(groups_subscribe(3, 1, ""));
    OK(groups_ready(3, 1));
    groups_stands("");
    assert_int_equal(state_now(), GROUP_STABLE);
    FAILS(RILL_ERR_NOT_FOUND, groups_subscribe(4, 2, "a"));
}

static void a_topic_that_is_wanted_again_was_never_away(void **state)
{
    (void)state;
    groups_sizes[1] = 1;
    OK(JOIN(0, 1));
    OK(groups_subscribe(1, 1, "b"));
    OK(groups_subscribe(2, 1, "a"));
    groups_stands("a:1>1,1>1 b:1>-");
    OK(groups_ready(3, 1));
    groups_stands("a:1,1");
}

static void a_catalogue_change_is_one_plan_for_all_who_share_it(void **state)
{
    uint64_t version;

    (void)state;
    OK(JOIN(0, 1));
    OK(JOIN(0, 2));
    OK(JOIN(0, 3));
    groups_all_ready(0);
    version = rill__group_version(groups_it);
    OK(groups_topics(1, "a")); /* as before */
    assert_int_equal(rill__group_version(groups_it), version);
    assert_int_equal(generation(), 10);
    groups_sizes[0] = 4;
    OK(groups_topics(1, "a"));
    assert_int_equal(generation(), 11);
    assert_int_equal(rill__group_version(groups_it), version + 1);
    groups_all_ready(1);
    groups_stands("a:1,1,2,3");
    OK(groups_topics(2, "abc")); /* nobody has that one */
    assert_int_equal(generation(), 11);
    groups_sizes[0] = 0;
    OK(groups_topics(3, "a"));
    groups_said("R1 R2 R3");
    groups_stands("a:1>-,1>-,2>-,3>-");
    assert_true(owns(1, 0, 8)); /* until it has given it up */
    groups_all_ready(3);
    groups_stands("");
}

/* Told by one subscription after the other; the one that told may be gone before. */
static void a_topic_has_as_many_partitions_as_any_member_knows_of(void **state)
{
    (void)state;
    groups_sizes[1] = 1;
    OK(JOIN(0, 1, "a"));
    OK(JOIN(0, 2, "ab"));
    groups_all_ready(0);
    groups_sizes[0] = 4;
    OK(groups_topics(1, "a"));
    groups_all_ready(1);
    groups_stands("a:1,1,2,2 b:2");
    OK(groups_happens(2, GROUP_LEAVE, 1));
    groups_stands("a:2,2,2,2 b:2");
    assert_int_equal(state_now(), GROUP_STABLE);
    groups_sizes[0] = 3; /* an old view */
    OK(groups_topics(3, "ab"));
    groups_stands("a:2,2,2,2 b:2");
}

/* ---- Time ---- */

static void who_is_silent_is_expelled(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .poll_ms = 5000));
    assert_int_equal(rill__group_next_tick_ms(groups_it), 1000);
    groups_sign(groups_it, 1, 500, 400);
    groups_sign(groups_it, 1, 10, 10); /* time does not run backwards */
    groups_sign(groups_it, 2, 500, 400);
    assert_int_equal(member(1).heard_ms, 500);
    assert_int_equal(member(1).polled_ms, 400);
    assert_int_equal(rill__group_next_tick_ms(groups_it), 1500);
    OK(groups_happens(1499, GROUP_TICK, 0));
    groups_said("");
    OK(groups_happens(1500, GROUP_TICK, 0));
    groups_said("E1");
    assert_int_equal(state_now(), GROUP_EMPTY);
    assert_int_equal(rill__group_next_tick_ms(groups_it), INT64_MAX);
    FAILS(RILL_ERR_NOT_FOUND, groups_ready(1501, 1));
    assert_false(owns(1, 0, 8));
}

static void who_does_not_poll_is_expelled(void **state)
{
    (void)state;
    OK(JOIN(0, 1));
    OK(JOIN(0, 2));
    groups_all_ready(0);
    groups_sign(groups_it, 1, 300, 0);
    groups_sign(groups_it, 2, 300, 100);
    assert_int_equal(rill__group_next_tick_ms(groups_it), 300);
    OK(groups_happens(300, GROUP_TICK, 0));
    groups_said("E1 A2");
    groups_stands("a:2,2");
    FAILS(RILL_ERR_NOT_FOUND, groups_subscribe(301, 1, "a"));
}

static void who_does_not_answer_is_expelled(void **state)
{
    (void)state;
    OK(JOIN(0, 1));
    OK(JOIN(100, 2));
    groups_sign(groups_it, 1, 390, 390); /* alive, but does not give up */
    groups_sign(groups_it, 2, 390, 390);
    assert_int_equal(rill__group_next_tick_ms(groups_it), 400);
    OK(groups_happens(399, GROUP_TICK, 0));
    groups_said("");
    OK(groups_happens(400, GROUP_TICK, 0));
    groups_said("E1 A2");
    groups_stands("a:2,2");
    assert_false(owns(1, 1, 8));
}

static void times_do_not_overflow(void **state)
{
    (void)state;
    OK(JOIN(INT64_MAX, 1));
    assert_int_equal(rill__group_next_tick_ms(groups_it), INT64_MAX);
    OK(groups_happens(INT64_MAX - 1, GROUP_TICK, 0));
    groups_said("");
}

/* ---- Static members ---- */

static void a_static_member_comes_back_without_any_move(void **state)
{
    static const enum group_event_kind goes[] = {GROUP_LEAVE, GROUP_DIED};

    (void)state;
    OK(JOIN(0, 1, .instance = "x"));
    OK(JOIN(0, 2, .instance = "y"));
    groups_all_ready(0);
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t old = i == 0 ? 1 : 11;
        OK(groups_happens(100, goes[i], old));
        groups_said("");
        assert_true(member(old).away);
        assert_true(rill__group_has_instance(groups_it, "x"));
        assert_int_equal(generation(), 9);
        assert_int_equal(state_now(), GROUP_STABLE);
        groups_sign(groups_it, old, 500, 500); /* it is not there */
        assert_true(member(old).heard_ms < 500);
        assert_int_equal(rill__group_next_tick_ms(groups_it), 300); /* 2's polls */
        OK(JOIN(110, 11 + i, .instance = "x"));
        if (i == 0) groups_said("E1 A11");
        else groups_said("E11 A12");
        assert_int_equal(generation(), 9);
        assert_true(owns(11 + i, 0, 8));
        assert_false(owns(old, 0, 8));
        assert_false(member(11 + i).away);
    }
    groups_stands("a:12,2");
    assert_false(rill__group_has_instance(groups_it, "z"));
}

static void a_static_member_that_stays_away_is_expelled(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .instance = "x"));
    OK(JOIN(0, 2, .poll_ms = 5000));
    groups_all_ready(0);
    groups_sign(groups_it, 2, 1000, 1000);
    OK(groups_happens(200, GROUP_LEAVE, 1));
    assert_int_equal(rill__group_next_tick_ms(groups_it), 1200);
    OK(groups_happens(1199, GROUP_TICK, 0));
    groups_said(""); /* nor for polls that it cannot do */
    OK(groups_happens(1200, GROUP_TICK, 0));
    groups_said("E1 A2");
    groups_stands("a:2,2");
    assert_false(rill__group_has_instance(groups_it, "x"));
}

/* One whose process died was heard last when it was heard. */
static void a_dead_ones_time_began_before(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .instance = "x"));
    groups_sign(groups_it, 1, 50, 50);
    OK(groups_happens(200, GROUP_DIED, 1));
    assert_int_equal(rill__group_next_tick_ms(groups_it), 1050);
}

static void a_static_member_can_be_removed(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .instance = "x"));
    OK(JOIN(0, 2));
    groups_all_ready(0);
    OK(groups_happens(1, GROUP_LEAVE, 1));
    OK(groups_happens(2, GROUP_REMOVE, 1));
    groups_said("A2");
    groups_stands("a:2,2");
}

static void a_living_instance_is_taken_over(void **state)
{
    (void)state;
    groups_sizes[0] = 4;
    OK(JOIN(0, 1, .instance = "x"));
    OK(JOIN(5, 2, .instance = "y"));
    groups_stands("a:1,1,1>2,1>2");
    OK(JOIN(10, 3, .instance = "x"));
    groups_said("E1 A3 A2"); /* what 1 was to give up is nobody's now */
    groups_stands("a:3,3,2,2");
    assert_true(owns(3, 0, 8));
    assert_false(owns(1, 0, 8));
    FAILS(RILL_ERR_NOT_FOUND, groups_ready(11, 1));
    OK(groups_happens(12, GROUP_LEAVE, 1)); /* too late to mean the new one */
    groups_said("");
    groups_stands("a:3,3,2,2");
    assert_int_equal(rill__group_member_count(groups_it), 2);
}

static void who_takes_over_with_another_subscription_changes_the_plan(void **state)
{
    (void)state;
    groups_sizes[1] = 2;
    OK(JOIN(0, 1, "a", .instance = "x"));
    OK(JOIN(0, 2, "b", .instance = "x"));
    groups_said("E1 A2 R2 A2");
    groups_stands("a:2>-,2>- b:2,2");
    OK(groups_ready(1, 2));
    groups_stands("b:2,2");
}

static void one_who_is_away_delays_nobody(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .instance = "x"));
    OK(groups_happens(1, GROUP_LEAVE, 1));
    OK(JOIN(2, 2)); /* takes the second partition, without asking */
    groups_said("A2");
    groups_stands("a:1,2");
    groups_sizes[0] = 4;
    OK(groups_topics(3, "a"));
    groups_stands("a:1,2>1,2,2");
}

static void what_leaves_one_who_goes_away_is_free(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .instance = "x"));
    OK(JOIN(1, 2));
    groups_stands("a:1,1>2");
    OK(groups_happens(2, GROUP_DIED, 1));
    groups_said("A2");
    groups_stands("a:1,2");
    assert_false(member(1).asked);
    FAILS(RILL_ERR_STATE, groups_ready(3, 1));
}

/* What is meant for one who is away waits for it, and is its own when it is back. */
static void what_is_meant_for_one_who_is_away_waits(void **state)
{
    (void)state;
    groups_sizes[1] = 2;
    OK(JOIN(0, 1, "ab", .instance = "x"));
    OK(JOIN(0, 2, "ab", .instance = "y"));
    groups_all_ready(0);
    OK(groups_happens(1, GROUP_LEAVE, 1));
    groups_sizes[0] = 4;
    OK(groups_topics(2, "ab"));
    groups_stands("a:1,2>1,2,2 b:1,2");
    OK(groups_ready(3, 2));
    groups_stands("a:1,-(1),2,2 b:1,2");
    assert_int_equal(state_now(), GROUP_MOVING);
    OK(JOIN(4, 3, "ab", .instance = "x"));
    groups_said("E1 A3 A3");
    groups_stands("a:3,3,2,2 b:3,2");
    assert_int_equal(state_now(), GROUP_STABLE);
}

/* ---- Refusals ---- */

static void what_is_refused_changes_nothing(void **state)
{
    (void)state;
    OK(JOIN(0, 1));
    FAILS(RILL_ERR_EXISTS, JOIN(1, 1));
    FAILS(RILL_ERR_INVALID, JOIN(1, 2, .assignor = 99));
    FAILS(RILL_ERR_INVALID, JOIN(1, 2, .assignor = -1));
    assert_int_equal(rill__group_member_count(groups_it), 1);
    assert_int_equal(generation(), 8);
    assert_int_equal(state_now(), GROUP_STABLE);
}

static void without_a_common_assignor_one_is_refused(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .assignor = RILL_ASSIGN_RANGE));
    FAILS(RILL_ERR_INVALID, JOIN(1, 2, "b", .assignor = RILL_ASSIGN_ROUND_ROBIN));
    assert_non_null(strstr(test_message(), "share range;"));
    assert_non_null(strstr(test_message(), "can roundrobin"));
    assert_null(rill__group_subscription_at(groups_it, 1));
    /* also one that takes a place over, but not its own old wish */
    OK(JOIN(2, 3, .instance = "x", .assignor = RILL_ASSIGN_RANGE));
    FAILS(RILL_ERR_INVALID, JOIN(3, 4, .instance = "x", .assignor = RILL_ASSIGN_STICKY));
    groups_all_ready(3);
    OK(groups_happens(4, GROUP_LEAVE, 1));
    OK(JOIN(5, 5, .instance = "x", .assignor = RILL_ASSIGN_STICKY));
    assert_int_equal(rill__group_assignor(groups_it), RILL_ASSIGN_STICKY);
}

static void own_assignors_of_different_names_are_different(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .assignor = RILL_ASSIGN_OWN, .own = "mine"));
    FAILS(RILL_ERR_INVALID, JOIN(1, 2, .assignor = RILL_ASSIGN_OWN, .own = "yours"));
    assert_non_null(strstr(test_message(), "own mine;"));
    assert_non_null(strstr(test_message(), "own yours"));
    FAILS(RILL_ERR_INVALID, JOIN(1, 2, .assignor = RILL_ASSIGN_OWN));
    OK(JOIN(1, 2, .assignor = RILL_ASSIGN_OWN, .own = "mine"));
    OK(groups_happens(2, GROUP_LEAVE, 1));
    OK(groups_happens(2, GROUP_LEAVE, 2));
    /* another one that both can */
    OK(JOIN(3, 3, .assignor = RILL_ASSIGN_OWN, .own = "mine", .assignors = 1));
    OK(JOIN(3, 4, .assignor = RILL_ASSIGN_OWN, .own = "yours", .assignors = 1));
    assert_int_equal(rill__group_assignor(groups_it), RILL_ASSIGN_RANGE);
}

static void the_assignor_that_most_prefer_is_elected(void **state)
{
    enum { ALL = 15 };

    (void)state;
    OK(JOIN(0, 1, .assignor = RILL_ASSIGN_STICKY, .assignors = ALL));
    assert_int_equal(rill__group_assignor(groups_it), RILL_ASSIGN_STICKY);
    OK(JOIN(0, 2, .assignor = RILL_ASSIGN_ROUND_ROBIN, .assignors = ALL));
    assert_int_equal(rill__group_assignor(groups_it), RILL_ASSIGN_ROUND_ROBIN); /* first of two */
    OK(JOIN(0, 3, .assignor = RILL_ASSIGN_STICKY, .assignors = ALL));
    assert_int_equal(rill__group_assignor(groups_it), RILL_ASSIGN_STICKY);
    OK(JOIN(0, 4, .assignor = RILL_ASSIGN_RANGE, .assignors = 1 << RILL_ASSIGN_ROUND_ROBIN));
    assert_int_equal(rill__group_assignor(groups_it), RILL_ASSIGN_RANGE); /* 4 cannot sticky */
    OK(groups_happens(1, GROUP_LEAVE, 4));
    assert_int_equal(rill__group_assignor(groups_it), RILL_ASSIGN_STICKY);
}

/* ---- The application's own assignor ---- */

#define OWN .assignor = RILL_ASSIGN_OWN, .own = "mine"

static void one_member_is_asked_for_a_plan(void **state)
{
    struct group_plan_input *input;

    (void)state;
    groups_sizes[1] = 1;
    OK(JOIN(0, 2, "ab", OWN));
    groups_said("P2");
    assert_int_equal(state_now(), GROUP_PLANNING);
    assert_int_equal(generation(), 7);
    assert_true(member(2).planning);
    OK(rill__group_plan_input(groups_it, &input));
    assert_int_equal(input->member_count, 1);
    assert_int_equal(input->members[0].id, 2);
    assert_string_equal(input->members[0].name, "m00002");
    assert_int_equal(input->members[0].topic_count, 2);
    assert_int_equal(input->topic_count, 2);
    assert_string_equal(input->topics[0].name, "a");
    assert_int_equal(input->owner_count, 3);
    assert_int_equal(input->owners[0], -1);
    rill__free(&groups_heap, input);
    FAILS(RILL_ERR_INVALID, groups_planned(1, 2, "00"));
    FAILS(RILL_ERR_INVALID, groups_planned(1, 2, "0000"));
    FAILS(RILL_ERR_INVALID, groups_planned(1, 2, "001"));
    FAILS(RILL_ERR_INVALID, groups_planned(1, 2, "00,"));
    assert_true(member(2).planning); /* it may try again */
    OK(groups_planned(2, 2, "00-"));
    groups_said("A2");
    groups_stands("a:2,2 b:-");
    assert_int_equal(state_now(), GROUP_STABLE);
    assert_int_equal(generation(), 8);
    FAILS(RILL_ERR_STATE, groups_planned(3, 2, "000")); /* not asked any more */
    FAILS(RILL_ERR_NOT_FOUND, groups_planned(3, 1, "000"));
}

static void the_old_plan_goes_on_until_there_is_another(void **state)
{
    struct group_plan_input *input;

    (void)state;
    OK(JOIN(0, 2, OWN));
    OK(groups_planned(0, 2, "00"));
    OK(JOIN(1, 1, OWN));
    groups_said("P1"); /* the first in their order */
    groups_stands("a:2,2");
    assert_int_equal(generation(), 8);
    OK(rill__group_plan_input(groups_it, &input));
    assert_int_equal(input->members[0].id, 1);
    assert_int_equal(input->owners[0], 1);
    assert_int_equal(input->owners[1], 1);
    rill__free(&groups_heap, input);
    FAILS(RILL_ERR_STATE, groups_planned(2, 2, "00"));
    OK(groups_planned(2, 1, "10"));
    groups_said("R2");
    groups_stands("a:2,2>1");
    OK(groups_ready(3, 2));
    groups_said("A1");
    groups_stands("a:2,1");
}

static void a_plan_for_an_older_round_is_refused(void **state)
{
    struct group_event e = {.kind = GROUP_PLANNED, .member = 1, .round = 1};
    int32_t owners[2] = {0, 0};

    (void)state;
    OK(JOIN(0, 1, OWN));
    OK(JOIN(1, 2, OWN));
    groups_said("P1");
    e.owners = owners;
    e.owner_count = 2;
    FAILS(RILL_ERR_STATE, groups_step(&e));
    e.round = 2;
    OK(groups_step(&e));
    groups_said("A1");
}

static void a_planner_that_goes_is_replaced(void **state)
{
    (void)state;
    OK(JOIN(0, 1, OWN, .instance = "x"));
    OK(JOIN(0, 2, OWN, .poll_ms = 5000));
    OK(JOIN(0, 3, OWN, .poll_ms = 5000));
    groups_said("P1");
    OK(groups_happens(1, GROUP_DIED, 1));
    groups_said("P2");
    assert_false(member(1).asked);
    OK(groups_happens(2, GROUP_LEAVE, 2));
    groups_said("P3");
    OK(JOIN(3, 4, OWN, .instance = "x"));
    groups_said("E1 A4"); /* 3 is at it, and nothing has changed for it */
    assert_true(member(3).planning);
    OK(groups_happens(3, GROUP_LEAVE, 3));
    groups_said("P4");
    OK(JOIN(4, 5, OWN, .instance = "x"));
    groups_said("E4 A5 P5");
    OK(JOIN(4, 6, OWN, .poll_ms = 5000));
    groups_said("P5");
    groups_sign(groups_it, 5, 303, 303);
    OK(groups_happens(304, GROUP_TICK, 0)); /* no plan for so long */
    groups_said("E5 P6");
    OK(groups_planned(305, 6, "00"));
    groups_stands("a:6,6");
}

static void a_plan_may_be_wanted_of_one_who_gives_up_too(void **state)
{
    (void)state;
    groups_sizes[0] = 3;
    OK(JOIN(0, 1, OWN));
    OK(groups_planned(0, 1, "000"));
    OK(JOIN(1, 2, OWN));
    OK(groups_planned(1, 1, "001"));
    groups_said("R1");
    OK(JOIN(2, 3, OWN));
    groups_said("P1");
    OK(groups_planned(3, 1, "012"));
    groups_said("R1");
    groups_stands("a:1,1>2,1>3");
    assert_int_equal(member(1).asked_ms, 1); /* it still owes the first */
    OK(JOIN(4, 4, OWN));
    groups_said("P1");
    OK(groups_ready(5, 1));
    groups_said("A2 A3");
    assert_true(member(1).planning);
    assert_true(member(1).asked);
    OK(groups_planned(6, 1, "012"));
    groups_said("");
    assert_false(member(1).asked);
    groups_stands("a:1,2,3");
}

static void while_all_are_away_the_plan_waits(void **state)
{
    (void)state;
    OK(JOIN(0, 1, OWN, .instance = "x"));
    OK(groups_planned(0, 1, "00"));
    OK(groups_happens(1, GROUP_LEAVE, 1));
    groups_sizes[0] = 3;
    OK(groups_topics(2, "a"));
    groups_said("");
    groups_stands("a:1,1,-");
    OK(JOIN(3, 2, OWN, .instance = "x"));
    groups_said("E1 A2 P2");
    OK(groups_planned(4, 2, "000"));
    groups_stands("a:2,2,2");
}

static void who_takes_over_with_another_own_assignor_plans_anew(void **state)
{
    (void)state;
    OK(JOIN(0, 1, .instance = "x", .assignor = RILL_ASSIGN_OWN, .own = "mine"));
    OK(groups_planned(0, 1, "0-"));
    OK(JOIN(1, 2, .instance = "x", .assignor = RILL_ASSIGN_OWN, .own = "yours"));
    groups_said("E1 A2 P2");
}

static void another_assignor_ends_the_planning(void **state)
{
    (void)state;
    OK(JOIN(0, 1, OWN, .assignors = 1));
    OK(JOIN(0, 2, .assignor = RILL_ASSIGN_RANGE));
    groups_said("A1 A2");
    assert_false(member(1).asked);
    groups_stands("a:1,2");
    FAILS(RILL_ERR_STATE, groups_planned(1, 1, "00"));
    OK(groups_happens(2, GROUP_LEAVE, 2));
    groups_said("P1");
    groups_stands("a:1,-");
}

static void a_plan_cannot_give_what_is_not_subscribed_to(void **state)
{
    (void)state;
    groups_sizes[1] = 1;
    OK(JOIN(0, 1, "a", OWN));
    OK(JOIN(0, 2, "b", OWN));
    FAILS(RILL_ERR_INVALID, groups_planned(1, 1, "011"));
    assert_non_null(strstr(test_message(), "a-1"));
    assert_non_null(strstr(test_message(), "m00002"));
    OK(groups_planned(1, 1, "001"));
    groups_stands("a:1,1 b:2");
}

/* ---- What stays is never given up, whatever the assignor ---- */

static int note_place(void *arg, const struct group_place *place)
{
    struct group_place **at = arg;
    *(*at)++ = *place;
    return 0;
}

static void what_stays_is_never_asked_for(void **state)
{
    struct group_place before[30];
    struct group_place after[30];

    (void)state;
    for (int32_t assignor = 0; assignor <= RILL_ASSIGN_COOPERATIVE_STICKY; assignor++) {
        assert_int_equal(groups_tear_down(NULL), 0);
        assert_int_equal(groups_set_up(NULL), 0);
        groups_sizes[0] = 7;
        groups_sizes[1] = 4;
        for (uint64_t change = 1; change < 20; change++) {
            struct group_place *at = before;
            size_t leaving = 0;

            rill__group_places(groups_it, note_place, &at);
            if (change < 8) OK(JOIN(0, change, change % 3 ? "ab" : "b", .assignor = assignor));
            else if (change < 12) OK(groups_happens(0, GROUP_LEAVE, change - 6));
            else OK(groups_subscribe(0, 1 + change % 2 * 6, change % 4 < 2 ? "a" : "ab"));
            at = after;
            rill__group_places(groups_it, note_place, &at);
            for (size_t i = 0; i < 11 && change > 1 && at == after + 11; i++) {
                if (after[i].leaving) leaving++;
                if (before[i].owner == 0 || before[i].owner != after[i].target) continue;
                assert_int_equal(after[i].owner, before[i].owner);
                assert_int_equal(after[i].since, before[i].since);
                assert_false(after[i].leaving);
            }
            for (size_t i = 0; i < groups_action_count; i++)
                if (groups_actions[i].kind == GROUP_REVOKE) assert_true(leaving > 0);
            groups_all_ready(0);
            assert_int_equal(state_now(), GROUP_STABLE);
        }
    }
}

/* ---- Memory ---- */

static const char *const scripts[] = {"join",  "join static", "take over", "grow",
                                      "ready", "subscribe",   "ask plan",  "plan",
                                      "tick",  "away",        "come back"};
enum { SCRIPTS = sizeof scripts / sizeof scripts[0] };

/* A group just before the step, and the step. */
static int run(size_t script, bool only_prepare)
{
    int32_t own = script == 6 || script == 7 ? RILL_ASSIGN_OWN : RILL_ASSIGN_ROUND_ROBIN;

    if (only_prepare) {
        groups_sizes[0] = 20;
        groups_sizes[1] = 20;
        OK(JOIN(0, 1, "a", .assignor = own, .own = "mine"));
        OK(JOIN(0, 2, "a", "x", .assignor = own, .own = "mine", .poll_ms = 900));
        if (script != 4 && script != 7) groups_all_ready(0);
        if (script == 10) OK(groups_happens(0, GROUP_DIED, 2));
        return 0;
    }
    switch (script) {
    case 0: return JOIN(1, 3, "ab", .assignor = own, .own = "mine");
    case 1: return JOIN(1, 3, "ab", "y", .assignor = own, .own = "mine");
    case 2: return JOIN(1, 3, "ab", "x", .assignor = own, .own = "mine");
    case 3: groups_sizes[0] = 90; return groups_topics(1, "a");
    case 4: return groups_ready(1, 1);
    case 5: return groups_subscribe(1, 1, "ab");
    case 6: return JOIN(1, 3, "ab", .assignor = own, .own = "mine");
    case 7: return groups_planned(1, 2, "00000000001111111111");
    case 8: return groups_happens(301, GROUP_TICK, 0);
    case 9: return groups_happens(1, GROUP_LEAVE, 2);
    default: return JOIN(1, 3, "a", "x", .assignor = own, .own = "mine");
    }
}

/* Whichever allocation of a step fails: the error, and the group can be freed. */
static void a_step_without_memory_says_so(void **state)
{
    (void)state;
    for (size_t script = 0; script < SCRIPTS; script++) {
        uint64_t n = 0;
        int rc;

        do {
            assert_int_equal(groups_tear_down(NULL), 0);
            assert_int_equal(groups_set_up(NULL), 0);
            run(script, true);
            groups_fail_allocation(n++);
            rc = run(script, false);
            if (rc != 0 && rc != RILL_ERR_NO_MEMORY)
                fail_msg("%s: %d, %s", scripts[script], rc, test_message());
        } while (rc == RILL_ERR_NO_MEMORY);
        if (n < 2) fail_msg("%s allocates nothing", scripts[script]);
    }
}

static void looking_without_memory_says_so(void **state)
{
    struct group_plan_input *input;
    struct group *group;
    uint64_t n = 0;
    int rc;

    (void)state;
    OK(JOIN(0, 1));
    do {
        groups_fail_allocation(n++);
        rc = rill__group_plan_input(groups_it, &input);
        if (rc != 0) assert_int_equal(rc, RILL_ERR_NO_MEMORY);
    } while (rc != 0);
    assert_true(n > 2);
    rill__free(&groups_heap, input);
    groups_fail_allocation(0);
    assert_int_equal(rill__group_new(&groups_heap, 0, 0, &group), RILL_ERR_NO_MEMORY);
    rill__group_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GROUP(the_first_member_gets_all_at_once),
        WITH_GROUP(only_what_moves_is_given_up),
        WITH_GROUP(an_answer_to_another_round_is_refused),
        WITH_GROUP(changes_that_leave_nothing_new_ask_once),
        WITH_GROUP(what_is_meant_for_its_owner_again_is_still_given_up),
        WITH_GROUP(what_a_member_leaves_goes_to_others_at_once),
        WITH_GROUP(a_slow_member_delays_only_what_it_holds),
        WITH_GROUP(generations_begin_anew_after_the_last),
        WITH_GROUP(a_member_subscribes_to_something_else),
        WITH_GROUP(a_topic_that_is_wanted_again_was_never_away),
        WITH_GROUP(a_catalogue_change_is_one_plan_for_all_who_share_it),
        WITH_GROUP(a_topic_has_as_many_partitions_as_any_member_knows_of),
        WITH_GROUP(who_is_silent_is_expelled),
        WITH_GROUP(who_does_not_poll_is_expelled),
        WITH_GROUP(who_does_not_answer_is_expelled),
        WITH_GROUP(times_do_not_overflow),
        WITH_GROUP(a_static_member_comes_back_without_any_move),
        WITH_GROUP(a_static_member_that_stays_away_is_expelled),
        WITH_GROUP(a_dead_ones_time_began_before),
        WITH_GROUP(a_static_member_can_be_removed),
        WITH_GROUP(a_living_instance_is_taken_over),
        WITH_GROUP(who_takes_over_with_another_subscription_changes_the_plan),
        WITH_GROUP(one_who_is_away_delays_nobody),
        WITH_GROUP(what_leaves_one_who_goes_away_is_free),
        WITH_GROUP(what_is_meant_for_one_who_is_away_waits),
        WITH_GROUP(what_is_refused_changes_nothing),
        WITH_GROUP(without_a_common_assignor_one_is_refused),
        WITH_GROUP(own_assignors_of_different_names_are_different),
        WITH_GROUP(the_assignor_that_most_prefer_is_elected),
        WITH_GROUP(one_member_is_asked_for_a_plan),
        WITH_GROUP(the_old_plan_goes_on_until_there_is_another),
        WITH_GROUP(a_plan_for_an_older_round_is_refused),
        WITH_GROUP(a_planner_that_goes_is_replaced),
        WITH_GROUP(a_plan_may_be_wanted_of_one_who_gives_up_too),
        WITH_GROUP(while_all_are_away_the_plan_waits),
        WITH_GROUP(who_takes_over_with_another_own_assignor_plans_anew),
        WITH_GROUP(another_assignor_ends_the_planning),
        WITH_GROUP(a_plan_cannot_give_what_is_not_subscribed_to),
        WITH_GROUP(what_stays_is_never_asked_for),
        WITH_GROUP(a_step_without_memory_says_so),
        WITH_GROUP(looking_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
