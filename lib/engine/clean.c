/*
 * engine/clean.c - records that are old, too many, consumed or superseded go.
 *
 *     due? -> turn -> share: partitions from the cursor on -> cursor, or done
 *
 * A pass goes over all partitions of the catalogue, those too that no process has
 * open, in order of name, one share after the other, each bounded in time. Where the
 * pass has come to is in the shared words, so that every process that does
 * maintenance can go on with it; a file lock, which the kernel frees, gives the turn.
 * A log that nobody had open is closed again.
 *
 * How old records are is said by the clock for deletions, see meta/deletions.c. While
 * the wall clock is not set nothing is deleted by age, and nothing is compacted, since
 * that stamps tombstones with the time.
 *
 * What a group has consumed ends at what it has committed. A group counts for a
 * partition if it has committed an offset of it, or if a member subscribes to the
 * topic; one that subscribes and has committed nothing yet holds back all of it.
 *
 * Compacting takes longer than a share, and begins with reading what is new: so it is
 * asked to stop between two segments, and the next share goes on.
 */
#include "engine/clients.h"
#include "engine/gate.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHARE_NS (INT64_C(20) * 1000000)          /* how long a share takes, if it can */
#define COMPACT_FIRST_NS (INT64_C(100) * 1000000) /* and one that compacts, at first; */
#define COMPACT_MOST_NS (INT64_C(5000) * 1000000) /* longer while there is more to do */
#define REST_MS 20                                /* between two shares */
#define OPEN_MS 1000
#define CLOCK_MS 500 /* another process in a commit: the next share tries again */

struct share {
    struct store *store;
    int64_t deadline_ns;
    int64_t tend_ns;  /* when maintenance is due, while a log is compacted */
    struct file gate; /* meanwhile */
    struct meta_clock clock;
    bool has_clock;
    bool is_set;       /* the wall clock */
    int64_t *consumed; /* of the topic's partitions; NULL: not asked yet */
    bool worked;       /* one partition was cleaned */
    bool unfinished;   /* a compaction was */
    int rc;            /* the first failure; the others are cleaned all the same */
    struct saved_message why;
};

static void note_failure(struct share *share, int rc)
{
    if (rc == 0 || rc == RILL_ERR_NOT_FOUND || rc == RILL_ERR_BUSY || share->rc != 0) return;
    share->rc = rc;
    rill__message_save(&share->why);
}

/* However long the rest takes, something is done. */
static bool is_over(const struct share *share)
{
    return share->worked && rill__monotonic_ns() >= share->deadline_ns;
}

/* ---- The clock -------------------------------------------------------- */

static int look_at_clock(struct share *share)
{
    int rc = rill__clock_look(share->store, CLOCK_MS, &share->clock, &share->is_set);

    share->has_clock = rc == 0;
    return rc;
}

/* ---- What was consumed ------------------------------------------------ */

static void lower(int64_t *to, int64_t offset)
{
    if (*to < 0 || offset < *to) *to = offset;
}

/* What holds the partitions back because of one group; -1: nothing. */
static int ask_group(struct share *share, const char *name, const struct meta_topic *topic,
                     int64_t *committed)
{
    struct heap *heap = &share->store->heap;
    struct meta_offset *offsets = NULL;
    struct group *group;
    bool subscribes;
    size_t count = 0;
    int rc = rill__group_copy(share->store, name, &group);

    if (rc != 0) return rc;
    subscribes = rill__group_subscribes(group, rill__topic_number(topic->id));
    rill__group_free(group);
    for (uint32_t p = 0; p < topic->partition_count; p++) committed[p] = subscribes ? 0 : -1;
    rc = rill__meta_offsets_list(share->store->meta, name, &offsets, &count);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (memcmp(offsets[i].topic_id, topic->id, 16) == 0 && offsets[i].partition >= 0 &&
            (uint32_t)offsets[i].partition < topic->partition_count)
            committed[offsets[i].partition] = offsets[i].offset;
    rill__free(heap, offsets);
    return rc;
}

/* Into share->consumed: where the groups have got to; -1: there is none. */
static int ask_groups(struct share *share, const struct meta_topic *topic)
{
    struct heap *heap = &share->store->heap;
    size_t size = topic->partition_count * sizeof(int64_t);
    int64_t *lowest = rill__alloc(heap, size);
    int64_t *committed = rill__alloc(heap, size);
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    int32_t generation;
    int rc = lowest == NULL || committed == NULL ? RILL_ERR_NO_MEMORY : 0;

    for (uint32_t p = 0; rc == 0 && p < topic->partition_count; p++) lowest[p] = -1;
    while (rc == 0 && (rc = rill__meta_group_after(share->store->meta, name, name, sizeof name,
                                                   &generation)) == 0) {
        if (rill__is_import_group(name)) continue; /* it only notes how far an import is */
        rc = ask_group(share, name, topic, committed);
        if (rc == RILL_ERR_NOT_FOUND) {
            rc = 0; /* deleted meanwhile */
            continue;
        }
        for (uint32_t p = 0; rc == 0 && p < topic->partition_count; p++)
            if (committed[p] >= 0) lower(&lowest[p], committed[p]);
    }
    rill__free(heap, committed);
    if (rc == RILL_ERR_NOT_FOUND) rc = 0;
    if (rc == 0) share->consumed = lowest;
    else rill__free(heap, lowest);
    return rc;
}

/* ---- One partition ---------------------------------------------------- */

static void say_deleted(struct share *share, const struct meta_topic *topic, int32_t partition,
                        const struct log_retained *retained)
{
    char line[RILL_TOPIC_NAME_MAX + 150];

    snprintf(line, sizeof line,
             "%s-%d: %" PRIu32 " segments of %" PRIu64
             " bytes were deleted; the log begins at offset %" PRId64,
             topic->name, (int)partition, retained->segment_count, retained->bytes,
             retained->log_start);
    rill__store_say(share->store, RILL_LOG_INFO, line);
}

static int delete_old(struct share *share, const struct meta_topic *topic, int32_t partition,
                      struct log *log)
{
    struct log_retention what = {.not_set_ms = CLOCK_NOT_SET_MS};
    struct log_retained retained;
    int rc;

    if ((topic->cleanup_policy & RILL_CLEANUP_DELETE) != 0) {
        what.retention_bytes = topic->retention_bytes;
        if (share->is_set) what.retention_ms = topic->retention_ms;
        what.wall_now_ms = share->clock.seen.wall_ms;
        what.ahead_ms = share->clock.ahead_ms;
        what.steady_ms = share->clock.steady_ms;
    }
    if (share->consumed != NULL && share->consumed[partition] > 0)
        what.consumed = share->consumed[partition];
    rc = rill__log_retain(log, &what, &retained);
    if (retained.segment_count != 0) say_deleted(share, topic, partition, &retained);
    return rc;
}

/* Between two segments: what cannot wait as long as a compaction is done. */
static bool tend_meanwhile(void *arg)
{
    struct share *share = arg;
    uint32_t next_ms;

    if (rill__monotonic_ns() >= share->tend_ns) {
        struct saved_message why;
        rill__message_save(&why);
        rill__store_tend(share->store, &next_ms); /* what fails is told by the next one */
        rill__message_restore(&why);
        share->tend_ns = rill__deadline((int)next_ms);
    }
    return atomic_load(&share->store->thread_stop) || rill__gate_is_wanted(&share->gate);
}

/* As the topic and the clock have it. */
static struct log_compaction what_to_compact(const struct share *share,
                                             const struct meta_topic *topic)
{
    struct log_compaction what = {.limit = INT64_MAX,
                                  .now_ms = share->clock.seen.wall_ms,
                                  .delete_retention_ms = topic->delete_retention_ms,
                                  .min_lag_ms = topic->min_compaction_lag_ms,
                                  .memory_bytes = share->store->options.compaction_memory_bytes,
                                  .deadline_ns = INT64_MAX};

    if (share->clock.steady_ms < 0 ||
        (uint64_t)share->clock.steady_ms < topic->delete_retention_ms ||
        (uint64_t)share->clock.steady_ms < topic->min_compaction_lag_ms)
        what.ahead_ms = share->clock.ahead_ms;
    return what;
}

static int compact(struct share *share, const struct meta_topic *topic, struct log *log)
{
    struct store *store = share->store;
    int64_t budget_ns =
        store->compact_ns > COMPACT_FIRST_NS ? store->compact_ns : COMPACT_FIRST_NS;
    struct log_compaction what = what_to_compact(share, topic);
    struct log_compaction_report report;
    int rc;

    if (!share->is_set) return 0;
    what.min_dirty_ratio = topic->min_cleanable_dirty_ratio;
    what.deadline_ns = rill__monotonic_ns() + budget_ns;
    what.stop = tend_meanwhile;
    what.stop_arg = share;
    share->tend_ns = rill__monotonic_ns();
    rc = rill__gate_enter_compacting(store, &share->gate);
    if (rc != 0) return rc;
    rc = rill__log_compact(log, &what, &report);
    rill__gate_leave(&share->gate);
    if (report.segments_before != 0) rill__count(&store->counters->compactions, 1);
    if (rc != 0) return rc;
    share->unfinished = !report.finished;
    store->compact_ns = report.finished               ? 0
                        : budget_ns < COMPACT_MOST_NS ? budget_ns * 2
                                                      : budget_ns;
    return 0;
}

static int clean_log(struct share *share, const struct meta_topic *topic, int32_t partition,
                     struct log *log)
{
    int rc = 0;

    if ((topic->cleanup_policy & RILL_CLEANUP_CONSUMED) != 0 && share->consumed == NULL)
        rc = ask_groups(share, topic);
    if (rc == 0) rc = delete_old(share, topic, partition, log);
    if (rc == 0 && (topic->cleanup_policy & RILL_CLEANUP_COMPACT) != 0)
        rc = compact(share, topic, log);
    return rc;
}

static int clean_partition(struct share *share, struct topic *topic,
                           const struct meta_topic *info, int32_t partition)
{
    struct log *log = rill__partition_if_open(topic, partition);
    bool was_open = log != NULL;
    bool empty = false;
    int rc = 0;

    if (was_open) {
        rc = clean_log(share, info, partition, log);
        rill__partition_leave(topic, partition);
        return rc;
    }
    rc = rill__partition_is_empty(topic, partition, &empty);
    if (rc != 0 || empty) return rc;
    rc = rill__partition_log(topic, partition, OPEN_MS, &log);
    if (rc != 0) return rc;
    rc = clean_log(share, info, partition, log);
    rill__partition_leave(topic, partition);
    note_failure(share, rc);
    return rill__partition_close_unused(topic, partition, 0);
}

/* ---- All of them ------------------------------------------------------ */

static bool is_to_be_cleaned(const struct meta_topic *topic)
{
    if ((topic->cleanup_policy & (RILL_CLEANUP_COMPACT | RILL_CLEANUP_CONSUMED)) != 0)
        return true;
    return topic->retention_ms != 0 || topic->retention_bytes != 0;
}

/* From partition *from on; where to go on, or the number of partitions. */
static void clean_topic(struct share *share, const struct meta_topic *info, uint64_t version,
                        uint32_t *from)
{
    struct topic *topic;
    int rc = share->has_clock ? 0 : look_at_clock(share);

    if (rc == 0) rc = rill__topic_of(share->store, info, version, &topic);
    note_failure(share, rc);
    if (rc != 0) {
        *from = info->partition_count;
        return;
    }
    while (*from < info->partition_count && !share->unfinished && !is_over(share)) {
        note_failure(share, clean_partition(share, topic, info, (int32_t)*from));
        share->worked = true;
        if (!share->unfinished) ++*from;
    }
    rill__free(&share->store->heap, share->consumed);
    share->consumed = NULL;
    rill__topic_release(topic);
}

/* Where the pass goes on; its words may be of a process that died while it wrote. */
static void read_cursor(const struct shared *shared, struct clean_cursor *cursor)
{
    *cursor = shared->clean.cursor;
    cursor->after[sizeof cursor->after - 1] = '\0';
}

/* True: the pass is done. */
static bool clean_share(struct share *share, struct clean_cursor *cursor)
{
    struct store *store = share->store;
    uint64_t version = rill__catalogue_version(store);
    struct meta_topic info;
    int rc;

    while ((rc = rill__meta_topic_after(store->meta, cursor->after, &info)) == 0) {
        uint32_t from = cursor->topic == rill__topic_number(info.id) ? cursor->partition : 0;

        if (is_to_be_cleaned(&info)) clean_topic(share, &info, version, &from);
        else from = info.partition_count;
        cursor->topic = rill__topic_number(info.id);
        cursor->partition = from;
        if (from < info.partition_count) return false;
        memcpy(cursor->after, info.name, sizeof cursor->after);
        if (is_over(share)) return false;
    }
    note_failure(share, rc);
    return true;
}

/* With the turn. */
static int take_share(struct store *store, int64_t now_ms)
{
    struct share share = {.store = store, .deadline_ns = rill__monotonic_ns() + SHARE_NS};
    struct clean_cursor cursor;

    note_failure(&share, look_at_clock(&share)); /* also if nothing is to be cleaned: it has
                                                    been steady since */
    read_cursor(store->shared, &cursor);
    if (clean_share(&share, &cursor)) {
        memset(&cursor, 0, sizeof cursor);
        atomic_store(&store->shared->clean.done_ms, now_ms);
    }
    store->shared->clean.cursor = cursor;
    if (share.rc != 0) rill__message_restore(&share.why);
    return share.rc;
}

static int64_t clean_due_ms(const struct store *store)
{
    int64_t done_ms = atomic_load(&store->shared->clean.done_ms);
    return done_ms == 0 ? 0 : done_ms + (int64_t)store->options.retention_check_interval_ms;
}

int rill__store_clean(struct store *store, uint32_t *next_ms)
{
    int64_t now_ms = rill__monotonic_ns() / 1000000;
    int64_t due_ms = clean_due_ms(store);
    int rc = 0;

    if (now_ms >= due_ms && rill__mutex_trylock(&store->clean_lock)) {
        rc = rill__file_lock(&store->shared_file, CLEAN_BYTE, FILE_LOCK_EXCLUSIVE, 0);
        if (rc == 0) {
            if (now_ms >= clean_due_ms(store)) rc = take_share(store, now_ms);
            rill__file_lock(&store->shared_file, CLEAN_BYTE, FILE_LOCK_NONE, 0);
        }
        if (rc == RILL_ERR_BUSY) rc = 0; /* another process has the turn */
        rill__mutex_unlock(&store->clean_lock);
        due_ms = clean_due_ms(store);
    }
    due_ms -= rill__monotonic_ns() / 1000000;
    if (due_ms < REST_MS) due_ms = REST_MS;
    if (due_ms < *next_ms) *next_ms = (uint32_t)due_ms;
    return rc;
}

/* ---- One partition, because somebody says so -------------------------- */

static int compact_now(struct share *share, const struct meta_topic *topic, struct log *log,
                       rill_compact_report *report)
{
    struct log_compaction what;
    struct log_compaction_report done;
    int rc = look_at_clock(share);

    if (rc == 0 && !share->is_set)
        rc = rill__fail(RILL_ERR_STATE,
                        "the wall clock is not set; when tombstones go cannot be said");
    if (rc == 0)
        rc = rill__log_seal(log, rill__deadline((int)share->store->options.open_timeout_ms));
    if (rc != 0) return rc;
    what = what_to_compact(share, topic);
    rc = rill__gate_enter_compacting(share->store, &share->gate);
    if (rc != 0) return rc;
    rc = rill__log_compact(log, &what, &done);
    rill__gate_leave(&share->gate);
    if (done.segments_before != 0) rill__count(&share->store->counters->compactions, 1);
    report->bytes_before = done.bytes_before;
    report->bytes_after = done.bytes_after;
    report->records_before = done.records_before;
    report->records_after = done.records_after;
    report->tombstones_removed = done.tombstones_removed;
    report->segments_before = done.segments_before;
    report->segments_after = done.segments_after;
    report->passes = done.passes;
    return rc;
}

static int compact_partition(struct store *store, const char *name, int32_t partition,
                             rill_compact_report *report)
{
    struct share share = {.store = store};
    struct topic *topic = NULL;
    struct meta_topic info;
    struct log *log;
    uint64_t version = rill__catalogue_version(store);
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__meta_topic_get(store->meta, name, &info);
    if (rc == 0) rc = rill__topic_of(store, &info, version, &topic);
    if (rc != 0) return rc;
    if ((info.cleanup_policy & RILL_CLEANUP_COMPACT) == 0)
        rc = rill__fail(RILL_ERR_STATE,
                        "topic %s is not compacted: its cleanup_policy has no "
                        "RILL_CLEANUP_COMPACT",
                        name);
    if (rc == 0)
        rc = rill__partition_log(topic, partition, (int)store->options.open_timeout_ms, &log);
    if (rc == 0) {
        rc = compact_now(&share, &info, log, report);
        rill__partition_release(topic, partition);
    }
    rill__topic_release(topic);
    return rc;
}

int rill__partition_compact(struct store *store, const char *name, int32_t partition,
                            rill_compact_report *report)
{
    rill_compact_report done = {.size = sizeof done};
    size_t size = report == NULL ? sizeof done : report->size;
    int64_t began_ns = rill__monotonic_ns();
    int rc;

    if (size < sizeof size || size > 4096)
        return rill__fail(
            RILL_ERR_INVALID,
            "rill_compact_report: size is %zu; set it to sizeof(rill_compact_report)", size);
    rc = compact_partition(store, name, partition, &done);
    done.duration_ms = (uint64_t)(rill__monotonic_ns() - began_ns) / 1000000;
    done.size = size;
    if (report == NULL) return rc;
    memset(report, 0, size);
    memcpy(report, &done, size < sizeof done ? size : sizeof done);
    return rc;
}
