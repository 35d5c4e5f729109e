/*
 * What groups have committed, seen and changed from outside: all of it is listed,
 * with where its partitions stand; a group without members is reset, in one commit
 * or not at all, never to a place outside of a partition; what a member subscribes
 * to is not deleted under it; and what cannot be done says why and changes nothing.
 */
#include "members.h"
#include "records.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static rill_consumer *committer_open(rill *store, const char *group)
{
    rill_consumer_options options = member_options(group);

    return consumer_open(store, &options);
}

static void commit_positions(rill *store, const char *group, const rill_position *positions,
                             size_t count)
{
    rill_consumer *consumer = committer_open(store, group);

    OK(rill_consumer_commit(consumer, positions, count));
    OK(rill_consumer_close(consumer, 0));
}

static void commit_one_offset(rill *store, const char *group, const char *topic,
                              int32_t partition, rill_offset offset)
{
    rill_position position = {topic, partition, -1, offset, NULL};

    commit_positions(store, group, &position, 1);
}

static rill_offset committed_offset(rill *store, const char *group, const char *topic,
                                    int32_t partition)
{
    rill_consumer *consumer = committer_open(store, group);
    rill_position position;

    OK(rill_consumer_committed(consumer, topic, partition, &position, NULL, 0));
    OK(rill_consumer_close(consumer, 0));
    return position.offset;
}

static bool has_group(rill *store, const char *group)
{
    rill_group_info info;
    int rc = rill_group_describe(store, group, &info);

    if (rc != RILL_ERR_NOT_FOUND) OK(rc);
    return rc == 0;
}

/* Topics "t" of two partitions with 10 records each, "u" of one with 5. */
static void make_topics(rill *store)
{
    test_topic(store, "t", 2);
    test_topic(store, "u", 1);
    put(store, "t", 0, 0, 10);
    put(store, "t", 1, 0, 10);
    put(store, "u", 0, 0, 5);
}

/* ---- Looking ---- */

struct seen {
    rill *store;
    char text[2000];
    int stop_after; /* offsets; 0: never */
    int count;
};

static int see_offset(void *arg, const rill_group_offset *offset)
{
    struct seen *seen = arg;
    size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof seen->text - used, "%s-%d@%d/%d,%d+%d%s ", offset->topic,
             (int)offset->partition, (int)offset->offset, (int)offset->log_start,
             (int)offset->log_end, (int)offset->lag,
             offset->metadata == NULL ? "" : offset->metadata);
    assert_true(offset->committed_ms > 0);
    assert_true(offset->durable_end <= offset->log_end);
    assert_int_equal(offset->leader_epoch, offset->metadata == NULL ? -1 : 7);
    return ++seen->count == seen->stop_after ? 42 : 0;
}

static void offsets_are_listed_with_all_there_is(void **state)
{
    rill *store = *state;
    rill_position positions[] = {{"u", 0, 7, 5, "all"},
                                 {"t", 1, -1, 0, NULL},
                                 {"t", 0, 7, 4, "the note"},
                                 {"gone", 0, -1, 0, NULL}};
    struct seen seen = {.text = ""};

    make_topics(store);
    test_topic(store, "gone", 1);
    commit_positions(store, "g", positions, 4);
    commit_one_offset(store, "gg", "t", 0, 1);
    commit_one_offset(store, "f", "t", 0, 2);
    OK(rill_topic_delete(store, "gone"));
    OK(rill_group_offsets(store, "g", see_offset, &seen));
    assert_string_equal(seen.text, "t-0@4/0,10+6the note t-1@0/0,10+10 u-0@5/0,5+0all ");
    seen = (struct seen){.stop_after = 2};
    assert_int_equal(rill_group_offsets(store, "g", see_offset, &seen), 42);
    assert_int_equal(seen.count, 2);
}

static void many_topics_are_told_apart(void **state)
{
    rill *store = *state;
    struct seen seen = {.text = ""};
    char want[400] = "";

    for (int i = 0; i < 12; i++) {
        char name[20];
        snprintf(name, sizeof name, "topic%02d", i);
        test_topic(store, name, 1);
        if (i % 3 == 2) continue;
        commit_one_offset(store, "g", name, 0, 0);
        snprintf(want + strlen(want), sizeof want - strlen(want), "%s-0@0/0,0+0 ", name);
    }
    OK(rill_group_offsets(store, "g", see_offset, &seen));
    assert_string_equal(seen.text, want);
}

static int change_all(void *arg, const rill_group_offset *offset)
{
    struct seen *seen = arg;

    if (seen->count++ == 0) {
        OK(rill_topic_delete(seen->store, "u"));
        OK(rill_group_delete(seen->store, "g"));
        test_topic(seen->store, "u", 1);
        commit_one_offset(seen->store, "g", "u", 0, 0);
    }
    assert_string_equal(offset->topic, "t");
    return 0;
}

static void a_visit_may_change_what_it_is_shown(void **state)
{
    rill *store = *state;
    struct seen seen = {.store = store};
    rill_position positions[] = {{"u", 0, -1, 5, NULL}, {"t", 0, -1, 4, NULL}};

    make_topics(store);
    commit_positions(store, "g", positions, 2);
    OK(rill_group_offsets(store, "g", change_all, &seen));
    assert_int_equal(seen.count, 1);
    assert_int_equal(committed_offset(store, "g", "t", 0), RILL_OFFSET_NONE);
}

static int see_line(void *arg, const char *line)
{
    strcat(strcat(arg, line), "\n");
    return strlen(arg) > 100 ? 42 : 0;
}

static void a_group_that_is_not_there_has_no_offsets(void **state)
{
    rill *store = *state;
    struct seen seen = {.text = ""};
    rill_position position = {"t", 0, -1, 0, NULL};
    char lines[100] = "";
    int64_t lag;

    test_topic(store, "t", 1);
    FAILS(RILL_ERR_NOT_FOUND, rill_group_offsets(store, "none", see_offset, &seen));
    FAILS(RILL_ERR_NOT_FOUND, rill_group_lag(store, "none", RILL_READ_WRITTEN, &lag));
    FAILS(RILL_ERR_NOT_FOUND, rill_group_export(store, "none", see_line, lines));
    FAILS(RILL_ERR_NOT_FOUND, rill_group_offsets_delete(store, "none", &position, 1));
    FAILS(RILL_ERR_INVALID, rill_group_offsets(store, "no/name", see_offset, &seen));
    FAILS(RILL_ERR_INVALID, rill_group_offsets_delete(store, "no/name", &position, 1));
    FAILS(RILL_ERR_INVALID, rill_group_offsets(NULL, "g", see_offset, &seen));
    FAILS(RILL_ERR_INVALID, rill_group_offsets(store, NULL, see_offset, &seen));
    FAILS(RILL_ERR_INVALID, rill_group_offsets(store, "g", NULL, &seen));
    FAILS(RILL_ERR_INVALID, rill_group_lag(store, "g", RILL_READ_WRITTEN, NULL));
    FAILS(RILL_ERR_INVALID, rill_group_export(store, "g", NULL, lines));
    FAILS(RILL_ERR_INVALID, rill_group_offsets_delete(store, "g", NULL, 0));
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", NULL));
    assert_int_equal(seen.count, 0);
}

static void lag_is_summed_up(void **state)
{
    rill *store = *state;
    rill_position positions[] = {
        {"u", 0, -1, 5, NULL}, {"t", 0, -1, 4, NULL}, {"t", 1, -1, 9, NULL}};
    int64_t lag = -1;

    make_topics(store);
    commit_positions(store, "g", positions, 3);
    OK(rill_group_lag(store, "g", RILL_READ_WRITTEN, &lag));
    assert_int_equal(lag, 7);
    OK(rill_group_lag(store, "g", RILL_READ_DURABLE, &lag));
    assert_in_range(lag, 0, 7);
    OK(rill_sync(store, WAIT_MS));
    put(store, "t", 0, 10, 3);
    OK(rill_group_lag(store, "g", RILL_READ_DURABLE, &lag));
    assert_int_equal(lag, 7);
    OK(rill_group_lag(store, "g", RILL_READ_WRITTEN, &lag));
    assert_int_equal(lag, 10);
    FAILS(RILL_ERR_INVALID, rill_group_lag(store, "g", 2, &lag));
    FAILS(RILL_ERR_INVALID, rill_group_lag(store, "g", -1, &lag));
}

/* ---- Resetting ---- */

struct changes {
    char text[2000];
    rill *store; /* NULL: not looked at */
};

static void see_change(void *arg, const rill_group_change *change)
{
    struct changes *changes = arg;
    size_t used = strlen(changes->text);

    snprintf(changes->text + used, sizeof changes->text - used, "%s-%d:%d>%lld>%d ",
             change->topic, (int)change->partition, (int)change->before,
             (long long)change->wanted, (int)change->offset);
    if (changes->store != NULL)
        assert_int_equal(committed_offset(changes->store, "g", change->topic, change->partition),
                         change->offset);
}

static rill_group_reset_options reset_to(int32_t to, int64_t value, struct changes *changes)
{
    if (changes != NULL) changes->text[0] = '\0';
    return (rill_group_reset_options){.size = sizeof(rill_group_reset_options),
                                      .to = to,
                                      .value = value,
                                      .visit = changes == NULL ? NULL : see_change,
                                      .visit_arg = changes};
}

static void all_that_is_committed_is_reset(void **state)
{
    static const struct {
        int32_t to;
        int64_t value;
        const char *changes;
    } cases[] = {
        {RILL_RESET_TO_EARLIEST, 0, "t-0:4>0>0 t-1:9>0>0 u-0:3>0>0 "},
        {RILL_RESET_TO_LATEST, 0, "t-0:4>10>10 t-1:9>10>10 u-0:3>5>5 "},
        {RILL_RESET_TO_OFFSET, 7, "t-0:4>7>7 t-1:9>7>7 u-0:3>7>5 "},
        {RILL_RESET_TO_OFFSET, INT64_MAX,
         "t-0:4>9223372036854775807>10 t-1:9>9223372036854775807>10 "
         "u-0:3>9223372036854775807>5 "},
        {RILL_RESET_TO_SHIFTED, -4, "t-0:4>0>0 t-1:9>5>5 u-0:3>-1>0 "},
        {RILL_RESET_TO_SHIFTED, 1, "t-0:4>5>5 t-1:9>10>10 u-0:3>4>4 "},
        {RILL_RESET_TO_SHIFTED, INT64_MAX,
         "t-0:4>9223372036854775807>10 t-1:9>9223372036854775807>10 "
         "u-0:3>9223372036854775807>5 "},
        {RILL_RESET_TO_COMMITTED, 0, "t-0:4>4>4 t-1:9>9>9 u-0:3>3>3 "},
        {RILL_RESET_TO_TIME, 0, "t-0:4>0>0 t-1:9>0>0 u-0:3>0>0 "},
        {RILL_RESET_TO_TIME, INT64_MAX, "t-0:4>10>10 t-1:9>10>10 u-0:3>5>5 "},
    };
    rill *store = *state;
    rill_position positions[] = {
        {"u", 0, -1, 3, NULL}, {"t", 0, -1, 4, "gone then"}, {"t", 1, -1, 9, NULL}};
    struct changes changes;

    make_topics(store);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rill_group_reset_options options = reset_to(cases[i].to, cases[i].value, &changes);

        commit_positions(store, "g", positions, 3);
        changes.store = NULL;
        options.flags = RILL_RESET_DRY_RUN;
        OK(rill_group_reset(store, "g", &options));
        assert_string_equal(changes.text, cases[i].changes);
        assert_int_equal(committed_offset(store, "g", "u", 0), 3);
        changes.text[0] = '\0';
        changes.store = store;
        options.flags = 0;
        OK(rill_group_reset(store, "g", &options));
        assert_string_equal(changes.text, cases[i].changes);
    }
}

static void named_partitions_are_reset_and_no_others(void **state)
{
    rill *store = *state;
    rill_position from[] = {{"t", 0, -1, 4, NULL}, {"t", 1, -1, 4, NULL}, {"u", 0, -1, 3, NULL}};
    rill_position one = {.topic = "t", .partition = 1};
    rill_position whole = {.topic = "t", .partition = RILL_PARTITION_ANY};
    struct changes changes = {.store = store};
    rill_group_reset_options options = reset_to(RILL_RESET_TO_LATEST, 0, &changes);

    make_topics(store);
    commit_positions(store, "g", from, 3);
    options.positions = &one;
    options.position_count = 1;
    OK(rill_group_reset(store, "g", &options));
    assert_string_equal(changes.text, "t-1:4>10>10 ");
    assert_int_equal(committed_offset(store, "g", "t", 0), 4);
    options.positions = &whole;
    changes.text[0] = '\0';
    OK(rill_group_reset(store, "g", &options));
    assert_string_equal(changes.text, "t-0:4>10>10 t-1:10>10>10 ");
    options.position_count = 0; /* none of them: nothing */
    changes.text[0] = '\0';
    OK(rill_group_reset(store, "g", &options));
    assert_string_equal(changes.text, "");
    assert_int_equal(committed_offset(store, "g", "u", 0), 3);
}

static void many_partitions_are_reset_at_once(void **state)
{
    rill *store = *state;
    rill_position all = {"many", RILL_PARTITION_ANY, -1, 0, NULL};
    rill_group_reset_options reset = {
        .size = sizeof reset, .to = RILL_RESET_TO_LATEST, .positions = &all, .position_count = 1};
    int64_t lag;

    test_topic(store, "many", 40);
    put(store, "many", 33, 0, 3);
    OK(rill_group_reset(store, "g", &reset));
    OK(rill_group_lag(store, "g", RILL_READ_WRITTEN, &lag));
    assert_int_equal(lag, 0);
    put(store, "many", 39, 0, 2);
    OK(rill_group_lag(store, "g", RILL_READ_WRITTEN, &lag));
    assert_int_equal(lag, 2);
}

static void a_reset_goes_to_a_time(void **state)
{
    rill *store = *state;
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_position position = {.topic = "t"};
    struct changes changes = {.store = store};
    rill_group_reset_options options = reset_to(RILL_RESET_TO_TIME, 3500, &changes);
    rill_producer *producer;

    test_topic(store, "t", 1);
    OK(rill_producer_open(store, &out, &producer));
    for (int64_t n = 0; n < 10; n++) {
        rill_record record = record_of(&n);
        record.timestamp_ms = 1000 * (n + 1);
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    options.positions = &position;
    options.position_count = 1;
    OK(rill_group_reset(store, "g", &options));
    assert_string_equal(changes.text, "t-0:-3>3>3 ");
    options.value = 10001;
    changes.text[0] = '\0';
    OK(rill_group_reset(store, "g", &options));
    assert_string_equal(changes.text, "t-0:3>10>10 ");
}

static void positions_go_to_offsets_of_their_own(void **state)
{
    rill *store = *state;
    struct changes changes = {.store = store};
    rill_group_reset_options options = reset_to(RILL_RESET_TO_OWN, 0, &changes);
    rill_position positions[] = {{"u", 0, 7, 3, "note"},
                                 {"t", 1, -1, RILL_OFFSET_LATEST, NULL},
                                 {"t", 0, -1, RILL_OFFSET_EARLIEST, NULL}};
    struct seen seen = {.text = ""};

    make_topics(store);
    options.positions = positions;
    options.position_count = 3;
    OK(rill_group_reset(store, "g", &options));
    assert_string_equal(changes.text, "t-0:-3>0>0 t-1:-3>10>10 u-0:-3>3>3 ");
    OK(rill_group_offsets(store, "g", see_offset, &seen));
    assert_string_equal(seen.text, "t-0@0/0,10+10 t-1@10/0,10+0 u-0@3/0,5+2note ");
}

static void a_reset_makes_a_group(void **state)
{
    rill *store = *state;
    rill_position position = {.topic = "t", .partition = RILL_PARTITION_ANY};
    struct changes changes = {.store = NULL};
    rill_group_reset_options options = reset_to(RILL_RESET_TO_COMMITTED, 0, &changes);
    rill_stats before = {.size = sizeof before};
    rill_stats after = {.size = sizeof after};
    rill_consumer *consumer;

    make_topics(store);
    FAILS(RILL_ERR_NOT_FOUND, rill_group_reset(store, "g", &options));
    options.positions = &position;
    options.position_count = 1;
    options.flags = RILL_RESET_DRY_RUN;
    OK(rill_stats_get(store, &before));
    OK(rill_group_reset(store, "g", &options));
    assert_string_equal(changes.text, "t-0:-3>10>10 t-1:-3>10>10 ");
    assert_false(has_group(store, "g"));
    options.flags = 0;
    options.to = RILL_RESET_TO_OFFSET;
    options.value = 8;
    OK(rill_group_reset(store, "g", &options));
    OK(rill_stats_get(store, &after));
    assert_int_equal(after.commits, before.commits + 1);
    assert_true(has_group(store, "g"));

    consumer = committer_open(store, "g");
    OK(rill_consumer_subscribe(consumer, topic_t, 1));
    for (int i = 0; i < 2; i++) { /* 8 and 9 of each */
        rill_record record;
        assert_int_equal(take(consumer, &record, 1), 1);
        assert_in_range(record.offset, 8, 9);
    }
    OK(rill_consumer_close(consumer, 0));
}

static void a_group_with_members_is_not_reset(void **state)
{
    rill *store = *state;
    struct changes changes = {.store = store};
    rill_group_reset_options options = reset_to(RILL_RESET_TO_LATEST, 0, &changes);
    rill_consumer *member;

    make_topics(store);
    member = committer_open(store, "g");
    OK(rill_consumer_subscribe(member, topic_t, 1));
    takes(member, 0, 1);
    OK(rill_consumer_commit(member, NULL, 0));
    FAILS(RILL_ERR_STATE, rill_group_reset(store, "g", &options));
    assert_non_null(strstr(rill_errmsg(), "1 members"));
    options.flags = RILL_RESET_DRY_RUN;
    FAILS(RILL_ERR_STATE, rill_group_reset(store, "g", &options));
    assert_string_equal(changes.text, "");
    OK(rill_consumer_close(member, 0));
    options.flags = 0;
    OK(rill_group_reset(store, "g", &options));
    assert_int_equal(committed_offset(store, "g", "t", 0), 10);
}

/* A member in another process, which is killed. */
static pid_t member_in_child(int ready)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    {
        rill_consumer_options options = {.size = sizeof options, .group = "g"};
        rill_record record;
        size_t count;
        rill *mine;
        rill_consumer *member;

        if (rill_open(test_path("store"), NULL, &mine) != 0 ||
            rill_consumer_open(mine, &options, &member) != 0 ||
            rill_consumer_subscribe(member, topic_t, 1) != 0 ||
            rill_consumer_poll(member, 0, &record, 1, &count) != 0 || write(ready, "x", 1) != 1)
            _exit(1);
    }
    for (;;) pause();
}

static void the_dead_are_no_members(void **state)
{
    rill *store = *state;
    rill_group_reset_options options = reset_to(RILL_RESET_TO_OFFSET, 2, NULL);
    rill_position position = {.topic = "t"};
    int ready[2];
    pid_t pid;
    char byte;

    make_topics(store);
    options.positions = &position;
    options.position_count = 1;
    assert_int_equal(pipe(ready), 0);
    pid = member_in_child(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    FAILS(RILL_ERR_STATE, rill_group_reset(store, "g", &options));
    FAILS(RILL_ERR_STATE, rill_group_offsets_delete(store, "g", &position, 1));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    OK(rill_group_reset(store, "g", &options));
    assert_int_equal(committed_offset(store, "g", "t", 0), 2);
    close(ready[0]);
    close(ready[1]);
}

static void what_cannot_be_reset_changes_nothing(void **state)
{
    rill *store = *state;
    static char long_note[RILL_METADATA_MAX + 2];
    rill_position two[] = {{"t", 0, -1, 1, NULL}, {"t", 1, -1, 1, NULL}};
    rill_group_reset_options options = reset_to(RILL_RESET_TO_OWN, 0, NULL);

    make_topics(store);
    commit_one_offset(store, "g", "t", 0, 4);
    options.positions = two;
    options.position_count = 2;
    two[1].topic = "none";
    FAILS(RILL_ERR_NOT_FOUND, rill_group_reset(store, "g", &options));
    two[1].topic = "no/name";
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    two[1].topic = NULL;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    two[1].topic = "t";
    two[1].partition = 2;
    FAILS(RILL_ERR_NOT_FOUND, rill_group_reset(store, "g", &options));
    two[1].partition = -2;
    FAILS(RILL_ERR_NOT_FOUND, rill_group_reset(store, "g", &options));
    two[1].partition = 0;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    assert_non_null(strstr(rill_errmsg(), "t-0 is named twice"));
    two[1].partition = RILL_PARTITION_ANY;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    two[1].partition = 1;
    two[1].offset = RILL_OFFSET_NONE;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    two[1].offset = 0;
    memset(long_note, 'x', sizeof long_note - 1);
    two[1].metadata = long_note;
    FAILS(RILL_ERR_TOO_BIG, rill_group_reset(store, "g", &options));
    two[1].metadata = NULL;
    options.to = RILL_RESET_TO_SHIFTED;
    FAILS(RILL_ERR_NO_OFFSET, rill_group_reset(store, "g", &options));
    options.to = RILL_RESET_TO_OFFSET;
    options.value = -1;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    options.to = RILL_RESET_TO_OWN + 1;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    options.to = RILL_RESET_TO_EARLIEST;
    options.flags = 2;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    options.flags = 0;
    options.csv = "t,0,1";
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    options.to = RILL_RESET_TO_OWN;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options)); /* and positions */
    options.positions = NULL;
    options.csv = NULL;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options)); /* neither */
    options.size = 1;
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "g", &options));
    options = reset_to(RILL_RESET_TO_EARLIEST, 0, NULL);
    FAILS(RILL_ERR_INVALID, rill_group_reset(store, "no/name", &options));
    assert_int_equal(committed_offset(store, "g", "t", 0), 4);
    assert_int_equal(committed_offset(store, "g", "t", 1), RILL_OFFSET_NONE);
}

/* ---- As text ---- */

static int reset_from(rill *store, const char *group, const char *csv, size_t size,
                      struct changes *changes)
{
    rill_group_reset_options options = reset_to(RILL_RESET_TO_OWN, 0, changes);

    options.csv = csv;
    options.csv_size = size;
    return rill_group_reset(store, group, &options);
}

static void what_is_written_as_text_is_read_again(void **state)
{
    rill *store = *state;
    rill_position positions[] = {
        {"u", 0, -1, 3, NULL}, {"t", 0, -1, 4, "note"}, {"t", 1, -1, 10, NULL}};
    char lines[200] = "";
    struct changes changes = {.store = NULL};

    make_topics(store);
    commit_positions(store, "g", positions, 3);
    OK(rill_group_export(store, "g", see_line, lines));
    assert_string_equal(lines, "t,0,4\nt,1,10\nu,0,3\n");
    OK(reset_from(store, "copy", lines, strlen(lines), &changes));
    assert_string_equal(changes.text, "t-0:-3>4>4 t-1:-3>10>10 u-0:-3>3>3 ");
    memset(lines, ' ', 101);
    lines[101] = '\0';
    assert_int_equal(rill_group_export(store, "copy", see_line, lines), 42);
}

static void text_may_have_many_forms(void **state)
{
    static const char *const texts[] = {
        "t,0,3\nt,1,4",
        "t,0,3\r\nt,1,4\r\n",
        "\n\n  \nt,1,4\n\nt,0,3\n\n",
        " t , 0 ,\t3 \n\t\"t\" , \"1\" , \"4\" \n",
        "\"t\",00,0003\n\"t\",1,4\n",
    };
    rill *store = *state;
    struct changes changes = {.store = NULL};
    char *tight;

    make_topics(store);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        /* No byte behind the text is looked at. */
        tight = malloc(strlen(texts[i]));
        assert_non_null(tight);
        memcpy(tight, texts[i], strlen(texts[i]));
        OK(reset_from(store, "g", tight, strlen(texts[i]), &changes));
        free(tight);
        assert_non_null(strstr(changes.text, ">3>3 t-1:"));
        assert_non_null(strstr(changes.text, ">4>4 "));
        OK(rill_group_delete(store, "g"));
    }
    OK(reset_from(store, "g", "t,0,9223372036854775807", 23, &changes));
    assert_string_equal(changes.text, "t-0:-3>9223372036854775807>10 ");
    OK(reset_from(store, "new", "", 0, &changes)); /* no line, nothing to do */
    assert_string_equal(changes.text, "");
    assert_false(has_group(store, "new"));
}

static void text_that_is_wrong_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text;
        size_t size; /* 0: all */
        int code;
        const char *says;
    } cases[] = {
        {"t", 0, RILL_ERR_INVALID, "line 1, column 2: no partition"},
        {"t,0", 0, RILL_ERR_INVALID, "line 1, column 4: no offset"},
        {"t,0,\n", 0, RILL_ERR_INVALID, "line 1, column 5: no offset"},
        {"t,,3", 0, RILL_ERR_INVALID, "line 1, column 3: no partition"},
        {",0,3", 0, RILL_ERR_INVALID, "line 1, column 1: no topic"},
        {"t,0,3\n  ,0,3", 0, RILL_ERR_INVALID, "line 2, column 3: no topic"},
        {"g,t,0,3", 0, RILL_ERR_INVALID, "line 1, column 6: more than three fields"},
        {"t,0,3,", 0, RILL_ERR_INVALID, "line 1, column 6: more than three"},
        {"t,x,3", 0, RILL_ERR_INVALID, "line 1, column 3: a byte 0x78 in the partition"},
        {"t,-1,3", 0, RILL_ERR_INVALID, "line 1, column 3: a byte 0x2d in the partition"},
        {"t,0, 3x", 0, RILL_ERR_INVALID, "line 1, column 7: a byte 0x78 in the offset"},
        {"t,0,-1", 0, RILL_ERR_INVALID, "line 1, column 5: a byte 0x2d in the offset"},
        {"t,2147483648,3", 0, RILL_ERR_INVALID, "line 1, column 3: the partition is too big"},
        {"t,0,9223372036854775808", 0, RILL_ERR_INVALID, "line 1, column 5: the offset is too"},
        {"\n\n\"t,0,3", 0, RILL_ERR_INVALID, "line 3, column 1: a quote that does not end"},
        {"\"t\"u,0,3", 0, RILL_ERR_INVALID, "line 1, column 4: a comma is missing"},
        {"t,0,3\n t/u,0,3", 0, RILL_ERR_INVALID, "line 2, column 2: topic name"},
        {"t\0u,0,3", 7, RILL_ERR_INVALID, "line 1, column 1: a zero byte"},
        {"\xef\xbb\xbft,0,3", 0, RILL_ERR_INVALID, "line 1, column 1: topic name"},
        {"t,0,3\n\nt,1,4\nt,0,5", 0, RILL_ERR_INVALID, "line 4: t-0 is on line 1 already"},
        {"t,0,3\nnone,0,3", 0, RILL_ERR_NOT_FOUND, "line 2: "},
        {"t,2,3", 0, RILL_ERR_NOT_FOUND, "line 1: topic t has partitions 0 to 1, not 2"},
    };
    rill *store = *state;
    static char long_name[RILL_TOPIC_NAME_MAX + 20];

    make_topics(store);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = cases[i].size != 0 ? cases[i].size : strlen(cases[i].text);
        FAILS(cases[i].code, reset_from(store, "g", cases[i].text, size, NULL));
        if (strncmp(rill_errmsg(), cases[i].says, strlen(cases[i].says)) != 0)
            fail_msg("%s: %s", cases[i].says, rill_errmsg());
    }
    memset(long_name, 't', RILL_TOPIC_NAME_MAX + 1);
    strcat(long_name, ",0,3");
    FAILS(RILL_ERR_INVALID, reset_from(store, "g", long_name, strlen(long_name), NULL));
    assert_false(has_group(store, "g"));
}

/* ---- Deleting ---- */

static void what_is_deleted_is_gone_and_the_rest_stays(void **state)
{
    rill *store = *state;
    rill_position from[] = {{"t", 0, -1, 4, NULL}, {"t", 1, -1, 4, NULL}, {"u", 0, -1, 3, NULL}};
    rill_position position = {.topic = "t", .partition = 1};

    make_topics(store);
    commit_positions(store, "g", from, 3);
    commit_positions(store, "h", from, 3);
    OK(rill_group_offsets_delete(store, "g", &position, 0));
    OK(rill_group_offsets_delete(store, "g", &position, 1));
    assert_int_equal(committed_offset(store, "g", "t", 0), 4);
    assert_int_equal(committed_offset(store, "g", "t", 1), RILL_OFFSET_NONE);
    OK(rill_group_offsets_delete(store, "g", &position, 1)); /* there is none */
    position.partition = 2;
    FAILS(RILL_ERR_NOT_FOUND, rill_group_offsets_delete(store, "g", &position, 1));
    position.partition = RILL_PARTITION_ANY;
    OK(rill_group_offsets_delete(store, "g", &position, 1));
    assert_int_equal(committed_offset(store, "g", "t", 0), RILL_OFFSET_NONE);
    assert_int_equal(committed_offset(store, "g", "u", 0), 3);
    position.topic = "none";
    FAILS(RILL_ERR_NOT_FOUND, rill_group_offsets_delete(store, "g", &position, 1));
    position.topic = NULL;
    FAILS(RILL_ERR_INVALID, rill_group_offsets_delete(store, "g", &position, 1));
    position.topic = "u";
    OK(rill_group_offsets_delete(store, "g", &position, 1)); /* the last one */
    assert_false(has_group(store, "g"));
    assert_int_equal(committed_offset(store, "h", "t", 1), 4);
}

static void what_a_member_subscribes_to_is_not_deleted(void **state)
{
    rill *store = *state;
    rill_position from[] = {{"t", 0, -1, 4, NULL}, {"u", 0, -1, 3, NULL}};
    rill_consumer *member;

    make_topics(store);
    commit_positions(store, "g", from, 2);
    member = committer_open(store, "g");
    OK(rill_consumer_subscribe(member, topic_t, 1));
    FAILS(RILL_ERR_STATE, rill_group_offsets_delete(store, "g", from, 2));
    assert_non_null(strstr(rill_errmsg(), "subscribes to t"));
    assert_int_equal(committed_offset(store, "g", "t", 0), 4);
    assert_int_equal(committed_offset(store, "g", "u", 0), 3);
    OK(rill_group_offsets_delete(store, "g", from + 1, 1));
    assert_int_equal(committed_offset(store, "g", "u", 0), RILL_OFFSET_NONE);
    OK(rill_consumer_unsubscribe(member));
    OK(rill_group_offsets_delete(store, "g", from, 2));
    assert_false(has_group(store, "g"));
    OK(rill_consumer_close(member, 0));

    /* A group with members stays when nothing is committed any more. */
    commit_one_offset(store, "g", "u", 0, 1);
    member = committer_open(store, "g");
    OK(rill_consumer_subscribe(member, topic_t, 1));
    OK(rill_group_offsets_delete(store, "g", from + 1, 1));
    assert_true(has_group(store, "g"));
    OK(rill_consumer_close(member, 0));
}

/* ---- Without memory ---- */

static struct {
    int calls;
    int fail_at; /* 0: never */
} memory;

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    return ++memory.calls == memory.fail_at ? NULL : malloc(size);
}

static void *hook_resize(void *arg, void *block, size_t size)
{
    (void)arg;
    return ++memory.calls == memory.fail_at ? NULL : realloc(block, size);
}

static void hook_release(void *arg, void *block)
{
    (void)arg;
    free(block);
}

static int reset_all(rill *store)
{
    rill_group_reset_options options = reset_to(RILL_RESET_TO_LATEST, 0, NULL);
    return rill_group_reset(store, "g", &options);
}

static int reset_by_text(rill *store)
{
    return reset_from(store, "g", "t,0,10\nt,1,10\nu,0,5", 19, NULL);
}

static int list_all(rill *store)
{
    struct seen seen = {.text = ""};
    return rill_group_offsets(store, "g", see_offset, &seen);
}

static int delete_all(rill *store)
{
    rill_position all[] = {{.topic = "t", .partition = RILL_PARTITION_ANY}, {.topic = "u"}};
    return rill_group_offsets_delete(store, "g", all, 2);
}

static int maintain_all(rill *store)
{
    return rill_maintain(store, NULL);
}

/* Whatever fails has changed nothing. */
static void fail_each(int (*work)(rill *store), rill_offset before, rill_offset after)
{
    rill_options options = {.size = sizeof options,
                            .allocator = {hook_alloc, hook_resize, hook_release, NULL}};
    bool failed = true;

    for (int n = 1; failed; n++) {
        rill *store;
        int rc;

        OK(rill_open(test_path("store"), &options, &store));
        memory.calls = 0;
        memory.fail_at = n;
        rc = work(store);
        failed = memory.calls >= n;
        memory.fail_at = 0;
        if (rc != 0 || failed) {
            if (rc != 0) assert_int_equal(rc, RILL_ERR_NO_MEMORY);
            assert_int_equal(committed_offset(store, "g", "t", 0), rc == 0 ? after : before);
        }
        if (rc == 0 && before != after) {
            commit_one_offset(store, "g", "t", 0, before);
            commit_one_offset(store, "g", "u", 0, 1);
        }
        OK(rill_close(store));
    }
}

static void without_memory_nothing_changes(void **state)
{
    make_topics(*state);
    commit_one_offset(*state, "g", "t", 0, 1);
    commit_one_offset(*state, "g", "u", 0, 1);
    OK(rill_close(*state));
    *state = NULL;
    fail_each(list_all, 1, 1);
    fail_each(maintain_all, 1, 1);
    fail_each(reset_all, 1, 10);
    fail_each(reset_by_text, 1, 10);
    fail_each(delete_all, 1, RILL_OFFSET_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_STORE(offsets_are_listed_with_all_there_is),
                                       WITH_STORE(many_topics_are_told_apart),
                                       WITH_STORE(a_visit_may_change_what_it_is_shown),
                                       WITH_STORE(a_group_that_is_not_there_has_no_offsets),
                                       WITH_STORE(lag_is_summed_up),
                                       WITH_STORE(all_that_is_committed_is_reset),
                                       WITH_STORE(named_partitions_are_reset_and_no_others),
                                       WITH_STORE(many_partitions_are_reset_at_once),
                                       WITH_STORE(a_reset_goes_to_a_time),
                                       WITH_STORE(positions_go_to_offsets_of_their_own),
                                       WITH_STORE(a_reset_makes_a_group),
                                       WITH_STORE(a_group_with_members_is_not_reset),
                                       WITH_STORE(the_dead_are_no_members),
                                       WITH_STORE(what_cannot_be_reset_changes_nothing),
                                       WITH_STORE(what_is_written_as_text_is_read_again),
                                       WITH_STORE(text_may_have_many_forms),
                                       WITH_STORE(text_that_is_wrong_is_refused_with_its_place),
                                       WITH_STORE(what_is_deleted_is_gone_and_the_rest_stays),
                                       WITH_STORE(what_a_member_subscribes_to_is_not_deleted),
                                       WITH_STORE(without_memory_nothing_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
