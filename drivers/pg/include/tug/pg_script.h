/* What:      several SQL statements in one text, as psql -c runs them: migrations, set-up, maintenance.
 * Ownership: tug_pg_results is yours: close. Results in it are borrowed.
 * Context:   the loop's thread. What is marked TUG_SUSPENDS is for tasks; the rest for any context.
 * Callbacks: none.
 * Errors:    those of tug_pg_exec; the text begins with the number of the statement that failed. */
#ifndef TUG_PG_SCRIPT_H
#define TUG_PG_SCRIPT_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The results of a script, one a statement, in order. */
typedef struct tug_pg_results tug_pg_results;

/* Results that one script may have: beyond that it fails with TUG_ELIMIT, although it has run. */
#define TUG_PG_SCRIPT_MOST 100000

/* Runs all statements of a text, without parameters; values come as the server prints them. The first
 * that fails ends it. Without BEGIN and COMMIT in the text all of it is one transaction (on a session or a
 * pool); in a transaction it is part of that, and must not end it. On a pool with a connection of its own,
 * which is reset afterwards; so is a session when it is closed. COPY from the client fails the script
 * there, with COPY to the client nothing of it is run (TUG_EMISUSE). ret_results: NULL if they do not matter. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_script(tug_pg *db, const char *sql,
                                          tug_pg_results **ret_results) TUG_CHECK;
TUG_EXPORT tug_future *tug_pg_script_start(tug_pg *db, const char *sql);
TUG_EXPORT int tug_pg_script_take(tug_future *f, tug_pg_results **ret_results) TUG_CHECK;

/* How many there are. */
TUG_EXPORT size_t tug_pg_results_size(const tug_pg_results *results);
/* Borrowed; NULL beyond the last. */
TUG_EXPORT tug_pg_result *tug_pg_results_at(const tug_pg_results *results, size_t place);
/* NULL is fine. */
TUG_EXPORT void tug_pg_results_close(tug_pg_results *results);
TUG_AUTO_FN(tug_pg_results, tug_pg_results_close)

#ifdef __cplusplus
}
#endif
#endif
