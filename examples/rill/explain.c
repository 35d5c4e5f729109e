/*
 * explain.c - rill explain ...: why something moves, or does not.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static bool json;

static const struct option explain_options[] = {
    {"json", 0, OPTION_FLAG, &json, 0, "an array of objects, one per fact", 0, 0, 0},
    {0},
};

static const char *kind_text(int32_t kind)
{
    static const char *const names[] = {"?",   "group", "member", "owner",
                                        "log", "lock",  "pin",    "wait"};

    return kind > 0 && kind < (int32_t)(sizeof names / sizeof *names) ? names[kind] : "?";
}

static int fact_one(void *arg, const rill_fact *fact)
{
    (void)arg;
    if (!json) {
        enum colour severity = fact->severity == RILL_LOG_ERROR     ? RED
                               : fact->severity == RILL_LOG_WARNING ? YELLOW
                                                                    : PLAIN;

        putf("%s%s%s\n", colour(severity), fact->text, colour(PLAIN));
        return 0;
    }
    json_open(NULL, '{');
    json_text("kind", kind_text(fact->kind));
    json_text("severity", fact->severity == RILL_LOG_ERROR     ? "error"
                          : fact->severity == RILL_LOG_WARNING ? "warning"
                                                               : "info");
    json_text("text", fact->text);
    json_text("group", fact->group);
    json_text("member", fact->member_id);
    json_text("topic", fact->topic);
    json_number("partition", fact->partition);
    json_number("pid", fact->pid);
    json_number("for_ms", fact->for_ms);
    json_offset("offset", fact->offset);
    json_number("lag", fact->lag);
    json_close();
    return 0;
}

static int explain(const rill_subject *subjects, size_t count)
{
    rill *store;
    int status = store_open(0, &store);

    if (status != DONE) return status;
    put_hold(true);
    if (json) json_open(NULL, '[');
    for (size_t i = 0; i < count && status == DONE; i++) {
        int rc = rill_explain(store, &subjects[i], fact_one, NULL);

        if (rc != 0) status = fail_rill(rc);
    }
    if (json) json_close();
    if (status != DONE) put_drop();
    put_hold(false);
    return store_close(store, status);
}

static int run_group(char **arguments, size_t count)
{
    rill_subject *subjects = must_alloc(count * sizeof *subjects);
    int status;

    for (size_t i = 0; i < count; i++) subjects[i].group = arguments[i];
    status = explain(subjects, count);
    free(subjects);
    return status;
}

static int run_partition(char **arguments, size_t count)
{
    rill_subject *subjects = must_alloc(count * sizeof *subjects);
    int64_t number;
    int status = DONE;

    for (size_t i = 1; i < count && status == DONE; i++) {
        if (!read_number(arguments[i], &number) || number < 0 || number > INT32_MAX)
            status = usage("%s: the number of a partition is expected", arguments[i]);
        subjects[i - 1].topic = arguments[0];
        subjects[i - 1].partition = (int32_t)number;
    }
    if (status == DONE) status = explain(subjects, count - 1);
    free(subjects);
    return status;
}

const struct command explain_commands[] = {
    {"explain group", "GROUP...", "why a group moves, or does not",
     "What somebody waits for is yellow on a terminal, what nothing moves before is red.",
     explain_options, "rill explain group billing", run_group},
    {"explain partition", "TOPIC PARTITION...", "how a partition is, and who holds what",
     "Its log, who holds its locks, and which processes need which segments.", explain_options,
     "rill explain partition orders 0 1", run_partition},
    {0},
};
