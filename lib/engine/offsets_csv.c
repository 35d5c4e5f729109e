/*
 * engine/offsets_csv.c - committed offsets as text, as Kafka's tool for consumer
 * groups reads and writes them.
 *
 *     text  = { line "\n" }            the last "\n" may be missing; "\r\n" too
 *     line  = topic "," partition "," offset | nothing
 *     field = text | '"' text '"'      with blanks around it
 *
 * Kafka's tool puts long names between quotes. No topic's name has a quote or a
 * comma in it, so nothing inside of quotes needs an escape.
 */
#include "engine/offsets.h"
#include "base/error.h"
#include "engine/store.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS = 3 };

static const char *const field_names[FIELDS] = {"topic", "partition", "offset"};

struct field {
    const char *text;
    size_t size;
};

struct csv_line {
    const char *begin;
    const char *end;
    size_t number;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

__attribute__((format(printf, 3, 4))) static int bad_line(const struct csv_line *line,
                                                          const char *at, const char *format, ...)
{
    char why[300];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return rill__fail(RILL_ERR_INVALID, "line %zu, column %zu: %s", line->number,
                      (size_t)(at - line->begin) + 1, why);
}

/* From *at on; *at is then at the comma or at the end of the line. */
static int read_field(const struct csv_line *line, const char **at, struct field *field)
{
    const char *p = *at;
    const char *stop;

    while (p < line->end && is_blank(*p)) p++;
    if (p < line->end && *p == '"') {
        stop = memchr(p + 1, '"', (size_t)(line->end - p - 1));
        if (stop == NULL) return bad_line(line, p, "a quote that does not end");
        *field = (struct field){p + 1, (size_t)(stop - p - 1)};
        for (p = stop + 1; p < line->end && is_blank(*p);) p++;
        if (p < line->end && *p != ',')
            return bad_line(line, p, "a comma is missing behind the quote");
        *at = p;
        return 0;
    }
    stop = memchr(p, ',', (size_t)(line->end - p));
    *at = stop == NULL ? line->end : stop;
    for (stop = *at; stop > p && is_blank(stop[-1]);) stop--;
    *field = (struct field){p, (size_t)(stop - p)};
    return 0;
}

static int read_number(const struct csv_line *line, const struct field *field, const char *name,
                       int64_t most, int64_t *number)
{
    int64_t n = 0;

    if (field->size == 0) return bad_line(line, field->text, "no %s", name);
    for (size_t i = 0; i < field->size; i++) {
        int digit = field->text[i] - '0';
        if (digit < 0 || digit > 9)
            return bad_line(line, field->text + i, "a byte %#x in the %s, which is a number",
                            (unsigned)(unsigned char)field->text[i], name);
        if (n > (most - digit) / 10)
            return bad_line(line, field->text, "the %s is too big", name);
        n = n * 10 + digit;
    }
    *number = n;
    return 0;
}

/* A topic's name goes to *names. */
static int read_topic_name(const struct csv_line *line, const struct field *field, char **names)
{
    int rc;

    if (field->size == 0) return bad_line(line, field->text, "no topic");
    if (memchr(field->text, '\0', field->size) != NULL)
        return bad_line(line, field->text, "a zero byte in the topic's name");
    memcpy(*names, field->text, field->size);
    (*names)[field->size] = '\0';
    rc = rill__check_name("topic", *names);
    if (rc != 0)
        return rill__fail_prefix(rc, "line %zu, column %zu", line->number,
                                 (size_t)(field->text - line->begin) + 1);
    *names += field->size + 1;
    return 0;
}

static int read_line(const struct csv_line *line, rill_position *position, char **names)
{
    struct field fields[FIELDS];
    const char *at = line->begin;
    int64_t partition = 0;
    int64_t offset = 0;
    int rc;

    for (int i = 0; i < FIELDS; i++) {
        if (i > 0 && at == line->end)
            return bad_line(line, at, "no %s; a line is topic,partition,offset", field_names[i]);
        if (i > 0) at++; /* the comma */
        rc = read_field(line, &at, &fields[i]);
        if (rc != 0) return rc;
    }
    if (at != line->end)
        return bad_line(line, at, "more than three fields; a line is topic,partition,offset");
    position->topic = *names;
    rc = read_topic_name(line, &fields[0], names);
    if (rc == 0) rc = read_number(line, &fields[1], "partition", INT32_MAX, &partition);
    if (rc == 0) rc = read_number(line, &fields[2], "offset", INT64_MAX, &offset);
    if (rc != 0) return rc;
    position->partition = (int32_t)partition;
    position->leader_epoch = -1;
    position->offset = offset;
    return 0;
}

static bool is_empty(const struct csv_line *line)
{
    for (const char *p = line->begin; p < line->end; p++)
        if (!is_blank(*p)) return false;
    return true;
}

int rill__offsets_csv_read(struct heap *heap, const char *text, size_t size,
                           struct offsets_csv *csv)
{
    const char *end = text + size;
    struct csv_line line = {.begin = text};
    size_t lines = 1;
    char *names;
    int rc = 0;

    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    csv->positions = rill__alloc(heap, lines * sizeof *csv->positions + size + lines);
    csv->lines = rill__alloc(heap, lines * sizeof *csv->lines);
    if (csv->positions == NULL || csv->lines == NULL) rc = RILL_ERR_NO_MEMORY;
    names = (char *)(csv->positions + lines);
    for (line.number = 1; rc == 0 && line.begin < end; line.number++) {
        line.end = memchr(line.begin, '\n', (size_t)(end - line.begin));
        if (line.end == NULL) line.end = end;
        if (!is_empty(&line)) {
            csv->lines[csv->count] = line.number;
            rc = read_line(&line, &csv->positions[csv->count++], &names);
        }
        line.begin = line.end + 1;
    }
    if (rc != 0) rill__offsets_csv_free(heap, csv);
    return rc;
}

void rill__offsets_csv_free(struct heap *heap, struct offsets_csv *csv)
{
    rill__free(heap, csv->positions);
    rill__free(heap, csv->lines);
    *csv = (struct offsets_csv){0};
}

/* ---- Writing ---------------------------------------------------------- */

struct exporting {
    int (*visit)(void *arg, const char *line);
    void *arg;
};

static int write_line(void *arg, const rill_group_offset *offset)
{
    const struct exporting *e = arg;
    char line[RILL_TOPIC_NAME_MAX + 40];

    snprintf(line, sizeof line, "%s,%d,%lld", offset->topic, (int)offset->partition,
             (long long)offset->offset);
    return e->visit(e->arg, line);
}

int rill__group_export(struct store *store, const char *group,
                       int (*visit)(void *arg, const char *line), void *arg)
{
    struct exporting e = {visit, arg};
    return rill__group_offsets(store, group, write_line, &e);
}
