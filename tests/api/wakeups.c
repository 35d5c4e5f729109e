/*
 * A consumer that waits. A poll ends when there is a record, when its time is up,
 * and when it is woken, by any thread or a signal handler; a descriptor under epoll
 * says when there is something to poll for; and one consumer is for one call at a
 * time.
 */
#include "records.h"
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

static void a_timeout_is_no_error(void **state)
{
    rill *store = *state;
    rill_record record;
    rill_consumer *consumer;
    size_t count = 1;

    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    OK(rill_consumer_poll(consumer, 20, &record, 1, &count));
    assert_int_equal(count, 0);
    count = 1;
    OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
    assert_int_equal(count, 0);
    OK(rill_consumer_close(consumer, 0));
}

static void *append_one(void *store)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    int64_t number = 0;
    rill_record record = record_of(&number);
    rill_producer *producer;

    thread_ok(rill_producer_open(store, &options, &producer), "open");
    thread_ok(rill_producer_append(producer, &record, 1, WAIT_MS, NULL), "append");
    thread_ok(rill_producer_close(producer, WAIT_MS), "close");
    return NULL;
}

static void an_append_wakes_a_poll_that_waits(void **state)
{
    rill *store = *state;
    rill_record record;
    rill_consumer *consumer;
    pthread_t thread;
    size_t count;

    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    thread = thread_start(append_one, store);
    OK(rill_consumer_poll(consumer, RILL_FOREVER, &record, 1, &count));
    assert_int_equal(count, 1);
    thread_join(thread);
    OK(rill_consumer_close(consumer, 0));
}

static void *wake(void *consumer)
{
    rill_consumer_wakeup(consumer);
    return NULL;
}

static void polls_nothing_forever(rill_consumer *consumer)
{
    rill_record record;
    size_t count = 1;

    OK(rill_consumer_poll(consumer, RILL_FOREVER, &record, 1, &count));
    assert_int_equal(count, 0);
}

static void a_wakeup_ends_a_poll(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    pthread_t thread;

    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    rill_consumer_wakeup(consumer); /* the next one */
    polls_nothing_forever(consumer);
    for (int i = 0; i < 50; i++) { /* one that waits, or the next one */
        thread = thread_start(wake, consumer);
        polls_nothing_forever(consumer);
        thread_join(thread);
    }
    put(store, "t", 0, 0, 1);
    takes(consumer, 0, 1);
    OK(rill_consumer_close(consumer, 0));
}

static rill_consumer *to_wake;

static void wake_in_handler(int signal_number)
{
    int saved = errno;

    (void)signal_number;
    rill_consumer_wakeup(to_wake);
    errno = saved;
}

static void *signal_thread(void *thread)
{
    thread_ok(pthread_kill(*(pthread_t *)thread, SIGUSR1), "pthread_kill");
    return NULL;
}

static void a_signal_handler_may_wake_up(void **state)
{
    rill *store = *state;
    struct sigaction action = {.sa_handler = wake_in_handler};
    struct sigaction before;
    pthread_t self = pthread_self();
    pthread_t thread;

    test_topic(store, "t", 1);
    to_wake = test_consumer(store, "t", 0, 0);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    for (int i = 0; i < 50; i++) {
        thread = thread_start(signal_thread, &self);
        polls_nothing_forever(to_wake);
        thread_join(thread);
    }
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    OK(rill_consumer_close(to_wake, 0));
}

static bool is_readable(int epoll, int timeout_ms)
{
    struct epoll_event event;
    int count = epoll_wait(epoll, &event, 1, timeout_ms);

    assert_in_range(count, 0, 1);
    return count == 1;
}

/* As the header says: until nothing comes. */
static int poll_until_nothing(rill_consumer *consumer)
{
    rill_record records[4];
    size_t count;
    int all = 0;

    do {
        OK(rill_consumer_poll(consumer, 0, records, 4, &count));
        all += (int)count;
    } while (count != 0);
    return all;
}

static void becomes_unreadable(rill_consumer *consumer, int epoll)
{
    struct patience patience = {0};

    while (is_readable(epoll, 0)) {
        assert_int_equal(poll_until_nothing(consumer), 0);
        wait_a_little(&patience);
    }
}

static int epoll_of(rill_consumer *consumer)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int fd;

    assert_true(epoll >= 0);
    OK(rill_consumer_fd(consumer, &fd));
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    return epoll;
}

static void a_descriptor_tells_that_there_are_records(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    pthread_t thread;
    int epoll;

    test_topic(store, "t", 1);
    put(store, "t", 0, 0, 10); /* also those that were there before it */
    consumer = test_consumer(store, "t", 0, 0);
    epoll = epoll_of(consumer);
    assert_true(is_readable(epoll, WAIT_MS));
    assert_int_equal(poll_until_nothing(consumer), 10);
    becomes_unreadable(consumer, epoll);
    for (int i = 0; i < 20; i++) {
        int count = 0;
        thread = thread_start(append_one, store);
        while (count == 0) {
            assert_true(is_readable(epoll, WAIT_MS));
            count += poll_until_nothing(consumer);
        }
        assert_int_equal(count, 1);
        thread_join(thread);
        becomes_unreadable(consumer, epoll);
    }
    close(epoll);
    OK(rill_consumer_close(consumer, 0));
}

static void two_consumers_have_descriptors_of_their_own(void **state)
{
    rill *store = *state;
    rill_consumer *first;
    rill_consumer *second;
    int epoll_first;
    int epoll_second;

    test_topic(store, "t", 2);
    first = test_consumer(store, "t", 0, 0);
    second = test_consumer(store, "t", 1, 0);
    epoll_first = epoll_of(first);
    epoll_second = epoll_of(second);
    put(store, "t", 1, 0, 1);
    assert_true(is_readable(epoll_second, WAIT_MS));
    becomes_unreadable(first, epoll_first);
    takes(second, 0, 1);
    close(epoll_first);
    close(epoll_second);
    OK(rill_consumer_close(first, 0));
    OK(rill_consumer_close(second, 0));
}

static void *poll_until_woken(void *consumer)
{
    rill_record record;
    size_t count;
    int rc;

    do rc = rill_consumer_poll(consumer, RILL_FOREVER, &record, 1, &count);
    while (rc == RILL_ERR_STATE); /* the other thread's call was first */
    thread_ok(rc, "poll");
    return NULL;
}

static void an_overlapping_call_is_refused(void **state)
{
    rill *store = *state;
    rill_consumer *consumer;
    struct patience patience = {0};
    rill_offset offset;
    rill_position from = {.topic = "t"};
    pthread_t thread;

    test_topic(store, "t", 1);
    consumer = test_consumer(store, "t", 0, 0);
    thread = thread_start(poll_until_woken, consumer);
    while (rill_consumer_position(consumer, "t", 0, &offset) != RILL_ERR_STATE)
        wait_a_little(&patience);
    assert_int_not_equal(rill_errmsg()[0], '\0');
    FAILS(RILL_ERR_STATE, rill_consumer_seek(consumer, "t", 0, 0));
    FAILS(RILL_ERR_STATE, rill_consumer_assign(consumer, &from, 1));
    FAILS(RILL_ERR_STATE, rill_consumer_close(consumer, 0));
    rill_consumer_wakeup(consumer);
    thread_join(thread);
    OK(rill_consumer_position(consumer, "t", 0, &offset));
    OK(rill_consumer_close(consumer, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_timeout_is_no_error),
        WITH_STORE(an_append_wakes_a_poll_that_waits),
        WITH_STORE(a_wakeup_ends_a_poll),
        WITH_STORE(a_signal_handler_may_wake_up),
        WITH_STORE(a_descriptor_tells_that_there_are_records),
        WITH_STORE(two_consumers_have_descriptors_of_their_own),
        WITH_STORE(an_overlapping_call_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
