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

int rill__meta_remove_offsets(struct meta *meta, MDB_txn *txn, const char *group,
                              const struct meta_offset *offsets, size_t count)
{
    uint8_t name[META_KEY_MAX];
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        MDB_val key = {
            rill__meta_offset_key(name, group, offsets[i].topic_id, offsets[i].partition), name};
        if (offsets[i].partition < 0) key.mv_size -= 4; /* all of the topic */
        rc = rill__meta_delete_prefix(meta, txn, &key);
    }
    return rc;
}

/* The place of the metadata is in LMDB's page; *text: its size with the 0. */
static int read_offset(const struct meta *meta, const MDB_val *value, struct meta_offset *offset,
                       size_t *text)
{
    const uint8_t *v = value->mv_data;

    if (value->mv_size < META_OFFSET_SIZE ||
        (value->mv_size > META_OFFSET_SIZE && v[value->mv_size - 1] != 0))
        return rill__fail(RILL_ERR_CORRUPT, "%s: an offset's record has %zu bytes", meta->path,
                          value->mv_size);
    *text = value->mv_size - META_OFFSET_SIZE;
    offset->offset = (int64_t)rill__get64(v);
    offset->leader_epoch = (int32_t)rill__get32(v + 8);
    offset->committed_ms = (int64_t)rill__get64(v + 16);
    offset->metadata = *text == 0 ? NULL : (const char *)v + META_OFFSET_SIZE;
    return 0;
}

int rill__meta_decode_offset(const struct meta *meta, const MDB_val *key, const MDB_val *value,
                             char group[RILL_TOPIC_NAME_MAX + 1], struct meta_offset *offset)
{
    const uint8_t *k = key->mv_data;
    size_t name_size = key->mv_size - 22; /* kind, 0, id, partition */
    size_t text;
    int rc = read_offset(meta, value, offset, &text);

    if (rc != 0) return rc;
    if (key->mv_size < 23 || name_size > RILL_TOPIC_NAME_MAX || k[1 + name_size] != 0)
        return rill__fail(RILL_ERR_CORRUPT, "%s: an offset's key has %zu bytes", meta->path,
                          key->mv_size);
    memcpy(group, k + 1, name_size);
    group[name_size] = '\0';
    memcpy(offset->topic_id, k + 2 + name_size, 16);
    offset->partition = 0;
    for (size_t i = key->mv_size - 4; i < key->mv_size; i++)
        offset->partition = (int32_t)((uint32_t)offset->partition << 8 | k[i]);
    return 0;
}

/* ---- Of one partition ------------------------------------------------- */

struct offset_work {
    const char *group;
    const uint8_t *topic_id;
    int32_t partition;
    struct meta_offset *offset;
    char *metadata;
    size_t metadata_size;
};

/* RILL_ERR_NOT_FOUND without message. */
static int find_offset(struct meta *meta, MDB_txn *txn, const char *group,
                       const uint8_t topic_id[16], int32_t partition, struct meta_offset *offset,
                       size_t *text)
{
    uint8_t name[META_KEY_MAX];
    MDB_val key = {rill__meta_offset_key(name, group, topic_id, partition), name};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == 0) rc = read_offset(meta, &value, offset, text);
    if (rc != 0) return rc;
    memcpy(offset->topic_id, topic_id, 16);
    offset->partition = partition;
    return 0;
}

int rill__meta_committed(const struct meta_group *group, const uint8_t topic_id[16],
                         int32_t partition, struct meta_offset *offset)
{
    size_t text;
    int rc =
        find_offset(group->meta, group->txn, group->name, topic_id, partition, offset, &text);

    if (rc == 0) offset->metadata = NULL;
    return rc;
}

static int offset_get_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct offset_work *work = arg;
    struct meta_offset found;
    size_t text;
    int rc = find_offset(meta, txn, work->group, work->topic_id, work->partition, &found, &text);

    if (rc == RILL_ERR_NOT_FOUND)
        return rill__fail(rc, "group %s has committed no offset for partition %d", work->group,
                          (int)work->partition);
    if (rc != 0) return rc;
    if (work->metadata != NULL && text > work->metadata_size)
        return rill__fail(RILL_ERR_TOO_BIG, "metadata of %zu bytes, room for %zu", text,
                          work->metadata_size);
    if (work->metadata != NULL && text != 0) memcpy(work->metadata, found.metadata, text);
    found.metadata = work->metadata != NULL && text != 0 ? work->metadata : NULL;
    *work->offset = found;
    return 0;
}

int rill__meta_offset_get(struct meta *meta, const char *group, const uint8_t topic_id[16],
                          int32_t partition, struct meta_offset *offset, char *metadata,
                          size_t metadata_size)
{
    struct offset_work work = {group, topic_id, partition, offset, metadata, metadata_size};
    return rill__meta_read(meta, offset_get_work, &work);
}

/* ---- Of one group ----------------------------------------------------- */

/* Calls visit for every offset of the group, until it returns nonzero. */
static int walk_offsets(struct meta *meta, MDB_txn *txn, const char *group,
                        int (*visit)(void *arg, struct meta *meta, const MDB_val *key,
                                     MDB_val *value),
                        void *arg)
{
    uint8_t name[META_KEY_MAX];
    MDB_val key = {rill__meta_offset_key(name, group, NULL, 0), name};
    size_t prefix = key.mv_size;
    MDB_val value;
    MDB_cursor *cursor;
    int code;
    int rc = rill__meta_failed(meta, mdb_cursor_open(txn, meta->dbi, &cursor), "cursor");

    if (rc != 0) return rc;
    code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (code == 0 && rc == 0 && key.mv_size >= prefix &&
           memcmp(key.mv_data, name, prefix) == 0) {
        rc = visit(arg, meta, &key, &value);
        if (rc == 0) code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (rc != 0 || code == 0 || code == MDB_NOTFOUND) return rc;
    return rill__meta_failed(meta, code, "reading");
}

enum { FOUND_ONE = 1 };

static int find_one(void *arg, struct meta *meta, const MDB_val *key, MDB_val *value)
{
    (void)arg, (void)meta, (void)key, (void)value;
    return FOUND_ONE;
}

int rill__meta_has_offsets(struct meta *meta, MDB_txn *txn, const char *group, bool *has)
{
    int rc = walk_offsets(meta, txn, group, find_one, NULL);

    *has = rc == FOUND_ONE;
    return *has ? 0 : rc;
}

static int mix_offset(void *arg, struct meta *meta, const MDB_val *key, MDB_val *value)
{
    uint64_t *sum = arg;

    (void)meta;
    *sum = rill__mix64(*sum) ^ rill__checksum(key->mv_data, key->mv_size) ^
           rill__mix64(rill__checksum(value->mv_data, value->mv_size));
    return 0;
}

int rill__meta_mix_offsets(struct meta *meta, MDB_txn *txn, const char *group, uint64_t *sum)
{
    return walk_offsets(meta, txn, group, mix_offset, sum);
}

struct list_work {
    const char *group;
    struct meta_offset *offsets; /* NULL: they are counted */
    char *text;                  /* where the next metadata goes */
    size_t text_size;
    size_t count;
};

static int list_offset(void *arg, struct meta *meta, const MDB_val *key, MDB_val *value)
{
    struct list_work *work = arg;
    char group[RILL_TOPIC_NAME_MAX + 1];
    struct meta_offset o = {0};
    size_t text;
    int rc = rill__meta_check_value(meta, key, value);

    if (rc == 0) rc = rill__meta_decode_offset(meta, key, value, group, &o);
    if (rc != 0) return rc;
    text = o.metadata == NULL ? 0 : value->mv_size - META_OFFSET_SIZE;
    if (work->offsets != NULL) {
        if (text != 0) {
            memcpy(work->text, o.metadata, text);
            o.metadata = work->text;
            work->text += text;
        }
        work->offsets[work->count] = o;
    }
    work->text_size += text;
    work->count++;
    return 0;
}

static int list_work(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct list_work *work = arg;
    uint8_t name[META_KEY_MAX];
    MDB_val key = {rill__meta_name_key(name, 'G', work->group), name};
    MDB_val value;
    int rc = rill__meta_get(meta, txn, &key, &value);

    if (rc == RILL_ERR_NOT_FOUND) return rill__fail(rc, "there is no group %s", work->group);
    work->count = work->text_size = 0;
    if (rc == 0) rc = walk_offsets(meta, txn, work->group, list_offset, work);
    if (rc != 0) return rc;
    work->offsets =
        rill__alloc(meta->heap, work->count * sizeof *work->offsets + work->text_size + 1);
    if (work->offsets == NULL) return RILL_ERR_NO_MEMORY;
    work->text = (char *)(work->offsets + work->count);
    work->count = work->text_size = 0;
    return walk_offsets(meta, txn, work->group, list_offset, work);
}

int rill__meta_offsets_list(struct meta *meta, const char *group, struct meta_offset **offsets,
                            size_t *count)
{
    struct list_work work = {.group = group};
    int rc = rill__meta_read(meta, list_work, &work);

    if (rc != 0) {
        rill__free(meta->heap, work.offsets);
        return rc;
    }
    *offsets = work.offsets;
    *count = work.count;
    return 0;
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
