/*
 * options.c - options: read from the command line, checked against tables.
 *
 * Options may stand anywhere behind the command, --name=value or --name value, -n
 * value or -nvalue; "--" ends them. Every refusal is one line that says what was
 * expected.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

const char *store_dir;
bool quiet, verbose;
int64_t wait_ms = 10000;
static bool help_wanted; /* main.c looks for --help before it reads options */

static const struct choice colour_choices[] = {{"auto", 0}, {"always", 1}, {"never", -1}, {0}};

const struct option common_options[] = {
    {"store", 's', OPTION_TEXT, &store_dir, "DIR", "the store; without it, RILL_STORE", 0, 0, 0},
    {"wait", 0, OPTION_DURATION, &wait_ms, "TIME",
     "wait so long for other processes when opening the store; 10s", 1, INT32_MAX, 0},
    {"quiet", 'q', OPTION_FLAG, &quiet, 0, "no notes and no progress on standard error", 0, 0, 0},
    {"verbose", 'v', OPTION_FLAG, &verbose, 0,
     "also print what the library says when all is well; its warnings come anyway", 0, 0, 0},
    {"color", 0, OPTION_CHOICE, &colour_when, "WHEN",
     "colours: auto (on terminals, without NO_COLOR), always, never", 0, 0, colour_choices},
    {"help", 'h', OPTION_FLAG, &help_wanted, 0, "this text", 0, 0, 0},
    {0},
};

/* ---- Which were given ---------------------------------------------------------- */

static const void *given_values[64];
static size_t given_count;

bool given(const void *value)
{
    for (size_t i = 0; i < given_count; i++)
        if (given_values[i] == value) return true;
    return false;
}

static void set_given(const void *value)
{
    if (!given(value) && given_count < sizeof given_values / sizeof *given_values)
        given_values[given_count++] = value;
}

/* ---- Finding -------------------------------------------------------------------- */

static const struct option *find_in(const struct option *options, const char *name, size_t size)
{
    for (; options != NULL && options->name != NULL; options++)
        if (strlen(options->name) == size && strncmp(options->name, name, size) == 0)
            return options;
    return NULL;
}

static const struct option *find_letter(const struct option *options, char letter)
{
    for (; options != NULL && options->name != NULL; options++)
        if (options->letter == letter) return options;
    return NULL;
}

const struct option *option_find(const struct command *command, const char *word,
                                 const char **value)
{
    const struct option *own = command != NULL ? command->options : NULL, *option;

    *value = NULL;
    if (word[1] == '-') {
        const char *name = word + 2, *equals = strchr(name, '=');
        size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);

        option = find_in(own, name, size);
        if (option == NULL) option = find_in(common_options, name, size);
        if (equals != NULL) *value = equals + 1;
        return option;
    }
    option = find_letter(own, word[1]);
    if (option == NULL) option = find_letter(common_options, word[1]);
    if (word[1] != 0 && word[2] != 0) *value = word + 2 + (word[2] == '=');
    return option;
}

/* ---- Reading a value ------------------------------------------------------------- */

static bool choice_find(const struct choice *choices, const char *name, size_t size,
                        int64_t *value)
{
    for (; choices != NULL && choices->name != NULL; choices++) {
        if (strlen(choices->name) != size || strncmp(choices->name, name, size) != 0) continue;
        *value = choices->value;
        return true;
    }
    return false;
}

/* "a, b or c" into text. */
static const char *choices_text(const struct choice *choices, char *text, size_t size)
{
    size_t used = 0;

    text[0] = 0;
    for (size_t i = 0; choices[i].name != NULL && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s",
                                 i == 0                        ? ""
                                 : choices[i + 1].name == NULL ? " or "
                                                               : ", ",
                                 choices[i].name);
    return text;
}

static int refused(const struct option *option, const char *value, const char *wanted)
{
    char range[160] = "", words[160] = "";

    if (option->least != 0 || option->most != 0) {
        bool sizes = option->kind == OPTION_SIZE, durations = option->kind == OPTION_DURATION;
        const char *least = sizes       ? size_text((uint64_t)option->least)
                            : durations ? duration_text(option->least)
                                        : count_text(option->least);
        const char *most = sizes       ? size_text((uint64_t)option->most)
                           : durations ? duration_text(option->most)
                                       : count_text(option->most);

        if (option->most == INT64_MAX) snprintf(range, sizeof range, " of at least %s", least);
        else snprintf(range, sizeof range, " from %s to %s", least, most);
    }
    if (option->choices != NULL) {
        size_t size = option->kind == OPTION_CHOICE || option->kind == OPTION_CHOICES
                          ? 0
                          : (size_t)snprintf(words, sizeof words, ", ");
        choices_text(option->choices, words + size, sizeof words - size);
    }
    return usage("--%s=%s: %s%s%s is expected", option->name, value, wanted, range, words);
}

static bool in_range(const struct option *option, int64_t value)
{
    return (option->least == 0 && option->most == 0) ||
           (value >= option->least && value <= option->most);
}

static int read_choices(const struct option *option, const char *value)
{
    int64_t all = 0, one;
    const char *at = value;

    for (;;) {
        size_t size = strcspn(at, ",");

        if (!choice_find(option->choices, at, size, &one))
            return refused(option, value, "a list with commas of ");
        all |= one;
        if (at[size] == 0) break;
        at += size + 1;
    }
    *(int64_t *)option->value = all;
    return DONE;
}

static int read_value(const struct option *option, const char *value)
{
    int64_t *number = option->value, read;
    struct texts *texts;

    switch (option->kind) {
    case OPTION_NONE:
    case OPTION_FLAG: *(bool *)option->value = true; return DONE;
    case OPTION_TEXT: *(const char **)option->value = value; return DONE;
    case OPTION_TEXTS:
        texts = option->value;
        texts->items = must_grow(texts->items, (texts->count + 1) * sizeof *texts->items);
        texts->items[texts->count++] = value;
        return DONE;
    case OPTION_CHOICES: return read_choices(option, value);
    default: break;
    }
    if (option->choices != NULL && choice_find(option->choices, value, strlen(value), &read)) {
        if (option->kind == OPTION_RATIO) *(double *)option->value = (double)read;
        else *number = read;
        return DONE;
    }
    switch (option->kind) {
    case OPTION_NUMBER:
        if (!read_number(value, &read) || !in_range(option, read))
            return refused(option, value, "a number");
        break;
    case OPTION_SIZE:
        if (!read_size(value, &read) || !in_range(option, read))
            return refused(option, value, "a size (512, 64KiB, 1GiB)");
        break;
    case OPTION_DURATION:
        if (!read_duration(value, &read) || !in_range(option, read))
            return refused(option, value, "a duration (500ms, 10s, 5m, 2h, 7d)");
        break;
    case OPTION_RATIO:
        if (!read_ratio(value, option->value))
            return refused(option, value, "a part of 1 (0.5, 50%)");
        return DONE;
    case OPTION_TIME:
        if (!read_time(value, &read))
            return refused(option, value, "a time (2026-03-01T10:00:00, -1h, @1767225600, now)");
        break;
    default: return refused(option, value, "");
    }
    *number = read;
    return DONE;
}

/* ---- Reading all of them ----------------------------------------------------------- */

static const char *command_name(const struct command *command)
{
    return command != NULL ? command->name : "rill";
}

/* One option that begins in words[*index]; *index moves to its last word. */
static int read_option(const struct command *command, char **words, size_t count, size_t *index)
{
    const char *word = words[*index], *value;
    const struct option *option = option_find(command, word, &value);
    int status;

    if (option == NULL) {
        int size = word[1] == '-' ? (int)strcspn(word, "=") : 2;

        return usage("%s has no option %.*s", command_name(command), size, word);
    }
    set_given(option->value);
    if (option->kind == OPTION_FLAG && word[1] == '-' && value != NULL)
        return usage("--%s takes no value", option->name);
    /* Short flags may stand together, as in -fq. */
    while (option->kind == OPTION_FLAG && value != NULL) {
        char next[3] = {'-', value[0], 0};

        read_value(option, "");
        word = value;
        option = option_find(command, next, &value);
        if (option == NULL) return usage("%s has no option %s", command_name(command), next);
        set_given(option->value);
        value = word[1] != 0 ? word + 1 : NULL;
    }
    if (option->kind != OPTION_FLAG && value == NULL) {
        if (*index + 1 == count)
            return usage("--%s needs a value: %s", option->name, option->argument);
        value = words[++*index];
    }
    status = read_value(option, value != NULL ? value : "");
    return status;
}

int options_read(const struct command *command, char **words, size_t count, char **arguments,
                 size_t *argument_count)
{
    bool only_arguments = false;

    for (size_t i = 0; i < count; i++) {
        int status;

        if (only_arguments || words[i][0] != '-' || words[i][1] == 0) {
            arguments[(*argument_count)++] = words[i];
        } else if (strcmp(words[i], "--") == 0) {
            only_arguments = true;
        } else {
            status = read_option(command, words, count, &i);
            if (status != DONE) return status;
        }
    }
    return DONE;
}

/* ---- Arguments ------------------------------------------------------------------------ */

void arguments_range(const struct command *command, size_t *least, size_t *most)
{
    const char *at = command->arguments;

    *least = *most = 0;
    while (*at != 0) {
        size_t size = strcspn(at, " ");

        if (at[0] != '[') ++*least;
        if (memmem(at, size, "...", 3) != NULL) *most = SIZE_MAX;
        else if (*most != SIZE_MAX) ++*most;
        at += size;
        at += *at == ' ';
    }
}

void arguments_placeholder(const struct command *command, size_t index, char name[64])
{
    const char *at = command->arguments;

    name[0] = 0;
    for (size_t i = 0; *at != 0; i++) {
        size_t size = strcspn(at, " ");
        bool many = memmem(at, size, "...", 3) != NULL;

        if (i == index || many) {
            at += at[0] == '[';
            snprintf(name, 64, "%.*s", (int)strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"), at);
            return;
        }
        at += size;
        at += *at == ' ';
    }
}
