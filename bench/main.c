/*
 * main.c - the benchmark: what rill costs, beside what the machine allows and what
 * others take for it.
 *
 *     bench [DIRECTORY] [FAMILY...]
 *
 * DIRECTORY must lie on a disk; without it, or with "-", $TMPDIR or /var/tmp. In
 * it a directory is made and removed at the end. Without a FAMILY, all of them; a wrong
 * one shows which there are. The output is one line per figure, with tabs between
 *
 *     workload  system  figure  unit  synced  least  most
 *
 * where the figure is the median of several rounds, least and most are theirs; and
 * comment lines: about the machine and the settings above, with histograms below (see
 * figures.c). BENCH_QUICK=1 moves less and leaves out variants, BENCH_PEERS=0 the other
 * systems. BENCH_ROUNDS, from 1 to 9, says how often; 3 if it does not.
 */
#include "peers/peers.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 3
#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const struct {
    const char *name;
    family_fn *run;
    bool slow; /* left out of a quick run, unless it is named */
} families[] = {
    {"append", bench_append, false},       {"prepared", bench_prepared, false},
    {"sustained", bench_sustained, false}, {"producers", bench_producers, false},
    {"replay", bench_replay, false},       {"together", bench_together, false},
    {"fanout", bench_fanout, false},       {"handoff", bench_handoff, false},
    {"durable", bench_durable, false},     {"lookup", bench_lookup, false},
    {"commit", bench_commit, false},       {"reopen", bench_reopen, false},
    {"rebalance", bench_rebalance, true},  {"compress", bench_compress, true},
    {"compact", bench_compact, true},      {"exactly", bench_exactly, true},
    {"recycle", bench_recycle, true},      {"many", bench_many, true},
    {"tuning", bench_tuning, true},
};
#define FAMILIES (sizeof families / sizeof families[0])

/* ---- The machine lines -------------------------------------------------- */

static void print_line_of(const char *path, const char *prefix, const char *label)
{
    FILE *file = fopen(path, "r");
    char line[512];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *value = line + strlen(prefix);

        if (strncmp(line, prefix, strlen(prefix)) != 0) continue;
        while (*value == ' ' || *value == '\t' || *value == ':') value++;
        printf("# %s: %s", label, value);
        break;
    }
    if (file != NULL) fclose(file);
}

/* The line of mountinfo with the device number of dir: type and options. */
static void print_file_system(const char *dir)
{
    FILE *file = fopen("/proc/self/mountinfo", "r");
    struct stat status;
    char line[4096], device[32];

    if (stat(dir, &status) != 0) die_os(dir);
    snprintf(device, sizeof device, " %u:%u ", major(status.st_dev), minor(status.st_dev));
    printf("# store in: %s", dir);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *type = strstr(line, " - ");

        if (strstr(line, device) == NULL || type == NULL) continue;
        printf(", %.*s", (int)strcspn(type + 3, "\n"), type + 3);
        break;
    }
    if (file != NULL) fclose(file);
    putchar('\n');
}

static void print_machine(const struct bench *bench, int rounds)
{
    struct utsname system;
    time_t now = time(NULL);
    char date[32];

    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
    printf("# rill %s, compiled by %s, %s\n", rill_version(), COMPILER, date);
    print_line_of("/proc/cpuinfo", "model name", "cpu");
    printf("# cpus: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    print_line_of("/proc/meminfo", "MemTotal", "memory");
    if (uname(&system) == 0)
        printf("# kernel: %s %s, %s\n", system.sysname, system.release, system.machine);
    print_file_system(bench->dir);
    printf("# options: one partition, keys of %d bytes; at most %d MiB per append and replay,\n"
           "#     or %d ms where it is told by time%s\n",
           KEY_SIZE, (int)(bench->bytes >> 20), (int)(bench->timed_ns / 1000000),
           bench->quick ? "; QUICK: to see that it works, not to be quoted" : "");
    printf("# %d rounds in turn, after %d MiB of memory were touched and given back: medians,\n"
           "#     with least and most\n",
           rounds, (int)(2 * bench->bytes >> 20));
    peers_start(bench);
    printf("# workload\tsystem\tfigure\tunit\tsynced\tleast\tmost\n");
    fflush(stdout);
}

/* ---- Running ---------------------------------------------------------- */

static char run_dir[4096];

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

/* Waits for what was started, and for what that has started, which dies with it; then
 * the directory goes, also when somebody has lost patience. The signals are blocked. */
static int watch(pid_t pid, const sigset_t *signals)
{
    int status = 0, ended, signal;
    pid_t who;

    do {
        sigwait(signals, &signal);
        if (signal != SIGCHLD) kill(pid, SIGKILL);
        while ((who = waitpid(-1, &ended, WNOHANG)) > 0)
            if (who == pid) status = ended;
    } while (who == 0);
    nftw(run_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static bool is_family(const char *text)
{
    for (size_t i = 0; i < FAMILIES; i++)
        if (strcmp(text, families[i].name) == 0) return true;
    return false;
}

static bool wanted(size_t family, bool quick, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], families[family].name) == 0) return true;
    return argc == 1 && !(quick && families[family].slow);
}

static int usage(void)
{
    fprintf(stderr, "usage: bench [DIRECTORY] [FAMILY...]\nfamilies:");
    for (size_t i = 0; i < FAMILIES; i++) fprintf(stderr, " %s", families[i].name);
    fputc('\n', stderr);
    return 2;
}

/* Of a variable of the environment; what it is without. */
static int number_from(const char *variable, int otherwise)
{
    const char *text = getenv(variable);

    return text == NULL || *text == '\0' ? otherwise : atoi(text);
}

static void run(const struct bench *bench, int rounds, int argc, char **argv)
{
    print_machine(bench, rounds);
    for (size_t i = 0; i < FAMILIES; i++) {
        if (!wanted(i, bench->quick, argc, argv)) continue;
        warm_memory(2 * bench->bytes);
        for (int r = 0; r < rounds; r++) families[i].run(bench);
        figures_print();
    }
}

int main(int argc, char **argv)
{
    const char *parent = getenv("TMPDIR");
    struct bench bench = {.dir = run_dir};
    int rounds = number_from("BENCH_ROUNDS", ROUNDS);
    const int watched[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
    sigset_t signals, before;
    pid_t pid;

    if (parent == NULL) parent = "/var/tmp";
    if (argc > 1 && !is_family(argv[1])) {
        if (strcmp(argv[1], "-") != 0) parent = argv[1];
        argv++, argc--;
    }
    for (int i = 1; i < argc; i++)
        if (!is_family(argv[i])) return usage();
    if (rounds < 1 || rounds > ROUNDS_MAX) die("BENCH_ROUNDS: from 1 to 9");
    bench.quick = number_from("BENCH_QUICK", 0) != 0;
    bench.peers = number_from("BENCH_PEERS", 1) != 0;
    bench.bytes = bench.quick ? UINT64_C(32) << 20 : UINT64_C(256) << 20;
    bench.timed_ns = bench.quick ? 40000000 : 400000000;

    snprintf(run_dir, sizeof run_dir, "%s/rill-bench-XXXXXX", parent);
    if (mkdtemp(run_dir) == NULL) die_os(parent);
    sigemptyset(&signals);
    for (int i = 0; i < 4; i++) sigaddset(&signals, watched[i]);
    sigprocmask(SIG_BLOCK, &signals, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid = fork();
    if (pid < 0) die_os("fork");
    if (pid > 0) return watch(pid, &signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    run(&bench, rounds, argc, argv);
    return 0;
}
