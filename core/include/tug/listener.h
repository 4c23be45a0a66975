/* What:      listening sockets: each connection that comes is a stream. TCP, TLS, Unix.
 * Ownership: tug_listener is yours until close, each stream of next as well.
 * Context:   next: task only, any number of tasks at once. The rest: any context of the loop.
 * Callbacks: none.
 * Errors:    TUG_EINVAL (address, options), -errno from bind and listen. Out of file descriptors or memory is no
 *            failure of next: accepting pauses (10 ms, longer each time, up to 1 s), is counted and logged. */
#ifndef TUG_LISTENER_H
#define TUG_LISTENER_H

#include <tug/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_listener tug_listener;

typedef struct tug_listener_options {
    size_t size;
    /* Connections that the system holds before they are accepted, 1 to 65,535 (it cuts at net.core.somaxconn);
     * 1,024. */
    int backlog;
    /* Several listeners, in other processes too, share a TCP port, and the system spreads connections
     * over them; false. */
    bool reuse_port;
    /* "tcp://[::]:port" takes no IPv4 connections; false. */
    bool only_v6;
    /* Permissions of a Unix socket's file, 1 to 0777, from its first moment on; 0: what the umask leaves. */
    unsigned mode;
    /* Of the accepted streams: copied. NULL: the defaults. Its tls is not used. */
    const tug_stream_options *stream;
    /* Certificate and key for tls://; a reference is kept. With another scheme: TUG_EINVAL. */
    struct tug_tls *tls;
} tug_listener_options;
#define TUG_LISTENER_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(tug_listener_options), 1024, false, false, 0, NULL, NULL                            \
    }

typedef struct tug_listener_stats {
    size_t size;
    uint64_t accepted;
    uint64_t aborted;   /* went away before they were accepted */
    uint64_t shortages; /* times that accepting paused for want of descriptors or memory */
} tug_listener_stats;
#define TUG_LISTENER_STATS_INIT                                                                    \
    {                                                                                              \
        sizeof(tug_listener_stats), 0, 0, 0                                                        \
    }

/* "tcp://0.0.0.0:9000", "tcp://[::]:0" (a free port), "tls://...", "unix:/path"; a numeric address: does not suspend. A
 * socket file that nobody listens on any more is replaced. o NULL: the defaults. */
TUG_EXPORT int tug_listener_open(const char *address, const tug_listener_options *o,
                                 tug_listener **ret_listener) TUG_CHECK;
/* 1 and a stream; 0: the end, after the first request to stop, after tug_listener_stop, or closed. What was
 * accepted before is given out first. */
TUG_SUSPENDS TUG_EXPORT int tug_listener_next(tug_listener *l, tug_stream **ret_stream) TUG_CHECK;
/* No more connections: the socket is closed, its file removed. */
TUG_EXPORT void tug_listener_stop(tug_listener *l);
/* As it can be connected to, the port filled in: "tcp://127.0.0.1:43211", "unix:/path". Borrowed. */
TUG_EXPORT const char *tug_listener_address(const tug_listener *l);
TUG_EXPORT void tug_listener_get_stats(const tug_listener *l, tug_listener_stats *ret_stats);
/* Connections that nobody took are closed; tasks in next get 0. NULL is fine. */
TUG_EXPORT void tug_listener_close(tug_listener *l);
TUG_AUTO_FN(tug_listener, tug_listener_close)

#ifdef __cplusplus
}
#endif
#endif
