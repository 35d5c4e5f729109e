/*
 * compactor.c - a process that compacts is killed, again and again, beside others
 * that read.
 *
 * Readers have the partition open from before and go over it without an end: of each
 * key the last record must be there, in its place, with its bytes, whatever instruction
 * the compactor dies at. In between the log grows, its start moves, and a compaction that
 * nobody kills leaves only what must be there.
 *
 * BUDGET counts kills. A violation names its round.
 */
#include "keyed.h"
#include "proof.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { READERS = 2, KILLS = 6, RECORDS_MAX = 1500 };

static struct shared {
    struct keyed keyed;
    int64_t start;
    _Atomic bool stop;
    _Atomic uint64_t reads;
} * shared;

static struct test_log t;
static struct test_random dice;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

static void check(struct log *log, bool clean)
{
    static bool there[KEYED_MAX];
    const struct keyed *k = &shared->keyed;
    int64_t active = atomic_load(&log->control->active_base);
    const char *wrong;

    keyed_parse(keyed_text(log, k, shared->start), there);
    wrong = keyed_wrong(k, shared->start, k->end, active, there);
    if (wrong == NULL && clean) wrong = keyed_unclean(k, shared->start, active, there);
    if (wrong != NULL) fail_msg("%s", wrong);
}

static pid_t start(void (*run)(struct log *log))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0) return pid;
    run(test_log_second(&t));
    _exit(0);
}

static void read_on(struct log *log)
{
    while (!atomic_load(&shared->stop)) {
        check(log, false);
        atomic_fetch_add(&shared->reads, 1);
    }
}

static void compact_on(struct log *log)
{
    for (;;) {
        struct log_compaction what = keyed_compaction();
        struct log_compaction_report report;

        what.memory_bytes = (uint64_t)(getpid() % 3) * 200;
        OK(rill__log_compact(log, &what, &report));
        if (report.passes == 0) usleep(200);
    }
}

static void grow(void)
{
    static const char letters[] = "aaabbcdefghijABC.";

    for (uint64_t i = 5 + roll(15); i > 0; i--) {
        struct keyed_batch as = {.value_size = 50 + roll(200)};
        char records[10];
        size_t count = 1 + roll(8);

        for (size_t r = 0; r < count; r++) records[r] = letters[roll(sizeof letters - 1)];
        records[count] = '\0';
        keyed_append_as(t.log, &shared->keyed, records, &as);
        if (roll(3) == 0) keyed_roll(t.log);
    }
    OK(rill__log_sync(t.log, shared->keyed.end, INT64_MAX));
    if (roll(4) != 0) return;
    shared->start += (int64_t)roll((uint64_t)(shared->keyed.end - shared->start) / 3 + 1);
    OK(rill__log_delete_before(t.log, shared->start, INT64_MAX, NULL));
}

static void begin(void)
{
    memset(&shared->keyed, 0, sizeof shared->keyed);
    shared->start = 0;
    test_log_init(&t);
    OK(test_log_open(&t));
}

static void run_round(uint64_t round)
{
    pid_t readers[READERS];
    int status;

    grow();
    atomic_store(&shared->stop, false);
    for (int i = 0; i < READERS; i++) readers[i] = start(read_on);
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = start(compact_on);
        usleep((useconds_t)roll(6000));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status)) proof_violation(round, "the compactor ended by itself");
    }
    atomic_store(&shared->stop, true);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(waitpid(readers[i], &status, 0), readers[i]);
        if (status != 0) proof_violation(round, "a reader: see above (status %#x)", status);
    }
    check(t.log, false);
    keyed_compact(t.log);
    check(t.log, true);
}

int main(void)
{
    uint64_t kills = proof_budget(20000, getenv("RILL_TEST_SLOW") != NULL ? 60 : 600);
    uint64_t round = 0;

    dice.state = proof_seed();
    shared = test_shared(sizeof *shared);
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    begin();
    for (; round * KILLS < kills && proof_violations() == 0; round++) {
        if (shared->keyed.end > RECORDS_MAX) {
            test_log_deinit(&t);
            begin();
        }
        run_round(round);
    }
    test_log_deinit(&t);
    printf("%llu times all was read meanwhile\n",
           (unsigned long long)atomic_load(&shared->reads));
    return proof_end("compactor", round * KILLS);
}
