/*
 * Time look-up as Kafka defines it: the first record with a timestamp at or after
 * the one sought, whatever order they come in; in batches of every form: compressed
 * or not, with their own times or that of the append, with holes where compaction
 * was. And the time of an append is now, but never goes back in a segment.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "logs.h"
#include "os/sys.h"

enum { MODEL_MAX = 2000, ROOM = 4096 };

static int64_t clock_ms; /* what the wall clock says */

static int tell_clock(clockid_t clock, struct timespec *t)
{
    if (clock != CLOCK_REALTIME_COARSE) return clock_gettime(clock, t);
    t->tv_sec = clock_ms / 1000;
    t->tv_nsec = clock_ms % 1000 * 1000000;
    return 0;
}

/* ---- A log, and a search in it that cannot be wrong ---- */

struct model {
    struct test_log log;
    struct codec codec;
    struct test_random random;
    int64_t times[MODEL_MAX];
    bool gone[MODEL_MAX];
    int64_t count;
    int64_t base; /* of the segment that was appended to last */
    int64_t most; /* largest time in it */
};

static int set_up(void **state)
{
    struct model *m = calloc(1, sizeof *m);

    test_log_init(&m->log);
    OK(test_log_open(&m->log));
    rill__codec_init(&m->codec, &m->log.heap);
    clock_ms = 1000000;
    rill__sys.clock_gettime = tell_clock;
    *state = m;
    return 0;
}

static int tear_down(void **state)
{
    struct model *m = *state;

    rill__sys.clock_gettime = clock_gettime;
    rill__codec_deinit(&m->codec);
    test_log_deinit(&m->log);
    free(m);
    return 0;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static int64_t search(const struct model *m, int64_t time)
{
    for (int64_t i = 0; i < m->count; i++)
        if (!m->gone[i] && m->times[i] >= time) return i;
    return RILL_OFFSET_NONE;
}

static void check_time(struct log *log, const struct model *m, int64_t time)
{
    int64_t offset = -77;

    OK(rill__log_offset_for_time(log, time, &offset));
    if (offset != search(m, time))
        fail_msg("time %lld: offset %lld, expected %lld", (long long)time, (long long)offset,
                 (long long)search(m, time));
}

static void check_times(struct log *log, const struct model *m)
{
    int64_t least = 1;
    int64_t most = 1;

    for (int64_t i = 0; i < m->count; i++) {
        if (m->times[i] < least) least = m->times[i];
        if (m->times[i] > most) most = m->times[i];
        check_time(log, m, m->times[i]);
        check_time(log, m, m->times[i] + 1);
    }
    for (int64_t time = least - 3; time <= most + 3; time += 1 + (most - least) / 100)
        check_time(log, m, time);
    check_time(log, m, INT64_MIN);
    check_time(log, m, INT64_MAX);
}

/* Every record that is there has the time that the model says. */
static void check_records(struct model *m)
{
    _Alignas(8) static uint8_t room[ROOM];
    struct log *log = m->log.log;
    struct log_cursor cursor;
    struct batch_view view;
    rill_record record = RILL_RECORD_INIT;
    int64_t next = 0;
    bool bad;

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, 0));
    while (cursor.offset < m->count) {
        struct record_walk walk = {BATCH_HEADER_SIZE, 0};
        int64_t before = cursor.offset;
        OK(rill__cursor_next(&cursor, m->count, true, &view));
        rill__cursor_release(&cursor);
        if (cursor.offset == before || view.record_count == 0) continue;
        assert_true(rill__batch_room(&view) <= sizeof room);
        OK(rill__batch_records(&view, &m->codec, room, &view));
        while (rill__record_next(&view, &walk, &record, &bad)) {
            while (next < record.offset) assert_true(m->gone[next++]);
            assert_false(m->gone[next]);
            assert_int_equal(record.timestamp_ms, m->times[next]);
            next++;
        }
        assert_false(bad);
    }
    rill__cursor_deinit(&cursor);
}

/* ---- Batches of any form ---- */

static int any_code(struct model *m)
{
    static const int codes[] = {CODEC_NONE, CODEC_LZ4, CODEC_ZSTD};
    int code = codes[test_random_below(&m->random, 3)];

    return rill__codec_available(code) ? code : CODEC_NONE;
}

static void add_times(struct batch *batch, const int64_t *times, int count)
{
    for (int i = 0; i < count; i++) {
        rill_record record = RILL_RECORD_INIT;
        record.value = (rill_bytes){"a value that is one, a value that is one", 40};
        record.timestamp_ms = times[i];
        assert_true(rill__batch_add(batch, &record, clock_ms, NULL));
    }
    batch->attributes = 0;
}

/* By one of the three ways in. */
static void append_batch(struct model *m, struct batch *batch, const int64_t *times, int count,
                         int64_t *base)
{
    _Alignas(8) static uint8_t room[ROOM];
    struct log *log = m->log.log;
    uint64_t way = test_random_below(&m->random, 3);
    struct batch packed;
    struct batch in_place;
    uint8_t *place;
    int code = any_code(m);

    batch->attributes = rill__log_attributes(log);
    if (way == 2) {
        OK(rill__log_reserve(log, batch->size, INT64_MAX, &place));
        rill__batch_init(&in_place, place, batch->size);
        add_times(&in_place, times, count);
        in_place.attributes = batch->attributes;
        rill__batch_seal(&in_place);
        OK(rill__log_commit(log, &in_place, base));
        batch->append_ms = in_place.append_ms;
        return;
    }
    rill__batch_init(&packed, room, sizeof room);
    if (code != CODEC_NONE) OK(rill__batch_seal_packed(batch, &m->codec, code, 0, &packed));
    if (packed.size == 0) {
        rill__batch_seal(batch);
        OK(rill__log_append(log, batch, way == 1, INT64_MAX, base));
    } else {
        OK(rill__log_append(log, &packed, way == 1, INT64_MAX, base));
        batch->append_ms = packed.append_ms;
    }
}

static void append_times(struct model *m, const int64_t *times, int count)
{
    _Alignas(8) static uint8_t room[ROOM];
    struct log *log = m->log.log;
    struct batch batch;
    int64_t base;
    int64_t segment;

    rill__batch_init(&batch, room, sizeof room);
    add_times(&batch, times, count);
    append_batch(m, &batch, times, count, &base);
    assert_int_equal(base, m->count);
    OK(rill__log_base_of(log, base, &segment));
    if (segment != m->base || m->count == 0) m->most = INT64_MIN;
    m->base = segment;
    if (rill__log_attributes(log) != 0) {
        assert_int_equal(batch.append_ms, clock_ms > m->most ? clock_ms : m->most);
    } else {
        assert_int_equal(batch.append_ms, 0);
    }
    for (int i = 0; i < count; i++) {
        int64_t time = batch.append_ms != 0 ? batch.append_ms : times[i];
        m->times[m->count++] = time;
        if (time > m->most) m->most = time;
    }
}

static void set_type(struct model *m, uint32_t type)
{
    m->log.config.timestamp_type = type;
    rill__log_configure(m->log.log, &m->log.config);
}

static void append_some(struct model *m, int64_t until)
{
    int64_t times[8];

    while (m->count < until) {
        int count = 1 + (int)test_random_below(&m->random, 8);
        if (test_random_below(&m->random, 12) == 0)
            set_type(m, RILL_TIMESTAMP_CREATE + (uint32_t)test_random_below(&m->random, 2));
        clock_ms += (int64_t)test_random_below(&m->random, 100) -
                    (test_random_below(&m->random, 6) == 0 ? 300 : 10);
        for (int i = 0; i < count; i++)
            times[i] = clock_ms + (int64_t)test_random_below(&m->random, 900) - 450;
        append_times(m, times, count);
    }
}

static void remove_indexes(struct test_log *t)
{
    int64_t base = 0;

    while (base >= 0) {
        unlink(test_segment_path(base, "index"));
        OK(rill__log_base_after(t->log, base, &base));
    }
}

static void check_in_every_state(struct model *m)
{
    struct test_log *t = &m->log;
    struct log *other = test_log_second(t);

    check_records(m);
    check_times(t->log, m);
    check_times(other, m);
    rill__log_close(other);
    OK(test_log_restart(t));
    check_times(t->log, m);
    OK(rill__log_checkpoint(t->log));
    OK(test_log_reboot(t));
    check_records(m);
    check_times(t->log, m);
    remove_indexes(t);
    OK(test_log_restart(t));
    check_times(t->log, m);
}

static void any_times_in_batches_of_any_form(void **state)
{
    struct model *m = *state;
    bool slow = getenv("RILL_TEST_SLOW") != NULL;

    m->random = test_random_seeded(1);
    append_some(m, slow ? 200 : 600);
    check_in_every_state(m);
    append_some(m, slow ? 250 : 700); /* what it found after all that, it goes on with */
    check_records(m);
    check_times(m->log.log, m);
}

/* The mark is at the start: all is found by scanning. */
static void times_come_back_when_nothing_was_marked(void **state)
{
    struct model *m = *state;

    m->random = test_random_seeded(2);
    append_some(m, 300);
    OK(test_log_reboot(&m->log));
    check_records(m);
    check_times(m->log.log, m);
    append_some(m, 330);
    check_times(m->log.log, m);
}

/* ---- With holes ---- */

static uint64_t content_of(const uint8_t *data, size_t size)
{
    if ((rill__get16(data + 62) & 8) == 0) return rill__checksum(data + 20, size - 20);
    return rill__checksum(data + 48, size - 48) ^ rill__mix64(rill__checksum(data + 20, 20));
}

/* The same batch without some of its records, into `to`; its size. */
static size_t thin_out(struct model *m, const struct batch_view *stored, uint64_t salt,
                       uint8_t *to)
{
    _Alignas(8) static uint8_t room[ROOM];
    _Alignas(8) static uint8_t sparse[ROOM];
    struct batch batch;
    struct batch packed;
    struct batch_view view;
    struct record_walk walk = {BATCH_HEADER_SIZE, 0};
    rill_record record = RILL_RECORD_INIT;
    uint8_t *at = sparse + BATCH_HEADER_SIZE;
    uint64_t keep = test_random_below(&m->random, 4);
    uint32_t kept = 0;
    int code = any_code(m);
    bool bad;

    OK(rill__batch_records(stored, &m->codec, room, &view));
    while (rill__record_next(&view, &walk, &record, &bad)) {
        size_t size = ROUND_UP_8(RECORD_SPARSE_HEADER_SIZE + record.value.size);
        if (test_random_below(&m->random, 3) >= keep) {
            m->gone[record.offset] = true;
            continue;
        }
        memset(at, 0, size);
        rill__put32(at + RECORD_SIZE_AT, (uint32_t)size);
        rill__put32(at + RECORD_VALUE_SIZE_AT, (uint32_t)record.value.size);
        rill__put32(at + RECORD_TIME_AT, (uint32_t)(record.timestamp_ms - view.base_time));
        rill__put32(at + RECORD_KEY_SIZE_AT, RECORD_NULL_KEY);
        rill__put32(at + RECORD_SPARSE_AT, (uint32_t)(record.offset - view.base_offset));
        memcpy(at + RECORD_SPARSE_HEADER_SIZE, record.value.data, record.value.size);
        at += size;
        kept++;
    }
    rill__batch_init(&batch, sparse, sizeof sparse);
    batch.size = (size_t)(at - sparse);
    batch.record_count = kept;
    batch.base_time = view.base_time;
    batch.max_time = view.max_time; /* may be larger than any that is left */
    batch.attributes = (uint16_t)(BATCH_SPARSE | (view.attributes & BATCH_APPEND_TIME));
    rill__batch_init(&packed, to, ROOM);
    if (code != CODEC_NONE && kept > 0)
        OK(rill__batch_seal_packed(&batch, &m->codec, code, 0, &packed));
    if (packed.size == 0) {
        rill__batch_seal(&batch);
        memcpy(to, sparse, batch.size);
        packed.size = batch.size;
    }
    rill__put32(to + BATCH_LAST_DELTA_AT, (uint32_t)(view.end_offset - view.base_offset - 1));
    rill__batch_stamp(to, content_of(to, packed.size), salt, view.base_offset, view.epoch);
    return packed.size;
}

static void thin_out_segment(struct model *m, int64_t base)
{
    _Alignas(8) static uint8_t out[4096];
    size_t size;
    uint8_t *in = test_read_file(test_segment_path(base, "log"), &size);
    uint64_t salt = rill__get64(in + SEGMENT_SALT_AT);
    size_t at = SEGMENT_HEADER_SIZE;
    size_t to = SEGMENT_HEADER_SIZE;

    memset(out, 0, sizeof out);
    memcpy(out, in, SEGMENT_HEADER_SIZE);
    for (;;) {
        _Alignas(8) static uint8_t room[ROOM];
        struct batch_view view;
        const char *why;
        size_t part;
        if (rill__batch_view(in + at, size - at, &view, &why) != BATCH_VALID) break;
        part = thin_out(m, &view, salt, room);
        assert_true(to + part <= sizeof out);
        memcpy(out + to, room, part);
        at += view.length;
        to += part;
    }
    test_write_file(test_segment_path(base, "log"), 0, out, sizeof out);
    free(in);
}

static void times_in_what_compaction_left(void **state)
{
    struct model *m = *state;
    struct test_log *t = &m->log;
    int64_t bases[100];
    int count = 0;
    int64_t base = 0;

    m->random = test_random_seeded(3);
    append_some(m, 500);
    OK(rill__log_checkpoint(t->log));
    while (base >= 0) {
        bases[count++] = base;
        OK(rill__log_base_after(t->log, base, &base));
    }
    assert_true(count > 3);
    test_log_close(t);
    for (int i = 0; i < count - 1; i++) { /* their indexes now point to nothing */
        thin_out_segment(m, bases[i]);
        if (test_random_below(&m->random, 3) == 0) unlink(test_segment_path(bases[i], "index"));
    }
    t->config.incarnation++;
    OK(test_log_open(t));
    check_records(m);
    check_times(t->log, m);
    OK(test_log_reboot(t));
    check_records(m);
    check_times(t->log, m);
}

/* ---- The time of an append ---- */

static void time_never_goes_back_in_a_segment(void **state)
{
    struct model *m = *state;
    int64_t own = 5;

    set_type(m, RILL_TIMESTAMP_APPEND);
    clock_ms = 2000000;
    append_times(m, &own, 1);
    assert_int_equal(m->times[0], 2000000);
    clock_ms = 1500000; /* it was wrong */
    append_times(m, &own, 1);
    assert_int_equal(m->times[1], 2000000);
    clock_ms = 2000001;
    append_times(m, &own, 1);
    assert_int_equal(m->times[2], 2000001);
    clock_ms = 1500000;
    while (m->base == 0) append_times(m, &own, 1);
    assert_int_equal(m->times[m->count - 1], 1500000); /* a new segment, a new beginning */
    check_records(m);
    check_times(m->log.log, m);
}

/* Where damage hides the largest time, now is as good as any. */
static void time_after_damage_is_now(void **state)
{
    struct model *m = *state;
    struct test_log *t = &m->log;
    int64_t own = 5;
    struct batch_view view;

    set_type(m, RILL_TIMESTAMP_APPEND);
    clock_ms = 3000000;
    append_times(m, &own, 1);
    OK(rill__log_checkpoint(t->log));
    test_flip(test_segment_path(0, "log"), SEGMENT_HEADER_SIZE + BATCH_MAX_TIME_AT, 1);
    OK(test_log_reboot(t));
    {
        _Alignas(8) static uint8_t room[ROOM];
        struct batch batch;
        int64_t base;
        clock_ms = 2500000;
        rill__batch_init(&batch, room, sizeof room);
        add_times(&batch, &own, 1);
        batch.attributes = rill__log_attributes(t->log);
        rill__batch_seal(&batch);
        OK(rill__log_append(t->log, &batch, false, INT64_MAX, &base));
        assert_int_equal(batch.append_ms, 2500000);
        test_position_of(t->log, base, &view);
        assert_int_equal(view.max_time, 2500000);
    }
}

/* Half an append of a batch with a time in it is cut like any other. */
static void torn_time_is_cut(void **state)
{
    struct model *m = *state;
    struct test_log *t = &m->log;
    int64_t own = 5;
    struct batch_view view;
    uint32_t position;

    set_type(m, RILL_TIMESTAMP_APPEND);
    for (int i = 0; i < 3; i++) append_times(m, &own, 1);
    position = test_position_of(t->log, 2, &view);
    test_flip(test_segment_path(0, "log"), position + BATCH_MAX_TIME_AT + 2, 4);
    OK(test_log_reboot(t));
    assert_int_equal(rill__log_end(t->log), 2);
    m->count = 2;
    check_records(m);
    check_times(t->log, m);
}

/* ---- What goes wrong in a search ---- */

static void search_needs_memory_and_gives_it_back(void **state)
{
    _Alignas(8) static uint8_t plain[ROOM];
    _Alignas(8) static uint8_t room[ROOM];
    struct model *m = *state;
    struct heap *heap = &m->log.heap;
    int64_t times[8] = {10, 20, 30, 40, 50, 60, 70, 80};
    struct batch batch;
    struct batch packed;
    int64_t offset = -1;
    uint64_t before;

    for (int code = CODEC_LZ4; code <= CODEC_ZSTD; code++) {
        if (!rill__codec_available(code)) continue;
        rill__batch_init(&batch, plain, sizeof plain);
        rill__batch_init(&packed, room, sizeof room);
        for (int i = 0; i < 8; i++) times[i] += 100;
        add_times(&batch, times, 8);
        OK(rill__batch_seal_packed(&batch, &m->codec, code, 0, &packed));
        OK(rill__log_append(m->log.log, &packed, false, INT64_MAX, &offset));
        for (int i = 0; i < 8; i++) m->times[m->count++] = times[i];
        check_time(m->log.log, m, times[5]);
        before = atomic_load(&heap->bytes);
        check_time(m->log.log, m, times[6]);
        assert_int_equal(atomic_load(&heap->bytes), before);
        for (uint64_t more = 0; more < (code == CODEC_ZSTD ? 2000u : 200u); more += 100) {
            heap->bytes_max = before + more;
            offset = -1;
            FAILS(RILL_ERR_NO_MEMORY, rill__log_offset_for_time(m->log.log, times[3], &offset));
            assert_int_equal(atomic_load(&heap->bytes), before);
        }
        heap->bytes_max = 0;
        check_time(m->log.log, m, times[3]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_times_in_batches_of_any_form),
        TEST(times_come_back_when_nothing_was_marked),
        TEST(times_in_what_compaction_left),
        TEST(time_never_goes_back_in_a_segment),
        TEST(time_after_damage_is_now),
        TEST(torn_time_is_cut),
        TEST(search_needs_memory_and_gives_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
