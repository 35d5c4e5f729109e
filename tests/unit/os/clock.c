/*
 * Deadlines are over exactly when they are over, clocks agree between
 * processes, and boot and process have a number, or zero where the kernel does
 * not tell.
 */
#include "os/os.h"
#include "os/sys.h"
#include "testing.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static struct sys_calls standard;

static int set_up(void **state)
{
    (void)state;
    standard = rill__sys;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rill__sys = standard;
    return 0;
}

/* ---- Time ---- */

static void a_deadline_has_no_time_left_only_once_it_is_over(void **state)
{
    int64_t deadline = rill__deadline(3);

    (void)state;
    while (rill__time_left_ms(deadline) > 0) {}
    assert_true(rill__monotonic_ns() >= deadline);
    assert_int_equal(rill__time_left_ms(deadline), 0);
}

static void for_ever_stays_for_ever(void **state)
{
    (void)state;
    assert_true(rill__deadline(RILL_FOREVER) == INT64_MAX);
    assert_int_equal(rill__time_left_ms(INT64_MAX), RILL_FOREVER);
    assert_int_equal(rill__time_left_ms(INT64_MAX - 1), INT32_MAX); /* as long as it can say */
}

static void the_longest_timeout_is_in_the_future(void **state)
{
    int64_t now = rill__monotonic_ns();

    (void)state;
    assert_true(rill__deadline(INT32_MAX) >= now + (int64_t)INT32_MAX * 1000000);
    assert_true(rill__deadline(0) >= now);
}

static void sleeping_takes_at_least_its_time(void **state)
{
    int64_t before = rill__monotonic_ns();

    (void)state;
    rill__sleep_ns(2000000);
    assert_true(rill__monotonic_ns() >= before + 2000000);
    rill__sleep_ns(-1); /* nothing */
}

static void wall_time_is_that_of_the_machine(void **state)
{
    int64_t before = (int64_t)time(NULL) * 1000;
    int64_t now = rill__now_ms();

    (void)state;
    assert_true(now >= before - 1000); /* coarse */
    assert_true(now <= ((int64_t)time(NULL) + 1) * 1000);
}

static void processes_share_one_monotonic_clock(void **state)
{
    int64_t before = rill__monotonic_ns();
    int64_t seen = 0;
    int pipes[2];
    pid_t child;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        seen = rill__monotonic_ns();
        _exit(write(pipes[1], &seen, sizeof seen) == sizeof seen ? 0 : 1);
    }
    assert_int_equal(read(pipes[0], &seen, sizeof seen), sizeof seen);
    assert_true(before <= seen);
    assert_true(seen <= rill__monotonic_ns());
    waitpid(child, NULL, 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- What the kernel tells, in words of our own ---- */

static const char *told; /* NULL: no such file */
static char asked[64];
static int left_open;

static int open_told(int dir, const char *name, int flags, ...)
{
    (void)dir, (void)flags;
    snprintf(asked, sizeof asked, "%s", name);
    if (told == NULL) {
        errno = ENOENT;
        return -1;
    }
    left_open++;
    return 4242;
}

static ssize_t read_told(int fd, void *data, size_t size, off_t at)
{
    size_t have = strlen(told);

    assert_int_equal(fd, 4242);
    assert_int_equal(at, 0);
    if (have == 0) {
        errno = EIO;
        return -1;
    }
    have = have < size ? have : size;
    memcpy(data, told, have);
    return (ssize_t)have;
}

static int close_told(int fd)
{
    assert_int_equal(fd, 4242);
    left_open--;
    return 0;
}

static void tell(const char *text)
{
    told = text;
    rill__sys.openat = open_told;
    rill__sys.pread = read_told;
    rill__sys.close = close_told;
}

static void the_boot_is_its_digits(void **state)
{
    static const uint8_t want[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                     0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
    uint8_t id[16];

    (void)state;
    tell("01234567-89ab-cdef-fedc-ba9876543210\n");
    OK(rill__boot_id(id));
    assert_memory_equal(id, want, 16);
    assert_int_equal(left_open, 0);
}

static void a_boot_that_is_not_told_is_zeros(void **state)
{
    static const char *const texts[] = {NULL, "", "01234567-89ab-cdef-fedc-ba987654321", "\n"};
    static const uint8_t zeros[16];
    uint8_t id[16];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        memset(id, 0xee, sizeof id);
        tell(texts[i]);
        OK(rill__boot_id(id));
        assert_memory_equal(id, zeros, 16);
    }
    assert_int_equal(left_open, 0);
}

/* Each field has its own number; the name has all that confuses. */
static void a_process_may_have_any_name(void **state)
{
    (void)state;
    tell("77 (a) 9 (c) 8) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25\n");
    assert_int_equal(rill__process_start(77), 22);
    assert_string_equal(asked, "/proc/77/stat");
    assert_int_equal(left_open, 0);
}

static void a_process_that_is_not_told_is_zero(void **state)
{
    static const char *const texts[] = {NULL, "", "77", "77 (name", "77 (name) S 4 5 6"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tell(texts[i]);
        assert_int_equal(rill__process_start(77), 0);
    }
    assert_int_equal(left_open, 0);
}

/* ---- Real processes ---- */

static void a_process_has_a_start_until_it_is_gone(void **state)
{
    uint64_t mine = rill__process_start(rill__process_id());
    uint64_t start;
    pid_t child;

    (void)state;
    if (getenv("RILL_TEST_EMULATED") != NULL) skip(); /* /proc/self is made up there */
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "a) 1 2 (b");
        for (;;) pause();
    }
    start = rill__process_start(child);
    assert_true(mine != 0 && start >= mine);
    assert_true(rill__process_start(child) == start);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(rill__process_start(child), 0);
}

/* ---- Randomness ---- */

static void random_bytes_fill_what_was_asked_for(void **state)
{
    uint8_t b[1002];
    bool changed[1000] = {false};

    (void)state;
    memset(b, 0, sizeof b);
    for (int i = 0; i < 20; i++) { /* a byte stays zero once in 2^160 */
        OK(rill__random(b + 1, 1000));
        for (int j = 0; j < 1000; j++) changed[j] = changed[j] || b[j + 1] != 0;
    }
    for (int j = 0; j < 1000; j++) assert_true(changed[j]);
    OK(rill__random(b, 0));
    assert_int_equal(b[0], 0);
    assert_int_equal(b[1001], 0);
}

static void a_page_is_a_power_of_two(void **state)
{
    size_t size = rill__page_size();

    (void)state;
    assert_true(size >= 4096);
    assert_int_equal(size & (size - 1), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_deadline_has_no_time_left_only_once_it_is_over),
        TEST(for_ever_stays_for_ever),
        TEST(the_longest_timeout_is_in_the_future),
        TEST(sleeping_takes_at_least_its_time),
        TEST(wall_time_is_that_of_the_machine),
        TEST(processes_share_one_monotonic_clock),
        TEST(the_boot_is_its_digits),
        TEST(a_boot_that_is_not_told_is_zeros),
        TEST(a_process_may_have_any_name),
        TEST(a_process_that_is_not_told_is_zero),
        TEST(a_process_has_a_start_until_it_is_gone),
        TEST(random_bytes_fill_what_was_asked_for),
        TEST(a_page_is_a_power_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
