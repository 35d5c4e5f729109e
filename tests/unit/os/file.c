/*
 * Files and directories: whole reads and writes, errors that name the file, no
 * links followed, real blocks before a map, nothing left behind by a failure.
 */
#include "os/os.h"
#include "os/sys.h"
#include "testing.h"
#include <errno.h>

static struct sys_calls standard;
static struct file dir;

static int set_up(void **state)
{
    (void)state;
    standard = rill__sys;
    OK(rill__dir_open(test_directory(), &dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rill__sys = standard;
    rill__file_close(&dir);
    test_directory_remove();
    return 0;
}

static void what_is_written_is_read(void **state)
{
    struct file file;
    char text[6] = "";
    uint64_t size;
    bool exists;

    (void)state;
    OK(rill__file_exists(&dir, "f", &exists));
    assert_false(exists);
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file));
    OK(rill__file_write(&file, "hello", 5, 100));
    OK(rill__file_sync(&file));
    OK(rill__dir_sync(&dir));
    OK(rill__file_size(&file, &size));
    assert_int_equal(size, 105);
    OK(rill__file_read(&file, text, 5, 100));
    assert_string_equal(text, "hello");
    FAILS(RILL_ERR_CORRUPT, rill__file_read(&file, text, 6, 100));
    test_says("ends before 106");
    rill__file_close(&file);
    assert_int_equal(file.fd, -1);
    rill__file_close(&file);
    OK(rill__file_rename(&dir, "f", "g"));
    OK(rill__file_exists(&dir, "g", &exists));
    assert_true(exists);
    OK(rill__file_remove(&dir, "g"));
    OK(rill__file_remove(&dir, "g"));
    FAILS(RILL_ERR_NOT_FOUND, rill__file_rename(&dir, "g", "h"));
}

static void only_regular_files_are_opened(void **state)
{
    struct file file;

    (void)state;
    FAILS(RILL_ERR_NOT_FOUND, rill__file_open(&dir, "none", FILE_READ, &file));
    test_says("none");
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    rill__file_close(&file);
    FAILS(RILL_ERR_EXISTS,
          rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file));
    assert_int_equal(symlink("f", test_path("link")), 0);
    FAILS(RILL_ERR_CORRUPT, rill__file_open(&dir, "link", FILE_READ, &file));
    test_says("no regular file");
    OK(rill__dir_make_at(&dir, "d"));
    FAILS(RILL_ERR_CORRUPT, rill__file_open(&dir, "d", FILE_READ, &file));
    assert_int_equal(mkfifo(test_path("pipe"), 0600), 0);
    FAILS(RILL_ERR_CORRUPT, rill__file_open(&dir, "pipe", FILE_READ, &file)); /* does not wait */
    FAILS(RILL_ERR_CORRUPT, rill__file_open(&dir, "pipe", FILE_WRITE, &file));
}

static int count_name(void *arg, const char *name)
{
    char *names = arg;

    strcat(names, name);
    return strcmp(name, "stop") == 0 ? 42 : 0;
}

static void directories_are_made_listed_and_removed(void **state)
{
    struct file inner;
    char names[100] = "";

    (void)state;
    OK(rill__dir_make_at(&dir, "d"));
    OK(rill__dir_make_at(&dir, "d"));
    OK(rill__dir_make(test_path("d")));
    OK(rill__dir_list(&dir, count_name, names));
    assert_string_equal(names, "d");
    OK(rill__dir_open_at(&dir, "d", &inner));
    OK(rill__dir_make_at(&inner, "stop"));
    assert_int_equal(rill__dir_list(&inner, count_name, names), 42);
    assert_true(rill__dir_remove_at(&dir, "d") != 0); /* not empty */
    OK(rill__dir_remove_at(&inner, "stop"));
    rill__file_close(&inner);
    OK(rill__dir_remove_at(&dir, "d"));
    OK(rill__dir_remove_at(&dir, "d"));
    FAILS(RILL_ERR_NOT_FOUND, rill__dir_open_at(&dir, "d", &inner));
    FAILS(RILL_ERR_NOT_FOUND, rill__dir_open("/none/of/this", &inner));
    FAILS(RILL_ERR_NOT_FOUND, rill__dir_make("/none/of/this"));
}

/* ---- With a system that does not oblige ---- */

static int calls;

static ssize_t pwrite_by_bytes(int fd, const void *data, size_t size, off_t at)
{
    if (++calls % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    return pwrite(fd, data, size > 3 ? 3 : size, at);
}

static ssize_t pread_by_bytes(int fd, void *data, size_t size, off_t at)
{
    if (++calls % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    return pread(fd, data, size > 3 ? 3 : size, at);
}

static void short_and_interrupted_calls_are_gone_on_with(void **state)
{
    const char text[] = "a text that does not go through in one call";
    char back[sizeof text];
    struct file file;

    (void)state;
    rill__sys.pwrite = pwrite_by_bytes;
    rill__sys.pread = pread_by_bytes;
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    OK(rill__file_write(&file, text, sizeof text, 5));
    OK(rill__file_read(&file, back, sizeof back, 5));
    assert_string_equal(back, text);
    assert_true(calls > 40);
    rill__file_close(&file);
}

static int failing_errno;

static ssize_t pwrite_fails(int fd, const void *data, size_t size, off_t at)
{
    (void)fd, (void)data, (void)size, (void)at;
    errno = failing_errno;
    return failing_errno == 0 ? 0 : -1;
}

static int fallocate_fails(int fd, int mode, off_t offset, off_t size)
{
    (void)mode;
    if (failing_errno == ENOSPC) assert_int_equal(ftruncate(fd, offset + size / 2), 0);
    errno = failing_errno;
    return -1;
}

static int sync_fails(int fd)
{
    (void)fd;
    errno = failing_errno;
    return -1;
}

static void a_write_that_fails_says_where(void **state)
{
    struct file file;

    (void)state;
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    rill__sys.pwrite = pwrite_fails;
    failing_errno = ENOSPC;
    FAILS(RILL_ERR_NO_SPACE, rill__file_write(&file, "x", 1, 77));
    test_says("/f: writing 1 bytes at 77: No space left");
    failing_errno = EIO;
    FAILS(RILL_ERR_IO, rill__file_write(&file, "x", 1, 77));
    failing_errno = 0;
    FAILS(RILL_ERR_IO, rill__file_write(&file, "x", 1, 77));
    rill__sys.fdatasync = sync_fails;
    failing_errno = EIO;
    FAILS(RILL_ERR_IO, rill__file_sync(&file));
    failing_errno = ENOSPC;
    FAILS(RILL_ERR_NO_SPACE, rill__file_sync(&file));
    rill__sys.fsync = sync_fails;
    FAILS(RILL_ERR_NO_SPACE, rill__dir_sync(&dir));
    rill__file_close(&file);
}

static void allocating_gives_blocks_or_leaves_nothing(void **state)
{
    struct file file;
    struct stat st;
    uint64_t size;

    (void)state;
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    OK(rill__file_allocate(&file, 100000));
    assert_int_equal(fstat(file.fd, &st), 0);
    assert_int_equal(st.st_size, 100000);
    assert_true(st.st_blocks * 512 >= 100000);
    rill__file_close(&file);

    OK(rill__file_open(&dir, "g", FILE_WRITE | FILE_CREATE, &file));
    rill__sys.fallocate = fallocate_fails;
    failing_errno = ENOSPC;
    FAILS(RILL_ERR_NO_SPACE, rill__file_allocate(&file, 100000));
    test_says("no room for 100000 bytes");
    OK(rill__file_size(&file, &size));
    assert_int_equal(size, 0);

    failing_errno = EOPNOTSUPP; /* then by writing zeros */
    OK(rill__file_allocate(&file, 100000));
    assert_int_equal(fstat(file.fd, &st), 0);
    assert_int_equal(st.st_size, 100000);
    assert_true(st.st_blocks * 512 >= 100000);
    rill__file_close(&file);
}

/* ---- Maps ---- */

static void a_map_is_the_file(void **state)
{
    struct map map = MAP_NONE;
    struct map reading = MAP_NONE;
    struct file file;
    char text[3] = "";

    (void)state;
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    OK(rill__file_allocate(&file, 10000));
    OK(rill__map(&file, 10000, true, &map));
    OK(rill__map(&file, 10000, false, &reading));
    OK(rill__map_populate(&map, 0, 8192));
    memcpy(map.data + 5000, "hi", 2);
    OK(rill__file_read(&file, text, 2, 5000));
    assert_string_equal(text, "hi");
    assert_memory_equal(reading.data + 5000, "hi", 2);
    FAILS(RILL_ERR_CORRUPT, rill__map(&file, 10001, false, &map));
    test_says("has 10000 bytes, 10001 are needed");
    rill__unmap(&map);
    assert_null(map.data);
    rill__unmap(&map);
    rill__unmap(&reading);
    rill__file_close(&file);
}

static int madvise_fails(void *at, size_t size, int advice)
{
    (void)at, (void)size, (void)advice;
    errno = failing_errno;
    return -1;
}

static void populating_fails_without_a_signal(void **state)
{
    struct map map = {(uint8_t *)&calls, 1};

    (void)state;
    rill__sys.madvise = madvise_fails;
    failing_errno = EINVAL; /* an old kernel: nothing is lost */
    OK(rill__map_populate(&map, 0, 1));
    failing_errno = EFAULT;
    FAILS(RILL_ERR_NO_SPACE, rill__map_populate(&map, 0, 1));
    failing_errno = EIO;
    FAILS(RILL_ERR_IO, rill__map_populate(&map, 0, 1));
}

/* ---- Locks ---- */

static void a_lock_belongs_to_the_open_file(void **state)
{
    struct file one;
    struct file two;

    (void)state;
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &one));
    OK(rill__file_open(&dir, "f", FILE_WRITE, &two));
    OK(rill__file_lock(&one, 3, FILE_LOCK_EXCLUSIVE, 0));
    FAILS(RILL_ERR_BUSY, rill__file_lock(&two, 3, FILE_LOCK_SHARED, 0));
    test_says("byte 3");
    FAILS(RILL_ERR_TIMEOUT, rill__file_lock(&two, 3, FILE_LOCK_EXCLUSIVE, 5));
    OK(rill__file_lock(&two, 4, FILE_LOCK_EXCLUSIVE, 0)); /* another byte */
    OK(rill__file_lock(&one, 3, FILE_LOCK_SHARED, 0));
    OK(rill__file_lock(&two, 3, FILE_LOCK_SHARED, 0));
    FAILS(RILL_ERR_BUSY, rill__file_lock(&one, 3, FILE_LOCK_EXCLUSIVE, 0));
    OK(rill__file_lock(&two, 3, FILE_LOCK_NONE, 0));
    OK(rill__file_lock(&one, 3, FILE_LOCK_EXCLUSIVE, 0));
    rill__file_close(&one); /* lets go */
    OK(rill__file_lock(&two, 3, FILE_LOCK_EXCLUSIVE, 0));
    rill__file_close(&two);
}

static void a_long_name_keeps_its_end(void **state)
{
    char name[200];
    struct file file;

    (void)state;
    memset(name, 'x', sizeof name - 1);
    memcpy(name + sizeof name - 5, ".end", 5);
    FAILS(RILL_ERR_NOT_FOUND, rill__file_open(&dir, name, FILE_READ, &file));
    test_says("...");
    test_says(".end: ");
}

/* ---- Second names ---- */

static int failing_link(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    (void)from_dir, (void)from, (void)to_dir, (void)to, (void)flags;
    errno = failing_errno;
    return -1;
}

static void a_second_name_is_the_same_file(void **state)
{
    static const int cannot[] = {EXDEV, EPERM, EMLINK, EOPNOTSUPP, ENOSYS};
    struct file below = FILE_NONE;
    struct file file;
    uint64_t one[2];
    uint64_t two[2];

    (void)state;
    OK(rill__dir_make_at(&dir, "below"));
    OK(rill__dir_open_at(&dir, "below", &below));
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    OK(rill__file_identity(&file, &one[0], &one[1]));
    rill__file_close(&file);
    OK(rill__file_link(&dir, "f", &below, "g"));
    OK(rill__file_open(&below, "g", FILE_READ, &file));
    OK(rill__file_identity(&file, &two[0], &two[1]));
    rill__file_close(&file);
    assert_memory_equal(one, two, sizeof one);
    FAILS(RILL_ERR_EXISTS, rill__file_link(&dir, "f", &below, "g"));
    test_says("below/g");
    FAILS(RILL_ERR_NOT_FOUND, rill__file_link(&dir, "none", &below, "h"));
    rill__sys.linkat = failing_link;
    for (size_t i = 0; i < sizeof cannot / sizeof *cannot; i++) {
        failing_errno = cannot[i];
        FAILS(RILL_ERR_UNSUPPORTED, rill__file_link(&dir, "f", &below, "h"));
    }
    failing_errno = ENOSPC;
    FAILS(RILL_ERR_NO_SPACE, rill__file_link(&dir, "f", &below, "h"));
    rill__file_close(&below);
}

static int interrupted_once(int fd, off_t size)
{
    rill__sys.ftruncate = standard.ftruncate;
    (void)fd, (void)size;
    errno = EINTR;
    return -1;
}

static void a_size_is_set_with_a_hole(void **state)
{
    struct file file;
    uint64_t size;
    char byte = 1;

    (void)state;
    OK(rill__file_open(&dir, "f", FILE_WRITE | FILE_CREATE, &file));
    rill__sys.ftruncate = interrupted_once;
    OK(rill__file_resize(&file, 100000));
    OK(rill__file_size(&file, &size));
    assert_int_equal(size, 100000);
    OK(rill__file_read(&file, &byte, 1, 99999));
    assert_int_equal(byte, 0);
    rill__file_close(&file);
    OK(rill__file_open(&dir, "f", FILE_READ, &file));
    FAILS(RILL_ERR_INVALID, rill__file_resize(&file, 5));
    test_says("5 bytes");
    rill__file_close(&file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(only_regular_files_are_opened),
        TEST(directories_are_made_listed_and_removed),
        TEST(short_and_interrupted_calls_are_gone_on_with),
        TEST(a_write_that_fails_says_where),
        TEST(allocating_gives_blocks_or_leaves_nothing),
        TEST(a_map_is_the_file),
        TEST(populating_fails_without_a_signal),
        TEST(a_lock_belongs_to_the_open_file),
        TEST(a_long_name_keeps_its_end),
        TEST(a_second_name_is_the_same_file),
        TEST(a_size_is_set_with_a_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
