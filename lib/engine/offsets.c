/*
 * engine/offsets.c - what groups have committed, seen and changed from outside.
 *
 *     reset: name the partitions -> where do they begin and end? -> one step of
 *            the group { has it members? -> what has it committed? -> commit }
 *
 * Logs are opened and searched before the step, which holds the catalogue's lock.
 * That they may grow meanwhile does no harm.
 */
#include "engine/clients.h"
#include "engine/offsets.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOG_OPEN_MS 10000

/* ---- Looking ---------------------------------------------------------- */

typedef int (*committed_visit)(void *arg, struct topic *topic, const struct meta_offset *offset);

/* The place of the topic's first offset among those, which are in order of id. */
static size_t first_of(const struct meta_offset *offsets, size_t count, const uint8_t id[16])
{
    size_t low = 0;

    while (count > 0) {
        size_t half = count / 2;
        if (memcmp(offsets[low + half].topic_id, id, 16) < 0) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

/* By topic name and partition; what was committed at one moment. Topics that are
 * deleted meanwhile are left out. */
static int each_committed(struct store *store, const char *group, committed_visit visit,
                          void *arg)
{
    struct meta_topic info = {.name = ""};
    struct meta_offset *offsets;
    uint64_t version;
    size_t count;
    int rc = rill__check_name("group", group);

    if (rc == 0) rc = rill__meta_offsets_list(store->meta, group, &offsets, &count);
    if (rc != 0) return rc;
    version = rill__catalogue_version(store);
    while ((rc = rill__meta_topic_after(store->meta, info.name, &info)) == 0) {
        size_t i = first_of(offsets, count, info.id);
        struct topic *topic;

        if (i == count || memcmp(offsets[i].topic_id, info.id, 16) != 0) continue;
        rc = rill__topic_of(store, &info, version, &topic);
        if (rc != 0) break;
        for (; rc == 0 && i < count && memcmp(offsets[i].topic_id, info.id, 16) == 0; i++)
            rc = visit(arg, topic, &offsets[i]);
        rill__topic_release(topic);
        if (rc != 0 && rc != RILL_ERR_NOT_FOUND) break;
    }
    rill__free(&store->heap, offsets);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

struct looking {
    struct store *store;
    int (*visit)(void *arg, const rill_group_offset *offset);
    void *arg;
    int answer; /* the visit's, which is not one of ours */
};

static bool is_deleted(const struct topic *topic)
{
    struct saved_message why;
    struct meta_topic now;
    bool deleted;

    rill__message_save(&why);
    deleted =
        rill__meta_topic_get(topic->store->meta, topic->info.name, &now) == RILL_ERR_NOT_FOUND ||
        memcmp(now.id, topic->info.id, 16) != 0;
    rill__message_restore(&why);
    return deleted;
}

/* From where the group goes on to end. */
static int64_t records_between(const rill_group_offset *offset, int64_t end)
{
    int64_t from = offset->offset > offset->log_start ? offset->offset : offset->log_start;

    return end > from ? end - from : 0;
}

static int look_at_offset(void *arg, struct topic *topic, const struct meta_offset *committed)
{
    struct looking *looking = arg;
    rill_group_offset out = {.topic = topic->info.name,
                             .partition = committed->partition,
                             .leader_epoch = committed->leader_epoch,
                             .offset = committed->offset,
                             .committed_ms = committed->committed_ms,
                             .metadata = committed->metadata};
    struct log *log;
    int rc = rill__partition_log(topic, committed->partition, LOG_OPEN_MS, &log);

    if (rc != 0) return is_deleted(topic) ? RILL_ERR_NOT_FOUND : rc;
    out.log_start = rill__log_start(log);
    out.log_end = rill__log_end(log);
    out.durable_end = rill__log_durable(log);
    out.lag = records_between(&out, out.log_end);
    rill__partition_release(topic, committed->partition);
    looking->answer = looking->visit(looking->arg, &out);
    return looking->answer == 0 ? 0 : RILL_ERR_CLOSED; /* any; ends the walk */
}

int rill__group_offsets(struct store *store, const char *group,
                        int (*visit)(void *arg, const rill_group_offset *offset), void *arg)
{
    struct looking looking = {store, visit, arg, 0};
    int rc = each_committed(store, group, look_at_offset, &looking);

    return looking.answer != 0 ? looking.answer : rc;
}

struct lagging {
    int32_t isolation;
    int64_t lag;
};

static int add_lag(void *arg, const rill_group_offset *offset)
{
    struct lagging *lagging = arg;
    int64_t end = lagging->isolation == RILL_READ_DURABLE ? offset->durable_end : offset->log_end;

    lagging->lag += records_between(offset, end);
    return 0;
}

int rill__group_lag(struct store *store, const char *group, int32_t isolation, int64_t *lag)
{
    struct lagging lagging = {.isolation = isolation};
    int rc;

    if (isolation != RILL_READ_WRITTEN && isolation != RILL_READ_DURABLE)
        return rill__fail(RILL_ERR_INVALID, "isolation is %d; enum rill_isolation has %d and %d",
                          (int)isolation, RILL_READ_WRITTEN, RILL_READ_DURABLE);
    rc = rill__group_offsets(store, group, add_lag, &lagging);
    if (rc == 0) *lag = lagging.lag;
    return rc;
}

/* ---- Which partitions ------------------------------------------------- */

struct move {
    struct topic *topic; /* with a reference */
    int32_t partition;
    size_t given; /* number of the position that names it */
    int64_t start;
    int64_t end;
    int64_t place; /* where to, but for what depends on what is committed */
};

struct plan {
    struct store *store;
    const char *group;
    const rill_position *positions; /* NULL: all that is committed */
    const size_t *lines;            /* of the text that they come from; NULL: none */
    const rill_group_reset_options *options;
    struct move *moves;
    size_t count;
    size_t room;
    struct meta_offset *offsets; /* a place for each move */
    rill_group_change *changes;
};

static int add_move(struct plan *plan, struct topic *topic, int32_t partition, size_t given)
{
    if (plan->count == plan->room) {
        size_t room = plan->room == 0 ? 16 : plan->room * 2;
        void *grown = rill__resize(&plan->store->heap, plan->moves, room * sizeof *plan->moves);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        plan->moves = grown;
        plan->room = room;
    }
    rill__topic_keep(topic);
    plan->moves[plan->count++] =
        (struct move){.topic = topic, .partition = partition, .given = given};
    return 0;
}

static int add_committed(void *arg, struct topic *topic, const struct meta_offset *offset)
{
    return add_move(arg, topic, offset->partition, 0);
}

static int check_partition(const struct topic *topic, int32_t partition)
{
    uint32_t count = rill__topic_partition_count(topic);

    if (partition == RILL_PARTITION_ANY || (partition >= 0 && (uint32_t)partition < count))
        return 0;
    return rill__fail(RILL_ERR_NOT_FOUND, "topic %s has partitions 0 to %u, not %d",
                      topic->info.name, count - 1, (int)partition);
}

/* With a reference to its topic. */
static int find_position(struct store *store, const rill_position *position, struct topic **topic)
{
    int rc;

    if (position->topic == NULL) return rill__fail(RILL_ERR_INVALID, "a position names no topic");
    rc = rill__topic_find(store, position->topic, topic);
    if (rc != 0) return rc;
    rc = check_partition(*topic, position->partition);
    if (rc != 0) rill__topic_release(*topic);
    return rc;
}

static int check_own(const rill_position *position)
{
    if (position->offset < 0 && position->offset != RILL_OFFSET_EARLIEST &&
        position->offset != RILL_OFFSET_LATEST)
        return rill__fail(RILL_ERR_INVALID, "%s-%d: offset %" PRId64 " is none", position->topic,
                          (int)position->partition, position->offset);
    if (position->metadata != NULL && strlen(position->metadata) > RILL_METADATA_MAX)
        return rill__fail(RILL_ERR_TOO_BIG, "metadata of %zu bytes; at most %d",
                          strlen(position->metadata), RILL_METADATA_MAX);
    return 0;
}

static int add_moves(struct plan *plan, struct topic *topic, size_t given)
{
    const rill_position *position = &plan->positions[given];
    int rc = plan->options->to == RILL_RESET_TO_OWN ? check_own(position) : 0;

    if (rc == 0 && position->partition != RILL_PARTITION_ANY)
        return add_move(plan, topic, position->partition, given);
    for (uint32_t p = 0; rc == 0 && p < rill__topic_partition_count(topic); p++)
        rc = add_move(plan, topic, (int32_t)p, given);
    return rc;
}

static int take_position(struct plan *plan, size_t given)
{
    struct topic *topic;
    int rc = find_position(plan->store, &plan->positions[given], &topic);

    if (rc == 0) {
        rc = add_moves(plan, topic, given);
        rill__topic_release(topic);
    }
    if (rc != 0 && plan->lines != NULL)
        rc = rill__fail_prefix(rc, "line %zu", plan->lines[given]);
    return rc;
}

static int compare_moves(const void *a, const void *b)
{
    const struct move *x = a;
    const struct move *y = b;
    int order = strcmp(x->topic->info.name, y->topic->info.name);

    if (order == 0) order = (x->partition > y->partition) - (x->partition < y->partition);
    return order != 0 ? order : (x->given > y->given) - (x->given < y->given);
}

static int refuse_twice(const struct plan *plan)
{
    for (size_t i = 1; i < plan->count; i++) {
        const struct move *t = &plan->moves[i];
        if (t[-1].partition != t->partition ||
            strcmp(t[-1].topic->info.name, t->topic->info.name) != 0)
            continue;
        if (plan->lines != NULL)
            return rill__fail(RILL_ERR_INVALID, "line %zu: %s-%d is on line %zu already",
                              plan->lines[t->given], t->topic->info.name, (int)t->partition,
                              plan->lines[t[-1].given]);
        return rill__fail(RILL_ERR_INVALID, "%s-%d is named twice, by positions %zu and %zu",
                          t->topic->info.name, (int)t->partition, t[-1].given, t->given);
    }
    return 0;
}

static int find_moves(struct plan *plan, size_t position_count)
{
    int rc = 0;

    if (plan->positions == NULL)
        rc = each_committed(plan->store, plan->group, add_committed, plan);
    for (size_t i = 0; plan->positions != NULL && i < position_count && rc == 0; i++)
        rc = take_position(plan, i);
    if (rc != 0) return rc;
    if (plan->count > 1) qsort(plan->moves, plan->count, sizeof *plan->moves, compare_moves);
    return refuse_twice(plan);
}

/* ---- Where to --------------------------------------------------------- */

static int64_t own_place(const struct move *t, int64_t offset)
{
    if (offset == RILL_OFFSET_EARLIEST) return t->start;
    return offset == RILL_OFFSET_LATEST ? t->end : offset;
}

/* What can be known before the step. */
static int find_place(const struct plan *plan, struct move *t)
{
    struct log *log;
    int rc = rill__partition_log(t->topic, t->partition, LOG_OPEN_MS, &log);

    if (rc != 0) return rc;
    t->start = rill__log_start(log);
    switch (plan->options->to) {
    case RILL_RESET_TO_OFFSET: t->place = plan->options->value; break;
    case RILL_RESET_TO_TIME:
        rc = rill__log_offset_for_time(log, plan->options->value, &t->place);
        break;
    default: break;
    }
    t->end = rill__log_end(log); /* after what was found before it */
    switch (plan->options->to) {
    case RILL_RESET_TO_EARLIEST: t->place = t->start; break;
    case RILL_RESET_TO_LATEST: t->place = t->end; break;
    case RILL_RESET_TO_OWN: t->place = own_place(t, plan->positions[t->given].offset); break;
    case RILL_RESET_TO_TIME:
        if (rc == 0 && t->place == RILL_OFFSET_NONE) t->place = t->end;
        break;
    default: break;
    }
    rill__partition_release(t->topic, t->partition);
    return rc;
}

static int64_t shifted(int64_t offset, int64_t by)
{
    int64_t sum;
    bool over = __builtin_add_overflow(offset, by, &sum);

    return over ? INT64_MAX : sum; /* an offset is not negative */
}

static int find_wanted(const struct plan *plan, const struct move *t, int64_t before,
                       int64_t *wanted)
{
    switch (plan->options->to) {
    case RILL_RESET_TO_COMMITTED: *wanted = before == RILL_OFFSET_NONE ? t->end : before; break;
    case RILL_RESET_TO_SHIFTED:
        if (before == RILL_OFFSET_NONE)
            return rill__fail(RILL_ERR_NO_OFFSET,
                              "group %s has committed no offset of %s-%d that could be shifted",
                              plan->group, t->topic->info.name, (int)t->partition);
        *wanted = shifted(before, plan->options->value);
        break;
    default: *wanted = t->place; break;
    }
    return 0;
}

static int plan_change(struct plan *plan, size_t i, const struct meta_group *record,
                       int64_t now_ms)
{
    const struct move *t = &plan->moves[i];
    const rill_position *own =
        plan->options->to == RILL_RESET_TO_OWN ? &plan->positions[t->given] : NULL;
    rill_group_change *change = &plan->changes[i];
    struct meta_offset *o = &plan->offsets[i];
    int rc = record == NULL ? RILL_ERR_NOT_FOUND
                            : rill__meta_committed(record, t->topic->info.id, t->partition, o);

    if (rc != 0 && rc != RILL_ERR_NOT_FOUND) return rc;
    change->topic = t->topic->info.name;
    change->partition = t->partition;
    change->before = rc == 0 ? o->offset : RILL_OFFSET_NONE;
    rc = find_wanted(plan, t, change->before, &change->wanted);
    if (rc != 0) return rc;
    change->offset = change->wanted > t->end ? t->end : change->wanted;
    if (change->offset < t->start) change->offset = t->start;
    memcpy(o->topic_id, t->topic->info.id, 16);
    o->partition = t->partition;
    o->leader_epoch = own != NULL ? own->leader_epoch : -1;
    o->offset = change->offset;
    o->committed_ms = now_ms;
    o->metadata = own != NULL ? own->metadata : NULL;
    return 0;
}

/* Inside of the transaction. */
static int reset_step(void *arg, const struct group *group, const struct meta_group *record,
                      struct meta_group_change *change)
{
    struct plan *plan = arg;
    size_t members = rill__group_member_count(group);
    int64_t now_ms = rill__now_ms();
    int rc = 0;

    if (members > 0)
        return rill__fail(RILL_ERR_STATE,
                          "group %s has %zu members; its offsets are theirs until they leave",
                          plan->group, members);
    for (size_t i = 0; i < plan->count && rc == 0; i++) rc = plan_change(plan, i, record, now_ms);
    change->offsets = plan->offsets;
    change->offset_count = plan->count;
    return rc;
}

static int run_plan(struct plan *plan, size_t position_count)
{
    struct store *store = plan->store;
    bool dry = (plan->options->flags & RILL_RESET_DRY_RUN) != 0;
    int rc = find_moves(plan, position_count);

    for (size_t i = 0; i < plan->count && rc == 0; i++) rc = find_place(plan, &plan->moves[i]);
    if (rc != 0) return rc;
    plan->offsets = rill__alloc(&store->heap, plan->count * sizeof *plan->offsets);
    plan->changes = rill__alloc(&store->heap, plan->count * sizeof *plan->changes);
    if (plan->offsets == NULL || plan->changes == NULL) return RILL_ERR_NO_MEMORY;
    rc = rill__coordinator_act(store, plan->group, dry, (int)store->options.open_timeout_ms,
                               reset_step, plan);
    if (rc == 0 && !dry) rill__count(&store->counters->commits, 1);
    for (size_t i = 0; i < plan->count && rc == 0 && plan->options->visit != NULL; i++)
        plan->options->visit(plan->options->visit_arg, &plan->changes[i]);
    return rc;
}

static int check_reset(const rill_group_reset_options *o)
{
    if (o->to == RILL_RESET_TO_OFFSET && o->value < 0)
        return rill__fail(RILL_ERR_INVALID, "a reset to offset %" PRId64, o->value);
    if (o->to == RILL_RESET_TO_OWN && (o->positions == NULL) == (o->csv == NULL))
        return rill__fail(RILL_ERR_INVALID, "RILL_RESET_TO_OWN takes either positions or csv");
    if (o->to != RILL_RESET_TO_OWN && o->csv != NULL)
        return rill__fail(RILL_ERR_INVALID, "csv is for RILL_RESET_TO_OWN");
    return 0;
}

int rill__group_reset(struct store *store, const char *group,
                      const rill_group_reset_options *given)
{
    rill_group_reset_options options;
    struct plan plan = {.store = store, .group = group, .options = &options};
    struct offsets_csv csv = {0};
    int rc = rill__check_name("group", group);

    if (rc == 0) rc = rill__options_take(OPTIONS_RESET, given, &options);
    if (rc == 0) rc = check_reset(&options);
    if (rc == 0 && options.csv != NULL)
        rc = rill__offsets_csv_read(&store->heap, options.csv, options.csv_size, &csv);
    if (rc != 0) return rc;
    plan.positions = options.csv != NULL ? csv.positions : options.positions;
    plan.lines = csv.lines;
    rc = run_plan(&plan, options.csv != NULL ? csv.count : options.position_count);
    rill__offsets_csv_free(&store->heap, &csv);
    for (size_t i = 0; i < plan.count; i++) rill__topic_release(plan.moves[i].topic);
    rill__free(&store->heap, plan.moves);
    rill__free(&store->heap, plan.offsets);
    rill__free(&store->heap, plan.changes);
    return rc;
}

/* ---- Deleting --------------------------------------------------------- */

struct removal {
    const char *group;
    const rill_position *positions;
    const struct meta_offset *offsets;
    size_t count;
};

static int remove_step(void *arg, const struct group *group, const struct meta_group *record,
                       struct meta_group_change *change)
{
    const struct removal *r = arg;

    if (record == NULL) return rill__fail(RILL_ERR_NOT_FOUND, "there is no group %s", r->group);
    for (size_t i = 0; i < r->count; i++)
        if (rill__group_subscribes(group, rill__topic_number(r->offsets[i].topic_id)))
            return rill__fail(RILL_ERR_STATE, "group %s: a member subscribes to %s", r->group,
                              r->positions[i].topic);
    change->removed = r->offsets;
    change->removed_count = r->count;
    change->forget_if_bare = rill__group_member_count(group) == 0;
    return 0;
}

int rill__group_offsets_delete(struct store *store, const char *group,
                               const rill_position *positions, size_t count)
{
    struct meta_offset *offsets = rill__alloc(&store->heap, count * sizeof *offsets);
    struct removal removal = {group, positions, offsets, count};
    int rc = offsets == NULL ? RILL_ERR_NO_MEMORY : rill__check_name("group", group);

    for (size_t i = 0; i < count && rc == 0; i++) {
        struct topic *topic;
        rc = find_position(store, &positions[i], &topic);
        if (rc != 0) break;
        memcpy(offsets[i].topic_id, topic->info.id, 16);
        offsets[i].partition = positions[i].partition;
        rill__topic_release(topic);
    }
    if (rc == 0)
        rc = rill__coordinator_act(store, group, false, (int)store->options.open_timeout_ms,
                                   remove_step, &removal);
    rill__free(&store->heap, offsets);
    return rc;
}
