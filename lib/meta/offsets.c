/*
 * meta/offsets.c - what groups have committed.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "meta/inner.h"

size_t rill__meta_offset_key(uint8_t key[META_KEY_MAX], const char *group,
                             const uint8_t topic_id[16], int32_t partition)
{
    size_t at = rill__meta_name_key(key, 'O', group);

    key[at++] = 0;
    if (topic_id == NULL) return at;
    memcpy(key + at, topic_id, 16);
    at += 16;
    for (int shift = 24; shift >= 0; shift -= 8)
        key[at++] = (uint8_t)((uint32_t)partition >> shift);
    return at;
}

/* ---- Offsets ---------------------------------------------------------- */

int rill__meta_put_offsets(struct meta *meta, MDB_txn *txn, const char *group,
                           const struct meta_offset *offsets, size_t count)
{
    uint8_t name[META_KEY_MAX];
    uint8_t v[META_VALUE_MAX];
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct meta_offset *o = &offsets[i];
        size_t size = META_OFFSET_SIZE;
        size_t text = o->metadata == NULL ? 0 : strlen(o->metadata) + 1;
        MDB_val key = {rill__meta_offset_key(name, group, o->topic_id, o->partition), name};

        if (text > RILL_METADATA_MAX + 1)
            return rill__fail(RILL_ERR_TOO_BIG, "metadata of %zu bytes; at most %d", text - 1,
                              RILL_METADATA_MAX);
        rill__put64(v, (uint64_t)o->offset);
        rill__put32(v + 8, (uint32_t)o->leader_epoch);
        rill__put32(v + 12, 0);
        rill__put64(v + 16, (uint64_t)o->committed_ms);
        if (text != 0) memcpy(v + size, o->metadata, text);
        rc = rill__meta_put(meta, txn, &key, v, size + text);
    }
    return rc;
}

struct offset_work {
    const char *group;
    const uint8_t *topic_id;
    int32_t partition;
    struct meta_offset *offset;
    char *metadata;
    size_t metadata_size;
};

static int offset_get_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct offset_work *work = arg;
    uint8_t name[META_KEY_MAX];
    MDB_val key = {rill__meta_offset_key(name, work->group, work->topic_id, work->partition),
                   name};
    MDB_val value;
    const uint8_t *v;
    size_t text;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == RILL_ERR_NOT_FOUND)
        return rill__fail(rc, "group %s has committed no offset for partition %d", work->group,
                          (int)work->partition);
    if (rc != 0) return rc;
    v = value.mv_data;
    text = value.mv_size - META_OFFSET_SIZE;
    if (value.mv_size < META_OFFSET_SIZE || (text != 0 && v[value.mv_size - 1] != 0))
        return rill__fail(RILL_ERR_CORRUPT, "%s: an offset's record has %zu bytes", meta->path,
                          value.mv_size);
    if (work->metadata != NULL && text > work->metadata_size)
        return rill__fail(RILL_ERR_TOO_BIG, "metadata of %zu bytes, room for %zu", text,
                          work->metadata_size);
    memset(work->offset, 0, sizeof *work->offset);
    memcpy(work->offset->topic_id, work->topic_id, 16);
    work->offset->partition = work->partition;
    work->offset->offset = (int64_t)rill__get64(v);
    work->offset->leader_epoch = (int32_t)rill__get32(v + 8);
    work->offset->committed_ms = (int64_t)rill__get64(v + 16);
    if (work->metadata != NULL && text != 0) {
        memcpy(work->metadata, v + META_OFFSET_SIZE, text);
        work->offset->metadata = work->metadata;
    }
    return 0;
}

int rill__meta_offset_get(struct meta *meta, const char *group, const uint8_t topic_id[16],
                          int32_t partition, struct meta_offset *offset, char *metadata,
                          size_t metadata_size)
{
    struct offset_work work = {group, topic_id, partition, offset, metadata, metadata_size};
    return rill__meta_read(meta, offset_get_work, &work);
}

/* ---- Over all groups -------------------------------------------------- */

struct sweep_work {
    const uint8_t *topic_id;
    int32_t partition; /* -1: all */
    int64_t log_end;   /* lower what is above; -1: remove */
    size_t changed;
};

static int sweep_offsets(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct sweep_work *work = arg;
    uint8_t v[META_VALUE_MAX];
    MDB_val key = {1, (void *)(uintptr_t) "O"};
    MDB_val value;
    MDB_cursor *cursor;
    int code;
    int rc = rill__meta_failed(meta, mdb_cursor_open(txn, meta->dbi, &cursor), "cursor");

    if (rc != 0) return rc;
    work->changed = 0;
    for (code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE); code == 0;
         code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        const uint8_t *k = key.mv_data;
        uint8_t suffix[4];

        if (k[0] != 'O') break;
        if (key.mv_size < 22 || memcmp(k + key.mv_size - 20, work->topic_id, 16) != 0) continue;
        for (int i = 0; i < 4; i++)
            suffix[i] = (uint8_t)((uint32_t)work->partition >> (24 - 8 * i));
        if (work->partition >= 0 && memcmp(k + key.mv_size - 4, suffix, 4) != 0) continue;
        if (work->log_end < 0) {
            code = mdb_cursor_del(cursor, 0);
            if (code != 0) break;
            work->changed++;
            continue;
        }
        /* One that does not verify is never used; so it need not be right. */
        if (!rill__meta_verifies(&key, value.mv_data, value.mv_size)) continue;
        value.mv_size -= 8;
        if (value.mv_size < META_OFFSET_SIZE || value.mv_size + 8 > sizeof v) continue;
        if ((int64_t)rill__get64(value.mv_data) <= work->log_end) continue;
        memcpy(v, value.mv_data, value.mv_size);
        rill__put64(v, (uint64_t)work->log_end);
        rill__put64(v + value.mv_size, rill__checksum(v, value.mv_size) ^
                                           rill__mix64(rill__checksum(key.mv_data, key.mv_size)));
        value.mv_data = v;
        value.mv_size += 8;
        code = mdb_cursor_put(cursor, &key, &value, MDB_CURRENT);
        if (code != 0) break;
        work->changed++;
    }
    mdb_cursor_close(cursor);
    return code == 0 || code == MDB_NOTFOUND ? 0 : rill__meta_failed(meta, code, "sweeping");
}

int rill__meta_remove_topic_offsets(struct meta *meta, MDB_txn *txn, const uint8_t topic_id[16])
{
    struct sweep_work work = {topic_id, -1, -1, 0};
    return sweep_offsets(meta, txn, &work);
}

int rill__meta_offsets_clamp(struct meta *meta, const uint8_t topic_id[16], int32_t partition,
                             int64_t log_end, size_t *clamped)
{
    struct sweep_work work = {topic_id, partition, log_end, 0};
    int rc = rill__meta_write(meta, sweep_offsets, &work);
    if (rc == 0) *clamped = work.changed;
    return rc;
}
