/*
 * log/reindex.c - the index of a segment made anew, from its batches.
 */
#include "log/salvage.h"
#include "base/bytes.h"
#include "log/scan.h"

struct reindex {
    const struct log_salvage *salvage;
    struct segment segment; /* in memory: an index, and what it has to know */
    uint32_t count;
    uint32_t last;
    uint64_t at;
    int64_t offset;
    int64_t max_time;
};

static int fill_index(struct reindex *r, struct batch_scan *scan)
{
    int rc = 0;

    for (;;) {
        enum batch_state state;
        struct batch_view view;
        const char *why;

        rc = rill__scan_batch(scan, r->at, &state, &view, &why);
        if (rc != 0 || state != BATCH_VALID || view.base_offset != r->offset) return rc;
        if (r->last == 0 || r->at - r->last >= r->salvage->index_interval_bytes) {
            if (rill__index_put(&r->segment, r->count, r->offset, (uint32_t)r->at, r->max_time))
                r->count++;
            r->last = (uint32_t)r->at;
        }
        if (view.max_time > r->max_time) r->max_time = view.max_time;
        r->at += view.length;
        r->offset = view.end_offset;
    }
}

static int write_reindexed(const struct reindex *r)
{
    const struct file *dir = r->salvage->check.dir;
    struct file file = FILE_NONE;
    char name[SEGMENT_NAME_SIZE];
    int rc = rill__file_remove(dir, SALVAGE_TMP);

    if (rc == 0)
        rc = rill__file_open(dir, SALVAGE_TMP, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file);
    if (rc == 0) rc = rill__file_allocate(&file, r->segment.index.size);
    if (rc == 0) rc = rill__file_write(&file, r->segment.index.data, r->segment.index.size, 0);
    if (rc == 0) rc = rill__file_sync(&file);
    rill__file_close(&file);
    rill__segment_name(r->segment.base, "index", name);
    return rc == 0 ? rill__file_rename(dir, SALVAGE_TMP, name) : rc;
}

static int make_index(struct reindex *r, const struct file *file, uint64_t size, bool last)
{
    const struct log_salvage *s = r->salvage;
    struct log_config config = {.index_interval_bytes = s->index_interval_bytes};
    struct batch_scan scan;
    struct map *index = &r->segment.index;
    int rc;

    index->size = (size_t)rill__index_bytes(&config, size);
    index->data = rill__alloc(s->check.heap, index->size);
    if (index->data == NULL) return RILL_ERR_NO_MEMORY;
    r->segment.size = (uint32_t)size;
    rill__scan_init(&scan, s->check.heap, file, size, r->segment.salt);
    rc = fill_index(r, &scan);
    rill__scan_deinit(&scan);
    if (last) rill__index_seal(&r->segment, INDEX_UNSEALED, 0, 0, 0);
    else rill__index_seal(&r->segment, r->count, (uint32_t)r->at, r->offset, r->max_time);
    if (rc == 0) rc = write_reindexed(r);
    rill__free(s->check.heap, index->data);
    return rc;
}

int rill__salvage_index(const struct log_salvage *salvage, int64_t base, bool last)
{
    struct reindex r = {
        .salvage = salvage, .at = SEGMENT_HEADER_SIZE, .offset = base, .max_time = INT64_MIN};
    struct file file = FILE_NONE;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct written_header header;
    char name[SEGMENT_NAME_SIZE];
    uint64_t size = 0;
    int rc = 0;

    rill__segment_name(base, "log", name);
    if (!salvage->dry_run) {
        rc = rill__file_open(salvage->check.dir, name, FILE_READ, &file);
        if (rc == 0) rc = rill__file_size(&file, &size);
        if (rc == 0) rc = rill__file_read(&file, bytes, sizeof bytes, 0);
        if (rc == 0 && rill__header_read(bytes, &header) != HEADER_GOOD)
            rc = rill__fail(RILL_ERR_CORRUPT, "%s: its header changed meanwhile", file.name);
        if (rc == 0) {
            r.segment.base = base;
            r.segment.salt = header.is.salt;
            rc = make_index(&r, &file, size, last);
        }
        rill__file_close(&file);
    }
    rill__segment_name(base, "index", name);
    return rc != 0 ? rc
                   : rill__salvage_told(salvage, rill__salvage_action(RILL_REPAIR_INDEX, name),
                                        "The index was made anew from its segment.");
}
