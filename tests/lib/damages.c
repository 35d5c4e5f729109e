/*
 * damages.c - see damages.h.
 */
#include "damages.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

struct damages damages;
struct damages_how damages_how;
int damages_allocations;

/* ---- Memory ---- */

static bool fails_now(void)
{
    return ++damages_allocations == damages_how.allocate;
}

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    return fails_now() ? NULL : malloc(size);
}

static void *hook_resize(void *arg, void *block, size_t size)
{
    (void)arg;
    return fails_now() ? NULL : realloc(block, size);
}

static void hook_release(void *arg, void *block)
{
    (void)arg;
    free(block);
}

/* ---- What is said ---- */

static int said(void)
{
    return ++damages.said == damages_how.stop_at ? DAMAGES_STOP : 0;
}

static int found(void *arg, rill_damage *damage)
{
    (void)arg;
    assert_non_null(damage->text);
    assert_non_null(damage->repair);
    if (damages.count < DAMAGES_MAX) {
        struct damage *d = &damages.list[damages.count];
        *d = (struct damage){damage->kind,
                             damage->severity,
                             damage->position,
                             damage->size,
                             damage->first,
                             damage->end,
                             "",
                             ""};
        snprintf(d->file, sizeof d->file, "%s", damage->file);
        snprintf(d->text, sizeof d->text, "%s", damage->text);
    }
    damages.count++;
    return said();
}

static int passed(void *arg, uint64_t bytes)
{
    (void)arg;
    damages.passed += bytes;
    return said();
}

static int done(void *arg, rill_repair_action *action)
{
    (void)arg;
    assert_non_null(action->text);
    if (damages.done_count < DAMAGES_MAX) {
        struct done *d = &damages.done[damages.done_count];
        *d = (struct done){action->kind, action->first,
                           action->end,  action->bytes_lost,
                           "",           action->quarantine != NULL};
        snprintf(d->file, sizeof d->file, "%s", action->file);
    }
    damages.done_count++;
    return said();
}

/* Not in the log's directory, where it would be something left over. */
static const char *aside(void)
{
    static char path[900];
    const char *of = test_path("");

    snprintf(path, sizeof path, "%.*s.aside", (int)strlen(of) - 1, of);
    return path;
}

static int set_aside(void *arg, const char *name, const char **where)
{
    static unsigned turn;
    static char as[120];
    struct file dir = test_log_directory();
    struct file to = FILE_NONE;
    int rc;

    (void)arg;
    mkdir(aside(), 0700);
    to.fd = open(aside(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(to.fd >= 0);
    snprintf(as, sizeof as, "%u-%s", ++turn, name);
    rc = rill__file_link(&dir, name, &to, as);
    if (rc == RILL_ERR_UNSUPPORTED) /* a directory */
        rc = renameat(dir.fd, name, to.fd, as) == 0 ? 0 : RILL_ERR_IO;
    if (rc == 0) *where = as;
    rill__file_close(&dir);
    rill__file_close(&to);
    return rc;
}

static struct log_check begin(const struct test_log *t, struct heap *heap, const struct file *dir)
{
    const rill_allocator hooks = {hook_alloc, hook_resize, hook_release, NULL};
    struct log_check check = {.heap = heap,
                              .dir = dir,
                              .partition = t->config.partition,
                              .alone = !damages_how.together,
                              .found = found,
                              .passed = passed};

    damages_allocations = 0;
    memset(&damages, 0, sizeof damages);
    rill__heap_init(heap, &hooks, 0);
    memcpy(check.topic_id, t->config.topic_id, 16);
    memcpy(check.boot_id, t->config.boot_id, 16);
    return check;
}

int damages_check(struct test_log *t)
{
    struct heap heap;
    struct file dir = test_log_directory();
    struct log_check check = begin(t, &heap, &dir);
    int rc = rill__log_check(&check, &damages.census);

    rill__file_close(&dir);
    assert_int_equal(atomic_load(&heap.bytes), 0);
    return rc;
}

int damages_repair(struct test_log *t)
{
    struct heap heap;
    struct file dir = test_log_directory();
    struct log_salvage salvage = {.check = begin(t, &heap, &dir),
                                  .segment_bytes = t->config.segment_bytes,
                                  .index_interval_bytes = t->config.index_interval_bytes,
                                  .dry_run = damages_how.dry_run,
                                  .set_aside = set_aside,
                                  .done = done};
    int rc = rill__log_salvage(&salvage, &damages.census);

    rill__file_close(&dir);
    assert_int_equal(atomic_load(&heap.bytes), 0);
    return rc;
}

const char *damages_say(void)
{
    static char text[8000];
    size_t size = 0;

    text[0] = '\0';
    for (int i = 0; i < damages.count && i < DAMAGES_MAX && size < 7000; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "\n  %d/%d %s: %s",
                                 damages.list[i].kind, damages.list[i].severity,
                                 damages.list[i].file, damages.list[i].text);
    return text;
}

const struct damage *damages_find(int32_t kind)
{
    for (int i = 0; i < damages.count && i < DAMAGES_MAX; i++)
        if (damages.list[i].kind == kind) return &damages.list[i];
    fail_msg("nothing of kind %d:%s", kind, damages_say());
    return NULL;
}

/* ---- The files, kept ---- */

static struct saved_file {
    char name[256];
    uint8_t *data;
    size_t size;
} saved_files[64];
static int saved_count;

static void forget_files(void)
{
    while (saved_count > 0) free(saved_files[--saved_count].data);
}

void damages_keep(void)
{
    DIR *stream = opendir(test_path(""));
    struct dirent *entry;

    forget_files();
    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        struct saved_file *f = &saved_files[saved_count];
        if (entry->d_name[0] == '.') continue;
        assert_in_range(saved_count, 0, 63);
        snprintf(f->name, sizeof f->name, "%s", entry->d_name);
        f->data = test_read_file(test_path(f->name), &f->size);
        saved_count++;
    }
    closedir(stream);
}

static void remove_files(void)
{
    DIR *stream = opendir(test_path(""));
    struct dirent *entry;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (unlink(test_path(entry->d_name)) != 0) test_remove(test_path(entry->d_name));
    }
    closedir(stream);
}

void damages_restore(void)
{
    remove_files();
    for (int i = 0; i < saved_count; i++) {
        FILE *f = fopen(test_path(saved_files[i].name), "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(saved_files[i].data, 1, saved_files[i].size, f),
                         saved_files[i].size);
        fclose(f);
    }
}

void damages_forget(void)
{
    struct stat st;

    forget_files();
    if (stat(aside(), &st) == 0) test_remove(aside());
    memset(&damages_how, 0, sizeof damages_how);
}
