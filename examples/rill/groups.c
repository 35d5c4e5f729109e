/*
 * groups.c - rill group ...: who is in a group, how far it is, and moving it.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool json, internal, if_there, yes, dry_run, csv_out;
static struct texts topic_texts;
static const char *csv_file;
static int64_t to_offset, to_time, shift;
static bool to_earliest, to_latest, to_committed;

const char *group_state_text(int32_t state)
{
    switch (state) {
    case RILL_GROUP_EMPTY: return "empty";
    case RILL_GROUP_PLANNING: return "planning";
    case RILL_GROUP_MOVING: return "moving";
    default: return "stable";
    }
}

static const char *assignor_text(int32_t assignor)
{
    switch (assignor) {
    case RILL_ASSIGN_RANGE: return "range";
    case RILL_ASSIGN_ROUND_ROBIN: return "round robin";
    case RILL_ASSIGN_STICKY: return "sticky";
    case RILL_ASSIGN_COOPERATIVE_STICKY: return "cooperative sticky";
    default: return "own";
    }
}

/* ---- list ------------------------------------------------------------------------ */

static const struct option list_options[] = {
    {"internal", 0, OPTION_FLAG, &internal, 0, "also those whose names begin with \"__\"", 0, 0,
     0},
    {"json", 0, OPTION_FLAG, &json, 0, "an array of objects", 0, 0, 0},
    {0},
};

static int list_one(void *arg, const rill_group_info *info)
{
    rill *store = arg;
    int64_t lag;
    int rc;

    if (!internal && strncmp(info->name, "__", 2) == 0) return 0;
    rc = rill_group_lag(store, info->name, RILL_READ_WRITTEN, &lag);

    if (json) {
        json_open(NULL, '{');
        json_text("group", info->name);
        json_text("state", group_state_text(info->state));
        json_unsigned("members", info->member_count);
        json_number("generation", info->generation);
        if (rc == 0) json_number("lag", lag);
        else json_text("lag", NULL);
        json_close();
        return 0;
    }
    table_cell("%s", info->name);
    table_cell("%s", group_state_text(info->state));
    table_cell("%u", info->member_count);
    table_cell("%d", info->generation);
    table_cell("%s", rc == 0 ? count_text(lag) : "?");
    return 0;
}

static int run_list(char **arguments, size_t count)
{
    rill *store;
    int status = store_open(0, &store), rc;

    (void)arguments, (void)count;
    if (status != DONE) return status;
    put_hold(true);
    if (json) json_open(NULL, '[');
    else table_begin("GROUP STATE MEMBERS> GENERATION> LAG>");
    rc = rill_group_list(store, list_one, store);
    if (json) json_close();
    else table_end();
    if (rc != 0) {
        put_drop();
        status = fail_rill(rc);
    }
    put_hold(false);
    return store_close(store, status);
}

/* ---- describe ---------------------------------------------------------------------- */

static const struct option describe_options[] = {
    {"json", 0, OPTION_FLAG, &json, 0, "an array of objects", 0, 0, 0},
    {"csv", 0, OPTION_FLAG, &csv_out, 0,
     "only committed offsets, as lines of topic,partition,offset for rill group reset --csv", 0,
     0, 0},
    {0},
};

static int member_json(const rill_group_member *member)
{
    json_open(NULL, '{');
    json_text("member", member->member_id);
    json_text("instance", member->group_instance_id);
    json_text("subscription", member->subscription);
    json_number("pid", member->pid);
    json_bool("away", member->away != 0);
    json_number("polled_ms_ago", member->polled_ms);
    json_open("assigned", '[');
    for (size_t i = 0; i < member->assigned_count; i++) {
        json_open(NULL, '{');
        json_text("topic", member->assigned[i].topic);
        json_number("partition", member->assigned[i].partition);
        json_close();
    }
    json_close();
    json_close();
    return 0;
}

/* orders-0,1,2 clicks-0 */
static void assigned_text(const rill_group_member *member, char *text, size_t size)
{
    size_t used = 0;

    snprintf(text, size, "-");
    for (size_t i = 0; i < member->assigned_count && used < size; i++) {
        const rill_position *p = &member->assigned[i];
        bool same = i > 0 && strcmp(p->topic, p[-1].topic) == 0;

        used += (size_t)snprintf(text + used, size - used, "%s%s%s%d", i > 0 && !same ? " " : "",
                                 same ? "" : p->topic, same ? "," : "-", p->partition);
    }
    if (used >= size) memcpy(text + size - 4, "...", 4);
}

static int member_one(void *arg, const rill_group_member *member)
{
    char assigned[200];

    (void)arg;
    if (json) return member_json(member);
    assigned_text(member, assigned, sizeof assigned);
    table_cell("  %s", member->member_id);
    if (member->pid != 0) table_cell("%d", member->pid);
    else table_cell("%s", member->away ? "away" : "gone");
    table_cell("%s", member->polled_ms >= 0 ? duration_text(member->polled_ms) : "-");
    table_cell("%zu", member->assigned_count);
    table_cell("%s", assigned);
    return 0;
}

static int offset_one(void *arg, const rill_group_offset *offset)
{
    (void)arg;
    if (json) {
        json_open(NULL, '{');
        json_text("topic", offset->topic);
        json_number("partition", offset->partition);
        json_offset("offset", offset->offset);
        json_offset("log_start", offset->log_start);
        json_offset("log_end", offset->log_end);
        json_offset("durable_end", offset->durable_end);
        json_number("lag", offset->lag);
        json_number("committed_ms", offset->committed_ms);
        json_text("metadata", offset->metadata);
        json_close();
        return 0;
    }
    table_cell("  %s", offset->topic);
    table_cell("%d", offset->partition);
    table_cell("%s", offset_text(offset->offset));
    table_cell("%s", offset_text(offset->log_end));
    table_cell("%s", count_text(offset->lag));
    table_cell("%s", time_text(offset->committed_ms));
    return 0;
}

static int csv_one(void *arg, const char *line)
{
    (void)arg;
    put(line);
    put("\n");
    return 0;
}

static int describe_group(rill *store, const char *name)
{
    rill_group_info info;
    int rc = rill_group_describe(store, name, &info);

    if (rc != 0) return fail_rill(rc);
    if (csv_out) {
        rc = rill_group_export(store, name, csv_one, NULL);
        return rc != 0 ? fail_rill(rc) : DONE;
    }
    if (json) {
        json_open(NULL, '{');
        json_text("group", info.name);
        json_text("state", group_state_text(info.state));
        json_number("generation", info.generation);
        json_text("assignor", assignor_text(info.assignor));
        json_open("members", '[');
    } else {
        putf("%sgroup %s%s: %s, generation %d, %u members", colour(BOLD), info.name,
             colour(PLAIN), group_state_text(info.state), info.generation, info.member_count);
        putf(info.member_count > 0 ? ", assignor %s\n" : "\n", assignor_text(info.assignor));
        if (info.member_count > 0) table_begin("__MEMBER PROCESS> POLLED> PARTITIONS> ASSIGNED");
    }
    rc = info.member_count > 0 ? rill_group_members(store, name, member_one, NULL) : 0;
    if (json) {
        json_close();
        json_open("offsets", '[');
    } else {
        if (info.member_count > 0) table_end();
        table_begin("__TOPIC PARTITION> COMMITTED> END> LAG> WHEN");
    }
    if (rc == 0) rc = rill_group_offsets(store, name, offset_one, NULL);
    if (json) {
        json_close();
        json_close();
    } else {
        table_end();
    }
    return rc != 0 ? fail_rill(rc) : DONE;
}

static int run_describe(char **arguments, size_t count)
{
    rill *store;
    int worst = DONE, status = store_open(0, &store);

    if (status != DONE) return status;
    put_hold(json);
    if (json) json_open(NULL, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !json && !csv_out) put("\n");
        status = describe_group(store, arguments[i]);
        if (status != DONE) worst = status;
    }
    if (json) json_close();
    put_hold(false);
    return store_close(store, worst);
}

/* ---- reset --------------------------------------------------------------------------- */

static const struct option reset_options[] = {
    {"topic", 't', OPTION_TEXTS, &topic_texts, "TOPIC[:PARTITION[:OFFSET]]",
     "only these, and also if nothing is committed there; may be given several times", 0, 0, 0},
    {"to-earliest", 0, OPTION_FLAG, &to_earliest, 0, "to the log start", 0, 0, 0},
    {"to-latest", 0, OPTION_FLAG, &to_latest, 0, "to the log end", 0, 0, 0},
    {"to-offset", 0, OPTION_NUMBER, &to_offset, "N", "to this offset", 0, INT64_MAX, 0},
    {"to-time", 0, OPTION_TIME, &to_time, "TIME", "to the first record that is not older", 0, 0,
     0},
    {"shift", 0, OPTION_NUMBER, &shift, "N", "by so many records, back if negative", 0, 0, 0},
    {"to-committed", 0, OPTION_FLAG, &to_committed, 0,
     "where it is, and to the log end where nothing is committed", 0, 0, 0},
    {"csv", 0, OPTION_TEXT, &csv_file, "FILE",
     "lines of topic,partition,offset as rill group describe --csv writes them", 0, 0, 0},
    {"dry-run", 0, OPTION_FLAG, &dry_run, 0, "only say what would be committed", 0, 0, 0},
    {"json", 0, OPTION_FLAG, &json, 0, "an array of objects", 0, 0, 0},
    {0},
};

static void change_one(void *arg, const rill_group_change *change)
{
    (void)arg;
    if (json) {
        json_open(NULL, '{');
        json_text("topic", change->topic);
        json_number("partition", change->partition);
        json_offset("before", change->before);
        json_offset("wanted", change->wanted);
        json_offset("offset", change->offset);
        json_close();
        return;
    }
    table_cell("%s", change->topic);
    table_cell("%d", change->partition);
    table_cell("%s", offset_text(change->before));
    table_cell("%s", offset_text(change->offset));
    table_cell("%s", change->wanted == change->offset ? "" : "moved into the partition");
}

/* All of a file, or of standard input. */
static int read_file(const char *name, char **text, size_t *size)
{
    int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;

    *text = NULL;
    *size = 0;
    if (fd < 0)
        return fail(errno == ENOENT ? NOT_FOUND : FAILED, "%s: %s", name, strerror(errno));
    do {
        *size += (size_t)got;
        *text = must_grow(*text, *size + 65536);
        got = read(fd, *text + *size, 65536);
    } while (got > 0);
    if (got < 0) fail(FAILED, "%s: %s", name, strerror(errno));
    if (fd != STDIN_FILENO) close(fd);
    return got < 0 ? FAILED : DONE;
}

/* Where to, as the options say; exactly one of them is expected. */
static int read_goal(rill_group_reset_options *options)
{
    const struct {
        bool given;
        int32_t to;
        int64_t value;
    } goals[] = {
        {to_committed, RILL_RESET_TO_COMMITTED, 0},
        {to_earliest, RILL_RESET_TO_EARLIEST, 0},
        {to_latest, RILL_RESET_TO_LATEST, 0},
        {given(&to_offset), RILL_RESET_TO_OFFSET, to_offset},
        {given(&to_time), RILL_RESET_TO_TIME, to_time},
        {given(&shift), RILL_RESET_TO_SHIFTED, shift},
        {csv_file != NULL, RILL_RESET_TO_OWN, 0},
    };
    unsigned count = 0, own = 0;

    for (size_t i = 0; i < sizeof goals / sizeof *goals; i++) {
        if (!goals[i].given) continue;
        options->to = goals[i].to;
        options->value = goals[i].value;
        count++;
    }
    for (size_t i = 0; i < options->position_count; i++)
        own += options->positions[i].offset != RILL_OFFSET_NONE;
    if (count == 0 && own > 0 && own == options->position_count) {
        options->to = RILL_RESET_TO_OWN;
        return DONE;
    }
    if (own > 0)
        return usage("offsets in --topic: all of them or none, and no other goal beside them");
    if (count != 1)
        return usage(
            "where to? exactly one of --to-earliest, --to-latest, --to-offset, --to-time, "
            "--shift, --to-committed or --csv is expected");
    if (csv_file != NULL && options->position_count > 0)
        return usage("--csv and --topic: only one of them is expected");
    return DONE;
}

static int reset(rill *store, const char *name, rill_group_reset_options *options)
{
    int rc;

    put_hold(true);
    if (json) json_open(NULL, '[');
    else table_begin("TOPIC PARTITION> BEFORE> NOW> ");
    rc = rill_group_reset(store, name, options);
    if (json) json_close();
    else table_end();
    if (rc != 0) put_drop();
    put_hold(false);
    return rc != 0 ? fail_rill(rc) : DONE;
}

static int run_reset(char **arguments, size_t count)
{
    rill_group_reset_options options = {
        .size = sizeof options, .flags = dry_run ? RILL_RESET_DRY_RUN : 0, .visit = change_one};
    rill_position *positions = must_alloc((topic_texts.count + 1) * sizeof *positions);
    char *csv = NULL;
    rill *store;
    int status = DONE;

    (void)count;
    for (size_t i = 0; i < topic_texts.count && status == DONE; i++)
        if (!read_position(topic_texts.items[i], &positions[i]))
            status =
                usage("--topic=%s: TOPIC, TOPIC:PARTITION or TOPIC:PARTITION:OFFSET is expected",
                      topic_texts.items[i]);
    if (topic_texts.count > 0) options.positions = positions;
    options.position_count = topic_texts.count;
    if (status == DONE) status = read_goal(&options);
    if (status == DONE && csv_file != NULL) {
        status = read_file(csv_file, &csv, &options.csv_size);
        options.csv = csv;
    }
    if (status == DONE) status = store_open(0, &store);
    if (status == DONE) status = store_close(store, reset(store, arguments[0], &options));
    for (size_t i = 0; i < topic_texts.count; i++) free((void *)(uintptr_t)positions[i].topic);
    free(positions);
    free(topic_texts.items);
    free(csv);
    return status;
}

/* ---- delete ----------------------------------------------------------------------------- */

static const struct option delete_options[] = {
    {"topic", 't', OPTION_TEXTS, &topic_texts, "TOPIC[:PARTITION]",
     "only what is committed for these; may be given several times", 0, 0, 0},
    {"if-there", 0, OPTION_FLAG, &if_there, 0, "do nothing, successfully, if it is not there", 0,
     0, 0},
    {"yes", 'y', OPTION_FLAG, &yes, 0, "do not ask", 0, 0, 0},
    {0},
};

static int delete_one(rill *store, const char *name, const rill_position *positions)
{
    rill_group_info info;
    int rc;

    if (topic_texts.count > 0) {
        rc = rill_group_offsets_delete(store, name, positions, topic_texts.count);
        return rc != 0 ? fail_rill(rc) : DONE;
    }
    rc = rill_group_describe(store, name, &info);
    if (rc == RILL_ERR_NOT_FOUND && if_there) return DONE;
    if (rc == 0 && !yes && !confirmed("delete group %s and its committed offsets", name))
        return fail(FAILED, "group %s stays", name);
    if (rc == 0) rc = rill_group_delete(store, name);
    return rc != 0 ? fail_rill(rc) : DONE;
}

static int run_delete(char **arguments, size_t count)
{
    rill_position *positions = must_alloc((topic_texts.count + 1) * sizeof *positions);
    rill *store;
    int status = DONE;

    for (size_t i = 0; i < topic_texts.count && status == DONE; i++)
        if (!read_position(topic_texts.items[i], &positions[i]) ||
            positions[i].offset != RILL_OFFSET_NONE)
            status =
                usage("--topic=%s: TOPIC or TOPIC:PARTITION is expected", topic_texts.items[i]);
    if (status == DONE) status = store_open(0, &store);
    if (status == DONE) {
        for (size_t i = 0; i < count && status == DONE; i++)
            status = delete_one(store, arguments[i], positions);
        status = store_close(store, status);
    }
    for (size_t i = 0; i < topic_texts.count; i++) free((void *)(uintptr_t)positions[i].topic);
    free(positions);
    free(topic_texts.items);
    return status;
}

const struct command group_commands[] = {
    {"group list", "", "all groups, their members and their lag", "", list_options,
     "rill group list --json | jq '.[] | select(.lag > 1000)'", run_list},
    {"group describe", "GROUP...", "a group's members, committed offsets and lag",
     "POLLED is how long ago a member polled. rill explain group says why a group does not move.",
     describe_options,
     "rill group describe billing\nrill group describe billing --csv >billing.csv", run_describe},
    {"group reset", "GROUP", "move a group's committed offsets",
     "The group must have no members. Without --topic all that it has committed is moved; a "
     "group "
     "that is not there is made, if --topic or --csv says for which partitions. All offsets are "
     "moved in one commit, or none.",
     reset_options,
     "rill group reset billing --to-earliest --dry-run\n"
     "rill group reset billing --to-time=-2h --topic=orders\n"
     "rill group reset billing --topic=orders:0:1000 --topic=orders:1:990\n"
     "rill group reset billing --csv=billing.csv",
     run_reset},
    {"group delete", "GROUP...", "forget groups, or part of what they have committed",
     "The group must have no members; for --topic none that subscribes to the topic.",
     delete_options, "rill group delete billing\nrill group delete billing --topic=clicks",
     run_delete},
    {0},
};
