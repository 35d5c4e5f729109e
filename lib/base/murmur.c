/*
 * base/murmur.c - see base/murmur.h.
 */
#include "base/murmur.h"
#include "base/bytes.h"

#define MURMUR_SEED UINT32_C(0x9747b28c)
#define MURMUR_M UINT32_C(0x5bd1e995)

uint32_t rill__murmur2(const void *data, size_t size)
{
    const uint8_t *at = data;
    uint32_t h = MURMUR_SEED ^ (uint32_t)size;

    for (; size >= 4; size -= 4, at += 4) {
        uint32_t k = rill__get32(at) * MURMUR_M;
        k ^= k >> 24;
        h = (h * MURMUR_M) ^ (k * MURMUR_M);
    }
    if (size >= 3) h ^= (uint32_t)at[2] << 16;
    if (size >= 2) h ^= (uint32_t)at[1] << 8;
    if (size >= 1) {
        h ^= at[0];
        h *= MURMUR_M;
    }
    h ^= h >> 13;
    h *= MURMUR_M;
    h ^= h >> 15;
    return h;
}

int32_t rill__murmur2_partition(const void *key, size_t key_size, uint32_t partition_count)
{
    return (int32_t)((rill__murmur2(key, key_size) & 0x7fffffff) % partition_count);
}
