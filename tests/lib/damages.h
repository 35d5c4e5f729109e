/*
 * damages.h - the files of a test's log checked and repaired, without a store; and
 * kept, to begin with the same ones again.
 */
#ifndef RILL_DAMAGES_H
#define RILL_DAMAGES_H
#include "logs.h"

enum { DAMAGES_MAX = 64, DAMAGES_STOP = 77 };

struct damages {
    int count; /* told by the last check, or repair */
    struct damage {
        int32_t kind;
        int32_t severity;
        int64_t position;
        int64_t size;
        int64_t first;
        int64_t end;
        char file[80];
        char text[420];
    } list[DAMAGES_MAX];
    int done_count; /* by the last repair */
    struct done {
        int32_t kind;
        int64_t first;
        int64_t end;
        uint64_t bytes_lost;
        char file[80];
        bool aside; /* it was put aside */
    } done[DAMAGES_MAX];
    uint64_t passed;
    int said; /* all of that, and how often it went on */
    struct log_census census;
};
extern struct damages damages;

/* What the next ones are like. */
extern struct damages_how {
    bool together; /* somebody may have it open */
    bool dry_run;
    int stop_at;  /* the n-th thing that is said is answered by DAMAGES_STOP; 0: none */
    int allocate; /* the n-th allocation fails; 0: none */
} damages_how;
extern int damages_allocations; /* so many there were */

/* Both give their memory back. */
int damages_check(struct test_log *t);
int damages_repair(struct test_log *t);
/* The first of that kind; the test fails if there is none. */
const struct damage *damages_find(int32_t kind);
/* One line each, for messages. */
const char *damages_say(void);

/* All files of the log, in memory; there is one such copy. */
void damages_keep(void);
void damages_restore(void);
/* Removes it, and what was put aside. */
void damages_forget(void);

#endif
