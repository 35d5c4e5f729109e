/*
 * reader.h - a second opinion on what a store holds: tests/proof/reader.py reads
 * its files without rill, and is compared with what rill says.
 *
 *     reader_ask(path)               before rill opens and repairs it
 *     rill_open
 *     reader_compare(store)          NULL: they agree
 *
 * One reader runs for the whole life of the process. Not for several threads.
 */
#ifndef RILL_TEST_READER_H
#define RILL_TEST_READER_H
#include "testing.h"
#include <rill.h>
#include <stdbool.h>

/* What the reader says of the store in a directory, until the next call: facts,
 * a line each. NULL: there is no python3, which it prints once. */
const char *reader_ask(const char *path);
/* What reader_ask said last against what an open store says. NULL: the same
 * facts, no damage, or there was no opinion. Else the difference, in words. */
const char *reader_compare(rill *store);

#endif
