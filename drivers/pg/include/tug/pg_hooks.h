/* What:      being told of each operation on a PostgreSQL handle and of each login, for metrics and traces. The
 *            names are those of OpenTelemetry's semantic conventions for database clients (v1.44).
 * Ownership: the pool copies the struct; arg is yours and must outlive the pool. All texts of an
 *            operation are borrowed until the hook returns.
 * Context:   start in the context of the call, end on the loop's own stack or in the context of a cancel, login
 *            in a service task.
 * Callbacks: all must return soon, must not suspend, and must not call functions of this pool.
 * Errors:    TUG_EMISUSE.
 *
 * One operation is one call (tug_pg_query, _exec and what is made of them): a statement that the driver
 * sends a second time by itself is still one, and one that was then answered is no failure. Without hooks
 * nothing is measured, and nothing is allocated with or without. */
#ifndef TUG_PG_HOOKS_H
#define TUG_PG_HOOKS_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Histogram, s, of `duration`; boundaries TUG_PG_DURATION_BUCKETS. Histogram, {row}, of `returned_rows`. */
#define TUG_PG_OPERATION_DURATION "db.client.operation.duration"
#define TUG_PG_RETURNED_ROWS "db.client.response.returned_rows"
#define TUG_PG_DURATION_BUCKETS                                                                    \
    {                                                                                              \
        0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10                                               \
    }

/* Of the pool of leased connections, whose name is TUG_PG_POOL_NAME; the figures are in <tug/pg_pool.h>. */
#define TUG_PG_POOL_NAME "pg"                                /* db.client.connection.pool.name */
#define TUG_PG_CONNECTION_COUNT "db.client.connection.count" /* state idle: idle; used: busy */
#define TUG_PG_CONNECTION_MAX "db.client.connection.max"     /* max */
#define TUG_PG_CONNECTION_IDLE_MAX "db.client.connection.idle.max" /* max */
#define TUG_PG_CONNECTION_IDLE_MIN "db.client.connection.idle.min" /* the option pool_min_idle */
#define TUG_PG_PENDING_REQUESTS "db.client.connection.pending_requests" /* waiting */
#define TUG_PG_TIMEOUTS "db.client.connection.timeouts"                 /* given_up */
/* Histograms, s: tug_pg_pool_latency and tug_pg_pool_bucket of TUG_POOL_CONNECT, _WAIT, _BUSY; the first one
 * from the hook login as well, for shared connections too. */
#define TUG_PG_CREATE_TIME "db.client.connection.create_time"
#define TUG_PG_WAIT_TIME "db.client.connection.wait_time"
#define TUG_PG_USE_TIME "db.client.connection.use_time"

/* Attributes; behind each member the name of what it holds. */
typedef struct tug_pg_operation {
    size_t size;
    const char *system; /* db.system.name: "postgresql" */
    const char
        *name; /* db.operation.name: the first keyword, "SELECT"; "" if there is none; of a batch
                         * "BATCH SELECT", or "BATCH" if its statements begin differently */
    const char
        *text; /* db.query.text: the statement as it was given, of a batch the first, parameters as
                         * $1; literals are in it, see tug_pg_sanitize */
    const char *database; /* db.namespace; "" if neither the URL nor the environment says it */
    const char *server_address; /* server.address: of the first host; "" for the default socket */
    int server_port;            /* server.port */
    size_t batch_size;          /* db.operation.batch.size: of a batch of two or more; else 0 */
    /* At the end only. */
    int rc; /* 0, or the code: error.type is tug_error_name(rc) */
    const char
        *status_code; /* db.response.status_code: the SQLSTATE; "" if the server did not fail it */
    int64_t returned_rows; /* rows that came back, or were changed */
    tug_duration duration; /* from the call to its end, ns */
} tug_pg_operation;

/* A login that ended: over all addresses, and with what runs before anybody uses the connection. What has no
 * comment is as above. */
typedef struct tug_pg_login {
    size_t size;
    const char *pool_name; /* TUG_PG_POOL_NAME; "pg.shared" for those that all tasks share */
    const char *system;
    const char *database;
    const char *server_address; /* the one that took us; after a failure the first one */
    int server_port;
    const char *peer_address; /* network.peer.address; "" after a failure, and for sockets */
    int backend;              /* its process id there; 0 after a failure */
    int rc;
    const char *status_code;
    tug_duration duration; /* TUG_PG_CREATE_TIME, if rc is 0, ns */
} tug_pg_login;

typedef struct tug_pg_hooks {
    size_t size;
    /* What it returns (a span) is handed to end. NULL: none. */
    void *(*start)(const tug_pg_operation *op, void *arg);
    void (*end)(const tug_pg_operation *op, void *span, void *arg);
    void *arg;
    /* NULL: none. Not called any more once the pool is closed. */
    void (*login)(const tug_pg_login *login, void *arg);
} tug_pg_hooks;
#define TUG_PG_HOOKS_INIT                                                                          \
    {                                                                                              \
        sizeof(tug_pg_hooks), NULL, NULL, NULL, NULL                                               \
    }

/* From now on, for the pool and all its sessions and transactions; what is under way is not told any more.
 * hooks NULL: none. pool: from tug_pg_open, else TUG_EMISUSE. */
TUG_EXPORT int tug_pg_set_hooks(tug_pg *pool, const tug_pg_hooks *hooks);

/* A copy of the statement with "?" for each literal (strings of all kinds, numbers), as db.query.text wants it; comments
 * and names stay. Cut to room bytes, 0 included; returns to. Any thread. */
TUG_EXPORT const char *tug_pg_sanitize(const char *sql, char *to, size_t room);

#ifdef __cplusplus
}
#endif
#endif
