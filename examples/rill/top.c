/*
 * top.c - rill top: a live view of the store.
 *
 * On a terminal it draws a screen per sample, on the alternate screen with plain
 * ANSI sequences, and reads keys from /dev/tty. Everything drawn is cut to the
 * terminal's size, which is looked at for every frame, so resizing needs nothing else
 * than another frame. Whatever ends us, but for kill -9, the terminal is as it was:
 * restore() runs at exit, and around Ctrl-Z.
 *
 * Anywhere else it prints tables, or with --json an object per line, and ends.
 */
#include "sample.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static bool json;
static int64_t interval_ms = 1000, frames;

static const struct option top_options[] = {
    {"interval", 'i', OPTION_DURATION, &interval_ms, "TIME", "look so often; 1s", 100, 3600000,
     0},
    {"count", 'n', OPTION_NUMBER, &frames, "N",
     "end after so many looks; without end on a terminal, 1 elsewhere", 1, INT64_MAX, 0},
    {"json", 'J', OPTION_FLAG, &json, 0, "an object per look, each in a line", 0, 0, 0},
    {0},
};

/* ---- The terminal ---------------------------------------------------------------- */

static int keyboard = -1;
static struct termios before;
static bool raw; /* the terminal is as we want it */
static volatile sig_atomic_t resized, suspend;

static void restore(void)
{
    static const char leave[] = "\033[?25h\033[?1049l";

    if (!raw) return;
    raw = false;
    if (write(STDOUT_FILENO, leave, sizeof leave - 1) < 0) return;
    tcsetattr(keyboard, TCSADRAIN, &before);
}

static void prepare(void)
{
    struct termios now = before;

    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(keyboard, TCSADRAIN, &now);
    put("\033[?1049h\033[?25l");
    raw = true;
    resized = 1;
}

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

static void on_suspend(int number)
{
    (void)number;
    suspend = 1;
}

/* Ctrl-Z: what the shell expects, between two frames. */
static void suspend_now(void)
{
    suspend = 0;
    restore();
    raise(SIGSTOP);
    prepare();
}

static bool terminal_open(void)
{
    struct sigaction action = {.sa_handler = on_resize};

    keyboard = open("/dev/tty", O_RDONLY | O_CLOEXEC);
    if (keyboard < 0 || tcgetattr(keyboard, &before) != 0) return false;
    sigaction(SIGWINCH, &action, NULL);
    action.sa_handler = on_suspend;
    sigaction(SIGTSTP, &action, NULL);
    atexit(restore);
    prepare();
    return true;
}

/* What was typed and is not handled yet. */
static char keys[64];
static size_t key_count;

/* Takes the first key out of keys; arrows are k and j. 0: it is none that we know. */
static int key_take(void)
{
    size_t size = 1;
    int key = (unsigned char)keys[0];

    if (key == '\033' && key_count >= 3 && (keys[1] == '[' || keys[1] == 'O')) {
        /* Parameters, then a letter or a tilde: ESC [ 5 ~ */
        for (size = 2; size < key_count - 1 && (unsigned char)keys[size] < 0x40; size++) continue;
        key = keys[size] == 'A'   ? 'k'
              : keys[size] == 'B' ? 'j'
              : keys[size] == 'H' ? 'g'
              : keys[size] != '~' ? 0
              : keys[2] == '5'    ? 'b'
              : keys[2] == '6'    ? ' '
                                  : 0;
        size++;
    }
    key_count -= size;
    memmove(keys, keys + size, key_count);
    return key;
}

/* The next key, or 0 when there is none within ms. */
static int key_wait(int64_t ms)
{
    struct pollfd wait = {.fd = keyboard, .events = POLLIN};
    ssize_t size;

    if (key_count > 0) return key_take();
    if (poll(&wait, 1, (int)ms) <= 0) return 0;
    size = read(keyboard, keys, sizeof keys);
    if (size <= 0) return 'q'; /* the terminal has gone */
    key_count = (size_t)size;
    return key_take();
}

/* ---- Rows of the screen ------------------------------------------------------------- */

static unsigned columns, rows, row; /* row: the one that comes next, from 0 */
static char text[4096];
static size_t used;

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *format, ...)
{
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(text + used, sizeof text - used, format, args);
    va_end(args);
    if (size > 0)
        used += (size_t)size < sizeof text - used ? (size_t)size : sizeof text - used - 1;
}

/* Writes the row that was added up, cut to the width; sequences take no room. */
static void end_row(void)
{
    size_t at = 0;
    unsigned column = 0;

    if (row < rows) putf("\033[%u;1H", row + 1);
    while (at < used && row < rows) {
        size_t length = 1;

        if (text[at] == '\033') {
            length = strcspn(text + at, "m") + 1;
        } else {
            length = utf8_length((uint8_t *)text + at, used - at);
            if (length == 0) length = 1;
            if (column == columns) {
                at += length;
                continue;
            }
            column++;
        }
        put_bytes(text + at, length);
        at += length;
    }
    if (row < rows) put(column < columns ? "\033[K" : "");
    row++;
    used = 0;
}

/* The last width values as a curve, the newest one at the right. */
static void add_curve(const struct series *series, unsigned width)
{
    static const char *const blocks[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                         "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char letters[] = "_.:-=+*#";
    bool utf8 = terminal_utf8();
    double most = 0;

    if (width > HISTORY) width = HISTORY;
    for (unsigned back = 0; back < width && back < series->count; back++)
        if (series_back(series, back) > most) most = series_back(series, back);
    add("%*s", (int)(width > series->count ? width - series->count : 0), "");
    add("%s", colour(CYAN));
    for (unsigned back = width < series->count ? width : series->count; back-- > 0;) {
        double part = most > 0 ? series_back(series, back) / most : 0;
        unsigned level = part <= 0 ? 0 : 1 + (unsigned)(part * 6.99);

        if (utf8) add("%s", blocks[level > 7 ? 7 : level]);
        else add("%c", letters[level > 7 ? 7 : level]);
    }
    add("%s", colour(PLAIN));
}

/* Names are cut so that the figures stay in sight. */
static void add_name(const char *name, unsigned width)
{
    size_t size = strlen(name);

    if (size > width) add("%.*s~", (int)width - 1, name);
    else add("%-*s", (int)width, name);
}

/* ---- The view ---------------------------------------------------------------------------- */

enum order { BY_NAME, BY_RATE, BY_RECORDS, BY_SIZE, ORDERS };
static const char *const order_names[] = {"name", "rate", "records", "size"};
static enum order order;
static bool on_groups, paused; /* the keys scroll the groups */
static size_t first_topic, first_group;

static int compare_topics(const void *a, const void *b)
{
    const struct topic_row *x = *(const struct topic_row *const *)a;
    const struct topic_row *y = *(const struct topic_row *const *)b;

    if (order == BY_RATE && x->rate != y->rate) return x->rate < y->rate ? 1 : -1;
    if (order == BY_RECORDS && x->records != y->records) return x->records < y->records ? 1 : -1;
    if (order == BY_SIZE && x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return strcmp(x->name, y->name);
}

static int compare_groups(const void *a, const void *b)
{
    const struct group_row *x = *(const struct group_row *const *)a;
    const struct group_row *y = *(const struct group_row *const *)b;

    if (order != BY_NAME && x->lag != y->lag) return x->lag < y->lag ? 1 : -1;
    return strcmp(x->name, y->name);
}

/* When the group has read all, at the pace of the last sample. */
static const char *left_text(const struct group_row *group)
{
    if (!group->rated) return "";
    if (group->lag == 0) return "none";
    if (group->growth < 0)
        return duration_text((int64_t)((double)group->lag / -group->growth * 1000));
    return group->rate > 0       ? "falls behind"
           : group->members == 0 ? "nobody reads"
                                 : "stands still";
}

static void draw_head(const struct view *view)
{
    const char *dir;

    store_name(&dir);
    /* The store comes last: its name may be long. */
    add("%srill top%s  %s  %s, %s, %s, %s  %s", colour(BOLD), colour(PLAIN),
        time_text(now_ms()) + 11, counted((int64_t)view->topic_count, "topic"),
        counted((int64_t)view->partitions, "partition"),
        counted((int64_t)view->records, "record"), size_text(view->bytes), dir);
    end_row();
    if (view->rated)
        add("appended %s/s, %s/s   polled %s/s   commits %s/s   syncs %s/s   wake-ups %s/s",
            rate_text(view->appended), size_text((uint64_t)view->appended_bytes),
            rate_text(view->polled), rate_text(view->commits), rate_text(view->syncs),
            rate_text(view->wakeups));
    end_row();
}

/* Scrolls so that nothing is left empty, and says what does not fit. */
static void clamp(size_t *first, size_t count, size_t fits)
{
    if (fits >= count) *first = 0;
    else if (*first > count - fits) *first = count - fits;
}

static void draw_title(const char *title, size_t first, size_t count, size_t fits, bool focus)
{
    add("%s%s%s", colour(BOLD), title, colour(PLAIN));
    if (fits < count)
        add("  %s%zu-%zu of %zu%s%s", colour(DIM), first + 1, first + fits, count,
            focus ? "" : ", Tab", colour(PLAIN));
    end_row();
}

static void draw_topics(const struct view *view, size_t fits, unsigned width)
{
    const struct topic_row **sorted = must_alloc((view->topic_count + 1) * sizeof *sorted);
    unsigned taken = width + 44;
    char title[160];

    for (size_t i = 0; i < view->topic_count; i++) sorted[i] = &view->topics[i];
    qsort(sorted, view->topic_count, sizeof *sorted, compare_topics);
    clamp(&first_topic, view->topic_count, fits);
    snprintf(title, sizeof title, "%-*s  PARTS        RECORDS   ON DISK  PER S ", (int)width,
             "TOPIC");
    draw_title(title, first_topic, view->topic_count, fits, !on_groups);
    for (size_t i = first_topic; i < view->topic_count && i < first_topic + fits; i++) {
        const struct topic_row *topic = sorted[i];

        if (topic->broken) add("%s", colour(RED));
        add_name(topic->name, width);
        add(" %6u %14s %9s %6s  ", topic->partitions, count_text(topic->records),
            size_text(topic->bytes), topic->rated ? rate_text(topic->rate) : "");
        if (topic->broken) add("%s", colour(PLAIN));
        if (columns > taken) add_curve(&topic->rates, columns - taken);
        end_row();
    }
    free(sorted);
}

static void draw_groups(const struct view *view, size_t fits, unsigned width)
{
    const struct group_row **sorted = must_alloc((view->group_count + 1) * sizeof *sorted);
    unsigned taken = width + 54;
    char title[160];

    for (size_t i = 0; i < view->group_count; i++) sorted[i] = &view->groups[i];
    qsort(sorted, view->group_count, sizeof *sorted, compare_groups);
    clamp(&first_group, view->group_count, fits);
    snprintf(title, sizeof title, "%-*s  STATE    MEMBERS           LAG  PER S          LEFT ",
             (int)width, "GROUP");
    draw_title(title, first_group, view->group_count, fits, on_groups);
    for (size_t i = first_group; i < view->group_count && i < first_group + fits; i++) {
        const struct group_row *group = sorted[i];
        bool late = group->rated && group->lag > 0 && group->growth >= 0;

        add_name(group->name, width);
        add("  %-8s %7u %13s %6s %s%13s%s  ", group_state_text(group->state), group->members,
            count_text(group->lag), group->rated ? rate_text(group->rate) : "",
            late ? colour(YELLOW) : "", left_text(group), late ? colour(PLAIN) : "");
        if (columns > taken) add_curve(&group->lags, columns - taken);
        end_row();
    }
    free(sorted);
}

static void draw(const struct view *view)
{
    size_t room, topic_rows, group_rows;
    unsigned width;

    terminal_size(STDOUT_FILENO, &columns, &rows);
    if (resized) put("\033[2J");
    resized = 0;
    row = 0;
    draw_head(view);
    /* Names get what figures and a curve of some length leave. */
    width = columns > 90 ? columns - 74 : 16;
    if (width > 40) width = 40;
    /* Two lines of head, two titles, two empty lines, one of help. */
    room = rows > 8 ? rows - 7 : 1;
    group_rows = view->group_count;
    if (group_rows > room / 3 && view->topic_count + group_rows > room)
        group_rows = view->topic_count < room - room / 3 ? room - view->topic_count : room / 3;
    topic_rows = view->topic_count + group_rows > room ? room - group_rows : view->topic_count;
    end_row();
    draw_topics(view, topic_rows, width);
    if (view->group_count > 0 && row + 3 < rows) {
        end_row();
        draw_groups(view, group_rows, width);
    }
    while (row + 1 < rows) end_row();
    if (row == rows) row--; /* what a low screen has no room for gives way */
    if (view->problem[0] != 0) add("%s%s%s", colour(RED), view->problem, colour(PLAIN));
    else
        add("%sq quit  s sorted by %s  p %s  + - every %s  j k scroll  Tab %s%s", colour(DIM),
            order_names[order], paused ? "paused" : "pause", duration_text(interval_ms),
            on_groups ? "topics" : "groups", colour(PLAIN));
    end_row();
    put_flush();
}

static void scroll(int by, size_t page)
{
    size_t *first = on_groups ? &first_group : &first_topic;

    if (by < 0) *first = *first > page ? *first - page : 0;
    else *first += page; /* draw limits it */
}

/* False: quit. */
static bool handle(int key)
{
    size_t page = rows > 10 ? rows - 10 : 1;

    switch (key) {
    case 'q':
    case 'Q': return false;
    case 's': order = (order + 1) % ORDERS; break;
    case 'p': paused = !paused; break;
    case '\t': on_groups = !on_groups; break;
    case 'k': scroll(-1, 1); break;
    case 'j': scroll(1, 1); break;
    case 'b': scroll(-1, page); break;
    case ' ': scroll(1, page); break;
    case 'g': first_topic = first_group = 0; break;
    case '+':
    case '=': interval_ms = interval_ms * 2 > 3600000 ? 3600000 : interval_ms * 2; break;
    case '-': interval_ms = interval_ms / 2 < 100 ? 100 : interval_ms / 2; break;
    default: break;
    }
    return true;
}

static int run_live(struct view *view)
{
    int64_t looks = 0;

    while (stopped == 0) {
        int64_t due_ns;
        int rc = paused ? 0 : view_sample(view);

        if (rc != 0) {
            restore();
            return fail_rill(rc);
        }
        draw(view);
        if (!paused && ++looks == frames) break;
        /* A store with very many partitions is not looked at all the time. */
        due_ns = steady_ns() + interval_ms * 1000000;
        if (!paused && looks < 2 && due_ns > view->at_ns + 300000000)
            due_ns = view->at_ns + 300000000;
        if (due_ns < view->at_ns + 4 * view->took_ns) due_ns = view->at_ns + 4 * view->took_ns;
        do { /* at least once, whatever the clock says: the keys are read here */
            int64_t left = (due_ns - steady_ns()) / 1000000 + 1;
            int key = key_wait(left < 1 ? 0 : left < 200 ? left : 200);

            if (suspend) suspend_now();
            if (key != 0 && !handle(key)) return DONE;
            if (key != 0 || resized) draw(view);
            if (!put_flush()) return OUTPUT_CLOSED;
        } while (stopped == 0 && steady_ns() < due_ns);
    }
    return DONE;
}

/* ---- Without a terminal ------------------------------------------------------------------ */

static void print_json(const struct view *view)
{
    json_open(NULL, '{');
    json_number("time_ms", now_ms());
    json_unsigned("partitions", view->partitions);
    json_unsigned("records", view->records);
    json_unsigned("bytes", view->bytes);
    json_real("appended_per_second", view->appended);
    json_real("appended_bytes_per_second", view->appended_bytes);
    json_real("polled_per_second", view->polled);
    json_real("commits_per_second", view->commits);
    json_real("syncs_per_second", view->syncs);
    json_open("topics", '[');
    for (size_t i = 0; i < view->topic_count; i++) {
        const struct topic_row *topic = &view->topics[i];

        json_open(NULL, '{');
        json_text("topic", topic->name);
        json_unsigned("partitions", topic->partitions);
        json_number("records", topic->records);
        json_unsigned("bytes", topic->bytes);
        json_real("per_second", topic->rate);
        json_close();
    }
    json_close();
    json_open("groups", '[');
    for (size_t i = 0; i < view->group_count; i++) {
        const struct group_row *group = &view->groups[i];

        json_open(NULL, '{');
        json_text("group", group->name);
        json_text("state", group_state_text(group->state));
        json_unsigned("members", group->members);
        json_number("lag", group->lag);
        json_real("per_second", group->rate);
        json_real("lag_growth_per_second", group->growth);
        json_close();
    }
    json_close();
    json_close();
}

static void print_text(const struct view *view)
{
    putf("%s  %s, %s, %s, %s on disk\n", time_text(now_ms()),
         counted((int64_t)view->topic_count, "topic"),
         counted((int64_t)view->partitions, "partition"),
         counted((int64_t)view->records, "record"), size_text(view->bytes));
    putf("appended %s/s, %s/s; polled %s/s; commits %s/s; syncs %s/s\n\n",
         rate_text(view->appended), size_text((uint64_t)view->appended_bytes),
         rate_text(view->polled), rate_text(view->commits), rate_text(view->syncs));
    table_begin("TOPIC PARTITIONS> RECORDS> ON_DISK> PER_S>");
    for (size_t i = 0; i < view->topic_count; i++) {
        const struct topic_row *topic = &view->topics[i];

        table_cell("%s", topic->name);
        table_cell("%u", topic->partitions);
        table_cell("%s", count_text(topic->records));
        table_cell("%s", size_text(topic->bytes));
        table_cell("%s", rate_text(topic->rate));
    }
    table_end();
    if (view->group_count == 0) return;
    put("\n");
    table_begin("GROUP STATE MEMBERS> LAG> PER_S> LEFT");
    for (size_t i = 0; i < view->group_count; i++) {
        const struct group_row *group = &view->groups[i];

        table_cell("%s", group->name);
        table_cell("%s", group_state_text(group->state));
        table_cell("%u", group->members);
        table_cell("%s", count_text(group->lag));
        table_cell("%s", rate_text(group->rate));
        table_cell("%s", left_text(group));
    }
    table_end();
}

static int run_plain(struct view *view)
{
    int64_t looks = 0;

    /* Rates are the difference of two looks. */
    for (bool first = true; stopped == 0; first = false) {
        int rc = view_sample(view);

        if (rc != 0) return fail_rill(rc);
        if (view->problem[0] != 0) note("%s", view->problem);
        if (!first) {
            if (looks > 0 && !json) put("\n");
            if (json) print_json(view);
            else print_text(view);
            if (!put_flush()) return OUTPUT_CLOSED;
            if (++looks >= (frames > 0 ? frames : 1)) break;
        }
        sleep_ms(interval_ms);
    }
    return DONE;
}

static int run_top(char **arguments, size_t count)
{
    struct view view = {0};
    int status;

    (void)arguments, (void)count;
    status = store_open(0, &view.store);
    if (status != DONE) return status;
    signals_catch();
    if (!json && is_terminal(STDOUT_FILENO) && terminal_open()) {
        store_silence();
        status = run_live(&view);
        restore();
    } else {
        status = run_plain(&view);
    }
    view_free(&view);
    return stopped_status(store_close(view.store, status));
}

const struct command top_commands[] = {
    {"top", "", "a live view: rates, sizes, and how far groups are behind",
     "LEFT is how long a group needs to read all that is there, at the pace of the last look. A "
     "curve shows the last looks, each row in its own scale: of records appended per second, and "
     "of "
     "a group's lag.\n\n"
     "Keys: q quits; s sorts by name, rate, records or size; j, k, arrows and the pages' keys "
     "scroll, Tab takes them to the groups and back; p pauses; + and - look less or more often. "
     "Where the output is no terminal it is printed once, and rill top ends.",
     top_options, "rill top\nrill top --interval=5s --count=12 --json >samples", run_top},
    {0},
};
