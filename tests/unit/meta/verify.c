/*
 * The catalogue's file is verified before LMDB sees it: every healthy one passes,
 * whatever was done to it; each kind of damage has its reason; and whatever bit
 * flips, what passes can be read and written, and does not lie.
 */
#include "catalogues.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { GROUPS = 300 };

static char path[700];

static int set_up(void **state)
{
    catalogue_set_up(state);
    snprintf(path, sizeof path, "%s", test_path("meta"));
    return 0;
}

static const char *name_of(int group)
{
    static char name[300];

    snprintf(name, sizeof name, "%0*d", 3 + group * 37 % 200, group);
    return name;
}

/* Metadata of all sizes, some of which need pages of their own. */
static void commit(int group, int64_t offset)
{
    static char text[RILL_METADATA_MAX + 1];
    size_t size = (size_t)(group * 131) % RILL_METADATA_MAX;
    struct meta_offset o = {.offset = offset, .metadata = text};

    memset(text, 'm', size);
    text[size] = '\0';
    OK(rill__meta_offsets_commit(meta, name_of(group), &o, 1));
}

static void healthy(void)
{
    size_t rotten;

    OK(rill__meta_verify(&heap, path, &rotten));
    assert_int_equal(rotten, 0);
}

static void fill(void)
{
    for (int g = 0; g < GROUPS; g++) commit(g, g);
}

static void every_healthy_catalogue_passes(void **state)
{
    struct test_random random = test_random_seeded(4);

    (void)state;
    healthy(); /* with nothing but its schema */
    for (int i = 0; i < 1500; i++) {
        int group = (int)test_random_below(&random, GROUPS);
        uint64_t what = test_random_below(&random, 600 + (uint64_t)(i / 500 % 2) * 400);

        if (what < 600) commit(group, i);
        else if (rill__meta_group_delete(meta, name_of(group), NULL, NULL) != 0)
            assert_non_null(strstr(test_message(), "no group"));
        if (i % 10 == 0) healthy();
    }
    for (int g = 0; g < GROUPS; g++) rill__meta_group_delete(meta, name_of(g), NULL, NULL);
    healthy();
}

static int write_much(struct meta *m, MDB_txn *txn, void *arg)
{
    uint8_t bytes[META_KEY_LARGEST];
    uint8_t value[3000 + 8];
    int count = *(int *)arg;
    int rc = 0;

    memset(value, 'v', sizeof value);
    for (int i = 0; i < count && rc == 0; i++) {
        MDB_val key = {rill__meta_space_key(bytes, 7, (rill_bytes){&i, sizeof i}), bytes};
        rc = rill__meta_put(m, txn, &key, value, 3000);
    }
    return rc;
}

static int remove_much(struct meta *m, MDB_txn *txn, void *arg)
{
    uint8_t bytes[META_KEY_LARGEST];
    MDB_val prefix = {rill__meta_space_key(bytes, 7, (rill_bytes){NULL, 0}), bytes};

    (void)arg;
    return rill__meta_delete_prefix(m, txn, &prefix);
}

/* The list of what one transaction frees has pages of its own then. */
static void so_does_one_that_has_freed_much(void **state)
{
    int counts[] = {100, 300, 2000, 5000};

    (void)state;
    for (int i = 0; i < 4; i++) {
        OK(rill__meta_write(meta, write_much, &counts[i]));
        healthy();
        OK(rill__meta_write(meta, remove_much, NULL));
        healthy();
        for (int g = 0; g < 5; g++) {
            commit(g, i);
            healthy();
        }
    }
}

/* ---- Damage ---- */

static struct {
    uint8_t *bytes; /* the file, mapped */
    size_t size;
    uint8_t *meta; /* the one that counts */
} file;

static void map_file(void)
{
    int fd = open(test_path("meta/data.mdb"), O_RDWR | O_CLOEXEC);
    struct stat st;
    uint64_t txns[2];

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    file.size = (size_t)st.st_size;
    file.bytes = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(file.bytes != MAP_FAILED);
    close(fd);
    memcpy(&txns[0], file.bytes + 144, 8);
    memcpy(&txns[1], file.bytes + 4096 + 144, 8);
    file.meta = file.bytes + (txns[1] > txns[0] ? 4096 : 0);
}

static uint8_t *root_of(int tree)
{
    uint64_t page;
    memcpy(&page, file.meta + 40 + 48 * tree + 40, 8);
    return file.bytes + page * 4096;
}

static uint8_t *first_child(uint8_t *branch)
{
    uint16_t at;
    uint32_t page = 0;
    memcpy(&at, branch + 16, 2);
    memcpy(&page, branch + at, 4);
    return file.bytes + (size_t)page * 4096;
}

/* With one byte changed, it fails and says this; with the byte back, it passes. */
static void fails_with(uint8_t *at, uint8_t mask, const char *reason)
{
    size_t rotten;

    *at ^= mask;
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    if (strstr(test_message(), reason) == NULL)
        fail_msg("the reason is \"%s\", not \"%s\"", test_message(), reason);
    *at ^= mask;
    healthy();
}

static void each_damage_has_its_reason(void **state)
{
    uint8_t *branch;
    uint8_t *leaf;
    uint16_t node;

    (void)state;
    fill();
    commit(0, 7); /* so that there are free pages */
    rill__meta_close(meta);
    meta = NULL;
    map_file();
    branch = root_of(1);
    leaf = first_child(branch);
    while (leaf[10] == 1) leaf = first_child(leaf);
    memcpy(&node, leaf + 16, 2);
    fails_with(file.bytes + 16, 1, "is not the beginning of a catalogue");
    fails_with(file.bytes + 4096 + 16, 1, "is not the second beginning");
    fails_with(file.bytes + 40 + 1, 0x20, "page size");
    fails_with(file.meta + 144, 4, "do not follow each other");
    fails_with(file.meta + 144, 1, "do not follow each other");
    assert_int_not_equal(file.meta[137], 0); /* more than 255 pages */
    fails_with(file.meta + 137, file.meta[137], "beyond the pages");
    fails_with(file.meta + 136 + 5, 1, "more pages than its map");
    fails_with(file.meta + 32 + 6, 1, "more pages than its map");
    fails_with(file.meta + 40 + 48 + 4, 4, "a tree that cannot be");
    fails_with(file.meta + 40 + 48 + 6, 0x40, "a tree that cannot be");
    fails_with(file.meta + 40 + 48 + 6, 1, "not of the kind");
    fails_with(file.meta + 40 + 48 + 32, 1, "not as many pages or entries");
    fails_with(file.meta + 40 + 48 + 40 + 6, 1, "beyond the pages");
    fails_with(branch, 1, "another page's number");
    fails_with(branch + 10, 4, "not of the kind");
    fails_with(leaf + 12, 1, "overlap, or there are too few");
    fails_with(leaf + 12, 2, "");
    fails_with(leaf + 15, 0x80, "overlap, or there are too few");
    fails_with(leaf + 17, 0x80, "not where nodes are");
    fails_with(leaf + 16, 1, "not where nodes are");
    fails_with(leaf + node + 7, 4, "leaves the page");
    fails_with(leaf + node + 2, 1, "leaves the page");
    fails_with(leaf + node + 4, 2, "of a kind that there is not");
    fails_with(leaf + node + 8, 0x80, "not in order");
    fails_with(root_of(0) + 10, 1, "not of the kind");
    munmap(file.bytes, file.size);
}

/* The same with other bytes put there. */
static void fails_if(void *at, const void *bytes, size_t size, const char *reason)
{
    uint8_t before[8];
    size_t rotten;

    assert_in_range(size, 1, sizeof before);
    memcpy(before, at, size);
    memcpy(at, bytes, size);
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    if (strstr(test_message(), reason) == NULL)
        fail_msg("the reason is \"%s\", not \"%s\"", test_message(), reason);
    memcpy(at, before, size);
    healthy();
}

static void fails_if_16(void *at, uint16_t v, const char *reason)
{
    fails_if(at, &v, sizeof v, reason);
}

static void fails_if_64(void *at, uint64_t v, const char *reason)
{
    fails_if(at, &v, sizeof v, reason);
}

static uint8_t *node_of(uint8_t *page, int index)
{
    uint16_t at;
    memcpy(&at, page + 16 + 2 * index, 2);
    return page + at;
}

/* A leaf in use whose first value has pages of its own. */
static bool has_overflow(uint8_t *page)
{
    const uint8_t *node = node_of(page, 0);
    size_t rotten;
    bool used;

    if (page[10] != 2 || page[12] <= 16 || node >= page + 4096 - 16 || node[4] != 1) return false;
    page[10] = 1; /* nobody minds if it is free */
    used = rill__meta_verify(&heap, path, &rotten) != 0;
    page[10] = 2;
    return used;
}

static void pages_that_cannot_be_are_refused(void **state)
{
    uint8_t *root;
    uint64_t page;

    (void)state;
    fill();
    rill__meta_close(meta);
    meta = NULL;
    map_file();
    root = root_of(1);
    assert_int_equal(root[10], 1); /* a branch */
    fails_if_64(file.meta + 40 + 48 + 40, 1, "beyond the pages");
    fails_if(node_of(root, 1), node_of(root, 0), 4, "is used twice");
    fails_if_16(node_of(root, 1) + 6, 0, "a size that none has");
    fails_if_16(file.bytes + 4096 + 20, 2, "not the second beginning");
    fails_if_16(file.bytes + 4096 + 10, 2, "not the second beginning");
    fails_if_16(file.bytes + 10, 2, "not the second beginning");
    fails_if_16(file.bytes + 4096 + 40, 8192, "not the second beginning");
    fails_if_64(file.meta + 136, 0, "more pages than its map");
    page = (uint64_t)(root - file.bytes) / 4096;
    fails_if_64(file.meta + 136, page - 1, "");
    for (uint8_t *at = file.bytes + 2 * 4096; at < file.bytes + file.size; at += 4096)
        if (has_overflow(at)) fails_if_16(node_of(at, 0) + 2, 0x7fff, "beyond the pages");
    munmap(file.bytes, file.size);
}

/* The node that lies before all others gets a value of 4 bytes. */
static void shorten_one_list(uint8_t *leaf)
{
    uint8_t node[20];
    uint16_t upper;
    uint16_t at;
    int i = 0;

    memcpy(&upper, leaf + 14, 2);
    while (node_of(leaf, i) != leaf + upper) i++;
    memcpy(&at, leaf + upper, 2); /* the size of its value */
    at = (uint16_t)(upper + at - 4);
    memcpy(node, leaf + upper, sizeof node);
    node[0] = 4;
    node[1] = 0;
    memcpy(leaf + at, node, sizeof node);
    memcpy(leaf + 14, &at, 2);
    memcpy(leaf + 16 + 2 * i, &at, 2);
}

static void free_pages_that_cannot_be_are_refused(void **state)
{
    uint8_t *leaf;
    uint8_t *first;
    uint8_t *last;
    uint64_t ids[2];
    size_t rotten;

    (void)state;
    fill();
    for (int g = 0; g < 40; g++) OK(rill__meta_group_delete(meta, name_of(g), NULL, NULL));
    commit(41, 7);
    rill__meta_close(meta);
    meta = NULL;
    map_file();
    leaf = root_of(0);
    assert_int_equal(leaf[10], 2); /* one page, */
    assert_true(leaf[12] > 18);    /* of two nodes at least */
    first = node_of(leaf, 0);
    last = node_of(leaf, (leaf[12] - 16) / 2 - 1);
    memcpy(&ids[0], first + 8, 8);
    memcpy(&ids[1], node_of(leaf, 1) + 8, 8);
    assert_true(ids[0] < ids[1]);
    fails_if_64(first + 8, ids[1] + 1, "not in order");
    fails_if_64(first + 8, ids[1], "not in order");
    fails_if_64(last + 8, UINT64_MAX, "by a transaction that is to come");
    fails_if_16(first + 6, 4, "a size that none has");
    fails_if_16(first + 6, 511, "leaves the page");
    fails_if_64(first + 16, 1000, "longer than its value");
    fails_if_64(first + 24, 1, "beyond the pages");
    for (int i = 0; i < (leaf[12] - 16) / 2; i++)
        if (node_of(leaf, i)[16] > 1) /* with others behind it */
            fails_if_64(node_of(leaf, i) + 24, 1, "beyond the pages");
    fails_if_64(first + 24, (uint64_t)(root_of(1) - file.bytes) / 4096, "is used twice");
    shorten_one_list(leaf);
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    assert_non_null(strstr(test_message(), "longer than its value"));
    munmap(file.bytes, file.size);
}

/* The file ends with a value of two pages. */
static bool ends_with_a_long_value(void)
{
    const uint8_t *page;
    uint16_t flags;
    uint32_t count;
    bool yes;

    map_file();
    page = file.bytes + file.size - 2 * 4096;
    memcpy(&flags, page + 10, 2);
    memcpy(&count, page + 12, 4);
    yes = flags == 4 && count == 2;
    munmap(file.bytes, file.size);
    return yes;
}

static void a_value_that_is_cut_short_is_damage(void **state)
{
    static char text[RILL_METADATA_MAX + 1];
    struct meta_offset o = {.metadata = text};
    size_t rotten;
    int group = 0;

    (void)state;
    memset(text, 'm', RILL_METADATA_MAX);
    do {
        assert_in_range(group, 0, 100);
        OK(rill__meta_offsets_commit(meta, name_of(group++), &o, 1));
    } while (!ends_with_a_long_value());
    rill__meta_close(meta);
    meta = NULL;
    healthy();
    assert_int_equal(truncate(test_path("meta/data.mdb"), (off_t)file.size - 4096), 0);
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    assert_non_null(strstr(test_message(), "has not the pages that its value needs"));
}

static void one_of_another_version_is_for_lmdb_to_judge(void **state)
{
    (void)state;
    rill__meta_close(meta);
    meta = NULL;
    map_file();
    file.bytes[20] = file.bytes[4096 + 20] = 2;
    healthy();
    munmap(file.bytes, file.size);
    FAILS(RILL_ERR_FORMAT, rill__meta_open(&heap, path, false, &meta));
}

/* As a process leaves it that dies before its first commit. */
static void one_without_a_transaction_is_healthy(void **state)
{
    MDB_env *env;

    (void)state;
    rill__meta_close(meta);
    meta = NULL;
    assert_int_equal(unlink(test_path("meta/data.mdb")), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    mdb_env_close(env);
    healthy();
    FAILS(RILL_ERR_CORRUPT, rill__meta_open(&heap, path, false, &meta)); /* no schema */
    OK(rill__meta_open(&heap, path, true, &meta));
}

static void a_file_that_is_missing_or_short_is_refused(void **state)
{
    size_t rotten;

    (void)state;
    fill();
    rill__meta_close(meta);
    meta = NULL;
    assert_int_equal(truncate(test_path("meta/data.mdb"), 3 * 4096), 0);
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    assert_int_equal(truncate(test_path("meta/data.mdb"), 4096), 0);
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    assert_int_equal(truncate(test_path("meta/data.mdb"), 100), 0);
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    assert_int_equal(truncate(test_path("meta/data.mdb"), 0), 0);
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    assert_int_equal(unlink(test_path("meta/data.mdb")), 0);
    FAILS(RILL_ERR_CORRUPT, rill__meta_verify(&heap, path, &rotten));
    assert_non_null(strstr(test_message(), "missing"));
}

/* ---- Whatever flips ---- */

static void read_and_write(void)
{
    static char text[RILL_METADATA_MAX + 1];
    uint8_t topic[16] = {0};

    OK(rill__meta_open(&heap, path, false, &meta));
    for (int g = 0; g < GROUPS; g++) {
        struct meta_offset o;
        int rc = rill__meta_offset_get(meta, name_of(g), topic, 0, &o, text, sizeof text);
        if (rc == 0) assert_int_equal(o.offset, g);
        else assert_int_equal(rc, RILL_ERR_CORRUPT);
    }
    for (int g = GROUPS; g < GROUPS + 3; g++) commit(g, g);
    rill__meta_close(meta);
    meta = NULL;
}

static void whatever_flips_what_passes_does_not_lie(void **state)
{
    struct test_random random = test_random_seeded(8);
    int flips = getenv("RILL_TEST_SLOW") != NULL ? 40 : 400;
    uint8_t *copy;
    int refused = 0;

    (void)state;
    fill();
    rill__meta_close(meta);
    meta = NULL;
    map_file();
    copy = malloc(file.size);
    assert_non_null(copy);
    memcpy(copy, file.bytes, file.size);
    for (int i = 0; i < flips; i++) {
        size_t at = (size_t)test_random_below(&random, file.size);
        size_t rotten;

        if (i % 2 == 0) at = at / 4096 * 4096 + at % 200; /* heads and offsets */
        memcpy(file.bytes, copy, file.size);
        file.bytes[at] ^= (uint8_t)(1u << test_random_below(&random, 8));
        if (rill__meta_verify(&heap, path, &rotten) == 0) read_and_write();
        else refused++;
        assert_int_equal(truncate(test_path("meta/data.mdb"), (off_t)file.size), 0);
    }
    assert_true(refused > 0);
    free(copy);
    munmap(file.bytes, file.size);
}

#define WITH_META(test) cmocka_unit_test_setup_teardown(test, set_up, catalogue_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_META(every_healthy_catalogue_passes),
        WITH_META(so_does_one_that_has_freed_much),
        WITH_META(each_damage_has_its_reason),
        WITH_META(pages_that_cannot_be_are_refused),
        WITH_META(free_pages_that_cannot_be_are_refused),
        WITH_META(a_value_that_is_cut_short_is_damage),
        WITH_META(one_of_another_version_is_for_lmdb_to_judge),
        WITH_META(one_without_a_transaction_is_healthy),
        WITH_META(a_file_that_is_missing_or_short_is_refused),
        WITH_META(whatever_flips_what_passes_does_not_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
