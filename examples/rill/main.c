/*
 * main.c - rill, a command line tool for stores: from the words of the command
 * line to a command.
 *
 *     rill COMMAND [ARGUMENT]... [--option=value]...
 *
 * See rill(1), or rill --help. tool.h says what is where.
 */
#include "tool.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct command *const command_tables[] = {
    topic_commands, produce_commands, consume_commands, group_commands, explain_commands,
    stat_commands,  top_commands,     space_commands,   copy_commands,  stream_commands,
    check_commands, bench_commands,   tool_commands,    NULL,
};

const struct command *current_command;

/* ---- Messages ------------------------------------------------------------------ */

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args,
                                                      const char *end)
{
    char *text;

    if (vasprintf(&text, format, args) < 0) exit(FAILED);
    progress_clear();
    fputs("rill: ", stderr);
    /* Names and values may have anything in them, but a message is one line. */
    for (const char *at = text; *at != 0; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) fprintf(stderr, "\\x%02x", (unsigned)*at);
        else fputc(*at, stderr);
    }
    fputs(end, stderr);
    free(text);
}

int fail(int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args, "\n");
    va_end(args);
    return status;
}

int usage(const char *format, ...)
{
    char end[100];
    va_list args;

    if (current_command != NULL)
        snprintf(end, sizeof end, "; see rill %s --help\n", current_command->name);
    else snprintf(end, sizeof end, "; see rill --help\n");
    va_start(args, format);
    say(format, args, end);
    va_end(args);
    return USAGE;
}

void note(const char *format, ...)
{
    va_list args;

    if (quiet) return;
    va_start(args, format);
    say(format, args, "\n");
    va_end(args);
}

void *must_alloc(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);

    if (memory == NULL) exit(fail(FAILED, "out of memory"));
    return memory;
}

void *must_grow(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (memory == NULL) exit(fail(FAILED, "out of memory"));
    return memory;
}

/* ---- Commands of the tool itself -------------------------------------------------- */

static bool manual;

static int run_help(char **arguments, size_t count)
{
    char name[64];
    const struct command *command;

    if (manual) {
        help_manual();
        return DONE;
    }
    if (count == 0) {
        help_program();
        return DONE;
    }
    snprintf(name, sizeof name, "%s%s%s", arguments[0], count > 1 ? " " : "",
             count > 1 ? arguments[1] : "");
    command = command_find(name);
    if (command != NULL) {
        help_command(command);
        return DONE;
    }
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        size_t size = strlen(name);

        if (strncmp(command_tables[t]->name, name, size) != 0) continue;
        if (command_tables[t]->name[size] != ' ') continue;
        help_family(name);
        return DONE;
    }
    return usage("there is no command %s", name);
}

static int run_version(char **arguments, size_t count)
{
    (void)arguments, (void)count;
    putf("rill %s\n", rill_version());
    return DONE;
}

static const struct option help_options[] = {
    {"manual", 0, OPTION_FLAG, &manual, 0, "the sections of rill(1) about commands, as roff", 0,
     0, 0},
    {0},
};

const struct command tool_commands[] = {
    {"help", "[COMMAND] [COMMAND]", "what there is, or what one command does", "", help_options,
     "rill help topic create\nrill topic create --help", run_help},
    {"version", "", "the version of the library", "", NULL, "", run_version},
    {0},
};

/* ---- From words to a command -------------------------------------------------------- */

const struct command *command_find(const char *name)
{
    for (size_t t = 0; command_tables[t] != NULL; t++)
        for (const struct command *c = command_tables[t]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

/* The names behind family, or all first words, as "a, b or c". */
static const char *names_text(const char *family, char *text, size_t size)
{
    const char *names[64];
    size_t count = 0, used = 0, skip = family != NULL ? strlen(family) + 1 : 0;
    static char firsts[64][24];

    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL && count < 64; c++) {
            if (family != NULL &&
                (strncmp(c->name, family, skip - 1) != 0 || c->name[skip - 1] != ' '))
                continue;
            snprintf(firsts[count], sizeof firsts[count], "%.*s",
                     (int)strcspn(c->name + skip, " "), c->name + skip);
            if (count > 0 && strcmp(firsts[count], names[count - 1]) == 0) continue;
            names[count] = firsts[count];
            count++;
        }
    }
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s",
                                 i == 0           ? ""
                                 : i + 1 == count ? " or "
                                                  : ", ",
                                 names[i]);
    return text;
}

static bool is_family(const char *word)
{
    size_t size = strlen(word);

    for (size_t t = 0; command_tables[t] != NULL; t++)
        for (const struct command *c = command_tables[t]; c->name != NULL; c++)
            if (strncmp(c->name, word, size) == 0 && c->name[size] == ' ') return true;
    return false;
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Takes the command's one or two words out of words and moves what is before them
 * (options of every command) behind them. */
static int find_command(char **words, size_t *count, const struct command **command)
{
    char text[600], name[64];
    size_t first = 0, taken = 1;

    while (first < *count && words[first][0] == '-') {
        const char *value;
        const struct option *option = option_find(NULL, words[first], &value);

        if (strcmp(words[first], "--version") == 0) {
            *command = command_find("version");
            *count = 0;
            return DONE;
        }
        if (option == NULL) return usage("%s is no option of every command", words[first]);
        if (asks_for_help(words[first])) {
            help_program();
            *command = NULL;
            return DONE;
        }
        first += option->kind != OPTION_FLAG && value == NULL ? 2 : 1;
    }
    if (first >= *count) {
        help_program();
        *command = NULL;
        return DONE;
    }
    *command = command_find(words[first]);
    if (*command == NULL && is_family(words[first])) {
        if (first + 1 < *count && asks_for_help(words[first + 1])) {
            help_family(words[first]);
            return DONE;
        }
        names_text(words[first], text, sizeof text);
        if (first + 1 == *count || words[first + 1][0] == '-')
            return usage("%s: what? %s is expected", words[first], text);
        snprintf(name, sizeof name, "%s %s", words[first], words[first + 1]);
        *command = command_find(name);
        if (*command == NULL)
            return usage("%s: there is no %s; %s is expected", words[first], words[first + 1],
                         text);
        taken = 2;
    } else if (*command == NULL) {
        return usage("there is no command %s; %s is expected", words[first],
                     names_text(NULL, text, sizeof text));
    }
    memmove(words + first, words + first + taken, (*count - first - taken) * sizeof *words);
    *count -= taken;
    return DONE;
}

static int run(char **words, size_t count)
{
    const struct command *command = NULL;
    size_t least, most, argument_count = 0;
    char **arguments;
    int status;

    if (count > 0 && strcmp(words[0], "__complete") == 0) return complete(words + 1, count - 1);
    status = find_command(words, &count, &command);
    if (status != DONE || command == NULL) return status;
    current_command = command;
    for (size_t i = 0; i < count && strcmp(words[i], "--") != 0; i++) {
        if (!asks_for_help(words[i])) continue;
        help_command(command);
        return DONE;
    }

    arguments = must_alloc((count + 1) * sizeof *arguments);
    status = options_read(command, words, count, arguments, &argument_count);
    if (status != DONE) goto out;
    arguments_range(command, &least, &most);
    if (argument_count < least) {
        char name[64];

        arguments_placeholder(command, argument_count, name);
        status = usage("%s: %s is missing: rill %s %s", command->name, name, command->name,
                       command->arguments);
    } else if (argument_count > most) {
        status =
            usage("%s: %s is one argument too many: rill %s%s%s", command->name, arguments[most],
                  command->name, command->arguments[0] != 0 ? " " : "", command->arguments);
    } else {
        status = command->run(arguments, argument_count);
    }
out:
    free(arguments);
    return status;
}

/* A store's file must not become standard output because that was closed. */
static void keep_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* Writing to what is open for reading only fails, as it should. */
        if (fcntl(fd, F_GETFD) >= 0 || open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) == fd)
            continue;
        _exit(FAILED);
    }
}

int main(int argc, char **argv)
{
    keep_standard_files();
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN); /* writes fail instead, and we end in order */
    return put_end(run(argv + 1, argc > 0 ? (size_t)argc - 1 : 0));
}
