/*
 * check.c - rill verify: what is wrong with a store.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static bool json, from_disk, all;

static const struct option verify_options[] = {
    {"from-disk", 0, OPTION_FLAG, &from_disk, 0,
     "forget cached pages first, so that the device is read and not the memory", 0, 0, 0},
    {"all", 0, OPTION_FLAG, &all, 0, "also list what a crash may leave behind and does no harm",
     0, 0, 0},
    {"json", 0, OPTION_FLAG, &json, 0, "an object", 0, 0, 0},
    {0},
};

static const char *kind_text(int32_t kind)
{
    static const char *const names[] = {"?",
                                        "store file",
                                        "catalogue",
                                        "catalogue record",
                                        "topic missing",
                                        "topic unknown",
                                        "control",
                                        "mark",
                                        "words",
                                        "poisoned",
                                        "segment missing",
                                        "segment header",
                                        "segment size",
                                        "batch",
                                        "record",
                                        "index",
                                        "tail",
                                        "commit",
                                        "leftover",
                                        "unreadable",
                                        "format"};

    return kind > 0 && kind < (int32_t)(sizeof names / sizeof *names) ? names[kind] : "?";
}

static const char *severity_text(int32_t severity)
{
    return severity == RILL_LOG_ERROR     ? "error"
           : severity == RILL_LOG_WARNING ? "warning"
                                          : "note";
}

static void damage_json(const rill_damage *damage)
{
    json_open(NULL, '{');
    json_text("kind", kind_text(damage->kind));
    json_text("severity", severity_text(damage->severity));
    json_text("topic", damage->topic);
    json_number("partition", damage->partition);
    json_text("file", damage->file);
    json_number("position", damage->position);
    json_number("size", damage->size);
    json_offset("first_offset", damage->first);
    json_offset("end_offset", damage->end);
    json_text("text", damage->text);
    json_text("repair", damage->repair);
    json_close();
}

static int show_damage(void *arg, const rill_damage *damage)
{
    enum colour severity = damage->severity == RILL_LOG_ERROR     ? RED
                           : damage->severity == RILL_LOG_WARNING ? YELLOW
                                                                  : DIM;

    (void)arg;
    if (json) {
        damage_json(damage);
        return 0;
    }
    if (damage->severity != RILL_LOG_ERROR && damage->severity != RILL_LOG_WARNING && !all)
        return 0;
    progress_clear();
    putf("%s%s%s: ", colour(severity), severity_text(damage->severity), colour(PLAIN));
    if (damage->topic != NULL && damage->partition >= 0)
        putf("%s-%d: ", damage->topic, damage->partition);
    putf("%s\n", damage->text);
    if (damage->repair != NULL && damage->repair[0] != 0)
        putf("    repair: %s\n", damage->repair);
    return put_flush() ? 0 : PROGRESS_STOPPED;
}

static void put_report(const rill_check_report *report)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"errors", report->error_count},     {"warnings", report->warning_count},
        {"notes", report->note_count},       {"records_lost", report->records_lost},
        {"topics", report->topic_count},     {"partitions", report->partition_count},
        {"segments", report->segment_count}, {"batches", report->batch_count},
        {"records", report->record_count},   {"groups", report->group_count},
        {"commits", report->commit_count},   {"bytes_checked", report->bytes_checked},
    };

    if (json) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            json_unsigned(rows[i].name, rows[i].value);
        return;
    }
    putf("%s, %s, %s, %s, %s, %s checked\n", counted((int64_t)report->topic_count, "topic"),
         counted((int64_t)report->partition_count, "partition"),
         counted((int64_t)report->segment_count, "segment"),
         counted((int64_t)report->record_count, "record"),
         counted((int64_t)report->group_count, "group"), size_text(report->bytes_checked));
    if (report->error_count == 0 && report->warning_count == 0)
        putf("%ssound%s", colour(GREEN), colour(PLAIN));
    else
        putf("%s%s, %s%s", colour(RED), counted((int64_t)report->error_count, "error"),
             counted((int64_t)report->warning_count, "warning"), colour(PLAIN));
    if (report->records_lost > 0)
        putf(", %s cannot be read", counted((int64_t)report->records_lost, "record"));
    if (report->note_count > 0)
        putf(", %s%s", counted((int64_t)report->note_count, "note"), all ? "" : " (--all)");
    put("\n");
}

static int run_verify(char **arguments, size_t count)
{
    rill_check_report report = {.size = sizeof report};
    rill_check_options options = {.size = sizeof options,
                                  .flags = from_disk ? RILL_CHECK_FROM_DISK : 0,
                                  .progress = show_progress,
                                  .progress_arg = (void *)(uintptr_t) "verifying",
                                  .visit = show_damage};
    const char *dir;
    int status = store_name(&dir), rc;

    (void)arguments, (void)count;
    if (status != DONE) return status;
    signals_catch();
    put_hold(json);
    if (json) {
        json_open(NULL, '{');
        json_open("damage", '[');
    }
    rc = rill_check(dir, &options, &report);
    progress_clear();
    if (json) json_close();
    if (rc == 0) put_report(&report);
    if (json) json_close();
    if (rc != 0) put_drop();
    put_hold(false);
    if (rc == PROGRESS_STOPPED) return stopped_status(DONE);
    if (rc != 0) return fail_rill(rc);
    return report.error_count > 0 || report.warning_count > 0 ? DAMAGED : DONE;
}

const struct command check_commands[] = {
    {"verify", "", "look through the whole store for damage",
     "Reads every batch, record, index, and page of the catalogue. It changes nothing, and "
     "others may "
     "use the store meanwhile. Errors are what cannot be read; warnings, what is there without "
     "that "
     "which guards it. The exit status is 4 if there are any.",
     verify_options, "rill verify\nrill verify --from-disk --json | jq .errors", run_verify},
    {0},
};
