/*
 * logs.c - see logs.h.
 */
#include "logs.h"
#include "faults.h"
#include "base/bytes.h"
#include <fcntl.h>
#include <sys/stat.h>

static void say(void *arg, int level, const char *line)
{
    struct test_log *t = arg;

    if (level > RILL_LOG_WARNING) return;
    t->warning_count++;
    snprintf(t->said, sizeof t->said, "%s", line);
}

static int recovered(void *arg, int64_t log_end)
{
    struct test_log *t = arg;

    t->recovered_count++;
    t->recovered_end = log_end;
    return 0;
}

struct file test_log_directory(void)
{
    struct file dir = FILE_NONE;

    /* Not through the seam: a test may have it fail the calls of the log. */
    dir.fd = open(test_path(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir.fd >= 0);
    snprintf(dir.name, sizeof dir.name, "log");
    return dir;
}

void test_log_init(struct test_log *t)
{
    struct file dir;

    memset(t, 0, sizeof *t);
    rill__heap_init(&t->heap, NULL, 0);
    t->config = (struct log_config){.heap = &t->heap,
                                    .topic_id = "the topic's id.",
                                    .partition = 3,
                                    .segment_bytes = 4096,
                                    .segment_ms = 1000000000,
                                    .index_interval_bytes = 256,
                                    .sync_interval_ms = 1000000000,
                                    .incarnation = 1,
                                    .boot_id = "the first boot..",
                                    .wake_slots = t->wake_slots,
                                    .say = say,
                                    .say_arg = t,
                                    .recovered = recovered,
                                    .recovered_arg = t,
                                    .idle_segments = &t->idle_segments,
                                    .kept_files = &t->kept_files,
                                    .mapped_bytes = &t->mapped_bytes,
                                    .syncs = &t->syncs,
                                    .rolls = &t->rolls,
                                    .deletions = &t->deletions,
                                    .recoveries = &t->recoveries,
                                    .wakeups = &t->wakeups};
    test_directory();
    dir = test_log_directory();
    OK(rill__log_create(&dir));
    rill__file_close(&dir);
}

int test_log_open(struct test_log *t)
{
    struct file dir = test_log_directory();
    return rill__log_open(&t->config, &dir, 0, &t->log);
}

void test_log_close(struct test_log *t)
{
    rill__log_close(t->log);
    t->log = NULL;
}

void test_log_deinit(struct test_log *t)
{
    test_log_close(t);
    test_directory_remove();
    assert_int_equal(atomic_load(&t->mapped_bytes), 0);
    assert_int_equal(atomic_load(&t->idle_segments), 0);
    assert_int_equal(atomic_load(&t->kept_files), 0);
    assert_int_equal(atomic_load(&t->heap.bytes), 0);
}

int test_log_set_up(void **state)
{
    static struct test_log t;

    test_log_init(&t);
    OK(test_log_open(&t));
    *state = &t;
    return 0;
}

int test_packed_log_set_up(void **state)
{
    int rc = test_log_set_up(state);

    test_compress(true);
    return rc;
}

int test_log_tear_down(void **state)
{
    test_compress(false);
    faults_clear();
    test_log_deinit(*state);
    return 0;
}

int test_log_restart(struct test_log *t)
{
    test_log_close(t);
    t->config.incarnation++;
    return test_log_open(t);
}

int test_log_reboot(struct test_log *t)
{
    rill__put64(t->config.boot_id + 8, rill__get64(t->config.boot_id + 8) + 1);
    return test_log_restart(t);
}

struct log *test_log_second(struct test_log *t)
{
    struct file dir = test_log_directory();
    struct log_config config = t->config;
    struct log *log = NULL;

    config.process = t->config.process + 1;
    OK(rill__log_open(&config, &dir, 0, &log));
    return log;
}

void test_value(uint8_t *value, size_t size, int64_t offset)
{
    rill__put64(value, (uint64_t)offset);
    for (size_t i = 8; i < size; i++) value[i] = (uint8_t)(1 + (offset * 7 + (int64_t)i) % 255);
}

void test_value_check(const rill_record *record)
{
    const uint8_t *value = record->value.data;
    int64_t offset = record->offset;

    assert_non_null(value);
    assert_true(record->value.size >= 8);
    assert_int_equal(rill__get64(value), offset);
    for (size_t i = 8; i < record->value.size; i++)
        if (value[i] != (uint8_t)(1 + (offset * 7 + (int64_t)i) % 255))
            fail_msg("offset %lld: byte %zu of the value is wrong", (long long)offset, i);
}

int64_t test_time(int64_t offset)
{
    return INT64_C(1000000) + offset * 10;
}

static void build(struct batch *batch, int count, size_t value_size, int64_t offset)
{
    uint8_t *value = malloc(value_size);

    assert_non_null(value);
    for (int i = 0; i < count; i++) {
        rill_record record = RILL_RECORD_INIT;
        test_value(value, value_size, offset + i);
        record.value = (rill_bytes){value, value_size};
        record.timestamp_ms = test_time(offset + i);
        assert_true(rill__batch_add(batch, &record, 1, NULL));
    }
    rill__batch_seal(batch);
    free(value);
}

/* 0: none. */
static int next_codec;

void test_compress(bool compress)
{
    next_codec = 0;
    for (int code = CODEC_ZSTD; compress && code >= CODEC_LZ4; code--)
        if (rill__codec_available(code)) next_codec = code;
}

static void pack(const struct batch *batch, struct batch *packed)
{
    static struct heap heap;
    struct codec codec;
    int other = next_codec == CODEC_LZ4 ? CODEC_ZSTD : CODEC_LZ4;

    if (next_codec == 0) return;
    rill__heap_init(&heap, NULL, 0);
    rill__codec_init(&codec, &heap);
    OK(rill__batch_seal_packed(batch, &codec, next_codec, 0, packed));
    rill__codec_deinit(&codec);
    if (rill__codec_available(other)) next_codec = other;
}

int test_append(struct log *log, int count, size_t value_size, bool through_file, int64_t *base)
{
    size_t size = BATCH_HEADER_SIZE + (size_t)count * (RECORD_HEADER_SIZE + value_size + 8);
    void *room = malloc(size);
    void *packed_room = malloc(size);
    struct batch batch;
    struct batch packed;
    int rc;

    assert_true(room != NULL && packed_room != NULL);
    rill__batch_init(&batch, room, size);
    rill__batch_init(&packed, packed_room, size);
    build(&batch, count, value_size, rill__log_end(log));
    pack(&batch, &packed);
    rc =
        rill__log_append(log, packed.size == 0 ? &batch : &packed, through_file, INT64_MAX, base);
    free(room);
    free(packed_room);
    return rc;
}

struct batch_view test_records(const struct batch_view *view)
{
    static struct heap heap;
    static _Alignas(8) uint8_t room[1 << 20];
    struct batch_view records;
    struct codec codec;

    rill__heap_init(&heap, NULL, 0);
    rill__codec_init(&codec, &heap);
    assert_true(rill__batch_room(view) <= sizeof room);
    OK(rill__batch_records(view, &codec, room, &records));
    rill__codec_deinit(&codec);
    return records;
}

void test_append_ok(struct log *log, int count, size_t value_size)
{
    int64_t end = rill__log_end(log);
    int64_t base = -1;

    OK(test_append(log, count, value_size, false, &base));
    assert_int_equal(base, end);
    assert_int_equal(rill__log_end(log), end + count);
}

void test_append_segments(struct log *log, uint32_t segment_count)
{
    uint32_t count = 0;
    uint64_t bytes;

    while (count < segment_count) {
        test_append_ok(log, 1 + (int)(rill__log_end(log) % 3), 100);
        OK(rill__log_segments(log, &count, &bytes));
    }
}

void test_check(struct log *log, int64_t start, int64_t end)
{
    struct log_cursor cursor;
    struct batch_view view;
    rill_record record = RILL_RECORD_INIT;
    int64_t next = start;
    bool bad;

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, start));
    while (next < end) {
        struct record_walk walk = {BATCH_HEADER_SIZE, 0};
        OK(rill__cursor_next(&cursor, end, true, &view));
        rill__cursor_release(&cursor);
        if (view.record_count == 0) continue; /* a segment has ended */
        view = test_records(&view);
        while (rill__record_next(&view, &walk, &record, &bad)) {
            if (record.offset < start) continue;
            assert_int_equal(record.offset, next);
            assert_int_equal(record.timestamp_ms, test_time(next));
            test_value_check(&record);
            next++;
        }
        assert_false(bad);
    }
    assert_int_equal(next, end);
    rill__cursor_deinit(&cursor);
}

const char *test_segment_path(int64_t base, const char *suffix)
{
    char name[SEGMENT_NAME_SIZE];

    rill__segment_name(base, suffix, name);
    return test_path(name);
}

bool test_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

uint8_t *test_read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data;
    long end;

    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    end = ftell(f);
    assert_true(end >= 0);
    rewind(f);
    *size = (size_t)end;
    data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, f), *size);
    fclose(f);
    return data;
}

void test_write_file(const char *path, uint64_t at, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, (off_t)at), size);
    close(fd);
}

void test_flip(const char *path, uint64_t at, uint8_t mask)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= mask;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

uint32_t test_position_of(struct log *log, int64_t offset, struct batch_view *view)
{
    struct log_cursor cursor;
    uint32_t position;

    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, offset));
    do {
        rill__cursor_release(&cursor);
        OK(rill__cursor_next(&cursor, rill__log_end(log), false, view));
    } while (view->record_count == 0);
    position = cursor.position - view->length;
    rill__cursor_deinit(&cursor);
    return position;
}
