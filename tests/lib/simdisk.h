/*
 * simdisk.h - a simulated disk: what is left of a directory after a power cut.
 *
 * The files are real and everybody works on them as ever, through maps too; the
 * disk keeps a second account of what a device would hold. A page gets there
 * when its file is synced, or by chance; a name gets there when its directory
 * is synced, or by chance. A cut makes, in another directory, one of the states
 * that a device may be in:
 *
 *     a page that changed since its file was last synced is as it was then, or
 *     as it is now, or as it was at some moment between, or of each 512 bytes
 *     one of these; or, in a mapped file, as it is now up to some byte;
 *     a file that grew has its old size or its new one;
 *     of the names made, renamed and removed in a directory since it was last
 *     synced, some prefix in time, or some subset that makes sense.
 *
 * Events are the calls that change or sync files, rill's through its table of
 * raw calls (os/sys.h), LMDB's because this file has functions of libc's names.
 * A cut comes just before an event takes effect.
 *
 * Time and random numbers come from the disk's too while it is mounted, so that
 * a seed repeats a run. One disk at a time; one thread.
 */
#ifndef RILL_SIMDISK_H
#define RILL_SIMDISK_H
#include "testing.h"
#include <stdbool.h>

/* From now on dir (absolute, without a '/' at the end) is on the disk, durably
 * as it stands. The boot id of the process becomes a new one. */
void simdisk_mount(const char *dir, struct test_random *random);
void simdisk_unmount(void);

/* Just before event number n from now on (1: the next), the power goes: the
 * state is made in directory `to`, which must not exist, and cut(arg) is called
 * to note what was promised by then. The work goes on unharmed. */
void simdisk_cut_at(uint64_t n, const char *to, void (*cut)(void *arg), void *arg);
/* The same, now. */
void simdisk_cut(const char *to);
/* As simdisk_cut_at, but not one state that the device may be in: all of them,
 * in the directories to0, to1, ...; of each 512 bytes that differ: old or new;
 * of the names made, renamed and removed: every subset. Files that mean nothing
 * after a boot are as chance has it. At most `limit` states. */
void simdisk_cut_every_way_at(uint64_t n, const char *to, uint64_t limit, void (*cut)(void *arg),
                              void *arg);
/* How many states were made; *all: that there are no more. */
uint64_t simdisk_ways(bool *all);
/* Forgets a cut that has not come. */
void simdisk_cancel(void);

/* Events since the disk was mounted. */
uint64_t simdisk_events(void);

/* Time goes by: all clocks of the disk go on by so many ms. */
void simdisk_pass(int64_t ms);
/* The wall clock is set; the others do not notice. */
void simdisk_set_wall(int64_t wall_ms);
/* What it shows, without going on by being looked at. */
int64_t simdisk_wall(void);

/* Syncs that are answered with success and not done: the device lies. */
void simdisk_lie(bool lie);

#endif
