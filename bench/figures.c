/*
 * figures.c - what was measured: kept over the rounds, printed as medians.
 *
 * Latencies are also counted in buckets, eight to an octave, over all rounds; they
 * come out as a comment line, for plots:
 *
 *     # histogram  workload  system  synced  NS:COUNT NS:COUNT ...
 *
 * with tabs between the fields, NS the lower end of a bucket in nanoseconds.
 */
#include "bench.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIGURES_MAX = 600, NAMES_MAX = 600, PER_OCTAVE = 8, BUCKETS = 64 * PER_OCTAVE };

static struct {
    const char *workload, *system, *unit, *synced;
    double values[ROUNDS_MAX];
    int count;
} figures[FIGURES_MAX];
static int figure_count;

static struct histogram {
    const char *workload, *system, *synced;
    uint64_t *counts; /* BUCKETS */
} histograms[FIGURES_MAX];
static int histogram_count;

void figure(const char *workload, const char *system, double value, const char *unit,
            const char *synced)
{
    int i = 0;

    while (i < figure_count &&
           !(strcmp(figures[i].workload, workload) == 0 &&
             strcmp(figures[i].system, system) == 0 && strcmp(figures[i].unit, unit) == 0))
        i++;
    if (i == figure_count) {
        if (figure_count == FIGURES_MAX) die("too many figures");
        figures[figure_count].workload = workload;
        figures[figure_count].system = system;
        figures[figure_count].unit = unit;
        figures[figure_count].synced = synced;
        figures[figure_count++].count = 0;
    }
    if (figures[i].count < ROUNDS_MAX) figures[i].values[figures[i].count++] = value;
}

const char *name(const char *format, ...)
{
    static char *names[NAMES_MAX];
    static size_t count;
    char text[500];
    va_list list;
    size_t i;
    int length;

    va_start(list, format);
    length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (length < 0 || length >= (int)sizeof text) die("a name is too long");
    for (i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0) return names[i];
    if (count == NAMES_MAX) die("too many names");
    names[count] = strdup(text);
    if (names[count] == NULL) die("out of memory");
    return names[count++];
}

/* ---- Latencies -------------------------------------------------------- */

static int bucket_of(int64_t ns)
{
    int octave;

    if (ns < PER_OCTAVE) return ns < 0 ? 0 : (int)ns;
    octave = 63 - __builtin_clzll((unsigned long long)ns); /* 3 or more */
    return (octave - 2) * PER_OCTAVE + (int)(ns >> (octave - 3)) % PER_OCTAVE;
}

static int64_t bucket_start(int bucket)
{
    int octave = bucket / PER_OCTAVE + 2;

    if (bucket < PER_OCTAVE) return bucket;
    return (int64_t)(PER_OCTAVE + bucket % PER_OCTAVE) << (octave - 3);
}

static struct histogram *histogram_of(const char *workload, const char *system,
                                      const char *synced)
{
    struct histogram *h;

    for (int i = 0; i < histogram_count; i++)
        if (strcmp(histograms[i].workload, workload) == 0 &&
            strcmp(histograms[i].system, system) == 0)
            return &histograms[i];
    if (histogram_count == FIGURES_MAX) die("too many histograms");
    h = &histograms[histogram_count++];
    *h = (struct histogram){workload, system, synced, calloc(BUCKETS, sizeof *h->counts)};
    if (h->counts == NULL) die("out of memory");
    return h;
}

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void figure_latencies(const char *workload, const char *system, int64_t *ns, size_t count,
                      const char *synced)
{
    struct histogram *h = histogram_of(workload, system, synced);

    if (count == 0) die("nothing was timed");
    for (size_t i = 0; i < count; i++) h->counts[bucket_of(ns[i])]++;
    qsort(ns, count, sizeof *ns, compare_ns);
    figure(workload, system, (double)ns[count / 2] / 1e3, "us p50", synced);
    figure(workload, system, (double)ns[count - 1 - count / 100] / 1e3, "us p99", synced);
    figure(workload, system, (double)ns[count - 1 - count / 1000] / 1e3, "us p99.9", synced);
    if (count >= 10000)
        figure(workload, system, (double)ns[count - 1 - count / 10000] / 1e3, "us p99.99",
               synced);
}

static void histograms_print(void)
{
    for (int i = 0; i < histogram_count; i++) {
        const struct histogram *h = &histograms[i];

        printf("# histogram\t%s\t%s\t%s\t", h->workload, h->system, h->synced);
        for (int b = 0; b < BUCKETS; b++)
            if (h->counts[b] != 0)
                printf("%" PRId64 ":%" PRIu64 " ", bucket_start(b), h->counts[b]);
        putchar('\n');
        free(h->counts);
    }
    histogram_count = 0;
}

/* ---- Printing --------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const char *number(double value, char text[32])
{
    snprintf(text, 32, "%.*f", value < 1 ? 3 : value < 10 ? 2 : value < 1000 ? 1 : 0, value);
    return text;
}

void figures_print(void)
{
    for (int i = 0; i < figure_count; i++) {
        double *values = figures[i].values;
        int count = figures[i].count;
        char median[32], least[32], most[32];

        qsort(values, (size_t)count, sizeof *values, compare_doubles);
        printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", figures[i].workload, figures[i].system,
               number(values[count / 2], median), figures[i].unit, figures[i].synced,
               number(values[0], least), number(values[count - 1], most));
    }
    histograms_print();
    figure_count = 0;
    fflush(stdout);
}
