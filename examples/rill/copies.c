/*
 * copies.c - rill snapshot and rill restore: whole stores, copied.
 */
#include "tool.h"

#include <stdlib.h>

static bool verify, no_links;
static struct texts topic_texts;

static const struct option copy_options[] = {
    {"topic", 't', OPTION_TEXTS, &topic_texts, "TOPIC",
     "only this topic; may be given several times", 0, 0, 0},
    {"verify", 0, OPTION_FLAG, &verify, 0, "read all of the copy, and verify it", 0, 0, 0},
    {"no-links", 0, OPTION_FLAG, &no_links, 0,
     "share no files with what is copied, also on the same file system", 0, 0, 0},
    {0},
};

static rill_copy_options options_for(const char *what)
{
    return (rill_copy_options){
        .size = sizeof(rill_copy_options),
        .flags = (verify ? RILL_COPY_VERIFY : 0) | (no_links ? RILL_COPY_NO_LINKS : 0),
        .topics = topic_texts.items,
        .topic_count = topic_texts.count,
        .progress = show_progress,
        .progress_arg = (void *)(uintptr_t)what,
    };
}

static int finish(int rc)
{
    progress_clear();
    free(topic_texts.items);
    if (rc == PROGRESS_STOPPED) return stopped_status(DONE);
    return rc != 0 ? fail_rill(rc) : DONE;
}

static int run_snapshot(char **arguments, size_t count)
{
    rill_copy_options options = options_for("copying");
    rill *store;
    int status = store_open(0, &store);

    (void)count;
    if (status != DONE) return status;
    signals_catch();
    status = finish(rill_snapshot(store, arguments[0], &options));
    return store_close(store, status);
}

static int run_restore(char **arguments, size_t count)
{
    rill_copy_options options = options_for("restoring");
    const char *dir;
    int status = store_name(&dir);

    (void)count;
    if (status != DONE) return status;
    signals_catch();
    return finish(rill_restore(arguments[0], dir, &options));
}

const struct command copy_commands[] = {
    {"snapshot", "DIR", "copy the store, while others write to it",
     "The copy in DIR, which must be missing or empty, is a store of its own. Every record that "
     "was "
     "acknowledged before is in it, and groups have committed nothing beyond it. Segments that "
     "are "
     "full are shared on the same file system, which costs neither time nor space. What was left "
     "by "
     "a snapshot that failed is cleared away by the next one into the same DIR.",
     copy_options,
     "rill snapshot /backup/log-$(date +%F)\nrill snapshot /backup/orders --topic=orders "
     "--verify",
     run_snapshot},
    {"restore", "DIR", "make the store from a snapshot in DIR",
     "The store, which must be missing or empty, is made from the snapshot, which stays as it "
     "is.",
     copy_options, "rill restore /backup/log-2026-03-01 --store=/var/lib/app/log", run_restore},
    {0},
};
