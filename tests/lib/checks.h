/*
 * checks.h - what a rill_check of the test's store "store" says.
 */
#ifndef RILL_CHECKS_H
#define RILL_CHECKS_H
#include "testing.h"
#include <rill.h>

struct found {
    int32_t kind;
    int32_t severity;
    int32_t partition;
    int64_t position;
    int64_t size;
    rill_offset first;
    rill_offset end;
    char topic[RILL_TOPIC_NAME_MAX + 1]; /* "": none */
    char file[300];
    char text[600];
};
enum { FOUND_MAX = 64 };
extern struct found found[FOUND_MAX]; /* by the last check, in its order */
extern int found_count;               /* may be more than that */
extern rill_check_report found_report;

/* Checks the store; every damage has a text and what repair would do. */
void check_store(void);
/* The same of any directory; what rill_check returned. */
int check_directory(const char *path, uint32_t flags);
/* Finds nothing at all. */
void check_is_clean(void);
/* The first that was found of that kind; the test fails if there is none. */
const struct found *check_found(int32_t kind);
/* For messages: all of it, in lines. */
const char *check_says(void);

#endif
