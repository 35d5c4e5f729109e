/*
 * A group as bytes: what is read is what was written, in every state; damaged
 * bytes are refused, or give a group that can be looked at and go on.
 */
#include "groups.h"

/* ---- Groups in all states ---- */

static void empty(void)
{
}

static void left_by_all(void)
{
    OK(JOIN(0, 1, "ab"));
    OK(groups_happens(0, GROUP_LEAVE, 1));
}

static void stable(void)
{
    OK(JOIN(0, 1, "ab"));
    OK(JOIN(0, 2, "a", "instance", "a name"));
    groups_all_ready(0);
}

static void moving(void)
{
    stable();
    OK(JOIN(10, 3, "bc"));
}

static void away(void)
{
    stable();
    OK(groups_happens(20, GROUP_DIED, 2));
    OK(JOIN(30, 3, "abc"));
    OK(groups_ready(30, 1));
}

static void planning(void)
{
    OK(JOIN(0, 1, "ab", .assignor = RILL_ASSIGN_OWN, .own = "mine"));
    OK(groups_planned(0, 1, "0000"));
    OK(JOIN(5, 2, "b", .assignor = RILL_ASSIGN_OWN, .own = "mine", .poll_ms = 12345));
    OK(groups_planned(6, 1, "000-"));
    OK(groups_happens(7, GROUP_LEAVE, 2));
}

static void giving_up_a_topic(void)
{
    stable();
    OK(groups_subscribe(1, 1, "c"));
    OK(groups_happens(2, GROUP_REMOVE, 2)); /* an unused place among the members */
}

static void (*const states[])(void) = {empty, left_by_all, stable,           moving,
                                       away,  planning,    giving_up_a_topic};
enum { STATES = sizeof states / sizeof states[0] };

static void make(size_t i)
{
    assert_int_equal(groups_tear_down(NULL), 0);
    assert_int_equal(groups_set_up(NULL), 0);
    groups_sizes[0] = 3;
    groups_sizes[1] = 1;
    groups_sizes[2] = GROUPS_EMPTY_TOPIC;
    states[i]();
}

/* ---- Looking at and using whatever was read ---- */

static int look_at_place(void *arg, const struct group_place *place)
{
    uint64_t *sum = arg;

    *sum += place->topic + place->owner + place->target + (uint64_t)place->since +
            place->leaving + strlen(place->name);
    rill__group_owns(groups_it, place->owner, place->topic, place->partition, place->since);
    return 0;
}

static uint64_t look_at_all(struct group *group)
{
    struct group_plan_input *input;
    struct group_holding holdings[4];
    struct group_member m;
    uint64_t sum = (uint64_t)rill__group_state(group) + rill__group_version(group) +
                   (uint64_t)rill__group_generation(group) +
                   (uint64_t)rill__group_assignor(group) + rill__group_member_count(group) +
                   (uint64_t)rill__group_next_tick_ms(group);

    for (size_t i = 0; rill__group_member_at(group, i, &m); i++) {
        sum += strlen(m.name) + strlen(m.subscription) + m.owned + m.round;
        if (m.instance != NULL) sum += rill__group_has_instance(group, m.instance);
        sum += rill__group_holdings(group, m.id, holdings, 4);
        sum += rill__group_member_find(group, m.id + 1, &m);
    }
    for (size_t i = 0; rill__group_subscription_at(group, i) != NULL; i++)
        sum += strlen(rill__group_subscription_at(group, i));
    OK(rill__group_places(group, look_at_place, &sum));
    OK(rill__group_plan_input(group, &input));
    for (size_t i = 0; i < input->owner_count; i++) sum += (uint64_t)input->owners[i];
    for (size_t i = 0; i < input->topic_count; i++) sum += strlen(input->topics[i].name);
    for (size_t i = 0; i < input->member_count; i++) sum += strlen(input->members[i].name);
    rill__free(&groups_heap, input);
    return sum;
}

static void try(struct group *group, const struct group_event *e)
{
    const struct group_action *actions;
    size_t count;
    uint8_t *bytes;
    size_t size;
    int rc = rill__group_step(group, e, &actions, &count);

    if (rc != RILL_ERR_NOT_FOUND && rc != RILL_ERR_STATE && rc != RILL_ERR_INVALID &&
        rc != RILL_ERR_EXISTS)
        OK(rc);
    OK(rill__group_encode(group, 0, &bytes, &size));
    rill__free(&groups_heap, bytes);
}

/* Whoever damaged it: nothing that is done with it harms. */
static void use(struct group *group)
{
    const struct group_topic topics[] = {{'a', 3, "a"}, {'b', 4, "b"}};
    struct group_join join = {.name = "new",
                              .session_timeout_ms = 1,
                              .max_poll_interval_ms = 1,
                              .own_assignor = "mine",
                              .assignors = 31,
                              .subscription = {"ab", topics, 2}};
    struct group_event e = {.now_ms = 100, .join = &join, .subscription = &join.subscription};
    struct group_member m;
    int32_t owners[8] = {0};

    look_at_all(group);
    for (uint64_t id = 1; id <= 3; id++) {
        e.member = id;
        e.round = rill__group_member_find(group, id, &m) ? m.round : 0;
        e.owners = owners;
        e.owner_count = 4;
        e.kind = GROUP_READY;
        try(group, &e);
        e.kind = GROUP_PLANNED;
        try(group, &e);
    }
    e.member = 1;
    e.kind = GROUP_SUBSCRIBE;
    try(group, &e);
    e.kind = GROUP_TOPICS;
    try(group, &e);
    e.kind = GROUP_DIED;
    e.member = 2;
    try(group, &e);
    e.kind = GROUP_JOIN;
    e.member = 9;
    try(group, &e);
    look_at_all(group);
    join.instance = "instance";
    e.member = 10;
    try(group, &e);
    e.kind = GROUP_TICK;
    e.now_ms = INT64_MAX;
    try(group, &e);
    look_at_all(group);
}

/* ---- Tests ---- */

static void what_is_read_is_what_was_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < STATES; i++) {
        struct group *read;
        uint8_t *bytes;
        uint8_t *again;
        size_t size;
        size_t size_again;
        uint64_t sum;

        make(i);
        sum = look_at_all(groups_it);
        OK(rill__group_encode(groups_it, 100, &bytes, &size));
        assert_int_equal(rill__group_encoded_version(bytes, size),
                         rill__group_version(groups_it));
        OK(rill__group_decode(&groups_heap, bytes, size, &read));
        assert_true(rill__group_check(read));
        assert_int_equal(look_at_all(read), sum);
        assert_int_equal(rill__group_state(read), rill__group_state(groups_it));
        OK(rill__group_encode(read, 0, &again, &size_again));
        assert_int_equal(size_again, size);
        assert_memory_equal(bytes, again, size);
        memset(bytes + size, 1, 100); /* the spare ones are ours */
        rill__free(&groups_heap, bytes);
        rill__free(&groups_heap, again);
        rill__group_free(groups_it);
        groups_it = read;
        use(groups_it);
    }
}

/* Reads damaged bytes; a copy of exactly their size, so that reading on is seen. */
static int read_damaged(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    struct group *group;
    int rc;

    memcpy(copy, bytes, size);
    rc = rill__group_decode(&groups_heap, copy, size, &group);
    rill__group_encoded_version(copy, size);
    free(copy);
    if (rc != 0) return rc;
    use(group);
    rill__group_free(group);
    return 0;
}

static void every_shorter_one_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < STATES; i++) {
        uint8_t *bytes;
        size_t size;

        make(i);
        OK(rill__group_encode(groups_it, 1, &bytes, &size));
        for (size_t cut = 0; cut < size; cut++) FAILS(RILL_ERR_CORRUPT, read_damaged(bytes, cut));
        assert_int_equal(rill__group_encoded_version(bytes, 15), 0);
        FAILS(RILL_ERR_CORRUPT, read_damaged(bytes, size + 1));
        rill__free(&groups_heap, bytes);
    }
}

static void every_other_byte_is_refused_or_harmless(void **state)
{
    static const uint8_t flips[] = {0xff, 0x01, 0x02, 0x04, 0x80};
    size_t refused = 0;
    size_t taken = 0;

    (void)state;
    for (size_t i = 0; i < STATES; i++) {
        uint8_t *bytes;
        size_t size;

        make(i);
        OK(rill__group_encode(groups_it, 0, &bytes, &size));
        for (size_t at = 0; at < size; at++)
            for (size_t f = 0; f < sizeof flips; f++) {
                int rc;
                bytes[at] ^= flips[f];
                rc = read_damaged(bytes, size);
                bytes[at] ^= flips[f];
                if (rc == 0) taken++;
                else if (rc == RILL_ERR_CORRUPT) refused++;
                else assert_true(rc == RILL_ERR_FORMAT && at < 4);
            }
        rill__free(&groups_heap, bytes);
    }
    assert_true(refused > taken / 4);
}

static void random_damage_is_refused_or_harmless(void **state)
{
    struct test_random dice = test_random_seeded(1);

    (void)state;
    for (size_t round = 0; round < 3000; round++) {
        uint8_t *bytes;
        size_t size;

        make(test_random_below(&dice, STATES));
        OK(rill__group_encode(groups_it, 0, &bytes, &size));
        for (uint64_t n = 2 + test_random_below(&dice, 6); n > 0; n--)
            bytes[4 + test_random_below(&dice, size - 4)] =
                (uint8_t)test_random_below(&dice, test_random_below(&dice, 2) == 0 ? 256 : 4);
        read_damaged(bytes, size);
        rill__free(&groups_heap, bytes);
    }
}

static void a_newer_format_says_which(void **state)
{
    uint8_t *bytes;
    size_t size;

    (void)state;
    make(2);
    OK(rill__group_encode(groups_it, 0, &bytes, &size));
    bytes[0] = 2;
    FAILS(RILL_ERR_FORMAT, read_damaged(bytes, size));
    assert_non_null(strstr(test_message(), "format 2"));
    rill__free(&groups_heap, bytes);
}

static void without_memory_neither_way_works(void **state)
{
    (void)state;
    for (size_t i = 0; i < STATES; i++) {
        struct group *read;
        uint8_t *bytes;
        size_t size;
        uint64_t n = 0;
        int rc;

        make(i);
        do {
            groups_fail_allocation(n++);
            rc = rill__group_encode(groups_it, 500, &bytes, &size);
            if (rc != 0) assert_int_equal(rc, RILL_ERR_NO_MEMORY);
        } while (rc != 0);
        assert_true(n > 1);
        n = 0;
        do {
            groups_fail_allocation(n++);
            rc = rill__group_decode(&groups_heap, bytes, size, &read);
            if (rc != 0) assert_int_equal(rc, RILL_ERR_NO_MEMORY);
        } while (rc != 0);
        assert_true(n > 2);
        rill__group_free(read);
        rill__free(&groups_heap, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GROUP(what_is_read_is_what_was_written),
        WITH_GROUP(every_shorter_one_is_refused),
        WITH_GROUP(every_other_byte_is_refused_or_harmless),
        WITH_GROUP(random_damage_is_refused_or_harmless),
        WITH_GROUP(a_newer_format_says_which),
        WITH_GROUP(without_memory_neither_way_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
