/*
 * api/copies.c - the public functions that copy stores and topics.
 */
#include "api/api.h"

int rill_snapshot(rill *store, const char *dir, const rill_copy_options *options)
{
    int rc = rill__store_check("rill_snapshot", store, "dir", dir);

    if (rc == 0 && dir[0] == '\0') rc = rill__missing("rill_snapshot", "dir");
    return rc != 0 ? rc : rill__snapshot(store->store, dir, options);
}

int rill_restore(const char *snapshot, const char *dir, const rill_copy_options *options)
{
    if (snapshot == NULL || snapshot[0] == '\0') return rill__missing("rill_restore", "snapshot");
    if (dir == NULL || dir[0] == '\0') return rill__missing("rill_restore", "dir");
    return rill__restore(snapshot, dir, options);
}

int rill_export(rill *store, const char *topic, const rill_export_options *options,
                rill_write_fn write, void *arg)
{
    int rc = rill__store_check("rill_export", store, "topic", topic);

    if (rc == 0 && write == NULL) rc = rill__missing("rill_export", "write");
    return rc != 0 ? rc : rill__export(store, topic, options, write, arg);
}

int rill_import(rill *store, const char *topic, const rill_import_options *options,
                rill_read_fn read, void *arg)
{
    int rc = rill__store_check("rill_import", store, "read", (const void *)(uintptr_t)read);
    return rc != 0 ? rc : rill__import(store, topic, options, read, arg);
}
