/*
 * tapes.h - a stream in memory, for rill_export and rill_import.
 */
#ifndef RILL_TEST_TAPES_H
#define RILL_TEST_TAPES_H
#include "testing.h"
#include <rill.h>

struct tape {
    uint8_t *data;
    size_t size;
    size_t at;    /* of the next read */
    size_t most;  /* of reads and writes that are done; 0: no limit */
    int code;     /* what the next one returns */
    size_t piece; /* the most that a read gives; 0: all */
    uint64_t kept;
    int keeps;
};

/* A rill_write_fn and a rill_read_fn. */
int write_tape(void *arg, const void *data, size_t size);
int read_tape(void *arg, void *data, size_t size, size_t *got);
int import_from(rill *store, const char *topic, struct tape *tape);
/* With nothing on it. */
void rewind_tape(struct tape *tape);

#endif
