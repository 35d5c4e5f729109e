/*
 * main.c - the benchmark: what rill costs, beside what the machine allows.
 *
 *     bench [DIRECTORY] [FAMILY...]
 *
 * DIRECTORY must lie on a disk; without it, or with "-", $TMPDIR or /var/tmp. In
 * it a directory is made and removed at the end. FAMILY is append, replay,
 * handoff, durable, lookup, commit, reopen, rebalance, compress, exactly, compact, recycle or
 * many; without any, all of them. The output is one line per figure, with tabs between
 *
 *     workload  system  figure  unit  synced
 *
 * and comment lines about the machine above. BENCH_QUICK=1 moves less and measures
 * once: to see that it works, not to be quoted.
 */
#include "bench.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define REPEATS 3
#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const struct {
    const char *name;
    family_fn *run;
} families[] = {
    {"append", bench_append},   {"replay", bench_replay},       {"handoff", bench_handoff},
    {"durable", bench_durable}, {"lookup", bench_lookup},       {"commit", bench_commit},
    {"reopen", bench_reopen},   {"rebalance", bench_rebalance}, {"compress", bench_compress},
    {"compact", bench_compact}, {"exactly", bench_exactly},     {"recycle", bench_recycle},
    {"many", bench_many},
};
#define FAMILIES (sizeof families / sizeof families[0])

/* ---- Figures ---------------------------------------------------------- */

static struct {
    const char *workload, *system, *unit, *synced;
    double values[REPEATS];
    int count;
} figures[100];
static int figure_count;

void figure(const char *workload, const char *system, double value, const char *unit,
            const char *synced)
{
    int i = 0;

    while (i < figure_count &&
           !(strcmp(figures[i].workload, workload) == 0 &&
             strcmp(figures[i].system, system) == 0 && strcmp(figures[i].unit, unit) == 0))
        i++;
    if (i == figure_count) {
        if (figure_count == (int)(sizeof figures / sizeof figures[0])) die("too many figures");
        figures[figure_count].workload = workload;
        figures[figure_count].system = system;
        figures[figure_count].unit = unit;
        figures[figure_count].synced = synced;
        figures[figure_count++].count = 0;
    }
    if (figures[i].count < REPEATS) figures[i].values[figures[i].count++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_figures(void)
{
    for (int i = 0; i < figure_count; i++) {
        double value;

        qsort(figures[i].values, (size_t)figures[i].count, sizeof(double), compare_doubles);
        value = figures[i].values[figures[i].count / 2];
        printf("%s\t%s\t%.*f\t%s\t%s\n", figures[i].workload, figures[i].system,
               value < 10     ? 2
               : value < 1000 ? 1
                              : 0,
               value, figures[i].unit, figures[i].synced);
    }
    figure_count = 0;
    fflush(stdout);
}

const char *name(const char *format, ...)
{
    static char *names[200];
    static size_t count;
    char text[200];
    va_list list;
    size_t i;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0) return names[i];
    if (count == sizeof names / sizeof names[0]) die("too many names");
    names[count] = strdup(text);
    if (names[count] == NULL) die("out of memory");
    return names[count++];
}

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void figure_latencies(const char *workload, const char *system, int64_t *ns, size_t count,
                      const char *synced)
{
    qsort(ns, count, sizeof *ns, compare_ns);
    figure(workload, system, (double)ns[count / 2] / 1e3, "us p50", synced);
    figure(workload, system, (double)ns[count - 1 - count / 100] / 1e3, "us p99", synced);
    figure(workload, system, (double)ns[count - 1 - count / 1000] / 1e3, "us p99.9", synced);
}

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

static void print_machine(const struct bench *bench)
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
    printf(
        "# options: defaults (64 MiB segments, checksums verified, a sync every second in the\n"
        "#     background), RILL_OPEN_THREAD, one partition, keys of %d bytes\n",
        KEY_SIZE);
    printf("# %s; %d MiB per append and replay\n",
           bench->quick ? "QUICK: measured once, not to be quoted"
                        : "each measured 3 times, the median is shown",
           (int)(bench->bytes >> 20));
    printf("# workload\tsystem\tfigure\tunit\tsynced\n");
    fflush(stdout);
}

/* ---- Running ---------------------------------------------------------- */

static char run_dir[4096];
static pid_t run_pid;

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static void remove_run_dir(void)
{
    if (getpid() == run_pid) nftw(run_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool is_family(const char *text)
{
    for (size_t i = 0; i < FAMILIES; i++)
        if (strcmp(text, families[i].name) == 0) return true;
    return false;
}

static bool wanted(const char *family, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], family) == 0) return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    const char *parent = getenv("TMPDIR"), *quick = getenv("BENCH_QUICK");
    struct bench bench = {.dir = run_dir};

    if (parent == NULL) parent = "/var/tmp";
    if (argc > 1 && !is_family(argv[1])) {
        if (strcmp(argv[1], "-") != 0) parent = argv[1];
        argv++, argc--;
    }
    for (int i = 1; i < argc; i++) {
        if (is_family(argv[i])) continue;
        fprintf(stderr, "usage: bench [DIRECTORY] [FAMILY...]\n");
        return 2;
    }
    bench.quick = quick != NULL && strcmp(quick, "") != 0 && strcmp(quick, "0") != 0;
    bench.bytes = bench.quick ? UINT64_C(32) << 20 : UINT64_C(256) << 20;
    bench.timed_ns = bench.quick ? 100000000 : 700000000;

    snprintf(run_dir, sizeof run_dir, "%s/rill-bench-XXXXXX", parent);
    if (mkdtemp(run_dir) == NULL) die_os(parent);
    run_pid = getpid();
    atexit(remove_run_dir);

    print_machine(&bench);
    for (size_t i = 0; i < FAMILIES; i++) {
        if (!wanted(families[i].name, argc, argv)) continue;
        warm_memory(2 * bench.bytes);
        for (int r = 0; r < (bench.quick ? 1 : REPEATS); r++) families[i].run(&bench);
        print_figures();
    }
    return 0;
}
