/*
 * produce.c - sends records to a topic and hears what became of each.
 *
 *     produce [STORE_DIR]
 *
 * Without STORE_DIR the store is a new directory here, removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 1000

static int failed(const char *what)
{
    fprintf(stderr, "produce: %s: %s\n", what, rill_errmsg());
    return 1;
}

/* The report of one record; opaque is what was given to rill_producer_send. */
static void delivered(void *arg, const rill_delivery *delivery)
{
    int *count = arg;

    if (delivery->status == 0) {
        ++*count;
    } else {
        fprintf(stderr, "produce: order %d was not appended: %s\n",
                (int)(intptr_t)delivery->opaque, rill_strerror(delivery->status));
    }
}

static int produce(rill *store)
{
    rill_topic_options topic = {.size = sizeof topic, .partition_count = 3};
    rill_producer_options options = {.size = sizeof options, .topic = "orders"};
    rill_producer *producer;
    int count = 0, rc;

    rc = rill_topic_create(store, "orders", &topic);
    if (rc != 0 && rc != RILL_ERR_EXISTS) return failed("create the topic");

    options.delivery = delivered;
    options.delivery_arg = &count;
    if (rill_producer_open(store, &options, &producer) != 0) return failed("open a producer");

    for (int i = 0; i < RECORDS; i++) {
        char key[32], value[64];
        const rill_header header = {{"format", 6}, {"text", 4}};
        rill_record record = RILL_RECORD_INIT; /* partition: chosen by the key */

        snprintf(key, sizeof key, "customer-%d", i % 10);
        snprintf(value, sizeof value, "order %d", i);
        record.key = (rill_bytes){key, strlen(key)};
        record.value = (rill_bytes){value, strlen(value)};
        record.headers = &header;
        record.header_count = 1;
        /* All is copied: key and value may go out of scope. Waits for room in
         * the buffer, for ten seconds at most. */
        if (rill_producer_send(producer, &record, (void *)(intptr_t)i, 10000) != 0) {
            failed("send");
            break;
        }
    }

    /* Sends what still waits in batches; every report comes before it returns. */
    rc = rill_producer_flush(producer, 10000);
    if (rc != 0) failed("flush");
    if (rill_producer_close(producer, 0) != 0 && rc == 0) rc = failed("close the producer");
    printf("%d of %d records appended\n", count, RECORDS);
    return rc != 0 || count != RECORDS;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    char fresh[] = "rill-produce-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(fresh);
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;
    int status;

    if (dir == NULL) {
        perror("produce: cannot make a directory here");
        return 1;
    }
    if (rill_open(dir, &options, &store) != 0) {
        status = failed("open the store");
    } else {
        status = produce(store);
        if (rill_close(store) != 0) status = failed("close the store");
    }
    if (argc <= 1) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
