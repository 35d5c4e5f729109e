/*
 * rill_dump: every file of a store as items, whole or damaged, in the order of its
 * bytes and without leaving any out.
 */
#include "records.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include <fcntl.h>
#include <sys/stat.h>

enum { SEGMENT_HEADER = 128, BATCH = 64 + 16 + 1000 };

enum { ITEMS_MAX = 400 };
static struct shown {
    rill_item item;
    char text[700];
    char value[20];
} shown[ITEMS_MAX];
static int count;

static int note(void *arg, const rill_item *item)
{
    struct shown *s = &shown[count < ITEMS_MAX ? count : ITEMS_MAX - 1];

    (void)arg;
    count++;
    assert_non_null(item->text);
    s->item = *item;
    snprintf(s->text, sizeof s->text, "%s", item->text);
    s->value[0] = '\0';
    if (item->record != NULL && item->record->value.data != NULL)
        snprintf(s->value, sizeof s->value, "%.*s", (int)item->record->value.size,
                 (const char *)item->record->value.data);
    return 0;
}

static void dump(const char *path)
{
    count = 0;
    OK(rill_dump(path, note, NULL));
}

static const struct shown *item_number(int32_t kind, int number)
{
    for (int i = 0; i < count && i < ITEMS_MAX; i++)
        if (shown[i].item.kind == kind && number-- == 0) return &shown[i];
    fail_msg("no item of kind %d", kind);
    return NULL;
}

static int count_of(int32_t kind)
{
    int n = 0;

    for (int i = 0; i < count && i < ITEMS_MAX; i++) n += shown[i].item.kind == kind;
    return n;
}

static int set_up(void **state)
{
    rill *store;

    (void)state;
    test_directory();
    store = test_store_open();
    test_topic(store, "t", 1);
    test_store_append(store, "t", 0, 100, 1000);
    OK(rill_close(store));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_directory_remove();
    return 0;
}

/* Items of a segment follow each other without a gap, up to the end of the file. */
static void nothing_is_left_out(const char *path)
{
    struct stat st;
    int64_t at = 0;

    assert_int_equal(stat(path, &st), 0);
    for (int i = 0; i < count; i++) {
        if (shown[i].item.kind == RILL_ITEM_RECORD) continue;
        assert_int_equal(shown[i].item.position, at);
        at += shown[i].item.size;
    }
    assert_int_equal(at, st.st_size);
}

static void a_segment_is_its_header_batches_and_zeros(void **state)
{
    const char *path = test_find_file("00000000000000000000.log");
    const struct shown *s;

    (void)state;
    dump(path);
    nothing_is_left_out(path);
    s = item_number(RILL_ITEM_SEGMENT, 0);
    assert_int_equal(s->item.sound, 1);
    assert_int_equal(s->item.first, 0);
    assert_non_null(strstr(s->text, "base offset 0"));
    assert_int_equal(count_of(RILL_ITEM_BATCH), 60);
    assert_int_equal(count_of(RILL_ITEM_RECORD), 60);
    s = item_number(RILL_ITEM_BATCH, 7);
    assert_int_equal(s->item.sound, 1);
    assert_int_equal(s->item.position, SEGMENT_HEADER + 7 * BATCH);
    assert_int_equal(s->item.size, BATCH);
    assert_int_equal(s->item.first, 7);
    assert_int_equal(s->item.end, 8);
    assert_int_equal(s->item.count, 1);
    assert_int_equal(s->item.leader_epoch, 1);
    assert_true(s->item.timestamp_ms > 0);
    s = item_number(RILL_ITEM_RECORD, 7);
    assert_int_equal(s->item.first, 7);
    assert_int_equal(s->item.position, SEGMENT_HEADER + 7 * BATCH + 64);
    assert_int_equal(s->item.size, BATCH - 64);
    assert_int_equal(strncmp(s->value, "7.", 2), 0);
    s = item_number(RILL_ITEM_BYTES, 0);
    assert_int_equal(s->item.sound, 1);
    assert_non_null(strstr(s->text, "zeros"));
}

static void what_is_damaged_in_a_segment_is_shown_in_its_place(void **state)
{
    char path[1200];
    const struct shown *s;

    (void)state;
    snprintf(path, sizeof path, "%s", test_find_file("00000000000000000000.log"));
    test_flip_bit(path, SEGMENT_HEADER + 5 * BATCH + 500);     /* a record */
    test_flip_bit(path, SEGMENT_HEADER + 9 * BATCH + 21);      /* a length */
    test_flip_bit(path, SEGMENT_HEADER + 59 * BATCH + 500);    /* the last one */
    test_flip_bit(path, SEGMENT_HEADER + 60 * BATCH + 64 + 8); /* behind the last */
    dump(path);
    nothing_is_left_out(path);
    s = item_number(RILL_ITEM_BATCH, 5);
    assert_int_equal(s->item.sound, 0);
    assert_int_equal(s->item.first, 5);
    assert_non_null(strstr(s->text, "checksum"));
    s = item_number(RILL_ITEM_BATCH, 9);
    assert_int_equal(s->item.sound, 0);
    assert_int_equal(s->item.size, BATCH); /* up to the next one, whatever it says */
    assert_int_equal(item_number(RILL_ITEM_BATCH, 10)->item.sound, 1);
    assert_int_equal(item_number(RILL_ITEM_BYTES, 0)->item.sound, 0);
    assert_int_equal(count_of(RILL_ITEM_RECORD), 57);
    test_flip_bit(path, SEGMENT_HEADER + 9 * BATCH + 21);
    test_flip_bit(path, SEGMENT_HEADER + 9 * BATCH + 23); /* beyond the file */
    dump(path);
    nothing_is_left_out(path);
    s = item_number(RILL_ITEM_BYTES, 0);
    assert_int_equal(s->item.sound, 0);
    assert_int_equal(s->item.position, SEGMENT_HEADER + 9 * BATCH);
    assert_int_equal(s->item.size, BATCH);
    assert_non_null(strstr(s->text, "length"));
}

static void a_segment_without_its_header_is_still_read(void **state)
{
    char path[1200];

    (void)state;
    snprintf(path, sizeof path, "%s", test_find_file("00000000000000000000.log"));
    test_flip_bit(path, 26); /* the salt */
    dump(path);
    nothing_is_left_out(path);
    assert_int_equal(item_number(RILL_ITEM_SEGMENT, 0)->item.sound, 0);
    assert_int_equal(count_of(RILL_ITEM_BATCH), 60);
    for (int i = 0; i < 60; i++) assert_int_equal(item_number(RILL_ITEM_BATCH, i)->item.sound, 1);
    assert_int_equal(count_of(RILL_ITEM_RECORD), 60);
    assert_int_equal(truncate(path, SEGMENT_HEADER + BATCH), 0); /* nobody to agree with */
    dump(path);
    nothing_is_left_out(path);
    assert_int_equal(item_number(RILL_ITEM_BATCH, 0)->item.sound, 0);
    assert_int_equal(truncate(path, 100), 0);
    dump(path);
    nothing_is_left_out(path);
    assert_non_null(strstr(item_number(RILL_ITEM_SEGMENT, 0)->text, "cut short"));
}

static void other_headers_are_named(void **state)
{
    uint8_t header[SEGMENT_HEADER] = {0};
    const char *path = test_find_file("00000000000000000060.log");
    int fd = open(path, O_RDWR | O_CLOEXEC);

    (void)state;
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    rill__put16(header + 8, 9);
    rill__put64(header + 120, rill__checksum(header, 120));
    assert_int_equal(pwrite(fd, header, sizeof header, 0), sizeof header);
    dump(path);
    assert_non_null(strstr(item_number(RILL_ITEM_SEGMENT, 0)->text, "format 9"));
    memset(header, 0, sizeof header);
    assert_int_equal(pwrite(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    dump(path);
    assert_non_null(strstr(item_number(RILL_ITEM_SEGMENT, 0)->text, "never begun"));
    assert_int_equal(count_of(RILL_ITEM_BATCH), 40);
}

static void an_index_is_its_header_and_entries(void **state)
{
    char path[1200];
    const struct shown *s;

    (void)state;
    snprintf(path, sizeof path, "%s", test_find_file("00000000000000000000.index"));
    dump(path);
    s = item_number(RILL_ITEM_INDEX, 0);
    assert_int_equal(s->item.sound, 1);
    assert_int_equal(s->item.first, 0);
    assert_int_equal(s->item.end, 60);
    assert_int_equal(s->item.count, 15);
    assert_int_equal(count_of(RILL_ITEM_ENTRY), 15);
    s = item_number(RILL_ITEM_ENTRY, 3);
    assert_int_equal(s->item.sound, 1);
    assert_int_equal(s->item.first, 12);
    assert_non_null(strstr(s->text, "at byte 13088")); /* 128 + 12 * 1080 */
    test_flip_bit(path, 64 + 3 * 16 + 5);
    test_flip_bit(path, 10);
    dump(path);
    assert_int_equal(item_number(RILL_ITEM_INDEX, 0)->item.sound, 0);
    assert_int_equal(item_number(RILL_ITEM_ENTRY, 2)->item.sound, 1);
    s = item_number(RILL_ITEM_ENTRY, 3);
    if (strstr(s->text, "at byte 13088") != NULL) fail_msg("%s", s->text);
    assert_int_equal(truncate(path, 64 + 2 * 16 + 3), 0);
    dump(path);
    assert_int_equal(count_of(RILL_ITEM_ENTRY), 2);
    assert_int_equal(truncate(path, 20), 0);
    dump(path);
    assert_non_null(strstr(item_number(RILL_ITEM_INDEX, 0)->text, "cut short"));
    dump(test_find_file("00000000000000000060.index"));
    assert_non_null(strstr(item_number(RILL_ITEM_INDEX, 0)->text, "not sealed"));
    assert_int_equal(count_of(RILL_ITEM_ENTRY), 10);
}

static void a_control_file_is_words_and_two_marks(void **state)
{
    char path[1200];
    const struct shown *s;

    (void)state;
    snprintf(path, sizeof path, "%s", test_find_file("/control"));
    dump(path);
    assert_int_equal(count, 3);
    s = item_number(RILL_ITEM_WORDS, 0);
    assert_int_equal(s->item.sound, 1);
    assert_int_equal(s->item.first, 0);
    assert_int_equal(s->item.end, 100);
    for (int i = 0; i < 2; i++) {
        s = item_number(RILL_ITEM_MARK, i);
        assert_int_equal(s->item.sound, 1);
        assert_int_equal(s->item.position, 4096 + 512 * i);
    }
    test_flip_bit(path, 0);
    test_flip_bit(path, 4608 + 20);
    dump(path);
    assert_int_equal(item_number(RILL_ITEM_WORDS, 0)->item.sound, 0);
    assert_int_equal(item_number(RILL_ITEM_MARK, 0)->item.sound, 1);
    assert_int_equal(item_number(RILL_ITEM_MARK, 1)->item.sound, 0);
    assert_int_equal(truncate(path, 4200), 0);
    dump(path);
    assert_int_equal(item_number(RILL_ITEM_MARK, 1)->item.sound, 0);
}

static void the_file_STORE_is_one_item(void **state)
{
    char path[1200];

    (void)state;
    snprintf(path, sizeof path, "%s", test_path("store/STORE"));
    dump(path);
    assert_int_equal(count, 1);
    assert_int_equal(item_number(RILL_ITEM_STORE, 0)->item.sound, 1);
    test_flip_bit(path, 20);
    dump(path);
    assert_int_equal(item_number(RILL_ITEM_STORE, 0)->item.sound, 0);
    assert_int_equal(truncate(path, 12), 0);
    dump(path);
    assert_int_equal(item_number(RILL_ITEM_STORE, 0)->item.sound, 0);
    assert_int_equal(truncate(path, 0), 0);
    dump(path); /* by its name */
    assert_int_equal(item_number(RILL_ITEM_STORE, 0)->item.size, 0);
}

/* Sizes, parts, batches of several, and compressed ones. */
static void records_of_all_kinds_are_shown(void **state)
{
    rill *store = test_store_open();
    rill_topic_options topic = {.size = sizeof topic};
    rill_producer_options out = {.size = sizeof out, .topic = "kinds"};
    rill_header headers[2] = {{{"a", 1}, {"b", 1}}, {{"c", 1}, {NULL, 0}}};
    rill_record records[3] = {RILL_RECORD_INIT, RILL_RECORD_INIT, RILL_RECORD_INIT};
    rill_producer *producer;
    rill_topic_info info;
    char path[1500];

    (void)state;
    if (rill_compression_available(RILL_COMPRESSION_LZ4))
        topic.compression = RILL_COMPRESSION_LZ4;
    OK(rill_topic_create(store, "kinds", &topic));
    OK(rill_topic_describe(store, "kinds", &info));
    OK(rill_producer_open(store, &out, &producer));
    records[0].key = (rill_bytes){"k", 1};
    records[1].value = (rill_bytes){"", 0};
    records[2].value = (rill_bytes){"some text some text some text some text some text", 49};
    records[2].headers = headers;
    records[2].header_count = 2;
    for (int i = 0; i < 3; i++) records[i].partition = 0;
    OK(rill_producer_append(producer, records, 3, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
    OK(rill_close(store));
    snprintf(path, sizeof path, "%s/", test_path("store"));
    for (int i = 0; i < 16; i++)
        snprintf(path + strlen(path), sizeof path - strlen(path), "%02x", info.id[i]);
    strcat(path, "/0/00000000000000000000.log");
    dump(path);
    assert_int_equal(item_number(RILL_ITEM_BATCH, 0)->item.count, 3);
    assert_int_equal(count_of(RILL_ITEM_RECORD), 3);
    assert_non_null(strstr(item_number(RILL_ITEM_RECORD, 0)->text, "a key of 1 bytes, no value"));
    assert_non_null(strstr(item_number(RILL_ITEM_RECORD, 1)->text, "no key, a value of 0 bytes"));
    assert_non_null(strstr(item_number(RILL_ITEM_RECORD, 2)->text, "2 headers"));
}

static int stop(void *arg, const rill_item *item)
{
    (void)item;
    return --*(int *)arg == 0 ? 77 : 0;
}

static void visit_can_stop_it_anywhere(void **state)
{
    static const char *const files[] = {"00000000000000000000.log", "00000000000000000000.index",
                                        "/control", "/STORE"};

    (void)state;
    test_flip_bit(test_find_file(files[0]), SEGMENT_HEADER + 5 * BATCH + 500);
    test_flip_bit(test_find_file(files[0]), SEGMENT_HEADER + 9 * BATCH + 21);
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        const char *path = test_find_file(files[f]);
        dump(path);
        for (int at = 1; at <= count; at++) {
            int left = at;
            assert_int_equal(rill_dump(path, stop, &left), 77);
            assert_int_equal(left, 0);
        }
    }
}

static void what_is_no_file_of_a_store_is_refused(void **state)
{
    FILE *file;
    char path[2000];

    (void)state;
    FAILS(RILL_ERR_NOT_FOUND, rill_dump(test_path("store/nothing"), note, NULL));
    FAILS(RILL_ERR_NOT_FOUND, rill_dump(test_path("nowhere/nothing"), note, NULL));
    FAILS(RILL_ERR_CORRUPT, rill_dump(test_path("store/meta"), note, NULL));
    FAILS(RILL_ERR_INVALID, rill_dump(test_path("store/meta/data.mdb"), note, NULL));
    FAILS(RILL_ERR_INVALID, rill_dump(NULL, note, NULL));
    FAILS(RILL_ERR_INVALID, rill_dump("", note, NULL));
    FAILS(RILL_ERR_INVALID, rill_dump(test_path("store/STORE"), NULL, NULL));
    memset(path, 'x', sizeof path);
    path[1500] = '/';
    path[sizeof path - 1] = '\0';
    FAILS(RILL_ERR_INVALID, rill_dump(path, note, NULL));
    file = fopen(test_path("empty.log"), "w");
    fclose(file);
    dump(test_path("empty.log"));
    assert_int_equal(count, 1);
    assert_int_equal(chdir(test_path("store")), 0);
    dump("STORE"); /* here */
    assert_int_equal(chdir("/"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
        TEST(a_segment_is_its_header_batches_and_zeros),
        TEST(what_is_damaged_in_a_segment_is_shown_in_its_place),
        TEST(a_segment_without_its_header_is_still_read),
        TEST(other_headers_are_named),
        TEST(an_index_is_its_header_and_entries),
        TEST(a_control_file_is_words_and_two_marks),
        TEST(the_file_STORE_is_one_item),
        TEST(records_of_all_kinds_are_shown),
        TEST(visit_can_stop_it_anywhere),
        TEST(what_is_no_file_of_a_store_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
