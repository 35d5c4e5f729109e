/*
 * os/clock.c - time, randomness, and who we are.
 */
#include "os/os.h"
#include "os/sys.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t rill__now_ms(void)
{
    struct timespec t;
    SYS(clock_gettime)(CLOCK_REALTIME_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t rill__monotonic_ns(void)
{
    struct timespec t;
    SYS(clock_gettime)(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t rill__boot_ms(void)
{
    struct timespec t;
    SYS(clock_gettime)(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t rill__tick_ms(void)
{
    struct timespec t;
    SYS(clock_gettime)(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void rill__sleep_ns(int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    nanosleep(&t, NULL);
}

int64_t rill__deadline(int timeout_ms)
{
    if (timeout_ms < 0) return INT64_MAX;
    return rill__monotonic_ns() + (int64_t)timeout_ms * 1000000;
}

int rill__time_left_ms(int64_t deadline_ns)
{
    int64_t left;

    if (deadline_ns == INT64_MAX) return RILL_FOREVER;
    left = (deadline_ns - rill__monotonic_ns() + 999999) / 1000000;
    return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

int rill__random(void *data, size_t size)
{
    char *at = data;

    while (size > 0) {
        ssize_t n = SYS(getrandom)(at, size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return rill__fail_os(errno, "no random numbers");
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* The first bytes of a small file of the kernel's, as text; "" if there is none. */
static void read_text(const char *path, char *text, size_t size)
{
    int fd = SYS(openat)(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : SYS(pread)(fd, text, size - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    if (fd >= 0) SYS(close)(fd);
}

int rill__boot_id(uint8_t *id)
{
    char text[64];
    size_t digits = 0;

    memset(id, 0, 16);
    read_text("/proc/sys/kernel/random/boot_id", text, sizeof text);
    for (const char *p = text; *p != '\0' && digits < 32; p++) {
        int v = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;
        if (v < 0) continue;
        id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | v);
        digits++;
    }
    if (digits != 32) memset(id, 0, 16);
    return 0;
}

int32_t rill__process_id(void)
{
    return (int32_t)getpid();
}

/* Field 3, a letter, and field 22 of the kernel's line about a process. */
static uint64_t read_stat(int32_t pid, char *state)
{
    char path[40];
    char text[512];
    const char *p;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    read_text(path, text, sizeof text);
    p = strrchr(text, ')'); /* the name may hold anything, also blanks */
    *state = p != NULL && p[1] == ' ' ? p[2] : '?';
    for (int field = 2; p != NULL && field < 22; field++) p = strchr(p + 1, ' ');
    return p == NULL ? 0 : strtoull(p + 1, NULL, 10);
}

uint64_t rill__process_start(int32_t pid)
{
    char state;
    return read_stat(pid, &state);
}

enum process_state rill__process_state(int32_t pid, uint64_t start)
{
    char state;

    if (start == 0 || read_stat(pid, &state) != start) return PROCESS_UNKNOWN;
    switch (state) {
    case 'T':
    case 't': return PROCESS_STOPPED;
    case 'R':
    case 'S':
    case 'D':
    case 'I': return PROCESS_RUNS;
    default: return PROCESS_UNKNOWN; /* dead, or something new */
    }
}

uint64_t rill__pid_namespace(void)
{
    struct stat st;

    return SYS(fstatat)(AT_FDCWD, "/proc/self/ns/pid", &st, 0) == 0 ? (uint64_t)st.st_ino : 0;
}

size_t rill__page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}
