/*
 * damage.c - files that were changed, cut or lost behind the store's back.
 *
 * Every one is an error that names the file and what is wrong with it, never a
 * crash, never other records than those appended; what is not damaged stays
 * readable; what is only a hint is made anew.
 */
#include "stores.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include <sys/stat.h>
#include <unistd.h>

enum { RECORDS = 100, VALUE = 1000, SEGMENT_HEADER = 128, BATCH = 64 + 16 + VALUE };

static rill *store;

static int set_up(void **state)
{
    (void)state;
    test_directory();
    store = test_store_open();
    test_topic(store, "t", 1);
    test_topic(store, "healthy", 1);
    test_store_append(store, "t", 0, RECORDS, VALUE);
    test_store_append(store, "healthy", 0, 3, 10);
    OK(rill_close(store));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_directory_remove();
    return 0;
}

/* Reads from offset; the number of records that come before the end or an
 * error, which goes to *rc. */
static int read_from(const char *topic, rill_offset offset, int *rc)
{
    rill_position from = {topic, 0, -1, offset, NULL};
    rill_consumer *consumer;
    rill_record records[16];
    size_t count = 1;
    int read = 0;

    OK(rill_consumer_open(store, NULL, &consumer));
    *rc = rill_consumer_assign(consumer, &from, 1);
    while (*rc == 0 && count > 0) {
        *rc = rill_consumer_poll(consumer, 0, records, 16, &count);
        for (size_t i = 0; *rc == 0 && i < count; i++, read++)
            assert_int_equal(atoi(records[i].value.data), (int)records[i].offset);
    }
    OK(rill_consumer_close(consumer, 0));
    return read;
}

static void others_are_healthy(void)
{
    int rc;

    assert_int_equal(read_from("healthy", 0, &rc), 3);
    OK(rc);
}

static void all_is_there(void)
{
    int rc;

    assert_int_equal(read_from("t", 0, &rc), RECORDS);
    OK(rc);
}

static int note_t(void *arg, const rill_topic_info *info)
{
    if (strcmp(info->name, "t") == 0) *(rill_topic_info *)arg = *info;
    return 0;
}

/* Without a look into the partition. */
static const char *first_segment(void)
{
    static char path[1200];
    rill_topic_info info;
    char id[33];

    OK(rill_topic_list(store, note_t, &info));
    for (int i = 0; i < 16; i++) snprintf(id + (size_t)i * 2, 3, "%02x", info.id[i]);
    snprintf(path, sizeof path, "%s/%s/0/00000000000000000000.log", test_path("store"), id);
    return path;
}

/* ---- Segments ---- */

static void a_flipped_bit_in_a_record_is_reported_and_can_be_skipped(void **state)
{
    rill_consumer *consumer;
    rill_record records[16];
    rill_offset position;
    size_t count;
    int rc;

    (void)state;
    store = test_store_open();
    test_flip_bit(first_segment(), SEGMENT_HEADER + 5 * BATCH + 500);
    assert_int_equal(read_from("t", 0, &rc), 5);
    assert_int_equal(rc, RILL_ERR_CORRUPT);
    test_says("00000000000000000000.log");
    test_says("offset 5");
    test_says("checksum");
    assert_int_equal(read_from("t", 6, &rc), RECORDS - 6);
    OK(rc);

    consumer = test_consumer(store, "t", 0, 5);
    FAILS(RILL_ERR_CORRUPT, rill_consumer_poll(consumer, 0, records, 16, &count));
    FAILS(RILL_ERR_CORRUPT, rill_consumer_poll(consumer, 0, records, 16, &count));
    OK(rill_consumer_position(consumer, "t", 0, &position));
    assert_int_equal(position, 5);
    OK(rill_consumer_seek(consumer, "t", 0, 6));
    OK(rill_consumer_poll(consumer, 0, records, 16, &count));
    assert_int_equal(records[0].offset, 6);
    OK(rill_consumer_close(consumer, 0));
    others_are_healthy();
    OK(rill_close(store));
}

static void every_byte_of_a_batch_is_guarded(void **state)
{
    const char *path;
    int rc;

    (void)state;
    store = test_store_open();
    path = first_segment();
    for (long at = 0; at < 64 + 16 + 30; at++) {
        test_flip_bit(path, SEGMENT_HEADER + 2 * BATCH + at);
        assert_int_equal(read_from("t", 0, &rc), 2);
        assert_int_equal(rc, RILL_ERR_CORRUPT);
        test_flip_bit(path, SEGMENT_HEADER + 2 * BATCH + at);
    }
    all_is_there();
    OK(rill_close(store));
}

static void a_truncated_segment_is_refused(void **state)
{
    int rc;

    (void)state;
    store = test_store_open();
    assert_int_equal(truncate(first_segment(), 20000), 0);
    assert_int_equal(read_from("t", 0, &rc), 0);
    assert_int_equal(rc, RILL_ERR_CORRUPT);
    test_says("00000000000000000000.log");
    test_says("20000 bytes");
    others_are_healthy();
    OK(rill_close(store));
}

static void a_lost_segment_is_missed(void **state)
{
    int rc;

    (void)state;
    store = test_store_open();
    assert_int_equal(unlink(first_segment()), 0);
    assert_int_equal(read_from("t", 0, &rc), 0);
    assert_int_equal(rc, RILL_ERR_CORRUPT);
    test_says("offset 0");
    others_are_healthy();
    OK(rill_close(store));
}

static void a_segment_of_a_newer_format_is_refused(void **state)
{
    uint8_t header[SEGMENT_HEADER];
    FILE *file;
    int rc;

    (void)state;
    store = test_store_open();
    file = fopen(first_segment(), "r+b");
    assert_non_null(file);
    assert_int_equal(fread(header, sizeof header, 1, file), 1);
    rill__put16(header + 8, 7);
    rill__put64(header + 120, rill__checksum(header, 120));
    rewind(file);
    assert_int_equal(fwrite(header, sizeof header, 1, file), 1);
    fclose(file);
    assert_int_equal(read_from("t", 0, &rc), 0);
    assert_int_equal(rc, RILL_ERR_FORMAT);
    test_says("format 7");
    test_says("reads format 1");
    OK(rill_close(store));
}

/* ---- Hints ---- */

static void a_lost_index_costs_nothing_but_time(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) assert_int_equal(unlink(test_find_file(".index")), 0);
    store = test_store_open();
    all_is_there();
    for (int i = 0; i < RECORDS; i += 7) {
        int rc;
        assert_int_equal(read_from("t", i, &rc), RECORDS - i);
        OK(rc);
    }
    OK(rill_close(store));
}

static void a_foreign_index_is_not_believed(void **state)
{
    const char *path;

    (void)state;
    path = test_find_file("00000.index");
    for (long at = 0; at < 1000; at += 3) test_flip_bit(path, at);
    store = test_store_open();
    for (int i = 0; i < RECORDS; i++) {
        int rc;
        assert_int_equal(read_from("t", i, &rc), RECORDS - i);
        OK(rc);
    }
    OK(rill_close(store));
}

/* ---- What a partition and a store are known by ---- */

static void one_damaged_mark_is_made_up_for(void **state)
{
    (void)state;
    test_flip_bit(test_find_file("control"), 4096 + 20);
    store = test_store_open();
    all_is_there();
    OK(rill_close(store));
}

static void two_damaged_marks_are_not_guessed_at(void **state)
{
    char path[1300];
    int rc;

    (void)state;
    store = test_store_open();
    snprintf(path, sizeof path, "%s", first_segment());
    snprintf(strrchr(path, '/'), 20, "/control");
    test_flip_bit(path, 4096 + 20);
    test_flip_bit(path, 4608 + 20);
    read_from("t", 0, &rc);
    assert_int_equal(rc, RILL_ERR_CORRUPT);
    test_says("control");
    test_says("both durable marks");
    others_are_healthy();
    OK(rill_close(store));
}

static void open_fails(int code, const char *part, const char *other)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *none = NULL;

    FAILS(code, rill_open(test_path("store"), &options, &none));
    assert_null(none);
    test_says(part);
    test_says(other);
}

static void a_store_of_a_newer_format_is_refused(void **state)
{
    uint8_t bytes[64];
    FILE *file = fopen(test_path("store/STORE"), "r+b");

    (void)state;
    assert_non_null(file);
    assert_int_equal(fread(bytes, sizeof bytes, 1, file), 1);
    rill__put32(bytes + 8, 9);
    rill__put64(bytes + 56, rill__checksum(bytes, 56));
    rewind(file);
    assert_int_equal(fwrite(bytes, sizeof bytes, 1, file), 1);
    fclose(file);
    open_fails(RILL_ERR_FORMAT, "store format 9", "knows format 1");
}

static void a_damaged_store_file_is_refused(void **state)
{
    (void)state;
    test_flip_bit(test_path("store/STORE"), 20);
    open_fails(RILL_ERR_CORRUPT, "STORE", "damaged");
    assert_int_equal(truncate(test_path("store/STORE"), 10), 0);
    open_fails(RILL_ERR_CORRUPT, "STORE", "ends before");
}

static void a_damaged_catalogue_is_refused(void **state)
{
    (void)state;
    assert_int_equal(truncate(test_path("store/meta/data.mdb"), 100), 0);
    open_fails(RILL_ERR_CORRUPT, "meta", "page 0");
}

static void a_directory_with_other_files_is_left_alone(void **state)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    struct stat st;
    rill *none;
    FILE *file;

    (void)state;
    assert_int_equal(mkdir(test_path("home"), 0700), 0);
    file = fopen(test_path("home/letter.txt"), "w");
    assert_non_null(file);
    fclose(file);
    FAILS(RILL_ERR_INVALID, rill_open(test_path("home"), &options, &none));
    test_says("letter.txt");
    assert_int_equal(stat(test_path("home/letter.txt"), &st), 0);
    assert_int_not_equal(stat(test_path("home/shared"), &st), 0);
    FAILS(RILL_ERR_NOT_FOUND, rill_open(test_path("home/letter.txt"), NULL, &none));
    FAILS(RILL_ERR_NOT_FOUND, rill_open(test_path("nowhere"), NULL, &none));
    FAILS(RILL_ERR_NOT_FOUND, rill_open(test_path("home"), NULL, &none));
    test_says("RILL_OPEN_CREATE");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_flipped_bit_in_a_record_is_reported_and_can_be_skipped),
        TEST(every_byte_of_a_batch_is_guarded),
        TEST(a_truncated_segment_is_refused),
        TEST(a_lost_segment_is_missed),
        TEST(a_segment_of_a_newer_format_is_refused),
        TEST(a_lost_index_costs_nothing_but_time),
        TEST(a_foreign_index_is_not_believed),
        TEST(one_damaged_mark_is_made_up_for),
        TEST(two_damaged_marks_are_not_guessed_at),
        TEST(a_store_of_a_newer_format_is_refused),
        TEST(a_damaged_store_file_is_refused),
        TEST(a_damaged_catalogue_is_refused),
        TEST(a_directory_with_other_files_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
