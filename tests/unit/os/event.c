/*
 * An event descriptor is readable from set to clear, however often it was set,
 * and neither call ever blocks.
 */
#include "os/os.h"
#include "testing.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

static int fd;

static int set_up(void **state)
{
    (void)state;
    fd = -1;
    OK(rill__event_open(&fd));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rill__fd_close(fd);
    return 0;
}

static bool is_readable(void)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

static void it_is_readable_from_set_to_clear(void **state)
{
    (void)state;
    assert_false(is_readable());
    rill__event_set(fd);
    assert_true(is_readable());
    assert_true(is_readable());
    rill__event_clear(fd);
    assert_false(is_readable());
    rill__event_set(fd);
    assert_true(is_readable());
}

static void set_many_times_it_is_cleared_by_one(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) rill__event_set(fd);
    rill__event_clear(fd);
    assert_false(is_readable());
}

static void neither_call_blocks(void **state)
{
    (void)state;
    rill__event_clear(fd);
    assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0); /* full */
    rill__event_set(fd);
    assert_true(is_readable());
}

static void it_ends_with_its_descriptor(void **state)
{
    (void)state;
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    rill__fd_close(fd);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    rill__fd_close(-1); /* none: nothing */
    fd = -1;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_is_readable_from_set_to_clear),
        TEST(set_many_times_it_is_cleared_by_one),
        TEST(neither_call_blocks),
        TEST(it_ends_with_its_descriptor),
    };
    alarm(120); /* one that blocks is red, not stuck */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
