/*
 * os/fork.c - noticing that we are a forked child.
 *
 * A handler that runs in the child counts a number up, which handles compare
 * with the number of their birth, and closes descriptors whose locks belong to
 * the parent: an open file, and with it its locks, is shared by both until
 * both have closed it.
 */
#include "os/os.h"
#include "os/sys.h"
#include "os/thread.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#define WATCHED_MAX 64

static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static int watch_result;
static _Atomic(struct mutex *) guarded_mutex;
static _Atomic uint32_t fork_generation = 1;
static _Atomic int watched[WATCHED_MAX]; /* descriptor + 1; 0: free */

static void before_fork(void)
{
    rill__mutex_lock(atomic_load(&guarded_mutex));
}

static void in_parent(void)
{
    rill__mutex_unlock(atomic_load(&guarded_mutex));
}

static void in_child(void)
{
    rill__mutex_unlock(atomic_load(&guarded_mutex));
    atomic_fetch_add(&fork_generation, 1);
    for (int i = 0; i < WATCHED_MAX; i++) {
        int fd = atomic_exchange(&watched[i], 0);
        if (fd != 0) close(fd - 1);
    }
}

static void watch(void)
{
    watch_result = pthread_atfork(before_fork, in_parent, in_child);
}

int rill__fork_watch(struct mutex *guarded)
{
    atomic_store(&guarded_mutex, guarded);
    pthread_once(&watch_once, watch);
    return watch_result == 0 ? 0 : rill__fail_os(watch_result, "cannot watch for fork()");
}

uint32_t rill__fork_generation(void)
{
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

int rill__fork_close_on(int fd)
{
    for (int i = 0; i < WATCHED_MAX; i++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&watched[i], &none, fd + 1)) return 0;
    }
    return rill__fail(RILL_ERR_NO_MEMORY, "more than %d stores open in one process", WATCHED_MAX);
}

void rill__fork_forget(int fd)
{
    for (int i = 0; i < WATCHED_MAX; i++) {
        int mine = fd + 1;
        if (atomic_compare_exchange_strong(&watched[i], &mine, 0)) return;
    }
}

int rill__event_open(int *fd)
{
    *fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return *fd >= 0 ? 0 : rill__fail_os(errno, "cannot make an event descriptor");
}

void rill__event_set(int fd)
{
    eventfd_write(fd, 1);
}

void rill__event_clear(int fd)
{
    eventfd_t value;
    eventfd_read(fd, &value);
}

void rill__fd_close(int fd)
{
    if (fd >= 0) SYS(close)(fd);
}
