/*
 * broadcast.c - everybody gets everything, also what was said while he was away.
 *
 *     broadcast [STORE_DIR]
 *
 * A group sees each record once. So whoever is to see all of them has a group of
 * his own, named after him: that name is how the store knows his place when he
 * comes back. Here five screens, each in a thread, show what is announced. One of
 * them is switched off in the middle and on again; it goes on where it was. One is
 * new at the end, and begins with the first announcement. Without STORE_DIR the
 * store is a new directory here, removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCREENS 5
#define FIRST 300 /* announcements before the break, and all of them */
#define ALL 700

struct screen {
    rill *store; /* one handle serves all threads */
    char name[32];
    int from; /* the announcements that it is to show: [from, to) */
    int to;
    int status; /* 0, or 1 after an error */
    pthread_t thread;
};

static int failed(const char *who, const char *what)
{
    fprintf(stderr, "broadcast: %s: %s: %s\n", who, what, rill_errmsg());
    return 1;
}

static int announce(rill *store, int from, int to)
{
    rill_producer_options options = {.size = sizeof options, .topic = "announcements"};
    rill_producer *producer;
    int rc = 0;

    if (rill_producer_open(store, &options, &producer) != 0) return failed("speaker", "open");
    for (int i = from; i < to && rc == 0; i++) {
        char text[32];
        rill_record record = RILL_RECORD_INIT;

        snprintf(text, sizeof text, "announcement %d", i);
        record.value = (rill_bytes){text, strlen(text)};
        rc = rill_producer_send(producer, &record, NULL, 10000);
    }
    if (rc == 0) rc = rill_producer_flush(producer, 10000);
    if (rc != 0) failed("speaker", "announce");
    rill_producer_close(producer, 0);
    return rc != 0;
}

/* They must come one by one: none twice, none missing. */
static int show(struct screen *me, int number, const rill_record *record)
{
    char expected[32];

    snprintf(expected, sizeof expected, "announcement %d", number);
    if (record->value.size == strlen(expected) &&
        memcmp(record->value.data, expected, record->value.size) == 0)
        return 0;
    fprintf(stderr, "broadcast: %s: expected %s, got %.*s\n", me->name, expected,
            (int)record->value.size, (const char *)record->value.data);
    return 1;
}

static int show_all(struct screen *me, rill_consumer *consumer)
{
    const char *topics[] = {"announcements"};
    int next = me->from;

    if (rill_consumer_subscribe(consumer, topics, 1) != 0) return failed(me->name, "subscribe");
    while (next < me->to) {
        rill_record records[50];
        size_t wanted = me->to - next < 50 ? (size_t)(me->to - next) : 50;
        size_t count;

        if (rill_consumer_poll(consumer, 10000, records, wanted, &count) != 0)
            return failed(me->name, "poll");
        if (count == 0) {
            fprintf(stderr, "broadcast: %s: nothing came for 10 s\n", me->name);
            return 1;
        }
        for (size_t i = 0; i < count; i++)
            if (show(me, next++, &records[i]) != 0) return 1;
    }
    return rill_consumer_commit(consumer, NULL, 0) != 0 ? failed(me->name, "commit") : 0;
}

static void *screen_main(void *arg)
{
    struct screen *me = arg;
    rill_consumer_options options = {
        .size = sizeof options,
        .group = me->name,                        /* its own: so it sees all */
        .auto_offset_reset = RILL_RESET_EARLIEST, /* and when it is new, from the first on */
    };
    rill_consumer *consumer;

    if (rill_consumer_open(me->store, &options, &consumer) != 0) {
        me->status = failed(me->name, "open a consumer");
        return NULL;
    }
    me->status = show_all(me, consumer);
    if (rill_consumer_close(consumer, 1000) != 0) me->status = failed(me->name, "close");
    return NULL;
}

static void switch_on(struct screen *screen, rill *store, int number, int from, int to)
{
    *screen = (struct screen){.store = store, .from = from, .to = to};
    snprintf(screen->name, sizeof screen->name, "screen-%d", number);
    if (pthread_create(&screen->thread, NULL, screen_main, screen) != 0) abort();
}

/* 0 if it has shown all that it was to show. */
static int wait_for(struct screen *screen)
{
    pthread_join(screen->thread, NULL);
    if (screen->status == 0)
        printf("%s showed %d to %d\n", screen->name, screen->from, screen->to - 1);
    return screen->status;
}

static int run(rill *store)
{
    struct screen screens[SCREENS];
    int status;

    if (rill_topic_create(store, "announcements", NULL) != 0)
        return failed("speaker", "create the topic"); /* it must be new: they are counted */
    for (int i = 0; i < SCREENS - 1; i++)
        switch_on(&screens[i], store, i, 0, i == 0 ? FIRST : ALL);
    status = announce(store, 0, FIRST);
    status |= wait_for(&screens[0]); /* it is switched off, and misses the rest */
    status |= announce(store, FIRST, ALL);
    for (int i = 1; i < SCREENS - 1; i++) status |= wait_for(&screens[i]);

    switch_on(&screens[0], store, 0, FIRST, ALL);
    switch_on(&screens[SCREENS - 1], store, SCREENS - 1, 0, ALL);
    status |= wait_for(&screens[0]);
    status |= wait_for(&screens[SCREENS - 1]);
    return status;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    char fresh[] = "rill-broadcast-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(fresh);
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;
    int status;

    if (dir == NULL) {
        perror("broadcast: cannot make a directory here");
        return 1;
    }
    if (rill_open(dir, &options, &store) != 0) {
        status = failed("store", "open");
    } else {
        status = run(store);
        if (rill_close(store) != 0) status = failed("store", "close");
    }
    if (argc <= 1) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
