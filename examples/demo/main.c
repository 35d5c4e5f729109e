/*
 * main.c - the demo: an access log goes through rill, and a kill -9 through the demo.
 *
 *     demo [STORE_DIR | --fresh] [INPUT]
 *
 * Every line of INPUT becomes a record of a topic with four partitions, keyed by
 * its first field (the client's address), from two producer threads. Two groups
 * read the topic at once: three consumers share it and count the lines per HTTP
 * status; another one sees everything. When about half is done, the process that
 * does all this is killed with SIGKILL and started again, and goes on from what
 * the store knows. At the end no line may be missing, each key's lines must be in
 * order, and the counts must be those of the file.
 *
 * STORE_DIR stays afterwards. Without it, or with --fresh, the store is a new
 * directory in $TMPDIR (or /tmp), removed at the end, if all went well. Without
 * INPUT it reads a sample that it makes up.
 */
#include "demo.h"

#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLE_LINES 20000

static uint64_t least_seen(struct shared *shared)
{
    uint64_t status = atomic_load(&shared->seen[STATUS]), all = atomic_load(&shared->seen[ALL]);

    return status < all ? status : all;
}

static pid_t start_life(const char *store_dir, const struct input *input, struct shared *shared,
                        int life)
{
    pid_t parent = getpid(), pid;

    fflush(NULL);
    pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* no orphans after an interrupt */
    if (getppid() != parent) _exit(1);
    _exit(work(store_dir, input, shared, life));
}

/* Watches a life. The first is killed as soon as both groups have seen half of
 * the lines, the second runs to its end. */
static int supervise(pid_t pid, const struct input *input, struct shared *shared, int life,
                     struct kill_report *report)
{
    uint64_t last = 0, half = input->line_count / 2;
    int64_t moved_ns = now_ns();
    int status;

    for (;;) {
        uint64_t seen = least_seen(shared);
        pid_t ended = waitpid(pid, &status, WNOHANG);

        if (ended == pid) break;
        if (life == 0 && seen >= half && atomic_load(&shared->started_ns[0]) != 0) {
            kill(pid, SIGKILL);
            report->at_ns = now_ns();
            waitpid(pid, &status, 0);
            break;
        }
        report_progress(input, shared, life);
        if (seen != last) moved_ns = now_ns();
        last = seen;
        if (now_ns() - moved_ns > INT64_C(1000000000) * PATIENCE_S) {
            fprintf(stderr, "demo: nothing has happened for %d s\n", PATIENCE_S);
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return 1;
        }
        sleep_us(life == 0 ? 50 : 1000);
    }
    if (life == 0) {
        report->sent = atomic_load(&shared->sent);
        for (int g = 0; g < GROUPS; g++) report->seen[g] = atomic_load(&shared->seen[g]);
        return !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    return status != 0;
}

static int run(const char *store_dir, const char *input_path, const struct input *input,
               struct shared *shared)
{
    struct result result;
    struct kill_report killed = {0};
    pid_t pid;

    report_event("%s: %zu lines, %zu keys", input_path, input->line_count, input->key_count);
    for (int life = 0; life < 2; life++) {
        pid = start_life(store_dir, input, shared, life);
        if (pid < 0) {
            perror("demo: fork");
            return 1;
        }
        report_event("life %d: process %ld %s", life + 1, (long)pid,
                     life == 0 ? "begins" : "goes on from the committed offsets");
        if (supervise(pid, input, shared, life, &killed) != 0) {
            fprintf(stderr, "demo: process %ld failed\n", (long)pid);
            return 1;
        }
        if (life == 0)
            report_event("killed with SIGKILL: %" PRIu64
                         " lines sent, group status had seen %" PRIu64 ", group all %" PRIu64,
                         killed.sent, killed.seen[STATUS], killed.seen[ALL]);
        else
            report_event("life 2 found %" PRIu64 " lines in the log, produced the other %" PRIu64,
                         atomic_load(&shared->found),
                         input->line_count - atomic_load(&shared->found));
    }
    if (check(store_dir, input_path, input, shared, &result) != 0) {
        report_table(input, shared, &killed, &result);
        fprintf(stderr, "demo: FAILED\n");
        return 1;
    }
    report_table(input, shared, &killed, &result);
    puts("\nno line is missing or in the log twice, every key is in order, all counts agree");
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static bool is_file(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

int main(int argc, char **argv)
{
    char scratch[4000], store_path[4096], sample_path[4096];
    const char *tmp = getenv("TMPDIR"), *store_dir = NULL, *input_path = NULL;
    struct input input = {0};
    struct shared *shared;
    size_t shared_size;
    int status;

    if (argc > 1 && strcmp(argv[1], "--fresh") == 0) argv++, argc--;
    else if (argc > 1 && !is_file(argv[1])) store_dir = argv[1], argv++, argc--;
    if (argc > 1) input_path = argv[1], argc--;
    if (argc > 1 || (store_dir != NULL && store_dir[0] == '-')) {
        fprintf(stderr, "usage: demo [STORE_DIR | --fresh] [INPUT]\n");
        return 2;
    }

    snprintf(scratch, sizeof scratch, "%s/rill-demo-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(scratch) == NULL) {
        perror("demo: cannot make a temporary directory");
        return 1;
    }
    snprintf(store_path, sizeof store_path, "%s/store", scratch);
    snprintf(sample_path, sizeof sample_path, "%s/access.log", scratch);
    if (store_dir == NULL) store_dir = store_path;

    status = 1;
    if (input_path == NULL) {
        input_path = sample_path;
        if (sample_write(sample_path, SAMPLE_LINES, 1) != 0) goto out;
    }
    if (input_load(input_path, &input) != 0) goto out;
    shared_size = sizeof *shared + GROUPS * input.line_count * sizeof shared->times[0];
    shared = mmap(NULL, shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("demo: shared memory");
        goto out;
    }
    status = run(store_dir, input_path, &input, shared);
    munmap(shared, shared_size);
out:
    input_free(&input);
    if (status == 0 || input_path != sample_path || store_dir != store_path)
        nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    else fprintf(stderr, "demo: see %s\n", scratch);
    return status;
}
