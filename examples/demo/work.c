/*
 * work.c - one life of the working process: the store, the topic, the threads.
 *
 * Both lives run the same code. The second differs in what it finds: a log that
 * holds some of the lines, and groups that have committed some offsets.
 */
#include "demo.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct group groups[GROUPS] = {
    [STATUS] = {"status", 3}, /* three share the partitions: a queue */
    [ALL] = {"all", 1},       /* one sees everything: publish and subscribe */
};

#define CONSUMERS (3 + 1)

void run_failed(struct run *run, const char *who, const char *what)
{
    fprintf(stderr, "demo: %s: %s: %s\n", who, what, rill_errmsg());
    atomic_store(&run->failed, true);
}

/* ---- Records ---------------------------------------------------------- */

bool record_line(const rill_record *record, size_t *line)
{
    for (size_t i = 0; i < record->header_count; i++) {
        rill_header header;
        char digits[24];

        if (rill_record_header(record, i, &header) != 0) return false;
        if (header.name.size != 4 || memcmp(header.name.data, "line", 4) != 0) continue;
        if (header.value.size == 0 || header.value.size >= sizeof digits) return false;
        memcpy(digits, header.value.data, header.value.size);
        digits[header.value.size] = '\0';
        *line = (size_t)strtoull(digits, NULL, 10);
        return true;
    }
    return false;
}

static bool same_bytes(rill_bytes bytes, const char *text, size_t size)
{
    return bytes.data != NULL && bytes.size == size && memcmp(bytes.data, text, size) == 0;
}

bool record_is_line(const rill_record *record, const struct input *input, size_t number)
{
    const struct line *line = &input->lines[number];

    return same_bytes(record->value, line->text, line->size) &&
           same_bytes(record->key, line->text + line->key_start, line->key_size);
}

int read_log(rill *store, int (*visit)(void *arg, const rill_record *record), void *arg)
{
    rill_position positions[PARTITIONS];
    rill_consumer *consumer;
    int64_t left = 0;
    int rc;

    for (int32_t p = 0; p < PARTITIONS; p++) {
        rill_partition_info info;

        positions[p] = (rill_position){
            .topic = TOPIC, .partition = p, .leader_epoch = -1, .offset = RILL_OFFSET_EARLIEST};
        rc = rill_partition_describe(store, TOPIC, p, &info);
        if (rc != 0) return rc;
        left += info.log_end - info.log_start;
    }
    rc = rill_consumer_open(store, NULL, &consumer);
    if (rc != 0) return rc;
    rc = rill_consumer_assign(consumer, positions, PARTITIONS);
    while (rc == 0 && left > 0) {
        rill_record records[256];
        size_t count;

        rc = rill_consumer_poll(consumer, PATIENCE_S * 1000, records, 256, &count);
        if (rc == 0 && count == 0) rc = RILL_ERR_TIMEOUT;
        for (size_t i = 0; rc == 0 && i < count; i++, left--) rc = visit(arg, &records[i]);
    }
    if (rc == 0) return rill_consumer_close(consumer, 1000);
    rill_consumer_close(consumer, 1000);
    return rc;
}

/* ---- One life --------------------------------------------------------- */

static int note_line(void *arg, const rill_record *record)
{
    struct run *run = arg;
    size_t line;

    if (!record_line(record, &line) || line >= run->input->line_count || run->in_log[line]) {
        fprintf(stderr, "demo: %s/%" PRId32 " at %" PRId64 " is not a line, or one twice\n",
                TOPIC, record->partition, record->offset);
        return 1;
    }
    run->in_log[line] = true;
    atomic_fetch_add(&run->shared->found, 1);
    return 0;
}

static int prepare(struct run *run)
{
    rill_topic_options options = {.size = sizeof options, .partition_count = PARTITIONS};
    int rc = rill_topic_create(run->store, TOPIC, &options);

    if (rc == RILL_ERR_EXISTS && run->life == 0) {
        fprintf(stderr, "demo: the store holds an earlier run; name a new directory\n");
        return 1;
    }
    if (rc != 0 && rc != RILL_ERR_EXISTS) {
        run_failed(run, "topic " TOPIC, "create");
        return 1;
    }
    /* Which lines did an earlier life produce? The log knows. */
    if (read_log(run->store, note_line, run) != 0) {
        run_failed(run, "topic " TOPIC, "read what is there");
        return 1;
    }
    return 0;
}

static void start(pthread_t *thread, void *(*function)(void *), struct worker *worker)
{
    if (pthread_create(thread, NULL, function, worker) == 0) return;
    fprintf(stderr, "demo: cannot start a thread\n");
    _Exit(1);
}

static int run_threads(struct run *run)
{
    struct worker producers[PRODUCERS], consumers[CONSUMERS];
    pthread_t producer_threads[PRODUCERS], consumer_threads[CONSUMERS];
    int n = 0;

    atomic_store(&run->shared->started_ns[run->life], now_ns());
    for (int g = 0; g < GROUPS; g++) {
        for (int i = 0; i < groups[g].member_count; i++, n++) {
            consumers[n] = (struct worker){run, g, i};
            start(&consumer_threads[n], consumer_main, &consumers[n]);
        }
    }
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct worker){run, 0, i};
        start(&producer_threads[i], producer_main, &producers[i]);
    }
    for (int i = 0; i < PRODUCERS; i++) pthread_join(producer_threads[i], NULL);
    atomic_store(&run->shared->produced_ns, now_ns());
    atomic_store(&run->all_produced, true);
    for (int i = 0; i < n; i++) pthread_join(consumer_threads[i], NULL);
    return atomic_load(&run->failed);
}

int work(const char *store_dir, const struct input *input, struct shared *shared, int life)
{
    struct run run = {.input = input, .shared = shared, .life = life};
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE | RILL_OPEN_THREAD};
    int status;

    run.in_log = calloc(input->line_count, sizeof *run.in_log);
    if (run.in_log == NULL) return 1;
    if (rill_open(store_dir, &options, &run.store) != 0) {
        run_failed(&run, store_dir, "open");
        free(run.in_log);
        return 1;
    }
    status = prepare(&run);
    if (status == 0) status = run_threads(&run);
    if (rill_close(run.store) != 0) {
        run_failed(&run, store_dir, "close");
        status = 1;
    }
    free(run.in_log);
    return status;
}
