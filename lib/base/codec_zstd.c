/*
 * base/codec_zstd.c - zstd, as one frame.
 *
 * Its contexts take their memory from the store's heap by the library's hooks,
 * which are declared only on request. Frames of zstd's own past, which other
 * code in the library reads, and several frames in a row are refused.
 */
#include "base/bytes.h"
#include "base/codec.h"
#include "base/error.h"

#ifdef RILL_HAVE_ZSTD
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_customMem */
#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_FASTEST (-131072)
#define ZSTD_HIGHEST 22

static void *zstd_alloc(void *heap, size_t size)
{
    return rill__alloc(heap, size);
}

static void zstd_free(void *heap, void *memory)
{
    rill__free(heap, memory);
}

static ZSTD_customMem zstd_memory(const struct codec *codec)
{
    return (ZSTD_customMem){zstd_alloc, zstd_free, codec->heap};
}

static int zstd_compress(struct codec *codec, int level, const void *from, size_t size, void *to,
                         size_t room, size_t *packed)
{
    size_t got;

    if (codec->zstd == NULL) codec->zstd = ZSTD_createCCtx_advanced(zstd_memory(codec));
    if (codec->zstd == NULL) return RILL_ERR_NO_MEMORY;
    got = ZSTD_compressCCtx(codec->zstd, to, room, from, size, level);
    if (!ZSTD_isError(got)) *packed = got;
    else if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation) return RILL_ERR_NO_MEMORY;
    return 0;
}

static int zstd_decompress(struct codec *codec, const void *from, size_t packed, void *to,
                           size_t size)
{
    size_t got;

    if (codec->unzstd == NULL) codec->unzstd = ZSTD_createDCtx_advanced(zstd_memory(codec));
    if (codec->unzstd == NULL) return RILL_ERR_NO_MEMORY;
    if (packed < 4 || rill__get32(from) != ZSTD_MAGICNUMBER ||
        ZSTD_findFrameCompressedSize(from, packed) != packed)
        return rill__fail(RILL_ERR_CORRUPT, "%zu bytes are not one frame of zstd", packed);
    got = ZSTD_decompressDCtx(codec->unzstd, to, size, from, packed);
    if (!ZSTD_isError(got) && got == size) return 0;
    return rill__fail(RILL_ERR_CORRUPT, "%zu bytes of zstd do not decompress to %zu: %s", packed,
                      size, ZSTD_isError(got) ? ZSTD_getErrorName(got) : "they are fewer");
}

static void zstd_deinit(struct codec *codec)
{
    ZSTD_freeCCtx(codec->zstd);
    ZSTD_freeDCtx(codec->unzstd);
}

const struct codec_kind rill__codec_zstd = {.name = "zstd",
                                            .library = "libzstd",
                                            .available = true,
                                            .level_least = ZSTD_FASTEST,
                                            .level_most = ZSTD_HIGHEST,
                                            .level_standard = ZSTD_CLEVEL_DEFAULT,
                                            .compress = zstd_compress,
                                            .decompress = zstd_decompress,
                                            .deinit = zstd_deinit};
#else
const struct codec_kind rill__codec_zstd = {.name = "zstd", .library = "libzstd"};
#endif
