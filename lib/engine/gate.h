/*
 * engine/gate.h - copies and compactions keep out of each other's way.
 *
 * A copy ends at one moment; a compaction after that takes records away for later ones,
 * which are not in the copy. So either some copies are on their way or some compactions
 * are, in all processes. Who is on which side says so by a shared lock on a byte of the
 * file `shared`, through a descriptor of its own, and then looks at the other byte: of
 * two that come at once at least one sees the other. The kernel frees the locks of those
 * who die.
 */
#ifndef RILL_ENGINE_GATE_H
#define RILL_ENGINE_GATE_H
#include "engine/store.h"

/* Waits for compactions to end, which they do when somebody waits. RILL_ERR_TIMEOUT. */
int rill__gate_enter_copying(struct store *store, int timeout_ms, struct file *gate);
/* RILL_ERR_BUSY while a copy is made. */
int rill__gate_enter_compacting(struct store *store, struct file *gate);
/* Does somebody copy, or wait for that? A compaction is to end then. */
bool rill__gate_is_wanted(const struct file *gate);
void rill__gate_leave(struct file *gate); /* FILE_NONE does nothing */

#endif
