/*
 * Any sequence of calls, with calls of the operating system failing in between,
 * beside a model in memory of what the store must hold.
 *
 * A byte says which call, the next ones its arguments. What was acknowledged is
 * there, what was refused is not, what was left open is either, whole; after a
 * failed sync what was only written may be gone when the store is opened again.
 */
#include "fuzz.h"
#include "faults.h"
#include <errno.h>

enum { PARTITIONS = 2, RECORDS_MAX = 400, CALLS_MAX = 120, WAIT = 2000 };

static rill *store;
static rill_producer *producers[2]; /* acks written, acks durable */
static rill_consumer *consumer;
static char path[700];

static struct {
    uint32_t numbers[RECORDS_MAX]; /* of the record at each offset */
    int64_t least;                 /* the log ends here */
    int64_t most;                  /* or here: the last append's outcome is open */
    int64_t durable;
    int64_t committed; /* -1: never */
    int64_t maybe_committed;
    int64_t position; /* of the consumer */
} parts[PARTITIONS];
static uint32_t next_number;
static bool other; /* whether topic "other" is there */
static bool other_open;
static bool poisoned; /* maybe */

/* ---- Opening and closing ---- */

/* In turn, as far as they are there. */
static uint32_t next_compression(void)
{
    static const uint32_t codes[] = {RILL_COMPRESSION_NONE, RILL_COMPRESSION_LZ4,
                                     RILL_COMPRESSION_ZSTD};
    static unsigned turn;
    uint32_t code = codes[turn++ % 3];

    return rill_compression_available(code) ? code : RILL_COMPRESSION_NONE;
}

static void open_all(void)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_topic_options topic = {
        .size = sizeof topic, .partition_count = PARTITIONS, .segment_bytes = 64 << 10};
    rill_producer_options out = {.size = sizeof out, .topic = "t"};
    rill_consumer_options in = {.size = sizeof in, .group = "g"};
    rill_position from[PARTITIONS];
    int rc;

    MUST(rill_open(path, &options, &store) == 0);
    rc = rill_topic_create(store, "t", &topic);
    MUST(rc == 0 || rc == RILL_ERR_EXISTS);
    out.compression = next_compression();
    MUST(rill_producer_open(store, &out, &producers[0]) == 0);
    out.acks = RILL_ACKS_DURABLE;
    out.compression = next_compression();
    MUST(rill_producer_open(store, &out, &producers[1]) == 0);
    MUST(rill_consumer_open(store, &in, &consumer) == 0);
    for (int p = 0; p < PARTITIONS; p++) {
        from[p] = (rill_position){"t", p, -1, 0, NULL};
        parts[p].position = 0;
    }
    MUST(rill_consumer_assign(consumer, from, PARTITIONS) == 0);
}

static void close_all(void)
{
    rill_consumer_close(consumer, WAIT);
    rill_producer_close(producers[0], WAIT);
    rill_producer_close(producers[1], WAIT);
    rill_close(store);
}

/* What is there is what the model has; then the model knows. */
static void settle(void)
{
    for (int p = 0; p < PARTITIONS; p++) {
        rill_partition_info info;
        rill_position committed;
        int64_t least = poisoned ? parts[p].durable : parts[p].least;

        MUST(rill_partition_describe(store, "t", p, &info) == 0);
        MUST(info.log_end == parts[p].most || info.log_end == parts[p].least ||
             (poisoned && info.log_end >= least && info.log_end < parts[p].least));
        parts[p].least = parts[p].most = info.log_end;
        if (parts[p].durable > info.durable_end) MUST(!"what was durable still is");
        MUST(rill_consumer_committed(consumer, "t", p, &committed, NULL, 0) == 0);
        if (committed.offset == RILL_OFFSET_NONE) committed.offset = -1;
        MUST(committed.offset == parts[p].committed ||
             committed.offset == parts[p].maybe_committed ||
             (poisoned && committed.offset == info.log_end));
        parts[p].committed = parts[p].maybe_committed = committed.offset;
    }
    if (other_open) {
        rill_topic_info info;
        int rc = rill_topic_describe(store, "other", &info);
        MUST(rc == 0 || rc == RILL_ERR_NOT_FOUND);
        other = rc == 0;
        other_open = false;
    }
    poisoned = false;
}

static void reopen(void)
{
    faults_clear();
    close_all();
    open_all();
    settle();
}

/* ---- Calls ---- */

static bool leaves_open(int rc)
{
    return rc == RILL_ERR_TIMEOUT || rc == RILL_ERR_IO || rc == RILL_ERR_POISONED;
}

static size_t value_of(uint32_t number, uint8_t *value)
{
    size_t size = 4 + number * 2654435761u % 5000;

    memset(value, (int)number, size);
    memcpy(value, &number, sizeof number);
    return size;
}

static void appended(int p, int64_t count, int rc, bool durably)
{
    if (rc == 0) {
        parts[p].least = parts[p].most = parts[p].least + count;
        if (durably) parts[p].durable = parts[p].least;
        return;
    }
    if (leaves_open(rc)) parts[p].most = parts[p].least + count;
    poisoned |= leaves_open(rc);
    reopen();
}

static void append(struct input *in)
{
    static uint8_t values[8][5100];
    rill_record records[8];
    unsigned how = (unsigned)input_take(in, 1);
    int p = (int)(how % PARTITIONS);
    size_t count = 1 + how / 2 % 8;
    bool durably = (how & 0x80) != 0;
    rill_offset offset;
    int rc;

    if (parts[p].least + (int64_t)count > RECORDS_MAX) return;
    for (size_t i = 0; i < count; i++) {
        uint32_t number = next_number++;
        records[i] = (rill_record)RILL_RECORD_INIT;
        records[i].partition = p;
        records[i].value = (rill_bytes){values[i], value_of(number, values[i])};
        parts[p].numbers[parts[p].least + (int64_t)i] = number;
    }
    rc = rill_producer_append(producers[durably], records, count, WAIT, &offset);
    if (rc == 0) MUST(offset == parts[p].least);
    appended(p, (int64_t)count, rc, durably);
}

static void append_in_place(struct input *in)
{
    unsigned how = (unsigned)input_take(in, 1);
    int p = (int)(how % PARTITIONS);
    rill_record shape = RILL_RECORD_INIT;
    uint8_t value[5100];
    rill_reservation room;
    int rc;

    if (parts[p].least == RECORDS_MAX) return;
    shape.partition = p;
    parts[p].numbers[parts[p].least] = next_number;
    shape.value.size = value_of(next_number++, value);
    rc = rill_producer_reserve(producers[0], &shape, WAIT, &room);
    if (rc == 0) {
        memcpy(room.value, value, room.value_size);
        if ((how & 2) != 0) {
            rill_producer_abandon(producers[0]);
            return;
        }
        rc = rill_producer_commit(producers[0], NULL);
    }
    appended(p, 1, rc, false);
}

static void poll_some(struct input *in)
{
    rill_record records[16];
    size_t most = 1 + (size_t)input_take(in, 1) % 16;
    size_t count;

    if (rill_consumer_poll(consumer, 0, records, most, &count) != 0) {
        reopen();
        return;
    }
    for (size_t i = 0; i < count; i++) {
        int p = records[i].partition;
        uint8_t value[5100];

        MUST(p >= 0 && p < PARTITIONS && records[i].offset == parts[p].position);
        MUST(records[i].offset < parts[p].most);
        MUST(records[i].value.size == value_of(parts[p].numbers[parts[p].position], value));
        MUST(memcmp(records[i].value.data, value, records[i].value.size) == 0);
        parts[p].position++;
    }
}

static void seek(struct input *in)
{
    unsigned how = (unsigned)input_take(in, 1);
    int p = (int)(how % PARTITIONS);
    int64_t offset = (int64_t)(how / 2);
    int rc = rill_consumer_seek(consumer, "t", p, offset);

    if (rc == 0) {
        MUST(offset <= parts[p].most);
        parts[p].position = offset;
    } else {
        MUST(offset > parts[p].least || rc != RILL_ERR_RANGE);
        reopen();
    }
}

static void commit(struct input *in)
{
    unsigned how = (unsigned)input_take(in, 1);
    int p = (int)(how % PARTITIONS);
    rill_position position = {"t", p, -1, (int64_t)(how / 2), NULL};
    int rc = rill_consumer_commit(consumer, &position, 1);

    if (rc == 0) {
        MUST(position.offset <= parts[p].most);
        parts[p].committed = parts[p].maybe_committed = position.offset;
    } else if (rc == RILL_ERR_RANGE || rc == RILL_ERR_INVALID) {
        MUST(position.offset > parts[p].least);
    } else {
        if (leaves_open(rc)) parts[p].maybe_committed = position.offset;
        reopen();
    }
}

static void change_other(void)
{
    int rc = other ? rill_topic_delete(store, "other") : rill_topic_create(store, "other", NULL);

    if (rc == 0) {
        other = !other;
    } else {
        other_open = true;
        reopen();
    }
}

static void sync_all(void)
{
    int64_t ends[PARTITIONS];
    int rc;

    for (int p = 0; p < PARTITIONS; p++) ends[p] = parts[p].least;
    rc = rill_sync(store, WAIT);
    if (rc == 0)
        for (int p = 0; p < PARTITIONS; p++) parts[p].durable = ends[p];
    else {
        poisoned = true;
        reopen();
    }
}

static void fault(struct input *in)
{
    static const int errnos[] = {EIO, ENOSPC, EINTR, ENOMEM, EMFILE, EDQUOT};
    unsigned call = (unsigned)input_take(in, 1) % 12;
    uint64_t n = 1 + input_take(in, 1) % 8;
    unsigned how = (unsigned)input_take(in, 1);

    faults_fail(1u << call, NULL, n, errnos[how % 6], how / 6 % 2 == 0 ? FAULT_ONCE : FAULT_TORN);
}

static void one_call(struct input *in)
{
    switch (input_take(in, 1) % 12) {
    case 0: append_in_place(in); break;
    case 1: poll_some(in); break;
    case 2: seek(in); break;
    case 3: commit(in); break;
    case 4: change_other(); break;
    case 5: sync_all(); break;
    case 6: fault(in); break;
    case 7: reopen(); break;
    case 8:
        if (rill_maintain(store, NULL) != 0) {
            poisoned = true;
            reopen();
        }
        break;
    default: append(in); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    uint8_t all[] = {255};

    snprintf(path, sizeof path, "%s/store", fuzz_directory());
    memset(parts, 0, sizeof parts);
    for (int p = 0; p < PARTITIONS; p++) parts[p].committed = parts[p].maybe_committed = -1;
    other = other_open = poisoned = false;
    next_number = 0;
    open_all();
    for (int i = 0; i < CALLS_MAX && input_left(&in); i++) one_call(&in);
    reopen();
    for (int i = 0; i < 2 * RECORDS_MAX; i++) {
        struct input most = {all, all + 1};
        poll_some(&most);
    }
    for (int p = 0; p < PARTITIONS; p++) MUST(parts[p].position == parts[p].least);
    close_all();
    test_remove(path);
    return 0;
}
