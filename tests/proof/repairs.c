/*
 * repairs.c - a repair that is interrupted, by a kill or by a power cut, costs nothing.
 *
 * A store gets some random damage. One copy of it is repaired undisturbed. Of another
 * the repair dies, at a random moment, once or several times: the process only, or the
 * power goes (simdisk.h). Then it is repaired to its end:
 *
 *     the repair returns 0, a check finds the store sound, it opens;
 *     exactly the records that the undisturbed repair has saved are read, without an
 *     error, each at its offset.
 *
 * BUDGET counts interruptions. CASE=n does one.
 */
#include "proof.h"
#include "simdisk.h"
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <rill.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PARTITIONS = 2, RECORDS = 40, VALUE_MAX = 5000, FILES_MAX = 32, DEATHS_MAX = 3 };

static struct test_random dice;
static char files[FILES_MAX][900];
static int file_count;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

static void broken(const char *what)
{
    printf("    %s (%s)\n", what, rill_errmsg());
    fflush(stdout);
    _exit(2);
}

/* ---- The store and its damage ----------------------------------------- */

static size_t value_of(int32_t partition, int64_t offset, char *value)
{
    struct test_random bytes = {(uint64_t)partition * 1000 + (uint64_t)offset + 7};
    size_t size = 16 + test_random_below(&bytes, VALUE_MAX - 16);

    memset(value, (int)('a' + offset % 26), size);
    memcpy(value, &offset, sizeof offset);
    memcpy(value + 8, &partition, sizeof partition);
    return size;
}

static void make_store(const char *path)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_topic_options topic = {
        .size = sizeof topic, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    rill_position position = {.topic = "t", .offset = 3, .leader_epoch = -1};
    rill_producer *producer;
    rill_consumer *consumer;
    rill *store;
    char value[VALUE_MAX];

    OK(rill_open(path, &options, &store));
    OK(rill_topic_create(store, "t", &topic));
    OK(rill_producer_open(store, &out, &producer));
    for (int32_t p = 0; p < PARTITIONS; p++)
        for (int64_t i = 0; i < RECORDS; i++) {
            rill_record record = RILL_RECORD_INIT;
            record.partition = p;
            record.value = (rill_bytes){value, value_of(p, i, value)};
            OK(rill_producer_append(producer, &record, 1, 1000, NULL));
        }
    OK(rill_producer_close(producer, 1000));
    OK(rill_consumer_open(store, &in, &consumer));
    OK(rill_consumer_commit(consumer, &position, 1));
    OK(rill_consumer_close(consumer, 0));
    OK(rill_close(store));
}

static int list_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)where;
    if (kind == FTW_F && st->st_size > 0 && file_count < FILES_MAX)
        snprintf(files[file_count++], sizeof files[0], "%s", path);
    return 0;
}

static void damage_one(const char *path)
{
    struct stat st;
    uint8_t bytes[512] = {0};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t at;

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < 1024) {
        if (fd >= 0) close(fd);
        return;
    }
    at = (off_t)roll((uint64_t)st.st_size < 16384 ? (uint64_t)st.st_size : 16384);
    switch (roll(4)) {
    case 0:
        assert_int_equal(pread(fd, bytes, 1, at), 1);
        bytes[0] ^= (uint8_t)(1u << roll(8));
        assert_int_equal(pwrite(fd, bytes, 1, at), 1);
        break;
    case 1: assert_int_equal(pwrite(fd, bytes, 512, at / 512 * 512), 512); break;
    case 2: assert_int_equal(ftruncate(fd, at), 0); break;
    default: assert_int_equal(unlink(path), 0); break;
    }
    close(fd);
}

static void damage(const char *store)
{
    uint64_t count = 1 + roll(4);

    file_count = 0;
    nftw(store, list_one, 16, FTW_PHYS);
    for (uint64_t i = 0; i < count; i++) damage_one(files[roll((uint64_t)file_count)]);
}

/* ---- What is left ----------------------------------------------------- */

static int name_topic(void *arg, const rill_topic_info *info)
{
    snprintf(arg, RILL_TOPIC_NAME_MAX + 1, "%s", info->name);
    return 0;
}

static int no_alarm(void *arg, const rill_damage *found)
{
    (void)arg;
    if (found->severity == RILL_LOG_INFO) return 0;
    printf("    %s: %s\n", found->file != NULL ? found->file : "", found->text);
    return 1;
}

static void read_partition(rill *store, const char *topic, int32_t partition, bool got[RECORDS])
{
    rill_position from = {topic, partition, -1, RILL_OFFSET_EARLIEST, NULL};
    rill_consumer *consumer;
    rill_record record;
    size_t count = 1;

    if (rill_consumer_open(store, NULL, &consumer) != 0 ||
        rill_consumer_assign(consumer, &from, 1) != 0)
        broken("a partition cannot be read");
    while (count > 0) {
        char value[VALUE_MAX];
        if (rill_consumer_poll(consumer, 0, &record, 1, &count) != 0)
            broken("an error in a repaired partition");
        if (count == 0) break;
        if (record.offset < 0 || record.offset >= RECORDS ||
            record.value.size != value_of(partition, record.offset, value) ||
            memcmp(record.value.data, value, record.value.size) != 0)
            broken("a record that nobody appended there");
        got[record.offset] = true;
    }
    rill_consumer_close(consumer, 0);
}

/* Repaired to its end: sound, and these records. */
static void repair_and_read(const char *path, bool got[PARTITIONS][RECORDS])
{
    rill_options options = {.size = sizeof options};
    rill_check_options look = {.size = sizeof look, .visit = no_alarm};
    rill_check_report found = {.size = sizeof found};
    rill_repair_report report = {.size = sizeof report};
    char topic[RILL_TOPIC_NAME_MAX + 1] = "";
    rill *store;

    memset(got, 0, sizeof(bool[PARTITIONS][RECORDS]));
    if (rill_repair(path, NULL, &report) != 0) broken("a repair fails");
    if (rill_check(path, &look, &found) != 0) broken("a repaired store is not sound");
    if (rill_open(path, &options, &store) != 0) broken("a repaired store does not open");
    if (rill_topic_list(store, name_topic, topic) != 0 || topic[0] == '\0')
        broken("a repaired store has no topic");
    for (int32_t p = 0; p < PARTITIONS; p++) read_partition(store, topic, p, got[p]);
    if (rill_close(store) != 0) broken("a repaired store does not close");
}

/* ---- Deaths ----------------------------------------------------------- */

static void die(void *arg)
{
    (void)arg;
    _exit(0);
}

/* The repair of the store at path dies at its n-th event: as a process, or with the
 * power; what is left is at path again. False: it came to its end before. */
static bool interrupt(const char *path, uint64_t n, bool power)
{
    char left[900];
    char command[4000];
    rill_repair_report report = {.size = sizeof report};
    int status;
    pid_t pid;

    snprintf(left, sizeof left, "%s.left", path);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        simdisk_mount(path, &dice);
        simdisk_cut_at(n, left, die, NULL);
        _exit(rill_repair(path, NULL, &report) == 0 ? 1 : 3);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 3) broken("a repair fails, or crashes");
    if (WEXITSTATUS(status) == 1) return false;
    if (power) snprintf(command, sizeof command, "rm -rf '%s' && mv '%s' '%s'", path, left, path);
    else snprintf(command, sizeof command, "rm -rf '%s'", left);
    assert_int_equal(system(command), 0);
    return true;
}

static void one_case(void)
{
    static bool want[PARTITIONS][RECORDS];
    static bool got[PARTITIONS][RECORDS];
    char undisturbed[800];
    char disturbed[800];
    char command[4000];
    uint64_t limit = 8;
    uint64_t deaths = 1 + roll(DEATHS_MAX);

    snprintf(undisturbed, sizeof undisturbed, "%s", test_path("undisturbed"));
    snprintf(disturbed, sizeof disturbed, "%s", test_path("disturbed"));
    make_store(disturbed);
    damage(disturbed);
    snprintf(command, sizeof command, "cp -a '%s' '%s'", disturbed, undisturbed);
    assert_int_equal(system(command), 0);
    simdisk_mount(undisturbed, &dice); /* a boot later, as for the other one */
    repair_and_read(undisturbed, want);
    limit += simdisk_events() / 2;
    simdisk_unmount();
    for (uint64_t i = 0; i < deaths; i++)
        if (!interrupt(disturbed, 1 + roll(limit), roll(2) == 0)) break;
    simdisk_mount(disturbed, &dice);
    repair_and_read(disturbed, got);
    simdisk_unmount();
    for (int32_t p = 0; p < PARTITIONS; p++)
        for (int64_t i = 0; i < RECORDS; i++)
            if (want[p][i] != got[p][i]) {
                printf("    offset %" PRId64 " of partition %d\n", i, (int)p);
                broken(want[p][i] ? "an interrupted repair has lost a record"
                                  : "a record was lost, and is there after an interruption");
            }
}

static void run_case(uint64_t seed, uint64_t number)
{
    int status;
    pid_t pid;

    dice.state = seed * 2 + 1 + number * UINT64_C(1000003);
    test_directory();
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(120);
        one_case();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0) proof_violation(number, "status %#x", (unsigned)status);
    test_directory_remove();
}

int main(void)
{
    uint64_t seed = proof_seed();
    uint64_t cases = proof_budget(10000, 60);

    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    if (getenv("CASE") != NULL) {
        run_case(seed, strtoull(getenv("CASE"), NULL, 0));
        return proof_end("repairs", 1);
    }
    for (uint64_t i = 0; i < cases && proof_violations() < 20; i++) run_case(seed, i);
    return proof_end("repairs", cases);
}
