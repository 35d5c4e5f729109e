/*
 * Directories are private, are listed whole and anew each time, and say what
 * file system they are on; names below one lead nowhere else.
 */
#include "os/os.h"
#include "os/sys.h"
#include "testing.h"
#include <errno.h>
#include <sys/stat.h>

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

static void make_file(const char *name)
{
    struct file file;

    OK(rill__file_open(&dir, name, FILE_WRITE | FILE_CREATE, &file));
    rill__file_close(&file);
}

/* What open() would give next: higher if somebody forgot to close. */
static int next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

/* ---- Making and opening ---- */

static void only_their_owner_gets_in(void **state)
{
    mode_t mask = umask(0);
    struct stat st;

    (void)state;
    OK(rill__dir_make_at(&dir, "d"));
    OK(rill__dir_make(test_path("e")));
    umask(mask);
    assert_int_equal(stat(test_path("d"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(test_path("e"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void making_one_anew_keeps_what_is_in_it(void **state)
{
    struct file inner;
    bool exists;

    (void)state;
    OK(rill__dir_make_at(&dir, "d"));
    OK(rill__dir_open_at(&dir, "d", &inner));
    OK(rill__dir_make_at(&inner, "e"));
    OK(rill__dir_make_at(&dir, "d"));
    OK(rill__file_exists(&inner, "e", &exists));
    assert_true(exists);
    rill__file_close(&inner);
}

static void a_link_below_leads_nowhere(void **state)
{
    struct file other;

    (void)state;
    OK(rill__dir_make_at(&dir, "d"));
    assert_int_equal(symlink("d", test_path("link")), 0);
    assert_true(rill__dir_open_at(&dir, "link", &other) != 0);
    test_says("/link: cannot open the directory");
    OK(rill__dir_open(test_path("link"), &other)); /* the host's own path may be one */
    rill__file_close(&other);
}

static void a_file_is_no_directory(void **state)
{
    struct file other;

    (void)state;
    make_file("f");
    FAILS(RILL_ERR_NOT_FOUND, rill__dir_open_at(&dir, "f", &other));
    FAILS(RILL_ERR_NOT_FOUND, rill__dir_open(test_path("f"), &other));
    assert_true(rill__dir_remove_at(&dir, "f") != 0);
    assert_int_equal(access(test_path("f"), F_OK), 0);
}

static void descriptors_do_not_pass_exec(void **state)
{
    (void)state;
    assert_true((fcntl(dir.fd, F_GETFD) & FD_CLOEXEC) != 0);
}

/* ---- Refusals ---- */

static int refusal;

static int refuse_mkdirat(int at, const char *name, mode_t mode)
{
    (void)at, (void)name, (void)mode;
    errno = refusal;
    return -1;
}

static int refuse_unlinkat(int at, const char *name, int flags)
{
    (void)at, (void)name, (void)flags;
    errno = refusal;
    return -1;
}

static int refuse_openat(int at, const char *name, int flags, ...)
{
    (void)at, (void)name, (void)flags;
    errno = refusal;
    return -1;
}

static void a_refusal_names_the_directory(void **state)
{
    struct file other;

    (void)state;
    rill__sys.mkdirat = refuse_mkdirat;
    rill__sys.unlinkat = refuse_unlinkat;
    rill__sys.openat = refuse_openat;
    refusal = EACCES;
    FAILS(RILL_ERR_PERMISSION, rill__dir_make("/the/path"));
    test_says("/the/path: cannot make the directory: Permission denied");
    FAILS(RILL_ERR_PERMISSION, rill__dir_open("/the/path", &other));
    test_says("/the/path: cannot open the directory: Permission denied");
    refusal = ENOSPC;
    FAILS(RILL_ERR_NO_SPACE, rill__dir_make_at(&dir, "d"));
    test_says("/d: cannot make the directory: No space left");
    refusal = EROFS;
    FAILS(RILL_ERR_PERMISSION, rill__dir_remove_at(&dir, "d"));
    test_says("/d: cannot remove the directory: Read-only");
}

/* ---- Listing ---- */

#define MANY 600
static int seen[MANY];

static int see(void *arg, const char *name)
{
    int i = atoi(name + 1);

    ++*(int *)arg;
    if (name[0] != 'n' || i < 0 || i >= MANY) return 1;
    seen[i]++;
    return 0;
}

static void each_name_is_seen_once_each_time(void **state)
{
    char name[20];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "n%d", i);
        make_file(name);
    }
    for (int round = 1; round <= 3; round++) {
        int count = 0;
        OK(rill__dir_list(&dir, see, &count));
        assert_int_equal(count, MANY);
        for (int i = 0; i < MANY; i++) assert_int_equal(seen[i], round);
    }
}

static int remove_it(void *arg, const char *name)
{
    return rill__file_remove(arg, name);
}

static void what_is_seen_may_be_removed(void **state)
{
    int count = 0;

    (void)state;
    make_file("n1");
    make_file(".hidden");
    OK(rill__dir_list(&dir, remove_it, &dir));
    OK(rill__dir_list(&dir, see, &count));
    assert_int_equal(count, 0);
}

static int stop(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return -4242;
}

static void listing_leaves_nothing_open(void **state)
{
    struct file other = FILE_NONE;
    int before = next_descriptor();
    int count = 0;

    (void)state;
    make_file("n1");
    make_file("n2");
    OK(rill__dir_list(&dir, see, &count));
    count = 0;
    assert_int_equal(rill__dir_list(&dir, stop, &count), -4242);
    assert_int_equal(count, 1);
    FAILS(RILL_ERR_IO, rill__dir_list(&other, stop, &count)); /* not open */
    test_says("cannot list the directory");
    refusal = EMFILE;
    rill__sys.openat = refuse_openat;
    FAILS(RILL_ERR_IO, rill__dir_list(&dir, stop, &count));
    assert_int_equal(count, 1);
    assert_int_equal(next_descriptor(), before);
}

/* ---- File systems ---- */

static long magic;

static int fstatfs_of_magic(int fd, struct statfs *st)
{
    (void)fd;
    memset(st, 0, sizeof *st);
    memcpy(&st->f_type, &magic, sizeof st->f_type);
    return 0;
}

static int refuse_fstatfs(int fd, struct statfs *st)
{
    (void)fd, (void)st;
    errno = refusal;
    return -1;
}

static void a_file_system_is_known_by_what_it_promises(void **state)
{
    static const struct {
        long magic;
        const char *name;
        bool volatile_memory;
        bool network;
        bool copy_on_write;
    } known[] = {
        {0xef53, "ext4", false, false, false},     {0x58465342, "xfs", false, false, false},
        {0x9123683e, "btrfs", false, false, true}, {0x2fc12fc1, "zfs", false, false, true},
        {0x01021994, "tmpfs", true, false, false}, {0x858458f6, "ramfs", true, false, false},
        {0x6969, "nfs", false, true, false},       {0x65735546, "fuse", false, true, false},
        {0xff534d42, "cifs", false, true, false},  {0x01021997, "9p", false, true, false},
        {0x12345, "0x12345", false, false, false}};

    (void)state;
    rill__sys.fstatfs = fstatfs_of_magic;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct file_system system;
        memset(&system, 0xee, sizeof system);
        magic = known[i].magic;
        OK(rill__file_system_of(&dir, &system));
        assert_string_equal(system.name, known[i].name);
        assert_int_equal(system.volatile_memory, known[i].volatile_memory);
        assert_int_equal(system.network, known[i].network);
        assert_int_equal(system.copy_on_write, known[i].copy_on_write);
    }
}

static void a_file_system_that_does_not_tell_is_an_error(void **state)
{
    struct file_system system;

    (void)state;
    OK(rill__file_system_of(&dir, &system)); /* whatever it is */
    assert_true(system.name[0] != '\0');
    rill__sys.fstatfs = refuse_fstatfs;
    refusal = EIO;
    FAILS(RILL_ERR_IO, rill__file_system_of(&dir, &system));
}

static void writing_in_place_is_asked_for_where_it_can_be(void **state)
{
    (void)state;
    OK(rill__dir_set_nocow(&dir));
    make_file("f");
}

static void what_is_above_a_directory_is_known(void **state)
{
    struct file one = FILE_NONE;
    struct file two = FILE_NONE;
    struct file other = FILE_NONE;
    uint64_t id[2];
    bool within;

    (void)state;
    OK(rill__dir_make_at(&dir, "one"));
    OK(rill__dir_open_at(&dir, "one", &one));
    OK(rill__dir_make_at(&one, "two"));
    OK(rill__dir_open_at(&one, "two", &two));
    OK(rill__dir_make_at(&dir, "other"));
    OK(rill__dir_open_at(&dir, "other", &other));
    OK(rill__file_identity(&one, &id[0], &id[1]));
    OK(rill__dir_is_within(&two, id[0], id[1], &within));
    assert_true(within);
    OK(rill__dir_is_within(&one, id[0], id[1], &within));
    assert_true(within);
    OK(rill__dir_is_within(&other, id[0], id[1], &within)); /* up to the root */
    assert_false(within);
    OK(rill__dir_is_within(&dir, id[0], id[1], &within));
    assert_false(within);
    rill__sys.openat = refuse_openat;
    refusal = EACCES;
    FAILS(RILL_ERR_PERMISSION, rill__dir_is_within(&two, id[0], id[1], &within));
    rill__sys = standard;
    rill__file_close(&one);
    rill__file_close(&two);
    rill__file_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(only_their_owner_gets_in),
        TEST(making_one_anew_keeps_what_is_in_it),
        TEST(a_link_below_leads_nowhere),
        TEST(a_file_is_no_directory),
        TEST(descriptors_do_not_pass_exec),
        TEST(a_refusal_names_the_directory),
        TEST(each_name_is_seen_once_each_time),
        TEST(what_is_seen_may_be_removed),
        TEST(listing_leaves_nothing_open),
        TEST(a_file_system_is_known_by_what_it_promises),
        TEST(a_file_system_that_does_not_tell_is_an_error),
        TEST(writing_in_place_is_asked_for_where_it_can_be),
        TEST(what_is_above_a_directory_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
