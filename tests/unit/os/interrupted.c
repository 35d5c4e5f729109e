/*
 * A call that a signal interrupts is made again, and nobody hears of it; after
 * a failure that is real it is not, and an allocation leaves nothing.
 */
#include "os/os.h"
#include "os/sys.h"
#include "faults.h"
#include "testing.h"
#include <errno.h>

static struct file dir;
static struct file file;

static int set_up(void **state)
{
    (void)state;
    OK(rill__dir_open(test_directory(), &dir));
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    faults_clear();
    rill__file_close(&file);
    rill__file_close(&dir);
    test_directory_remove();
    return 0;
}

static int open_it(void)
{
    struct file other;
    int rc = rill__file_open(&dir, "f", FILE_READ, &other);

    if (rc == 0) rill__file_close(&other);
    return rc;
}

static int open_dir_it(void)
{
    struct file other;
    int rc = rill__dir_open(test_path(""), &other);

    if (rc == 0) rill__file_close(&other);
    return rc;
}

static int allocate_it(void)
{
    return rill__file_allocate(&file, 5000);
}

static int read_it(void)
{
    char byte;
    return rill__file_read(&file, &byte, 1, 0);
}

static int write_it(void)
{
    return rill__file_write(&file, "x", 1, 0);
}

static int sync_it(void)
{
    return rill__file_sync(&file);
}

static int sync_dir_it(void)
{
    return rill__dir_sync(&dir);
}

static const struct {
    enum fault_call call;
    int (*make)(void);
} calls[] = {{FAULT_OPENAT, open_it},       {FAULT_OPENAT, open_dir_it},
             {FAULT_PWRITE, write_it},      {FAULT_PREAD, read_it},
             {FAULT_FDATASYNC, sync_it},    {FAULT_FSYNC, sync_dir_it},
             {FAULT_FALLOCATE, allocate_it}};
#define CALL_COUNT (sizeof calls / sizeof calls[0])

static void an_interrupted_call_is_made_again(void **state)
{
    uint64_t size;

    (void)state;
    for (size_t i = 0; i < CALL_COUNT; i++) {
        faults_fail(calls[i].call, NULL, 1, EINTR, FAULT_ONCE);
        OK(calls[i].make());
        assert_int_equal(faults_count(), 2);
        faults_clear();
    }
    OK(rill__file_size(&file, &size));
    assert_int_equal(size, 5000);
}

/* Of a sync above all: the second one would succeed, and what the first one
 * lost would be lost. */
static void a_failed_call_is_not_made_again(void **state)
{
    (void)state;
    OK(write_it());
    for (size_t i = 0; i < CALL_COUNT; i++) {
        faults_fail(calls[i].call, NULL, 1, EIO, FAULT_ONCE);
        FAILS(RILL_ERR_IO, calls[i].make());
        assert_int_equal(faults_count(), 1);
        faults_clear();
    }
}

/* ---- Allocating without the call for it ---- */

static int cannot_fallocate(int fd, int mode, off_t offset, off_t size)
{
    (void)fd, (void)mode, (void)offset, (void)size;
    errno = ENOSYS;
    return -1;
}

static void zeros_that_do_not_fit_leave_nothing(void **state)
{
    uint64_t size;

    (void)state;
    for (uint64_t nth = 1; nth <= 4; nth++) { /* 200,000 bytes are four writes */
        faults_fail(FAULT_PWRITE, NULL, nth, ENOSPC, FAULT_TORN);
        rill__sys.fallocate = cannot_fallocate;
        FAILS(RILL_ERR_NO_SPACE, rill__file_allocate(&file, 200000));
        faults_clear();
        OK(rill__file_size(&file, &size));
        assert_int_equal(size, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_interrupted_call_is_made_again),
        TEST(a_failed_call_is_not_made_again),
        TEST(zeros_that_do_not_fit_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
