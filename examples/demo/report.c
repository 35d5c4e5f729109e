/*
 * report.c - progress while it runs, the table at the end.
 *
 * On a terminal a bar that is drawn again and again; elsewhere a plain line at
 * every quarter.
 */
#include "demo.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void sleep_us(unsigned us)
{
    struct timespec time = {us / 1000000, (long)(us % 1000000) * 1000};

    nanosleep(&time, NULL);
}

/* 1234567 as 1,234,567. */
struct number {
    char text[32];
};

static struct number grouped(uint64_t value)
{
    struct number number;
    char digits[24];
    size_t size = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, value), out = 0;

    for (size_t i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) number.text[out++] = ',';
        number.text[out++] = digits[i];
    }
    number.text[out] = '\0';
    return number;
}

/* ---- While it runs ------------------------------------------------------ */

static bool bar_is_drawn;

static bool is_terminal(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

void report_event(const char *format, ...)
{
    va_list list;

    if (bar_is_drawn) fputs("\r\033[K", stdout);
    bar_is_drawn = false;
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    fflush(stdout);
}

void report_progress(const struct input *input, struct shared *shared, int life)
{
    static int64_t drawn_ns;
    static int quarters;
    uint64_t status = atomic_load(&shared->seen[STATUS]), all = atomic_load(&shared->seen[ALL]);
    uint64_t sent = atomic_load(&shared->acknowledged), least = status < all ? status : all;
    int percent = (int)(100 * least / input->line_count);

    if (!is_terminal()) {
        if (percent / 25 <= quarters) return;
        quarters = percent / 25;
    } else {
        int64_t now = now_ns();
        char bar[41];

        if (now - drawn_ns < 50000000) return;
        drawn_ns = now;
        for (int i = 0; i < 40; i++) bar[i] = i * 100 < percent * 40 ? '#' : '.';
        bar[40] = '\0';
        printf("\r\033[K[%s] %3d %%", bar, percent);
        bar_is_drawn = true;
    }
    printf("%s  life %d: acknowledged %s, status saw %s, all saw %s%s",
           is_terminal() ? "" : "progress", life + 1, grouped(sent).text, grouped(status).text,
           grouped(all).text, is_terminal() ? "" : "\n");
    fflush(stdout);
}

/* ---- At the end --------------------------------------------------------- */

static void row(const char *name, uint64_t records, size_t bytes, int64_t ns, int64_t repeated)
{
    double seconds = (double)ns / 1e9;

    printf("%-24s %12s %10.1f %9.2f %12s", name, grouped(records).text, (double)bytes / 1e6,
           seconds, grouped((uint64_t)((double)records / (seconds > 0 ? seconds : 1))).text);
    if (repeated >= 0) printf(" %16s", grouped((uint64_t)repeated).text);
    putchar('\n');
}

void report_table(const struct input *input, struct shared *shared,
                  const struct kill_report *kill, const struct result *result)
{
    int64_t first = kill->at_ns - atomic_load(&shared->started_ns[0]);
    int64_t second = atomic_load(&shared->started_ns[1]);
    size_t bytes = 0;

    for (size_t i = 0; i < input->line_count; i++) bytes += input->lines[i].size;
    printf("\n%-24s %12s %10s %9s %12s %16s\n", "", "records", "MB", "seconds", "records/s",
           "delivered twice");
    row("produced", input->line_count, bytes, first + atomic_load(&shared->produced_ns) - second,
        -1);
    for (int g = 0; g < GROUPS; g++) {
        char name[64];

        snprintf(name, sizeof name, "group %s (%d consumer%s)", groups[g].name,
                 groups[g].member_count, groups[g].member_count == 1 ? "" : "s");
        row(name, input->line_count, bytes, first + atomic_load(&shared->consumed_ns[g]) - second,
            (int64_t)(atomic_load(&shared->delivered[g]) - input->line_count));
    }
    printf("\n%-24s %12s %12s %12s %12s\n", "status", "group status", "group all", "direct count",
           "awk");
    for (size_t i = 0; i < result->direct.size; i++) {
        const struct counts *columns[] = {&result->rill[STATUS], &result->rill[ALL],
                                          &result->direct, &result->awk};

        printf("%-24s", result->direct.entries[i].status);
        for (int c = 0; c < 4; c++) {
            uint64_t count = 0;
            for (size_t k = 0; k < columns[c]->size; k++)
                if (strcmp(columns[c]->entries[k].status, result->direct.entries[i].status) == 0)
                    count = columns[c]->entries[k].count;
            printf(" %12s", grouped(count).text);
        }
        putchar('\n');
    }
}
