/*
 * reader.c - see reader.h.
 */
#include "reader.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { ANSWER_MAX = 1 << 20, WAIT_MS = 60000 };

static struct {
    pid_t owner; /* whose child the reader is; a fork starts its own */
    bool absent;
    int to;
    int from;
    char said[ANSWER_MAX];
    char mine[ANSWER_MAX];
    size_t mine_size;
    bool asked;
} reader;

/* ---- The other process ---- */

static void be_reader(int in, int out)
{
    const char *root = getenv("RILL_ROOT");
    char script[1000];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(script, sizeof script, "%s/tests/proof/reader.py", root != NULL ? root : ".");
    dup2(in, 0);
    dup2(out, 1);
    execlp("python3", "python3", "-B", script, "--serve", (char *)NULL);
    _exit(127);
}

static bool start(void)
{
    int there[2];
    int back[2];
    pid_t pid;

    if (reader.owner == getpid()) return !reader.absent;
    reader.owner = getpid();
    reader.absent = system("python3 -c '' >/dev/null 2>&1") != 0;
    if (reader.absent) {
        printf("no python3: no second opinion\n");
        return false;
    }
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(there, O_CLOEXEC), 0);
    assert_int_equal(pipe2(back, O_CLOEXEC), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) be_reader(there[0], back[1]);
    close(there[0]);
    close(back[1]);
    reader.to = there[1];
    reader.from = back[0];
    return true;
}

/* Up to the empty line. */
static void read_answer(void)
{
    size_t size = 0;

    reader.said[0] = '\n'; /* an answer without a line is an empty line only */
    while (size < 1 || memcmp(reader.said + size - 1, "\n\n", 2) != 0) {
        struct pollfd ready = {reader.from, POLLIN, 0};
        ssize_t n;
        if (poll(&ready, 1, WAIT_MS) <= 0) fail_msg("the reader does not answer");
        n = read(reader.from, reader.said + 1 + size, ANSWER_MAX - 2 - size);
        if (n <= 0) fail_msg("the reader is gone");
        size += (size_t)n;
    }
    memmove(reader.said, reader.said + 1, size);
    reader.said[size - 1] = '\0';
}

const char *reader_ask(const char *path)
{
    reader.asked = false;
    if (!start()) return NULL;
    if (dprintf(reader.to, "%s\n", path) < 0) fail_msg("the reader is gone");
    read_answer();
    reader.asked = true;
    return reader.said;
}

/* ---- What rill says, in the same words ---- */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(reader.mine + reader.mine_size, ANSWER_MAX - reader.mine_size, format, args);
    va_end(args);
    assert_in_range(size, 0, ANSWER_MAX - reader.mine_size - 1);
    reader.mine_size += (size_t)size;
}

static uint32_t crc_of(uint32_t crc, const void *data, size_t size)
{
    crc = ~crc;
    for (const uint8_t *at = data; size > 0; at++, size--) {
        crc ^= *at;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (UINT32_C(0xEDB88320) & -(crc & 1));
    }
    return ~crc;
}

static uint32_t crc_number(uint32_t crc, int64_t value, size_t size)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)((uint64_t)value >> 8 * i);
    return crc_of(crc, bytes, size);
}

static uint32_t crc_bytes(uint32_t crc, rill_bytes bytes)
{
    crc = crc_number(crc, bytes.data == NULL ? -1 : (int64_t)bytes.size, 4);
    return crc_of(crc, bytes.data, bytes.data == NULL ? 0 : bytes.size);
}

static uint32_t crc_record(uint32_t crc, const rill_record *record)
{
    crc = crc_number(crc, record->offset, 8);
    crc = crc_number(crc, record->timestamp_ms, 8);
    crc = crc_bytes(crc, record->key);
    crc = crc_bytes(crc, record->value);
    crc = crc_number(crc, (int64_t)record->header_count, 4);
    for (size_t i = 0; i < record->header_count; i++) {
        rill_header header;
        OK(rill_record_header(record, i, &header));
        crc = crc_bytes(crc, header.name);
        crc = crc_bytes(crc, header.value);
    }
    return crc;
}

static void say_partition(rill *store, const char *topic, int32_t partition)
{
    rill_position from = {topic, partition, -1, RILL_OFFSET_EARLIEST, NULL};
    rill_partition_info info;
    rill_consumer *consumer;
    rill_record records[64];
    uint64_t total = 0;
    uint32_t crc = 0;
    size_t count;

    OK(rill_partition_describe(store, topic, partition, &info));
    OK(rill_consumer_open(store, NULL, &consumer));
    OK(rill_consumer_assign(consumer, &from, 1));
    do {
        OK(rill_consumer_poll(consumer, 0, records, 64, &count));
        for (size_t i = 0; i < count; i++) crc = crc_record(crc, &records[i]);
        total += count;
    } while (count > 0);
    OK(rill_consumer_close(consumer, WAIT_MS));
    say("partition %s %d %lld %lld %llu %08x\n", topic, (int)partition, (long long)info.log_start,
        (long long)info.log_end, (unsigned long long)total, (unsigned)crc);
}

static int say_topic(void *arg, const rill_topic_info *info)
{
    (void)arg;
    say("topic %s %u\n", info->name, (unsigned)info->options.partition_count);
    return 0;
}

static int say_partitions(void *store, const rill_topic_info *info)
{
    for (uint32_t p = 0; p < info->options.partition_count; p++)
        say_partition(store, info->name, (int32_t)p);
    return 0;
}

struct group {
    rill_consumer *consumer;
    const char *name;
};

static int say_commits_in(void *arg, const rill_topic_info *info)
{
    const struct group *group = arg;

    for (uint32_t p = 0; p < info->options.partition_count; p++) {
        rill_position position;
        OK(rill_consumer_committed(group->consumer, info->name, (int32_t)p, &position, NULL, 0));
        if (position.offset != RILL_OFFSET_NONE)
            say("commit %s %s %u %lld\n", group->name, info->name, (unsigned)p,
                (long long)position.offset);
    }
    return 0;
}

static int say_commits(void *store, const rill_group_info *info)
{
    rill_consumer_options options = {.size = sizeof options, .group = info->name};
    struct group group = {.name = info->name};

    OK(rill_consumer_open(store, &options, &group.consumer));
    OK(rill_topic_list(store, say_commits_in, &group));
    OK(rill_consumer_close(group.consumer, WAIT_MS));
    return 0;
}

/* ---- The difference ---- */

static size_t line_size(const char *line)
{
    return strcspn(line, "\n");
}

/* Without the last word, where the reader has none to say. */
static bool same_line(const char *mine, const char *said)
{
    size_t size = line_size(mine);

    if (size != line_size(said)) return false;
    if (size > 9 && strncmp(said + size - 9, " --------", 9) == 0) size -= 8;
    return strncmp(mine, said, size) == 0;
}

const char *reader_compare(rill *store)
{
    static char difference[1000];
    const char *mine = reader.mine;
    const char *said = reader.said;

    if (!reader.asked) return NULL;
    reader.mine_size = 0;
    reader.mine[0] = '\0';
    OK(rill_topic_list(store, say_topic, NULL));
    OK(rill_topic_list(store, say_partitions, store));
    OK(rill_group_list(store, say_commits, store));
    while (*mine != '\0' && same_line(mine, said)) {
        mine += line_size(mine) + 1;
        said += line_size(said) + 1;
    }
    if (*mine == '\0' && (*said == '\0' || strncmp(said, "durable ", 8) == 0)) {
        said = strstr(said, "\ndamage ");
        if (said == NULL) return NULL;
        said++;
    }
    snprintf(difference, sizeof difference, "rill says \"%.*s\", the reader \"%.*s\"",
             (int)line_size(mine), mine, (int)line_size(said), said);
    return difference;
}
