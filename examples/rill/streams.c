/*
 * streams.c - rill export and rill import: topics as files that go anywhere.
 *
 * An export goes to a file or to standard output. One that was interrupted leaves a
 * file that --resume goes on with; an import that was interrupted is just done again.
 * Neither ever holds more than a buffer in memory.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What callbacks return, beside PROGRESS_STOPPED. */
#define FILE_FAILED 2

static bool resume, force, json;
static struct texts partition_texts;
static int64_t from_offset = RILL_OFFSET_EARLIEST, to_offset = RILL_OFFSET_LATEST, compression;
static const char *topic_name;

struct stream {
    const char *name;
    int fd;
    int failure; /* errno */
    uint64_t size, taken;
    const char *what; /* for progress */
};

static int file_status(const struct stream *stream)
{
    int status = stream->failure == ENOENT                                ? NOT_FOUND
                 : stream->failure == EEXIST                              ? EXISTS
                 : stream->failure == ENOSPC || stream->failure == EDQUOT ? NO_SPACE
                                                                          : FAILED;

    return fail(status, "%s: %s", stream->name, strerror(stream->failure));
}

/* The status of a call that returned rc. */
static int stream_status(const struct stream *stream, int rc)
{
    progress_clear();
    if (rc == PROGRESS_STOPPED) return put_ok() ? stopped_status(DONE) : OUTPUT_CLOSED;
    if (rc == FILE_FAILED) return file_status(stream);
    return rc != 0 ? fail_rill(rc) : DONE;
}

static int read_some(void *arg, void *data, size_t size, size_t *got)
{
    struct stream *stream = arg;
    ssize_t count;

    do count = read(stream->fd, data, size);
    while (count < 0 && errno == EINTR && stopped == 0);
    if (stopped != 0) return PROGRESS_STOPPED;
    if (count < 0) {
        stream->failure = errno;
        return FILE_FAILED;
    }
    *got = (size_t)count;
    stream->taken += *got;
    if (stream->what != NULL) progress(stream->what, stream->taken, stream->size, true);
    return 0;
}

/* ---- export ---------------------------------------------------------------------- */

static const struct option export_options[] = {
    {"resume", 0, OPTION_FLAG, &resume, 0,
     "go on with FILE: what was cut short is finished, what has come since is added", 0, 0, 0},
    {"force", 0, OPTION_FLAG, &force, 0, "write over a FILE that is there", 0, 0, 0},
    {"partition", 'p', OPTION_TEXTS, &partition_texts, "N",
     "only this partition, or N-M; may be given several times", 0, 0, 0},
    {"from", 0, OPTION_NUMBER, &from_offset, "OFFSET", "the first record; the log start", 0,
     INT64_MAX, 0},
    {"to", 0, OPTION_NUMBER, &to_offset, "OFFSET", "the record behind the last; the log end", 0,
     INT64_MAX, 0},
    {0},
};

static int write_file(void *arg, const void *data, size_t size)
{
    struct stream *stream = arg;
    size_t done = 0;

    while (done < size) {
        ssize_t count = write(stream->fd, (const char *)data + done, size - done);

        if (count < 0 && errno == EINTR && stopped == 0) continue;
        if (count < 0 && stopped != 0) return PROGRESS_STOPPED;
        if (count < 0) {
            stream->failure = errno;
            return FILE_FAILED;
        }
        done += (size_t)count;
    }
    return stopped != 0 ? PROGRESS_STOPPED : 0;
}

static int write_output(void *arg, const void *data, size_t size)
{
    (void)arg;
    put_bytes(data, size);
    return put_ok() && stopped == 0 ? 0 : PROGRESS_STOPPED;
}

/* So much of the old file stands: the rest goes, and writing begins there. */
static int keep(void *arg, uint64_t size)
{
    struct stream *stream = arg;

    if (ftruncate(stream->fd, (off_t)size) == 0 && lseek(stream->fd, (off_t)size, SEEK_SET) >= 0)
        return 0;
    stream->failure = errno;
    return FILE_FAILED;
}

static int plan_ranges(rill *store, const char *name, rill_export_options *options)
{
    rill_topic_info topic;
    rill_export_range *ranges;
    int rc = rill_topic_describe(store, name, &topic), status;

    if (rc != 0) return fail_rill(rc);
    status = partitions_check(&partition_texts, &topic);
    if (status != DONE) return status;
    if (partition_texts.count == 0 && !given(&from_offset) && !given(&to_offset)) return DONE;
    ranges = must_alloc(topic.options.partition_count * sizeof *ranges);
    for (uint32_t p = 0; p < topic.options.partition_count; p++)
        if (partitions_have(&partition_texts, p))
            ranges[options->range_count++] = (rill_export_range){
                .partition = (int32_t)p, .from = from_offset, .to = to_offset};
    options->ranges = ranges;
    return DONE;
}

static int export_to(rill *store, const char *topic, const char *file)
{
    struct stream stream = {.name = file, .fd = -1};
    rill_export_options options = {.size = sizeof options,
                                   .progress = show_progress,
                                   .progress_arg = (void *)(uintptr_t) "exporting"};
    int status = plan_ranges(store, topic, &options), rc;

    if (status == DONE && file != NULL) {
        /* A file that is there is somebody's, unless we are told otherwise. */
        stream.fd = open(file,
                         O_RDWR | O_CREAT | O_CLOEXEC |
                             (force    ? O_TRUNC
                              : resume ? 0
                                       : O_EXCL),
                         0666);
        if (stream.fd < 0) stream.failure = errno, status = file_status(&stream);
    }
    if (resume) {
        options.resume = read_some;
        options.keep = keep;
        options.resume_arg = &stream;
    }
    if (status == DONE) {
        rc = rill_export(store, topic, &options, file != NULL ? write_file : write_output,
                         &stream);
        if (rc == 0 && file != NULL && fsync(stream.fd) != 0) {
            stream.failure = errno;
            rc = errno == EINVAL ? 0 : FILE_FAILED; /* a pipe, or a device */
        }
        status = stream_status(&stream, rc);
    }
    if (stream.fd >= 0) close(stream.fd);
    free((void *)(uintptr_t)options.ranges);
    if (status != DONE && file != NULL && stream.failure == 0 && stopped != 0)
        note("%s is not whole; --resume goes on", file);
    return status;
}

static int run_export(char **arguments, size_t count)
{
    const char *file = count > 1 && strcmp(arguments[1], "-") != 0 ? arguments[1] : NULL;
    rill *store;
    int status;

    if (file == NULL && (resume || force)) return usage("--resume and --force need a FILE");
    if (resume && force) return usage("--resume and --force: only one of them is expected");
    if (file == NULL && is_terminal(STDOUT_FILENO))
        return usage("a FILE, or a pipe, is expected; not a terminal");
    status = store_open(0, &store);
    if (status != DONE) return status;
    signals_catch();
    status = store_close(store, export_to(store, arguments[0], file));
    free(partition_texts.items);
    return status;
}

/* ---- import ------------------------------------------------------------------------- */

static const struct option import_options[] = {
    {"topic", 't', OPTION_TEXT, &topic_name, "TOPIC",
     "into this topic; the one that was exported", 0, 0, 0},
    {"compression", 'z', OPTION_CHOICE, &compression, "CODEC",
     "none, lz4 or zstd; as the topic says", 0, 0, compressions},
    {"json", 0, OPTION_FLAG, &json, 0, "at the end, an object with the number of records", 0, 0,
     0},
    {0},
};

static int import_from(rill *store, const char *file)
{
    struct stream stream = {.name = file, .fd = STDIN_FILENO, .what = "importing"};
    uint64_t imported = 0;
    rill_import_options options = {
        .size = sizeof options, .compression = (uint32_t)compression, .imported = &imported};
    struct stat info;
    int status;

    if (strcmp(file, "-") == 0) stream.name = "standard input";
    else stream.fd = open(file, O_RDONLY | O_CLOEXEC);
    if (stream.fd < 0) {
        stream.failure = errno;
        return file_status(&stream);
    }
    if (fstat(stream.fd, &info) == 0 && S_ISREG(info.st_mode))
        stream.size = (uint64_t)info.st_size;
    status = stream_status(&stream, rill_import(store, topic_name, &options, read_some, &stream));
    if (stream.fd != STDIN_FILENO) close(stream.fd);
    if (json) {
        json_open(NULL, '{');
        json_unsigned("records", imported);
        json_close();
    } else if (imported > 0 && (status != DONE || is_terminal(STDERR_FILENO))) {
        note("%s imported%s", counted((int64_t)imported, "record"),
             status != DONE ? "; done again, it goes on there" : "");
    }
    return status;
}

static int run_import(char **arguments, size_t count)
{
    const char *file = count > 0 ? arguments[0] : "-";
    rill *store;
    int status;

    if (strcmp(file, "-") == 0 && is_terminal(STDIN_FILENO))
        return usage("a FILE, or a pipe, is expected; not a terminal");
    status = store_open(RILL_OPEN_CREATE | RILL_OPEN_THREAD, &store);
    if (status != DONE) return status;
    signals_catch();
    return store_close(store, import_from(store, file));
}

const struct command stream_commands[] = {
    {"export", "TOPIC [FILE]", "write a topic as a stream that depends on no machine",
     "Its configuration, and its records with partitions, offsets, keys, values, headers and "
     "times, as "
     "they are when the command begins. Every part has a checksum. Without FILE it goes to "
     "standard "
     "output. A FILE that was cut short, or that is older than the topic, is brought up to date "
     "with "
     "--resume.",
     export_options,
     "rill export orders orders.rill\n"
     "rill export orders orders.rill --resume\n"
     "rill export orders | zstd >orders.rill.zst\n"
     "rill export orders | ssh other rill import --store=/var/lib/app/log",
     run_export},
    {"import", "[FILE]", "append the records of an export",
     "The topic, and the store, are made if they are missing. Each record goes to the partition "
     "it is "
     "from, into an empty one at the offset it had. An import that was interrupted is done again "
     "with "
     "the same command; then only what is missing is appended.",
     import_options,
     "rill import orders.rill\nrill import orders.rill --topic=orders-of-may\nzstd -dc "
     "orders.rill.zst | rill import",
     run_import},
    {0},
};
