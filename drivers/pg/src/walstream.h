/* What:      a replication connection: commands one after the other, then COPY BOTH, in which the
 *            server sends its log and hears how far we are. Outside of pipeline mode, and therefore a
 *            type of its own.
 * Ownership: owns its PGconn. Messages are handed over (PQfreemem).
 * Context:   the loop's thread. What calls libpq says "loop stack".
 * Callbacks: the hooks, on the loop stack; they must not free.
 * Errors:    a connection that fails is LOST, with the cause in why; nothing is retried here. */
#ifndef TUG_PG_WALSTREAM_H
#define TUG_PG_WALSTREAM_H

#include <libpq-fe.h>
#include <tug/sys/driver.h>

#include "meter.h"

typedef enum tug__pg_wal_state {
    TUG__PG_WAL_IDLE,
    TUG__PG_WAL_COMMAND,   /* sent, not answered */
    TUG__PG_WAL_STREAMING, /* COPY BOTH */
    TUG__PG_WAL_ENDING,    /* our side of it is closed, the server's is not yet */
    TUG__PG_WAL_LOST,
    TUG__PG_WAL_STATE_MAX
} tug__pg_wal_state;

typedef struct tug__pg_wal tug__pg_wal;

typedef struct tug__pg_wal_hooks {
    /* One message of the stream, which is the hook's from now on. False: no more for the moment. */
    bool (*message)(tug__pg_wal *w, char *data, size_t n, void *arg);
    void (*lost)(tug__pg_wal *w, void *arg);
    void *arg;
} tug__pg_wal_hooks;

struct tug__pg_wal {
    PGconn *pq;
    tug_io *io; /* NULL once LOST */
    tug_flush flush;
    tug__pg_wal_state state;
    bool unsent;      /* libpq holds bytes that the socket did not take */
    bool paused;      /* the hook wants no more */
    PGresult *result; /* COMMAND: came before the end; the first error wins */
    tug_waiters done; /* who waits for the command, or for the end */
    tug__pg_meter meter;
    size_t max_message;
    tug__pg_wal_hooks hooks;
    const char *where; /* borrowed: lives longer */
    tug_error why;     /* LOST: the cause */
    char farewell_state[6];
    char farewell[160];
};

/* Takes pq over (logged in, non-blocking, in pipeline mode, as login leaves it) on success. Loop
 * stack. TUG_ENOMEM and what tug_io_open says. */
int tug__pg_wal_new(PGconn *pq, size_t max_message, const char *where, tug__pg_wal **ret_wal);
/* Loop stack. NULL is fine. */
void tug__pg_wal_free(tug__pg_wal *w);
const char *tug__pg_wal_state_name(tug__pg_wal_state state);

/* One command; ret_result, which may be NULL, is yours. When the answer is COPY BOTH the stream has
 * begun. Cancelled: the connection is LOST. TUG_ESERVER, or why it was lost. */
TUG_SUSPENDS int tug__pg_wal_command(tug__pg_wal *w, const char *sql, PGresult **ret_result);
/* To the server, within the stream; never fails: it is sent at the end of this turn or when the socket takes
 * it, and a failure loses the connection. Loop stack. */
void tug__pg_wal_put(tug__pg_wal *w, const char *data, size_t n);
/* The hook takes messages again. Any context. */
void tug__pg_wal_resume(tug__pg_wal *w);
/* Ends the stream in the orderly way: returns when the server has said its last word, or it is lost. */
TUG_SUSPENDS int tug__pg_wal_end(tug__pg_wal *w);
/* Any context. */
void tug__pg_wal_lose(tug__pg_wal *w, const tug_error *why);

#endif
