/*
 * What a codec compresses it gives back, to the byte; what no codec has made, or
 * does not fit, is refused; memory comes from the heap, once.
 */
#include "base/codec.h"
#include "base/error.h"
#include "testing.h"

enum { ROOM = 300000 };

static uint8_t plain[ROOM];
static uint8_t packed[ROOM + 4096];
static uint8_t back[ROOM];

static const int codes[] = {CODEC_LZ4, CODEC_ZSTD};
#define CODES (sizeof codes / sizeof codes[0])

struct fixture {
    struct heap heap;
    struct codec codec;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    rill__heap_init(&f->heap, NULL, 0);
    rill__codec_init(&f->codec, &f->heap);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    rill__codec_deinit(&f->codec);
    assert_int_equal(f->heap.bytes, 0);
    rill__codec_deinit(&f->codec); /* once more does no harm */
    free(f);
    return 0;
}

#define WITH_CODEC(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* Text of some words, which becomes smaller by any codec. */
static void fill(struct test_random *random, size_t size)
{
    static const char *const words[] = {"{\"customer\": ", "\"an address\", ", "1234567890}\n"};

    for (size_t at = 0; at < size;) {
        const char *word = words[test_random_below(random, 3)];
        size_t part = strlen(word) < size - at ? strlen(word) : size - at;
        memcpy(plain + at, word, part);
        at += part;
    }
}

static size_t compress(struct codec *codec, int code, int level, size_t size, size_t room)
{
    size_t got = 12345;

    OK(rill__codec_compress(codec, code, level, plain, size, packed, room, &got));
    assert_true(got <= room);
    return got;
}

static void any_block_comes_back(void **state)
{
    static const int levels[] = {0, -5, 1, 2, 3, 9, 12};
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(3);

    for (size_t c = 0; c < CODES; c++) {
        if (!rill__codec_available(codes[c])) continue;
        for (int i = 0; i < 150; i++) {
            size_t size =
                i < 40 ? (size_t)i + 1 : 1 + test_random_below(&random, ROOM / (1 + i % 9));
            size_t got;
            fill(&random, size);
            got = compress(&f->codec, codes[c], levels[i % 7], size, sizeof packed);
            assert_true(got > 0);
            if (size > 1000) assert_true(got < size / 2);
            memset(back, 0xa5, sizeof back);
            OK(rill__codec_decompress(&f->codec, codes[c], packed, got, back, size));
            assert_memory_equal(back, plain, size);
            if (size < sizeof back) assert_int_equal(back[size], 0xa5);
        }
    }
}

static void what_does_not_fit_is_told(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(4);

    for (size_t i = 0; i < 5000; i++) plain[i] = (uint8_t)test_random_next(&random);
    for (size_t c = 0; c < CODES; c++) {
        if (!rill__codec_available(codes[c])) continue;
        for (int level = 0; level <= 9; level += 9) {
            assert_int_equal(compress(&f->codec, codes[c], level, 5000, 4999), 0);
            assert_int_equal(compress(&f->codec, codes[c], level, 5000, 1), 0);
            assert_int_not_equal(compress(&f->codec, codes[c], level, 5000, sizeof packed), 0);
        }
    }
}

static void another_size_is_refused(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(5);

    fill(&random, 10000);
    for (size_t c = 0; c < CODES; c++) {
        size_t got;
        if (!rill__codec_available(codes[c])) continue;
        got = compress(&f->codec, codes[c], 0, 10000, sizeof packed);
        for (size_t size = 9984; size <= 10016; size += 4) {
            if (size == 10000) continue;
            FAILS(RILL_ERR_CORRUPT,
                  rill__codec_decompress(&f->codec, codes[c], packed, got, back, size));
        }
        for (size_t less = 0; less < got; less += 1 + less / 3)
            FAILS(RILL_ERR_CORRUPT,
                  rill__codec_decompress(&f->codec, codes[c], packed, less, back, 10000));
        memset(packed + got, 0, 8);
        FAILS(RILL_ERR_CORRUPT,
              rill__codec_decompress(&f->codec, codes[c], packed, got + 8, back, 10000));
    }
}

/* A sanitizer sees what reads or writes beyond. */
static void any_bytes_do_no_harm(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(6);

    fill(&random, 3000);
    for (size_t c = 0; c < CODES; c++) {
        size_t got;
        if (!rill__codec_available(codes[c])) continue;
        got = compress(&f->codec, codes[c], 0, 3000, sizeof packed);
        for (int i = 0; i < 3000; i++) {
            uint8_t *from = malloc(got);
            uint8_t *to = malloc(3000);
            int rc;
            memcpy(from, packed, got);
            for (uint64_t n = 1 + test_random_below(&random, 4); n > 0; n--)
                from[test_random_below(&random, got)] = (uint8_t)test_random_next(&random);
            rc = rill__codec_decompress(&f->codec, codes[c], from, got, to, 3000);
            assert_true(rc == 0 || rc == RILL_ERR_CORRUPT);
            free(from);
            free(to);
        }
    }
}

/* Two frames, or one of a kind that only says something about the next. */
static void zstd_is_one_frame(void **state)
{
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    static const uint8_t old[] = {0x27, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0};
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(7);
    size_t got;

    if (!rill__codec_available(CODEC_ZSTD)) skip();
    fill(&random, 1000);
    got = compress(&f->codec, CODEC_ZSTD, 0, 1000, sizeof packed);
    memcpy(packed + got, packed, got);
    FAILS(RILL_ERR_CORRUPT,
          rill__codec_decompress(&f->codec, CODEC_ZSTD, packed, 2 * got, back, 2000));
    memcpy(packed + got, skippable, sizeof skippable);
    FAILS(RILL_ERR_CORRUPT, rill__codec_decompress(&f->codec, CODEC_ZSTD, packed,
                                                   got + sizeof skippable, back, 1000));
    FAILS(RILL_ERR_CORRUPT,
          rill__codec_decompress(&f->codec, CODEC_ZSTD, skippable, sizeof skippable, back, 1000));
    FAILS(RILL_ERR_CORRUPT,
          rill__codec_decompress(&f->codec, CODEC_ZSTD, old, sizeof old, back, 1000));
}

static void memory_is_taken_once(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(8);

    fill(&random, ROOM);
    for (size_t c = 0; c < CODES; c++) {
        uint64_t before;
        if (!rill__codec_available(codes[c])) continue;
        for (int round = 0; round < 3; round++) {
            size_t got = compress(&f->codec, codes[c], 0, 65536, sizeof packed);
            compress(&f->codec, codes[c], 9, 65536, sizeof packed);
            got = compress(&f->codec, codes[c], 0, 65536, sizeof packed);
            OK(rill__codec_decompress(&f->codec, codes[c], packed, got, back, 65536));
            if (round == 0) before = f->heap.bytes;
            assert_int_equal(f->heap.bytes, before);
        }
        assert_true(before > 0);
    }
}

static void no_memory_is_an_error(void **state)
{
    struct heap small;
    struct codec codec;
    struct test_random random = test_random_seeded(9);
    size_t got;
    (void)state;

    fill(&random, 65536);
    for (size_t c = 0; c < CODES; c++) {
        bool done = false;
        if (!rill__codec_available(codes[c])) continue;
        for (uint64_t limit = 100; !done; limit *= 2) {
            int rc;
            rill__heap_init(&small, NULL, limit);
            rill__codec_init(&codec, &small);
            rc = rill__codec_compress(&codec, codes[c], 9, plain, 65536, packed, sizeof packed,
                                      &got);
            if (rc == 0) rc = rill__codec_decompress(&codec, codes[c], packed, got, back, 65536);
            done = rc == 0;
            assert_true(done || rc == RILL_ERR_NO_MEMORY);
            if (!done) assert_non_null(strstr(test_message(), "memory limit"));
            rill__codec_deinit(&codec);
            assert_int_equal(small.bytes, 0);
        }
    }
    if (!rill__codec_available(CODEC_ZSTD)) return;
    got = compress(&((struct fixture *)*state)->codec, CODEC_ZSTD, 0, 65536, sizeof packed);
    rill__heap_init(&small, NULL, 100);
    rill__codec_init(&codec, &small);
    FAILS(RILL_ERR_NO_MEMORY,
          rill__codec_decompress(&codec, CODEC_ZSTD, packed, got, back, 65536));
}

static void others_are_named(void **state)
{
    static const struct {
        int code;
        const char *name;
    } all[] = {{0, "none"}, {1, "gzip"},    {2, "snappy"},  {3, "lz4"},
               {4, "zstd"}, {5, "unknown"}, {7, "unknown"}, {-1, "unknown"}};
    struct fixture *f = *state;
    size_t got;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int code = all[i].code;
        assert_string_equal(rill__codec_name(code), all[i].name);
        if (rill__codec_available(code)) {
            assert_true(code == CODEC_LZ4 || code == CODEC_ZSTD);
            OK(rill__codec_require(code));
            continue;
        }
        FAILS(RILL_ERR_UNSUPPORTED, rill__codec_require(code));
        assert_non_null(strstr(test_message(), all[i].name));
        if (code == CODEC_LZ4 || code == CODEC_ZSTD)
            assert_non_null(strstr(test_message(), code == CODEC_LZ4 ? "liblz4" : "libzstd"));
        FAILS(RILL_ERR_UNSUPPORTED, rill__codec_check_level(code, 0));
        FAILS(RILL_ERR_UNSUPPORTED,
              rill__codec_compress(&f->codec, code, 0, plain, 100, packed, sizeof packed, &got));
        assert_int_equal(got, 0);
        FAILS(RILL_ERR_UNSUPPORTED,
              rill__codec_decompress(&f->codec, code, plain, 100, back, 100));
    }
#ifdef RILL_HAVE_LZ4
    assert_true(rill__codec_available(CODEC_LZ4));
#else
    assert_false(rill__codec_available(CODEC_LZ4));
#endif
#ifdef RILL_HAVE_ZSTD
    assert_true(rill__codec_available(CODEC_ZSTD));
#else
    assert_false(rill__codec_available(CODEC_ZSTD));
#endif
}

static void levels_have_bounds(void **state)
{
    static const struct {
        int code;
        int least;
        int most;
    } bounds[] = {{CODEC_LZ4, -65536, 12}, {CODEC_ZSTD, -131072, 22}};
    struct fixture *f = *state;

    memset(plain, 'x', 1000);
    for (size_t i = 0; i < CODES; i++) {
        int code = bounds[i].code;
        if (!rill__codec_available(code)) continue;
        OK(rill__codec_check_level(code, 0));
        OK(rill__codec_check_level(code, bounds[i].least));
        OK(rill__codec_check_level(code, bounds[i].most));
        FAILS(RILL_ERR_INVALID, rill__codec_check_level(code, bounds[i].least - 1));
        FAILS(RILL_ERR_INVALID, rill__codec_check_level(code, bounds[i].most + 1));
        assert_non_null(strstr(test_message(), rill__codec_name(code)));
        assert_true(compress(&f->codec, code, bounds[i].least, 1000, sizeof packed) > 0);
        assert_true(compress(&f->codec, code, bounds[i].most, 1000, sizeof packed) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CODEC(any_block_comes_back),    WITH_CODEC(what_does_not_fit_is_told),
        WITH_CODEC(another_size_is_refused), WITH_CODEC(any_bytes_do_no_harm),
        WITH_CODEC(zstd_is_one_frame),       WITH_CODEC(memory_is_taken_once),
        WITH_CODEC(no_memory_is_an_error),   WITH_CODEC(others_are_named),
        WITH_CODEC(levels_have_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
