/*
 * format.c - how rill consume writes a record.
 *
 * As JSON, by a format string, or just its value. Null is not the same as empty
 * and shows as null_bytes. With escaping, which is the default on a terminal, a
 * record is one line whatever bytes it has, and cannot play tricks on the terminal;
 * without, bytes go out as they are.
 */
#include "consume.h"

#include <string.h>

static void write_bytes(const struct format *format, rill_bytes bytes)
{
    if (bytes.data == NULL) {
        put(colour(DIM));
        put_bytes(format->null.data, format->null.size);
        put(colour(PLAIN));
    } else if (format->escape) {
        put_escaped(bytes);
    } else {
        put_bytes(bytes.data, bytes.size);
    }
}

static void write_headers(const struct format *format, const rill_record *record)
{
    rill_header header;

    for (size_t i = 0; rill_record_header(record, i, &header) == 0; i++) {
        if (i > 0) put(",");
        write_bytes(format, header.name);
        put("=");
        write_bytes(format, header.value);
    }
}

static void write_json(const rill_record *record)
{
    rill_header header;

    json_open(NULL, '{');
    json_text("topic", record->topic);
    json_number("partition", record->partition);
    json_offset("offset", record->offset);
    json_number("timestamp_ms", record->timestamp_ms);
    json_bytes("key", record->key);
    json_bytes("value", record->value);
    if (record->header_count > 0) {
        json_open("headers", '[');
        for (size_t i = 0; rill_record_header(record, i, &header) == 0; i++) {
            json_open(NULL, '{');
            json_bytes("name", header.name);
            json_bytes("value", header.value);
            json_close();
        }
        json_close();
    }
    json_close();
}

/* The size of bytes, -1 for null, as programs that read values of any bytes need it. */
static void write_size(rill_bytes bytes)
{
    if (bytes.data == NULL) put("-1");
    else putf("%zu", bytes.size);
}

static void write_field(const struct format *format, const rill_record *record, char letter)
{
    switch (letter) {
    case 't': put(record->topic); break;
    case 'p': putf("%" PRId32, record->partition); break;
    case 'o': putf("%" PRId64, record->offset); break;
    case 'e': putf("%" PRId32, record->leader_epoch); break;
    case 'k': write_bytes(format, record->key); break;
    case 'K': write_size(record->key); break;
    case 's': write_bytes(format, record->value); break;
    case 'S': write_size(record->value); break;
    case 'T': putf("%" PRId64, record->timestamp_ms); break;
    case 'd': put(time_iso_text(record->timestamp_ms)); break;
    case 'h': write_headers(format, record); break;
    default: put_bytes(&letter, 1); break; /* % */
    }
}

const char *format_check(rill_bytes pattern)
{
    const char *at = pattern.data, *end = at + pattern.size;

    for (; at < end; at++) {
        if (*at != '%') continue;
        if (++at == end || strchr("tpoekKsSTdh%", *at) == NULL)
            return "%t topic, %p partition, %o offset, %k key, %s value, %K %S their sizes, %T "
                   "time "
                   "in ms, %d date, %h headers, %e leader epoch and %%";
    }
    return NULL;
}

void format_record(const struct format *format, const rill_record *record)
{
    const char *at = format->pattern.data, *end = at + format->pattern.size;

    if (format->json) {
        write_json(record);
        return;
    }
    if (at == NULL) {
        if (format->key_separator.data != NULL) {
            write_bytes(format, record->key);
            put_bytes(format->key_separator.data, format->key_separator.size);
        }
        write_bytes(format, record->value);
        put_bytes(format->delimiter.data, format->delimiter.size);
        return;
    }
    while (at < end) {
        const char *percent = memchr(at, '%', (size_t)(end - at));

        put_bytes(at, (size_t)((percent != NULL ? percent : end) - at));
        if (percent == NULL) break;
        write_field(format, record, percent[1]);
        at = percent + 2;
    }
}
