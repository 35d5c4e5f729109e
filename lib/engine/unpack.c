/*
 * engine/unpack.c - a consumer's memory for the records of compressed batches.
 *
 * A batch is decompressed once, into a block. What polls hand out points there,
 * as it points into the map for other batches, so a block that is finished stays
 * until the next poll:
 *
 *     spare --a batch begins--> part->block --it ends--> handed --next poll--> spare
 *
 * Always true: bytes is that of the blocks in parts and in handed, spare_bytes
 * of those in spare; whoever has handed out records takes no block that brings
 * bytes above UNPACKED_MAX, and spare_bytes is never above it. One batch at a
 * time is always taken, whatever its size (at most BATCH_RAW_MAX, checked before
 * there is memory for it), so that a poll gets on.
 */
#include "engine/consumer.h"
#include <inttypes.h>
#include <string.h>

#define UNPACKED_MAX ((size_t)16 << 20)
#define IDLE_MAX ((size_t)1 << 20) /* kept by a consumer that waits */

struct block {
    struct block *next;
    uint32_t size_class;
    _Alignas(16) uint8_t data[];
};

/* Four steps per doubling, so that what is left over in a block is a fifth at
 * most; the last one holds the largest batch. */
static size_t room_of(uint32_t size_class)
{
    size_t room = (size_t)(4 + size_class % 4) << (10 + size_class / 4);
    size_t most = BATCH_HEAD + BATCH_RAW_MAX;

    return room < most ? room : most;
}

static uint32_t class_of(size_t size)
{
    uint32_t size_class = 0;

    while (room_of(size_class) < size) size_class++;
    return size_class;
}

static_assert(UNPACK_CLASSES == 4 * 14 + 2, "from 4 KiB to 64 MiB and a header");

void rill__unpack_init(struct unpack *u, struct heap *heap)
{
    memset(u, 0, sizeof *u);
    rill__codec_init(&u->codec, heap);
}

/* Frees spare blocks, large ones first, until there are no more bytes of them. */
static void trim(struct unpack *u, size_t bytes)
{
    for (uint32_t c = UNPACK_CLASSES; c-- > 0 && u->spare_bytes > bytes;) {
        while (u->spare[c] != NULL && u->spare_bytes > bytes) {
            struct block *block = u->spare[c];
            u->spare[c] = block->next;
            u->spare_bytes -= room_of(c);
            rill__free(u->codec.heap, block);
        }
    }
}

void rill__unpack_idle(struct unpack *u)
{
    trim(u, IDLE_MAX);
}

void rill__unpack_release(struct unpack *u)
{
    struct block *block;

    while ((block = u->handed) != NULL) {
        size_t room = room_of(block->size_class);
        u->handed = block->next;
        u->bytes -= room;
        if (u->spare_bytes + room > UNPACKED_MAX) {
            rill__free(u->codec.heap, block);
            continue;
        }
        block->next = u->spare[block->size_class];
        u->spare[block->size_class] = block;
        u->spare_bytes += room;
    }
}

void rill__unpack_deinit(struct unpack *u)
{
    rill__unpack_release(u);
    trim(u, 0);
    rill__codec_deinit(&u->codec);
}

/* NULL with *later: not now. */
static struct block *take_block(struct unpack *u, size_t size, bool may_wait, bool *later)
{
    uint32_t c = class_of(size);
    size_t room = room_of(c);
    struct block *block = u->spare[c];

    *later = may_wait && u->bytes + room > UNPACKED_MAX;
    if (*later) return NULL;
    if (block != NULL) {
        u->spare[c] = block->next;
        u->spare_bytes -= room;
    } else {
        trim(u, room > UNPACKED_MAX ? 0 : UNPACKED_MAX - room);
        block = rill__alloc(u->codec.heap, sizeof *block + room);
        if (block == NULL && u->spare_bytes != 0) {
            trim(u, 0);
            block = rill__alloc(u->codec.heap, sizeof *block + room);
        }
        *later = block == NULL && may_wait;
        if (block == NULL) return NULL;
        block->size_class = c;
    }
    u->bytes += room;
    return block;
}

static void hand(struct unpack *u, struct block *block)
{
    block->next = u->handed;
    u->handed = block;
}

int rill__unpack(struct unpack *u, struct assigned *part, bool may_wait, bool *later)
{
    struct batch_view *view = &part->view;
    size_t size = rill__batch_room(view);
    struct block *block;
    int rc;

    *later = false;
    if (size == 0) return 0;
    rc = rill__codec_require(rill__batch_codec(view));
    if (rc == 0) {
        block = take_block(u, size, may_wait, later);
        if (*later) return 0;
        rc = block == NULL ? RILL_ERR_NO_MEMORY
                           : rill__batch_records(view, &u->codec, block->data, view);
        if (rc == 0) part->block = block;
        else if (block != NULL) hand(u, block);
    }
    if (rc == 0) return 0;
    return rill__fail_prefix(rc, "%s-%d: batch at offset %" PRId64 " (compressed, %zu bytes)",
                             part->topic->info.name, (int)part->partition, view->base_offset,
                             size);
}

void rill__unpack_done(struct unpack *u, struct assigned *part)
{
    if (part->block == NULL) return;
    hand(u, part->block);
    part->block = NULL;
}
