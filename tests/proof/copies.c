/*
 * copies.c - the power goes while a store is copied, or a topic imported.
 *
 * All of it is on a simulated disk (simdisk.h). A case makes a store, lets the power go
 * at a random event of a snapshot, a restore or an import, and looks at what the disk
 * then holds:
 *
 *     the store has all that was durable, also in segments that a copy shares;
 *     a copy that was not told to be made is not opened, or is whole; one that was is
 *     whole, and no record is in it that the store never had;
 *     what is left of it does not stand in the way of making it again;
 *     an import is done again, and has every record once.
 *
 * BUDGET counts cuts. CASE=n runs one.
 */
#include "proof.h"
#include "simdisk.h"
#include <rill.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { RECORDS = 90, VALUE_SIZE = 2000, WAIT = 10000, STREAM_MAX = 1 << 20 };

static struct test_random dice;
static bool cut;
static bool made; /* the copy, or the import, when the power went */
static struct {
    uint8_t data[STREAM_MAX];
    size_t size;
    size_t at;
} stream;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

static const char *on_disk(int disk, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "disk%d/%s", disk, name);
    return test_path(path);
}

static int write_stream(void *arg, const void *data, size_t size)
{
    (void)arg;
    assert_true(stream.size + size <= STREAM_MAX);
    if (size != 0) memcpy(stream.data + stream.size, data, size);
    stream.size += size;
    return 0;
}

static int read_stream(void *arg, void *data, size_t size, size_t *got)
{
    (void)arg;
    *got = size < stream.size - stream.at ? size : stream.size - stream.at;
    memcpy(data, stream.data + stream.at, *got);
    stream.at += *got;
    return 0;
}

static rill *open_store(int disk, const char *name)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill *store;

    OK(rill_open(on_disk(disk, name), &options, &store));
    return store;
}

static void append(rill *store, int first, int count)
{
    rill_producer_options options = {.size = sizeof options, .topic = "t"};
    rill_producer *producer;
    char value[VALUE_SIZE];

    OK(rill_producer_open(store, &options, &producer));
    for (int n = first; n < first + count; n++) {
        rill_record record = RILL_RECORD_INIT;
        memset(value, n, sizeof value);
        record.partition = 0;
        record.value = (rill_bytes){value, sizeof value};
        OK(rill_producer_append(producer, &record, 1, WAIT, NULL));
    }
    OK(rill_producer_close(producer, WAIT));
}

/* The topic has so many records, each what it should be; how many. */
static int check_topic(rill *store, const char *topic)
{
    rill_position from = {topic, 0, -1, RILL_OFFSET_EARLIEST, NULL};
    rill_consumer *consumer;
    rill_record records[40];
    char value[VALUE_SIZE];
    int next = 0;
    size_t count;

    OK(rill_consumer_open(store, NULL, &consumer));
    OK(rill_consumer_assign(consumer, &from, 1));
    do {
        OK(rill_consumer_poll(consumer, 0, records, 40, &count));
        for (size_t i = 0; i < count; i++, next++) {
            memset(value, next, sizeof value);
            assert_int_equal(records[i].offset, next);
            assert_int_equal(records[i].value.size, VALUE_SIZE);
            assert_memory_equal(records[i].value.data, value, VALUE_SIZE);
        }
    } while (count > 0);
    OK(rill_consumer_close(consumer, WAIT));
    return next;
}

static void on_cut(void *arg)
{
    (void)arg;
    cut = true;
}

enum work { SNAPSHOT, RESTORE, IMPORT, WORKS };

static void make_store(void)
{
    rill_topic_options topic = {.size = sizeof topic, .segment_bytes = 64 << 10};
    rill *store = open_store(0, "store");

    OK(rill_topic_create(store, "t", &topic));
    append(store, 0, RECORDS);
    OK(rill_export(store, "t", NULL, write_stream, NULL));
    OK(rill_close(store));
}

static void do_work(enum work work)
{
    rill_copy_options options = {.size = sizeof options,
                                 .flags = roll(3) == 0 ? RILL_COPY_NO_LINKS : 0};
    rill *store = NULL;

    if (work == RESTORE) {
        OK(rill_restore(on_disk(0, "store"), on_disk(0, "copy"), &options));
    } else {
        store = open_store(0, "store");
        if (work == SNAPSHOT) append(store, RECORDS, (int)roll(40));
        if (work == SNAPSHOT) OK(rill_snapshot(store, on_disk(0, "copy"), &options));
        else OK(rill_import(store, "again", NULL, read_stream, NULL));
    }
    made = !cut;
    if (store != NULL && work == SNAPSHOT) append(store, RECORDS + 40, 0);
    if (store != NULL) OK(rill_close(store));
}

/* Of a copy: it is refused, or whole. */
static void check_copy(int disk, int store_records)
{
    rill *copy;
    int rc = access(on_disk(disk, "copy/STORE"), F_OK);

    if (made) assert_int_equal(rc, 0);
    if (rc == 0) {
        rc = rill_open(on_disk(disk, "copy"), NULL, &copy);
        if (made) OK(rc);
        if (rc != 0) {
            assert_int_equal(rc, RILL_ERR_INVALID);
            assert_non_null(strstr(rill_errmsg(), "INCOMPLETE"));
        } else {
            assert_in_range(check_topic(copy, "t"), RECORDS, store_records);
            append(copy, check_topic(copy, "t"), 40);
            OK(rill_close(copy));
            test_remove(on_disk(disk, "copy"));
        }
    }
}

static void check_disk(int disk, enum work work)
{
    rill *store = open_store(disk, "store");
    int records = check_topic(store, "t");

    assert_true(records >= RECORDS);
    if (work == IMPORT) {
        stream.at = 0;
        OK(rill_import(store, "again", NULL, read_stream, NULL));
        assert_int_equal(check_topic(store, "again"), RECORDS);
    } else {
        check_copy(disk, RECORDS + 40);
        OK(rill_snapshot(store, on_disk(disk, "copy"), NULL));
        made = true;
        check_copy(disk, records);
        assert_int_equal(check_topic(store, "t"), records);
    }
    OK(rill_close(store));
}

static void run_case(uint64_t seed, uint64_t number)
{
    enum work work = (enum work)(number % WORKS);

    dice.state = seed * 2 + 1 + number * UINT64_C(1000003);
    test_directory();
    cut = made = false;
    memset(&stream, 0, sizeof stream);
    assert_int_equal(mkdir(test_path("disk0"), 0700), 0);
    simdisk_mount(test_path("disk0"), &dice);
    make_store();
    simdisk_cut_at(1 + roll(work == IMPORT ? 120 : 160), test_path("disk1"), on_cut, NULL);
    do_work(work);
    if (!cut) {
        simdisk_cut(test_path("disk1"));
        made = true;
    }
    simdisk_cancel();
    simdisk_unmount();
    simdisk_mount(test_path("disk1"), &dice);
    check_disk(1, work);
    simdisk_unmount();
    test_directory_remove();
}

int main(void)
{
    uint64_t budget = proof_budget(20000, getenv("RILL_TEST_SLOW") != NULL ? 30 : 150);
    struct rlimit files = {4096, 4096};
    const char *one = getenv("CASE");
    uint64_t seed = proof_seed();

    setrlimit(RLIMIT_NOFILE, &files); /* the disk keeps every file open */
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    if (one != NULL) {
        run_case(seed, strtoull(one, NULL, 0));
        return proof_end("copies", 1);
    }
    for (uint64_t number = 1; number <= budget; number++) {
        fprintf(stderr, "\rcase %llu ", (unsigned long long)number); /* what fails ends it */
        run_case(seed, number);
    }
    return proof_end("copies", budget);
}
