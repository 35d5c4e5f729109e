/*
 * json.c - values that programs read.
 *
 * A value at the top is one line. Whatever bytes there are, what comes out is valid:
 * text that is not UTF-8 has its bad bytes replaced (names of the system, messages),
 * and bytes of records go out in base64 then, so that nothing is lost.
 *
 * Always true: commas[depth - 1] says whether the innermost bracket has a value yet.
 */
#include "tool.h"

#include <math.h>
#include <string.h>

#define DEPTH_MAX 16

static char brackets[DEPTH_MAX];
static bool commas[DEPTH_MAX];
static unsigned depth;

static void put_string(const char *data, size_t size)
{
    const uint8_t *at = (const uint8_t *)data, *end = at + size, *plain = at;

    put("\"");
    while (at < end) {
        size_t length = utf8_length(at, (size_t)(end - at));

        if (length > 1 ||
            (length == 1 && *at >= 0x20 && *at != 0x7f && *at != '"' && *at != '\\')) {
            at += length;
            continue;
        }
        put_bytes(plain, (size_t)(at - plain));
        if (length == 0) put("\\ufffd");
        else if (*at == '"' || *at == '\\') putf("\\%c", *at);
        else if (*at == '\n') put("\\n");
        else if (*at == '\t') put("\\t");
        else putf("\\u%04x", *at);
        plain = ++at;
    }
    put_bytes(plain, (size_t)(at - plain));
    put("\"");
}

static void begin_value(const char *name)
{
    if (depth > 0) {
        if (commas[depth - 1]) put(",");
        commas[depth - 1] = true;
    }
    if (name != NULL) {
        put_string(name, strlen(name));
        put(":");
    }
}

static void end_value(void)
{
    if (depth == 0) put("\n");
}

void json_open(const char *name, char bracket)
{
    begin_value(name);
    put_bytes(&bracket, 1);
    brackets[depth] = bracket;
    commas[depth++] = false;
}

void json_close(void)
{
    put(brackets[--depth] == '{' ? "}" : "]");
    end_value();
}

void json_text(const char *name, const char *text)
{
    begin_value(name);
    if (text == NULL) put("null");
    else put_string(text, strlen(text));
    end_value();
}

void json_number(const char *name, int64_t number)
{
    begin_value(name);
    putf("%" PRId64, number);
    end_value();
}

void json_unsigned(const char *name, uint64_t number)
{
    begin_value(name);
    putf("%" PRIu64, number);
    end_value();
}

void json_real(const char *name, double number)
{
    begin_value(name);
    if (isfinite(number)) putf("%.6g", number);
    else put("null");
    end_value();
}

void json_bool(const char *name, bool value)
{
    begin_value(name);
    put(value ? "true" : "false");
    end_value();
}

void json_offset(const char *name, rill_offset offset)
{
    if (offset == RILL_OFFSET_NONE) json_text(name, NULL);
    else json_number(name, offset);
}

static void put_base64(const uint8_t *data, size_t size)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    put("\"");
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)data[i] << 16 |
                         (i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0) |
                         (i + 2 < size ? data[i + 2] : 0);
        char text[4] = {digits[three >> 18], digits[three >> 12 & 63],
                        i + 1 < size ? digits[three >> 6 & 63] : '=',
                        i + 2 < size ? digits[three & 63] : '='};

        put_bytes(text, 4);
    }
    put("\"");
}

void json_bytes(const char *name, rill_bytes bytes)
{
    char longer[64];

    if (bytes.data != NULL && !utf8_valid(bytes.data, bytes.size)) {
        snprintf(longer, sizeof longer, "%s_base64", name);
        begin_value(longer);
        put_base64(bytes.data, bytes.size);
    } else {
        begin_value(name);
        if (bytes.data == NULL) put("null");
        else put_string(bytes.data, bytes.size);
    }
    end_value();
}
