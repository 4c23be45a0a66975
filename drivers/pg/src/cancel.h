/* What:      cancel requests: ending, on the server, what nobody waits for any more, so that its
 *            connection comes back. When one may go out, and when the connection works again.
 * Ownership: tug__pg_cancels is reference counted: one of the pool, one of each request that is
 *            under way. tug__pg_cancel lives in its connection.
 * Context:   the loop's thread. What says "loop stack" as in connection.h.
 * Callbacks: none.
 * Errors:    none: a request that cannot be made is made again later; a connection whose time is up
 *            is LOST. */
#ifndef TUG_PG_CANCEL_H
#define TUG_PG_CANCEL_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <tug/sys/driver.h>

struct tug__pg_connection;

/* The requests of one pool: few at a time. Each costs the server a process, and with libpq before
 * 17 keeps an offload thread for as long as the network likes. */
typedef struct tug__pg_cancels {
    atomic_size_t references;
    atomic_size_t running;                   /* places taken, until the thread has come back */
    tug_duration timeout;                    /* 0: none are sent */
    struct tug__pg_connection *first, *last; /* wait for a place, in order */
    uint64_t sent;
} tug__pg_cancels;

typedef enum tug__pg_cancel_state {
    TUG__PG_CANCEL_NONE,   /* nothing to cancel: the connection takes work. In all others nothing
                              is sent but the Sync of SETTLE */
    TUG__PG_CANCEL_GRACE,  /* only what nobody wants is in flight, but young: may end by itself */
    TUG__PG_CANCEL_PLACE,  /* waits until the pool has fewer requests under way */
    TUG__PG_CANCEL_ASKING, /* a request is under way: its socket has not closed */
    TUG__PG_CANCEL_ASKED,  /* it has; what it was for is not answered. After a while: once more */
    TUG__PG_CANCEL_SETTLE, /* all is answered: a Sync of our own is in flight, for a late cancel to
                              fall on */
    TUG__PG_CANCEL_STATE_MAX
} tug__pg_cancel_state;

/* The request that is under way. */
typedef struct tug__pg_errand tug__pg_errand;

/* Zeroed: NONE. */
typedef struct tug__pg_cancel {
    tug__pg_cancels *pool;
    tug__pg_cancel_state state;
    unsigned asked;    /* requests for what is in flight now */
    tug_time deadline; /* then the connection is given up */
    tug_time next;     /* GRACE, PLACE, ASKED: when to look again */
    tug_timer timer;
    tug__pg_errand *errand;                    /* ASKING */
    struct tug__pg_connection *after, *before; /* PLACE: in the pool's line */
} tug__pg_cancel;

/* One reference. timeout: from the moment when only unwanted things are in flight until the
 * connection works again; 0: no requests are sent. NULL: out of memory. */
tug__pg_cancels *tug__pg_cancels_new(tug_duration timeout);
/* NULL is fine. Any thread. */
void tug__pg_cancels_unref(tug__pg_cancels *all);

/* A request was withdrawn: begins to cancel if nothing of anybody's is in flight now. Never fails.
 * Any context. */
void tug__pg_cancel_consider(struct tug__pg_connection *c);
/* What is in flight has had its time, wanted or not: the holder of this leased connection has given it
 * back. Any context. */
void tug__pg_cancel_demand(struct tug__pg_connection *c);
/* Goes on, as far as it is time to. Only if the state is not NONE. Loop stack. */
void tug__pg_cancel_step(struct tug__pg_connection *c);
/* The connection is LOST: a request that is under way goes on alone. */
void tug__pg_cancel_lost(struct tug__pg_connection *c);
/* "GRACE". */
const char *tug__pg_cancel_state_name(tug__pg_cancel_state state);

#endif
