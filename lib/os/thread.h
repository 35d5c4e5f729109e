/*
 * os/thread.h - threads, locks and sleeping words.
 *
 * struct mutex is private to a process. struct shared_mutex lives in a mapped
 * file, works between processes, and survives the death of its holder: the
 * next one to lock gets RILL__OWNER_DIED, repairs what the lock guards, and
 * calls rill__shared_mutex_repaired before it unlocks.
 */
#ifndef RILL_OS_THREAD_H
#define RILL_OS_THREAD_H
#include "base/error.h"
#include <pthread.h>
#include <stdatomic.h>

struct mutex {
    pthread_mutex_t m;
};
void rill__mutex_init(struct mutex *mutex);
void rill__mutex_deinit(struct mutex *mutex);
void rill__mutex_lock(struct mutex *mutex);
bool rill__mutex_trylock(struct mutex *mutex);
void rill__mutex_unlock(struct mutex *mutex);

/* A place to wait for a change of what a mutex guards. */
struct condition {
    pthread_cond_t c;
};
void rill__condition_init(struct condition *condition);
void rill__condition_deinit(struct condition *condition);
void rill__condition_wait(struct condition *condition, struct mutex *mutex);
/* The same until the monotonic deadline at most. */
void rill__condition_wait_until(struct condition *condition, struct mutex *mutex,
                                int64_t deadline_ns);
void rill__condition_signal_one(struct condition *condition);
void rill__condition_signal_all(struct condition *condition);

/* 64 bytes wherever it is compiled; the ABI stamp beside it tells whether two
 * builds agree on the inside. */
struct shared_mutex {
    union {
        pthread_mutex_t m;
        uint64_t room[7];
    } u;
    _Atomic uint32_t unrecoverable; /* set for good by whoever is told so: glibc tells one */
    uint32_t pad;
};
#define RILL__OWNER_DIED 1 /* not an error: locked, but repair first */

/* A number that is equal exactly for builds that can share a shared_mutex. */
uint64_t rill__shared_abi(void);
int rill__shared_mutex_init(struct shared_mutex *mutex);
/* Spins for a bounded time with trylock, then sleeps until the monotonic
 * deadline. 0, RILL__OWNER_DIED, RILL_ERR_TIMEOUT, or RILL_ERR_IO
 * "unrecoverable" when a repairer gave up. */
int rill__shared_mutex_lock(struct shared_mutex *mutex, int64_t deadline_ns);
/* 0, RILL__OWNER_DIED, or RILL_ERR_BUSY without a message. */
int rill__shared_mutex_trylock(struct shared_mutex *mutex);
void rill__shared_mutex_repaired(struct shared_mutex *mutex);
void rill__shared_mutex_unlock(struct shared_mutex *mutex);

/* Sleeps while *word == expected, until woken or the monotonic deadline; may
 * return early. Works between processes. Async-signal-safe. */
void rill__futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);
void rill__futex_wake_all(_Atomic uint32_t *word);

/* One pause of a spinning loop. */
static inline void rill__cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

struct thread {
    pthread_t id;
    bool running;
};
/* All signals blocked in it. */
int rill__thread_start(struct thread *thread, void *(*run)(void *arg), void *arg);
void rill__thread_join(struct thread *thread);
/* Nobody will join it: what the system holds for it goes when it ends. */
void rill__thread_detach(struct thread *thread);
/* An address that is another one in every thread. */
const void *rill__this_thread(void);

#endif
