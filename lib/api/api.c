/*
 * api/api.c - the public functions of the library, the store and topics.
 *
 * Here arguments are checked for being there at all, and handles for having
 * come through a fork; everything else is the engine's.
 */
#include "api/api.h"
#include "base/codec.h"

int rill__missing(const char *function, const char *argument)
{
    return rill__fail(RILL_ERR_INVALID, "%s: %s is NULL", function, argument);
}

const char *rill_version(void)
{
    return RILL__TEXT(RILL_VERSION_MAJOR) "." RILL__TEXT(RILL_VERSION_MINOR) "." RILL__TEXT(
        RILL_VERSION_PATCH);
}

int rill_compression_available(uint32_t compression)
{
    return compression == RILL_COMPRESSION_DEFAULT || compression == RILL_COMPRESSION_NONE ||
           (compression <= RILL_COMPRESSION_ZSTD && rill__codec_available((int)compression));
}

const char *rill_strerror(int err)
{
    return rill__error_text(err);
}

const char *rill_errmsg(void)
{
    return rill__message();
}

void rill_set_bug_handler(rill_bug_fn handler)
{
    rill__set_bug_handler(handler);
}

/* ---- Store ------------------------------------------------------------ */

int rill_open(const char *dir, const rill_options *options, rill **store)
{
    if (dir == NULL || dir[0] == '\0') return rill__missing("rill_open", "dir");
    if (store == NULL) return rill__missing("rill_open", "store");
    return rill__store_open(dir, options, store);
}

int rill_close(rill *store)
{
    int rc;

    if (store == NULL) return 0;
    rc = rill__handle_check(store);
    return rc != 0 ? rc : rill__store_close(store);
}

int rill_sync(rill *store, int timeout_ms)
{
    int rc;

    if (store == NULL) return rill__missing("rill_sync", "store");
    rc = rill__handle_check(store);
    return rc != 0 ? rc : rill__store_sync(store->store, timeout_ms);
}

int rill_maintain(rill *store, uint32_t *next_ms)
{
    uint32_t ignored;
    int rc;

    if (store == NULL) return rill__missing("rill_maintain", "store");
    rc = rill__handle_check(store);
    return rc != 0 ? rc
                   : rill__store_maintain(store->store, next_ms != NULL ? next_ms : &ignored);
}

int rill_stats_get(rill *store, rill_stats *stats)
{
    int rc;

    if (store == NULL) return rill__missing("rill_stats_get", "store");
    if (stats == NULL) return rill__missing("rill_stats_get", "stats");
    rc = rill__handle_check(store);
    return rc != 0 ? rc : rill__store_stats(store->store, false, stats);
}

int rill_stats_total(rill *store, rill_stats *stats)
{
    int rc;

    if (store == NULL) return rill__missing("rill_stats_total", "store");
    if (stats == NULL) return rill__missing("rill_stats_total", "stats");
    rc = rill__handle_check(store);
    return rc != 0 ? rc : rill__store_stats(store->store, true, stats);
}

int rill_metrics(rill *store, char *text, size_t text_size, size_t *needed)
{
    int rc;

    if (store == NULL) return rill__missing("rill_metrics", "store");
    if (text == NULL && text_size != 0) return rill__missing("rill_metrics", "text");
    rc = rill__handle_check(store);
    return rc != 0 ? rc : rill__metrics(store->store, text, text_size, needed);
}

int rill_explain(rill *store, const rill_subject *subject,
                 int (*visit)(void *arg, const rill_fact *fact), void *arg)
{
    int rc;

    if (store == NULL) return rill__missing("rill_explain", "store");
    if (subject == NULL) return rill__missing("rill_explain", "subject");
    if (visit == NULL) return rill__missing("rill_explain", "visit");
    rc = rill__handle_check(store);
    return rc != 0 ? rc : rill__explain(store->store, subject, visit, arg);
}

/* ---- Topics, partitions ----------------------------------------------- */

int rill__store_check(const char *function, const rill *store, const char *what, const void *name)
{
    if (store == NULL) return rill__missing(function, "store");
    if (name == NULL) return rill__missing(function, what);
    return rill__handle_check(store);
}

int rill_topic_create(rill *store, const char *topic, const rill_topic_options *options)
{
    int rc = rill__store_check("rill_topic_create", store, "topic", topic);
    return rc != 0 ? rc : rill__topic_create(store->store, topic, options);
}

int rill_topic_delete(rill *store, const char *topic)
{
    int rc = rill__store_check("rill_topic_delete", store, "topic", topic);
    return rc != 0 ? rc : rill__topic_delete(store->store, topic);
}

int rill_topic_alter(rill *store, const char *topic, uint32_t fields,
                     const rill_topic_options *options)
{
    int rc = rill__store_check("rill_topic_alter", store, "topic", topic);
    return rc != 0 ? rc : rill__topic_alter(store->store, topic, fields, options);
}

int rill_topic_add_partitions(rill *store, const char *topic, uint32_t partition_count)
{
    int rc = rill__store_check("rill_topic_add_partitions", store, "topic", topic);
    return rc != 0 ? rc : rill__topic_add_partitions(store->store, topic, partition_count);
}

int rill_topic_describe(rill *store, const char *topic, rill_topic_info *info)
{
    int rc = rill__store_check("rill_topic_describe", store, "topic", topic);
    if (rc == 0 && info == NULL) rc = rill__missing("rill_topic_describe", "info");
    return rc != 0 ? rc : rill__topic_describe(store->store, topic, info);
}

int rill_topic_list(rill *store, int (*visit)(void *arg, const rill_topic_info *info), void *arg)
{
    int rc = rill__store_check("rill_topic_list", store, "visit", (const void *)(uintptr_t)visit);
    return rc != 0 ? rc : rill__topic_list(store->store, visit, arg);
}

int rill_partition_describe(rill *store, const char *topic, int32_t partition,
                            rill_partition_info *info)
{
    int rc = rill__store_check("rill_partition_describe", store, "topic", topic);
    if (rc == 0 && info == NULL) rc = rill__missing("rill_partition_describe", "info");
    return rc != 0 ? rc : rill__partition_describe(store->store, topic, partition, info);
}

int rill_partition_delete_records(rill *store, const char *topic, int32_t partition,
                                  rill_offset before, rill_offset *log_start)
{
    int rc = rill__store_check("rill_partition_delete_records", store, "topic", topic);
    return rc != 0 ? rc
                   : rill__partition_delete_records(store->store, topic, partition, before,
                                                    log_start);
}

int rill_partition_compact(rill *store, const char *topic, int32_t partition,
                           rill_compact_report *report)
{
    int rc = rill__store_check("rill_partition_compact", store, "topic", topic);
    return rc != 0 ? rc : rill__partition_compact(store->store, topic, partition, report);
}

int rill_partition_offset_for_time(rill *store, const char *topic, int32_t partition,
                                   int64_t timestamp_ms, rill_offset *offset)
{
    int rc = rill__store_check("rill_partition_offset_for_time", store, "topic", topic);
    if (rc == 0 && offset == NULL) rc = rill__missing("rill_partition_offset_for_time", "offset");
    return rc != 0 ? rc
                   : rill__partition_offset_for_time(store->store, topic, partition, timestamp_ms,
                                                     offset);
}
