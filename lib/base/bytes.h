/*
 * base/bytes.h - little-endian integers at byte addresses, and a cursor that
 * never leaves its bounds.
 *
 * Stored bytes are read and written through these, never by casting a struct
 * over them, so that neither alignment nor byte order of the machine matters.
 * On little-endian machines each accessor is one load or store.
 */
#ifndef RILL_BASE_BYTES_H
#define RILL_BASE_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define RILL_LE16(v) __builtin_bswap16(v)
#define RILL_LE32(v) __builtin_bswap32(v)
#define RILL_LE64(v) __builtin_bswap64(v)
#else
#define RILL_LE16(v) (v)
#define RILL_LE32(v) (v)
#define RILL_LE64(v) (v)
#endif

static inline uint16_t rill__get16(const void *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return RILL_LE16(v);
}

static inline uint32_t rill__get32(const void *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return RILL_LE32(v);
}

static inline uint64_t rill__get64(const void *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return RILL_LE64(v);
}

static inline void rill__put16(void *at, uint16_t v)
{
    v = RILL_LE16(v);
    memcpy(at, &v, sizeof v);
}

static inline void rill__put32(void *at, uint32_t v)
{
    v = RILL_LE32(v);
    memcpy(at, &v, sizeof v);
}

static inline void rill__put64(void *at, uint64_t v)
{
    v = RILL_LE64(v);
    memcpy(at, &v, sizeof v);
}

/* Reads from [at, end). Reading past the end gives zeros and sets short_read,
 * which the caller checks once, at the end. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool short_read;
};

static inline struct cursor rill__cursor(const void *data, size_t size)
{
    struct cursor c = {(const uint8_t *)data, (const uint8_t *)data + size, false};
    return c;
}

/* The next size bytes, or NULL if there are not so many. */
static inline const void *rill__cursor_take(struct cursor *c, size_t size)
{
    const void *p = c->at;
    if ((size_t)(c->end - c->at) < size) {
        c->short_read = true;
        c->at = c->end;
        return NULL;
    }
    c->at += size;
    return p;
}

static inline uint8_t rill__cursor_get8(struct cursor *c)
{
    const uint8_t *p = rill__cursor_take(c, 1);
    return p == NULL ? 0 : *p;
}

static inline uint16_t rill__cursor_get16(struct cursor *c)
{
    const void *p = rill__cursor_take(c, 2);
    return p == NULL ? 0 : rill__get16(p);
}

static inline uint32_t rill__cursor_get32(struct cursor *c)
{
    const void *p = rill__cursor_take(c, 4);
    return p == NULL ? 0 : rill__get32(p);
}

static inline uint64_t rill__cursor_get64(struct cursor *c)
{
    const void *p = rill__cursor_take(c, 8);
    return p == NULL ? 0 : rill__get64(p);
}

#endif
