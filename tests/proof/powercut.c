/*
 * powercut.c - what was acknowledged as durable is there after a power cut.
 *
 * The whole store, catalogue included, runs on a simulated disk (simdisk.h).
 * A case does some random work, lets the power go at a random event, opens
 * what the disk then holds, compares it with what had been promised, goes on,
 * and lets the power go again, up to three times, also in the middle of
 * recovery. After every cut:
 *
 *     the store opens; a topic whose creation returned is there, one whose
 *     deletion returned is not;
 *     a partition holds all that was durable, and of what came behind it a
 *     prefix, every byte as it was given, without a gap;
 *     what an earlier recovery has discarded does not come back;
 *     what was deleted is gone, what was being deleted all or not; nothing goes else;
 *     a committed offset is the last one acknowledged, or one on its way, and
 *     never beyond the end;
 *     leader epochs go up.
 *
 * Besides, a small work is cut before each of its events in every way that the
 * disk may be left in then (or as many as the budget has).
 *
 * BUDGET counts cuts. A violation names its case, which CASE=n runs alone.
 */
#include "proof.h"
#include "reader.h"
#include "simdisk.h"
#include <inttypes.h>
#include <rill.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum { PARTITIONS = 2, RECORDS_MAX = 600, CUTS_MAX = 3, VALUE_MAX = 6000, WAIT = 10000 };
enum { READER_TURN = 100 }; /* one opening in so many is compared with what reader.py says */

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
        int64_t start;     /* all before it was deleted, */
        int64_t starting;  /* or is on its way out; by retention: somewhere up to here */
        int64_t committed; /* -1: never */
        int64_t committing;
        int32_t epoch;
    } partitions[PARTITIONS];
};

/* Outlives a process that fails. */
static struct {
    _Atomic uint64_t works;  /* small ones */
    _Atomic uint64_t events; /* of them */
    _Atomic uint64_t cut_short;
    _Atomic uint64_t second_opinions; /* by the reader */
    _Atomic uint64_t trace;           /* the same whenever the seed is */
} * shared;

static struct model model;
static struct model promised; /* the model when the power went */
static bool cut;
static bool retention; /* the topic has one */
static struct test_random dice;
static uint32_t next_number;
static rill *store;
static rill_producer *written;
static rill_producer *durable;
static rill_consumer *consumer;

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

/* ---- Records that follow from their number ---- */

#define SMALL UINT32_C(0xF0000000) /* values from this number on are */

static size_t value_of(uint32_t number, uint8_t *value)
{
    struct test_random bytes = {number * UINT64_C(77777) + 1};
    uint64_t more = number >= SMALL ? 200 : number % 3 == 0 ? VALUE_MAX - 8 : 300;
    size_t size = 8 + test_random_below(&bytes, more);

    memset(value, (int)(test_random_next(&bytes) & 0xff), size);
    for (size_t i = 0; i + 8 <= size / 2; i += 8) { /* what no codec makes smaller */
        uint64_t word = test_random_next(&bytes);
        memcpy(value + i, &word, 8);
    }
    memcpy(value, &number, sizeof number);
    return size;
}

static void check_record(const rill_record *record, uint32_t number)
{
    uint8_t value[VALUE_MAX];
    size_t size = value_of(number, value);

    assert_int_equal(record->value.size, size);
    assert_memory_equal(record->value.data, value, size);
}

/* ---- The work ---- */

static void on_cut(void *arg)
{
    (void)arg;
    promised = model;
    cut = true;
}

static void append(int p, bool durably)
{
    static uint8_t values[5][VALUE_MAX];
    rill_record records[5];
    size_t count = 1 + roll(5);
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
    OK(rill_producer_append(durably ? durable : written, records, count, WAIT, &offset));
    assert_int_equal(offset, model.partitions[p].end);
    model.partitions[p].end = model.partitions[p].attempted;
    if (durably) model.partitions[p].durable = model.partitions[p].end;
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
    OK(rill_producer_reserve(written, &shape, WAIT, &room));
    memcpy(room.value, value, room.value_size);
    OK(rill_producer_commit(written, NULL));
    model.partitions[p].end++;
}

static void sync_store(void)
{
    OK(rill_sync(store, WAIT));
    for (int p = 0; p < PARTITIONS; p++) model.partitions[p].durable = model.partitions[p].end;
}

static void delete_before(int p, int64_t before)
{
    rill_offset start;

    if (before < model.partitions[p].start) before = model.partitions[p].start;
    model.partitions[p].starting = before;
    OK(rill_partition_delete_records(store, "t", p, before, &start));
    assert_int_equal(start, before);
    if (before > model.partitions[p].durable) model.partitions[p].durable = before;
    model.partitions[p].start = before;
}

/* Retention too, if the topic has one. */
static void maintain(void)
{
    rill_partition_info info;

    for (int p = 0; p < PARTITIONS; p++) model.partitions[p].starting = model.partitions[p].end;
    OK(rill_maintain(store, NULL));
    for (int p = 0; p < PARTITIONS; p++) {
        OK(rill_partition_describe(store, "t", p, &info));
        assert_in_range(info.log_start, model.partitions[p].start, model.partitions[p].end);
        model.partitions[p].start = model.partitions[p].starting = info.log_start;
    }
}

static void commit(int p)
{
    int64_t offset = (int64_t)roll((uint64_t)model.partitions[p].end + 1);
    rill_position position = {"t", p, -1, offset, NULL};

    model.partitions[p].committing = offset;
    OK(rill_consumer_commit(consumer, &position, 1));
    model.partitions[p].committed = offset;
}

static void change_other_topic(void)
{
    bool there = model.other_made;

    model.other_known = false;
    if (there) OK(rill_topic_delete(store, "other"));
    else OK(rill_topic_create(store, "other", NULL));
    model.other_made = !there;
    model.other_known = true;
}

static uint32_t any_compression(void)
{
    static const uint32_t codes[] = {RILL_COMPRESSION_NONE, RILL_COMPRESSION_LZ4,
                                     RILL_COMPRESSION_ZSTD};
    uint32_t code = codes[roll(3)];

    return rill_compression_available(code) ? code : RILL_COMPRESSION_NONE;
}

static void open_clients(void)
{
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_consumer_options in = {.size = sizeof in, .group = "g"};

    out.compression = any_compression();
    OK(rill_producer_open(store, &out, &written));
    out.acks = RILL_ACKS_DURABLE;
    out.compression = any_compression();
    OK(rill_producer_open(store, &out, &durable));
    OK(rill_consumer_open(store, &in, &consumer));
}

static void close_store(void)
{
    OK(rill_consumer_close(consumer, WAIT));
    OK(rill_producer_close(written, WAIT));
    OK(rill_producer_close(durable, WAIT));
    OK(rill_close(store));
}

static void open_store(const char *dir)
{
    rill_options options = {
        .size = sizeof options, .flags = RILL_OPEN_CREATE, .retention_check_interval_ms = 1};
    OK(rill_open(dir, &options, &store));
}

static void work(const char *dir, uint64_t steps)
{
    for (uint64_t i = 0; i < steps && !cut; i++) {
        int p = (int)roll(PARTITIONS);
        int64_t end = model.partitions[p].end;
        switch (roll(18)) {
        case 0: sync_store(); break;
        case 1:
        case 2: commit(p); break;
        case 16:
        case 3: maintain(); break;
        case 17: delete_before(p, roll(3) == 0 ? end : (int64_t)roll((uint64_t)end + 1)); break;
        case 4: append_in_place(p); break;
        case 5: change_other_topic(); break;
        case 6:
            close_store();
            open_store(dir);
            open_clients();
            break;
        default: append(p, roll(4) == 0); break;
        }
    }
}

/* ---- After a cut ---- */

static void check_topics(void)
{
    rill_topic_options options = {.size = sizeof options,
                                  .partition_count = PARTITIONS,
                                  .segment_bytes = 64 << 10,
                                  .segment_ms = 1,
                                  .timestamp_type = RILL_TIMESTAMP_CREATE + (uint32_t)roll(2),
                                  .retention_bytes = roll(2) == 0 ? 0 : 70 << 10};
    rill_topic_info info;
    int rc = rill_topic_describe(store, "t", &info);

    if (model.topic_made) OK(rc);
    if (rc != 0) OK(rill_topic_create(store, "t", &options));
    model.topic_made = true;
    OK(rill_topic_describe(store, "t", &info));
    retention = info.options.retention_bytes != 0;
    rc = rill_topic_describe(store, "other", &info);
    if (rc != 0) assert_int_equal(rc, RILL_ERR_NOT_FOUND);
    if (model.other_known) assert_int_equal(rc == 0, model.other_made);
    model.other_made = rc == 0;
    model.other_known = true;
}

static void check_records(int p, int64_t start, int64_t end)
{
    rill_position from = {"t", p, -1, start, NULL};
    rill_consumer *reader;
    rill_record records[64];
    int64_t offset = start;
    size_t count;

    OK(rill_consumer_open(store, NULL, &reader));
    OK(rill_consumer_assign(reader, &from, 1));
    do {
        OK(rill_consumer_poll(reader, 0, records, 64, &count));
        for (size_t i = 0; i < count; i++, offset++) {
            assert_int_equal(records[i].offset, offset);
            check_record(&records[i], model.partitions[p].numbers[offset]);
        }
    } while (count > 0);
    assert_int_equal(offset, end);
    if (start > 0) FAILS(RILL_ERR_RANGE, rill_consumer_seek(reader, "t", p, start - 1));
    OK(rill_consumer_close(reader, WAIT));
}

static int64_t at_most(int64_t value, int64_t limit)
{
    return value < limit ? value : limit;
}

static void check_committed(int p, int64_t end)
{
    rill_position position;
    int64_t now;

    OK(rill_consumer_committed(consumer, "t", p, &position, NULL, 0));
    now = position.offset == RILL_OFFSET_NONE ? -1 : position.offset;
    if (now != at_most(model.partitions[p].committed, end))
        assert_int_equal(now, at_most(model.partitions[p].committing, end));
    model.partitions[p].committed = model.partitions[p].committing = now;
}

static void check_partition(int p)
{
    rill_partition_info info;

    OK(rill_partition_describe(store, "t", p, &info));
    assert_in_range(info.log_end, model.partitions[p].durable, model.partitions[p].attempted);
    assert_true(info.leader_epoch > model.partitions[p].epoch);
    assert_int_equal(info.durable_end, info.log_end);
    if (info.log_start != model.partitions[p].start)
        assert_in_range(info.log_start, model.partitions[p].start, model.partitions[p].starting);
    if (!retention && info.log_start != model.partitions[p].start)
        assert_int_equal(info.log_start, model.partitions[p].starting);
    check_records(p, info.log_start, info.log_end);
    check_committed(p, info.log_end);
    /* What recovery found is durable, and the rest is gone for ever. */
    model.partitions[p].end = info.log_end;
    model.partitions[p].attempted = info.log_end;
    model.partitions[p].durable = info.log_end;
    model.partitions[p].start = model.partitions[p].starting = info.log_start;
    model.partitions[p].epoch = info.leader_epoch;
}

/* ---- Cases ---- */

static void power_goes(const char *to)
{
    if (!cut) {
        simdisk_cut(to);
        promised = model;
    }
    simdisk_cancel();
    close_store();
    simdisk_unmount();
    model = promised;
    cut = false;
}

/* By another reader, which has seen the files before rill. */
static void compare(const char *second_opinion)
{
    const char *difference = second_opinion == NULL ? NULL : reader_compare(store);

    if (second_opinion != NULL) atomic_fetch_add(&shared->second_opinions, 1);
    if (difference != NULL) fail_msg("%s", difference);
}

static void open_what_is_left(const char *dir)
{
    const char *second_opinion = NULL;
    char path[800];

    snprintf(path, sizeof path, "%s/STORE", dir);
    if (roll(READER_TURN) == 0 && access(path, F_OK) == 0) second_opinion = reader_ask(dir);
    open_store(dir);
    compare(second_opinion);
    check_topics();
    open_clients();
    for (int p = 0; p < PARTITIONS; p++) check_partition(p);
}

static void begin_case(uint64_t number)
{
    test_directory();
    memset(&model, 0, sizeof model);
    model.other_known = true;
    for (int p = 0; p < PARTITIONS; p++)
        model.partitions[p].committed = model.partitions[p].committing = -1;
    cut = false;
    next_number = (uint32_t)number * 1000;
    assert_int_equal(mkdir(test_path("disk0"), 0700), 0);
}

static void run_case(uint64_t number)
{
    char names[CUTS_MAX + 1][16];
    const char *to;

    begin_case(number);
    for (int i = 0; i <= CUTS_MAX; i++) snprintf(names[i], sizeof names[i], "disk%d", i);
    for (int i = 0; i < CUTS_MAX; i++) {
        simdisk_mount(test_path(names[i]), &dice);
        to = test_path(names[i + 1]);
        simdisk_cut_at(1 + roll(roll(2) == 0 ? 40 : 300), to, on_cut, NULL);
        open_what_is_left(test_path(names[i]));
        work(test_path(names[i]), roll(30));
        power_goes(test_path(names[i + 1]));
    }
    simdisk_mount(test_path(names[CUTS_MAX]), &dice);
    open_what_is_left(test_path(names[CUTS_MAX]));
    close_store();
    store = NULL;
    simdisk_unmount();
    test_directory_remove();
}

/* ---- Every way that a small work can be cut in ---- */

/* A letter is a step: a append, A append durably, r reserve and commit, c
 * commit an offset, s sync, o make or delete the other topic, x close and open,
 * m maintain, d delete half of the records, D all; from 1 on, in the second partition. */
static const char *const long_works[] = {"aaaaaA",
                                         "a1aaAs",
                                         "rraaAca",
                                         "aoAaoA",
                                         "cacas1cA",
                                         "aaxaaA",
                                         "maAm",
                                         "aaaa1aaaas",
                                         "aaAdaaDA",
                                         "aaDaaDxDaA",
                                         "aaaaaaaaaDaaaaaaaaaDaA"};
static const char letters[] = "aArcsoxD";
enum {
    LETTERS = sizeof letters - 1,
    LONG_WORKS = sizeof long_works / sizeof *long_works,
    WORKS = LONG_WORKS + LETTERS * LETTERS * LETTERS
};

/* The long ones, then every work of three steps. */
static void name_work(uint64_t number, char *steps)
{
    if (number < LONG_WORKS) {
        strcpy(steps, long_works[number]);
        return;
    }
    number -= LONG_WORKS;
    for (int i = 0; i < 3; i++, number /= LETTERS) steps[i] = letters[number % LETTERS];
    steps[3] = '\0';
}

static void small_work(const char *dir, const char *steps)
{
    int p = 0;

    for (; *steps != '\0' && !cut; steps++) {
        switch (*steps) {
        case '1': p = 1; break;
        case 'a': append(p, false); break;
        case 'A': append(p, true); break;
        case 'r': append_in_place(p); break;
        case 'c': commit(p); break;
        case 's': sync_store(); break;
        case 'm': maintain(); break;
        case 'd':
            delete_before(p, (model.partitions[p].end + model.partitions[p].start) / 2);
            break;
        case 'D': delete_before(p, model.partitions[p].end); break;
        case 'o': change_other_topic(); break;
        default:
            close_store();
            open_store(dir);
            open_clients();
            break;
        }
    }
}

/* What is left in directory dir, with what was promised when the power went. */
static void check_way(const char *dir)
{
    model = promised;
    cut = false;
    simdisk_mount(dir, &dice);
    open_what_is_left(dir);
    close_store();
    store = NULL;
    simdisk_unmount();
    test_remove(dir);
}

/* All states after a cut before event n of a work; how many, 0 beyond the last
 * event. */
static uint64_t cut_every_way(const char *steps, uint64_t n, uint64_t limit, bool *all)
{
    const char *dir;
    char way[64];
    uint64_t count;

    begin_case(0);
    next_number = SMALL;
    dir = test_path("disk0");
    simdisk_mount(dir, &dice);
    open_what_is_left(dir);
    for (int p = 0; p < PARTITIONS; p++) append(p, true);
    close_store();
    simdisk_unmount();

    simdisk_mount(test_path("disk0"), &dice);
    simdisk_cut_every_way_at(n, test_path("way"), limit, on_cut, NULL);
    open_what_is_left(test_path("disk0"));
    small_work(test_path("disk0"), steps);
    simdisk_cancel();
    close_store();
    store = NULL;
    count = cut ? simdisk_ways(all) : 0;
    simdisk_unmount();
    for (uint64_t i = 0; i < count; i++) {
        snprintf(way, sizeof way, "way%llu", (unsigned long long)i);
        check_way(test_path(way));
    }
    test_directory_remove();
    return count;
}

/* ---- Cases ---- */

/* Cases [1, works] and (WORKS, last] are done; of the ways to be left in at one
 * event, so many at most. */
static struct {
    uint64_t seed;
    uint64_t works;
    uint64_t last;
    uint64_t ways;
} plan;

/* Cases are numbered: those to WORKS are the small works, each cut at every
 * event in every way, what is above is by chance. */
static uint64_t run_numbered(uint64_t number)
{
    char steps[32];
    uint64_t cuts = 0;
    bool all;

    if (number > plan.works && number <= WORKS) return 0;
    dice.state = plan.seed * 2 + 1 + number * UINT64_C(1000003);
    if (number > WORKS) {
        run_case(number);
        atomic_fetch_xor(&shared->trace, dice.state);
        return CUTS_MAX;
    }
    name_work(number - 1, steps);
    for (uint64_t event = 1, count = 1; count > 0; event++) {
        count = cut_every_way(steps, event, plan.ways, &all);
        cuts += count;
        atomic_fetch_add(&shared->events, count > 0);
        atomic_fetch_add(&shared->cut_short, count > 0 && !all);
    }
    atomic_fetch_xor(&shared->trace, dice.state);
    atomic_fetch_add(&shared->works, 1);
    return cuts;
}

int main(void)
{
    uint64_t budget = proof_budget(250000, getenv("RILL_TEST_SLOW") != NULL ? 500 : 3000);
    uint64_t cuts;

    plan.seed = proof_seed();
    plan.works = budget / 400 < WORKS && getenv("CASE") == NULL ? budget / 400 : WORKS;
    plan.ways = budget / 100 + 1;
    plan.last = WORKS + budget / CUTS_MAX;
    shared = test_shared(sizeof *shared);
    /* Its memory is fast; the simulated disk says that it is an ordinary one. */
    cuts = proof_run(plan.last, run_numbered);
    printf("%llu small works with %llu events, at %llu of them in every way, at the others in "
           "%llu\n",
           (unsigned long long)atomic_load(&shared->works),
           (unsigned long long)atomic_load(&shared->events),
           (unsigned long long)(atomic_load(&shared->events) - atomic_load(&shared->cut_short)),
           (unsigned long long)plan.ways);
    printf("%llu second opinions\n", (unsigned long long)atomic_load(&shared->second_opinions));
    printf("trace %016llx\n", (unsigned long long)atomic_load(&shared->trace));
    return proof_end("powercut", cuts);
}
