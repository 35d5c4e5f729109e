/*
 * Names of producers, spaces of applications, and decisions: each is taken once, in one
 * write, for good; whoever is fenced can decide nothing any more.
 */
#include "catalogues.h"
#include "base/bytes.h"

static const struct meta_owner me = {3, 9, 77};

static struct meta_name take(const char *name)
{
    struct meta_name was;
    struct meta_name now;

    OK(rill__meta_name_take(meta, name, true, 1000, me, &was, &now));
    rill__free(&heap, was.decided);
    return now;
}

static struct meta_name get(const char *name)
{
    struct meta_name found;

    OK(rill__meta_name_get(meta, name, &found));
    rill__free(&heap, found.decided);
    found.decided = NULL;
    return found;
}

static rill_bytes text(const char *t)
{
    return (rill_bytes){t, strlen(t)};
}

/* ---- Names ------------------------------------------------------------ */

static void ids_are_never_given_twice(void **state)
{
    int64_t first;

    (void)state;
    OK(rill__meta_producer_ids(meta, 10, &first));
    assert_int_equal(first, 0);
    assert_int_equal(take("a").producer_id, 10);
    OK(rill__meta_producer_ids(meta, 1, &first));
    assert_int_equal(first, 11);
    catalogue_reopen();
    OK(rill__meta_producer_ids(meta, 1, &first));
    assert_int_equal(first, 12);
}

static void taking_a_name_fences(void **state)
{
    struct meta_name was;
    struct meta_name now;

    (void)state;
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_name_get(meta, "a", &was));
    OK(rill__meta_name_take(meta, "a", true, 1234, me, &was, &now));
    assert_int_equal(was.producer_id, -1);
    assert_int_equal(now.epoch, 0);
    OK(rill__meta_name_take(meta, "a", true, 4321, (struct meta_owner){5, 8, 6}, &was, &now));
    assert_int_equal(was.owner.slot, 3);
    assert_int_equal(was.owner.ticket, 77);
    assert_int_equal(was.owner.instance, 9);
    assert_true(was.owned);
    assert_int_equal(was.timeout_ms, 1234);
    assert_int_equal(now.producer_id, was.producer_id);
    assert_int_equal(now.epoch, 1);
    assert_int_equal(now.owner.slot, 5);
    assert_int_equal(get("a").timeout_ms, 4321);
    FAILS(RILL_ERR_STATE, rill__meta_name_take(meta, "a", false, 1, me, &was, &now));
    FAILS(RILL_ERR_FENCED, rill__meta_name_renew(meta, "a", me, &was, &now));
    OK(rill__meta_name_release(meta, "a", me)); /* not its own any more */
    assert_true(get("a").owned);
    OK(rill__meta_name_release(meta, "a", (struct meta_owner){5, 8, 6}));
    assert_false(get("a").owned);
    FAILS(RILL_ERR_FENCED,
          rill__meta_name_renew(meta, "a", (struct meta_owner){5, 8, 6}, &was, &now));
    FAILS(RILL_ERR_FENCED, rill__meta_name_renew(meta, "nobody", me, &was, &now));
    OK(rill__meta_name_release(meta, "nobody", me));
    assert_int_equal(take("a").epoch, 2);
}

static bool has_id(void *arg, const struct meta_name *name)
{
    return name->producer_id == *(int64_t *)arg;
}

static void names_are_found_by_id_and_in_order(void **state)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    struct meta_name found;
    int64_t id;

    (void)state;
    id = take("b").producer_id;
    take("a");
    OK(rill__meta_name_of(meta, id, name, &found));
    assert_string_equal(name, "b");
    assert_int_equal(found.producer_id, id);
    OK(rill__meta_name_of(meta, id, NULL, &found));
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_name_of(meta, 99, name, &found));
    name[0] = '\0';
    OK(rill__meta_name_find(meta, name, NULL, NULL, name, &found));
    assert_string_equal(name, "a");
    OK(rill__meta_name_find(meta, name, NULL, NULL, name, &found));
    assert_string_equal(name, "b");
    assert_int_equal(rill__meta_name_find(meta, name, NULL, NULL, name, &found),
                     RILL_ERR_NOT_FOUND);
    OK(rill__meta_name_find(meta, "", has_id, &id, name, &found));
    assert_string_equal(name, "b");
    assert_int_equal(found.producer_id, id);
    id = 99;
    assert_int_equal(rill__meta_name_find(meta, "", has_id, &id, name, &found),
                     RILL_ERR_NOT_FOUND);
    assert_string_equal(name, "b"); /* as it was */
}

static void changes_are_told_apart(void **state)
{
    uint64_t before;
    uint64_t now;

    (void)state;
    OK(rill__meta_last_change(meta, &before));
    OK(rill__meta_last_change(meta, &now));
    assert_int_equal(before, now);
    take("a");
    OK(rill__meta_last_change(meta, &now));
    assert_int_not_equal(before, now);
}

static bool gone(void *arg, const struct meta_name *name)
{
    assert_int_equal(name->owner.slot, me.slot);
    return *(bool *)arg;
}

static struct meta_decision decision_of(const char *name, struct meta_name n)
{
    return (struct meta_decision){.name = name,
                                  .producer_id = n.producer_id,
                                  .epoch = n.epoch,
                                  .settled_epoch = n.decided_epoch};
}

static void names_that_nobody_has_can_go(void **state)
{
    const struct meta_decided places[] = {{{7}, 1}};
    struct meta_decision d;
    struct meta_name found;
    bool is_gone = false;
    int64_t id;

    (void)state;
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_name_delete(meta, "a", gone, &is_gone));
    d = decision_of("a", take("a"));
    id = d.producer_id;
    d.partitions = places;
    d.partition_count = 1;
    OK(rill__meta_decide(meta, &d, 1000));
    FAILS(RILL_ERR_STATE, rill__meta_name_delete(meta, "a", gone, &is_gone));
    is_gone = true;
    FAILS(RILL_ERR_STATE, rill__meta_name_delete(meta, "a", gone, &is_gone)); /* unsettled */
    OK(rill__meta_name_settle(meta, "a", id, 0));
    is_gone = false;
    FAILS(RILL_ERR_STATE, rill__meta_name_delete(meta, "a", gone, &is_gone));
    is_gone = true;
    OK(rill__meta_name_delete(meta, "a", gone, &is_gone));
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_name_of(meta, id, NULL, &found));
    FAILS(RILL_ERR_FENCED, rill__meta_decide(meta, &d, 1000));
}

/* ---- Decisions -------------------------------------------------------- */

static void what_is_decided_stays_so(void **state)
{
    const struct meta_decided places[] = {{{7}, 1}, {{8}, 2}};
    struct meta_name now;
    struct meta_name found;
    struct meta_decision d;
    bool commit = false;

    (void)state;
    now = take("a");
    d = decision_of("a", now);
    d.partitions = places;
    d.partition_count = 2;
    OK(rill__meta_decide(meta, &d, 1000));
    OK(rill__meta_name_get(meta, "a", &found));
    assert_int_equal(found.epoch, 1);
    assert_int_equal(found.decided_epoch, 0);
    assert_int_equal(found.decided_count, 2);
    assert_int_equal(found.decided[1].topic_id[0], 8);
    assert_int_equal(found.decided[1].partition, 2);
    rill__free(&heap, found.decided);
    OK(rill__meta_name_judge(meta, now.producer_id, 0, &commit));
    assert_true(commit);
    assert_int_equal(get("a").epoch, 1);                       /* nobody is fenced by that */
    FAILS(RILL_ERR_FENCED, rill__meta_decide(meta, &d, 1000)); /* again */

    d.epoch = 1;
    d.settled_epoch = 5;
    FAILS(RILL_ERR_BUG, rill__meta_decide(meta, &d, 1000)); /* unsettled */
    now = take("a");                                        /* a new instance finds it */
    assert_int_equal(now.decided_epoch, 0);
    OK(rill__meta_name_judge(meta, now.producer_id, 0, &commit));
    assert_true(commit);
    OK(rill__meta_name_settle(meta, "a", now.producer_id, 1)); /* not that one */
    OK(rill__meta_name_settle(meta, "a", now.producer_id + 1, 0));
    assert_int_equal(get("a").decided_epoch, 0);
    OK(rill__meta_name_settle(meta, "a", now.producer_id, 0));
    assert_int_equal(get("a").decided_epoch, -1);
    OK(rill__meta_name_settle(meta, "nobody", now.producer_id, 0));
    OK(rill__meta_name_judge(meta, now.producer_id, 0, &commit));
    assert_false(commit); /* what is found of it now was never part of it */

    d = decision_of("a", get("a"));
    d.partitions = places;
    d.partition_count = 1;
    OK(rill__meta_decide(meta, &d, 1000));
    d.settled_epoch = d.epoch++; /* the next one settles it */
    OK(rill__meta_decide(meta, &d, 1000));
    assert_int_equal(get("a").decided_epoch, d.epoch);
}

static void who_is_judged_cannot_decide(void **state)
{
    struct meta_name now;
    struct meta_decision d;
    bool commit = true;

    (void)state;
    now = take("a");
    d = decision_of("a", now);
    OK(rill__meta_name_judge(meta, now.producer_id, 0, &commit));
    assert_false(commit);
    assert_int_equal(get("a").epoch, 1);
    FAILS(RILL_ERR_FENCED, rill__meta_decide(meta, &d, 1000));
    OK(rill__meta_name_judge(meta, now.producer_id, 0, &commit)); /* again: the same */
    assert_false(commit);
    assert_int_equal(get("a").epoch, 1);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_name_judge(meta, 99, 0, &commit));
    FAILS(RILL_ERR_CORRUPT, rill__meta_name_judge(meta, now.producer_id, INT16_MAX, &commit));
    d.epoch = 1;
    OK(rill__meta_decide(meta, &d, 1000)); /* without records: it is known all the same */
    OK(rill__meta_name_judge(meta, now.producer_id, 1, &commit));
    assert_true(commit);
    assert_int_equal(get("a").decided_count, 0);
    assert_int_equal(get("a").epoch, 2);
}

static int work_set_epoch(struct meta *m, MDB_txn *txn, void *arg)
{
    struct meta_name n;
    int rc = rill__meta_read_name(m, txn, "a", &n);

    n.epoch = *(int16_t *)arg;
    return rc == 0 ? rill__meta_write_name(m, txn, "a", &n) : rc;
}

static void epochs_end(void **state)
{
    const struct meta_decided places[] = {{{7}, 1}};
    int16_t last = INT16_MAX - 1;
    struct meta_decision d;
    struct meta_name was;
    struct meta_name now;
    bool commit;
    int64_t id;

    (void)state;
    id = take("a").producer_id;
    OK(rill__meta_write(meta, work_set_epoch, &last));
    d = decision_of("a", get("a"));
    d.partitions = places;
    d.partition_count = 1;
    OK(rill__meta_decide(meta, &d, 1000)); /* in the last one that may */
    assert_int_equal(get("a").epoch, INT16_MAX);
    FAILS(RILL_ERR_STATE, rill__meta_name_take(meta, "a", true, 1, me, &was, &now));
    OK(rill__meta_name_judge(meta, id, last, &commit));
    assert_true(commit);
    OK(rill__meta_name_settle(meta, "a", id, last));
    d.epoch = INT16_MAX;
    FAILS(RILL_ERR_BUG, rill__meta_decide(meta, &d, 1000));
    now = take("a");
    assert_int_not_equal(now.producer_id, id);
    assert_int_equal(now.epoch, 0);
    OK(rill__meta_name_judge(meta, id, 5, &commit)); /* of the old id */
    assert_false(commit);
    assert_int_equal(get("a").epoch, 0);
}

/* ---- Spaces ----------------------------------------------------------- */

static uint32_t space(const char *name)
{
    uint32_t number = 0;

    OK(rill__meta_space_open(meta, name, true, &number));
    return number;
}

static void put(const char *name, const char *key, const char *value)
{
    struct meta_put p = {space(name), text(key), {NULL, 0}};
    struct meta_decision d = decision_of("writer", get("writer"));
    const char *spaces[] = {name};

    if (value != NULL) p.value = text(value);
    d.spaces = spaces;
    d.space_count = 1;
    d.puts = &p;
    d.put_count = 1;
    OK(rill__meta_decide(meta, &d, 1000));
}

static void writer(const char *space_name)
{
    int64_t held;
    int64_t id = take("writer").producer_id;

    space(space_name);
    OK(rill__meta_space_claim(meta, space_name, id, -1, &held));
    assert_int_equal(held, id);
}

static void spaces_are_made_once_and_apart(void **state)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    uint32_t number;
    int64_t owner;

    (void)state;
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_space_open(meta, "b", false, &number));
    assert_int_equal(space("b"), 0);
    assert_int_equal(space("a"), 1);
    assert_int_equal(space("b"), 0);
    OK(rill__meta_space_after(meta, name, name, &number, &owner));
    assert_string_equal(name, "a");
    assert_int_equal(number, 1);
    assert_int_equal(owner, -1);
    OK(rill__meta_space_after(meta, name, name, NULL, NULL));
    assert_string_equal(name, "b");
    assert_int_equal(rill__meta_space_after(meta, name, name, &number, &owner),
                     RILL_ERR_NOT_FOUND);
    OK(rill__meta_space_delete(meta, "b", -1));
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_space_delete(meta, "b", -1));
    assert_int_equal(space("b"), 2); /* another one: what was in it is gone */
}

static void one_writes(void **state)
{
    int64_t held;
    struct meta_decision d;
    const char *spaces[] = {"s"};

    (void)state;
    space("s");
    OK(rill__meta_space_claim(meta, "s", 5, -1, &held));
    assert_int_equal(held, 5);
    OK(rill__meta_space_claim(meta, "s", 5, -1, &held));
    assert_int_equal(held, 5);
    OK(rill__meta_space_claim(meta, "s", 6, -1, &held));
    assert_int_equal(held, 5); /* still */
    FAILS(RILL_ERR_STATE, rill__meta_space_delete(meta, "s", 6));
    d = decision_of("writer", take("writer"));
    d.spaces = spaces;
    d.space_count = 1;
    FAILS(RILL_ERR_FENCED, rill__meta_decide(meta, &d, 1000));
    OK(rill__meta_space_claim(meta, "s", d.producer_id, 5, &held));
    assert_int_equal(held, d.producer_id);
    OK(rill__meta_decide(meta, &d, 1000));
    OK(rill__meta_name_release(meta, "writer", me));
    OK(rill__meta_space_claim(meta, "s", 9, -1, &held));
    assert_int_equal(held, 9);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_space_claim(meta, "none", 9, -1, &held));
    OK(rill__meta_space_delete(meta, "s", 9));
    d = decision_of("writer", get("writer"));
    d.spaces = spaces;
    d.space_count = 1;
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_decide(meta, &d, 1000));
}

static void a_view_is_one_moment(void **state)
{
    struct meta_view *view;
    struct meta_view *later;
    rill_bytes value;
    uint32_t s;
    char large[META_SPACE_KEY_MAX + 1];

    (void)state;
    writer("s");
    s = space("s");
    put("s", "k", "one");
    OK(rill__meta_view_open(meta, &view));
    put("s", "k", "two");
    put("s", "gone", "x");
    put("s", "gone", NULL);
    put("s", "gone", NULL); /* was not there: nothing */
    OK(rill__meta_view_open(meta, &later));
    OK(rill__meta_view_get(view, s, text("k"), &value));
    assert_int_equal(value.size, 3);
    assert_memory_equal(value.data, "one", 3);
    OK(rill__meta_view_get(later, s, text("k"), &value));
    assert_memory_equal(value.data, "two", 3);
    assert_int_equal(rill__meta_view_get(later, s, text("gone"), &value), RILL_ERR_NOT_FOUND);
    assert_int_equal(rill__meta_view_get(later, s + 1, text("k"), &value), RILL_ERR_NOT_FOUND);
    memset(large, 'k', sizeof large);
    assert_int_equal(rill__meta_view_get(later, s, (rill_bytes){large, sizeof large}, &value),
                     RILL_ERR_NOT_FOUND);
    rill__meta_view_close(view);
    rill__meta_view_close(later);
    rill__meta_view_close(NULL);
}

static void expect_next(struct meta_view *view, uint32_t s, const char *from, bool after,
                        bool reverse, const char *expected)
{
    rill_bytes key;
    rill_bytes value;
    rill_bytes begin = {from, from == NULL ? 0 : strlen(from)};
    int rc = rill__meta_view_next(view, s, begin, after, reverse, &key, &value);

    if (expected == NULL) {
        assert_int_equal(rc, RILL_ERR_NOT_FOUND);
        return;
    }
    OK(rc);
    assert_int_equal(key.size, strlen(expected));
    assert_memory_equal(key.data, expected, key.size);
    assert_int_equal(value.size, 1);
}

static void views_walk_both_ways(void **state)
{
    struct meta_view *view;
    rill_bytes key;
    rill_bytes value;
    char large[META_SPACE_KEY_MAX + 1] = {0};
    uint32_t s;

    (void)state;
    space("before");
    writer("s");
    s = space("s");
    OK(rill__meta_view_open(meta, &view));
    expect_next(view, s, NULL, false, false, NULL);
    expect_next(view, s, NULL, false, true, NULL);
    rill__meta_view_close(view);
    put("s", "b", "2");
    put("s", "bb", "3");
    put("s", "d", "4");
    put("s", "", "1");
    for (int others = 0; others < 2; others++) {
        OK(rill__meta_view_open(meta, &view));
        expect_next(view, s, NULL, false, false, "");
        expect_next(view, s, "", true, false, "b");
        expect_next(view, s, "b", false, false, "b");
        expect_next(view, s, "b", true, false, "bb");
        expect_next(view, s, "c", true, false, "d");
        expect_next(view, s, "d", true, false, NULL);
        expect_next(view, s, NULL, false, true, "d");
        expect_next(view, s, "z", false, true, "d");
        expect_next(view, s, "d", false, true, "d");
        expect_next(view, s, "d", true, true, "bb");
        expect_next(view, s, "c", false, true, "bb");
        expect_next(view, s, "b", true, true, "");
        expect_next(view, s, "", true, true, NULL);
        FAILS(RILL_ERR_TOO_BIG, rill__meta_view_next(view, s, (rill_bytes){large, sizeof large},
                                                     false, false, &key, &value));
        rill__meta_view_close(view);
        if (others == 0) { /* and with a space behind it */
            int64_t held;
            space("behind");
            OK(rill__meta_space_claim(meta, "behind", get("writer").producer_id, -1, &held));
            put("behind", "a", "5");
        }
    }
}

static void a_view_holds_the_map(void **state)
{
    struct meta_view *view;
    static char big[META_SPACE_VALUE_MAX];
    struct meta_put p = {0, text("k"), {big, sizeof big}};
    const char *spaces[] = {"s"};
    struct meta_decision d;
    struct meta_turns turns = {.owner = 0};
    char key[8];
    int rc = 0;

    (void)state;
    OK(rill__shared_mutex_init(&turns.lock));
    writer("s");
    p.space = space("s");
    rill__meta_take_turns(meta, &turns, 50);
    OK(rill__meta_view_open(meta, &view));
    for (int i = 0; i < 100 && rc == 0; i++) {
        snprintf(key, sizeof key, "%d", i);
        p.key = text(key);
        d = decision_of("writer", get("writer"));
        d.spaces = spaces;
        d.space_count = 1;
        d.puts = &p;
        d.put_count = 1;
        rc = rill__meta_decide(meta, &d, 1000);
    }
    assert_int_equal(rc, RILL_ERR_BUSY);
    assert_non_null(strstr(test_message(), "1 views of it open"));
    rill__meta_view_close(view);
    OK(rill__meta_decide(meta, &d, 1000));
}

/* ---- All or nothing --------------------------------------------------- */

static int commit_step(void *arg, const struct meta_group *group,
                       struct meta_group_change *change)
{
    static struct meta_offset offset;

    (void)group;
    if (*(int *)arg != 0) return *(int *)arg;
    offset = (struct meta_offset){.topic_id = {1}, .offset = 42};
    change->offsets = &offset;
    change->offset_count = 1;
    return 0;
}

static void all_of_it_or_nothing(void **state)
{
    int fine = 0;
    int refused = RILL_ERR_FENCED;
    const uint8_t topic[16] = {1};
    struct meta_commit commits[] = {{"g1", commit_step, &fine}, {"g2", commit_step, &refused}};
    struct meta_put p = {0, text("k"), text("v")};
    const char *spaces[] = {"s"};
    struct meta_decision d;
    struct meta_offset offset;
    struct meta_view *view;
    rill_bytes value;
    bool commit;

    (void)state;
    writer("s");
    p.space = space("s");
    d = decision_of("writer", get("writer"));
    d.commits = commits;
    d.commit_count = 2;
    d.spaces = spaces;
    d.space_count = 1;
    d.puts = &p;
    d.put_count = 1;
    assert_int_equal(rill__meta_decide(meta, &d, 1000), RILL_ERR_FENCED);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_offset_get(meta, "g1", topic, 0, &offset, NULL, 0));
    OK(rill__meta_view_open(meta, &view));
    assert_int_equal(rill__meta_view_get(view, p.space, text("k"), &value), RILL_ERR_NOT_FOUND);
    rill__meta_view_close(view);
    assert_int_equal(get("writer").epoch, d.epoch);

    refused = 0;
    OK(rill__meta_decide(meta, &d, 1000));
    for (int i = 0; i < 2; i++) {
        OK(rill__meta_offset_get(meta, commits[i].group, topic, 0, &offset, NULL, 0));
        assert_int_equal(offset.offset, 42);
    }
    OK(rill__meta_view_open(meta, &view));
    OK(rill__meta_view_get(view, p.space, text("k"), &value));
    rill__meta_view_close(view);
    OK(rill__meta_name_judge(meta, d.producer_id, d.epoch, &commit));
    assert_true(commit); /* though it had no records */
}

static int damage_work(struct meta *m, MDB_txn *txn, void *arg)
{
    const rill_bytes *parts = arg; /* key, value */
    uint8_t value[300] = {0};
    MDB_val key = {parts[0].size, (void *)(uintptr_t)parts[0].data};

    memcpy(value, parts[1].data, parts[1].size);
    return rill__meta_put(m, txn, &key, value, parts[1].size);
}

static void replace(const char *key, size_t key_size, const void *value, size_t size)
{
    rill_bytes parts[] = {{key, key_size}, {value, size}};
    OK(rill__meta_write(meta, damage_work, parts));
}

/* Whoever is not that very instance of it has not got the name any more. */
static void only_the_owner_renews(void **state)
{
    static const struct meta_owner others[] = {{4, 9, 77}, {3, 8, 77}, {3, 9, 78}};
    struct meta_name was;
    struct meta_name now;

    (void)state;
    FAILS(RILL_ERR_FENCED, rill__meta_name_renew(meta, "a", me, &was, &now));
    take("a");
    for (int i = 0; i < 3; i++) {
        FAILS(RILL_ERR_FENCED, rill__meta_name_renew(meta, "a", others[i], &was, &now));
        test_says("newer instance");
        OK(rill__meta_name_release(meta, "a", others[i])); /* nor gives it up */
        assert_true(get("a").owned);
    }
    OK(rill__meta_name_renew(meta, "a", me, &was, &now));
    assert_int_equal(now.epoch, was.epoch + 1);
    OK(rill__meta_name_release(meta, "a", me));
    FAILS(RILL_ERR_FENCED, rill__meta_name_renew(meta, "a", me, &was, &now));
}

static void a_name_is_of_one_kind(void **state)
{
    struct meta_name was;
    struct meta_name now;

    (void)state;
    for (int transactional = 0; transactional < 2; transactional++) {
        const char *name = transactional ? "with" : "without";
        OK(rill__meta_name_take(meta, name, transactional, 1, me, &was, &now));
        FAILS(RILL_ERR_STATE,
              rill__meta_name_take(meta, name, !transactional, 1, me, &was, &now));
        test_says(transactional ? "a producer with transactions"
                                : "a producer without transactions");
        assert_int_equal(get(name).epoch, 0);
    }
}

static bool yes(void *arg, const struct meta_name *name)
{
    (void)arg, (void)name;
    return true;
}

static int drop_work(struct meta *m, MDB_txn *txn, void *arg)
{
    MDB_val key = *(MDB_val *)arg;
    return rill__meta_failed(m, mdb_del(txn, m->dbi, &key, NULL), "dropping");
}

static void drop(void *bytes, size_t size)
{
    MDB_val key = {size, bytes};
    OK(rill__meta_write(meta, drop_work, &key));
}

static void a_name_that_lost_its_id_can_go(void **state)
{
    uint8_t key[META_KEY_MAX];
    struct meta_name found;

    (void)state;
    drop(key, rill__meta_id_key(key, take("a").producer_id));
    OK(rill__meta_name_delete(meta, "a", yes, NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_name_get(meta, "a", &found));
}

static void another_id_is_fenced(void **state)
{
    struct meta_decision d;

    (void)state;
    d = decision_of("a", take("a"));
    d.producer_id++;
    FAILS(RILL_ERR_FENCED, rill__meta_decide(meta, &d, 1000));
    assert_int_equal(get("a").epoch, 0);
    d.name = "gone";
    FAILS(RILL_ERR_FENCED, rill__meta_decide(meta, &d, 1000));
    test_says("was deleted");
}

/* Keys of the largest number have no space behind them, and here nothing at all. */
static void a_view_ends_where_the_catalogue_does(void **state)
{
    static const uint32_t numbers[] = {0, 7, UINT32_MAX};
    uint8_t schema[] = "S";
    uint8_t bytes[META_KEY_LARGEST];
    struct meta_view *view;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t size = rill__meta_space_key(bytes, numbers[i], text("k"));
        replace((const char *)bytes, size, "v", 1);
    }
    drop(schema, 1);
    OK(rill__meta_view_open(meta, &view));
    for (size_t i = 0; i < 3; i++) {
        expect_next(view, numbers[i], NULL, false, false, "k");
        expect_next(view, numbers[i], NULL, false, true, "k");
        expect_next(view, numbers[i], "k", true, false, NULL);
        expect_next(view, numbers[i], "k", true, true, NULL);
        expect_next(view, numbers[i], "kk", true, false, NULL);
        expect_next(view, numbers[i], "kk", true, true, "k");
        expect_next(view, numbers[i], "j", true, false, "k");
        expect_next(view, numbers[i], "j", false, true, NULL);
        expect_next(view, numbers[i], "l", true, false, NULL);
        expect_next(view, numbers[i], "l", true, true, "k");
    }
    expect_next(view, 3, NULL, false, true, NULL);
    expect_next(view, 3, NULL, false, false, NULL);
    rill__meta_view_close(view);
}

static void damaged_records_are_refused(void **state)
{
    uint8_t v[48] = {0};
    uint8_t key[META_KEY_MAX];
    char name[RILL_TOPIC_NAME_MAX + 1];
    struct meta_name found;
    uint32_t number;
    int64_t first;

    (void)state;
    take("a");
    space("s");
    replace("Xa", 2, v, 39);
    FAILS(RILL_ERR_CORRUPT, rill__meta_name_get(meta, "a", &found));
    memset(v, 0, sizeof v);
    replace("Xa", 2, v, 44); /* half a decision */
    FAILS(RILL_ERR_CORRUPT, rill__meta_name_get(meta, "a", &found));
    rill__put32(v + 44, 1); /* of which the partition is missing */
    replace("Xa", 2, v, 48);
    FAILS(RILL_ERR_CORRUPT, rill__meta_name_get(meta, "a", &found));
    rill__put64(v, UINT64_MAX);
    replace("Xa", 2, v, 40);
    FAILS(RILL_ERR_CORRUPT, rill__meta_name_get(meta, "a", &found));
    rill__put64(v, 0);
    rill__put16(v + 8, 0x8000); /* a negative epoch */
    replace("Xa", 2, v, 40);
    FAILS(RILL_ERR_CORRUPT, rill__meta_name_get(meta, "a", &found));
    memset(name, 'n', sizeof name);
    replace((const char *)key, rill__meta_id_key(key, 77), name, sizeof name);
    FAILS(RILL_ERR_CORRUPT, rill__meta_name_of(meta, 77, NULL, &found));
    test_says("a producer's name of 250 bytes");
    replace("Ds", 2, v, 23);
    FAILS(RILL_ERR_CORRUPT, rill__meta_space_open(meta, "s", true, &number));
    replace("P", 1, v, 7);
    FAILS(RILL_ERR_CORRUPT, rill__meta_producer_ids(meta, 1, &first));
    replace("N", 1, v, 7);
    FAILS(RILL_ERR_CORRUPT, rill__meta_space_open(meta, "new", true, &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CATALOGUE(ids_are_never_given_twice),
        WITH_CATALOGUE(taking_a_name_fences),
        WITH_CATALOGUE(names_are_found_by_id_and_in_order),
        WITH_CATALOGUE(changes_are_told_apart),
        WITH_CATALOGUE(names_that_nobody_has_can_go),
        WITH_CATALOGUE(what_is_decided_stays_so),
        WITH_CATALOGUE(who_is_judged_cannot_decide),
        WITH_CATALOGUE(epochs_end),
        WITH_CATALOGUE(spaces_are_made_once_and_apart),
        WITH_CATALOGUE(one_writes),
        WITH_CATALOGUE(a_view_is_one_moment),
        WITH_CATALOGUE(views_walk_both_ways),
        WITH_CATALOGUE(a_view_holds_the_map),
        WITH_CATALOGUE(all_of_it_or_nothing),
        WITH_CATALOGUE(only_the_owner_renews),
        WITH_CATALOGUE(a_name_is_of_one_kind),
        WITH_CATALOGUE(a_name_that_lost_its_id_can_go),
        WITH_CATALOGUE(another_id_is_fenced),
        WITH_CATALOGUE(a_view_ends_where_the_catalogue_does),
        WITH_CATALOGUE(damaged_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
