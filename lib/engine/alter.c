/*
 * engine/alter.c - topics are changed while they are used: their options, and how
 * many partitions they have.
 *
 *     alter:  catalogue (commit point) -> version + 1
 *     add:    directories made and synced -> catalogue (commit point) -> version + 1
 *
 * Everybody who uses the topic, in any process, compares the version and reads it
 * again (rill__topic_follow). Groups see a topic with more partitions as they see a
 * new one. Who dies before the commit point leaves directories, which the next one to
 * add partitions, or to open the store alone, removes.
 */
#include "engine/store.h"

struct alteration {
    uint32_t fields;
    const rill_topic_options *options;
};

static int alter_options(void *arg, struct meta_topic *topic)
{
    const struct alteration *a = arg;
    int rc = rill__topic_options_alter(a->fields, a->options, topic);

    return rc == 0 ? 0 : rill__fail_prefix(rc, "topic %s", topic->name);
}

int rill__topic_alter(struct store *store, const char *name, uint32_t fields,
                      const rill_topic_options *options)
{
    struct alteration alteration = {fields, options};
    struct meta_topic now;
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__meta_topic_alter(store->meta, name, alter_options, &alteration, &now);
    if (rc == 0) rill__catalogue_changed(store);
    return rc;
}

/* ---- Partitions ------------------------------------------------------- */

/* All under the lock: nobody else adds any, and the topic is not deleted. */

static int check_count(const struct meta_topic *topic, uint32_t count)
{
    if (count == 0 || count > PARTITIONS_MAX)
        return rill__fail(RILL_ERR_INVALID, "topic %s: %u partitions; 1 to %d are possible",
                          topic->name, count, PARTITIONS_MAX);
    if (count < topic->partition_count)
        return rill__fail(RILL_ERR_INVALID,
                          "topic %s has %u partitions and cannot have %u: the records of the "
                          "others would be lost; make another topic",
                          topic->name, topic->partition_count, count);
    return 0;
}

static int set_count(void *arg, struct meta_topic *topic)
{
    topic->partition_count = *(const uint32_t *)arg;
    return 0;
}

static int add_partitions(struct store *store, const char *name, uint32_t count)
{
    struct meta_topic topic;
    struct meta_topic now;
    int rc = rill__meta_topic_get(store->meta, name, &topic);

    if (rc == 0) rc = check_count(&topic, count);
    if (rc != 0 || count == topic.partition_count) return rc;
    rc = rill__directories_make(store, topic.id, topic.partition_count, count);
    if (rc == 0) rc = rill__meta_topic_alter(store->meta, name, set_count, &count, &now);
    if (rc == 0) rill__catalogue_changed(store);
    return rc;
}

int rill__topic_add_partitions(struct store *store, const char *name, uint32_t count)
{
    int rc = rill__check_name("topic", name);

    if (rc == 0) rc = rill__directories_lock(store);
    if (rc != 0) return rc;
    rc = add_partitions(store, name, count);
    rill__directories_unlock(store);
    return rc;
}
