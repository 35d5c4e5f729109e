/*
 * units.c - sizes, durations and points in time, in and out.
 *
 * What is read must be read to its end: "10x" is nothing. Sizes are powers of
 * 1024 with K, M, G, T and KiB .. TiB, powers of 1000 with kB .. TB. A duration
 * needs its unit, because 10 may be anything; only 0 does without.
 */
#include "tool.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- In -------------------------------------------------------------------- */

bool read_number(const char *text, int64_t *number)
{
    char *end;
    long long value;

    if (isspace((unsigned char)text[0]) || text[0] == 0) return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0 || *end != 0) return false;
    *number = value;
    return true;
}

/* A number such as 12 or 1.5 at *text, which moves behind it. */
static bool read_decimal(const char **text, double *value)
{
    size_t digits = strspn(*text, "0123456789.");
    char *end;

    if (digits == 0 || (*text)[0] == '.') return false;
    *value = strtod(*text, &end);
    if (end != *text + digits) return false;
    *text = end;
    return true;
}

struct unit {
    const char *name;
    double factor;
};

static const struct unit *unit_find(const struct unit *units, const char *name, size_t size)
{
    for (; units->name != NULL; units++)
        if (strlen(units->name) == size && strncmp(units->name, name, size) == 0) return units;
    return NULL;
}

bool read_size(const char *text, int64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},          {"B", 1},          {"K", 1024},         {"KiB", 1024}, {"M", 1048576},
        {"MiB", 1048576}, {"G", 1073741824}, {"GiB", 1073741824}, {"T", 0x1p40}, {"TiB", 0x1p40},
        {"kB", 1e3},      {"KB", 1e3},       {"MB", 1e6},         {"GB", 1e9},   {"TB", 1e12},
        {"k", 1024},      {NULL, 0},
    };
    const struct unit *unit;
    double value;

    if (!read_decimal(&text, &value)) return false;
    unit = unit_find(units, text, strlen(text));
    if (unit == NULL || value * unit->factor >= 0x1p62) return false;
    *bytes = (int64_t)(value * unit->factor + 0.5);
    return true;
}

bool read_duration(const char *text, int64_t *ms)
{
    static const struct unit units[] = {
        {"ms", 1},       {"s", 1000},      {"m", 60000},         {"min", 60000}, {"h", 3600000},
        {"d", 86400000}, {"w", 604800000}, {"y", 31557600000.0}, {NULL, 0},
    };
    double total = 0;

    if (strcmp(text, "0") == 0) {
        *ms = 0;
        return true;
    }
    do {
        const struct unit *unit;
        double value;
        size_t letters;

        if (!read_decimal(&text, &value)) return false;
        letters = strspn(text, "abcdefghijklmnopqrstuvwxyz");
        unit = unit_find(units, text, letters);
        if (unit == NULL) return false;
        total += value * unit->factor;
        text += letters;
    } while (*text != 0);
    if (total >= 0x1p62) return false;
    *ms = (int64_t)(total + 0.5);
    return true;
}

bool read_ratio(const char *text, double *ratio)
{
    double value;

    if (!read_decimal(&text, &value)) return false;
    if (strcmp(text, "%") == 0) value /= 100;
    else if (*text != 0) return false;
    if (value <= 0 || value > 1) return false;
    *ratio = value;
    return true;
}

/* .5 or nothing, as ms; *text moves behind it. */
static bool read_fraction(const char **text, int64_t *ms)
{
    int64_t place = 100;

    *ms = 0;
    if (**text != '.') return true;
    for (++*text; isdigit((unsigned char)**text); ++*text, place /= 10)
        *ms += (**text - '0') * place;
    return isdigit((unsigned char)(*text)[-1]);
}

/* Z, +01:00, +0100 or nothing (local), at the end of text. */
static bool read_zone(const char *text, bool *local, int *seconds)
{
    int hours, minutes, size = 0;

    *local = *text == 0;
    *seconds = 0;
    if (*text == 0 || strcmp(text, "Z") == 0) return true;
    if (*text != '+' && *text != '-') return false;
    if (sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &size) != 2 &&
        sscanf(text + 1, "%2d%2d%n", &hours, &minutes, &size) != 2)
        return false;
    if (text[1 + size] != 0 || hours < 0 || hours > 14 || minutes < 0 || minutes > 59)
        return false;
    *seconds = (hours * 60 + minutes) * (*text == '-' ? -60 : 60);
    return true;
}

static bool read_date(const char *text, int64_t *ms)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
                                          "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i], &tm);
        int64_t fraction = 0;
        bool local;
        int zone;
        time_t seconds;

        if (end == NULL || (i < 2 && !read_fraction(&end, &fraction))) continue;
        if (!read_zone(end, &local, &zone)) continue;
        seconds = local ? mktime(&tm) : timegm(&tm) - zone;
        *ms = (int64_t)seconds * 1000 + fraction;
        return true;
    }
    return false;
}

/* now, -1h30m (ago), @SECONDS.FRACTION, or a date with or without time and zone. */
bool read_time(const char *text, int64_t *ms)
{
    int64_t value;

    if (strcmp(text, "now") == 0) {
        *ms = now_ms();
        return true;
    }
    if (text[0] == '-') {
        if (!read_duration(text + 1, &value)) return false;
        *ms = now_ms() - value;
        return true;
    }
    if (text[0] == '@') {
        char *end;
        int64_t fraction;
        long long seconds;
        const char *rest;

        if (!isdigit((unsigned char)text[1])) return false;
        errno = 0;
        seconds = strtoll(text + 1, &end, 10);
        rest = end;
        if (errno != 0 || !read_fraction(&rest, &fraction) || *rest != 0 ||
            seconds > INT64_MAX / 1000 - 1)
            return false;
        *ms = seconds * 1000 + fraction;
        return true;
    }
    return read_date(text, ms);
}

bool read_position(const char *text, rill_position *position)
{
    const char *colon = strchr(text, ':');
    size_t size = colon != NULL ? (size_t)(colon - text) : strlen(text);
    char *topic;
    int64_t number;

    *position = (rill_position){
        .partition = RILL_PARTITION_ANY, .leader_epoch = -1, .offset = RILL_OFFSET_NONE};
    if (size == 0) return false;
    if (colon != NULL) {
        char digits[24];
        const char *second = strchr(colon + 1, ':');
        size_t length = second != NULL ? (size_t)(second - colon - 1) : strlen(colon + 1);

        if (length >= sizeof digits) return false;
        memcpy(digits, colon + 1, length);
        digits[length] = 0;
        if (!read_number(digits, &number) || number < 0 || number > INT32_MAX) return false;
        position->partition = (int32_t)number;
        if (second != NULL) {
            if (strcmp(second + 1, "earliest") == 0) number = RILL_OFFSET_EARLIEST;
            else if (strcmp(second + 1, "latest") == 0) number = RILL_OFFSET_LATEST;
            else if (!read_number(second + 1, &number) || number < 0) return false;
            position->offset = number;
        }
    }
    topic = must_alloc(size + 1);
    memcpy(topic, text, size);
    position->topic = topic;
    return true;
}

/* N, or N-M. */
static bool read_range(const char *text, unsigned *first, unsigned *last)
{
    int size = 0;

    if (sscanf(text, "%5u%n", first, &size) != 1 || strspn(text, "0123456789-") != strlen(text))
        return false;
    *last = *first;
    if (text[size] == 0) return true;
    text += size;
    return sscanf(text, "-%5u%n", last, &size) == 1 && text[size] == 0 && *first <= *last;
}

bool partitions_have(const struct texts *texts, uint32_t partition)
{
    unsigned first = 0, last = 0;

    for (size_t i = 0; i < texts->count; i++) {
        read_range(texts->items[i], &first, &last);
        if (partition >= first && partition <= last) return true;
    }
    return texts->count == 0;
}

int partitions_check(const struct texts *texts, const rill_topic_info *topic)
{
    unsigned first, last;

    for (size_t i = 0; i < texts->count; i++) {
        const char *text = texts->items[i];

        if (!read_range(text, &first, &last))
            return usage("--partition=%s: a number, or two as in 0-3, is expected", text);
        if (last >= topic->options.partition_count)
            return fail(NOT_FOUND, "topic %s has partitions 0 to %u, not %s", topic->name,
                        topic->options.partition_count - 1, text);
    }
    return DONE;
}

/* ---- Out ------------------------------------------------------------------- */

/* One of some buffers, in turns. */
static char *text_buffer(size_t *size)
{
    static char buffers[32][48];
    static unsigned next;

    *size = sizeof buffers[0];
    return buffers[next++ % 32];
}

const char *size_text(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t size, unit = 0;
    char *text = text_buffer(&size);
    double value = (double)bytes / 1024;

    if (bytes < 1024) {
        snprintf(text, size, "%u B", (unsigned)bytes);
        return text;
    }
    for (; value >= 1023.95 && unit < 5; value /= 1024) unit++;
    snprintf(text, size, value < 10 && value != (double)(int)value ? "%.1f %s" : "%.0f %s", value,
             units[unit]);
    return text;
}

const char *count_text(int64_t count)
{
    size_t size;
    char *text = text_buffer(&size), digits[24];
    const char *from = digits;
    char *to = text;
    size_t left;

    snprintf(digits, sizeof digits, "%" PRId64, count);
    if (*from == '-') *to++ = *from++;
    for (left = strlen(from); left > 0; left--) {
        *to++ = *from++;
        if (left > 1 && left % 3 == 1) *to++ = ',';
    }
    *to = 0;
    return text;
}

const char *counted(int64_t count, const char *thing)
{
    size_t size;
    char *text = text_buffer(&size);

    snprintf(text, size, "%s %s%s", count_text(count), thing, count == 1 ? "" : "s");
    return text;
}

/* Four characters or so: 0, 0.4, 12, 950, 1.2k, 85k, 3.4M. */
const char *rate_text(double per_second)
{
    static const char units[] = " kMGTP";
    size_t size, unit = 0;
    char *text = text_buffer(&size);
    double value = per_second;

    for (; value >= 999.5 && unit < 5; value /= 1000) unit++;
    if (unit == 0) snprintf(text, size, value > 0 && value < 9.95 ? "%.1f" : "%.0f", value);
    else snprintf(text, size, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return text;
}

const char *duration_text(int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}};
    size_t size;
    char *text = text_buffer(&size);

    if (ms < 0) return "-";
    for (size_t i = 0; i < 4; i++) {
        int64_t next;

        if (ms < units[i].ms) continue;
        if (i == 3) {
            if (ms < 10000 && ms % 1000 != 0) snprintf(text, size, "%.1fs", (double)ms / 1000);
            else snprintf(text, size, "%" PRId64 "s", ms / 1000);
            return text;
        }
        next = ms % units[i].ms / units[i + 1].ms;
        if (next == 0) snprintf(text, size, "%" PRId64 "%s", ms / units[i].ms, units[i].name);
        else
            snprintf(text, size, "%" PRId64 "%s%" PRId64 "%s", ms / units[i].ms, units[i].name,
                     next, units[i + 1].name);
        return text;
    }
    snprintf(text, size, "%" PRId64 "ms", ms);
    return text;
}

const char *time_text(int64_t ms)
{
    size_t size;
    char *text = text_buffer(&size);
    time_t seconds = (time_t)(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
    struct tm tm;

    if (localtime_r(&seconds, &tm) == NULL || strftime(text, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(text, size, "%" PRId64, ms);
    return text;
}

const char *time_iso_text(int64_t ms)
{
    size_t size, used;
    char *text = text_buffer(&size);
    time_t seconds = (time_t)(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        (used = strftime(text, size - 8, "%Y-%m-%dT%H:%M:%S", &tm)) == 0)
        snprintf(text, size, "%" PRId64, ms);
    else snprintf(text + used, size - used, ".%03dZ", (int)(ms - (int64_t)seconds * 1000));
    return text;
}

const char *offset_text(rill_offset offset)
{
    return offset == RILL_OFFSET_NONE ? "-" : count_text(offset);
}

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t steady_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
