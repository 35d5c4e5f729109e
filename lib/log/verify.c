/*
 * log/verify.c - see log/verify.h.
 *
 * Entries of an index are in the order of the batches, so both are walked once,
 * side by side. An entry whose largest timestamp is too large makes a search
 * begin earlier than it need; one that is too small makes it miss records, which
 * is why only that is wrong.
 */
#include "log/verify.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/format.h"

#define INDEX_BYTES_MAX (UINT64_C(1) << 30)

enum header_state rill__header_read(const uint8_t *bytes, struct written_header *header)
{
    uint8_t any = 0;

    for (int i = 0; i < SEGMENT_HEADER_SIZE; i++) any |= bytes[i];
    if (any == 0) return HEADER_NEVER;
    if (memcmp(bytes, "RILLSEG", 7) != 0 ||
        rill__get64(bytes + SEGMENT_CHECKSUM_AT) != rill__checksum(bytes, SEGMENT_CHECKSUM_AT))
        return HEADER_BAD;
    if (bytes[7] != '1' || !rill__segment_is_known(bytes)) return HEADER_NEWER;
    rill__segment_parse(bytes, &header->is);
    memcpy(header->topic_id, bytes + SEGMENT_TOPIC_AT, 16);
    header->partition = (int32_t)rill__get32(bytes + SEGMENT_PARTITION_AT);
    header->created_ms = (int64_t)rill__get64(bytes + SEGMENT_CREATED_AT);
    return HEADER_GOOD;
}

/* ---- The index -------------------------------------------------------- */

static int read_index(struct index_check *check, const struct file *file)
{
    uint64_t size;
    int rc = rill__file_size(file, &size);

    if (rc != 0) return rc;
    if (size < INDEX_HEADER_SIZE || size > INDEX_BYTES_MAX) {
        check->wrong = "has a size that no index has";
        return 0;
    }
    check->bytes = rill__alloc(check->heap, (size_t)size);
    if (check->bytes == NULL) return RILL_ERR_NO_MEMORY;
    check->size = (size_t)size;
    return rill__file_read(file, check->bytes, check->size, 0);
}

static const char *judge_header(struct index_check *check, uint32_t count)
{
    const uint8_t *h = check->bytes;
    uint32_t room = (uint32_t)((check->size - INDEX_HEADER_SIZE) / INDEX_ENTRY_SIZE);

    if (memcmp(h, "RILLIDX1", 8) != 0) return "is no index (magic)";
    if (rill__get64(h + INDEX_CHECKSUM_AT) != rill__checksum(h, INDEX_CHECKSUM_AT))
        return "has a damaged header (checksum)";
    if (rill__get64(h + INDEX_RESERVED_AT) != 0) return "has reserved bytes that are set";
    if (rill__get64(h + INDEX_SALT_AT) != check->salt ||
        (int64_t)rill__get64(h + INDEX_BASE_AT) != check->base)
        return "belongs to another segment";
    check->count = count;
    if (count == INDEX_UNSEALED) {
        check->seal.count = rill__get32(h + INDEX_COUNT_AT);
        check->seal.end_position = rill__get32(h + INDEX_END_POSITION_AT);
        check->seal.end_offset = (int64_t)rill__get64(h + INDEX_END_OFFSET_AT);
        check->seal.max_time = (int64_t)rill__get64(h + INDEX_MAX_TIME_AT);
        if (check->seal.count == INDEX_UNSEALED) return "was never sealed";
        check->sealed = true;
        check->count = check->seal.count;
    }
    return check->count > room ? "has fewer entries than it says" : NULL;
}

int rill__index_check_open(struct index_check *check, struct heap *heap, const struct file *dir,
                           int64_t base, uint64_t salt, uint32_t count)
{
    struct file file = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    int rc;

    *check = (struct index_check){.heap = heap, .base = base, .salt = salt, .before = -1};
    rill__segment_name(base, "index", name);
    rc = rill__file_open(dir, name, FILE_READ, &file);
    if (rc == 0) rc = read_index(check, &file);
    rill__file_close(&file);
    if (rc != 0 && rc != RILL_ERR_NOT_FOUND && !rill__is_of_medium(rc)) return rc;
    if (rc != 0) check->wrong = rc == RILL_ERR_NOT_FOUND ? "is missing" : "cannot be read";
    if (check->wrong == NULL) check->wrong = judge_header(check, count);
    if (check->wrong != NULL) check->count = 0;
    return 0;
}

void rill__index_check_close(struct index_check *check)
{
    rill__free(check->heap, check->bytes);
    check->bytes = NULL;
}

struct indexed {
    int64_t offset;
    uint64_t position;
    int64_t time;
};

static struct indexed entry_at(const struct index_check *check, uint32_t at)
{
    const uint8_t *e = check->bytes + INDEX_HEADER_SIZE + (size_t)at * INDEX_ENTRY_SIZE;
    uint32_t offset = rill__get32(e);
    int64_t time = (int64_t)rill__get64(e + 8);
    uint32_t mixed = (uint32_t)rill__mix64(check->salt ^ rill__mix64((uint64_t)time + offset));

    return (struct indexed){check->base + offset, (uint64_t)(rill__get32(e + 4) ^ mixed) * 8,
                            time};
}

static void is_bad(struct index_check *check)
{
    if (check->bad_count++ == 0) check->first_bad = check->next;
}

/* Entries before the offset: those that stand out of order, or name no batch. */
static void pass_entries(struct index_check *check, int64_t offset)
{
    while (check->next < check->count) {
        struct indexed e = entry_at(check, check->next);
        if (e.offset > check->before && e.offset >= offset) return;
        is_bad(check);
        check->next++;
    }
}

void rill__index_check_batch(struct index_check *check, int64_t offset, uint32_t position,
                             int64_t max_time)
{
    struct indexed e;

    pass_entries(check, offset);
    if (check->next == check->count) return;
    e = entry_at(check, check->next);
    if (e.offset != offset) return;
    if (e.position != position || e.time < max_time) is_bad(check);
    check->before = offset;
    check->next++;
}

void rill__index_check_skip(struct index_check *check, int64_t from, int64_t to)
{
    pass_entries(check, from);
    while (check->next < check->count && entry_at(check, check->next).offset < to &&
           entry_at(check, check->next).offset > check->before)
        check->before = entry_at(check, check->next++).offset;
}

void rill__index_check_end(struct index_check *check, int64_t end_offset, uint32_t position,
                           int64_t max_time, bool whole)
{
    pass_entries(check, INT64_MAX);
    if (!check->sealed || check->wrong != NULL || !whole) return;
    if (check->seal.end_offset != end_offset || check->seal.end_position != position)
        check->wrong = "says that its segment ends elsewhere";
    else if (check->seal.max_time < max_time)
        check->wrong = "says that its segment has no records as late as it has";
}
