/*
 * engine/members.c - slots of group members, see engine/members.h.
 */
#include "engine/members.h"
#include <stdio.h>
#include <string.h>

#define MEMBERS_BYTE 2 /* of `shared`: locked while the file is mapped or a slot taken */

static_assert(sizeof(struct member_slot) == 128, "slots do not share cache lines");

static int map_members(struct store *store, struct members **out)
{
    struct file file = FILE_NONE;
    struct members *m;
    uint64_t size = 0;
    int rc = rill__file_open(&store->dir, "members", FILE_WRITE | FILE_CREATE, &file);

    if (rc == 0) rc = rill__file_size(&file, &size);
    if (rc == 0 && size < sizeof *m) rc = rill__file_allocate(&file, sizeof *m);
    if (rc == 0) rc = rill__map(&file, sizeof *m, true, &store->members_map);
    rill__file_close(&file);
    if (rc != 0) return rc;
    m = (struct members *)(void *)store->members_map.data;
    if (atomic_load(&m->incarnation) != store->incarnation || m->magic != MEMBERS_MAGIC ||
        m->abi != rill__shared_abi()) {
        memset(m, 0, sizeof *m);
        m->magic = MEMBERS_MAGIC;
        m->abi = rill__shared_abi();
        atomic_store(&m->incarnation, store->incarnation);
    }
    *out = m;
    return 0;
}

int rill__members_open(struct store *store)
{
    struct members *m;
    int rc = 0;

    if (atomic_load_explicit(&store->members, memory_order_acquire) != NULL) return 0;
    rill__mutex_lock(&store->lock);
    if (atomic_load(&store->members) == NULL) {
        rc = rill__file_lock(&store->shared_file, MEMBERS_BYTE, FILE_LOCK_EXCLUSIVE,
                             (int)store->options.open_timeout_ms);
        if (rc == 0) {
            rc = map_members(store, &m);
            if (rc == 0) atomic_store_explicit(&store->members, m, memory_order_release);
            rill__file_lock(&store->shared_file, MEMBERS_BYTE, FILE_LOCK_NONE, 0);
        }
    }
    rill__mutex_unlock(&store->lock);
    return rc;
}

/* A free slot, else one whose process is gone; under both locks. */
static struct member_slot *find_slot(struct store *store)
{
    struct members *m = atomic_load(&store->members);

    for (size_t i = 0; i < MEMBERS_MAX; i++)
        if (atomic_load(&m->slots[i].member) == 0) return &m->slots[i];
    for (size_t i = 0; i < MEMBERS_MAX; i++)
        if (rill__process_is_gone(store, atomic_load(&m->slots[i].process),
                                  atomic_load(&m->slots[i].ticket)))
            return &m->slots[i];
    return NULL;
}

static void fill_slot(struct store *store, struct member_slot *slot, const char *client_id,
                      uint64_t id)
{
    atomic_store(&slot->process, (uint32_t)store->process_slot);
    atomic_store(&slot->ticket, store->process_ticket);
    atomic_store(&slot->member, id);
    atomic_store(&slot->news, 0);
    atomic_store(&slot->wake_mask, 0);
    atomic_store(&slot->polled_ms, rill__monotonic_ns() / 1000000);
    atomic_store(&slot->assigned, 0);
    atomic_store(&slot->records, 0);
    snprintf(slot->client_id, sizeof slot->client_id, "%s", client_id);
    rill__member_does(slot, DOING_NOTHING);
}

int rill__member_claim(struct store *store, const char *client_id, struct member_slot **out,
                       uint64_t *id)
{
    struct member_slot *slot = NULL;
    uint64_t chance;
    int rc = rill__random(&chance, sizeof chance);

    if (rc != 0) return rc;
    rill__mutex_lock(&store->lock);
    rc = rill__file_lock(&store->shared_file, MEMBERS_BYTE, FILE_LOCK_EXCLUSIVE,
                         (int)store->options.open_timeout_ms);
    if (rc == 0) {
        slot = find_slot(store);
        if (slot == NULL)
            rc = rill__fail(RILL_ERR_BUSY, "%s: its groups have %d members already", store->path,
                            MEMBERS_MAX);
    }
    if (rc == 0) {
        uint64_t at = (uint64_t)(slot - atomic_load(&store->members)->slots);
        *id = (chance << 16 & INT64_MAX) | UINT64_C(1) << 16 | at; /* not 0 */
        *out = slot;
        fill_slot(store, slot, client_id, *id);
    }
    rill__file_lock(&store->shared_file, MEMBERS_BYTE, FILE_LOCK_NONE, 0);
    rill__mutex_unlock(&store->lock);
    return rc;
}

void rill__member_release(struct member_slot *slot, uint64_t id)
{
    atomic_compare_exchange_strong(&slot->member, &id, 0);
}

struct member_slot *rill__member_slot(struct store *store, uint64_t id)
{
    struct members *m = atomic_load_explicit(&store->members, memory_order_acquire);
    struct member_slot *slot;

    if (m == NULL) return NULL;
    slot = &m->slots[(id & 0xffff) % MEMBERS_MAX];
    return atomic_load(&slot->member) == id ? slot : NULL;
}

bool rill__member_is_gone(struct store *store, const struct member_slot *slot)
{
    return rill__process_is_gone(store, atomic_load(&slot->process), atomic_load(&slot->ticket));
}

void rill__member_tell(struct store *store, uint64_t id)
{
    struct member_slot *slot = rill__member_slot(store, id);
    uint64_t mask;

    if (slot == NULL) return;
    atomic_fetch_add_explicit(&slot->news, 1, memory_order_release);
    mask = atomic_load(&slot->wake_mask);
    for (uint32_t i = 0; i < WAKE_SLOTS; i++) {
        if ((mask >> i & 1) == 0) continue;
        atomic_fetch_add(&store->shared->wake_slots[i].sequence, 1);
        rill__futex_wake_all(&store->shared->wake_slots[i].sequence);
    }
}

void rill__member_does(struct member_slot *slot, enum member_doing doing)
{
    atomic_store_explicit(&slot->doing_ms, rill__monotonic_ns() / 1000000, memory_order_relaxed);
    atomic_store_explicit(&slot->doing, doing, memory_order_relaxed);
}

void rill__member_handed(struct member_slot *slot, size_t partitions, size_t records)
{
    atomic_store_explicit(&slot->assigned, (uint32_t)partitions, memory_order_relaxed);
    if (records != 0) atomic_fetch_add_explicit(&slot->records, records, memory_order_relaxed);
    rill__member_does(slot, DOING_NOTHING);
}
