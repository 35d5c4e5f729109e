/*
 * meta/topics.c - topics in the catalogue, by name.
 */
#include "base/bytes.h"
#include "meta/inner.h"

struct topic_work {
    const char *name;
    struct meta_topic *topic;
};

int rill__meta_decode_topic(const struct meta *meta, const MDB_val *key, const MDB_val *value,
                            struct meta_topic *topic)
{
    const uint8_t *v = value->mv_data;
    size_t name_size = key->mv_size - 1;
    uint64_t ratio;

    if ((value->mv_size != META_TOPIC_SIZE && value->mv_size != META_TOPIC_SIZE_1) ||
        name_size > RILL_TOPIC_NAME_MAX)
        return rill__fail(RILL_ERR_CORRUPT, "%s: a topic's record has %zu bytes", meta->path,
                          value->mv_size);
    memset(topic, 0, sizeof *topic);
    memcpy(topic->name, (const char *)key->mv_data + 1, name_size);
    memcpy(topic->id, v, 16);
    topic->created_ms = (int64_t)rill__get64(v + 16);
    topic->partition_count = rill__get32(v + 24);
    topic->segment_ms = rill__get32(v + 28);
    topic->segment_bytes = rill__get64(v + 32);
    topic->max_message_bytes = rill__get32(v + 40);
    topic->index_interval_bytes = rill__get32(v + 44);
    if (value->mv_size == META_TOPIC_SIZE_1) {
        topic->cleanup_policy = RILL_CLEANUP_DELETE;
        topic->timestamp_type = RILL_TIMESTAMP_CREATE;
        topic->delete_retention_ms = 24 * 3600 * 1000;
        topic->min_cleanable_dirty_ratio = 0.5;
        return 0;
    }
    topic->cleanup_policy = rill__get32(v + 48);
    topic->timestamp_type = rill__get32(v + 52);
    topic->compression = rill__get32(v + 56);
    topic->segment_jitter_ms = rill__get32(v + 60);
    topic->retention_ms = rill__get64(v + 64);
    topic->retention_bytes = rill__get64(v + 72);
    topic->delete_retention_ms = rill__get64(v + 80);
    topic->min_compaction_lag_ms = rill__get64(v + 88);
    ratio = rill__get64(v + 96);
    memcpy(&topic->min_cleanable_dirty_ratio, &ratio, sizeof ratio);
    return 0;
}

static int put_topic(struct meta *meta, MDB_txn *txn, const struct meta_topic *topic)
{
    uint8_t name[META_KEY_MAX];
    uint8_t v[META_TOPIC_SIZE + 8];
    MDB_val key = {rill__meta_name_key(name, 'T', topic->name), name};
    uint64_t ratio;
    int rc;

    memcpy(v, topic->id, 16);
    rill__put64(v + 16, (uint64_t)topic->created_ms);
    rill__put32(v + 24, topic->partition_count);
    rill__put32(v + 28, topic->segment_ms);
    rill__put64(v + 32, topic->segment_bytes);
    rill__put32(v + 40, topic->max_message_bytes);
    rill__put32(v + 44, topic->index_interval_bytes);
    rill__put32(v + 48, topic->cleanup_policy);
    rill__put32(v + 52, topic->timestamp_type);
    rill__put32(v + 56, topic->compression);
    rill__put32(v + 60, topic->segment_jitter_ms);
    rill__put64(v + 64, topic->retention_ms);
    rill__put64(v + 72, topic->retention_bytes);
    rill__put64(v + 80, topic->delete_retention_ms);
    rill__put64(v + 88, topic->min_compaction_lag_ms);
    memcpy(&ratio, &topic->min_cleanable_dirty_ratio, sizeof ratio);
    rill__put64(v + 96, ratio);
    rc = rill__meta_raise_schema(meta, txn);
    return rc == 0 ? rill__meta_put(meta, txn, &key, v, META_TOPIC_SIZE) : rc;
}

static int create_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct topic_work *work = arg;
    const struct meta_topic *topic = work->topic;
    uint8_t name[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(name, 'T', topic->name), name};
    MDB_val old;
    int rc = rill__meta_get(meta, txn, &key, &old);

    if (rc == 0) return rill__fail(RILL_ERR_EXISTS, "topic %s exists already", topic->name);
    if (rc != RILL_ERR_NOT_FOUND) return rc;
    return put_topic(meta, txn, topic);
}

int rill__meta_topic_create(struct meta *meta, const struct meta_topic *topic)
{
    struct meta_topic copy = *topic;
    struct topic_work work = {copy.name, &copy};
    return rill__meta_write(meta, create_work, &work);
}

static int get_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct topic_work *work = arg;
    uint8_t name[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(name, 'T', work->name), name};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == RILL_ERR_NOT_FOUND) return rill__fail(rc, "there is no topic %s", work->name);
    return rc != 0 ? rc : rill__meta_decode_topic(meta, &key, &value, work->topic);
}

int rill__meta_topic_get(struct meta *meta, const char *name, struct meta_topic *topic)
{
    struct topic_work work = {name, topic};
    return rill__meta_read(meta, get_work, &work);
}

struct alter_work {
    struct topic_work topic; /* first: it is one */
    int (*change)(void *arg, struct meta_topic *topic);
    void *arg;
};

static int alter_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct alter_work *work = arg;
    int rc = get_work(meta, txn, &work->topic);

    if (rc == 0) rc = work->change(work->arg, work->topic.topic);
    return rc == 0 ? put_topic(meta, txn, work->topic.topic) : rc;
}

int rill__meta_topic_alter(struct meta *meta, const char *name,
                           int (*change)(void *arg, struct meta_topic *topic), void *arg,
                           struct meta_topic *topic)
{
    struct alter_work work = {{name, topic}, change, arg};
    return rill__meta_write(meta, alter_work, &work);
}

static int delete_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct topic_work *work = arg;
    uint8_t name[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(name, 'T', work->name), name};
    int rc = get_work(meta, txn, arg);

    if (rc != 0) return rc;
    rc = rill__meta_failed(meta, mdb_del(txn, meta->dbi, &key, NULL), "deleting");
    return rc != 0 ? rc : rill__meta_remove_topic_offsets(meta, txn, work->topic->id);
}

int rill__meta_topic_delete(struct meta *meta, const char *name, struct meta_topic *deleted)
{
    struct topic_work work = {name, deleted};
    return rill__meta_write(meta, delete_work, &work);
}

static int after_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct topic_work *work = arg;
    MDB_val key;
    MDB_val value;
    int rc = rill__meta_next(meta, txn, 'T', work->name, &key, &value);

    return rc == 0 ? rill__meta_decode_topic(meta, &key, &value, work->topic) : rc;
}

int rill__meta_topic_after(struct meta *meta, const char *after, struct meta_topic *topic)
{
    struct topic_work work = {after, topic};
    return rill__meta_read(meta, after_work, &work);
}
