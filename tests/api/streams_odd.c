/*
 * Streams that nobody has exported: every field of a frame, a head, records and an end
 * says once what it must not, under a checksum that is right. Each is refused with
 * what is wrong, nothing of the frame is stored, and the good stream still goes in.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "records.h"
#include "tapes.h"

/* ---- Frames by hand ---- */

enum { HEAD, RECORDS, END, FRAMES };
#define NO_BYTES UINT32_C(0xffffffff)

struct payload {
    uint8_t data[300];
    size_t size;
};

static void add(struct payload *p, const void *data, size_t size)
{
    assert_true(p->size + size <= sizeof p->data);
    memcpy(p->data + p->size, data, size);
    p->size += size;
}

static void add32(struct payload *p, uint32_t value)
{
    uint8_t b[4];

    rill__put32(b, value);
    add(p, b, sizeof b);
}

static void add64(struct payload *p, uint64_t value)
{
    uint8_t b[8];

    rill__put64(b, value);
    add(p, b, sizeof b);
}

/* Topic "t" of two partitions, of which both are in the stream from 0 on. */
static void make_head(struct payload *p)
{
    p->size = 0;
    add(p, "RILLEXP1", 8);
    add32(p, 1);
    add32(p, 0);
    add(p, "stream of a testtopic of a stream", 32);
    add64(p, 1);
    add32(p, 1); /* at 56: options, */
    add32(p, 2); /* partitions, */
    add32(p, 1); /* and the name's size */
    add(p, "t", 1);
    add32(p, 15);
    add(p, "partition_count", 15);
    add64(p, 2); /* at 88 */
    for (uint32_t i = 0; i < 2; i++) {
        add32(p, i); /* at 96 and 112 */
        add32(p, 0);
        add64(p, 0);
    }
}

/* Two: one with all that a record can have, and one with nothing. */
static void make_records(struct payload *p)
{
    p->size = 0;
    add32(p, 0);
    add32(p, 2);
    add64(p, 0);
    add64(p, 2);
    add64(p, 0); /* at 24: offset, time, sizes */
    add64(p, 1000);
    add32(p, 1);
    add32(p, 1);
    add32(p, 1);
    add(p, "kv", 2);
    add32(p, 1); /* at 54: a header */
    add32(p, 1);
    add(p, "nx", 2);
    add64(p, 1); /* at 64 */
    add64(p, 1000);
    add32(p, NO_BYTES);
    add32(p, NO_BYTES);
    add32(p, 0);
}

static void make_end(struct payload *p)
{
    p->size = 0;
    add64(p, 2);
    add32(p, 2);
    add32(p, 0);
    add32(p, 0); /* at 16 */
    add32(p, 0);
    add64(p, 2);
    add32(p, 1);
    add32(p, 0);
    add64(p, 0);
}

/* With the checksum that it must have. */
static void write_frame(struct tape *tape, uint32_t kind, uint64_t number, const void *data,
                        size_t size)
{
    uint8_t h[32] = "RXF1";

    rill__put32(h + 4, kind);
    rill__put32(h + 8, (uint32_t)size);
    rill__put64(h + 16, number);
    rill__put64(h + 24, rill__checksum(data, size) ^ rill__mix64(rill__checksum(h, 24)));
    OK(write_tape(tape, h, sizeof h));
    OK(write_tape(tape, data, size));
}

static void make_frames(struct payload frames[FRAMES])
{
    make_head(&frames[HEAD]);
    make_records(&frames[RECORDS]);
    make_end(&frames[END]);
}

static void write_frames(struct tape *tape, const struct payload *frames, size_t count)
{
    rewind_tape(tape);
    for (uint32_t i = 0; i < count; i++)
        write_frame(tape, i + 1, i, frames[i].data, frames[i].size);
}

/* The next record of the consumer. */
static rill_record next_of(rill_consumer *consumer)
{
    rill_record record;

    assert_int_equal(take(consumer, &record, 1), 1);
    return record;
}

static void is_bytes(rill_bytes bytes, const char *text)
{
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
}

/* All of the good stream is there, once. */
static void has_the_records(rill *store, const char *topic)
{
    rill_consumer *consumer = test_consumer(store, topic, 0, 0);
    rill_record record = next_of(consumer);
    rill_header header;

    is_bytes(record.key, "k");
    is_bytes(record.value, "v");
    assert_int_equal(record.timestamp_ms, 1000);
    assert_int_equal(record.header_count, 1);
    OK(rill_record_header(&record, 0, &header));
    is_bytes(header.name, "n");
    is_bytes(header.value, "x");
    record = next_of(consumer);
    assert_int_equal(record.offset, 1);
    assert_null(record.key.data);
    assert_null(record.value.data);
    assert_int_equal(record.header_count, 0);
    takes_nothing(consumer);
    OK(rill_consumer_close(consumer, 0));
    assert_int_equal(log_end_of(store, topic, 1), 0);
}

static void what_is_made_by_hand_is_imported(void **state)
{
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};

    make_frames(frames);
    write_frames(&tape, frames, FRAMES);
    OK(import_from(store, NULL, &tape));
    has_the_records(store, "t");
    OK(import_from(store, NULL, &tape));
    has_the_records(store, "t");
    rewind_tape(&tape);
}

/* ---- Payloads that lie ---- */

struct edit {
    size_t at;
    int width; /* 0: none */
    uint64_t value;
};

struct lie {
    int frame;
    struct edit edits[2];
    int longer; /* by so many bytes than it was; negative: shorter */
    int code;
    const char *says;
};

static void edit_payload(struct payload *p, const struct edit *edit)
{
    uint8_t bytes[8];

    rill__put64(bytes, edit->value);
    assert_true(edit->at + (size_t)edit->width <= p->size);
    memcpy(p->data + edit->at, bytes, (size_t)edit->width);
}

static void tell_lie(rill *store, const struct lie *lie)
{
    struct payload frames[FRAMES];
    struct tape tape = {0};
    rill_topic_info info;
    int rc;

    make_frames(frames);
    for (int i = 0; i < 2; i++) edit_payload(&frames[lie->frame], &lie->edits[i]);
    frames[lie->frame].size += (size_t)(ptrdiff_t)lie->longer;
    write_frames(&tape, frames, FRAMES);
    rc = import_from(store, "copy", &tape);
    if (rc != lie->code || strstr(test_message(), lie->says) == NULL)
        fail_msg("frame %d, byte %zu: %d, %s; not %d, %s", lie->frame, lie->edits[0].at, rc,
                 test_message(), lie->code, lie->says);
    if (lie->frame == HEAD) FAILS(RILL_ERR_NOT_FOUND, rill_topic_describe(store, "copy", &info));
    else assert_int_equal(log_end_of(store, "copy", 0), lie->frame == RECORDS ? 0 : 2);
    make_frames(frames);
    write_frames(&tape, frames, FRAMES);
    OK(import_from(store, "copy", &tape));
    has_the_records(store, "copy");
    OK(rill_topic_delete(store, "copy"));
    rewind_tape(&tape);
}

static const struct lie lies_of_heads[] = {
    {HEAD, {{0}}, -70, RILL_ERR_CORRUPT, "no head of an export"},
    {HEAD, {{0, 1, 'r'}}, 0, RILL_ERR_CORRUPT, "no head of an export"},
    {HEAD, {{7, 1, '2'}}, 0, RILL_ERR_FORMAT, "the stream has format 1"},
    {HEAD, {{8, 4, 2}}, 0, RILL_ERR_FORMAT, "the stream has format 2"},
    {HEAD, {{12, 4, 1}}, 0, RILL_ERR_FORMAT, "features 0x1"},
    {HEAD, {{64, 4, 0}}, 0, RILL_ERR_CORRUPT, "the topic's name"},
    {HEAD, {{64, 4, RILL_TOPIC_NAME_MAX}}, 0, RILL_ERR_CORRUPT, "the topic's name"},
    {HEAD, {{64, 4, RILL_TOPIC_NAME_MAX + 1}}, 0, RILL_ERR_CORRUPT, "the topic's name"},
    {HEAD, {{68, 1, 0}}, 0, RILL_ERR_CORRUPT, "the topic's name"},
    {HEAD, {{68, 1, '/'}}, 0, RILL_ERR_CORRUPT, "the topic's name"},
    {HEAD, {{69, 4, 64}}, 0, RILL_ERR_CORRUPT, "an option's name"},
    {HEAD, {{69, 4, 63}}, 0, RILL_ERR_CORRUPT, "an option's name"},
    {HEAD, {{73, 1, 'q'}}, 0, RILL_ERR_FORMAT, "the option qartition_count"},
    {HEAD, {{88, 8, UINT64_C(1) << 32}}, 0, RILL_ERR_FORMAT, "the option partition_count"},
    {HEAD, {{88, 8, 10000000}}, 0, RILL_ERR_CORRUPT, "the stream: "},
    {HEAD, {{56, 4, 2}}, 0, RILL_ERR_FORMAT, "its topic has the option ,"},
    {HEAD, {{0}}, -33, RILL_ERR_CORRUPT, "its partitions"},
    {HEAD, {{60, 4, 0}}, 0, RILL_ERR_CORRUPT, "its partitions"},
    {HEAD, {{60, 4, 3}}, 0, RILL_ERR_CORRUPT, "its partitions"},
    {HEAD, {{60, 4, 1}}, 0, RILL_ERR_CORRUPT, "its size"},
    {HEAD, {{0}}, 4, RILL_ERR_CORRUPT, "its size"},
    {HEAD, {{112, 4, 2}}, 0, RILL_ERR_CORRUPT, "its partitions"},
    {HEAD, {{112, 4, 0}}, 0, RILL_ERR_CORRUPT, "its partitions"},
    {HEAD, {{100, 4, 1}}, 0, RILL_ERR_CORRUPT, "its partitions"},
    {HEAD, {{104, 8, UINT64_MAX}}, 0, RILL_ERR_CORRUPT, "its partitions"},
};

static const struct lie lies_of_records[] = {
    {RECORDS, {{0, 4, 7}}, 0, RILL_ERR_CORRUPT, "a partition that is not in the head"},
    {RECORDS, {{0, 4, 0x80000000}}, 0, RILL_ERR_CORRUPT, "a partition that is not in the head"},
    {RECORDS, {{0}}, -70, RILL_ERR_CORRUPT, "a partition that is not in the head"},
    {RECORDS, {{4, 4, 3}}, 0, RILL_ERR_CORRUPT, "do not follow those before"},
    {RECORDS, {{8, 8, 1}}, 0, RILL_ERR_CORRUPT, "do not follow those before"},
    {RECORDS, {{16, 8, UINT64_MAX}}, 0, RILL_ERR_CORRUPT, "do not follow those before"},
    {RECORDS, {{4, 4, 1}}, 0, RILL_ERR_CORRUPT, "bytes behind its records"},
    {RECORDS, {{24, 8, UINT64_MAX}}, 0, RILL_ERR_CORRUPT, "out of order"},
    {RECORDS, {{64, 8, 0}}, 0, RILL_ERR_CORRUPT, "out of order"},
    {RECORDS, {{64, 8, 2}}, 0, RILL_ERR_CORRUPT, "out of order"},
    {RECORDS, {{72, 8, UINT64_MAX}}, 0, RILL_ERR_CORRUPT, "a record that runs out of it"},
    {RECORDS, {{40, 4, 1000}}, 0, RILL_ERR_CORRUPT, "a record that runs out of it"},
    {RECORDS, {{84, 4, 1}}, 0, RILL_ERR_CORRUPT, "a record that runs out of it"},
    {RECORDS, {{48, 4, NO_BYTES}}, 0, RILL_ERR_CORRUPT, "a record that runs out of it"},
    {RECORDS, {{54, 4, 1000}}, 0, RILL_ERR_CORRUPT, "a record that runs out of it"},
    {RECORDS, {{58, 4, 1000}}, 0, RILL_ERR_CORRUPT, "a record that runs out of it"},
    {RECORDS, {{54, 4, NO_BYTES}}, 0, RILL_ERR_CORRUPT, "a record that runs out of it"},
    {RECORDS, {{54, 4, NO_BYTES}, {48, 4, 2}}, 0, RILL_ERR_CORRUPT, "that runs out of it"},
};

static const struct lie lies_of_ends[] = {
    {END, {{0, 8, 3}}, 0, RILL_ERR_CORRUPT, "an end that does not fit"},
    {END, {{8, 4, 1}}, 0, RILL_ERR_CORRUPT, "an end that does not fit"},
    {END, {{12, 4, 1}}, 0, RILL_ERR_CORRUPT, "an end that does not fit"},
    {END, {{16, 4, 1}}, 0, RILL_ERR_CORRUPT, "an end that does not fit"},
    {END, {{36, 4, 1}}, 0, RILL_ERR_CORRUPT, "an end that does not fit"},
    {END, {{24, 8, 3}}, 0, RILL_ERR_CORRUPT, "an end that does not fit"},
    {END, {{0}}, -8, RILL_ERR_CORRUPT, "an end that does not fit"},
    {END, {{0}}, -20, RILL_ERR_CORRUPT, "an end that does not fit"},
    {END, {{0}}, 8, RILL_ERR_CORRUPT, "an end that does not fit"},
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static void a_head_that_lies_makes_no_topic(void **state)
{
    for (size_t i = 0; i < COUNT(lies_of_heads); i++) tell_lie(*state, &lies_of_heads[i]);
}

static void of_records_that_lie_none_is_stored(void **state)
{
    for (size_t i = 0; i < COUNT(lies_of_records); i++) tell_lie(*state, &lies_of_records[i]);
}

static void an_end_that_lies_is_told_behind_the_records(void **state)
{
    for (size_t i = 0; i < COUNT(lies_of_ends); i++) tell_lie(*state, &lies_of_ends[i]);
}

/* ---- Frames that lie ---- */

static void a_frame_is_what_its_header_says(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
        const char *says;
    } rows[] = {{8, (1u << 30) + (1u << 20) + 1, "impossible size"},
                {8, 1u << 29, "cut short here"},
                {8, 3000, "cut short here"},
                {12, 1, "reserved bytes are set"},
                {16, 2, "it has another number"}};
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};

    make_frames(frames);
    for (size_t i = 0; i < COUNT(rows); i++) {
        write_frames(&tape, frames, FRAMES);
        rill__put32(tape.data + 32 + frames[HEAD].size + rows[i].at, rows[i].value);
        FAILS(RILL_ERR_CORRUPT, import_from(store, "copy", &tape));
        test_says("frame 1, at byte 160");
        test_says(rows[i].says);
        assert_int_equal(log_end_of(store, "copy", 0), 0);
    }
    rewind_tape(&tape);
}

static void frames_come_in_their_order(void **state)
{
    static const struct {
        uint32_t first, second;
        int code;
        const char *says;
    } rows[] = {{2, 1, RILL_ERR_CORRUPT, "frame 0, at byte 0: a head where none must be"},
                {1, 1, RILL_ERR_CORRUPT, "frame 1, at byte 160: a head where none must be"},
                {1, 0, RILL_ERR_FORMAT, "frame 1 is of kind 0"},
                {4, 1, RILL_ERR_FORMAT, "frame 0 is of kind 4"}};
    rill *store = *state;
    struct payload head;
    struct tape tape = {0};

    make_head(&head);
    for (size_t i = 0; i < COUNT(rows); i++) {
        rewind_tape(&tape);
        write_frame(&tape, rows[i].first, 0, head.data, head.size);
        write_frame(&tape, rows[i].second, 1, head.data, head.size);
        FAILS(rows[i].code, import_from(store, "copy", &tape));
        test_says(rows[i].says);
    }
    rewind_tape(&tape);
}

/* What a file system leaves behind the last byte that it has kept. */
static void zeros_behind_a_frame_are_told_from_damage(void **state)
{
    static const uint8_t zeros[10000];
    static const size_t sizes[] = {32, 33, 4128, 10000};
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};

    make_frames(frames);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        write_frames(&tape, frames, 2);
        OK(write_tape(&tape, zeros, sizes[i]));
        FAILS(RILL_ERR_CORRUPT, import_from(store, "copy", &tape));
        test_says("cut short here");
        if (sizes[i] > 33) {
            tape.data[tape.size - 1] = 1;
            FAILS(RILL_ERR_CORRUPT, import_from(store, "copy", &tape));
            test_says("no frame begins there");
            assert_null(strstr(test_message(), "cut short"));
        }
        tape.most = tape.size - 1; /* who reads cannot say what is there */
        tape.code = 17;
        assert_int_equal(import_from(store, "copy", &tape), 17);
        has_the_records(store, "copy");
        tape.most = 0;
    }
    rewind_tape(&tape);
}

/* Behind a checksum that does not match it is looked whether that was the last frame. */
static void whoever_reads_may_stop_it_there_too(void **state)
{
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {.code = 17};

    make_frames(frames);
    write_frames(&tape, frames, 2);
    tape.data[tape.size - 1] ^= 1;
    FAILS(RILL_ERR_CORRUPT, import_from(store, "copy", &tape));
    test_says("its checksum does not match; nothing comes behind it");
    tape.most = tape.size;
    tape.code = 17;
    assert_int_equal(import_from(store, "copy", &tape), 17);
    assert_int_equal(log_end_of(store, "copy", 0), 0);
    rewind_tape(&tape);
}

static int say_too_much(void *arg, void *data, size_t size, size_t *got)
{
    (void)arg, (void)data;
    *got = size + 1;
    return 0;
}

static void a_read_function_that_lies_is_refused(void **state)
{
    uint64_t imported = 77;
    rill_import_options options = {.size = sizeof options, .imported = &imported};

    FAILS(RILL_ERR_INVALID, rill_import(*state, "copy", &options, say_too_much, NULL));
    test_says("33 bytes, 32 were asked for");
    assert_int_equal(imported, 0);
    FAILS(RILL_ERR_INVALID, rill_import(*state, "no/name", NULL, say_too_much, NULL));
    test_says("no/name");
}

/* ---- Streams that are to go on ---- */

static int ignore_kept(void *arg, uint64_t size)
{
    ((struct tape *)arg)->kept = size;
    ((struct tape *)arg)->keeps++;
    return 0;
}

static int go_on(rill *store, struct tape *tape, const rill_export_range *range)
{
    rill_export_options options = {.size = sizeof options,
                                   .resume = read_tape,
                                   .keep = ignore_kept,
                                   .resume_arg = tape,
                                   .ranges = range,
                                   .range_count = range != NULL ? 1 : 0};

    tape->at = 0;
    tape->keeps = 0;
    return rill_export(store, "t", &options, write_tape, tape);
}

/* Topic t, and a stream of it. */
static void make_source(rill *store, struct tape *tape, struct payload frames[FRAMES])
{
    rill_topic_info info;

    make_frames(frames);
    write_frames(tape, frames, FRAMES);
    OK(import_from(store, "t", tape));
    OK(rill_topic_describe(store, "t", &info));
    memcpy(frames[HEAD].data + 32, info.id, 16);
    write_frames(tape, frames, FRAMES);
}

/* Whatever is wrong with it but that it ends too early. */
static void only_a_sound_stream_goes_on(void **state)
{
    static const struct lie lies[] = {
        {HEAD, {{8, 4, 2}}, 0, RILL_ERR_FORMAT, "the stream has format 2"},
        {HEAD, {{60, 4, 0}}, 0, RILL_ERR_CORRUPT, "its partitions"},
        {HEAD, {{32, 1, 'x'}}, 0, RILL_ERR_INVALID, "from another topic"},
        {RECORDS, {{0, 4, 7}}, 0, RILL_ERR_CORRUPT, "not in the head"},
        {RECORDS, {{8, 8, 1}}, 0, RILL_ERR_CORRUPT, "do not follow"},
        {END, {{0, 8, 3}}, 0, RILL_ERR_CORRUPT, "an end that does not fit"},
    };
    rill *store = *state;
    struct payload frames[FRAMES];
    struct payload good[FRAMES];
    struct tape tape = {0};
    size_t size;

    make_source(store, &tape, good);
    for (size_t i = 0; i < COUNT(lies); i++) {
        memcpy(frames, good, sizeof frames);
        edit_payload(&frames[lies[i].frame], &lies[i].edits[0]);
        write_frames(&tape, frames, FRAMES);
        size = tape.size;
        FAILS(lies[i].code, go_on(store, &tape, NULL));
        test_says(lies[i].says);
        assert_int_equal(tape.size, size); /* it is as it was */
        assert_int_equal(tape.keeps, 0);
    }
    write_frames(&tape, good, FRAMES);
    size = tape.size;
    OK(go_on(store, &tape, NULL));
    assert_int_equal(tape.keeps, 1);
    assert_int_equal(tape.kept, size - 32 - good[END].size); /* the end is made anew */
    rewind_tape(&tape);
}

static void behind_the_end_nothing_comes(void **state)
{
    static const uint8_t zeros[100];
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};

    make_source(store, &tape, frames);
    write_frame(&tape, 2, 3, frames[RECORDS].data, frames[RECORDS].size);
    FAILS(RILL_ERR_CORRUPT, go_on(store, &tape, NULL));
    test_says("frame 3 comes behind its end");
    write_frames(&tape, frames, FRAMES);
    OK(write_tape(&tape, "what nobody knows, and more than a frame's header", 49));
    FAILS(RILL_ERR_CORRUPT, go_on(store, &tape, NULL));
    test_says("frame 3");
    tape.most = tape.size - 30;
    tape.code = 19;
    assert_int_equal(go_on(store, &tape, NULL), 19);
    write_frames(&tape, frames, FRAMES);
    OK(write_tape(&tape, zeros, sizeof zeros)); /* as a file system leaves it */
    OK(go_on(store, &tape, NULL));
    rewind_tape(&tape);
}

static void other_partitions_are_another_stream(void **state)
{
    static const rill_export_range first = {.from = RILL_OFFSET_EARLIEST,
                                            .to = RILL_OFFSET_LATEST};
    static const rill_export_range second = {
        .partition = 1, .from = RILL_OFFSET_EARLIEST, .to = RILL_OFFSET_LATEST};
    rill_export_options options = {.size = sizeof options, .ranges = &first, .range_count = 1};
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};

    make_source(store, &tape, frames);
    FAILS(RILL_ERR_INVALID, go_on(store, &tape, &first));
    test_says("has 2 partitions of topic t, 1 others are to go on");
    rewind_tape(&tape);
    OK(rill_export(store, "t", &options, write_tape, &tape));
    FAILS(RILL_ERR_INVALID, go_on(store, &tape, &second));
    FAILS(RILL_ERR_INVALID, go_on(store, &tape, NULL));
    OK(go_on(store, &tape, &first));
    rewind_tape(&tape);
}

/* ---- What is there already ---- */

static void append_one(rill *store, const char *topic, rill_record record)
{
    rill_producer *producer = producer_open(store, NULL);

    record.topic = topic;
    record.partition = 0;
    OK(rill_producer_append(producer, &record, 1, WAIT_MS, NULL));
    OK(rill_producer_close(producer, WAIT_MS));
}

static rill_bytes text(const char *of)
{
    return (rill_bytes){of, strlen(of)};
}

/* They are like the first record but for one thing each. */
static void what_only_looks_like_a_record_is_none(void **state)
{
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};
    rill_header header = {text("n"), text("x")};
    rill_header headers[] = {{text("m"), text("x")},
                             {text("n"), text("y")},
                             {text("n"), text("xx")},
                             {text("n"), {NULL, 0}}};
    rill_header two[] = {header, header};
    rill_record same = RILL_RECORD_INIT;
    rill_record record;
    rill_topic_options options = {.size = sizeof options, .partition_count = 2};
    rill_consumer *consumer;

    same.key = text("k");
    same.value = text("v");
    same.timestamp_ms = 1000;
    same.headers = &header;
    same.header_count = 1;
    OK(rill_topic_create(store, "copy", &options));
    make_frames(frames);
    frames[RECORDS].size = 24; /* the partition is begun, and nothing is in it yet */
    rill__put32(frames[RECORDS].data + 4, 0);
    rill__put64(frames[RECORDS].data + 16, 0);
    write_frames(&tape, frames, 2);
    FAILS(RILL_ERR_CORRUPT, import_from(store, "copy", &tape));
    test_says("cut short behind frame 2");
    record = same, record.key = (rill_bytes){NULL, 0}, append_one(store, "copy", record);
    record = same, record.value = text("w"), append_one(store, "copy", record);
    record = same, record.value = text(""), append_one(store, "copy", record);
    record = same, record.timestamp_ms = 1001, append_one(store, "copy", record);
    record = same, record.header_count = 0, append_one(store, "copy", record);
    for (size_t i = 0; i < COUNT(headers); i++) {
        record = same;
        record.headers = &headers[i];
        append_one(store, "copy", record);
    }
    record = same;
    record.headers = two;
    record.header_count = 2;
    append_one(store, "copy", record);
    make_frames(frames);
    write_frames(&tape, frames, FRAMES);
    OK(import_from(store, "copy", &tape));
    assert_int_equal(log_end_of(store, "copy", 0), 10 + 2);
    consumer = test_consumer(store, "copy", 0, 10);
    record = next_of(consumer);
    is_bytes(record.key, "k");
    is_bytes(record.value, "v");
    OK(rill_consumer_close(consumer, 0));
    rewind_tape(&tape);
}

/* Nothing but a record that is the same in everything is taken for it. */
static void the_same_record_is_found_behind_others(void **state)
{
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};
    rill_header header = {text("n"), text("x")};
    rill_record record = RILL_RECORD_INIT;

    make_frames(frames);
    frames[RECORDS].size = 24;
    rill__put32(frames[RECORDS].data + 4, 0);
    rill__put64(frames[RECORDS].data + 16, 0);
    write_frames(&tape, frames, 2);
    FAILS(RILL_ERR_CORRUPT, import_from(store, "copy", &tape));
    record.value = text("of somebody else");
    append_one(store, "copy", record);
    record.key = text("k");
    record.value = text("v");
    record.timestamp_ms = 1000;
    record.headers = &header;
    record.header_count = 1;
    append_one(store, "copy", record);
    make_frames(frames);
    write_frames(&tape, frames, FRAMES);
    OK(import_from(store, "copy", &tape));
    assert_int_equal(log_end_of(store, "copy", 0), 3);
    rewind_tape(&tape);
}

/* A batch has room for times that are 24 days apart. */
static void times_may_be_far_apart(void **state)
{
    static const int64_t times[][2] = {{1000, INT64_C(1) << 40}, {INT64_C(1) << 40, 1000}};
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};

    for (size_t i = 0; i < COUNT(times); i++) {
        rill_consumer *consumer;
        make_frames(frames);
        rill__put64(frames[RECORDS].data + 32, (uint64_t)times[i][0]);
        rill__put64(frames[RECORDS].data + 72, (uint64_t)times[i][1]);
        write_frames(&tape, frames, FRAMES);
        OK(import_from(store, "copy", &tape));
        consumer = test_consumer(store, "copy", 0, 0);
        for (int j = 0; j < 2; j++) assert_int_equal(next_of(consumer).timestamp_ms, times[i][j]);
        OK(rill_consumer_close(consumer, 0));
        OK(rill_topic_delete(store, "copy"));
    }
    rewind_tape(&tape);
}

struct look {
    rill *store;
    char group[64];
    rill_offset committed; /* the last that was seen, */
    int changes;           /* and how often it was another one */
};

static int note_committed(void *arg, const rill_group_offset *offset)
{
    struct look *look = arg;

    if (offset->offset != look->committed) look->changes++;
    look->committed = offset->offset;
    return 0;
}

static int look_at_commits(void *arg, const rill_progress *progress)
{
    struct look *look = arg;
    int rc = rill_group_offsets(look->store, look->group, note_committed, look);

    assert_string_equal(progress->what, "t");
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc; /* behind the head */
}

/* An import that is long notes how far it is, so that little is compared by the next. */
static void a_long_import_notes_how_far_it_is(void **state)
{
    enum { BIG = 900000, MANY = 25 };
    rill *store = *state;
    struct look look = {.store = store, .group = "__import.", .committed = -1};
    rill_import_options options = {
        .size = sizeof options, .progress = look_at_commits, .progress_arg = &look};
    struct payload head;
    struct tape tape = {0};
    uint8_t *frame = calloc(1, 52 + BIG);

    assert_non_null(frame);
    make_head(&head);
    for (int i = 0; i < 16; i++)
        snprintf(look.group + 9 + (size_t)i * 2, 3, "%02x", head.data[16 + i]);
    write_frame(&tape, 1, 0, head.data, head.size);
    for (uint32_t i = 0; i < MANY; i++) { /* a record each */
        rill__put32(frame + 4, 1);
        rill__put64(frame + 8, i);
        rill__put64(frame + 16, i + 1);
        rill__put64(frame + 24, i);
        rill__put64(frame + 32, 1000);
        rill__put32(frame + 40, NO_BYTES);
        rill__put32(frame + 44, BIG);
        write_frame(&tape, 2, i + 1, frame, 52 + BIG);
    }
    free(frame);
    FAILS(RILL_ERR_CORRUPT, rill_import(store, "t", &options, read_tape, &tape));
    test_says("cut short behind frame 26");
    assert_int_equal(log_end_of(store, "t", 0), MANY);
    assert_in_range(look.committed, MANY / 2, MANY - 1); /* while it went on, */
    assert_in_range(look.changes, 3, 5);                 /* and now and then only */
    rewind_tape(&tape);
}

static void a_commit_of_another_form_is_no_import(void **state)
{
    rill *store = *state;
    struct payload frames[FRAMES];
    struct tape tape = {0};
    char group[64] = "__import.";
    rill_position position = {.topic = "copy", .metadata = "7 stolen open"};
    rill_group_reset_options options = {.size = sizeof options,
                                        .positions = &position,
                                        .position_count = 1,
                                        .to = RILL_RESET_TO_OWN};

    make_frames(frames);
    write_frames(&tape, frames, FRAMES);
    OK(import_from(store, "copy", &tape));
    for (int i = 0; i < 16; i++) snprintf(group + 9 + i * 2, 3, "%02x", tape.data[48 + i]);
    OK(rill_group_reset(store, group, &options));
    FAILS(RILL_ERR_INVALID, import_from(store, "copy", &tape));
    test_says("\"7 stolen open\" for partition 0, which no import has");
    has_the_records(store, "copy");
    rewind_tape(&tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(what_is_made_by_hand_is_imported),
        WITH_STORE(a_head_that_lies_makes_no_topic),
        WITH_STORE(of_records_that_lie_none_is_stored),
        WITH_STORE(an_end_that_lies_is_told_behind_the_records),
        WITH_STORE(a_frame_is_what_its_header_says),
        WITH_STORE(frames_come_in_their_order),
        WITH_STORE(zeros_behind_a_frame_are_told_from_damage),
        WITH_STORE(whoever_reads_may_stop_it_there_too),
        WITH_STORE(a_read_function_that_lies_is_refused),
        WITH_STORE(only_a_sound_stream_goes_on),
        WITH_STORE(behind_the_end_nothing_comes),
        WITH_STORE(other_partitions_are_another_stream),
        WITH_STORE(a_long_import_notes_how_far_it_is),
        WITH_STORE(what_only_looks_like_a_record_is_none),
        WITH_STORE(the_same_record_is_found_behind_others),
        WITH_STORE(times_may_be_far_apart),
        WITH_STORE(a_commit_of_another_form_is_no_import),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
