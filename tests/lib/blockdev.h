/*
 * blockdev.h - a block device that writes down what it is asked to do.
 *
 *     file system -> loop device -> FUSE file -> this process: an image in memory,
 *                                                a tape of all writes and flushes
 *
 * From an image and a stretch of tape follow the states that the device may be in
 * after a power cut: what came before the last flush is there; of what came after
 * it every write is there, or is not, or some of its sectors are.
 *
 * Needs root, FUSE and loop devices. Nothing of it survives the process: devices
 * clear themselves, the daemon dies with its parent, and mounts belong to a
 * namespace of the process' own.
 */
#ifndef RILL_BLOCKDEV_H
#define RILL_BLOCKDEV_H
#include "testing.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* ---- Images ---- */

enum { IMAGE_PAGE = 4096 };

/* Bytes, in pages; those that are not used are zeros. */
struct image {
    uint8_t *data;
    uint8_t *used; /* a byte per page */
    uint64_t size;
};
void image_init(struct image *image, uint64_t size);
void image_clear(struct image *image);
void image_copy(struct image *to, const struct image *from);
void image_read(const struct image *image, uint64_t at, void *data, size_t size);
void image_write(struct image *image, uint64_t at, const void *data, size_t size);
/* From a file, and into an empty one. */
void image_load(struct image *image, int fd);
void image_store(const struct image *image, int fd);

/* ---- Tapes ---- */

enum { TAPE_EVENTS = 1 << 16, TAPE_BYTES = 256 << 20 };

struct tape_event {
    uint64_t at;
    uint64_t data; /* where on the tape */
    uint32_t size;
    uint32_t flush; /* 1: no write */
};

/* In memory that processes share. count goes up before an event is answered, so
 * that whoever reads it after an answer has the event behind him. */
struct tape {
    _Atomic uint64_t count;
    _Atomic uint32_t stopped; /* nothing is written down any more */
    _Atomic uint32_t full;    /* it would not fit; the device has failed */
    uint64_t data_size;
    struct tape_event events[TAPE_EVENTS];
    uint8_t data[TAPE_BYTES];
};
struct tape *tape_new(void);
void tape_reset(struct tape *tape);
/* The event behind the last flush before event `to`; at least from. */
uint64_t tape_flushed(const struct tape *tape, uint64_t from, uint64_t to);
/* All of [from, to) gets to the image. */
void tape_apply(const struct tape *tape, uint64_t from, uint64_t to, struct image *image);
/* To the file gets what chance has of [from, to): each write, or not, or some of
 * its sectors; but a write of byte whole_at is not torn. tell: says what. */
enum { SECTOR = 512 };
void tape_apply_some(const struct tape *tape, uint64_t from, uint64_t to, uint64_t whole_at,
                     struct test_random *dice, bool tell, int fd);

/* ---- The device ---- */

/* Why there can be none here; NULL: there can. */
const char *blockdev_missing(void);
/* From now on mounts are this process' own. False: not allowed. */
bool blockdev_enter(void);

/* A daemon that serves image, of which it has its own copy, as "disk" in the
 * directory, and writes on the tape. Its pid; -1. */
pid_t blockdev_start(const char *dir, const struct image *image, struct tape *tape);
/* What still waits for it fails. */
void blockdev_stop(pid_t pid, const char *dir);

/* Mounts what is in a file, through a loop device that goes with the mount. 0 or
 * an errno. */
int blockdev_mount(int fd, const char *dir, const char *type, const char *options);
int blockdev_unmount(const char *dir);

/* The status of a child; one that takes longer is killed. */
int blockdev_wait(pid_t pid, int timeout_ms);

#endif
