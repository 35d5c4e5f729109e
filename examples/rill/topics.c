/*
 * topics.c - rill topic ...: making, looking at and deleting topics.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static bool json, if_missing, if_there, internal, yes;
static int64_t partitions, segment_ms, segment_bytes, max_message_bytes, index_interval_bytes;

/* ---- create ------------------------------------------------------------------- */

static const struct option create_options[] = {
    {"partitions", 'p', OPTION_NUMBER, &partitions, "N", "how many partitions; 1", 1, 10000, 0},
    {"segment-bytes", 0, OPTION_SIZE, &segment_bytes, "SIZE", "size of a segment file; 64MiB",
     65536, 1 << 30, 0},
    {"segment-time", 0, OPTION_DURATION, &segment_ms, "TIME",
     "begin a new segment when one is this old; 7d", 1, UINT32_MAX, 0},
    {"max-message", 0, OPTION_SIZE, &max_message_bytes, "SIZE", "largest batch of records; 1MiB",
     1024, 1 << 30, 0},
    {"index-interval", 0, OPTION_SIZE, &index_interval_bytes, "SIZE",
     "an index entry for every so many bytes; 4KiB", 256, 1 << 30, 0},
    {"if-missing", 0, OPTION_FLAG, &if_missing, 0, "do nothing, successfully, if it is there", 0,
     0, 0},
    {0},
};

static int run_create(char **arguments, size_t count)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = (uint32_t)partitions,
                                  .segment_ms = (uint32_t)segment_ms,
                                  .segment_bytes = (uint64_t)segment_bytes,
                                  .max_message_bytes = (uint32_t)max_message_bytes,
                                  .index_interval_bytes = (uint32_t)index_interval_bytes};
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

struct totals {
    uint64_t records;
    uint64_t bytes;
    uint64_t segments;
};

/* Adds up what a topic holds; a partition that cannot be looked at stops it. */
static int add_up(rill *store, const rill_topic_info *topic, struct totals *totals)
{
    *totals = (struct totals){0};
    for (uint32_t p = 0; p < topic->options.partition_count; p++) {
        rill_partition_info info;
        int rc = rill_partition_describe(store, topic->name, (int32_t)p, &info);

        if (rc != 0) return rc;
        totals->records += (uint64_t)(info.log_end - info.log_start);
        totals->bytes += info.segment_bytes;
        totals->segments += info.segment_count;
    }
    return 0;
}

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
    struct totals totals;
    int rc;

    if (!internal && strncmp(topic->name, "__", 2) == 0) return 0;
    rc = add_up(listing->store, topic, &totals);
    if (rc == RILL_ERR_NOT_FOUND) return 0; /* deleted this moment */
    if (rc != 0) listing->worst = fail_rill(rc);
    if (json) {
        json_open(NULL, '{');
        json_text("topic", topic->name);
        json_unsigned("partitions", topic->options.partition_count);
        if (rc == 0) {
            json_unsigned("records", totals.records);
            json_unsigned("bytes", totals.bytes);
            json_unsigned("segments", totals.segments);
        }
        json_number("created_ms", topic->created_ms);
        json_close();
        return 0;
    }
    table_cell("%s", topic->name);
    table_cell("%u", topic->options.partition_count);
    table_cell("%s", rc == 0 ? count_text((int64_t)totals.records) : "?");
    table_cell("%s", rc == 0 ? size_text(totals.bytes) : "?");
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

static void describe_options_json(const rill_topic_options *options)
{
    json_open("options", '{');
    json_unsigned("partition_count", options->partition_count);
    json_unsigned("segment_bytes", options->segment_bytes);
    json_unsigned("segment_ms", options->segment_ms);
    json_unsigned("max_message_bytes", options->max_message_bytes);
    json_unsigned("index_interval_bytes", options->index_interval_bytes);
    json_close();
}

static void describe_options_text(const rill_topic_options *options)
{
    putf("  segments of %s, for %s; batches up to %s; an index entry per %s\n",
         size_text(options->segment_bytes), duration_text(options->segment_ms),
         size_text(options->max_message_bytes), size_text(options->index_interval_bytes));
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
        struct totals totals;
        int rc = rill_topic_describe(store, arguments[i], &topic);

        if (rc == RILL_ERR_NOT_FOUND && if_there) continue;
        if (rc == 0 && !yes && add_up(store, &topic, &totals) == 0 &&
            !confirmed("delete topic %s with %s records", topic.name,
                       count_text((int64_t)totals.records))) {
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
    {"topic delete", "TOPIC...", "delete topics with their records and committed offsets",
     "On a terminal it asks first. Others that use the topic get an error from their next call.",
     delete_options, "rill topic delete orders --yes", run_delete},
    {0},
};
