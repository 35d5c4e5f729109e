/*
 * peers.c - which peers there are, and the servers that some of them need.
 *
 * A peer that was not built is a weak symbol that nothing defines: NULL.
 */
#include "peers/peers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

extern const struct peer peer_rill, peer_file, peer_lmdb;
#define OPTIONAL __attribute__((weak))
extern const struct peer peer_sqlite OPTIONAL, peer_rocksdb OPTIONAL, peer_redis OPTIONAL,
    peer_nats OPTIONAL, peer_zeromq OPTIONAL, peer_nng OPTIONAL;

static const struct {
    const struct peer *peer;
    const char *name, *package;
} all[] = {
    {&peer_rill, "rill", ""},
    {&peer_file, "plain file", ""},
    {&peer_lmdb, "LMDB", ""},
    {&peer_sqlite, "SQLite", "libsqlite3-dev"},
    {&peer_rocksdb, "RocksDB", "librocksdb-dev"},
    {&peer_redis, "Redis Streams", "libhiredis-dev"},
    {&peer_nats, "NATS JetStream", "libnats-dev"},
    {&peer_zeromq, "ZeroMQ", "libzmq3-dev"},
    {&peer_nng, "nng", "libnng-dev"},
};
enum { COUNT = sizeof all / sizeof all[0] };

static const struct peer *usable[COUNT + 1];

void peers_start(const struct bench *bench)
{
    int count = 0;

    for (int i = 0; i < COUNT; i++) {
        const struct peer *peer = all[i].peer;
        const char *missing = NULL;

        if (peer == NULL) missing = name("built without %s", all[i].package);
        else if (!bench->peers && i > 0) missing = "not asked for";
        else if (peer->missing != NULL) missing = peer->missing(bench);
        if (missing == NULL) usable[count++] = peer;
        if (missing == NULL) printf("# %s: %s\n", peer->name, peer->settings());
        else printf("# skipped: %s: %s\n", all[i].name, missing);
    }
}

const struct peer *peer_at(int index)
{
    return usable[index];
}

unsigned log_number(void)
{
    static unsigned last;

    return ++last;
}

/* ---- Servers ------------------------------------------------------------ */

const char *program_find(const char *program)
{
    const char *path = getenv("PATH");
    const char *found = NULL;
    char *list, *rest, *dir;

    if (asprintf(&list, "%s:/usr/sbin:/sbin", path == NULL ? "/usr/bin:/bin" : path) < 0)
        die("out of memory");
    rest = list;
    while (found == NULL && (dir = strsep(&rest, ":")) != NULL) {
        char file[4096];

        snprintf(file, sizeof file, "%s/%s", dir, program);
        if (access(file, X_OK) == 0) found = name("%s", file);
    }
    free(list);
    return found;
}

void server_start(const struct bench *bench, const char *const argv[])
{
    char log[5000];
    pid_t pid;

    snprintf(log, sizeof log, "%s/server-%u.log", bench->dir, log_number());
    fflush(NULL);
    pid = fork();
    if (pid < 0) die_os("fork");
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT, 0600);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
}
