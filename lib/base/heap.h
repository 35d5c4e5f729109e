/*
 * base/heap.h - the store's memory: a hook, a count and a limit.
 *
 * Every allocation of the library goes through the heap of its store, so that
 * a memory limit holds and a test can make the n-th one fail. Blocks carry
 * their size in 16 bytes before them. Never on a hot path.
 */
#ifndef RILL_BASE_HEAP_H
#define RILL_BASE_HEAP_H
#include <rill.h>
#include <stdatomic.h>

struct heap {
    rill_allocator hooks;   /* set once at init */
    uint64_t bytes_max;     /* 0 = no limit */
    _Atomic uint64_t bytes; /* any thread, relaxed: allocated now, headers included */
};

/* hooks NULL or zeroed: malloc. */
void rill__heap_init(struct heap *heap, const rill_allocator *hooks, uint64_t bytes_max);

/* Zeroed memory, 16-byte aligned; NULL and RILL_ERR_NO_MEMORY's message when
 * there is none or the limit is reached. size 0 gives a block of size 0. */
void *rill__alloc(struct heap *heap, size_t size);

/* Grows or shrinks; new bytes are zero; on NULL the old block is untouched.
 * memory NULL allocates. */
void *rill__resize(struct heap *heap, void *memory, size_t size);

/* memory NULL does nothing. */
void rill__free(struct heap *heap, void *memory);

char *rill__strdup(struct heap *heap, const char *text);

#endif
