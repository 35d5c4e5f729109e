/*
 * What is in a catalogue's file and cannot be right: records that verify but have a form
 * that none has are told one by one; pages that lie give no record that does not verify;
 * and of what is left, the latest of what may come back does.
 */
#include "catalogues.h"
#include "base/bytes.h"
#include "meta/page.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static char path[700]; /* of the catalogue */

static int set_up(void **state)
{
    catalogue_set_up(state);
    snprintf(path, sizeof path, "%s", test_path("meta"));
    return 0;
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, catalogue_tear_down)

static void shut(void)
{
    rill__meta_close(meta);
    meta = NULL;
}

/* ---- Records ---- */

struct put {
    MDB_val key;
    const uint8_t *value;
    size_t size;
};

static int put_work(struct meta *m, MDB_txn *txn, void *arg)
{
    const struct put *put = arg;
    uint8_t value[300] = {0};

    if (put->value != NULL) memcpy(value, put->value, put->size);
    return rill__meta_put(m, txn, &put->key, value, put->size);
}

/* Under a checksum that is right; value NULL: zeros. */
static void put(const void *key, size_t key_size, const uint8_t *value, size_t size)
{
    struct put put = {{key_size, (void *)(uintptr_t)key}, value, size};
    OK(rill__meta_write(meta, put_work, &put));
}

static int rot_work(struct meta *m, MDB_txn *txn, void *arg)
{
    const struct put *put = arg;
    MDB_val key = put->key;
    MDB_val value = {12, (void *)(uintptr_t) "no checksum!"};

    return rill__meta_failed(m, mdb_put(txn, m->dbi, &key, &value, 0), "rotting");
}

static void put_rotten(const char *key)
{
    struct put put = {{strlen(key), (void *)(uintptr_t)key}, NULL, 0};
    OK(rill__meta_write(meta, rot_work, &put));
}

static int delete_work(struct meta *m, MDB_txn *txn, void *arg)
{
    return rill__meta_failed(m, mdb_del(txn, m->dbi, arg, NULL), "deleting");
}

static void drop(const void *key, size_t key_size)
{
    MDB_val of = {key_size, (void *)(uintptr_t)key};
    OK(rill__meta_write(meta, delete_work, &of));
}

/* Key of a commit of group "g"; its size. */
static size_t commit_key(uint8_t key[META_KEY_MAX], uint8_t topic)
{
    uint8_t id[16];

    memset(id, topic, sizeof id);
    return rill__meta_offset_key(key, "g", id, 3);
}

/* ---- What an inspection says ---- */

struct told {
    int count;
    enum meta_damage kind;
    char what[500]; /* the last damage */
    int topics, groups, offsets;
    int answer; /* to whatever is told */
};

static int told_damage(void *arg, enum meta_damage kind, uint64_t position, const char *what)
{
    struct told *told = arg;

    (void)position;
    told->count++;
    told->kind = kind;
    snprintf(told->what, sizeof told->what, "%s", what);
    return told->answer;
}

static int told_topic(void *arg, const struct meta_topic *topic)
{
    (void)topic;
    ((struct told *)arg)->topics++;
    return ((struct told *)arg)->answer;
}

static int told_group(void *arg, uint64_t position, const char *name, const uint8_t *state,
                      size_t size)
{
    (void)position, (void)name, (void)state, (void)size;
    ((struct told *)arg)->groups++;
    return ((struct told *)arg)->answer;
}

static int told_offset(void *arg, const char *group, const struct meta_offset *offset)
{
    (void)group, (void)offset;
    ((struct told *)arg)->offsets++;
    return ((struct told *)arg)->answer;
}

static int inspect(struct told *told, bool in_use)
{
    struct meta_inspector inspector = {told_damage, told_topic, told_group, told_offset, told};
    int answer = told->answer;

    *told = (struct told){.answer = answer};
    return rill__meta_inspect(&heap, path, meta, in_use, &inspector);
}

static void each_record_has_the_form_of_its_kind(void **state)
{
    static const char nul[300] = {0};
    static const struct {
        const char *key;
        size_t key_size; /* 0: as long as it is */
        size_t size;
        const char *says; /* NULL: it is well */
    } rows[] = {
        {"Gg", 0, 3, "the record of group g has a size"},
        {"G", 0, 4, "the record of group has a size"},
        {"Gg", 0, 4, NULL},
        {"Tt", 0, META_TOPIC_SIZE - 1, "the record of topic t has a size"},
        {"Tt", 0, META_TOPIC_SIZE, NULL},
        {"Oshort", 0, META_OFFSET_SIZE, "the record of commit of group short has a size"},
        {"O123456789012345678901", 22, META_OFFSET_SIZE, "the record of commit of group"},
        {"Og12345678901234567890123", 0, META_OFFSET_SIZE, "g12345678901234567890123 has"},
        {"Ig", 0, META_IDLE_SIZE + 1, "the record of idle time of group g has a size"},
        {"Ig", 0, META_IDLE_SIZE, NULL},
        {"C", 0, META_CLOCK_SIZE - 1, "the record of clock has a size"},
        {"C", 0, META_CLOCK_SIZE, NULL},
        {"Ds", 0, META_SPACE_SIZE + 8, "the record of space s has a size"},
        {"Ds", 0, META_SPACE_SIZE, NULL},
        {"P", 0, 4, "the record of next producer id has a size"},
        {"P", 0, 8, NULL},
        {"N", 0, 16, "the record of next space has a size"},
        {"N", 0, 8, NULL},
        {"Xjob", 0, META_NAME_SIZE - 1, "the record of producer job has a size"},
        {"Xjob", 0, META_NAME_SIZE, NULL},
        {"Qid", 0, 1, NULL},
        {"Kid", 0, 0, NULL},
        {"Zoo", 0, 8, "the record of unknown kind oo is none that this library knows"},
        {"Za b", 0, 8, "the record of unknown kind a is none"},
        {"Za\x7f", 0, 8, "the record of unknown kind a is none"},
        {nul, 1, 8, "the record of unknown kind is none"},
    };
    struct told told = {0};

    (void)state;
    OK(inspect(&told, false));
    assert_int_equal(told.count, 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t size = rows[i].key_size != 0 ? rows[i].key_size : strlen(rows[i].key);
        put(rows[i].key, size, NULL, rows[i].size);
        OK(inspect(&told, false));
        if (told.count != (rows[i].says != NULL) ||
            (rows[i].says != NULL && strstr(told.what, rows[i].says) == NULL))
            fail_msg("row %zu: %d, %s", i, told.count, told.what);
        if (rows[i].says != NULL) assert_int_equal(told.kind, META_DAMAGE_RECORD);
        drop(rows[i].key, size);
    }
}

static void no_name_is_that_long(void **state)
{
    static const char kinds[] = {'G', 'T', 'O'};
    static const size_t sizes[] = {4, META_TOPIC_SIZE, META_OFFSET_SIZE};
    char key[META_KEY_LARGEST];
    struct told told = {0};

    (void)state;
    memset(key, 'a', sizeof key);
    for (int i = 0; i < 3; i++) {
        key[0] = kinds[i];
        put(key, sizeof key, NULL, sizes[i]);
        OK(inspect(&told, false));
        assert_int_equal(told.count, 1);
        assert_non_null(strstr(told.what, "aaa has a size that none has"));
        drop(key, sizeof key);
    }
}

static void a_schema_is_one_that_is_known(void **state)
{
    static const struct {
        uint32_t version, features;
        size_t size;
        enum meta_damage kind;
        const char *says; /* NULL: it is well */
    } rows[] = {{2, 0, 3, META_DAMAGE_RECORD, "the record of schema is none that there is"},
                {2, 0, 7, META_DAMAGE_RECORD, "is none that there is"},
                {0, 0, 8, META_DAMAGE_RECORD, "is none that there is"},
                {1, 0, 8, META_DAMAGE_RECORD, NULL},
                {2, 0, 8, META_DAMAGE_RECORD, NULL},
                {2, 16, 8, META_DAMAGE_FORMAT, "has schema 2, features 0x10"},
                {3, 0, 8, META_DAMAGE_FORMAT, "has schema 3, features 0; this library knows 2"}};
    struct told told = {0};
    uint8_t value[8];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        rill__put32(value, rows[i].version);
        rill__put32(value + 4, rows[i].features);
        put("S", 1, value, rows[i].size);
        OK(inspect(&told, false));
        assert_int_equal(told.count, rows[i].says == NULL ? 0 : 1);
        if (rows[i].says == NULL) continue;
        assert_int_equal(told.kind, rows[i].kind);
        if (strstr(told.what, rows[i].says) == NULL) fail_msg("row %zu: %s", i, told.what);
    }
    drop("S", 1);
    OK(inspect(&told, false));
    assert_int_equal(told.count, 1);
    assert_string_equal(told.what, "the catalogue has no record of its schema");
}

static void put_all(void)
{
    uint8_t key[META_KEY_MAX];

    put("Tt", 2, NULL, META_TOPIC_SIZE);
    put("Gg", 2, NULL, 4);
    put(key, commit_key(key, 1), NULL, META_OFFSET_SIZE);
}

static void whoever_is_told_may_end_it(void **state)
{
    struct meta_inspector only = {.damage = told_damage};
    struct told told = {0};

    (void)state;
    put_all();
    OK(inspect(&told, false));
    assert_true(told.topics == 1 && told.groups == 1 && told.offsets == 1);
    told.answer = 42;
    assert_int_equal(inspect(&told, false), 42);
    assert_int_equal(told.topics + told.groups + told.offsets, 1);
    put_rotten("Grotten");
    put("A", 1, NULL, 1); /* before all others */
    assert_int_equal(inspect(&told, false), 42);
    assert_true(told.count == 1 && told.groups + told.offsets + told.topics == 0);
    only.arg = &told; /* who wants to hear of damage only */
    told = (struct told){0};
    OK(rill__meta_inspect(&heap, path, meta, false, &only));
    assert_int_equal(told.count, 2);
    assert_int_equal(told.topics + told.groups + told.offsets, 0);
}

/* Of what a damaged page had nothing is said but that. */
static void a_damaged_root_is_all_that_is_told(void **state)
{
    struct told told = {0};
    struct stat st;
    int fd;

    (void)state;
    shut();
    assert_int_equal(stat(test_path("meta/data.mdb"), &st), 0);
    fd = open(test_path("meta/data.mdb"), O_WRONLY | O_CLOEXEC);
    for (off_t at = 2 * 4096; at < st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, "xx", 2, at + PAGE_FLAGS_AT), 2);
    close(fd);
    OK(inspect(&told, false));
    assert_int_equal(told.kind, META_DAMAGE_PAGE);
    assert_int_equal(told.count, 1);
}

/* ---- In use by others ---- */

/* A process that has the catalogue open and reads in so many places; a byte comes when it
 * does. */
static pid_t reads_elsewhere(int count_max, int pipes[2])
{
    pid_t pid;
    char byte = 0;

    shut();
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct meta *own;
        MDB_txn *txn;
        if (rill__meta_open(&heap, path, false, &own) != 0) _exit(1);
        for (int i = 0; i < count_max; i++)
            if (mdb_txn_begin(own->env, NULL, MDB_RDONLY, &txn) != 0) break;
        if (write(pipes[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    return pid;
}

static void ends(pid_t pid, int pipes[2])
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void without_a_place_for_a_reader_it_is_busy(void **state)
{
    struct told told = {0};
    int pipes[2];
    pid_t pid;

    (void)state;
    put_all();
    pid = reads_elsewhere(1, pipes);
    OK(inspect(&told, true));
    assert_true(told.count == 0 && told.topics == 1);
    ends(pid, pipes);
    pid = reads_elsewhere(10000, pipes);
    FAILS(RILL_ERR_BUSY, inspect(&told, true));
    test_says("places of readers");
    assert_int_equal(told.topics, 0);
    ends(pid, pipes);
}

static void what_is_not_there_cannot_be_read_by_others_either(void **state)
{
    struct told told = {0};

    (void)state;
    shut();
    assert_int_equal(unlink(test_path("meta/data.mdb")), 0);
    assert_int_equal(unlink(test_path("meta/lock.mdb")), 0);
    assert_int_not_equal(inspect(&told, true), 0);
    assert_int_equal(inspect(&told, false), RILL_ERR_CORRUPT);
    assert_int_equal(told.topics, 0);
}

/* Messages have less room for the path than a path has. */
static void a_long_path_is_inspected_too(void **state)
{
    struct told told = {0};
    size_t size = strlen(path);
    int pipes[2];
    pid_t pid;

    (void)state;
    put_all();
    while (size < 400) size += (size_t)snprintf(path + size, sizeof path - size, "/../meta");
    OK(inspect(&told, false));
    assert_int_equal(told.topics, 1);
    shut();
    OK(inspect(&told, false));
    assert_int_equal(told.topics, 1);
    OK(rill__meta_open(&heap, path, false, &meta));
    pid = reads_elsewhere(1, pipes);
    OK(inspect(&told, true));
    assert_int_equal(told.topics, 1);
    ends(pid, pipes);
}

/* ---- Pages that lie ---- */

static struct {
    uint8_t *bytes;
    size_t size;
} file;

static void map_file(size_t more)
{
    int fd = open(test_path("meta/data.mdb"), O_RDWR | O_CLOEXEC);
    struct stat st;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    file.size = (size_t)st.st_size + more;
    assert_int_equal(ftruncate(fd, (off_t)file.size), 0);
    file.bytes = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(file.bytes != MAP_FAILED);
    close(fd);
}

static void unmap_file(void)
{
    munmap(file.bytes, file.size);
}

struct seen {
    int good; /* verify */
    int bad;
    bool big; /* one of them was on pages of its own */
    int answer;
};

static int see(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct seen *seen = arg;

    if (key->mv_size == 0 || key->mv_size > KEY_MAX) fail_msg("a key of %zu", key->mv_size);
    if (rill__meta_verifies(key, value->mv_data, value->mv_size)) {
        seen->good++;
        if (value->mv_size > 4000) seen->big = true;
    } else seen->bad++;
    return seen->answer;
}

static struct seen scrape(void)
{
    struct seen seen = {0};

    OK(rill__meta_scrape(path, see, &seen));
    return seen;
}

static void fill_page(uint8_t *page)
{
    memset(page, 0, 4096);
    page[PAGE_FLAGS_AT] = PAGE_LEAF;
    page[PAGE_LOWER_AT] = PAGE_HEAD + 2;
    page[PAGE_HEAD] = 64; /* its one node: "Kid", and 8 bytes of value */
    page[64] = 8;
    page[70] = 3;
    memcpy(page + 72, "Kid", 3);
}

static void no_page_is_believed(void **state)
{
    static const struct {
        struct {
            size_t at;
            uint16_t value;
        } set[4];
        int found; /* what looks like a record, whether it verifies or not */
    } rows[] = {
        {{{0}}, 1},
        {{{PAGE_FLAGS_AT, PAGE_BRANCH}}, 0},
        {{{PAGE_FLAGS_AT, PAGE_LEAF | PAGE_META}}, 0},
        {{{PAGE_LOWER_AT, PAGE_HEAD - 2}}, 0},
        {{{PAGE_LOWER_AT, PAGE_HEAD}}, 0},
        {{{PAGE_LOWER_AT, PAGE_HEAD + 1}}, 0},
        {{{PAGE_LOWER_AT, 4098}}, 0},
        {{{PAGE_HEAD, PAGE_HEAD - 1}}, 0},
        {{{PAGE_HEAD, 4096 - NODE_HEAD + 1}}, 0},
        {{{PAGE_HEAD, UINT16_MAX}}, 0},
        {{{PAGE_HEAD, 4096 - NODE_HEAD}}, 0}, /* no key there */
        {{{70, 0}}, 0},
        {{{70, KEY_MAX}}, 1},
        {{{70, KEY_MAX + 1}}, 0},
        {{{PAGE_HEAD, 4000}, {4006, 89}}, 0}, /* a key out of the page */
        {{{PAGE_HEAD, 4000}, {4006, 88}}, 1},
        {{{68, 2}}, 0},
        {{{64, 4096 - 64 - 11}}, 1},
        {{{64, 4096 - 64 - 10}}, 0}, /* a value out of the page */
        {{{66, 1}}, 0},
        {{{68, NODE_BIG}, {75, 1}}, 0}, /* a value on the page of a meta */
        {{{68, NODE_BIG}, {75, 2}}, 1},
        {{{68, NODE_BIG}, {75, 2}, {66, UINT16_MAX}}, 0}, /* longer than the file */
        {{{68, NODE_BIG}, {75, UINT16_MAX}}, 0},
        {{{PAGE_HEAD, 4000}, {4004, NODE_BIG}, {4006, 81}}, 0}, /* no room for a number */
    };
    struct seen clean;

    (void)state;
    put_all();
    shut();
    clean = scrape();
    assert_true(clean.good > 3);
    map_file(4096);
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t *page = file.bytes + file.size - 4096;
        struct seen seen;
        fill_page(page);
        for (int j = 0; j < 4 && rows[i].set[j].at != 0; j++)
            memcpy(page + rows[i].set[j].at, &rows[i].set[j].value, 2);
        seen = scrape();
        if (seen.bad - clean.bad != rows[i].found) fail_msg("row %zu: %d", i, seen.bad);
        assert_int_equal(seen.good, clean.good);
    }
    unmap_file();
}

static void records_on_pages_of_their_own_are_found(void **state)
{
    static char text[RILL_METADATA_MAX + 1];
    struct meta_offset o = {.metadata = text};

    (void)state;
    memset(text, 'm', RILL_METADATA_MAX);
    OK(rill__meta_offsets_commit(meta, "g", &o, 1));
    shut();
    assert_true(scrape().big);
}

static void whoever_sees_them_may_end_it(void **state)
{
    struct seen seen = {.answer = 9};

    (void)state;
    put_all();
    shut();
    assert_int_equal(rill__meta_scrape(path, see, &seen), 9);
    assert_int_equal(seen.good + seen.bad, 1);
}

/* Pages are looked for in steps of what the file says, if that can be. */
static void a_page_size_that_cannot_be_is_not_believed(void **state)
{
    static const uint32_t sizes[] = {0, 256, 4095, 6144, 65536, UINT32_MAX};
    int good;

    (void)state;
    put_all();
    shut();
    good = scrape().good;
    map_file(0);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        memcpy(file.bytes + META_TREES_AT, &sizes[i], 4);
        assert_int_equal(scrape().good, good);
    }
    unmap_file();
    assert_int_equal(truncate(test_path("meta/data.mdb"), META_SIZE - 1), 0);
    assert_int_equal(scrape().good, 0);
    assert_int_equal(truncate(test_path("meta/data.mdb"), 0), 0);
    assert_int_equal(scrape().good, 0);
    assert_int_equal(unlink(test_path("meta/data.mdb")), 0);
    assert_int_equal(scrape().good, 0);
    snprintf(path, sizeof path, "%s", test_path("nowhere"));
    assert_int_equal(scrape().good, 0);
}

/* ---- What comes back ---- */

static struct {
    int count;
    char kinds[100];
    char last[RILL_TOPIC_NAME_MAX + 1];
    int answer;
} back;

static bool has_topic(void *arg, const uint8_t id[16])
{
    (void)arg;
    return id[0] == 1;
}

static int came_back(void *arg, char kind, const char *name)
{
    (void)arg;
    if (back.count < 99) back.kinds[back.count] = kind;
    back.count++;
    snprintf(back.last, sizeof back.last, "%s", name);
    return back.answer;
}

/* Into a new one, which is the open one then; to NULL: only tells. */
static int salvage(bool write)
{
    struct meta_salvage with = {has_topic, came_back, NULL};
    int rc;

    memset(back.kinds, 0, sizeof back.kinds);
    back.count = 0;
    if (write) {
        assert_int_equal(mkdir(test_path("new"), 0700), 0);
        OK(rill__meta_open(&heap, test_path("new"), true, &meta));
    }
    rc = rill__meta_salvage(&heap, path, meta, &with);
    return rc;
}

/* No tree can be found any more, the pages are as they were. */
static void lose_the_trees(void)
{
    shut();
    map_file(0);
    memset(file.bytes + META_AT, 0xee, 8);
    memset(file.bytes + 4096 + META_AT, 0xee, 8);
    unmap_file();
}

struct value {
    const char *key;
    size_t key_size;
    uint8_t bytes[300];
    size_t size;
};

static int get_work(struct meta *m, MDB_txn *txn, void *arg)
{
    struct value *value = arg;
    MDB_val key = {value->key_size, (void *)(uintptr_t)value->key};
    MDB_val found;
    int rc = rill__meta_get(m, txn, &key, &found);

    if (rc != 0) return rc;
    value->size = found.mv_size;
    memcpy(value->bytes, found.mv_data, found.mv_size);
    return 0;
}

static struct value get(const void *key, size_t size)
{
    struct value value = {.key = key, .key_size = size};
    OK(rill__meta_read(meta, get_work, &value));
    return value;
}

static bool is_there(const void *key, size_t size)
{
    struct value value = {.key = key, .key_size = size};
    return rill__meta_read(meta, get_work, &value) == 0;
}

static void only_what_has_its_form_comes_back(void **state)
{
    uint8_t one[META_TOPIC_SIZE] = {1}; /* id of a topic whose directory is there */
    uint8_t key[META_KEY_MAX];
    uint8_t other[META_KEY_MAX];
    uint8_t long_one[META_KEY_MAX];
    size_t size = commit_key(key, 1);
    size_t long_size;
    uint8_t id[16] = {1};

    (void)state;
    put("Tgood", 5, one, META_TOPIC_SIZE);
    put("Tgone", 5, NULL, META_TOPIC_SIZE);
    put("Tshort", 6, one, META_TOPIC_SIZE_1 - 1);
    put(key, size, NULL, META_OFFSET_SIZE);
    put(other, commit_key(other, 7), NULL, META_OFFSET_SIZE);
    put("Oshort", 6, NULL, META_OFFSET_SIZE);
    long_size = rill__meta_offset_key(long_one, "small", id, 0);
    put(long_one, long_size, NULL, META_OFFSET_SIZE - 1);
    put("Ggood", 5, NULL, 4);
    put("Gshort", 6, NULL, 3);
    put("Xgood", 5, NULL, META_NAME_SIZE);
    put("Xshort", 6, NULL, META_NAME_SIZE - 1);
    put("Q12345678", 9, NULL, 4);
    put("Dgood", 5, NULL, META_SPACE_SIZE);
    put("Dshort", 6, NULL, META_SPACE_SIZE - 1);
    put("N", 1, NULL, 4);
    put("P", 1, NULL, 4);
    put("Iidle", 5, NULL, META_IDLE_SIZE);
    put("Kkey", 4, NULL, 4);
    lose_the_trees();
    OK(salvage(true));
    assert_string_equal(back.kinds, "DGOQTX");
    assert_string_equal(back.last, "good");
    assert_true(is_there("Tgood", 5) && is_there("Ggood", 5) && is_there("Xgood", 5) &&
                is_there("Q12345678", 9) && is_there("Dgood", 5) && is_there(key, size));
    assert_false(is_there("Tgone", 5) || is_there("Tshort", 6) || is_there("Gshort", 6) ||
                 is_there("Xshort", 6) || is_there("Dshort", 6) || is_there("Iidle", 5) ||
                 is_there("Kkey", 4) || is_there(long_one, long_size));
    /* Numbers that nobody knows are far ahead. */
    assert_true(rill__get32(get("N", 1).bytes) == UINT32_C(1) << 24);
    assert_true(rill__get64(get("P", 1).bytes) == UINT64_C(1) << 40);
}

/* Pages that a reader sees stay as they are. */
static void of_versions_the_latest_comes_back(void **state)
{
    uint8_t key[META_KEY_MAX];
    uint8_t value[META_TOPIC_SIZE] = {1};
    size_t size = commit_key(key, 1);
    MDB_txn *txns[5];

    (void)state;
    for (uint64_t n = 0; n < 5; n++) {
        uint64_t age = n < 3 ? 10 + n : 10 - n; /* the third one is the latest */
        OK(rill__meta_begin_view(meta, &txns[n]));
        memset(value, 0, sizeof value);
        rill__put64(value, age);
        put("P", 1, value, 8);
        put("N", 1, value, 8);
        put("Gg", 2, value, 4);
        memset(value, 1, 16);
        rill__put64(value + 16, age);
        put("Tt", 2, value, META_TOPIC_SIZE);
        put(key, size, value, META_OFFSET_SIZE);
        rill__put64(value + 32, age);
        rill__put16(value + 8, (uint16_t)age);
        rill__put16(value + 10, 0);
        put("Xjob", 4, value, META_NAME_SIZE);
    }
    for (int n = 0; n < 5; n++) rill__meta_end_view(meta, txns[n]);
    lose_the_trees();
    OK(salvage(false));
    assert_string_equal(back.kinds, "GNOPTX");
    OK(salvage(true));
    assert_int_equal(rill__get64(get("P", 1).bytes), 12 + (1 << 20));
    assert_int_equal(rill__get32(get("N", 1).bytes), 12 + (1 << 10));
    assert_int_equal(rill__get32(get("Gg", 2).bytes), 12 + 1);
    assert_int_equal(rill__get64(get("Tt", 2).bytes + 16), 12);
    assert_int_equal(rill__get64(get(key, size).bytes + 16), 12);
    assert_int_equal(rill__get16(get("Xjob", 4).bytes + 8), 12 + 1000);
}

static void it_can_be_ended(void **state)
{
    (void)state;
    put("Gone", 4, NULL, 4);
    put("Gtwo", 4, NULL, 4);
    lose_the_trees();
    back.answer = 5;
    assert_int_equal(salvage(false), 5);
    assert_int_equal(back.count, 1);
    back.answer = 0;
    OK(salvage(false));
    assert_int_equal(back.count, 2);
}

/* Each that does not verify is a hole between two that do. */
static void many_that_do_not_verify_cost_no_other(void **state)
{
    enum { MANY = 1200 };
    char key[16];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "G%06d", i);
        if (i % 40 == 39) put_rotten(key);
        else put(key, 7, NULL, 4);
        if (i % 40 == 39) put_rotten("G000038x"), put_rotten("G000038y"); /* one hole */
    }
    shut();
    OK(salvage(true));
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "G%06d", i);
        if (is_there(key, 7) != (i % 40 != 39)) fail_msg("%s", key);
    }
    assert_int_equal(back.count, 0);
}

/* What is on pages that are not in use any more is not missing, but where there is a hole. */
static void what_was_deleted_comes_back_only_into_a_hole(void **state)
{
    uint8_t id[META_TOPIC_SIZE] = {1};
    MDB_txn *txn;

    (void)state;
    put("Ga", 2, NULL, 4);
    put("Gb", 2, NULL, 4);
    put("Td", 2, id, META_TOPIC_SIZE);
    OK(rill__meta_begin_view(meta, &txn));
    drop("Gb", 2);
    drop("Td", 2);
    put_rotten("Gc");
    put("Kx", 2, NULL, 4);
    rill__meta_end_view(meta, txn);
    shut();
    OK(salvage(true));
    assert_string_equal(back.kinds, "G");
    assert_string_equal(back.last, "b");
    assert_true(is_there("Ga", 2) && is_there("Gb", 2) && is_there("Kx", 2));
    assert_false(is_there("Gc", 2) || is_there("Td", 2) || is_there("N", 1) || is_there("P", 1));
}

/* A tree that has fewer entries than it says has lost them anywhere. */
static void a_tree_that_lost_something_has_holes_everywhere(void **state)
{
    MDB_txn *txn;
    uint64_t txns[2];

    (void)state;
    put("Ga", 2, NULL, 4);
    put("Gb", 2, NULL, 4);
    put("Gc", 2, NULL, 4);
    OK(rill__meta_begin_view(meta, &txn));
    drop("Gb", 2);
    rill__meta_end_view(meta, txn);
    shut();
    OK(salvage(true)); /* it is sound */
    assert_int_equal(back.count, 0);
    assert_false(is_there("Gb", 2));
    shut();
    map_file(0);
    memcpy(&txns[0], file.bytes + META_TXN_AT, 8);
    memcpy(&txns[1], file.bytes + 4096 + META_TXN_AT, 8);
    file.bytes[(txns[1] > txns[0] ? 4096 : 0) + META_TREES_AT + TREE_SIZE + 32]++;
    unmap_file();
    test_remove(test_path("new"));
    OK(salvage(true));
    assert_string_equal(back.kinds, "G");
    assert_true(is_there("Ga", 2) && is_there("Gb", 2) && is_there("Gc", 2));
}

/* Epochs that have been given meanwhile must fence nobody. */
static void a_producer_comes_back_with_later_epochs(void **state)
{
    static const struct {
        const char *key;
        uint16_t epoch, bits, then;
    } rows[] = {{"Xplain", 5, 0, 1005},
                {"Xlate", INT16_MAX - 3, 0, INT16_MAX},
                {"Xtxn", 5, META_NAME_TRANSACTIONAL, INT16_MAX}};
    uint8_t value[META_NAME_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        memset(value, 0, sizeof value);
        rill__put16(value + 8, rows[i].epoch);
        rill__put16(value + 10, rows[i].bits);
        put(rows[i].key, strlen(rows[i].key), value, sizeof value);
    }
    lose_the_trees();
    OK(salvage(true));
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(rill__get16(get(rows[i].key, strlen(rows[i].key)).bytes + 8),
                         rows[i].then);
}

static void a_long_key_has_a_short_name(void **state)
{
    char key[400];

    (void)state;
    memset(key, 'q', sizeof key);
    key[0] = 'Q';
    put(key, sizeof key, NULL, 4);
    lose_the_trees();
    OK(salvage(true));
    assert_string_equal(back.kinds, "Q");
    assert_int_equal(strlen(back.last), RILL_TOPIC_NAME_MAX);
    assert_true(is_there(key, sizeof key));
}

static void what_is_not_there_leaves_nothing(void **state)
{
    (void)state;
    shut();
    snprintf(path, sizeof path, "%s", test_path("nowhere"));
    OK(salvage(false));
    assert_int_equal(back.count, 0);
    snprintf(path, sizeof path, "%s", test_path("meta"));
    assert_int_equal(truncate(test_path("meta/data.mdb"), 0), 0);
    OK(salvage(true));
    assert_int_equal(back.count, 0);
    assert_true(is_there("S", 1)); /* its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_record_has_the_form_of_its_kind),
        TEST(no_name_is_that_long),
        TEST(a_schema_is_one_that_is_known),
        TEST(whoever_is_told_may_end_it),
        TEST(a_damaged_root_is_all_that_is_told),
        TEST(without_a_place_for_a_reader_it_is_busy),
        TEST(what_is_not_there_cannot_be_read_by_others_either),
        TEST(a_long_path_is_inspected_too),
        TEST(no_page_is_believed),
        TEST(records_on_pages_of_their_own_are_found),
        TEST(whoever_sees_them_may_end_it),
        TEST(a_page_size_that_cannot_be_is_not_believed),
        TEST(only_what_has_its_form_comes_back),
        TEST(of_versions_the_latest_comes_back),
        TEST(it_can_be_ended),
        TEST(many_that_do_not_verify_cost_no_other),
        TEST(what_was_deleted_comes_back_only_into_a_hole),
        TEST(a_tree_that_lost_something_has_holes_everywhere),
        TEST(a_producer_comes_back_with_later_epochs),
        TEST(a_long_key_has_a_short_name),
        TEST(what_is_not_there_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
