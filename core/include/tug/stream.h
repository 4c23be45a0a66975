/* What:      byte streams with buffers of our own: TCP, Unix sockets, TLS over either, pipes, terminals.
 * Ownership: tug_stream is yours until close. One task reads and one writes at a time (TUG_EMISUSE).
 * Context:   what may suspend: task only. The rest: any context of the loop.
 * Callbacks: none.
 * Errors:    -errno from the system, TUG_ECLOSED after close (at once, also for every task that waits), TUG_ECONNECT
 *            when no address answered, TUG_EPROTO when the peer ends too early, TUG_ELIMIT, TUG_ECANCELED. A
 *            cancelled write may have sent a part; a cancelled read has taken nothing. */
#ifndef TUG_STREAM_H
#define TUG_STREAM_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_stream tug_stream;
struct tug_tls; /* <tug/tls.h> */

typedef struct tug_stream_options {
    size_t size;
    /* Unsent bytes above which a write waits, 1 to 1 GiB; 256 KiB. It goes on when fewer than low_water are
     * unsent, 1 to high_water; 64 KiB. */
    size_t high_water;
    size_t low_water;
    /* Bytes that are taken from the system before anybody reads them, 1 to 1 GiB; 64 KiB. One receive more
     * (up to 64 KiB) may lie in the buffer. */
    size_t read_ahead;
    /* For look-up, all addresses and the TLS handshake, when the caller has no deadline, ns; 10 s. */
    tug_duration connect_timeout;
    /* How long an address may stay without an answer before the next one is tried beside it (RFC 8305),
     * ns, 10 ms to 2 s; 250 ms. */
    tug_duration attempt_delay;
    /* TCP keepalive: silence before the first probe, the distance of probes, whole seconds (rounded up) of 1 s
     * to 32,767 s; 30 s and 10 s; and how many stay unanswered before the connection counts as lost, 1 to 127;
     * 3. keepalive_idle 0: no keepalive. */
    tug_duration keepalive_idle;
    tug_duration keepalive_every;
    int keepalive_times;
    /* TCP_USER_TIMEOUT: how long sent bytes may stay unacknowledged before the connection counts as lost, ns,
     * whole ms (rounded up), up to 24 days; 0: the system's own (about 15 minutes). A peer that is alive but
     * reads nothing for so long counts as lost too. */
    tug_duration user_timeout;
    /* How tls:// is done; a reference is kept. NULL: verified against the system's authorities.
     * With another scheme: TUG_EINVAL. */
    struct tug_tls *tls;
} tug_stream_options;
#define TUG_STREAM_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(tug_stream_options), (size_t)256 << 10, (size_t)64 << 10, (size_t)64 << 10,         \
            TUG_SECONDS(10), TUG_MS(250), TUG_SECONDS(30), TUG_SECONDS(10), 3, 0, NULL             \
    }

/* "tcp://host:port", "tls://host:port", "unix:/path". The name is resolved off the loop. Addresses are tried
 * in turn, IPv6 and IPv4 alternating; one that refuses is followed by the next at once, one that says
 * nothing after attempt_delay while it goes on: the first that answers wins, and the detail of a failure
 * names all. Each attempt ends with its share of the caller's deadline. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_connect(const char *address,
                                               tug_stream **ret_stream) TUG_CHECK;
/* o NULL: the defaults. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_connect_with(const char *address,
                                                    const tug_stream_options *o,
                                                    tug_stream **ret_stream) TUG_CHECK;
/* Takes over a connected socket, an end of a pipe, a FIFO or a terminal (on failure it is still yours). It is
 * made non-blocking; what is no socket gets its old mode back at the end, because others may share it. Which
 * directions a pipe has is how it was opened: the other one is TUG_EMISUSE. No write raises SIGPIPE, and the
 * process's disposition of it is not touched. Does not suspend. */
TUG_EXPORT int tug_stream_from_fd(int fd, tug_stream **ret_stream) TUG_CHECK;
TUG_EXPORT int tug_stream_from_fd_with(int fd, const tug_stream_options *o,
                                       tug_stream **ret_stream) TUG_CHECK;

/* Waits for at least one byte. > 0: bytes read (at most size, at most INT_MAX); 0: the peer has ended. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_read(tug_stream *s, void *to, size_t size) TUG_CHECK;
/* Waits for exactly size bytes: 0; TUG_EPROTO if the peer ends before. Cancelled: the bytes that came are
 * still there for the next read. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_read_exact(tug_stream *s, void *to, size_t size) TUG_CHECK;
/* Waits for the delimiter (1 to 64 bytes). > 0: bytes read, the delimiter being the last of them; 0: the peer has
 * ended and nothing is left; TUG_EPROTO: it has ended in the middle; TUG_ELIMIT: the delimiter does not end
 * within size bytes (1 to 64 MiB). What came stays readable in each case of failure. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_read_until(tug_stream *s, struct tug_bytes delimiter,
                                                  void *to, size_t size) TUG_CHECK;
/* Everything up to the peer's end, as a buffer that is yours to unref: 0; TUG_ELIMIT if that is more than limit
 * bytes. What came stays readable in each case of failure. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_read_all(tug_stream *s, size_t limit,
                                                tug_buffer **ret_buffer) TUG_CHECK;

/* Puts all bytes into the buffer, which is sent at the end of the turn; waits while more than the
 * high-water mark are unsent. TUG_EMISUSE after shutdown. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_write(tug_stream *s, struct tug_bytes data) TUG_CHECK;
/* Waits until everything written has been handed to the system. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_flush(tug_stream *s) TUG_CHECK;
/* Ends our direction after what is unsent: the peer reads an end, and we may still read. Does not suspend; twice
 * is fine. An end of a pipe is closed by it. */
TUG_EXPORT int tug_stream_shutdown(tug_stream *s);

/* Waits until the peer ends or the connection fails: TUG_ECLOSED or -errno. Any number of tasks may. It is
 * not seen while more than read_ahead bytes wait to be read. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_wait_closed(tug_stream *s) TUG_CHECK;
/* The orderly goodbye: flushes, shuts down and waits for the peer's end, discarding what it still says: 0
 * when both directions have ended. Then, or when a deadline cuts it short: close. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_finish(tug_stream *s) TUG_CHECK;
/* At once: discards what is unsent and unread. Whoever waits gets TUG_ECLOSED. NULL is fine. */
TUG_EXPORT void tug_stream_close(tug_stream *s);
TUG_AUTO_FN(tug_stream, tug_stream_close)

/* "192.0.2.1:5432", "[2001:db8::1]:443", "/path": the other end and ours, for messages. Ours is "" where there is
 * none (a pipe). Borrowed until close. */
TUG_EXPORT const char *tug_stream_peer(const tug_stream *s);
TUG_EXPORT const char *tug_stream_local(tug_stream *s);
/* Borrowed, for socket options: not to be read, written, watched or closed. -1 when the connection is lost. */
TUG_EXPORT int tug_stream_fd(const tug_stream *s);

#ifdef __cplusplus
}
#endif
#endif
