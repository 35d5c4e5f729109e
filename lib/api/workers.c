/*
 * api/workers.c - the public functions of a consumer's workers.
 */
#include "api/api.h"

static int check_workers(const char *function, const rill_workers *workers)
{
    if (workers == NULL) return rill__missing(function, "workers");
    return rill__workers_check(workers);
}

int rill_workers_open(rill_consumer *consumer, const rill_workers_options *options,
                      rill_workers **workers)
{
    int rc;

    if (consumer == NULL) return rill__missing("rill_workers_open", "consumer");
    if (options == NULL) return rill__missing("rill_workers_open", "options");
    if (workers == NULL) return rill__missing("rill_workers_open", "workers");
    rc = rill__consumer_check(consumer);
    if (rc == 0) rc = rill__consumer_enter(consumer);
    if (rc != 0) return rc;
    rc = rill__workers_open(consumer, options, workers);
    if (rc != 0) rill__consumer_leave(consumer);
    return rc;
}

int rill_workers_run(rill_workers *workers, int timeout_ms)
{
    int rc = check_workers("rill_workers_run", workers);
    return rc != 0 ? rc : rill__workers_run(workers, timeout_ms);
}

void rill_workers_stop(rill_workers *workers)
{
    if (workers == NULL || rill__workers_check(workers) != 0) return;
    rill__workers_stop(workers);
}

int rill_workers_describe(rill_workers *workers, rill_workers_info *info)
{
    int rc = check_workers("rill_workers_describe", workers);
    if (rc == 0 && info == NULL) rc = rill__missing("rill_workers_describe", "info");
    return rc != 0 ? rc : rill__workers_describe(workers, info);
}

int rill_workers_close(rill_workers *workers, int timeout_ms)
{
    int rc;

    if (workers == NULL) return 0;
    rc = rill__workers_check(workers);
    return rc != 0 ? rc : rill__workers_close(workers, timeout_ms);
}
