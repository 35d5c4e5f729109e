/*
 * Any bytes as any file of a store: rill_dump shows them, each byte of a segment in
 * one item, and never more than there are. The first byte of the input says which
 * file it is called, the next two how large a hole comes after the rest.
 */
#include "fuzz.h"
#include <fcntl.h>

static const char *const names[] = {"00000000000000000000.log", "00000000000000000000.index",
                                    "control", "STORE"};

struct seen {
    bool segment;
    int64_t at;
};

static int see(void *arg, const rill_item *item)
{
    struct seen *seen = arg;

    MUST(item->text != NULL && item->text[0] != '\0' && item->size >= 0);
    if (item->kind == RILL_ITEM_SEGMENT) seen->segment = true;
    if (item->kind == RILL_ITEM_RECORD && item->record != NULL) {
        rill_header header;
        for (size_t i = 0; i < item->record->header_count && i < 4; i++)
            rill_record_header(item->record, i, &header);
        MUST(item->record->value.size <= 64 << 20);
    } else if (seen->segment && item->kind != RILL_ITEM_RECORD) {
        MUST(item->position == seen->at);
        seen->at += item->size;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct seen seen = {false, 0};
    const char *name = names[input_take(&in, 1) % 4];
    off_t hole = (off_t)input_take(&in, 2);
    off_t whole = (off_t)(in.end - in.at) + hole;
    char path[800];
    int fd;

    snprintf(path, sizeof path, "%s/%s", fuzz_directory(), name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0);
    MUST(write(fd, in.at, (size_t)(in.end - in.at)) == in.end - in.at);
    MUST(ftruncate(fd, whole) == 0);
    close(fd);
    MUST(rill_dump(path, see, &seen) == 0);
    if (seen.segment) MUST(seen.at == whole);
    return 0;
}
