/*
 * keyed.c - see keyed.h.
 */
#include "keyed.h"
#include "base/bytes.h"
#include "log/format.h"
#include <ctype.h>

enum { VALUE_ROOM = 8192, BATCH_ROOM = 1 << 20 };

static const rill_header one_header = {{"of", 2}, {"it", 2}};

static bool is_tombstone(char kind)
{
    return isupper((unsigned char)kind) != 0;
}

static char key_of(char kind)
{
    return (char)tolower((unsigned char)kind);
}

/* The record that stands at offset. */
static rill_record record_at(const struct keyed *k, int64_t offset, char *key, uint8_t *value)
{
    rill_record record = RILL_RECORD_INIT;
    char kind = k->kinds[offset];

    if (kind != '.') {
        snprintf(key, 16, "key %c", key_of(kind));
        record.key = (rill_bytes){key, strlen(key)};
    }
    if (!is_tombstone(kind)) {
        test_value(value, k->sizes[offset], offset);
        record.value = (rill_bytes){value, k->sizes[offset]};
    }
    record.timestamp_ms = k->times[offset];
    record.headers = offset % 3 == 0 ? &one_header : NULL;
    record.header_count = offset % 3 == 0 ? 1 : 0;
    return record;
}

static void note(struct keyed *k, int64_t offset, char kind, const struct keyed_batch *as)
{
    assert_in_range(offset, 0, KEYED_MAX - 1);
    k->kinds[offset] = kind;
    k->sizes[offset] =
        (uint16_t)(as->value_size != 0 ? as->value_size : 8 + (size_t)(offset % 5));
    k->closed[offset] = (as->attributes & BATCH_CONTROL) != 0;
    k->open[offset] = as->producer_id != 0 && (as->attributes & BATCH_TRANSACTIONAL) != 0;
    k->producers[offset] = as->producer_id;
    k->times[offset] = test_time(offset) - (offset % 4) * 25; /* not always later */
}

void keyed_append_as(struct log *log, struct keyed *k, const char *records,
                     const struct keyed_batch *as)
{
    static _Alignas(8) uint8_t room[BATCH_ROOM];
    static _Alignas(8) uint8_t packed_room[BATCH_ROOM];
    static uint8_t value[VALUE_ROOM];
    struct batch batch;
    struct batch packed;
    struct codec codec;
    int64_t base = rill__log_end(log);
    int64_t at = base;
    char key[16];

    rill__batch_init(&batch, room, sizeof room);
    for (const char *r = records; *r != '\0'; r++, at++) {
        rill_record record;
        note(k, at, *r, as);
        record = record_at(k, at, key, value);
        assert_true(rill__batch_add(&batch, &record, 1, NULL));
    }
    batch.attributes = as->attributes;
    if (as->producer_id != 0) {
        batch.producer_id = as->producer_id;
        batch.producer_epoch = as->producer_epoch;
        batch.base_sequence = as->base_sequence;
        batch.checked = (as->attributes & BATCH_TRANSACTIONAL) != 0;
    }
    if (as->codec != CODEC_NONE) {
        rill__codec_init(&codec, log->config.heap);
        rill__batch_init(&packed, packed_room, sizeof packed_room);
        packed.producer_id = batch.producer_id;
        packed.producer_epoch = batch.producer_epoch;
        packed.base_sequence = batch.base_sequence;
        OK(rill__batch_seal_packed(&batch, &codec, as->codec, 0, &packed));
        rill__codec_deinit(&codec);
        assert_true(packed.size != 0);
        OK(rill__log_append(log, &packed, false, INT64_MAX, &at));
    } else {
        rill__batch_seal(&batch);
        OK(rill__log_append(log, &batch, false, INT64_MAX, &at));
    }
    assert_int_equal(at, base);
    k->end = rill__log_end(log);
}

void keyed_end(struct log *log, struct keyed *k, int64_t producer_id, int16_t epoch, bool commit)
{
    const struct keyed_batch marker = {.attributes = BATCH_CONTROL};
    int64_t end = rill__log_end(log);

    note(k, end, '!', &marker);
    OK(rill__log_end_transaction(log, producer_id, epoch, commit, false, INT64_MAX));
    k->end = rill__log_end(log);
    assert_int_equal(k->end, end + 1);
    for (int64_t i = 0; i < end; i++) {
        if (!k->open[i] || k->producers[i] != producer_id) continue;
        k->open[i] = false;
        k->aborted[i] = !commit;
    }
}

void keyed_append(struct log *log, struct keyed *k, const char *records)
{
    const struct keyed_batch usual = {0};
    keyed_append_as(log, k, records, &usual);
}

void keyed_roll(struct log *log)
{
    struct tail_copy tail;

    OK(rill__log_lock(log, INT64_MAX));
    rill__control_tail(log->control, &tail);
    OK(rill__log_roll(log, &tail));
    rill__log_unlock(log);
}

void keyed_write(struct log *log, struct keyed *k, const char *batches)
{
    char records[256];

    while (*batches != '\0') {
        size_t size = strcspn(batches, " ");
        if (size == 0) {
            keyed_roll(log);
            batches++;
            continue;
        }
        assert_true(size < sizeof records);
        memcpy(records, batches, size);
        records[size] = '\0';
        keyed_append(log, k, records);
        batches += size;
        if (*batches == ' ') batches++;
    }
    OK(rill__log_sync(log, rill__log_end(log), INT64_MAX));
}

/* ---- Reading ---- */

static void check_record(const struct keyed *k, const rill_record *record, bool append_time)
{
    static uint8_t value[VALUE_ROOM];
    char key[16];
    rill_record want;
    rill_header header;

    assert_in_range(record->offset, 0, k->end - 1);
    want = record_at(k, record->offset, key, value);
    assert_int_equal(record->key.data == NULL, want.key.data == NULL);
    assert_int_equal(record->key.size, want.key.size);
    if (want.key.size != 0) assert_memory_equal(record->key.data, key, want.key.size);
    assert_int_equal(record->value.data == NULL, want.value.data == NULL);
    assert_int_equal(record->value.size, want.value.size);
    if (want.value.size != 0) assert_memory_equal(record->value.data, value, want.value.size);
    assert_int_equal((uintptr_t)record->value.data % 8, 0);
    if (!append_time) assert_int_equal(record->timestamp_ms, want.timestamp_ms);
    assert_int_equal(record->header_count, want.header_count);
    if (want.header_count == 0) return;
    OK(rill__record_header(record->raw, 0, &header));
    assert_int_equal(header.name.size, 2);
    assert_memory_equal(header.name.data, "of", 2);
    assert_memory_equal(header.value.data, "it", 2);
}

const char *keyed_text(struct log *log, const struct keyed *k, int64_t from)
{
    static char text[KEYED_MAX * 7];
    struct codec codec;
    struct log_cursor cursor;
    struct batch_view view;
    struct batch_view records;
    rill_record record = RILL_RECORD_INIT;
    int64_t end = rill__log_end(log);
    int64_t next = from;
    size_t used = 0;
    bool bad;

    text[0] = '\0';
    rill__codec_init(&codec, log->config.heap);
    rill__cursor_init(&cursor, log);
    OK(rill__cursor_seek(&cursor, from));
    while (cursor.offset < end) {
        struct record_walk walk = {BATCH_HEADER_SIZE, 0};
        uint8_t *room;

        OK(rill__cursor_next(&cursor, end, true, &view));
        rill__cursor_release(&cursor);
        if (view.record_count == 0) continue;
        room = malloc(rill__batch_room(&view) + 1);
        assert_non_null(room);
        OK(rill__batch_records(&view, &codec, room, &records));
        while (rill__record_next(&records, &walk, &record, &bad)) {
            if (record.offset < next) continue; /* a seek into a batch, or moved on */
            if (k->kinds[record.offset] != '!')
                check_record(k, &record, (view.attributes & BATCH_APPEND_TIME) != 0);
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%c%lld",
                                     used == 0 ? "" : " ", k->kinds[record.offset],
                                     (long long)record.offset);
            next = record.offset + 1;
        }
        assert_false(bad);
        free(room);
    }
    rill__cursor_deinit(&cursor);
    rill__codec_deinit(&codec);
    return text;
}

void keyed_holds(struct log *log, const struct keyed *k, const char *expected)
{
    assert_string_equal(keyed_text(log, k, rill__log_start(log)), expected);
}

/* ---- What may be ---- */

int64_t keyed_parse(const char *text, bool there[KEYED_MAX])
{
    int64_t count = 0;

    memset(there, 0, KEYED_MAX * sizeof there[0]);
    while (*text != '\0') {
        int64_t offset = strtoll(text + 1, (char **)&text, 10);
        there[offset] = true;
        count++;
        while (*text == ' ') text++;
    }
    return count;
}

/* The first offset behind `offset` and before end with the same key that counts;
 * -1: none. */
static int64_t next_of_key(const struct keyed *k, int64_t offset, int64_t end)
{
    for (int64_t i = offset + 1; i < end; i++)
        if (!k->closed[i] && !k->aborted[i] && key_of(k->kinds[i]) == key_of(k->kinds[offset]))
            return i;
    return -1;
}

static bool has_key(const struct keyed *k, int64_t offset)
{
    return k->kinds[offset] != '.' && !k->closed[offset];
}

const char *keyed_wrong(const struct keyed *k, int64_t start, int64_t end, int64_t dirty,
                        const bool there[KEYED_MAX])
{
    static char text[100];

    for (int64_t i = start; i < end; i++) {
        const char *wrong = NULL;
        int64_t next = next_of_key(k, i, end);

        if (there[i]) {
            /* One that is hidden by a tombstone must not come to light. */
            if (has_key(k, i) && !k->aborted[i] && next >= 0 && next < dirty &&
                is_tombstone(k->kinds[next]) && !there[next] && next_of_key(k, next, end) < 0)
                wrong = "is there, but not the tombstone behind it";
        } else if (k->aborted[i] && i < dirty) {
            continue;
        } else if (!has_key(k, i)) {
            wrong = "is gone, though it has no key";
        } else if (i >= dirty) {
            wrong = "is gone from the head";
        } else if (next < 0 && !is_tombstone(k->kinds[i])) {
            wrong = "is gone, and was the last of its key";
        }
        if (wrong == NULL) continue;
        snprintf(text, sizeof text, "%c%lld %s", k->kinds[i], (long long)i, wrong);
        return text;
    }
    for (int64_t i = end; i < KEYED_MAX; i++)
        if (there[i]) return "there are records behind the end";
    return NULL;
}

const char *keyed_unclean(const struct keyed *k, int64_t start, int64_t clean,
                          const bool there[KEYED_MAX])
{
    static char text[100];

    for (int64_t i = start; i < clean; i++) {
        if (!there[i] || !has_key(k, i)) continue;
        if (!k->aborted[i] && next_of_key(k, i, clean) < 0) continue;
        snprintf(text, sizeof text, "%c%lld is there, though there is a later one", k->kinds[i],
                 (long long)i);
        return text;
    }
    return NULL;
}

struct log_compaction keyed_compaction(void)
{
    return (struct log_compaction){.limit = INT64_MAX,
                                   .now_ms = INT64_C(1000000000),
                                   .delete_retention_ms = 3600000,
                                   .memory_bytes = 1 << 20,
                                   .deadline_ns = INT64_MAX};
}

struct log_compaction_report keyed_compact(struct log *log)
{
    struct log_compaction what = keyed_compaction();
    struct log_compaction_report report;

    OK(rill__log_compact(log, &what, &report));
    assert_true(report.finished);
    return report;
}
