/*
 * log/check.c - see log/check.h: a partition followed from its start to its end.
 *
 *     look       marks, shared words, the segments there are
 *     follow     from the segment that holds the log start: batches one after the
 *                other; where they end, the segment goes on that begins there
 *     stop       at the tail of the shared words; where they do not count, at the
 *                first place behind the durable mark that is no batch
 *
 * What has moved meanwhile, at the second look, is looked at anew, and following
 * goes on where it was.
 */
#include "log/follow.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- The chain -------------------------------------------------------- */

/* Where to begin, or to go on after the log has begun further on. */
static int begin_following(struct follow *f)
{
    struct chain *chain = &f->chain;
    int64_t first;

    if (chain->start < 0 && chain->count > 0) chain->start = chain->bases[0];
    if (chain->start < 0) chain->start = 0;
    if (f->offset > chain->start) return 0;
    f->epoch = 0;
    f->offset = chain->start;
    if (chain->words.count && chain->words.tail.base < 0) {
        f->ended = true;
        return 0;
    }
    first = rill__chain_before(chain, chain->start);
    if (first >= 0) f->offset = first;
    return 0;
}

static int follow_log(struct follow *f)
{
    int rc = begin_following(f);

    while (rc == 0 && !f->ended) {
        if (rill__chain_has(&f->chain, f->offset)) {
            rc = rill__follow_segment(f);
        } else if (f->chain.must == INT64_MAX
                       ? rill__chain_after(&f->chain, f->offset) == INT64_MAX
                       : f->offset >= f->chain.must) {
            f->ended = true;
        } else {
            rc = rill__follow_missing(f);
        }
    }
    return rc;
}

/* ---- The control file and what is left over --------------------------- */

static int tell_control(struct follow *f)
{
    const struct chain *chain = &f->chain;
    bool none = chain->marks_valid == 0;
    rill_damage damage = rill__damage_of(RILL_DAMAGE_CONTROL, RILL_LOG_ERROR, "control");
    int rc;

    if (chain->control_wrong != NULL) {
        rc = rill__follow_look_twice(f, "control", &f->file);
        if (rc == FOLLOW_MOVED && f->moves < 3) return rc;
        return rill__follow_tell(
            f, damage, "Makes it anew; the log then ends where its batches do.",
            "The control file %s; the partition cannot be opened.", chain->control_wrong);
    }
    if (chain->marks_valid != 3) {
        damage.kind = RILL_DAMAGE_MARK;
        if (!none) damage.severity = RILL_LOG_WARNING;
        damage.position = (chain->marks_valid & 1) != 0 ? MARK_B_AT : MARK_A_AT;
        damage.size = MARK_SIZE;
        rc = rill__follow_tell(
            f, damage, "Writes both marks anew.",
            none ? "Both durable marks are damaged; the partition cannot be opened."
                 : "One of the two durable marks is damaged; the other one counts.");
        if (rc != 0) return rc;
    }
    if (chain->words.odd != NULL) {
        damage.kind = RILL_DAMAGE_WORDS;
        damage.severity = RILL_LOG_WARNING;
        damage.position = 0;
        damage.size = (int64_t)sizeof(struct control);
        rc = rill__follow_tell(f, damage,
                               "Clears them; opening the store then begins at the durable mark.",
                               "The shared words are damaged: %s.", chain->words.odd);
        if (rc != 0) return rc;
    }
    if (chain->words.poison == 0) return 0;
    damage.kind = RILL_DAMAGE_POISONED;
    damage.severity = RILL_LOG_WARNING;
    damage.position = 0;
    damage.first = chain->must;
    return rill__follow_tell(
        f, damage, "Nothing: opening the store anew goes back to what is on disk.",
        "A sync of this partition failed (%s); what comes behind offset %" PRId64
        " may not be on disk.",
        rill__error_text(-(int)chain->words.poison), chain->must);
}

static int tell_left_over(void *arg, const char *name)
{
    struct follow *f = arg;
    rill_damage damage = rill__damage_of(RILL_DAMAGE_LEFTOVER, RILL_LOG_INFO, name);
    int64_t base = rill__segment_base_of(name);
    size_t size = strlen(name);
    char log_name[SEGMENT_NAME_SIZE];
    bool ours = false;

    if (strcmp(name, "control") == 0 || strcmp(name, "next.log") == 0 ||
        strcmp(name, "next.index") == 0)
        return 0;
    if (base >= 0) {
        for (size_t i = 0; i < f->chain.count; i++)
            if (f->chain.bases[i] == base && f->chain.visited[i]) return 0;
        return rill__follow_tell(
            f, damage, "Nothing: opening the store removes it, or reading never meets it.",
            "The segment is not part of the log.");
    }
    if (size == 26 && strcmp(name + 20, ".index") == 0) {
        snprintf(log_name, sizeof log_name, "%.20s.log", name);
        base = rill__segment_base_of(log_name);
        if (base >= 0 && rill__chain_has(&f->chain, base)) return 0;
        ours = base >= 0;
    }
    if (size > 4 && strcmp(name + size - 4, ".tmp") == 0) ours = true;
    return ours ? rill__follow_tell(f, damage,
                                    "Nothing: opening the store removes it, or it does no harm.",
                                    "The file is left over from work that was not finished.")
                : rill__follow_tell(f, damage, "Moves it to quarantine.",
                                    "The file is none that a partition has.");
}

int rill__log_check(const struct log_check *check, struct log_census *census)
{
    struct follow f = {.check = check, .census = census, .offset = -1, .file = FILE_NONE};
    bool control_told = false;
    int rc;

    *census = (struct log_census){.start = 0};
    rill__chain_init(&f.chain, check->heap, check->dir, check->boot_id);
    do {
        rc = rill__chain_look(&f.chain);
        if (rc == 0 && f.chain.words.deleted) rc = FOLLOW_DELETED;
        if (rc == 0 && !control_told) {
            rc = tell_control(&f);
            control_told = rc == 0;
        }
        if (rc == 0) rc = follow_log(&f);
        if (rc == FOLLOW_MOVED && ++f.moves > 10) rill__sleep_ns(1000000);
    } while (rc == FOLLOW_MOVED);
    census->start = f.chain.start;
    census->end = f.offset;
    census->exact = f.chain.words.count;
    census->deleted = rc == FOLLOW_DELETED;
    if (rc == 0 && check->alone) rc = rill__dir_list(check->dir, tell_left_over, &f);
    rill__chain_deinit(&f.chain);
    if (rc == FOLLOW_DELETED) return 0;
    return rc == FOLLOW_STOPPED ? f.stopped : rc;
}

/* ---- What else is asked ----------------------------------------------- */

struct sizes {
    const struct file *dir;
    uint64_t bytes;
};

static int add_size(void *arg, const char *name)
{
    struct sizes *sizes = arg;
    struct file file = FILE_NONE;
    uint64_t size = 0;

    if (rill__segment_base_of(name) < 0) return 0;
    if (rill__file_open(sizes->dir, name, FILE_READ, &file) == 0 &&
        rill__file_size(&file, &size) == 0)
        sizes->bytes += size;
    rill__file_close(&file);
    return 0;
}

int rill__log_check_size(const struct file *dir, uint64_t *bytes)
{
    struct sizes sizes = {dir, 0};
    int rc = rill__dir_list(dir, add_size, &sizes);

    *bytes = sizes.bytes;
    return rc;
}

bool rill__log_check_ends(const struct log_check *check, int64_t *start, int64_t *end)
{
    struct chain chain;
    bool known;

    rill__chain_init(&chain, check->heap, check->dir, check->boot_id);
    known = rill__chain_look_at_control(&chain) == NULL && chain.words.count;
    *start = chain.words.start;
    *end = chain.words.tail.end_offset;
    return known;
}
