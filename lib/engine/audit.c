/*
 * engine/audit.c - records counted by topic, partition and window of time.
 *
 * The windows are a sorted array: in practice records come into the last windows of
 * their partitions, which the place of the last hit, or a binary search, finds.
 *
 * Always true, under the lock: the windows strictly increase by (topic, partition,
 * begin); there are at most window_max; a window that was dropped begins before
 * dropped_ms, so below it nothing is known for certain.
 */
#include "engine/intercept.h"
#include <inttypes.h>
#include <string.h>

struct window {
    const char *topic; /* one of audit->topics */
    int32_t partition;
    int64_t begin_ms;
    uint64_t count;
    int64_t first;
    int64_t last;
};

struct topic_name {
    struct topic_name *next;
    char name[];
};

struct rill_audit {
    rill *handle;
    struct heap *heap;
    rill_audit_options options;
    struct mutex lock; /* guards all below */
    struct topic_name *topics;
    struct window *windows;
    size_t count;
    size_t room;
    size_t hit; /* where the last one was counted */
    int64_t dropped_ms;
};

int rill__audit_open(rill *handle, const rill_audit_options *given, rill_audit **out)
{
    struct heap *heap = &handle->store->heap;
    rill_audit *audit = rill__alloc(heap, sizeof *audit);
    int rc;

    if (audit == NULL) return RILL_ERR_NO_MEMORY;
    rc = rill__options_take(OPTIONS_AUDIT, given, &audit->options);
    if (rc != 0) {
        rill__free(heap, audit);
        return rc;
    }
    audit->handle = handle;
    audit->heap = heap;
    audit->dropped_ms = INT64_MIN;
    rill__mutex_init(&audit->lock);
    atomic_fetch_add(&handle->children, 1);
    *out = audit;
    return 0;
}

void rill__audit_close(rill_audit *audit)
{
    struct heap *heap = audit->heap;

    while (audit->topics != NULL) {
        struct topic_name *next = audit->topics->next;
        rill__free(heap, audit->topics);
        audit->topics = next;
    }
    atomic_fetch_sub(&audit->handle->children, 1);
    rill__mutex_deinit(&audit->lock);
    rill__free(heap, audit->windows);
    rill__free(heap, audit);
}

/* ---- Under the lock --------------------------------------------------- */

static const char *keep_topic(rill_audit *audit, const char *name)
{
    struct topic_name *topic;
    size_t size = strlen(name) + 1;

    for (topic = audit->topics; topic != NULL; topic = topic->next)
        if (strcmp(topic->name, name) == 0) return topic->name;
    topic = rill__alloc(audit->heap, sizeof *topic + size);
    if (topic == NULL) return NULL;
    memcpy(topic->name, name, size);
    topic->next = audit->topics;
    audit->topics = topic;
    return topic->name;
}

static int compare(const struct window *a, const char *topic, int32_t partition, int64_t begin_ms)
{
    int by_topic = a->topic == topic ? 0 : strcmp(a->topic, topic);

    if (by_topic != 0) return by_topic;
    if (a->partition != partition) return a->partition < partition ? -1 : 1;
    return (a->begin_ms > begin_ms) - (a->begin_ms < begin_ms);
}

/* Where the window is, or would be. */
static size_t window_place(const rill_audit *audit, const char *topic, int32_t partition,
                           int64_t begin_ms)
{
    size_t low = 0;
    size_t high = audit->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&audit->windows[middle], topic, partition, begin_ms) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The earliest of all goes, with those that are not there yet. */
static void drop_earliest(rill_audit *audit, int64_t begin_ms)
{
    size_t earliest = 0;

    for (size_t i = 1; i < audit->count; i++)
        if (audit->windows[i].begin_ms < audit->windows[earliest].begin_ms) earliest = i;
    if (begin_ms >= audit->windows[earliest].begin_ms) {
        begin_ms = audit->windows[earliest].begin_ms;
        memmove(&audit->windows[earliest], &audit->windows[earliest + 1],
                (--audit->count - earliest) * sizeof audit->windows[0]);
    }
    if (begin_ms >= audit->dropped_ms) audit->dropped_ms = begin_ms + audit->options.window_ms;
}

static int add(rill_audit *audit, const rill_audit_window *more)
{
    struct window *w;
    const char *topic;
    size_t at = audit->hit;

    if (at >= audit->count ||
        compare(&audit->windows[at], more->topic, more->partition, more->begin_ms) != 0)
        at = window_place(audit, more->topic, more->partition, more->begin_ms);
    if (at == audit->count ||
        compare(&audit->windows[at], more->topic, more->partition, more->begin_ms) != 0) {
        if (more->begin_ms < audit->dropped_ms) return 0;
        topic = keep_topic(audit, more->topic);
        if (topic == NULL) return RILL_ERR_NO_MEMORY;
        if (audit->count == audit->options.window_max) {
            drop_earliest(audit, more->begin_ms);
            if (more->begin_ms < audit->dropped_ms) return 0;
            at = window_place(audit, topic, more->partition, more->begin_ms);
        }
        if (audit->count == audit->room) {
            size_t room = audit->room == 0 ? 16 : audit->room * 2;
            struct window *grown =
                rill__resize(audit->heap, audit->windows, room * sizeof *grown);
            if (grown == NULL) return RILL_ERR_NO_MEMORY;
            audit->windows = grown;
            audit->room = room;
        }
        memmove(&audit->windows[at + 1], &audit->windows[at],
                (audit->count++ - at) * sizeof audit->windows[0]);
        audit->windows[at] =
            (struct window){topic, more->partition, more->begin_ms, 0, more->first, more->last};
    }
    w = &audit->windows[at];
    w->count += more->record_count;
    if (more->first < w->first) w->first = more->first;
    if (more->last > w->last) w->last = more->last;
    audit->hit = at;
    return 0;
}

static rill_audit_window window_of(const struct window *w)
{
    return (rill_audit_window){w->topic, w->partition, w->begin_ms, w->count, w->first, w->last};
}

/* ---- Counting --------------------------------------------------------- */

static int count_one(rill_audit *audit, const char *topic, int32_t partition,
                     int64_t timestamp_ms, int64_t offset)
{
    int64_t rest = timestamp_ms % (int64_t)audit->options.window_ms;
    rill_audit_window one = {topic, partition, timestamp_ms - rest, 1, offset, offset};
    int rc;

    if (rest < 0) one.begin_ms -= audit->options.window_ms; /* before the epoch */
    rill__mutex_lock(&audit->lock);
    rc = add(audit, &one);
    rill__mutex_unlock(&audit->lock);
    return rc;
}

static int on_acknowledge(void *arg, const rill_delivery *delivery)
{
    if (delivery->status != 0) return 0;
    return count_one(arg, delivery->topic, delivery->partition, delivery->timestamp_ms,
                     delivery->offset);
}

static int on_consume(void *arg, rill_record *records, size_t *count)
{
    int first = 0;

    for (size_t i = 0; i < *count; i++) {
        int rc = count_one(arg, records[i].topic, records[i].partition, records[i].timestamp_ms,
                           records[i].offset);
        if (first == 0) first = rc;
    }
    return first;
}

void rill__audit_producer(rill_audit *audit, rill_producer_interceptor *interceptor)
{
    *interceptor = (rill_producer_interceptor){
        .name = "audit", .arg = audit, .on_acknowledge = on_acknowledge};
}

void rill__audit_consumer(rill_audit *audit, rill_consumer_interceptor *interceptor)
{
    *interceptor =
        (rill_consumer_interceptor){.name = "audit", .arg = audit, .on_consume = on_consume};
}

int rill__audit_add(rill_audit *audit, const rill_audit_window *window)
{
    int rc;

    if (window->topic == NULL || window->begin_ms % (int64_t)audit->options.window_ms != 0)
        return rill__fail(RILL_ERR_INVALID,
                          "a window that begins at %" PRId64 "; this audit's begin at multiples "
                          "of %u ms and name a topic",
                          window->begin_ms, audit->options.window_ms);
    rill__mutex_lock(&audit->lock);
    rc = add(audit, window);
    rill__mutex_unlock(&audit->lock);
    return rc;
}

/* ---- Looking ---------------------------------------------------------- */

/* The first window behind *at (NULL: the first of all), while others may count. */
static bool next_window(rill_audit *audit, const rill_audit_window *at, rill_audit_window *next)
{
    size_t i = 0;
    bool there;

    rill__mutex_lock(&audit->lock);
    if (at != NULL) {
        i = window_place(audit, at->topic, at->partition, at->begin_ms);
        if (i < audit->count &&
            compare(&audit->windows[i], at->topic, at->partition, at->begin_ms) == 0)
            i++;
    }
    there = i < audit->count;
    if (there) *next = window_of(&audit->windows[i]);
    rill__mutex_unlock(&audit->lock);
    return there;
}

int rill__audit_list(rill_audit *audit, int (*visit)(void *arg, const rill_audit_window *window),
                     void *arg)
{
    rill_audit_window window;
    bool there = next_window(audit, NULL, &window);

    while (there) {
        rill_audit_window here = window;
        int answer = visit(arg, &here);
        if (answer != 0) return answer;
        there = next_window(audit, &here, &window);
    }
    return 0;
}

static int64_t dropped_ms(rill_audit *audit)
{
    int64_t ms;

    rill__mutex_lock(&audit->lock);
    ms = audit->dropped_ms;
    rill__mutex_unlock(&audit->lock);
    return ms;
}

int rill__audit_compare(rill_audit *sent, rill_audit *received,
                        int (*visit)(void *arg, const rill_audit_window *sent,
                                     const rill_audit_window *received),
                        void *arg)
{
    int64_t known = dropped_ms(sent);
    rill_audit_window a;
    rill_audit_window b;
    bool has_a;
    bool has_b;

    if (sent->options.window_ms != received->options.window_ms)
        return rill__fail(RILL_ERR_INVALID, "windows of %u and of %u ms cannot be compared",
                          sent->options.window_ms, received->options.window_ms);
    if (dropped_ms(received) > known) known = dropped_ms(received);
    has_a = next_window(sent, NULL, &a);
    has_b = next_window(received, NULL, &b);
    while (has_a || has_b) {
        struct window of_b = {.topic = b.topic, .partition = b.partition, .begin_ms = b.begin_ms};
        int order = !has_a ? 1 : !has_b ? -1 : -compare(&of_b, a.topic, a.partition, a.begin_ms);
        rill_audit_window left = order <= 0 ? a : b;
        rill_audit_window right = order >= 0 ? b : a;
        int answer = 0;

        if (order > 0) left.record_count = 0;
        if (order < 0) right.record_count = 0;
        if (left.record_count != right.record_count && left.begin_ms >= known)
            answer = visit(arg, &left, &right);
        if (answer != 0) return answer;
        if (order <= 0) has_a = next_window(sent, &left, &a);
        if (order >= 0) has_b = next_window(received, &right, &b);
    }
    return 0;
}
