/*
 * logs.h - a partition in the test's directory, with segments so small that
 * they roll after a few records; and records that say where they belong.
 */
#ifndef RILL_LOGS_H
#define RILL_LOGS_H
#include "log/inner.h"
#include "testing.h"

struct test_log {
    struct log *log; /* NULL: closed */
    struct log_config config;
    struct heap heap;
    struct wake_slot wake_slots[WAKE_SLOTS];
    _Atomic uint32_t idle_segments;
    _Atomic uint32_t kept_files;
    _Atomic uint64_t mapped_bytes;
    _Atomic uint64_t syncs;
    _Atomic uint64_t rolls;
    _Atomic uint64_t deletions;
    _Atomic uint64_t recoveries;
    _Atomic uint64_t wakeups;
    int warning_count; /* lines said at RILL_LOG_WARNING and worse */
    char said[400];    /* the last of them */
    int recovered_count;
    int64_t recovered_end; /* what the recovered callback was told last */
};

/* Segments of 4 KiB, an index entry per 256 bytes; rolls by age and marks that
 * nobody asked for do not come. The files are made; the log is not open. */
void test_log_init(struct test_log *t);
/* Closes, checks that all memory and maps were given back, removes the files. */
void test_log_deinit(struct test_log *t);

/* A test with such a log, open, as *state. */
#define WITH_LOG(test) cmocka_unit_test_setup_teardown(test, test_log_set_up, test_log_tear_down)
int test_log_set_up(void **state);
int test_log_tear_down(void **state);
/* The same, with compressed batches. */
#define WITH_PACKED_LOG(test)                                                                    \
    cmocka_unit_test_setup_teardown(test, test_packed_log_set_up, test_log_tear_down)
int test_packed_log_set_up(void **state);

int test_log_open(struct test_log *t);
void test_log_close(struct test_log *t);
/* Closes, and opens as the next run of processes of the same boot does. */
int test_log_restart(struct test_log *t);
/* The same after a boot: the control block means nothing. */
int test_log_reboot(struct test_log *t);
/* Another process' view of the same files. */
struct log *test_log_second(struct test_log *t);
/* An open directory of the files. */
struct file test_log_directory(void);

/* A value of `size` bytes, 8 at least, that names its offset; and its check. */
void test_value(uint8_t *value, size_t size, int64_t offset);
void test_value_check(const rill_record *record);
int64_t test_time(int64_t offset); /* its timestamp, which grows */

/* From now on batches are compressed where that makes them smaller (2 records and
 * more), by lz4 and zstd in turn, as far as they are there. */
void test_compress(bool compress);
/* The batch's records, to be walked; they live until the next call. */
struct batch_view test_records(const struct batch_view *view);

/* One batch of `count` such records at the end of the log. */
int test_append(struct log *log, int count, size_t value_size, bool through_file, int64_t *base);
/* The same; must succeed and come to stand at the end. */
void test_append_ok(struct log *log, int count, size_t value_size);
/* Such batches until the log has so many segments. */
void test_append_segments(struct log *log, uint32_t segment_count);

/* All records of [start, end), verified, in order, without a gap. */
void test_check(struct log *log, int64_t start, int64_t end);

/* The path of a segment's "log" or "index" file; see test_path. */
const char *test_segment_path(int64_t base, const char *suffix);
bool test_exists(const char *path);
/* The whole file, for the caller to free. */
uint8_t *test_read_file(const char *path, size_t *size);
void test_write_file(const char *path, uint64_t at, const void *data, size_t size);
/* Turns the bits of mask in one byte. */
void test_flip(const char *path, uint64_t at, uint8_t mask);
/* Position of the batch that holds offset, and its header in *view (whose data
 * is gone). */
uint32_t test_position_of(struct log *log, int64_t offset, struct batch_view *view);

#endif
