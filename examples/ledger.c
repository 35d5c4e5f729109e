/*
 * ledger.c - an account ledger that is killed again and again and stays exact.
 *
 *     ledger [STORE_DIR [KILLS]]
 *
 * The parent writes orders ("take 7 from the pot, give it to account 12") to a topic. A
 * child reads them, keeps the balances in a space, and writes a receipt per order: all in
 * transactions, which hold the balances, the offsets read and the receipts together. The
 * parent kills it with SIGKILL, wherever it happens to be, and starts it again, a hundred
 * times. In the end each order has been booked once: the balances add up, and there is one
 * receipt per order. Without STORE_DIR the store is a new directory here, removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ORDERS 5000
#define ACCOUNTS 16
#define POT "pot"

struct order {
    int64_t number;
    int32_t account;
    int32_t amount;
};

static int failed(const char *what)
{
    fprintf(stderr, "ledger: %s: %s\n", what, rill_errmsg());
    return 1;
}

static rill *open_store(const char *dir)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;

    if (rill_open(dir, &options, &store) == 0) return store;
    failed("open");
    return NULL;
}

/* ---- The child: books orders ---- */

static int add(rill_txn *txn, rill_space *balances, const char *account, int64_t amount)
{
    rill_bytes key = {account, strlen(account)};
    rill_bytes old;
    int64_t balance = 0;
    int rc = rill_txn_get(txn, balances, key, &old);

    if (rc == 0) memcpy(&balance, old.data, sizeof balance);
    else if (rc != RILL_ERR_NOT_FOUND) return rc;
    balance += amount;
    return rill_txn_put(txn, balances, key, (rill_bytes){&balance, sizeof balance});
}

static int book(rill_txn *txn, rill_space *balances, rill_producer *receipts,
                const rill_record *record)
{
    struct order order;
    rill_record receipt = RILL_RECORD_INIT;
    char account[16];
    int rc;

    memcpy(&order, record->value.data, sizeof order);
    snprintf(account, sizeof account, "account-%d", (int)order.account);
    rc = add(txn, balances, POT, -order.amount);
    if (rc == 0) rc = add(txn, balances, account, order.amount);
    receipt.key = (rill_bytes){account, strlen(account)};
    receipt.value = (rill_bytes){&order.number, sizeof order.number};
    return rc == 0 ? rill_producer_send(receipts, &receipt, NULL, 10000) : rc;
}

/* One transaction for what a poll gives. Killed anywhere in here, none of it has happened;
 * killed behind the commit, all of it has. */
static int book_some(rill_consumer *orders, rill_producer *receipts, rill_space *balances)
{
    rill_record records[64];
    rill_txn *txn;
    size_t count;
    int rc = rill_consumer_poll(orders, 100, records, 64, &count);

    if (rc != 0 || count == 0) return rc;
    rc = rill_txn_begin(receipts, &txn);
    if (rc != 0) return rc;
    for (size_t i = 0; i < count && rc == 0; i++) rc = book(txn, balances, receipts, &records[i]);
    if (rc == 0) rc = rill_txn_send_offsets(txn, orders, NULL, 0);
    if (rc == 0) rc = rill_txn_commit(txn, 10000);
    if (rc == 0) return 0;
    failed("a transaction");
    rc = rill_txn_abort(txn, 10000); /* and again, from what is committed */
    return rc == 0 ? rill_consumer_seek_committed(orders) : rc;
}

static int be_bookkeeper(const char *dir)
{
    rill_producer_options out = {
        .size = sizeof out, .topic = "receipts", .transactional_id = "bookkeeper"};
    rill_consumer_options in = {
        .size = sizeof in, .group = "bookkeeper", .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position all = {.topic = "orders", .offset = RILL_OFFSET_NONE};
    rill *store = open_store(dir);
    rill_producer *receipts;
    rill_consumer *orders;
    rill_space *balances;

    if (store == NULL) return 1;
    if (rill_producer_open(store, &out, &receipts) != 0) return failed("producer");
    if (rill_consumer_open(store, &in, &orders) != 0) return failed("consumer");
    if (rill_consumer_assign(orders, &all, 1) != 0) return failed("assign");
    if (rill_space_open(store, "balances", RILL_SPACE_CREATE, &balances) != 0)
        return failed("space");
    for (;;) /* until it is killed */
        if (book_some(orders, receipts, balances) != 0) return failed("booking");
}

/* ---- The parent: orders, kills, adds up ---- */

static int write_orders(const char *dir)
{
    rill_producer_options out = {.size = sizeof out, .topic = "orders"};
    rill *store = open_store(dir);
    rill_producer *producer;
    rill_record record = RILL_RECORD_INIT;
    int rc;

    if (store == NULL) return 1;
    rc = rill_topic_create(store, "orders", NULL);
    if (rc == 0) rc = rill_topic_create(store, "receipts", NULL);
    if (rc != 0) return failed("topics");
    if (rill_producer_open(store, &out, &producer) != 0) return failed("producer");
    for (int64_t i = 0; i < ORDERS; i++) {
        struct order order = {i, (int32_t)(i * 7 % ACCOUNTS), (int32_t)(i % 100)};
        record.value = (rill_bytes){&order, sizeof order};
        if (rill_producer_send(producer, &record, NULL, 10000) != 0) return failed("send");
    }
    if (rill_producer_close(producer, 10000) != 0) return failed("close");
    return rill_close(store) != 0 ? failed("close") : 0;
}

static int64_t receipts_there(rill *store)
{
    rill_consumer_options in = {.size = sizeof in, .isolation = RILL_READ_COMMITTED};
    rill_position all = {.topic = "receipts", .offset = RILL_OFFSET_EARLIEST};
    rill_consumer *consumer;
    rill_record records[256];
    int64_t next = 0;
    size_t count;

    if (rill_consumer_open(store, &in, &consumer) != 0) return failed("consumer"), -1;
    if (rill_consumer_assign(consumer, &all, 1) != 0) return failed("assign"), -1;
    do {
        if (rill_consumer_poll(consumer, 0, records, 256, &count) != 0) return failed("poll"), -1;
        for (size_t i = 0; i < count; i++, next++) {
            int64_t number;
            memcpy(&number, records[i].value.data, sizeof number);
            if (number != next) return fprintf(stderr, "ledger: a receipt twice, or none\n"), -1;
        }
    } while (count > 0);
    rill_consumer_close(consumer, 0);
    return next;
}

/* Prints the balances of one moment; what they add up to. */
static int add_up(rill *store, int64_t *sum)
{
    rill_space *balances;
    rill_view *view;
    rill_cursor *cursor;
    rill_bytes key;
    rill_bytes value;
    int rc;

    *sum = 0;
    if (rill_space_open(store, "balances", RILL_SPACE_CREATE, &balances) != 0)
        return failed("space");
    if (rill_view_open(store, &view) != 0) return failed("view");
    if (rill_cursor_open(view, NULL, balances, NULL, &cursor) != 0) return failed("cursor");
    while ((rc = rill_cursor_next(cursor, &key, &value)) == 0) {
        int64_t balance;
        memcpy(&balance, value.data, sizeof balance);
        printf("%-12.*s %10" PRId64 "\n", (int)key.size, (const char *)key.data, balance);
        *sum += balance;
    }
    rill_cursor_close(cursor);
    rill_view_close(view);
    rill_space_close(balances);
    return rc == RILL_ERR_NOT_FOUND ? 0 : failed("walk");
}

/* How many receipts there are, seen from outside while nobody books. */
static int64_t progress(const char *dir)
{
    rill *store = open_store(dir);
    int64_t count;

    if (store == NULL) return -1;
    count = receipts_there(store);
    rill_close(store);
    return count;
}

static int run(const char *dir, int kills)
{
    struct timespec pause;
    rill *store;
    int64_t sum;
    int64_t receipts;
    int killed = 0;
    int ms;

    fflush(stdout);
    if (write_orders(dir) != 0) return 1;
    do {
        int status;
        pid_t pid = fork();
        if (pid == 0) _exit(be_bookkeeper(dir));
        /* Sooner and later, so that it is killed in every step of its work; in the end it gets
         * more time in each round, as much as it needs on a slow machine. */
        ms = killed < kills ? 2 + killed % 20 * 3 / 2 : 300 * (killed - kills + 1);
        pause = (struct timespec){ms / 1000, ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        if (!WIFSIGNALED(status)) return 1;
        killed++;
        receipts = killed < kills ? 0 : progress(dir);
        if (receipts < 0) return 1;
    } while (receipts < ORDERS);

    store = open_store(dir);
    if (store == NULL || add_up(store, &sum) != 0) return 1;
    printf("%d kills, %" PRId64 " orders, %" PRId64 " receipts; the balances add up to %" PRId64
           "\n",
           killed, (int64_t)ORDERS, receipts, sum);
    if (rill_close(store) != 0) return failed("close");
    return sum == 0 && receipts == ORDERS ? 0 : 1;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    char made[] = "ledger-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : NULL;
    char path[600];
    int rc;

    if (dir == NULL && mkdtemp(made) == NULL) return perror("ledger"), 1;
    snprintf(path, sizeof path, "%s/store", dir == NULL ? made : dir);
    rc = run(dir == NULL ? path : dir, argc > 2 ? atoi(argv[2]) : 100);
    if (dir == NULL) nftw(made, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return rc;
}
