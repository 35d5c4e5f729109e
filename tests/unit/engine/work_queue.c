/*
 * The queue of the workers hands out what may be worked on: of a key only the
 * first, in order of offset; what is delayed when it is due, whoever was delayed
 * first. A partition's frontier is its lowest unfinished record, whatever happens;
 * and what was dropped does not come.
 */
#include "engine/work_queue.h"
#include "log/log.h"
#include "testing.h"

#define KEYS 5
#define RECORDS 400

struct fixture {
    struct heap heap;
    struct work_queue queue;
    uint64_t room[32];
};

static int set_up(void **state)
{
    static struct fixture f;
    rill_workers_options options = {.in_flight_max = 10};

    memset(&f, 0, sizeof f);
    rill__heap_init(&f.heap, NULL, 0);
    OK(rill__work_init(&f.queue, &f.heap, &options));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    rill__work_deinit(&f->queue);
    assert_int_equal(atomic_load(&f->heap.bytes), 0);
    return 0;
}

static const char topic[] = "t";

/* A record as a consumer hands it out. */
static rill_record record_at(struct fixture *f, int32_t partition, int64_t offset, char key)
{
    rill_record given = RILL_RECORD_INIT;
    rill_record record;
    struct record_walk walk = {64, 0};
    struct batch_view view;
    struct batch batch;
    const char *why;
    bool bad;

    given.key = (rill_bytes){&key, 1};
    rill__batch_init(&batch, f->room, sizeof f->room);
    assert_true(rill__batch_add(&batch, &given, 1, NULL));
    rill__batch_seal(&batch);
    rill__batch_stamp(batch.data, batch.content, 0, offset, (int32_t)(offset / 100));
    assert_int_equal(rill__batch_view(batch.data, batch.size, &view, &why), BATCH_VALID);
    assert_true(rill__record_next(&view, &walk, &record, &bad));
    record.topic = topic;
    record.partition = partition;
    return record;
}

static struct task *add(struct fixture *f, int32_t partition, int64_t offset, char key)
{
    rill_record record = record_at(f, partition, offset, key);
    struct work_part *part = rill__work_part(&f->queue, &record);
    struct task *task = rill__task_new(&f->queue, &record);

    assert_non_null(part);
    assert_non_null(task);
    rill__work_add(&f->queue, part, task);
    return task;
}

static void takes_offset(struct fixture *f, int64_t now_ns, int64_t offset)
{
    struct task *task = rill__work_take(&f->queue, now_ns);

    assert_non_null(task);
    assert_int_equal(task->record.offset, offset);
}

static void finish(struct fixture *f, struct task *task)
{
    rill__work_finish(&f->queue, task);
    rill__free(&f->heap, task);
}

static void the_first_of_a_key_is_handed_out(void **state)
{
    struct fixture *f = *state;
    struct task *a = add(f, 0, 0, 'a');
    struct task *b;

    add(f, 0, 1, 'a');
    b = add(f, 0, 2, 'b');
    add(f, 1, 0, 'a'); /* another partition, another key */
    takes_offset(f, 0, 0);
    takes_offset(f, 0, 2);
    takes_offset(f, 0, 0);
    assert_null(rill__work_take(&f->queue, 0));
    finish(f, b);
    assert_null(rill__work_take(&f->queue, 0));
    finish(f, a);
    takes_offset(f, 0, 1);
    for (struct work_part *part = f->queue.parts; part != NULL; part = part->next)
        while (part->first != NULL) finish(f, part->first);
}

static void what_is_delayed_comes_when_it_is_due(void **state)
{
    static const int64_t due[] = {50, 20, 70, 60, 10, 60};
    static const int64_t order[] = {4, 1, 0, 3, 5, 2};
    struct fixture *f = *state;
    struct task *tasks[6];

    assert_int_equal(rill__work_due(&f->queue), INT64_MAX);
    for (int i = 0; i < 6; i++) tasks[i] = add(f, 0, i, (char)('a' + i));
    for (int i = 0; i < 6; i++) takes_offset(f, 0, i);
    for (int i = 0; i < 6; i++) rill__work_delay(&f->queue, tasks[i], due[i]);
    assert_null(rill__work_take(&f->queue, 9));
    for (int i = 0; i < 6; i++) {
        int64_t now = due[order[i]];
        assert_true(rill__work_due(&f->queue) == now || i == 4); /* two are due at 60 */
        takes_offset(f, now, order[i]);
    }
    assert_int_equal(tasks[0]->tries, 2);
    for (int i = 0; i < 6; i++) finish(f, tasks[i]);
}

static void a_dropped_partition_does_not_come(void **state)
{
    struct fixture *f = *state;
    struct task *runs = add(f, 0, 0, 'a');
    struct task *later = add(f, 0, 1, 'b');
    struct work_part *part = runs->part;
    struct task *again;

    add(f, 0, 2, 'a');
    add(f, 0, 3, 'c');
    add(f, 1, 9, 'a');
    takes_offset(f, 0, 0);
    takes_offset(f, 0, 1);
    rill__work_delay(&f->queue, later, 5);
    rill__work_drop(&f->queue, part);
    rill__work_part_gone(&f->queue, part);
    takes_offset(f, 10, 9);
    assert_null(rill__work_take(&f->queue, 10));

    /* It comes back, and what still runs is the first of its key. */
    again = add(f, 0, 0, 'a');
    assert_ptr_not_equal(again->part, part);
    add(f, 0, 1, 'b');
    takes_offset(f, 10, 1);
    assert_null(rill__work_take(&f->queue, 10));
    finish(f, runs);
    takes_offset(f, 10, 0);
    for (part = f->queue.parts; part != NULL; part = part->next)
        while (part->first != NULL) finish(f, part->first);
    assert_int_equal(f->queue.count, 0);
    assert_int_equal(f->queue.bytes, 0);
}

static void who_seeks_back_moves_the_frontier_back(void **state)
{
    struct fixture *f = *state;
    struct task *task = add(f, 0, 200, 'a');
    struct work_part *part = task->part;
    struct task *earlier;

    finish(f, rill__work_take(&f->queue, 0));
    assert_int_equal(rill__work_frontier(part).offset, 201);
    assert_int_equal(rill__work_frontier(part).leader_epoch, 2);
    task = add(f, 0, 201, 'a');
    assert_int_equal(rill__work_frontier(part).leader_epoch, 2);
    earlier = add(f, 0, 100, 'b');
    assert_int_equal(rill__work_frontier(part).offset, 100);
    assert_int_equal(rill__work_frontier(part).leader_epoch, -1);
    assert_int_equal(part->end, 202);
    takes_offset(f, 0, 201);
    takes_offset(f, 0, 100);
    finish(f, earlier);
    assert_int_equal(rill__work_frontier(part).offset, 201);
    finish(f, task);
    assert_int_equal(rill__work_frontier(part).offset, 202);
}

/* Any order of events, against what is known to be unfinished. */
static void the_frontier_is_the_lowest_unfinished(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_seeded(1);
    bool unfinished[RECORDS] = {false};
    int64_t next_of_key[KEYS];
    struct task *running[RECORDS];
    size_t running_count = 0;
    int64_t end = 0;
    int64_t now = 0;
    int64_t lowest;
    struct work_part *part = NULL;

    for (int i = 0; i < KEYS; i++) next_of_key[i] = i;
    for (int step = 0; end < RECORDS || running_count > 0 || f->queue.count > 0; step++) {
        uint64_t dice = test_random_below(&random, 4);
        struct task *task;

        now++;
        if (dice == 0 && end < RECORDS) {
            unfinished[end] = true;
            part = add(f, 0, end, (char)(end % KEYS))->part;
            end++;
        } else if (dice == 1 && (task = rill__work_take(&f->queue, now)) != NULL) {
            int64_t key = task->record.offset % KEYS;
            assert_int_equal(task->record.offset, next_of_key[key]);
            running[running_count++] = task;
        } else if (dice >= 2 && running_count > 0) {
            size_t i = (size_t)test_random_below(&random, running_count);
            task = running[i];
            running[i] = running[--running_count];
            if (dice == 2 && test_random_below(&random, 3) == 0) {
                rill__work_delay(&f->queue, task, now + (int64_t)test_random_below(&random, 20));
            } else {
                unfinished[task->record.offset] = false;
                next_of_key[task->record.offset % KEYS] += KEYS;
                finish(f, task);
            }
        }
        for (lowest = 0; lowest < end && !unfinished[lowest];) lowest++;
        if (part != NULL) assert_int_equal(rill__work_frontier(part).offset, lowest);
        if (part != NULL) assert_int_equal(part->running, running_count);
    }
    assert_int_equal(rill__work_frontier(part).offset, RECORDS);
}

/* Two topics whose names are neighbours in memory, and partitions that make up for it:
 * the hashes are the same, the keys are not. */
static void partitions_of_one_hash_are_not_of_one_key(void **state)
{
    static const char names[] = "tu";
    struct fixture *f = *state;
    rill_record one = record_at(f, 1, 0, 'a');
    rill_record two;
    struct task *tasks[2];

    one.topic = &names[0];
    tasks[0] = rill__task_new(&f->queue, &one);
    rill__work_add(&f->queue, rill__work_part(&f->queue, &one), tasks[0]);
    two = record_at(f, 0, 0, 'a');
    two.topic = &names[1];
    tasks[1] = rill__task_new(&f->queue, &two);
    rill__work_add(&f->queue, rill__work_part(&f->queue, &two), tasks[1]);
    assert_int_equal(tasks[0]->hash, tasks[1]->hash);
    assert_ptr_equal(rill__work_take(&f->queue, 0), tasks[0]);
    assert_ptr_equal(rill__work_take(&f->queue, 0), tasks[1]);
    finish(f, tasks[1]);
    finish(f, tasks[0]);
}

static void the_buckets_have_a_limit(void **state)
{
    struct fixture *f = *state;
    rill_workers_options options = {.in_flight_max = 1000000};
    struct work_queue large = {0};

    OK(rill__work_init(&large, &f->heap, &options));
    assert_int_equal(large.bucket_mask, 65535);
    rill__work_deinit(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_of_a_key_is_handed_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_delayed_comes_when_it_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dropped_partition_does_not_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_seeks_back_moves_the_frontier_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_frontier_is_the_lowest_unfinished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(partitions_of_one_hash_are_not_of_one_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_buckets_have_a_limit, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
