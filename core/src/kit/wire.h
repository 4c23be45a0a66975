/* What:      the descriptor as the transport sees it: a table of calls, so that TLS or a pipe can
 *            stand in for a plain socket.
 * Ownership: the wire owns its descriptor from open to close. Context: the loop stack; close: any.
 * Callbacks: none. Errors: -errno; -EAGAIN: not now; a code of tug's (< -4095): explain says why. */
#ifndef TUG_KIT_WIRE_H
#define TUG_KIT_WIRE_H

#include <sys/types.h>
#include <tug/error.h>

struct tug__wire;

struct tug__wire_ops {
    /* While is_shaking the only call beside close and explain: first unasked, then when the socket is
     * readable (or writable, with held > 0). 0: is_shaking is false now. NULL: never shakes. */
    int (*handshake)(struct tug__wire *w);
    /* > 0: bytes, and fewer than size only if nothing is left for now or has_more is set; 0: the peer
     * has ended. */
    ssize_t (*receive)(struct tug__wire *w, void *to, size_t size);
    /* > 0: bytes taken, and fewer than size only if no more can be taken for now. size 0: only what is
     * held is sent. */
    ssize_t (*send)(struct tug__wire *w, const void *from, size_t size);
    /* Nothing more will be sent: the peer is told. 0, -errno, or -EAGAIN: not now, ask again when the
     * descriptor takes bytes. */
    int (*shutdown_write)(struct tug__wire *w);
    /* is_whole: nothing was left unsent. */
    void (*close)(struct tug__wire *w, bool is_whole);
    /* After a code of tug's. NULL: these ops give none. */
    void (*explain)(struct tug__wire *w, const char *peer, tug_error *ret_why);
    /* Third-party code is behind it: all but close runs on the loop stack, and receive wants the large
     * chunk. */
    bool is_deep;
};

struct tug__wire {
    const struct tug__wire_ops *ops;
    int fd;
    bool is_shaking; /* nothing can be received or sent yet */
    bool has_more; /* the latest receive did not empty the socket, though it gave fewer than size */
    bool is_ripe;  /* receive has something to tell that the socket knows nothing of */
    size_t held;   /* bytes that are taken and wait for the socket to become writable */
    void *state;   /* of the ops; the plain ones and those of pipes have none */
};

/* A stream socket. */
extern const struct tug__wire_ops tug__wire_plain;
/* A pipe, a FIFO or a terminal. */
extern const struct tug__wire_ops tug__wire_pipe;

#endif
