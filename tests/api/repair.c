/*
 * rill_repair: whatever was damaged, afterwards the store opens, a check finds nothing,
 * every record that was not damaged is read at its offset and nothing else is; what is
 * lost is what was said to be lost; nothing was deleted; a second repair does nothing.
 */
#include "checks.h"
#include "faults.h"
#include "records.h"
#include "samples.h"
#include "txns.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "meta/meta.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char topic_id[33];

/* ---- The store -------------------------------------------------------- */

static void learn_id(void)
{
    rill_topic_info info;

    OK(rill_topic_describe(store, "t", &info));
    for (int i = 0; i < 16; i++) snprintf(topic_id + (size_t)i * 2, 3, "%02x", info.id[i]);
}

static int set_up(void **state)
{
    sample_set_up(state);
    learn_id();
    sample_close();
    return 0;
}

static const char *file_of(const char *name)
{
    static char paths[4][1500];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s/0/%s", test_path("store"), topic_id, name);
    return path;
}

/* ---- The repair ------------------------------------------------------- */

enum { ACTIONS_MAX = 64 };
static struct {
    int32_t kind;
    int32_t partition;
    rill_offset first;
    rill_offset end;
    uint64_t bytes_lost;
    char topic[RILL_TOPIC_NAME_MAX + 1];
    char file[300];
    char quarantine[300];
    char text[500];
} actions[ACTIONS_MAX];
static int action_count;
static rill_repair_report done;

static int note(void *arg, const rill_repair_action *action)
{
    int i = action_count < ACTIONS_MAX ? action_count : ACTIONS_MAX - 1;

    (void)arg;
    action_count++;
    memset(&actions[i], 0, sizeof actions[i]);
    actions[i].kind = action->kind;
    actions[i].partition = action->partition;
    actions[i].first = action->first;
    actions[i].end = action->end;
    actions[i].bytes_lost = action->bytes_lost;
    if (action->topic != NULL) snprintf(actions[i].topic, 250, "%s", action->topic);
    if (action->file != NULL) snprintf(actions[i].file, 300, "%s", action->file);
    if (action->quarantine != NULL)
        snprintf(actions[i].quarantine, 300, "%s", action->quarantine);
    assert_non_null(action->text);
    snprintf(actions[i].text, 500, "%s", action->text);
    return 0;
}

static int repair(uint32_t flags)
{
    rill_repair_options options = {.size = sizeof options, .flags = flags, .visit = note};

    action_count = 0;
    done = (rill_repair_report){.size = sizeof done};
    return rill_repair(test_path("store"), &options, &done);
}

static const char *all_actions(void)
{
    static char text[4000];
    size_t size = 0;

    text[0] = '\0';
    for (int i = 0; i < action_count && i < ACTIONS_MAX && size < sizeof text; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "\n  kind %d, %s-%d, %s: %s",
                                 actions[i].kind, actions[i].topic, actions[i].partition,
                                 actions[i].file, actions[i].text);
    return text;
}

static int action_of(int32_t kind)
{
    for (int i = 0; i < action_count && i < ACTIONS_MAX; i++)
        if (actions[i].kind == kind) return i;
    fail_msg("no action of kind %d:%s", kind, all_actions());
    return -1;
}

static int actions_of(int32_t kind)
{
    int n = 0;

    for (int i = 0; i < action_count && i < ACTIONS_MAX; i++) n += actions[i].kind == kind;
    return n;
}

static void is_sound(void)
{
    check_store();
    for (int i = 0; i < found_count; i++)
        if (found[i].severity != RILL_LOG_INFO || found[i].kind != RILL_DAMAGE_GAP)
            fail_msg("not sound after:%s\nbut:%s", all_actions(), check_says());
}

/* Reads topic t, which has all of [0, end) but the lost offsets, and no error. */
static void reads(const char *topic, int64_t end, const int64_t *lost, int lost_count)
{
    rill_consumer *consumer = test_consumer(store, topic, 0, 0);
    rill_record records[16];
    size_t count = 1;
    int64_t next = 0;
    int skipped = 0;

    while (skipped < lost_count && lost[skipped] == next) {
        skipped++;
        next++;
    }
    while (next < end) {
        OK(rill_consumer_poll(consumer, 0, records, 16, &count));
        if (count == 0) fail_msg("nothing comes behind offset %lld", (long long)next);
        for (size_t i = 0; i < count; i++, next++) {
            while (skipped < lost_count && lost[skipped] == next) {
                skipped++;
                next++;
            }
            if (records[i].offset != next)
                fail_msg("offset %lld instead of %lld:%s", (long long)records[i].offset,
                         (long long)next, all_actions());
            assert_int_equal(atoi(records[i].value.data), (int)next);
        }
        while (skipped < lost_count && lost[skipped] == next) {
            skipped++;
            next++;
        }
    }
    OK(rill_consumer_close(consumer, 0));
}

/* Damage was done: it is repaired, and that is all that is lost. */
static void repairs_with(const int64_t *lost, int lost_count, int64_t end)
{
    int64_t next;

    OK(repair(RILL_REPAIR_DRY_RUN)); /* must change nothing, and finds as much to do */
    assert_true(action_count > 0);
    OK(repair(0));
    if (done.records_lost != (uint64_t)lost_count)
        fail_msg("%d records lost, not %llu:%s", lost_count,
                 (unsigned long long)done.records_lost, all_actions());
    assert_int_equal(done.action_count, action_count);
    assert_int_equal(done.left_count, 0);
    is_sound();
    OK(repair(0));
    if (action_count != 0) fail_msg("a second repair does:%s", all_actions());
    store = test_store_open();
    reads("t", end, lost, lost_count);
    test_store_append(store, "t", (int)end, 70, VALUE);
    next = end + 70;
    reads("t", next, lost, lost_count);
    reads("other", 3, NULL, 0);
    OK(rill_close(store));
    store = NULL;
    is_sound();
    forget_boot();
    is_sound();
    store = test_store_open();
    reads("t", next, lost, lost_count);
    OK(rill_close(store));
    store = NULL;
    is_sound();
}

#define REPAIRS(...)                                                                             \
    do {                                                                                         \
        static const int64_t lost[] = {__VA_ARGS__};                                             \
        repairs_with(lost, (int)(sizeof lost / sizeof lost[0]), RECORDS);                        \
    } while (0)

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* What was taken out is there, under its name. */
static void is_in_quarantine(const char *name)
{
    char path[1600];

    snprintf(path, sizeof path, "%s/quarantine/%s/0/%s", test_path("store"), topic_id, name);
    if (!exists(path)) fail_msg("%s is not in quarantine", name);
}

/* ---- Tests ------------------------------------------------------------ */

static void a_sound_store_is_left_alone(void **state)
{
    (void)state;
    OK(repair(0));
    assert_int_equal(action_count, 0);
    assert_false(exists(test_path("store/quarantine")));
    is_sound();
}

static void damaged_batches_become_gaps(void **state)
{
    (void)state;
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 6 * BATCH + 500);
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 20); /* the first one's length */
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 59 * BATCH + 500);
    test_flip_bit(file_of(SECOND), SEGMENT_HEADER + 3 * BATCH + 500);
    REPAIRS(0, 5, 6, 59, 63);
    is_in_quarantine(FIRST);
    is_in_quarantine(SECOND);
}

static void what_is_said_is_what_was_lost(void **state)
{
    int i;

    (void)state;
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    OK(repair(0));
    i = action_of(RILL_REPAIR_GAP);
    assert_string_equal(actions[i].topic, "t");
    assert_int_equal(actions[i].partition, 0);
    assert_int_equal(actions[i].first, 5);
    assert_int_equal(actions[i].end, 6);
    assert_int_equal(actions[i].bytes_lost, BATCH);
    assert_non_null(strstr(actions[i].file, FIRST));
    i = action_of(RILL_REPAIR_SEGMENT);
    assert_non_null(strstr(actions[i].quarantine, "quarantine/"));
    assert_non_null(strstr(actions[i].quarantine, FIRST));
    assert_int_equal(done.bytes_lost, BATCH);
    assert_int_equal(done.quarantined, 1);
    assert_int_equal(actions_of(RILL_REPAIR_GAP), 1);
}

static void a_dry_run_says_the_same_and_does_nothing(void **state)
{
    char command[3000];
    rill_repair_report dry;
    int dry_actions;

    (void)state;
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    test_flip_bit(file_of("control"), 4096 + 17);
    assert_int_equal(unlink(test_path("store/STORE")), 0);
    snprintf(command, sizeof command, "cp -a '%s' '%s'", test_path("store"), test_path("before"));
    assert_int_equal(system(command), 0);
    OK(repair(RILL_REPAIR_DRY_RUN));
    dry = done;
    dry_actions = action_count;
    snprintf(command, sizeof command, "diff -r '%s' '%s'", test_path("store"),
             test_path("before"));
    assert_int_equal(system(command), 0);
    OK(repair(0));
    assert_int_equal(dry_actions, action_count);
    assert_int_equal(dry.records_lost, done.records_lost);
    assert_int_equal(dry.bytes_lost, done.bytes_lost);
}

static void the_end_of_the_active_segment_becomes_a_gap(void **state)
{
    (void)state;
    test_flip_bit(file_of(SECOND), SEGMENT_HEADER + 39 * BATCH + 500);
    test_flip_bit(file_of(SECOND), SEGMENT_HEADER + 38 * BATCH + 500);
    REPAIRS(98, 99);
}

static void the_same_after_another_boot(void **state)
{
    (void)state;
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 59 * BATCH + 500);
    test_flip_bit(file_of(SECOND), SEGMENT_HEADER + 10 * BATCH + 500);
    test_flip_bit(file_of(SECOND), SEGMENT_HEADER + 39 * BATCH + 500);
    forget_boot();
    REPAIRS(59, 70, 99);
}

static void zeros_become_gaps(void **state)
{
    static const char zeros[3 * BATCH];

    (void)state;
    change(file_of(FIRST), SEGMENT_HEADER + 10 * BATCH, zeros, sizeof zeros);
    change(file_of(SECOND), SEGMENT_HEADER, zeros, BATCH);
    REPAIRS(10, 11, 12, 60);
}

static void a_damaged_header_costs_no_record(void **state)
{
    (void)state;
    test_flip_bit(file_of(FIRST), 26);
    test_flip_bit(file_of(SECOND), 33);
    repairs_with(NULL, 0, RECORDS);
    is_in_quarantine(FIRST);
    is_in_quarantine(SECOND);
}

static void nor_with_its_index(void **state)
{
    (void)state;
    test_flip_bit(file_of(FIRST), 26);
    assert_int_equal(unlink(file_of(FIRST_INDEX)), 0);
    test_flip_bit(file_of(SECOND), 26);
    test_flip_bit(file_of(SECOND_INDEX), 17);
    repairs_with(NULL, 0, RECORDS);
}

static void the_first_sector_costs_what_was_in_it(void **state)
{
    static const char zeros[512];

    (void)state;
    change(file_of(FIRST), 0, zeros, sizeof zeros);
    change(file_of(SECOND), 0, zeros, sizeof zeros);
    assert_int_equal(unlink(file_of(FIRST_INDEX)), 0);
    REPAIRS(0, 60);
}

static void a_cut_segment_is_made_whole(void **state)
{
    (void)state;
    assert_int_equal(truncate(file_of(FIRST), SEGMENT_HEADER + 58 * BATCH + 100), 0);
    assert_int_equal(truncate(file_of(SECOND), SEGMENT_HEADER + 38 * BATCH + 100), 0);
    REPAIRS(58, 59, 98, 99);
}

static void a_lost_segment_becomes_a_gap(void **state)
{
    static int64_t lost[60];

    (void)state;
    for (int i = 0; i < 60; i++) lost[i] = i;
    assert_int_equal(unlink(file_of(FIRST)), 0);
    repairs_with(lost, 60, RECORDS);
}

static void a_lost_active_segment_becomes_a_gap(void **state)
{
    static int64_t lost[40];

    (void)state;
    for (int i = 0; i < 40; i++) lost[i] = 60 + i;
    assert_int_equal(unlink(file_of(SECOND)), 0);
    repairs_with(lost, 40, RECORDS);
}

static void all_segments_lost_become_gaps_in_each_boot(void **state)
{
    static int64_t lost[100];

    (void)state;
    for (int i = 0; i < 100; i++) lost[i] = i;
    assert_int_equal(unlink(file_of(FIRST)), 0);
    assert_int_equal(unlink(file_of(SECOND)), 0);
    if (test_random_seeded(1).state % 2 == 0) forget_boot();
    repairs_with(lost, 100, RECORDS);
}

static void the_same_files_in_another_boot(void **state)
{
    static int64_t lost[41];

    (void)state;
    for (int i = 0; i < 40; i++) lost[i + 1] = 60 + i;
    lost[0] = 5;
    forget_boot();
    assert_int_equal(unlink(file_of(SECOND)), 0);
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    repairs_with(lost, 41, RECORDS);
}

static void another_partitions_segment_is_taken_out(void **state)
{
    static int64_t lost[60];
    char command[4000];
    const char *other;

    (void)state;
    for (int i = 0; i < 60; i++) lost[i] = i;
    store = test_store_open();
    other = test_find_file("/meta/data.mdb"); /* any file that is none of this partition's */
    OK(rill_close(store));
    store = NULL;
    snprintf(command, sizeof command, "cp '%s' '%s'", other, file_of(FIRST));
    assert_int_equal(system(command), 0);
    repairs_with(lost, 60, RECORDS);
    is_in_quarantine(FIRST);
}

static void a_directory_in_its_place_is_taken_out(void **state)
{
    static int64_t lost[60];

    (void)state;
    for (int i = 0; i < 60; i++) lost[i] = i;
    assert_int_equal(unlink(file_of(FIRST)), 0);
    assert_int_equal(mkdir(file_of(FIRST), 0700), 0);
    repairs_with(lost, 60, RECORDS);
    is_in_quarantine(FIRST);
}

/* In a sealed segment they come back into their order; in the active one, whose places
 * are known elsewhere, they are lost. */
static void displaced_batches_come_back_into_their_order(void **state)
{
    static char one[BATCH];
    static char two[BATCH];

    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *path = file_of(i == 0 ? FIRST : SECOND);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, one, BATCH, SEGMENT_HEADER + 3 * BATCH), BATCH);
        assert_int_equal(pread(fd, two, BATCH, SEGMENT_HEADER + 8 * BATCH), BATCH);
        close(fd);
        change(path, SEGMENT_HEADER + 3 * BATCH, two, BATCH);
        change(path, SEGMENT_HEADER + 8 * BATCH, one, BATCH);
    }
    REPAIRS(63, 68);
}

static void a_batch_of_senseless_records_becomes_a_gap(void **state)
{
    static uint8_t batch[BATCH];
    const char *path = file_of(FIRST);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t old_sum;

    (void)state;
    assert_int_equal(pread(fd, batch, BATCH, SEGMENT_HEADER + 4 * BATCH), BATCH);
    close(fd);
    old_sum = rill__checksum(batch + 20, BATCH - 20);
    rill__put32(batch + 64 + 4, VALUE + 5000);
    rill__put64(batch, rill__get64(batch) ^ old_sum ^ rill__checksum(batch + 20, BATCH - 20));
    change(path, SEGMENT_HEADER + 4 * BATCH, batch, BATCH);
    REPAIRS(4);
}

static void indexes_are_made_anew(void **state)
{
    (void)state;
    assert_int_equal(unlink(file_of(FIRST_INDEX)), 0);
    test_flip_bit(file_of(SECOND_INDEX), 64 + 3 * 16 + 5);
    repairs_with(NULL, 0, RECORDS);
    test_flip_bit(file_of(FIRST_INDEX), 64 + 3 * 16 + 5);
    test_flip_bit(file_of(SECOND_INDEX), 17);
    forget_boot();
    repairs_with(NULL, 0, RECORDS + 70);
}

static void marks_and_words_are_made_anew(void **state)
{
    (void)state;
    test_flip_bit(file_of("control"), 4096 + 17);
    repairs_with(NULL, 0, RECORDS);
    test_flip_bit(file_of("control"), 4096 + 17);
    test_flip_bit(file_of("control"), 4608 + 17);
    repairs_with(NULL, 0, RECORDS + 70);
    is_in_quarantine("control");
    forget_boot();
    test_flip_bit(file_of("control"), 4096 + 17);
    test_flip_bit(file_of("control"), 4608 + 17);
    repairs_with(NULL, 0, RECORDS + 140);
    assert_int_equal(truncate(file_of("control"), 5000), 0);
    repairs_with(NULL, 0, RECORDS + 210);
    assert_int_equal(unlink(file_of("control")), 0);
    repairs_with(NULL, 0, RECORDS + 280);
}

static void any_bit_of_the_words_costs_no_record(void **state)
{
    (void)state;
    for (long at = 0; at < 1200; at += 3) {
        test_flip_bit(file_of("control"), at);
        OK(repair(0));
        check_store();
        for (int i = 0; i < found_count; i++)
            if (found[i].severity != RILL_LOG_INFO && found[i].kind != RILL_DAMAGE_POISONED)
                fail_msg("byte %ld:%s", at, check_says());
        store = test_store_open();
        reads("t", RECORDS, NULL, 0);
        OK(rill_close(store));
        store = NULL;
    }
}

static void without_marks_damage_is_still_repaired(void **state)
{
    (void)state;
    forget_boot();
    test_flip_bit(file_of("control"), 4096 + 17);
    test_flip_bit(file_of("control"), 4608 + 17);
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    test_flip_bit(file_of(SECOND), SEGMENT_HEADER + 5 * BATCH + 500);
    REPAIRS(5, 65);
}

static void the_file_STORE_is_made_anew(void **state)
{
    (void)state;
    test_flip_bit(test_path("store/STORE"), 20);
    repairs_with(NULL, 0, RECORDS);
    assert_true(exists(test_path("store/quarantine/STORE")));
    assert_int_equal(unlink(test_path("store/STORE")), 0);
    repairs_with(NULL, 0, RECORDS + 70);
}

static void lost_directories_are_made_anew(void **state)
{
    char path[1500];
    rill_offset end;

    (void)state;
    snprintf(path, sizeof path, "%s", file_of(""));
    test_remove(path);
    OK(repair(0));
    action_of(RILL_REPAIR_PARTITION);
    check_store(); /* recovery will lower the commit */
    assert_int_equal(found_count, 1);
    assert_int_equal(check_found(RILL_DAMAGE_COMMIT)->severity, RILL_LOG_INFO);
    store = test_store_open();
    end = log_end_of(store, "t", 0);
    assert_int_equal(end, 0);
    test_store_append(store, "t", 0, 3, VALUE);
    OK(rill_close(store));
    store = NULL;
    snprintf(path, sizeof path, "%s/%s", test_path("store"), topic_id);
    test_remove(path);
    OK(repair(0));
    assert_int_equal(actions_of(RILL_REPAIR_PARTITION), 2);
    is_sound();
    store = test_store_open();
}

static void what_is_not_ours_is_moved(void **state)
{
    FILE *file = fopen(file_of("stray"), "w");

    (void)state;
    fclose(file);
    repairs_with(NULL, 0, RECORDS);
    assert_false(exists(file_of("stray")));
    is_in_quarantine("stray");
}

/* ---- The catalogue ---- */

static rill_offset committed(const char *topic)
{
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    rill_position position = {.offset = -99};
    rill_consumer *consumer;

    OK(rill_consumer_open(store, &in, &consumer));
    if (rill_consumer_committed(consumer, topic, 0, &position, NULL, 0) != 0)
        position.offset = -99;
    OK(rill_consumer_close(consumer, 0));
    return position.offset;
}

static long find_in_catalogue(const char *key, int version)
{
    static char bytes[1 << 20];
    int fd = open(test_path("store/meta/data.mdb"), O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, bytes, sizeof bytes);
    const char *at = bytes;

    close(fd);
    for (; at != NULL; at++) {
        at = memmem(at, (size_t)(bytes + size - at), key, strlen(key));
        if (at == NULL) break;
        if (version-- == 0) return at - bytes;
    }
    return -1;
}

static void a_damaged_record_comes_back_from_an_older_page(void **state)
{
    long at;

    (void)state;
    for (int version = 0;; version++) {
        at = find_in_catalogue("Tother", version);
        assert_true(at >= 0);
        test_flip_bit(test_path("store/meta/data.mdb"), at + 10);
        check_store();
        if (found_count > 0) break;
        test_flip_bit(test_path("store/meta/data.mdb"), at + 10); /* an older one: sound again */
    }
    repairs_with(NULL, 0, RECORDS);
    store = test_store_open();
    assert_int_equal(committed("t"), 7);
    assert_true(exists(test_path("store/quarantine/meta/data.mdb")));
}

static int epoch_at(long at)
{
    uint8_t bytes[2];
    int fd = open(test_path("store/meta/data.mdb"), O_RDONLY | O_CLOEXEC);

    assert_int_equal(pread(fd, bytes, 2, at + 4 + 8), 2);
    close(fd);
    return rill__get16(bytes);
}

/* Of a producer's name an older version comes back; the logs have later epochs, under which it
 * must go on all the same. */
static void a_job_goes_on_from_an_older_page(void **state)
{
    int oldest = 1000;
    int newest = -1;
    rill_producer *producer;
    rill_view *view;
    rill_txn *txn;
    long at;

    (void)state;
    store = test_store_open();
    producer = txn_job(store, "job");
    OK(rill_view_open(store, &view)); /* so older pages stay */
    for (int i = 0; i < 10; i++) {
        txn = txn_begin(producer);
        txn_send(producer, NULL, 1, i);
        OK(rill_txn_commit(txn, WAIT_MS));
    }
    OK(rill_producer_close(producer, WAIT_MS));
    rill_view_close(view);
    OK(rill_close(store));
    store = NULL;
    for (int version = 0; (at = find_in_catalogue("Xjob", version)) >= 0; version++) {
        if (epoch_at(at) < oldest) oldest = epoch_at(at);
        if (epoch_at(at) > newest) newest = epoch_at(at);
    }
    assert_true(newest == 10 && oldest < newest - 1);
    for (int version = 0; (at = find_in_catalogue("Xjob", version)) >= 0; version++)
        if (epoch_at(at) > oldest) test_flip_bit(test_path("store/meta/data.mdb"), at + 10);
    OK(repair(0));
    store = test_store_open();
    producer = txn_job(store, "job");
    txn = txn_begin(producer);
    txn_send(producer, NULL, 1, 10);
    OK(rill_txn_commit(txn, WAIT_MS));
    OK(rill_producer_close(producer, WAIT_MS));
    txn_sees(store, "t", 1, "0 1 2 3 4 5 6 7 8 9 10 ");
}

/* The same of one without transactions: what it repeats is known still. */
static void an_import_goes_on_from_an_older_page(void **state)
{
    rill_producer_options named = {.size = sizeof named, .topic = "t", .producer_name = "job"};
    rill_producer *producer;
    rill_record record;
    rill_view *view;
    int64_t number = 7;
    int32_t sequence;
    int oldest = 1000;
    long at;

    (void)state;
    record = record_of(&number);
    record.partition = 1;
    store = test_store_open();
    OK(rill_view_open(store, &view)); /* so older pages stay */
    for (int i = 0; i < 6; i++) {
        OK(rill_producer_open(store, &named, &producer));
        OK(rill_producer_append_sequenced(producer, i, &record, 1, WAIT_MS, NULL));
        OK(rill_producer_close(producer, WAIT_MS));
    }
    rill_view_close(view);
    OK(rill_close(store));
    store = NULL;
    for (int version = 0; (at = find_in_catalogue("Xjob", version)) >= 0; version++)
        if (epoch_at(at) < oldest) oldest = epoch_at(at);
    assert_in_range(oldest, 0, 3);
    for (int version = 0; (at = find_in_catalogue("Xjob", version)) >= 0; version++)
        if (epoch_at(at) > oldest) test_flip_bit(test_path("store/meta/data.mdb"), at + 10);
    OK(repair(0));
    store = test_store_open();
    OK(rill_producer_open(store, &named, &producer));
    OK(rill_producer_sequence(producer, NULL, 1, &sequence));
    assert_int_equal(sequence, 6);
    OK(rill_producer_append_sequenced(producer, 5, &record, 1, WAIT_MS, NULL)); /* again */
    OK(rill_producer_append_sequenced(producer, 6, &record, 1, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
    txn_sees(store, "t", 1, "7 7 7 7 7 7 7 ");
}

static void a_topic_without_a_name_gets_another(void **state)
{
    rill_topic_info info;
    char name[64];
    int i;

    (void)state;
    /* Every version of it. */
    for (int version = 0; find_in_catalogue("Tt", version) >= 0; version++)
        test_flip_bit(test_path("store/meta/data.mdb"), find_in_catalogue("Tt", version) + 10);
    OK(repair(0));
    is_sound();
    i = action_of(RILL_REPAIR_TOPIC);
    snprintf(name, sizeof name, "recovered-%s", topic_id);
    assert_string_equal(actions[i].topic, name);
    store = test_store_open();
    OK(rill_topic_describe(store, name, &info));
    assert_int_equal(info.options.partition_count, 2);
    assert_int_equal(info.options.segment_bytes, 64 << 10);
    reads(name, RECORDS, NULL, 0);
    reads("other", 3, NULL, 0);
    assert_int_equal(committed(name), 7); /* goes by the id */
}

static void a_lost_catalogue_is_made_of_the_directories(void **state)
{
    static const int sizes[] = {-1, 0, 100, 4096, 5000};
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "recovered-%s", topic_id);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i] < 0) assert_int_equal(unlink(test_path("store/meta/data.mdb")), 0);
        else assert_int_equal(truncate(test_path("store/meta/data.mdb"), sizes[i]), 0);
        OK(repair(0));
        is_sound();
        OK(repair(0));
        assert_int_equal(action_count, 0);
        store = test_store_open();
        reads(name, RECORDS, NULL, 0);
        OK(rill_close(store));
        store = NULL;
    }
    test_remove(test_path("store/meta"));
    OK(repair(0));
    is_sound();
    store = test_store_open();
    reads(name, RECORDS, NULL, 0);
}

static void damaged_pages_lose_what_no_other_page_has(void **state)
{
    struct test_random random = test_random_seeded(5);

    (void)state;
    for (int i = 0; i < 40; i++) {
        char name[64];
        struct stat st;
        bool named;

        assert_int_equal(stat(test_path("store/meta/data.mdb"), &st), 0);
        test_flip_bit(test_path("store/meta/data.mdb"),
                      (long)test_random_below(
                          &random, (uint64_t)st.st_size < 40960 ? (uint64_t)st.st_size : 40960));
        OK(repair(0));
        is_sound();
        store = test_store_open();
        named = rill_topic_describe(store, "t", &(rill_topic_info){.created_ms = 0}) == 0;
        snprintf(name, sizeof name, "recovered-%s", topic_id);
        reads(named ? "t" : name, RECORDS, NULL, 0);
        OK(rill_close(store));
        store = NULL;
    }
}

static void a_repair_of_the_catalogue_that_died_is_finished(void **state)
{
    (void)state;
    assert_int_equal(rename(test_path("store/meta"), test_path("store/meta.repaired")), 0);
    OK(repair(0));
    is_sound();
    store = test_store_open();
    reads("t", RECORDS, NULL, 0);
    assert_int_equal(committed("t"), 7);
    OK(rill_close(store));
    store = NULL;
    assert_int_equal(mkdir(test_path("store/meta.repaired"), 0700), 0);
    assert_int_equal(mkdir(test_path("store/meta.tmp"), 0700), 0);
    OK(repair(0));
    assert_false(exists(test_path("store/meta.repaired")));
}

static void commits_are_brought_into_their_logs(void **state)
{
    struct meta_offset o = {.offset = 101};
    struct heap heap;
    struct meta *meta;

    (void)state;
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        assert_int_equal(sscanf(topic_id + (size_t)i * 2, "%2x", &byte), 1);
        o.topic_id[i] = (uint8_t)byte;
    }
    rill__heap_init(&heap, NULL, 0);
    OK(rill__meta_open(&heap, test_path("store/meta"), false, &meta));
    OK(rill__meta_offsets_commit(meta, "g2", &o, 1));
    o.partition = 9;
    OK(rill__meta_offsets_commit(meta, "g2", &o, 1));
    o.topic_id[3] ^= 1;
    OK(rill__meta_offsets_commit(meta, "g3", &o, 1));
    rill__meta_close(meta);
    OK(repair(RILL_REPAIR_DRY_RUN));
    assert_int_equal(actions_of(RILL_REPAIR_COMMIT), 2);
    OK(repair(0));
    assert_int_equal(actions_of(RILL_REPAIR_COMMIT), 3);
    is_sound();
    o.topic_id[3] ^= 1;
    OK(rill__meta_open(&heap, test_path("store/meta"), false, &meta));
    OK(rill__meta_offset_get(meta, "g2", o.topic_id, 0, &o, NULL, 0));
    assert_int_equal(o.offset, 100);
    FAILS(RILL_ERR_NOT_FOUND, rill__meta_offset_get(meta, "g2", o.topic_id, 9, &o, NULL, 0));
    rill__meta_close(meta);
}

static int nothing(void *arg, const struct meta_group *group, struct meta_group_change *change)
{
    (void)group;
    change->store = true;
    change->generation = 5;
    change->state = arg;
    change->state_size = 3;
    return 0;
}

static void a_group_that_does_not_decode_forgets_its_members(void **state)
{
    static char state_bytes[] = "abc";
    struct heap heap;
    struct meta *meta;
    int32_t generation;

    (void)state;
    rill__heap_init(&heap, NULL, 0);
    OK(rill__meta_open(&heap, test_path("store/meta"), false, &meta));
    OK(rill__meta_group_step(meta, "g", 1000, nothing, state_bytes));
    rill__meta_close(meta);
    check_store();
    check_found(RILL_DAMAGE_CATALOGUE_RECORD);
    OK(repair(0));
    assert_int_equal(actions_of(RILL_REPAIR_RECORD), 1);
    is_sound();
    OK(rill__meta_open(&heap, test_path("store/meta"), false, &meta));
    OK(rill__meta_group_get(meta, "g", &generation));
    assert_true(generation > 5);
    rill__meta_close(meta);
    store = test_store_open();
    assert_int_equal(committed("t"), 7);
}

/* ---- Refusals ---- */

static void a_store_in_use_is_busy(void **state)
{
    pid_t pid;
    int pipes[2];
    char byte = 0;

    (void)state;
    store = test_store_open();
    FAILS(RILL_ERR_BUSY, repair(0));
    OK(rill_close(store));
    store = NULL;
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    if (pid == 0) {
        store = test_store_open();
        if (write(pipes[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    FAILS(RILL_ERR_BUSY, repair(0));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(pipes[0]);
    close(pipes[1]);
    OK(repair(0));
    assert_int_equal(action_count, 0);
}

static void a_newer_format_is_not_touched(void **state)
{
    uint8_t header[SEGMENT_HEADER];
    int fd = open(file_of(SECOND), O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    rill__put16(header + 8, 7);
    rill__put64(header + 120, rill__checksum(header, 120));
    change(file_of(SECOND), 0, header, sizeof header);
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    FAILS(RILL_ERR_FORMAT, repair(0));
    assert_false(exists(test_path("store/quarantine")));
}

static int stop_at(void *arg, const rill_repair_action *action)
{
    (void)action;
    return --*(int *)arg == 0 ? 88 : 0;
}

static int stop_progress(void *arg, const rill_progress *progress)
{
    assert_true(progress->done <= progress->total);
    return --*(int *)arg == 0 ? 89 : 0;
}

static void it_can_be_stopped_and_done_again(void **state)
{
    static const int64_t lost[] = {5, 63};
    rill_repair_options options = {.size = sizeof options, .visit = stop_at};
    int rc = 88;
    int rounds = 0;

    (void)state;
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    test_flip_bit(file_of(SECOND), SEGMENT_HEADER + 3 * BATCH + 500);
    test_flip_bit(file_of("control"), 4096 + 17);
    for (int at = 1; rc == 88; at = 1 + rounds % 3) {
        options.visit_arg = &at;
        done = (rill_repair_report){.size = sizeof done};
        rc = rill_repair(test_path("store"), &options, &done);
        assert_true(++rounds < 30);
    }
    OK(rc);
    is_sound();
    options.visit = NULL;
    options.progress = stop_progress;
    for (int n = 1; n < 4; n++) {
        int left = n;
        options.progress_arg = &left;
        assert_int_equal(rill_repair(test_path("store"), &options, &done), 89);
    }
    store = test_store_open();
    reads("t", RECORDS, lost, 2);
}

/* One call after the other: the disk is full, or there are no descriptors left. Then
 * the repair is done again. */
static uint64_t fail_each(unsigned calls, int errno_value, uint64_t step)
{
    static const int64_t lost[] = {5, 63};
    char command[3000];
    uint64_t n = 0;
    bool failed;
    int rc;

    do {
        snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", test_path("store"),
                 test_path("before"), test_path("store"));
        assert_int_equal(system(command), 0);
        n += step;
        faults_fail(calls, NULL, n, errno_value, FAULT_ONCE);
        rc = repair(0);
        failed = faults_count() >= n;
        faults_clear();
        if (rc != 0) assert_true(rill_errmsg()[0] != '\0');
        OK(repair(0));
        is_sound();
        store = test_store_open();
        reads("t", RECORDS, lost, 2);
        assert_int_equal(committed("t"), 7);
        OK(rill_close(store));
        store = NULL;
    } while (failed);
    return n;
}

static void a_call_that_fails_costs_nothing(void **state)
{
    char command[3000];

    (void)state;
    test_flip_bit(file_of(FIRST), SEGMENT_HEADER + 5 * BATCH + 500);
    test_flip_bit(file_of(SECOND), SEGMENT_HEADER + 3 * BATCH + 500);
    test_flip_bit(file_of("control"), 4096 + 17);
    test_flip_bit(test_path("store/STORE"), 20);
    snprintf(command, sizeof command, "cp -a '%s' '%s'", test_path("store"), test_path("before"));
    assert_int_equal(system(command), 0);
    assert_true(
        fail_each(FAULT_FALLOCATE | FAULT_PWRITE | FAULT_FDATASYNC | FAULT_FSYNC | FAULT_RENAMEAT,
                  ENOSPC, 3) > 10);
    assert_true(fail_each(FAULT_OPENAT, EMFILE, 17) > 10);
}

static void arguments_are_checked(void **state)
{
    rill_repair_options options = {.size = sizeof options, .flags = 8};
    rill_repair_report report = {.size = sizeof report};
    char path[600];

    (void)state;
    FAILS(RILL_ERR_INVALID, rill_repair(NULL, NULL, &report));
    FAILS(RILL_ERR_INVALID, rill_repair("", NULL, &report));
    FAILS(RILL_ERR_INVALID, rill_repair("x", NULL, NULL));
    FAILS(RILL_ERR_INVALID, rill_repair(test_path("store"), &options, &report));
    options.flags = 0;
    options.allocator.arg = &report;
    options.allocator.release = (void (*)(void *, void *))(uintptr_t)1;
    FAILS(RILL_ERR_INVALID, rill_repair(test_path("store"), &options, &report));
    report.size = 3;
    FAILS(RILL_ERR_INVALID, rill_repair(test_path("store"), NULL, &report));
    report.size = sizeof report;
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    FAILS(RILL_ERR_INVALID, rill_repair(path, NULL, &report));
    FAILS(RILL_ERR_NOT_FOUND, rill_repair(test_path("nowhere"), NULL, &report));
    assert_int_equal(mkdir(test_path("empty"), 0700), 0);
    FAILS(RILL_ERR_NOT_FOUND, rill_repair(test_path("empty"), NULL, &report));
    assert_false(exists(test_path("empty/shared")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, sample_tear_down)
        TEST(a_sound_store_is_left_alone),
        TEST(damaged_batches_become_gaps),
        TEST(what_is_said_is_what_was_lost),
        TEST(a_dry_run_says_the_same_and_does_nothing),
        TEST(the_end_of_the_active_segment_becomes_a_gap),
        TEST(the_same_after_another_boot),
        TEST(zeros_become_gaps),
        TEST(a_damaged_header_costs_no_record),
        TEST(nor_with_its_index),
        TEST(the_first_sector_costs_what_was_in_it),
        TEST(a_cut_segment_is_made_whole),
        TEST(a_lost_segment_becomes_a_gap),
        TEST(a_lost_active_segment_becomes_a_gap),
        TEST(all_segments_lost_become_gaps_in_each_boot),
        TEST(the_same_files_in_another_boot),
        TEST(another_partitions_segment_is_taken_out),
        TEST(a_directory_in_its_place_is_taken_out),
        TEST(displaced_batches_come_back_into_their_order),
        TEST(a_batch_of_senseless_records_becomes_a_gap),
        TEST(indexes_are_made_anew),
        TEST(marks_and_words_are_made_anew),
        TEST(any_bit_of_the_words_costs_no_record),
        TEST(without_marks_damage_is_still_repaired),
        TEST(the_file_STORE_is_made_anew),
        TEST(lost_directories_are_made_anew),
        TEST(what_is_not_ours_is_moved),
        TEST(a_damaged_record_comes_back_from_an_older_page),
        TEST(a_job_goes_on_from_an_older_page),
        TEST(an_import_goes_on_from_an_older_page),
        TEST(a_topic_without_a_name_gets_another),
        TEST(a_lost_catalogue_is_made_of_the_directories),
        TEST(damaged_pages_lose_what_no_other_page_has),
        TEST(a_repair_of_the_catalogue_that_died_is_finished),
        TEST(commits_are_brought_into_their_logs),
        TEST(a_group_that_does_not_decode_forgets_its_members),
        TEST(a_store_in_use_is_busy),
        TEST(a_newer_format_is_not_touched),
        TEST(it_can_be_stopped_and_done_again),
        TEST(a_call_that_fails_costs_nothing),
        TEST(arguments_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
