/*
 * elsewhere.c - see elsewhere.h.
 */
#include "elsewhere.h"
#include "engine/coordinator.h"
#include "records.h"

void elsewhere_step(rill *store, struct group_event *event)
{
    struct coordinator other = {.store = store->store, .name = "g"};

    OK(rill__coordinator_step(&other, event, 1, WAIT_MS));
    rill__coordinator_forget(&other);
}

void elsewhere_join(rill *store)
{
    struct group_topic t = elsewhere_topic(store, "t");
    struct group_join join = {
        .name = "ghost",
        .session_timeout_ms = 60000,
        .max_poll_interval_ms = 60000,
        .subscription = {.text = "t", .topics = &t, .topic_count = 1},
    };
    struct group_event event = {.kind = GROUP_JOIN, .member = 99, .join = &join};

    elsewhere_step(store, &event);
}

void elsewhere_expel(rill *store, uint64_t member)
{
    struct group_event leave = {.kind = GROUP_LEAVE, .member = member};
    elsewhere_step(store, &leave);
}

void elsewhere_topics(rill *store, const char *subscription, struct group_topic *topics,
                      size_t count)
{
    struct group_subscription meaning = {
        .text = subscription, .topics = topics, .topic_count = count};
    struct group_event event = {.kind = GROUP_TOPICS, .subscription = &meaning};

    elsewhere_step(store, &event);
}

void elsewhere_delete_topic(rill *store, const char *name)
{
    struct meta_topic gone;
    char directory[TOPIC_DIRECTORY_SIZE];
    char path[900];
    int rc = rill__meta_topic_delete(store->store->meta, name, &gone);

    if (rc == RILL_ERR_NOT_FOUND) return;
    OK(rc);
    for (struct topic *topic = store->store->topics; topic != NULL; topic = topic->next) {
        for (uint32_t p = 0; p < rill__topic_partition_count(topic); p++) {
            struct log *log = rill__partition_if_open(topic, (int32_t)p);
            if (log == NULL) continue;
            if (memcmp(topic->info.id, gone.id, 16) == 0) rill__log_mark_deleted(log);
            rill__partition_leave(topic, (int32_t)p);
        }
    }
    rill__topic_directory(gone.id, directory);
    snprintf(path, sizeof path, "%s/%s", test_path("store"), directory);
    test_remove(path);
    atomic_fetch_add(&store->store->shared->catalogue_version, 1);
}

struct group_topic elsewhere_topic(rill *store, const char *name)
{
    struct meta_topic info;

    OK(rill__meta_topic_get(store->store->meta, name, &info));
    return (struct group_topic){rill__topic_number(info.id), info.partition_count, name};
}

static int spoil(void *arg, const struct meta_group *group, struct meta_group_change *change)
{
    (void)arg, (void)group;
    change->store = true;
    change->generation = 1;
    change->state = (const uint8_t *)"nothing that was ever a group";
    change->state_size = 29;
    return 0;
}

void elsewhere_spoil(rill *store, const char *group)
{
    OK(rill__meta_group_step(store->store->meta, group, WAIT_MS, spoil, NULL));
}
