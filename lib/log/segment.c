/*
 * log/segment.c - segment files: made, prepared ahead, opened, closed.
 *
 * A file gets all its blocks before it is mapped, because a store into a hole
 * of a full disk is a signal and not an error. A prepared pair, next.log and
 * next.index, is already allocated, zeroed and synced, so that a roll under
 * the append lock costs a header and two renames.
 */
#include "log/segment.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "log/format.h"
#include <inttypes.h>
#include <stdio.h>

static const char segment_magic[8] = {'R', 'I', 'L', 'L', 'S', 'E', 'G', '1'};
static const char index_magic[8] = {'R', 'I', 'L', 'L', 'I', 'D', 'X', '1'};

#define ZERO_STEP (1u << 20)

void rill__segment_name(int64_t base, const char *suffix, char name[SEGMENT_NAME_SIZE])
{
    snprintf(name, SEGMENT_NAME_SIZE, "%020" PRId64 ".%s", base, suffix);
}

int64_t rill__segment_base_of(const char *name)
{
    int64_t base = 0;

    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9') return -1;
        if (__builtin_mul_overflow(base, 10, &base) ||
            __builtin_add_overflow(base, name[i] - '0', &base))
            return -1;
    }
    return strcmp(name + 20, ".log") == 0 ? base : -1;
}

uint64_t rill__index_bytes(const struct log_config *config, uint64_t segment_bytes)
{
    uint64_t entries = segment_bytes / config->index_interval_bytes + 1;
    uint64_t bytes = INDEX_HEADER_SIZE + entries * INDEX_ENTRY_SIZE;
    return (bytes + 4095) & ~(uint64_t)4095;
}

static int create_allocated(const struct file *dir, const char *name, uint64_t size,
                            struct file *file)
{
    int rc = rill__file_remove(dir, name);
    if (rc != 0) return rc;
    rc = rill__file_open(dir, name, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, file);
    if (rc != 0) return rc;
    rc = rill__file_allocate(file, size);
    if (rc != 0) {
        rill__file_close(file);
        rill__file_remove(dir, name);
    }
    return rc;
}

/* The prepared file if it is there and of the right size, else a new one; named
 * mine, so that whoever prepares the next one meanwhile does not touch it. */
static int take_prepared(const struct file *dir, const char *prepared, const char *mine,
                         uint64_t size, struct file *file)
{
    uint64_t have = 0;
    bool exists = false;

    if (rill__file_exists(dir, prepared, &exists) == 0 && exists &&
        rill__file_rename(dir, prepared, mine) == 0 &&
        rill__file_open(dir, mine, FILE_WRITE, file) == 0) {
        if (rill__file_size(file, &have) == 0 && have == size) return 0;
        rill__file_close(file);
    }
    return create_allocated(dir, mine, size, file);
}

static void fill_segment_header(const struct log_config *config, int64_t base, int32_t epoch,
                                uint64_t salt, uint64_t size, uint8_t header[SEGMENT_HEADER_SIZE])
{
    memset(header, 0, SEGMENT_HEADER_SIZE);
    memcpy(header, segment_magic, sizeof segment_magic);
    rill__put16(header + SEGMENT_VERSION_AT, SEGMENT_VERSION);
    rill__put16(header + SEGMENT_HEADER_SIZE_AT, SEGMENT_HEADER_SIZE);
    rill__put64(header + SEGMENT_BASE_AT, (uint64_t)base);
    rill__put64(header + SEGMENT_SALT_AT, salt);
    memcpy(header + SEGMENT_TOPIC_AT, config->topic_id, 16);
    rill__put32(header + SEGMENT_PARTITION_AT, (uint32_t)config->partition);
    rill__put32(header + SEGMENT_EPOCH_AT, (uint32_t)epoch);
    rill__put64(header + SEGMENT_CREATED_AT, (uint64_t)rill__now_ms());
    rill__put64(header + SEGMENT_FILE_SIZE_AT, size);
    rill__put64(header + SEGMENT_CHECKSUM_AT, rill__checksum(header, SEGMENT_CHECKSUM_AT));
}

void rill__segment_fill_compacted(const struct log_config *config,
                                  const struct segment_header *segment, uint8_t *header)
{
    fill_segment_header(config, segment->base, segment->epoch, segment->salt, segment->file_size,
                        header);
    rill__put16(header + SEGMENT_VERSION_AT, SEGMENT_VERSION_FEATURES);
    rill__put32(header + SEGMENT_FEATURES_AT, SEGMENT_COMPACTED);
    rill__put64(header + SEGMENT_END_AT, (uint64_t)segment->end);
    rill__put64(header + SEGMENT_CLEANED_AT, (uint64_t)segment->cleaned);
    rill__put32(header + SEGMENT_TOMBSTONE_AT, segment->tombstone_s);
    rill__put64(header + SEGMENT_CHECKSUM_AT, rill__checksum(header, SEGMENT_CHECKSUM_AT));
}

static void fill_index_header(int64_t base, uint64_t salt, const struct index_seal *seal,
                              uint8_t header[INDEX_HEADER_SIZE])
{
    memset(header, 0, INDEX_HEADER_SIZE);
    memcpy(header, index_magic, sizeof index_magic);
    rill__put64(header + INDEX_BASE_AT, (uint64_t)base);
    rill__put64(header + INDEX_SALT_AT, salt);
    rill__put32(header + INDEX_COUNT_AT, seal->count);
    rill__put32(header + INDEX_END_POSITION_AT, seal->end_position);
    rill__put64(header + INDEX_END_OFFSET_AT, (uint64_t)seal->end_offset);
    rill__put64(header + INDEX_MAX_TIME_AT, (uint64_t)seal->max_time);
    rill__put64(header + INDEX_CHECKSUM_AT, rill__checksum(header, INDEX_CHECKSUM_AT));
}

static void remove_quietly(const struct file *dir, const char *name)
{
    struct saved_message message;

    rill__message_save(&message);
    rill__file_remove(dir, name);
    rill__message_restore(&message);
}

int rill__segment_create(const struct log_config *config, const struct file *dir, int64_t base,
                         int32_t epoch, uint64_t size)
{
    const struct index_seal unsealed = {INDEX_UNSEALED, 0, 0, 0};
    struct file log = FILE_NONE;
    struct file index = FILE_NONE;
    uint8_t header[SEGMENT_HEADER_SIZE];
    uint8_t index_header[INDEX_HEADER_SIZE];
    char log_name[SEGMENT_NAME_SIZE];
    char index_name[SEGMENT_NAME_SIZE];
    uint64_t salt;
    int rc;

    rc = rill__random(&salt, sizeof salt);
    if (rc != 0) goto out;
    fill_segment_header(config, base, epoch, salt, size, header);
    fill_index_header(base, salt, &unsealed, index_header);
    rill__segment_name(base, "log", log_name);
    rill__segment_name(base, "index", index_name);

    rc = take_prepared(dir, "next.index", "roll-index.tmp", rill__index_bytes(config, size),
                       &index);
    if (rc != 0) goto out;
    rc = take_prepared(dir, "next.log", "roll-log.tmp", size, &log);
    if (rc != 0) goto out;
    rc = rill__file_write(&index, index_header, sizeof index_header, 0);
    if (rc != 0) goto out;
    rc = rill__file_write(&log, header, sizeof header, 0);
    if (rc != 0) goto out;
    /* The log last: a segment is there when its log is. */
    rc = rill__file_rename(dir, "roll-index.tmp", index_name);
    if (rc != 0) goto out;
    rc = rill__file_rename(dir, "roll-log.tmp", log_name);
    if (rc != 0) remove_quietly(dir, index_name);
out:
    rill__file_close(&log);
    rill__file_close(&index);
    if (rc != 0) {
        remove_quietly(dir, "roll-index.tmp");
        remove_quietly(dir, "roll-log.tmp");
    }
    return rc;
}

int rill__segment_make_index(const struct log_config *config, const struct file *dir,
                             const struct segment *segment)
{
    const struct index_seal unsealed = {INDEX_UNSEALED, 0, 0, 0};
    struct file file = FILE_NONE;
    uint8_t header[INDEX_HEADER_SIZE];
    char name[SEGMENT_NAME_SIZE];
    int rc = create_allocated(dir, "index.tmp", rill__index_bytes(config, segment->size), &file);

    if (rc != 0) return rc;
    fill_index_header(segment->base, segment->salt, &unsealed, header);
    rill__segment_name(segment->base, "index", name);
    rc = rill__file_write(&file, header, sizeof header, 0);
    if (rc == 0) rc = rill__file_rename(dir, "index.tmp", name);
    rill__file_close(&file);
    return rc;
}

static int write_zeros(const struct log_config *config, const struct file *file, uint64_t size)
{
    uint8_t *zeros = rill__alloc(config->heap, ZERO_STEP);
    int rc = 0;

    if (zeros == NULL) return RILL_ERR_NO_MEMORY;
    for (uint64_t at = 0; at < size && rc == 0; at += ZERO_STEP) {
        uint64_t left = size - at;
        rc = rill__file_write(file, zeros, left < ZERO_STEP ? (size_t)left : ZERO_STEP, at);
    }
    rill__free(config->heap, zeros);
    return rc;
}

int rill__segment_is_prepared(const struct file *dir, uint64_t size, bool *prepared)
{
    struct file_facts facts;
    int rc = rill__file_look(dir, "next.log", &facts);

    *prepared = facts.links > 0 && facts.size == size;
    return rc;
}

int rill__segment_prepare(const struct log_config *config, const struct file *dir, uint64_t size)
{
    struct file log = FILE_NONE;
    struct file index = FILE_NONE;
    bool prepared;
    int rc;

    rc = rill__segment_is_prepared(dir, size, &prepared);
    if (rc != 0 || prepared) return rc;
    rc = create_allocated(dir, "prepare-index.tmp", rill__index_bytes(config, size), &index);
    if (rc != 0) goto out;
    rc = create_allocated(dir, "prepare-log.tmp", size, &log);
    if (rc != 0) goto out;
    rc = write_zeros(config, &log, size);
    if (rc != 0) goto out;
    rc = rill__file_sync(&log);
    if (rc != 0) goto out;
    rc = rill__file_rename(dir, "prepare-index.tmp", "next.index");
    if (rc != 0) goto out;
    rc = rill__file_rename(dir, "prepare-log.tmp", "next.log");
out:
    rill__file_close(&log);
    rill__file_close(&index);
    if (rc != 0) {
        rill__file_remove(dir, "prepare-index.tmp");
        rill__file_remove(dir, "prepare-log.tmp");
    }
    return rc;
}

/* A later version may give the rest of the header a meaning. */
static bool reserved_is_zero(const uint8_t *header, int from)
{
    uint8_t any = 0;

    for (int i = from; i < SEGMENT_CHECKSUM_AT; i++) any |= header[i];
    return any == 0 && rill__get16(header + SEGMENT_HEADER_SIZE_AT) == SEGMENT_HEADER_SIZE;
}

bool rill__segment_is_known(const uint8_t *header)
{
    uint16_t version = rill__get16(header + SEGMENT_VERSION_AT);
    uint32_t features = rill__get32(header + SEGMENT_FEATURES_AT);

    if (version == SEGMENT_VERSION)
        return features == 0 && reserved_is_zero(header, SEGMENT_END_AT);
    return version == SEGMENT_VERSION_FEATURES && features == SEGMENT_COMPACTED &&
           reserved_is_zero(header, SEGMENT_RESERVED_AT);
}

void rill__segment_parse(const uint8_t *bytes, struct segment_header *header)
{
    *header = (struct segment_header){.base = (int64_t)rill__get64(bytes + SEGMENT_BASE_AT),
                                      .salt = rill__get64(bytes + SEGMENT_SALT_AT),
                                      .file_size = rill__get64(bytes + SEGMENT_FILE_SIZE_AT),
                                      .end = -1,
                                      .epoch = (int32_t)rill__get32(bytes + SEGMENT_EPOCH_AT),
                                      .compacted = rill__get32(bytes + SEGMENT_FEATURES_AT) ==
                                                   SEGMENT_COMPACTED};
    if (!header->compacted) return;
    header->end = (int64_t)rill__get64(bytes + SEGMENT_END_AT);
    header->cleaned = (int64_t)rill__get64(bytes + SEGMENT_CLEANED_AT);
    header->tombstone_s = rill__get32(bytes + SEGMENT_TOMBSTONE_AT);
}

static int check_segment_header(const struct log_config *config, const uint8_t *header,
                                int64_t base, uint64_t file_size, const char *name,
                                struct segment_header *out)
{
    const char *wrong = NULL;

    if (memcmp(header, segment_magic, sizeof segment_magic) != 0)
        wrong = "is no rill segment (magic)";
    else if (rill__get64(header + SEGMENT_CHECKSUM_AT) !=
             rill__checksum(header, SEGMENT_CHECKSUM_AT))
        wrong = "has a damaged header (checksum)";
    if (wrong == NULL && !rill__segment_is_known(header))
        return rill__fail(RILL_ERR_FORMAT,
                          "%s: segment format %u with features %#x; this library reads format %d "
                          "with features 0, and format %d with features %#x",
                          name, rill__get16(header + SEGMENT_VERSION_AT),
                          rill__get32(header + SEGMENT_FEATURES_AT), SEGMENT_VERSION,
                          SEGMENT_VERSION_FEATURES, SEGMENT_FEATURES);
    rill__segment_parse(header, out);
    if (wrong == NULL && out->base != base) wrong = "has another base offset than its name";
    else if (wrong == NULL &&
             (memcmp(header + SEGMENT_TOPIC_AT, config->topic_id, 16) != 0 ||
              (int32_t)rill__get32(header + SEGMENT_PARTITION_AT) != config->partition))
        wrong = "belongs to another partition";
    else if (wrong == NULL && out->file_size != file_size)
        wrong = "has another size than its header says";
    else if (wrong == NULL && out->compacted && (out->end <= base || out->cleaned < base))
        wrong = "ends before it begins";
    if (wrong == NULL) return 0;
    return rill__fail(RILL_ERR_CORRUPT, "%s: segment of %" PRIu64 " bytes %s", name, file_size,
                      wrong);
}

/* A compacted one may have grown: its records say where they belong. */
static int check_segment_size(const struct file *file, uint64_t *size)
{
    int rc = rill__file_size(file, size);

    if (rc != 0) return rc;
    if (*size >= SEGMENT_HEADER_SIZE && *size <= SEGMENT_BYTES_MAX) return 0;
    return rill__fail(RILL_ERR_CORRUPT, "%s: %" PRIu64 " bytes is no segment's size", file->name,
                      *size);
}

int rill__segment_read_header(const struct log_config *config, const struct file *file,
                              int64_t base, struct segment_header *header)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    uint64_t size;
    int rc = check_segment_size(file, &size);

    if (rc == 0) rc = rill__file_read(file, bytes, sizeof bytes, 0);
    if (rc == 0) rc = check_segment_header(config, bytes, base, size, file->name, header);
    return rc;
}

int rill__segment_peek(const struct log_config *config, const struct file *dir, int64_t base,
                       struct segment_header *header)
{
    struct file file = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    int rc;

    rill__segment_name(base, "log", name);
    rc = rill__file_open(dir, name, FILE_READ, &file);
    if (rc == 0) rc = rill__segment_read_header(config, &file, base, header);
    rill__file_close(&file);
    return rc;
}

static bool is_index(const uint8_t *header)
{
    return memcmp(header, index_magic, sizeof index_magic) == 0 &&
           rill__get64(header + INDEX_CHECKSUM_AT) == rill__checksum(header, INDEX_CHECKSUM_AT) &&
           rill__get64(header + INDEX_RESERVED_AT) == 0;
}

static bool read_index_header(const struct file *dir, const char *name, uint8_t *header,
                              uint64_t *size)
{
    struct saved_message message;
    struct file file = FILE_NONE;
    bool good;

    rill__message_save(&message);
    good = rill__file_open(dir, name, FILE_READ, &file) == 0 &&
           rill__file_size(&file, size) == 0 && *size >= INDEX_HEADER_SIZE &&
           rill__file_read(&file, header, INDEX_HEADER_SIZE, 0) == 0 && is_index(header);
    rill__file_close(&file);
    rill__message_restore(&message);
    return good;
}

bool rill__index_owner(const struct file *dir, const char *name, int64_t *base, uint64_t *salt)
{
    uint8_t header[INDEX_HEADER_SIZE];
    uint64_t size;

    if (!read_index_header(dir, name, header, &size)) return false;
    *base = (int64_t)rill__get64(header + INDEX_BASE_AT);
    *salt = rill__get64(header + INDEX_SALT_AT);
    return *base >= 0;
}

bool rill__index_peek(const struct file *dir, const struct segment_header *header,
                      struct index_seal *seal)
{
    uint8_t bytes[INDEX_HEADER_SIZE];
    char name[SEGMENT_NAME_SIZE];
    uint64_t size;

    rill__segment_name(header->base, "index", name);
    if (!read_index_header(dir, name, bytes, &size) ||
        rill__get64(bytes + INDEX_SALT_AT) != header->salt)
        return false;
    return rill__index_sealed(&(struct segment){.base = header->base,
                                                .size = (uint32_t)header->file_size,
                                                .index = {bytes, (size_t)size}},
                              seal);
}

static void map_index(const struct log_config *config, const struct file *dir,
                      struct segment *segment)
{
    struct file file = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    const uint8_t *h;

    rill__segment_name(segment->base, "index", name);
    if (rill__file_open(dir, name, segment->writable ? FILE_WRITE : FILE_READ, &file) != 0)
        return;
    if (rill__file_size(&file, &size) == 0 && size >= INDEX_HEADER_SIZE && size <= UINT32_MAX &&
        rill__map(&file, (size_t)size, segment->writable, &segment->index) == 0) {
        h = segment->index.data;
        if (!is_index(h) || rill__get64(h + INDEX_SALT_AT) != segment->salt)
            rill__unmap(&segment->index);
        else atomic_fetch_add(config->mapped_bytes, segment->index.size);
    }
    rill__file_close(&file);
}

int rill__segment_open(const struct log_config *config, const struct file *dir, int64_t base,
                       bool writable, struct segment **out)
{
    struct file file = FILE_NONE;
    struct segment *segment = NULL;
    struct segment_header header;
    uint64_t size;
    int rc;

    segment = rill__alloc(config->heap, sizeof *segment);
    if (segment == NULL) return RILL_ERR_NO_MEMORY;
    segment->base = base;
    segment->writable = writable;
    segment->references = 1;
    rill__segment_name(base, "log", segment->name);
    rc = rill__file_open(dir, segment->name, writable ? FILE_WRITE : FILE_READ, &file);
    if (rc != 0) goto out;
    rc = check_segment_size(&file, &size);
    if (rc != 0) goto out;
    rc = rill__map(&file, (size_t)size, writable, &segment->map);
    if (rc != 0) goto out;
    atomic_fetch_add(config->mapped_bytes, segment->map.size);
    rc = check_segment_header(config, segment->map.data, base, size, file.name, &header);
    if (rc != 0) goto out;
    segment->size = (uint32_t)size;
    segment->salt = header.salt;
    segment->end = header.end;
    map_index(config, dir, segment);
    *out = segment;
    segment = NULL;
out:
    rill__segment_close(config, segment);
    rill__file_close(&file);
    return rc;
}

void rill__segment_close(const struct log_config *config, struct segment *segment)
{
    if (segment == NULL) return;
    atomic_fetch_sub(config->mapped_bytes, segment->map.size + segment->index.size);
    rill__unmap(&segment->map);
    rill__unmap(&segment->index);
    rill__free(config->heap, segment);
}

int rill__segment_remove(const struct file *dir, int64_t base)
{
    char name[SEGMENT_NAME_SIZE];
    int rc;

    rill__segment_name(base, "index", name);
    rc = rill__file_remove(dir, name);
    if (rc != 0) return rc;
    rill__segment_name(base, "log", name);
    return rill__file_remove(dir, name);
}

void rill__index_seal(struct segment *segment, uint32_t count, uint32_t end_position,
                      int64_t end_offset, int64_t max_time)
{
    const struct index_seal seal = {count, end_position, end_offset, max_time};

    if (segment->index.data == NULL) return;
    fill_index_header(segment->base, segment->salt, &seal, segment->index.data);
}
