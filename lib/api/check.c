/*
 * api/check.c - public functions: stores looked through from outside.
 */
#include "api/api.h"

int rill_check(const char *dir, const rill_check_options *options, rill_check_report *report)
{
    if (dir == NULL || dir[0] == '\0') return rill__missing("rill_check", "dir");
    if (report == NULL) return rill__missing("rill_check", "report");
    return rill__check(dir, options, report);
}

int rill_repair(const char *dir, const rill_repair_options *options, rill_repair_report *report)
{
    if (dir == NULL || dir[0] == '\0') return rill__missing("rill_repair", "dir");
    if (report == NULL) return rill__missing("rill_repair", "report");
    return rill__repair(dir, options, report);
}

int rill_dump(const char *path, int (*visit)(void *arg, const rill_item *item), void *arg)
{
    if (path == NULL || path[0] == '\0') return rill__missing("rill_dump", "path");
    if (visit == NULL) return rill__missing("rill_dump", "visit");
    return rill__dump(path, visit, arg);
}
