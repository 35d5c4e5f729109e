/*
 * meta/format.h - the keys and values of the catalogue.
 *
 * One LMDB database without a name; the first byte of a key is its kind. All
 * integers are little-endian, but for those in keys, which are big-endian so
 * that LMDB's order is theirs. Every value ends with 8 bytes of XXH3-64 over
 * key and value before it, since LMDB does not checksum its pages.
 *
 *     key                                   value (before the checksum)
 *     ------------------------------------- --------------------------------
 *     "S"                                   schema version (4), features (4)
 *     "T" name                              id (16), created ms (8), partition
 *                                           count (4), segment ms (4), segment
 *                                           bytes (8), max message bytes (4),
 *                                           index interval bytes (4); since schema
 *                                           2 also cleanup policy (4), timestamp
 *                                           type (4), compression (4), segment
 *                                           jitter ms (4), retention ms (8),
 *                                           retention bytes (8), delete retention
 *                                           ms (8), min compaction lag ms (8), min
 *                                           cleanable dirty ratio (8, a double)
 *     "G" group                             generation (4), then nothing or what
 *                                           the coordinator keeps of its members,
 *                                           see group/image.c
 *     "O" group 0 topic id (16) part. (4)   offset (8), leader epoch (4),
 *                                           reserved (4), committed ms (8),
 *                                           metadata with its 0, or nothing
 *     "I" group                             fingerprint (8), boot id (16),
 *                                           monotonic ms (8), wall clock ms (8),
 *                                           idle ms (8); see meta/idle.c
 *
 *     "C"                                   boot id (16), boot ms (8), wall clock ms
 *                                           (8), ahead ms (8), steady ms (8), spare ms
 *                                           (8); see meta/deletions.c
 *     "P"                                   next producer id (8)
 *     "X" name                              of a producer: id (8), epoch (2), bits (2: 1
 *                                           transactional, 2 owned), timeout ms (4),
 *                                           owner's process slot (4), instance (4),
 *                                           owner's ticket (8), changed ms (8); then
 *                                           nothing, or its last decision to commit until
 *                                           all is done that follows from it: epoch (2),
 *                                           reserved (2), partition count (4), per
 *                                           partition topic id (16), number (4)
 *     "Q" producer id (8)                   the name that has it
 *     "D" space                             number (4), reserved (4), producer id that
 *                                           may write it or -1 (8), created ms (8)
 *     "N"                                   next number of a space (4), reserved (4)
 *     "K" number of a space (4) key         what the application put there
 *
 * Group names hold no zero byte. A group exists when it has a "G" key.
 * History: 1 (0.1) first version.
 *          2 (0.2) longer values of topics. A catalogue of schema 1 is read as it
 *            is: what a short value does not say has its default. The first write
 *            of a topic makes it schema 2, and so does the first producer that
 *            compresses: 0.1 would take its batches for a torn tail. New kinds of
 *            keys: C, P, X, Q, D, N, K.
 */
#ifndef RILL_META_FORMAT_H
#define RILL_META_FORMAT_H

enum {
    META_SCHEMA_VERSION = 2,
    META_SCHEMA_OLDEST = 1,
    META_KEY_MAX = 1 + RILL_TOPIC_NAME_MAX + 1 + 16 + 4,
    META_KEY_LARGEST = 511, /* LMDB's own limit */
    META_VALUE_MAX = 64 + RILL_METADATA_MAX + 8,
    META_TOPIC_SIZE = 104,
    META_TOPIC_SIZE_1 = 48, /* in schema 1 */
    META_OFFSET_SIZE = 24,
    META_IDLE_SIZE = 48,
    META_CLOCK_SIZE = 56,
    META_NAME_SIZE = 40,
    META_NAME_TRANSACTIONAL = 1, /* of its bits */
    META_DECISION_SIZE = 8,
    META_DECIDED_SIZE = 20, /* per partition */
    META_SPACE_SIZE = 24
};

#endif
