/*
 * What the files of a log hold, shown piece by piece, whatever they hold: batches of all
 * kinds, records that do not fit, entries that lead nowhere, files of any length; and
 * whoever is shown it may stop it, or have no memory left.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "faults.h"
#include "logs.h"
#include "log/check.h"
#include <errno.h>

enum { ITEMS_MAX = 200, STOP = 55 };

static struct {
    int count;
    int stop_at; /* the n-th item is answered by STOP; 0: none */
    int allocations;
    int allocate; /* the n-th fails; 0: none */
    rill_item items[ITEMS_MAX];
    char texts[ITEMS_MAX][500];
} shown;

static int show(void *arg, const rill_item *item)
{
    (void)arg;
    assert_in_range(shown.count, 0, ITEMS_MAX - 1);
    assert_non_null(item->text);
    shown.items[shown.count] = *item;
    snprintf(shown.texts[shown.count], sizeof shown.texts[0], "%s", item->text);
    return ++shown.count == shown.stop_at ? STOP : 0;
}

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    return ++shown.allocations == shown.allocate ? NULL : malloc(size);
}

static void *hook_resize(void *arg, void *block, size_t size)
{
    (void)arg;
    return ++shown.allocations == shown.allocate ? NULL : realloc(block, size);
}

static void hook_release(void *arg, void *block)
{
    (void)arg;
    free(block);
}

static int dump(const char *name, enum log_file_kind kind)
{
    const rill_allocator hooks = {hook_alloc, hook_resize, hook_release, NULL};
    struct file dir = test_log_directory();
    struct file file = FILE_NONE;
    struct heap heap;
    int rc;

    rill__heap_init(&heap, &hooks, 0);
    OK(rill__file_open(&dir, name, FILE_READ, &file));
    shown.count = 0;
    shown.allocations = 0;
    rc = rill__log_dump(&heap, &file, kind, show, NULL);
    rill__file_close(&file);
    rill__file_close(&dir);
    assert_int_equal(atomic_load(&heap.bytes), 0);
    return rc;
}

/* The first item with this in its text. */
static const rill_item *says(const char *text)
{
    for (int i = 0; i < shown.count; i++)
        if (strstr(shown.texts[i], text) != NULL) return &shown.items[i];
    for (int i = 0; i < shown.count; i++) fprintf(stderr, "  %s\n", shown.texts[i]);
    fail_msg("nothing says \"%s\"", text);
    return NULL;
}

/* It ends at any item, and without any memory, with what the reason was. */
static void can_be_stopped(const char *name, enum log_file_kind kind)
{
    int items;
    int allocations;

    OK(dump(name, kind));
    items = shown.count;
    allocations = shown.allocations;
    for (shown.stop_at = 1; shown.stop_at <= items; shown.stop_at++) {
        assert_int_equal(dump(name, kind), STOP);
        assert_int_equal(shown.count, shown.stop_at);
    }
    shown.stop_at = 0;
    for (shown.allocate = 1; shown.allocate <= allocations; shown.allocate++)
        FAILS(RILL_ERR_NO_MEMORY, dump(name, kind));
    shown.allocate = 0;
    faults_fail(FAULT_FSTAT, name, 2, EIO, FAULT_ONCE); /* the first opens it */
    FAILS(RILL_ERR_IO, dump(name, kind));
    assert_int_equal(shown.count, 0);
    faults_clear();
}

/* ---- A segment with batches of all kinds ------------------------------ */

#define SEGMENT "00000000000000000000.log"
#define INDEX "00000000000000000000.index"

static uint32_t positions[8]; /* of its batches, by their order */

static void append(struct log *log, int64_t producer, bool transactional)
{
    static _Alignas(8) uint8_t room[1024];
    rill_record record = RILL_RECORD_INIT;
    struct batch batch;
    int64_t offset;

    record.value = (rill_bytes){"a value of some bytes", 21};
    rill__batch_init(&batch, room, sizeof room);
    assert_true(rill__batch_add(&batch, &record, 1000, NULL));
    batch.producer_id = producer;
    if (producer >= 0) {
        batch.producer_epoch = 0;
        batch.base_sequence = 0;
        batch.checked = true;
    }
    if (transactional) batch.attributes |= BATCH_TRANSACTIONAL;
    rill__batch_seal(&batch);
    OK(rill__log_append(log, &batch, false, INT64_MAX, &offset));
}

static void make(struct test_log *t)
{
    struct batch_view view;

    append(t->log, -1, false);
    append(t->log, 7, true);
    OK(rill__log_end_transaction(t->log, 7, 0, true, false, INT64_MAX));
    append(t->log, -1, false);
    append(t->log, -1, false);
    for (int i = 0; i < 5; i++) positions[i] = test_position_of(t->log, i, &view);
    OK(rill__log_checkpoint(t->log));
    test_log_close(t);
}

static _Alignas(8) uint8_t bytes[4096];

static void put_batch(int i)
{
    uint8_t *b = bytes + positions[i];

    rill__batch_stamp(b, rill__batch_hash(b), rill__get64(bytes + SEGMENT_SALT_AT),
                      (int64_t)rill__get64(b + BATCH_BASE_OFFSET_AT),
                      (int32_t)rill__get32(b + BATCH_EPOCH_AT));
    test_write_file(test_path(SEGMENT), 0, bytes, sizeof bytes);
}

static uint8_t *take(int i)
{
    size_t size;
    uint8_t *all = test_read_file(test_path(SEGMENT), &size);

    assert_int_equal(size, sizeof bytes);
    memcpy(bytes, all, size);
    free(all);
    return bytes + positions[i];
}

static void batches_of_all_kinds_are_shown(void **state)
{
    struct test_log *t = *state;
    uint8_t *b;

    make(t);
    b = take(4);
    rill__batch_put_lost(b, positions[4] - positions[3], 4, 6, 0,
                         rill__get64(bytes + SEGMENT_SALT_AT));
    put_batch(4);
    OK(dump(SEGMENT, LOG_FILE_SEGMENT));
    assert_int_equal(says("batch [0, 1) of 1 records")->position, positions[0]);
    assert_int_equal(says(" transactional")->first, 1);
    says("producer 7 epoch 0 sequence 0");
    assert_int_equal(says(" control")->first, 2);
    assert_int_equal(says(" sparse")->end, 6);
    assert_int_equal(says("bytes of zeros")->sound, 1);
    can_be_stopped(SEGMENT, LOG_FILE_SEGMENT);
}

static void records_that_cannot_be_read_are_told(void **state)
{
    struct test_log *t = *state;
    uint8_t *b;

    make(t);
    b = take(0);
    rill__put32(b + BATCH_HEADER_SIZE + RECORD_VALUE_SIZE_AT, 5000);
    put_batch(0);
    b = take(3); /* of a codec of later */
    rill__put16(b + BATCH_ATTRIBUTES_AT, 5);
    rill__put32(b + BATCH_RAW_SIZE_AT, 4096);
    rill__put32(b + BATCH_PACKED_SIZE_AT, positions[4] - positions[3] - BATCH_PACKED_AT);
    put_batch(3);
    test_flip(test_path(SEGMENT), positions[4] + BATCH_HEADER_SIZE + 20, 1);
    OK(dump(SEGMENT, LOG_FILE_SEGMENT));
    assert_int_equal(says("record number 0 does not fit into its batch")->position, positions[0]);
    assert_int_equal(says("records: ")->position, positions[3]);
    assert_int_equal(says("; checksum does not match")->first, 4);
    can_be_stopped(SEGMENT, LOG_FILE_SEGMENT);
}

/* The length is not a multiple of anything, and what is behind the batches is not zero. */
static void a_file_of_any_length_is_shown_to_its_end(void **state)
{
    struct test_log *t = *state;
    int64_t at = 0;

    make(t);
    for (int more = 1; more < 80; more += 13) {
        at = 0;
        assert_int_equal(truncate(test_path(SEGMENT), 4096 + more), 0);
        test_write_file(test_path(SEGMENT), (uint64_t)(4096 + more - 1), "x", 1);
        OK(dump(SEGMENT, LOG_FILE_SEGMENT));
        for (int i = 0; i < shown.count; i++) {
            if (shown.items[i].kind == RILL_ITEM_RECORD) continue;
            assert_int_equal(shown.items[i].position, at);
            at += shown.items[i].size;
        }
        assert_int_equal(at, 4096 + more);
        says("bytes that are no batch");
    }
    /* Without its header too, whose salt two batches know. */
    test_flip(test_path(SEGMENT), SEGMENT_SALT_AT, 1);
    OK(dump(SEGMENT, LOG_FILE_SEGMENT));
    assert_int_equal(says("segment header: damaged (checksum)")->sound, 0);
    assert_int_equal(says("batch [0, 1)")->sound, 1);
    can_be_stopped(SEGMENT, LOG_FILE_SEGMENT);
    assert_int_equal(truncate(test_path(SEGMENT), 3), 0);
    OK(dump(SEGMENT, LOG_FILE_SEGMENT));
    assert_int_equal(says("cut short")->size, 3);
}

static void a_compacted_segment_says_so(void **state)
{
    struct test_log *t = *state;

    make(t);
    take(0);
    rill__put16(bytes + SEGMENT_VERSION_AT, 2);
    rill__put32(bytes + SEGMENT_FEATURES_AT, 1);
    rill__put64(bytes + SEGMENT_END_AT, 5);
    rill__put64(bytes + SEGMENT_CLEANED_AT, 5);
    rill__put32(bytes + SEGMENT_TOMBSTONE_AT, 77);
    rill__put64(bytes + SEGMENT_CHECKSUM_AT, rill__checksum(bytes, SEGMENT_CHECKSUM_AT));
    test_write_file(test_path(SEGMENT), 0, bytes, sizeof bytes);
    OK(dump(SEGMENT, LOG_FILE_SEGMENT));
    assert_int_equal(says("compacted up to 5, cleaned through 5, oldest tombstone 77s")->end, 5);
}

/* ---- Indexes and control files ---------------------------------------- */

static void put_index_header(uint64_t at, const void *data, size_t size)
{
    size_t whole;
    uint8_t *h = test_read_file(test_path(INDEX), &whole);

    memcpy(h + at, data, size);
    rill__put64(h + INDEX_CHECKSUM_AT, rill__checksum(h, INDEX_CHECKSUM_AT));
    test_write_file(test_path(INDEX), 0, h, INDEX_HEADER_SIZE);
    free(h);
}

static void entries_that_cannot_be_are_told(void **state)
{
    struct test_log *t = *state;

    test_append_segments(t->log, 2);
    test_log_close(t);
    can_be_stopped(INDEX, LOG_FILE_INDEX);
    OK(dump(INDEX, LOG_FILE_INDEX));
    assert_int_equal(says("offset 0 is at byte 128")->sound, 1);
    assert_int_equal(shown.items[2].sound, 1);
    test_flip(test_path(INDEX), INDEX_HEADER_SIZE + INDEX_ENTRY_SIZE + 7, 0x80);
    OK(dump(INDEX, LOG_FILE_INDEX));
    assert_int_equal(shown.items[2].sound, 0); /* beyond any segment */
    test_flip(test_path(INDEX), INDEX_HEADER_SIZE + INDEX_ENTRY_SIZE + 7, 0x80);
    /* Offsets have an end. */
    put_index_header(INDEX_BASE_AT, "\377\377\377\377\377\377\377\177", 8);
    OK(dump(INDEX, LOG_FILE_INDEX));
    assert_int_equal(shown.items[1].first, INT64_MAX);
    assert_int_equal(shown.items[2].end, RILL_OFFSET_NONE);
    put_index_header(INDEX_COUNT_AT, "\0\0\1\0", 4);
    OK(dump(INDEX, LOG_FILE_INDEX));
    assert_int_equal(says("it has no room for its entries")->sound, 0);
    put_index_header(INDEX_COUNT_AT, "\377\377\377\377", 4);
    OK(dump(INDEX, LOG_FILE_INDEX));
    assert_int_equal(says("not sealed")->sound, 1);
}

static void marks_that_cannot_be_are_told(void **state)
{
    struct test_log *t = *state;
    size_t size;
    uint8_t *control;

    make(t);
    can_be_stopped("control", LOG_FILE_CONTROL);
    control = test_read_file(test_path("control"), &size);
    rill__put32(control + MARK_A_AT + 44, 2); /* bits of later */
    rill__put64(control + MARK_A_AT + 56, rill__checksum(control + MARK_A_AT, 56));
    control[MARK_B_AT] ^= 1;
    test_write_file(test_path("control"), 0, control, size);
    OK(dump("control", LOG_FILE_CONTROL));
    assert_int_equal(shown.count, 3);
    assert_int_equal(shown.items[0].sound, 1);
    assert_int_equal(shown.items[1].sound, 0);
    assert_int_equal(shown.items[2].sound, 0);
    control[0] ^= 1;
    control[MARK_B_AT] ^= 1;
    control[MARK_B_AT + 20] ^= 1;
    test_write_file(test_path("control"), 0, control, size);
    OK(dump("control", LOG_FILE_CONTROL));
    assert_int_equal(says("they are of another layout")->sound, 0);
    assert_int_equal(shown.items[2].sound, 0);
    free(control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(batches_of_all_kinds_are_shown),
        WITH_LOG(records_that_cannot_be_read_are_told),
        WITH_LOG(a_file_of_any_length_is_shown_to_its_end),
        WITH_LOG(a_compacted_segment_says_so),
        WITH_LOG(entries_that_cannot_be_are_told),
        WITH_LOG(marks_that_cannot_be_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
