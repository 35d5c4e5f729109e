/*
 * realfs.c - power cuts on real file systems: ext4, XFS, btrfs.
 *
 * A store is worked on in a file system on a device that writes down all writes
 * and flushes (blockdev.h). From what it wrote down follow the states it may have
 * been left in by a power cut at any moment: all up to the last flush before it,
 * and of what came after that a random part, torn between sectors. Each such image
 * is mounted, by the file system's own recovery, and opened by rill:
 *
 *     the store opens; a topic whose creation returned is there, one whose
 *     deletion returned is not;
 *     a partition holds all that was durable, and of what came behind it a
 *     prefix, every byte as it was given, without a gap;
 *     a committed offset is the last one acknowledged, or one on its way, and
 *     never beyond the end;
 *     leader epochs go up; appending goes on; at the next boot that is there, and
 *     nothing of what was cut.
 *
 * Then one of the images is worked on, and so on: cuts fall into recoveries too, the
 * file system's and rill's.
 *
 * What was acknowledged is noted with the number of requests that the device had
 * got by then, read after the acknowledgement; what is attempted before it begins.
 *
 * Beside them some images are of a device that lies: from some moment on its flushes
 * did nothing. If none of these is found out, that is a violation.
 *
 * When requests come is up to the kernel, so the seed repeats a run only roughly.
 * An image with a violation is kept in a file in the build directory, and LOG=FILE
 * checks that one again, to the byte, and tells what became of every request.
 *
 * BUDGET counts images. A file system that cannot be made or mounted here is left
 * out; exits 77 if all are, or there is no FUSE, no loop device, no root.
 */
#include "proof.h"
#include "blockdev.h"
#include "os/sys.h"
#include <errno.h>
#include <inttypes.h>
#include <rill.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    PARTITIONS = 2,
    RECORDS_MAX = 400,
    VALUE_MAX = 6000,
    VALUE_COMMON = 900,
    WAIT = 20000,
    BROKEN = 3
};
enum { STEPS_MAX = 60, IMAGES_MAX = 40, NOTES_MAX = 1000, GENERATIONS = 6, PATIENCE_MS = 60000 };
enum { LIES_EVERY = 8 /* images, one is of a device that lies */ };

#define CHECK(rule)                                                                              \
    do {                                                                                         \
        if (!(rule)) {                                                                           \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #rule,               \
                    rill_errmsg());                                                              \
            _exit(BROKEN);                                                                       \
        }                                                                                        \
    } while (0)
#define MUST(call) CHECK((call) == 0)
/* lesser <= value <= greater, or shows all three. */
#define WITHIN(value, lesser, greater)                                                           \
    do {                                                                                         \
        int64_t is = (value), least = (lesser), most = (greater);                                \
        if (is < least || is > most)                                                             \
            fprintf(stderr, "%s is %" PRId64 ", not in [%" PRId64 ", %" PRId64 "]\n", #value,    \
                    is, least, most);                                                            \
        CHECK(is >= least && is <= most);                                                        \
    } while (0)

static const struct file_system_kind {
    const char *name;
    const char *make; /* program and arguments, before the file */
    const char *options;
    uint64_t size;
    uint64_t super_at; /* of the superblock, which it takes for written whole or not at all */
    uint32_t images;   /* of one recording */
    uint32_t share;    /* of the budget, in a hundred */
} kinds[] = {
    {"ext4", "mkfs.ext4 -q -F -b 4096 -E lazy_itable_init=0,nodiscard", "", 32 << 20, 1024, 40,
     50},
    {"xfs", "mkfs.xfs -q -f -K", "", 320 << 20, 0, 20, 25},
    {"btrfs", "mkfs.btrfs -q -f -K", "nodiscard", 128 << 20, 65536, 20, 25},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* What has been promised. */
struct model {
    bool topic_made;
    bool other_known; /* whether topic "other" is there is certain */
    bool other_made;
    struct {
        uint32_t numbers[RECORDS_MAX]; /* of the record at each offset */
        int64_t end;                   /* appended and acknowledged */
        int64_t attempted;             /* with what is on its way */
        int64_t durable;
        int64_t committed; /* -1: never */
        int64_t committing;
        int32_t epoch;
    } partitions[PARTITIONS];
};

/* The model from request `at` of the device on. */
struct note {
    uint64_t at;
    struct model model;
};

/* What the processes of a file system share. */
struct shared {
    uint64_t torn; /* partitions in which records were cut, by who looked last */
    uint64_t note_count;
    struct note notes[NOTES_MAX];
};

/* What the parent hears of a file system. */
static struct result {
    uint64_t cases;
    uint64_t violations;
    uint64_t recordings;
    uint64_t requests;
    uint64_t flushes;
    uint64_t torn; /* images in which records were cut */
    uint64_t lies;
    uint64_t lies_caught;
    uint64_t lies_unmountable;
    int64_t ms;
    char skipped[100]; /* why */
} * results;

static const struct file_system_kind *kind;
static struct result *result;
static struct shared *shared;
static struct tape *tape;
static struct test_random dice;
static uint64_t seed;
static char fuse_dir[600];
static char disk_dir[600];
static char store_dir[700];

static struct model model;
static uint32_t next_number;
static rill *store;
static rill_producer *written;
static rill_producer *durable;
static rill_consumer *consumer;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

/* ---- A boot of its own for every mount ---- */

static char boot_id[40];

static void boot(void)
{
    snprintf(boot_id, sizeof boot_id, "%016" PRIx64 "%016" PRIx64, test_random_next(&dice),
             test_random_next(&dice));
}

static int open_with_boot(int dir, const char *name, int flags, ...)
{
    int fd;

    if (strcmp(name, "/proc/sys/kernel/random/boot_id") != 0)
        return (int)syscall(SYS_openat, dir, name, flags, 0600);
    fd = (int)syscall(SYS_memfd_create, "boot_id", 1u);
    CHECK(fd >= 0 && pwrite(fd, boot_id, 32, 0) == 32);
    return fd;
}

/* ---- Records that follow from their number ---- */

/* One in four numbers has a value of the common size. */
static uint32_t common(uint32_t number)
{
    return number | 3;
}

static size_t value_of(uint32_t number, uint8_t *value)
{
    struct test_random bytes = {number * UINT64_C(77777) + 1};
    size_t size = 8 + test_random_below(&bytes, number % 4 == 0 ? VALUE_MAX - 8 : 300);

    if (number == common(number)) size = VALUE_COMMON;

    memset(value, (int)(test_random_next(&bytes) & 0xff), size);
    memcpy(value, &number, sizeof number);
    return size;
}

static void check_record(const rill_record *record, uint32_t number)
{
    uint8_t value[VALUE_MAX];
    size_t size = value_of(number, value);

    CHECK(record->value.size == size);
    CHECK(memcmp(record->value.data, value, size) == 0);
}

/* ---- The work ---- */

/* The model has changed: before what is attempted begins, and after it returned. */
static void note(void)
{
    struct note *next = &shared->notes[shared->note_count];

    CHECK(shared->note_count < NOTES_MAX);
    next->at = atomic_load(&tape->count);
    next->model = model;
    shared->note_count++;
}

static void append_some(int p, size_t count, bool durably)
{
    static uint8_t values[5][VALUE_MAX];
    rill_record records[5];
    rill_offset offset;

    if (model.partitions[p].end + (int64_t)count > RECORDS_MAX) return;
    for (size_t i = 0; i < count; i++) {
        uint32_t number = next_number++;
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = p;
        records[i].value = (rill_bytes){values[i], value_of(number, values[i])};
        model.partitions[p].numbers[model.partitions[p].end + (int64_t)i] = number;
    }
    model.partitions[p].attempted = model.partitions[p].end + (int64_t)count;
    note();
    MUST(rill_producer_append(durably ? durable : written, records, count, WAIT, &offset));
    CHECK(offset == model.partitions[p].end);
    model.partitions[p].end = model.partitions[p].attempted;
    if (durably) model.partitions[p].durable = model.partitions[p].end;
    note();
}

/* A batch of the common size: what stands behind one that was cut would fit to it. */
static void append_common(int p, bool durably)
{
    next_number = common(next_number);
    append_some(p, 1, durably);
}

static void append_in_place(int p)
{
    rill_record shape = RILL_RECORD_INIT;
    uint8_t value[VALUE_MAX];
    rill_reservation room;
    uint32_t number = next_number++;

    if (model.partitions[p].end == RECORDS_MAX) return;
    shape.partition = p;
    shape.value.size = value_of(number, value);
    model.partitions[p].numbers[model.partitions[p].end] = number;
    model.partitions[p].attempted = model.partitions[p].end + 1;
    note();
    MUST(rill_producer_reserve(written, &shape, WAIT, &room));
    memcpy(room.value, value, room.value_size);
    MUST(rill_producer_commit(written, NULL));
    model.partitions[p].end++;
}

static void sync_store(void)
{
    MUST(rill_sync(store, WAIT));
    for (int p = 0; p < PARTITIONS; p++) model.partitions[p].durable = model.partitions[p].end;
    note();
}

static void commit(int p)
{
    int64_t offset = (int64_t)roll((uint64_t)model.partitions[p].end + 1);
    rill_position position = {"t", p, -1, offset, NULL};

    model.partitions[p].committing = offset;
    note();
    MUST(rill_consumer_commit(consumer, &position, 1));
    model.partitions[p].committed = offset;
    note();
}

static void change_other_topic(void)
{
    bool there = model.other_made;

    model.other_known = false;
    note();
    if (there) MUST(rill_topic_delete(store, "other"));
    else MUST(rill_topic_create(store, "other", NULL));
    model.other_made = !there;
    model.other_known = true;
    note();
}

static void open_clients(void)
{
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_consumer_options in = {.size = sizeof in, .group = "g"};

    MUST(rill_producer_open(store, &out, &written));
    out.acks = RILL_ACKS_DURABLE;
    MUST(rill_producer_open(store, &out, &durable));
    MUST(rill_consumer_open(store, &in, &consumer));
}

static void close_store(void)
{
    MUST(rill_consumer_close(consumer, WAIT));
    MUST(rill_producer_close(written, WAIT));
    MUST(rill_producer_close(durable, WAIT));
    MUST(rill_close(store));
}

/* With or without a thread that syncs and prepares segments meanwhile. */
static void open_store(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};

    if (roll(2) == 0) options.flags |= RILL_OPEN_THREAD;
    if (roll(2) == 0) options.sync_interval_ms = 2;
    MUST(rill_open(store_dir, &options, &store));
}

static void work(void)
{
    for (uint64_t steps = roll(STEPS_MAX); steps > 0; steps--) {
        int p = (int)roll(PARTITIONS);
        switch (roll(16)) {
        case 0: sync_store(); break;
        case 1:
        case 2: commit(p); break;
        case 3: MUST(rill_maintain(store, NULL)); break;
        case 4: append_in_place(p); break;
        case 5: change_other_topic(); break;
        case 6:
            if (roll(2) == 0) break;
            close_store();
            open_store();
            open_clients();
            break;
        case 7:
        case 8:
        case 9: append_some(p, 1 + roll(5), roll(4) == 0); break;
        default: append_common(p, roll(4) == 0); break;
        }
    }
}

/* ---- After a cut ---- */

static void check_topics(void)
{
    rill_topic_options options = {
        .size = sizeof options, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    rill_topic_info info;
    int rc = rill_topic_describe(store, "t", &info);

    if (model.topic_made) MUST(rc);
    if (rc != 0) MUST(rill_topic_create(store, "t", &options));
    model.topic_made = true;
    rc = rill_topic_describe(store, "other", &info);
    CHECK(rc == 0 || rc == RILL_ERR_NOT_FOUND);
    if (model.other_known) CHECK((rc == 0) == model.other_made);
    model.other_made = rc == 0;
    model.other_known = true;
    note();
}

static void check_records(int p, int64_t end)
{
    rill_position from = {"t", p, -1, 0, NULL};
    rill_consumer *reader;
    rill_record records[64];
    int64_t offset = 0;
    size_t count;

    MUST(rill_consumer_open(store, NULL, &reader));
    MUST(rill_consumer_assign(reader, &from, 1));
    do {
        MUST(rill_consumer_poll(reader, 0, records, 64, &count));
        for (size_t i = 0; i < count; i++, offset++) {
            CHECK(records[i].offset == offset);
            check_record(&records[i], model.partitions[p].numbers[offset]);
        }
    } while (count > 0);
    WITHIN(offset, end, end);
    MUST(rill_consumer_close(reader, WAIT));
}

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

static void check_committed(int p, int64_t end)
{
    rill_position position;
    int64_t now;

    MUST(rill_consumer_committed(consumer, "t", p, &position, NULL, 0));
    now = position.offset == RILL_OFFSET_NONE ? -1 : position.offset;
    if (now != at_most(model.partitions[p].committed, end))
        WITHIN(now, at_most(model.partitions[p].committing, end),
               at_most(model.partitions[p].committing, end));
    model.partitions[p].committed = model.partitions[p].committing = now;
}

static void check_partition(int p)
{
    rill_partition_info info;

    MUST(rill_partition_describe(store, "t", p, &info));
    WITHIN(info.log_end, model.partitions[p].durable, model.partitions[p].attempted);
    CHECK(info.leader_epoch > model.partitions[p].epoch);
    CHECK(info.durable_end == info.log_end);
    shared->torn += info.log_end < model.partitions[p].attempted;
    check_records(p, info.log_end);
    check_committed(p, info.log_end);
    /* What recovery found is durable, and the rest is gone for ever. */
    model.partitions[p].end = info.log_end;
    model.partitions[p].attempted = info.log_end;
    model.partitions[p].durable = info.log_end;
    model.partitions[p].epoch = info.leader_epoch;
    note();
}

static void open_what_is_left(void)
{
    open_store();
    check_topics();
    open_clients();
    for (int p = 0; p < PARTITIONS; p++) check_partition(p);
}

/* A process of its own; what it has to say goes nowhere if it is expected. */
static pid_t start_child(bool quiet)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (quiet) CHECK(freopen("/dev/null", "w", stderr) != NULL);
    rill__sys.openat = open_with_boot;
    return 0;
}

static int check_mounted(bool quiet)
{
    pid_t pid;

    boot();
    shared->torn = 0;
    pid = start_child(quiet);
    if (pid == 0) {
        struct shared *parents = shared;
        shared = calloc(1, sizeof *shared); /* its notes nobody reads */
        CHECK(shared != NULL);
        open_what_is_left();
        parents->torn = shared->torn;
        for (int p = 0; p < PARTITIONS; p++) append_common(p, true);
        close_store();
        boot(); /* once more: that has come to it, and nothing else */
        open_what_is_left();
        close_store();
        _exit(0);
    }
    return blockdev_wait(pid, PATIENCE_MS);
}

enum verdict { KEPT, LOST, UNMOUNTABLE };

/* What is in the file, against the model; which stays as it is. */
static enum verdict check_image(int fd, bool quiet)
{
    int rc = blockdev_mount(fd, disk_dir, kind->name, kind->options);
    int status;

    if (rc != 0) {
        if (!quiet) fprintf(stderr, "%s: cannot be mounted: %s\n", kind->name, strerror(rc));
        return UNMOUNTABLE;
    }
    status = check_mounted(quiet);
    if (status != 0 && !quiet)
        fprintf(stderr, "%s: the one who looks ended with %#x\n", kind->name, (unsigned)status);
    rc = blockdev_unmount(disk_dir);
    CHECK(rc == 0);
    return status == 0 ? KEPT : LOST;
}

/* ---- An image, kept ---- */

static const char log_magic[8] = "REALFS1";

struct log_header {
    char magic[8];
    char kind[16];
    uint64_t seed;
    uint64_t which;
    uint64_t model_size;
    uint64_t image_size;
    uint64_t pages;
    uint64_t events;
    uint64_t dice; /* as they lay when the image was made */
};

static void keep(const struct image *image, uint64_t from, uint64_t to, uint64_t dice_state)
{
    struct log_header header = {.seed = seed,
                                .which = result->cases,
                                .model_size = sizeof model,
                                .image_size = image->size,
                                .events = to - from,
                                .dice = dice_state};
    const char *build = getenv("RILL_BUILD");
    char path[700];
    FILE *file;

    snprintf(path, sizeof path, "%s/realfs-%s-%" PRIu64 "-%" PRIu64 ".log",
             build != NULL ? build : ".", kind->name, seed, result->cases);
    file = fopen(path, "w");
    CHECK(file != NULL);
    memcpy(header.magic, log_magic, sizeof log_magic);
    strncpy(header.kind, kind->name, sizeof header.kind - 1);
    for (uint64_t page = 0; page < image->size / IMAGE_PAGE; page++)
        header.pages += image->used[page];
    fwrite(&header, sizeof header, 1, file);
    fwrite(&model, sizeof model, 1, file);
    for (uint64_t page = 0; page < image->size / IMAGE_PAGE; page++) {
        if (!image->used[page]) continue;
        fwrite(&page, sizeof page, 1, file);
        fwrite(image->data + page * IMAGE_PAGE, IMAGE_PAGE, 1, file);
    }
    for (uint64_t i = from; i < to; i++) {
        fwrite(&tape->events[i], sizeof tape->events[i], 1, file);
        fwrite(tape->data + tape->events[i].data, 1, tape->events[i].size, file);
    }
    CHECK(fclose(file) == 0);
    printf("LOG=%s is it\n", path);
}

static void take(FILE *file, void *data, size_t size)
{
    if (size > 0 && fread(data, size, 1, file) != 1) {
        fprintf(stderr, "the log ends early\n");
        exit(1);
    }
}

/* ---- Recordings ---- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void violation(const char *what)
{
    result->violations++;
    fprintf(stderr, "%s, case %" PRIu64 ": %s\n", kind->name, result->cases, what);
}

static int open_disk(void)
{
    char path[700];

    snprintf(path, sizeof path, "%s/disk", fuse_dir);
    return open(path, O_RDWR | O_CLOEXEC);
}

static int work_mounted(void)
{
    uint64_t own = test_random_next(&dice);
    pid_t pid;

    boot();
    pid = start_child(false);
    if (pid == 0) {
        dice.state = own;
        note();
        open_what_is_left();
        work();
        if (roll(3) == 0) close_store();
        _exit(0); /* with what is in the page cache */
    }
    return blockdev_wait(pid, PATIENCE_MS);
}

/* Works on the image, from what the model says, and notes all. False: no good. */
static bool record(const struct image *image)
{
    pid_t daemon;
    int status = -1;
    int fd;
    int rc;

    tape_reset(tape);
    shared->note_count = 0;
    daemon = blockdev_start(fuse_dir, image, tape);
    CHECK(daemon > 0);
    fd = open_disk();
    CHECK(fd >= 0);
    rc = blockdev_mount(fd, disk_dir, kind->name, kind->options);
    close(fd);
    if (rc == 0) {
        status = work_mounted();
        if (roll(2) == 0) atomic_store(&tape->stopped, 1);
        rc = blockdev_unmount(disk_dir);
    }
    blockdev_stop(daemon, fuse_dir);
    CHECK(rc == 0 && !atomic_load(&tape->full));
    if (status != 0) violation("the one who works has failed");
    result->recordings++;
    result->requests += atomic_load(&tape->count);
    for (uint64_t i = 0; i < atomic_load(&tape->count); i++)
        result->flushes += tape->events[i].flush;
    return status == 0;
}

/* What was promised when the device had got so many requests. */
static const struct model *promised(uint64_t at, const struct model *before)
{
    const struct model *last = before;

    for (uint64_t i = 0; i < shared->note_count && shared->notes[i].at <= at; i++)
        last = &shared->notes[i].model;
    return last;
}

static int new_file(void)
{
    int fd = (int)syscall(SYS_memfd_create, "image", 1u);

    CHECK(fd >= 0);
    return fd;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* What the device holds if the power goes at request `to`, when all before `from`
 * is on it for sure; checked. */
static enum verdict cut(const struct image *image, uint64_t from, uint64_t to, bool lies,
                        struct image *copy)
{
    uint64_t dice_state = dice.state;
    enum verdict verdict;
    int fd = new_file();

    image_store(image, fd);
    tape_apply_some(tape, from, to, kind->super_at, &dice, false, fd);
    if (copy != NULL) image_load(copy, fd);
    verdict = check_image(fd, lies);
    close(fd);
    if (verdict != KEPT && !lies) keep(image, from, to, dice_state);
    return verdict;
}

/* A device of which all flushes from some request on did nothing. */
static void cut_lying(const struct image *image, struct image *scratch,
                      const struct model *before)
{
    uint64_t to = roll(atomic_load(&tape->count) + 1);
    uint64_t from = roll(to + 1);
    enum verdict verdict;

    image_copy(scratch, image);
    tape_apply(tape, 0, from, scratch);
    model = *promised(to, before);
    verdict = cut(scratch, from, to, true, NULL);
    result->lies++;
    result->lies_caught += verdict == LOST;
    result->lies_unmountable += verdict == UNMOUNTABLE;
}

/* Cuts what was recorded on the image, which is used up; it and the model become
 * what one of the cuts has left: any, or one that a tail was cut from. */
static void cut_recording(struct image *image, struct image *next, uint64_t images)
{
    const struct model before = model;
    struct model next_model = model;
    uint64_t count = atomic_load(&tape->count);
    uint64_t first = roll(images);
    bool torn_one = roll(2) == 0;
    bool found = false;
    uint64_t done = 0; /* on the image */
    uint64_t cuts[IMAGES_MAX];

    for (uint64_t i = 0; i < images; i += LIES_EVERY) cut_lying(image, next, &before);
    for (uint64_t i = 0; i < images; i++) cuts[i] = roll(count + 1);
    qsort(cuts, images, sizeof cuts[0], ascending);
    for (uint64_t i = 0; i < images; i++) {
        bool choose = i >= first && !found;
        uint64_t flushed = tape_flushed(tape, done, cuts[i]);

        tape_apply(tape, done, flushed, image);
        done = flushed;
        model = *promised(cuts[i], &before);
        if (choose) next_model = model;
        if (cut(image, done, cuts[i], false, choose ? next : NULL) != KEPT)
            violation("a promise is broken");
        found = found || (choose && (!torn_one || shared->torn > 0));
        result->torn += shared->torn > 0;
        result->cases++;
    }
    image_copy(image, next);
    model = next_model;
}

/* ---- A file system ---- */

static bool make_file_system(struct image *image)
{
    char command[300];
    int fd = new_file();
    int rc;

    CHECK(ftruncate(fd, (off_t)kind->size) == 0);
    snprintf(command, sizeof command,
             "PATH=$PATH:/sbin:/usr/sbin; %s /proc/%d/fd/%d >/dev/null 2>&1", kind->make,
             (int)getpid(), fd);
    rc = system(command);
    if (rc == 0) {
        image_load(image, fd);
        rc = blockdev_mount(fd, disk_dir, kind->name, kind->options);
        if (rc == 0) rc = blockdev_unmount(disk_dir);
        if (rc != 0)
            snprintf(result->skipped, sizeof result->skipped, "cannot be mounted: %s",
                     strerror(rc));
    } else {
        snprintf(result->skipped, sizeof result->skipped, "%.10s cannot make one", kind->make);
    }
    close(fd);
    return rc == 0;
}

static void set_up(const struct file_system_kind *which)
{
    kind = which;
    result = &results[which - kinds];
    dice.state = seed * 2 + 1 + (uint64_t)(which - kinds) * UINT64_C(1000003);
    snprintf(fuse_dir, sizeof fuse_dir, "%s/%s-fuse", getenv("TMPDIR"), kind->name);
    snprintf(disk_dir, sizeof disk_dir, "%s/%s", getenv("TMPDIR"), kind->name);
    snprintf(store_dir, sizeof store_dir, "%s/store", disk_dir);
    CHECK(mkdir(fuse_dir, 0700) == 0 && mkdir(disk_dir, 0700) == 0);
    shared = test_shared(sizeof *shared);
    tape = tape_new();
}

static void run_kind(uint64_t budget)
{
    struct image pristine;
    struct image image;
    struct image next;
    int64_t began = now_ms();

    image_init(&pristine, kind->size);
    image_init(&image, kind->size);
    image_init(&next, kind->size);
    if (!make_file_system(&pristine)) return;
    while (result->cases < budget && result->violations < 5) {
        bool good = true;
        image_copy(&image, &pristine);
        memset(&model, 0, sizeof model);
        model.other_known = true;
        for (int p = 0; p < PARTITIONS; p++)
            model.partitions[p].committed = model.partitions[p].committing = -1;
        for (int i = 0; i < GENERATIONS && good && result->cases < budget; i++) {
            uint64_t left = budget - result->cases;
            uint64_t violations = result->violations;
            next_number = (uint32_t)(result->recordings + 1) * 10000;
            good = record(&image);
            if (good) cut_recording(&image, &next, left < kind->images ? left : kind->images);
            good = good && result->violations == violations;
        }
    }
    result->ms = now_ms() - began;
}

static void tell(const struct file_system_kind *which, const struct result *r)
{
    if (r->skipped[0] != '\0') {
        printf("%s: left out, %s\n", which->name, r->skipped);
        return;
    }
    printf("%s: %" PRIu64 " images of %" PRIu64 " recordings with %" PRIu64
           " requests, of these %" PRIu64 " flushes; a tail was cut in %" PRIu64 "; %" PRId64
           " ms each\n",
           which->name, r->cases, r->recordings, r->requests, r->flushes, r->torn,
           r->cases > 0 ? r->ms / (int64_t)r->cases : 0);
}

/* All file systems at once, each in a process of its own; how many cases. */
static uint64_t run_all(uint64_t budget)
{
    pid_t pids[KINDS];
    uint64_t cases = 0;

    fflush(NULL);
    for (int i = 0; i < KINDS; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] != 0) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        set_up(&kinds[i]);
        run_kind((budget * kinds[i].share + 99) / 100);
        fflush(NULL);
        _exit(0);
    }
    for (int i = 0; i < KINDS; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        tell(&kinds[i], &results[i]);
        if (status != 0)
            proof_violation(results[i].cases, "%s: the harness ended with %#x", kinds[i].name,
                            (unsigned)status);
        for (uint64_t v = 0; v < results[i].violations; v++)
            proof_violation(results[i].cases, "%s: see above", kinds[i].name);
        cases += results[i].cases;
    }
    return cases;
}

static void tell_control(void)
{
    uint64_t lies = 0;
    uint64_t caught = 0;
    uint64_t unmountable = 0;

    for (int i = 0; i < KINDS; i++) {
        lies += results[i].lies;
        caught += results[i].lies_caught;
        unmountable += results[i].lies_unmountable;
    }
    printf("control: %" PRIu64 " of %" PRIu64 " lying flushes caught, %" PRIu64
           " more cannot be mounted\n",
           caught, lies, unmountable);
    if (caught == 0) proof_violation(0, "no lying flush was caught");
}

/* The image of a log, again. */
static int run_log(const char *path)
{
    FILE *file = fopen(path, "r");
    struct log_header header;
    struct image image;
    char number[24];
    int which = 0;
    int fd;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    take(file, &header, sizeof header);
    while (which < KINDS && strcmp(kinds[which].name, header.kind) != 0) which++;
    if (memcmp(header.magic, log_magic, sizeof log_magic) != 0 || which == KINDS ||
        header.model_size != sizeof model || header.events > TAPE_EVENTS) {
        fprintf(stderr, "%s: no log of this program\n", path);
        return 1;
    }
    snprintf(number, sizeof number, "%" PRIu64, header.seed);
    setenv("SEED", number, 1);
    seed = proof_seed();
    set_up(&kinds[which]);
    dice.state = header.dice;
    take(file, &model, sizeof model);
    image_init(&image, header.image_size);
    for (uint64_t i = 0; i < header.pages; i++) {
        uint8_t data[IMAGE_PAGE];
        uint64_t page;
        take(file, &page, sizeof page);
        take(file, data, sizeof data);
        image_write(&image, page * IMAGE_PAGE, data, sizeof data);
    }
    for (uint64_t i = 0; i < header.events; i++) {
        struct tape_event *event = &tape->events[i];
        take(file, event, sizeof *event);
        event->data = tape->data_size;
        take(file, tape->data + event->data, event->size);
        tape->data_size += event->size;
    }
    fclose(file);
    next_number = UINT32_MAX / 2;
    fd = new_file();
    image_store(&image, fd);
    tape_apply_some(tape, 0, header.events, kind->super_at, &dice, true, fd);
    if (check_image(fd, false) != KEPT) proof_violation(header.which, "%s: see above", path);
    test_directory_remove();
    return proof_end("realfs", 1);
}

int main(void)
{
    const char *missing = blockdev_missing();
    const char *log = getenv("LOG");
    uint64_t cases;

    if (missing == NULL && !blockdev_enter()) missing = "no mount namespace";
    if (missing != NULL) {
        printf("%s\n", missing);
        return 77;
    }
    results = test_shared(sizeof *results * KINDS);
    setenv("TMPDIR", test_directory(), 1);
    if (log != NULL) return run_log(log);
    seed = proof_seed();
    cases = run_all(proof_budget(16000, getenv("RILL_TEST_SLOW") != NULL ? 100 : 400));
    test_directory_remove();
    if (cases == 0 && proof_violations() == 0) {
        printf("no file system can be made and mounted here\n");
        return 77;
    }
    tell_control();
    return proof_end("realfs", cases);
}
