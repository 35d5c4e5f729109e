/*
 * A consumer that reads alone. It starts where it is told, hands out every
 * record once and in order, is fair to its partitions, can be moved, paused
 * and asked where it is; what it handed out stays until its next poll; and what
 * is wrong with one partition leaves the others alone.
 */
#include "records.h"

/* ---- Where it starts ---- */

static void an_assigned_partition_is_read_from_where_it_is_told(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 5);
    consumer = test_consumer(store, "t", 0, RILL_OFFSET_EARLIEST);
    takes(consumer, 0, 5);
    OK(rill_consumer_close(consumer, 0));
    consumer = test_consumer(store, "t", 0, 3);
    takes(consumer, 3, 2);
    takes_nothing(consumer);
    OK(rill_consumer_close(consumer, 0));
    consumer = test_consumer(store, "t", 0, RILL_OFFSET_LATEST);
    takes_nothing(consumer);
    put(store, "t", 0, 5, 1);
    takes(consumer, 5, 1);
    OK(rill_consumer_close(consumer, 0));
}

static void no_offset_means_the_one_that_the_group_committed(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_EARLIEST};
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 5);
    consumer = consumer_open(store, &options);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes(consumer, 0, 3);
    OK(rill_consumer_commit(consumer, NULL, 0));
    OK(rill_consumer_close(consumer, 0));

    from.offset = RILL_OFFSET_NONE;
    consumer = consumer_open(store, &options);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes(consumer, 3, 2);
    OK(rill_consumer_close(consumer, 0));
}

static rill_consumer *reader_by_policy(rill *store, const char *group, enum rill_reset reset)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = group, .auto_offset_reset = reset};
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_NONE};
    rill_consumer *consumer = consumer_open(store, &options);

    OK(rill_consumer_assign(consumer, &from, 1));
    return consumer;
}

static void without_a_commit_the_reset_policy_decides(void **state)
{
    static const char *const groups[] = {"g", NULL};
    rill *store = *state;

    test_topic(store, "t", 1);
    for (int i = 0; i < 2; i++) {
        rill_consumer *earliest;
        rill_consumer *latest;
        put(store, "t", 0, i * 4, 3);
        earliest = reader_by_policy(store, groups[i], RILL_RESET_EARLIEST);
        latest = reader_by_policy(store, groups[i], RILL_RESET_LATEST);
        takes_nothing(latest);
        takes(earliest, 0, i * 4 + 3);
        put(store, "t", 0, i * 4 + 3, 1);
        takes(latest, i * 4 + 3, 1);
        OK(rill_consumer_close(earliest, 0));
        OK(rill_consumer_close(latest, 0));
    }
}

static void the_reset_policy_error_says_so(void **state)
{
    static const char *const topics[] = {"t"};
    rill *store = *state;
    rill_consumer_options options = {
        .size = sizeof options, .group = "g", .auto_offset_reset = RILL_RESET_ERROR};
    rill_consumer *consumer = consumer_open(store, &options);
    rill_record record;
    size_t count;

    test_topic(store, "t", 1);
    OK(rill_consumer_subscribe(consumer, topics, 1));
    FAILS(RILL_ERR_NO_OFFSET, rill_consumer_poll(consumer, WAIT_MS, &record, 1, &count));
    OK(rill_consumer_close(consumer, 0));
}

/* Until somebody says where to begin. */
static void the_reset_policy_error_stays_until_answered(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {
        .size = sizeof options, .group = "g", .auto_offset_reset = RILL_RESET_ERROR};
    rill_position from[2] = {{.topic = "t", .offset = RILL_OFFSET_NONE},
                             {.topic = "t", .partition = 1, .offset = RILL_OFFSET_NONE}};
    rill_position answer = {.topic = "t", .partition = 1, .offset = 2, .leader_epoch = -1};
    rill_consumer *consumer = consumer_open(store, &options);
    rill_offset offset;
    rill_record record;
    size_t count;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 3);
    put(store, "t", 1, 0, 3);
    OK(rill_consumer_assign(consumer, from, 2));
    for (int i = 0; i < 3; i++)
        FAILS(RILL_ERR_NO_OFFSET, rill_consumer_poll(consumer, 0, &record, 1, &count));
    OK(rill_consumer_position(consumer, "t", 0, &offset));
    assert_int_equal(offset, RILL_OFFSET_NONE);
    OK(rill_consumer_seek(consumer, "t", 0, 1));
    OK(rill_consumer_poll(consumer, 0, &record, 1, &count)); /* what can be read is */
    assert_int_equal(record.offset, 1);
    OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
    assert_int_equal(record.offset, 2);
    FAILS(RILL_ERR_NO_OFFSET, rill_consumer_poll(consumer, 0, &record, 1, &count));
    OK(rill_consumer_commit(consumer, &answer, 1));
    OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
    assert_int_equal(record.partition, 1);
    assert_int_equal(record.offset, 2);
    OK(rill_consumer_close(consumer, 0));
}

static void a_poll_that_returns_at_once_is_awake(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_record record;
    size_t count;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 1);
    consumer = test_consumer(store, "t", 0, 0);
    rill_consumer_wakeup(consumer);
    OK(rill_consumer_poll(consumer, WAIT_MS, &record, 1, &count));
    assert_int_equal(count, 1);
    put(store, "t", 0, 1, 1);
    OK(rill_consumer_poll(consumer, WAIT_MS, &record, 1, &count)); /* not woken once more */
    assert_int_equal(count, 1);
    OK(rill_consumer_close(consumer, 0));
}

static void only_what_exists_can_be_assigned(void **state)
{
    rill *store = *state;
    rill_consumer *consumer = consumer_open(store, NULL);
    rill_position none = {.topic = "none"};
    rill_position partition = {.topic = "t", .partition = 1};

    test_topic(store, "t", 1);
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_assign(consumer, &none, 1));
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_assign(consumer, &partition, 1));
    OK(rill_consumer_close(consumer, 0));
}

static void assigning_replaces_and_unsubscribing_drops(void **state)
{
    rill *store = *state;
    rill_position first = {.topic = "t", .partition = 0, .offset = 0};
    rill_position second = {.topic = "t", .partition = 1, .offset = 1};
    rill_position now[2];
    rill_consumer *consumer = consumer_open(store, NULL);
    size_t count;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 2);
    put(store, "t", 1, 10, 2);
    OK(rill_consumer_assign(consumer, &first, 1));
    OK(rill_consumer_assign(consumer, &second, 1));
    OK(rill_consumer_assignment(consumer, now, 2, &count));
    assert_int_equal(count, 1);
    assert_string_equal(now[0].topic, "t");
    assert_int_equal(now[0].partition, 1);
    assert_int_equal(now[0].offset, 1);
    takes(consumer, 11, 1);
    takes_nothing(consumer);
    OK(rill_consumer_unsubscribe(consumer));
    OK(rill_consumer_assignment(consumer, now, 2, &count));
    assert_int_equal(count, 0);
    OK(rill_consumer_close(consumer, 0));
}

static rill_consumer *reader_of_all(rill *store, const char *topic, int32_t partition_count)
{
    rill_consumer *consumer = consumer_open(store, NULL);
    rill_position from[8];

    assert_in_range(partition_count, 1, 8);
    for (int32_t p = 0; p < partition_count; p++)
        from[p] = (rill_position){.topic = topic, .partition = p, .offset = RILL_OFFSET_EARLIEST};
    OK(rill_consumer_assign(consumer, from, (size_t)partition_count));
    return consumer;
}

static void the_assignment_says_how_much_did_not_fit(void **state)
{
    rill *store = *state;
    rill_position now[2] = {{.partition = 7}, {.partition = 7}};
    rill_consumer *consumer;
    size_t count;

    test_topic(store, "t", 3);
    consumer = reader_of_all(store, "t", 3);
    OK(rill_consumer_assignment(consumer, now, 1, &count));
    assert_int_equal(count, 3);
    assert_int_not_equal(now[0].partition, 7);
    assert_int_equal(now[1].partition, 7);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- What a poll hands out ---- */

static void a_poll_gives_at_most_what_there_is_room_for(void **state)
{
    rill *store = *state;
    rill_record records[8];
    rill_consumer *consumer;
    int64_t next = 0;
    size_t count;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    consumer = test_consumer(store, "t", 0, 0);
    while (next < 10) {
        records[3].offset = 99;
        count = take(consumer, records, 3);
        for (size_t i = 0; i < count; i++) assert_int_equal(number_of(&records[i]), next++);
        assert_int_equal(records[3].offset, 99);
    }
    takes_nothing(consumer);
    FAILS(RILL_ERR_INVALID, rill_consumer_poll(consumer, 0, records, 0, &count));
    OK(rill_consumer_close(consumer, 0));
}

static void records_of_a_partition_come_in_order_over_segments(void **state)
{
    rill *store = *state;
    rill_record records[100];
    rill_consumer *consumer;
    int64_t next[3] = {0, 0, 0};
    size_t all = 0;

    test_topic(store, "t", 3);
    for (int32_t p = 0; p < 3; p++) put(store, "t", p, 0, 2000);
    consumer = reader_of_all(store, "t", 3);
    while (all < 6000) {
        size_t count = take(consumer, records, 100);
        for (size_t i = 0; i < count; i++) {
            const rill_record *record = &records[i];
            assert_string_equal(record->topic, "t");
            assert_in_range(record->partition, 0, 2);
            assert_int_equal(record->offset, next[record->partition]);
            assert_int_equal(number_of(record), next[record->partition]++);
        }
        all += count;
    }
    takes_nothing(consumer);
    OK(rill_consumer_close(consumer, 0));
}

static void every_partition_has_its_share_of_a_poll(void **state)
{
    rill *store = *state;
    rill_record records[12];
    rill_consumer *consumer;
    int seen[3] = {0};
    size_t count;

    test_topic(store, "t", 3);
    put(store, "t", 0, 0, 100);
    put(store, "t", 1, 0, 5);
    put(store, "t", 2, 0, 100);
    consumer = reader_of_all(store, "t", 3);
    count = take(consumer, records, 12);
    for (size_t i = 0; i < count; i++) seen[records[i].partition]++;
    for (int p = 0; p < 3; p++) assert_true(seen[p] > 0);
    OK(rill_consumer_close(consumer, 0));
}

static void polls_of_one_record_take_turns(void **state)
{
    rill *store = *state;
    rill_record record;
    rill_consumer *consumer;
    int seen[3] = {0};

    test_topic(store, "t", 3);
    for (int32_t p = 0; p < 3; p++) put(store, "t", p, 0, 10);
    consumer = reader_of_all(store, "t", 3);
    for (int i = 0; i < 9; i++) {
        take(consumer, &record, 1);
        seen[record.partition]++;
    }
    for (int p = 0; p < 3; p++) assert_int_equal(seen[p], 3);
    OK(rill_consumer_close(consumer, 0));
}

static void records_stay_until_the_next_poll(void **state)
{
    rill *store = *state;
    rill_record records[10];
    rill_consumer *consumer;
    size_t count;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10);
    consumer = test_consumer(store, "t", 0, 0);
    count = take(consumer, records, 10);
    put(store, "t", 0, 10, 3000); /* rolls segments */
    OK(rill_sync(store, WAIT_MS));
    OK(rill_maintain(store, NULL));
    for (size_t i = 0; i < count; i++) assert_int_equal(number_of(&records[i]), i);
    OK(rill_topic_delete(store, "t"));
    for (size_t i = 0; i < count; i++) assert_int_equal(number_of(&records[i]), i);
    OK(rill_consumer_close(consumer, 0));
}

static void headers_are_asked_for_one_by_one(void **state)
{
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_header headers[] = {{{"same", 4}, {"1", 1}}, {{"same", 4}, {NULL, 0}}};
    int64_t number = 1;
    rill_record record = record_of(&number);
    rill_producer *producer;
    rill_consumer *consumer;
    rill_header header;

    test_topic(store, "t", 1);
    record.headers = headers;
    record.header_count = 2;
    OK(rill_producer_open(store, &options, &producer));
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
    consumer = test_consumer(store, "t", 0, 0);
    take(consumer, &record, 1);
    assert_int_equal(record.header_count, 2);
    assert_null(record.headers);
    for (size_t i = 0; i < 2; i++) {
        OK(rill_record_header(&record, i, &header));
        assert_int_equal(header.name.size, 4);
        assert_memory_equal(header.name.data, "same", 4);
        assert_int_equal(header.value.size, i == 0 ? 1 : 0);
        assert_true((header.value.data == NULL) == (i == 1));
    }
    FAILS(RILL_ERR_RANGE, rill_record_header(&record, 2, &header));
    OK(rill_consumer_close(consumer, 0));
}

static void checksums_and_spinning_are_a_choice(void **state)
{
    rill *store = *state;
    rill_consumer_options options = {
        .size = sizeof options, .flags = RILL_CONSUMER_NO_CHECKSUMS, .spin_us = 100};
    rill_position from = {.topic = "t", .offset = 0};
    rill_record record;
    rill_consumer *consumer = consumer_open(store, &options);
    size_t count = 1;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 5);
    OK(rill_consumer_assign(consumer, &from, 1));
    takes(consumer, 0, 5);
    OK(rill_consumer_poll(consumer, 1, &record, 1, &count));
    assert_int_equal(count, 0);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Moving about ---- */

static void a_seek_moves_the_next_poll(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 10);
    consumer = test_consumer(store, "t", 0, 0);
    takes(consumer, 0, 4);
    OK(rill_consumer_seek(consumer, "t", 0, 8));
    takes(consumer, 8, 2);
    OK(rill_consumer_seek(consumer, "t", 0, 2));
    takes(consumer, 2, 3);
    OK(rill_consumer_seek(consumer, "t", 0, RILL_OFFSET_EARLIEST));
    takes(consumer, 0, 1);
    OK(rill_consumer_seek(consumer, "t", 0, RILL_OFFSET_LATEST));
    takes_nothing(consumer);
    OK(rill_consumer_seek(consumer, "t", 0, 10)); /* the log end is a place */
    takes_nothing(consumer);
    put(store, "t", 0, 10, 1);
    takes(consumer, 10, 1);
    OK(rill_consumer_close(consumer, 0));
}

static void a_seek_into_a_batch_begins_at_the_record(void **state)
{
    rill *store = *state;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    int64_t numbers[10];
    rill_record records[10];
    rill_producer *producer;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    for (int i = 0; i < 10; i++) {
        numbers[i] = i;
        records[i] = record_of(&numbers[i]);
    }
    OK(rill_producer_open(store, &options, &producer));
    OK(rill_producer_append(producer, records, 10, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
    consumer = test_consumer(store, "t", 0, 6);
    takes(consumer, 6, 2);
    OK(rill_consumer_seek(consumer, "t", 0, 3));
    takes(consumer, 3, 7);
    OK(rill_consumer_close(consumer, 0));
}

static void a_seek_out_of_the_log_changes_nothing(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 10);
    consumer = test_consumer(store, "t", 0, 4);
    FAILS(RILL_ERR_RANGE, rill_consumer_seek(consumer, "t", 0, 11));
    FAILS(RILL_ERR_RANGE, rill_consumer_seek(consumer, "t", 0, -9));
    FAILS(RILL_ERR_STATE, rill_consumer_seek(consumer, "t", 1, 0));
    FAILS(RILL_ERR_STATE, rill_consumer_seek(consumer, "other", 0, 0));
    takes(consumer, 4, 6);
    OK(rill_consumer_close(consumer, 0));
}

static void put_at_times(rill *store, const int64_t *times, int count)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_producer *producer;

    OK(rill_producer_open(store, &options, &producer));
    for (int64_t n = 0; n < count; n++) {
        rill_record record = record_of(&n);
        record.timestamp_ms = times[n];
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
}

static void a_seek_to_a_time_finds_the_first_record_since(void **state)
{
    static const int64_t times[] = {1000, 2000, 2000, 5000, 4000, 6000};
    static const struct {
        int64_t time_ms;
        int64_t first;
    } cases[] = {{0, 0},    {1000, 0}, {1001, 1}, {2000, 1},
                 {2001, 3}, {4500, 3}, {5001, 5}, {6000, 5}};
    rill *store = *state;
    rill_consumer *consumer;
    rill_offset position;

    test_topic(store, "t", 1);
    put_at_times(store, times, 6);
    consumer = test_consumer(store, "t", 0, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OK(rill_consumer_seek_time(consumer, "t", 0, cases[i].time_ms));
        takes(consumer, cases[i].first, 1);
    }
    OK(rill_consumer_seek_time(consumer, "t", 0, 6001));
    OK(rill_consumer_position(consumer, "t", 0, &position));
    assert_int_equal(position, 6);
    FAILS(RILL_ERR_STATE, rill_consumer_seek_time(consumer, "t", 1, 0));
    OK(rill_consumer_close(consumer, 0));
}

static void a_paused_partition_is_skipped(void **state)
{
    rill *store = *state;
    rill_position now[2];
    rill_record record;
    rill_consumer *consumer;
    size_t count;

    test_topic(store, "t", 2);
    put(store, "t", 0, 0, 3);
    put(store, "t", 1, 0, 3);
    consumer = reader_of_all(store, "t", 2);
    OK(rill_consumer_pause(consumer, "t", 1));
    for (int i = 0; i < 3; i++) {
        take(consumer, &record, 1);
        assert_int_equal(record.partition, 0);
    }
    takes_nothing(consumer);
    OK(rill_consumer_assignment(consumer, now, 2, &count));
    assert_int_equal(count, 2);
    OK(rill_consumer_resume(consumer, "t", 1));
    takes(consumer, 0, 3);
    FAILS(RILL_ERR_STATE, rill_consumer_pause(consumer, "t", 2));
    FAILS(RILL_ERR_STATE, rill_consumer_resume(consumer, "other", 0));
    OK(rill_consumer_close(consumer, 0));
}

static void is_at(rill_consumer *consumer, rill_offset position, int64_t lag)
{
    rill_offset offset;
    int64_t left;

    OK(rill_consumer_position(consumer, "t", 0, &offset));
    OK(rill_consumer_lag(consumer, "t", 0, &left));
    assert_int_equal(offset, position);
    assert_int_equal(left, lag);
}

static void position_and_lag_follow_what_is_read(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_offset offset = 77;
    int64_t lag;

    test_topic(store, "t", 2);
    consumer = test_consumer(store, "t", 0, RILL_OFFSET_EARLIEST);
    is_at(consumer, 0, 0);
    put(store, "t", 0, 0, 10);
    is_at(consumer, 0, 10);
    takes(consumer, 0, 4);
    is_at(consumer, 4, 6);
    OK(rill_consumer_pause(consumer, "t", 0));
    is_at(consumer, 4, 6);
    OK(rill_consumer_seek(consumer, "t", 0, 9));
    is_at(consumer, 9, 1);
    FAILS(RILL_ERR_STATE, rill_consumer_position(consumer, "t", 1, &offset));
    FAILS(RILL_ERR_STATE, rill_consumer_lag(consumer, "t", 1, &lag));
    assert_int_equal(offset, 77);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Only what is durable ---- */

/* NULL where the file system promises nothing. */
static rill_consumer *durable_reader(rill *store)
{
    rill_consumer_options options = {.size = sizeof options, .isolation = RILL_READ_DURABLE};
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_EARLIEST};
    rill_consumer *consumer;
    int rc = rill_consumer_open(store, &options, &consumer);

    if (rc == RILL_ERR_UNSUPPORTED) return NULL;
    OK(rc);
    OK(rill_consumer_assign(consumer, &from, 1));
    return consumer;
}

static void a_durable_reader_sees_what_was_synced(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;

    test_topic(store, "t", 1);
    consumer = durable_reader(store);
    if (consumer == NULL) skip();
    put(store, "t", 0, 0, 3);
    takes_nothing(consumer);
    is_at(consumer, 0, 0);
    OK(rill_sync(store, WAIT_MS));
    is_at(consumer, 0, 3);
    put(store, "t", 0, 3, 1);
    takes(consumer, 0, 3);
    takes_nothing(consumer);
    OK(rill_consumer_close(consumer, 0));
}

static void *sync_store(void *store)
{
    thread_ok(rill_sync(store, WAIT_MS), "rill_sync");
    return NULL;
}

static void a_sync_wakes_a_durable_reader(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    pthread_t thread;

    test_topic(store, "t", 1);
    consumer = durable_reader(store);
    if (consumer == NULL) skip();
    put(store, "t", 0, 0, 1);
    thread = thread_start(sync_store, store);
    takes(consumer, 0, 1);
    thread_join(thread);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Topics that go away ---- */

static rill_consumer *reader_of_two_topics(rill *store)
{
    rill_position from[] = {{.topic = "bad", .offset = 0}, {.topic = "good", .offset = 0}};
    rill_consumer *consumer = consumer_open(store, NULL);

    OK(rill_consumer_assign(consumer, from, 2));
    return consumer;
}

static void a_deleted_topic_is_reported_and_the_others_are_read(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_record record;
    int64_t next = 0;
    bool told = false;
    size_t count;

    test_topic(store, "bad", 1);
    test_topic(store, "good", 1);
    put(store, "bad", 0, 100, 3);
    put(store, "good", 0, 0, 3);
    consumer = reader_of_two_topics(store);
    OK(rill_topic_delete(store, "bad"));
    for (int i = 0; i < 10 && (next < 3 || !told); i++) {
        int rc = rill_consumer_poll(consumer, 0, &record, 1, &count);
        if (rc == RILL_ERR_NOT_FOUND) {
            told = true;
            continue;
        }
        OK(rc);
        if (count == 1) assert_int_equal(number_of(&record), next++);
    }
    assert_int_equal(next, 3);
    assert_true(told);
    OK(rill_consumer_close(consumer, 0));
}

static void *delete_topic(void *store)
{
    thread_ok(rill_topic_delete(store, "t"), "delete");
    return NULL;
}

static void deleting_a_topic_ends_a_poll_that_waits(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_record record;
    pthread_t thread;
    size_t count;

    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    thread = thread_start(delete_topic, store);
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_poll(consumer, RILL_FOREVER, &record, 1, &count));
    thread_join(thread);
    OK(rill_consumer_close(consumer, 0));
}

static void a_topic_made_again_is_another_one(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_consumer *fresh;
    rill_record record;
    size_t count;

    test_topic(store, "t", 1);
    put(store, "t", 0, 100, 3);
    consumer = test_consumer(store, "t", 0, 0);
    OK(rill_topic_delete(store, "t"));
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 1);
    FAILS(RILL_ERR_NOT_FOUND, rill_consumer_poll(consumer, 0, &record, 1, &count));
    fresh = test_consumer(store, "t", 0, RILL_OFFSET_EARLIEST);
    takes(fresh, 0, 1);
    OK(rill_consumer_close(fresh, 0));
    OK(rill_consumer_close(consumer, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(an_assigned_partition_is_read_from_where_it_is_told),
        WITH_STORE(no_offset_means_the_one_that_the_group_committed),
        WITH_STORE(without_a_commit_the_reset_policy_decides),
        WITH_STORE(the_reset_policy_error_says_so),
        WITH_STORE(the_reset_policy_error_stays_until_answered),
        WITH_STORE(a_poll_that_returns_at_once_is_awake),
        WITH_STORE(only_what_exists_can_be_assigned),
        WITH_STORE(assigning_replaces_and_unsubscribing_drops),
        WITH_STORE(the_assignment_says_how_much_did_not_fit),
        WITH_STORE(a_poll_gives_at_most_what_there_is_room_for),
        WITH_STORE(records_of_a_partition_come_in_order_over_segments),
        WITH_STORE(every_partition_has_its_share_of_a_poll),
        WITH_STORE(polls_of_one_record_take_turns),
        WITH_STORE(records_stay_until_the_next_poll),
        WITH_STORE(headers_are_asked_for_one_by_one),
        WITH_STORE(checksums_and_spinning_are_a_choice),
        WITH_STORE(a_seek_moves_the_next_poll),
        WITH_STORE(a_seek_into_a_batch_begins_at_the_record),
        WITH_STORE(a_seek_out_of_the_log_changes_nothing),
        WITH_STORE(a_seek_to_a_time_finds_the_first_record_since),
        WITH_STORE(a_paused_partition_is_skipped),
        WITH_STORE(position_and_lag_follow_what_is_read),
        WITH_STORE(a_durable_reader_sees_what_was_synced),
        WITH_STORE(a_sync_wakes_a_durable_reader),
        WITH_STORE(a_deleted_topic_is_reported_and_the_others_are_read),
        WITH_STORE(deleting_a_topic_ends_a_poll_that_waits),
        WITH_STORE(a_topic_made_again_is_another_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
