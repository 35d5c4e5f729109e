/*
 * bankcut.c - the power goes in a transaction: state, offsets and records are all there, or none.
 *
 * The whole store runs on a simulated disk (simdisk.h). Transaction number n reads record n of
 * a topic and commits its offset, adds n to a sum in a space, and sends n to one of two
 * partitions, or both, or none; some are aborted on the way, having sent what must never be seen.
 * At a random event the power goes; what is left is opened, and a new instance goes on, and its
 * power goes, three times. Each time the count in the space, the sum, the committed offset and
 * the records that a reader of what is committed sees say the same number of transactions: those
 * whose commit returned, or with the one that was on its way.
 *
 * BUDGET counts cuts; the seed repeats a run.
 */
#include "proof.h"
#include "simdisk.h"
#include <inttypes.h>
#include <rill.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { CUTS_MAX = 3, ORDERS = 40, PARTITIONS = 2, WAIT_MS = 10000, ABORTED = -1 };

static struct test_random dice;
static rill *store;
static rill_space *space;
static rill_producer *producer;
static rill_consumer *consumer;

/* What has been promised, and what was when the power went. */
static struct {
    int64_t done;  /* transactions whose commit returned */
    int64_t tried; /* and with the one on its way */
} model, promised;
static bool cut;

static void on_cut(void *arg)
{
    (void)arg;
    promised = model;
    cut = true;
}

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

/* ---- Clients ---------------------------------------------------------- */

static void open_store(const char *dir)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    char path[800];

    snprintf(path, sizeof path, "%s/store", dir);
    OK(rill_open(path, &options, &store));
}

static void make_topics(void)
{
    rill_topic_options out = {
        .size = sizeof out, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    rill_producer_options options = {.size = sizeof options, .topic = "in"};
    rill_partition_info info;
    rill_producer *orders;
    int rc = rill_topic_create(store, "out", &out);

    if (rc != RILL_ERR_EXISTS) OK(rc);
    out.partition_count = 1;
    rc = rill_topic_create(store, "in", &out);
    if (rc != RILL_ERR_EXISTS) OK(rc);
    OK(rill_partition_describe(store, "in", 0, &info));
    if (info.log_end == ORDERS) return;
    options.acks = RILL_ACKS_DURABLE;
    OK(rill_producer_open(store, &options, &orders));
    for (int64_t i = info.log_end; i < ORDERS; i++) { /* those that the cut left */
        rill_record record = RILL_RECORD_INIT;
        record.value = (rill_bytes){&i, sizeof i};
        OK(rill_producer_append(orders, &record, 1, WAIT_MS, NULL));
    }
    OK(rill_producer_close(orders, WAIT_MS));
}

static void open_producer(void)
{
    rill_producer_options out = {.size = sizeof out, .topic = "out", .transactional_id = "job"};

    OK(rill_producer_open(store, &out, &producer)); /* ends what was left open */
}

static void open_clients(void)
{
    rill_consumer_options in = {
        .size = sizeof in, .group = "job", .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position from = {.topic = "in", .offset = RILL_OFFSET_NONE};

    OK(rill_space_open(store, "state", RILL_SPACE_CREATE, &space));
    open_producer();
    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_assign(consumer, &from, 1));
}

static void close_all(void)
{
    rill_consumer_close(consumer, WAIT_MS);
    rill_producer_close(producer, WAIT_MS);
    rill_space_close(space);
    rill_close(store);
}

/* ---- Work ------------------------------------------------------------- */

static void add(rill_txn *txn, const char *key, int64_t more)
{
    rill_bytes k = {key, strlen(key)};
    rill_bytes old;
    int64_t value = 0;
    int rc = rill_txn_get(txn, space, k, &old);

    if (rc != RILL_ERR_NOT_FOUND) {
        OK(rc);
        memcpy(&value, old.data, sizeof value);
    }
    value += more;
    OK(rill_txn_put(txn, space, k, (rill_bytes){&value, sizeof value}));
}

static void send_value(int32_t partition, int64_t value)
{
    rill_record record = RILL_RECORD_INIT;

    record.partition = partition;
    record.value = (rill_bytes){&value, sizeof value};
    OK(rill_producer_send(producer, &record, NULL, WAIT_MS));
}

static bool goes_to(int64_t number, int32_t partition)
{
    return number % 4 == 3 ? false : number % 4 == 2 || number % 4 == partition;
}

static void abort_one(void)
{
    rill_txn *txn;

    OK(rill_txn_begin(producer, &txn));
    for (int p = 0; p < PARTITIONS; p++) send_value(p, ABORTED);
    if (roll(2) == 0) OK(rill_producer_flush(producer, WAIT_MS));
    add(txn, "sum", 1000000);
    OK(rill_txn_abort(txn, WAIT_MS));
}

static void commit_one(void)
{
    rill_record got[1];
    rill_txn *txn;
    int64_t number;
    size_t count;

    OK(rill_consumer_poll(consumer, 0, got, 1, &count));
    assert_int_equal(count, 1);
    memcpy(&number, got[0].value.data, sizeof number);
    assert_int_equal(number, model.done);
    OK(rill_txn_begin(producer, &txn));
    add(txn, "count", 1);
    add(txn, "sum", number);
    for (int p = 0; p < PARTITIONS; p++)
        if (goes_to(number, p)) send_value(p, number);
    OK(rill_txn_send_offsets(txn, consumer, NULL, 0));
    model.tried = model.done + 1;
    OK(rill_txn_commit(txn, WAIT_MS));
    model.done = model.tried;
}

static void work(uint64_t steps)
{
    for (uint64_t i = 0; i < steps && !cut && model.done < ORDERS; i++) {
        switch (roll(6)) {
        case 0: abort_one(); break;
        case 1: OK(rill_maintain(store, NULL)); break;
        case 2:
            OK(rill_producer_close(producer, WAIT_MS));
            open_producer();
            break;
        default: commit_one(); break;
        }
    }
}

/* ---- What is left ----------------------------------------------------- */

static int64_t in_space(const char *key)
{
    int64_t value = 0;
    size_t size;
    int rc = rill_space_get(space, (rill_bytes){key, strlen(key)}, &value, sizeof value, &size);

    if (rc != RILL_ERR_NOT_FOUND) OK(rc);
    return value;
}

/* Up to which transaction all that go there are seen; those before done that do not count too. */
static int64_t seen_in(int32_t partition, int64_t done)
{
    rill_consumer_options in = {.size = sizeof in, .isolation = RILL_READ_COMMITTED};
    rill_position from = {.topic = "out", .partition = partition, .offset = RILL_OFFSET_EARLIEST};
    rill_consumer *reader;
    rill_record got[64];
    int64_t seen = 0;
    int64_t lag;
    size_t count;

    OK(rill_consumer_open(store, &in, &reader));
    OK(rill_consumer_assign(reader, &from, 1));
    do {
        OK(rill_consumer_poll(reader, 0, got, 64, &count));
        for (size_t i = 0; i < count; i++) {
            int64_t value;
            memcpy(&value, got[i].value.data, sizeof value);
            while (!goes_to(seen, partition)) seen++;
            assert_int_equal(value, seen);
            seen++;
        }
    } while (count > 0);
    OK(rill_consumer_lag(reader, "out", partition, &lag));
    assert_int_equal(lag, 0); /* nothing holds it back */
    OK(rill_consumer_close(reader, 0));
    while (seen < done && !goes_to(seen, partition)) seen++;
    return seen;
}

static void open_what_is_left(const char *dir)
{
    rill_position committed;
    int64_t done;

    open_store(dir);
    make_topics();
    open_clients();
    done = in_space("count");
    assert_in_range(done, model.done, model.tried);
    assert_int_equal(in_space("sum"), done * (done - 1) / 2);
    for (int p = 0; p < PARTITIONS; p++) assert_int_equal(seen_in(p, done), done);
    OK(rill_consumer_committed(consumer, "in", 0, &committed, NULL, 0));
    assert_int_equal(committed.offset, done == 0 ? RILL_OFFSET_NONE : done);
    model.done = model.tried = done;
}

static void run_case(uint64_t number)
{
    char names[CUTS_MAX + 1][16];

    dice.state = number;
    test_directory();
    for (int i = 0; i <= CUTS_MAX; i++) snprintf(names[i], sizeof names[i], "disk%d", i);
    assert_int_equal(mkdir(test_path(names[0]), 0700), 0);
    for (int i = 0; i < CUTS_MAX; i++) {
        const char *to = test_path(names[i + 1]);
        simdisk_mount(test_path(names[i]), &dice);
        simdisk_cut_at(1 + roll(roll(2) == 0 ? 60 : 500), to, on_cut, NULL);
        open_what_is_left(test_path(names[i]));
        work(roll(12));
        if (!cut) {
            simdisk_cut(test_path(names[i + 1]));
            promised = model;
        }
        simdisk_cancel();
        close_all();
        simdisk_unmount();
        model = promised;
        cut = false;
    }
    simdisk_mount(test_path(names[CUTS_MAX]), &dice);
    open_what_is_left(test_path(names[CUTS_MAX]));
    work(3);
    close_all();
    simdisk_unmount();
    test_directory_remove();
}

static uint64_t case_number;

static void the_case(void **state)
{
    (void)state;
    run_case(case_number);
}

/* In a process of its own, so that one that fails is not the last one; what that has to say
 * is shown. */
static void run_apart(uint64_t number, uint64_t seed)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_case)};
    FILE *said = tmpfile();
    char line[400];
    int status;
    pid_t pid;

    assert_non_null(said);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        dup2(fileno(said), STDOUT_FILENO);
        dup2(fileno(said), STDERR_FILENO);
        case_number = seed * 1000003 + number;
        exit(cmocka_run_group_tests(tests, NULL, NULL));
    }
    waitpid(pid, &status, 0);
    if (status != 0) {
        proof_violation(number, "ended with status %#x; CASE=%" PRIu64 " repeats it",
                        (unsigned)status, number);
        rewind(said);
        while (fgets(line, sizeof line, said) != NULL) fputs(line, stdout);
    }
    fclose(said);
}

int main(void)
{
    uint64_t seed = proof_seed();
    uint64_t cuts = proof_budget(3000, 60);
    const char *only = getenv("CASE");
    uint64_t cases = only != NULL ? 1 : (cuts + CUTS_MAX - 1) / CUTS_MAX;

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    for (uint64_t n = 1; n <= cases && proof_violations() < 10; n++)
        run_apart(only != NULL ? strtoull(only, NULL, 10) : n, seed);
    return proof_end("bankcut", cases * CUTS_MAX);
}
