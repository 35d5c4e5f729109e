/*
 * Another reader, tests/proof/reader.py, which knows the formats from their
 * comments only, finds in a store's files what rill says is in them, and tells
 * damage where there is some.
 */
#include "reader.h"
#include "records.h"

static const char *store_path(void)
{
    return test_path("store");
}

/* What the reader says of the closed store is what rill says of it. */
static void agree(void)
{
    rill *store;
    const char *difference;

    reader_ask(store_path());
    store = test_store_open();
    difference = reader_compare(store);
    if (difference != NULL) fail_msg("%s", difference);
    OK(rill_close(store));
}

static void send(rill_producer *producer, rill_record record)
{
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
}

static void append_shapes(rill *store, const char *topic)
{
    static char big[50000];
    rill_producer_options options = {.size = sizeof options, .topic = topic};
    rill_header headers[3] = {
        {{"a", 1}, {"1", 1}}, {{"a", 1}, {NULL, 0}}, {{"name", 4}, {"", 0}}};
    rill_record record = RILL_RECORD_INIT;
    rill_record many[50];
    rill_producer *producer;

    memset(big, 'b', sizeof big);
    OK(rill_producer_open(store, &options, &producer));
    record.partition = 0;
    send(producer, record); /* nothing at all */
    record.key = (rill_bytes){"", 0};
    send(producer, record);
    record.value = (rill_bytes){"", 0};
    record.timestamp_ms = 12345678901;
    send(producer, record);
    record.headers = headers;
    record.header_count = 3;
    send(producer, record);
    record.key = (rill_bytes){"a key", 5};
    for (size_t size = 1; size <= sizeof big; size *= 3) {
        record.value = (rill_bytes){big, size};
        send(producer, record);
    }
    for (int i = 0; i < 50; i++) {
        many[i] = record;
        many[i].value = (rill_bytes){big, (size_t)i * 5};
        many[i].timestamp_ms = 1000 - i;
        many[i].header_count = (size_t)i % 4;
        many[i].headers = i % 4 == 0 ? NULL : headers;
    }
    for (int i = 0; i < 100; i++) OK(rill_producer_append(producer, many, 50, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
}

/* Compressed, or with the time of the append; where there is no codec, neither. */
static void append_forms(rill *store)
{
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = 64 << 10, .max_message_bytes = 60 << 10};
    char name[16];

    for (int form = 0; form < 6; form++) {
        static const uint32_t codes[] = {RILL_COMPRESSION_NONE, RILL_COMPRESSION_LZ4,
                                         RILL_COMPRESSION_ZSTD};
        options.compression = codes[form % 3];
        options.timestamp_type = form < 3 ? RILL_TIMESTAMP_CREATE : RILL_TIMESTAMP_APPEND;
        if (!rill_compression_available(options.compression)) continue;
        snprintf(name, sizeof name, "form-%d", form);
        OK(rill_topic_create(store, name, &options));
        append_shapes(store, name);
    }
}

static void commit(rill *store, const char *group, const char *topic, int32_t partition,
                   const char *metadata)
{
    rill_consumer_options options = {.size = sizeof options, .group = group};
    rill_position position = {topic, partition, 7, partition == 0 ? 3 : 0, metadata};
    rill_consumer *consumer;

    OK(rill_consumer_open(store, &options, &consumer));
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, WAIT_MS));
}

static void it_finds_what_rill_says(void **state)
{
    static char long_text[RILL_METADATA_MAX + 1];
    rill *store = test_store_open();
    char name[32];

    (void)state;
    OK(rill_close(store));
    agree(); /* empty */
    store = test_store_open();
    memset(long_text, 'x', RILL_METADATA_MAX);
    test_topic(store, "one", 1);
    test_topic(store, "three.of-them", 3);
    test_topic(store, "deleted", 1);
    append_shapes(store, "deleted");
    append_shapes(store, "three.of-them");
    append_forms(store);
    OK(rill_topic_delete(store, "deleted"));
    test_store_append(store, "one", 0, 2000, 300); /* some segments */
    for (int i = 0; i < 60; i++) {                 /* some pages of the catalogue */
        snprintf(name, sizeof name, "group-%d", i * 7 % 60);
        commit(store, name, "three.of-them", i % 3, i % 2 == 0 ? long_text : "text");
        if (i % 5 == 0) commit(store, name, "one", 0, NULL);
    }
    OK(rill_close(store));
    agree();
}

static void it_tells_damage(const char *ending, long at, const char *where)
{
    const char *said;

    test_flip_bit(test_find_file(ending), at);
    said = reader_ask(store_path());
    test_flip_bit(test_find_file(ending), at);
    if (strstr(said, "damage ") == NULL || strstr(said, where) == NULL)
        fail_msg("byte %ld of %s changed, and the reader says %s", at, ending, said);
}

/* Of the last copy that LMDB made of a page. */
static long place_of(const char *ending, const char *text)
{
    static char bytes[1 << 20];
    FILE *file = fopen(test_find_file(ending), "rb");
    long last = -1;
    size_t size;

    assert_non_null(file);
    size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t i = 0; i + strlen(text) <= size; i++)
        if (memcmp(bytes + i, text, strlen(text)) == 0) last = (long)i;
    assert_true(last >= 0);
    return last;
}

static void it_tells_damage_everywhere(void **state)
{
    rill *store = test_store_open();

    (void)state;
    test_topic(store, "t", 1);
    test_store_append(store, "t", 0, 50, 100);
    commit(store, "g", "t", 0, "a text");
    OK(rill_sync(store, WAIT_MS));
    OK(rill_close(store));
    agree();
    agree(); /* and opening it changed nothing that counts */
    it_tells_damage("STORE", 20, "STORE");
    it_tells_damage("0.log", 20, "0.log 0");
    it_tells_damage("0.log", 128 + 40, "0.log 128");
    it_tells_damage("0.log", 128 + 100, "0.log 128");
    it_tells_damage("data.mdb", place_of("data.mdb", "a text"), "does not verify");
}

/* Of a batch that is compressed the reader knows what the checksum covers. */
static void it_tells_damage_of_other_forms(void **state)
{
    rill *store = test_store_open();
    rill_topic_options options = {.size = sizeof options,
                                  .segment_bytes = 64 << 10,
                                  .max_message_bytes = 60 << 10,
                                  .timestamp_type = RILL_TIMESTAMP_APPEND};

    (void)state;
    options.compression = rill_compression_available(RILL_COMPRESSION_ZSTD)
                              ? RILL_COMPRESSION_ZSTD
                              : RILL_COMPRESSION_NONE;
    OK(rill_topic_create(store, "t", &options));
    append_shapes(store, "t");
    OK(rill_sync(store, WAIT_MS));
    OK(rill_close(store));
    agree();
    for (long at = 128; at < 128 + 80; at += 5) it_tells_damage("0.log", at, "0.log 128");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(it_finds_what_rill_says),
        WITH_DIRECTORY(it_tells_damage_everywhere),
        WITH_DIRECTORY(it_tells_damage_of_other_forms),
    };

    if (system("python3 -c '' 2>/dev/null") != 0) {
        printf("there is no python3\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
