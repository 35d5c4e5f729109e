/*
 * Stores that released versions have made are read by this one, record by record, appended to,
 * and read again; a check finds nothing wrong with them.
 */
#include "golden/golden.h"
#include "records.h"
#include <dirent.h>
#include <inttypes.h>

/* All records of one partition are those, up to `end` in the whole topic. */
static void holds(rill *store, const char *topic, int partition, int partitions, int end)
{
    rill_consumer *consumer = test_consumer(store, topic, partition, 0);
    rill_record got[64];
    int i = partition;

    while (i < end) {
        size_t count = take(consumer, got, 64);
        for (size_t n = 0; n < count; n++, i += partitions) {
            struct golden golden;
            rill_record want = golden_record(topic, i, partitions, &golden);
            rill_header header;

            assert_int_equal(got[n].offset, i / partitions);
            assert_int_equal(got[n].timestamp_ms, want.timestamp_ms);
            assert_int_equal(got[n].key.data == NULL, want.key.data == NULL);
            assert_int_equal(got[n].key.size, want.key.size);
            assert_int_equal(got[n].value.data == NULL, want.value.data == NULL);
            assert_int_equal(got[n].value.size, want.value.size);
            if (want.key.size != 0)
                assert_memory_equal(got[n].key.data, want.key.data, want.key.size);
            if (want.value.size != 0)
                assert_memory_equal(got[n].value.data, want.value.data, want.value.size);
            assert_int_equal(got[n].header_count, want.header_count);
            if (want.header_count == 0) continue;
            OK(rill_record_header(&got[n], 0, &header));
            assert_int_equal(header.name.size, 6);
            assert_memory_equal(header.value.data, golden.key, header.value.size);
        }
    }
    takes_nothing(consumer);
    OK(rill_consumer_close(consumer, 0));
}

static void committed_is(rill *store, int partition, int64_t offset, const char *metadata)
{
    rill_consumer_options options = {.size = sizeof options, .group = "readers"};
    rill_consumer *consumer = consumer_open(store, &options);
    rill_position position;
    char room[64];

    OK(rill_consumer_committed(consumer, "big", partition, &position, room, sizeof room));
    assert_int_equal(position.offset, offset);
    if (metadata == NULL) assert_null(position.metadata);
    else assert_string_equal(position.metadata, metadata);
    OK(rill_consumer_close(consumer, 0));
}

static void append_one(rill *store, const char *topic, int i, int partitions)
{
    rill_producer_options options = {.size = sizeof options, .topic = topic};
    struct golden golden;
    rill_record record = golden_record(topic, i, partitions, &golden);
    rill_producer *producer;

    OK(rill_producer_open(store, &options, &producer));
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
}

static void is_golden(const char *dir, bool killed)
{
    rill_check_report report = {.size = sizeof report};
    int big = killed ? BIG_KILLED : BIG_CLOSED;
    int small = killed ? SMALL_KILLED : SMALL_CLOSED;
    rill_topic_info info;
    rill *store;

    for (int again = 0; again < 2; again++) {
        OK(rill_open(dir, NULL, &store));
        OK(rill_topic_describe(store, "big", &info));
        assert_int_equal(info.options.partition_count, BIG_PARTITIONS);
        assert_int_equal(info.options.segment_bytes, 64 << 10);
        assert_int_equal(info.options.retention_ms, 0); /* all of it stays */
        assert_int_equal(info.options.cleanup_policy, RILL_CLEANUP_DELETE);
        for (int p = 0; p < BIG_PARTITIONS; p++)
            holds(store, "big", p, BIG_PARTITIONS, big + again);
        holds(store, "small", 0, 1, small + again);
        holds(store, "empty", 0, 1, 0);
        committed_is(store, 0, 17, "seventeen");
        committed_is(store, 1, 40, NULL);
        if (again == 0) {
            append_one(store, "big", big, BIG_PARTITIONS);
            append_one(store, "small", small, 1);
        }
        OK(rill_maintain(store, NULL));
        OK(rill_close(store));
    }
    OK(rill_check(dir, NULL, &report));
    assert_int_equal(report.error_count, 0);
}

static void stores_of_all_versions_are_read(void **state)
{
    char path[700];
    char command[1600];
    const char *root = getenv("RILL_ROOT");
    struct dirent *entry;
    int versions = 0;
    DIR *dir;

    (void)state;
    snprintf(path, sizeof path, "%s/tests/golden", root == NULL ? "." : root);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        size_t size = strlen(entry->d_name);
        char name[300];

        if (size <= 7 || strcmp(entry->d_name + size - 7, ".tar.gz") != 0) continue;
        snprintf(command, sizeof command, "tar -xzf '%s/%s' -C '%s'", path, entry->d_name,
                 test_path(""));
        assert_int_equal(system(command), 0);
        versions++;
        for (int killed = 0; killed < 2; killed++) {
            snprintf(name, sizeof name, "%.*s-%s", (int)size - 7, entry->d_name,
                     killed ? "killed" : "closed");
            is_golden(test_path(name), killed);
        }
    }
    closedir(dir);
    assert_true(versions > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_DIRECTORY(stores_of_all_versions_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
