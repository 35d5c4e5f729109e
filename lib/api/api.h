/*
 * api/api.h - what the files of api/ share.
 */
#ifndef RILL_API_API_H
#define RILL_API_API_H
#include "engine/engine.h"

#define RILL__TEXT_(x) #x
#define RILL__TEXT(x) RILL__TEXT_(x)

int rill__missing(const char *function, const char *argument);
/* RILL_ERR_INVALID unless both are there, RILL_ERR_FORKED. what: the name of the
 * second one. */
int rill__store_check(const char *function, const rill *store, const char *what,
                      const void *argument);

#endif
