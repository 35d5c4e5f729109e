/*
 * os/pattern.h - POSIX extended regular expressions, as libc has them.
 */
#ifndef RILL_OS_PATTERN_H
#define RILL_OS_PATTERN_H
#include "base/error.h"
#include <regex.h>

struct regular {
    regex_t compiled;
};

/* RILL_ERR_INVALID with the reason. Deinit only what was compiled. */
int rill__regular_init(struct regular *regular, const char *expression);
void rill__regular_deinit(struct regular *regular);
bool rill__regular_matches(const struct regular *regular, const char *text);

#endif
