/*
 * records.c - see records.h.
 */
#include "records.h"
#include <dirent.h>
#include <time.h>

int store_set_up(void **state)
{
    test_directory();
    *state = test_store_open();
    return 0;
}

int store_tear_down(void **state)
{
    int rc = rill_close(*state);

    test_directory_remove();
    OK(rc);
    return 0;
}

/* ---- Records ---------------------------------------------------------- */

rill_record record_of(const int64_t *number)
{
    rill_record record = RILL_RECORD_INIT;

    record.partition = 0;
    record.value = (rill_bytes){number, sizeof *number};
    return record;
}

int64_t number_of(const rill_record *record)
{
    assert_int_equal(record->value.size, sizeof(int64_t));
    assert_int_equal((uintptr_t)record->value.data % 8, 0);
    return *(const int64_t *)record->value.data;
}

void put(rill *store, const char *topic, int32_t partition, int64_t first, int count)
{
    rill_producer_options options = {.size = sizeof options, .topic = topic};
    rill_producer *producer;

    OK(rill_producer_open(store, &options, &producer));
    for (int64_t n = first; n < first + count; n++) {
        rill_record record = record_of(&n);
        record.partition = partition;
        OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(producer, WAIT_MS));
}

rill_offset log_end_of(rill *store, const char *topic, int32_t partition)
{
    rill_partition_info info;

    OK(rill_partition_describe(store, topic, partition, &info));
    return info.log_end;
}

/* ---- A holder of a partition ------------------------------------------ */

static void *hold(void *arg)
{
    struct holder *holder = arg;
    rill_producer_options options = {.size = sizeof options, .topic = holder->topic};
    rill_record record = record_of(&holder->number);
    rill_reservation room;
    rill_producer *producer;

    record.partition = holder->partition;
    thread_ok(rill_producer_open(holder->store, &options, &producer), "open");
    thread_ok(rill_producer_reserve(producer, &record, WAIT_MS, &room), "reserve");
    pthread_barrier_wait(&holder->barrier);
    pthread_barrier_wait(&holder->barrier);
    memcpy(room.value, &holder->number, sizeof holder->number);
    thread_ok(rill_producer_commit(producer, NULL), "commit");
    thread_ok(rill_producer_close(producer, WAIT_MS), "close");
    return NULL;
}

void holder_start(struct holder *holder, rill *store, const char *topic, int32_t partition,
                  int64_t number)
{
    holder->store = store;
    holder->topic = topic;
    holder->partition = partition;
    holder->number = number;
    assert_int_equal(pthread_barrier_init(&holder->barrier, NULL, 2), 0);
    holder->thread = thread_start(hold, holder);
    pthread_barrier_wait(&holder->barrier);
}

void holder_stop(struct holder *holder)
{
    pthread_barrier_wait(&holder->barrier);
    thread_join(holder->thread);
    pthread_barrier_destroy(&holder->barrier);
}

/* ---- Producers and consumers ------------------------------------------ */

rill_producer *producer_open(rill *store, const rill_producer_options *options)
{
    rill_producer *producer = NULL;

    OK(rill_producer_open(store, options, &producer));
    return producer;
}

rill_consumer *consumer_open(rill *store, const rill_consumer_options *options)
{
    rill_consumer *consumer = NULL;

    OK(rill_consumer_open(store, options, &consumer));
    return consumer;
}

size_t take(rill_consumer *consumer, rill_record *records, size_t record_max)
{
    size_t count = 0;

    OK(rill_consumer_poll(consumer, WAIT_MS, records, record_max, &count));
    assert_in_range(count, 1, record_max);
    return count;
}

void takes(rill_consumer *consumer, int64_t first, int count)
{
    rill_record records[16];

    while (count > 0) {
        size_t got = take(consumer, records, count < 16 ? (size_t)count : 16);
        for (size_t i = 0; i < got; i++) assert_int_equal(number_of(&records[i]), first++);
        count -= (int)got;
    }
}

void takes_nothing(rill_consumer *consumer)
{
    rill_record record;
    size_t count = 1;

    OK(rill_consumer_poll(consumer, 0, &record, 1, &count));
    assert_int_equal(count, 0);
}

void log_is(rill *store, int64_t first, int count)
{
    rill_consumer *consumer = test_consumer(store, "t", 0, RILL_OFFSET_EARLIEST);

    takes(consumer, first, count);
    takes_nothing(consumer);
    OK(rill_consumer_close(consumer, 0));
}

/* ---- Waiting, threads ------------------------------------------------- */

int64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void wait_a_little(struct patience *patience)
{
    if (patience->began_ms == 0) patience->began_ms = clock_ms();
    if (clock_ms() - patience->began_ms > WAIT_MS) fail_msg("waited for %d ms in vain", WAIT_MS);
    usleep(1000);
}

int threads_there(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    assert_non_null(tasks);
    while (readdir(tasks) != NULL) count++;
    closedir(tasks);
    return count;
}

pthread_t thread_start(void *(*run)(void *arg), void *arg)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run, arg), 0);
    return thread;
}

void *thread_join(pthread_t thread)
{
    void *result;

    assert_int_equal(pthread_join(thread, &result), 0);
    return result;
}

void thread_ok(int rc, const char *what)
{
    if (rc == 0) return;
    fprintf(stderr, "%s: %d, %s\n", what, rc, test_message());
    exit(1);
}
