/*
 * A failed call leaves a code and a message with names and numbers, in its own
 * thread; broken rules reach the host's handler.
 */
#include "base/error.h"
#include "testing.h"
#include <errno.h>
#include <pthread.h>

static void the_message_has_the_numbers(void **state)
{
    (void)state;
    assert_int_equal(rill__fail(RILL_ERR_RANGE, "offset %d of %s", 7, "t"), RILL_ERR_RANGE);
    assert_string_equal(rill_errmsg(), "offset 7 of t");
    assert_int_equal(rill__fail_prefix(RILL_ERR_RANGE, "topic %s", "t"), RILL_ERR_RANGE);
    assert_string_equal(rill_errmsg(), "topic t: offset 7 of t");
    rill__fail(RILL_ERR_IO, "again: %s", rill_errmsg()); /* the old one is an argument */
    assert_string_equal(rill_errmsg(), "again: topic t: offset 7 of t");
}

static void a_long_message_is_cut(void **state)
{
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    rill__fail(RILL_ERR_IO, "%s", text);
    assert_int_equal(strlen(rill_errmsg()), MESSAGE_SIZE - 1);
    rill__fail_prefix(RILL_ERR_IO, "%s", text);
    assert_int_equal(strlen(rill_errmsg()), MESSAGE_SIZE - 1);
    rill__fail_os(ENOSPC, "%s", text);
    assert_int_equal(strlen(rill_errmsg()), MESSAGE_SIZE - 1);
}

static void errno_becomes_a_code_and_a_text(void **state)
{
    static const struct {
        int value;
        int code;
    } known[] = {{ENOSPC, RILL_ERR_NO_SPACE},    {EDQUOT, RILL_ERR_NO_SPACE},
                 {EACCES, RILL_ERR_PERMISSION},  {EROFS, RILL_ERR_PERMISSION},
                 {ENOENT, RILL_ERR_NOT_FOUND},   {EEXIST, RILL_ERR_EXISTS},
                 {ENOMEM, RILL_ERR_NO_MEMORY},   {EINVAL, RILL_ERR_INVALID},
                 {ENOSYS, RILL_ERR_UNSUPPORTED}, {EIO, RILL_ERR_IO},
                 {EMFILE, RILL_ERR_IO},          {123456, RILL_ERR_IO}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(rill__fail_os(known[i].value, "f"), known[i].code);
    rill__fail_os(ENOSPC, "%s", "file");
    assert_string_equal(rill_errmsg(), "file: No space left on device");
    assert_int_equal(rill__code_of_errno(0), 0);
}

static void a_saved_message_comes_back(void **state)
{
    struct saved_message saved;

    (void)state;
    rill__fail(RILL_ERR_IO, "first");
    rill__message_save(&saved);
    rill__fail(RILL_ERR_IO, "second");
    rill__message_restore(&saved);
    assert_string_equal(rill_errmsg(), "first");
}

static void *fail_elsewhere(void *arg)
{
    static char seen[MESSAGE_SIZE];

    (void)arg;
    snprintf(seen, sizeof seen, "%s", rill_errmsg());
    rill__fail(RILL_ERR_IO, "of the other thread");
    return seen;
}

static void threads_have_messages_of_their_own(void **state)
{
    pthread_t thread;
    void *seen;

    (void)state;
    rill__fail(RILL_ERR_IO, "of this thread");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, &seen), 0);
    assert_string_equal(seen, "");
    assert_string_equal(rill_errmsg(), "of this thread");
}

static void every_code_has_a_text(void **state)
{
    (void)state;
#define X(name, value, text)                                                                     \
    assert_string_equal(rill_strerror(name), text);                                              \
    assert_true(value < 0);
    RILL_ERRORS(X)
#undef X
    assert_string_equal(rill_strerror(0), "success");
    assert_non_null(rill_strerror(12345));
    assert_non_null(rill_strerror(-12345));
}

static int handled;
static char handled_rule[100];

static void handle(const char *file, int line, const char *rule)
{
    handled++;
    assert_non_null(strstr(file, "error.c"));
    assert_true(line > 0);
    snprintf(handled_rule, sizeof handled_rule, "%s", rule);
}

static void a_broken_rule_reaches_the_handler(void **state)
{
    int one = 1;

    (void)state;
    rill_set_bug_handler(handle);
    assert_true(rill_assert(one == 1));
    assert_int_equal(handled, 0);
    assert_false(rill_assert(one == 2));
    assert_int_equal(handled, 1);
    assert_string_equal(handled_rule, "one == 2");
    assert_non_null(strstr(rill_errmsg(), "one == 2"));
    rill_set_bug_handler(NULL);
    assert_false(rill_assert(one == 2));
    assert_int_equal(handled, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_message_has_the_numbers),
        cmocka_unit_test(a_long_message_is_cut),
        cmocka_unit_test(errno_becomes_a_code_and_a_text),
        cmocka_unit_test(a_saved_message_comes_back),
        cmocka_unit_test(threads_have_messages_of_their_own),
        cmocka_unit_test(every_code_has_a_text),
        cmocka_unit_test(a_broken_rule_reaches_the_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
