/*
 * parallel.c - the records of one consumer, worked on by several threads at once.
 *
 *     parallel [STORE_DIR]
 *
 * Payments are keyed by account. Each takes a while, as if another machine were
 * asked, so eight workers do them at once; but those of one account come one after
 * another and in their order, so the balance of an account needs no lock. Some fail
 * at first and are tried again; those of their account wait for them, others do not.
 * That every account saw its payments in order, and that all are committed, is
 * checked. Without STORE_DIR the store is a new directory here, removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ACCOUNTS 50
#define PAYMENTS 1000 /* dealt to the accounts in turn */
#define PARTITIONS 2

struct payment {
    int32_t account;
    int32_t number; /* of the account's payments, from 0 */
};

static struct account {
    int paid; /* how many payments; no two workers are at one account at once */
    int tries;
} accounts[ACCOUNTS];

static atomic_int at_work, most_at_work, out_of_order;

static int failed(const char *what)
{
    fprintf(stderr, "parallel: %s: %s\n", what, rill_errmsg());
    return 1;
}

static int produce(rill *store)
{
    rill_producer_options options = {.size = sizeof options, .topic = "payments"};
    rill_producer *producer;
    int rc = 0;

    if (rill_producer_open(store, &options, &producer) != 0) return failed("open a producer");
    for (int i = 0; i < PAYMENTS && rc == 0; i++) {
        struct payment payment = {i % ACCOUNTS, i / ACCOUNTS};
        rill_record record = RILL_RECORD_INIT;

        record.key = (rill_bytes){&payment.account, sizeof payment.account};
        record.value = (rill_bytes){&payment, sizeof payment};
        rc = rill_producer_send(producer, &record, NULL, 10000);
    }
    if (rc == 0) rc = rill_producer_flush(producer, 10000);
    if (rc != 0) failed("produce");
    rill_producer_close(producer, 0);
    return rc != 0;
}

/* In a worker's thread: 0 = done, anything else = to be tried again. */
static int pay(void *arg, uint32_t worker, const rill_record *record)
{
    const struct payment *payment = record->value.data; /* 8-byte aligned */
    struct account *account = &accounts[payment->account];
    struct timespec a_while = {0, 1000000};
    int now = atomic_fetch_add(&at_work, 1) + 1;
    int most = atomic_load(&most_at_work);

    (void)arg, (void)worker;
    while (now > most && !atomic_compare_exchange_weak(&most_at_work, &most, now)) {}
    nanosleep(&a_while, NULL);
    atomic_fetch_sub(&at_work, 1);

    account->tries++;
    if (payment->number == 7 && account->tries == 8) return 1; /* the first try of it */
    if (payment->number != account->paid) atomic_fetch_add(&out_of_order, 1);
    account->paid++;
    return 0;
}

/* Hands the records out until all are done; the workers do the rest. */
static int work(rill_workers *workers)
{
    rill_workers_info info;

    for (int i = 0; i < 1000; i++) {
        if (rill_workers_run(workers, 10) != 0) return failed("run");
        if (rill_workers_describe(workers, &info) != 0) return failed("describe");
        if (info.done_count < PAYMENTS) continue;
        printf("%d payments, %d tries failed, at most %d at once\n", (int)info.done_count,
               (int)info.failed_count, atomic_load(&most_at_work));
        return 0;
    }
    fprintf(stderr, "parallel: not done in 10 s\n");
    return 1;
}

static int check(rill *store, rill_consumer *consumer)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        if (accounts[i].paid == PAYMENTS / ACCOUNTS) continue;
        fprintf(stderr, "parallel: account %d has %d payments\n", i, accounts[i].paid);
        return 1;
    }
    if (atomic_load(&out_of_order) != 0) {
        fprintf(stderr, "parallel: %d payments out of order\n", atomic_load(&out_of_order));
        return 1;
    }
    for (int32_t p = 0; p < PARTITIONS; p++) {
        rill_partition_info info;
        rill_position position;

        if (rill_partition_describe(store, "payments", p, &info) != 0) return failed("describe");
        if (info.log_end == 0) continue;
        if (rill_consumer_committed(consumer, "payments", p, &position, NULL, 0) != 0)
            return failed("committed");
        if (position.offset == info.log_end) continue;
        fprintf(stderr, "parallel: partition %d is not committed to its end\n", (int)p);
        return 1;
    }
    printf("every account saw its %d in order; all are committed\n", PAYMENTS / ACCOUNTS);
    return 0;
}

static int consume(rill *store)
{
    const char *topics[] = {"payments"};
    rill_consumer_options in = {
        .size = sizeof in, .group = "bank", .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_workers_options options = {
        .size = sizeof options, .work = pay, .worker_count = 8, .retries = 3, .backoff_ms = 5};
    rill_consumer *consumer;
    rill_workers *workers;
    int status;

    if (rill_consumer_open(store, &in, &consumer) != 0) return failed("open a consumer");
    if (rill_consumer_subscribe(consumer, topics, 1) != 0 ||
        rill_workers_open(consumer, &options, &workers) != 0) {
        status = failed("open the workers");
    } else {
        status = work(workers);
        /* Waits for what is in flight, and commits it. */
        if (rill_workers_close(workers, 10000) != 0) status = failed("close the workers");
    }
    if (status == 0) status = check(store, consumer);
    if (rill_consumer_close(consumer, 1000) != 0) status = failed("close the consumer");
    return status;
}

static int run(rill *store)
{
    rill_topic_options options = {.size = sizeof options, .partition_count = PARTITIONS};

    /* The check counts from 0, so the topic must be new. */
    if (rill_topic_create(store, "payments", &options) != 0) return failed("create the topic");
    return produce(store) != 0 || consume(store) != 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    char fresh[] = "rill-parallel-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(fresh);
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;
    int status;

    if (dir == NULL) {
        perror("parallel: cannot make a directory here");
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
