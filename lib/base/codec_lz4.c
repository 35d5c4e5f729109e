/*
 * base/codec_lz4.c - lz4, as one block without a frame: the sizes are known.
 *
 * Levels are those of its command line: below 0 faster, from 3 up slower and
 * smaller (LZ4HC). Decompressing needs nothing but source and destination.
 */
#include "base/codec.h"
#include "base/error.h"

#ifdef RILL_HAVE_LZ4
#include <lz4.h>
#include <lz4hc.h>

#define LZ4_FASTEST (-65536)
#define LZ4_HIGH_FROM 3

static int lz4_compress(struct codec *codec, int level, const void *from, size_t size, void *to,
                        size_t room, size_t *packed)
{
    bool high = level >= LZ4_HIGH_FROM;
    void **state = high ? &codec->lz4_high : &codec->lz4;
    int got;

    if (*state == NULL)
        *state =
            rill__alloc(codec->heap, (size_t)(high ? LZ4_sizeofStateHC() : LZ4_sizeofState()));
    if (*state == NULL) return RILL_ERR_NO_MEMORY;
    if (high) got = LZ4_compress_HC_extStateHC(*state, from, to, (int)size, (int)room, level);
    else
        got = LZ4_compress_fast_extState(*state, from, to, (int)size, (int)room,
                                         level < 0 ? -level : 1);
    *packed = got > 0 ? (size_t)got : 0;
    return 0;
}

static int lz4_decompress(struct codec *codec, const void *from, size_t packed, void *to,
                          size_t size)
{
    int got = LZ4_decompress_safe(from, to, (int)packed, (int)size);

    (void)codec;
    if (got >= 0 && (size_t)got == size) return 0;
    return rill__fail(RILL_ERR_CORRUPT, "%zu bytes of lz4 do not decompress to %zu", packed,
                      size);
}

static void lz4_deinit(struct codec *codec)
{
    rill__free(codec->heap, codec->lz4);
    rill__free(codec->heap, codec->lz4_high);
}

const struct codec_kind rill__codec_lz4 = {.name = "lz4",
                                           .library = "liblz4",
                                           .available = true,
                                           .level_least = LZ4_FASTEST,
                                           .level_most = LZ4HC_CLEVEL_MAX,
                                           .level_standard = 1,
                                           .compress = lz4_compress,
                                           .decompress = lz4_decompress,
                                           .deinit = lz4_deinit};
#else
const struct codec_kind rill__codec_lz4 = {.name = "lz4", .library = "liblz4"};
#endif
