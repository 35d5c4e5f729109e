/*
 * engine/seal.c - from a batch that was built to the one that is appended.
 *
 * What the topic says of compression counts before what the producer asks for.
 * Compressing takes longer than all the rest of an append, so it is done here,
 * before the append lock is taken. A batch that would not become smaller, or for
 * which there is no memory, goes as it is.
 *
 * As in Kafka, max_message_bytes limits a batch as it is stored. Before
 * compression it may have more, up to BATCH_RAW_MAX, which is what a reader
 * counts with.
 *
 * Threads: under producer->lock, which guards p->codec and p->packed.
 */
#include "engine/producer.h"

/* CODEC_NONE, or what batches for the topic are compressed with. */
static int codec_of(const struct rill_producer *p, const struct topic *topic, int *level)
{
    uint32_t asked = p->options.compression;
    uint32_t code = atomic_load_explicit(&topic->compression, memory_order_relaxed);

    if (code == RILL_COMPRESSION_DEFAULT) code = asked;
    *level = code == asked ? p->options.compression_level : 0;
    return code == RILL_COMPRESSION_LZ4 || code == RILL_COMPRESSION_ZSTD ? (int)code : CODEC_NONE;
}

int rill__batch_limit(const struct rill_producer *p, const struct topic *topic, size_t *limit)
{
    size_t stored = rill__topic_max_bytes(topic);
    int level;
    int code = codec_of(p, topic, &level);
    int rc;

    *limit = stored;
    if (code == CODEC_NONE) return 0;
    rc = rill__codec_require(code);
    if (rc != 0) return rill__fail_prefix(rc, "topic %s", topic->info.name);
    if (stored < BATCH_HEAD + BATCH_RAW_MAX) *limit = BATCH_HEAD + BATCH_RAW_MAX;
    return 0;
}

/* Room for what becomes of so many bytes; it need not keep what is in it. */
static int packed_room(struct rill_producer *p, size_t size)
{
    struct heap *heap = &p->store->heap;

    if (p->packed.capacity >= size) return 0;
    rill__free(heap, p->packed.data);
    size = ROUND_ROOM(size);
    rill__batch_init(&p->packed, rill__alloc(heap, size), size);
    if (p->packed.data != NULL) return 0;
    p->packed.capacity = 0;
    return RILL_ERR_NO_MEMORY;
}

/* Into p->packed, whose size is 0 if the batch has to go as it is. */
static int pack(struct rill_producer *p, const struct batch *batch, int code, int level)
{
    int rc;

    /* The same as before, when the append lock was not to be had. */
    if (p->packed_of == batch && p->packed_count == batch->record_count) return 0;
    p->packed_of = NULL;
    p->packed.size = 0;
    rc = packed_room(p, batch->size);
    if (rc == 0) rc = rill__batch_seal_packed(batch, &p->codec, code, level, &p->packed);
    if (rc == RILL_ERR_NO_MEMORY) return 0;
    if (rc != 0) return rc;
    p->packed_of = batch;
    p->packed_count = batch->record_count;
    return 0;
}

int rill__producer_seal(struct rill_producer *p, const struct lane *lane, struct batch *batch,
                        struct batch **sealed)
{
    const struct topic *topic = lane->topic;
    uint32_t most = rill__topic_max_bytes(topic);
    int level;
    int code = codec_of(p, topic, &level);
    int rc = 0;

    rill__clock_watch(p->store);
    batch->attributes = rill__log_attributes(lane->log);
    rill__identity_stamp(p, lane, batch);
    *sealed = batch;
    if (code != CODEC_NONE) {
        rc = pack(p, batch, code, level);
        if (rc != 0) return rill__fail_prefix(rc, "topic %s", topic->info.name);
        if (p->packed.size != 0) *sealed = &p->packed;
    }
    /* One that was not to be compressed was small enough when it was built; what was
     * altered since is for the next. */
    if (code != CODEC_NONE && (*sealed)->size > most)
        return rill__fail(RILL_ERR_TOO_BIG,
                          "topic %s: a batch of %zu bytes has %zu when it is compressed by %s; "
                          "it may have at most %u (max_message_bytes)",
                          topic->info.name, batch->size, (*sealed)->size, rill__codec_name(code),
                          most);
    if (*sealed == batch) rill__batch_seal(batch);
    return 0;
}

void rill__producer_sent(struct rill_producer *p)
{
    p->packed_of = NULL;
}

static int check_options(const rill_producer_options *o)
{
    int code = (int)o->compression;

    if (code == RILL_COMPRESSION_LZ4 || code == RILL_COMPRESSION_ZSTD)
        return rill__codec_check_level(code, o->compression_level);
    if (code != RILL_COMPRESSION_DEFAULT && code != RILL_COMPRESSION_NONE)
        return rill__fail(
            RILL_ERR_INVALID,
            "compression %d is Kafka's %s; there are none (%d), lz4 (%d), zstd (%d)", code,
            rill__codec_name(code), RILL_COMPRESSION_NONE, RILL_COMPRESSION_LZ4,
            RILL_COMPRESSION_ZSTD);
    if (o->compression_level == 0) return 0;
    return rill__fail(RILL_ERR_INVALID, "compression_level %d, but no compression",
                      o->compression_level);
}

int rill__producer_codec_init(struct rill_producer *p)
{
    int rc = check_options(&p->options);

    rill__codec_init(&p->codec, &p->store->heap);
    if (rc != 0 || p->options.compression < RILL_COMPRESSION_LZ4) return rc;
    return rill__meta_raise(p->store->meta);
}

void rill__producer_codec_deinit(struct rill_producer *p)
{
    rill__codec_deinit(&p->codec);
    rill__free(&p->store->heap, p->packed.data);
}
