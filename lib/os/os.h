/*
 * os/os.h - the seam to the operating system: files and maps.
 *
 * os is the only folder that calls the operating system; this header is files,
 * directories, maps, file locks, clocks and randomness, os/thread.h is threads,
 * mutexes and futexes, os/sys.h is the table of raw calls beneath both, which
 * a test build replaces to simulate a disk or to fail the n-th call.
 *
 * Functions return 0 or RILL_ERR_* with a message that names the file.
 * Where EINTR can come it is retried inside; short reads and writes are completed.
 */
#ifndef RILL_OS_OS_H
#define RILL_OS_OS_H
#include "base/error.h"
#include "base/heap.h"

/* ---- Files ------------------------------------------------------------ */

/* An open file and its name for messages. Empty: FILE_NONE; closing that does
 * nothing. */
struct file {
    int fd;
    const char *below; /* see rill__dir_below; else NULL */
    char name[112];    /* the tail of the path, for messages */
};
#define FILE_NONE ((struct file){-1, NULL, ""})

/* A directory is a struct file too; names below are relative to it and hold no
 * "..". Nothing follows a symbolic link in the last component. */

int rill__dir_open(const char *path, struct file *dir); /* NOT_FOUND, PERMISSION */
int rill__dir_open_at(const struct file *parent, const char *name, struct file *dir);
/* The directory that path names an entry of. */
int rill__dir_open_parent(const char *path, struct file *dir);
/* A directory that is not open: its path from parent, which is and stays so. Takes no
 * descriptor; closing it does nothing. path, shorter than DIR_PATH_MAX, stays the
 * caller's. A link in the middle of the path is followed: look at it once by opening. */
#define DIR_PATH_MAX 64
void rill__dir_below(const struct file *parent, const char *path, struct file *dir);
/* mkdir with mode 0700; EXISTS is not an error. Not durable before a
 * rill__dir_sync of the parent. */
int rill__dir_make(const char *path);
int rill__dir_make_at(const struct file *parent, const char *name);
int rill__dir_sync(const struct file *dir);
/* Calls visit for every name except "." and ".."; stops at nonzero, returned. */
int rill__dir_list(const struct file *dir, int (*visit)(void *arg, const char *name), void *arg);
int rill__dir_remove_at(const struct file *parent, const char *name); /* an empty one */
/* Is dir, or a directory above it, the one with this identity? */
int rill__dir_is_within(const struct file *dir, uint64_t device, uint64_t inode, bool *within);
/* On a copy-on-write file system that can: new files in dir are written in
 * place. */
int rill__dir_set_nocow(const struct file *dir);

enum file_flags {
    FILE_READ = 0,
    FILE_WRITE = 1,    /* and read */
    FILE_CREATE = 2,   /* with mode 0600 if missing */
    FILE_EXCLUSIVE = 4 /* with FILE_CREATE: EXISTS if there */
};
/* Makes file one that is not open, with the name for messages that a file of dir has. */
void rill__file_name(struct file *file, const struct file *dir, const char *name);
/* Regular files only, O_CLOEXEC and O_NOFOLLOW; else RILL_ERR_CORRUPT. */
int rill__file_open(const struct file *dir, const char *name, int flags, struct file *file);
void rill__file_close(struct file *file); /* keeps errno; leaves FILE_NONE */
int rill__file_size(const struct file *file, uint64_t *size);
/* Reserves [0, size) with real blocks, so that a store to a map of it cannot
 * fail; NO_SPACE leaves the file empty. Where the file system cannot, zeros
 * are written. */
int rill__file_allocate(const struct file *file, uint64_t size);
/* Holds blocks for [0, size) ready without changing the file's size, if they
 * are to be had; no promise. */
void rill__file_reserve(const struct file *file, uint64_t size);
/* Exactly size bytes, else RILL_ERR_CORRUPT (end of file) or RILL_ERR_IO. */
int rill__file_read(const struct file *file, void *data, size_t size, uint64_t position);
int rill__file_write(const struct file *file, const void *data, size_t size, uint64_t position);
/* fdatasync. Any failure, also NO_SPACE, means that what is on disk is unknown. */
int rill__file_sync(const struct file *file);
/* Forgets cached pages that nobody maps, so that the next read is of the disk. */
void rill__file_drop_cache(const struct file *file);
int rill__file_rename(const struct file *dir, const char *from, const char *to);
int rill__file_remove(const struct file *dir, const char *name); /* missing is fine */
/* A second name for the same file: what is written through one shows in the
 * other. RILL_ERR_UNSUPPORTED where that cannot be: on another device, or not
 * allowed there, or too many names already. */
int rill__file_link(const struct file *from_dir, const char *from, const struct file *to_dir,
                    const char *to);
/* Cuts off, or adds a hole, which reads as zeros and must not be mapped for
 * writing. */
int rill__file_resize(const struct file *file, uint64_t size);
/* Which file it is, whatever its name. */
int rill__file_identity(const struct file *file, uint64_t *device, uint64_t *inode);
int rill__file_exists(const struct file *dir, const char *name, bool *exists);
/* What a name stands for, without opening it; nothing there: zeros. */
struct file_facts {
    uint64_t size;
    uint64_t links; /* how many names the file has */
};
int rill__file_look(const struct file *dir, const char *name, struct file_facts *facts);

/* What kind of file system holds dir. */
struct file_system {
    bool volatile_memory; /* tmpfs, ramfs: sync promises nothing */
    bool network;         /* nfs, cifs, 9p, fuse ...: maps and locks may lie */
    bool copy_on_write;   /* btrfs: rewriting allocated blocks may fail */
    char name[16];        /* "ext4", or the number in hex */
};
int rill__file_system_of(const struct file *dir, struct file_system *system);

/* ---- Locks on files (OFD locks: owned by the open file, freed by the kernel
 * when its last descriptor closes, so also at kill -9) ------------------- */

enum file_lock { FILE_LOCK_NONE, FILE_LOCK_SHARED, FILE_LOCK_EXCLUSIVE };
/* Byte `byte` of file. Converting a held lock is atomic. Tries until
 * timeout_ms passed, then RILL_ERR_TIMEOUT (RILL_ERR_BUSY if timeout_ms is 0). */
int rill__file_lock(const struct file *file, uint64_t byte, enum file_lock kind, int timeout_ms);
/* Does anybody else, through another open file, hold the byte exclusively? */
int rill__file_lock_held(const struct file *file, uint64_t byte, bool *held);
/* Does anybody else hold it in any way? */
int rill__file_lock_shared(const struct file *file, uint64_t byte, bool *held);

/* ---- Maps ------------------------------------------------------------- */

struct map {
    uint8_t *data; /* NULL: no map */
    size_t size;
};
#define MAP_NONE ((struct map){NULL, 0})

/* Maps [0, size) shared. Refuses (RILL_ERR_CORRUPT) a file shorter than size.
 * writable: also for storing; then the blocks must be allocated. */
int rill__map(const struct file *file, size_t size, bool writable, struct map *map);
void rill__unmap(struct map *map); /* an empty one does nothing */
/* Write-faults [from, to) without changing bytes; harmless if not supported.
 * NO_SPACE or IO instead of a signal where the pages cannot be had. */
int rill__map_populate(const struct map *map, size_t from, size_t to);

/* ---- Clocks, randomness, identity ------------------------------------- */

int64_t rill__now_ms(void);       /* wall clock, since the epoch; coarse */
int64_t rill__monotonic_ns(void); /* never goes back, same in all processes */
int64_t rill__boot_ms(void);      /* since the boot, also while the machine slept */
int64_t rill__tick_ms(void);      /* monotonic too, but coarse (some ms) and cheap */
int rill__random(void *data, size_t size);
/* The kernel's id of this boot. Zeros if it has none. */
int rill__boot_id(uint8_t *id /* 16 bytes */);
int32_t rill__process_id(void);
/* Start time of a live process, in kernel ticks; 0 if there is none. */
uint64_t rill__process_start(int32_t pid);
/* Whether it is running, as the kernel sees it. Unknown: there is no such
 * process (any more), or it cannot be seen from here. */
enum process_state { PROCESS_UNKNOWN, PROCESS_RUNS, PROCESS_STOPPED };
enum process_state rill__process_state(int32_t pid, uint64_t start);
/* Of the numbers that are process ids here; 0 if it is not known. */
uint64_t rill__pid_namespace(void);
size_t rill__page_size(void);

/* Absolute monotonic deadline of a timeout in ms; RILL_FOREVER = INT64_MAX. */
int64_t rill__deadline(int timeout_ms);
/* What is left of it, for a timeout_ms parameter: -1, or 0 and more. */
int rill__time_left_ms(int64_t deadline_ns);
void rill__sleep_ns(int64_t ns);

/* ---- Fork ------------------------------------------------------------- */

struct mutex;

/* A number that differs in every forked child. A plain load. The first call
 * of rill__fork_watch installs the detection; the mutex given to it, always
 * the same one, is held over every fork, so that a child never inherits it
 * locked. In a child, descriptors given to rill__fork_close_on are closed
 * before fork returns, so that the child does not keep the parent's file locks
 * alive (at most 64 of them; more is RILL_ERR_NO_MEMORY). */
int rill__fork_watch(struct mutex *guarded);
uint32_t rill__fork_generation(void);
int rill__fork_close_on(int fd);
void rill__fork_forget(int fd);

/* Event descriptor (eventfd) for epoll. */
int rill__event_open(int *fd);
void rill__event_set(int fd);
void rill__event_clear(int fd);
void rill__fd_close(int fd);

#endif
