/*
 * counts.c - a count per status, in memory and as the text of a commit.
 */
#include "demo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool counts_add(struct counts *counts, const char *status, uint64_t count)
{
    size_t i = 0;

    while (i < counts->size && strcmp(counts->entries[i].status, status) < 0) i++;
    if (i == counts->size || strcmp(counts->entries[i].status, status) != 0) {
        if (counts->size == COUNTS_MAX || strlen(status) > 3) return false;
        memmove(&counts->entries[i + 1], &counts->entries[i],
                (counts->size - i) * sizeof counts->entries[0]);
        counts->size++;
        strcpy(counts->entries[i].status, status);
        counts->entries[i].count = 0;
    }
    counts->entries[i].count += count;
    return true;
}

/* Puts the status of a line into status: three digits or "-". */
static void status_of(const char *text, size_t size, char status[4])
{
    size_t at = 0, start = 0;

    for (int field = 1; field <= 9; field++) {
        while (at < size && (text[at] == ' ' || text[at] == '\t')) at++;
        start = at;
        while (at < size && text[at] != ' ' && text[at] != '\t') at++;
    }
    strcpy(status, "-");
    if (at - start != 3) return;
    for (size_t i = start; i < at; i++)
        if (text[i] < '0' || text[i] > '9') return;
    memcpy(status, text + start, 3);
    status[3] = '\0';
}

bool counts_add_line(struct counts *counts, const char *text, size_t size)
{
    char status[4];

    status_of(text, size, status);
    return counts_add(counts, status, 1);
}

uint64_t counts_total(const struct counts *counts)
{
    uint64_t total = 0;

    for (size_t i = 0; i < counts->size; i++) total += counts->entries[i].count;
    return total;
}

bool counts_equal(const struct counts *a, const struct counts *b)
{
    if (a->size != b->size) return false;
    for (size_t i = 0; i < a->size; i++)
        if (strcmp(a->entries[i].status, b->entries[i].status) != 0 ||
            a->entries[i].count != b->entries[i].count)
            return false;
    return true;
}

/* COUNTS_MAX entries of "200=18446744073709551615 " fit. */
_Static_assert(COUNTS_MAX * 25 < RILL_METADATA_MAX, "counts fit into a commit's metadata");

void counts_encode(const struct counts *counts, char text[RILL_METADATA_MAX])
{
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < counts->size; i++)
        at += (size_t)snprintf(text + at, RILL_METADATA_MAX - at, "%s%s=%" PRIu64,
                               i == 0 ? "" : " ", counts->entries[i].status,
                               counts->entries[i].count);
}

bool counts_decode(struct counts *counts, const char *text)
{
    counts->size = 0;
    while (*text != '\0') {
        char status[4] = "", *end;
        size_t size = strcspn(text, "=");
        uint64_t count;

        if (size == 0 || size > 3 || text[size] != '=') return false;
        memcpy(status, text, size);
        count = strtoull(text + size + 1, &end, 10);
        if (end == text + size + 1 || !counts_add(counts, status, count)) return false;
        if (*end != '\0' && *end++ != ' ') return false;
        text = end;
    }
    return true;
}
