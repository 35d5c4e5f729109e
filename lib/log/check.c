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
#include "log/producers.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PRODUCERS_MAX ((uint64_t)64 << 20)
#define MOVES_MAX 200 /* then it counts as damage all the same */

/* ---- Telling ---------------------------------------------------------- */

rill_damage rill__damage_of(int32_t kind, int32_t severity, const char *file)
{
    return (rill_damage){.kind = kind,
                         .severity = severity,
                         .file = file,
                         .position = -1,
                         .size = -1,
                         .first = RILL_OFFSET_NONE,
                         .end = RILL_OFFSET_NONE};
}

int rill__follow_tell(struct follow *f, rill_damage damage, const char *repair,
                      const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    damage.text = text;
    damage.repair = repair;
    f->stopped = f->check->found(f->check->arg, &damage);
    return f->stopped != 0 ? FOLLOW_STOPPED : 0;
}

/* ---- The second look -------------------------------------------------- */

/* Is the name another file's by now, or nobody's? file: what it was; FILE_NONE: it
 * was nobody's. NULL: it does not matter. */
static bool name_moved(const struct follow *f, const char *name, const struct file *file)
{
    struct file now = FILE_NONE;
    uint64_t device = 0;
    uint64_t inode = 0;
    uint64_t now_device = 0;
    uint64_t now_inode = 0;
    bool moved;

    if (rill__file_open(f->check->dir, name, FILE_READ, &now) != 0) return file->fd >= 0;
    moved = file->fd < 0 || rill__file_identity(file, &device, &inode) != 0 ||
            rill__file_identity(&now, &now_device, &now_inode) != 0 || device != now_device ||
            inode != now_inode;
    rill__file_close(&now);
    return moved;
}

/* 0: what was seen there is so still, and matters. */
int rill__follow_look_twice(struct follow *f, const char *name, const struct file *file)
{
    struct chain now = f->chain; /* its lists are the same ones */
    const struct words *then = &f->chain.words;
    int rc;

    if (f->moves >= MOVES_MAX) return 0;
    rc = rill__chain_look_at_control(&now);
    if (rc != 0) return rc;
    if (now.words.deleted && !then->deleted) return FOLLOW_DELETED;
    return now.words.incarnation != then->incarnation || now.words.count != then->count ||
                   (now.words.count && now.words.start > f->offset &&
                    now.words.start > then->start) ||
                   (file != NULL && name_moved(f, name, file))
               ? FOLLOW_MOVED
               : 0;
}

/* ---- Records that are gone -------------------------------------------- */

/* Where the log can go on behind offset. */
int64_t rill__follow_hole_end(const struct follow *f, int64_t offset)
{
    int64_t next = rill__chain_after(&f->chain, offset);
    int64_t must = f->chain.must;

    if (offset >= f->base && offset < f->compacted_end) return f->compacted_end;
    if (f->chain.words.count && next > f->chain.words.tail.base) next = INT64_MAX;
    if (next == INT64_MAX && must == INT64_MAX) return offset; /* not known that there are more */
    return next < must ? next : must;
}

/* Has compaction made one of it and what was before it? Then that is *base. */
static bool is_covered(const struct follow *f, int64_t offset, int64_t *base)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct written_header header;
    struct file file = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    bool covered;

    *base = rill__chain_before(&f->chain, offset);
    if (*base < 0) return false;
    rill__segment_name(*base, "log", name);
    covered = rill__file_open(f->check->dir, name, FILE_READ, &file) == 0 &&
              rill__file_read(&file, bytes, sizeof bytes, 0) == 0 &&
              rill__header_read(bytes, &header) == HEADER_GOOD && header.is.compacted &&
              header.is.base == *base && header.is.end > offset;
    rill__file_close(&file);
    return covered;
}

/* No segment begins where the one before ends. */
int rill__follow_missing(struct follow *f)
{
    struct file none = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    rill_damage damage;
    int64_t base;
    int rc;

    rill__segment_name(f->offset, "log", name);
    rc = rill__follow_look_twice(f, name, &none);
    if (rc != 0) return rc;
    if (is_covered(f, f->offset, &base)) {
        f->offset = base;
        return FOLLOW_MOVED;
    }
    f->compacted_end = -1;
    damage = rill__damage_of(RILL_DAMAGE_SEGMENT_MISSING, RILL_LOG_ERROR, name);
    damage.first = f->offset;
    damage.end = rill__follow_hole_end(f, f->offset);
    f->offset = damage.end;
    if (damage.end <= damage.first) return 0;
    return rill__follow_tell(f, damage, "Notes the range as a gap, which readers pass.",
                             "No segment has the records [%" PRId64 ", %" PRId64
                             "), which belong to the log; they are lost.",
                             damage.first, damage.end);
}

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

/* What is named must have been met: the active segment by the words, that of the mark
 * by recovery. */
static int check_names(struct follow *f)
{
    const struct chain *chain = &f->chain;
    rill_damage damage = rill__damage_of(RILL_DAMAGE_WORDS, RILL_LOG_WARNING, "control");
    int rc;

    if (chain->words.count && chain->words.tail.base >= 0 &&
        chain->words.tail.base != f->census->last_base &&
        !rill__chain_has(chain, chain->words.tail.base)) {
        rc = rill__follow_look_twice(f, "control", NULL);
        if (rc != 0) return rc;
        rc = rill__follow_tell(f, damage, "Writes them anew from the batches that are there.",
                               "The shared words say that segment %" PRId64
                               " is the last one; the log ends in segment %" PRId64 ".",
                               chain->words.tail.base, f->census->last_base);
        f->chain.distrusted = true; /* as recovery does */
        f->ended = false;
        return rc != 0 ? rc : FOLLOW_MOVED;
    }
    if (chain->words.count || chain->marks_valid == 0 || chain->mark.durable_end == 0 ||
        rill__chain_has(chain, chain->mark.segment))
        return 0;
    damage.kind = RILL_DAMAGE_MARK;
    damage.severity = RILL_LOG_ERROR;
    damage.position = chain->mark.sequence % 2 == 0 ? MARK_B_AT : MARK_A_AT;
    damage.size = MARK_SIZE;
    rc = rill__follow_look_twice(f, "control", NULL);
    if (rc != 0) return rc;
    return rill__follow_tell(f, damage, "Writes both marks anew.",
                             "The durable mark names segment %" PRId64
                             ", which is not there; the partition cannot be opened.",
                             chain->mark.segment);
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
    return rc == 0 ? check_names(f) : rc;
}

/* ---- The control file and what is left over --------------------------- */

static int tell_control(struct follow *f)
{
    const struct chain *chain = &f->chain;
    bool none = chain->marks_valid == 0;
    rill_damage damage = rill__damage_of(RILL_DAMAGE_CONTROL, RILL_LOG_ERROR, "control");
    int rc;

    if (chain->control_wrong != NULL) {
        if (chain->control_unreadable) damage.kind = RILL_DAMAGE_UNREADABLE;
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

/* A hint: without it the log is walked once more. */
static int check_producers(struct follow *f)
{
    rill_damage damage = rill__damage_of(RILL_DAMAGE_PRODUCERS, RILL_LOG_INFO, "producers");
    struct producers table;
    struct file file = FILE_NONE;
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    bool good = false;
    int rc = rill__file_open(f->check->dir, "producers", FILE_READ, &file);

    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc == 0) rc = rill__file_size(&file, &size);
    if (rc == 0 && size <= PRODUCERS_MAX) {
        bytes = rill__alloc(f->check->heap, (size_t)size);
        rc = bytes == NULL ? RILL_ERR_NO_MEMORY : rill__file_read(&file, bytes, (size_t)size, 0);
    }
    if (rc == 0 && bytes != NULL) {
        rill__producers_init(&table, f->check->heap);
        good = rill__producers_load(&table,
                                    rill__producers_salt(f->check->topic_id, f->check->partition),
                                    bytes, (size_t)size);
        rill__producers_deinit(&table);
    }
    rill__free(f->check->heap, bytes);
    rill__file_close(&file);
    if (good || (rc != 0 && !rill__is_of_medium(rc))) return rc;
    if (rc == RILL_ERR_IO) damage.kind = RILL_DAMAGE_UNREADABLE;
    return rill__follow_tell(f, damage, "Removes it; it is made anew.",
                             "What the partition keeps of its producers %s; reading the log "
                             "tells it, too.",
                             rc == RILL_ERR_IO ? "cannot be read" : "is damaged");
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
        strcmp(name, "next.index") == 0 || strcmp(name, "producers") == 0)
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

    *census = (struct log_census){.last_base = -1};
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
    census->epoch = f.epoch;
    census->deleted = rc == FOLLOW_DELETED;
    if (rc == 0) rc = check_producers(&f);
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
    known = rill__chain_look_at_control(&chain) == 0 && chain.words.count;
    *start = chain.words.start;
    *end = chain.words.tail.end_offset;
    return known;
}
