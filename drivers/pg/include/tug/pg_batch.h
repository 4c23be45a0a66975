/* What:      several statements in one go: one round trip, one transaction.
 * Ownership: a batch is yours: close. Statements and arguments are copied by add. A result that was taken
 *            is yours: unref; the others go with the batch.
 * Context:   the loop's thread. What is marked TUG_SUSPENDS is for tasks; the rest for any context.
 * Callbacks: none.
 * Errors:    those of tug_pg_query; tug_pg_batch_failed says which statement. */
#ifndef TUG_PG_BATCH_H
#define TUG_PG_BATCH_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_pg_batch tug_pg_batch;

/* Statements in one batch, and bytes of their texts and arguments: beyond that TUG_ELIMIT. The server
 * answers nothing before it has worked through all, so more in one go gains nothing. */
#define TUG_PG_BATCH_MOST 10000
#define TUG_PG_BATCH_BYTES_MOST ((size_t)16 << 20)

/* Empty. TUG_ENOMEM. */
TUG_EXPORT int tug_pg_batch_new(tug_pg_batch **ret_batch);
/* NULL is fine. While it runs: cancels that first. */
TUG_EXPORT void tug_pg_batch_close(tug_pg_batch *batch);
TUG_AUTO_FN(tug_pg_batch, tug_pg_batch_close)

/* One more statement, with its parameters $1, $2, ... What is left of results of an earlier run goes.
 * TUG_ELIMIT, TUG_EINVAL, TUG_ENOMEM; TUG_EMISUSE while it runs. */
TUG_EXPORT int tug_pg_batch_add(tug_pg_batch *batch, const char *sql, tug_args args) TUG_CHECK;
/* How many it has. */
TUG_EXPORT size_t tug_pg_batch_size(const tug_pg_batch *batch);
/* Empties it, for other statements. What it has in memory is used again. Not while it runs: the call is
 * ignored then. */
TUG_EXPORT void tug_pg_batch_clear(tug_pg_batch *batch);

/* Runs all statements in order, with one Sync behind them: on a pool or a session they are a transaction
 * of their own, all or nothing; in a transaction they are part of it. The first that fails ends it, the
 * rest is not run. It may be run again, on the same handle or another one (the next attempt of a
 * transaction): the results of the run before go then. On a pool it is one unit on a shared connection.
 * BEGIN, COMMIT and the like are refused (TUG_EMISUSE). An empty one succeeds. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_batch_run(tug_pg *db, tug_pg_batch *batch) TUG_CHECK;
/* Its outcome is the future's own code: there is nothing to take from it. */
TUG_EXPORT tug_future *tug_pg_batch_start(tug_pg *db, tug_pg_batch *batch);

/* After a failed run: the place (from 0) of the statement that failed. The size of the batch if it was
 * none of them: a constraint that is checked at the end, a lost connection, a cancel. */
TUG_EXPORT size_t tug_pg_batch_failed(const tug_pg_batch *batch);
/* After a run that succeeded: one row (from 0) of the result of a statement into places, as tug_pg_scan.
 * What is borrowed lives until the batch runs again, is changed or closed. TUG_ENOTFOUND: no such
 * statement, not run, or failed; TUG_EMISUSE: its result was taken. */
TUG_EXPORT int tug_pg_batch_scan(tug_pg_batch *batch, size_t place, size_t row, tug_out out);
/* The same, and moves the whole result out, once. */
TUG_EXPORT int tug_pg_batch_take(tug_pg_batch *batch, size_t place,
                                 tug_pg_result **ret_result) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
