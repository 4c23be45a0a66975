/* What:      PostgreSQL over libpq, never blocking: statements and transactions on one type of
 *            handle; COPY comes with it from <tug/pg_copy.h>.
 * Ownership: tug_pg and tug_pg_result are yours: close, unref. Texts and arguments are copied or encoded
 *            before a call returns, that of a future too. What getters point to is borrowed from the result.
 * Context:   the loop's thread. What is marked TUG_SUSPENDS is for tasks; the rest for any context.
 * Callbacks: none.
 * Errors:    TUG_ESERVER with the SQLSTATE as native code, TUG_ECONNECT and TUG_EAUTH from
 *            connecting, TUG_ECLOSED when a connection was lost, TUG_EMISUSE and TUG_EINVAL with a
 *            sentence. The detail says whether the statement was sent, and whether another try may
 *            help. */
#ifndef TUG_PG_H
#define TUG_PG_H

#include <tug/future.h>
#include <tug/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs SQL. Three kinds, one set of functions:
 *   a pool         from tug_pg_open: spreads statements over connections that many tasks share.
 *                  What would change a shared connection's state (BEGIN, SET, LISTEN, COPY ...) is
 *                  refused there with TUG_EMISUSE; so is SQL from a task that holds a session or
 *                  transaction of this pool, because such tasks end up waiting for each other
 *                  (tug_pg_beside, where that is meant);
 *   a session      from tug_pg_acquire: one connection, for its holder alone;
 *   a transaction  from tug_pg_begin.
 * Several tasks may use one handle at once; on a session and a transaction statements go in the
 * order of the calls. */
typedef struct tug_pg tug_pg;
typedef struct tug_pg_result tug_pg_result;

/* How statements reach the server. In both modes each text is described once per connection, and after
 * that costs one round trip; a text whose plan no longer fits (a column was added, a type dropped and
 * made again) is prepared anew on all connections of the pool, and sent a second time where that is
 * safe: if nothing of it has run, and outside of a transaction, or else the next one succeeds. */
enum {
    TUG_PG_PREPARED, /* prepared by name: half the server's work. Needs a server, a pooler in session
                        mode, or one that keeps track of prepared statements (PgBouncer from 1.21 on
                        with max_prepared_statements) */
    TUG_PG_UNNAMED   /* the text goes along each time, all of it before one Sync: for poolers in
                        transaction mode that do not (PgBouncer before 1.21) */
};

typedef struct tug_pg_options {
    size_t size;
    /* Connections that many tasks share, 0 to 64; 2. 0: each statement leases one. */
    size_t shared;
    /* Leased connections kept open, 0 to pool_max; 0. And at most, 1 to 10,000; 8. */
    size_t pool_min;
    size_t pool_max;
    /* Who may wait for a lease, 1 to 1,000,000; 10,000. Beyond: TUG_ELIMIT. */
    size_t max_waiters;
    /* For one login over all addresses and the look-up, ns, 1 ms to 1 h; 0: the connect_timeout of
     * the URL, else 10 s. */
    tug_duration connect_timeout;
    /* A shared connection whose oldest statement runs longer than this gets no new ones while
     * another can be had, ns, 0 or more; 5 ms. */
    tug_duration head_limit;
    /* Statements in flight on one connection, 1 to 65,536; 1,024. And their bytes, 64 KiB to 1 GiB;
     * 16 MiB. The others wait in order. */
    size_t max_pipeline;
    size_t max_pipeline_bytes;
    /* Bytes of one result in memory, 64 KiB to 2^40; 256 MiB. Beyond: TUG_ELIMIT, and that
     * connection is closed. Rounded up by a few reads. */
    size_t max_result_bytes;
    /* Prepared statements kept on one connection, 8 to 10,000; 256. */
    size_t max_statements;
    /* Leased connections that are kept ready beside those in use, as far as pool_max allows, 0 to pool_max; 0. */
    size_t pool_min_idle;
    /* A leased connection that was idle for so long is closed, down to pool_min and pool_min_idle, ns, more
     * than 0, TUG_FOREVER: never; 10 min. */
    tug_duration pool_idle_timeout;
    /* One so old, less a tenth at random, is not lent any more, ns, more than 0, TUG_FOREVER: never; 1 h.
     * Shared ones live as long as the server lets them. */
    tug_duration pool_max_lifetime;
    /* A session or transaction that is out for so long is reported to the log, once, with the name of the task
     * and the place of the call, ns, more than 0; TUG_FOREVER: never. */
    tug_duration pool_leak_after;
    /* After so many failed logins in a row, who finds no open connection is refused at once, 0: never; 0. */
    size_t pool_breaker_after;
    /* One statement that runs on each new connection, shared or leased, before anybody uses it: "set role
     * etl", "select set_config('app.name', 'etl', false), ..."; NULL. If it fails, the login has. */
    const char *after_connect;
    /* A statement whose caller is gone (cancelled, timed out, dropped) is ended on the server, too: by a
     * cancel request, as soon as nothing that anybody waits for is in flight on its connection. For
     * that and until the connection works again, ns, 10 ms to 1 h; 5 s; then it is closed and
     * replaced. 0: no requests, it runs to its end. Before libpq 17 they are plain text even where the
     * connection has TLS. */
    tug_duration cancel_timeout;
    /* TUG_PG_*; TUG_PG_PREPARED, unless the URL has statement_mode=unnamed. */
    int statement_mode;
    /* Longer texts are neither prepared on the server nor kept: a round trip more at each use. 0 to
     * 1 GiB; 16 KiB. */
    size_t max_statement_bytes;
} tug_pg_options;
#define TUG_PG_OPTIONS_INIT                                                                        \
    {                                                                                              \
        sizeof(tug_pg_options), 2, 0, 8, 10000, 0, TUG_MS(5), 1024, (size_t)16 << 20,              \
            (size_t)256 << 20, 256, 0, TUG_SECONDS(600), TUG_SECONDS(3600), TUG_FOREVER, 0, NULL,  \
            TUG_SECONDS(5), TUG_PG_PREPARED, (size_t)16 << 10                                      \
    }

/* Checks the URL (postgresql://user:password@host:port/database?option=value) or conninfo string
 * ("host=... dbname=...") and the options, and starts to connect in the background.
 * What they leave open a service file and the PG* environment variables say; NULL and "" are
 * TUG_EINVAL. TLS is verified (sslmode=verify-full) unless one of them says otherwise or the host is
 * local; docs/postgres.md has the parameters. TUG_ENOMEM; TUG_EMISUSE outside a loop. */
TUG_EXPORT int tug_pg_open(const char *url, const tug_pg_options *o, tug_pg **ret_db);
/* Returns at the first login, or at the first attempt that failed on all addresses: TUG_ECONNECT,
 * TUG_EAUTH, TUG_ESERVER. Attempts go on after a failure. On a session or a transaction: 0 or
 * TUG_ECLOSED. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_ready(tug_pg *db);
/* Ends a pool (what waits or is in flight gets TUG_ECLOSED; sessions that are out stay valid until
 * closed), gives a session back, rolls a transaction back unless it was committed. NULL is fine. */
TUG_EXPORT void tug_pg_close(tug_pg *any);
TUG_AUTO_FN(tug_pg, tug_pg_close)
/* The same pool, for a statement of a task that holds a session or transaction and means it to go beside that:
 * an audit record that outlives a rollback. It is not refused; that a task which waits for the pool while it
 * holds a part of it may wait for others like itself is then the program's to rule out. Borrowed: lives as long
 * as the pool, and is not closed. Of what is no pool: itself. */
TUG_EXPORT tug_pg *tug_pg_beside(tug_pg *pool);

/* One statement with its parameters $1, $2, ...; prepared once per connection and text. Its rows in one
 * result, up to max_result_bytes: TUG_ELIMIT. On a pool it waits for a connection as long as its caller does,
 * while none can be had up to 30 s: then TUG_ECONNECT. The started form is a future, whose drop or cancel
 * gives the statement up; take moves its result out, once. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_query(tug_pg *db, const char *sql, tug_args args,
                                         tug_pg_result **ret_result);
TUG_EXPORT tug_future *tug_pg_query_start(tug_pg *db, const char *sql, tug_args args);
TUG_EXPORT int tug_pg_result_take(tug_future *f, tug_pg_result **ret_result) TUG_CHECK;

/* The same for statements whose rows do not matter. ret_rows: rows inserted, updated, deleted,
 * selected; 0 for commands that count none; may be NULL. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_exec(tug_pg *db, const char *sql, tug_args args,
                                        int64_t *ret_rows) TUG_CHECK;
TUG_EXPORT tug_future *tug_pg_exec_start(tug_pg *db, const char *sql, tug_args args);
TUG_EXPORT int tug_pg_exec_take(tug_future *f, int64_t *ret_rows) TUG_CHECK;

/* Exactly one row into out: TUG_ENOTFOUND for none, TUG_ETOOMANY for more; TUG_ETYPE, TUG_ERANGE,
 * TUG_ENULL name the column. Places for borrowed values (const char *, struct tug_bytes) are
 * refused: the result does not live on. Use TUG_COPY, TUG_DUP or tug_buffer *. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_query_one(tug_pg *db, const char *sql, tug_args args,
                                             tug_out out);

/* --- results ---------------------------------------------------------------------------------- */

/* One owner more; returns res. */
TUG_EXPORT tug_pg_result *tug_pg_result_ref(tug_pg_result *res);
/* NULL is fine. Returns NULL. */
TUG_EXPORT tug_pg_result *tug_pg_result_unref(tug_pg_result *res);
TUG_AUTO_FN(tug_pg_result, tug_pg_result_unref)
TUG_EXPORT size_t tug_pg_result_rows(const tug_pg_result *res);
TUG_EXPORT size_t tug_pg_result_columns(const tug_pg_result *res);
/* As ret_rows of tug_pg_exec. */
TUG_EXPORT int64_t tug_pg_result_affected(const tug_pg_result *res);
/* "INSERT 0 1": the server's command tag. Borrowed. */
TUG_EXPORT const char *tug_pg_result_command(const tug_pg_result *res);
/* Borrowed; NULL beyond the last column. */
TUG_EXPORT const char *tug_pg_result_column_name(const tug_pg_result *res, size_t column);
/* The type's OID in pg_type; 0 beyond the last column. */
TUG_EXPORT uint32_t tug_pg_result_column_type(const tug_pg_result *res, size_t column);
/* The first column of exactly that name: TUG_ENOTFOUND. */
TUG_EXPORT int tug_pg_result_find(const tug_pg_result *res, const char *name, size_t *ret_column);
/* True for SQL NULL, and beyond the last row or column. */
TUG_EXPORT bool tug_pg_result_is_null(const tug_pg_result *res, size_t row, size_t column);
/* For what is not covered here: libpq's own object. Borrowed. */
TUG_EXPORT const struct pg_result *tug_pg_result_native(const tug_pg_result *res);

/* One row into places, one for each column; on failure nothing was written. Text and bytes are
 * borrowed from the result. What goes into what:
 *   ints       from int2, int4, int8, oid, and from numeric if it is a whole number; range checked
 *   decimal    the same, exactly, and every numeric that 64 bits and a scale hold
 *   double     from float4, float8, numeric (nearest), ints that it holds exactly; float too, where
 *              overflow is TUG_ERANGE
 *   bool       from bool
 *   timestamp  from timestamptz, timestamp (as UTC), date; infinity is INT64_MAX, -infinity
 *              INT64_MIN
 *   date, time of day, interval, uuid, inet, macaddr   from the types of their names, inet from
 *              cidr too
 *   borrowed   text: the text family, json, jsonb, and types not known by heart (as the server
 *              prints them); bytes: those and bytea
 *   TUG_DUP, TUG_COPY   everything but bytea; numbers, times and arrays as PostgreSQL prints them
 *              (timestamptz in UTC)
 *   tug_buffer everything: bytea as its bytes, else as TUG_DUP
 * Arrays, element by element: <tug/pg_array.h>.
 * NULL: TUG_ENULL, or with TUG_NULLABLE the flag is set and the value zeroed. TUG_ETYPE says
 * column, wanted and found; TUG_ERANGE, TUG_ELIMIT (TUG_COPY too small), TUG_ENOTFOUND (no such
 * row), TUG_EMISUSE. */
TUG_EXPORT int tug_pg_scan(const tug_pg_result *res, size_t row, tug_out out);
/* One value, by the same rules: TUG_SLOT(&x), TUG_COPY(array), TUG_NULLABLE(&x, &is_null). */
TUG_EXPORT int tug_pg_result_value(const tug_pg_result *res, size_t row, size_t column,
                                   tug_slot to);
/* The same for one type each. Text and bytes are borrowed. */
TUG_EXPORT int tug_pg_result_bool(const tug_pg_result *res, size_t row, size_t column,
                                  bool *ret_value);
TUG_EXPORT int tug_pg_result_int64(const tug_pg_result *res, size_t row, size_t column,
                                   int64_t *ret_value);
TUG_EXPORT int tug_pg_result_double(const tug_pg_result *res, size_t row, size_t column,
                                    double *ret_value);
TUG_EXPORT int tug_pg_result_text(const tug_pg_result *res, size_t row, size_t column,
                                  const char **ret_value);
TUG_EXPORT int tug_pg_result_bytes(const tug_pg_result *res, size_t row, size_t column,
                                   struct tug_bytes *ret_value);
TUG_EXPORT int tug_pg_result_timestamp(const tug_pg_result *res, size_t row, size_t column,
                                       struct tug_timestamp *ret_value);

/* --- sessions and transactions ---------------------------------------------------------------- */

/* A connection for the caller alone; tug_pg_close gives it back. Waits its turn up to the caller's
 * deadline. TUG_ELIMIT: max_waiters wait already; TUG_EMISUSE on anything but a pool. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_acquire(tug_pg *pool, tug_pg **ret_session);
TUG_EXPORT tug_future *tug_pg_acquire_start(tug_pg *pool);
TUG_EXPORT int tug_pg_acquire_take(tug_future *f, tug_pg **ret_session) TUG_CHECK;

enum {
    TUG_PG_ISOLATION_DEFAULT, /* the server's default_transaction_isolation */
    TUG_PG_READ_COMMITTED,
    TUG_PG_REPEATABLE_READ,
    TUG_PG_SERIALIZABLE
};

typedef struct tug_pg_begin_options {
    size_t size;
    int isolation;   /* TUG_PG_*; TUG_PG_ISOLATION_DEFAULT */
    bool read_only;  /* false */
    bool deferrable; /* matters for serializable read-only transactions; false */
} tug_pg_begin_options;
#define TUG_PG_BEGIN_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(tug_pg_begin_options), TUG_PG_ISOLATION_DEFAULT, false, false                       \
    }

/* A transaction: on a pool with a connection of its own, on a session with that one. o NULL: the
 * defaults.
 * On a transaction: a savepoint (o must be NULL or the defaults). Its commit makes its work part of
 * the transaction around it, its close undoes that work and leaves the other usable, also after an
 * error. Meanwhile the one around it takes no statement, no commit and no second savepoint
 * (TUG_EMISUSE); closing it ends those inside too, whose handles are then good for close only. A
 * savepoint whose begin or commit is cut off while it is in flight may fail the transaction around it: its
 * next statement then says so (25P02). */
TUG_SUSPENDS TUG_EXPORT int tug_pg_begin(tug_pg *db, const tug_pg_begin_options *o,
                                         tug_pg **ret_tx);
TUG_EXPORT tug_future *tug_pg_begin_start(tug_pg *db, const tug_pg_begin_options *o);
TUG_EXPORT int tug_pg_begin_take(tug_future *f, tug_pg **ret_tx) TUG_CHECK;
/* After a failure nothing was committed, unless the detail says TUG_IN_FLIGHT: then nobody knows. A
 * commit of a transaction in which a statement had failed is TUG_ESERVER, not a silent rollback.
 * The handle is still yours to close. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_commit(tug_pg *tx) TUG_CHECK;
/* Its outcome is the future's own code: there is nothing to take. */
TUG_EXPORT tug_future *tug_pg_commit_start(tug_pg *tx);

/* The work of a transaction. Runs once for each attempt, so what it changes outside of the database
 * it changes again. tx is borrowed: neither commit nor close it. */
typedef int (*tug_pg_transact_fn)(tug_pg *tx, void *arg);

typedef struct tug_pg_transact_options {
    size_t size;
    int isolation;              /* TUG_PG_*; TUG_PG_ISOLATION_DEFAULT */
    bool read_only;             /* false */
    bool deferrable;            /* false */
    unsigned attempts;          /* 1 to 1,000; 5. 1: no retry */
    tug_duration backoff_first; /* before the second attempt, ns, more than 0; 5 ms */
    tug_duration backoff_most;  /* doubled up to this, with jitter, ns, not below the first; 1 s */
} tug_pg_transact_options;
#define TUG_PG_TRANSACT_OPTIONS_INIT                                                               \
    {                                                                                              \
        sizeof(tug_pg_transact_options), TUG_PG_ISOLATION_DEFAULT, false, false, 5, TUG_MS(5),     \
            TUG_SECONDS(1)                                                                         \
    }

/* Runs fn(tx, arg) in a transaction and commits if it returns 0; anything else rolls back and is
 * returned. A serialization failure or a deadlock (SQLSTATE 40001, 40P01), in fn if it returns that
 * failure or at the commit, is tried again; a commit whose outcome is unknown never. On a
 * transaction: in a savepoint, once, because what has to be tried again is the whole. o NULL: the
 * defaults. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_transact(tug_pg *db, tug_pg_transact_fn fn, void *arg,
                                            const tug_pg_transact_options *o) TUG_CHECK;

#ifdef __cplusplus
}
#endif

#include <tug/pg_copy.h>

#endif
