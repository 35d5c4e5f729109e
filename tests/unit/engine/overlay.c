/*
 * What a transaction has put is found by key and in order, both ways, space by space,
 * against a plain sorted array; and nothing of it leaks.
 */
#include "engine/overlay.h"
#include "testing.h"

static struct heap heap;
static struct overlay overlay;

static int set_up(void **state)
{
    (void)state;
    rill__heap_init(&heap, NULL, 0);
    rill__overlay_init(&overlay, &heap);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rill__overlay_clear(&overlay);
    return heap.bytes == 0 ? 0 : -1;
}

static rill_bytes text(const char *t)
{
    return (rill_bytes){t, t == NULL ? 0 : strlen(t)};
}

static void put(uint32_t space, const char *key, const char *value)
{
    assert_int_equal(rill__overlay_put(&overlay, space, text(key), text(value)), 0);
}

static void holds(uint32_t space, const char *key, const char *value)
{
    rill_bytes found;

    assert_true(rill__overlay_get(&overlay, space, text(key), &found));
    if (value == NULL) {
        assert_null(found.data);
        return;
    }
    assert_int_equal(found.size, strlen(value));
    assert_memory_equal(found.data, value, found.size);
}

static void the_last_put_counts(void **state)
{
    rill_bytes found;

    (void)state;
    assert_false(rill__overlay_get(&overlay, 1, text("a"), &found));
    put(1, "a", "one");
    put(1, "a", "three");
    put(2, "a", "");
    put(1, "b", NULL);
    holds(1, "a", "three");
    holds(2, "a", "");
    holds(1, "b", NULL);
    put(1, "b", "back");
    holds(1, "b", "back");
    assert_int_equal(overlay.count, 3);
    assert_int_equal(overlay.bytes, 3 * 128 + 3 + 5 + 0 + 4);
    rill__overlay_clear(&overlay);
    assert_int_equal(overlay.count, 0);
    assert_int_equal(overlay.bytes, 0);
    assert_false(rill__overlay_get(&overlay, 1, text("a"), &found));
}

static void next_is(uint32_t space, const char *from, bool after, bool reverse, const char *key)
{
    rill_bytes found;
    rill_bytes value;
    bool there = rill__overlay_next(&overlay, space, text(from), after, reverse, &found, &value);

    assert_int_equal(there, key != NULL);
    if (key == NULL) return;
    assert_int_equal(found.size, strlen(key));
    assert_memory_equal(found.data, key, found.size);
}

static void it_is_walked_both_ways(void **state)
{
    (void)state;
    next_is(1, NULL, false, false, NULL);
    put(0, "z", "");
    put(2, "a", "");
    next_is(1, NULL, false, false, NULL);
    next_is(1, NULL, false, true, NULL);
    put(1, "b", "");
    put(1, "bb", "");
    put(1, "", "");
    put(1, "d", "");
    next_is(1, NULL, false, false, "");
    next_is(1, "", true, false, "b");
    next_is(1, "b", false, false, "b");
    next_is(1, "b", true, false, "bb");
    next_is(1, "c", false, false, "d");
    next_is(1, "d", true, false, NULL);
    next_is(1, NULL, false, true, "d");
    next_is(1, "d", true, true, "bb");
    next_is(1, "c", false, true, "bb");
    next_is(1, "", true, true, NULL);
    next_is(1, "zz", false, true, "d");
}

/* Random puts in three spaces; each key is a number in text. */
static void a_thousand_keys_are_in_order(void **state)
{
    enum { KEYS = 1000 };
    static int values[3][KEYS]; /* -1: none */
    static struct meta_put puts[3 * KEYS];
    struct test_random random = test_random_seeded(5);
    size_t count = 0;
    char key[16];
    char value[16];

    (void)state;
    memset(values, -1, sizeof values);
    for (int i = 0; i < 20000; i++) {
        uint32_t space = (uint32_t)test_random_below(&random, 3);
        int k = (int)test_random_below(&random, KEYS);
        snprintf(key, sizeof key, "%03d", k);
        snprintf(value, sizeof value, "%d", i);
        put(space, key, value);
        values[space][k] = i;
    }
    for (int space = 0; space < 3; space++)
        for (int k = 0; k < KEYS; k++) count += values[space][k] >= 0;
    assert_int_equal(overlay.count, count);
    rill__overlay_list(&overlay, puts);
    count = 0;
    for (uint32_t space = 0; space < 3; space++) {
        for (int k = 0; k < KEYS; k++) {
            if (values[space][k] < 0) continue;
            snprintf(key, sizeof key, "%03d", k);
            snprintf(value, sizeof value, "%d", values[space][k]);
            holds(space, key, value);
            assert_int_equal(puts[count].space, space);
            assert_memory_equal(puts[count].key.data, key, 3);
            assert_memory_equal(puts[count].value.data, value, puts[count].value.size);
            count++;
        }
    }
}

static void without_memory_all_is_as_it_was(void **state)
{
    (void)state;
    put(1, "a", "one");
    heap.bytes_max = 1;
    assert_int_equal(rill__overlay_put(&overlay, 1, text("a"), text("two")), RILL_ERR_NO_MEMORY);
    assert_int_equal(rill__overlay_put(&overlay, 1, text("b"), text(NULL)), RILL_ERR_NO_MEMORY);
    heap.bytes_max = heap.bytes + 40; /* for the value, and not for its entry */
    assert_int_equal(rill__overlay_put(&overlay, 1, text("b"), text("x")), RILL_ERR_NO_MEMORY);
    heap.bytes_max = 0;
    holds(1, "a", "one");
    assert_int_equal(overlay.count, 1);
}

#define WITH_OVERLAY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_OVERLAY(the_last_put_counts),
        WITH_OVERLAY(it_is_walked_both_ways),
        WITH_OVERLAY(a_thousand_keys_are_in_order),
        WITH_OVERLAY(without_memory_all_is_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
