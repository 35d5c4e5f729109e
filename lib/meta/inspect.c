/*
 * meta/inspect.c - all that the catalogue's file holds, page by page, also while
 * others write it.
 *
 * LMDB never writes to the pages of a transaction that a reader holds. So if others
 * are in the store, a reader is begun, which reads none of these pages itself, and
 * the file is walked as that transaction has it, without believing any byte. If
 * nobody is, there is no need for one, and LMDB is not asked at all.
 */
#include "base/bytes.h"
#include "meta/inner.h"
#include <stdio.h>

#define PIN_TRIES 1000

struct inspection {
    struct heap *heap;
    const char *path;
    struct meta here; /* its path, cut, for messages; nothing else of it is used */
    const struct meta_inspector *told;
    bool schema_seen;
    bool page_damaged;
    bool begun; /* something was told */
};

static int tell_page(void *arg, uint64_t position, const char *what)
{
    struct inspection *in = arg;

    in->begun = true;
    in->page_damaged = true;
    return in->told->damage(in->told->arg, META_DAMAGE_PAGE, position, what);
}

static int tell_record(struct inspection *in, uint64_t position, const MDB_val *key,
                       const char *what)
{
    static const char *const kinds[] = {
        "Ttopic",       "Ggroup", "Ocommit of group",  "Iidle time of group",
        "Sschema",      "Cclock", "Pnext producer id", "Xproducer",
        "Qproducer id", "Dspace", "Nnext space",       "Kkey of the application"};
    const char *k = key->mv_data;
    const char *kind = "unknown kind";
    char text[400];
    char name[RILL_TOPIC_NAME_MAX + 1];
    size_t size = 0;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i][0] == k[0]) kind = kinds[i] + 1;
    while (size + 1 < key->mv_size && size < sizeof name - 1 && k[size + 1] > ' ' &&
           k[size + 1] < 127) {
        name[size] = k[size + 1];
        size++;
    }
    name[size] = '\0';
    snprintf(text, sizeof text, "the record of %s%s%s %s", kind, size > 0 ? " " : "", name, what);
    return in->told->damage(in->told->arg, META_DAMAGE_RECORD, position, text);
}

static int tell_schema(struct inspection *in, uint64_t position, const MDB_val *key,
                       const MDB_val *value)
{
    const uint8_t *v = value->mv_data;
    uint32_t version = value->mv_size >= 4 ? rill__get32(v) : 0;
    char text[100];

    in->schema_seen = true;
    if (value->mv_size != 8 || version < META_SCHEMA_OLDEST)
        return tell_record(in, position, key, "is none that there is");
    if (version <= META_SCHEMA_VERSION && rill__get32(v + 4) == 0) return 0;
    snprintf(text, sizeof text, "has schema %u, features %#x; this library knows %d", version,
             rill__get32(v + 4), META_SCHEMA_VERSION);
    return in->told->damage(in->told->arg, META_DAMAGE_FORMAT, position, text);
}

static int tell_group(struct inspection *in, uint64_t position, const MDB_val *key,
                      const MDB_val *value)
{
    char name[RILL_TOPIC_NAME_MAX + 1];
    size_t size = key->mv_size - 1;
    const uint8_t *v = value->mv_data;

    if (size == 0 || size > RILL_TOPIC_NAME_MAX || value->mv_size < 4)
        return tell_record(in, position, key, "has a size that none has");
    if (in->told->group == NULL) return 0;
    memcpy(name, (const char *)key->mv_data + 1, size);
    name[size] = '\0';
    return in->told->group(in->told->arg, position, name, v + 4, value->mv_size - 4);
}

static int tell_found(void *arg, uint64_t position, const MDB_val *key, const MDB_val *whole,
                      bool verifies)
{
    struct inspection *in = arg;
    MDB_val value = *whole;
    char group[RILL_TOPIC_NAME_MAX + 1];
    struct meta_topic topic;
    struct meta_offset offset;
    int rc = 0;

    in->begun = true;
    if (!verifies) return tell_record(in, position, key, "does not verify");
    value.mv_size -= 8;
    switch (*(const char *)key->mv_data) {
    case 'S': return tell_schema(in, position, key, &value);
    case 'G': return tell_group(in, position, key, &value);
    case 'T':
        rc = rill__meta_decode_topic(&in->here, key, &value, &topic);
        if (rc == 0 && in->told->topic != NULL) return in->told->topic(in->told->arg, &topic);
        break;
    case 'O':
        rc = rill__meta_decode_offset(&in->here, key, &value, group, &offset);
        if (rc == 0 && in->told->offset != NULL)
            return in->told->offset(in->told->arg, group, &offset);
        break;
    case 'I': rc = value.mv_size == META_IDLE_SIZE ? 0 : RILL_ERR_CORRUPT; break;
    case 'C': rc = value.mv_size == META_CLOCK_SIZE ? 0 : RILL_ERR_CORRUPT; break;
    case 'D': rc = value.mv_size == META_SPACE_SIZE ? 0 : RILL_ERR_CORRUPT; break;
    case 'P':
    case 'N': rc = value.mv_size == 8 ? 0 : RILL_ERR_CORRUPT; break;
    case 'X': rc = value.mv_size >= META_NAME_SIZE ? 0 : RILL_ERR_CORRUPT; break;
    case 'Q':
    case 'K': break;
    default: return tell_record(in, position, key, "is none that this library knows");
    }
    return rc == 0 ? 0 : tell_record(in, position, key, "has a size that none has");
}

/* ---- While others write ----------------------------------------------- */

static int walk_pinned(struct inspection *in, struct meta_walk *walk, MDB_txn *txn)
{
    uint64_t id = mdb_txn_id(txn);

    walk->pinned = &id;
    return rill__meta_walk(in->heap, in->path, walk);
}

struct pinned_work {
    struct inspection *in;
    struct meta_walk *walk;
};

static int walk_in_own(struct meta *meta, MDB_txn *txn, void *arg)
{
    struct pinned_work *work = arg;

    (void)meta;
    return walk_pinned(work->in, work->walk, txn);
}

static int walk_as_reader(struct inspection *in, struct meta_walk *walk)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    int code = mdb_env_create(&env);
    int rc;

    if (code == 0) code = mdb_env_open(env, in->path, MDB_RDONLY | MDB_NOTLS, 0600);
    if (code == 0) code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    rc = rill__meta_failed(&in->here, code, "beginning to read");
    if (rc == MDB_MAP_RESIZED || rc == MDB_READERS_FULL)
        rc = rill__fail(RILL_ERR_BUSY, "%s: others have all places of readers", in->here.path);
    if (rc == 0) rc = walk_pinned(in, walk, txn);
    if (txn != NULL) mdb_txn_abort(txn);
    if (env != NULL) mdb_env_close(env);
    return rc;
}

int rill__meta_inspect(struct heap *heap, const char *path, struct meta *own, bool in_use,
                       const struct meta_inspector *told)
{
    struct inspection in = {.heap = heap, .path = path, .told = told};
    struct meta_walk walk = {.damage = tell_page, .record = tell_found, .arg = &in};
    struct pinned_work work = {&in, &walk};
    size_t size = strlen(path);
    int rc = RILL_ERR_BUSY;

    if (size >= sizeof in.here.path) size = sizeof in.here.path - 1;
    memcpy(in.here.path, path, size);
    for (int i = 0; rc == RILL_ERR_BUSY && i < PIN_TRIES && !in.begun; i++) {
        if (own != NULL) rc = rill__meta_read(own, walk_in_own, &work);
        else if (in_use) rc = walk_as_reader(&in, &walk);
        else rc = rill__meta_walk(heap, path, &walk);
    }
    if (rc != 0 || in.schema_seen || in.page_damaged) return rc;
    return told->damage(told->arg, META_DAMAGE_RECORD, 0,
                        "the catalogue has no record of its schema");
}
