/*
 * members.c - consumer groups of real processes that are killed and stopped at
 * random; the history checker judges what they were told.
 *
 * A run has a store, one or two groups, and 2 to 5 processes with 1 to 3 members
 * each, in threads or in turn, of all sorts: dynamic and static, with a rebalance
 * callback that commits and without one, with automatic commits and commits of
 * their own, any assignors that have one in common, topics named or by an
 * expression. A process of its own appends all the while. A master kills
 * processes, also in the middle of a commit, a join, a callback or a close, stops
 * some for longer than their session, lets others take their static members'
 * places meanwhile, and goes on with new ones; topics are added. Members close now
 * and then of their own accord. In the end all are there again, and some fresh
 * ones, and read what is left.
 *
 * Some runs are patient: sessions and polls have the default time, so nobody
 * loses a partition unless he gives it up or dies; the checker then knows that
 * nobody else may have it. In the others members are late, are expelled, and come
 * back without knowing.
 *
 * Judged by the history (tests/lib/history.h): records in order from where the
 * group had committed, every record handed to every group, commits that only go
 * forward and are there afterwards, none of a member that has lost the partition.
 * Judged here: no call takes much longer than its time, partitions do not go
 * without a word, and in the end each group is stable and at the end of every
 * partition, and never stands still for long before.
 *
 * BUDGET counts kills and stops. How long partitions stood still after them is
 * printed; nothing is promised.
 */
#include "proof.h"
#include "history.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <rill.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum {
    GROUPS = 2,
    TOPICS = 6,
    PARTITIONS = 15, /* of all topics */
    PROCESSES = 5,
    FRESH = 2,                           /* processes that come in the end */
    DOUBLES = PROCESSES,                 /* that take the place of a stopped one */
    SLOTS = PROCESSES + FRESH + DOUBLES, /* of processes with members */
    MEMBERS = 3,                         /* of a process */
    SAMPLES = 20000,                     /* of each kind */
    BOUND_MS = 15000,                    /* that a call may take beyond its time-out */
    SETTLE_MS = 25000,                   /* that nothing moves in the end, at most */
    CASES = 14,                          /* of a run */
    CASES_SHARE = 8
};

static const struct {
    const char *name;
    int32_t count;
    int32_t first; /* its partition 0 in the history */
} topics[TOPICS] = {{"a", 3, 0},  {"b", 4, 3},   {"c", 2, 7},
                    {"n0", 2, 9}, {"n1", 2, 11}, {"n2", 2, 13}};

enum { AFTER_KILL, AFTER_STOP, KINDS };

/* What a member does just now; the master kills in the middle of it. */
enum doing { NOTHING, WORKING, COMMITTING, JOINING, CLOSING, IN_CALLBACK, DOINGS };

/* How a run is. */
static struct {
    bool patient;
    bool watched; /* somebody has the store open all the time */
    int processes;
    int groups;
    int first_topics;
    uint32_t session_ms; /* 0: default */
    uint32_t max_poll_ms;
    uint32_t open_timeout_ms;
    int common[GROUPS];  /* assignor that all members can */
    int by_name[GROUPS]; /* subscriptions: 0 by expression, 1 by name, 2 both */
    struct {
        int members;
        bool in_turn;
        bool is_static[MEMBERS];
    } slots[SLOTS];
} run;

/* What outlives the processes. */
static struct board {
    _Atomic bool stop;
    _Atomic bool draining;
    _Atomic bool producers_stop;
    _Atomic int topics;
    _Atomic uint32_t next_client;
    _Atomic uint64_t next_value;
    _Atomic bool violated;
    char violation[700];
    _Atomic int64_t longest_ns; /* that a call took beyond its time-out */
    char longest_what[40];
    _Atomic uint64_t polled;
    _Atomic uint64_t commits;
    _Atomic uint64_t fenced;
    _Atomic uint64_t moves;
    struct {
        _Atomic bool doomed;
        _Atomic int doing;
        _Atomic int64_t stopped_ns; /* in all */
        struct {
            _Atomic uint32_t client;
            _Atomic int64_t committing[PARTITIONS]; /* + 1; 0: none */
        } members[MEMBERS];
    } slots[SLOTS];
    struct {
        _Atomic uint32_t holder;
        _Atomic int64_t still_ns; /* since when nobody reads it; 0: somebody does */
        _Atomic int kind;
        _Atomic uint32_t before; /* who had it */
    } places[GROUPS][PARTITIONS];
} * board;

/* Over all runs. */
static struct samples {
    _Atomic uint32_t count[KINDS];
    int64_t ns[KINDS][SAMPLES];
} * samples;

static struct history *history;
static char store_path[700];
static struct test_random dice;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void violation(const char *format, ...)
{
    va_list args;

    if (atomic_exchange(&board->violated, true)) return;
    va_start(args, format);
    vsnprintf(board->violation, sizeof board->violation, format, args);
    va_end(args);
    atomic_store(&board->stop, true);
}

/* ---- A process and its calls ---- */

static int my_slot; /* -1: not one with members */

struct timing {
    int64_t start_ns;
    int64_t stopped_ns;
};

static struct timing begin_call(void)
{
    struct timing t = {.start_ns = now_ns()};

    if (my_slot >= 0) t.stopped_ns = atomic_load(&board->slots[my_slot].stopped_ns);
    return t;
}

/* The time in which the process was stopped is not the call's. */
static void end_call(struct timing t, int timeout_ms, const char *what)
{
    int64_t took = now_ns() - t.start_ns - (int64_t)timeout_ms * 1000000;
    int64_t longest = atomic_load(&board->longest_ns);

    if (my_slot >= 0) took -= atomic_load(&board->slots[my_slot].stopped_ns) - t.stopped_ns;
    while (took > longest)
        if (atomic_compare_exchange_weak(&board->longest_ns, &longest, took)) {
            snprintf(board->longest_what, sizeof board->longest_what, "%s", what);
            break;
        }
    if (took > (int64_t)BOUND_MS * 1000000)
        violation("%s took %" PRId64 " ms longer than it may", what, took / 1000000);
}

static void doing(enum doing what)
{
    if (my_slot >= 0) atomic_store(&board->slots[my_slot].doing, (int)what);
}

static rill *open_store(void)
{
    rill_options options = {.size = sizeof options, .open_timeout_ms = run.open_timeout_ms};
    rill *store = NULL;

    for (int64_t until = now_ns() + INT64_C(1000000000) * 30; now_ns() < until;) {
        struct timing t = begin_call();
        int rc = rill_open(store_path, &options, &store);
        end_call(t, (int)run.open_timeout_ms, "rill_open");
        if (rc == 0) return store;
        if (rc != RILL_ERR_TIMEOUT) {
            violation("rill_open: %d, %s", rc, rill_errmsg());
            break;
        }
    }
    violation("rill_open: no success in 30 s");
    _exit(1);
}

/* ---- Members ---- */

struct place {
    int64_t next;      /* record that it should be handed; -1: it has not the partition */
    int64_t committed; /* -1: not known */
    int64_t tried;     /* last one that may have been committed automatically */
    int64_t low;       /* it would be going back to commit less */
};

struct member {
    rill *store;
    struct test_random random;
    rill_consumer *consumer;
    int number; /* in its process */
    int group;
    uint32_t client;
    bool callback;
    bool automatic;
    bool claims; /* nobody can take from it what it does not give up */
    bool is_static;
    bool superseded;
    int64_t next_ns; /* not to be opened before */
    struct place places[PARTITIONS];
};

/* A double is in everything like the one that it replaces. */
static int base_of(int slot)
{
    return slot % (PROCESSES + FRESH);
}

static int group_of(int slot, int number)
{
    return (base_of(slot) + number) % run.groups;
}

static uint64_t chance(struct member *m, uint64_t limit)
{
    return test_random_below(&m->random, limit);
}

static int32_t place_of(const char *topic, int32_t partition)
{
    for (int t = 0; t < TOPICS; t++)
        if (strcmp(topics[t].name, topic) == 0) return topics[t].first + partition;
    violation("a topic %s, which nobody made", topic);
    return 0;
}

static void topic_of(int32_t place, rill_position *position)
{
    int t = 0;

    while (place >= topics[t].first + topics[t].count) t++;
    position->topic = topics[t].name;
    position->partition = place - topics[t].first;
}

static struct event event_of(const struct member *m, enum op op, enum phase phase, int32_t place,
                             int64_t offset)
{
    return (struct event){.client = m->client,
                          .op = (uint8_t)op,
                          .phase = (uint8_t)phase,
                          .group = (uint8_t)(m->group + 1),
                          .partition = place,
                          .count = 1,
                          .offset = offset};
}

static void say(const struct member *m, enum op op, enum phase phase, int32_t place,
                int64_t offset)
{
    history_add(history, event_of(m, op, phase, place, offset));
}

static void has_got(struct member *m, int32_t place, int64_t offset)
{
    struct event e = event_of(m, ASSIGN, GOOD, place, offset);

    if (offset < 0) {
        violation("client %u: partition %d begins at %" PRId64, m->client, place, offset);
        return;
    }
    if (m->places[place].next >= 0)
        violation("client %u: partition %d comes, and it has it", m->client, place);
    /* Whether 0 was committed nobody can tell. */
    m->places[place] =
        (struct place){offset, offset == 0 ? -1 : offset, offset == 0 ? -1 : offset, offset};
    if (m->claims && !atomic_load(&board->slots[my_slot].doomed)) e.generation = 1;
    atomic_store(&board->places[m->group][place].holder, m->client);
    atomic_fetch_add(&board->moves, 1);
    history_add(history, e);
}

static void has_lost(struct member *m, int32_t place)
{
    uint32_t me = m->client;

    if (m->places[place].next < 0)
        violation("client %u: partition %d goes, and it has it not", m->client, place);
    m->places[place].next = -1;
    atomic_compare_exchange_strong(&board->places[m->group][place].holder, &me, 0);
    say(m, REVOKE, GOOD, place, -1);
}

static void lose_rest(struct member *m)
{
    for (int32_t p = 0; p < PARTITIONS; p++)
        if (m->places[p].next >= 0) has_lost(m, p);
}

/* What is on its way if the process is killed now. */
static void begin_commit(struct member *m, int32_t place, int64_t offset)
{
    atomic_store(&board->slots[my_slot].members[m->number].committing[place], offset + 1);
    say(m, COMMIT, INVOKE, place, offset);
}

static void finish_commit(struct member *m, int32_t place, int64_t offset, enum phase phase)
{
    say(m, COMMIT, phase, place, offset);
    atomic_store(&board->slots[my_slot].members[m->number].committing[place], 0);
}

/* Commits what it was handed: all, or of some partitions, and by NULL or by name. */
static void commit(struct member *m, const char *where)
{
    rill_position positions[PARTITIONS];
    int64_t offsets[PARTITIONS];
    size_t count = 0;
    bool all = chance(m, 4) != 0;
    struct timing t;
    enum phase phase;
    int rc;

    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct place *place = &m->places[p];
        offsets[p] = -1;
        if (place->next < 0 || place->next == place->committed) continue;
        if (!all && chance(m, 2) == 0) continue;
        positions[count] = (rill_position){NULL, 0, -1, place->next, NULL};
        offsets[p] = place->next;
        if (!all && place->next > place->low) /* not all that it was handed */
            offsets[p] -= (int64_t)chance(m, (uint64_t)(place->next - place->low));
        place->low = offsets[p];
        positions[count].offset = offsets[p];
        topic_of(p, &positions[count++]);
        begin_commit(m, p, offsets[p]);
    }
    if (count == 0) return;
    doing(COMMITTING);
    t = begin_call();
    rc = rill_consumer_commit(m->consumer, all ? NULL : positions, all ? 0 : count);
    end_call(t, (int)run.open_timeout_ms, "rill_consumer_commit");
    doing(NOTHING);
    phase = rc == 0 ? GOOD : rc == RILL_ERR_TIMEOUT ? INFO : FAIL;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        /* What was committed automatically is not committed again: no answer. */
        bool before = all && m->automatic && m->places[p].tried == offsets[p];
        if (offsets[p] < 0) continue;
        finish_commit(m, p, offsets[p], before && rc == 0 ? INFO : phase);
        if (rc == 0) m->places[p].committed = offsets[p];
    }
    if (rc == 0) atomic_fetch_add(&board->commits, 1);
    if (rc == RILL_ERR_FENCED) atomic_fetch_add(&board->fenced, 1);
    if (rc != 0 && rc != RILL_ERR_TIMEOUT && (rc != RILL_ERR_FENCED || m->claims))
        violation("client %u: commit %s: %d, %s", m->client, where, rc, rill_errmsg());
}

enum { OWN_ERROR = 7 }; /* returned by callbacks now and then */

static int rebalanced(void *arg, rill_consumer *consumer, int event,
                      const rill_position *positions, size_t count)
{
    struct member *m = arg;

    (void)consumer;
    doing(IN_CALLBACK);
    if (event == RILL_REBALANCE_LOST && m->claims)
        violation("client %u: %zu partitions are lost, though it never was late", m->client,
                  count);
    if (event != RILL_REBALANCE_ASSIGNED && chance(m, 3) != 0) commit(m, "in a callback");
    if (chance(m, 4) == 0) usleep((useconds_t)chance(m, 5000));
    for (size_t i = 0; i < count; i++) {
        int32_t place = place_of(positions[i].topic, positions[i].partition);
        if (event == RILL_REBALANCE_ASSIGNED) has_got(m, place, positions[i].offset);
        else has_lost(m, place);
    }
    doing(IN_CALLBACK);
    return chance(m, 40) == 0 && !atomic_load(&board->draining) ? OWN_ERROR : 0;
}

/* Automatic commits are in polls, of what earlier polls handed out. */
static void may_commit(struct member *m, bool *open)
{
    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct place *place = &m->places[p];
        open[p] = m->automatic && place->next >= 0 && place->next != place->tried;
        if (!open[p]) continue;
        place->low = place->tried = place->next;
        begin_commit(m, p, place->next);
    }
}

static void may_have_committed(struct member *m, const bool *open, const int64_t *tried)
{
    for (int32_t p = 0; p < PARTITIONS; p++)
        if (open[p]) finish_commit(m, p, tried[p], INFO);
}

static void note_still(const struct member *m, int32_t place)
{
    int kind = atomic_load(&board->places[m->group][place].kind);
    int64_t since = atomic_load(&board->places[m->group][place].still_ns);
    int64_t now = now_ns();
    uint32_t at;

    if (since == 0 || now <= since ||
        atomic_load(&board->places[m->group][place].before) == m->client)
        return;
    if (!atomic_compare_exchange_strong(&board->places[m->group][place].still_ns, &since, 0))
        return;
    at = atomic_fetch_add(&samples->count[kind], 1);
    if (at < SAMPLES) samples->ns[kind][at] = now - since;
}

static void take_record(struct member *m, const rill_record *record)
{
    int32_t p = place_of(record->topic, record->partition);
    struct event e = event_of(m, POLL, GOOD, p, record->offset);

    if (record->value.size == sizeof e.value)
        memcpy(&e.value, record->value.data, sizeof e.value);
    history_add(history, e);
    if (m->places[p].next < record->offset + 1) m->places[p].next = record->offset + 1;
    note_still(m, p);
}

/* Without a callback it is seen afterwards what has come, and that nothing has
 * gone unless the poll said so. What went and came back begins anew. */
static void look_at_assignment(struct member *m, int rc, const rill_record *records, size_t count)
{
    rill_position now[PARTITIONS];
    int64_t begins[PARTITIONS];
    bool told = rc == RILL_ERR_REBALANCE || rc == RILL_ERR_FENCED;
    size_t n = 0;

    memset(begins, -1, sizeof begins);
    if (rill_consumer_assignment(m->consumer, now, PARTITIONS, &n) != 0) return;
    for (size_t i = 0; i < n; i++)
        begins[place_of(now[i].topic, now[i].partition)] = now[i].offset;
    for (size_t i = count; i > 0; i--)
        begins[place_of(records[i - 1].topic, records[i - 1].partition)] = records[i - 1].offset;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        int64_t next = m->places[p].next;
        if (next >= 0 && begins[p] != next && !told)
            violation("client %u: partition %d is at %" PRId64 ", not %" PRId64
                      ", without a word",
                      m->client, p, begins[p], next);
        if (next >= 0 && begins[p] == next && told) say(m, ASSIGN, GOOD, p, -1);
        if (next >= 0 && begins[p] != next) has_lost(m, p);
        if (begins[p] >= 0 && begins[p] != next) has_got(m, p, begins[p]);
    }
}

static void close_member(struct member *m)
{
    bool open[PARTITIONS];
    int64_t tried[PARTITIONS];
    int timeout_ms = 200 + (int)chance(m, 2000);
    struct timing t;
    int rc;

    may_commit(m, open);
    for (int32_t p = 0; p < PARTITIONS; p++) tried[p] = m->places[p].tried;
    if (!m->callback) lose_rest(m);
    doing(CLOSING);
    t = begin_call();
    rc = rill_consumer_close(m->consumer, timeout_ms);
    end_call(t, timeout_ms, "rill_consumer_close");
    doing(NOTHING);
    may_have_committed(m, open, tried);
    if (rc != 0 && rc != RILL_ERR_TIMEOUT && rc != OWN_ERROR &&
        (rc != RILL_ERR_FENCED || m->claims))
        violation("client %u: close: %d, %s", m->client, rc, rill_errmsg());
    lose_rest(m);
    m->consumer = NULL;
}

static void poll_member(struct member *m)
{
    rill_record records[24];
    bool open[PARTITIONS];
    int64_t tried[PARTITIONS];
    size_t count = 0;
    int timeout_ms = (int)chance(m, run.slots[my_slot].in_turn ? 10 : 60);
    struct timing t;
    int rc;

    may_commit(m, open);
    for (int32_t p = 0; p < PARTITIONS; p++) tried[p] = m->places[p].tried;
    say(m, ASSIGN, INVOKE, 0, -1);
    t = begin_call();
    rc = rill_consumer_poll(m->consumer, timeout_ms, records, 1 + chance(m, 24), &count);
    end_call(t, timeout_ms + (int)run.open_timeout_ms, "rill_consumer_poll");
    doing(NOTHING);
    if (rc != 0) count = 0;
    may_have_committed(m, open, tried);
    if (!m->callback) look_at_assignment(m, rc, records, count);
    for (size_t i = 0; i < count; i++) take_record(m, &records[i]);
    atomic_fetch_add(&board->polled, count);
    if (rc == RILL_ERR_FENCED && m->is_static) {
        m->superseded = true;
        close_member(m);
    } else if (rc != 0 && rc != RILL_ERR_TIMEOUT && (rc != OWN_ERROR || !m->callback) &&
               (rc != RILL_ERR_REBALANCE || m->callback)) {
        violation("client %u: poll: %d, %s", m->client, rc, rill_errmsg());
    }
}

/* ---- How members are ---- */

static void choose_options(struct member *m, rill_consumer_options *o, char *instance)
{
    uint32_t common = 1u << run.common[m->group];

    m->is_static = run.slots[my_slot].is_static[m->number];
    m->callback = chance(m, 3) != 0;
    m->automatic = chance(m, 2) == 0;
    m->claims = run.patient && !m->is_static && m->callback;
    o->auto_offset_reset = RILL_RESET_EARLIEST;
    o->assignors = common | (uint32_t)chance(m, 16);
    do o->assignor = (int32_t)chance(m, 4);
    while ((o->assignors >> o->assignor & 1) == 0);
    o->session_timeout_ms = run.session_ms;
    o->max_poll_interval_ms = run.max_poll_ms;
    if (m->automatic) o->auto_commit_interval_ms = 1 + (uint32_t)chance(m, 100);
    if (chance(m, 4) == 0) o->max_poll_records = 4 + (uint32_t)chance(m, 8);
    if (chance(m, 4) == 0) o->spin_us = (uint32_t)chance(m, 200);
    if (m->callback) o->rebalance = rebalanced;
    o->rebalance_arg = m;
    snprintf(instance, 24, "i%d-%d", base_of(my_slot), m->number);
    if (m->is_static) o->group_instance_id = instance;
}

static int subscribe(struct member *m)
{
    static const char *const expressions[] = {"^[abcn][0-9]?$"};
    const char *names[TOPICS];
    int how = run.by_name[m->group];
    struct timing t = begin_call();
    int rc;

    for (int i = 0; i < run.first_topics; i++) names[i] = topics[i].name;
    if (how == 1 || (how == 2 && chance(m, 2) == 0 && my_slot < PROCESSES))
        rc = rill_consumer_subscribe(m->consumer, names, (size_t)run.first_topics);
    else rc = rill_consumer_subscribe(m->consumer, expressions, 1);
    end_call(t, (int)run.open_timeout_ms, "rill_consumer_subscribe");
    return rc;
}

static void open_member(struct member *m)
{
    char group[16];
    char client_id[24];
    char instance[24];
    rill_consumer_options o = {.size = sizeof o, .group = group, .client_id = client_id};
    int rc;

    if (now_ns() < m->next_ns) {
        usleep(1000);
        return;
    }
    m->group = group_of(my_slot, m->number);
    m->client = atomic_fetch_add(&board->next_client, 1);
    for (int32_t p = 0; p < PARTITIONS; p++) m->places[p].next = -1;
    snprintf(group, 16, "g%d", m->group);
    snprintf(client_id, 24, "c%u", m->client);
    choose_options(m, &o, instance);
    atomic_store(&board->slots[my_slot].members[m->number].client, m->client);
    rc = rill_consumer_open(m->store, &o, &m->consumer);
    if (rc != 0) {
        violation("rill_consumer_open: %d, %s", rc, rill_errmsg());
        return;
    }
    doing(JOINING);
    rc = subscribe(m);
    doing(NOTHING);
    if (rc == RILL_ERR_TIMEOUT) close_member(m);
    else if (rc != 0) violation("rill_consumer_subscribe: %d, %s", rc, rill_errmsg());
}

static void act(struct member *m)
{
    bool draining = atomic_load(&board->draining);
    uint64_t what;

    if (m->superseded) {
        usleep(1000);
        return;
    }
    if (m->consumer == NULL) {
        open_member(m);
        return;
    }
    poll_member(m);
    if (m->consumer == NULL) return;
    what = chance(m, draining ? 12 : 400);
    if (what < 20 && !draining) {
        doing(WORKING); /* who is stopped here commits what may be another's by then */
        usleep((useconds_t)chance(m, 10000));
    }
    if (draining ? what < 6 : what < 60) commit(m, "after a poll");
    else if (what == 390) rill_maintain(m->store, NULL);
    else if (what < 64) usleep((useconds_t)chance(m, 20000));
    else if (what < 66) {
        close_member(m);
        m->next_ns = now_ns() + (int64_t)chance(m, 300) * 1000000;
    }
}

static void *thread_of(void *arg)
{
    struct member *m = arg;

    while (!atomic_load(&board->stop)) act(m);
    if (m->consumer != NULL) close_member(m);
    return NULL;
}

static void live(int slot, uint64_t seed)
{
    static struct member members[MEMBERS];
    pthread_t threads[MEMBERS];
    int count = run.slots[slot].members;
    rill *store;

    my_slot = slot;
    store = open_store();
    for (int i = 0; i < count; i++) {
        members[i].store = store;
        members[i].number = i;
        members[i].random.state = seed + (uint64_t)i * 77777;
        if (run.slots[slot].in_turn) continue;
        assert_int_equal(pthread_create(&threads[i], NULL, thread_of, &members[i]), 0);
    }
    if (run.slots[slot].in_turn) {
        while (!atomic_load(&board->stop))
            for (int i = 0; i < count; i++) act(&members[i]);
        for (int i = 0; i < count; i++) thread_of(&members[i]);
    } else {
        for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    }
    if (rill_close(store) != 0) violation("rill_close: %s", rill_errmsg());
}

/* ---- Those who append ---- */

static int append(rill_producer *producer, uint32_t client, int32_t place, uint32_t count)
{
    uint64_t values[4];
    rill_record records[4];
    rill_position where = {.topic = NULL};
    struct event e = {.client = client, .op = SEND, .phase = INVOKE, .offset = -1};
    int rc;

    topic_of(place, &where);
    e.partition = place;
    e.count = count;
    e.value = atomic_fetch_add(&board->next_value, count);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = e.value + i;
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].topic = where.topic;
        records[i].partition = where.partition;
        records[i].value = (rill_bytes){&values[i], sizeof values[i]};
    }
    history_add(history, e);
    rc = rill_producer_append(producer, records, count, BOUND_MS, &e.offset);
    e.phase = rc == 0 ? GOOD : FAIL;
    if (rc != 0) e.offset = -1;
    history_add(history, e);
    if (rc != 0) violation("append: %d, %s", rc, rill_errmsg());
    return rc;
}

static void produce(uint64_t seed)
{
    struct test_random random = {seed};
    rill_producer_options options = {.size = sizeof options, .topic = "a"};
    uint32_t client = atomic_fetch_add(&board->next_client, 1);
    rill *store = open_store();
    rill_producer *producer;
    int rc = rill_producer_open(store, &options, &producer);

    while (rc == 0 && !atomic_load(&board->producers_stop) && !atomic_load(&board->stop)) {
        int t = (int)test_random_below(&random, (uint64_t)atomic_load(&board->topics));
        int32_t p = (int32_t)test_random_below(&random, (uint64_t)topics[t].count);
        rc = append(producer, client, topics[t].first + p,
                    1 + (uint32_t)test_random_below(&random, 4));
        usleep((useconds_t)test_random_below(&random, 1500));
    }
    if (rc == 0) rc = rill_producer_close(producer, BOUND_MS);
    if (rc == 0) rc = rill_close(store);
    if (rc != 0) violation("a producer: %d, %s", rc, rill_errmsg());
}

/* ---- Who watches, and looks whether all ends well ---- */

static int make_topic(rill *store, int t)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = (uint32_t)topics[t].count,
                                  .segment_bytes = 64 << 10};
    struct timing start = begin_call();
    int rc = rill_topic_create(store, topics[t].name, &options);

    end_call(start, (int)run.open_timeout_ms, "rill_topic_create");
    if (rc == 0 || rc == RILL_ERR_EXISTS) atomic_store(&board->topics, t + 1);
    else if (rc != RILL_ERR_TIMEOUT) violation("rill_topic_create: %d, %s", rc, rill_errmsg());
    return rc;
}

/* The partitions that a group reads. */
static int32_t places_of(int group)
{
    int count = run.by_name[group] == 1 ? run.first_topics : atomic_load(&board->topics);

    return topics[count - 1].first + topics[count - 1].count;
}

static int64_t ask_committed(rill_consumer *asker, uint32_t client, int group, int32_t place)
{
    rill_position where = {.topic = NULL};
    rill_position position;
    struct event e = {.client = client, .op = COMMITTED, .phase = INVOKE, .offset = -1};
    int rc;

    topic_of(place, &where);
    e.partition = place;
    e.group = (uint8_t)(group + 1);
    history_add(history, e);
    rc = rill_consumer_committed(asker, where.topic, where.partition, &position, NULL, 0);
    if (rc != 0) {
        violation("rill_consumer_committed: %d, %s", rc, rill_errmsg());
        return -1;
    }
    e.phase = GOOD;
    e.offset = position.offset == RILL_OFFSET_NONE ? -1 : position.offset;
    /* 0 may have been committed by a poll in which a partition came and went. */
    if (e.offset != 0) history_add(history, e);
    return e.offset;
}

struct watcher {
    rill *store;
    uint32_t client;
    rill_consumer *askers[GROUPS];
};

static void open_watcher(struct watcher *w)
{
    w->store = open_store();
    for (int g = 0; g < run.groups; g++) {
        char name[16];
        rill_consumer_options o = {.size = sizeof o, .group = name};
        int rc;
        snprintf(name, 16, "g%d", g);
        rc = rill_consumer_open(w->store, &o, &w->askers[g]);
        if (rc != 0) violation("rill_consumer_open: %d, %s", rc, rill_errmsg());
    }
}

static void close_watcher(struct watcher *w)
{
    for (int g = 0; g < run.groups; g++) rill_consumer_close(w->askers[g], 0);
    rill_close(w->store);
    w->store = NULL;
}

static int no_fact(void *arg, const rill_fact *fact)
{
    (void)arg;
    (void)fact;
    return 0;
}

static void watch(struct watcher *w, struct test_random *random)
{
    rill_subject subject = {.group = "g0"};
    rill_group_info info;
    int t = atomic_load(&board->topics);
    int group = (int)test_random_below(random, (uint64_t)run.groups);
    int32_t places;
    int rc;

    if (w->store == NULL) open_watcher(w);
    places = places_of(group);
    ask_committed(w->askers[group], w->client, group,
                  (int32_t)test_random_below(random, (uint64_t)places));
    rc = rill_group_describe(w->store, "g0", &info);
    if (rc != 0 && rc != RILL_ERR_NOT_FOUND && rc != RILL_ERR_TIMEOUT)
        violation("rill_group_describe: %d, %s", rc, rill_errmsg());
    rc = rill_explain(w->store, &subject, no_fact, NULL);
    if (rc != 0 && rc != RILL_ERR_NOT_FOUND && rc != RILL_ERR_TIMEOUT)
        violation("rill_explain: %d, %s", rc, rill_errmsg());
    if (t < TOPICS && test_random_below(random, 12) == 0) make_topic(w->store, t);
    if (!run.watched) close_watcher(w);
}

/* A record for each partition, so that each needs somebody who reads it. */
static void append_last(rill *store, uint32_t client)
{
    rill_producer_options options = {.size = sizeof options, .topic = "a"};
    int t = atomic_load(&board->topics);
    rill_producer *producer;
    int rc = rill_producer_open(store, &options, &producer);

    for (int32_t p = 0; rc == 0 && p < topics[t - 1].first + topics[t - 1].count; p++)
        rc = append(producer, client, p, 1);
    if (rc == 0) rc = rill_producer_close(producer, BOUND_MS);
    if (rc != 0) violation("the last records: %d, %s", rc, rill_errmsg());
}

static int64_t end_of(rill *store, int32_t place)
{
    rill_position where = {.topic = NULL};
    rill_partition_info info;
    int rc;

    topic_of(place, &where);
    rc = rill_partition_describe(store, where.topic, where.partition, &info);
    if (rc == 0) return info.log_end;
    violation("rill_partition_describe: %d, %s", rc, rill_errmsg());
    return 0;
}

/* Adds up what is committed. */
static bool group_is_done(struct watcher *w, int group, int64_t *sum, char *why, size_t size)
{
    bool done = true;
    rill_group_info info;
    char name[16];
    int rc;

    snprintf(name, 16, "g%d", group);
    for (int32_t p = 0; p < places_of(group); p++) {
        int64_t end = end_of(w->store, p);
        int64_t at = ask_committed(w->askers[group], w->client, group, p);
        *sum += at;
        if (at == end) continue;
        done = false;
        snprintf(why, size, "%s, partition %d: committed %" PRId64 " of %" PRId64, name, p, at,
                 end);
    }
    if (!done) return false;
    rc = rill_group_describe(w->store, name, &info);
    snprintf(why, size, "%s: %d, state %d with %u members", name, rc, info.state,
             info.member_count);
    return rc == 0 && info.state == RILL_GROUP_STABLE;
}

static int show_fact(void *arg, const rill_fact *fact)
{
    (void)arg;
    fprintf(stderr, "    %s\n", fact->text);
    return 0;
}

static void wait_until_done(struct watcher *w)
{
    int64_t moved_ns = now_ns();
    int64_t sum_before = -1;
    char why[200] = "";

    while (!atomic_load(&board->violated)) {
        int64_t sum = 0;
        int group = 0;
        while (group < run.groups && group_is_done(w, group, &sum, why, sizeof why)) group++;
        if (group == run.groups) return;
        if (sum != sum_before) moved_ns = now_ns();
        sum_before = sum;
        if (now_ns() > moved_ns + (int64_t)SETTLE_MS * 1000000) {
            char name[16];
            rill_subject subject = {.group = name};
            snprintf(name, sizeof name, "g%d", group);
            rill_explain(w->store, &subject, show_fact, NULL);
            violation("nothing has moved for %d s: %s", SETTLE_MS / 1000, why);
        }
        usleep(20000);
    }
}

/* Reads all as one who is no member. */
static void read_all(struct watcher *w)
{
    int t = atomic_load(&board->topics);
    int32_t count = topics[t - 1].first + topics[t - 1].count;
    uint32_t client = atomic_fetch_add(&board->next_client, 1);
    rill_position from[PARTITIONS];
    rill_record records[64];
    rill_consumer *reader;
    size_t n;
    int rc = rill_consumer_open(w->store, NULL, &reader);

    for (int32_t p = 0; p < count; p++) {
        struct event e = {.client = client, .op = SEEK, .phase = GOOD, .partition = p};
        history_add(history, e);
        from[p] = (rill_position){NULL, 0, -1, 0, NULL};
        topic_of(p, &from[p]);
    }
    if (rc == 0) rc = rill_consumer_assign(reader, from, (size_t)count);
    while (rc == 0 && (rc = rill_consumer_poll(reader, 0, records, 64, &n)) == 0 && n > 0)
        for (size_t i = 0; i < n; i++) {
            struct event e = {.client = client, .op = POLL, .phase = GOOD, .count = 1};
            e.partition = place_of(records[i].topic, records[i].partition);
            e.offset = records[i].offset;
            memcpy(&e.value, records[i].value.data, sizeof e.value);
            history_add(history, e);
        }
    for (int32_t p = 0; rc == 0 && p < count; p++) {
        struct event e = {.client = client, .op = FINAL, .phase = GOOD, .partition = p};
        e.offset = end_of(w->store, p);
        history_add(history, e);
        for (int g = 0; g < run.groups; g++) {
            e.group = (uint8_t)(g + 1);
            if (p < places_of(g)) history_add(history, e);
        }
    }
    if (rc == 0) rc = rill_consumer_close(reader, 0);
    if (rc != 0) violation("reading all: %d, %s", rc, rill_errmsg());
}

static void be_watcher(uint64_t seed)
{
    struct test_random random = {seed};
    struct watcher w = {.client = atomic_fetch_add(&board->next_client, 1)};

    while (!atomic_load(&board->draining) && !atomic_load(&board->stop)) {
        watch(&w, &random);
        usleep((useconds_t)(20000 + test_random_below(&random, 80000)));
    }
    if (atomic_load(&board->violated)) return;
    if (w.store == NULL) open_watcher(&w);
    append_last(w.store, w.client);
    wait_until_done(&w);
    if (!atomic_load(&board->violated)) read_all(&w);
    close_watcher(&w);
    atomic_store(&board->stop, true);
}

/* ---- The master ---- */

enum { PRODUCER = SLOTS, WATCHER, CHILDREN };
static pid_t children[CHILDREN];
static bool doubled[PROCESSES]; /* its static members' places were taken */

static void start(int which)
{
    uint64_t seed = test_random_next(&dice);
    pid_t pid;

    if (which < SLOTS) {
        atomic_store(&board->slots[which].doomed, false);
        atomic_store(&board->slots[which].doing, NOTHING);
        atomic_store(&board->slots[which].stopped_ns, 0);
        memset((void *)board->slots[which].members, 0, sizeof board->slots[which].members);
    }
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    children[which] = pid;
    if (pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    my_slot = which < SLOTS ? which : -1;
    if (which < SLOTS) live(which, seed);
    else if (which == PRODUCER) produce(seed);
    else be_watcher(seed);
    fflush(stderr);
    _exit(atomic_load(&board->violated) ? 1 : 0);
}

static void note_deaths(int slot)
{
    for (int i = 0; i < MEMBERS; i++) {
        struct event e = {.op = DEATH, .phase = GOOD, .count = 1};
        e.client = atomic_load(&board->slots[slot].members[i].client);
        if (e.client != 0) history_add(history, e);
    }
}

/* Nobody was told whether they were accepted. */
static void note_open_commits(int slot)
{
    for (int i = 0; i < MEMBERS; i++) {
        for (int32_t p = 0; p < PARTITIONS; p++) {
            struct event e = {.op = COMMIT, .phase = INFO, .count = 1, .partition = p};
            e.client = atomic_load(&board->slots[slot].members[i].client);
            e.offset = atomic_load(&board->slots[slot].members[i].committing[p]) - 1;
            e.group = (uint8_t)(group_of(slot, i) + 1);
            if (e.client != 0 && e.offset >= 0) history_add(history, e);
        }
    }
}

/* From then on nobody reads what its members have. */
static void note_stillness(int slot, int64_t since_ns, int kind)
{
    for (int i = 0; i < MEMBERS; i++) {
        uint32_t client = atomic_load(&board->slots[slot].members[i].client);
        int g = group_of(slot, i);
        for (int32_t p = 0; client != 0 && p < PARTITIONS; p++) {
            if (atomic_load(&board->places[g][p].holder) != client) continue;
            atomic_store(&board->places[g][p].kind, kind);
            atomic_store(&board->places[g][p].before, client);
            atomic_store(&board->places[g][p].still_ns, since_ns);
        }
    }
}

/* False: it has not ended. */
static bool reap_by(int which, int64_t until_ns)
{
    int status = 0;
    pid_t pid;

    while ((pid = waitpid(children[which], &status, WNOHANG)) == 0) {
        if (now_ns() > until_ns) return false;
        usleep(200);
    }
    children[which] = 0;
    if (pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        violation("a process died of signal %d", WTERMSIG(status));
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) != 0) violation("a process failed");
    return true;
}

static void reap(int which)
{
    if (children[which] == 0 ||
        reap_by(which, now_ns() + INT64_C(2000000) * (SETTLE_MS + BOUND_MS)))
        return;
    violation("process %d does not end", which);
    kill(children[which], SIGKILL);
    waitpid(children[which], NULL, 0);
    children[which] = 0;
}

/* Until it is in the middle of something, at most some milliseconds. */
static void lie_in_wait(int slot)
{
    int wanted = (int)roll(DOINGS);
    int64_t until = now_ns() + 30000000;
    uint64_t delay = roll(1500);

    if (wanted == NOTHING) return;
    while (atomic_load(&board->slots[slot].doing) != wanted && now_ns() < until) usleep(20);
    if (delay > 100) usleep((useconds_t)delay - 100);
}

static void kill_slot(int slot)
{
    if (children[slot] == 0) return;
    lie_in_wait(slot);
    if (reap_by(slot, 0)) return; /* it has failed */
    atomic_store(&board->slots[slot].doomed, true);
    note_deaths(slot);
    kill(children[slot], SIGKILL);
    note_stillness(slot, now_ns(), AFTER_KILL);
    reap(slot);
    note_deaths(slot);
    note_open_commits(slot);
}

static void stop_slot(int slot)
{
    int64_t session_ms = run.patient ? 200 + (int64_t)roll(800) : run.session_ms;
    bool longer = roll(4) != 0; /* than its session */
    int64_t for_ms = longer ? session_ms + 100 + (int64_t)roll(700) : (int64_t)roll(200);
    int64_t start_ns;

    lie_in_wait(slot);
    start_ns = now_ns();
    kill(children[slot], SIGSTOP);
    if (longer && !run.patient) note_stillness(slot, start_ns + session_ms * 1000000, AFTER_STOP);
    if (slot < PROCESSES && children[PROCESSES + FRESH + slot] == 0 && roll(3) == 0) {
        usleep((useconds_t)roll(100000));
        start(PROCESSES + FRESH + slot);
        doubled[slot] = true;
    }
    while (now_ns() < start_ns + for_ms * 1000000 && !atomic_load(&board->violated)) {
        int other = (int)roll((uint64_t)run.processes);
        usleep(20000);
        if (roll(30) == 0 && other != slot && children[other] != 0) {
            kill_slot(other);
            start(other);
        }
    }
    atomic_fetch_add(&board->slots[slot].stopped_ns, now_ns() - start_ns);
    kill(children[slot], SIGCONT);
}

static void choose_run(uint64_t number)
{
    memset(&run, 0, sizeof run);
    run.patient = number % 3 == 1;
    run.watched = roll(4) != 0;
    run.processes = 2 + (int)roll(PROCESSES - 1);
    run.groups = 1 + (int)roll(GROUPS);
    run.first_topics = 1 + (int)roll(3);
    if (!run.patient) {
        run.session_ms = 200 + (uint32_t)roll(600);
        run.max_poll_ms = 300 + (uint32_t)roll(900);
    }
    run.open_timeout_ms = 200 + (uint32_t)roll(800);
    for (int g = 0; g < GROUPS; g++) {
        run.common[g] = (int)roll(4);
        run.by_name[g] = (int)roll(3);
    }
    for (int s = 0; s < SLOTS; s++) {
        run.slots[s].members = s < PROCESSES ? 1 + (int)roll(MEMBERS) : run.groups;
        run.slots[s].in_turn = roll(3) == 0;
        for (int i = 0; i < MEMBERS; i++)
            run.slots[s].is_static[i] = s < PROCESSES && roll(3) == 0;
    }
    for (int s = 0; s < PROCESSES; s++) {
        run.slots[PROCESSES + FRESH + s] = run.slots[s];
    }
}

static void begin_run(uint64_t number)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;

    memset((void *)board, 0, sizeof *board);
    board->next_client = 1;
    board->next_value = 1;
    history = history_new(8 << 20);
    choose_run(number);
    snprintf(store_path, sizeof store_path, "%s/store", test_directory());
    OK(rill_open(store_path, &options, &store));
    for (int t = 0; t < run.first_topics; t++) make_topic(store, t);
    OK(rill_close(store));
}

/* How many kills and stops there were. */
static uint64_t disturb(uint64_t limit)
{
    uint64_t cases = 0;

    while (cases < limit && !atomic_load(&board->violated)) {
        int slot = (int)roll((uint64_t)run.processes);
        int twin = PROCESSES + FRESH + slot;

        for (int s = 0; s < run.processes; s++)
            if (children[s] == 0) start(s);
        usleep((useconds_t)roll(roll(3) == 0 ? 700000 : 100000));
        if (children[twin] != 0 && roll(2) == 0) slot = twin;
        switch (roll(10)) {
        case 0:
            kill(children[PRODUCER], SIGKILL);
            reap(PRODUCER);
            start(PRODUCER);
            break;
        case 1:
        case 2:
        case 3: stop_slot(slot); break;
        case 4: /* all at once */
            for (int s = 0; s < SLOTS; s++) kill_slot(s);
            break;
        default: kill_slot(slot); break;
        }
        cases++;
    }
    return cases;
}

static bool holds_some(int slot)
{
    for (int i = 0; i < MEMBERS; i++) {
        uint32_t client = atomic_load(&board->slots[slot].members[i].client);
        for (int32_t p = 0; client != 0 && p < PARTITIONS; p++)
            if (atomic_load(&board->places[group_of(slot, i)][p].holder) == client) return true;
    }
    return false;
}

/* Nobody comes in its place: the others must see that it is dead. */
static void kill_for_good(int slot)
{
    int64_t until = now_ns() + 2000000000;

    while (!holds_some(slot) && now_ns() < until) usleep(1000);
    kill_slot(slot);
}

static void end_run(void)
{
    /* Static members whose place was taken do not come back by themselves. */
    for (int s = PROCESSES + FRESH; s < SLOTS; s++) {
        kill_slot(s);
        if (doubled[s - PROCESSES - FRESH]) kill_slot(s - PROCESSES - FRESH);
        doubled[s - PROCESSES - FRESH] = false;
    }
    for (int s = 0; s < run.processes; s++)
        if (roll(2) == 0) kill_slot(s);
    for (int s = 0; s < PROCESSES + FRESH; s++)
        if (children[s] == 0 && (s < run.processes || s >= PROCESSES)) start(s);
    kill_for_good(PROCESSES);
    atomic_store(&board->producers_stop, true);
    reap(PRODUCER);
    atomic_store(&board->draining, true);
    reap(WATCHER);
    for (int s = 0; s < SLOTS; s++) reap(s);
}

static void print_one(void *arg, const char *anomaly, size_t event, const char *words)
{
    int *left = arg;

    if ((*left)-- > 0) fprintf(stderr, "    %s at event %zu: %s\n", anomaly, event, words);
}

static void judge(uint64_t number)
{
    int left = 20;
    size_t bad;

    if (atomic_load(&board->violated)) proof_violation(number, "%s", board->violation);
    bad = history_check(history, print_one, &left);
    if (bad != 0) proof_violation(number, "a history with %zu anomalies", bad);
    if (bad != 0 || atomic_load(&board->violated)) {
        FILE *file = fopen(test_path("history.txt"), "w");
        assert_non_null(file);
        history_print(history, file);
        fclose(file);
        fprintf(stderr, "    %s\n", test_path("history.txt"));
    } else {
        test_directory_remove();
    }
}

/* ---- What is printed ---- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void print_samples(int kind, const char *what)
{
    uint32_t count = atomic_load(&samples->count[kind]);

    if (count > SAMPLES) count = SAMPLES;
    if (count == 0) return;
    qsort(samples->ns[kind], count, sizeof(int64_t), compare);
    printf("a partition stood still after %s: min %" PRId64 ", median %" PRId64 ", max %" PRId64
           " ms, of %u\n",
           what, samples->ns[kind][0] / 1000000, samples->ns[kind][count / 2] / 1000000,
           samples->ns[kind][count - 1] / 1000000, count);
}

int main(void)
{
    uint64_t seed = proof_seed();
    uint64_t budget = proof_budget(480, getenv("RILL_TEST_SLOW") != NULL ? 8 : 24);
    uint64_t each = getenv("PROOF_SHARE") != NULL ? CASES_SHARE : CASES;
    uint64_t cases = 0;
    uint64_t runs = 0;
    uint64_t polled = 0;
    uint64_t commits = 0;
    uint64_t fenced = 0;
    uint64_t moves = 0;
    size_t events = 0;
    int64_t longest_ns = 0;
    char longest_what[sizeof board->longest_what] = "";

    board = test_shared(sizeof *board);
    samples = test_shared(sizeof *samples);
    for (; cases < budget && proof_violations() < 5; runs++) {
        dice.state = seed * 2 + 1 + runs * UINT64_C(7777777);
        begin_run(runs);
        start(PRODUCER);
        start(WATCHER);
        cases += disturb(budget - cases < each ? budget - cases : each);
        end_run();
        judge(runs);
        polled += atomic_load(&board->polled);
        commits += atomic_load(&board->commits);
        fenced += atomic_load(&board->fenced);
        moves += atomic_load(&board->moves);
        events += atomic_load(&history->count);
        if (board->longest_ns > longest_ns) {
            longest_ns = board->longest_ns;
            memcpy(longest_what, board->longest_what, sizeof longest_what);
        }
        history_free(history);
    }
    printf("%" PRIu64 " runs, %zu events: %" PRIu64 " records handed out, %" PRIu64
           " commits, %" PRIu64 " refused, %" PRIu64 " times a partition moved\n",
           runs, events, polled, commits, fenced, moves);
    printf("the longest call took %" PRId64 " ms more than its time-out: %s\n",
           longest_ns / 1000000, longest_what);
    print_samples(AFTER_KILL, "a kill");
    print_samples(AFTER_STOP, "a stop and its session timeout");
    return proof_end("members", cases);
}
