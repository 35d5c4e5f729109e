/*
 * terminal.c - what differs on a terminal: colours, progress, signals.
 *
 * Colours: only where a terminal shows them, and never with NO_COLOR set; --color
 * decides otherwise. The progress line is on standard error, so it never gets
 * into what a program reads.
 */
#include "tool.h"

#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

int64_t colour_when;

bool is_terminal(int fd)
{
    return isatty(fd) == 1;
}

bool colours_wanted(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    if (colour_when != 0) return colour_when > 0;
    return is_terminal(fd) && (no == NULL || no[0] == 0) && term != NULL &&
           strcmp(term, "dumb") != 0;
}

const char *colour(enum colour colour)
{
    static const char *const sequences[] = {"\033[0m",  "\033[1m",  "\033[2m",  "\033[31m",
                                            "\033[32m", "\033[33m", "\033[34m", "\033[36m"};
    static int wanted = -1;

    if (wanted < 0) wanted = colours_wanted(STDOUT_FILENO);
    return wanted != 0 ? sequences[colour] : "";
}

bool terminal_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void terminal_size(int fd, unsigned *columns, unsigned *rows)
{
    struct winsize size = {0};

    ioctl(fd, TIOCGWINSZ, &size);
    *columns = size.ws_col != 0 ? size.ws_col : 80;
    *rows = size.ws_row != 0 ? size.ws_row : 24;
}

bool confirmed(const char *format, ...)
{
    char answer[16];
    va_list args;

    if (!is_terminal(STDIN_FILENO) || !is_terminal(STDERR_FILENO)) return true;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("? [y/N] ", stderr);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---- Signals ---------------------------------------------------------------- */

volatile int stopped;
static rill_consumer *_Atomic sleeper; /* stored by us, loaded by the handler */

static void on_signal(int number)
{
    rill_consumer *consumer = sleeper;

    stopped = number;
    if (consumer != NULL) rill_consumer_wakeup(consumer);
}

void signals_catch(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction before;

        /* nohup, and shells for jobs in the background, have them ignored: so it stays. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN) continue;
        sigaction(numbers[i], &action, NULL);
    }
}

void signals_wake(rill_consumer *consumer)
{
    sleeper = consumer;
}

int stopped_status(int status)
{
    return stopped != 0 && status == DONE ? 128 + stopped : status;
}

void sleep_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (ms % 1000) * 1000000};

    if (ms > 0 && stopped == 0) nanosleep(&time, NULL);
}

/* ---- Progress ---------------------------------------------------------------- */

static bool shown;

void progress(const char *what, uint64_t done, uint64_t total, bool bytes)
{
    static int64_t began_ns, last_ns;
    static const char *last_what;
    static int wanted = -1;
    unsigned columns, rows;
    int64_t now = steady_ns();
    char line[200];
    double seconds, speed;
    int size;

    if (wanted < 0) wanted = !quiet && is_terminal(STDERR_FILENO);
    if (wanted == 0) return;
    if (last_what == NULL || strcmp(last_what, what) != 0) began_ns = now, last_ns = now;
    last_what = what;
    /* What is done in the blink of an eye needs no line. */
    if (now - last_ns < 100000000 || now - began_ns < 300000000) return;
    last_ns = now;
    seconds = (double)(now - began_ns) / 1e9;
    speed = (double)done / seconds;
    size = snprintf(line, sizeof line, "%s  ", what);
    if (total > 0) {
        double part = done < total ? (double)done / (double)total : 1;
        char bar[21];

        for (int i = 0; i < 20; i++) bar[i] = i < (int)(part * 20 + 0.5) ? '#' : '.';
        bar[20] = 0;
        size +=
            snprintf(line + size, sizeof line - (size_t)size, "%3.0f%% %s  ", part * 100, bar);
    }
    if (bytes)
        size += snprintf(line + size, sizeof line - (size_t)size, "%s  %s/s", size_text(done),
                         size_text((uint64_t)speed));
    else
        size += snprintf(line + size, sizeof line - (size_t)size, "%s  %s/s",
                         count_text((int64_t)done), rate_text(speed));
    if (total > done && speed > 0)
        snprintf(line + size, sizeof line - (size_t)size, "  %s left",
                 duration_text((int64_t)((double)(total - done) / speed) * 1000));
    terminal_size(STDERR_FILENO, &columns, &rows);
    fprintf(stderr, "\r%.*s\033[K", (int)columns - 1, line);
    fflush(stderr);
    shown = true;
}

int show_progress(void *arg, const rill_progress *state)
{
    progress(arg, state->done, state->total, true);
    return stopped != 0 ? PROGRESS_STOPPED : 0;
}

void progress_clear(void)
{
    if (shown) fputs("\r\033[K", stderr);
    shown = false;
}
