/*
 * engine/offsets.h - committed offsets as text: lines of topic,partition,offset.
 */
#ifndef RILL_ENGINE_OFFSETS_H
#define RILL_ENGINE_OFFSETS_H
#include "base/heap.h"

struct offsets_csv {
    rill_position *positions; /* the names are in the same block; never NULL once read */
    size_t *lines;            /* on which line each is, from 1 */
    size_t count;
};

/* RILL_ERR_INVALID names the line and the column. */
int rill__offsets_csv_read(struct heap *heap, const char *text, size_t size,
                           struct offsets_csv *csv);
void rill__offsets_csv_free(struct heap *heap, struct offsets_csv *csv);

#endif
