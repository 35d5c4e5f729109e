/*
 * engine/subscription.c - names and expressions against the catalogue.
 *
 * A pattern that begins with '^' is a POSIX extended regular expression. It
 * never matches an internal topic, one whose name begins with two underscores;
 * such a one can be named.
 */
#include "engine/subscription.h"
#include "os/pattern.h"
#include <string.h>

struct pattern {
    const char *name; /* not ended by 0 */
    size_t size;
    bool is_regular;
    struct regular regular;
};

/* ---- The text --------------------------------------------------------- */

static int check_pattern(const char *pattern, size_t number)
{
    struct regular regular;
    int rc;

    if (pattern == NULL) return rill__fail(RILL_ERR_INVALID, "topic number %zu is NULL", number);
    if (pattern[0] != '^') return rill__check_name("topic", pattern);
    if (strchr(pattern, '\n') != NULL)
        return rill__fail(RILL_ERR_INVALID, "expression number %zu has a newline", number);
    rc = rill__regular_init(&regular, pattern);
    if (rc == 0) rill__regular_deinit(&regular);
    return rc;
}

int rill__subscription_text(struct heap *heap, const char *const *topics, size_t count,
                            char **out)
{
    const char **sorted;
    size_t size = 1;
    size_t n = 0;
    char *text;
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = check_pattern(topics[i], i);
        if (rc == 0) size += strlen(topics[i]) + 1;
    }
    if (rc != 0) return rc;
    sorted = rill__alloc(heap, count * sizeof *sorted);
    text = rill__alloc(heap, size);
    if (sorted == NULL || text == NULL) {
        rill__free(heap, sorted);
        rill__free(heap, text);
        return RILL_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        size_t at = n;
        while (at > 0 && strcmp(sorted[at - 1], topics[i]) > 0) at--;
        if (at > 0 && strcmp(sorted[at - 1], topics[i]) == 0) continue;
        memmove(&sorted[at + 1], &sorted[at], (n++ - at) * sizeof *sorted);
        sorted[at] = topics[i];
    }
    size = 0;
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(sorted[i]);
        if (i > 0) text[size++] = '\n';
        memcpy(text + size, sorted[i], length);
        size += length;
    }
    rill__free(heap, sorted);
    *out = text;
    return 0;
}

/* ---- What it means ---------------------------------------------------- */

static void free_patterns(struct heap *heap, struct pattern *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (patterns[i].is_regular) rill__regular_deinit(&patterns[i].regular);
    rill__free(heap, patterns);
}

static int compile_pattern(struct heap *heap, const char *line, size_t size,
                           struct pattern *pattern)
{
    char *expression;
    int rc;

    pattern->name = line;
    pattern->size = size;
    if (line[0] != '^') return 0;
    expression = rill__alloc(heap, size + 1);
    if (expression == NULL) return RILL_ERR_NO_MEMORY;
    memcpy(expression, line, size);
    rc = rill__regular_init(&pattern->regular, expression);
    pattern->is_regular = rc == 0;
    rill__free(heap, expression);
    return rc;
}

static int read_patterns(struct heap *heap, const char *text, struct pattern **out,
                         size_t *out_count)
{
    struct pattern *patterns;
    size_t room = 1;
    size_t count = 0;
    int rc = 0;

    for (const char *p = text; *p != '\0'; p++) room += *p == '\n';
    patterns = rill__alloc(heap, room * sizeof *patterns);
    if (patterns == NULL) return RILL_ERR_NO_MEMORY;
    while (rc == 0 && *text != '\0') {
        size_t size = strcspn(text, "\n");
        if (size > 0) rc = compile_pattern(heap, text, size, &patterns[count++]);
        text += size + (text[size] == '\n');
    }
    if (rc != 0) {
        free_patterns(heap, patterns, count);
        return rc;
    }
    *out = patterns;
    *out_count = count;
    return 0;
}

static bool matches(const struct pattern *patterns, size_t count, const char *topic)
{
    size_t size = strlen(topic);
    bool internal = size >= 2 && topic[0] == '_' && topic[1] == '_';

    for (size_t i = 0; i < count; i++) {
        const struct pattern *p = &patterns[i];
        if (p->is_regular ? !internal && rill__regular_matches(&p->regular, topic)
                          : p->size == size && memcmp(p->name, topic, size) == 0)
            return true;
    }
    return false;
}

/* Nothing of the topic itself is needed. */
static int add_match(struct heap *heap, const struct meta_topic *info,
                     struct group_topic **topics, size_t *count)
{
    struct group_topic *grown = rill__resize(heap, *topics, (*count + 1) * sizeof *grown);
    char *name = grown == NULL ? NULL : rill__strdup(heap, info->name);

    if (grown != NULL) *topics = grown;
    if (name == NULL) return RILL_ERR_NO_MEMORY;
    grown[(*count)++] =
        (struct group_topic){rill__topic_number(info->id), info->partition_count, name};
    return 0;
}

void rill__subscription_free(struct heap *heap, const struct group_topic *topics, size_t count)
{
    for (size_t i = 0; i < count; i++) rill__free(heap, (void *)(uintptr_t)topics[i].name);
    rill__free(heap, (void *)(uintptr_t)topics);
}

int rill__subscription_topics(struct store *store, const char *text, struct group_topic **topics,
                              size_t *count)
{
    struct meta_topic info = {.name = ""};
    struct pattern *patterns;
    size_t pattern_count;
    int rc = read_patterns(&store->heap, text, &patterns, &pattern_count);

    *topics = NULL;
    *count = 0;
    if (rc != 0) return rc;
    while (rc == 0 && (rc = rill__meta_topic_after(store->meta, info.name, &info)) == 0)
        if (matches(patterns, pattern_count, info.name))
            rc = add_match(&store->heap, &info, topics, count);
    free_patterns(&store->heap, patterns, pattern_count);
    if (rc == RILL_ERR_NOT_FOUND) return 0;
    rill__subscription_free(&store->heap, *topics, *count);
    *topics = NULL;
    *count = 0;
    return rc;
}
