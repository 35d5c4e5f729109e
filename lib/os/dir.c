/*
 * os/dir.c - what is in a directory, and what file system it is on.
 */
#include "os/os.h"
#include "os/sys.h"
#include <dirent.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

int rill__dir_list(const struct file *dir, int (*visit)(void *arg, const char *name), void *arg)
{
    DIR *stream;
    struct dirent *entry;
    int rc = 0;
    int fd;

    do {
        fd = SYS(openat)(dir->fd, dir->below == NULL ? "." : dir->below,
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        rc = rill__fail_os(errno, "%s: cannot list the directory", dir->name);
        if (fd >= 0) SYS(close)(fd);
        return rc;
    }
    while (rc == 0) {
        errno = 0;
        entry = readdir(stream);
        if (entry == NULL) {
            if (errno != 0) rc = rill__fail_os(errno, "%s: cannot list the directory", dir->name);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        rc = visit(arg, entry->d_name);
    }
    closedir(stream);
    return rc;
}

int rill__dir_is_within(const struct file *dir, uint64_t device, uint64_t inode, bool *within)
{
    struct file at = FILE_NONE;
    struct file above = FILE_NONE;
    uint64_t here[2];
    uint64_t before[2] = {0, 0};
    int rc = rill__dir_open_at(dir, ".", &at);

    *within = false;
    for (;;) {
        if (rc == 0) rc = rill__file_identity(&at, &here[0], &here[1]);
        if (rc != 0) break;
        *within = here[0] == device && here[1] == inode;
        /* The root is its own parent. */
        if (*within || (here[0] == before[0] && here[1] == before[1])) break;
        memcpy(before, here, sizeof before);
        rc = rill__dir_open_at(&at, "..", &above);
        rill__file_close(&at);
        at = above;
        above = FILE_NONE;
    }
    rill__file_close(&at);
    return rc;
}

int rill__file_system_of(const struct file *dir, struct file_system *system)
{
    static const struct {
        uint32_t magic;
        const char *name;
        char kind; /* v volatile, n network, c copy on write, blank plain */
    } known[] = {
        {0xef53, "ext4", ' '},       {0x58465342, "xfs", ' '},      {0x9123683e, "btrfs", 'c'},
        {0x01021994, "tmpfs", 'v'},  {0x858458f6, "ramfs", 'v'},    {0xf2f52010, "f2fs", ' '},
        {0x2fc12fc1, "zfs", 'c'},    {0xca451a4e, "bcachefs", 'c'}, {0x6969, "nfs", 'n'},
        {0x517b, "smb", 'n'},        {0xff534d42, "cifs", 'n'},     {0xfe534d42, "smb2", 'n'},
        {0x01021997, "9p", 'n'},     {0x65735546, "fuse", 'n'},     {0x00c36400, "ceph", 'n'},
        {0x794c7630, "overlay", ' '}};
    struct statfs st;

    if (SYS(fstatfs)(dir->fd, &st) != 0) return rill__fail_os(errno, "%s: statfs", dir->name);
    memset(system, 0, sizeof *system);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if ((uint32_t)st.f_type != known[i].magic) continue;
        strncpy(system->name, known[i].name, sizeof system->name - 1);
        system->volatile_memory = known[i].kind == 'v';
        system->network = known[i].kind == 'n';
        system->copy_on_write = known[i].kind == 'c';
        return 0;
    }
    snprintf(system->name, sizeof system->name, "%#x", (unsigned)st.f_type);
    return 0;
}

int rill__dir_set_nocow(const struct file *dir)
{
    int flags = 0;

    if (ioctl(dir->fd, FS_IOC_GETFLAGS, &flags) != 0) return 0; /* knows no such thing */
    flags |= FS_NOCOW_FL;
    if (ioctl(dir->fd, FS_IOC_SETFLAGS, &flags) != 0 && errno != EOPNOTSUPP && errno != EINVAL)
        return rill__fail_os(errno, "%s: cannot set no-copy-on-write", dir->name);
    return 0;
}
