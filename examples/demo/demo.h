/*
 * demo.h - what the parts of the demo share.
 *
 *     main.c      arguments, the two lives of the working process, the kill
 *     input.c     the input file as lines and keys, or a sample of an access log
 *     counts.c    a count per status, in memory and as the text of a commit
 *     work.c      one life: the store, the topic, the threads
 *     produce.c   a producer thread
 *     consume.c   a consumer thread, of either group
 *     check.c     afterwards: nothing missing, in order, and counted right
 *     report.c    progress while it runs, the table at the end
 *
 * The parent process never has the store open while a working process lives.
 * Working processes tell it how far they are through a piece of anonymous shared
 * memory (struct shared), which outlives the kill and decides nothing: what the
 * second life needs to know, it finds in the store.
 */
#ifndef DEMO_H
#define DEMO_H

#include <rill.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOPIC "lines"
#define PARTITIONS 4
#define PRODUCERS 2
#define PATIENCE_S 120 /* without any progress, something is wrong */

/* ---- Groups ----------------------------------------------------------- */

enum { STATUS, ALL, GROUPS };

struct group {
    const char *name;
    int member_count;
};
extern const struct group groups[GROUPS];

/* ---- Input ------------------------------------------------------------ */

struct line {
    const char *text; /* without the newline */
    size_t size;
    size_t key_start; /* the key is the first field, or empty */
    size_t key_size;
    uint32_t key; /* the same number for the same key, from 0 */
    int producer; /* which producer sends it: decided by the key */
};

struct input {
    char *text;
    size_t size;
    struct line *lines;
    size_t line_count;
    size_t key_count;
};

int input_load(const char *path, struct input *input);
void input_free(struct input *input);

/* Writes an access log of count lines, the same with the same seed. */
int sample_write(const char *path, size_t count, uint64_t seed);

/* ---- Counts ----------------------------------------------------------- */

/* The status of a line is its ninth field, the fields being separated by blanks
 * as awk does it: in Apache's combined format, what follows the quoted request. A
 * line whose ninth field is not three digits counts as "-". */
#define COUNTS_MAX 100

struct counts {
    size_t size;
    struct {
        char status[4];
        uint64_t count;
    } entries[COUNTS_MAX]; /* sorted by status */
};

/* These return false if there are more than COUNTS_MAX different ones. */
bool counts_add(struct counts *counts, const char *status, uint64_t count);
bool counts_add_line(struct counts *counts, const char *text, size_t size);

uint64_t counts_total(const struct counts *counts);
bool counts_equal(const struct counts *a, const struct counts *b);

/* As the metadata of a commit, "200=17 404=3"; decode returns false if text is
 * something else. */
void counts_encode(const struct counts *counts, char text[RILL_METADATA_MAX]);
bool counts_decode(struct counts *counts, const char *text);

/* ---- Shared between the parent and the working processes ---------------- */

struct shared {
    _Atomic int64_t started_ns[2]; /* by life: when the threads started */
    _Atomic int64_t produced_ns;   /* in the second life: when all was produced */
    _Atomic int64_t consumed_ns[GROUPS];
    _Atomic uint64_t sent;              /* given to rill_producer_send */
    _Atomic uint64_t acknowledged;      /* delivery reports of success */
    _Atomic uint64_t found;             /* by the second life, in the log */
    _Atomic uint64_t delivered[GROUPS]; /* records handed to consumers, repeats included */
    _Atomic uint64_t seen[GROUPS];      /* different lines among them */
    _Atomic uint8_t times[];            /* by group and line: how often it was delivered */
};

int64_t now_ns(void);
void sleep_us(unsigned us);

/* ---- One life --------------------------------------------------------- */

struct run {
    const struct input *input;
    struct shared *shared;
    int life; /* 0: to be killed; 1: to the end */

    rill *store;
    bool *in_log;              /* by line: an earlier life has produced it */
    _Atomic bool all_produced; /* every line is in the log */
    _Atomic bool failed;       /* some thread gave up; the others follow */
    _Atomic rill_offset committed[GROUPS][PARTITIONS];
};

struct worker {
    struct run *run;
    int group;  /* consumers only */
    int number; /* of the producer, or of the group's member, from 0 */
};

/* Prints what went wrong, with rill_errmsg(), and makes all threads stop. */
void run_failed(struct run *run, const char *who, const char *what);

/* Runs one life; returns the process's exit status. */
int work(const char *store_dir, const struct input *input, struct shared *shared, int life);

void *producer_main(void *worker);
void *consumer_main(void *worker);

/* The number that a record carries in its header "line"; false if none. */
bool record_line(const rill_record *record, size_t *line);
/* The record is line number line of the input, unchanged, under its key. */
bool record_is_line(const rill_record *record, const struct input *input, size_t line);

/* Reads the topic from its start to its end, alone, calling visit for each
 * record until that returns nonzero, which is then returned. */
int read_log(rill *store, int (*visit)(void *arg, const rill_record *record), void *arg);

/* ---- Afterwards --------------------------------------------------------- */

struct result {
    struct counts rill[GROUPS]; /* from the metadata of the last commits */
    struct counts direct;       /* counted in the input by code of its own */
    struct counts awk;          /* counted in the input by awk, sort and uniq */
};

/* Prints every complaint; returns 0 if there is none. */
int check(const char *store_dir, const char *input_path, const struct input *input,
          struct shared *shared, struct result *result);

struct kill_report {
    int64_t at_ns;
    uint64_t sent;
    uint64_t seen[GROUPS];
};

void report_progress(const struct input *input, struct shared *shared, int life);
void report_event(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_table(const struct input *input, struct shared *shared,
                  const struct kill_report *kill, const struct result *result);

#endif
