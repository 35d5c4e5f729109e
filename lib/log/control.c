/*
 * log/control.c - see log/control.h.
 */
#include "log/control.h"

void rill__control_tail(const struct control *control, struct tail_copy *copy)
{
    for (;;) {
        uint32_t version = atomic_load_explicit(&control->tail_version, memory_order_acquire);
        const struct tail *t = &control->tails[version & 1];

        /* Acquire keeps the check below after these loads; the copy in use is
         * not rewritten before the version has moved on. */
        copy->base = atomic_load_explicit(&t->base, memory_order_acquire);
        copy->end_offset = atomic_load_explicit(&t->end_offset, memory_order_acquire);
        copy->max_time = atomic_load_explicit(&t->max_time, memory_order_acquire);
        copy->created_ms = atomic_load_explicit(&t->created_ms, memory_order_acquire);
        copy->first_open = atomic_load_explicit(&t->first_open, memory_order_acquire);
        copy->position = atomic_load_explicit(&t->position, memory_order_acquire);
        copy->index_count = atomic_load_explicit(&t->index_count, memory_order_acquire);
        copy->index_position = atomic_load_explicit(&t->index_position, memory_order_acquire);
        copy->epoch = atomic_load_explicit(&t->epoch, memory_order_acquire);
        if (atomic_load_explicit(&control->tail_version, memory_order_relaxed) == version) return;
    }
}

void rill__control_set_tail(struct control *control, const struct tail_copy *copy)
{
    uint32_t version = atomic_load_explicit(&control->tail_version, memory_order_relaxed);
    struct tail *t = &control->tails[(version + 1) & 1];

    /* Release: whoever sees one of these stores through an acquire load also
     * sees the version that the copy before them was committed with. */
    atomic_store_explicit(&t->base, copy->base, memory_order_release);
    atomic_store_explicit(&t->end_offset, copy->end_offset, memory_order_release);
    atomic_store_explicit(&t->max_time, copy->max_time, memory_order_release);
    atomic_store_explicit(&t->created_ms, copy->created_ms, memory_order_release);
    atomic_store_explicit(&t->first_open, copy->first_open, memory_order_release);
    atomic_store_explicit(&t->position, copy->position, memory_order_release);
    atomic_store_explicit(&t->index_count, copy->index_count, memory_order_release);
    atomic_store_explicit(&t->index_position, copy->index_position, memory_order_release);
    atomic_store_explicit(&t->epoch, copy->epoch, memory_order_release);
    atomic_store_explicit(&control->tail_version, version + 1, memory_order_release);
}
