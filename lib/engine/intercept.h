/*
 * engine/intercept.h - what stands between the application and the log.
 *
 * A chain is a producer's or a consumer's interceptors, copied when it is opened; it
 * never changes, so any thread may walk it. Nothing here is called with a lock held.
 */
#ifndef RILL_ENGINE_INTERCEPT_H
#define RILL_ENGINE_INTERCEPT_H
#include "engine/store.h"

/* Memory for one record's way in. Small needs cost no allocation. */
struct scratch_block;
struct rill_scratch {
    struct heap *heap;
    struct scratch_block *blocks;
    size_t used; /* of room */
    _Alignas(16) uint8_t room[512];
};
void rill__scratch_init(struct rill_scratch *scratch, struct heap *heap);
void rill__scratch_deinit(struct rill_scratch *scratch);

/* ---- A producer's ----------------------------------------------------- */

struct producer_chain {
    struct store *store;
    rill_producer_interceptor *list;
    size_t count;
    bool acknowledges; /* somebody wants to know */
    rill_serializer_fn key_serializer;
    void *key_serializer_arg;
    rill_serializer_fn value_serializer;
    void *value_serializer_arg;
};

/* *chain stays NULL if the options ask for nothing of the kind. */
int rill__producer_chain_new(struct store *store, const rill_producer_options *options,
                             struct producer_chain **chain);
void rill__producer_chain_free(struct producer_chain *chain);
/* Interceptors, then serializers. RILL_ERR_INVALID: a serializer refused it. */
int rill__chain_send(const struct producer_chain *chain, rill_record *record,
                     struct rill_scratch *scratch);
void rill__chain_acknowledge(const struct producer_chain *chain, const rill_delivery *delivery);

/* ---- A consumer's ----------------------------------------------------- */

struct consumer_chain {
    struct store *store;
    rill_consumer_interceptor *list;
    size_t count;
    rill_record *before; /* as it was before the interceptor that runs */
    size_t before_room;
};

int rill__consumer_chain_new(struct store *store, const rill_consumer_options *options,
                             struct consumer_chain **chain);
void rill__consumer_chain_free(struct consumer_chain *chain);
void rill__chain_consume(struct consumer_chain *chain, rill_record *records, size_t *count);
void rill__chain_commit(const struct consumer_chain *chain, const rill_position *positions,
                        size_t count);

#endif
