/*
 * The key map gives back the last offset of every key and of no other, however
 * alike the hashes are, keeps to its memory, and says when it is full.
 */
#include "log/keymap.h"
#include "faults.h"
#include "testing.h"
#include <string.h>

static struct heap heap;

static int set_up(void **state)
{
    (void)state;
    rill__heap_init(&heap, NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&heap.bytes), 0);
    return 0;
}

static struct hash128 hash(uint64_t low, uint64_t high)
{
    return (struct hash128){low, high};
}

static void the_last_offset_of_a_key(void **state)
{
    struct keymap map;
    (void)state;

    OK(rill__keymap_init(&map, &heap, 4096));
    assert_int_equal(rill__keymap_get(&map, hash(1, 2)), -1);
    assert_true(rill__keymap_put(&map, hash(1, 2), 0));
    assert_int_equal(rill__keymap_get(&map, hash(1, 2)), 0);
    assert_true(rill__keymap_put(&map, hash(1, 2), INT64_MAX - 1));
    assert_true(rill__keymap_put(&map, hash(1, 2), 7)); /* an earlier one changes nothing */
    assert_int_equal(rill__keymap_get(&map, hash(1, 2)), INT64_MAX - 1);
    assert_int_equal(map.key_count, 1);
    rill__keymap_clear(&map);
    assert_int_equal(map.key_count, 0);
    assert_int_equal(rill__keymap_get(&map, hash(1, 2)), -1);
    rill__keymap_deinit(&map, &heap);
    rill__keymap_deinit(&map, &heap);
}

/* Half of the hash is not the key; nor is that all are looked for in one place. */
static void alike_hashes_are_different_keys(void **state)
{
    static const uint64_t words[] = {0, 1, UINT64_C(1) << 32, UINT64_MAX};
    struct keymap map;
    int64_t offset = 0;
    (void)state;

    OK(rill__keymap_init(&map, &heap, 32 * 24));
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            assert_true(rill__keymap_put(&map, hash(words[i], words[j]), offset++));
    offset = 0;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            assert_int_equal(rill__keymap_get(&map, hash(words[i], words[j])), offset++);
    assert_int_equal(rill__keymap_get(&map, hash(2, 1)), -1);
    rill__keymap_deinit(&map, &heap);
}

static void full_it_says_so_and_stays_right(void **state)
{
    (void)state;
    for (uint64_t bytes = 0; bytes < 2000; bytes += 24) {
        struct keymap map;
        uint32_t count = 0;

        OK(rill__keymap_init(&map, &heap, bytes));
        assert_true(atomic_load(&heap.bytes) <= (bytes < 96 ? 96 : bytes) + 16);
        /* All begin at the last slot, and go round. */
        while (rill__keymap_put(&map, hash(UINT64_MAX, count), count)) count++;
        assert_int_equal(count, map.key_max);
        assert_in_range(count, 1, map.slot_count - 1);
        if (map.slot_count >= 8) assert_true(count >= map.slot_count * 3 / 4 - 1);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(rill__keymap_get(&map, hash(UINT64_MAX, i)), i);
            assert_true(rill__keymap_put(&map, hash(UINT64_MAX, i), count + i)); /* is there */
            assert_int_equal(rill__keymap_get(&map, hash(UINT64_MAX, i)), count + i);
        }
        assert_int_equal(rill__keymap_get(&map, hash(UINT64_MAX, count)), -1);
        assert_int_equal(rill__keymap_get(&map, hash(5, 5)), -1);
        rill__keymap_deinit(&map, &heap);
    }
}

static void any_keys_against_an_array(void **state)
{
    enum { KEYS = 3000 };
    static int64_t last[KEYS];
    struct test_random random = test_random_seeded(11);
    struct keymap map;
    (void)state;

    memset(last, -1, sizeof last);
    OK(rill__keymap_init(&map, &heap, KEYS * 2 * 24));
    for (int64_t offset = 0; offset < 20000; offset++) {
        uint64_t key = test_random_below(&random, KEYS);
        assert_true(rill__keymap_put(&map, rill__hash128(&key, sizeof key, 0), offset));
        last[key] = offset;
    }
    for (uint64_t key = 0; key < KEYS; key++) {
        assert_int_equal(rill__keymap_get(&map, rill__hash128(&key, sizeof key, 0)), last[key]);
        assert_int_equal(rill__keymap_get(&map, rill__hash128(&key, sizeof key, 1)), -1);
    }
    rill__keymap_deinit(&map, &heap);
}

static void without_memory_it_is_refused(void **state)
{
    struct heap small;
    struct keymap map;
    (void)state;

    rill__heap_init(&small, NULL, 1000);
    FAILS(RILL_ERR_NO_MEMORY, rill__keymap_init(&map, &small, 100000));
    rill__keymap_deinit(&map, &small);
    assert_int_equal(atomic_load(&small.bytes), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_offset_of_a_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(alike_hashes_are_different_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_it_says_so_and_stays_right, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_keys_against_an_array, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_it_is_refused, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
