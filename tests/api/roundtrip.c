/*
 * What goes in comes out: every part of a record, in order, over reopening.
 */
#include "testing.h"
#include <rill.h>

static rill *open_store(void)
{
    rill *store = NULL;
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    OK(rill_open(test_path("store"), &options, &store));
    return store;
}

static void every_part_of_a_record(void **state)
{
    rill *store = open_store();
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_producer *producer;
    rill_consumer *consumer;
    rill_header headers[] = {{{"a", 1}, {"1", 1}}, {{"null", 4}, {NULL, 0}}, {{"", 0}, {"", 0}}};
    rill_record records[4];
    rill_record got[10];
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_EARLIEST};
    rill_header header;
    rill_offset offset;
    size_t count;

    (void)state;
    for (int i = 0; i < 4; i++) records[i] = (rill_record)RILL_RECORD_INIT;
    for (int i = 0; i < 4; i++) records[i].timestamp_ms = 12345 + i;
    records[0].key = (rill_bytes){"key", 3};
    records[0].value = (rill_bytes){"value", 5};
    records[0].headers = headers;
    records[0].header_count = 3;
    records[1].value = (rill_bytes){"", 0};
    records[2].key = (rill_bytes){"", 0};
    records[3].key = (rill_bytes){"dead", 4};

    OK(rill_topic_create(store, "t", NULL));
    OK(rill_producer_open(store, &out, &producer));
    OK(rill_producer_append(producer, records, 4, 1000, &offset));
    assert_int_equal(offset, 0);
    OK(rill_producer_close(producer, 1000));
    OK(rill_close(store));

    store = open_store();
    OK(rill_consumer_open(store, NULL, &consumer));
    OK(rill_consumer_assign(consumer, &from, 1));
    OK(rill_consumer_poll(consumer, 0, got, 10, &count));
    assert_int_equal(count, 4);
    assert_int_equal(got[0].timestamp_ms, 12345);
    assert_memory_equal(got[0].key.data, "key", 3);
    assert_memory_equal(got[0].value.data, "value", 5);
    assert_int_equal((uintptr_t)got[0].value.data % 8, 0);
    assert_int_equal(got[0].header_count, 3);
    OK(rill_record_header(&got[0], 1, &header));
    assert_memory_equal(header.name.data, "null", 4);
    assert_null(header.value.data);
    OK(rill_record_header(&got[0], 2, &header));
    assert_int_equal(header.name.size, 0);
    assert_non_null(header.value.data);
    FAILS(RILL_ERR_RANGE, rill_record_header(&got[0], 3, &header));
    assert_null(got[1].key.data);
    assert_non_null(got[1].value.data);
    assert_int_equal(got[1].value.size, 0);
    assert_non_null(got[2].key.data);
    assert_null(got[2].value.data);
    assert_null(got[3].value.data);
    for (int i = 0; i < 4; i++) assert_int_equal(got[i].offset, i);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_DIRECTORY(every_part_of_a_record)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
