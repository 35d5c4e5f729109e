/*
 * checker.c - histories of what clients did and were told, judged by one checker
 * (tests/lib/history.h), and the checker itself put to the proof.
 *
 * 1. tests/proof/histories: made by hand, each says which anomalies it has, or
 *    none; exactly these are found.
 * 2. Good histories of a log that keeps its promises, made by chance, with clients
 *    at the same time, deaths and power cuts: nothing is found. Then one thing in
 *    each is changed to what such a log would not say: something is found.
 * 3. Real ones: processes with some threads each append, read, commit and are
 *    killed; at the end a process that has seen nothing reads all. Nothing is
 *    found.
 *
 * BUDGET counts histories of the second kind; for each 50 there is a real one. A
 * bad real history is left in the directory.
 */
#include "proof.h"
#include "history.h"
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <rill.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct test_random dice;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

/* ---- 1. Made by hand ---- */

/* The names found, each once, in the order of the alphabet. */
struct names {
    const char *names[32];
    size_t count;
};

static void collect(void *arg, const char *anomaly, size_t event, const char *words)
{
    struct names *found = arg;
    size_t at = 0;

    (void)event, (void)words;
    while (at < found->count && strcmp(found->names[at], anomaly) < 0) at++;
    if (at < found->count && strcmp(found->names[at], anomaly) == 0) return;
    memmove(&found->names[at + 1], &found->names[at], (found->count - at) * sizeof(char *));
    found->names[at] = anomaly;
    found->count++;
}

static void judge_file(const char *path, uint64_t number)
{
    struct history *history = history_new(1000);
    struct names found = {.count = 0};
    char expected[200] = "";
    char got[400] = "";
    char line[200];
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_int_equal(sscanf(line, "# expect: %199[^\n]", expected), 1);
    while (fgets(line, sizeof line, file) != NULL)
        if (!history_parse(history, line)) fail_msg("%s: %s", path, line);
    fclose(file);
    history_check(history, collect, &found);
    for (size_t i = 0; i < found.count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i > 0 ? " " : "",
                 found.names[i]);
    if (strcmp(found.count == 0 ? "nothing" : got, expected) != 0)
        proof_violation(number, "%s: found %s, expected %s", path, got, expected);
    history_free(history);
}

static uint64_t judge_files(void)
{
    const char *root = getenv("RILL_ROOT");
    struct dirent **entries;
    char directory[700];
    char path[1000];
    uint64_t files = 0;
    int count;

    snprintf(directory, sizeof directory, "%s/tests/proof/histories", root != NULL ? root : ".");
    count = scandir(directory, &entries, NULL, alphasort);
    assert_true(count > 40);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') judge_file(path, files++);
        free(entries[i]);
    }
    free(entries);
    return files;
}

/* ---- 2. Made by chance ---- */

enum { CLIENTS = 5, STEPS = 300, LOG_MAX = 2000 };

/* A log that keeps its promises, and who is in the middle of what. */
static struct {
    struct history *history;
    uint64_t log[LOG_MAX];
    int64_t end;
    int64_t durable;
    int64_t committed;
    uint64_t next_value;
    struct client {
        struct event call; /* begun */
        bool busy;
        bool done; /* the log has it */
        int64_t position;
    } clients[CLIENTS];
} world;

static void say(struct event e, enum phase phase)
{
    e.phase = (uint8_t)phase;
    history_add(world.history, e);
}

static void begin(struct client *client, uint32_t id)
{
    struct event e = {.client = id, .count = 1, .offset = -1};

    switch (roll(6)) {
    case 0:
    case 1:
        e.op = SEND;
        e.count = 1 + (uint32_t)roll(4);
        e.value = world.next_value;
        world.next_value += e.count;
        break;
    case 2: e.op = END; break;
    case 3:
        e.op = COMMIT;
        e.group = 1;
        e.offset = (int64_t)roll((uint64_t)world.end + 1);
        break;
    case 4:
        e.op = COMMITTED;
        e.group = 1;
        break;
    default: {
        struct event seek = {.client = id, .op = SEEK};
        seek.offset = client->position = (int64_t)roll((uint64_t)world.end + 1);
        say(seek, GOOD);
        return;
    }
    }
    client->call = e;
    client->busy = true;
    client->done = false;
    say(e, INVOKE);
}

/* The moment at which it happens. */
static void take_effect(struct client *client)
{
    struct event *e = &client->call;

    client->done = true;
    switch (e->op) {
    case SEND:
        e->offset = world.end;
        for (uint32_t i = 0; i < e->count; i++) world.log[world.end++] = e->value + i;
        break;
    case END: e->offset = world.end; break;
    case COMMIT: world.committed = e->offset; break;
    default: e->offset = world.committed; break;
    }
}

static void poll(struct client *client, uint32_t id)
{
    uint64_t most = 1 + roll(10);

    for (; most > 0 && client->position < world.end; most--) {
        struct event e = {.client = id, .op = POLL, .offset = client->position};
        e.value = world.log[client->position++];
        say(e, GOOD);
    }
}

static void sync_log(uint32_t id)
{
    struct event e = {.client = id, .op = DURABLE, .offset = world.end};

    world.durable = world.end;
    say(e, GOOD);
}

/* Of calls without an end nobody knows. */
static void everybody_dies(bool power)
{
    struct event e = {.op = POWER};

    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &world.clients[i];
        if (client->busy && (client->call.op == SEND || client->call.op == COMMIT))
            say(client->call, INFO);
        client->busy = false;
        client->position = 0;
        e.client = i + 1;
        if (!power) {
            struct event death = {.client = i + 1, .op = DEATH};
            struct event seek = {.client = i + 1, .op = SEEK, .offset = 0};
            say(death, GOOD);
            say(seek, GOOD);
        }
    }
    if (!power) return;
    e.client = 0;
    say(e, GOOD);
    /* A whole number of batches: the durable ones at least. */
    while (world.end > world.durable && roll(2) == 0) {
        uint64_t last = world.log[world.end - 1];
        do world.end--;
        while (world.end > world.durable && world.log[world.end - 1] + 1 == last &&
               (last = world.log[world.end - 1]) != 0);
    }
    if (world.committed > world.end) world.committed = world.end;
    world.durable = world.end;
    e = (struct event){.client = 1, .op = END, .offset = -1};
    say(e, INVOKE);
    e.offset = world.end;
    say(e, GOOD);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct event seek = {.client = i + 1, .op = SEEK, .offset = 0};
        say(seek, GOOD);
    }
}

static void make_history(void)
{
    struct event e = {.client = 99, .op = SEEK, .offset = 0};

    world.history = history_new(40000);
    world.end = world.durable = 0;
    world.committed = -1;
    world.next_value = 1;
    memset(world.clients, 0, sizeof world.clients);
    for (int i = 0; i < STEPS && world.end < LOG_MAX - 8; i++) {
        uint32_t id = 1 + (uint32_t)roll(CLIENTS);
        struct client *client = &world.clients[id - 1];
        if (roll(60) == 0) everybody_dies(roll(2) == 0);
        else if (roll(15) == 0) sync_log(id);
        else if (client->busy && !client->done) take_effect(client);
        else if (client->busy) {
            say(client->call, GOOD);
            client->busy = false;
        } else if (roll(3) == 0) poll(client, id);
        else begin(client, id);
    }
    everybody_dies(false);
    say(e, GOOD);
    for (e.op = POLL; e.offset < world.end; e.offset++) {
        e.value = world.log[e.offset];
        say(e, GOOD);
    }
    e.op = FINAL;
    say(e, GOOD);
}

/* The number of some event that is such, or SIZE_MAX. */
static size_t find(enum phase phase, enum op op)
{
    size_t count = atomic_load(&world.history->count);
    size_t from = (size_t)roll(count);

    for (size_t i = 0; i < count; i++) {
        const struct event *e = &world.history->events[(from + i) % count];
        if (e->phase == phase && e->op == op) return (from + i) % count;
    }
    return SIZE_MAX;
}

/* Changes one thing; false if there is none such. */
static bool spoil(uint64_t how)
{
    static const struct {
        enum phase phase;
        enum op op;
    } where[] = {{GOOD, POLL}, {GOOD, POLL}, {GOOD, POLL},  {GOOD, SEND},
                 {GOOD, END},  {GOOD, SEND}, {GOOD, FINAL}, {GOOD, COMMITTED}};
    size_t at = find(where[how].phase, where[how].op);
    struct event *e = at == SIZE_MAX ? NULL : &world.history->events[at];

    if (e == NULL) return false;
    switch (how) {
    case 0: e->value = world.next_value + 5; break; /* nobody's */
    case 1: e->offset++; break;
    case 2: e->value = e->value == 1 ? 2 : e->value - 1; break;
    case 3: /* it was not there after all */
    case 5: /* it was elsewhere */
        if (e->offset >= world.end || world.log[e->offset] != e->value) return false;
        if (how == 3) e->phase = FAIL;
        else e->offset = world.end + 1;
        break;
    case 4: /* before what somebody had been told */
        if (at == 0 || e->offset == 0) return false;
        e->offset = -1;
        break;
    case 6: e->offset++; break;
    default: e->offset = (int64_t)world.next_value + 10; break;
    }
    return true;
}

static void print_one(void *arg, const char *anomaly, size_t event, const char *words)
{
    (void)arg;
    fprintf(stderr, "    %s at event %zu: %s\n", anomaly, event, words);
}

static void judge_chance(uint64_t seed, uint64_t number)
{
    uint64_t how;

    dice.state = seed * 2 + 1 + number * UINT64_C(1000003);
    make_history();
    if (history_check(world.history, print_one, NULL) != 0)
        proof_violation(number, "a good history is found bad");
    how = roll(8);
    if (spoil(how) && history_check(world.history, NULL, NULL) == 0)
        proof_violation(number, "change %" PRIu64 " of a good history is not found", how);
    history_free(world.history);
}

/* ---- 3. Real ones ---- */

enum { PARTITIONS = 2, PROCESSES = 4, THREADS = 2, LIVES = 25, WAIT_MS = 20000, BATCH_MAX = 8 };

static struct {
    _Atomic uint64_t next_value;
    _Atomic uint32_t next_client;
    _Atomic bool stop;
    struct {
        _Atomic bool open;
        struct event call; /* without an end, if its process is killed now */
    } calls[PROCESSES][THREADS];
} * shared;
static struct history *real;
static char store_path[700];

static size_t value_bytes(uint64_t number, uint8_t *bytes)
{
    struct test_random random = {number};
    size_t size = 8 + test_random_below(&random, 900);

    memset(bytes, (int)number, size);
    memcpy(bytes, &number, 8);
    return size;
}

static uint64_t number_of(const rill_record *record)
{
    uint8_t bytes[1000];
    uint64_t number;

    if (record->value.size < 8 || record->value.size > sizeof bytes) return 0;
    memcpy(&number, record->value.data, 8);
    if (value_bytes(number, bytes) != record->value.size ||
        memcmp(bytes, record->value.data, record->value.size) != 0)
        return 0;
    return number;
}

struct actor {
    rill *store;
    int process;
    int thread;
    struct test_random random;
};

static void start_call(const struct actor *actor, struct event *e)
{
    e->phase = INVOKE;
    shared->calls[actor->process][actor->thread].call = *e;
    atomic_store(&shared->calls[actor->process][actor->thread].open, true);
    history_add(real, *e);
}

static void end_call(const struct actor *actor, struct event *e, int rc)
{
    e->phase = rc == 0                                                                  ? GOOD
               : rc == RILL_ERR_TIMEOUT || rc == RILL_ERR_IO || rc == RILL_ERR_POISONED ? INFO
                                                                                        : FAIL;
    history_add(real, *e);
    atomic_store(&shared->calls[actor->process][actor->thread].open, false);
}

static void append(const struct actor *actor, rill_producer *producer, uint32_t client,
                   struct test_random *random, bool durable)
{
    static _Thread_local uint8_t bytes[BATCH_MAX][1000];
    rill_record records[BATCH_MAX];
    struct event e = {.client = client, .op = SEND, .offset = -1};
    rill_offset offset = -1;
    int rc;

    e.partition = (int32_t)test_random_below(random, PARTITIONS);
    e.count = 1 + (uint32_t)test_random_below(random, BATCH_MAX);
    e.value = atomic_fetch_add(&shared->next_value, e.count);
    for (uint32_t i = 0; i < e.count; i++) {
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = e.partition;
        records[i].value = (rill_bytes){bytes[i], value_bytes(e.value + i, bytes[i])};
    }
    start_call(actor, &e);
    rc = rill_producer_append(producer, records, e.count, WAIT_MS, &offset);
    e.offset = rc == 0 ? offset : -1;
    end_call(actor, &e, rc);
    if (rc == 0 && durable) {
        struct event sure = {.client = client, .op = DURABLE, .phase = GOOD};
        sure.partition = e.partition;
        sure.offset = offset + e.count;
        history_add(real, sure);
    }
}

static void append_in_place(const struct actor *actor, rill_producer *producer, uint32_t client,
                            struct test_random *random)
{
    rill_record shape = RILL_RECORD_INIT;
    struct event e = {.client = client, .op = SEND, .count = 1, .offset = -1};
    rill_reservation room;
    uint8_t bytes[1000];
    rill_offset offset = -1;
    int rc;

    shape.partition = e.partition = (int32_t)test_random_below(random, PARTITIONS);
    e.value = atomic_fetch_add(&shared->next_value, 1);
    shape.value.size = value_bytes(e.value, bytes);
    start_call(actor, &e);
    rc = rill_producer_reserve(producer, &shape, WAIT_MS, &room);
    if (rc == 0) {
        memcpy(room.value, bytes, room.value_size);
        rc = rill_producer_commit(producer, &offset);
    }
    e.offset = offset;
    end_call(actor, &e, rc);
}

static void *writer(void *arg)
{
    const struct actor *actor = arg;
    struct test_random random = actor->random;
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    uint32_t client = atomic_fetch_add(&shared->next_client, 1);
    rill_producer *producers[2];

    OK(rill_producer_open(actor->store, &options, &producers[0]));
    options.acks = RILL_ACKS_DURABLE;
    OK(rill_producer_open(actor->store, &options, &producers[1]));
    while (!atomic_load(&shared->stop)) {
        uint64_t how = test_random_below(&random, 20);
        if (how == 0) OK(rill_maintain(actor->store, NULL));
        else if (how < 5) append_in_place(actor, producers[0], client, &random);
        else append(actor, producers[how == 6], client, &random, how == 6);
    }
    rill_producer_close(producers[0], WAIT_MS);
    rill_producer_close(producers[1], WAIT_MS);
    return NULL;
}

static void seek_all(rill_consumer *consumer, uint32_t client)
{
    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct event e = {.client = client, .op = SEEK, .phase = GOOD, .partition = p};
        OK(rill_consumer_seek(consumer, "t", p, 0));
        history_add(real, e);
    }
}

static void poll_some(rill_consumer *consumer, uint32_t client, size_t *count)
{
    rill_record records[32];

    OK(rill_consumer_poll(consumer, 0, records, 32, count));
    for (size_t i = 0; i < *count; i++) {
        struct event e = {.client = client, .op = POLL, .phase = GOOD, .count = 1};
        e.partition = records[i].partition;
        e.offset = records[i].offset;
        e.value = number_of(&records[i]);
        history_add(real, e);
    }
}

static void ask(const struct actor *actor, rill_consumer *consumer, uint32_t client,
                struct test_random *random)
{
    struct event e = {.client = client, .offset = -1, .count = 1};
    int32_t p = (int32_t)test_random_below(random, PARTITIONS);
    rill_partition_info info;
    rill_position position = {"t", p, -1, 0, NULL};
    int rc;

    e.partition = p;
    switch (test_random_below(random, 3)) {
    case 0:
        e.op = END;
        start_call(actor, &e);
        OK(rill_partition_describe(actor->store, "t", p, &info));
        e.offset = info.log_end;
        end_call(actor, &e, 0);
        break;
    case 1:
        e.op = COMMITTED;
        e.group = 1;
        start_call(actor, &e);
        OK(rill_consumer_committed(consumer, "t", p, &position, NULL, 0));
        e.offset = position.offset == RILL_OFFSET_NONE ? -1 : position.offset;
        end_call(actor, &e, 0);
        break;
    default:
        OK(rill_partition_describe(actor->store, "t", p, &info));
        e.op = COMMIT;
        e.group = 1;
        e.offset = position.offset =
            (int64_t)test_random_below(random, (uint64_t)info.log_end + 1);
        start_call(actor, &e);
        rc = rill_consumer_commit(consumer, &position, 1);
        end_call(actor, &e, rc);
        break;
    }
}

static rill_consumer *open_reader(rill *store)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position from[PARTITIONS];
    rill_consumer *consumer;

    for (int32_t p = 0; p < PARTITIONS; p++) from[p] = (rill_position){"t", p, -1, 0, NULL};
    OK(rill_consumer_open(store, &options, &consumer));
    OK(rill_consumer_assign(consumer, from, PARTITIONS));
    return consumer;
}

static void *reader(void *arg)
{
    const struct actor *actor = arg;
    struct test_random random = actor->random;
    rill_consumer *consumer = open_reader(actor->store);
    uint32_t client = atomic_fetch_add(&shared->next_client, 1);
    size_t count;

    seek_all(consumer, client);
    while (!atomic_load(&shared->stop)) {
        uint64_t how = test_random_below(&random, 30);
        if (how == 0) seek_all(consumer, client);
        else if (how < 8) ask(actor, consumer, client, &random);
        else poll_some(consumer, client, &count);
    }
    rill_consumer_close(consumer, WAIT_MS);
    return NULL;
}

static void live(int process, uint64_t chance)
{
    struct actor actors[THREADS];
    pthread_t threads[THREADS];
    rill *store;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    OK(rill_open(store_path, NULL, &store));
    for (int i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){store, process, i, {chance + (uint64_t)i}};
        assert_int_equal(
            pthread_create(&threads[i], NULL, process % 2 == 0 ? writer : reader, &actors[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    rill_close(store);
    _exit(0);
}

static pid_t start(int process)
{
    uint64_t chance = test_random_next(&dice);
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) live(process, chance);
    return pid;
}

/* What it was in the middle of has an outcome that nobody was told. */
static void note_death(int process)
{
    for (int i = 0; i < THREADS; i++) {
        struct event e = shared->calls[process][i].call;
        if (!atomic_exchange(&shared->calls[process][i].open, false)) continue;
        if (e.op != SEND && e.op != COMMIT) continue;
        e.phase = INFO;
        history_add(real, e);
    }
}

static void read_all(void)
{
    uint32_t client = atomic_fetch_add(&shared->next_client, 1);
    rill_consumer *consumer;
    rill *store;
    size_t count;

    OK(rill_open(store_path, NULL, &store));
    consumer = open_reader(store);
    seek_all(consumer, client);
    do poll_some(consumer, client, &count);
    while (count > 0);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct event e = {.client = client, .op = FINAL, .phase = GOOD, .partition = p};
        rill_partition_info info;
        OK(rill_partition_describe(store, "t", p, &info));
        e.offset = info.log_end;
        history_add(real, e);
    }
    OK(rill_consumer_close(consumer, WAIT_MS));
    OK(rill_close(store));
}

static void make_store(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_topic_options topic = {
        .size = sizeof topic, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    rill *store;

    snprintf(store_path, sizeof store_path, "%s/store", test_directory());
    OK(rill_open(store_path, &options, &store));
    OK(rill_topic_create(store, "t", &topic));
    OK(rill_close(store));
}

static void judge_real(uint64_t seed, uint64_t number, size_t *events)
{
    pid_t pids[PROCESSES];
    int status;

    dice.state = seed * 2 + 1 + number * UINT64_C(7777777);
    real = history_new(4 << 20);
    memset(shared, 0, sizeof *shared);
    shared->next_value = 1;
    shared->next_client = 1;
    make_store();
    for (int i = 0; i < PROCESSES; i++) pids[i] = start(i);
    for (int life = 0; life < LIVES; life++) {
        int i = (int)roll(PROCESSES);
        usleep((useconds_t)roll(15000));
        kill(pids[i], SIGKILL);
        waitpid(pids[i], &status, 0);
        note_death(i);
        pids[i] = start(i);
    }
    atomic_store(&shared->stop, true);
    for (int i = 0; i < PROCESSES; i++) {
        waitpid(pids[i], &status, 0);
        if (status != 0)
            proof_violation(number, "a process failed, status %#x", (unsigned)status);
        note_death(i);
    }
    read_all();
    *events += atomic_load(&real->count);
    if (history_check(real, print_one, NULL) != 0) {
        FILE *file = fopen(test_path("history.txt"), "w");
        assert_non_null(file);
        history_print(real, file);
        fclose(file);
        proof_violation(number, "a real history is bad, %s", test_path("history.txt"));
    } else {
        test_directory_remove();
    }
    history_free(real);
}

int main(void)
{
    uint64_t seed = proof_seed();
    uint64_t budget = proof_budget(5000, getenv("RILL_TEST_SLOW") != NULL ? 50 : 250);
    uint64_t cases = judge_files();
    uint64_t files = cases;
    size_t events = 0;

    for (uint64_t i = 0; i < budget; i++, cases++) judge_chance(seed, i);
    proof_as_on_disk();
    shared = test_shared(sizeof *shared);
    for (uint64_t i = 0; i < budget / 50 && proof_violations() < 10; i++, cases++)
        judge_real(seed, i, &events);
    printf("%" PRIu64 " histories made by hand, %" PRIu64 " by chance, %" PRIu64
           " real ones with %zu events\n",
           files, budget, budget / 50, events);
    return proof_end("checker", cases);
}
