/* What:      what is behind the one public type: a pool, a session, a transaction; and holdings,
 *            which are leased connections in use.
 * Ownership: a pool lives until its handle is closed, both its tug_pools are gone and no holding,
 *            no acquire is left: references counts these. A holding lives while a session, a
 *            transaction, a COPY or a request has a reference to it; the last one gives the
 *            connection back.
 * Context:   the loop's thread. Callbacks: none. Errors: by tug_fail. */
#ifndef TUG_PG_HANDLE_H
#define TUG_PG_HANDLE_H

#include <tug/pg.h>
#include <tug/pool.h>
#include <tug/sys/inspect.h>

#include "connection.h"
#include "hooks.h"
#include "login.h"

typedef enum tug__pg_kind_of_handle {
    TUG__PG_POOL,
    TUG__PG_SESSION,
    TUG__PG_TRANSACTION
} tug__pg_kind_of_handle;

typedef struct tug__pg_pool tug__pg_pool;
typedef struct tug__pg_holding tug__pg_holding;
typedef struct tug__pg_flow tug__pg_flow;

typedef enum tug__pg_tx_state {
    TUG__PG_TX_STARTING,   /* BEGIN is not answered yet */
    TUG__PG_TX_OPEN,       /* takes statements; close rolls it back */
    TUG__PG_TX_COMMITTING, /* COMMIT or RELEASE is under way */
    TUG__PG_TX_ENDED       /* that was answered; or what it was part of has ended */
} tug__pg_tx_state;

struct tug_pg {
    tug__pg_kind_of_handle kind;
    /* Sessions and transactions only. */
    tug__pg_tx_state tx_state;
    bool managed; /* tug_pg_transact ends it, nobody else */
    /* Pools only. */
    struct tug__pg_pool *pool;
    bool beside; /* for holders, too */
    tug__pg_holding *holding;
    tug_pg *outer; /* a savepoint: the transaction that it is part of; NULL: not one, or ended */
    unsigned savepoint;      /* its number on the connection; 0: not one */
    tug_pg *next, **at_prev; /* in the pool's list */
};

/* A leased connection in use. */
struct tug__pg_holding {
    size_t references;
    tug__pg_pool *pool;
    tug_lease *lease;
    tug__pg_connection *connection; /* valid while the lease is out, LOST or not */
    tug_pg *tx; /* the innermost transaction or savepoint that is open on it; NULL: none */
    /* Its COMMIT or RELEASE that is not answered; the handle may be closed meanwhile. NULL: none. */
    struct tug__pg_commit *committing;
    unsigned savepoints;              /* how many there have been: their names */
    tug__pg_flow *flow;               /* the rows or the COPY that are open on it; NULL: none */
    uint64_t holder;                  /* number of the task that took it; 0: nobody in particular */
    char name[32];                    /* its name, once the session goes back; "": not known */
    tug__pg_holding *next, **at_prev; /* in the pool's table of holders; at_prev NULL: not in it */
};

/* A place for one shared connection. */
typedef struct tug__pg_slot {
    tug__pg_pool *pool;
    tug_future *acquiring; /* borrowed: valid until its watcher ran */
    tug_lease *lease;
    tug__pg_connection *connection; /* NULL: none at the moment */
} tug__pg_slot;

/* What tug_pool gives back to the connect hook. */
typedef struct tug__pg_source {
    tug__pg_pool *pool;
    bool ordered; /* connections for sessions */
} tug__pg_source;

/* Holders are looked up at each statement on the pool: a table, so that a thousand sessions cost
 * nothing. */
#define TUG__PG_HOLDERS 64

struct tug__pg_pool {
    tug_pg base, beside;
    size_t references;
    const void *thread; /* whose loop it belongs to */
    bool closed;
    tug__pg_target *target;
    tug_pg_options options;
    char *after_connect; /* NULL: none */
    tug__pg_limits limits;
    tug__pg_texts texts;
    tug__pg_cancels *cancels;
    tug__pg_source shared_source, leased_source;
    tug_pool *shared_pool, *leased_pool;
    tug__pg_slot *slots;
    size_t slots_n;
    tug_pg_result *view; /* to read one row with, and no longer */
    size_t view_room;
    tug__pg_requests waiting;  /* no connection takes them yet */
    tug__pg_request *alone;    /* each on a leased connection of its own */
    size_t lending;            /* acquires under way for those that wait */
    tug_time no_lending_until; /* after one that failed */
    tug_waiters ready_waiters;
    size_t attempts;   /* logins that ended */
    bool attempt_told; /* the outcome of the latest was reported by tug_pg_ready */
    tug_error attempt; /* the latest one's failure; code 0: it succeeded */
    tug__pg_holding *holders[TUG__PG_HOLDERS];
    tug_pg *handles;               /* sessions and transactions that are not closed */
    tug__pg_flow *flows;           /* not closed */
    struct tug_pg_cursor *cursors; /* not closed */
    struct tug_pg_lock *locks;     /* not closed */
    tug_pg_hooks hooks;
    uint32_t hooks_number, hooks_latest; /* of these; 0: none are set */
    tug_end_hook end;
    tug_inspect_source source;
};

static inline tug__pg_pool *tug__pg_pool_of(const tug_pg *any)
{
    return any->kind == TUG__PG_POOL ? any->pool : any->holding->pool;
}

/* --- pool.c ----------------------------------------------------------------------------------- */

void tug__pg_pool_ref(tug__pg_pool *pool);
void tug__pg_pool_unref(tug__pg_pool *pool);
/* 0, or TUG_EMISUSE: NULL, or another thread's. what: "tug_pg_query". */
int tug__pg_check(const tug_pg *any, const char *what);

/* --- show.c ----------------------------------------------------------------------------------- */

/* What tug_inspect says of it. arg: the pool. */
void tug__pg_pool_show(tug_inspect_writer *w, void *arg);

/* --- dispatch.c ------------------------------------------------------------------------------- */

/* A statement to the pool: to the least loaded shared connection, to one leased for it, or it
 * waits. */
void tug__pg_pool_add(tug__pg_pool *pool, tug__pg_request *r);
/* There may be room for those that wait. */
void tug__pg_pool_dispatch(tug__pg_pool *pool);
/* Opens the shared connections that are missing, in the background. */
void tug__pg_pool_open_shared(tug__pg_pool *pool);
/* A request that has a connection of its own ends. */
void tug__pg_pool_not_alone(tug__pg_request *r);
/* The handle is closed: ends what waits or is in flight, gives up the shared connections. */
void tug__pg_pool_shut(tug__pg_pool *pool, const tug_error *why);

/* --- holding.c -------------------------------------------------------------------------------- */

/* Takes the lease over, on failure too (it is closed then). NULL: out of memory. */
tug__pg_holding *tug__pg_holding_new(tug__pg_pool *pool, tug_lease *lease);
static inline tug__pg_holding *tug__pg_holding_ref(tug__pg_holding *h)
{
    h->references++;
    return h;
}
void tug__pg_holding_unref(tug__pg_holding *h);
/* The calling task holds it from now on. */
void tug__pg_holding_set_holder(tug__pg_holding *h);
/* Nobody holds it, as far as the next is concerned. */
void tug__pg_holding_clear_holder(tug__pg_holding *h);
/* TUG_EMISUSE if the calling task holds a session or transaction of this pool. db: the pool. */
int tug__pg_check_holder(const tug_pg *db, const char *what);
/* A handle of the pool's list. NULL: out of memory. Takes over a reference to h, on failure too. */
tug_pg *tug__pg_handle_new(tug__pg_kind_of_handle kind, tug__pg_holding *h);
void tug__pg_handle_free(tug_pg *handle);
/* Rolls back what is open on it, without waiting. */
void tug__pg_holding_rollback(tug__pg_holding *h);

/* --- savepoint.c ------------------------------------------------------------------------------ */

/* "SAVEPOINT tug_1" or "RELEASE SAVEPOINT tug_1" fits. */
#define TUG__PG_SAVEPOINT_SQL 48
/* verb: "SAVEPOINT". */
void tug__pg_savepoint_sql(char *to, size_t size, const char *verb, unsigned number);
/* ROLLBACK TO and RELEASE, without waiting; the transaction around it stays as it was before. */
void tug__pg_savepoint_undo(tug__pg_holding *h, unsigned number);

/* --- session.c -------------------------------------------------------------------------------- */

/* tug_pg_acquire; place: the program's call, for reports. */
TUG_SUSPENDS int tug__pg_acquire_from(tug_pg *pool, const void *place, tug_pg **ret_session);

/* --- transaction.c ---------------------------------------------------------------------------- */

/* tug_pg_begin; place: as above. */
TUG_SUSPENDS int tug__pg_begin_from(tug_pg *db, const tug_pg_begin_options *o, const void *place,
                                    tug_pg **ret_tx);

/* The transaction ended behind the handle's back: neither commit nor close sends anything more. */
void tug__pg_transaction_ended(tug_pg *tx);

/* The first part of what takes a lease and then goes on: embedded at the start of a future's
 * payload. */
typedef struct tug__pg_taking {
    tug__pg_pool *pool;
    tug_future *inner; /* borrowed: the pool's acquire, until its watcher ran */
    const void *place; /* the program's call, for reports; NULL: not known */
    bool aborted;
    /* Once. h is the callee's; NULL: tug_last_error() says why. */
    void (*got)(tug_future *f, tug__pg_holding *h);
} tug__pg_taking;
/* Starts; got is called from the run queue. */
void tug__pg_take(tug_future *f, tug__pg_taking *t, tug__pg_pool *pool,
                  void (*got)(tug_future *f, tug__pg_holding *h));
/* For the abort hook while t->inner is not NULL: TUG_ABORT_LATER, got is called with NULL. */
int tug__pg_take_abort(tug__pg_taking *t);

/* --- query.c ---------------------------------------------------------------------------------- */

/* A plain statement on one connection; the future has no value. Never NULL. */
tug_future *tug__pg_plain_start(tug__pg_connection *c, const char *sql);
/* The same, and nobody waits for it; sql is copied. False: out of memory. On a LOST one nothing is to be
 * done: true. */
bool tug__pg_plain_forget(tug__pg_connection *c, const char *sql);
/* TUG_EMISUSE if a session or transaction takes no statement now. */
int tug__pg_check_held(const tug_pg *db, const char *what);
/* tug__pg_check, and TUG_EMISUSE if the calling task may not run a statement there now. */
int tug__pg_check_run(const tug_pg *db, const char *what);
/* TUG_EMISUSE if this text does not belong on that handle. A session that it changes is marked. */
int tug__pg_check_gate(tug_pg *db, const tug__pg_text *text, const char *what);
/* TUG_EMISUSE if something is open on the connection that nothing may run beside. */
int tug__pg_check_flow(const tug__pg_holding *h, const char *what);

/* --- cursor.c --------------------------------------------------------------------------------- */

/* This session or transaction is closed: its cursors go with it. */
void tug__pg_cursors_cut(tug_pg *handle);
/* All that the program forgot. */
void tug__pg_cursors_close(tug__pg_pool *pool);

/* --- endings: session.c, transaction.c, flow.c ------------------------------------------------ */

void tug__pg_session_close(tug_pg *session);
void tug__pg_transaction_close(tug_pg *tx);
/* Ends the rows or the COPY that are open on a connection whose session or transaction is closed;
 * NULL is fine. */
void tug__pg_flow_cut(tug__pg_flow *flow);
/* All rows and COPYs of the pool that the program forgot. */
void tug__pg_flows_close(tug__pg_pool *pool);
/* All advisory locks of the pool that the program forgot. */
void tug__pg_locks_close(tug__pg_pool *pool);

#endif
