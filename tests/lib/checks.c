/*
 * checks.c - see checks.h.
 */
#include "checks.h"

struct found found[FOUND_MAX];
int found_count;
rill_check_report found_report;

static int note(void *arg, const rill_damage *damage)
{
    struct found *f = &found[found_count < FOUND_MAX ? found_count : FOUND_MAX - 1];

    (void)arg;
    found_count++;
    *f = (struct found){damage->kind,
                        damage->severity,
                        damage->partition,
                        damage->position,
                        damage->size,
                        damage->first,
                        damage->end,
                        "",
                        "",
                        ""};
    if (damage->topic != NULL) snprintf(f->topic, sizeof f->topic, "%s", damage->topic);
    if (damage->file != NULL) snprintf(f->file, sizeof f->file, "%s", damage->file);
    if (damage->text == NULL || damage->text[0] == '\0') fail_msg("a damage without a text");
    if (damage->repair == NULL || damage->repair[0] == '\0')
        fail_msg("a damage without what repair would do: %s", damage->text);
    snprintf(f->text, sizeof f->text, "%s", damage->text);
    return 0;
}

int check_directory(const char *path, uint32_t flags)
{
    rill_check_options options = {.size = sizeof options, .flags = flags, .visit = note};

    found_count = 0;
    found_report = (rill_check_report){.size = sizeof found_report};
    return rill_check(path, &options, &found_report);
}

void check_store(void)
{
    OK(check_directory(test_path("store"), 0));
    assert_int_equal(found_report.error_count + found_report.warning_count +
                         found_report.note_count,
                     found_count);
}

const char *check_says(void)
{
    static char text[4000];
    size_t size = 0;

    text[0] = '\0';
    for (int i = 0; i < found_count && i < FOUND_MAX && size < sizeof text; i++)
        size += (size_t)snprintf(
            text + size, sizeof text - size,
            "\n  kind %d, severity %d, %s-%d, %s at %lld+%lld, [%lld, %lld): %s", found[i].kind,
            found[i].severity, found[i].topic, found[i].partition, found[i].file,
            (long long)found[i].position, (long long)found[i].size, (long long)found[i].first,
            (long long)found[i].end, found[i].text);
    return text;
}

void check_is_clean(void)
{
    check_store();
    if (found_count != 0) fail_msg("the store is not clean:%s", check_says());
}

const struct found *check_found(int32_t kind)
{
    for (int i = 0; i < found_count && i < FOUND_MAX; i++)
        if (found[i].kind == kind) return &found[i];
    fail_msg("no damage of kind %d was found:%s", kind, check_says());
    return NULL;
}
