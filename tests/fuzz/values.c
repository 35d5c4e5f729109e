/*
 * Any bytes in the catalogue. Either patches to LMDB's file: it is refused, or it
 * can be read and written, and does not lie. Or a value that verifies, of any
 * length and content: it is taken for what it says, or refused.
 */
#include "fuzz.h"
#include "meta/inner.h"
#include <fcntl.h>
#include <sys/stat.h>

enum { GROUPS = 30, FILE_MAX = 1 << 20 };

static struct heap heap;
static struct meta *meta;
static char path[700];
static uint8_t image[FILE_MAX];
static size_t image_size;

static const char *name_of(int group)
{
    static char name[32];
    snprintf(name, sizeof name, "group-%d", group);
    return name;
}

static void make(void)
{
    char text[3000];
    struct meta_offset offset = {.metadata = text};
    struct meta_topic topic = {.name = "topic", .partition_count = 3};
    FILE *file;

    snprintf(path, sizeof path, "%s/meta", fuzz_directory());
    rill__heap_init(&heap, NULL, 0);
    MUST(mkdir(path, 0700) == 0 && rill__meta_open(&heap, path, true, &meta) == 0);
    MUST(rill__meta_topic_create(meta, &topic) == 0);
    for (int g = 0; g < GROUPS; g++) {
        memset(text, 'm', sizeof text);
        text[g * 80] = '\0';
        offset.offset = g;
        MUST(rill__meta_offsets_commit(meta, name_of(g), &offset, 1) == 0);
    }
    rill__meta_close(meta);
    file = fopen(strcat(strcpy(text, path), "/data.mdb"), "rb");
    image_size = fread(image, 1, sizeof image, file);
    fclose(file);
}

static void restore(struct input *in)
{
    static uint8_t changed[FILE_MAX];
    char name[800];
    int fd;

    memcpy(changed, image, image_size);
    input_patch(in, changed, image_size);
    snprintf(name, sizeof name, "%s/data.mdb", path);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(write(fd, changed, image_size) == (ssize_t)image_size);
    close(fd);
}

static void read_and_write(void)
{
    static const uint8_t topic_id[16];
    static char text[RILL_METADATA_MAX + 1];
    struct meta_topic topic = {.name = ""};
    struct meta_offset offset = {.offset = 1};
    char group[RILL_TOPIC_NAME_MAX + 1] = "";
    int32_t generation;
    size_t changed;
    int rc;

    for (int g = 0; g < GROUPS; g++) {
        rc = rill__meta_offset_get(meta, name_of(g), topic_id, 0, &offset, text, sizeof text);
        MUST(rc == 0 ? offset.offset == g : rc == RILL_ERR_CORRUPT);
    }
    rc = rill__meta_topic_get(meta, "topic", &topic);
    MUST(rc == 0 ? topic.partition_count == 3 : rc == RILL_ERR_CORRUPT);
    for (int i = 0; i < 5; i++) rill__meta_offsets_commit(meta, "another", &offset, 1);
    rill__meta_offsets_clamp(meta, topic_id, 0, 5, &changed);
    for (int i = 0; i < 2 * GROUPS; i++)
        if (rill__meta_group_after(meta, group, group, sizeof group, &generation) != 0) break;
    rill__meta_topic_delete(meta, "topic", &topic);
}

/* ---- A value that verifies ---- */

struct put {
    MDB_val key;
    uint8_t value[1024];
    size_t size;
};

static int put_work(struct meta *m, MDB_txn *txn, void *arg)
{
    struct put *put = arg;
    return rill__meta_put(m, txn, &put->key, put->value, put->size);
}

static void hostile_value(struct input *in)
{
    static const uint8_t topic_id[16];
    static char text[RILL_METADATA_MAX + 1];
    uint8_t name[META_KEY_MAX];
    struct put put = {.key = {0, name}};
    struct meta_topic topic = {.name = ""};
    struct meta_offset offset;
    char group[RILL_TOPIC_NAME_MAX + 1];
    int32_t generation;
    size_t changed;
    char kind = "STGO"[input_take(in, 1) % 4];

    put.key.mv_size = kind == 'O' ? rill__meta_offset_key(name, "h", topic_id, 0)
                                  : rill__meta_name_key(name, kind, kind == 'S' ? "" : "h");
    while (input_left(in) && put.size < sizeof put.value - 8)
        put.value[put.size++] = (uint8_t)input_take(in, 1);
    MUST(rill__meta_write(meta, put_work, &put) == 0);
    rill__meta_topic_get(meta, "h", &topic);
    rill__meta_topic_after(meta, "a", &topic);
    rill__meta_group_get(meta, "h", &generation);
    rill__meta_group_after(meta, "h", group, sizeof group, &generation);
    if (rill__meta_offset_get(meta, "h", topic_id, 0, &offset, text, sizeof text) == 0)
        MUST(offset.metadata == NULL || strlen(offset.metadata) < sizeof text);
    rill__meta_offsets_clamp(meta, topic_id, 0, 5, &changed);
    rill__meta_topic_delete(meta, "h", &topic);
    rill__meta_group_delete(meta, "h", NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing;
    struct input in = {data, data + size};
    struct input none = {&nothing, &nothing};
    bool patches = input_take(&in, 1) % 2 == 0;
    size_t rotten;

    if (image_size == 0) make();
    restore(patches ? &in : &none);
    if (rill__meta_verify(&heap, path, &rotten) != 0) return 0;
    if (rill__meta_open(&heap, path, false, &meta) == 0) {
        if (patches) read_and_write();
        else hostile_value(&in);
        rill__meta_close(meta);
    }
    MUST(atomic_load(&heap.bytes) == 0);
    return 0;
}
