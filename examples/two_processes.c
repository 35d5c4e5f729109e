/*
 * two_processes.c - two processes of one machine with one store, and no server.
 *
 *     two_processes [STORE_DIR]
 *
 * The child produces, the parent consumes while it does. Each opens the store
 * for itself, after fork(): a handle does not survive a fork. Whoever comes
 * first makes the store and the topic. Without STORE_DIR the store is a new
 * directory here, removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICKS 1000u

static int failed(const char *who, const char *what)
{
    fprintf(stderr, "two_processes: %s: %s: %s\n", who, what, rill_errmsg());
    return 1;
}

static int open_store(const char *who, const char *dir, rill **store)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    int rc;

    if (rill_open(dir, &options, store) != 0) return failed(who, "open the store");
    rc = rill_topic_create(*store, "ticks", NULL);
    if (rc == 0 || rc == RILL_ERR_EXISTS) return 0; /* the other one was first */
    failed(who, "create the topic");
    rill_close(*store);
    return 1;
}

static int child(const char *dir)
{
    rill_producer_options options = {.size = sizeof options, .topic = "ticks"};
    rill_producer *producer;
    rill *store;
    int rc;

    if (open_store("child", dir, &store) != 0) return 1;
    rc = rill_producer_open(store, &options, &producer);
    if (rc != 0) {
        failed("child", "open a producer");
        rill_close(store);
        return 1;
    }
    for (uint32_t i = 0; i < TICKS && rc == 0; i++) {
        rill_record record = RILL_RECORD_INIT;

        record.value = (rill_bytes){&i, sizeof i};
        /* In the log, and visible to every process, when it returns. */
        rc = rill_producer_append(producer, &record, 1, 10000, NULL);
    }
    if (rc != 0) failed("child", "append");
    rill_producer_close(producer, 0);
    if (rill_close(store) != 0) rc = failed("child", "close the store");
    return rc != 0;
}

/* Reads the one partition without a group, from its start. */
static int receive(rill_consumer *consumer)
{
    const rill_position start = {.topic = "ticks", .offset = RILL_OFFSET_EARLIEST};
    uint32_t expected = 0;

    if (rill_consumer_assign(consumer, &start, 1) != 0) return failed("parent", "assign");
    while (expected < TICKS) {
        rill_record records[64];
        size_t count;

        /* Sleeps in the kernel until the child appends. */
        if (rill_consumer_poll(consumer, 10000, records, 64, &count) != 0)
            return failed("parent", "poll");
        if (count == 0) {
            fprintf(stderr, "two_processes: parent: nothing came for 10 s\n");
            return 1;
        }
        for (size_t i = 0; i < count; i++, expected++) {
            /* The value lies in the log, aligned to 8 bytes: read where it is. */
            const uint32_t *tick = records[i].value.data;
            if (records[i].value.size == sizeof *tick && *tick == expected) continue;
            fprintf(stderr, "two_processes: parent: tick %u is not in its place\n", expected);
            return 1;
        }
    }
    printf("the parent received %u ticks from the child\n", expected);
    return 0;
}

static int parent(const char *dir)
{
    rill_consumer *consumer;
    rill *store;
    int status;

    if (open_store("parent", dir, &store) != 0) return 1;
    if (rill_consumer_open(store, NULL, &consumer) != 0) {
        status = failed("parent", "open a consumer");
    } else {
        status = receive(consumer);
        rill_consumer_close(consumer, 1000);
    }
    if (rill_close(store) != 0) status = failed("parent", "close the store");
    return status;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    char fresh[] = "rill-processes-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(fresh);
    int status, child_status;
    pid_t pid;

    if (dir == NULL) {
        perror("two_processes: cannot make a directory here");
        return 1;
    }
    pid = fork();
    if (pid < 0) {
        perror("two_processes: fork");
        return 1;
    }
    if (pid == 0) _exit(child(dir));
    status = parent(dir);
    if (waitpid(pid, &child_status, 0) != pid || child_status != 0) status = 1;
    if (argc <= 1) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
