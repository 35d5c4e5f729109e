/*
 * engine/groups.c - commits for a group, and groups seen and changed from outside.
 *
 * A commit is in the same kind of transaction as a step, so that it sees whether
 * the partition is still the member's. Who only looks has a coordinator of his
 * own for the call: it leaves nothing behind that maintenance would have to tend.
 */
#include "engine/coordinator.h"
#include "engine/members.h"
#include <stdlib.h>
#include <string.h>

/* ---- Commits ---------------------------------------------------------- */

static int fence(const struct coordinator *c, const struct meta_offset *offset)
{
    return rill__fail(RILL_ERR_FENCED,
                      "group %s: partition %d is not this member's in generation %d; nothing was "
                      "committed",
                      c->name, (int)offset->partition, (int)rill__group_generation(c->group));
}

int rill__coordinator_commit_in(void *arg, const struct meta_group *record,
                                struct meta_group_change *change)
{
    const struct commit_in *commit = arg;
    struct coordinator *c = commit->own;
    int rc = rill__coordinator_load(c, record);

    if (rc != 0) return rc;
    if (commit->member == 0 && rill__group_member_count(c->group) > 0)
        return rill__fail(RILL_ERR_FENCED,
                          "group %s has %zu members; only they may commit for it", c->name,
                          rill__group_member_count(c->group));
    for (size_t i = 0; commit->member != 0 && i < commit->count; i++) {
        uint64_t topic = rill__topic_number(commit->offsets[i].topic_id);
        if (!rill__group_owns(c->group, commit->member, topic, commit->offsets[i].partition,
                              commit->since[i]))
            return fence(c, &commit->offsets[i]);
    }
    change->offsets = commit->offsets;
    change->offset_count = commit->count;
    return 0;
}

int rill__coordinator_commit(struct coordinator *c, uint64_t member,
                             const struct meta_offset *offsets, const int32_t *since,
                             size_t count, int timeout_ms)
{
    struct commit_in commit = {c, member, offsets, since, count};
    int rc = rill__coordinator_lock(c, timeout_ms);

    if (rc != 0) return rc;
    if (member == 0) rc = rill__coordinator_look(c); /* the dead are no members */
    if (rc == 0)
        rc = rill__meta_group_step(c->store->meta, c->name, timeout_ms,
                                   rill__coordinator_commit_in, &commit);
    rill__mutex_unlock(&c->lock);
    if (rc == 0) rill__count(&c->store->counters->commits, 1);
    return rc;
}

/* ---- From outside ----------------------------------------------------- */

struct acting {
    struct coordinator *c;
    coordinator_act act;
    void *arg;
};

static int run_act(void *arg, const struct meta_group *record, struct meta_group_change *change)
{
    const struct acting *a = arg;
    int rc = rill__coordinator_load(a->c, record);

    return rc == 0 ? a->act(a->arg, a->c->group, record, change) : rc;
}

static int run_dry_act(void *arg, const struct meta_group *record)
{
    struct meta_group_change change = {0};
    return run_act(arg, record, &change);
}

/* The coordinator is this call's own: who has no members here needs none that
 * looks at its clock from now on. */
int rill__coordinator_act(struct store *store, const char *name, bool dry, int timeout_ms,
                          coordinator_act act, void *arg)
{
    struct coordinator c = {.store = store};
    struct acting a = {&c, act, arg};
    int rc;

    memcpy(c.name, name, strlen(name) + 1);
    rc = rill__coordinator_look(&c);
    if (rc == 0 && dry) {
        rc = rill__meta_group_look(store->meta, name, run_dry_act, &a);
        if (rc == RILL_ERR_NOT_FOUND) rc = run_dry_act(&a, NULL);
    } else if (rc == 0) {
        rc = rill__meta_group_step(store->meta, name, timeout_ms, run_act, &a);
    }
    rill__coordinator_forget(&c);
    return rc;
}

/* ---- Administration --------------------------------------------------- */

/* As above, with coordinators of their own. */

int rill__group_describe(struct store *store, const char *name, rill_group_info *info)
{
    static const enum rill_group_state states[] = {
        [GROUP_EMPTY] = RILL_GROUP_EMPTY,
        [GROUP_PLANNING] = RILL_GROUP_PLANNING,
        [GROUP_MOVING] = RILL_GROUP_MOVING,
        [GROUP_STABLE] = RILL_GROUP_STABLE,
    };
    struct coordinator c = {.store = store};
    int32_t generation;
    int rc = rill__check_name("group", name);

    if (rc == 0) rc = rill__meta_group_get(store->meta, name, &generation);
    if (rc != 0) return rc;
    memcpy(c.name, name, strlen(name) + 1);
    rc = rill__coordinator_look(&c);
    if (rc == 0) {
        memset(info, 0, sizeof *info);
        memcpy(info->name, name, strlen(name) + 1);
        info->generation = rill__group_generation(c.group);
        info->member_count = (uint32_t)rill__group_member_count(c.group);
        info->state = states[rill__group_state(c.group)];
        info->assignor = rill__group_assignor(c.group);
    }
    rill__coordinator_forget(&c);
    return rc;
}

int rill__group_list(struct store *store, int (*visit)(void *arg, const rill_group_info *info),
                     void *arg)
{
    char name[RILL_TOPIC_NAME_MAX + 1] = "";
    rill_group_info info;
    int32_t generation;
    int rc;

    while ((rc = rill__meta_group_after(store->meta, name, name, sizeof name, &generation)) ==
           0) {
        rc = rill__group_describe(store, name, &info);
        if (rc == RILL_ERR_NOT_FOUND) continue; /* deleted meanwhile */
        if (rc == 0) rc = visit(arg, &info);
        if (rc != 0) return rc;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

struct member_walk {
    uint64_t id;
    rill_position *assigned;
    size_t count;
};

static int collect_assigned(void *arg, const struct group_place *place)
{
    struct member_walk *walk = arg;

    if (place->owner != walk->id) return 0;
    walk->assigned[walk->count++] = (rill_position){.topic = place->name,
                                                    .partition = place->partition,
                                                    .leader_epoch = -1,
                                                    .offset = RILL_OFFSET_NONE};
    return 0;
}

static int compare_positions(const void *a, const void *b)
{
    const rill_position *x = a;
    const rill_position *y = b;
    int order = strcmp(x->topic, y->topic);

    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static int visit_member(struct store *store, const struct group *group, uint64_t id,
                        int (*visit)(void *arg, const rill_group_member *member), void *arg)
{
    struct member_slot *slot = rill__member_slot(store, id);
    struct member_walk walk = {.id = id};
    struct group_member member;
    rill_group_member out;
    bool stopped;
    int rc;

    if (!rill__group_member_find(group, id, &member)) return 0;
    walk.assigned = rill__alloc(&store->heap, member.owned * sizeof *walk.assigned);
    if (walk.assigned == NULL) return RILL_ERR_NO_MEMORY;
    rill__group_places(group, collect_assigned, &walk);
    if (walk.count > 1)
        qsort(walk.assigned, walk.count, sizeof *walk.assigned, compare_positions);
    out = (rill_group_member){.member_id = member.name,
                              .group_instance_id = member.instance,
                              .subscription = member.subscription,
                              .away = member.away,
                              .polled_ms = -1,
                              .assigned = walk.assigned,
                              .assigned_count = walk.count};
    if (slot != NULL && !member.away) {
        out.pid = rill__process_in_slot(store, atomic_load(&slot->process), &stopped);
        out.polled_ms = rill__monotonic_ns() / 1000000 -
                        atomic_load_explicit(&slot->polled_ms, memory_order_relaxed);
    }
    rc = visit(arg, &out);
    rill__free(&store->heap, walk.assigned);
    return rc;
}

int rill__group_members(struct store *store, const char *name,
                        int (*visit)(void *arg, const rill_group_member *member), void *arg)
{
    struct group_plan_input *in = NULL; /* has them in order */
    struct group *group = NULL;
    int rc = rill__check_name("group", name);

    if (rc == 0) rc = rill__members_open(store);
    if (rc == 0) rc = rill__group_copy(store, name, &group);
    if (rc == 0) rc = rill__group_plan_input(group, &in);
    for (size_t i = 0; rc == 0 && i < in->member_count; i++)
        rc = visit_member(store, group, in->members[i].id, visit, arg);
    rill__free(&store->heap, in);
    rill__group_free(group);
    return rc;
}

/* Inside of the transaction that deletes it. */
static int refuse_members(void *arg, const struct meta_group *record)
{
    struct coordinator *c = arg;
    int rc = rill__coordinator_load(c, record);

    if (rc != 0 || rill__group_member_count(c->group) == 0) return rc;
    return rill__fail(RILL_ERR_STATE, "group %s has %zu members", c->name,
                      rill__group_member_count(c->group));
}

int rill__group_delete(struct store *store, const char *name)
{
    struct coordinator c = {.store = store};
    int32_t generation;
    int rc = rill__check_name("group", name);

    if (rc == 0) rc = rill__meta_group_get(store->meta, name, &generation);
    if (rc != 0) return rc;
    memcpy(c.name, name, strlen(name) + 1);
    rc = rill__coordinator_look(&c); /* the dead are no members */
    if (rc == 0) rc = rill__meta_group_delete(store->meta, name, refuse_members, &c);
    rill__coordinator_forget(&c);
    return rc;
}
