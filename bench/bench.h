/*
 * bench.h - what the families of measurements share.
 *
 * A family measures one thing, for rill, for the limits beside it and for its peers,
 * once per call; main.c calls it several times, so that what is compared takes turns,
 * and prints the median of each figure, the least and the most. Every figure says
 * what was synced while it was measured:
 *
 *     no          nothing
 *     background  nothing that the measured call waits for; the store's thread
 *                 syncs what is written, every second
 *     each        every call waits for a sync of its own or one that it shares
 */
#ifndef BENCH_H
#define BENCH_H

#include <rill.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NO "no"
#define BACKGROUND "background"
#define EACH "each"

#define TOPIC "bench"
#define KEY_SIZE 8
#define VALUE_MAX 1000
#define BATCH 100
#define RECORDS_MAX 1000 /* in one call */
#define ROUNDS_MAX 9

struct bench {
    const char *dir;  /* of this run, removed at the end */
    bool quick;       /* smaller amounts, fewer variants */
    bool peers;       /* measure other systems, too */
    uint64_t bytes;   /* the most that an append or a replay moves */
    int64_t timed_ns; /* how long a family of its own pace runs */
};

typedef void family_fn(const struct bench *bench);
family_fn bench_append, bench_prepared, bench_sustained, bench_producers, bench_replay,
    bench_together, bench_fanout, bench_handoff, bench_durable, bench_lookup, bench_commit,
    bench_reopen, bench_rebalance, bench_compress, bench_exactly, bench_compact, bench_recycle,
    bench_many, bench_tuning;

/* One figure of one round. The strings must stay valid or be formatted by
 * name(), which keeps each different one. */
void figure(const char *workload, const char *system, double value, const char *unit,
            const char *synced);
const char *name(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* p50, p99, p99.9 and, where there are enough, p99.99 of latencies in ns, as
 * microseconds; and a histogram over all rounds. Sorts them. */
void figure_latencies(const char *workload, const char *system, int64_t *ns, size_t count,
                      const char *synced);

/* Prints what was measured since the last call: medians over the rounds. */
void figures_print(void);

/* ---- The machine ------------------------------------------------------ */

int64_t now_ns(void);
void cpu_pause(void);
uint64_t next_random(uint64_t *state);
uint64_t checksum(const void *data, size_t size); /* XXH3, as the library uses it */
void warm_memory(uint64_t bytes);                 /* so that fresh pages cost what they cost */
void *allocate(size_t size);                      /* zeroed, from the heap */
void *shared_memory(size_t size);                 /* zeroed, shared with children */
void shared_memory_free(void *memory, size_t size);

/* A file of zeros under bench->dir, mapped, every page touched if hot. */
void *file_map(const struct bench *bench, const char *file, size_t size, bool hot);
void file_unmap(const struct bench *bench, const char *file, void *map, size_t size);
int file_open(const struct bench *bench, const char *file, size_t size);
void file_remove(const struct bench *bench, const char *file);

/* Ends the program: with rill_errmsg(), or with what errno says. */
_Noreturn void die_rill(const char *what);
_Noreturn void die_os(const char *what);
_Noreturn void die(const char *what);

/* ---- rill ------------------------------------------------------------- */

/* A store named file under bench->dir, with a thread of its own. The first
 * opening makes it, and a topic of one partition. */
rill *store_open(const struct bench *bench, const char *file, bool create);
void store_close(rill *store);
void store_remove(const struct bench *bench, const char *file);

rill_producer *producer_open(rill *store, int32_t acks);
void producer_close(rill_producer *producer);
rill_consumer *consumer_at_start(rill *store, const rill_consumer_options *options);

/* Records of 8-byte keys and values of value_size bytes, which follow their keys in
 * memory; BATCH different ones, again and again. */
void records_fill(rill_record *records, size_t count, size_t value_size);
/* The record of a value whose key lies before it. */
rill_record record_at(char *value, size_t value_size);
/* Calls put(arg, value) count times at a fixed pace, each time with a value of VALUE_MAX
 * bytes behind its key, and in its first 8 the time at which it was due, whether or not
 * that was kept: so who is held up pays for all that had to wait behind. */
void pace(size_t count, int64_t gap_ns, void (*put)(void *arg, char *value), void *arg);
/* Appends these BATCH records so often, and notes what each call takes. */
void append_timed(rill_producer *producer, const rill_record *records, uint64_t batches,
                  int64_t *latencies);
/* Appends count records in batches of BATCH. */
void log_fill(rill *store, uint64_t count, size_t value_size);

/* ---- Another thread or process ------------------------------------------ */

struct worker;
struct worker *worker_start(bool process, void (*function)(void *arg), void *arg);
void worker_kill(struct worker *worker); /* a process only; frees it */
void worker_join(struct worker *worker); /* ends the program if it failed; frees it */

#endif
