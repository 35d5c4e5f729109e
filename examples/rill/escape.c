/*
 * escape.c - bytes that people, or terminals, should not get as they are.
 *
 * Escaped text has no control characters and no newline, so a record is a line;
 * a backslash is doubled, so it can be read back exactly, and \N, which no bytes
 * are escaped to, can stand for null.
 */
#include "tool.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

size_t utf8_length(const uint8_t *data, size_t size)
{
    uint32_t code;
    size_t length;

    if (size == 0) return 0;
    if (data[0] < 0x80) return 1;
    if (data[0] >= 0xc2 && data[0] < 0xe0) length = 2, code = data[0] & 0x1f;
    else if (data[0] >= 0xe0 && data[0] < 0xf0) length = 3, code = data[0] & 0x0f;
    else if (data[0] >= 0xf0 && data[0] < 0xf5) length = 4, code = data[0] & 0x07;
    else return 0;
    if (size < length) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((data[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (data[i] & 0x3f);
    }
    /* Longer than needed, a surrogate, or beyond the last one. */
    if ((length == 3 && code < 0x800) || (length == 4 && code < 0x10000) || code > 0x10ffff ||
        (code >= 0xd800 && code < 0xe000))
        return 0;
    return length;
}

bool utf8_valid(const void *data, size_t size)
{
    const uint8_t *at = data, *end = at + size;

    while (at < end) {
        size_t length = utf8_length(at, (size_t)(end - at));

        if (length == 0) return false;
        at += length;
    }
    return true;
}

/* Characters of two columns and of none are rare in what we show: names and numbers. */
size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text != 0; text++)
        if (((unsigned char)*text & 0xc0) != 0x80) width++;
    return width;
}

void put_escaped(rill_bytes bytes)
{
    const uint8_t *at = bytes.data, *end = at + bytes.size, *plain = at;
    bool utf8 = terminal_utf8();

    while (at < end) {
        static const char names[] = "\a\b\t\n\v\f\r\\", letters[] = "abtnvfr\\";
        size_t length = utf8_length(at, (size_t)(end - at));
        const char *name;

        /* C1 controls, U+0080 to U+009F, are as bad for a terminal as C0. */
        if ((length == 1 && *at >= 0x20 && *at != 0x7f && *at != '\\') ||
            (length > 1 && utf8 && !(at[0] == 0xc2 && at[1] < 0xa0))) {
            at += length;
            continue;
        }
        put_bytes(plain, (size_t)(at - plain));
        name = *at != 0 ? memchr(names, *at, sizeof names - 1) : NULL;
        if (name != NULL) putf("\\%c", letters[name - names]);
        else putf("\\x%02x", *at);
        plain = ++at;
    }
    put_bytes(plain, (size_t)(at - plain));
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t unescape(char *text, size_t size)
{
    static const char letters[] = "abtnvfr\\0", values[] = "\a\b\t\n\v\f\r\\";
    size_t from = 0, to = 0;

    while (from < size) {
        const char *letter;

        if (text[from] != '\\') {
            text[to++] = text[from++];
            continue;
        }
        if (from + 1 == size) return SIZE_MAX;
        letter = memchr(letters, text[from + 1], sizeof letters - 1);
        if (letter != NULL) {
            text[to++] = values[letter - letters]; /* the last one is the string's end, 0 */
            from += 2;
        } else if (text[from + 1] == 'x' && from + 3 < size && hex_value(text[from + 2]) >= 0 &&
                   hex_value(text[from + 3]) >= 0) {
            text[to++] = (char)(hex_value(text[from + 2]) << 4 | hex_value(text[from + 3]));
            from += 4;
        } else {
            return SIZE_MAX;
        }
    }
    return to;
}

int read_escaped(const char *option, const char *text, rill_bytes *bytes)
{
    size_t length, size;
    char *copy;

    *bytes = (rill_bytes){NULL, 0};
    if (text == NULL) return DONE;
    length = strlen(text);
    copy = must_alloc(length + 1);
    memcpy(copy, text, length);
    size = unescape(copy, length);
    if (size == SIZE_MAX) {
        free(copy);
        return usage("--%s=%s: text, with escapes such as \\t or \\x1f, is expected", option,
                     text);
    }
    /* Values of options are in the program's arguments, which may be written to. */
    memcpy((char *)(uintptr_t)text, copy, size);
    free(copy);
    *bytes = (rill_bytes){text, size};
    return DONE;
}
