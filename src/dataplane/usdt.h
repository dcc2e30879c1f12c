/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static probes for tracers (bpftrace, perf, systemtap): a no-op instruction each until somebody
 * attaches. Only where sys/sdt.h was there at build; the names and arguments are stable
 * (docs/operations.md). Pointers are to C strings.
 */
#ifndef SALLYPORT_DATAPLANE_USDT_H
#define SALLYPORT_DATAPLANE_USDT_H

#ifdef SALLYPORT_USDT
#include <sys/sdt.h>

#define USDT_ACCEPT(conn, listener) DTRACE_PROBE2(sallyport, accept, conn, listener)
#define USDT_HANDSHAKE_DONE(conn, listener, cn, version)                                           \
	DTRACE_PROBE4(sallyport, handshake_done, conn, listener, cn, version)
#define USDT_REFUSED(conn, listener, reason, detail)                                               \
	DTRACE_PROBE4(sallyport, refused, conn, listener, reason, detail)
#define USDT_RELAY_START(conn, client_transport, upstream_transport)                               \
	DTRACE_PROBE3(sallyport, relay_start, conn, client_transport, upstream_transport)
#define USDT_CLOSE(conn, listener, reason, bytes_in, bytes_out)                                    \
	DTRACE_PROBE5(sallyport, close, conn, listener, reason, bytes_in, bytes_out)
#define USDT_LIMIT(listener, reason) DTRACE_PROBE2(sallyport, limit, listener, reason)
#else
#define USDT_ACCEPT(conn, listener)				     ((void)0)
#define USDT_HANDSHAKE_DONE(conn, listener, cn, version)	     ((void)0)
#define USDT_REFUSED(conn, listener, reason, detail)		     ((void)0)
#define USDT_RELAY_START(conn, client_transport, upstream_transport) ((void)0)
#define USDT_CLOSE(conn, listener, reason, bytes_in, bytes_out)	     ((void)0)
#define USDT_LIMIT(listener, reason)				     ((void)0)
#endif

#endif
