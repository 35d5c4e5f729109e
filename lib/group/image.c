/*
 * group/image.c - a group as bytes, to be kept between steps.
 *
 *     head      format (4) = 1, generation (4), version (8), assignor (4),
 *               planner (4), counts of topics, subscriptions, members (4 each)
 *     topic     number (8), wanted (1), name, partition count (4), then for each
 *               owner (4), target (4), since (4), leaving (1)
 *     subscr.   text, topic count (4), then places among the topics (4 each)
 *     member    id (8), 0: an unused place, nothing follows; name, instance, own
 *               assignor, subscription (4), assignor (4), assignors (4), session
 *               timeout (4), max poll interval (4), heard (8), polled (8), asked
 *               (8), round (4), away (1)
 *
 * Integers are little-endian. A text is its size (4) and its bytes; size 2^32 - 1:
 * there is none. Owners, targets and the planner are places among the members,
 * 2^32 - 1 for nobody. Topics are in order of their numbers.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "group/inner.h"

enum { IMAGE_FORMAT = 1, IMAGE_HEAD = 36, PLACE_BYTES = 13, VERSION_AT = 8 };
#define NO_TEXT UINT32_MAX

/* ---- Writing ---------------------------------------------------------- */

/* Grows; after a failure it swallows. */
struct writer {
    struct heap *heap;
    uint8_t *bytes;
    size_t size;
    size_t room;
    bool failed;
};

static uint8_t *more(struct writer *w, size_t size)
{
    if (w->failed) return NULL;
    if (w->room - w->size < size) {
        size_t room = (w->size + size) * 2;
        uint8_t *grown = rill__resize(w->heap, w->bytes, room);
        if (grown == NULL) {
            w->failed = true;
            return NULL;
        }
        w->bytes = grown;
        w->room = room;
    }
    w->size += size;
    return w->bytes + w->size - size;
}

static void write8(struct writer *w, uint8_t v)
{
    uint8_t *at = more(w, 1);
    if (at != NULL) *at = v;
}

static void write32(struct writer *w, uint32_t v)
{
    uint8_t *at = more(w, 4);
    if (at != NULL) rill__put32(at, v);
}

static void write64(struct writer *w, uint64_t v)
{
    uint8_t *at = more(w, 8);
    if (at != NULL) rill__put64(at, v);
}

static void write_text(struct writer *w, const char *text)
{
    size_t size = text == NULL ? 0 : strlen(text);
    uint8_t *at;

    write32(w, text == NULL ? NO_TEXT : (uint32_t)size);
    at = more(w, size);
    if (at != NULL && size != 0) memcpy(at, text, size);
}

static void write_topic(struct writer *w, const struct placed_topic *topic)
{
    write64(w, topic->topic);
    write8(w, topic->wanted);
    write_text(w, topic->name);
    write32(w, topic->partition_count);
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        const struct place *place = &topic->places[p];
        uint8_t *at = more(w, PLACE_BYTES);
        if (at == NULL) return;
        rill__put32(at, place->owner);
        rill__put32(at + 4, place->target);
        rill__put32(at + 8, (uint32_t)place->since);
        at[12] = place->leaving;
    }
}

static void write_subscription(struct writer *w, const struct group *group,
                               const struct subscription *s)
{
    write_text(w, s->text);
    write32(w, (uint32_t)s->topic_count);
    for (size_t t = 0; t < s->topic_count; t++)
        write32(w, (uint32_t)(rill__placed_topic(group, s->topics[t].topic) - group->topics));
}

static void write_member(struct writer *w, const struct group *group, const struct member *m)
{
    uint32_t subscription = 0;

    write64(w, m == NULL ? 0 : m->id);
    if (m == NULL) return;
    while (group->subscriptions[subscription] != m->subscription) subscription++;
    write_text(w, m->name);
    write_text(w, m->instance);
    write_text(w, m->own_assignor);
    write32(w, subscription);
    write32(w, (uint32_t)m->assignor);
    write32(w, m->assignors);
    write32(w, m->session_timeout_ms);
    write32(w, m->max_poll_interval_ms);
    write64(w, (uint64_t)m->heard_ms);
    write64(w, (uint64_t)m->polled_ms);
    write64(w, (uint64_t)m->asked_ms);
    write32(w, m->round);
    write8(w, m->away);
}

int rill__group_encode(const struct group *group, size_t spare, uint8_t **bytes, size_t *size)
{
    struct writer w = {.heap = group->heap};

    write32(&w, IMAGE_FORMAT);
    write32(&w, (uint32_t)group->generation);
    write64(&w, group->version);
    write32(&w, (uint32_t)group->assignor);
    write32(&w, group->planner);
    write32(&w, (uint32_t)group->topic_count);
    write32(&w, (uint32_t)group->subscription_count);
    write32(&w, (uint32_t)group->member_room);
    for (size_t i = 0; i < group->topic_count; i++) write_topic(&w, &group->topics[i]);
    for (size_t i = 0; i < group->subscription_count; i++)
        write_subscription(&w, group, group->subscriptions[i]);
    for (size_t i = 0; i < group->member_room; i++) write_member(&w, group, group->members[i]);
    *size = w.size;
    more(&w, spare);
    if (w.failed) {
        rill__free(group->heap, w.bytes);
        return RILL_ERR_NO_MEMORY;
    }
    *bytes = w.bytes;
    return 0;
}

/* ---- Reading ---------------------------------------------------------- */

static int bad_image(const char *what)
{
    return rill__fail(RILL_ERR_CORRUPT, "a group's stored state: %s", what);
}

static size_t left(const struct cursor *in)
{
    return (size_t)(in->end - in->at);
}

/* A text of its own, or NULL for none. */
static int read_text_of(struct heap *heap, struct cursor *in, char **out)
{
    uint32_t size = rill__cursor_get32(in);
    const char *text;

    *out = NULL;
    if (size == NO_TEXT) return 0;
    if (in->short_read || size > left(in)) return bad_image("a text is longer than it");
    text = rill__cursor_take(in, size);
    if (memchr(text, 0, size) != NULL) return bad_image("a text has a zero");
    *out = rill__alloc(heap, (size_t)size + 1);
    if (*out == NULL) return RILL_ERR_NO_MEMORY;
    memcpy(*out, text, size);
    return 0;
}

static int read_name(struct heap *heap, struct cursor *in, char **out)
{
    int rc = read_text_of(heap, in, out);
    return rc == 0 && *out == NULL ? bad_image("a name is missing") : rc;
}

static bool is_place(const struct group *group, uint32_t at)
{
    return at == NOBODY || at < group->member_room;
}

static int read_topic(struct group *group, struct cursor *in, struct placed_topic *topic)
{
    uint32_t count;
    int rc;

    topic->topic = rill__cursor_get64(in);
    topic->wanted = rill__cursor_get8(in) != 0;
    rc = read_name(group->heap, in, &topic->name);
    if (rc != 0) return rc;
    count = rill__cursor_get32(in);
    if (in->short_read || count > left(in) / PLACE_BYTES) return bad_image("too many partitions");
    if (topic != group->topics && topic[-1].topic >= topic->topic)
        return bad_image("the topics are out of order");
    topic->places = rill__alloc(group->heap, count * sizeof *topic->places);
    if (topic->places == NULL) return RILL_ERR_NO_MEMORY;
    topic->partition_count = count;
    for (uint32_t p = 0; p < count; p++) {
        const uint8_t *at = rill__cursor_take(in, PLACE_BYTES);
        topic->places[p] = (struct place){rill__get32(at), rill__get32(at + 4),
                                          (int32_t)rill__get32(at + 8), at[12] != 0};
        if (!is_place(group, topic->places[p].owner) || !is_place(group, topic->places[p].target))
            return bad_image("a partition's owner is out of range");
    }
    return 0;
}

static int read_topics(struct group *group, struct cursor *in, uint32_t count)
{
    int rc = 0;

    if (count > left(in) / 17) return bad_image("too many topics");
    group->topics = rill__alloc(group->heap, count * sizeof *group->topics);
    if (group->topics == NULL) return RILL_ERR_NO_MEMORY;
    while (group->topic_count < count && rc == 0)
        rc = read_topic(group, in, &group->topics[group->topic_count++]);
    return rc;
}

static int read_subscription(struct group *group, struct cursor *in)
{
    struct group_subscription given = {NULL, NULL, 0};
    struct group_topic *topics;
    struct subscription *s;
    size_t before = group->subscription_count;
    char *text;
    uint32_t count;
    int rc = read_name(group->heap, in, &text);

    if (rc != 0) return rc;
    count = rill__cursor_get32(in);
    if (in->short_read || count > left(in) / 4) rc = bad_image("too many topics subscribed to");
    topics = rc != 0 ? NULL : rill__alloc(group->heap, count * sizeof *topics);
    if (rc == 0 && topics == NULL) rc = RILL_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        uint32_t at = rill__cursor_get32(in);
        if (at >= group->topic_count || !group->topics[at].wanted)
            rc = bad_image("a topic subscribed to is not there");
        else
            topics[i] =
                (struct group_topic){group->topics[at].topic, group->topics[at].partition_count,
                                     group->topics[at].name};
    }
    if (rc == 0) {
        given = (struct group_subscription){text, topics, count};
        rc = rill__group_subscription(group, &given, &s);
    }
    if (rc == 0 && group->subscription_count == before)
        rc = bad_image("a subscription comes twice");
    rill__free(group->heap, topics);
    rill__free(group->heap, text);
    return rc;
}

static int read_fields(struct group *group, struct cursor *in, struct member *m)
{
    uint32_t subscription;
    int rc = read_name(group->heap, in, &m->name);

    if (rc == 0) rc = read_text_of(group->heap, in, &m->instance);
    if (rc == 0) rc = read_text_of(group->heap, in, &m->own_assignor);
    if (rc != 0) return rc;
    subscription = rill__cursor_get32(in);
    m->assignor = (int32_t)rill__cursor_get32(in);
    m->assignors = rill__cursor_get32(in);
    m->session_timeout_ms = rill__cursor_get32(in);
    m->max_poll_interval_ms = rill__cursor_get32(in);
    m->heard_ms = (int64_t)rill__cursor_get64(in);
    m->polled_ms = (int64_t)rill__cursor_get64(in);
    m->asked_ms = (int64_t)rill__cursor_get64(in);
    m->round = rill__cursor_get32(in);
    m->away = rill__cursor_get8(in) != 0;
    if (in->short_read || subscription >= group->subscription_count)
        return bad_image("a member's subscription is not there");
    if (m->assignor < 0 || m->assignor > RILL_ASSIGN_OWN) return bad_image("an unknown assignor");
    m->subscription = group->subscriptions[subscription];
    m->subscription->users++;
    group->member_count++;
    return 0;
}

static int read_member(struct group *group, struct cursor *in, struct member **out)
{
    uint64_t id = rill__cursor_get64(in);
    struct member *m;
    int rc;

    if (in->short_read) return bad_image("it ends early");
    if (id == 0) return 0;
    m = rill__alloc(group->heap, sizeof *m);
    if (m == NULL) return RILL_ERR_NO_MEMORY;
    m->id = id;
    rc = read_fields(group, in, m);
    if (rc != 0) rill__member_free(group->heap, m);
    else *out = m;
    return rc;
}

/* Owners and targets are members that there are; who must give up was asked. */
static int check_owners(const struct group *group)
{
    for (size_t t = 0; t < group->topic_count; t++)
        for (uint32_t p = 0; p < group->topics[t].partition_count; p++) {
            const struct place *place = &group->topics[t].places[p];
            if ((place->owner != NOBODY && group->members[place->owner] == NULL) ||
                (place->target != NOBODY && group->members[place->target] == NULL))
                return bad_image("a partition's owner is nobody");
            if (!place->leaving) continue;
            if (place->owner == NOBODY || group->members[place->owner]->asked_ms < 0)
                return bad_image("a partition leaves one who was not asked");
        }
    return 0;
}

static int check_whole(const struct group *group)
{
    int32_t assignor;
    int rc = check_owners(group);

    if (rc != 0) return rc;
    for (size_t i = 0; i < group->subscription_count; i++)
        if (group->subscriptions[i]->users == 0) return bad_image("nobody has a subscription");
    if (group->planner != NOBODY && group->members[group->planner] == NULL)
        return bad_image("the planner is nobody");
    if (group->member_count > 0 && rill__group_elect(group, NULL, NOBODY, &assignor) != 0)
        return bad_image("the members have no common assignor");
    return 0;
}

static int read_group(struct group *group, struct cursor *in)
{
    uint32_t topics;
    uint32_t subscriptions;
    uint32_t members;
    int rc = 0;

    group->assignor = (int32_t)rill__cursor_get32(in);
    group->planner = rill__cursor_get32(in);
    topics = rill__cursor_get32(in);
    subscriptions = rill__cursor_get32(in);
    members = rill__cursor_get32(in);
    if (group->assignor < 0 || group->assignor > RILL_ASSIGN_OWN)
        return bad_image("an unknown assignor");
    if (members > left(in) / 8) return bad_image("too many members");
    group->members = rill__alloc(group->heap, members * sizeof(void *));
    if (group->members == NULL) return RILL_ERR_NO_MEMORY;
    group->member_room = members;
    if (!is_place(group, group->planner)) return bad_image("the planner is out of range");
    rc = read_topics(group, in, topics);
    for (uint32_t i = 0; i < subscriptions && rc == 0; i++) rc = read_subscription(group, in);
    for (uint32_t i = 0; i < members && rc == 0; i++)
        rc = read_member(group, in, &group->members[i]);
    if (rc == 0 && in->at != in->end) rc = bad_image("it goes on after its end");
    return rc == 0 ? check_whole(group) : rc;
}

uint64_t rill__group_encoded_version(const void *bytes, size_t size)
{
    return size < IMAGE_HEAD ? 0 : rill__get64((const uint8_t *)bytes + VERSION_AT);
}

int rill__group_decode(struct heap *heap, const void *bytes, size_t size, struct group **out)
{
    struct cursor in = rill__cursor(bytes, size);
    struct group *group;
    uint32_t format;
    int32_t generation;
    int rc;

    if (size < IMAGE_HEAD) return bad_image("it is too short");
    format = rill__cursor_get32(&in);
    if (format != IMAGE_FORMAT)
        return rill__fail(
            RILL_ERR_FORMAT,
            "a group's stored state has format %u; this library (%d.%d.%d) knows %d", format,
            RILL_VERSION_MAJOR, RILL_VERSION_MINOR, RILL_VERSION_PATCH, IMAGE_FORMAT);
    generation = (int32_t)rill__cursor_get32(&in);
    if (generation < 0) return bad_image("its generation is negative");
    rc = rill__group_new(heap, generation, rill__cursor_get64(&in), &group);
    if (rc != 0) return rc;
    rc = read_group(group, &in);
    if (rc != 0) {
        rill__group_free(group);
        return rc;
    }
    *out = group;
    return 0;
}
