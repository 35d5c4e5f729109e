/*
 * os/pattern.c - see os/pattern.h.
 */
#include "os/pattern.h"

int rill__regular_init(struct regular *regular, const char *expression)
{
    char why[128];
    int code = regcomp(&regular->compiled, expression, REG_EXTENDED | REG_NOSUB);

    if (code == 0) return 0;
    regerror(code, &regular->compiled, why, sizeof why);
    return rill__fail(RILL_ERR_INVALID, "pattern \"%s\": %s", expression, why);
}

void rill__regular_deinit(struct regular *regular)
{
    regfree(&regular->compiled);
}

bool rill__regular_matches(const struct regular *regular, const char *text)
{
    return regexec(&regular->compiled, text, 0, NULL, 0) == 0;
}
