/*
 * output.c - standard output: buffered, and honest about failures.
 *
 * Always true:
 *   - what failed first is remembered (failure), and nothing is written after it;
 *     so a loop may go on and look at put_flush() once per round;
 *   - a reader that has gone (EPIPE) is no error to report: we end quietly, with
 *     the status of a process that SIGPIPE killed;
 *   - a write that waits for a slow reader gives up when a signal has stopped us.
 */
#include "tool.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

static char *buffer;
static size_t used, room;
static bool holding;
static int failure; /* errno of the first write that failed; EINTR: stopped */

static void write_out(void)
{
    size_t done = 0;

    while (done < used && failure == 0) {
        ssize_t size = write(STDOUT_FILENO, buffer + done, used - done);

        if (size >= 0) {
            done += (size_t)size;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = STDOUT_FILENO, .events = POLLOUT};

            if (poll(&wait, 1, -1) < 0 && stopped != 0) failure = EINTR;
        } else if (errno != EINTR || stopped != 0) {
            failure = errno;
        }
    }
    used = 0;
}

void put_bytes(const void *data, size_t size)
{
    if (failure != 0 || size == 0) return;
    if (size > room - used) {
        if (!holding) write_out();
        if (size > room - used) {
            size_t wanted = used + size > BUFFER_BYTES ? used + size : BUFFER_BYTES;

            room = wanted + wanted / 2;
            buffer = must_grow(buffer, room);
        }
    }
    memcpy(buffer + used, data, size);
    used += size;
    if (!holding && used >= BUFFER_BYTES) write_out();
}

void put(const char *text)
{
    put_bytes(text, strlen(text));
}

void putf(const char *format, ...)
{
    char text[1024], *large;
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < (int)sizeof text) {
        put_bytes(text, (size_t)size);
        return;
    }
    large = must_alloc((size_t)size + 1);
    va_start(args, format);
    vsnprintf(large, (size_t)size + 1, format, args);
    va_end(args);
    put_bytes(large, (size_t)size);
    free(large);
}

void put_repeated(char c, size_t count)
{
    while (count-- > 0) put_bytes(&c, 1);
}

bool put_flush(void)
{
    if (!holding) write_out();
    return failure == 0;
}

bool put_ok(void)
{
    return failure == 0;
}

void put_hold(bool hold)
{
    holding = hold;
}

void put_drop(void)
{
    used = 0;
    holding = false;
}

int put_end(int status)
{
    holding = false;
    write_out();
    /* Network file systems tell some failures only here. */
    if (failure == 0 && close(STDOUT_FILENO) != 0) failure = errno;
    free(buffer);
    buffer = NULL;
    room = 0;
    if (failure == EPIPE) return status == DONE ? OUTPUT_CLOSED : status;
    if (failure == 0 || failure == EINTR) return status == OUTPUT_CLOSED ? FAILED : status;
    return fail(failure == ENOSPC || failure == EDQUOT ? NO_SPACE : FAILED, "standard output: %s",
                strerror(failure));
}
