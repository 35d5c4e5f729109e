/*
 * groups.c - see groups.h.
 */
#include "groups.h"

struct heap groups_heap;
struct group *groups_it;
const struct group_action *groups_actions;
size_t groups_action_count;
uint32_t groups_sizes[GROUPS_TOPICS];
static uint64_t allocations_left;

/* ---- Memory ---- */

static bool is_refused(void)
{
    if (allocations_left == UINT64_MAX) return false;
    return allocations_left == 0 || allocations_left-- == 0;
}

static void *hook_alloc(void *arg, size_t size)
{
    (void)arg;
    return is_refused() ? NULL : malloc(size);
}

static void *hook_resize(void *arg, void *memory, size_t size)
{
    (void)arg;
    return is_refused() ? NULL : realloc(memory, size);
}

static void hook_release(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

void groups_fail_allocation(uint64_t n)
{
    allocations_left = n;
}

int groups_set_up(void **state)
{
    const rill_allocator hooks = {hook_alloc, hook_resize, hook_release, NULL};

    (void)state;
    allocations_left = UINT64_MAX;
    rill__heap_init(&groups_heap, &hooks, 0);
    memset(groups_sizes, 0, sizeof groups_sizes);
    groups_sizes[0] = 2;
    return rill__group_new(&groups_heap, 7, 0, &groups_it);
}

int groups_tear_down(void **state)
{
    (void)state;
    rill__group_free(groups_it);
    groups_it = NULL;
    return groups_heap.bytes == 0 ? 0 : -1;
}

/* ---- Events ---- */

/* NULL without memory for it: then there is nothing to compare. */
static uint8_t *image(size_t *size)
{
    uint8_t *bytes = NULL;

    if (allocations_left != UINT64_MAX) return NULL;
    assert_int_equal(rill__group_encode(groups_it, 0, &bytes, size), 0);
    return bytes;
}

int groups_step(const struct group_event *event)
{
    size_t size_before;
    size_t size;
    uint8_t *before = image(&size_before);
    uint64_t version = rill__group_version(groups_it);
    int rc = rill__group_step(groups_it, event, &groups_actions, &groups_action_count);
    uint8_t *after = rc == RILL_ERR_NO_MEMORY ? NULL : image(&size);

    if (rc != RILL_ERR_NO_MEMORY) assert_true(rill__group_check(groups_it));
    if (rc != 0) assert_int_equal(groups_action_count, 0);
    if (before != NULL && after != NULL && rill__group_version(groups_it) == version) {
        assert_int_equal(size, size_before);
        assert_memory_equal(before, after, size);
    }
    if (rc != 0 && rc != RILL_ERR_NO_MEMORY)
        assert_int_equal(rill__group_version(groups_it), version);
    rill__free(&groups_heap, before);
    rill__free(&groups_heap, after);
    return rc;
}

static struct group_subscription meaning(const char *letters, struct group_topic *topics)
{
    static const char names[GROUPS_TOPICS][2] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct group_subscription s = {letters, topics, 0};

    for (const char *at = letters; *at != '\0'; at++) {
        uint32_t size = groups_sizes[*at - 'a'];
        if (size == 0) continue;
        topics[s.topic_count++] = (struct group_topic){
            (uint64_t)*at, size == GROUPS_EMPTY_TOPIC ? 0 : size, names[*at - 'a']};
    }
    return s;
}

int groups_join(int64_t now_ms, const struct joiner *joiner)
{
    struct group_topic topics[GROUPS_TOPICS];
    char name[30];
    struct group_join join = {
        .name = joiner->name != NULL ? joiner->name : name,
        .instance = joiner->instance,
        .session_timeout_ms = joiner->session_ms != 0 ? joiner->session_ms : 1000,
        .max_poll_interval_ms = joiner->poll_ms != 0 ? joiner->poll_ms : 300,
        .assignor = joiner->assignor,
        .assignors = joiner->assignors,
        .own_assignor = joiner->own,
        .subscription = meaning(joiner->topics != NULL ? joiner->topics : "a", topics),
    };
    struct group_event e = {
        .kind = GROUP_JOIN, .now_ms = now_ms, .member = joiner->id, .join = &join};

    snprintf(name, sizeof name, "m%05d", (int)joiner->id);
    return groups_step(&e);
}

int groups_subscribe(int64_t now_ms, uint64_t id, const char *letters)
{
    struct group_topic topics[GROUPS_TOPICS];
    struct group_subscription s = meaning(letters, topics);
    struct group_event e = {
        .kind = GROUP_SUBSCRIBE, .now_ms = now_ms, .member = id, .subscription = &s};
    return groups_step(&e);
}

int groups_topics(int64_t now_ms, const char *letters)
{
    struct group_topic topics[GROUPS_TOPICS];
    struct group_subscription s = meaning(letters, topics);
    struct group_event e = {.kind = GROUP_TOPICS, .now_ms = now_ms, .subscription = &s};
    return groups_step(&e);
}

uint32_t groups_round(uint64_t id)
{
    struct group_member m;
    return rill__group_member_find(groups_it, id, &m) ? m.round : 0;
}

int groups_ready_round(int64_t now_ms, uint64_t id, uint32_t round)
{
    struct group_event e = {.kind = GROUP_READY, .now_ms = now_ms, .member = id, .round = round};
    return groups_step(&e);
}

int groups_ready(int64_t now_ms, uint64_t id)
{
    return groups_ready_round(now_ms, id, groups_round(id));
}

int groups_planned(int64_t now_ms, uint64_t id, const char *owners)
{
    int32_t places[100];
    struct group_event e = {.kind = GROUP_PLANNED,
                            .now_ms = now_ms,
                            .member = id,
                            .round = groups_round(id),
                            .owners = places,
                            .owner_count = strlen(owners)};

    for (size_t i = 0; i < e.owner_count; i++)
        places[i] = owners[i] == '-' ? -1 : owners[i] - '0';
    return groups_step(&e);
}

int groups_happens(int64_t now_ms, enum group_event_kind kind, uint64_t id)
{
    struct group_event e = {.kind = kind, .now_ms = now_ms, .member = id};
    return groups_step(&e);
}

void groups_all_ready(int64_t now_ms)
{
    struct group_member m;
    bool any = true;

    while (any) {
        any = false;
        for (size_t i = 0; rill__group_member_at(groups_it, i, &m); i++) {
            if (!m.asked || m.planning) continue;
            OK(groups_ready(now_ms, m.id));
            any = true;
        }
    }
}

/* ---- What came of it ---- */

void groups_said(const char *expected)
{
    char text[1000] = "";
    size_t at = 0;

    for (size_t i = 0; i < groups_action_count && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%c%d", i == 0 ? "" : " ",
                               "RAEP"[groups_actions[i].kind], (int)groups_actions[i].member);
    assert_string_equal(text, expected);
}

static char standing[100000];
static size_t standing_size;

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    standing_size += (size_t)vsnprintf(standing + standing_size, sizeof standing - standing_size,
                                       format, arguments);
    va_end(arguments);
    assert_true(standing_size < sizeof standing);
}

static int put_place(void *arg, const struct group_place *place)
{
    uint64_t *topic = arg;

    if (place->topic != *topic) {
        put("%s%c:", *topic == 0 ? "" : " ", (int)place->topic);
        *topic = place->topic;
    } else {
        put(",");
    }
    if (place->owner == 0) put("-");
    else put("%d", (int)place->owner);
    if (place->leaving && place->target == 0) put(">-");
    else if (place->leaving) put(">%d", (int)place->target);
    else if (place->owner != place->target) put("(%d)", (int)place->target);
    return 0;
}

const char *groups_text(void)
{
    uint64_t topic = 0;

    standing[0] = '\0';
    standing_size = 0;
    assert_int_equal(rill__group_places(groups_it, put_place, &topic), 0);
    return standing;
}

void groups_stands(const char *expected)
{
    assert_string_equal(groups_text(), expected);
}

struct sign_of {
    uint64_t member;
    int64_t heard_ms;
    int64_t polled_ms;
};

static void give_sign(void *arg, uint64_t member, struct group_sign *sign)
{
    const struct sign_of *of = arg;

    if (member != of->member) return;
    sign->heard_ms = of->heard_ms;
    sign->polled_ms = of->polled_ms;
}

void groups_sign(struct group *group, uint64_t member, int64_t heard_ms, int64_t polled_ms)
{
    struct sign_of of = {member, heard_ms, polled_ms};
    rill__group_signs(group, give_sign, &of);
}
