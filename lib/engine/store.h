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

#define SHARED_MAGIC UINT64_C(0x3252414853434c52) /* ends with the layout's number */
#define SHARED_SIZE 53248
#define PROCESSES_MAX 256

/* A process that is in the store; see presence.c. */
struct process_slot {
    _Atomic int32_t pid;        /* for people, and to ask the kernel about it */
    _Atomic uint64_t start;     /* of the process, tells it from a later one of that pid */
    _Atomic uint64_t pid_space; /* namespace in which pid means it */
    _Atomic uint64_t ticket;    /* tells it from all others that had this slot; 0: never used */
    _Atomic int64_t heard_ms;   /* monotonic: last sign that it runs; by anyone, relaxed */
};

/* The file "shared" of the store, mapped. Written anew by whoever finds nobody
 * else in the store; incarnation last. */
struct shared {
    uint64_t magic;
    uint64_t abi;
    _Atomic uint64_t incarnation;                   /* 0: being written */
    _Atomic uint64_t catalogue_version;             /* + 1 when a topic is created or deleted */
    _Atomic uint32_t next_slot;                     /* wake slots are handed out in a circle */
    _Alignas(64) struct meta_turns catalogue_turns; /* one writer of the catalogue */
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

struct topic {
    struct topic *next; /* store->lock */
    struct store *store;
    struct meta_topic info;
    uint64_t number;   /* the first 8 bytes of its id */
    _Atomic bool gone; /* deleted, seen by this process */
    struct mutex lock; /* guards opening logs */
    struct partition {
        struct topic *topic;
        int32_t number;
        _Atomic(struct log *) log; /* NULL until first used; set under lock */
    } * partitions;
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
    struct file_system file_system;
    struct meta *meta;
    int32_t process_slot;
    uint64_t process_ticket;

    struct mutex lock;    /* guards topics, coordinators */
    struct topic *topics; /* never freed before the store is closed */
    struct coordinator *coordinators;
    struct map members_map; /* of the file "members"; none before the first group */
    _Atomic(struct members *) members;

    struct mutex clients_lock; /* guards the next two */
    struct rill_producer *producers;
    struct rill_consumer *consumers;
    _Atomic(struct bridge *) bridge; /* set once, under the lock */

    struct mutex maintain_lock; /* one maintenance at a time */
    _Atomic int64_t expire_ms;  /* monotonic: when groups are looked at next; whoever
                                   moves it on does it */
    struct thread thread;
    _Atomic bool thread_stop;
    _Atomic uint32_t thread_word;    /* futex: changes when it has more to do */
    _Atomic int64_t thread_wakes_ns; /* when it will look by itself */

    _Atomic uint32_t idle_segments;
    struct counters *counters; /* this process' own, shared; set before anything counts */
};

/* The file STORE: RILL_ERR_CORRUPT, RILL_ERR_FORMAT if it is none of ours. */
int rill__store_file_read(const struct file *dir, const char *path);
/* With an id of its own; durable. */
int rill__store_file_write(const struct file *dir);
/* Another handle of the store in that directory, if this process has it open. Else
 * NULL, and no thread of this process opens one before rill__stores_release. */
int rill__store_borrow(const struct file *dir, rill **handle);
void rill__stores_release(void);
/* Is anybody in the store, in any process? */
int rill__store_in_use(const struct file *dir, bool *in_use);
/* Lets the store's thread, if it has one, do maintenance at at_ns or before. */
void rill__store_due(struct store *store, int64_t at_ns);
void rill__store_say(void *store, int level, const char *line);

/* The name of a topic's directory: its id in hex. */
#define TOPIC_DIRECTORY_SIZE 33
void rill__topic_directory(const uint8_t id[16], char name[TOPIC_DIRECTORY_SIZE]);
/* The topic of that name; RILL_ERR_NOT_FOUND. Lives as long as the store. */
int rill__topic_find(struct store *store, const char *name, struct topic **topic);
/* RILL_ERR_INVALID unless name follows Kafka's rule. what: "topic", "group". */
int rill__check_name(const char *what, const char *name);
/* The partition's log, opened and recovered if need be. */
int rill__partition_log(struct topic *topic, int32_t partition, int timeout_ms, struct log **log);
/* Tells every process that uses it that the partition is gone. */
void rill__partition_mark_deleted(struct topic *topic, int32_t partition);
uint64_t rill__topic_number(const uint8_t id[16]); /* its first 8 bytes */
void rill__topics_close(struct store *store);
/* Removes it with all that is in it; a missing one is fine. Not durable. */
int rill__topic_directory_remove(const struct file *store_dir, const char *name);
/* Removes directories of topics that are not in the catalogue. */
int rill__topics_sweep(struct store *store);
uint64_t rill__catalogue_version(const struct store *store);

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
    OPTIONS_COPY
};
/* Copies the caller's struct (may be NULL) over defaults into out, which has
 * its full size. RILL_ERR_INVALID names the option, its value and its range. */
int rill__options_take(enum option_set set, const void *given, void *out);
/* RILL_ERR_INVALID if it is only half there. */
int rill__allocator_check(const rill_allocator *allocator);

/* ---- Producers, consumers, groups: what maintenance needs ------------- */

void rill__consumers_commit(struct store *store);
void rill__producers_linger(struct store *store, uint32_t *next_ms);
void rill__coordinators_tick(struct store *store, uint32_t *next_ms);
void rill__coordinators_close(struct store *store);
/* Deletes groups that were idle for offsets_retention_ms, if a look is due. */
int rill__groups_expire(struct store *store, uint32_t *next_ms);
void rill__bridge_stop(struct store *store);

#endif
