/*
 * A key goes to the partition that Kafka's clients would choose: murmur2 gives
 * the values that Kafka's own tests expect.
 */
#include "base/murmur.h"
#include "testing.h"

static void known_values(void **state)
{
    static const struct {
        const char *text;
        int32_t hash;
    } known[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal((int32_t)rill__murmur2(known[i].text, strlen(known[i].text)),
                         known[i].hash);
}

static void partitions_are_in_range(void **state)
{
    char key[32];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int32_t p;
        snprintf(key, sizeof key, "key-%d", i);
        p = rill__murmur2_partition(key, strlen(key), 7);
        assert_in_range(p, 0, 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_values),
                                       cmocka_unit_test(partitions_are_in_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
