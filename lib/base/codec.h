/*
 * base/codec.h - compressing and decompressing blocks of memory.
 *
 * A codec is known by its code, which is Kafka's and is what a stored batch
 * bears. Each is a file of its own, codec_lz4.c and codec_zstd.c, around a
 * library that need not be there when rill is built: without it the code has a
 * name, but is not available.
 *
 * A struct codec holds what the libraries need beside source and destination.
 * It is taken from the store's heap when first needed and then kept, so that
 * the next block of that size allocates nothing. One thread at a time.
 */
#ifndef RILL_BASE_CODEC_H
#define RILL_BASE_CODEC_H
#include "base/heap.h"
#include <stdbool.h>

enum { CODEC_NONE = 0, CODEC_LZ4 = 3, CODEC_ZSTD = 4 };

struct codec {
    struct heap *heap;
    void *lz4;      /* to compress */
    void *lz4_high; /* the same at levels above 2 */
    void *zstd;     /* to compress */
    void *unzstd;
};

void rill__codec_init(struct codec *codec, struct heap *heap);
void rill__codec_deinit(struct codec *codec);

/* "lz4"; for a code that means nothing here "unknown". Never NULL. */
const char *rill__codec_name(int code);
bool rill__codec_available(int code);
/* RILL_ERR_UNSUPPORTED, with what to do about it, if it is not available. */
int rill__codec_require(int code);
/* RILL_ERR_INVALID unless the available codec has that level; 0: its default. */
int rill__codec_check_level(int code, int level);

/* Compresses size bytes (not 0, at most 1 GiB); *packed gets how many they are
 * then, 0 if they do not fit in room. RILL_ERR_NO_MEMORY. */
int rill__codec_compress(struct codec *codec, int code, int level, const void *from, size_t size,
                         void *to, size_t room, size_t *packed);
/* Decompresses to exactly size bytes; from may be any bytes. RILL_ERR_CORRUPT if
 * they are no such thing, RILL_ERR_UNSUPPORTED, RILL_ERR_NO_MEMORY. */
int rill__codec_decompress(struct codec *codec, int code, const void *from, size_t packed,
                           void *to, size_t size);

/* ---- What a codec is made of ------------------------------------------ */

struct codec_kind {
    const char *name;
    const char *library; /* that it needs */
    bool available;
    int level_least; /* the rest only if it is available */
    int level_most;
    int level_standard; /* in place of 0 */
    int (*compress)(struct codec *codec, int level, const void *from, size_t size, void *to,
                    size_t room, size_t *packed);
    int (*decompress)(struct codec *codec, const void *from, size_t packed, void *to,
                      size_t size);
    void (*deinit)(struct codec *codec);
};
extern const struct codec_kind rill__codec_lz4;
extern const struct codec_kind rill__codec_zstd;

#endif
