/*
 * catalogues.h - a catalogue in the test's directory, open, with nothing in it.
 */
#ifndef RILL_CATALOGUES_H
#define RILL_CATALOGUES_H
#include "meta/inner.h"
#include "testing.h"

extern struct heap heap;
extern struct meta *meta; /* in "meta"; NULL: the test has closed it */

#define WITH_CATALOGUE(test)                                                                     \
    cmocka_unit_test_setup_teardown(test, catalogue_set_up, catalogue_tear_down)
int catalogue_set_up(void **state);
/* Fails if some memory was not given back. */
int catalogue_tear_down(void **state);
void catalogue_reopen(void);

#endif
