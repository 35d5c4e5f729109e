/*
 * What a group has committed, listed and deleted, and for how long the group was
 * idle: as long as two clocks of one boot agree on, from the second look on, and
 * only if nothing about it has changed.
 */
#include "catalogues.h"
#include "base/bytes.h"

static struct meta_offset offset_of(char topic, int32_t partition, int64_t offset)
{
    struct meta_offset o = {
        .partition = partition, .leader_epoch = 3, .offset = offset, .committed_ms = 99};

    memset(o.topic_id, topic, sizeof o.topic_id);
    return o;
}

static void commit(const char *group, char topic, int32_t partition, int64_t offset)
{
    struct meta_offset o = offset_of(topic, partition, offset);
    OK(rill__meta_offsets_commit(meta, group, &o, 1));
}

/* ---- Listing ---- */

static void all_of_a_group_is_listed_and_no_more(void **state)
{
    struct meta_offset o = offset_of('t', 300, 7);
    struct meta_offset *all;
    size_t count;

    (void)state;
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_offsets_list(meta, "g", &all, &count));
    OK(rill__meta_group_put(meta, "g", 1));
    OK(rill__meta_offsets_list(meta, "g", &all, &count));
    assert_int_equal(count, 0);
    rill__free(&heap, all);
    o.metadata = "note";
    OK(rill__meta_offsets_commit(meta, "g", &o, 1));
    commit("g", 't', 1, 5);
    commit("g", 's', 2, 6);
    commit("f", 't', 1, 1);
    commit("gg", 't', 1, 1);
    OK(rill__meta_offsets_list(meta, "g", &all, &count));
    assert_int_equal(count, 3);
    assert_int_equal(all[0].topic_id[15], 's');
    assert_int_equal(all[0].partition, 2);
    assert_int_equal(all[0].offset, 6);
    assert_int_equal(all[0].leader_epoch, 3);
    assert_int_equal(all[0].committed_ms, 99);
    assert_null(all[0].metadata);
    assert_int_equal(all[1].partition, 1);
    assert_int_equal(all[2].partition, 300);
    assert_string_equal(all[2].metadata, "note");
    rill__free(&heap, all);
}

struct put {
    MDB_val key;
    uint8_t value[200];
    size_t size;
    bool rotten;
};

static int put_work(struct meta *m, MDB_txn *txn, void *arg)
{
    struct put *put = arg;
    MDB_val value = {put->size + 8, put->value};

    if (put->rotten) return mdb_put(txn, m->dbi, &put->key, &value, 0);
    return rill__meta_put(m, txn, &put->key, put->value, put->size);
}

static void put(const void *key, size_t key_size, size_t value_size, bool rotten)
{
    struct put put = {
        .key = {key_size, (void *)(uintptr_t)key}, .size = value_size, .rotten = rotten};
    OK(rill__meta_write(meta, put_work, &put));
}

static void what_is_damaged_is_not_listed(void **state)
{
    static const uint8_t topic[16] = {'u'};
    uint8_t key[META_KEY_MAX];
    size_t size = rill__meta_offset_key(key, "g", topic, 0);
    struct meta_offset *all;
    size_t count;

    (void)state;
    commit("g", 't', 1, 5);
    put(key, size, META_OFFSET_SIZE, true);
    FAILS(RILL_ERR_CORRUPT, rill__meta_offsets_list(meta, "g", &all, &count));
    put(key, size, META_OFFSET_SIZE - 1, false);
    FAILS(RILL_ERR_CORRUPT, rill__meta_offsets_list(meta, "g", &all, &count));
    put(key, size, META_OFFSET_SIZE, false);
    OK(rill__meta_offsets_list(meta, "g", &all, &count));
    rill__free(&heap, all);
    put(key, size - 1, META_OFFSET_SIZE, false); /* a key that is too short */
    FAILS(RILL_ERR_CORRUPT, rill__meta_offsets_list(meta, "g", &all, &count));
}

/* ---- Changing ---- */

static int change_step(void *arg, const struct meta_group *group,
                       struct meta_group_change *change)
{
    struct meta_offset o;

    *change = *(const struct meta_group_change *)arg;
    if (group == NULL || change->removed == NULL) return 0;
    OK(rill__meta_committed(group, change->removed->topic_id, 1, &o));
    assert_null(o.metadata);
    return 0;
}

static size_t count_of(const char *group)
{
    struct meta_offset *all;
    size_t count;

    if (rill__meta_offsets_list(meta, group, &all, &count) == RILL_ERR_NOT_FOUND) return 1000;
    rill__free(&heap, all);
    return count;
}

static void offsets_are_deleted_by_partition_and_topic(void **state)
{
    struct meta_offset one = offset_of('t', 1, 0);
    struct meta_group_change change = {
        .removed = &one, .removed_count = 1, .forget_if_bare = true};
    struct meta_offset last = offset_of('u', 0, 0);

    (void)state;
    for (int p = 0; p < 3; p++) commit("g", 't', p, 1);
    commit("g", 'u', 0, 1);
    commit("h", 't', 1, 1);
    OK(rill__meta_group_step(meta, "g", 0, change_step, &change));
    assert_int_equal(count_of("g"), 3);
    commit("g", 't', 1, 1);
    one.partition = -1;
    OK(rill__meta_group_step(meta, "g", 0, change_step, &change));
    assert_int_equal(count_of("g"), 1);
    commit("g", 't', 1, 1); /* for what the step asks */
    change.offsets = &last;
    change.offset_count = 1;
    one.partition = 1;
    OK(rill__meta_group_step(meta, "g", 0, change_step, &change));
    assert_int_equal(count_of("g"), 1); /* not bare: one was committed */
    change = (struct meta_group_change){.removed = NULL, .forget = true};
    OK(rill__meta_group_step(meta, "g", 0, change_step, &change));
    assert_int_equal(count_of("g"), 1000);
    OK(rill__meta_group_step(meta, "g", 0, change_step, &change)); /* there is none */
    change = (struct meta_group_change){.removed = NULL, .forget_if_bare = true};
    OK(rill__meta_group_put(meta, "g", 4));
    OK(rill__meta_group_step(meta, "g", 0, change_step, &change));
    assert_int_equal(count_of("g"), 1000);
    assert_int_equal(count_of("h"), 1);
}

/* ---- Idle ---- */

struct looking {
    struct meta_moment now;
    struct meta_idle idle;
    bool noted;
};

static int look_step(void *arg, const struct meta_group *group, struct meta_group_change *change)
{
    struct looking *l = arg;
    int rc = rill__meta_group_idle(group, &l->now, 10, &l->idle, &l->noted);

    change->idle = l->noted ? NULL : &l->idle;
    return rc;
}

/* For how long was "g" idle? A negative answer: what is kept was good enough. */
static int64_t idle_at(uint8_t boot, int64_t monotonic_ms, int64_t wall_ms)
{
    struct looking l = {.now = {.monotonic_ms = monotonic_ms, .wall_ms = wall_ms}};

    memset(l.now.boot_id, boot, 16);
    OK(rill__meta_group_step(meta, "g", 0, look_step, &l));
    return l.noted ? -l.idle.idle_ms : l.idle.idle_ms;
}

static void idle_time_is_what_both_clocks_saw(void **state)
{
    (void)state;
    commit("g", 't', 0, 1);
    assert_int_equal(idle_at(1, 1000, 5000), 0);
    assert_int_equal(idle_at(1, 1009, 5009), -9);
    assert_int_equal(idle_at(1, 1020, 5020), 20);
    assert_int_equal(idle_at(1, 1030, 99999), 30); /* the wall clock jumps, */
    assert_int_equal(idle_at(1, 1050, 6000), 30);  /* back, */
    assert_int_equal(idle_at(1, 1060, 6010), 40);  /* and goes on */
    assert_int_equal(idle_at(1, 9060, 6020), 50);
    assert_int_equal(idle_at(1, 1060, 6030), 50); /* of another time namespace */
    assert_int_equal(idle_at(1, 1070, 6041), 60);
}

static void time_between_boots_does_not_count(void **state)
{
    (void)state;
    commit("g", 't', 0, 1);
    assert_int_equal(idle_at(1, 1000, 5000), 0);
    assert_int_equal(idle_at(1, 1020, 5020), 20);
    assert_int_equal(idle_at(2, 2000, 9020), 20);
    assert_int_equal(idle_at(2, 2010, 9030), 30);
    assert_int_equal(idle_at(0, 2020, 9040), 30); /* not known */
    assert_int_equal(idle_at(0, 2030, 9050), 30);
}

static void what_changes_begins_anew(void **state)
{
    struct meta_offset gone = offset_of('t', 1, 0);
    struct meta_group_change change = {.removed = &gone, .removed_count = 1};
    int64_t now = 1000;

    (void)state;
    commit("g", 't', 0, 1);
    commit("g", 't', 1, 1);
    assert_int_equal(idle_at(1, now, now), 0);
    now += 100;
    assert_int_equal(idle_at(1, now, now), 100);
    commit("g", 't', 0, 2);
    now += 100;
    assert_int_equal(idle_at(1, now, now), 0);
    now += 100;
    commit("h", 't', 0, 2);
    assert_int_equal(idle_at(1, now, now), 100);
    OK(rill__meta_group_step(meta, "g", 0, change_step, &change));
    assert_int_equal(idle_at(1, now + 100, now + 100), 0);
    OK(rill__meta_group_put(meta, "g", 5));
    assert_int_equal(idle_at(1, now + 200, now + 200), 0);
    assert_int_equal(idle_at(1, now + 300, now + 300), 100);
    OK(rill__meta_group_delete(meta, "g", NULL, NULL));
    commit("g", 't', 0, 2); /* what was kept is gone with the group */
    assert_int_equal(idle_at(1, now + 400, now + 400), 0);
}

static void what_was_kept_and_is_damaged_is_forgotten(void **state)
{
    (void)state;
    commit("g", 't', 0, 1);
    assert_int_equal(idle_at(1, 1000, 1000), 0);
    assert_int_equal(idle_at(1, 1100, 1100), 100);
    put("Ig", 2, META_IDLE_SIZE, true);
    assert_int_equal(idle_at(1, 1200, 1200), 0);
    assert_int_equal(idle_at(1, 1300, 1300), 100);
    put("Ig", 2, META_IDLE_SIZE - 1, false);
    assert_int_equal(idle_at(1, 1400, 1400), 0);
    assert_int_equal(idle_at(1, 1500, 1500), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CATALOGUE(all_of_a_group_is_listed_and_no_more),
        WITH_CATALOGUE(what_is_damaged_is_not_listed),
        WITH_CATALOGUE(offsets_are_deleted_by_partition_and_topic),
        WITH_CATALOGUE(idle_time_is_what_both_clocks_saw),
        WITH_CATALOGUE(time_between_boots_does_not_count),
        WITH_CATALOGUE(what_changes_begins_anew),
        WITH_CATALOGUE(what_was_kept_and_is_damaged_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
