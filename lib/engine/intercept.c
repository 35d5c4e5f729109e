/*
 * engine/intercept.c - interceptors and serializers, called one after the other.
 *
 *     record -> interceptor -> interceptor -> key serializer -> value serializer -> partitioner
 *                   | fails
 *                   +--> told and counted; the record is as it was before it
 *
 * An interceptor is somebody else's code beside the application's: it must not be able
 * to stop records. A serializer is the application's own word on what to store: when it
 * fails there is nothing that could be stored instead.
 */
#include "engine/intercept.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Memory ----------------------------------------------------------- */

struct scratch_block {
    struct scratch_block *next;
    uint64_t pad; /* what follows is 16-byte aligned */
};

void rill__scratch_init(struct rill_scratch *scratch, struct heap *heap)
{
    scratch->heap = heap;
    scratch->blocks = NULL;
    scratch->used = 0;
}

void *rill__scratch_alloc(struct rill_scratch *scratch, size_t size)
{
    struct scratch_block *block;

    if (size <= sizeof scratch->room - scratch->used) {
        uint8_t *at = scratch->room + scratch->used;
        scratch->used += (size + 15) & ~(size_t)15; /* the room is a multiple of 16, too */
        memset(at, 0, size);
        return at;
    }
    if (size > SIZE_MAX - sizeof *block) return NULL;
    block = rill__alloc(scratch->heap, sizeof *block + size);
    if (block == NULL) return NULL;
    block->next = scratch->blocks;
    scratch->blocks = block;
    return block + 1;
}

void rill__scratch_deinit(struct rill_scratch *scratch)
{
    while (scratch->blocks != NULL) {
        struct scratch_block *next = scratch->blocks->next;
        rill__free(scratch->heap, scratch->blocks);
        scratch->blocks = next;
    }
}

/* ---- Failures --------------------------------------------------------- */

static void tell_interceptor_failed(struct store *store, const char *name, const char *call,
                                    int answer)
{
    char line[256];

    rill__count(&store->counters->interceptor_failures, 1);
    snprintf(line, sizeof line, "interceptor \"%.*s\" failed in %s with %d; passed by", 100, name,
             call, answer);
    rill__store_say(store, RILL_LOG_WARNING, line);
}

static int check_list(const void *list, size_t count)
{
    if (count == 0 || list != NULL) return 0;
    return rill__fail(RILL_ERR_INVALID, "interceptor_count is %zu, and interceptors is NULL",
                      count);
}

static const char *text_of(const char *name)
{
    return name == NULL ? "" : name;
}

/* Names are kept in one block behind the list; the caller's end with the call. */
static const char *keep_name(char **at, const char *name)
{
    size_t size = strlen(text_of(name)) + 1;
    char *copy = *at;

    memcpy(copy, text_of(name), size);
    *at += size;
    return copy;
}

/* ---- A producer's ----------------------------------------------------- */

int rill__producer_chain_new(struct store *store, const rill_producer_options *o,
                             struct producer_chain **out)
{
    struct producer_chain *chain;
    size_t names = 0;
    char *at;
    int rc = check_list(o->interceptors, o->interceptor_count);

    if (rc != 0) return rc;
    if (o->interceptor_count == 0 && o->key_serializer == NULL && o->value_serializer == NULL)
        return 0;
    for (size_t i = 0; i < o->interceptor_count; i++)
        names += strlen(text_of(o->interceptors[i].name)) + 1;
    chain = rill__alloc(&store->heap,
                        sizeof *chain + o->interceptor_count * sizeof chain->list[0] + names);
    if (chain == NULL) return RILL_ERR_NO_MEMORY;
    chain->store = store;
    chain->list = (rill_producer_interceptor *)(chain + 1);
    chain->count = o->interceptor_count;
    at = (char *)(chain->list + chain->count);
    for (size_t i = 0; i < chain->count; i++) {
        chain->list[i] = o->interceptors[i];
        chain->list[i].name = keep_name(&at, o->interceptors[i].name);
        if (chain->list[i].on_acknowledge != NULL) chain->acknowledges = true;
    }
    chain->key_serializer = o->key_serializer;
    chain->key_serializer_arg = o->key_serializer_arg;
    chain->value_serializer = o->value_serializer;
    chain->value_serializer_arg = o->value_serializer_arg;
    *out = chain;
    return 0;
}

void rill__producer_chain_free(struct producer_chain *chain)
{
    if (chain != NULL) rill__free(&chain->store->heap, chain);
}

static int serialize(rill_serializer_fn serializer, void *arg, const char *what,
                     const rill_record *record, struct rill_scratch *scratch, rill_bytes *part)
{
    rill_bytes bytes = {NULL, 0};
    int answer;

    if (serializer == NULL || part->data == NULL) return 0;
    answer = serializer(arg, record, *part, scratch, &bytes);
    if (answer != 0)
        return rill__fail(RILL_ERR_INVALID,
                          "the %s serializer refused a record of topic %s with %d", what,
                          record->topic == NULL ? "(the producer's)" : record->topic, answer);
    *part = bytes;
    return 0;
}

int rill__chain_send(const struct producer_chain *chain, rill_record *record,
                     struct rill_scratch *scratch)
{
    rill_bytes key;
    rill_bytes value;
    int rc;

    for (size_t i = 0; i < chain->count; i++) {
        const rill_producer_interceptor *one = &chain->list[i];
        rill_record before = *record;
        int answer = one->on_send == NULL ? 0 : one->on_send(one->arg, record, scratch);
        if (answer == 0) continue;
        *record = before;
        tell_interceptor_failed(chain->store, one->name, "on_send", answer);
    }
    key = record->key;
    value = record->value;
    rc =
        serialize(chain->key_serializer, chain->key_serializer_arg, "key", record, scratch, &key);
    if (rc == 0) /* sees the key as the application has it, too */
        rc = serialize(chain->value_serializer, chain->value_serializer_arg, "value", record,
                       scratch, &value);
    if (rc != 0) return rc;
    record->key = key;
    record->value = value;
    return 0;
}

void rill__chain_acknowledge(const struct producer_chain *chain, const rill_delivery *delivery)
{
    for (size_t i = 0; i < chain->count; i++) {
        const rill_producer_interceptor *one = &chain->list[i];
        int answer = one->on_acknowledge == NULL ? 0 : one->on_acknowledge(one->arg, delivery);
        if (answer != 0)
            tell_interceptor_failed(chain->store, one->name, "on_acknowledge", answer);
    }
}

/* ---- A consumer's ----------------------------------------------------- */

int rill__consumer_chain_new(struct store *store, const rill_consumer_options *o,
                             struct consumer_chain **out)
{
    struct consumer_chain *chain;
    size_t names = 0;
    char *at;
    int rc = check_list(o->interceptors, o->interceptor_count);

    if (rc != 0 || o->interceptor_count == 0) return rc;
    for (size_t i = 0; i < o->interceptor_count; i++)
        names += strlen(text_of(o->interceptors[i].name)) + 1;
    chain = rill__alloc(&store->heap,
                        sizeof *chain + o->interceptor_count * sizeof chain->list[0] + names);
    if (chain == NULL) return RILL_ERR_NO_MEMORY;
    chain->store = store;
    chain->list = (rill_consumer_interceptor *)(chain + 1);
    chain->count = o->interceptor_count;
    at = (char *)(chain->list + chain->count);
    for (size_t i = 0; i < chain->count; i++) {
        chain->list[i] = o->interceptors[i];
        chain->list[i].name = keep_name(&at, o->interceptors[i].name);
    }
    *out = chain;
    return 0;
}

void rill__consumer_chain_free(struct consumer_chain *chain)
{
    if (chain == NULL) return;
    rill__free(&chain->store->heap, chain->before);
    rill__free(&chain->store->heap, chain);
}

/* Room to put the records back; without it no interceptor is called. */
static bool make_room(struct consumer_chain *chain, size_t count)
{
    rill_record *grown;

    if (count <= chain->before_room) return true;
    grown = rill__resize(&chain->store->heap, chain->before, count * sizeof *grown);
    if (grown == NULL) return false;
    chain->before = grown;
    chain->before_room = count;
    return true;
}

void rill__chain_consume(struct consumer_chain *chain, rill_record *records, size_t *count)
{
    for (size_t i = 0; i<chain->count && * count> 0; i++) {
        const rill_consumer_interceptor *one = &chain->list[i];
        size_t had = *count;
        int answer = RILL_ERR_NO_MEMORY;

        if (one->on_consume == NULL) continue;
        if (make_room(chain, had)) {
            memcpy(chain->before, records, had * sizeof *records);
            answer = one->on_consume(one->arg, records, count);
            if (answer == 0 && *count > had) answer = RILL_ERR_INVALID; /* it makes up records */
            if (answer == 0) continue;
            memcpy(records, chain->before, had * sizeof *records);
            *count = had;
        }
        tell_interceptor_failed(chain->store, one->name, "on_consume", answer);
    }
}

void rill__chain_commit(const struct consumer_chain *chain, const rill_position *positions,
                        size_t count)
{
    for (size_t i = 0; i < chain->count; i++) {
        const rill_consumer_interceptor *one = &chain->list[i];
        int answer = one->on_commit == NULL ? 0 : one->on_commit(one->arg, positions, count);
        if (answer != 0) tell_interceptor_failed(chain->store, one->name, "on_commit", answer);
    }
}
