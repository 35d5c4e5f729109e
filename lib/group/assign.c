/*
 * group/assign.c - who gets which partition.
 *
 * range: topic by topic, its partitions in contiguous ranges over the members
 * that subscribe to it, in order of their ids; the first ones get one more if
 * it does not divide. round robin: all partitions of all topics in a row,
 * dealt to the members in a circle, passing over those that do not subscribe.
 * Both are Kafka's RangeAssignor (without racks) and RoundRobinAssignor.
 */
#include "group/inner.h"
#include <stdlib.h>
#include <string.h>

const struct group_topic *rill__member_topic(const struct member *member, uint64_t topic)
{
    for (size_t i = 0; i < member->topic_count; i++)
        if (member->topics[i].topic == topic) return &member->topics[i];
    return NULL;
}

int rill__member_plan(struct heap *heap, struct member *member, uint64_t topic, int32_t partition)
{
    if (member->planned_count == member->planned_room) {
        size_t room = member->planned_room == 0 ? 8 : member->planned_room * 2;
        void *grown = rill__resize(heap, member->planned, room * sizeof *member->planned);
        if (grown == NULL) return RILL_ERR_NO_MEMORY;
        member->planned = grown;
        member->planned_room = room;
    }
    member->planned[member->planned_count++] = (struct group_partition){topic, partition};
    return 0;
}

/* By number too: a topic that was made anew has the old one's name, and members
 * may not all know of it yet. */
static int compare_topics(const void *a, const void *b)
{
    const struct group_topic *x = a;
    const struct group_topic *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : (x->topic > y->topic) - (x->topic < y->topic);
}

int rill__topics_of(struct heap *heap, struct member **members, size_t count,
                    struct group_topic **topics, size_t *topic_count)
{
    size_t room = 0;
    size_t kept = 0;
    struct group_topic *all;

    for (size_t i = 0; i < count; i++) room += members[i]->topic_count;
    all = rill__alloc(heap, room * sizeof *all);
    if (all == NULL) return RILL_ERR_NO_MEMORY;
    room = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < members[i]->topic_count; j++) all[room++] = members[i]->topics[j];
    if (room > 1) qsort(all, room, sizeof *all, compare_topics);
    for (size_t i = 0; i < room; i++) {
        if (kept > 0 && all[kept - 1].topic == all[i].topic) {
            /* members may have seen different partition counts */
            if (all[i].partition_count > all[kept - 1].partition_count)
                all[kept - 1].partition_count = all[i].partition_count;
            continue;
        }
        all[kept++] = all[i];
    }
    *topics = all;
    *topic_count = kept;
    return 0;
}

int rill__assign_range(struct heap *heap, struct member **members, size_t count)
{
    struct group_topic *topics;
    size_t topic_count;
    int rc = rill__topics_of(heap, members, count, &topics, &topic_count);

    if (rc != 0) return rc;
    for (size_t t = 0; t < topic_count && rc == 0; t++) {
        uint32_t sharing = 0;
        uint32_t each;
        uint32_t extra;
        int32_t next = 0;

        for (size_t i = 0; i < count; i++)
            if (rill__member_topic(members[i], topics[t].topic) != NULL) sharing++;
        each = topics[t].partition_count / sharing;
        extra = topics[t].partition_count % sharing;
        for (size_t i = 0; i < count && rc == 0; i++) {
            uint32_t share = each;
            if (rill__member_topic(members[i], topics[t].topic) == NULL) continue;
            if (extra > 0) {
                share++;
                extra--;
            }
            while (share-- > 0 && rc == 0)
                rc = rill__member_plan(heap, members[i], topics[t].topic, next++);
        }
    }
    rill__free(heap, topics);
    return rc;
}

int rill__assign_round_robin(struct heap *heap, struct member **members, size_t count)
{
    struct group_topic *topics;
    size_t topic_count;
    size_t turn = 0;
    int rc = rill__topics_of(heap, members, count, &topics, &topic_count);

    if (rc != 0) return rc;
    for (size_t t = 0; t < topic_count && rc == 0; t++) {
        for (uint32_t p = 0; p < topics[t].partition_count && rc == 0; p++) {
            while (rill__member_topic(members[turn % count], topics[t].topic) == NULL) turn++;
            rc = rill__member_plan(heap, members[turn % count], topics[t].topic, (int32_t)p);
            turn++;
        }
    }
    rill__free(heap, topics);
    return rc;
}
