/*
 * What can be seen of a group from outside: explanations say who waits for whom and
 * who holds what, members are listed with what they have, counters and metrics are of
 * all processes. States that are rare are in explained.c.
 */
#include "members.h"
#include "records.h"

struct facts {
    int kinds[8];
    int severest;
    char text[8000];
    size_t size;
    int stop_at;
};

static int note_fact(void *arg, const rill_fact *fact)
{
    struct facts *facts = arg;

    assert_in_range(fact->kind, RILL_FACT_GROUP, RILL_FACT_WAIT);
    facts->kinds[fact->kind]++;
    if (facts->severest == 0 || fact->severity < facts->severest)
        facts->severest = fact->severity;
    facts->size += (size_t)snprintf(facts->text + facts->size, sizeof facts->text - facts->size,
                                    "%s\n", fact->text);
    return facts->stop_at == fact->kind ? 77 : 0;
}

static void says(const struct facts *facts, const char *part)
{
    if (strstr(facts->text, part) == NULL) fail_msg("no \"%s\" in\n%s", part, facts->text);
}

static void a_group_that_waits_for_a_member_says_for_whom(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_subject subject = {.group = "g"};
    struct facts facts = {.size = 0};
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 5);
    put(store, "t", 1, 0, 5);
    options.client_id = "slow";
    a = member_open(store, &options);
    settle(a, 2, NULL, 0);
    OK(rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.severest, RILL_LOG_INFO);
    says(&facts, "every partition is where it should be");
    says(&facts, "the application has its thread");
    options.client_id = "new";
    b = member_open(store, &options); /* a does not poll */
    poll_ok(b);
    facts = (struct facts){.size = 0};
    OK(rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.severest, RILL_LOG_WARNING);
    assert_int_equal(facts.kinds[RILL_FACT_MEMBER], 2);
    assert_int_equal(facts.kinds[RILL_FACT_OWNER], 2);
    says(&facts, "is asked to give up partitions");
    says(&facts, "waits for slow-");
    says(&facts, "goes to new-");
    says(&facts, "records are not committed");
    facts = (struct facts){.size = 0};
    subject = (rill_subject){.consumer = b};
    OK(rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.kinds[RILL_FACT_WAIT], 1);
    says(&facts, "it reads 0 partitions");
    says(&facts, "waits for slow-");
    facts = (struct facts){.stop_at = RILL_FACT_MEMBER};
    subject = (rill_subject){.group = "g"};
    assert_int_equal(rill_explain(store, &subject, note_fact, &facts), 77);
    assert_int_equal(facts.kinds[RILL_FACT_MEMBER], 1);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
}

struct listing {
    char last[80];
    int32_t next; /* range gives the first partitions to the first member */
    int count;
    int answer;
};

static int note_member(void *arg, const rill_group_member *member)
{
    struct listing *listing = arg;

    assert_true(strcmp(listing->last, member->member_id) < 0);
    snprintf(listing->last, sizeof listing->last, "%s", member->member_id);
    assert_null(member->group_instance_id);
    assert_string_equal(member->subscription, "t");
    assert_int_equal(member->pid, getpid());
    assert_int_equal(member->away, 0);
    assert_true(member->polled_ms >= 0);
    for (size_t i = 0; i < member->assigned_count; i++) {
        assert_string_equal(member->assigned[i].topic, "t");
        assert_int_equal(member->assigned[i].partition, listing->next++);
    }
    listing->count++;
    return listing->answer;
}

static int note_away(void *arg, const rill_group_member *member)
{
    int *away = arg;

    assert_string_equal(member->group_instance_id, "one");
    assert_int_equal(member->pid, member->away ? 0 : getpid());
    assert_int_equal(member->assigned_count, 5);
    *away += member->away;
    return 0;
}

static void members_are_listed_with_what_they_have(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct listing listing = {.next = 0};
    rill_consumer *a;
    rill_consumer *b;
    int away = 0;

    test_topic(store, "t", 5);
    FAILS(RILL_ERR_NOT_FOUND, rill_group_members(store, "g", note_member, &listing));
    options.client_id = "a";
    a = member_open(store, &options);
    options.client_id = "b";
    b = member_open(store, &options);
    settle(a, 3, b, 2);
    OK(rill_group_members(store, "g", note_member, &listing));
    assert_int_equal(listing.count, 2);
    assert_int_equal(listing.next, 5);
    listing = (struct listing){.answer = 77};
    assert_int_equal(rill_group_members(store, "g", note_member, &listing), 77);
    assert_int_equal(listing.count, 1);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_consumer_close(b, WAIT_MS));
    options.group_instance_id = "one";
    a = member_open(store, &options);
    settle(a, 5, NULL, 0);
    OK(rill_group_members(store, "g", note_away, &away));
    assert_int_equal(away, 0);
    OK(rill_consumer_close(a, WAIT_MS));
    OK(rill_group_members(store, "g", note_away, &away));
    assert_int_equal(away, 1);
}

static void a_partition_says_who_holds_it(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_subject subject = {.topic = "t", .partition = 0};
    struct facts facts = {.size = 0};
    struct holder holder;
    rill_consumer *a;
    char text[60];

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 5);
    a = member_open(store, &options);
    settle(a, 2, NULL, 0);
    holder_start(&holder, store, "t", 0, 5);
    OK(rill_explain(store, &subject, note_fact, &facts));
    holder_stop(&holder);
    snprintf(text, sizeof text, "process %d holds the append lock", (int)getpid());
    says(&facts, text);
    says(&facts, "t-0 has offsets 0 to 5");
    says(&facts, "reads or writes segment 0 of t-0");
    says(&facts, "t-0 is read by rill-");
    assert_int_equal(facts.kinds[RILL_FACT_OWNER], 1);
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_consumer_says_what_it_waits_for(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {
        .size = sizeof options, .auto_offset_reset = RILL_RESET_ERROR, .group = "h"};
    rill_position positions[] = {{.topic = "t", .partition = 0, .offset = 0},
                                 {.topic = "t", .partition = 1, .offset = RILL_OFFSET_NONE},
                                 {.topic = "t", .partition = 2, .offset = 0},
                                 {.topic = "t", .partition = 3, .offset = 0}};
    rill_consumer *a = consumer_open(store, &options);
    rill_subject subject = {.consumer = a};
    struct facts facts = {.size = 0};

    test_topic(store, "t", 4);
    put(store, "t", 2, 0, 4);
    OK(rill_consumer_assign(a, positions, 4));
    OK(rill_consumer_pause(a, "t", 3));
    OK(rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.kinds[RILL_FACT_WAIT], 5);
    says(&facts, "no member of a group");
    says(&facts, "t-0: position 0 of 0; it is at the end");
    says(&facts, "t-1: position -3 of 0; the reset policy leaves open where to begin");
    says(&facts, "t-2: position 0 of 4; there is something to read");
    says(&facts, "t-3: position 0 of 0; it is paused");
    OK(rill_consumer_close(a, WAIT_MS));
}

static void a_subject_is_one_thing(void **state)
{
    rill *store = *state;
    rill_subject subject = {.group = NULL};
    struct facts facts = {.size = 0};

    FAILS(RILL_ERR_INVALID, rill_explain(store, &subject, note_fact, &facts));
    subject = (rill_subject){.group = "g", .topic = "t"};
    FAILS(RILL_ERR_INVALID, rill_explain(store, &subject, note_fact, &facts));
    subject = (rill_subject){.group = "g"};
    FAILS(RILL_ERR_NOT_FOUND, rill_explain(store, &subject, note_fact, &facts));
    subject = (rill_subject){.topic = "t"};
    FAILS(RILL_ERR_NOT_FOUND, rill_explain(store, &subject, note_fact, &facts));
    test_topic(store, "t", 1);
    subject.partition = 1;
    FAILS(RILL_ERR_NOT_FOUND, rill_explain(store, &subject, note_fact, &facts));
    assert_int_equal(facts.size, 0);
}

static void counters_and_metrics_are_of_all(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_stats mine = {.size = sizeof mine};
    rill_stats all = {.size = sizeof all};
    rill_consumer *a;
    char text[8000];
    size_t needed;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 5);
    a = member_open(store, &options);
    settle(a, 2, NULL, 0);
    OK(rill_stats_get(store, &mine));
    OK(rill_stats_total(store, &all));
    assert_int_equal(mine.records_appended, 5);
    assert_int_equal(all.records_appended, mine.records_appended);
    assert_true(mine.polls > 0 && mine.group_steps > 0 && mine.memory_bytes > 0);
    OK(rill_consumer_seek(a, "t", 0, 2));
    OK(rill_consumer_commit(a, NULL, 0));
    FAILS(RILL_ERR_TOO_BIG, rill_metrics(store, NULL, 0, &needed));
    assert_in_range(needed, 100, sizeof text);
    OK(rill_metrics(store, text, needed, &needed));
    assert_int_equal(strlen(text) + 1, needed);
    FAILS(RILL_ERR_TOO_BIG, rill_metrics(store, text, needed - 1, NULL));
    OK(rill_metrics(store, text, sizeof text, NULL));
    assert_non_null(strstr(text, "# TYPE rill_records_appended_total counter\n"
                                 "rill_records_appended_total 5\n"));
    assert_non_null(strstr(text, "rill_log_end_offset{topic=\"t\",partition=\"0\"} 5\n"));
    assert_non_null(strstr(text, "rill_group_members{group=\"g\"} 1\n"));
    assert_non_null(strstr(text, "rill_group_lag{group=\"g\",topic=\"t\",partition=\"0\"} 3\n"));
    OK(rill_consumer_close(a, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_group_that_waits_for_a_member_says_for_whom),
        WITH_STORE(members_are_listed_with_what_they_have),
        WITH_STORE(a_partition_says_who_holds_it),
        WITH_STORE(a_consumer_says_what_it_waits_for),
        WITH_STORE(a_subject_is_one_thing),
        WITH_STORE(counters_and_metrics_are_of_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
