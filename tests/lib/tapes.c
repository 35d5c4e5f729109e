/* tapes.c - see tapes.h. */
#include "tapes.h"

int write_tape(void *arg, const void *data, size_t size)
{
    struct tape *tape = arg;

    if (tape->most != 0 && tape->size + size > tape->most) return tape->code;
    tape->data = realloc(tape->data, tape->size + size + 1);
    assert_non_null(tape->data);
    if (size != 0) memcpy(tape->data + tape->size, data, size);
    tape->size += size;
    return 0;
}

int read_tape(void *arg, void *data, size_t size, size_t *got)
{
    struct tape *tape = arg;
    size_t left = tape->size - tape->at;

    if (tape->most != 0 && tape->at + size > tape->most) return tape->code;
    *got = size < left ? size : left;
    if (tape->piece != 0 && *got > tape->piece) *got = tape->piece;
    if (*got != 0) memcpy(data, tape->data + tape->at, *got);
    tape->at += *got;
    return 0;
}

int import_from(rill *store, const char *topic, struct tape *tape)
{
    tape->at = 0;
    return rill_import(store, topic, NULL, read_tape, tape);
}

void rewind_tape(struct tape *tape)
{
    free(tape->data);
    memset(tape, 0, sizeof *tape);
}
