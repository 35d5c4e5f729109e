/*
 * everyinstruction.c - a process may die between any two instructions.
 *
 * For each operation a child, the actor, is stepped through it by ptrace, one
 * instruction after the other. After every step the store's files are compared
 * with what they were before; a step that changed something makes a new state
 * that a kill can leave: a crash point. There are two proofs about them.
 *
 *     after   The files are copied as they stand, and a fresh process opens
 *             the copy: nobody is left, so it recovers. Every crash point.
 *     beside  The operation runs once more to such a point, where the actor is
 *             really killed while another process, the witness, has the store
 *             open. The witness goes on within a time limit: it is told by the
 *             kernel that an owner died. Every crash point, too; the actor gets
 *             there fast, counting system calls, and steps only behind the last.
 *
 * In both it must be true that
 *
 *     the store opens, and every earlier record is there, byte for byte;
 *     the operation's batch is there whole or not at all, the committed offset
 *     is the old or the new one, the topic is there or not;
 *     what was done stays done: at no later point is the old state found, nor
 *     when the operation has returned, and what the witness could read while
 *     the actor stood still is still there after its death;
 *     nothing of a half batch is left behind the tail, and the leader epoch has
 *     gone up;
 *     appending (also durably, in place, and beyond the segment), committing and
 *     creating a topic work, and are read back, also after the next open.
 *
 * A step is one instruction, or one system call: what the kernel does in it is
 * done when the process dies. BUDGET counts crash points that are checked; if
 * there are more, it is about every so many. A violation's case is the number of
 * the operation, which JOB=n runs alone.
 */
#include "proof.h"
#include "base/bytes.h"
#include "log/batch.h"
#include "log/control.h"
#include "log/format.h"
#include "os/sys.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <rill.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                       \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

enum {
    NUMBERS_MAX = 256,
    VALUE_MAX = 6400,
    WAIT_MS = 10000, /* a survivor never waits so long */
    HANG_MS = 30000,
    PLACES_MAX = 4096,
    ABOUT = 3100, /* checks of a full run; only to spread a smaller budget */
    VIOLATIONS_MAX = 16,
    GIVE_UP_AFTER = 3 /* violations of one job */
};

/* Numbers of records: below BATCH those that were there before. */
enum { BATCH = 1000, LATER = 2000, WITNESS = 3000 };

/* ---- The operations ---- */

struct actor {
    rill *store;
    rill_producer *producer;
    rill_consumer *consumer;
};

struct operation {
    const char *name;
    int (*run)(struct actor *actor);
    enum { NOTHING, RECORDS, OFFSET, TOPIC_MADE, TOPIC_DELETED } changes;
    uint32_t earlier; /* records there before */
    uint32_t added;
    size_t earlier_size; /* of their values */
    int32_t acks;
    bool prepared;                                   /* the next segment is ready */
    bool widowed;                                    /* somebody has died while he appended */
    bool opens;                                      /* the operation opens the store itself */
    enum { CLOSED, HALF_APPENDED, OTHER_BOOT } left; /* by the process before */
};

static const struct operation *op; /* of this process */

/* Few instructions: they are stepped through, too. */
static size_t value_of(uint32_t number, uint8_t *value)
{
    size_t size = number < BATCH ? op->earlier_size : 200 + number % 8;

    if (number >= LATER && number % 4 == 3) size = VALUE_MAX;
    memset(value, (int)(1 + number % 251), size);
    memcpy(value, &number, sizeof number);
    return size;
}

static int append(rill_producer *producer, uint32_t first, uint32_t count, rill_offset *offset)
{
    static uint8_t values[4][VALUE_MAX];
    rill_record records[4];

    for (uint32_t i = 0; i < count; i++) {
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = 0;
        records[i].value = (rill_bytes){values[i], value_of(first + i, values[i])};
    }
    return rill_producer_append(producer, records, count, WAIT_MS, offset);
}

static int append_in_place(rill_producer *producer, uint32_t number, bool commit)
{
    static uint8_t value[VALUE_MAX];
    rill_record shape = RILL_RECORD_INIT;
    rill_reservation room;
    int rc;

    shape.partition = 0;
    shape.value.size = value_of(number, value);
    rc = rill_producer_reserve(producer, &shape, WAIT_MS, &room);
    if (rc != 0) return rc;
    memcpy(room.value, value, room.value_size);
    return commit ? rill_producer_commit(producer, NULL) : 0;
}

static int commit_offset(rill_consumer *consumer, int64_t offset)
{
    rill_position position = {"t", 0, -1, offset, NULL};
    return rill_consumer_commit(consumer, &position, 1);
}

static int make_topic(rill *store, const char *name)
{
    rill_topic_options options = {
        .size = sizeof options, .segment_bytes = 64 << 10, .index_interval_bytes = 256};
    return rill_topic_create(store, name, &options);
}

static int64_t committed_before(void)
{
    return op->earlier / 2;
}

static int run_append(struct actor *actor)
{
    return append(actor->producer, BATCH, op->added, NULL);
}

static int run_append_in_place(struct actor *actor)
{
    return append_in_place(actor->producer, BATCH, true);
}

static int run_commit(struct actor *actor)
{
    return commit_offset(actor->consumer, committed_before() + 1);
}

/* Two steps of the group: it comes, and it takes what is free. */
static int run_join(struct actor *actor)
{
    static const char *const topics[] = {"t"};
    rill_record record;
    size_t count;
    int rc = rill_consumer_subscribe(actor->consumer, topics, 1);

    return rc != 0 ? rc : rill_consumer_poll(actor->consumer, 0, &record, 1, &count);
}

static int run_make_topic(struct actor *actor)
{
    return make_topic(actor->store, "other");
}

static int run_delete_topic(struct actor *actor)
{
    return rill_topic_delete(actor->store, "other");
}

static int run_maintain(struct actor *actor)
{
    return rill_maintain(actor->store, NULL);
}

static int open_live_store(rill **store);

static int run_open(struct actor *actor)
{
    rill_partition_info info;
    int rc = open_live_store(&actor->store);

    return rc == 0 ? rill_partition_describe(actor->store, "t", 0, &info) : rc;
}

/* The longest first, so that workers end together. FULL leaves no room for a
 * batch in a segment. */
#define FULL .earlier = 10, .earlier_size = VALUE_MAX
#define SOME .earlier = 6, .earlier_size = 150
static const struct operation operations[] = {
    {"open, scan after a reboot", run_open, NOTHING, SOME, .opens = true, .left = OTHER_BOOT},
    {"open, recover", run_open, NOTHING, SOME, .opens = true, .left = HALF_APPENDED},
    {"create a topic", run_make_topic, TOPIC_MADE, SOME},
    {"delete a topic", run_delete_topic, TOPIC_DELETED, SOME},
    {"append durably", run_append, RECORDS, SOME, .added = 3, .acks = RILL_ACKS_DURABLE},
    {"append and roll", run_append, RECORDS, FULL, .added = 3},
    {"append and roll, prepared", run_append, RECORDS, FULL, .added = 3, .prepared = true},
    {"append and roll durably", run_append, RECORDS, FULL, .added = 3, .acks = RILL_ACKS_DURABLE},
    {"first append", run_append, RECORDS, .earlier_size = 150, .added = 3},
    {"append", run_append, RECORDS, SOME, .added = 3},
    {"append and repair", run_append, RECORDS, SOME, .added = 3, .widowed = true},
    {"reserve and commit", run_append_in_place, RECORDS, SOME, .added = 1},
    {"commit an offset", run_commit, OFFSET, SOME},
    {"join a group", run_join, NOTHING, SOME},
    {"maintain", run_maintain, NOTHING, FULL},
};
enum { JOBS = sizeof operations / sizeof operations[0] };

/* ---- What outlives every process ---- */

static struct {
    _Atomic uint32_t next_job;
    _Atomic uint64_t checked;
    struct count {
        uint64_t instructions;
        uint64_t points; /* seen */
        uint64_t after;  /* checked */
        uint64_t beside;
    } counts[JOBS];
    _Atomic uint32_t violations;
    struct {
        uint64_t job;
        char text[700];
    } violation[VIOLATIONS_MAX];
} * board;

/* What went wrong in a child of this worker. */
static struct failure {
    char text[500];
} * failure;

static int job;
static char base_path[600]; /* the store as it is before the operation */
static char live_path[600];
static char copy_path[600];

static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void wrong(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(failure->text, sizeof failure->text, format, args);
    va_end(args);
    _exit(1);
}

static void must(int rc, const char *what)
{
    if (rc != 0) wrong("%s: %d, %s", what, rc, rill_errmsg());
}
#define MUST(call) must((call), #call)

static pid_t start_child(void)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    return 0;
}

/* ---- What a store must hold ---- */

struct model {
    uint32_t numbers[NUMBERS_MAX]; /* of the record at each offset */
    int64_t end;
    int64_t committed;
    bool other_topic;
};

static void model_add(struct model *model, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) model->numbers[model->end++] = first + i;
}

static void model_init(struct model *model, bool done)
{
    memset(model, 0, sizeof *model);
    model_add(model, 0, op->earlier);
    if (done && op->changes == RECORDS) model_add(model, BATCH, op->added);
    model->committed = committed_before();
    if (done && op->changes == OFFSET) model->committed++;
    model->other_topic = op->changes == (done ? TOPIC_MADE : TOPIC_DELETED);
}

/* What somebody finds. */
struct sight {
    int64_t end;
    int64_t committed;
    bool other_topic;
};

/* Whether the operation is done; half done is a failure. */
static bool is_done(const struct sight *sight)
{
    struct model before;
    struct model after;
    bool done;

    model_init(&before, false);
    model_init(&after, true);
    switch (op->changes) {
    case RECORDS: done = sight->end != before.end; break;
    case OFFSET: done = sight->committed != before.committed; break;
    case TOPIC_MADE:
    case TOPIC_DELETED: done = sight->other_topic != before.other_topic; break;
    default: done = false; break;
    }
    if (done) before = after;
    if (sight->end != before.end)
        wrong("the log ends at %" PRId64 ", not at %" PRId64, sight->end, before.end);
    if (sight->committed != before.committed)
        wrong("committed is %" PRId64 ", not %" PRId64, sight->committed, before.committed);
    if (sight->other_topic != before.other_topic)
        wrong("the other topic is %sthere", sight->other_topic ? "" : "not ");
    return done;
}

static int64_t committed(rill_consumer *consumer)
{
    rill_position position;
    MUST(rill_consumer_committed(consumer, "t", 0, &position, NULL, 0));
    return position.offset;
}

static bool has_other_topic(rill *store)
{
    rill_topic_info info;
    int rc = rill_topic_describe(store, "other", &info);

    if (rc != RILL_ERR_NOT_FOUND) must(rc, "describing the other topic");
    return rc == 0;
}

static int64_t log_end(rill *store)
{
    rill_partition_info info;

    MUST(rill_partition_describe(store, "t", 0, &info));
    if (info.log_start != 0) wrong("the log starts at %" PRId64, info.log_start);
    if (info.durable_end > info.log_end)
        wrong("durable to %" PRId64 " of %" PRId64, info.durable_end, info.log_end);
    return info.log_end;
}

static void check_record(const rill_record *record, int64_t offset, uint32_t number)
{
    static uint8_t value[VALUE_MAX];
    size_t size = value_of(number, value);

    if (record->offset != offset)
        wrong("offset %" PRId64 " comes where %" PRId64 " should", record->offset, offset);
    if (record->value.size != size || memcmp(record->value.data, value, size) != 0)
        wrong("offset %" PRId64 " has not the value of record %u", offset, number);
}

static rill_consumer *open_reader(rill *store)
{
    rill_position from = {"t", 0, -1, 0, NULL};
    rill_consumer *reader;

    MUST(rill_consumer_open(store, NULL, &reader));
    MUST(rill_consumer_assign(reader, &from, 1));
    return reader;
}

/* Reads what there is; where it ends. */
static int64_t read_records(rill_consumer *reader, const struct model *model)
{
    rill_record records[64];
    int64_t offset = 0;
    size_t count;

    MUST(rill_consumer_seek(reader, "t", 0, 0));
    do {
        MUST(rill_consumer_poll(reader, 0, records, 64, &count));
        for (size_t i = 0; i < count; i++, offset++) {
            if (offset >= model->end) wrong("a record too many at offset %" PRId64, offset);
            check_record(&records[i], offset, model->numbers[offset]);
        }
    } while (count > 0);
    return offset;
}

/* Each by its offset, which goes through the index. */
static void seek_records(rill_consumer *reader, const struct model *model)
{
    rill_record record;
    size_t count;

    for (int64_t offset = 0; offset < model->end; offset++) {
        MUST(rill_consumer_seek(reader, "t", 0, offset));
        MUST(rill_consumer_poll(reader, 0, &record, 1, &count));
        if (count != 1) wrong("nothing at offset %" PRId64, offset);
        check_record(&record, offset, model->numbers[offset]);
    }
}

static rill_consumer *open_group(rill *store, const char *group)
{
    rill_consumer_options options = {.size = sizeof options, .group = group};
    rill_consumer *consumer;

    MUST(rill_consumer_open(store, &options, &consumer));
    return consumer;
}

static void check_all(rill *store, rill_consumer *group, const struct model *model)
{
    rill_consumer *reader = open_reader(store);
    int64_t end = read_records(reader, model);

    if (end != model->end) wrong("records end at %" PRId64 ", not at %" PRId64, end, model->end);
    seek_records(reader, model);
    MUST(rill_consumer_close(reader, 0));
    if (log_end(store) != model->end) wrong("the log ends at %" PRId64, log_end(store));
    if (committed(group) != model->committed)
        wrong("committed is %" PRId64 ", not %" PRId64, committed(group), model->committed);
    if (has_other_topic(store) != model->other_topic) wrong("the other topic is wrong");
}

/* ---- What readers do not see ---- */

static int copy_info(void *arg, const rill_topic_info *info)
{
    if (strcmp(info->name, "t") == 0) *(rill_topic_info *)arg = *info;
    return 0;
}

/* By the list of topics: describing one looks into its partitions, which recovers them. */
static void partition_path(rill *store, const char *path, const char *name, char *out,
                           size_t size)
{
    rill_topic_info info = {.name = ""};
    char id[33];

    MUST(rill_topic_list(store, copy_info, &info));
    for (size_t i = 0; i < 16; i++) snprintf(id + 2 * i, 3, "%02x", info.id[i]);
    snprintf(out, size, "%s/%s/0/%s", path, id, name);
}

static void read_at(const char *path, void *data, size_t size, off_t at)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || pread(fd, data, size, at) != (ssize_t)size)
        wrong("%s: cannot read %zu bytes: %s", path, size, strerror(errno));
    close(fd);
}

static void read_words(rill *store, const char *path, struct control *words)
{
    char control[900];

    partition_path(store, path, "control", control, sizeof control);
    read_at(control, words, sizeof *words, 0);
}

static int32_t epoch_in(const struct control *words)
{
    return words->tails[words->tail_version & 1].epoch;
}

static bool is_batch(const uint8_t *at, size_t room, uint64_t salt)
{
    struct batch_view view;
    const char *why;

    return rill__batch_view(at, room, &view, &why) == BATCH_VALID &&
           rill__batch_verify(&view, salt);
}

/* What the dead had begun is gone for ever: zeros follow the tail. After a boot what never
 * verified may stay, but nothing that does. */
static void check_zeros(rill *store, const char *path)
{
    static uint8_t bytes[64 << 10];
    struct control words;
    const struct tail *tail;
    char name[64];
    char segment[900];

    read_words(store, path, &words);
    tail = &words.tails[words.tail_version & 1];
    if (tail->base < 0) return;
    snprintf(name, sizeof name, "%020" PRId64 ".log", (int64_t)tail->base);
    partition_path(store, path, name, segment, sizeof segment);
    read_at(segment, bytes, sizeof bytes, 0);
    for (size_t i = tail->position; i < sizeof bytes; i += 8)
        if (is_batch(bytes + i, sizeof bytes - i, rill__get64(bytes + SEGMENT_SALT_AT)))
            wrong("a batch at %zu, behind the tail", i);
    for (size_t i = tail->position; op->left != OTHER_BOOT && i < sizeof bytes; i++)
        if (bytes[i] != 0) wrong("a byte %#x at %zu, behind the tail", bytes[i], i);
}

/* ---- Going on afterwards ---- */

static rill_producer *open_producer(rill *store, int32_t acks)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t", .acks = acks};
    rill_producer *producer;

    MUST(rill_producer_open(store, &options, &producer));
    return producer;
}

static void append_more(rill_producer *producer, struct model *model, uint32_t first,
                        uint32_t count)
{
    rill_offset offset;

    MUST(append(producer, first, count, &offset));
    if (offset != model->end)
        wrong("appended at %" PRId64 ", not at %" PRId64, offset, model->end);
    model_add(model, first, count);
}

static void use_other_topic(rill *store, struct model *model)
{
    rill_producer_options options = {.size = sizeof options, .topic = "other"};
    rill_producer *producer;
    int64_t offset;

    if (!model->other_topic) MUST(make_topic(store, "other"));
    MUST(rill_producer_open(store, &options, &producer));
    MUST(append(producer, LATER, 1, &offset));
    if (offset != (model->other_topic && op->changes == TOPIC_DELETED ? 1 : 0))
        wrong("the other topic's first append is at %" PRId64, offset);
    MUST(rill_producer_close(producer, WAIT_MS));
    model->other_topic = true;
}

/* In every way, beyond the end of the segment. */
static void go_on(rill *store, rill_consumer *group, struct model *model, uint32_t first)
{
    rill_producer *written = open_producer(store, RILL_ACKS_WRITTEN);
    rill_producer *durable = open_producer(store, RILL_ACKS_DURABLE);

    append_more(written, model, first, 2);
    append_more(durable, model, first + 2, 1);
    MUST(append_in_place(written, first + 4, true));
    model_add(model, first + 4, 1);
    for (uint32_t i = 0; i < 12; i++) append_more(written, model, first + 7 + 4 * i, 1);
    MUST(rill_producer_close(written, WAIT_MS));
    MUST(rill_producer_close(durable, WAIT_MS));
    model->committed = model->end;
    MUST(commit_offset(group, model->committed));
    use_other_topic(store, model);
    check_all(store, group, model);
}

static rill *open_store(const char *path, uint32_t flags)
{
    rill_options options = {.size = sizeof options, .flags = flags, .open_timeout_ms = WAIT_MS};
    rill *store;

    MUST(rill_open(path, &options, &store));
    return store;
}

static int open_live_store(rill **store)
{
    rill_options options = {.size = sizeof options, .open_timeout_ms = WAIT_MS};
    return rill_open(live_path, &options, store);
}

/* ---- A fresh process looks at what was left ---- */

enum { STATUS_BEFORE = 10, STATUS_DONE };

static bool look_after(const char *path, bool returned)
{
    struct model model;
    rill *store = open_store(path, 0);
    rill_consumer *group = open_group(store, "g");
    struct control words;
    struct sight sight;
    rill_partition_info info;
    bool done;

    read_words(store, path, &words);
    sight = (struct sight){log_end(store), committed(group), has_other_topic(store)};
    done = is_done(&sight);
    check_zeros(store, path);
    MUST(rill_partition_describe(store, "t", 0, &info));
    if (info.leader_epoch <= epoch_in(&words))
        wrong("recovered, and the leader epoch is still %d", (int)info.leader_epoch);
    if (returned && op->acks == RILL_ACKS_DURABLE && info.durable_end != info.log_end)
        wrong("acknowledged as durable, and durable only to %" PRId64, info.durable_end);
    model_init(&model, done);
    check_all(store, group, &model);
    go_on(store, group, &model, LATER);
    MUST(rill_consumer_close(group, WAIT_MS));
    MUST(rill_close(store));

    store = open_store(path, 0);
    group = open_group(store, "g");
    check_all(store, group, &model);
    MUST(rill_consumer_close(group, WAIT_MS));
    MUST(rill_close(store));
    return done;
}

/* A child's exit status, or -1 with the failure's text. */
static int end_child(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid) return -1;
    if (WIFSIGNALED(status)) {
        snprintf(failure->text, sizeof failure->text, "killed by signal %d%s", WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? ": it hangs" : "");
        return -1;
    }
    if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) < STATUS_BEFORE) return -1;
    return WEXITSTATUS(status);
}

static int check_after(const char *path, bool returned)
{
    pid_t pid = start_child();

    if (pid == 0) {
        alarm(HANG_MS / 1000);
        _exit(look_after(path, returned) ? STATUS_DONE : STATUS_BEFORE);
    }
    return end_child(pid);
}

/* ---- The store before ---- */

static int forget_boot(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    uint8_t boot_id[16] = {1};
    int fd;

    (void)st;
    if (kind != FTW_F || strcmp(path + where->base, "control") != 0) return 0;
    fd = open(path, O_RDWR);
    if (fd < 0 || pwrite(fd, boot_id, 16, offsetof(struct control, boot_id)) != 16) return 1;
    return close(fd);
}

static bool found_next;

static int find_next(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    if (strcmp(path + where->base, "next.log") == 0) found_next = true;
    return 0;
}

static void make_base(void)
{
    rill *store = open_store(base_path, RILL_OPEN_CREATE);
    rill_producer *producer;
    rill_consumer *group = open_group(store, "g");

    MUST(make_topic(store, "t"));
    producer = open_producer(store, RILL_ACKS_WRITTEN);
    for (uint32_t i = 0; i < op->earlier; i++) MUST(append(producer, i, 1, NULL));
    MUST(commit_offset(group, committed_before()));
    if (op->changes == TOPIC_DELETED) {
        rill_record record = RILL_RECORD_INIT;
        MUST(make_topic(store, "other"));
        record.topic = "other";
        record.partition = 0;
        MUST(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    }
    if (op->left != CLOSED) {
        MUST(append_in_place(producer, BATCH, false));
        if (op->left == OTHER_BOOT && nftw(base_path, forget_boot, 16, FTW_PHYS) != 0)
            wrong("cannot change the control block");
        _exit(0); /* as if killed */
    }
    MUST(rill_consumer_close(group, WAIT_MS));
    MUST(rill_producer_close(producer, WAIT_MS));
    MUST(rill_close(store));
    _exit(0);
}

/* ---- The files as they were last seen ---- */

struct seen_file {
    char name[200]; /* below the store's directory */
    ino_t inode;
    size_t size; /* 0 for directories */
    bool is_directory;
    bool found;
    uint8_t *map;   /* what is there now */
    uint8_t *bytes; /* what was there */
};

/* A part of a file that the actor has mapped and may write to. */
struct window {
    const uint8_t *now;
    uint8_t *seen;
    size_t size;
};

static struct {
    struct seen_file files[64];
    size_t file_count;
    struct window windows[64];
    size_t window_count;
    bool changed;
} eye;

static void forget_file(struct seen_file *file)
{
    if (file->map != NULL) munmap(file->map, file->size);
    free(file->bytes);
    file->map = NULL;
    file->bytes = NULL;
    file->size = 0;
}

static void forget_all(void)
{
    for (size_t i = 0; i < eye.file_count; i++) forget_file(&eye.files[i]);
    eye.file_count = 0;
    eye.window_count = 0;
}

static struct seen_file *file_named(const char *name)
{
    for (size_t i = 0; i < eye.file_count; i++)
        if (strcmp(eye.files[i].name, name) == 0) return &eye.files[i];
    assert_true(eye.file_count < sizeof eye.files / sizeof eye.files[0]);
    memset(&eye.files[eye.file_count], 0, sizeof eye.files[0]);
    snprintf(eye.files[eye.file_count].name, sizeof eye.files[0].name, "%s", name);
    return &eye.files[eye.file_count++];
}

static void map_file(struct seen_file *file, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    file->map = mmap(NULL, file->size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(file->map != MAP_FAILED);
    madvise(file->map, file->size, MADV_DONTFORK);
    close(fd);
    file->bytes = malloc(file->size);
    assert_non_null(file->bytes);
    memcpy(file->bytes, file->map, file->size);
}

static int look_at_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    struct seen_file *file = file_named(path + strlen(live_path));
    size_t size = kind == FTW_D ? 0 : (size_t)st->st_size;

    (void)where;
    file->found = true;
    if (file->inode != st->st_ino || file->size != size) {
        forget_file(file);
        file->inode = st->st_ino;
        file->is_directory = kind == FTW_D;
        file->size = size;
        if (size > 0) map_file(file, path);
        eye.changed = true;
    } else if (size > 0 && memcmp(file->bytes, file->map, size) != 0) {
        memcpy(file->bytes, file->map, size);
        eye.changed = true;
    }
    return 0;
}

static void find_windows(pid_t pid)
{
    char line[900];
    FILE *maps;

    snprintf(line, sizeof line, "/proc/%d/maps", (int)pid);
    maps = fopen(line, "r");
    assert_non_null(maps);
    eye.window_count = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to, at, inode;
        if (strstr(line, live_path) == NULL) continue;
        if (sscanf(line, "%lx-%lx rw-s %lx %*s %lu", &from, &to, &at, &inode) != 4) continue;
        for (size_t i = 0; i < eye.file_count; i++) {
            struct seen_file *file = &eye.files[i];
            size_t size = to - from;
            if (file->inode != inode || at >= file->size) continue;
            assert_true(eye.window_count < sizeof eye.windows / sizeof eye.windows[0]);
            if (size > file->size - at) size = file->size - at;
            eye.windows[eye.window_count++] =
                (struct window){file->map + at, file->bytes + at, size};
        }
    }
    fclose(maps);
}

/* After a system call, which may have changed anything. */
static bool look_everywhere(pid_t actor)
{
    eye.changed = false;
    for (size_t i = 0; i < eye.file_count; i++) eye.files[i].found = false;
    nftw(live_path, look_at_file, 16, FTW_PHYS);
    for (size_t i = 0; i < eye.file_count;) {
        if (eye.files[i].found) {
            i++;
            continue;
        }
        forget_file(&eye.files[i]);
        memmove(&eye.files[i], &eye.files[i + 1], (--eye.file_count - i) * sizeof eye.files[0]);
        eye.changed = true;
    }
    find_windows(actor);
    return eye.changed;
}

/* After another instruction, which can only have written to its maps. */
static bool look_at_windows(void)
{
    bool changed = false;

    for (size_t i = 0; i < eye.window_count; i++) {
        struct window *w = &eye.windows[i];
        if (memcmp(w->now, w->seen, w->size) == 0) continue;
        memcpy(w->seen, w->now, w->size);
        changed = true;
    }
    return changed;
}

/* ---- Copies ---- */

static void write_sparsely(const char *path, const uint8_t *bytes, size_t size)
{
    static const uint8_t zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    for (size_t at = 0; at < size; at += sizeof zeros) {
        size_t part = size - at < sizeof zeros ? size - at : sizeof zeros;
        if (memcmp(bytes + at, zeros, part) == 0) continue;
        assert_int_equal(pwrite(fd, bytes + at, part, (off_t)at), part);
    }
    close(fd);
}

/* What was seen last, in directory to. A file's directory was seen before it. */
static void copy_seen(const char *to)
{
    char path[900];

    test_remove(to);
    for (size_t i = 0; i < eye.file_count; i++) {
        const struct seen_file *file = &eye.files[i];
        snprintf(path, sizeof path, "%s%s", to, file->name);
        if (file->is_directory) assert_int_equal(mkdir(path, 0700), 0);
        else write_sparsely(path, file->bytes, file->size);
    }
}

/* The store before, at live_path. */
static void restore_base(void)
{
    char live[600];

    forget_all();
    snprintf(live, sizeof live, "%s", live_path);
    test_remove(live);
    snprintf(live_path, sizeof live_path, "%s", base_path);
    look_everywhere(getpid());
    snprintf(live_path, sizeof live_path, "%s", live);
    copy_seen(live_path);
    forget_all();
}

/* ---- The witness: a process that has the store open too ---- */

static struct {
    pid_t pid; /* 0: none */
    int ask;
    int answer;
} witness;

struct watcher {
    rill *store;
    rill_consumer *reader;
    rill_consumer *group;
};

/* What can be read at this moment: readers take no lock. The catalogue's do, and
 * would wait for an actor that stands still, so they are not asked. */
static bool witness_look(struct watcher *w)
{
    struct model all;
    struct sight sight;

    model_init(&all, true);
    sight = (struct sight){read_records(w->reader, &all), all.committed, all.other_topic};
    return is_done(&sight);
}

static bool can_look(void)
{
    return op->changes == RECORDS;
}

/* The actor is dead. What it had committed and not shown yet, in the log or in
 * the catalogue, comes to light when the next one takes the lock to write. */
static bool witness_goes_on(struct watcher *w)
{
    rill_producer *producer = open_producer(w->store, RILL_ACKS_WRITTEN);
    rill_consumer *own = open_group(w->store, "w");
    struct control words;
    struct control after;
    struct model model;
    struct sight sight;
    bool done;

    read_words(w->store, live_path, &words);
    MUST(append(producer, WITNESS, 1, &sight.end));
    read_words(w->store, live_path, &after);
    if (words.append_owner != 0 && epoch_in(&after) <= epoch_in(&words))
        wrong("the append lock's owner died, and the leader epoch is still %d", epoch_in(&after));
    check_zeros(w->store, live_path);
    MUST(commit_offset(own, 0));
    MUST(rill_consumer_close(own, WAIT_MS));
    sight.committed = committed(w->group);
    sight.other_topic = has_other_topic(w->store);
    done = is_done(&sight);
    model_init(&model, done);
    model_add(&model, WITNESS, 1);
    check_all(w->store, w->group, &model);
    go_on(w->store, w->group, &model, WITNESS + 4);
    MUST(rill_producer_close(producer, WAIT_MS));
    return done;
}

static void run_witness(int ask, int answer)
{
    struct watcher w = {NULL, NULL, NULL};
    char question;

    MUST(open_live_store(&w.store));
    w.group = open_group(w.store, "g");
    if (can_look()) {
        w.reader = open_reader(w.store);
        witness_look(&w);
    }
    for (question = 'r'; question != 0;) {
        char status = STATUS_BEFORE;
        if (question == 'l') status = witness_look(&w) ? STATUS_DONE : STATUS_BEFORE;
        if (question == 'g') status = witness_goes_on(&w) ? STATUS_DONE : STATUS_BEFORE;
        if (write(answer, &status, 1) != 1 || read(ask, &question, 1) != 1) _exit(1);
    }
    _exit(0);
}

/* The answer; -1 if it failed, with the failure's text. */
static int ask_witness(char question)
{
    struct pollfd ready = {witness.answer, POLLIN, 0};
    char status = -1;

    if (question != 0 && write(witness.ask, &question, 1) != 1) return -1;
    if (poll(&ready, 1, HANG_MS) != 1) {
        snprintf(failure->text, sizeof failure->text, "the witness hangs");
        return -1;
    }
    return read(witness.answer, &status, 1) == 1 ? status : -1;
}

static int start_witness(void)
{
    int ask[2];
    int answer[2];

    assert_int_equal(pipe2(ask, O_CLOEXEC), 0);
    assert_int_equal(pipe2(answer, O_CLOEXEC), 0);
    witness.pid = start_child();
    if (witness.pid == 0) {
        close(ask[1]);
        close(answer[0]);
        run_witness(ask[0], answer[1]);
    }
    close(ask[0]);
    close(answer[1]);
    witness.ask = ask[1];
    witness.answer = answer[0];
    return ask_witness(0) < 0 ? -1 : 0;
}

static void end_witness(void)
{
    if (witness.pid == 0) return;
    kill(witness.pid, SIGKILL);
    waitpid(witness.pid, NULL, 0);
    close(witness.ask);
    close(witness.answer);
    witness.pid = 0;
}

/* ---- The actor, step by step ---- */

static struct {
    pid_t pid;
    uint64_t steps;
    uint32_t calls;   /* of the system */
    uint32_t changes; /* crash points since the last of them */
    bool returned;
} actor;

/* A process that dies with the append lock and half a batch. */
static void append_and_die(void)
{
    pid_t pid = start_child();
    rill *store;

    if (pid == 0) {
        MUST(open_live_store(&store));
        MUST(append_in_place(open_producer(store, RILL_ACKS_WRITTEN), LATER, false));
        _exit(0);
    }
    if (end_child(pid) != 0) _exit(1);
}

static void run_actor(void)
{
    struct actor a = {NULL, NULL, NULL};
    rill_partition_info info;

    if (!op->opens) {
        MUST(open_live_store(&a.store));
        MUST(rill_partition_describe(a.store, "t", 0, &info));
        a.producer = open_producer(a.store, op->acks);
        a.consumer = open_group(a.store, "g");
    }
    if (op->prepared) {
        MUST(rill_maintain(a.store, NULL));
        nftw(live_path, find_next, 16, FTW_PHYS);
        if (!found_next) wrong("maintenance has not prepared a segment");
    }
    if (op->widowed) append_and_die();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(1);
    raise(SIGSTOP);
    MUST(op->run(&a));
    raise(SIGSTOP);
    _exit(0);
}

/* Stopped right before the operation; -1 if it did not get there. */
static int start_actor(void)
{
    int status;

    actor.steps = 0;
    actor.calls = actor.changes = 0;
    actor.returned = false;
    actor.pid = start_child();
    if (actor.pid == 0) run_actor();
    if (waitpid(actor.pid, &status, 0) == actor.pid && WIFSTOPPED(status))
        return (int)ptrace(PTRACE_SETOPTIONS, actor.pid, NULL,
                           (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD);
    actor.pid = 0;
    return -1;
}

static void kill_actor(void)
{
    if (actor.pid <= 0) return;
    kill(actor.pid, SIGKILL);
    waitpid(actor.pid, NULL, 0);
    actor.pid = 0;
}

/* Whether the next instruction enters the kernel. */
static bool at_system_call(void)
{
    struct user_regs_struct regs;
    struct iovec all = {&regs, sizeof regs};
    long word;

    if (ptrace(PTRACE_GETREGSET, actor.pid, (void *)(uintptr_t)NT_PRSTATUS, &all) != 0)
        return true;
    errno = 0;
#if defined(__x86_64__)
    word = ptrace(PTRACE_PEEKTEXT, actor.pid, (void *)(uintptr_t)regs.rip, NULL);
    return errno != 0 || (word & 0xffff) == 0x050f; /* syscall */
#elif defined(__aarch64__)
    word = ptrace(PTRACE_PEEKTEXT, actor.pid, (void *)(uintptr_t)regs.pc, NULL);
    return errno != 0 || (word & 0xffffffff) == 0xd4000001; /* svc #0 */
#else
    word = 0;
    return word == 0; /* not known here: look everywhere, always */
#endif
}

/* Lets it run as request says. 0: it stopped for the tracer, or at the end; -1:
 * it ended otherwise. */
static int resume(int request, int *stop_signal)
{
    int status;

    if (ptrace(request, actor.pid, NULL, NULL) != 0 ||
        waitpid(actor.pid, &status, 0) != actor.pid || !WIFSTOPPED(status)) {
        actor.pid = 0;
        return -1;
    }
    *stop_signal = WSTOPSIG(status);
    actor.returned = *stop_signal == SIGSTOP;
    if (actor.returned || (*stop_signal & 0x7f) == SIGTRAP) return 0;
    snprintf(failure->text, sizeof failure->text, "signal %d", *stop_signal);
    return -1;
}

/* One instruction: 1 if it changed files, 0 if not or it was the last one, -1
 * if the actor ended otherwise. */
static int step(void)
{
    bool kernel = at_system_call();
    bool changed;
    int stop_signal;

    if (resume(PTRACE_SINGLESTEP, &stop_signal) != 0) return -1;
    if (actor.returned) return 0;
    actor.steps++;
    changed = kernel ? look_everywhere(actor.pid) : look_at_windows();
    if (kernel) {
        actor.calls++;
        actor.changes = 0;
    } else if (changed) {
        actor.changes++;
    }
    return changed;
}

/* A crash point, by what has gone before it. */
struct place {
    uint32_t calls;
    uint32_t changes;
};
static struct place places[PLACES_MAX];
static size_t place_count;

static int run_to(const struct place *place)
{
    int stop_signal;

    while (actor.calls < place->calls && !actor.returned) {
        for (int i = 0; i < 2 && !actor.returned; i++) /* in, and out */
            if (resume(PTRACE_SYSCALL, &stop_signal) != 0) return -1;
        actor.calls++;
    }
    if (!actor.returned) look_everywhere(actor.pid);
    while (actor.changes < place->changes && actor.calls == place->calls && !actor.returned)
        if (step() < 0) return -1;
    return 0;
}

/* To the next crash point, or the return: 0, or -1. */
static int step_to_point(void)
{
    int rc = 0;

    while (rc == 0 && !actor.returned) rc = step();
    return rc < 0 ? -1 : 0;
}

/* ---- Jobs ---- */

struct course {
    uint64_t point; /* number of the crash point, from 1 */
    bool done;      /* somebody has found it done, */
    bool read;      /* and a reader, too */
    uint32_t violations;
};

static void note_violation(struct course *course, const char *what)
{
    uint32_t i = atomic_fetch_add(&board->violations, 1);

    course->violations++;
    if (i >= VIOLATIONS_MAX) return;
    board->violation[i].job = (uint64_t)job;
    snprintf(board->violation[i].text, sizeof board->violation[i].text,
             "%s, crash point %" PRIu64 ", instruction %" PRIu64 "%s: %s: %s", op->name,
             course->point, actor.steps, actor.returned ? " (returned)" : "", what,
             failure->text);
    failure->text[0] = '\0';
}

/* Takes what was found, -1 or STATUS_*, and holds it against what was before:
 * what a reader has seen is there after a kill, and not the other way round. */
static void judge(struct course *course, int status, const char *what)
{
    bool done = status == STATUS_DONE;

    if (status >= 0 && course->done && !done) {
        snprintf(failure->text, sizeof failure->text, "what had been done is gone");
        status = -1;
    }
    if (status >= 0 && actor.returned && op->changes != NOTHING && !done) {
        snprintf(failure->text, sizeof failure->text, "acknowledged and not there");
        status = -1;
    }
    if (status < 0) note_violation(course, what);
    else course->done = done;
}

static void judge_look(struct course *course)
{
    bool recovered = course->done;

    course->done = course->read;
    judge(course, ask_witness('l'), "read meanwhile");
    course->read = course->done;
    course->done |= recovered;
    look_everywhere(actor.pid); /* what the witness counts itself is not a step of the actor */
}

static int begin_course(struct course *course, bool with_witness)
{
    int rc;

    restore_base();
    course->done = course->read = false;
    rc = with_witness ? start_witness() : 0;
    if (rc == 0) rc = start_actor();
    if (rc == 0) look_everywhere(actor.pid);
    else note_violation(course, "before the operation");
    return rc;
}

static void end_course(void)
{
    kill_actor();
    end_witness();
    forget_all();
}

static void note_place(void)
{
    assert_true(place_count < PLACES_MAX);
    places[place_count++] = (struct place){actor.calls, actor.changes};
}

/* Where the crash points are when somebody else has the store open. */
static void find_places(struct course *course)
{
    place_count = 0;
    if (begin_course(course, true) != 0) return;
    while (step_to_point() == 0 && !actor.returned) note_place();
    if (!actor.returned) note_violation(course, "the operation");
    end_course();
}

static void check_point_after(struct course *course)
{
    if (witness.pid != 0 && can_look()) judge_look(course);
    copy_seen(copy_path);
    judge(course, check_after(copy_path, actor.returned), "after a kill");
    board->counts[job].after++;
    atomic_fetch_add(&board->checked, 1);
}

static void prove_after(struct course *course, uint64_t stride, uint64_t phase)
{
    place_count = 0;
    if (begin_course(course, !op->opens) != 0) return;
    while (course->violations < GIVE_UP_AFTER) {
        if (step_to_point() != 0) {
            note_violation(course, "the operation");
            break;
        }
        if (!actor.returned) note_place();
        course->point = place_count;
        if (actor.returned || course->point % stride == phase) check_point_after(course);
        if (actor.returned) break;
    }
    board->counts[job].points = place_count;
    board->counts[job].instructions = actor.steps;
    end_course();
}

static void check_point_beside(struct course *course, const struct place *place)
{
    if (begin_course(course, true) != 0) return;
    if (run_to(place) != 0) note_violation(course, "the operation");
    else if (can_look()) judge_look(course);
    kill_actor();
    judge(course, ask_witness('g'), "beside a survivor");
    board->counts[job].beside++;
    atomic_fetch_add(&board->checked, 1);
    end_course();
}

static void prove_beside(struct course *course, uint64_t stride, uint64_t phase)
{
    static const struct place the_end = {UINT32_MAX, 0};

    if (op->opens) find_places(course);
    for (size_t i = phase; i < place_count && course->violations < GIVE_UP_AFTER; i += stride) {
        course->point = i + 1;
        check_point_beside(course, &places[i]);
    }
    course->point = place_count;
    if (course->violations < GIVE_UP_AFTER) check_point_beside(course, &the_end);
}

static void run_job(int which, uint64_t budget, uint64_t seed)
{
    struct test_random dice = {seed * 2 + 1 + (uint64_t)which};
    uint64_t stride = budget >= ABOUT ? 1 : ABOUT / (budget + 1) + 1;
    uint64_t phase = test_random_below(&dice, stride);
    struct course course = {.point = 0};
    pid_t pid;

    job = which;
    op = &operations[which];
    snprintf(base_path, sizeof base_path, "%s/base%d", getenv("TMPDIR"), which);
    snprintf(live_path, sizeof live_path, "%s/live%d", getenv("TMPDIR"), which);
    snprintf(copy_path, sizeof copy_path, "%s/copy%d", getenv("TMPDIR"), which);
    pid = start_child();
    if (pid == 0) make_base();
    if (end_child(pid) < 0) {
        note_violation(&course, "making the store");
        return;
    }
    prove_after(&course, stride, phase);
    prove_beside(&course, stride, phase);
    test_remove(base_path);
    test_remove(live_path);
    test_remove(copy_path);
}

/* ---- Workers ---- */

/* The tracer and what it traces take turns: on one processor that is fastest. */
static void stay_on_processor(int n)
{
    cpu_set_t allowed;
    cpu_set_t one;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    n %= CPU_COUNT(&allowed);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &allowed) || n-- > 0) continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static void run_worker(int worker, uint64_t budget, uint64_t seed)
{
    uint32_t which;

    failure = test_shared(sizeof *failure);
    stay_on_processor(worker);
    while ((which = atomic_fetch_add(&board->next_job, 1)) < JOBS)
        run_job((int)which, budget, seed);
    _exit(0);
}

static void run_workers(uint64_t budget, uint64_t seed)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int workers = processors > JOBS ? JOBS : (int)processors;
    int status;

    fflush(NULL);
    for (int i = 0; i < workers; i++)
        if (start_child() == 0) run_worker(i, budget, seed);
    while (wait(&status) > 0)
        if (status != 0) proof_violation(0, "a worker ended with status %#x", (unsigned)status);
}

/* Whether a child can be traced here. */
static bool can_step(void)
{
    pid_t pid = start_child();
    int status;
    bool can;

    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return false;
    can = ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid &&
          WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return can;
}

static const char *why_not(void)
{
    const char *runner = getenv("RILL_RUNNER");

#ifdef SANITIZED
    return "a sanitizer's instructions are not the library's";
#endif
    if (getenv("RILL_TEST_EMULATED") != NULL || (runner != NULL && runner[0] != '\0'))
        return "an emulator cannot be stepped through";
    return can_step() ? NULL : "ptrace is not permitted";
}

static void print_counts(void)
{
    for (int i = 0; i < JOBS; i++) {
        const struct count *c = &board->counts[i];
        if (c->points == 0) continue;
        printf("%-26s %7" PRIu64 " instructions, %4" PRIu64 " crash points, checked: %4" PRIu64
               " after, %4" PRIu64 " beside\n",
               operations[i].name, c->instructions, c->points, c->after, c->beside);
    }
}

/* A repeated string instruction is stepped through byte by byte: glibc is asked
 * to clear and copy without, which it takes at its start only. */
static void start_without_repeats(char **argv)
{
    if (getenv("GLIBC_TUNABLES") != NULL) return;
    setenv("GLIBC_TUNABLES",
           "glibc.cpu.x86_rep_stosb_threshold=1073741824:"
           "glibc.cpu.x86_rep_movsb_threshold=1073741824",
           1);
    execv("/proc/self/exe", argv); /* if it cannot, it takes longer */
}

int main(int argc, char **argv)
{
    const char *reason = why_not();
    const char *one = getenv("JOB");
    uint64_t seed;
    uint64_t budget;

    (void)argc;
    if (reason != NULL) {
        printf("%s\n", reason);
        return 77;
    }
    start_without_repeats(argv);
    seed = proof_seed();
    budget = proof_budget(1000000, 200);
    board = test_shared(sizeof *board);
    proof_in_memory();
    setenv("TMPDIR", test_directory(), 1);
    if (one != NULL) {
        failure = test_shared(sizeof *failure);
        stay_on_processor(0);
        run_job(atoi(one) % JOBS, budget, seed);
    } else {
        run_workers(budget, seed);
    }
    test_remove(getenv("TMPDIR"));
    for (uint32_t i = 0; i < atomic_load(&board->violations); i++)
        if (i < VIOLATIONS_MAX)
            proof_violation(board->violation[i].job, "%s", board->violation[i].text);
    print_counts();
    return proof_end("everyinstruction", atomic_load(&board->checked));
}
