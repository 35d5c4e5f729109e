/*
 * engine/presence.c - which processes are in a store, and which of them live.
 *
 * A process has a slot in the shared words and holds a byte of `shared` that
 * belongs to it exclusively. The kernel lets go of the byte when the process
 * dies, however it dies, so whoever can lock it knows that the slot is free:
 * no pid has to be trusted, which may be another's by now or mean another
 * process in another container. A ticket, random for each claim, tells the
 * processes that had a slot from each other.
 *
 * A process that lives may still hang. Its signs of life are the calls and the
 * maintenance in it, and what the kernel says: one that is not stopped runs.
 */
#include "engine/store.h"

#define SLOTS_BYTE 1
#define PROCESS_BYTES 256 /* from here on, one for each slot */

/* Another copy of this library in the same process? */
static bool is_us(const struct process_slot *slot, int32_t pid, uint64_t start, uint64_t space)
{
    return start != 0 && atomic_load(&slot->pid) == pid && atomic_load(&slot->start) == start &&
           atomic_load(&slot->pid_space) == space;
}

/* What the last one in this slot has counted stays counted. */
static void take_over_counters(struct store *store, uint32_t slot)
{
    struct counters *mine = &store->shared->counters[slot];
    struct counters *past = &store->shared->past;

#define X(name, meaning) rill__count(&past->name, atomic_exchange(&mine->name, 0));
    COUNTERS(X)
#undef X
#define X(name, meaning) atomic_store(&mine->name, 0);
    GAUGES(X)
#undef X
    store->counters = mine;
}

static int claim(struct store *store)
{
    int32_t pid = rill__process_id();
    uint64_t start = rill__process_start(pid);
    uint64_t space = rill__pid_namespace();
    uint64_t ticket = 0;
    int32_t chosen = -1;
    int rc = 0;

    for (int32_t i = 0; i < PROCESSES_MAX && rc == 0; i++) {
        struct process_slot *slot = &store->shared->processes[i];
        bool held = false;
        bool ours = is_us(slot, pid, start, space);

        if (chosen >= 0 && !ours) continue;
        rc = rill__file_lock_held(&store->shared_file, PROCESS_BYTES + (uint64_t)i, &held);
        if (rc == 0 && held && ours)
            rc = rill__fail(RILL_ERR_BUSY,
                            "%s is open in this process through another copy of the library",
                            store->path);
        if (!held && chosen < 0) chosen = i;
    }
    if (rc == 0 && chosen < 0)
        rc = rill__fail(RILL_ERR_BUSY, "%s is open in %d processes already", store->path,
                        PROCESSES_MAX);
    while (rc == 0 && ticket == 0) rc = rill__random(&ticket, sizeof ticket);
    if (rc == 0)
        rc = rill__file_lock(&store->shared_file, PROCESS_BYTES + (uint64_t)chosen,
                             FILE_LOCK_EXCLUSIVE, 0);
    if (rc != 0) return rc;
    take_over_counters(store, (uint32_t)chosen);
    store->process_slot = chosen;
    store->process_ticket = ticket;
    atomic_store(&store->shared->processes[chosen].pid, pid);
    atomic_store(&store->shared->processes[chosen].start, start);
    atomic_store(&store->shared->processes[chosen].pid_space, space);
    atomic_store(&store->shared->processes[chosen].ticket, ticket);
    rill__presence_beat(store);
    return 0;
}

int rill__presence_claim(struct store *store)
{
    int rc = rill__file_lock(&store->shared_file, SLOTS_BYTE, FILE_LOCK_EXCLUSIVE, 5000);

    if (rc != 0) return rc;
    rc = claim(store);
    rill__file_lock(&store->shared_file, SLOTS_BYTE, FILE_LOCK_NONE, 0);
    return rc;
}

/* The byte is freed when the file is closed. */
void rill__presence_release(struct store *store)
{
    if (store->shared == NULL || store->process_slot < 0) return;
    atomic_store(&store->shared->processes[store->process_slot].pid, 0);
    atomic_store(&store->shared->processes[store->process_slot].ticket, 0);
}

bool rill__process_is_gone(struct store *store, uint32_t slot, uint64_t ticket)
{
    bool held = true;

    if (slot >= PROCESSES_MAX) return true;
    if (atomic_load(&store->shared->processes[slot].ticket) != ticket) return true;
    if ((int32_t)slot == store->process_slot) return false;
    if (rill__file_lock_held(&store->shared_file, PROCESS_BYTES + (uint64_t)slot, &held) != 0)
        return false;
    return !held;
}

void rill__presence_beat(struct store *store)
{
    atomic_store_explicit(&store->shared->processes[store->process_slot].heard_ms,
                          rill__monotonic_ns() / 1000000, memory_order_relaxed);
}

int64_t rill__process_heard_ms(struct store *store, uint32_t number, int64_t now_ms)
{
    struct process_slot *slot = &store->shared->processes[number % PROCESSES_MAX];
    bool near = atomic_load(&slot->pid_space) == rill__pid_namespace();

    if ((int32_t)number == store->process_slot ||
        (near &&
         rill__process_state(atomic_load(&slot->pid), atomic_load(&slot->start)) == PROCESS_RUNS))
        atomic_store_explicit(&slot->heard_ms, now_ms, memory_order_relaxed);
    return atomic_load_explicit(&slot->heard_ms, memory_order_relaxed);
}

int32_t rill__process_in_slot(struct store *store, uint32_t number, bool *stopped)
{
    struct process_slot *slot = &store->shared->processes[number];
    int32_t pid = atomic_load(&slot->pid);

    *stopped = false;
    if (pid == 0 || rill__process_is_gone(store, number, atomic_load(&slot->ticket))) return 0;
    *stopped = atomic_load(&slot->pid_space) == rill__pid_namespace() &&
               rill__process_state(pid, atomic_load(&slot->start)) == PROCESS_STOPPED;
    return pid;
}
