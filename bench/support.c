/*
 * support.c - the machine, a store, and another thread or process.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#endif

/* ---- Errors ----------------------------------------------------------- */

void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

void die_rill(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, rill_errmsg());
    exit(1);
}

void die_os(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- The machine ------------------------------------------------------ */

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

uint64_t checksum(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

void warm_memory(uint64_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) die_os("warm memory");
    for (uint64_t i = 0; i < bytes; i += 4096) memory[i] = 1;
    munmap(memory, bytes);
}

void *allocate(size_t size)
{
    void *memory = calloc(1, size);

    if (memory == NULL) die("out of memory");
    return memory;
}

void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) die_os("shared memory");
    return memory;
}

void shared_memory_free(void *memory, size_t size)
{
    munmap(memory, size);
}

/* ---- Files ------------------------------------------------------------ */

static const char *path_of(const struct bench *bench, const char *file, char path[5000])
{
    snprintf(path, 5000, "%s/%s", bench->dir, file);
    return path;
}

int file_open(const struct bench *bench, const char *file, size_t size)
{
    static const char zeros[1 << 16];
    char path[5000];
    int fd = open(path_of(bench, file, path), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) die_os(path);
    for (size_t at = 0; at < size; at += sizeof zeros)
        if (pwrite(fd, zeros, sizeof zeros, (off_t)at) != (ssize_t)sizeof zeros) die_os(path);
    return fd;
}

void file_remove(const struct bench *bench, const char *file)
{
    char path[5000];

    if (unlink(path_of(bench, file, path)) != 0) die_os(path);
}

void *file_map(const struct bench *bench, const char *file, size_t size, bool hot)
{
    int fd = file_open(bench, file, hot ? size : 0);
    char *map;

    if (!hot && posix_fallocate(fd, 0, (off_t)size) != 0) die("cannot allocate a file");
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) die_os("map a file");
    for (size_t i = 0; hot && i < size; i += 4096) map[i] = 1;
    close(fd);
    return map;
}

void file_unmap(const struct bench *bench, const char *file, void *map, size_t size)
{
    munmap(map, size);
    file_remove(bench, file);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

void store_remove(const struct bench *bench, const char *file)
{
    char path[5000];

    nftw(path_of(bench, file, path), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- rill ------------------------------------------------------------- */

rill *store_open(const struct bench *bench, const char *file, bool create)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_THREAD};
    char path[5000];
    rill *store;

    if (create) options.flags |= RILL_OPEN_CREATE;
    if (rill_open(path_of(bench, file, path), &options, &store) != 0) die_rill("open a store");
    if (create && rill_topic_create(store, TOPIC, NULL) != 0) die_rill("create a topic");
    return store;
}

void store_close(rill *store)
{
    if (rill_close(store) != 0) die_rill("close a store");
}

rill_producer *producer_open(rill *store, int32_t acks)
{
    rill_producer_options options = {.size = sizeof options, .topic = TOPIC, .acks = acks};
    rill_producer *producer;

    if (rill_producer_open(store, &options, &producer) != 0) die_rill("open a producer");
    return producer;
}

void producer_close(rill_producer *producer)
{
    if (rill_producer_close(producer, 10000) != 0) die_rill("close a producer");
}

rill_consumer *consumer_at_start(rill *store, const rill_consumer_options *options)
{
    const rill_position start = {.topic = TOPIC, .offset = RILL_OFFSET_EARLIEST};
    rill_consumer *consumer;

    if (rill_consumer_open(store, options, &consumer) != 0) die_rill("open a consumer");
    if (rill_consumer_assign(consumer, &start, 1) != 0) die_rill("assign");
    return consumer;
}

void records_fill(rill_record *records, size_t count, size_t value_size)
{
    static char bytes[BATCH * (KEY_SIZE + VALUE_MAX)];

    if (bytes[0] == 0)
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(1 + i * 7 % 250);
    for (size_t i = 0; i < count; i++) {
        char *at = bytes + i % BATCH * (KEY_SIZE + VALUE_MAX);

        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = 0;
        records[i].key = (rill_bytes){at, KEY_SIZE};
        records[i].value = (rill_bytes){at + KEY_SIZE, value_size};
    }
}

rill_record record_at(char *value, size_t value_size)
{
    rill_record record = RILL_RECORD_INIT;

    record.partition = 0;
    record.key = (rill_bytes){value - KEY_SIZE, KEY_SIZE};
    record.value = (rill_bytes){value, value_size};
    return record;
}

void pace(size_t count, int64_t gap_ns, void (*put)(void *arg, char *value), void *arg)
{
    char message[KEY_SIZE + VALUE_MAX] = {1};
    int64_t due = now_ns() + 1000000;

    for (size_t i = 0; i < count; i++, due += gap_ns) {
        while (now_ns() < due) cpu_pause();
        memcpy(message + KEY_SIZE, &due, sizeof due);
        put(arg, message + KEY_SIZE);
    }
}

void append_timed(rill_producer *producer, const rill_record *records, uint64_t batches,
                  int64_t *latencies)
{
    int64_t before = now_ns();

    for (uint64_t i = 0; i < batches; i++) {
        int64_t after;

        if (rill_producer_append(producer, records, BATCH, 10000, NULL) != 0) die_rill("append");
        after = now_ns();
        latencies[i] = after - before;
        before = after;
    }
}

void log_fill(rill *store, uint64_t count, size_t value_size)
{
    rill_producer *producer = producer_open(store, RILL_ACKS_WRITTEN);
    rill_record records[BATCH];

    records_fill(records, BATCH, value_size);
    for (uint64_t i = 0; i < count; i += BATCH) {
        size_t n = count - i < BATCH ? (size_t)(count - i) : BATCH;
        if (rill_producer_append(producer, records, n, 10000, NULL) != 0) die_rill("append");
    }
    producer_close(producer);
}

/* ---- Another thread or process ------------------------------------------ */

struct worker {
    pthread_t thread;
    pid_t pid; /* 0 = a thread */
    void (*function)(void *arg);
    void *arg;
};

static void *thread_main(void *arg)
{
    struct worker *worker = arg;

    worker->function(worker->arg);
    return NULL;
}

struct worker *worker_start(bool process, void (*function)(void *arg), void *arg)
{
    struct worker *worker = allocate(sizeof *worker);

    worker->function = function;
    worker->arg = arg;
    if (!process) {
        if (pthread_create(&worker->thread, NULL, thread_main, worker) != 0) die("no thread");
        return worker;
    }
    fflush(NULL);
    worker->pid = fork();
    if (worker->pid < 0) die_os("fork");
    if (worker->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        function(arg);
        _exit(0);
    }
    return worker;
}

void worker_kill(struct worker *worker)
{
    kill(worker->pid, SIGKILL);
    waitpid(worker->pid, NULL, 0);
    free(worker);
}

void worker_join(struct worker *worker)
{
    int status = 0;

    if (worker->pid == 0) pthread_join(worker->thread, NULL);
    else if (waitpid(worker->pid, &status, 0) != worker->pid) die_os("waitpid");
    if (status != 0) die("the other process failed");
    free(worker);
}
