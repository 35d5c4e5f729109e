/*
 * api/api.h - what the files of api/ share.
 */
#ifndef RILL_API_API_H
#define RILL_API_API_H
#include "engine/engine.h"

#define RILL__TEXT_(x) #x
#define RILL__TEXT(x) RILL__TEXT_(x)

int rill__missing(const char *function, const char *argument);

#endif
