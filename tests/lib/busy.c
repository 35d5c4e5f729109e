/*
 * busy.c - see busy.h.
 */
#include "busy.h"
#include "engine/store.h"
#include "records.h"

static struct {
    pthread_t thread;
    pthread_t ender;
    pthread_barrier_t barrier;
    rill *store;
    bool holds;
    bool ends;
} busy;

static void *hold(void *arg)
{
    struct shared_mutex *lock = &busy.store->store->shared->catalogue_turns.lock;

    (void)arg;
    thread_ok(rill__shared_mutex_lock(lock, rill__deadline(WAIT_MS)), "the catalogue's lock");
    pthread_barrier_wait(&busy.barrier);
    pthread_barrier_wait(&busy.barrier);
    rill__shared_mutex_unlock(lock);
    return NULL;
}

void busy_begin(rill *store)
{
    assert_int_equal(pthread_barrier_init(&busy.barrier, NULL, 2), 0);
    busy.store = store;
    busy.thread = thread_start(hold, NULL);
    pthread_barrier_wait(&busy.barrier);
    busy.holds = true;
}

static void let_go(void)
{
    pthread_barrier_wait(&busy.barrier);
    pthread_join(busy.thread, NULL);
}

static void *let_go_soon(void *arg)
{
    (void)arg;
    usleep(20000);
    let_go();
    return NULL;
}

void busy_end_soon(void)
{
    busy.ends = true;
    busy.ender = thread_start(let_go_soon, NULL);
}

void busy_end(void)
{
    if (!busy.holds) return;
    if (busy.ends) thread_join(busy.ender);
    else let_go();
    pthread_barrier_destroy(&busy.barrier);
    busy.holds = busy.ends = false;
}
