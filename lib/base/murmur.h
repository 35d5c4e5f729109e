/*
 * base/murmur.h - murmur2 as Kafka's clients compute it for a record's key,
 * so that a key goes to the same partition here and there.
 */
#ifndef RILL_BASE_MURMUR_H
#define RILL_BASE_MURMUR_H
#include <stddef.h>
#include <stdint.h>

uint32_t rill__murmur2(const void *data, size_t size);
/* Kafka's default for keyed records: (murmur2 & 0x7fffffff) % count. */
int32_t rill__murmur2_partition(const void *key, size_t key_size, uint32_t partition_count);

#endif
