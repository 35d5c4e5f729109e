/*
 * log/recycle.c - a segment that is gone becomes the next one.
 *
 *     rename away -> nobody else has it? -> header to zeros, synced -> next.log
 *
 * Its blocks are there and have been written to: the next one then costs a rename
 * and a small sync, where a fresh one is allocated, zeroed and synced. It is not
 * zeroed: the old batches do not verify, since the next one has another salt, and
 * their offsets lie before it.
 *
 * What must not happen is that bytes change under somebody who reads them. Who
 * wants a segment says so first (control->pins), then opens it by its name, or
 * takes a map that he has, and then looks whether the log still begins before its
 * end. Here the log start has moved beyond it, then its name is taken away, and only
 * then the pins are looked at. One of the two sees the other (all of it is seq_cst). A
 * second name, of a snapshot, shows in the number of links: it is made under a pin too.
 *
 * Threads: one at a time: the control file's prepare lock; beside any readers.
 */
#include "log/format.h"
#include "log/inner.h"

#define AWAY_LOG "recycle-log.tmp"
#define AWAY_INDEX "recycle-index.tmp"

/* Whether a process has, or may have, the segment open. */
static bool is_pinned(const struct log *log, int64_t base)
{
    const struct log_config *config = &log->config;

    for (uint32_t p = 0; p < CONTROL_PROCESSES; p++) {
        int64_t pin = atomic_load(&log->control->pins[p]);
        if (pin == 0 || pin - 1 > base) continue;
        if (p == config->process || config->process_is_gone == NULL ||
            !config->process_is_gone(config->process_arg, p))
            return true;
    }
    return false;
}

/* It has this size and no second name. */
static bool is_whole(const struct log *log, const char *name, uint64_t size)
{
    struct file_facts facts;

    return rill__file_look(&log->dir, name, &facts) == 0 && facts.links == 1 &&
           facts.size == size;
}

static int clear_header(const struct log *log)
{
    static const uint8_t zeros[SEGMENT_HEADER_SIZE];
    struct file file = FILE_NONE;
    int rc = rill__file_open(&log->dir, AWAY_LOG, FILE_WRITE, &file);

    if (rc == 0) rc = rill__file_write(&file, zeros, sizeof zeros, 0);
    if (rc == 0) rc = rill__file_sync(&file); /* a roll that is lost must show as one */
    rill__file_close(&file);
    return rc;
}

/* The file that was named AWAY_LOG, and with it its index, if that will do; else the
 * roll makes one. */
static int make_next(const struct log *log, uint64_t size)
{
    int rc = clear_header(log);

    if (rc != 0) return rc;
    if (is_whole(log, AWAY_INDEX, rill__index_bytes(&log->config, size)))
        rc = rill__file_rename(&log->dir, AWAY_INDEX, "next.index");
    return rc != 0 ? rc : rill__file_rename(&log->dir, AWAY_LOG, "next.log");
}

static int take_away(const struct log *log, int64_t base)
{
    char name[SEGMENT_NAME_SIZE];
    int rc = 0;

    rill__segment_name(base, "index", name); /* there may be none */
    if (rill__file_rename(&log->dir, name, AWAY_INDEX) != 0)
        rc = rill__file_remove(&log->dir, name);
    rill__segment_name(base, "log", name);
    return rc != 0 ? rc : rill__file_rename(&log->dir, name, AWAY_LOG);
}

static void remove_away(const struct log *log)
{
    rill__file_remove(&log->dir, AWAY_LOG);
    rill__file_remove(&log->dir, AWAY_INDEX);
}

bool rill__log_recycle(struct log *log, int64_t base)
{
    uint64_t size = atomic_load_explicit(&log->config.segment_bytes, memory_order_relaxed);
    struct saved_message message;
    struct file lock = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    bool prepared = true;
    bool gone = false;

    rill__message_save(&message);
    rill__segment_name(base, "log", name);
    if (log->config.copy_on_write || is_pinned(log, base) || !is_whole(log, name, size) ||
        rill__segment_is_prepared(&log->dir, size, &prepared) != 0 || prepared ||
        rill__log_lock_file(log, CONTROL_LOCK_PREPARE, 0, &lock) != 0)
        goto out;
    if (rill__segment_is_prepared(&log->dir, size, &prepared) == 0 && !prepared) {
        remove_away(log); /* of somebody who died */
        gone = take_away(log, base) == 0;
        if (gone && !is_pinned(log, base) && is_whole(log, AWAY_LOG, size))
            (void)make_next(log, size);
        remove_away(log);
    }
    rill__log_unlock_file(&lock);
out:
    rill__message_restore(&message);
    return gone;
}
