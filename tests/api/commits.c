/*
 * What a consumer commits: what its polls handed out, or the positions it names, all
 * of them or none; when it asks for it, by interval, when it is closed, or later, on
 * the store's thread; and the next member goes on from there, also when the store was
 * closed meanwhile.
 */
#include "members.h"
#include "records.h"

/* ---- At once ---- */

static void a_commit_covers_what_polls_handed_out(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_consumer *consumer;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 10);
    consumer = member_open(store, &options);
    settle(consumer, 2, NULL, 0);
    OK(rill_consumer_seek(consumer, "t", 0, 0));
    takes(consumer, 0, 4);
    assert_int_equal(committed_of(consumer, 0), RILL_OFFSET_NONE);
    OK(rill_consumer_commit(consumer, NULL, 0));
    assert_int_equal(committed_of(consumer, 0), 4);
    takes(consumer, 4, 1);
    assert_int_equal(committed_of(consumer, 0), 4);
    OK(rill_consumer_close(consumer, WAIT_MS));

    consumer = member_open(store, &options);
    takes(consumer, 4, 6);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void a_commit_of_positions_covers_these(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position positions[] = {
        {.topic = "t", .partition = 0, .offset = 2, .leader_epoch = -1},
        {.topic = "t", .partition = 1, .offset = 5, .leader_epoch = -1, .metadata = "so far"},
    };
    rill_position position;
    char metadata[RILL_METADATA_MAX];
    rill_consumer *consumer;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 10);
    put(store, "t", 1, 0, 10);
    consumer = member_open(store, &options);
    settle(consumer, 2, NULL, 0);
    OK(rill_consumer_commit(consumer, positions, 2));
    OK(rill_consumer_committed(consumer, "t", 0, &position, metadata, sizeof metadata));
    assert_int_equal(position.offset, 2);
    assert_null(position.metadata);
    OK(rill_consumer_committed(consumer, "t", 1, &position, metadata, sizeof metadata));
    assert_int_equal(position.offset, 5);
    assert_ptr_equal(position.metadata, metadata);
    assert_string_equal(metadata, "so far");
    OK(rill_consumer_committed(consumer, "t", 1, &position, metadata, 7));
    FAILS(RILL_ERR_TOO_BIG, rill_consumer_committed(consumer, "t", 1, &position, metadata, 6));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void metadata_is_limited(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_consumer *consumer = consumer_open(store, &options);
    char text[RILL_METADATA_MAX + 2];
    char back[RILL_METADATA_MAX + 1];
    rill_position position = {.topic = "t", .metadata = text};

    test_topic(store, "t", 1);
    memset(text, 'm', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    FAILS(RILL_ERR_TOO_BIG, rill_consumer_commit(consumer, &position, 1));
    text[RILL_METADATA_MAX] = '\0';
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_committed(consumer, "t", 0, &position, back, sizeof back));
    assert_string_equal(back, text);
    OK(rill_consumer_close(consumer, 0));
}

static void long_metadata_comes_back_whole(void **state)
{
    static char text[RILL_METADATA_MAX];
    static char metadata[RILL_METADATA_MAX + 1];
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position position = {.topic = "t", .offset = 1, .metadata = text};
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 1);
    memset(text, 'x', sizeof text - 1);
    consumer = consumer_open(store, &options);
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_committed(consumer, "t", 0, &position, metadata, sizeof metadata));
    assert_string_equal(metadata, text);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void a_commit_is_of_all_its_positions_or_none(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position positions[] = {{.topic = "t", .partition = 0, .offset = 2},
                                 {.topic = "t", .partition = 1, .offset = 11}};
    rill_consumer *consumer;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 10);
    put(store, "t", 1, 0, 10);
    consumer = member_open(store, &options);
    settle(consumer, 2, NULL, 0);
    FAILS(RILL_ERR_RANGE, rill_consumer_commit(consumer, positions, 2));
    assert_int_equal(committed_of(consumer, 0), RILL_OFFSET_NONE);
    assert_int_equal(committed_of(consumer, 1), RILL_OFFSET_NONE);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void what_was_assigned_by_hand_is_committed_on_close(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_NONE};
    rill_position position;
    rill_consumer *consumer;
    rill_record records[4];
    size_t count;

    options.auto_commit_interval_ms = 3600000;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 4);
    consumer = consumer_open(store, &options);
    OK(rill_consumer_assign(consumer, &from, 1));
    OK(rill_consumer_poll(consumer, 0, records, 3, &count));
    OK(rill_consumer_close(consumer, 0));
    consumer = consumer_open(store, &options);
    OK(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
    assert_int_equal(position.offset, 3);
    OK(rill_consumer_close(consumer, 0));
}

static void without_a_group_there_is_nothing_to_commit_to(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_position position = {.topic = "t"};

    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    FAILS(RILL_ERR_STATE, rill_consumer_subscribe(consumer, topic_t, 1));
    FAILS(RILL_ERR_STATE, rill_consumer_commit(consumer, NULL, 0));
    FAILS(RILL_ERR_STATE, rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
}

static void auto_commit_commits_by_interval(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    struct patience patience = {0};
    rill_consumer *consumer;

    options.auto_commit_interval_ms = 1;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 5);
    consumer = member_open(store, &options);
    takes(consumer, 0, 5);
    while (committed_of(consumer, 0) != 5) {
        takes_nothing(consumer);
        wait_a_little(&patience);
    }
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void closing_commits_only_with_auto_commit(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    consumer = member_open(store, &options);
    takes(consumer, 0, 3);
    OK(rill_consumer_close(consumer, WAIT_MS));

    options.auto_commit_interval_ms = 3600000;
    consumer = member_open(store, &options);
    takes(consumer, 0, 6);
    OK(rill_consumer_close(consumer, WAIT_MS));

    consumer = member_open(store, &options);
    takes(consumer, 6, 1);
    OK(rill_consumer_unsubscribe(consumer)); /* leaves, committing first */
    assert_int_equal(committed_of(consumer, 0), 7);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void a_group_goes_on_after_the_store_was_reopened(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_group_info before;
    rill_group_info after;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    consumer = member_open(store, &options);
    takes(consumer, 0, 6);
    OK(rill_consumer_commit(consumer, NULL, 0));
    OK(rill_consumer_close(consumer, WAIT_MS));
    OK(rill_group_describe(store, "g", &before));
    OK(rill_close(store));

    store = *state = test_store_open();
    consumer = member_open(store, &options);
    takes(consumer, 6, 4);
    OK(rill_group_describe(store, "g", &after));
    assert_true(after.generation > before.generation);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* ---- Told later ---- */

struct told {
    int count;
    int statuses[10];
    rill_offset offsets[10];
    char metadata[20];
};

static void note_told(void *arg, rill_consumer *consumer, int status,
                      const rill_position *positions, size_t count)
{
    struct told *told = arg;
    rill_record record;
    size_t got;

    assert_int_equal(count, 1);
    assert_string_equal(positions[0].topic, "t");
    assert_in_range(told->count, 0, 9);
    told->statuses[told->count] = status;
    told->offsets[told->count++] = positions[0].offset;
    if (positions[0].metadata != NULL)
        snprintf(told->metadata, sizeof told->metadata, "%s", positions[0].metadata);
    FAILS(RILL_ERR_STATE, rill_consumer_poll(consumer, 0, &record, 1, &got));
}

static void a_commit_may_be_told_later(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    char metadata[] = "words";
    rill_position position = {.topic = "t", .offset = 2, .metadata = metadata};
    struct told told = {.count = 0};
    rill_consumer *a;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    a = member_open(store, &options);
    settle(a, 1, NULL, 0);
    OK(rill_consumer_seek(a, "t", 0, 0));
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    memset(metadata, 'x', 5); /* it was copied */
    position.offset = 5;
    position.metadata = NULL;
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    assert_int_equal(told.count, 0);
    assert_int_equal(committed_of(a, 0), RILL_OFFSET_NONE);
    position.offset = 11;
    FAILS(RILL_ERR_RANGE, rill_consumer_commit_async(a, &position, 1, note_told, &told));
    position.offset = 4;
    OK(rill_consumer_commit(a, &position, 1)); /* behind the others */
    assert_int_equal(told.count, 2);
    assert_int_equal(told.offsets[0], 2);
    assert_string_equal(told.metadata, "words");
    assert_int_equal(told.offsets[1], 5);
    assert_int_equal(committed_of(a, 0), 4);
    takes(a, 0, 3);
    OK(rill_consumer_commit_async(a, NULL, 0, note_told, &told));
    OK(poll_once(a));
    assert_int_equal(told.count, 3);
    assert_int_equal(told.statuses[2], 0);
    assert_int_equal(committed_of(a, 0), 3);
    for (int i = 0; i < 1000; i++) OK(rill_consumer_commit_async(a, &position, 1, NULL, NULL));
    FAILS(RILL_ERR_FULL, rill_consumer_commit_async(a, &position, 1, NULL, NULL));
    OK(poll_once(a));
    assert_int_equal(committed_of(a, 0), 4);
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    OK(rill_consumer_close(a, WAIT_MS));
    assert_int_equal(told.count, 4);
}

static void a_commit_of_what_was_lost_meanwhile_is_refused(void **state)
{
    rill *store = *state;
    rill_consumer_options options = member_options("g");
    rill_position position = {.topic = "t", .offset = 2};
    struct told told = {.count = 0};
    rill_consumer *a;
    rill_consumer *b;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    options.group_instance_id = "one";
    a = member_open(store, &options);
    settle(a, 1, NULL, 0);
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    b = member_open(store, &options); /* takes its place */
    FAILS(RILL_ERR_FENCED, poll_once(a));
    assert_int_equal(told.count, 1);
    assert_int_equal(told.statuses[0], RILL_ERR_FENCED);
    assert_int_equal(committed_of(b, 0), RILL_OFFSET_NONE);
    OK(rill_consumer_close(b, WAIT_MS));
    OK(rill_consumer_close(a, WAIT_MS));
}

static void the_stores_thread_commits_what_was_queued(void **state)
{
    rill *store;
    rill_options open_options = {.size = sizeof open_options,
                                 .flags = RILL_OPEN_CREATE | RILL_OPEN_THREAD};
    rill_consumer_options options = member_options("g");
    rill_position position = {.topic = "t", .offset = 2};
    struct told told = {.count = 0};
    struct patience patience = {0};
    rill_consumer *a;

    OK(rill_close(*state));
    OK(rill_open(test_path("store"), &open_options, &store));
    *state = store;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    a = member_open(store, &options);
    settle(a, 1, NULL, 0);
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    while (committed_of(a, 0) != 2) wait_a_little(&patience); /* without a poll */
    assert_int_equal(told.count, 0);
    while (told.count == 0) OK(poll_once(a));
    OK(rill_consumer_commit_async(a, &position, 1, note_told, &told));
    OK(rill_consumer_close(a, WAIT_MS));
    assert_int_equal(told.count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_commit_covers_what_polls_handed_out),
        WITH_STORE(a_commit_of_positions_covers_these),
        WITH_STORE(metadata_is_limited),
        WITH_STORE(long_metadata_comes_back_whole),
        WITH_STORE(a_commit_is_of_all_its_positions_or_none),
        WITH_STORE(what_was_assigned_by_hand_is_committed_on_close),
        WITH_STORE(without_a_group_there_is_nothing_to_commit_to),
        WITH_STORE(auto_commit_commits_by_interval),
        WITH_STORE(closing_commits_only_with_auto_commit),
        WITH_STORE(a_group_goes_on_after_the_store_was_reopened),
        WITH_STORE(a_commit_may_be_told_later),
        WITH_STORE(a_commit_of_what_was_lost_meanwhile_is_refused),
        WITH_STORE(the_stores_thread_commits_what_was_queued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
