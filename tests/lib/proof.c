/*
 * proof.c - see proof.h.
 */
#include "proof.h"
#include "os/sys.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

static uint64_t seed;
static uint64_t violations;

uint64_t proof_seed(void)
{
    const char *given = getenv("SEED");
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (given != NULL) seed = strtoull(given, NULL, 0);
    else if (getenv("PROOF_SHARE") != NULL) seed = 1;
    else seed = (uint64_t)now.tv_sec;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

uint64_t proof_budget(uint64_t all, uint64_t share)
{
    const char *given = getenv("BUDGET");

    if (given != NULL) return strtoull(given, NULL, 0);
    return getenv("PROOF_SHARE") != NULL ? share : all;
}

static int fstatfs_of_disk(int fd, struct statfs *st)
{
    int rc = fstatfs(fd, st);

    if (rc == 0) st->f_type = 0xEF53; /* ext4 */
    return rc;
}

void proof_as_on_disk(void)
{
    rill__sys.fstatfs = fstatfs_of_disk;
}

void proof_in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    proof_as_on_disk();
}

/* ---- Processes --------------------------------------------------------- */

enum { PROCESSES_MAX = 16 };

static struct {
    _Atomic uint64_t running[PROCESSES_MAX]; /* case */
    _Atomic uint64_t next;
    _Atomic uint64_t sum;
} * shared;

static pid_t start_process(int i, uint64_t count, uint64_t (*run)(uint64_t number))
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid != 0) return pid;
    for (uint64_t number; (number = atomic_fetch_add(&shared->next, 1)) <= count;) {
        atomic_store(&shared->running[i], number);
        atomic_fetch_add(&shared->sum, run(number));
    }
    fflush(NULL);
    _exit(0); /* what fails ends with another status */
}

static void supervise(uint64_t count, uint64_t (*run)(uint64_t number))
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    pid_t pids[PROCESSES_MAX] = {0};
    int left = processors > PROCESSES_MAX ? PROCESSES_MAX : (int)processors;
    uint64_t enough = getenv("PROOF_FIRST") != NULL ? 1 : 21;

    for (int i = 0; i < left; i++) pids[i] = start_process(i, count, run);
    while (left > 0) {
        int status;
        pid_t pid = wait(&status);
        int i = 0;

        while (i < PROCESSES_MAX && pids[i] != pid) i++;
        if (i == PROCESSES_MAX) continue;
        left--;
        if (status == 0) continue;
        proof_violation(atomic_load(&shared->running[i]), "see above (status %#x)",
                        (unsigned)status);
        if (violations >= enough) atomic_store(&shared->next, count + 1);
        pids[i] = start_process(i, count, run);
        left++;
    }
}

uint64_t proof_run(uint64_t count, uint64_t (*run)(uint64_t number))
{
    const char *one = getenv("CASE");

    shared = test_shared(sizeof *shared);
    atomic_store(&shared->next, 1);
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    setenv("TMPDIR", test_directory(), 1); /* processes that fail leave theirs in it */
    if (one != NULL) atomic_fetch_add(&shared->sum, run(strtoull(one, NULL, 0)));
    else supervise(count, run);
    test_remove(getenv("TMPDIR"));
    return atomic_load(&shared->sum);
}

/* ---- Violations -------------------------------------------------------- */

void proof_violation(uint64_t which, const char *format, ...)
{
    va_list args;

    violations++;
    if (violations > 20) return; /* the first ones tell enough */
    printf("violation in case %" PRIu64 ": ", which);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

uint64_t proof_violations(void)
{
    return violations;
}

int proof_end(const char *name, uint64_t cases)
{
    printf("%s: %" PRIu64 " cases, %" PRIu64 " violations, seed %" PRIu64 "\n", name, cases,
           violations, seed);
    return violations == 0 ? 0 : 1;
}
