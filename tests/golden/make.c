/*
 * make.c - makes the golden stores of this version: make golden VERSION=x. See golden.h.
 *
 *     make DIRECTORY       the one that is closed
 *     make DIRECTORY kill  the one whose process is killed
 */
#include "golden.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int rc, const char *what)
{
    if (rc == 0) return;
    fprintf(stderr, "golden: %s: %s\n", what, rill_errmsg());
    exit(1);
}

static rill *open_store(const char *dir)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;

    must(rill_open(dir, &options, &store), "open");
    return store;
}

static void fill(rill *store, const char *topic, int partitions, int from, int to)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = topic, .acks = RILL_ACKS_DURABLE};
    rill_producer *producer;

    must(rill_producer_open(store, &options, &producer), "producer");
    for (int i = from; i < to; i++) {
        struct golden golden;
        rill_record record = golden_record(topic, i, partitions, &golden);
        must(rill_producer_append(producer, &record, 1, 10000, NULL), "append");
    }
    must(rill_producer_close(producer, 10000), "close");
}

static void commit(rill *store)
{
    rill_consumer_options options = {.size = sizeof options, .group = "readers"};
    rill_position from[] = {{.topic = "big", .partition = 0}, {.topic = "big", .partition = 1}};
    rill_position to[] = {{.topic = "big",
                           .partition = 0,
                           .leader_epoch = -1,
                           .offset = 17,
                           .metadata = "seventeen"},
                          {.topic = "big", .partition = 1, .leader_epoch = -1, .offset = 40}};
    rill_consumer *consumer;

    must(rill_consumer_open(store, &options, &consumer), "consumer");
    must(rill_consumer_assign(consumer, from, 2), "assign");
    must(rill_consumer_commit(consumer, to, 2), "commit");
    must(rill_consumer_close(consumer, 1000), "close");
}

static void fill_and_die(const char *dir)
{
    rill *store = open_store(dir);

    fill(store, "big", BIG_PARTITIONS, BIG_CLOSED, BIG_KILLED);
    fill(store, "small", 1, SMALL_CLOSED, SMALL_KILLED);
    kill(getpid(), SIGKILL);
}

int main(int argc, char **argv)
{
    rill_topic_options options = {
        .size = sizeof options, .partition_count = BIG_PARTITIONS, .segment_bytes = 64 << 10};
    rill *store;
    pid_t pid;

    if (argc < 2) return 2;
    store = open_store(argv[1]);
    must(rill_topic_create(store, "big", &options), "topic");
    options.partition_count = 1;
    must(rill_topic_create(store, "small", &options), "topic");
    must(rill_topic_create(store, "empty", &options), "topic");
    fill(store, "big", BIG_PARTITIONS, 0, BIG_CLOSED);
    fill(store, "small", 1, 0, SMALL_CLOSED);
    commit(store);
    must(rill_close(store), "close");
    if (argc < 3) return 0;
    pid = fork();
    if (pid == 0) fill_and_die(argv[1]);
    waitpid(pid, NULL, 0);
    return 0;
}
