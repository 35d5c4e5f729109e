/*
 * nthadmin.c - every allocation and every call of the operating system fails, on its
 * n-th use, in what is done to a store as a whole, or to a topic.
 *
 * The operations of admin.c, and some that only look: snapshots, restore; export, also one
 * that goes on, import; check, alone and beside others, with its damage told; repair;
 * dump; topics altered, given partitions, deleted, described; records deleted; retention,
 * compaction by maintenance; spaces, audits, traces. How a call is made to fail, and what
 * a case is, is in tests/lib/nth.h. In each run
 *
 *     the operation fails with the code that belongs to the errno, and says why, or it
 *     does not fail, and is done;
 *     what cannot be read is told as that: not as damage, and not as sound.
 *
 * Then the faults end, and it must be true that
 *
 *     the store that was open goes on, or says that it is poisoned; after closing, no
 *     descriptor, map or block of memory is left;
 *     all records are there, in order, whole, and so are commits, topics and their state,
 *     but for what the operation deletes, or a repair has told as lost because a device
 *     did not give it;
 *     the operation is done or not at all; what is there of a copy is refused by name, or
 *     whole; a stream that was cut short goes on;
 *     it can be repeated, and then is done; appending goes on; a check finds nothing.
 */
#undef _FORTIFY_SOURCE /* whose inline functions have the names of those in nth_libc.h */
#include "testing.h"
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifdef __SANITIZE_THREAD__
int main(void)
{
    printf("this sanitizer needs the functions that fail here for itself\n");
    return 77;
}
#else
#include "nth_libc.h"

enum {
    RECORDS = 24, /* of each partition of t and of c, in two segments */
    VALUE = 3000,
    DELETED = 10, /* of them */
    FEW = 3,      /* in a topic that is deleted */
    OTHERS = 2,   /* that were in a topic before an import */
    KEYS = 5,     /* of the compacted topic */
    OFFSETS_MAX = 60,
    PARTITIONS_MAX = 3,
    WAIT_MS = 3000
};

/* ---- What there should be ---- */

enum which { T, C, D, AGAIN, BEHIND, TOPICS };

static struct {
    const char *name;
    bool there;
    int32_t partition_count;
    int64_t start[PARTITIONS_MAX];
    int64_t end[PARTITIONS_MAX];
} topics[TOPICS] = {
    {.name = "t"}, {.name = "c"}, {.name = "d"}, {.name = "again"}, {.name = "b"}};

struct operation {
    const char *name;
    void (*prepare)(void);
    bool (*work)(void);    /* true: it has succeeded */
    bool (*is_done)(void); /* with the store open; ends the run if it is neither nor; NULL: it
                              changes nothing */
    void (*finish)(void);  /* a look at what came of it */
    bool closed;           /* the process that does it does not have the store open, */
    bool alone;            /* and nobody can before it is done */
};

static const struct operation *op;
static char dir[700];
static char copy[700];
static char stream[700];
static rill *store;
static bool worked;            /* the operation has said that it is done */
static bool commits_lost;      /* by damage that was done on purpose */
static uint64_t told_lost;     /* records, by a repair that could not read them */
static pid_t beside;           /* another process that has the store open */
static const char *space_name; /* NULL: there is none */

/* ---- Records ---- */

/* What the record at an offset is: its key, and its value, of size 0 if it is null. */
static void record_at(enum which which, int32_t partition, int64_t offset, char key[32],
                      char value[VALUE], size_t *size)
{
    char letter = "tcdtt"[which];

    if (which == BEHIND && offset < OTHERS) letter = 'o';
    else if (which == BEHIND) offset -= OTHERS;
    if (which == C) snprintf(key, 32, "c-%d", (int)(offset * 7 % KEYS));
    else snprintf(key, 32, "%c-%d-%d", letter, (int)partition, (int)offset);
    memset(value, (int)('a' + offset % 26), VALUE);
    value[snprintf(value, 40, "%c %d %d", letter, (int)partition, (int)offset)] = ' ';
    *size = offset % 13 == 5 ? 0 : VALUE;
}

static void append(enum which which, int32_t partition, int count, int32_t acks)
{
    rill_producer_options options = {
        .size = sizeof options, .topic = topics[which].name, .acks = acks};
    const rill_header headers[] = {{{"kind", 4}, {"tested", 6}}, {{"none", 4}, {NULL, 0}}};
    rill_producer *producer;
    rill_offset offset;
    char key[32];
    char value[VALUE];
    size_t size;

    MUST(rill_producer_open(store, &options, &producer));
    for (int i = 0; i < count; i++) {
        rill_record record = RILL_RECORD_INIT;

        record_at(which, partition, topics[which].end[partition], key, value, &size);
        record.partition = partition;
        record.key = (rill_bytes){key, strlen(key)};
        if (size != 0) record.value = (rill_bytes){value, size};
        record.headers = headers;
        record.header_count = i % 3 == 1 ? 2 : 0;
        MUST(rill_producer_append(producer, &record, 1, WAIT_MS, &offset));
        if (offset != topics[which].end[partition])
            nth_broken("%s-%d: appended at offset %" PRId64 " instead of %" PRId64,
                       topics[which].name, (int)partition, offset, topics[which].end[partition]);
        topics[which].end[partition]++;
    }
    MUST(rill_producer_close(producer, WAIT_MS));
}

static void append_everywhere(void)
{
    for (enum which i = 0; i < TOPICS; i++)
        for (int32_t p = 0; topics[i].there && p < topics[i].partition_count; p++) {
            append(i, p, 1, RILL_ACKS_WRITTEN);
            append(i, p, 1, RILL_ACKS_DURABLE);
        }
}

struct seen {
    int64_t start;
    int64_t end;
    uint64_t count;
    bool there[OFFSETS_MAX];
};

static void check_record(enum which which, int32_t partition, const rill_record *record)
{
    char key[32];
    char value[VALUE];
    size_t size;

    record_at(which, partition, record->offset, key, value, &size);
    if (record->key.size != strlen(key) || memcmp(record->key.data, key, strlen(key)) != 0)
        nth_broken("%s-%d: the key at offset %" PRId64 " is another one", topics[which].name,
                   (int)partition, record->offset);
    if ((record->value.data == NULL) != (size == 0) || record->value.size != size ||
        (size != 0 && memcmp(record->value.data, value, size) != 0))
        nth_broken("%s-%d: the value at offset %" PRId64 " is another one", topics[which].name,
                   (int)partition, record->offset);
}

/* All that a partition has: what was appended there, in order, and without a gap unless it
 * is compacted, or a repair has told one. */
static void look(rill *in, enum which which, int32_t partition, struct seen *seen)
{
    const char *name = topics[which].name;
    rill_position from = {name, partition, -1, RILL_OFFSET_EARLIEST, NULL};
    rill_partition_info info;
    rill_consumer *consumer;
    rill_record records[40];
    size_t count;
    int64_t next;

    memset(seen, 0, sizeof *seen);
    MUST(rill_partition_describe(in, name, partition, &info));
    seen->start = next = info.log_start;
    seen->end = info.log_end;
    MUST(rill_consumer_open(in, NULL, &consumer));
    MUST(rill_consumer_assign(consumer, &from, 1));
    do {
        MUST(rill_consumer_poll(consumer, 0, records, 40, &count));
        for (size_t i = 0; i < count; i++) {
            int64_t offset = records[i].offset;
            if (offset < next || offset >= OFFSETS_MAX ||
                (which != C && told_lost == 0 && offset != next))
                nth_broken("%s-%d: offset %" PRId64 " comes where %" PRId64 " should", name,
                           (int)partition, offset, next);
            check_record(which, partition, &records[i]);
            seen->there[offset] = true;
            seen->count++;
            next = offset + 1;
        }
    } while (count > 0);
    MUST(rill_consumer_close(consumer, 0));
    if (next > seen->end || (which != C && told_lost == 0 && next != seen->end))
        nth_broken("%s-%d: records end at offset %" PRId64 ", the log at %" PRId64, name,
                   (int)partition, next, seen->end);
}

/* Of each key the last record; *all: and no others. */
static void check_keys(const struct seen *seen, bool *all)
{
    *all = true;
    for (int64_t offset = 0; offset < seen->end; offset++) {
        bool is_last = offset + KEYS >= seen->end;
        if (is_last && !seen->there[offset] && told_lost == 0)
            nth_broken("c: the last record of a key, at offset %" PRId64 ", is lost", offset);
        if (!is_last && seen->there[offset]) *all = false;
    }
}

static void check_committed(rill *in)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position position;
    rill_consumer *consumer;

    MUST(rill_consumer_open(in, &options, &consumer));
    MUST(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
    MUST(rill_consumer_close(consumer, 0));
    if (position.offset != 7 && !(commits_lost && position.offset == RILL_OFFSET_NONE))
        nth_broken("offset %" PRId64 " is committed instead of 7", position.offset);
}

static void check_partition(rill *in, enum which which, int32_t partition, uint64_t *missing)
{
    const int64_t start = topics[which].start[partition];
    const int64_t end = topics[which].end[partition];
    struct seen seen;
    bool all;

    look(in, which, partition, &seen);
    if (seen.start != start || (seen.end != end && (told_lost == 0 || seen.end > end)))
        nth_broken("%s-%d is [%" PRId64 ", %" PRId64 ") and should be [%" PRId64 ", %" PRId64 ")",
                   topics[which].name, (int)partition, seen.start, seen.end, start, end);
    if (which == C) check_keys(&seen, &all);
    else *missing += (uint64_t)(end - start) - seen.count;
    topics[which].end[partition] = seen.end;
}

/* All that is promised to be there is, in this store or in a copy of it. */
static void check_all(rill *in)
{
    uint64_t missing = 0;

    for (enum which i = 0; i < TOPICS; i++)
        for (int32_t p = 0; topics[i].there && p < topics[i].partition_count; p++)
            check_partition(in, i, p, &missing);
    if (missing > told_lost)
        nth_broken("%" PRIu64 " records are lost, %" PRIu64 " were told", missing, told_lost);
    check_committed(in);
}

/* ---- The store ---- */

static bool open_store(bool create)
{
    rill_options options = {.size = sizeof options,
                            .flags = create ? RILL_OPEN_CREATE : 0,
                            .sync_interval_ms = 3600 * 1000,
                            .allocator = NTH_ALLOCATOR};

    store = NULL;
    return DURABLY(rill_open(dir, &options, &store));
}

static void close_store(void)
{
    rill *closing = store;

    store = NULL;
    TRY(rill_close(closing));
}

static void make_topic(enum which which, int32_t count, const rill_topic_options *options)
{
    rill_topic_options with = *options;

    with.partition_count = (uint32_t)count;
    MUST(rill_topic_create(store, topics[which].name, &with));
    topics[which].there = true;
    topics[which].partition_count = count;
}

static void commit(void)
{
    rill_consumer_options options = {.size = sizeof options, .group = "g"};
    rill_position position = {"t", 0, -1, 7, "as far as this"};
    rill_consumer *consumer;

    MUST(rill_consumer_open(store, &options, &consumer));
    MUST(rill_consumer_commit(consumer, &position, 1));
    MUST(rill_consumer_close(consumer, 0));
}

static void prepare_store(void)
{
    rill_topic_options small = {.size = sizeof small, .segment_bytes = 64 << 10};
    rill_topic_options compacted = small;

    if (mkdir(nth.dir, 0700) != 0) nth_broken("no directory");
    snprintf(dir, sizeof dir, "%s/store", nth.dir);
    snprintf(copy, sizeof copy, "%s/copy", nth.dir);
    snprintf(stream, sizeof stream, "%s/stream", nth.dir);
    compacted.cleanup_policy = RILL_CLEANUP_COMPACT;
    if (!open_store(true)) nth_broken("no store");
    make_topic(T, 2, &small);
    make_topic(C, 1, &compacted);
    make_topic(D, 1, &small);
    append(T, 0, RECORDS, RILL_ACKS_WRITTEN);
    append(T, 1, RECORDS, RILL_ACKS_WRITTEN);
    append(C, 0, RECORDS, RILL_ACKS_WRITTEN);
    append(D, 0, FEW, RILL_ACKS_WRITTEN);
    commit();
    MUST(rill_sync(store, WAIT_MS));
    if (op->prepare != NULL) op->prepare();
    if (op->closed && store != NULL) close_store();
}

/* ---- A check ---- */

struct found {
    int damage_count;     /* of what a store that is sound has not, */
    int unreadable_count; /* and of what could not be read */
    char text[400];
};

/* Without the catalogue nobody knows the topics; and what LMDB has read half it calls
 * damaged. */
static bool follows_from_unreadable(const struct found *found, const rill_damage *damage)
{
    return (damage->kind == RILL_DAMAGE_TOPIC_UNKNOWN && found->unreadable_count > 0) ||
           (damage->kind == RILL_DAMAGE_CATALOGUE && nth.fired > 0 &&
            nth.plan.call == NTH_LMDB_PREAD && nth.error == NTH_SHORT);
}

static int note_damage(void *arg, const rill_damage *damage)
{
    struct found *found = arg;

    if (damage->text == NULL || damage->text[0] == '\0' || damage->repair == NULL)
        nth_broken("damage %d without a text", (int)damage->kind);
    if (damage->kind == RILL_DAMAGE_UNREADABLE || strstr(damage->text, "cannot be read") != NULL)
        found->unreadable_count++;
    if (damage->kind == RILL_DAMAGE_UNREADABLE) return 0;
    if (follows_from_unreadable(found, damage)) return 0;
    if (damage->severity == RILL_LOG_INFO &&
        (nth.fired > 0 || damage->kind != RILL_DAMAGE_LEFTOVER))
        return 0;
    found->damage_count++;
    if (found->text[0] == '\0')
        snprintf(found->text, sizeof found->text, "kind %d of %s: %s", (int)damage->kind,
                 damage->file, damage->text);
    return 0;
}

static int look_for_damage(const char *path, struct found *found)
{
    rill_check_options options = {.size = sizeof options,
                                  .visit = note_damage,
                                  .visit_arg = found,
                                  .allocator = NTH_ALLOCATOR};
    rill_check_report report = {.size = sizeof report};

    memset(found, 0, sizeof *found);
    return rill_check(path, &options, &report);
}

static void check_sound(const char *path)
{
    struct found found;

    MUST(look_for_damage(path, &found));
    if (found.damage_count > 0) nth_broken("afterwards a check finds %s", found.text);
    if (found.unreadable_count > 0) nth_broken("afterwards a check cannot read something");
}

/* What fails once may be looked at again; and who else is there, matters for what is left
 * over only. */
static bool may_miss(void)
{
    return nth_is_harmless() || nth.plan.mode == NTH_ONCE || nth.plan.call == NTH_FCNTL;
}

/* Of a sound store. */
static bool check(void)
{
    struct found found;
    bool good;

    nth_begin("rill_check");
    good = nth_verdict(look_for_damage(dir, &found), false);
    if (found.damage_count > 0) nth_broken("a check finds %s", found.text);
    if (found.unreadable_count > 0 && nth.fired == 0) nth_broken("a check cannot read something");
    if (good && found.unreadable_count == 0 && nth.fired > 0 && !may_miss())
        nth_broken("a check calls sound what it could not read");
    return good;
}

static bool be_beside(void)
{
    int ready[2];
    char byte = 0;
    bool good;

    if (pipe2(ready, O_CLOEXEC) != 0) nth_broken("no pipe");
    beside = fork();
    if (beside == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!open_store(false)) _exit(1);
        check_all(store);
        if (syscall(SYS_write, ready[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(ready[1]);
    good = beside > 0 && syscall(SYS_read, ready[0], &byte, 1) == 1;
    close(ready[0]);
    return good;
}

static void prepare_beside(void)
{
    close_store();
    if (!be_beside()) nth_broken("nobody is beside");
}

static void end_beside(void)
{
    int status;

    if (beside <= 0) return;
    kill(beside, SIGKILL);
    waitpid(beside, &status, 0);
    beside = 0;
}

/* ---- Copies ---- */

static bool make_snapshot(void)
{
    return DURABLY(rill_snapshot(store, copy, NULL));
}

static int pass(void *arg, const rill_progress *progress)
{
    (void)arg, (void)progress;
    return 0;
}

static bool make_snapshot_without_links(void)
{
    rill_copy_options options = {
        .size = sizeof options, .flags = RILL_COPY_NO_LINKS | RILL_COPY_VERIFY, .progress = pass};

    return DURABLY(rill_snapshot(store, copy, &options));
}

static bool restore(void)
{
    return DURABLY(rill_restore(dir, copy, NULL));
}

/* What is there is refused by name, or whole. */
static bool is_copied(void)
{
    rill *copied;
    int rc = rill_open(copy, NULL, &copied);

    if (rc == RILL_ERR_NOT_FOUND) return false;
    if (rc == RILL_ERR_INVALID && strstr(rill_errmsg(), "INCOMPLETE") != NULL) return false;
    if (rc != 0) nth_broken("half a copy cannot be opened: %d, %s", rc, rill_errmsg());
    check_all(copied);
    MUST(rill_close(copied));
    check_sound(copy);
    return true;
}

/* Only of some topics. */
static bool make_snapshot_of_one(void)
{
    const char *const names[] = {"t"};
    rill_copy_options options = {.size = sizeof options, .topics = names, .topic_count = 1};

    return DURABLY(rill_snapshot(store, copy, &options));
}

static bool is_one_copied(void)
{
    const bool there[] = {topics[C].there, topics[D].there};
    bool done;

    topics[C].there = topics[D].there = false;
    done = is_copied();
    topics[C].there = there[0];
    topics[D].there = there[1];
    return done;
}

/* ---- Streams ---- */

/* Not the calls that fail. */
static int stream_fd;

static int write_stream(void *arg, const void *data, size_t size)
{
    (void)arg;
    return syscall(SYS_write, stream_fd, data, size) == (ssize_t)size ? 0 : 1;
}

static int read_stream(void *arg, void *data, size_t size, size_t *got)
{
    ssize_t n = syscall(SYS_read, stream_fd, data, size);

    (void)arg;
    *got = n < 0 ? 0 : (size_t)n;
    return n < 0;
}

static int keep_stream(void *arg, uint64_t size)
{
    (void)arg;
    return syscall(SYS_ftruncate, stream_fd, size) != 0 ||
           syscall(SYS_lseek, stream_fd, size, SEEK_SET) < 0;
}

static int open_stream(void)
{
    return (int)syscall(SYS_openat, AT_FDCWD, stream, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static bool export(void)
{
    rill_export_options options = {
        .size = sizeof options, .resume = read_stream, .keep = keep_stream, .progress = pass};
    bool good;

    stream_fd = open_stream();
    good = TRY(rill_export(store, "t", &options, write_stream, NULL));
    syscall(SYS_close, stream_fd);
    return good;
}

static bool export_some(void)
{
    const rill_export_range ranges[] = {{1, 0, 2, 20}, {0, 0, RILL_OFFSET_EARLIEST, 4}};
    rill_export_options options = {.size = sizeof options, .ranges = ranges, .range_count = 2};
    bool good;

    stream_fd = open_stream();
    good = TRY(rill_export(store, "t", &options, write_stream, NULL));
    syscall(SYS_close, stream_fd);
    unlink(stream);
    return good;
}

static bool is_exported(void)
{
    return worked;
}

static void prepare_stream(void)
{
    if (!export()) nth_broken("no stream");
}

/* As a process leaves it that dies. */
static void prepare_half_stream(void)
{
    struct stat st;

    prepare_stream();
    if (stat(stream, &st) != 0 || truncate(stream, st.st_size / 2) != 0)
        nth_broken("no half of a stream");
    close_store();
    if (!open_store(false)) nth_broken("the store does not open");
}

static bool import_to(enum which which)
{
    bool good;

    stream_fd = open_stream();
    good = DURABLY(rill_import(store, topics[which].name, NULL, read_stream, NULL));
    syscall(SYS_close, stream_fd);
    return good;
}

static bool import(void)
{
    return import_to(AGAIN);
}

static bool import_behind(void)
{
    return import_to(BEHIND);
}

static bool is_imported_to(enum which which, int64_t before)
{
    rill_topic_info info;
    bool done = true;
    struct seen seen;
    int rc = rill_topic_describe(store, topics[which].name, &info);

    if (rc != 0 && rc != RILL_ERR_NOT_FOUND) nth_broken("describe: %d, %s", rc, rill_errmsg());
    topics[which].there = rc == 0;
    if (rc != 0) return false;
    topics[which].partition_count = 2;
    for (int32_t p = 0; p < 2; p++) {
        look(store, which, p, &seen);
        if (seen.start != 0 || seen.end < before || seen.end > before + topics[T].end[p])
            nth_broken("%s-%d is [%" PRId64 ", %" PRId64 ")", topics[which].name, (int)p,
                       seen.start, seen.end);
        topics[which].end[p] = seen.end;
        if (seen.end < before + RECORDS) done = false;
    }
    return done;
}

static bool is_imported(void)
{
    return is_imported_to(AGAIN, 0);
}

static bool is_imported_behind(void)
{
    return is_imported_to(BEHIND, OTHERS);
}

/* The stream has everything. */
static void import_what_was_exported(void)
{
    if (!import() || !is_imported()) nth_broken("the stream is not whole");
}

static void prepare_others(void)
{
    rill_topic_options options = {.size = sizeof options, .segment_bytes = 64 << 10};

    make_topic(BEHIND, 2, &options);
    append(BEHIND, 0, OTHERS, RILL_ACKS_WRITTEN);
    append(BEHIND, 1, OTHERS, RILL_ACKS_WRITTEN);
    MUST(rill_sync(store, WAIT_MS));
    prepare_stream();
}

/* ---- Repair ---- */

/* Did the device not give what there is? Then records may be lost by it, if that is told. */
static bool is_read_error(void)
{
    enum nth_call call = nth.plan.call;

    return (call == NTH_PREAD || call == NTH_OPENAT || call == NTH_FSTAT || call == NTH_MMAP) &&
           nth.error != ENOMEM && nth.error != EMFILE && nth.error != ENFILE;
}

/* As a gap; or in a file that is in quarantine now, where nothing tells how many there were. */
static int note_action(void *arg, const rill_repair_action *action)
{
    bool is_gap = action->kind == RILL_REPAIR_GAP;
    bool is_moved = action->kind == RILL_REPAIR_SEGMENT && action->quarantine != NULL;

    (void)arg;
    if (action->text == NULL || action->text[0] == '\0') nth_broken("an action without a text");
    if (is_gap && !is_read_error())
        nth_broken("a repair has lost the records [%" PRId64 ", %" PRId64 ")", action->first,
                   action->end);
    if (is_gap) told_lost += (uint64_t)(action->end - action->first);
    if (is_moved && is_read_error() && nth.fired > 0) told_lost += OFFSETS_MAX;
    return 0;
}

static bool repair(void)
{
    rill_repair_options options = {.size = sizeof options,
                                   .visit = note_action,
                                   .progress = pass,
                                   .allocator = NTH_ALLOCATOR};
    rill_repair_report report = {.size = sizeof report};

    return DURABLY(rill_repair(dir, &options, &report));
}

static bool repair_dry(void)
{
    rill_repair_options options = {.size = sizeof options,
                                   .flags = RILL_REPAIR_DRY_RUN,
                                   .visit = note_action,
                                   .allocator = NTH_ALLOCATOR};
    rill_repair_report report = {.size = sizeof report};

    return TRY(rill_repair(dir, &options, &report));
}

static void path_in_topic(const char *topic, const char *name, char path[900])
{
    rill_topic_info info;
    char id[33];

    MUST(rill_topic_describe(store, topic, &info));
    for (int i = 0; i < 16; i++) snprintf(id + (size_t)i * 2, 3, "%02x", info.id[i]);
    snprintf(path, 900, "%.700s/%s/%s", dir, id, name);
}

static void overwrite(const char *path, size_t size)
{
    char zeros[64] = "";
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || pwrite(fd, zeros, size, 0) != (ssize_t)size)
        nth_broken("%s is not there", path);
    close(fd);
}

/* Much is damaged, and no record is lost by it. */
static void damage_files(void)
{
    char paths[5][900];

    snprintf(paths[0], sizeof paths[0], "%.700s/STORE", dir);
    path_in_topic("t", "0/00000000000000000000.log", paths[1]);
    path_in_topic("t", "1/control", paths[2]);
    path_in_topic("c", "0/00000000000000000000.index", paths[3]);
    path_in_topic("t", "0/what is this", paths[4]);
    close_store();
    overwrite(paths[0], 64);
    overwrite(paths[1], 64);
    if (unlink(paths[2]) != 0) nth_broken("there is no control file");
    overwrite(paths[3], 64);
    if (symlink("nowhere", paths[4]) != 0) nth_broken("nothing strange can be made");
}

/* In every version that the catalogue has of what the group committed. */
static void damage_commits(void)
{
    static const char text[] = "as far as this";
    char path[900];
    char *bytes;
    struct stat st;
    int count = 0;
    int fd;

    close_store();
    snprintf(path, sizeof path, "%.700s/meta/data.mdb", dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) nth_broken("there is no catalogue");
    bytes = nth_real_mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) nth_broken("the catalogue cannot be mapped");
    for (off_t at = 0; at + (off_t)sizeof text < st.st_size; at++)
        if (memcmp(bytes + at, text, sizeof text - 1) == 0) bytes[at] = 'A', count++;
    munmap(bytes, (size_t)st.st_size);
    close(fd);
    if (count < 1) nth_broken("there are no commits to damage");
    commits_lost = true;
}

/* ---- Dump ---- */

static int see_item(void *arg, const rill_item *item)
{
    bool *bad = arg;

    if (!item->sound) *bad = true;
    return 0;
}

/* Whatever is in this directory. */
static bool dump_all(const char *path)
{
    DIR *entries = opendir(path);
    struct dirent *entry;
    char below[1000];
    bool bad = false;
    bool good = true;

    if (entries == NULL) nth_broken("%s cannot be listed", path);
    while (good && (entry = readdir(entries)) != NULL) {
        const char *name = entry->d_name;
        size_t size = strlen(name);

        if (name[0] == '.' || strcmp(name, "meta") == 0) continue;
        snprintf(below, sizeof below, "%.700s/%.200s", path, name);
        if (entry->d_type == DT_DIR) good = dump_all(below);
        else if (strcmp(name, "STORE") == 0 || strcmp(name, "control") == 0 ||
                 (size > 4 && strcmp(name + size - 4, ".log") == 0) ||
                 (size > 6 && strcmp(name + size - 6, ".index") == 0))
            good = TRY(rill_dump(below, see_item, &bad));
    }
    closedir(entries);
    if (good && bad && nth.fired == 0) nth_broken("something below %s is not sound", path);
    return good;
}

static bool dump(void)
{
    return dump_all(dir);
}

/* ---- Topics ---- */

static void describe(const char *topic, rill_topic_info *info)
{
    MUST(rill_topic_describe(store, topic, info));
}

static bool alter(void)
{
    rill_topic_options options = {
        .size = sizeof options, .retention_ms = 86400000, .max_message_bytes = 7000};

    return DURABLY(rill_topic_alter(
        store, "t", RILL_TOPIC_RETENTION_MS | RILL_TOPIC_MAX_MESSAGE_BYTES, &options));
}

static bool is_altered(void)
{
    rill_topic_info info;

    describe("t", &info);
    if ((info.options.retention_ms == 86400000) != (info.options.max_message_bytes == 7000))
        nth_broken("one option is altered, the other is not");
    return info.options.retention_ms == 86400000;
}

static bool add_partitions(void)
{
    return DURABLY(rill_topic_add_partitions(store, "t", 3));
}

static bool are_added(void)
{
    rill_topic_info info;
    uint32_t count;

    describe("t", &info);
    count = info.options.partition_count;
    if (count != 2 && count != 3) nth_broken("the topic has %u partitions", count);
    topics[T].partition_count = (int32_t)count;
    return count == 3;
}

static bool delete_topic(void)
{
    return TRY(rill_topic_delete(store, "d"));
}

static bool is_deleted(void)
{
    rill_topic_info info;
    int rc = rill_topic_describe(store, "d", &info);

    if (rc != 0 && rc != RILL_ERR_NOT_FOUND) nth_broken("describe: %d, %s", rc, rill_errmsg());
    topics[D].there = rc == 0;
    return rc != 0;
}

static int see_topic(void *arg, const rill_topic_info *info)
{
    (void)arg, (void)info;
    return 0;
}

static bool describe_all(void)
{
    char text[20000];
    rill_stats stats = {.size = sizeof stats};
    rill_topic_info info;
    size_t needed;

    if (!TRY(rill_topic_describe(store, "t", &info))) return false;
    if (info.segment_count != 4 || info.record_span != 2 * RECORDS)
        nth_broken("t has %" PRIu64 " segments and %" PRIu64 " records", info.segment_count,
                   info.record_span);
    return TRY(rill_topic_list(store, see_topic, NULL)) && TRY(rill_stats_total(store, &stats)) &&
           TRY(rill_metrics(store, text, sizeof text, &needed));
}

static bool describe_reopened(void)
{
    bool good = open_store(false);

    if (!good) return false;
    good = describe_all();
    close_store();
    return good;
}

/* ---- Records that go ---- */

static bool has_start(int32_t partition, int64_t start)
{
    rill_partition_info info;

    MUST(rill_partition_describe(store, "t", partition, &info));
    if (info.log_start != 0 && info.log_start != start)
        nth_broken("t-%d begins at offset %" PRId64 ", not at 0 or %" PRId64, (int)partition,
                   info.log_start, start);
    topics[T].start[partition] = info.log_start;
    return info.log_start == start;
}

static bool delete_records(void)
{
    return DURABLY(rill_partition_delete_records(store, "t", 0, DELETED, NULL));
}

static bool are_deleted(void)
{
    return has_start(0, DELETED);
}

static bool delete_all_records(void)
{
    return DURABLY(rill_partition_delete_records(store, "t", 0, RILL_OFFSET_LATEST, NULL));
}

static bool are_all_deleted(void)
{
    return has_start(0, topics[T].end[0]);
}

static bool maintain(void)
{
    for (int i = 0; i < 3; i++)
        if (!TRY(rill_maintain(store, NULL))) return false;
    return true;
}

/* By size, by time, or when they are consumed. */
static void prepare_retention(void)
{
    rill_topic_options options = {.size = sizeof options, .retention_bytes = 1};

    MUST(rill_topic_alter(store, "t", RILL_TOPIC_RETENTION_BYTES, &options));
}

/* The first segment, or not yet; which one that is, is whatever has come about first. */
static bool is_retained(void)
{
    rill_partition_info info;

    for (int32_t p = 0; p < 2; p++) {
        MUST(rill_partition_describe(store, "t", p, &info));
        if (info.log_start > topics[T].end[p]) nth_broken("t-%d begins behind its end", (int)p);
        topics[T].start[p] = info.log_start;
    }
    return true;
}

static bool compact(void)
{
    return TRY(rill_partition_compact(store, "c", 0, NULL));
}

/* As far as it has come, no last record is lost. */
static bool is_compacted(void)
{
    struct seen seen;
    bool all;

    look(store, C, 0, &seen);
    if (seen.end != topics[C].end[0]) nth_broken("the compacted log ends elsewhere");
    check_keys(&seen, &all);
    return all;
}

/* ---- Spaces, audits, traces ---- */

static int see_space(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return 0;
}

static bool put_state(rill_space *space)
{
    rill_producer_options options = {.size = sizeof options, .transactional_id = "job"};
    rill_producer *producer;
    rill_txn *txn;

    MUST(rill_producer_open(store, &options, &producer));
    MUST(rill_txn_begin(producer, &txn));
    MUST(rill_txn_put(txn, space, (rill_bytes){"a", 1}, (rill_bytes){"1", 1}));
    MUST(rill_txn_put(txn, space, (rill_bytes){"b", 1}, (rill_bytes){"2", 1}));
    MUST(rill_txn_commit(txn, WAIT_MS));
    MUST(rill_producer_close(producer, WAIT_MS));
    return true;
}

static void prepare_space(void)
{
    rill_space *space;

    MUST(rill_space_open(store, "s", RILL_SPACE_CREATE, &space));
    put_state(space);
    rill_space_close(space);
    space_name = "s";
}

static bool walk(rill_view *view, rill_space *space, bool reverse)
{
    rill_range range = {.to = {"c", 1}, .reverse = reverse};
    rill_cursor *cursor;
    rill_bytes key;
    rill_bytes value;
    int count = 0;
    int rc;

    if (!TRY(rill_cursor_open(view, NULL, space, &range, &cursor))) return false;
    nth_begin("rill_cursor_next");
    while ((rc = rill_cursor_next(cursor, &key, &value)) == 0) count++;
    if (rc != RILL_ERR_NOT_FOUND) nth_verdict(rc, false);
    else if (count != 2) nth_broken("a walk shows %d keys", count);
    rill_cursor_close(cursor);
    return rc == RILL_ERR_NOT_FOUND;
}

static bool look_at_state(rill_space *space)
{
    rill_view *view;
    rill_bytes found;
    char value[8];
    size_t size;
    bool good = TRY(rill_space_get(space, (rill_bytes){"a", 1}, value, sizeof value, &size));

    if (good && (size != 1 || value[0] != '1')) nth_broken("the state is another one");
    if (!TRY(rill_view_open(store, &view))) return false;
    good = TRY(rill_view_get(view, space, (rill_bytes){"b", 1}, &found)) && good;
    good = walk(view, space, false) && good;
    good = walk(view, space, true) && good;
    rill_view_close(view);
    return good;
}

static bool use_spaces(void)
{
    rill_space *space;
    int count = 0;
    bool good;

    if (!TRY(rill_space_open(store, "s", 0, &space))) return false;
    good = look_at_state(space);
    rill_space_close(space);
    if (!DURABLY(rill_space_open(store, "new", RILL_SPACE_CREATE, &space))) return false;
    rill_space_close(space);
    if (!TRY(rill_space_list(store, see_space, &count))) return false;
    if (count != 2) nth_broken("%d spaces are there", count);
    return DURABLY(rill_space_delete(store, "new")) && good;
}

static bool is_space_there(void)
{
    char value[8];
    size_t size;
    rill_space *space;

    MUST(rill_space_open(store, "s", 0, &space));
    MUST(rill_space_get(space, (rill_bytes){"b", 1}, value, sizeof value, &size));
    if (size != 1 || value[0] != '2') nth_broken("the state is another one");
    rill_space_close(space);
    return true;
}

static bool delete_space(void)
{
    return DURABLY(rill_space_delete(store, "s"));
}

/* With all that is in it, or nothing. */
static bool is_space_deleted(void)
{
    rill_space *space;
    int rc = rill_space_open(store, "s", 0, &space);

    if (rc == RILL_ERR_NOT_FOUND) return true;
    MUST(rc);
    rill_space_close(space);
    return !is_space_there();
}

static int see_window(void *arg, const rill_audit_window *window)
{
    *(uint64_t *)arg += window->record_count;
    return 0;
}

static int see_difference(void *arg, const rill_audit_window *sent,
                          const rill_audit_window *received)
{
    (void)sent, (void)received;
    ++*(int *)arg;
    return 0;
}

/* Two windows of another one are counted, and what a reader gets. */
static bool audit_with(rill_audit *audit)
{
    rill_consumer_interceptor chain[1];
    rill_consumer_options options = {
        .size = sizeof options, .interceptors = chain, .interceptor_count = 1};
    rill_position from = {"t", 0, -1, RILL_OFFSET_EARLIEST, NULL};
    rill_audit_window window = {.topic = "else", .record_count = 2, .last = 1};
    rill_consumer *consumer;
    rill_record records[40];
    uint64_t seen = 0;
    int differences = 0;
    size_t count;
    bool good;

    rill_audit_consumer(audit, chain);
    if (!TRY(rill_consumer_open(store, &options, &consumer))) return false;
    good = TRY(rill_consumer_assign(consumer, &from, 1)) &&
           TRY(rill_consumer_poll(consumer, 0, records, 40, &count));
    good = TRY(rill_consumer_close(consumer, 0)) && good;
    if (!TRY(rill_audit_add(audit, &window))) return false;
    return TRY(rill_audit_list(audit, see_window, &seen)) &&
           TRY(rill_audit_compare(audit, audit, see_difference, &differences)) && good;
}

static bool audit(void)
{
    rill_audit *counting;
    bool good;

    if (!TRY(rill_audit_open(store, NULL, &counting))) return false;
    good = audit_with(counting);
    rill_audit_close(counting);
    return good;
}

static const struct operation operations[] = {
    {"snapshot", NULL, make_snapshot, is_copied, NULL, false, false},
    {"snapshot without links", NULL, make_snapshot_without_links, is_copied, NULL, false, false},
    {"snapshot of one topic", NULL, make_snapshot_of_one, is_one_copied, NULL, false, false},
    {"restore", NULL, restore, is_copied, NULL, true, false},
    {"export", NULL, export, is_exported, import_what_was_exported, false, false},
    {"export of ranges", NULL, export_some, NULL, NULL, false, false},
    {"export that goes on", prepare_half_stream, export, is_exported, import_what_was_exported,
     false, false},
    {"import", prepare_stream, import, is_imported, NULL, false, false},
    {"import behind others", prepare_others, import_behind, is_imported_behind, NULL, false,
     false},
    {"check", NULL, check, NULL, NULL, true, false},
    {"check of the open store", NULL, check, NULL, NULL, false, false},
    {"check beside another", prepare_beside, check, NULL, NULL, true, false},
    {"repair", damage_files, repair, NULL, NULL, true, true},
    {"repair of the catalogue", damage_commits, repair, NULL, NULL, true, true},
    {"repair that only says", NULL, repair_dry, NULL, NULL, true, false},
    {"dump", NULL, dump, NULL, NULL, true, false},
    {"alter", NULL, alter, is_altered, NULL, false, false},
    {"add partitions", NULL, add_partitions, are_added, NULL, false, false},
    {"delete", NULL, delete_topic, is_deleted, NULL, false, false},
    {"describe", NULL, describe_all, NULL, NULL, false, false},
    {"open and describe", NULL, describe_reopened, NULL, NULL, true, false},
    {"delete records", NULL, delete_records, are_deleted, NULL, false, false},
    {"delete all records", NULL, delete_all_records, are_all_deleted, NULL, false, false},
    {"retention", prepare_retention, maintain, is_retained, NULL, false, false},
    {"compact", NULL, compact, is_compacted, NULL, false, false},
    {"spaces", prepare_space, use_spaces, is_space_there, NULL, false, false},
    {"delete a space", prepare_space, delete_space, is_space_deleted, NULL, false, false},
    {"audit", NULL, audit, NULL, NULL, false, false},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static const char *operation_name(int operation)
{
    return operations[operation].name;
}

/* ---- A run ---- */

static void work(void)
{
    worked = op->work();
}

static bool see_whether_done(void)
{
    bool done = op->is_done == NULL || op->is_done();

    if (worked && !done) nth_broken("it said that it was done");
    check_all(store);
    return done;
}

/* As the operation has left the store, in the process that has it open. */
static void go_on(void)
{
    rill_topic_info info;

    if (store == NULL) return;
    TRY(rill_topic_describe(store, "t", &info)); /* or the catalogue says that it is poisoned */
    if (!nth.lossy) see_whether_done();
    close_store();
}

/* The next one finds it done, or does it. */
static void second_life(void)
{
    if (op->alone && !op->work()) nth_broken("it cannot be done again");
    if (!open_store(false)) nth_broken("the store does not open");
    if (!see_whether_done()) {
        if (op->closed) close_store();
        worked = op->work();
        if (store == NULL && !open_store(false)) nth_broken("the store does not open");
        if (!see_whether_done()) nth_broken("it was repeated, and is not done");
    }
    if (op->finish != NULL) op->finish();
    append_everywhere();
    check_all(store);
    MUST(rill_maintain(store, NULL));
    if (op->is_done == is_retained) is_retained();
    check_all(store);
    close_store();
    check_sound(dir);
}

static void third_life(void)
{
    if (!open_store(false)) nth_broken("the store does not open after a boot");
    if (op->is_done == is_retained) is_retained();
    check_all(store);
    append_everywhere();
    close_store();
    check_sound(dir);
}

static void run_operation(void)
{
    int descriptors = nth_open_descriptors();

    op = &operations[nth.plan.workload];
    prepare_store();
    nth_work(work);
    go_on();
    end_beside();
    nth_check_nothing_left(descriptors, "after the faults");
    nth_forget_faults();
    second_life();
    nth_check_nothing_left(descriptors, "after the second life");
    nth.boot++;
    third_life();
    nth_check_nothing_left(descriptors, "after the third life");
}

/* Of a log that is written to by rill itself; nobody's records were unsynced before. */
static void sync_failed(int fd)
{
    if (nth_name_ends(fd, ".log")) nth.lossy = true;
}

int main(void)
{
    const struct nth_harness harness = {.name = "nthadmin",
                                        .share = 1500,
                                        .share_slow = 100,
                                        .workload_count = OPERATIONS,
                                        .workload_name = operation_name,
                                        .run = run_operation,
                                        .sync_failed = sync_failed};

    return nth_main(&harness);
}
#endif
