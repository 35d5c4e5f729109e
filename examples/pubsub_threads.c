/*
 * pubsub_threads.c - publish and subscribe between the threads of one program.
 *
 *     pubsub_threads [STORE_DIR]
 *
 * One thread publishes prices. Two others subscribe, each with a group of its
 * own, so each gets all of them, at its own pace and with its own place. (Two
 * consumers of the same group would share them: a queue.) Without STORE_DIR the
 * store is a new directory here, removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRICES 1000

struct subscriber {
    rill *store; /* one handle serves all threads */
    const char *group;
    int received;
    int status; /* 0, or 1 after an error */
};

static int failed(const char *what)
{
    fprintf(stderr, "pubsub_threads: %s: %s\n", what, rill_errmsg());
    return 1;
}

/* Returns its store if all went well, NULL if not. */
static void *publish(void *arg)
{
    rill *store = arg;
    rill_producer_options options = {.size = sizeof options, .topic = "prices"};
    rill_producer *producer;
    int rc = 0;

    if (rill_producer_open(store, &options, &producer) != 0) {
        failed("open a producer");
        return NULL;
    }
    for (int i = 0; i < PRICES && rc == 0; i++) {
        char text[32];
        rill_record record = RILL_RECORD_INIT;

        snprintf(text, sizeof text, "%d", i);
        record.value = (rill_bytes){text, strlen(text)};
        rc = rill_producer_send(producer, &record, NULL, 10000);
    }
    if (rc == 0) rc = rill_producer_flush(producer, 10000);
    if (rc != 0) failed("publish");
    rill_producer_close(producer, 0);
    return rc == 0 ? store : NULL;
}

/* The prices count up from 0: that they do is checked. */
static int take(struct subscriber *me, const rill_record *record)
{
    char expected[32];

    snprintf(expected, sizeof expected, "%d", me->received++);
    if (record->value.size == strlen(expected) &&
        memcmp(record->value.data, expected, record->value.size) == 0)
        return 0;
    fprintf(stderr, "pubsub_threads: %s: expected %s, got %.*s\n", me->group, expected,
            (int)record->value.size, (const char *)record->value.data);
    return 1;
}

static int receive(struct subscriber *me, rill_consumer *consumer)
{
    const char *topics[] = {"prices"};

    if (rill_consumer_subscribe(consumer, topics, 1) != 0) return failed("subscribe");
    while (me->received < PRICES) {
        rill_record records[64];
        size_t count;
        /* Sleeps until something is published. */
        int rc = rill_consumer_poll(consumer, 10000, records, 64, &count);

        if (rc == RILL_ERR_REBALANCE) continue;
        if (rc != 0) return failed("poll");
        if (count == 0) {
            fprintf(stderr, "pubsub_threads: %s: nothing came for 10 s\n", me->group);
            return 1;
        }
        for (size_t i = 0; i < count; i++)
            if (take(me, &records[i]) != 0) return 1;
    }
    return rill_consumer_commit(consumer, NULL, 0) != 0 ? failed("commit") : 0;
}

static void *subscriber_main(void *arg)
{
    struct subscriber *me = arg;
    rill_consumer_options options = {
        .size = sizeof options,
        .group = me->group,
        .auto_offset_reset = RILL_RESET_EARLIEST, /* also what came before it joined */
    };
    rill_consumer *consumer;

    if (rill_consumer_open(me->store, &options, &consumer) != 0) {
        me->status = failed("open a consumer");
        return NULL;
    }
    me->status = receive(me, consumer);
    if (rill_consumer_close(consumer, 1000) != 0) me->status = failed("close a consumer");
    return NULL;
}

static int run(rill *store)
{
    struct subscriber subscribers[2] = {{.store = store, .group = "display"},
                                        {.store = store, .group = "archive"}};
    pthread_t publisher, threads[2];
    void *published;
    int rc = rill_topic_create(store, "prices", NULL);

    /* The check counts from 0, so the topic must be new. */
    if (rc != 0) return failed("create the topic");
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, subscriber_main, &subscribers[i]) != 0) abort();
    if (pthread_create(&publisher, NULL, publish, store) != 0) abort();
    pthread_join(publisher, &published);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        printf("%s received %d of %d\n", subscribers[i].group, subscribers[i].received, PRICES);
    }
    return published == NULL || subscribers[0].status != 0 || subscribers[1].status != 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    char fresh[] = "rill-pubsub-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(fresh);
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;
    int status;

    if (dir == NULL) {
        perror("pubsub_threads: cannot make a directory here");
        return 1;
    }
    if (rill_open(dir, &options, &store) != 0) {
        status = failed("open the store");
    } else {
        status = run(store);
        if (rill_close(store) != 0) status = failed("close the store");
    }
    if (argc <= 1) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
