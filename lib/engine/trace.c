/*
 * engine/trace.c - W3C trace context in records' headers.
 *
 *     00-<32 hex: trace id>-<16 hex: span id>-<2 hex: flags>
 *
 * Version 00 of https://www.w3.org/TR/trace-context; of a later version the same
 * first 55 characters are taken, as it asks for, and written back as 00.
 *
 * Span ids are a counter, mixed and keyed with a random number of the tracer: as
 * unique as random ones, without a system call each.
 */
#include "base/checksum.h"
#include "engine/intercept.h"
#include <stdio.h>
#include <string.h>

#define HEADER_NAME "traceparent"
#define TEXT_SIZE ((size_t)RILL_TRACEPARENT_SIZE - 1)
#define SPAN_AT 36

struct rill_trace {
    rill *handle;
    rill_trace_options options;
    uint64_t keys[3];      /* never change */
    _Atomic uint64_t next; /* relaxed: only to be different each time */
};

static bool is_hex(const char *text, size_t size, bool not_all_zero)
{
    bool any = false;

    for (size_t i = 0; i < size; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit && !(text[i] >= 'a' && text[i] <= 'f')) return false;
        if (text[i] != '0') any = true;
    }
    return any || !not_all_zero;
}

static bool is_valid(const char *text, size_t size)
{
    if (size < TEXT_SIZE || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
    if (!is_hex(text, 2, false) || memcmp(text, "ff", 2) == 0) return false;
    if (memcmp(text, "00", 2) == 0 ? size != TEXT_SIZE : size > TEXT_SIZE && text[55] != '-')
        return false;
    return is_hex(text + 3, 32, true) && is_hex(text + SPAN_AT, 16, true) &&
           is_hex(text + 53, 2, false);
}

/* The header of a record that was sent, or received. */
static bool find_header(const rill_record *record, rill_bytes *value, size_t *at)
{
    for (size_t i = record->header_count; i-- > 0;) {
        rill_header header;
        if (record->headers != NULL) header = record->headers[i];
        else if (rill__record_header_at(record, i, &header) != 0) continue;
        if (header.name.size != sizeof HEADER_NAME - 1 ||
            memcmp(header.name.data, HEADER_NAME, sizeof HEADER_NAME - 1) != 0)
            continue;
        *value = header.value;
        *at = i;
        return true;
    }
    return false;
}

/* The last of that name counts. */
static bool context_of(const rill_record *record, rill_bytes *value, char *traceparent)
{
    size_t at;

    if (!find_header(record, value, &at) || value->data == NULL ||
        !is_valid(value->data, value->size))
        return false;
    memcpy(traceparent, "00", 2);
    memcpy(traceparent + 2, (const char *)value->data + 2, TEXT_SIZE - 2);
    traceparent[TEXT_SIZE] = '\0';
    return true;
}

int rill__traceparent(const rill_record *record, char traceparent[RILL_TRACEPARENT_SIZE])
{
    rill_bytes value = {"", 0};

    if (context_of(record, &value, traceparent)) return 0;
    if (value.data != NULL && value.size == 0)
        return rill__fail(RILL_ERR_NOT_FOUND, "the record has no header " HEADER_NAME);
    return rill__fail(RILL_ERR_INVALID,
                      "the record's " HEADER_NAME " of %zu bytes is no W3C trace context",
                      value.size);
}

/* ---- The tracer ------------------------------------------------------- */

int rill__trace_open(rill *handle, const rill_trace_options *given, rill_trace **out)
{
    rill_trace *trace = rill__alloc(&handle->store->heap, sizeof *trace);
    int rc;

    if (trace == NULL) return RILL_ERR_NO_MEMORY;
    rc = rill__options_take(OPTIONS_TRACE, given, &trace->options);
    if (rc == 0) rc = rill__random(trace->keys, sizeof trace->keys);
    if (rc != 0) {
        rill__free(&handle->store->heap, trace);
        return rc;
    }
    trace->handle = handle;
    atomic_fetch_add(&handle->children, 1);
    *out = trace;
    return 0;
}

void rill__trace_close(rill_trace *trace)
{
    atomic_fetch_sub(&trace->handle->children, 1);
    rill__free(&trace->handle->store->heap, trace);
}

/* Sixteen lower hex digits, not all zero. */
static void put_id(rill_trace *trace, int key, uint64_t number, char *text)
{
    uint64_t id = rill__mix64(number ^ trace->keys[key]);

    if (id == 0) id = 1;
    for (int i = 15; i >= 0; i--, id >>= 4) text[i] = "0123456789abcdef"[id & 15];
}

static int on_send(void *arg, rill_record *record, rill_scratch *scratch)
{
    rill_trace *trace = arg;
    uint64_t number = atomic_fetch_add_explicit(&trace->next, 1, memory_order_relaxed);
    char parent[RILL_TRACEPARENT_SIZE];
    rill_bytes old;
    bool has_parent = context_of(record, &old, parent);
    size_t at = record->header_count;
    rill_header *headers;
    char *text = rill__scratch_alloc(scratch, RILL_TRACEPARENT_SIZE);

    if (text == NULL) return RILL_ERR_NO_MEMORY;
    if (!has_parent && trace->options.current != NULL)
        has_parent = trace->options.current(trace->options.arg, parent) == 0 &&
                     is_valid(parent, strnlen(parent, sizeof parent));
    if (has_parent) {
        memcpy(text, parent, RILL_TRACEPARENT_SIZE);
        memcpy(text, "00", 2);
    } else {
        memcpy(text, "00-", 3);
        put_id(trace, 0, number, text + 3);
        put_id(trace, 1, number, text + 19);
        memcpy(text + 35, "-0000000000000000-01", 21);
    }
    put_id(trace, 2, number, text + SPAN_AT);
    find_header(record, &old, &at);
    headers = rill__scratch_alloc(scratch, (record->header_count + 1) * sizeof *headers);
    if (headers == NULL) return RILL_ERR_NO_MEMORY;
    if (record->header_count != 0)
        memcpy(headers, record->headers, record->header_count * sizeof *headers);
    headers[at].name = (rill_bytes){HEADER_NAME, sizeof HEADER_NAME - 1};
    headers[at].value = (rill_bytes){text, TEXT_SIZE};
    if (at == record->header_count) record->header_count++;
    record->headers = headers;
    if (trace->options.span != NULL)
        trace->options.span(trace->options.arg, text, has_parent ? parent : NULL, record);
    return 0;
}

void rill__trace_interceptor(rill_trace *trace, rill_producer_interceptor *interceptor)
{
    *interceptor = (rill_producer_interceptor){.name = "trace", .arg = trace, .on_send = on_send};
}
