/*
 * texts.c - see texts.h.
 */
#include "texts.h"

uint32_t any_codec(void)
{
    FOR_EACH_CODEC(code) return code;
    return 0;
}

static char value_room[4 << 20];

rill_bytes text_of(int64_t number, size_t size)
{
    size_t at =
        (size_t)snprintf(value_room, 64, "{\"number\": %lld, \"text\": \"", (long long)number);

    assert_true(size <= sizeof value_room && at <= size);
    for (size_t i = at; i < size; i++) value_room[i] = "abcdefgh"[i % 8];
    return (rill_bytes){value_room, size};
}

void check_text(const rill_record *record, int64_t number)
{
    rill_bytes want = text_of(number, record->value.size);

    assert_int_equal((uintptr_t)record->value.data % 8, 0);
    assert_memory_equal(record->value.data, want.data, want.size);
}

void topic_create(rill *store, const char *topic, uint32_t partitions, uint32_t code)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = partitions,
                                  .segment_bytes = 1 << 20,
                                  .max_message_bytes = 512 << 10,
                                  .compression = code};

    OK(rill_topic_create(store, topic, &options));
}

rill_producer *producer_to(rill *store, const char *topic, uint32_t code)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = topic, .linger_ms = 3600000, .compression = code};

    return producer_open(store, &options);
}

void append_texts(rill_producer *producer, int32_t partition, int64_t first, int count,
                  size_t size)
{
    rill_record *records = calloc((size_t)count, sizeof *records);
    rill_offset base;

    for (int i = 0; i < count; i++) {
        rill_bytes text = text_of(first + i, size);
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = partition;
        records[i].key = (rill_bytes){"key", 3};
        records[i].value.data = memcpy(malloc(size), text.data, size);
        records[i].value.size = size;
    }
    OK(rill_producer_append(producer, records, (size_t)count, WAIT_MS, &base));
    assert_int_equal(base, first);
    for (int i = 0; i < count; i++) free((void *)(uintptr_t)records[i].value.data);
    free(records);
}

void read_texts(rill_consumer *consumer, int64_t first, int64_t end, size_t max)
{
    rill_record records[500];

    while (first < end) {
        size_t count = take(consumer, records, max);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(records[i].offset, first + (int64_t)i);
            check_text(&records[i], first + (int64_t)i);
            assert_int_equal(records[i].key.size, 3);
        }
        first += (int64_t)count;
    }
    assert_int_equal(first, end);
}

rill *small_store(void **state, uint64_t bytes)
{
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .memory_max_bytes = bytes};

    OK(rill_close(*state));
    *state = NULL;
    OK(rill_open(test_path("store"), &options, (rill **)state));
    return *state;
}

rill_stats stats_of(rill *store)
{
    rill_stats stats = {.size = sizeof stats};

    OK(rill_stats_get(store, &stats));
    return stats;
}
