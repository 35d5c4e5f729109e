/*
 * base/probe.h - places where a tracer can look in, without a rebuild.
 *
 * USDT probes of provider "rill", compiled in where <sys/sdt.h> is there (Debian:
 * systemtap-sdt-dev): one no-op instruction each until perf, bpftrace or SystemTap
 * turn them on. Without the header they are nothing. Texts are C strings.
 *
 *     probe      arguments
 *     ---------- ---------------------------------------------------------------
 *     append     topic, partition, base offset, records, bytes     (a batch is in the log)
 *     sync       directory of the partition, durable end, 0 or the error
 *     poll       client id, records                                (a poll returns)
 *     commit     group, partitions, 0 or the error                 (offsets)
 *     rebalance  group, events, 0 or the error                     (a step of the group)
 *
 *     bpftrace -e 'usdt:/usr/local/lib/librill.so:rill:append
 *                  { @bytes[str(arg0)] = hist(arg4); }'
 *     perf buildid-cache --add /usr/local/lib/librill.so &&
 *     perf probe sdt_rill:append && perf record -e sdt_rill:append -p PID
 */
#ifndef RILL_BASE_PROBE_H
#define RILL_BASE_PROBE_H

#ifdef __has_include
#if __has_include(<sys/sdt.h>)
#define RILL_HAS_PROBES 1
#endif
#endif

#ifdef RILL_HAS_PROBES
#include <sys/sdt.h>
#ifdef __clang__ /* its macros have an argument "..." that may be none */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif
#define RILL_PROBE2(name, a, b) DTRACE_PROBE2(rill, name, a, b)
#define RILL_PROBE3(name, a, b, c) DTRACE_PROBE3(rill, name, a, b, c)
#define RILL_PROBE5(name, a, b, c, d, e) DTRACE_PROBE5(rill, name, a, b, c, d, e)
#else
#define RILL_PROBE2(name, a, b) ((void)(a), (void)(b))
#define RILL_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define RILL_PROBE5(name, a, b, c, d, e) ((void)(a), (void)(b), (void)(c), (void)(d), (void)(e))
#endif

#endif
