/*
 * log/kept.c - what a log keeps open for the next time, and lets go of.
 *
 * Descriptors and maps are few, and a store may have many partitions. So the log
 * that is not used keeps none but the map of its control block; its files are named
 * by their path from the store's directory, and opened for what is to be done.
 *
 * Who appends through the file, or syncs, does it again soon. Such descriptors are
 * kept, KEPT_FILES_MAX in the whole store; beyond that each use opens and closes.
 * Maintenance lets go of them, and of maps, when they were not used for a while.
 *
 * Threads: a kept file belongs to the holder of the lock that is named where it is.
 */
#include "log/inner.h"

#define KEPT_FILES_MAX 64u
#define REST_MS 5000 /* unused for so long, nothing is kept */

int rill__log_open_control(struct log *log, struct file *file)
{
    int rc = rill__file_open(&log->dir, "control", FILE_WRITE, file);

    if (rc == RILL_ERR_NOT_FOUND)
        rc = rill__fail(RILL_ERR_CORRUPT, "%s: the control file is missing", log->dir.name);
    return rc;
}

int rill__log_lock_file(struct log *log, uint64_t byte, int timeout_ms, struct file *lock)
{
    int rc = rill__log_open_control(log, lock);

    if (rc != 0) return rc;
    /* A child that was forked meanwhile must not keep it locked when we die. */
    rc = rill__fork_close_on(lock->fd);
    if (rc == 0) {
        rc = rill__file_lock(lock, byte, FILE_LOCK_EXCLUSIVE, timeout_ms);
        if (rc != 0) rill__fork_forget(lock->fd);
    }
    if (rc != 0) rill__file_close(lock);
    return rc;
}

void rill__log_unlock_file(struct file *lock)
{
    if (lock->fd >= 0) rill__fork_forget(lock->fd);
    rill__file_close(lock);
}

/* ---- Files ------------------------------------------------------------ */

static void forget_file(struct log *log, struct kept_file *kept)
{
    if (kept->fd < 0) return;
    rill__fd_close(kept->fd);
    *kept = KEPT_NONE;
    atomic_fetch_sub_explicit(log->config.kept_files, 1, memory_order_relaxed);
}

int rill__log_take_file(struct log *log, struct kept_file *kept, int64_t base, struct file *file)
{
    char name[SEGMENT_NAME_SIZE];
    int rc;

    rill__log_use(log);
    rill__segment_name(base, "log", name);
    if (kept->fd >= 0 && kept->base == base) {
        rill__file_name(file, &log->dir, name);
        file->fd = kept->fd;
        return 0;
    }
    forget_file(log, kept);
    rc = rill__file_open(&log->dir, name, FILE_WRITE, file);
    if (rc != 0) return rc;
    if (atomic_fetch_add_explicit(log->config.kept_files, 1, memory_order_relaxed) <
        KEPT_FILES_MAX)
        *kept = (struct kept_file){file->fd, base};
    else atomic_fetch_sub_explicit(log->config.kept_files, 1, memory_order_relaxed);
    return 0;
}

void rill__log_put_file(const struct kept_file *kept, struct file *file)
{
    if (file->fd == kept->fd) *file = FILE_NONE;
    else rill__file_close(file);
}

/* ---- Letting go ------------------------------------------------------- */

/* Where nothing will be appended any more, nothing is to be repaired. */
static bool take_append_lock(struct log *log)
{
    int rc;

    if (rill__log_state(log) == 0) return rill__log_lock(log, rill__deadline(0)) == 0;
    rc = rill__shared_mutex_trylock(&log->control->append_lock);
    if (rc == RILL__OWNER_DIED) rill__shared_mutex_repaired(&log->control->append_lock);
    return rc >= 0;
}

static bool take_sync_lock(struct log *log)
{
    int rc = rill__shared_mutex_trylock(&log->control->sync_lock);

    if (rc == RILL__OWNER_DIED) rill__shared_mutex_repaired(&log->control->sync_lock);
    return rc >= 0;
}

void rill__log_shed_before(struct log *log, int64_t base)
{
    struct segment *writer = NULL;
    struct saved_message message;

    rill__message_save(&message);
    if (take_append_lock(log)) {
        if (log->writer != NULL && log->writer->base < base) {
            writer = log->writer;
            log->writer = NULL;
        }
        if (log->writer_file.base < base) forget_file(log, &log->writer_file);
        rill__log_unlock(log);
    }
    if (take_sync_lock(log)) {
        if (log->sync_file.base < base) forget_file(log, &log->sync_file);
        rill__shared_mutex_unlock(&log->control->sync_lock);
    }
    rill__log_unpin(log, writer);
    rill__message_restore(&message);
}

void rill__log_shed(struct log *log)
{
    rill__log_shed_before(log, INT64_MAX);
    rill__log_drop_idle(log);
    rill__log_forget_bases(log);
    atomic_store_explicit(&log->populated_base, -1, memory_order_relaxed);
}

void rill__log_rest(struct log *log)
{
    int64_t now = rill__tick_ms();

    if (atomic_exchange_explicit(&log->used, false, memory_order_relaxed)) log->used_ms = now;
    else if (log->used_ms != 0 && now - log->used_ms >= REST_MS) {
        rill__log_shed(log);
        log->used_ms = 0;
    }
}

void rill__log_close_kept(struct log *log)
{
    forget_file(log, &log->writer_file);
    forget_file(log, &log->sync_file);
}
