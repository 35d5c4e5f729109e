/*
 * The index leads to the last batch it knows that is not beyond what is sought.
 * It is a hint: missing, foreign or damaged, it costs a longer scan and nothing
 * else.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "logs.h"

enum { BATCHES = 18 };

/* A segment of some batches whose index is still to be filled. */
struct fixture {
    struct test_log t;
    struct segment *segment;
    int64_t offsets[BATCHES + 1];
    uint32_t positions[BATCHES + 1];
};

static int setup(void **state)
{
    static struct fixture f;
    struct file dir;

    test_log_init(&f.t);
    OK(test_log_open(&f.t));
    for (int i = 0; i < BATCHES; i++) {
        struct batch_view view;
        f.offsets[i] = rill__log_end(f.t.log);
        test_append_ok(f.t.log, 1 + i % 4, 8 + (size_t)i % 3 * 8);
        f.positions[i] = test_position_of(f.t.log, f.offsets[i], &view);
    }
    f.offsets[BATCHES] = rill__log_end(f.t.log);
    test_log_close(&f.t);
    dir = test_log_directory();
    OK(rill__segment_open(&f.t.config, &dir, 0, true, &f.segment));
    memset(f.segment->index.data + INDEX_HEADER_SIZE, 0,
           f.segment->index.size - INDEX_HEADER_SIZE);
    rill__file_close(&dir);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    rill__segment_close(&f->t.config, f->segment);
    f->segment = NULL;
    test_log_deinit(&f->t);
    return 0;
}

/* An entry for every step-th batch; the times before grow by 10 per batch. */
static uint32_t put_entries(struct fixture *f, int step)
{
    uint32_t count = 0;

    for (int i = 0; i < BATCHES; i += step)
        assert_true(rill__index_put(f->segment, count++, f->offsets[i], f->positions[i],
                                    i == 0 ? INT64_MIN : i * 10));
    return count;
}

/* The batch with offset. */
static int batch_of(const struct fixture *f, int64_t offset)
{
    int i = BATCHES - 1;

    while (i > 0 && f->offsets[i] > offset) i--;
    return i;
}

static void entry_bytes_are_as_specified(void **state)
{
    struct fixture *f = *state;
    const uint8_t *e = f->segment->index.data + 64 + 16 * 2;

    put_entries(f, 1);
    assert_int_equal(rill__get32(e), f->offsets[2]);
    assert_int_equal(rill__get32(e + 4) ^ (uint32_t)rill__mix64(f->segment->salt ^
                                                                rill__mix64(20 + f->offsets[2])),
                     f->positions[2] / 8);
    assert_int_equal(rill__get64(e + 8), 20);
}

static void entries_hold_offsets_from_the_base(void **state)
{
    struct fixture *f = *state;
    const uint8_t *e = f->segment->index.data + 64;

    f->segment->base = INT64_C(1) << 40;
    assert_true(rill__index_put(f->segment, 0, f->segment->base + 7, 800, 1));
    assert_int_equal(rill__get32(e), 7);
    assert_true(rill__index_put(f->segment, 0, f->segment->base + UINT32_MAX, 800, 1));
    assert_int_equal(rill__get32(e), UINT32_MAX);
    assert_false(rill__index_put(f->segment, 0, f->segment->base + UINT32_MAX + 1, 800, 1));
}

static void last_entry_at_or_before_the_offset_is_found(void **state)
{
    struct fixture *f = *state;

    for (int step = 1; step <= BATCHES; step++) {
        uint32_t count = put_entries(f, step);
        for (int64_t offset = 0; offset < f->offsets[BATCHES] + 3; offset++) {
            int want = batch_of(f, offset) / step * step;
            assert_int_equal(rill__index_find(f->segment, count, offset), f->positions[want]);
        }
        assert_int_equal(rill__index_find(f->segment, count, INT64_MAX),
                         f->positions[(BATCHES - 1) / step * step]);
        assert_int_equal(rill__index_find(f->segment, count, -5), SEGMENT_HEADER_SIZE);
    }
}

static void only_counted_entries_are_used(void **state)
{
    struct fixture *f = *state;

    put_entries(f, 1);
    for (uint32_t count = 1; count <= BATCHES; count++)
        assert_int_equal(rill__index_find(f->segment, count, f->offsets[BATCHES]),
                         f->positions[count - 1]);
    assert_int_equal(rill__index_find(f->segment, 0, 5), SEGMENT_HEADER_SIZE);
}

static void last_entry_with_only_earlier_times_before_it_is_found(void **state)
{
    struct fixture *f = *state;

    for (int step = 1; step <= BATCHES; step++) {
        uint32_t count = put_entries(f, step);
        for (int64_t time = -5; time < BATCHES * 10 + 20; time++) {
            int want = 0; /* the last batch before which all is earlier than time */
            for (int i = step; i < BATCHES; i += step)
                if (i * 10 < time) want = i;
            assert_int_equal(rill__index_find_time(f->segment, count, time), f->positions[want]);
        }
        assert_int_equal(rill__index_find_time(f->segment, count, INT64_MIN), 128);
        assert_int_equal(rill__index_find_time(f->segment, count, INT64_MAX),
                         f->positions[(BATCHES - 1) / step * step]);
    }
}

static void full_index_takes_no_more(void **state)
{
    struct fixture *f = *state;
    uint32_t room = (uint32_t)((f->segment->index.size - 64) / 16);

    for (uint32_t at = 0; at < room; at++)
        assert_true(rill__index_put(f->segment, at, at, SEGMENT_HEADER_SIZE, at));
    assert_false(rill__index_put(f->segment, room, room, SEGMENT_HEADER_SIZE, room));
    assert_false(rill__index_put(f->segment, UINT32_MAX, room, SEGMENT_HEADER_SIZE, room));
    rill__index_find(f->segment, UINT32_MAX, INT64_MAX); /* reads inside all the same */
    rill__index_find_time(f->segment, UINT32_MAX, INT64_MAX);
}

static void without_an_index_all_begins_at_the_first_batch(void **state)
{
    struct fixture *f = *state;
    struct map index = f->segment->index;
    struct index_seal seal;

    f->segment->index = MAP_NONE;
    assert_false(rill__index_put(f->segment, 0, 0, SEGMENT_HEADER_SIZE, 0));
    rill__index_seal(f->segment, 1, 200, 5, 5);
    assert_false(rill__index_sealed(f->segment, &seal));
    assert_int_equal(rill__index_find(f->segment, 7, 7), SEGMENT_HEADER_SIZE);
    assert_int_equal(rill__index_find_time(f->segment, 7, 7), SEGMENT_HEADER_SIZE);
    f->segment->index = index;
}

static void sealed_header_is_as_specified(void **state)
{
    struct fixture *f = *state;
    struct index_seal seal;
    const uint8_t *h = f->segment->index.data;

    assert_false(rill__index_sealed(f->segment, &seal));
    rill__index_seal(f->segment, 5, 3000, 40, 77);
    assert_true(rill__index_sealed(f->segment, &seal));
    assert_int_equal(seal.count, 5);
    assert_int_equal(seal.end_position, 3000);
    assert_int_equal(seal.end_offset, 40);
    assert_int_equal(seal.max_time, 77);
    assert_memory_equal(h, "RILLIDX1", 8);
    assert_int_equal(rill__get64(h + 8), 0);
    assert_int_equal(rill__get64(h + 16), f->segment->salt);
    assert_int_equal(rill__get32(h + 24), 5);
    assert_int_equal(rill__get32(h + 28), 3000);
    assert_int_equal(rill__get64(h + 32), 40);
    assert_int_equal(rill__get64(h + 40), 77);
    assert_int_equal(rill__get64(h + 48), 0);
    assert_int_equal(rill__get64(h + 56), rill__checksum(h, 56));
}

static void damaged_seal_is_no_seal(void **state)
{
    struct fixture *f = *state;
    struct index_seal seal;

    rill__index_seal(f->segment, 5, 3000, 40, 77);
    for (int bit = 0; bit < 64 * 8; bit++) {
        f->segment->index.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(rill__index_sealed(f->segment, &seal));
        f->segment->index.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(rill__index_sealed(f->segment, &seal));
}

static void impossible_seal_is_no_seal(void **state)
{
    struct fixture *f = *state;
    uint32_t room = (uint32_t)((f->segment->index.size - 64) / 16);
    struct index_seal seal;

    f->segment->base = 10;
    rill__index_seal(f->segment, room, 4096, 10, INT64_MIN);
    assert_true(rill__index_sealed(f->segment, &seal));
    rill__index_seal(f->segment, room + 1, 4096, 40, 77);
    assert_false(rill__index_sealed(f->segment, &seal));
    rill__index_seal(f->segment, 5, 4097, 40, 77);
    assert_false(rill__index_sealed(f->segment, &seal));
    rill__index_seal(f->segment, 5, 127, 40, 77);
    assert_false(rill__index_sealed(f->segment, &seal));
    rill__index_seal(f->segment, 5, 3000, 9, 77);
    assert_false(rill__index_sealed(f->segment, &seal));
    rill__index_seal(f->segment, INDEX_UNSEALED, 3000, 40, 77);
    assert_false(rill__index_sealed(f->segment, &seal));
}

/* Where a look-up for offset led to: a whole batch, not beyond it. */
static void check_led_to_a_batch(const struct segment *segment, uint32_t position, int64_t offset)
{
    struct batch_view view;
    const char *why;

    assert_true(position >= SEGMENT_HEADER_SIZE);
    assert_true(position < segment->size);
    assert_int_equal(
        rill__batch_view(segment->map.data + position, segment->size - position, &view, &why),
        BATCH_VALID);
    assert_true(rill__batch_verify(&view, segment->salt));
    assert_true(view.base_offset <= offset);
}

static void entry_is_believed_only_if_its_batch_is_there(void **state)
{
    struct fixture *f = *state;
    static const uint32_t wrong[] = {0, 8, 120, 136, 4088, 4096, 8192, UINT32_C(0xfffffff8)};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_true(rill__index_put(f->segment, 0, f->offsets[3], wrong[i], 0));
        assert_int_equal(rill__index_find(f->segment, 1, f->offsets[5]), SEGMENT_HEADER_SIZE);
        assert_int_equal(rill__index_find_time(f->segment, 1, 5), SEGMENT_HEADER_SIZE);
    }
    /* a batch, but another one */
    assert_true(rill__index_put(f->segment, 0, f->offsets[3], f->positions[4], 0));
    assert_int_equal(rill__index_find(f->segment, 1, f->offsets[5]), SEGMENT_HEADER_SIZE);
    /* the right one, but damaged */
    assert_true(rill__index_put(f->segment, 0, f->offsets[3], f->positions[3], 0));
    assert_int_equal(rill__index_find(f->segment, 1, f->offsets[5]), f->positions[3]);
    f->segment->map.data[f->positions[3] + 80] ^= 1;
    assert_int_equal(rill__index_find(f->segment, 1, f->offsets[5]), SEGMENT_HEADER_SIZE);
    f->segment->map.data[f->positions[3] + 80] ^= 1;
}

static void any_garbage_leads_to_a_batch_not_beyond(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(7);
    size_t used = BATCHES * INDEX_ENTRY_SIZE;

    for (int round = 0; round < 5000; round++) {
        uint8_t *entries = f->segment->index.data + INDEX_HEADER_SIZE;
        int64_t offset = (int64_t)test_random_below(&random, (uint64_t)f->offsets[BATCHES]);
        put_entries(f, 1);
        for (uint64_t n = 1 + test_random_below(&random, 20); n > 0; n--)
            entries[test_random_below(&random, used)] = (uint8_t)test_random_next(&random);
        check_led_to_a_batch(f->segment, rill__index_find(f->segment, BATCHES, offset), offset);
        check_led_to_a_batch(f->segment,
                             rill__index_find_time(f->segment, BATCHES, (int64_t)offset * 10),
                             INT64_MAX);
    }
}

/* Three segments, the last active; hurts an index in some way and has every
 * offset and time looked for, in this run and after a recovery of each kind. */
static void check_costs_only_a_scan(struct fixture *f, void (*hurt)(const char *path))
{
    struct test_log *t = &f->t;

    rill__segment_close(&t->config, f->segment);
    f->segment = NULL;
    OK(test_log_restart(t));
    test_append_segments(t->log, 3);
    test_append_segments(t->log, 3);
    for (int way = 0; way < 3; way++) {
        int64_t bases[3] = {0, -1, -1};
        int64_t end = rill__log_end(t->log);
        OK(rill__log_base_after(t->log, bases[0], &bases[1]));
        OK(rill__log_base_after(t->log, bases[1], &bases[2]));
        test_log_close(t);
        for (int i = 0; i < 3; i++) hurt(test_segment_path(bases[i], "index"));
        OK(way == 0 ? test_log_open(t) : way == 1 ? test_log_restart(t) : test_log_reboot(t));
        for (int64_t offset = 0; offset < end; offset++) {
            int64_t found = -1;
            test_check(t->log, offset, end);
            OK(rill__log_offset_for_time(t->log, test_time(offset), &found));
            assert_int_equal(found, offset);
        }
        test_append_ok(t->log, 1, 8);
        test_check(t->log, end, end + 1);
    }
}

static void lose(const char *path)
{
    unlink(path);
}

static void empty(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void cut_header(const char *path)
{
    assert_int_equal(truncate(path, 63), 0);
}

static void cut_entries(const char *path)
{
    assert_int_equal(truncate(path, 64 + 16 + 5), 0);
}

static void flip_header(const char *path)
{
    test_flip(path, 41, 1);
}

static void make_foreign(const char *path)
{
    size_t size;
    uint8_t *h = test_read_file(path, &size);

    rill__put64(h + INDEX_SALT_AT, rill__get64(h + INDEX_SALT_AT) + 1);
    rill__put64(h + INDEX_CHECKSUM_AT, rill__checksum(h, INDEX_CHECKSUM_AT));
    test_write_file(path, 0, h, INDEX_HEADER_SIZE);
    free(h);
}

static void scramble_positions(const char *path)
{
    for (int i = 0; i < 10; i++) test_flip(path, 64 + (uint64_t)i * 16 + 4, 0x15);
}

static void useless_index_is_not_mapped(void **state)
{
    struct fixture *f = *state;
    void (*const hurts[])(const char *) = {make_foreign, flip_header, cut_header, lose};
    struct file dir = test_log_directory();

    for (size_t i = 0; i < sizeof hurts / sizeof hurts[0]; i++) {
        struct segment *segment = NULL;
        OK(rill__segment_make_index(&f->t.config, &dir, f->segment));
        OK(rill__segment_open(&f->t.config, &dir, 0, false, &segment));
        assert_non_null(segment->index.data);
        rill__segment_close(&f->t.config, segment);
        hurts[i](test_segment_path(0, "index"));
        OK(rill__segment_open(&f->t.config, &dir, 0, false, &segment));
        assert_null(segment->index.data);
        rill__segment_close(&f->t.config, segment);
    }
    rill__file_close(&dir);
}

static void lost_index_costs_only_a_scan(void **state)
{
    check_costs_only_a_scan(*state, lose);
}

static void empty_index_costs_only_a_scan(void **state)
{
    check_costs_only_a_scan(*state, empty);
}

static void index_without_its_header_costs_only_a_scan(void **state)
{
    check_costs_only_a_scan(*state, cut_header);
}

static void short_index_costs_only_a_scan(void **state)
{
    check_costs_only_a_scan(*state, cut_entries);
}

static void damaged_index_header_costs_only_a_scan(void **state)
{
    check_costs_only_a_scan(*state, flip_header);
}

static void foreign_index_costs_only_a_scan(void **state)
{
    check_costs_only_a_scan(*state, make_foreign);
}

static void damaged_index_entries_cost_only_a_scan(void **state)
{
    check_costs_only_a_scan(*state, scramble_positions);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(entry_bytes_are_as_specified),
        TEST(entries_hold_offsets_from_the_base),
        TEST(last_entry_at_or_before_the_offset_is_found),
        TEST(only_counted_entries_are_used),
        TEST(last_entry_with_only_earlier_times_before_it_is_found),
        TEST(full_index_takes_no_more),
        TEST(without_an_index_all_begins_at_the_first_batch),
        TEST(sealed_header_is_as_specified),
        TEST(damaged_seal_is_no_seal),
        TEST(impossible_seal_is_no_seal),
        TEST(entry_is_believed_only_if_its_batch_is_there),
        TEST(any_garbage_leads_to_a_batch_not_beyond),
        TEST(useless_index_is_not_mapped),
        TEST(lost_index_costs_only_a_scan),
        TEST(empty_index_costs_only_a_scan),
        TEST(index_without_its_header_costs_only_a_scan),
        TEST(short_index_costs_only_a_scan),
        TEST(damaged_index_header_costs_only_a_scan),
        TEST(foreign_index_costs_only_a_scan),
        TEST(damaged_index_entries_cost_only_a_scan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
