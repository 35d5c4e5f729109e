/*
 * blockdev.c - see blockdev.h.
 */
#include "blockdev.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHECK(rule)                                                                              \
    do {                                                                                         \
        if (!(rule)) {                                                                           \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #rule,               \
                    strerror(errno));                                                            \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

static void *pages(size_t size, int sharing)
{
    void *data =
        mmap(NULL, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(data != MAP_FAILED);
    return data;
}

/* ---- Images ---- */

void image_init(struct image *image, uint64_t size)
{
    CHECK(size % IMAGE_PAGE == 0);
    image->data = pages(size, MAP_PRIVATE);
    image->used = pages(size / IMAGE_PAGE, MAP_PRIVATE);
    image->size = size;
}

void image_clear(struct image *image)
{
    CHECK(madvise(image->data, image->size, MADV_DONTNEED) == 0);
    memset(image->used, 0, image->size / IMAGE_PAGE);
}

void image_copy(struct image *to, const struct image *from)
{
    image_clear(to);
    for (uint64_t page = 0; page < from->size / IMAGE_PAGE; page++)
        if (from->used[page])
            image_write(to, page * IMAGE_PAGE, from->data + page * IMAGE_PAGE, IMAGE_PAGE);
}

void image_read(const struct image *image, uint64_t at, void *data, size_t size)
{
    uint8_t *to = data;

    while (size > 0) {
        size_t part = IMAGE_PAGE - at % IMAGE_PAGE;
        if (part > size) part = size;
        if (image->used[at / IMAGE_PAGE]) memcpy(to, image->data + at, part);
        else memset(to, 0, part);
        to += part;
        at += part;
        size -= part;
    }
}

void image_write(struct image *image, uint64_t at, const void *data, size_t size)
{
    if (size == 0) return;
    memcpy(image->data + at, data, size);
    memset(image->used + at / IMAGE_PAGE, 1, (at + size - 1) / IMAGE_PAGE - at / IMAGE_PAGE + 1);
}

void image_load(struct image *image, int fd)
{
    static const uint8_t zeros[IMAGE_PAGE];
    uint8_t page[IMAGE_PAGE];
    off_t at = 0;
    off_t hole;

    image_clear(image);
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        hole = lseek(fd, at, SEEK_HOLE);
        for (; at < hole; at += IMAGE_PAGE) {
            CHECK(pread(fd, page, sizeof page, at) == IMAGE_PAGE);
            if (memcmp(page, zeros, sizeof page) != 0)
                image_write(image, (uint64_t)at, page, sizeof page);
        }
    }
}

void image_store(const struct image *image, int fd)
{
    uint64_t count = image->size / IMAGE_PAGE;

    CHECK(ftruncate(fd, (off_t)image->size) == 0);
    for (uint64_t page = 0, end; page < count; page = end + 1) {
        while (page < count && !image->used[page]) page++;
        for (end = page; end < count && image->used[end];) end++;
        size_t size = (end - page) * IMAGE_PAGE;
        CHECK(pwrite(fd, image->data + page * IMAGE_PAGE, size, (off_t)(page * IMAGE_PAGE)) ==
              (ssize_t)size);
    }
}

/* ---- Tapes ---- */

struct tape *tape_new(void)
{
    return pages(sizeof(struct tape), MAP_SHARED);
}

void tape_reset(struct tape *tape)
{
    atomic_store(&tape->count, 0);
    atomic_store(&tape->stopped, 0);
    atomic_store(&tape->full, 0);
    tape->data_size = 0;
}

uint64_t tape_flushed(const struct tape *tape, uint64_t from, uint64_t to)
{
    while (to > from && !tape->events[to - 1].flush) to--;
    return to;
}

void tape_apply(const struct tape *tape, uint64_t from, uint64_t to, struct image *image)
{
    for (uint64_t i = from; i < to; i++) {
        const struct tape_event *event = &tape->events[i];
        image_write(image, event->at, tape->data + event->data, event->size);
    }
}

void tape_apply_some(const struct tape *tape, uint64_t from, uint64_t to, uint64_t whole_at,
                     struct test_random *dice, bool tell, int fd)
{
    static const uint64_t wholes[] = {0, 20, 50, 80, 100};
    static const uint64_t tears[] = {0, 0, 10, 50};
    uint64_t whole = wholes[test_random_below(dice, 5)];
    uint64_t torn = tears[test_random_below(dice, 4)];

    for (uint64_t i = from; i < to; i++) {
        const struct tape_event *event = &tape->events[i];
        bool whole_too = whole_at - event->at < event->size;
        bool tear = event->size > SECTOR && !whole_too && test_random_below(dice, 100) < torn;
        bool keep = !event->flush && test_random_below(dice, 100) < whole;
        uint32_t step = tear ? SECTOR : event->size;

        if (tell)
            printf("%6" PRIu64 ": %s of %u bytes at %" PRIu64 ": %s\n", i,
                   event->flush ? "flush" : "write", (unsigned)event->size, event->at,
                   tear   ? "in part"
                   : keep ? "done"
                          : "not done");
        for (uint32_t at = 0; at < event->size; at += step) {
            uint32_t size = event->size - at < step ? event->size - at : step;
            if (tear) keep = test_random_below(dice, 2) == 0;
            if (keep)
                CHECK(pwrite(fd, tape->data + event->data + at, size, (off_t)(event->at + at)) ==
                      (ssize_t)size);
        }
    }
}

/* ---- The daemon ---- */

#ifdef HAVE_FUSE3
#define FUSE_USE_VERSION 31
#include <fuse3/fuse.h>

static struct image served;
static struct tape *written;

static int disk_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
    (void)file;
    memset(st, 0, sizeof *st);
    st->st_nlink = 1;
    st->st_mode = S_IFDIR | 0700;
    if (strcmp(path, "/") == 0) return 0;
    if (strcmp(path, "/disk") != 0) return -ENOENT;
    st->st_mode = S_IFREG | 0600;
    st->st_size = (off_t)served.size;
    return 0;
}

static int clip(off_t at, size_t *size)
{
    if (at < 0 || (uint64_t)at >= served.size) return 0;
    if (*size > served.size - (uint64_t)at) *size = served.size - (uint64_t)at;
    return (int)*size;
}

static int disk_read(const char *path, char *data, size_t size, off_t at,
                     struct fuse_file_info *file)
{
    int given = clip(at, &size);

    (void)path, (void)file;
    if (given > 0) image_read(&served, (uint64_t)at, data, size);
    return given;
}

static int write_down(const struct tape_event *event, const void *data)
{
    uint64_t count = atomic_load(&written->count);
    struct tape_event *next = &written->events[count];

    if (atomic_load(&written->stopped)) return 0;
    if (count == TAPE_EVENTS || event->size > TAPE_BYTES - written->data_size) {
        atomic_store(&written->full, 1);
        return -EIO;
    }
    *next = *event;
    next->data = written->data_size;
    if (event->size > 0) memcpy(written->data + next->data, data, event->size);
    written->data_size += event->size;
    atomic_store(&written->count, count + 1);
    return 0;
}

static int disk_write(const char *path, const char *data, size_t size, off_t at,
                      struct fuse_file_info *file)
{
    int taken = clip(at, &size);
    struct tape_event event = {.at = (uint64_t)at, .size = (uint32_t)size};

    (void)path, (void)file;
    if (taken == 0) return -ENOSPC;
    if (write_down(&event, data) != 0) return -EIO;
    image_write(&served, (uint64_t)at, data, size);
    return taken;
}

static int disk_fsync(const char *path, int data_only, struct fuse_file_info *file)
{
    static const struct tape_event flush = {.flush = 1};

    (void)path, (void)data_only, (void)file;
    return write_down(&flush, NULL);
}

static void serve(const char *dir, int ready)
{
    static const struct fuse_operations operations = {
        .getattr = disk_getattr, .read = disk_read, .write = disk_write, .fsync = disk_fsync};
    char *arguments[] = {(char *)(uintptr_t) "blockdev", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, arguments);
    struct fuse *fuse = fuse_new(&args, &operations, sizeof operations, NULL);

    CHECK(fuse != NULL && fuse_mount(fuse, dir) == 0);
    CHECK(write(ready, "r", 1) == 1);
    fuse_loop(fuse);
    _exit(0);
}

pid_t blockdev_start(const char *dir, const struct image *image, struct tape *tape)
{
    int ready[2];
    char word;
    ssize_t n;
    pid_t pid;

    CHECK(pipe(ready) == 0);
    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); /* its memory must not wait for its own disk */
        close(ready[0]);
        served = *image;
        written = tape;
        serve(dir, ready[1]);
    }
    close(ready[1]);
    n = read(ready[0], &word, 1);
    close(ready[0]);
    if (n == 1) return pid;
    waitpid(pid, NULL, 0);
    return -1;
}

const char *blockdev_missing(void)
{
    if (geteuid() != 0) return "only root may mount";
    if (access("/dev/fuse", R_OK | W_OK) != 0) return "there is no /dev/fuse";
    if (access("/dev/loop-control", R_OK | W_OK) != 0) return "there are no loop devices";
    return NULL;
}
#else
pid_t blockdev_start(const char *dir, const struct image *image, struct tape *tape)
{
    (void)dir, (void)image, (void)tape;
    return -1;
}

const char *blockdev_missing(void)
{
    return "built without libfuse3";
}
#endif

/* Requests that wait are ended by the kernel when the daemon's descriptor is gone. */
void blockdev_stop(pid_t pid, const char *dir)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    umount2(dir, MNT_DETACH);
}

/* ---- Loop devices and mounts ---- */

bool blockdev_enter(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Others may take the one that is free before we do. */
static int open_loop(int fd, char name[32])
{
    struct loop_config config = {.fd = (uint32_t)fd, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    for (int attempt = 0; attempt < 100 && control >= 0; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        int device;

        snprintf(name, 32, "/dev/loop%d", number);
        device = number < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);
        if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) == 0) {
            close(control);
            return device;
        }
        if (device >= 0) close(device);
        usleep(10000);
    }
    if (control >= 0) close(control);
    return -1;
}

int blockdev_mount(int fd, const char *dir, const char *type, const char *options)
{
    char name[32];
    int device = open_loop(fd, name);
    int rc;

    if (device < 0) return ENXIO;
    rc = mount(name, dir, type, MS_NOATIME, options) == 0 ? 0 : errno;
    close(device);
    return rc;
}

int blockdev_unmount(const char *dir)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        if (umount2(dir, 0) == 0) return 0;
        if (errno != EBUSY) break;
        usleep(5000);
    }
    return errno;
}

int blockdev_wait(pid_t pid, int timeout_ms)
{
    struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    int status = 0;

    if (end.fd >= 0 && poll(&end, 1, timeout_ms) == 0) kill(pid, SIGKILL);
    if (end.fd >= 0) close(end.fd);
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}
