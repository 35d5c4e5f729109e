/*
 * engine/gate.c - see engine/gate.h.
 */
#include "engine/gate.h"

#define GATE_PAUSE_NS (INT64_C(2) * 1000000)

static int enter_gate(struct store *store, uint64_t byte, struct file *gate)
{
    int rc = rill__file_open(&store->dir, "shared", FILE_WRITE, gate);

    if (rc != 0) return rc;
    rc = rill__fork_close_on(gate->fd);
    if (rc != 0) {
        rill__file_close(gate);
        return rc;
    }
    rc = rill__file_lock(gate, byte, FILE_LOCK_SHARED, 0);
    if (rc != 0) rill__gate_leave(gate);
    return rc;
}

int rill__gate_enter_copying(struct store *store, int timeout_ms, struct file *gate)
{
    int64_t deadline = rill__deadline(timeout_ms);
    bool held = false;
    int rc = enter_gate(store, COPY_BYTE, gate);

    while (rc == 0) {
        rc = rill__file_lock_shared(gate, COMPACT_BYTE, &held);
        if (rc != 0 || !held) break;
        if (rill__monotonic_ns() >= deadline)
            rc = rill__fail(RILL_ERR_TIMEOUT, "%s: a compaction does not end", store->path);
        else rill__sleep_ns(GATE_PAUSE_NS);
    }
    if (rc != 0) rill__gate_leave(gate);
    return rc;
}

int rill__gate_enter_compacting(struct store *store, struct file *gate)
{
    bool held = false;
    int rc = enter_gate(store, COMPACT_BYTE, gate);

    if (rc != 0) return rc;
    rc = rill__file_lock_shared(gate, COPY_BYTE, &held);
    if (rc == 0 && held)
        rc = rill__fail(RILL_ERR_BUSY, "%s: nothing is compacted while a copy is made",
                        store->path);
    if (rc != 0) rill__gate_leave(gate);
    return rc;
}

bool rill__gate_is_wanted(const struct file *gate)
{
    bool held = false;
    return rill__file_lock_shared(gate, COPY_BYTE, &held) == 0 && held;
}

void rill__gate_leave(struct file *gate)
{
    if (gate->fd >= 0) rill__fork_forget(gate->fd);
    rill__file_close(gate);
}
