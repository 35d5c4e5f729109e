/*
 * proof.h - what the harnesses in tests/proof have in common.
 *
 * A harness is a program of its own. It takes its SEED and its BUDGET, a count
 * of cases, from the environment, says what it found, and ends with one line,
 *
 *     NAME: N cases, N violations, seed S
 *
 * and with status 1 if there was a violation. The seed alone repeats a run.
 */
#ifndef RILL_PROOF_H
#define RILL_PROOF_H
#include "testing.h"

/* The seed: SEED, or one of the moment, or 1 where a share of the proof is a
 * test among others (PROOF_SHARE is set). */
uint64_t proof_seed(void);
/* The budget: BUDGET, or all of it, or only a share if PROOF_SHARE is set. */
uint64_t proof_budget(uint64_t all, uint64_t share);
/* For those who only kill processes: rill takes files in memory for files on a disk, so that
 * durable means something. */
void proof_as_on_disk(void);
/* The same, and TMPDIR is in memory, if there is some: to be durable costs nothing. */
void proof_in_memory(void);
/* Runs cases 1 to count, each in one of several processes, until `run` has returned
 * for all of them, or until there are too many violations (with PROOF_FIRST, one); the
 * sum of what it returned. A case that fails says why by itself and ends its process; it
 * is a violation. CASE=number runs that one only, here. The processes get a TMPDIR in
 * memory, if there is some. */
uint64_t proof_run(uint64_t count, uint64_t (*run)(uint64_t number));
/* Notes a violation, and the case (any number that helps) it came up in. */
void proof_violation(uint64_t which, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t proof_violations(void);
/* Prints the closing line; what main shall return. */
int proof_end(const char *name, uint64_t cases);

#endif
