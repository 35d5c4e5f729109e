/*
 * engine/members.h - the words of group members that all processes share.
 *
 * The file "members" of the store, made and mapped by the first member of any
 * group in a process: a slot per member. What a group is, is in the catalogue;
 * here is what changes too often for it (signs of life) and how to reach a
 * member (news, the word it sleeps on). A member's id ends with the number of
 * its slot, so that everyone finds it.
 *
 * A slot belongs to whoever put his member's id there, until he or somebody who
 * knows that his process is gone puts another one.
 */
#ifndef RILL_ENGINE_MEMBERS_H
#define RILL_ENGINE_MEMBERS_H
#include "engine/store.h"

#define MEMBERS_MAX 2048
#define MEMBERS_MAGIC UINT64_C(0x31424d454d4c4c52)
#define CLIENT_ID_SHOWN 47

/* What a member is doing, for people. */
enum member_doing {
    DOING_NOTHING, /* the application has the thread */
    DOING_POLL,    /* in a poll */
    DOING_WAIT,    /* sleeping in a poll */
    DOING_REVOKED, /* in the application's callbacks */
    DOING_ASSIGNED,
    DOING_LOST,
    DOING_PLAN,
    DOING_COMMIT,
    DOING_CLOSE
};

struct member_slot {
    _Atomic uint64_t member; /* 0: free */
    _Atomic uint64_t ticket; /* of its process; stored before its group hears of it */
    _Atomic uint32_t process;
    _Atomic uint32_t news;      /* + 1: its group has changed something for it; release */
    _Atomic uint64_t wake_mask; /* wake slots to wake then; relaxed */
    _Atomic int64_t polled_ms;  /* monotonic; by the member, relaxed; all below too */
    _Atomic int64_t doing_ms;   /* since when it does what it does */
    _Atomic uint32_t doing;     /* enum member_doing */
    _Atomic uint32_t assigned;  /* partitions that it reads */
    _Atomic uint64_t records;   /* that its polls have handed out */
    char client_id[CLIENT_ID_SHOWN + 1];
    uint64_t reserved[2];
};

struct members {
    uint64_t magic;
    uint64_t abi;
    _Atomic uint64_t incarnation; /* of the store; another one: to be written anew */
    uint64_t reserved[5];
    struct member_slot slots[MEMBERS_MAX];
};

/* Maps the file, once per process. */
int rill__members_open(struct store *store);
/* A slot with a new id. RILL_ERR_BUSY: there are too many. */
int rill__member_claim(struct store *store, const char *client_id, struct member_slot **slot,
                       uint64_t *id);
/* The member must have left its group, or be away from it. */
void rill__member_release(struct member_slot *slot, uint64_t id);
/* The slot of a member; NULL if it is another's by now, so that this one is
 * gone. Never maps: NULL before rill__members_open. */
struct member_slot *rill__member_slot(struct store *store, uint64_t id);
/* Is the process of the slot's member? */
bool rill__member_is_gone(struct store *store, const struct member_slot *slot);
/* Says that its group has changed something for it, and wakes it. */
void rill__member_tell(struct store *store, uint64_t id);
void rill__member_does(struct member_slot *slot, enum member_doing doing);
/* A poll of it returns. */
void rill__member_handed(struct member_slot *slot, size_t partitions, size_t records);

#endif
