/*
 * consume.c - reads a topic as a member of a group and commits its place.
 *
 *     consume [STORE_DIR]
 *
 * Run twice on one store, the second run reads only what came after the first.
 * If there is nothing to read, it first produces a few records itself. Without
 * STORE_DIR the store is a new directory here, removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what)
{
    fprintf(stderr, "consume: %s: %s\n", what, rill_errmsg());
    return 1;
}

/* A few records as one batch: all of them are appended, or none. */
static int produce_a_few(rill *store)
{
    rill_producer_options options = {.size = sizeof options, .topic = "orders"};
    rill_record records[3] = {RILL_RECORD_INIT, RILL_RECORD_INIT, RILL_RECORD_INIT};
    rill_producer *producer;
    int rc;

    records[0].value = (rill_bytes){"tea", 3};
    records[1].value = (rill_bytes){"coffee", 6};
    records[2].value = (rill_bytes){"cocoa", 5};
    rc = rill_producer_open(store, &options, &producer);
    if (rc != 0) return failed("open a producer");
    rc = rill_producer_append(producer, records, 3, 10000, NULL);
    if (rc != 0) failed("append");
    rill_producer_close(producer, 0);
    return rc != 0;
}

/* Reads until nothing came for a while; *total counts the records. */
static int read_all(rill_consumer *consumer, size_t *total)
{
    for (;;) {
        rill_record records[100];
        size_t count;
        int rc = rill_consumer_poll(consumer, 200, records, 100, &count);

        /* The group has moved partitions: go on with the new ones. Whoever keeps
         * state per partition drops it here. */
        if (rc == RILL_ERR_REBALANCE) continue;
        if (rc != 0) return failed("poll");
        if (count == 0) return 0;

        /* The records point into the log itself, and stay until the next poll. */
        for (size_t i = 0; i < count; i++)
            printf("%s/%" PRId32 " at %" PRId64 ": %.*s\n", records[i].topic,
                   records[i].partition, records[i].offset, (int)records[i].value.size,
                   (const char *)records[i].value.data);

        /* After the work: who is killed before this line sees these records again. */
        rc = rill_consumer_commit(consumer, NULL, 0);
        if (rc != 0 && rc != RILL_ERR_FENCED) return failed("commit");
        *total += count;
    }
}

static int consume(rill *store)
{
    const char *topics[] = {"orders"};
    rill_consumer_options options = {
        .size = sizeof options, .group = "kitchen", .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_consumer *consumer;
    size_t total = 0;
    int rc, status;

    rc = rill_topic_create(store, "orders", NULL);
    if (rc != 0 && rc != RILL_ERR_EXISTS) return failed("create the topic");
    if (rill_consumer_open(store, &options, &consumer) != 0) return failed("open a consumer");
    status = rill_consumer_subscribe(consumer, topics, 1) != 0 ? failed("subscribe")
                                                               : read_all(consumer, &total);
    if (status == 0 && total == 0) {
        puts("nothing new; producing a few records");
        status = produce_a_few(store);
        if (status == 0) status = read_all(consumer, &total);
    }
    if (rill_consumer_close(consumer, 1000) != 0) status = failed("close the consumer");
    printf("%zu records read\n", total);
    return status != 0 || total == 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    char fresh[] = "rill-consume-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(fresh);
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;
    int status;

    if (dir == NULL) {
        perror("consume: cannot make a directory here");
        return 1;
    }
    if (rill_open(dir, &options, &store) != 0) {
        status = failed("open the store");
    } else {
        status = consume(store);
        if (rill_close(store) != 0) status = failed("close the store");
    }
    if (argc <= 1) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
