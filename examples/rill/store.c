/*
 * store.c - opening the store; errors of the library as exit statuses.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

int status_of(int rc)
{
    switch (rc) {
    case 0: return DONE;
    case RILL_ERR_INVALID: return USAGE;
    case RILL_ERR_NOT_FOUND: return NOT_FOUND;
    case RILL_ERR_EXISTS: return EXISTS;
    case RILL_ERR_CORRUPT: return DAMAGED;
    case RILL_ERR_NO_SPACE: return NO_SPACE;
    case RILL_ERR_BUSY:
    case RILL_ERR_TIMEOUT:
    case RILL_ERR_FULL:
    case RILL_ERR_REBALANCE:
    case RILL_ERR_STATE: return NOT_NOW;
    default: return FAILED;
    }
}

int fail_rill(int rc)
{
    const char *detail = rill_errmsg();

    return fail(status_of(rc), "%s", detail[0] != 0 ? detail : rill_strerror(rc));
}

int store_name(const char **dir)
{
    *dir = store_dir != NULL ? store_dir : getenv("RILL_STORE");
    if (*dir == NULL || (*dir)[0] == 0)
        return usage("which store? name its directory with --store=DIR or in RILL_STORE");
    return DONE;
}

static volatile bool silent;

void store_silence(void)
{
    silent = true;
}

/* Threads: any; one call writes the whole line. */
static void on_log(void *arg, int level, const char *line)
{
    int most = verbose ? RILL_LOG_INFO : quiet ? RILL_LOG_ERROR : RILL_LOG_WARNING;

    (void)arg;
    if (level <= most && !silent) fprintf(stderr, "rill: %s\n", line);
}

int store_open_with(rill_options *options, uint32_t flags, rill **store)
{
    const char *dir;
    int status = store_name(&dir), rc;

    if (status != DONE) return status;
    options->size = sizeof *options;
    options->flags = flags;
    options->open_timeout_ms = (uint32_t)wait_ms;
    options->log = on_log;
    rc = rill_open(dir, options, store);
    return rc == 0 ? DONE : fail_rill(rc);
}

int store_open(uint32_t flags, rill **store)
{
    rill_options options = {0};

    return store_open_with(&options, flags, store);
}

int store_close(rill *store, int status)
{
    int rc = rill_close(store);

    return rc != 0 && status == DONE ? fail_rill(rc) : status;
}
