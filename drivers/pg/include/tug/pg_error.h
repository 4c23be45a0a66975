/* What:      all that PostgreSQL says about a failure, and what kind of failure it is.
 * Ownership: everything is borrowed, until the caller's next call that may suspend.
 * Context:   any context of the loop whose driver failed; the questions (is_*): any thread.
 * Callbacks: none.
 * Errors:    none: NULL, false. Nothing here touches tug_last_error(). */
#ifndef TUG_PG_ERROR_H
#define TUG_PG_ERROR_H

#include <tug/future.h>
#include <tug/pg_sqlstate.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The 18 fields. Text that the server did not send is NULL, a number 0. Each is cut at 8 KiB. detail,
 * hint, context and internal_query may quote values of the statement: they are not in tug_error, whose
 * text goes to logs. */
typedef struct tug_pg_error {
    const char *severity;       /* "ERROR", in the server's language (lc_messages) */
    const char *severity_plain; /* the same, never translated */
    const char *sqlstate;       /* "23505" */
    const char *message;
    const char *detail;
    const char *hint;
    int position;               /* of the mistake in the statement, in characters from 1 */
    int internal_position;      /* the same in internal_query */
    const char *internal_query; /* a statement of a function that failed */
    const char *context;        /* the call stack of functions, innermost first */
    const char *schema;
    const char *table;
    const char *column;
    const char *datatype;
    const char *constraint; /* "users_email_key" */
    const char *file;       /* of the server's source */
    int line;
    const char *routine;
} tug_pg_error;

/* The fields behind the detail of a failed call, a copy of it too; e NULL: tug_last_error(). Returns NULL
 * if the server had not said anything (login, misuse), or if it is too long ago: the latest 64 failures of a
 * thread are kept, as long as one of its pools is open. */
TUG_EXPORT const tug_pg_error *tug_pg_error_of(const tug_error *e);
/* Of tug_last_error(). */
TUG_EXPORT const tug_pg_error *tug_pg_last_error(void);
/* Of tug_future_error(f). */
TUG_EXPORT const tug_pg_error *tug_pg_future_error(const tug_future *f);

/* What kind of failure? e: a detail, or NULL for tug_last_error(). */

/* 23505 */
TUG_EXPORT bool tug_pg_is_unique_violation(const tug_error *e);
/* 23503 */
TUG_EXPORT bool tug_pg_is_foreign_key_violation(const tug_error *e);
/* 23502 */
TUG_EXPORT bool tug_pg_is_not_null_violation(const tug_error *e);
/* 23514 */
TUG_EXPORT bool tug_pg_is_check_violation(const tug_error *e);
/* Any of class 23, these four included. */
TUG_EXPORT bool tug_pg_is_constraint_violation(const tug_error *e);
/* 40001 */
TUG_EXPORT bool tug_pg_is_serialization_failure(const tug_error *e);
/* 40P01 */
TUG_EXPORT bool tug_pg_is_deadlock(const tug_error *e);
/* 55P03: NOWAIT, or lock_timeout. */
TUG_EXPORT bool tug_pg_is_lock_not_available(const tug_error *e);
/* 57014: a cancel request, or statement_timeout. */
TUG_EXPORT bool tug_pg_is_query_canceled(const tug_error *e);
/* 25006: a standby, or a server that was made read-only. */
TUG_EXPORT bool tug_pg_is_read_only(const tug_error *e);
/* 53300 */
TUG_EXPORT bool tug_pg_is_too_many_connections(const tug_error *e);
/* 25P02: an earlier statement of the transaction had failed. */
TUG_EXPORT bool tug_pg_is_failed_transaction(const tug_error *e);
/* The connection broke or could not be made: no answer is to be had from it. e->sent says whether the
 * statement had left: TUG_NOT_SENT is safe to repeat, TUG_IN_FLIGHT is not known. */
TUG_EXPORT bool tug_pg_is_connection_lost(const tug_error *e);

#ifdef __cplusplus
}
#endif
#endif
