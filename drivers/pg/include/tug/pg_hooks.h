/* What:      being told of each operation on a PostgreSQL handle, for metrics and traces. The names are those of
 *            OpenTelemetry's semantic conventions for database clients (v1.44).
 * Ownership: the pool copies the struct; arg is yours and must outlive the pool. All texts of an
 *            operation are borrowed until the hook returns.
 * Context:   start in the context of the call, end on the loop's own stack or in the context of a cancel.
 * Callbacks: both must return soon, must not suspend, and must not call functions of this pool.
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

/* Attributes; behind each member the name of what it holds. */
typedef struct tug_pg_operation {
    size_t size;
    const char *system; /* db.system.name: "postgresql" */
    const char *name;   /* db.operation.name: the first keyword, "SELECT"; "" if there is none */
    const char *text;   /* db.query.text: the statement as it was given, parameters as $1; literals
                                 * are in it, see tug_pg_sanitize */
    const char *database; /* db.namespace; "" if neither the URL nor the environment says it */
    const char *server_address; /* server.address: of the first host; "" for the default socket */
    int server_port;            /* server.port */
    size_t batch_size;          /* db.operation.batch.size: of a batch; else 0 */
    /* At the end only. */
    int rc; /* 0, or the code: error.type is tug_error_name(rc) */
    const char
        *status_code; /* db.response.status_code: the SQLSTATE; "" if the server did not fail it */
    int64_t returned_rows; /* rows that came back, or were changed */
    tug_duration duration; /* from the call to its end, ns */
} tug_pg_operation;

typedef struct tug_pg_hooks {
    size_t size;
    /* What it returns (a span) is handed to end. NULL: none. */
    void *(*start)(const tug_pg_operation *op, void *arg);
    void (*end)(const tug_pg_operation *op, void *span, void *arg);
    void *arg;
} tug_pg_hooks;
#define TUG_PG_HOOKS_INIT                                                                          \
    {                                                                                              \
        sizeof(tug_pg_hooks), NULL, NULL, NULL                                                     \
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
