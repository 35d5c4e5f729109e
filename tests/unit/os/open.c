/*
 * An open file is the one that was asked for and nobody else's: private,
 * not passed on by exec, not through a link; a failed open leaves nothing open.
 * A file keeps its identity under any name.
 */
#include "os/os.h"
#include "os/sys.h"
#include "faults.h"
#include "testing.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct file dir;

static int set_up(void **state)
{
    (void)state;
    OK(rill__dir_open(test_directory(), &dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    faults_clear();
    rill__file_close(&dir);
    test_directory_remove();
    return 0;
}

static struct file make_file(const char *name)
{
    struct file file;

    OK(rill__file_open(&dir, name, FILE_WRITE | FILE_CREATE, &file));
    return file;
}

static int next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

/* ---- Opening ---- */

static void a_new_file_is_private(void **state)
{
    mode_t mask = umask(0);
    struct file file = make_file("f");
    struct stat st;

    (void)state;
    umask(mask);
    assert_int_equal(fstat(file.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true((fcntl(file.fd, F_GETFD) & FD_CLOEXEC) != 0);
    rill__file_close(&file);
}

static void one_for_reading_cannot_be_written(void **state)
{
    struct file file = make_file("f");

    (void)state;
    rill__file_close(&file);
    OK(rill__file_open(&dir, "f", FILE_READ, &file));
    FAILS(RILL_ERR_IO, rill__file_write(&file, "x", 1, 0));
    rill__file_close(&file);
}

static void a_file_that_is_there_is_opened_as_it_is(void **state)
{
    struct file file = make_file("f");
    char text[6] = "";

    (void)state;
    OK(rill__file_write(&file, "hello", 5, 0));
    rill__file_close(&file);
    file = make_file("f");
    OK(rill__file_read(&file, text, 5, 0));
    assert_string_equal(text, "hello");
    rill__file_close(&file);
}

static void creating_does_not_follow_a_link(void **state)
{
    struct file file;

    (void)state;
    assert_int_equal(symlink("elsewhere", test_path("link")), 0);
    FAILS(RILL_ERR_CORRUPT, rill__file_open(&dir, "link", FILE_WRITE | FILE_CREATE, &file));
    assert_int_equal(access(test_path("elsewhere"), F_OK), -1);
}

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    if (strlen(path) >= sizeof address.sun_path) skip();
    memcpy(address.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void a_socket_is_no_file(void **state)
{
    struct file file;

    (void)state;
    make_socket(test_path("socket"));
    FAILS(RILL_ERR_CORRUPT, rill__file_open(&dir, "socket", FILE_WRITE, &file));
    test_says("no regular file");
}

static void a_failed_open_leaves_nothing_open(void **state)
{
    static const struct {
        int value;
        int code;
    } known[] = {{EACCES, RILL_ERR_PERMISSION}, {EROFS, RILL_ERR_PERMISSION},
                 {ENOSPC, RILL_ERR_NO_SPACE},   {ENOMEM, RILL_ERR_NO_MEMORY},
                 {EMFILE, RILL_ERR_IO},         {EIO, RILL_ERR_IO}};
    struct file file = make_file("f");
    int before;

    (void)state;
    rill__file_close(&file);
    assert_int_equal(mkfifo(test_path("pipe"), 0600), 0);
    before = next_descriptor();
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        for (int call = 0; call < 2; call++) {
            faults_fail(call == 0 ? FAULT_OPENAT : FAULT_FSTAT, NULL, 1, known[i].value,
                        FAULT_ONCE);
            FAILS(known[i].code, rill__file_open(&dir, "f", FILE_READ, &file));
            test_says("/f: ");
            assert_int_equal(file.fd, -1);
            faults_clear();
        }
    }
    FAILS(RILL_ERR_CORRUPT, rill__file_open(&dir, "pipe", FILE_READ, &file));
    assert_int_equal(file.fd, -1);
    assert_int_equal(next_descriptor(), before);
}

static int close_badly(int fd)
{
    close(fd);
    errno = EIO;
    return -1;
}

static void closing_keeps_errno(void **state)
{
    struct sys_calls standard = rill__sys;
    struct file file = make_file("f");
    int fd = file.fd;

    (void)state;
    rill__sys.close = close_badly;
    errno = 4242;
    rill__file_close(&file);
    assert_int_equal(errno, 4242);
    rill__sys = standard;
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* ---- Which file it is ---- */

static void a_file_is_the_same_under_any_name(void **state)
{
    struct file file = make_file("f");
    struct file same;
    struct file other = make_file("other");
    uint64_t device[3];
    uint64_t inode[3];

    (void)state;
    assert_int_equal(link(test_path("f"), test_path("g")), 0);
    OK(rill__file_open(&dir, "g", FILE_READ, &same));
    OK(rill__file_identity(&file, &device[0], &inode[0]));
    OK(rill__file_rename(&dir, "g", "h"));
    OK(rill__file_identity(&same, &device[1], &inode[1]));
    OK(rill__file_identity(&other, &device[2], &inode[2]));
    assert_true(device[0] == device[1] && inode[0] == inode[1]);
    assert_true(device[0] == device[2] && inode[0] != inode[2]);
    faults_fail(FAULT_FSTAT, NULL, 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, rill__file_identity(&file, &device[0], &inode[0]));
    rill__file_close(&file);
    rill__file_close(&same);
    rill__file_close(&other);
}

static void renaming_takes_the_place_of_another(void **state)
{
    struct file file = make_file("f");
    struct file other = make_file("g");
    uint64_t size;

    (void)state;
    OK(rill__file_write(&file, "hello", 5, 0));
    rill__file_close(&file);
    rill__file_close(&other);
    OK(rill__file_rename(&dir, "f", "g"));
    OK(rill__file_open(&dir, "g", FILE_READ, &file));
    OK(rill__file_size(&file, &size));
    assert_int_equal(size, 5);
    rill__file_close(&file);
    faults_fail(FAULT_RENAMEAT, NULL, 1, ENOSPC, FAULT_ONCE);
    FAILS(RILL_ERR_NO_SPACE, rill__file_rename(&dir, "g", "f"));
    test_says("cannot rename g to f: No space left");
}

static void removing_says_what_it_could_not(void **state)
{
    struct file file = make_file("f");

    (void)state;
    rill__file_close(&file);
    faults_fail(FAULT_UNLINKAT, NULL, 1, EPERM, FAULT_ONCE);
    FAILS(RILL_ERR_PERMISSION, rill__file_remove(&dir, "f"));
    test_says("/f: cannot remove");
    OK(rill__file_remove(&dir, "f"));
    assert_int_equal(access(test_path("f"), F_OK), -1);
}

static int refuse_fstatat(int at, const char *name, struct stat *st, int flags)
{
    (void)at, (void)name, (void)st, (void)flags;
    errno = EIO;
    return -1;
}

static void a_name_exists_whatever_it_is(void **state)
{
    struct sys_calls standard = rill__sys;
    bool exists = false;

    (void)state;
    assert_int_equal(symlink("nowhere", test_path("link")), 0);
    OK(rill__file_exists(&dir, "link", &exists));
    assert_true(exists);
    OK(rill__file_exists(&dir, "nowhere", &exists));
    assert_false(exists);
    rill__sys.fstatat = refuse_fstatat;
    FAILS(RILL_ERR_IO, rill__file_exists(&dir, "f", &exists)); /* not known is not missing */
    rill__sys = standard;
}

/* ---- What is in it ---- */

static void positions_have_more_than_32_bits(void **state)
{
    const uint64_t far = UINT64_C(5) << 30;
    struct file file = make_file("f");
    uint64_t size;
    char text[6] = "";

    (void)state;
    OK(rill__file_write(&file, "hello", 5, far)); /* a hole before it */
    OK(rill__file_size(&file, &size));
    assert_true(size == far + 5);
    OK(rill__file_read(&file, text, 5, far));
    assert_string_equal(text, "hello");
    FAILS(RILL_ERR_CORRUPT, rill__file_read(&file, text, 1, far + 5));
    test_says("ends before 5368709126");
    rill__file_close(&file);
}

static void a_read_that_fails_says_where(void **state)
{
    struct file file = make_file("f");
    uint64_t size = 4242;
    char text[10];

    (void)state;
    OK(rill__file_write(&file, "0123456789", 10, 0));
    faults_fail(FAULT_PREAD, NULL, 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, rill__file_read(&file, text, 3, 7));
    test_says("/f: reading 3 bytes at 7: Input/output error");
    OK(rill__file_read(&file, text, 3, 7));
    OK(rill__file_read(&file, text, 0, 700)); /* nothing is always there */
    faults_fail(FAULT_FSTAT, NULL, 1, EIO, FAULT_ONCE);
    FAILS(RILL_ERR_IO, rill__file_size(&file, &size));
    assert_int_equal(size, 4242);
    rill__file_close(&file);
}

static void reserving_changes_neither_size_nor_bytes(void **state)
{
    struct file file = make_file("f");
    uint64_t size;
    char text[6] = "";

    (void)state;
    OK(rill__file_write(&file, "hello", 5, 0));
    rill__file_reserve(&file, 1 << 20);
    OK(rill__file_size(&file, &size));
    assert_int_equal(size, 5);
    faults_fail(FAULT_FALLOCATE, NULL, 1, ENOSPC, FAULT_ONCE);
    rill__file_reserve(&file, 2 << 20); /* no promise, so no failure */
    assert_int_equal(faults_count(), 1);
    OK(rill__file_read(&file, text, 5, 0));
    assert_string_equal(text, "hello");
    rill__file_close(&file);
}

static void a_dropped_cache_is_read_again(void **state)
{
    struct file file = make_file("f");
    char text[6] = "";

    (void)state;
    OK(rill__file_write(&file, "hello", 5, 0));
    rill__file_drop_cache(&file); /* not yet synced: kept */
    OK(rill__file_read(&file, text, 5, 0));
    OK(rill__file_sync(&file));
    rill__file_drop_cache(&file);
    OK(rill__file_read(&file, text, 5, 0));
    assert_string_equal(text, "hello");
    rill__file_close(&file);
}

/* ---- By a path ---- */

static int see_name(void *arg, const char *name)
{
    snprintf(arg, 40, "%s", name);
    return 0;
}

static void a_directory_need_not_be_open(void **state)
{
    struct file below;
    struct file file;
    struct file opened;
    struct file_facts facts;
    char seen[40] = "";
    int next = next_descriptor();
    bool exists;

    (void)state;
    OK(rill__dir_make_at(&dir, "a"));
    rill__dir_below(&dir, "a", &below);
    OK(rill__dir_make_at(&below, "b"));
    rill__dir_below(&dir, "a/b", &below);
    assert_non_null(strstr(below.name, "/a/b"));
    assert_int_equal(next_descriptor(), next); /* it takes none */
    OK(rill__file_open(&below, "f", FILE_WRITE | FILE_CREATE, &file));
    assert_non_null(strstr(file.name, "/a/b/f"));
    assert_null(file.below);
    OK(rill__file_write(&file, "12345", 5, 0));
    rill__file_close(&file);
    assert_int_equal(access(test_path("a/b/f"), F_OK), 0);
    OK(rill__file_look(&below, "f", &facts));
    assert_int_equal(facts.size, 5);
    assert_int_equal(facts.links, 1);
    OK(rill__file_link(&below, "f", &dir, "other"));
    OK(rill__file_link(&dir, "other", &below, "third"));
    OK(rill__file_look(&below, "f", &facts));
    assert_int_equal(facts.links, 3);
    OK(rill__file_remove(&below, "third"));
    OK(rill__file_rename(&below, "f", "g"));
    OK(rill__file_exists(&below, "f", &exists));
    assert_false(exists);
    OK(rill__dir_list(&below, see_name, seen));
    assert_string_equal(seen, "g");
    OK(rill__dir_sync(&below));
    OK(rill__dir_open_at(&below, ".", &opened));
    OK(rill__file_exists(&opened, "g", &exists));
    assert_true(exists);
    rill__file_close(&opened);
    OK(rill__file_remove(&below, "g"));
    rill__dir_below(&dir, "a", &below);
    OK(rill__dir_remove_at(&below, "b"));
    assert_int_equal(next_descriptor(), next);
    rill__file_close(&below); /* is none: dir stays open */
    assert_int_equal(below.fd, -1);
    OK(rill__file_exists(&dir, "a", &exists));
    assert_true(exists);
    rill__dir_below(&dir, "none", &below);
    FAILS(RILL_ERR_NOT_FOUND, rill__dir_sync(&below));
    FAILS(RILL_ERR_NOT_FOUND, rill__dir_list(&below, see_name, seen));
    FAILS(RILL_ERR_NOT_FOUND, rill__file_open(&below, "f", FILE_READ, &file));
}

static void a_look_at_what_is_not_there_gives_zeros(void **state)
{
    struct file_facts facts = {1, 1};

    (void)state;
    OK(rill__file_look(&dir, "none", &facts));
    assert_int_equal(facts.size, 0);
    assert_int_equal(facts.links, 0);
    rill__sys.fstatat = refuse_fstatat;
    FAILS(RILL_ERR_IO, rill__file_look(&dir, "none", &facts));
    rill__sys.fstatat = fstatat;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_is_private),
        TEST(one_for_reading_cannot_be_written),
        TEST(a_file_that_is_there_is_opened_as_it_is),
        TEST(creating_does_not_follow_a_link),
        TEST(a_socket_is_no_file),
        TEST(a_failed_open_leaves_nothing_open),
        TEST(closing_keeps_errno),
        TEST(a_file_is_the_same_under_any_name),
        TEST(renaming_takes_the_place_of_another),
        TEST(removing_says_what_it_could_not),
        TEST(a_name_exists_whatever_it_is),
        TEST(positions_have_more_than_32_bits),
        TEST(a_read_that_fails_says_where),
        TEST(reserving_changes_neither_size_nor_bytes),
        TEST(a_dropped_cache_is_read_again),
        TEST(a_directory_need_not_be_open),
        TEST(a_look_at_what_is_not_there_gives_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
