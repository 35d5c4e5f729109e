/*
 * The catalogue: topics, groups and committed offsets, all or none of a commit,
 * still there after opening again and in another process, never a damaged value.
 */
#include "catalogues.h"
#include "base/bytes.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct meta_topic topic_named(const char *name)
{
    struct meta_topic topic = {.created_ms = 1000,
                               .partition_count = 4,
                               .segment_ms = 5,
                               .segment_bytes = UINT64_C(1) << 33,
                               .max_message_bytes = 6,
                               .index_interval_bytes = 7,
                               .cleanup_policy = 8,
                               .timestamp_type = 9,
                               .compression = 10,
                               .segment_jitter_ms = 11,
                               .retention_ms = UINT64_C(12) << 33,
                               .retention_bytes = UINT64_C(13) << 33,
                               .delete_retention_ms = UINT64_C(14) << 33,
                               .min_compaction_lag_ms = UINT64_C(15) << 33,
                               .min_cleanable_dirty_ratio = 0.16};

    snprintf(topic.name, sizeof topic.name, "%s", name);
    memset(topic.id, name[0], sizeof topic.id);
    return topic;
}

static void make_topic(const char *name)
{
    struct meta_topic topic = topic_named(name);
    OK(rill__meta_topic_create(meta, &topic));
}

/* ---- Topics ---- */

static void a_topic_is_kept_with_all_it_has(void **state)
{
    struct meta_topic made = topic_named("orders");
    struct meta_topic got;

    (void)state;
    OK(rill__meta_topic_create(meta, &made));
    FAILS(RILL_ERR_EXISTS, rill__meta_topic_create(meta, &made));
    catalogue_reopen();
    memset(&got, 0xff, sizeof got);
    OK(rill__meta_topic_get(meta, "orders", &got));
    assert_string_equal(got.name, made.name);
    assert_memory_equal(got.id, made.id, 16);
    assert_int_equal(got.created_ms, 1000);
    assert_int_equal(got.partition_count, 4);
    assert_int_equal(got.segment_ms, 5);
    assert_int_equal(got.segment_bytes, UINT64_C(1) << 33);
    assert_int_equal(got.max_message_bytes, 6);
    assert_int_equal(got.index_interval_bytes, 7);
    assert_int_equal(got.cleanup_policy, 8);
    assert_int_equal(got.timestamp_type, 9);
    assert_int_equal(got.compression, 10);
    assert_int_equal(got.segment_jitter_ms, 11);
    assert_int_equal(got.retention_ms, UINT64_C(12) << 33);
    assert_int_equal(got.retention_bytes, UINT64_C(13) << 33);
    assert_int_equal(got.delete_retention_ms, UINT64_C(14) << 33);
    assert_int_equal(got.min_compaction_lag_ms, UINT64_C(15) << 33);
    assert_true(got.min_cleanable_dirty_ratio == 0.16);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_topic_get(meta, "order", &got));
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_topic_get(meta, "orders2", &got));
    OK(rill__meta_topic_delete(meta, "orders", &got));
    assert_memory_equal(got.id, made.id, 16);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_topic_delete(meta, "orders", &got));
}

static void topics_are_listed_in_order(void **state)
{
    static const char *const names[] = {"a", "a-b", "a.b", "aa", "b", "z"};
    struct meta_topic topic = {.name = ""};
    char longest[RILL_TOPIC_NAME_MAX + 1];

    (void)state;
    for (int i = 5; i >= 0; i--) make_topic(names[i]);
    OK(rill__meta_group_put(meta, "a-group", 1)); /* kinds do not mix */
    for (int i = 0; i < 6; i++) {
        OK(rill__meta_topic_after(meta, topic.name, &topic));
        assert_string_equal(topic.name, names[i]);
    }
    assert_int_equal(rill__meta_topic_after(meta, topic.name, &topic), RILL_ERR_NOT_FOUND);
    memset(longest, 'y', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    make_topic(longest);
    OK(rill__meta_topic_after(meta, "b", &topic));
    assert_string_equal(topic.name, longest);
    OK(rill__meta_topic_after(meta, longest, &topic));
    assert_string_equal(topic.name, "z");
}

/* ---- Offsets ---- */

static struct meta_offset offset_of(char topic, int32_t partition, int64_t offset)
{
    struct meta_offset o = {
        .partition = partition, .leader_epoch = 3, .offset = offset, .committed_ms = 99};

    memset(o.topic_id, topic, sizeof o.topic_id);
    return o;
}

static int64_t committed(const char *group, char topic, int32_t partition)
{
    struct meta_offset key = offset_of(topic, partition, 0);
    struct meta_offset got;
    int rc = rill__meta_offset_get(meta, group, key.topic_id, partition, &got, NULL, 0);

    if (rc == RILL_ERR_NOT_FOUND) return -1;
    OK(rc);
    return got.offset;
}

static void commit(const char *group, char topic, int32_t partition, int64_t offset)
{
    struct meta_offset o = offset_of(topic, partition, offset);
    OK(rill__meta_offsets_commit(meta, group, &o, 1));
}

static void an_offset_is_kept_with_its_metadata(void **state)
{
    struct meta_offset o = offset_of('t', 2, 12345);
    struct meta_offset got;
    char text[10];

    (void)state;
    o.metadata = "note";
    OK(rill__meta_offsets_commit(meta, "g", &o, 1));
    catalogue_reopen();
    OK(rill__meta_offset_get(meta, "g", o.topic_id, 2, &got, text, sizeof text));
    assert_int_equal(got.offset, 12345);
    assert_int_equal(got.leader_epoch, 3);
    assert_int_equal(got.committed_ms, 99);
    assert_ptr_equal(got.metadata, text);
    assert_string_equal(text, "note");
    FAILS(RILL_ERR_TOO_BIG, rill__meta_offset_get(meta, "g", o.topic_id, 2, &got, text, 4));
    o.metadata = NULL;
    OK(rill__meta_offsets_commit(meta, "g", &o, 1));
    OK(rill__meta_offset_get(meta, "g", o.topic_id, 2, &got, text, sizeof text));
    assert_null(got.metadata);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_offset_get(meta, "g", o.topic_id, 3, &got, NULL, 0));
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_offset_get(meta, "h", o.topic_id, 2, &got, NULL, 0));
}

static void a_commit_is_whole_or_not_at_all(void **state)
{
    struct meta_offset o[3] = {offset_of('t', 0, 1), offset_of('t', 1, 2), offset_of('t', 2, 3)};
    char too_long[RILL_METADATA_MAX + 2];

    (void)state;
    memset(too_long, 'm', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    o[2].metadata = too_long;
    FAILS(RILL_ERR_TOO_BIG, rill__meta_offsets_commit(meta, "g", o, 3));
    assert_int_equal(committed("g", 't', 0), -1);
    o[2].metadata = too_long + 1;
    OK(rill__meta_offsets_commit(meta, "g", o, 3));
    assert_int_equal(committed("g", 't', 0), 1);
    assert_int_equal(committed("g", 't', 2), 3);
}

static void groups_do_not_mix(void **state)
{
    char name[RILL_TOPIC_NAME_MAX + 1];
    int32_t generation = -1;

    (void)state;
    commit("g", 't', 0, 1);
    commit("gg", 't', 0, 2);
    commit("g", 'u', 0, 3);
    OK(rill__meta_group_put(meta, "g", 17));
    commit("g", 't', 1, 4);
    OK(rill__meta_group_get(meta, "g", &generation));
    assert_int_equal(generation, 17); /* a commit leaves it alone */
    OK(rill__meta_group_get(meta, "gg", &generation));
    assert_int_equal(generation, 0);
    OK(rill__meta_group_after(meta, "", name, sizeof name, &generation));
    assert_string_equal(name, "g");
    OK(rill__meta_group_after(meta, name, name, sizeof name, &generation));
    assert_string_equal(name, "gg");
    assert_int_equal(rill__meta_group_after(meta, name, name, sizeof name, &generation),
                     RILL_ERR_NOT_FOUND);
    OK(rill__meta_group_delete(meta, "g", NULL, NULL));
    assert_int_equal(committed("g", 't', 0), -1);
    assert_int_equal(committed("g", 't', 1), -1);
    assert_int_equal(committed("gg", 't', 0), 2);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_group_delete(meta, "g", NULL, NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_group_get(meta, "g", &generation));
}

static void a_deleted_topic_takes_its_offsets_along(void **state)
{
    struct meta_topic gone;

    (void)state;
    make_topic("t");
    make_topic("u");
    for (int p = 0; p < 3; p++) {
        commit("g", 't', p, 1);
        commit("h", 't', p, 1);
        commit("g", 'u', p, 1);
    }
    OK(rill__meta_topic_delete(meta, "t", &gone));
    for (int p = 0; p < 3; p++) {
        assert_int_equal(committed("g", 't', p), -1);
        assert_int_equal(committed("h", 't', p), -1);
        assert_int_equal(committed("g", 'u', p), 1);
    }
}

static void offsets_beyond_the_end_are_lowered(void **state)
{
    struct meta_offset o = offset_of('t', 1, 50);
    struct meta_offset got;
    size_t clamped = 0;
    char text[10];

    (void)state;
    o.metadata = "kept";
    commit("a", 't', 1, 10);
    OK(rill__meta_offsets_commit(meta, "b", &o, 1));
    commit("c", 't', 1, 51);
    commit("d", 't', 0, 99);
    commit("e", 'u', 1, 99);
    OK(rill__meta_offsets_clamp(meta, o.topic_id, 1, 10, &clamped));
    assert_int_equal(clamped, 2);
    assert_int_equal(committed("a", 't', 1), 10);
    assert_int_equal(committed("c", 't', 1), 10);
    assert_int_equal(committed("d", 't', 0), 99);
    assert_int_equal(committed("e", 'u', 1), 99);
    OK(rill__meta_offset_get(meta, "b", o.topic_id, 1, &got, text, sizeof text));
    assert_int_equal(got.offset, 10);
    assert_string_equal(text, "kept");
}

/* ---- The environment ---- */

static int change_value(struct meta *m, MDB_txn *txn, void *arg)
{
    uint8_t name[META_KEY_MAX];
    uint8_t bytes[META_VALUE_MAX];
    MDB_val key = {rill__meta_name_key(name, 'T', "t"), name};
    MDB_val value;
    const size_t *at = arg;

    assert_int_equal(mdb_get(txn, m->dbi, &key, &value), 0);
    if (*at >= value.mv_size) return RILL_ERR_RANGE;
    memcpy(bytes, value.mv_data, value.mv_size);
    bytes[*at] ^= 0x10;
    value.mv_data = bytes;
    return mdb_put(txn, m->dbi, &key, &value, 0);
}

static void a_flipped_bit_is_never_believed(void **state)
{
    struct meta_topic got;
    size_t at = 0;

    (void)state;
    make_topic("t");
    for (; rill__meta_write(meta, change_value, &at) == 0; at++) {
        FAILS(RILL_ERR_CORRUPT, rill__meta_topic_get(meta, "t", &got));
        FAILS(RILL_ERR_CORRUPT, rill__meta_topic_after(meta, "", &got));
        OK(rill__meta_write(meta, change_value, &at));
        OK(rill__meta_topic_get(meta, "t", &got));
    }
    assert_int_equal(at, META_TOPIC_SIZE + 8);
}

static int put_schema(struct meta *m, MDB_txn *txn, void *arg)
{
    uint8_t bytes[16] = {0};
    char name[] = "S";
    MDB_val key = {1, name};

    rill__put32(bytes, *(uint32_t *)arg);
    return rill__meta_put(m, txn, &key, bytes, 8);
}

static int put_topic_of_schema_1(struct meta *m, MDB_txn *txn, void *arg)
{
    uint8_t value[META_TOPIC_SIZE_1 + 8] = {0};
    char name[] = "Told";
    MDB_val key = {4, name};

    (void)arg;
    memset(value, 'o', 16);
    rill__put64(value + 16, 1234);
    rill__put32(value + 24, 3);
    rill__put32(value + 28, 60000);
    rill__put64(value + 32, 65536);
    rill__put32(value + 40, 1024);
    rill__put32(value + 44, 4096);
    return rill__meta_put(m, txn, &key, value, META_TOPIC_SIZE_1);
}

static int get_schema(struct meta *m, MDB_txn *txn, void *arg)
{
    char name[] = "S";
    MDB_val key = {1, name};
    MDB_val value;
    int rc = rill__meta_get(m, txn, &key, &value);

    if (rc == 0) *(uint32_t *)arg = rill__get32(value.mv_data);
    return rc;
}

/* What an older library wrote keeps its meaning, and that library can come back
 * until something is written that it would not understand. */
static void a_catalogue_of_schema_1_is_read_and_raised_by_a_topic(void **state)
{
    uint32_t version = 1;
    struct meta_topic got;

    (void)state;
    OK(rill__meta_write(meta, put_schema, &version));
    OK(rill__meta_write(meta, put_topic_of_schema_1, NULL));
    catalogue_reopen();
    memset(&got, 0xff, sizeof got);
    OK(rill__meta_topic_get(meta, "old", &got));
    assert_int_equal(got.created_ms, 1234);
    assert_int_equal(got.partition_count, 3);
    assert_int_equal(got.segment_bytes, 65536);
    assert_int_equal(got.index_interval_bytes, 4096);
    assert_int_equal(got.cleanup_policy, RILL_CLEANUP_DELETE);
    assert_int_equal(got.timestamp_type, RILL_TIMESTAMP_CREATE);
    assert_int_equal(got.compression, 0);
    assert_int_equal(got.segment_jitter_ms, 0);
    assert_int_equal(got.retention_ms, 0);
    assert_int_equal(got.retention_bytes, 0);
    assert_int_equal(got.delete_retention_ms, 24 * 3600 * 1000);
    assert_int_equal(got.min_compaction_lag_ms, 0);
    assert_true(got.min_cleanable_dirty_ratio == 0.5);
    commit("g", 'o', 1, 7);
    OK(rill__meta_read(meta, get_schema, &version));
    assert_int_equal(version, 1);
    make_topic("new");
    OK(rill__meta_read(meta, get_schema, &version));
    assert_int_equal(version, 2);
    catalogue_reopen();
    OK(rill__meta_topic_get(meta, "old", &got));
    assert_int_equal(got.segment_ms, 60000);
}

/* So does who is about to write batches that it would not understand. */
static void a_catalogue_of_schema_1_is_raised_by_whoever_asks(void **state)
{
    uint32_t version = 1;

    (void)state;
    OK(rill__meta_write(meta, put_schema, &version));
    catalogue_reopen();
    for (int i = 0; i < 2; i++) {
        OK(rill__meta_raise(meta));
        OK(rill__meta_read(meta, get_schema, &version));
        assert_int_equal(version, 2);
        catalogue_reopen();
    }
}

static void a_newer_schema_is_refused(void **state)
{
    uint32_t version = 9;
    struct meta *other = NULL;

    (void)state;
    OK(rill__meta_write(meta, put_schema, &version));
    rill__meta_close(meta);
    FAILS(RILL_ERR_FORMAT, rill__meta_open(&heap, test_path("meta"), false, &other));
    assert_non_null(strstr(rill_errmsg(), "schema 9"));
    assert_non_null(strstr(rill_errmsg(), "schema 1 to 2"));
    meta = NULL;
}

static void what_is_not_there_is_not_made(void **state)
{
    struct meta *other = NULL;

    (void)state;
    assert_int_equal(mkdir(test_path("empty"), 0700), 0);
    assert_true(rill__meta_open(&heap, test_path("empty"), false, &other) != 0);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_open(&heap, test_path("none"), false, &other));
}

/* Over 16 MiB, where the map begins. */
static void the_map_grows(void **state)
{
    struct meta_offset o[64];
    char note[RILL_METADATA_MAX];

    (void)state;
    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    for (int32_t i = 0; i < 100; i++) {
        for (int32_t j = 0; j < 64; j++) {
            o[j] = offset_of('t', i * 64 + j, i);
            o[j].metadata = note;
        }
        OK(rill__meta_offsets_commit(meta, "g", o, 64));
    }
    for (int32_t i = 0; i < 6400; i++) assert_int_equal(committed("g", 't', i), i / 64);
}

/* In a child; an environment does not survive fork(), so it opens its own. */
static void commit_much(void)
{
    struct meta *mine;
    struct meta_offset o;
    char note[RILL_METADATA_MAX];

    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    if (rill__meta_open(&heap, test_path("meta"), false, &mine) != 0) _exit(1);
    for (int32_t i = 0; i < 6400; i++) {
        o = offset_of('c', i, i);
        o.metadata = note;
        if (rill__meta_offsets_commit(mine, "g", &o, 1) != 0) _exit(2);
    }
    rill__meta_close(mine);
}

static void growth_by_another_process_is_followed(void **state)
{
    int status = -1;
    pid_t child;

    (void)state;
    rill__meta_close(meta);
    child = fork();
    if (child == 0) {
        commit_much();
        _exit(0);
    }
    OK(rill__meta_open(&heap, test_path("meta"), false, &meta));
    while (waitpid(child, &status, WNOHANG) == 0) {
        commit("g", 'p', 0, 1);
        assert_int_equal(committed("g", 'p', 0), 1);
    }
    assert_int_equal(status, 0);
    for (int32_t i = 0; i < 6400; i += 100) assert_int_equal(committed("g", 'c', i), i);
    commit("g", 'p', 0, 2);
}

static void read_and_die(void)
{
    struct meta *mine;
    MDB_txn *txn;

    if (rill__meta_open(&heap, test_path("meta"), false, &mine) != 0) _exit(1);
    if (mdb_txn_begin(mine->env, NULL, MDB_RDONLY, &txn) != 0) _exit(2);
    kill(getpid(), SIGKILL);
}

static void a_dead_reader_is_cleared(void **state)
{
    MDB_envinfo info;
    int status;
    int dead = -1;

    (void)state;
    rill__meta_close(meta);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) read_and_die();
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
    }
    OK(rill__meta_open(&heap, test_path("meta"), false, &meta));
    OK(rill__meta_check_readers(meta));
    assert_int_equal(mdb_reader_check(meta->env, &dead), 0);
    assert_int_equal(dead, 0);
    mdb_env_info(meta->env, &info);
    assert_true(info.me_numreaders <= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CATALOGUE(a_topic_is_kept_with_all_it_has),
        WITH_CATALOGUE(topics_are_listed_in_order),
        WITH_CATALOGUE(an_offset_is_kept_with_its_metadata),
        WITH_CATALOGUE(a_commit_is_whole_or_not_at_all),
        WITH_CATALOGUE(groups_do_not_mix),
        WITH_CATALOGUE(a_deleted_topic_takes_its_offsets_along),
        WITH_CATALOGUE(offsets_beyond_the_end_are_lowered),
        WITH_CATALOGUE(a_flipped_bit_is_never_believed),
        WITH_CATALOGUE(a_catalogue_of_schema_1_is_read_and_raised_by_a_topic),
        WITH_CATALOGUE(a_catalogue_of_schema_1_is_raised_by_whoever_asks),
        WITH_CATALOGUE(a_newer_schema_is_refused),
        WITH_CATALOGUE(what_is_not_there_is_not_made),
        WITH_CATALOGUE(the_map_grows),
        WITH_CATALOGUE(growth_by_another_process_is_followed),
        WITH_CATALOGUE(a_dead_reader_is_cleared),
    };

    /* Every commit is synced; memory does not mind. */
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
