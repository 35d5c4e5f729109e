/*
 * Interceptors, serializers, tracing and auditing: their order, what they may change,
 * that one that fails stops nothing, and that two ends of an audit agree.
 */
#include "records.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static char key_word[] = "key";
static char value_word[] = "value";
static char order[4096]; /* what was called, one word each */

static void note(const char *word)
{
    strcat(order, word);
    strcat(order, " ");
}

static int logged;
static char last_line[256];

static void on_log(void *arg, int level, const char *line)
{
    (void)arg;
    if (level != RILL_LOG_WARNING || strstr(line, "interceptor") == NULL) return;
    logged++;
    snprintf(last_line, sizeof last_line, "%s", line);
}

static rill *open_logging(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE, .log = on_log};
    rill *store = NULL;

    OK(rill_open(test_path("store"), &options, &store));
    order[0] = '\0';
    logged = 0;
    return store;
}

static uint64_t failures(rill *store)
{
    rill_stats stats = {.size = sizeof stats};
    OK(rill_stats_get(store, &stats));
    return stats.interceptor_failures;
}

/* ---- Producers -------------------------------------------------------- */

struct eye {
    const char *word;
    int answer;        /* of on_send */
    int ack_answer;    /* of on_acknowledge */
    const char *value; /* what it makes of the value; NULL: leaves it */
    int acknowledged;
    rill_delivery last;
};

static int eye_on_send(void *arg, rill_record *record, rill_scratch *scratch)
{
    struct eye *eye = arg;

    note(eye->word);
    if (eye->value != NULL) {
        char *text = rill_scratch_alloc(scratch, strlen(eye->value));
        assert_non_null(text);
        memcpy(text, eye->value, strlen(eye->value));
        record->value = (rill_bytes){text, strlen(eye->value)};
    }
    return eye->answer;
}

static int eye_on_acknowledge(void *arg, const rill_delivery *delivery)
{
    struct eye *eye = arg;

    eye->acknowledged++;
    eye->last = *delivery;
    return eye->ack_answer;
}

static rill_producer_interceptor interceptor_of(struct eye *eye)
{
    return (rill_producer_interceptor){eye->word, eye, eye_on_send, eye_on_acknowledge};
}

static int to_upper(void *arg, const rill_record *record, rill_bytes object,
                    rill_scratch *scratch, rill_bytes *bytes)
{
    char *text = rill_scratch_alloc(scratch, object.size);
    const char *from = object.data;

    assert_non_null(record);
    assert_non_null(text);
    note(arg);
    for (size_t i = 0; i < object.size; i++)
        text[i] = (char)(from[i] >= 'a' && from[i] <= 'z' ? from[i] - 32 : from[i]);
    *bytes = (rill_bytes){text, object.size};
    return 0;
}

static int refuse(void *arg, const rill_record *record, rill_bytes object, rill_scratch *scratch,
                  rill_bytes *bytes)
{
    (void)arg, (void)record, (void)object, (void)scratch, (void)bytes;
    return 7;
}

static int32_t by_key(void *arg, const rill_record *record, uint32_t partition_count)
{
    (void)arg;
    note("partitioner");
    assert_memory_equal(record->key.data, "KEY", 3); /* as it will be stored */
    return (int32_t)(partition_count - 1);
}

static void reported(void *arg, const rill_delivery *delivery)
{
    (void)arg, (void)delivery;
    note("report");
}

static rill_record text_record(const char *key, const char *value)
{
    rill_record record = RILL_RECORD_INIT;

    if (key != NULL) record.key = (rill_bytes){key, strlen(key)};
    if (value != NULL) record.value = (rill_bytes){value, strlen(value)};
    record.timestamp_ms = 1000;
    return record;
}

static void in_kafkas_order(void **state)
{
    rill *store = open_logging();
    struct eye eyes[2] = {{.word = "first", .value = "one"}, {.word = "second", .value = "two"}};
    rill_producer_interceptor list[] = {interceptor_of(&eyes[0]), interceptor_of(&eyes[1])};
    rill_producer_options out = {.size = sizeof out,
                                 .topic = "t",
                                 .partitioner = by_key,
                                 .delivery = reported,
                                 .interceptors = list,
                                 .interceptor_count = 2,
                                 .key_serializer = to_upper,
                                 .key_serializer_arg = key_word,
                                 .value_serializer = to_upper,
                                 .value_serializer_arg = value_word};
    rill_record record = text_record("key", "zero");
    rill_record got[4];
    rill_producer *producer;
    rill_consumer *consumer;
    int opaque;

    (void)state;
    test_topic(store, "t", 3);
    OK(rill_producer_open(store, &out, &producer));
    memset(list, 0, sizeof list); /* copied */
    OK(rill_producer_send(producer, &record, &opaque, 1000));
    OK(rill_producer_flush(producer, 1000));
    assert_string_equal(order, "first second key value partitioner report ");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(eyes[i].acknowledged, 1);
        assert_int_equal(eyes[i].last.status, 0);
        assert_int_equal(eyes[i].last.partition, 2);
        assert_int_equal(eyes[i].last.offset, 0);
        assert_int_equal(eyes[i].last.timestamp_ms, 1000);
        assert_ptr_equal(eyes[i].last.opaque, &opaque);
    }
    OK(rill_producer_close(producer, 1000));
    consumer = test_consumer(store, "t", 2, 0);
    assert_int_equal(take(consumer, got, 4), 1);
    assert_memory_equal(got[0].key.data, "KEY", 3);
    assert_memory_equal(got[0].value.data, "TWO", 3);
    OK(rill_consumer_close(consumer, 0));
    assert_int_equal(failures(store), 0);
    OK(rill_close(store));
}

/* What an interceptor that fails has made of the record is undone. */
static void a_failing_one_is_passed_by(void **state)
{
    rill *store = open_logging();
    struct eye eyes[2] = {{.word = "bad", .value = "broken", .answer = 5, .ack_answer = 6},
                          {.word = "good"}};
    rill_producer_interceptor list[] = {interceptor_of(&eyes[0]), interceptor_of(&eyes[1])};
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .interceptors = list, .interceptor_count = 2};
    rill_record record = text_record(NULL, "whole");
    rill_record got[4];
    rill_producer *producer;
    rill_consumer *consumer;

    (void)state;
    test_topic(store, "t", 1);
    OK(rill_producer_open(store, &out, &producer));
    OK(rill_producer_send(producer, &record, NULL, 1000));
    assert_string_equal(order, "bad good ");
    assert_int_equal(logged, 1);
    assert_non_null(strstr(last_line, "\"bad\" failed in on_send with 5"));
    OK(rill_producer_close(producer, 1000));
    assert_int_equal(logged, 2);
    assert_non_null(strstr(last_line, "\"bad\" failed in on_acknowledge with 6"));
    assert_int_equal(eyes[1].acknowledged, 1);
    assert_int_equal(failures(store), 2);
    consumer = test_consumer(store, "t", 0, 0);
    assert_int_equal(take(consumer, got, 4), 1);
    assert_int_equal(got[0].value.size, 5);
    assert_memory_equal(got[0].value.data, "whole", 5);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

static void of_batches_and_reservations(void **state)
{
    rill *store = open_logging();
    struct eye eye = {.word = "eye", .value = "changed"};
    rill_producer_interceptor list[] = {interceptor_of(&eye)};
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .interceptors = list, .interceptor_count = 1};
    rill_record records[3];
    rill_record got[8];
    rill_reservation room;
    rill_producer *producer;
    rill_consumer *consumer;
    rill_offset offset;

    (void)state;
    test_topic(store, "t", 1);
    for (int i = 0; i < 3; i++) records[i] = text_record("k", "v");
    for (int i = 0; i < 3; i++) records[i].partition = 0;
    records[2].timestamp_ms = 2000;
    OK(rill_producer_open(store, &out, &producer));
    OK(rill_producer_append(producer, records, 3, 1000, &offset));
    assert_string_equal(order, "eye eye eye ");
    assert_int_equal(eye.acknowledged, 3);
    assert_int_equal(eye.last.offset, 2);
    assert_int_equal(eye.last.timestamp_ms, 2000);
    FAILS(RILL_ERR_INVALID, rill_producer_append(producer, records, 0, 1000, &offset));

    OK(rill_producer_reserve(producer, &records[0], 1000, &room));
    memcpy(room.value, "r", 1);
    OK(rill_producer_commit(producer, &offset));
    assert_string_equal(order, "eye eye eye "); /* there is no value yet to look at */
    assert_int_equal(eye.acknowledged, 4);
    assert_int_equal(eye.last.offset, 3);
    assert_int_equal(eye.last.timestamp_ms, 1000);
    OK(rill_producer_close(producer, 1000));

    consumer = test_consumer(store, "t", 0, 0);
    assert_int_equal(take(consumer, got, 8), 4);
    assert_memory_equal(got[1].value.data, "changed", 7);
    assert_memory_equal(got[3].value.data, "r", 1);
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

static void what_is_refused_is_acknowledged_as_such(void **state)
{
    rill *store = open_logging();
    struct eye eye = {.word = "eye"};
    rill_producer_interceptor list[] = {interceptor_of(&eye)};
    rill_producer_options out = {.size = sizeof out,
                                 .topic = "t",
                                 .interceptors = list,
                                 .interceptor_count = 1,
                                 .value_serializer = refuse};
    rill_record record = text_record("k", "v");
    rill_producer *producer;

    (void)state;
    test_topic(store, "t", 1);
    OK(rill_producer_open(store, &out, &producer));
    FAILS(RILL_ERR_INVALID, rill_producer_send(producer, &record, NULL, 1000));
    assert_non_null(strstr(rill_errmsg(), "value serializer refused a record"));
    assert_int_equal(eye.acknowledged, 1);
    assert_int_equal(eye.last.status, RILL_ERR_INVALID);
    assert_int_equal(eye.last.offset, RILL_OFFSET_NONE);
    assert_string_equal(eye.last.topic, "t");
    FAILS(RILL_ERR_INVALID, rill_producer_append(producer, &record, 1, 1000, NULL));
    assert_int_equal(eye.acknowledged, 2);
    record.value = (rill_bytes){NULL, 0}; /* null stays null */
    OK(rill_producer_append(producer, &record, 1, 1000, NULL));
    record.partition = 9;
    FAILS(RILL_ERR_NOT_FOUND, rill_producer_send(producer, &record, NULL, 1000));
    assert_int_equal(eye.last.status, RILL_ERR_NOT_FOUND);
    assert_int_equal(eye.last.partition, 9);
    OK(rill_producer_close(producer, 1000));

    out.interceptors = NULL;
    FAILS(RILL_ERR_INVALID, rill_producer_open(store, &out, &producer));
    assert_non_null(strstr(rill_errmsg(), "interceptor_count is 1"));
    OK(rill_close(store));
}

static int takes_much(void *arg, rill_record *record, rill_scratch *scratch)
{
    uint8_t *small = rill_scratch_alloc(scratch, 500);
    uint8_t *odd = rill_scratch_alloc(scratch, 3);
    uint8_t *large = rill_scratch_alloc(scratch, 100000);

    (void)arg, (void)record;
    assert_non_null(small);
    assert_non_null(odd);
    assert_non_null(large);
    assert_int_equal((uintptr_t)large % 8, 0);
    assert_int_equal((uintptr_t)odd % 8, 0);
    for (int i = 0; i < 100000; i++) assert_int_equal(large[i], 0);
    memset(small, 1, 500);
    memset(odd, 2, 3);
    memset(large, 3, 100000);
    assert_int_equal(small[499], 1);
    assert_null(rill_scratch_alloc(scratch, SIZE_MAX - 8));
    assert_null(rill_scratch_alloc(scratch, (size_t)1 << 40));
    return 0;
}

static void scratch_grows(void **state)
{
    rill *store = open_logging();
    rill_producer_interceptor list[] = {{.on_send = takes_much}};
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .interceptors = list, .interceptor_count = 1};
    rill_record record = text_record("k", "v");
    rill_producer *producer;

    (void)state;
    test_topic(store, "t", 1);
    OK(rill_producer_open(store, &out, &producer));
    for (int i = 0; i < 3; i++) OK(rill_producer_send(producer, &record, NULL, 1000));
    OK(rill_producer_close(producer, 1000));
    assert_null(rill_scratch_alloc(NULL, 1));
    OK(rill_close(store));
}

/* One of the two is enough, and the refusal says which, and where. */
static void either_serializer_may_refuse_alone(void **state)
{
    rill *store = open_logging();
    rill_record record = text_record("k", "v");

    (void)state;
    test_topic(store, "t", 1);
    for (int key = 0; key < 2; key++) {
        rill_producer_options out = {.size = sizeof out};
        rill_producer *producer;
        if (key) out.key_serializer = refuse;
        else out.value_serializer = refuse;
        record.topic = "t";
        OK(rill_producer_open(store, &out, &producer));
        FAILS(RILL_ERR_INVALID, rill_producer_send(producer, &record, NULL, 1000));
        test_says(key ? "the key serializer refused a record of topic t with 7"
                      : "the value serializer refused a record of topic t with 7");
        FAILS(RILL_ERR_INVALID, rill_producer_append(producer, &record, 1, 1000, NULL));
        OK(rill_producer_close(producer, 1000));
        out.topic = "t";
        record.topic = NULL;
        OK(rill_producer_open(store, &out, &producer));
        FAILS(RILL_ERR_INVALID, rill_producer_send(producer, &record, NULL, 1000));
        test_says("of topic (the producer's)");
        OK(rill_producer_close(producer, 1000));
    }
    assert_int_equal(log_end_of(store, "t", 0), 0);
    OK(rill_close(store));
}

/* A delivery tells the time that the record has in the log. */
static void an_append_is_acknowledged_with_its_time(void **state)
{
    rill *store = open_logging();
    struct eye eye = {.word = "eye"};
    rill_producer_interceptor list[] = {
        {.arg = &eye, .on_send = eye_on_send, .on_acknowledge = eye_on_acknowledge}};
    rill_topic_options by_append = {.size = sizeof by_append,
                                    .timestamp_type = RILL_TIMESTAMP_APPEND};
    rill_producer_options out = {
        .size = sizeof out, .interceptors = list, .interceptor_count = 1};
    rill_record record = text_record("k", "v");
    rill_producer *producer;

    (void)state;
    test_topic(store, "t", 1);
    OK(rill_topic_create(store, "stamped", &by_append));
    OK(rill_producer_open(store, &out, &producer));
    for (int stamped = 0; stamped < 2; stamped++) {
        record.topic = stamped ? "stamped" : "t";
        record.timestamp_ms = 1234;
        OK(rill_producer_append(producer, &record, 1, 1000, NULL));
        if (stamped) assert_true(eye.last.timestamp_ms > 1234);
        else assert_int_equal(eye.last.timestamp_ms, 1234);
        record.timestamp_ms = 0;
        OK(rill_producer_append(producer, &record, 1, 1000, NULL));
        assert_true(eye.last.timestamp_ms > 1234);
    }
    assert_int_equal(eye.acknowledged, 4);
    OK(rill_producer_close(producer, 1000));
    OK(rill_close(store));
}

/* ---- Consumers -------------------------------------------------------- */

static int drop_odd(void *arg, rill_record *records, size_t *count)
{
    size_t kept = 0;

    (void)arg;
    for (size_t i = 0; i < *count; i++)
        if (number_of(&records[i]) % 2 == 0) records[kept++] = records[i];
    *count = kept;
    return 0;
}

static int spoil(void *arg, rill_record *records, size_t *count)
{
    memset(records, 0, *count * sizeof *records);
    *count = *(int *)arg == 0 ? *count + 1 : 0; /* more than there were, or fails */
    return *(int *)arg;
}

static int commits;
static rill_offset committed;

static int on_commit(void *arg, const rill_position *positions, size_t count)
{
    assert_int_equal(count, 1);
    commits++;
    committed = positions[0].offset;
    return *(int *)arg;
}

static void told(void *arg, rill_consumer *consumer, int status, const rill_position *positions,
                 size_t count)
{
    (void)consumer, (void)positions, (void)count;
    assert_int_equal(status, 0);
    assert_int_equal(commits, *(int *)arg); /* interceptors first */
}

static void consumers_see_what_is_left(void **state)
{
    rill *store = open_logging();
    int zero = 0;
    int seven = 7;
    int two = 2;
    rill_consumer_interceptor list[] = {{"odd", NULL, drop_odd, NULL},
                                        {"more", &zero, spoil, NULL},
                                        {"fails", &seven, spoil, on_commit},
                                        {"looks", &zero, NULL, on_commit}};
    rill_consumer_options in = {
        .size = sizeof in, .group = "g", .interceptors = list, .interceptor_count = 2};
    rill_position from = {.topic = "t", .offset = RILL_OFFSET_EARLIEST};
    rill_record got[10];
    rill_consumer *consumer;
    size_t count;

    (void)state;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 6);
    consumer = consumer_open(store, &in);
    OK(rill_consumer_assign(consumer, &from, 1));
    OK(rill_consumer_poll(consumer, 0, got, 10, &count));
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++) assert_int_equal(number_of(&got[i]), i * 2);
    assert_int_equal(logged, 1);
    assert_non_null(strstr(last_line, "\"more\" failed in on_consume"));
    OK(rill_consumer_close(consumer, 0));

    commits = 0;
    in.interceptor_count = 4;
    consumer = consumer_open(store, &in);
    OK(rill_consumer_assign(consumer, &from, 1));
    OK(rill_consumer_poll(consumer, 0, got, 1, &count));
    assert_int_equal(count, 1); /* 0 */
    OK(rill_consumer_poll(consumer, 0, got, 1, &count));
    assert_int_equal(count, 0); /* 1 was taken away, */
    OK(rill_consumer_commit(consumer, NULL, 0));
    assert_int_equal(committed, 2); /* and is read all the same */
    assert_int_equal(commits, 2);
    assert_non_null(strstr(last_line, "\"fails\" failed in on_commit with 7"));
    OK(rill_consumer_poll(consumer, 0, got, 10, &count));
    assert_int_equal(count, 2);
    commits = 0;
    OK(rill_consumer_commit_async(consumer, NULL, 0, told, &two));
    OK(rill_consumer_poll(consumer, 0, got, 10, &count));
    assert_int_equal(commits, 2);
    assert_int_equal(committed, 6);
    OK(rill_consumer_close(consumer, 0));

    in.interceptors = NULL;
    FAILS(RILL_ERR_INVALID, rill_consumer_open(store, &in, &consumer));
    OK(rill_close(store));
}

/* ---- Tracing ---------------------------------------------------------- */

#define CONTEXT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

struct spans {
    const char *current; /* NULL: none */
    int count;
    char last[RILL_TRACEPARENT_SIZE];
    char parent[RILL_TRACEPARENT_SIZE];
};

static int current(void *arg, char traceparent[RILL_TRACEPARENT_SIZE])
{
    const struct spans *spans = arg;

    if (spans->current == NULL) return 1;
    strcpy(traceparent, spans->current);
    return 0;
}

static void span(void *arg, const char *traceparent, const char *parent,
                 const rill_record *record)
{
    struct spans *spans = arg;

    assert_true(record->header_count > 0);
    spans->count++;
    strcpy(spans->last, traceparent);
    strcpy(spans->parent, parent == NULL ? "" : parent);
}

/* What a record with these headers carries when it has come through the log. */
static void send_traced(rill *store, rill_producer *producer, const rill_header *headers,
                        size_t count, char traceparent[RILL_TRACEPARENT_SIZE],
                        size_t *header_count)
{
    rill_record record = text_record("k", "v");
    rill_consumer *consumer;
    rill_record got[1];
    rill_offset offset;

    record.headers = headers;
    record.header_count = count;
    OK(rill_producer_append(producer, &record, 1, 1000, &offset));
    consumer = test_consumer(store, "t", 0, offset);
    assert_int_equal(take(consumer, got, 1), 1);
    OK(rill_traceparent(&got[0], traceparent));
    *header_count = got[0].header_count;
    OK(rill_consumer_close(consumer, 0));
}

static void records_carry_their_trace(void **state)
{
    rill *store = open_logging();
    struct spans spans = {.current = NULL};
    rill_trace_options options = {
        .size = sizeof options, .current = current, .span = span, .arg = &spans};
    rill_producer_interceptor interceptor;
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .interceptors = &interceptor, .interceptor_count = 1};
    rill_header headers[] = {{{"a", 1}, {"1", 1}}, {{"traceparent", 11}, {CONTEXT, 55}}};
    char one[RILL_TRACEPARENT_SIZE];
    char two[RILL_TRACEPARENT_SIZE];
    rill_producer *producer;
    rill_trace *trace;
    size_t count;

    (void)state;
    test_topic(store, "t", 1);
    OK(rill_trace_open(store, &options, &trace));
    rill_trace_interceptor(trace, &interceptor);
    OK(rill_producer_open(store, &out, &producer));

    send_traced(store, producer, NULL, 0, one, &count); /* a trace of its own */
    send_traced(store, producer, NULL, 0, two, &count);
    assert_int_equal(count, 1);
    assert_string_equal(two, spans.last);
    assert_string_equal(spans.parent, "");
    assert_memory_not_equal(one + 3, two + 3, 32);
    assert_memory_not_equal(one + 36, two + 36, 16);

    spans.current = CONTEXT; /* in the application's */
    send_traced(store, producer, headers, 1, one, &count);
    assert_int_equal(count, 2);
    assert_memory_equal(one, CONTEXT, 36);
    assert_memory_not_equal(one + 36, &CONTEXT[36], 16);
    assert_string_equal(spans.parent, CONTEXT);
    spans.current = "nonsense";
    send_traced(store, producer, headers, 1, one, &count);
    assert_memory_not_equal(one, CONTEXT, 36);

    spans.current = NULL; /* in the record's own, which is replaced */
    send_traced(store, producer, headers, 2, one, &count);
    assert_int_equal(count, 2);
    assert_memory_equal(one, CONTEXT, 36);
    assert_string_equal(spans.parent, CONTEXT);
    assert_int_equal(spans.count, 5);
    FAILS(RILL_ERR_STATE, rill_close(store)); /* it is in use */
    OK(rill_producer_close(producer, 1000));
    rill_trace_close(trace);
    rill_trace_close(NULL);
    OK(rill_trace_open(store, NULL, &trace));
    rill_trace_close(trace);
    options.size = 1;
    FAILS(RILL_ERR_INVALID, rill_trace_open(store, &options, &trace));
    OK(rill_close(store));
}

/* Who asks for nothing and is told nothing gets the header all the same. */
static void a_tracer_needs_no_callbacks(void **state)
{
    rill *store = open_logging();
    rill_producer_interceptor interceptor;
    rill_producer_options out = {
        .size = sizeof out, .topic = "t", .interceptors = &interceptor, .interceptor_count = 1};
    rill_header like[] = {{{"TRACEPARENT", 11}, {CONTEXT, 55}}};
    char one[RILL_TRACEPARENT_SIZE];
    rill_producer *producer;
    rill_trace *trace;
    size_t count;

    (void)state;
    test_topic(store, "t", 1);
    OK(rill_trace_open(store, NULL, &trace));
    rill_trace_interceptor(trace, &interceptor);
    OK(rill_producer_open(store, &out, &producer));
    send_traced(store, producer, like, 1, one, &count);
    assert_int_equal(count, 2); /* names are what they are */
    assert_memory_not_equal(one, CONTEXT, 35);
    OK(rill_producer_close(producer, 1000));
    rill_trace_close(trace);
    OK(rill_close(store));
}

static void only_valid_contexts_count(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {CONTEXT, true},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more", false},
        {CONTEXT "-more", false},
        {"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
        {"0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-010", false},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g", false},
        {"00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", false},
        {"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false},
        {"00-0af7651916cd43dd8448eb211c8031 c-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033~1-01", false},
        {"g0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
        {"", false},
    };
    rill_header headers[] = {{{"tracepart", 9}, {"", 0}}, {{"traceparent", 11}, {NULL, 0}}};
    rill_record record = RILL_RECORD_INIT;
    char text[RILL_TRACEPARENT_SIZE];

    (void)state;
    FAILS(RILL_ERR_NOT_FOUND, rill_traceparent(&record, text));
    record.headers = headers;
    record.header_count = 2;
    FAILS(RILL_ERR_INVALID, rill_traceparent(&record, text));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        headers[1].value = (rill_bytes){cases[i].text, strlen(cases[i].text)};
        if (!cases[i].valid) {
            assert_int_not_equal(rill_traceparent(&record, text), 0);
            continue;
        }
        OK(rill_traceparent(&record, text));
        assert_memory_equal(text, "00", 2);
        assert_memory_equal(text + 2, &CONTEXT[2], 54);
    }
    record.header_count = 1;
    FAILS(RILL_ERR_NOT_FOUND, rill_traceparent(&record, text));
}

/* ---- Auditing --------------------------------------------------------- */

struct listed {
    char text[1024];
    int stop_after;
};

static int list_window(void *arg, const rill_audit_window *w)
{
    struct listed *listed = arg;
    size_t at = strlen(listed->text);

    snprintf(listed->text + at, sizeof listed->text - at, "%s-%d@%" PRId64 ":%" PRIu64 "[%d,%d] ",
             w->topic, (int)w->partition, w->begin_ms, w->record_count, (int)w->first,
             (int)w->last);
    return --listed->stop_after == 0 ? 42 : 0;
}

static int list_difference(void *arg, const rill_audit_window *sent,
                           const rill_audit_window *received)
{
    struct listed *listed = arg;
    size_t at = strlen(listed->text);

    assert_string_equal(sent->topic, received->topic);
    assert_int_equal(sent->partition, received->partition);
    assert_int_equal(sent->begin_ms, received->begin_ms);
    snprintf(listed->text + at, sizeof listed->text - at,
             "%s-%d@%" PRId64 ":%" PRIu64 "/%" PRIu64 " ", sent->topic, (int)sent->partition,
             sent->begin_ms, sent->record_count, received->record_count);
    return --listed->stop_after == 0 ? 43 : 0;
}

static void two_ends_agree(void **state)
{
    rill *store = open_logging();
    rill_audit_options options = {.size = sizeof options, .window_ms = 100};
    rill_producer_interceptor counts_in;
    rill_consumer_interceptor counts_out;
    rill_producer_options out = {
        .size = sizeof out, .interceptors = &counts_in, .interceptor_count = 1};
    rill_consumer_options in = {
        .size = sizeof in, .interceptors = &counts_out, .interceptor_count = 1};
    rill_position from[] = {{.topic = "a", .partition = 0},
                            {.topic = "a", .partition = 1},
                            {.topic = "b", .partition = 0}};
    static const struct {
        const char *topic;
        int32_t partition;
        int64_t ms;
    } sends[] = {{"b", 0, 150}, {"a", 1, 99}, {"a", 0, 250}, {"a", 0, 100},
                 {"a", 0, 199}, {"a", 1, 50}, {"b", 0, 120}};
    struct listed listed = {.text = ""};
    rill_audit *sent;
    rill_audit *received;
    rill_audit *other;
    rill_producer *producer;
    rill_consumer *consumer;
    rill_record got[10];
    size_t all = 0;

    (void)state;
    test_topic(store, "a", 2);
    test_topic(store, "b", 1);
    OK(rill_audit_open(store, &options, &sent));
    OK(rill_audit_open(store, &options, &received));
    rill_audit_producer(sent, &counts_in);
    rill_audit_consumer(received, &counts_out);
    OK(rill_producer_open(store, &out, &producer));
    for (size_t i = 0; i < sizeof sends / sizeof sends[0]; i++) {
        rill_record record = text_record("k", "v");
        record.topic = sends[i].topic;
        record.partition = sends[i].partition;
        record.timestamp_ms = sends[i].ms;
        OK(rill_producer_send(producer, &record, NULL, 1000));
    }
    OK(rill_producer_flush(producer, 1000));
    {
        rill_record record = text_record("k", "v");
        record.topic = "a";
        record.partition = 5; /* refused: not counted */
        FAILS(RILL_ERR_NOT_FOUND, rill_producer_send(producer, &record, NULL, 1000));
    }
    OK(rill_audit_list(sent, list_window, &listed));
    assert_string_equal(listed.text,
                        "a-0@100:2[1,2] a-0@200:1[0,0] a-1@0:2[0,1] b-0@100:2[0,1] ");

    listed = (struct listed){.text = ""};
    OK(rill_audit_compare(sent, received, list_difference, &listed)); /* nothing is read yet */
    assert_string_equal(listed.text, "a-0@100:2/0 a-0@200:1/0 a-1@0:2/0 b-0@100:2/0 ");
    listed = (struct listed){.text = ""};
    OK(rill_audit_compare(received, sent, list_difference, &listed));
    assert_string_equal(listed.text, "a-0@100:0/2 a-0@200:0/1 a-1@0:0/2 b-0@100:0/2 ");

    consumer = consumer_open(store, &in);
    OK(rill_consumer_assign(consumer, from, 3));
    while (all < 7) all += take(consumer, got, 3);
    listed = (struct listed){.text = ""};
    OK(rill_audit_compare(sent, received, list_difference, &listed));
    assert_string_equal(listed.text, "");
    OK(rill_consumer_seek(consumer, "a", 0, 2)); /* one comes twice */
    assert_int_equal(take(consumer, got, 3), 1);
    OK(rill_audit_compare(sent, received, list_difference, &listed));
    assert_string_equal(listed.text, "a-0@100:2/3 ");

    listed = (struct listed){.text = "", .stop_after = 2};
    assert_int_equal(rill_audit_list(sent, list_window, &listed), 42);
    listed.stop_after = 1;
    assert_int_equal(rill_audit_compare(sent, received, list_difference, &listed), 43);

    options.window_ms = 0;
    OK(rill_audit_open(store, &options, &other));
    FAILS(RILL_ERR_INVALID, rill_audit_compare(sent, other, list_difference, &listed));
    rill_audit_close(other);
    OK(rill_producer_close(producer, 1000));
    OK(rill_consumer_close(consumer, 0));
    FAILS(RILL_ERR_STATE, rill_close(store));
    rill_audit_close(sent);
    rill_audit_close(received);
    rill_audit_close(NULL);
    OK(rill_close(store));
}

static void the_earliest_windows_go(void **state)
{
    rill *store = open_logging();
    rill_audit_options options = {.size = sizeof options, .window_ms = 10, .window_max = 2};
    rill_audit_window w = {.topic = "t", .record_count = 3, .first = 5, .last = 9};
    struct listed listed = {.text = ""};
    rill_audit *few;
    rill_audit *many;

    (void)state;
    OK(rill_audit_open(store, &options, &few));
    options.window_max = 0;
    OK(rill_audit_open(store, &options, &many));
    for (int64_t ms = 0; ms < 40; ms += 10) {
        w.begin_ms = ms;
        OK(rill_audit_add(few, &w));
        OK(rill_audit_add(many, &w));
    }
    w.begin_ms = 0; /* too late for it */
    OK(rill_audit_add(few, &w));
    OK(rill_audit_list(few, list_window, &listed));
    assert_string_equal(listed.text, "t-0@20:3[5,9] t-0@30:3[5,9] ");
    listed = (struct listed){.text = ""};
    OK(rill_audit_compare(many, few, list_difference,
                          &listed)); /* what it dropped does not count */
    assert_string_equal(listed.text, "");
    w.begin_ms = 30;
    w.first = 2;
    w.last = 11;
    OK(rill_audit_add(few, &w));
    OK(rill_audit_compare(many, few, list_difference, &listed));
    assert_string_equal(listed.text, "t-0@30:3/6 ");
    listed = (struct listed){.text = ""};
    OK(rill_audit_list(few, list_window, &listed));
    assert_string_equal(listed.text, "t-0@20:3[5,9] t-0@30:6[2,11] ");
    w.begin_ms = 35;
    FAILS(RILL_ERR_INVALID, rill_audit_add(few, &w));
    w.topic = NULL;
    FAILS(RILL_ERR_INVALID, rill_audit_add(few, &w));
    rill_audit_close(few);
    rill_audit_close(many);
    OK(rill_close(store));
}

/* One that comes late is the earliest itself: no other goes for it. */
static void a_late_window_drops_no_other(void **state)
{
    rill *store = open_logging();
    rill_audit_options options = {.size = sizeof options, .window_ms = 10, .window_max = 3};
    rill_audit_window w = {.topic = "t", .record_count = 1};
    struct listed listed = {.text = ""};
    rill_audit *few;

    (void)state;
    OK(rill_audit_open(store, &options, &few));
    for (w.partition = 0; w.partition < 3; w.partition++) {
        w.begin_ms = w.partition == 2 ? 40 : 30;
        OK(rill_audit_add(few, &w));
    }
    w.partition = 0;
    w.begin_ms = 20;
    OK(rill_audit_add(few, &w));
    OK(rill_audit_list(few, list_window, &listed));
    assert_string_equal(listed.text, "t-0@30:1[0,0] t-1@30:1[0,0] t-2@40:1[0,0] ");
    w.begin_ms = 50; /* of two that are the earliest one goes; then nothing is known of 30 */
    OK(rill_audit_add(few, &w));
    w.begin_ms = 30;
    OK(rill_audit_add(few, &w));
    w.begin_ms = 60;
    OK(rill_audit_add(few, &w));
    listed.text[0] = '\0';
    OK(rill_audit_list(few, list_window, &listed));
    assert_string_equal(listed.text, "t-0@50:1[0,0] t-0@60:1[0,0] t-2@40:1[0,0] ");
    rill_audit_close(few);
    OK(rill_close(store));
}

struct adding {
    struct listed listed;
    rill_audit *audit;
    rill_audit_window window; /* is added when the first is told */
};

static int list_and_add(void *arg, const rill_audit_window *w)
{
    struct adding *adding = arg;

    list_window(&adding->listed, w);
    if (adding->window.record_count != 0) OK(rill_audit_add(adding->audit, &adding->window));
    adding->window.record_count = 0;
    return 0;
}

/* The window that is told goes while it is: the list goes on behind it. */
static void windows_may_go_while_they_are_listed(void **state)
{
    static const int64_t more[] = {40, 50};
    rill *store = open_logging();
    rill_audit_options options = {.size = sizeof options, .window_ms = 10, .window_max = 2};
    rill_audit_window w = {.topic = "z", .record_count = 1};
    struct adding adding = {.listed = {.text = ""}};

    (void)state;
    OK(rill_audit_open(store, &options, &adding.audit));
    for (w.begin_ms = 20; w.begin_ms < 40; w.begin_ms += 10) OK(rill_audit_add(adding.audit, &w));
    for (int i = 0; i < 2; i++) {
        adding.listed.text[0] = '\0';
        adding.window = w;
        adding.window.begin_ms = more[i];
        if (i == 1) adding.window.topic = "a";
        OK(rill_audit_list(adding.audit, list_and_add, &adding));
        assert_string_equal(adding.listed.text, i == 0
                                                    ? "z-0@20:1[0,0] z-0@30:1[0,0] z-0@40:1[0,0] "
                                                    : "z-0@30:1[0,0] z-0@40:1[0,0] ");
    }
    w.begin_ms = 60; /* nothing is behind it any more */
    adding.listed.text[0] = '\0';
    adding.window = w;
    adding.window.begin_ms = 70;
    adding.window.topic = "a";
    options.window_max = 1;
    rill_audit_close(adding.audit);
    OK(rill_audit_open(store, &options, &adding.audit));
    OK(rill_audit_add(adding.audit, &w));
    OK(rill_audit_list(adding.audit, list_and_add, &adding));
    assert_string_equal(adding.listed.text, "z-0@60:1[0,0] ");
    rill_audit_close(adding.audit);
    OK(rill_close(store));
}

static int before_the_epoch(void *arg, rill_record *records, size_t *count)
{
    (void)arg;
    for (size_t i = 0; i < *count; i++) records[i].timestamp_ms = -1 - (int64_t)i * 100;
    return 0;
}

/* Two records, at -1 and -101 ms. */
static void windows_before_the_epoch_begin_at_multiples_too(void **state)
{
    rill *store = open_logging();
    rill_audit_options options = {.size = sizeof options, .window_ms = 100};
    rill_consumer_interceptor list[2] = {{.on_consume = before_the_epoch}};
    rill_consumer_options in = {.size = sizeof in, .interceptors = list, .interceptor_count = 2};
    rill_position from = {.topic = "t"};
    struct listed listed = {.text = ""};
    rill_consumer *consumer;
    rill_record got[10];
    rill_audit *audit;

    (void)state;
    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 2);
    OK(rill_audit_open(store, &options, &audit));
    rill_audit_consumer(audit, &list[1]);
    consumer = consumer_open(store, &in);
    OK(rill_consumer_assign(consumer, &from, 1));
    assert_int_equal(take(consumer, got, 10), 2);
    OK(rill_audit_list(audit, list_window, &listed));
    assert_string_equal(listed.text, "t-0@-200:1[1,1] t-0@-100:1[0,0] ");
    OK(rill_consumer_close(consumer, 0));
    rill_audit_close(audit);
    OK(rill_close(store));
}

static void missing_arguments_are_named(void **state)
{
    rill *store = open_logging();
    rill_audit_window w = {.topic = "t"};
    rill_record record = RILL_RECORD_INIT;
    char text[RILL_TRACEPARENT_SIZE];
    rill_audit *audit;
    rill_trace *trace;

    (void)state;
    FAILS(RILL_ERR_INVALID, rill_audit_open(store, &(rill_audit_options){.size = 1}, &audit));
    OK(rill_audit_open(store, NULL, &audit));
    FAILS(RILL_ERR_INVALID, rill_audit_open(NULL, NULL, &audit));
    FAILS(RILL_ERR_INVALID, rill_audit_open(store, NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_trace_open(NULL, NULL, &trace));
    FAILS(RILL_ERR_INVALID, rill_trace_open(store, NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_traceparent(NULL, text));
    FAILS(RILL_ERR_INVALID, rill_traceparent(&record, NULL));
    FAILS(RILL_ERR_INVALID, rill_audit_list(NULL, list_window, NULL));
    FAILS(RILL_ERR_INVALID, rill_audit_list(audit, NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_audit_add(audit, NULL));
    FAILS(RILL_ERR_INVALID, rill_audit_add(NULL, &w));
    FAILS(RILL_ERR_INVALID, rill_audit_compare(NULL, audit, list_difference, NULL));
    FAILS(RILL_ERR_INVALID, rill_audit_compare(audit, NULL, list_difference, NULL));
    FAILS(RILL_ERR_INVALID, rill_audit_compare(audit, audit, NULL, NULL));
    rill_audit_close(audit);
    OK(rill_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(in_kafkas_order),
        WITH_DIRECTORY(a_failing_one_is_passed_by),
        WITH_DIRECTORY(of_batches_and_reservations),
        WITH_DIRECTORY(what_is_refused_is_acknowledged_as_such),
        WITH_DIRECTORY(scratch_grows),
        WITH_DIRECTORY(either_serializer_may_refuse_alone),
        WITH_DIRECTORY(an_append_is_acknowledged_with_its_time),
        WITH_DIRECTORY(consumers_see_what_is_left),
        WITH_DIRECTORY(records_carry_their_trace),
        WITH_DIRECTORY(a_tracer_needs_no_callbacks),
        WITH_DIRECTORY(only_valid_contexts_count),
        WITH_DIRECTORY(two_ends_agree),
        WITH_DIRECTORY(the_earliest_windows_go),
        WITH_DIRECTORY(a_late_window_drops_no_other),
        WITH_DIRECTORY(windows_may_go_while_they_are_listed),
        WITH_DIRECTORY(windows_before_the_epoch_begin_at_multiples_too),
        WITH_DIRECTORY(missing_arguments_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
