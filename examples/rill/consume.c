/*
 * consume.c - rill consume: records go to standard output.
 *
 * Two ways of reading. Without a group, the partitions are assigned, each from a
 * start and, unless it follows, to the end that was there when the command began;
 * so it always ends, however fast others append. With a group, it is a member like
 * any other; then a record is committed only after it was written out.
 */
#include "consume.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS_PER_POLL 512
#define COMMIT_NS 100000000 /* between commits; the last one comes at the end */

static const char *group, *from, *format_text, *key_separator_text, *delimiter_text, *null_text,
    *instance, *client;
static struct texts partition_texts;
static int64_t since, until, limit, timeout_ms;
static bool follow, json, escape, raw, zero, no_commit, durable, committed, skip_damage;

static const struct option consume_options[] = {
    {"group", 'g', OPTION_TEXT, &group, "GROUP",
     "as a member of this group: shares the partitions with the others, goes on where the group "
     "stands, and commits what was written out",
     0, 0, 0},
    {"from", 'o', OPTION_TEXT, &from, "WHERE",
     "beginning, end, an offset, or -N for the last N of each partition; beginning. With a "
     "group: "
     "only where it has committed nothing",
     0, 0, 0},
    {"since", 0, OPTION_TIME, &since, "TIME", "from the first record that is not older", 0, 0, 0},
    {"until", 0, OPTION_TIME, &until, "TIME", "up to the first record that is not older", 0, 0,
     0},
    {"partition", 'p', OPTION_TEXTS, &partition_texts, "N",
     "only this partition, or N-M; may be given several times", 0, 0, 0},
    {"follow", 'f', OPTION_FLAG, &follow, 0, "wait for more when all is read", 0, 0, 0},
    {"count", 'n', OPTION_NUMBER, &limit, "N", "end after so many records", 1, INT64_MAX, 0},
    {"timeout", 0, OPTION_DURATION, &timeout_ms, "TIME",
     "end when nothing came for so long; with a group and without --follow 1s", 1, INT32_MAX, 0},
    {"json", 'J', OPTION_FLAG, &json, 0,
     "an object per line; bytes that are not UTF-8 are in base64", 0, 0, 0},
    {"format", 0, OPTION_TEXT, &format_text, "FORMAT",
     "write each record so: %t topic, %p partition, %o offset, %k key, %s value, %K and %S their "
     "sizes (-1: null), %T time in ms, %d date, %h headers, %e leader epoch, %%, and escapes",
     0, 0, 0},
    {"key-separator", 'k', OPTION_TEXT, &key_separator_text, "TEXT",
     "write the key and TEXT before the value", 0, 0, 0},
    {"delimiter", 'd', OPTION_TEXT, &delimiter_text, "TEXT",
     "write TEXT after each value; a newline", 0, 0, 0},
    {"zero", '0', OPTION_FLAG, &zero, 0, "write a zero byte after each value", 0, 0, 0},
    {"null", 0, OPTION_TEXT, &null_text, "TEXT", "what stands for null; \\N", 0, 0, 0},
    {"escape", 'e', OPTION_FLAG, &escape, 0,
     "escape control characters, backslashes and what is not UTF-8; so on a terminal", 0, 0, 0},
    {"raw", 0, OPTION_FLAG, &raw, 0, "bytes as they are, also on a terminal", 0, 0, 0},
    {"durable", 0, OPTION_FLAG, &durable, 0, "only what a power cut cannot take back", 0, 0, 0},
    {"committed", 0, OPTION_FLAG, &committed, 0,
     "of transactions only those that are committed; up to the first that is open", 0, 0, 0},
    {"no-commit", 0, OPTION_FLAG, &no_commit, 0, "with a group: commit nothing", 0, 0, 0},
    {"instance", 0, OPTION_TEXT, &instance, "ID",
     "with a group: a static member, whose partitions wait for it when it goes away", 0, 0, 0},
    {"client", 0, OPTION_TEXT, &client, "NAME", "with a group: name of the member; rill", 0, 0,
     0},
    {"skip-damage", 0, OPTION_FLAG, &skip_damage, 0,
     "go on after damaged places; the exit status is 4 all the same", 0, 0, 0},
    {0},
};

/* ---- The partitions, without a group -------------------------------------------------- */

struct part {
    rill_position start;
    rill_offset end; /* exclusive; INT64_MAX: none */
    bool done;
};

struct reading {
    rill *store;
    rill_consumer *consumer;
    struct format format;
    struct part *parts; /* NULL with a group */
    size_t part_count, parts_left;
    uint64_t written;
    bool damaged;
    int64_t committed_ns;
    bool uncommitted; /* something was written and is not committed */
};

static int offset_at(rill *store, const char *topic, int32_t partition, int64_t ms,
                     rill_offset otherwise, rill_offset *offset)
{
    int rc = rill_partition_offset_for_time(store, topic, partition, ms, offset);

    if (rc != 0) return fail_rill(rc);
    if (*offset == RILL_OFFSET_NONE || *offset > otherwise) *offset = otherwise;
    return DONE;
}

/* Where --from=WHERE is in [start, end]. */
static rill_offset from_offset(const rill_partition_info *info, rill_offset end)
{
    int64_t number = 0;

    if (from == NULL || strcmp(from, "beginning") == 0) return info->log_start;
    if (strcmp(from, "end") == 0) return end;
    read_number(from, &number);
    if (number < 0 || from[0] == '-') number = end + number;
    if (number < info->log_start) return info->log_start;
    return number < end || follow ? number : end;
}

static int plan_partition(struct reading *reading, const char *topic, int32_t partition)
{
    rill_partition_info info;
    struct part part = {.start = {.topic = topic, .partition = partition, .leader_epoch = -1}};
    int rc = rill_partition_describe(reading->store, topic, partition, &info), status = DONE;
    rill_offset end = durable ? info.durable_end : info.log_end;

    if (rc != 0) return fail_rill(rc);
    part.start.offset = from_offset(&info, end);
    if (part.start.offset > end) part.start.offset = end;
    part.end = follow ? INT64_MAX : end;
    if (given(&since))
        status = offset_at(reading->store, topic, partition, since, end, &part.start.offset);
    if (status == DONE && given(&until))
        status = offset_at(reading->store, topic, partition, until, end, &part.end);
    if (status != DONE || part.start.offset >= part.end) return status;
    reading->parts = must_grow(reading->parts, (reading->part_count + 1) * sizeof part);
    reading->parts[reading->part_count++] = part;
    return DONE;
}

static int plan(struct reading *reading, char **topics, size_t count)
{
    rill_position *positions;
    int rc;

    for (size_t i = 0; i < count; i++) {
        rill_topic_info topic;
        int status = DONE;

        if (topics[i][0] == '^')
            return usage("%s: expressions are for --group; a name is expected", topics[i]);
        rc = rill_topic_describe(reading->store, topics[i], &topic);
        if (rc != 0) return fail_rill(rc);
        status = partitions_check(&partition_texts, &topic);
        for (uint32_t p = 0; p < topic.options.partition_count && status == DONE; p++)
            if (partitions_have(&partition_texts, p))
                status = plan_partition(reading, topics[i], (int32_t)p);
        if (status != DONE) return status;
    }
    reading->parts_left = reading->part_count;
    if (reading->part_count == 0) return DONE;
    positions = must_alloc(reading->part_count * sizeof *positions);
    for (size_t i = 0; i < reading->part_count; i++) positions[i] = reading->parts[i].start;
    rc = rill_consumer_assign(reading->consumer, positions, reading->part_count);
    free(positions);
    return rc != 0 ? fail_rill(rc) : DONE;
}

static struct part *find_part(struct reading *reading, const char *topic, int32_t partition)
{
    static size_t last; /* records of a partition come together */

    for (size_t i = 0; i < reading->part_count; i++) {
        struct part *part = &reading->parts[(last + i) % reading->part_count];

        if (part->start.partition != partition || strcmp(part->start.topic, topic) != 0) continue;
        last = (size_t)(part - reading->parts);
        return part;
    }
    return NULL;
}

/* Stops reading a partition that has come to its end. */
static int finish_part(struct reading *reading, struct part *part)
{
    int rc;

    if (part->done) return DONE;
    part->done = true;
    reading->parts_left--;
    rc = rill_consumer_pause(reading->consumer, part->start.topic, part->start.partition);
    return rc != 0 ? fail_rill(rc) : DONE;
}

/* At the end of a log there may be offsets without records, so positions count. */
static int finish_parts(struct reading *reading)
{
    int status = DONE;

    for (size_t i = 0; i < reading->part_count && status == DONE; i++) {
        struct part *part = &reading->parts[i];
        rill_offset position;
        int64_t lag;

        if (part->done) continue;
        if (rill_consumer_position(reading->consumer, part->start.topic, part->start.partition,
                                   &position) == 0 &&
            position >= part->end)
            status = finish_part(reading, part);
        /* A transaction that is open may stay so; what is behind it is not for us. */
        else if (committed && !follow &&
                 rill_consumer_lag(reading->consumer, part->start.topic, part->start.partition,
                                   &lag) == 0 &&
                 lag == 0)
            status = finish_part(reading, part);
    }
    return status;
}

/* ---- Damage ---------------------------------------------------------------------------- */

/* Moves every position that is in a damaged place behind it. */
static int step_over(struct reading *reading)
{
    rill_position *positions;
    size_t count, room = 0;
    int rc = rill_consumer_assignment(reading->consumer, NULL, 0, &count), status = DONE;
    bool moved = false;

    if (rc != 0) return fail_rill(rc);
    room = count;
    positions = must_alloc(room * sizeof *positions);
    rc = rill_consumer_assignment(reading->consumer, positions, room, &count);
    if (rc != 0) status = fail_rill(rc);
    for (size_t i = 0; i < count && i < room && status == DONE; i++) {
        rill_offset first = positions[i].offset, offset = first;

        while ((rc = rill_consumer_seek(reading->consumer, positions[i].topic,
                                        positions[i].partition, offset)) == RILL_ERR_CORRUPT)
            offset++;
        if (rc != 0) status = fail_rill(rc);
        if (rc != 0 || offset == first) continue;
        note("%s-%" PRId32 ": skipped offsets %" PRId64 " to %" PRId64, positions[i].topic,
             positions[i].partition, first, offset - 1);
        moved = true;
    }
    free(positions);
    if (status == DONE && !moved) status = fail(DAMAGED, "the damaged place cannot be skipped");
    return status;
}

/* ---- The loop --------------------------------------------------------------------------- */

static int commit(struct reading *reading)
{
    int rc;

    /* A commit is of all that polls have handed out, so there is none when some of it was
     * lost on its way out. It comes again, and some of what was written since the last one. */
    if (group == NULL || no_commit || !reading->uncommitted || !put_ok()) return DONE;
    rc = rill_consumer_commit(reading->consumer, NULL, 0);
    reading->committed_ns = steady_ns();
    reading->uncommitted = false;
    /* Somebody else has the partition now, and reads those records again. */
    if (rc == RILL_ERR_FENCED) return DONE;
    return rc != 0 ? fail_rill(rc) : DONE;
}

/* Between two polls all that was read is written out, so this may be committed. */
static int on_rebalance(void *arg, rill_consumer *consumer, int event,
                        const rill_position *positions, size_t count)
{
    struct reading *reading = arg;

    (void)consumer, (void)positions, (void)count;
    if (event == RILL_REBALANCE_REVOKED) commit(reading);
    return 0;
}

static int write_records(struct reading *reading, const rill_record *records, size_t count)
{
    int status = DONE;

    for (size_t i = 0; i < count && status == DONE; i++) {
        struct part *part = reading->parts != NULL
                                ? find_part(reading, records[i].topic, records[i].partition)
                                : NULL;

        if (part == NULL || records[i].offset < part->end) {
            format_record(&reading->format, &records[i]);
            reading->written++;
        }
        if (part != NULL && records[i].offset + 1 >= part->end)
            status = finish_part(reading, part);
    }
    if (!put_flush()) return OUTPUT_CLOSED; /* put_end says what it was */
    reading->uncommitted = true;
    return status;
}

static int read_all(struct reading *reading)
{
    static rill_record records[RECORDS_PER_POLL];
    int64_t came_ns = steady_ns();
    int status = DONE;

    while (status == DONE && stopped == 0 && (reading->parts_left > 0 || group != NULL)) {
        size_t room = RECORDS_PER_POLL, count;
        int rc;

        if (limit != 0 && (uint64_t)limit - reading->written < room)
            room = (size_t)((uint64_t)limit - reading->written);
        if (room == 0) break;
        rc = rill_consumer_poll(reading->consumer, 100, records, room, &count);
        if (rc == RILL_ERR_CORRUPT) {
            status = fail_rill(rc);
            reading->damaged = true;
            if (skip_damage) status = step_over(reading);
            continue;
        }
        if (rc != 0) {
            status = fail_rill(rc);
        } else if (count > 0) {
            came_ns = steady_ns();
            status = write_records(reading, records, count);
        } else if (reading->parts != NULL) {
            status = finish_parts(reading);
        }
        if (status == DONE && steady_ns() - reading->committed_ns > COMMIT_NS)
            status = commit(reading);
        if (timeout_ms != 0 && steady_ns() - came_ns > timeout_ms * 1000000) break;
    }
    return status;
}

static int32_t isolation(void)
{
    if (committed) return durable ? RILL_READ_COMMITTED_DURABLE : RILL_READ_COMMITTED;
    return durable ? RILL_READ_DURABLE : RILL_READ_WRITTEN;
}

static int consume(rill *store, char **topics, size_t count, struct reading *reading)
{
    rill_consumer_options options = {.size = sizeof options,
                                     .group = group,
                                     .client_id = client,
                                     .group_instance_id = instance,
                                     .isolation = isolation(),
                                     .auto_offset_reset = from != NULL && strcmp(from, "end") == 0
                                                              ? RILL_RESET_LATEST
                                                              : RILL_RESET_EARLIEST,
                                     .rebalance = group != NULL ? on_rebalance : NULL,
                                     .rebalance_arg = reading};
    int rc = rill_consumer_open(store, &options, &reading->consumer), status;

    if (rc != 0) return fail_rill(rc);
    signals_wake(reading->consumer);
    if (group != NULL) {
        rc = rill_consumer_subscribe(reading->consumer, (const char *const *)topics, count);
        status = rc != 0 ? fail_rill(rc) : DONE;
    } else {
        status = plan(reading, topics, count);
    }
    if (status == DONE) {
        int last;

        status = read_all(reading);
        last = commit(reading);
        if (status == DONE) status = last;
    }
    signals_wake(NULL);
    rc = rill_consumer_close(reading->consumer, 5000);
    if (rc != 0 && status == DONE) status = fail_rill(rc);
    return status;
}

static int check_options(struct format *format)
{
    int64_t number;
    const char *expected;
    rill_bytes line_end = {zero ? "\0" : "\n", 1};
    int status;

    if (from != NULL && strcmp(from, "beginning") != 0 && strcmp(from, "end") != 0) {
        if (!read_number(from, &number))
            return usage("--from=%s: beginning, end, an offset, or -N for the last N is expected",
                         from);
        if (group != NULL)
            return usage(
                "--from=%s: with a group, beginning or end is expected; rill group reset "
                "moves a group",
                from);
    }
    if (group != NULL && (partition_texts.count > 0 || given(&since) || given(&until)))
        return usage("--group: --partition, --since and --until are for reading without a group");
    if (group == NULL && (no_commit || instance != NULL || client != NULL))
        return usage("--no-commit, --instance and --client need --group");
    if (from != NULL && given(&since))
        return usage("--from and --since: only one of them is expected");
    if (follow && given(&until))
        return usage("--follow and --until: only one of them is expected");
    if (escape && raw) return usage("--escape and --raw: only one of them is expected");
    if (json &&
        (format_text != NULL || key_separator_text != NULL || delimiter_text != NULL || zero))
        return usage("--json: no other format is expected beside it");
    if (group != NULL && !follow && timeout_ms == 0) timeout_ms = 1000;

    *format = (struct format){.json = json,
                              .escape = escape || (!raw && !json && is_terminal(STDOUT_FILENO)),
                              .null = {"\\N", 2}};
    if (null_text != NULL) format->null = (rill_bytes){null_text, strlen(null_text)};
    status = read_escaped("format", format_text, &format->pattern);
    if (status == DONE)
        status = read_escaped("key-separator", key_separator_text, &format->key_separator);
    if (status == DONE) status = read_escaped("delimiter", delimiter_text, &format->delimiter);
    if (format->delimiter.data == NULL) format->delimiter = line_end;
    if (status != DONE || format->pattern.data == NULL) return status;
    expected = format_check(format->pattern);
    return expected != NULL ? usage("--format=%s: %s are expected", format_text, expected) : DONE;
}

static int run_consume(char **topics, size_t count)
{
    struct reading reading = {0};
    rill *store;
    int status = check_options(&reading.format);

    if (status == DONE)
        status = store_open(follow || group != NULL ? RILL_OPEN_THREAD : 0, &store);
    if (status != DONE) return status;
    reading.store = store;
    signals_catch();
    status = consume(store, topics, count, &reading);
    status = store_close(store, status);
    free(reading.parts);
    free(partition_texts.items);
    if (status == DONE && reading.damaged) status = DAMAGED;
    if (stopped == 0 && status == DONE && limit != 0 && reading.written < (uint64_t)limit)
        status = timeout_ms != 0 ? fail(NOT_NOW, "only %s of %s records came",
                                        count_text((int64_t)reading.written), count_text(limit))
                                 : DONE;
    return stopped_status(status == OUTPUT_CLOSED && stopped != 0 ? DONE : status);
}

const struct command consume_commands[] = {
    {"consume", "TOPIC...", "write records to standard output",
     "Without --group it reads all partitions, or those that are asked for, to their ends as "
     "they "
     "were when it began, or with --follow without end. With --group it is a member of that "
     "group; "
     "a TOPIC that begins with ^ is then a regular expression for names of topics. Records of "
     "one "
     "partition come in order.\n\n"
     "A value is written as it is, with a newline behind it. On a terminal, and with --escape, "
     "control characters and what is not UTF-8 are escaped. With --format nothing is added.",
     consume_options,
     "rill consume orders\n"
     "# the last ten, and then what comes\n"
     "rill consume orders --from=-10 --follow\n"
     "# what a group has not seen yet\n"
     "rill consume orders --group=billing --timeout=5s\n"
     "rill consume orders --since=-1h --json | jq .value\n"
     "rill consume orders --format='%p:%o %d %k = %s\\n'",
     run_consume},
    {0},
};
