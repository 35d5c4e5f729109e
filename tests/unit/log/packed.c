/*
 * A compressed batch is one that log/format.h specifies, smaller than the plain
 * one; its records come back as they went in; what its header claims is bounded
 * before anybody takes memory for it, and a lie is told. A batch that bears the
 * time of its append gives it to all its records, and nobody can change it.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/batch.h"
#include "log/format.h"
#include "testing.h"

#define SALT UINT64_C(0x0123456789abcdef)
#define ROOM 8192

struct fixture {
    struct heap heap;
    struct codec codec;
    _Alignas(8) uint8_t plain[ROOM];
    _Alignas(8) uint8_t packed[ROOM];
    _Alignas(8) uint8_t out[ROOM];
    uint64_t numbers[100];
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
    free(f);
    return 0;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* Runs the rest of the test for each codec that is there. */
#define FOR_EACH_CODEC(code)                                                                     \
    for (int code = CODEC_LZ4; code <= CODEC_ZSTD; code++)                                       \
        if (rill__codec_available(code))

static const rill_header headers[2] = {{{"name", 4}, {"value of it", 11}},
                                       {{"nil", 3}, {NULL, 0}}};

static rill_record record_number(int i)
{
    rill_record record = RILL_RECORD_INIT;

    record.timestamp_ms = 1000 + i % 7;
    if (i % 3 != 0) record.key = (rill_bytes){"a key of some length", (size_t)i % 20};
    if (i % 5 != 0)
        record.value = (rill_bytes){"{\"json\": \"a value\", \"and\": 17}", 8 + (size_t)i % 20};
    record.headers = i % 4 == 0 ? headers : NULL;
    record.header_count = i % 4 == 0 ? 2 : 0;
    return record;
}

static struct batch build(struct fixture *f, int count, uint16_t attributes)
{
    struct batch batch;

    rill__batch_init(&batch, f->plain, sizeof f->plain);
    for (int i = 0; i < count; i++) {
        rill_record record = record_number(i);
        assert_true(rill__batch_add(&batch, &record, 1, NULL));
    }
    batch.attributes = attributes;
    return batch;
}

/* Compressed, at offset 7 and epoch 3. */
static struct batch pack(struct fixture *f, int code, int count, uint16_t attributes)
{
    struct batch batch = build(f, count, attributes);
    struct batch packed;

    memset(f->packed, 0xa5, sizeof f->packed);
    rill__batch_init(&packed, f->packed, sizeof f->packed);
    OK(rill__batch_seal_packed(&batch, &f->codec, code, 0, &packed));
    assert_true(packed.size > 0 && packed.size < batch.size);
    if ((attributes & BATCH_APPEND_TIME) != 0) rill__batch_set_time(f->packed, 5000);
    rill__batch_stamp(f->packed, packed.content, SALT, 7, 3);
    return packed;
}

static struct batch_view view_of(const uint8_t *data, size_t room)
{
    struct batch_view view;
    const char *why;

    if (rill__batch_view(data, room, &view, &why) != BATCH_VALID) fail_msg("refused: %s", why);
    return view;
}

static void same_bytes(rill_bytes got, rill_bytes want)
{
    assert_int_equal(got.data == NULL, want.data == NULL);
    assert_int_equal(got.size, want.size);
    if (want.size != 0) assert_memory_equal(got.data, want.data, want.size);
}

/* time 0: each its own. */
static void check_records(const struct batch_view *view, int count, int64_t time)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record got = RILL_RECORD_INIT;
    rill_header header;
    bool bad;

    for (int i = 0; i < count; i++) {
        rill_record want = record_number(i);
        assert_true(rill__record_next(view, &walk, &got, &bad));
        same_bytes(got.key, want.key);
        same_bytes(got.value, want.value);
        if (got.value.data != NULL) assert_int_equal((uintptr_t)got.value.data % 8, 0);
        assert_int_equal(got.timestamp_ms, time != 0 ? time : want.timestamp_ms);
        assert_int_equal(got.offset, 7 + i);
        assert_int_equal(got.leader_epoch, 3);
        assert_int_equal(got.header_count, want.header_count);
        for (size_t h = 0; h < want.header_count; h++) {
            OK(rill__record_header(got.raw, h, &header));
            same_bytes(header.name, headers[h].name);
            same_bytes(header.value, headers[h].value);
        }
    }
    assert_false(rill__record_next(view, &walk, &got, &bad));
    assert_false(bad);
}

static void bytes_are_as_specified(void **state)
{
    struct fixture *f = *state;

    FOR_EACH_CODEC(code)
    {
        struct batch packed = pack(f, code, 40, 0);
        const uint8_t *at = f->packed;
        size_t raw = build(f, 40, 0).size - 64;
        size_t size = rill__get32(at + 68);
        assert_int_equal(rill__get32(at + 20), packed.size);
        assert_int_equal(rill__get32(at + 24), 40);
        assert_int_equal(rill__get32(at + 28), 39);
        assert_int_equal(rill__get64(at + 32), 1000);
        assert_int_equal(rill__get64(at + 40), 1006);
        assert_int_equal(rill__get16(at + 62), code);
        assert_int_equal(rill__get32(at + 64), raw);
        assert_int_equal(packed.size, (72 + size + 7) / 8 * 8);
        for (size_t i = 72 + size; i < packed.size; i++) assert_int_equal(at[i], 0);
        assert_int_equal(packed.content, rill__checksum(at + 20, packed.size - 20));
        OK(rill__codec_decompress(&f->codec, code, at + 72, size, f->out, raw));
        assert_memory_equal(f->out, f->plain + 64, raw);
    }
}

static void records_come_back(void **state)
{
    struct fixture *f = *state;

    FOR_EACH_CODEC(code)
    for (int count = 5; count <= 100; count += 19) {
        struct batch packed = pack(f, code, count, 0);
        struct batch_view view = view_of(f->packed, sizeof f->packed);
        struct batch_view open;
        assert_true(rill__batch_verify(&view, SALT));
        assert_false(rill__batch_verify(&view, SALT + 1));
        assert_int_equal(view.length, packed.size);
        assert_int_equal(view.record_count, count);
        assert_int_equal(view.end_offset, 7 + count);
        assert_in_range(rill__batch_room(&view), 1, sizeof f->out);
        OK(rill__batch_records(&view, &f->codec, f->out, &open));
        check_records(&open, count, 0);
        OK(rill__batch_records(&view, &f->codec, f->out, &view)); /* in place of itself */
        check_records(&view, count, 0);
    }
}

static void plain_batch_needs_no_room(void **state)
{
    struct fixture *f = *state;
    struct batch batch = build(f, 30, 0);
    struct batch_view view;

    rill__batch_seal(&batch);
    rill__batch_stamp(f->plain, batch.content, SALT, 7, 3);
    view = view_of(f->plain, sizeof f->plain);
    assert_int_equal(view.raw_size, batch.size - 64);
    assert_int_equal(rill__batch_room(&view), 0);
    OK(rill__batch_records(&view, NULL, NULL, &view));
    check_records(&view, 30, 0);
}

static void what_becomes_no_smaller_stays_plain(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(1);

    FOR_EACH_CODEC(code)
    for (int words = 0; words <= 100; words += 5) {
        rill_record record = RILL_RECORD_INIT;
        struct batch batch;
        struct batch packed;
        for (int i = 0; i < words; i++) f->numbers[i] = test_random_next(&random);
        record.value = (rill_bytes){f->numbers, (size_t)words * 8};
        rill__batch_init(&batch, f->plain, sizeof f->plain);
        assert_true(rill__batch_add(&batch, &record, 1, NULL));
        rill__batch_init(&packed, f->packed, sizeof f->packed);
        packed.size = 77;
        OK(rill__batch_seal_packed(&batch, &f->codec, code, 0, &packed));
        assert_int_equal(packed.size, 0);
    }
}

/* Down to one step of 8 bytes, and never without that. */
static void the_smallest_gain_counts(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(2);
    bool least = false;

    FOR_EACH_CODEC(code)
    {
        for (int same = 0; same < 100; same++) {
            rill_record record = RILL_RECORD_INIT;
            struct batch batch;
            struct batch packed;
            for (int i = 0; i < 90; i++) f->numbers[i] = i < same ? 7 : test_random_next(&random);
            record.value = (rill_bytes){f->numbers, 90 * 8};
            rill__batch_init(&batch, f->plain, sizeof f->plain);
            assert_true(rill__batch_add(&batch, &record, 1, NULL));
            rill__batch_init(&packed, f->packed, batch.size);
            OK(rill__batch_seal_packed(&batch, &f->codec, code, 0, &packed));
            if (packed.size == batch.size - 8) least = true;
            assert_true(packed.size < batch.size);
        }
        assert_true(least);
    }
}

static void no_room_is_no_gain(void **state)
{
    struct fixture *f = *state;

    FOR_EACH_CODEC(code)
    {
        struct batch batch = build(f, 60, 0);
        size_t need = pack(f, code, 60, 0).size;
        for (size_t room = 0; room <= need + 8; room += 8) {
            struct batch packed;
            memset(f->packed, 0xa5, sizeof f->packed);
            rill__batch_init(&packed, f->packed, room);
            OK(rill__batch_seal_packed(&batch, &f->codec, code, 0, &packed));
            assert_true(packed.size <= room);
            assert_int_equal(f->packed[room], 0xa5);
            if (room < need) assert_int_equal(packed.size, 0);
        }
    }
}

static void huge_batch_stays_plain(void **state)
{
    struct fixture *f = *state;
    size_t size = BATCH_RAW_MAX + 4096;
    void *room = malloc(size);

    assert_non_null(room);
    FOR_EACH_CODEC(code)
    for (int more = 0; more < 2; more++) {
        rill_record record = RILL_RECORD_INIT;
        struct batch batch;
        struct batch packed;
        record.value = (rill_bytes){NULL, BATCH_RAW_MAX - 16 + (size_t)more * 8};
        rill__batch_init(&batch, room, size);
        assert_true(rill__batch_add(&batch, &record, 1, NULL));
        rill__batch_init(&packed, calloc(1, 1 << 20), 1 << 20);
        OK(rill__batch_seal_packed(&batch, &f->codec, code, 0, &packed));
        assert_int_equal(packed.size != 0, more == 0);
        if (more == 0) {
            struct batch_view view = view_of(packed.data, packed.size);
            assert_int_equal(view.raw_size, BATCH_RAW_MAX);
        }
        free(packed.data);
    }
    free(room);
}

static void unknown_codec_is_unsupported(void **state)
{
    struct fixture *f = *state;
    int count = 0;

    /* By hand, as another build has written it. */
    memset(f->packed, 0, 96);
    rill__put32(f->packed + BATCH_LENGTH_AT, 96);
    rill__put32(f->packed + BATCH_COUNT_AT, 2);
    rill__put32(f->packed + BATCH_LAST_DELTA_AT, 1);
    rill__put32(f->packed + BATCH_RAW_SIZE_AT, 64);
    rill__put32(f->packed + BATCH_PACKED_SIZE_AT, 24);
    for (uint16_t code = 1; code < 8; code++) {
        struct batch_view view;
        struct batch_view open;
        rill__put16(f->packed + BATCH_ATTRIBUTES_AT, code);
        view = view_of(f->packed, 96);
        if (rill__codec_available(code)) {
            FAILS(RILL_ERR_CORRUPT, rill__batch_records(&view, &f->codec, f->out, &open));
            continue;
        }
        FAILS(RILL_ERR_UNSUPPORTED, rill__batch_records(&view, &f->codec, f->out, &open));
        assert_non_null(strstr(test_message(), rill__codec_name(code)));
        count++;
    }
    assert_in_range(count, 5, 7);
    {
        struct batch batch = build(f, 10, 0);
        struct batch packed;
        rill__batch_init(&packed, f->packed, sizeof f->packed);
        FAILS(RILL_ERR_UNSUPPORTED, rill__batch_seal_packed(&batch, &f->codec, 2, 0, &packed));
        assert_int_equal(packed.size, 0);
    }
}

/* A packed batch with 4 bytes at `at` set to value. */
static void check_refused(struct fixture *f, int code, size_t at, uint32_t value)
{
    struct batch_view view;
    const char *why = NULL;
    struct batch packed = pack(f, code, 40, 0);

    rill__put32(f->packed + at, value);
    if (rill__batch_view(f->packed, packed.size, &view, &why) != BATCH_BAD)
        fail_msg("%u at %zu: not refused", value, at);
    assert_non_null(why);
}

static void impossible_sizes_are_refused(void **state)
{
    struct fixture *f = *state;

    FOR_EACH_CODEC(code)
    {
        uint32_t size = (uint32_t)pack(f, code, 40, 0).size;
        uint32_t packed = rill__get32(f->packed + BATCH_PACKED_SIZE_AT);
        uint32_t raw = rill__get32(f->packed + BATCH_RAW_SIZE_AT);
        check_refused(f, code, BATCH_RAW_SIZE_AT, raw + 1);
        check_refused(f, code, BATCH_RAW_SIZE_AT, raw + 4);
        check_refused(f, code, BATCH_RAW_SIZE_AT, 0);
        check_refused(f, code, BATCH_RAW_SIZE_AT, 40 * 16 - 8); /* for 40 records */
        check_refused(f, code, BATCH_RAW_SIZE_AT, BATCH_RAW_MAX + 8);
        check_refused(f, code, BATCH_RAW_SIZE_AT, UINT32_MAX - 7);
        check_refused(f, code, BATCH_PACKED_SIZE_AT, packed + 8);
        check_refused(f, code, BATCH_PACKED_SIZE_AT, packed - 8);
        check_refused(f, code, BATCH_PACKED_SIZE_AT, UINT32_MAX);
        check_refused(f, code, BATCH_PACKED_SIZE_AT, UINT32_MAX - size + 1);
        check_refused(f, code, BATCH_COUNT_AT, raw / 16 + 1);
        check_refused(f, code, BATCH_LENGTH_AT, 72);
    }
}

static void lies_about_the_size_are_corrupt(void **state)
{
    struct fixture *f = *state;

    FOR_EACH_CODEC(code)
    {
        uint32_t raw;
        pack(f, code, 60, 0);
        raw = rill__get32(f->packed + BATCH_RAW_SIZE_AT);
        for (uint32_t lie = 60 * 16; lie < sizeof f->out - 64; lie += 8) {
            struct batch_view view;
            struct batch_view open;
            if (lie == raw) continue;
            rill__put32(f->packed + BATCH_RAW_SIZE_AT, lie);
            view = view_of(f->packed, sizeof f->packed);
            FAILS(RILL_ERR_CORRUPT, rill__batch_records(&view, &f->codec, f->out, &open));
        }
    }
}

static void single_bit_flips_never_verify(void **state)
{
    struct fixture *f = *state;

    FOR_EACH_CODEC(code)
    for (int time = 0; time < 2; time++) {
        size_t size = pack(f, code, 30, time ? BATCH_APPEND_TIME : 0).size;
        struct batch_view view;
        const char *why;
        for (size_t bit = 0; bit < size * 8; bit++) {
            f->packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (rill__batch_view(f->packed, size, &view, &why) == BATCH_VALID)
                assert_false(rill__batch_verify(&view, SALT));
            f->packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        view = view_of(f->packed, size);
        assert_true(rill__batch_verify(&view, SALT));
    }
}

/* ---- The time of the append ---- */

static void time_of_the_append_is_everybodys(void **state)
{
    struct fixture *f = *state;
    struct batch batch = build(f, 20, BATCH_APPEND_TIME);
    struct batch_view view;
    uint64_t place;

    rill__batch_seal(&batch);
    assert_int_equal(rill__get16(f->plain + 62), 8);
    assert_int_equal(batch.content, rill__checksum(f->plain + 48, batch.size - 48) ^
                                        rill__mix64(rill__checksum(f->plain + 20, 20)));
    for (int64_t time = 0; time < 6000; time += 1500) {
        rill__batch_set_time(f->plain, time);
        rill__batch_stamp(f->plain, batch.content, SALT, 7, 3);
        view = view_of(f->plain, sizeof f->plain);
        assert_int_equal(view.max_time, time);
        assert_true(rill__batch_verify(&view, SALT));
        if (time == 0) {
            struct record_walk walk = {BATCH_HEADER_SIZE, 0};
            rill_record got;
            bool bad;
            while (rill__record_next(&view, &walk, &got, &bad))
                assert_int_equal(got.timestamp_ms, 0);
            place = rill__get64(f->plain) ^ batch.content;
        } else {
            check_records(&view, 20, time);
            assert_int_equal(rill__get64(f->plain),
                             batch.content ^ place ^ rill__mix64((uint64_t)time));
        }
    }
}

/* It is not hashed, but tied to the rest all the same. */
static void time_of_the_append_cannot_be_changed(void **state)
{
    struct fixture *f = *state;
    struct batch batch = build(f, 20, BATCH_APPEND_TIME);

    rill__batch_seal(&batch);
    rill__batch_set_time(f->plain, 123456789);
    rill__batch_stamp(f->plain, batch.content, SALT, 7, 3);
    for (size_t bit = 0; bit < batch.size * 8; bit++) {
        struct batch_view view;
        const char *why;
        f->plain[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (rill__batch_view(f->plain, batch.size, &view, &why) == BATCH_VALID)
            assert_false(rill__batch_verify(&view, SALT));
        f->plain[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void compressed_batch_bears_it_too(void **state)
{
    struct fixture *f = *state;

    FOR_EACH_CODEC(code)
    {
        struct batch_view view;
        pack(f, code, 50, BATCH_APPEND_TIME);
        view = view_of(f->packed, sizeof f->packed);
        assert_int_equal(view.attributes, code | BATCH_APPEND_TIME);
        assert_true(rill__batch_verify(&view, SALT));
        OK(rill__batch_records(&view, &f->codec, f->out, &view));
        check_records(&view, 50, 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(bytes_are_as_specified),
                                       TEST(records_come_back),
                                       TEST(plain_batch_needs_no_room),
                                       TEST(what_becomes_no_smaller_stays_plain),
                                       TEST(the_smallest_gain_counts),
                                       TEST(no_room_is_no_gain),
                                       TEST(huge_batch_stays_plain),
                                       TEST(unknown_codec_is_unsupported),
                                       TEST(impossible_sizes_are_refused),
                                       TEST(lies_about_the_size_are_corrupt),
                                       TEST(single_bit_flips_never_verify),
                                       TEST(time_of_the_append_is_everybodys),
                                       TEST(time_of_the_append_cannot_be_changed),
                                       TEST(compressed_batch_bears_it_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
