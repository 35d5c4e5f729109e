/*
 * check.c - rill verify, repair and dump: what is wrong with a store, making it good, and
 * what is in its files.
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
                                        "format",
                                        "gap",
                                        "producers"};

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

/* ---- repair ----------------------------------------------------------------------- */

static bool dry_run, yes;

static const struct option repair_options[] = {
    {"dry-run", 0, OPTION_FLAG, &dry_run, 0, "only say what would be done", 0, 0, 0},
    {"yes", 'y', OPTION_FLAG, &yes, 0, "do not ask", 0, 0, 0},
    {"json", 0, OPTION_FLAG, &json, 0, "an object", 0, 0, 0},
    {0},
};

static const char *action_text(int32_t kind)
{
    static const char *const names[] = {"?",         "segment", "gap",
                                        "index",     "control", "store file",
                                        "catalogue", "topic",   "catalogue record",
                                        "partition", "commit",  "quarantine"};

    return kind > 0 && kind < (int32_t)(sizeof names / sizeof *names) ? names[kind] : "?";
}

static int show_action(void *arg, const rill_repair_action *action)
{
    (void)arg;
    if (json) {
        json_open(NULL, '{');
        json_text("kind", action_text(action->kind));
        json_text("topic", action->topic);
        json_number("partition", action->partition);
        json_text("file", action->file);
        json_text("quarantine", action->quarantine);
        json_offset("first_offset", action->first);
        json_offset("end_offset", action->end);
        json_unsigned("bytes_lost", action->bytes_lost);
        json_text("text", action->text);
        json_close();
        return 0;
    }
    progress_clear();
    if (action->topic != NULL && action->partition >= 0)
        putf("%s-%d: ", action->topic, action->partition);
    putf("%s\n", action->text);
    if (action->quarantine != NULL) putf("    the old one: %s\n", action->quarantine);
    return put_flush() ? 0 : PROGRESS_STOPPED;
}

static void put_repair_report(const rill_repair_report *report)
{
    if (json) {
        json_unsigned("actions", report->action_count);
        json_unsigned("records_lost", report->records_lost);
        json_unsigned("bytes_lost", report->bytes_lost);
        json_unsigned("quarantined", report->quarantined);
        json_unsigned("left", report->left_count);
        return;
    }
    if (report->action_count == 0) put("there is nothing to repair\n");
    else
        putf("%s %s; %s lost; %s in quarantine\n",
             counted((int64_t)report->action_count, "repair"), dry_run ? "to be done" : "done",
             counted((int64_t)report->records_lost, "record"),
             counted((int64_t)report->quarantined, "file"));
    if (report->left_count > 0 && !dry_run)
        putf("%s%s left%s; see rill verify\n", colour(RED),
             counted((int64_t)report->left_count, "problem"), colour(PLAIN));
}

static int run_repair(char **arguments, size_t count)
{
    rill_repair_report report = {.size = sizeof report};
    rill_repair_options options = {.size = sizeof options,
                                   .flags = dry_run ? RILL_REPAIR_DRY_RUN : 0,
                                   .progress = show_progress,
                                   .progress_arg = (void *)(uintptr_t) "repairing",
                                   .visit = show_action};
    const char *dir;
    int status = store_name(&dir), rc;

    (void)arguments, (void)count;
    if (status != DONE) return status;
    if (!dry_run && !yes &&
        !confirmed("repair store %s (--dry-run says what would be done)", dir))
        return fail(FAILED, "the store stays as it is");
    signals_catch();
    put_hold(json);
    if (json) {
        json_open(NULL, '{');
        json_open("done", '[');
    }
    rc = rill_repair(dir, &options, &report);
    progress_clear();
    if (json) json_close();
    if (rc == 0) put_repair_report(&report);
    if (json) json_close();
    if (rc != 0 && json) put_drop();
    put_hold(false);
    if (rc == PROGRESS_STOPPED) return stopped_status(put_ok() ? DONE : OUTPUT_CLOSED);
    if (rc != 0) return fail_rill(rc);
    return report.left_count > 0 && !dry_run ? DAMAGED : DONE;
}

/* ---- dump ------------------------------------------------------------------------ */

static bool records, dump_json;

static const struct option dump_options[] = {
    {"records", 'r', OPTION_FLAG, &records, 0, "also the records in the batches", 0, 0, 0},
    {"json", 'J', OPTION_FLAG, &dump_json, 0, "an object per item, each in a line", 0, 0, 0},
    {0},
};

static void item_json(const char *file, const rill_item *item)
{
    static const char *const kinds[] = {"?",     "store", "segment", "batch", "record",
                                        "index", "entry", "words",   "mark",  "bytes"};
    bool known = item->kind > 0 && item->kind < (int32_t)(sizeof kinds / sizeof *kinds);

    json_open(NULL, '{');
    json_text("file", file);
    json_text("kind", known ? kinds[item->kind] : "?");
    json_bool("sound", item->sound != 0);
    json_number("position", item->position);
    json_number("size", item->size);
    json_offset("first_offset", item->first);
    json_offset("end_offset", item->end);
    json_unsigned("count", item->count);
    json_unsigned("attributes", item->attributes);
    json_number("leader_epoch", item->leader_epoch);
    json_number("timestamp_ms", item->timestamp_ms);
    json_unsigned("checksum", item->checksum);
    if (item->record != NULL) {
        json_bytes("key", item->record->key);
        json_bytes("value", item->record->value);
    }
    json_text("text", item->text);
    json_close();
}

static void put_content(const rill_record *record)
{
    put(": ");
    if (record->key.data != NULL) {
        put_escaped(record->key);
        put(" = ");
    }
    if (record->value.data != NULL) put_escaped(record->value);
    else put("\\N");
}

struct dumping {
    const char *file;
    bool unsound;
};

static int show_item(void *arg, const rill_item *item)
{
    struct dumping *dumping = arg;

    dumping->unsound |= item->sound == 0;
    if (item->kind == RILL_ITEM_RECORD && !records) return 0;
    if (dump_json) {
        item_json(dumping->file, item);
    } else {
        putf("%s%12" PRId64 "%s  %s%s", colour(DIM), item->position, colour(PLAIN),
             item->kind == RILL_ITEM_RECORD || item->kind == RILL_ITEM_ENTRY ? "  " : "",
             item->sound != 0 ? "" : colour(RED));
        put_escaped((rill_bytes){item->text, strlen(item->text)});
        put(item->sound != 0 ? "" : colour(PLAIN));
        if (item->record != NULL) put_content(item->record);
        put("\n");
    }
    /* A file may be large, and who reads this may have gone. */
    return put_ok() && stopped == 0 ? 0 : PROGRESS_STOPPED;
}

static int run_dump(char **arguments, size_t count)
{
    bool unsound = false;

    signals_catch();
    for (size_t i = 0; i < count; i++) {
        struct dumping dumping = {.file = arguments[i]};
        int rc;

        if (count > 1 && !dump_json) putf("%s%s%s\n", colour(BOLD), arguments[i], colour(PLAIN));
        rc = rill_dump(arguments[i], show_item, &dumping);
        if (rc == PROGRESS_STOPPED) return stopped_status(DONE);
        if (rc != 0) return fail_rill(rc);
        unsound |= dumping.unsound;
    }
    return unsound ? DAMAGED : DONE;
}

const struct command check_commands[] = {
    {"verify", "", "look through the whole store for damage",
     "Reads every batch, record, index, and page of the catalogue. It changes nothing, and "
     "others may "
     "use the store meanwhile. Errors are what cannot be read; warnings, what is there without "
     "that "
     "which guards it. The exit status is 4 if there are any.",
     verify_options, "rill verify\nrill verify --from-disk --json | jq .errors", run_verify},
    {"repair", "", "make a damaged store one that opens and reads",
     "What can be made anew is made anew. What cannot be read is moved to quarantine/ in the "
     "store, "
     "never removed, and it is said exactly which records are lost. Nobody may have the store "
     "open. "
     "What was interrupted is just done again. On a terminal it asks first; copy the store away "
     "before, if it may matter.",
     repair_options, "rill repair --dry-run\nrill repair --yes", run_repair},
    {"dump", "FILE...", "what is in a store's files, item by item",
     "Segments (*.log), indexes, control files and STORE, also damaged ones. Nothing is changed, "
     "and "
     "nothing believed that does not verify. The exit status is 4 if something does not.",
     dump_options,
     "rill dump /var/lib/app/log/STORE\n"
     "rill dump /var/lib/app/log/*/0/*.log --records | less -S",
     run_dump},
    {0},
};
