/*
 * The checksum is XXH3-64 on every machine: the values that others get, those
 * of the plain C code, at every length where the algorithm changes its way, at
 * any address.
 */
#include "base/checksum.h"
#include "testing.h"

/* The plain code, compiled in here; the library uses the machine's vectors. */
#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_SCALAR
#include <xxhash.h>

static uint8_t *some_bytes(size_t size)
{
    uint8_t *b = malloc(size);
    struct test_random random = {1};

    assert_non_null(b);
    for (size_t i = 0; i < size; i++) b[i] = (uint8_t)test_random_next(&random);
    return b;
}

static void others_get_the_same_values(void **state)
{
    (void)state;
    assert_true(rill__checksum("", 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(rill__checksum("a", 1) == UINT64_C(0xe6c632b61e964e1f));
    assert_true(rill__checksum("abc", 3) == UINT64_C(0x78af5f94892f3950));
}

/* 16, 128, 240 bytes, then stripes of 64 in blocks of 1,024. */
static void vectors_give_what_plain_code_gives(void **state)
{
    const size_t size_max = 1 << 20;
    uint8_t *b = some_bytes(size_max);

    (void)state;
    for (size_t size = 0; size < 2200; size++)
        assert_true(rill__checksum(b, size) == XXH3_64bits(b, size));
    for (size_t size = 2200; size <= size_max; size += size / 7)
        assert_true(rill__checksum(b, size) == XXH3_64bits(b, size));
    free(b);
}

static void the_address_does_not_matter(void **state)
{
    uint8_t *b = some_bytes(5000);
    uint8_t *moved = malloc(5000 + 64);

    (void)state;
    assert_non_null(moved);
    for (size_t at = 0; at < 64; at++) {
        memcpy(moved + at, b, 5000);
        assert_true(rill__checksum(moved + at, 5000) == rill__checksum(b, 5000));
    }
    free(moved);
    free(b);
}

static void every_bit_counts(void **state)
{
    static const size_t sizes[] = {1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1025};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *b = some_bytes(sizes[i]);
        uint64_t sum = rill__checksum(b, sizes[i]);

        for (size_t bit = 0; bit < sizes[i] * 8; bit++) {
            b[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_true(rill__checksum(b, sizes[i]) != sum);
            b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_true(rill__checksum(b, sizes[i]) == sum);
        free(b);
    }
}

static void wide_hash_is_xxh3_128(void **state)
{
    uint8_t *b = some_bytes(2200);

    (void)state;
    for (size_t size = 0; size < 2200; size++) {
        XXH128_hash_t want = XXH3_128bits_withSeed(b, size, size % 3);
        struct hash128 got = rill__hash128(b, size, size % 3);
        assert_true(got.low == want.low64 && got.high == want.high64);
    }
    free(b);
}

static void mixing_is_what_it_always_was(void **state)
{
    (void)state;
    assert_true(rill__mix64(0) == 0);
    assert_true(rill__mix64(1) == UINT64_C(0x1656679188611e68));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_get_the_same_values),
        cmocka_unit_test(vectors_give_what_plain_code_gives),
        cmocka_unit_test(the_address_does_not_matter),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(wide_hash_is_xxh3_128),
        cmocka_unit_test(mixing_is_what_it_always_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
