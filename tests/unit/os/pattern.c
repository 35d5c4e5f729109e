/*
 * A pattern is a POSIX extended regular expression; a bad one is refused with
 * its reason.
 */
#include "os/pattern.h"
#include "testing.h"

static bool matches(const char *expression, const char *text)
{
    struct regular regular;
    bool does;

    OK(rill__regular_init(&regular, expression));
    does = rill__regular_matches(&regular, text);
    rill__regular_deinit(&regular);
    return does;
}

static void it_matches_anywhere_unless_anchored(void **state)
{
    (void)state;
    assert_true(matches("rder", "orders"));
    assert_false(matches("^rder", "orders"));
    assert_false(matches("rder$", "orders"));
    assert_true(matches("^orders$", "orders"));
    assert_true(matches("", "orders"));
    assert_true(matches("^$", ""));
    assert_false(matches("^$", "orders"));
}

static void the_syntax_is_the_extended_one(void **state)
{
    (void)state;
    assert_true(matches("^(eu|us)-[0-9]+$", "eu-17"));
    assert_false(matches("^(eu|us)-[0-9]+$", "eu-"));
    assert_false(matches("^(eu|us)-[0-9]+$", "uk-17"));
    assert_true(matches("^[[:alpha:]]{2}\\.x?$", "ab."));
    assert_false(matches("^[[:alpha:]]{2}\\.x?$", "abc"));
}

static void letters_are_not_folded(void **state)
{
    (void)state;
    assert_false(matches("orders", "ORDERS"));
}

static void one_is_used_many_times(void **state)
{
    struct regular regular;

    (void)state;
    OK(rill__regular_init(&regular, "^a+$"));
    for (int i = 0; i < 100; i++) {
        assert_true(rill__regular_matches(&regular, "aaa"));
        assert_false(rill__regular_matches(&regular, "aab"));
    }
    rill__regular_deinit(&regular);
}

static void a_bad_one_is_refused_with_its_reason(void **state)
{
    static const char *const bad[] = {"(", "[a", "*{", "a{2,1}", "[[:none:]]", "\\"};
    struct regular regular;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FAILS(RILL_ERR_INVALID, rill__regular_init(&regular, bad[i]));
        assert_non_null(strstr(rill_errmsg(), bad[i]));
    }
    FAILS(RILL_ERR_INVALID, rill__regular_init(&regular, "x(%s%n"));
    assert_non_null(strstr(rill_errmsg(), "pattern \"x(%s%n\": "));
    assert_true(strlen(rill_errmsg()) > strlen("pattern \"x(%s%n\": "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_matches_anywhere_unless_anchored),
        cmocka_unit_test(the_syntax_is_the_extended_one),
        cmocka_unit_test(letters_are_not_folded),
        cmocka_unit_test(one_is_used_many_times),
        cmocka_unit_test(a_bad_one_is_refused_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
