/*
 * engine/topic_options.c - the options of a topic: taken from the caller, checked
 * each and together, kept in the catalogue's form, shown again.
 *
 * An alteration is checked like a new topic: what is named with its new value,
 * the rest with the one it has.
 */
#include "engine/store.h"
#include <inttypes.h>
#include <string.h>

#define SEGMENT_HEAD 4096u /* of a segment: what no batch can have */

struct alterable_option {
    uint32_t bit;
    const char *name;
    size_t at;
    size_t size;
};

static const struct alterable_option alterable[] = {
#define OPTION(bit, field)                                                                       \
    {                                                                                            \
        bit, #field, offsetof(rill_topic_options, field), sizeof((rill_topic_options){0}.field)  \
    }
    OPTION(RILL_TOPIC_SEGMENT_MS, segment_ms),
    OPTION(RILL_TOPIC_SEGMENT_BYTES, segment_bytes),
    OPTION(RILL_TOPIC_MAX_MESSAGE_BYTES, max_message_bytes),
    OPTION(RILL_TOPIC_CLEANUP_POLICY, cleanup_policy),
    OPTION(RILL_TOPIC_TIMESTAMP_TYPE, timestamp_type),
    OPTION(RILL_TOPIC_COMPRESSION, compression),
    OPTION(RILL_TOPIC_SEGMENT_JITTER_MS, segment_jitter_ms),
    OPTION(RILL_TOPIC_RETENTION_MS, retention_ms),
    OPTION(RILL_TOPIC_RETENTION_BYTES, retention_bytes),
    OPTION(RILL_TOPIC_DELETE_RETENTION_MS, delete_retention_ms),
    OPTION(RILL_TOPIC_MIN_COMPACTION_LAG_MS, min_compaction_lag_ms),
    OPTION(RILL_TOPIC_MIN_CLEANABLE_DIRTY_RATIO, min_cleanable_dirty_ratio),
#undef OPTION
};
#define ALTERABLE (sizeof alterable / sizeof alterable[0])

/* max_asked: the caller said how large a batch may be, rather than leave it. */
static int check_together(rill_topic_options *o, bool max_asked)
{
    o->segment_bytes = (o->segment_bytes + 4095) & ~UINT64_C(4095);
    if (o->max_message_bytes > o->segment_bytes - SEGMENT_HEAD) {
        if (max_asked)
            return rill__fail(RILL_ERR_INVALID,
                              "max_message_bytes is %u; segments of %" PRIu64
                              " bytes (segment_bytes) hold batches of at most %" PRIu64,
                              o->max_message_bytes, o->segment_bytes,
                              o->segment_bytes - SEGMENT_HEAD);
        o->max_message_bytes = (uint32_t)(o->segment_bytes - SEGMENT_HEAD);
    }
    if (o->segment_jitter_ms > o->segment_ms)
        return rill__fail(RILL_ERR_INVALID,
                          "segment_jitter_ms is %u; at most segment_ms, which is %u",
                          o->segment_jitter_ms, o->segment_ms);
    if (o->compression == 2)
        return rill__fail(RILL_ERR_INVALID,
                          "compression 2 is Kafka's snappy; there are none (%d), lz4 (%d) and "
                          "zstd (%d)",
                          RILL_COMPRESSION_NONE, RILL_COMPRESSION_LZ4, RILL_COMPRESSION_ZSTD);
    return 0;
}

static void keep_options(const rill_topic_options *o, struct meta_topic *topic)
{
    topic->partition_count = o->partition_count;
    topic->segment_ms = o->segment_ms;
    topic->segment_bytes = o->segment_bytes;
    topic->max_message_bytes = o->max_message_bytes;
    topic->index_interval_bytes = o->index_interval_bytes;
    topic->cleanup_policy = o->cleanup_policy;
    topic->timestamp_type = o->timestamp_type;
    topic->compression = o->compression;
    topic->segment_jitter_ms = o->segment_jitter_ms;
    topic->retention_ms = o->retention_ms;
    topic->retention_bytes = o->retention_bytes;
    topic->delete_retention_ms = o->delete_retention_ms;
    topic->min_compaction_lag_ms = o->min_compaction_lag_ms;
    topic->min_cleanable_dirty_ratio = o->min_cleanable_dirty_ratio;
}

void rill__topic_options_show(const struct meta_topic *topic, rill_topic_options *o)
{
    memset(o, 0, sizeof *o);
    o->size = sizeof *o;
    o->partition_count = topic->partition_count;
    o->segment_ms = topic->segment_ms;
    o->segment_bytes = topic->segment_bytes;
    o->max_message_bytes = topic->max_message_bytes;
    o->index_interval_bytes = topic->index_interval_bytes;
    o->cleanup_policy = topic->cleanup_policy;
    o->timestamp_type = topic->timestamp_type;
    o->compression = topic->compression;
    o->segment_jitter_ms = topic->segment_jitter_ms;
    o->retention_ms = topic->retention_ms;
    o->retention_bytes = topic->retention_bytes;
    o->delete_retention_ms = topic->delete_retention_ms;
    o->min_compaction_lag_ms = topic->min_compaction_lag_ms;
    o->min_cleanable_dirty_ratio = topic->min_cleanable_dirty_ratio;
}

static bool says_max(const rill_topic_options *given)
{
    return given != NULL && given->size > offsetof(rill_topic_options, max_message_bytes) &&
           given->max_message_bytes != 0;
}

int rill__topic_options_take(const rill_topic_options *given, struct meta_topic *topic)
{
    rill_topic_options options;
    int rc = rill__options_take(OPTIONS_TOPIC, given, &options);

    if (rc == 0) rc = check_together(&options, says_max(given));
    if (rc == 0) keep_options(&options, topic);
    return rc;
}

static int check_fields(uint32_t fields)
{
    uint32_t known = 0;

    if ((fields & RILL_TOPIC_PARTITION_COUNT) != 0)
        return rill__fail(RILL_ERR_INVALID, "partition_count cannot be altered; "
                                            "rill_topic_add_partitions adds some");
    if ((fields & RILL_TOPIC_INDEX_INTERVAL_BYTES) != 0)
        return rill__fail(RILL_ERR_INVALID,
                          "index_interval_bytes cannot be altered: the indexes that are there "
                          "were made with it");
    for (size_t i = 0; i < ALTERABLE; i++) known |= alterable[i].bit;
    if (fields == 0 || (fields & ~known) != 0)
        return rill__fail(RILL_ERR_INVALID,
                          "fields is %#x; it names options, by the bits %#x (RILL_TOPIC_*)",
                          fields, known);
    return 0;
}

int rill__topic_options_alter(uint32_t fields, const rill_topic_options *given,
                              struct meta_topic *topic)
{
    rill_topic_options wanted;
    rill_topic_options options;
    bool max_asked = (fields & RILL_TOPIC_MAX_MESSAGE_BYTES) == 0 || says_max(given);
    int rc = check_fields(fields);

    if (rc == 0) rc = rill__options_take(OPTIONS_TOPIC, given, &wanted);
    if (rc != 0) return rc;
    rill__topic_options_show(topic, &options);
    for (size_t i = 0; i < ALTERABLE; i++)
        if ((fields & alterable[i].bit) != 0)
            memcpy((char *)&options + alterable[i].at, (const char *)&wanted + alterable[i].at,
                   alterable[i].size);
    rc = check_together(&options, max_asked);
    if (rc == 0) keep_options(&options, topic);
    return rc;
}
