/*
 * A map is the file for everybody who maps it, for reading only if that was
 * asked; a failure leaves no map and is an error, never a signal.
 */
#include "os/os.h"
#include "os/sys.h"
#include "faults.h"
#include "testing.h"
#include <errno.h>
#include <sys/wait.h>

#define SIZE 20000

static struct file dir;
static struct file file;

static int set_up(void **state)
{
    (void)state;
    OK(rill__dir_open(test_directory(), &dir));
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    OK(rill__file_allocate(&file, SIZE));
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

/* As the kernel sees it: whether it may store to the byte for us. */
static bool may_be_stored_to(void *at)
{
    return pread(file.fd, at, 1, 0) == 1;
}

static void a_map_for_reading_cannot_be_stored_to(void **state)
{
    struct map map = MAP_NONE;

    (void)state;
    OK(rill__map(&file, SIZE, false, &map));
    assert_int_equal(map.size, SIZE);
    assert_false(may_be_stored_to(map.data));
    assert_int_equal(errno, EFAULT);
    rill__unmap(&map);
    OK(rill__map(&file, SIZE, true, &map));
    assert_true(may_be_stored_to(map.data));
    rill__unmap(&map);
}

static int store_as_child(void)
{
    struct file own;
    struct map map = MAP_NONE;

    if (rill__file_open(&dir, "f", FILE_WRITE, &own) != 0) return 1;
    if (rill__map(&own, SIZE, true, &map) != 0) return 2;
    memcpy(map.data + SIZE - 5, "hello", 5);
    return 0;
}

static void a_store_is_seen_by_other_processes(void **state)
{
    struct map map = MAP_NONE;
    int status = -1;
    pid_t child;

    (void)state;
    OK(rill__map(&file, SIZE, false, &map));
    child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(store_as_child());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_memory_equal(map.data + SIZE - 5, "hello", 5);
    rill__unmap(&map);
}

static void a_map_outlives_its_descriptor(void **state)
{
    struct map map = MAP_NONE;

    (void)state;
    OK(rill__file_write(&file, "x", 1, 0));
    OK(rill__map(&file, SIZE, false, &map));
    rill__file_close(&file);
    assert_int_equal(map.data[0], 'x');
    rill__unmap(&map);
}

static struct map given_back;

static int munmap_and_tell(void *at, size_t size)
{
    given_back = (struct map){at, size};
    return munmap(at, size);
}

static void an_unmapped_one_is_given_back_once(void **state)
{
    struct sys_calls standard = rill__sys;
    struct map map = MAP_NONE;
    uint8_t *at;

    (void)state;
    OK(rill__map(&file, SIZE, true, &map));
    at = map.data;
    rill__sys.munmap = munmap_and_tell;
    rill__unmap(&map);
    assert_ptr_equal(given_back.data, at);
    assert_int_equal(given_back.size, SIZE);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    given_back = MAP_NONE;
    rill__unmap(&map);
    assert_null(given_back.data);
    rill__sys = standard;
}

static void a_failure_leaves_no_map(void **state)
{
    struct map map = MAP_NONE;

    (void)state;
    FAILS(RILL_ERR_CORRUPT, rill__map(&file, SIZE + 1, true, &map));
    faults_fail(FAULT_FSTAT, NULL, 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, rill__map(&file, SIZE, true, &map));
    faults_clear();
    faults_fail(FAULT_MMAP, NULL, 1, ENOMEM, FAULT_ONCE);
    FAILS(RILL_ERR_NO_MEMORY, rill__map(&file, SIZE, true, &map));
    assert_non_null(strstr(rill_errmsg(), "/f: cannot map 20000 bytes"));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
}

static void populating_changes_no_byte(void **state)
{
    static uint8_t before[SIZE];
    struct map map = MAP_NONE;

    (void)state;
    for (size_t i = 0; i < SIZE; i++) before[i] = (uint8_t)(i * 13);
    OK(rill__file_write(&file, before, SIZE, 0));
    OK(rill__map(&file, SIZE, true, &map));
    OK(rill__map_populate(&map, 0, SIZE));
    OK(rill__map_populate(&map, 0, 0));
    assert_memory_equal(map.data, before, SIZE);
    rill__unmap(&map);
}

static const uint8_t *advised_at;
static size_t advised_size;
static int advised_count;

static int madvise_later(void *at, size_t size, int advice)
{
    (void)advice;
    advised_at = at;
    advised_size = size;
    errno = ++advised_count == 1 ? EINTR : EAGAIN;
    return advised_count <= 2 ? -1 : 0;
}

static void populating_tries_again_and_takes_no_other_page(void **state)
{
    struct sys_calls standard = rill__sys;
    struct map map = MAP_NONE;

    (void)state;
    OK(rill__map(&file, SIZE, true, &map));
    rill__sys.madvise = madvise_later;
    OK(rill__map_populate(&map, 4096, 12288));
    rill__sys = standard;
    assert_int_equal(advised_count, 3);
    assert_ptr_equal(advised_at, map.data + 4096);
    assert_int_equal(advised_size, 8192);
    rill__unmap(&map);
}

/* The kernel's own word for a page that would be a signal. */
static void a_page_that_is_not_to_be_had_is_an_error(void **state)
{
    struct map map = MAP_NONE;

    (void)state;
    OK(rill__map(&file, SIZE, true, &map));
    assert_int_equal(ftruncate(file.fd, 0), 0);
    if (madvise(map.data, SIZE, 23) == 0 || errno == EINVAL) { /* before Linux 5.14 */
        rill__unmap(&map);
        skip();
    }
    FAILS(RILL_ERR_NO_SPACE, rill__map_populate(&map, 0, SIZE));
    rill__unmap(&map);
}

static void old_kernels_are_no_failure(void **state)
{
    static const int harmless[] = {EINVAL, ENOSYS};
    struct map map = MAP_NONE;

    (void)state;
    OK(rill__map(&file, SIZE, true, &map));
    for (size_t i = 0; i < 2; i++) {
        faults_fail(FAULT_MADVISE, NULL, 1, harmless[i], FAULT_ONCE);
        OK(rill__map_populate(&map, 0, SIZE));
        assert_int_equal(faults_count(), 1);
        faults_clear();
    }
    faults_fail(FAULT_MADVISE, NULL, 1, ENOMEM, FAULT_ONCE);
    FAILS(RILL_ERR_NO_MEMORY, rill__map_populate(&map, 0, SIZE));
    rill__unmap(&map);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_map_for_reading_cannot_be_stored_to),
        TEST(a_store_is_seen_by_other_processes),
        TEST(a_map_outlives_its_descriptor),
        TEST(an_unmapped_one_is_given_back_once),
        TEST(a_failure_leaves_no_map),
        TEST(populating_changes_no_byte),
        TEST(populating_tries_again_and_takes_no_other_page),
        TEST(a_page_that_is_not_to_be_had_is_an_error),
        TEST(old_kernels_are_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
