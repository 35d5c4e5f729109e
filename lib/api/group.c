/*
 * api/group.c - the public functions of groups, seen from outside.
 */
#include "api/api.h"

int rill_group_describe(rill *store, const char *group, rill_group_info *info)
{
    int rc = rill__store_check("rill_group_describe", store, "group", group);
    if (rc == 0 && info == NULL) rc = rill__missing("rill_group_describe", "info");
    return rc != 0 ? rc : rill__group_describe(store->store, group, info);
}

int rill_group_list(rill *store, int (*visit)(void *arg, const rill_group_info *info), void *arg)
{
    int rc = rill__store_check("rill_group_list", store, "visit", (const void *)(uintptr_t)visit);
    return rc != 0 ? rc : rill__group_list(store->store, visit, arg);
}

int rill_group_delete(rill *store, const char *group)
{
    int rc = rill__store_check("rill_group_delete", store, "group", group);
    return rc != 0 ? rc : rill__group_delete(store->store, group);
}

int rill_group_members(rill *store, const char *group,
                       int (*visit)(void *arg, const rill_group_member *member), void *arg)
{
    int rc = rill__store_check("rill_group_members", store, "group", group);
    if (rc == 0 && visit == NULL) rc = rill__missing("rill_group_members", "visit");
    return rc != 0 ? rc : rill__group_members(store->store, group, visit, arg);
}

int rill_group_offsets(rill *store, const char *group,
                       int (*visit)(void *arg, const rill_group_offset *offset), void *arg)
{
    int rc = rill__store_check("rill_group_offsets", store, "group", group);
    if (rc == 0 && visit == NULL) rc = rill__missing("rill_group_offsets", "visit");
    return rc != 0 ? rc : rill__group_offsets(store->store, group, visit, arg);
}

int rill_group_lag(rill *store, const char *group, int32_t isolation, int64_t *lag)
{
    int rc = rill__store_check("rill_group_lag", store, "group", group);
    if (rc == 0 && lag == NULL) rc = rill__missing("rill_group_lag", "lag");
    return rc != 0 ? rc : rill__group_lag(store->store, group, isolation, lag);
}

int rill_group_reset(rill *store, const char *group, const rill_group_reset_options *options)
{
    int rc = rill__store_check("rill_group_reset", store, "group", group);
    if (rc == 0 && options == NULL) rc = rill__missing("rill_group_reset", "options");
    return rc != 0 ? rc : rill__group_reset(store->store, group, options);
}

int rill_group_export(rill *store, const char *group, int (*visit)(void *arg, const char *line),
                      void *arg)
{
    int rc = rill__store_check("rill_group_export", store, "group", group);
    if (rc == 0 && visit == NULL) rc = rill__missing("rill_group_export", "visit");
    return rc != 0 ? rc : rill__group_export(store->store, group, visit, arg);
}

int rill_group_offsets_delete(rill *store, const char *group, const rill_position *positions,
                              size_t position_count)
{
    int rc = rill__store_check("rill_group_offsets_delete", store, "group", group);
    if (rc == 0 && positions == NULL)
        rc = rill__missing("rill_group_offsets_delete", "positions");
    return rc != 0 ? rc
                   : rill__group_offsets_delete(store->store, group, positions, position_count);
}
