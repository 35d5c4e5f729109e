/*
 * group/sticky.c - balanced first, then as few moves as possible.
 *
 * What Kafka's StickyAssignor and CooperativeStickyAssignor promise, but exact.
 * Call the number of a member's partitions its load. The assignment has the
 * least sum of squared loads that any can have: so two loads differ by at most
 * one, or nothing can be taken from the greater one for the smaller one, not
 * even over other members. And of all such assignments it moves the fewest
 * partitions away from members that hold them and still subscribe to them.
 *
 * If all members subscribe to the same topics, counting is enough: who holds
 * more than its share gives up the rest, which is dealt to those with less.
 *
 * Otherwise it is a flow from topics to members. Which partitions of a topic a
 * member gets does not matter, only how many, because it keeps as many of its
 * own as it can: so there is one edge for a topic and its subscriber, with the
 * number that it holds and the number that it is given. The first `held` ones
 * cost nothing, each further one is a move and costs 1.
 *
 *     topic --gets one--> member --gives up one--> topic --gets one--> member
 *
 * At first nothing is given. Partitions then go out one at a time, each on a
 * path to the least loaded member that any path reaches, and of those paths on
 * one with the fewest moves. They are found in rounds: label every node with
 * the moves of the best path to it (and the number of its arcs, so that nobody
 * who follows the labels goes in a circle), then take all paths to such members
 * that follow the labels (as Dinic does for maximum flows).
 *
 * Always true between two paths: what is given is the best for its number, in
 * loads and then in moves, since no other path was better. So
 *   - no cycle saves a move: there are best paths, and labelling ends;
 *   - members that can be reached differ in their loads by one at most; one
 *     that cannot be reached never will be again;
 *   - each round gives out one partition at least.
 */
#include "group/inner.h"
#include <stdlib.h>

/* Where a topic is in the list that is sorted by name. */
struct topic_place {
    uint64_t topic;
    size_t index;
};

struct sticky {
    struct heap *heap;
    struct member **members;
    size_t member_count;
    bool alike;                 /* all subscribe to the same topics */
    struct group_topic *topics; /* sorted by name */
    struct topic_place *places; /* sorted by topic */
    size_t topic_count;
    size_t *starts;    /* topic t has the partitions [starts[t], starts[t + 1]) */
    uint32_t *holders; /* of each partition: the member that may keep it */
    uint32_t *owners;  /* of each partition: the member that gets it */
};

/* ---- Topics and who holds what ----------------------------------------- */

/* Compares with the first member's topics; takes the largest counts. */
static bool subscribe_alike(struct sticky *s)
{
    for (size_t i = 0; i < s->member_count; i++) {
        const struct member *m = s->members[i];
        if (m->topic_count != s->topic_count) return false;
        for (size_t t = 0; t < s->topic_count; t++) {
            if (m->topics[t].topic != s->topics[t].topic) return false;
            if (m->topics[t].partition_count > s->topics[t].partition_count)
                s->topics[t].partition_count = m->topics[t].partition_count;
        }
    }
    return true;
}

static int compare_places(const void *a, const void *b)
{
    const struct topic_place *x = a;
    const struct topic_place *y = b;
    return (x->topic > y->topic) - (x->topic < y->topic);
}

static int collect_topics(struct sticky *s)
{
    int rc = rill__topics_of(s->heap, s->members, 1, &s->topics, &s->topic_count);

    if (rc != 0) return rc;
    s->alike = subscribe_alike(s);
    if (!s->alike) {
        rill__free(s->heap, s->topics);
        s->topics = NULL;
        rc = rill__topics_of(s->heap, s->members, s->member_count, &s->topics, &s->topic_count);
        if (rc != 0) return rc;
    }
    s->places = rill__alloc(s->heap, s->topic_count * sizeof *s->places);
    s->starts = rill__alloc(s->heap, (s->topic_count + 1) * sizeof *s->starts);
    if (s->places == NULL || s->starts == NULL) return RILL_ERR_NO_MEMORY;
    for (size_t t = 0; t < s->topic_count; t++) {
        s->places[t] = (struct topic_place){s->topics[t].topic, t};
        s->starts[t + 1] = s->starts[t] + s->topics[t].partition_count;
    }
    if (s->topic_count > 1) qsort(s->places, s->topic_count, sizeof *s->places, compare_places);
    s->holders = rill__alloc(s->heap, s->starts[s->topic_count] * sizeof *s->holders);
    s->owners = rill__alloc(s->heap, s->starts[s->topic_count] * sizeof *s->owners);
    if (s->holders == NULL || s->owners == NULL) return RILL_ERR_NO_MEMORY;
    for (size_t p = 0; p < s->starts[s->topic_count]; p++) s->holders[p] = s->owners[p] = NOBODY;
    return 0;
}

/* The topic's index; topic_count if nobody subscribes to it. */
static size_t topic_index(const struct sticky *s, uint64_t topic)
{
    size_t low = 0;
    size_t high = s->topic_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->places[middle].topic < topic) low = middle + 1;
        else high = middle;
    }
    if (low == s->topic_count || s->places[low].topic != topic) return s->topic_count;
    return s->places[low].index;
}

/* The member becomes the holder, if there is such a partition and nobody else
 * was it before. */
static bool claim_place(struct sticky *s, size_t t, int32_t partition, uint32_t member)
{
    uint32_t *holder;

    if (partition < 0 || (uint32_t)partition >= s->topics[t].partition_count) return false;
    holder = &s->holders[s->starts[t] + (size_t)partition];
    if (*holder != NOBODY) return false;
    *holder = member;
    return true;
}

/* ---- All subscribe to the same topics ------------------------------------ */

/* How many each may have: each floor or ceiling of the average, the ceiling
 * first for those that hold more than the floor. room: how many each holds. */
static void share_out(uint32_t *room, size_t member_count, size_t partition_count)
{
    size_t share = partition_count / member_count;
    size_t extra = partition_count % member_count;

    for (size_t i = 0; i < member_count; i++) {
        bool more = room[i] > share && extra > 0;
        extra -= more;
        room[i] = (uint32_t)share + more;
    }
    for (size_t i = 0; extra > 0; i++) {
        if (room[i] > share) continue;
        room[i]++;
        extra--;
    }
}

static int assign_by_count(struct sticky *s)
{
    size_t partition_count = s->starts[s->topic_count];
    uint32_t *room = rill__alloc(s->heap, s->member_count * sizeof *room);
    size_t turn = 0;

    if (room == NULL) return RILL_ERR_NO_MEMORY;
    for (size_t i = 0; i < s->member_count; i++) {
        const struct member *m = s->members[i];
        for (size_t o = 0; o < m->owned_count; o++) {
            size_t t = topic_index(s, m->owned[o].topic);
            if (t < s->topic_count)
                room[i] += claim_place(s, t, m->owned[o].partition, (uint32_t)i);
        }
    }
    share_out(room, s->member_count, partition_count);
    for (size_t p = 0; p < partition_count; p++) {
        uint32_t holder = s->holders[p];
        if (holder == NOBODY || room[holder] == 0) continue;
        room[holder]--;
        s->owners[p] = holder;
    }
    /* the others are dealt in a circle: neighbours go to different members */
    for (size_t p = 0; p < partition_count; p++) {
        if (s->owners[p] != NOBODY) continue;
        while (room[turn % s->member_count] == 0) turn++;
        s->owners[p] = (uint32_t)(turn++ % s->member_count);
        room[s->owners[p]]--;
    }
    rill__free(s->heap, room);
    return 0;
}

/* ---- A flow from topics to members --------------------------------------- */

#define UNREACHED INT64_MAX

/* A topic and one that subscribes to it, both as nodes. */
struct flow_edge {
    uint32_t topic;
    uint32_t member;
    uint32_t held;  /* partitions that the member may keep */
    uint32_t given; /* partitions that it gets */
    bool listed;    /* among its member's arcs */
};

/* First all topics, then all members. A topic's arcs are its edges; a member's
 * only those on which something is given, which are few. */
struct flow_node {
    size_t arcs; /* [arcs, arcs_end): in flow.edges, a member's in flow.listed */
    size_t arcs_end;
    size_t next;   /* the arc to try next in this round */
    int64_t label; /* of the best path to it: moves * move_cost + number of arcs */
    uint32_t load; /* member: partitions it has; topic: partitions to give out */
    bool queued;
};

struct flow {
    size_t topic_count;
    size_t node_count;
    struct flow_node *nodes;
    struct flow_edge *edges; /* by topic, then by member */
    uint32_t *listed;        /* room for all edges of each member */
    uint32_t *path;          /* room for all nodes: a queue, a path */
    int64_t move_cost;
    /* where paths of this round end, and how many still may */
    uint32_t end_load;
    int64_t end_moves;
    size_t end_count;
};

/* Gives each node the place for its arcs; there are none yet. */
static void place_arcs(struct flow *f, const struct sticky *s)
{
    size_t edges = 0;
    size_t listed = 0;

    for (size_t i = 0; i < s->member_count; i++) {
        const struct member *m = s->members[i];
        struct flow_node *node = &f->nodes[s->topic_count + i];
        node->arcs = node->arcs_end = listed;
        listed += m->topic_count;
        for (size_t j = 0; j < m->topic_count; j++)
            f->nodes[topic_index(s, m->topics[j].topic)].arcs_end++;
    }
    for (size_t t = 0; t < s->topic_count; t++) {
        size_t count = f->nodes[t].arcs_end;
        f->nodes[t].arcs = f->nodes[t].arcs_end = edges;
        edges += count;
    }
}

static int flow_init(struct flow *f, const struct sticky *s)
{
    size_t room = 0;

    for (size_t i = 0; i < s->member_count; i++) room += s->members[i]->topic_count;
    f->topic_count = s->topic_count;
    f->node_count = s->topic_count + s->member_count;
    f->move_cost = (int64_t)f->node_count; /* more than any path has arcs */
    f->nodes = rill__alloc(s->heap, f->node_count * sizeof *f->nodes);
    f->edges = rill__alloc(s->heap, room * sizeof *f->edges);
    f->listed = rill__alloc(s->heap, room * sizeof *f->listed);
    f->path = rill__alloc(s->heap, f->node_count * sizeof *f->path);
    if (f->nodes == NULL || f->edges == NULL || f->listed == NULL || f->path == NULL)
        return RILL_ERR_NO_MEMORY;
    place_arcs(f, s);
    for (size_t i = 0; i < s->member_count; i++) {
        const struct member *m = s->members[i];
        for (size_t j = 0; j < m->topic_count; j++) {
            struct flow_edge e = {.member = (uint32_t)(s->topic_count + i)};
            e.topic = (uint32_t)topic_index(s, m->topics[j].topic);
            f->edges[f->nodes[e.topic].arcs_end++] = e;
        }
    }
    for (size_t t = 0; t < s->topic_count; t++) f->nodes[t].load = s->topics[t].partition_count;
    return 0;
}

static void flow_deinit(struct flow *f, struct heap *heap)
{
    rill__free(heap, f->nodes);
    rill__free(heap, f->edges);
    rill__free(heap, f->listed);
    rill__free(heap, f->path);
}

/* The edge of a topic and a member; NULL if it does not subscribe. */
static struct flow_edge *edge_of(const struct flow *f, size_t t, uint32_t member)
{
    size_t low = f->nodes[t].arcs;
    size_t high = f->nodes[t].arcs_end;
    size_t node = f->topic_count + member;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->edges[middle].member < node) low = middle + 1;
        else high = middle;
    }
    if (low == f->nodes[t].arcs_end || f->edges[low].member != node) return NULL;
    return &f->edges[low];
}

/* A node's arc is over which edge? */
static uint32_t edge_at(const struct flow *f, uint32_t from, size_t arc)
{
    return from < f->topic_count ? (uint32_t)arc : f->listed[arc];
}

/* What an arc costs, and where it leads. false: there is nothing to give up. */
static bool can_cross(const struct flow *f, const struct flow_edge *e, uint32_t from,
                      uint32_t *to, int64_t *cost)
{
    int moves;

    if (from == e->topic) { /* the member gets one */
        *to = e->member;
        moves = e->given < e->held ? 0 : 1;
    } else { /* the member gives up one, of those that move to it if there are any */
        if (e->given == 0) return false;
        *to = e->topic;
        moves = e->given > e->held ? -1 : 0;
    }
    *cost = moves * f->move_cost + 1;
    return true;
}

static void unlist_empty(struct flow *f, struct flow_node *member)
{
    size_t kept = member->arcs;

    for (size_t a = member->arcs; a < member->arcs_end; a++) {
        struct flow_edge *e = &f->edges[f->listed[a]];
        e->listed = e->given > 0;
        if (e->listed) f->listed[kept++] = f->listed[a];
    }
    member->arcs_end = kept;
}

/* Labels what can be reached from topics with partitions to give out: shortest
 * paths by Bellman and Ford, the queue being a ring. */
static void label_nodes(struct flow *f)
{
    size_t head = 0;
    size_t count = 0;

    for (size_t n = 0; n < f->node_count; n++) {
        struct flow_node *node = &f->nodes[n];
        if (n >= f->topic_count) unlist_empty(f, node);
        node->next = node->arcs;
        node->queued = n < f->topic_count && node->load > 0;
        node->label = node->queued ? 0 : UNREACHED;
        if (node->queued) f->path[count++] = (uint32_t)n;
    }
    while (count > 0) {
        uint32_t from = f->path[head];
        struct flow_node *node = &f->nodes[from];
        head = (head + 1) % f->node_count;
        count--;
        node->queued = false;
        for (size_t a = node->arcs; a < node->arcs_end; a++) {
            uint32_t to;
            int64_t cost;
            if (!can_cross(f, &f->edges[edge_at(f, from, a)], from, &to, &cost)) continue;
            if (node->label + cost >= f->nodes[to].label) continue;
            f->nodes[to].label = node->label + cost;
            if (f->nodes[to].queued) continue;
            f->nodes[to].queued = true;
            f->path[(head + count++) % f->node_count] = to;
        }
    }
}

/* Labels, and finds out where paths of this round end: at members that have
 * the least load of all with a label, at the cost of the fewest moves. false:
 * no member has a label. */
static bool begin_round(struct flow *f)
{
    label_nodes(f);
    f->end_count = 0;
    for (size_t n = f->topic_count; n < f->node_count; n++) {
        const struct flow_node *m = &f->nodes[n];
        int64_t moves = m->label / f->move_cost;
        if (m->label == UNREACHED) continue;
        if (f->end_count == 0 || m->load < f->end_load ||
            (m->load == f->end_load && moves < f->end_moves)) {
            f->end_load = m->load;
            f->end_moves = moves;
            f->end_count = 0;
        }
        f->end_count += m->load == f->end_load && moves == f->end_moves;
    }
    return f->end_count > 0;
}

static bool is_end(const struct flow *f, uint32_t n)
{
    return n >= f->topic_count && f->nodes[n].load == f->end_load &&
           f->nodes[n].label / f->move_cost == f->end_moves;
}

/* From the end of a path back to its topic: one partition over each edge. */
static void follow_back(struct flow *f, uint32_t at, size_t length)
{
    f->nodes[at].load++;
    f->end_count--;
    while (length > 0) {
        uint32_t index = f->path[--length];
        struct flow_edge *e = &f->edges[index];
        if (at == e->topic) {
            e->given--;
            at = e->member;
            continue;
        }
        e->given++;
        if (!e->listed) f->listed[f->nodes[at].arcs_end++] = index;
        e->listed = true;
        at = e->topic;
    }
    f->nodes[at].load--;
}

/* Gives out one partition of the topic on a path along the labels, found depth
 * first. A dead end stays one for the rest of the round: what is given changes
 * arcs against the labels only. */
static bool give_one(struct flow *f, uint32_t topic)
{
    uint32_t at = topic;
    size_t length = 0;

    while (!is_end(f, at)) {
        struct flow_node *node = &f->nodes[at];
        uint32_t index;
        uint32_t to;
        int64_t cost;

        if (node->next == node->arcs_end) { /* a dead end: one back */
            const struct flow_edge *e;
            if (length == 0) return false;
            e = &f->edges[f->path[--length]];
            at = at == e->topic ? e->member : e->topic;
            f->nodes[at].next++;
            continue;
        }
        index = edge_at(f, at, node->next);
        if (can_cross(f, &f->edges[index], at, &to, &cost) &&
            node->label + cost == f->nodes[to].label) {
            f->path[length++] = index;
            at = to;
        } else {
            node->next++;
        }
    }
    follow_back(f, at, length);
    return true;
}

static void give_all(struct flow *f)
{
    while (begin_round(f))
        for (uint32_t t = 0; t < f->topic_count && f->end_count > 0; t++)
            while (f->nodes[t].load > 0 && f->end_count > 0 && give_one(f, t)) {}
}

/* From numbers to partitions: a member keeps the first ones that it holds, and
 * gets its others from what is left then. */
static void choose_partitions(struct sticky *s, struct flow *f, size_t t)
{
    size_t a = f->nodes[t].arcs;

    for (size_t p = s->starts[t]; p < s->starts[t + 1]; p++) {
        struct flow_edge *e;
        if (s->holders[p] == NOBODY) continue;
        e = edge_of(f, t, s->holders[p]);
        if (e->given == 0) continue;
        e->given--;
        s->owners[p] = s->holders[p];
    }
    for (size_t p = s->starts[t]; p < s->starts[t + 1]; p++) {
        struct flow_edge *e;
        if (s->owners[p] != NOBODY) continue;
        while (f->edges[a].given == 0) a++;
        e = &f->edges[a];
        e->given--;
        s->owners[p] = (uint32_t)(e->member - f->topic_count);
    }
}

static int assign_by_flow(struct sticky *s)
{
    struct flow f = {0};
    int rc = flow_init(&f, s);

    if (rc != 0) goto out;
    for (size_t i = 0; i < s->member_count; i++) {
        const struct member *m = s->members[i];
        for (size_t o = 0; o < m->owned_count; o++) {
            size_t t = topic_index(s, m->owned[o].topic);
            struct flow_edge *e = t < s->topic_count ? edge_of(&f, t, (uint32_t)i) : NULL;
            if (e != NULL) e->held += claim_place(s, t, m->owned[o].partition, (uint32_t)i);
        }
    }
    give_all(&f);
    for (size_t t = 0; t < s->topic_count; t++) choose_partitions(s, &f, t);
out:
    flow_deinit(&f, s->heap);
    return rc;
}

/* ---- The assignor --------------------------------------------------------- */

static int flow_owners(const struct sticky *s)
{
    for (size_t t = 0; t < s->topic_count; t++) {
        for (size_t p = s->starts[t]; p < s->starts[t + 1]; p++) {
            int rc = rill__member_plan(s->heap, s->members[s->owners[p]], s->topics[t].topic,
                                       (int32_t)(p - s->starts[t]));
            if (rc != 0) return rc;
        }
    }
    return 0;
}

int rill__assign_sticky(struct heap *heap, struct member **members, size_t count)
{
    struct sticky s = {.heap = heap, .members = members, .member_count = count};
    int rc;

    if (count == 0) return 0;
    rc = collect_topics(&s);
    if (rc == 0) rc = s.alike ? assign_by_count(&s) : assign_by_flow(&s);
    if (rc == 0) rc = flow_owners(&s);
    rill__free(heap, s.topics);
    rill__free(heap, s.places);
    rill__free(heap, s.starts);
    rill__free(heap, s.holders);
    rill__free(heap, s.owners);
    return rc;
}
