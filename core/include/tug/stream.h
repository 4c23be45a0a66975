/* What:      byte streams over TCP and Unix sockets with buffers of our own.
 * Ownership: tug_stream is yours until close. One task reads and one writes at a time (TUG_EMISUSE).
 * Context:   connect, read, write, wait_closed: task only. close: any context of the loop.
 * Callbacks: none.
 * Errors:    -errno from the system, TUG_ECLOSED after close (also for a task that waits),
 *            TUG_ECONNECT when no address answered, TUG_ECANCELED. A cancelled write may have sent a part. */
#ifndef TUG_STREAM_H
#define TUG_STREAM_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_stream tug_stream;

/* "tcp://host:port", "unix:/path". The name is resolved off the loop; all addresses are tried, each with
 * its share of the caller's deadline (10 s if it has none). */
TUG_SUSPENDS TUG_EXPORT int tug_stream_connect(const char *address,
                                               tug_stream **ret_stream) TUG_CHECK;
/* Takes over a connected socket (on failure it is still yours). Does not suspend. */
TUG_EXPORT int tug_stream_from_fd(int fd, tug_stream **ret_stream) TUG_CHECK;
/* Waits for at least one byte. > 0: bytes read (at most size, at most INT_MAX); 0: the peer has ended. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_read(tug_stream *s, void *to, size_t size) TUG_CHECK;
/* Waits for exactly size bytes: 0; TUG_EPROTO if the peer ends before. Cancelled: the bytes that came are
 * still there for the next read. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_read_exact(tug_stream *s, void *to, size_t size) TUG_CHECK;
/* Puts all bytes into the buffer, which is sent at the end of the turn; waits while more than 256 KiB
 * are unsent. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_write(tug_stream *s, struct tug_bytes data) TUG_CHECK;
/* Waits until everything written has been handed to the system. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_flush(tug_stream *s) TUG_CHECK;
/* Waits until the peer ends or the connection fails: TUG_ECLOSED or -errno. Any number of tasks may. It is
 * not seen while more than 64 KiB wait to be read. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_wait_closed(tug_stream *s) TUG_CHECK;
/* Discards what is unsent. Whoever waits gets TUG_ECLOSED. NULL is fine. */
TUG_EXPORT void tug_stream_close(tug_stream *s);
TUG_AUTO_FN(tug_stream, tug_stream_close)

#ifdef __cplusplus
}
#endif
#endif
