/*
 * meta/salvage.c - a new catalogue from what is left of a damaged one.
 *
 *     walk     the tree, around damaged pages: records that verify are kept. Where
 *              there was damage between two of them is a hole: others may have
 *              been there
 *     scrape   every page of the file that looks like a leaf, also those that the
 *              tree does not use any more: a record that verifies and whose key is
 *              in a hole may be what was there, or an older version of it
 *     write    another environment, with all of them
 *
 * Of several versions of a record the latest counts: a commit by its time, a group
 * by its generation. An older commit makes consumers repeat something; none at all
 * could make them skip. A topic is taken from a hole only if its directory is there.
 * Numbers that must not be given twice go far ahead if they are lost. Keys of the
 * application do not come back: an older one would be wrong beside others.
 */
#include "base/bytes.h"
#include "meta/inner.h"
#include <stdlib.h>

#define IDS_SINCE (UINT64_C(1) << 20) /* that may have been given since an older version */
#define IDS_NEVER (UINT64_C(1) << 40) /* none was given so far */
#define EPOCHS_SINCE 1000             /* openings of a producer without transactions */
#define SPACES_SINCE (UINT32_C(1) << 10)
#define SPACES_NEVER (UINT32_C(1) << 24)

struct remnant {
    uint8_t *key;
    size_t key_size;
    uint8_t *value; /* behind the key, with its checksum */
    size_t value_size;
    bool scraped;
};

/* From the key of record `after` (-1: the very beginning) to the next one's. */
struct hole {
    ptrdiff_t after;
};

struct salvage {
    struct heap *heap;
    const struct meta_salvage *with;
    struct remnant *left;
    size_t count;
    size_t room;
    size_t walked; /* of them, by the walk, in the order of their keys */
    struct hole *holes;
    size_t hole_count;
    size_t hole_room;
    bool everywhere; /* records may be missing between any two */
};

static int compare_left(const struct remnant *a, const uint8_t *key, size_t size)
{
    int rc = memcmp(a->key, key, a->key_size < size ? a->key_size : size);

    return rc != 0 ? rc : (a->key_size > size) - (a->key_size < size);
}

/* ---- Keeping ---------------------------------------------------------- */

static int fill_left(struct salvage *s, struct remnant *l, const MDB_val *key,
                     const MDB_val *value)
{
    l->key = rill__alloc(s->heap, key->mv_size + value->mv_size);
    if (l->key == NULL) return RILL_ERR_NO_MEMORY;
    l->key_size = key->mv_size;
    l->value = l->key + key->mv_size;
    l->value_size = value->mv_size;
    memcpy(l->key, key->mv_data, key->mv_size);
    memcpy(l->value, value->mv_data, value->mv_size);
    return 0;
}

static int keep_left(struct salvage *s, const MDB_val *key, const MDB_val *value, bool scraped)
{
    struct remnant *left;

    if (s->count == s->room) {
        size_t room = s->room == 0 ? 256 : s->room * 2;
        left = rill__resize(s->heap, s->left, room * sizeof *left);
        if (left == NULL) return RILL_ERR_NO_MEMORY;
        s->left = left;
        s->room = room;
    }
    s->left[s->count] = (struct remnant){.scraped = scraped};
    if (fill_left(s, &s->left[s->count], key, value) != 0) return RILL_ERR_NO_MEMORY;
    s->count++;
    return 0;
}

static int note_hole(struct salvage *s)
{
    struct hole *holes;

    if (s->hole_count > 0 && s->holes[s->hole_count - 1].after == (ptrdiff_t)s->count - 1)
        return 0;
    if (s->hole_count == s->hole_room) {
        size_t room = s->hole_room == 0 ? 16 : s->hole_room * 2;
        holes = rill__resize(s->heap, s->holes, room * sizeof *holes);
        if (holes == NULL) return RILL_ERR_NO_MEMORY;
        s->holes = holes;
        s->hole_room = room;
    }
    s->holes[s->hole_count++] = (struct hole){(ptrdiff_t)s->count - 1};
    return 0;
}

/* ---- The walk --------------------------------------------------------- */

/* Damage of the other tree, or behind all records, is a hole behind the last one. */
static int walk_damage(void *arg, uint64_t position, const char *what)
{
    (void)position, (void)what;
    return note_hole(arg);
}

static int walk_record(void *arg, uint64_t position, const MDB_val *key, const MDB_val *value,
                       bool verifies)
{
    struct salvage *s = arg;

    (void)position;
    if (!verifies) return note_hole(s);
    /* Keys in order are what holes are found by. */
    if (s->count > 0 && compare_left(&s->left[s->count - 1], key->mv_data, key->mv_size) >= 0)
        return 0;
    return keep_left(s, key, value, false);
}

/* ---- Scraping --------------------------------------------------------- */

/* The number of records of the walk whose keys are smaller; *found: one is equal. */
static size_t walked_before(const struct salvage *s, const uint8_t *key, size_t size, bool *found)
{
    size_t low = 0;
    size_t high = s->walked;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int rc = compare_left(&s->left[middle], key, size);
        if (rc == 0) *found = true;
        if (rc < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool is_in_hole(const struct salvage *s, const uint8_t *key, size_t size)
{
    bool found;
    ptrdiff_t after = (ptrdiff_t)walked_before(s, key, size, &found) - 1;

    if (s->everywhere) return !found;
    for (size_t i = 0; i < s->hole_count && !found; i++)
        if (s->holes[i].after == after) return true;
    return false;
}

/* Which of two versions of a record, that may both come back, is the later one. */
static uint64_t age_of(const struct remnant *l)
{
    switch (l->key[0]) {
    case 'O':
    case 'T': return rill__get64(l->value + 16);
    case 'X': return rill__get64(l->value + 32);
    case 'P': return rill__get64(l->value);
    case 'G':
    case 'N': return rill__get32(l->value);
    default: return 0;
    }
}

static bool may_come_back(const struct salvage *s, const struct remnant *l)
{
    size_t size = l->value_size - 8; /* without its checksum */

    switch (l->key[0]) {
    case 'T': return size >= META_TOPIC_SIZE_1 && s->with->has_topic(s->with->arg, l->value);
    case 'O':
        return l->key_size > 22 && size >= META_OFFSET_SIZE &&
               s->with->has_topic(s->with->arg, l->key + l->key_size - 20);
    case 'G': return size >= 4;
    case 'X': return size >= META_NAME_SIZE;
    case 'Q': return true;
    case 'D': return size == META_SPACE_SIZE;
    case 'P':
    case 'N': return size == 8;
    default: return false; /* hints, and what is the application's */
    }
}

static int scrape_record(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct salvage *s = arg;
    struct remnant l = {.scraped = true};
    int rc;

    if (!rill__meta_verifies(key, value->mv_data, value->mv_size) ||
        !is_in_hole(s, key->mv_data, key->mv_size))
        return 0;
    rc = fill_left(s, &l, key, value);
    if (rc != 0) return rc;
    if (!may_come_back(s, &l)) {
        rill__free(s->heap, l.key);
        return 0;
    }
    rc = keep_left(s, key, value, true);
    rill__free(s->heap, l.key);
    return rc;
}

static int compare_scraped(const void *a, const void *b)
{
    const struct remnant *x = a;
    const struct remnant *y = b;
    int order = compare_left(x, y->key, y->key_size);
    uint64_t age = age_of(x);
    uint64_t other = age_of(y);

    return order != 0 ? order : (age < other) - (age > other);
}

/* Of each key the latest version. */
static void keep_latest(struct salvage *s)
{
    size_t n = s->walked;

    if (s->count > s->walked + 1)
        qsort(s->left + s->walked, s->count - s->walked, sizeof *s->left, compare_scraped);
    for (size_t i = s->walked; i < s->count; i++) {
        if (n > s->walked &&
            compare_left(&s->left[n - 1], s->left[i].key, s->left[i].key_size) == 0)
            rill__free(s->heap, s->left[i].key);
        else s->left[n++] = s->left[i];
    }
    s->count = n;
}

/* ---- Writing ---------------------------------------------------------- */

struct put_work {
    const struct salvage *s;
    size_t from;
    size_t to;
};

/* A group's members are of another time; numbers may have been given since. */
static int put_changed(struct meta *meta, MDB_txn *txn, const MDB_val *key, const uint8_t *value)
{
    uint8_t v[8 + 8] = {0};
    char kind = *(const char *)key->mv_data;

    if (kind == 'P') rill__put64(v, rill__get64(value) + IDS_SINCE);
    else if (kind == 'N') rill__put32(v, rill__get32(value) + SPACES_SINCE);
    else rill__put32(v, rill__get32(value) + 1);
    return rill__meta_put(meta, txn, key, v, kind == 'G' ? 4 : 8);
}

/* A producer has gone on since, by as many epochs as nobody knows, and what its logs have of them
 * fences earlier ones. With transactions it gets another id when it is opened, since all epochs
 * of this one are used up; without, its id tells what comes again, and is kept. */
static int put_producer(struct meta *meta, MDB_txn *txn, const MDB_val *key,
                        const struct remnant *l)
{
    uint8_t *v = rill__alloc(meta->heap, l->value_size);
    int epoch;
    int rc;

    if (v == NULL) return RILL_ERR_NO_MEMORY;
    memcpy(v, l->value, l->value_size);
    epoch = rill__get16(v + 8) + EPOCHS_SINCE;
    if ((rill__get16(v + 10) & META_NAME_TRANSACTIONAL) != 0 || epoch > INT16_MAX)
        epoch = INT16_MAX;
    rill__put16(v + 8, (uint16_t)epoch);
    rc = rill__meta_put(meta, txn, key, v, l->value_size - 8);
    rill__free(meta->heap, v);
    return rc;
}

/* That the next number is not there need not mean that none was given. */
static int put_numbers(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct salvage *s = arg;
    uint8_t v[8 + 8] = {0};
    MDB_val id = {1, (void *)(uintptr_t) "P"};
    MDB_val space = {1, (void *)(uintptr_t) "N"};
    MDB_val there;
    int rc = 0;

    if (is_in_hole(s, id.mv_data, 1) && mdb_get(txn, meta->dbi, &id, &there) == MDB_NOTFOUND) {
        rill__put64(v, IDS_NEVER);
        rc = rill__meta_put(meta, txn, &id, v, 8);
    }
    if (rc == 0 && is_in_hole(s, space.mv_data, 1) &&
        mdb_get(txn, meta->dbi, &space, &there) == MDB_NOTFOUND) {
        rill__put64(v, SPACES_NEVER);
        rc = rill__meta_put(meta, txn, &space, v, 8);
    }
    return rc;
}

static int put_some(struct meta *meta, MDB_txn *txn, void *arg)
{
    const struct put_work *work = arg;
    int rc = 0;

    for (size_t i = work->from; i < work->to && rc == 0; i++) {
        const struct remnant *l = &work->s->left[i];
        MDB_val key = {l->key_size, l->key};
        MDB_val value = {l->value_size, l->value};
        if (l->key[0] == 'S') continue; /* the new one has its own */
        if (l->scraped && strchr("GPN", l->key[0]) != NULL) {
            rc = put_changed(meta, txn, &key, l->value);
            continue;
        }
        if (l->scraped && l->key[0] == 'X') {
            rc = put_producer(meta, txn, &key, l);
            continue;
        }
        rc = rill__meta_failed(meta, mdb_put(txn, meta->dbi, &key, &value, 0), "writing");
    }
    return rc == 0 ? rill__meta_raise_schema(meta, txn) : rc;
}

static int put_remnants(const struct salvage *s, struct meta *to)
{
    int rc = 0;

    for (size_t from = 0; from < s->count && rc == 0; from += 1000) {
        struct put_work work = {s, from, from + 1000 < s->count ? from + 1000 : s->count};
        rc = rill__meta_write(to, put_some, &work);
    }
    return rc == 0 ? rill__meta_write(to, put_numbers, (void *)(uintptr_t)s) : rc;
}

static int tell_scraped(const struct salvage *s)
{
    int rc = 0;

    for (size_t i = s->walked; i < s->count && rc == 0; i++) {
        const struct remnant *l = &s->left[i];
        char name[RILL_TOPIC_NAME_MAX + 1];
        size_t size = 0;

        while (size + 1 < l->key_size && size < sizeof name - 1 && l->key[size + 1] != 0) {
            name[size] = (char)l->key[size + 1];
            size++;
        }
        name[size] = '\0';
        rc = s->with->scraped(s->with->arg, (char)l->key[0], name);
    }
    return rc;
}

int rill__meta_salvage(struct heap *heap, const char *path, struct meta *to,
                       const struct meta_salvage *with)
{
    struct salvage s = {.heap = heap, .with = with};
    struct meta_walk walk = {
        .damage = walk_damage, .record = walk_record, .arg = &s, .miscounted = &s.everywhere};
    int rc = rill__meta_walk(heap, path, &walk);

    if (rc == RILL_ERR_CORRUPT || rc == RILL_ERR_NOT_FOUND || rc == RILL_ERR_IO)
        rc = note_hole(&s); /* there is no tree */
    s.walked = s.count;
    if (rc == 0 && s.hole_count > 0) rc = rill__meta_scrape(path, scrape_record, &s);
    keep_latest(&s);
    if (rc == 0) rc = tell_scraped(&s);
    if (rc == 0 && to != NULL) rc = put_remnants(&s, to);
    for (size_t i = 0; i < s.count; i++) rill__free(heap, s.left[i].key);
    rill__free(heap, s.left);
    rill__free(heap, s.holes);
    return rc;
}
