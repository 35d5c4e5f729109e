/*
 * proof.c - see proof.h.
 */
#include "proof.h"
#include <inttypes.h>
#include <time.h>

static uint64_t seed;
static uint64_t violations;

uint64_t proof_seed(void)
{
    const char *given = getenv("SEED");
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (given != NULL) seed = strtoull(given, NULL, 0);
    else if (getenv("PROOF_SHARE") != NULL) seed = 1;
    else seed = (uint64_t)now.tv_sec;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

uint64_t proof_budget(uint64_t all, uint64_t share)
{
    const char *given = getenv("BUDGET");

    if (given != NULL) return strtoull(given, NULL, 0);
    return getenv("PROOF_SHARE") != NULL ? share : all;
}

void proof_violation(uint64_t which, const char *format, ...)
{
    va_list args;

    violations++;
    if (violations > 20) return; /* the first ones tell enough */
    printf("violation in case %" PRIu64 ": ", which);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

uint64_t proof_violations(void)
{
    return violations;
}

int proof_end(const char *name, uint64_t cases)
{
    printf("%s: %" PRIu64 " cases, %" PRIu64 " violations, seed %" PRIu64 "\n", name, cases,
           violations, seed);
    return violations == 0 ? 0 : 1;
}
