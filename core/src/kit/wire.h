/* What:      the descriptor as the transport sees it: a table of calls, so that TLS or a pipe can
 *            stand in for a plain socket.
 * Ownership: the wire owns its descriptor from open to close. Context: the loop stack.
 * Callbacks: none. Errors: -errno; -EAGAIN: not now. */
#ifndef TUG_KIT_WIRE_H
#define TUG_KIT_WIRE_H

#include <sys/types.h>
#include <tug/base.h>

struct tug__wire;

struct tug__wire_ops {
    /* > 0: bytes, and fewer than size only if nothing is left for now; 0: the peer has ended. */
    ssize_t (*receive)(struct tug__wire *w, void *to, size_t size);
    /* > 0: bytes taken, and fewer than size only if no more can be taken for now. */
    ssize_t (*send)(struct tug__wire *w, const void *from, size_t size);
    /* Nothing more will be sent: the peer is told. 0, -errno, or -EAGAIN: not now, ask again when the
     * descriptor takes bytes. */
    int (*shutdown_write)(struct tug__wire *w);
    void (*close)(struct tug__wire *w);
};

struct tug__wire {
    const struct tug__wire_ops *ops;
    int fd;
    void *state; /* of the ops; the plain ones and those of pipes have none */
};

/* A stream socket. */
extern const struct tug__wire_ops tug__wire_plain;
/* A pipe, a FIFO or a terminal. */
extern const struct tug__wire_ops tug__wire_pipe;

#endif
