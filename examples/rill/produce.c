/*
 * produce.c - rill produce: lines of files, or of standard input, become records.
 *
 *     reader    bytes of a file, cut at the delimiter; it waits, so that lingering
 *               batches go out while nothing comes
 *     line      a line becomes key, value, headers and time, as the options say
 *     delivery  the library tells what became of each record; these are counted
 *
 * The end of the input, Ctrl-C and failures all end the same way: what was read
 * is flushed, and what became of it is said. A line that is not complete when
 * Ctrl-C comes is not sent; at the end of the input it is.
 */
#include "tool.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *key_separator_text, *field_separator_text, *time_format, *null_text,
    *delimiter_text;
static rill_bytes key_separator, field_separator; /* without escapes; size 0: none */
static struct texts header_texts;
static int64_t key_field, time_field, acks, partition, rate, batch_bytes, linger_ms, compression,
    level;
static bool json, create, escape, zero, whole, skip_bad;

static const struct choice acks_choices[] = {{"none", RILL_ACKS_NONE},
                                             {"written", RILL_ACKS_WRITTEN},
                                             {"durable", RILL_ACKS_DURABLE},
                                             {0}};

static const struct option produce_options[] = {
    {"key-separator", 'k', OPTION_TEXT, &key_separator_text, "TEXT",
     "what stands before the first TEXT of a line is the key; lines without it have no key", 0, 0,
     0},
    {"key-field", 0, OPTION_NUMBER, &key_field, "N",
     "field N is the key, and stays in the value; fields count from 1", 1, 10000, 0},
    {"field-separator", 'F', OPTION_TEXT, &field_separator_text, "TEXT",
     "what is between fields; without it, blanks and tabs, as awk does", 0, 0, 0},
    {"header", 'H', OPTION_TEXTS, &header_texts, "NAME=VALUE",
     "a header for every record; may be given several times", 0, 0, 0},
    {"partition", 'p', OPTION_NUMBER, &partition, "N",
     "into this partition; without it, the key decides, or without key, chance", 0, INT32_MAX, 0},
    {"acks", 'a', OPTION_CHOICE, &acks, "WHAT",
     "none, written (survives kill -9) or durable (survives a power cut); written", 0, 0,
     acks_choices},
    {"compression", 'z', OPTION_CHOICE, &compression, "CODEC",
     "none, lz4 or zstd, if the topic leaves it to producers; none", 0, 0, compressions},
    {"level", 0, OPTION_NUMBER, &level, "N", "of that codec: the higher, the smaller and slower",
     -131072, 22, 0},
    {"time-field", 0, OPTION_NUMBER, &time_field, "N",
     "a record's time is in its field N: seconds or milliseconds since 1970, or a date", 1, 10000,
     0},
    {"time-format", 0, OPTION_TEXT, &time_format, "FORMAT",
     "the time begins in the field and looks like this, in the notation of strptime(3)", 0, 0, 0},
    {"rate", 0, OPTION_NUMBER, &rate, "N", "at most so many records per second", 1, 1000000000,
     0},
    {"null", 0, OPTION_TEXT, &null_text, "TEXT",
     "a value or key that is TEXT is null; a null value is a tombstone", 0, 0, 0},
    {"escape", 'e', OPTION_FLAG, &escape, 0,
     "take out escapes (\\n, \\t, \\\\, \\xHH) that rill consume --escape puts in; \\N is null",
     0, 0, 0},
    {"delimiter", 'd', OPTION_TEXT, &delimiter_text, "C",
     "records end with this character instead of a newline; \\t and the like are known", 0, 0, 0},
    {"zero", '0', OPTION_FLAG, &zero, 0, "records end with a zero byte", 0, 0, 0},
    {"whole", 0, OPTION_FLAG, &whole, 0, "each file is one record", 0, 0, 0},
    {"batch-bytes", 0, OPTION_SIZE, &batch_bytes, "SIZE",
     "a batch goes out when it has so many; 64KiB", 256, 64 << 20, 0},
    {"linger", 0, OPTION_DURATION, &linger_ms, "TIME", "how long a batch may wait to fill; 5ms",
     1, 3600000, 0},
    {"skip-bad", 0, OPTION_FLAG, &skip_bad, 0,
     "go on after a line that does not fit (its time, escapes, size, no key where one must be)",
     0, 0, 0},
    {"create", 0, OPTION_FLAG, &create, 0, "make the topic if it is not there", 0, 0, 0},
    {"json", 0, OPTION_FLAG, &json, 0,
     "at the end, an object that says what became of the records", 0, 0, 0},
    {0},
};

/* ---- Reader ------------------------------------------------------------------------ */

struct reader {
    const char *name;
    int fd;
    char *data; /* [begin, end) is read and not used */
    size_t begin, end, room;
    size_t searched; /* bytes behind begin that have no delimiter */
    bool at_end;
    uint64_t taken; /* bytes, for progress */
    uint64_t total; /* 0: not known */
};

/* Reads some more. False at the end, when stopped, and on failure. */
static bool reader_fill(struct reader *reader, rill_producer *producer, int *status)
{
    ssize_t size;

    if (reader->begin > 0 && reader->end == reader->room) {
        memmove(reader->data, reader->data + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    if (reader->end == reader->room) {
        reader->room = reader->room * 2 + 65536;
        reader->data = must_grow(reader->data, reader->room);
    }
    for (;;) {
        struct pollfd wait = {.fd = reader->fd, .events = POLLIN};
        int ready = poll(&wait, 1, 100), rc;

        if (stopped != 0) return false;
        if (ready > 0) break;
        /* Nothing comes: what waits in batches need not. */
        rc = rill_producer_poll(producer);
        if (rc != 0) {
            *status = fail_rill(rc);
            return false;
        }
    }
    size = read(reader->fd, reader->data + reader->end, reader->room - reader->end);
    if (size < 0 && errno == EINTR) return true;
    if (size < 0) {
        *status = fail(FAILED, "%s: %s", reader->name, strerror(errno));
        return false;
    }
    reader->at_end = size == 0;
    reader->end += (size_t)size;
    return size > 0;
}

/* The next record without its delimiter; false at the end. */
static bool reader_next(struct reader *reader, char delimiter, rill_producer *producer,
                        char **line, size_t *size, int *status)
{
    for (;;) {
        char *from = reader->data + reader->begin, *found = NULL;
        size_t ready = reader->end - reader->begin;

        if (!whole && ready > reader->searched)
            found = memchr(from + reader->searched, delimiter, ready - reader->searched);
        if (found != NULL) {
            *line = from;
            *size = (size_t)(found - from);
            reader->begin += *size + 1;
            reader->taken += *size + 1;
            reader->searched = 0;
            return true;
        }
        reader->searched = ready;
        if (reader->at_end) {
            if (ready == 0 && !(whole && reader->taken == 0)) return false;
            *line = from;
            *size = ready;
            reader->begin = reader->end;
            reader->searched = 0;
            reader->taken += ready + whole;
            return true;
        }
        if (!reader_fill(reader, producer, status) && !reader->at_end) return false;
    }
}

/* ---- From a line to a record ---------------------------------------------------------- */

/* Field number n of line, from 1. */
static bool find_field(const char *line, size_t size, int64_t n, rill_bytes *field)
{
    const char *at = line, *end = line + size;

    if (field_separator.size > 0) {
        for (; n > 1; n--) {
            at = memmem(at, (size_t)(end - at), field_separator.data, field_separator.size);
            if (at == NULL) return false;
            at += field_separator.size;
        }
        line = memmem(at, (size_t)(end - at), field_separator.data, field_separator.size);
        *field = (rill_bytes){at, (size_t)((line != NULL ? line : end) - at)};
        return true;
    }
    for (;; n--) {
        const char *begin;

        while (at < end && (*at == ' ' || *at == '\t')) at++;
        begin = at;
        while (at < end && *at != ' ' && *at != '\t') at++;
        if (at == begin) return false;
        if (n == 1) {
            *field = (rill_bytes){begin, (size_t)(at - begin)};
            return true;
        }
    }
}

static bool find_time(const char *line, size_t size, int64_t *ms)
{
    rill_bytes field;
    char text[256];
    struct tm tm = {.tm_isdst = -1};
    size_t length;
    int64_t number;
    long zone;

    if (!find_field(line, size, time_field, &field)) return false;
    /* With a format the time may go on behind the field. */
    length = time_format != NULL ? (size_t)(line + size - (const char *)field.data) : field.size;
    if (length >= sizeof text) length = sizeof text - 1;
    memcpy(text, field.data, length);
    text[length] = 0;
    if (time_format != NULL) {
        if (strptime(text, time_format, &tm) == NULL) return false;
        zone = tm.tm_gmtoff; /* timegm forgets it */
        *ms = (strstr(time_format, "%z") != NULL ? timegm(&tm) - zone : mktime(&tm)) * 1000;
        return true;
    }
    if (read_number(text, &number)) {
        /* In seconds this would be the year 5138. */
        *ms = number < 100000000000 ? number * 1000 : number;
        return number > 0;
    }
    return read_time(text, ms);
}

/* Bytes of the line as the options make them: null, or without escapes. */
static const char *finish(char *data, size_t size, rill_bytes *bytes)
{
    if ((null_text != NULL && strlen(null_text) == size && memcmp(data, null_text, size) == 0) ||
        (escape && size == 2 && memcmp(data, "\\N", 2) == 0)) {
        *bytes = (rill_bytes){NULL, 0};
        return NULL;
    }
    if (escape) size = unescape(data, size);
    if (size == SIZE_MAX) return "an escape is wrong";
    *bytes = (rill_bytes){data, size};
    return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *line_to_record(char *line, size_t size, rill_record *record)
{
    const char *wrong = NULL;
    rill_bytes field;

    record->key = (rill_bytes){NULL, 0};
    record->timestamp_ms = 0;
    if (time_field != 0 && !find_time(line, size, &record->timestamp_ms))
        return "there is no time in its field";
    if (key_field != 0 && find_field(line, size, key_field, &field)) record->key = field;
    if (key_separator.size > 0) {
        char *found = memmem(line, size, key_separator.data, key_separator.size);

        if (found != NULL) {
            wrong = finish(line, (size_t)(found - line), &record->key);
            size -= (size_t)(found - line) + key_separator.size;
            line = found + key_separator.size;
        }
    }
    return wrong != NULL ? wrong : finish(line, size, &record->value);
}

/* ---- What became of them ---------------------------------------------------------------- */

struct place {
    uint64_t count;
    rill_offset first, last;
};

struct outcome {
    uint64_t read, sent, bytes, skipped;
    uint64_t appended, lost;
    uint64_t lost_first, lost_last; /* of the input's records, from 1 */
    struct place *places;           /* by partition */
    uint32_t place_count;
};

static void delivered(void *arg, const rill_delivery *delivery)
{
    struct outcome *outcome = arg;
    struct place *place;
    uint64_t number = (uintptr_t)delivery->opaque;

    if (delivery->status != 0) {
        if (outcome->lost++ == 0) outcome->lost_first = number;
        if (number < outcome->lost_first) outcome->lost_first = number;
        if (number > outcome->lost_last) outcome->lost_last = number;
        return;
    }
    outcome->appended++;
    if (delivery->partition < 0 || (uint32_t)delivery->partition >= outcome->place_count) return;
    place = &outcome->places[delivery->partition];
    if (place->count++ == 0) place->first = delivery->offset;
    place->last = delivery->offset;
}

static void tell(const struct outcome *outcome, double seconds)
{
    if (!json) {
        if (is_terminal(STDERR_FILENO))
            note("%s records, %s, in %s", count_text((int64_t)outcome->appended),
                 size_text(outcome->bytes), duration_text((int64_t)(seconds * 1000)));
        if (outcome->skipped > 0)
            note("%s lines were skipped", count_text((int64_t)outcome->skipped));
        return;
    }
    json_open(NULL, '{');
    json_unsigned("records", outcome->appended);
    json_unsigned("bytes", outcome->bytes);
    json_unsigned("not_appended", outcome->sent - outcome->appended);
    if (outcome->lost > 0) {
        json_unsigned("first_not_appended", outcome->lost_first);
        json_unsigned("last_not_appended", outcome->lost_last);
    }
    json_unsigned("skipped", outcome->skipped);
    json_real("seconds", seconds);
    json_open("partitions", '[');
    for (uint32_t p = 0; p < outcome->place_count; p++) {
        const struct place *place = &outcome->places[p];

        if (place->count == 0) continue;
        json_open(NULL, '{');
        json_unsigned("partition", p);
        json_unsigned("records", place->count);
        json_offset("first_offset", place->first);
        json_offset("last_offset", place->last);
        json_close();
    }
    json_close();
    json_close();
}

/* ---- Sending --------------------------------------------------------------------------------
 */

/* Waits until record number count is due. */
static void keep_rate(uint64_t count, int64_t began_ns)
{
    int64_t due_ns = began_ns + (int64_t)((double)count / (double)rate * 1e9);

    for (;;) {
        int64_t wait_ns = due_ns - steady_ns();

        if (wait_ns < 1000000 || stopped != 0) return;
        sleep_ms(wait_ns / 1000000 < 100 ? wait_ns / 1000000 : 100);
    }
}

static int send_one(rill_producer *producer, const rill_record *record, uint64_t number,
                    struct outcome *outcome)
{
    int rc;

    /* Waits as long as it takes, but not for one who wants to stop. */
    do rc = rill_producer_send(producer, record, (void *)(uintptr_t)number, 500);
    while (rc == RILL_ERR_TIMEOUT && stopped == 0);
    if (rc == 0) {
        outcome->sent++;
        outcome->bytes += record->key.size + record->value.size;
    }
    return rc;
}

static int produce_file(rill_producer *producer, struct reader *reader, char delimiter,
                        const rill_header *headers, struct outcome *outcome, int64_t began_ns)
{
    int status = DONE;
    uint64_t number = 0;
    char *line;
    size_t size;

    while (stopped == 0 && outcome->lost == 0 &&
           reader_next(reader, delimiter, producer, &line, &size, &status)) {
        rill_record record = RILL_RECORD_INIT;
        const char *wrong = line_to_record(line, size, &record);
        int rc = 0;

        number++;
        record.headers = headers;
        record.header_count = header_texts.count;
        record.partition = given(&partition) ? (int32_t)partition : RILL_PARTITION_ANY;
        outcome->read++;
        if (wrong == NULL) rc = send_one(producer, &record, outcome->read, outcome);
        if (wrong != NULL || rc == RILL_ERR_TOO_BIG || rc == RILL_ERR_INVALID) {
            if (wrong == NULL) wrong = rill_errmsg();
            if (!skip_bad)
                return fail(FAILED, "%s, line %" PRIu64 ": %s", reader->name, number, wrong);
            note("%s, line %" PRIu64 ": %s", reader->name, number, wrong);
            outcome->skipped++;
        } else if (rc != 0) {
            return stopped != 0 ? DONE : fail_rill(rc);
        }
        if (rate != 0) keep_rate(outcome->sent, began_ns);
        if ((number & 255) == 0)
            progress("producing", reader->total > 0 ? reader->taken : outcome->sent,
                     reader->total, reader->total > 0);
    }
    return status;
}

static int open_file(const char *name, struct reader *reader)
{
    struct stat info;

    *reader = (struct reader){
        .name = name, .fd = STDIN_FILENO, .data = reader->data, .room = reader->room};
    if (strcmp(name, "-") == 0) {
        reader->name = "standard input";
        if (is_terminal(STDIN_FILENO)) note("a record per line; Ctrl-D ends");
    } else {
        reader->fd = open(name, O_RDONLY | O_CLOEXEC);
        if (reader->fd < 0)
            return fail(errno == ENOENT ? NOT_FOUND : FAILED, "%s: %s", name, strerror(errno));
    }
    if (fstat(reader->fd, &info) == 0 && S_ISREG(info.st_mode))
        reader->total = (uint64_t)info.st_size;
    return DONE;
}

static int read_headers(rill_header *headers)
{
    for (size_t i = 0; i < header_texts.count; i++) {
        const char *text = header_texts.items[i], *equals = strchr(text, '=');

        if (equals == NULL || equals == text)
            return usage("--header=%s: NAME=VALUE is expected", text);
        headers[i].name = (rill_bytes){text, (size_t)(equals - text)};
        headers[i].value = (rill_bytes){equals + 1, strlen(equals + 1)};
    }
    return DONE;
}

static int read_delimiter(char *delimiter)
{
    rill_bytes bytes;
    int status = DONE;

    *delimiter = zero ? 0 : '\n';
    if (delimiter_text == NULL) return DONE;
    status = read_escaped("delimiter", delimiter_text, &bytes);
    if (status == DONE && bytes.size != 1)
        status = usage("--delimiter=%s: one character is expected", delimiter_text);
    if (status == DONE) *delimiter = *(const char *)bytes.data;
    return status;
}

static int open_topic(rill *store, const char *name, rill_topic_info *topic)
{
    int rc = create ? rill_topic_create(store, name, NULL) : 0;

    if (rc == 0 || rc == RILL_ERR_EXISTS) rc = rill_topic_describe(store, name, topic);
    if (rc != 0) return fail_rill(rc);
    if (given(&partition) && partition >= topic->options.partition_count)
        return fail(NOT_FOUND, "topic %s has partitions 0 to %u, not %" PRId64, name,
                    topic->options.partition_count - 1, partition);
    return DONE;
}

static int produce(rill *store, char **arguments, size_t count, char delimiter,
                   const rill_header *headers)
{
    char dash[] = "-", *standard_input[] = {dash};
    rill_topic_info topic;
    rill_producer_options options = {.size = sizeof options,
                                     .topic = arguments[0],
                                     .acks = (int32_t)acks,
                                     .linger_ms = (uint32_t)linger_ms,
                                     .batch_bytes = (uint32_t)batch_bytes,
                                     .delivery = delivered,
                                     .compression = (uint32_t)compression,
                                     .compression_level = (int32_t)level};
    rill_producer *producer;
    struct outcome outcome = {0};
    struct reader reader = {0};
    char **files = count > 1 ? arguments + 1 : standard_input;
    size_t file_count = count > 1 ? count - 1 : 1;
    int64_t began_ns = steady_ns();
    int status = open_topic(store, arguments[0], &topic), rc;

    if (status != DONE) return status;
    outcome.place_count = topic.options.partition_count;
    outcome.places = must_alloc(outcome.place_count * sizeof *outcome.places);
    options.delivery_arg = &outcome;
    rc = rill_producer_open(store, &options, &producer);
    if (rc != 0) {
        free(outcome.places);
        return fail_rill(rc);
    }
    for (size_t i = 0; i < file_count && status == DONE && stopped == 0; i++) {
        status = open_file(files[i], &reader);
        if (status != DONE) break;
        status = produce_file(producer, &reader, delimiter, headers, &outcome, began_ns);
        if (reader.fd != STDIN_FILENO) close(reader.fd);
    }
    rc = rill_producer_flush(producer, 60000);
    progress_clear();
    if (rc != 0 && status == DONE) status = fail_rill(rc);
    rc = rill_producer_close(producer, 1000);
    if (rc != 0 && status == DONE) status = fail_rill(rc);
    if (outcome.lost > 0)
        note("%s were appended, %s were not, in the input between %s and %s",
             counted((int64_t)outcome.appended, "record"), count_text((int64_t)outcome.lost),
             count_text((int64_t)outcome.lost_first), count_text((int64_t)outcome.lost_last));
    tell(&outcome, (double)(steady_ns() - began_ns) / 1e9);
    free(outcome.places);
    free(reader.data);
    return status;
}

static int run_produce(char **arguments, size_t count)
{
    rill_header *headers = must_alloc((header_texts.count + 1) * sizeof *headers);
    char delimiter;
    rill *store;
    int status;

    status = read_headers(headers);
    if (status == DONE) status = read_delimiter(&delimiter);
    if (status == DONE)
        status = read_escaped("key-separator", key_separator_text, &key_separator);
    if (status == DONE)
        status = read_escaped("field-separator", field_separator_text, &field_separator);
    if (status == DONE && ((key_separator_text != NULL && key_separator.size == 0) ||
                           (field_separator_text != NULL && field_separator.size == 0)))
        status = usage("a separator of at least one character is expected");
    if (status == DONE && key_field != 0 && key_separator_text != NULL)
        status = usage("--key-field and --key-separator: only one of them is expected");
    if (status == DONE && time_format != NULL && time_field == 0)
        status = usage("--time-format needs --time-field, the field in which the time begins");
    if (status == DONE)
        status = store_open(RILL_OPEN_THREAD | (create ? RILL_OPEN_CREATE : 0), &store);
    if (status == DONE) {
        signals_catch();
        status = produce(store, arguments, count, delimiter, headers);
        status = stopped_status(store_close(store, status));
    }
    free(headers);
    free(header_texts.items);
    return status;
}

const struct command produce_commands[] = {
    {"produce", "TOPIC [FILE...]", "append the lines of files to a topic",
     "Each line of the files, or of standard input, becomes the value of a record. At the end of "
     "the input, and at Ctrl-C, all that was read is appended before the command ends. What was "
     "appended stays, also if the command fails later; it then says which records of the input, "
     "counted from 1, were not appended.",
     produce_options,
     "seq 1000 | rill produce numbers --create\n"
     "# key:value\n"
     "rill produce orders --key-separator=: orders.txt\n"
     "# the key is the client's address, the time is in the line\n"
     "rill produce access access.log --key-field=1 --time-field=4 "
     "--time-format='[%d/%b/%Y:%H:%M:%S %z'\n"
     "# a tombstone for key 42\n"
     "echo '42:' | rill produce orders -k: --null=\n"
     "# a copy of a topic, exact whatever its bytes are\n"
     "rill consume a --escape -k '\\t' | rill produce b --escape -k '\\t'",
     run_produce},
    {0},
};
