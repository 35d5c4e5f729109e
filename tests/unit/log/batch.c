/*
 * A batch's bytes are those that log/format.h specifies, whoever reads them
 * later; every record comes back as it went in; and bytes that are not such a
 * batch, in this segment, at this offset and epoch, are refused without a read
 * outside of them.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/batch.h"
#include "log/format.h"
#include "testing.h"

#define SALT UINT64_C(0x0123456789abcdef)
#define TEXT(literal) ((rill_bytes){(literal), sizeof(literal) - 1})
#define ROOM 4096

static rill_record record_of(rill_bytes key, rill_bytes value, int64_t timestamp_ms)
{
    rill_record record = RILL_RECORD_INIT;

    record.key = key;
    record.value = value;
    record.timestamp_ms = timestamp_ms;
    return record;
}

static void add(struct batch *batch, rill_record record)
{
    assert_true(rill__batch_add(batch, &record, 1, NULL));
}

static struct batch_view view_of(const uint8_t *data, size_t room)
{
    struct batch_view view;
    const char *why;

    if (rill__batch_view(data, room, &view, &why) != BATCH_VALID) fail_msg("refused: %s", why);
    return view;
}

static rill_record next_record(const struct batch_view *view, struct record_walk *walk)
{
    rill_record record = RILL_RECORD_INIT;
    bool bad;

    assert_true(rill__record_next(view, walk, &record, &bad));
    assert_false(bad);
    return record;
}

static void no_more_records(const struct batch_view *view, struct record_walk *walk)
{
    rill_record record = RILL_RECORD_INIT;
    bool bad;

    assert_false(rill__record_next(view, walk, &record, &bad));
    assert_false(bad);
}

static void same_bytes(rill_bytes got, rill_bytes want)
{
    assert_int_equal(got.data == NULL, want.data == NULL);
    assert_int_equal(got.size, want.size);
    if (want.size != 0) assert_memory_equal(got.data, want.data, want.size);
}

/* Two records: key, value; then null key, null value, two headers, 10 ms before
 * the first. At offset 7, epoch 3. */
static const uint8_t known_bytes[] = {
    /* batch header */
    0x1d, 0x3a, 0xa6, 0x43, 0xfe, 0x3f, 0xbc, 0x01, /* checksum */
    7, 0, 0, 0, 0, 0, 0, 0,                         /* base offset */
    3, 0, 0, 0,                                     /* leader epoch */
    144, 0, 0, 0,                                   /* length */
    2, 0, 0, 0,                                     /* record count */
    1, 0, 0, 0,                                     /* last offset delta */
    0xe8, 3, 0, 0, 0, 0, 0, 0,                      /* base timestamp */
    0xe8, 3, 0, 0, 0, 0, 0, 0,                      /* max timestamp */
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* producer id */
    0xff, 0xff, 0xff, 0xff,                         /* base sequence */
    0xff, 0xff,                                     /* producer epoch */
    0, 0,                                           /* attributes */
    /* record 0 */
    32, 0, 0, 0,                                 /* size */
    9, 0, 0, 0,                                  /* value size */
    0, 0, 0, 0,                                  /* timestamp delta */
    2, 0, 0, 0,                                  /* key size */
    'v', 'a', 'l', 'u', 'e', '-', 'o', 'n', 'e', /* value */
    'k', '1',                                    /* key */
    0, 0, 0, 0, 0,                               /* to a multiple of 8 */
    /* record 1 */
    48, 0, 0, 0,                                       /* size */
    0xff, 0xff, 0xff, 0xff,                            /* value: null */
    0xf6, 0xff, 0xff, 0xff,                            /* timestamp delta: -10 */
    0xff, 0xff, 0xff, 0xff,                            /* key: null, headers follow */
    2, 0, 0, 0,                                        /* header count */
    4, 0, 0, 0, 3, 0, 0, 0,                            /* name size, value size */
    'n', 'a', 'm', 'e', 'x', 'y', 'z',                 /* name, value */
    3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'n', 'i', 'l', /* a null value */
    0, 0};

static const rill_header known_headers[] = {{{"name", 4}, {"xyz", 3}}, {{"nil", 3}, {NULL, 0}}};

static struct batch make_known_batch(uint8_t *room, size_t size)
{
    rill_record last = record_of((rill_bytes){NULL, 0}, (rill_bytes){NULL, 0}, 990);
    struct batch batch;

    last.headers = known_headers;
    last.header_count = 2;
    memset(room, 0xa5, size);
    rill__batch_init(&batch, room, size);
    add(&batch, record_of(TEXT("k1"), TEXT("value-one"), 1000));
    add(&batch, last);
    rill__batch_seal(&batch);
    rill__batch_stamp(batch.data, batch.content, SALT, 7, 3);
    return batch;
}

static void bytes_are_as_specified(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    struct batch batch = make_known_batch(room, sizeof room);
    (void)state;

    assert_int_equal(batch.size, 64 + 32 + 48);
    assert_memory_equal(room + 8, known_bytes + 8, 64 + 32 + 46 - 8);
    for (size_t i = 64 + 32 + 46; i < batch.size; i++) assert_int_equal(room[i], 0);
    for (size_t i = batch.size; i < sizeof room; i++) assert_int_equal(room[i], 0xa5);
}

static void checksum_is_as_specified(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    struct batch batch = make_known_batch(room, sizeof room);
    (void)state;

    assert_int_equal(batch.content, rill__checksum(room + 20, batch.size - 20));
    assert_memory_equal(room, known_bytes, 8);
    assert_true(rill__batch_verify(
        &(struct batch_view){
            .data = room, .length = (uint32_t)batch.size, .base_offset = 7, .epoch = 3},
        SALT));
}

static void known_bytes_are_read(void **state)
{
    _Alignas(8) uint8_t data[144] = {0};
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    struct batch_view view;
    rill_record record;
    (void)state;

    memcpy(data, known_bytes, 142);
    view = view_of(data, sizeof data);
    assert_true(rill__batch_verify(&view, SALT));
    assert_int_equal(view.record_count, 2);
    assert_int_equal(view.base_offset, 7);
    assert_int_equal(view.end_offset, 9);
    assert_int_equal(view.base_time, 1000);
    assert_int_equal(view.max_time, 1000);
    assert_int_equal(view.epoch, 3);
    record = next_record(&view, &walk);
    same_bytes(record.key, TEXT("k1"));
    same_bytes(record.value, TEXT("value-one"));
    assert_int_equal(record.offset, 7);
    assert_int_equal(record.leader_epoch, 3);
    assert_int_equal(record.timestamp_ms, 1000);
    assert_int_equal(record.header_count, 0);
    record = next_record(&view, &walk);
    same_bytes(record.key, (rill_bytes){NULL, 0});
    same_bytes(record.value, (rill_bytes){NULL, 0});
    assert_int_equal(record.offset, 8);
    assert_int_equal(record.timestamp_ms, 990);
    assert_int_equal(record.header_count, 2);
    no_more_records(&view, &walk);
}

static void null_and_empty_differ(void **state)
{
    static const rill_bytes parts[] = {{NULL, 0}, {"", 0}, {"x", 1}};
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    struct batch_view view;
    struct batch batch;
    (void)state;

    rill__batch_init(&batch, room, sizeof room);
    for (int i = 0; i < 9; i++) add(&batch, record_of(parts[i / 3], parts[i % 3], 5));
    rill__batch_seal(&batch);
    view = view_of(room, sizeof room);
    for (int i = 0; i < 9; i++) {
        rill_record record = next_record(&view, &walk);
        same_bytes(record.key, parts[i / 3]);
        same_bytes(record.value, parts[i % 3]);
    }
    no_more_records(&view, &walk);
}

static void headers_come_back_in_order(void **state)
{
    const rill_header headers[] = {{TEXT("a"), TEXT("1")},
                                   {TEXT(""), TEXT("no name")},
                                   {TEXT("a"), {NULL, 0}},
                                   {TEXT("empty"), TEXT("")},
                                   {TEXT("b\0c"), TEXT("\0\xff")}};
    rill_record record = record_of(TEXT("key"), TEXT("value"), 5);
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    struct batch_view view;
    struct batch batch;
    rill_header got;
    (void)state;

    record.headers = headers;
    record.header_count = 5;
    rill__batch_init(&batch, room, sizeof room);
    add(&batch, record);
    rill__batch_seal(&batch);
    view = view_of(room, sizeof room);
    record = next_record(&view, &walk);
    assert_int_equal(record.header_count, 5);
    for (size_t i = 0; i < 5; i++) {
        OK(rill__record_header(record.raw, i, &got));
        same_bytes(got.name, headers[i].name);
        same_bytes(got.value, headers[i].value);
    }
    FAILS(RILL_ERR_RANGE, rill__record_header(record.raw, 5, &got));
}

static void record_without_headers_has_none(void **state)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    struct batch_view view;
    struct batch batch;
    rill_record record;
    rill_header got;
    (void)state;

    rill__batch_init(&batch, room, sizeof room);
    add(&batch, record_of(TEXT("key"), TEXT("value"), 5));
    rill__batch_seal(&batch);
    view = view_of(room, sizeof room);
    record = next_record(&view, &walk);
    FAILS(RILL_ERR_RANGE, rill__record_header(record.raw, 0, &got));
}

static void reserved_value_is_aligned_zeros(void **state)
{
    rill_record record = record_of(TEXT("key"), (rill_bytes){NULL, 13}, 5);
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    uint8_t *value = NULL;
    struct batch_view view;
    struct batch batch;
    (void)state;

    memset(room, 0xa5, sizeof room);
    rill__batch_init(&batch, room, sizeof room);
    add(&batch, record_of(TEXT("odd"), TEXT("size"), 5));
    assert_true(rill__batch_add(&batch, &record, 5, &value));
    assert_int_equal((uintptr_t)value % 8, 0);
    for (int i = 0; i < 13; i++) assert_int_equal(value[i], 0);
    memcpy(value, "filled later.", 13);
    rill__batch_seal(&batch);
    view = view_of(room, sizeof room);
    next_record(&view, &walk);
    record = next_record(&view, &walk);
    same_bytes(record.key, TEXT("key"));
    same_bytes(record.value, TEXT("filled later."));
}

static rill_bytes random_part(struct test_random *random, const uint8_t *pool)
{
    size_t size = test_random_below(random, 40);

    if (test_random_below(random, 8) == 0) return (rill_bytes){NULL, 0};
    return (rill_bytes){pool + test_random_below(random, 1000), size};
}

static void any_records_come_back(void **state)
{
    struct test_random random = test_random_seeded(1);
    _Alignas(8) uint8_t room[ROOM];
    uint8_t pool[1040];
    rill_record records[60];
    rill_header headers[60][3];
    struct batch_view view;
    struct batch batch;
    (void)state;

    for (size_t i = 0; i < sizeof pool; i++) pool[i] = (uint8_t)test_random_next(&random);
    rill__batch_init(&batch, room, sizeof room);
    for (int round = 0; round < 300; round++) {
        struct record_walk walk = {BATCH_HEADER_SIZE, 0};
        uint32_t count = 0;
        rill__batch_reset(&batch);
        for (; count < 60; count++) {
            rill_record *r = &records[count];
            *r = record_of(random_part(&random, pool), random_part(&random, pool),
                           1000000 + (int64_t)test_random_below(&random, 2000000));
            r->headers = headers[count];
            r->header_count = test_random_below(&random, 4);
            for (size_t h = 0; h < r->header_count; h++) {
                headers[count][h].name = (rill_bytes){pool + h, test_random_below(&random, 9)};
                headers[count][h].value = random_part(&random, pool);
            }
            if (!rill__batch_add(&batch, r, 1, NULL)) break;
        }
        rill__batch_seal(&batch);
        view = view_of(room, batch.size);
        assert_int_equal(view.record_count, count);
        for (uint32_t i = 0; i < count; i++) {
            rill_record got = next_record(&view, &walk);
            rill_header header;
            same_bytes(got.key, records[i].key);
            same_bytes(got.value, records[i].value);
            assert_int_equal(got.timestamp_ms, records[i].timestamp_ms);
            assert_true(got.timestamp_ms <= view.max_time);
            assert_int_equal(got.header_count, records[i].header_count);
            for (size_t h = 0; h < got.header_count; h++) {
                OK(rill__record_header(got.raw, h, &header));
                same_bytes(header.name, headers[i][h].name);
                same_bytes(header.value, headers[i][h].value);
            }
        }
        no_more_records(&view, &walk);
    }
}

static uint8_t *put_sparse_record(uint8_t *at, uint32_t delta, const char *value, bool header)
{
    uint32_t value_size = (uint32_t)strlen(value);
    size_t used = RECORD_SPARSE_HEADER_SIZE + value_size + 1 + (header ? 4 + 8 + 2 : 0);

    memset(at, 0, ROUND_UP_8(used));
    rill__put32(at + RECORD_SIZE_AT, (uint32_t)ROUND_UP_8(used));
    rill__put32(at + RECORD_VALUE_SIZE_AT, value_size);
    rill__put32(at + RECORD_TIME_AT, delta);
    rill__put32(at + RECORD_KEY_SIZE_AT, 1 | (header ? RECORD_HAS_HEADERS : 0));
    rill__put32(at + RECORD_SPARSE_AT, delta);
    memcpy(at + RECORD_SPARSE_HEADER_SIZE, value, value_size);
    at[RECORD_SPARSE_HEADER_SIZE + value_size] = 'K';
    if (header) {
        uint8_t *h = at + RECORD_SPARSE_HEADER_SIZE + value_size + 1;
        rill__put32(h, 1);
        rill__put32(h + 4, 1);
        rill__put32(h + 8, 1);
        h[12] = 'N';
        h[13] = 'V';
    }
    return at + ROUND_UP_8(used);
}

/* Records at 100, 105 and 109 of a batch that once went up to 112. */
static size_t make_sparse_batch(uint8_t *room, size_t size)
{
    uint8_t *end = room + BATCH_HEADER_SIZE;
    struct batch batch;

    rill__batch_init(&batch, room, size);
    add(&batch, record_of((rill_bytes){NULL, 0}, TEXT("x"), 1000));
    rill__batch_seal(&batch);
    end = put_sparse_record(end, 0, "first", false);
    end = put_sparse_record(end, 5, "second value", true);
    end = put_sparse_record(end, 9, "", true);
    rill__put32(room + BATCH_LENGTH_AT, (uint32_t)(end - room));
    rill__put32(room + BATCH_COUNT_AT, 3);
    rill__put32(room + BATCH_LAST_DELTA_AT, 12);
    rill__put16(room + BATCH_ATTRIBUTES_AT, BATCH_SPARSE);
    rill__batch_stamp(room, rill__checksum(room + 20, (size_t)(end - room) - 20), SALT, 100, 4);
    return (size_t)(end - room);
}

static void sparse_batch_is_read(void **state)
{
    static const struct {
        int64_t offset;
        const char *value;
        size_t header_count;
    } want[] = {{100, "first", 0}, {105, "second value", 1}, {109, "", 1}};
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    struct batch_view view = {0};
    rill_header header;
    (void)state;

    view = view_of(room, make_sparse_batch(room, sizeof room));
    assert_true(rill__batch_verify(&view, SALT));
    assert_int_equal(view.end_offset, 113);
    for (size_t i = 0; i < 3; i++) {
        rill_record record = next_record(&view, &walk);
        assert_int_equal(record.offset, want[i].offset);
        assert_int_equal(record.timestamp_ms, 1000 + want[i].offset - 100);
        assert_int_equal((uintptr_t)record.value.data % 8, 0);
        same_bytes(record.value, (rill_bytes){want[i].value, strlen(want[i].value)});
        same_bytes(record.key, TEXT("K"));
        assert_int_equal(record.header_count, want[i].header_count);
        if (record.header_count == 0) continue;
        OK(rill__record_header(record.raw, 0, &header));
        same_bytes(header.name, TEXT("N"));
        same_bytes(header.value, TEXT("V"));
    }
    no_more_records(&view, &walk);
}

/* What is moved no longer needs the batch. */
static void a_moved_record_is_whole(void **state)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    _Alignas(8) uint8_t to[64];
    struct batch_view view;
    rill_record record;
    rill_header header;
    (void)state;

    view = view_of(room, make_sparse_batch(room, sizeof room));
    next_record(&view, &walk);
    record = next_record(&view, &walk);
    assert_in_range(rill__record_raw_size(record.raw), 1, sizeof to);
    rill__record_move(&record, rill__record_raw_size(record.raw), to);
    memset(room, 0xff, sizeof room);
    same_bytes(record.value, TEXT("second value"));
    same_bytes(record.key, TEXT("K"));
    assert_int_equal(record.offset, 105);
    assert_int_equal((const uint8_t *)record.value.data - to, 24);
    OK(rill__record_header(record.raw, 0, &header));
    same_bytes(header.name, TEXT("N"));
    same_bytes(header.value, TEXT("V"));
}

static void sparse_batch_may_not_be_shorter_than_its_count(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    size_t size = make_sparse_batch(room, sizeof room);
    struct batch_view view;
    const char *why;
    (void)state;

    rill__put32(room + BATCH_LAST_DELTA_AT, 1);
    assert_int_equal(rill__batch_view(room, size, &view, &why), BATCH_BAD);
    rill__put32(room + BATCH_LAST_DELTA_AT, UINT32_C(0x80000000));
    assert_int_equal(rill__batch_view(room, size, &view, &why), BATCH_BAD);
    rill__put32(room + BATCH_LAST_DELTA_AT, 2);
    assert_int_equal(rill__batch_view(room, size, &view, &why), BATCH_VALID);
}

static void sparse_batch_may_be_empty(void **state)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    struct batch_view view;
    const char *why;
    (void)state;

    make_sparse_batch(room, sizeof room);
    rill__put32(room + BATCH_LENGTH_AT, BATCH_HEADER_SIZE);
    rill__put32(room + BATCH_COUNT_AT, 0);
    view = view_of(room, BATCH_HEADER_SIZE);
    assert_int_equal(view.end_offset, 113);
    no_more_records(&view, &walk);
    rill__put32(room + BATCH_LAST_DELTA_AT, 0);
    view = view_of(room, BATCH_HEADER_SIZE);
    assert_int_equal(view.end_offset, 101);
    rill__put32(room + BATCH_LENGTH_AT, BATCH_HEADER_SIZE + 8); /* has no use for more */
    assert_int_equal(rill__batch_view(room, ROOM, &view, &why), BATCH_BAD);
    rill__put32(room + BATCH_LENGTH_AT, BATCH_HEADER_SIZE);
    rill__put32(room + BATCH_COUNT_AT, 1);
    assert_int_equal(rill__batch_view(room, ROOM, &view, &why), BATCH_BAD);
    rill__put32(room + BATCH_COUNT_AT, 0);
    rill__put16(room + BATCH_ATTRIBUTES_AT, 0);
    assert_int_equal(rill__batch_view(room, ROOM, &view, &why), BATCH_BAD);
}

static void walk_is_bad_at(const struct batch_view *view, uint32_t index)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record = RILL_RECORD_INIT;
    bool bad;

    while (rill__record_next(view, &walk, &record, &bad)) {}
    assert_true(bad);
    assert_int_equal(walk.index, index);
}

/* The three records are 32, 56 and 40 bytes long. */
static void sparse_records_must_be_in_order(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    size_t size = make_sparse_batch(room, sizeof room);
    struct batch_view view = view_of(room, size);
    (void)state;

    rill__put32(room + 64 + 32 + RECORD_SPARSE_AT, 0);
    walk_is_bad_at(&view, 0);
    rill__put32(room + 64 + 32 + RECORD_SPARSE_AT, 9);
    walk_is_bad_at(&view, 1);
    rill__put32(room + 64 + 32 + RECORD_SPARSE_AT, 5);
    rill__put32(room + 64 + 32 + 56 + RECORD_SPARSE_AT, 13); /* behind the batch's end */
    walk_is_bad_at(&view, 2);
    rill__put32(room + 64 + 32 + 56 + RECORD_SPARSE_AT, 12);
    rill__put32(room + 64 + 32 + RECORD_SIZE_AT, 80); /* the next one's head is cut off */
    walk_is_bad_at(&view, 1);
}

static void only_a_tombstone_has_a_stamp(void **state)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    size_t size = make_sparse_batch(room, sizeof room);
    struct batch_view view = view_of(room, size);
    rill_record record;
    (void)state;

    rill__put32(room + 64 + RECORD_STAMP_AT, 1);
    walk_is_bad_at(&view, 0);
    rill__put32(room + 64 + RECORD_VALUE_SIZE_AT, RECORD_NULL_VALUE);
    record = next_record(&view, &walk);
    assert_null(record.value.data);
    assert_int_equal(record.offset, 100);
}

static void no_time_means_now(void **state)
{
    rill_record record = record_of((rill_bytes){NULL, 0}, TEXT("v"), 0);
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    struct batch_view view;
    struct batch batch;
    (void)state;

    rill__batch_init(&batch, room, sizeof room);
    assert_true(rill__batch_add(&batch, &record, 12345, NULL));
    rill__batch_seal(&batch);
    view = view_of(room, sizeof room);
    assert_int_equal(next_record(&view, &walk).timestamp_ms, 12345);
}

static void times_may_go_back_and_the_largest_counts(void **state)
{
    static const int64_t times[] = {-500, -700, 800, -501, 799};
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    struct batch_view view;
    struct batch batch;
    (void)state;

    rill__batch_init(&batch, room, sizeof room);
    for (int i = 0; i < 5; i++) add(&batch, record_of(TEXT("k"), TEXT("v"), times[i]));
    rill__batch_seal(&batch);
    view = view_of(room, sizeof room);
    assert_int_equal(view.base_time, -500);
    assert_int_equal(view.max_time, 800);
    for (int i = 0; i < 5; i++)
        assert_int_equal(next_record(&view, &walk).timestamp_ms, times[i]);
}

/* A record at `second` does or does not go into a batch that begins at first. */
static void check_distance(int64_t first, int64_t second, bool fits)
{
    rill_record record = record_of(TEXT("k"), TEXT("v"), second);
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    _Alignas(8) uint8_t room[ROOM];
    struct batch_view view;
    struct batch batch;
    size_t size;

    rill__batch_init(&batch, room, sizeof room);
    add(&batch, record_of(TEXT("k"), TEXT("v"), first));
    size = batch.size;
    assert_int_equal(rill__batch_add(&batch, &record, 1, NULL), fits);
    rill__batch_seal(&batch);
    view = view_of(room, sizeof room);
    next_record(&view, &walk);
    if (fits) {
        assert_int_equal(next_record(&view, &walk).timestamp_ms, second);
    } else {
        assert_int_equal(batch.size, size);
        assert_int_equal(view.max_time, first);
    }
    no_more_records(&view, &walk);
}

static void times_are_within_24_days(void **state)
{
    const int64_t now = INT64_C(1700000000000);
    (void)state;
    check_distance(now, now + INT32_MAX, true);
    check_distance(now, now + INT32_MAX + INT64_C(1), false);
    check_distance(now, now + INT32_MIN, true);
    check_distance(now, now + INT32_MIN - INT64_C(1), false);
    check_distance(INT64_MIN, INT64_MAX, false);
    check_distance(INT64_MAX, INT64_MIN, false);
    check_distance(INT64_MAX, INT64_MAX - 5, true);
}

static void record_fits_exactly_or_not_at_all(void **state)
{
    rill_record record = record_of(TEXT("key"), TEXT("eleven byte"), 5);
    size_t need = rill__batch_size_of(&record);
    (void)state;

    assert_int_equal(need, 64 + 32);
    for (size_t size = 0; size <= need + 8; size++) {
        uint8_t *room = malloc(size == 0 ? 1 : size);
        struct batch batch;
        assert_non_null(room);
        rill__batch_init(&batch, room, size);
        assert_int_equal(rill__batch_add(&batch, &record, 1, NULL), size >= need);
        assert_int_equal(batch.size, size >= need ? need : 0);
        assert_int_equal(batch.record_count, size >= need ? 1 : 0);
        free(room);
    }
}

static void beyond_the_format_has_no_size(void **state)
{
    rill_record record = record_of(TEXT("k"), (rill_bytes){"", (size_t)1 << 30}, 5);
    rill_header headers[2] = {{{"", (size_t)1 << 29}, {"", 0}}, {{"", (size_t)1 << 29}, {"", 0}}};
    (void)state;

    assert_int_equal(rill__record_stored_size(&record), 0);
    assert_int_equal(rill__batch_size_of(&record), 0);
    record.value.size = ((size_t)1 << 30) - 17;
    assert_int_equal(rill__record_stored_size(&record), (size_t)1 << 30);
    record.value.size = SIZE_MAX;
    assert_int_equal(rill__record_stored_size(&record), 0);
    record = record_of(TEXT("k"), TEXT("v"), 5);
    record.headers = headers;
    record.header_count = 2;
    assert_int_equal(rill__record_stored_size(&record), 0);
    headers[1].name.size = 0;
    headers[1].value.size = SIZE_MAX;
    assert_int_equal(rill__record_stored_size(&record), 0);
}

static void verifies_only_in_its_place(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    struct batch batch = make_known_batch(room, sizeof room);
    struct batch_view view = view_of(room, batch.size);
    (void)state;

    assert_true(rill__batch_verify(&view, SALT));
    for (int bit = 0; bit < 64; bit++)
        assert_false(rill__batch_verify(&view, SALT ^ UINT64_C(1) << bit));
    for (int bit = 0; bit < 63; bit++) {
        rill__put64(room + BATCH_BASE_OFFSET_AT, 7 ^ UINT64_C(1) << bit);
        view = view_of(room, batch.size);
        assert_false(rill__batch_verify(&view, SALT));
    }
    rill__put64(room + BATCH_BASE_OFFSET_AT, 7);
    for (int bit = 0; bit < 31; bit++) {
        rill__put32(room + BATCH_EPOCH_AT, 3 ^ UINT32_C(1) << bit);
        view = view_of(room, batch.size);
        assert_false(rill__batch_verify(&view, SALT));
    }
}

static void restamped_batch_verifies_only_in_its_new_place(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    struct batch batch = make_known_batch(room, sizeof room);
    struct batch_view view;
    (void)state;

    rill__batch_stamp(room, batch.content, SALT + 1, 1000, 9);
    view = view_of(room, batch.size);
    assert_int_equal(view.base_offset, 1000);
    assert_int_equal(view.epoch, 9);
    assert_true(rill__batch_verify(&view, SALT + 1));
    assert_false(rill__batch_verify(&view, SALT));
}

/* The known batch with size bytes at `at` set to value. */
static void check_refused(size_t at, size_t size, uint64_t value)
{
    _Alignas(8) uint8_t room[ROOM];
    struct batch batch = make_known_batch(room, sizeof room);
    struct batch_view view;
    const char *why = NULL;

    for (size_t i = 0; i < size; i++) room[at + i] = (uint8_t)(value >> (8 * i));
    if (rill__batch_view(room, batch.size, &view, &why) != BATCH_BAD)
        fail_msg("%zu bytes at %zu set to %#llx: not refused", size, at,
                 (unsigned long long)value);
    assert_non_null(why);
}

static void impossible_headers_are_refused(void **state)
{
    (void)state;
    check_refused(BATCH_LENGTH_AT, 4, 143);
    check_refused(BATCH_LENGTH_AT, 4, 64);
    check_refused(BATCH_LENGTH_AT, 4, 56);
    check_refused(BATCH_LENGTH_AT, 4, 8);
    check_refused(BATCH_LENGTH_AT, 4, 152);
    check_refused(BATCH_LENGTH_AT, 4, 0xfffffff8);
    check_refused(BATCH_LENGTH_AT, 4, 0);
    check_refused(BATCH_COUNT_AT, 4, 0);
    check_refused(BATCH_COUNT_AT, 4, 1);
    check_refused(BATCH_COUNT_AT, 4, (144 - 64) / 16 + 1);
    check_refused(BATCH_COUNT_AT, 4, UINT32_MAX);
    check_refused(BATCH_LAST_DELTA_AT, 4, 0);
    check_refused(BATCH_LAST_DELTA_AT, 4, 2);
    check_refused(BATCH_BASE_OFFSET_AT, 8, UINT64_MAX);
    check_refused(BATCH_BASE_OFFSET_AT, 8, INT64_MAX - 1);
    check_refused(BATCH_EPOCH_AT, 4, UINT32_MAX);
    for (int bit = 7; bit < 16; bit++) check_refused(BATCH_ATTRIBUTES_AT, 2, UINT64_C(1) << bit);
}

static void zeros_are_no_batch(void **state)
{
    _Alignas(8) uint8_t room[ROOM] = {0};
    struct batch_view view;
    const char *why;
    (void)state;
    for (size_t size = 0; size <= sizeof room; size += 8)
        assert_int_equal(rill__batch_view(room, size, &view, &why), BATCH_NONE);
}

static volatile uint64_t touched; /* so that no read is optimized away */

/* Reads all that a reader could be led to by these bytes. */
static uint64_t touch(rill_bytes bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.size; i++) sum += ((const uint8_t *)bytes.data)[i];
    return sum;
}

static uint64_t touch_everything(const struct batch_view *view)
{
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record = RILL_RECORD_INIT;
    rill_header header;
    uint64_t sum = 0;
    bool bad;

    while (rill__record_next(view, &walk, &record, &bad)) {
        sum += touch(record.key) + touch(record.value);
        for (size_t i = 0; i < record.header_count; i++) {
            if (rill__record_header(record.raw, i, &header) != 0) break;
            sum += touch(header.name) + touch(header.value);
        }
        rill__record_header(record.raw, SIZE_MAX, &header);
    }
    return sum;
}

/* The bytes, in a block of just their size, never verify; walking them all the
 * same stays inside, which is for the address sanitizer to see. */
static bool check_never_verifies(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size);
    struct batch_view view;
    const char *why;
    bool valid;

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    valid = rill__batch_view(exact, size, &view, &why) == BATCH_VALID;
    if (valid) {
        assert_true(view.length <= size);
        assert_false(rill__batch_verify(&view, SALT));
        touched = touch_everything(&view);
    }
    free(exact);
    return valid;
}

static void truncated_batch_is_refused(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    struct batch batch = make_known_batch(room, sizeof room);
    (void)state;
    for (size_t size = 1; size < batch.size; size++)
        assert_false(check_never_verifies(room, size));
}

/* As a crash leaves it: the first bytes are there, the rest is zero. */
static void torn_batch_never_verifies(void **state)
{
    _Alignas(8) uint8_t whole[ROOM];
    _Alignas(8) uint8_t torn[ROOM];
    struct batch batch = make_known_batch(whole, sizeof whole);
    (void)state;

    for (size_t size = 0; size < batch.size; size++) {
        memcpy(torn, whole, batch.size);
        memset(torn + size, 0, batch.size - size);
        if (memcmp(torn, whole, batch.size) != 0) check_never_verifies(torn, batch.size);
    }
}

static void single_bit_flips_never_verify(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    size_t sizes[2];
    (void)state;

    for (int sparse = 0; sparse < 2; sparse++) {
        sizes[0] = make_known_batch(room, sizeof room).size;
        sizes[1] = make_sparse_batch(room, sizeof room);
        if (sparse == 0) make_known_batch(room, sizeof room);
        for (size_t bit = 0; bit < sizes[sparse] * 8; bit++) {
            room[bit / 8] ^= (uint8_t)(1 << bit % 8);
            check_never_verifies(room, sizes[sparse]);
            room[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void many_bit_flips_never_verify(void **state)
{
    struct test_random random = test_random_seeded(2);
    _Alignas(8) uint8_t whole[ROOM];
    _Alignas(8) uint8_t room[ROOM];
    size_t size = make_sparse_batch(whole, sizeof whole);
    (void)state;

    for (int round = 0; round < 20000; round++) {
        if (round == 10000) size = make_known_batch(whole, sizeof whole).size;
        memcpy(room, whole, size);
        for (uint64_t flips = 2 + test_random_below(&random, 7); flips > 0; flips--)
            room[test_random_below(&random, size)] ^=
                (uint8_t)(1 << test_random_below(&random, 8));
        if (memcmp(room, whole, size) != 0) check_never_verifies(room, size);
    }
}

static void random_bytes_never_verify(void **state)
{
    struct test_random random = test_random_seeded(3);
    _Alignas(8) uint8_t room[512];
    (void)state;

    for (int round = 0; round < 20000; round++) {
        size_t size = 1 + test_random_below(&random, sizeof room);
        for (size_t i = 0; i < size; i++) room[i] = (uint8_t)test_random_next(&random);
        check_never_verifies(room, size);
    }
}

/* A header that passes, so that the records' bytes are walked. */
static void put_passing_header(uint8_t *room, size_t size, struct test_random *random)
{
    bool sparse = test_random_below(random, 2) != 0;
    uint32_t count = 1 + (uint32_t)test_random_below(random, (size - 64) / (sparse ? 24 : 16));

    rill__put64(room + BATCH_BASE_OFFSET_AT, test_random_below(random, 1000));
    rill__put32(room + BATCH_EPOCH_AT, 1);
    rill__put32(room + BATCH_LENGTH_AT, (uint32_t)size);
    rill__put32(room + BATCH_COUNT_AT, count);
    rill__put32(room + BATCH_LAST_DELTA_AT, count - 1);
    rill__put16(room + BATCH_ATTRIBUTES_AT, sparse ? BATCH_SPARSE : 0);
}

/* A field of a record, as a size that may just be right, or far from it. */
static uint32_t random_size(struct test_random *random)
{
    switch (test_random_below(random, 4)) {
    case 0: return (uint32_t)test_random_below(random, 16) * 8;
    case 1: return UINT32_MAX - (uint32_t)test_random_below(random, 64);
    case 2: return UINT32_C(0x7fffffff) + (uint32_t)test_random_below(random, 16);
    default: return (uint32_t)test_random_below(random, 64);
    }
}

static void random_records_are_walked_inside_their_bytes(void **state)
{
    struct test_random random = test_random_seeded(4);
    _Alignas(8) uint8_t room[512];
    (void)state;

    for (int round = 0; round < 50000; round++) {
        size_t size = 88 + 8 * test_random_below(&random, (sizeof room - 88) / 8);
        for (size_t at = 0; at < size; at += 4) rill__put32(room + at, random_size(&random));
        put_passing_header(room, size, &random);
        assert_true(check_never_verifies(room, size));
    }
}

static void record_that_runs_out_of_its_batch_is_bad(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    struct batch batch = make_known_batch(room, sizeof room);
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    struct batch_view view = view_of(room, batch.size);
    rill_record record = RILL_RECORD_INIT;
    bool bad = false;
    (void)state;

    rill__put32(room + 64 + 32 + RECORD_SIZE_AT, 56);
    next_record(&view, &walk);
    assert_false(rill__record_next(&view, &walk, &record, &bad));
    assert_true(bad);
    rill__put32(room + 64 + 32 + RECORD_SIZE_AT, 40); /* and one that stops before the end */
    walk = (struct record_walk){BATCH_HEADER_SIZE, 0};
    next_record(&view, &walk);
    next_record(&view, &walk);
    assert_false(rill__record_next(&view, &walk, &record, &bad));
    assert_true(bad);
}

static void headers_that_run_out_of_their_record_are_corrupt(void **state)
{
    _Alignas(8) uint8_t room[ROOM];
    struct batch batch = make_known_batch(room, sizeof room);
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    struct batch_view view = view_of(room, batch.size);
    rill_record record;
    rill_header header;
    (void)state;

    rill__put32(room + 64 + 32 + 16 + 4, 1000); /* the first name's size */
    next_record(&view, &walk);
    record = next_record(&view, &walk);
    FAILS(RILL_ERR_CORRUPT, rill__record_header(record.raw, 0, &header));
    FAILS(RILL_ERR_CORRUPT, rill__record_header(record.raw, 1, &header));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_as_specified),
        cmocka_unit_test(checksum_is_as_specified),
        cmocka_unit_test(known_bytes_are_read),
        cmocka_unit_test(null_and_empty_differ),
        cmocka_unit_test(headers_come_back_in_order),
        cmocka_unit_test(record_without_headers_has_none),
        cmocka_unit_test(reserved_value_is_aligned_zeros),
        cmocka_unit_test(any_records_come_back),
        cmocka_unit_test(sparse_batch_is_read),
        cmocka_unit_test(a_moved_record_is_whole),
        cmocka_unit_test(sparse_batch_may_not_be_shorter_than_its_count),
        cmocka_unit_test(sparse_batch_may_be_empty),
        cmocka_unit_test(sparse_records_must_be_in_order),
        cmocka_unit_test(only_a_tombstone_has_a_stamp),
        cmocka_unit_test(no_time_means_now),
        cmocka_unit_test(times_may_go_back_and_the_largest_counts),
        cmocka_unit_test(times_are_within_24_days),
        cmocka_unit_test(record_fits_exactly_or_not_at_all),
        cmocka_unit_test(beyond_the_format_has_no_size),
        cmocka_unit_test(verifies_only_in_its_place),
        cmocka_unit_test(restamped_batch_verifies_only_in_its_new_place),
        cmocka_unit_test(impossible_headers_are_refused),
        cmocka_unit_test(zeros_are_no_batch),
        cmocka_unit_test(truncated_batch_is_refused),
        cmocka_unit_test(torn_batch_never_verifies),
        cmocka_unit_test(single_bit_flips_never_verify),
        cmocka_unit_test(many_bit_flips_never_verify),
        cmocka_unit_test(random_bytes_never_verify),
        cmocka_unit_test(random_records_are_walked_inside_their_bytes),
        cmocka_unit_test(record_that_runs_out_of_its_batch_is_bad),
        cmocka_unit_test(headers_that_run_out_of_their_record_are_corrupt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
