/*
 * engine/member.c - a consumer as a member of its group.
 *
 *     poll -> has news? -> look at the group -> partitions that go: callback,
 *             commit, drop, READY -> partitions that came: add, callback
 *
 * The group says what the member has; what is to be done is the difference to
 * what it reads. So it does not matter how many changes there were meanwhile, nor
 * whether somebody died before he could tell. Partitions on neither side of the
 * difference are not touched.
 */
#include "engine/consumer.h"
#include "engine/members.h"
#include <inttypes.h>
#include <string.h>

/* ---- Callbacks -------------------------------------------------------- */

int rill__consumer_alone(const struct rill_consumer *c, const char *what)
{
    if (c->callback_thread == NULL) return 0;
    return rill__fail(RILL_ERR_STATE, "%s cannot be called from a callback of the consumer",
                      what);
}

int rill__consumer_enter(struct rill_consumer *c)
{
    if (!atomic_exchange_explicit(&c->busy, true, memory_order_acquire)) return 0;
    if (c->callback_thread == rill__this_thread()) {
        c->nested++;
        return 0;
    }
    if (atomic_load(&c->workers) != NULL)
        return rill__fail(RILL_ERR_STATE, "the consumer belongs to its workers until "
                                          "rill_workers_close; only rill_consumer_wakeup may "
                                          "be called");
    return rill__fail(
        RILL_ERR_STATE,
        "another call on this consumer is running; a consumer is for one thread at a "
        "time, only rill_consumer_wakeup may come from elsewhere");
}

void rill__consumer_leave(struct rill_consumer *c)
{
    if (c->nested > 0) c->nested--;
    else atomic_store_explicit(&c->busy, false, memory_order_release);
}

void rill__consumer_begin_callback(struct rill_consumer *c)
{
    c->callback_thread = rill__this_thread();
}

void rill__consumer_end_callback(struct rill_consumer *c)
{
    c->callback_thread = NULL;
}

static void does(struct rill_consumer *c, enum member_doing doing)
{
    struct member_slot *slot = atomic_load(&c->membership.slot);
    if (slot != NULL) rill__member_does(slot, doing);
}

/* With the partitions from number `first` on, or only those that go. */
static int call_back(struct rill_consumer *c, enum rill_rebalance event, size_t first,
                     bool only_going)
{
    static const enum member_doing doing[] = {[RILL_REBALANCE_ASSIGNED] = DOING_ASSIGNED,
                                              [RILL_REBALANCE_REVOKED] = DOING_REVOKED,
                                              [RILL_REBALANCE_LOST] = DOING_LOST};
    struct saved_message before;
    rill_position *positions;
    size_t count = 0;
    int rc;

    if (c->options.rebalance == NULL) return 0;
    positions = rill__alloc(&c->store->heap, c->part_count * sizeof *positions);
    if (positions == NULL) return RILL_ERR_NO_MEMORY;
    for (size_t i = first; i < c->part_count; i++) {
        const struct assigned *part = c->parts[i];
        if (only_going && !part->goes) continue;
        positions[count++] = (rill_position){.topic = part->topic->info.name,
                                             .partition = part->partition,
                                             .leader_epoch = part->epoch,
                                             .offset = rill__assigned_position(part)};
    }
    does(c, doing[event]);
    rill__message_save(&before);
    rill__message_restore(&(struct saved_message){""});
    rill__consumer_begin_callback(c);
    rc = c->options.rebalance(c->options.rebalance_arg, c, (int)event, positions, count);
    c->callback_thread = NULL;
    does(c, DOING_POLL);
    rill__free(&c->store->heap, positions);
    /* Its own failure, or one of ours in it, but none of an earlier call. */
    if (rc != 0 && rill__message()[0] == '\0')
        rill__fail(rc, "the rebalance callback returned %d", rc);
    if (rc == 0) rill__message_restore(&before);
    return rc;
}

/* ---- Coming and going ------------------------------------------------- */

static int join(struct rill_consumer *c)
{
    rill_consumer_options options = c->options;

    c->catalogue_seen = 0; /* others with the same subscription may not know it */
    options.client_id = c->client_id;
    options.group_instance_id = c->instance;
    options.own_assignor_name = c->assignor_name;
    return rill__coordinator_join(c->coordinator, &c->membership, c->subscription, &options,
                                  UINT64_C(1) << c->slot |
                                      (c->event_fd >= 0 ? rill__bridge_bit(c->store) : 0));
}

int rill__consumer_subscribe(struct rill_consumer *c, const char *const *topics, size_t count)
{
    char *text;
    char *before = c->subscription;
    int rc = rill__consumer_alone(c, "rill_consumer_subscribe");

    if (rc != 0) return rc;
    if (c->coordinator == NULL)
        return rill__fail(RILL_ERR_STATE, "a consumer without a group cannot subscribe; name a "
                                          "group in its options, or use rill_consumer_assign");
    if (c->subscription == NULL && c->part_count != 0)
        return rill__fail(RILL_ERR_STATE, "partitions are assigned by hand; call "
                                          "rill_consumer_unsubscribe first");
    if (count == 0) return rill__consumer_unsubscribe(c);
    rc = rill__subscription_text(&c->store->heap, topics, count, &text);
    if (rc != 0) return rc;
    c->subscription = text;
    if (c->membership.slot != NULL) {
        rc = rill__coordinator_subscribe(c->coordinator, &c->membership, text);
        if (rc == RILL_ERR_NOT_FOUND) rc = 0; /* it was expelled, which the next poll sees */
    } else {
        rc = join(c);
    }
    if (rc != 0) c->subscription = before;
    rill__free(&c->store->heap, rc == 0 ? before : text);
    return rc;
}

/* Of several things that are all done, the first that failed is told. */
static void keep_first(int *first, int rc, struct saved_message *why)
{
    if (*first != 0 || rc == 0) return;
    *first = rc;
    rill__message_save(why);
}

int rill__consumer_leave_group(struct rill_consumer *c, int timeout_ms)
{
    int64_t deadline = rill__deadline(timeout_ms);
    struct saved_message why;
    int rc = 0;

    for (size_t i = 0; i < c->part_count; i++) c->parts[i]->goes = true;
    if (c->subscription != NULL && c->part_count != 0)
        rc = call_back(c, RILL_REBALANCE_REVOKED, 0, true);
    if (rc != 0) rill__message_save(&why);
    rill__commits_settle(c, true, deadline);
    if (c->options.auto_commit_interval_ms != 0)
        keep_first(&rc, rill__commit_positions(c, false, rill__time_left_ms(deadline)), &why);
    keep_first(
        &rc,
        rill__coordinator_leave(c->coordinator, &c->membership, rill__time_left_ms(deadline)),
        &why);
    rill__assigned_clear(c);
    rill__free(&c->store->heap, c->subscription);
    c->subscription = NULL;
    if (rc != 0) rill__message_restore(&why);
    return rc;
}

int rill__consumer_unsubscribe(struct rill_consumer *c)
{
    int rc = rill__consumer_alone(c, "rill_consumer_unsubscribe");

    return rc != 0 ? rc : rill__consumer_leave_group(c, (int)c->store->options.open_timeout_ms);
}

/* ---- The difference --------------------------------------------------- */

static const struct group_holding *holding_of(const struct news *news,
                                              const struct assigned *part)
{
    uint64_t number = part->topic->number;

    for (size_t i = 0; i < news->holding_count; i++) {
        const struct group_holding *h = &news->holdings[i];
        if (h->topic == number && h->partition == part->partition)
            return h->since == part->since ? h : NULL;
    }
    return NULL;
}

/* Partitions that are leaving, or are somebody else's by now. */
static int give_up_parts(struct rill_consumer *c, const struct news *news)
{
    bool some = false;
    bool all_ours = true;
    int rc;

    for (size_t i = 0; i < c->part_count; i++) {
        const struct group_holding *h = holding_of(news, c->parts[i]);
        c->parts[i]->goes = h == NULL || h->leaving;
        some = some || c->parts[i]->goes;
        all_ours = all_ours && h != NULL;
    }
    if (!some) return 0;
    c->lost = true;
    rc = call_back(c, all_ours ? RILL_REBALANCE_REVOKED : RILL_REBALANCE_LOST, 0, true);
    /* A failure to commit must not stop the others: what was not committed is
     * delivered again, which is what is promised. */
    if (all_ours) rill__commits_settle(c, true, INT64_MAX);
    if (all_ours && c->options.auto_commit_interval_ms != 0)
        rill__commit_positions(c, true, (int)c->store->options.open_timeout_ms);
    rill__assigned_drop(c);
    return rc;
}

/* With a reference. NULL: deleted meanwhile. */
static int topic_by_number(struct store *store, uint64_t number, struct topic **topic)
{
    struct meta_topic info = {.name = ""};
    int rc = 0;

    *topic = rill__topic_numbered(store, number);
    while (*topic == NULL && (rc = rill__meta_topic_after(store->meta, info.name, &info)) == 0) {
        if (rill__topic_number(info.id) != number) continue;
        rc = rill__topic_find(store, info.name, topic);
        if (rc != 0) break;
    }
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc;
}

static int take_one(struct rill_consumer *c, struct topic *topic, const struct group_holding *h)
{
    int rc = rill__topic_follow(topic); /* it may have more partitions by now */

    if (rc == 0 && rill__assigned_find(c, topic->info.name, h->partition) == NULL)
        rc = rill__assigned_add(c, topic, h->partition, RILL_OFFSET_NONE, h->since);
    return rc == RILL_ERR_NOT_FOUND ? 0 : rc; /* deleted meanwhile */
}

static int take_new(struct rill_consumer *c, const struct news *news)
{
    size_t before = c->part_count;
    int rc = 0;

    for (size_t i = 0; i < news->holding_count && rc == 0; i++) {
        const struct group_holding *h = &news->holdings[i];
        struct topic *topic;

        if (h->leaving) continue;
        rc = topic_by_number(c->store, h->topic, &topic);
        if (rc != 0 || topic == NULL) continue;
        if (!atomic_load(&topic->gone)) rc = take_one(c, topic, h);
        rill__topic_release(topic);
    }
    if (c->part_count == before) return rc;
    rill__bridge_kick(c->store);
    if (rc == 0) rc = call_back(c, RILL_REBALANCE_ASSIGNED, before, false);
    return rc;
}

/* It was expelled; or another one with its instance has taken over. */
static int lose_all(struct rill_consumer *c, const struct news *news)
{
    int rc = 0;

    for (size_t i = 0; i < c->part_count; i++) c->parts[i]->goes = true;
    if (c->part_count != 0) {
        c->lost = true;
        rc = call_back(c, RILL_REBALANCE_LOST, 0, true);
    }
    rill__assigned_clear(c);
    rill__member_release(c->membership.slot, c->membership.id);
    atomic_store(&c->membership.slot, NULL);
    if (!news->fenced) return rc;
    rill__free(&c->store->heap, c->subscription);
    c->subscription = NULL;
    c->lost = false;
    return rill__fail(RILL_ERR_FENCED,
                      "group %s: another consumer has taken the place of group_instance_id %s",
                      c->group, c->instance);
}

/* ---- Following -------------------------------------------------------- */

static int follow_news(struct rill_consumer *c)
{
    struct news news;
    int rc = rill__coordinator_news(c->coordinator, &c->membership, c->instance, &news);

    if (rc == 0 && news.gone) {
        rc = lose_all(c, &news);
    } else if (rc == 0) {
        rc = give_up_parts(c, &news);
        if (rc == 0 && news.asked && !news.planning)
            rc = rill__coordinator_ready(c->coordinator, &c->membership, news.round);
        if (rc == 0) rc = take_new(c, &news);
        if (rc == 0 && news.planning) {
            does(c, DOING_PLAN);
            rc = rill__coordinator_plan(c->coordinator, &c->membership, news.round, &c->options);
            does(c, DOING_POLL);
            if (rc != 0) { /* somebody else shall try */
                struct saved_message why;
                rill__message_save(&why);
                rill__coordinator_leave(c->coordinator, &c->membership, 1000);
                rill__assigned_clear(c);
                rill__message_restore(&why);
            }
        }
        c->membership.version_seen = news.version;
    }
    rill__free(&c->store->heap, news.holdings);
    return rc;
}

static bool group_has_news(const struct rill_consumer *c)
{
    struct member_slot *slot = atomic_load(&c->membership.slot);

    if (slot == NULL) return true; /* it must join */
    if (c->version_heard != 0 && c->version_heard != c->membership.version_seen) return true;
    return atomic_load_explicit(&slot->news, memory_order_acquire) !=
           atomic_load_explicit(&c->membership.seen, memory_order_relaxed);
}

bool rill__consumer_has_news(const struct rill_consumer *c)
{
    return c->subscription != NULL &&
           (group_has_news(c) || c->catalogue_seen != rill__catalogue_version(c->store));
}

int rill__consumer_follow(struct rill_consumer *c)
{
    int rc = 0;

    if (!rill__consumer_has_news(c)) return 0;
    if (c->catalogue_seen != rill__catalogue_version(c->store)) {
        uint64_t version = rill__catalogue_version(c->store);
        rc = rill__coordinator_topics(c->coordinator);
        if (rc == 0) c->catalogue_seen = version;
    }
    while (rc == 0 && group_has_news(c)) {
        struct member_slot *slot = atomic_load(&c->membership.slot);
        uint32_t news;

        if (slot == NULL) {
            rc = join(c);
            continue;
        }
        news = atomic_load_explicit(&slot->news, memory_order_acquire);
        c->version_heard = 0;
        rc = follow_news(c);
        if (rc == 0) atomic_store(&c->membership.seen, news);
    }
    /* Also when the rest of the news must wait: a busy catalogue hides nothing. */
    if ((rc != 0 && rc != RILL_ERR_TIMEOUT) || !c->lost) return rc;
    c->lost = false;
    if (c->options.rebalance == NULL)
        rc = rill__fail(RILL_ERR_REBALANCE,
                        "group %s: the partitions of this consumer have changed", c->group);
    return rc;
}
