/* What:      the byte transport under the Redis and AMQP drivers (and tug_stream): one socket, an output
 *            buffer that is sent once at the end of the turn, input handed over in chunks.
 * Ownership: tug_transport is yours until close; data given to on_data is borrowed for that call.
 * Context:   dial: task only. The rest: any context of the loop.
 * Callbacks: on the loop stack. Closing the transport inside them is allowed.
 * Errors:    TUG_ECONNECT from dial (with host, port and the system's reason), -errno or TUG_ECLOSED in on_end,
 *            TUG_ELIMIT and TUG_ENOMEM from reserve. */
#ifndef TUG_SYS_TRANSPORT_H
#define TUG_SYS_TRANSPORT_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_transport tug_transport;

typedef struct tug_transport_ops {
    size_t size;
    /* Bytes that came, at most 64 KiB a call; all of them count as consumed. */
    void (*on_data)(void *arg, const uint8_t *data, size_t size);
    /* The unsent bytes fell below the low-water mark after they had been above the high one. May be NULL. */
    void (*on_room)(void *arg);
    /* Once, at the end: code TUG_ECLOSED when the peer ended, else why. No further calls after it. After a send
     * that failed it comes from the run queue, after on_data with what the peer had said last. */
    void (*on_end)(void *arg, const tug_error *why);
    /* The peer has ended its direction; writing goes on, on_end comes when that fails. NULL: the peer's end is
     * the end, on_end(TUG_ECLOSED). */
    void (*on_eof)(void *arg);
    /* Where the next bytes may be received straight into: room for at least 16 KiB, valid until on_data, which
     * then gets them at that place. NULL, or returns NULL: the chunk that the loop's transports share. */
    uint8_t *(*on_buffer)(void *arg, size_t *ret_size);
} tug_transport_ops;

/* Connects to host:port, or to a Unix socket when host starts with '/'. Resolves off the loop, tries all
 * addresses in turn, each with its share of the caller's deadline. TCP_NODELAY, keepalive on. */
TUG_SUSPENDS TUG_EXPORT int tug_transport_dial(const char *host, uint16_t port,
                                               tug_transport **ret_transport) TUG_CHECK;
/* Takes over a connected stream socket (made non-blocking; on failure it is still yours). */
TUG_EXPORT int tug_transport_from_fd(int fd, tug_transport **ret_transport) TUG_CHECK;
/* Starts to read, and to send what was written before. ops and arg outlive the transport. */
TUG_EXPORT int tug_transport_start(tug_transport *t, const tug_transport_ops *ops,
                                   void *arg) TUG_CHECK;
/* While paused nothing is read: back-pressure. */
TUG_EXPORT void tug_transport_pause(tug_transport *t, bool paused);
/* Room for size >= 1 more bytes at the end of the output, valid until the next call. NULL with its detail set:
 * TUG_ENOMEM, TUG_ELIMIT (more than the limit would be unsent), or why the connection has ended. */
TUG_EXPORT uint8_t *tug_transport_reserve(tug_transport *t, size_t size);
/* size bytes of the room are to be sent, at the end of this turn. */
TUG_EXPORT void tug_transport_commit(tug_transport *t, size_t size);
/* reserve, copy, commit: 0 or TUG_ENOMEM, TUG_ELIMIT; nothing is queued on failure. */
TUG_EXPORT int tug_transport_write(tug_transport *t, struct tug_bytes data) TUG_CHECK;
/* Sends what it can now, without waiting for the end of the turn. */
TUG_EXPORT void tug_transport_flush(tug_transport *t);
/* Ends our direction after what is unsent, at the end of the turn: nothing can be written from now on. Twice is
 * fine. */
TUG_EXPORT int tug_transport_shutdown(tug_transport *t);
TUG_EXPORT size_t tug_transport_unsent(const tug_transport *t);
/* Bytes written to the system in all; when anything was last received (turn time). */
TUG_EXPORT uint64_t tug_transport_sent(const tug_transport *t);
TUG_EXPORT tug_time tug_transport_last_received(const tug_transport *t);
/* high, low: marks for on_room and is_full; limit: what reserve refuses to exceed. Defaults 256 KiB, 64 KiB,
 * 64 MiB. */
TUG_EXPORT void tug_transport_set_limits(tug_transport *t, size_t high, size_t low, size_t limit);
/* Unsent bytes are above the high mark. */
TUG_EXPORT bool tug_transport_is_full(const tug_transport *t);
/* "127.0.0.1:5672": the peer, for messages. Borrowed. */
TUG_EXPORT const char *tug_transport_peer(const tug_transport *t);
/* Closes at once; unsent bytes are lost; on_end is not called. NULL is fine. */
TUG_EXPORT void tug_transport_close(tug_transport *t);

#ifdef __cplusplus
}
#endif
#endif
