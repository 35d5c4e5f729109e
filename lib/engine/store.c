/*
 * engine/store.c - opening and closing a store.
 *
 *     STORE     what the directory is, see engine/store_file.c
 *     shared    words of the processes that are in it, see engine/store.h
 *     members   words of the members of groups, see engine/members.h
 *     meta/     the catalogue
 *     <32 hex digits>/   topics
 *
 * Who holds byte 0 of `shared` exclusively is alone: it writes the shared words
 * anew, with a new incarnation, sweeps, and then shares the lock. Everyone in
 * the store holds it shared; the kernel lets go for whoever dies.
 *
 * One process opens a store once (LMDB's and our file locks need that); the
 * registry finds it by device and inode.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "engine/site.h"
#include "engine/store.h"
#include <inttypes.h>
#include <stdio.h>

#define PRESENCE_BYTE 0
#define FORGOTTEN_NS INT64_C(60000000000) /* a failure after so long is another one */
#define READERS_SIZE (48u << 10)          /* more than LMDB's table of readers needs */

static struct mutex registry_lock = {PTHREAD_MUTEX_INITIALIZER}; /* guards registry */
static struct store *registry;

int rill__handle_check(const rill *handle)
{
    if (handle->fork_generation == rill__fork_generation()) return 0;
    return rill__fail(RILL_ERR_FORKED,
                      "this store was opened before fork(); open it again in the child");
}

void rill__store_say(void *arg, int level, const char *line)
{
    struct store *store = arg;
    if (store->options.log != NULL) store->options.log(store->options.log_arg, level, line);
}

/* ---- What is in the directory ------------------------------------------ */

/* What a creation that did not finish may have left, and nothing else. */
static int refuse_foreign(void *arg, const char *name)
{
    static const char *const ours[] = {"STORE.tmp", "shared", "meta", "members"};
    struct store *store = arg;

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i]) == 0) return 0;
    return rill__fail(RILL_ERR_INVALID,
                      "%s is not empty (it has %s) and no rill store; choose another directory",
                      store->path, name);
}

static int sync_parent(const struct store *store)
{
    struct file parent = FILE_NONE;
    int rc = rill__dir_open_parent(store->path, &parent);

    if (rc == 0) rc = rill__dir_sync(&parent);
    rill__file_close(&parent);
    return rc;
}

/* ---- Presence --------------------------------------------------------- */

static int write_shared(struct store *store)
{
    struct shared *s = store->shared;
    uint64_t incarnation = 0;
    int rc = 0;

    while (incarnation == 0 && rc == 0) rc = rill__random(&incarnation, sizeof incarnation);
    if (rc != 0) return rc;
    memset(s, 0, sizeof *s);
    s->magic = SHARED_MAGIC;
    rc = rill__shared_mutex_init(&s->catalogue_turns.lock);
    if (rc != 0) return rc;
    s->abi = rill__shared_abi();
    atomic_store(&s->catalogue_version, 1);
    atomic_store_explicit(&s->incarnation, incarnation, memory_order_release);
    return 0;
}

/* Through a descriptor of its own: a map keeps the open file alive, and with it
 * its locks, also in a forked child. */
static int map_shared(struct store *store)
{
    struct file file = FILE_NONE;
    uint64_t size = 0;
    int rc = rill__file_open(&store->dir, "shared", FILE_WRITE, &file);

    if (rc == 0) rc = rill__file_size(&file, &size);
    if (rc == 0 && size < SHARED_SIZE) rc = rill__file_allocate(&file, SHARED_SIZE);
    if (rc == 0) rc = rill__map(&file, SHARED_SIZE, true, &store->shared_map);
    if (rc == 0) store->shared = (struct shared *)(void *)store->shared_map.data;
    rill__file_close(&file);
    return rc;
}

/* LMDB maps its table of readers, and does not ask for the disk's blocks: when
 * the disk is full, the first reader in a page would end by a signal. Alone
 * only: closing the file would free the locks of an LMDB that has it open. */
int rill__catalogue_prepare(const struct file *store_dir, bool create, bool copy_on_write)
{
    struct file dir = FILE_NONE;
    struct file table = FILE_NONE;
    uint64_t size = 0;
    int rc = create ? rill__dir_make_at(store_dir, "meta") : 0;

    if (rc == 0) rc = rill__dir_open_at(store_dir, "meta", &dir);
    if (rc == 0 && create && copy_on_write) rc = rill__dir_set_nocow(&dir);
    if (rc == 0) rc = rill__file_open(&dir, "lock.mdb", FILE_WRITE | FILE_CREATE, &table);
    if (rc == 0) rc = rill__file_size(&table, &size);
    if (rc == 0 && size < READERS_SIZE) rc = rill__file_allocate(&table, READERS_SIZE);
    rill__file_close(&table);
    rill__file_close(&dir);
    return rc;
}

static int open_catalogue(struct store *store, bool create)
{
    struct file dir = FILE_NONE;
    char path[600];
    int rc;

    snprintf(path, sizeof path, "%s/meta", store->path);
    rc = rill__meta_open(&store->heap, path, create, &store->meta);
    if (rc != 0 || !create) return rc;
    rc = rill__dir_open_at(&store->dir, "meta", &dir); /* LMDB does not sync it */
    if (rc == 0) rc = rill__dir_sync(&dir);
    rill__file_close(&dir);
    return rc == 0 ? rill__dir_sync(&store->dir) : rc; /* before STORE says that it is there */
}

static int remove_in(void *arg, const char *name)
{
    return rill__file_remove(arg, name);
}

/* A creation that did not finish may have left half a catalogue. */
static int remove_half_made(struct store *store)
{
    struct file dir = FILE_NONE;
    int rc = rill__dir_list(&store->dir, refuse_foreign, store);

    if (rc == 0) rc = rill__dir_open_at(&store->dir, "meta", &dir);
    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc == 0) rc = rill__dir_list(&dir, remove_in, &dir);
    rill__file_close(&dir);
    return rc;
}

/* *rotten: records of it do not verify. */
static int verify_catalogue(struct store *store, bool *rotten)
{
    char path[600];
    char line[800];
    size_t count = 0;
    int rc;

    snprintf(path, sizeof path, "%s/meta", store->path);
    rc = rill__meta_verify(&store->heap, path, &count);
    *rotten = count > 0;
    if (count == 0) return rc;
    snprintf(
        line, sizeof line,
        "%s: %zu records of the catalogue are damaged; directories that it does not list are "
        "kept",
        path, count);
    rill__store_say(store, RILL_LOG_ERROR, line);
    return rc;
}

/* Alone in the store: make it if need be, and the shared words. */
static int enter_alone(struct store *store, bool exists)
{
    bool rotten = false;
    int rc = exists ? verify_catalogue(store, &rotten) : remove_half_made(store);

    if (rc == 0) rc = map_shared(store);
    if (rc == 0) atomic_store(&store->shared->incarnation, 0);
    if (rc == 0)
        rc = rill__catalogue_prepare(&store->dir, !exists, store->file_system.copy_on_write);
    if (rc == 0) rc = open_catalogue(store, !exists);
    if (rc == 0 && !exists) rc = rill__store_file_write(&store->dir);
    if (rc == 0 && !exists) rc = sync_parent(store);
    if (rc == 0 && !rotten) rc = rill__directories_sweep(store);
    if (rc == 0) rc = write_shared(store);
    return rc;
}

static int enter_store(struct store *store, bool exists)
{
    int64_t deadline = rill__deadline((int)store->options.open_timeout_ms);
    int rc;

    for (;;) {
        rc = rill__file_lock(&store->shared_file, PRESENCE_BYTE, FILE_LOCK_EXCLUSIVE, 0);
        if (rc == 0) {
            rc = enter_alone(store, exists);
            if (rc == 0)
                rc = rill__file_lock(&store->shared_file, PRESENCE_BYTE, FILE_LOCK_SHARED, 0);
            return rc;
        }
        if (rc != RILL_ERR_BUSY) return rc;
        rc = rill__file_lock(&store->shared_file, PRESENCE_BYTE, FILE_LOCK_SHARED,
                             rill__time_left_ms(deadline));
        if (rc != 0) return rc;
        rc = map_shared(store);
        if (rc != 0) return rc;
        if (atomic_load_explicit(&store->shared->incarnation, memory_order_acquire) != 0) break;
        /* Whoever was first died before it was done. */
        rill__unmap(&store->shared_map);
        rill__file_lock(&store->shared_file, PRESENCE_BYTE, FILE_LOCK_NONE, 0);
        if (rill__monotonic_ns() >= deadline)
            return rill__fail(RILL_ERR_TIMEOUT, "%s: no process finishes opening it",
                              store->path);
    }
    if (store->shared->magic != SHARED_MAGIC)
        return rill__fail(RILL_ERR_UNSUPPORTED,
                          "%s is in use by a program with another version of the library, which "
                          "shares other words (%#" PRIx64 ", this one %#" PRIx64 ")",
                          store->path, store->shared->magic, SHARED_MAGIC);
    if (store->shared->abi != rill__shared_abi())
        return rill__fail(RILL_ERR_UNSUPPORTED,
                          "%s is in use by a program built for another machine or C library (ABI "
                          "%#" PRIx64 ", this one is %#" PRIx64 ")",
                          store->path, store->shared->abi, rill__shared_abi());
    return open_catalogue(store, false);
}

/* ---- Open and close --------------------------------------------------- */

static void store_free(struct store *store)
{
    struct heap heap;

    rill__topics_close(store);
    rill__meta_close(store->meta);
    rill__presence_release(store);
    rill__unmap(&store->members_map);
    rill__unmap(&store->shared_map);
    if (store->shared_file.fd >= 0) rill__fork_forget(store->shared_file.fd);
    rill__file_close(&store->shared_file); /* frees the presence lock */
    rill__file_close(&store->dir);
    rill__mutex_deinit(&store->lock);
    rill__mutex_deinit(&store->clients_lock);
    rill__mutex_deinit(&store->ids_lock);
    rill__mutex_deinit(&store->seen_lock);
    rill__mutex_deinit(&store->names_lock);
    rill__mutex_deinit(&store->directories_lock);
    rill__mutex_deinit(&store->clean_lock);
    rill__mutex_deinit(&store->maintain_lock);
    heap = store->heap; /* the store is in its own heap */
    rill__free(&heap, store);
}

static void *run_maintenance(void *arg)
{
    struct store *store = arg;
    int64_t met_ns = INT64_MIN / 2; /* when it failed last, */
    int before = 0;                 /* and with what */

    while (!atomic_load(&store->thread_stop)) {
        uint32_t sequence = atomic_load(&store->thread_word);
        uint32_t next_ms = 1000;
        int64_t deadline;
        int rc;

        atomic_store(&store->thread_wakes_ns, INT64_MAX); /* who has work now says so */
        rc = rill__store_maintain(store, &next_ms);
        /* Nobody sees what this thread returns; what goes on failing is said once, also
         * if not every round meets it. */
        if (rc != 0 && (rc != before || rill__monotonic_ns() - met_ns > FORGOTTEN_NS))
            rill__store_say(store, RILL_LOG_ERROR, rill__message());
        if (rc != 0) {
            before = rc;
            met_ns = rill__monotonic_ns();
        }
        deadline = rill__deadline((int)next_ms);
        atomic_store(&store->thread_wakes_ns, deadline);
        rill__futex_wait(&store->thread_word, sequence, deadline);
    }
    return NULL;
}

static void wake_thread(struct store *store)
{
    atomic_fetch_add(&store->thread_word, 1);
    rill__futex_wake_all(&store->thread_word);
}

void rill__store_due(struct store *store, int64_t at_ns)
{
    if (store->thread.running && at_ns < atomic_load(&store->thread_wakes_ns)) wake_thread(store);
}

static int store_new(const char *path, const rill_options *options, struct store **out)
{
    struct heap heap;
    struct store *store;

    if (strlen(path) >= sizeof store->path)
        return rill__fail(RILL_ERR_INVALID, "a path of %zu bytes; at most %zu", strlen(path),
                          sizeof store->path - 1);
    rill__heap_init(&heap, &options->allocator, options->memory_max_bytes);
    store = rill__alloc(&heap, sizeof *store);
    if (store == NULL) return RILL_ERR_NO_MEMORY;
    rill__heap_init(&store->heap, &options->allocator, options->memory_max_bytes);
    atomic_store(&store->heap.bytes, atomic_load(&heap.bytes));
    store->options = *options;
    memcpy(store->path, path, strlen(path) + 1);
    store->dir = FILE_NONE;
    store->shared_file = FILE_NONE;
    store->process_slot = -1;
    rill__mutex_init(&store->lock);
    rill__mutex_init(&store->clients_lock);
    rill__mutex_init(&store->ids_lock);
    rill__mutex_init(&store->seen_lock);
    rill__mutex_init(&store->names_lock);
    rill__mutex_init(&store->directories_lock);
    rill__mutex_init(&store->clean_lock);
    atomic_init(&store->clock_tried_ms, INT64_MIN / 2);
    rill__mutex_init(&store->maintain_lock);
    *out = store;
    return 0;
}

static int open_new(const char *path, const rill_options *options, struct store **out)
{
    struct store *store = NULL;
    bool create = (options->flags & RILL_OPEN_CREATE) != 0;
    bool exists;
    int rc = store_new(path, options, &store);

    if (rc != 0) return rc;
    rc = rill__dir_open(path, &store->dir);
    if (rc == 0) rc = rill__boot_id(store->boot_id);
    if (rc == 0) rc = rill__file_system_of(&store->dir, &store->file_system);
    if (rc != 0) goto out;
    if (store->file_system.network && (options->flags & RILL_OPEN_ANY_FILE_SYSTEM) == 0) {
        rc = rill__fail(RILL_ERR_UNSUPPORTED,
                        "%s is on %s, where shared maps and locks between machines cannot be "
                        "trusted; RILL_OPEN_ANY_FILE_SYSTEM opens it all the same",
                        path, store->file_system.name);
        goto out;
    }
    rc = rill__site_check(&store->dir);
    if (rc == 0) rc = rill__file_exists(&store->dir, "STORE", &exists);
    if (rc != 0) goto out;
    store->created_ms = rill__now_ms();
    if (exists) rc = rill__store_file_read(&store->dir, store->path, &store->created_ms);
    else if (!create)
        rc = rill__fail(RILL_ERR_NOT_FOUND, "%s is no rill store; RILL_OPEN_CREATE makes one",
                        path);
    else rc = rill__dir_list(&store->dir, refuse_foreign, store);
    if (rc != 0) goto out;
    if (!exists && store->file_system.copy_on_write) rc = rill__dir_set_nocow(&store->dir);
    if (rc == 0)
        rc =
            rill__file_open(&store->dir, "shared", FILE_WRITE | FILE_CREATE, &store->shared_file);
    if (rc == 0) rc = rill__fork_close_on(store->shared_file.fd);
    if (rc == 0) rc = enter_store(store, exists);
    if (rc == 0) rc = rill__presence_claim(store);
    if (rc != 0) goto out;
    rill__meta_take_turns(store->meta, &store->shared->catalogue_turns,
                          (int)store->options.open_timeout_ms);
    rc = rill__meta_settle(store->meta);
    if (rc != 0) goto out;
    store->incarnation = atomic_load(&store->shared->incarnation);
    if ((options->flags & RILL_OPEN_THREAD) != 0)
        rc = rill__thread_start(&store->thread, run_maintenance, store);
    if (rc != 0) goto out;
    *out = store;
    store = NULL;
out:
    if (store != NULL) {
        struct saved_message why;
        rill__message_save(&why);
        store_free(store);
        rill__message_restore(&why);
    }
    return rc;
}

/* What was written is made durable, as far as it goes. */
static int checkpoint_all(struct store *store)
{
    int first = 0;

    for (struct topic *t = NULL; (t = rill__topic_after(store, t)) != NULL;) {
        uint32_t count = atomic_load(&t->gone) ? 0 : rill__topic_partition_count(t);
        for (uint32_t p = 0; p < count; p++) {
            struct log *log = rill__partition_if_open(t, (int32_t)p);
            int rc = log == NULL ? 0 : rill__log_checkpoint(log);
            if (rc == 0 && log != NULL)
                rc = rill__log_checkpoint_producers(log, store->options.producer_id_expiration_ms,
                                                    1);
            if (rc != 0 && rc != RILL_ERR_NOT_FOUND && first == 0) first = rc;
            if (log != NULL) rill__partition_leave(t, (int32_t)p);
        }
    }
    return first;
}

/* The last handle is gone; under the registry lock. */
static int close_store(struct store *store)
{
    struct saved_message why;
    struct store **at;
    int rc;

    for (at = &registry; *at != store; at = &(*at)->next) {}
    *at = store->next;
    atomic_store(&store->thread_stop, true);
    wake_thread(store);
    rill__thread_join(&store->thread);
    rill__bridge_stop(store);
    rc = checkpoint_all(store);
    if (rc != 0) rill__message_save(&why);
    rill__coordinators_close(store);
    store_free(store);
    if (rc != 0) rill__message_restore(&why);
    return rc;
}

/* Under the registry lock. */
static struct store *find_in_registry(uint64_t device, uint64_t inode)
{
    struct store *store;

    for (store = registry; store != NULL; store = store->next)
        if (store->device == device && store->inode == inode &&
            store->fork_generation == rill__fork_generation())
            break;
    return store;
}

int rill__store_open(const char *path, const rill_options *given, rill **out)
{
    rill_options options;
    struct store *store = NULL;
    struct file dir = FILE_NONE;
    uint64_t device = 0;
    uint64_t inode = 0;
    rill *handle = NULL;
    int rc = rill__options_take(OPTIONS_STORE, given, &options);

    if (rc == 0) rc = rill__fork_watch(&registry_lock);
    if (rc == 0) rc = rill__allocator_check(&options.allocator);
    if (rc != 0) return rc;
    if ((options.flags & RILL_OPEN_CREATE) != 0) rc = rill__dir_make(path);
    if (rc == 0) rc = rill__dir_open(path, &dir);
    if (rc == 0) rc = rill__file_identity(&dir, &device, &inode);
    if (rc != 0) goto out;

    rill__mutex_lock(&registry_lock);
    store = find_in_registry(device, inode);
    if (store == NULL) {
        rc = open_new(path, &options, &store);
        if (rc == 0) {
            store->fork_generation = rill__fork_generation();
            store->device = device;
            store->inode = inode;
            store->next = registry;
            registry = store;
        }
    }
    if (rc == 0) {
        handle = rill__alloc(&store->heap, sizeof *handle);
        if (handle != NULL) {
            store->handles++;
        } else {
            if (store->handles == 0) close_store(store);
            rc = rill__fail(RILL_ERR_NO_MEMORY, "no memory for a handle of %s", path);
        }
    }
    rill__mutex_unlock(&registry_lock);
    if (rc == 0) {
        handle->store = store;
        handle->fork_generation = rill__fork_generation();
        *out = handle;
    }
out:
    rill__file_close(&dir);
    return rc;
}

int rill__stores_watch_fork(void)
{
    return rill__fork_watch(&registry_lock);
}

int rill__store_borrow(const struct file *dir, rill **out)
{
    struct store *store;
    uint64_t device;
    uint64_t inode;
    rill *handle = NULL;
    int rc = rill__fork_watch(&registry_lock);

    if (rc == 0) rc = rill__file_identity(dir, &device, &inode);
    if (rc != 0) return rc;
    rill__mutex_lock(&registry_lock);
    store = find_in_registry(device, inode);
    if (store != NULL) {
        handle = rill__alloc(&store->heap, sizeof *handle);
        if (handle == NULL) rc = RILL_ERR_NO_MEMORY;
        else store->handles++;
    }
    if (handle != NULL) {
        handle->store = store;
        handle->fork_generation = rill__fork_generation();
    }
    if (store != NULL || rc != 0) rill__mutex_unlock(&registry_lock);
    if (rc == 0) *out = handle;
    return rc;
}

void rill__stores_release(void)
{
    rill__mutex_unlock(&registry_lock);
}

int rill__store_in_use(const struct file *dir, bool *in_use)
{
    struct file shared = FILE_NONE;
    int rc = rill__file_open(dir, "shared", FILE_READ, &shared);

    *in_use = false;
    if (rc == RILL_ERR_NOT_FOUND) return 0;
    if (rc == 0) rc = rill__file_lock_shared(&shared, PRESENCE_BYTE, in_use);
    rill__file_close(&shared);
    return rc;
}

int rill__store_close(rill *handle)
{
    struct store *store = handle->store;
    int rc = 0;

    if (atomic_load(&handle->children) != 0)
        return rill__fail(RILL_ERR_STATE,
                          "%u producers and consumers of this handle are open; close them first",
                          atomic_load(&handle->children));
    rill__mutex_lock(&registry_lock);
    rill__free(&store->heap, handle);
    if (--store->handles == 0) rc = close_store(store);
    rill__mutex_unlock(&registry_lock);
    return rc;
}
