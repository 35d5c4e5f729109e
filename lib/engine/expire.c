/*
 * engine/expire.c - groups that nobody uses any more are deleted, with all that
 * they have committed, when offsets_retention_ms have passed.
 *
 * Maintenance looks at all groups every ten minutes, more often if the retention
 * is that short. For how long a group was idle is found by meta/idle.c, from what
 * earlier looks, of any process, have kept in the catalogue. What is found is only
 * read; a group that is to be deleted, or whose note is old, gets a transaction of
 * its own, which looks again. So a look is short, and costs a sync for each group
 * that was used since the last one.
 */
#include "engine/clients.h"
#include <stdio.h>
#include <string.h>

#define LOOK_EVERY_MS 600000
#define STEP_MS 500 /* then it is for the next look */

struct expiry {
    const char *group;
    struct meta_moment now;
    int64_t retention_ms;
    struct meta_idle idle;
    bool due; /* something is to be written */
    bool expired;
};

/* In a transaction, perhaps one that only reads. */
static int judge(void *arg, const struct group *group, const struct meta_group *record,
                 struct meta_group_change *change)
{
    struct expiry *e = arg;
    bool noted;
    int rc;

    e->due = e->expired = false;
    if (record == NULL || rill__group_member_count(group) > 0) return 0;
    rc = rill__meta_group_idle(record, &e->now, e->retention_ms / 32 + 1, &e->idle, &noted);
    if (rc != 0) return rc;
    e->expired = e->idle.idle_ms >= e->retention_ms;
    e->due = e->expired || !noted;
    change->forget = e->expired;
    change->idle = e->due ? &e->idle : NULL;
    return 0;
}

static void say_expired(struct store *store, const struct expiry *e)
{
    char line[RILL_TOPIC_NAME_MAX + 150];

    snprintf(line, sizeof line,
             "group %s: no member and no commit for %lld s: it is deleted with its offsets",
             e->group, (long long)(e->idle.idle_ms / 1000));
    rill__store_say(store, RILL_LOG_INFO, line);
}

static int look_at_group(struct store *store, struct expiry *e)
{
    int rc;

    memcpy(e->now.boot_id, store->boot_id, 16);
    e->now.monotonic_ms = rill__monotonic_ns() / 1000000;
    e->now.wall_ms = rill__now_ms();
    rc = rill__coordinator_act(store, e->group, true, STEP_MS, judge, e);
    if (rc == 0 && e->due) rc = rill__coordinator_act(store, e->group, false, STEP_MS, judge, e);
    if (rc == 0 && e->expired) say_expired(store, e);
    return rc == RILL_ERR_TIMEOUT ? 0 : rc;
}

static int look_at_groups(struct store *store)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    struct saved_message why;
    int32_t generation;
    int first = 0;
    int rc;

    while ((rc = rill__meta_group_after(store->meta, name, name, sizeof name, &generation)) ==
           0) {
        struct expiry e = {.group = name,
                           .retention_ms = (int64_t)store->options.offsets_retention_ms};
        rc = look_at_group(store, &e);
        if (rc == 0 || first != 0) continue;
        first = rc; /* the others are looked at all the same */
        rill__message_save(&why);
    }
    if (first != 0) rill__message_restore(&why);
    if (first == 0 && rc != RILL_ERR_NOT_FOUND) first = rc;
    return first;
}

int rill__groups_expire(struct store *store, uint32_t *next_ms)
{
    uint64_t retention_ms = store->options.offsets_retention_ms;
    int64_t every = retention_ms / 4 < LOOK_EVERY_MS ? (int64_t)retention_ms / 4 : LOOK_EVERY_MS;
    int64_t now_ms = rill__monotonic_ns() / 1000000;
    int64_t due = atomic_load(&store->expire_ms);
    int rc = 0;

    if (retention_ms > INT64_MAX) return 0; /* for ever */
    if (every < 1) every = 1;
    if (now_ms >= due) { /* of several threads one looks */
        if (atomic_compare_exchange_strong(&store->expire_ms, &due, now_ms + every))
            rc = look_at_groups(store);
        due = now_ms + every;
    }
    if (due - now_ms < *next_ms) *next_ms = (uint32_t)(due - now_ms);
    return rc;
}
