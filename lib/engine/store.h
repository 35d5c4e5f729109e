/*
 * engine/store.h - what the files of engine/ share: the store and its topics.
 */
#ifndef RILL_ENGINE_STORE_H
#define RILL_ENGINE_STORE_H
#include "engine/counters.h"
#include "engine/engine.h"
#include "log/log.h"
#include "meta/meta.h"
#include "os/os.h"
#include "os/thread.h"
#include <assert.h>

/* ---- Words that all processes of a store share ------------------------ */

#define SHARED_MAGIC UINT64_C(0x3352414853434c52) /* ends with the layout's number */
#define SHARED_SIZE 61440
#define PROCESSES_MAX 256
#define SEEN_TRANSACTIONS 64
#define PARTITIONS_MAX 10000 /* of a topic */
#define TOPIC_BUCKETS 256
#define UNUSED_LOGS_MAX 256 /* more are closed at once */

/* Locks in the file "shared"; see presence.c and members.c for the others. */
#define TOPICS_BYTE 3  /* while directories of topics are made or removed */
#define CLEAN_BYTE 4   /* while records are cleaned */
#define COPY_BYTE 5    /* shared: while copies are made, see gate.h */
#define COMPACT_BYTE 6 /* shared: while logs are compacted, the same */

/* A process that is in the store; see presence.c. */
struct process_slot {
    _Atomic int32_t pid;        /* for people, and to ask the kernel about it */
    _Atomic uint64_t start;     /* of the process, tells it from a later one of that pid */
    _Atomic uint64_t pid_space; /* namespace in which pid means it */
    _Atomic uint64_t ticket;    /* tells it from all others that had this slot; 0: never used */
    _Atomic int64_t heard_ms;   /* monotonic: last sign that it runs; by anyone, relaxed */
};

/* Where a pass of clean.c has come to; under CLEAN_BYTE. */
struct clean_cursor {
    char after[RILL_TOPIC_NAME_MAX + 1]; /* topics up to this name are done */
    uint64_t topic;                      /* number of the next one, */
    uint32_t partition;                  /* which goes on here */
};

/* The file "shared" of the store, mapped. Written anew by whoever finds nobody
 * else in the store; incarnation last. */
struct shared {
    uint64_t magic;
    uint64_t abi;
    _Atomic uint64_t incarnation;                   /* 0: being written */
    _Atomic uint64_t catalogue_version;             /* + 1 when topics have changed */
    _Atomic uint32_t next_slot;                     /* wake slots are handed out in a circle */
    _Alignas(64) struct meta_turns catalogue_turns; /* one writer of the catalogue */
    _Alignas(64) struct {
        _Atomic int64_t done_ms; /* monotonic: end of the last pass; 0: none */
        struct clean_cursor cursor;
    } clean;
    _Alignas(64) struct process_slot processes[PROCESSES_MAX];
    _Alignas(64) struct wake_slot wake_slots[WAKE_SLOTS];
    _Alignas(64) struct counters counters[PROCESSES_MAX]; /* by process slot */
    _Alignas(64) struct counters past; /* of processes that are gone; under SLOTS_BYTE */
};

static_assert(sizeof(struct shared) <= SHARED_SIZE, "the shared words fit in their file");

/* ---- Files of a store: store.c --------------------------------------- */

/* The catalogue's directory, made if create, and its table of readers. */
int rill__catalogue_prepare(const struct file *store_dir, bool create, bool copy_on_write);

/* ---- Topics ----------------------------------------------------------- */

struct partition {
    struct topic *topic;
    int32_t number;
    _Atomic uint32_t references; /* of whoever uses the log; or CLOSED, see topic.c */
    _Atomic int64_t left_ms;     /* tick: when the last of them let go; relaxed */
    struct log *log;             /* for who has a reference; set under open_lock */
};

/* As many as were added at once. */
struct partition_block {
    struct partition_block *next;
    uint32_t first;
    uint32_t count;
    struct partition partitions[];
};

struct topic {
    struct topic *next; /* store->lock: the next three */
    struct topic **before;
    struct topic *next_in_bucket;
    uint32_t references; /* store->lock */
    struct store *store;
    struct {
        const char *name; /* until the topic is freed */
        uint8_t id[16];
    } info;
    uint64_t number;                  /* the first 8 bytes of its id */
    _Atomic bool gone;                /* deleted, seen by this process */
    _Atomic uint64_t version_seen;    /* of the catalogue; under lock, read by anyone, relaxed */
    _Atomic uint32_t partition_count; /* under lock; release, read by anyone, acquire */
    _Atomic uint32_t max_message_bytes; /* the next four: under lock, read by anyone, relaxed */
    _Atomic uint32_t cleanup_policy;    /* RILL_CLEANUP_* */
    _Atomic uint32_t timestamp_type;    /* RILL_TIMESTAMP_* */
    _Atomic uint32_t compression;       /* RILL_COMPRESSION_* */
    struct mutex open_lock;             /* guards opening and closing logs */
    struct mutex lock;                  /* guards what follows, and adding partitions */
    struct meta_topic config;           /* as seen last */
    struct partition_block *blocks;     /* the list only grows; who knows the count may walk it */
};

struct coordinator;
struct bridge;

struct store {
    struct store *next;       /* registry, under its lock */
    uint32_t handles;         /* registry lock */
    uint32_t fork_generation; /* a child's open does not find the parent's store */
    uint64_t device;
    uint64_t inode;
    struct heap heap;
    rill_options options;
    char path[512];
    struct file dir;
    struct file shared_file; /* for its locks */
    struct map shared_map;
    struct shared *shared;
    uint64_t incarnation;
    uint8_t boot_id[16];
    int64_t created_ms; /* the store was made */
    struct file_system file_system;
    struct meta *meta;
    int32_t process_slot;
    uint64_t process_ticket;

    struct mutex lock;    /* guards topics, coordinators */
    struct topic *topics; /* a list, and by id in buckets */
    struct topic *topic_buckets[TOPIC_BUCKETS];
    struct coordinator *coordinators;
    struct map members_map; /* of the file "members"; none before the first group */
    _Atomic(struct members *) members;

    struct mutex clients_lock; /* guards the next two */
    struct rill_producer *producers;
    struct rill_consumer *consumers;
    rill_space *spaces;              /* the same */
    _Atomic(struct bridge *) bridge; /* set once, under the lock */

    struct mutex maintain_lock; /* one maintenance at a time */
    _Atomic int64_t expire_ms;  /* monotonic: when groups are looked at next; whoever
                                   moves it on does it */
    struct thread thread;
    _Atomic bool thread_stop;
    _Atomic uint32_t thread_word;    /* futex: changes when it has more to do */
    _Atomic int64_t thread_wakes_ns; /* when it will look by itself */

    struct mutex directories_lock;   /* with TOPICS_BYTE: one changes topics' directories */
    _Atomic int64_t clocks_apart_ms; /* wall clock less tick, at the last look: relaxed, by
                                        anyone; and when one was tried, by the tick */
    _Atomic int64_t clock_tried_ms;
    struct mutex clean_lock;      /* with CLEAN_BYTE: one cleans; guards the next */
    int64_t compact_ns;           /* how long a compaction may take */
    _Atomic uint32_t unused_logs; /* open, and nobody uses them */
    _Atomic uint32_t idle_segments;
    _Atomic uint32_t kept_files;
    struct mutex ids_lock; /* guards the next two: producer ids nobody has yet */
    int64_t ids_next;
    int64_t ids_end;
    struct mutex names_lock; /* one looks at names; guards the next three, see names.c */
    uint64_t names_change;   /* of the catalogue, as it was when they were looked at last */
    bool names_waiting;      /* something may be to do though it does not change */
    int64_t names_due_ms;    /* monotonic: and when there may, at the latest */
    struct mutex seen_lock;  /* guards the next one */
    struct seen_transaction {
        int64_t producer_id;
        int16_t epoch;
        int64_t first_ms;
        int64_t used_ms;       /* 0: never */
    } seen[SEEN_TRANSACTIONS]; /* open ones, of other producers; see settle.c */
    struct counters *counters; /* this process' own, shared; set before anything counts */
};

/* The file STORE: when the store was made. RILL_ERR_CORRUPT, RILL_ERR_FORMAT if it is
 * none of ours. */
int rill__store_file_read(const struct file *dir, const char *path, int64_t *created_ms);
/* With an id of its own; durable. */
int rill__store_file_write(const struct file *dir);
/* Another handle of the store in that directory, if this process has it open. Else
 * NULL, and no thread of this process opens one before rill__stores_release. */
int rill__store_borrow(const struct file *dir, rill **handle);
void rill__stores_release(void);
/* From now on rill__fork_close_on does what it says. */
int rill__stores_watch_fork(void);
/* Is anybody in the store, in any process? */
int rill__store_in_use(const struct file *dir, bool *in_use);
/* Lets the store's thread, if it has one, do maintenance at at_ns or before. */
void rill__store_due(struct store *store, int64_t at_ns);
void rill__store_say(void *store, int level, const char *line);

/* The name of a topic's directory: its id in hex. */
#define TOPIC_DIRECTORY_SIZE 33
void rill__topic_directory(const uint8_t id[16], char name[TOPIC_DIRECTORY_SIZE]);
/* RILL_ERR_INVALID unless name follows Kafka's rule. what: "topic", "group". */
int rill__check_name(const char *what, const char *name);
uint64_t rill__topic_number(const uint8_t id[16]); /* its first 8 bytes */

/* The topic of that name, as the catalogue has it now, with a reference;
 * RILL_ERR_NOT_FOUND. */
int rill__topic_find(struct store *store, const char *name, struct topic **topic);
/* The same for who has just read the catalogue, and its version before that. */
int rill__topic_of(struct store *store, const struct meta_topic *info, uint64_t version,
                   struct topic **topic);
/* One that this process knows, with a reference, or NULL. */
struct topic *rill__topic_numbered(struct store *store, uint64_t number);
/* One more reference, for who has one. */
void rill__topic_keep(struct topic *topic);
void rill__topic_release(struct topic *topic); /* NULL does nothing */
/* Walks all that this process knows: the first (NULL) or the next one, with a
 * reference; the one before is released. */
struct topic *rill__topic_after(struct store *store, struct topic *topic);
/* Reads the catalogue again: RILL_ERR_NOT_FOUND the topic is gone. */
int rill__topic_look(struct topic *topic);
/* The same if the catalogue has changed since the last look. */
static inline int rill__topic_follow(struct topic *topic)
{
    if (atomic_load_explicit(&topic->store->shared->catalogue_version, memory_order_relaxed) ==
        atomic_load_explicit(&topic->version_seen, memory_order_relaxed))
        return 0;
    return rill__topic_look(topic);
}
static inline uint32_t rill__topic_partition_count(const struct topic *topic)
{
    return atomic_load_explicit(&topic->partition_count, memory_order_acquire);
}
static inline uint32_t rill__topic_max_bytes(const struct topic *topic)
{
    return atomic_load_explicit(&topic->max_message_bytes, memory_order_relaxed);
}
static inline bool rill__topic_compacts(const struct topic *topic)
{
    return (atomic_load_explicit(&topic->cleanup_policy, memory_order_relaxed) &
            RILL_CLEANUP_COMPACT) != 0;
}
struct partition *rill__topic_partition(struct topic *topic, int32_t partition); /* or NULL */

/* The partition's log, opened and recovered if need be, with a reference. Whoever
 * has it has one to the topic too. */
int rill__partition_log(struct topic *topic, int32_t partition, int timeout_ms, struct log **log);
void rill__partition_release(struct topic *topic, int32_t partition);
/* For a look at what is open: NULL if it is not. Looking is no use that keeps it open. */
struct log *rill__partition_if_open(struct topic *topic, int32_t partition);
void rill__partition_leave(struct topic *topic, int32_t partition);
/* May something of it be not durable? Found without opening it. */
int rill__partition_needs_sync(struct topic *topic, int32_t partition, bool *needs);
/* It has no segments, as far as can be seen without opening it. */
int rill__partition_is_empty(struct topic *topic, int32_t partition, bool *empty);
/* Closes it if nobody has used it for so long. */
int rill__partition_close_unused(struct topic *topic, int32_t partition, int64_t unused_ms);
/* Tells every process that uses it that the partition is gone. */
void rill__partition_mark_deleted(struct topic *topic, int32_t partition);
void rill__topics_close(struct store *store);

uint64_t rill__catalogue_version(const struct store *store);
/* It was: lets everybody look. */
void rill__catalogue_changed(struct store *store);

/* ---- Directories of topics: directories.c ----------------------------- */

/* Makes those of partitions [first, count), durable; the topic's own too if first is
 * 0. Under the lock unless the topic is new. */
int rill__directories_make(struct store *store, const uint8_t id[16], uint32_t first,
                           uint32_t count);
/* The topic's, with all that is in it; what is not there is removed. */
int rill__directories_remove(struct store *store, const uint8_t id[16]);
/* The same of any store, by the directory's name. Not durable. */
int rill__topic_directory_remove(const struct file *store_dir, const char *name);
/* Removes those of topics and partitions that are not in the catalogue. Alone. */
int rill__directories_sweep(struct store *store);
/* One thread of all processes makes or removes them, for topics that are in use. */
int rill__directories_lock(struct store *store);
void rill__directories_unlock(struct store *store);

/* ---- Options of topics: topic_options.c ------------------------------- */

/* Options as given, checked also together, into the topic. */
int rill__topic_options_take(const rill_topic_options *given, struct meta_topic *topic);
/* Those of the given ones that fields (RILL_TOPIC_*) names. */
int rill__topic_options_alter(uint32_t fields, const rill_topic_options *given,
                              struct meta_topic *topic);
void rill__topic_options_show(const struct meta_topic *topic, rill_topic_options *options);

/* Imports commit how far they are under such groups; they are nobody's consumers. */
#define IMPORT_GROUP_PREFIX "__import."
bool rill__is_import_group(const char *group);

/* ---- Processes in the store: presence.c ------------------------------ */

/* Takes a slot for this process. RILL_ERR_BUSY: another copy of the library in
 * this process has the store, or there are too many processes. */
int rill__presence_claim(struct store *store);
void rill__presence_release(struct store *store);
/* Is the process that had the slot under this ticket gone? False in doubt. */
bool rill__process_is_gone(struct store *store, uint32_t slot, uint64_t ticket);
/* When it gave the last sign that it runs, as far as we or the kernel know. */
int64_t rill__process_heard_ms(struct store *store, uint32_t slot, int64_t now_ms);
/* This process gives one. */
void rill__presence_beat(struct store *store);
/* The pid in a slot, 0 if its process is gone; whether the kernel has stopped it. */
int32_t rill__process_in_slot(struct store *store, uint32_t slot, bool *stopped);

/* ---- Options ---------------------------------------------------------- */

enum option_set {
    OPTIONS_STORE,
    OPTIONS_TOPIC,
    OPTIONS_PRODUCER,
    OPTIONS_CONSUMER,
    OPTIONS_RESET,
    OPTIONS_WORKERS,
    OPTIONS_TRACE,
    OPTIONS_AUDIT,
    OPTIONS_CHECK,
    OPTIONS_REPAIR,
    OPTIONS_COPY,
    OPTIONS_EXPORT,
    OPTIONS_IMPORT
};
/* Copies the caller's struct (may be NULL) over defaults into out, which has
 * its full size. RILL_ERR_INVALID names the option, its value and its range. */
int rill__options_take(enum option_set set, const void *given, void *out);
/* Calls visit for each option of a struct that was taken, with its value, of a fraction
 * its bits; until it returns nonzero, which is returned. */
int rill__options_each(enum option_set set, const void *options,
                       int (*visit)(void *arg, const char *name, uint64_t value), void *arg);
/* Sets the option of that name, unchecked; false if there is none, or it is too small. */
bool rill__option_set(enum option_set set, void *options, const char *name, uint64_t value);
/* RILL_ERR_INVALID if it is only half there. */
int rill__allocator_check(const rill_allocator *allocator);

/* ---- Producers, consumers, groups: what maintenance needs ------------- */

void rill__consumers_commit(struct store *store);
void rill__producers_linger(struct store *store, uint32_t *next_ms);
void rill__coordinators_tick(struct store *store, uint32_t *next_ms);
void rill__coordinators_close(struct store *store);
/* Deletes groups that were idle for offsets_retention_ms, if a look is due. */
int rill__groups_expire(struct store *store, uint32_t *next_ms);
/* Finishes what producers that are gone have decided, and forgets names that nobody uses. */
int rill__names_tend(struct store *store);
/* What cannot wait long: syncs, rolls, lingering batches, commits, groups' clocks. */
int rill__store_tend(struct store *store, uint32_t *next_ms);
/* Deletes and compacts what is to be, a bounded share of it, if it is due. */
int rill__store_clean(struct store *store, uint32_t *next_ms);
/* What the clock for deletions says, if the wall clock is set at all. */
int rill__clock_look(struct store *store, int timeout_ms, struct meta_clock *clock, bool *is_set);
/* Before a batch is appended: looks if the wall clock has been set since the last look. */
void rill__clock_watch(struct store *store);
void rill__bridge_stop(struct store *store);

#endif
