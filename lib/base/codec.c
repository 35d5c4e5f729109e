/*
 * base/codec.c - see base/codec.h.
 */
#include "base/codec.h"
#include "base/error.h"
#include <string.h>

/* By code. Those without a library to build with are Kafka's others. */
static const struct codec_kind *kind_of(int code)
{
    static const struct codec_kind gzip = {.name = "gzip"};
    static const struct codec_kind snappy = {.name = "snappy"};
    static const struct codec_kind unknown = {.name = "unknown"};
    static const struct codec_kind none = {.name = "none"};

    switch (code) {
    case CODEC_NONE: return &none;
    case 1: return &gzip;
    case 2: return &snappy;
    case CODEC_LZ4: return &rill__codec_lz4;
    case CODEC_ZSTD: return &rill__codec_zstd;
    default: return &unknown;
    }
}

void rill__codec_init(struct codec *codec, struct heap *heap)
{
    memset(codec, 0, sizeof *codec);
    codec->heap = heap;
}

void rill__codec_deinit(struct codec *codec)
{
    if (codec->heap == NULL) return;
    if (rill__codec_lz4.available) rill__codec_lz4.deinit(codec);
    if (rill__codec_zstd.available) rill__codec_zstd.deinit(codec);
    rill__codec_init(codec, codec->heap);
}

const char *rill__codec_name(int code)
{
    return kind_of(code)->name;
}

bool rill__codec_available(int code)
{
    return kind_of(code)->available;
}

int rill__codec_require(int code)
{
    const struct codec_kind *kind = kind_of(code);

    if (kind->available) return 0;
    if (kind->library != NULL)
        return rill__fail(
            RILL_ERR_UNSUPPORTED,
            "codec %s (%d) is not in this build of rill: build it where the headers "
            "of %s are installed",
            kind->name, code, kind->library);
    return rill__fail(
        RILL_ERR_UNSUPPORTED,
        "codec %s (%d) is not one that this version of rill knows; it knows lz4 (3) "
        "and zstd (4)",
        kind->name, code);
}

int rill__codec_check_level(int code, int level)
{
    const struct codec_kind *kind = kind_of(code);
    int rc = rill__codec_require(code);

    if (rc != 0 || level == 0 || (level >= kind->level_least && level <= kind->level_most))
        return rc;
    return rill__fail(RILL_ERR_INVALID,
                      "compression_level %d; %s has those from %d to %d, and 0 for the default",
                      level, kind->name, kind->level_least, kind->level_most);
}

int rill__codec_compress(struct codec *codec, int code, int level, const void *from, size_t size,
                         void *to, size_t room, size_t *packed)
{
    const struct codec_kind *kind = kind_of(code);
    int rc = rill__codec_require(code);

    *packed = 0;
    if (rc != 0) return rc;
    return kind->compress(codec, level == 0 ? kind->level_standard : level, from, size, to, room,
                          packed);
}

int rill__codec_decompress(struct codec *codec, int code, const void *from, size_t packed,
                           void *to, size_t size)
{
    int rc = rill__codec_require(code);

    return rc != 0 ? rc : kind_of(code)->decompress(codec, from, packed, to, size);
}
