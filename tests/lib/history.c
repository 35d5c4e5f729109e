/*
 * history.c - see history.h.
 *
 * One pass over the events, with what must hold of each partition now: which value
 * is at which offset, up to where the log must reach, up to where it is durable.
 * After a power cut what was not durable is in doubt, until somebody is told what
 * is there.
 */
#include "history.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char *const phase_names[PHASES] = {"invoke", "ok", "fail", "info"};
static const char *const op_names[OPS] = {"send",   "durable",   "seek",   "poll",   "end",
                                          "commit", "committed", "assign", "revoke", "death",
                                          "power",  "delete",    "final"};

/* ---- Recording and text ------------------------------------------------ */

struct history *history_new(size_t capacity)
{
    size_t size = sizeof(struct history) + capacity * sizeof(struct event);
    struct history *history = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (history == MAP_FAILED) abort();
    history->capacity = capacity;
    return history;
}

void history_free(struct history *history)
{
    munmap(history, sizeof(struct history) + history->capacity * sizeof(struct event));
}

void history_add(struct history *history, struct event event)
{
    size_t at = atomic_fetch_add(&history->count, 1);
    struct event *to = &history->events[at];

    if (at >= history->capacity) abort();
    to->phase = event.phase;
    to->op = event.op;
    to->group = event.group;
    to->partition = event.partition;
    to->client = event.client;
    to->count = event.count == 0 ? 1 : event.count;
    to->value = event.value;
    to->offset = event.offset;
    to->generation = event.generation;
    atomic_store(&to->ready, true);
}

static int find_word(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0) return i;
    return -1;
}

static bool parse_field(const char *word, struct event *e)
{
    char *end;

    switch (word[0]) {
    case 'g': e->group = (uint8_t)strtoul(word + 1, &end, 10); break;
    case '@': e->offset = strtoll(word + 1, &end, 10); break;
    case 'n': e->generation = (int32_t)strtol(word + 1, &end, 10); break;
    case 'v':
        e->value = strtoull(word + 1, &end, 10);
        if (*end == '+') e->count = (uint32_t)strtoul(end + 1, &end, 10);
        break;
    default: return false;
    }
    return *end == '\0';
}

bool history_parse(struct history *history, const char *line)
{
    struct event e = {.offset = -1, .count = 1};
    char phase[16];
    char op[16];
    char copy[200];
    char *rest;
    char *word;
    int phase_number;
    int op_number;
    int used = 0;

    snprintf(copy, sizeof copy, "%s", line);
    copy[strcspn(copy, "#\n")] = '\0';
    if (copy[strspn(copy, " \t")] == '\0') return true;
    if (sscanf(copy, "%" SCNu32 " %15s %15s %" SCNd32 "%n", &e.client, phase, op, &e.partition,
               &used) != 4)
        return false;
    phase_number = find_word(phase, phase_names, PHASES);
    op_number = find_word(op, op_names, OPS);
    if (phase_number < 0 || op_number < 0) return false;
    e.phase = (uint8_t)phase_number;
    e.op = (uint8_t)op_number;
    for (word = strtok_r(copy + used, " \t", &rest); word != NULL;
         word = strtok_r(NULL, " \t", &rest))
        if (!parse_field(word, &e)) return false;
    if (e.partition < 0 || e.partition >= HISTORY_PARTITIONS || e.group >= HISTORY_GROUPS ||
        e.client >= HISTORY_CLIENTS)
        return false;
    history_add(history, e);
    return true;
}

void history_print(const struct history *history, FILE *file)
{
    for (size_t i = 0; i < atomic_load(&history->count); i++) {
        const struct event *e = &history->events[i];
        if (!atomic_load(&e->ready)) continue;
        fprintf(file, "%" PRIu32 " %s %s %" PRId32, e->client, phase_names[e->phase],
                op_names[e->op], e->partition);
        if (e->group != 0) fprintf(file, " g%d", (int)e->group);
        if (e->op == COMMIT || e->op == COMMITTED || e->op == ASSIGN || e->op == REVOKE)
            fprintf(file, " n%" PRId32, e->generation);
        if (e->op == SEND || e->op == POLL)
            fprintf(file, " v%" PRIu64 "+%" PRIu32, e->value, e->count);
        fprintf(file, " @%" PRId64 "\n", e->offset);
    }
}

/* ---- What is known ------------------------------------------------------ */

/* Of one value; they lie in an array by number. */
struct value {
    uint32_t first; /* of its batch: how many values before it */
    uint32_t count; /* of its batch */
    int32_t partition;
    uint8_t state;    /* enum phase of its send; PHASES: never sent */
    bool cut;         /* gone for ever */
    bool final;       /* seen by a final reader */
    int64_t offset;   /* where it was acknowledged or seen; -1: not yet */
    int64_t at_least; /* where the log ended when it was sent */
};

struct commit {
    size_t invoke;
    size_t end; /* SIZE_MAX: not yet */
    int64_t offset;
    uint32_t client;
    uint8_t state;
    bool owned; /* it could only be accepted */
};

struct group_part {
    struct commit *commits;
    size_t count;
    size_t room;
    size_t settled; /* those before are replaced, whoever asks from now on */
    uint32_t owner; /* 0: none */
    int32_t owner_generation;
    int32_t generation;
    bool forward;    /* its members begin at what is committed, and nobody goes back */
    int64_t known;   /* it has been committed so far, at least; -1: nothing is known */
    bool *delivered; /* offsets that members were handed */
    size_t delivered_room;
};

struct part {
    uint64_t *values; /* at each offset; 0: not known */
    size_t room;
    int64_t end;      /* the log reaches at least so far */
    int64_t read_end; /* somebody has read so far */
    int64_t durable;
    int64_t doubt; /* from here on a power cut may have taken all; -1: no doubt */
    uint64_t sent; /* values, ever */
    struct group_part groups[HISTORY_GROUPS];
};

struct check {
    const struct history *history;
    history_report report;
    void *arg;
    size_t now;
    size_t anomalies;
    struct value *values;
    uint64_t value_count;
    struct part parts[HISTORY_PARTITIONS];
    int64_t (*positions)[HISTORY_PARTITIONS];   /* of clients that read; -1: anywhere */
    size_t (*taken)[HISTORY_PARTITIONS];        /* the event that gave a member a partition */
    size_t (*asked)[HISTORY_PARTITIONS];        /* the event of a client's last question */
    int64_t (*asked_known)[HISTORY_PARTITIONS]; /* and what was known of the group then */
    int64_t (*asked_end)[HISTORY_PARTITIONS];   /* and what was acknowledged then */
    int64_t (*asked_read)[HISTORY_PARTITIONS];
};

__attribute__((format(printf, 3, 4))) static void found(struct check *c, const char *anomaly,
                                                        const char *format, ...)
{
    char words[300];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    c->anomalies++;
    if (c->report != NULL) c->report(c->arg, anomaly, c->now, words);
}

static void make_room(struct part *part, int64_t offset)
{
    size_t room = part->room == 0 ? 64 : part->room;

    if ((size_t)offset < part->room) return;
    while (room <= (size_t)offset) room *= 2;
    part->values = realloc(part->values, room * sizeof *part->values);
    if (part->values == NULL) abort();
    memset(part->values + part->room, 0, (room - part->room) * sizeof *part->values);
    part->room = room;
}

static struct value *value_of(struct check *c, uint64_t value)
{
    return value == 0 || value >= c->value_count ? NULL : &c->values[value];
}

/* From offset on, what was there is gone and must not come back. */
static void cut_from(struct check *c, struct part *part, int64_t offset)
{
    for (int64_t o = offset; o < (int64_t)part->room; o++) {
        struct value *value = value_of(c, part->values[o]);
        if (value != NULL) value->cut = true;
        part->values[o] = 0;
    }
    part->end = part->end < offset ? part->end : offset;
    part->read_end = part->read_end < offset ? part->read_end : offset;
    part->doubt = -1;
}

/* ---- Values at offsets ---------------------------------------------------- */

/* Somebody is told that the value is at the offset. */
static void place(struct check *c, int32_t partition, int64_t offset, uint64_t number)
{
    struct part *part = &c->parts[partition];
    struct value *value = value_of(c, number);
    uint64_t before;

    make_room(part, offset);
    before = part->values[offset];
    if (part->doubt >= 0 && offset >= part->doubt) {
        if (before == number) part->doubt = offset + 1; /* a prefix has survived */
        else cut_from(c, part, offset);
        before = part->values[offset];
        if (part->doubt >= part->end) part->doubt = -1;
    }
    if (before != 0 && before != number)
        found(c, "inconsistent-offsets",
              "offset %" PRId64 " has value %" PRIu64 " and value %" PRIu64, offset, before,
              number);
    if (value->cut)
        found(c, "resurrection", "value %" PRIu64 " was cut or deleted, and is at %" PRId64,
              number, offset);
    else if (value->offset >= 0 && value->offset != offset)
        found(c, "duplicate", "value %" PRIu64 " is at %" PRId64 " and at %" PRId64, number,
              value->offset, offset);
    value->cut = false;
    value->offset = offset;
    part->values[offset] = number;
    if (part->end <= offset) part->end = offset + 1;
}

/* Up to where the log reaches for sure. */
static int64_t sure_end(const struct part *part)
{
    return part->doubt >= 0 ? part->doubt : part->end;
}

static void sent(struct check *c, const struct event *e)
{
    struct part *part = &c->parts[e->partition];

    for (uint32_t i = 0; i < e->count; i++) {
        struct value *value = value_of(c, e->value + i);
        if (e->phase == INVOKE) {
            *value = (struct value){i,     e->count, e->partition, INVOKE,
                                    false, false,    -1,           sure_end(part)};
            part->sent++;
            continue;
        }
        value->state = e->phase;
        if (e->phase == FAIL && value->offset >= 0)
            found(c, "aborted-read", "value %" PRIu64 " was refused, and is at %" PRId64,
                  e->value + i, value->offset);
        if (e->phase != GOOD) continue;
        if (e->offset + i < value->at_least)
            found(c, "nonmonotonic-send",
                  "value %" PRIu64 " got offset %" PRId64
                  "; when it was sent the log ended at %" PRId64,
                  e->value + i, e->offset + i, value->at_least);
        place(c, e->partition, e->offset + i, e->value + i);
    }
}

static void delivered(struct group_part *group, int64_t offset)
{
    size_t room = group->delivered_room == 0 ? 64 : group->delivered_room;

    while (room <= (size_t)offset) room *= 2;
    if (room > group->delivered_room) {
        group->delivered = realloc(group->delivered, room * sizeof(bool));
        if (group->delivered == NULL) abort();
        memset(group->delivered + group->delivered_room, 0, room - group->delivered_room);
        group->delivered_room = room;
    }
    group->delivered[offset] = true;
}

static void polled(struct check *c, const struct event *e)
{
    struct value *value = value_of(c, e->value);
    struct part *part = &c->parts[e->partition];
    int64_t *position = &c->positions[e->client][e->partition];

    if (e->group != 0 && *position < 0)
        found(c, "unassigned-poll",
              "member %" PRIu32 " got %" PRId64 " and has not the partition", e->client,
              e->offset);
    if (e->group != 0) delivered(&part->groups[e->group], e->offset);
    if (*position >= 0 && e->offset > *position)
        found(c, "poll-skip", "client %" PRIu32 " got %" PRId64 " where %" PRId64 " follows",
              e->client, e->offset, *position);
    if (*position >= 0 && e->offset < *position)
        found(c, "nonmonotonic-poll",
              "client %" PRIu32 " got %" PRId64 " where %" PRId64 " follows", e->client,
              e->offset, *position);
    *position = e->offset + 1;
    if (value == NULL || value->state == PHASES || value->partition != e->partition) {
        found(c, "phantom", "value %" PRIu64 " at %" PRId64 ", which nobody has sent", e->value,
              e->offset);
        return;
    }
    if (value->state == FAIL)
        found(c, "aborted-read", "value %" PRIu64 " was refused, and is at %" PRId64, e->value,
              e->offset);
    place(c, e->partition, e->offset, e->value);
    if (e->offset >= value->first && value->count > 1) {
        uint64_t first = e->value - value->first;
        int64_t base = e->offset - value->first;
        for (uint32_t i = 0; i < value->count; i++) {
            struct value *other = value_of(c, first + i);
            if (other->offset >= 0 && !other->cut && other->offset != base + i)
                found(c, "torn-batch",
                      "values %" PRIu64 " and %" PRIu64 " of one batch are at %" PRId64
                      " and %" PRId64,
                      e->value, first + i, e->offset, other->offset);
        }
    }
    if (part->read_end <= e->offset) part->read_end = e->offset + 1;
}

/* ---- Ends ----------------------------------------------------------------- */

/* A recovered log lowers what lies behind its end. */
static void clamp_commits(struct part *part, int64_t end)
{
    for (int g = 0; g < HISTORY_GROUPS; g++)
        for (size_t i = 0; i < part->groups[g].count; i++)
            if (part->groups[g].commits[i].offset > end) part->groups[g].commits[i].offset = end;
    for (int g = 0; g < HISTORY_GROUPS; g++)
        if (part->groups[g].known > end) part->groups[g].known = end;
}

static void ended(struct check *c, const struct event *e)
{
    struct part *part = &c->parts[e->partition];
    int64_t at_least = c->asked_end[e->client][e->partition];
    int64_t read = c->asked_read[e->client][e->partition];

    if (part->doubt >= 0) {
        if (e->offset < part->durable)
            found(c, "durable-lost", "the log ends at %" PRId64 ", %" PRId64 " was durable",
                  e->offset, part->durable);
        cut_from(c, part, e->offset);
        clamp_commits(part, e->offset);
        part->durable = part->durable < e->offset ? part->durable : e->offset;
    } else if (e->offset < read) {
        found(c, "rollback", "the log ends at %" PRId64 ", somebody had read to %" PRId64,
              e->offset, read);
    } else if (e->offset < at_least) {
        found(c, "stale-read", "the log ends at %" PRId64 ", %" PRId64 " was acknowledged before",
              e->offset, at_least);
    }
    if (part->end < e->offset) part->end = e->offset;
}

static bool is_there(const struct value *value, int64_t end)
{
    return !value->cut && value->offset >= 0 && value->offset < end;
}

static void finished_group(struct check *c, const struct event *e)
{
    const struct group_part *group = &c->parts[e->partition].groups[e->group];

    for (int64_t o = 0; o < e->offset; o++) {
        if ((size_t)o < group->delivered_room && group->delivered[o]) continue;
        found(c, "undelivered", "no member of group %d was handed offset %" PRId64 " of %" PRId64,
              (int)e->group, o, e->offset);
        return; /* the first one tells enough */
    }
}

static void finished(struct check *c, const struct event *e)
{
    struct part *part = &c->parts[e->partition];
    int64_t position = c->positions[e->client][e->partition];

    if (position != e->offset && !(position < 0 && e->offset == 0))
        found(c, "poll-skip", "a reader of all ends at %" PRId64 ", the log at %" PRId64,
              position, e->offset);
    if (e->offset < part->durable && part->doubt >= 0)
        found(c, "durable-lost", "the log ends at %" PRId64 ", %" PRId64 " was durable",
              e->offset, part->durable);
    if (part->doubt >= 0)
        cut_from(c, part, e->offset > part->durable ? e->offset : part->durable);
    for (uint64_t v = 1; v < c->value_count; v++) {
        const struct value *value = &c->values[v];

        if (value->state == PHASES || value->partition != e->partition) continue;
        if (value->first > 0 &&
            is_there(value, e->offset) != is_there(&c->values[v - 1], e->offset))
            found(c, "torn-batch", "of values %" PRIu64 " and %" PRIu64 " one is there", v - 1,
                  v);
        if (!value->cut && !is_there(value, e->offset) &&
            (value->state == GOOD || value->offset >= 0))
            found(c, "lost-write", "value %" PRIu64 " at %" PRId64 " is behind the end %" PRId64,
                  v, value->offset, e->offset);
    }
}

/* ---- Commits ---------------------------------------------------------------- */

/* By whom nobody could have taken it from. */
static bool is_owner(const struct group_part *group, uint32_t client)
{
    return group->owner == client && group->owner_generation > 0;
}

/* Another one's commit was accepted before this one was begun; since then this
 * one's member has not got the partition anew. */
static void find_successor(struct check *c, const struct group_part *group,
                           const struct commit *commit, int32_t partition)
{
    size_t taken = c->taken[commit->client][partition];

    for (size_t i = group->count; i > 0 && group->commits[i - 1].invoke > taken; i--) {
        const struct commit *other = &group->commits[i - 1];
        if (other->client == commit->client || other->state != GOOD ||
            other->end >= commit->invoke)
            continue;
        found(c, "zombie-commit",
              "client %" PRIu32 " committed %" PRId64 ", after client %" PRIu32
              ", which had it later, committed %" PRId64,
              commit->client, commit->offset, other->client, other->offset);
        return;
    }
}

static void committing(struct check *c, const struct event *e)
{
    struct group_part *group = &c->parts[e->partition].groups[e->group];
    struct commit *commit = NULL;

    if (e->phase == INVOKE) {
        if (group->count == group->room) {
            group->room = group->room == 0 ? 16 : 2 * group->room;
            group->commits = realloc(group->commits, group->room * sizeof *group->commits);
            if (group->commits == NULL) abort();
        }
        group->commits[group->count++] = (struct commit){
            c->now, SIZE_MAX, e->offset, e->client, INVOKE, is_owner(group, e->client)};
        return;
    }
    for (size_t i = group->count; i > 0 && commit == NULL; i--)
        if (group->commits[i - 1].client == e->client && group->commits[i - 1].end == SIZE_MAX)
            commit = &group->commits[i - 1];
    if (commit == NULL) return;
    commit->end = c->now;
    commit->state = e->phase;
    if (e->phase == FAIL && commit->owned && is_owner(group, e->client))
        found(c, "owner-refused",
              "client %" PRIu32 " has the partition and may not commit %" PRId64, e->client,
              e->offset);
    if (e->phase != GOOD) return;
    if (group->known < e->offset) group->known = e->offset;
    if (e->generation > 0 && e->generation < group->generation)
        found(c, "zombie-commit", "under generation %" PRId32 ", when %" PRId32 " was known",
              e->generation, group->generation);
    if (c->taken[e->client][e->partition] != 0) find_successor(c, group, commit, e->partition);
}

/* A commit may be what a reader sees unless another one, begun after its end, was
 * acknowledged before the reader asked. */
static bool may_see(const struct group_part *group, size_t at, size_t asked)
{
    const struct commit *commit = &group->commits[at];

    if (commit->state == FAIL) return false;
    for (size_t i = at + 1; i < group->count; i++)
        if (group->commits[i].state == GOOD && group->commits[i].end < asked &&
            group->commits[i].invoke > commit->end)
            return false;
    return true;
}

static void committed(struct check *c, const struct event *e)
{
    struct part *part = &c->parts[e->partition];
    struct group_part *group = &part->groups[e->group];
    size_t asked = c->asked[e->client][e->partition];
    int64_t known = c->asked_known[e->client][e->partition];
    bool begin = e->op == ASSIGN && e->offset == 0; /* nothing, or 0, was committed */
    bool any = false;
    bool replaced = false;
    bool surely = false; /* some commit was acknowledged before the question */

    if (e->offset >= 0 && (uint64_t)e->offset > part->sent)
        found(c, "commit-beyond-end", "offset %" PRId64 " of %" PRIu64 " records ever sent",
              e->offset, part->sent);
    if (group->forward && e->offset < known)
        found(c, "commit-back", "%" PRId64 " is committed, and was %" PRId64, e->offset, known);
    if (group->forward && group->known < e->offset && !begin) group->known = e->offset;
    /* Backwards: it is among the last ones. */
    for (size_t i = group->count; i > 0 && !any; i--) {
        const struct commit *commit = &group->commits[i - 1];
        bool same = commit->offset == e->offset;
        surely |= commit->state == GOOD && commit->end < asked;
        if (!same || commit->state == FAIL) continue;
        if (may_see(group, i - 1, asked)) any = true;
        else replaced = true;
    }
    if (any || ((e->offset < 0 || begin) && !surely)) return;
    if (replaced || e->offset < 0 || begin)
        found(c, "commit-rollback", "offset %" PRId64 " was replaced before it was asked for",
              e->offset);
    else found(c, "commit-phantom", "nobody has committed offset %" PRId64, e->offset);
}

/* ---- Owners, deaths and cuts --------------------------------------------------- */

/* A member says where it begins, which it has learnt after it asked. */
static void begun(struct check *c, struct group_part *group, const struct event *e)
{
    group->forward = true;
    committed(c, e);
    c->taken[e->client][e->partition] = c->now;
    c->positions[e->client][e->partition] = e->offset;
}

/* It may be given any partition of the group. */
static void asked_for_partitions(struct check *c, const struct event *e)
{
    for (int p = 0; p < HISTORY_PARTITIONS; p++) {
        c->asked[e->client][p] = c->now;
        c->asked_known[e->client][p] = c->parts[p].groups[e->group].known;
    }
}

static void assigned(struct check *c, const struct event *e)
{
    struct group_part *group = &c->parts[e->partition].groups[e->group];

    if (e->op == REVOKE) {
        if (group->owner == e->client) group->owner = 0;
        c->positions[e->client][e->partition] = -1;
        return;
    }
    if (e->offset >= 0) begun(c, group, e);
    else if (c->taken[e->client][e->partition] != 0) c->taken[e->client][e->partition] = c->now;
    if (group->owner != 0 && group->owner != e->client && group->owner_generation > 0 &&
        e->generation <= group->generation)
        found(c, "two-owners", "clients %" PRIu32 " and %" PRIu32 " in generation %" PRId32,
              group->owner, e->client, e->generation);
    group->owner = e->client;
    group->owner_generation = e->generation;
    if (group->generation < e->generation) group->generation = e->generation;
}

static void died(struct check *c, uint32_t client)
{
    for (int p = 0; p < HISTORY_PARTITIONS; p++)
        for (int g = 0; g < HISTORY_GROUPS; g++)
            if (c->parts[p].groups[g].owner == client) c->parts[p].groups[g].owner = 0;
}

static void power_went(struct check *c)
{
    for (int p = 0; p < HISTORY_PARTITIONS; p++) {
        struct part *part = &c->parts[p];
        part->doubt = part->durable;
        for (int g = 0; g < HISTORY_GROUPS; g++) part->groups[g].owner = 0;
    }
    memset(c->positions, 0xff, HISTORY_CLIENTS * sizeof *c->positions);
}

static void deleted(struct check *c, struct part *part)
{
    cut_from(c, part, 0);
    part->durable = 0;
    for (int g = 0; g < HISTORY_GROUPS; g++) {
        struct group_part *group = &part->groups[g];
        group->count = 0;
        group->known = -1;
        if (group->delivered_room > 0) memset(group->delivered, 0, group->delivered_room);
    }
}

/* ---- The pass -------------------------------------------------------------------- */

static void look_at(struct check *c, const struct event *e)
{
    struct part *part = &c->parts[e->partition];

    if (e->phase == INVOKE && (e->op == END || e->op == COMMITTED)) {
        c->asked[e->client][e->partition] = c->now;
        c->asked_end[e->client][e->partition] = sure_end(part);
        c->asked_read[e->client][e->partition] = part->doubt >= 0 ? 0 : part->read_end;
        c->asked_known[e->client][e->partition] = part->groups[e->group].known;
        return;
    }
    if (e->phase == INVOKE && e->op == ASSIGN) {
        asked_for_partitions(c, e);
        return;
    }
    if (e->phase == GOOD && e->offset < 0 && (e->op <= END || e->op == FINAL)) {
        found(c, "phantom", "offset %" PRId64, e->offset);
        return;
    }
    switch (e->op) {
    case SEND: sent(c, e); return;
    case COMMIT: committing(c, e); return;
    default: break;
    }
    if (e->phase != GOOD) return;
    switch (e->op) {
    case DURABLE:
        if (part->durable < e->offset) part->durable = e->offset;
        break;
    case SEEK: c->positions[e->client][e->partition] = e->offset; break;
    case POLL: polled(c, e); break;
    case END: ended(c, e); break;
    case COMMITTED: committed(c, e); break;
    case ASSIGN:
    case REVOKE: assigned(c, e); break;
    case DEATH: died(c, e->client); break;
    case POWER: power_went(c); break;
    case DELETE: deleted(c, part); break;
    default: (e->group != 0 ? finished_group : finished)(c, e); break;
    }
}

size_t history_check(const struct history *history, history_report report, void *arg)
{
    static struct check c;
    size_t count = atomic_load(&history->count);

    memset(&c, 0, sizeof c);
    c.history = history;
    c.report = report;
    c.arg = arg;
    c.value_count = 1;
    for (size_t i = 0; i < count; i++) {
        const struct event *e = &history->events[i];
        if (atomic_load(&e->ready) && e->op == SEND && e->value + e->count > c.value_count)
            c.value_count = e->value + e->count;
    }
    c.values = calloc(c.value_count, sizeof *c.values);
    c.positions = malloc(HISTORY_CLIENTS * sizeof *c.positions);
    c.asked = calloc(HISTORY_CLIENTS, sizeof *c.asked);
    c.taken = calloc(HISTORY_CLIENTS, sizeof *c.taken);
    c.asked_known = calloc(HISTORY_CLIENTS, sizeof *c.asked_known);
    c.asked_end = calloc(HISTORY_CLIENTS, sizeof *c.asked_end);
    c.asked_read = calloc(HISTORY_CLIENTS, sizeof *c.asked_read);
    if (c.values == NULL || c.positions == NULL || c.asked == NULL || c.asked_end == NULL ||
        c.asked_read == NULL || c.taken == NULL || c.asked_known == NULL)
        abort();
    memset(c.positions, 0xff, HISTORY_CLIENTS * sizeof *c.positions);
    for (uint64_t v = 0; v < c.value_count; v++) c.values[v].state = PHASES;
    for (int p = 0; p < HISTORY_PARTITIONS; p++) {
        c.parts[p].doubt = -1;
        for (int g = 0; g < HISTORY_GROUPS; g++) c.parts[p].groups[g].known = -1;
    }
    for (c.now = 0; c.now < count; c.now++)
        if (atomic_load(&history->events[c.now].ready)) look_at(&c, &history->events[c.now]);
    for (int p = 0; p < HISTORY_PARTITIONS; p++) {
        free(c.parts[p].values);
        for (int g = 0; g < HISTORY_GROUPS; g++) {
            free(c.parts[p].groups[g].commits);
            free(c.parts[p].groups[g].delivered);
        }
    }
    free(c.taken);
    free(c.asked_known);
    free(c.values);
    free(c.positions);
    free(c.asked);
    free(c.asked_end);
    free(c.asked_read);
    return c.anomalies;
}
