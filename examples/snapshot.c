/*
 * snapshot.c - a copy of a store while it is written to, and one topic as a file.
 *
 *     snapshot [DIR]
 *
 * A thread appends and keeps appending. Meanwhile the store is copied, the copy is
 * opened and counted, and a topic is exported to a file and imported into the copy
 * under another name. All of it is in DIR, or in a new directory here that is
 * removed at the end.
 */
#define _XOPEN_SOURCE 700
#include <rill.h>

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_llong acknowledged;
static atomic_bool stop;

static int failed(const char *what)
{
    fprintf(stderr, "snapshot: %s: %s\n", what, rill_errmsg());
    return 1;
}

static void *append_until_told(void *store)
{
    rill_producer_options options = {.size = sizeof options, .topic = "events"};
    rill_producer *producer;

    if (rill_producer_open(store, &options, &producer) != 0) return store;
    for (long long n = 0; !atomic_load(&stop); n++) {
        rill_record record = RILL_RECORD_INIT;
        record.value = (rill_bytes){&n, sizeof n};
        if (rill_producer_append(producer, &record, 1, 10000, NULL) != 0) break;
        atomic_store(&acknowledged, n + 1);
    }
    return rill_producer_close(producer, 10000) == 0 ? NULL : store;
}

static int show(void *arg, const rill_progress *progress)
{
    (void)arg;
    printf("  %s: %llu bytes\n", progress->what, (unsigned long long)progress->done);
    return 0;
}

static int write_file(void *file, const void *data, size_t size)
{
    return fwrite(data, 1, size, file) == size ? 0 : RILL_ERR_IO;
}

static int read_file(void *file, void *data, size_t size, size_t *got)
{
    *got = fread(data, 1, size, file);
    return ferror(file) ? RILL_ERR_IO : 0;
}

static int copy_and_look(rill *store, const char *dir, const char *stream)
{
    rill_copy_options options = {.size = sizeof options, .progress = show};
    uint64_t imported = 0;
    rill_import_options in = {.size = sizeof in, .imported = &imported};
    long long before = atomic_load(&acknowledged);
    rill_partition_info info;
    FILE *file;
    rill *copy;

    if (rill_snapshot(store, dir, &options) != 0) return failed("snapshot");
    if (rill_open(dir, NULL, &copy) != 0) return failed("opening the copy");
    if (rill_partition_describe(copy, "events", 0, &info) != 0) return failed("describe");
    printf("%lld records before, %lld in the copy, %lld by now\n", before,
           (long long)info.log_end, atomic_load(&acknowledged));

    /* Into a file, and out of it into another store. Had this been cut short,
     * rill_export with resume would go on, and rill_import done again. */
    file = fopen(stream, "w+b");
    if (file == NULL) return perror(stream), 1;
    if (rill_export(store, "events", NULL, write_file, file) != 0) return failed("export");
    rewind(file);
    if (rill_import(copy, "events.again", &in, read_file, file) != 0) return failed("import");
    fclose(file);
    printf("%llu records imported\n", (unsigned long long)imported);
    return rill_close(copy) == 0 ? 0 : failed("closing the copy");
}

static int run(const char *dir)
{
    rill_options options = {.size = sizeof options, .flags = RILL_OPEN_CREATE};
    rill_topic_options topic = {.size = sizeof topic, .segment_bytes = 1 << 20};
    char paths[3][600];
    pthread_t thread;
    void *wrong;
    rill *store;
    int rc;

    snprintf(paths[0], sizeof paths[0], "%s/store", dir);
    snprintf(paths[1], sizeof paths[1], "%s/copy", dir);
    snprintf(paths[2], sizeof paths[2], "%s/events.stream", dir);
    if (rill_open(paths[0], &options, &store) != 0) return failed("open");
    rc = rill_topic_create(store, "events", &topic);
    if (rc != 0 && rc != RILL_ERR_EXISTS) return failed("topic");
    if (pthread_create(&thread, NULL, append_until_told, store) != 0) return 1;
    while (atomic_load(&acknowledged) < 30000) {}
    rc = copy_and_look(store, paths[1], paths[2]);
    atomic_store(&stop, 1);
    pthread_join(thread, &wrong);
    if (rill_close(store) != 0) return failed("close");
    return rc != 0 ? rc : wrong != NULL;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

int main(int argc, char **argv)
{
    char made[] = "snapshot-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(made);
    int rc;

    if (dir == NULL) return perror("snapshot"), 1;
    rc = run(dir);
    if (argc < 2) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc;
}
