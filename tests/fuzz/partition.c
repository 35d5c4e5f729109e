/*
 * partition.c - see partition.h.
 */
#include "partition.h"
#include "logs.h"
#include "log/format.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { FILES_MAX = 8, FILE_MAX = 16384, APPENDED = 40 };

static struct test_log t;
static struct {
    char path[1200];
    uint8_t bytes[FILE_MAX];
    size_t size;
} files[FILES_MAX];
static int file_count;
static int64_t durable;
static int64_t end;

static void read_file(const char *name)
{
    int fd;
    ssize_t n;

    MUST(file_count < FILES_MAX);
    snprintf(files[file_count].path, sizeof files[0].path, "%s", test_path(name));
    fd = open(files[file_count].path, O_RDONLY | O_CLOEXEC);
    n = read(fd, files[file_count].bytes, FILE_MAX);
    MUST(n >= 0 && n < FILE_MAX);
    files[file_count++].size = (size_t)n;
    close(fd);
}

/* Some is durable, some is not, nothing is lost yet. */
static void make(void)
{
    DIR *stream;
    struct dirent *entry;
    int64_t base;

    fuzz_directory();
    test_log_init(&t);
    MUST(test_log_open(&t) == 0);
    for (int i = 0; i < APPENDED; i++) {
        test_compress(i % 5 != 0);
        MUST(test_append(t.log, 1 + i % 3, 8 + (size_t)i * 2, false, &base) == 0);
        if (i == APPENDED / 2) MUST(rill__log_checkpoint(t.log) == 0);
    }
    durable = rill__log_durable(t.log);
    end = rill__log_end(t.log);
    rill__log_close(t.log);
    t.log = NULL;
    stream = opendir(test_path(""));
    while ((entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.') read_file(entry->d_name);
    closedir(stream);
}

/* All files as they were, but one. */
static void restore(struct input *in, const char *file)
{
    static uint8_t changed[FILE_MAX];
    DIR *stream = opendir(test_path(""));
    struct dirent *entry;

    while ((entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.') unlink(test_path(entry->d_name));
    closedir(stream);
    for (int i = 0; i < file_count; i++) {
        size_t length = strlen(files[i].path);
        int fd = open(files[i].path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        MUST(fd >= 0);
        memcpy(changed, files[i].bytes, files[i].size);
        if (strcmp(files[i].path + length - strlen(file), file) == 0)
            input_patch(in, changed, files[i].size);
        MUST(write(fd, changed, files[i].size) == (ssize_t)files[i].size);
        close(fd);
    }
}

static void check_record(const rill_record *record)
{
    uint8_t value[1024];

    MUST(record->offset >= 0 && record->offset < end && record->value.size <= sizeof value);
    test_value(value, record->value.size, record->offset);
    MUST(memcmp(value, record->value.data, record->value.size) == 0);
}

/* From offset to the end, or to the first error; where the next record is. */
static int64_t read_from(int64_t offset, int *rc)
{
    struct log_cursor cursor;
    struct batch_view view;
    struct batch_view records;

    rill__cursor_init(&cursor, t.log);
    *rc = rill__cursor_seek(&cursor, offset);
    while (*rc == 0) {
        struct record_walk walk = {BATCH_HEADER_SIZE, 0};
        rill_record record = RILL_RECORD_INIT;
        bool bad = false;

        *rc = rill__cursor_next(&cursor, rill__log_end(t.log), true, &view);
        if (*rc != 0 || view.record_count == 0) break;
        records = test_records(&view);
        while (rill__record_next(&records, &walk, &record, &bad)) check_record(&record);
        MUST(!bad && view.end_offset > offset);
        offset = view.end_offset;
    }
    rill__cursor_deinit(&cursor);
    return offset;
}

static void read_all(void)
{
    int64_t log_end = rill__log_end(t.log);
    int rc;
    int64_t found;

    MUST(log_end >= durable && log_end <= end);
    found = read_from(0, &rc);
    MUST(rc != 0 || found == log_end);
    for (int64_t offset = 0; offset <= log_end; offset += 5) read_from(offset, &rc);
    for (int64_t offset = 0; offset < end; offset += 7) {
        int64_t at;
        int64_t want = offset < log_end ? offset : RILL_OFFSET_NONE;
        if (rill__log_offset_for_time(t.log, test_time(offset), &at) == 0) MUST(at == want);
    }
}

static void go_on(void)
{
    int64_t log_end = rill__log_end(t.log);
    int64_t base;
    int rc;

    if (test_append(t.log, 2, 100, false, &base) != 0) return;
    MUST(base == log_end);
    end = base + 2; /* for this input only */
    MUST(read_from(base, &rc) == end && rc == 0);
}

/* ---- As a check sees it ---- */

static int errors;

static int found(void *arg, rill_damage *damage)
{
    (void)arg;
    MUST(damage->text != NULL && damage->repair != NULL && damage->file != NULL);
    MUST(damage->end >= damage->first);
    if (damage->severity == RILL_LOG_ERROR) errors++;
    return 0;
}

static int passed(void *arg, uint64_t bytes)
{
    (void)arg, (void)bytes;
    return 0;
}

static int see_item(void *arg, const rill_item *item)
{
    (void)arg;
    MUST(item->text != NULL);
    return 0;
}

/* As it will be opened: in this boot, or the next one. */
static void check_and_dump(bool reboot)
{
    struct file dir = test_log_directory();
    struct log_check check = {.heap = &t.heap,
                              .dir = &dir,
                              .partition = t.config.partition,
                              .alone = true,
                              .found = found,
                              .passed = passed};
    struct log_census census;

    memcpy(check.topic_id, t.config.topic_id, 16);
    memcpy(check.boot_id, t.config.boot_id, 16);
    check.boot_id[0] ^= reboot;
    errors = 0;
    MUST(rill__log_check(&check, &census) == 0);
    rill__file_close(&dir);
    for (int i = 0; i < file_count; i++) MUST(rill_dump(files[i].path, see_item, NULL) == 0);
}

/* What opens, and a check found to be sound, can be read to its end. */
static void agree_with_check(int rc)
{
    int64_t at;

    if (errors > 0) return;
    MUST(rc == 0);
    at = read_from(0, &rc);
    MUST(rc == 0 && at == rill__log_end(t.log));
}

void fuzz_partition(const uint8_t *data, size_t size, const char *file)
{
    struct input in = {data, data + size};
    uint64_t boot;
    int64_t end_before;
    int rc;

    if (file_count == 0) make();
    end_before = end;
    t.config.incarnation = 1;
    memcpy(t.config.boot_id, "the first boot..", sizeof t.config.boot_id);
    boot = input_take(&in, 1);
    restore(&in, file);
    check_and_dump(boot % 2 != 0);
    rc = boot % 2 == 0 ? test_log_restart(&t) : test_log_reboot(&t);
    agree_with_check(rc);
    if (rc == 0) {
        read_all();
        go_on();
        rill__log_close(t.log);
        t.log = NULL;
    } else {
        MUST(rill_errmsg()[0] != '\0');
    }
    end = end_before;
    MUST(atomic_load(&t.mapped_bytes) == 0 && atomic_load(&t.heap.bytes) == 0);
}
