/*
 * golden.h - what is in every golden store: stores that a released version made, packed and
 * kept, and opened by every later one. Written by make.c, read by tests/api/golden.c.
 *
 *     VERSION-closed    topics "big" (2 partitions, rolled many times), "small" and "empty"; the
 *                       group "readers" has committed 17 (with metadata "seventeen") and 40 of
 * "big" VERSION-killed    the same, and then a process that appended more and was killed
 *
 * Record number i of a topic is in partition i % partitions; see golden_record.
 */
#ifndef RILL_GOLDEN_H
#define RILL_GOLDEN_H
#include <rill.h>
#include <stdio.h>
#include <string.h>

enum {
    BIG_CLOSED = 600,
    BIG_KILLED = 640,
    SMALL_CLOSED = 5,
    SMALL_KILLED = 8,
    BIG_PARTITIONS = 2
};

/* Where its parts are. */
struct golden {
    char key[32];
    char value[900];
    rill_header header;
};

static inline rill_record golden_record(const char *topic, int i, int partitions,
                                        struct golden *golden)
{
    rill_record record = RILL_RECORD_INIT;
    int used;

    snprintf(golden->key, sizeof golden->key, "key-%d", i % 7);
    memset(golden->value, 'a' + i % 26, sizeof golden->value);
    used = snprintf(golden->value, sizeof golden->value, "%s-%d", topic, i);
    golden->value[used] = '.';
    golden->header = (rill_header){{"number", 6}, {golden->key, strlen(golden->key)}};
    record.partition = i % partitions;
    record.timestamp_ms = INT64_C(1700000000000) + i * 1000;
    if (i % 5 != 3) record.key = (rill_bytes){golden->key, strlen(golden->key)};
    if (i % 11 != 4) record.value = (rill_bytes){golden->value, (size_t)(100 + i % 700)};
    if (i % 3 == 0) {
        record.headers = &golden->header;
        record.header_count = 1;
    }
    return record;
}

#endif
