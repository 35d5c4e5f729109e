/*
 * Each kind of damage that the files of a log can have, with the words of this boot and
 * after another one: it is told as what it is; a repair makes of it a log that opens, and
 * has every record that it does not say is lost; and whatever fails, or stops it, on
 * the way, costs nothing more.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "damages.h"
#include "faults.h"
#include "log/verify.h"
#include "os/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- The log that is damaged ------------------------------------------ */

enum { BASES_MAX = 8 };
static struct {
    int64_t base[BASES_MAX];
    int count;
    int64_t end;
    int64_t durable;                  /* by the marks */
    uint32_t position[BASES_MAX][64]; /* of the batches of each segment */
    int batches[BASES_MAX];
    bool words; /* of this boot, and true */
} made;

enum boots {
    SAME_BOOT,   /* the words are there */
    MARK_AT_END, /* another boot; all is durable */
    MARK_BEFORE, /* another boot; the last segment is not durable but for some batches */
    BOOTS
};

static void learn_batches(struct test_log *t)
{
    struct log_cursor cursor;
    struct batch_view view;

    made.count = 0;
    memset(made.batches, 0, sizeof made.batches);
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 0));
    for (int64_t offset = 0; offset < made.end;) {
        OK(rill__cursor_next(&cursor, made.end, true, &view));
        rill__cursor_release(&cursor);
        if (view.record_count == 0) continue;
        if (cursor.position - view.length == SEGMENT_HEADER_SIZE)
            made.base[made.count++] = view.base_offset;
        made.position[made.count - 1][made.batches[made.count - 1]++] =
            cursor.position - view.length;
        offset = view.end_offset;
    }
    rill__cursor_deinit(&cursor);
}

/* Four segments, of which the first is of an earlier epoch. */
static void make(struct test_log *t, enum boots boots)
{
    test_log_close(t);
    damages_forget(); /* what was put aside is beside the directory */
    test_directory_remove();
    atomic_store(&t->mapped_bytes, 0);
    test_log_init(t);
    OK(test_log_open(t));
    test_append_segments(t->log, 1);
    OK(rill__log_checkpoint(t->log));
    OK(test_log_reboot(t));
    test_append_segments(t->log, 4);
    test_append_ok(t->log, 2, 100);
    test_append_ok(t->log, 1, 100);
    OK(rill__log_checkpoint(t->log));
    if (boots == MARK_AT_END || boots == MARK_BEFORE) OK(rill__log_checkpoint(t->log));
    made.durable = rill__log_end(t->log);
    if (boots != MARK_AT_END) test_append_ok(t->log, 2, 100);
    if (boots != MARK_AT_END) test_append_ok(t->log, 1, 100);
    made.end = rill__log_end(t->log);
    learn_batches(t);
    assert_int_equal(made.count, 4);
    test_log_close(t);
    if (boots != SAME_BOOT) t->config.boot_id[0]++;
    made.words = boots == SAME_BOOT;
    damages_keep();
}

/* ---- Bytes of it ------------------------------------------------------ */

static const char *log_of(int i)
{
    return test_segment_path(made.base[i], "log");
}

static const char *index_of(int i)
{
    return test_segment_path(made.base[i], "index");
}

static void read_at(const char *path, uint64_t at, void *data, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, data, size, (off_t)at), size);
    close(fd);
}

static void zero_at(const char *path, uint64_t at, size_t size)
{
    static const uint8_t zeros[4096];

    test_write_file(path, at, zeros, size);
}

static void remove_file(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void make_file(const char *name)
{
    fclose(fopen(test_path(name), "w"));
}

/* A segment's header with other bytes at a place, and the right checksum. */
static void put_header(int i, uint64_t at, const void *data, size_t size)
{
    uint8_t h[SEGMENT_HEADER_SIZE];

    read_at(log_of(i), 0, h, sizeof h);
    memcpy(h + at, data, size);
    rill__put64(h + SEGMENT_CHECKSUM_AT, rill__checksum(h, SEGMENT_CHECKSUM_AT));
    test_write_file(log_of(i), 0, h, sizeof h);
}

static void put_index_header(int i, uint64_t at, const void *data, size_t size)
{
    uint8_t h[INDEX_HEADER_SIZE];

    read_at(index_of(i), 0, h, sizeof h);
    memcpy(h + at, data, size);
    rill__put64(h + INDEX_CHECKSUM_AT, rill__checksum(h, INDEX_CHECKSUM_AT));
    test_write_file(index_of(i), 0, h, sizeof h);
}

static uint64_t salt_of(int i)
{
    uint8_t h[SEGMENT_HEADER_SIZE];

    read_at(log_of(i), 0, h, sizeof h);
    return rill__get64(h + SEGMENT_SALT_AT);
}

static uint32_t length_of(int i, int batch)
{
    uint8_t length[4];

    read_at(log_of(i), made.position[i][batch] + BATCH_LENGTH_AT, length, 4);
    return rill__get32(length);
}

static _Alignas(8) uint8_t batch_bytes[4096];

static void take_batch(int i, int batch)
{
    read_at(log_of(i), made.position[i][batch], batch_bytes, length_of(i, batch));
}

/* As if the library had written it there. */
static void put_batch(int i, uint32_t position, int64_t base, int32_t epoch)
{
    rill__batch_stamp(batch_bytes, rill__batch_hash(batch_bytes), salt_of(i), base, epoch);
    test_write_file(log_of(i), position, batch_bytes, rill__get32(batch_bytes + BATCH_LENGTH_AT));
}

static int64_t base_of_batch(void)
{
    return (int64_t)rill__get64(batch_bytes + BATCH_BASE_OFFSET_AT);
}

static int32_t epoch_of_batch(void)
{
    return (int32_t)rill__get32(batch_bytes + BATCH_EPOCH_AT);
}

/* ---- What happens to segments ----------------------------------------- */

static void a_bit_of_a_batch(void)
{
    test_flip(log_of(1), made.position[1][2] + BATCH_HEADER_SIZE + 40, 1);
}

static void the_length_of_a_batch(void)
{
    test_flip(log_of(1), made.position[1][2] + BATCH_LENGTH_AT, 0x80);
}

static void the_first_batch(void)
{
    test_flip(log_of(1), made.position[1][0] + BATCH_COUNT_AT, 1);
}

static void the_last_batch_of_a_segment(void)
{
    test_flip(log_of(1), made.position[1][made.batches[1] - 1] + BATCH_LENGTH_AT, 0x40);
}

static void the_last_durable_batch(void)
{
    test_flip(log_of(3), made.position[3][made.words ? made.batches[3] - 1 : 1] + 40, 1);
}

static void zeros_in_the_middle(void)
{
    zero_at(log_of(1), made.position[1][3], length_of(1, 3) + length_of(1, 4));
}

static void zeros_to_the_end_of_a_segment(void)
{
    zero_at(log_of(1), made.position[1][5], 4096 - made.position[1][5]);
}

static void zeros_in_the_last_segment(void)
{
    zero_at(log_of(3), made.position[3][0], length_of(3, 0));
}

static void zeros_from_the_last_segment_on(void)
{
    zero_at(log_of(3), made.position[3][1], 4096 - made.position[3][1]);
}

static void two_batches_change_places(void)
{
    uint32_t at = made.position[1][2];
    uint32_t two = length_of(1, 3);
    uint8_t first[4096];
    uint32_t one = length_of(1, 2);

    read_at(log_of(1), at, first, one);
    take_batch(1, 3);
    test_write_file(log_of(1), at, batch_bytes, two);
    test_write_file(log_of(1), at + two, first, one);
}

static void two_batches_of_the_last_change_places(void)
{
    uint32_t at = made.position[3][0];
    uint32_t two = length_of(3, 1);
    uint8_t first[4096];
    uint32_t one = length_of(3, 0);

    read_at(log_of(3), at, first, one);
    take_batch(3, 1);
    test_write_file(log_of(3), at, batch_bytes, two);
    test_write_file(log_of(3), at + two, first, one);
}

/* A batch behind that one which has its size. */
static uint32_t place_like(int i, int batch)
{
    int other = batch + 1;

    while (length_of(i, other) != length_of(i, batch)) other++;
    assert_true(other < made.batches[i]);
    return made.position[i][other];
}

static void a_batch_twice(void)
{
    take_batch(1, 2);
    test_write_file(log_of(1), place_like(1, 2), batch_bytes, length_of(1, 2));
}

static void a_batch_twice_and_of_two_epochs(void)
{
    take_batch(1, 2);
    put_batch(1, place_like(1, 2), base_of_batch(), epoch_of_batch() + 1);
}

static void an_epoch_that_goes_down(void)
{
    take_batch(1, 2);
    put_batch(1, made.position[1][2], base_of_batch(), epoch_of_batch() - 1);
}

static void an_epoch_below_that_of_the_segment_before(void)
{
    take_batch(2, 0);
    put_batch(2, made.position[2][0], base_of_batch(), 0);
}

static void an_offset_that_does_not_follow(void)
{
    take_batch(1, 2);
    put_batch(1, made.position[1][2], base_of_batch() + 1, epoch_of_batch());
}

static void a_record_that_is_larger_than_its_batch(void)
{
    take_batch(1, 2);
    rill__put32(batch_bytes + BATCH_HEADER_SIZE + RECORD_VALUE_SIZE_AT, 5000);
    put_batch(1, made.position[1][2], base_of_batch(), epoch_of_batch());
}

/* The record says that it has headers, and the bytes that count them are its value's. */
static void a_header_that_runs_out_of_its_record(void)
{
    uint8_t *record = batch_bytes + BATCH_HEADER_SIZE;

    take_batch(1, 2);
    rill__put32(record + RECORD_KEY_SIZE_AT,
                rill__get32(record + RECORD_KEY_SIZE_AT) | RECORD_HAS_HEADERS);
    rill__put32(record + RECORD_VALUE_SIZE_AT, 40);
    rill__put32(record + RECORD_HEADER_SIZE + 40, 1);
    rill__put32(record + RECORD_HEADER_SIZE + 44, 5000);
    put_batch(1, made.position[1][2], base_of_batch(), epoch_of_batch());
}

#ifdef RILL_HAVE_LZ4
static void records_that_cannot_be_decompressed(void)
{
    take_batch(1, 2);
    rill__put16(batch_bytes + BATCH_ATTRIBUTES_AT,
                (uint16_t)(rill__get16(batch_bytes + BATCH_ATTRIBUTES_AT) | CODEC_LZ4));
    rill__put32(batch_bytes + BATCH_RAW_SIZE_AT, 4096);
    rill__put32(batch_bytes + BATCH_PACKED_SIZE_AT, length_of(1, 2) - BATCH_PACKED_AT);
    put_batch(1, made.position[1][2], base_of_batch(), epoch_of_batch());
}
#endif

/* By a library that knows one more. */
static void put_unknown_codec(int batch)
{
    take_batch(1, batch);
    rill__put16(batch_bytes + BATCH_ATTRIBUTES_AT, 5);
    rill__put32(batch_bytes + BATCH_RAW_SIZE_AT, 4096);
    rill__put32(batch_bytes + BATCH_PACKED_SIZE_AT, length_of(1, batch) - BATCH_PACKED_AT);
    put_batch(1, made.position[1][batch], base_of_batch(), epoch_of_batch());
}

static void records_of_an_unknown_codec(void)
{
    put_unknown_codec(2);
    put_unknown_codec(3);
}

static void an_unknown_codec_and_a_damaged_batch(void)
{
    put_unknown_codec(3);
    a_bit_of_a_batch();
}

/* A range that an earlier repair has noted as lost. */
static void a_gap(void)
{
    uint32_t length = length_of(1, 2);

    take_batch(1, 2);
    rill__batch_put_lost(batch_bytes, length, base_of_batch(),
                         base_of_batch() + rill__get32(batch_bytes + BATCH_LAST_DELTA_AT) + 1,
                         epoch_of_batch(), salt_of(1));
    test_write_file(log_of(1), made.position[1][2], batch_bytes, length);
}

static void a_bit_of_a_header(void)
{
    test_flip(log_of(1), SEGMENT_CREATED_AT, 1);
}

static void the_first_bytes_of_a_header(void)
{
    test_flip(log_of(1), 0, 1);
}

static void a_header_and_its_index(void)
{
    test_flip(log_of(1), SEGMENT_SALT_AT, 1);
    remove_file(index_of(1));
}

static void a_header_and_a_bit_of_its_index(void)
{
    test_flip(log_of(1), SEGMENT_SALT_AT, 1);
    test_flip(index_of(1), INDEX_END_OFFSET_AT, 1);
}

static void a_header_and_the_magic_of_its_index(void)
{
    test_flip(log_of(1), SEGMENT_SALT_AT, 1);
    test_flip(index_of(1), 2, 1);
}

static void a_header_and_its_index_is_cut(void)
{
    test_flip(log_of(1), SEGMENT_SALT_AT, 1);
    assert_int_equal(truncate(index_of(1), 10), 0);
}

static void a_header_and_its_index_is_another_ones(void)
{
    uint8_t base[8];

    rill__put64(base, 7777);
    test_flip(log_of(1), SEGMENT_SALT_AT, 1);
    put_index_header(1, INDEX_BASE_AT, base, 8);
}

/* What the index says is whole, and not true. */
static void a_header_and_its_index_has_another_salt(void)
{
    test_flip(log_of(1), SEGMENT_SALT_AT, 1);
    put_index_header(1, INDEX_SALT_AT, "saltsalt", 8);
}

static void all_of_a_segment(void)
{
    zero_at(log_of(1), 0, 4096);
    remove_file(index_of(1));
}

static void the_header_of_the_last(void)
{
    test_flip(log_of(3), SEGMENT_SALT_AT, 1);
}

static void zeros_for_a_header(void)
{
    zero_at(log_of(1), 0, SEGMENT_HEADER_SIZE);
}

static void another_base(void)
{
    uint8_t base[8];

    rill__put64(base, 7777);
    put_header(1, SEGMENT_BASE_AT, base, 8);
}

static void another_topic(void)
{
    put_header(1, SEGMENT_TOPIC_AT, "another topic...", 16);
}

static void another_partition(void)
{
    put_header(1, SEGMENT_PARTITION_AT, "\1\0\0\0", 4);
}

static void the_last_ones_partition(void)
{
    put_header(3, SEGMENT_PARTITION_AT, "\1\0\0\0", 4);
}

static void say_compacted(int i, int64_t end)
{
    uint8_t bytes[8];

    rill__put64(bytes, (uint64_t)end);
    put_header(i, SEGMENT_VERSION_AT, "\2\0", 2);
    put_header(i, SEGMENT_FEATURES_AT, "\1\0\0\0", 4);
    put_header(i, SEGMENT_END_AT, bytes, 8);
    put_header(i, SEGMENT_CLEANED_AT, bytes, 8);
}

static void compacted_and_whole(void)
{
    say_compacted(1, made.base[2]);
}

static void compacted_and_ends_before_it_begins(void)
{
    say_compacted(1, made.base[1]);
}

static void compacted_with_a_damaged_batch(void)
{
    say_compacted(1, made.base[2]);
    a_bit_of_a_batch();
}

static void compacted_with_its_last_batch_damaged(void)
{
    say_compacted(1, made.base[2]);
    the_last_batch_of_a_segment();
}

/* It stands for the next one, too, and has not its records. */
static void compacted_over_the_next(void)
{
    say_compacted(1, made.base[3]);
    remove_file(log_of(2));
    remove_file(index_of(2));
}

/* The same, and the replaced one is there still. */
static void compacted_and_the_next_is_there(void)
{
    say_compacted(1, made.base[3]);
}

static void a_segment_is_missing(void)
{
    remove_file(log_of(1));
}

static void the_first_is_missing(void)
{
    remove_file(log_of(0));
}

static void the_last_is_missing(void)
{
    remove_file(log_of(3));
}

static void the_last_two_are_missing(void)
{
    remove_file(log_of(2));
    remove_file(log_of(3));
}

static void all_are_missing(void)
{
    for (int i = 0; i < made.count; i++) remove_file(log_of(i));
}

static void a_directory_in_its_place(void)
{
    remove_file(log_of(1));
    assert_int_equal(mkdir(log_of(1), 0700), 0);
}

static void cut_in_its_header(void)
{
    assert_int_equal(truncate(log_of(1), 100), 0);
}

static void cut_in_a_batch(void)
{
    assert_int_equal(truncate(log_of(1), made.position[1][3] + 50), 0);
}

static void longer_than_it_was(void)
{
    assert_int_equal(truncate(log_of(1), 10000), 0);
}

static void the_last_is_cut(void)
{
    assert_int_equal(truncate(log_of(3), made.position[3][1] + 8), 0);
}

static void the_last_is_empty(void)
{
    assert_int_equal(truncate(log_of(3), 0), 0);
}

static void a_newer_segment(void)
{
    put_header(1, SEGMENT_VERSION_AT, "\3\0", 2);
}

static void a_magic_of_later(void)
{
    put_header(1, 7, "2", 1);
}

/* ---- What happens to indexes ------------------------------------------ */

static void an_index_is_missing(void)
{
    remove_file(index_of(1));
}

static void an_index_that_cannot_be_opened(void)
{
    remove_file(index_of(1));
    assert_int_equal(symlink("nowhere", index_of(1)), 0);
}

static void an_index_is_cut(void)
{
    assert_int_equal(truncate(index_of(1), 63), 0);
}

static void an_index_without_room_for_its_entries(void)
{
    assert_int_equal(truncate(index_of(1), INDEX_HEADER_SIZE + INDEX_ENTRY_SIZE), 0);
}

static void an_index_larger_than_any(void)
{
    assert_int_equal(truncate(index_of(1), ((off_t)1 << 30) + 1), 0);
}

static void an_index_by_its_magic(void)
{
    test_flip(index_of(1), 3, 1);
}

static void an_index_by_its_checksum(void)
{
    test_flip(index_of(1), INDEX_COUNT_AT, 1);
}

static void an_index_by_its_reserved_bytes(void)
{
    put_index_header(1, INDEX_RESERVED_AT, "\1", 1);
}

static void an_index_of_another_salt(void)
{
    put_index_header(1, INDEX_SALT_AT, "saltsalt", 8);
}

static void an_index_of_another_base(void)
{
    put_index_header(1, INDEX_BASE_AT, "\1\1\1\1\0\0\0\0", 8);
}

static void an_index_that_was_never_sealed(void)
{
    put_index_header(1, INDEX_COUNT_AT, "\377\377\377\377", 4);
}

static void an_index_that_ends_elsewhere(void)
{
    put_index_header(1, INDEX_END_OFFSET_AT, "\1\0\0\0\0\0\0\0", 8);
}

static void an_index_that_ends_at_another_byte(void)
{
    put_index_header(1, INDEX_END_POSITION_AT, "\1\0\0\0", 4);
}

static void an_index_that_knows_no_late_records(void)
{
    put_index_header(1, INDEX_MAX_TIME_AT, "\1\0\0\0\0\0\0\0", 8);
}

static void an_entry_that_leads_nowhere(void)
{
    test_flip(index_of(1), INDEX_HEADER_SIZE + INDEX_ENTRY_SIZE + 4, 1);
}

static void an_entry_between_batches(void)
{
    test_flip(index_of(1), INDEX_HEADER_SIZE + 2 * INDEX_ENTRY_SIZE, 1);
}

static void an_entry_twice(void)
{
    uint8_t entry[INDEX_ENTRY_SIZE];

    read_at(index_of(1), INDEX_HEADER_SIZE, entry, sizeof entry);
    test_write_file(index_of(1), INDEX_HEADER_SIZE + INDEX_ENTRY_SIZE, entry, sizeof entry);
}

static void an_index_and_batches(void)
{
    zeros_in_the_middle();
    an_entry_between_batches();
}

static void the_index_of_the_last(void)
{
    remove_file(index_of(3));
}

static void every_index(void)
{
    for (int i = 0; i < made.count; i++) remove_file(index_of(i));
}

/* ---- What happens to the control file --------------------------------- */

static const char *control(void)
{
    return test_path("control");
}

static void a_mark(void)
{
    test_flip(control(), MARK_A_AT + 16, 1);
}

static void the_other_mark(void)
{
    test_flip(control(), MARK_B_AT + 16, 1);
}

static void both_marks(void)
{
    a_mark();
    the_other_mark();
}

static void both_marks_and_the_last_batch(void)
{
    both_marks();
    the_last_durable_batch();
}

static void both_marks_and_a_header(void)
{
    both_marks();
    the_header_of_the_last();
}

static void both_marks_and_a_segment(void)
{
    both_marks();
    a_segment_is_missing();
}

/* Of an odd or an even number, so that one or the other counts. */
static void change_mark_times(void (*spoil)(struct mark *), int times)
{
    struct file dir = test_log_directory();
    struct file file = FILE_NONE;
    struct mark mark;

    OK(rill__file_open(&dir, "control", FILE_WRITE, &file));
    OK(rill__mark_read(&file, &mark));
    spoil(&mark);
    for (int i = 0; i < times; i++) {
        mark.sequence++;
        OK(rill__mark_write(&file, &mark));
    }
    rill__file_close(&file);
    rill__file_close(&dir);
}

static void change_mark(void (*spoil)(struct mark *))
{
    change_mark_times(spoil, 2);
}

static void name_no_segment(struct mark *mark)
{
    mark->segment += 1;
}

static void name_no_batch(struct mark *mark)
{
    mark->position += 8;
}

static void name_no_record(struct mark *mark)
{
    mark->durable_end -= 1;
}

static void name_a_place_behind_the_file(struct mark *mark)
{
    mark->position = 1 << 20;
    mark->durable_end += 10;
}

static void a_mark_of_a_missing_segment(void)
{
    change_mark(name_no_segment);
}

static void a_mark_at_no_batch(void)
{
    change_mark(name_no_batch);
}

static void the_other_mark_of_a_missing_segment(void)
{
    change_mark_times(name_no_segment, 3);
}

static void the_other_mark_at_no_batch(void)
{
    change_mark_times(name_no_batch, 3);
}

static void name_what_is_far_away(struct mark *mark)
{
    mark->durable_end = INT64_C(3) << 32;
}

/* More records than one gap can stand for. */
static void a_mark_far_away(void)
{
    change_mark(name_what_is_far_away);
}

static void a_mark_in_a_batch(void)
{
    change_mark(name_no_record);
}

static void a_mark_behind_the_file(void)
{
    change_mark(name_a_place_behind_the_file);
}

static void no_control_file(void)
{
    remove_file(control());
}

static void a_control_file_that_is_cut(void)
{
    assert_int_equal(truncate(control(), 6000), 0);
}

static void a_directory_for_a_control_file(void)
{
    remove_file(control());
    assert_int_equal(mkdir(control(), 0700), 0);
}

static void no_control_file_and_no_last_segment(void)
{
    remove_file(control());
    remove_file(log_of(3));
}

static void nothing_at_all(void)
{
    all_are_missing();
    every_index();
    remove_file(control());
}

/* ---- What happens to the words ---------------------------------------- */

static _Alignas(128) uint8_t words_bytes[4096];

static struct control *words(void)
{
    read_at(control(), 0, words_bytes, sizeof words_bytes);
    return (struct control *)(void *)words_bytes;
}

static void put_words(void)
{
    test_write_file(control(), 0, words_bytes, sizeof words_bytes);
}

#define TAIL_WITH(name, change)                                                                  \
    static void name(void)                                                                       \
    {                                                                                            \
        struct control *c = words();                                                             \
        struct tail_copy tail;                                                                   \
        rill__control_tail(c, &tail);                                                            \
        change;                                                                                  \
        rill__control_set_tail(c, &tail);                                                        \
        put_words();                                                                             \
    }
#define WORDS_WITH(name, change)                                                                 \
    static void name(void)                                                                       \
    {                                                                                            \
        struct control *c = words();                                                             \
        change;                                                                                  \
        put_words();                                                                             \
    }

TAIL_WITH(a_base_below_all, tail.base = -2)
TAIL_WITH(an_end_below_zero, tail.end_offset = -1)
TAIL_WITH(an_epoch_below_zero, tail.epoch = -1)
TAIL_WITH(no_segment_and_an_end, tail.base = -1)
TAIL_WITH(no_segment_and_something_durable, (tail.base = -1, tail.end_offset = 0))
TAIL_WITH(an_end_before_the_segment, tail.end_offset = tail.base - 1)
TAIL_WITH(a_position_in_the_header, tail.position = 8)
TAIL_WITH(a_position_beyond_all, tail.position = (UINT32_C(1) << 30) + 8)
TAIL_WITH(an_end_before_what_is_durable, tail.end_offset = made.durable - 1)
WORDS_WITH(a_start_below_zero, atomic_store(&c->log_start, -1))
WORDS_WITH(a_start_behind_what_is_durable, atomic_store(&c->log_start, made.end + 1))
WORDS_WITH(durable_behind_the_end, atomic_store(&c->durable_end, made.end + 1))
WORDS_WITH(a_start_behind_that_of_the_marks, atomic_store(&c->log_start, 1))
WORDS_WITH(another_magic, c->magic++)
WORDS_WITH(another_abi, c->abi++)
WORDS_WITH(a_poison, atomic_store(&c->poison, (uint32_t)-RILL_ERR_IO))
WORDS_WITH(no_incarnation, atomic_store(&c->incarnation, 0))
TAIL_WITH(a_tail_that_is_short, tail.position -= 8)
TAIL_WITH(a_tail_that_is_long, tail.position += 8)
TAIL_WITH(a_tail_behind_the_file, tail.position = 5000)
TAIL_WITH(a_tail_with_more_records, tail.end_offset += 2)
TAIL_WITH(a_tail_with_more_of_all, (tail.end_offset += 2, tail.position += 200))
static void a_tail_behind_what_is_no_batch(void)
{
    a_tail_with_more_of_all();
    test_write_file(log_of(3),
                    made.position[3][made.batches[3] - 1] + length_of(3, made.batches[3] - 1),
                    "what a batch begins with, and is none", 37);
}

TAIL_WITH(a_tail_in_no_segment, tail.base += 1)
TAIL_WITH(a_tail_in_the_segment_before, (tail.base = made.base[2]))
TAIL_WITH(more_entries_than_there_are, tail.index_count = 4000)

/* The durable end is the words'; the marks have none, so the check knows no better. */
static void a_tail_before_the_end_and_no_marks(void)
{
    a_tail_that_is_short();
    both_marks();
}

/* ---- Other files ------------------------------------------------------ */

static void producers_that_do_not_load(void)
{
    make_file("producers");
    assert_int_equal(truncate(test_path("producers"), 100), 0);
}

static void producers_that_are_empty(void)
{
    make_file("producers");
}

static void producers_beyond_all_measure(void)
{
    make_file("producers");
    assert_int_equal(truncate(test_path("producers"), (off_t)65 << 20), 0);
}

static void a_file_of_nobody(void)
{
    make_file("letter");
}

static void a_file_with_the_name_of_an_index(void)
{
    make_file("0000000000000000000x.index");
}

static void an_index_without_its_segment(void)
{
    make_file("00000000000000077777.index");
}

static void what_was_not_finished(void)
{
    make_file("0.tmp");
    make_file(".tmp");
}

static void a_segment_behind_all(void)
{
    make_file("00000000000000077777.log");
}

static void a_roll_that_did_not_happen(void)
{
    char name[SEGMENT_NAME_SIZE];

    rill__segment_name(made.end, "log", name);
    make_file(name);
    assert_int_equal(truncate(test_path(name), 4096), 0);
}

static void what_is_behind_the_end(void)
{
    uint32_t end = made.position[3][made.batches[3] - 1] + length_of(3, made.batches[3] - 1);

    test_write_file(log_of(3), end, "what a batch begins with, and is none", 37);
}

/* ---- All of them ------------------------------------------------------ */

enum { ANY_BOOT, WORDS_ONLY, MARKS_ONLY };
#define E RILL_LOG_ERROR
#define W RILL_LOG_WARNING
#define I RILL_LOG_INFO
static const struct spoil {
    void (*spoil)(void);
    const char *name;
    int when;
    int32_t kind; /* 0: nothing is told */
    int32_t severity;
    int lost_max; /* records, after the repair */
} spoils[] = {
#define S(name, ...)                                                                             \
    {                                                                                            \
        name, #name, __VA_ARGS__                                                                 \
    }
    S(a_bit_of_a_batch, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(the_length_of_a_batch, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(the_first_batch, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(the_last_batch_of_a_segment, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(the_last_durable_batch, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(zeros_in_the_middle, ANY_BOOT, RILL_DAMAGE_BATCH, E, 6),
    S(zeros_to_the_end_of_a_segment, ANY_BOOT, RILL_DAMAGE_SEGMENT_MISSING, E, 40),
    S(zeros_in_the_last_segment, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(zeros_from_the_last_segment_on, ANY_BOOT, 0, E, 40),
    S(two_batches_change_places, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(two_batches_of_the_last_change_places, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(a_batch_twice, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(a_batch_twice_and_of_two_epochs, ANY_BOOT, RILL_DAMAGE_BATCH, E, 40),
    S(an_epoch_that_goes_down, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(an_epoch_below_that_of_the_segment_before, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(an_offset_that_does_not_follow, ANY_BOOT, RILL_DAMAGE_BATCH, E, 6),
    S(a_record_that_is_larger_than_its_batch, ANY_BOOT, RILL_DAMAGE_RECORD, E, 3),
    S(a_header_that_runs_out_of_its_record, ANY_BOOT, RILL_DAMAGE_RECORD, E, 3),
#ifdef RILL_HAVE_LZ4
    S(records_that_cannot_be_decompressed, ANY_BOOT, RILL_DAMAGE_RECORD, E, 3),
#endif
    S(records_of_an_unknown_codec, ANY_BOOT, RILL_DAMAGE_FORMAT, W, 0),
    S(an_unknown_codec_and_a_damaged_batch, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(a_gap, ANY_BOOT, RILL_DAMAGE_GAP, I, 3),
    S(a_bit_of_a_header, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(the_first_bytes_of_a_header, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(a_header_and_its_index, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(a_header_and_a_bit_of_its_index, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(a_header_and_the_magic_of_its_index, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(a_header_and_its_index_is_cut, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(a_header_and_its_index_is_another_ones, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(a_header_and_its_index_has_another_salt, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(all_of_a_segment, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 40),
    S(the_header_of_the_last, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(zeros_for_a_header, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 0),
    S(another_base, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 40),
    S(another_topic, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 40),
    S(another_partition, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 40),
    S(the_last_ones_partition, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 40),
    S(compacted_and_whole, ANY_BOOT, 0, I, 0),
    S(compacted_and_ends_before_it_begins, ANY_BOOT, RILL_DAMAGE_SEGMENT_HEADER, E, 40),
    S(compacted_with_a_damaged_batch, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(compacted_with_its_last_batch_damaged, ANY_BOOT, RILL_DAMAGE_BATCH, E, 3),
    S(compacted_over_the_next, ANY_BOOT, RILL_DAMAGE_BATCH, E, 40),
    S(compacted_and_the_next_is_there, ANY_BOOT, RILL_DAMAGE_BATCH, E, 40),
    S(a_segment_is_missing, ANY_BOOT, RILL_DAMAGE_SEGMENT_MISSING, E, 40),
    S(the_first_is_missing, ANY_BOOT, RILL_DAMAGE_SEGMENT_MISSING, E, 40),
    S(the_last_is_missing, ANY_BOOT, RILL_DAMAGE_SEGMENT_MISSING, E, 40),
    S(the_last_two_are_missing, ANY_BOOT, RILL_DAMAGE_SEGMENT_MISSING, E, 80),
    S(all_are_missing, ANY_BOOT, RILL_DAMAGE_SEGMENT_MISSING, E, 200),
    S(a_directory_in_its_place, ANY_BOOT, RILL_DAMAGE_UNREADABLE, E, 40),
    S(cut_in_its_header, ANY_BOOT, RILL_DAMAGE_SEGMENT_SIZE, E, 40),
    S(cut_in_a_batch, ANY_BOOT, RILL_DAMAGE_SEGMENT_SIZE, E, 40),
    S(longer_than_it_was, ANY_BOOT, RILL_DAMAGE_SEGMENT_SIZE, E, 0),
    S(the_last_is_cut, ANY_BOOT, RILL_DAMAGE_SEGMENT_SIZE, E, 40),
    S(the_last_is_empty, ANY_BOOT, RILL_DAMAGE_SEGMENT_SIZE, E, 40),
    S(a_newer_segment, ANY_BOOT, RILL_DAMAGE_FORMAT, E, 0),
    S(a_magic_of_later, ANY_BOOT, RILL_DAMAGE_FORMAT, E, 0),
    S(an_index_is_missing, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_that_cannot_be_opened, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_is_cut, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_without_room_for_its_entries, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_larger_than_any, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_by_its_magic, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_by_its_checksum, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_by_its_reserved_bytes, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_of_another_salt, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_of_another_base, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_that_was_never_sealed, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_that_ends_elsewhere, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_that_ends_at_another_byte, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_that_knows_no_late_records, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_entry_that_leads_nowhere, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_entry_between_batches, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_entry_twice, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(an_index_and_batches, ANY_BOOT, RILL_DAMAGE_BATCH, E, 6),
    S(the_index_of_the_last, WORDS_ONLY, RILL_DAMAGE_INDEX, I, 0),
    S(every_index, ANY_BOOT, RILL_DAMAGE_INDEX, I, 0),
    S(a_mark, ANY_BOOT, RILL_DAMAGE_MARK, W, 0),
    S(the_other_mark, ANY_BOOT, RILL_DAMAGE_MARK, W, 0),
    S(both_marks, ANY_BOOT, RILL_DAMAGE_MARK, E, 0),
    S(both_marks_and_the_last_batch, ANY_BOOT, RILL_DAMAGE_MARK, E, 20),
    S(both_marks_and_a_header, ANY_BOOT, RILL_DAMAGE_MARK, E, 20),
    S(both_marks_and_a_segment, ANY_BOOT, RILL_DAMAGE_MARK, E, 40),
    S(a_mark_of_a_missing_segment, ANY_BOOT, 0, E, 40),
    S(a_mark_at_no_batch, ANY_BOOT, RILL_DAMAGE_MARK, W, 0),
    S(the_other_mark_of_a_missing_segment, ANY_BOOT, 0, E, 40),
    S(the_other_mark_at_no_batch, ANY_BOOT, RILL_DAMAGE_MARK, W, 0),
    S(a_mark_far_away, MARKS_ONLY, RILL_DAMAGE_SEGMENT_MISSING, E, 40),
    S(a_mark_in_a_batch, ANY_BOOT, RILL_DAMAGE_MARK, W, 0),
    S(a_mark_behind_the_file, ANY_BOOT, 0, W, 40),
    S(no_control_file, ANY_BOOT, RILL_DAMAGE_CONTROL, E, 0),
    S(a_control_file_that_is_cut, ANY_BOOT, RILL_DAMAGE_CONTROL, E, 0),
    S(a_directory_for_a_control_file, ANY_BOOT, RILL_DAMAGE_CONTROL, E, 0),
    S(no_control_file_and_no_last_segment, ANY_BOOT, RILL_DAMAGE_CONTROL, E, 40),
    S(nothing_at_all, ANY_BOOT, RILL_DAMAGE_CONTROL, E, 200),
    S(a_base_below_all, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(an_end_below_zero, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(an_epoch_below_zero, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(no_segment_and_an_end, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(no_segment_and_something_durable, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(an_end_before_the_segment, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_position_in_the_header, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_position_beyond_all, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(an_end_before_what_is_durable, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_start_below_zero, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_start_behind_what_is_durable, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(durable_behind_the_end, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_start_behind_that_of_the_marks, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(another_magic, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(another_abi, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_poison, WORDS_ONLY, RILL_DAMAGE_POISONED, W, 0),
    S(no_incarnation, ANY_BOOT, 0, I, 0),
    S(a_tail_that_is_short, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_tail_that_is_long, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_tail_behind_the_file, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_tail_with_more_records, WORDS_ONLY, RILL_DAMAGE_WORDS, E, 2),
    S(a_tail_with_more_of_all, WORDS_ONLY, RILL_DAMAGE_WORDS, E, 2),
    S(a_tail_behind_what_is_no_batch, WORDS_ONLY, RILL_DAMAGE_BATCH, E, 2),
    S(a_tail_in_no_segment, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(a_tail_in_the_segment_before, WORDS_ONLY, RILL_DAMAGE_WORDS, W, 0),
    S(more_entries_than_there_are, WORDS_ONLY, RILL_DAMAGE_INDEX, I, 0),
    S(a_tail_before_the_end_and_no_marks, WORDS_ONLY, RILL_DAMAGE_MARK, E, 0),
    S(producers_that_do_not_load, ANY_BOOT, RILL_DAMAGE_PRODUCERS, I, 0),
    S(producers_that_are_empty, ANY_BOOT, RILL_DAMAGE_PRODUCERS, I, 0),
    S(producers_beyond_all_measure, ANY_BOOT, RILL_DAMAGE_PRODUCERS, I, 0),
    S(a_file_of_nobody, ANY_BOOT, RILL_DAMAGE_LEFTOVER, I, 0),
    S(a_file_with_the_name_of_an_index, ANY_BOOT, RILL_DAMAGE_LEFTOVER, I, 0),
    S(an_index_without_its_segment, ANY_BOOT, RILL_DAMAGE_LEFTOVER, I, 0),
    S(what_was_not_finished, ANY_BOOT, RILL_DAMAGE_LEFTOVER, I, 0),
    S(a_segment_behind_all, ANY_BOOT, RILL_DAMAGE_LEFTOVER, I, 0),
    S(a_roll_that_did_not_happen, ANY_BOOT, RILL_DAMAGE_LEFTOVER, I, 0),
    S(what_is_behind_the_end, ANY_BOOT, 0, I, 0),
#undef S
};
enum { SPOILS = sizeof spoils / sizeof spoils[0] };

static const struct spoil *now; /* for messages */
static enum boots now_boots;

static bool is_of(const struct spoil *s, enum boots boots)
{
    return s->when == ANY_BOOT || (s->when == WORDS_ONLY) == (boots == SAME_BOOT);
}

/* step 2: not with MARK_AT_END. Where all is slow, every third kind. */
static void for_each(struct test_log *t, int step, void (*work)(struct test_log *t))
{
    size_t every = getenv("RILL_TEST_SLOW") != NULL ? 3 : 1;

    for (now_boots = SAME_BOOT; now_boots < BOOTS; now_boots += (enum boots)step) {
        make(t, now_boots);
        for (size_t i = 0; i < SPOILS; i += every) {
            now = &spoils[i];
            if (!is_of(now, now_boots)) continue;
            damages_restore();
            now->spoil();
            work(t);
        }
    }
}

#define EXPECT(condition)                                                                        \
    do {                                                                                         \
        if (!(condition))                                                                        \
            fail_msg("%s, boot %d: not so: %s;%s\n  %s", now->name, (int)now_boots, #condition,  \
                     damages_say(), test_message());                                             \
    } while (0)

/* What goes wrong besides. */
enum way {
    STOPPED,       /* by whom it says something to */
    NO_MEMORY,     /* one allocation fails */
    NOT_PERMITTED, /* a file that may be well cannot be opened */
    UNREADABLE,    /* the device fails once */
    DEAD           /* as if the process had died there */
};
static enum way way = STOPPED;

/* ---- What is left of it ----------------------------------------------- */

enum { RECORDS_MAX = 1000 };
static bool said_lost[RECORDS_MAX]; /* by repairs */

static void note_lost(void)
{
    for (int i = 0; i < damages.done_count; i++)
        if (damages.done[i].kind == RILL_REPAIR_GAP)
            for (int64_t o = damages.done[i].first; o < damages.done[i].end && o < RECORDS_MAX;
                 o++)
                said_lost[o] = true;
}

/* The log opens, and has all records but those that are said to be lost; lost: how
 * many it has not. */
static void read_all(struct test_log *t, int *lost)
{
    struct log_cursor cursor;
    struct batch_view view;
    bool is_there[RECORDS_MAX] = {false};
    int64_t end;
    int rc = test_log_restart(t);

    EXPECT(rc == 0);
    EXPECT(rill__log_start(t->log) == 0);
    end = rill__log_end(t->log);
    EXPECT(end >= made.durable - now->lost_max);
    rill__cursor_init(&cursor, t->log);
    rc = rill__cursor_seek(&cursor, 0);
    for (int64_t offset = 0; rc == 0 && offset < end;) {
        rc = rill__cursor_next(&cursor, end, true, &view);
        rill__cursor_release(&cursor);
        if (rc != 0) break;
        if (rill__batch_codec(&view) == 5) {
            for (int64_t o = view.base_offset; o < view.end_offset; o++) is_there[o] = true;
        } else if (view.record_count > 0) {
            struct batch_view records = test_records(&view);
            struct record_walk walk = {BATCH_HEADER_SIZE, 0};
            rill_record record = RILL_RECORD_INIT;
            bool bad;
            while (rill__record_next(&records, &walk, &record, &bad)) {
                if (record.offset < made.end && record.offset < RECORDS_MAX) {
                    is_there[record.offset] = true;
                    test_value_check(&record);
                }
            }
        }
        if (cursor.offset > offset) offset = cursor.offset;
    }
    EXPECT(rc == 0);
    rill__cursor_deinit(&cursor);
    *lost = 0;
    for (int64_t o = 0; o < made.durable; o++) {
        if (is_there[o]) continue;
        ++*lost;
        if (now->kind != RILL_DAMAGE_GAP && o < end) EXPECT(said_lost[o]);
    }
    EXPECT(*lost <= now->lost_max || way == UNREADABLE);
    test_append_ok(t->log, 1, 100); /* it goes on */
    test_log_close(t);
}

/* Nothing is wrong with it any more; a poison goes with the words, at the opening. */
static void is_sound(struct test_log *t)
{
    EXPECT(damages_check(t) == 0);
    for (int i = 0; i < damages.count; i++)
        EXPECT(damages.list[i].severity == RILL_LOG_INFO ||
               damages.list[i].kind == RILL_DAMAGE_POISONED ||
               damages.list[i].kind == RILL_DAMAGE_FORMAT);
}

/* ---- The tests -------------------------------------------------------- */

static int tear_down(void **state)
{
    faults_clear();
    damages_forget();
    return test_log_tear_down(state);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, test_log_set_up, tear_down)

static void is_told(struct test_log *t)
{
    bool found = now->kind == 0;

    EXPECT(damages_check(t) == 0);
    for (int i = 0; i < damages.count; i++)
        if (damages.list[i].kind == now->kind && damages.list[i].severity == now->severity)
            found = true;
    EXPECT(found);
    if (now->kind == 0 && now->severity == RILL_LOG_INFO)
        for (int i = 0; i < damages.count; i++) EXPECT(damages.list[i].kind == RILL_DAMAGE_TAIL);
}

static void each_is_told_as_what_it_is(void **state)
{
    for_each(*state, 1, is_told);
}

static void is_repaired(struct test_log *t)
{
    int lost;

    memset(said_lost, 0, sizeof said_lost);
    if (now->kind == RILL_DAMAGE_FORMAT && now->severity == RILL_LOG_ERROR) {
        EXPECT(damages_repair(t) == RILL_ERR_FORMAT);
        EXPECT(damages.done_count == 0);
        return;
    }
    EXPECT(damages_repair(t) == 0);
    note_lost();
    is_sound(t);
    read_all(t, &lost);
}

static void each_is_repaired(void **state)
{
    for_each(*state, 1, is_repaired);
}

static void is_left_as_it_is(struct test_log *t)
{
    struct damages before;
    int done;

    EXPECT(damages_check(t) == 0);
    before = damages;
    damages_how.dry_run = true;
    EXPECT(damages_repair(t) ==
           (now->kind == RILL_DAMAGE_FORMAT && now->severity == RILL_LOG_ERROR ? RILL_ERR_FORMAT
                                                                               : 0));
    damages_how.dry_run = false;
    done = damages.done_count;
    EXPECT(damages_check(t) == 0);
    EXPECT(damages.count == before.count && damages.census.end == before.census.end);
    for (int i = 0; i < damages.count && i < DAMAGES_MAX; i++)
        EXPECT(strcmp(damages.list[i].text, before.list[i].text) == 0);
    if (now->kind == RILL_DAMAGE_FORMAT) return;
    EXPECT(damages_repair(t) == 0);
    EXPECT((damages.done_count > 0) == (done > 0));
}

/* And says whether there is something to do. */
static void a_dry_run_leaves_all_as_it_is(void **state)
{
    for_each(*state, 1, is_left_as_it_is);
}

static void an_empty_log_is_sound(void **state)
{
    struct test_log *t = *state;

    test_log_close(t);
    for (int boot = 0; boot < 2; boot++) {
        OK(damages_check(t));
        assert_int_equal(damages.count, 0);
        assert_int_equal(damages.census.exact, boot == 0);
        OK(damages_repair(t));
        assert_int_equal(damages.done_count, 0);
        assert_int_equal(damages.census.end, 0);
        assert_int_equal(damages.census.last_base, -1);
        t->config.boot_id[0]++;
    }
}

/* ---- Whatever fails --------------------------------------------------- */

enum { POINTS = 3 }; /* of each work, other ones of each kind of damage */

static int (*work)(struct test_log *t);

static void arm(int n)
{
    damages_how = (struct damages_how){.stop_at = way == STOPPED ? n : 0,
                                       .allocate = way == NO_MEMORY ? n : 0};
    faults_fail(way == NOT_PERMITTED ? FAULT_OPENAT : FAULT_ANY, NULL,
                way >= NOT_PERMITTED ? (uint64_t)n : 0, way == NOT_PERMITTED ? EACCES : EIO,
                way == DEAD ? FAULT_DEAD : FAULT_ONCE);
}

/* How many moments there are; since arm. */
static int moments(void)
{
    return way == STOPPED     ? damages.said
           : way == NO_MEMORY ? damages_allocations
                              : (int)faults_count();
}

static void disarm(void)
{
    damages_how = (struct damages_how){.stop_at = 0};
    faults_clear();
}

static bool may_end_so(int rc)
{
    switch (way) {
    case STOPPED: return rc == DAMAGES_STOP;
    case NO_MEMORY: return rc == RILL_ERR_NO_MEMORY;
    case NOT_PERMITTED: return rc == 0 || rc == RILL_ERR_PERMISSION;
    default: return rc == 0 || rc == RILL_ERR_IO || rc == RILL_ERR_CORRUPT;
    }
}

/* A repair after that: as good as the one that nothing has disturbed, unless the device
 * did not give what was there. */
static void goes_on(struct test_log *t, int lost_else)
{
    int lost;

    note_lost();
    EXPECT(damages_repair(t) == 0);
    note_lost();
    is_sound(t);
    read_all(t, &lost);
    EXPECT(way == UNREADABLE || lost == lost_else);
}

static int lost_undisturbed(struct test_log *t)
{
    int lost;

    memset(said_lost, 0, sizeof said_lost);
    EXPECT(damages_repair(t) == 0);
    note_lost();
    read_all(t, &lost);
    return lost;
}

static void spoil_again(void)
{
    damages_restore();
    now->spoil();
}

static void at_each_moment(struct test_log *t)
{
    const int which = (int)(now - spoils);
    int all;
    int step;
    int lost;

    if (now->kind == RILL_DAMAGE_FORMAT && now->severity == RILL_LOG_ERROR) return;
    arm(0);
    EXPECT(work(t) == 0);
    all = moments();
    disarm();
    spoil_again();
    lost = lost_undisturbed(t);
    step = all / POINTS + 1;
    for (int n = 1 + which % step; n <= all; n += step) {
        int rc;

        spoil_again();
        memset(said_lost, 0, sizeof said_lost);
        arm(n);
        rc = work(t);
        EXPECT(moments() >= n);
        disarm();
        if (!may_end_so(rc))
            fail_msg("%s, boot %d, way %d, moment %d: %d, %s", now->name, (int)now_boots,
                     (int)way, n, rc, test_message());
        goes_on(t, lost);
    }
}

static void disturb(struct test_log *t, enum way how)
{
    way = how;
    work = damages_check;
    for_each(t, 2, at_each_moment);
    work = damages_repair;
    for_each(t, 2, at_each_moment);
}

static void whoever_is_told_may_stop_it(void **state)
{
    disturb(*state, STOPPED);
}

static void without_memory_it_is_done_later(void **state)
{
    disturb(*state, NO_MEMORY);
}

static void what_cannot_be_opened_now_is_not_lost(void **state)
{
    disturb(*state, NOT_PERMITTED);
}

static void a_device_that_fails_once_costs_what_it_did_not_give(void **state)
{
    disturb(*state, UNREADABLE);
}

static void a_repair_that_died_is_done_again(void **state)
{
    disturb(*state, DEAD);
}

/* ---- Many, and large -------------------------------------------------- */

/* Which records of [0, end) a log has that was repaired. */
static void lost_are(struct test_log *t, int64_t end, bool (*is_lost)(int64_t offset))
{
    struct log_cursor cursor;
    struct batch_view view;
    int64_t next = 0;

    OK(test_log_restart(t));
    assert_int_equal(rill__log_end(t->log), end);
    rill__cursor_init(&cursor, t->log);
    OK(rill__cursor_seek(&cursor, 0));
    while (cursor.offset < end) {
        bool more;
        OK(rill__cursor_step(&cursor, end, true, &view, &more));
        rill__cursor_release(&cursor);
        if (!more) continue;
        assert_int_equal(view.base_offset, next);
        for (; next < view.end_offset; next++)
            assert_int_equal(is_lost(next), (view.attributes & BATCH_LOST) != 0);
    }
    assert_int_equal(next, end);
    rill__cursor_deinit(&cursor);
}

enum { MANY = 90, EVERY = 2 };
static int64_t many[MANY];

static bool is_in_many(int64_t offset)
{
    for (int i = 0; i < MANY; i += EVERY)
        if (many[i] == offset) return true;
    return false;
}

static void many_segments_are_repaired_in_one_go(void **state)
{
    struct test_log *t = *state;
    uint64_t bytes;
    uint32_t count = 0;
    int64_t end;

    while (count < MANY) {
        int64_t base = rill__log_end(t->log);
        test_append_ok(t->log, 1, 1000);
        OK(rill__log_segments(t->log, &count, &bytes));
        if (count <= MANY && (count == 1 ? base == 0 : many[count - 1] == 0))
            many[count - 1] = base;
    }
    OK(rill__log_checkpoint(t->log));
    end = rill__log_end(t->log);
    test_log_close(t);
    for (int i = 0; i < MANY; i += EVERY)
        test_flip(test_segment_path(many[i], "log"), SEGMENT_HEADER_SIZE + 200, 1);
    OK(damages_check(t));
    assert_int_equal(damages.count, MANY / EVERY);
    OK(damages_repair(t));
    OK(damages_check(t));
    assert_int_equal(damages.count, MANY / EVERY);
    for (int i = 0; i < damages.count; i++) {
        assert_int_equal(damages.list[i].kind, RILL_DAMAGE_GAP);
        assert_int_equal(damages.list[i].first, many[i * EVERY]);
    }
    lost_are(t, end, is_in_many);
}

enum { LARGE = 64 << 10, LARGE_COUNT = 120, LARGE_LOST = 50, LARGE_LOST_END = 90 };

static bool is_large_lost(int64_t offset)
{
    return (offset >= LARGE_LOST && offset < LARGE_LOST_END) || offset == LARGE_COUNT;
}

/* Megabytes that are lost are several gaps, in the place that they had; what is behind
 * them is where it was. */
static void a_large_hole_is_filled(void **state)
{
    struct test_log *t = *state;
    struct batch_view view;
    uint64_t from;
    uint64_t to;
    uint64_t one; /* it takes one gap, however large */
    int64_t end;
    int gaps = 0;

    t->log->config.segment_bytes = 16 << 20;
    t->config.segment_bytes = 16 << 20;
    for (int i = 0; i < LARGE_COUNT; i++) test_append_ok(t->log, 1, LARGE);
    test_append_ok(t->log, 1, 3 << 20); /* larger than what is read at once */
    for (int i = 0; i < 300; i++) test_append_ok(t->log, 1, 8);
    OK(rill__log_checkpoint(t->log));
    end = rill__log_end(t->log);
    from = test_position_of(t->log, LARGE_LOST, &view);
    to = test_position_of(t->log, LARGE_LOST_END, &view);
    one = test_position_of(t->log, LARGE_COUNT, &view);
    test_log_close(t);
    test_flip(test_segment_path(0, "log"), one + 100, 1);
    for (uint64_t at = from; at < to; at += 4096)
        zero_at(test_segment_path(0, "log"), at, to - at < 4096 ? (size_t)(to - at) : 4096);
    OK(damages_check(t));
    assert_int_equal(damages_find(RILL_DAMAGE_BATCH)->first, LARGE_LOST);
    assert_int_equal(damages_find(RILL_DAMAGE_BATCH)->end, LARGE_LOST_END);
    assert_int_equal(damages_find(RILL_DAMAGE_BATCH)->size, to - from);
    assert_int_equal(damages.passed, 16 << 20);
    OK(damages_repair(t));
    OK(damages_check(t));
    for (int i = 0; i < damages.count; i++) {
        assert_int_equal(damages.list[i].kind, RILL_DAMAGE_GAP);
        gaps++;
    }
    assert_int_equal(gaps, ((to - from + (1 << 20) - 1) >> 20) + 1);
    lost_are(t, end, is_large_lost);
    assert_int_equal(test_position_of(t->log, LARGE_LOST_END, &view), to);
}

/* ---- A device that does not give some bytes --------------------------- */

static struct sys_calls real;
static uint64_t sector;
static ino_t sector_of; /* in that file */

static ssize_t read_but_a_sector(int fd, void *data, size_t size, off_t at)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && st.st_ino == sector_of && (uint64_t)at < sector + 512 &&
        (uint64_t)at + size > sector) {
        errno = EIO;
        return -1;
    }
    return real.pread(fd, data, size, at);
}

static void break_sector(const char *path, uint64_t at)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    sector_of = st.st_ino;
    sector = at;
    real = rill__sys;
    rill__sys.pread = read_but_a_sector;
}

static bool nothing(int64_t offset)
{
    (void)offset;
    return false;
}

static int64_t sector_first;
static int64_t sector_end;

static bool is_in_sector(int64_t offset)
{
    return offset >= sector_first && offset < sector_end;
}

/* What is around it is lost; what is before and behind is kept: with a sector in the
 * header of a batch, in a batch, and in the last one. */
static void a_sector_that_cannot_be_read_costs_what_is_around_it(void **state)
{
    struct test_log *t = *state;
    const struct damage *d;
    struct batch_view view;
    uint64_t places[3];
    int64_t end;

    t->log->config.segment_bytes = 64 << 10;
    t->config.segment_bytes = 64 << 10;
    for (int i = 0; i < 100; i++) test_append_ok(t->log, 1, 400);
    OK(rill__log_checkpoint(t->log));
    end = rill__log_end(t->log);
    places[0] = test_position_of(t->log, 40, &view) + 8;
    places[1] = test_position_of(t->log, 40, &view) + 100;
    places[2] = test_position_of(t->log, 99, &view) + 8;
    test_log_close(t);
    damages_keep();
    for (int i = 0; i < 3; i++) {
        damages_restore();
        break_sector(test_segment_path(0, "log"), places[i]);
        OK(damages_check(t));
        d = damages_find(RILL_DAMAGE_UNREADABLE);
        assert_int_equal(d->severity, RILL_LOG_ERROR);
        assert_int_equal(damages.count, 1);
        sector_first = d->first;
        sector_end = d->end;
        assert_in_range(sector_end - sector_first, 1, 20);
        assert_true((uint64_t)d->position <= sector);
        OK(damages_repair(t));
        rill__sys = real;
        OK(damages_check(t));
        assert_int_equal(damages.count, 1);
        assert_int_equal(damages_find(RILL_DAMAGE_GAP)->first, sector_first);
        lost_are(t, end, is_in_sector);
        test_log_close(t);
    }
}

/* Its header is there, and not all of it. */
static void a_header_that_cannot_be_read_costs_its_page(void **state)
{
    struct test_log *t = *state;
    int64_t end;

    t->log->config.segment_bytes = 64 << 10;
    t->config.segment_bytes = 64 << 10;
    for (int i = 0; i < 100; i++) test_append_ok(t->log, 1, 400);
    OK(rill__log_checkpoint(t->log));
    end = rill__log_end(t->log);
    test_log_close(t);
    break_sector(test_segment_path(0, "log"), 0);
    OK(damages_check(t));
    assert_int_equal(damages_find(RILL_DAMAGE_UNREADABLE)->end, end);
    OK(damages_repair(t));
    rill__sys = real;
    OK(damages_check(t));
    if (damages.count != 1) fail_msg("%s", damages_say());
    sector_first = 0;
    sector_end = damages_find(RILL_DAMAGE_GAP)->end;
    assert_in_range(sector_end, 1, 12);
    lost_are(t, end, is_in_sector);
}

/* An index is not worth a record. */
static void an_index_that_cannot_be_read_costs_nothing(void **state)
{
    struct test_log *t = *state;
    int64_t end;

    test_append_segments(t->log, 2);
    OK(rill__log_checkpoint(t->log));
    end = rill__log_end(t->log);
    test_log_close(t);
    break_sector(test_segment_path(0, "index"), 0);
    OK(damages_check(t));
    assert_non_null(strstr(damages_find(RILL_DAMAGE_INDEX)->text, "cannot be read"));
    assert_int_equal(damages.count, 1);
    OK(damages_repair(t));
    rill__sys = real;
    OK(damages_check(t));
    assert_int_equal(damages.count, 0);
    lost_are(t, end, nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_is_told_as_what_it_is),
        TEST(each_is_repaired),
        TEST(a_dry_run_leaves_all_as_it_is),
        TEST(an_empty_log_is_sound),
        TEST(whoever_is_told_may_stop_it),
        TEST(without_memory_it_is_done_later),
        TEST(what_cannot_be_opened_now_is_not_lost),
        TEST(a_device_that_fails_once_costs_what_it_did_not_give),
        TEST(a_repair_that_died_is_done_again),
        TEST(many_segments_are_repaired_in_one_go),
        TEST(a_large_hole_is_filled),
        TEST(a_sector_that_cannot_be_read_costs_what_is_around_it),
        TEST(a_header_that_cannot_be_read_costs_its_page),
        TEST(an_index_that_cannot_be_read_costs_nothing),
    };
    /* Thousands of syncs, that nobody doubts here. */
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
