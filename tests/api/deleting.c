/*
 * Records that were deleted are gone for everybody: in every process, after every
 * restart. Who has not read them goes on where its auto_offset_reset says, alone or
 * in a group, and is told so; what was handed out stays until the next poll.
 */
#include "records.h"
#include <sys/wait.h>

#define BIG 30000 /* bytes of a record; a segment of 64 KiB holds two */

static char said[500];

static void hear(void *arg, int level, const char *line)
{
    (void)arg;
    if (level <= RILL_LOG_WARNING) snprintf(said, sizeof said, "%s", line);
}

static int set_up(void **state)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE, .log = hear};
    rill *store;

    said[0] = '\0';
    test_directory();
    OK(rill_open(test_path("store"), &options, &store));
    *state = store;
    return 0;
}

#define WITH_EARS(test) cmocka_unit_test_setup_teardown(test, set_up, store_tear_down)

/* Records 0 to count - 1, two in a segment. */
static void fill(rill *store, const char *topic, int count)
{
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 64 << 10};

    OK(rill_topic_create(store, topic, &options));
    test_store_append(store, topic, 0, count, BIG);
}

static rill_partition_info describe(rill *store)
{
    rill_partition_info info;

    OK(rill_partition_describe(store, "t", 0, &info));
    return info;
}

static rill_offset delete_before(rill *store, rill_offset before)
{
    rill_offset start = -5;

    OK(rill_partition_delete_records(store, "t", 0, before, &start));
    assert_int_equal(describe(store).log_start, start);
    return start;
}

static rill_consumer *open_with(rill *store, const char *group, int32_t reset)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = group, .auto_offset_reset = reset};
    return consumer_open(store, &options);
}

static void assign(rill_consumer *consumer, rill_offset offset)
{
    rill_position position = {"t", 0, -1, offset, NULL};
    OK(rill_consumer_assign(consumer, &position, 1));
}

static rill_offset position_of(rill_consumer *consumer)
{
    rill_offset offset;
    OK(rill_consumer_position(consumer, "t", 0, &offset));
    return offset;
}

/* Polls for records, until there are some: they begin at offset. */
static void takes_from(rill_consumer *consumer, rill_offset offset)
{
    rill_record records[8];
    size_t count = take(consumer, records, 1);

    assert_int_equal(count, 1);
    assert_int_equal(records[0].offset, offset);
    assert_int_equal(atoi(records[0].value.data), offset);
}

/* ---- */

static void deleted_records_free_their_segments(void **state)
{
    rill *store = *state;
    rill_partition_info before;

    fill(store, "t", 10);
    before = describe(store);
    assert_int_equal(before.segment_count, 5);
    assert_int_equal(delete_before(store, 5), 5);
    assert_int_equal(describe(store).segment_count, 3);
    assert_true(describe(store).segment_bytes < before.segment_bytes);
    assert_int_equal(delete_before(store, 3), 5); /* it does not come back */
    assert_int_equal(delete_before(store, RILL_OFFSET_LATEST), 10);
    assert_int_equal(describe(store).log_end, 10);
    assert_int_equal(describe(store).segment_count, 1);
    test_store_append(store, "t", 10, 1, BIG);
    OK(rill_close(store));
    *state = store = test_store_open();
    assert_int_equal(describe(store).log_start, 10);
    assert_int_equal(describe(store).log_end, 11);
}

static void what_cannot_be_deleted_is_refused(void **state)
{
    rill *store = *state;
    rill_offset start = 77;

    fill(store, "t", 3);
    FAILS(RILL_ERR_RANGE, rill_partition_delete_records(store, "t", 0, 4, &start));
    FAILS(RILL_ERR_RANGE, rill_partition_delete_records(store, "t", 0, -1, &start));
    FAILS(RILL_ERR_RANGE, rill_partition_delete_records(store, "t", 0, -3, &start));
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_delete_records(store, "t", 1, 1, &start));
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_delete_records(store, "t", -1, 1, &start));
    FAILS(RILL_ERR_NOT_FOUND, rill_partition_delete_records(store, "none", 0, 1, &start));
    FAILS(RILL_ERR_INVALID, rill_partition_delete_records(store, NULL, 0, 1, &start));
    FAILS(RILL_ERR_INVALID, rill_partition_delete_records(NULL, "t", 0, 1, &start));
    assert_int_equal(start, 77);
    assert_int_equal(describe(store).log_start, 0);
    OK(rill_partition_delete_records(store, "t", 0, 1, NULL));
    assert_int_equal(describe(store).log_start, 1);
}

static void earliest_goes_on_at_the_new_start(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;

    fill(store, "t", 10);
    consumer = open_with(store, NULL, RILL_RESET_EARLIEST);
    assign(consumer, 0);
    takes_from(consumer, 0);
    delete_before(store, 7);
    takes_from(consumer, 1); /* it is in the segment that it has begun */
    takes_from(consumer, 7);
    assert_non_null(strstr(said, "t-0: the records from offset 2 on were deleted"));
    assert_non_null(strstr(said, "goes on at 7"));
    takes_from(consumer, 8);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void latest_goes_on_at_the_end(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;

    fill(store, "t", 10);
    consumer = open_with(store, NULL, RILL_RESET_LATEST);
    assign(consumer, 0);
    takes_from(consumer, 0);
    takes_from(consumer, 1);
    delete_before(store, 7);
    takes_nothing(consumer);
    assert_int_equal(position_of(consumer), 10);
    test_store_append(store, "t", 10, 1, BIG);
    takes_from(consumer, 10);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void error_is_told_with_the_new_start(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_record records[4];
    rill_position both[2] = {{"t", 0, -1, 0, NULL}, {"u", 0, -1, 0, NULL}};
    size_t count = 0;
    size_t from_u = 0;

    fill(store, "t", 10);
    fill(store, "u", 5);
    consumer = open_with(store, NULL, RILL_RESET_ERROR);
    assign(consumer, 2);
    delete_before(store, 7);
    takes_from(consumer, 2);
    takes_from(consumer, 3);
    for (int i = 0; i < 2; i++) {
        FAILS(RILL_ERR_RANGE, rill_consumer_poll(consumer, 0, records, 4, &count));
        assert_non_null(strstr(rill_errmsg(), "offset 4"));
        assert_non_null(strstr(rill_errmsg(), "begins at 7"));
    }
    assert_int_equal(position_of(consumer), 4);
    OK(rill_consumer_seek(consumer, "t", 0, RILL_OFFSET_EARLIEST));
    takes_from(consumer, 7);
    /* Beside it others are read, and it is told when they have nothing. */
    both[0].offset = 7;
    OK(rill_consumer_assign(consumer, both, 2));
    delete_before(store, RILL_OFFSET_LATEST);
    for (;;) {
        int rc = rill_consumer_poll(consumer, 0, records, 4, &count);
        if (rc == RILL_ERR_RANGE && from_u == 5) break;
        if (rc != RILL_ERR_RANGE) OK(rc);
        for (size_t i = 0; rc == 0 && i < count; i++)
            from_u += strcmp(records[i].topic, "u") == 0;
    }
    assert_non_null(strstr(rill_errmsg(), "begins at 10"));
    FAILS(RILL_ERR_RANGE, rill_consumer_seek(consumer, "t", 0, 9));
    assert_non_null(strstr(rill_errmsg(), "begins at 10"));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void records_handed_out_stay(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_record records[10];
    size_t count;

    fill(store, "t", 10);
    consumer = open_with(store, NULL, RILL_RESET_EARLIEST);
    assign(consumer, 0);
    count = take(consumer, records, 10);
    assert_true(count >= 2);
    delete_before(store, RILL_OFFSET_LATEST);
    OK(rill_maintain(store, NULL));
    for (size_t i = 0; i < count; i++) {
        const char *value = records[i].value.data;
        assert_int_equal(atoi(value), i);
        for (size_t at = 8; at < BIG; at++) assert_int_equal(value[at], '.');
    }
    takes_nothing(consumer);
    assert_int_equal(position_of(consumer), 10);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* Records and the loss in one poll: first the records. */
static void reset_waits_for_what_was_handed_out(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_record records[10];
    size_t count;

    fill(store, "t", 10);
    consumer = open_with(store, NULL, RILL_RESET_EARLIEST);
    assign(consumer, 0);
    takes_from(consumer, 0);
    delete_before(store, 6);
    OK(rill_consumer_poll(consumer, 0, records, 10, &count));
    assert_int_equal(count, 1);
    assert_int_equal(records[0].offset, 1);
    assert_int_equal(atoi(records[0].value.data), 1);
    takes_from(consumer, 6);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void commit_at(rill *store, const char *group, rill_offset offset)
{
    rill_consumer *consumer = open_with(store, group, RILL_RESET_EARLIEST);
    rill_position position = {"t", 0, -1, offset, NULL};

    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void committed_offset_below_the_start_is_reset(void **state)
{
    static const char *const topics[] = {"t"};
    static const int32_t resets[] = {RILL_RESET_EARLIEST, RILL_RESET_LATEST, RILL_RESET_ERROR};
    rill *store = *state;
    char group[8] = "g0";

    fill(store, "t", 10);
    for (int i = 0; i < 3; i++) {
        group[1] = (char)('0' + i);
        commit_at(store, group, 3);
    }
    delete_before(store, 5);
    for (int i = 0; i < 3; i++) {
        rill_consumer *consumer;
        rill_record records[4];
        size_t count;

        group[1] = (char)('0' + i);
        consumer = open_with(store, group, resets[i]);
        OK(rill_consumer_subscribe(consumer, topics, 1));
        if (resets[i] == RILL_RESET_EARLIEST) {
            takes_from(consumer, 5);
            OK(rill_consumer_commit(consumer, NULL, 0));
        } else if (resets[i] == RILL_RESET_LATEST) {
            takes_nothing(consumer);
            assert_int_equal(position_of(consumer), 10);
        } else {
            FAILS(RILL_ERR_RANGE, rill_consumer_poll(consumer, WAIT_MS, records, 4, &count));
            assert_non_null(strstr(rill_errmsg(), "committed offset 3 is outside [5, 10]"));
        }
        OK(rill_consumer_close(consumer, WAIT_MS));
    }
}

static void member_of_a_group_follows_its_reset(void **state)
{
    static const char *const topics[] = {"t"};
    rill *store = *state;
    rill_consumer *consumer;
    rill_position committed;

    fill(store, "t", 10);
    consumer = open_with(store, "g", RILL_RESET_EARLIEST);
    OK(rill_consumer_subscribe(consumer, topics, 1));
    takes_from(consumer, 0);
    takes_from(consumer, 1);
    OK(rill_consumer_commit(consumer, NULL, 0));
    delete_before(store, 8);
    takes_from(consumer, 8);
    OK(rill_consumer_commit(consumer, NULL, 0));
    OK(rill_consumer_committed(consumer, "t", 0, &committed, NULL, 0));
    assert_int_equal(committed.offset, 9);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static int see_offset(void *arg, const rill_group_offset *offset)
{
    *(rill_group_offset *)arg = *offset;
    return 0;
}

static void lag_counts_what_is_there(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_group_offset seen = {.lag = -1};
    int64_t lag;

    fill(store, "t", 10);
    commit_at(store, "g", 3);
    OK(rill_group_lag(store, "g", RILL_READ_WRITTEN, &lag));
    assert_int_equal(lag, 7);
    delete_before(store, 6);
    OK(rill_group_lag(store, "g", RILL_READ_WRITTEN, &lag));
    assert_int_equal(lag, 4);
    OK(rill_group_offsets(store, "g", see_offset, &seen));
    assert_int_equal(seen.offset, 3);
    assert_int_equal(seen.log_start, 6);
    assert_int_equal(seen.lag, 4);
    consumer = open_with(store, NULL, RILL_RESET_EARLIEST);
    assign(consumer, 6);
    delete_before(store, 9);
    OK(rill_consumer_lag(consumer, "t", 0, &lag));
    assert_int_equal(lag, 1);
    OK(rill_consumer_close(consumer, WAIT_MS));
    delete_before(store, RILL_OFFSET_LATEST);
    OK(rill_group_lag(store, "g", RILL_READ_WRITTEN, &lag));
    assert_int_equal(lag, 0);
}

static int take_fact(void *arg, const rill_fact *fact)
{
    int64_t *lag = arg;
    if (fact->kind == RILL_FACT_OWNER) *lag = fact->lag;
    return 0;
}

static void explanation_counts_what_is_there(void **state)
{
    static const char *const topics[] = {"t"};
    rill *store = *state;
    rill_subject subject = {.group = "g"};
    rill_consumer *consumer;
    int64_t lag = -1;

    fill(store, "t", 10);
    commit_at(store, "g", 3);
    consumer = open_with(store, "g", RILL_RESET_EARLIEST);
    OK(rill_consumer_subscribe(consumer, topics, 1));
    takes_from(consumer, 3);
    delete_before(store, 6);
    OK(rill_explain(store, &subject, take_fact, &lag));
    assert_int_equal(lag, 4);
    OK(rill_consumer_close(consumer, WAIT_MS));
}

/* ---- Other processes ---- */

/* Runs `act` in another process that opens the store itself. */
static void elsewhere(void (*act)(rill *store))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        rill *store = test_store_open();
        act(store);
        OK(rill_close(store));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void delete_six(rill *store)
{
    OK(rill_partition_delete_records(store, "t", 0, 6, NULL));
}

static void delete_all(rill *store)
{
    OK(rill_partition_delete_records(store, "t", 0, RILL_OFFSET_LATEST, NULL));
    test_store_append(store, "t", 10, 1, BIG);
}

static void other_processes_see_it_at_once(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    rill_consumer *second;

    fill(store, "t", 10);
    consumer = open_with(store, NULL, RILL_RESET_EARLIEST);
    second = open_with(store, NULL, RILL_RESET_LATEST);
    assign(consumer, 0);
    assign(second, 0);
    takes_from(consumer, 0);
    takes_from(second, 0);
    elsewhere(delete_six);
    assert_int_equal(describe(store).log_start, 6);
    assert_int_equal(describe(store).segment_count, 2);
    takes_from(consumer, 1);
    takes_from(consumer, 6);
    takes_from(second, 1);
    takes_nothing(second);
    elsewhere(delete_all);
    takes_from(second, 10);
    takes_from(consumer, 7);
    takes_from(consumer, 10);
    OK(rill_consumer_close(consumer, WAIT_MS));
    OK(rill_consumer_close(second, WAIT_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EARS(deleted_records_free_their_segments),
        WITH_EARS(what_cannot_be_deleted_is_refused),
        WITH_EARS(earliest_goes_on_at_the_new_start),
        WITH_EARS(latest_goes_on_at_the_end),
        WITH_EARS(error_is_told_with_the_new_start),
        WITH_EARS(records_handed_out_stay),
        WITH_EARS(reset_waits_for_what_was_handed_out),
        WITH_EARS(committed_offset_below_the_start_is_reset),
        WITH_EARS(member_of_a_group_follows_its_reset),
        WITH_EARS(lag_counts_what_is_there),
        WITH_EARS(explanation_counts_what_is_there),
        WITH_EARS(other_processes_see_it_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
