/*
 * rill.h - an embeddable message log.
 *
 * A store is a directory. It holds topics; a topic is a number of partitions;
 * a partition is an append-only sequence of records, each with an offset.
 * Producers append. Consumers read, alone or sharing partitions as a group.
 * Nothing here needs a server: the store lives in the calling process, and
 * several processes of one machine may open the same store at once.
 *
 *     rill *store;
 *     rill_options options = {.size = sizeof options,
 *                             .flags = RILL_OPEN_CREATE};
 *     if (rill_open("/var/lib/app/log", &options, &store) != 0)
 *         fprintf(stderr, "%s\n", rill_errmsg());
 *
 * Reading order: errors, words, store, topics, partitions, interceptors, producer,
 * consumer, workers, groups, tracing, copies, observing. Every function is "since 0.1" unless it
 * says otherwise.
 *
 * Calls return 0 or a negative RILL_ERR_*. Results come back through the last
 * pointer arguments, which are written only on success. rill_errmsg() has the
 * detail: what, where, and the numbers. A handle is closed once, by whoever
 * opened it; closing NULL is fine.
 *
 * Unless a function says otherwise:
 *   Threads:   any thread may call it, concurrently. A rill_producer may be
 *              shared by threads (calls take turns; a producer per thread
 *              scales better). A rill_consumer is for one thread at a time:
 *              an overlapping call gets RILL_ERR_STATE; only
 *              rill_consumer_wakeup may be called from elsewhere.
 *   Lifetime:  what the caller passes in is read during the call only; what
 *              the library hands out lives until its handle is closed.
 *   Time:      a timeout_ms of 0 does not wait, RILL_FOREVER waits without
 *              end; points in time are milliseconds since the Unix epoch.
 *   Fork:      a handle does not survive fork(). In the child every call on
 *              it returns RILL_ERR_FORKED, and closing it touches nothing.
 *
 * The library prints nothing, installs no signal handler, never calls exit()
 * or abort(), and starts no thread unless it is asked to: by an option, by
 * rill_consumer_fd or by rill_workers_open.
 */
#ifndef RILL_H
#define RILL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef RILL_API
#define RILL_API __attribute__((visibility("default")))
#endif

#define RILL_VERSION_MAJOR 0
#define RILL_VERSION_MINOR 2
#define RILL_VERSION_PATCH 0

/* The version of the library that is linked, "0.2.0". Never NULL. */
RILL_API const char *rill_version(void);

/* ---- Errors ----------------------------------------------------------- */

/* One row per error: name, value, text. Values never change meaning and are
 * never reused; rows are added at the end of their block. */
#define RILL_ERRORS(X)                                                                           \
    /* the caller can fix it */                                                                  \
    X(RILL_ERR_INVALID, -1, "argument or option not acceptable")                                 \
    X(RILL_ERR_NOT_FOUND, -2, "no such store, topic, partition or group")                        \
    X(RILL_ERR_EXISTS, -3, "already exists")                                                     \
    X(RILL_ERR_TOO_BIG, -4, "record or batch above the size limit")                              \
    X(RILL_ERR_RANGE, -5, "offset outside the partition")                                        \
    X(RILL_ERR_STATE, -6, "not possible in the state the handle is in")                          \
    X(RILL_ERR_NO_OFFSET, -7, "no committed offset, and the reset policy is error")              \
    X(RILL_ERR_PERMISSION, -8, "the operating system does not permit it")                        \
    X(RILL_ERR_UNSUPPORTED, -9, "not supported by this file system, machine or build")           \
    X(RILL_ERR_FORKED, -10, "the handle was inherited through fork()")                           \
    X(RILL_ERR_CLOSED, -11, "the handle is being closed")                                        \
    X(RILL_ERR_SEQUENCE, -12, "records out of sequence: another one was expected")               \
    /* try again later, or elsewhere */                                                          \
    X(RILL_ERR_BUSY, -20, "held by another process or operation")                                \
    X(RILL_ERR_TIMEOUT, -21, "not done in the time given")                                       \
    X(RILL_ERR_FULL, -22, "the producer's buffer is full")                                       \
    X(RILL_ERR_REBALANCE, -23, "the group's assignment has changed")                             \
    X(RILL_ERR_FENCED, -24, "superseded by a newer member or generation")                        \
    X(RILL_ERR_ABORTED, -25, "the transaction can only be aborted")                              \
    /* the machine or the data */                                                                \
    X(RILL_ERR_NO_MEMORY, -40, "out of memory, or above the store's memory limit")               \
    X(RILL_ERR_IO, -41, "the operating system reported an error")                                \
    X(RILL_ERR_NO_SPACE, -42, "no space left on the device")                                     \
    X(RILL_ERR_CORRUPT, -43, "stored bytes fail their checks")                                   \
    X(RILL_ERR_FORMAT, -44, "written by a version that this one cannot read")                    \
    X(RILL_ERR_POISONED, -45, "a sync failed; close the store everywhere, reopen it")            \
    X(RILL_ERR_BUG, -60, "a defect in rill; please report it")

enum rill_err {
    RILL_OK = 0,
#define X(name, value, text) name = value,
    RILL_ERRORS(X)
#undef X
};

/* The text of one code, for any value of err. Never NULL, never freed. */
RILL_API const char *rill_strerror(int err);

/* What went wrong in this thread's last failed call, with names and numbers.
 * Never NULL; empty if nothing failed yet.
 * Lifetime: until this thread's next call into the library. */
RILL_API const char *rill_errmsg(void);

/* ---- Words ------------------------------------------------------------ */

#define RILL_FOREVER (-1) /* as a timeout_ms: wait without end */

typedef int64_t rill_offset;                   /* place of a record, from 0 */
#define RILL_OFFSET_EARLIEST ((rill_offset)-1) /* the log start offset */
#define RILL_OFFSET_LATEST ((rill_offset)-2)   /* the log end offset */
#define RILL_OFFSET_NONE ((rill_offset)-3)     /* no offset known */

#define RILL_PARTITION_ANY (-1) /* as a record's partition: choose for me */

#define RILL_TOPIC_NAME_MAX 249 /* bytes; [a-zA-Z0-9._-], not "." or ".." */

/* Borrowed memory. data NULL means null (size is then 0), which is not the
 * same as empty: a null value is a tombstone, an empty value is data. */
typedef struct rill_bytes {
    const void *data;
    size_t size;
} rill_bytes;

typedef struct rill_header {
    rill_bytes name;  /* never null; need not be unique in a record */
    rill_bytes value; /* may be null */
} rill_header;

/* A record, on its way in or out.
 *
 * To a producer: topic NULL means the producer's own topic; partition
 * RILL_PARTITION_ANY lets the partitioner choose; timestamp_ms 0 means now;
 * offset, leader_epoch and raw are ignored. Beware that a zeroed record names
 * partition 0: start from RILL_RECORD_INIT.
 *
 * From a consumer: all is filled in. value.data is 8-byte aligned, so a struct
 * may be read in place. headers is NULL although header_count counts them; ask
 * rill_record_header(). */
typedef struct rill_record {
    rill_bytes key;
    rill_bytes value;
    int64_t timestamp_ms;
    rill_offset offset;
    const char *topic;
    int32_t partition;
    int32_t leader_epoch;
    const rill_header *headers;
    size_t header_count;
    const void *raw; /* the library's: where the stored record begins */
} rill_record;
#define RILL_RECORD_INIT                                                                         \
    {                                                                                            \
        {NULL, 0}, {NULL, 0}, 0, RILL_OFFSET_NONE, NULL, RILL_PARTITION_ANY, -1, NULL, 0, NULL   \
    }

/* Header number index, from 0, of a record that a consumer handed out.
 * Lifetime: as the record's. Errors: RILL_ERR_RANGE at or above header_count. */
RILL_API int rill_record_header(const rill_record *record, size_t index, rill_header *header);

/* A place in the log. metadata is a string of the application's own that is
 * stored beside a committed offset in the same commit, at most
 * RILL_METADATA_MAX bytes; NULL means none. Zeroed, it names offset 0. */
typedef struct rill_position {
    const char *topic;
    int32_t partition;
    int32_t leader_epoch; /* of the record before offset; -1 = not known */
    rill_offset offset;
    const char *metadata;
} rill_position;
#define RILL_METADATA_MAX 4096

/* How sure a write is when it is acknowledged. */
enum rill_acks {
    RILL_ACKS_DEFAULT = 0, /* RILL_ACKS_WRITTEN */
    RILL_ACKS_NONE = 1,    /* in the producer's buffer: nothing promised */
    RILL_ACKS_WRITTEN = 2, /* in the mapped file: survives kill -9 of every process */
    RILL_ACKS_DURABLE = 3  /* synced, directories included: survives a power cut */
};

/* What a consumer may see. */
enum rill_isolation {
    RILL_READ_WRITTEN = 0,   /* all that is appended */
    RILL_READ_DURABLE = 1,   /* only what a power cut cannot take back */
    RILL_READ_COMMITTED = 2, /* of transactions only those that are committed, and nothing behind
                                one that is open (the last stable offset); all that was sent
                                without a transaction */
    RILL_READ_COMMITTED_DURABLE = 3 /* both */
};

/* Where a consumer starts when it has no committed offset, or one that is
 * outside the partition, and where it goes on when what it would read next has
 * been deleted. */
enum rill_reset {
    RILL_RESET_LATEST = 0, /* at the log end: new records only */
    RILL_RESET_EARLIEST = 1,
    RILL_RESET_ERROR = 2 /* poll returns RILL_ERR_NO_OFFSET or RILL_ERR_RANGE */
};

/* ---- Store ------------------------------------------------------------ */

typedef struct rill rill;

/* Severity of a log line, as syslog's. */
enum rill_log_level { RILL_LOG_ERROR = 3, RILL_LOG_WARNING = 4, RILL_LOG_INFO = 6 };

/* Called with one line, without newline, from the thread that has something to
 * say, with no lock held. Must not call into the library. */
typedef void (*rill_log_fn)(void *arg, int level, const char *line);

/* malloc, realloc and free for everything the library allocates itself (LMDB
 * has its own). All three or none. Must be callable from any thread. */
typedef struct rill_allocator {
    void *(*alloc)(void *arg, size_t size);
    void *(*resize)(void *arg, void *memory, size_t size);
    void (*release)(void *arg, void *memory);
    void *arg;
} rill_allocator;

/* Options of a store. Set size, leave the rest zero, and every field has its
 * default. The library reads only the first size bytes, so old callers keep
 * working when fields are added at the end; bytes it does not know must be
 * zero, or the call fails with RILL_ERR_INVALID. All options structs here
 * work like that. */
typedef struct rill_options {
    size_t size;               /* sizeof(rill_options) */
    uint32_t flags;            /* RILL_OPEN_* */
    uint32_t open_timeout_ms;  /* wait for another process' recovery or commit;
                                  0 = 10,000 */
    uint32_t sync_interval_ms; /* how long a written record may stay unsynced while
                                  maintenance runs; 0 = 1,000 */
    uint32_t reserved;         /* zero */
    uint64_t memory_max_bytes; /* for all the library allocates; 0 = 256 MiB */
    rill_allocator allocator;  /* zero = malloc */
    rill_log_fn log;           /* NULL = silent */
    void *log_arg;
    uint64_t offsets_retention_ms;        /* a group without members and commits for so long is
                                             deleted by maintenance, see rill_group_offsets;
                                             0 = 7 days */
    uint64_t retention_check_interval_ms; /* how often maintenance looks for records to
                                             delete or to compact; 0 = 5 minutes. Since 0.2 */
    uint64_t compaction_memory_bytes;     /* for the keys of one compaction; with less it
                                             takes more passes; 0 = 16 MiB. Since 0.2 */
    uint64_t producer_id_expiration_ms;   /* a partition forgets a producer, so that what it
                                             repeats is new, when others have written so much
                                             later; maintenance forgets a transactional_id that
                                             nobody had for so long; 0 = 1 day. Since 0.2 */
} rill_options;
#define RILL_OFFSETS_FOREVER UINT64_MAX /* as offsets_retention_ms: groups stay */
#define RILL_OPEN_CREATE (1u << 0)      /* make the store if there is none */
#define RILL_OPEN_THREAD (1u << 1) /* one library thread runs maintenance, see rill_maintain */
#define RILL_OPEN_ANY_FILE_SYSTEM                                                                \
    (1u << 2) /* also on network file systems, where maps                                        \
                 and locks may not work: at your risk */

/* Opens the store in directory dir (made with mode 0700 if RILL_OPEN_CREATE is
 * set and it is missing; its parent must exist). options may be NULL.
 *
 * The first process to open a store after a crash recovers it; each partition
 * is recovered when it is first used. Opening a store that this process has
 * open already shares it: the handle is new, options other than flags are the
 * first opener's.
 *
 * Durable:  a created store is durable on return.
 * Errors:   RILL_ERR_NOT_FOUND no store there and RILL_OPEN_CREATE not set;
 *           RILL_ERR_INVALID dir holds other files, or a copy of a store that
 *           is not finished, see rill_snapshot; RILL_ERR_FORMAT a newer
 *           format; RILL_ERR_PERMISSION; RILL_ERR_UNSUPPORTED a network file
 *           system; RILL_ERR_NO_SPACE; RILL_ERR_CORRUPT; RILL_ERR_TIMEOUT;
 *           RILL_ERR_BUSY another copy of the library in this process has it. */
RILL_API int rill_open(const char *dir, const rill_options *options, rill **store);

/* Closes a handle. Producers and consumers opened from it must be closed
 * first, else RILL_ERR_STATE and the store stays open. The last handle of this
 * process syncs what is unsynced; a failure of that is returned, and the
 * handle is closed all the same. */
RILL_API int rill_close(rill *store);

/* Makes everything that any process appended before the call durable. */
RILL_API int rill_sync(rill *store, int timeout_ms);

/* Does the background work that is due: syncs by interval, prepares the next
 * segments, rolls segments by age, sends lingering batches
 * of producers, expires group members and groups that nobody uses, finishes what producers that
 * are gone have committed, deletes and compacts records (RILL_CLEANUP_*), and lets go of what is
 * not used. Call it now and then from any thread, unless the store has a thread of its own
 * (RILL_OPEN_THREAD). next_ms, if not NULL, gets how long the next call may wait.
 * The store's thread looks every second at the latest, and at once when an append of this
 * process passes the half of a segment of 2 MiB or more; for what other processes append it
 * is the second.
 *
 * Deleting and compacting goes over all partitions every retention_check_interval_ms, in
 * shares of some tens of milliseconds, of which compacting a segment may need more. It
 * goes by a clock that mistrusts jumps: when the wall clock jumps ahead, or is not set
 * (before 2024), nothing is deleted by age until it has been steady for the whole
 * retention, or time has made up for the jump. */
RILL_API int rill_maintain(rill *store, uint32_t *next_ms);

/* ---- Topics ----------------------------------------------------------- */

/* What becomes of old records; or'ed. Only whole segments that are no longer
 * appended to are deleted or compacted, by rill_maintain. */
enum rill_cleanup {
    RILL_CLEANUP_DELETE = 1,  /* deleted by age and size: retention_ms, retention_bytes */
    RILL_CLEANUP_COMPACT = 2, /* of records with the same key the last one stays; a null
                                 value (a tombstone) deletes its key, and goes itself after
                                 delete_retention_ms. Each record must have a key */
    RILL_CLEANUP_CONSUMED = 4 /* deleted when every group has committed an offset behind
                                 it: all groups that have committed one for its partition,
                                 or with a member that subscribes to the topic; nothing is
                                 deleted while there is no group */
};

/* Whose clock a record's timestamp is. */
enum rill_timestamp {
    RILL_TIMESTAMP_CREATE = 1, /* the producer's: what the caller gave, or when it was sent */
    RILL_TIMESTAMP_APPEND = 2  /* of the append, one for a batch; never goes back in a segment */
};

/* How batches are stored; Kafka's numbers. */
enum rill_compression {
    RILL_COMPRESSION_DEFAULT = 0, /* of a topic: as the producer asks; of a producer: none */
    RILL_COMPRESSION_NONE = 1,
    RILL_COMPRESSION_LZ4 = 3,
    RILL_COMPRESSION_ZSTD = 4
};

/* 1 if this build of the library compresses and reads so: the codecs are optional
 * when it is built. RILL_COMPRESSION_DEFAULT and _NONE: always. 0 also for numbers
 * that mean nothing. Since 0.2. */
RILL_API int rill_compression_available(uint32_t compression);

/* Configuration of a topic, with Kafka's names and meaning. All but
 * partition_count and index_interval_bytes can be altered later. */
typedef struct rill_topic_options {
    size_t size;                   /* sizeof(rill_topic_options) */
    uint32_t partition_count;      /* 1..10,000; 0 = 1; see rill_topic_add_partitions */
    uint32_t segment_ms;           /* roll a segment this old; 0 = 7 days */
    uint64_t segment_bytes;        /* size of a segment file, 64 KiB..1 GiB in whole
                                      4 KiB; 0 = 64 MiB; rounded up */
    uint32_t max_message_bytes;    /* largest batch, as it is stored; 0 = 1 MiB; at most
                                      segment_bytes less 4 KiB */
    uint32_t index_interval_bytes; /* one index entry per so many; 0 = 4,096 */
    /* since 0.2: */
    uint32_t cleanup_policy;          /* RILL_CLEANUP_*; 0 = RILL_CLEANUP_DELETE */
    uint32_t timestamp_type;          /* RILL_TIMESTAMP_*; 0 = RILL_TIMESTAMP_CREATE */
    uint32_t compression;             /* RILL_COMPRESSION_*; 0 = as the producer asks */
    uint32_t segment_jitter_ms;       /* a segment rolls up to so much earlier, so that many
                                         partitions do not at once; at most segment_ms;
                                         0 = none */
    uint64_t retention_ms;            /* delete segments whose newest record is older;
                                         0 = never (Kafka: 7 days) */
    uint64_t retention_bytes;         /* delete the oldest segments while the partition's
                                         others have so many bytes; 0 = no limit */
    uint64_t delete_retention_ms;     /* how long a tombstone stays after it was first
                                         compacted; 0 = 1 day */
    uint64_t min_compaction_lag_ms;   /* records younger than that are not compacted;
                                         0 = none */
    double min_cleanable_dirty_ratio; /* compact when so much of a partition's bytes were
                                         never compacted; (0, 1]; 0 = 0.5 */
} rill_topic_options;

/* Names of options, or'ed, for rill_topic_alter. */
#define RILL_TOPIC_PARTITION_COUNT (1u << 0) /* refused */
#define RILL_TOPIC_SEGMENT_MS (1u << 1)
#define RILL_TOPIC_SEGMENT_BYTES (1u << 2)
#define RILL_TOPIC_MAX_MESSAGE_BYTES (1u << 3)
#define RILL_TOPIC_INDEX_INTERVAL_BYTES (1u << 4) /* refused */
#define RILL_TOPIC_CLEANUP_POLICY (1u << 5)
#define RILL_TOPIC_TIMESTAMP_TYPE (1u << 6)
#define RILL_TOPIC_COMPRESSION (1u << 7)
#define RILL_TOPIC_SEGMENT_JITTER_MS (1u << 8)
#define RILL_TOPIC_RETENTION_MS (1u << 9)
#define RILL_TOPIC_RETENTION_BYTES (1u << 10)
#define RILL_TOPIC_DELETE_RETENTION_MS (1u << 11)
#define RILL_TOPIC_MIN_COMPACTION_LAG_MS (1u << 12)
#define RILL_TOPIC_MIN_CLEANABLE_DIRTY_RATIO (1u << 13)

/* Creates a topic. options may be NULL.
 * Durable:  on return.
 * Errors:   RILL_ERR_EXISTS; RILL_ERR_INVALID for a name outside Kafka's rule
 *           ([a-zA-Z0-9._-]{1,249}, not "." or "..") or an option out of range. */
RILL_API int rill_topic_create(rill *store, const char *topic, const rill_topic_options *options);

/* Deletes a topic, its records and its committed offsets. Others that use it,
 * in any process, get RILL_ERR_NOT_FOUND from their next call; records already
 * handed out stay readable until their consumer's next call.
 * Durable:  on return. */
RILL_API int rill_topic_delete(rill *store, const char *topic);

/* Gives options of a topic other values: fields names them, or'ed RILL_TOPIC_*, and
 * options has the values (0 or NULL: the default); the others stay. All are checked
 * together with those that stay, and all are altered or none.
 *
 * Every process applies them from its next send, append or maintenance on; batches
 * and segments that are there stay as they are. segment_bytes is for the next segment,
 * the rest counts at once. A batch for which an empty segment is too small leaves the
 * first offset of that without a record. A topic that becomes RILL_CLEANUP_COMPACT keeps
 * the records without key that it has, and takes no more of them.
 * Durable:  on return.
 * Errors:   RILL_ERR_NOT_FOUND; RILL_ERR_INVALID an option out of range or against
 *           another, or one that cannot be altered: partition_count,
 *           index_interval_bytes.
 * Since 0.2. */
RILL_API int rill_topic_alter(rill *store, const char *topic, uint32_t fields,
                              const rill_topic_options *options);

/* Gives a topic more partitions, partition_count in all; with as many as it has there
 * is nothing to do. Producers of all processes use them from their next send on, so
 * that a key may go to another partition than before: its older records stay where
 * they are, and order is kept within a partition only. Groups share them out like
 * those of a new topic; members begin in them where auto_offset_reset says, so that
 * RILL_RESET_LATEST may miss what is sent before the group has heard of them.
 * Durable:  on return. After a crash all are there, or none.
 * Errors:   RILL_ERR_NOT_FOUND; RILL_ERR_INVALID more than 10,000, or fewer than there
 *           are: their records would be lost; RILL_ERR_TIMEOUT another process does so.
 * Since 0.2. */
RILL_API int rill_topic_add_partitions(rill *store, const char *topic, uint32_t partition_count);

typedef struct rill_topic_info {
    char name[RILL_TOPIC_NAME_MAX + 1];
    uint8_t id[16]; /* never reused; names the directory, in hex */
    int64_t created_ms;
    rill_topic_options options; /* with the defaults filled in */
    /* since 0.2, filled in by rill_topic_describe, 0 in a list: */
    uint64_t stored_bytes;  /* disk space that the segments of all partitions hold */
    uint64_t segment_count; /* of all partitions */
    uint64_t record_span;   /* log end less log start, of all partitions together */
} rill_topic_info;

/* Tells how a topic is configured, and what it holds. RILL_ERR_NOT_FOUND. */
RILL_API int rill_topic_describe(rill *store, const char *topic, rill_topic_info *info);

/* Calls visit for every topic in order of name, until it returns nonzero, which
 * is then returned. visit may call into the library, except rill_close. */
RILL_API int rill_topic_list(rill *store, int (*visit)(void *arg, const rill_topic_info *info),
                             void *arg);

/* ---- Partitions ------------------------------------------------------- */

typedef struct rill_partition_info {
    rill_offset log_start;   /* first offset that is still there */
    rill_offset log_end;     /* offset that the next record will get (LEO) */
    rill_offset durable_end; /* all before it survives a power cut */
    int32_t leader_epoch;    /* goes up at every recovery */
    uint32_t segment_count;
    uint64_t segment_bytes; /* disk space that the segments hold */
} rill_partition_info;

/* Tells where a partition begins and ends, and what it takes on disk.
 * Errors: RILL_ERR_NOT_FOUND no such topic or partition; those of recovering it, if
 *         nobody has used it since it crashed. */
RILL_API int rill_partition_describe(rill *store, const char *topic, int32_t partition,
                                     rill_partition_info *info);

/* The offset of the first record with a timestamp at or after timestamp_ms,
 * RILL_OFFSET_NONE if there is none.
 * For many partitions: call it, or rill_partition_describe, for each; there is no
 * request to a server that a call for all of them would save.
 * Cost: a binary search per segment, then at most one index interval of scan. */
RILL_API int rill_partition_offset_for_time(rill *store, const char *topic, int32_t partition,
                                            int64_t timestamp_ms, rill_offset *offset);

/* ---- Interceptors and serializers ------------------------------------- */

/* On its way into the log a record passes the producer's interceptors in their
 * order, then the serializers of key and value, then the partitioner; on its way
 * out the consumer's interceptors. They are called by the thread that calls the
 * producer or consumer, with no lock held, and must not call into the library, but
 * for the functions on what they are handed. Those of a producer that threads share
 * may run in several at once.
 *
 * An interceptor that fails (returns nonzero) is isolated: the record goes on as it
 * was before that interceptor, the next ones are called, the failure is told to the
 * store's log callback and counted (interceptor_failures). */

/* Memory for what an interceptor or serializer makes: it lives until the record has
 * been copied into its batch, and need not be freed. */
typedef struct rill_scratch rill_scratch;

/* Memory of so many bytes, 8-byte aligned and zeroed; NULL: there is no more. Since 0.2. */
RILL_API void *rill_scratch_alloc(rill_scratch *scratch, size_t size);

/* A record as it will be acknowledged, or was. See rill_producer_options. */
typedef struct rill_delivery rill_delivery;

typedef struct rill_producer_interceptor {
    const char *name; /* for reports; NULL = "" */
    void *arg;
    /* May change the record, but for its offset; what it points to then lives as long
     * as scratch, or longer. Not called for reservations. NULL: not wanted. */
    int (*on_send)(void *arg, rill_record *record, rill_scratch *scratch);
    /* Once per record, before the application's own delivery report; also for one
     * that rill_producer_send or _append refused, with the partition if it was
     * chosen, else RILL_PARTITION_ANY. NULL: not wanted. */
    int (*on_acknowledge)(void *arg, const rill_delivery *delivery);
} rill_producer_interceptor;

typedef struct rill_consumer_interceptor {
    const char *name;
    void *arg;
    /* What a poll hands out. May change records and take some away: *record_count.
     * Those are read all the same: positions and commits go past them. */
    int (*on_consume)(void *arg, rill_record *records, size_t *record_count);
    /* After positions were committed, from the call that did it or tells it. */
    int (*on_commit)(void *arg, const rill_position *positions, size_t position_count);
} rill_consumer_interceptor;

/* Turns a key, or a value, as the application holds it into the bytes to store.
 * object is what the record had, whatever its size means to the two; never null:
 * a null key or value is stored as null. *bytes lives as long as scratch, or longer.
 * Nonzero refuses the record: the send fails with RILL_ERR_INVALID, which names it. */
typedef int (*rill_serializer_fn)(void *arg, const rill_record *record, rill_bytes object,
                                  rill_scratch *scratch, rill_bytes *bytes);

/* Deletes the records before offset `before`, RILL_OFFSET_LATEST: all that there
 * are: the log start moves there, if it is not there or beyond already. log_start,
 * if not NULL, gets where the partition begins now. Disk space comes free by whole
 * segments. Consumers that have not read so far follow their auto_offset_reset;
 * records that were handed out stay until the next poll.
 * Durable:  on return.
 * Threads:  waits for a sync of this partition that is going on, as long as
 *           open_timeout_ms.
 * Errors:   RILL_ERR_NOT_FOUND no such topic or partition; RILL_ERR_RANGE beyond the
 *           log end, or negative; RILL_ERR_TIMEOUT. All others leave open
 *           whether the log start has moved.
 * Since 0.2. */
RILL_API int rill_partition_delete_records(rill *store, const char *topic, int32_t partition,
                                           rill_offset before, rill_offset *log_start);

/* What a compaction has done. */
typedef struct rill_compact_report {
    size_t size;           /* set by the caller: sizeof(rill_compact_report) */
    uint64_t bytes_before; /* of the batches that were written anew */
    uint64_t bytes_after;
    uint64_t records_before;
    uint64_t records_after;
    uint64_t tombstones_removed; /* of the records, those whose time was over */
    uint64_t duration_ms;
    uint32_t segments_before;
    uint32_t segments_after;
    uint32_t passes;   /* over the partition; more than one if compaction_memory_bytes were
                          too few for the keys; 0: there was nothing to do */
    uint32_t reserved; /* zero */
} rill_compact_report;

/* Compacts the partition now, whatever its min_cleanable_dirty_ratio: of all that was
 * appended before the call, only the last record of each key stays, and records without
 * a key. Offsets and order do not change; who reads meanwhile goes on. Not compacted is
 * what is younger than min_compaction_lag_ms, or behind the first open transaction.
 * Tombstones go delete_retention_ms after they were first compacted. The segment that
 * is appended to is closed first, if there is anything in it, and so becomes smaller.
 * report may be NULL; it is filled in on errors, too.
 * Durable:  on return. Whenever it is interrupted, everything is as before or as after.
 * Threads:  appends wait for moments only.
 * Errors:   RILL_ERR_NOT_FOUND no such topic or partition; RILL_ERR_STATE its
 *           cleanup_policy has no RILL_CLEANUP_COMPACT, or the wall clock is not set, by
 *           which tombstones go; RILL_ERR_BUSY it is being compacted, here or by another
 *           process, or a copy of the store is made; RILL_ERR_CORRUPT damage, which ends it: what
 * is before it is compacted, and the rest as it was; RILL_ERR_UNSUPPORTED the same for a codec
 *           that this build does not have; RILL_ERR_NO_SPACE, RILL_ERR_TIMEOUT: some
 *           segments may be done, and the next call goes on.
 * Since 0.2. */
RILL_API int rill_partition_compact(rill *store, const char *topic, int32_t partition,
                                    rill_compact_report *report);

/* ---- Producer --------------------------------------------------------- */

typedef struct rill_producer rill_producer;

/* What became of one record; its topic stays until the report returns. status 0: appended at
 * offset, as sure as the producer's acks say. Otherwise the error, with offset RILL_OFFSET_NONE:
 * RILL_ERR_TIMEOUT, RILL_ERR_IO and RILL_ERR_POISONED leave open whether the
 * record is in the log; all others say that it is not. */
struct rill_delivery {
    const char *topic;
    int32_t partition;
    int status;
    rill_offset offset;
    void *opaque;         /* as given to rill_producer_send */
    int64_t timestamp_ms; /* of the record, as stored */
};

/* Called once per record that rill_producer_send accepted, in append order
 * within a partition, from rill_producer_send, _poll, _flush or _close of the
 * same producer, with no lock held: it may send again, it must not close. */
typedef void (*rill_delivery_fn)(void *arg, const rill_delivery *delivery);

/* Chooses a partition in [0, partition_count) for a record that names none.
 * A result outside it fails the send with RILL_ERR_INVALID. */
typedef int32_t (*rill_partitioner_fn)(void *arg, const rill_record *record,
                                       uint32_t partition_count);

typedef struct rill_producer_options {
    size_t size;                     /* sizeof(rill_producer_options) */
    const char *topic;               /* for records that name none; NULL = each names one */
    int32_t acks;                    /* enum rill_acks */
    uint32_t linger_ms;              /* how long a batch may wait to fill; 0 = 5 */
    uint32_t batch_bytes;            /* a batch is sent when it has so many; 0 = 64 KiB */
    uint32_t flags;                  /* RILL_PRODUCER_* */
    uint64_t buffer_bytes;           /* for all batches that wait; 0 = 32 MiB */
    rill_partitioner_fn partitioner; /* NULL = Kafka's: murmur2 of the key; without
                                        key sticky, a new one after each batch */
    void *partitioner_arg;
    rill_delivery_fn delivery; /* NULL = no reports */
    void *delivery_arg;
    const rill_producer_interceptor *interceptors; /* in this order; copied. NULL = none */
    size_t interceptor_count;
    rill_serializer_fn key_serializer; /* NULL = keys are stored as they are */
    void *key_serializer_arg;
    rill_serializer_fn value_serializer;
    void *value_serializer_arg;
    uint32_t compression;            /* enum rill_compression, for topics that leave it to the
                                        producer; 0 = RILL_COMPRESSION_NONE */
    int32_t compression_level;       /* of that codec: lz4 -65536..12, zstd -131072..22; the
                                        higher, the smaller and slower; 0 = its default */
    uint32_t transaction_timeout_ms; /* a transaction that lasts longer is aborted; 0 = 60,000 */
    const char *producer_name;       /* keeps producer id and sequences over restarts; of
                                        several instances the newest one writes; the rule of
                                        topics' names; NULL = anonymous */
    const char *transactional_id;    /* a name, and everything is sent in transactions: see
                                        rill_txn_begin */
    uint64_t transaction_bytes_max;  /* of what a transaction puts into spaces; 0 = 64 MiB */
} rill_producer_options;
#define RILL_PRODUCER_NO_IDEMPOTENCE (1u << 1) /* batches say no producer id and sequence */
#define RILL_PRODUCER_NO_LINGER (1u << 0)      /* send each record at once */

/* Opens a producer. options may be NULL.
 *
 * Compression: batches are compressed whole, by the call that sends them, before it
 * waits for the partition's lock; what would not become smaller is stored as it is,
 * and so is what is written in place (rill_producer_reserve). Since 0.2.
 *
 * With a producer_name or a transactional_id it takes the name: earlier instances are fenced,
 * and what they left open is committed or aborted before this returns.
 *
 * Errors: RILL_ERR_NOT_FOUND no such topic; RILL_ERR_UNSUPPORTED acks durable
 *         on a file system that cannot (tmpfs), or a codec that this build has not
 *         (rill_compression_available); RILL_ERR_STATE the name is of a producer with,
 *         or without, transactions. */
RILL_API int rill_producer_open(rill *store, const rill_producer_options *options,
                                rill_producer **producer);

/* Hands one record over; key, value and headers are copied. It goes out with
 * its batch: when that is full, has lingered, or at a flush. Batches are sent
 * by the calls on this producer, and by maintenance when they have lingered.
 *
 * timeout_ms bounds the waiting for room in the buffer and for the partition's
 * lock; with 0 the call fails with RILL_ERR_FULL instead of waiting.
 * opaque comes back in the delivery report.
 * A record may be larger than the topic's max_message_bytes if it is compressed,
 * up to 64 MiB; whether it has become small enough is known when it is sent.
 * Errors: RILL_ERR_TOO_BIG, RILL_ERR_FULL, RILL_ERR_TIMEOUT (not accepted),
 *         RILL_ERR_NOT_FOUND, RILL_ERR_INVALID. A record that was accepted
 *         and fails later is reported by delivery and by rill_producer_flush.
 * Cost:   a copy; no allocation once the batch buffers exist. */
RILL_API int rill_producer_send(rill_producer *producer, const rill_record *record, void *opaque,
                                int timeout_ms);

/* Appends count records of one topic and partition (records[0] decides) as one
 * batch, now, and returns when it is acknowledged at the producer's acks.
 * base_offset, if not NULL, gets the offset of records[0]; the others follow
 * one by one. All of them are appended or none. Compressed they must fit into
 * max_message_bytes, and have at most 64 MiB before.
 * Errors: RILL_ERR_POISONED, and under acks durable RILL_ERR_TIMEOUT and
 *         RILL_ERR_IO, leave the outcome open; all others say "not appended". The
 *         same records again, by the next call for the partition, are then that batch:
 *         it is not appended twice, and waited for again. */
RILL_API int rill_producer_append(rill_producer *producer, const rill_record *records,
                                  size_t count, int timeout_ms, rill_offset *base_offset);

/* As rill_producer_append, by a producer with a producer_name, with the sequence of the first
 * record: a number of the application's own, such as a place in its input; each record
 * has the next one, 2^31 - 1 is followed by 0. What was appended already is not appended
 * again: if the same records (by sequence and count) are one of the last 5 batches of this
 * producer in the partition, whichever process appended them, *base_offset is where they
 * are. So a program that was killed repeats what it is not sure of.
 * Errors: those of rill_producer_append; RILL_ERR_SEQUENCE another number was expected, the
 *         message names it; RILL_ERR_FENCED a newer instance has the name; RILL_ERR_STATE the
 *         producer has no producer_name. Since 0.2. */
RILL_API int rill_producer_append_sequenced(rill_producer *producer, int32_t sequence,
                                            const rill_record *records, size_t count,
                                            int timeout_ms, rill_offset *base_offset);

/* The sequence that the partition expects next of this producer: where to go on after a
 * restart. -1: none of its batches is known there, any number would do. Since 0.2. */
RILL_API int rill_producer_sequence(rill_producer *producer, const char *topic, int32_t partition,
                                    int32_t *sequence);

/* Sends lingering batches that are due and delivers reports that are ready.
 * Under acks durable it syncs what was sent, and so may wait for the disk. */
RILL_API int rill_producer_poll(rill_producer *producer);

/* Sends everything and waits until it is acknowledged or failed; all reports
 * are delivered before it returns. Returns the first error that befell a
 * record since the last flush, RILL_ERR_TIMEOUT if some are still open. */
RILL_API int rill_producer_flush(rill_producer *producer, int timeout_ms);

/* Flushes for at most timeout_ms, then closes whatever is left: records not
 * sent by then are reported with RILL_ERR_CLOSED. The handle is gone even when
 * an error is returned (except RILL_ERR_STATE: a reservation is open). */
RILL_API int rill_producer_close(rill_producer *producer, int timeout_ms);

/* Room for one record's value inside the log itself. */
typedef struct rill_reservation {
    void *value;       /* write the value here; 8-byte aligned */
    size_t value_size; /* as asked for */
    int32_t partition; /* where it will be */
} rill_reservation;

/* Reserves room for a record in place: fill reservation->value, then commit.
 * record gives topic, partition, key, headers and time; of its value only the
 * size counts. From here to commit or abandon this thread holds the
 * partition's append lock, and every other producer of the partition waits:
 * fill the value and commit at once, on the same thread. A process that dies
 * in between leaves nothing behind. One reservation per producer. It is stored
 * uncompressed, whatever topic and producer say. */
RILL_API int rill_producer_reserve(rill_producer *producer, const rill_record *record,
                                   int timeout_ms, rill_reservation *reservation);

/* Publishes the reserved record, acknowledged at the producer's acks. */
RILL_API int rill_producer_commit(rill_producer *producer, rill_offset *offset);

/* Gives the room back; nothing was appended. */
RILL_API int rill_producer_abandon(rill_producer *producer);

/* ---- Consumer --------------------------------------------------------- */

typedef struct rill_consumer rill_consumer;

/* How a group shares partitions out. Members are in the order of their
 * group_instance_id, then those without in the order of their member id. */
enum rill_assignor {
    RILL_ASSIGN_RANGE = 0,       /* topic by topic in contiguous ranges: Kafka's RangeAssignor */
    RILL_ASSIGN_ROUND_ROBIN = 1, /* all partitions dealt in a circle: RoundRobinAssignor */
    RILL_ASSIGN_STICKY = 2,      /* as balanced as can be, and then the fewest moves */
    RILL_ASSIGN_COOPERATIVE_STICKY = 3, /* the same: every assignor here is cooperative */
    RILL_ASSIGN_OWN = 4                 /* the application's: own_assignor */
};

typedef struct rill_assignor_member {
    const char *member_id;
    const uint8_t *subscribed; /* by index of the topic: nonzero if it is subscribed to */
} rill_assignor_member;

typedef struct rill_assignor_topic {
    const char *topic;
    uint32_t partition_count;
    int32_t *owners; /* by partition: index of the member that has it now, -1 nobody;
                        to be overwritten with who shall have it */
} rill_assignor_topic;

/* An assignor of the application's own. Called in a poll of one of the members,
 * with no lock held, while the group goes on as before. Must not call into the
 * library. Nonzero fails: that poll returns it, the member leaves, another one is
 * asked. */
typedef int (*rill_assignor_fn)(void *arg, const rill_assignor_member *members,
                                size_t member_count, const rill_assignor_topic *topics,
                                size_t topic_count);

/* What happens to partitions of a group's member. */
enum rill_rebalance {
    RILL_REBALANCE_ASSIGNED = 0, /* they are read from now on: positions are where */
    RILL_REBALANCE_REVOKED = 1,  /* they move to another member when the callback
                                    returns; until then they can be committed */
    RILL_REBALANCE_LOST = 2      /* they have moved: the member was expelled */
};

/* Called from polls, and from unsubscribe and close, with no lock held, with those
 * partitions that come or go; all others are read on. It may call commit,
 * committed, seek, pause, resume, position, lag and assignment on this consumer,
 * other functions of it fail with RILL_ERR_STATE. The member has
 * max_poll_interval_ms. Nonzero is returned by the poll; the partitions come or go
 * all the same. */
typedef int (*rill_rebalance_fn)(void *arg, rill_consumer *consumer, int event,
                                 const rill_position *positions, size_t position_count);

typedef struct rill_consumer_options {
    size_t size;                      /* sizeof(rill_consumer_options) */
    const char *group;                /* NULL = no group: assign, no commits */
    const char *client_id;            /* for people and logs; NULL = "rill" */
    int32_t auto_offset_reset;        /* enum rill_reset */
    int32_t isolation;                /* enum rill_isolation */
    int32_t assignor;                 /* enum rill_assignor that it prefers */
    uint32_t flags;                   /* RILL_CONSUMER_* */
    uint32_t auto_commit_interval_ms; /* 0 = commit only when told to */
    uint32_t session_timeout_ms;      /* a member whose process gives no sign of life for
                                         so long loses its partitions: no call, no
                                         maintenance, and stopped or out of the kernel's
                                         sight; 0 = 45,000. A dead one loses them within
                                         a second, unless it is static */
    uint32_t max_poll_interval_ms;    /* a member that does not poll for so long
                                         loses its partitions; 0 = 300,000 */
    uint32_t spin_us;                 /* spin so long before sleeping; 0 = sleep at once */
    uint32_t assignors;               /* all that it can do with: bits 1 << enum
                                         rill_assignor; 0 = only assignor. The group takes
                                         what all can and most prefer */
    uint32_t max_poll_records;        /* a poll gives no more; 0 = as many as there is room */
    const char *group_instance_id;    /* static member: when it goes away, its partitions
                                         wait for session_timeout_ms that it comes back;
                                         NULL = dynamic */
    const char *own_assignor_name;    /* for RILL_ASSIGN_OWN: equal in all members */
    rill_assignor_fn own_assignor;
    void *own_assignor_arg;
    rill_rebalance_fn rebalance; /* NULL = polls return RILL_ERR_REBALANCE instead */
    void *rebalance_arg;
    const rill_consumer_interceptor *interceptors; /* in this order; copied. NULL = none */
    size_t interceptor_count;
} rill_consumer_options;
#define RILL_CONSUMER_NO_CHECKSUMS (1u << 0) /* do not verify batches when reading */

/* Opens a consumer. options may be NULL.
 * Errors: RILL_ERR_INVALID an option; RILL_ERR_UNSUPPORTED RILL_READ_DURABLE on a
 *         file system that cannot promise it (tmpfs). */
RILL_API int rill_consumer_open(rill *store, const rill_consumer_options *options,
                                rill_consumer **consumer);

/* Joins the group for these topics, in place of the earlier subscription. Its
 * members may be in any threads of any processes that have the store open. A
 * name that begins with '^' is a POSIX extended regular expression on one line, matched
 * against all topics, also those created later, but not internal ones, whose
 * names begin with "__". The partitions come with the following polls. A named
 * topic need not exist yet.
 * Errors: RILL_ERR_STATE without a group or with assigned partitions;
 *         RILL_ERR_INVALID a name or an expression, or the other members share no
 *         assignor with this one; RILL_ERR_BUSY too many members in the store. */
RILL_API int rill_consumer_subscribe(rill_consumer *consumer, const char *const *topics,
                                     size_t topic_count);

/* Leaves the group, or drops the assigned partitions; commits first if
 * auto-commit is on. A static member is away: its partitions wait for it. */
RILL_API int rill_consumer_unsubscribe(rill_consumer *consumer);

/* Reads these partitions, in place of the earlier ones, without any sharing.
 * positions[i].offset: an offset, RILL_OFFSET_EARLIEST, RILL_OFFSET_LATEST, or
 * RILL_OFFSET_NONE for the group's committed offset, else the reset policy. */
RILL_API int rill_consumer_assign(rill_consumer *consumer, const rill_position *positions,
                                  size_t position_count);

/* Reads these partitions too, or no longer; the others go on. All or none. A
 * partition that is no longer read is committed first if auto-commit is on.
 * Errors: RILL_ERR_STATE subscribed, or not assigned; RILL_ERR_INVALID assigned
 *         already. */
RILL_API int rill_consumer_incremental_assign(rill_consumer *consumer,
                                              const rill_position *positions,
                                              size_t position_count);
RILL_API int rill_consumer_incremental_unassign(rill_consumer *consumer,
                                                const rill_position *positions,
                                                size_t position_count);

/* What is read now, with the current positions. At most position_max are
 * written; position_count gets how many there are.
 * Lifetime: the topic names until the next poll, subscribe or assign. */
RILL_API int rill_consumer_assignment(rill_consumer *consumer, rill_position *positions,
                                      size_t position_max, size_t *position_count);

/* The next records, at most record_max of them, fairly over the partitions;
 * records of one partition come in order of offset. Waits until there is at
 * least one.
 *
 * record_count becomes 0 when timeout_ms passes or rill_consumer_wakeup was
 * called: no error. RILL_ERR_REBALANCE, unless options have a callback for it:
 * the group has moved partitions away (offsets up to the last poll were committed
 * if auto-commit is on); rill_consumer_assignment tells which are left; those
 * are read on. Drop what belongs to the others and poll again.
 * RILL_ERR_FENCED: another consumer with this group_instance_id has taken its
 * place; subscribe again to take it back.
 *
 * Lifetime: the records point into mapped segments, those of compressed batches
 *           into memory of the consumer's, and stay until the next poll, seek,
 *           assign, subscribe or close on this consumer.
 * Errors:   RILL_ERR_CORRUPT with the place; the position stays before it, and
 *           rill_consumer_seek can skip it. RILL_ERR_NOT_FOUND topic deleted.
 *           RILL_ERR_NO_OFFSET, RILL_ERR_RANGE under the reset policy error:
 *           by every poll, until a seek or a commit says where to begin.
 *           RILL_ERR_UNSUPPORTED a batch is compressed by a codec that this build
 *           has not; RILL_ERR_NO_MEMORY there is none to decompress one: both as
 *           RILL_ERR_CORRUPT, with the place, until it is sought past.
 *           Records of healthy partitions are still delivered by later polls.
 * Cost:     no lock, no copy, no allocation, no system call while there is
 *           something to read. A compressed batch is decompressed once. A poll
 *           decompresses up to 16 MiB, or one batch (which has at most 64 MiB). */
RILL_API int rill_consumer_poll(rill_consumer *consumer, int timeout_ms, rill_record *records,
                                size_t record_max, size_t *record_count);

/* The next poll reads the partition from offset (or RILL_OFFSET_EARLIEST,
 * RILL_OFFSET_LATEST). Errors: RILL_ERR_RANGE outside [log start, log end];
 * RILL_ERR_CORRUPT the offset is in a damaged place (try the next one);
 * RILL_ERR_STATE not assigned to this consumer. */
RILL_API int rill_consumer_seek(rill_consumer *consumer, const char *topic, int32_t partition,
                                rill_offset offset);

/* As seek, to the first record at or after timestamp_ms; the log end if none. */
RILL_API int rill_consumer_seek_time(rill_consumer *consumer, const char *topic,
                                     int32_t partition, int64_t timestamp_ms);

/* Polls skip a paused partition until it is resumed. It stays assigned. */
RILL_API int rill_consumer_pause(rill_consumer *consumer, const char *topic, int32_t partition);
RILL_API int rill_consumer_resume(rill_consumer *consumer, const char *topic, int32_t partition);

/* Offset of the record that the next poll begins with; RILL_OFFSET_NONE while
 * the reset policy leaves it open. */
RILL_API int rill_consumer_position(rill_consumer *consumer, const char *topic, int32_t partition,
                                    rill_offset *offset);

/* How many records are between the position and the end that is visible. */
RILL_API int rill_consumer_lag(rill_consumer *consumer, const char *topic, int32_t partition,
                               int64_t *lag);

/* Commits, for the group, where the next member shall go on.
 * Without positions: what polls have handed out so far, of all assigned
 * partitions. With them: these; an offset is that of the next record to read.
 * All in one commit.
 * Durable:  on return.
 * Errors:   RILL_ERR_FENCED the partition is no longer this member's, or it is not
 *           subscribed and the group has members; RILL_ERR_RANGE beyond the log
 *           end; RILL_ERR_STATE no group; RILL_ERR_TIMEOUT another process is
 *           stopped in a commit (open_timeout_ms). */
RILL_API int rill_consumer_commit(rill_consumer *consumer, const rill_position *positions,
                                  size_t position_count);

/* What became of a commit; status as rill_consumer_commit returns it, rill_errmsg()
 * says no more. The positions live during the call. It may call what a
 * rill_rebalance_fn may. */
typedef void (*rill_commit_fn)(void *arg, rill_consumer *consumer, int status,
                               const rill_position *positions, size_t position_count);

/* As rill_consumer_commit, later: by the store's thread (RILL_OPEN_THREAD), else by
 * the next poll, commit, unsubscribe or close of this consumer, which also call
 * callback (NULL: nobody asks). In the order of the calls; a rill_consumer_commit
 * comes behind them.
 * Errors: RILL_ERR_FULL 1,000 are waiting; RILL_ERR_RANGE, RILL_ERR_STATE,
 *         RILL_ERR_NOT_FOUND at once; the others by the callback. */
RILL_API int rill_consumer_commit_async(rill_consumer *consumer, const rill_position *positions,
                                        size_t position_count, rill_commit_fn callback,
                                        void *arg);

/* The group's committed offset, RILL_OFFSET_NONE if none, into *position;
 * its metadata string is copied to metadata (at most metadata_size bytes with
 * the final 0; NULL if not wanted), position->metadata points to it.
 * Errors: RILL_ERR_TOO_BIG the string does not fit. */
RILL_API int rill_consumer_committed(rill_consumer *consumer, const char *topic,
                                     int32_t partition, rill_position *position, char *metadata,
                                     size_t metadata_size);

/* Makes the poll that waits, or else the next one, return at once.
 * Threads: any, and signal handlers. */
RILL_API void rill_consumer_wakeup(rill_consumer *consumer);

/* A descriptor for poll() and epoll that is readable when records may be
 * waiting, and now and then for a member of a group, whose polls keep it in.
 * When it is: poll with timeout 0 until nothing comes, which also makes it
 * unreadable again. Starts one library thread per store, which turns
 * futex wake-ups into readable descriptors.
 * Lifetime: the library's; closed with the consumer. */
RILL_API int rill_consumer_fd(rill_consumer *consumer, int *fd);

/* Commits if auto-commit is on, leaves the group, and closes. Always returns
 * within about timeout_ms, and the handle is gone even when an error comes. */
RILL_API int rill_consumer_close(rill_consumer *consumer, int timeout_ms);

/* ---- Workers ---------------------------------------------------------- */

/* One consumer whose records are worked on by several threads at once, in the
 * order of their keys. A group can have no more consumers than there are
 * partitions; workers take the work of one partition apart as well.
 *
 *     while (running && rc == 0)
 *         rc = rill_workers_run(workers, 1000);
 *     rill_workers_close(workers, 10000);
 *     rill_consumer_close(consumer, 1000);
 *
 * A record is in flight from when a run has handed it out until the work on it is
 * finished. Of each partition the group's committed offset is that of the lowest
 * record in flight, so nothing that is unfinished is ever committed. What was
 * finished out of order behind it is not remembered: if the process dies it is
 * worked on again, the more the longer one record holds the others up. So work must
 * bear repetition, as with every group. */
typedef struct rill_workers rill_workers;

/* The work on one record: 0 = finished, anything else = failed, to be tried again
 * (see retries). Called in worker number worker, from 0, with no lock held, and in
 * worker_count threads at once. It may call into the library, but not run or close
 * these workers.
 * Lifetime: the record is a copy that stays until the call returns. */
typedef int (*rill_work_fn)(void *arg, uint32_t worker, const rill_record *record);

/* Which records are worked on one after another, and in which order. */
enum rill_order {
    RILL_ORDER_KEY = 0,       /* those of one partition with equal keys, by offset; no key
                                 counts as a key of its own, see RILL_WORKERS_KEYLESS_FREE */
    RILL_ORDER_PARTITION = 1, /* those of one partition, by offset */
    RILL_ORDER_NONE = 2       /* none: all at once, begun about in their order */
};

/* What becomes of a record on which the work has failed for the last time. */
enum rill_failed {
    RILL_FAILED_STOP = 0, /* the workers stop, and run returns the failure */
    RILL_FAILED_SKIP = 1, /* it counts as finished */
    RILL_FAILED_RETRY = 2 /* it is tried once more, after the same wait as before */
};

/* Decides that: enum rill_failed. failure is what the work returned, tries how
 * often it was called. Called as the work is; a good place to send the record to a
 * topic of dead letters. */
typedef int (*rill_failed_fn)(void *arg, uint32_t worker, const rill_record *record, int failure,
                              uint32_t tries);

typedef struct rill_workers_options {
    size_t size;                 /* sizeof(rill_workers_options) */
    rill_work_fn work;           /* needed */
    void *work_arg;              /* for work and failed */
    uint32_t worker_count;       /* threads, 1..256; 0 = 4 */
    int32_t order;               /* enum rill_order */
    uint32_t in_flight_max;      /* records in flight, 1..1,000,000; 0 = 1,000 */
    uint32_t commit_interval_ms; /* 0 = 1,000 */
    uint64_t in_flight_bytes;    /* of the records in flight and what is kept beside them,
                                    some 250 bytes each; one record may be larger; counts
                                    in the store's memory_max_bytes; 0 = 16 MiB */
    uint32_t retries;            /* a record that failed is tried again so often, before
                                    others of its order; 0 = not; or RILL_RETRIES_FOREVER */
    uint32_t backoff_ms;         /* wait before the first of them, doubled each time; others
                                    are worked on meanwhile; 0 = 100 */
    uint32_t backoff_max_ms;     /* the longest wait; 0 = 10,000 */
    uint32_t revoke_timeout_ms;  /* a partition that moves to another member waits so long
                                    for what is in flight, at most half of the consumer's
                                    max_poll_interval_ms; 0 = 30,000 */
    uint32_t flags;              /* RILL_WORKERS_* */
    uint32_t reserved;           /* zero */
    rill_failed_fn failed;       /* NULL = RILL_FAILED_STOP */
} rill_workers_options;
#define RILL_RETRIES_FOREVER UINT32_MAX
#define RILL_WORKERS_KEYLESS_FREE (1u << 0) /* records without key have no order */

/* Starts the threads; all signals are blocked in them. The consumer, subscribed
 * or with assigned partitions, belongs to the workers until they are closed: all
 * other calls on it, except wakeup, get RILL_ERR_STATE, but for those that its
 * rebalance callback may make. A rill_consumer_commit without positions there
 * commits what is finished. Without a group nothing is committed.
 *
 * When the group takes partitions away, run waits for what is in flight of them
 * (revoke_timeout_ms), commits, drops what was not begun, and only then calls the
 * application's callback. Work that still goes on then is not waited for: another
 * member may begin with the same record. Of partitions that are lost, what was not
 * begun is dropped at once and nothing is committed. RILL_ERR_REBALANCE does not
 * come.
 * Errors: RILL_ERR_INVALID an option, no work, or a consumer that commits by
 *         itself (auto_commit_interval_ms); RILL_ERR_IO no thread to be had. */
RILL_API int rill_workers_open(rill_consumer *consumer, const rill_workers_options *options,
                               rill_workers **workers);

/* Polls, hands out and commits, until timeout_ms has passed or rill_workers_stop
 * was called; both are 0. Workers go on with what is in flight between two runs;
 * but only a run commits, and keeps the member in its group. So call it in a loop.
 * When there is no room for more in flight it hands nothing out, but goes on
 * polling for the group's sake.
 *
 * The failure that stopped the workers (RILL_FAILED_STOP) is returned as work gave
 * it, by every run from then on; rill_errmsg() says of which record. What was
 * finished before is committed, and nothing else is begun.
 * Threads: one at a time, else RILL_ERR_STATE.
 * Errors:  those of rill_consumer_poll and rill_consumer_commit; the next run goes
 *          on. RILL_ERR_NO_MEMORY: nothing is lost, the next run tries again. */
RILL_API int rill_workers_run(rill_workers *workers, int timeout_ms);

/* Makes the run that is going on, or else the next one, return.
 * Threads: any, and signal handlers. */
RILL_API void rill_workers_stop(rill_workers *workers);

typedef struct rill_workers_info {
    uint32_t worker_count;
    uint32_t busy_count;      /* workers that are at a record */
    uint32_t in_flight_count; /* records */
    uint32_t reserved;
    uint64_t in_flight_bytes;
    uint64_t done_count;    /* records finished, skipped ones included */
    uint64_t skipped_count; /* of these: RILL_FAILED_SKIP */
    uint64_t failed_count;  /* calls of work that failed */
} rill_workers_info;

/* Tells how far the workers are.
 * Threads: any, also the workers. */
RILL_API int rill_workers_describe(rill_workers *workers, rill_workers_info *info);

/* Waits, timeout_ms at most, for what is in flight, commits what is finished, and
 * ends the threads. What fails now is not tried again. The consumer is the
 * caller's again, and stands in each partition at the lowest record that is
 * unfinished. The member does not poll meanwhile: stay below its
 * max_poll_interval_ms. The handle is gone, even when an error is returned (except
 * RILL_ERR_STATE: a run is going on, or a worker calls it).
 *
 * RILL_ERR_TIMEOUT: a worker is still at its record. A thread cannot be stopped
 * from outside, so it is left behind: it ends when its work returns, and does
 * nothing more then. Until the process ends its record and some KiB beside stay
 * allocated. What the work uses, the library's code and the memory of an allocator of
 * the application's own must outlive it; the consumer and the store need not.
 * Errors: those of rill_consumer_commit; a failure that no run has returned yet. */
RILL_API int rill_workers_close(rill_workers *workers, int timeout_ms);

/* ---- Transactions, and state of the application ------------------------ */

/* Exactly once. A program that reads records, keeps state, and writes records wants all
 * three to move on together, whatever dies at whatever moment. Here they do: a
 * transaction holds the records that it sends, to any partitions, the offsets that it has
 * consumed, and what it puts into spaces, which are sorted maps of keys and values in the
 * store itself. One write of the catalogue commits all of it, or none of it happened.
 *
 *     rill_txn_begin(producer, &txn);
 *     rill_consumer_poll(consumer, ..., records, ...);
 *     for each record {
 *         rill_txn_get(txn, balances, account, &old);
 *         rill_txn_put(txn, balances, account, new);
 *         rill_producer_send(producer, &receipt, ...);
 *     }
 *     rill_txn_send_offsets(txn, consumer, NULL, 0);
 *     rill_txn_commit(txn, 10000);
 *
 * Killed anywhere, the program starts again and goes on where the last commit was, with the
 * state of that moment; consumers with RILL_READ_COMMITTED see the receipts of commits only,
 * each once. No outside database, no second commit, nothing to reconcile.
 *
 * The producer has a transactional_id: the name of a job, of which one instance may be at
 * work. Opening it again, in any process, fences the earlier one (its next call gets
 * RILL_ERR_FENCED), commits or aborts what that left behind, and goes on. A transaction
 * that lasts longer than transaction_timeout_ms, or whose process is gone, is aborted by
 * whoever meets it: readers do not wait for the dead.
 *
 * A transaction is durable when it is committed, whatever acks says: its records are synced
 * before the commit is decided. The acks of the producer say when records of an open
 * transaction are reported. */

typedef struct rill_txn rill_txn;

/* Begins a transaction: from here to its end all that is sent with the producer belongs to it.
 * One at a time. Lifetime: *txn until rill_txn_commit or rill_txn_abort succeeds, or the producer
 *          is closed, which aborts it.
 * Errors:  RILL_ERR_STATE the producer has no transactional_id, or one is open;
 *          RILL_ERR_FENCED a newer instance has the transactional_id: close the producer.
 * Since 0.2, as all of this section. */
RILL_API int rill_txn_begin(rill_producer *producer, rill_txn **txn);

/* What the group of the consumer will have committed when the transaction is: the positions, or
 * with NULL what the polls have handed out. The consumer's place in the group is looked
 * at in the commit: if a partition has been given to another member by then, the commit
 * fails with RILL_ERR_FENCED, and the transaction is to be aborted. Again for a group: the later
 * offsets of a partition count. metadata of positions is stored too.
 * Errors: RILL_ERR_STATE no transaction, or the consumer has no group; RILL_ERR_RANGE;
 *         RILL_ERR_INVALID. */
RILL_API int rill_txn_send_offsets(rill_txn *txn, rill_consumer *consumer,
                                   const rill_position *positions, size_t position_count);

/* Ends it: sends what lingers, syncs the records, decides. Returns 0 when it is committed.
 *
 * Errors: RILL_ERR_TIMEOUT, RILL_ERR_NO_SPACE, RILL_ERR_BUSY, RILL_ERR_NO_MEMORY and others:
 *         not committed; the transaction is as before: commit again, or abort.
 *         RILL_ERR_ABORTED  a record could not be sent, or its time was over: abort it and do
 *         it again. RILL_ERR_FENCED  a newer instance has the transactional_id (then close the
 *         producer), or a partition of the consumer's has moved (then abort).
 *         RILL_ERR_IO, RILL_ERR_POISONED: the outcome is open; rill_txn_abort finds it out.
 * What it has sent to a topic that was deleted since is gone, and no error. */
RILL_API int rill_txn_commit(rill_txn *txn, int timeout_ms);

/* Ends it without anything: records that were sent are never seen by RILL_READ_COMMITTED,
 * offsets and state stay as they were. The consumer's position does not go back: seek, or
 * rill_consumer_seek_committed.
 * Errors: RILL_ERR_EXISTS  a commit whose outcome was open has happened after all: it is
 *         committed and ended. RILL_ERR_FENCED  a newer instance came before the outcome was
 *         found out: close the producer. Others: not ended yet, call it again, or close it. */
RILL_API int rill_txn_abort(rill_txn *txn, int timeout_ms);

/* Back to what the group has committed, in all partitions that are assigned: what was polled
 * since comes again. After an abort.
 * Errors: RILL_ERR_STATE without a group. */
RILL_API int rill_consumer_seek_committed(rill_consumer *consumer);

/* ---- Spaces ---- */

/* A sorted map of keys and values, in the order of memcmp, kept in the store. Any process
 * may read it, any time, without waiting for writers or making them wait; it is written in
 * transactions. One transactional_id may write a space at a time: the first one that puts
 * something there, until its producer is closed or gone. So what a transaction reads of a
 * space that it writes is not changed by others before its commit. */
typedef struct rill_space rill_space;
#define RILL_SPACE_CREATE (1u << 0)     /* make it if there is none; durable on return */
#define RILL_SPACE_KEY_MAX 500          /* bytes */
#define RILL_SPACE_VALUE_MAX (1u << 20) /* bytes */

/* Opens a space. name follows the rule of topics' names; those that begin with "__" are the
 * library's.
 * Errors: RILL_ERR_NOT_FOUND; RILL_ERR_INVALID a name; RILL_ERR_STATE this handle of the store
 *         has it open already. */
RILL_API int rill_space_open(rill *store, const char *name, uint32_t flags, rill_space **space);
/* Closes a space. */
RILL_API void rill_space_close(rill_space *space);
/* Deletes a space with all that is in it.
 * Errors: RILL_ERR_NOT_FOUND; RILL_ERR_STATE a producer may write it. */
RILL_API int rill_space_delete(rill *store, const char *name);
/* Calls visit for every space, in order of name, until it returns nonzero, which is then
 * returned. */
RILL_API int rill_space_list(rill *store, int (*visit)(void *arg, const char *name), void *arg);

/* Copies the committed value, at most room bytes of it; *size gets how many it has.
 * Errors: RILL_ERR_NOT_FOUND; RILL_ERR_TOO_BIG it has more than room. */
RILL_API int rill_space_get(rill_space *space, rill_bytes key, void *value, size_t room,
                            size_t *size);

/* Opens a view: all spaces as they were at one moment, so sums over them are right. While it
 * is open the store keeps what it shows, and the catalogue of this process cannot grow
 * beyond its map: do not keep it for long.
 * Threads: one at a time. */
typedef struct rill_view rill_view;
RILL_API int rill_view_open(rill *store, rill_view **view);
/* Closes a view; what it has shown is gone with it. */
RILL_API void rill_view_close(rill_view *view);
/* The value of a key, as it was when the view was opened.
 * Lifetime: value until the view is closed.
 * Errors:   RILL_ERR_NOT_FOUND. */
RILL_API int rill_view_get(rill_view *view, rill_space *space, rill_bytes key, rill_bytes *value);

/* The value of a key inside a transaction: what it has put, else what is committed.
 * Lifetime: value until the next call on the transaction.
 * Errors:   RILL_ERR_NOT_FOUND; RILL_ERR_TOO_BIG a key; RILL_ERR_BUSY another producer that is
 * open writes the space; RILL_ERR_STATE the transaction has ended. */
RILL_API int rill_txn_get(rill_txn *txn, rill_space *space, rill_bytes key, rill_bytes *value);
/* Puts a value under a key, in place of the one that is there; both are copied. It is there
 * for others when the transaction is committed.
 * Errors: as get; RILL_ERR_TOO_BIG a key, a value, or all puts of the
 * transaction together (transaction_bytes_max); RILL_ERR_INVALID value.data is NULL. */
RILL_API int rill_txn_put(rill_txn *txn, rill_space *space, rill_bytes key, rill_bytes value);
/* Deletes a key and its value; one that is not there, too. Errors: as get. */
RILL_API int rill_txn_delete(rill_txn *txn, rill_space *space, rill_bytes key);

/* A walk over the keys of a space in [from, to), or with reverse from the last to the first of
 * them. from.data NULL: from the first key; to.data NULL: to the last. */
typedef struct rill_range {
    rill_bytes from;
    rill_bytes to;
    int32_t reverse;
} rill_range;
typedef struct rill_cursor rill_cursor;
/* Opens a walk, in the view, or in the transaction with what it has put; one of them is NULL.
 * range may be NULL: all. Its bytes are copied. */
RILL_API int rill_cursor_open(rill_view *view, rill_txn *txn, rill_space *space,
                              const rill_range *range, rill_cursor **cursor);
/* The next key and its value.
 * Lifetime: key and value until the next call on the cursor or its transaction.
 * Errors:   RILL_ERR_NOT_FOUND there is no more. */
RILL_API int rill_cursor_next(rill_cursor *cursor, rill_bytes *key, rill_bytes *value);
/* Closes a cursor, before its view is closed, or its transaction ends. */
RILL_API void rill_cursor_close(rill_cursor *cursor);

/* ---- Groups ----------------------------------------------------------- */

enum rill_group_state {
    RILL_GROUP_EMPTY = 0,    /* no members */
    RILL_GROUP_PLANNING = 1, /* a member makes a plan, with the application's assignor */
    RILL_GROUP_MOVING = 2,   /* partitions are on their way to other members */
    RILL_GROUP_STABLE = 3    /* every partition is where it should be */
};

typedef struct rill_group_info {
    char name[RILL_TOPIC_NAME_MAX + 1];
    int32_t generation;    /* goes up with every new assignment */
    uint32_t member_count; /* in all processes */
    int32_t state;         /* enum rill_group_state */
    int32_t assignor;      /* enum rill_assignor that was elected last */
} rill_group_info;

/* Tells how a group is, members in all processes included.
 * Errors: RILL_ERR_NOT_FOUND the group never committed and has no member. */
RILL_API int rill_group_describe(rill *store, const char *group, rill_group_info *info);

/* Calls visit for every group in order of name, until it returns nonzero, which
 * is then returned. visit may call into the library, except rill_close. */
RILL_API int rill_group_list(rill *store, int (*visit)(void *arg, const rill_group_info *info),
                             void *arg);

/* A member of a group. */
typedef struct rill_group_member {
    const char *member_id;         /* client_id and a number that is never used again */
    const char *group_instance_id; /* NULL: dynamic */
    const char *subscription;      /* names and expressions, with newlines between */
    int32_t pid;                   /* of its process; 0: it is away or gone */
    int32_t away;                  /* nonzero: static, and its place waits for it */
    int64_t polled_ms;             /* how long ago it polled last; -1: not known */
    const rill_position *assigned; /* what it has, in order of topic and partition;
                                      offset: RILL_OFFSET_NONE */
    size_t assigned_count;
} rill_group_member;

/* Calls visit for every member, in the order in which assignors take them, until it
 * returns nonzero, which is then returned. visit may call into the library, except
 * rill_close. All is as it was at one moment.
 * Errors: RILL_ERR_NOT_FOUND there is no such group. */
RILL_API int rill_group_members(rill *store, const char *group,
                                int (*visit)(void *arg, const rill_group_member *member),
                                void *arg);

/* Forgets a group and its committed offsets. RILL_ERR_STATE while it has
 * members; RILL_ERR_NOT_FOUND. */
RILL_API int rill_group_delete(rill *store, const char *group);

/* A committed offset, and how its partition stands. */
typedef struct rill_group_offset {
    const char *topic;
    int32_t partition;
    int32_t leader_epoch; /* as committed; -1 = not known */
    rill_offset offset;   /* of the next record to read */
    int64_t committed_ms;
    const char *metadata; /* as committed; NULL = none */
    rill_offset log_start;
    rill_offset log_end;
    rill_offset durable_end;
    int64_t lag; /* records from offset, or from log_start if that is later, to log_end */
} rill_group_offset;

/* Calls visit for every offset that the group has committed, in order of topic
 * name and partition, until it returns nonzero, which is then returned. visit may
 * call into the library, except rill_close. What was committed is seen as it was
 * at one moment, the partitions as they are when visit is called.
 *
 * Committed offsets stay until their topic or their group is deleted, by hand or
 * by rill_maintain when the group has had no members and no commit for
 * offsets_retention_ms: then all of it goes. Only time that the wall clock and the
 * kernel's monotonic clock both saw pass counts, between looks every ten minutes,
 * so that a wrong clock deletes nothing early. Time in which the machine is off or
 * sleeps does not count, nor does all that passed before the first look at it.
 * (Kafka also drops, one by one, offsets of topics that a group with members no
 * longer subscribes to; here rill_group_offsets_delete does.)
 *
 * Lifetime: topic and metadata until visit returns.
 * Errors:   RILL_ERR_NOT_FOUND no such group. */
RILL_API int rill_group_offsets(rill *store, const char *group,
                                int (*visit)(void *arg, const rill_group_offset *offset),
                                void *arg);

/* The sum over all partitions with a committed offset of the records from there, as
 * far as they were not deleted, to the log end, or with RILL_READ_DURABLE (enum rill_isolation)
 * to the durable end. */
RILL_API int rill_group_lag(rill *store, const char *group, int32_t isolation, int64_t *lag);

/* Where a reset moves committed offsets to. */
enum rill_reset_to {
    RILL_RESET_TO_COMMITTED = 0, /* where they are; the log end where there is none */
    RILL_RESET_TO_EARLIEST = 1,  /* the log start */
    RILL_RESET_TO_LATEST = 2,    /* the log end */
    RILL_RESET_TO_OFFSET = 3,    /* value */
    RILL_RESET_TO_TIME = 4,      /* the first record at or after value, in ms since the
                                    epoch; the log end if there is none */
    RILL_RESET_TO_SHIFTED = 5,   /* by value, which may be negative, from where they are */
    RILL_RESET_TO_OWN = 6        /* each position's offset, or those of csv */
};

/* One partition's part of a reset. */
typedef struct rill_group_change {
    const char *topic;
    int32_t partition;
    rill_offset before; /* committed until now; RILL_OFFSET_NONE = none */
    rill_offset wanted; /* where the reset asked to go, */
    rill_offset offset; /* and where that is within [log start, log end]: committed */
} rill_group_change;

typedef struct rill_group_reset_options {
    size_t size;    /* sizeof(rill_group_reset_options) */
    uint32_t flags; /* RILL_RESET_* */
    int32_t to;     /* enum rill_reset_to */
    int64_t value;
    const rill_position *positions; /* the partitions; RILL_PARTITION_ANY = all of the topic.
                                       The rest of a position is for RILL_RESET_TO_OWN,
                                       whose offset may be RILL_OFFSET_EARLIEST or _LATEST.
                                       NULL = all that the group has committed */
    size_t position_count;
    const char *csv; /* for RILL_RESET_TO_OWN in the place of positions: lines of
                        topic,partition,offset as Kafka's tool writes them; fields may be
                        between quotes, empty lines do not count */
    size_t csv_size;
    void (*visit)(void *arg, const rill_group_change *change); /* NULL = nobody is told */
    void *visit_arg;
} rill_group_reset_options;
#define RILL_RESET_DRY_RUN (1u << 0) /* only tell what would be committed */

/* Moves committed offsets of a group without members, all in one commit, and then
 * calls visit for each of them, in order of topic name and partition; visit may call
 * into the library, except rill_close. An offset outside of its partition becomes
 * the log start or the log end. A group that is not there is made, unless positions
 * and csv are NULL.
 * Durable:  on return.
 * Errors:   all of them leave every offset as it was. RILL_ERR_STATE the group has
 *           members; RILL_ERR_NOT_FOUND a topic, a partition, or the group;
 *           RILL_ERR_NO_OFFSET to be shifted, and nothing is committed;
 *           RILL_ERR_INVALID an option, a partition that is named twice, or csv, with
 *           the line and the column; RILL_ERR_TOO_BIG metadata; RILL_ERR_TIMEOUT as
 *           for rill_consumer_commit. */
RILL_API int rill_group_reset(rill *store, const char *group,
                              const rill_group_reset_options *options);

/* Calls visit with a line "topic,partition,offset" for every offset that the group
 * has committed, as rill_group_offsets does. The lines, each with a newline behind
 * it, are csv for rill_group_reset and for Kafka's tool. */
RILL_API int rill_group_export(rill *store, const char *group,
                               int (*visit)(void *arg, const char *line), void *arg);

/* Deletes what the group has committed for these partitions, RILL_PARTITION_ANY: of
 * the whole topic; all in one commit. Where nothing is committed there is nothing to
 * do. If it has no members and nothing is left, the group is deleted too.
 * Durable:  on return.
 * Errors:   RILL_ERR_STATE a member subscribes to the topic; RILL_ERR_NOT_FOUND a
 *           topic, a partition, or the group. They leave every offset as it was. */
RILL_API int rill_group_offsets_delete(rill *store, const char *group,
                                       const rill_position *positions, size_t position_count);

/* ---- Tracing and auditing --------------------------------------------- */

/* Interceptors that the library has ready. */

/* W3C trace context: a record carries "00-<trace>-<span>-<flags>" in a header
 * "traceparent". */
#define RILL_TRACEPARENT_SIZE 56 /* with the final 0 */

/* The trace context of a record, sent or received, with its final 0.
 * Errors: RILL_ERR_NOT_FOUND it has none; RILL_ERR_INVALID it is no valid one
 *         (https://www.w3.org/TR/trace-context), as if there were none. Since 0.2. */
RILL_API int rill_traceparent(const rill_record *record, char traceparent[RILL_TRACEPARENT_SIZE]);

typedef struct rill_trace rill_trace;
typedef struct rill_trace_options {
    size_t size; /* sizeof(rill_trace_options) */
    /* The context that the application is in; nonzero: none. NULL: there is none. */
    int (*current)(void *arg, char traceparent[RILL_TRACEPARENT_SIZE]);
    /* Told of each record sent: its own context, and its parent's, NULL if the trace
     * begins here. NULL: nobody is told. */
    void (*span)(void *arg, const char *traceparent, const char *parent,
                 const rill_record *record);
    void *arg;
} rill_trace_options;

/* Opens a tracer: its interceptor gives each record that is sent a span of its own, in the
 * trace of the record's own header, else of the application's current context, else
 * in a new one. The header is replaced, or added as the last one.
 * Lifetime: until rill_trace_close; producers that use it are closed first.
 * Errors:   RILL_ERR_INVALID an option; RILL_ERR_NO_MEMORY. Since 0.2. */
RILL_API int rill_trace_open(rill *store, const rill_trace_options *options, rill_trace **trace);
/* Fills in the tracer's interceptor, for the options of a producer. Since 0.2. */
RILL_API void rill_trace_interceptor(rill_trace *trace, rill_producer_interceptor *interceptor);
/* Closes a tracer. Since 0.2. */
RILL_API void rill_trace_close(rill_trace *trace);

/* An audit counts records per topic, partition and window of time (of their
 * timestamps), at the end where they come in or where they come out. If both ends
 * have counted the same, nothing was lost or doubled between them. */
typedef struct rill_audit rill_audit;
typedef struct rill_audit_options {
    size_t size;         /* sizeof(rill_audit_options) */
    uint32_t window_ms;  /* 0 = 60,000 */
    uint32_t window_max; /* so many windows are kept, the earliest go first; 0 = 10,000 */
} rill_audit_options;

typedef struct rill_audit_window {
    const char *topic;
    int32_t partition;
    int64_t begin_ms; /* a multiple of window_ms */
    uint64_t record_count;
    rill_offset first; /* the smallest offset that was counted, */
    rill_offset last;  /* and the largest */
} rill_audit_window;

/* Opens an audit, which counts nothing yet.
 * Lifetime: until rill_audit_close; producers and consumers that use it are closed
 *           first. Threads: an audit may serve any number of them. Since 0.2. */
RILL_API int rill_audit_open(rill *store, const rill_audit_options *options, rill_audit **audit);
/* Closes an audit. Since 0.2. */
RILL_API void rill_audit_close(rill_audit *audit);

/* Counts what is acknowledged. */
RILL_API void rill_audit_producer(rill_audit *audit, rill_producer_interceptor *interceptor);
/* Counts what is handed out. */
RILL_API void rill_audit_consumer(rill_audit *audit, rill_consumer_interceptor *interceptor);

/* Calls visit for every window, in order of topic, partition and time, until it returns
 * nonzero, which is then returned. visit may call into the library, except
 * rill_audit_close. Lifetime: topic until visit returns. */
RILL_API int rill_audit_list(rill_audit *audit,
                             int (*visit)(void *arg, const rill_audit_window *window), void *arg);

/* Adds what another audit, also of another process, has counted: a window of its list.
 * Errors: RILL_ERR_INVALID the window does not begin at a multiple of window_ms. */
RILL_API int rill_audit_add(rill_audit *audit, const rill_audit_window *window);

/* Calls visit for every window in which the two have not counted the same, with what each
 * has counted there (record_count 0: nothing), in order, until it returns nonzero, which is
 * then returned. Windows that either of them has dropped for want of room are passed by.
 * Errors: RILL_ERR_INVALID they have different window_ms. */
RILL_API int rill_audit_compare(rill_audit *sent, rill_audit *received,
                                int (*visit)(void *arg, const rill_audit_window *sent,
                                             const rill_audit_window *received),
                                void *arg);
/* ---- Copies ----------------------------------------------------------- */

/* How far something that takes long is. The unit of done and total is bytes; the
 * total may change, 0: it is not known; done never goes back. Nonzero stops the call,
 * which returns it. Called from the thread in the call, with no lock held; it may call
 * into the library, but not close what the call uses. Since 0.2. */
typedef struct rill_progress {
    const char *what; /* what it is at, a file or a topic; until the function returns */
    uint64_t done;
    uint64_t total;
} rill_progress;
typedef int (*rill_progress_fn)(void *arg, const rill_progress *progress);

typedef struct rill_copy_options {
    size_t size;               /* sizeof(rill_copy_options) */
    uint32_t flags;            /* RILL_COPY_* */
    uint32_t reserved;         /* zero */
    const char *const *topics; /* only these; NULL = all */
    size_t topic_count;
    rill_progress_fn progress; /* NULL = nobody is told */
    void *progress_arg;
} rill_copy_options;
#define RILL_COPY_VERIFY (1u << 0)          /* read all of the copy, and verify it */
#define RILL_COPY_NO_LINKS (1u << 1)        /* share no files with what is copied */
#define RILL_COPY_ANY_FILE_SYSTEM (1u << 2) /* restore: as RILL_OPEN_ANY_FILE_SYSTEM */

/* Makes in directory dir a copy of the store, or of some topics with what groups
 * have committed for them, while any process writes to it. The copy is a store of
 * its own: open it, or rill_restore it. Nobody has to wait meanwhile, but for a moment
 * who changes the catalogue (topics, groups, commits).
 *
 * The copy is the store as it was at one moment of the call: it has every record that
 * was acknowledged before the call, and none that was sent after it. No group has
 * committed beyond the end of a partition, and a transaction is in it with all its
 * records and offsets, or not at all. What goes meanwhile by retention, or with a topic
 * that is deleted, is in it or not; but if a topic was asked for and is gone, the call
 * fails. Nothing is compacted meanwhile.
 *
 * Where dir is on the same file system, segments that are full are not copied but
 * get a second name there: what that costs does not depend on how large they are,
 * and they take no more space until the store itself removes them. Neither store
 * writes to such a file any more; but a disk that damages it damages both. What
 * cannot be shared (other file systems, RILL_COPY_NO_LINKS) is copied; what is
 * written to at the time, the last segment of each partition, always.
 *
 * dir must not exist (its parent must), or be empty, or hold what an earlier call
 * has left that failed or died. Until the copy is whole, and durable, dir has a
 * file INCOMPLETE, and rill_open refuses it. The store itself stays as it is,
 * whatever happens; it is synced.
 *
 * options may be NULL.
 * Durable:  on return.
 * Errors:   RILL_ERR_INVALID dir holds other files, or is inside of the store;
 *           RILL_ERR_BUSY another call makes a copy there, or topics or segments come
 *           and go too fast; RILL_ERR_NOT_FOUND no such topic; RILL_ERR_CORRUPT with
 *           RILL_COPY_VERIFY, or a segment is missing; RILL_ERR_POISONED;
 *           RILL_ERR_NO_SPACE; RILL_ERR_TIMEOUT a sync, a commit or a compaction by another
 *           process takes longer than open_timeout_ms; what progress returned.
 * Since 0.2. */
RILL_API int rill_snapshot(rill *store, const char *dir, const rill_copy_options *options);

/* Makes in directory dir a copy of the store in directory snapshot, which need not
 * be open: it is opened, recovered if need be, copied as rill_snapshot does, and
 * closed. dir as there.
 * Durable:  on return.
 * Errors:   those of rill_open and rill_snapshot.
 * Since 0.2. */
RILL_API int rill_restore(const char *snapshot, const char *dir,
                          const rill_copy_options *options);

/* Takes all of data, in order; nonzero stops the call, which returns it. */
typedef int (*rill_write_fn)(void *arg, const void *data, size_t size);
/* Gives the next bytes, at most size of them; *got 0: there are no more. Nonzero stops
 * the call, which returns it. */
typedef int (*rill_read_fn)(void *arg, void *data, size_t size, size_t *got);

/* A part of a partition. */
typedef struct rill_export_range {
    int32_t partition;
    int32_t reserved; /* zero */
    rill_offset from; /* first record; RILL_OFFSET_EARLIEST = the log start */
    rill_offset to;   /* the one behind the last; RILL_OFFSET_LATEST = the log end */
} rill_export_range;

typedef struct rill_export_options {
    size_t size;    /* sizeof(rill_export_options) */
    uint32_t flags; /* zero */
    uint32_t reserved;
    const rill_export_range *ranges; /* each partition once; NULL = all of all */
    size_t range_count;
    rill_progress_fn progress; /* NULL = nobody is told; done: bytes of the stream */
    void *progress_arg;
    rill_read_fn resume; /* gives the stream that was written so far; NULL = none was */
    /* Told before anything is written how much of that is good: the rest of the file
     * must be cut off. Nonzero stops the call, which returns it. */
    int (*keep)(void *arg, uint64_t size);
    void *resume_arg; /* for both */
} rill_export_options;

/* Writes a topic as a stream of bytes: its configuration and its records with all
 * that belongs to them: partition, offset, key, value, headers, timestamp. Every
 * frame of it has a checksum. The stream depends on no machine and on no version of
 * the store's format; it is specified in engine/stream.h.
 *
 * What is exported is what is there when the call begins, and durable then: it is
 * synced first; of transactions what is committed, and nothing behind one that is open.
 * Records that go meanwhile (retention, compaction) may be in it or not.
 *
 * With resume, an export goes on that was cut short at any byte, or that was finished:
 * then what has come since is added. The call reads the old stream from its beginning
 * to its end and verifies it, says through keep how much of it stands, and writes what
 * comes behind. An empty one is begun. The ranges must name the partitions that are in
 * it (NULL: those); from does not count.
 *
 * options may be NULL.
 * Lifetime: write and keep get borrowed bytes.
 * Errors:   RILL_ERR_NOT_FOUND no such topic or partition; RILL_ERR_RANGE from or to is
 *           beyond the log end, or from beyond to; RILL_ERR_INVALID ranges; of resume:
 *           another topic, or partitions that do not fit; RILL_ERR_CORRUPT a record; or
 *           the old stream, not only at its end: the message has the byte;
 *           RILL_ERR_FORMAT the old stream is of another version; RILL_ERR_TIMEOUT,
 *           RILL_ERR_POISONED from the sync; what a callback returned.
 * Since 0.2. */
RILL_API int rill_export(rill *store, const char *topic, const rill_export_options *options,
                         rill_write_fn write, void *arg);

typedef struct rill_import_options {
    size_t size;               /* sizeof(rill_import_options) */
    uint32_t flags;            /* zero */
    uint32_t compression;      /* RILL_COMPRESSION_*, as of a producer; 0 = what the topic says */
    rill_progress_fn progress; /* NULL = nobody is told; done: bytes of the stream */
    void *progress_arg;
    uint64_t *imported; /* gets, also on an error, how many records this call has
                           appended; NULL = not wanted */
} rill_import_options;

/* Reads a stream that rill_export has written, and appends its records to the topic
 * (NULL: the one it is from), which is made, with the configuration of the exported
 * one, if it is missing. Each record goes to the partition it is from.
 *
 * Offsets: a partition in which there never was a record gets the records at the
 * offsets that they are from, log start and gaps included, as long as nobody else
 * appends to it. In any other partition they get the next ones.
 *
 * An import that was interrupted, by an error, a kill or a power cut, is done again by
 * calling it again with the same stream, from its beginning: what is in the topic
 * already is passed by, so that every record is stored once. So is a stream that was
 * made longer by resuming its export: then the rest is added. How far an import has
 * come is committed, for every stream, under a group "__import.<id of the stream>"; what
 * is behind that place in the partition is compared. Others may append meanwhile; but
 * while a record of theirs is equal in key, value, headers and timestamp to the next one
 * of the stream, it may be taken for it. Two calls with one stream at once would both
 * append. When the group is deleted, by rill_group_delete or because it was idle for
 * offsets_retention_ms, an import begins anew, and appends all of the stream.
 *
 * Timestamps are kept, unless the topic has that of the append.
 *
 * options may be NULL.
 * Durable:  on return, all of it, and also what an error has left imported.
 * Errors:   RILL_ERR_CORRUPT the stream is damaged or was cut short; what is whole
 *           before that is imported; RILL_ERR_FORMAT; RILL_ERR_INVALID the topic has too
 *           few partitions, or refuses a record; RILL_ERR_TOO_BIG a record is larger than
 *           the topic's max_message_bytes; RILL_ERR_NO_SPACE; RILL_ERR_TIMEOUT; what a
 *           callback returned.
 * Since 0.2. */
RILL_API int rill_import(rill *store, const char *topic, const rill_import_options *options,
                         rill_read_fn read, void *arg);

/* ---- Observing -------------------------------------------------------- */

/* What is counted, and how much there is now. */
typedef struct rill_stats {
    size_t size; /* set by the caller: sizeof(rill_stats) */
    uint64_t records_appended;
    uint64_t bytes_appended; /* batches as stored */
    uint64_t batches_appended;
    uint64_t records_polled;
    uint64_t syncs;
    uint64_t commits;
    uint64_t segments_rolled;
    uint64_t recoveries;   /* partitions, at open or after a process died */
    uint64_t wakeups;      /* system calls made to wake somebody */
    uint64_t memory_bytes; /* allocated now */
    uint64_t mapped_bytes; /* of segments, indexes and control blocks, now */
    uint64_t polls;
    uint64_t group_steps;      /* changes of groups */
    uint64_t members_expelled; /* that were late or died */
    uint64_t interceptor_failures;
    uint64_t transactions_committed;
    uint64_t transactions_aborted;
    uint64_t bytes_uncompressed; /* bytes_appended, had nothing been compressed */
    uint64_t segments_deleted;   /* old, too many, consumed, or by
                                    rill_partition_delete_records; not with their topic */
    uint64_t compactions;        /* that had something to do */
} rill_stats;

/* Tells what this process counted since it opened the store. */
RILL_API int rill_stats_get(rill *store, rill_stats *stats);

/* Tells what all processes counted together, those included that hang or are gone, since
 * the first came into the store that others have not left since. */
RILL_API int rill_stats_total(rill *store, rill_stats *stats);

/* The same and more as text for Prometheus (format 0.0.4): counters, offsets of
 * the partitions that this process uses, groups. Writes at most text_size bytes, with the
 * final 0. needed, if not NULL, gets how many it takes, also when they do not
 * fit. text may be NULL if text_size is 0.
 * Errors: RILL_ERR_TOO_BIG it does not fit. */
RILL_API int rill_metrics(rill *store, char *text, size_t text_size, size_t *needed);

/* ---- Explaining ------------------------------------------------------- */

/* What to explain: a group, or a partition, or a consumer of this process. The
 * others are NULL. */
typedef struct rill_subject {
    const char *group;
    const char *topic;
    int32_t partition;
    rill_consumer *consumer;
} rill_subject;

enum rill_fact_kind {
    RILL_FACT_GROUP = 1,  /* how a group is */
    RILL_FACT_MEMBER = 2, /* what a member does, and is asked to do */
    RILL_FACT_OWNER = 3,  /* who has a partition, and how far the group has come */
    RILL_FACT_LOG = 4,    /* how a partition's log is */
    RILL_FACT_LOCK = 5,   /* who holds a lock */
    RILL_FACT_PIN = 6,    /* which process needs which segments */
    RILL_FACT_WAIT = 7    /* what a consumer waits for */
};

/* One fact, in words and in fields. Fields that do not apply are NULL, -1, or
 * RILL_OFFSET_NONE. */
typedef struct rill_fact {
    int32_t kind;     /* enum rill_fact_kind */
    int32_t severity; /* RILL_LOG_INFO: as it should be; RILL_LOG_WARNING: somebody waits
                         for it; RILL_LOG_ERROR: nothing moves before it ends */
    const char *text; /* a sentence */
    const char *group;
    const char *member_id;
    const char *topic;
    int32_t partition;
    int32_t pid;    /* process that it is about */
    int64_t for_ms; /* how long it has been so */
    rill_offset offset;
    int64_t lag; /* records that are there and not yet committed, or read */
} rill_fact;

/* Says why something moves or does not: calls visit with one fact after the other,
 * until it returns nonzero, which is then returned. Works from any process that
 * has the store open, also while those that it is about hang or are stopped, and
 * for a consumer from any thread while another one is in a call on it. visit may
 * call into the library, except rill_close and closing the consumer.
 * Errors: RILL_ERR_NOT_FOUND no such group, topic or partition; RILL_ERR_INVALID
 *         subject names none, or more than one.
 * Since 0.1. */
RILL_API int rill_explain(rill *store, const rill_subject *subject,
                          int (*visit)(void *arg, const rill_fact *fact), void *arg);

/* ---- Check and repair ------------------------------------------------- */

enum rill_damage_kind {
    RILL_DAMAGE_STORE_FILE = 1,       /* the file STORE is missing or damaged */
    RILL_DAMAGE_CATALOGUE = 2,        /* a page of meta/data.mdb */
    RILL_DAMAGE_CATALOGUE_RECORD = 3, /* a record of it: a topic, a group, a commit */
    RILL_DAMAGE_TOPIC_MISSING = 4,    /* in the catalogue, without its directory */
    RILL_DAMAGE_TOPIC_UNKNOWN = 5,    /* records of a topic that the catalogue has lost */
    RILL_DAMAGE_CONTROL = 6,          /* a partition's control file */
    RILL_DAMAGE_MARK = 7,             /* what it says to be durable */
    RILL_DAMAGE_WORDS = 8,            /* what it says to the processes of this boot */
    RILL_DAMAGE_POISONED = 9,         /* a sync failed */
    RILL_DAMAGE_SEGMENT_MISSING = 10, /* between segments, or before the first one */
    RILL_DAMAGE_SEGMENT_HEADER = 11,
    RILL_DAMAGE_SEGMENT_SIZE = 12, /* cut short */
    RILL_DAMAGE_BATCH = 13,        /* a checksum, or a batch out of its place */
    RILL_DAMAGE_RECORD = 14,       /* in a batch that verifies */
    RILL_DAMAGE_INDEX = 15,
    RILL_DAMAGE_TAIL = 16,       /* what a crash has left half written */
    RILL_DAMAGE_COMMIT = 17,     /* a committed offset that is outside of its partition */
    RILL_DAMAGE_LEFTOVER = 18,   /* a file or directory that belongs to nothing */
    RILL_DAMAGE_UNREADABLE = 19, /* the device, or the system, does not give it */
    RILL_DAMAGE_FORMAT = 20,     /* whole, but of a version that this library cannot read */
    RILL_DAMAGE_GAP = 21,        /* records that were lost before rill_repair; readers pass */
    RILL_DAMAGE_PRODUCERS = 22   /* what a partition keeps of its producers, a hint */
};

/* One thing that is not as it should be. What does not apply is NULL, -1, or
 * RILL_OFFSET_NONE.
 * Severity: RILL_LOG_ERROR: records, commits or topics cannot be read, or the store
 * cannot be opened. RILL_LOG_WARNING: all is there, but something that guards it is
 * lost. RILL_LOG_INFO: neither; a crash may have left it so, or it costs time only.
 * Lifetime: until the function that is shown it returns. */
typedef struct rill_damage {
    int32_t kind;     /* enum rill_damage_kind */
    int32_t severity; /* enum rill_log_level */
    const char *topic;
    int32_t partition;
    const char *file;  /* from the store's directory on */
    int64_t position;  /* of the first byte in the file */
    int64_t size;      /* bytes from there on, as far as that is known */
    rill_offset first; /* records [first, end) */
    rill_offset end;
    const char *text;   /* a sentence: what is wrong, and what that means */
    const char *repair; /* a sentence: what rill_repair would do about it */
} rill_damage;

typedef struct rill_check_options {
    size_t size;               /* sizeof(rill_check_options) */
    uint32_t flags;            /* RILL_CHECK_* */
    uint32_t reserved;         /* zero */
    rill_progress_fn progress; /* NULL = none */
    void *progress_arg;
    int (*visit)(void *arg, const rill_damage *damage); /* NULL = counted only; nonzero
                                                           stops the check, and is returned */
    void *visit_arg;
    rill_allocator allocator; /* zero = malloc */
} rill_check_options;
#define RILL_CHECK_FROM_DISK                                                                     \
    (1u << 0) /* forget cached pages first where nobody maps them, so that                       \
                 the device is read, not the memory */

/* What was found. */
typedef struct rill_check_report {
    size_t size; /* set by the caller: sizeof(rill_check_report) */
    uint64_t error_count;
    uint64_t warning_count;
    uint64_t note_count;   /* of severity RILL_LOG_INFO */
    uint64_t records_lost; /* that belong to logs and cannot be read */
    uint64_t topic_count;  /* what was looked at, and is there: */
    uint64_t partition_count;
    uint64_t segment_count;
    uint64_t batch_count;
    uint64_t record_count;
    uint64_t group_count;
    uint64_t commit_count;
    uint64_t bytes_checked;
} rill_check_report;

/* Looks through everything that the store in dir holds and says what is wrong with
 * it: every batch and record, every index, every page and record of the catalogue,
 * what one says about the other, and what is left over. Changes nothing, and may run
 * beside any processes that use the store, this one included: what they write,
 * delete and compact meanwhile is no damage. options may be NULL; visit may call
 * into the library.
 *
 * Returns 0 when it has looked through everything, whatever it found: a store is
 * sound if report->error_count and warning_count are 0.
 * Memory:  the largest batch, an index, and some bytes per partition.
 * Errors:  RILL_ERR_NOT_FOUND no store there; RILL_ERR_INVALID it is half made, by a
 *          snapshot or a restore; RILL_ERR_PERMISSION; RILL_ERR_NO_MEMORY; what visit or
 *          progress returned.
 * Since 0.2. */
RILL_API int rill_check(const char *dir, const rill_check_options *options,
                        rill_check_report *report);

enum rill_repair_kind {
    RILL_REPAIR_SEGMENT = 1,    /* written anew from the batches that are left in it */
    RILL_REPAIR_GAP = 2,        /* records [first, end) are lost; noted, so that readers pass */
    RILL_REPAIR_INDEX = 3,      /* made anew */
    RILL_REPAIR_CONTROL = 4,    /* durable marks and shared words, made anew */
    RILL_REPAIR_STORE_FILE = 5, /* made anew */
    RILL_REPAIR_CATALOGUE = 6,  /* made anew from the records that are left */
    RILL_REPAIR_TOPIC = 7,      /* put back into the catalogue, from its directory */
    RILL_REPAIR_RECORD = 8,     /* of the catalogue: lost, or an older one took its place */
    RILL_REPAIR_PARTITION = 9,  /* an empty one in place of a directory that is lost */
    RILL_REPAIR_COMMIT = 10,    /* lowered to the end of its log, or removed */
    RILL_REPAIR_QUARANTINE = 11 /* only moved away */
};

/* One thing that was done, or with RILL_REPAIR_DRY_RUN would be. What does not apply
 * is NULL, -1, or RILL_OFFSET_NONE.
 * Lifetime: until the function that is shown it returns. */
typedef struct rill_repair_action {
    int32_t kind; /* enum rill_repair_kind */
    const char *topic;
    int32_t partition;
    const char *file;       /* from the store's directory on */
    const char *quarantine; /* where the file that was there is now, from there on too */
    rill_offset first;      /* records [first, end) that are lost */
    rill_offset end;
    uint64_t bytes_lost; /* that stood where they were, as far as that is known */
    const char *text;    /* a sentence */
} rill_repair_action;

typedef struct rill_repair_options {
    size_t size;               /* sizeof(rill_repair_options) */
    uint32_t flags;            /* RILL_REPAIR_* */
    uint32_t reserved;         /* zero */
    rill_progress_fn progress; /* NULL = none */
    void *progress_arg;
    int (*visit)(void *arg, const rill_repair_action *action); /* NULL = counted only;
                                                                  nonzero stops, and is
                                                                  returned */
    void *visit_arg;
    rill_allocator allocator; /* zero = malloc */
} rill_repair_options;
#define RILL_REPAIR_DRY_RUN (1u << 0) /* say what would be done, and do nothing */

typedef struct rill_repair_report {
    size_t size; /* set by the caller: sizeof(rill_repair_report) */
    uint64_t action_count;
    uint64_t records_lost; /* in gaps that were noted now */
    uint64_t bytes_lost;
    uint64_t quarantined; /* files and directories that were moved there */
    uint64_t left_count;  /* errors and warnings that a check finds still */
} rill_repair_report;

/* Makes a store that is damaged one that opens and reads: what can be made anew is
 * made anew, what cannot be read is moved to quarantine/ in the store, never removed,
 * and exactly what is lost is said. Nothing is invented: every record that is there
 * afterwards was appended, at its offset. Lost offsets in a log are noted as a gap,
 * and consumers go on behind it. A topic whose name is lost is called recovered- and
 * its id. What rill_check notes only (RILL_LOG_INFO) is mostly left alone.
 *
 * Nobody may have the store open. A crash, a full disk, or any other error in the
 * middle loses nothing: call it again. A store that is sound is left as it is.
 * Needs room for a copy of each damaged segment. options may be NULL.
 * Durable:  on return.
 * Errors:   RILL_ERR_BUSY somebody has it open; RILL_ERR_NOT_FOUND no store there;
 *           RILL_ERR_INVALID it is half made, by a snapshot or a restore;
 *           RILL_ERR_FORMAT a part of it is of a newer format: it is not touched;
 *           RILL_ERR_NO_SPACE; RILL_ERR_IO; what visit or progress returned.
 * Since 0.2. */
RILL_API int rill_repair(const char *dir, const rill_repair_options *options,
                         rill_repair_report *report);

/* What a file of a store holds, as rill_dump shows it. */
enum rill_item_kind {
    RILL_ITEM_STORE = 1,   /* all of the file STORE */
    RILL_ITEM_SEGMENT = 2, /* the header of a segment */
    RILL_ITEM_BATCH = 3,
    RILL_ITEM_RECORD = 4, /* of the batch that was shown last */
    RILL_ITEM_INDEX = 5,  /* the header of an index */
    RILL_ITEM_ENTRY = 6,
    RILL_ITEM_WORDS = 7, /* of a control file: what processes share */
    RILL_ITEM_MARK = 8,  /* of a control file: what is durable */
    RILL_ITEM_BYTES = 9  /* none of these: empty, left over, or damaged */
};

/* What does not apply is -1, RILL_OFFSET_NONE, 0 or NULL.
 * Lifetime: until the function that is shown it returns. */
typedef struct rill_item {
    int32_t kind;     /* enum rill_item_kind */
    int32_t sound;    /* 1: it is what it should be, as far as the file tells; 0: why not,
                         is in text */
    int64_t position; /* in the file */
    int64_t size;
    rill_offset first; /* records [first, end) that it is about */
    rill_offset end;
    uint64_t count;       /* records of a batch, entries of an index */
    uint32_t attributes;  /* of a batch, as Kafka has them; features of a segment */
    int32_t leader_epoch; /* of a segment, a batch, a mark */
    int64_t timestamp_ms; /* the largest of a batch, that of a record, when a segment was made */
    uint64_t checksum;    /* as stored */
    const rill_record *record; /* of RILL_ITEM_RECORD */
    const char *text;          /* one line with all of its fields */
} rill_item;

/* Shows what is in one file of a store, item by item, in the order of the bytes: a
 * segment (*.log), an index, a control file, or STORE. Also of files that are damaged,
 * or that are none of these: it believes nothing that it has not checked, and says
 * what it cannot make out. Changes nothing. The file may be in use; then it may show
 * things half written.
 * Nonzero from visit ends it, and is returned.
 * Errors: RILL_ERR_NOT_FOUND; RILL_ERR_PERMISSION; RILL_ERR_CORRUPT path is no regular
 *         file; RILL_ERR_INVALID its name is none that a store's file has; RILL_ERR_IO.
 * Since 0.2. */
RILL_API int rill_dump(const char *path, int (*visit)(void *arg, const rill_item *item),
                       void *arg);

/* Called when rill finds itself wrong, with the place and the broken rule, just
 * before the call that found it returns RILL_ERR_BUG. For the whole process;
 * NULL removes it. A handler may abort(), to get a core dump. */
typedef void (*rill_bug_fn)(const char *file, int line, const char *rule);
RILL_API void rill_set_bug_handler(rill_bug_fn handler);

#ifdef __cplusplus
}
#endif
#endif /* RILL_H */
