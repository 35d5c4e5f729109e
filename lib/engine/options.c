/*
 * engine/options.c - every option: its name, place, range and default.
 *
 * Checking and filling in read these rows and nothing else does.
 */
#include "base/bytes.h"
#include "engine/store.h"
#include <inttypes.h>

struct option_row {
    const char *name;
    size_t at;
    size_t width; /* 4 or 8 bytes */
    uint64_t least;
    uint64_t most;
    uint64_t standard; /* in place of 0 */
    double fraction;   /* not 0: a double in (0, 1], and this in place of 0 */
};

#define ROW(type, field, least, most, standard)                                                  \
    {                                                                                            \
#field, offsetof(type, field), sizeof(((type *)0)->field), least, most, standard, 0      \
    }
#define FRACTION(type, field, standard)                                                          \
    {                                                                                            \
#field, offsetof(type, field), sizeof(((type *)0)->field), 0, 0, 0, standard             \
    }
#define FLAGS(type, all) ROW(type, flags, 0, all, 0)
#define CLEANUP_ALL (RILL_CLEANUP_DELETE | RILL_CLEANUP_COMPACT | RILL_CLEANUP_CONSUMED)

static const struct option_row store_rows[] = {
    FLAGS(rill_options, RILL_OPEN_CREATE | RILL_OPEN_THREAD | RILL_OPEN_ANY_FILE_SYSTEM),
    ROW(rill_options, open_timeout_ms, 1, INT32_MAX, 10000),
    ROW(rill_options, sync_interval_ms, 1, 3600000, 1000),
    ROW(rill_options, reserved, 0, 0, 0),
    ROW(rill_options, memory_max_bytes, 1 << 20, UINT64_MAX, UINT64_C(256) << 20),
    ROW(rill_options, offsets_retention_ms, 1, UINT64_MAX, 7 * 24 * 3600 * 1000),
    ROW(rill_options, retention_check_interval_ms, 1, INT32_MAX, 300000),
    ROW(rill_options, producer_id_expiration_ms, 1, INT64_MAX, 24 * 3600 * 1000),
    ROW(rill_options, compaction_memory_bytes, 4096, UINT64_C(1) << 40, 16 << 20),
};
static const struct option_row topic_rows[] = {
    ROW(rill_topic_options, partition_count, 1, PARTITIONS_MAX, 1),
    ROW(rill_topic_options, segment_ms, 1, UINT32_MAX, 7 * 24 * 3600 * 1000u),
    ROW(rill_topic_options, segment_bytes, 64 << 10, 1 << 30, 64 << 20),
    ROW(rill_topic_options, max_message_bytes, 1024, 1 << 30, 1 << 20),
    ROW(rill_topic_options, index_interval_bytes, 256, 1 << 30, 4096),
    ROW(rill_topic_options, cleanup_policy, 1, CLEANUP_ALL, RILL_CLEANUP_DELETE),
    ROW(rill_topic_options, timestamp_type, RILL_TIMESTAMP_CREATE, RILL_TIMESTAMP_APPEND,
        RILL_TIMESTAMP_CREATE),
    ROW(rill_topic_options, compression, 0, RILL_COMPRESSION_ZSTD, 0),
    ROW(rill_topic_options, segment_jitter_ms, 0, UINT32_MAX, 0),
    ROW(rill_topic_options, retention_ms, 0, INT64_MAX, 0),
    ROW(rill_topic_options, retention_bytes, 0, INT64_MAX, 0),
    ROW(rill_topic_options, delete_retention_ms, 1, INT64_MAX, 24 * 3600 * 1000),
    ROW(rill_topic_options, min_compaction_lag_ms, 0, INT64_MAX, 0),
    FRACTION(rill_topic_options, min_cleanable_dirty_ratio, 0.5),
};
static const struct option_row producer_rows[] = {
    ROW(rill_producer_options, acks, RILL_ACKS_NONE, RILL_ACKS_DURABLE, RILL_ACKS_WRITTEN),
    ROW(rill_producer_options, linger_ms, 1, 3600000, 5),
    ROW(rill_producer_options, batch_bytes, 256, 64 << 20, 64 << 10),
    FLAGS(rill_producer_options, RILL_PRODUCER_NO_LINGER | RILL_PRODUCER_NO_IDEMPOTENCE),
    ROW(rill_producer_options, buffer_bytes, 4096, UINT64_C(1) << 40, 32 << 20),
    ROW(rill_producer_options, transaction_timeout_ms, 1, 86400000, 60000),
    ROW(rill_producer_options, transaction_bytes_max, 1, UINT64_C(1) << 40, 64 << 20),
    ROW(rill_producer_options, compression, 0, RILL_COMPRESSION_ZSTD, 0),
    ROW(rill_producer_options, compression_level, 0, UINT32_MAX, 0), /* seal.c: by codec */
};
static const struct option_row consumer_rows[] = {
    ROW(rill_consumer_options, auto_offset_reset, 0, RILL_RESET_ERROR, 0),
    ROW(rill_consumer_options, isolation, 0, RILL_READ_COMMITTED_DURABLE, 0),
    ROW(rill_consumer_options, assignor, 0, RILL_ASSIGN_OWN, 0),
    ROW(rill_consumer_options, assignors, 0, (2u << RILL_ASSIGN_OWN) - 1, 0),
    ROW(rill_consumer_options, max_poll_records, 0, UINT32_MAX, 0),
    FLAGS(rill_consumer_options, RILL_CONSUMER_NO_CHECKSUMS),
    ROW(rill_consumer_options, auto_commit_interval_ms, 0, INT32_MAX, 0),
    ROW(rill_consumer_options, session_timeout_ms, 100, INT32_MAX, 45000),
    ROW(rill_consumer_options, max_poll_interval_ms, 100, INT32_MAX, 300000),
    ROW(rill_consumer_options, spin_us, 0, 10000000, 0),
};
static const struct option_row reset_rows[] = {
    FLAGS(rill_group_reset_options, RILL_RESET_DRY_RUN),
    ROW(rill_group_reset_options, to, 0, RILL_RESET_TO_OWN, 0),
};
static const struct option_row workers_rows[] = {
    ROW(rill_workers_options, worker_count, 1, 256, 4),
    ROW(rill_workers_options, order, 0, RILL_ORDER_NONE, 0),
    ROW(rill_workers_options, in_flight_max, 1, 1000000, 1000),
    ROW(rill_workers_options, commit_interval_ms, 1, 3600000, 1000),
    ROW(rill_workers_options, in_flight_bytes, 1, UINT64_C(1) << 40, 16 << 20),
    ROW(rill_workers_options, retries, 0, RILL_RETRIES_FOREVER, 0),
    ROW(rill_workers_options, backoff_ms, 1, 3600000, 100),
    ROW(rill_workers_options, backoff_max_ms, 1, 3600000, 10000),
    ROW(rill_workers_options, revoke_timeout_ms, 1, 3600000, 30000),
    FLAGS(rill_workers_options, RILL_WORKERS_KEYLESS_FREE),
    ROW(rill_workers_options, reserved, 0, 0, 0),
};
static const struct option_row audit_rows[] = {
    ROW(rill_audit_options, window_ms, 1, INT32_MAX, 60000),
    ROW(rill_audit_options, window_max, 1, UINT32_MAX, 10000),
};

static const struct option_row check_rows[] = {
    FLAGS(rill_check_options, RILL_CHECK_FROM_DISK),
    ROW(rill_check_options, reserved, 0, 0, 0),
};

static const struct option_row copy_rows[] = {
    FLAGS(rill_copy_options, RILL_COPY_VERIFY | RILL_COPY_NO_LINKS | RILL_COPY_ANY_FILE_SYSTEM),
    ROW(rill_copy_options, reserved, 0, 0, 0),
};

static const struct option_row export_rows[] = {
    ROW(rill_export_options, flags, 0, 0, 0),
    ROW(rill_export_options, reserved, 0, 0, 0),
};
static const struct option_row import_rows[] = {
    ROW(rill_import_options, flags, 0, 0, 0),
    ROW(rill_import_options, compression, 0, RILL_COMPRESSION_ZSTD, 0),
};
static const struct option_row repair_rows[] = {
    FLAGS(rill_repair_options, RILL_REPAIR_DRY_RUN),
    ROW(rill_repair_options, reserved, 0, 0, 0),
};

static const struct {
    const char *name;
    size_t size;
    const struct option_row *rows;
    size_t row_count;
} sets[] = {
#define SET(type, rows)                                                                          \
    {                                                                                            \
#type, sizeof(type), rows, sizeof rows / sizeof rows[0]                                  \
    }
    [OPTIONS_STORE] = SET(rill_options, store_rows),
    [OPTIONS_TOPIC] = SET(rill_topic_options, topic_rows),
    [OPTIONS_PRODUCER] = SET(rill_producer_options, producer_rows),
    [OPTIONS_CONSUMER] = SET(rill_consumer_options, consumer_rows),
    [OPTIONS_RESET] = SET(rill_group_reset_options, reset_rows),
    [OPTIONS_WORKERS] = SET(rill_workers_options, workers_rows),
    [OPTIONS_CHECK] = SET(rill_check_options, check_rows),
    [OPTIONS_REPAIR] = SET(rill_repair_options, repair_rows),
    [OPTIONS_TRACE] = {"rill_trace_options", sizeof(rill_trace_options), NULL, 0},
    [OPTIONS_AUDIT] = SET(rill_audit_options, audit_rows),
    [OPTIONS_COPY] = SET(rill_copy_options, copy_rows),
    [OPTIONS_EXPORT] = SET(rill_export_options, export_rows),
    [OPTIONS_IMPORT] = SET(rill_import_options, import_rows),
#undef SET
};

static int take_fraction(const char *set, const struct option_row *row, void *at)
{
    double value;

    memcpy(&value, at, sizeof value);
    if (!(value >= 0 && value <= 1)) /* what is not a number neither */
        return rill__fail(RILL_ERR_INVALID,
                          "%s: %s is %g; it must be in (0, 1], or 0 for the default", set,
                          row->name, value);
    if (value == 0) value = row->fraction;
    memcpy(at, &value, sizeof value);
    return 0;
}

int rill__options_take(enum option_set set, const void *given, void *out)
{
    size_t size = sets[set].size;
    size_t given_size = 0;
    const uint8_t *bytes = given;

    memset(out, 0, size);
    if (given != NULL) {
        memcpy(&given_size, given, sizeof given_size); /* each begins with its size */
        if (given_size < sizeof given_size || given_size > 4096)
            return rill__fail(RILL_ERR_INVALID, "%s: size is %zu; set it to sizeof(%s)",
                              sets[set].name, given_size, sets[set].name);
        for (size_t i = size; i < given_size; i++)
            if (bytes[i] != 0)
                return rill__fail(RILL_ERR_INVALID,
                                  "%s: byte %zu is set, this library knows %zu bytes of options",
                                  sets[set].name, i, size);
        memcpy(out, given, given_size < size ? given_size : size);
    }
    memcpy(out, &size, sizeof size);
    for (size_t i = 0; i < sets[set].row_count; i++) {
        const struct option_row *row = &sets[set].rows[i];
        uint8_t *at = (uint8_t *)out + row->at;
        uint32_t narrow;
        uint64_t value;
        bool flags = strcmp(row->name, "flags") == 0;

        if (row->fraction != 0) {
            int rc = take_fraction(sets[set].name, row, at);
            if (rc != 0) return rc;
            continue;
        }
        if (row->width == 8) {
            memcpy(&value, at, 8);
        } else {
            memcpy(&narrow, at, 4);
            value = narrow;
        }
        if (value == 0) value = row->standard;
        if (flags ? (value & ~row->most) != 0 : value < row->least || value > row->most)
            return rill__fail(RILL_ERR_INVALID,
                              "%s: %s is %" PRIu64 "; it must be in [%" PRIu64 ", %" PRIu64 "]%s",
                              sets[set].name, row->name, value, row->least, row->most,
                              row->standard != 0 ? ", or 0 for the default" : "");
        if (row->width == 8) {
            memcpy(at, &value, 8);
        } else {
            narrow = (uint32_t)value;
            memcpy(at, &narrow, 4);
        }
    }
    return 0;
}

int rill__allocator_check(const rill_allocator *allocator)
{
    if ((allocator->alloc == NULL) == (allocator->resize == NULL) &&
        (allocator->alloc == NULL) == (allocator->release == NULL))
        return 0;
    return rill__fail(RILL_ERR_INVALID, "an allocator needs alloc, resize and release");
}

int rill__options_each(enum option_set set, const void *options,
                       int (*visit)(void *arg, const char *name, uint64_t value), void *arg)
{
    int rc = 0;

    for (size_t i = 0; i < sets[set].row_count && rc == 0; i++) {
        const struct option_row *row = &sets[set].rows[i];
        const uint8_t *at = (const uint8_t *)options + row->at;
        uint64_t value = 0;
        uint32_t narrow;

        if (row->width == 8) {
            memcpy(&value, at, 8);
        } else {
            memcpy(&narrow, at, 4);
            value = narrow;
        }
        rc = visit(arg, row->name, value);
    }
    return rc;
}

bool rill__option_set(enum option_set set, void *options, const char *name, uint64_t value)
{
    for (size_t i = 0; i < sets[set].row_count; i++) {
        const struct option_row *row = &sets[set].rows[i];
        uint8_t *at = (uint8_t *)options + row->at;
        uint32_t narrow = (uint32_t)value;

        if (strcmp(row->name, name) != 0) continue;
        if (row->width == 8) memcpy(at, &value, 8);
        else memcpy(at, &narrow, 4);
        return row->width == 8 || value <= UINT32_MAX;
    }
    return false;
}
