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

int store_open(uint32_t flags, rill **store)
{
    rill_options options = {
        .size = sizeof options, .flags = flags, .open_timeout_ms = (uint32_t)wait_ms};
    const char *dir;
    int status = store_name(&dir), rc;

    if (status != DONE) return status;
    rc = rill_open(dir, &options, store);
    return rc == 0 ? DONE : fail_rill(rc);
}

int store_close(rill *store, int status)
{
    int rc = rill_close(store);

    return rc != 0 && status == DONE ? fail_rill(rc) : status;
}
