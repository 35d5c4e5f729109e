/*
 * api/intercept.c - the public functions for interceptors, tracing and auditing.
 */
#include "api/api.h"

void *rill_scratch_alloc(rill_scratch *scratch, size_t size)
{
    return scratch == NULL ? NULL : rill__scratch_alloc(scratch, size);
}

/* ---- Tracing ---------------------------------------------------------- */

int rill_traceparent(const rill_record *record, char traceparent[RILL_TRACEPARENT_SIZE])
{
    if (record == NULL) return rill__missing("rill_traceparent", "record");
    if (traceparent == NULL) return rill__missing("rill_traceparent", "traceparent");
    return rill__traceparent(record, traceparent);
}

int rill_trace_open(rill *store, const rill_trace_options *options, rill_trace **trace)
{
    int rc = rill__store_check("rill_trace_open", store, "trace", trace);
    return rc != 0 ? rc : rill__trace_open(store, options, trace);
}

void rill_trace_interceptor(rill_trace *trace, rill_producer_interceptor *interceptor)
{
    if (trace != NULL && interceptor != NULL) rill__trace_interceptor(trace, interceptor);
}

void rill_trace_close(rill_trace *trace)
{
    if (trace != NULL) rill__trace_close(trace);
}

/* ---- Auditing --------------------------------------------------------- */

int rill_audit_open(rill *store, const rill_audit_options *options, rill_audit **audit)
{
    int rc = rill__store_check("rill_audit_open", store, "audit", audit);
    return rc != 0 ? rc : rill__audit_open(store, options, audit);
}

void rill_audit_close(rill_audit *audit)
{
    if (audit != NULL) rill__audit_close(audit);
}

void rill_audit_producer(rill_audit *audit, rill_producer_interceptor *interceptor)
{
    if (audit != NULL && interceptor != NULL) rill__audit_producer(audit, interceptor);
}

void rill_audit_consumer(rill_audit *audit, rill_consumer_interceptor *interceptor)
{
    if (audit != NULL && interceptor != NULL) rill__audit_consumer(audit, interceptor);
}

int rill_audit_list(rill_audit *audit, int (*visit)(void *arg, const rill_audit_window *window),
                    void *arg)
{
    if (audit == NULL) return rill__missing("rill_audit_list", "audit");
    if (visit == NULL) return rill__missing("rill_audit_list", "visit");
    return rill__audit_list(audit, visit, arg);
}

int rill_audit_add(rill_audit *audit, const rill_audit_window *window)
{
    if (audit == NULL) return rill__missing("rill_audit_add", "audit");
    if (window == NULL) return rill__missing("rill_audit_add", "window");
    return rill__audit_add(audit, window);
}

int rill_audit_compare(rill_audit *sent, rill_audit *received,
                       int (*visit)(void *arg, const rill_audit_window *sent,
                                    const rill_audit_window *received),
                       void *arg)
{
    if (sent == NULL) return rill__missing("rill_audit_compare", "sent");
    if (received == NULL) return rill__missing("rill_audit_compare", "received");
    if (visit == NULL) return rill__missing("rill_audit_compare", "visit");
    return rill__audit_compare(sent, received, visit, arg);
}
