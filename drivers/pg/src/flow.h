/* What:      what occupies a connection for longer than one statement: rows that are streamed, a
 *            COPY. While one is open nothing else runs there, and whoever tries is told so: a
 *            statement behind rows that its own task has still to read would wait for ever.
 * Ownership: embedded at the start of the object that the user holds. From begin to end it has a
 *            reference to its holding and, when it was opened on a pool, a session of its own.
 * Context:   the loop's thread.
 * Callbacks: cut and close, see there; neither suspends.
 * Errors:    by tug_fail. */
#ifndef TUG_PG_FLOW_H
#define TUG_PG_FLOW_H

#include "handle.h"

struct tug__pg_flow {
    const char *what;              /* "a COPY is", "streamed rows are" */
    tug__pg_holding *holding;      /* NULL: it has ended */
    tug_pg *session;               /* of its own; NULL: it runs on the user's */
    tug__pg_flow *next, **at_prev; /* in the pool's list, until it is freed */
    /* What it runs in goes away. It calls tug__pg_flow_end. */
    void (*cut)(tug__pg_flow *flow);
    /* The program has ended and forgot it: frees it. */
    void (*close)(tug__pg_flow *flow);
};

/* Before it is made, from a task: 0 if db takes one now. On a pool it acquires a session, which is
 * not counted as one that the task holds: the task has no handle that it could use instead.
 * *ret_session is NULL on a session or transaction. place: the program's call. */
TUG_SUSPENDS int tug__pg_flow_take(tug_pg *db, const char *what, const void *place,
                                   tug_pg **ret_session);
/* on: session, or what db was. The session is taken over. */
void tug__pg_flow_begin(tug__pg_flow *flow, tug_pg *on, tug_pg *session);
/* The connection is free for others. Again is fine. */
void tug__pg_flow_end(tug__pg_flow *flow);
/* Ends it and takes it out of the list: before its memory goes. */
void tug__pg_flow_forget(tug__pg_flow *flow);

#endif
