/*
 * base/heap.c - see base/heap.h.
 *
 * Every block has 16 bytes before it that hold its size, so that releasing one
 * needs only the pointer.
 */
#include "base/heap.h"
#include "base/error.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_HEAD 16

static void *heap_malloc(void *arg, size_t size)
{
    (void)arg;
    return malloc(size);
}

static void *heap_realloc(void *arg, void *memory, size_t size)
{
    (void)arg;
    return realloc(memory, size);
}

static void heap_release(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

void rill__heap_init(struct heap *heap, const rill_allocator *hooks, uint64_t bytes_max)
{
    static const rill_allocator standard = {heap_malloc, heap_realloc, heap_release, NULL};

    heap->hooks = hooks != NULL && hooks->alloc != NULL ? *hooks : standard;
    heap->bytes_max = bytes_max;
    atomic_init(&heap->bytes, 0);
}

/* Counts size bytes in; false if that is above the limit. */
static bool heap_take(struct heap *heap, uint64_t size)
{
    uint64_t now = atomic_load_explicit(&heap->bytes, memory_order_relaxed);
    uint64_t most = heap->bytes_max == 0 ? UINT64_MAX : heap->bytes_max;

    while (now <= most && size <= most - now)
        if (atomic_compare_exchange_weak_explicit(&heap->bytes, &now, now + size,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    rill__fail(RILL_ERR_NO_MEMORY,
               "%" PRIu64 " more bytes would exceed the store's memory limit of %" PRIu64, size,
               heap->bytes_max);
    return false;
}

static bool too_large(size_t size)
{
    if (size <= SIZE_MAX / 2) return false;
    rill__fail(RILL_ERR_NO_MEMORY, "no memory for %zu bytes", size);
    return true;
}

static size_t block_size(const void *memory)
{
    size_t size;
    memcpy(&size, (const char *)memory - BLOCK_HEAD, sizeof size);
    return size;
}

void *rill__alloc(struct heap *heap, size_t size)
{
    char *block;

    if (too_large(size) || !heap_take(heap, size + BLOCK_HEAD)) return NULL;
    block = heap->hooks.alloc(heap->hooks.arg, size + BLOCK_HEAD);
    if (block == NULL) {
        atomic_fetch_sub_explicit(&heap->bytes, size + BLOCK_HEAD, memory_order_relaxed);
        rill__fail(RILL_ERR_NO_MEMORY, "no memory for %zu bytes", size);
        return NULL;
    }
    memset(block, 0, size + BLOCK_HEAD);
    memcpy(block, &size, sizeof size);
    return block + BLOCK_HEAD;
}

void *rill__resize(struct heap *heap, void *memory, size_t size)
{
    size_t old;
    char *block;

    if (memory == NULL) return rill__alloc(heap, size);
    old = block_size(memory);
    if (too_large(size) || (size > old && !heap_take(heap, size - old))) return NULL;
    block = heap->hooks.resize(heap->hooks.arg, (char *)memory - BLOCK_HEAD, size + BLOCK_HEAD);
    if (block == NULL) {
        if (size > old) atomic_fetch_sub_explicit(&heap->bytes, size - old, memory_order_relaxed);
        rill__fail(RILL_ERR_NO_MEMORY, "no memory for %zu bytes", size);
        return NULL;
    }
    if (size < old) atomic_fetch_sub_explicit(&heap->bytes, old - size, memory_order_relaxed);
    if (size > old) memset(block + BLOCK_HEAD + old, 0, size - old);
    memcpy(block, &size, sizeof size);
    return block + BLOCK_HEAD;
}

void rill__free(struct heap *heap, void *memory)
{
    if (memory == NULL) return;
    atomic_fetch_sub_explicit(&heap->bytes, block_size(memory) + BLOCK_HEAD,
                              memory_order_relaxed);
    heap->hooks.release(heap->hooks.arg, (char *)memory - BLOCK_HEAD);
}

char *rill__strdup(struct heap *heap, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = rill__alloc(heap, size);

    if (copy != NULL) memcpy(copy, text, size);
    return copy;
}
