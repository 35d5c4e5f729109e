/*
 * complete.c - what a shell may offer next, from the same tables.
 *
 *     rill __complete WORD... LAST
 *
 * The words of a command line without "rill"; LAST is the one to be completed and
 * may be empty. Prints a candidate per line: the whole word, and after a tab what
 * it is, if that is known. A line ":files" or ":dirs" asks the shell to offer those.
 * Whatever is wrong, there are just no candidates.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void offer(const char *before, const char *name, const char *last, const char *what)
{
    char word[512];

    snprintf(word, sizeof word, "%s%s", before, name);
    if (begins(word, last))
        putf("%s%s%s\n", word, what != NULL ? "\t" : "", what != NULL ? what : "");
}

struct names {
    const char *before; /* what stands before the name in its word: "--group=" */
    const char *last;
};

static int offer_topic(void *arg, const rill_topic_info *info)
{
    struct names *names = arg;
    char what[64];

    snprintf(what, sizeof what, "%u partitions", info->options.partition_count);
    offer(names->before, info->name, names->last, what);
    return 0;
}

static int offer_group(void *arg, const rill_group_info *info)
{
    struct names *names = arg;
    char what[64];

    snprintf(what, sizeof what, "%u members", info->member_count);
    offer(names->before, info->name, names->last, what);
    return 0;
}

/* The words before the last one may name the store. */
static const char *store_named(char **words, size_t count)
{
    const char *dir = getenv("RILL_STORE");

    for (size_t i = 0; i < count; i++) {
        const char *value;
        const struct option *option =
            words[i][0] == '-' && words[i][1] != 0 ? option_find(NULL, words[i], &value) : NULL;

        if (option == NULL || option->value != &store_dir) continue;
        if (value != NULL) dir = value;
        else if (i + 1 < count) dir = words[i + 1];
    }
    return dir;
}

/* Everything that may stand for a placeholder such as TOPIC. */
static void offer_placeholder(const char *placeholder, const char *before, const char *last,
                              char **words, size_t count)
{
    struct names names = {before, last};
    rill_options options = {.size = sizeof options, .open_timeout_ms = 300};
    const char *dir;
    rill *store;
    bool topics = strcmp(placeholder, "TOPIC") == 0, groups = strcmp(placeholder, "GROUP") == 0;

    if (strcmp(placeholder, "FILE") == 0) put(":files\n");
    if (strcmp(placeholder, "DIR") == 0) put(":dirs\n");
    if (!topics && !groups) return;
    dir = store_named(words, count);
    if (dir == NULL || rill_open(dir, &options, &store) != 0) return;
    if (topics) rill_topic_list(store, offer_topic, &names);
    else rill_group_list(store, offer_group, &names);
    rill_close(store);
}

static void offer_value(const struct option *option, const char *before, const char *last,
                        char **words, size_t count)
{
    const char *comma = strrchr(last, ',');
    char list[256];

    if (option->kind == OPTION_CHOICES && comma != NULL) {
        snprintf(list, sizeof list, "%.*s", (int)(comma + 1 - last), last);
        before = list;
    }
    for (const struct choice *c = option->choices; c != NULL && c->name != NULL; c++)
        offer(before, c->name, last, NULL);
    if (option->argument != NULL) {
        char placeholder[32]; /* TOPIC of TOPIC[:PARTITION] */

        snprintf(placeholder, sizeof placeholder, "%.*s",
                 (int)strspn(option->argument, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"), option->argument);
        offer_placeholder(placeholder, before, last, words, count);
    }
}

static void offer_options(const struct option *options, const char *last)
{
    for (; options != NULL && options->name != NULL; options++) {
        char word[64];

        snprintf(word, sizeof word, "--%s%s", options->name,
                 options->kind == OPTION_FLAG ? "" : "=");
        offer("", word, last, options->help);
    }
}

static void offer_commands(const char *family, const char *last)
{
    const char *previous = "";
    size_t skip = family != NULL ? strlen(family) + 1 : 0;

    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            static char name[32];
            const char *rest;
            size_t size;

            if (family != NULL && (!begins(c->name, family) || c->name[skip - 1] != ' '))
                continue;
            rest = c->name + skip;
            size = strcspn(rest, " ");
            if (strlen(previous) == size && strncmp(previous, rest, size) == 0) continue;
            snprintf(name, sizeof name, "%.*s", (int)size, rest);
            previous = name;
            offer("", name, last, rest[size] == 0 ? c->summary : NULL);
        }
    }
}

int complete(char **words, size_t count)
{
    const struct command *command = NULL;
    const struct option *option, *pending = NULL; /* the last word is this one's value */
    const char *family = NULL, *value, *last = count > 0 ? words[count - 1] : "";
    size_t argument = 0;
    bool only_arguments = false;
    char name[64];

    for (size_t i = 0; i + 1 < count; i++) {
        if (!only_arguments && strcmp(words[i], "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && words[i][0] == '-' && words[i][1] != 0) {
            option = option_find(command, words[i], &value);
            if (option == NULL || option->kind == OPTION_FLAG || value != NULL) continue;
            if (i + 2 == count) pending = option;
            i++;
        } else if (command == NULL) {
            snprintf(name, sizeof name, "%s%s%s", family != NULL ? family : "",
                     family != NULL ? " " : "", words[i]);
            command = command_find(name);
            if (command == NULL && family != NULL) return DONE;
            family = words[i];
        } else {
            argument++;
        }
    }
    if (pending != NULL) {
        offer_value(pending, "", last, words, count);
    } else if (last[0] == '-' && !only_arguments) {
        option = option_find(command, last, &value);
        if (option != NULL && value != NULL) {
            snprintf(name, sizeof name, "%.*s", (int)(value - last), last);
            offer_value(option, name, last, words, count);
        } else {
            if (command != NULL) offer_options(command->options, last);
            offer_options(common_options, last);
        }
    } else if (command == NULL) {
        offer_commands(family, last);
    } else {
        arguments_placeholder(command, argument, name);
        if (strcmp(name, "COMMAND") == 0)
            offer_commands(argument > 0 ? words[count - 2] : NULL, last);
        else offer_placeholder(name, "", last, words, count);
    }
    return DONE;
}
