/*
 * partition.h - a partition with two segments, whose files the input changes.
 *
 * However they were changed, the same boot or another: it opens or says why; each
 * record that it shows is the one appended at that offset; what was durable is
 * there or is told as damage; and if all is well, it goes on.
 */
#ifndef RILL_FUZZ_PARTITION_H
#define RILL_FUZZ_PARTITION_H
#include "fuzz.h"

/* The file is "control", or ends so: "0.log", "0.index", ... The first byte of
 * the input says which boot, the rest is patches. */
void fuzz_partition(const uint8_t *data, size_t size, const char *file);

#endif
