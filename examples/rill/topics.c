/*
 * topics.c - rill topic ...: making, looking at, altering and deleting topics.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static bool json, if_missing, if_there, internal, yes;
static int64_t partitions, segment_ms, segment_bytes, max_message_bytes, index_interval_bytes,
    cleanup, timestamps, compression, segment_jitter_ms, retention_ms, retention_bytes,
    delete_retention_ms, min_compaction_lag_ms;
static double dirty_ratio;

/* ---- The options of a topic ---------------------------------------------------- */

/* "default" is 0 for the library, and takes an altered option back. */
static const struct choice defaults[] = {{"default", 0}, {0}};
static const struct choice forever[] = {{"forever", 0}, {"default", 0}, {0}};
static const struct choice unlimited[] = {{"unlimited", 0}, {"default", 0}, {0}};
static const struct choice cleanups[] = {{"delete", RILL_CLEANUP_DELETE},
                                         {"compact", RILL_CLEANUP_COMPACT},
                                         {"consumed", RILL_CLEANUP_CONSUMED},
                                         {"default", 0},
                                         {0}};
static const struct choice clocks[] = {
    {"create", RILL_TIMESTAMP_CREATE}, {"append", RILL_TIMESTAMP_APPEND}, {"default", 0}, {0}};
const struct choice compressions[] = {{"none", RILL_COMPRESSION_NONE},
                                      {"lz4", RILL_COMPRESSION_LZ4},
                                      {"zstd", RILL_COMPRESSION_ZSTD},
                                      {"default", RILL_COMPRESSION_DEFAULT},
                                      {0}};

/* What a topic is made with and can be altered to. */
#define ALTERABLE                                                                                \
    {"retention",                                                                                \
     0,                                                                                          \
     OPTION_DURATION,                                                                            \
     &retention_ms,                                                                              \
     "TIME",                                                                                     \
     "delete segments whose newest record is older; forever",                                    \
     1,                                                                                          \
     INT64_MAX,                                                                                  \
     forever},                                                                                   \
        {"retention-bytes",                                                                      \
         0,                                                                                      \
         OPTION_SIZE,                                                                            \
         &retention_bytes,                                                                       \
         "SIZE",                                                                                 \
         "delete a partition's oldest segments above this size; unlimited",                      \
         1,                                                                                      \
         INT64_MAX,                                                                              \
         unlimited},                                                                             \
        {"cleanup",                                                                              \
         0,                                                                                      \
         OPTION_CHOICES,                                                                         \
         &cleanup,                                                                               \
         "HOW",                                                                                  \
         "delete (by retention), compact (the last record of a key stays), consumed (what all "  \
         "groups have read goes), or several with commas; delete",                               \
         0,                                                                                      \
         0,                                                                                      \
         cleanups},                                                                              \
        {"compression",                                                                          \
         0,                                                                                      \
         OPTION_CHOICE,                                                                          \
         &compression,                                                                           \
         "CODEC",                                                                                \
         "none, lz4 or zstd, whatever producers ask for; default: what they ask for",            \
         0,                                                                                      \
         0,                                                                                      \
         compressions},                                                                          \
        {"timestamps",                                                                           \
         0,                                                                                      \
         OPTION_CHOICE,                                                                          \
         &timestamps,                                                                            \
         "WHOSE",                                                                                \
         "create (the producer's) or append (when it was appended); create",                     \
         0,                                                                                      \
         0,                                                                                      \
         clocks},                                                                                \
        {"segment-bytes", 0,       OPTION_SIZE,                                                  \
         &segment_bytes,  "SIZE",  "size of a segment file; 64MiB",                              \
         65536,           1 << 30, defaults},                                                    \
        {"segment-time",                                                                         \
         0,                                                                                      \
         OPTION_DURATION,                                                                        \
         &segment_ms,                                                                            \
         "TIME",                                                                                 \
         "begin a new segment when one is this old; 7d",                                         \
         1,                                                                                      \
         UINT32_MAX,                                                                             \
         defaults},                                                                              \
        {"segment-jitter",                                                                       \
         0,                                                                                      \
         OPTION_DURATION,                                                                        \
         &segment_jitter_ms,                                                                     \
         "TIME",                                                                                 \
         "begin it up to so much earlier, so that not all do at once; 0",                        \
         0,                                                                                      \
         UINT32_MAX,                                                                             \
         defaults},                                                                              \
        {"max-message", 0,                                                                       \
         OPTION_SIZE,   &max_message_bytes,                                                      \
         "SIZE",        "largest batch of records; 1MiB",                                        \
         1024,          1 << 30,                                                                 \
         defaults},                                                                              \
        {"delete-retention",                                                                     \
         0,                                                                                      \
         OPTION_DURATION,                                                                        \
         &delete_retention_ms,                                                                   \
         "TIME",                                                                                 \
         "a tombstone stays so long after it was first compacted; 1d",                           \
         1,                                                                                      \
         INT64_MAX,                                                                              \
         defaults},                                                                              \
        {"compaction-lag",                                                                       \
         0,                                                                                      \
         OPTION_DURATION,                                                                        \
         &min_compaction_lag_ms,                                                                 \
         "TIME",                                                                                 \
         "younger records are not compacted; 0",                                                 \
         0,                                                                                      \
         INT64_MAX,                                                                              \
         defaults},                                                                              \
    {                                                                                            \
        "dirty-ratio", 0, OPTION_RATIO, &dirty_ratio, "PART",                                    \
            "compact when so much of a partition never was; 0.5", 0, 0, defaults                 \
    }

static rill_topic_options topic_options(void)
{
    return (rill_topic_options){
        .size = sizeof(rill_topic_options),
        .partition_count = (uint32_t)partitions,
        .segment_ms = (uint32_t)segment_ms,
        .segment_bytes = (uint64_t)segment_bytes,
        .max_message_bytes = (uint32_t)max_message_bytes,
        .index_interval_bytes = (uint32_t)index_interval_bytes,
        .cleanup_policy = (uint32_t)cleanup,
        .timestamp_type = (uint32_t)timestamps,
        .compression = (uint32_t)compression,
        .segment_jitter_ms = (uint32_t)segment_jitter_ms,
        .retention_ms = (uint64_t)retention_ms,
        .retention_bytes = (uint64_t)retention_bytes,
        .delete_retention_ms = (uint64_t)delete_retention_ms,
        .min_compaction_lag_ms = (uint64_t)min_compaction_lag_ms,
        .min_cleanable_dirty_ratio = dirty_ratio,
    };
}

/* ---- create ------------------------------------------------------------------- */

static const struct option create_options[] = {
    {"partitions", 'p', OPTION_NUMBER, &partitions, "N", "how many partitions; 1", 1, 10000, 0},
    ALTERABLE,
    {"index-interval", 0, OPTION_SIZE, &index_interval_bytes, "SIZE",
     "an index entry for every so many bytes; 4KiB", 256, 1 << 30, 0},
    {"if-missing", 0, OPTION_FLAG, &if_missing, 0, "do nothing, successfully, if it is there", 0,
     0, 0},
    {0},
};

static int run_create(char **arguments, size_t count)
{
    const rill_topic_options options = topic_options();
    rill *store;
    int status = store_open(RILL_OPEN_CREATE, &store);

    if (status != DONE) return status;
    for (size_t i = 0; i < count && status == DONE; i++) {
        int rc = rill_topic_create(store, arguments[i], &options);

        if (rc != 0 && !(rc == RILL_ERR_EXISTS && if_missing)) status = fail_rill(rc);
    }
    return store_close(store, status);
}

/* ---- list ----------------------------------------------------------------------- */

static const struct option list_options[] = {
    {"internal", 0, OPTION_FLAG, &internal, 0, "also those whose names begin with \"__\"", 0, 0,
     0},
    {"json", 0, OPTION_FLAG, &json, 0, "an array of objects", 0, 0, 0},
    {0},
};

struct listing {
    rill *store;
    int worst; /* of what went wrong with single topics */
};

static int list_one(void *arg, const rill_topic_info *topic)
{
    struct listing *listing = arg;
    rill_topic_info info; /* also says how much it holds */
    int rc;

    if (!internal && strncmp(topic->name, "__", 2) == 0) return 0;
    rc = rill_topic_describe(listing->store, topic->name, &info);
    if (rc == RILL_ERR_NOT_FOUND) return 0; /* deleted this moment */
    if (rc != 0) listing->worst = fail_rill(rc);
    if (json) {
        json_open(NULL, '{');
        json_text("topic", topic->name);
        json_unsigned("partitions", topic->options.partition_count);
        if (rc == 0) {
            json_unsigned("records", info.record_span);
            json_unsigned("bytes", info.stored_bytes);
            json_unsigned("segments", info.segment_count);
        }
        json_number("created_ms", topic->created_ms);
        json_close();
        return 0;
    }
    table_cell("%s", topic->name);
    table_cell("%u", topic->options.partition_count);
    table_cell("%s", rc == 0 ? count_text((int64_t)info.record_span) : "?");
    table_cell("%s", rc == 0 ? size_text(info.stored_bytes) : "?");
    table_cell("%s", time_text(topic->created_ms));
    return 0;
}

static int run_list(char **arguments, size_t count)
{
    struct listing listing = {.worst = DONE};
    int status = store_open(0, &listing.store), rc;

    (void)arguments, (void)count;
    if (status != DONE) return status;
    put_hold(true);
    if (json) json_open(NULL, '[');
    else table_begin("TOPIC PARTITIONS> RECORDS> ON_DISK> CREATED");
    rc = rill_topic_list(listing.store, list_one, &listing);
    if (json) json_close();
    else table_end();
    if (rc != 0) {
        put_drop();
        status = fail_rill(rc);
    }
    put_hold(false);
    return store_close(listing.store, status != DONE ? status : listing.worst);
}

/* ---- describe --------------------------------------------------------------------- */

static const struct option describe_options[] = {
    {"json", 0, OPTION_FLAG, &json, 0, "an array of objects", 0, 0, 0},
    {0},
};

static void id_text(const uint8_t id[16], char text[33])
{
    for (int i = 0; i < 16; i++) snprintf(text + 2 * i, 3, "%02x", id[i]);
}

/* The names of those of choices that are in value, with commas between them. */
static const char *choices_in(const struct choice *choices, uint32_t value, char text[64])
{
    size_t used = 0;

    text[0] = 0;
    for (; choices->name != NULL; choices++)
        if (choices->value != 0 && (value & (uint32_t)choices->value) != 0)
            used += (size_t)snprintf(text + used, 64 - used, "%s%s", used > 0 ? "," : "",
                                     choices->name);
    return text;
}

static const char *choice_of(const struct choice *choices, uint32_t value)
{
    for (; choices->name != NULL; choices++)
        if ((uint32_t)choices->value == value) return choices->name;
    return "?";
}

static void describe_options_json(const rill_topic_options *options)
{
    char names[64];

    json_open("options", '{');
    json_unsigned("partition_count", options->partition_count);
    json_unsigned("segment_bytes", options->segment_bytes);
    json_unsigned("segment_ms", options->segment_ms);
    json_unsigned("segment_jitter_ms", options->segment_jitter_ms);
    json_unsigned("max_message_bytes", options->max_message_bytes);
    json_unsigned("index_interval_bytes", options->index_interval_bytes);
    json_text("cleanup_policy", choices_in(cleanups, options->cleanup_policy, names));
    json_text("timestamp_type", choice_of(clocks, options->timestamp_type));
    json_text("compression", choice_of(compressions, options->compression));
    json_unsigned("retention_ms", options->retention_ms);
    json_unsigned("retention_bytes", options->retention_bytes);
    json_unsigned("delete_retention_ms", options->delete_retention_ms);
    json_unsigned("min_compaction_lag_ms", options->min_compaction_lag_ms);
    json_real("min_cleanable_dirty_ratio", options->min_cleanable_dirty_ratio);
    json_close();
}

static void describe_options_text(const rill_topic_options *options)
{
    char names[64];

    putf("  segments of %s, for %s; batches up to %s; an index entry per %s\n",
         size_text(options->segment_bytes), duration_text(options->segment_ms),
         size_text(options->max_message_bytes), size_text(options->index_interval_bytes));
    putf("  cleanup %s; retention %s, %s per partition\n",
         choices_in(cleanups, options->cleanup_policy, names),
         options->retention_ms != 0 ? duration_text((int64_t)options->retention_ms) : "forever",
         options->retention_bytes != 0 ? size_text(options->retention_bytes) : "unlimited");
    if (options->cleanup_policy & RILL_CLEANUP_COMPACT)
        putf("  compaction when %.0f%% are dirty, after %s; tombstones stay %s\n",
             options->min_cleanable_dirty_ratio * 100,
             duration_text((int64_t)options->min_compaction_lag_ms),
             duration_text((int64_t)options->delete_retention_ms));
    putf("  compression %s; timestamps %s\n",
         options->compression != 0 ? choice_of(compressions, options->compression)
                                   : "as the producer asks",
         options->timestamp_type == RILL_TIMESTAMP_APPEND ? "of the append" : "of the producer");
}

static int describe_partition(rill *store, const rill_topic_info *topic, uint32_t partition)
{
    rill_partition_info info;
    int rc = rill_partition_describe(store, topic->name, (int32_t)partition, &info);

    if (rc != 0) return fail_rill(rc);
    if (json) {
        json_open(NULL, '{');
        json_unsigned("partition", partition);
        json_offset("log_start", info.log_start);
        json_offset("log_end", info.log_end);
        json_offset("durable_end", info.durable_end);
        json_number("leader_epoch", info.leader_epoch);
        json_unsigned("segments", info.segment_count);
        json_unsigned("bytes", info.segment_bytes);
        json_close();
        return DONE;
    }
    table_cell("  %u", partition);
    table_cell("%s", count_text(info.log_end - info.log_start));
    table_cell("%s", offset_text(info.log_start));
    table_cell("%s", offset_text(info.log_end));
    table_cell("%s", offset_text(info.durable_end));
    table_cell("%d", info.leader_epoch);
    table_cell("%u", info.segment_count);
    table_cell("%s", size_text(info.segment_bytes));
    return DONE;
}

static int describe_topic(rill *store, const char *name)
{
    rill_topic_info topic;
    char id[33];
    int rc = rill_topic_describe(store, name, &topic), worst = DONE;

    if (rc != 0) return fail_rill(rc);
    id_text(topic.id, id);
    if (json) {
        json_open(NULL, '{');
        json_text("topic", topic.name);
        json_text("id", id);
        json_number("created_ms", topic.created_ms);
        describe_options_json(&topic.options);
        json_open("partitions", '[');
    } else {
        putf("%stopic %s%s, created %s, directory %s\n", colour(BOLD), topic.name, colour(PLAIN),
             time_text(topic.created_ms), id);
        describe_options_text(&topic.options);
        table_begin("__PARTITION RECORDS> START> END> DURABLE> EPOCH> SEGMENTS> ON_DISK>");
    }
    for (uint32_t p = 0; p < topic.options.partition_count; p++) {
        int status = describe_partition(store, &topic, p);

        if (status != DONE) worst = status;
    }
    if (json) {
        json_close();
        json_close();
    } else {
        table_end();
    }
    return worst;
}

static int run_describe(char **arguments, size_t count)
{
    rill *store;
    int worst = DONE, status = store_open(0, &store);

    if (status != DONE) return status;
    put_hold(json);
    if (json) json_open(NULL, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !json) put("\n");
        status = describe_topic(store, arguments[i]);
        if (status != DONE) worst = status;
    }
    if (json) json_close();
    put_hold(false);
    return store_close(store, worst);
}

/* ---- alter -------------------------------------------------------------------------- */

static const struct option alter_options[] = {
    ALTERABLE,
    {0},
};

/* Which options of the library the given ones are. */
static uint32_t given_fields(void)
{
    const struct {
        const void *value;
        uint32_t field;
    } fields[] = {
        {&retention_ms, RILL_TOPIC_RETENTION_MS},
        {&retention_bytes, RILL_TOPIC_RETENTION_BYTES},
        {&cleanup, RILL_TOPIC_CLEANUP_POLICY},
        {&compression, RILL_TOPIC_COMPRESSION},
        {&timestamps, RILL_TOPIC_TIMESTAMP_TYPE},
        {&segment_bytes, RILL_TOPIC_SEGMENT_BYTES},
        {&segment_ms, RILL_TOPIC_SEGMENT_MS},
        {&segment_jitter_ms, RILL_TOPIC_SEGMENT_JITTER_MS},
        {&max_message_bytes, RILL_TOPIC_MAX_MESSAGE_BYTES},
        {&delete_retention_ms, RILL_TOPIC_DELETE_RETENTION_MS},
        {&min_compaction_lag_ms, RILL_TOPIC_MIN_COMPACTION_LAG_MS},
        {&dirty_ratio, RILL_TOPIC_MIN_CLEANABLE_DIRTY_RATIO},
    };
    uint32_t all = 0;

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (given(fields[i].value)) all |= fields[i].field;
    return all;
}

static int run_alter(char **arguments, size_t count)
{
    const rill_topic_options options = topic_options();
    const uint32_t fields = given_fields();
    rill *store;
    int status;

    if (fields == 0) return usage("what is to be altered? at least one option is expected");
    status = store_open(0, &store);
    if (status != DONE) return status;
    for (size_t i = 0; i < count && status == DONE; i++) {
        int rc = rill_topic_alter(store, arguments[i], fields, &options);

        if (rc != 0) status = fail_rill(rc);
    }
    return store_close(store, status);
}

/* ---- add-partitions ------------------------------------------------------------------- */

static int run_add_partitions(char **arguments, size_t count)
{
    int64_t total;
    rill *store;
    int status, rc;

    (void)count;
    if (!read_number(arguments[1], &total) || total < 1 || total > 10000)
        return usage("%s: the new number of partitions, up to 10,000, is expected", arguments[1]);
    status = store_open(0, &store);
    if (status != DONE) return status;
    rc = rill_topic_add_partitions(store, arguments[0], (uint32_t)total);
    return store_close(store, rc != 0 ? fail_rill(rc) : DONE);
}

/* ---- delete ------------------------------------------------------------------------- */

static const struct option delete_options[] = {
    {"if-there", 0, OPTION_FLAG, &if_there, 0, "do nothing, successfully, if it is not there", 0,
     0, 0},
    {"yes", 'y', OPTION_FLAG, &yes, 0, "do not ask", 0, 0, 0},
    {0},
};

static int run_delete(char **arguments, size_t count)
{
    rill *store;
    int status = store_open(0, &store);

    if (status != DONE) return status;
    for (size_t i = 0; i < count && status == DONE; i++) {
        rill_topic_info topic;
        int rc = rill_topic_describe(store, arguments[i], &topic);

        if (rc == RILL_ERR_NOT_FOUND && if_there) continue;
        if (rc == 0 && !yes &&
            !confirmed("delete topic %s with %s", topic.name,
                       counted((int64_t)topic.record_span, "record"))) {
            status = fail(FAILED, "topic %s stays", topic.name);
            break;
        }
        if (rc == 0) rc = rill_topic_delete(store, arguments[i]);
        if (rc != 0) status = fail_rill(rc);
    }
    return store_close(store, status);
}

const struct command topic_commands[] = {
    {"topic create", "TOPIC...", "make topics, and the store if there is none",
     "Names have letters, digits, dots, underscores and dashes, 249 at most. What is created is "
     "durable when the command returns.",
     create_options,
     "rill topic create orders --partitions=4\n"
     "# small segments, a new one every hour\n"
     "rill topic create clicks --segment-bytes=16MiB --segment-time=1h",
     run_create},
    {"topic list", "", "all topics, and what they hold", "", list_options,
     "rill topic list\n"
     "rill topic list --json | jq -r '.[] | select(.records == 0) | .topic'",
     run_list},
    {"topic describe", "TOPIC...", "a topic's options and partitions",
     "START is the first offset that is still there, END the one that the next record gets; all "
     "before DURABLE survives a power cut.",
     describe_options, "rill topic describe orders\nrill topic describe orders --json",
     run_describe},
    {"topic alter", "TOPIC...", "change the options of topics",
     "Who uses the topic, in any process, follows at its next call. What is not named stays; the "
     "value "
     "default takes an option back. Segments that are there keep their size.",
     alter_options,
     "rill topic alter orders --retention=30d --cleanup=compact,delete\n"
     "rill topic alter orders --retention=default",
     run_alter},
    {"topic add-partitions", "TOPIC N", "give a topic more partitions: N in all",
     "Records that are there stay where they are, so a key may have its older records in another "
     "partition than its newer ones. Partitions cannot be taken away.",
     NULL, "rill topic add-partitions orders 8", run_add_partitions},
    {"topic delete", "TOPIC...", "delete topics with their records and committed offsets",
     "On a terminal it asks first. Others that use the topic get an error from their next call.",
     delete_options, "rill topic delete orders --yes", run_delete},
    {0},
};
