/*
 * engine/engine.h - one open store: the parts joined, and who may touch what.
 *
 * A struct store is a store that this process has open, once, however many
 * handles (struct rill) point to it. Lock order, outermost first (all
 * locks: lib/README.md):
 *
 *     store->clients_lock    producers and consumers there are
 *     producer->lock         one producer's batches
 *     coordinator->lock      one group
 *     topic->open_lock       opening and closing logs
 *     topic->lock            what the catalogue says of a topic
 *     store->lock            topics, groups
 *     log's locks            see log/log.h
 *     workers->lock          records handed to workers; none is taken under it
 *
 * No callback of the application runs under any of them.
 */
#ifndef RILL_ENGINE_ENGINE_H
#define RILL_ENGINE_ENGINE_H
#include "base/error.h"
#include "base/heap.h"

/* Each checks its arguments' meaning; api has checked pointers and handles. */
struct store;

struct rill {
    struct store *store;
    uint32_t fork_generation;
    _Atomic uint32_t children; /* producers and consumers opened from it */
};

/* RILL_ERR_FORKED or 0; a plain load and a compare. */
int rill__handle_check(const rill *handle);
int rill__producer_check(const rill_producer *producer);
int rill__consumer_check(const rill_consumer *consumer);

int rill__store_open(const char *dir, const rill_options *options, rill **handle);
int rill__store_close(rill *handle);
int rill__store_sync(struct store *store, int timeout_ms);
int rill__store_maintain(struct store *store, uint32_t *next_ms);
int rill__store_stats(struct store *store, bool of_all, rill_stats *stats);
int rill__metrics(struct store *store, char *text, size_t size, size_t *needed);
int rill__explain(struct store *store, const rill_subject *subject,
                  int (*visit)(void *arg, const rill_fact *fact), void *arg);

int rill__check(const char *dir, const rill_check_options *options, rill_check_report *report);
int rill__repair(const char *dir, const rill_repair_options *options, rill_repair_report *report);
int rill__dump(const char *path, int (*visit)(void *arg, const rill_item *item), void *arg);

int rill__topic_create(struct store *store, const char *name, const rill_topic_options *options);
int rill__topic_delete(struct store *store, const char *name);
int rill__topic_alter(struct store *store, const char *name, uint32_t fields,
                      const rill_topic_options *options);
int rill__topic_add_partitions(struct store *store, const char *name, uint32_t count);
int rill__topic_describe(struct store *store, const char *name, rill_topic_info *info);
int rill__topic_list(struct store *store, int (*visit)(void *arg, const rill_topic_info *info),
                     void *arg);
int rill__partition_describe(struct store *store, const char *topic, int32_t partition,
                             rill_partition_info *info);
int rill__partition_delete_records(struct store *store, const char *topic, int32_t partition,
                                   rill_offset before, rill_offset *log_start);
int rill__partition_compact(struct store *store, const char *topic, int32_t partition,
                            rill_compact_report *report);
int rill__partition_offset_for_time(struct store *store, const char *topic, int32_t partition,
                                    int64_t timestamp_ms, rill_offset *offset);
int rill__group_describe(struct store *store, const char *group, rill_group_info *info);
int rill__group_list(struct store *store, int (*visit)(void *arg, const rill_group_info *info),
                     void *arg);
int rill__group_delete(struct store *store, const char *group);
int rill__group_members(struct store *store, const char *group,
                        int (*visit)(void *arg, const rill_group_member *member), void *arg);
int rill__group_offsets(struct store *store, const char *group,
                        int (*visit)(void *arg, const rill_group_offset *offset), void *arg);
int rill__group_lag(struct store *store, const char *group, int32_t isolation, int64_t *lag);
int rill__group_reset(struct store *store, const char *group,
                      const rill_group_reset_options *options);
int rill__group_export(struct store *store, const char *group,
                       int (*visit)(void *arg, const char *line), void *arg);
int rill__group_offsets_delete(struct store *store, const char *group,
                               const rill_position *positions, size_t count);

int rill__snapshot(struct store *store, const char *dir, const rill_copy_options *options);
int rill__restore(const char *snapshot, const char *dir, const rill_copy_options *options);
int rill__export(rill *handle, const char *topic, const rill_export_options *options,
                 rill_write_fn write, void *arg);
int rill__import(rill *handle, const char *topic, const rill_import_options *options,
                 rill_read_fn read, void *arg);

int rill__producer_open(rill *handle, const rill_producer_options *options,
                        rill_producer **producer);
int rill__producer_send(rill_producer *producer, const rill_record *record, void *opaque,
                        int timeout_ms);
int rill__producer_append(rill_producer *producer, const rill_record *records, size_t count,
                          int timeout_ms, rill_offset *base_offset);
int rill__producer_poll(rill_producer *producer);
int rill__producer_flush(rill_producer *producer, int timeout_ms);
int rill__producer_close(rill_producer *producer, int timeout_ms);
int rill__producer_reserve(rill_producer *producer, const rill_record *record, int timeout_ms,
                           rill_reservation *reservation);
int rill__producer_commit(rill_producer *producer, rill_offset *offset);
int rill__producer_abandon(rill_producer *producer);

int rill__consumer_open(rill *handle, const rill_consumer_options *options,
                        rill_consumer **consumer);
/* One thread at a time: RILL_ERR_STATE if another call is running. */
/* RILL_ERR_STATE inside of a callback. */
int rill__consumer_alone(const rill_consumer *consumer, const char *function);
int rill__consumer_enter(rill_consumer *consumer);
void rill__consumer_leave(rill_consumer *consumer);
int rill__consumer_subscribe(rill_consumer *consumer, const char *const *topics, size_t count);
int rill__consumer_unsubscribe(rill_consumer *consumer);
int rill__consumer_assign(rill_consumer *consumer, const rill_position *positions, size_t count);
int rill__consumer_incremental_assign(rill_consumer *consumer, const rill_position *positions,
                                      size_t count);
int rill__consumer_incremental_unassign(rill_consumer *consumer, const rill_position *positions,
                                        size_t count);
int rill__consumer_assignment(rill_consumer *consumer, rill_position *positions, size_t max,
                              size_t *count);
int rill__consumer_poll(rill_consumer *consumer, int timeout_ms, rill_record *records, size_t max,
                        size_t *count);
int rill__consumer_seek(rill_consumer *consumer, const char *topic, int32_t partition,
                        rill_offset offset);
int rill__consumer_seek_time(rill_consumer *consumer, const char *topic, int32_t partition,
                             int64_t timestamp_ms);
int rill__consumer_pause(rill_consumer *consumer, const char *topic, int32_t partition,
                         bool pause);
int rill__consumer_position(rill_consumer *consumer, const char *topic, int32_t partition,
                            rill_offset *offset, int64_t *lag);
int rill__consumer_commit(rill_consumer *consumer, const rill_position *positions, size_t count);
int rill__consumer_commit_async(rill_consumer *consumer, const rill_position *positions,
                                size_t count, rill_commit_fn told, void *arg);
int rill__consumer_committed(rill_consumer *consumer, const char *topic, int32_t partition,
                             rill_position *position, char *metadata, size_t metadata_size);
void rill__consumer_wakeup(rill_consumer *consumer);
int rill__consumer_fd(rill_consumer *consumer, int *fd);
int rill__consumer_close(rill_consumer *consumer, int timeout_ms);

int rill__producer_append_sequenced(rill_producer *producer, int32_t sequence,
                                    const rill_record *records, size_t count, int timeout_ms,
                                    rill_offset *base_offset);
int rill__producer_sequence(rill_producer *producer, const char *topic, int32_t partition,
                            int32_t *sequence);
rill_producer *rill__txn_producer(const rill_txn *txn);
int rill__txn_begin(rill_producer *producer, rill_txn **txn);
int rill__txn_send_offsets(rill_txn *txn, rill_consumer *consumer, const rill_position *positions,
                           size_t count);
int rill__txn_commit(rill_txn *txn, int timeout_ms);
int rill__txn_abort(rill_txn *txn, int timeout_ms);
int rill__txn_get(rill_txn *txn, rill_space *space, rill_bytes key, rill_bytes *value);
/* value.data NULL: deletes. */
int rill__txn_put(rill_txn *txn, rill_space *space, rill_bytes key, rill_bytes value);
int rill__consumer_seek_committed(rill_consumer *consumer);
int rill__space_open(rill *handle, const char *name, uint32_t flags, rill_space **space);
void rill__space_close(rill_space *space);
int rill__space_delete(struct store *store, const char *name);
int rill__space_list(struct store *store, int (*visit)(void *arg, const char *name), void *arg);
int rill__space_get(rill_space *space, rill_bytes key, void *value, size_t room, size_t *size);
int rill__view_open(rill *handle, rill_view **view);
void rill__view_close(rill_view *view);
int rill__view_get(rill_view *view, rill_space *space, rill_bytes key, rill_bytes *value);
int rill__cursor_open(rill_view *view, rill_txn *txn, rill_space *space, const rill_range *range,
                      rill_cursor **cursor);
int rill__cursor_read(rill_cursor *cursor, rill_bytes *key, rill_bytes *value);
void rill__cursor_close(rill_cursor *cursor);

int rill__workers_check(const rill_workers *workers);
/* The consumer is entered, and stays so until the workers are closed. */
int rill__workers_open(rill_consumer *consumer, const rill_workers_options *options,
                       rill_workers **workers);
int rill__workers_run(rill_workers *workers, int timeout_ms);
void rill__workers_stop(rill_workers *workers);
int rill__workers_describe(rill_workers *workers, rill_workers_info *info);
int rill__workers_close(rill_workers *workers, int timeout_ms);

void *rill__scratch_alloc(rill_scratch *scratch, size_t size);
int rill__traceparent(const rill_record *record, char traceparent[RILL_TRACEPARENT_SIZE]);
int rill__trace_open(rill *handle, const rill_trace_options *options, rill_trace **trace);
void rill__trace_interceptor(rill_trace *trace, rill_producer_interceptor *interceptor);
void rill__trace_close(rill_trace *trace);
int rill__audit_open(rill *handle, const rill_audit_options *options, rill_audit **audit);
void rill__audit_close(rill_audit *audit);
void rill__audit_producer(rill_audit *audit, rill_producer_interceptor *interceptor);
void rill__audit_consumer(rill_audit *audit, rill_consumer_interceptor *interceptor);
int rill__audit_list(rill_audit *audit, int (*visit)(void *arg, const rill_audit_window *window),
                     void *arg);
int rill__audit_add(rill_audit *audit, const rill_audit_window *window);
int rill__audit_compare(rill_audit *sent, rill_audit *received,
                        int (*visit)(void *arg, const rill_audit_window *sent,
                                     const rill_audit_window *received),
                        void *arg);

int rill__record_header_at(const rill_record *record, size_t index, rill_header *header);

#endif
