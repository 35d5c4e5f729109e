/*
 * Any names, patterns and options: taken as rill.h says, or refused by it.
 */
#include "fuzz.h"
#include <regex.h>

static rill *store;

static void make(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    char path[700];

    snprintf(path, sizeof path, "%s/store", fuzz_directory());
    MUST(rill_open(path, &options, &store) == 0);
    MUST(rill_topic_create(store, "a.topic", NULL) == 0);
}

/* Kafka's rule. */
static bool is_name(const char *name)
{
    static const char *const good =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(name);

    return size > 0 && size <= 249 && strspn(name, good) == size && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static void try_topic(const char *name)
{
    rill_topic_info info;
    int rc = rill_topic_create(store, name, NULL);

    if (strcmp(name, "a.topic") == 0) {
        MUST(rc == RILL_ERR_EXISTS);
        return;
    }
    MUST(rc == (is_name(name) ? 0 : RILL_ERR_INVALID));
    MUST(rill_topic_describe(store, name, &info) == (rc == 0 ? 0 : rc));
    if (rc == 0) MUST(strcmp(info.name, name) == 0 && rill_topic_delete(store, name) == 0);
}

static void try_group(const char *name)
{
    rill_consumer_options options = {.size = sizeof options, .group = name};
    rill_consumer *consumer;
    int rc = rill_consumer_open(store, &options, &consumer);

    MUST(rc == 0 || rc == RILL_ERR_INVALID);
    if (rc == 0) MUST(rill_consumer_close(consumer, 1000) == 0);
}

static void try_pattern(const char *text)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    const char *topics[1] = {text};
    rill_consumer *consumer;
    regex_t regular;
    int code;
    int rc;

    MUST(rill_consumer_open(store, &options, &consumer) == 0);
    rc = rill_consumer_subscribe(consumer, topics, 1);
    if (text[0] == '^') {
        code = regcomp(&regular, text, REG_EXTENDED | REG_NOSUB);
        MUST((rc == 0) == (code == 0 && strchr(text, '\n') == NULL) || rc == RILL_ERR_NO_MEMORY);
        if (code == 0) regfree(&regular);
    } else {
        MUST(is_name(text) ? rc == 0 || rc == RILL_ERR_NOT_FOUND : rc == RILL_ERR_INVALID);
    }
    MUST(rill_consumer_close(consumer, 1000) == 0);
}

static bool in(uint64_t value, uint64_t least, uint64_t most)
{
    return value >= least && value <= most;
}

static void try_topic_options(struct input *input)
{
    rill_topic_options options = {.size = sizeof options};
    rill_topic_info info;
    int rc;

    options.partition_count = (uint32_t)input_take(input, 1) % 12;
    options.segment_ms = (uint32_t)input_take(input, 4);
    options.segment_bytes = input_take(input, 8);
    options.max_message_bytes = (uint32_t)input_take(input, 4);
    options.index_interval_bytes = (uint32_t)input_take(input, 4);
    rc = rill_topic_create(store, "options", &options);
    MUST(rc == 0 || rc == RILL_ERR_INVALID);
    if (rc != 0) return;
    MUST(rill_topic_describe(store, "options", &info) == 0);
    MUST(in(info.options.partition_count, 1, 12) && info.options.segment_ms >= 1);
    MUST(in(info.options.segment_bytes, 64 << 10, 1 << 30));
    MUST(in(info.options.max_message_bytes, 1024, info.options.segment_bytes - 4096));
    MUST(in(info.options.index_interval_bytes, 256, 1 << 30));
    MUST(options.segment_ms == 0 || info.options.segment_ms == options.segment_ms);
    MUST(rill_topic_delete(store, "options") == 0);
}

static void try_producer_options(struct input *input)
{
    rill_producer_options options = {.size = sizeof options, .topic = "a.topic"};
    rill_producer *producer;
    int rc;

    options.acks = (int32_t)input_take(input, 4);
    options.linger_ms = (uint32_t)input_take(input, 4);
    options.batch_bytes = (uint32_t)input_take(input, 3);
    options.flags = (uint32_t)input_take(input, 1);
    options.buffer_bytes = input_take(input, 5);
    rc = rill_producer_open(store, &options, &producer);
    MUST(rc == 0 || rc == RILL_ERR_INVALID || rc == RILL_ERR_NO_MEMORY);
    if (rc == 0) MUST(rill_producer_close(producer, 1000) == 0);
}

static void try_consumer_options(struct input *input)
{
    rill_consumer_options options = {.size = sizeof options};
    rill_consumer *consumer;
    int rc;

    options.auto_offset_reset = (int32_t)input_take(input, 1);
    options.isolation = (int32_t)input_take(input, 1);
    options.assignor = (int32_t)input_take(input, 1);
    options.flags = (uint32_t)input_take(input, 1);
    options.session_timeout_ms = (uint32_t)input_take(input, 4);
    options.max_poll_interval_ms = (uint32_t)input_take(input, 4);
    rc = rill_consumer_open(store, &options, &consumer);
    MUST(rc == 0 || rc == RILL_ERR_INVALID);
    if (rc == 0) MUST(rill_consumer_close(consumer, 1000) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, data + size};
    uint64_t what = input_take(&input, 1) % 6;
    char text[600];
    size_t length = 0;

    if (store == NULL) make();
    while (what < 3 && input_left(&input) && length < sizeof text - 1)
        text[length++] = (char)input_take(&input, 1);
    text[length] = '\0';
    switch (what) {
    case 0: try_topic(text); break;
    case 1: try_group(text); break;
    case 2: try_pattern(text); break;
    case 3: try_topic_options(&input); break;
    case 4: try_producer_options(&input); break;
    default: try_consumer_options(&input); break;
    }
    return 0;
}
