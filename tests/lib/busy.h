/*
 * busy.h - another thread keeps the catalogue's lock, as one does that is in a long
 * commit, from busy_begin until busy_end.
 */
#ifndef RILL_TEST_BUSY_H
#define RILL_TEST_BUSY_H
#include "testing.h"
#include <rill.h>

void busy_begin(rill *store);
/* Does nothing if it is not. Any thread. */
void busy_end(void);
/* A thread of its own lets go after some ms; to be joined by busy_end. */
void busy_end_soon(void);

#endif
