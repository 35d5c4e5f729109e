/*
 * nth.c - every allocation and every call of the operating system fails, on its
 * n-th use.
 *
 * What an open store does: appending, reading, groups, transactions, maintenance,
 * recovery (nthadmin.c has what is done to a store or a topic as a whole). How it
 * is made to fail, and what a case is, is in tests/lib/nth.h. In each run
 *
 *     nothing crashes or hangs, and nothing is closed twice;
 *     a call that fails says why, with the code that belongs to the errno, and a
 *     short transfer, an interruption or a hint that cannot be had fails nothing;
 *     a call that promises durability does not succeed when a sync failed in it,
 *     and nothing is acknowledged as durable after a sync of records failed.
 *
 * Then the faults end. Without being reopened, the store goes on, or says that
 * it is poisoned; after closing, no descriptor, map or block of memory is left;
 * and when it is opened again, by the same process and then after a boot,
 *
 *     every record that was acknowledged is there, where its offset says (if a
 *     sync failed: that was acknowledged as durable), once;
 *     no record is there that was refused with an error that says so;
 *     topics and committed offsets are what was last acknowledged, or asked for
 *     with an open outcome, and no topic's directory is left over;
 *     of each transaction that was told as committed everything is there: its
 *     records in two partitions, its offset, its state; of each that was told as
 *     aborted, nothing; of the others all or nothing; and none holds readers back;
 *     everything works again.
 */
#undef _FORTIFY_SOURCE /* whose inline functions have the names of those below */
#include "testing.h"
#include <dirent.h>
#include <inttypes.h>
#include <sys/wait.h>

#ifdef __SANITIZE_THREAD__
int main(void)
{
    printf("this sanitizer needs the functions that fail here for itself\n");
    return 77;
}
#else
#include "nth_libc.h"

enum { VALUE_SIZE = 3000, ATTEMPTS_MAX = 400, WAIT_MS = 3000 };

/* ---- What was promised ---- */

enum fate { UNKNOWN, ACKNOWLEDGED, OPEN, REFUSED };

enum { COMMITS_MAX = 8, NO_COMMIT = -1, TXNS_MAX = 16 };

struct model {
    struct {
        enum fate fate;
        bool durable;
        int64_t offset; /* -1: not known */
    } attempts[ATTEMPTS_MAX];
    int attempt_count;
    int64_t committed[COMMITS_MAX]; /* the last that succeeded, and those that failed since */
    int commit_count;
    bool topic_made;
    bool topic_known;         /* whether topic "t" is there is certain */
    char directory[33];       /* of that topic; of those that have transactions */
    bool has_txns;            /* there is a topic "x" for them, and a space */
    enum fate txns[TXNS_MAX]; /* ACKNOWLEDGED: committed; REFUSED: aborted */
    int txn_count;
};

static struct model *model;   /* shared */
static bool records_unsynced; /* a sync of records failed, and the page cache still has them */
static bool txns_unsynced;    /* the same of a transaction */

/* ---- Opening, topics ---- */

static rill *store;

static bool open_store(void)
{
    rill_options options = {.size = sizeof options,
                            .flags = RILL_OPEN_CREATE,
                            .sync_interval_ms = 3600 * 1000,
                            .allocator = NTH_ALLOCATOR};

    store = NULL;
    return DURABLY(rill_open(nth.dir, &options, &store));
}

static void note_durable(void)
{
    for (int i = 0; i < model->attempt_count; i++)
        if (model->attempts[i].fate == ACKNOWLEDGED) model->attempts[i].durable = true;
}

static void close_store(void)
{
    rill *closing = store;

    store = NULL;
    if (DURABLY(rill_close(closing)) && !nth.lossy) note_durable();
}

static bool make_topic(void)
{
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 64 << 10};

    model->topic_known = false;
    if (!DURABLY(rill_topic_create(store, "t", &options))) return false;
    model->topic_known = model->topic_made = true;
    return true;
}

/* Whether a commit that fails is there or not is open. */
static void note_committing(int64_t offset)
{
    if (model->commit_count == COMMITS_MAX) nth_broken("too many commits");
    model->committed[model->commit_count++] = offset;
}

static void note_committed(int64_t offset)
{
    model->commit_count = 0;
    note_committing(offset);
}

static void delete_topic(void)
{
    model->topic_known = false;
    nth_begin("rill_topic_delete");
    /* The records' own syncs do not matter any more. */
    if (!nth_verdict(rill_topic_delete(store, "t"), nth.plan.call != NTH_FDATASYNC)) return;
    model->topic_known = true;
    model->topic_made = false;
    model->attempt_count = 0;
    note_committed(NO_COMMIT);
}

/* ---- Appending ---- */

static int new_attempt(rill_record *record, uint8_t *value)
{
    int number = model->attempt_count++;

    if (number == ATTEMPTS_MAX) nth_broken("too many records");
    model->attempts[number].fate = UNKNOWN;
    model->attempts[number].durable = false;
    model->attempts[number].offset = -1;
    *record = (rill_record)RILL_RECORD_INIT;
    record->partition = 0;
    memset(value, number & 0xff, VALUE_SIZE);
    memcpy(value, &number, sizeof number);
    record->key = (rill_bytes){value, sizeof number}; /* no other's: compaction leaves all */
    record->value = (rill_bytes){value, VALUE_SIZE};
    return number;
}

/* What was written may stand where it cannot be taken back; then the log is
 * poisoned, whatever was to be acknowledged. */
static bool leaves_open(int rc, bool durable)
{
    return rc == RILL_ERR_POISONED || (durable && (rc == RILL_ERR_TIMEOUT || rc == RILL_ERR_IO));
}

static void settle(int number, int rc, int64_t offset, bool durable)
{
    enum fate fate = leaves_open(rc, durable) ? OPEN : REFUSED;

    model->attempts[number].offset = offset;
    model->attempts[number].durable = rc == 0 && durable;
    model->attempts[number].fate = rc == 0 ? ACKNOWLEDGED : fate;
    if (rc == 0 && durable && records_unsynced)
        nth_broken("%s: record %d is acknowledged after a sync failed", nth.step, number);
}

/* Before its outcome is known, and if nothing comes of it. */
static void refuse(int number)
{
    settle(number, RILL_ERR_FULL, -1, false);
}

struct writer {
    rill_producer *producer;
    bool durable;
};

static void append(struct writer *w)
{
    uint8_t value[VALUE_SIZE];
    rill_record record;
    rill_offset offset = -1;
    int number = new_attempt(&record, value);
    int rc;

    nth_begin("append");
    nth.durable = w->durable;
    rc = rill_producer_append(w->producer, &record, 1, WAIT_MS, &offset);
    nth_verdict(rc, w->durable);
    settle(number, rc, offset, w->durable);
}

static void on_delivery(void *arg, const rill_delivery *delivery)
{
    const struct writer *w = arg;

    settle((int)(intptr_t)delivery->opaque, delivery->status, delivery->offset, w->durable);
}

static void send_unflushed(struct writer *w, int count)
{
    uint8_t value[VALUE_SIZE];
    rill_record record;

    for (int i = 0; i < count; i++) {
        int number = new_attempt(&record, value);
        if (!TRY(rill_producer_send(w->producer, &record, (void *)(intptr_t)number, WAIT_MS)))
            refuse(number);
    }
}

static void send(struct writer *w, int count)
{
    uint64_t fired_before = nth.fired;

    send_unflushed(w, count);
    TRY(rill_producer_poll(w->producer));
    nth_begin("flush");
    nth.fired_before = fired_before; /* it tells what befell any of them */
    nth.durable = w->durable;
    nth_verdict(rill_producer_flush(w->producer, WAIT_MS), w->durable);
}

static void append_in_place(struct writer *w, bool commit)
{
    uint8_t value[VALUE_SIZE];
    rill_reservation room;
    rill_record record;
    rill_offset offset = -1;
    int number = new_attempt(&record, value);
    int rc;

    refuse(number);
    if (!TRY(rill_producer_reserve(w->producer, &record, WAIT_MS, &room))) return;
    memcpy(room.value, value, VALUE_SIZE);
    if (!commit) {
        TRY(rill_producer_abandon(w->producer));
        return;
    }
    nth_begin("commit in place");
    nth.durable = w->durable;
    rc = rill_producer_commit(w->producer, &offset);
    nth_verdict(rc, w->durable);
    settle(number, rc, offset, w->durable);
}

static uint32_t compression; /* that writers ask for */

static bool open_writer(struct writer *w, bool durable)
{
    rill_producer_options options = {.size = sizeof options,
                                     .topic = "t",
                                     .acks = durable ? RILL_ACKS_DURABLE : RILL_ACKS_WRITTEN,
                                     .delivery = on_delivery,
                                     .delivery_arg = w,
                                     .compression = compression};

    w->durable = durable;
    return TRY(rill_producer_open(store, &options, &w->producer));
}

static void close_writer(struct writer *w)
{
    TRY(rill_producer_close(w->producer, WAIT_MS));
}

static void append_many(int count, bool durable)
{
    struct writer w;

    if (!open_writer(&w, durable)) return;
    while (count-- > 0) append(&w);
    close_writer(&w);
}

static void append_in_every_way(bool durable)
{
    struct writer w;

    if (!open_writer(&w, durable)) return;
    send(&w, 3);
    for (int i = 0; i < 3; i++) append(&w);
    append_in_place(&w, true);
    append_in_place(&w, false);
    append_in_place(&w, true);
    send(&w, 2);
    close_writer(&w);
}

static void sync_store(void)
{
    if (DURABLY(rill_sync(store, WAIT_MS)) && !nth.lossy) note_durable();
}

/* ---- Reading ---- */

static void poll_some(rill_consumer *consumer, size_t *count)
{
    rill_record records[10];

    *count = 0;
    TRY(rill_consumer_poll(consumer, 0, records, 10, count));
}

static void read_alone(void)
{
    rill_position from = {"t", 0, -1, 0, NULL};
    rill_consumer *consumer;
    rill_offset offset;
    int64_t lag;
    size_t count;

    if (!TRY(rill_consumer_open(store, NULL, &consumer))) return;
    if (TRY(rill_consumer_assign(consumer, &from, 1))) {
        for (int i = 0; i < 8; i++) poll_some(consumer, &count);
        TRY(rill_consumer_lag(consumer, "t", 0, &lag));
        TRY(rill_consumer_seek(consumer, "t", 0, 3));
        poll_some(consumer, &count);
        TRY(rill_consumer_seek_time(consumer, "t", 0, 1));
        poll_some(consumer, &count);
    }
    TRY(rill_partition_offset_for_time(store, "t", 0, 1, &offset));
    TRY(rill_consumer_close(consumer, 0));
}

static void commit(rill_consumer *consumer, int64_t offset)
{
    rill_position position = {"t", 0, -1, offset, NULL};

    note_committing(offset);
    if (DURABLY(rill_consumer_commit(consumer, &position, 1))) note_committed(offset);
}

static void read_in_group(void)
{
    rill_consumer_options options = {
        .size = sizeof options, .group = "g", .auto_offset_reset = RILL_RESET_EARLIEST};
    const char *topics[] = {"t"};
    rill_position position;
    rill_consumer *consumer;
    size_t count = 0;

    if (!TRY(rill_consumer_open(store, &options, &consumer))) return;
    if (TRY(rill_consumer_subscribe(consumer, topics, 1))) {
        for (int i = 0; i < 4; i++) poll_some(consumer, &count);
        if (count > 0) commit(consumer, 7);
        if (count > 0) commit(consumer, 9);
        TRY(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
        TRY(rill_consumer_unsubscribe(consumer));
    }
    TRY(rill_consumer_close(consumer, 0));
}

/* ---- Transactions ---- */

struct job {
    rill_producer *producer;
    rill_consumer *consumer;
    rill_space *space;
};

static void close_job(struct job *job)
{
    if (job->producer != NULL) TRY(rill_producer_close(job->producer, WAIT_MS));
    if (job->consumer != NULL) TRY(rill_consumer_close(job->consumer, 0));
    if (job->space != NULL) rill_space_close(job->space);
    memset(job, 0, sizeof *job);
}

static bool open_job(struct job *job)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = "x", .transactional_id = "job"};
    rill_consumer_options in = {.size = sizeof in, .group = "tg"};

    memset(job, 0, sizeof *job);
    if (TRY(rill_space_open(store, "s", RILL_SPACE_CREATE, &job->space)) &&
        TRY(rill_consumer_open(store, &in, &job->consumer)) &&
        TRY(rill_producer_open(store, &options, &job->producer)))
        return true;
    close_job(job);
    return false;
}

/* Of a call in a transaction, or of its commit: a record of it may have failed before. */
static bool txn_verdict(int rc, bool promises)
{
    if (rc == RILL_ERR_ABORTED && nth.fired > 0 && !nth_is_harmless() && rill_errmsg()[0] != '\0')
        return false;
    if (rc == RILL_ERR_POISONED) nth.lossy = true;
    return nth_verdict(rc, promises);
}

#define TRY_IN_TXN(call) (nth_begin(#call), txn_verdict((call), false))

static bool send_in_txn(struct job *job, int32_t partition, const int64_t *number)
{
    rill_record record = RILL_RECORD_INIT;

    record.partition = partition;
    record.value = (rill_bytes){number, sizeof *number};
    return TRY_IN_TXN(rill_producer_send(job->producer, &record, NULL, WAIT_MS));
}

/* Its records, its state, its offset. */
static bool fill_txn(struct job *job, rill_txn *txn, int64_t number)
{
    rill_position position = {"t", 0, -1, number + 1, NULL};
    rill_bytes value = {&number, sizeof number};
    rill_bytes found;
    int rc;

    if (!send_in_txn(job, 0, &number) || !send_in_txn(job, 1, &number)) return false;
    nth_begin("rill_txn_get");
    rc = rill_txn_get(txn, job->space, (rill_bytes){"last", 4}, &found);
    if (rc != RILL_ERR_NOT_FOUND && !txn_verdict(rc, false)) return false;
    return TRY_IN_TXN(rill_txn_put(txn, job->space, (rill_bytes){"last", 4}, value)) &&
           TRY_IN_TXN(rill_txn_put(txn, job->space, value, value)) &&
           TRY_IN_TXN(rill_txn_send_offsets(txn, job->consumer, &position, 1));
}

static bool abort_txn(rill_txn *txn, int number, bool in_doubt)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        int rc;
        nth_begin("rill_txn_abort");
        rc = rill_txn_abort(txn, WAIT_MS);
        if (rc == RILL_ERR_EXISTS && !in_doubt)
            nth_broken("transaction %d has committed itself", number);
        if (rc == 0 || rc == RILL_ERR_EXISTS) {
            model->txns[number] = rc == 0 ? REFUSED : ACKNOWLEDGED;
            return true;
        }
        nth_verdict(rc, false);
    }
    return false;
}

/* One transaction; false: the producer is in the middle of it still. */
static bool transact(struct job *job, bool commit)
{
    int number = model->txn_count++;
    bool good;
    rill_txn *txn;
    int rc;

    if (number == TXNS_MAX) nth_broken("too many transactions");
    model->txns[number] = REFUSED;
    if (!TRY(rill_txn_begin(job->producer, &txn))) return true;
    good = fill_txn(job, txn, number);
    if (!good || !commit) return abort_txn(txn, number, false);
    model->txns[number] = OPEN;
    nth_begin("rill_txn_commit");
    nth.durable = true;
    rc = rill_txn_commit(txn, WAIT_MS);
    if (txn_verdict(rc, nth.plan.call >= NTH_LMDB_OPEN)) {
        model->txns[number] = ACKNOWLEDGED;
        if (txns_unsynced) nth_broken("transaction %d is committed after a sync failed", number);
        return true;
    }
    return abort_txn(txn, number, true);
}

static bool sees_number(rill_space *space, rill_bytes key, int64_t expected)
{
    int64_t value;
    size_t size;
    int rc = rill_space_get(space, key, &value, sizeof value, &size);

    if (rc == RILL_ERR_NOT_FOUND) return expected < 0;
    MUST(rc);
    return size == sizeof value && value == expected;
}

/* Which transactions a reader sees in the partition. */
static void look_at_txns(int32_t partition, bool *seen)
{
    rill_consumer_options options = {.size = sizeof options, .isolation = RILL_READ_COMMITTED};
    rill_position from = {"x", partition, -1, 0, NULL};
    rill_consumer *reader;
    rill_record records[20];
    int64_t before = -1;
    size_t count;

    MUST(rill_consumer_open(store, &options, &reader));
    MUST(rill_consumer_assign(reader, &from, 1));
    do {
        MUST(rill_consumer_poll(reader, 0, records, 20, &count));
        for (size_t i = 0; i < count; i++) {
            int64_t number;
            memcpy(&number, records[i].value.data, sizeof number);
            if (number <= before || number >= model->txn_count)
                nth_broken("transaction %" PRId64 " is behind %" PRId64 " in x-%d", number,
                           before, (int)partition);
            seen[number] = true;
            before = number;
        }
    } while (count > 0);
    MUST(rill_consumer_close(reader, 0));
}

static void check_txn(int number, bool there, bool second, rill_space *space)
{
    int64_t key = number;

    if (second != there) nth_broken("transaction %d is in one partition of two", number);
    if (!sees_number(space, (rill_bytes){&key, sizeof key}, there ? number : -1))
        nth_broken("transaction %d: its records are %sthere, its state is not so", number,
                   there ? "" : "not ");
    if (model->txns[number] == ACKNOWLEDGED && !there)
        nth_broken("transaction %d was committed and is lost", number);
    if (model->txns[number] == REFUSED && there)
        nth_broken("transaction %d was aborted and is there", number);
    model->txns[number] = there ? ACKNOWLEDGED : REFUSED;
}

static void check_txns(void)
{
    bool seen[2][TXNS_MAX] = {{false}};
    rill_position position;
    int64_t last = -1;
    struct job job;

    look_at_txns(0, seen[0]);
    look_at_txns(1, seen[1]);
    if (!open_job(&job)) nth_broken("the job does not open");
    for (int i = 0; i < model->txn_count; i++) {
        check_txn(i, seen[0][i], seen[1][i], job.space);
        if (seen[0][i]) last = i;
    }
    if (!sees_number(job.space, (rill_bytes){"last", 4}, last))
        nth_broken("the state is not that of transaction %" PRId64, last);
    MUST(rill_consumer_committed(job.consumer, "t", 0, &position, NULL, 0));
    if (position.offset != (last < 0 ? RILL_OFFSET_NONE : last + 1))
        nth_broken("the offset is not that of transaction %" PRId64 ": %" PRId64, last,
                   position.offset);
    if (!transact(&job, true) || model->txns[model->txn_count - 1] != ACKNOWLEDGED)
        nth_broken("no transaction is possible: %s", rill_errmsg());
    close_job(&job);
    look_at_txns(0, seen[0]);
    if (!seen[0][model->txn_count - 1]) nth_broken("a transaction holds readers back");
}

/* ---- Workloads ---- */

static void prepare_nothing(void)
{
}

/* So many records, in segments of some 20, and a group's commit. */
static void fill(int count)
{
    prepare_nothing();
    open_store();
    make_topic();
    append_many(count, false);
    if (count > 10) read_in_group();
}

static void prepare_topic(void)
{
    fill(16);
}

static void prepare_cow(void)
{
    prepare_nothing();
    nth.file_system = 0x9123683e; /* btrfs */
    open_store();
    make_topic();
    append_many(16, false);
}

static void prepare_closed(void)
{
    fill(45);
    close_store();
}

static void prepare_reopened(void)
{
    prepare_closed();
    open_store();
}

/* As a process leaves it that dies. */
static void prepare_dead(void)
{
    int status;
    pid_t pid;

    prepare_nothing();
    pid = fork();
    if (pid == 0) {
        fill(20);
        sync_store();
        append_many(25, false);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) nth_broken("setting up fails");
}

static void remove_indexes(const char *path)
{
    struct dirent *entry;
    DIR *stream = opendir(path);
    char name[900];

    if (stream == NULL) return;
    while ((entry = readdir(stream)) != NULL) {
        size_t size = strlen(entry->d_name);
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%.600s/%s", path, entry->d_name);
        if (size > 6 && strcmp(entry->d_name + size - 6, ".index") == 0) unlink(name);
        else if (entry->d_type == DT_DIR) remove_indexes(name);
    }
    closedir(stream);
}

static void prepare_boot(void)
{
    prepare_dead();
    nth.boot++;
}

static void prepare_boot_without_indexes(void)
{
    prepare_boot();
    remove_indexes(nth.dir);
}

static void work_create(void)
{
    if (open_store()) close_store();
}

static void work_topic(void)
{
    rill_topic_info info;
    rill_partition_info partition;

    if (!make_topic()) return;
    TRY(rill_topic_describe(store, "t", &info));
    TRY(rill_partition_describe(store, "t", 0, &partition));
}

static void work_append(void)
{
    append_in_every_way(false);
}

static void work_durable(void)
{
    append_in_every_way(true);
    append_many(2, false);
    sync_store();
}

/* Every record stays; the segments are written anew all the same. */
static void work_compact(void)
{
    rill_topic_options options = {.size = sizeof options, .cleanup_policy = RILL_CLEANUP_COMPACT};
    rill_compact_report report = {.size = sizeof report};

    if (!TRY(rill_topic_alter(store, "t", RILL_TOPIC_CLEANUP_POLICY, &options))) return;
    TRY(rill_partition_compact(store, "t", 0, &report));
    read_alone();
    append_many(2, false);
    TRY(rill_partition_compact(store, "t", 0, NULL));
    read_alone();
}

/* By every codec that is there, and read. */
static void work_compressed(void)
{
    for (compression = RILL_COMPRESSION_LZ4; compression <= RILL_COMPRESSION_ZSTD; compression++)
        if (rill_compression_available(compression))
            append_in_every_way(compression == RILL_COMPRESSION_ZSTD);
    compression = RILL_COMPRESSION_NONE;
    append_many(2, false);
    read_alone();
}

static void work_read(void)
{
    read_alone();
}

static void work_group(void)
{
    rill_group_info info;

    read_in_group();
    TRY(rill_group_describe(store, "g", &info));
}

static bool join_group(rill_consumer **consumer)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    const char *topics[] = {"t"};
    size_t count;

    *consumer = NULL;
    if (!TRY(rill_consumer_open(store, &options, consumer))) return false;
    if (!TRY(rill_consumer_subscribe(*consumer, topics, 1))) return false;
    for (int i = 0; i < 3; i++) poll_some(*consumer, &count);
    return true;
}

/* Whoever does not get in, or leaves, is no member. */
static void work_second_member(void)
{
    rill_consumer *first;
    rill_consumer *second;
    rill_group_info info;

    nth.armed = false;
    if (!join_group(&first)) nth_broken("the first member cannot join");
    nth.armed = true;
    join_group(&second);
    if (second != NULL) TRY(rill_consumer_close(second, 0));
    nth.armed = false;
    nth_begin("rill_group_describe");
    if (rill_group_describe(store, "g", &info) == 0 && info.member_count != 1)
        nth_broken("the group has %u members, 1 is there", info.member_count);
    TRY(rill_consumer_close(first, 0));
}

static void work_maintain(void)
{
    TRY(rill_maintain(store, NULL));
    append_many(6, false);
    TRY(rill_maintain(store, NULL));
    append_many(18, false);
    sync_store();
}

static void work_close(void)
{
    close_store();
}

/* Opening recovers what the first use of the partition needs. */
static void work_open(void)
{
    rill_partition_info info;

    if (!open_store()) return;
    TRY(rill_partition_describe(store, "t", 0, &info));
    append_many(1, false);
    append_many(1, true);
    close_store();
}

static void work_delete(void)
{
    note_committing(NO_COMMIT);
    if (DURABLY(rill_group_delete(store, "g"))) note_committed(NO_COMMIT);
    delete_topic();
    if (model->topic_known) make_topic();
}

static int visit_offset(void *arg, const rill_group_offset *offset)
{
    (void)arg, (void)offset;
    return 0;
}

/* What the group has committed, seen and changed from outside. */
static void work_offsets(void)
{
    rill_position position = {.topic = "t", .partition = RILL_PARTITION_ANY};
    rill_group_reset_options options = {.size = sizeof options,
                                        .to = RILL_RESET_TO_OFFSET,
                                        .value = 5,
                                        .positions = &position,
                                        .position_count = 1};
    int64_t lag;

    TRY(rill_group_offsets(store, "g", visit_offset, NULL));
    TRY(rill_group_lag(store, "g", RILL_READ_DURABLE, &lag));
    note_committing(5);
    if (DURABLY(rill_group_reset(store, "g", &options))) note_committed(5);
    options.to = RILL_RESET_TO_OWN;
    options.positions = NULL;
    options.csv = "t,0,3\n";
    options.csv_size = 6;
    note_committing(3);
    if (DURABLY(rill_group_reset(store, "g", &options))) note_committed(3);
    TRY(rill_maintain(store, NULL));
    note_committing(NO_COMMIT);
    if (DURABLY(rill_group_offsets_delete(store, "g", &position, 1))) note_committed(NO_COMMIT);
}

/* Batches wait in a buffer that is too small for them, and are sent when room is
 * needed, when they are full, when they have waited, and at the close. */
static void work_narrow(void)
{
    rill_producer_options options = {.size = sizeof options,
                                     .topic = "t",
                                     .linger_ms = 3600 * 1000,
                                     .batch_bytes = 3 * VALUE_SIZE,
                                     .buffer_bytes = 4 * VALUE_SIZE,
                                     .delivery = on_delivery};

    for (int durable = 0; durable < 2; durable++) {
        struct writer w = {.durable = durable == 1};
        options.acks = durable == 1 ? RILL_ACKS_DURABLE : RILL_ACKS_WRITTEN;
        options.delivery_arg = &w;
        if (!TRY(rill_producer_open(store, &options, &w.producer))) continue;
        send(&w, 6);
        send_unflushed(&w, 4);
        TRY(rill_maintain(store, NULL));
        nth_begin("close with records unsent");
        nth.fired_before = 0;
        nth.durable = w.durable;
        nth_verdict(rill_producer_close(w.producer, WAIT_MS), w.durable);
    }
}

static int visit_topic(void *arg, const rill_topic_info *info)
{
    (void)arg, (void)info;
    return 0;
}

static int visit_group(void *arg, const rill_group_info *info)
{
    (void)arg, (void)info;
    return 0;
}

static void work_look(void)
{
    rill_stats stats = {.size = sizeof stats};

    TRY(rill_topic_list(store, visit_topic, NULL));
    TRY(rill_group_list(store, visit_group, NULL));
    TRY(rill_stats_get(store, &stats));
    TRY(rill_maintain(store, NULL));
    TRY(rill_topic_list(store, visit_topic, NULL));
}

/* A little; that partitions come and go is no error. */
static void wait_for_some(rill_consumer *consumer)
{
    rill_record records[10];
    size_t count;
    int rc;

    nth_begin("poll that waits");
    rc = rill_consumer_poll(consumer, 2, records, 10, &count);
    if (rc != RILL_ERR_REBALANCE) nth_verdict(rc, false);
}

/* A member with a pattern, that commits by itself, while topics come and go. */
static void work_wait(void)
{
    rill_consumer_options options = {.size = sizeof options,
                                     .group = "waits",
                                     .auto_commit_interval_ms = 1,
                                     .spin_us = 1,
                                     .auto_offset_reset = RILL_RESET_EARLIEST};
    const char *topics[] = {"^t", "more"};
    bool made = false;
    rill_consumer *consumer;

    if (!TRY(rill_consumer_open(store, &options, &consumer))) return;
    if (TRY(rill_consumer_subscribe(consumer, topics, 2))) {
        for (int i = 0; i < 10; i++) {
            wait_for_some(consumer);
            if (i == 5) made = TRY(rill_topic_create(store, "more", NULL));
        }
        if (made) TRY(rill_topic_delete(store, "more"));
        wait_for_some(consumer);
    }
    TRY(rill_consumer_close(consumer, WAIT_MS));
}

/* Whoever takes the lock next repairs what a process left that died with it. */
static void work_widowed(void)
{
    int status;
    pid_t pid;

    nth.repairs = true;
    for (int i = 0; i < 2; i++) {
        bool armed = nth.armed;
        nth.armed = false;
        pid = fork();
        if (pid == 0) {
            rill_reservation room;
            rill_record shape = RILL_RECORD_INIT;
            rill_producer_options options = {.size = sizeof options, .topic = "t"};
            rill_producer *producer;
            rill *mine;

            shape.partition = 0;
            shape.value.size = 3000;
            if (rill_open(nth.dir, NULL, &mine) == 0 &&
                rill_producer_open(mine, &options, &producer) == 0 &&
                rill_producer_reserve(producer, &shape, WAIT_MS, &room) == 0)
                _exit(0);
            _exit(1);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid) nth_broken("no child");
        if (status != 0 && nth.fired == 0) nth_broken("a child fails");
        if (status != 0) return; /* the partition is poisoned by what failed before */
        nth.armed = armed;
        append_many(2, i == 1);
    }
}

static void make_txn_topic(void)
{
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = 64 << 10, .partition_count = 2};

    struct dirent *entry;
    DIR *stream = opendir(nth.dir);

    if (stream == NULL) nth_broken("the store's directory is gone");
    while ((entry = readdir(stream)) != NULL)
        if (strlen(entry->d_name) == 32) strcpy(model->directory, entry->d_name);
    closedir(stream);
    if (!TRY(rill_topic_create(store, "x", &options))) nth_broken("no topic for transactions");
    model->has_txns = true;
}

static void prepare_txns(void)
{
    fill(16);
    make_txn_topic();
}

static void work_txns(void)
{
    struct job job;

    if (open_job(&job)) {
        if (transact(&job, true) && transact(&job, false)) transact(&job, true);
        TRY(rill_maintain(store, NULL));
        close_job(&job);
    }
    if (open_job(&job)) {
        transact(&job, true);
        close_job(&job);
    }
}

/* As a process leaves it that has committed, and dies in the next one. */
static void prepare_txn_dead(void)
{
    int status;
    pid_t pid;

    prepare_nothing();
    pid = fork();
    if (pid == 0) {
        struct job job;
        rill_txn *txn;

        fill(16);
        make_txn_topic();
        if (!open_job(&job) || !transact(&job, true) || rill_txn_begin(job.producer, &txn) != 0 ||
            !fill_txn(&job, txn, model->txn_count) ||
            rill_producer_flush(job.producer, WAIT_MS) != 0)
            nth_broken("setting up fails: %s", rill_errmsg());
        model->txns[model->txn_count++] = REFUSED;
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) nth_broken("setting up fails");
}

static void work_after_txn(void)
{
    struct job job;

    if (!open_store()) return;
    TRY(rill_maintain(store, NULL));
    if (open_job(&job)) {
        transact(&job, true);
        close_job(&job);
    }
    close_store();
}

static const struct {
    const char *name;
    void (*prepare)(void);
    void (*work)(void);
} workloads[] = {
    {"create", prepare_nothing, work_create},
    {"topic", NULL, work_topic},
    {"append", prepare_topic, work_append},
    {"append durably", prepare_topic, work_durable},
    {"append on copy-on-write", prepare_cow, work_append},
    {"read", prepare_reopened, work_read},
    {"group", prepare_reopened, work_group},
    {"second member", prepare_reopened, work_second_member},
    {"maintain", prepare_topic, work_maintain},
    {"close", prepare_topic, work_close},
    {"reopen", prepare_closed, work_open},
    {"after a death", prepare_dead, work_open},
    {"after a boot", prepare_boot, work_open},
    {"after a boot, without indexes", prepare_boot_without_indexes, work_open},
    {"delete", prepare_reopened, work_delete},
    {"narrow", prepare_topic, work_narrow},
    {"look", prepare_reopened, work_look},
    {"wait", prepare_reopened, work_wait},
    {"widowed", prepare_topic, work_widowed},
    {"offsets", prepare_reopened, work_offsets},
    {"compressed", prepare_topic, work_compressed},
    {"compact", prepare_topic, work_compact},
    {"transactions", prepare_txns, work_txns},
    {"after a death in a transaction", prepare_txn_dead, work_after_txn},
};
enum { WORKLOADS = sizeof workloads / sizeof workloads[0] };

static const char *workload_name(int workload)
{
    return workloads[workload].name;
}

static void prepare_store(void)
{
    prepare_nothing();
    open_store();
}

/* ---- Afterwards ---- */

/* Without faults, but in the store that met them. */
static void go_on(void)
{
    struct writer w;
    rill_topic_info info;
    struct job job;

    nth_begin("rill_topic_describe");
    if (rill_topic_describe(store, "t", &info) != 0) return;
    if (model->has_txns && open_job(&job)) {
        transact(&job, true);
        close_job(&job);
    }
    for (int durable = 0; durable < 2; durable++) {
        if (!open_writer(&w, durable != 0)) continue;
        append(&w);
        send(&w, 1);
        close_writer(&w);
    }
    sync_store();
    if (!nth.lossy) TRY(rill_maintain(store, NULL));
}

static bool must_be_there(int number)
{
    if (model->attempts[number].fate != ACKNOWLEDGED) return false;
    return model->attempts[number].durable || !nth.lossy;
}

static void check_record(const rill_record *record, int64_t offset, bool *seen)
{
    uint8_t value[VALUE_SIZE];
    int number = -1;

    if (record->offset != offset) nth_broken("offset %" PRId64 " is missing", offset);
    if (record->value.size == VALUE_SIZE) memcpy(&number, record->value.data, sizeof number);
    if (number < 0 || number >= model->attempt_count)
        nth_broken("no such record was appended at offset %" PRId64, offset);
    memset(value, number & 0xff, VALUE_SIZE);
    memcpy(value, &number, sizeof number);
    if (memcmp(record->value.data, value, VALUE_SIZE) != 0)
        nth_broken("record %d at offset %" PRId64 " has changed", number, offset);
    if (seen[number]) nth_broken("record %d is there twice", number);
    seen[number] = true;
    if (model->attempts[number].fate == REFUSED)
        nth_broken("record %d was refused and is there, at offset %" PRId64, number, offset);
    if (model->attempts[number].fate == UNKNOWN)
        nth_broken("what became of record %d was not told", number);
    if (must_be_there(number) && model->attempts[number].offset != offset)
        nth_broken("record %d was acknowledged at offset %" PRId64 " and is at %" PRId64, number,
                   model->attempts[number].offset, offset);
}

static int64_t check_records(void)
{
    bool seen[ATTEMPTS_MAX] = {false};
    rill_position from = {"t", 0, -1, 0, NULL};
    rill_partition_info info;
    rill_consumer *reader;
    rill_record records[20];
    int64_t offset = 0;
    size_t count;

    MUST(rill_partition_describe(store, "t", 0, &info));
    MUST(rill_consumer_open(store, NULL, &reader));
    MUST(rill_consumer_assign(reader, &from, 1));
    do {
        MUST(rill_consumer_poll(reader, 0, records, 20, &count));
        for (size_t i = 0; i < count; i++) check_record(&records[i], offset++, seen);
    } while (count > 0);
    MUST(rill_consumer_close(reader, 0));
    if (offset != info.log_end)
        nth_broken("%" PRId64 " records are there, the log ends at %" PRId64, offset,
                   info.log_end);
    for (int i = 0; i < model->attempt_count; i++)
        if (must_be_there(i) && !seen[i]) nth_broken("record %d was acknowledged and is lost", i);
    return offset;
}

static void check_committed(int64_t end)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position position;
    rill_consumer *consumer;
    int64_t now;
    int i = 0;

    MUST(rill_consumer_open(store, &options, &consumer));
    MUST(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
    now = position.offset == RILL_OFFSET_NONE ? NO_COMMIT : position.offset;
    if (now > end) nth_broken("offset %" PRId64 " is committed, behind the end", now);
    while (i < model->commit_count && now != model->committed[i]) i++;
    if (i == model->commit_count && !(nth.lossy && now == end))
        nth_broken("offset %" PRId64 " is committed, it should be %" PRId64, now,
                   model->committed[0]);
    position = (rill_position){"t", 0, -1, end, NULL};
    MUST(rill_consumer_commit(consumer, &position, 1));
    note_committed(end);
    MUST(rill_consumer_close(consumer, 0));
}

static void check_topic(void)
{
    rill_topic_info info;
    int rc = rill_topic_describe(store, "t", &info);

    if (rc != 0 && rc != RILL_ERR_NOT_FOUND) nth_broken("topic: %d, %s", rc, rill_errmsg());
    if (model->topic_known && (rc == 0) != model->topic_made)
        nth_broken("the topic is %s", rc == 0 ? "there again" : "lost");
    if (!model->topic_known && rc != 0) {
        model->attempt_count = 0;
        note_committed(NO_COMMIT);
    }
    model->topic_known = true;
    if (rc != 0) make_topic();
    model->topic_made = true;
    MUST(rill_topic_create(store, "other", NULL));
    MUST(rill_topic_delete(store, "other"));
}

/* One topic, one directory. */
static void check_directories(int expected)
{
    DIR *stream = opendir(nth.dir);
    struct dirent *entry;
    int count = 0;

    if (stream == NULL) nth_broken("the store's directory is gone");
    while ((entry = readdir(stream)) != NULL)
        if (strlen(entry->d_name) == 32) count++;
    closedir(stream);
    if (count != expected) nth_broken("%d directories of topics are there", count);
}

/* Everything works, and all that should be there is. */
static void check_store(void)
{
    rill_topic_info info;
    int directories = 1;
    struct writer w;
    int64_t end;

    if (!open_store()) nth_broken("the store does not open");
    check_topic();
    end = check_records();
    check_committed(end);
    if (model->has_txns) check_txns();
    for (int durable = 0; durable < 2; durable++) {
        MUST(!open_writer(&w, durable != 0));
        append(&w);
        send(&w, 1);
        append_in_place(&w, true);
        close_writer(&w);
    }
    if (check_records() != end + 6) nth_broken("appending does not go on");
    MUST(rill_sync(store, WAIT_MS));
    MUST(rill_maintain(store, NULL));
    if (rill_topic_describe(store, "more", &info) == 0) directories++;
    if (model->has_txns) directories++;
    close_store();
    check_directories(directories);
    note_durable();
}

/* ---- A run ---- */

/* Of topic "t"; else they are those of transactions. */
static bool is_of_records(int fd)
{
    return !model->has_txns || strstr(nth_path_of(fd), model->directory) != NULL;
}

static void sync_failed(int fd)
{
    if (!nth_name_ends(fd, ".log")) return;
    if (is_of_records(fd)) records_unsynced = nth.lossy = true;
    else txns_unsynced = true;
}

static void read_anew(int fd)
{
    if (!nth_name_ends(fd, ".log")) return;
    if (is_of_records(fd)) records_unsynced = false;
    else txns_unsynced = false;
}

/* What was found is what is there now, whatever failed before. */
static void forget_faults(void)
{
    nth_forget_faults();
    records_unsynced = txns_unsynced = false;
}

/* After a failed sync some records may be gone; they are not missed again. */
static void forget_lost(void)
{
    for (int i = 0; i < model->attempt_count; i++)
        if (!must_be_there(i) && model->attempts[i].fate == ACKNOWLEDGED)
            model->attempts[i].fate = OPEN;
}

static void make_model(void)
{
    model = nth_real_mmap(NULL, sizeof *model, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0);
    if (model == MAP_FAILED) nth_broken("no memory for the model");
    note_committed(NO_COMMIT);
    model->topic_known = true;
}

static void run_workload(void)
{
    int descriptors = nth_open_descriptors();

    make_model();
    if (workloads[nth.plan.workload].prepare == NULL) prepare_store();
    else workloads[nth.plan.workload].prepare();
    nth_work(workloads[nth.plan.workload].work);
    if (store != NULL) go_on();
    if (store != NULL) close_store();
    nth_check_nothing_left(descriptors, "after the faults");
    nth.plan.n = 0;
    forget_lost();
    check_store();
    forget_faults();
    nth_check_nothing_left(descriptors, "after the second life");
    nth.boot++;
    check_store();
    nth_check_nothing_left(descriptors, "after the third life");
}

int main(void)
{
    const struct nth_harness harness = {.name = "nth",
                                        .share = 2000,
                                        .share_slow = 150,
                                        .workload_count = WORKLOADS,
                                        .workload_name = workload_name,
                                        .run = run_workload,
                                        .sync_failed = sync_failed,
                                        .read_anew = read_anew};

    return nth_main(&harness);
}
#endif
