/*
 * reserve.c - structs that are written and read in place, without a copy.
 *
 *     reserve [STORE_DIR]
 *
 * The producer asks for room inside the log, fills a struct there and publishes
 * it; the consumer reads the struct where it lies. Values start at multiples of
 * 8 bytes, so any struct of ordinary members may be used. All processes that
 * share the store must agree on its layout. Without STORE_DIR the store is a new
 * directory here, removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLES 100

struct sample {
    uint64_t number;
    double celsius;
    uint32_t sensor;
    uint32_t flags;
};

static int failed(const char *what)
{
    fprintf(stderr, "reserve: %s: %s\n", what, rill_errmsg());
    return 1;
}

static double celsius_of(uint64_t number)
{
    return 20.0 + (double)(number % 50) / 10.0;
}

static int write_samples(rill_producer *producer)
{
    for (uint64_t i = 0; i < SAMPLES; i++) {
        rill_record record = RILL_RECORD_INIT;
        rill_reservation room;
        struct sample *sample;

        record.value.size = sizeof *sample; /* its size is all that counts */
        if (rill_producer_reserve(producer, &record, 10000, &room) != 0) return failed("reserve");

        /* From here to commit the partition is locked: only fill the struct.
         * Every byte of it, for the room holds whatever was there before. */
        sample = room.value;
        *sample = (struct sample){.number = i, .celsius = celsius_of(i), .sensor = 7};

        if (rill_producer_commit(producer, NULL) != 0) return failed("commit");
    }
    return 0;
}

static int read_samples(rill_consumer *consumer)
{
    const rill_position start = {.topic = "samples", .offset = RILL_OFFSET_EARLIEST};
    uint64_t expected = 0;
    double sum = 0;

    if (rill_consumer_assign(consumer, &start, 1) != 0) return failed("assign");
    while (expected < SAMPLES) {
        rill_record records[16];
        size_t count;

        if (rill_consumer_poll(consumer, 1000, records, 16, &count) != 0) return failed("poll");
        if (count == 0) break;
        for (size_t i = 0; i < count; i++, expected++) {
            const struct sample *sample = records[i].value.data; /* not copied */

            if (records[i].value.size != sizeof *sample || (uintptr_t)sample % 8 != 0 ||
                sample->number != expected || sample->celsius != celsius_of(expected)) {
                fprintf(stderr, "reserve: sample %d differs\n", (int)expected);
                return 1;
            }
            sum += sample->celsius;
        }
    }
    printf("%d samples, %.2f degrees on average\n", (int)expected, sum / (double)expected);
    return expected != SAMPLES;
}

static int run(rill *store)
{
    rill_producer_options options = {.size = sizeof options, .topic = "samples"};
    rill_producer *producer;
    rill_consumer *consumer;
    int status;

    /* The check counts from 0, so the topic must be new. */
    if (rill_topic_create(store, "samples", NULL) != 0) return failed("create the topic");
    if (rill_producer_open(store, &options, &producer) != 0) return failed("open a producer");
    status = write_samples(producer);
    if (rill_producer_close(producer, 1000) != 0) status = failed("close the producer");
    if (status != 0) return status;

    if (rill_consumer_open(store, NULL, &consumer) != 0) return failed("open a consumer");
    status = read_samples(consumer);
    if (rill_consumer_close(consumer, 1000) != 0) status = failed("close the consumer");
    return status;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    char fresh[] = "rill-reserve-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(fresh);
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;
    int status;

    if (dir == NULL) {
        perror("reserve: cannot make a directory here");
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
