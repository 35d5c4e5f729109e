/*
 * stores.c - see stores.h.
 */
#include "stores.h"
#include <ftw.h>

rill *test_store_open(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;

    OK(rill_open(test_path("store"), &options, &store));
    return store;
}

void test_topic(rill *store, const char *topic, uint32_t partition_count)
{
    rill_topic_options options = {
        .size = sizeof options, .partition_count = partition_count, .segment_bytes = 64 << 10};

    OK(rill_topic_create(store, topic, &options));
}

void test_store_append(rill *store, const char *topic, int first, int count, size_t value_size)
{
    rill_producer_options options = {.size = sizeof options, .topic = topic};
    rill_producer *producer;
    char *value = malloc(value_size + 16);

    assert_non_null(value);
    OK(rill_producer_open(store, &options, &producer));
    for (int i = first; i < first + count; i++) {
        rill_record record = RILL_RECORD_INIT;
        int size = snprintf(value, 16, "%d", i);

        if ((size_t)size < value_size) memset(value + size, '.', value_size - (size_t)size);
        record.partition = 0;
        record.value.data = value;
        record.value.size = value_size > (size_t)size ? value_size : (size_t)size;
        OK(rill_producer_append(producer, &record, 1, 10000, NULL));
    }
    OK(rill_producer_close(producer, 10000));
    free(value);
}

rill_consumer *test_consumer(rill *store, const char *topic, int32_t partition,
                             rill_offset offset)
{
    rill_position from = {topic, partition, -1, offset, NULL};
    rill_consumer *consumer;

    OK(rill_consumer_open(store, NULL, &consumer));
    OK(rill_consumer_assign(consumer, &from, 1));
    return consumer;
}

static const char *wanted_ending;
static char found_path[1200];

static int look_at(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    size_t size = strlen(path);
    size_t ending = strlen(wanted_ending);

    (void)st;
    (void)where;
    if (kind != FTW_F || size < ending || strcmp(path + size - ending, wanted_ending) != 0)
        return 0;
    snprintf(found_path, sizeof found_path, "%s", path);
    return 1;
}

const char *test_find_file(const char *ending)
{
    wanted_ending = ending;
    if (nftw(test_path(""), look_at, 16, FTW_PHYS) != 1) fail_msg("no file ends in %s", ending);
    return found_path;
}

void test_flip_bit(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    int byte;

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    byte = getc(file);
    assert_true(byte != EOF);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_true(putc(byte ^ 0x40, file) != EOF);
    assert_int_equal(fclose(file), 0);
}
