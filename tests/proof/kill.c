/*
 * kill.c - processes that share a store are killed at random; nothing that was
 * acknowledged is lost.
 *
 * Four processes append to two partitions in every way there is (a batch, a
 * send with its report, in place), roll small segments, sync and run
 * maintenance; two read and commit. Their parent kills one of them, now and then
 * all of them, with SIGKILL, and starts them again. What was acknowledged is noted in
 * memory that the parent owns. Readers check while it goes on, the parent at
 * the end, that
 *
 *     offsets have no gap, and every record has the bytes it was given;
 *     what an appender was acknowledged stands where it was told;
 *     no record stands at two offsets;
 *     in a partition an appender's records are in the order of its calls;
 *     a committed offset is the last one acknowledged, or the one on its way;
 *     no call waits longer than a survivor may wait.
 *
 * BUDGET counts kills, a round of some hundreds on a store of its own each.
 */
#include "proof.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <rill.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    APPENDERS = 4,
    READERS = 2,
    CHILDREN = APPENDERS + READERS,
    PARTITIONS = 2,
    BATCH_MAX = 20,
    VALUE_MAX = 1500,
    NUMBERS_MAX = 1 << 20, /* records of one appender */
    ROUND = 300,
    WAIT_MS = 20000 /* nobody waits so long, on the slowest machine */
};

/* What outlives the children. */
struct board {
    _Atomic bool stop;
    _Atomic bool violated;
    char violation[700];
    _Atomic uint32_t attempted[APPENDERS];                 /* numbers given out */
    _Atomic uint64_t acknowledged[APPENDERS][NUMBERS_MAX]; /* (offset << 1 | partition) + 1 */
    _Atomic int64_t committed[READERS][PARTITIONS];        /* acknowledged; -1: never */
    _Atomic int64_t committing[READERS][PARTITIONS];
    _Atomic uint64_t read;
    _Atomic uint64_t lives;
    _Atomic int64_t longest_ns; /* of a call that appends or commits */
};

/* A record's value; the bytes behind it follow from it. */
struct value {
    uint32_t appender;
    uint32_t number;
    uint32_t size; /* of all, this struct included */
    uint32_t check;
};

static struct board *board;
static char store_path[600];

static uint64_t next_random(uint64_t *state)
{
    uint64_t v = *state += UINT64_C(0x9E3779B97F4A7C15);
    v = (v ^ (v >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    v = (v ^ (v >> 27)) * UINT64_C(0x94D049BB133111EB);
    return v ^ (v >> 31);
}

static void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void violation(const char *format, ...)
{
    va_list args;

    if (atomic_exchange(&board->violated, true)) return;
    va_start(args, format);
    vsnprintf(board->violation, sizeof board->violation, format, args);
    va_end(args);
    atomic_store(&board->stop, true);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void note_duration(int64_t since_ns)
{
    int64_t took = now_ns() - since_ns;
    int64_t longest = atomic_load(&board->longest_ns);

    while (took > longest && !atomic_compare_exchange_weak(&board->longest_ns, &longest, took)) {}
}

/* ---- Values ---- */

static uint32_t check_of(uint32_t appender, uint32_t number)
{
    uint64_t state = (uint64_t)appender << 32 | number;
    return (uint32_t)next_random(&state);
}

static size_t fill_value(void *at, uint32_t appender, uint32_t number, size_t size)
{
    struct value value = {appender, number, (uint32_t)size, check_of(appender, number)};

    memcpy(at, &value, sizeof value);
    memset((char *)at + sizeof value, (int)(value.check & 0xff), size - sizeof value);
    return size;
}

static bool value_is_good(const rill_record *record, struct value *value)
{
    const uint8_t *at = record->value.data;

    if (record->value.size < sizeof *value) return false;
    memcpy(value, at, sizeof *value);
    if (value->appender >= APPENDERS || value->number >= NUMBERS_MAX ||
        value->size != record->value.size ||
        value->check != check_of(value->appender, value->number))
        return false;
    for (size_t i = sizeof *value; i < value->size; i++)
        if (at[i] != (value->check & 0xff)) return false;
    return true;
}

/* ---- Appenders ---- */

static void acknowledge(uint32_t appender, uint32_t number, int32_t partition, int64_t offset)
{
    atomic_store(&board->acknowledged[appender][number],
                 ((uint64_t)offset << 1 | (uint64_t)partition) + 1);
}

struct appender {
    uint32_t id;
    uint64_t random;
    rill *store;
    rill_producer *producer;
};

static void on_delivery(void *arg, const rill_delivery *delivery)
{
    struct appender *a = arg;

    if (delivery->status == 0)
        acknowledge(a->id, (uint32_t)(uintptr_t)delivery->opaque, delivery->partition,
                    delivery->offset);
    else
        violation("appender %u: a report has status %d: %s", a->id, delivery->status,
                  rill_strerror(delivery->status));
}

static uint32_t take_numbers(struct appender *a, uint32_t count)
{
    return atomic_fetch_add(&board->attempted[a->id], count);
}

static int append_batch(struct appender *a, int32_t partition, uint32_t count)
{
    static char values[BATCH_MAX][VALUE_MAX];
    rill_record records[BATCH_MAX];
    uint32_t first = take_numbers(a, count);
    rill_offset offset;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        size_t size = sizeof(struct value) + next_random(&a->random) % (VALUE_MAX - 16);
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = partition;
        records[i].value.data = values[i];
        records[i].value.size = fill_value(values[i], a->id, first + i, size);
    }
    rc = rill_producer_append(a->producer, records, count, WAIT_MS, &offset);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        acknowledge(a->id, first + i, partition, offset + i);
    return rc;
}

static int send_records(struct appender *a, int32_t partition, uint32_t count)
{
    uint32_t first = take_numbers(a, count);
    char value[VALUE_MAX];
    int rc = 0;

    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rill_record record = RILL_RECORD_INIT;
        record.partition = partition;
        record.value.data = value;
        record.value.size = fill_value(value, a->id, first + i, 100);
        rc = rill_producer_send(a->producer, &record, (void *)(uintptr_t)(first + i), WAIT_MS);
    }
    return rc == 0 ? rill_producer_flush(a->producer, WAIT_MS) : rc;
}

static int append_in_place(struct appender *a, int32_t partition)
{
    rill_record shape = RILL_RECORD_INIT;
    rill_reservation room;
    rill_offset offset;
    uint32_t number;
    int rc;

    shape.partition = partition;
    shape.value.size = 200;
    rc = rill_producer_reserve(a->producer, &shape, WAIT_MS, &room);
    if (rc != 0) return rc;
    number = take_numbers(a, 1);
    fill_value(room.value, a->id, number, 200);
    rc = rill_producer_commit(a->producer, &offset);
    if (rc == 0) acknowledge(a->id, number, partition, offset);
    return rc;
}

static void run_appender(uint32_t id, uint64_t seed)
{
    struct appender a = {.id = id, .random = seed};
    rill_options options = {.size = sizeof options, .open_timeout_ms = WAIT_MS};
    rill_producer_options out = {.size = sizeof out,
                                 .topic = "t",
                                 .delivery = on_delivery,
                                 .delivery_arg = &a,
                                 .acks = seed % 8 == 0 ? RILL_ACKS_DURABLE : RILL_ACKS_WRITTEN};
    int rc = rill_open(store_path, &options, &a.store);

    if (rc == 0) rc = rill_producer_open(a.store, &out, &a.producer);
    while (rc == 0 && !atomic_load(&board->stop) &&
           atomic_load(&board->attempted[id]) < NUMBERS_MAX - BATCH_MAX) {
        uint64_t r = next_random(&a.random);
        int32_t partition = (int32_t)(r >> 8 & 1);
        int64_t start = now_ns();
        switch (r % 8) {
        case 0: rc = send_records(&a, partition, 1 + r / 512 % BATCH_MAX); break;
        case 1: rc = append_in_place(&a, partition); break;
        case 2: rc = r / 512 % 16 == 0 ? rill_maintain(a.store, NULL) : 0; break;
        default: rc = append_batch(&a, partition, 1 + r / 512 % BATCH_MAX); break;
        }
        if (r % 8 != 2) note_duration(start);
    }
    if (rc == 0) rc = rill_producer_close(a.producer, WAIT_MS);
    if (rc == 0) rc = rill_close(a.store);
    if (rc != 0) violation("appender %u: %d, %s", id, rc, rill_errmsg());
}

/* ---- Readers ---- */

/* What one walk over the log has seen. */
struct walk {
    int64_t next_offset[PARTITIONS];
    int64_t last_number[PARTITIONS][APPENDERS];
};

static void walk_begin(struct walk *walk)
{
    memset(walk, 0, sizeof *walk);
    for (int p = 0; p < PARTITIONS; p++)
        for (int i = 0; i < APPENDERS; i++) walk->last_number[p][i] = -1;
}

static bool walk_record(struct walk *walk, const rill_record *record, struct value *value)
{
    int32_t p = record->partition;

    if (record->offset != walk->next_offset[p])
        violation("partition %d: offset %" PRId64 " comes where %" PRId64 " should", p,
                  record->offset, walk->next_offset[p]);
    else if (!value_is_good(record, value))
        violation("partition %d: offset %" PRId64 ": a value that nobody appended", p,
                  record->offset);
    else if ((int64_t)value->number <= walk->last_number[p][value->appender])
        violation("partition %d: offset %" PRId64 ": number %u of appender %u after %" PRId64, p,
                  record->offset, value->number, value->appender,
                  walk->last_number[p][value->appender]);
    else {
        walk->next_offset[p] = record->offset + 1;
        walk->last_number[p][value->appender] = value->number;
        return true;
    }
    return false;
}

/* Where the last life's commits have left the group. */
static int check_committed(rill_consumer *consumer, int reader)
{
    for (int p = 0; p < PARTITIONS; p++) {
        int64_t sure = atomic_load(&board->committed[reader][p]);
        int64_t maybe = atomic_load(&board->committing[reader][p]);
        rill_position position;
        int rc = rill_consumer_committed(consumer, "t", p, &position, NULL, 0);

        if (rc != 0) return rc;
        if (position.offset == RILL_OFFSET_NONE) position.offset = -1;
        if (position.offset != sure && position.offset != maybe)
            violation("reader %d: committed is %" PRId64 ", not %" PRId64 " or %" PRId64, reader,
                      position.offset, sure, maybe);
        atomic_store(&board->committed[reader][p], position.offset);
    }
    return 0;
}

static int commit(rill_consumer *consumer, int reader, const struct walk *walk, int32_t p)
{
    rill_position position = {"t", p, -1, walk->next_offset[p], NULL};
    int64_t start = now_ns();
    int rc;

    atomic_store(&board->committing[reader][p], position.offset);
    rc = rill_consumer_commit(consumer, &position, 1);
    if (rc == 0) atomic_store(&board->committed[reader][p], position.offset);
    note_duration(start);
    return rc;
}

static void run_reader(int reader, uint64_t seed)
{
    rill_options options = {.size = sizeof options, .open_timeout_ms = WAIT_MS};
    rill_consumer_options in = {.size = sizeof in,
                                .group = reader == 0 ? "r0" : "r1",
                                .spin_us = reader == 0 ? 0 : 1000}; /* close behind the tail */
    rill_position from[PARTITIONS];
    rill_record records[64];
    rill_consumer *consumer;
    struct walk walk;
    struct value value;
    size_t count;
    rill *store;
    int rc = rill_open(store_path, &options, &store);

    walk_begin(&walk);
    for (int p = 0; p < PARTITIONS; p++)
        from[p] = (rill_position){"t", p, -1, RILL_OFFSET_EARLIEST, NULL};
    if (rc == 0) rc = rill_consumer_open(store, &in, &consumer);
    if (rc == 0) rc = check_committed(consumer, reader);
    if (rc == 0) rc = rill_consumer_assign(consumer, from, PARTITIONS);
    while (rc == 0 && !atomic_load(&board->stop)) {
        if (next_random(&seed) % 32 == 0)
            rc = commit(consumer, reader, &walk, (int32_t)(next_random(&seed) % PARTITIONS));
        if (rc == 0)
            rc = rill_consumer_poll(consumer, 20, records, 1 + next_random(&seed) % 64, &count);
        for (size_t i = 0; rc == 0 && i < count; i++)
            if (!walk_record(&walk, &records[i], &value)) break;
        if (rc == 0) atomic_fetch_add(&board->read, count);
    }
    if (rc == 0) rc = rill_consumer_close(consumer, WAIT_MS);
    if (rc == 0) rc = rill_close(store);
    if (rc != 0) violation("reader: %d, %s", rc, rill_errmsg());
}

/* ---- The parent ---- */

static pid_t start_child(int which, uint64_t seed)
{
    pid_t pid = fork();

    if (pid != 0) {
        if (pid < 0) violation("fork: %s", strerror(errno));
        return pid;
    }
    atomic_fetch_add(&board->lives, 1);
    if (which < APPENDERS) run_appender((uint32_t)which, seed);
    else run_reader(which - APPENDERS, seed);
    _exit(atomic_load(&board->violated) ? 1 : 0);
}

static void end_child(pid_t pid, bool kill_it)
{
    int status = 0;

    if (pid <= 0) return;
    if (kill_it) kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        violation("a child died of signal %d", WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) violation("a child failed");
}

/* Reads all that is there and compares it with what was acknowledged. */
static uint64_t check_all(void)
{
    static uint8_t found[APPENDERS][NUMBERS_MAX];
    rill_position from[PARTITIONS];
    rill_record records[256];
    rill_consumer *consumer;
    rill_partition_info info;
    struct walk walk;
    struct value value;
    uint64_t acknowledged = 0;
    rill *store;
    size_t count;
    int rc = rill_open(store_path, NULL, &store);

    memset(found, 0, sizeof found);
    walk_begin(&walk);
    for (int p = 0; p < PARTITIONS; p++)
        from[p] = (rill_position){"t", p, -1, RILL_OFFSET_EARLIEST, NULL};
    if (rc == 0) rc = rill_consumer_open(store, NULL, &consumer);
    if (rc == 0) rc = rill_consumer_assign(consumer, from, PARTITIONS);
    while (rc == 0 && !atomic_load(&board->violated)) {
        rc = rill_consumer_poll(consumer, 0, records, 256, &count);
        if (rc != 0 || count == 0) break;
        for (size_t i = 0; i < count; i++) {
            uint64_t told;
            if (!walk_record(&walk, &records[i], &value)) break;
            if (found[value.appender][value.number]++ != 0)
                violation("number %u of appender %u is there twice", value.number,
                          value.appender);
            told = atomic_load(&board->acknowledged[value.appender][value.number]);
            if (told != 0 &&
                told - 1 != ((uint64_t)records[i].offset << 1 | (uint64_t)records[i].partition))
                violation("number %u of appender %u is not where it was acknowledged",
                          value.number, value.appender);
        }
    }
    for (int p = 0; p < PARTITIONS && rc == 0; p++) {
        rc = rill_partition_describe(store, "t", p, &info);
        if (rc == 0 && info.log_end != walk.next_offset[p])
            violation("partition %d ends at %" PRId64 ", records end at %" PRId64, p,
                      info.log_end, walk.next_offset[p]);
    }
    for (int i = 0; i < APPENDERS; i++) {
        for (uint32_t n = 0; n < atomic_load(&board->attempted[i]); n++) {
            if (atomic_load(&board->acknowledged[i][n]) == 0) continue;
            acknowledged++;
            if (!found[i][n])
                violation("number %u of appender %d was acknowledged and is lost", n, i);
        }
    }
    if (rc == 0) rc = rill_consumer_close(consumer, 0);
    if (rc == 0) rc = rill_close(store);
    if (rc != 0) violation("checking: %d, %s", rc, rill_errmsg());
    return acknowledged;
}

static void make_store(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_topic_options topic = {
        .size = sizeof topic, .partition_count = PARTITIONS, .segment_bytes = 256 << 10};
    rill *store;
    int rc = rill_open(store_path, &options, &store);

    if (rc == 0) rc = rill_topic_create(store, "t", &topic);
    if (rc == 0) rc = rill_close(store);
    if (rc != 0) violation("making the store: %d, %s", rc, rill_errmsg());
}

static void pause_us(uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

static void begin_round(void)
{
    memset((void *)board, 0, sizeof *board);
    for (int r = 0; r < READERS; r++)
        for (int p = 0; p < PARTITIONS; p++)
            board->committed[r][p] = board->committing[r][p] = -1;
    snprintf(store_path, sizeof store_path, "%s/store", test_directory());
    make_store();
}

/* How many kills there were. */
static uint64_t run_round(uint64_t *random, uint64_t limit)
{
    pid_t children[CHILDREN] = {0};
    uint64_t kills = 0;

    while (kills < limit && !atomic_load(&board->stop)) {
        uint64_t r = next_random(random);
        for (int i = 0; i < CHILDREN; i++)
            if (children[i] == 0) children[i] = start_child(i, next_random(random));
        pause_us(r % 8000);
        for (int i = 0; i < CHILDREN; i++) {
            bool all = (r >> 32) % 16 == 0;
            if (!all && (r >> 16) % CHILDREN != (uint64_t)i) continue;
            end_child(children[i], true);
            children[i] = 0;
            kills++;
        }
    }
    atomic_store(&board->stop, true);
    for (int i = 0; i < CHILDREN; i++) end_child(children[i], false);
    return kills;
}

int main(void)
{
    uint64_t budget = proof_budget(20000, 400);
    uint64_t random = proof_seed();
    uint64_t kills = 0;
    uint64_t records = 0;
    int64_t longest_ns = 0;

    proof_as_on_disk();
    board = test_shared(sizeof *board);
    for (uint64_t round = 0; kills < budget && proof_violations() == 0; round++) {
        uint64_t acknowledged = 0;

        begin_round();
        kills += run_round(&random, budget - kills < ROUND ? budget - kills : ROUND);
        if (!atomic_load(&board->violated)) acknowledged = check_all();
        if (atomic_load(&board->violated)) proof_violation(round, "%s", board->violation);
        else if (acknowledged == 0) proof_violation(round, "nothing was acknowledged");
        else test_directory_remove(); /* else the store stays, to be looked at */
        records += acknowledged;
        if (atomic_load(&board->longest_ns) > longest_ns)
            longest_ns = atomic_load(&board->longest_ns);
    }
    printf("%" PRIu64 " records acknowledged; the longest call took %" PRId64 " ms\n", records,
           longest_ns / 1000000);
    return proof_end("kill", kills);
}
