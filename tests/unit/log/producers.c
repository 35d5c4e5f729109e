/*
 * The table of producers knows, whatever batches it is shown and however it came to
 * them, the last five of each producer, what its next sequence is, who is fenced, and
 * where the earliest open transaction begins.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/format.h"
#include "log/producers.h"
#include "testing.h"

static struct heap heap;
static struct producers table;

static int set_up(void **state)
{
    (void)state;
    rill__heap_init(&heap, NULL, 0);
    rill__producers_init(&table, &heap);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rill__producers_deinit(&table);
    assert_int_equal(heap.bytes, 0);
    return 0;
}

static struct batch_view data(int64_t id, int epoch, int32_t sequence, uint32_t count)
{
    return (struct batch_view){.record_count = count,
                               .base_offset = table.end,
                               .end_offset = table.end + count,
                               .max_time = table.end,
                               .producer_id = id,
                               .producer_epoch = (int16_t)epoch,
                               .base_sequence = sequence};
}

static void note(struct batch_view view)
{
    assert_int_equal(rill__producers_note(&table, &view), 0);
}

static void note_txn(int64_t id, int epoch, int32_t sequence, uint32_t count)
{
    struct batch_view view = data(id, epoch, sequence, count);
    view.attributes = BATCH_TRANSACTIONAL;
    note(view);
}

static void note_end(int64_t id, int epoch, bool commit)
{
    _Alignas(8) uint8_t room[BATCH_MARKER_SIZE];
    struct batch_view view;
    struct batch batch;
    const char *why;

    rill__batch_marker(&batch, room, id, (int16_t)epoch, commit, 7);
    rill__batch_stamp(room, batch.content, 1, table.end, 1);
    assert_int_equal(rill__batch_view(room, batch.size, &view, &why), BATCH_VALID);
    assert_true(rill__batch_verify(&view, 1));
    assert_int_equal(rill__batch_is_commit(&view), commit);
    note(view);
}

static void note_marker(int64_t id, int epoch)
{
    note_end(id, epoch, true);
}

static void is(enum producer_verdict verdict, int64_t id, int epoch, int32_t sequence,
               uint32_t count, int64_t offset)
{
    int64_t found = -7;

    assert_int_equal(rill__producers_check(&table, id, (int16_t)epoch, sequence, count, &found),
                     verdict);
    assert_int_equal(found, verdict == PRODUCER_DUPLICATE ? offset : -7);
}

static void the_last_five_are_known(void **state)
{
    (void)state;
    is(PRODUCER_APPEND, 1, 0, 77, 1, 0); /* nothing is known: anything goes */
    assert_int_equal(rill__producers_expected(&table, 1), -1);
    for (int i = 0; i < 7; i++) note(data(1, 0, i * 10, 10));
    assert_int_equal(rill__producers_expected(&table, 1), 70);
    is(PRODUCER_APPEND, 1, 0, 70, 3, 0);
    for (int i = 2; i < 7; i++) is(PRODUCER_DUPLICATE, 1, 0, i * 10, 10, i * 10);
    is(PRODUCER_OUT_OF_ORDER, 1, 0, 10, 10, 0); /* too old to be known */
    is(PRODUCER_OUT_OF_ORDER, 1, 0, 71, 10, 0); /* a gap */
    is(PRODUCER_OUT_OF_ORDER, 1, 0, 60, 9, 0);  /* not the same batch */
    is(PRODUCER_OUT_OF_ORDER, 1, 0, 61, 9, 0);
    is(PRODUCER_APPEND, 2, 0, 5, 1, 0); /* another one */
    note(data(-1, -1, -1, 4));          /* none */
    assert_int_equal(table.count, 1);
    assert_int_equal(table.end, 74);
}

static void sequences_wrap(void **state)
{
    (void)state;
    note(data(1, 0, INT32_MAX - 1, 4)); /* ..., 2^31 - 2, 2^31 - 1, 0, 1 */
    assert_int_equal(rill__producers_expected(&table, 1), 2);
    is(PRODUCER_DUPLICATE, 1, 0, INT32_MAX - 1, 4, 0);
    note(data(1, 0, 2, INT32_MAX));
    assert_int_equal(rill__producers_expected(&table, 1), 1);
}

static void a_later_epoch_fences(void **state)
{
    (void)state;
    note(data(1, 3, 0, 2));
    is(PRODUCER_FENCED, 1, 2, 2, 1, 0);
    is(PRODUCER_DUPLICATE, 1, 4, 0, 2, 0); /* who takes it over may repeat the last batch */
    is(PRODUCER_APPEND, 1, 4, 2, 1, 0);
    note(data(1, 4, 2, 1));
    is(PRODUCER_FENCED, 1, 3, 3, 1, 0);
    note(data(1, 3, 3, 1)); /* was appended by a zombie in its log: the epoch stays */
    is(PRODUCER_FENCED, 1, 3, 4, 1, 0);
}

static void transactions_are_open_until_their_marker(void **state)
{
    (void)state;
    assert_int_equal(rill__producers_first_open(&table), INT64_MAX);
    note(data(9, 0, 0, 5));
    note_txn(1, 0, 0, 5); /* 5 */
    note_txn(2, 0, 0, 1); /* 10 */
    note_txn(1, 0, 5, 1); /* 11 */
    assert_int_equal(rill__producers_first_open(&table), 5);
    assert_int_equal(rill__producers_find(&table, 1)->open_first, 5);
    note_marker(1, 1); /* 12 */
    assert_int_equal(rill__producers_first_open(&table), 10);
    assert_int_equal(rill__producers_find(&table, 1)->open_first, -1);
    is(PRODUCER_FENCED, 1, 0, 6, 1, 0); /* late */
    is(PRODUCER_APPEND, 1, 1, 0, 1, 0); /* sequences begin anew */
    is(PRODUCER_APPEND, 1, 1, 1000, 1, 0);
    note_marker(2, 1);
    note_marker(2, 1); /* twice: nothing */
    assert_int_equal(rill__producers_first_open(&table), INT64_MAX);
    note_txn(2, 1, 0, 1);
    assert_int_equal(rill__producers_first_open(&table), 15);
}

static bool aborted_at(int64_t id, int64_t offset)
{
    struct batch_view view = {.base_offset = offset, .producer_id = id};
    return rill__producers_is_aborted(&table, &view);
}

/* Many interleaved transactions, against a plain list. */
static void aborted_ones_are_known(void **state)
{
    enum { PRODUCERS = 7, OFFSETS = 4000 };
    static int64_t owner[OFFSETS];
    static bool aborted[OFFSETS];
    int64_t first[PRODUCERS];
    uint64_t random = 3;

    (void)state;
    for (int i = 0; i < PRODUCERS; i++) first[i] = -1;
    while (table.end < OFFSETS - 1) {
        int64_t at = table.end;
        int id;
        random = random * UINT64_C(6364136223846793005) + 1;
        id = (int)((random >> 33) % PRODUCERS);
        owner[at] = id;
        aborted[at] = false;
        if (first[id] >= 0 && (random >> 40) % (id == 0 ? 300 : 4) == 0) {
            bool commit = (random >> 50) % 2 == 0;
            note_end(id, 1, commit);
            for (int64_t o = first[id]; o < at && !commit; o++)
                if (owner[o] == id) aborted[o] = true;
            first[id] = -1;
            owner[at] = -1;
        } else {
            note_txn(id, 1, -1, 1);
            if (first[id] < 0) first[id] = at;
        }
    }
    assert_true(table.aborted_count > 100);
    for (int64_t o = 0; o < table.end; o++) {
        if (owner[o] < 0) continue;
        assert_int_equal(aborted_at(owner[o], o), aborted[o]);
        assert_false(aborted_at(99, o));
    }
    rill__producers_trim(&table, 2000);
    for (int64_t o = 2000; o < table.end; o++)
        if (owner[o] >= 0) assert_int_equal(aborted_at(owner[o], o), aborted[o]);
    assert_true(table.aborted[0].last >= 2000);
    rill__producers_trim(&table, OFFSETS);
    assert_int_equal(table.aborted_count, 0);
    note_end(1, 5, false); /* nothing was open: nothing is aborted */
    rill__producers_clear(&table, table.end);
    note_end(1, 5, false);
    assert_int_equal(table.aborted_count, 0);
}

static void batches_are_taken_once(void **state)
{
    struct batch_view view = data(1, 0, 0, 2);

    (void)state;
    note(view);
    note(view); /* again: it is behind the end */
    assert_int_equal(rill__producers_find(&table, 1)->batch_count, 1);
    view = data(1, 0, 2, 2);
    view.base_offset = 100; /* what was before is gone */
    view.end_offset = 102;
    note(view);
    assert_int_equal(table.end, 102);
    is(PRODUCER_DUPLICATE, 1, 0, 2, 2, 100);
    rill__producers_clear(&table, 5);
    assert_int_equal(table.end, 5);
    assert_null(rill__producers_find(&table, 1));
    assert_null(rill__producers_find(&table, -1));
}

/* Against a plain array, with many producers, and expiry. */
static void many_producers(void **state)
{
    enum { PRODUCERS = 500 };
    static int32_t next[PRODUCERS];
    static int64_t last[PRODUCERS];
    uint64_t random = 1;

    (void)state;
    for (int i = 0; i < PRODUCERS; i++) {
        next[i] = 0;
        last[i] = -1;
    }
    for (int i = 0; i < 20000; i++) {
        int which;
        random = random * UINT64_C(6364136223846793005) + 1;
        which = (int)((random >> 33) % PRODUCERS);
        last[which] = table.end;
        note(data((int64_t)which * 1024, 0, next[which], 3));
        next[which] += 3;
        if (i % 4000 == 3999) {
            int64_t before = table.end - 3000;
            rill__producers_expire(&table, before);
            for (int p = 0; p < PRODUCERS; p++)
                if (last[p] < before) next[p] = 0;
        }
    }
    for (int i = 0; i < PRODUCERS; i++) {
        const struct producer_state *found = rill__producers_find(&table, (int64_t)i * 1024);
        if (next[i] == 0) {
            assert_null(found);
            continue;
        }
        assert_non_null(found);
        assert_int_equal(found->batches[0].base_offset, last[i]);
        assert_int_equal(rill__producers_expected(&table, (int64_t)i * 1024), next[i]);
    }
}

static void open_transactions_do_not_expire(void **state)
{
    (void)state;
    note_txn(1, 0, 0, 1);
    note(data(2, 0, 0, 1));
    rill__producers_expire(&table, 1000);
    assert_non_null(rill__producers_find(&table, 1));
    assert_null(rill__producers_find(&table, 2));
    assert_int_equal(table.count, 1);
    rill__producers_expire(&table, 1000);
    heap.bytes_max = 1; /* no memory: nothing is forgotten */
    note_marker(1, 1);
    rill__producers_expire(&table, 1000);
    assert_non_null(rill__producers_find(&table, 1));
    heap.bytes_max = 0;
}

static void no_memory_is_told(void **state)
{
    struct batch_view view = data(1, 0, 0, 1);

    (void)state;
    heap.bytes_max = 1;
    assert_int_equal(rill__producers_note(&table, &view), RILL_ERR_NO_MEMORY);
    assert_int_equal(table.end, 0);
    heap.bytes_max = 0;
    assert_int_equal(rill__producers_note(&table, &view), 0);
    assert_int_equal(table.end, 1);
}

/* ---- As a file -------------------------------------------------------- */

static uint8_t file[65536];

static size_t store(void)
{
    size_t size = rill__producers_stored_size(&table);

    assert_true(size <= sizeof file);
    rill__producers_store(&table, 42, file);
    return size;
}

static void reseal(size_t size)
{
    rill__put64(file + size - 8, rill__checksum(file, size - 8));
}

static void a_checkpoint_is_the_table(void **state)
{
    struct producers loaded;
    size_t size;

    (void)state;
    for (int i = 0; i < 9; i++) note(data(i % 3, 0, i / 3, 1));
    note_txn(7, 2, 0, 2);
    note_marker(8, 5);
    note_txn(3, 0, 0, 1);
    note_end(3, 1, false);
    size = store();
    rill__producers_init(&loaded, &heap);
    assert_true(rill__producers_load(&loaded, 42, file, size));
    assert_int_equal(loaded.end, table.end);
    assert_int_equal(loaded.count, table.count);
    for (int64_t id = 0; id < 9; id++) {
        const struct producer_state *a = rill__producers_find(&table, id);
        const struct producer_state *b = rill__producers_find(&loaded, id);
        assert_int_equal(a == NULL, b == NULL);
        if (a == NULL) continue;
        assert_int_equal(a->epoch, b->epoch);
        assert_int_equal(a->max_time, b->max_time);
        assert_int_equal(a->open_first, b->open_first);
        assert_int_equal(a->batch_count, b->batch_count);
        for (int i = 0; i < a->batch_count; i++) {
            assert_int_equal(a->batches[i].base_offset, b->batches[i].base_offset);
            assert_int_equal(a->batches[i].first, b->batches[i].first);
            assert_int_equal(a->batches[i].last, b->batches[i].last);
        }
    }
    /* The bytes, as they are specified. */
    assert_memory_equal(file, "RILLPRD1", 8);
    assert_int_equal(rill__get64(file + 8), 42);
    assert_int_equal(rill__get64(file + 16), table.end);
    assert_int_equal(rill__get32(file + 24), 6);
    assert_int_equal(rill__get32(file + 28), 1);
    assert_int_equal(size, 32 + 6 * 112 + 32 + 8);
    assert_int_equal(loaded.aborted_count, 1);
    assert_memory_equal(loaded.aborted, table.aborted, sizeof *table.aborted);
    rill__producers_deinit(&loaded);
}

static void other_bytes_are_refused(void **state)
{
    struct producers loaded;
    size_t size;

    (void)state;
    note(data(1, 0, 0, 1));
    size = store();
    rill__producers_init(&loaded, &heap);
    assert_false(rill__producers_load(&loaded, 43, file, size));
    for (size_t short_size = 0; short_size < size; short_size++)
        assert_false(rill__producers_load(&loaded, 42, file, short_size));
    for (size_t i = 0; i < size * 8; i++) {
        file[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(rill__producers_load(&loaded, 42, file, size));
        assert_int_equal(loaded.count, 0);
        file[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_true(rill__producers_load(&loaded, 42, file, size));

    /* Well sealed nonsense. */
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = {{16 + 7, 0x80},  {28, 1},         {7 + 32, 0x80}, {10 + 32, 6},
                {12 + 32, 1},    {24 + 32, 9},    {31 + 32, 1},   {32 + 32, 0x09},
                {32 + 39, 0x80}, {32 + 43, 0x80}, {32 + 47, 0x80}};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        uint8_t old = file[lies[i].at];
        if (lies[i].at == 24 + 32) memset(file + 24 + 32, 0, 8);
        if (lies[i].at == 31 + 32) memset(file + 24 + 32, 0, 8);
        file[lies[i].at] = lies[i].value;
        reseal(size);
        assert_false(rill__producers_load(&loaded, 42, file, size));
        file[lies[i].at] = old;
        memset(file + 24 + 32, 0xff, 8);
    }
    reseal(size);
    assert_true(rill__producers_load(&loaded, 42, file, size));
    rill__producers_clear(&table, 5);
    note_txn(1, 0, 0, 1);
    note_end(1, 1, false);
    note_txn(1, 1, 0, 1);
    note_end(1, 2, false);
    size = store();
    assert_true(rill__producers_load(&loaded, 42, file, size));
    for (size_t i = 0; i < 2; i++) { /* the two aborted ones, each byte that matters */
        static const size_t tops[] = {7, 15, 23, 31};
        for (size_t t = 0; t < 4; t++) {
            size_t at_byte = 32 + 112 + i * 32 + tops[t];
            uint8_t old = file[at_byte];
            file[at_byte] = 0x80;
            reseal(size);
            assert_false(rill__producers_load(&loaded, 42, file, size));
            file[at_byte] = old;
        }
    }
    memcpy(file + 32 + 112 + 32, file + 32 + 112, 32); /* not in order */
    reseal(size);
    assert_false(rill__producers_load(&loaded, 42, file, size));
    heap.bytes_max = 1;
    rill__producers_deinit(&loaded);
    assert_false(rill__producers_load(&loaded, 42, file, size)); /* no memory */
    heap.bytes_max = 0;
}

#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TABLE(the_last_five_are_known), WITH_TABLE(sequences_wrap),
        WITH_TABLE(a_later_epoch_fences),    WITH_TABLE(transactions_are_open_until_their_marker),
        WITH_TABLE(aborted_ones_are_known),  WITH_TABLE(batches_are_taken_once),
        WITH_TABLE(many_producers),          WITH_TABLE(open_transactions_do_not_expire),
        WITH_TABLE(no_memory_is_told),       WITH_TABLE(a_checkpoint_is_the_table),
        WITH_TABLE(other_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
