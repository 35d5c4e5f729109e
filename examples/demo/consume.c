/*
 * consume.c - a consumer thread, of either group.
 *
 * It counts the lines per status, for each partition apart. A commit takes two
 * things at once: the offset up to which a partition was counted, and the counts
 * themselves, as its metadata. So whatever commit survives is true: its counts
 * are those of all records before its offset, no more and no less. Whoever gets
 * the partition next, in this life or after a kill, starts from both. Records
 * that were delivered after that commit are delivered again and counted again,
 * but their first counting is nowhere.
 */
#include "demo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A partition that is assigned to this member. */
struct share {
    bool loaded;        /* counts and next are valid */
    bool stale;         /* moved away under us; a rebalance will tell */
    rill_offset next;   /* all before it is counted */
    rill_offset commit; /* all before it is committed */
    int32_t epoch;      /* of the last record counted */
    struct counts counts;
    char text[RILL_METADATA_MAX];
};

struct member {
    struct run *run;
    int group;
    char name[32];
    rill_consumer *consumer;
    struct share shares[PARTITIONS];
    size_t uncommitted; /* records counted since the last commit */
    int64_t *last_line; /* by key: the line that came last; group all only */
};

static void complain(struct member *me, const rill_record *record, const char *what)
{
    fprintf(stderr, "demo: %s: %s/%" PRId32 " at %" PRId64 ": %s\n", me->name, record->topic,
            record->partition, record->offset, what);
    atomic_store(&me->run->failed, true);
}

/* What is not committed of the partition is somebody else's to count. */
static void forget(struct member *me, int32_t partition)
{
    me->shares[partition].loaded = me->shares[partition].stale = false;
    me->uncommitted = 0;
    for (int p = 0; p < PARTITIONS; p++)
        if (me->shares[p].loaded)
            me->uncommitted += (size_t)(me->shares[p].next - me->shares[p].commit);
    for (size_t i = 0; me->last_line != NULL && i < me->run->input->key_count; i++)
        me->last_line[i] = -1;
}

/* The first record of a partition: where is the group, and what has it counted? */
static bool load(struct member *me, struct share *share, const rill_record *record)
{
    rill_position position;

    if (rill_consumer_committed(me->consumer, TOPIC, record->partition, &position, share->text,
                                sizeof share->text) != 0) {
        run_failed(me->run, me->name, "committed");
        return false;
    }
    if (position.offset == RILL_OFFSET_NONE) {
        position.offset = 0;
        share->text[0] = '\0';
    }
    if (!counts_decode(&share->counts, share->text) ||
        counts_total(&share->counts) != (uint64_t)position.offset) {
        complain(me, record, "the committed counts are not those of its offset");
        return false;
    }
    share->loaded = true;
    share->stale = position.offset != record->offset; /* another member has gone on */
    share->next = share->commit = position.offset;
    return true;
}

/* The order of every key, as it is delivered. */
static bool in_order(struct member *me, size_t line)
{
    uint32_t key = me->run->input->lines[line].key;

    if (me->last_line == NULL) return true;
    if (me->last_line[key] >= (int64_t)line) return false;
    me->last_line[key] = (int64_t)line;
    return true;
}

static bool take(struct member *me, const rill_record *record)
{
    const struct input *input = me->run->input;
    struct shared *shared = me->run->shared;
    struct share *share = &me->shares[record->partition];
    size_t line;

    if (!record_line(record, &line) || line >= input->line_count ||
        !record_is_line(record, input, line)) {
        complain(me, record, "is not a line of the input");
        return false;
    }
    atomic_fetch_add(&shared->delivered[me->group], 1);
    if (atomic_fetch_add(&shared->times[(size_t)me->group * input->line_count + line], 1) == 0)
        atomic_fetch_add(&shared->seen[me->group], 1);

    if (!share->loaded && !load(me, share, record)) return false;
    if (share->stale) return true;
    if (record->offset != share->next) {
        complain(me, record, "does not follow the one before");
        return false;
    }
    if (!in_order(me, line)) {
        complain(me, record, "comes after a later line of its key");
        return false;
    }
    if (!counts_add_line(&share->counts, record->value.data, record->value.size)) {
        complain(me, record, "one status too many");
        return false;
    }
    share->next++;
    share->epoch = record->leader_epoch;
    me->uncommitted++;
    return true;
}

static void commit(struct member *me)
{
    rill_position positions[PARTITIONS];
    size_t count = 0;
    int rc;

    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct share *share = &me->shares[p];

        if (!share->loaded || share->next == share->commit) continue;
        counts_encode(&share->counts, share->text);
        positions[count++] = (rill_position){.topic = TOPIC,
                                             .partition = p,
                                             .leader_epoch = share->epoch,
                                             .offset = share->next,
                                             .metadata = share->text};
    }
    rc = rill_consumer_commit(me->consumer, positions, count);
    if (rc == RILL_ERR_FENCED) return; /* too late: the next poll tells what is lost */
    if (rc != 0) {
        run_failed(me->run, me->name, "commit");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        me->shares[positions[i].partition].commit = positions[i].offset;
        atomic_store(&me->run->committed[me->group][positions[i].partition], positions[i].offset);
    }
    me->uncommitted = 0;
}

/* Partitions come and go; the others are counted on. */
static int on_rebalance(void *arg, rill_consumer *consumer, int event,
                        const rill_position *positions, size_t count)
{
    struct member *me = arg;

    (void)consumer;
    if (event == RILL_REBALANCE_REVOKED) commit(me);
    for (size_t i = 0; i < count; i++) forget(me, positions[i].partition);
    return 0;
}

/* The group has committed every line. */
static bool group_done(struct member *me)
{
    rill_offset sum = 0;

    for (int p = 0; p < PARTITIONS; p++) sum += atomic_load(&me->run->committed[me->group][p]);
    return sum == (rill_offset)me->run->input->line_count;
}

static void consume(struct member *me)
{
    struct run *run = me->run;
    const char *topics[] = {TOPIC};
    size_t commit_every = run->input->line_count / 100;

    if (commit_every < 200) commit_every = 200;
    if (rill_consumer_subscribe(me->consumer, topics, 1) != 0) {
        run_failed(run, me->name, "subscribe");
        return;
    }
    while (!group_done(me) && !atomic_load(&run->failed)) {
        bool all_produced = atomic_load(&run->all_produced);
        rill_record records[64];
        size_t count;
        int rc = rill_consumer_poll(me->consumer, 20, records, 64, &count);

        if (rc != 0) {
            run_failed(run, me->name, "poll");
            return;
        }
        for (size_t i = 0; i < count; i++)
            if (!take(me, &records[i])) return;
        if (me->uncommitted >= commit_every ||
            (me->uncommitted > 0 && count == 0 && all_produced))
            commit(me);
    }
    if (!atomic_load(&run->failed)) atomic_store(&run->shared->consumed_ns[me->group], now_ns());
}

/* What the group has committed in an earlier life. */
static bool start_from_committed(struct member *me)
{
    for (int32_t p = 0; p < PARTITIONS; p++) {
        rill_position position;

        if (rill_consumer_committed(me->consumer, TOPIC, p, &position, NULL, 0) != 0) {
            run_failed(me->run, me->name, "committed");
            return false;
        }
        if (position.offset == RILL_OFFSET_NONE) continue;
        /* Another member of this life may have committed more meanwhile. */
        rill_offset none = 0;
        atomic_compare_exchange_strong(&me->run->committed[me->group][p], &none, position.offset);
    }
    return true;
}

void *consumer_main(void *arg)
{
    struct worker *worker = arg;
    struct member *me = calloc(1, sizeof *me);
    rill_consumer_options options = {.size = sizeof options,
                                     .group = groups[worker->group].name,
                                     .auto_offset_reset = RILL_RESET_EARLIEST};

    if (me == NULL) {
        atomic_store(&worker->run->failed, true);
        return NULL;
    }
    me->run = worker->run;
    me->group = worker->group;
    snprintf(me->name, sizeof me->name, "%s-%d", groups[me->group].name, worker->number + 1);
    options.client_id = me->name;
    options.rebalance = on_rebalance;
    options.rebalance_arg = me;
    if (me->group == ALL) {
        me->last_line = calloc(me->run->input->key_count, sizeof *me->last_line);
        if (me->last_line == NULL) run_failed(me->run, me->name, "out of memory");
    }
    for (int32_t p = 0; p < PARTITIONS; p++) forget(me, p);
    if (rill_consumer_open(me->run->store, &options, &me->consumer) != 0) {
        run_failed(me->run, me->name, "open");
    } else {
        if (start_from_committed(me)) consume(me);
        if (rill_consumer_close(me->consumer, 1000) != 0) run_failed(me->run, me->name, "close");
    }
    free(me->last_line);
    free(me);
    return NULL;
}
