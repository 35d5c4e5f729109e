/*
 * os/thread.c - see os/thread.h.
 */
#include "os/thread.h"
#include "os/os.h"
#include <errno.h>
#include <assert.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER
#endif
#endif

#define SPIN_TRIES 100
#define SPIN_PAUSES 8

static_assert(sizeof(pthread_mutex_t) <= 56, "a mutex fits in its room");
static_assert(sizeof(struct shared_mutex) == 64, "a shared mutex is 64 bytes everywhere");

void rill__mutex_init(struct mutex *mutex)
{
    pthread_mutex_init(&mutex->m, NULL); /* such a one cannot fail */
}

void rill__mutex_deinit(struct mutex *mutex)
{
    pthread_mutex_destroy(&mutex->m);
}

void rill__mutex_lock(struct mutex *mutex)
{
    pthread_mutex_lock(&mutex->m);
}

bool rill__mutex_trylock(struct mutex *mutex)
{
    return pthread_mutex_trylock(&mutex->m) == 0;
}

void rill__mutex_unlock(struct mutex *mutex)
{
    pthread_mutex_unlock(&mutex->m);
}

void rill__condition_init(struct condition *condition)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr); /* none of these can fail, with such a clock */
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&condition->c, &attr);
    pthread_condattr_destroy(&attr);
}

void rill__condition_deinit(struct condition *condition)
{
    pthread_cond_destroy(&condition->c);
}

void rill__condition_wait(struct condition *condition, struct mutex *mutex)
{
    pthread_cond_wait(&condition->c, &mutex->m);
}

void rill__condition_wait_until(struct condition *condition, struct mutex *mutex,
                                int64_t deadline_ns)
{
    struct timespec t = {deadline_ns / 1000000000, deadline_ns % 1000000000};

    if (deadline_ns == INT64_MAX) pthread_cond_wait(&condition->c, &mutex->m);
    else pthread_cond_timedwait(&condition->c, &mutex->m, &t);
}

void rill__condition_signal_one(struct condition *condition)
{
    pthread_cond_signal(&condition->c);
}

void rill__condition_signal_all(struct condition *condition)
{
    pthread_cond_broadcast(&condition->c);
}

/* ---- Between processes ------------------------------------------------ */

uint64_t rill__shared_abi(void)
{
    uint64_t libc = 0;
    uint64_t machine = 0;

#if defined(__GLIBC__)
    libc = 1;
#elif defined(__linux__)
    libc = 2;
#endif
#if defined(__x86_64__)
    machine = 1;
#elif defined(__aarch64__)
    machine = 2;
#elif defined(__i386__)
    machine = 3;
#elif defined(__riscv)
    machine = 4;
#endif
    return UINT64_C(0x52494c4c00000000) | machine << 24 | libc << 16 | sizeof(void *) << 8 |
           sizeof(pthread_mutex_t);
}

int rill__shared_mutex_init(struct shared_mutex *mutex)
{
    pthread_mutexattr_t attr;
    int e = pthread_mutexattr_init(&attr);

    if (e == 0) e = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (e == 0) e = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (e == 0) e = pthread_mutex_init(&mutex->u.m, &attr);
    pthread_mutexattr_destroy(&attr);
    return e == 0 ? 0 : rill__fail_os(e, "cannot make a shared mutex");
}

static int unrecoverable(struct shared_mutex *mutex)
{
    atomic_store(&mutex->unrecoverable, 1);
    return rill__fail(RILL_ERR_IO, "a shared lock is unrecoverable; close the store in every "
                                   "process and open it again");
}

int rill__shared_mutex_trylock(struct shared_mutex *mutex)
{
    if (atomic_load_explicit(&mutex->unrecoverable, memory_order_relaxed) != 0)
        return unrecoverable(mutex);
    switch (pthread_mutex_trylock(&mutex->u.m)) {
    case 0: return 0;
    case EOWNERDEAD: return RILL__OWNER_DIED;
    case ENOTRECOVERABLE: return unrecoverable(mutex);
    default: return RILL_ERR_BUSY;
    }
}

/* pthread's result. */
static int lock_until(struct shared_mutex *mutex, int64_t deadline_ns)
{
#ifdef THREAD_SANITIZER
    /* The sanitizer does not know pthread_mutex_clocklock. */
    int e;
    while ((e = pthread_mutex_trylock(&mutex->u.m)) == EBUSY) {
        if (rill__monotonic_ns() >= deadline_ns) return ETIMEDOUT;
        rill__sleep_ns(100000);
    }
    return e;
#else
    struct timespec t = {deadline_ns / 1000000000, deadline_ns % 1000000000};

    if (deadline_ns == INT64_MAX) return pthread_mutex_lock(&mutex->u.m);
    return pthread_mutex_clocklock(&mutex->u.m, CLOCK_MONOTONIC, &t);
#endif
}

int rill__shared_mutex_lock(struct shared_mutex *mutex, int64_t deadline_ns)
{
    int rc;
    int e;

    /* A contended futex per append costs five times a short spin. */
    for (int i = 0; i < SPIN_TRIES; i++) {
        rc = rill__shared_mutex_trylock(mutex);
        if (rc != RILL_ERR_BUSY) return rc;
        for (int j = 0; j < SPIN_PAUSES; j++) rill__cpu_relax();
    }
    e = lock_until(mutex, deadline_ns);
    switch (e) {
    case 0: return 0;
    case EOWNERDEAD: return RILL__OWNER_DIED;
    case ENOTRECOVERABLE: return unrecoverable(mutex);
    case ETIMEDOUT: return rill__fail(RILL_ERR_TIMEOUT, "a shared lock is held by another");
    default: return rill__fail_os(e, "a shared lock cannot be taken");
    }
}

void rill__shared_mutex_repaired(struct shared_mutex *mutex)
{
    pthread_mutex_consistent(&mutex->u.m);
}

void rill__shared_mutex_unlock(struct shared_mutex *mutex)
{
    pthread_mutex_unlock(&mutex->u.m);
}

/* ---- Futex ------------------------------------------------------------ */

void rill__futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
    struct timespec t;
    int e = errno;

#ifdef THREAD_SANITIZER
    /* The sanitizer holds signals back while we are in a call it does not know. */
    if (deadline_ns > rill__deadline(50)) deadline_ns = rill__deadline(50);
#endif
    t = (struct timespec){deadline_ns / 1000000000, deadline_ns % 1000000000};
    syscall(SYS_futex, (uint32_t *)(void *)word, FUTEX_WAIT_BITSET, expected,
            deadline_ns == INT64_MAX ? NULL : &t, NULL, FUTEX_BITSET_MATCH_ANY);
    errno = e;
}

void rill__futex_wake_all(_Atomic uint32_t *word)
{
    int e = errno;

    syscall(SYS_futex, (uint32_t *)(void *)word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = e;
}

/* ---- Threads ---------------------------------------------------------- */

int rill__thread_start(struct thread *thread, void *(*run)(void *arg), void *arg)
{
    sigset_t all;
    sigset_t before;
    int e;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(&thread->id, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread->running = e == 0;
    return e == 0 ? 0 : rill__fail_os(e, "cannot start a thread");
}

void rill__thread_join(struct thread *thread)
{
    if (thread->running) pthread_join(thread->id, NULL);
    thread->running = false;
}

void rill__thread_detach(struct thread *thread)
{
    if (thread->running) pthread_detach(thread->id);
    thread->running = false;
}

const void *rill__this_thread(void)
{
    static _Thread_local char here;
    return &here;
}
