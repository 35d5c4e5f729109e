/*
 * base/checksum.h - XXH3-64, by the widest vector unit this machine has.
 *
 * It finds accidents, not tampering.
 */
#ifndef RILL_BASE_CHECKSUM_H
#define RILL_BASE_CHECKSUM_H
#include <stddef.h>
#include <stdint.h>

uint64_t rill__checksum(const void *data, size_t size);

/* XXH3-128: so wide that different data are not expected to have the same one,
 * in all the logs there are. */
struct hash128 {
    uint64_t low;
    uint64_t high;
};
struct hash128 rill__hash128(const void *data, size_t size, uint64_t seed);

/* One 64-bit avalanche: every input bit changes about half of the result. */
static inline uint64_t rill__mix64(uint64_t v)
{
    v ^= v >> 37;
    v *= UINT64_C(0x165667919E3779F9);
    v ^= v >> 32;
    return v;
}

/* Its inverse. */
static inline uint64_t rill__unmix64(uint64_t v)
{
    v ^= v >> 32;
    v *= UINT64_C(0x08DA8EE41D6DF849);
    v ^= v >> 37;
    return v;
}

#endif
