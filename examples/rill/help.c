/*
 * help.c - --help and the manual page, from the same tables.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH 80

/* Words of text in lines of WIDTH; the first line goes on at column at, the others
 * begin at indent. Newlines of text stay, an empty line is an empty line. */
static void put_wrapped(const char *text, size_t indent, size_t at)
{
    while (*text != 0) {
        size_t size = strcspn(text, " \n");

        if (at > indent && at + 1 + size > WIDTH) {
            put("\n");
            at = 0;
        }
        if (at < indent) {
            put_repeated(' ', indent - at);
            at = indent;
        } else if (at > indent) {
            put(" ");
            at++;
        }
        put_bytes(text, size);
        at += size;
        text += size;
        if (*text == '\n') {
            put("\n");
            at = 0;
            for (text++; *text == '\n'; text++) put("\n");
        } else {
            text += strspn(text, " ");
        }
    }
    if (at > 0) put("\n");
}

static void option_heading(const struct option *option, char text[64])
{
    char letter[5] = "    ";

    if (option->letter != 0) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(text, 64, "%s--%s%s%s", letter, option->name, option->argument != NULL ? "=" : "",
             option->argument != NULL ? option->argument : "");
}

static size_t widest_heading(const struct option *options, size_t widest)
{
    for (; options != NULL && options->name != NULL; options++) {
        char text[64];

        option_heading(options, text);
        if (strlen(text) > widest) widest = strlen(text);
    }
    return widest;
}

static void put_options(const struct option *options, size_t width)
{
    for (; options != NULL && options->name != NULL; options++) {
        char text[64];

        option_heading(options, text);
        putf("  %s%s%s", colour(CYAN), text, colour(PLAIN));
        put_repeated(' ', width - strlen(text));
        put_wrapped(options->help, width + 4, width + 2);
    }
}

/* Columns of a name and what it does. */
static void put_summary(const char *name, const char *summary, size_t width)
{
    putf("  %s%s%s", colour(CYAN), name, colour(PLAIN));
    put_repeated(' ', width - strlen(name));
    put_wrapped(summary, width + 4, width + 2);
}

static void put_heading(const char *text)
{
    putf("\n%s%s%s\n", colour(BOLD), text, colour(PLAIN));
}

void help_program(void)
{
    put("rill - a message log in a directory: topics, records, groups\n\n"
        "usage: rill COMMAND [ARGUMENT]... [--option=value]...\n");
    put_heading("commands:");
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++)
            put_summary(c->name, c->summary, 24);
    }
    put_heading("every command:");
    put_options(common_options, widest_heading(common_options, 0));
    put_heading("examples:");
    put("  export RILL_STORE=/var/lib/app/log\n"
        "  rill topic create orders --partitions=4\n"
        "  rill produce orders <orders.txt\n"
        "  rill consume orders --follow\n");
    put("\nrill COMMAND --help says more about one of them, rill(1) about all.\n");
}

void help_family(const char *family)
{
    size_t size = strlen(family);

    putf("usage: rill %s COMMAND [ARGUMENT]... [--option=value]...\n", family);
    put_heading("commands:");
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++)
            if (strncmp(c->name, family, size) == 0 && c->name[size] == ' ')
                put_summary(c->name, c->summary, 24);
    }
}

void help_command(const struct command *command)
{
    size_t width = widest_heading(command->options, widest_heading(common_options, 0));

    putf("rill %s - %s\n\nusage: rill %s%s%s%s\n", command->name, command->summary, command->name,
         command->arguments[0] != 0 ? " " : "", command->arguments, " [--option=value]...");
    if (command->text[0] != 0) {
        put("\n");
        put_wrapped(command->text, 0, 0);
    }
    if (command->options != NULL) {
        put_heading("options:");
        put_options(command->options, width);
    }
    put_heading("every command:");
    put_options(common_options, width);
    if (command->examples[0] != 0) {
        put_heading("examples:");
        for (const char *at = command->examples; *at != 0;) {
            size_t size = strcspn(at, "\n");

            putf("  %s%.*s%s\n", at[0] == '#' ? colour(DIM) : "", (int)size, at,
                 at[0] == '#' ? colour(PLAIN) : "");
            at += size + (at[size] == '\n');
        }
    }
}

/* ---- The manual page ------------------------------------------------------------ */

/* Text as roff has to have it: no request by accident, dashes to be copied. */
static void put_roff(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool line_begins = i == 0 || text[i - 1] == '\n';

        if (line_begins && (text[i] == '.' || text[i] == '\'')) put("\\&");
        if (text[i] == '\\') put("\\e");
        else if (text[i] == '-') put("\\-");
        else if (text[i] == '\'') put("\\(aq");
        else if (text[i] == '^') put("\\(ha");
        else if (text[i] == '~') put("\\(ti");
        else if (text[i] == '`') put("\\(ga");
        else if (text[i] == '\n' && i + 1 < size && text[i + 1] == '\n') put("\n.PP"), i += 0;
        else put_bytes(text + i, 1);
    }
}

static void put_roff_options(const struct option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        put(".TP\n");
        if (options->letter != 0) putf("\\fB\\-%c\\fR, ", options->letter);
        put("\\fB\\-\\-");
        put_roff(options->name, strlen(options->name));
        put("\\fR");
        if (options->argument != NULL) putf("=\\fI%s\\fR", options->argument);
        put("\n");
        put_roff(options->help, strlen(options->help));
        put(".\n");
    }
}

/* Paragraphs apart from each other. */
static void put_roff_text(const char *text)
{
    while (*text != 0) {
        const char *end = strstr(text, "\n\n");
        size_t size = end != NULL ? (size_t)(end - text) : strlen(text);

        put_roff(text, size);
        put("\n");
        text += size;
        if (*text != 0) put(".PP\n");
        text += strspn(text, "\n");
    }
}

void help_manual(void)
{
    put(".SH OPTIONS OF EVERY COMMAND\n");
    put_roff_options(common_options);
    put(".SH COMMANDS\n");
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            put(".SS rill ");
            put_roff(c->name, strlen(c->name));
            if (c->arguments[0] != 0) put(" ");
            put_roff(c->arguments, strlen(c->arguments));
            put("\n");
            putf("%c", c->summary[0] - ('a' <= c->summary[0] && c->summary[0] <= 'z' ? 32 : 0));
            put_roff(c->summary + 1, strlen(c->summary) - 1);
            put(".\n");
            if (c->text[0] != 0) {
                put(".PP\n");
                put_roff_text(c->text);
            }
            put_roff_options(c->options);
            if (c->examples[0] != 0) {
                put(".PP\nExamples:\n.PP\n.RS 4\n.nf\n");
                put_roff(c->examples, strlen(c->examples));
                put("\n.fi\n.RE\n");
            }
        }
    }
}
