/*
 * rot.c - files that rot: bits flip, sectors are zeroed, garbled or swapped, files
 * are cut short, lost, or take each other's place.
 *
 * A store that was closed gets one such damage, in a segment, an index, a control
 * file, the catalogue or the store's own files, and is opened again, as in the same
 * boot or after another one, by a child, which reads all, then writes.
 *
 *     it does not crash and does not hang;
 *     no record is read that was not appended, and none at another offset;
 *     a log that is read to its end without an error has all its records: it is
 *     never shorter and called healthy;
 *     records in segments that are not damaged can be read by seeking;
 *     no topic and no commit is missing without an error, and a committed offset
 *     is the one committed;
 *     topics' directories are not swept away because the catalogue lost them;
 *     what a check finds is in the file that is damaged, or about it; what it calls
 *     sound opens and is read to its end.
 *
 * A copy of it is repaired:
 *
 *     it opens, a check finds it sound, and a second repair has nothing to do;
 *     it is read to its end without an error; every record whose batch is as it was
 *     is there, every other one was said to be lost, and nothing else is read;
 *     files of others are as they were; appending and committing go on.
 *
 * BUDGET counts damages. CASE=n does one.
 */
#include "proof.h"
#include "os/sys.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <rill.h>
#include <stdbool.h>
#include <sys/wait.h>

enum { PARTITIONS = 2, RECORDS = 60, VALUE_MAX = 7000, SECTOR = 512, FILES_MAX = 64 };
enum { CODECS = 3 };  /* one of them is none */
enum { GROUPS = 40 }; /* enough for some pages of the catalogue */

static char directory[700];
static struct test_random dice;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

/* ---- The store ---- */

static size_t value_of(int32_t partition, int64_t offset, char *value)
{
    struct test_random bytes = {(uint64_t)partition * 1000 + (uint64_t)offset + 7};
    size_t size = 16 + test_random_below(&bytes, VALUE_MAX - 16);

    memset(value, (int)('a' + offset % 26), size);
    for (size_t i = 0; i + 8 <= size / 2; i += 8) { /* what no codec makes smaller */
        uint64_t word = test_random_next(&bytes);
        memcpy(value + i, &word, 8);
    }
    memcpy(value, &offset, sizeof offset);
    memcpy(value + 8, &partition, sizeof partition);
    return size;
}

static void append(rill_producer *producer, int32_t partition, int64_t offset)
{
    char value[VALUE_MAX];
    rill_record record = RILL_RECORD_INIT;
    rill_offset at;

    record.partition = partition;
    record.value.data = value;
    record.value.size = value_of(partition, offset, value);
    if (offset % 3 == 0) record.key = (rill_bytes){"key", 3};
    OK(rill_producer_append(producer, &record, 1, 1000, &at));
    assert_int_equal(at, offset);
}

static const char *name_group(int group)
{
    static char name[200];

    snprintf(name, sizeof name, "group-%d-%0*d", group * 7 % GROUPS, group * 4, 0);
    return name;
}

/* Group number g has committed offset g. */
static void commit(rill *store, int group)
{
    rill_consumer_options in = {.size = sizeof in, .group = name_group(group)};
    rill_position position = {.topic = "t", .offset = group, .leader_epoch = -1};
    rill_consumer *consumer;

    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
}

static void make_store(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_topic_options topic = {
        .size = sizeof topic, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_producer *producers[CODECS];
    rill *store;

    topic.timestamp_type = RILL_TIMESTAMP_CREATE + (uint32_t)roll(2);
    OK(rill_open(directory, &options, &store));
    OK(rill_topic_create(store, "t", &topic));
    for (int i = 0; i < CODECS; i++) {
        static const uint32_t codes[] = {RILL_COMPRESSION_NONE, RILL_COMPRESSION_LZ4,
                                         RILL_COMPRESSION_ZSTD};
        out.compression = rill_compression_available(codes[i]) ? codes[i] : codes[0];
        OK(rill_producer_open(store, &out, &producers[i]));
    }
    for (int32_t p = 0; p < PARTITIONS; p++)
        for (int64_t i = 0; i < RECORDS; i++) append(producers[roll(CODECS)], p, i);
    for (int i = 0; i < CODECS; i++) OK(rill_producer_close(producers[i], 1000));
    for (int g = 0; g < GROUPS; g++) commit(store, g);
    OK(rill_close(store));
}

/* ---- The damage ---- */

static char files[FILES_MAX][900];
static int file_count;

static int list_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)where;
    if (kind != FTW_F || st->st_size == 0) return 0;
    if (file_count < FILES_MAX) snprintf(files[file_count++], sizeof files[0], "%s", path);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

/* Mostly where there is something. */
static uint64_t place_in(const char *path)
{
    uint64_t size = size_of(path);
    return roll(4) == 0 ? roll(size) : roll(size < 8192 ? size : 8192);
}

/* In a key of the catalogue, by chance one that is in use. */
static uint64_t place_in_key(int fd, const char *path)
{
    static uint8_t bytes[256 << 10];
    ssize_t size = pread(fd, bytes, sizeof bytes, 0);
    uint64_t left = 1 + roll(3 * GROUPS);
    const uint8_t *found = NULL;

    for (const uint8_t *at = bytes; size > 0 && left > 0 && at != NULL; left--) {
        at = memmem(at, (size_t)(bytes + size - at), "group-", 6);
        if (at != NULL) found = at++;
    }
    return found == NULL ? place_in(path) : (uint64_t)(found - bytes) - 1 + roll(16);
}

static void flip_bits(int fd, const char *path)
{
    bool key = strstr(path, "data.mdb") != NULL && roll(2) == 0;
    uint64_t count = key ? 1 : 1 + roll(4);

    for (uint64_t i = 0; i < count; i++) {
        off_t at = (off_t)(key ? place_in_key(fd, path) : place_in(path));
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= (uint8_t)(1u << roll(8));
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
}

static void spoil_sector(int fd, const char *path, bool garbage)
{
    uint8_t sector[SECTOR] = {0};
    off_t at = (off_t)(place_in(path) / SECTOR * SECTOR);

    for (int i = 0; garbage && i < SECTOR; i++) sector[i] = (uint8_t)roll(256);
    assert_int_equal(pwrite(fd, sector, SECTOR, at), SECTOR);
}

static void swap_sectors(int fd, const char *path)
{
    uint8_t one[SECTOR];
    uint8_t two[SECTOR];
    off_t a = (off_t)(place_in(path) / SECTOR * SECTOR);
    off_t b = (off_t)(place_in(path) / SECTOR * SECTOR);

    if (pread(fd, one, SECTOR, a) != SECTOR || pread(fd, two, SECTOR, b) != SECTOR) return;
    assert_int_equal(pwrite(fd, two, SECTOR, a), SECTOR);
    assert_int_equal(pwrite(fd, one, SECTOR, b), SECTOR);
}

static void replace_file(const char *path, const char *other)
{
    char command[1900 + sizeof files[0]];

    snprintf(command, sizeof command, "cp '%.899s' '%.899s' 2>/dev/null || true", other, path);
    assert_int_equal(system(command), 0);
}

static const char *damage(char *what, size_t size)
{
    static const char *const kinds[] = {"flipped bits",    "a zeroed sector", "a garbled sector",
                                        "swapped sectors", "cut short",       "lost",
                                        "another's file"};
    uint64_t kind = roll(7);
    const char *path;
    int fd;

    file_count = 0;
    nftw(directory, list_one, 16, FTW_PHYS);
    qsort(files, (size_t)file_count, sizeof files[0], compare_names);
    path = files[roll((uint64_t)file_count)];
    for (int i = 0; i < file_count && roll(3) == 0; i++) /* one among many */
        if (strstr(files[i], "data.mdb") != NULL) path = files[i];
    snprintf(what, size, "%s: %s", strrchr(path, '/') + 1, kinds[kind]);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    switch (kind) {
    case 0: flip_bits(fd, path); break;
    case 1:
    case 2: spoil_sector(fd, path, kind == 2); break;
    case 3: swap_sectors(fd, path); break;
    case 4: assert_int_equal(ftruncate(fd, (off_t)roll(size_of(path))), 0); break;
    case 5: assert_int_equal(unlink(path), 0); break;
    default: replace_file(path, files[roll((uint64_t)file_count)]); break;
    }
    close(fd);
    return path;
}

/* The shared words are those of an earlier boot. */
static void forget_boot(void)
{
    char command[1000];

    snprintf(command, sizeof command,
             "for f in '%s'/*/*/control; do [ ! -e \"$f\" ] || "
             "dd if=/dev/zero of=\"$f\" bs=4096 count=1 conv=notrunc 2>/dev/null; done",
             directory);
    assert_int_equal(system(command), 0);
}

/* ---- What a check says ---- */

static void broken(const char *what)
{
    printf("    %s (%s)\n", what, rill_errmsg());
    fflush(stdout);
    _exit(2);
}

static int errors_found;

/* Damage shows where it is: in the file, or in what is known only through it. */
static int found_damage(void *arg, const rill_damage *found)
{
    const char *damaged = arg;
    const char *file = found->file == NULL ? "" : found->file;
    char part[16];
    bool of_catalogue = strstr(damaged, "/meta/") != NULL;
    bool there = strstr(damaged, "/STORE") != NULL ? strcmp(file, "STORE") == 0
                 : of_catalogue
                     ? strstr(file, "meta") != NULL || found->kind == RILL_DAMAGE_TOPIC_UNKNOWN
                     : false;

    for (int32_t p = 0; p < PARTITIONS; p++) {
        snprintf(part, sizeof part, "/%d/", p);
        if (strstr(damaged, part) != NULL && strstr(file, part) != NULL) there = true;
    }
    if (found->severity == RILL_LOG_ERROR || found->severity == RILL_LOG_WARNING) {
        if (!there) {
            printf("    found in %s: %s\n", file, found->text);
            broken("a check finds damage where there is none");
        }
    }
    if (found->severity == RILL_LOG_ERROR) errors_found++;
    return 0;
}

static void check_damaged(const char *damaged)
{
    rill_check_options options = {
        .size = sizeof options, .visit = found_damage, .visit_arg = (void *)(uintptr_t)damaged};
    rill_check_report report = {.size = sizeof report};

    errors_found = 0;
    if (rill_check(directory, &options, &report) != 0) broken("a check fails");
}

/* ---- The child that reads ---- */

static void check_record(const rill_record *record)
{
    char value[VALUE_MAX];
    size_t size;

    if (record->offset < 0 || record->offset >= RECORDS) broken("a record that nobody appended");
    size = value_of(record->partition, record->offset, value);
    if (record->value.size != size || memcmp(record->value.data, value, size) != 0)
        broken("a record that is not what was appended");
}

/* Reads all that can be read; whether there was an error. */
static bool read_partition(rill *store, int32_t partition, int64_t *read)
{
    rill_position from = {"t", partition, -1, 0, NULL};
    rill_consumer *consumer;
    rill_record record;
    bool failed = false;
    size_t count = 1;
    int rc;

    *read = 0;
    if (rill_consumer_open(store, NULL, &consumer) != 0) return true;
    rc = rill_consumer_assign(consumer, &from, 1);
    if (rc == RILL_ERR_NOT_FOUND) broken("a topic is lost in silence");
    if (rc != 0) {
        rill_consumer_close(consumer, 0);
        return true;
    }
    for (int64_t next = 0; count > 0;) {
        rc = rill_consumer_poll(consumer, 0, &record, 1, &count);
        if (rc == 0 && count > 0) {
            check_record(&record);
            if (record.offset < next) broken("an offset comes twice");
            next = record.offset + 1;
            ++*read;
        } else if (rc != 0) {
            failed = true;
            count = 1;
            do { /* on behind the damage */
                next++;
            } while (next <= RECORDS && rill_consumer_seek(consumer, "t", partition, next) != 0);
            if (next > RECORDS) break;
        }
    }
    rill_consumer_close(consumer, 0);
    return failed;
}

static void check_committed(rill *store, int group)
{
    rill_consumer_options in = {.size = sizeof in, .group = name_group(group)};
    rill_position position;
    rill_consumer *consumer;

    if (rill_consumer_open(store, &in, &consumer) != 0) return;
    if (rill_consumer_committed(consumer, "t", 0, &position, NULL, 0) == 0 &&
        position.offset != group)
        broken(position.offset == RILL_OFFSET_NONE ? "a commit is lost in silence"
                                                   : "another offset is committed");
    rill_consumer_close(consumer, 0);
}

/* May fail, but not crash. */
static void write_something(rill *store)
{
    rill_consumer_options in = {.size = sizeof in, .group = "another"};
    rill_position position = {.topic = "t", .offset = 1, .leader_epoch = -1};
    rill_consumer *consumer;

    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "new-%d", i);
        rill_topic_create(store, name, NULL);
        if (rill_consumer_open(store, &in, &consumer) != 0) continue;
        rill_consumer_commit(consumer, &position, 1);
        rill_consumer_close(consumer, 0);
    }
}

static int topic_directories(void)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    int count = 0;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) count += strlen(entry->d_name) == 32;
    closedir(stream);
    return count;
}

static void read_all(const char *damaged)
{
    rill_options options = {.size = sizeof options};
    rill *store;
    int rc;

    check_damaged(damaged);
    rc = rill_open(directory, &options, &store);
    if (rc != 0 && errors_found == 0) broken("a check finds it sound, and it does not open");
    if (topic_directories() != 1) broken("a topic's records are swept away");
    if (rc != 0) {
        if (rill_errmsg()[0] == '\0') broken("an error without a message");
        _exit(0);
    }
    for (int32_t p = 0; p < PARTITIONS; p++) {
        char other[16];
        int64_t read;
        bool failed = read_partition(store, p, &read);

        snprintf(other, sizeof other, "/%d/", p);
        if (!failed && read != RECORDS) broken("a shorter log is called healthy");
        if (failed && errors_found == 0) broken("a check finds it sound, and it is not read");
        if (strstr(damaged, other) == NULL && strstr(damaged, "STORE") == NULL &&
            strstr(damaged, "data.mdb") == NULL && (failed || read != RECORDS))
            broken("damage in one place, and another is not readable");
    }
    for (int g = 0; g < GROUPS; g++) check_committed(store, g);
    write_something(store);
    rill_close(store);
    _exit(0);
}

/* ---- The child that repairs ---- */

static char pristine[900];
static bool kept[PARTITIONS][RECORDS]; /* its batch is as it was, in its place */

static uint8_t *read_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint8_t *bytes;

    *size = 0;
    if (fd < 0) return NULL;
    assert_int_equal(fstat(fd, &st), 0);
    bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    *size = (size_t)st.st_size;
    return bytes;
}

/* A batch of a segment as it was made, against the damaged one. */
static int note_batch(void *arg, const rill_item *item)
{
    struct {
        uint8_t *was, *is;
        size_t is_size;
        int32_t partition;
    } *both = arg;
    bool same;

    if (item->kind != RILL_ITEM_BATCH) return 0;
    same = both->is != NULL && (size_t)(item->position + item->size) <= both->is_size &&
           memcmp(both->was + item->position, both->is + item->position, (size_t)item->size) == 0;
    for (int64_t i = item->first; i < item->end && i < RECORDS; i++)
        kept[both->partition][i] = same;
    return 0;
}

/* All but those in the damaged file. */
static void note_kept(const char *damaged)
{
    struct {
        uint8_t *was, *is;
        size_t is_size;
        int32_t partition;
    } both;
    char path[2000];
    size_t size;

    memset(kept, 1, sizeof kept);
    if (strstr(damaged, ".log") == NULL) return;
    both.partition = strstr(damaged, "/1/") != NULL;
    snprintf(path, sizeof path, "%s%s", pristine, damaged + strlen(directory));
    both.was = read_file(path, &size);
    both.is = read_file(damaged, &both.is_size);
    assert_non_null(both.was);
    assert_int_equal(rill_dump(path, note_batch, &both), 0);
    free(both.was);
    free(both.is);
}

static int64_t said_lost[PARTITIONS][RECORDS];

static int note_action(void *arg, const rill_repair_action *action)
{
    ++*(int *)arg;
    if (action->kind != RILL_REPAIR_GAP || action->partition < 0) return 0;
    for (int64_t i = action->first; i < action->end && i < RECORDS; i++)
        said_lost[action->partition][i] = 1;
    return 0;
}

static int list_name(void *arg, const rill_topic_info *info)
{
    snprintf(arg, RILL_TOPIC_NAME_MAX + 1, "%s", info->name);
    return 0;
}

static void read_repaired(rill *store, const char *topic, int32_t partition)
{
    rill_position from = {topic, partition, -1, 0, NULL};
    rill_consumer *consumer;
    rill_record record;
    size_t count = 1;
    bool got[RECORDS] = {false};
    int64_t next = 0;

    if (rill_consumer_open(store, NULL, &consumer) != 0 ||
        rill_consumer_assign(consumer, &from, 1) != 0)
        broken("a repaired partition cannot be read");
    while (count > 0) {
        if (rill_consumer_poll(consumer, 0, &record, 1, &count) != 0)
            broken("an error in a repaired partition");
        if (count == 0) break;
        check_record(&record);
        if (record.offset < next) broken("an offset comes twice");
        next = record.offset + 1;
        got[record.offset] = true;
    }
    rill_consumer_close(consumer, 0);
    for (int64_t i = 0; i < RECORDS; i++) {
        if (!got[i] && kept[partition][i]) {
            printf("    offset %" PRId64 " of partition %d\n", i, (int)partition);
            broken("a repair loses a record that was not damaged");
        }
        if (!got[i] && !said_lost[partition][i]) broken("a repair loses a record in silence");
        if (got[i] && said_lost[partition][i])
            broken("a record is there that was said to be lost");
    }
}

static void repair_it(const char *damaged)
{
    rill_options options = {.size = sizeof options};
    int actions = 0;
    rill_repair_options how = {.size = sizeof how, .visit = note_action, .visit_arg = &actions};
    rill_repair_report report = {.size = sizeof report};
    char topic[RILL_TOPIC_NAME_MAX + 1] = "";
    rill *store;

    note_kept(damaged);
    if (rill_repair(directory, &how, &report) != 0) broken("a repair fails");
    if (report.left_count != 0) broken("a repair leaves something");
    check_damaged("");
    actions = 0;
    if (rill_repair(directory, &how, &report) != 0) broken("a second repair fails");
    if (actions != 0) broken("a second repair has something to do");
    if (rill_open(directory, &options, &store) != 0) broken("a repaired store does not open");
    if (rill_topic_list(store, list_name, topic) != 0 || topic[0] == '\0')
        broken("a repaired store has no topic");
    for (int32_t p = 0; p < PARTITIONS; p++) read_repaired(store, topic, p);
    for (int g = 0; g < GROUPS && strstr(damaged, "/meta/") == NULL; g++)
        check_committed(store, g);
    write_something(store);
    if (rill_close(store) != 0) broken("a repaired store does not close");
    check_damaged("");
    _exit(0);
}

/* ---- Cases ---- */

static void copy_store(const char *from, const char *to)
{
    char command[3000];

    snprintf(command, sizeof command, "cp -a '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

static void child(uint64_t number, const char *what, bool boot, void (*work)(const char *damaged),
                  const char *damaged)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(60);
        work(damaged);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        proof_violation(number, "%s, %s: status %#x", what, boot ? "another boot" : "same boot",
                        (unsigned)status);
}

static void run_case(uint64_t seed, uint64_t number)
{
    char what[200];
    char copy[900];
    char command[3000];
    const char *damaged;
    bool boot;

    dice.state = seed * 2 + 1 + number * UINT64_C(1000003);
    snprintf(directory, sizeof directory, "%s/store", test_directory());
    snprintf(pristine, sizeof pristine, "%s", test_path("pristine"));
    snprintf(copy, sizeof copy, "%s", test_path("copy"));
    make_store();
    copy_store(directory, pristine);
    boot = roll(2) == 0;
    if (boot) forget_boot();
    damaged = damage(what, sizeof what);
    copy_store(directory, copy);
    child(number, what, boot, read_all, damaged);
    snprintf(command, sizeof command, "rm -rf '%s' && mv '%s' '%s'", directory, copy, directory);
    assert_int_equal(system(command), 0);
    child(number, what, boot, repair_it, damaged);
    test_directory_remove();
}

int main(void)
{
    uint64_t seed = proof_seed();
    uint64_t cases = proof_budget(40000, 250);

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    if (getenv("CASE") != NULL) {
        run_case(seed, strtoull(getenv("CASE"), NULL, 0));
        return proof_end("rot", 1);
    }
    for (uint64_t i = 0; i < cases && proof_violations() < 20; i++) run_case(seed, i);
    return proof_end("rot", cases);
}
