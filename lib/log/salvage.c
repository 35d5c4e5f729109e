/*
 * log/salvage.c - a partition repaired: what is wrong, by a check; what to do about
 * it; and again, until the check finds nothing more to do.
 *
 *     segments, gaps    first, since the rest is made from them
 *     settling          all is synced; both durable marks name the end of the log;
 *                       the words of this boot, where they were wrong, are cleared
 *     indexes           last, from sound segments
 *
 * Whatever was done, the marks are true at every moment: segments that they name
 * keep the places of their batches.
 */
#include "log/salvage.h"
#include "base/bytes.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define ROUNDS_MAX 8

enum need_kind { NEED_SEGMENT, NEED_GAP, NEED_INDEX, NEED_ASIDE };

struct need {
    enum need_kind kind;
    int64_t first; /* of a segment or an index: its base */
    int64_t end;
    char name[SEGMENT_NAME_SIZE * 8];
};

struct job {
    const struct log_salvage *salvage;
    struct need *needs;
    size_t count;
    size_t room;
    bool control; /* the control file needs to be made anew, or its marks */
    bool words;   /* the shared words must go */
    bool newer;   /* something is of a newer format */
    bool rebuilt; /* segments were: the marks are to be renewed */
    bool settled;
    char said[400];
};

rill_repair_action rill__salvage_action(int32_t kind, const char *file)
{
    return (rill_repair_action){.kind = kind,
                                .partition = -1,
                                .file = file,
                                .first = RILL_OFFSET_NONE,
                                .end = RILL_OFFSET_NONE};
}

int rill__salvage_told(const struct log_salvage *salvage, rill_repair_action action,
                       const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    action.text = text;
    return salvage->done(salvage->arg, &action);
}

/* ---- What is wrong ---------------------------------------------------- */

static int add_need(struct job *job, enum need_kind kind, int64_t first, int64_t end,
                    const char *name)
{
    struct need *n;

    for (size_t i = 0; i < job->count; i++) { /* many in one segment are one need */
        n = &job->needs[job->count - 1 - i];
        if (n->kind == kind && n->first == first && strcmp(n->name, name) == 0) return 0;
        if (i == 8) break;
    }
    if (job->count == job->room) {
        size_t room = job->room == 0 ? 16 : job->room * 2;
        struct need *needs =
            rill__resize(job->salvage->check.heap, job->needs, room * sizeof *needs);
        if (needs == NULL) return RILL_ERR_NO_MEMORY;
        job->needs = needs;
        job->room = room;
    }
    n = &job->needs[job->count++];
    *n = (struct need){.kind = kind, .first = first, .end = end};
    snprintf(n->name, sizeof n->name, "%s", name);
    return 0;
}

static int64_t base_of_index(const char *name)
{
    char log[SEGMENT_NAME_SIZE];

    snprintf(log, sizeof log, "%.20s.log", name);
    return rill__segment_base_of(log);
}

static bool is_of_partition(const char *name)
{
    size_t size = strlen(name);

    return rill__segment_base_of(name) >= 0 ||
           (size > 4 && strcmp(name + size - 4, ".tmp") == 0) ||
           (size == 26 && strcmp(name + 20, ".index") == 0 && base_of_index(name) >= 0);
}

static int note_need(void *arg, rill_damage *damage)
{
    struct job *job = arg;
    int64_t base = rill__segment_base_of(damage->file);

    switch (damage->kind) {
    case RILL_DAMAGE_SEGMENT_MISSING:
        return add_need(job, NEED_GAP, damage->first, damage->end, "");
    case RILL_DAMAGE_SEGMENT_HEADER:
    case RILL_DAMAGE_SEGMENT_SIZE:
    case RILL_DAMAGE_BATCH:
    case RILL_DAMAGE_RECORD:
    case RILL_DAMAGE_UNREADABLE:
        if (strcmp(damage->file, "control") == 0) job->control = true;
        if (strcmp(damage->file, "producers") == 0)
            return add_need(job, NEED_ASIDE, -1, -1, damage->file);
        return base < 0 ? 0 : add_need(job, NEED_SEGMENT, base, -1, "");
    case RILL_DAMAGE_INDEX: return add_need(job, NEED_INDEX, base_of_index(damage->file), -1, "");
    case RILL_DAMAGE_WORDS: job->words = true; break;
    case RILL_DAMAGE_CONTROL:
    case RILL_DAMAGE_MARK: job->control = true; break;
    case RILL_DAMAGE_FORMAT:
        if (damage->severity == RILL_LOG_ERROR && !job->newer) {
            job->newer = true;
            snprintf(job->said, sizeof job->said, "%s", damage->text);
        }
        break;
    case RILL_DAMAGE_LEFTOVER:
        return is_of_partition(damage->file) ? 0
                                             : add_need(job, NEED_ASIDE, -1, -1, damage->file);
    case RILL_DAMAGE_PRODUCERS: return add_need(job, NEED_ASIDE, -1, -1, damage->file);
    default: break;
    }
    return 0;
}

static int passed_on(void *arg, uint64_t bytes)
{
    const struct log_check *check = &((struct job *)arg)->salvage->check;
    return check->passed(check->arg, bytes);
}

/* ---- Doing ------------------------------------------------------------ */

static bool has_need(const struct job *job, enum need_kind kind)
{
    for (size_t i = 0; i < job->count; i++)
        if (job->needs[i].kind == kind) return true;
    return false;
}

static int move_aside(const struct job *job, const char *name)
{
    const struct log_salvage *s = job->salvage;
    rill_repair_action action = rill__salvage_action(RILL_REPAIR_QUARANTINE, name);
    int rc = 0;

    if (!s->dry_run) {
        rc = s->set_aside(s->arg, name, &action.quarantine);
        if (rc == RILL_ERR_NOT_FOUND) return 0; /* it could not be opened, but was not there */
        if (rc == 0) rc = rill__file_remove(s->check.dir, name);
    }
    return rc != 0 ? rc : rill__salvage_told(s, action, "The file was moved; nothing needs it.");
}

/* Segments and gaps; what they change, the next look sees. */
static int do_segments(struct job *job)
{
    const struct log_salvage *s = job->salvage;
    struct chain chain;
    int rc;

    rill__chain_init(&chain, s->check.heap, s->check.dir, s->check.boot_id);
    rc = rill__chain_look(&chain);
    for (size_t i = 0; i < job->count && rc == 0; i++) {
        const struct need *n = &job->needs[i];
        if (n->kind == NEED_SEGMENT) rc = rill__salvage_segment(s, &chain, n->first);
        else if (n->kind == NEED_GAP) rc = rill__salvage_gap(s, &chain, n->first, n->end);
        else continue;
        job->rebuilt = true;
    }
    rill__chain_deinit(&chain);
    return rc;
}

static int sync_all_segments(const struct log_salvage *s, const struct chain *chain)
{
    int rc = 0;

    for (size_t i = 0; i < chain->count && rc == 0; i++) {
        struct file file = FILE_NONE;
        char name[SEGMENT_NAME_SIZE];

        rill__segment_name(chain->bases[i], "log", name);
        rc = rill__file_open(s->check.dir, name, FILE_WRITE, &file);
        if (rc == 0) rc = rill__file_sync(&file);
        rill__file_close(&file);
    }
    return rc == 0 ? rill__dir_sync(s->check.dir) : rc;
}

/* A control file with nothing but marks. */
static int make_control(const struct log_salvage *s, struct mark *mark, const char **where)
{
    struct file file = FILE_NONE;
    bool exists;
    int rc = rill__file_remove(s->check.dir, "control.tmp");

    if (rc == 0)
        rc = rill__file_open(s->check.dir, "control.tmp", FILE_WRITE | FILE_CREATE, &file);
    if (rc == 0) rc = rill__file_allocate(&file, CONTROL_SIZE);
    for (int i = 0; i < 2 && rc == 0; i++) {
        mark->sequence++;
        rc = rill__mark_write(&file, mark);
    }
    rill__file_close(&file);
    if (rc == 0) rc = rill__file_exists(s->check.dir, "control", &exists);
    if (rc == 0 && exists) rc = s->set_aside(s->arg, "control", where);
    if (rc == 0) rc = rill__file_rename(s->check.dir, "control.tmp", "control");
    return rc == 0 ? rill__dir_sync(s->check.dir) : rc;
}

/* The one that does not count, or is damaged, first. */
static int renew_marks(const struct log_salvage *s, struct mark *mark, bool clear_words)
{
    static const uint8_t zeros[4096];
    struct file file = FILE_NONE;
    int rc = rill__file_open(s->check.dir, "control", FILE_WRITE, &file);

    for (int i = 0; i < 2 && rc == 0; i++) {
        mark->sequence++;
        rc = rill__mark_write(&file, mark);
    }
    if (rc == 0 && clear_words) rc = rill__file_write(&file, zeros, sizeof zeros, 0);
    if (rc == 0) rc = rill__file_sync(&file);
    rill__file_close(&file);
    return rc;
}

static int settle_log(struct job *job, const struct log_census *census)
{
    const struct log_salvage *s = job->salvage;
    rill_repair_action action = rill__salvage_action(RILL_REPAIR_CONTROL, "control");
    struct chain chain;
    struct mark mark;
    bool anew;
    int rc;

    rill__chain_init(&chain, s->check.heap, s->check.dir, s->check.boot_id);
    rc = rill__chain_look(&chain);
    mark = (struct mark){.sequence = chain.marks_valid != 0 ? chain.mark.sequence : 0,
                         .durable_end = census->end,
                         .segment = census->last_base,
                         .position = census->last_position,
                         .epoch = census->epoch,
                         .log_start = census->start};
    if (chain.marks_valid != 0 && chain.mark.epoch > mark.epoch) mark.epoch = chain.mark.epoch;
    if (chain.words.count && chain.words.tail.epoch > mark.epoch)
        mark.epoch = chain.words.tail.epoch;
    anew = chain.control_wrong != NULL || chain.marks_valid == 0;
    if (rc == 0 && !s->dry_run) {
        rc = sync_all_segments(s, &chain);
        if (rc == 0 && anew) rc = make_control(s, &mark, &action.quarantine);
        else if (rc == 0) rc = renew_marks(s, &mark, job->words);
    }
    rill__chain_deinit(&chain);
    job->settled = true;
    if (rc != 0 || !(job->control || job->words)) return rc;
    return rill__salvage_told(s, action,
                              "The %s made anew; the log is durable up to offset %" PRId64 ".",
                              anew           ? "control file was"
                              : job->control ? "durable marks were"
                                             : "shared words were cleared, the marks",
                              census->end);
}

static int do_indexes(struct job *job, const struct log_census *census)
{
    int rc = 0;

    for (size_t i = 0; i < job->count && rc == 0; i++) {
        const struct need *n = &job->needs[i];
        if (n->kind == NEED_INDEX)
            rc = rill__salvage_index(job->salvage, n->first, n->first == census->last_base);
        if (n->kind == NEED_ASIDE) rc = move_aside(job, n->name);
    }
    return rc;
}

/* The words count the entries of the active segment's index. */
static bool is_of_last(const struct job *job, const struct log_census *census)
{
    for (size_t i = 0; i < job->count; i++)
        if (job->needs[i].kind == NEED_INDEX && job->needs[i].first == census->last_base)
            return true;
    return false;
}

static int one_round(struct job *job, struct log_census *census, bool *more)
{
    struct log_check check = job->salvage->check;
    int rc;

    job->count = 0;
    job->control = job->words = false;
    check.found = note_need;
    check.passed = passed_on;
    check.arg = job;
    rc = rill__log_check(&check, census);
    if (rc != 0) return rc;
    if (job->newer) return rill__fail(RILL_ERR_FORMAT, "%s", job->said);
    *more = has_need(job, NEED_SEGMENT) || has_need(job, NEED_GAP);
    if (*more) rc = do_segments(job);
    if (rc != 0 || (*more && !job->salvage->dry_run)) return rc;
    if (is_of_last(job, census) && census->exact) job->words = true;
    *more = job->control || job->words || job->count > 0 || (job->rebuilt && !job->settled);
    if (job->control || job->words || (job->rebuilt && !job->settled))
        rc = settle_log(job, census);
    return rc == 0 ? do_indexes(job, census) : rc;
}

/* After a failed sync the page cache shows bytes that are not on disk. */
static int is_poisoned(const struct log_check *check, bool *poisoned)
{
    struct chain chain;
    int rc;

    rill__chain_init(&chain, check->heap, check->dir, check->boot_id);
    rc = rill__chain_look_at_control(&chain);
    *poisoned = chain.words.poison != 0;
    rill__chain_deinit(&chain);
    return rc;
}

int rill__log_salvage(const struct log_salvage *given, struct log_census *census)
{
    struct log_salvage with_disk = *given;
    const struct log_salvage *salvage = &with_disk;
    struct job job = {.salvage = salvage};
    bool more = true;
    int rc = is_poisoned(&given->check, &with_disk.check.from_disk);

    for (int i = 0; rc == 0 && more && i < ROUNDS_MAX; i++) {
        rc = one_round(&job, census, &more);
        if (salvage->dry_run) break;
    }
    rill__free(salvage->check.heap, job.needs);
    return rc != 0 || salvage->dry_run ? rc : rill__log_check(&salvage->check, census);
}
