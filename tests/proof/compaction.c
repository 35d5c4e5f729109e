/*
 * compaction.c - no power cut in a compaction loses a key, or brings one back.
 *
 * A partition is on a simulated disk (simdisk.h) and is compacted; the power goes
 * before some event of that, or of the recovery after it, and what the disk then
 * holds is opened. Whatever has come of the compaction:
 *
 *     the log ends where it did, or at least holds all that was durable;
 *     of each key the last record is there, and no value that a tombstone, which
 *     is gone, has hidden; no tombstone goes early;
 *     offsets, order and bytes are as they were appended; what was not before the
 *     active segment when it was compacted is all there;
 *     it can be read from any offset on, and searched by time;
 *     nothing is left of what was in the making, and the next compaction leaves
 *     only what must be there.
 *
 * First small works, cut before each of their events in every way that the disk may
 * be left in then (or as many as the budget has); then random ones, cut up to four
 * times each.
 *
 * BUDGET counts cuts. A violation names its case, which CASE=n runs alone.
 */
#include "keyed.h"
#include "base/bytes.h"
#include "log/compact.h"
#include "proof.h"
#include "simdisk.h"
#include <dirent.h>
#include <sys/stat.h>

enum { CUTS_MAX = 4, RECORDS_MAX = 900 };
#define HOUR_MS INT64_C(3600000)

/* What was appended, and what was promised of it. */
struct model {
    struct keyed keyed;
    int64_t clock[KEYED_MAX]; /* when it was appended */
    int64_t durable;
    int64_t start; /* the log's, as the last deletion that returned has it */
    int64_t starting;
    int64_t sealed; /* what lay before the active segment when it was compacted last */
    int64_t now_ms;
};

static struct {
    _Atomic uint64_t events;
    _Atomic uint64_t cut_short;
    _Atomic uint64_t replaced; /* cuts after which a compacted segment was there */
    _Atomic uint64_t trace;
} * shared;

static struct model model;
static struct model promised;
static bool cut;
static struct test_random dice;
static struct test_log t;
static char directory[700];

static uint64_t roll(uint64_t limit)
{
    return test_random_below(&dice, limit);
}

/* ---- The partition ---- */

static void on_cut(void *arg)
{
    (void)arg;
    promised = model;
    cut = true;
}

static struct file open_directory(void)
{
    struct file dir = FILE_NONE;

    OK(rill__dir_open(directory, &dir));
    return dir;
}

/* As the first process after a boot. */
static void open_log(void)
{
    struct file dir = open_directory();

    rill__put64(t.config.boot_id + 8, rill__get64(t.config.boot_id + 8) + 1);
    t.config.incarnation++;
    OK(rill__log_open(&t.config, &dir, 0, &t.log));
}

static void close_log(void)
{
    test_log_close(&t);
}

static int64_t active(void)
{
    int64_t base = atomic_load(&t.log->control->active_base);
    return base < 0 ? 0 : base;
}

/* ---- The work ---- */

static void append(const char *records, const struct keyed_batch *as)
{
    int64_t base = model.keyed.end;

    if (base + (int64_t)strlen(records) > RECORDS_MAX) return;
    for (size_t i = 0; i < strlen(records); i++) model.clock[base + (int64_t)i] = model.now_ms;
    keyed_append_as(t.log, &model.keyed, records, as);
}

static void append_some(void)
{
    static const char letters[] = "aaabbcdefghABC.";
    struct keyed_batch as = {0};
    char records[12];
    size_t count = 1 + roll(10);

    for (size_t i = 0; i < count; i++) records[i] = letters[roll(sizeof letters - 1)];
    records[count] = '\0';
    if (roll(3) == 0) as.value_size = 100 + roll(250);
    if (roll(5) == 0) as.producer_id = 1 + (int64_t)roll(3);
    if (roll(6) == 0) as.attributes = BATCH_APPEND_TIME;
    append(records, &as);
}

static void sync_log(void)
{
    OK(rill__log_sync(t.log, model.keyed.end, INT64_MAX));
    model.durable = model.keyed.end;
}

static bool stop_after(void *arg)
{
    int *left = arg;
    return (*left)-- <= 0;
}

static void compact(bool all)
{
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;
    int left = (int)roll(8);

    what.now_ms = model.now_ms;
    what.delete_retention_ms = (uint64_t)HOUR_MS;
    if (!all) {
        what.memory_bytes = roll(4) * 150;
        if (roll(3) == 0) what.stop = stop_after;
        what.stop_arg = &left;
    }
    if (active() > model.sealed) model.sealed = active();
    OK(rill__log_compact(t.log, &what, &report));
    if (report.passes > 0 && !all && model.durable < model.sealed) model.durable = model.sealed;
}

static void delete_some(void)
{
    int64_t before =
        model.start + (int64_t)roll((uint64_t)(model.keyed.end - model.start) / 3 + 1);

    model.starting = before;
    OK(rill__log_delete_before(t.log, before, INT64_MAX, NULL));
    model.start = before;
    if (model.durable < before) model.durable = before;
}

static void work(uint64_t steps)
{
    for (uint64_t i = 0; i < steps && !cut; i++) {
        model.now_ms += (int64_t)roll(20) * 60000;
        switch (roll(12)) {
        case 0: sync_log(); break;
        case 1:
        case 2:
        case 3:
            sync_log();
            compact(false);
            break;
        case 4:
        case 5: keyed_roll(t.log); break;
        case 6:
            if (roll(3) == 0) delete_some();
            break;
        case 7:
            close_log();
            open_log();
            break;
        default: append_some(); break;
        }
    }
}

/* ---- After a cut ---- */

static const char *check_tombstones(const bool *there, int64_t start, int64_t end)
{
    static char text[100];
    const struct keyed *k = &model.keyed;

    for (int64_t i = start; i < end; i++) {
        bool last = true;
        if (k->kinds[i] < 'A' || k->kinds[i] > 'Z' || there[i]) continue;
        for (int64_t j = i + 1; j < end && last; j++)
            last = (k->kinds[j] | 32) != (k->kinds[i] | 32);
        if (!last || model.clock[i] + HOUR_MS <= model.now_ms) continue;
        snprintf(text, sizeof text, "tombstone %c%lld is gone early", k->kinds[i], (long long)i);
        return text;
    }
    return NULL;
}

static void right(const char *wrong)
{
    if (wrong != NULL) fail_msg("%s", wrong);
}

static void check_searches(const bool *there, int64_t start, int64_t end)
{
    for (int i = 0; i < 5 && end > start; i++) {
        int64_t from = start + (int64_t)roll((uint64_t)(end - start) + 1);
        static bool rest[KEYED_MAX];
        keyed_parse(keyed_text(t.log, &model.keyed, from), rest);
        for (int64_t o = 0; o < end; o++)
            if (rest[o] != (there[o] && o >= from))
                fail_msg("read from %lld on: %lld is %s there", (long long)from, (long long)o,
                         rest[o] ? "also" : "not");
    }
    for (int i = 0; i < 3 && end > start; i++) {
        int64_t want = start + (int64_t)roll((uint64_t)(end - start));
        int64_t found;
        if (!there[want]) continue;
        OK(rill__log_offset_for_time(t.log, model.keyed.times[want], &found));
        if (found > want || found < start || !there[found])
            fail_msg("the time of %lld leads to %lld", (long long)want, (long long)found);
    }
}

/* Every file is one of the log; after a compaction there is none too many. */
static void check_files(bool compacted)
{
    struct dirent *entry;
    DIR *dir = opendir(directory);
    uint32_t files = 0;
    uint32_t segments = 0;
    uint64_t bytes;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot != NULL && strcmp(dot, ".tmp") == 0) fail_msg("%s is left", entry->d_name);
        if (rill__segment_base_of(entry->d_name) >= 0) files++;
    }
    closedir(dir);
    if (!compacted) return;
    OK(rill__log_segments(t.log, &segments, &bytes));
    assert_int_equal(files, segments);
}

static void note_replaced(void)
{
    struct segment_header header;
    int64_t base;

    OK(rill__log_base_of(t.log, rill__log_start(t.log), &base));
    OK(rill__segment_peek(&t.config, &t.log->dir, base, &header));
    if (header.compacted) atomic_fetch_add(&shared->replaced, 1);
}

static void check_log(void)
{
    static bool there[KEYED_MAX];
    int64_t start = rill__log_start(t.log);
    int64_t end = rill__log_end(t.log);

    if (end < model.durable || end > model.keyed.end)
        fail_msg("it ends at %lld, between %lld and %lld", (long long)end,
                 (long long)model.durable, (long long)model.keyed.end);
    if (start != model.start && start != model.starting)
        fail_msg("it begins at %lld", (long long)start);
    model.keyed.end = model.durable = end;
    model.start = model.starting = start;
    if (model.sealed > end) model.sealed = end;
    keyed_parse(keyed_text(t.log, &model.keyed, start), there);
    right(keyed_wrong(&model.keyed, start, end, model.sealed, there));
    right(check_tombstones(there, start, end));
    check_searches(there, start, end);
    check_files(false);
    if (end > start) note_replaced();
}

/* Once more, and to its end. */
static void check_compaction(void)
{
    static bool there[KEYED_MAX];
    int64_t start = model.start;
    int64_t clean = active();

    compact(true);
    keyed_parse(keyed_text(t.log, &model.keyed, start), there);
    right(keyed_wrong(&model.keyed, start, model.keyed.end, model.sealed, there));
    right(check_tombstones(there, start, model.keyed.end));
    right(keyed_unclean(&model.keyed, start, clean, there));
    check_files(true);
}

/* ---- Cases ---- */

static void begin_case(void)
{
    struct file dir;

    memset(&model, 0, sizeof model);
    model.now_ms = INT64_C(1000000000);
    cut = false;
    test_log_init(&t); /* its directory holds ours */
    assert_int_equal(mkdir(test_path("disk0"), 0700), 0);
    snprintf(directory, sizeof directory, "%s", test_path("disk0"));
    dir = open_directory();
    OK(rill__log_create(&dir));
    rill__file_close(&dir);
}

static void end_case(void)
{
    test_log_deinit(&t);
}

static void use_directory(const char *name)
{
    snprintf(directory, sizeof directory, "%s", test_path(name));
}

static void power_goes(const char *to)
{
    if (!cut) {
        simdisk_cut(test_path(to));
        promised = model;
    }
    simdisk_cancel();
    close_log();
    simdisk_unmount();
    model = promised;
    cut = false;
}

static void run_case(void)
{
    char to[16];

    begin_case();
    for (int i = 0; i < CUTS_MAX; i++) {
        simdisk_mount(directory, &dice);
        snprintf(to, sizeof to, "disk%d", i + 1);
        simdisk_cut_at(1 + roll(roll(2) == 0 ? 60 : 400), test_path(to), on_cut, NULL);
        open_log();
        check_log();
        if (!cut) work(5 + roll(40));
        power_goes(to);
        use_directory(to);
    }
    open_log();
    check_log();
    check_compaction();
    end_case();
}

/* ---- Every way that a compaction can be cut in ---- */

/* What there is before it: as keyed_write takes it, '|' for a compaction that has
 * come before, '>' for two hours. */
static const char *const logs[] = {
    "ab ab  ac",           "a  a  a  b",
    "abc  abA  c.  B",     "ab|  ab  ba",
    "aAb|>  c  ",          "aBc|  A  c|>  bb  c",
    "a a a a a|  a  a  b", "abcdefghijklmnop abcdefghijklmnop  q abcdefg  ",
    "....  a.a.  .",       "ab  cd|  ef  gh|  ij  ab",
};
enum { LOGS = sizeof logs / sizeof *logs };

static void make_log(const char *text)
{
    char part[200];

    while (*text != '\0') {
        size_t size = strcspn(text, "|>");
        memcpy(part, text, size);
        part[size] = '\0';
        for (size_t i = 0; i < size; i++)
            if (part[i] != ' ') model.clock[model.keyed.end + (int64_t)i] = model.now_ms;
        for (int64_t i = 0; i < KEYED_MAX; i++)
            if (model.clock[i] == 0) model.clock[i] = model.now_ms;
        keyed_write(t.log, &model.keyed, part);
        model.durable = model.keyed.end;
        text += size;
        if (*text == '|') compact(true);
        if (*text == '>') model.now_ms += 2 * HOUR_MS;
        if (*text != '\0') text++;
    }
}

static void check_way(const char *name)
{
    char again[80];

    model = promised;
    cut = false;
    use_directory(name);
    simdisk_mount(directory, &dice);
    /* In one of a few, the power goes again, while this is recovered or compacted. */
    snprintf(again, sizeof again, "%s-again", name);
    simdisk_cut_at(1 + roll(200), test_path(again), on_cut, NULL);
    open_log();
    check_log();
    check_compaction();
    simdisk_cancel();
    close_log();
    simdisk_unmount();
    test_remove(directory);
    if (!cut) return;
    model = promised;
    cut = false;
    use_directory(again);
    open_log();
    check_log();
    check_compaction();
    close_log();
    test_remove(directory);
}

/* All states after a cut before event n; how many, 0 beyond the last event. */
static uint64_t cut_every_way(const char *log, uint64_t n, uint64_t limit, bool *all)
{
    uint64_t count;
    char way[64];

    begin_case();
    open_log();
    make_log(log);
    close_log();
    simdisk_mount(directory, &dice);
    open_log();
    simdisk_cut_every_way_at(n, test_path("way"), limit, on_cut, NULL);
    compact(true);
    simdisk_cancel();
    close_log();
    count = cut ? simdisk_ways(all) : 0;
    simdisk_unmount();
    for (uint64_t i = 0; i < count; i++) {
        snprintf(way, sizeof way, "way%llu", (unsigned long long)i);
        check_way(way);
    }
    end_case();
    return count;
}

/* ---- Cases ---- */

static struct {
    uint64_t seed;
    uint64_t ways;
} plan;

static uint64_t run_numbered(uint64_t number)
{
    uint64_t cuts = 0;
    bool all;

    dice.state = plan.seed * 2 + 1 + number * UINT64_C(1000003);
    if (number > LOGS) {
        run_case();
        cuts = CUTS_MAX;
    } else {
        for (uint64_t event = 1, count = 1; count > 0; event++) {
            count = cut_every_way(logs[number - 1], event, plan.ways, &all);
            cuts += count;
            atomic_fetch_add(&shared->events, count > 0);
            atomic_fetch_add(&shared->cut_short, count > 0 && !all);
        }
    }
    atomic_fetch_xor(&shared->trace, dice.state);
    return cuts;
}

int main(void)
{
    uint64_t budget = proof_budget(200000, getenv("RILL_TEST_SLOW") != NULL ? 300 : 3000);
    uint64_t cuts;

    plan.seed = proof_seed();
    plan.ways = budget / 1000 + 1;
    shared = test_shared(sizeof *shared);
    cuts = proof_run(LOGS + budget / 2 / CUTS_MAX, run_numbered);
    printf("%llu events of %d small works, at %llu of them in every way, at the others in %llu\n",
           (unsigned long long)atomic_load(&shared->events), (int)LOGS,
           (unsigned long long)(atomic_load(&shared->events) - atomic_load(&shared->cut_short)),
           (unsigned long long)plan.ways);
    printf("after %llu openings there was a compacted segment\n",
           (unsigned long long)atomic_load(&shared->replaced));
    printf("trace %016llx\n", (unsigned long long)atomic_load(&shared->trace));
    return proof_end("compaction", cuts);
}
