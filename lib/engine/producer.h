/*
 * engine/producer.h - a producer from the inside.
 *
 *     record -> lane's open flight --full, lingered, flush--> log
 *                                                              |
 *     report <- ready <- (acks durable: in_flight, synced) <---+
 *
 * A lane is one partition that this producer writes to; it has one open flight,
 * a batch being built in its stored form. A flight that was sent waits in
 * order for its acknowledgement and then for its reports to be delivered.
 *
 * Threads: producer->lock guards all of it; who calls anything here holds it.
 */
#ifndef RILL_ENGINE_PRODUCER_H
#define RILL_ENGINE_PRODUCER_H
#include "engine/clients.h"
#include "engine/intercept.h"

/* What a record's report needs that the batch does not have. */
struct report {
    void *opaque;
    int64_t timestamp_ms;
};

struct flight {
    struct flight *next;
    struct lane *lane;
    struct batch batch;
    struct report *reports; /* one per record, only if somebody wants to know */
    uint32_t report_room;
    int64_t first_ms; /* tick of the first record */
    int64_t base_offset;
    int64_t append_ms; /* all its records have that timestamp; 0: each its own */
    uint32_t count;
    int status;
};

struct target;

struct lane { /* has a reference to its log */
    struct lane *next;
    struct target *target;
    struct topic *topic;
    struct log *log;
    int32_t partition;
    uint32_t busy;       /* flights of it, an open transaction, and calls that use it
                            without the lock */
    bool used;           /* since the last look for lanes that are not */
    struct flight *open; /* NULL: none being built */
    int32_t next_sequence;
    int64_t txn_end;      /* end of what the open transaction has there; -1: nothing */
    int64_t marker_end;   /* end of a marker that may be not on disk; -1: none */
    uint64_t doubt_sum;   /* see identity.c */
    uint32_t doubt_count; /* 0: there is none */
    int64_t doubt_offset;
};

struct flight_queue {
    struct flight *first;
    struct flight **last;
};

struct target { /* a topic this producer writes to, with a reference */
    struct target *next;
    struct topic *topic;
    int32_t sticky;
    uint32_t lane_count; /* that are there */
    uint32_t lane_room;
    struct lane **lanes; /* per partition, NULL until used */
};

struct rill_producer {
    struct rill_producer *next; /* store->clients_lock */
    rill *handle;
    struct store *store;
    uint32_t fork_generation;
    rill_producer_options options;
    char *topic;
    bool durable;
    bool reports;                 /* somebody wants to know what becomes of records */
    struct producer_chain *chain; /* NULL: none */
    char *name;                   /* NULL: anonymous */
    bool transactional;
    uint32_t instance; /* of the name's */

    struct mutex lock; /* guards all below */
    struct target *targets;
    struct lane *lanes;
    int64_t trimmed_ms; /* tick: last look for lanes that are not used */
    struct flight *spare;
    uint64_t buffered; /* bytes of all flights' buffers */
    struct flight_queue in_flight;
    uint32_t in_flight_count;
    struct flight_queue ready;
    int first_error; /* since the last flush */
    struct saved_message first_message;
    uint64_t random;
    bool closing; /* nothing is accepted any more */
    bool delivering;
    const void *deliverer; /* which thread */
    void *scratch;         /* rill_producer_append's batch */
    size_t scratch_size;
    struct codec codec; /* see seal.c, also for the next three */
    struct batch packed;
    const struct batch *packed_of; /* what packed was made from, NULL: nothing that counts */
    uint32_t packed_count;

    int64_t id; /* -1: none; see identity.c */
    int16_t epoch;
    bool fenced;           /* a newer instance has the name */
    bool unsettled;        /* markers of the last transaction are missing */
    bool stale;            /* the catalogue may have a later epoch */
    int32_t sequenced;     /* of the append that is running; -1: the lane's next one */
    rill_txn *txn;         /* NULL: none is open */
    int32_t settled_epoch; /* of a decision whose markers are all written, but perhaps not on
                              disk; -1: none */
    char **claimed;        /* spaces that it may write */
    size_t claimed_count;

    struct lane *reserved; /* open reservation, else NULL */
    struct batch reserved_batch;
    int64_t reserved_ms;
};

/* As rill__deadline; who does not wait need not ask for the time. */
static inline int64_t rill__deadline_unless_0(int timeout_ms)
{
    return timeout_ms == 0 ? 0 : rill__deadline(timeout_ms);
}

/* RILL_ERR_CLOSED or RILL_ERR_STATE while nothing may be sent. */
int rill__producer_state(const struct rill_producer *p);
/* It was busy, for a call that did not hold the lock all the time. */
void rill__lane_leave(struct rill_producer *p, struct lane *lane);
/* That the record may go to the topic in batches of so many bytes; its size as a
 * batch of its own. */
int rill__record_check(const struct topic *topic, const rill_record *record, size_t limit,
                       size_t *size);

/* ---- seal.c: what a batch is made into ---- */

/* Checks the options too: RILL_ERR_INVALID, RILL_ERR_UNSUPPORTED. */
int rill__producer_codec_init(struct rill_producer *p);
void rill__producer_codec_deinit(struct rill_producer *p);
/* Most bytes of a batch before compression; RILL_ERR_UNSUPPORTED the topic wants a
 * codec that is not there. */
int rill__batch_limit(const struct rill_producer *p, const struct topic *topic, size_t *limit);
/* Seals the batch: *sealed is what is to be appended, at once. RILL_ERR_TOO_BIG,
 * RILL_ERR_UNSUPPORTED. */
int rill__producer_seal(struct rill_producer *p, const struct lane *lane, struct batch *batch,
                        struct batch **sealed);
/* The batch that was sealed last will not be again. */
void rill__producer_sent(struct rill_producer *p);

/* ---- identity.c: who it is ---- */

int rill__identity_open(struct rill_producer *p);
void rill__identity_close(struct rill_producer *p);
struct meta_owner rill__owner_of(const struct rill_producer *p);
/* May it send? RILL_ERR_FENCED, RILL_ERR_STATE, RILL_ERR_ABORTED. */
int rill__identity_check(const struct rill_producer *p);
int rill__identity_lane(struct rill_producer *p, struct lane *lane); /* a new one */
void rill__identity_stamp(const struct rill_producer *p, const struct lane *lane,
                          struct batch *batch);
/* rill__log_append, after what an earlier epoch has left open there is ended. */
int rill__identity_append(struct rill_producer *p, const struct lane *lane, struct batch *batch,
                          int64_t deadline, int64_t *base_offset);
void rill__identity_sent(struct rill_producer *p, struct lane *lane, const struct batch *batch,
                         int64_t base_offset, bool duplicate);
void rill__identity_failed(struct rill_producer *p);
/* A batch was appended, and is not known to be durable; is it this one that comes again? */
void rill__doubt_keep(struct lane *lane, const struct batch *batch, int64_t base_offset);
bool rill__doubt_is(const struct lane *lane, const struct batch *batch, int64_t *base_offset);
/* That one is durable. */
void rill__doubt_end(struct rill_producer *p, struct lane *lane, int64_t base_offset);
/* What is not sent yet never is: reported with RILL_ERR_ABORTED. */
void rill__producer_drop(struct rill_producer *p);

/* ---- lane.c: where a record goes ---- */

/* The topic of that name, the producer's own if NULL. */
int rill__target_get(struct rill_producer *p, const char *name, struct target **out);
/* The partition that the record goes to, chosen if it names none. */
int rill__lane_get(struct rill_producer *p, const rill_record *record, int timeout_ms,
                   struct lane **out);
/* Lets go of lanes that were not used since the last look, or whose topic is gone. */
void rill__lanes_trim(struct rill_producer *p);
void rill__lanes_close(struct rill_producer *p); /* all; no flight is open */
/* Records without key go to one partition until a batch of it is sent. */
void rill__sticky_move(struct rill_producer *p, const struct lane *lane);

/* ---- flight.c: what becomes of a batch ---- */

void rill__flights_init(struct flight_queue *queue);
struct flight *rill__flights_take(struct flight_queue *queue); /* the first, or NULL */
/* A flight with room for at least size bytes, RILL_ERR_FULL if the buffer
 * limit does not allow it. Used ones are used again. */
int rill__flight_get(struct rill_producer *p, size_t size, struct flight **out);
void rill__flight_free(struct rill_producer *p, struct flight *flight);
/* Its outcome is known: on to its reports. */
void rill__flight_finish(struct rill_producer *p, struct flight *flight, int status);
/* Sends the lane's open flight. RILL_ERR_TIMEOUT leaves it open; any other
 * error is its end, and reported. */
int rill__lane_send(struct rill_producer *p, struct lane *lane, int64_t deadline);
/* Of what is appended: any failure leaves open whether it stays. */
int rill__wait_durable(struct log *log, int64_t end, int64_t deadline);
/* Syncs what is in flight, in order, and takes it out. */
int rill__flights_settle(struct rill_producer *p, int64_t deadline);
/* Calls the reports that are ready; lets go of the lock meanwhile. */
void rill__flights_deliver(struct rill_producer *p);
/* Whether this thread is in one of the reports. */
bool rill__flights_delivering_here(const struct rill_producer *p);
/* A batch of it is in the log. */
void rill__count_append(const struct lane *lane, int64_t base_offset, const struct batch *batch,
                        const struct batch *sealed);

#endif
