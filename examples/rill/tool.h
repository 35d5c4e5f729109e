/*
 * tool.h - what the parts of the command line tool share.
 *
 *     main.c       from the words of the command line to a command
 *     options.c    options: read from the command line, checked against tables
 *     help.c       --help and the manual page, from the same tables
 *     complete.c   what a shell may offer next, from the same tables
 *     units.c      sizes, durations and points in time, in and out
 *     escape.c     bytes that people, or terminals, should not get as they are
 *     output.c     standard output: buffered, and honest about failures
 *     json.c       values that programs read
 *     table.c      columns that people read
 *     terminal.c   what differs on a terminal: colours, progress, signals
 *     store.c      opening the store; errors of the library as exit statuses
 *
 * and a file per family of commands: topics.c, produce.c, consume.c, groups.c,
 * explain.c, stat.c, top.c, space.c, copies.c, streams.c, check.c and bench.c. Of the library
 * these use nothing but <rill.h>.
 *
 * A command is a row of a table: its name, arguments, options, help and function.
 * All that is known about it is in that row, so help, manual and completion
 * cannot say anything else than what the parser does. Options are stored into
 * static variables of the command's file before its function is called.
 *
 * Functions that can fail print one line themselves and return an exit status.
 */
#ifndef TOOL_H
#define TOOL_H

#include <rill.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- Exit statuses ------------------------------------------------------ */

/* Documented in rill(1). A signal that stopped us is 128 and its number. */
enum status {
    DONE = 0,
    FAILED = 1,
    USAGE = 2,
    NOT_FOUND = 3,
    DAMAGED = 4,
    EXISTS = 5,
    NOT_NOW = 6, /* busy, or not done in time: trying again may help */
    NO_SPACE = 7,
    OUTPUT_CLOSED = 141 /* as if SIGPIPE had killed us */
};

/* Print "rill: ..." to standard error and return the status. */
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Also names the command whose --help to read; returns USAGE. */
int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The detail of the library's last error; returns the status that fits rc. */
int fail_rill(int rc);
int status_of(int rc);
/* Something to know that is no failure; silent with --quiet. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *must_alloc(size_t size); /* zeroed; ends the process when there is none */
void *must_grow(void *memory, size_t size);

/* ---- Options and commands (options.c, main.c) --------------------------- */

/* What an option's value is, and the type of the variable it goes to. */
enum option_kind {
    OPTION_NONE = 0, /* the end of a table */
    OPTION_FLAG,     /* bool; takes no value */
    OPTION_TEXT,     /* const char * */
    OPTION_TEXTS,    /* struct texts; may be given again and again */
    OPTION_NUMBER,   /* int64_t */
    OPTION_SIZE,     /* int64_t, in bytes */
    OPTION_DURATION, /* int64_t, in ms */
    OPTION_RATIO,    /* double, above 0 and up to 1; 0.5 or 50% */
    OPTION_TIME,     /* int64_t, in ms since the epoch */
    OPTION_CHOICE,   /* int64_t: one of choices */
    OPTION_CHOICES   /* int64_t: some of choices, or'ed */
};

struct texts {
    const char **items;
    size_t count;
};

struct choice {
    const char *name;
    int64_t value;
};

struct option {
    const char *name; /* without the dashes */
    char letter;      /* the short form, or 0 */
    enum option_kind kind;
    void *value;
    const char *argument;         /* what help calls the value; TOPIC, GROUP, FILE, DIR are
                                     completed */
    const char *help;             /* one sentence, without a full stop */
    int64_t least, most;          /* of numbers, sizes and durations, if not both 0 */
    const struct choice *choices; /* names for values; also beside a number, as "forever" */
};

struct command {
    const char *name;      /* "topic create" */
    const char *arguments; /* "TOPIC [FILE...]" */
    const char *summary;   /* one line */
    const char *text;      /* paragraphs, "" for none */
    const struct option *options;
    const char *examples; /* lines of commands; a line "# ..." explains the next one */
    int (*run)(char **arguments, size_t count);
};

/* Tables end with an empty row. */
extern const struct command topic_commands[], produce_commands[], consume_commands[],
    group_commands[], explain_commands[], stat_commands[], top_commands[], space_commands[],
    copy_commands[], stream_commands[], check_commands[], bench_commands[], tool_commands[];
extern const struct choice compressions[];
extern const struct command *const command_tables[]; /* in order of help; ends with NULL */
extern const struct option common_options[];         /* of every command */

/* The variables of the common options. */
extern const char *store_dir;
extern bool quiet, verbose;
extern int64_t wait_ms;

const struct command *command_find(const char *name);
/* The command that runs, for messages. */
extern const struct command *current_command;

/* Whether the command line had the option whose value is there. */
bool given(const void *value);
/* Reads words, a command line without the program, into the options of command and of
 * every command. Other words go to *arguments, in order. */
int options_read(const struct command *command, char **words, size_t count, char **arguments,
                 size_t *argument_count);
/* The option that word, such as --name=value or -nvalue, names, and where its value
 * begins (NULL: in the next word, if it takes one). */
const struct option *option_find(const struct command *command, const char *word,
                                 const char **value);
/* How many arguments a command takes. */
void arguments_range(const struct command *command, size_t *least, size_t *most);
/* The placeholder of argument number index, such as TOPIC, into name. */
void arguments_placeholder(const struct command *command, size_t index, char name[64]);

/* ---- Help (help.c, complete.c) ------------------------------------------ */

void help_program(void);
void help_family(const char *family);
void help_command(const struct command *command);
void help_manual(void); /* the sections COMMANDS of rill(1), as roff */
int complete(char **words, size_t count);

/* ---- Units (units.c) ----------------------------------------------------- */

/* These return false if text is not what they read, to its end. */
bool read_number(const char *text, int64_t *number);
bool read_size(const char *text, int64_t *bytes);              /* 64MiB, 1.5G, 100kB, 512 */
bool read_duration(const char *text, int64_t *ms);             /* 500ms, 10s, 1h30m, 7d */
bool read_ratio(const char *text, double *ratio);              /* 0.5, 50% */
bool read_time(const char *text, int64_t *ms);                 /* see TIMES in rill(1) */
bool read_position(const char *text, rill_position *position); /* TOPIC[:PARTITION[:OFFSET]];
                                                                  topic is allocated */

/* Values of --partition: N or N-M. None: all partitions. */
int partitions_check(const struct texts *texts, const rill_topic_info *topic);
bool partitions_have(const struct texts *texts, uint32_t partition);

/* Texts for people. They stay until some calls later. */
const char *size_text(uint64_t bytes);
const char *count_text(int64_t count);                 /* 1,234,567 */
const char *counted(int64_t count, const char *thing); /* 1 topic, 2 topics */
const char *rate_text(double per_second);
const char *duration_text(int64_t ms);
const char *time_text(int64_t ms);     /* in local time */
const char *time_iso_text(int64_t ms); /* in UTC, with ms */
const char *offset_text(rill_offset offset);

const char *group_state_text(int32_t state); /* groups.c */

int64_t now_ms(void);    /* since the epoch */
int64_t steady_ns(void); /* only differences mean anything */

/* ---- Output (output.c, escape.c, json.c, table.c) ------------------------ */

/* Standard output. What fails is remembered, and from then on nothing is written. */
void put(const char *text);
void putf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void put_bytes(const void *data, size_t size);
void put_repeated(char c, size_t count);
bool put_flush(void); /* false: something has failed */
bool put_ok(void);    /* nothing has failed so far */
/* Keeps everything back until the next hold(false); so a document is written whole or,
 * after put_drop, not at all. */
void put_hold(bool hold);
void put_drop(void);
/* The last flush: the status that output makes of status. */
int put_end(int status);

/* The length of the valid UTF-8 sequence at data, 0 if there is none. */
size_t utf8_length(const uint8_t *data, size_t size);
bool utf8_valid(const void *data, size_t size);
/* Columns that text takes on a terminal. */
size_t text_width(const char *text);
/* As C would write it: \n \t \\ \xHH; UTF-8 stays, if utf8 says so. */
void put_escaped(rill_bytes bytes);
/* Takes escapes out in place; returns the new size, or SIZE_MAX if one is wrong. */
size_t unescape(char *text, size_t size);
/* The value of an option without its escapes; {NULL, 0} if text is NULL. Does
 * it in place: text, a word of the command line, is not itself afterwards. */
int read_escaped(const char *option, const char *text, rill_bytes *bytes);

/* One JSON value after the other; commas come by themselves. name is NULL in arrays and
 * at the top. */
void json_open(const char *name, char bracket);     /* '{' or '[' */
void json_close(void);                              /* the innermost; a newline after the last */
void json_text(const char *name, const char *text); /* NULL: null */
void json_number(const char *name, int64_t number);
void json_unsigned(const char *name, uint64_t number);
void json_real(const char *name, double number);
void json_bool(const char *name, bool value);
void json_offset(const char *name, rill_offset offset); /* RILL_OFFSET_NONE: null */
/* As text if it is UTF-8, else in base64 under the name NAME_base64. */
void json_bytes(const char *name, rill_bytes bytes);

/* A table for people: "NAME RECORDS>" are two columns, the second one aligned to the
 * right. Cells come row by row; table_end prints. */
void table_begin(const char *columns);
void table_cell(const char *format, ...) __attribute__((format(printf, 1, 2)));
void table_end(void);

/* ---- Terminal (terminal.c) ------------------------------------------------ */

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, BLUE, CYAN };
extern int64_t colour_when; /* 0 automatic, 1 always, -1 never */
bool colours_wanted(int fd);
/* The sequence that begins a colour, or ends all of them; empty without colours. */
const char *colour(enum colour colour);
bool is_terminal(int fd);
bool terminal_utf8(void);
void terminal_size(int fd, unsigned *columns, unsigned *rows);

/* Asks on the terminal whether to do it; true without asking if there is none. */
bool confirmed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From here on SIGINT, SIGTERM and SIGHUP set stopped to their number, and wake the
 * consumer, if there is one. A second SIGINT ends the process as ever. */
extern volatile int stopped;
void signals_catch(void);
void signals_wake(rill_consumer *consumer);
/* The status when stopped, else status. */
int stopped_status(int status);
/* Sleeps; returns early when stopped. */
void sleep_ms(int64_t ms);

/* A line on standard error that shows how far something is; only on a terminal, and
 * not with --quiet. total 0: not known. */
void progress(const char *what, uint64_t done, uint64_t total, bool bytes);
void progress_clear(void);
/* The same for the library's calls; arg is what it says. Ends them when stopped. */
int show_progress(void *arg, const rill_progress *progress);
#define PROGRESS_STOPPED 1 /* what these calls return then */

/* ---- The store (store.c) --------------------------------------------------- */

/* Opens the store that --store or RILL_STORE names, with RILL_OPEN_* flags. */
int store_open(uint32_t flags, rill **store);
/* The same with options of the caller's; their flags, log and open_timeout_ms are set here. */
int store_open_with(rill_options *options, uint32_t flags, rill **store);
/* From here on nothing that the library says is printed; for a screen that it would spoil. */
void store_silence(void);
/* Its directory, without opening it. */
int store_name(const char **dir);
/* Returns status, or that of closing if status is DONE. */
int store_close(rill *store, int status);

#endif
