/* What:      the transport's struct, for the two files that know it: transport.c and transport_get.c.
 * Ownership, Context, Callbacks, Errors: as of tug_transport. */
#ifndef TUG_KIT_TRANSPORT_INSIDE_H
#define TUG_KIT_TRANSPORT_INSIDE_H

#include <tug/sys/driver.h>

#include "kit/transport.h"
#include "kit/wire.h"

struct tug__transport_shared; /* what the transports of a loop share */

struct tug_transport {
    /* Output: what is unsent lies in out[out_start .. out_end). */
    uint8_t *out;
    size_t out_start, out_end, out_size;
    size_t high, low, limit;
    tug_flush flush;
    uint8_t state;
    uint8_t out_state;
    uint8_t directions; /* what the descriptor can do at all: TUG_READ, TUG_WRITE */
    bool is_blocked;    /* the socket takes no more: write interest is on, no flush is asked for */
    bool was_full;      /* above the high mark, on_room is due below the low one */
    bool is_paused;
    unsigned depth; /* callbacks that are on the stack */
    uint64_t sent;
    tug_time last_received;

    struct tug__wire wire;
    tug_io *io;
    struct tug__transport_shared *shared;
    const tug_transport_ops *ops;
    void *arg;
    tug_call soon;
    tug_call again;      /* the wire is ripe */
    tug_waiters shaking; /* who waits for the handshake of a transport that is not started */
    tug_error why;       /* of FAILING and ENDED, and of a handshake that failed before the start */
    int old_flags;       /* of a descriptor that others may share; -1: it is ours alone */
    char *local;         /* made when it is asked for */
    char peer[TUG__PEER_BYTES];
};

static inline size_t tug__transport_queued(const tug_transport *t)
{
    return t->out_end - t->out_start;
}

/* With what the wire has taken, but not the system. */
static inline size_t tug__transport_unsent(const tug_transport *t)
{
    return tug__transport_queued(t) + t->wire.held;
}

#endif
