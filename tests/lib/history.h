/*
 * history.h - what clients did and were told, in the order of time, and whether a
 * log that keeps its promises could have told them so.
 *
 * Many threads of many processes write into one history; an event's place in it is
 * its time: a call's INVOKE is written before it, its end after it. A process that
 * is killed leaves its events, and calls without an end: to whoever notes the
 * death, they are INFO, as are calls whose error leaves the outcome open.
 *
 * As text, an event per line, '#' begins a comment:
 *
 *     CLIENT PHASE OP PARTITION [gGROUP] [vVALUE[+COUNT]] [@OFFSET] [nGENERATION]
 *
 *     1 invoke send 0 v7+2           values 7 and 8 as one batch
 *     1 ok send 0 v7+2 @4            at offsets 4 and 5; fail: refused; info: open
 *     1 ok durable 0 @6              all before offset 6 is durable
 *     2 ok seek 0 @4                 client 2 reads on from there
 *     2 ok poll 0 v7 @4              it is handed value 7 from offset 4
 *     2 invoke end 0                 how far does the log reach?
 *     2 ok end 0 @6
 *     2 invoke commit 0 g1 @6 n3     under generation 3 (n0: no member)
 *     2 ok commit 0 g1 @6 n3
 *     3 invoke committed 0 g1
 *     3 ok committed 0 g1 @6         @-1: none
 *     2 ok assign 0 g1 n3            member 2 has the partition; revoke: no more
 *     2 invoke assign 0 g1           member 2 asks for partitions, any of its group
 *     2 ok assign 0 g1 @6 n0         it has this one and reads on from where the group's
 *                                    commits say, here 6; n0: others may have it too;
 *                                    @-1: perhaps it was gone meanwhile
 *     2 ok poll 0 g1 v7 @6           handed to it as a member
 *     2 ok death 0                   client 2 has died; nothing may be lost
 *     0 ok power 0                   the power went; what was not durable may be
 *     0 ok delete 0                  the partition's topic is deleted, and made anew
 *     9 ok final 0 @6                client 9 has polled all there is, up to 6
 *     9 ok final 0 g1 @6             the group should have been handed all up to 6
 *
 * Values are 1 and more, each sent at most once. Value 0 in a poll: not the bytes
 * of any value.
 */
#ifndef RILL_TEST_HISTORY_H
#define RILL_TEST_HISTORY_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum phase { INVOKE, GOOD, FAIL, INFO, PHASES };
enum op {
    SEND,
    DURABLE,
    SEEK,
    POLL,
    END,
    COMMIT,
    COMMITTED,
    ASSIGN,
    REVOKE,
    DEATH,
    POWER,
    DELETE,
    FINAL,
    OPS
};

enum { HISTORY_PARTITIONS = 16, HISTORY_GROUPS = 16, HISTORY_CLIENTS = 4096 };

struct event {
    _Atomic bool ready; /* else its writer died in it */
    uint8_t phase;
    uint8_t op;
    uint8_t group;
    int32_t partition;
    uint32_t client;
    uint32_t count; /* of values, from value on */
    uint64_t value;
    int64_t offset;
    int32_t generation;
};

struct history {
    size_t capacity;
    _Atomic size_t count;
    struct event events[];
};

/* In memory that children share. */
struct history *history_new(size_t capacity);
void history_free(struct history *history);
/* Any thread of any process. Ends the process if there is no room. */
void history_add(struct history *history, struct event event);

/* False: the line is none; an empty one or a comment gives no event. */
bool history_parse(struct history *history, const char *line);
void history_print(const struct history *history, FILE *file);

/* Everything that no log that keeps its promises would have told: the anomaly's
 * name (below), the event it shows at, and what is wrong in words. Returns how
 * many. Cost: n log n.
 *
 *     lost-write            acknowledged, not cut by a power cut, not there
 *     durable-lost          acknowledged as durable, not there after a power cut
 *     duplicate             one value at two offsets
 *     inconsistent-offsets  two values at one offset
 *     phantom               a value that nobody had sent, or other bytes
 *     aborted-read          a value whose send was refused
 *     resurrection          a value that was cut or deleted is back
 *     rollback              the log ends before what somebody has read
 *     stale-read            an end before what was acknowledged before asking
 *     poll-skip             a poll left offsets out
 *     nonmonotonic-poll     a poll went back
 *     nonmonotonic-send     sent after another was acknowledged, but before it
 *     torn-batch            a part of a batch
 *     commit-rollback       a committed offset that a later one had replaced
 *     commit-phantom        a committed offset that nobody committed
 *     commit-beyond-end     a committed offset behind all that was ever sent
 *     two-owners            of one partition in one group at one time
 *     owner-refused         a commit of whom nobody could have taken the partition from
 *     zombie-commit         accepted under an older generation; or from a member after
 *                           a later owner's was
 *
 * In a group whose members say where they begin nobody goes back, so also:
 *
 *     commit-back           the committed offset did
 *     unassigned-poll       a member was handed a record of a partition it has not
 *     undelivered           a record that no member was handed */
typedef void (*history_report)(void *arg, const char *anomaly, size_t event, const char *words);
size_t history_check(const struct history *history, history_report report, void *arg);

#endif
