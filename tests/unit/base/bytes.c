/*
 * Stored integers are little-endian at any address; a cursor never leaves its
 * bounds; a checksum is XXH3-64, however it is computed.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "testing.h"
#include <xxhash.h>

static void integers_are_little_endian_at_any_address(void **state)
{
    uint8_t b[16];

    (void)state;
    for (size_t at = 0; at < 8; at++) {
        rill__put64(b + at, UINT64_C(0x0807060504030201));
        for (size_t i = 0; i < 8; i++) assert_int_equal(b[at + i], i + 1);
        assert_int_equal(rill__get64(b + at), UINT64_C(0x0807060504030201));
        assert_int_equal(rill__get32(b + at), 0x04030201);
        assert_int_equal(rill__get16(b + at), 0x0201);
        rill__put32(b + at, 0xa1a2a3a4);
        assert_int_equal(b[at], 0xa4);
        rill__put16(b + at, 0xb1b2);
        assert_int_equal(b[at], 0xb2);
        assert_int_equal(b[at + 1], 0xb1);
    }
}

static void a_cursor_reads_what_is_there(void **state)
{
    const uint8_t b[15] = {1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0};
    struct cursor c = rill__cursor(b, sizeof b);

    (void)state;
    assert_int_equal(rill__cursor_get8(&c), 1);
    assert_int_equal(rill__cursor_get16(&c), 2);
    assert_int_equal(rill__cursor_get32(&c), 3);
    assert_int_equal(rill__cursor_get64(&c), 4);
    assert_false(c.short_read);
    assert_int_equal(rill__cursor_get8(&c), 0);
    assert_true(c.short_read);
}

/* On the heap, so that a sanitizer sees a byte too far. */
static void a_cursor_never_leaves_its_bounds(void **state)
{
    (void)state;
    for (size_t size = 0; size < 8; size++) {
        uint8_t *b = calloc(size + (size == 0), 1);
        struct cursor c = rill__cursor(b, size);

        assert_int_equal(rill__cursor_get64(&c), 0);
        assert_true(c.short_read);
        assert_int_equal(rill__cursor_get32(&c), 0);
        assert_null(rill__cursor_take(&c, 1));
        assert_non_null(rill__cursor_take(&c, 0));
        c = rill__cursor(b, size);
        assert_null(rill__cursor_take(&c, SIZE_MAX));
        assert_true(c.short_read);
        free(b);
    }
}

static void a_checksum_is_xxh3(void **state)
{
    static uint8_t b[70000];

    (void)state;
    for (size_t i = 0; i < sizeof b; i++) b[i] = (uint8_t)(i * 7 + (i >> 8));
    assert_int_equal(rill__checksum("", 0), UINT64_C(0x2d06800538d394c2)); /* as published */
    for (size_t size = 0; size < sizeof b; size = size * 3 / 2 + 1)
        for (size_t at = 0; at < 3 && at + size <= sizeof b; at++)
            assert_int_equal(rill__checksum(b + at, size), XXH3_64bits(b + at, size));
}

static void mixing_loses_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < i; j++)
            assert_true(rill__mix64(UINT64_C(1) << i) != rill__mix64(UINT64_C(1) << j));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_little_endian_at_any_address),
        cmocka_unit_test(a_cursor_reads_what_is_there),
        cmocka_unit_test(a_cursor_never_leaves_its_bounds),
        cmocka_unit_test(a_checksum_is_xxh3),
        cmocka_unit_test(mixing_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
