/*
 * check.c - afterwards: nothing missing, in order, and counted right.
 *
 * The log is read once more, alone. The counts of the groups come from the
 * metadata of their last commits, and are compared with two other counts of the
 * input file: one by a little state machine that shares no code with the
 * consumers, and one by awk, sort and uniq.
 */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complaints;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
    va_list list;

    if (++complaints > 10) return; /* the first ones tell enough */
    va_start(list, format);
    fputs("demo: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

/* ---- The log ---------------------------------------------------------- */

struct reading {
    const struct input *input;
    bool *seen;         /* by line */
    int64_t *last_line; /* by key */
    int32_t *partition; /* by key, -1 = not known yet */
};

static int visit(void *arg, const rill_record *record)
{
    struct reading *reading = arg;
    size_t line;
    uint32_t key;

    if (!record_line(record, &line) || line >= reading->input->line_count ||
        !record_is_line(record, reading->input, line)) {
        complain("%s/%" PRId32 " at %" PRId64 " is not a line of the input", record->topic,
                 record->partition, record->offset);
        return 0;
    }
    key = reading->input->lines[line].key;
    if (reading->seen[line]) complain("line %zu is in the log twice", line + 1);
    if ((int64_t)line < reading->last_line[key])
        complain("line %zu comes after line %" PRId64 " of the same key", line + 1,
                 reading->last_line[key] + 1);
    if (reading->partition[key] != -1 && reading->partition[key] != record->partition)
        complain("line %zu is in another partition than its key", line + 1);
    reading->seen[line] = true;
    reading->last_line[key] = (int64_t)line;
    reading->partition[key] = record->partition;
    return 0;
}

static void check_log(rill *store, const struct input *input)
{
    struct reading reading = {.input = input};

    reading.seen = calloc(input->line_count, sizeof *reading.seen);
    reading.last_line = calloc(input->key_count, sizeof *reading.last_line);
    reading.partition = calloc(input->key_count, sizeof *reading.partition);
    if (reading.seen == NULL || reading.last_line == NULL || reading.partition == NULL) {
        complain("out of memory");
        goto out;
    }
    for (size_t i = 0; i < input->key_count; i++)
        reading.last_line[i] = reading.partition[i] = -1;
    if (read_log(store, visit, &reading) != 0) complain("cannot read the log: %s", rill_errmsg());
    for (size_t i = 0; i < input->line_count; i++)
        if (!reading.seen[i]) complain("line %zu is not in the log", i + 1);
out:
    free(reading.seen);
    free(reading.last_line);
    free(reading.partition);
}

/* ---- What the groups have committed ------------------------------------- */

static void check_group(rill *store, int group, const struct input *input, struct counts *counts)
{
    rill_consumer_options options = {.size = sizeof options, .group = groups[group].name};
    rill_consumer *consumer;
    rill_offset sum = 0;

    counts->size = 0;
    if (rill_consumer_open(store, &options, &consumer) != 0) {
        complain("group %s: %s", groups[group].name, rill_errmsg());
        return;
    }
    for (int32_t p = 0; p < PARTITIONS; p++) {
        char text[RILL_METADATA_MAX];
        struct counts part;
        rill_position position;

        if (rill_consumer_committed(consumer, TOPIC, p, &position, text, sizeof text) != 0) {
            complain("group %s: %s", groups[group].name, rill_errmsg());
            continue;
        }
        if (position.offset == RILL_OFFSET_NONE) continue; /* no key fell into it */
        sum += position.offset;
        if (!counts_decode(&part, text))
            complain("group %s: metadata %s", groups[group].name, text);
        for (size_t i = 0; i < part.size; i++)
            if (!counts_add(counts, part.entries[i].status, part.entries[i].count))
                complain("group %s: one status too many", groups[group].name);
    }
    if (sum != (rill_offset)input->line_count)
        complain("group %s has committed %" PRId64 " of %zu records", groups[group].name, sum,
                 input->line_count);
    rill_consumer_close(consumer, 1000);
}

static void check_deliveries(const struct input *input, struct shared *shared)
{
    for (int g = 0; g < GROUPS; g++)
        for (size_t i = 0; i < input->line_count; i++)
            if (atomic_load(&shared->times[(size_t)g * input->line_count + i]) == 0)
                complain("group %s never got line %zu", groups[g].name, i + 1);
}

/* ---- Counting the input in two other ways -------------------------------- */

/* One pass over all bytes: the number of the field, its length so far, and whether
 * it is all digits. */
static void count_directly(const struct input *input, struct counts *counts)
{
    char status[4] = "";
    int field = 0, length = 0;
    bool inside = false, good = true;

    counts->size = 0;
    for (size_t i = 0; i <= input->size; i++) {
        char c = i < input->size ? input->text[i] : '\n';

        if (i == input->size && (input->size == 0 || input->text[i - 1] == '\n')) break;
        if (c == '\n') {
            status[3] = '\0';
            if (!counts_add(counts, length == 3 && good ? status : "-", 1))
                complain("the input has more than %d different statuses", COUNTS_MAX);
            field = length = 0;
            inside = false;
            good = true;
        } else if (c == ' ' || c == '\t') {
            inside = false;
        } else {
            if (!inside) field++;
            inside = true;
            if (field != 9) continue;
            if (c < '0' || c > '9') good = false;
            if (length < 3) status[length] = c;
            length++;
        }
    }
}

static void count_with_awk(const char *path, struct counts *counts)
{
    FILE *pipe;
    char status[8];
    uint64_t count;

    counts->size = 0;
    /* The path goes in through the environment: it may hold any character. */
    if (setenv("RILL_DEMO_INPUT", path, 1) != 0) return;
    pipe = popen("LC_ALL=C awk '{ print $9 ~ /^[0-9][0-9][0-9]$/ ? $9 : \"-\" }' "
                 "<\"$RILL_DEMO_INPUT\" | LC_ALL=C sort | uniq -c",
                 "r");
    if (pipe == NULL) {
        complain("cannot run awk: %s", strerror(errno));
        return;
    }
    while (fscanf(pipe, "%" SCNu64 " %7s", &count, status) == 2)
        if (!counts_add(counts, status, count)) complain("awk found %s", status);
    if (pclose(pipe) != 0) complain("awk failed");
}

static void compare(const struct counts *mine, const char *name, const struct counts *other,
                    const char *other_name)
{
    if (!counts_equal(mine, other)) complain("%s and %s count differently", name, other_name);
}

int check(const char *store_dir, const char *input_path, const struct input *input,
          struct shared *shared, struct result *result)
{
    rill *store;

    memset(result, 0, sizeof *result);
    if (rill_open(store_dir, NULL, &store) != 0) {
        complain("open %s: %s", store_dir, rill_errmsg());
        return 1;
    }
    check_log(store, input);
    for (int g = 0; g < GROUPS; g++) check_group(store, g, input, &result->rill[g]);
    if (rill_close(store) != 0) complain("close %s: %s", store_dir, rill_errmsg());
    check_deliveries(input, shared);

    count_directly(input, &result->direct);
    count_with_awk(input_path, &result->awk);
    compare(&result->rill[STATUS], "group status", &result->direct, "the direct count");
    compare(&result->rill[ALL], "group all", &result->direct, "the direct count");
    compare(&result->rill[STATUS], "group status", &result->awk, "awk");
    if (complaints > 10) fprintf(stderr, "demo: and %d more complaints\n", complaints - 10);
    return complaints != 0;
}
