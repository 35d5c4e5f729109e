/*
 * bank.c - a bank whose tellers are killed at random: not a cent is lost or made, and
 * nothing happens twice.
 *
 * Each teller is a process with a transactional_id, and keeps accounts in a space of its own.
 * A transfer to another teller's account is, in one transaction, a debit in the space and a
 * record on the wire (a topic; the partition is the receiver); the receiver, in one
 * transaction, credits it and commits the offset. Beside its accounts each keeps how much it
 * has sent and received, and a number for every transfer, which goes into the record.
 *
 *     in every view         accounts + sent - received is what there was at first
 *     on the wire           every teller's committed transfers are 0, 1, 2, ... without a gap,
 *                           and none of those that were aborted, or cut short
 *     of what was told      a commit that returned 0 is there for ever
 *     no reader waits       behind a teller that is dead
 *
 * Their parent kills tellers, now and then leaves a producer id few epochs, lets second instances
 * of them run beside the first (zombies, which are fenced at any moment), and stops some for
 * longer than their transactions may last. BUDGET counts kills.
 */
#include "engine/clients.h"
#include "proof.h"
#include <inttypes.h>
#include <rill.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>

enum {
    TELLERS = 3,
    INSTANCES = 2, /* of each: the second one is a zombie, or makes the first one */
    ACCOUNTS = 20, /* of each */
    FIRST_MONEY = 1000,
    TIMEOUT_MS = 300, /* of a transaction */
    WAIT_MS = 60000,
    TRANSFERS_MAX = 1 << 20
};

struct board {
    _Atomic bool stop;
    _Atomic bool violated;
    char violation[700];
    _Atomic int64_t told[TELLERS]; /* transfers whose commit returned 0 */
    _Atomic uint64_t commits;
    _Atomic uint64_t aborts;
    _Atomic uint64_t fenced;
    _Atomic uint64_t late;
    _Atomic uint64_t aged;
    _Atomic uint64_t views;
    _Atomic uint64_t read;
};

static struct board *board;
static char store_path[600];

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

/* Anything that a call must not say here. */
static void must(int rc, const char *what)
{
    if (rc == 0) return;
    violation("%s: %d, %s", what, rc, rill_errmsg());
    _exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t v = *state += UINT64_C(0x9E3779B97F4A7C15);
    v = (v ^ (v >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    v = (v ^ (v >> 27)) * UINT64_C(0x94D049BB133111EB);
    return v ^ (v >> 31);
}

static rill *open_store(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store = NULL;

    must(rill_open(store_path, &options, &store), "open");
    return store;
}

/* ---- A teller --------------------------------------------------------- */

struct transfer { /* a record on the wire */
    int64_t number;
    int32_t from;
    int32_t account;
    int64_t amount;
};

struct teller {
    int which;
    uint64_t random;
    rill *store;
    rill_producer *producer;
    rill_consumer *consumer;
    rill_space *space;
    rill_txn *txn;
};

static rill_bytes key_of(const char *name, int number, char room[32])
{
    return (rill_bytes){room,
                        (size_t)snprintf(room, 32, number < 0 ? "%s" : "%s-%03d", name, number)};
}

/* 0 fine; else the transaction has failed, and is to be aborted. */
static int get_number(struct teller *t, const char *name, int number, int64_t *value)
{
    char room[32];
    rill_bytes found;
    int rc = rill_txn_get(t->txn, t->space, key_of(name, number, room), &found);

    *value = 0;
    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc == 0) memcpy(value, found.data, sizeof *value);
    return rc;
}

static int add_number(struct teller *t, const char *name, int number, int64_t more)
{
    char room[32];
    int64_t value;
    int rc = get_number(t, name, number, &value);

    value += more;
    if (rc == 0)
        rc = rill_txn_put(t->txn, t->space, key_of(name, number, room),
                          (rill_bytes){&value, sizeof value});
    return rc;
}

static int send_money(struct teller *t, int64_t number)
{
    struct transfer transfer = {.number = number, .from = t->which};
    rill_record record = RILL_RECORD_INIT;
    int from = (int)(next_random(&t->random) % ACCOUNTS);
    int rc;

    transfer.account = (int32_t)(next_random(&t->random) % ACCOUNTS);
    transfer.amount = (int64_t)(next_random(&t->random) % 50);
    record.partition = (int32_t)(next_random(&t->random) % TELLERS);
    record.value = (rill_bytes){&transfer, sizeof transfer};
    rc = add_number(t, "account", from, -transfer.amount);
    if (rc == 0) rc = add_number(t, "sent", -1, transfer.amount);
    if (rc == 0) rc = rill_producer_send(t->producer, &record, NULL, WAIT_MS);
    return rc;
}

static int receive_money(struct teller *t, size_t *received)
{
    rill_record got[8];
    size_t count;
    int rc = rill_consumer_poll(t->consumer, 0, got, 8, &count);

    *received = count;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct transfer transfer;
        memcpy(&transfer, got[i].value.data, sizeof transfer);
        rc = add_number(t, "account", transfer.account, transfer.amount);
        if (rc == 0) rc = add_number(t, "received", -1, transfer.amount);
    }
    if (rc == 0 && count > 0) rc = rill_txn_send_offsets(t->txn, t->consumer, NULL, 0);
    return rc;
}

/* One transaction. False: the teller is fenced, and gone. */
static bool work(struct teller *t)
{
    int64_t first;
    int64_t number;
    size_t received = 0;
    int sends = (int)(next_random(&t->random) % 3);
    bool change_of_mind = next_random(&t->random) % 10 == 0;
    bool dawdles = next_random(&t->random) % 500 == 0;
    int rc = rill_txn_begin(t->producer, &t->txn);

    if (rc == RILL_ERR_FENCED) goto fenced;
    must(rc, "begin");
    rc = get_number(t, "number", -1, &number);
    first = number;
    if (rc == 0) rc = receive_money(t, &received);
    for (int i = 0; rc == 0 && i < sends; i++) rc = send_money(t, number++);
    if (rc == 0 && next_random(&t->random) % 4 == 0)
        rc = rill_producer_flush(t->producer, WAIT_MS);
    if (rc == 0) rc = add_number(t, "number", -1, sends);
    if (rc == 0 && dawdles) usleep(TIMEOUT_MS * 1500);
    if (rc == 0 && !change_of_mind) {
        rc = rill_txn_commit(t->txn, WAIT_MS);
        if (rc == 0) {
            int64_t told = atomic_load(&board->told[t->which]);
            while (told < number &&
                   !atomic_compare_exchange_weak(&board->told[t->which], &told, number)) {}
            if (first > number) violation("numbers go back");
            atomic_fetch_add(&board->commits, 1);
            return true;
        }
    }
    if (rc == RILL_ERR_ABORTED) atomic_fetch_add(&board->late, 1);
    if (rc != 0 && rc != RILL_ERR_ABORTED && rc != RILL_ERR_FENCED && rc != RILL_ERR_BUSY)
        must(rc, "a transaction");
    if (rc == RILL_ERR_BUSY) usleep(1000); /* the space is still the other instance's */
    rc = rill_txn_abort(t->txn, WAIT_MS);
    if (rc != 0) must(rc, "abort");
    must(rill_consumer_seek_committed(t->consumer), "seek");
    atomic_fetch_add(&board->aborts, 1);
    return true;
fenced:
    atomic_fetch_add(&board->fenced, 1);
    return false;
}

static void be_teller(int which, uint64_t seed)
{
    char name[32];
    struct teller t = {.which = which, .random = seed, .store = open_store()};
    rill_producer_options out = {.size = sizeof out,
                                 .topic = "wire",
                                 .transactional_id = name,
                                 .transaction_timeout_ms = TIMEOUT_MS};
    rill_consumer_options in = {.size = sizeof in,
                                .group = name,
                                .isolation = RILL_READ_COMMITTED,
                                .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position from = {.topic = "wire", .partition = which, .offset = RILL_OFFSET_NONE};

    snprintf(name, sizeof name, "teller-%d", which);
    must(rill_space_open(t.store, name, RILL_SPACE_CREATE, &t.space), "space");
    must(rill_producer_open(t.store, &out, &t.producer), "producer");
    must(rill_consumer_open(t.store, &in, &t.consumer), "consumer");
    must(rill_consumer_assign(t.consumer, &from, 1), "assign");
    while (!atomic_load(&board->stop) && work(&t)) {}
    must(rill_consumer_close(t.consumer, WAIT_MS), "close consumer");
    rill_producer_close(t.producer, WAIT_MS); /* a fenced one may say so */
    rill_space_close(t.space);
    must(rill_close(t.store), "close");
}

/* ---- Those who look --------------------------------------------------- */

static int64_t number_in(rill_view *view, rill_space *space, const char *name, int number)
{
    char room[32];
    rill_bytes found;
    int64_t value = 0;
    int rc = rill_view_get(view, space, key_of(name, number, room), &found);

    if (rc == 0) memcpy(&value, found.data, sizeof value);
    else if (rc != RILL_ERR_NOT_FOUND) must(rc, "view");
    return value;
}

static void count_money(rill *store, rill_space *spaces[TELLERS])
{
    rill_view *view;
    int64_t sum = 0;
    int64_t told[TELLERS];

    for (int t = 0; t < TELLERS; t++) told[t] = atomic_load(&board->told[t]);
    must(rill_view_open(store, &view), "view");
    for (int t = 0; t < TELLERS; t++) {
        for (int a = 0; a < ACCOUNTS; a++) sum += number_in(view, spaces[t], "account", a);
        sum +=
            number_in(view, spaces[t], "sent", -1) - number_in(view, spaces[t], "received", -1);
        if (number_in(view, spaces[t], "number", -1) < told[t])
            violation("teller %d was told that %" PRId64 " transfers are committed, and %" PRId64
                      " are",
                      t, told[t], number_in(view, spaces[t], "number", -1));
    }
    rill_view_close(view);
    if (sum != 0) violation("the accounts are off by %" PRId64, sum);
    atomic_fetch_add(&board->views, 1);
}

/* As if the teller had aborted very many transactions: its producer id has only some epochs
 * left. What it is at fails. */
static void grow_old(rill *store, int which, int left)
{
    struct meta_name found;
    char name[32];
    bool commit;
    int rc;

    snprintf(name, sizeof name, "teller-%d", which);
    must(rill__meta_name_get(store->store->meta, name, &found), "name");
    rill__free(&store->store->heap, found.decided);
    rc = rill__meta_name_judge(store->store->meta, found.producer_id,
                               (int16_t)(INT16_MAX - 1 - left), &commit);
    if (rc != RILL_ERR_NOT_FOUND) must(rc, "growing old"); /* it may have got another id */
    atomic_fetch_add(&board->aged, 1);
}

static void be_auditor(void)
{
    rill *store = open_store();
    rill_space *spaces[TELLERS];
    char name[32];

    for (int t = 0; t < TELLERS; t++) {
        snprintf(name, sizeof name, "teller-%d", t);
        must(rill_space_open(store, name, RILL_SPACE_CREATE, &spaces[t]), "space");
    }
    for (int round = 0; !atomic_load(&board->stop); round++) {
        count_money(store, spaces);
        must(rill_maintain(store, NULL), "maintain");
        if (round % 200 == 100) grow_old(store, round / 200 % TELLERS, round % 7);
        usleep(2000);
    }
    for (int t = 0; t < TELLERS; t++) rill_space_close(spaces[t]);
    must(rill_close(store), "close");
}

/* Every committed transfer once: what was seen, per teller, in any order of partitions. */
struct reading {
    uint8_t *seen[TELLERS]; /* by number */
    int64_t amounts[TELLERS];
    int64_t last[TELLERS][TELLERS]; /* per partition and teller */
    uint64_t count;
};

static void read_one(struct reading *r, const rill_record *record)
{
    struct transfer t;
    int64_t *last;

    if (record->value.size != sizeof t) {
        violation("a record of %zu bytes on the wire", record->value.size);
        return;
    }
    memcpy(&t, record->value.data, sizeof t);
    if (t.from < 0 || t.from >= TELLERS || t.number < 0 || t.number >= TRANSFERS_MAX) {
        violation("transfer %" PRId64 " of teller %d", t.number, t.from);
        return;
    }
    last = &r->last[record->partition][t.from];
    if (t.number <= *last)
        violation("teller %d: transfer %" PRId64 " behind %" PRId64 " in partition %d", t.from,
                  t.number, *last, record->partition);
    *last = t.number;
    if (r->seen[t.from][t.number]++ != 0)
        violation("teller %d: transfer %" PRId64 " is on the wire twice", t.from, t.number);
    r->amounts[record->partition] += t.amount;
    r->count++;
}

static void reading_begin(struct reading *r)
{
    memset(r, 0, sizeof *r);
    for (int t = 0; t < TELLERS; t++) r->seen[t] = calloc(TRANSFERS_MAX, 1);
    for (int p = 0; p < TELLERS; p++)
        for (int t = 0; t < TELLERS; t++) r->last[p][t] = -1;
}

static rill_consumer *wire_reader(rill *store)
{
    rill_consumer_options in = {.size = sizeof in,
                                .isolation = RILL_READ_COMMITTED,
                                .auto_offset_reset = RILL_RESET_EARLIEST};
    rill_position from[TELLERS];
    rill_consumer *consumer = NULL;

    for (int p = 0; p < TELLERS; p++)
        from[p] = (rill_position){.topic = "wire", .partition = p, .offset = 0};
    must(rill_consumer_open(store, &in, &consumer), "reader");
    must(rill_consumer_assign(consumer, from, TELLERS), "assign");
    return consumer;
}

static void be_reader(void)
{
    rill *store = open_store();
    rill_consumer *consumer = wire_reader(store);
    struct reading reading;
    rill_record got[64];
    size_t count;

    reading_begin(&reading);
    while (!atomic_load(&board->stop)) {
        must(rill_consumer_poll(consumer, 20, got, 64, &count), "read");
        for (size_t i = 0; i < count; i++) read_one(&reading, &got[i]);
        atomic_store(&board->read, reading.count);
    }
    must(rill_consumer_close(consumer, 0), "close");
    must(rill_close(store), "close");
    for (int t = 0; t < TELLERS; t++) free(reading.seen[t]);
}

/* ---- The parent ------------------------------------------------------- */

static pid_t begin(void (*be)(void))
{
    pid_t pid = fork();

    if (pid != 0) return pid;
    be();
    _exit(0);
}

static pid_t begin_teller(int which, uint64_t seed)
{
    pid_t pid = fork();

    if (pid != 0) return pid;
    be_teller(which, seed);
    _exit(0);
}

static void first_money(void)
{
    rill *store = open_store();
    rill_topic_options options = {
        .size = sizeof options, .partition_count = TELLERS, .segment_bytes = 256 << 10};

    must(rill_topic_create(store, "wire", &options), "topic");
    for (int which = 0; which < TELLERS; which++) {
        char name[32];
        rill_producer_options out = {
            .size = sizeof out, .topic = "wire", .transactional_id = name};
        struct teller t = {.which = which, .store = store};

        snprintf(name, sizeof name, "teller-%d", which);
        must(rill_space_open(store, name, RILL_SPACE_CREATE, &t.space), "space");
        must(rill_producer_open(store, &out, &t.producer), "producer");
        must(rill_txn_begin(t.producer, &t.txn), "begin");
        for (int a = 0; a < ACCOUNTS; a++)
            must(add_number(&t, "account", a, FIRST_MONEY), "money");
        must(add_number(&t, "sent", -1, -(int64_t)ACCOUNTS * FIRST_MONEY), "money");
        must(rill_txn_commit(t.txn, WAIT_MS), "commit");
        must(rill_producer_close(t.producer, WAIT_MS), "close");
        rill_space_close(t.space);
    }
    must(rill_close(store), "close");
}

static void kill_at_random(uint64_t kills, uint64_t *random)
{
    pid_t pids[TELLERS][INSTANCES] = {{0}};
    uint64_t pause_us = 60000;
    uint64_t done = 0;

    while (done < kills && !atomic_load(&board->stop)) {
        int which = (int)(next_random(random) % TELLERS);
        int instance = (int)(next_random(random) % INSTANCES);
        pid_t *pid = &pids[which][instance];
        int status;

        if (*pid == 0) { /* often beside another one: the newer one fences */
            *pid = begin_teller(which, next_random(random));
        } else if (waitpid(*pid, &status, WNOHANG) == *pid) {
            if (status != 0) violation("a teller ended with status %#x", (unsigned)status);
            *pid = 0;
            continue;
        } else if (next_random(random) % 20 == 0) { /* for longer than a transaction may last */
            kill(*pid, SIGSTOP);
            usleep(TIMEOUT_MS * 2000);
            kill(*pid, SIGCONT);
        } else {
            kill(*pid, SIGKILL);
            waitpid(*pid, &status, 0);
            *pid = 0;
            done++;
        }
        usleep((useconds_t)(next_random(random) % (2 * pause_us)));
    }
    atomic_store(&board->stop, true);
    for (int t = 0; t < TELLERS; t++)
        for (int i = 0; i < INSTANCES; i++)
            if (pids[t][i] != 0) {
                int status;
                waitpid(pids[t][i], &status, 0);
                if (status != 0) violation("a teller ended with status %#x", (unsigned)status);
            }
}

/* When nobody works any more, all is there, once. */
static void settle_up(void)
{
    rill *store = open_store();
    rill_consumer *consumer;
    struct reading reading;
    rill_record got[64];
    rill_space *spaces[TELLERS];
    rill_view *view;
    char name[32];
    size_t count;

    for (int t = 0; t < TELLERS; t++) {
        rill_producer_options out = {
            .size = sizeof out, .topic = "wire", .transactional_id = name};
        rill_producer *producer;
        snprintf(name, sizeof name, "teller-%d", t);
        must(rill_producer_open(store, &out, &producer), "the last producer"); /* settles */
        must(rill_producer_close(producer, WAIT_MS), "close");
        must(rill_space_open(store, name, 0, &spaces[t]), "space");
    }
    count_money(store, spaces);
    consumer = wire_reader(store);
    reading_begin(&reading);
    do {
        must(rill_consumer_poll(consumer, 0, got, 64, &count), "read");
        for (size_t i = 0; i < count; i++) read_one(&reading, &got[i]);
    } while (count > 0);
    for (int p = 0; p < TELLERS; p++) {
        int64_t lag;
        must(rill_consumer_lag(consumer, "wire", p, &lag), "lag");
        if (lag != 0) violation("partition %d: %" PRId64 " records are never seen", p, lag);
    }
    must(rill_view_open(store, &view), "view");
    for (int t = 0; t < TELLERS; t++) {
        int64_t number = number_in(view, spaces[t], "number", -1);
        for (int64_t n = 0; n < number; n++)
            if (reading.seen[t][n] == 0) {
                violation("teller %d: transfer %" PRId64 " of %" PRId64 " is lost", t, n, number);
                break;
            }
        if (number < TRANSFERS_MAX && reading.seen[t][number] != 0)
            violation("teller %d: transfer %" PRId64 " was never committed", t, number);
        if (number_in(view, spaces[t], "received", -1) > reading.amounts[t])
            violation("teller %d has received more than was sent to it", t);
    }
    rill_view_close(view);
    for (int t = 0; t < TELLERS; t++) {
        free(reading.seen[t]);
        rill_space_close(spaces[t]);
    }
    must(rill_consumer_close(consumer, 0), "close");
    must(rill_close(store), "close");
    atomic_store(&board->read, reading.count);
}

int main(void)
{
    uint64_t seed = proof_seed();
    uint64_t kills = proof_budget(1000, 25);
    uint64_t random = seed;
    pid_t auditor;
    pid_t reader;

    proof_in_memory();
    board = test_shared(sizeof *board);
    test_directory();
    snprintf(store_path, sizeof store_path, "%s", test_path("store"));
    waitpid(begin(first_money), NULL, 0); /* a store is not for both sides of a fork */
    auditor = begin(be_auditor);
    reader = begin(be_reader);
    kill_at_random(kills, &random);
    waitpid(auditor, NULL, 0);
    waitpid(reader, NULL, 0);
    if (!atomic_load(&board->violated)) waitpid(begin(settle_up), NULL, 0);
    printf("%" PRIu64 " kills; %" PRIu64 " transactions committed, %" PRIu64 " aborted (%" PRIu64
           " too late), %" PRIu64 " instances fenced, %" PRIu64 " ids used up; %" PRIu64
           " transfers read, %" PRIu64 " views added up\n",
           kills, atomic_load(&board->commits), atomic_load(&board->aborts),
           atomic_load(&board->late), atomic_load(&board->fenced), atomic_load(&board->aged),
           atomic_load(&board->read), atomic_load(&board->views));
    if (atomic_load(&board->violated)) proof_violation(0, "%s", board->violation);
    if (atomic_load(&board->commits) == 0) proof_violation(0, "nothing was committed");
    test_directory_remove();
    return proof_end("bank", atomic_load(&board->commits) + kills);
}
